"""Two networks against each other: vectors, losses, slopes, averages, levels, images."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fabula.neural.adversarial.classes import class_shares
from fabula.neural.adversarial.draws import vectors_of
from fabula.neural.adversarial.form import TableVectors
from fabula.neural.adversarial.images import (
    ImageCritic,
    ImageGenerator,
    _coarser,
    _Convolution,
    _finer,
)
from fabula.neural.adversarial.learning import Adversaries, Lesson
from fabula.neural.adversarial.levels import level_shares, with_levels
from fabula.neural.adversarial.network import Critic, Generator
from fabula.neural.forms.table import TableForm
from fabula.neural.networks.base import join, split
from fabula.neural.training.loop import train
from fabula.neural.training.plan import Plan
from fabula.tables.fields import Field

FIELDS = [Field("size", "continuous"), Field("hours", "continuous"), Field("kind", "category", 3)]


def rows(n: int = 400) -> np.ndarray:
    rng = np.random.default_rng(0)
    hours = np.where(rng.random(n) < 0.5, 40.0, rng.integers(10, 90, n))
    x = np.stack([rng.normal(size=n), hours, rng.choice(3, n, p=[0.7, 0.28, 0.02])], axis=1)
    x[::10, 0] = np.nan
    x[5::20, 2] = np.nan
    return x


X = rows()
FORM = TableForm.learned(X, FIELDS)
VECTORS = TableVectors.learned(FORM, X)
ARRAYS = VECTORS.encode(X)
REAL = np.asarray(
    jax.jit(lambda arrays: VECTORS.real(arrays, jnp.full((len(X), VECTORS.n_chances), 0.5)))(ARRAYS)
)


def players(lesson: Lesson, pack: int = 1, width: int = 8, **options: float) -> Adversaries:
    told = bool(lesson.told or lesson.known_share)
    generator = Generator(VECTORS, 4, width, 0, tells_cells=told)
    critic = Critic(VECTORS, width, 0, tells_cells=told, pack=pack)
    return Adversaries(generator, critic, lesson, **options)


def batch_of(n: int = 32) -> dict[str, jax.Array]:
    return {name: jnp.asarray(array[:n]) for name, array in ARRAYS.items()}


# Vectors ------------------------------------------------------------------------------------------


def test_rows_become_vectors_and_come_back():
    real = REAL
    assert real.shape == (len(X), VECTORS.width) and VECTORS.holes == (0, 2)
    back = VECTORS.decode(real)
    seen = ~np.isnan(X)
    np.testing.assert_allclose(back[seen[:, 0], 0], X[seen[:, 0], 0], atol=1e-3)
    assert np.array_equal(back[:, 1], X[:, 1])
    assert np.array_equal(back[seen[:, 2], 2], X[seen[:, 2], 2])
    # What is missing is nothing but zeros.
    assert not real[~seen[:, 0]][:, VECTORS.column_of == 0].any()
    assert not real[~seen[:, 2]][:, VECTORS.column_of == 2].any()
    # A spike has the number of its place, so that the critic sees it among the others.
    (place,) = VECTORS.spread[1].level_places()
    np.testing.assert_allclose(real[X[:, 1] == 40, 1], place, atol=1e-6)
    below = real[(X[:, 1] < 40) & (REAL[:, 1] != place), 1]
    assert below.max() < place < real[X[:, 1] > 40, 1].min()


def test_codes_are_drawn_by_their_probabilities_and_pass_gradients():
    n = 4000
    outputs = np.tile(np.arange(VECTORS.n_outputs, dtype=np.float32) * 0.3, (n, 1))
    chance = np.random.default_rng(0).random((n, VECTORS.n_choices)).astype(np.float32)
    seen = np.ones((n, 3), dtype=bool)
    seen[0] = False

    @jax.jit
    def made_and_slope(o: jax.Array) -> tuple[jax.Array, jax.Array]:
        made, back = jax.vjp(lambda one: VECTORS.made(one, seen, chance), o)
        return made, back(2.0 * made)[0]

    made, slope = (np.asarray(a) for a in made_and_slope(outputs))
    # What is not seen in the real row is not shown of the made one.
    assert not made[0].any() and made[1:].any(axis=1).all()
    for size, _, places in VECTORS.groups:
        columns = slice(VECTORS.n_numbers + places.start, VECTORS.n_numbers + places.stop)
        hot = made[1:, columns].reshape(n - 1, -1, size)
        assert set(np.unique(np.round(hot, 5))) <= {0.0, 1.0}
        scores = outputs[0, columns].reshape(-1, size)
        expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        # 4 standard errors of a share.
        np.testing.assert_allclose(hot.mean(axis=0), expected, atol=2.0 / np.sqrt(n))
    assert (np.abs(slope[1, VECTORS.n_numbers :]) > 1e-9).all()


# Losses -------------------------------------------------------------------------------------------


def scores_of(critic: Any, x: np.ndarray) -> np.ndarray:
    """A critic without blocks, written plainly: (n,) for rows (n, d)."""
    hidden = x @ np.float64(critic.enter.weight).T + np.float64(critic.enter.bias)
    hidden = np.where(hidden > 0, hidden, 0.2 * hidden)
    return (hidden @ np.float64(critic.leave.weight).T + np.float64(critic.leave.bias))[:, 0]


def slopes_of(critic: Any, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences (n, d)."""
    moves = step * np.eye(x.shape[1])
    both = [np.stack([scores_of(critic, x + sign * m) for m in moves], 1) for sign in (1, -1)]
    return (both[0] - both[1]) / (2 * step)


def played(lesson: Lesson, n: int, pack: int) -> tuple[Any, ...]:
    """A critic, rows it is shown in packs, what it says of them, and the chance it had."""
    game = players(lesson, pack)
    critic = join(jax.jit(game.start)(jax.random.key(0)).critic, game._rests[1])
    rng, key = np.random.default_rng(0), jax.random.key(3)
    real, made = (rng.normal(size=(n, VECTORS.width)) for _ in range(2))
    loss = jax.jit(lambda w, a, b: game._critic_loss(w, a, b, jnp.zeros((n, 0)), key))
    total, (pull, losses) = loss(critic_weights(critic), np.float32(real), np.float32(made))
    found = {name: float(value) for name, value in losses.items()}
    assert float(total) == pytest.approx(found["critic"] + found["penalty"], rel=1e-5)
    packs = [x.reshape(n // pack, -1) for x in (real, made)]
    return critic, *packs, found, np.asarray(pull), np.asarray(jax.random.uniform(key, (n, 1)))


def critic_weights(critic: Any) -> Any:
    return split(critic)[0]


@pytest.mark.parametrize("pack", [1, 2])
def test_relativistic_loss_is_its_formula(pack: int):
    """Huang et al. (2024): pairs of real and made rows, and slopes at both."""
    critic, real, made, losses, pull, _ = played(Lesson(penalty=0.7), 8, pack)
    ahead = scores_of(critic, real) - scores_of(critic, made)
    assert losses["critic"] == pytest.approx(np.log1p(np.exp(-ahead)).mean(), rel=1e-4)
    assert losses["generator"] == pytest.approx(np.log1p(np.exp(ahead)).mean(), rel=1e-4)
    lengths = sum((slopes_of(critic, x) ** 2).sum(axis=1) for x in (real, made))
    assert losses["penalty"] == pytest.approx(0.35 * lengths.mean(), rel=1e-4)
    # The generator follows the slope of its own loss, whatever the penalty.
    step, own = 1e-6, np.zeros_like(made)
    for k, j in np.ndindex(*made.shape):
        ends = []
        for sign in (1, -1):
            moved = made.copy()
            moved[k, j] += sign * step
            ends.append(np.log1p(np.exp(scores_of(critic, real) - scores_of(critic, moved))).mean())
        own[k, j] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(pull, own.reshape(8, -1), atol=1e-5)


def test_wasserstein_loss_is_its_formula():
    """Gulrajani et al. (2017), eq. 3."""
    critic, real, made, losses, pull, share = played(Lesson("wasserstein", 10.0), 6, 1)
    slopes = slopes_of(critic, share * real + (1 - share) * made)
    penalty = 10.0 * ((np.sqrt((slopes**2).sum(axis=1)) - 1) ** 2).mean()
    apart = scores_of(critic, made).mean() - scores_of(critic, real).mean()
    assert losses["critic"] == pytest.approx(apart, abs=1e-4)
    assert losses["generator"] == pytest.approx(-scores_of(critic, made).mean(), abs=1e-4)
    assert losses["penalty"] == pytest.approx(penalty, rel=1e-3)
    np.testing.assert_allclose(pull, -slopes_of(critic, made) / 6, atol=1e-5)


# Steps --------------------------------------------------------------------------------------------


def test_the_average_follows_and_the_generator_waits_its_turn():
    game = players(Lesson("wasserstein", 10.0, critic_steps=2), averaging=0.9)
    step = jax.jit(game.step)
    states = [jax.jit(game.start)(jax.random.key(0))]
    for k in range(4):
        states.append(step(states[-1], batch_of(), jax.random.key(k), jnp.float32(1.0))[0])
    weights = [np.asarray(state.generator.leave.weight) for state in states]
    critics = [np.asarray(state.critic.leave.weight) for state in states]
    assert np.array_equal(weights[0], weights[1]) and not np.array_equal(weights[1], weights[2])
    assert np.array_equal(weights[2], weights[3]) and not np.array_equal(critics[0], critics[1])
    average = weights[0]
    for moves, k in ((1, 2), (2, 4)):
        keep = min(0.9, (1 + moves) / (10 + moves))
        average = keep * average + (1 - keep) * weights[k]
    np.testing.assert_allclose(np.asarray(states[4].average.leave.weight), average, atol=1e-6)
    assert game.learned(states[4]) is states[4].average


def test_what_is_told_stands_in_made_rows_and_is_never_missing():
    game = players(Lesson(told=(1,), known_share=0.5))
    batch = {**batch_of(), "begins_with": jnp.full(32, 2).at[16:].set(-1)}
    real = jnp.asarray(REAL[:32])
    given = jax.jit(game._given)(real, batch, jax.random.key(0))
    columns = np.asarray(given.columns)
    seen = np.asarray(batch["seen"])
    assert columns[:, 1].all() and not (columns & ~seen).any()
    assert np.array_equal(columns[:16, 2], seen[:16, 2]) and not columns[:16, 0].any()
    assert columns[16:, 0].any()  # of a share of the rows, random columns


@pytest.mark.slow
def test_training_that_was_broken_off_ends_with_the_same_weights(tmp_path):
    game, data = players(Lesson(known_share=0.3)), ARRAYS
    plan = Plan(batch_size=100, max_epochs=4, seed=3)
    straight, report = train(game, data, plan)
    assert report.n_steps == 16 and not report.validation and report.best_step == 16
    stops = 0

    def stop(done: float, loss: float, left: float) -> None:
        nonlocal stops
        stops += 1
        if stops == 2:
            raise KeyboardInterrupt

    path = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        train(game, data, plan, checkpoint=path, on_progress=stop)
    assert path.exists()
    resumed, _ = train(game, data, plan, checkpoint=path)
    for one, other in zip(jax.tree.leaves(straight), jax.tree.leaves(resumed), strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))


# Levels -------------------------------------------------------------------------------------------


def test_rows_begin_with_levels_by_the_log_of_their_frequency():
    ((shares,),) = level_shares(VECTORS, ARRAYS)
    seen = X[~np.isnan(X[:, 2]), 2].astype(int)
    np.testing.assert_allclose(shares, np.bincount(seen) / len(seen))
    more = with_levels(VECTORS, ARRAYS, 0.8, np.random.default_rng(0))
    begun = more["begins_with"] >= 0
    assert begun.sum() == 4 * len(X) and set(more["begins_with"][begun]) == {2}
    assert not begun[: len(X)].any() and more["seen"][begun, 2].all()
    part = VECTORS.part_columns.tolist().index(2)
    found = np.bincount(more["codes"][begun, part], minlength=3) / begun.sum()
    logs = np.log1p(np.bincount(seen))
    np.testing.assert_allclose(found, logs / logs.sum(), atol=4 * 0.5 / np.sqrt(begun.sum()))


def test_levels_of_a_class_are_begun_in_its_own_shares():
    labels = np.arange(len(X)) % 2
    (shares,) = level_shares(VECTORS, {**ARRAYS, "labels": labels}, 2)
    for label in (0, 1):
        seen = X[(labels == label) & ~np.isnan(X[:, 2]), 2].astype(int)
        np.testing.assert_allclose(shares[label], np.bincount(seen, minlength=3) / len(seen))
    empty = {**ARRAYS, "codes": np.full_like(ARRAYS["codes"], -1)}
    more = with_levels(VECTORS, empty, 0.5, np.random.default_rng(0))
    assert (more["begins_with"] == -1).all()


# Classes ------------------------------------------------------------------------------------------


def test_cells_tell_the_class_by_bayes_rule():
    rng = np.random.default_rng(0)
    labels, levels = np.repeat([0, 1], 2000), [[0.5, 0.5, 0.0], [0.1, 0.5, 0.4]]
    draws = np.stack(
        [
            np.where(labels == 0, -0.5, 0.5) + rng.normal(size=4000),
            np.full(4000, 40.0),
            np.concatenate([rng.choice(3, 2000, p=p) for p in levels]),
        ],
        axis=1,
    )
    generator = Generator(VECTORS, 4, 8, 0, n_classes=2)
    story = SimpleNamespace(
        shape=generator,
        vectors=VECTORS,
        told=(),
        n_classes=2,
        log_weights=np.log([0.8, 0.2]),
        draws_of_classes=(vectors_of(generator, draws)[:, : VECTORS.n_outputs], labels),
    )
    none = np.nan
    asked = np.array([[none, none, none], [none, none, 0], [none, none, 2], [0.4, none, none]])
    found = class_shares(story, asked)[:, 1]
    assert found[0] == pytest.approx(0.2)
    # Levels: all draws that have them, whose share of class 1 is that of Bayes' rule.
    for row, level in ((1, 0), (2, 2)):
        of = np.array([(draws[labels == c, 2] == level).mean() for c in (0, 1)]) * [0.8, 0.2]
        assert found[row] == pytest.approx(of[1] / of.sum(), abs=1e-9)
    joint = np.array([0.8, 0.2]) * np.exp(-0.5 * (0.4 - np.array([-0.5, 0.5])) ** 2)
    # 4 standard errors of 50 neighbours.
    assert found[3] == pytest.approx(joint[1] / joint.sum(), abs=4 * 0.5 / np.sqrt(50))


# Images -------------------------------------------------------------------------------------------


def test_convolutions_are_those_of_the_library():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32))
    layer = _Convolution(3, 4, 3, jax.random.key(1))
    kernel = layer.weight.reshape(3, 3, 3, 4)
    expected = jax.lax.conv_general_dilated(
        x[None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )[0]
    np.testing.assert_allclose(np.asarray(layer(x)), np.asarray(expected), atol=1e-5)
    assert np.array_equal(_finer(_coarser(x[:4])), x[:4])


def test_networks_of_images_fit_any_size():
    shape = (15, 18, 3)

    @jax.jit
    def both(told: jax.Array) -> tuple[jax.Array, jax.Array]:
        generator = ImageGenerator(5, 2, shape, (4, 6), jax.random.key(0))
        critic = ImageCritic(shape, 2, (4, 6), jax.random.key(1))
        image = generator(jnp.ones(5), told)
        return image, critic(image, told) - critic(image, told[::-1])

    image, apart = both(jnp.array([0.0, 1.0]))
    assert image.shape == (int(np.prod(shape)),) and apart.shape == (1,)
    assert abs(float(apart[0])) > 1e-6  # the critic is told the class
