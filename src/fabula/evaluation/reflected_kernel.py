"""Gaussian smoothing on [0, 1] with reflection at both ends.

The reflected kernel sums a Gaussian over all mirror images of a point (Błasiok and Nakkiran,
2023, section 3). It is the heat kernel of the interval with insulated ends, so the cosines
cos(kπt) are its eigenfunctions with eigenvalues exp(-(kπσ)²/2): on a grid that holds both ends,
smoothing is two cosine transforms of type I, without any truncation of the images.
"""

from __future__ import annotations

import numpy as np

from fabula.evaluation.predictions import Floats

__all__ = ["bin_linearly", "cosine_coefficients", "smooth"]


def bin_linearly(positions: Floats, n_cells: int) -> tuple[np.ndarray, Floats]:
    """Left grid point of each position and the share that goes to the right neighbour.

    Sharing a mass between its two neighbours keeps its mean position exact, so the error of the
    grid falls with the square of the spacing.
    """
    scaled = np.clip(positions, 0.0, 1.0) * n_cells
    left = np.minimum(scaled.astype(np.intp), n_cells - 1)
    return left, scaled - left


def cosine_coefficients(left: np.ndarray, share: Floats, mass: Floats, n_cells: int) -> Floats:
    """Coefficients (n_cells + 1,) Σᵢ massᵢ cos(kπtᵢ) of point masses binned on the grid j/n_cells."""
    from scipy.fft import dct

    right_mass = mass * share
    grid = np.bincount(left, weights=mass - right_mass, minlength=n_cells + 1)
    grid += np.bincount(left + 1, weights=right_mass, minlength=n_cells + 1)
    # The type-I transform counts inner points twice and the two ends once.
    grid[[0, -1]] *= 2.0
    return np.asarray(dct(grid, type=1) / 2.0)


def smooth(coefficients: Floats, bandwidth: Floats) -> Floats:
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
