"""Networks without the latents that carry nothing."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from fabula.neural.forms.table import TableForm
from fabula.neural.networks.base import Network
from fabula.neural.variational.autoencoder import Autoencoder
from fabula.neural.variational.laws import TableLaw
from fabula.neural.variational.live_latents import live_latents, with_latents
from fabula.tables.encoding import Field


def test_a_latent_lives_where_its_mean_moves():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(500, 4)) * [1.0, 0.02, 0.4, 0.05] + [0.0, 3.0, 0.0, -2.0]
    assert live_latents(means).tolist() == [0, 2]
    assert live_latents(0.01 * means).tolist() == [0]


@pytest.mark.parametrize("prior", ["normal", "mixture", "vamp"])
@pytest.mark.parametrize("widths", [(), (5, 6)])
def test_the_others_are_held_and_nothing_else_changes(prior, widths):
    fields = [Field(j, "continuous") for j in range(3)]
    x = np.random.default_rng(1).normal(size=(40, 3))
    form = TableForm.learned(x, fields, scaling="standard")
    shape = Autoencoder(TableLaw(form), 4, widths, 2, prior, 3)
    before = shape.build(jax.random.key(0))
    usual = np.array([0.3, -1.0, 0.7, 2.0])
    after = with_latents(Network.of(shape, before), [0, 2], usual).build()

    classes = np.array([0.0, 1.0])
    z = np.array([0.5, usual[1], -0.2, usual[3]])
    np.testing.assert_allclose(
        after.decode(z[[0, 2]], classes), before.decode(z, classes), rtol=1e-5, atol=1e-6
    )
    row = {name: array[0] for name, array in form.encode(x).items()}
    features = before.features(row)
    for found, whole in zip(
        after.encode(after.features(row), classes), before.encode(features, classes), strict=True
    ):
        np.testing.assert_allclose(found, np.asarray(whole)[[0, 2]], rtol=1e-5, atol=1e-6)
    assert after.shape == replace(shape, n_latent=2)
    for found, whole in zip(after.components(), before.components(), strict=True):
        expected = np.asarray(whole)
        expected = expected[:, [0, 2]] if expected.ndim == 2 else expected
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
