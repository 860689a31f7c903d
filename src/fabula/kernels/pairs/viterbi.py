"""The most probable alignment of one pair (Durbin et al. 1998, section 4.1)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.kernels.pairs.rows import Band, Pair
from fabula.kernels.pairs.weights import PairWeights, log_flank

__all__ = ["best_path", "chain_block", "chain_cells"]


@njit(nogil=True, cache=True, error_model="numpy")
def _best_of(
    values: FloatArray, start: int, moves: FloatArray, constant: float, out: FloatArray,
    came: NDArray[np.uint8],
) -> None:  # fmt: skip
    """``out[k]``: the largest of ``constant`` and ``values[r, start + k] + moves[r]``."""
    out[:] = constant
    came[:] = 255
    for r in range(len(moves)):
        move = moves[r]
        if move == -math.inf:
            continue
        row = values[r, start : start + len(out)]
        for k in range(len(out)):
            value = row[k] + move
            better = value > out[k]
            out[k] = value if better else out[k]
            came[k] = r if better else came[k]


@njit(nogil=True, cache=True, error_model="numpy")
def _copy(source: FloatArray, into: FloatArray) -> None:
    # An assignment of arrays would take numba seconds to compile, for shapes that may differ.
    for s in range(len(source)):
        one, other = source[s], into[s]
        for k in range(len(one)):
            other[k] = one[k]


@njit(nogil=True, cache=True, error_model="numpy")
def _moves_into(w: PairWeights, s: int, skipped: int) -> FloatArray:
    """Moves into a state from every state but 1 … ``skipped``."""
    moves = np.full(len(w.start), -math.inf)
    for r in range(len(moves)):
        if not 1 <= r <= skipped:
            moves[r] = w.transitions[r, s]
    return moves


@njit(nogil=True, cache=True, error_model="numpy")
def _from_above(
    pair: Pair, w: PairWeights, band: Band, i: int, above: FloatArray, out: FloatArray,
    came: NDArray[np.uint8],
) -> None:  # fmt: skip
    """The match and delete states of row i."""
    n_states = len(w.start)
    low, low_up, high_up = band.low[i], band.low[i - 1], band.high[i - 1]
    x = pair.x[i - 1]
    along = log_flank(w.ends, w.log_stop, i - 1, 1)
    border = log_flank(w.ends, w.log_stop, i - 1, 0)
    for s in range(n_states):
        right = int(s == 0)
        if 0 < s < (n_states + 1) // 2:
            continue
        start, stop = max(low, low_up + right), min(band.high[i], high_up + right) + 1
        if start >= stop:
            continue
        moves, first = _moves_into(w, s, 0), start - right - low_up
        best = out[s, start - low : stop - low]
        whence = came[s, start - low : stop - low]
        _best_of(above, first, moves, along + w.start[s], best, whence)
        if start == right:
            _best_of(above, first, moves, border + w.start[s], best[:1], whence[:1])
        emission = pair.match[x, start:stop]
        for k in range(stop - start):
            best[k] += emission[k] if right else w.delete[x]


@njit(nogil=True, cache=True, error_model="numpy")
def _best_row(
    pair: Pair, w: PairWeights, band: Band, i: int, above: FloatArray, out: FloatArray,
    came: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Log weight (S, width) of the best beginnings that end in the cells of row i, and whence."""
    n_states = len(w.start)
    n_gaps = (n_states - 1) // 2
    low = band.low[i]
    count = band.high[i] - low
    for s in range(n_states):
        out[s, : count + 1] = -math.inf
    if i > 0:
        _from_above(pair, w, band, i, above, out, came)
    along = log_flank(w.ends, w.log_stop, i, 1)
    for s in range(1, n_gaps + 1):
        moves = _moves_into(w, s, n_gaps)
        best, whence = out[s, 1 : count + 1], came[s, 1 : count + 1]
        _best_of(out, 0, moves, along + w.start[s], best, whence)
        if low == 0 and count > 0:
            border = log_flank(w.ends, w.log_stop, i, 0) + w.start[s]
            _best_of(out, 0, moves, border, best[:1], whence[:1])
    # Insertions that follow insertions: from left to right, each letter's own weight with them.
    if n_gaps == 1:
        last, move = out[1, 0], w.transitions[1, 1]
        best, whence = out[1, 1 : count + 1], came[1, 1 : count + 1]
        weights = pair.insert[low + 1 : low + count + 1]
        for k in range(count):
            value = last + move
            better = value > best[k]
            last = (value if better else best[k]) + weights[k]
            whence[k] = 1 if better else whence[k]
            best[k] = last
        return
    for k in range(1, count + 1):
        for s in range(1, n_gaps + 1):
            for r in range(1, n_gaps + 1):
                value = out[r, k - 1] + w.transitions[r, s]
                if value > out[s, k]:
                    out[s, k] = value
                    came[s, k] = r
            out[s, k] += pair.insert[low + k]


@njit(nogil=True, cache=True, error_model="numpy")
def best_path(pair: Pair, w: PairWeights, band: Band) -> tuple[float, NDArray[np.uint8], int, int]:
    """Log weight of the best alignment, its states from the last one on, and where it begins.

    Every so many rows one is kept, and what lies between is computed again on the way back.
    ``pair`` holds logarithms here.
    """
    n, m, n_states = len(pair.x), len(pair.y), len(w.start)
    every = max(int(math.sqrt(n + 1.0)), 1)
    # Row k · every - 1 is kept in place k; above row 0 there is nothing.
    kept = np.full(((n + 1) // every + 1, n_states, band.width), -np.inf)
    rows = np.full((every + 1, n_states, band.width), -np.inf)
    came = np.empty((every, n_states, band.width), dtype=np.uint8)
    top, i, j, state = -math.inf, 0, 0, 0
    for a in range(n + 1):
        here = rows[a % 2]
        _best_row(pair, w, band, a, rows[(a + 1) % 2], here, came[0])
        if (a + 1) % every == 0:
            _copy(here, kept[(a + 1) // every])
        # Alignments of a clamped y end in the last column.
        everywhere = w.ends == 2 or (w.ends == 3 and a == n)
        for b in range(band.low[a] if everywhere else max(m, band.low[a]), band.high[a] + 1):
            flank = log_flank(w.ends, w.log_stop, n - a, m - b)
            for s in range(n_states):
                term = here[s, b - band.low[a]] + w.end[s] + flank
                if term > top:
                    top, i, j, state = term, a, b, s
    states = np.empty(n + m, dtype=np.uint8)
    n_gaps = (n_states - 1) // 2
    length, first = 0, n + 1
    while top > -math.inf and state != 255:
        if i < first:
            # Row 0 of the buffer is the one above the block, whence its first row came.
            first = i // every * every
            _copy(kept[first // every], rows[0])
            for a in range(first, min(first + every, n + 1)):
                _best_row(pair, w, band, a, rows[a - first], rows[a - first + 1], came[a - first])
        states[length] = state
        length += 1
        before = came[i - first, state, j - band.low[i]]
        if state == 0 or state > n_gaps:
            i -= 1
        if state <= n_gaps:
            j -= 1
        state = before
    return top, states[:length], i, j


@njit(nogil=True, cache=True, error_model="numpy")
def chain_block(gains: FloatArray, first: int, best: FloatArray, came: NDArray[np.uint8]) -> None:
    """Largest sum of gains over cells, each below and to the right of the one before.

    Blocks of rows are walked from the last to the first. Cells whose gain is not positive are
    never taken.

    Parameters
    ----------
    gains : (count, m) array
        Of the rows from ``first`` on.
    best : (m + 1,) array
        Largest sum from each column on, in the rows below; changed to those of these rows too.
    came : (n, m) array
        Written to: 0 where the cell is taken, 1 to go down, 2 to go right.
    """
    count, m = gains.shape
    for i in range(count - 1, -1, -1):
        diagonal = best[m]
        for j in range(m - 1, -1, -1):
            below = best[j]
            top, move = below, 1
            if best[j + 1] > top:
                top, move = best[j + 1], 2
            if gains[i, j] > 0.0 and diagonal + gains[i, j] > top:
                top, move = diagonal + gains[i, j], 0
            came[first + i, j] = move
            diagonal = below
            best[j] = top


@njit(nogil=True, cache=True, error_model="numpy")
def chain_cells(came: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The cells (k, 2) that `chain_block` took."""
    n, m = came.shape
    cells = np.empty((min(n, m), 2), dtype=np.intp)
    length = i = j = 0
    while i < n and j < m:
        move = came[i, j]
        if move == 0:
            cells[length, 0], cells[length, 1] = i, j
            length += 1
        i += int(move != 2)
        j += int(move != 1)
    return cells[:length].copy()
