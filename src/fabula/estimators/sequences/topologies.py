"""Which transitions between states are possible, and what is believed of them beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError

__all__ = ["allowed_starts", "allowed_transitions", "read_pseudo_counts"]

_NAMES = ("ergodic", "left-right", "cyclic")


def allowed_transitions(topology: Any, n_states: int) -> NDArray[np.bool_]:
    """(S, S), True where state j may follow state i."""
    if isinstance(topology, str):
        if topology not in _NAMES:
            raise UsageError(
                f"topology must be one of {', '.join(_NAMES)} or an (S, S) array, not {topology!r}."
            )
        if topology == "ergodic":
            return np.ones((n_states, n_states), dtype=bool)
        same = np.eye(n_states, dtype=bool)
        following = np.roll(same, 1, axis=1)
        if topology == "left-right":
            following[-1, 0] = n_states == 1
        return np.asarray(same | following)
    mask = np.asarray(topology)
    if mask.shape != (n_states, n_states):
        raise UsageError(
            f"topology must be an array of shape ({n_states}, {n_states}), not {mask.shape}."
        )
    if mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
        raise UsageError("topology must be an array of True and False.")
    allowed = mask.astype(bool)
    dead = np.flatnonzero(~allowed.any(axis=1))
    if len(dead):
        raise UsageError(
            f"topology lets nothing follow state {dead[0]} (row {dead[0] + 1}, counting from 1): "
            "a last state follows itself."
        )
    return allowed


def allowed_starts(topology: Any, n_states: int) -> NDArray[np.bool_]:
    """(S,), True where a sequence may begin: in the first state of "left-right", else anywhere."""
    starts = np.ones(n_states, dtype=bool)
    if isinstance(topology, str) and topology == "left-right":
        starts[1:] = False
    return starts


def read_pseudo_counts(model: Any) -> tuple[FloatArray, FloatArray]:
    """Pseudo-counts of starts (S,) and of transitions (S, S)."""
    n = model.n_states
    allowed = allowed_transitions(model.topology, n)
    starts = allowed_starts(model.topology, n)
    start = _spread("start_prior", model.start_prior, starts[None])[0]
    transitions = _spread("transition_prior", model.transition_prior, allowed)
    return start, transitions + model.stickiness * (np.eye(n) * allowed)


def _spread(name: str, value: Any, allowed: NDArray[np.bool_]) -> FloatArray:
    """An amount spread over what is possible in each row, or the array that was given."""
    try:
        counts = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be a number or an array, not {value!r}.") from None
    if not (np.isfinite(counts) & (counts >= 0)).all():
        raise UsageError(f"{name} must be finite and not negative.")
    if counts.ndim == 0:
        return np.asarray(counts * allowed / allowed.sum(axis=1, keepdims=True))
    shape = allowed.shape if len(allowed) > 1 or counts.ndim == 2 else allowed.shape[1:]
    if counts.shape != shape:
        raise UsageError(f"{name} must be a number or an array of shape {shape}.")
    return np.asarray(counts.reshape(allowed.shape) * allowed)
