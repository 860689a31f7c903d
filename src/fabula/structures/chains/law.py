"""What follows from start and transitions alone: forecasts, draws, dwell times, the long run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray, Mask, Members
from fabula.structures.chains.messages import Chain

__all__ = ["draw_states", "dwell_times", "long_run_shares", "predict_states"]


def predict_states(chain: Chain, filtered: FloatArray, begun: Mask, horizon: int) -> FloatArray:
    """Probabilities (n, horizon, S) of the states to come.

    Parameters
    ----------
    chain : Chain
    filtered : (n, S) array
        Probabilities of the state at the last step.
    begun : (n,) mask
        Sequences that have a last step; the others begin with the next one.
    horizon : int
        How many steps ahead, ≥ 0.
    """
    out = np.empty((len(filtered), horizon, chain.n_states))
    now = filtered
    for h in range(horizon):
        after = chain.predict(now)
        if h == 0:
            after = np.where(begun[:, None], after, chain.start)
        out[:, h] = now = after
    return out


def draw_states(
    chain: Chain, first: FloatArray, offsets: NDArray[np.intp], rng: np.random.Generator
) -> Members:
    """States (N,) of chains whose first states have the probabilities ``first`` (n, S)."""
    from fabula.kernels.chains.sampling import draw_chains

    states = np.empty(int(offsets[-1]), dtype=np.intp)
    uniforms = rng.random(len(states))
    draw_chains(np.ascontiguousarray(first), offsets, chain.transitions, uniforms, states)
    return states


def dwell_times(chain: Chain) -> FloatArray:
    """Expected length (S,) of a visit, 1 / (1 - a_ii), from the transitions that leave."""
    leaving = chain.transitions.copy()
    np.fill_diagonal(leaving, 0.0)
    totals = leaving.sum(axis=1)
    # Taken from what leaves, since 1 - a_ii loses its digits where visits are long.
    out = np.full(chain.n_states, np.inf)
    np.divide(1.0, totals, out=out, where=totals > 0)
    return out


def long_run_shares(chain: Chain) -> FloatArray:
    """Long-run share of time (S,) in each state, from the start of the chain.

    The chain ends up in one of its closed classes, each of which has one stationary distribution
    (Kemeny and Snell 1976, Finite Markov Chains, chapters 3 and 4).
    """
    from scipy.sparse.csgraph import connected_components

    a = chain.transitions
    n_classes, label = connected_components(a > 0, directed=True, connection="strong")
    leaves = (a > 0) & (label[:, None] != label)
    closed = [c for c in range(n_classes) if not leaves[label == c].any()]
    transient = ~np.isin(label, closed)
    # Expected visits to transient states, and through them into every other state.
    visits = np.linalg.solve(
        (np.eye(chain.n_states) - a)[np.ix_(transient, transient)].T, chain.start[transient]
    )
    entered = chain.start + visits @ a[transient]
    out = np.zeros(chain.n_states)
    for c in closed:
        mine = np.flatnonzero(label == c)
        out[mine] = entered[mine].sum() * _stationary(a[np.ix_(mine, mine)])
    return np.asarray(out / out.sum())


def _stationary(transitions: FloatArray) -> FloatArray:
    """Stationary distribution of an irreducible chain, without any subtraction.

    Source: Grassmann, Taksar and Heyman (1985), Oper. Res. 33:1107.
    """
    a = transitions.copy()
    n = len(a)
    for k in range(n - 1, 0, -1):
        a[:k, k] /= a[k, :k].sum()
        a[:k, :k] += np.outer(a[:k, k], a[k, :k])
    shares = np.ones(n)
    for k in range(1, n):
        shares[k] = shares[:k] @ a[:k, k]
    return np.asarray(shares / shares.sum())
