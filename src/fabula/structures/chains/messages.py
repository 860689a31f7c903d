"""Messages along hidden Markov chains: from log densities of steps to posteriors of states.

Everything here works on one *stretch* of steps at a time: several whole sequences, or a part of a
long one that goes on from the stretch before. What passes from stretch to stretch is a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import Codes, FloatArray, Members

__all__ = ["Chain", "Filtered", "Smoothed", "best_messages", "filter_steps", "log_frames", "smooth"]

# With every transition above this, no weight that the scaled recursions lose can matter later.
_LEAST_DENSE = 1e-50

# With fewer sequences than this, working on them side by side leaves most lanes idle.
_FEWEST_LANES = 3

# Filtered probabilities whose logarithms lie above this fit into doubles.
_LOG_FITS = -640.0


@dataclass(frozen=True)
class Chain:
    """Start and transitions in every form that the recursions want."""

    log_start: FloatArray  # (S,)
    log_transitions: FloatArray  # (S, S)

    @property
    def n_states(self) -> int:
        """S."""
        return len(self.log_start)

    @cached_property
    def start(self) -> FloatArray:
        """(S,)."""
        return np.asarray(np.exp(self.log_start))

    @cached_property
    def transitions(self) -> FloatArray:
        """(S, S), each row along memory."""
        return np.ascontiguousarray(np.exp(self.log_transitions), dtype=np.float64)

    @cached_property
    def transposed(self) -> FloatArray:
        """The transpose, each of its rows along memory."""
        return np.ascontiguousarray(self.transitions.T)

    @cached_property
    def log_transposed(self) -> FloatArray:
        """Logarithm of the transpose."""
        return np.ascontiguousarray(self.log_transitions.T, dtype=np.float64)

    @cached_property
    def is_dense(self) -> bool:
        """Whether every state may follow every other, with a probability that is not minute."""
        return bool(self.transitions.min() >= _LEAST_DENSE)

    @cached_property
    def is_free_to_start(self) -> bool:
        """Whether every state may come first."""
        return bool(self.log_start.min() > -np.inf)

    def predict(self, before: FloatArray) -> FloatArray:
        """Probabilities of the next states given those of these, (…, S)."""
        return np.asarray(before @ self.transitions)


@dataclass(frozen=True)
class Filtered:
    """What the forward pass over a stretch leaves."""

    offsets: NDArray[np.intp]  # (n + 1,)
    alpha: FloatArray  # (N, S) probabilities of the states given the steps so far
    b: FloatArray  # (N, S) relative densities, which `smooth` writes over
    scale: FloatArray  # (N,) what alpha was divided by
    log_scale: FloatArray  # (N,) log density of each step given those before
    careful: NDArray[np.bool_]  # (n,) sequences of which log_alpha speaks, and b does not
    log_alpha: FloatArray | None  # (N, S), None where there are none

    @property
    def log_evidence(self) -> FloatArray:
        """Log density of each sequence, (n,)."""
        from fabula.kernels.chains.messages import sums_by_sequence

        sums: FloatArray = np.empty(len(self.offsets) - 1)
        sums_by_sequence(self.log_scale, self.offsets, sums)
        return sums

    def message(self) -> FloatArray:
        """Log probabilities (S,) of the state after the last step of the stretch."""
        if self.log_alpha is not None and self.careful[-1]:
            return np.array(self.log_alpha[-1])
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.alpha[-1]))


@dataclass(frozen=True)
class Smoothed:
    """What the backward pass over a stretch leaves."""

    posterior: FloatArray  # (N, S) probabilities of the states given all steps, times weights
    transitions: FloatArray  # (S, S) expected transitions, times weights


def log_frames(
    chain: Chain,
    log_b: FloatArray,
    offsets: NDArray[np.intp],
    states: Codes | None,
    carried: bool,
) -> FloatArray:
    """Log densities ready for a forward pass: known states clamped, the start in first steps.

    Rows along memory, in double precision; ``log_b`` may be written over.
    """
    frames = np.require(log_b, np.float64, ["C", "W"])
    if states is not None:
        clamped = (states[:, None] >= 0) & (states[:, None] != np.arange(chain.n_states))
        frames[clamped] = -np.inf
    firsts = _first_steps(offsets, carried)
    began = frames[firsts]
    if not chain.is_free_to_start:
        began[:, chain.log_start == -np.inf] = -np.inf  # also where a density is infinite
    frames[firsts] = began + chain.log_start
    return frames


def _lanes(chain: Chain, offsets: NDArray[np.intp]) -> Members | None:
    """Sequences from the longest to the shortest, where they are best worked on side by side."""
    from fabula.kernels.chains.lanes import MOST_STATES

    if chain.n_states > MOST_STATES:
        return None
    lengths = offsets[1:] - offsets[:-1]
    if np.count_nonzero(lengths) < _FEWEST_LANES:
        return None
    return np.asarray(np.argsort(-lengths, kind="stable"), dtype=np.intp)


def _first_steps(offsets: NDArray[np.intp], carried: bool) -> Members:
    firsts = offsets[:-1][offsets[1:] > offsets[:-1]]
    return firsts[1:] if carried else firsts


def filter_steps(
    chain: Chain,
    frames: FloatArray,
    offsets: NDArray[np.intp],
    carry: FloatArray | None = None,
) -> Filtered:
    """The forward pass over a stretch.

    Parameters
    ----------
    chain : Chain
    frames : (N, S) array, written over
        What `log_frames` gave.
    offsets : (n + 1,) array
    carry : (S,) array, optional
        `Filtered.message` of the stretch before, of which the first sequence is the continuation.
    """
    from fabula.kernels.chains.careful import forward_careful
    from fabula.kernels.chains.lanes import forward_lanes
    from fabula.kernels.chains.messages import forward_scaled, shift_frames

    n_steps, n_states = frames.shape
    kept = None if chain.is_dense else frames.copy()
    shift, scale = np.empty(n_steps), np.ones(n_steps)
    shift_frames(frames, shift)
    carried = carry is not None
    if shift.min(initial=0.0) == -np.inf:
        firsts = _first_steps(offsets, carried)
        frames[firsts[shift[firsts] == -np.inf]] = chain.log_start
    np.exp(frames, out=frames)
    alpha = np.empty_like(frames)
    careful = np.zeros(len(offsets) - 1, dtype=np.bool_)
    before = np.zeros(n_states) if carry is None else np.exp(carry)
    lanes = _lanes(chain, offsets) if carry is None else None
    checked = kept is not None
    if lanes is None:
        forward_scaled(
            frames, offsets, chain.transitions, before, carried, checked, alpha, scale, careful
        )
    else:
        forward_lanes(frames, offsets, lanes, chain.transitions, checked, alpha, scale, careful)
    if kept is not None and carry is not None:
        minute = (carry < _LOG_FITS) & ~np.isneginf(carry)
        careful[0] = careful[0] or minute.any()
    if careful.any():
        scale[scale == 0.0] = 1.0  # what is written for lost sequences means nothing
    log_scale = np.log(scale)
    log_scale += shift
    if kept is None or not careful.any():
        return Filtered(offsets, alpha, frames, scale, log_scale, careful, None)
    which = np.flatnonzero(careful)
    forward_careful(
        kept,
        offsets,
        which,
        chain.log_start,
        chain.transitions,
        chain.log_transposed,
        before if carry is None else carry,
        carried,
        log_scale,
    )
    for s in which:
        part = slice(offsets[s], offsets[s + 1])
        np.exp(kept[part], out=alpha[part])
    return Filtered(offsets, alpha, frames, scale, log_scale, careful, kept)


def smooth(
    chain: Chain,
    filtered: Filtered,
    weights: FloatArray | None = None,
    following: FloatArray | None = None,
) -> Smoothed:
    """The backward pass over a stretch, which uses up what the forward pass left.

    Parameters
    ----------
    chain : Chain
    filtered : Filtered
    weights : (n,) array, optional
        How much each sequence counts.
    following : (S,) array, optional
        The posterior of the first step of the next stretch, where the last sequence goes on there.
    """
    from fabula.kernels.chains.careful import backward_careful
    from fabula.kernels.chains.lanes import backward_lanes
    from fabula.kernels.chains.messages import backward_scaled

    offsets, alpha = filtered.offsets, filtered.alpha
    if weights is None:
        weights = np.ones(len(offsets) - 1)
    posterior = np.empty_like(alpha)
    has_tail = following is not None
    after = np.zeros(chain.n_states) if following is None else following
    tail = after
    if has_tail:
        flow = chain.predict(alpha[-1])
        tail = np.divide(after, flow, out=np.zeros_like(flow), where=flow > 0)
    r, scale, careful = filtered.b, filtered.scale, filtered.careful
    given = alpha, r, scale, chain.transposed, offsets
    lanes = None if has_tail else _lanes(chain, offsets)
    if lanes is None:
        backward_scaled(*given, weights, careful, tail, has_tail, posterior)
    else:
        backward_lanes(*given, lanes, weights, careful, posterior)
    r[_first_steps(offsets, False)] = 0.0
    counts = alpha[:-1].T @ r[1:]
    if has_tail and not careful[-1]:
        counts += weights[-1] * np.outer(alpha[-1], tail)
    counts *= chain.transitions
    if filtered.log_alpha is not None:
        backward_careful(
            filtered.log_alpha,
            offsets,
            np.flatnonzero(careful),
            weights,
            chain.transitions,
            chain.log_transposed,
            after,
            has_tail,
            posterior,
            counts,
        )
    return Smoothed(posterior, counts)


def best_messages(
    chain: Chain,
    frames: FloatArray,
    offsets: NDArray[np.intp],
    carry: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Log probability of the best path to every state, relative (N, S), and what was taken off.

    ``frames`` is what `log_frames` gave, and is written over; ``carry`` (S,) is the last row of
    the stretch before.
    """
    from fabula.kernels.chains.lanes import best_lanes
    from fabula.kernels.chains.messages import forward_best

    log_scale = np.empty(len(frames))
    law = chain.log_start, chain.log_transitions
    lanes = _lanes(chain, offsets) if carry is None else None
    if lanes is not None:
        best_lanes(frames, offsets, lanes, *law, log_scale)
        return frames, log_scale
    before = np.zeros(chain.n_states) if carry is None else carry
    forward_best(frames, offsets, *law, before, carry is not None, log_scale)
    return frames, log_scale
