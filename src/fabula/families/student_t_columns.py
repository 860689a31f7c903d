"""Student-t columns that are independent given the member, for data with outlying cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from fabula.core.arrays import FloatArray, LogProbabilities, Members, Responsibilities, Rows
from fabula.core.errors import UsageError
from fabula.core.regions import OneOf, Region
from fabula.families.base import UnivariateColumns
from fabula.families.normal_diagonal import resolution
from fabula.families.priors import CovariancePrior
from fabula.families.student_t import check_dofs, excess_of_logs, maximise_dofs
from fabula.families.truncation import draw_truncated_t, log_mass_t
from fabula.persistence.registry import storable

__all__ = ["StudentTColumns", "TColumnStatistics"]


@dataclass(frozen=True)
class TColumnStatistics:
    """Sums over the observed cells of each column, each (K, d), about an origin (K, d)."""

    counts: FloatArray  # Σ w
    scaled: FloatArray  # Σ w E[u]
    first: FloatArray  # Σ w E[u] (x − origin)
    second: FloatArray  # Σ w E[u] (x − origin)²
    excess: FloatArray  # Σ w (E[log u] − E[u])
    origin: FloatArray

    def __add__(self, other: TColumnStatistics) -> TColumnStatistics:
        other = other.about(self.origin)
        return TColumnStatistics(
            self.counts + other.counts,
            self.scaled + other.scaled,
            self.first + other.first,
            self.second + other.second,
            self.excess + other.excess,
            self.origin,
        )

    def about(self, origin: FloatArray) -> TColumnStatistics:
        """The same sums measured from another origin."""
        shift = self.origin - origin
        if not shift.any():
            return self
        first = self.first + self.scaled * shift
        second = self.second + shift * (self.first + first)
        return TColumnStatistics(self.counts, self.scaled, first, second, self.excess, origin)


@storable("family/student_t_columns")
@dataclass(frozen=True)
class StudentTColumns(UnivariateColumns):
    """A bank of univariate Student-t distributions for each column.

    Parameters
    ----------
    locations, scales : (K, d) arrays
        Location and scale σ > 0, both in the units of the columns.
    dofs : (K, d) array
        Degrees of freedom ν > 0.
    fixed_dofs : bool
        Whether learning leaves the degrees of freedom as they are.
    """

    locations: FloatArray
    scales: FloatArray
    dofs: FloatArray
    fixed_dofs: bool = False

    def __post_init__(self) -> None:
        shapes = {self.locations.shape, self.scales.shape, self.dofs.shape}
        if self.locations.ndim != 2 or len(shapes) > 1:
            raise UsageError("locations, scales and dofs must all be (K, d) arrays.")
        if not np.isfinite(self.locations).all():
            raise UsageError("locations must be finite.")
        if not np.all((self.scales > 0) & np.isfinite(self.scales)):
            raise UsageError("scales must be positive and finite.")
        check_dofs(self.dofs)

    @property
    def n_members(self) -> int:
        """K."""
        return int(self.locations.shape[0])

    @property
    def n_columns(self) -> int:
        """d."""
        return int(self.locations.shape[1])

    @property
    def n_parameters(self) -> int:
        """A location, a scale and, unless fixed, ν for each member and column."""
        return int((2 if self.fixed_dofs else 3) * self.locations.size)

    # Probability ------------------------------------------------------------------------------

    def log_prob(self, x: Rows) -> LogProbabilities:
        """Log density in nats (n, K); missing cells drop out."""
        out = np.empty((len(x), self.n_members), dtype=x.dtype)
        for k in range(self.n_members):
            out[:, k] = self._log_prob_member(x, k).sum(axis=1)
        return out

    def log_prob_columns(self, x: Rows) -> FloatArray:
        """Log density of each cell by itself (n, K, d); 0 where the cell is missing."""
        rows = np.asarray(x, dtype=np.float64)
        cells = [self._log_prob_member(rows, k) for k in range(self.n_members)]
        return np.stack(cells, axis=1)

    def _log_prob_member(self, x: Rows, k: int) -> FloatArray:
        dofs, half = self.dofs[k], 0.5 * (self.dofs[k] + 1.0)
        constant = gammaln(half) - gammaln(0.5 * dofs) - np.log(self.scales[k])
        constant = constant - 0.5 * np.log(dofs * np.pi)
        cells = self._squares(x, k)
        cells /= dofs.astype(x.dtype)
        np.log1p(cells, out=cells)
        cells *= -half.astype(x.dtype)
        cells += constant.astype(x.dtype)
        return np.nan_to_num(cells, copy=False, nan=0.0, neginf=-np.inf)

    def _squares(self, x: Rows, k: int) -> FloatArray:
        """Squared distances of the cells in units of the scale."""
        scaled = (x - self.locations[k].astype(x.dtype)) / self.scales[k].astype(x.dtype)
        return np.asarray(scaled * scaled)

    # Learning ---------------------------------------------------------------------------------

    def statistics(self, x: Rows, weights: Responsibilities) -> TColumnStatistics:
        """Sums over observed cells weighted by E[u | cell] = (ν + 1) / (ν + δ)."""
        sums = np.zeros((5, self.n_members, self.n_columns))
        seen = ~np.isnan(x)
        any_missing = not seen.all()
        origin = self.locations.astype(x.dtype)
        for k in range(self.n_members):
            used = np.flatnonzero(weights[:, k])
            weight = weights[used, k].astype(np.float64)
            rows = x[used]
            u = (self.dofs[k] + 1.0) / (self.dofs[k] + self._squares(rows, k))
            excess = excess_of_logs(u, self.dofs[k], 1)
            centred = (rows - origin[k]).astype(np.float64)
            counts = weight.sum()
            if any_missing:
                here = seen[used]
                u, excess = np.where(here, u, 0.0), np.where(here, excess, 0.0)
                centred = np.where(here, centred, 0.0)
                counts = weight @ here
            moved = u * centred
            parts = (u, moved, moved * centred, excess)
            sums[:, k] = [np.broadcast_to(counts, self.n_columns), *(weight @ p for p in parts)]
        counts, scaled, first, second, excess = sums
        return TColumnStatistics(counts, scaled, first, second, excess, origin.astype(np.float64))

    def maximise(
        self, statistics: TColumnStatistics, prior: CovariancePrior | None = None
    ) -> StudentTColumns:
        """Means weighted by w E[u], shrunk spread about them, and ν."""
        counts, scaled = statistics.counts, statistics.scaled
        centred = np.divide(
            statistics.first, scaled, out=self.locations - statistics.origin, where=scaled > 0
        )
        locations = statistics.origin + centred
        scatter = np.maximum(statistics.second - centred * statistics.first, 0.0)
        if prior is not None:
            scatter = scatter + prior.scatter
            counts = counts + prior.strengths(self.n_members)[:, None]
        squared = np.divide(scatter, counts, out=self.scales**2, where=counts > 0)
        dofs = self.dofs
        if not self.fixed_dofs:
            dofs = maximise_dofs(statistics.excess, statistics.counts, dofs)
        scales = np.sqrt(np.maximum(squared, resolution(locations)))
        return StudentTColumns(locations, scales, dofs, self.fixed_dofs)

    def pseudo_observations(self, strength: float) -> CovariancePrior:
        """Shrinkage of the squared scales towards those of this bank; the rest stays free."""
        return CovariancePrior(strength, strength * self.scales**2)

    def log_prior(self, prior: CovariancePrior | None) -> float:
        """Log inverse-Wishart density of the squared scales, up to a constant."""
        if prior is None:
            return 0.0
        strengths = prior.strengths(self.n_members)[:, None]
        squared = self.scales**2
        return -0.5 * float((strengths * np.log(squared) + prior.scatter / squared).sum())

    # Simulation and conditioning --------------------------------------------------------------

    def sample(self, members: Members, rng: np.random.Generator) -> Rows:
        """One row a member, (n, d)."""
        return np.asarray(
            self.locations[members] + self.scales[members] * rng.standard_t(self.dofs[members])
        )

    def select(self, members: Sequence[int] | Members) -> StudentTColumns:
        """The bank of the given members."""
        return self._take(np.asarray(members, dtype=np.intp), slice(None))

    def marginal(self, columns: Sequence[int]) -> StudentTColumns:
        """The bank over the given columns: independence makes this a selection."""
        return self._take(slice(None), np.asarray(columns, dtype=np.intp))

    def condition(
        self, columns: Sequence[int], values: Sequence[float] | FloatArray
    ) -> tuple[StudentTColumns | None, FloatArray]:
        """The other columns as they were, and the log density (K,) of the values."""
        row = np.asarray(values, dtype=np.float64)[None, :]
        log_prob = self.marginal(columns).log_prob(row)[0]
        rest = [j for j in range(self.n_columns) if j not in set(columns)]
        return (self.marginal(rest) if rest else None), log_prob

    def complete(self, x: Rows, members: Members, rng: np.random.Generator | None = None) -> Rows:
        """Missing cells replaced by the member's location, or by a draw."""
        filling = self.locations[members] if rng is None else self.sample(members, rng)
        return np.where(np.isnan(x), filling, x).astype(np.float64)

    def _take(self, members: Members | slice, columns: Members | slice) -> StudentTColumns:
        return StudentTColumns(
            self.locations[members][:, columns],
            self.scales[members][:, columns],
            self.dofs[members][:, columns],
            self.fixed_dofs,
        )

    # Intervals and sets -----------------------------------------------------------------------

    def log_mass(self, column: int, region: Region) -> FloatArray:
        """Log probability (K,) of an interval; log density of a set of real values."""
        if isinstance(region, OneOf):
            return np.asarray(np.logaddexp.reduce(self._log_each(column, region), axis=0))
        location, scale, dofs = (a[:, column] for a in (self.locations, self.scales, self.dofs))
        return log_mass_t(location, scale, dofs, region.low, region.high)

    def sample_within(
        self, column: int, region: Region, members: Members, rng: np.random.Generator
    ) -> FloatArray:
        """Draws (n,) of one column truncated to the region."""
        if isinstance(region, OneOf):
            log_each = self._log_each(column, region)
            shares = np.exp(log_each - log_each.max(axis=0))
            cumulative = (np.cumsum(shares, axis=0) / shares.sum(axis=0)).T[members]
            chosen = (rng.random((len(members), 1)) >= cumulative).sum(axis=1)
            last = len(region.values) - 1
            return np.asarray(np.asarray(region.values)[np.minimum(chosen, last)])
        location, scale, dofs = (
            a[members, column] for a in (self.locations, self.scales, self.dofs)
        )
        drawn, _ = draw_truncated_t(location, scale, dofs, region.low, region.high, rng)
        return drawn

    def _log_each(self, column: int, region: OneOf) -> FloatArray:
        """Log density (V, K) of the values of a set."""
        values = np.asarray(region.values, dtype=np.float64)[:, None]
        return np.asarray(self.marginal([column]).log_prob(values))
