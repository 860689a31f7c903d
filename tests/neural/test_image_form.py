"""Images for networks: their levels are found, and they come back as they were."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import DataError, UsageError
from fabula.neural.forms.image import ImageForm

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("images", "levels", "low", "high"),
    [
        (RNG.integers(0, 256, (50, 4, 5)).astype(np.uint8), 256, 0, 255),
        (RNG.integers(0, 256, (50, 4, 5)) / 255, 256, 0, 1),
        (RNG.integers(0, 2, (50, 4, 5)).astype(float), 2, 0, 1),
        (RNG.integers(0, 17, (50, 4, 5, 3)).astype(float), 17, 0, 16),
        (RNG.normal(size=(50, 4, 5)), 0, None, None),
    ],
)
def test_levels_are_found_and_images_come_back(images, levels, low, high):
    form = ImageForm.learned(images)
    assert form.n_levels == levels and form.n_pixels == images[0].size
    if low is not None:
        assert (form.low, form.high) == (low, high)
    arrays = form.encode(form.rows(images))
    np.testing.assert_allclose(form.images(form.decode(arrays["pixels"])), images, atol=1e-5)
    assert arrays["seen"].all()


def test_rows_of_pixels_with_holes():
    rows = np.array([[0.0, 1, np.nan, 3], [3, 2, 1, 0]])
    form = ImageForm.learned(rows, (2, 2))
    arrays = form.encode(rows)
    assert arrays["pixels"].tolist() == [[0, 1, 0, 3], [3, 2, 1, 0]]
    assert arrays["seen"].tolist() == [[True, True, False, True], [True] * 4]


def test_what_makes_no_image_is_refused():
    with pytest.raises(DataError, match="same value"):
        ImageForm.learned(np.ones((3, 2, 2)))
    with pytest.raises(UsageError, match=r"n, h, w"):
        ImageForm.learned(np.ones((3, 4)))
    form = ImageForm.learned(np.arange(8.0).reshape(2, 2, 2))
    with pytest.raises(DataError, match=r"shape \(3, 3\)"):
        form.rows(np.zeros((1, 3, 3)))
    with pytest.raises(DataError, match="image 1, pixel 2"):
        form.rows(np.array([[0, np.inf, 0, 0]]))
