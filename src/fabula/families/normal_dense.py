"""What every bank of dense normal distributions shares: densities, missing cells, conditioning."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

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
from fabula.core.missing import Patterns, find_patterns
from fabula.families.base import Family
from fabula.families.completion import Completion, Gaps, complete_rows, find_gaps
from fabula.families.dense import (
    LOG_2_PI,
    Conditional,
    condition_rows,
    factorise,
    log_determinants,
    pattern_algebra,
    product_features,
    unpack_products,
    upper_triangle,
)
from fabula.families.normal_diagonal import largest_ratio, resolution
from fabula.families.truncation import draw_truncated_normal

__all__ = [
    "DenseNormal",
    "Moments",
    "PreparedDense",
    "dense_scatter",
    "positive_definite",
    "weighted_means",
]

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
        other = other.about(self.origin)
        return Moments(
            self.weights + other.weights,
            self.first + other.first,
            self.second + other.second,
            self.origin,
        )

    def about(self, origin: FloatArray) -> Moments:
        """The same moments measured from another origin."""
        if np.array_equal(origin, self.origin):
            return self
        shift = self.origin - origin
        first = self.first + self.weights[:, None] * shift
        cross = self.first[:, :, None] * shift + shift[:, None] * first[:, None, :]
        change = cross if self.second.ndim == 3 else cross.sum(axis=0)
        return Moments(self.weights, first, self.second + change, origin)


@dataclass(frozen=True)
class PreparedDense:
    """A block of rows about an origin, with zeros where cells are missing."""

    cells: FloatArray  # (n, d), rows ordered by pattern where some are missing
    features: FloatArray | None  # their products, where the whole block needs them
    patterns: Patterns | None  # None where nothing is missing
    origin: FloatArray
    gaps: Gaps | None = None  # where each row is completed by itself
    # What the last `log_prob` made of the missing cells and the next `statistics` takes up.
    recent: list[tuple[DenseNormal, Conditional | Completion]] = field(
        default_factory=list, compare=False, repr=False
    )

    def __len__(self) -> int:
        return len(self.cells)


class DenseNormal(Family):
    """What the two dense banks share: everything but how the covariance is learned."""

    means: FloatArray
    groups_patterns: ClassVar[bool] = True  # rows with the same missing cells are worked together
    is_tied: ClassVar[bool] = False  # one covariance for all members

    @property
    @abstractmethod
    def _covariances(self) -> FloatArray:
        """(K, d, d), a view where one matrix is shared."""

    @property
    def n_members(self) -> int:
        """K."""
        return int(self.means.shape[0])

    @property
    def n_columns(self) -> int:
        """d."""
        return int(self.means.shape[1])

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

    @cached_property
    def log_determinants(self) -> FloatArray:
        """Log determinants (K,) of the covariances."""
        return log_determinants(self._cholesky)

    def covariance_and_precision(self) -> tuple[FloatArray, FloatArray]:
        """Σ and Σ⁻¹ of every member, each (K, d, d)."""
        return self._covariances, self._precisions

    @property
    def uses_products(self) -> bool:
        """Whether `prepare` forms the products of the cells of a row."""
        return self.n_columns <= _MOST_COLUMNS_WITH_PRODUCTS and self.n_members > 1

    def _is_far(self, origin: FloatArray, dtype: np.dtype[Any]) -> bool:
        """Whether products of columns would cancel too many digits of the quadratic form."""
        white = np.einsum("kd,kde->ke", self.means - origin, self._whitening)
        distance = float(np.max((white**2).sum(axis=1)))
        return max(distance, self._inflation) > largest_ratio(dtype)

    @cached_property
    def _inflation(self) -> float:
        """Largest Σᵢᵢ (Σ⁻¹)ᵢᵢ: how much larger terms of the quadratic form are than its value."""
        precisions = np.einsum("kde,kde->kd", self._whitening, self._whitening)
        variances = np.diagonal(self._covariances, axis1=-2, axis2=-1)
        return float(np.max(variances * precisions))

    # Probability ------------------------------------------------------------------------------

    def prepare(self, x: Rows | PreparedDense) -> PreparedDense:
        """Centre, group by pattern of missing cells and form products, once for all passes."""
        if isinstance(x, PreparedDense):
            return x
        # Rounded as the cells are, so that exactly what is taken off here is put back later.
        origin = self.means.mean(axis=0).astype(x.dtype)
        cells = x - origin
        patterns = None
        if np.isnan(cells).any():
            patterns = find_patterns(x)
            cells = np.nan_to_num(cells[patterns.order], nan=0.0)
        gaps = None if patterns is None else find_gaps(patterns, self.n_members)
        features = None
        if self.uses_products and gaps is None:
            features = product_features(cells)
        elif patterns is None:
            # Each column along memory: what is done to the columns of a block is many small runs.
            cells = np.asfortranarray(cells)
        return PreparedDense(cells, features, patterns, origin.astype(np.float64), gaps)

    def log_prob(self, x: Rows | PreparedDense) -> LogProbabilities:
        """Log density in nats (n, K); missing cells are integrated out."""
        prepared = self.prepare(x)
        if prepared.patterns is not None:
            return self._log_prob_patterns(prepared, prepared.patterns)
        theta = None if prepared.features is None else self._theta(prepared)
        if theta is not None and prepared.features is not None:
            # Made as (K, n), as everywhere: sums over members then run along memory.
            return (theta @ prepared.features.T).T
        return self._log_prob_white(prepared.cells, prepared.origin)

    def _theta(self, prepared: PreparedDense) -> FloatArray | None:
        """Θᵀ (K, F) for blocks about this origin; None where products would cancel."""
        dtype = prepared.cells.dtype
        key = (prepared.origin.tobytes(), dtype)
        if key not in self._thetas:
            theta = None
            if not self._is_far(prepared.origin, dtype):
                full = self._coefficients(self._precisions, self._constants, prepared.origin)
                theta = np.ascontiguousarray(full.T, dtype=dtype)
            self._thetas[key] = theta
        return self._thetas[key]

    @cached_property
    def _thetas(self) -> dict[Any, FloatArray | None]:
        """What `_theta` has worked out: every block of a pass asks for the same."""
        return {}

    def _log_prob_white(self, cells: FloatArray, origin: FloatArray) -> LogProbabilities:
        out = np.empty((self.n_members, len(cells)), dtype=cells.dtype)
        whitening = np.swapaxes(self._whitening, -1, -2).astype(cells.dtype)
        shifts = np.einsum("ked,kd->ke", whitening, self.means - origin).astype(cells.dtype)
        columns = cells.T
        for k in range(self.n_members):
            white = whitening[k] @ columns
            white -= shifts[k][:, None]
            white *= white
            white.sum(axis=0, out=out[k])
        out *= -0.5
        out += self._constants.astype(cells.dtype)[:, None]
        return out.T

    def _coefficients(
        self, precisions: FloatArray, constants: FloatArray, origin: FloatArray
    ) -> FloatArray:
        """Θ (…, F, K): log density = features · Θ. Takes (…, K, d, d) and (…, K)."""
        centred = self.means - origin
        linear = np.einsum("...kij,kj->...ki", precisions, centred)
        constant = constants - 0.5 * np.einsum("...ki,ki->...k", linear, centred)
        rows, columns = upper_triangle(self.n_columns)
        products = -precisions[..., rows, columns] * np.where(rows == columns, 0.5, 1.0)
        theta = np.concatenate([constant[..., None], linear, products], axis=-1)
        return np.swapaxes(theta, -1, -2)

    def _log_prob_patterns(self, prepared: PreparedDense, patterns: Patterns) -> LogProbabilities:
        law = self._recent_law(prepared) or self._condition_block(prepared, patterns)
        prepared.recent[:] = [(self, law)]
        n_seen = patterns.observed.sum(axis=1)
        dtype = prepared.cells.dtype
        out = np.empty((len(prepared), self.n_members), dtype=dtype)
        if isinstance(law, Completion):
            distances = law.squared_distances(self._whitening)
            constants = -0.5 * (n_seen * LOG_2_PI + law.log_determinants)
            out[patterns.order] = (
                np.repeat(constants.T, np.diff(patterns.starts), axis=0) - 0.5 * distances
            )
            return out
        constants = -0.5 * (n_seen[:, None] * LOG_2_PI + law.log_determinants)
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
                mapped = np.einsum("nki,kij->nkj", cells, law.precisions[p], optimize=True)
                values = constants[p] - 0.5 * np.einsum("nki,nki->nk", cells, mapped)
            out[patterns.order[rows]] = values
        return out

    def _recent_law(self, prepared: PreparedDense) -> Conditional | Completion | None:
        """What the last `log_prob` left of this bank; it is forgotten here."""
        try:
            owner, law = prepared.recent.pop()
        except IndexError:
            return None
        return law if owner is self else None

    def squared_distances(
        self, x: Rows | PreparedDense
    ) -> tuple[FloatArray, NDArray[np.intp], FloatArray]:
        """Mahalanobis distances of the observed cells from each mean, squared.

        Returns them (n, K), the number of observed cells of each row (n, 1), and the log
        determinants of their covariances (n or 1, K).
        """
        prepared = self.prepare(x)
        log_prob = self.log_prob(prepared).astype(np.float64)
        patterns = prepared.patterns
        if patterns is None:
            n_seen = np.full((len(log_prob), 1), self.n_columns)
            log_dets = self.log_determinants[None, :]
        else:
            law = prepared.recent[-1][1]
            by_pattern = law.log_determinants
            if isinstance(law, Completion):
                by_pattern = np.broadcast_to(by_pattern.T, (len(patterns), self.n_members))
            place = np.empty(len(prepared), dtype=np.intp)
            place[patterns.order] = np.repeat(np.arange(len(patterns)), np.diff(patterns.starts))
            n_seen = patterns.observed.sum(axis=1)[place, None]
            log_dets = by_pattern[place]
        distances = -2.0 * log_prob - n_seen * LOG_2_PI - log_dets
        return np.maximum(distances, 0.0), n_seen, log_dets

    def _condition_block(
        self, prepared: PreparedDense, patterns: Patterns, wanted: Mask | None = None
    ) -> Conditional | Completion:
        """The law of the missing cells of a block, by pattern or row by row."""
        if prepared.gaps is None:
            return pattern_algebra(self._covariances, patterns.observed)
        return complete_rows(self, prepared.cells, prepared.origin, patterns, prepared.gaps, wanted)

    # Learning ---------------------------------------------------------------------------------

    def statistics(self, x: Rows | PreparedDense, weights: Responsibilities) -> Moments:
        """Moments of the rows, with missing cells at their conditional expectations."""
        return self.weighted_moments(x, weights, weights)

    def weighted_moments(
        self,
        x: Rows | PreparedDense,
        weights: Responsibilities,
        conditional_weights: Responsibilities,
    ) -> Moments:
        """Moments in which what a missing cell could have been has weights of its own.

        The moments are Σ w, Σ w x̂ and Σ w x̂ x̂ᵀ + Σ v Cov, with x̂ the completed rows, Cov the
        covariance of their missing cells, w ``weights`` and v ``conditional_weights`` (n, K).
        """
        prepared = self.prepare(x)
        if prepared.patterns is not None:
            return self._statistics_patterns(
                prepared, prepared.patterns, weights, conditional_weights
            )
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
        for k in range(self.n_members):
            mine, root = cells, np.sqrt(weights[:, k])
            if 3 * np.count_nonzero(root) < 2 * len(cells):
                # Labels are known: most rows are another member's.
                counted = np.flatnonzero(root)
                mine, root = cells[counted], root[counted]
            rooted = mine.T * root
            second[k] = rooted @ rooted.T
        return (weights.T @ cells).astype(np.float64), second

    @abstractmethod
    def _moments(
        self, totals: FloatArray, first: FloatArray, second: FloatArray, origin: FloatArray
    ) -> Moments:
        """Moments from those of each member, summed over members where they are shared."""

    def _statistics_patterns(
        self,
        prepared: PreparedDense,
        patterns: Patterns,
        weights: Responsibilities,
        conditional_weights: Responsibilities,
    ) -> Moments:
        """E[x] and E[xxᵀ] of completed rows."""
        totals = np.add.reduceat(
            conditional_weights[patterns.order], patterns.starts[:-1], axis=0, dtype=np.float64
        )
        law = self._recent_law(prepared)
        if law is None:
            law = self._condition_block(prepared, patterns, wanted=totals.T > 0)
        ordered = weights[patterns.order]
        if isinstance(law, Completion):
            shifts = self.means - prepared.origin
            first, second = law.moments(shifts, ordered.astype(np.float64), totals)
            weight = weights.sum(axis=0, dtype=np.float64)
            return self._moments(weight, first, second, prepared.origin)
        return self._moments_by_pattern(prepared, patterns, law, ordered, totals)

    def _moments_by_pattern(
        self,
        prepared: PreparedDense,
        patterns: Patterns,
        law: Conditional,
        ordered: Responsibilities,
        conditional_totals: FloatArray,
    ) -> Moments:
        """Moments of completed rows from the moments of the observed cells of each pattern.

        With x̂ = c + B x_o for the completed row, Σ w x̂ x̂ᵀ + Σ v Cov needs Σ w, Σ w x_o,
        Σ w x_o x_oᵀ and Σ v of each pattern and nothing else.
        """
        n_patterns, d = patterns.observed.shape
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
        full += totals[..., None, None] * (offset[..., :, None] * offset[..., None, :])
        full += conditional_totals[..., None, None] * law.covariances
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
        mean, deviation = self.conditional_column(column, given, members)
        return draw_truncated_normal(mean, deviation, low, high, rng)

    def conditional_column(
        self, column: int, given: Rows, members: Members
    ) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation (n,) of one column given the other cells that are seen."""
        mean, deviation = np.empty(len(members)), np.empty(len(members))
        patterns = find_patterns(given)
        for p in range(len(patterns)):
            rows = patterns.order[patterns.starts[p] : patterns.starts[p + 1]]
            o = np.flatnonzero(patterns.observed[p] & (np.arange(self.n_columns) != column))
            for k in np.unique(members[rows]):
                mine = rows[members[rows] == k]
                covariance = self._covariances[k][np.ix_([*o, column], [*o, column])]
                seen = np.arange(len(o) + 1) < len(o)
                gain, rest = condition_rows(covariance, seen)
                shift = (given[np.ix_(mine, o)] - self.means[k, o]) @ gain[0]
                mean[mine] = self.means[k, column] + shift
                deviation[mine] = np.sqrt(max(float(rest[0, 0]), 1e-300))
        return mean, deviation

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


def weighted_means(statistics: Moments, fallback: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means (K, d) about the origin and about zero; empty members keep theirs."""
    seen = (statistics.weights > 0)[:, None]
    centred = np.divide(
        statistics.first,
        statistics.weights[:, None],
        out=fallback - statistics.origin,
        where=seen,
    )
    return centred, centred + statistics.origin


def dense_scatter(scatter: FloatArray) -> FloatArray:
    """The scatter of a prior as a matrix, or one for each member."""
    return np.diag(scatter) if scatter.ndim == 1 else scatter


def positive_definite(
    covariances: FloatArray,
    means: FloatArray,
    origin: FloatArray | None = None,
    floor: FloatArray | None = None,
) -> FloatArray:
    """Lift what collapse or rank deficiency left without variance."""
    smallest = resolution(means, origin).max(axis=0)
    floor = smallest if floor is None else np.maximum(smallest, floor)
    diagonal = np.diagonal(covariances, axis1=-2, axis2=-1)
    if np.any(diagonal < floor):
        lift = np.maximum(floor - diagonal, 0.0)
        covariances = covariances + lift[..., None] * np.eye(covariances.shape[-1])
    return factorise(covariances)[1]
