"""Columns of numbers as standard normal numbers, in which frequent values have room of their own.

A value that many rows share (a spike) is a level of its own where a good share of the rows has it.
Every other takes as much room on the scale of a standard normal as its share of the rows, at its
place among the others, and a row that has it stands anywhere within: a generator that draws the
right normal numbers draws such values as often as they occur.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from fabula.core.arrays import FloatArray
from fabula.neural.forms.number_columns import NumberColumn
from fabula.persistence.registry import storable

__all__ = ["SpreadColumn"]

# Share of the rows from which on a value is a level of its own.
_LEVEL = 0.05
_FARTHEST = 4.5


@storable("neural/spread_column")
@dataclass(frozen=True, eq=False)  # compiled code is kept for each by its identity
class SpreadColumn:
    """How the scores and spikes of a column become one standard normal number, and back.

    Parameters
    ----------
    column : NumberColumn
    levels : tuple of int
        Codes of spikes that are levels of their own.
    codes : (m,) array
        Codes of the other spikes, by their places.
    places : (m,) array
        Their scores among the values that are no spikes.
    ends : (m + 1,) array
        Sums of the shares of the spikes before each, from 0.
    rest : float
        Share of the values that are no spikes; with the others it is 1.
    lowest, highest : float
        Least and greatest score of these values: no draw lies beyond.
    """

    column: NumberColumn
    levels: tuple[int, ...] = ()
    codes: NDArray[Any] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    places: FloatArray = field(default_factory=lambda: np.empty(0))
    ends: FloatArray = field(default_factory=lambda: np.zeros(1))
    rest: float = 1.0
    lowest: float = -_FARTHEST
    highest: float = _FARTHEST

    @classmethod
    def learned(cls, column: NumberColumn, scores: FloatArray, codes: NDArray[Any]) -> SpreadColumn:
        """From the scores (n,) and codes (n,) of the cells that are there."""
        n = max(len(codes), 1)
        counts = np.bincount(codes, minlength=column.n_codes or 1)
        spikes = np.arange(1, len(counts))
        frequent = counts[spikes] >= _LEVEL * n
        others = spikes[~frequent]  # ascending, as the spikes are
        room = float(counts[0] + counts[others].sum())
        free = scores[codes == 0]
        limits = (float(free.min()), float(free.max())) if len(free) else (0.0, 0.0)
        return cls(
            column,
            tuple(spikes[frequent].tolist()),
            others,
            column.score(column.spikes[others - 1]),
            np.concatenate([[0.0], np.cumsum(counts[others])]) / max(room, 1.0),
            float(counts[0]) / max(room, 1.0),
            *limits,
        )

    @property
    def is_plain(self) -> bool:
        """Whether the number is the score itself."""
        return not len(self.codes)

    @property
    def is_spread(self) -> bool:
        """Whether any value is more than a level of its own."""
        return self.rest > 0 or bool(len(self.codes))

    def share(self, scores: FloatArray) -> FloatArray:
        """Share of the values below a score, where no spike is."""
        before = self.ends[np.searchsorted(self.places, scores, side="right")]
        return np.asarray(self.rest * ndtr(scores) + before)

    def room(self, low: FloatArray, high: FloatArray, codes: NDArray[Any]) -> FloatArray:
        """Both ends (n, 2) of where cells may stand: of scores, or of shares where not plain."""
        if self.is_plain:
            return np.stack([low, high], axis=1)
        found = np.stack([self.share(low), self.share(high)], axis=1)
        at = np.searchsorted(self.codes, codes).clip(max=len(self.codes) - 1)
        mine = self.codes[at] == codes
        below = self.rest * ndtr(self.places[at]) + self.ends[at]
        wide = self.ends[at + 1] - self.ends[at]
        return np.where(mine[:, None], np.stack([below, below + wide], axis=1), found)

    def back(self, numbers: FloatArray) -> tuple[FloatArray, NDArray[Any]]:
        """Scores (n,) and codes (n,), 0 for no spike, of numbers."""
        none = np.zeros(len(numbers), dtype=np.int64)
        if self.is_plain:
            return np.clip(numbers, self.lowest, self.highest), none
        shares = ndtr(numbers)
        begins = self.rest * ndtr(self.places) + self.ends[:-1]
        at = np.searchsorted(begins, shares, side="right") - 1
        first = np.maximum(at, 0)
        within = (at >= 0) & (shares < begins[first] + np.diff(self.ends)[first])
        if not self.rest:  # rounding: nothing lies between spikes
            within = np.ones(len(numbers), dtype=bool)
        codes = np.where(within, self.codes[first], none)
        free = (shares - self.ends[at + 1]) / max(self.rest, 1e-12)
        scores = ndtri(np.clip(free, 1e-12, 1 - 1e-12))
        return np.where(codes > 0, 0.0, np.clip(scores, self.lowest, self.highest)), codes

    def level_places(self) -> FloatArray:
        """Where the levels stand among the numbers, (L,)."""
        if not self.levels:
            return np.empty(0)
        scores = self.column.score(self.column.spikes[np.array(self.levels) - 1])
        places = scores if self.is_plain else ndtri(np.clip(self.share(scores), 1e-6, 1 - 1e-6))
        return np.clip(places, -3.0, 3.0)
