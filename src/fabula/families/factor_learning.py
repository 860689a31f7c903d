"""What factor analysers learn from: expected statistics, and the M-step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.families.dense import unpack_products
from fabula.families.normal_diagonal import resolution

__all__ = ["LEAST_NOISE_SHARE", "FactorStatistics", "maximise_member"]

# The least share of a column's variance that is noise. Below it, the likelihood of a column that
# the factors explain wholly grows without bound, and the Woodbury identity loses its digits.
LEAST_NOISE_SHARE = 1e-6


@dataclass(frozen=True)
class FactorStatistics:
    """Expected sums for each member; z̃ = (1, z), of which products are packed as triangles.

    With F = (q + 1)(q + 2)/2 products, cells c = x − origin:
    """

    latent: FloatArray  # (K, F) Σ w E[z̃ z̃ᵀ] over all rows
    gram: FloatArray  # (K, d, F) the same over the rows that show a column; (K, 1, F) if all do
    cross: FloatArray  # (K, d, 1 + q) Σ w c E[z̃]ᵀ over the rows that show the column
    squares: FloatArray  # (K, d) Σ w c²
    origin: FloatArray  # (K, d)

    def __add__(self, other: FactorStatistics) -> FactorStatistics:
        other = other.about(self.origin)
        return FactorStatistics(
            self.latent + other.latent,
            self.gram + other.gram,
            self.cross + other.cross,
            self.squares + other.squares,
            self.origin,
        )

    def about(self, origin: FloatArray) -> FactorStatistics:
        """The same sums with cells measured from another origin."""
        shift = self.origin - origin
        if not shift.any():
            return self
        first = self.gram[:, :, : self.cross.shape[2]]  # Σ w E[z̃]
        cross = self.cross + shift[:, :, None] * first
        squares = self.squares + shift * (self.cross[:, :, 0] + cross[:, :, 0])
        return FactorStatistics(self.latent, self.gram, cross, squares, origin)


def maximise_member(
    statistics: FactorStatistics,
    k: int,
    kept: tuple[FloatArray, FloatArray, FloatArray],
    strength: float,
    scatter: FloatArray,
    isotropic: bool,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Means (d,), loadings (d, q) and noise (d,) of member k.

    Parameters
    ----------
    statistics : FactorStatistics
    k : int
    kept : tuple of arrays
        Means, loadings and noise of before, which columns that no row shows keep.
    strength, scatter : float, (d,) array
        The prior on the noise: ν pseudo-observations, and the sum of their squares.
    isotropic : bool
        Whether one noise variance is shared by all columns.
    """
    means, loadings, noise = kept
    d, q = loadings.shape
    rows = float(statistics.latent[k, 0])
    counts = np.broadcast_to(statistics.gram[k, :, 0], (d,))
    residual = np.zeros(d)
    shown = counts > 0
    if shown.any():
        gram = statistics.gram[k]
        gram = gram if len(gram) == 1 else gram[shown]
        gram = unpack_products(gram / gram[:, :1], q + 1)
        cross = statistics.cross[k, shown] / counts[shown, None]
        # One factorisation serves all columns where they are shown by the same rows.
        solved = (
            np.linalg.solve(gram[0], cross.T).T
            if len(gram) == 1
            else np.linalg.solve(gram, cross[:, :, None])[:, :, 0]
        )
        left = statistics.squares[k, shown] - counts[shown] * (solved * cross).sum(axis=1)
        residual[shown] = np.maximum(left, 0.0)
        centre, root = _standardised_latent(statistics.latent[k] / rows, q)
        means, loadings = means.copy(), loadings.copy()
        means[shown] = statistics.origin[k, shown] + solved[:, 0] + solved[:, 1:] @ centre
        loadings[shown] = solved[:, 1:] @ root
    totals = counts + strength
    residual = residual + scatter
    if isotropic:
        totals, residual = np.full(d, totals.sum()), np.full(d, residual.sum())
    noise = np.divide(residual, totals, out=noise.copy(), where=totals > 0)
    return means, loadings, at_least_a_share(noise, means, loadings, isotropic)


def at_least_a_share(
    noise: FloatArray, means: FloatArray, loadings: FloatArray, isotropic: bool
) -> FloatArray:
    """Noise (d,) that floating point can tell from none beside means and loadings."""
    floor = np.maximum(LEAST_NOISE_SHARE * (loadings**2).sum(axis=1), resolution(means))
    return np.asarray(np.maximum(noise, floor.max() if isotropic else floor))


def _standardised_latent(mean_products: FloatArray, q: int) -> tuple[FloatArray, FloatArray]:
    """Mean of z and a root of its covariance, from E[z̃ z̃ᵀ] packed as a triangle."""
    second = unpack_products(mean_products, q + 1)
    centre = second[0, 1:]
    covariance = second[1:, 1:] - np.outer(centre, centre)
    try:
        return centre, np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        # Rounding has left a direction of z without variance: z stays N(0, I).
        return np.zeros(q), np.eye(q)
