"""Fitting one structure to known, partly known and hidden classes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import Codes, FloatArray, Responsibilities
from fabula.core.blocks import ArrayBlocks, Block, Blocks, rows_per_block
from fabula.core.missing import order_by_pattern
from fabula.core.threads import single_threaded_blas
from fabula.families.base import Family
from fabula.learning.em import Report, accumulate, expectation_maximisation
from fabula.structures.mixture import Mixture, MixturePrior, MixtureStatistics

__all__ = [
    "block_rows",
    "blocks_of",
    "fit_known",
    "from_responsibilities",
    "has_missing",
    "known_statistics",
    "pool",
]

# Enough rows for the scale of a column, which is all that priors and origins need.
_ROWS_TO_POOL = 20_000


def block_rows(family: Family) -> int:
    """Rows to take at a time so that the work on them stays in cache."""
    d = family.n_columns
    products = d * (d + 3) // 2 if getattr(family, "uses_products", False) else 3 * d
    return rows_per_block(products + 2 * family.n_members)


def has_missing(x: Any) -> bool:
    """Whether any cell of dense rows is NaN."""
    return isinstance(x, np.ndarray) and bool(np.isnan(np.sum(x)) and np.isnan(x).any())


def blocks_of(
    family: Family,
    x: Any,
    known: Codes | None = None,
    weights: FloatArray | None = None,
) -> ArrayBlocks:
    """Blocks of arrays in memory, with rows of the same missing cells side by side."""
    blocks = ArrayBlocks(x, known, weights, block_rows(family))
    if getattr(family, "groups_patterns", False) and has_missing(x):
        return blocks.reordered(order_by_pattern(x))
    return blocks


def pool(template: Family, x: Any, weights: FloatArray | None = None) -> Family:
    """A bank of one member fitted to all rows together, whatever their class.

    It gives members the scale of the data before anything else is known: where missing cells are
    first filled, what a prior looks like, what an empty member falls back on.
    """
    n = int(x.shape[0])
    if n > _ROWS_TO_POOL:
        chosen = np.linspace(0, n - 1, _ROWS_TO_POOL).astype(np.intp)
        x = x[chosen]
        weights = None if weights is None else weights[chosen]
    column = np.ones((int(x.shape[0]), 1)) if weights is None else weights[:, None].astype(float)
    pooled = template
    # The second pass measures from where the data are, which keeps digits.
    for _ in range(2):
        pooled = pooled.maximise(pooled.statistics(x, column), pooled.uniform_prior())
    return pooled.widened()


def known_statistics(story: Mixture, blocks: Blocks) -> MixtureStatistics:
    """Statistics of labelled rows under their labels; unlabelled rows count nothing."""
    classes = np.arange(story.n_classes)

    def clamped(block: Block) -> Any:
        assert block.known is not None
        responsibilities = (block.known[:, None] == classes).astype(np.float64)
        if block.weights is not None:
            responsibilities *= block.weights[:, None]
        return story.clamped_statistics(block, responsibilities)

    with single_threaded_blas():
        result: MixtureStatistics = accumulate(clamped, blocks)
    return result


def from_responsibilities(
    story: Mixture, x: Any, responsibilities: Responsibilities, prior: MixturePrior
) -> Mixture:
    """One M-step from given responsibilities, which already hold the weights of the rows."""
    statistics = story.clamped_statistics(Block(x), responsibilities)
    return story.maximise(statistics, prior)


@dataclass(frozen=True)
class Fitted:
    """A story, how its fit went, and the statistics it came from where one pass was enough."""

    story: Mixture
    report: Report
    statistics: MixtureStatistics | None


def fit_known(
    family: Family,
    blocks: Blocks,
    prior: MixturePrior,
    *,
    needs_em: bool,
    max_iter: int,
    tol: float,
) -> Fitted:
    """Fit classes of which some or all rows are known.

    Parameters
    ----------
    family : Family
        Bank with one member for each class, at the scale of the data.
    blocks : Blocks
        Rows with class codes, -1 where unknown.
    prior : MixturePrior
    needs_em : bool
        False where every label is known and the family's M-step is exact in one pass.
    max_iter, tol : int, float
        As in `expectation_maximisation`.
    """
    began = time.perf_counter()
    n_classes = family.n_members
    story = Mixture(np.full(n_classes, -np.log(n_classes)), family)
    statistics = known_statistics(story, blocks)
    story = story.maximise(statistics, prior)
    if needs_em:
        story, report = expectation_maximisation(
            story, blocks, prior=prior, max_iter=max_iter, tol=tol
        )
        return Fitted(story, report, None)
    report = Report((), True, "closed form", 1, time.perf_counter() - began)
    return Fitted(story, report, statistics)
