"""Rows in batches of few sizes, and chance that depends on a row and not on those beside it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fabula.core.arrays import Rows

__all__ = ["padded", "row_keys", "row_slices"]


def row_slices(n: int, size: int) -> list[slice]:
    """The rows in parts of at most so many."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def padded(array: Any, fewest: int = 1) -> Any:
    """The array with as many rows as the next power of two, so that few shapes are compiled.

    No fewer than ``fewest``, a power of two.
    """
    n = len(array)
    size = max(1 << max(n - 1, 0).bit_length(), fewest)
    if size == n:
        return array
    return np.concatenate([array, np.repeat(array[-1:], size - n, axis=0)])


def row_keys(rows: Rows, seed: int) -> np.ndarray:
    """A number (n,) for each row that depends on its cells and on the seed alone."""
    with np.errstate(over="ignore"):  # numbers too large for single precision share a key
        bits = np.ascontiguousarray(np.nan_to_num(rows, nan=-9.87e30).astype(np.float32))
    words = bits.view(np.uint32).astype(np.uint64)
    odd = np.random.default_rng(seed).integers(2**63, size=words.shape[1], dtype=np.uint64) | 1
    mixed = (words * odd).sum(axis=1, dtype=np.uint64)
    return np.asarray((mixed >> np.uint64(32)) ^ mixed, dtype=np.uint64).astype(np.uint32)
