"""Positive columns whose logarithms are normal and independent given the member."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray, LogProbabilities, Members, Rows
from fabula.families.independent import ColumnStatistics, IndependentColumns, PreparedColumns
from fabula.families.normal_diagonal import NormalDiagonal
from fabula.families.priors import CovariancePrior
from fabula.persistence.registry import storable

__all__ = ["LogNormal"]


@storable("family/log_normal")
@dataclass(frozen=True)
class LogNormal(IndependentColumns):
    """A bank of log-normal distributions: log x is normal, and p(x) has the Jacobian 1/x.

    Parameters
    ----------
    means, variances : (K, d) arrays
        Mean, and variance > 0, of the natural logarithm of each column. The medians of the
        columns are exp(means), their means exp(means + variances / 2).
    """

    means: FloatArray
    variances: FloatArray

    def __post_init__(self) -> None:
        _ = self._logarithms  # which checks shapes and values

    @cached_property
    def _logarithms(self) -> NormalDiagonal:
        """The bank of the logarithms, which does all but the Jacobian."""
        return NormalDiagonal(self.means, self.variances)

    @property
    def n_members(self) -> int:
        """K."""
        return int(self.means.shape[0])

    @property
    def n_columns(self) -> int:
        """d."""
        return int(self.means.shape[1])

    @property
    def n_parameters(self) -> int:
        """A mean and a variance for each member and column."""
        return 2 * self.means.size

    def log_prob(self, x: Rows | PreparedColumns) -> LogProbabilities:
        """Log density in nats (n, K); missing cells drop out."""
        prepared = self.prepare(x)
        log_prob = self._logarithms.log_prob(replace(prepared, base=None))
        return log_prob if prepared.base is None else log_prob + prepared.base[:, None]

    def maximise(
        self, statistics: ColumnStatistics, prior: CovariancePrior | None = None
    ) -> LogNormal:
        """Weighted means and shrunk weighted variances of the logarithms."""
        logarithms = self._logarithms.maximise(statistics, prior)
        return LogNormal(logarithms.means, logarithms.variances)

    def pseudo_observations(self, strength: float) -> CovariancePrior:  # type: ignore[override]
        """Shrinkage of the variances of the logarithms towards those of this bank."""
        return self._logarithms.pseudo_observations(strength)

    def log_prior(self, prior: CovariancePrior | None) -> float:  # type: ignore[override]
        """Log inverse-Wishart density of the variances of the logarithms, up to a constant."""
        return self._logarithms.log_prior(prior)

    def _scale(self, x: Rows) -> Rows:
        return np.log(x)

    def _origin(self) -> FloatArray:
        return self._logarithms._origin()

    def _features(self, x: Rows) -> tuple[FloatArray, ...]:
        return self._logarithms._features(x)

    def _natural(self, origin: FloatArray | None) -> tuple[tuple[FloatArray, ...], FloatArray]:
        return self._logarithms._natural(origin)

    def _expected(self) -> tuple[FloatArray, ...]:
        return self._logarithms._expected()

    def _base(self, x: Rows) -> FloatArray:
        possible = (x > 0) & np.isfinite(x)
        return np.where(possible, -np.log(np.where(possible, x, 1.0)), -np.inf)

    def _distribution(self, column: int, members: Members | slice) -> Any:
        from scipy.stats import lognorm

        return lognorm(
            np.sqrt(self.variances[members, column]), scale=np.exp(self.means[members, column])
        )

    def _take(self, members: Any, columns: Any) -> LogNormal:
        return LogNormal(self.means[members][:, columns], self.variances[members][:, columns])
