"""Intervals for calibration errors, by inverting a bootstrap.

A calibration error is the size of a curve (the mean residual at each stated probability) that is
seen through noise, and noise adds to its size. A percentile bootstrap would add the noise a
second time and almost never cover the error of a calibrated model. Here the estimate is simulated
for models whose curve is λ times the observed one, with resampled noise; the ends of the interval
are the errors of those λ for which the observed value is the upper or the lower quantile, and the
corrected value is the error for which it is the median.

References
----------
Andrews (1993), Exactly median-unbiased estimation of first order autoregressive models.
Cowan, Cranmer, Gross, Vitells (2011), Power-constrained limits, arXiv:1105.3166.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fabula.evaluation.predictions import Floats
from fabula.evaluation.reflected_kernel import bin_linearly, cosine_coefficients, fixed_point
from fabula.evaluation.resampling import bootstrap_weights

__all__ = ["BinnedNoise", "Grid", "Noise", "SmoothNoise", "invert"]

_STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
_CELLS_PER_BANDWIDTH, _MIN_CELLS, _MAX_CELLS = 12, 128, 2**13


class Noise(Protocol):
    """Resampled noise of one yes/no outcome."""

    def errors(self, strength: float, shift: float | None) -> Floats:
        """Estimates (resamples,) where the curve is ``strength`` times the observed one.

        With ``shift`` the curve is ``strength`` times that constant instead.
        """
        ...


@dataclass(frozen=True)
class BinnedNoise:
    """Noise of the error over bins: mean residuals (b,), masses and noise (resamples, b)."""

    mean: Floats
    mass: Floats
    noise: Floats

    @classmethod
    def draw(
        cls,
        residual: Floats,
        bins: NDArray[np.intp],
        group: NDArray[np.intp],
        n_bootstrap: int,
        rng: np.random.Generator,
    ) -> BinnedNoise:
        """Resample groups of rows (residual and bin of each row are (n,))."""
        count = np.bincount(bins)
        mean = np.bincount(bins, weights=residual) / np.maximum(count, 1)
        # Taking off the bin's own mean shrinks the noise by (n - 1) / n in variance: give it back.
        rest = (residual - mean[bins]) * np.sqrt(count / np.maximum(count - 1, 1))[bins]
        mass, noise = np.empty((n_bootstrap, count.size)), np.empty((n_bootstrap, count.size))
        for draw, weights in enumerate(bootstrap_weights(group, n_bootstrap, rng)):
            mass[draw] = np.bincount(bins, weights=weights) / weights.sum()
            noise[draw] = np.bincount(bins, weights=weights * rest) / weights.sum()
        return cls(mean, mass, noise)

    def errors(self, strength: float, shift: float | None) -> Floats:
        """See :class:`Noise`."""
        curve = self.mean if shift is None else np.full_like(self.mean, shift)
        return np.asarray(np.abs(strength * self.mass * curve + self.noise).sum(axis=1))


@dataclass(frozen=True)
class Grid:
    """Rows binned on one grid, for many smooth errors over the same stated probabilities."""

    left: NDArray[np.intp]
    share: Floats
    n_cells: int
    start: float

    @classmethod
    def for_error(cls, probability: Floats, error: float) -> Grid:
        """Grid that resolves widths near this error; the error is where searches start."""
        start = max(error, 1.0 / _MAX_CELLS)
        wanted = 2.0 ** np.ceil(np.log2(_CELLS_PER_BANDWIDTH / start))
        n_cells = int(np.clip(wanted, _MIN_CELLS, _MAX_CELLS))
        return cls(*bin_linearly(probability, n_cells), n_cells, start)

    def coefficients(self, mass: Floats) -> Floats:
        """Cosine coefficients (n_cells + 1,) of the mean of the masses (n,)."""
        return cosine_coefficients(self.left, self.share, mass / mass.size, self.n_cells)

    def error(self, residual: Floats) -> float:
        """Smooth error of residuals (n,)."""
        return float(fixed_point(self.coefficients(residual), start=self.start))


@dataclass(frozen=True)
class SmoothNoise:
    """Noise of the smooth error, as cosine coefficients: curve, constant (m,), noise (r, m)."""

    curve: Floats
    constant: Floats
    noise: Floats
    start: float

    @classmethod
    def draw(
        cls,
        residual: Floats,
        grid: Grid,
        group: NDArray[np.intp],
        n_bootstrap: int,
        rng: np.random.Generator,
    ) -> SmoothNoise:
        """Resample groups of rows (residuals are (n,))."""
        curve = grid.coefficients(residual)
        noise = np.empty((n_bootstrap, curve.size))
        for draw, weights in enumerate(bootstrap_weights(group, n_bootstrap, rng)):
            noise[draw] = grid.coefficients(weights * (residual.size / weights.sum()) * residual)
        return cls(curve, grid.coefficients(np.ones_like(residual)), noise - curve, grid.start)

    def errors(self, strength: float, shift: float | None) -> Floats:
        """See :class:`Noise`."""
        curve = self.curve if shift is None else shift * self.constant
        return fixed_point(
            strength * curve + self.noise, start=np.full(self.noise.shape[0], self.start)
        )


def invert(value: float, noises: Sequence[Noise], confidence: float) -> tuple[float, float, float]:
    """Lower end, median-unbiased estimate and upper end for an error that is a mean over noises.

    The upper end is never below the value, nor below what a typical calibrated model would have:
    a value that is small by chance must not exclude every error (power-constrained limits).
    """

    def simulate(strength: float, shift: float | None) -> Floats:
        return np.asarray(np.mean([noise.errors(strength, shift) for noise in noises], axis=0))

    null = simulate(0.0, None)
    typical = float(np.median(null))
    # A curve smaller than its noise says nothing of its shape: take a constant one instead.
    shift = typical if value < typical else None
    size = value if shift is None else shift
    simulated = [null] + [simulate(strength, shift) for strength in _STRENGTHS[1:]]
    tail = 50 * (1 - confidence)
    quantiles = np.percentile(simulated, [100 - tail, 50, tail], axis=1)
    low, middle, high = (size * _strength(value, quantile) for quantile in quantiles)
    return low, middle, max(high, size * _strength(typical, quantiles[2]), value)


def _strength(value: float, quantile: Floats) -> float:
    """λ at which a quantile of the simulated errors is the value, 0 if it is always above."""
    # Signal and noise add in squares, so λ² against the square of the quantile is nearly a line.
    rising = np.maximum.accumulate(quantile) ** 2
    if value**2 <= rising[0]:
        return 0.0
    return float(np.sqrt(np.interp(value**2, rising, np.square(_STRENGTHS))))
