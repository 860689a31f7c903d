"""Where factor analysers begin: at probabilistic principal components of each member's rows."""

from __future__ import annotations

import numpy as np

from fabula.core.arrays import FloatArray, Responsibilities, Rows
from fabula.core.errors import UsageError
from fabula.core.threads import single_threaded_blas
from fabula.families.factor import NormalFactor
from fabula.families.factor_learning import LEAST_NOISE_SHARE
from fabula.families.normal_diagonal import resolution

__all__ = ["leading_directions", "principal_start"]

_OVERSAMPLING = 10
_POWER_ITERATIONS = 3


def principal_start(
    x: Rows,
    weights: Responsibilities,
    n_factors: int,
    rng: np.random.Generator,
    *,
    isotropic: bool = False,
) -> NormalFactor:
    """Probabilistic PCA of the rows of each member, in closed form.

    With s²/N the leading eigenvalues of the covariance and σ² the mean of the others, loadings are
    eigenvectors times √(s²/N − σ²) (Tipping and Bishop 1999, J. R. Stat. Soc. B 61:611, equations
    7 and 8). Where noise is not isotropic, it is what loadings leave of the variance of each
    column. Missing cells stand at their column's mean. A member without rows takes all rows.

    Parameters
    ----------
    x : (n, d) array
    weights : (n, K) array
        Responsibilities, times the weights of the rows.
    n_factors : int
        q ≥ 1. Factors beyond the rank of the rows have loadings 0.
    rng : Generator
        Of the random projection by which singular vectors of large tables are found.
    isotropic : bool
        Whether all columns of a member share one noise variance.

    Raises
    ------
    UsageError
        ``n_factors`` is below 1.
    """
    if n_factors < 1:
        raise UsageError(f"The number of factors must be at least 1, not {n_factors}.")
    with single_threaded_blas():
        return _start(x, weights, n_factors, rng, isotropic)


def _start(
    x: Rows,
    weights: Responsibilities,
    n_factors: int,
    rng: np.random.Generator,
    isotropic: bool,
) -> NormalFactor:
    _, spread, *_ = everything = _centred(x, weights.sum(axis=1))
    floor = np.maximum(LEAST_NOISE_SHARE * spread, 1e-24)
    members = []
    for k in range(weights.shape[1]):
        mine = _centred(x, weights[:, k]) if weights[:, k].any() else everything
        mean, variance, rows, n_rows = mine
        loadings = _loadings(rows, n_rows, n_factors, rng)
        explained = (loadings**2).sum(axis=1)
        noise = np.maximum(variance - explained, LEAST_NOISE_SHARE * explained)
        noise = np.maximum(noise, np.maximum(floor, resolution(mean)))
        members.append((mean, loadings, np.full_like(noise, noise.mean()) if isotropic else noise))
    means, loadings, noise = (np.array(part) for part in zip(*members, strict=True))
    return NormalFactor(means, loadings, noise, isotropic)


def _centred(x: Rows, weights: FloatArray) -> tuple[FloatArray, FloatArray, Rows, float]:
    """Mean and variance (d,) of the rows, √w times rows about the mean, and Σ w."""
    used = np.flatnonzero(weights)
    rows = x[used]  # a copy, which is worked on in place
    if len(used) == 0:
        return np.zeros(x.shape[1]), np.ones(x.shape[1]), rows, 1.0
    weight = weights[used].astype(rows.dtype)
    total = float(weights[used].sum())
    counts: FloatArray = np.full(x.shape[1], total)
    missing = np.isnan(rows)
    any_missing = bool(missing.any())
    if any_missing:
        counts = counts - weight @ missing
        np.copyto(rows, 0.0, where=missing)
    counts = np.maximum(counts, 1e-300)
    mean = (weight @ rows) / counts
    rows -= mean.astype(rows.dtype)
    rows *= np.sqrt(weight)[:, None]
    if any_missing:
        np.copyto(rows, 0.0, where=missing)
    squares = np.einsum("nd,nd->d", rows, rows).astype(np.float64)
    return mean.astype(np.float64), squares / counts, rows, total


def _loadings(rows: Rows, n_rows: float, n_factors: int, rng: np.random.Generator) -> FloatArray:
    """Loadings (d, q) of weighted rows about their mean."""
    n, d = rows.shape
    loadings = np.zeros((d, n_factors))
    if n == 0:
        return loadings
    singular, directions = leading_directions(rows, n_factors, rng)
    q = len(singular)
    eigenvalues = singular**2 / n_rows
    trace = float(np.einsum("nd,nd->", rows, rows)) / n_rows
    noise = max(trace - float(eigenvalues.sum()), 0.0) / (d - q) if d > q else 0.0
    loadings[:, :q] = directions.T * np.sqrt(np.maximum(eigenvalues - noise, 0.0))
    return loadings


def leading_directions(
    rows: FloatArray, n_directions: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Largest singular values (q,) and right singular vectors (q, d); fewer if the rank is.

    Large tables go through a random projection with power iterations (Halko, Martinsson and Tropp
    2011, SIAM Review 53:217, algorithms 4.4 and 5.1).
    """
    n, d = rows.shape
    width = n_directions + _OVERSAMPLING
    if min(n, d) > 4 * width:
        basis = rows @ rng.standard_normal((d, width)).astype(rows.dtype)
        for _ in range(_POWER_ITERATIONS):
            basis, _ = np.linalg.qr(basis)
            other, _ = np.linalg.qr(rows.T @ basis)
            basis = rows @ other
        basis, _ = np.linalg.qr(basis)
        rows = basis.T @ rows
    _, singular, directions = np.linalg.svd(rows, full_matrices=False)
    kept = slice(min(n_directions, len(singular)))
    return singular[kept].astype(np.float64), directions[kept].astype(np.float64)
