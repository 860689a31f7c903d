"""Normal rows with a dense covariance, one for each member or one for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from fabula.core.arrays import (
    FloatArray,
    LogProbabilities,
    Members,
    Responsibilities,
)
from fabula.core.errors import UsageError
from fabula.families.dense import (
    log_determinants,
)
from fabula.families.normal_dense import (
    DenseNormal,
    Moments,
    PreparedDense,
    dense_scatter,
    positive_definite,
    weighted_means,
)
from fabula.families.normal_diagonal import largest_ratio
from fabula.families.priors import CovariancePrior
from fabula.persistence.registry import storable

__all__ = ["NormalFull", "NormalTied"]


@storable("family/normal_full")
@dataclass(frozen=True)
class NormalFull(DenseNormal):
    """A bank of normal distributions with a full covariance each.

    Parameters
    ----------
    means : (K, d) array
    covariances : (K, d, d) array
        Symmetric and positive definite, in squared units of the columns.
    """

    means: FloatArray
    covariances: FloatArray

    def __post_init__(self) -> None:
        k, d = _check_means(self.means)
        if self.covariances.shape != (k, d, d):
            raise UsageError(
                f"covariances must have shape ({k}, {d}, {d}), not {self.covariances.shape}."
            )
        _check_positive_definite(self.covariances)

    @property
    def _covariances(self) -> FloatArray:
        return self.covariances

    @property
    def n_parameters(self) -> int:
        """d means and d(d+1)/2 covariances a member."""
        k, d = self.means.shape
        return int(k * (d + d * (d + 1) // 2))

    def _moments(
        self, totals: FloatArray, first: FloatArray, second: FloatArray, origin: FloatArray
    ) -> Moments:
        return Moments(totals, first, second, origin)

    def maximise(self, statistics: Moments, prior: CovariancePrior | None = None) -> NormalFull:
        """Weighted means, and scatter about them shrunk by the prior."""
        centred, means = weighted_means(statistics, self.means)
        scatter = statistics.second - statistics.first[:, :, None] * centred[:, None, :]
        weights = statistics.weights
        if prior is not None:
            scatter = scatter + dense_scatter(prior.scatter)
            weights = weights + prior.strengths(self.n_members)
        seen = (weights > 0)[:, None, None]
        covariances = np.divide(
            scatter, weights[:, None, None], out=self.covariances.copy(), where=seen
        )
        floor = None if prior is None else prior.floor
        return NormalFull(means, positive_definite(covariances, means, statistics.origin, floor))

    def pseudo_observations(self, strength: float) -> CovariancePrior:
        """Shrinkage towards the covariances of this bank; the means stay free."""
        return CovariancePrior(strength, strength * self.covariances)

    def log_prior(self, prior: CovariancePrior | None) -> float:
        """Log inverse-Wishart density of the covariances, up to a constant."""
        if prior is None:
            return 0.0
        scatter = dense_scatter(prior.scatter)
        log_dets = log_determinants(self._cholesky)
        traces = (scatter * self._precisions).sum(axis=(1, 2))
        return -0.5 * float((prior.strengths(self.n_members) * log_dets + traces).sum())

    def select(self, members: Sequence[int] | Members) -> NormalFull:
        """The bank of the given members."""
        chosen = np.asarray(members)
        return NormalFull(self.means[chosen], self.covariances[chosen])

    def marginal(self, columns: Sequence[int]) -> NormalFull:
        """The bank over the given columns."""
        kept = np.asarray(columns)
        return NormalFull(self.means[:, kept], self.covariances[:, kept[:, None], kept])

    def condition(
        self, columns: Sequence[int], values: Sequence[float] | FloatArray
    ) -> tuple[NormalFull | None, FloatArray]:
        """The other columns given values of some, and the log density (K,) of the values."""
        if not len(columns):
            return self, np.zeros(self.n_members)
        means, covariances, log_prob = self._conditioned(columns, values)
        return (NormalFull(means, covariances) if means.shape[1] else None), log_prob


@storable("family/normal_tied")
@dataclass(frozen=True)
class NormalTied(DenseNormal):
    """A bank of normal distributions that share one covariance.

    Parameters
    ----------
    means : (K, d) array
    covariance : (d, d) array
        Symmetric and positive definite, in squared units of the columns.
    """

    means: FloatArray
    covariance: FloatArray
    is_tied: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _, d = _check_means(self.means)
        if self.covariance.shape != (d, d):
            raise UsageError(f"covariance must have shape ({d}, {d}), not {self.covariance.shape}.")
        _check_positive_definite(self.covariance)

    @property
    def _covariances(self) -> FloatArray:
        return np.broadcast_to(self.covariance, (self.n_members, *self.covariance.shape))

    @cached_property
    def _cholesky(self) -> FloatArray:
        shared = np.linalg.cholesky(self.covariance)
        return np.broadcast_to(shared, (self.n_members, *shared.shape))

    @cached_property
    def _whitening(self) -> FloatArray:
        d = self.n_columns
        shared = np.linalg.solve(self._cholesky[0], np.eye(d)).T
        return np.broadcast_to(shared, (self.n_members, d, d))

    @property
    def uses_products(self) -> bool:
        """False: one whitening serves every member."""
        return False

    @property
    def n_parameters(self) -> int:
        """d means a member and d(d+1)/2 covariances in all."""
        k, d = self.means.shape
        return int(k * d + d * (d + 1) // 2)

    def _log_prob_white(self, cells: FloatArray, origin: FloatArray) -> LogProbabilities:
        whitening = self._whitening[0]
        dtype = cells.dtype
        white = cells @ whitening.astype(dtype)
        shifts = (self.means - origin) @ whitening
        if float((shifts**2).sum(axis=1).max()) > largest_ratio(dtype):
            return super()._log_prob_white(cells, origin)
        square = np.einsum("nd,nd->n", white, white)
        out = (shifts.astype(dtype) @ white.T).T
        out -= 0.5 * square[:, None]
        out += (self._constants - 0.5 * (shifts**2).sum(axis=1)).astype(dtype)
        return np.asarray(out)

    def _raw_moments(
        self, prepared: PreparedDense, weights: Responsibilities, rows: slice = slice(None)
    ) -> tuple[FloatArray, FloatArray]:
        if prepared.patterns is not None:
            return super()._raw_moments(prepared, weights, rows)
        totals = weights.sum(axis=1)
        rooted = prepared.cells
        if not np.all(totals == 1.0):
            rooted = rooted * np.sqrt(totals)[:, None]
        return (weights.T @ prepared.cells).astype(np.float64), (rooted.T @ rooted).astype(
            np.float64
        )

    def _moments(
        self, totals: FloatArray, first: FloatArray, second: FloatArray, origin: FloatArray
    ) -> Moments:
        shared = second if second.ndim == 2 else second.sum(axis=0)
        return Moments(totals, first, shared, origin)

    def maximise(self, statistics: Moments, prior: CovariancePrior | None = None) -> NormalTied:
        """Weighted means, and the pooled scatter about them shrunk by the prior."""
        centred, means = weighted_means(statistics, self.means)
        scatter = statistics.second - statistics.first.T @ centred
        weight = float(statistics.weights.sum())
        if prior is not None:
            scatter = scatter + dense_scatter(prior.scatter)
            weight += _one_strength(prior)
        covariance = scatter / weight if weight > 0 else self.covariance
        floor = None if prior is None else prior.floor
        return NormalTied(means, positive_definite(covariance, means, statistics.origin, floor))

    def pseudo_observations(self, strength: float) -> CovariancePrior:
        """Shrinkage towards the covariance of this bank; the means stay free."""
        return CovariancePrior(strength, strength * self.covariance)

    def log_prior(self, prior: CovariancePrior | None) -> float:
        """Log inverse-Wishart density of the covariance, up to a constant."""
        if prior is None:
            return 0.0
        log_det = float(log_determinants(self._cholesky[0]))
        trace = float((dense_scatter(prior.scatter) * self._precisions[0]).sum())
        return -0.5 * (_one_strength(prior) * log_det + trace)

    def select(self, members: Sequence[int] | Members) -> NormalTied:
        """The bank of the given members."""
        return NormalTied(self.means[np.asarray(members)], self.covariance)

    def marginal(self, columns: Sequence[int]) -> NormalTied:
        """The bank over the given columns."""
        kept = np.asarray(columns)
        return NormalTied(self.means[:, kept], self.covariance[np.ix_(kept, kept)])

    def condition(
        self, columns: Sequence[int], values: Sequence[float] | FloatArray
    ) -> tuple[NormalTied | None, FloatArray]:
        """The other columns given values of some, and the log density (K,) of the values."""
        if not len(columns):
            return self, np.zeros(self.n_members)
        means, covariances, log_prob = self._conditioned(columns, values)
        return (NormalTied(means, covariances[0]) if means.shape[1] else None), log_prob


def _check_means(means: FloatArray) -> tuple[int, int]:
    if means.ndim != 2 or not np.isfinite(means).all():
        raise UsageError("means must be a (K, d) array of finite numbers.")
    return means.shape[0], means.shape[1]


def _check_positive_definite(covariances: FloatArray) -> None:
    if not np.isfinite(covariances).all():
        raise UsageError("covariances must be finite.")
    try:
        np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        raise UsageError("covariances must be symmetric and positive definite.") from None


def _one_strength(prior: CovariancePrior) -> float:
    if np.size(prior.strength) != 1:
        raise UsageError("A shared covariance takes one prior strength, not one for each member.")
    return float(np.asarray(prior.strength).reshape(()))
