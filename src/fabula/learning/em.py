"""Expectation–maximisation for any structure (Dempster, Laird and Rubin 1977).

The loop knows the protocol only: a story gives the expected statistics of a block, statistics add
up, and a story maximises them. Nothing of the size of the data is ever held but the data.
"""

from __future__ import annotations

import functools
import math
import operator
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, Protocol, Self, TypeVar

import numpy as np

from fabula.core.blocks import Block, Blocks
from fabula.core.errors import DataError
from fabula.core.threads import ordered_map, single_threaded_blas
from fabula.persistence.registry import storable

__all__ = ["Report", "Story", "accumulate", "expectation_maximisation"]

# Preparing blocks once is worth it only as long as what was prepared stays well within memory.
_BYTES_KEPT_PREPARED = 192 * 2**20

Reason = Literal["converged", "iteration limit", "closed form", "objective fell", "impossible rows"]


class Story(Protocol):
    """What the loop needs of a structure."""

    def prepare(self, block: Block) -> Block:
        """Work on a block that does not depend on the parameters."""
        ...

    def statistics(self, block: Block) -> Any:
        """Expected statistics of a block."""
        ...

    def maximise(self, statistics: Any, prior: Any) -> Self:
        """The story that explains the statistics best."""
        ...

    def log_prior(self, prior: Any) -> float:
        """Log density of the parameters under the prior."""
        ...


_Story = TypeVar("_Story", bound=Story)


@storable("learning/report")
@dataclass(frozen=True)
class Report:
    """How a fit went.

    ``trace`` holds the penalised log likelihood per row of the story at the start of each pass.
    """

    trace: tuple[float, ...]
    converged: bool
    reason: Reason
    n_iterations: int
    seconds: float

    @property
    def objective(self) -> float:
        """Penalised log likelihood per row at the last pass."""
        return self.trace[-1] if self.trace else math.nan


def accumulate(function: Callable[[Block], Any], blocks: Iterable[Block]) -> Any:
    """Sum ``function`` over the blocks, in their order whatever the number of threads."""
    return functools.reduce(operator.add, ordered_map(function, blocks))


def expectation_maximisation(
    story: _Story,
    blocks: Blocks,
    *,
    prior: Any = None,
    max_iter: int = 100,
    tol: float = 1e-3,
    on_iteration: Callable[[int, float], None] | None = None,
) -> tuple[_Story, Report]:
    """Climb the penalised likelihood from ``story`` until it gains less than ``tol`` a row.

    Parameters
    ----------
    story : Story
        Where to begin.
    blocks : Blocks
        The data, walked once for each iteration.
    prior : optional
        What `maximise` and `log_prior` of the story take.
    max_iter, tol : int, float
        At most so many M-steps; stop when the gain per row, in nats, is below ``tol``.
    on_iteration : callable, optional
        Called with the number of the iteration and the objective per row after each pass.

    Returns
    -------
    (story, report)
        The best story that was met, and how the climb went.
    """
    began = time.perf_counter()
    trace: list[float] = []
    reason: Reason = "iteration limit"
    with single_threaded_blas():
        passes = _Passes(blocks)
        best = story
        for iteration in range(max_iter + 1):
            statistics = passes.statistics(story)
            if not statistics.n_rows > 0:
                raise DataError("Every row has the weight 0: nothing is left to learn from.")
            objective = (statistics.log_evidence + story.log_prior(prior)) / statistics.n_rows
            trace.append(objective)
            if on_iteration is not None:
                on_iteration(iteration, objective)
            if not math.isfinite(objective):
                reason = "impossible rows"
                break
            gain = objective - trace[-2] if iteration else math.inf
            if gain < -passes.rounding * max(1.0, abs(objective)):
                reason = "objective fell"
                trace.pop()
                break
            best = story
            if abs(gain) < tol:
                reason = "converged"
                break
            if iteration < max_iter:
                story = story.maximise(statistics, prior)
    iterations = max(len(trace) - 1, 0)
    converged = reason == "converged"
    return best, Report(tuple(trace), converged, reason, iterations, time.perf_counter() - began)


class _Passes:
    """Passes over the blocks, with what the first one prepared kept as far as memory allows."""

    def __init__(self, blocks: Blocks):
        self._blocks = blocks
        self._prepared: list[Block] | None = None
        self._keeps = True
        # How far the objective may seem to fall through rounding alone.
        self.rounding = 1e-9

    def statistics(self, story: Story) -> Any:
        """Expected statistics of all rows."""
        if self._prepared is not None:
            return accumulate(story.statistics, self._prepared)
        if not self._keeps:
            return accumulate(story.statistics, self._blocks)
        return self._first(story)

    def _first(self, story: Story) -> Any:
        def prepare_too(block: Block) -> tuple[Any, Block | None]:
            if not self._keeps:
                return story.statistics(block), None
            if getattr(block.x, "dtype", None) == np.float32:
                self.rounding = 1e-5
            ready = story.prepare(block)
            return story.statistics(ready), ready

        total, size, prepared = None, 0, []
        for statistics, ready in ordered_map(prepare_too, self._blocks):
            total = statistics if total is None else total + statistics
            if self._keeps and ready is not None:
                prepared.append(ready)
                size += _n_bytes(ready)
                if size > _BYTES_KEPT_PREPARED:
                    self._keeps = False
                    prepared.clear()
        if self._keeps:
            self._prepared = prepared
        return total


def _n_bytes(value: Any) -> int:
    """Bytes of the arrays in a nested value."""
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if is_dataclass(value):
        return sum(_n_bytes(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple | list):
        return sum(_n_bytes(item) for item in value)
    if hasattr(value, "data") and hasattr(value, "indices"):
        return int(value.data.nbytes + value.indices.nbytes + value.indptr.nbytes)
    return 0
