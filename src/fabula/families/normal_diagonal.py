"""Normal columns that are independent given the member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray, LogProbabilities, Members, Rows
from fabula.core.errors import UsageError
from fabula.families.independent import ColumnStatistics, IndependentColumns, PreparedColumns
from fabula.families.priors import CovariancePrior
from fabula.persistence.registry import storable

__all__ = ["NormalDiagonal", "largest_ratio", "resolution", "widening"]

_LOG_2_PI = float(np.log(2.0 * np.pi))


@storable("family/normal_diagonal")
@dataclass(frozen=True)
class NormalDiagonal(IndependentColumns):
    """A bank of normal distributions with a variance for each member and column.

    Parameters
    ----------
    means, variances : (K, d) arrays
        Location, and variance > 0, in the units of the columns and their squares.
    """

    means: FloatArray
    variances: FloatArray

    def __post_init__(self) -> None:
        if self.means.ndim != 2 or self.means.shape != self.variances.shape:
            raise UsageError("means and variances must both be (K, d) arrays.")
        if not np.isfinite(self.means).all() or not np.isfinite(self.variances).all():
            raise UsageError("means and variances must be finite.")
        if not np.all(self.variances > 0):
            raise UsageError("variances must be positive.")

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
        origin = prepared.origin
        assert origin is not None
        centred = self.means - origin
        if float(np.max(centred**2 / self.variances)) <= largest_ratio(prepared.dtype):
            return super().log_prob(prepared)
        # Members far from the origin in their own units: the expanded square would cancel.
        cells = prepared.features[0]
        out = np.empty((len(prepared), self.n_members), dtype=cells.dtype)
        for k in range(self.n_members):
            square = (cells - centred[k]) ** 2 / self.variances[k]
            square += _LOG_2_PI + np.log(self.variances[k])
            if prepared.observed is not None:
                square *= prepared.observed
            out[:, k] = -0.5 * square.sum(axis=1)
        return out

    def maximise(
        self, statistics: ColumnStatistics, prior: CovariancePrior | None = None
    ) -> NormalDiagonal:
        """Weighted means and shrunk weighted variances of the observed cells."""
        means, scatter = centre_moments(statistics, self.means)
        counts = statistics.counts
        if prior is not None:
            scatter = scatter + prior.scatter
            counts = counts + prior.strengths(self.n_members)[:, None]
        variances = np.divide(scatter, counts, out=self.variances.copy(), where=counts > 0)
        if prior is not None and prior.floor is not None:
            variances = np.maximum(variances, prior.floor)
        return NormalDiagonal(means, np.maximum(variances, resolution(means, statistics.origin)))

    def pseudo_observations(self, strength: float) -> CovariancePrior:  # type: ignore[override]
        """Shrinkage of the variances towards those of this bank; the means stay free."""
        floor = widening(NormalDiagonal(self.means[:1], self.variances[:1]))[0]
        return CovariancePrior(strength, strength * self.variances, floor)

    def widened(self) -> NormalDiagonal:
        """A deviation of a thousandth of the mean for columns that never changed."""
        return NormalDiagonal(self.means, np.maximum(self.variances, widening(self)))

    def log_prior(self, prior: CovariancePrior | None) -> float:  # type: ignore[override]
        """Log inverse-Wishart density of the variances, up to a constant."""
        if prior is None:
            return 0.0
        strengths = prior.strengths(self.n_members)[:, None]
        return -0.5 * float(
            (strengths * np.log(self.variances) + prior.scatter / self.variances).sum()
        )

    def sample(self, members: Members, rng: np.random.Generator) -> Rows:
        """One row a member, (n, d)."""
        noise = rng.standard_normal((len(members), self.n_columns))
        return self.means[members] + noise * np.sqrt(self.variances[members])

    def _origin(self) -> FloatArray:
        return np.asarray(self.means.mean(axis=0))

    def _features(self, x: Rows) -> tuple[FloatArray, ...]:
        return x, x * x

    def _natural(self, origin: FloatArray | None) -> tuple[tuple[FloatArray, ...], FloatArray]:
        centred = self.means if origin is None else self.means - origin
        precision = 1.0 / self.variances
        constant = -0.5 * (centred**2 * precision + _LOG_2_PI + np.log(self.variances))
        return (centred * precision, -0.5 * precision), constant

    def _expected(self) -> tuple[FloatArray, ...]:
        return self.means, self.variances + self.means**2

    def _distribution(self, column: int, members: Members | slice) -> Any:
        from scipy.stats import norm

        return norm(self.means[members, column], np.sqrt(self.variances[members, column]))

    def _take(self, members: Any, columns: Any) -> NormalDiagonal:
        return NormalDiagonal(self.means[members][:, columns], self.variances[members][:, columns])


def widening(bank: NormalDiagonal) -> FloatArray:
    """Variances (K, d) for the columns of a bank that never changed; 0 for the others."""
    wide = (1e-3 * np.where(bank.means == 0.0, 1.0, np.abs(bank.means))) ** 2
    constant = bank.variances <= (1e-14 * bank.means) ** 2 + 1e-60
    return np.where(constant | (bank.variances == wide), wide, 0.0)


def largest_ratio(dtype: np.dtype[Any]) -> float:
    """How many squared standard deviations from the origin a mean may lie.

    Beyond it, the expanded square x²/σ² − 2xμ/σ² + μ²/σ² loses more than 1e-11 (1e-4 in single
    precision) to cancellation.
    """
    return 1e5 if dtype == np.float64 else 1e3


def resolution(means: FloatArray, origin: FloatArray | None = None) -> FloatArray:
    """Smallest variance that floating point can tell from zero.

    Cells near a mean are spaced by a rounding error of the mean, and a second moment about an
    origin (None: about the mean itself) is known to a rounding error of the squared distance.
    """
    eps = 4.0 * np.finfo(np.float64).eps
    distance = 0.0 if origin is None else means - origin
    return np.asarray(eps * distance**2 + (eps * means) ** 2 + 1e-60)


def centre_moments(
    statistics: ColumnStatistics, fallback: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weighted means (K, d) and scatter about them (K, d) of the observed cells."""
    counts, (first, second) = statistics.counts, statistics.sums
    origin = 0.0 if statistics.origin is None else statistics.origin
    seen = counts > 0
    centred = np.divide(first, counts, out=fallback - origin, where=seen)
    scatter = np.where(seen, np.maximum(second - centred * first, 0.0), 0.0)
    return centred + origin, scatter
