"""What a family is: how one observation looks, given which member of the bank explains it.

A family object is a *bank* of K members over d columns: every parameter carries a leading axis of
length K, so that one call gives the n×K matrix that Bayes' rule needs. Families are immutable;
learning returns new ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from fabula.core.arrays import FloatArray, LogProbabilities, Members, Responsibilities, Rows
from fabula.core.errors import CannotAnswerError
from fabula.core.regions import Region

__all__ = ["Family", "Statistics", "UnivariateColumns"]


@runtime_checkable
class Statistics(Protocol):
    """Expected sufficient statistics of some rows: a frozen value that adds up over rows."""

    def __add__(self, other: Any, /) -> Any: ...


class Family(ABC):
    """A bank of K distributions over d columns.

    Concrete families are frozen dataclasses and are final: extend by writing a new one.
    """

    @property
    @abstractmethod
    def n_members(self) -> int:
        """K, the number of members."""

    @property
    @abstractmethod
    def n_columns(self) -> int:
        """d, the number of columns of a row."""

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Free parameters of the whole bank, as the AIC and the BIC count them."""

    def prepare(self, x: Rows) -> Any:
        """Work on a block that does not depend on the parameters, done once for all passes.

        What it returns may be handed to `log_prob` and `statistics` in place of the rows, of this
        family or of any that `maximise` made of it.
        """
        return x

    @abstractmethod
    def log_prob(self, x: Rows | Any) -> LogProbabilities:
        """Log density in nats, (n, K). NaN cells are integrated out; a row of NaN scores 0."""

    @abstractmethod
    def statistics(self, x: Rows | Any, weights: Responsibilities) -> Any:
        """Expected sufficient statistics of the rows given ``weights`` (n, K)."""

    @abstractmethod
    def maximise(self, statistics: Any, prior: Any = None) -> Self:
        """The bank that maximises expected log likelihood plus log prior.

        A member that explains nothing keeps its parameters; nothing raises on collapse, constant
        columns or rank deficiency.
        """

    @abstractmethod
    def pseudo_observations(self, strength: float) -> Any:
        """A conjugate prior worth ``strength`` observations that look like this bank."""

    def uniform_prior(self) -> Any:
        """What the rows are added to when nothing is known of them yet; None for most families.

        Families of categories and words spread a little over everything that could have come, so
        that what was not seen stays possible.
        """
        return None

    def widened(self) -> Self:
        """The bank with a sensible spread where rows without any have left none.

        A column that never changed says nothing of the difference between members, and must not
        begin to when it changes later: with a variance of the size of rounding errors, the
        rounding error of a mean would speak with millions of nats.
        """
        return self

    @abstractmethod
    def log_prior(self, prior: Any) -> float:
        """Log density of the parameters under ``prior``, up to a constant (0 without a prior)."""

    @abstractmethod
    def sample(self, members: Members, rng: np.random.Generator) -> Rows:
        """One row for each entry of ``members`` (n,), as an (n, d) array."""

    @abstractmethod
    def select(self, members: Sequence[int] | Members) -> Self:
        """The bank of the given members, in that order; repetition makes copies."""

    @abstractmethod
    def marginal(self, columns: Sequence[int]) -> Family:
        """The bank over the given columns, in that order; the others are integrated out."""

    @abstractmethod
    def condition(
        self, columns: Sequence[int], values: Sequence[float] | FloatArray
    ) -> tuple[Family | None, FloatArray]:
        """The bank over the other columns given values, and the log density (K,) of the values.

        The bank is None where no other column is left.
        """

    @abstractmethod
    def complete(self, x: Rows, members: Members, rng: np.random.Generator | None = None) -> Rows:
        """A copy of ``x`` with every NaN filled, given the observed cells and the row's member.

        Filled with the conditional mean (the most probable level where the column is a category),
        or with a draw from the conditional distribution when ``rng`` is given.
        """

    def log_prob_groups(self, x: Rows | Any, groups: Sequence[Sequence[int]]) -> FloatArray | None:
        """What each group of columns says of the members (n, K, G), in nats.

        The groups share out all columns. The sum over groups is the log density, up to a term
        that is the same for every member. None where columns of different groups depend on each
        other given the member.
        """
        if len(groups) == 1:
            return self.log_prob(x)[:, :, None]
        return None

    def univariate_part(self, column: int) -> tuple[UnivariateColumns, int] | None:
        """The bank in which the column is independent of all others, and its place there.

        None where the column depends on others even when the member is known.
        """
        return None


class UnivariateColumns(Family):
    """Families whose columns are independent given the member.

    They answer more: probabilities of intervals and sets, and what each column says by itself.
    """

    @abstractmethod
    def log_prob_columns(self, x: Rows) -> FloatArray:
        """Log density of each cell by itself, (n, K, d); NaN cells are 0."""

    @abstractmethod
    def log_mass(self, column: int, region: Region) -> FloatArray:
        """Log probability (K,) that the column falls into the region."""

    @abstractmethod
    def sample_within(
        self, column: int, region: Region, members: Members, rng: np.random.Generator
    ) -> FloatArray:
        """Draws (n,) of one column from the members, truncated to the region."""

    def level_probabilities(self, column: int) -> FloatArray:
        """Probabilities (K, C) of the levels of a column of categories."""
        raise CannotAnswerError(
            "level_probabilities", type(self).__name__, f"column {column} has no levels"
        )

    def log_prob_groups(self, x: Rows | Any, groups: Sequence[Sequence[int]]) -> FloatArray | None:
        """Sums of the log densities of cells."""
        cells = self.log_prob_columns(x)
        return np.stack([cells[:, :, list(group)].sum(axis=2) for group in groups], axis=2)

    def univariate_part(self, column: int) -> tuple[UnivariateColumns, int] | None:
        """The bank itself: all of its columns are independent."""
        return self, column
