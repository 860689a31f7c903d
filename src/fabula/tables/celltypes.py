"""What the strings of a text file are: whole numbers, numbers, booleans, dates, or text.

A column is of the first of these types that every cell of the whole file fits, so that what it is
does not depend on how far one has read. A number with leading zeros, or with more digits than a
number keeps, is a code and stays text; so do TRUE and FALSE in capitals, and times of day, since a
typed column could not give them back as they were written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TYPES", "cast_cells", "possible_types", "types_of"]

TYPES = ("integer", "number", "boolean", "date", "text")

_CODE = r"^[+-]?(?:0\d|\d{17})"
_LONG_INTEGER = r"^[+-]?0\d"
_DATE = r"^\d{4}-\d{2}-\d{2}$"


def possible_types(cells: pl.Series, decimal: str) -> frozenset[str]:
    """The types that every cell fits; all of them where there is no cell."""
    present = cells.drop_nulls()
    # A few cells rule out most types.
    possible = frozenset(kind for kind in TYPES if _fits(present.head(64), kind, decimal))
    return frozenset(kind for kind in possible if _fits(present, kind, decimal))


def types_of(frames: Iterable[pl.DataFrame], decimal: str) -> list[str]:
    """The type of each column of a table that comes in several frames."""
    possible: list[frozenset[str]] | None = None
    has_cells: list[bool] = []
    for frame in frames:
        found = [possible_types(column, decimal) for column in frame.get_columns()]
        seen = [column.null_count() < len(column) for column in frame.get_columns()]
        possible = (
            found if possible is None else [a & b for a, b in zip(possible, found, strict=True)]
        )
        has_cells = [a or b for a, b in zip(has_cells or [False] * len(seen), seen, strict=True)]
    return [
        next(kind for kind in TYPES if kind in types) if seen else "text"
        for types, seen in zip(possible or [], has_cells, strict=True)
    ]


def cast_cells(cells: pl.Series, kind: str, decimal: str) -> pl.Series:
    """The strings as values of the type that they all fit."""
    import polars as pl

    if kind == "integer":
        return cells.cast(pl.Int64)
    if kind == "number":
        return _with_point(cells, decimal).cast(pl.Float64)
    if kind == "boolean":
        return cells == "true"
    return cells.str.to_date("%Y-%m-%d") if kind == "date" else cells


def _fits(cells: pl.Series, kind: str, decimal: str) -> bool:
    import polars as pl

    if kind == "integer":
        return _all_cast(cells, pl.Int64) and not cells.str.contains(_LONG_INTEGER).any()
    if kind == "number":
        written = _with_point(cells, decimal)
        return _all_cast(written, pl.Float64) and not cells.str.contains(_CODE).any()
    if kind == "boolean":
        return bool(cells.is_in(["true", "false"]).all())
    if kind == "date":
        is_written = bool(cells.str.contains(_DATE).all())
        return is_written and not cells.str.to_date("%Y-%m-%d", strict=False).has_nulls()
    return True


def _all_cast(cells: pl.Series, dtype: Any) -> bool:
    return not cells.cast(dtype, strict=False).has_nulls()


def _with_point(cells: pl.Series, decimal: str) -> pl.Series:
    """Numbers as Python writes them; a point is then no part of a number with a comma."""
    if decimal == ".":
        return cells
    return cells.str.replace_all(".", "x", literal=True).str.replace(",", ".", literal=True)
