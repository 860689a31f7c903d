"""Draws from a latent tree: whole rows, rows under a condition, missing cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fabula.core.arrays import FloatArray, Members, Rows
from fabula.core.regions import Interval, OneOf, Region
from fabula.structures.trees.messages import UpwardPass, downward

if TYPE_CHECKING:
    from fabula.structures.trees.latent_tree import LatentTree

__all__ = ["complete_rows", "draw_rows_of_tree"]


def draw_rows_of_tree(
    tree: LatentTree,
    n: int,
    rng: np.random.Generator,
    given: Mapping[int, float | Region] | None = None,
) -> tuple[Rows, Members]:
    """``n`` rows and the states of their roots; ``given`` columns meet what is given of them.

    The states of ``tree`` know the condition already.
    """
    states = _draw_states(tree, n, rng)
    rows = np.empty((n, tree.n_columns))
    for j, bank in enumerate(tree.emissions):
        mine = states[tree.nodes[j]]
        wanted = None if given is None else given.get(j)
        if wanted is None:
            rows[:, j] = bank.sample(mine, rng)[:, 0]
        elif isinstance(wanted, Interval | OneOf):
            part = bank.univariate_part(0)
            assert part is not None
            rows[:, j] = part[0].sample_within(part[1], wanted, mine, rng)
        else:
            rows[:, j] = wanted
    return rows, states[0]


def _draw_states(tree: LatentTree, n: int, rng: np.random.Generator) -> Members:
    """States (m, n) of every node."""
    states = np.empty((tree.n_nodes, n), dtype=np.intp)
    states[0] = rng.choice(tree.n_states, size=n, p=tree.root / tree.root.sum())
    for i in range(1, tree.n_nodes):
        cumulative = np.cumsum(tree.transitions[i - 1], axis=1)
        # One sorted list for all states of the parent: state g takes the numbers from g to g + 1.
        cumulative /= cumulative[:, -1:]
        ends = (cumulative + np.arange(tree.n_states)[:, None]).ravel()
        parent = states[tree.parents[i]]
        place = np.searchsorted(ends, parent + rng.random(n), side="right")
        states[i] = np.clip(place - parent * tree.n_states, 0, tree.n_states - 1)
    return states


def complete_rows(tree: LatentTree, x: Rows, rng: np.random.Generator | None) -> Rows:
    """Rows with missing cells at their conditional means, or drawn from the joint conditional."""
    filled = x.astype(np.float64, copy=True)
    missing = np.isnan(filled)
    holes = np.flatnonzero(missing.any(axis=1))
    if not len(holes):
        return filled
    rows = tree.rows_of(filled[holes])
    for places, up, _ in tree.passes(rows):
        chosen = holes[places]
        if rng is None:
            filled[chosen] = _mean_cells(tree, filled[chosen], missing[chosen], up)
        else:
            filled[chosen] = _draw_cells(tree, filled[chosen], missing[chosen], up, rng)
    return filled


def _mean_cells(tree: LatentTree, x: Rows, missing: np.ndarray, up: UpwardPass) -> Rows:
    members = np.arange(tree.n_states)

    def visit(i: int, mine: FloatArray, outside: FloatArray | None) -> None:
        for j in tree.columns_of[i]:
            if missing[:, j].any():
                holes = np.full((tree.n_states, 1), np.nan)
                means = tree.emissions[j].complete(holes, members)[:, 0]
                x[missing[:, j], j] = mine[missing[:, j]] @ means

    downward(tree.shape, tree.padded(str(up.posterior.dtype))[1], up, up.posterior, visit)
    return x


def _draw_cells(
    tree: LatentTree, x: Rows, missing: np.ndarray, up: UpwardPass, rng: np.random.Generator
) -> Rows:
    """States drawn from the root down, each given its parent and the cells below; then cells."""
    states = np.empty((tree.n_nodes, len(x)), dtype=np.intp)
    for i in range(tree.n_nodes):
        weights = (
            up.posterior
            if i == 0
            else tree.transitions[i - 1][states[tree.parents[i]]] * up.beliefs[i]
        )
        cumulative = np.cumsum(weights, axis=1)
        uniform = rng.random(len(x))[:, None] * cumulative[:, -1:]
        states[i] = (uniform >= cumulative).sum(axis=1).clip(max=tree.n_states - 1)
        for j in tree.columns_of[i]:
            holes = np.flatnonzero(missing[:, j])
            if len(holes):
                x[holes, j] = tree.emissions[j].sample(states[i, holes], rng)[:, 0]
    return x
