"""Solvers and densities where the best possible denoiser is known in closed form: no network."""

from __future__ import annotations

from typing import get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from fabula.estimators.networks.diffusion_questions import SOLVERS as asked
from fabula.neural.diffusion.density import evidence_bound, flow_log_density
from fabula.neural.diffusion.guidance import Steered, choose
from fabula.neural.diffusion.learning import code_errors
from fabula.neural.diffusion.schedule import Schedule
from fabula.neural.diffusion.solvers import Course, Moving, Solver, advance_rows, draw_rows
from fabula.neural.diffusion.states import (
    MASKED,
    Clean,
    Known,
    Noisy,
    Prediction,
)

MEAN = np.array([0.5, -0.3])
COVARIANCE = np.array([[1.0, 0.8], [0.8, 1.0]])
SCHEDULE = Schedule()
SOLVERS = get_args(Solver)
# The law at the highest noise is taken to have the mean 0: here it has not.
FAR = Schedule(highest=100.0)


def test_the_solvers_that_may_be_asked_for_are_those_that_are_there():
    assert set(asked) == set(SOLVERS)


class Normal(eqx.Module):
    """The exact denoiser of a normal law, each number with a noise of its own."""

    mean: jax.Array
    covariance: jax.Array

    def __call__(self, rows: Noisy, sigma: jax.Array) -> Prediction:
        # Σ (Σ + L²)⁻¹ (x - m), written out, since 2 × 2 matrices are slow to solve one by one.
        noise = jnp.square(jnp.minimum(rows.levels, 1e6))
        gap = jnp.where(jnp.isinf(rows.levels), 0.0, rows.numbers - self.mean)
        if len(self.mean) == 1:
            variance = self.covariance[0, 0]
            moved = gap * variance / (variance + noise)
        else:
            (a, b), (_, d) = self.covariance
            first, last = a + noise[:, 0], d + noise[:, 1]
            size = first * last - b * b
            u = (last * gap[:, 0] - b * gap[:, 1]) / size
            v = (first * gap[:, 1] - b * gap[:, 0]) / size
            moved = jnp.stack([a * u + b * v, b * u + d * v], axis=1)
        numbers = self.mean + moved
        return Prediction(numbers, jnp.zeros((len(sigma), 0)))


class Bells(eqx.Module):
    """The exact denoiser of an even mixture of two bells of the deviation 0.2, at -1 and 1."""

    def __call__(self, rows: Noisy, sigma: jax.Array) -> Prediction:
        total = 0.04 + jnp.square(rows.levels)
        shares = jax.nn.sigmoid(2.0 * rows.numbers / total)
        centre = 2.0 * shares - 1.0
        numbers = centre + 0.04 / total * (rows.numbers - centre)
        return Prediction(numbers, jnp.zeros((len(sigma), 0)))


class Joint(eqx.Module):
    """The exact denoiser of a joint law of three categories of two levels."""

    table: jax.Array  # (2, 2, 2)

    def __call__(self, rows: Noisy, sigma: jax.Array) -> Prediction:
        levels = jnp.arange(2)

        def of_row(codes: jax.Array) -> jax.Array:
            allowed = (codes[:, None] == levels) | (codes[:, None] == MASKED)
            weights = self.table * jnp.einsum("i,j,k->ijk", *allowed.astype(jnp.float32))
            parts = [weights.sum(axis) for axis in ((1, 2), (0, 2), (0, 1))]
            # Of a code that shows, what it would be without itself does not matter.
            logs = [jnp.log(jnp.maximum(part, 1e-30) / weights.sum()) for part in parts]
            return jnp.concatenate(logs)

        return Prediction(jnp.zeros((len(sigma), 0)), jax.vmap(of_row)(rows.codes))


flow = eqx.filter_jit(flow_log_density)
bound = eqx.filter_jit(evidence_bound)
drawn_by = eqx.filter_jit(draw_rows)
TABLE = np.array([[[0.30, 0.02], [0.05, 0.13]], [[0.02, 0.18], [0.20, 0.10]]])
GROUPS = ((2, 0, 3, 0, 6),)


@pytest.fixture(scope="module")
def normal() -> Normal:
    return Normal(jnp.asarray(MEAN, jnp.float32), jnp.asarray(COVARIANCE, jnp.float32))


def nothing_known(n: int, n_numbers: int, n_parts: int) -> Known:
    """No cell is known."""
    return Known(
        jnp.zeros((n, n_numbers)),
        jnp.zeros((n, n_parts), dtype=jnp.int32),
        jnp.zeros((n, n_numbers), dtype=bool),
        jnp.zeros((n, n_parts), dtype=bool),
    )


def flowed(denoiser, start, solver, steps, low=0.05):
    """Where the flow leads from the highest noise to ``low``, along one solver."""
    schedule = Schedule(lowest=low)
    course = Course(schedule, (), steps, solver)
    levels = jnp.broadcast_to(schedule.levels(steps + 1), (len(start), steps + 1))
    rows = Moving(start, jnp.zeros((len(start), 0), int), start, jnp.zeros(len(start)))
    known = nothing_known(len(start), start.shape[1], 0)
    shows = jnp.zeros((len(start), 0))
    move = eqx.filter_jit(advance_rows)
    return move(denoiser, course, known, rows, levels, shows, jax.random.key(0)).numbers


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("dpm", 2)])
def test_solvers_have_the_order_they_should(solver, order):
    # A bell of deviation 0.7 flows along straight lines in x / sqrt(0.49 + σ²).
    bell = Normal(jnp.zeros(1), jnp.full((1, 1), 0.49))
    start = jnp.linspace(-40.0, 40.0, 5)[:, None]
    exact = start * np.sqrt((0.49 + 0.05**2) / (0.49 + SCHEDULE.highest**2))
    errors = [
        float(jnp.abs(flowed(bell, start, solver, steps) - exact).max()) for steps in (32, 64)
    ]
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.25)


@pytest.mark.parametrize("solver", SOLVERS)
def test_draws_have_the_moments_of_the_law(normal, solver):
    n, steps = 20_000, 300 if solver == "euler" else 60
    course = Course(SCHEDULE, (), steps, solver)
    drawn, _ = drawn_by(normal, course, nothing_known(n, 2, 0), jax.random.key(1))
    drawn = np.asarray(drawn)
    np.testing.assert_allclose(drawn.mean(axis=0), MEAN, atol=4 / np.sqrt(n))
    # 4 standard errors of a variance, and what the steps leave.
    np.testing.assert_allclose(np.cov(drawn.T), COVARIANCE, atol=4 * np.sqrt(2 / n) + 0.01)


@pytest.mark.parametrize("steps", [20, 50])
def test_few_ancestral_steps_draw_numbers_as_wide_as_they_are(steps):
    bell, n = Normal(jnp.zeros(1), jnp.ones((1, 1))), 20_000
    course = Course(SCHEDULE, (), steps, "ancestral")
    drawn, _ = drawn_by(bell, course, nothing_known(n, 1, 0), jax.random.key(3))
    assert np.std(drawn) == pytest.approx(1.0, abs=4 / np.sqrt(2 * n))
    # Without what a number may differ from its mean by: the lesser of the two extremes.
    narrow = Course(SCHEDULE, (), steps, "ancestral", unit=False)
    drawn, _ = drawn_by(bell, narrow, nothing_known(n, 1, 0), jax.random.key(3))
    assert 0.8 < np.std(drawn) < 0.95


@pytest.mark.parametrize("churn", [0.0, 20.0])
def test_both_modes_of_a_mixture_are_drawn(churn):
    n = 8000
    course = Course(SCHEDULE, (), 40, "heun", churn)
    drawn = np.asarray(
        drawn_by(Bells(), course, nothing_known(n, 1, 0), jax.random.key(0))[0][:, 0]
    )
    above = drawn > 0
    assert above.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(n))
    for side, centre in ((above, 1.0), (~above, -1.0)):
        assert drawn[side].mean() == pytest.approx(centre, abs=0.02)
        assert drawn[side].std() == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize(("told", "repeats", "tolerance"), [(True, 1, 0.0), (False, 20, 0.05)])
def test_known_cells_make_draws_conditional(normal, told, repeats, tolerance):
    n = 8000
    known = Known(
        jnp.full((n, 2), 1.2),
        jnp.zeros((n, 0), int),
        jnp.tile(jnp.array([[True, False]]), (n, 1)),
        jnp.zeros((n, 0), bool),
    )
    course = Course(SCHEDULE, (), 40, "heun", 0.0, told, repeats)
    drawn = np.asarray(drawn_by(normal, course, known, jax.random.key(0))[0])
    assert np.all(drawn[:, 0] == np.float32(1.2))
    mean, variance = -0.3 + 0.8 * (1.2 - 0.5), 1 - 0.8**2
    error = 4 * np.sqrt(variance / n)
    assert drawn[:, 1].mean() == pytest.approx(mean, abs=error + tolerance)
    assert drawn[:, 1].var() == pytest.approx(variance, rel=4 * np.sqrt(2 / n) + 0.03)


def clean(x):
    n = len(x)
    none = jnp.zeros((n, 0), int)
    return Clean(jnp.asarray(x, jnp.float32), none, ~jnp.isnan(x), none.astype(bool))


def test_the_flow_tells_the_density(normal):
    law = multivariate_normal(MEAN, COVARIANCE)
    x = law.rvs(200, random_state=0)
    keys = jax.random.split(jax.random.key(0), 200)
    found = np.asarray(flow(normal, clean(x), FAR, keys))
    np.testing.assert_allclose(found, law.logpdf(x), atol=0.03)
    # A random trace has the right mean.
    rough = np.asarray(flow(normal, clean(x), FAR, keys, n_probes=8))
    gap = (rough - found).astype(float)
    assert gap.mean() == pytest.approx(0.0, abs=4 * gap.std() / 14)
    assert gap.std() > 0.01


def test_the_flow_leaves_missing_numbers_out(normal):
    x = np.array([[0.7, np.nan], [-1.0, np.nan]])
    keys = jax.random.split(jax.random.key(0), 2)
    rows = clean(x)._replace(numbers=jnp.nan_to_num(jnp.asarray(x, jnp.float32)))
    found = np.asarray(flow(normal, rows, FAR, keys))
    np.testing.assert_allclose(found, multivariate_normal(0.5, 1).logpdf(x[:, 0]), atol=0.02)


def test_the_bound_on_numbers_is_sharp_for_an_exact_denoiser(normal):
    law = multivariate_normal(MEAN, COVARIANCE)
    x = law.rvs(2000, random_state=1)
    keys = jax.random.split(jax.random.key(0), 2000)
    found = bound(
        normal, lambda k: clean(x), 0, lambda s, c: jnp.zeros((2000, 0)), SCHEDULE, keys, 64
    )
    gaps = np.asarray(found) - law.logpdf(x)
    assert gaps.mean() == pytest.approx(0.0, abs=4 * gaps.std() / np.sqrt(2000))
    assert gaps.std() < 0.6


def codes_of(n, rng):
    flat = rng.choice(8, size=n, p=TABLE.ravel())
    return np.stack(np.unravel_index(flat, (2, 2, 2)), axis=1)


class _Layout:
    layout = GROUPS


def test_the_bound_on_categories_is_the_entropy_for_an_exact_denoiser():
    n = 4000
    codes = codes_of(n, np.random.default_rng(0))
    rows = Clean(
        jnp.zeros((n, 0)), jnp.asarray(codes), jnp.zeros((n, 0), bool), jnp.ones((n, 3), bool)
    )
    keys = jax.random.split(jax.random.key(0), n)
    found = np.asarray(
        bound(
            Joint(jnp.asarray(TABLE, jnp.float32)),
            lambda k: rows,
            0,
            lambda scores, c: code_errors(_Layout, scores, c),
            SCHEDULE,
            keys,
            32,
        )
    )
    gaps = found - np.log(TABLE[tuple(codes.T)])
    # Masked diffusion is a mixture of all orders of the chain rule: the bound has no gap.
    assert gaps.mean() == pytest.approx(0.0, abs=4 * gaps.std() / np.sqrt(n))
    assert gaps.std() < 0.6


@pytest.mark.parametrize("steps", [3, 20])
def test_categories_are_drawn_jointly_where_each_has_a_step(steps):
    n = 40_000
    course = Course(SCHEDULE, GROUPS, steps, "euler")
    joint = Joint(jnp.asarray(TABLE, jnp.float32))
    _, codes = drawn_by(joint, course, nothing_known(n, 0, 3), jax.random.key(2))
    codes = np.asarray(codes)
    found = np.bincount(np.ravel_multi_index(codes.T, (2, 2, 2)), minlength=8) / n
    error = 4 * np.sqrt(TABLE.ravel() / n)
    assert np.all(np.abs(found - TABLE.ravel()) < error)


def test_known_categories_are_kept_and_change_the_others():
    n = 20_000
    known = nothing_known(n, 0, 3)
    known = known._replace(
        codes=known.codes.at[:, 1].set(1), has_code=known.has_code.at[:, 1].set(True)
    )
    joint = Joint(jnp.asarray(TABLE, jnp.float32))
    _, codes = drawn_by(joint, Course(SCHEDULE, GROUPS, 6, "euler"), known, jax.random.key(0))
    codes = np.asarray(codes)
    assert np.all(codes[:, 1] == 1)
    wanted = TABLE[:, 1] / TABLE[:, 1].sum()
    found = np.bincount(2 * codes[:, 0] + codes[:, 2], minlength=4) / n
    np.testing.assert_allclose(found, wanted.ravel(), atol=4 * 0.5 / np.sqrt(n))


def test_a_classifier_of_noisy_rows_guides_exactly():
    # x ~ N(0, 1) and y | x ~ N(x, 0.5²): log p(y = 1 | x_σ) is that of a bell around E[x | x_σ].
    bell = Normal(jnp.zeros(1), jnp.ones((1, 1)))

    def log_p(numbers, codes, sigma):
        middle = numbers[:, 0] / (1 + sigma**2)
        return -0.5 * (1.0 - middle) ** 2 / (0.25 + sigma**2 / (1 + sigma**2))

    n = 8000
    drawn, _ = drawn_by(
        Steered(bell, log_p, noisy=True), Course(SCHEDULE, (), 60), nothing_known(n, 1, 0),
        jax.random.key(0),
    )  # fmt: skip
    drawn = np.asarray(drawn)
    assert drawn.mean() == pytest.approx(0.8, abs=4 * np.sqrt(0.2 / n) + 0.005)
    assert drawn.var() == pytest.approx(0.2, rel=4 * np.sqrt(2 / n) + 0.02)


def test_candidates_follow_any_function_of_rows():
    bell = Normal(jnp.zeros(1), jnp.ones((1, 1)))
    n, m = 500, 32

    def log_p(numbers, codes):
        return -0.5 * (1.0 - np.asarray(numbers)[:, 0]) ** 2 / 0.25

    course = Course(SCHEDULE, (), 60, "ancestral")
    known = nothing_known(n * m, 1, 0)
    drawn, _ = choose(bell, course, known, log_p, m, np.random.default_rng(0))
    assert drawn.shape == (n, 1)
    assert drawn.mean() == pytest.approx(0.8, abs=4 * np.sqrt(0.2 / n) + 0.02)
    assert drawn.var() == pytest.approx(0.2, rel=4 * np.sqrt(2 / n) + 0.05)


def test_candidates_follow_a_rule():
    bell = Normal(jnp.zeros(1), jnp.ones((1, 1)))
    n, m, low = 400, 64, 1.0

    def rule(numbers, codes):
        return np.where(np.asarray(numbers)[:, 0] > low, 0.0, -np.inf)

    course = Course(SCHEDULE, (), 36, "ancestral")
    known = nothing_known(n * m, 1, 0)
    drawn, _ = choose(bell, course, known, rule, m, np.random.default_rng(1))
    mean = norm.pdf(low) / norm.sf(low)
    spread = np.sqrt(1 + low * mean - mean**2)
    assert (drawn > low).all()
    assert drawn.mean() == pytest.approx(mean, abs=4 * spread / np.sqrt(n))
    near = norm.cdf(low + 0.3) - norm.cdf(low)
    assert np.mean(drawn < low + 0.3) == pytest.approx(near / norm.sf(low), abs=4 * 0.5 / 20)


def test_time_and_noise_are_inverse_and_levels_fall():
    time = jnp.linspace(0.1, 0.95, 9)
    np.testing.assert_allclose(SCHEDULE.time(SCHEDULE.sigma(time)), time, rtol=1e-4)
    levels, shows = SCHEDULE.row_levels(jax.random.key(0), 50, 2, 4, 20)
    assert levels.shape == (50, 21) and shows.shape == (50, 4)
    assert np.all(np.diff(np.asarray(levels), axis=1) <= 0) and np.all(levels[:, -1] == 0)
    # Every category shows at a level of its own.
    pairs = zip(np.asarray(shows), np.asarray(levels), strict=True)
    assert all(set(mine) <= set(row) for mine, row in pairs)
