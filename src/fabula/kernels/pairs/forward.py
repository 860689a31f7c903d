"""The sum over all alignments of 16 pairs at a time (Durbin et al. 1998, section 4.2).

In each cell three sums wait for the next letters: those of alignments that go on with a match
(read by the cell below and to the right), with an insertion (read by the cell to the right) and
with a deletion (read by the cell below). So a cell reads three numbers of its neighbours, and
writes three.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.kernels.lanes import (
    exponent,
    gather,
    integer_add,
    integer_maximum,
    integer_select,
    integer_splat,
    integer_subtract,
    load,
    load_integers,
    lookup,
    maximum,
    multiply,
    multiply_add,
    power_of_two,
    splat,
    store,
    store_integers,
)
from fabula.kernels.pairs.lanes import (
    LaneGrid,
    LaneWeights,
    aligned_integers,
    aligned_zeros,
    lane_grid,
    touches_end,
    touches_start,
)

__all__ = [
    "beginnings",
    "forward_lanes",
    "forward_rows",
    "forward_tile",
    "log_totals",
    "rescaled",
]

_Integers = NDArray[np.int32]


@njit(inline="always")
def beginnings(grid, i, j):  # type: ignore[no-untyped-def]
    """Weight with which alignments begin in a cell, lane by lane."""
    return multiply_add(
        load(grid.start_row[0], i * 16),
        load(grid.start_column[0], j * 16),
        multiply(load(grid.start_row[1], i * 16), load(grid.start_column[1], j * 16)),
    )


@njit(inline="always")
def _ended(grid, w, i, j, m, a, d, total):  # type: ignore[no-untyped-def]
    """``total`` with the alignments that end in a cell."""
    end = grid.end_row[0, i] * grid.end_column[0, j] + grid.end_row[1, i] * grid.end_column[1, j]
    total = multiply_add(m, splat(w.end[0] * end), total)
    total = multiply_add(a, splat(w.end[1] * end), total)
    return multiply_add(d, splat(w.end[2] * end), total)


@njit(inline="always")
def _tile(  # type: ignore[no-untyped-def]
    edge, keep, grid, w, i_start, i_end, j_start, j_end,
    inserts, corner, scale, total, kept,
):  # fmt: skip
    """One tile of cells, two rows at a time; returns what ended in it, in its own scale."""
    low, high = load(w.match, 0), load(w.match, 16)
    columns, t = grid.columns, w.transitions
    t00, t01, t02 = splat(t[0, 0]), splat(t[0, 1]), splat(t[0, 2])
    t10, t11, t12 = splat(t[1, 0]), splat(t[1, 1]), splat(t[1, 2])
    t20, t21, t22 = splat(t[2, 0]), splat(t[2, 1]), splat(t[2, 2])
    if edge:
        start0 = multiply(splat(w.start[0]), scale[1])
        start1 = multiply(splat(w.start[1]), scale[1])
        start2 = multiply(splat(w.start[2]), scale[1])
    for i in range(i_start, i_end, 2):
        r = (i - i_start) * 16
        x, x2 = load_integers(grid.x, i * 16), load_integers(grid.x, i * 16 + 16)
        delete, delete2 = load(grid.delete, i * 16), load(grid.delete, i * 16 + 16)
        to_insert = multiply(load(inserts, r), scale[0])
        to_insert2 = multiply(load(inserts, r + 16), scale[0])
        diagonal = multiply(load(corner, r), scale[0])
        diagonal2 = multiply(load(corner, r + 16), scale[0])
        for j in range(j_start, j_end):
            k = j * 64
            insert, y = load(columns, k + 32), load_integers(columns, k + 48)
            index, index2 = integer_add(x, y), integer_add(x2, y)
            if w.small:
                emission = lookup(low, high, w.match, index)
                emission2 = lookup(low, high, w.match, index2)
            else:
                emission, emission2 = gather(w.match, index), gather(w.match, index2)
            m = multiply(emission, diagonal)
            diagonal = load(columns, k)
            d = multiply(delete, load(columns, k + 16))
            a = multiply(insert, to_insert)
            to_match = multiply_add(d, t20, multiply(m, t00))
            to_delete = multiply_add(d, t22, multiply(m, t02))
            # Only one product waits for the cell to the left.
            others = multiply_add(d, t21, multiply(m, t01))
            if edge:
                start = beginnings(grid, i, j)
                to_match = multiply_add(start, start0, to_match)
                others = multiply_add(start, start1, others)
                to_delete = multiply_add(start, start2, to_delete)
                total = _ended(grid, w, i, j, m, a, d, total)
            to_insert = multiply_add(a, t11, others)
            to_match = multiply_add(a, t10, to_match)
            to_delete = multiply_add(a, t12, to_delete)
            if keep:
                place = ((i - i_start) * w.tile + j - j_start) * 48
                store(kept, place, m)
                store(kept, place + 16, a)
                store(kept, place + 32, d)
            m = multiply(emission2, diagonal2)
            diagonal2 = to_match
            d = multiply(delete2, to_delete)
            a = multiply(insert, to_insert2)
            to_match = multiply_add(d, t20, multiply(m, t00))
            to_delete = multiply_add(d, t22, multiply(m, t02))
            others = multiply_add(d, t21, multiply(m, t01))
            if edge:
                start = beginnings(grid, i + 1, j)
                to_match = multiply_add(start, start0, to_match)
                others = multiply_add(start, start1, others)
                to_delete = multiply_add(start, start2, to_delete)
                total = _ended(grid, w, i + 1, j, m, a, d, total)
            to_insert2 = multiply_add(a, t11, others)
            store(columns, k, multiply_add(a, t10, to_match))
            store(columns, k + 16, multiply_add(a, t12, to_delete))
            if keep:
                place = ((i + 1 - i_start) * w.tile + j - j_start) * 48
                store(kept, place, m)
                store(kept, place + 16, a)
                store(kept, place + 32, d)
        store(inserts, r, to_insert)
        store(inserts, r + 16, to_insert2)
        store(corner, r, diagonal)
        store(corner, r + 16, diagonal2)
    return total


@njit(inline="always")
def rescaled(columns, step, j_start, j_end, old, beside):  # type: ignore[no-untyped-def]
    """Bring the largest number of the row beyond a tile to about 2**-30; returns its new power.

    Each column has ``step`` numbers, of which the first 32 are brought there.
    """
    largest = splat(np.float32(0.0))
    for k in range(j_start * step, j_end * step, step):
        largest = maximum(largest, maximum(load(columns, k), load(columns, k + 16)))
    shift = integer_add(exponent(largest), integer_splat(np.int32(30)))
    factor = power_of_two(integer_subtract(integer_splat(np.int32(0)), shift))
    for k in range(j_start * step, j_end * step, step):
        store(columns, k, multiply(load(columns, k), factor))
        store(columns, k + 16, multiply(load(columns, k + 16), factor))
    # Where nothing has come over that row, the numbers will come from the side.
    return integer_select(largest, integer_add(old, shift), beside)


@njit(inline="always")
def _enter(grid, powers, tile, j_start, j_end, left):  # type: ignore[no-untyped-def]
    """Choose the power of a tile; what comes from the left, and a beginning, in that power."""
    old = load_integers(powers, tile * 16)
    power = rescaled(grid.columns, 64, j_start, j_end, old, left)
    store_integers(powers, tile * 16, power)
    from_left = power_of_two(integer_subtract(left, power))
    return power, (from_left, power_of_two(integer_subtract(integer_splat(np.int32(0)), power)))


@njit(nogil=True, cache=True, error_model="numpy")
def forward_rows(
    grid: LaneGrid,
    w: LaneWeights,
    i_start: int,
    powers: _Integers,
    total: FloatArray,
    total_power: _Integers,
    notes: FloatArray,
) -> None:
    """Go through the next rows of tiles.

    Parameters
    ----------
    grid : LaneGrid
        Its columns hold the sums that wait above row ``i_start``; then those below the last row.
    powers : (tiles · 16,) array
        Power of two of each tile; changed likewise.
    total, total_power : (16,) arrays
        Sum of the alignments that have ended, and its power of two; added to.
    notes : (tiles · tile · 64,) array
        For `forward_tile`; where it is empty, nothing is noted.
    """
    i_end = min(i_start + w.tile, grid.n + 1)
    inserts, corner = aligned_zeros(w.tile * 16), aligned_zeros(w.tile * 16)
    zero = splat(np.float32(0.0))
    left = load_integers(powers, 0)
    for tile in range(len(powers) // 16):
        j_start = tile * w.tile
        j_end = min(j_start + w.tile, grid.m + 1)
        left, scale = _enter(grid, powers, tile, j_start, j_end, left)
        if len(notes):
            _note(notes, tile, grid, w.tile, j_start, j_end, inserts, corner, scale[0])
        ends = touches_end(grid, w.ends, i_end, j_end)
        if ends or touches_start(grid, w.ends, i_start, i_end, j_start, j_end):
            ended = _tile(
                True, False, grid, w, i_start, i_end, j_start, j_end, inserts, corner, scale,
                zero, inserts,
            )  # fmt: skip
            if ends:
                before = load_integers(total_power, 0)
                after = integer_select(ended, integer_maximum(before, left), before)
                sum_ = multiply(load(total, 0), power_of_two(integer_subtract(before, after)))
                share = power_of_two(integer_subtract(left, after))
                store(total, 0, multiply_add(ended, share, sum_))
                store_integers(total_power, 0, after)
        else:
            _tile(
                False, False, grid, w, i_start, i_end, j_start, j_end, inserts, corner, scale,
                zero, inserts,
            )  # fmt: skip


@njit(inline="always")
def _note(notes, tile, grid, width, j_start, j_end, inserts, corner, from_left):  # type: ignore[no-untyped-def]
    """Keep what comes into a tile from above and from the left."""
    place = tile * width * 64
    for j in range(j_start, j_end):
        k = place + (j - j_start) * 32
        store(notes, k, load(grid.columns, j * 64))
        store(notes, k + 16, load(grid.columns, j * 64 + 16))
    place += width * 32
    for r in range(width):
        store(notes, place + r * 32, multiply(load(inserts, r * 16), from_left))
        store(notes, place + r * 32 + 16, multiply(load(corner, r * 16), from_left))


@njit(nogil=True, cache=True, error_model="numpy")
def forward_tile(
    grid: LaneGrid,
    w: LaneWeights,
    i_start: int,
    i_end: int,
    tile: int,
    powers: _Integers,
    notes: FloatArray,
    inserts: FloatArray,
    corner: FloatArray,
    kept: FloatArray,
) -> None:
    """One tile again, from what `forward_rows` noted.

    The weights of the beginnings that end in each of its cells are put into ``kept``
    (rows · tile · 3 · 16).
    """
    j_start = tile * w.tile
    j_end = min(j_start + w.tile, grid.m + 1)
    place = tile * w.tile * 64
    for j in range(j_start, j_end):
        k = place + (j - j_start) * 32
        store(grid.columns, j * 64, load(notes, k))
        store(grid.columns, j * 64 + 16, load(notes, k + 16))
    place += w.tile * 32
    for r in range(w.tile):
        store(inserts, r * 16, load(notes, place + r * 32))
        store(corner, r * 16, load(notes, place + r * 32 + 16))
    zero = splat(np.float32(0.0))
    power = load_integers(powers, tile * 16)
    begin = power_of_two(integer_subtract(integer_splat(np.int32(0)), power))
    scale = (splat(np.float32(1.0)), begin)
    if touches_start(grid, w.ends, i_start, i_end, j_start, j_end):
        _tile(
            True, True, grid, w, i_start, i_end, j_start, j_end, inserts, corner, scale, zero, kept
        )
    else:
        _tile(
            False, True, grid, w, i_start, i_end, j_start, j_end, inserts, corner, scale, zero,
            kept,
        )  # fmt: skip


@njit(nogil=True, cache=True, error_model="numpy")
def forward_lanes(grid: LaneGrid, w: LaneWeights) -> tuple[FloatArray, _Integers]:
    """Sum over all alignments of each of 16 pairs: a number (16,) and its power of two (16,)."""
    n_tiles = grid.m // w.tile + 1
    # A beginning, which weighs about 1, then stands at 2**-30 as everything else does.
    powers = aligned_integers(n_tiles * 16, 30)
    total = np.zeros(16, dtype=np.float32)
    total_power = np.full(16, -(2**20), dtype=np.int32)
    none = np.empty(0, dtype=np.float32)
    for i in range(0, grid.n + 1, w.tile):
        forward_rows(grid, w, i, powers, total, total_power, none)
    return total, total_power


@njit(nogil=True, cache=True, error_model="numpy")
def log_totals(
    x: NDArray[np.uint8],
    x_offsets: NDArray[np.intp],
    y: NDArray[np.uint8],
    y_offsets: NDArray[np.intp],
    order: NDArray[np.intp],
    w: LaneWeights,
    out: FloatArray,
) -> None:
    """Log of the sum over all alignments of the pairs in ``order``, into their places in ``out``.

    Pairs that follow one another in the order should have similar lengths.
    """
    for first in range(0, len(order), 16):
        which = order[first : first + 16]
        grid = lane_grid(x, x_offsets, y, y_offsets, which, w)
        total, power = forward_lanes(grid, w)
        for lane in range(len(which)):
            value = float(total[lane])
            out[which[lane]] = (
                math.log(value) + power[lane] * math.log(2.0) if value > 0.0 else -math.inf
            )
