"""Which column of a latent tree hangs on which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray, Rows
from fabula.learning.dependence import chow_liu_tree, group_values, mutual_information
from fabula.tables.encoding import Field

__all__ = ["TreeShapeFound", "learn_shapes"]

# Rows and codes that are enough to find which columns hang together.
_ROWS_FOR_SHAPE = 50_000
_MOST_CODES = 24
_WORK_FOR_SHAPE = 4e11
# Spread of the logarithm of what every mutual information is multiplied by, for further trees.
_SPREAD_OF_SHAPES = 0.3


@dataclass(frozen=True)
class TreeShapeFound:
    """Which column hangs on which, and how strongly (nats)."""

    columns: NDArray[np.intp]
    parents: NDArray[np.intp]
    strengths: FloatArray

    def hung(self, joining: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Parents of the nodes, and the node of each column.

        A column that shares at least ``joining`` nats with the one it hangs on hangs at its node:
        one hidden variable says more of two columns that follow from each other than a transition
        between two does.
        """
        own = np.maximum(self.strengths, 0.0) < joining
        own[0] = True
        node_at = np.empty(len(own), dtype=np.intp)
        node_at[own] = np.arange(int(own.sum()))
        for place in np.flatnonzero(~own):  # parents stand before their children
            node_at[place] = node_at[self.parents[place]]
        parents = np.where(self.parents[own] < 0, -1, node_at[self.parents[own]])
        nodes = np.empty(len(own), dtype=np.intp)
        nodes[self.columns] = node_at
        return parents, nodes


def learn_shapes(
    x: Rows,
    fields: Sequence[Field],
    weights: FloatArray | None,
    rng: np.random.Generator,
    n_trees: int = 1,
) -> list[TreeShapeFound]:
    """The Chow–Liu tree of the columns, from some of the rows; further trees are less sure of it.

    For each of these, the information of every two columns is multiplied by chance.
    """
    information = _shared_information(x, fields, weights, rng)
    shapes = [TreeShapeFound(*chow_liu_tree(information))]
    for _ in range(n_trees - 1):
        chance = np.triu(rng.normal(scale=_SPREAD_OF_SHAPES, size=information.shape), 1)
        columns, parents, _ = chow_liu_tree(information * np.exp(chance + chance.T))
        strengths = np.append(0.0, information[columns[1:], columns[parents[1:]]])
        shapes.append(TreeShapeFound(columns, parents, strengths))
    return shapes


def _shared_information(
    x: Rows, fields: Sequence[Field], weights: FloatArray | None, rng: np.random.Generator
) -> FloatArray:
    """Mutual information (d, d) of every two columns, from some of the rows."""
    n, d = x.shape
    rows = np.arange(n) if n <= _ROWS_FOR_SHAPE else _some(n, _ROWS_FOR_SHAPE, rng)
    # The work is n (d C)²: of very many columns, fewer codes and fewer rows tell enough.
    most = int(np.clip(math.sqrt(_WORK_FOR_SHAPE / max(len(rows), 1)) / d, 4, _MOST_CODES))
    affordable = int(_WORK_FOR_SHAPE / (d * most) ** 2)
    if affordable < len(rows):
        rows = _some(n, max(affordable, 2_000), rng)
    codes, sizes = [], []
    for j, field in enumerate(fields):
        ordered = field.kind not in ("category", "boolean")
        code, size = group_values(x[rows, j], most, ordered=ordered)
        codes.append(code)
        sizes.append(size)
    taken = None if weights is None else weights[rows]
    return mutual_information(np.stack(codes, axis=1), sizes, taken)


def _some(n: int, number: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Some of the rows, in order."""
    return np.sort(rng.choice(n, size=min(number, n), replace=False))
