"""The columns of encoded rows, and how a model comes to speak of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.errors import DataError, UsageError
from fabula.tables.encoding import Field, TableEncoding

__all__ = ["ALL_WORDS", "Columns", "adopt_columns", "adopt_encoding", "array_fields"]


@dataclass(frozen=True)
class Columns:
    """The columns of encoded rows: what each stands for, and where a named column stands."""

    fields: tuple[Field, ...]

    @property
    def names(self) -> tuple[Any, ...]:
        """Names of the table's columns, each once."""
        return tuple(dict.fromkeys(field.column for field in self.fields))

    @property
    def places(self) -> dict[Any, list[int]]:
        """Name of a column of the table → columns of the encoded rows."""
        places: dict[Any, list[int]] = {}
        for j, field in enumerate(self.fields):
            places.setdefault(field.column, []).append(j)
        return places

    def find(self, name: Any) -> list[int]:
        """Encoded columns of a named column; an index counts from the end where negative."""
        places = self.places
        if name in places:
            return places[name]
        names = self.names
        if isinstance(name, int | np.integer) and -len(names) <= name < len(names):
            return places[names[int(name)]]
        from fabula.tables.messages import unknown_column

        raise UsageError(unknown_column(name, names))

    def keep(self, encoded: Sequence[int]) -> Columns:
        """The given encoded columns, in that order."""
        return Columns(tuple(self.fields[j] for j in encoded))

    @property
    def levels(self) -> dict[int, int]:
        """Encoded columns that hold codes → number of levels."""
        return {
            j: field.n_levels
            for j, field in enumerate(self.fields)
            if field.kind in ("category", "boolean")
        }


def adopt_encoding(estimator: Any, encoding: TableEncoding, container: str = "polars") -> None:
    """Make a model speak of the columns of a table."""
    estimator.encoding_ = encoding
    estimator.container_ = container
    estimator.columns_ = Columns(tuple(encoding.fields))
    estimator.n_features_in_ = len(estimator.columns_.names)
    own = [str(column.name) for column in encoding.schema if column.marks is None]
    estimator.feature_names_in_ = np.array(own, dtype=object)
    estimator._check_kinds()
    if not encoding.fields:
        raise DataError(
            "No column of the table can be modelled: 0 feature(s) are left after leaving out "
            "identifiers and constants (a minimum of 1 is required)."
        )


def adopt_columns(estimator: Any, n_columns: int) -> None:
    """Make a model over plain columns 0 … d-1 look fitted to an array."""
    estimator.encoding_ = None
    estimator.container_ = "numpy"
    estimator.columns_ = Columns(tuple(Field(j, "continuous") for j in range(n_columns)))
    estimator.n_features_in_ = n_columns


_ARRAY_KINDS = ("continuous", "count", "category", "boolean")
ALL_WORDS = {None: "words"}


def array_fields(x: Any, kinds: dict[Any, Any]) -> list[Field]:
    """Fields of a plain array: numbers, unless the caller says otherwise."""
    if kinds is ALL_WORDS:
        # The words of one text are one column of the table, as they are in a data frame.
        return [Field("words", "text", 0, str(j)) for j in range(x.shape[1])]
    fields = []
    for column, kind in kinds.items():
        if kind not in _ARRAY_KINDS:
            raise UsageError(
                f"kinds: column {column!r} is said to be {kind!r}; in an array a column can be "
                f"{', '.join(_ARRAY_KINDS)}. Text and dates need a data frame."
            )
        if not isinstance(column, int | np.integer) or not 0 <= column < x.shape[1]:
            raise UsageError(
                f"kinds: there is no column {column!r}; the columns of an array are 0 to "
                f"{x.shape[1] - 1}."
            )
    for j in range(x.shape[1]):
        kind = kinds.get(j, "continuous")
        n_levels = 0
        if kind in ("category", "boolean", "count"):
            cells = x[:, j]
            seen = cells[~np.isnan(cells)]
            if np.any(seen != np.floor(seen)) or np.any(seen < 0):
                raise DataError(
                    f"Column {j} was said to be a {kind}, so its cells must be 0, 1, 2, …; "
                    f"it holds {seen[(seen != np.floor(seen)) | (seen < 0)][0]:g}."
                )
            levels = {"boolean": 2, "category": int(seen.max(initial=0)) + 1}
            n_levels = levels.get(kind, 0)
        fields.append(Field(j, kind, n_levels))
    return fields
