"""What a latent tree learns from: expected counts of states, transitions and cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.structures.trees.cells import TreeRows
from fabula.structures.trees.messages import UpwardPass, downward

if TYPE_CHECKING:
    from fabula.structures.trees.latent_tree import LatentTree

__all__ = ["LatentTreePrior", "LatentTreeStatistics", "add_counts", "normalised"]


@dataclass(frozen=True)
class LatentTreePrior:
    """Pseudo-counts of the states, and a prior for the bank of each column.

    Every row of every transition matrix gets ``pseudo_count`` transitions, spread evenly over the
    states; so does the root.
    """

    pseudo_count: float = 0.0
    emissions: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class LatentTreeStatistics:
    """Expected statistics of some rows, and their log evidence."""

    log_evidence: float
    n_rows: float
    root: FloatArray  # (H,) expected rows in each state of the root
    transitions: FloatArray  # (m - 1, H, H) expected transitions to each node but the root
    emissions: tuple[Any, ...]

    def __add__(self, other: LatentTreeStatistics) -> LatentTreeStatistics:
        return LatentTreeStatistics(
            self.log_evidence + other.log_evidence,
            self.n_rows + other.n_rows,
            self.root + other.root,
            self.transitions + other.transitions,
            tuple(a + b for a, b in zip(self.emissions, other.emissions, strict=True)),
        )


def add_counts(
    tree: LatentTree,
    rows: TreeRows,
    up: UpwardPass,
    weights: FloatArray | None,
    sums: tuple[FloatArray, FloatArray, Sequence[FloatArray]],
) -> None:
    """Add what some rows say to the sums of (root, transitions, cells of each column).

    Transitions still lack the factor of their own probabilities.
    """
    from scipy.sparse import csr_array

    root, transitions, counts = sums
    n = len(rows)
    dtype = up.posterior.dtype
    posterior = up.posterior
    if weights is not None:
        posterior = posterior * weights.astype(dtype)[:, None]
    ends = np.arange(n + 1, dtype=np.int32)
    ones = np.ones(n, dtype=dtype)

    def visit(i: int, mine: FloatArray, outside: FloatArray | None) -> None:
        if outside is not None:
            transitions[i - 1] += outside.T @ up.beliefs[i]
        for j in tree.columns_of[i]:
            cells = rows.cells[j]
            indicators = csr_array((ones, cells.codes, ends), shape=(n, cells.n_codes))
            counts[j] += indicators.T @ mine

    root += posterior.sum(axis=0, dtype=np.float64)
    downward(tree.shape, tree.padded(str(dtype))[1], up, posterior, visit)


def normalised(counts: FloatArray, fallback: FloatArray) -> FloatArray:
    """Counts as probabilities along the last axis; where there are none, as they were."""
    totals = counts.sum(axis=-1, keepdims=True)
    out: FloatArray = fallback.copy()
    np.divide(counts, totals, out=out, where=totals > 0)
    return out
