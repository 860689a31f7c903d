"""A mixture seen only where some of its columns fall into intervals or sets.

Where the columns of a member depend on each other, an interval of one changes the shape of the
others, and the result is no longer a mixture of the same family. One such column is handled in
closed form (its conditional is univariate); several by sequential truncated draws with importance
weights (Geweke 1991, Hajivassiliou and McFadden 1990, Keane 1994).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fabula.core.arrays import Codes, FloatArray, Members, Responsibilities, Rows
from fabula.core.errors import CannotAnswerError, DataError
from fabula.core.regions import Interval, OneOf, Region
from fabula.persistence.registry import storable
from fabula.structures.mixture import Mixture, draw_members, draw_rows, normalise

__all__ = ["Truncated"]

# Draws a member for masses that have no closed form, and for the density of each row.
_DRAWS = 4096
_DRAWS_PER_ROW = 256


@storable("story/truncated")
@dataclass(frozen=True)
class Truncated:
    """p(other columns, class | some columns lie in regions), of a mixture of dense members.

    Parameters
    ----------
    mixture : Mixture
        The story of all columns before the condition.
    columns : tuple of int
        Which of its columns are truncated; they are not columns of this story.
    lows, highs : tuple of float
        The interval of each.
    """

    mixture: Mixture
    columns: tuple[int, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]

    @classmethod
    def of(cls, mixture: Mixture, regions: Mapping[int, Region]) -> Truncated:
        """Truncate to intervals; a set of values in a dense family is no region of the plane."""
        for column, region in regions.items():
            if isinstance(region, OneOf):
                raise CannotAnswerError(
                    "condition on a set of values",
                    type(mixture.family).__name__,
                    f"column {column} is continuous and depends on the others; "
                    "give one value or an interval",
                    ("NaiveBayes", "MixtureModel"),
                )
        columns = tuple(sorted(regions))
        intervals = [regions[j] for j in columns]
        story = cls(
            mixture,
            columns,
            tuple(r.low for r in intervals if isinstance(r, Interval)),
            tuple(r.high for r in intervals if isinstance(r, Interval)),
        )
        if np.isneginf(story.log_mass):
            raise DataError(
                "The condition has probability 0 under this model: no draw can meet it. "
                "Give a wider interval."
            )
        return story

    @property
    def n_columns(self) -> int:
        """Columns that are left."""
        return self.mixture.n_columns - len(self.columns)

    @property
    def n_classes(self) -> int:
        """K."""
        return self.mixture.n_classes

    @property
    def n_parameters(self) -> int:
        """Those of the story before the condition, which adds none."""
        return self.mixture.n_parameters

    @property
    def rest(self) -> list[int]:
        """The columns of the mixture that are columns of this story."""
        return [j for j in range(self.mixture.n_columns) if j not in self.columns]

    @cached_property
    def _member_log_masses(self) -> FloatArray:
        """Log P(columns in their intervals | member), (K,)."""
        family = self.mixture.family.marginal(self.columns)
        n = 1 if len(self.columns) == 1 else _DRAWS
        points = _even_points(n, len(self.columns))
        out = np.empty(self.n_classes)
        for k in range(self.n_classes):
            members = np.full(n, k, dtype=np.intp)
            _, log_weights = _truncated_rows(
                family, members, range(len(self.columns)), self, _Prescribed(points.T)
            )
            out[k] = np.logaddexp.reduce(log_weights) - np.log(n)
        return out

    @cached_property
    def log_mass(self) -> float:
        """Log probability of the condition."""
        return float(np.logaddexp.reduce(self.mixture.log_weights + self._member_log_masses))

    @property
    def log_weights(self) -> FloatArray:
        """Log probability of each component under the condition."""
        return np.asarray(self.mixture.log_weights + self._member_log_masses - self.log_mass)

    def with_log_weights(self, log_weights: FloatArray) -> Truncated:
        """The same condition on the same members, with these probabilities under the condition."""
        before = log_weights - self._member_log_masses
        mixture = self.mixture.with_log_weights(before - np.logaddexp.reduce(before))
        return Truncated(mixture, self.columns, self.lows, self.highs)

    def log_joint(self, x: Rows, known: Codes | None = None) -> FloatArray:
        """Log p(x, z | condition), (n, K)."""
        rest = self.rest
        whole = np.full((len(x), self.mixture.n_columns), np.nan)
        whole[:, rest] = x
        joint = self.mixture.log_joint(whole, known)
        n_draws = 1 if len(self.columns) == 1 else _DRAWS_PER_ROW
        points = _even_points(n_draws, len(self.columns))
        for k in range(self.n_classes):
            members = np.full(len(x), k, dtype=np.intp)
            draws = np.empty((n_draws, len(x)))
            for i in range(n_draws):
                # The same for every row: what a row scores does not depend on those beside it.
                rng = _Prescribed(points[i])
                _, draws[i] = _truncated_rows(
                    self.mixture.family, members, self.columns, self, rng, given=whole
                )
            joint[:, k] += np.logaddexp.reduce(draws, axis=0) - np.log(n_draws)
        return np.asarray(joint - self.log_mass)

    def posterior(self, x: Rows, known: Codes | None = None) -> tuple[FloatArray, Responsibilities]:
        """Log evidence (n,) and posterior of the components (n, K), under the condition."""
        return normalise(self.log_joint(x, known), self.log_weights, known)

    def log_prob(self, x: Rows) -> FloatArray:
        """Log density of each row in nats, (n,)."""
        return self.posterior(x)[0]

    def sample_whole(self, n: int, rng: np.random.Generator) -> tuple[Rows, Members, float]:
        """Rows with the truncated columns in them, their components, and the effective size."""
        n_proposals = n if len(self.columns) == 1 else 8 * n
        members = draw_members(self.log_weights, n_proposals, rng)
        rows, log_weights = _truncated_rows(
            self.mixture.family, members, self.columns, self, rng, complete=True
        )
        if len(self.columns) == 1:
            return rows, members, float(n)
        # Members were drawn by their estimated masses, which the weights must not count twice.
        log_weights = log_weights - self._member_log_masses[members]
        weights = np.exp(log_weights - log_weights.max())
        weights /= weights.sum()
        effective = float(1.0 / (weights**2).sum())
        chosen = rng.choice(n_proposals, size=n, p=weights)
        return rows[chosen], members[chosen], min(effective, float(n))

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Rows, Members]:
        """``n`` rows of the other columns and their components."""
        rows, members, _ = self.sample_whole(n, rng)
        return rows[:, self.rest], members

    def marginal(self, columns: Sequence[int]) -> Truncated:
        """The story of some of the columns that are left."""
        rest = self.rest
        kept = [rest[j] for j in columns] + list(self.columns)
        return Truncated(
            self.mixture.marginal(kept),
            tuple(range(len(columns), len(kept))),
            self.lows,
            self.highs,
        )

    def condition(self, given: Mapping[int, float | Region]) -> tuple[Any, float]:
        """Condition further: the same as conditioning the mixture on everything at once."""
        story, log_mass = self.mixture.condition(self._together(given))
        if len(given) == len(self.rest):
            story = None
        return story, log_mass - self.log_mass

    def _together(self, given: Mapping[int, float | Region]) -> dict[int, float | Region]:
        """Both conditions, on the columns of the mixture."""
        rest = self.rest
        everything: dict[int, float | Region] = {rest[j]: value for j, value in given.items()}
        for j, low, high in zip(self.columns, self.lows, self.highs, strict=True):
            everything[j] = Interval(low, high)
        return everything

    def sample_given(
        self, n: int, given: Mapping[int, float | Region], rng: np.random.Generator
    ) -> tuple[Rows, Members, float]:
        """Rows that meet another condition, too, their components, and the effective size."""
        rows, members, effective = self.mixture.sample_given(n, self._together(given), rng)
        return rows[:, self.rest], members, effective

    def complete(
        self,
        x: Rows,
        rng: np.random.Generator | None = None,
        told: Responsibilities | None = None,
    ) -> Rows:
        """Missing cells filled: their mean under the condition, or a draw.

        With several truncated columns, rows are drawn or averaged by their importance weights.
        """
        whole = np.full((len(x), self.mixture.n_columns), np.nan)
        whole[:, self.rest] = x
        responsibilities = self.posterior(x)[1] if told is None else told
        if rng is not None:
            filled = self._drawn(whole, draw_rows(responsibilities, rng), rng)
        else:
            filled = np.zeros_like(whole)
            for k in range(self.n_classes):
                filled += responsibilities[:, k : k + 1] * self._mean(whole, k)
        return np.where(np.isnan(x), filled[:, self.rest], x)

    def _drawn(self, whole: Rows, members: Members, rng: np.random.Generator) -> Rows:
        """One draw for each row: the best of several by weight and luck (Gumbel's maximum)."""
        filled = whole.copy()
        best = np.full(len(whole), -np.inf)
        for i in range(1 if len(self.columns) == 1 else _DRAWS_PER_ROW):
            rows, log_weights = _truncated_rows(
                self.mixture.family, members, self.columns, self, rng, given=whole
            )
            luck = log_weights + rng.gumbel(size=len(whole))
            better = np.full(len(whole), True) if i == 0 else luck > best
            filled[better], best[better] = rows[better], luck[better]
        return np.asarray(self.mixture.family.complete(filled, members, rng))

    def _mean(self, whole: Rows, member: int) -> Rows:
        """The rows of one member with their missing cells at the mean."""
        members = np.full(len(whole), member, dtype=np.intp)
        total, weight = np.zeros_like(whole), np.zeros(len(whole))
        largest = np.full(len(whole), -1e300)
        for point in _even_points(_DRAWS_PER_ROW, len(self.columns)):
            rows, log_weights = _truncated_rows(
                self.mixture.family, members, self.columns, self, _Prescribed(point), given=whole
            )
            if len(self.columns) == 1:
                log_weights = np.zeros(len(whole))  # every draw is exact
            updated = np.maximum(largest, log_weights)
            before, now = np.exp(largest - updated), np.exp(log_weights - updated)
            completed = self.mixture.family.complete(rows, members)
            total = total * before[:, None] + completed * now[:, None]
            weight, largest = weight * before + now, updated
        return np.asarray(total / weight[:, None])


class _Prescribed:
    """Uniform numbers that were chosen beforehand, one lot for each call."""

    def __init__(self, lots: Iterable[Any]):
        self._lots = iter(lots)

    def random(self, n: int) -> FloatArray:
        """The next lot: n numbers, or one n times."""
        return np.broadcast_to(next(self._lots), (n,))


def _even_points(n: int, d: int) -> FloatArray:
    """Points (n, d) that cover the unit cube evenly, always the same (Sobol' 1967)."""
    from scipy.stats.qmc import Sobol

    return np.asarray(Sobol(d, rng=np.random.default_rng(0)).random(n))


def _truncated_rows(
    family: Any,
    members: Members,
    columns: Sequence[int],
    truncation: Truncated,
    rng: Any,
    *,
    given: Rows | None = None,
    complete: bool = False,
) -> tuple[Rows, FloatArray]:
    """Draw the truncated columns one after the other, each given those before it.

    Returns rows and log importance weights: the product of the probabilities of the intervals.
    """
    rows = np.full((len(members), family.n_columns), np.nan) if given is None else given.copy()
    log_weights = np.zeros(len(members))
    for column, low, high in zip(columns, truncation.lows, truncation.highs, strict=True):
        drawn, log_mass = family.draw_within(column, low, high, rows, members, rng)
        rows[:, column] = drawn
        log_weights += log_mass
    if complete:
        rows = family.complete(rows, members, rng)
    return rows, log_weights
