"""First stories for EM over hidden Markov chains."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fabula.core.blocks import SequenceBlocks, Sequences
from fabula.core.errors import UsageError
from fabula.families import Categorical, NormalDiagonal
from fabula.families.mixed import Mixed
from fabula.learning import chain_starts
from fabula.learning.chain_starts import CHAIN_START_NAMES, start_story
from fabula.learning.em import expectation_maximisation
from fabula.structures.chains.hidden_markov import HiddenMarkov, HiddenMarkovPrior

TRANSITIONS = np.array([[0.9, 0.1, 0.0], [0.0, 0.8, 0.2], [0.3, 0.0, 0.7]])
ALLOWED = TRANSITIONS > 0
MEANS = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])


def _truth() -> HiddenMarkov:
    with np.errstate(divide="ignore"):
        return HiddenMarkov(
            np.log([1 / 3] * 3), np.log(TRANSITIONS), NormalDiagonal(MEANS, np.ones((3, 2)))
        )


def _pooled(x: Sequences) -> NormalDiagonal:
    cells = x.steps
    return NormalDiagonal(np.nanmean(cells, axis=0)[None], np.nanvar(cells, axis=0)[None])


def _matched(means: np.ndarray) -> float:
    """Largest distance from the true means under the best matching of states."""
    return min(
        float(np.abs(means[list(order)] - MEANS).max())
        for order in itertools.permutations(range(3))
    )


@pytest.mark.parametrize("how", CHAIN_START_NAMES)
def test_every_start_is_a_story_that_em_can_climb_from(how: str) -> None:
    x, _ = _truth().sample(np.array([100, 0, 1, 80]), np.random.default_rng(0))
    x.steps[5] = np.nan
    prior = HiddenMarkovPrior(None, np.ones((3, 3)), None)
    rng = np.random.default_rng(1)
    story = start_story(_pooled(x), x, 3, how, ALLOWED, prior, rng)
    assert np.array_equal(story.allowed, ALLOWED)
    assert np.exp(story.log_transitions)[ALLOWED].min() > 1e-3
    _, report = expectation_maximisation(story, SequenceBlocks(x), prior=prior, max_iter=20)
    assert np.diff(report.trace).min() > -1e-12


@pytest.mark.parametrize("how", ["kmeans", "k-means++"])
def test_clusters_are_found(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_starts, "_STEPS_TO_START", 2000)
    monkeypatch.setattr(chain_starts, "_STEPS_IN_PIECE", 100)
    x, _ = _truth().sample(np.array([3000, 5, 4000]), np.random.default_rng(0))
    story = start_story(
        _pooled(x), x, 3, how, np.ones((3, 3), dtype=bool), None, np.random.default_rng(0)
    )
    if how == "kmeans":
        assert _matched(story.emission.means) < 0.3
        assert np.sort(np.diagonal(np.exp(story.log_transitions)))[0] > 0.55
    assert story.n_states == 3


def test_segments_cut_every_sequence_alike() -> None:
    lengths = np.array([9, 6, 2])
    cells = np.concatenate([np.repeat([0.0, 1.0, 2.0], n // 3) for n in (9, 6)] + [[0.0, 1.0]])
    x = Sequences(cells[:, None], np.concatenate([[0], np.cumsum(lengths)]))
    bank = NormalDiagonal(np.zeros((1, 1)), np.ones((1, 1)))
    allowed = np.triu(np.tril(np.ones((3, 3)), 1)).astype(bool)
    first = np.array([True, False, False])
    story = start_story(
        bank, x, 3, "segments", allowed, None, np.random.default_rng(0), allowed_start=first
    )
    np.testing.assert_allclose(story.emission.means[:, 0], [0.0, 1.0, 2.0], atol=1e-12)
    np.testing.assert_array_equal(np.exp(story.log_start), [1.0, 0.0, 0.0])
    # Stays 2 + 1, moves 1 + 1 + 1, and one of each for what may come.
    np.testing.assert_allclose(np.exp(story.log_transitions[0]), [4 / 8, 4 / 8, 0.0])


def test_known_states_are_taken_as_they_are() -> None:
    truth = _truth()
    x, states = truth.sample(np.array([400]), np.random.default_rng(0))
    x = Sequences(x.steps, x.offsets, states)
    story = start_story(_pooled(x), x, 3, "random", ALLOWED, None, np.random.default_rng(0))
    np.testing.assert_allclose(story.emission.means, MEANS, atol=0.3)


def test_mixtures_begin_with_different_components() -> None:
    rng = np.random.default_rng(0)
    state = np.repeat([0, 1, 0, 1], 100)
    form = rng.integers(2, size=400)
    cells = np.array([[-4.0, 4.0], [20.0, 30.0]])[state, form] + rng.normal(size=400)
    x = Sequences(cells[:, None], np.array([0, 400]))
    bank = Mixed(
        np.log([[0.5, 0.5]]), NormalDiagonal(np.full((2, 1), 12.0), np.full((2, 1), 190.0))
    )
    story = start_story(bank, x, 2, "kmeans", np.ones((2, 2), dtype=bool), None, rng)
    fit, _ = expectation_maximisation(story, SequenceBlocks(x), max_iter=50, tol=1e-8)
    found = np.sort(fit.emission.family.means[:, 0])
    np.testing.assert_allclose(found, [-4.0, 4.0, 20.0, 30.0], atol=0.6)


@pytest.mark.parametrize("how", CHAIN_START_NAMES)
def test_symbols_and_very_few_steps(how: str) -> None:
    bank = Categorical.uniform(1, [2])
    x = Sequences(np.array([[0.0], [1.0]]), np.array([0, 1, 1, 2]))
    everything = np.ones((4, 4), dtype=bool)
    prior = HiddenMarkovPrior(None, None, bank.select([0] * 4).uniform_prior())
    story = start_story(bank, x, 4, how, everything, prior, np.random.default_rng(0))
    assert np.isfinite(story.log_prob(x)).all()


def test_other_starts_are_refused() -> None:
    x, _ = _truth().sample(np.array([10]), np.random.default_rng(0))
    with pytest.raises(UsageError, match="segments"):
        start_story(_pooled(x), x, 3, "magic", ALLOWED, None, np.random.default_rng(0))  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["kmeans", "k-means++", "random"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_states_are_numbered_as_the_few_that_are_known(how: str, order: tuple[int, ...]) -> None:
    x, path = _truth().sample(np.array([300]), np.random.default_rng(0))
    relabelled = np.array(order)[path]
    known = np.full(300, -1)
    for state in range(3):
        known[np.flatnonzero(relabelled == state)[:4]] = state
    partly = Sequences(x.steps, x.offsets, known)
    bank = NormalDiagonal(np.zeros((1, 2)), np.full((1, 2), 9.0))
    everywhere = np.ones((3, 3), dtype=bool)
    start = start_story(bank, partly, 3, how, everywhere, None, np.random.default_rng(1))  # type: ignore[arg-type]
    found, _ = expectation_maximisation(start, SequenceBlocks(partly), tol=1e-6, max_iter=200)
    np.testing.assert_allclose(found.emission.means[list(order)], MEANS, atol=0.5)
