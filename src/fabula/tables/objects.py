"""Columns of Python objects: which one type they are of, or the first cell that is of another."""

from __future__ import annotations

import datetime
import decimal
import numbers
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.core.errors import DataError
from fabula.tables.messages import place, shorten
from fabula.tables.schema import Name

if TYPE_CHECKING:
    import polars as pl

__all__ = ["from_objects", "is_missing_object"]


def from_objects(values: np.ndarray, name: Name) -> pl.Series:
    """One typed series from Python objects; None, NaN, NA and NaT are missing.

    Raises
    ------
    DataError
        The cells are of several types, or of one that cannot be used; the message names the row.
    """
    import polars as pl

    items = values.tolist()
    # Telling missing cells apart needs a look at each; few columns need that look.
    if not set(map(type, items)) <= {str, int, bool}:
        items = [None if is_missing_object(item) else item for item in items]
    groups = {kind: _group_of(kind) for kind in set(map(type, items)) - {type(None)}}
    found = set(groups.values())
    if not found:
        return pl.Series(str(name), items, dtype=pl.String)
    if len(found) > 1 or None in found:
        raise DataError(_first_misfit(items, groups, name))
    (group,) = found
    if group == "text":
        return pl.Series(str(name), [None if i is None else str(i) for i in items], dtype=pl.String)
    if group == "boolean":
        items = [None if item is None else bool(item) for item in items]
        return pl.Series(str(name), items, dtype=pl.Boolean)
    if group == "number":
        return _numbers(items, groups, name)
    if group == "moment":
        items = [_as_datetime(item) for item in items]
    return pl.Series(str(name), items)


def is_missing_object(item: Any) -> bool:
    """Whether a cell is None, NaN, or one of pandas' NA and NaT."""
    if item is None:
        return True
    if isinstance(item, str):
        return False
    if type(item).__name__ in ("NAType", "NaTType"):
        return True
    try:
        return bool(item != item)
    except (TypeError, ValueError):
        return False


def _group_of(kind: type) -> str | None:
    """The types that may stand together in a column."""
    if issubclass(kind, str):
        return "text"
    if issubclass(kind, bool | np.bool_):
        return "boolean"
    if issubclass(kind, numbers.Real | decimal.Decimal):
        return "number"
    if issubclass(kind, datetime.datetime | np.datetime64):
        return "moment"
    return "date" if issubclass(kind, datetime.date) else None


def _numbers(items: list[Any], groups: dict[type, str | None], name: Name) -> pl.Series:
    import polars as pl

    if all(issubclass(kind, numbers.Integral) for kind in groups):
        whole = [None if item is None else int(item) for item in items]
        present = [item for item in whole if item is not None]
        if min(present) >= -(2**63) and max(present) < 2**63:
            return pl.Series(str(name), whole, dtype=pl.Int64)
    try:
        floats = [None if item is None else float(item) for item in items]
    except OverflowError:
        row = next(i for i, item in enumerate(items) if item is not None and abs(item) > 1e308)
        raise DataError(
            f"{place(name, row)}: {shorten(items[row])} is too large "
            "for a number; make the column text if these are codes."
        ) from None
    return pl.Series(str(name), floats, dtype=pl.Float64)


def _as_datetime(item: Any) -> datetime.datetime | None:
    if item is None:
        return None
    if isinstance(item, np.datetime64):
        return item.astype("M8[us]").astype(datetime.datetime)  # type: ignore[no-any-return]
    to_python = getattr(item, "to_pydatetime", None)
    return to_python(warn=False) if to_python is not None else item  # type: ignore[no-any-return]


_WORDS = {
    "text": "text",
    "boolean": "booleans",
    "number": "numbers",
    "moment": "moments",
    "date": "dates",
}


def _first_misfit(items: list[Any], groups: dict[type, str | None], name: Name) -> str:
    """What to say about the first cell that is not of the type most cells are of."""
    found = Counter(groups[type(item)] for item in items if item is not None)
    (usual, _), *_ = found.most_common(1)
    row, item = next(
        (row, item)
        for row, item in enumerate(items)
        if item is not None and (usual is None or groups[type(item)] != usual)
    )
    where = f"{place(name, row)}: {shorten(item)}"
    if groups[type(item)] is None:
        return (
            f"{where} is of type {type(item).__name__}, which no kind of column takes: expected "
            "numbers, text, booleans or dates."
        )
    return (
        f"{where} is of type {type(item).__name__} where most cells are {_WORDS[str(usual)]}. "
        "Convert the column to one type, or make the cell None if its value is missing."
    )
