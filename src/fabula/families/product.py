"""Columns of mixed types: several families side by side, independent given the member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray, LogProbabilities, Members, Responsibilities, Rows
from fabula.core.errors import CannotAnswerError, UsageError
from fabula.core.regions import Region
from fabula.families.base import Family, UnivariateColumns
from fabula.persistence.registry import storable

__all__ = ["Product", "ProductPrior", "ProductStatistics"]


@dataclass(frozen=True)
class ProductStatistics:
    """The statistics of each part."""

    parts: tuple[Any, ...]

    def __add__(self, other: ProductStatistics) -> ProductStatistics:
        return ProductStatistics(tuple(a + b for a, b in zip(self.parts, other.parts, strict=True)))


@dataclass(frozen=True)
class ProductPrior:
    """The prior of each part, None where a part has none."""

    parts: tuple[Any, ...]


@dataclass(frozen=True)
class PreparedProduct:
    """What each part prepared of its columns."""

    parts: tuple[Any, ...]
    n: int

    def __len__(self) -> int:
        return self.n


@storable("family/product")
@dataclass(frozen=True)
class Product(Family):
    """A bank whose columns are split over several banks with the same number of members.

    Parameters
    ----------
    parts : tuple of Family
        Each over its own columns, all with K members.
    columns : tuple of tuple of int
        Which columns of a row each part takes, in the order in which it takes them. Together they
        are 0 … d-1, each once.
    """

    parts: tuple[Family, ...]
    columns: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.parts or len(self.parts) != len(self.columns):
            raise UsageError(
                "A product needs as many groups of columns as parts, and at least one."
            )
        if len({part.n_members for part in self.parts}) != 1:
            raise UsageError("All parts of a product must have the same number of members.")
        every = sorted(j for group in self.columns for j in group)
        if every != list(range(len(every))):
            raise UsageError("The parts of a product must share out the columns 0 … d-1 exactly.")
        for part, group in zip(self.parts, self.columns, strict=True):
            if part.n_columns != len(group):
                raise UsageError(
                    f"A part over {part.n_columns} columns was given {len(group)} of them."
                )

    @property
    def n_members(self) -> int:
        """K."""
        return self.parts[0].n_members

    @cached_property
    def n_columns(self) -> int:
        """d."""
        return sum(part.n_columns for part in self.parts)

    @property
    def n_parameters(self) -> int:
        """Those of all parts."""
        return sum(part.n_parameters for part in self.parts)

    @cached_property
    def _places(self) -> dict[int, tuple[int, int]]:
        """Column of the row → (part, column of the part)."""
        return {
            column: (p, within)
            for p, group in enumerate(self.columns)
            for within, column in enumerate(group)
        }

    def _split(self, x: Rows | Any) -> list[Any]:
        """The columns of each part; word counts stay sparse, everything else becomes dense."""
        from scipy.sparse import issparse

        out: list[Any] = []
        for part, group in zip(self.parts, self.columns, strict=True):
            taken: Any = x[:, _as_slice(group)]
            if issparse(taken) and not getattr(part, "takes_sparse", False):
                taken = taken.toarray()
            out.append(taken)
        return out

    def _each(self, x: Rows | PreparedProduct) -> Sequence[Any]:
        return x.parts if isinstance(x, PreparedProduct) else self._split(x)

    def prepare(self, x: Rows | PreparedProduct) -> PreparedProduct:
        """What each part prepares of its columns."""
        if isinstance(x, PreparedProduct):
            return x
        prepared = tuple(p.prepare(v) for p, v in zip(self.parts, self._split(x), strict=True))
        return PreparedProduct(prepared, int(x.shape[0]))

    def log_prob(self, x: Rows | PreparedProduct) -> LogProbabilities:
        """Sum of the log densities of the parts, (n, K)."""
        total: FloatArray | None = None
        for part, values in zip(self.parts, self._each(x), strict=True):
            term = part.log_prob(values)
            total = term if total is None else total + term
        assert total is not None
        return total

    def univariate_part(self, column: int) -> tuple[UnivariateColumns, int] | None:
        """The part that holds the column, if the columns of that part are independent."""
        p, within = self._places[column]
        return self.parts[p].univariate_part(within)

    def log_prob_groups(self, x: Rows | Any, groups: Sequence[Sequence[int]]) -> FloatArray | None:
        """Sums over the parts; a part may be split over groups only where its columns may."""
        out = np.zeros((int(x.shape[0]), self.n_members, len(groups)))
        group_of = {column: g for g, group in enumerate(groups) for column in group}
        for part, columns, values in zip(self.parts, self.columns, self._split(x), strict=True):
            touched = sorted({group_of[column] for column in columns})
            within = [[i for i, c in enumerate(columns) if group_of[c] == g] for g in touched]
            told = part.log_prob_groups(values, within)
            if told is None:
                return None
            out[:, :, touched] += told
        return out

    def log_prob_columns(self, x: Rows) -> FloatArray:
        """Log density of each cell by itself (n, K, d)."""
        out = np.zeros((int(x.shape[0]), self.n_members, self.n_columns))
        for part, group, values in zip(self.parts, self.columns, self._split(x), strict=True):
            out[:, :, list(group)] = _univariate(part).log_prob_columns(values)
        return out

    def statistics(self, x: Rows | PreparedProduct, weights: Responsibilities) -> ProductStatistics:
        """The statistics of each part."""
        return ProductStatistics(
            tuple(
                part.statistics(values, weights)
                for part, values in zip(self.parts, self._each(x), strict=True)
            )
        )

    def maximise(self, statistics: ProductStatistics, prior: ProductPrior | None = None) -> Product:
        """Each part by itself."""
        priors = prior.parts if prior is not None else (None,) * len(self.parts)
        return Product(
            tuple(
                part.maximise(mine, its_prior)
                for part, mine, its_prior in zip(self.parts, statistics.parts, priors, strict=True)
            ),
            self.columns,
        )

    def pseudo_observations(self, strength: float) -> ProductPrior:
        """The pseudo-observations of each part."""
        return ProductPrior(tuple(part.pseudo_observations(strength) for part in self.parts))

    def widened(self) -> Product:
        """Each part by itself."""
        return Product(tuple(part.widened() for part in self.parts), self.columns)

    def uniform_prior(self) -> ProductPrior:
        """Those of the parts."""
        return ProductPrior(tuple(part.uniform_prior() for part in self.parts))

    def log_prior(self, prior: ProductPrior | None) -> float:
        """Sum over the parts."""
        if prior is None:
            return 0.0
        return sum(part.log_prior(mine) for part, mine in zip(self.parts, prior.parts, strict=True))

    def sample(self, members: Members, rng: np.random.Generator) -> Rows:
        """One row a member, (n, d)."""
        out = np.empty((len(members), self.n_columns))
        for part, group in zip(self.parts, self.columns, strict=True):
            out[:, list(group)] = part.sample(members, rng)
        return out

    def select(self, members: Sequence[int] | Members) -> Product:
        """The bank of the given members."""
        return Product(tuple(part.select(members) for part in self.parts), self.columns)

    def marginal(self, columns: Sequence[int]) -> Family:
        """The bank over the given columns, in that order."""
        return self._regroup(columns, lambda part, within: part.marginal(within))

    def _regroup(
        self, columns: Sequence[int], shrink: Callable[[Family, list[int]], Family]
    ) -> Family:
        """A product over ``columns`` of what ``shrink`` leaves of each part."""
        parts, groups = [], []
        for p, part in enumerate(self.parts):
            wanted = [
                (i, self._places[int(j)][1])
                for i, j in enumerate(columns)
                if self._places[int(j)][0] == p
            ]
            if wanted:
                parts.append(shrink(part, [within for _, within in wanted]))
                groups.append(tuple(i for i, _ in wanted))
        if len(parts) == 1:
            return parts[0]
        return Product(tuple(parts), tuple(groups))

    def condition(
        self, columns: Sequence[int], values: Sequence[float] | FloatArray
    ) -> tuple[Family | None, FloatArray]:
        """Every part given the values of its own columns."""
        log_prob = np.zeros(self.n_members)
        given = {int(column): float(value) for column, value in zip(columns, values, strict=True)}
        shrunk: dict[int, Family | None] = {}
        for p, (part, group) in enumerate(zip(self.parts, self.columns, strict=True)):
            mine = [within for within, column in enumerate(group) if column in given]
            if mine:
                shrunk[p], told = part.condition(mine, [given[group[w]] for w in mine])
                log_prob = log_prob + told
        rest = [j for j in range(self.n_columns) if j not in given]
        if not rest:
            return None, log_prob
        parts: list[Family] = []
        groups: list[tuple[int, ...]] = []
        position = {column: i for i, column in enumerate(rest)}
        for p, (part, group) in enumerate(zip(self.parts, self.columns, strict=True)):
            left = shrunk.get(p, part)
            kept = tuple(position[column] for column in group if column in position)
            if left is not None and kept:
                parts.append(left)
                groups.append(kept)
        if len(parts) == 1 and groups[0] == tuple(range(len(rest))):
            return parts[0], log_prob
        return Product(tuple(parts), tuple(groups)), log_prob

    def complete(self, x: Rows, members: Members, rng: np.random.Generator | None = None) -> Rows:
        """Each part fills its own columns."""
        filled = x.astype(np.float64, copy=True)
        for part, group in zip(self.parts, self.columns, strict=True):
            filled[:, list(group)] = part.complete(filled[:, list(group)], members, rng)
        return filled

    def level_probabilities(self, column: int) -> FloatArray:
        """Probabilities (K, C) of the levels of a column of categories."""
        p, within = self._places[column]
        return _univariate(self.parts[p]).level_probabilities(within)

    def log_mass(self, column: int, region: Region) -> FloatArray:
        """Log probability (K,) of an interval or set of one column."""
        p, within = self._places[column]
        return _univariate(self.parts[p]).log_mass(within, region)

    def sample_within(
        self, column: int, region: Region, members: Members, rng: np.random.Generator
    ) -> FloatArray:
        """Draws of one column truncated to the region."""
        p, within = self._places[column]
        return _univariate(self.parts[p]).sample_within(within, region, members, rng)


def _univariate(part: Family) -> UnivariateColumns:
    if not isinstance(part, UnivariateColumns):
        raise CannotAnswerError(
            "what a single column says",
            type(part).__name__,
            "its columns depend on each other given the member",
            ("NaiveBayes", "MixtureModel"),
        )
    return part


def _as_slice(group: tuple[int, ...]) -> slice | list[int]:
    """Neighbouring columns as a slice, which copies nothing."""
    if group == tuple(range(group[0], group[0] + len(group))):
        return slice(group[0], group[0] + len(group))
    return list(group)
