"""Alignments that have no column: all letters lie in the free ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.core.arrays import FloatArray

if TYPE_CHECKING:
    from fabula.structures.pairs.hidden_markov import PairHiddenMarkov

__all__ = ["log_odds_best_empty", "log_odds_empty"]


def log_odds_empty(story: PairHiddenMarkov, n: Any, m: Any) -> FloatArray:
    """Log weight of the alignments without a column: all letters lie in the free ends."""
    log_stop = np.log(story.background_stop)
    n, m = np.asarray(n, dtype=np.float64), np.asarray(m, dtype=np.float64)
    with np.errstate(divide="ignore"):
        if story.ends == "local":
            weight = 4 * log_stop + np.log(n + 1) + np.log(m + 1)
        elif story.ends == "read":
            weight = 2 * log_stop + np.where(m == 0, np.log(n + 1), -np.inf)
        elif story.ends == "overlap":
            # Both overhangs of x, both of y, or one of each, in either order.
            same = np.where(m == 0, n + 1, 0) + np.where(n == 0, m + 1, 0)
            weight = 2 * log_stop + np.log((same + 2.0) / 4.0)
        else:
            weight = np.where((n == 0) & (m == 0), 0.0, -np.inf)
    return np.asarray(weight + story.log_empty)


def log_odds_best_empty(story: PairHiddenMarkov, n: int, m: int) -> float:
    """Log weight of the best single alignment without a column."""
    log_stop = float(np.log(story.background_stop))
    if story.ends == "local":
        return story.log_empty + 4 * log_stop
    if story.ends == "overlap":
        return story.log_empty + 2 * log_stop - float(np.log(2.0)) * ((n > 0) + (m > 0))
    if m or (n and story.ends == "global"):
        return -np.inf
    return story.log_empty + (2 * log_stop if story.ends == "read" else 0.0)
