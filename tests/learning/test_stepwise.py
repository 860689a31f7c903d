"""Stepwise EM, on a tree and on a mixture."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.blocks import Block
from fabula.core.errors import DataError
from fabula.core.threads import use_threads
from fabula.families import (
    Bernoulli,
    Gamma,
    LogNormal,
    NormalDiagonal,
    Poisson,
    StudentTColumns,
)
from fabula.families.categorical import Categorical
from fabula.learning.stepwise import scaled, stepwise_expectation_maximisation
from fabula.learning.tree_starts import split_states, tree_from_rows
from fabula.structures.trees.latent_tree import LatentTree, LatentTreePrior


def _rows(n=3000, seed=0):
    """Binary columns of which neighbours agree, from a hidden chain."""
    rng = np.random.default_rng(seed)
    state = rng.integers(2, size=n)
    x = np.empty((n, 5))
    for j in range(5):
        state = np.where(rng.random(n) < 0.9, state, 1 - state)
        x[:, j] = np.where(rng.random(n) < 0.85, state, 1 - state)
    return x


def _start(x, n_states=4, seed=1):
    pooled = tuple(Bernoulli(np.array([[float(x[:, j].mean())]])) for j in range(5))
    return tree_from_rows(
        np.arange(-1, 4), np.arange(5), pooled, x, n_states, np.random.default_rng(seed)
    )


def _climb(story, x, **options):
    rows = story.rows_of(x, "float32")
    options = {"batch": 300, "max_passes": 5, **options}
    return stepwise_expectation_maximisation(story, rows, np.random.default_rng(2), **options)


def test_small_steps_climb_further_than_one_pass_of_em():
    x = _rows()
    start = _start(x)
    prior = LatentTreePrior(1.0)
    whole, _ = _climb(start, x, prior=prior, batch=len(x), max_passes=1)
    small, report = _climb(start, x, prior=prior, max_passes=1)
    assert small.log_prob(x).mean() > whole.log_prob(x).mean() + 0.01
    assert report.trace[0] == pytest.approx(start.log_prob(x).mean(), abs=0.5)


def test_one_step_over_all_rows_is_a_step_of_em():
    x = _rows(500)
    start = _start(x)
    found, _ = _climb(start, x, batch=500, max_passes=1)
    expected = start.maximise(start.statistics(Block(x)))
    np.testing.assert_allclose(found.transitions, expected.transitions, atol=1e-5)


def test_the_best_story_on_held_out_rows_is_kept():
    x = _rows()
    scores = iter([1.0, 3.0, 2.0, 1.0, 5.0])
    seen = []

    def held_out(story):
        seen.append(story)
        return next(scores)

    story, report = _climb(_start(x), x, held_out=held_out, patience=2)
    assert report.reason == "held-out rows" and report.best_pass == 1
    assert story is seen[1] and report.score == 3.0
    assert len(report.held_out) == 4


def test_the_climb_ends_in_time():
    x = _rows()
    _, report = _climb(_start(x), x, max_passes=50, max_seconds=0.0)
    assert report.reason == "time" and len(report.trace) == 1


def test_threads_change_nothing():
    x = _rows()
    found = []
    for threads in (1, 2):
        with use_threads(threads):
            found.append(_climb(_start(x), x, max_passes=2, piece=100)[0])
    np.testing.assert_array_equal(found[0].transitions, found[1].transitions)


def test_rows_of_no_weight_are_not_there():
    x = _rows(600)
    weights = np.ones(600)
    weights[300:] = 0.0
    start = _start(x)
    one, _ = _climb(start, x, weights=weights, batch=600, max_passes=1)
    two, _ = _climb(start, x[:300], batch=300, max_passes=1)
    np.testing.assert_allclose(one.transitions, two.transitions, atol=1e-5)
    with pytest.raises(DataError, match="weight 0"):
        _climb(start, x, weights=np.zeros(600))


BANKS = [
    Bernoulli(np.array([[0.3], [0.6]])),
    Poisson(np.array([[2.0], [5.0]])),
    NormalDiagonal(np.array([[0.0], [100.0]]), np.array([[1.0], [2.0]])),
    Gamma(np.array([[2.0], [3.0]]), np.array([[1.0], [0.5]])),
    LogNormal(np.array([[0.0], [1.0]]), np.array([[0.5], [0.5]])),
    StudentTColumns(np.array([[0.0], [9.0]]), np.ones((2, 1)), np.full((2, 1), 5.0)),
    Categorical.uniform(2, [3]),
]


@pytest.mark.parametrize("bank", BANKS, ids=lambda bank: type(bank).__name__)
def test_scaled_statistics_are_those_of_scaled_weights(bank):
    rng = np.random.default_rng(3)
    x = bank.sample(rng.integers(2, size=50), rng)
    weights = rng.random((50, 2))
    one = scaled(bank.statistics(x, weights), 2.5)
    two = bank.statistics(x, 2.5 * weights)
    np.testing.assert_allclose(
        bank.maximise(one).log_prob(x), bank.maximise(two).log_prob(x), atol=1e-9
    )
    both = bank.maximise(one + bank.statistics(x, weights))
    np.testing.assert_allclose(both.log_prob(x), bank.maximise(two).log_prob(x), atol=1e-9)


def test_split_states_say_almost_the_same_and_then_more():
    x = _rows()
    story, _ = _climb(_start(x, 1), x)
    twice = split_states(story, 2, np.random.default_rng(4))
    assert twice.log_prob(x).mean() > story.log_prob(x).mean() - 0.1
    climbed, _ = _climb(twice, x, max_passes=10)
    assert climbed.log_prob(x).mean() > story.log_prob(x).mean() + 0.1


@pytest.mark.parametrize("number", [4, 5, 7, 8])
def test_any_number_of_states_can_be_split(number):
    story = split_states(_start(_rows(200)), number, np.random.default_rng(5))
    assert isinstance(story, LatentTree) and story.n_states == number
    np.testing.assert_allclose(story.transitions.sum(axis=2), 1.0, atol=1e-12)


def test_states_begin_at_rows_of_the_data():
    x = _rows(300)
    x[:, 2] = np.nan
    story = _start(np.where(np.isnan(x), 0.5, x))
    pooled = tuple(Bernoulli(np.full((1, 1), 0.4)) for _ in range(5))
    story = tree_from_rows(
        np.arange(-1, 4), np.arange(5), pooled, x, 6, np.random.default_rng(6), sharpness=1.0
    )
    found = story.emissions[0].probabilities[:, 0]
    assert set(np.round(found, 9)) <= {0.2, 0.7}  # (0 or 1, and 0.4) / 2
    np.testing.assert_allclose(story.emissions[2].probabilities, 0.4, atol=1e-12)
