"""Tables in the form that networks take, and back: the one way in for every network over tables.

Encoded rows (`fabula.tables.TableEncoding`: NaN where missing, categories as codes) become four
kinds of arrays, each with one entry a row, which go through the training loop as they are:

``numbers`` (n, P) float32
    Normal scores of the columns of numbers; 0 where there is none (missing, or at a spike).
``codes`` (n, Q) int32
    Parts that are categories: columns of categories, and the spikes of columns of numbers (code 0:
    the spread-out rest). Parts with equally many codes stand together; see `TableForm.groups`.
    0 where missing; the number of codes where the level is unknown.
``seen`` (n, d) bool
    Which cells of the encoded rows are there.
``cells`` (n, P, 3) float32
    Of each number: the scores of both ends of the cell it stands for, and the log of the density
    of the table per density of the score (see `fabula.neural.forms.number_columns`). Only what asks
    for densities needs it.

>>> from fabula.tables.encoding import Field
>>> x = np.array([[1.2, 0], [3.4, 1], [np.nan, 1], [2.7, 0]])
>>> form = TableForm.learned(x, [Field("size", "continuous"), Field("sex", "category", 2)])
>>> arrays = form.encode(x)
>>> arrays["numbers"].shape, arrays["codes"].T.tolist(), arrays["seen"][2].tolist()
((4, 1), [[0, 1, 1, 0]], [False, True])
>>> np.array_equal(form.decode(arrays), x, equal_nan=True)
True

What is drawn goes the same way back: `TableForm.decode` takes numbers and codes (and ``seen``,
where missing cells are drawn as well), restores the precision of the column, and puts spikes in
their places. ``encode(x, rng)`` spreads a value evenly over the cell it stands for, for models that
know no cells. `TableInputs` (`fabula.neural.forms.table_inputs`) makes one vector of a row for a
network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from fabula.core.arrays import FloatArray, Rows
from fabula.core.errors import DataError, UsageError
from fabula.neural.forms.number_columns import NumberColumn, Scaling, learn_number_column
from fabula.persistence.registry import storable
from fabula.tables.fields import Field

__all__ = ["Arrays", "CodeGroup", "EmptyColumn", "LevelColumn", "TableForm"]

Arrays = dict[str, np.ndarray]


# Scores beyond this have squares that are no finite numbers in single precision.
_FARTHEST = 1e15


@storable("neural/level_column")
@dataclass(frozen=True)
class LevelColumn:
    """A column of categories.

    Parameters
    ----------
    n_levels : int
        C; a code of C is a level that was not there when the levels were listed.
    n_seen : int
        Rows that had a level.
    """

    n_levels: int
    n_seen: int = 0

    @property
    def n_codes(self) -> int:
        """C."""
        return self.n_levels


@storable("neural/empty_column")
@dataclass(frozen=True)
class EmptyColumn:
    """A column of which nothing was seen: it has no part in the model, and no draw has it."""

    n_codes: int = 0


class CodeGroup(NamedTuple):
    """Parts with equally many codes, which stand together in ``codes`` and in vectors of scores.

    Parameters
    ----------
    n_codes : int
        C.
    parts : slice
        Where they stand in ``codes``.
    scores : slice
        Where their C scores each stand, among those of all parts.
    """

    n_codes: int
    parts: slice
    scores: slice


@storable("neural/table_form")
@dataclass(frozen=True)
class TableForm:
    """How encoded rows become arrays for networks, and arrays rows.

    Parameters
    ----------
    columns : tuple of NumberColumn, LevelColumn or EmptyColumn
        One for each encoded column.
    """

    columns: tuple[NumberColumn | LevelColumn | EmptyColumn, ...]

    @classmethod
    def learned(
        cls,
        x: Rows,
        fields: Sequence[Field],
        *,
        scaling: Scaling = "normal scores",
    ) -> TableForm:
        """Learn the form from encoded rows (n, d) and what their columns stand for.

        Raises
        ------
        DataError
            Nothing was seen of any column.
        """
        columns: list[NumberColumn | LevelColumn | EmptyColumn] = []
        for j, field in enumerate(fields):
            cells = np.asarray(x[:, j], dtype=np.float64)
            n_seen = int((~np.isnan(cells)).sum())
            if field.kind in ("category", "boolean"):
                columns.append(LevelColumn(field.n_levels, n_seen) if n_seen else EmptyColumn())
                continue
            whole = 1.0 if field.kind == "count" and scaling != "standard" else None
            found = learn_number_column(cells, scaling=scaling, precision=whole or field.precision)
            columns.append(found or EmptyColumn())
        if all(isinstance(column, EmptyColumn) for column in columns):
            raise DataError(
                "Every cell of every column that differs between rows, or might, is missing: there "
                "is nothing to learn from."
            )
        return cls(tuple(columns))

    # Where things stand -----------------------------------------------------------------------

    @property
    def n_columns(self) -> int:
        """d."""
        return len(self.columns)

    @cached_property
    def number_places(self) -> tuple[int, ...]:
        """The encoded column of each column of ``numbers``, (P,)."""
        return tuple(j for j, c in enumerate(self.columns) if isinstance(c, NumberColumn))

    @cached_property
    def code_places(self) -> tuple[int, ...]:
        """The encoded column of each part in ``codes``, (Q,)."""
        with_codes = [j for j, c in enumerate(self.columns) if c.n_codes]
        return tuple(sorted(with_codes, key=lambda j: (self.columns[j].n_codes, j)))

    @cached_property
    def number_parts(self) -> tuple[int, ...]:
        """The part in ``codes`` that tells the spikes of each column of ``numbers``; -1: none."""
        parts = {j: q for q, j in enumerate(self.code_places)}
        return tuple(parts.get(j, -1) for j in self.number_places)

    @cached_property
    def groups(self) -> tuple[CodeGroup, ...]:
        """Parts with equally many codes."""
        sizes = [self.columns[j].n_codes for j in self.code_places]
        groups, first_score = [], 0
        for size in sorted(set(sizes)):
            first, number = sizes.index(size), sizes.count(size)
            last_score = first_score + size * number
            groups.append(
                CodeGroup(size, slice(first, first + number), slice(first_score, last_score))
            )
            first_score = last_score
        return tuple(groups)

    @property
    def n_numbers(self) -> int:
        """P."""
        return len(self.number_places)

    @property
    def n_parts(self) -> int:
        """Q."""
        return len(self.code_places)

    @property
    def n_scores(self) -> int:
        """Number of codes of all parts together."""
        return sum(self.columns[j].n_codes for j in self.code_places)

    # There and back ---------------------------------------------------------------------------

    def encode(
        self, x: Rows, rng: np.random.Generator | None = None, *, cells: bool = True
    ) -> Arrays:
        """Arrays of encoded rows (n, d).

        Parameters
        ----------
        x : (n, d) array
        rng : Generator, optional
            Spreads each value evenly over the cell it stands for.
        cells : bool
            Whether ``cells`` is wanted.
        """
        if x.ndim != 2 or x.shape[1] != self.n_columns:
            raise UsageError(f"Rows have shape {x.shape}, expected (n, {self.n_columns}).")
        n = len(x)
        numbers = np.zeros((n, self.n_numbers), dtype=np.float32)
        codes = np.zeros((n, self.n_parts), dtype=np.int32)
        seen = ~np.isnan(x)
        around = np.zeros((n, self.n_numbers, 3), dtype=np.float32)
        seen[:, [isinstance(column, EmptyColumn) for column in self.columns]] = False
        for p, (j, part) in enumerate(zip(self.number_places, self.number_parts, strict=True)):
            column, there = self.columns[j], seen[:, j]
            assert isinstance(column, NumberColumn)
            values = np.asarray(x[there, j], dtype=np.float64)
            code = column.codes_of(values)
            exact = values
            if rng is not None and column.step:
                values = values + column.step * (rng.random(len(values)) - 0.5)
            numbers[there, p] = np.where(code == 0, _within_reach(column.score(values)), 0.0)
            if part >= 0:
                codes[there, part] = code
            if cells:
                low, high = map(_within_reach, column.ends(exact))
                slopes = column.log_slope(exact)
                if column.step:
                    slopes = np.log(np.maximum(high - low, 1e-30) / column.step)
                around[there, p] = np.stack([low, high, slopes], axis=1)
        for q, j in enumerate(self.code_places):
            column = self.columns[j]
            if isinstance(column, LevelColumn):
                cell = x[:, j]
                listed = seen[:, j] & (cell >= 0) & (cell < column.n_levels)
                codes[:, q] = np.where(seen[:, j], column.n_levels, 0)
                codes[listed, q] = cell[listed].astype(np.int32)
        arrays = {"numbers": numbers, "codes": codes, "seen": seen}
        return arrays | {"cells": around} if cells else arrays

    def decode(self, arrays: Mapping[str, np.ndarray]) -> FloatArray:
        """Encoded rows (n, d) that arrays stand for: the inverse of `encode`, also of draws.

        Without ``seen``, every cell is there but those of columns of which nothing is known.
        """
        numbers, codes = np.asarray(arrays["numbers"]), np.asarray(arrays["codes"])
        n = max(len(numbers), len(codes))
        x = np.full((n, self.n_columns), np.nan)
        for p, (j, part) in enumerate(zip(self.number_places, self.number_parts, strict=True)):
            column = self.columns[j]
            assert isinstance(column, NumberColumn)
            x[:, j] = column.decoded(numbers[:, p], codes[:, part] if part >= 0 else None)
        for q, j in enumerate(self.code_places):
            if isinstance(self.columns[j], LevelColumn):
                x[:, j] = codes[:, q]
        if "seen" in arrays:
            x[~np.asarray(arrays["seen"])] = np.nan
        return x


def _within_reach(scores: FloatArray) -> FloatArray:
    return np.clip(scores, -_FARTHEST, _FARTHEST)
