"""Sound as sequences: mel-frequency cepstral coefficients of short frames."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import DataError, UsageError
from fabula.sequences.wav import read_wav

__all__ = ["normalised_together", "read_wav", "sound_features"]

# Below this share of full loudness there is nothing to hear, and logarithms would be endless.
_SILENCE = 1e-12
# Frames that are kept before and after what trim keeps: a word begins softly.
_MARGIN = 3
# A slope is that of the line through a frame and so many on each side.
_REACH = 2
# Columns that move less than this (silence) have no scale of their own.
_STILL = 1e-9
# Up to this share of half the rate a warp is a factor; above, a line that keeps the end in place.
_WARPED_PART = 0.8


def sound_features(
    sound: str | os.PathLike[str] | FloatArray,
    rate: int | None = None,
    *,
    n_coefficients: int = 13,
    deltas: bool = True,
    normalise: bool = True,
    frame: float = 0.025,
    step: float = 0.010,
    n_bands: int = 23,
    lowest: float = 100.0,
    highest: float | None = None,
    warp: float = 1.0,
    dynamic_range: float = 50.0,
    trim: float | None = 35.0,
    sample_rate: int | None = None,
) -> FloatArray:
    """Mel-frequency cepstral coefficients of the frames of a sound.

    Parameters
    ----------
    sound : path or (n,) array
        A WAV file, or samples.
    rate : int, optional
        Samples in a second, in hertz; only where ``sound`` is an array, and then needed.
    n_coefficients : int
        Coefficients of a frame; the first is its loudness. Ten or fewer tell words apart whoever
        speaks; more tell voices.
    deltas : bool
        Add the slopes of the coefficients over five frames, and the slopes of these.
    normalise : bool
        Shift and scale each column to mean 0 and variance 1 over the sound, which takes away
        what the channel and much of what the speaker adds. See also `normalised_together`.
    frame, step : float
        Length of a frame, and the time from one to the next, in seconds.
    n_bands : int
        Mel bands.
    lowest, highest : float, optional
        Where they begin and end, in hertz; by default they end at 95 % of half the rate.
    warp : float
        All bands lie higher by this factor (up to four fifths of half the rate; above, the line to
        half the rate): 1.1 hears a speaker as if the vocal tract were a tenth longer. Recordings
        that are learned from at several warps stand for more voices than there are.
    dynamic_range : float
        What is quieter than the loudest band of the sound by more than this, in decibels, counts
        as being that quiet: so quiet rooms and noisy ones sound alike between words.
    trim : float, optional
        Frames at the start and the end that are quieter than the loudest by more than this, in
        decibels, are left out, but for three on each side. None keeps all.
    sample_rate : int, optional
        Resample to this many samples in a second first.

    Returns
    -------
    (T, d) array
        One row for each step; d is ``n_coefficients``, three times as many with deltas.

    Raises
    ------
    UsageError
        A parameter makes no sense.
    DataError
        The sound is shorter than a frame, or has samples that are no numbers.
    FileFormatError
        It is no WAV file.

    References
    ----------
    Davis and Mermelstein (1980), IEEE Trans. Acoust. Speech Signal Process. 28:357; slopes as in
    Furui (1986), ibid. 34:52; warps as in Lee and Rose (1998), IEEE Trans. Speech Audio Process.
    6:49, and for learning in Jaitly and Hinton (2013), ICML workshop on speech.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(8000) / 8000
    >>> sound_features(np.sin(2 * np.pi * 440 * t), 8000).shape
    (101, 39)
    """
    name = "The sound"
    if isinstance(sound, str | os.PathLike):
        if rate is not None:
            raise UsageError("rate stands in the file; give sample_rate to resample.")
        name = os.fspath(sound)
        samples, rate = read_wav(sound)
    else:
        samples, rate = _checked(sound, rate)
    _check_options(n_coefficients, n_bands, frame, step, warp)
    _check_decibels(dynamic_range, trim)
    if sample_rate is not None:
        samples, rate = _resampled(samples, rate, sample_rate), int(sample_rate)
    length, hop = round(frame * rate), max(round(step * rate), 1)
    if length < 2:
        raise UsageError(
            f"A frame of {1000 * frame:g} ms has {length} samples at {rate:,} hertz: expected at "
            "least 2. Take longer frames."
        )
    if len(samples) < length:
        raise DataError(
            f"{name} lasts {1000 * len(samples) / rate:.1f} ms ({len(samples):,} samples): "
            f"expected at least one frame of {1000 * frame:g} ms."
        )
    bands = _bands(n_bands, lowest, highest, float(warp), rate, length)
    energies = _spectra(samples, length, hop) @ bands.T
    rows = _cepstra(energies, n_coefficients, dynamic_range)
    if deltas:
        slopes = _slopes(rows)
        rows = np.concatenate([rows, slopes, _slopes(slopes)], axis=1)
    if trim is not None:
        rows = rows[_loud_part(energies, trim)]
    return _normalised(rows, rows) if normalise else np.ascontiguousarray(rows)


def normalised_together(
    features: Sequence[FloatArray], groups: Iterable[Any] | None = None
) -> list[FloatArray]:
    """Features with mean 0 and variance 1 over all sounds of a group, such as of one speaker.

    One word says little about a voice: its vowels pull the mean. Over many words of a speaker the
    mean is the voice and the room, and taking it away leaves the words. The classes of the sounds
    have no part in it, so a new speaker's recordings can be treated alike once there are several.

    Parameters
    ----------
    features : list of (T, d) arrays
        Of `sound_features` with ``normalise=False``.
    groups : list, optional
        Who speaks, one entry for each sound; by default all belong together.

    Returns
    -------
    list of (T, d) arrays

    Examples
    --------
    >>> import numpy as np
    >>> low, high = np.array([[0.0], [2.0]]), np.array([[4.0], [6.0]])
    >>> [rows.ravel().round(2).tolist() for rows in normalised_together([low, high])]
    [[-1.34, -0.45], [0.45, 1.34]]
    """
    found: list[FloatArray] = [np.asarray(rows, dtype=np.float64) for rows in features]
    n_columns = {rows.shape[1] if rows.ndim == 2 else -1 for rows in found}
    if len(n_columns) > 1 or -1 in n_columns:
        raise UsageError("features must be arrays (T, d) with the same number of columns.")
    names = [None] * len(found) if groups is None else list(groups)
    if len(names) != len(found):
        raise UsageError(
            f"groups must have one entry for each sound: there are {len(names)} for "
            f"{len(found)} sounds."
        )
    members: dict[Any, list[int]] = {}
    for i, name in enumerate(names):
        members.setdefault(name, []).append(i)
    for mine in members.values():
        together = np.concatenate([found[i] for i in mine])
        for i in mine:
            found[i] = _normalised(found[i], together)
    return found


def _normalised(rows: FloatArray, usual: FloatArray) -> FloatArray:
    if not len(usual):
        return rows
    spread = usual.std(axis=0)
    return np.ascontiguousarray((rows - usual.mean(axis=0)) / np.where(spread > _STILL, spread, 1))


def _checked(sound: Any, rate: int | None) -> tuple[FloatArray, int]:
    samples = np.asarray(sound)
    if samples.ndim != 1 or samples.dtype.kind not in "iuf" or not len(samples):
        raise UsageError(
            f"A sound must be a file or an array (n,) of samples, not one of shape {samples.shape} "
            f"and type {samples.dtype}."
        )
    if not isinstance(rate, int | np.integer) or isinstance(rate, bool) or rate < 1:
        raise UsageError(f"rate must be the number of samples in a second, not {rate!r}.")
    if samples.dtype.kind in "iu":
        # Features do not depend on the scale, but for the floor under silence.
        samples = samples / float(np.iinfo(samples.dtype).max)
    samples = samples.astype(np.float64)
    if not np.isfinite(samples).all():
        at = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise DataError(f"Sample {at + 1:,} (from 1) of the sound is no finite number.")
    return samples, int(rate)


def _check_options(
    n_coefficients: int, n_bands: int, frame: float, step: float, warp: float
) -> None:
    for name, value in (("n_coefficients", n_coefficients), ("n_bands", n_bands)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{name} must be a whole number of at least 1, not {value!r}.")
    if n_coefficients > n_bands:
        raise UsageError(
            f"n_coefficients={n_coefficients} is more than there are bands (n_bands={n_bands})."
        )
    for name, seconds in (("frame", frame), ("step", step)):
        if not isinstance(seconds, int | float | np.number) or not 0.001 <= seconds <= 10:
            raise UsageError(f"{name} must be in seconds, from 0.001 to 10, not {seconds!r}.")
    if not isinstance(warp, int | float | np.number) or not 0.5 <= warp <= 2:
        raise UsageError(f"warp must be a factor from 0.5 to 2, not {warp!r}.")


def _check_decibels(dynamic_range: float, trim: float | None) -> None:
    for name, value in (("dynamic_range", dynamic_range), ("trim", trim)):
        if name == "trim" and value is None:
            continue
        if not isinstance(value, int | float | np.number) or not 0 < value < np.inf:
            raise UsageError(f"{name} must be positive decibels, not {value!r}.")


def _resampled(samples: FloatArray, rate: int, wanted: int) -> FloatArray:
    from scipy.signal import resample_poly

    if not isinstance(wanted, int | np.integer) or isinstance(wanted, bool) or wanted < 1:
        raise UsageError(f"sample_rate must be a whole number of hertz, not {wanted!r}.")
    if wanted == rate:
        return samples
    common = int(np.gcd(rate, wanted))
    return np.asarray(resample_poly(samples, int(wanted) // common, rate // common))


def _spectra(samples: FloatArray, length: int, hop: int) -> FloatArray:
    """Power of each frequency in each frame, (T, n_fft // 2 + 1); frame t has its middle at t."""
    from scipy.fft import rfft

    before = length // 2
    padded = np.pad(samples, (before, length - before))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    frames = frames[: 1 + len(samples) // hop]
    spectra: FloatArray = np.empty((len(frames), _n_fft(length) // 2 + 1))
    at_once = max((1 << 22) // length, 1)  # long sounds need no memory for all windows at once
    for first in range(0, len(frames), at_once):
        part = slice(first, first + at_once)
        whole = rfft(frames[part] * np.hamming(length), n=_n_fft(length), axis=1)
        spectra[part] = whole.real**2 + whole.imag**2
    return spectra


def _n_fft(length: int) -> int:
    return 1 << (length - 1).bit_length()


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


@lru_cache(maxsize=16)
def _bands(
    n_bands: int, lowest: float, highest: float | None, warp: float, rate: int, length: int
) -> FloatArray:
    """Weight of each frequency in each band, (n_bands, n_fft // 2 + 1): triangles in mel."""
    half = rate / 2
    end = 0.95 * half if highest is None else highest
    numbers = all(isinstance(value, int | float | np.number) for value in (lowest, end))
    if not numbers or not 0 <= lowest < end <= half:
        raise UsageError(
            f"Bands must lie from 0 to half the rate ({half:g} hertz), not from lowest={lowest} "
            f"to highest={end}."
        )
    corners = 700.0 * np.expm1(np.linspace(_mel(lowest), _mel(end), n_bands + 2) / 1127.0)
    bend = _WARPED_PART * half / max(warp, 1.0)
    beyond = half - (half - corners) * (half - warp * bend) / (half - bend)
    corners = _mel(np.where(corners <= bend, warp * corners, beyond))
    mel = _mel(np.arange(_n_fft(length) // 2 + 1) * rate / _n_fft(length))
    rise, fall = np.diff(corners)[:-1, None], np.diff(corners)[1:, None]
    rising, falling = (mel - corners[:-2, None]) / rise, (corners[2:, None] - mel) / fall
    weights: FloatArray = np.maximum(0.0, np.minimum(rising, falling))
    if not weights.any(axis=1).all():
        raise UsageError(
            f"n_bands={n_bands} is too many for frames of {length} samples: a band lies between "
            "two frequencies. Take longer frames or fewer bands."
        )
    weights.flags.writeable = False
    return weights


def _cepstra(energies: FloatArray, n_coefficients: int, dynamic_range: float) -> FloatArray:
    """Cosine transform of the loudness of the bands in decibels, (T, n_coefficients)."""
    from scipy.fft import dct

    loudness = 10.0 * np.log10(np.maximum(energies, _SILENCE))
    loudness = np.maximum(loudness, loudness.max() - dynamic_range)
    return np.asarray(dct(loudness, axis=1, norm="ortho")[:, :n_coefficients])


def _slopes(rows: FloatArray) -> FloatArray:
    """Slope of the line through five frames, least squares; the ends repeat their frame."""
    n = len(rows)
    padded = np.pad(rows, ((_REACH, _REACH), (0, 0)), mode="edge")
    total = np.zeros_like(rows)
    for k in range(1, _REACH + 1):
        total += k * (padded[_REACH + k :][:n] - padded[_REACH - k :][:n])
    return np.asarray(total / (2 * sum(k * k for k in range(1, _REACH + 1))))


def _loud_part(energies: FloatArray, trim: float) -> slice:
    """From the first to the last frame that is not quiet, and some frames around."""
    loudness = 10.0 * np.log10(np.maximum(energies.sum(axis=1), _SILENCE))
    loud = np.flatnonzero(loudness >= loudness.max() - trim)
    return slice(max(int(loud[0]) - _MARGIN, 0), int(loud[-1]) + _MARGIN + 1)
