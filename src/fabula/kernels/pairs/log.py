"""Recursions over the alignments of one pair, in logarithms: always safe, and slow.

The fast kernels hand over to these where their numbers could leave the range of floating point.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.kernels.pairs.weights import PairWeights, log_flank

__all__ = ["log_backward", "log_counts", "log_forward", "log_total"]

_Letters = NDArray[np.uint8]


@njit(nogil=True, cache=True, error_model="numpy")
def _log_sum(terms: FloatArray) -> float:
    largest = -math.inf
    for term in terms:
        largest = max(largest, term)
    if largest == -math.inf:
        return -math.inf
    total = 0.0
    for term in terms:
        total += math.exp(term - largest)
    return largest + math.log(total)


@njit(nogil=True, cache=True, error_model="numpy")
def log_forward(x: _Letters, y: _Letters, w: PairWeights) -> FloatArray:
    """Log weight (n + 1, m + 1, S) of all beginnings that end in a cell and a state."""
    n, m, n_states = len(x), len(y), len(w.start)
    n_gaps = (n_states - 1) // 2
    forward = np.full((n + 1, m + 1, n_states), -np.inf)
    terms = np.empty(n_states + 1)
    for i in range(n + 1):
        for j in range(m + 1):
            for s in range(n_states):
                a = i - 1 if s == 0 or s > n_gaps else i
                b = j - 1 if s <= n_gaps else j
                if a < 0 or b < 0:
                    continue
                for r in range(n_states):
                    terms[r] = forward[a, b, r] + w.transitions[r, s]
                terms[n_states] = log_flank(w.ends, w.log_stop, a, b) + w.start[s]
                if s == 0:
                    emission = w.match[x[a], y[b]]
                elif s <= n_gaps:
                    emission = w.insert[y[b]]
                else:
                    emission = w.delete[x[a]]
                forward[i, j, s] = emission + _log_sum(terms)
    return forward


@njit(nogil=True, cache=True, error_model="numpy")
def log_backward(x: _Letters, y: _Letters, w: PairWeights) -> FloatArray:
    """Log weight (n + 1, m + 1, S) of all that may follow a cell and a state."""
    n, m, n_states = len(x), len(y), len(w.start)
    n_gaps = (n_states - 1) // 2
    backward = np.full((n + 1, m + 1, n_states), -np.inf)
    onward = np.empty(n_states)
    terms = np.empty(n_states + 1)
    for i in range(n, -1, -1):
        for j in range(m, -1, -1):
            for s in range(n_states):
                a = i + 1 if s == 0 or s > n_gaps else i
                b = j + 1 if s <= n_gaps else j
                onward[s] = -np.inf
                if a > n or b > m:
                    continue
                if s == 0:
                    emission = w.match[x[i], y[j]]
                elif s <= n_gaps:
                    emission = w.insert[y[j]]
                else:
                    emission = w.delete[x[i]]
                onward[s] = emission + backward[a, b, s]
            for s in range(n_states):
                for r in range(n_states):
                    terms[r] = w.transitions[s, r] + onward[r]
                terms[n_states] = w.end[s] + log_flank(w.ends, w.log_stop, n - i, m - j)
                backward[i, j, s] = _log_sum(terms)
    return backward


@njit(nogil=True, cache=True, error_model="numpy")
def log_total(forward: FloatArray, w: PairWeights) -> float:
    """Log weight of all alignments, from the matrix of `log_forward`."""
    n, m, n_states = forward.shape[0] - 1, forward.shape[1] - 1, forward.shape[2]
    largest = -math.inf
    total = 0.0
    for i in range(n + 1):
        for j in range(m + 1):
            flank = log_flank(w.ends, w.log_stop, n - i, m - j)
            if flank == -math.inf:
                continue
            for s in range(n_states):
                term = forward[i, j, s] + w.end[s] + flank
                if term == -math.inf:
                    continue
                if term > largest:
                    total = total * math.exp(largest - term) + 1.0
                    largest = term
                else:
                    total += math.exp(term - largest)
    return largest + math.log(total) if total > 0.0 else -math.inf


@njit(nogil=True, cache=True, error_model="numpy")
def log_counts(
    x: _Letters,
    y: _Letters,
    w: PairWeights,
    forward: FloatArray,
    backward: FloatArray,
    total: float,
    weight: float,
    match: FloatArray,
    insert: FloatArray,
    delete: FloatArray,
    start: FloatArray,
    moves: FloatArray,
) -> None:
    """Add expected events: of letters, of the start (S + 1,) and of moves (S, S + 1)."""
    n, m, n_states = len(x), len(y), len(w.start)
    n_gaps = (n_states - 1) // 2
    for i in range(n + 1):
        for j in range(m + 1):
            flank = log_flank(w.ends, w.log_stop, n - i, m - j)
            for s in range(n_states):
                here = forward[i, j, s]
                if here == -math.inf:
                    continue
                moves[s, n_states] += weight * math.exp(here + w.end[s] + flank - total)
                a = i - 1 if s == 0 or s > n_gaps else i
                b = j - 1 if s <= n_gaps else j
                seen = weight * math.exp(here + backward[i, j, s] - total)
                if s == 0:
                    emission = w.match[x[a], y[b]]
                    match[x[a], y[b]] += seen
                elif s <= n_gaps:
                    emission = w.insert[y[b]]
                    insert[y[b]] += seen
                else:
                    emission = w.delete[x[a]]
                    delete[x[a]] += seen
                onward = emission + backward[i, j, s] - total
                begin = log_flank(w.ends, w.log_stop, a, b) + w.start[s]
                start[s] += weight * math.exp(begin + onward)
                for r in range(n_states):
                    move = forward[a, b, r] + w.transitions[r, s] + onward
                    moves[r, s] += weight * math.exp(move)
