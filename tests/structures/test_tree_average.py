"""Averages of latent trees against sums over all trees and all joint states of their nodes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from fabula.core.errors import DataError, UsageError
from fabula.core.regions import Interval, OneOf
from fabula.families import Bernoulli, Categorical, Poisson
from fabula.families.bins import Bins
from fabula.persistence.codec import pack, unpack
from fabula.questions.impute import impute
from fabula.structures.trees.average import TreeAverage, trees_of
from fabula.structures.trees.classes import ColumnOfAverage, column_as_class
from fabula.structures.trees.latent_tree import LatentTree

SHARES = np.array([0.5, 0.2, 0.3])
LAYOUT = Bins.layout_from(np.random.default_rng(99).normal(size=(200, 1)), n_bins=5)


def tree(seed, parents, nodes, n_states):
    """A category, a count, yes or no, and bins."""
    rng = np.random.default_rng(seed)
    m = len(parents)
    levels = rng.dirichlet(np.ones(3), size=n_states) * (1 - 1e-6)
    bank = Bins.pooled(LAYOUT, n_states)
    return LatentTree(
        np.array(parents, dtype=np.intp),
        np.array(nodes, dtype=np.intp),
        rng.dirichlet(np.ones(n_states)),
        rng.dirichlet(np.full(n_states, 0.6), size=(m - 1, n_states)),
        (
            Categorical(np.concatenate([levels, np.full((n_states, 1), 1e-6)], axis=1), (3,)),
            Poisson(rng.uniform(0.5, 6.0, size=(n_states, 1))),
            Bernoulli(rng.uniform(0.1, 0.9, size=(n_states, 1))),
            Bins(rng.dirichlet(np.ones(bank.n_cells[0]), size=n_states), LAYOUT),
        ),
    )


@pytest.fixture(scope="module")
def average():
    """Trees of other shapes and numbers of states."""
    return TreeAverage(
        (
            tree(0, (-1, 0, 0, 1), (0, 1, 2, 3), 3),
            tree(1, (-1, 0, 1), (2, 0, 1, 1), 2),
            tree(2, (-1,), (0, 0, 0, 0), 4),
        ),
        np.log(SHARES),
    )


def rows_with_gaps(average, n, seed=1, share=0.3):
    rng = np.random.default_rng(seed)
    x, _ = average.sample(n, rng)
    x[rng.random(x.shape) < share] = np.nan
    x[0] = average.sample(1, rng)[0][0]
    x[1] = np.nan
    return x


def enumerated(average, x):
    """p(x, tree) (n, M) by adding up all joint states of all nodes of every tree."""
    out = np.zeros((len(x), len(average.trees)))
    for t, one in enumerate(average.trees):
        for states in itertools.product(range(one.n_states), repeat=one.n_nodes):
            p = np.exp(average.log_weights[t]) * one.root[states[0]]
            for i in range(1, one.n_nodes):
                p *= one.transitions[i - 1][states[one.parents[i]], states[i]]
            told = np.full(len(x), p)
            for j, bank in enumerate(one.emissions):
                seen = ~np.isnan(x[:, j])
                cells = bank.log_prob(x[seen][:, [j]])[:, states[one.nodes[j]]]
                told[seen] *= np.exp(cells)
            out[:, t] += told
    return out


def test_log_density_and_posterior_are_those_of_enumeration(average):
    x = rows_with_gaps(average, 40)
    joint = enumerated(average, x)
    log_prob, posterior = average.posterior(x)
    np.testing.assert_allclose(log_prob, np.log(joint.sum(axis=1)), atol=1e-11)
    np.testing.assert_allclose(posterior, joint / joint.sum(axis=1, keepdims=True), atol=1e-11)
    assert average.log_prob(x)[1] == pytest.approx(0.0, abs=1e-13)
    np.testing.assert_allclose(posterior[1], SHARES, atol=1e-13)


def test_an_average_of_one_tree_twice_is_the_tree(average):
    one = average.trees[0]
    twice = TreeAverage.even([one, one])
    x = rows_with_gaps(average, 20)
    np.testing.assert_allclose(twice.log_prob(x), one.log_prob(x), atol=1e-13)
    np.testing.assert_allclose(twice.complete(x), one.complete(x), atol=1e-12)
    for how in ("mean", "mode"):
        levels = {0: 3, 2: 2}
        np.testing.assert_allclose(
            impute(twice, x, how, levels=levels), impute(one, x, how, levels=levels), atol=1e-9
        )
    given = {1: Interval(1, 3)}
    assert twice.condition(given)[1] == pytest.approx(one.condition(given)[1], abs=1e-13)
    assert trees_of(one) == (one,) and trees_of(twice) == (one, one)


@pytest.mark.parametrize("given", [[0], [3, 1], [0, 1, 2, 3], [2, 3]])
def test_condition_times_marginal_is_joint(average, given):
    x, _ = average.sample(5, np.random.default_rng(2))
    rest = [j for j in range(4) if j not in given]
    for row in x:
        others, told = average.condition({j: float(row[j]) for j in given})
        holes = np.full((1, 4), np.nan)
        holes[0, given] = row[given]
        assert told == pytest.approx(float(np.log(enumerated(average, holes).sum())), abs=1e-11)
        margin = average.marginal(given)
        assert margin.log_prob(row[None, given])[0] == pytest.approx(told, abs=1e-11)
        assert (others is None) == (not rest)
        conditional = 0.0 if others is None else others.log_prob(row[None, rest])[0]
        assert told + conditional == pytest.approx(average.log_prob(row[None])[0], abs=1e-11)


def test_conditions_on_regions_are_sums_over_the_cells(average):
    """Categories, counts and yes or no of every value; bins by a share of draws."""
    cells = np.array(list(itertools.product(range(3), range(40), range(2), [np.nan])), dtype=float)
    joint = enumerated(average, cells)
    given = {0: OneOf((0.0, 2.0)), 1: Interval(1, 3)}
    meets = np.isin(cells[:, 0], [0, 2]) & (cells[:, 1] >= 1) & (cells[:, 1] <= 3)
    story, told = average.told(given)
    assert told == pytest.approx(float(np.log(joint[meets].sum())), abs=1e-9)
    expected = joint[meets].sum(axis=0) / joint[meets].sum()
    np.testing.assert_allclose(np.exp(story.log_weights), expected, atol=1e-9)
    others, again = average.condition(given)
    assert again == told
    yes = joint[meets & (cells[:, 2] == 1)].sum() / joint[meets].sum()
    assert others.marginal([0]).log_prob(np.array([[1.0]]))[0] == pytest.approx(
        float(np.log(yes)), abs=1e-9
    )


def test_draws_under_a_condition_are_those_of_the_conditional(average):
    cells = np.array(list(itertools.product(range(3), range(40), range(2), [np.nan])), dtype=float)
    joint = enumerated(average, cells)
    given = {0: OneOf((0.0, 2.0)), 1: Interval(1, 3), 3: Interval(-1.0, 0.5)}
    n = 40_000
    drawn, members, effective = average.sample_given(n, given, np.random.default_rng(6))
    assert effective == n
    assert all(region.contains(drawn[:, j]).all() for j, region in given.items())
    story, _ = average.told(given)
    weights = np.exp(story.log_weights)
    shares = np.bincount(members, minlength=3) / n
    assert np.all(np.abs(shares - weights) < 5 * np.sqrt(weights * (1 - weights) / n))
    # Without the bins, every cell is enumerated.
    del given[3]
    drawn, _, _ = average.sample_given(n, given, np.random.default_rng(7))
    meets = np.isin(cells[:, 0], [0, 2]) & (cells[:, 1] >= 1) & (cells[:, 1] <= 3)
    expected = joint[meets].sum(axis=1) / joint[meets].sum()
    found = np.array([(drawn[:, :3] == cell[:3]).all(axis=1).mean() for cell in cells[meets]])
    assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / n) + 1e-6)


def test_draws_follow_the_density(average):
    cells = np.array(list(itertools.product(range(3), range(6), range(2), [np.nan])), dtype=float)
    expected = enumerated(average, cells).sum(axis=1)
    n = 40_000
    drawn, members = average.sample(n, np.random.default_rng(8))
    found = np.array([(drawn[:, :3] == cell[:3]).all(axis=1).mean() for cell in cells])
    assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / n) + 1e-6)
    shares = np.bincount(members) / n
    assert np.all(np.abs(shares - SHARES) < 5 * np.sqrt(SHARES * (1 - SHARES) / n))


def test_missing_cells_get_conditional_means_and_draws(average):
    x = np.array([[1.0, np.nan, np.nan, 0.3]])
    cells = np.array([[1.0, k, b, 0.3] for k in range(60) for b in range(2)])
    joint = enumerated(average, cells).sum(axis=1)
    shares = joint / joint.sum()
    filled = average.complete(x)
    assert filled[0, 1] == pytest.approx(shares @ cells[:, 1], abs=1e-9)
    assert filled[0, 0] == 1.0 and filled[0, 3] == 0.3
    n = 40_000
    drawn = average.complete(np.repeat(x, n, axis=0), np.random.default_rng(10))
    product = cells[:, 1] * cells[:, 2]  # only draws of one tree for the whole row keep it
    spread = np.sqrt(shares @ product**2 - (shares @ product) ** 2)
    assert (drawn[:, 1] * drawn[:, 2]).mean() == pytest.approx(
        shares @ product, abs=5 * spread / np.sqrt(n)
    )


def test_most_probable_values_are_those_of_enumeration(average):
    x = rows_with_gaps(average, 60, share=0.5)
    filled = impute(average, x, "mode", levels={0: 3, 2: 2})
    for j, values in ((0, range(3)), (2, range(2))):
        holes = np.isnan(x[:, j])
        told = []
        for value in values:
            trial = x[holes].copy()
            trial[:, j] = value
            told.append(enumerated(average, trial).sum(axis=1))
        np.testing.assert_array_equal(filled[holes, j], np.argmax(told, axis=0))
    holes = np.isnan(x[:, 3])
    grid, _ = LAYOUT[0].peaks
    best = np.max([average.log_prob(np.where(np.isnan(x[holes]) & (np.arange(4) == 3), v, x[holes]))
                   for v in grid], axis=0)  # fmt: skip
    chosen = x[holes].copy()
    chosen[:, 3] = filled[holes, 3]
    np.testing.assert_allclose(average.log_prob(chosen), best, atol=1e-12)


def test_a_column_as_the_class_follows_bayes_rule(average):
    x = rows_with_gaps(average, 25)
    told = []
    for value in range(3):
        trial = x.copy()
        trial[:, 0] = value
        told.append(enumerated(average, trial).sum(axis=1))
    joint = np.stack(told, axis=1)
    view = column_as_class(average, 0)
    assert isinstance(view, ColumnOfAverage) and view.n_classes == 3
    np.testing.assert_allclose(view.log_joint(x), np.log(joint), atol=1e-10)
    np.testing.assert_allclose(
        view.posterior(x)[1], joint / joint.sum(axis=1, keepdims=True), atol=1e-10
    )
    prior = joint[1] / joint[1].sum()  # of a row of which nothing is known
    np.testing.assert_allclose(np.exp(view.log_weights), prior, atol=1e-6)
    wanted = np.array([0.6, 0.3, 0.1])
    other = view.with_log_weights(np.log(wanted))
    np.testing.assert_allclose(np.exp(other.log_weights), wanted, atol=1e-5)
    expected = np.log(joint) + np.log(wanted) - view.log_weights
    np.testing.assert_allclose(other.log_joint(x), expected, atol=1e-5)
    known = np.full(len(x), -1)
    known[3] = 2
    assert view.posterior(x, known)[1][3].tolist() == [0.0, 0.0, 1.0]


def test_a_tree_that_holds_the_condition_impossible_falls_away(average):
    one = average.trees[0]
    never = Categorical(np.array([[0.0, 0.5, 0.5, 0.0]] * 3), (3,))
    sure = replace(one, emissions=(never, *one.emissions[1:]))
    pair = TreeAverage((sure, average.trees[1]), np.log([0.25, 0.75]))
    story, told = pair.told({0: 0.0})
    assert story.trees[0].n_states == 2 and len(story.trees) == 1
    assert told == pytest.approx(np.log(0.75) + average.trees[1].condition({0: 0.0})[1], abs=1e-12)
    _, members, _ = pair.sample_given(20, {0: 0.0}, np.random.default_rng(0))
    assert set(members) == {1}
    with pytest.raises(DataError, match="probability 0"):
        TreeAverage.even([sure, sure]).condition({0: 0.0})


def test_impossible_rows_have_no_density(average):
    x, _ = average.sample(3, np.random.default_rng(0))
    x[1, 1] = -1.0
    log_prob, posterior = average.posterior(x)
    assert np.isneginf(log_prob[1]) and np.isfinite(log_prob[[0, 2]]).all()
    np.testing.assert_allclose(posterior[1], SHARES)


def test_a_stored_average_comes_back(average):
    x = rows_with_gaps(average, 20)
    stored = unpack(*pack(average))
    np.testing.assert_array_equal(stored.log_prob(x), average.log_prob(x))
    levels = {0: 3, 2: 2}
    np.testing.assert_array_equal(
        impute(stored, x, "mode", levels=levels), impute(average, x, "mode", levels=levels)
    )


def test_wrong_averages_are_refused(average):
    with pytest.raises(UsageError, match="same columns"):
        TreeAverage.even([average.trees[0], average.trees[1].marginal([0, 1])])
    with pytest.raises(UsageError, match="same columns"):
        TreeAverage((), np.empty(0))
    with pytest.raises(UsageError, match="one entry"):
        TreeAverage(average.trees, np.log([0.5, 0.5]))
    with pytest.raises(UsageError, match="sum to 1"):
        TreeAverage(average.trees, np.log([0.5, 0.5, 0.5]))
