"""Missing cells: rows with the same cells missing can be worked on together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import Mask, Rows

__all__ = ["Patterns", "find_patterns", "order_by_pattern"]


@dataclass(frozen=True)
class Patterns:
    """The distinct patterns of missing cells in a block, and where their rows stand.

    Rows ``order[starts[p]:starts[p + 1]]`` have the cells ``observed[p]``.
    """

    observed: Mask  # (P, d)
    order: NDArray[np.intp]  # (n,)
    starts: NDArray[np.intp]  # (P + 1,)

    def __len__(self) -> int:
        return len(self.observed)


def find_patterns(x: Rows) -> Patterns:
    """Group the rows of ``x`` by which of their cells are NaN."""
    observed = ~np.isnan(x)
    codes = _pattern_codes(observed)
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    is_first = np.empty(len(x), dtype=bool)
    is_first[:1] = True
    is_first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(is_first)
    return Patterns(observed[order[starts]], order, np.append(starts, len(x)).astype(np.intp))


def order_by_pattern(x: Rows) -> NDArray[np.intp]:
    """The order that brings rows with the same missing cells together."""
    return np.argsort(_pattern_codes(~np.isnan(x)), kind="stable")


def _pattern_codes(observed: Mask) -> NDArray[np.intp]:
    """One integer for each row, equal where the observed cells are."""
    n, d = observed.shape
    if d <= 62:
        return observed @ (np.int64(1) << np.arange(d, dtype=np.int64))
    packed = np.packbits(observed, axis=1)
    as_bytes = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, codes = np.unique(as_bytes, return_inverse=True)
    return codes.reshape(n)
