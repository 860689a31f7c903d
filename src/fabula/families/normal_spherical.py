"""Normal rows with one variance for all columns of a member."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray, LogProbabilities, Members, Rows
from fabula.core.errors import UsageError
from fabula.families.independent import ColumnStatistics, IndependentColumns, PreparedColumns
from fabula.families.normal_diagonal import NormalDiagonal, centre_moments, resolution
from fabula.families.priors import CovariancePrior
from fabula.persistence.registry import storable

__all__ = ["NormalSpherical"]


@storable("family/normal_spherical")
@dataclass(frozen=True)
class NormalSpherical(IndependentColumns):
    """A bank of round normal distributions: the columns of a member share one variance.

    The columns must be in the same units for this to mean anything.

    Parameters
    ----------
    means : (K, d) array
    variances : (K,) array
        Variance > 0 of every column, in squared units.
    """

    means: FloatArray
    variances: FloatArray

    def __post_init__(self) -> None:
        if self.means.ndim != 2 or self.variances.shape != self.means.shape[:1]:
            raise UsageError("means must be a (K, d) array and variances a (K,) array.")
        _ = self._diagonal  # which checks the values

    @cached_property
    def _diagonal(self) -> NormalDiagonal:
        """The same bank with the variance written out for each column."""
        return NormalDiagonal(
            self.means, np.repeat(self.variances[:, None], self.means.shape[1], axis=1)
        )

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
        """d means and one variance a member."""
        return self.means.size + self.variances.size

    def log_prob(self, x: Rows | PreparedColumns) -> LogProbabilities:
        """Log density in nats (n, K); missing cells drop out."""
        return self._diagonal.log_prob(x)

    def maximise(
        self, statistics: ColumnStatistics, prior: CovariancePrior | None = None
    ) -> NormalSpherical:
        """Weighted means, and the scatter about them pooled over the observed cells."""
        means, scatter = centre_moments(statistics, self.means)
        pooled, counts = scatter.sum(axis=1), statistics.counts.sum(axis=1)
        if prior is not None:
            pooled = pooled + np.broadcast_to(prior.scatter, scatter.shape).sum(axis=1)
            counts = counts + self.n_columns * prior.strengths(self.n_members)
        variances = np.divide(pooled, counts, out=self.variances.copy(), where=counts > 0)
        return NormalSpherical(
            means, np.maximum(variances, resolution(means, statistics.origin).max(axis=1))
        )

    def pseudo_observations(self, strength: float) -> CovariancePrior:  # type: ignore[override]
        """Shrinkage of the variances towards those of this bank; the means stay free."""
        return self._diagonal.pseudo_observations(strength)

    def log_prior(self, prior: CovariancePrior | None) -> float:  # type: ignore[override]
        """Log inverse-Wishart density of the variances, up to a constant."""
        return self._diagonal.log_prior(prior)

    def sample(self, members: Members, rng: np.random.Generator) -> Rows:
        """One row a member, (n, d)."""
        return self._diagonal.sample(members, rng)

    def _origin(self) -> FloatArray:
        return self._diagonal._origin()

    def _features(self, x: Rows) -> tuple[FloatArray, ...]:
        return self._diagonal._features(x)

    def _natural(self, origin: FloatArray | None) -> tuple[tuple[FloatArray, ...], FloatArray]:
        return self._diagonal._natural(origin)

    def _expected(self) -> tuple[FloatArray, ...]:
        return self._diagonal._expected()

    def _distribution(self, column: int, members: Members | slice) -> Any:
        return self._diagonal._distribution(column, members)

    def _take(self, members: Any, columns: Any) -> NormalSpherical:
        return NormalSpherical(self.means[members][:, columns], self.variances[members])
