"""Linear algebra of banks of dense covariances, shared by the normal and Student-t families.

Missing cells never need a loop over rows: for a pattern of observed cells, every row's conditional
mean is the same linear map, so expected statistics follow from the moments of the observed cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray, Mask

__all__ = [
    "LOG_2_PI",
    "Conditional",
    "condition_rows",
    "factorise",
    "log_determinants",
    "pattern_algebra",
    "product_features",
    "unpack_products",
    "upper_triangle",
]

LOG_2_PI = float(np.log(2.0 * np.pi))


def factorise(covariances: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lower Cholesky factors (…, d, d) of positive definite matrices, and the matrices.

    A matrix that rounding has made indefinite gets its smallest eigenvalues lifted to the
    resolution of its largest, and is returned as changed.
    """
    covariances = 0.5 * (covariances + np.swapaxes(covariances, -1, -2))
    try:
        return np.linalg.cholesky(covariances), covariances
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariances)
        d = covariances.shape[-1]
        floor = 4.0 * d * np.finfo(np.float64).eps * np.abs(values).max(axis=-1, keepdims=True)
        lifted = np.maximum(values, np.maximum(floor, 1e-24))
        repaired = (vectors * lifted[..., None, :]) @ np.swapaxes(vectors, -1, -2)
        repaired = 0.5 * (repaired + np.swapaxes(repaired, -1, -2))
        return np.linalg.cholesky(repaired), repaired


def log_determinants(cholesky: FloatArray) -> FloatArray:
    """Log determinants of the matrices whose lower Cholesky factors are given."""
    diagonal = np.diagonal(cholesky, axis1=-2, axis2=-1)
    return np.asarray(2.0 * np.log(diagonal).sum(axis=-1))


def product_features(x: FloatArray) -> FloatArray:
    """The rows (n, 1 + d + d(d+1)/2) of 1, x and the products x_i x_j with i ≤ j."""
    n, d = x.shape
    columns = np.ascontiguousarray(x.T)
    # Made as (F, n), so that each product runs along memory.
    features = np.empty((1 + d + d * (d + 1) // 2, n), dtype=x.dtype)
    features[0] = 1.0
    features[1 : 1 + d] = columns
    start = 1 + d
    for i in range(d):
        np.multiply(columns[i], columns[i:], out=features[start : start + d - i])
        start += d - i
    return features.T


@lru_cache(maxsize=64)
def upper_triangle(d: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the entries on and above the diagonal, row by row."""
    rows, columns = np.triu_indices(d)
    return rows, columns


def unpack_products(packed: FloatArray, d: int) -> FloatArray:
    """Symmetric matrices (…, d, d) from their upper triangles row by row (…, d(d+1)/2)."""
    full = np.empty((*packed.shape[:-1], d, d))
    rows, columns = upper_triangle(d)
    full[..., rows, columns] = packed
    full[..., columns, rows] = packed
    return full


@dataclass(frozen=True)
class Conditional:
    """For each pattern and member: the law of the missing cells given the observed ones.

    Cells that do not take part are zeros, so that everything keeps the shape of a full row.
    """

    precisions: FloatArray  # (P, K, d, d) inverse of the observed block
    log_determinants: FloatArray  # (P, K) of the observed block
    regressions: FloatArray  # (P, K, d, d) row vector of observed cells → completed row: x Bᵀ
    covariances: FloatArray  # (P, K, d, d) of the missing cells given the observed ones


def pattern_algebra(covariances: FloatArray, observed: Mask) -> Conditional:
    """Condition every member on every pattern of observed cells.

    Parameters
    ----------
    covariances : (K, d, d) array
    observed : (P, d) mask
    """
    d = observed.shape[1]
    seen = observed.astype(np.float64)
    block = seen[:, None, :, None] * seen[:, None, None, :]
    identity = np.eye(d)
    padded = covariances[None] * block + identity * (1.0 - seen)[:, None, None, :]
    cholesky, _ = factorise(padded)
    inverse = np.linalg.inv(padded)
    precisions = 0.5 * (inverse + np.swapaxes(inverse, -1, -2)) * block
    gain = covariances[None] @ precisions
    missing = (1.0 - seen)[:, None, :, None]
    regressions = identity * seen[:, None, :, None] + missing * gain
    missing_block = missing * np.swapaxes(missing, -1, -2)
    conditional = (covariances[None] - gain @ covariances[None]) * missing_block
    return Conditional(precisions, log_determinants(cholesky), regressions, conditional)


def condition_rows(covariance: FloatArray, observed: Mask) -> tuple[FloatArray, FloatArray]:
    """One member, one pattern: gain (m, o) and covariance (m, m) of missing given observed."""
    o, m = np.flatnonzero(observed), np.flatnonzero(~observed)
    between = covariance[np.ix_(m, o)]
    gain = (
        np.linalg.solve(covariance[np.ix_(o, o)], between.T).T if len(o) else np.zeros((len(m), 0))
    )
    rest = covariance[np.ix_(m, m)] - gain @ between.T
    return gain, 0.5 * (rest + rest.T)
