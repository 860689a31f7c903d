"""``.fabula`` files: ``story.json``, which a person can read, and ``arrays.safetensors``.

Loading runs no code from the file: it parses JSON, copies arrays, and calls the constructors of
classes that are registered (:mod:`fabula.persistence.registry`).
"""

from __future__ import annotations

import datetime
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fabula import __version__
from fabula.core.errors import FileFormatError, UsageError
from fabula.persistence.codec import Arrays, Tree, pack, unpack
from fabula.persistence.container import check_writable, read_members, write_members
from fabula.persistence.outline import outline
from fabula.persistence.registry import is_storable, key_of

__all__ = ["SCHEMA_VERSION", "describe", "load", "save"]

SCHEMA_VERSION = 1

_STORY = "story.json"
_ARRAYS = "arrays.safetensors"
_MAX_STORY_BYTES = 64 * 2**20
_MAX_BYTES = 8 * 2**30
_MAX_MESSAGE = 1000
_ENTRIES: dict[str, type | tuple[type, ...]] = {
    "format": str,
    "schema_version": int,
    "key": str,
    "created": str,
    "seed": (int, type(None)),
    "versions": dict,
    "metadata": dict,
    "story": dict,
}


def save(
    model: object,
    path: str | os.PathLike[str],
    *,
    force: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a model to a file.

    Before anything is written, the model is rebuilt from what would be written, so that a file that
    exists can be loaded. The file appears whole or not at all.

    Parameters
    ----------
    model
        An estimator, story, family or any other instance of a storable class.
    path
        File to write, by custom ending in ``.fabula``.
    force
        Replace the file if it is there.
    metadata
        Notes to keep with the model: whatever JSON can hold, under text keys.

    Raises
    ------
    UsageError
        The file exists and ``force`` is False, the folder does not exist, the model cannot be
        stored, or the notes are not JSON.
    FabulaError
        The operating system could not write the file.

    Notes
    -----
    The same model gives the same bytes, but for the time of creation; that is taken from the
    environment variable ``SOURCE_DATE_EPOCH`` (seconds since 1970) where it is set.
    """
    target = Path(path)
    check_writable(target, force=force)
    if not is_storable(model):
        raise UsageError(
            f"a {type(model).__name__} cannot be saved: it is not a model or story of fabula"
        )
    tree, arrays = pack(model)
    text = _dumps(
        {
            "format": "fabula",
            "schema_version": SCHEMA_VERSION,
            "key": key_of(type(model)),
            "created": _now(),
            "seed": _seed(model),
            "versions": {
                "fabula": __version__,
                "python": ".".join(map(str, sys.version_info[:3])),
                "numpy": np.__version__,
            },
            "metadata": _checked_metadata(metadata),
            "story": tree,
        }
    )
    if len(text) > _MAX_STORY_BYTES:
        raise UsageError(
            f"the story without its arrays has {len(text):,} bytes, over the limit of "
            f"{_MAX_STORY_BYTES:,}; hold long lists in arrays"
        )
    _check_loads(text, arrays)

    from safetensors.numpy import save as to_safetensors

    write_members(target, {_STORY: text, _ARRAYS: to_safetensors(arrays)}, force=force)


def load(path: str | os.PathLike[str], *, max_bytes: int = _MAX_BYTES) -> Any:
    """Read a model from a file that :func:`save` wrote.

    Parameters
    ----------
    path
        File to read. It may come from anyone: no code from it is run.
    max_bytes
        Largest size of the arrays that will be read into memory.

    Returns
    -------
    object
        The model, equal to the one that was saved.

    Raises
    ------
    UsageError
        There is no such file, or it cannot be read.
    FileFormatError
        The file is cut, damaged, hostile or from a newer version. The message says what is wrong,
        in which part (such as ``story.family.means``), and what to do.
    """
    source = Path(path)
    limits = {_STORY: _MAX_STORY_BYTES, _ARRAYS: max_bytes}
    members = read_members(source, (_STORY, _ARRAYS), limits)
    try:
        header = _parse_header(members[_STORY])
        arrays = _parse_arrays(members[_ARRAYS])
        model = unpack(header["story"], arrays, written_by=_writer(header))
    except FileFormatError as error:
        raise _located(source, error) from error
    return model


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Say what is in a file without building the model or reading its arrays.

    Parameters
    ----------
    path
        File to read; its parts need not be known to this version of fabula.

    Returns
    -------
    dict
        ``bytes`` (size of the file), ``schema_version``, ``key``, ``created``, ``seed``,
        ``versions``, ``metadata``, ``arrays`` (for each its ``name``, ``dtype`` and ``shape``) and
        ``story``: nested dicts, lists and scalars, with arrays as text such as
        ``"float64 (3, 8)"``. All of it can be written as JSON, but for infinite and NaN numbers.

    Raises
    ------
    UsageError, FileFormatError
        As :func:`load`, as far as can be seen without the arrays.
    """
    source = Path(path)
    limits = {_STORY: _MAX_STORY_BYTES, _ARRAYS: sys.maxsize}
    members = read_members(source, (_STORY,), limits)
    try:
        header = _parse_header(members[_STORY])
        story, arrays = outline(header["story"])
    except FileFormatError as error:
        raise _located(source, error) from error
    known = {name: header[name] for name in _ENTRIES if name not in ("format", "story")}
    return {"bytes": source.stat().st_size, **known, "arrays": arrays, "story": story}


def _dumps(header: dict[str, Any]) -> bytes:
    return json.dumps(header, allow_nan=False, separators=(",", ":")).encode("ascii")


def _check_loads(text: bytes, arrays: Arrays) -> None:
    # Views, so that constructors that make their arrays read-only do not touch the model's own.
    views = {name: array.view() for name, array in arrays.items()}
    try:
        unpack(_parse_header(text)["story"], views, written_by=__version__)
    except FileFormatError as error:
        raise UsageError(f"nothing was saved: it could not be loaded again: {error}") from error


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        moment = datetime.datetime.now(datetime.UTC)
    else:
        try:
            moment = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise UsageError(
                f"SOURCE_DATE_EPOCH is {epoch!r}, expected seconds since 1970"
            ) from error
    return moment.isoformat(timespec="seconds")


def _seed(model: object) -> int | None:
    for name in ("random_state", "seed"):
        value = getattr(model, name, None)
        if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
            return int(value)
    return None


def _checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    notes = dict(metadata or {})
    try:
        same = json.loads(json.dumps(notes, allow_nan=False)) == notes
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"metadata cannot be written as JSON: {error}") from error
    if not same:
        raise UsageError("metadata would not come back the same from JSON: use text as keys")
    return notes


def _parse_header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise FileFormatError(f"{_STORY} cannot be read: {what}") from error
    if not isinstance(header, dict) or header.get("format") != "fabula":
        raise FileFormatError(f"{_STORY} does not say that it is of the format 'fabula'")
    version = header.get("schema_version")
    if type(version) is int and version > SCHEMA_VERSION:
        raise FileFormatError(
            f"the file has schema version {version}, written by fabula {_writer(header)}; fabula "
            f"{__version__} reads up to {SCHEMA_VERSION}: update fabula"
        )
    if type(version) is not int or version < 1:
        raise FileFormatError(f"{_STORY} has the impossible schema version {version!r}")
    if set(header) != set(_ENTRIES):
        wrong = sorted(set(header) ^ set(_ENTRIES))
        raise FileFormatError(f"{_STORY}: missing or unknown entries: {', '.join(wrong)}")
    for name, kind in _ENTRIES.items():
        if not isinstance(header[name], kind) or isinstance(header[name], bool):
            raise FileFormatError(f"{_STORY}: {name!r} has the wrong type")
    if header["key"] != header["story"].get("is"):
        raise FileFormatError(f"{_STORY}: the key is {header['key']!r}, the story another")
    return header


def _parse_arrays(content: bytes) -> Arrays:
    from safetensors.numpy import load as from_safetensors

    try:
        return dict(from_safetensors(content))
    except Exception as error:
        # Its own error class, and KeyError or ImportError for dtypes that numpy does not have.
        raise FileFormatError(f"{_ARRAYS} cannot be read: {error}") from error


def _located(source: Path, error: FileFormatError) -> FileFormatError:
    """Name the file, and defuse what the message quotes from it: length, terminal codes."""
    message = str(error)
    if len(message) > _MAX_MESSAGE:
        message = f"{message[:_MAX_MESSAGE]} …"
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
    return FileFormatError(f"{source}: {plain}")


def _writer(header: Mapping[str, Any]) -> str | None:
    versions = header.get("versions")
    version = versions.get("fabula") if isinstance(versions, dict) else None
    return version[:40] if isinstance(version, str) else None


def _without_duplicates(pairs: list[tuple[str, Tree]]) -> dict[str, Tree]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError(f"an object names an entry twice among {sorted(result)}")
    return result


def _refuse_constant(name: str) -> Tree:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:40]} is too large")
    return value
