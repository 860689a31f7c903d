"""A column of a latent tree taken as the class: what the other columns say of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fabula.core.arrays import Codes, FloatArray, Responsibilities, Rows
from fabula.core.errors import CannotAnswerError
from fabula.families.base import UnivariateColumns
from fabula.families.bernoulli import Bernoulli
from fabula.families.categorical import Categorical
from fabula.structures.mixture import normalise
from fabula.structures.trees.algebra import absorb
from fabula.structures.trees.average import TreeAverage
from fabula.structures.trees.latent_tree import LatentTree

__all__ = ["ColumnAsClass", "ColumnOfAverage", "column_as_class"]


def column_as_class(
    story: LatentTree | TreeAverage, column: int
) -> ColumnAsClass | ColumnOfAverage:
    """A tree, or an average of trees, one of whose columns is the class."""
    if isinstance(story, TreeAverage):
        return ColumnOfAverage(story, column)
    return ColumnAsClass(story, column)


@dataclass(frozen=True)
class ColumnAsClass:
    """p(class, other columns) of a tree, one of whose columns of categories is the class.

    It answers what a mixture with known classes answers. Rows have all columns of the tree; what
    stands in that of the class is not looked at.

    Parameters
    ----------
    tree : LatentTree
    column : int
        The column that is the class.
    """

    tree: LatentTree
    column: int

    @cached_property
    def _levels(self) -> FloatArray:
        """Probabilities (H, C) of the classes in each state at the column's node."""
        bank = self.tree.emissions[self.column]
        if isinstance(bank, Categorical):
            # As they are: what a state gives to levels that were never seen differs by state.
            return bank.probabilities[:, :-1]
        if not isinstance(bank, UnivariateColumns):
            raise CannotAnswerError("probabilities of levels", type(bank).__name__, "no levels")
        return bank.level_probabilities(0)

    @property
    def n_classes(self) -> int:
        """C."""
        return int(self._levels.shape[1])

    @property
    def story(self) -> LatentTree:
        """The tree."""
        return self.tree

    @cached_property
    def shares(self) -> FloatArray:
        """Probabilities (C,) of the classes; what levels that were never seen have is left out."""
        return np.asarray(self.tree.marginal([self.column]).root @ self._levels)

    @cached_property
    def log_weights(self) -> FloatArray:
        """Log prior probabilities (C,) of the classes."""
        return _log_normalised(self.shares)

    def log_joint(self, x: Rows | Any, known: Codes | None = None) -> FloatArray:
        """Log p(other columns, class) in nats, (n, C)."""
        others = np.array(x, dtype=np.float64)
        others[:, self.column] = np.nan
        node = int(self.tree.nodes[self.column])
        log_evidence, states = self.tree.state_posteriors(others, [node])
        with np.errstate(divide="ignore"):
            joint = log_evidence[:, None] + np.log(states[:, 0] @ self._levels)
        if known is not None:
            classes = np.arange(self.n_classes)
            joint[(known[:, None] >= 0) & (known[:, None] != classes)] = -np.inf
        return np.asarray(joint)

    def posterior(
        self, x: Rows | Any, known: Codes | None = None
    ) -> tuple[FloatArray, Responsibilities]:
        """Log evidence (n,) and the probability (n, C) of each class."""
        return normalise(self.log_joint(x, known), self.log_weights, known)

    def with_log_weights(self, log_weights: FloatArray) -> ColumnAsClass:
        """The same columns given each class, under other prior probabilities of the classes."""
        tree, _ = self.multiplied(_ratios(log_weights, self.log_weights))
        return ColumnAsClass(tree, self.column)

    def multiplied(self, change: FloatArray) -> tuple[LatentTree, float]:
        """The tree with p(row, class) times ``change`` (C,), normalised, and the log of its total.

        The tree stays a tree: what multiplies the probability of a class is taken into the bank of
        its column, and what that leaves over goes to the states.
        """
        bank = self.tree.emissions[self.column]
        if isinstance(bank, Bernoulli):
            bank = _as_categorical(bank)
        if not isinstance(bank, Categorical):
            raise CannotAnswerError("with_prior", type(bank).__name__, "its levels are in groups")
        # The slot of levels that were never seen keeps its share.
        tilted = bank.probabilities * np.append(change, 1.0)
        totals = tilted.sum(axis=1, keepdims=True)
        possible = totals > 0
        tilted = np.divide(tilted, totals, out=bank.probabilities.copy(), where=possible)
        evidence = np.zeros((self.tree.n_nodes, self.tree.n_states))
        with np.errstate(divide="ignore"):
            evidence[self.tree.nodes[self.column]] = np.log(totals[:, 0])
        emissions = list(self.tree.emissions)
        emissions[self.column] = Categorical(tilted, bank.n_levels)
        return absorb(replace(self.tree, emissions=tuple(emissions)), evidence)


@dataclass(frozen=True)
class ColumnOfAverage:
    """The same of an average of trees: classes are told by every tree, and rows weigh the trees.

    Parameters
    ----------
    story : TreeAverage
    column : int
        The column that is the class.
    """

    story: TreeAverage
    column: int

    @cached_property
    def _views(self) -> tuple[ColumnAsClass, ...]:
        return tuple(ColumnAsClass(tree, self.column) for tree in self.story.trees)

    @property
    def n_classes(self) -> int:
        """C."""
        return self._views[0].n_classes

    @cached_property
    def log_weights(self) -> FloatArray:
        """Log prior probabilities (C,) of the classes."""
        shares = np.stack([view.shares for view in self._views])
        return _log_normalised(np.exp(self.story.log_weights) @ shares)

    def log_joint(self, x: Rows | Any, known: Codes | None = None) -> FloatArray:
        """Log p(other columns, class) in nats, (n, C)."""
        each = [view.log_joint(x, known) for view in self._views]
        return np.asarray(
            np.logaddexp.reduce(np.stack(each) + self.story.log_weights[:, None, None], axis=0)
        )

    def posterior(
        self, x: Rows | Any, known: Codes | None = None
    ) -> tuple[FloatArray, Responsibilities]:
        """Log evidence (n,) and the probability (n, C) of each class."""
        return normalise(self.log_joint(x, known), self.log_weights, known)

    def with_log_weights(self, log_weights: FloatArray) -> ColumnOfAverage:
        """The same columns given each class, under other prior probabilities of the classes.

        Trees then count by how probable they hold the classes that became more probable.
        """
        change = _ratios(log_weights, self.log_weights)
        trees, totals = zip(*(view.multiplied(change) for view in self._views), strict=True)
        weights = self.story.log_weights + np.array(totals)
        weights = weights - np.logaddexp.reduce(weights)
        return ColumnOfAverage(TreeAverage(trees, weights), self.column)


def _log_normalised(shares: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(shares / shares.sum()))


def _ratios(log_weights: FloatArray, before: FloatArray) -> FloatArray:
    """By what the probability of each class is multiplied; 0 where it was 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.exp(log_weights - before)
    return np.where(np.isfinite(change), change, 0.0)


def _as_categorical(bank: Bernoulli) -> Categorical:
    levels = bank.level_probabilities(0)
    return Categorical(np.concatenate([levels, np.zeros((len(levels), 1))], axis=1), (2,))
