"""Latent trees against sums over all joint states of their nodes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fabula.core.blocks import ArrayBlocks, Block
from fabula.core.errors import DataError, UsageError
from fabula.core.regions import Interval, OneOf
from fabula.core.threads import use_threads
from fabula.families import Bernoulli, Categorical, Gamma, NormalDiagonal, Poisson
from fabula.families.bins import Bins
from fabula.families.product import Product
from fabula.learning.em import expectation_maximisation
from fabula.persistence.codec import pack, unpack
from fabula.structures.mixture import Mixture
from fabula.structures.trees.latent_tree import LatentTree, LatentTreePrior

H = 3


def categorical(rng, n_levels, n_states=H):
    levels = rng.dirichlet(np.ones(n_levels), size=n_states) * (1 - 1e-6)
    unseen = np.full((n_states, 1), 1e-6)
    return Categorical(np.concatenate([levels, unseen], axis=1), (n_levels,))


def bins(rng, n_states=H):
    layout = Bins.layout_from(rng.normal(size=(200, 1)), n_bins=5)
    bank = Bins.pooled(layout, n_states)
    return Bins(rng.dirichlet(np.ones(bank.n_cells[0]), size=n_states), layout)


def random_tree(seed=0, parents=(-1, 0, 0, 1, 1), nodes=(0, 1, 2, 3, 4, 4, 2), n_states=H):
    """Categorical, Poisson, normal beside bins, Bernoulli, and a categorical beside a gamma."""
    rng = np.random.default_rng(seed)
    m = len(parents)
    emissions = (
        categorical(rng, 4, n_states),
        Poisson(rng.uniform(0.5, 6.0, size=(n_states, 1))),
        NormalDiagonal(rng.normal(size=(n_states, 1)) * 2, rng.uniform(0.3, 1.5, (n_states, 1))),
        Bernoulli(rng.uniform(0.1, 0.9, size=(n_states, 1))),
        categorical(rng, 3, n_states),
        Gamma(rng.uniform(1, 4, size=(n_states, 1)), rng.uniform(0.5, 2, size=(n_states, 1))),
        bins(rng, n_states),
    )
    return LatentTree(
        np.array(parents, dtype=np.intp),
        np.array(nodes, dtype=np.intp),
        rng.dirichlet(np.ones(n_states)),
        rng.dirichlet(np.full(n_states, 0.6), size=(m - 1, n_states)),
        emissions,
    )


def with_gaps(tree, n, seed=1, share=0.3):
    rng = np.random.default_rng(seed)
    x, _ = tree.sample(n, rng)
    x[rng.random(x.shape) < share] = np.nan
    x[0] = tree.sample(1, rng)[0][0]
    x[1] = np.nan
    return x


def enumerate_states(tree, x):
    """p(x, states) for every row and joint state: (n, H ** m), and the states (H ** m, m)."""
    states = np.array(list(itertools.product(range(tree.n_states), repeat=tree.n_nodes)))
    prior = tree.root[states[:, 0]].copy()
    for i in range(1, tree.n_nodes):
        prior *= tree.transitions[i - 1][states[:, tree.parents[i]], states[:, i]]
    joint = np.tile(prior, (len(x), 1))
    for j, bank in enumerate(tree.emissions):
        cells = np.where(np.isnan(x[:, [j]]), 1.0, np.exp(bank.log_prob(x[:, [j]])))
        joint *= cells[:, states[:, tree.nodes[j]]]
    return joint, states


def test_log_density_is_the_sum_over_all_states():
    tree = random_tree()
    x = with_gaps(tree, 40)
    joint, _ = enumerate_states(tree, x)
    np.testing.assert_allclose(tree.log_prob(x), np.log(joint.sum(axis=1)), rtol=1e-12, atol=1e-12)
    assert tree.log_prob(x)[1] == pytest.approx(0.0, abs=1e-14)


def test_posteriors_of_states_are_those_of_enumeration():
    tree = random_tree()
    x = with_gaps(tree, 40)
    joint, states = enumerate_states(tree, x)
    posterior = joint / joint.sum(axis=1, keepdims=True)
    log_evidence, found = tree.state_posteriors(x, [4, 0, 2])
    np.testing.assert_allclose(log_evidence, np.log(joint.sum(axis=1)), atol=1e-12)
    for k, node in enumerate([4, 0, 2]):
        expected = np.stack([posterior[:, states[:, node] == h].sum(axis=1) for h in range(H)], 1)
        np.testing.assert_allclose(found[:, k], expected, atol=1e-12)
    np.testing.assert_allclose(tree.posterior(x)[1], found[:, 1], atol=1e-14)


def test_expected_transitions_and_emissions_are_those_of_enumeration():
    tree = random_tree()
    x = with_gaps(tree, 60)
    weights = np.random.default_rng(3).uniform(0, 2, size=len(x))
    weights[5] = 0.0
    joint, states = enumerate_states(tree, x)
    posterior = weights[:, None] * joint / joint.sum(axis=1, keepdims=True)
    statistics = tree.statistics(Block(x, None, weights))
    assert statistics.log_evidence == pytest.approx(weights @ np.log(joint.sum(axis=1)), rel=1e-12)
    assert statistics.n_rows == pytest.approx(weights.sum())
    for i in range(1, tree.n_nodes):
        for g, h in itertools.product(range(H), repeat=2):
            both = (states[:, tree.parents[i]] == g) & (states[:, i] == h)
            assert statistics.transitions[i - 1][g, h] == pytest.approx(
                posterior[:, both].sum(), abs=1e-10
            )
    for j, bank in enumerate(tree.emissions):
        mine = np.stack(
            [posterior[:, states[:, tree.nodes[j]] == h].sum(axis=1) for h in range(H)], axis=1
        )
        expected = bank.maximise(bank.statistics(x[:, [j]], mine))
        found = bank.maximise(statistics.emissions[j])
        probe = tree.sample(20, np.random.default_rng(4))[0][:, [j]]
        np.testing.assert_allclose(found.log_prob(probe), expected.log_prob(probe), atol=1e-9)


def test_expected_transitions_are_the_derivative_of_the_log_evidence():
    """∂ log Z / ∂ log T[g, h] is the expected number of transitions (T not normalised)."""
    tree = random_tree()
    x = with_gaps(tree, 30)
    found = tree.statistics(Block(x)).transitions[2]
    step = 1e-6
    for g, h in [(0, 1), (2, 2)]:
        ends = []
        for sign in (-1, 1):
            transitions = tree.transitions.copy()
            transitions[2, g, h] *= np.exp(sign * step)
            moved = object.__new__(LatentTree)  # rows that do not sum to 1 would be refused
            for name in ("parents", "nodes", "root", "emissions"):
                object.__setattr__(moved, name, getattr(tree, name))
            object.__setattr__(moved, "transitions", transitions)
            ends.append(moved.log_prob(x).sum())
        assert (ends[1] - ends[0]) / (2 * step) == pytest.approx(found[g, h], abs=1e-6)


def test_condition_times_marginal_is_joint():
    tree = random_tree()
    x, _ = tree.sample(6, np.random.default_rng(2))
    for given in ([0], [4, 1], [2, 3, 5], [0, 1, 2, 3, 4, 5, 6], [6, 2]):
        rest = [j for j in range(7) if j not in given]
        for row in x:
            others, told = tree.condition({j: float(row[j]) for j in given})
            margin = tree.marginal(given)
            assert told == pytest.approx(margin.log_prob(row[None, given])[0], abs=1e-11)
            conditional = 0.0 if others is None else others.log_prob(row[None, rest])[0]
            assert told + conditional == pytest.approx(tree.log_prob(row[None])[0], abs=1e-11)


@pytest.mark.parametrize("columns", [[5, 0], [3], [1, 2], [4, 3], [2, 0, 1, 5], [6, 0]])
def test_marginal_is_the_density_with_the_others_missing(columns):
    tree = random_tree()
    x, _ = tree.sample(30, np.random.default_rng(2))
    holes = np.full_like(x, np.nan)
    holes[:, columns] = x[:, columns]
    margin = tree.marginal(columns)
    assert margin.n_nodes <= tree.n_nodes
    np.testing.assert_allclose(margin.log_prob(x[:, columns]), tree.log_prob(holes), atol=1e-12)


def test_nodes_without_columns_are_cut_and_joined():
    tree = random_tree(parents=(-1, 0, 1, 2, 3, 3), nodes=(0, 1, 2, 3, 4, 5, 2))
    assert tree.marginal([0, 3]).n_nodes == 2
    assert tree.marginal([4, 5]).n_nodes == 3  # the node where they meet stays
    assert tree.marginal([5]).n_nodes == 1


def test_conditions_on_regions_are_shares_of_draws():
    tree = random_tree()
    given = {1: Interval(1, 3), 0: OneOf((0.0, 2.0)), 2: Interval(-1.0, 2.0)}
    n = 200_000
    x, _ = tree.sample(n, np.random.default_rng(5))
    meets = np.all([region.contains(x[:, j]) for j, region in given.items()], axis=0)
    others, told = tree.condition(given)
    share = meets.mean()
    assert np.exp(told) == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / n))
    drawn, _, effective = tree.sample_given(50_000, given, np.random.default_rng(6))
    assert effective == 50_000
    assert all(region.contains(drawn[:, j]).all() for j, region in given.items())
    kept = x[meets]
    for j in range(7):
        error = np.sqrt(kept[:, j].var() * (1 / len(kept) + 1 / len(drawn)))
        assert abs(drawn[:, j].mean() - kept[:, j].mean()) < 5 * error
    both = np.corrcoef(drawn.T)[1, 5], np.corrcoef(kept.T)[1, 5]
    assert abs(both[0] - both[1]) < 5 * np.sqrt(1 / len(kept) + 1 / len(drawn))
    rest, _ = others.sample(50_000, np.random.default_rng(7))
    for k, j in enumerate([3, 4, 5, 6]):
        error = np.sqrt(kept[:, j].var() * (1 / len(kept) + 1 / len(rest)))
        assert abs(rest[:, k].mean() - kept[:, j].mean()) < 5 * error


def test_impossible_conditions_are_refused():
    tree = random_tree()
    with pytest.raises(DataError, match="probability 0"):
        tree.condition({5: -1.0})


def test_draws_follow_the_density():
    tree = random_tree().marginal([0, 3, 4])
    n = 100_000
    x, _ = tree.sample(n, np.random.default_rng(8))
    cells = np.array(list(itertools.product(range(4), range(2), range(3))), dtype=float)
    expected = np.exp(tree.log_prob(cells))
    assert expected.sum() == pytest.approx(1.0, abs=1e-5)
    found = np.array([(x == cell).all(axis=1).mean() for cell in cells])
    assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / n) + 1e-6)


def test_missing_cells_get_conditional_means_and_draws():
    tree = random_tree()
    x, _ = tree.sample(3, np.random.default_rng(9))
    x[:, [1, 2]] = np.nan
    joint, states = enumerate_states(tree, x)
    posterior = joint / joint.sum(axis=1, keepdims=True)
    means = posterior @ tree.emissions[1].rates[states[:, tree.nodes[1]], 0]
    filled = tree.complete(x)
    np.testing.assert_allclose(filled[:, 1], means, atol=1e-10)
    np.testing.assert_array_equal(filled[:, [0, 3, 4, 5, 6]], x[:, [0, 3, 4, 5, 6]])
    drawn = tree.complete(np.repeat(x[:1], 40_000, axis=0), np.random.default_rng(10))
    assert drawn[:, 1].mean() == pytest.approx(means[0], abs=5 * drawn[:, 1].std() / 200)
    product = (drawn[:, 1] * drawn[:, 2]).mean()
    given = posterior[0] @ (
        tree.emissions[1].rates[states[:, tree.nodes[1]], 0]
        * tree.emissions[2].means[states[:, tree.nodes[2]], 0]
    )
    assert product == pytest.approx(given, abs=5 * (drawn[:, 1] * drawn[:, 2]).std() / 200)


@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_em_never_falls(precision):
    tree = random_tree(seed=4)
    x = with_gaps(tree, 400).astype(precision)
    start = random_tree(seed=11)
    prior = LatentTreePrior(1.0, tuple(b.pseudo_observations(1.0) for b in start.emissions))
    _, report = expectation_maximisation(
        start, ArrayBlocks(x, rows=100), prior=prior, max_iter=25, tol=0.0
    )
    steps = np.diff(report.trace)
    assert report.trace[-1] > report.trace[0] + 0.1
    assert steps.min() > (-1e-10 if precision == np.float64 else -2e-5)


def test_one_state_is_independent_columns():
    tree = random_tree(n_states=1)
    x = with_gaps(tree, 50)
    alone = sum(
        np.where(np.isnan(x[:, j]), 0.0, bank.log_prob(x[:, [j]])[:, 0])
        for j, bank in enumerate(tree.emissions)
    )
    np.testing.assert_allclose(tree.log_prob(x), alone, atol=1e-12)


def test_one_node_is_a_mixture():
    tree = random_tree(parents=(-1,), nodes=(0,) * 7)
    mixture = Mixture(np.log(tree.root), Product(tree.emissions, tuple((j,) for j in range(7))))
    x = with_gaps(tree, 50)
    np.testing.assert_allclose(tree.log_prob(x), mixture.log_prob(x), atol=1e-12)
    np.testing.assert_allclose(tree.posterior(x)[1], mixture.posterior(x)[1], atol=1e-12)


def test_a_chain_is_a_hidden_markov_model():
    """The forward recursion of Rabiner (1989), eq. 20, written out."""
    rng = np.random.default_rng(12)
    bank = categorical(rng, 4)
    steps = rng.dirichlet(np.ones(H), size=H)
    root = rng.dirichlet(np.ones(H))
    length = 12
    tree = LatentTree(
        np.arange(-1, length - 1), np.arange(length), root, np.tile(steps, (length - 1, 1, 1)),
        (bank,) * length,
    )  # fmt: skip
    x, _ = tree.sample(5, rng)
    for row in x:
        forward = root * bank.probabilities[:, int(row[0])]
        for cell in row[1:]:
            forward = (forward @ steps) * bank.probabilities[:, int(cell)]
        assert tree.log_prob(row[None])[0] == pytest.approx(np.log(forward.sum()), abs=1e-12)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_rows_that_run_out_of_range_are_computed_in_logarithms(precision):
    """A star of 300 columns, each of which is sure of another state than its neighbour."""
    d = 300
    sharp = np.array([[1 - 1e-12, 1e-12, 0.0], [1e-12, 1 - 1e-12, 0.0]])
    bank = Categorical(sharp, (2,))
    steps = np.tile(np.array([[1 - 1e-9, 1e-9], [1e-9, 1 - 1e-9]]), (d - 1, 1, 1))
    parents = np.array([-1] + [0] * (d - 1))
    tree = LatentTree(parents, np.arange(d), np.array([0.5, 0.5]), steps, (bank,) * d)
    x = np.zeros((3, d))
    x[0, d // 2 :] = 1.0
    x[2] = np.nan
    rows = tree.rows_of(x, precision)
    # By symmetry both states of the root are equally probable in row 0; one column flips per node.
    flip = np.log((1 - 1e-9) * 1e-12 + 1e-9 * (1 - 1e-12))
    keep = np.log((1 - 1e-9) * (1 - 1e-12) + 1e-9 * 1e-12)
    others = (d // 2) * flip + (d - d // 2 - 1) * keep
    one = np.log(0.5 * (1 - 1e-12)) + others
    two = np.log(0.5 * 1e-12) + (d - d // 2 - 1) * flip + (d // 2) * keep
    first = np.logaddexp(one, two)
    assert tree.log_prob(rows)[0] == pytest.approx(first, rel=1e-5)
    assert tree.log_prob(rows)[2] == pytest.approx(0.0, abs=1e-4)
    statistics = tree.statistics(Block(rows))
    assert statistics.root.sum() == pytest.approx(3.0, rel=1e-5)
    np.testing.assert_allclose(statistics.transitions.sum(axis=(1, 2)), 3.0, rtol=1e-4)


def test_impossible_rows_have_no_density_and_teach_nothing_wrong():
    tree = random_tree()
    x, _ = tree.sample(4, np.random.default_rng(0))
    x[2, 5] = -1.0
    assert np.isneginf(tree.log_prob(x)[2])
    assert np.isfinite(tree.log_prob(x)[[0, 1, 3]]).all()
    assert np.isneginf(tree.statistics(Block(x)).log_evidence)
    np.testing.assert_allclose(tree.posterior(x)[1][2], tree.root)


def test_blocks_and_threads_change_nothing():
    tree, start = random_tree(seed=4), random_tree(seed=11)
    x = with_gaps(tree, 300)
    found = []
    for threads in (1, 2):
        with use_threads(threads):
            story, _ = expectation_maximisation(start, ArrayBlocks(x, rows=64), max_iter=3, tol=0.0)
        found.append(pack(story)[1])
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])
    whole, _ = expectation_maximisation(start, ArrayBlocks(x, rows=1000), max_iter=3, tol=0.0)
    np.testing.assert_allclose(whole.log_prob(x), story.log_prob(x), atol=1e-9)


def test_weights_are_repetitions():
    tree = random_tree()
    x = with_gaps(tree, 50)
    times = np.random.default_rng(1).integers(0, 4, size=50)
    one = tree.statistics(Block(x, None, times.astype(float)))
    two = tree.statistics(Block(np.repeat(x, times, axis=0)))
    assert one.log_evidence == pytest.approx(two.log_evidence, rel=1e-12)
    np.testing.assert_allclose(one.transitions, two.transitions, atol=1e-9)


def test_a_stored_tree_comes_back():
    tree = random_tree()
    x = with_gaps(tree, 20)
    np.testing.assert_array_equal(unpack(*pack(tree)).log_prob(x), tree.log_prob(x))


def test_wrong_trees_are_refused():
    tree = random_tree()
    with pytest.raises(UsageError, match="before it"):
        random_tree(parents=(-1, 0, 3, 1, 1))
    with pytest.raises(UsageError, match="transitions"):
        LatentTree(tree.parents, tree.nodes, tree.root, tree.transitions[1:], tree.emissions)
    with pytest.raises(UsageError, match="sum to 1"):
        LatentTree(tree.parents, tree.nodes, tree.root * 2, tree.transitions, tree.emissions)
