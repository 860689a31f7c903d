"""Normal rows with a dense covariance, one for each member or one for all."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from fabula.core.arrays import FloatArray, LogProbabilities, Members, Responsibilities, Rows
from fabula.core.errors import UsageError
from fabula.core.missing import Patterns, find_patterns
from fabula.families.base import Family
from fabula.families.dense import (
    LOG_2_PI,
    condition_rows,
    factorise,
    log_determinants,
    pattern_algebra,
    product_features,
    unpack_products,
)
from fabula.families.normal_diagonal import largest_ratio, resolution
from fabula.families.priors import CovariancePrior
from fabula.persistence.registry import storable

__all__ = ["Moments", "NormalFull", "NormalTied"]

# Up to this many columns the products of a row fit in cache, and two matrix products a block
# (Θ in the E-step, responsibilities in the M-step) beat whitening every member.
_MOST_COLUMNS_WITH_PRODUCTS = 20


@dataclass(frozen=True)
class Moments:
    """Weighted moments of completed rows about a common origin.

    ``second`` is (K, d, d), or (d, d) summed over members where the covariance is shared.
    """

    weights: FloatArray  # (K,)
    first: FloatArray  # (K, d)
    second: FloatArray
    origin: FloatArray  # (d,)

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.weights + other.weights,
            self.first + other.first,
            self.second + other.second,
            self.origin,
        )


@dataclass(frozen=True)
class PreparedDense:
    """A block of rows about an origin, with zeros where cells are missing."""

    cells: FloatArray  # (n, d), rows ordered by pattern where some are missing
    features: FloatArray | None  # their products, where the whole block needs them
    patterns: Patterns | None  # None where nothing is missing
    origin: FloatArray

    def __len__(self) -> int:
        return len(self.cells)


class DenseNormal(Family):
    """What the two dense banks share: everything but how the covariance is learned."""

    means: FloatArray

    @property
    @abstractmethod
    def _covariances(self) -> FloatArray:
        """(K, d, d), a view where one matrix is shared."""

    @property
    def n_members(self) -> int:
        """K."""
        return self.means.shape[0]

    @property
    def n_columns(self) -> int:
        """d."""
        return self.means.shape[1]

    @cached_property
    def _cholesky(self) -> FloatArray:
        return np.linalg.cholesky(self._covariances)

    @cached_property
    def _whitening(self) -> FloatArray:
        """(K, d, d) W with W Wᵀ = Σ⁻¹, so that (x − μ) W is white."""
        identity = np.broadcast_to(np.eye(self.n_columns), self._cholesky.shape)
        return np.swapaxes(np.linalg.solve(self._cholesky, identity), -1, -2)

    @cached_property
    def _precisions(self) -> FloatArray:
        return self._whitening @ np.swapaxes(self._whitening, -1, -2)

    @cached_property
    def _constants(self) -> FloatArray:
        return -0.5 * (self.n_columns * LOG_2_PI + log_determinants(self._cholesky))

    @property
    def _uses_products(self) -> bool:
        return self.n_columns <= _MOST_COLUMNS_WITH_PRODUCTS and self.n_members > 1

    def _is_far(self, origin: FloatArray, dtype: np.dtype[Any]) -> bool:
        white = np.einsum("kd,kde->ke", self.means - origin, self._whitening)
        return bool(np.max((white**2).sum(axis=1)) > largest_ratio(dtype))

    # Probability ------------------------------------------------------------------------------

    def prepare(self, x: Rows | PreparedDense) -> PreparedDense:
        """Centre, group by pattern of missing cells and form products, once for all passes."""
        if isinstance(x, PreparedDense):
            return x
        origin = self.means.mean(axis=0)
        cells = x - origin.astype(x.dtype)
        patterns = None
        if np.isnan(cells).any():
            patterns = find_patterns(x)
            cells = np.nan_to_num(cells[patterns.order], nan=0.0)
        features = None
        if self._uses_products and (patterns is None or len(patterns) * 8 <= len(x)):
            features = product_features(cells)
        return PreparedDense(cells, features, patterns, origin)

    def log_prob(self, x: Rows | PreparedDense) -> LogProbabilities:
        """Log density in nats (n, K); missing cells are integrated out."""
        prepared = self.prepare(x)
        if prepared.patterns is not None:
            return self._log_prob_patterns(prepared, prepared.patterns)
        if prepared.features is not None and not self._is_far(
            prepared.origin, prepared.cells.dtype
        ):
            theta = self._coefficients(self._precisions, self._constants, prepared.origin)
            return prepared.features @ theta.astype(prepared.cells.dtype)
        return self._log_prob_white(prepared.cells, prepared.origin)

    def _log_prob_white(self, cells: FloatArray, origin: FloatArray) -> LogProbabilities:
        n, d = cells.shape
        out = np.empty((n, self.n_members), dtype=cells.dtype)
        whitening = self._whitening.astype(cells.dtype)
        shifts = np.einsum("kd,kde->ke", self.means - origin, self._whitening)
        for k in range(self.n_members):
            white = cells @ whitening[k]
            white -= shifts[k].astype(cells.dtype)
            np.einsum("nd,nd->n", white, white, out=out[:, k])
        out *= -0.5
        out += self._constants.astype(cells.dtype)
        return out

    def _coefficients(
        self, precisions: FloatArray, constants: FloatArray, origin: FloatArray
    ) -> FloatArray:
        """Θ (…, F, K): log density = features · Θ. Takes (…, K, d, d) and (…, K)."""
        centred = self.means - origin
        linear = np.einsum("...kij,kj->...ki", precisions, centred)
        constant = constants - 0.5 * np.einsum("...ki,ki->...k", linear, centred)
        rows, columns = np.triu_indices(self.n_columns)
        products = -precisions[..., rows, columns] * np.where(rows == columns, 0.5, 1.0)
        theta = np.concatenate([constant[..., None], linear, products], axis=-1)
        return np.swapaxes(theta, -1, -2)

    def _log_prob_patterns(self, prepared: PreparedDense, patterns: Patterns) -> LogProbabilities:
        law = pattern_algebra(self._covariances, patterns.observed)
        n_seen = patterns.observed.sum(axis=1)
        constants = -0.5 * (n_seen[:, None] * LOG_2_PI + law.log_determinants)
        dtype = prepared.cells.dtype
        out = np.empty((len(prepared), self.n_members), dtype=dtype)
        far = self._is_far(prepared.origin, dtype)
        if prepared.features is not None and not far:
            theta = self._coefficients(law.precisions, constants, prepared.origin).astype(dtype)
        centred = self.means - prepared.origin
        for p in range(len(patterns)):
            rows = slice(patterns.starts[p], patterns.starts[p + 1])
            if prepared.features is not None and not far:
                values = prepared.features[rows] @ theta[p]
            else:
                cells = prepared.cells[rows, None, :] - centred * patterns.observed[p]
                square = np.einsum("nki,kij,nkj->nk", cells, law.precisions[p], cells, optimize=True)
                values = constants[p] - 0.5 * square
            out[patterns.order[rows]] = values
        return out

    # Learning ---------------------------------------------------------------------------------

    def statistics(self, x: Rows | PreparedDense, weights: Responsibilities) -> Moments:
        """Moments of the rows, with missing cells at their conditional expectations."""
        prepared = self.prepare(x)
        if prepared.patterns is not None:
            return self._statistics_patterns(prepared, prepared.patterns, weights)
        totals = weights.sum(axis=0, dtype=np.float64)
        return self._moments(totals, *self._raw_moments(prepared, weights), prepared.origin)

    def _raw_moments(
        self, prepared: PreparedDense, weights: Responsibilities, rows: slice = slice(None)
    ) -> tuple[FloatArray, FloatArray]:
        d = self.n_columns
        if prepared.features is not None:
            sums = (weights.T @ prepared.features[rows]).astype(np.float64)
            return sums[:, 1 : 1 + d], unpack_products(sums[:, 1 + d :], d)
        cells = prepared.cells[rows]
        second = np.empty((self.n_members, d, d))
        roots = np.sqrt(weights)
        for k in range(self.n_members):
            rooted = cells * roots[:, k : k + 1]
            second[k] = rooted.T @ rooted
        return (weights.T @ cells).astype(np.float64), second

    @abstractmethod
    def _moments(
        self, totals: FloatArray, first: FloatArray, second: FloatArray, origin: FloatArray
    ) -> Moments:
        """Moments from those of each member, summed over members where they are shared."""

    def _statistics_patterns(
        self, prepared: PreparedDense, patterns: Patterns, weights: Responsibilities
    ) -> Moments:
        """E[x] and E[xxᵀ] of completed rows from the moments of the observed cells.

        With x̂ = c + B x_o for the completed row, Σ w x̂ x̂ᵀ + Σ w Cov needs Σ w, Σ w x_o and
        Σ w x_o x_oᵀ of each pattern and nothing else.
        """
        law = pattern_algebra(self._covariances, patterns.observed)
        n_patterns, d = patterns.observed.shape
        ordered = weights[patterns.order]
        totals = np.add.reduceat(ordered, patterns.starts[:-1], axis=0, dtype=np.float64)
        first = np.empty((n_patterns, self.n_members, d))
        second = np.empty((n_patterns, self.n_members, d, d))
        for p in range(n_patterns):
            rows = slice(patterns.starts[p], patterns.starts[p + 1])
            first[p], second[p] = self._raw_moments(prepared, ordered[rows], rows)
        centred = self.means - prepared.origin
        seen = patterns.observed.astype(np.float64)
        regressions = law.regressions
        offset = centred - np.einsum("pkij,pkj->pki", regressions, centred * seen[:, None, :])
        mapped = np.einsum("pkij,pkj->pki", regressions, first)
        cross = mapped[..., :, None] * offset[..., None, :]
        full = regressions @ second @ np.swapaxes(regressions, -1, -2)
        full += cross + np.swapaxes(cross, -1, -2)
        weighted = totals[..., None, None]
        full += weighted * (offset[..., :, None] * offset[..., None, :] + law.covariances)
        completed_first = mapped + totals[..., None] * offset
        return self._moments(
            totals.sum(axis=0), completed_first.sum(axis=0), full.sum(axis=0), prepared.origin
        )

    # Simulation and conditioning --------------------------------------------------------------

    def sample(self, members: Members, rng: np.random.Generator) -> Rows:
        """One row a member, (n, d)."""
        rows = rng.standard_normal((len(members), self.n_columns))
        for k in np.unique(members):
            chosen = members == k
            rows[chosen] = rows[chosen] @ self._cholesky[k].T + self.means[k]
        return rows

    def complete(self, x: Rows, members: Members, rng: np.random.Generator | None = None) -> Rows:
        """Missing cells at their conditional mean given the row's member, or drawn."""
        filled = x.astype(np.float64, copy=True)
        patterns = find_patterns(x)
        for p in range(len(patterns)):
            observed = patterns.observed[p]
            if observed.all():
                continue
            rows = patterns.order[patterns.starts[p] : patterns.starts[p + 1]]
            o, m = np.flatnonzero(observed), np.flatnonzero(~observed)
            for k in np.unique(members[rows]):
                mine = rows[members[rows] == k]
                gain, rest = condition_rows(self._covariances[k], observed)
                values = self.means[k, m] + (filled[np.ix_(mine, o)] - self.means[k, o]) @ gain.T
                if rng is not None:
                    cholesky, _ = factorise(rest)
                    values += rng.standard_normal(values.shape) @ cholesky.T
                filled[np.ix_(mine, m)] = values
        return filled

    def _conditioned(
        self, columns: Sequence[int], values: Sequence[float] | FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Means and covariances of the other columns, and the log density of the values."""
        given = np.asarray(columns)
        observed = np.zeros(self.n_columns, dtype=bool)
        observed[given] = True
        row = np.full((1, self.n_columns), np.nan)
        row[0, given] = values
        log_prob = self.log_prob(row)[0]
        order = np.flatnonzero(observed)
        means, covariances = [], []
        for k in range(self.n_members):
            gain, rest = condition_rows(self._covariances[k], observed)
            means.append(self.means[k, ~observed] + gain @ (row[0, order] - self.means[k, order]))
            covariances.append(rest)
        return np.array(means), np.array(covariances), log_prob


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
        return k * (d + d * (d + 1) // 2)

    def _moments(
        self, totals: FloatArray, first: FloatArray, second: FloatArray, origin: FloatArray
    ) -> Moments:
        return Moments(totals, first, second, origin)

    def maximise(self, statistics: Moments, prior: CovariancePrior | None = None) -> NormalFull:
        """Weighted means, and scatter about them shrunk by the prior."""
        centred, means = _weighted_means(statistics, self.means)
        scatter = statistics.second - statistics.first[:, :, None] * centred[:, None, :]
        weights = statistics.weights
        if prior is not None:
            scatter = scatter + _dense_scatter(prior.scatter)
            weights = weights + prior.strengths(self.n_members)
        seen = (weights > 0)[:, None, None]
        covariances = np.divide(
            scatter, weights[:, None, None], out=self.covariances.copy(), where=seen
        )
        return NormalFull(means, _positive_definite(covariances, means))

    def pseudo_observations(self, strength: float) -> CovariancePrior:
        """Shrinkage towards the covariances of this bank; the means stay free."""
        return CovariancePrior(strength, strength * self.covariances)

    def log_prior(self, prior: CovariancePrior | None) -> float:
        """Log inverse-Wishart density of the covariances, up to a constant."""
        if prior is None:
            return 0.0
        scatter = _dense_scatter(prior.scatter)
        log_dets = log_determinants(self._cholesky)
        traces = np.einsum("kij,kij->k", np.broadcast_to(scatter, self.covariances.shape), self._precisions)
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
    def _uses_products(self) -> bool:
        return False  # one whitening serves every member

    @property
    def n_parameters(self) -> int:
        """d means a member and d(d+1)/2 covariances in all."""
        k, d = self.means.shape
        return k * d + d * (d + 1) // 2

    def _log_prob_white(self, cells: FloatArray, origin: FloatArray) -> LogProbabilities:
        whitening = self._whitening[0]
        dtype = cells.dtype
        white = cells @ whitening.astype(dtype)
        shifts = (self.means - origin) @ whitening
        if float((shifts**2).sum(axis=1).max()) > largest_ratio(dtype):
            return super()._log_prob_white(cells, origin)
        square = np.einsum("nd,nd->n", white, white)
        out = white @ shifts.T.astype(dtype)
        out -= 0.5 * square[:, None]
        out += (self._constants - 0.5 * (shifts**2).sum(axis=1)).astype(dtype)
        return out

    def _raw_moments(
        self, prepared: PreparedDense, weights: Responsibilities, rows: slice = slice(None)
    ) -> tuple[FloatArray, FloatArray]:
        if prepared.patterns is not None:
            return super()._raw_moments(prepared, weights, rows)
        rooted = prepared.cells * np.sqrt(weights.sum(axis=1))[:, None]
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
        centred, means = _weighted_means(statistics, self.means)
        scatter = statistics.second - statistics.first.T @ centred
        weight = float(statistics.weights.sum())
        if prior is not None:
            scatter = scatter + _dense_scatter(prior.scatter)
            weight += float(np.asarray(prior.strength))
        covariance = scatter / weight if weight > 0 else self.covariance
        return NormalTied(means, _positive_definite(covariance, means))

    def pseudo_observations(self, strength: float) -> CovariancePrior:
        """Shrinkage towards the covariance of this bank; the means stay free."""
        return CovariancePrior(strength, strength * self.covariance)

    def log_prior(self, prior: CovariancePrior | None) -> float:
        """Log inverse-Wishart density of the covariance, up to a constant."""
        if prior is None:
            return 0.0
        log_det = float(log_determinants(self._cholesky[0]))
        trace = float((_dense_scatter(prior.scatter) * self._precisions[0]).sum())
        return -0.5 * (float(np.asarray(prior.strength)) * log_det + trace)

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
        means, covariances, log_prob = self._conditioned(columns, values)
        return (NormalTied(means, covariances[0]) if means.shape[1] else None), log_prob


def _weighted_means(statistics: Moments, fallback: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means (K, d) about the origin and about zero; empty members keep theirs."""
    seen = (statistics.weights > 0)[:, None]
    centred = np.divide(
        statistics.first,
        statistics.weights[:, None],
        out=fallback - statistics.origin,
        where=seen,
    )
    return centred, centred + statistics.origin


def _dense_scatter(scatter: FloatArray) -> FloatArray:
    return np.diag(scatter) if scatter.ndim == 1 else scatter


def _positive_definite(covariances: FloatArray, means: FloatArray) -> FloatArray:
    """Lift what collapse or rank deficiency left without variance."""
    floor = resolution(means).max(axis=0)
    diagonal = np.diagonal(covariances, axis1=-2, axis2=-1)
    if np.any(diagonal < floor):
        lift = np.maximum(floor - diagonal, 0.0)
        covariances = covariances + lift[..., None] * np.eye(covariances.shape[-1])
    return factorise(covariances)[1]


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
