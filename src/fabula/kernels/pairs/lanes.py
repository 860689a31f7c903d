"""Sixteen pairs side by side: their letters and edges laid out lane by lane.

Pairs are pushed to the right and to the bottom of one grid, so that all end in its last cell;
what lies before a pair's own first cell stays 0. Rows and columns go through the grid in tiles,
and each tile of each pair has its own power of two, so that float32 neither overflows nor loses
anything that could matter (see `weights.linear_weights`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.kernels.pairs.weights import LinearWeights

__all__ = [
    "LaneGrid",
    "LaneWeights",
    "aligned_empty",
    "aligned_integers",
    "aligned_zeros",
    "lane_grid",
    "lane_weights",
    "letter_sums",
    "touches_end",
    "touches_start",
]

_Integers = NDArray[np.int32]


class LaneWeights(NamedTuple):
    """Weights as the lanes read them, float32."""

    match: FloatArray  # (A + 1)² numbers, or 32 where fewer
    small: bool  # whether match is a table of 32
    insert: FloatArray  # (A + 1,)
    delete: FloatArray  # (A + 1,)
    start: FloatArray  # (3,)
    transitions: FloatArray  # (3, 3)
    end: FloatArray  # (3,)
    ends: int
    tile: int


class LaneGrid(NamedTuple):
    """Sixteen pairs in one grid of n + 1 rows and m + 1 columns; arrays are flat, lanes last."""

    n: int
    m: int
    x: _Integers  # (n + 1) · 16: place of each letter of x in the table of matches
    delete: FloatArray  # (n + 1) · 16
    # (m + 1) · 64: sums that wait for a match and for a deletion, weight of inserting the letter
    # of y, and the letter (int32). They lie together, since stores and loads that are a multiple
    # of 4096 bytes apart wait for one another.
    columns: FloatArray
    first_rows: tuple[int, int]  # least and greatest row 0 of a pair
    first_columns: tuple[int, int]
    start_row: FloatArray  # (2, (n + 1) · 16): alignments begin with the weight of row times
    start_column: FloatArray  # (2, (m + 1) · 16): column, summed over the two
    end_row: FloatArray  # (2, n + 1): likewise they end
    end_column: FloatArray  # (2, m + 1)


def lane_weights(w: LinearWeights) -> LaneWeights:
    """Weights for the lanes."""
    small = w.match.size <= 32
    table = np.zeros(32 if small else w.match.size, dtype=np.float32)
    table[: w.match.size] = w.match.ravel()
    insert, delete, start, transitions, end = (
        np.ascontiguousarray(p, dtype=np.float32) for p in w[1:6]
    )
    return LaneWeights(table, small, insert, delete, start, transitions, end, w.ends, w.tile)


@njit(nogil=True, cache=True, error_model="numpy")
def aligned_zeros(size: int) -> FloatArray:
    """Zeros, float32, that begin at a cache line: vectors across two lines cost twice as much."""
    longer = np.zeros(size + 16, dtype=np.float32)
    first = (-(longer.ctypes.data >> 2)) & 15
    return longer[first : first + size]


@njit(nogil=True, cache=True, error_model="numpy")
def aligned_empty(size: int) -> FloatArray:
    """The same with whatever was there."""
    longer = np.empty(size + 16, dtype=np.float32)
    first = (-(longer.ctypes.data >> 2)) & 15
    return longer[first : first + size]


@njit(nogil=True, cache=True, error_model="numpy")
def aligned_integers(size: int, value: int) -> _Integers:
    """Likewise int32, filled with ``value``."""
    longer = np.full(size + 16, value, dtype=np.int32)
    first = (-(longer.ctypes.data >> 2)) & 15
    return longer[first : first + size]


@njit(nogil=True, cache=True, error_model="numpy")
def lane_grid(
    x: NDArray[np.uint8],
    x_offsets: NDArray[np.intp],
    y: NDArray[np.uint8],
    y_offsets: NDArray[np.intp],
    which: NDArray[np.intp],
    w: LaneWeights,
) -> LaneGrid:
    """Lay out up to 16 pairs; lanes that are left over repeat the first pair."""
    n = m = 0
    for k in which:
        n = max(n, x_offsets[k + 1] - x_offsets[k])
        m = max(m, y_offsets[k + 1] - y_offsets[k])
    # Rows are taken two at a time.
    n += 1 - n % 2
    xs, delete = aligned_integers((n + 1) * 16, 0), aligned_zeros((n + 1) * 16)
    columns = aligned_zeros((m + 1) * 64)
    letters = columns.view(np.int32)
    # Nothing ever comes to cells before a pair's first, but the sums over what follows go through
    # them, and stay in range if there seem to be letters.
    delete[:] = w.delete[0]
    for k in range(0, len(columns), 64):
        columns[k + 32 : k + 48] = w.insert[0]
    first_row, first_column = np.zeros(16, dtype=np.intp), np.zeros(16, dtype=np.intp)
    start_row = np.zeros((2, (n + 1) * 16), dtype=np.float32)
    start_column = np.zeros((2, (m + 1) * 16), dtype=np.float32)
    n_codes = len(w.insert)
    half = np.float32(0.5 if w.ends == 3 else 1.0)
    for lane in range(16):
        k = which[lane if lane < len(which) else 0]
        low, high = x_offsets[k], x_offsets[k + 1]
        first_row[lane] = n - (high - low)
        for i in range(high - low):
            code = x[low + i]
            place = (first_row[lane] + 1 + i) * 16 + lane
            xs[place] = code * n_codes
            delete[place] = w.delete[code]
        low, high = y_offsets[k], y_offsets[k + 1]
        first_column[lane] = m - (high - low)
        for j in range(high - low):
            code = y[low + j]
            place = (first_column[lane] + 1 + j) * 64 + lane
            columns[place + 32] = w.insert[code]
            letters[place + 48] = code
        i, j = first_row[lane], first_column[lane]
        if w.ends == 0 or w.ends == 3:
            start_row[0, i * 16 + lane] = half
        else:
            start_row[0, i * 16 + lane :: 16] = 1.0
        if w.ends == 0 or w.ends == 1:
            start_column[0, j * 16 + lane] = 1.0
        else:
            start_column[0, j * 16 + lane :: 16] = 1.0
        if w.ends == 3:
            start_row[1, i * 16 + lane :: 16] = half
            start_column[1, j * 16 + lane] = 1.0
    end_row, end_column = _end_weights(n, m, w.ends)
    return LaneGrid(
        n, m, xs, delete, columns,
        (first_row.min(), first_row.max()), (first_column.min(), first_column.max()),
        start_row, start_column, end_row, end_column,
    )  # fmt: skip


@njit(nogil=True, cache=True, error_model="numpy")
def letter_sums(
    table: FloatArray, steps: NDArray[np.uint8], offsets: NDArray[np.intp]
) -> FloatArray:
    """Sum (n,) over the letters of each sequence of what the table has for them."""
    out = np.zeros(len(offsets) - 1)
    for k in range(len(out)):
        for code in steps[offsets[k] : offsets[k + 1]]:
            out[k] += table[code]
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _end_weights(n: int, m: int, ends: int) -> tuple[FloatArray, FloatArray]:
    end_row = np.zeros((2, n + 1), dtype=np.float32)
    end_column = np.zeros((2, m + 1), dtype=np.float32)
    if ends == 3:
        end_row[0, n], end_row[1, :] = 0.5, 0.5
        end_column[0, :], end_column[1, m] = 1.0, 1.0
    else:
        end_row[0, n], end_column[0, m] = 1.0, 1.0
        if ends != 0:
            end_row[0, :] = 1.0
        if ends == 2:
            end_column[0, :] = 1.0
    return end_row, end_column


@njit(nogil=True, cache=True, error_model="numpy")
def touches_start(grid: LaneGrid, ends: int, i: int, i_end: int, j: int, j_end: int) -> bool:
    """Whether an alignment may begin in a tile."""
    below, right = i_end > grid.first_rows[0], j_end > grid.first_columns[0]
    row = below and i <= grid.first_rows[1]
    column = right and j <= grid.first_columns[1]
    if ends == 0:
        return row and column
    if ends == 1:
        return below and column
    if ends == 2:
        return below and right
    return (row and right) or (below and column)


@njit(nogil=True, cache=True, error_model="numpy")
def touches_end(grid: LaneGrid, ends: int, i_end: int, j_end: int) -> bool:
    """Whether an alignment may end in a tile."""
    row, column = i_end == grid.n + 1, j_end == grid.m + 1
    if ends == 0:
        return row and column
    if ends == 1:
        return column
    return True if ends == 2 else row or column
