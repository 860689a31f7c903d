"""The recursions of `fabula.kernels.chains.messages` for few states, eight sequences side by side.

With few states a step is a handful of numbers, and a processor that works on one sequence waits
for the step before. Eight sequences fill its vectors and its time. Sequences are taken in the
order of their lengths, longest first, so that those which still go on are always the first lanes.
Only whole sequences are worked on here: long ones in stretches go the other way.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.kernels.chains.messages import LEAST_WEIGHT

__all__ = ["MOST_STATES", "backward_lanes", "best_lanes", "forward_lanes"]

# Measured: with more states, a row of transitions fills the vectors by itself.
MOST_STATES = 7

_FAST = {"reassoc", "contract", "nsz", "arcp"}


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _take_lanes(
    order: NDArray[np.intp],
    group: int,
    offsets: NDArray[np.intp],
    begins: NDArray[np.intp],
    lengths: NDArray[np.intp],
) -> int:
    """Note where the sequences of a group begin and how long they are; how many there are."""
    n_lanes = min(8, len(order) - group)
    for lane in range(n_lanes):
        s = order[group + lane]
        begins[lane] = offsets[s]
        lengths[lane] = offsets[s + 1] - offsets[s]
    return n_lanes


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST, inline="always")
def _mix(matrix: FloatArray, lanes: FloatArray, mixed: FloatArray) -> None:
    """mixed[j] = Σ_i matrix[i, j] lanes[i], for all eight lanes."""
    n = len(matrix)
    for j in range(n):
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
        for i in range(n):
            w = matrix[i, j]
            s0 += w * lanes[i, 0]
            s1 += w * lanes[i, 1]
            s2 += w * lanes[i, 2]
            s3 += w * lanes[i, 3]
            s4 += w * lanes[i, 4]
            s5 += w * lanes[i, 5]
            s6 += w * lanes[i, 6]
            s7 += w * lanes[i, 7]
        mixed[j, 0], mixed[j, 1], mixed[j, 2], mixed[j, 3] = s0, s1, s2, s3
        mixed[j, 4], mixed[j, 5], mixed[j, 6], mixed[j, 7] = s4, s5, s6, s7


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _mix_best(matrix: FloatArray, lanes: FloatArray, mixed: FloatArray) -> None:
    """mixed[j] = max_i (matrix[i, j] + lanes[i]), for all eight lanes."""
    n = len(matrix)
    for j in range(n):
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = -np.inf
        for i in range(n):
            w = matrix[i, j]
            c0, c1, c2, c3 = lanes[i, 0] + w, lanes[i, 1] + w, lanes[i, 2] + w, lanes[i, 3] + w
            c4, c5, c6, c7 = lanes[i, 4] + w, lanes[i, 5] + w, lanes[i, 6] + w, lanes[i, 7] + w
            s0 = c0 if c0 > s0 else s0
            s1 = c1 if c1 > s1 else s1
            s2 = c2 if c2 > s2 else s2
            s3 = c3 if c3 > s3 else s3
            s4 = c4 if c4 > s4 else s4
            s5 = c5 if c5 > s5 else s5
            s6 = c6 if c6 > s6 else s6
            s7 = c7 if c7 > s7 else s7
        mixed[j, 0], mixed[j, 1], mixed[j, 2], mixed[j, 3] = s0, s1, s2, s3
        mixed[j, 4], mixed[j, 5], mixed[j, 6], mixed[j, 7] = s4, s5, s6, s7


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def forward_lanes(
    b: FloatArray,
    offsets: NDArray[np.intp],
    order: NDArray[np.intp],
    transitions: FloatArray,
    checked: bool,
    alpha: FloatArray,
    scale: FloatArray,
    lost: NDArray[np.bool_],
) -> None:
    """As ``messages.forward_scaled``; ``order`` (n,) has the longest sequences first."""
    n_states = b.shape[1]
    begins, lengths = np.zeros(8, dtype=np.intp), np.zeros(8, dtype=np.intp)
    here, flow, now = np.empty((n_states, 8)), np.empty((n_states, 8)), np.ones((n_states, 8))
    total, inverse, least = np.empty(8), np.empty(8), np.empty(8)
    lost[:] = False
    for group in range(0, len(order), 8):
        n_lanes = _take_lanes(order, group, offsets, begins, lengths)
        now[:] = 1.0
        for t in range(lengths[0]):
            while lengths[n_lanes - 1] <= t:
                n_lanes -= 1
            for lane in range(n_lanes):
                place = begins[lane] + t
                for j in range(n_states):
                    now[j, lane] = b[place, j]
            if t > 0:
                _mix(transitions, here, flow)
            else:
                flow[:] = 1.0
            total[:] = 0.0
            for j in range(n_states):
                for lane in range(8):
                    here[j, lane] = now[j, lane] * flow[j, lane]
                    total[lane] += here[j, lane]
            if checked:
                least[:] = np.inf
                for j in range(n_states):
                    for lane in range(8):
                        positive = here[j, lane] if here[j, lane] > 0.0 else np.inf
                        least[lane] = positive if positive < least[lane] else least[lane]
                for lane in range(n_lanes):
                    enough = least[lane] > LEAST_WEIGHT * total[lane]
                    if not (total[lane] > LEAST_WEIGHT and enough):
                        lost[order[group + lane]] = True
                    for j in range(n_states):
                        if not flow[j, lane] > 0.0:
                            b[begins[lane] + t, j] = 0.0
            for lane in range(8):
                inverse[lane] = 1.0 / total[lane]
            for j in range(n_states):
                for lane in range(8):
                    here[j, lane] *= inverse[lane]
            for lane in range(n_lanes):
                place = begins[lane] + t
                scale[place] = total[lane]
                for j in range(n_states):
                    alpha[place, j] = here[j, lane]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def backward_lanes(
    alpha: FloatArray,
    b: FloatArray,
    scale: FloatArray,
    transposed: FloatArray,
    offsets: NDArray[np.intp],
    order: NDArray[np.intp],
    weights: FloatArray,
    skipped: NDArray[np.bool_],
    posterior: FloatArray,
) -> None:
    """As ``messages.backward_scaled``; ``order`` (n,) has the longest sequences first."""
    n_states = b.shape[1]
    begins, lengths = np.zeros(8, dtype=np.intp), np.zeros(8, dtype=np.intp)
    beta, ratio = np.ones((n_states, 8)), np.zeros((n_states, 8))
    weight = np.zeros(8)
    for group in range(0, len(order), 8):
        every = _take_lanes(order, group, offsets, begins, lengths)
        for lane in range(every):
            weight[lane] = weights[order[group + lane]]
        n_lanes = 0
        for t in range(lengths[0] - 1, -1, -1):
            while n_lanes < every and lengths[n_lanes] > t:
                for j in range(n_states):
                    beta[j, n_lanes] = 1.0
                n_lanes += 1
            for lane in range(n_lanes):
                place = begins[lane] + t
                inverse = 1.0 / scale[place]
                for j in range(n_states):
                    posterior[place, j] = weight[lane] * (alpha[place, j] * beta[j, lane])
                    value = b[place, j] * beta[j, lane] * inverse
                    ratio[j, lane] = value
                    b[place, j] = weight[lane] * value
            if t > 0:
                _mix(transposed, ratio, beta)
    for s in order:
        if skipped[s]:
            b[offsets[s] : offsets[s + 1]] = 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def best_lanes(
    log_b: FloatArray,
    offsets: NDArray[np.intp],
    order: NDArray[np.intp],
    log_start: FloatArray,
    log_transitions: FloatArray,
    log_scale: FloatArray,
) -> None:
    """As ``messages.forward_best``; ``order`` (n,) has the longest sequences first."""
    n_states = log_b.shape[1]
    begins, lengths = np.zeros(8, dtype=np.intp), np.zeros(8, dtype=np.intp)
    here, flow, now = np.empty((n_states, 8)), np.empty((n_states, 8)), np.zeros((n_states, 8))
    largest = np.empty(8)
    for group in range(0, len(order), 8):
        n_lanes = _take_lanes(order, group, offsets, begins, lengths)
        now[:] = 0.0
        for t in range(lengths[0]):
            while lengths[n_lanes - 1] <= t:
                n_lanes -= 1
            for lane in range(n_lanes):
                place = begins[lane] + t
                for j in range(n_states):
                    now[j, lane] = log_b[place, j]
            if t > 0:
                _mix_best(log_transitions, here, flow)
            else:
                flow[:] = 0.0
            largest[:] = -np.inf
            for j in range(n_states):
                for lane in range(8):
                    value = now[j, lane] + flow[j, lane]
                    value = value if flow[j, lane] > -np.inf else -np.inf
                    here[j, lane] = value
                    largest[lane] = value if value > largest[lane] else largest[lane]
            for j in range(n_states):
                for lane in range(8):
                    here[j, lane] -= largest[lane]
            for lane in range(n_lanes):
                place = begins[lane] + t
                log_scale[place] = largest[lane]
                if not np.isfinite(largest[lane]):
                    # An impossible step is passed over; an infinite density takes all.
                    before = log_start if t == 0 else flow[:, lane].copy()
                    for j in range(n_states):
                        if largest[lane] == np.inf:
                            here[j, lane] = 0.0 if now[j, lane] == np.inf else -np.inf
                        else:
                            here[j, lane] = before[j] - before.max()
                for j in range(n_states):
                    log_b[place, j] = here[j, lane]
