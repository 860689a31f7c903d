"""Columns of numbers and counts of words side by side in one compressed sparse array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray, SparseRows

__all__ = ["beside", "dense_part", "words_part"]


def beside(dense: FloatArray, words: Sequence[SparseRows]) -> SparseRows:
    """``dense`` (n, p), every cell of it stored, followed by the counts; a ``csr_array``.

    Zeros of the dense part are values, unlike the zeros of words that a text does not hold.
    """
    import scipy.sparse

    counts = scipy.sparse.csr_array(scipy.sparse.hstack(list(words), format="csr"))
    n, p = dense.shape
    if not p:
        return counts
    in_row = np.diff(counts.indptr)
    starts = counts.indptr + p * np.arange(n + 1)
    # Cells of the dense part take the first p places of each row; words take the others.
    is_dense = np.zeros(starts[-1], dtype=bool)
    is_dense[(starts[:-1, None] + np.arange(p)).ravel()] = True
    data = np.empty(starts[-1])
    indices = np.empty(starts[-1], dtype=np.int64)
    data[is_dense] = dense.ravel()
    indices[is_dense] = np.tile(np.arange(p), n)
    data[~is_dense] = counts.data
    indices[~is_dense] = counts.indices + p
    assert in_row.sum() == counts.nnz
    return scipy.sparse.csr_array((data, indices, starts), shape=(n, p + counts.shape[1]))


def dense_part(x: Any, position: int) -> np.ndarray:
    """One column (n,) of an array or sparse array."""
    if isinstance(x, np.ndarray):
        return x[:, position]
    return np.asarray(x[:, [position]].toarray())[:, 0]


def words_part(x: Any, where: slice) -> SparseRows:
    """Some columns of an array or sparse array, as ``csr_array``."""
    import scipy.sparse

    return scipy.sparse.csr_array(x[:, where])
