"""Rare levels: rows that are shown more often than they occur, with the level that they begin with.

A generator meets a level of three rows in a thousand so seldom that it may drop it. So some rows of
training are drawn anew: a column of categories, one of its levels by the log of its frequency, and
a row that has it; both networks are told that level (Xu, Skoularidou, Cuesta-Infante and
Veeramachaneni 2019, training by sampling). What they learn is how rows with that level look; draws
begin with levels in the shares that they have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray

__all__ = ["level_shares", "with_levels"]

Arrays = Mapping[str, np.ndarray]


def level_shares(vectors: Any, arrays: Arrays, n_classes: int = 0) -> tuple[FloatArray, ...]:
    """Shares of the levels of each column of categories, among the cells that are there.

    One row of shares for each class of ``labels``; one for all where there are no classes. Where no
    cell of a class is there, its shares are those of all rows.
    """
    found = []
    for part, column in _parts(vectors):
        codes = arrays["codes"][:, part]
        everything = _counts(vectors, codes, column)
        counts = [
            _counts(vectors, codes[arrays["labels"] == label], column) for label in range(n_classes)
        ]
        rows = np.array([one if one.any() else everything for one in counts or [everything]])
        found.append(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1.0))
    return tuple(found)


def with_levels(
    vectors: Any, arrays: Arrays, share: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Rows, and among them a share that begin with a level, named in ``begins_with`` (n,).

    Parameters
    ----------
    vectors : TableVectors
    arrays : mapping of arrays
        Rows, each once.
    share : float
        Of the rows that are added, among all; below 1.
    rng : Generator

    Returns
    -------
    mapping of arrays
        With the encoded column whose level a row begins with; -1 where it is as it was drawn.
    """
    n = len(arrays["seen"])
    number = round(n * share / (1 - share))
    parts = [one for one in _parts(vectors) if (arrays["codes"][:, one[0]] >= 0).any()]
    if not parts or not number:
        return {**arrays, "begins_with": np.full(n, -1, dtype=np.int32)}
    rows, columns = np.empty(number, dtype=np.intp), np.empty(number, dtype=np.int32)
    chosen = rng.integers(len(parts), size=number)
    for k, (part, column) in enumerate(parts):
        mine = np.flatnonzero(chosen == k)
        weights = np.log1p(_counts(vectors, arrays["codes"][:, part], column))
        levels = rng.choice(len(weights), size=len(mine), p=weights / weights.sum())
        codes = arrays["codes"][:, part]
        order = np.argsort(codes, kind="stable")
        first, last = (np.searchsorted(codes[order], levels, side) for side in ("left", "right"))
        rows[mine] = order[first + (rng.random(len(mine)) * (last - first)).astype(np.intp)]
        columns[mine] = column
    added = {name: np.concatenate([array, array[rows]]) for name, array in arrays.items()}
    plain = np.full(n, -1, dtype=np.int32)
    return {**added, "begins_with": np.concatenate([plain, columns])}


def _parts(vectors: Any) -> list[tuple[int, int]]:
    """Part and encoded column of each column of categories."""
    return [(q, int(vectors.part_columns[q])) for q in vectors.level_parts]


def _counts(vectors: Any, codes: np.ndarray, column: int) -> FloatArray:
    n_levels = vectors.form.columns[column].n_codes
    return np.bincount(codes[codes >= 0], minlength=n_levels).astype(np.float64)
