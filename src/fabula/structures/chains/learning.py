"""What a hidden Markov chain learns from: expected counts, and pseudo-counts beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.persistence.registry import storable

__all__ = ["HiddenMarkovPrior", "HiddenMarkovStatistics", "log_dirichlet", "log_shares"]

# What an allowed transition keeps of its row when no step has taken it.
_LEAST_SHARE = 1e-16


@storable("story/hidden_markov_prior")
@dataclass(frozen=True)
class HiddenMarkovPrior:
    """Dirichlet pseudo-counts for start and transitions, and a prior for the emissions.

    Parameters
    ----------
    start : (S,) array, optional
        Pseudo-counts ≥ 0: the parameters of the Dirichlet distribution less 1.
    transitions : (S, S) array, optional
        The same for each row; what stands at forbidden transitions does not count.
    emission : optional
        What `maximise` and `log_prior` of the emissions take.
    """

    start: FloatArray | None = None
    transitions: FloatArray | None = None
    emission: Any = None


@dataclass(frozen=True)
class HiddenMarkovStatistics:
    """Expected statistics of some sequences, and their log evidence."""

    log_evidence: float
    n_rows: float  # number of steps, each as often as its sequence counts
    start: FloatArray  # (S,) expected number of sequences that begin in each state
    transitions: FloatArray  # (S, S) expected number of transitions
    emission: Any

    def __add__(self, other: HiddenMarkovStatistics) -> HiddenMarkovStatistics:
        return HiddenMarkovStatistics(
            self.log_evidence + other.log_evidence,
            self.n_rows + other.n_rows,
            self.start + other.start,
            self.transitions + other.transitions,
            self.emission + other.emission,
        )


def log_shares(counts: FloatArray, logs: FloatArray) -> FloatArray:
    """Log shares of each row of counts among what is allowed; rows of nothing keep theirs."""
    allowed = ~np.isneginf(logs)
    counts = np.where(allowed, counts, 0.0)
    totals = counts.sum(axis=1, keepdims=True)
    seen = totals > 0
    counts = np.where(allowed, np.maximum(counts, _LEAST_SHARE * totals), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.log(counts) - np.log(counts.sum(axis=1, keepdims=True))
    return np.where(seen, shares, logs)


def log_dirichlet(counts: FloatArray | None, logs: FloatArray) -> float:
    """Log Dirichlet density of probabilities under pseudo-counts, up to a constant."""
    if counts is None:
        return 0.0
    counted = (counts > 0) & ~np.isneginf(logs)
    return float((counts[counted] * logs[counted]).sum())
