"""The story of a diffusion, told by networks that are exact in closed form: nothing is learned."""

from __future__ import annotations

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from fabula.neural.diffusion.form import PixelNoise, TableNoise
from fabula.neural.diffusion.network import DiffusionNetwork
from fabula.neural.diffusion.schedule import Schedule
from fabula.neural.diffusion.states import MASKED
from fabula.neural.diffusion.story import Diffusion
from fabula.neural.forms.image import ImageForm
from fabula.neural.forms.number_columns import NumberColumn
from fabula.neural.forms.table import LevelColumn, TableForm
from fabula.neural.networks.base import Network
from fabula.questions.impute import impute


class Bells(eqx.Module):
    """The exact network of normal numbers of unit variance around the means of two groups.

    Groups are equally probable; they are the classes, or the levels of a column.
    """

    shape: Groups = eqx.field(static=True)

    def __call__(self, numbers, codes, levels, sigma, label=None, key=None):
        means = jnp.asarray(self.shape.means)
        hidden = jnp.isinf(levels)
        total = 1.0 + jnp.square(jnp.where(hidden, 1.0, levels))
        gaps = jnp.where(hidden, 0.0, numbers - means)
        logs = (-0.5 * jnp.square(gaps) / total).sum(-1)
        told = logs
        if label is not None:
            told = jnp.where((label > 0) | (label.sum() == 0), told, -jnp.inf)
        if len(codes):
            told = jnp.where((jnp.arange(2) == codes[0]) | (codes[0] == MASKED), told, -jnp.inf)
        said = jax.nn.softmax(told) @ (means + gaps / total)
        return said, logs if len(codes) else jnp.zeros(0)


@dataclass(frozen=True)
class Groups(DiffusionNetwork):
    means: tuple[tuple[float, ...], ...] = ()

    def build(self, key):
        return Bells(self)


def story_of(means: tuple[tuple[float, ...], ...], *, classes: bool) -> Diffusion:
    n_numbers = len(means[0])
    straight = NumberColumn(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]))
    columns = (straight,) * n_numbers + (() if classes else (LevelColumn(2, 10**6),))
    n = range(n_numbers)
    noise = TableNoise(TableForm(columns), tuple(n), (0.0,) * n_numbers, (1.0,) * n_numbers)
    network = Network(Groups(noise, n_classes=2 if classes else 0, means=means), {})
    weights = np.log([0.5, 0.5]) if classes else np.zeros(1)
    schedule = Schedule(highest=100.0)
    every = tuple(range(len(columns)))
    return Diffusion(network, schedule, every, knows_cells=True, log_weights=weights)


MEANS = np.array([[-0.6, -0.3, 0.0], [0.6, 0.3, 0.0]])


def log_joint(rows: np.ndarray, columns: list[int], shares: np.ndarray) -> np.ndarray:
    gaps = rows[:, None, :] - MEANS[:, columns]
    return norm.logpdf(gaps).sum(axis=2) + np.log(shares)


def test_what_is_given_tells_of_the_class():
    story = story_of(tuple(map(tuple, MEANS.tolist())), classes=True)
    given, _ = story.condition({0: 1.1})
    prior = np.array([0.5, 0.5])
    shares = np.exp(log_joint(np.array([[1.1]]), [0], prior))[0]
    shares /= shares.sum()
    rest = np.array([[0.4, -1.0], [-1.5, 0.2], [0.0, 0.0]])
    exact = log_joint(rest, [1, 2], shares)
    np.testing.assert_allclose(given.log_joint(rest), exact, atol=0.03)
    np.testing.assert_allclose(given.log_prob(rest), np.logaddexp.reduce(exact, axis=1), atol=0.03)
    found = given.posterior(rest)[1]
    np.testing.assert_allclose(found, np.exp(exact) / np.exp(exact).sum(1)[:, None], atol=0.01)
    # Nothing more is seen: the share is that of the classes that are drawn.
    np.testing.assert_allclose(given.posterior(rest[:1] * np.nan)[1], [shares], atol=0.01)
    drawn = given._labels(4000, None, np.random.default_rng(0), given.whole(rest[:1] * np.nan))
    assert drawn.mean() == pytest.approx(shares[1], abs=4 * 0.5 / np.sqrt(4000))
    # One after another, or both at once; and other priors are told of, too.
    twice, log_density = given.condition({0: 0.4})
    both, log_both = story.condition({0: 1.1, 1: 0.4})
    assert log_density + story.log_density_of({0: 1.1}) == pytest.approx(log_both, abs=0.05)
    np.testing.assert_allclose(twice.log_joint(rest[:, :1]), both.log_joint(rest[:, :1]))
    other = np.array([0.9, 0.1])
    shares = np.exp(log_joint(np.array([[1.1]]), [0], other))[0]
    exact = log_joint(rest, [1, 2], shares / shares.sum())
    found = given.with_log_weights(np.log(other)).log_joint(rest)
    np.testing.assert_allclose(found, exact, atol=0.03)


def test_columns_that_are_always_told_leave_the_prior_of_classes():
    story = replace(story_of(tuple(map(tuple, MEANS.tolist())), classes=True), told=(0,))
    given, log_density = story.condition({0: 1.1})
    assert log_density == pytest.approx(0.0, abs=1e-6)
    rest = np.array([[0.4, -1.0]])
    np.testing.assert_allclose(
        given.log_joint(rest), log_joint(rest, [1, 2], np.array([0.5, 0.5])), atol=0.03
    )


def test_modes_are_those_of_the_law_and_not_of_the_noise():
    story = story_of(((-1.0,), (1.0,)), classes=False)
    rng = np.random.default_rng(0)
    level = rng.integers(0, 2, 40).astype(float)
    x = np.column_stack([rng.normal(size=40) + 2 * level - 1, level])
    holes = x.copy()
    holes[:, 1] = np.nan
    found = impute(story, holes, "mode", levels={1: 2})[:, 1]
    assert np.mean(found == (x[:, 0] > 0)) > 0.9
    holes = x[:12].copy()
    holes[:, 0] = np.nan
    modes = impute(story, holes, "mode", levels={1: 2})[:, 0]
    # 32 noises and their mirror images leave about an eighth of a deviation.
    error = modes - (2 * level[:12] - 1)
    assert np.sqrt(np.mean(error**2)) < 0.2


def test_rows_meet_the_noise_of_others():
    story = story_of(((-1.0,), (1.0,)), classes=False)
    x = np.array([[0.3, 1.0], [0.3, 0.0]])
    others = np.array([[0.3, np.nan], [np.nan, np.nan]])
    np.testing.assert_allclose(story.log_prob_by_chance_of(x, x), story.log_prob(x))
    found = story.log_prob_by_chance_of(np.repeat(x[:1], 2, axis=0), others)
    assert found[0] != found[1]
    again = story.log_prob_by_chance_of(x[:1] + 1e-6, others[:1])
    np.testing.assert_allclose(again, found[:1], atol=1e-3)


def test_only_pixels_are_not_of_unit_variance():
    table = story_of(((-1.0,), (1.0,)), classes=False)
    assert table.course(table.route, np.full((1, 2), np.nan)).unit
    noise = PixelNoise(ImageForm((2, 2, 1), 16, 0.0, 15.0))
    images = replace(table, network=Network(DiffusionNetwork(noise), {}), columns=(0, 1, 2, 3))
    assert not images.course(images.route, np.full((1, 4), np.nan)).unit
