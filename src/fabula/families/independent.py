"""Exponential families whose columns are independent given the member.

Each column has the density h(x) exp(η·t(x) − A(η)) (Barndorff-Nielsen 1978). A concrete family
says what t, η, A and h are, and everything else follows: log densities of a block are one matrix
product T(x) ηᵀ, expected statistics are another, missing cells drop out of both, and a conjugate
prior is a handful of pseudo-observations added to the statistics.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from fabula.core.arrays import FloatArray, LogProbabilities, Members, Responsibilities, Rows
from fabula.core.regions import Interval, OneOf, Region
from fabula.families.base import Family, UnivariateColumns

__all__ = ["ColumnStatistics", "IndependentColumns", "PreparedColumns"]


@dataclass(frozen=True)
class ColumnStatistics:
    """Weighted sums over the observed cells of each column.

    ``counts`` (K, d) is the weight of the observed cells, ``sums[i]`` (K, d) the weighted sum of
    the i-th sufficient statistic of ``x - origin``.
    """

    counts: FloatArray
    sums: tuple[FloatArray, ...]
    origin: FloatArray | None = None

    def __add__(self, other: ColumnStatistics) -> ColumnStatistics:
        return ColumnStatistics(
            self.counts + other.counts,
            tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            self.origin,
        )


@dataclass(frozen=True)
class PreparedColumns:
    """Sufficient statistics of a block of rows, with zeros where a cell is missing."""

    features: FloatArray  # (n, F·d), the F statistics side by side
    observed: FloatArray | None  # (n, d) of 0 and 1, None where nothing is missing
    base: FloatArray | None  # (n,) Σ log h(x), -inf where a cell is impossible
    origin: FloatArray | None

    def __len__(self) -> int:
        return len(self.features)


class IndependentColumns(UnivariateColumns):
    """A bank of exponential families over independent columns."""

    # What a concrete family says about itself ------------------------------------------------

    @abstractmethod
    def _features(self, x: Rows) -> tuple[FloatArray, ...]:
        """The sufficient statistics of each cell, each (n, d)."""

    @abstractmethod
    def _natural(self, origin: FloatArray | None) -> tuple[tuple[FloatArray, ...], FloatArray]:
        """Natural parameters, each (K, d), and -A (K, d), for cells measured from ``origin``."""

    @abstractmethod
    def _expected(self) -> tuple[FloatArray, ...]:
        """Expected sufficient statistics, each (K, d)."""

    @abstractmethod
    def _distribution(self, column: int, members: Members | slice) -> Any:
        """One column of the given members as a frozen ``scipy.stats`` distribution."""

    @abstractmethod
    def _take(self, members: Any, columns: Any) -> Self:
        """The same family with the given members and columns of every parameter."""

    def _base(self, x: Rows) -> FloatArray | None:
        """Log h(x) of each cell, (n, d), -inf where the value is impossible; None if h is 1."""
        return None

    def _origin(self) -> FloatArray | None:
        """The point (d,) cells are measured from, for accuracy; None for zero."""
        return None

    discrete = False

    # Probability ------------------------------------------------------------------------------

    def prepare(self, x: Rows | PreparedColumns) -> PreparedColumns:
        """Sufficient statistics of every cell, computed once for all passes over the block."""
        if isinstance(x, PreparedColumns):
            return x
        origin = self._origin()
        values = x if origin is None else x - origin.astype(x.dtype)
        missing = np.isnan(values)
        any_missing = bool(missing.any())
        if any_missing:
            values = np.where(missing, _inside(self), values)
        base = self._base(values)
        if base is not None:
            impossible = np.isneginf(base)
            if impossible.any():
                values = np.where(impossible, _inside(self), values)
            if any_missing:
                base = np.where(missing, 0.0, base)
            base = base.sum(axis=1)
        features = self._features(values)
        stacked = features[0] if len(features) == 1 else np.concatenate(features, axis=1)
        observed = None
        if any_missing:
            observed = (~missing).astype(stacked.dtype)
            stacked = (stacked.reshape(len(x), len(features), -1) * observed[:, None, :]).reshape(
                stacked.shape
            )
        return PreparedColumns(stacked, observed, base, origin)

    def log_prob(self, x: Rows | PreparedColumns) -> LogProbabilities:
        """Log density in nats (n, K); missing cells drop out."""
        prepared = self.prepare(x)
        natural, constant = self._natural(prepared.origin)
        dtype = prepared.features.dtype
        log_prob = prepared.features @ np.concatenate(natural, axis=1).T.astype(dtype)
        if prepared.observed is None:
            log_prob += constant.sum(axis=1).astype(dtype)
        else:
            log_prob += prepared.observed @ constant.T.astype(dtype)
        if prepared.base is not None:
            log_prob += prepared.base[:, None]
        return log_prob

    def log_prob_columns(self, x: Rows) -> FloatArray:
        """Log density of each cell by itself (n, K, d); 0 where the cell is missing."""
        origin = self._origin()
        values = x if origin is None else x - origin
        missing = np.isnan(values)
        values = np.where(missing, _inside(self), values)
        natural, constant = self._natural(origin)
        base = self._base(values)
        impossible = np.zeros_like(missing) if base is None else np.isneginf(base)
        values = np.where(impossible, _inside(self), values)
        cells = np.broadcast_to(constant, (len(x), *constant.shape)).copy()
        for feature, parameter in zip(self._features(values), natural, strict=True):
            cells += feature[:, None, :] * parameter
        if base is not None:
            cells += base[:, None, :]
        return np.where(missing[:, None, :], 0.0, cells)

    # Learning ---------------------------------------------------------------------------------

    def statistics(self, x: Rows | PreparedColumns, weights: Responsibilities) -> ColumnStatistics:
        """Weighted sums of the observed cells; exact, since missing columns say nothing."""
        prepared = self.prepare(x)
        n_features = prepared.features.shape[1] // self.n_columns
        sums = (weights.T @ prepared.features).astype(np.float64)
        if prepared.observed is None:
            totals = weights.sum(axis=0, dtype=np.float64)
            counts = np.repeat(totals[:, None], self.n_columns, axis=1)
        else:
            counts = (weights.T @ prepared.observed).astype(np.float64)
        parts = tuple(np.split(sums, n_features, axis=1))
        return ColumnStatistics(counts, parts, prepared.origin)

    def pseudo_observations(self, strength: float) -> ColumnStatistics:
        """A conjugate prior worth ``strength`` observations that look like this bank."""
        counts = np.full((self.n_members, self.n_columns), float(strength))
        return ColumnStatistics(counts, tuple(strength * t for t in self._expected()))

    def log_prior(self, prior: ColumnStatistics | None) -> float:
        """Log density of the pseudo-observations under this bank, up to a constant."""
        if prior is None:
            return 0.0
        natural, constant = self._natural(None)
        total = float((prior.counts * constant).sum())
        for parameter, sums in zip(natural, prior.sums, strict=True):
            total += float((parameter * sums).sum())
        return total

    # Simulation and conditioning --------------------------------------------------------------

    def sample(self, members: Members, rng: np.random.Generator) -> Rows:
        """One row a member, (n, d)."""
        columns = [
            self._distribution(j, members).rvs(size=len(members), random_state=rng)
            for j in range(self.n_columns)
        ]
        return np.stack(columns, axis=1).astype(np.float64)

    def select(self, members: Sequence[int] | Members) -> Self:
        """The bank of the given members."""
        return self._take(np.asarray(members), slice(None))

    def marginal(self, columns: Sequence[int]) -> Self:
        """The bank over the given columns: independence makes this a selection."""
        return self._take(slice(None), np.asarray(columns))

    def condition(
        self, columns: Sequence[int], values: Sequence[float] | FloatArray
    ) -> tuple[Family | None, FloatArray]:
        """The other columns as they were, and the log density (K,) of the values."""
        row = np.asarray(values, dtype=np.float64)[None, :]
        log_prob = self.marginal(columns).log_prob(row)[0]
        rest = [j for j in range(self.n_columns) if j not in set(columns)]
        return (self.marginal(rest) if rest else None), log_prob

    def complete(self, x: Rows, members: Members, rng: np.random.Generator | None = None) -> Rows:
        """Missing cells replaced by the member's mean, or by a draw."""
        filled = x.astype(np.float64, copy=True)
        for j in range(self.n_columns):
            rows = np.flatnonzero(np.isnan(filled[:, j]))
            if len(rows):
                distribution = self._distribution(j, members[rows])
                filled[rows, j] = (
                    self._centre(j)[members[rows]]
                    if rng is None
                    else distribution.rvs(size=len(rows), random_state=rng)
                )
        return filled

    def _centre(self, column: int) -> FloatArray:
        """What fills a missing cell of each member (K,) when no draw is asked for."""
        return np.asarray(self._distribution(column, slice(None)).mean(), dtype=np.float64)

    # Intervals and sets -----------------------------------------------------------------------

    def log_mass(self, column: int, region: Region) -> FloatArray:
        """Log probability (K,) of an interval or set; log density of a set of real values."""
        distribution = self._distribution(column, slice(None))
        if isinstance(region, OneOf):
            values = np.asarray(region.values)[:, None]
            log_each = (
                distribution.logpmf(values) if self.discrete else distribution.logpdf(values)
            )
            return np.asarray(np.logaddexp.reduce(log_each, axis=0))
        low, high = self._ends(region)
        # Of the two equal differences the one taken in the lighter tail keeps its digits.
        below = distribution.cdf(high) - distribution.cdf(low)
        above = distribution.sf(low) - distribution.sf(high)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.where(distribution.cdf(low) > 0.5, above, below)))

    def sample_within(
        self, column: int, region: Region, members: Members, rng: np.random.Generator
    ) -> FloatArray:
        """Draws of one column truncated to the region, by inversion."""
        distribution = self._distribution(column, members)
        uniform = rng.random(len(members))
        if isinstance(region, OneOf):
            values = np.asarray(region.values)
            each = distribution.pmf if self.discrete else distribution.pdf
            probabilities = np.stack([each(value) for value in values], axis=1)
            cumulative = np.cumsum(probabilities, axis=1)
            chosen = (uniform[:, None] * cumulative[:, -1:] > cumulative).sum(axis=1)
            return np.asarray(values[np.minimum(chosen, len(values) - 1)], dtype=np.float64)
        low, high = self._ends(region)
        cdf_low, cdf_high = distribution.cdf(low), distribution.cdf(high)
        sf_low, sf_high = distribution.sf(low), distribution.sf(high)
        lower_tail = distribution.ppf(cdf_low + uniform * (cdf_high - cdf_low))
        upper_tail = distribution.isf(sf_low + uniform * (sf_high - sf_low))
        drawn = np.where(cdf_low > 0.5, upper_tail, lower_tail)
        return np.asarray(np.clip(drawn, region.low, region.high), dtype=np.float64)

    def _ends(self, region: Interval) -> tuple[float, float]:
        """The ends between which a difference of cdf values is the probability."""
        if self.discrete:
            return np.ceil(region.low) - 1.0, np.floor(region.high)
        return region.low, region.high


def _inside(family: IndependentColumns) -> float:
    """A value inside the support of every column, to stand where a cell is not used."""
    return 1.0
