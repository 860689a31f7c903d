"""What follows each cell of one pair, met with what precedes it: posteriors and expected events."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.kernels.pairs.rows import EMPTY, Band, Pair, RowSums, advance, flank, pair_of
from fabula.kernels.pairs.weights import LinearWeights

__all__ = ["Backwards", "Events", "backwards", "count_block", "scale", "state_block"]


class Events(NamedTuple):
    """Expected numbers of events, added up; letter A stands for one that is unknown."""

    match: FloatArray  # (A + 1, A + 1)
    insert: FloatArray  # (A + 1,)
    delete: FloatArray  # (A + 1,)
    start: FloatArray  # (S + 1,)
    moves: FloatArray  # (S, S + 1)


class Backwards(NamedTuple):
    """The pair told from the end, and the last two rows of its grid."""

    pair: Pair
    w: LinearWeights
    band: Band
    rows: RowSums  # row r in place r % 2
    done: NDArray[np.intp]  # (1,): the last row that is there


def backwards(pair: Pair, w: LinearWeights, band: Band) -> Backwards:
    """Begin at the end of a pair."""
    m = len(pair.y)
    told = w._replace(start=w.end, end=w.start, transitions=np.ascontiguousarray(w.transitions.T))
    cells = Band(
        np.ascontiguousarray(m - band.high[::-1]), np.ascontiguousarray(m - band.low[::-1]),
        band.width,
    )  # fmt: skip
    rows = RowSums(
        np.zeros((2, len(w.start), band.width)),
        np.full((2, m // w.columns + 1), EMPTY, dtype=np.int32),
    )
    reverse = pair_of(pair.x[::-1], pair.y[::-1], w)
    back = Backwards(reverse, told, cells, rows, np.zeros(1, dtype=np.intp))
    advance(back.pair, back.w, back.band, 0, rows, 1, rows, 0)
    return back


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def scale(power: int, other: int, base: int) -> float:
    """2**(power + other - base); 0 where one of the first two belongs to nothing."""
    if power == EMPTY or other == EMPTY:
        return 0.0
    return math.ldexp(1.0, min(max(power + other - base, -2000), 1000))


@njit(nogil=True, cache=True, error_model="numpy")
def _turn(back: Backwards, wanted: int) -> None:
    """Go on backwards to the row that is wanted, or to the last."""
    while back.done[0] < min(wanted, len(back.pair.x)):
        row = back.done[0] + 1
        advance(back.pair, back.w, back.band, row, back.rows, (row + 1) % 2, back.rows, row % 2)
        back.done[0] = row


@njit(nogil=True, cache=True, error_model="numpy")
def _part_end(j: int, stop: int, m: int, right: int, columns: int) -> int:
    """How far from column j on cells share one power forwards, and one backwards."""
    forwards = (j // columns + 1) * columns
    other = m - j + right
    return min(stop, forwards, j + other % columns + 1)


@njit(nogil=True, cache=True, error_model="numpy")
def state_block(
    p: Pair, w: LinearWeights, band: Band, back: Backwards, first: int, count: int,
    before: RowSums, total: float, power: int, state: int, out: FloatArray,
) -> None:  # fmt: skip
    """Probability that a column of a state ends in each cell of some rows, into ``out``.

    Parameters
    ----------
    first, count, before
        The rows, as `forward_block` gave them; blocks are walked from the last to the first.
    total, power
        As from `forward_kept`.
    out : (count, m + 1) array
        Written to, rows in their order.
    """
    n, m, n_gaps = len(p.x), len(p.y), (len(w.start) - 1) // 2
    down, right = int(state == 0 or state > n_gaps), int(state <= n_gaps)
    out[:] = 0.0
    for r in range(count - 1, -1, -1):
        i = first + r
        _turn(back, n - i + down)
        if i < down:
            continue
        b = (n - i + down) % 2
        stop = min(band.high[i], band.high[i - down] + right) + 1
        j = max(band.low[i], band.low[i - down] + right)
        while j < stop:
            end = _part_end(j, stop, m, right, w.columns)
            factor = scale(
                before.powers[r, j // w.columns], back.rows.powers[b, (m - j + right) // w.columns],
                power,
            ) / total  # fmt: skip
            # Column of the row backwards: (m - j + right) less its first, m - high of row i - down.
            mirror = band.high[i - down] + right
            emission = p.match[p.x[i - 1]] if state == 0 else p.insert
            count_ = end - j
            values = before.values[r, state, j - band.low[i] : end - band.low[i]]
            others = back.rows.values[b, state, mirror - end + 1 : mirror - j + 1]
            into = out[r, j:end]
            if right:
                weights = emission[j:end]
                for k in range(count_):
                    share = others[count_ - 1 - k] * factor
                    # 0 / 0 where a letter is impossible.
                    into[k] = values[k] / weights[k] * share if values[k] > 0.0 else 0.0
            else:
                factor /= w.delete[p.x[i - 1]] if w.delete[p.x[i - 1]] > 0.0 else 1.0
                for k in range(count_):
                    into[k] = values[k] * (others[count_ - 1 - k] * factor)
            j = end


@njit(nogil=True, cache=True, error_model="numpy")
def count_block(
    p: Pair, w: LinearWeights, band: Band, back: Backwards, first: int, count: int,
    before: RowSums, total: float, power: int, weight: float, events: Events,
) -> float:  # fmt: skip
    """Add the events of some rows; returns the mass of the alignments that met the band's edge."""
    n = len(p.x)
    edge_mass = 0.0
    seen = np.empty((len(w.start) + 1, w.columns))
    for r in range(count - 1, -1, -1):
        _turn(back, n - first - r)
        edge_mass += _count_row(
            p, w, band, first + r, before, r, back.rows, (n - first - r) % 2, total, power,
            weight, events, seen,
        )  # fmt: skip
    return edge_mass


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _dot(a: FloatArray, b: FloatArray) -> float:
    total = 0.0
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def _count_row(
    p: Pair, w: LinearWeights, band: Band, i: int, before: RowSums, b: int, after: RowSums, a: int,
    total: float, power: int, weight: float, events: Events, seen: FloatArray,
) -> float:  # fmt: skip
    """Add the events that leave the cells of row i; returns how much mass met the band's edge.

    Told from the end, the step into the next cell is the last one that leads to this cell.
    """
    n, m, n_states = len(p.x), len(p.y), len(w.start)
    low, high = band.low[i], band.high[i]
    weight /= total
    edge_mass = _count_ends(w, i, n, m, low, high, before, b, weight, power, events)
    n_gaps = (n_states - 1) // 2
    j = low
    while j <= high:
        end = _part_end(j, high + 1, m, 0, w.columns)
        here, other = before.powers[b, j // w.columns], after.powers[a, (m - j) // w.columns]
        if other == EMPTY:
            j = end
            continue
        begin = weight * scale(0, other, power)
        factor = weight * scale(here, other, power)
        begins = w.ends == 2 or j == 0 or (w.ends == 3 and i == 0)
        for t in range(n_states):
            # The row backwards, turned round.
            onward = seen[n_states, : end - j]
            other_way = after.values[a, t, high + 1 - end : high + 1 - j]
            for k in range(end - j):
                onward[k] = other_way[end - j - 1 - k]
            into = seen[t, : end - j]
            into[:] = 0.0
            for s in range(n_states):
                move = w.transitions[s, t] * factor
                if move == 0.0:
                    continue
                row = before.values[b, s, j - low : end - low]
                for k in range(end - j):
                    into[k] += move * row[k]
                events.moves[s, t] += move * _dot(row, onward)
            for k in range(end - j):
                into[k] *= onward[k]
            if begins:
                for k in range(end - j):
                    share = begin * flank(w.ends, i, j + k) * w.start[t] * onward[k]
                    events.start[t] += share
                    into[k] += share
        in_x, in_y = int(i < n), min(end, m) - j
        letters = p.y[j : j + in_y]
        for k in range(in_y * in_x):
            events.match[p.x[i], letters[k]] += seen[0, k]
        for t in range(1, n_gaps + 1):
            for k in range(in_y):
                events.insert[letters[k]] += seen[t, k]
        if in_x:
            for t in range(n_gaps + 1, n_states):
                for k in range(end - j):
                    events.delete[p.x[i]] += seen[t, k]
        for k in range(end - j):
            if (j + k == low and low > 0) or (j + k == high and high < m):
                for t in range(n_states):
                    edge_mass += seen[t, k]
        j = end
    return edge_mass


@njit(nogil=True, cache=True, error_model="numpy")
def _count_ends(
    w: LinearWeights, i: int, n: int, m: int, low: int, high: int, before: RowSums, b: int,
    weight: float, power: int, events: Events,
) -> float:  # fmt: skip
    """Add the alignments that end in row i; returns how much of them lies on the band's edge."""
    edge_mass = 0.0
    first = low if w.ends == 2 or (w.ends == 3 and i == n) else max(m, low)
    for j in range(first, high + 1):
        factor = flank(w.ends, n - i, m - j)
        if factor == 0.0:
            continue
        factor *= weight * scale(before.powers[b, j // w.columns], 0, power)
        for s in range(len(w.end)):
            share = before.values[b, s, j - low] * w.end[s] * factor
            events.moves[s, len(w.end)] += share
            if (j == low and low > 0) or (j == high and high < m):
                edge_mass += share
    return edge_mass
