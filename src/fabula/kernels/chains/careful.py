"""The recursions of `fabula.kernels.chains.messages` where weights fall below the smallest double.

Filtered probabilities are kept as logarithms. Sums are still taken over exponentials relative to
the largest, and only those that come out tiny are taken again, one by one, relative to their own
largest term. The backward pass works on probabilities of the states given all steps (Kitagawa
1987, JASA 82:1032), which may underflow without harm: what vanishes has no probability left.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray

__all__ = ["backward_careful", "forward_careful"]

# Sums below this, of numbers relative to the largest, are taken again relative to themselves.
_TINY = 1e-250

# Log of the smallest double, or so.
_VANISHES = -745.0


@njit(nogil=True, cache=True, error_model="numpy")
def _relative(logs: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Exponentials relative to the largest; that largest, and their sum."""
    largest = -np.inf
    for i in range(len(logs)):
        largest = logs[i] if logs[i] > largest else largest
    total = 0.0
    for i in range(len(logs)):
        # Exponentials of what vanishes beside 1 even in the sum of many are not worth their time.
        below = logs[i] - largest
        weights[i] = np.exp(below) if below > _VANISHES else 0.0
        total += weights[i]
    return largest, total


@njit(nogil=True, cache=True, error_model="numpy")
def _spread(weights: FloatArray, transitions: FloatArray, flow: FloatArray) -> None:
    """Where a transition leads the weights."""
    flow[:] = 0.0
    for i in range(len(weights)):
        weight = weights[i]
        if weight > 0.0:
            for j in range(len(weights)):
                flow[j] += weight * transitions[i, j]


@njit(nogil=True, cache=True, error_model="numpy")
def _log_sum(before: FloatArray, log_transitions: FloatArray) -> tuple[float, float]:
    """Largest of before + log_transitions, and the sum of exponentials relative to it."""
    largest = -np.inf
    for i in range(len(before)):
        candidate = before[i] + log_transitions[i]
        largest = candidate if candidate > largest else largest
    total = 0.0
    if largest > -np.inf:
        for i in range(len(before)):
            below = before[i] + log_transitions[i] - largest
            if below > _VANISHES:
                total += np.exp(below)
    return largest, total


@njit(nogil=True, cache=True, error_model="numpy")
def _normalise(row: FloatArray, flow: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Take the log of its total off a row; an impossible one becomes ``flow``.

    Leaves the exponentials of the row relative to its largest in ``weights``, and returns what was
    taken off and what the largest is now.
    """
    largest = row.max()
    infinite = not np.isfinite(largest)
    told = largest
    if largest == -np.inf:
        row[:] = flow
    elif largest == np.inf:
        for j in range(len(row)):
            row[j] = 0.0 if row[j] == np.inf else -np.inf
    largest, total = _relative(row, weights)
    taken = largest + np.log(total)
    row -= taken
    return told if infinite else taken, largest - taken


@njit(nogil=True, cache=True, error_model="numpy")
def forward_careful(
    log_b: FloatArray,
    offsets: NDArray[np.intp],
    which: NDArray[np.intp],
    log_start: FloatArray,
    transitions: FloatArray,
    log_transposed: FloatArray,
    carry: FloatArray,
    carried: bool,
    log_scale: FloatArray,
) -> None:
    """Log probabilities of the states given the steps so far.

    Parameters
    ----------
    log_b : (N, S) array, written over with the result
        Log densities; that of a first step plus the log start.
    offsets : (n + 1,) array
    which : (m,) array
        Sequences to work on; the rows of the others are left as they are.
    log_start : (S,) array
        What counts where a first step is impossible.
    transitions, log_transposed : (S, S) arrays
        Transitions, and the transpose of their logarithms.
    carry : (S,) array
        The result at the step before the first one here.
    carried : bool
    log_scale : (N,) array, written to
        Log probability of each step given those before; -inf where it is impossible, and then it
        says nothing about its state.
    """
    n_states = log_b.shape[1]
    weights, flow = np.empty(n_states), np.empty(n_states)
    for s in which:
        largest = 0.0
        for t in range(offsets[s], offsets[s + 1]):
            row = log_b[t]
            if t == offsets[s] and not (carried and s == 0):
                log_scale[t], largest = _normalise(row, log_start, weights)
                continue
            before = carry if t == offsets[s] else log_b[t - 1]
            if t == offsets[s]:
                largest, _ = _relative(carry, weights)
            _spread(weights, transitions, flow)
            for j in range(n_states):
                if flow[j] > _TINY:
                    flow[j] = largest + np.log(flow[j])
                else:
                    own, total = _log_sum(before, log_transposed[j])
                    flow[j] = own + np.log(total) if total > 0.0 else -np.inf
                row[j] = row[j] + flow[j] if flow[j] != -np.inf else -np.inf
            log_scale[t], largest = _normalise(row, flow, weights)


@njit(nogil=True, cache=True, error_model="numpy")
def backward_careful(
    log_alpha: FloatArray,
    offsets: NDArray[np.intp],
    which: NDArray[np.intp],
    weights: FloatArray,
    transitions: FloatArray,
    log_transposed: FloatArray,
    tail: FloatArray,
    has_tail: bool,
    posterior: FloatArray,
    counts: FloatArray,
) -> None:
    """Probabilities of the states given all steps, times the weight of the sequence.

    Parameters
    ----------
    log_alpha : (N, S) array
        What `forward_careful` left.
    offsets, which, transitions, log_transposed
        As there.
    weights : (n,) array
    tail : (S,) array
    has_tail : bool
        The last sequence goes on after its last step here, and this is the posterior of its next.
    posterior : (N, S) array, written to
    counts : (S, S) array, added to
        Expected transitions times the weight, those to the step after the last included.
    """
    n_states = log_alpha.shape[1]
    relative, flow, ratio = np.empty(n_states), np.empty(n_states), np.empty(n_states)
    after, here = np.empty(n_states), np.empty(n_states)
    for s in which:
        first, last = offsets[s], offsets[s + 1] - 1
        weight = weights[s]
        for t in range(last, first - 1, -1):
            if t == last and not (has_tail and s == len(offsets) - 2):
                for j in range(n_states):
                    here[j] = np.exp(log_alpha[t, j])
            else:
                after[:] = tail if t == last else here
                _relative(log_alpha[t], relative)
                _spread(relative, transitions, flow)
                for j in range(n_states):
                    ratio[j] = after[j] / flow[j] if flow[j] > _TINY else 0.0
                for i in range(n_states):
                    here[i] = 0.0
                    if relative[i] == 0.0:
                        continue
                    for j in range(n_states):
                        share = relative[i] * transitions[i, j] * ratio[j]
                        here[i] += share
                        counts[i, j] += weight * share
                for j in range(n_states):
                    if after[j] > 0.0 and not flow[j] > _TINY:
                        largest, total = _log_sum(log_alpha[t], log_transposed[j])
                        if not total > 0.0:
                            continue
                        for i in range(n_states):
                            log_share = log_alpha[t, i] + log_transposed[j, i] - largest
                            if not log_share > _VANISHES:
                                continue
                            share = after[j] * np.exp(log_share) / total
                            here[i] += share
                            counts[i, j] += weight * share
            for j in range(n_states):
                posterior[t, j] = weight * here[j]
