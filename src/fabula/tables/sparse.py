"""Columns of numbers and counts of words side by side in one compressed sparse array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray, SparseRows
from fabula.tables.turning import columns_of_rows

__all__ = ["beside", "dense_columns", "words_part"]


def beside(dense: FloatArray, words: Sequence[SparseRows]) -> SparseRows:
    """``dense`` (n, p), every cell of it stored, followed by the counts; a ``csr_array``.

    Zeros of the dense part are values, unlike the zeros of words that a text does not hold.
    """
    import scipy.sparse

    counts = scipy.sparse.csr_array(scipy.sparse.hstack(list(words), format="csr"))
    n, p = dense.shape
    if not p:
        return counts
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
    return scipy.sparse.csr_array((data, indices, starts), shape=(n, p + counts.shape[1]))


def dense_columns(x: Any, n_columns: int) -> np.ndarray:
    """The first columns of an array or sparse array, (n_columns, n), each in one piece."""
    dense = x[:, :n_columns]
    return columns_of_rows(dense if isinstance(x, np.ndarray) else np.asarray(dense.toarray()))


def words_part(x: Any, where: slice) -> SparseRows:
    """Some columns of an array or sparse array, as ``csr_array``."""
    import scipy.sparse

    return scipy.sparse.csr_array(x[:, where])
