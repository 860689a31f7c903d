"""Waiting times with independent exponential columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray, Members, Rows
from fabula.core.errors import UsageError
from fabula.families.independent import ColumnStatistics, IndependentColumns
from fabula.persistence.registry import storable

__all__ = ["Exponential"]

# Keeps the rate of a column of zeros finite, in single precision too.
_SMALLEST_MEAN = 1e-30


@storable("family/exponential")
@dataclass(frozen=True)
class Exponential(IndependentColumns):
    """A bank of exponential distributions, p(x) = λ e^(-λx) for x ≥ 0.

    Parameters
    ----------
    rates : (K, d) array
        Rates λ > 0, in inverse units of the columns; the means are 1/λ.
    """

    rates: FloatArray

    def __post_init__(self) -> None:
        if self.rates.ndim != 2 or not np.all(self.rates > 0) or not np.isfinite(self.rates).all():
            raise UsageError("Exponential rates must be a (K, d) array of positive finite numbers.")

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
    ) -> Exponential:
        """1/λ = (Σ w x + pseudo-sums) / (Σ w + pseudo-observations)."""
        if prior is not None:
            statistics = statistics + prior
        counts, (totals,) = statistics.counts, statistics.sums
        means = np.divide(totals, counts, out=1.0 / self.rates, where=counts > 0)
        return Exponential(1.0 / np.maximum(means, _SMALLEST_MEAN))

    def _features(self, x: Rows) -> tuple[FloatArray, ...]:
        return (x,)

    def _natural(self, origin: FloatArray | None) -> tuple[tuple[FloatArray, ...], FloatArray]:
        return (-self.rates,), np.log(self.rates)

    def _expected(self) -> tuple[FloatArray, ...]:
        return (1.0 / self.rates,)

    def _base(self, x: Rows) -> FloatArray | None:
        possible = (x >= 0) & np.isfinite(x)
        return None if possible.all() else np.where(possible, x.dtype.type(0.0), -np.inf)

    def _distribution(self, column: int, members: Members | slice) -> Any:
        from scipy.stats import expon

        return expon(scale=1.0 / self.rates[members, column])

    def _take(self, members: Any, columns: Any) -> Exponential:
        return Exponential(self.rates[members][:, columns])
