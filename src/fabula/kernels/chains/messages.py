"""Recursions over hidden Markov chains, many ragged sequences at a time.

The scaled recursions (Rabiner 1989, Proc. IEEE 77:257, section V.A) work on numbers relative to
the largest of each step: fast, and exact as long as every weight that matters stays above the
smallest double. Where the chain has forbidden or almost forbidden transitions a state can become
improbable beyond that and still win later, so the scaled forward pass reports every sequence in
which a weight was all but lost, and `fabula.kernels.chains.careful` does those again.

Steps of all sequences are stacked; sequence s holds the steps ``offsets[s]`` to
``offsets[s + 1] - 1``. Where ``carried`` is true, the first sequence goes on from ``carry``, the
filtered probabilities before its first step here.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray

__all__ = [
    "LEAST_WEIGHT",
    "backward_scaled",
    "best_paths",
    "forward_best",
    "forward_scaled",
    "shift_frames",
    "sums_by_sequence",
]

# Sums may be taken in any order and multiplications fused; infinities and NaN keep their meaning.
_FAST = {"reassoc", "contract", "nsz", "arcp"}

# Log of how improbable an observation may be relative to that of the best state and still count.
_FLOOR = -690.0

# Below this, a weight relative to the total of its step is reported as lost.
LEAST_WEIGHT = 1e-280


@njit(nogil=True, cache=True, error_model="numpy")
def shift_frames(log_b: FloatArray, shift: FloatArray) -> None:
    """Take the largest log density of each step off, in place, and note it.

    A step that is impossible in every state says nothing: its row becomes 0 and its shift -inf.
    Finite log densities are kept above -690, so that only what is impossible becomes 0.

    Parameters
    ----------
    log_b : (N, S) array, written over
    shift : (N,) array, written to
    """
    n_states = log_b.shape[1]
    for t in range(log_b.shape[0]):
        row = log_b[t]
        largest = row[0]
        for j in range(1, n_states):
            largest = row[j] if row[j] > largest else largest
        shift[t] = largest
        if largest == -np.inf:
            row[:] = 0.0
        elif largest == np.inf:
            for j in range(n_states):
                row[j] = 0.0 if row[j] == np.inf else -np.inf
        else:
            for j in range(n_states):
                below = row[j] - largest
                floored = below if below > _FLOOR else _FLOOR
                row[j] = floored if row[j] != -np.inf else -np.inf


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST, inline="always")
def _weighted_rows(weights: FloatArray, matrix: FloatArray, total: FloatArray) -> None:
    """Sum of the rows of a matrix times their weights; four rows share a pass over the total."""
    n = len(weights)
    whole = n // 4 * 4
    total[:] = 0.0
    for i in range(0, whole, 4):
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        r0, r1, r2, r3 = matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
        for j in range(n):
            total[j] += w0 * r0[j] + w1 * r1[j] + w2 * r2[j] + w3 * r3[j]
    for i in range(whole, n):
        weight, row = weights[i], matrix[i]
        for j in range(n):
            total[j] += weight * row[j]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def forward_scaled(
    b: FloatArray,
    offsets: NDArray[np.intp],
    transitions: FloatArray,
    carry: FloatArray,
    carried: bool,
    checked: bool,
    alpha: FloatArray,
    scale: FloatArray,
    lost: NDArray[np.bool_],
) -> None:
    """Probabilities of the states given the steps so far, and the scale of each step.

    Parameters
    ----------
    b : (N, S) array
        Densities relative to the largest of each step; that of a first step times the start. With
        ``checked``, set to 0 for states that cannot be reached.
    offsets : (n + 1,) array
    transitions : (S, S) array
    carry : (S,) array
    carried : bool
    checked : bool
        Look for lost weights: needed unless every transition is possible.
    alpha : (N, S) array, written to
    scale : (N,) array, written to
        Sum of the weights of each step before they were divided by it.
    lost : (n,) mask, written to
        Sequences that have to be done again; what was written for them means nothing.
    """
    n_states = b.shape[1]
    flow = np.empty(n_states)
    for s in range(len(offsets) - 1):
        lost[s] = False
        total = 1.0
        first, end = offsets[s], offsets[s + 1]
        for t in range(first, end):
            # What was written at the last step is divided by its total one step late, so that
            # nothing waits for the division.
            inverse = 1.0 / total
            if t == first and not (carried and s == 0):
                flow[:] = 1.0
            elif t == first:
                _weighted_rows(carry, transitions, flow)
            else:
                _weighted_rows(alpha[t - 1], transitions, flow)
                for j in range(n_states):
                    alpha[t - 1, j] *= inverse
            total = 0.0
            for j in range(n_states):
                value = b[t, j] * flow[j] * inverse
                alpha[t, j] = value
                total += value
            scale[t] = total
            if checked:
                least = np.inf
                for j in range(n_states):
                    value = alpha[t, j]
                    b[t, j] = b[t, j] if flow[j] > 0.0 else 0.0
                    positive = value if value > 0.0 else np.inf
                    least = positive if positive < least else least
                if not (total > LEAST_WEIGHT and least > LEAST_WEIGHT * total):
                    lost[s] = True
                    break
        if end > first:
            inverse = 1.0 / total
            for j in range(n_states):
                alpha[end - 1, j] *= inverse


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def backward_scaled(
    alpha: FloatArray,
    b: FloatArray,
    scale: FloatArray,
    transposed: FloatArray,
    offsets: NDArray[np.intp],
    weights: FloatArray,
    skipped: NDArray[np.bool_],
    tail: FloatArray,
    has_tail: bool,
    posterior: FloatArray,
) -> None:
    """Probabilities of the states given all steps, times the weight of the sequence.

    What is left in ``b`` is r with ξ_t(i, j) = α_t(i) a_ij r_{t+1}(j), so that the expected
    transitions of all steps together are one matrix product.

    Parameters
    ----------
    alpha, b, scale
        As `forward_scaled` leaves them; ``b`` is written over with r times the weight.
    transposed : (S, S) array
        Transitions, transposed.
    offsets : (n + 1,) array
    weights : (n,) array
    skipped : (n,) mask
        Sequences whose r is set to 0 and whose posterior is left alone.
    tail : (S,) array
    has_tail : bool
        The last sequence goes on after its last step here with this r.
    posterior : (N, S) array, written to
    """
    n_states = alpha.shape[1]
    beta = np.empty(n_states)
    for s in range(len(offsets) - 1):
        first, last = offsets[s], offsets[s + 1] - 1
        if skipped[s]:
            b[first : last + 1] = 0.0
            continue
        weight = weights[s]
        if has_tail and s == len(offsets) - 2:
            _weighted_rows(tail, transposed, beta)
        else:
            beta[:] = 1.0
        for t in range(last, first - 1, -1):
            inverse = 1.0 / scale[t]
            for j in range(n_states):
                posterior[t, j] = weight * (alpha[t, j] * beta[j])
                b[t, j] = b[t, j] * beta[j] * inverse
            if t > first:
                _weighted_rows(b[t], transposed, beta)
            for j in range(n_states):
                b[t, j] *= weight


@njit(nogil=True, cache=True, error_model="numpy")
def sums_by_sequence(values: FloatArray, offsets: NDArray[np.intp], sums: FloatArray) -> None:
    """Sum of the values (N,) of each sequence, into ``sums`` (n,); -inf wins over +inf."""
    for s in range(len(offsets) - 1):
        total = 0.0
        impossible = False
        for t in range(offsets[s], offsets[s + 1]):
            impossible = impossible or values[t] == -np.inf
            total += values[t]
        sums[s] = -np.inf if impossible else total


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _best_rows(weights: FloatArray, matrix: FloatArray, best: FloatArray) -> None:
    """Largest over the rows of a matrix plus their weights; four rows share a pass."""
    n = len(weights)
    whole = n // 4 * 4
    best[:] = -np.inf
    for i in range(0, whole, 4):
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        r0, r1, r2, r3 = matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
        for j in range(n):
            c0, c1, c2, c3 = w0 + r0[j], w1 + r1[j], w2 + r2[j], w3 + r3[j]
            c0 = c0 if c0 > c1 else c1
            c2 = c2 if c2 > c3 else c3
            c0 = c0 if c0 > c2 else c2
            best[j] = c0 if c0 > best[j] else best[j]
    for i in range(whole, n):
        weight, row = weights[i], matrix[i]
        for j in range(n):
            candidate = weight + row[j]
            best[j] = candidate if candidate > best[j] else best[j]


@njit(nogil=True, cache=True, error_model="numpy")
def forward_best(
    log_b: FloatArray,
    offsets: NDArray[np.intp],
    log_start: FloatArray,
    log_transitions: FloatArray,
    carry: FloatArray,
    carried: bool,
    log_scale: FloatArray,
) -> None:
    """Log probability of the best path to each state at each step, relative to the best state.

    Parameters
    ----------
    log_b : (N, S) array, written over with the result
        Log densities; that of a first step plus the log start.
    offsets : (n + 1,) array
    log_start : (S,) array
        What counts where a first step is impossible.
    log_transitions : (S, S) array
    carry : (S,) array
        The result at the step before the first one here.
    carried : bool
    log_scale : (N,) array, written to
        What was taken off each step; -inf where it is impossible, and then it is passed over.
    """
    n_states = log_b.shape[1]
    flow = np.empty(n_states)
    for s in range(len(offsets) - 1):
        for t in range(offsets[s], offsets[s + 1]):
            row = log_b[t]
            if t == offsets[s] and not (carried and s == 0):
                flow[:] = log_start
            else:
                before = carry if t == offsets[s] else log_b[t - 1]
                _best_rows(before, log_transitions, flow)
                for j in range(n_states):
                    row[j] = row[j] + flow[j] if flow[j] > -np.inf else -np.inf
            largest = -np.inf
            for j in range(n_states):
                largest = row[j] if row[j] > largest else largest
            log_scale[t] = largest
            if largest == -np.inf:
                row[:] = flow - flow.max()
            elif largest == np.inf:
                for j in range(n_states):
                    row[j] = 0.0 if row[j] == np.inf else -np.inf
            else:
                for j in range(n_states):
                    row[j] -= largest


@njit(nogil=True, cache=True, error_model="numpy")
def best_paths(
    best: FloatArray,
    offsets: NDArray[np.intp],
    log_transposed: FloatArray,
    following: int,
    states: NDArray[np.intp],
) -> None:
    """Follow the best path of each sequence back from its end.

    Parameters
    ----------
    best : (N, S) array
        What `forward_best` left.
    offsets : (n + 1,) array
    log_transposed : (S, S) array
        Log transitions, transposed.
    following : int
        State of the last sequence after its last step here; -1 where it ends here.
    states : (N,) array, written to
    """
    n_states = best.shape[1]
    for s in range(len(offsets) - 1):
        state = following if s == len(offsets) - 2 else -1
        for t in range(offsets[s + 1] - 1, offsets[s] - 1, -1):
            chosen = 0
            if state < 0:
                for i in range(1, n_states):
                    if best[t, i] > best[t, chosen]:
                        chosen = i
            else:
                largest = best[t, 0] + log_transposed[state, 0]
                for i in range(1, n_states):
                    candidate = best[t, i] + log_transposed[state, i]
                    if candidate > largest:
                        largest = candidate
                        chosen = i
            states[t] = chosen
            state = chosen
