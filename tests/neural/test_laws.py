"""Likelihoods of decoders: they integrate to 1, and draws and means agree with them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import logistic, norm

from fabula.neural.forms.image import ImageForm
from fabula.neural.forms.number_columns import NumberColumn, learn_number_column
from fabula.neural.forms.table import LevelColumn, TableForm
from fabula.neural.variational.bells import log_density, log_mass
from fabula.neural.variational.laws import PixelLaw, TableLaw

KEY = jax.random.key(0)
LINE = np.array([-4.0, 0.0, 9.0]), np.array([-2.0, 0.0, 3.0])
NUMBERS = {
    "any value": NumberColumn(*LINE, n_seen=50),
    "whole": NumberColumn(*LINE, step=1.0, n_seen=50),
    "spiky": NumberColumn(*LINE, spikes=np.array([0.0, 2.5]), n_seen=50),
    "whole and spiky": NumberColumn(*LINE, spikes=np.array([-1.0, 4.0]), step=1.0, n_seen=50),
}


def density(law, x, outputs):
    arrays = law.form.encode(np.asarray(x, dtype=float))
    batch = {name: jnp.asarray(a) for name, a in arrays.items()}
    return np.asarray(law.log_prob(jnp.asarray(outputs, dtype=jnp.float32), batch))


@pytest.mark.parametrize("bell", ["normal", "logistic"])
@pytest.mark.parametrize("name", NUMBERS)
def test_densities_of_numbers_integrate_to_one(name, bell):
    column = NUMBERS[name]
    law = TableLaw(TableForm((column,)), bell)
    outputs = np.array([0.3, -0.2, 0.1, 0.7, -0.5][: law.n_outputs])
    if column.step:
        grid, width = np.arange(-60.0, 120.0), 1.0
    else:
        grid = np.linspace(-60, 120, 90_001) + 1e-4  # next to the spikes, never on them
        width = grid[1] - grid[0]
    total = np.exp(density(law, grid[:, None], outputs)).sum() * width
    if len(column.spikes) and not column.step:
        total += np.exp(density(law, column.spikes[:, None], outputs)).sum()
    assert total == pytest.approx(1.0, abs=2e-3)


def test_a_narrow_cell_is_density_times_width():
    law = TableLaw(TableForm((NumberColumn(*LINE, step=0.001, n_seen=9),)))
    plain = TableLaw(TableForm((NumberColumn(*LINE, n_seen=9),)))
    x, outputs = np.array([[1.5]]), np.array([0.3, -0.2])
    assert density(law, x, outputs)[0] == pytest.approx(density(plain, x, outputs)[0], abs=1e-3)


def test_levels_have_their_probabilities_and_an_unknown_one_has_a_little():
    law = TableLaw(TableForm((LevelColumn(3, 98),)))
    outputs = np.array([0.5, -1.0, 2.0])
    probabilities = np.exp(density(law, [[0.0], [1], [2], [3]], outputs))
    expected = np.exp(outputs) / np.exp(outputs).sum()
    np.testing.assert_allclose(probabilities[:3], expected * 0.99, rtol=1e-4)
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)


def test_missing_cells_count_nothing_and_columns_add():
    form = TableForm((NUMBERS["spiky"], LevelColumn(2, 9), NUMBERS["whole"]))
    law = TableLaw(form)
    outputs = np.linspace(-0.5, 0.6, law.n_outputs)
    x = np.array([[1.0, 1, 3], [1, np.nan, np.nan], [np.nan, 1, np.nan], [np.nan, np.nan, 3]])
    found = density(law, x, outputs)
    assert found[0] == pytest.approx(found[1:].sum(), abs=1e-5)
    assert density(law, np.full((1, 3), np.nan), outputs)[0] == 0.0


@pytest.mark.parametrize("name", NUMBERS)
def test_draws_and_means_agree(name):
    law = TableLaw(TableForm((NUMBERS[name],)))
    outputs = np.array([0.3, -0.2, 0.1, 0.7, -0.5][: law.n_outputs])
    drawn = law.draw(jnp.tile(jnp.asarray(outputs), (20_000, 1)), KEY)
    x = law.decode({k: np.asarray(a) for k, a in drawn.items()})
    mean = law.centres(outputs[None, None], np.ones((1, 1)))[0, 0]
    assert mean == pytest.approx(x.mean(), abs=4.5 * x.std() / np.sqrt(20_000))


def test_draws_that_weigh_nothing_do_not_move_a_mean():
    law = TableLaw(
        TableForm((learn_number_column(1e6 + np.random.default_rng(0).normal(size=400)),))
    )
    outputs = np.zeros((500, 1, law.n_outputs))
    weights = np.full((500, 1), 9.9e-9)
    weights[0] = 1 - weights[1:].sum()
    assert law.centres(outputs, weights)[0, 0] == pytest.approx(
        law.centres(outputs[:1], np.ones((1, 1)))[0, 0], rel=1e-9
    )


def test_gradients_are_finite_where_cells_are_narrow_wide_and_far_away():
    form = TableForm(tuple(NUMBERS.values()))
    for bell in ("normal", "logistic"):
        law = TableLaw(form, bell)
        x = np.array([[0.0, 0, 0, 4], [80, 80, 80, 80], [-70, -70, 2.5, -1]])
        batch = {k: jnp.asarray(a) for k, a in form.encode(x).items()}
        gradient = jax.jit(jax.grad(lambda o, law=law, b=batch: law.log_prob(o, b).sum()))
        for scale in (0.0, 3.0, -9.0):
            assert bool(jnp.isfinite(gradient(jnp.full((3, law.n_outputs), scale))).all())


IMAGES = np.array([[[0, 3], [1, 2]], [[3, 3], [0, 1]]])


def of_pixels(law, pixels, outputs):
    seen = np.ones((len(pixels), 4), dtype=bool)
    batch = {"pixels": jnp.asarray(pixels), "seen": jnp.asarray(seen)}
    batch["shares"] = law.shares(batch)
    return np.asarray(law.log_prob(jnp.asarray(outputs), batch))


def test_levels_of_pixels_have_probabilities_that_sum_to_one():
    law = PixelLaw(ImageForm.learned(IMAGES), "logistic")
    outputs = jnp.array([0.2, -0.9, 0.9, 0.0, -1.0, 0.5, -3.0, 2.0])
    every = np.stack(np.meshgrid(*[np.arange(4)] * 4), -1).reshape(-1, 4).astype(np.uint8)
    assert np.exp(of_pixels(law, every, outputs)).sum() == pytest.approx(1.0, abs=1e-4)


def test_black_and_white_pixels_and_grey_ones():
    form = ImageForm((2, 2, 1), 256, 0.0, 255.0)
    law = PixelLaw(form, "bernoulli")
    outputs = np.array([0.3, -1.0, 2.0, 0.0], np.float32)
    binary = PixelLaw(ImageForm((2, 2, 1), 2, 0.0, 1.0), "bernoulli")
    found = of_pixels(binary, np.array([[1, 0, 1, 0]], np.uint8), outputs)[0]
    p = 1 / (1 + np.exp(-outputs))
    assert found == pytest.approx(np.log(p[0] * (1 - p[1]) * p[2] * (1 - p[3])), abs=1e-5)
    grey = {"pixels": jnp.full((4000, 4), 64, jnp.uint8)}
    assert float(law.shares(grey, KEY).mean()) == pytest.approx(64 / 255, abs=0.02)
    assert float(law.shares({"pixels": jnp.full((500, 4), 255, jnp.uint8)}, KEY).min()) == 1.0
    assert float(law.shares({"pixels": jnp.zeros((500, 4), jnp.uint8)}, KEY).max()) == 0.0


def test_pixels_of_any_value_have_a_density_in_their_own_unit():
    form = ImageForm((1, 1, 1), 0, -10.0, 30.0)
    law = PixelLaw(form, "normal")
    grid = np.linspace(-200, 240, 20_001)
    share = ((grid - form.low) / 40.0).astype(np.float32)[:, None]
    batch = {"shares": jnp.asarray(share), "seen": jnp.ones((len(grid), 1), bool)}
    logs = np.asarray(law.log_prob(jnp.array([0.1, 0.2]), batch))
    assert np.exp(logs).sum() * (grid[1] - grid[0]) == pytest.approx(1.0, abs=1e-3)


# Centres black, dark, in the middle, white and beyond; narrow, usual and wide bells.
CENTRES = np.repeat([-1.0, -0.9, 0.13, 1.0, 1.6], 3)
BELLS = np.concatenate([CENTRES, np.tile([-6.0, -2.0, 1.0], 5)])[None]


def mean_of(law):
    return law.centres(BELLS[None], np.ones((1, 1)))[0]


@pytest.mark.parametrize("n_levels", [2, 17, 256])
def test_means_of_levels_are_those_of_their_probabilities(n_levels):
    law = PixelLaw(ImageForm((1, 15, 1), n_levels, 3.0, 2.0 + n_levels), "logistic")
    shares = jnp.arange(n_levels)[:, None] / (n_levels - 1)
    one_at_a_time = {"shares": shares[:, :, None], "seen": jnp.eye(15, dtype=bool)}
    logs = np.asarray(law.log_prob(jnp.asarray(BELLS[0]), one_at_a_time))
    assert logs.shape == (n_levels, 15)
    expected = 3.0 + np.arange(n_levels) @ np.exp(logs)
    # Many levels: before rounding, which half a level is the most that can come of.
    np.testing.assert_allclose(mean_of(law), expected, atol=0.5 if n_levels == 256 else 1e-4)


@pytest.mark.parametrize(("kind", "n_levels"), [("logistic", 17), ("normal", 17), ("normal", 0)])
def test_draws_and_means_of_pixels_agree(kind, n_levels):
    law = PixelLaw(ImageForm((1, 15, 1), n_levels, -8.0, 8.0), kind)
    drawn = law.draw(jnp.tile(jnp.asarray(BELLS), (20_000, 1)), KEY)
    x = law.decode({k: np.asarray(a) for k, a in drawn.items()})
    error = mean_of(law) - x.mean(axis=0)
    assert np.all(np.abs(error) <= 4.5 * x.std(axis=0) / np.sqrt(20_000) + 1e-3)


def test_bells_are_those_of_scipy():
    low, high = np.array([-9.0, -1.0, 0.5, 7.0]), np.array([-8.0, 1.0, 0.6, 7.5])
    for bell, law in (("normal", norm), ("logistic", logistic)):
        mass = np.log(np.where(low > 0, law.sf(low) - law.sf(high), law.cdf(high) - law.cdf(low)))
        np.testing.assert_allclose(log_mass(bell, low, high), mass, rtol=1e-4)
        np.testing.assert_allclose(log_density(bell, low), law.logpdf(low), rtol=1e-5)
