"""A variational autoencoder whose answers are known: linear maps make it probabilistic PCA."""

from __future__ import annotations

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from fabula.core.errors import CannotAnswerError, DataError
from fabula.core.regions import Interval
from fabula.neural.forms.number_columns import NumberColumn
from fabula.neural.forms.table import LevelColumn, TableForm
from fabula.neural.networks import Network
from fabula.neural.variational.autoencoder import Autoencoder
from fabula.neural.variational.draws import _weights_of
from fabula.neural.variational.laws import TableLaw
from fabula.neural.variational.story import Variational
from fabula.persistence.codec import pack, unpack

LOADINGS = np.array([[1.0, 0.3], [-0.5, 1.2], [0.8, 0.8], [0.0, -1.0]])
MEAN = np.array([0.5, -1.0, 0.0, 2.0])
NOISE = 0.6
COVARIANCE = LOADINGS @ LOADINGS.T + NOISE**2 * np.eye(4)
TRUTH = multivariate_normal(MEAN, COVARIANCE)
LINE = NumberColumn(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]), n_seen=9)


def linear_story(wrong: float = 0.3) -> Variational:
    """Probabilistic PCA (Tipping and Bishop 1999), with an encoder that is a bit wrong."""
    shape = Autoencoder(TableLaw(TableForm((LINE,) * 4)), 2, ())
    module = shape.build(jax.random.key(0))
    posterior = np.linalg.inv(np.eye(2) + LOADINGS.T @ LOADINGS / NOISE**2)
    gain = posterior @ LOADINGS.T / NOISE**2
    encode = np.zeros((4, 8))
    encode[:2, :4] = gain * (1 - 0.3 * wrong)
    width = 0.5 * np.log(np.diag(posterior)) + wrong
    # Features are four numbers, and four flags that they are there; the raw width is constant.
    arrays = (
        encode,
        np.concatenate([-gain @ MEAN, width]),
        np.concatenate([LOADINGS, np.zeros((4, 2))]),
        np.concatenate([MEAN, np.full(4, np.log(np.expm1(NOISE - 0.01)) - 0.54)]),
    )
    module = eqx.tree_at(
        lambda m: (m.encoder.leave.weight, m.encoder.leave.bias,
                   m.decoder.leave.weight, m.decoder.leave.bias),
        module,
        tuple(jnp.asarray(a, dtype=jnp.float32) for a in arrays),
    )  # fmt: skip
    return Variational(Network.of(shape, module), (0, 1, 2, 3))


@pytest.fixture(scope="module")
def story() -> Variational:
    return linear_story()


X = TRUTH.rvs(200, random_state=1)


def test_the_bound_rises_with_the_draws_towards_the_exact_density(story):
    exact = TRUTH.logpdf(X).mean()
    bounds = [story.evidence_bound(X, 64).mean()]
    bounds += [story.log_prob(X, k).mean() for k in (4, 64, 1024)]
    assert np.all(np.diff(bounds) > 0.002) and bounds[-1] < exact + 0.003
    assert exact - bounds[-1] < 0.02 < 0.1 < exact - bounds[0]


def test_missing_cells_are_integrated_out(story):
    holes = X.copy()
    holes[:, [1, 3]] = np.nan
    exact = multivariate_normal(MEAN[[0, 2]], COVARIANCE[np.ix_([0, 2], [0, 2])]).logpdf(
        X[:, [0, 2]]
    )
    np.testing.assert_allclose(story.log_prob(holes, 1024).mean(), exact.mean(), atol=0.05)
    part = story.marginal([2, 0])
    np.testing.assert_allclose(
        part.log_prob(X[:, [2, 0]], 64), story.log_prob(holes, 64), rtol=1e-5
    )
    assert np.array_equal(story.log_prob(np.full((2, 4), np.nan)), np.zeros(2))


def conditional(seen, values):
    missing = [j for j in range(4) if j not in seen]
    inner = np.linalg.inv(COVARIANCE[np.ix_(seen, seen)])
    gain = COVARIANCE[np.ix_(missing, seen)] @ inner
    mean = MEAN[missing] + (values - MEAN[seen]) @ gain.T
    return mean, COVARIANCE[np.ix_(missing, missing)] - gain @ COVARIANCE[np.ix_(seen, missing)]


def test_imputation_is_the_conditional_mean_and_draws_have_its_spread(story):
    holes = X.copy()
    holes[:, [0, 3]] = np.nan
    mean, covariance = conditional([1, 2], X[:, [1, 2]])
    filled = story.complete(holes)
    assert np.array_equal(filled[:, [1, 2]], X[:, [1, 2]])
    error = filled[:, [0, 3]] - mean
    # 200 draws of weights of which a good half count: errors of about a tenth of the spread.
    assert np.sqrt(np.mean(error**2)) < 0.15 * np.sqrt(np.trace(covariance) / 2)
    assert np.all(np.abs(error.mean(axis=0)) < 0.03)
    drawn = story.complete(np.repeat(holes, 10, axis=0), np.random.default_rng(0))[:, [0, 3]]
    spread = np.cov((drawn - np.repeat(mean, 10, axis=0)).T)
    np.testing.assert_allclose(spread, covariance, atol=0.08)


def test_draws_have_the_moments_of_the_law(story):
    drawn, members = story.sample(20_000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.mean(axis=0), MEAN, atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), COVARIANCE, atol=0.12)
    assert members.shape == (20_000,)


def test_conditions_on_values_and_intervals(story):
    rng = np.random.default_rng(0)
    mean, covariance = conditional([1], np.array([[0.4]]))
    rows, _, effective = story.sample_given(4000, {1: 0.4}, rng)
    assert np.all(rows[:, 1] == 0.4) and 1500 < effective <= 4000
    np.testing.assert_allclose(rows[:, [0, 2, 3]].mean(axis=0), mean[0], atol=0.12)
    rest, log_density = story.condition({1: 0.4})
    exact = multivariate_normal(MEAN[1], COVARIANCE[1, 1]).logpdf(0.4)
    assert log_density == pytest.approx(exact, abs=0.15)
    found = rest.log_prob(X[:, [0, 2, 3]], 1024).mean()
    expected = multivariate_normal(mean[0], covariance).logpdf(X[:, [0, 2, 3]]).mean()
    assert found == pytest.approx(expected, abs=0.1)
    between, _, _ = story.sample_given(500, {0: Interval(1.0, 1.5)}, rng)
    assert np.all((between[:, 0] >= 1.0) & (between[:, 0] <= 1.5))
    with pytest.raises(DataError, match="too improbable"):
        story.sample_given(5, {0: Interval(50.0, 51.0)}, rng)
    with pytest.raises(CannotAnswerError, match="interval"):
        story.condition({0: Interval(0.0, 1.0)})


def test_answers_for_a_row_do_not_depend_on_the_rows_beside_it(story):
    together = story.log_prob(X, 16)
    alone = np.concatenate([story.log_prob(X[i : i + 1], 16) for i in range(5)])
    np.testing.assert_allclose(alone, together[:5], atol=1e-4)
    np.testing.assert_allclose(story.log_prob(X[::-1], 16)[::-1], together, atol=1e-4)


def test_files_keep_every_answer(story):
    again = unpack(*pack(replace(story, given={1: 0.5}, columns=(0, 2, 3))))
    plain = replace(story, given={1: 0.5}, columns=(0, 2, 3))
    assert np.array_equal(again.log_prob(X[:9, [0, 2, 3]]), plain.log_prob(X[:9, [0, 2, 3]]))


def test_latents_of_a_row_are_the_posterior_mean(story):
    posterior = np.linalg.inv(np.eye(2) + LOADINGS.T @ LOADINGS / NOISE**2)
    exact = (X - MEAN) @ (posterior @ LOADINGS.T / NOISE**2).T
    weighted = story.encode(X, 512)
    assert np.sqrt(np.mean((weighted - exact) ** 2)) < 0.06
    decoded = story.decode(exact)
    np.testing.assert_allclose(decoded, MEAN + exact @ LOADINGS.T, atol=1e-4)


def with_classes(**options) -> Variational:
    form = TableForm((LINE, LevelColumn(3, 40)))
    shape = Autoencoder(TableLaw(form), 1, (8,), **options)
    shares = np.log([0.2, 0.8]) if shape.n_classes else np.zeros(1)
    network = Network.of(shape, shape.build(jax.random.key(1)))
    return Variational(network, (0, 1), log_weights=shares, classifier_log_weights=shares)


@pytest.mark.slow
def test_a_row_is_as_probable_as_with_all_classes_together():
    story = with_classes(n_classes=2)
    x = np.array([[0.3, 1.0], [-1.0, np.nan], [2.0, 0.0]])
    story = replace(story, n_importance=1000)
    together = np.logaddexp.reduce(story.log_joint(x), axis=1)
    np.testing.assert_allclose(story.log_prob(x), together, atol=0.08)
    prior = story.with_log_weights(np.log([0.5, 0.5]))
    odds = [s.class_probabilities(x) for s in (story, prior)]
    ratio = (odds[1][:, 0] / odds[1][:, 1]) / (odds[0][:, 0] / odds[0][:, 1])
    np.testing.assert_allclose(ratio, 4.0, rtol=1e-4)


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_other_priors_have_components(prior):
    story = with_classes(prior=prior, n_components=3)
    x, members = story.sample(50, np.random.default_rng(0))
    assert set(members) <= {0, 1, 2} and set(x[:, 1]) <= {0.0, 1.0, 2.0}
    _, shares = story.posterior(x)
    assert shares.shape == (50, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-6)
    # The bound is about as large as the share of levels and the density of numbers allow.
    total = story.log_prob(x, 500)
    assert np.isfinite(total).all() and total.mean() < 0


def test_columns_that_are_given_have_no_density_and_must_be_said():
    story = with_classes(told=(1,))
    x = np.array([[0.3, 1.0]])
    assert story.log_prob(x, 64)[0] != story.log_prob(np.array([[0.3, 2.0]]), 64)[0]
    grid = np.stack([np.linspace(-30, 30, 1201), np.ones(1201)], axis=1)
    assert np.exp(story.log_prob(grid, 256)).sum() * 0.05 == pytest.approx(1.0, abs=0.05)
    rows, _, _ = story.sample_given(7, {1: 2.0}, np.random.default_rng(0))
    assert np.all(rows[:, 1] == 2.0)
    with pytest.raises(DataError, match="given"):
        story.sample(3, np.random.default_rng(0))


def test_draws_of_a_class_are_weighed_among_themselves():
    logs = np.log([[0.4, 0.1, 0.5]])
    certain = np.eye(3)[[0, 1, 0]]
    np.testing.assert_allclose(_weights_of(logs, certain, None), [0.4, 0.1, 0.5])
    np.testing.assert_allclose(_weights_of(logs, certain, 0), [4 / 9, 0.0, 5 / 9])
    np.testing.assert_allclose(_weights_of(logs, certain, 1), [0.0, 1.0, 0.0])
    with pytest.raises(DataError, match="too improbable"):
        _weights_of(logs, certain, 2)
    doubtful = np.array([[0.5, 0.5], [1.0, 0.0], [0.8, 0.2]])
    np.testing.assert_allclose(_weights_of(logs, doubtful, 1), [2 / 3, 0.0, 1 / 3])


# The log odds of class 1 of a stack of two layers.
SLOPE, OFFSET = np.array([1.2, -0.8]), -1.0


def stack() -> Variational:
    """A second layer that leaves the latents as they are, with a logistic regression on them."""
    first = linear_story()
    shape = Autoencoder(TableLaw(TableForm((LINE,) * 2)), 1, (), n_classes=2)
    module = shape.build(jax.random.key(0))
    classifier = np.zeros((2, 4))
    classifier[1, :2] = SLOPE
    width = np.log(np.expm1(1 - 0.01)) - 0.54
    arrays = classifier, np.array([0, OFFSET]), np.zeros((4, 3)), np.array([0, 0, width, width])
    module = eqx.tree_at(
        lambda m: (m.classifier.leave.weight, m.classifier.leave.bias,
                   m.decoder.leave.weight, m.decoder.leave.bias),
        module,
        tuple(jnp.asarray(a, dtype=jnp.float32) for a in arrays),
    )  # fmt: skip
    shares = np.log([0.7, 0.3])
    second = Variational(
        Network.of(shape, module), (0, 1), log_weights=shares, classifier_log_weights=shares
    )
    return replace(first, deeper=second, log_weights=shares)


def test_classes_of_a_stack_are_drawn_and_not_the_most_probable_ones():
    story, rng, n = stack(), np.random.default_rng(0), 4000
    # Latents given column 1 are normal (Bishop 2006, eq. 2.116).
    told = LOADINGS[1] @ LOADINGS[1] + NOISE**2
    mean = LOADINGS[1] * (0.4 - MEAN[1]) / told
    covariance = np.eye(2) - np.outer(LOADINGS[1], LOADINGS[1]) / told
    latents = np.random.default_rng(1).multivariate_normal(mean, covariance, size=400_000)
    odds = 1 / (1 + np.exp(-(OFFSET + latents @ SLOPE)))
    # About half of the draws count.
    error = 4 / np.sqrt(n / 2)
    drawn, members, _ = story.sample_given(n, {1: 0.4}, rng)
    assert members.mean() == pytest.approx(odds.mean(), abs=0.5 * error)
    values = np.where(np.arange(4) == 1, 0.4, np.nan)[None]
    assert story.class_probabilities(values)[0, 1] == pytest.approx(odds.mean(), abs=0.08)
    labels = np.ones(n, dtype=np.intp)
    drawn, members, _ = story.sample_given(n, {1: 0.4}, rng, labels)
    assert np.all(members == 1)
    expected = MEAN + (odds @ latents / odds.sum()) @ LOADINGS.T
    seen = [0, 2, 3]
    np.testing.assert_allclose(drawn.mean(axis=0)[seen], expected[seen], atol=error)


def test_components_under_a_condition_are_drawn_too():
    story = with_classes(prior="mixture", n_components=2)
    module = story.network.build()
    same = {"weights": jnp.log(jnp.array([0.3, 0.7])), "means": jnp.zeros((2, 1))}
    module = eqx.tree_at(lambda m: m.prior, module, {**module.prior, **same})
    story = replace(story, network=Network.of(story.shape, module))
    _, members, _ = story.sample_given(2000, {0: 0.3}, np.random.default_rng(0))
    assert members.mean() == pytest.approx(0.7, abs=4 * 0.46 / np.sqrt(2000))


def with_two_classes() -> Variational:
    return with_classes(n_classes=2)


@pytest.mark.parametrize("make", [stack, pytest.param(with_two_classes, marks=pytest.mark.slow)])
def test_joint_densities_under_a_condition_are_conditional(make):
    story = replace(make(), n_importance=500)
    rest, log_density = story.condition({0: 1.5})
    x = np.zeros((1, rest.n_columns))
    together = np.logaddexp.reduce(rest.log_joint(x), axis=1)
    np.testing.assert_allclose(together, rest.log_prob(x), atol=0.1)
    whole = story.log_prob(np.insert(x, 0, 1.5, axis=1))
    np.testing.assert_allclose(together, whole - log_density, atol=0.1)


def test_each_draw_of_missing_cells_takes_new_latents(story):
    rows, n = X[:2].copy(), 3000
    rows[:, [0, 3]] = np.nan
    mean, covariance = conditional([1, 2], rows[:, [1, 2]])
    drawn = story.complete(np.repeat(rows, n, axis=0), np.random.default_rng(0))[:, [0, 3]]
    error = drawn.reshape(2, n, 2).mean(axis=1) - mean
    # Squares of standard normals, whose mean is 1: with the same 200 latents, some 10.
    assert np.mean(error**2 / (np.diag(covariance) / n)) < 3
