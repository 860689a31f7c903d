"""Counts with independent Poisson columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln

from fabula.core.arrays import FloatArray, Members, Rows
from fabula.core.errors import UsageError
from fabula.families.independent import ColumnStatistics, IndependentColumns
from fabula.persistence.registry import storable

__all__ = ["Poisson"]

# A rate of exactly zero would make one stray count impossible for ever.
_SMALLEST_RATE = 1e-10


@storable("family/poisson")
@dataclass(frozen=True)
class Poisson(IndependentColumns):
    """A bank of Poisson distributions, p(x) = λ^x e^(-λ) / x!, one rate for each member and column.

    Parameters
    ----------
    rates : (K, d) array
        Expected counts λ > 0.
    """

    rates: FloatArray
    discrete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.rates.ndim != 2 or not np.all(self.rates > 0) or not np.isfinite(self.rates).all():
            raise UsageError("Poisson rates must be a (K, d) array of positive finite numbers.")

    @property
    def n_members(self) -> int:
        """K."""
        return int(self.rates.shape[0])

    @property
    def n_columns(self) -> int:
        """d."""
        return int(self.rates.shape[1])

    @property
    def n_parameters(self) -> int:
        """One rate for each member and column."""
        return int(self.rates.size)

    def maximise(
        self, statistics: ColumnStatistics, prior: ColumnStatistics | None = None
    ) -> Poisson:
        """λ = (Σ w x + pseudo-counts) / (Σ w + pseudo-observations)."""
        if prior is not None:
            statistics = statistics + prior
        counts, (totals,) = statistics.counts, statistics.sums
        seen = counts > 0
        rates = np.divide(totals, counts, out=self.rates.copy(), where=seen)
        return Poisson(np.maximum(rates, _SMALLEST_RATE))

    def _features(self, x: Rows) -> tuple[FloatArray, ...]:
        return (x,)

    def _natural(self, origin: FloatArray | None) -> tuple[tuple[FloatArray, ...], FloatArray]:
        return (np.log(self.rates),), -self.rates

    def _expected(self) -> tuple[FloatArray, ...]:
        return (self.rates,)

    def _base(self, x: Rows) -> FloatArray:
        possible = (x >= 0) & (x == np.floor(x)) & np.isfinite(x)
        return np.where(possible, -gammaln(np.where(possible, x, 0.0) + 1.0), -np.inf)

    def _distribution(self, column: int, members: Members | slice) -> Any:
        from scipy.stats import poisson

        return poisson(self.rates[members, column])

    def _take(self, members: Any, columns: Any) -> Poisson:
        return Poisson(self.rates[members][:, columns])
