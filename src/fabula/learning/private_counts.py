"""Counts with noise, and what can be read off them: ranges, bins, tables that are tables again.

Whatever is done with counts after noise was added to them costs no privacy: it sees no row.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import DataError

__all__ = [
    "FIRST_PIECES",
    "Noise",
    "Pieces",
    "find_bounds",
    "merge_pieces",
    "on_simplex",
    "rounds_of",
    "split_range",
    "system_noise",
]

Noise = Callable[[int], FloatArray]
"""How many → as many draws of a standard normal distribution."""

FIRST_PIECES = 16
_BRANCHES = 8
_MOST_ROUNDS = 6
# Powers of two between which the ends of a column are looked for.
_POWERS = np.arange(-30, 61)
# How rarely a count of nothing but noise is taken for more, over all counts of a release.
_RARELY = 1e-3


def system_noise(number: int) -> FloatArray:
    """Draws of a standard normal distribution from the random numbers of the operating system.

    They follow from no seed, so nobody who knows one can take the noise off.
    """
    from scipy.special import ndtri

    raw = np.frombuffer(os.urandom(8 * number), dtype=np.uint64)
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.asarray(ndtri(uniform))


@dataclass(frozen=True)
class Pieces:
    """A range cut into pieces of whole steps.

    Parameters
    ----------
    cuts : (B + 1,) array
        Ends of the pieces in steps from the lower end of the range.
    counts : (B,) array
        Rows in each, with noise; may be negative.
    """

    cuts: NDArray[np.int64]
    counts: FloatArray


def threshold(scale: float, n_counts: int) -> float:
    """What counts of noise alone hardly ever exceed."""
    from scipy.special import ndtri

    return scale * float(-ndtri(_RARELY / max(n_counts, 1)))


def find_bounds(x: FloatArray, scale: float, noise: Noise, name: object) -> tuple[float, float]:
    """Powers of two between which nearly all values lie, from one noisy histogram.

    Every value counts in the one cell of its sign and power of two, so one row changes one count
    by one (Wilson et al. 2020, Differentially private SQL with bounded user contribution, §5.1).

    Raises
    ------
    DataError
        No cell stands out of the noise.
    """
    size = np.abs(x)
    with np.errstate(divide="ignore"):
        power = np.floor(np.log2(size))
    inner = size >= 2.0 ** _POWERS[0]
    place = np.clip(power, _POWERS[0], _POWERS[-1]) - _POWERS[0] + 1
    cell = np.where(inner, np.sign(x) * place, 0.0).astype(np.intp) + len(_POWERS)
    n_cells = 2 * len(_POWERS) + 1
    counts = np.bincount(cell, minlength=n_cells) + scale * noise(n_cells)
    found = np.flatnonzero(counts > threshold(scale, n_cells)) - len(_POWERS)
    if not len(found):
        raise DataError(
            f"Column {name!r} has too few values for its range to be found with so much noise: "
            "state its bounds, or allow a larger epsilon."
        )

    def end(cell: int, upper: bool) -> float:
        outward = (cell > 0) == upper
        return 0.0 if not cell else math.copysign(
            2.0 ** float(_POWERS[abs(cell) - 1] + (1 if outward else 0)), cell
        )  # fmt: skip

    return end(int(found[0]), False), end(int(found[-1]), True)


def rounds_of(n_steps: int) -> int:
    """Rounds of `split_range` for so many steps; no row has a part in that."""
    rounds, pieces = 1, FIRST_PIECES
    while pieces < n_steps and rounds < _MOST_ROUNDS:
        rounds, pieces = rounds + 1, pieces * _BRANCHES
    return rounds


def split_range(places: NDArray[np.int64], n_steps: int, scale: float, noise: Noise) -> Pieces:
    """Cut 0 … n_steps into pieces, smaller ones where there are more rows.

    Each round counts the rows in the parts of those pieces that stand out of the noise, so one
    row changes one count of each of the `rounds_of` rounds by one.

    Parameters
    ----------
    places : (n,) array of int
        Step of each row, from 0 to ``n_steps - 1``.
    n_steps : int
    scale : float
        Standard deviation of the noise on every count.
    noise : callable
    """
    cuts = np.unique(np.linspace(0, n_steps, min(FIRST_PIECES, n_steps) + 1).astype(np.int64))
    counts = _count(places, cuts) + scale * noise(len(cuts) - 1)
    for _ in range(rounds_of(n_steps) - 1):
        split = (counts > threshold(scale, len(counts))) & (np.diff(cuts) > 1)
        if not split.any():
            break
        ends: list[NDArray[np.int64]] = []
        told: list[FloatArray] = []
        for piece in range(len(counts)):
            low, high = int(cuts[piece]), int(cuts[piece + 1])
            if not split[piece]:
                ends.append(cuts[piece : piece + 1])
                told.append(counts[piece : piece + 1])
                continue
            number = min(_BRANCHES, high - low)
            inner = np.unique(np.linspace(low, high, number + 1).astype(np.int64))
            parts = _count(places, inner) + scale * noise(len(inner) - 1)
            # Both the piece and its parts say how many there are: least squares over both.
            parts += (counts[piece] - parts.sum()) / (1.0 + len(parts))
            ends.append(inner[:-1])
            told.append(parts)
        cuts = np.append(np.concatenate(ends), cuts[-1])
        counts = np.concatenate(told)
    return Pieces(cuts, counts)


def _count(places: NDArray[np.int64], cuts: NDArray[np.int64]) -> FloatArray:
    inside = (places >= cuts[0]) & (places < cuts[-1])
    cell = np.searchsorted(cuts, places[inside], side="right") - 1
    return np.bincount(cell, minlength=len(cuts) - 1).astype(np.float64)


def merge_pieces(pieces: Pieces, least: float) -> Pieces:
    """Neighbours joined until each piece holds ``least`` rows, without those that do already."""
    cuts, counts = [int(pieces.cuts[0])], []
    held = 0.0
    for k, count in enumerate(pieces.counts):
        if count >= least and k and cuts[-1] < pieces.cuts[k]:
            cuts.append(int(pieces.cuts[k]))
            counts.append(held)
            held = 0.0
        held += float(count)
        if held >= least or k == len(pieces.counts) - 1:
            cuts.append(int(pieces.cuts[k + 1]))
            counts.append(held)
            held = 0.0
    return Pieces(np.array(cuts, dtype=np.int64), np.array(counts))


def on_simplex(noisy: FloatArray, total: float | None = None) -> FloatArray:
    """The nearest table, in least squares, that is not negative and sums to ``total``.

    Under normal noise it is the most probable one. By default the total is that of the table
    (Duchi et al. 2008, ICML, figure 1).
    """
    flat = np.asarray(noisy, dtype=np.float64).ravel()
    wanted = max(float(flat.sum()) if total is None else total, 1.0)
    falling = np.sort(flat)[::-1]
    excess = (np.cumsum(falling) - wanted) / np.arange(1, len(flat) + 1)
    last = int(np.flatnonzero(falling > excess)[-1])
    return np.asarray(np.maximum(noisy - excess[last], 0.0))
