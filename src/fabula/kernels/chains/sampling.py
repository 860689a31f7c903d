"""Draws of hidden Markov chains: paths given what was seen, and chains from their law."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray

__all__ = ["draw_chains", "draw_paths", "draw_paths_careful"]


@njit(nogil=True, cache=True, error_model="numpy")
def _choose(weights: FloatArray, uniform: float) -> int:
    """The place at which the running sum passes a uniform share of the total."""
    total = 0.0
    for i in range(len(weights)):
        total += weights[i]
    left = uniform * total
    chosen = 0
    for i in range(len(weights)):
        if weights[i] > 0.0:
            chosen = i  # rounding may leave a little beyond the last possible state
            left -= weights[i]
            if left < 0.0:
                break
    return chosen


@njit(nogil=True, cache=True, error_model="numpy")
def draw_paths(
    alpha: FloatArray,
    offsets: NDArray[np.intp],
    transposed: FloatArray,
    uniforms: FloatArray,
    skipped: NDArray[np.bool_],
    following: int,
    states: NDArray[np.intp],
) -> None:
    """One path for each sequence from its posterior, drawn from the end to the beginning.

    Parameters
    ----------
    alpha : (N, S) array
        Probabilities of the states given the steps so far.
    offsets : (n + 1,) array
    transposed : (S, S) array
        Transitions, transposed.
    uniforms : (N,) array
        Uniform random numbers in [0, 1).
    skipped : (n,) mask
        Sequences to leave alone.
    following : int
        State of the last sequence after its last step here; -1 where it ends here.
    states : (N,) array, written to
    """
    weights = np.empty(alpha.shape[1])
    for s in range(len(offsets) - 1):
        if skipped[s]:
            continue
        state = following if s == len(offsets) - 2 else -1
        for t in range(offsets[s + 1] - 1, offsets[s] - 1, -1):
            if state < 0:
                weights[:] = alpha[t]
            else:
                for i in range(len(weights)):
                    weights[i] = alpha[t, i] * transposed[state, i]
            state = _choose(weights, uniforms[t])
            states[t] = state


@njit(nogil=True, cache=True, error_model="numpy")
def draw_paths_careful(
    log_alpha: FloatArray,
    offsets: NDArray[np.intp],
    which: NDArray[np.intp],
    log_transposed: FloatArray,
    uniforms: FloatArray,
    following: int,
    states: NDArray[np.intp],
) -> None:
    """As `draw_paths`, from logarithms, for the sequences ``which``."""
    weights = np.empty(log_alpha.shape[1])
    for s in which:
        state = following if s == len(offsets) - 2 else -1
        for t in range(offsets[s + 1] - 1, offsets[s] - 1, -1):
            weights[:] = log_alpha[t]
            if state >= 0:
                weights += log_transposed[state]
            largest = weights.max()
            for i in range(len(weights)):
                weights[i] = np.exp(weights[i] - largest)
            state = _choose(weights, uniforms[t])
            states[t] = state


@njit(nogil=True, cache=True, error_model="numpy")
def draw_chains(
    first: FloatArray,
    offsets: NDArray[np.intp],
    transitions: FloatArray,
    uniforms: FloatArray,
    states: NDArray[np.intp],
) -> None:
    """One chain for each sequence.

    Parameters
    ----------
    first : (n, S) array
        Probabilities of the state of the first step of each sequence.
    offsets : (n + 1,) array
    transitions : (S, S) array
    uniforms : (N,) array
        Uniform random numbers in [0, 1).
    states : (N,) array, written to
    """
    for s in range(len(offsets) - 1):
        for t in range(offsets[s], offsets[s + 1]):
            weights = first[s] if t == offsets[s] else transitions[states[t - 1]]
            states[t] = _choose(weights, uniforms[t])
