"""Completed rows: the way to learn dense covariances where most rows have a pattern of their own.

Pattern by pattern, matrices of all columns are worth their price when many rows share them. Here
each row is filled in by itself and the rest is as if nothing had been missing: with x̂ the
completed row, x_oᵀ Σ_oo⁻¹ x_o = x̂ᵀ Σ⁻¹ x̂ (Little and Rubin 2002, section 7.4), and expected
second moments are those of x̂ plus the covariance of what was missing (ibid., section 11.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray, Mask, Responsibilities
from fabula.core.missing import Patterns

if TYPE_CHECKING:
    from fabula.families.normal_dense import DenseNormal

__all__ = ["Completion", "Gaps", "complete_rows", "find_gaps"]

# Seconds that conditioning a block with matrices of all columns must take before it pays to load
# compiled code, which takes about as long as a hundred passes over such a block.
_LEAST_SECONDS = 4e-3
_SECONDS_PER_ELEMENT = 7.5e-8  # of the matrices of all patterns and members, measured


@dataclass(frozen=True)
class Gaps:
    """The missing columns of every pattern, one pattern after another."""

    columns: NDArray[np.intp]  # (M,)
    starts: NDArray[np.intp]  # (P + 1,) into columns
    offsets: NDArray[np.intp]  # (P + 1,) into an array that holds an (m, m) matrix a pattern


def find_gaps(patterns: Patterns, n_members: int) -> Gaps | None:
    """Where the missing cells are, or None where matrices of all columns are the faster way."""
    n_patterns, d = patterns.observed.shape
    if n_patterns * n_members * d**2 * _SECONDS_PER_ELEMENT < _LEAST_SECONDS:
        return None
    counts = d - patterns.observed.sum(axis=1)
    return Gaps(
        np.nonzero(~patterns.observed)[1],
        np.append(0, np.cumsum(counts)).astype(np.intp),
        np.append(0, np.cumsum(counts**2)).astype(np.intp),
    )


@dataclass(frozen=True)
class Completion:
    """A block whose rows stand in the order of their patterns, completed under each member.

    Where a pattern was not wanted for a member, its rows, covariances and log determinants are
    undefined.
    """

    rows: FloatArray  # (K, n, d) about the mean of each member
    conditional: FloatArray  # (K or 1, Σ m²) covariances of what was missing
    log_determinants: FloatArray  # (K or 1, P) of the covariance of what was seen
    patterns: Patterns
    gaps: Gaps

    def squared_distances(self, whitening: FloatArray) -> FloatArray:
        """Squared Mahalanobis distance of the observed cells, (n, K)."""
        n_members, n, _ = self.rows.shape
        out = np.empty((n, n_members))
        for k in range(n_members):
            white = self.rows[k] @ whitening[k]
            np.einsum("nd,nd->n", white, white, out=out[:, k])
        return out

    def moments(
        self, shifts: FloatArray, weights: Responsibilities, conditional_totals: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Σ w x̂ (K, d) and Σ w x̂ x̂ᵀ + Σ v Cov (K or 1, d, d) of rows moved by ``shifts``.

        Parameters
        ----------
        shifts : (K, d) array
            Means of the members about the origin of the moments.
        weights : (n, K) array
            w, with the rows in the order of their patterns.
        conditional_totals : (P, K) array
            Σ v of each pattern.
        """
        from fabula.kernels.normal_missing import add_conditionals

        n_members, _, d = self.rows.shape
        n_matrices = len(self.conditional)
        first = np.empty((n_members, d))
        second = np.zeros((n_matrices, d, d))
        for k in range(n_members):
            used = np.flatnonzero(weights[:, k])
            weight = weights[used, k]
            rows = self.rows[k][used] + shifts[k]
            first[k] = weight @ rows
            second[k % n_matrices] += (rows * weight[:, None]).T @ rows
        by_matrix = conditional_totals if n_matrices > 1 else conditional_totals.sum(1)[:, None]
        gaps = self.gaps
        for k, totals in enumerate(np.ascontiguousarray(by_matrix.T)):
            add_conditionals(
                totals, gaps.columns, gaps.starts, gaps.offsets, self.conditional[k], second[k]
            )
        return first, second


def complete_rows(
    bank: DenseNormal,
    cells: FloatArray,
    origin: FloatArray,
    patterns: Patterns,
    gaps: Gaps,
    wanted: Mask | None = None,
) -> Completion:
    """Fill the gaps of a block under every member.

    Parameters
    ----------
    bank : DenseNormal
    cells : (n, d) array
        Rows about ``origin`` in the order of their patterns, with zeros where cells are missing.
    origin : (d,) array
    patterns, gaps : Patterns, Gaps
    wanted : (K, P) mask, optional
        Which patterns to complete for which member; all of them where it is None.
    """
    from fabula.kernels.normal_missing import conditional_covariances, fill_rows

    n_members, n_patterns = bank.n_members, len(patterns)
    n_matrices = 1 if bank.is_tied else n_members
    covariances, precisions = bank.covariance_and_precision()
    log_dets = bank.log_determinants
    if wanted is None:
        wanted = np.ones((n_members, n_patterns), dtype=bool)
    worked = np.asarray(wanted.any(axis=0, keepdims=True)) if bank.is_tied else wanted
    conditional = np.empty((n_matrices, gaps.offsets[-1]))
    log_determinants = np.empty((n_matrices, n_patterns))
    for k in range(n_matrices):
        conditional_covariances(
            covariances[k],
            precisions[k],
            log_dets[k],
            gaps.columns,
            gaps.starts,
            gaps.offsets,
            worked[k],
            conditional[k],
            log_determinants[k],
        )
    n_rows = np.diff(patterns.starts)
    observed = np.repeat(patterns.observed, n_rows, axis=0)
    rows = np.empty((n_members, *cells.shape))
    for k in range(n_members):
        if not wanted[k].any():
            continue
        matrix = k % n_matrices
        np.subtract(cells, bank.means[k] - origin, out=rows[k])
        rows[k] *= observed
        fill_rows(
            rows[k] @ precisions[matrix],
            gaps.columns,
            gaps.starts,
            gaps.offsets,
            wanted[k],
            patterns.starts,
            conditional[matrix],
            rows[k],
        )
    return Completion(rows, conditional, log_determinants, patterns, gaps)
