"""The compiled recursions over chains against plain ones in logarithms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp

from fabula.kernels.chains.messages import best_paths, shift_frames, sums_by_sequence
from fabula.kernels.chains.sampling import draw_chains
from fabula.structures.chains import messages as chain_messages
from fabula.structures.chains.messages import Chain, best_messages, filter_steps, smooth

OFFSETS = np.concatenate([[0], np.cumsum([7, 1, 0, 40, 3, 12, 12, 5, 2, 30, 9])])


def log(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(values)


def _chain(n_states: int, kind: str, rng: np.random.Generator) -> Chain:
    transitions = rng.dirichlet(np.ones(n_states), size=n_states)
    start = rng.dirichlet(np.ones(n_states))
    if kind == "forbidden":
        transitions[rng.random(transitions.shape) < 0.4] = 0.0
        transitions += np.eye(n_states)
    elif kind == "left to right":
        transitions = np.triu(np.tril(transitions, 1)) + 0.1 * np.eye(n_states)
        start = np.eye(n_states)[0]
    transitions /= transitions.sum(axis=1, keepdims=True)
    return Chain(log(start), log(transitions))


def _reference(
    chain: Chain, log_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Filtered and smoothed log probabilities, log densities of steps, expected transitions."""
    n, k = log_b.shape
    with np.errstate(invalid="ignore"):
        alpha, beta = np.empty((n, k)), np.zeros((n, k))
        for t in range(n):
            before = chain.log_start
            if t:
                before = logsumexp(alpha[t - 1][:, None] + chain.log_transitions, axis=0)
            alpha[t] = before + log_b[t]
        for t in range(n - 2, -1, -1):
            beta[t] = logsumexp(chain.log_transitions + log_b[t + 1] + beta[t + 1], axis=1)
        totals = logsumexp(alpha, axis=1)
        counts = np.zeros((k, k))
        for t in range(n - 1):
            joint = alpha[t][:, None] + chain.log_transitions + log_b[t + 1] + beta[t + 1]
            counts += np.exp(joint - totals[-1])
    steps = np.diff(totals, prepend=0.0)
    return alpha - totals[:, None], alpha + beta - totals[-1], steps, counts


def _frames(chain: Chain, log_b: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    return chain_messages.log_frames(chain, log_b.copy(), offsets, None, False)


CASES = [
    pytest.param(kind, n_states, spread, id=f"{kind}, {n_states} states, spread {spread}")
    for kind, n_states, spread in itertools.product(
        ["any", "forbidden", "left to right"], [1, 2, 5, 9, 12], [1.0, 60.0, 2000.0]
    )
]


@pytest.mark.parametrize(("kind", "n_states", "spread"), CASES)
def test_recursions_agree_with_logarithms(kind: str, n_states: int, spread: float) -> None:
    """Spread: how many nats the log densities of a step differ by between states."""
    rng = np.random.default_rng(n_states)
    chain = _chain(n_states, kind, rng)
    log_b = spread * rng.normal(size=(OFFSETS[-1], n_states))
    weights = rng.random(len(OFFSETS) - 1)
    filtered = filter_steps(chain, _frames(chain, log_b, OFFSETS), OFFSETS)
    log_evidence = filtered.log_evidence
    alpha, log_scale = filtered.alpha.copy(), filtered.log_scale.copy()
    smoothed = smooth(chain, filtered, weights)
    best, scales = best_messages(chain, _frames(chain, log_b, OFFSETS), OFFSETS)
    counts = np.zeros((n_states, n_states))
    for s, (low, high) in enumerate(itertools.pairwise(OFFSETS)):
        if low == high:
            assert log_evidence[s] == 0.0
            continue
        expected = _reference(chain, log_b[low:high])
        size = 1e-12 * spread * (high - low)
        np.testing.assert_allclose(alpha[low:high], np.exp(expected[0]), atol=1e-11 + size)
        np.testing.assert_allclose(
            smoothed.posterior[low:high], weights[s] * np.exp(expected[1]), atol=1e-11 + size
        )
        np.testing.assert_allclose(log_scale[low:high], expected[2], rtol=1e-10, atol=10 * size)
        assert log_evidence[s] == pytest.approx(expected[2].sum(), rel=1e-12)
        counts += weights[s] * expected[3]
    np.testing.assert_allclose(smoothed.transitions, counts, atol=1e-9 + 1e-10 * spread)
    _check_best(chain, log_b, best, scales)


def _check_best(chain: Chain, log_b: np.ndarray, best: np.ndarray, scales: np.ndarray) -> None:
    states = np.empty(len(log_b), dtype=np.intp)
    best_paths(best, OFFSETS, chain.log_transposed, -1, states)
    for low, high in itertools.pairwise(OFFSETS):
        if low == high:
            continue
        score = chain.log_start + log_b[low]
        for t in range(low + 1, high):
            score = (score[:, None] + chain.log_transitions).max(axis=0) + log_b[t]
        assert scales[low:high].sum() == pytest.approx(score.max(), rel=1e-12)
        path = states[low:high]
        told = chain.log_start[path[0]] + log_b[np.arange(low, high), path].sum()
        told += chain.log_transitions[path[:-1], path[1:]].sum()
        assert told == pytest.approx(score.max(), rel=1e-12)


@pytest.mark.parametrize("n_states", [3, 10])
@pytest.mark.parametrize("kind", ["any", "left to right"])
def test_sequences_side_by_side_are_as_alone(
    kind: str, n_states: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with eight lanes, one by one, and in stretches that a message connects."""
    from fabula.kernels.chains import lanes as chain_lanes

    rng = np.random.default_rng(0)
    chain = _chain(n_states, kind, rng)
    log_b = 3.0 * rng.normal(size=(OFFSETS[-1], n_states))
    log_b[[9, 50]] = -np.inf
    log_b[90, :-1] = log_b[100, 1:] = -np.inf
    found = []
    for most in (0, 100):
        monkeypatch.setattr(chain_lanes, "MOST_STATES", most)
        filtered = filter_steps(chain, _frames(chain, log_b, OFFSETS), OFFSETS)
        told = filtered.log_evidence
        smoothed = smooth(chain, filtered, None)
        best = best_messages(chain, _frames(chain, log_b, OFFSETS), OFFSETS)
        found.append((told, smoothed.posterior, smoothed.transitions, *best))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    assert np.isneginf(found[0][0]).sum() == (2 if kind == "any" else 3)


def test_frames_are_relative_to_their_largest() -> None:
    frames = np.array(
        [[1.0, -3.0], [-2000.0, 0.5], [-np.inf, -np.inf], [np.inf, 3.0], [-np.inf, 7]]
    )
    shift = np.empty(5)
    shift_frames(frames, shift)
    np.testing.assert_array_equal(shift, [1.0, 0.5, -np.inf, np.inf, 7.0])
    expected = [[0.0, -4.0], [-690.0, 0.0], [0.0, 0.0], [0.0, -np.inf], [-np.inf, 0.0]]
    np.testing.assert_array_equal(frames, expected)


def test_sums_hold_infinities() -> None:
    values = np.array([1.0, 2.0, -np.inf, np.inf, np.inf])
    sums = np.empty(4)
    sums_by_sequence(values, np.array([0, 2, 2, 4, 5]), sums)
    np.testing.assert_array_equal(sums, [3.0, 0.0, -np.inf, np.inf])


def test_no_draw_lands_where_nothing_is() -> None:
    transitions = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    uniforms = np.concatenate([[0.0, 1.0 - 1e-16], np.random.default_rng(0).random(998)])
    states = np.empty(1000, dtype=np.intp)
    draw_chains(np.array([[0.0, 1.0, 0.0]]), np.array([0, 1000]), transitions, uniforms, states)
    assert states[0] == 1
    assert np.all(transitions[states[:-1], states[1:]] > 0)
