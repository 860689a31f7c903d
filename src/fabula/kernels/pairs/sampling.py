"""Alignments of one pair drawn from their posterior (Durbin et al. 1998, section 4.3)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.kernels.pairs.counts import scale
from fabula.kernels.pairs.rows import Band, RowSums, ended, flank
from fabula.kernels.pairs.weights import LinearWeights

__all__ = ["WAITS", "draw_block"]

# State of a path whose last cell has not been met; 255 is that of one that has begun.
WAITS = 254


@njit(nogil=True, cache=True, error_model="numpy")
def draw_block(
    w: LinearWeights, band: Band, n: int, m: int, first: int, count: int, rows: RowSums,
    total: float, power: int, rng: np.random.Generator, left: FloatArray,
    cells: NDArray[np.intp], states: NDArray[np.uint8], paths: NDArray[np.uint8],
    lengths: NDArray[np.intp],
) -> None:  # fmt: skip
    """Follow paths backwards through some rows; blocks are walked from the last to the first.

    Parameters
    ----------
    left : (k,) array
        Share of the posterior that each path still passes by before it takes its last cell.
    cells, states : (k, 2), (k,) arrays
        Where each path has come to, and the state that followed.
    paths, lengths : (k, n + m), (k,) arrays
        States so far, the last one first.
    """
    for r in range(count - 1, -1, -1):
        i = first + r
        share, share_power = ended(w, band, i, n, m, rows, r)
        share = share / total * scale(share_power, 0, power)
        for p in range(len(left)):
            if states[p] == 254:
                if left[p] < share:
                    _end(w, band, i, n, m, rows, r, left[p] / share, cells[p], states, p)
                    _step(w, cells[p], states[p], paths[p], lengths, p)
                else:
                    left[p] -= share
            while states[p] < 254 and cells[p, 0] == i:
                j = cells[p, 1]
                here = scale(rows.powers[r, j // w.columns], 0, 0)
                values = rows.values[r, :, j - band.low[i]]
                begin = flank(w.ends, i, j) * w.start[states[p]]
                states[p] = _before(w, values, here, begin, states[p], rng.random())
                if states[p] < 254:
                    _step(w, cells[p], states[p], paths[p], lengths, p)


@njit(nogil=True, cache=True, error_model="numpy")
def _step(
    w: LinearWeights, cell: NDArray[np.intp], state: int, path: NDArray[np.uint8],
    lengths: NDArray[np.intp], p: int,
) -> None:  # fmt: skip
    n_gaps = (len(w.start) - 1) // 2
    path[lengths[p]] = state
    lengths[p] += 1
    if state == 0 or state > n_gaps:
        cell[0] -= 1
    if state <= n_gaps:
        cell[1] -= 1


@njit(nogil=True, cache=True, error_model="numpy")
def _before(
    w: LinearWeights, values: FloatArray, here: float, begin: float, state: int, uniform: float
) -> int:
    """State before ``state``, or 255 where that was the first."""
    if here == 0.0:
        return 255
    total = begin / here
    for s in range(len(values)):
        total += values[s] * w.transitions[s, state]
    left = uniform * total
    chosen = 255
    if begin > 0.0:
        left -= begin / here
        if left < 0.0:
            return 255
    for s in range(len(values)):
        share = values[s] * w.transitions[s, state]
        if share > 0.0:
            chosen = s
            left -= share
            if left < 0.0:
                break
    return chosen


@njit(nogil=True, cache=True, error_model="numpy")
def _end(
    w: LinearWeights, band: Band, i: int, n: int, m: int, rows: RowSums, r: int, part: float,
    cell: NDArray[np.intp], states: NDArray[np.uint8], p: int,
) -> None:  # fmt: skip
    """The last cell of a path in row i, and its last state: ``part`` of the row's mass away."""
    share, share_power = ended(w, band, i, n, m, rows, r)
    left = part
    for j in range(band.low[i], band.high[i] + 1):
        weight = flank(w.ends, n - i, m - j) / share
        if weight == 0.0:
            continue
        weight *= scale(rows.powers[r, j // w.columns], 0, share_power)
        for s in range(len(w.end)):
            mass = rows.values[r, s, j - band.low[i]] * w.end[s] * weight
            if mass > 0.0:
                states[p] = s
                cell[0], cell[1] = i, j
                left -= mass
                if left < 0.0:
                    return
