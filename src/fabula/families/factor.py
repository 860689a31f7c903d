"""Normal rows whose covariance is low rank plus diagonal: factor analysis, probabilistic PCA.

x = μ + Λ z + ε with z ~ N(0, I) of q dimensions and ε ~ N(0, diag ψ), so that the covariance is
Λ Λᵀ + diag ψ. It is never formed: with M = I + Λᵀ ψ⁻¹ Λ, a matrix of size q, the Woodbury identity
gives its inverse and log |Λ Λᵀ + ψ| = log |ψ| + log |M|. A missing cell drops out of every sum over
columns, and what is left is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import (
    FloatArray,
    LogProbabilities,
    Mask,
    Members,
    Responsibilities,
    Rows,
)
from fabula.core.errors import UsageError
from fabula.core.missing import find_patterns
from fabula.families.base import Family
from fabula.families.dense import LOG_2_PI, log_determinants, product_features, unpack_products
from fabula.families.factor_learning import FactorStatistics, maximise_member
from fabula.families.priors import CovariancePrior
from fabula.families.truncation import draw_truncated_normal
from fabula.persistence.registry import storable

__all__ = ["NormalFactor", "PreparedFactor"]


@dataclass(frozen=True)
class Latent:
    """What some rows say about z under one member."""

    means: FloatArray  # (n, q) E[z | x]
    projected: FloatArray  # (n, q) Λᵀ ψ⁻¹ (x − μ)
    covariances: FloatArray  # (P, q, q) of z given what a pattern shows
    log_determinants: FloatArray  # (P,) log |M|
    place: NDArray[np.intp]  # (n,) the pattern of each row

    def of(self, rows: NDArray[np.intp]) -> Latent:
        """The same for some of the rows."""
        return Latent(
            self.means[rows],
            self.projected[rows],
            self.covariances,
            self.log_determinants,
            self.place[rows],
        )


@dataclass(frozen=True)
class PreparedFactor:
    """A block of rows with zeros where cells are missing, and the patterns of what is seen."""

    cells: Rows  # (n, d)
    seen: Mask | None  # (n, d), None where nothing is missing
    patterns: Mask  # (P, d)
    place: NDArray[np.intp]  # (n,) the pattern of each row
    # What the last `log_prob` found of z under each member and the next `statistics` takes up.
    recent: list[tuple[NormalFactor, list[Latent]]] = field(
        default_factory=list, compare=False, repr=False
    )

    def __len__(self) -> int:
        return len(self.cells)


@storable("family/normal_factor")
@dataclass(frozen=True)
class NormalFactor(Family):
    """A bank of normal distributions with covariances Λ Λᵀ + diag ψ.

    Learning is the EM of mixtures of factor analysers (Ghahramani and Hinton 1996, technical report
    CRG-TR-96-1). Where cells are missing, z alone is the hidden variable: each column
    is regressed on z over the rows in which it is seen, which is exact and climbs faster than an
    EM that also hides the missing cells. Each M-step frees the mean and covariance of z and folds
    them into μ and Λ (parameter expansion: Liu, Rubin and Wu 1998, Biometrika 85:755).

    Parameters
    ----------
    means : (K, d) array
    loadings : (K, d, q) array
        Λ, in the units of the columns; determined up to a rotation of z.
    noise : (K, d) array
        ψ > 0, in squared units of the columns.
    isotropic : bool
        Whether all columns of a member share one noise variance: probabilistic PCA (Tipping and
        Bishop 1999, J. R. Stat. Soc. B 61:611).
    """

    means: FloatArray
    loadings: FloatArray
    noise: FloatArray
    isotropic: bool = False

    groups_patterns: ClassVar[bool] = True  # rows with the same missing cells are worked together

    def __post_init__(self) -> None:
        if self.means.ndim != 2 or self.means.shape != self.noise.shape:
            raise UsageError("means and noise must both be (K, d) arrays.")
        if self.loadings.ndim != 3 or self.loadings.shape[:2] != self.means.shape:
            raise UsageError("loadings must be a (K, d, q) array that goes with the means.")
        if self.loadings.shape[2] == 0:
            raise UsageError("loadings need at least one factor; for none, use NormalDiagonal.")
        if not np.isfinite(self.means).all() or not np.isfinite(self.loadings).all():
            raise UsageError("means and loadings must be finite.")
        if not np.all((self.noise > 0) & np.isfinite(self.noise)):
            raise UsageError("noise must be positive and finite.")
        if self.isotropic and not np.allclose(self.noise, self.noise[:, :1], rtol=1e-9, atol=0):
            raise UsageError("isotropic noise must be the same in all columns of a member.")

    @property
    def n_members(self) -> int:
        """K."""
        return int(self.means.shape[0])

    @property
    def n_columns(self) -> int:
        """d."""
        return int(self.means.shape[1])

    @property
    def n_factors(self) -> int:
        """q, the dimensions of z."""
        return int(self.loadings.shape[2])

    @property
    def n_parameters(self) -> int:
        """Means, noise, and loadings less the q(q − 1)/2 that a rotation of z takes away."""
        d, q = self.n_columns, min(self.n_factors, self.n_columns)
        spread = d * q - q * (q - 1) // 2 + (1 if self.isotropic else d)
        return self.n_members * (d + min(spread, d * (d + 1) // 2))

    @cached_property
    def _scaled_loadings(self) -> FloatArray:
        """(K, d, q) Λ/√ψ."""
        return self.loadings / np.sqrt(self.noise)[:, :, None]

    @cached_property
    def _products(self) -> FloatArray:
        """(K, d, q(q + 1)/2) products of the scaled loadings of each column."""
        q = self.n_factors
        return np.array([product_features(scaled)[:, 1 + q :] for scaled in self._scaled_loadings])

    @cached_property
    def _whole_rows(self) -> tuple[FloatArray, FloatArray]:
        """V = M⁻¹ (K, q, q) and log |M| (K,) of rows in which every column is seen."""
        scaled = self._scaled_loadings
        return _inverse_and_log_determinant(np.swapaxes(scaled, 1, 2) @ scaled)

    # Probability ------------------------------------------------------------------------------

    def prepare(self, x: Rows | PreparedFactor) -> PreparedFactor:
        """Group rows by pattern of missing cells, once for all passes."""
        if isinstance(x, PreparedFactor):
            return x
        seen = ~np.isnan(x)
        n, d = x.shape
        if seen.all():
            return PreparedFactor(x, None, np.ones((1, d), dtype=bool), np.zeros(n, dtype=np.intp))
        patterns = find_patterns(x)
        place = np.empty(n, dtype=np.intp)
        place[patterns.order] = np.repeat(np.arange(len(patterns)), np.diff(patterns.starts))
        cells = np.where(seen, x, 0.0).astype(x.dtype)
        return PreparedFactor(cells, seen, patterns.observed, place)

    def log_prob(self, x: Rows | PreparedFactor) -> LogProbabilities:
        """Log density in nats (n, K), O(d q) a row; missing cells are integrated out."""
        prepared = self.prepare(x)
        seen = prepared.patterns.astype(np.float64)
        out = np.empty((len(prepared), self.n_members), dtype=prepared.cells.dtype)
        latents = []
        for k in range(self.n_members):
            whitened = self._whiten(prepared, k)
            latent = self._latent(prepared, k, whitened)
            constants = seen @ (LOG_2_PI + np.log(self.noise[k])) + latent.log_determinants
            explained = np.einsum("nq,nq->n", latent.means, latent.projected)
            square = np.einsum("nd,nd->n", whitened, whitened) - explained
            out[:, k] = -0.5 * (constants[latent.place] + square)
            latents.append(latent)
        prepared.recent[:] = [(self, latents)]
        return out

    def latent_means(self, x: Rows | PreparedFactor) -> FloatArray:
        """E[z | row, member], (n, K, q); a row without cells has 0."""
        prepared = self.prepare(x)
        means = [
            self._latent(prepared, k, self._whiten(prepared, k)).means
            for k in range(self.n_members)
        ]
        return np.stack(means, axis=1)

    def _whiten(
        self, prepared: PreparedFactor, k: int, used: NDArray[np.intp] | slice = slice(None)
    ) -> FloatArray:
        """(x − μ)/√ψ of some rows, 0 where cells are missing."""
        dtype = prepared.cells.dtype
        whitened = prepared.cells[used] - self.means[k].astype(dtype)
        whitened *= (1.0 / np.sqrt(self.noise[k])).astype(dtype)
        if prepared.seen is not None:
            whitened *= prepared.seen[used]
        return np.asarray(whitened)

    def _latent(
        self,
        prepared: PreparedFactor,
        k: int,
        whitened: FloatArray,
        used: NDArray[np.intp] | slice = slice(None),
    ) -> Latent:
        """The posterior of z under member k for rows that `_whiten` gave."""
        projected = (whitened @ self._scaled_loadings[k].astype(whitened.dtype)).astype(np.float64)
        if prepared.seen is None:
            covariances, log_dets = (part[k : k + 1] for part in self._whole_rows)
            means, place = projected @ covariances[0], prepared.place[used]
        else:
            patterns, place = np.unique(prepared.place[used], return_inverse=True)
            seen = prepared.patterns[patterns].astype(np.float64)
            covariances, log_dets = _inverse_and_log_determinant(
                unpack_products(seen @ self._products[k], self.n_factors)
            )
            means = np.matmul(covariances[place], projected[:, :, None])[:, :, 0]
        return Latent(means, projected, covariances, log_dets, place)

    # Learning ---------------------------------------------------------------------------------

    def statistics(self, x: Rows | PreparedFactor, weights: Responsibilities) -> FactorStatistics:
        """Expected sums of 1, z and zzᵀ and of their products with the cells that are seen.

        Rows whose weight is 0 cost nothing, so that known members do each their own work only.
        """
        prepared = self.prepare(x)
        (k_members, d), q = self.means.shape, self.n_factors
        n_products = 1 + q + q * (q + 1) // 2
        dtype, recent = prepared.cells.dtype, self._recent(prepared)
        latent_sums = np.zeros((k_members, n_products))
        gram = np.zeros((k_members, 1 if prepared.seen is None else d, n_products))
        cross, squares = np.zeros((k_members, d, 1 + q)), np.zeros((k_members, d))
        for k in range(k_members):
            used = np.flatnonzero(weights[:, k])
            if len(used) == 0:
                continue
            weight = weights[used, k].astype(np.float64)
            whitened = self._whiten(prepared, k, used)
            latent = recent[k].of(used) if recent else self._latent(prepared, k, whitened, used)
            products = product_features(latent.means) * weight[:, None]
            spread = latent.covariances[:, *np.triu_indices(q)]
            totals = np.bincount(latent.place, weight, minlength=len(spread))
            latent_sums[k] = products.sum(axis=0)
            latent_sums[k, 1 + q :] += totals @ spread
            if prepared.seen is None:
                gram[k, 0] = latent_sums[k]
            else:
                products[:, 1 + q :] += weight[:, None] * spread[latent.place]
                seen = prepared.seen[used].astype(dtype)
                gram[k] = seen.T @ products.astype(dtype)
            mixed = whitened.T @ products[:, : 1 + q].astype(dtype)
            cross[k] = mixed.astype(np.float64) * np.sqrt(self.noise[k])[:, None]
            whitened *= whitened
            squares[k] = (weight.astype(dtype) @ whitened) * self.noise[k]
        origin = self.means.astype(dtype).astype(np.float64)
        return FactorStatistics(latent_sums, gram, cross, squares, origin)

    def _recent(self, prepared: PreparedFactor) -> list[Latent] | None:
        """What the last `log_prob` left of this bank; it is forgotten here."""
        try:
            owner, latents = prepared.recent.pop()
        except IndexError:
            return None
        return latents if owner is self else None

    def maximise(
        self, statistics: FactorStatistics, prior: CovariancePrior | None = None
    ) -> NormalFactor:
        """Columns regressed on z, and noise shrunk by the prior, of which the diagonal counts."""
        k_members, d = self.means.shape
        strengths: FloatArray = np.zeros(k_members)
        scatter: FloatArray = np.zeros(d)
        if prior is not None:
            strengths, scatter = prior.strengths(k_members), _diagonal(prior.scatter, self.means)
        scatter = np.broadcast_to(scatter, (k_members, d))
        fitted = [
            maximise_member(
                statistics,
                k,
                (self.means[k], self.loadings[k], self.noise[k]),
                float(strengths[k]),
                scatter[k],
                self.isotropic,
            )
            for k in range(k_members)
        ]
        means, loadings, noise = (np.array(part) for part in zip(*fitted, strict=True))
        return NormalFactor(means, loadings, noise, self.isotropic)

    def pseudo_observations(self, strength: float) -> CovariancePrior:
        """Shrinkage of the noise towards that of this bank; means and loadings stay free."""
        return CovariancePrior(strength, strength * self.noise)

    def log_prior(self, prior: CovariancePrior | None) -> float:
        """Log inverse-Wishart density of the noise variances, up to a constant."""
        if prior is None:
            return 0.0
        strengths = prior.strengths(self.n_members)[:, None]
        scatter = _diagonal(prior.scatter, self.means)
        return -0.5 * float((strengths * np.log(self.noise) + scatter / self.noise).sum())

    # Simulation and conditioning --------------------------------------------------------------

    def sample(self, members: Members, rng: np.random.Generator) -> Rows:
        """One row a member, (n, d)."""
        latent = rng.standard_normal((len(members), self.n_factors))
        rows = rng.standard_normal((len(members), self.n_columns))
        rows *= np.sqrt(self.noise)[members]
        rows += self.means[members]
        for k in np.unique(members):
            chosen = members == k
            rows[chosen] += latent[chosen] @ self.loadings[k].T
        return rows

    def select(self, members: Sequence[int] | Members) -> NormalFactor:
        """The bank of the given members."""
        return self._take(np.asarray(members, dtype=np.intp), slice(None))

    def marginal(self, columns: Sequence[int]) -> NormalFactor:
        """The bank over the given columns, with the same factors behind them."""
        return self._take(slice(None), np.asarray(columns, dtype=np.intp))

    def _take(self, members: Members | slice, columns: Members | slice) -> NormalFactor:
        return NormalFactor(
            self.means[members][:, columns],
            self.loadings[members][:, columns],
            self.noise[members][:, columns],
            self.isotropic,
        )

    def condition(
        self, columns: Sequence[int], values: Sequence[float] | FloatArray
    ) -> tuple[NormalFactor | None, FloatArray]:
        """The other columns given values of some, and the log density (K,) of the values.

        Given the values, z is N(ẑ, V), so the others have means μ + Λ ẑ and loadings Λ V^{1/2}.
        """
        row = np.full((1, self.n_columns), np.nan)
        row[0, np.asarray(columns, dtype=np.intp)] = values
        log_prob = self.log_prob(row)[0]
        rest = np.flatnonzero(np.isnan(row[0]))
        if len(rest) == 0:
            return None, log_prob
        prepared = self.prepare(row)
        means, loadings = [], []
        for k in range(self.n_members):
            latent = self._latent(prepared, k, self._whiten(prepared, k))
            means.append(self.means[k, rest] + self.loadings[k, rest] @ latent.means[0])
            loadings.append(self.loadings[k, rest] @ np.linalg.cholesky(latent.covariances[0]))
        return (
            NormalFactor(np.array(means), np.array(loadings), self.noise[:, rest], self.isotropic),
            log_prob,
        )

    def complete(self, x: Rows, members: Members, rng: np.random.Generator | None = None) -> Rows:
        """Missing cells at their conditional mean μ + Λ ẑ given the row's member, or drawn."""
        filled = x.astype(np.float64, copy=True)
        gaps = np.isnan(filled)
        prepared = self.prepare(filled)
        for k in np.unique(members[gaps.any(axis=1)]):
            mine = np.flatnonzero((members == k) & gaps.any(axis=1))
            latent = self._latent(prepared, k, self._whiten(prepared, k, mine), mine)
            means = latent.means
            if rng is not None:
                roots = np.linalg.cholesky(latent.covariances)[latent.place]
                noise = rng.standard_normal(means.shape)
                means = means + np.einsum("nij,nj->ni", roots, noise)
            values = self.means[k] + means @ self.loadings[k].T
            if rng is not None:
                values += rng.standard_normal(values.shape) * np.sqrt(self.noise[k])
            filled[mine] = np.where(gaps[mine], values, filled[mine])
        return filled

    def draw_within(
        self,
        column: int,
        low: float,
        high: float,
        given: Rows,
        members: Members,
        rng: np.random.Generator,
    ) -> tuple[FloatArray, FloatArray]:
        """One column drawn from its conditional, truncated to an interval.

        Returns the draws (n,) and the log probability (n,) of the interval, each given the cells
        of the row that are not NaN.
        """
        others = given.astype(np.float64, copy=True)
        others[:, column] = np.nan
        prepared = self.prepare(others)
        mean, variance = np.empty(len(members)), np.empty(len(members))
        for k in np.unique(members):
            mine = np.flatnonzero(members == k)
            latent = self._latent(prepared, k, self._whiten(prepared, k, mine), mine)
            loading = self.loadings[k, column]
            mean[mine] = self.means[k, column] + latent.means @ loading
            spread = latent.covariances @ loading @ loading
            variance[mine] = spread[latent.place] + self.noise[k, column]
        return draw_truncated_normal(mean, np.sqrt(variance), low, high, rng)


def _inverse_and_log_determinant(gram: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(I + gram)⁻¹ and log |I + gram| of matrices (…, q, q)."""
    precisions = gram + np.eye(gram.shape[-1])
    log_dets = log_determinants(np.linalg.cholesky(precisions))
    inverse = np.linalg.inv(precisions)
    return 0.5 * (inverse + np.swapaxes(inverse, -1, -2)), log_dets


def _diagonal(scatter: FloatArray, means: FloatArray) -> FloatArray:
    """The scatter of a prior for each column: (d,), (K, d), or the diagonals of matrices."""
    if scatter.ndim == 3 or (scatter.ndim == 2 and scatter.shape != means.shape):
        return np.diagonal(scatter, axis1=-2, axis2=-1)
    return scatter
