"""Many pairs at once: sixteen side by side where the story allows it, one by one elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences
from fabula.core.threads import ordered_map
from fabula.structures.pairs.blocks import Pairs
from fabula.structures.pairs.walks import PairWalk, band_of

__all__ = ["best_paths", "counts", "log_totals", "sums"]

# Cells that one thread takes at a time.
_CELLS = 4_000_000
# Where a pair has more cells than this, fifteen others beside it would need much memory.
_CELLS_OF_LONG_PAIRS = 25_000_000


def sums(table: FloatArray, sequences: Sequences) -> FloatArray:
    """Sum (n,) over the letters of each sequence of what the table (A + 1,) has for them."""
    from fabula.kernels.pairs.lanes import letter_sums

    return letter_sums(np.asarray(table, dtype=np.float64), sequences.steps, sequences.offsets)


def log_totals(pairs: Pairs, w: Any, linear: Any) -> FloatArray:
    """Log weight (n,) of all alignments that have columns, relative to the independent story."""
    from fabula.kernels.pairs.forward import log_totals as lanes
    from fabula.kernels.pairs.lanes import lane_weights
    from fabula.kernels.pairs.log import log_forward, log_total

    out = np.full(len(pairs), np.nan)
    x, y = pairs.x, pairs.y

    def alone(k: int) -> float:
        one = PairWalk(*pairs.pair(k), linear, -np.inf, every=len(pairs.pair(k)[0]) + 1)
        return one.log_total

    side_by_side = _side_by_side(pairs, linear)
    if len(side_by_side):
        table = lane_weights(linear)

        def some(order: NDArray[np.intp]) -> None:
            lanes(x.steps, x.offsets, y.steps, y.offsets, order, table, out)

        for _ in ordered_map(some, _parts(pairs, side_by_side)):
            pass
        letters = sums(linear.log_x, x) + sums(linear.log_y, y)
        out += letters + linear.log_constant
    rest = np.flatnonzero(~np.isfinite(out))
    for k, value in zip(rest, ordered_map(alone, [int(k) for k in rest]), strict=True):
        if math.isinf(value) and best_paths(pairs[k : k + 1], w, None)[0][0] > -np.inf:
            value = float(log_total(log_forward(*pairs.pair(int(k)), w), w))
        out[k] = value
    return out


def counts(
    pairs: Pairs,
    w: Any,
    linear: Any,
    log_empty: FloatArray,
    weights: FloatArray,
    threads: int | None,
    band: int | None = None,
) -> tuple[Any, FloatArray]:
    """Expected events over all pairs, and the log weight (n,) of all alignments of each."""
    from fabula.kernels.pairs.counts import Events
    from fabula.kernels.pairs.lane_counts import count_lanes
    from fabula.kernels.pairs.lanes import lane_weights

    s, a = len(linear.start), len(linear.insert)

    def nothing() -> Any:
        return Events(*(np.zeros(shape) for shape in ((a, a), a, a, s + 1, (s, s + 1))))

    totals = np.zeros(len(pairs))
    everything = nothing()
    counted = np.flatnonzero(weights > 0)

    def alone(order: NDArray[np.intp]) -> Any:
        mine = nothing()
        for k in order:
            walk = PairWalk(*pairs.pair(int(k)), linear, float(log_empty[k]), band)
            walk.count(float(weights[k]), mine)
            totals[k] = walk.log_total
            if band is None and math.isinf(walk.log_total):
                totals[k] = _count_in_logarithms(*pairs.pair(int(k)), w, float(weights[k]), mine)
        return mine

    letters = sums(linear.log_x, pairs.x) + sums(linear.log_y, pairs.y) + linear.log_constant

    def lanes(order: NDArray[np.intp]) -> Any:
        mine = nothing()
        count_lanes(
            pairs.x.steps, pairs.x.offsets, pairs.y.steps, pairs.y.offsets, order, table,
            log_empty - letters, weights, mine, totals,
        )  # fmt: skip
        totals[order] += letters[order]
        return mine

    side_by_side = _side_by_side(pairs, linear) if band is None else np.empty(0, dtype=np.intp)
    side_by_side = side_by_side[weights[side_by_side] > 0]
    rest = np.setdiff1d(counted, side_by_side)
    table: Any = lane_weights(linear) if len(side_by_side) else None
    for work, which in ((lanes, side_by_side), (alone, rest)):
        for part in ordered_map(work, _parts(pairs, which), threads):
            for total, share in zip(everything, part, strict=True):
                total += share
    return everything, totals


def _count_in_logarithms(
    x: NDArray[np.uint8], y: NDArray[np.uint8], w: Any, weight: float, events: Any
) -> float:
    """Add the events of a pair whose sum float64 does not hold, if it has an alignment at all."""
    from fabula.kernels.pairs.log import log_backward, log_counts, log_forward, log_total

    if np.isneginf(best_paths(Pairs.of([x], [y]), w, None)[0][0]):
        return -np.inf
    forward = log_forward(x, y, w)
    total = float(log_total(forward, w))
    log_counts(x, y, w, forward, log_backward(x, y, w), total, weight, *events)
    return total


def best_paths(
    pairs: Pairs, w: Any, band: int | None
) -> list[tuple[float, NDArray[np.uint8], int, int]]:
    """Log weight of the best alignment that has columns, its states, and where it begins."""
    from fabula.kernels.pairs.rows import pair_of
    from fabula.kernels.pairs.viterbi import best_path

    def one(k: int) -> tuple[float, NDArray[np.uint8], int, int]:
        x, y = pairs.pair(k)
        top, states, i, j = best_path(pair_of(x, y, w), w, band_of(len(x), len(y), band))
        return float(top), states[::-1].copy(), int(i), int(j)

    return list(ordered_map(one, range(len(pairs))))


def _side_by_side(pairs: Pairs, linear: Any) -> NDArray[np.intp]:
    """Pairs for the lanes, neighbours of about the same size."""
    # One pair would leave fifteen lanes idle, and the kernels of the lanes take long to compile.
    if not linear.tile or len(pairs) == 1:
        return np.empty(0, dtype=np.intp)
    x, y = pairs.x.lengths, pairs.y.lengths
    chosen = np.flatnonzero(pairs.cells <= _CELLS_OF_LONG_PAIRS)
    by_x = chosen[np.lexsort((y[chosen], x[chosen]))]
    # Where few pairs have the same x length, those of about the same are sorted by y.
    n_parts = max(math.isqrt(len(chosen) // 16), 1)
    part = np.arange(len(chosen)) * n_parts // max(len(chosen), 1)
    by_both = by_x[np.lexsort((y[by_x], part))]

    def grids(order: NDArray[np.intp]) -> int:
        starts = np.arange(0, len(order), 16)
        if not len(starts):
            return 0
        rows, columns = (np.maximum.reduceat(side[order], starts) for side in (x, y))
        return int((rows * columns).sum())

    return by_x if grids(by_x) <= grids(by_both) else by_both


def _parts(pairs: Pairs, order: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """The order in parts of about as many cells each, in whole sixteens."""
    cells: Any = (
        np.add.reduceat(pairs.cells[order], np.arange(0, len(order), 16)) if len(order) else []
    )
    first, total = 0, 0
    for group, size in enumerate(cells):
        total += int(size)
        if total >= _CELLS or group == len(cells) - 1:
            yield order[first * 16 : (group + 1) * 16]
            first, total = group + 1, 0
