"""The most probable value of missing cells, from one pass over the tree for all columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray, Rows
from fabula.families.base import Family, UnivariateColumns
from fabula.families.bernoulli import Bernoulli
from fabula.families.bins import Bins
from fabula.families.categorical import Categorical
from fabula.families.grouped_levels import GroupedLevels
from fabula.structures.trees.average import TreeAverage, trees_of
from fabula.structures.trees.latent_tree import LatentTree

__all__ = ["has_modes", "most_probable_cells"]

_NUMBERS_AT_A_TIME = 8_000_000


def has_modes(story: LatentTree | TreeAverage, column: int) -> bool:
    """Whether the most probable value of a column follows from its bank directly."""
    banks = [tree.emissions[column] for tree in trees_of(story)]
    first = banks[0]
    if isinstance(first, Bins):
        return all(isinstance(bank, Bins) and _alike(bank, first) for bank in banks)
    return all(isinstance(bank, Categorical | Bernoulli | GroupedLevels) for bank in banks)


def _alike(one: Bins, other: Bins) -> bool:
    """Whether two columns are cut into the same bins, of the same densities."""
    (a,), (b,) = one.columns, other.columns
    if a is b:
        return True
    pairs = zip(a.peaks, b.peaks, strict=True)
    return a.n_cells == b.n_cells and all(np.array_equal(x, y) for x, y in pairs)


def most_probable_cells(story: LatentTree | TreeAverage, x: Rows, columns: Sequence[int]) -> Rows:
    """A copy of rows (n, d) with the missing cells of some columns at their most probable values.

    Of levels that is the most probable one, of numbers the value with the highest density, each
    given the cells of its row that were seen.
    """
    filled = x.astype(np.float64, copy=True)
    wanted = np.zeros(x.shape[1], dtype=bool)
    wanted[list(columns)] = True
    missing = np.isnan(filled) & wanted
    holes = np.flatnonzero(missing.any(axis=1))
    asked = [int(j) for j in np.flatnonzero(missing.any(axis=0))]
    if not asked:
        return filled
    trees = trees_of(story)
    at_a_time = max(1, _NUMBERS_AT_A_TIME // max(_width(tree, asked) for tree in trees))
    for start in range(0, len(holes), at_a_time):
        rows = holes[start : start + at_a_time]
        shares = story.posterior(filled[rows])[1] if isinstance(story, TreeAverage) else None
        told: dict[int, FloatArray] = {}
        for t, tree in enumerate(trees):
            weights = None if shares is None else shares[:, t]
            for j, cells in _cell_probabilities(tree, filled[rows], asked, missing[rows]).items():
                mine = cells if weights is None else weights[missing[rows, j], None] * cells
                told[j] = told[j] + mine if j in told else mine
        for j, cells in told.items():
            filled[rows[missing[rows, j]], j] = _modes(trees[0].emissions[j], cells)
    return filled


def _width(tree: LatentTree, columns: Sequence[int]) -> int:
    """Numbers that a row needs for the posteriors of the states behind some columns."""
    return len({int(tree.nodes[j]) for j in columns}) * tree.n_states


def _cell_probabilities(
    tree: LatentTree, x: Rows, columns: Sequence[int], missing: NDArray[np.bool_]
) -> dict[int, FloatArray]:
    """For each column the probabilities (rows that miss it, C) of its bins or levels."""
    nodes = sorted({int(tree.nodes[j]) for j in columns})
    states = tree.state_posteriors(x, nodes)[1]
    out = {}
    for j in columns:
        mine = missing[:, j]
        if mine.any():
            posterior = states[mine, nodes.index(int(tree.nodes[j]))]
            out[j] = posterior @ _cells(tree.emissions[j])
    return out


def _cells(bank: Family) -> FloatArray:
    """Probabilities (H, C) of the bins or levels of a column."""
    if isinstance(bank, Bins):
        return bank.probabilities
    assert isinstance(bank, UnivariateColumns)
    return bank.level_probabilities(0)


def _modes(bank: Family, probabilities: FloatArray) -> FloatArray:
    """Most probable value (n,) of a column whose bins or levels have probabilities (n, C)."""
    if isinstance(bank, Bins):
        values, log_density = bank.columns[0].peaks
        with np.errstate(divide="ignore"):
            told = np.log(probabilities) + log_density
        return np.asarray(values[told.argmax(axis=1)])
    return np.asarray(probabilities.argmax(axis=1), dtype=np.float64)
