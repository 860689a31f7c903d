"""Generators and resampling shared by the intervals of this layer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.errors import DataError, UsageError

__all__ = ["bootstrap_weights", "clustered_error", "generator", "group_codes"]


def generator(
    random_state: int | np.random.Generator | None, *content: NDArray[Any]
) -> np.random.Generator:
    """Generator for an interval; with ``None`` it is seeded by the content that is measured.

    The interval of the same numbers is then the same interval, in any process and in any order
    of calls, without a hidden global seed.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if random_state is not None:
        return np.random.default_rng(random_state)
    digest = hashlib.blake2b(digest_size=16)
    for array in content:
        digest.update(np.ascontiguousarray(array).tobytes())
    return np.random.default_rng(int.from_bytes(digest.digest(), "little"))


def group_codes(groups: ArrayLike | None, n: int) -> NDArray[np.intp]:
    """Code 0 … G-1 of the group of each row; every row is its own group when none are given.

    Raises
    ------
    DataError
        When there are fewer than two groups or the length differs from ``n``.
    """
    if groups is None:
        codes = np.arange(n, dtype=np.intp)
    else:
        array = np.asarray(groups)
        if array.shape != (n,):
            raise DataError(f"groups have the shape {array.shape}; expected ({n},), one a row.")
        codes = np.unique(array, return_inverse=True)[1].astype(np.intp)
    if codes.size == 0 or codes.max() < 1:
        raise DataError(
            "an interval needs at least two independent rows or groups; there is only "
            f"{0 if codes.size == 0 else 1}."
        )
    return codes


def bootstrap_weights(
    groups: NDArray[np.intp], n_bootstrap: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Yield ``n_bootstrap`` times how often each row (n,) is drawn; groups are drawn whole."""
    if n_bootstrap < 0:
        raise UsageError(f"n_bootstrap is {n_bootstrap}; expected 0 (no interval) or more.")
    n_groups = int(groups.max()) + 1
    for _ in range(n_bootstrap):
        counts = np.bincount(rng.integers(0, n_groups, n_groups), minlength=n_groups)
        yield counts[groups].astype(np.float64)


def clustered_error(influence: NDArray[np.float64], codes: NDArray[np.intp]) -> tuple[float, int]:
    """Standard error of a mean from centred influences (n,), and the number of groups."""
    totals = np.bincount(codes, weights=influence)
    n_groups = totals.size
    scale = n_groups / (n_groups - 1)
    return float(np.sqrt(scale * np.sum(totals**2)) / influence.size), n_groups
