"""Images in the form that networks take, and back: the one way in for every network over images.

An image is a row of h × w × c pixels. In arrays, each with one entry an image:

``pixels`` (n, h·w·c) uint8 or float32
    The level of each pixel, 0 … L-1, where pixels have levels; else the share of the way from the
    lowest to the highest value, 0 … 1. 0 where missing.
``seen`` (n, h·w·c) bool
    Which pixels are there.

>>> form = ImageForm.learned(np.array([[[0, 16], [8, 4]], [[1, 2], [3, 5]]]))
>>> form.shape, form.n_levels
((2, 2, 1), 17)
>>> arrays = form.encode(np.array([[0.0, 16, np.nan, 4]]))
>>> arrays["pixels"].tolist(), arrays["seen"].tolist()
([[0, 16, 0, 4]], [[True, True, False, True]])
>>> form.decode(arrays["pixels"]).tolist()
[[0.0, 16.0, 0.0, 4.0]]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray, Rows
from fabula.core.errors import DataError, UsageError
from fabula.persistence.registry import storable

__all__ = ["ImageForm"]

_MOST_LEVELS = 256
_LOOKED_AT = 2_000_000


@storable("neural/image_form")
@dataclass(frozen=True)
class ImageForm:
    """How images become arrays, and arrays images.

    Parameters
    ----------
    shape : (int, int, int)
        Height, width and channels.
    n_levels : int
        L, evenly spaced from ``low`` to ``high``; 0 where any value between is possible.
    low, high : float
        Values of the first and of the last level.
    has_channels : bool
        Whether images are given back as (n, h, w, c) rather than (n, h, w).
    """

    shape: tuple[int, int, int]
    n_levels: int = 256
    low: float = 0.0
    high: float = 255.0
    has_channels: bool = False

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise UsageError(f"An image has a height, a width and channels, not {self.shape}.")
        if not self.high > self.low:
            raise UsageError(f"Pixels from {self.low} to {self.high} have no range.")
        if self.n_levels and not 2 <= self.n_levels <= _MOST_LEVELS:
            raise UsageError(f"Pixels have 2 to {_MOST_LEVELS} levels, not {self.n_levels}.")

    @classmethod
    def learned(cls, images: Any, shape: tuple[int, ...] | None = None) -> ImageForm:
        """The form of images (n, h, w) or (n, h, w, c), or of rows of pixels of a given shape.

        Raises
        ------
        DataError
            There are no pixels with a value, or all have the same.
        """
        images = np.asarray(images)
        if shape is None:
            shape = images.shape[1:]
        has_channels = len(shape) == 3
        if len(shape) not in (2, 3):
            raise UsageError(
                f"Images are arrays (n, h, w) or (n, h, w, c), not of shape {images.shape}; or say "
                "image_shape."
            )
        full = (int(shape[0]), int(shape[1]), int(shape[2]) if has_channels else 1)
        values = np.unique(images.ravel()[:: max(1, images.size // _LOOKED_AT)])
        values = values[np.isfinite(values)].astype(np.float64)
        low, high = (
            (float(np.nanmin(images)), float(np.nanmax(images))) if len(values) else (0.0, 0.0)
        )
        if not high > low:
            raise DataError("All pixels have the same value: there is nothing to learn from.")
        if images.dtype == np.uint8 and high > 64:
            low, high = 0.0, 255.0
        elif 0.0 <= low < 0.1 * high:
            low = 0.0
        levels = _count_levels(values, low, high)
        return cls(full, levels, low, high, has_channels)

    @property
    def n_pixels(self) -> int:
        """h · w · c."""
        return int(np.prod(self.shape))

    @property
    def n_columns(self) -> int:
        """h · w · c: every pixel is a column of the encoded rows."""
        return self.n_pixels

    @property
    def step(self) -> float:
        """Distance of two levels, in the units of the images; 0 without levels."""
        return (self.high - self.low) / (self.n_levels - 1) if self.n_levels else 0.0

    def rows(self, images: Any) -> Rows:
        """Rows (n, h·w·c) of images in any of the shapes; NaN where missing.

        Raises
        ------
        DataError
            The images have another shape, or a pixel is infinite.
        """
        images = np.asarray(images)
        h, w, c = self.shape
        fits = images.shape[1:] in {(h, w, c), (self.n_pixels,)}
        if not fits and not (c == 1 and images.shape[1:] == (h, w)):
            raise DataError(
                f"Images have shape {images.shape[1:]}, expected {(h, w, c) if c > 1 else (h, w)} "
                f"or rows of {self.n_pixels} pixels."
            )
        rows = images.reshape(len(images), -1)
        if rows.dtype.kind == "f" and np.isinf(rows).any():
            i, j = np.argwhere(np.isinf(rows))[0]
            raise DataError(f"Input X contains infinity: image {i + 1}, pixel {j + 1}.")
        return np.asarray(rows)

    def encode(self, rows: Rows) -> dict[str, np.ndarray]:
        """Arrays of rows (n, h·w·c); values beyond the range are moved to its ends."""
        rows = np.asarray(rows)
        seen = ~np.isnan(rows) if rows.dtype.kind == "f" else np.ones(rows.shape, dtype=bool)
        if rows.dtype == np.uint8 and (self.low, self.high, self.n_levels) == (0.0, 255.0, 256):
            return {"pixels": np.ascontiguousarray(rows), "seen": seen}
        share = (np.where(seen, rows, self.low) - self.low) / (self.high - self.low)
        share = np.clip(share, 0.0, 1.0)
        if self.n_levels:
            return {"pixels": np.rint(share * (self.n_levels - 1)).astype(np.uint8), "seen": seen}
        return {"pixels": share.astype(np.float32), "seen": seen}

    def decode(self, pixels: Any) -> FloatArray:
        """Rows (n, h·w·c) of levels or shares, in the units of the images."""
        pixels = np.asarray(pixels, dtype=np.float64)
        share = pixels / (self.n_levels - 1) if self.n_levels else pixels
        return np.asarray(self.low + share * (self.high - self.low))

    def images(self, rows: Rows) -> FloatArray:
        """Rows as images of the shape that was learned from."""
        h, w, c = self.shape
        return np.asarray(rows.reshape((-1, h, w, c) if self.has_channels else (-1, h, w)))


def _count_levels(values: FloatArray, low: float, high: float) -> int:
    """Number of evenly spaced levels that all values agree with; 0 for none."""
    if len(values) > _MOST_LEVELS or len(values) < 2:
        return 0
    smallest = float(np.diff(values).min())
    steps = round((high - low) / smallest)
    if not 1 <= steps < _MOST_LEVELS:
        return 0
    at = (values - low) / (high - low) * steps
    return steps + 1 if np.allclose(at, np.rint(at), atol=1e-3) else 0
