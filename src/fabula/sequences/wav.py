"""Samples of WAV files, and a clear error where a file is damaged or of another kind."""

from __future__ import annotations

import io
import os
import struct
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import DataError, FileFormatError
from fabula.sequences.sources import unreadable

__all__ = ["read_wav"]

# Sizes that programs write which do not know yet how long the sound will be.
_OPEN_SIZES = (0x7FFFFFFF, 0xFFFFFFFF)
_MARKS = {
    b"fLaC": "FLAC",
    b"OggS": "OGG",
    b"FORM": "AIFF",
    b"ID3\x02": "MP3",
    b"ID3\x03": "MP3",
    b"ID3\x04": "MP3",
    b"RF64": "RF64 (a WAV of more than 4 GB)",
}
_CODES = {0: "of no kind", 2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "IMA ADPCM", 85: "MP3"}
_WHOLE, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


class _Layout(NamedTuple):
    """Where the parts of a WAV are, in bytes from 0, and how its samples are stored."""

    order: str
    code: int
    n_channels: int
    rate: int
    bits: int
    start: int
    size: int


def read_wav(path: str | os.PathLike[str]) -> tuple[FloatArray, int]:
    """Samples of a sound file, and how many there are in a second.

    Parameters
    ----------
    path
        WAV, with whole numbers of 8, 16, 24 or 32 bits or floating-point numbers of 32 or 64. Other
        programs turn other sounds into that (``ffmpeg -i sound.flac sound.wav``).

    Returns
    -------
    samples : (n,) array
        From -1 to 1; the mean of the channels where there are several.
    rate : int
        Hertz.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        There are no samples, or samples that are no numbers.
    FileFormatError
        It is no WAV file, or it is cut or damaged; the message names the byte, from 1.
    """
    name = os.fspath(path)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise unreadable(name, error) from None
    layout = _layout(content, name)
    if not layout.size:
        raise DataError(f"{name} holds no samples: expected a sound of some length.")
    stored = _decoded(content, layout, name)
    if stored.dtype.kind == "u":  # eight bits are stored with 128 as silence
        samples = (stored.astype(np.float64) - 128.0) / 128.0
    elif stored.dtype.kind == "i":
        samples = stored.astype(np.float64) / -float(np.iinfo(stored.dtype).min)
    else:
        samples = stored.astype(np.float64)
    samples = samples.reshape(len(samples), -1)
    if not np.isfinite(samples).all():
        at = int(np.flatnonzero(~np.isfinite(samples).all(axis=1))[0])
        raise DataError(f"{name}: sample {at + 1:,} (from 1) is no finite number.")
    return samples.mean(axis=1), layout.rate


def _decoded(content: bytes, layout: _Layout, name: str) -> np.ndarray:
    """Numbers as they are stored, (n,) or (n, channels)."""
    from scipy.io import wavfile

    order = layout.order
    # A header of nothing but what is needed: parts about authors and cues can only mislead.
    kind = _WHOLE if layout.code == _WHOLE else _FLOAT
    frame = layout.n_channels * layout.bits // 8
    described = struct.pack(
        order + "HHIIHH",
        kind,
        layout.n_channels,
        layout.rate,
        min(layout.rate * frame, 0xFFFFFFFF),
        frame,
        layout.bits,
    )
    data = content[layout.start : layout.start + layout.size]
    head = (b"RIFF" if order == "<" else b"RIFX") + struct.pack(order + "I", 36 + len(data))
    plain = b"".join(
        (head, b"WAVEfmt ", struct.pack(order + "I", 16), described, b"data",
         struct.pack(order + "I", len(data)), data)
    )  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _, samples = wavfile.read(io.BytesIO(plain))
    except (ValueError, wavfile.WavFileWarning) as error:
        raise FileFormatError(
            f"{name} cannot be decoded: {str(error).rstrip('.')}. Expected a plain WAV."
        ) from None
    return np.asarray(samples)


def _layout(content: bytes, name: str) -> _Layout:
    """Parts of a WAV (the Microsoft and IBM Multimedia Programming Interface of 1991)."""
    if not content:
        raise DataError(f"{name} is empty: expected a WAV file.")
    if content[:4] not in (b"RIFF", b"RIFX"):
        found = _MARKS.get(content[:4])
        what = f"is {found}, which is not read here" if found else "is no sound file that can be"
        raise FileFormatError(
            f"{name} {what}{'' if found else ' read'}. Expected WAV, whose first four bytes are "
            f"'RIFF', not {_shown(content[:4])}: turn it into WAV first "
            "(ffmpeg -i the-sound the-sound.wav)."
        )
    if content[8:12] != b"WAVE":
        raise FileFormatError(f"{name} is no WAV file, or it is cut in its first 12 bytes.")
    order = "<" if content[:4] == b"RIFF" else ">"
    described: tuple[int, int, int, int] | None = None
    place = 12
    while place + 8 <= len(content):
        kind, size = content[place : place + 4], _number(content, place + 4, order + "I")
        is_open = kind == b"data" and size in _OPEN_SIZES
        if not is_open and place + 8 + size > len(content):
            raise FileFormatError(
                f"{name} is cut: its part {kind.decode('latin-1')!r} at byte {place + 1:,} needs "
                f"{place + 8 + size:,} bytes, and the file has {len(content):,}. Fetch it again."
            )
        if kind == b"fmt ":
            described = _description(content, place, size, order, name)
        elif kind == b"data":
            if described is None:
                raise FileFormatError(
                    f"{name}: the samples (byte {place + 1:,}) come before the part 'fmt' that "
                    "says how they are stored."
                )
            size = len(content) - place - 8 if is_open else size
            return _with_samples(order, described, place + 8, size, is_open, name)
        place += 8 + size + size % 2  # parts begin at even places
    missing = "'data'" if described else "'fmt' and 'data'"
    raise FileFormatError(
        f"{name} is cut: it ends after {len(content):,} bytes without its part {missing}. "
        "Fetch it again."
    )


def _description(
    content: bytes, place: int, size: int, order: str, name: str
) -> tuple[int, int, int, int]:
    """Code, number of channels, rate and bits of the part ``fmt`` at a place."""
    where = f"{name}, part 'fmt' at byte {place + 1:,}"
    if size < 16:
        raise FileFormatError(f"{where}: it has {size} bytes, and at least 16 are needed.")
    code, n_channels, rate, _, _, bits = struct.unpack_from(order + "HHIIHH", content, place + 8)
    if code == _EXTENSIBLE:
        if size < 40:
            raise FileFormatError(f"{where}: it has {size} bytes, and this kind needs 40.")
        code = _number(content, place + 8 + 24, order + "H")
    allowed = {_WHOLE: (8, 16, 24, 32), _FLOAT: (32, 64)}.get(code)
    if allowed is None:
        kind = _CODES.get(code, "of an unknown kind")
        raise FileFormatError(
            f"{where}: samples are {kind} (code {code}); expected whole numbers (1) or "
            "floating-point numbers (3). Turn it into plain WAV first "
            "(ffmpeg -i the-sound.wav -c:a pcm_s16le plain.wav)."
        )
    if bits not in allowed:
        raise FileFormatError(
            f"{where}: samples have {bits} bits; expected {', '.join(map(str, allowed))}."
        )
    if not n_channels or not rate:
        raise FileFormatError(
            f"{where}: it tells of {n_channels} channels and {rate} samples in a second; expected "
            "at least one of each."
        )
    if n_channels * bits // 8 > 0xFFFF:
        raise FileFormatError(f"{where}: {n_channels:,} channels are more than a WAV can have.")
    return code, n_channels, rate, bits


def _with_samples(
    order: str,
    described: tuple[int, int, int, int],
    start: int,
    size: int,
    is_open: bool,
    name: str,
) -> _Layout:
    code, n_channels, rate, bits = described
    frame = n_channels * bits // 8
    if size % frame and not is_open:
        raise FileFormatError(
            f"{name}: its samples (from byte {start + 1:,}) take {size:,} bytes, and that is no "
            f"multiple of the {frame} bytes that {n_channels} channels of {bits} bits take."
        )
    return _Layout(order, code, n_channels, rate, bits, start, size - size % frame)


def _number(content: bytes, place: int, form: str) -> int:
    return int(struct.unpack_from(form, content, place)[0])


def _shown(start: bytes) -> str:
    return repr(start.decode("latin-1"))
