"""Yes-or-no columns that are independent given the member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import logit

from fabula.core.arrays import FloatArray, Members, Rows
from fabula.core.errors import UsageError
from fabula.families.independent import ColumnStatistics, IndependentColumns
from fabula.persistence.registry import storable

__all__ = ["Bernoulli"]

# A probability of exactly 0 or 1 would make one stray cell impossible for ever.
_SMALLEST_PROBABILITY = 1e-10


@storable("family/bernoulli")
@dataclass(frozen=True)
class Bernoulli(IndependentColumns):
    """A bank of Bernoulli distributions, p(x) = θ^x (1-θ)^(1-x) for cells 0 and 1.

    Parameters
    ----------
    probabilities : (K, d) array
        Probability θ of a 1, 0 < θ < 1.
    """

    probabilities: FloatArray
    discrete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        inside = (self.probabilities > 0) & (self.probabilities < 1)
        if self.probabilities.ndim != 2 or not inside.all():
            raise UsageError("Bernoulli probabilities must be a (K, d) array between 0 and 1.")

    @property
    def n_members(self) -> int:
        """K."""
        return int(self.probabilities.shape[0])

    @property
    def n_columns(self) -> int:
        """d."""
        return int(self.probabilities.shape[1])

    @property
    def n_parameters(self) -> int:
        """One probability for each member and column."""
        return int(self.probabilities.size)

    def maximise(
        self, statistics: ColumnStatistics, prior: ColumnStatistics | None = None
    ) -> Bernoulli:
        """θ = (Σ w x + pseudo-ones) / (Σ w + pseudo-observations)."""
        if prior is not None:
            statistics = statistics + prior
        counts, (ones,) = statistics.counts, statistics.sums
        probabilities = np.divide(ones, counts, out=self.probabilities.copy(), where=counts > 0)
        return Bernoulli(np.clip(probabilities, _SMALLEST_PROBABILITY, 1.0 - _SMALLEST_PROBABILITY))

    def uniform_prior(self) -> ColumnStatistics:
        """Half a row for each of the two levels (Jeffreys 1946)."""
        return ColumnStatistics(
            np.ones_like(self.probabilities), (np.full_like(self.probabilities, 0.5),)
        )

    def level_probabilities(self, column: int) -> FloatArray:
        """Probabilities (K, 2) of 0 and of 1."""
        ones = self.probabilities[:, column]
        return np.stack([1.0 - ones, ones], axis=1)

    def _features(self, x: Rows) -> tuple[FloatArray, ...]:
        return (x,)

    def _natural(self, origin: FloatArray | None) -> tuple[tuple[FloatArray, ...], FloatArray]:
        return (logit(self.probabilities),), np.log1p(-self.probabilities)

    def _expected(self) -> tuple[FloatArray, ...]:
        return (self.probabilities,)

    def _base(self, x: Rows) -> FloatArray | None:
        possible = (x == 0) | (x == 1)
        return None if possible.all() else np.where(possible, x.dtype.type(0.0), -np.inf)

    def _centre(self, column: int) -> FloatArray:
        """The more probable of the two levels; a half-true cell is no cell at all."""
        return (self.probabilities[:, column] > 0.5).astype(np.float64)

    def _distribution(self, column: int, members: Members | slice) -> Any:
        from scipy.stats import bernoulli

        return bernoulli(self.probabilities[members, column])

    def _take(self, members: Any, columns: Any) -> Bernoulli:
        return Bernoulli(self.probabilities[members][:, columns])
