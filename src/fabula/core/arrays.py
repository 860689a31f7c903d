"""The roles that arrays play, named once."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Codes",
    "FloatArray",
    "LogProbabilities",
    "Mask",
    "Members",
    "Responsibilities",
    "Rows",
    "SparseRows",
]

FloatArray: TypeAlias = NDArray[np.floating[Any]]

Rows: TypeAlias = NDArray[np.floating[Any]]
"""(n, d): one observation a row, missing cells NaN, categories as their code 0 … C-1."""

SparseRows: TypeAlias = Any
"""``scipy.sparse.csr_array`` of shape (n, d): counts of words, and any dense column beside them."""

Members: TypeAlias = NDArray[np.intp]
"""(n,): which member of a bank explains each row."""

Codes: TypeAlias = NDArray[np.intp]
"""(n,): class of each row, -1 where it is not known."""

LogProbabilities: TypeAlias = NDArray[np.floating[Any]]
"""(n, K): log density of every row under every member, nats."""

Responsibilities: TypeAlias = NDArray[np.floating[Any]]
"""(n, K): posterior probability of every member for every row; rows sum to 1."""

Mask: TypeAlias = NDArray[np.bool_]
"""(n, d): True where a cell was seen."""
