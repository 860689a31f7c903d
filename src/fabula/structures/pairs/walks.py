"""One pair of any length: its grid walked in blocks of rows, from the last block to the first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import DataError, UsageError, warn
from fabula.structures.pairs.blocks import Letters

__all__ = ["PairWalk", "band_of", "sparse_matches"]

# Mass of alignments on the border of a band from which on the user should know.
_BORDER = 1e-4


class PairWalk:
    """The sums over beginnings of one pair; memory grows with the root of the grid, not with it.

    Parameters
    ----------
    x, y : (n,), (m,) arrays
        Letter codes.
    weights : LinearWeights
        From `linear_weights`.
    log_empty : float
        Log weight of the alignments without a column.
    band : int, optional
        Only cells at most so many columns from the line between the corners of the grid.
    every : int, optional
        Distance of the rows that are kept; by default the root of their number.
    """

    def __init__(
        self,
        x: Letters,
        y: Letters,
        weights: Any,
        log_empty: float,
        band: int | None = None,
        every: int | None = None,
    ):
        from fabula.kernels.pairs.rows import forward_kept, pair_of

        self.x, self.y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        self.weights, self.log_empty = weights, log_empty
        self.band = band_of(len(x), len(y), band)
        self.every = every or max(math.isqrt(len(x) + 1), 1)
        self.pair = pair_of(self.x, self.y, weights)
        self.kept, total, power = forward_kept(self.pair, weights, self.band, self.every)
        offset = weights.log_constant + weights.log_x[self.x].sum() + weights.log_y[self.y].sum()
        log_total = math.log(total) + power * math.log(2.0) + offset if total > 0 else -math.inf
        self.log_total = float(np.logaddexp(log_total, log_empty))
        # The total with the alignments that have no column, as the kernels scale it.
        if total > 0:
            self.total, self.power = total * math.exp(self.log_total - log_total), power
        else:
            self.total, self.power = 1.0, 0

    def require_possible(self) -> None:
        """Raise DataError where no alignment has a positive probability."""
        if math.isinf(self.log_total):
            raise DataError(
                "The pair has probability 0 under this model, so it has no alignment: give every "
                "letter, and the moves that the lengths need, a positive probability, or a wider "
                "band."
            )

    def blocks(self) -> Iterator[tuple[int, int, Any]]:
        """First row, number of rows and the rows themselves, for each block from the last up."""
        from fabula.kernels.pairs.rows import RowSums, forward_block

        shape = self.kept.values.shape[1:]
        rows = RowSums(
            np.zeros((self.every, *shape)),
            np.zeros((self.every, self.kept.powers.shape[1]), dtype=np.int32),
        )
        for block in range(len(self.x) // self.every, -1, -1):
            count = forward_block(
                self.pair, self.weights, self.band, self.kept, block, self.every, rows
            )
            yield block * self.every, count, rows

    def state_blocks(self, state: int) -> Iterator[tuple[int, FloatArray]]:
        """First row, and probabilities (rows, m + 1) that a column of a state ends in each cell."""
        from fabula.kernels.pairs.counts import backwards, state_block

        back = backwards(self.pair, self.weights, self.band)
        for first, count, rows in self.blocks():
            out = np.empty((count, len(self.y) + 1))
            state_block(
                self.pair, self.weights, self.band, back, first, count, rows,
                self.total, self.power, state, out,
            )  # fmt: skip
            yield first, out

    def count(self, weight: float, events: Any) -> float:
        """Add the expected events; returns the mass on the border of the band."""
        from fabula.kernels.pairs.counts import backwards, count_block

        if math.isinf(self.log_total):
            return 0.0
        events.start[-1] += weight * math.exp(self.log_empty - self.log_total)
        if not math.exp(self.log_empty - self.log_total) < 1.0:
            return 0.0
        back = backwards(self.pair, self.weights, self.band)
        border = 0.0
        for first, count, rows in self.blocks():
            border += count_block(
                self.pair, self.weights, self.band, back, first, count, rows,
                self.total, self.power, weight, events,
            )  # fmt: skip
        return border

    def check_band(self) -> None:
        """Warn where alignments lie on the border of the band, and so probably beyond it too."""
        from fabula.kernels.pairs.counts import Events

        s, a = len(self.weights.start), len(self.weights.insert)
        zeros = (np.zeros(shape) for shape in ((a, a), a, a, s + 1, (s, s + 1)))
        border = self.count(1.0, Events(*zeros))
        if border > _BORDER:
            warn(
                f"Alignments pass over the border of the band {border:.2g} times on average, so "
                "others are likely to lie beyond it: widen the band."
            )


def band_of(n: int, m: int, half_width: int | None) -> Any:
    """The cells at most so many columns from the line between the corners, or all."""
    from fabula.kernels.pairs.rows import Band, whole

    if half_width is None:
        return whole(n, m)
    if half_width < 1:
        raise UsageError(f"The half-width of a band must be at least 1, not {half_width}.")
    # Rows that follow one another must overlap, or no alignment could pass.
    half_width = max(int(half_width), -(-m // max(n, 1)) + 1)
    centre = np.arange(n + 1) * m // max(n, 1)
    low = np.maximum(centre - half_width, 0).astype(np.intp)
    high = np.minimum(centre + half_width, m).astype(np.intp)
    if n == 0:
        low[:], high[:] = 0, m
    return Band(low, high, int((high - low).max()) + 1)


def sparse_matches(blocks: Any, shape: tuple[int, int], threshold: float) -> Any:
    """The matches in blocks of rows, from the last to the first, that exceed the threshold."""
    from scipy.sparse import coo_array

    rows, columns, values = [], [], []
    for first, block in blocks:
        i, j = np.nonzero(block > threshold)
        rows.append(i + first - 1)
        columns.append(j - 1)
        values.append(block[i, j])
    parts = (np.concatenate(part) for part in (values, rows, columns))
    value, row, column = parts
    return coo_array((value, (row, column)), shape=shape).tocsr()
