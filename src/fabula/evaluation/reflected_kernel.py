"""Gaussian smoothing on [0, 1] with reflection at both ends.

The reflected kernel sums a Gaussian over all mirror images of a point (Błasiok and Nakkiran,
2023, section 3). It is the heat kernel of the interval with insulated ends, so the cosines
cos(kπt) are its eigenfunctions with eigenvalues exp(-(kπσ)²/2): on a grid that holds both ends,
smoothing is two cosine transforms of type I, without any truncation of the images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabula.evaluation.predictions import Floats

__all__ = ["bin_linearly", "cosine_coefficients", "fixed_point", "smooth"]


def bin_linearly(positions: Floats, n_cells: int) -> tuple[NDArray[np.intp], Floats]:
    """Left grid point of each position and the share that goes to the right neighbour.

    Sharing a mass between its two neighbours keeps its mean position exact, so the error of the
    grid falls with the square of the spacing.
    """
    scaled = np.clip(positions, 0.0, 1.0) * n_cells
    left = np.minimum(scaled.astype(np.intp), n_cells - 1)
    return left, scaled - left


def cosine_coefficients(
    left: NDArray[np.intp], share: Floats, mass: Floats, n_cells: int
) -> Floats:
    """Σᵢ massᵢ cos(kπtᵢ) for k = 0 … n_cells, of point masses binned on the grid j / n_cells."""
    from scipy.fft import dct

    right_mass = mass * share
    left_mass = mass - right_mass
    grid = np.zeros(n_cells + 1)
    grid += np.bincount(left, weights=left_mass, minlength=n_cells + 1)
    grid += np.bincount(left + 1, weights=right_mass, minlength=n_cells + 1)
    # The type-I transform counts inner points twice and the two ends once.
    grid[0] *= 2.0
    grid[-1] *= 2.0
    return np.asarray(dct(grid, type=1) / 2.0)


def smooth(coefficients: Floats, bandwidth: Floats | float) -> Floats:
    """Smooth densities on the grid j/m.

    Parameters
    ----------
    coefficients : (..., m + 1)
        From :func:`cosine_coefficients`; one row for each function.
    bandwidth : (...,)
        Standard deviation σ of the Gaussian for each row, in units of probability.

    Returns
    -------
    array (..., m + 1)
        Σᵢ massᵢ K_σ(t, tᵢ) at t = 0, 1/m, …, 1; its integral is Σᵢ massᵢ.
    """
    from scipy.fft import dct

    frequency = np.pi * np.arange(coefficients.shape[-1])
    damping = np.exp(-0.5 * (np.asarray(bandwidth)[..., None] * frequency) ** 2)
    return np.asarray(dct(coefficients * damping, type=1, axis=-1))


def fixed_point(coefficients: Floats, start: Floats | float | None = None) -> Floats:
    """Width σ (...) at which ∫₀¹ |smoothed| dt equals σ, for each row of coefficients.

    The integral falls as σ grows, so there is one crossing. Without ``start`` it is found by
    bisection to 2⁻³⁰; from a nearby start a secant in logarithms reaches 10⁻⁴ of σ in a few
    steps, which is what resampling needs.
    """
    if start is None:
        low = np.zeros(coefficients.shape[:-1])
        high = np.ones(coefficients.shape[:-1])
        for _ in range(30):
            middle = 0.5 * (low + high)
            above = _area(coefficients, middle) > middle
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return np.asarray(0.5 * (low + high))
    # Noise gives an area ∝ σ^(-1/2), a plain bias one that does not depend on σ.
    log_width: Floats = np.log(np.maximum(start, 1e-9))
    slope: Floats = np.full_like(log_width, -0.25)
    log_area = _log_area(coefficients, log_width)
    for _ in range(6):
        step = (log_area - log_width) / (1.0 - slope)
        if np.all(np.abs(step) < 1e-4):
            break
        previous = log_area
        log_width = log_width + step
        log_area = _log_area(coefficients, log_width)
        change = np.divide(log_area - previous, step, out=np.zeros_like(step), where=step != 0)
        slope = np.clip(change, -1.0, 0.0)
    return np.asarray(np.exp(log_width + (log_area - log_width) / (1.0 - slope)))


def _area(coefficients: Floats, bandwidth: Floats) -> Floats:
    """Trapezoid rule for ∫₀¹ |smoothed| dt."""
    height = np.abs(smooth(coefficients, bandwidth))
    inner = height.sum(axis=-1) - 0.5 * (height[..., 0] + height[..., -1])
    return np.asarray(inner / (height.shape[-1] - 1))


def _log_area(coefficients: Floats, log_width: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(_area(coefficients, np.exp(log_width)), 1e-9)))
