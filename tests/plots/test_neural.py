"""Pictures of networks hold what they were given."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import DataError, UsageError
from fabula.plots.neural import image_grid, latent_map, loss_traces, reconstructions, traversal

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 17, (7, 8, 8)).astype(float)


def shown(figure):
    return [axes for axes in figure.axes if axes.images]


def test_a_grid_shows_every_image_dark_on_white():
    figure = image_grid(IMAGES, labels=list("abcdefg"), title="Some")
    axes = shown(figure)
    assert len(axes) == 7 and axes[1].get_title() == "b"
    picture = axes[0].images[0].get_array()
    np.testing.assert_allclose(picture, 1 - IMAGES[0] / IMAGES.max())
    colours = image_grid(np.stack([IMAGES] * 3, axis=-1))
    assert shown(colours)[0].images[0].get_array().shape == (8, 8, 3)


def test_reconstructions_stand_below_what_was_seen():
    axes = shown(reconstructions(IMAGES, IMAGES[::-1]))
    assert len(axes) == 14
    np.testing.assert_allclose(axes[7].images[0].get_array(), 1 - IMAGES[6] / IMAGES.max())
    with pytest.raises(UsageError, match="match"):
        reconstructions(IMAGES, IMAGES[:3])


@pytest.mark.parametrize("n_latent", [1, 2, 5])
def test_a_map_has_a_point_for_each_row(n_latent):
    latents = RNG.normal(size=(30, n_latent))
    labels = [str(k % 3) for k in range(30)]
    axes = latent_map(latents, labels).axes[0]
    assert sum(len(found.get_offsets()) for found in axes.collections) == 30
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["0", "1", "2"]
    if n_latent == 5:
        assert "of the variance" in axes.get_xlabel()


def test_losses_and_held_out_rows_share_a_panel():
    traces = {"divergence": [1.0, 2, 3], "loss": [9.0, 5, 4]}
    first, second = loss_traces(traces, [10, 20, 30], [9.5, 6, 5], 30).axes
    assert first.get_ylabel() == "loss (nats)" and len(first.lines) == 3
    assert first.lines[0].get_ydata().tolist() == [9, 5, 4]
    assert len(second.lines) == 1
    with pytest.raises(DataError, match="no losses"):
        loss_traces({}, [])


def test_a_traversal_is_a_row_for_each_dimension():
    figure = traversal([IMAGES, IMAGES], np.linspace(-1, 1, 7).tolist(), ["one", "two"])
    assert len(shown(figure)) == 14 and shown(figure)[0].get_title() == "-1.0"
    with pytest.raises(UsageError, match="one image for each"):
        traversal([IMAGES], [0.0])
    with pytest.raises(DataError, match="shape"):
        image_grid(np.zeros((3, 4)))
