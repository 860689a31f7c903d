"""A folder of sounds with the class of each."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import DataError, UsageError
from fabula.sequences.sound import normalised_together, read_wav, sound_features
from fabula.sequences.sources import unreadable

__all__ = ["SoundFolder", "read_sound_folder"]

_SUFFIXES = (".wav", ".wave")
# Sounds that have to become WAV first: better said than passed over.
_OTHERS = (".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".mp3", ".m4a")


class _Sound(NamedTuple):
    """One line of a manifest, or one file of a folder of a class."""

    name: str
    label: str | None
    speaker: str | None


class SoundFolder(NamedTuple):
    """What `read_sound_folder` found."""

    features: list[FloatArray]
    """Frames (T, d) of each sound."""
    labels: NDArray[Any]
    """Class of each sound, (n,), as text; None for all where the folder tells none."""
    names: list[str]
    """File of each sound, relative to the folder."""


def read_sound_folder(
    folder: str | os.PathLike[str],
    *,
    manifest: str | os.PathLike[str] | None = None,
    label: str = "label",
    file: str = "file",
    speaker: str | None = None,
    warps: Sequence[float] = (1.0,),
    sample_rate: int | None = None,
    **options: Any,
) -> SoundFolder:
    """Features of the sounds of a folder, and the class of each.

    Parameters
    ----------
    folder
        Has a folder for each class, or sounds of classes that are not known, or the files that the
        manifest names.
    manifest : path, optional
        CSV with a header and a line for each sound.
    label, file : str
        Columns of the manifest: class, and file relative to ``folder``.
    speaker : str, optional
        Column of the manifest that says who speaks. Features then have mean 0 and variance 1 over
        all sounds of a speaker (`normalised_together`), not over each.
    warps : sequence of float
        Every sound comes once for each of these (see ``warp`` of `sound_features`), all at the
        first warp and then all at the next: more voices to learn from. Copies of one sound, which
        have the same name, belong on the same side when models are judged.
    sample_rate : int, optional
        Resample all sounds to this many samples in a second. Without it they must agree.
    **options
        Of `sound_features`.

    Returns
    -------
    SoundFolder
        In the order of the manifest, or of the names of the classes and files.

    Raises
    ------
    UsageError
        There is no such folder or manifest, or a column is missing.
    DataError
        There are no sounds, or a sound cannot be used; the message names the file.
    """
    base = Path(folder)
    if not base.is_dir():
        raise UsageError(f"There is no folder {folder}.")
    if manifest is None and speaker is not None:
        raise UsageError("speaker names a column of a manifest: state manifest too.")
    if isinstance(warps, str | int | float) or not len(warps):
        raise UsageError(f"warps must be a list of factors such as (0.9, 1.0, 1.1), not {warps!r}.")
    if "warp" in options:
        raise UsageError("State warps, a list, for the sounds of a folder.")
    sounds = list(
        _from_folders(base)
        if manifest is None
        else _from_manifest(Path(manifest), file, label, speaker)
    )
    together = speaker is not None and options.get("normalise", True)
    if together:
        options["normalise"] = False
    by_warp: list[list[FloatArray]] = [[] for _ in warps]
    for name, samples, rate in _samples(base, sounds, sample_rate):
        for found, warp in zip(by_warp, warps, strict=True):
            try:
                rows = sound_features(samples, rate, warp=warp, sample_rate=sample_rate, **options)
            except DataError as error:
                raise DataError(str(error).replace("The sound", name, 1)) from None
            found.append(rows)
    if together:
        speakers = [sound.speaker for sound in sounds]
        by_warp = [normalised_together(found, speakers) for found in by_warp]
    return SoundFolder(
        [rows for found in by_warp for rows in found],
        np.tile([sound.label for sound in sounds], len(warps)),
        [sound.name for sound in sounds] * len(warps),
    )


def _samples(
    base: Path, sounds: list[_Sound], sample_rate: int | None
) -> Iterator[tuple[str, FloatArray, int]]:
    """File, samples and rate of each sound; the rates agree, or are made to."""
    first: tuple[str, int] | None = None
    for sound in sounds:
        samples, rate = read_wav(base / sound.name)
        if sample_rate is None:
            first = first or (sound.name, rate)
            if rate != first[1]:
                raise DataError(
                    f"{base / sound.name} has {rate:,} samples in a second, and {first[0]} has "
                    f"{first[1]:,}: resample some (ffmpeg -i in.wav -ar {first[1]} out.wav), or "
                    "state sample_rate in Python."
                )
        yield str(base / sound.name), samples, rate


def _from_folders(base: Path) -> Iterator[_Sound]:
    classes = sorted(p for p in base.iterdir() if p.is_dir() and not p.name.startswith("."))
    loose = _sounds_in(base)
    if not classes and not loose:
        raise DataError(
            f"{base} holds no sounds: expected a folder for each class with files that end in "
            f"{' or '.join(_SUFFIXES)}, or such files without classes, or state a manifest."
        )
    if classes and loose:
        raise DataError(
            f"{base} holds folders of classes, such as {classes[0].name}, and sounds of no class, "
            f"such as {loose[0]}: expected one or the other."
        )
    for name in loose:
        yield _Sound(name, None, None)
    for its_class in classes:
        sounds = _sounds_in(its_class)
        if not sounds:
            raise DataError(
                f"{its_class} holds no sounds: expected files that end in {' or '.join(_SUFFIXES)}."
            )
        for name in sounds:
            yield _Sound(f"{its_class.name}/{name}", its_class.name, None)


def _sounds_in(folder: Path) -> list[str]:
    """Names of the WAV files of a folder, in order."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    others = [p.name for p in files if p.suffix.lower() in _OTHERS]
    if others:
        raise DataError(
            f"{folder} holds sounds that are no WAV, such as {others[0]}: turn them into WAV "
            "first (ffmpeg -i the-sound the-sound.wav), and take them out of the folder."
        )
    return [p.name for p in files if p.suffix.lower() in _SUFFIXES]


def _from_manifest(path: Path, file: str, label: str, speaker: str | None) -> Iterator[_Sound]:
    needed = (file, label) if speaker is None else (file, label, speaker)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = reader.fieldnames or []
            for wanted in needed:
                if wanted not in columns:
                    raise UsageError(
                        f"{path} has no column {wanted!r}; it has {', '.join(columns) or 'none'}."
                    )
            n_rows = 0
            for row in reader:
                n_rows += 1
                if not all(row[column] for column in needed):
                    what = "a file and a class" if speaker is None else "a file, class and speaker"
                    raise DataError(f"{path}, line {reader.line_num}: expected {what}.")
                yield _Sound(row[file], row[label], None if speaker is None else row[speaker])
            if not n_rows:
                raise DataError(f"{path} names no sounds.")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason}).") from None
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}.") from None
    except OSError as error:
        raise unreadable(str(path), error) from None
