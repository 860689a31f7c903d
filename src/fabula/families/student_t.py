"""Student-t rows: normal rows whose covariance is divided by a gamma variable of their own.

With u ~ Gamma(ν/2, rate ν/2) and x | u ~ N(μ, Σ/u), a row far from μ gets a small u and says
little about μ and Σ (Lange, Little and Taylor 1989, J. Am. Stat. Assoc. 84:881; Liu and Rubin
1995, Statistica Sinica 5:19).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, gammaln

from fabula.core.arrays import FloatArray, LogProbabilities, Members, Responsibilities, Rows
from fabula.core.errors import UsageError
from fabula.families.base import Family
from fabula.families.normal import NormalFull
from fabula.families.normal_dense import (
    Moments,
    PreparedDense,
    dense_scatter,
    positive_definite,
    weighted_means,
)
from fabula.families.priors import CovariancePrior
from fabula.families.truncation import draw_truncated_t
from fabula.persistence.registry import storable

__all__ = ["StudentT", "StudentTMoments", "check_dofs", "excess_of_logs", "maximise_dofs"]

SMALLEST_DOF, LARGEST_DOF = 0.1, 1000.0


@dataclass(frozen=True)
class StudentTMoments:
    """Moments weighted by w E[u], except for what a missing cell could have been, weighted by w."""

    counts: FloatArray  # (K,) Σ w
    excess: FloatArray  # (K,) Σ w (E[log u] − E[u])
    moments: Moments

    def __add__(self, other: StudentTMoments) -> StudentTMoments:
        return StudentTMoments(
            self.counts + other.counts, self.excess + other.excess, self.moments + other.moments
        )


@storable("family/student_t")
@dataclass(frozen=True)
class StudentT(Family):
    """A bank of multivariate Student-t distributions.

    Parameters
    ----------
    locations : (K, d) array
        Means where the degrees of freedom are above 1.
    scales : (K, d, d) array
        Symmetric and positive definite, in squared units of the columns; times ν/(ν − 2) they
        are the covariances where ν is above 2.
    dofs : (K,) array
        Degrees of freedom ν > 0.
    fixed_dofs : bool
        Whether learning leaves the degrees of freedom as they are.
    """

    locations: FloatArray
    scales: FloatArray
    dofs: FloatArray
    fixed_dofs: bool = False

    groups_patterns: ClassVar[bool] = True  # rows with the same missing cells are worked together

    def __post_init__(self) -> None:
        if self.dofs.shape != self.locations.shape[:1]:
            raise UsageError("dofs must be a (K,) array with one entry for each location.")
        check_dofs(self.dofs)
        _ = self._normal  # checks the rest

    @cached_property
    def _normal(self) -> NormalFull:
        """The normal distributions given u = 1."""
        return NormalFull(self.locations, self.scales)

    @property
    def n_members(self) -> int:
        """K."""
        return self._normal.n_members

    @property
    def n_columns(self) -> int:
        """d."""
        return self._normal.n_columns

    @property
    def n_parameters(self) -> int:
        """d locations, d(d+1)/2 scales and the degrees of freedom, unless fixed, a member."""
        return self._normal.n_parameters + (0 if self.fixed_dofs else self.n_members)

    @property
    def uses_products(self) -> bool:
        """Whether `prepare` forms the products of the cells of a row."""
        return self._normal.uses_products

    # Probability ------------------------------------------------------------------------------

    def prepare(self, x: Rows | PreparedDense) -> PreparedDense:
        """Centre, group by pattern of missing cells and form products, once for all passes."""
        return self._normal.prepare(x)

    def log_prob(self, x: Rows | PreparedDense) -> LogProbabilities:
        """Log density in nats (n, K); exact where cells are missing.

        The cells that are seen are Student-t with the same degrees of freedom (Kotz and
        Nadarajah 2004, Multivariate t Distributions, section 1.10).
        """
        prepared = self.prepare(x)
        distances, n_seen, log_dets = self._normal.squared_distances(prepared)
        dofs = self.dofs
        counts, place = np.unique(n_seen[:, 0], return_inverse=True)
        constants = (
            gammaln(0.5 * (dofs + counts[:, None]))
            - gammaln(0.5 * dofs)
            - 0.5 * counts[:, None] * np.log(dofs * np.pi)
        )
        out = constants[place] - 0.5 * log_dets
        out -= 0.5 * (dofs + n_seen) * np.log1p(distances / dofs)
        return np.asarray(out.astype(prepared.cells.dtype))

    # Learning ---------------------------------------------------------------------------------

    def statistics(self, x: Rows | PreparedDense, weights: Responsibilities) -> StudentTMoments:
        """Moments of completed rows weighted by E[u | observed cells] = (ν + p) / (ν + δ).

        Here p is the number of observed cells and δ their squared distance; given u, missing
        cells have the covariance of the normal divided by u, so that it enters with weight w.
        """
        prepared = self.prepare(x)
        distances, n_seen, _ = self._normal.squared_distances(prepared)
        u = (self.dofs + n_seen) / (self.dofs + distances)
        excess = (weights * excess_of_logs(u, self.dofs, n_seen)).sum(axis=0, dtype=np.float64)
        moments = self._normal.weighted_moments(prepared, weights * u, weights)
        return StudentTMoments(weights.sum(axis=0, dtype=np.float64), excess, moments)

    def maximise(
        self, statistics: StudentTMoments, prior: CovariancePrior | None = None
    ) -> StudentT:
        """Means weighted by w E[u], scatter about them shrunk by the prior, and ν."""
        moments, counts = statistics.moments, statistics.counts
        centred, locations = weighted_means(moments, self.locations)
        scatter = moments.second - moments.first[:, :, None] * centred[:, None, :]
        if prior is not None:
            scatter = scatter + dense_scatter(prior.scatter)
            counts = counts + prior.strengths(self.n_members)
        scales = np.divide(
            scatter,
            counts[:, None, None],
            out=self.scales.copy(),
            where=(counts > 0)[:, None, None],
        )
        dofs = self.dofs
        if not self.fixed_dofs:
            dofs = maximise_dofs(statistics.excess, statistics.counts, dofs)
        return StudentT(locations, positive_definite(scales, locations), dofs, self.fixed_dofs)

    def pseudo_observations(self, strength: float) -> CovariancePrior:
        """Shrinkage towards the scales of this bank; locations and ν stay free."""
        return self._normal.pseudo_observations(strength)

    def log_prior(self, prior: CovariancePrior | None) -> float:
        """Log inverse-Wishart density of the scales, up to a constant."""
        return self._normal.log_prior(prior)

    # Simulation and conditioning --------------------------------------------------------------

    def sample(self, members: Members, rng: np.random.Generator) -> Rows:
        """One row a member, (n, d)."""
        noise = self._normal.sample(members, rng) - self.locations[members]
        dofs = self.dofs[members]
        u = rng.chisquare(dofs) / dofs
        return np.asarray(self.locations[members] + noise / np.sqrt(u)[:, None])

    def select(self, members: Sequence[int] | Members) -> StudentT:
        """The bank of the given members."""
        chosen = np.asarray(members, dtype=np.intp)
        return StudentT(
            self.locations[chosen], self.scales[chosen], self.dofs[chosen], self.fixed_dofs
        )

    def marginal(self, columns: Sequence[int]) -> StudentT:
        """The bank over the given columns, with the same degrees of freedom."""
        normal = self._normal.marginal(columns)
        return StudentT(normal.means, normal.covariances, self.dofs, self.fixed_dofs)

    def condition(
        self, columns: Sequence[int], values: Sequence[float] | FloatArray
    ) -> tuple[StudentT | None, FloatArray]:
        """The other columns given values of some, and the log density (K,) of the values.

        They are Student-t with ν + p degrees of freedom about the mean of the normal, with its
        scale times (ν + δ) / (ν + p) (Ding 2016, The American Statistician 70:293).
        """
        row = np.full((1, self.n_columns), np.nan)
        row[0, np.asarray(columns, dtype=np.intp)] = values
        distances, n_seen, _ = self._normal.squared_distances(row)
        rest, _ = self._normal.condition(columns, values)
        log_prob = self.log_prob(row)[0]
        if rest is None:
            return None, log_prob
        dofs = self.dofs + n_seen[0]
        factors = (self.dofs + distances[0]) / dofs
        scales = rest.covariances * factors[:, None, None]
        return StudentT(rest.means, scales, dofs, self.fixed_dofs), log_prob

    def complete(self, x: Rows, members: Members, rng: np.random.Generator | None = None) -> Rows:
        """Missing cells at their conditional location given the row's member, or drawn.

        The location is the mean where ν and the number of observed cells add up to more than 1.
        """
        centre = self._normal.complete(x, members)
        if rng is None:
            return centre
        noise = self._normal.complete(x, members, rng) - centre
        return np.asarray(centre + noise * self._spread(x, members, rng)[:, None])

    def _spread(self, x: Rows, members: Members, rng: np.random.Generator) -> FloatArray:
        """Draws (n,) of 1/√u given the observed cells, by which normal noise is to be scaled."""
        distances, n_seen, _ = self._normal.squared_distances(x)
        dofs = self.dofs[members]
        distance = np.take_along_axis(distances, members[:, None], axis=1)[:, 0]
        return np.sqrt((dofs + distance) / rng.chisquare(dofs + n_seen[:, 0]))

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
        mean, deviation = self._normal.conditional_column(column, given, members)
        others = given.astype(np.float64, copy=True)
        others[:, column] = np.nan
        distances, n_seen, _ = self._normal.squared_distances(others)
        distance = np.take_along_axis(distances, members[:, None], axis=1)[:, 0]
        dofs = self.dofs[members]
        inflated = deviation * np.sqrt((dofs + distance) / (dofs + n_seen[:, 0]))
        return draw_truncated_t(mean, inflated, dofs + n_seen[:, 0], low, high, rng)


def excess_of_logs(u: FloatArray, dofs: FloatArray, n_seen: Any) -> FloatArray:
    """E[log u] − E[u] given ``n_seen`` cells whose E[u] is ``u`` (Liu and Rubin 1995)."""
    if np.ndim(n_seen):
        counts, place = np.unique(n_seen, return_inverse=True)
        shape = 0.5 * (dofs + counts[:, None])
        correction = (digamma(shape) - np.log(shape))[place.reshape(-1)]
    else:
        shape = 0.5 * (dofs + n_seen)
        correction = digamma(shape) - np.log(shape)
    return np.asarray(np.log(u) - u + correction)


def maximise_dofs(excess: FloatArray, counts: FloatArray, fallback: FloatArray) -> FloatArray:
    """Degrees of freedom that maximise Σ w E[log p(u | ν)], between 0.1 and 1,000.

    The root of log(ν/2) − ψ(ν/2) + 1 + Σ w (E[log u] − E[u]) / Σ w, which falls in ν (Liu and
    Rubin 1995, section 3); found by halving an interval of log ν. Where ``counts`` is 0 the
    answer is ``fallback``.
    """
    mean = np.divide(excess, counts, out=np.zeros_like(excess), where=counts > 0)
    low = np.full(mean.shape, np.log(SMALLEST_DOF))
    high = np.full(mean.shape, np.log(LARGEST_DOF))
    for _ in range(48):
        middle = 0.5 * (low + high)
        half = 0.5 * np.exp(middle)
        rising = np.log(half) - digamma(half) + 1.0 + mean > 0
        low = np.where(rising, middle, low)
        high = np.where(rising, high, middle)
    return np.where(counts > 0, np.exp(0.5 * (low + high)), fallback)


def check_dofs(dofs: FloatArray) -> None:
    """Raise unless all degrees of freedom are positive and finite."""
    if not np.all((dofs > 0) & np.isfinite(dofs)):
        raise UsageError("Degrees of freedom must be positive and finite.")
