"""How probable is each row?"""

from __future__ import annotations

from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.questions.protocols import HasDensity
from fabula.questions.walk import walk

__all__ = ["log_prob", "tail_probability"]


def log_prob(story: HasDensity, x: Any) -> FloatArray:
    """Log density of each row in nats (n,), missing cells integrated out."""
    return walk(x, lambda block: story.log_prob(block.x)).astype(np.float64)


def tail_probability(
    story: Any, x: Any, *, n_draws: int = 10_000, seed: int = 0, fewest: int | None = None
) -> FloatArray:
    """Probability (n,) that the story tells a row no more probable than this one.

    The share of ``n_draws`` rows of the story whose density is not above that of the row, with
    the same cells missing, so that rows with holes are compared with their like. The same draws
    serve every row: the answer for a row does not depend on the rows beside it. Its standard
    error is at most ``0.5 / sqrt(n_draws)``.

    Where densities take long, ``fewest`` lets patterns of missing cells share the draws, of which
    each has so many at least.
    """
    drawn, _ = story.sample(n_draws, np.random.default_rng(seed))
    scores = log_prob(story, x)
    if not isinstance(x, np.ndarray):
        return _share_below(log_prob(story, drawn), scores)
    from fabula.core.missing import find_patterns

    patterns = find_patterns(x)
    out = np.empty(len(x))
    if fewest is None:
        each = n_draws if len(patterns) < 200 else n_draws // 10
    else:
        each = max(n_draws // max(len(patterns), 1), fewest)
    for p in range(len(patterns)):
        rows = patterns.order[patterns.starts[p] : patterns.starts[p + 1]]
        masked = drawn[:each]
        if not patterns.observed[p].all():
            masked = np.where(patterns.observed[p], masked, np.nan)
        out[rows] = _share_below(log_prob(story, masked), scores[rows])
    return out


def _share_below(reference: FloatArray, scores: FloatArray) -> FloatArray:
    """Share of the reference that is not above each score, never exactly 0."""
    below = np.searchsorted(np.sort(reference), scores, side="right")
    return np.asarray((below + 1.0) / (len(reference) + 1.0))
