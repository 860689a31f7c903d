"""The grid of one pair row by row, in float64, with memory for a few rows only.

Each row keeps a power of two for every so many columns (``LinearWeights.columns``), so that
numbers neither overflow nor vanish beside larger ones far away in the row. Every so many rows one
is kept; what lies between is computed again when it is wanted (checkpoints). A row holds the cells
of a band from ``low[i]`` to ``high[i]`` alone; without a band that is every cell.

The sums over what follows a cell are those over what precedes it, of the sequences in reverse.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.kernels.pairs.weights import LinearWeights, PairWeights

__all__ = [
    "EMPTY",
    "Band",
    "Pair",
    "RowSums",
    "advance",
    "ended",
    "flank",
    "forward_block",
    "forward_kept",
    "pair_of",
    "shift",
    "whole",
]

EMPTY = -(2**30)
# So many columns at a time stay in the fastest cache; whole chunks of any size.
_PANEL = 512
_Letters = NDArray[np.uint8]
_Integers = NDArray[np.int32]


class Band(NamedTuple):
    """Which columns of each row take part: from ``low`` to ``high``, both included."""

    low: NDArray[np.intp]  # (n + 1,), never falling
    high: NDArray[np.intp]  # (n + 1,), never falling
    width: int


class Pair(NamedTuple):
    """Two sequences, and what each column of their grid weighs."""

    x: _Letters  # (n,)
    y: _Letters  # (m,)
    match: FloatArray  # (A + 1, m + 1): by letter of x; column j is that of y[j - 1]
    insert: FloatArray  # (m + 1,)


class RowSums(NamedTuple):
    """Some rows: weight 2**power · value of the beginnings that end in a state and a cell."""

    values: FloatArray  # (rows, S, width), from the first column of the band on
    powers: _Integers  # (rows, m // columns + 1), EMPTY where there is nothing


def whole(n: int, m: int) -> Band:
    """Every cell."""
    return Band(np.zeros(n + 1, dtype=np.intp), np.full(n + 1, m, dtype=np.intp), m + 1)


def pair_of(x: _Letters, y: _Letters, w: LinearWeights | PairWeights) -> Pair:
    """Look up what the letters of y weigh."""
    padded = np.concatenate([np.zeros(1, dtype=np.uint8), y])
    return Pair(
        np.ascontiguousarray(x, dtype=np.uint8),
        np.ascontiguousarray(y, dtype=np.uint8),
        np.ascontiguousarray(w.match[:, padded]),
        np.ascontiguousarray(w.insert[padded]),
    )


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def flank(ends: int, i: int, j: int) -> float:
    """Weight of i letters of x and j of y beyond one end, but for the constant of the story."""
    if ends == 2:
        return 1.0
    if ends == 1:
        return 1.0 if j == 0 else 0.0
    if i == 0 and j == 0:
        return 1.0
    if ends == 3:
        return 0.5 if i == 0 or j == 0 else 0.0
    return 0.0


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def shift(power: int, base: int) -> float:
    """What turns numbers of one power of two into numbers of another; 0 for nothing."""
    if power == EMPTY:
        return 0.0
    return math.ldexp(1.0, min(max(power - base, -2000), 1000))


# Slices that are walked from 0 on become vectors; an index that might be negative would not.
@njit(nogil=True, cache=True, error_model="numpy")
def _combine(values: FloatArray, start: int, moves: FloatArray, out: FloatArray) -> None:
    """``out[k] = Σ_r moves[r] · values[r, start + k]``."""
    out[:] = 0.0
    for r in range(len(moves)):
        move = moves[r]
        if move != 0.0:
            row = values[r, start : start + len(out)]
            for k in range(len(out)):
                out[k] += move * row[k]


@njit(nogil=True, cache=True, error_model="numpy")
def _times(out: FloatArray, factors: FloatArray) -> None:
    for k in range(len(out)):
        out[k] *= factors[k]


# Assignments to slices of arrays would take numba seconds to compile, for shapes that may differ.
@njit(nogil=True, cache=True, error_model="numpy")
def _scale(row: FloatArray, start: int, stop: int, factor: float) -> None:
    """Multiply some columns of every state."""
    for s in range(len(row)):
        out = row[s, start:stop]
        for k in range(stop - start):
            out[k] *= factor


@njit(nogil=True, cache=True, error_model="numpy")
def _copy(source: RowSums, a: int, into: RowSums, b: int) -> None:
    """Row b becomes row a of another."""
    values, out = source.values[a], into.values[b]
    for s in range(len(values)):
        one, other = values[s], out[s]
        for k in range(len(one)):
            other[k] = one[k]
    for chunk in range(source.powers.shape[1]):
        into.powers[b, chunk] = source.powers[a, chunk]


@njit(nogil=True, cache=True, error_model="numpy")
def _begin(
    w: LinearWeights, i: int, start: int, stop: int, s: int, powers: _Integers, out: FloatArray,
    low: int,
) -> None:  # fmt: skip
    """Add the alignments that begin in row i, and whose first column of state s ends in cells."""
    if start == int(s <= (len(w.start) - 1) // 2):
        out[start - low] += flank(w.ends, i, 0) * w.start[s] * shift(0, powers[start // w.columns])
        start += 1
    along = flank(w.ends, i, 1) * w.start[s]
    if along == 0.0:
        return
    for j in range(start, stop):
        out[j - low] += along * shift(0, powers[j // w.columns])


@njit(nogil=True, cache=True, error_model="numpy")
def _from_above(
    p: Pair, w: LinearWeights, band: Band, i: int, first: int, last: int, values: FloatArray,
    above: _Integers, row: FloatArray, powers: _Integers, moves: FloatArray,
) -> None:  # fmt: skip
    """The match and delete states of some cells of row i, from the row above."""
    n_gaps = (len(w.start) - 1) // 2
    low, low_up, high_up = band.low[i], band.low[i - 1], band.high[i - 1]
    for s in range(len(w.start)):
        right = int(s == 0)
        start, stop = max(first, low_up + right), min(last, high_up + right) + 1
        if 1 <= s <= n_gaps or start >= stop:
            continue
        out = row[s, start - low : stop - low]
        _combine(values, start - right - low_up, moves[s], out)
        if right:
            # The cell to the left above belongs to the chunk before.
            for j in range(-(-start // w.columns) * w.columns, stop, w.columns):
                out[j - start] *= shift(above[j // w.columns - 1], powers[j // w.columns])
        _begin(w, i - 1, start, stop, s, powers, row[s], low)
        if right:
            _times(out, p.match[p.x[i - 1], start:stop])
        else:
            for k in range(len(out)):
                out[k] *= w.delete[p.x[i - 1]]


@njit(nogil=True, cache=True, error_model="numpy")
def _insertions(
    p: Pair, w: LinearWeights, i: int, first: int, last: int, low: int, row: FloatArray,
    powers: _Integers, moves: FloatArray,
) -> None:  # fmt: skip
    """The insert states of some cells of row i, from left to right."""
    n_gaps = (len(w.start) - 1) // 2
    start, stop = max(first, low + 1), last + 1
    if start >= stop:
        return
    for s in range(1, n_gaps + 1):
        out = row[s]
        _combine(row, start - 1 - low, moves[s], out[start - low : stop - low])
        for j in range(-(-start // w.columns) * w.columns, stop, w.columns):
            out[j - low] *= shift(powers[j // w.columns - 1], powers[j // w.columns])
        _begin(w, i, start, stop, s, powers, out, low)
        _times(out[start - low : stop - low], p.insert[start:stop])
    t11 = w.transitions[1, 1]
    t12, t21, t22 = (
        w.transitions[1, n_gaps],
        w.transitions[n_gaps, 1],
        w.transitions[n_gaps, n_gaps],
    )
    j = start
    while j < stop:
        end = min(stop, (j // w.columns + 1) * w.columns)
        factor = 1.0
        if j % w.columns == 0:
            factor = shift(powers[j // w.columns - 1], powers[j // w.columns])
        one, two = row[1, j - 1 - low] * factor, row[n_gaps, j - 1 - low] * factor
        letters, first_row = p.insert[j:end], row[1, j - low : end - low]
        if n_gaps == 1:
            for k in range(end - j):
                one = first_row[k] + letters[k] * t11 * one
                first_row[k] = one
        else:
            second_row = row[2, j - low : end - low]
            for k in range(end - j):
                new = first_row[k] + letters[k] * (t11 * one + t21 * two)
                two = second_row[k] + letters[k] * (t12 * one + t22 * two)
                one = new
                first_row[k], second_row[k] = one, two
        j = end


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"nnan", "ninf", "nsz", "reassoc"})
def _largest(values: FloatArray, start: int, stop: int) -> float:
    top = 0.0
    for r in range(len(values)):
        row = values[r, start:stop]
        for k in range(stop - start):
            top = max(top, row[k])
    return top


@njit(nogil=True, cache=True, error_model="numpy")
def _powers(band: Band, i: int, above: RowSums, a: int, powers: _Integers, columns: int) -> None:
    """Powers of two for row i: those of the row above, but that none is far below its neighbour.

    Where that is so, the row above is brought to the new power.
    """
    powers[:] = EMPTY
    for chunk in range(band.low[i] // columns, band.high[i] // columns + 1):
        up = above.powers[a, chunk] if i > 0 else EMPTY
        beside = powers[chunk - 1] if chunk > 0 else EMPTY
        corner = above.powers[a, chunk - 1] if i > 0 and chunk > 0 else EMPTY
        beside = max(beside, corner)
        power = beside if up == EMPTY else max(up, beside - 800)
        powers[chunk] = 0 if power == EMPTY else power
        if up != EMPTY and power != up:
            low = band.low[i - 1]
            first = max(chunk * columns, low) - low
            last = min(chunk * columns + columns - 1, band.high[i - 1]) - low
            _scale(above.values[a], first, last + 1, shift(up, power))
            above.powers[a, chunk] = power


@njit(nogil=True, cache=True, error_model="numpy")
def _rescale(row: FloatArray, powers: _Integers, first: int, last: int, columns: int) -> None:
    """Bring the largest number of each chunk near 1; a chunk of zeros is EMPTY."""
    for chunk in range(first // columns, last // columns + 1):
        start = max(chunk * columns, first) - first
        stop = min(chunk * columns + columns - 1, last) + 1 - first
        largest = _largest(row, start, stop)
        if largest == 0.0:
            powers[chunk] = EMPTY
            continue
        excess = math.frexp(largest)[1]
        if abs(excess) > 100:
            _scale(row, start, stop, math.ldexp(1.0, -excess))
            powers[chunk] += excess


@njit(nogil=True, cache=True, error_model="numpy")
def advance(
    p: Pair, w: LinearWeights, band: Band, i: int, above: RowSums, a: int, out: RowSums, b: int
) -> None:
    """Row ``i`` of the grid, into row b of ``out``, from row i - 1, which is row a of ``above``."""
    low, high = band.low[i], band.high[i]
    n_states = len(w.start)
    row, powers = out.values[b], out.powers[b]
    _powers(band, i, above, a, powers, w.columns)
    # Moves into each state; insertions after insertions are added one by one afterwards.
    moves = np.zeros((n_states, n_states))
    for s in range(n_states):
        for r in range(n_states):
            if not (0 < r < (n_states + 1) // 2 and 0 < s < (n_states + 1) // 2):
                moves[s, r] = w.transitions[r, s]
    for first in range(low // _PANEL * _PANEL, high + 1, _PANEL):
        start, last = max(first, low), min(first + _PANEL - 1, high)
        for s in range(n_states):
            row[s, start - low : last + 1 - low] = 0.0
        if i > 0:
            _from_above(
                p, w, band, i, start, last, above.values[a], above.powers[a], row, powers, moves
            )
        _insertions(p, w, i, start, last, low, row, powers, moves)
    _rescale(row, powers, low, high, w.columns)


@njit(nogil=True, cache=True, error_model="numpy")
def forward_kept(p: Pair, w: LinearWeights, band: Band, every: int) -> tuple[RowSums, float, int]:
    """Rows 0, every, 2 · every, …; and the sum over all alignments with its power of two."""
    n, m, n_states = len(p.x), len(p.y), len(w.start)
    n_chunks = m // w.columns + 1
    kept = RowSums(
        np.zeros((n // every + 1, n_states, band.width)),
        np.full((n // every + 1, n_chunks), EMPTY, dtype=np.int32),
    )
    rows = RowSums(
        np.zeros((2, n_states, band.width)), np.full((2, n_chunks), EMPTY, dtype=np.int32)
    )
    total, power = 0.0, EMPTY
    for i in range(n + 1):
        advance(p, w, band, i, rows, (i + 1) % 2, rows, i % 2)
        if i % every == 0:
            _copy(rows, i % 2, kept, i // every)
        share, share_power = ended(w, band, i, n, m, rows, i % 2)
        if share > 0.0:
            new = max(power, share_power)
            total = total * shift(power, new) + share * shift(share_power, new)
            power = new
    return kept, total, power


@njit(nogil=True, cache=True, error_model="numpy")
def ended(
    w: LinearWeights, band: Band, i: int, n: int, m: int, rows: RowSums, b: int
) -> tuple[float, int]:
    """Sum over the alignments that end in row i, and its power of two."""
    everywhere = w.ends == 2 or (w.ends == 3 and i == n)
    if (band.high[i] < m and not everywhere) or (w.ends == 0 and i < n):
        return 0.0, EMPTY
    # Alignments of a clamped y end in the last column.
    first = band.low[i] if everywhere else m
    total, power = 0.0, EMPTY
    for j in range(first, band.high[i] + 1):
        here = rows.powers[b, j // w.columns]
        if here == EMPTY:
            continue
        share = 0.0
        for s in range(len(w.end)):
            share += rows.values[b, s, j - band.low[i]] * w.end[s]
        if here > power:
            total *= shift(power, here)
            power = here
        if here != power:
            share *= shift(here, power)
        total += flank(w.ends, n - i, m - j) * share
    return total, power


@njit(nogil=True, cache=True, error_model="numpy")
def forward_block(
    p: Pair, w: LinearWeights, band: Band, kept: RowSums, block: int, every: int, out: RowSums
) -> int:
    """Rows of a block again, from the row that was kept at its top; returns how many they are."""
    first = block * every
    count = min(every, len(p.x) + 1 - first)
    _copy(kept, block, out, 0)
    for r in range(1, count):
        advance(p, w, band, first + r, out, r - 1, out, r)
    return count
