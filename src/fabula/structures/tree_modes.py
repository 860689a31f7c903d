"""The most probable value of missing cells, from one pass over the tree for all columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fabula.core.arrays import FloatArray, Rows
from fabula.families.base import Family, UnivariateColumns
from fabula.families.bernoulli import Bernoulli
from fabula.families.bins import Bins
from fabula.families.categorical import Categorical
from fabula.families.grouped_levels import GroupedLevels

if TYPE_CHECKING:
    from fabula.structures.latent_tree import LatentTree

__all__ = ["has_modes", "most_probable_cells"]

_NUMBERS_AT_A_TIME = 8_000_000


def has_modes(bank: Family) -> bool:
    """Whether the most probable value of a column follows from its bank directly."""
    return isinstance(bank, Bins | Categorical | Bernoulli | GroupedLevels)


def most_probable_cells(tree: LatentTree, x: Rows, columns: Sequence[int]) -> Rows:
    """A copy of rows (n, d) with the missing cells of some columns at their most probable values.

    Of levels that is the most probable one, of numbers the value with the highest density, each
    given the cells of its row that were seen.
    """
    filled = x.astype(np.float64, copy=True)
    wanted = np.zeros(x.shape[1], dtype=bool)
    wanted[list(columns)] = True
    missing = np.isnan(filled) & wanted
    holes = np.flatnonzero(missing.any(axis=1))
    nodes = sorted({int(tree.nodes[j]) for j in np.flatnonzero(missing.any(axis=0))})
    if not nodes:
        return filled
    at_a_time = max(1, _NUMBERS_AT_A_TIME // (len(nodes) * tree.n_states))
    for start in range(0, len(holes), at_a_time):
        rows = holes[start : start + at_a_time]
        states = tree.state_posteriors(filled[rows], nodes)[1]
        for j in np.flatnonzero(missing[rows].any(axis=0)):
            mine = missing[rows, j]
            posterior = states[mine, nodes.index(int(tree.nodes[j]))]
            filled[rows[mine], j] = _modes(tree.emissions[j], posterior)
    return filled


def _modes(bank: Family, posterior: FloatArray) -> FloatArray:
    """Most probable value (n,) of a column under posteriors (n, H) of the state of its node."""
    if isinstance(bank, Bins):
        values, log_density = bank.columns[0].peaks
        with np.errstate(divide="ignore"):
            told = np.log(posterior @ bank.probabilities) + log_density
        return np.asarray(values[told.argmax(axis=1)])
    assert isinstance(bank, UnivariateColumns)
    return np.asarray((posterior @ bank.level_probabilities(0)).argmax(axis=1), dtype=np.float64)
