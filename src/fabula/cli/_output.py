"""Where results go: standard output or a file, whole or not at all."""

from __future__ import annotations

import json as json_format
import math
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fabula.core.errors import FabulaError, UsageError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["check_output", "to_json", "write_frame", "write_json", "write_text"]

TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".txt", ".parquet", ".csv.gz", ".tsv.gz", ".txt.gz")


def check_output(
    path: str | None, *, force: bool, endings: Sequence[str] = (), binary: bool = False
) -> None:
    """Refuse a place that cannot be written to before any work is done.

    Raises
    ------
    UsageError
        The file is there and ``force`` is not, its folder is not there, its name says nothing
        about the format, or it is standard output and what is written is no text.
    """
    if path == "-" and binary:
        raise UsageError("Standard output is for tables and text: give the name of a file.")
    if path is None or path == "-":
        return
    place = Path(path)
    if place.is_dir():
        raise UsageError(f"{path} is a folder: give the name of a file in it.")
    if not place.parent.is_dir():
        raise UsageError(f"The folder {place.parent} does not exist: create it first.")
    if os.path.lexists(place) and not force:
        raise UsageError(f"{path} exists already: give another name, or --force to replace it.")
    if endings and not path.lower().endswith(tuple(endings)):
        raise UsageError(
            f"The name {path} does not say in which format to write: expected one that ends in "
            f"{', '.join(endings)}."
        )


def write_frame(frame: pl.DataFrame, path: str | None, *, force: bool, json: bool) -> None:
    """Give out a table: CSV or JSON to standard output, or a file."""
    if json:
        write_json(frame.to_dicts(), path, force=force)
        return
    from fabula.tables import write_table

    write_table(frame, path or "-", force=force)


def write_json(value: Any, path: str | None = None, *, force: bool = False) -> None:
    """Give out JSON."""
    write_text(to_json(value), path, force=force)


def write_text(text: str, path: str | None, *, force: bool = False) -> None:
    """Give out text, to standard output or to a file that appears whole or not at all."""
    if path is None or path == "-":
        print(text)
        return
    check_output(path, force=force)
    place = Path(os.path.realpath(path))
    part = place.with_name(f".{secrets.token_hex(8)}.part")
    try:
        try:
            part.write_text(text + "\n", encoding="utf-8")
            os.replace(part, place)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise FabulaError(f"{path} could not be written: {error.strerror or error}.") from None


def to_json(value: Any) -> str:
    """JSON in the strict sense: NaN is null, infinity is text."""
    return json_format.dumps(_plain(value), indent=2, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict())
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def stdout_is_closed() -> None:
    """Let Python's last flush of standard output go nowhere, once nobody reads it."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass  # standard output is not a file of the system: there is nothing to flush
