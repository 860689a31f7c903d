"""The mean of the densities of several latent trees over the same columns.

Each tree found other states, and errs elsewhere; the mean errs less than they do on average, by
Jensen's inequality (mixtures of trees: Meila and Jordan 2000, J. Mach. Learn. Res. 1:1; averages
of densities: Smyth and Wolpert 1999, Mach. Learn. 36:59).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray, Members, Responsibilities, Rows
from fabula.core.errors import DataError, UsageError
from fabula.core.regions import Region
from fabula.persistence.registry import storable
from fabula.structures.mixture import draw_members, draw_rows, normalise
from fabula.structures.trees.algebra import IMPOSSIBLE_CONDITION, tell
from fabula.structures.trees.latent_tree import LatentTree
from fabula.structures.trees.sampling import draw_rows_of_tree

__all__ = ["TreeAverage", "trees_of"]


@storable("story/tree_average")
@dataclass(frozen=True)
class TreeAverage:
    """p(x) = Σ_t weight of tree t times its density at x.

    Parameters
    ----------
    trees : tuple of LatentTree
        M trees over the same columns. Their states and shapes may differ.
    log_weights : (M,) array
        Log weight of each tree; they sum to 1 after exponentiation.
    """

    trees: tuple[LatentTree, ...]
    log_weights: FloatArray

    def __post_init__(self) -> None:
        if not self.trees or len({tree.n_columns for tree in self.trees}) > 1:
            raise UsageError("An average needs one tree or more, all over the same columns.")
        if self.log_weights.shape != (len(self.trees),):
            raise UsageError(
                f"log_weights must have one entry for each of the {len(self.trees)} trees."
            )
        if not np.isclose(np.exp(self.log_weights).sum(), 1.0, atol=1e-6):
            raise UsageError("The weights of the trees must sum to 1.")

    @classmethod
    def even(cls, trees: Sequence[LatentTree]) -> TreeAverage:
        """The average in which every tree counts as much as any other."""
        return cls(tuple(trees), np.full(len(trees), -np.log(len(trees))))

    # What it is -------------------------------------------------------------------------------

    @property
    def n_classes(self) -> int:
        """M: what explains a row is first of all which tree it comes from."""
        return len(self.trees)

    @property
    def n_columns(self) -> int:
        """d, the number of columns of a row."""
        return self.trees[0].n_columns

    @property
    def n_states(self) -> int:
        """The most states of a node in any of the trees."""
        return max(tree.n_states for tree in self.trees)

    @property
    def n_parameters(self) -> int:
        """Free parameters of all trees; the weights are not learned."""
        return sum(tree.n_parameters for tree in self.trees)

    # Density ----------------------------------------------------------------------------------

    def posterior(self, x: Rows | Any) -> tuple[FloatArray, Responsibilities]:
        """Log density (n,) and the probability (n, M) that each tree made each row."""
        told = np.stack([tree.log_prob(x) for tree in self.trees], axis=1)
        return normalise(told + self.log_weights, self.log_weights)

    def log_prob(self, x: Rows | Any) -> FloatArray:
        """Log density of each row in nats (n,), missing cells integrated out."""
        return self.posterior(x)[0]

    # Questions --------------------------------------------------------------------------------

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Rows, Members]:
        """``n`` rows (n, d) and the tree each came from (n,)."""
        return self._draw(n, rng, lambda tree, number: tree.sample(number, rng)[0])

    def _draw(
        self, n: int, rng: np.random.Generator, draw: Callable[[LatentTree, int], Rows]
    ) -> tuple[Rows, Members]:
        """Rows of trees that are drawn by their weights, one for each row."""
        members = draw_members(self.log_weights, n, rng)
        rows = np.empty((n, self.n_columns))
        for t, tree in enumerate(self.trees):
            mine = np.flatnonzero(members == t)
            if len(mine):
                rows[mine] = draw(tree, len(mine))
        return rows, members

    def marginal(self, columns: Sequence[int]) -> TreeAverage:
        """The story of some columns, in that order."""
        return TreeAverage(tuple(tree.marginal(columns) for tree in self.trees), self.log_weights)

    def told(self, given: Mapping[int, float | Region]) -> tuple[TreeAverage, float]:
        """The average that knows the condition, with all columns, and its log probability.

        A tree counts by how probable it holds the condition. One that holds it impossible falls
        away. The columns of the condition keep their banks, as in `algebra.told_by`.
        """
        trees, log_weights, log_total = self._told(given)
        possible = np.flatnonzero(np.isfinite(log_weights))
        kept = TreeAverage(tuple(trees[int(t)] for t in possible), log_weights[possible])
        return kept, log_total

    def _told(
        self, given: Mapping[int, float | Region]
    ) -> tuple[list[LatentTree], FloatArray, float]:
        """All trees as they know the condition, their log weights, and its log probability."""
        found = [tell(tree, given) for tree in self.trees]
        log_joint = self.log_weights + np.array([told for _, told in found])
        log_total = float(np.logaddexp.reduce(log_joint))
        if not np.isfinite(log_total):
            raise DataError(IMPOSSIBLE_CONDITION)
        return [tree for tree, _ in found], log_joint - log_total, log_total

    def condition(self, given: Mapping[int, float | Region]) -> tuple[TreeAverage | None, float]:
        """The story of the other columns given values, intervals or sets of some.

        Returns
        -------
        (story or None, float)
            None where no column is left; and the log probability of the condition (its log
            density, where values of continuous columns are given).

        Raises
        ------
        DataError
            The condition has probability 0.
        """
        story, log_total = self.told(given)
        rest = [j for j in range(self.n_columns) if j not in given]
        return (story.marginal(rest) if rest else None), log_total

    def sample_given(
        self, n: int, given: Mapping[int, float | Region], rng: np.random.Generator
    ) -> tuple[Rows, Members, float]:
        """Whole rows (n, d) that meet the condition, their trees, and ``n``: all exact."""
        trees, log_weights, _ = self._told(given)
        rows, members = TreeAverage(tuple(trees), log_weights)._draw(
            n, rng, lambda tree, number: draw_rows_of_tree(tree, number, rng, given)[0]
        )
        return rows, members, float(n)

    def complete(
        self,
        x: Rows,
        rng: np.random.Generator | None = None,
        told: Responsibilities | None = None,
    ) -> Rows:
        """Missing cells filled: their conditional mean, or a draw from the joint conditional.

        ``told`` (n, M) is the posterior of the trees where more is known than ``x``.
        """
        filled = x.astype(np.float64, copy=True)
        holes = np.flatnonzero(np.isnan(filled).any(axis=1))
        if not len(holes):
            return filled
        rows = filled[holes]
        shares = self.posterior(rows)[1] if told is None else told[holes]
        if rng is not None:
            chosen = draw_rows(shares, rng)
            for t, tree in enumerate(self.trees):
                mine = np.flatnonzero(chosen == t)
                if len(mine):
                    filled[holes[mine]] = tree.complete(rows[mine], rng)
            return filled
        mean = np.zeros_like(rows)
        for t, tree in enumerate(self.trees):
            mean += shares[:, t : t + 1] * tree.complete(rows)
        # A seen cell is as it was, to the bit.
        filled[holes] = np.where(np.isnan(rows), mean, rows)
        return filled


def trees_of(story: LatentTree | TreeAverage) -> tuple[LatentTree, ...]:
    """The trees of an average; of a tree, itself."""
    return story.trees if isinstance(story, TreeAverage) else (story,)
