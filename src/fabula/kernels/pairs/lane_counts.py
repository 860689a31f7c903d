"""Expected events of 16 pairs at a time: the sums over what follows, met with those before.

What comes into each tile of cells is noted on the way forward, and the cells are computed again
when the backward sums come by. In each cell three weights wait for the cell before: those of all
that begins with a match, an insertion or a deletion into the cells that follow.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.kernels.lanes import (
    add_where,
    gather,
    integer_add,
    integer_splat,
    integer_subtract,
    load,
    load_integers,
    lookup,
    multiply,
    multiply_add,
    power_of_two,
    splat,
    store,
    store_integers,
)
from fabula.kernels.pairs.counts import Events
from fabula.kernels.pairs.forward import beginnings, forward_rows, forward_tile, rescaled
from fabula.kernels.pairs.lanes import (
    LaneGrid,
    LaneWeights,
    aligned_empty,
    aligned_integers,
    aligned_zeros,
    lane_grid,
    touches_end,
    touches_start,
)

__all__ = ["count_lanes"]

_Integers = NDArray[np.int32]

# 16 MB a thread.
_NUMBERS_NOTED = 4_000_000


@njit(inline="always")
def _add_to(array, place, value, factor):  # type: ignore[no-untyped-def]
    store(array, place, multiply_add(value, factor, load(array, place)))


@njit(inline="always")
def _tile(  # type: ignore[no-untyped-def]
    edge, grid, w, i_start, i_end, j_start, j_end, columns, inserts, corner, scale,
    kept, found, codes, held,
):  # fmt: skip
    """One tile of cells, from its last to its first, and the events in it."""
    low, high = load(w.match, 0), load(w.match, 16)
    from_side, begin_scale, end_scale, share = scale
    t = w.transitions
    t00, t01, t02 = splat(t[0, 0]), splat(t[0, 1]), splat(t[0, 2])
    t10, t11, t12 = splat(t[1, 0]), splat(t[1, 1]), splat(t[1, 2])
    t20, t21, t22 = splat(t[2, 0]), splat(t[2, 1]), splat(t[2, 2])
    nothing = splat(np.float32(0.0))
    c00 = c01 = c02 = c10 = c11 = c12 = c20 = c21 = c22 = nothing
    e0 = e1 = e2 = s0 = s1 = s2 = nothing
    for i in range(i_end - 1, i_start - 1, -1):
        r = (i - i_start) * 16
        x, delete = load_integers(grid.x, i * 16), load(grid.delete, i * 16)
        insertion = multiply(load(inserts, r), from_side)
        diagonal = multiply(load(corner, r), from_side)
        l0 = l1 = l2 = l3 = l4 = alone = nothing
        for j in range(j_end - 1, j_start - 1, -1):
            k = j * 64
            place = ((i - i_start) * w.tile + j - j_start) * 48
            f0, f1, f2 = load(kept, place), load(kept, place + 16), load(kept, place + 32)
            match, deletion = diagonal, load(columns, j * 32 + 16)
            diagonal = load(columns, j * 32)
            # Only the last product of each waits for the cell to the right.
            b0 = multiply_add(insertion, t01, multiply_add(deletion, t02, multiply(match, t00)))
            b1 = multiply_add(insertion, t11, multiply_add(deletion, t12, multiply(match, t10)))
            b2 = multiply_add(insertion, t21, multiply_add(deletion, t22, multiply(match, t20)))
            c00, c01 = multiply_add(f0, match, c00), multiply_add(f0, insertion, c01)
            c10, c11 = multiply_add(f1, match, c10), multiply_add(f1, insertion, c11)
            c20, c21 = multiply_add(f2, match, c20), multiply_add(f2, insertion, c21)
            c02, c12 = multiply_add(f0, deletion, c02), multiply_add(f1, deletion, c12)
            c22 = multiply_add(f2, deletion, c22)
            if edge:
                begin = multiply(beginnings(grid, i, j), begin_scale)
                s0, s1 = multiply_add(begin, match, s0), multiply_add(begin, insertion, s1)
                s2 = multiply_add(begin, deletion, s2)
                end = multiply(
                    end_scale,
                    splat(
                        grid.end_row[0, i] * grid.end_column[0, j]
                        + grid.end_row[1, i] * grid.end_column[1, j]
                    ),
                )
                e0, e1 = multiply_add(f0, end, e0), multiply_add(f1, end, e1)
                e2 = multiply_add(f2, end, e2)
                b0 = multiply_add(end, splat(w.end[0]), b0)
                b1 = multiply_add(end, splat(w.end[1]), b1)
                b2 = multiply_add(end, splat(w.end[2]), b2)
            y = load_integers(grid.columns, k + 48)
            index = integer_add(x, y)
            seen = multiply(f0, b0)
            if w.small:
                emission = lookup(low, high, w.match, index)
                l0 = add_where(l0, seen, y, np.int32(0))
                l1 = add_where(l1, seen, y, np.int32(1))
                l2 = add_where(l2, seen, y, np.int32(2))
                l3 = add_where(l3, seen, y, np.int32(3))
                l4 = add_where(l4, seen, y, np.int32(4))
            else:
                emission = gather(w.match, index)
                store(held, 0, multiply(seen, share))
                for lane in range(16):
                    letters = grid.x[i * 16 + lane] + codes[k + 48 + lane]
                    found.match[letters * 16 + lane] += held[lane]
            _add_to(found.insert, j * 16, multiply(f1, b1), share)
            alone = multiply_add(f2, b2, alone)
            insertion = multiply(load(grid.columns, k + 32), b1)
            store(columns, j * 32, multiply(emission, b0))
            store(columns, j * 32 + 16, multiply(delete, b2))
        store(inserts, r, insertion)
        store(corner, r, diagonal)
        _add_to(found.delete, i * 16, alone, share)
        if w.small:
            _add_to(found.match, i * 80, l0, share)
            _add_to(found.match, i * 80 + 16, l1, share)
            _add_to(found.match, i * 80 + 32, l2, share)
            _add_to(found.match, i * 80 + 48, l3, share)
            _add_to(found.match, i * 80 + 64, l4, share)
    _add_to(found.moves, 0, c00, share)
    _add_to(found.moves, 16, c01, share)
    _add_to(found.moves, 32, c02, share)
    _add_to(found.moves, 48, c10, share)
    _add_to(found.moves, 64, c11, share)
    _add_to(found.moves, 80, c12, share)
    _add_to(found.moves, 96, c20, share)
    _add_to(found.moves, 112, c21, share)
    _add_to(found.moves, 128, c22, share)
    if edge:
        _add_to(found.moves, 144, s0, share)
        _add_to(found.moves, 160, s1, share)
        _add_to(found.moves, 176, s2, share)
        _add_to(found.moves, 192, e0, share)
        _add_to(found.moves, 208, e1, share)
        _add_to(found.moves, 224, e2, share)


class LaneEvents(NamedTuple):
    """Events of 16 pairs, lanes last; what is multiplied by a parameter still lacks it."""

    # By row of the grid and letter of y, (n + 1) · 5 · 16; or by letters, (A + 1)² · 16.
    match: FloatArray
    insert: FloatArray  # by column, (m + 1) · 16
    delete: FloatArray  # by row, (n + 1) · 16
    moves: FloatArray  # 9 moves, 3 starts and 3 ends, 15 · 16


@njit(nogil=True, cache=True, error_model="numpy")
def _backward_rows(
    grid: LaneGrid,
    w: LaneWeights,
    i_start: int,
    columns: FloatArray,
    powers: _Integers,
    notes: FloatArray,
    kept_powers: _Integers,
    per_total: FloatArray,
    total_power: _Integers,
    found: LaneEvents,
) -> None:
    """Go backwards through the rows of tiles that begin at ``i_start``, and count."""
    i_end = min(i_start + w.tile, grid.n + 1)
    inserts, corner = aligned_zeros(w.tile * 16), aligned_zeros(w.tile * 16)
    tops, sides = aligned_zeros(w.tile * 16), aligned_zeros(w.tile * 16)
    kept, held = aligned_empty(w.tile * w.tile * 48), aligned_zeros(16)
    codes = grid.columns.view(np.int32)
    zero = integer_splat(np.int32(0))
    n_tiles = len(powers) // 16
    right = load_integers(powers, (n_tiles - 1) * 16)
    for tile in range(n_tiles - 1, -1, -1):
        j_start = tile * w.tile
        j_end = min(j_start + w.tile, grid.m + 1)
        forward_tile(grid, w, i_start, i_end, tile, kept_powers, notes, tops, sides, kept)
        old = load_integers(powers, tile * 16)
        power = rescaled(columns, 32, j_start, j_end, old, right)
        store_integers(powers, tile * 16, power)
        before = load_integers(kept_powers, tile * 16)
        product = integer_add(before, power)
        product = integer_subtract(product, load_integers(total_power, 0))
        scale = (
            power_of_two(integer_subtract(right, power)),
            power_of_two(integer_subtract(zero, before)),
            power_of_two(integer_subtract(zero, power)),
            multiply(power_of_two(product), load(per_total, 0)),
        )
        right = power
        if touches_end(grid, w.ends, i_end, j_end) or touches_start(
            grid, w.ends, i_start, i_end, j_start, j_end
        ):
            _tile(
                True, grid, w, i_start, i_end, j_start, j_end, columns, inserts, corner, scale,
                kept, found, codes, held,
            )  # fmt: skip
        else:
            _tile(
                False, grid, w, i_start, i_end, j_start, j_end, columns, inserts, corner, scale,
                kept, found, codes, held,
            )  # fmt: skip


@njit(nogil=True, cache=True, error_model="numpy")
def _lane_events(grid: LaneGrid, w: LaneWeights) -> tuple[LaneEvents, FloatArray, _Integers]:
    """Events of the pairs of a grid; and the sum over all alignments with its power of two."""
    n_tiles, n_blocks = grid.m // w.tile + 1, grid.n // w.tile + 1
    noted = n_tiles * w.tile * 64
    # Rows of tiles whose notes are kept at a time; for earlier ones, those are made again.
    every = min(max(_NUMBERS_NOTED // noted, 1), n_blocks)
    n_parts = -(-n_blocks // every)
    notes = aligned_empty(every * noted)
    note_powers = np.empty((every, n_tiles * 16), dtype=np.int32)
    above = np.empty((n_parts, len(grid.columns)), dtype=np.float32)
    above_powers = np.empty((n_parts, n_tiles * 16), dtype=np.int32)
    powers = aligned_integers(n_tiles * 16, 30)
    total, total_power = aligned_zeros(16), aligned_integers(16, -(2**20))
    for block in range(n_blocks):
        part, r = block // every, block % every
        if r == 0:
            above[part], above_powers[part] = grid.columns, powers
        into = notes[r * noted : (r + 1) * noted if part == n_parts - 1 else r * noted]
        forward_rows(grid, w, block * w.tile, powers, total, total_power, into)
        note_powers[r] = powers
    n_codes = len(w.insert)
    found = LaneEvents(
        aligned_zeros((grid.n + 1) * 80 if w.small else n_codes * n_codes * 16),
        aligned_zeros((grid.m + 1) * 16),
        aligned_zeros((grid.n + 1) * 16),
        aligned_zeros(15 * 16),
    )
    # Totals of about 1, so that what they divide stays finite: in cells before a pair's first,
    # where nothing is seen, 0 is multiplied by it.
    per_total = aligned_zeros(16)
    for lane in range(16):
        if total[lane] > 0.0:
            value, power = math.frexp(total[lane])
            total[lane] = 2.0 * value
            total_power[lane] += power - 1
            per_total[lane] = 0.5 / value
    columns = aligned_zeros((grid.m + 1) * 32)
    back_powers = aligned_integers(n_tiles * 16, 30)
    spare, spare_power = aligned_zeros(16), aligned_integers(16, 0)
    for part in range(n_parts - 1, -1, -1):
        first, last = part * every, min((part + 1) * every, n_blocks)
        if part < n_parts - 1:
            grid.columns[:] = above[part]
            powers[:] = above_powers[part]
            for block in range(first, last):
                r = block - first
                into = notes[r * noted : (r + 1) * noted]
                forward_rows(grid, w, block * w.tile, powers, spare, spare_power, into)
                note_powers[r] = powers
        for block in range(last - 1, first - 1, -1):
            r = block - first
            _backward_rows(
                grid, w, block * w.tile, columns, back_powers, notes[r * noted : (r + 1) * noted],
                note_powers[r], per_total, total_power, found,
            )  # fmt: skip
    return found, total, total_power


@njit(nogil=True, cache=True, error_model="numpy")
def _by_letter(
    values: FloatArray, value_step: int, codes: _Integers, code_step: int, count: int, wanted: int,
    out: FloatArray, place: int,
) -> None:  # fmt: skip
    """Sum, lane by lane, of the values where the code is the one that is wanted."""
    total = splat(np.float32(0.0))
    for k in range(count):
        code = load_integers(codes, k * code_step)
        total = add_where(total, load(values, k * value_step), code, np.int32(wanted))
    store(out, place, total)


@njit(nogil=True, cache=True, error_model="numpy")
def _add_events(
    grid: LaneGrid, w: LaneWeights, found: LaneEvents, weights: FloatArray, events: Events
) -> None:
    """Add what was found for each pair, times its weight."""
    a = len(w.insert)
    y = grid.columns.view(np.int32)[48:]
    match = aligned_empty(a * a * 16) if w.small else found.match
    insert, delete = aligned_empty(a * 16), aligned_empty(a * 16)
    n, m = grid.n + 1, grid.m + 1
    for code in range(a):
        # The table of matches has a row of ``a`` for each letter of x.
        _by_letter(found.delete, 16, grid.x, 16, n, code * a, delete, code * 16)
        _by_letter(found.insert, 16, y, 64, m, code, insert, code * 16)
        if w.small:
            for other in range(a):
                place = (code * a + other) * 16
                _by_letter(found.match[other * 16 :], 80, grid.x, 16, n, code * a, match, place)
    for lane in range(16):
        weight = weights[lane]
        if weight == 0.0:
            continue
        for code in range(a):
            events.insert[code] += weight * insert[code * 16 + lane]
            events.delete[code] += weight * delete[code * 16 + lane]
            for other in range(a):
                events.match[code, other] += weight * match[(code * a + other) * 16 + lane]
        for s in range(3):
            for t in range(3):
                seen = found.moves[(s * 3 + t) * 16 + lane]
                events.moves[s, t] += weight * w.transitions[s, t] * seen
            events.start[s] += weight * w.start[s] * found.moves[(9 + s) * 16 + lane]
            events.moves[s, 3] += weight * w.end[s] * found.moves[(12 + s) * 16 + lane]


@njit(nogil=True, cache=True, error_model="numpy")
def count_lanes(
    x: NDArray[np.uint8],
    x_offsets: NDArray[np.intp],
    y: NDArray[np.uint8],
    y_offsets: NDArray[np.intp],
    order: NDArray[np.intp],
    w: LaneWeights,
    log_empty: FloatArray,
    weights: FloatArray,
    events: Events,
    out: FloatArray,
) -> None:
    """Add the events of the pairs in ``order``, and put the log of their sums into ``out``.

    ``log_empty`` (n,) holds the log weights of the alignments without a column, on the same
    scale as the sums, which include them.
    """
    share = np.empty(16)
    for first in range(0, len(order), 16):
        which = order[first : first + 16]
        grid = lane_grid(x, x_offsets, y, y_offsets, which, w)
        found, total, power = _lane_events(grid, w)
        share[:] = 0.0
        for lane in range(len(which)):
            k = which[lane]
            empty, value = log_empty[k], float(total[lane])
            log_total = math.log(value) + power[lane] * math.log(2.0) if value > 0 else -math.inf
            largest = max(empty, log_total)
            out[k] = largest
            if largest > -math.inf:
                both = math.exp(empty - largest) + math.exp(log_total - largest)
                out[k] += math.log(both)
                share[lane] = weights[k] * math.exp(log_total - out[k])
                events.start[3] += weights[k] * math.exp(empty - out[k])
        _add_events(grid, w, found, share, events)
