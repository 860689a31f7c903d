"""Rows of a dense normal distribution completed one pattern of missing cells at a time.

With Λ = Σ⁻¹ and rows about the mean, the missing cells m given the observed ones o have the
covariance S = Λ_mm⁻¹ = Σ_mm − Σ_mo Σ_oo⁻¹ Σ_om and the mean −S Λ_mo x_o, and
log |Σ_oo| = log |Σ| + log |Λ_mm| (Anderson 2003, An Introduction to Multivariate Statistical
Analysis, section 2.5 and appendix A.3). So the work is that of inverting Λ_mm where few cells are
missing, and of sweeping the observed cells out of Σ where most are.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray

__all__ = ["add_conditionals", "conditional_covariances", "fill_rows"]

_EPSILON = float(np.finfo(np.float64).eps)


@njit(nogil=True, cache=True, error_model="numpy")
def _sweep(a: FloatArray, k: int, size: int, row: FloatArray, least: float) -> float:
    """Sweep the lower triangle of a symmetric matrix on its k-th pivot, which is returned.

    After sweeping every pivot of a set, its block is −A⁻¹ and the rest is its Schur complement
    (Little and Rubin 2002, Statistical Analysis with Missing Data, section 7.4.3).
    """
    for j in range(k):
        row[j] = a[k, j]
    for i in range(k, size):
        row[i] = a[i, k]
    pivot = max(row[k], least)
    inverse = 1.0 / pivot
    for i in range(size):
        factor = row[i] * inverse
        for j in range(i + 1):
            a[i, j] -= factor * row[j]
    for j in range(k):
        a[k, j] = row[j] * inverse
    for i in range(k + 1, size):
        a[i, k] = row[i] * inverse
    a[k, k] = -inverse
    return pivot  # type: ignore[no-any-return]


@njit(nogil=True, cache=True, error_model="numpy")
def conditional_covariances(
    covariance: FloatArray,
    precision: FloatArray,
    log_determinant: float,
    missing: NDArray[np.intp],
    starts: NDArray[np.intp],
    offsets: NDArray[np.intp],
    wanted: NDArray[np.bool_],
    conditional: FloatArray,
    log_determinants: FloatArray,
) -> None:
    """For each pattern: covariance of the missing cells given the others, and log |Σ_oo|.

    Parameters
    ----------
    covariance, precision : (d, d) arrays
    log_determinant : float
        Of the covariance.
    missing : (M,) array
        Missing columns in ascending order, pattern after pattern.
    starts, offsets : (P + 1,) arrays
        Where the columns of each pattern begin in ``missing``, and its matrix in ``conditional``.
    wanted : (P,) mask
        Patterns to work on; what belongs to the others is left as it is.
    conditional : (Σ m²,) array, written to
    log_determinants : (P,) array, written to
    """
    d = covariance.shape[0]
    work = np.empty((d, d))
    row = np.empty(d)
    is_missing = np.empty(d, dtype=np.bool_)
    for p in range(len(wanted)):
        if not wanted[p]:
            continue
        first = starts[p]
        m = starts[p + 1] - first
        place = offsets[p]
        if m**3 <= (d - m) * d**2:  # about the work of either way
            for i in range(m):
                for j in range(i + 1):
                    work[i, j] = precision[missing[first + i], missing[first + j]]
            total = log_determinant
            for k in range(m):
                diagonal = precision[missing[first + k], missing[first + k]]
                total += np.log(_sweep(work, k, m, row, _EPSILON * diagonal))
            for i in range(m):
                for j in range(i + 1):
                    conditional[place + i * m + j] = -work[i, j]
                    conditional[place + j * m + i] = -work[i, j]
        else:
            work[:, :] = covariance
            is_missing[:] = False
            for i in range(m):
                is_missing[missing[first + i]] = True
            total = 0.0
            for k in range(d):
                if not is_missing[k]:
                    total += np.log(_sweep(work, k, d, row, _EPSILON * covariance[k, k]))
            for i in range(m):
                for j in range(i + 1):
                    value = work[missing[first + i], missing[first + j]]
                    conditional[place + i * m + j] = value
                    conditional[place + j * m + i] = value
        log_determinants[p] = total


@njit(nogil=True, cache=True, error_model="numpy")
def fill_rows(
    projected: FloatArray,
    missing: NDArray[np.intp],
    starts: NDArray[np.intp],
    offsets: NDArray[np.intp],
    wanted: NDArray[np.bool_],
    row_starts: NDArray[np.intp],
    conditional: FloatArray,
    rows: FloatArray,
) -> None:
    """Put −S (Λ x)_m, the conditional mean, into the missing cells of each row.

    Parameters
    ----------
    projected : (n, d) array
        Rows about the mean, with zeros where cells are missing, times the precision.
    missing, starts, offsets, wanted, conditional
        As in `conditional_covariances`.
    row_starts : (P + 1,) array
        Rows of pattern p stand from ``row_starts[p]`` to ``row_starts[p + 1]``.
    rows : (n, d) array, written to
    """
    for p in range(len(wanted)):
        if not wanted[p]:
            continue
        first = starts[p]
        m = starts[p + 1] - first
        for i in range(row_starts[p], row_starts[p + 1]):
            for a in range(m):
                place = offsets[p] + a * m
                total = 0.0
                for b in range(m):
                    total -= conditional[place + b] * projected[i, missing[first + b]]
                rows[i, missing[first + a]] = total


@njit(nogil=True, cache=True, error_model="numpy")
def add_conditionals(
    weights: FloatArray,
    missing: NDArray[np.intp],
    starts: NDArray[np.intp],
    offsets: NDArray[np.intp],
    conditional: FloatArray,
    total: FloatArray,
) -> None:
    """Add the weighted conditional covariance of every pattern to ``total`` (d, d).

    Parameters
    ----------
    weights : (P,) array
        Weight of each pattern; where it is 0 the pattern need not have been worked on.
    missing, starts, offsets, conditional
        As in `conditional_covariances`.
    total : (d, d) array, added to
    """
    for p in range(len(weights)):
        weight = weights[p]
        if weight == 0.0:
            continue
        first = starts[p]
        m = starts[p + 1] - first
        for a in range(m):
            place = offsets[p] + a * m
            column = missing[first + a]
            for b in range(m):
                total[column, missing[first + b]] += weight * conditional[place + b]
