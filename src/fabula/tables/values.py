"""Values of one column as numbers, and numbers as values in the form the column had.

A category becomes the position of its level, a level that the schema does not know the number of
levels C, a date its days since 1970-01-01, and a missing cell NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fabula.core.errors import DataError, UsageError
from fabula.tables.dates import days_of, series_of_days
from fabula.tables.frames import Cells, blank
from fabula.tables.messages import did_you_mean, listed, place, shorten
from fabula.tables.schema import Column, Name

if TYPE_CHECKING:
    import polars as pl

__all__ = ["as_floats", "check_finite", "decode_cells", "encode_cells", "numbers_of"]


def encode_cells(
    column: Column, cells: Cells, unseen: Literal["code", "error"] = "code"
) -> np.ndarray:
    """The cells of a column as numbers, (n,) float64, NaN where missing.

    Parameters
    ----------
    column
        What the cells are; any kind but text, identifier and constant.
    cells
        The values.
    unseen
        What becomes of levels that ``column`` does not have: the code C, or an error.

    Raises
    ------
    DataError
        A cell does not fit the column; the message names the row and what was expected.
    """
    if column.kind in ("category", "boolean"):
        return _codes_of(column, cells, unseen)
    if column.kind == "date":
        return days_of(column, cells)
    if column.kind not in ("continuous", "count"):
        raise UsageError(f"Column {column.name!r} of kind {column.kind} has no numbers.")
    x = numbers_of(cells)
    if column.kind == "count":
        _check_counts(x, cells)
    return x


def numbers_of(cells: Cells) -> np.ndarray:
    """Numbers, (n,) float64, NaN where missing; DataError where a cell is not a finite number."""
    import polars as pl

    cells = cells.plain()
    if cells.is_date:
        raise DataError(
            f"Column {cells.name!r} holds {cells.native_dtype}, expected numbers: convert it, or "
            "state that its kind is date."
        )
    series = cells.values
    if cells.is_text:
        series = series.str.strip_chars().cast(pl.Float64, strict=False)
        unread = series.is_null() & cells.values.is_not_null()
        if unread.any():
            row = int(unread.arg_max() or 0)
            raise DataError(
                f"{cells.place(row)}: {shorten(cells.values[row])} "
                "is not a number, but the column holds numbers. Correct the cell, leave it empty "
                "if its value is missing, or state that the column is a category."
            )
    x = series.cast(pl.Float64).to_numpy()
    check_finite(x[:, None], (cells.name,), cells.first_row)
    return x


def as_floats(array: np.ndarray) -> np.ndarray:
    """Real numbers as float64, or float32 where they were that; the same array if it can be."""
    if array.dtype == np.float32 or array.dtype == np.float64:
        return array
    return array.astype(np.float64)


def check_finite(x: np.ndarray, names: tuple[Name, ...], first_row: int = 0) -> None:
    """Raise DataError, naming column and row, where a cell of (n, d) is infinite; NaN may be."""
    if x.dtype.kind != "f":
        return
    # One pass without a mask: the sum of finite numbers is finite, and rarely overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(x)):
            return
    for start in range(0, len(x), 65_536):
        found = np.argwhere(np.isinf(x[start : start + 65_536]))
        if len(found):
            row, position = found[0]
            raise DataError(
                f"{place(names[position], first_row + start + row)} is "
                f"{x[start + row, position]}: infinity is not a value that a model can explain. "
                "Correct the cell, or make it NaN if its value is missing."
            )


def decode_cells(column: Column, x: np.ndarray, clip: bool = True) -> pl.Series:
    """Values in the form the column had, from numbers (n,); NaN becomes null.

    Parameters
    ----------
    column
        What the numbers stand for; any kind but text and identifier.
    x
        Numbers, (n,).
    clip
        Whether numbers and dates outside the range that was seen are moved to its ends.

    Raises
    ------
    DataError
        A code belongs to no level.
    """
    if column.kind == "constant":
        return _constant(column, len(x))
    if column.kind in ("category", "boolean"):
        return _levels_of(column, x)
    x = np.asarray(x, dtype=np.float64)
    if clip and (column.lower is not None or column.upper is not None):
        x = np.clip(x, column.lower, column.upper)
    return series_of_days(column, x) if column.kind == "date" else _numbers_back(column, x)


def _check_counts(x: np.ndarray, cells: Cells) -> None:
    with np.errstate(invalid="ignore"):
        wrong = (x < 0) | (x != np.rint(x)) & ~np.isnan(x)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{cells.place(row)}: {x[row]:g} is not a count, expected "
            "0, 1, 2, …. Correct the cell, or state that the column is continuous."
        )


def _codes_of(column: Column, cells: Cells, unseen: Literal["code", "error"]) -> np.ndarray:
    if cells.is_date:
        raise DataError(
            f"Column {column.name!r} holds {cells.native_dtype}, expected levels of a category: "
            "make the dates text first, or state that the kind is date."
        )
    codes: np.ndarray
    if cells.levels is not None:
        table = _match_levels(column, cells.levels)
        codes = np.append(table, np.nan)[_positions(cells, len(table))]
    else:
        codes = _match_series(column, cells)
    is_unseen = codes == column.n_levels
    if is_unseen.any():
        is_mismatch = bool(np.all(is_unseen | np.isnan(codes))) and not _same_type(column, cells)
        if unseen == "error" or is_mismatch:
            row = int(np.argmax(is_unseen))
            value = cells.plain().values[row]
            raise DataError(
                f"{cells.place(row)}: {shorten(value)} is none of its "
                f"{column.n_levels} levels. {did_you_mean(value, column.levels)}"
            )
    return codes


def _positions(cells: Cells, missing: int) -> np.ndarray:
    """Position of each cell among the levels that its type declares; ``missing`` where it is."""
    import polars as pl

    positions: np.ndarray = cells.values.cast(pl.Int64).fill_null(missing).to_numpy()
    return positions


def _match_series(column: Column, cells: Cells) -> np.ndarray:
    """Codes of cells that are not categorical by type, (n,) float64."""
    import polars as pl

    levels = column.levels
    are_text = all(isinstance(level, str) for level in levels)
    if not (are_text and cells.is_text):
        # Few distinct values stand for all: match those, whatever the types are.
        values = cells.values.fill_nan(None) if cells.values.dtype.is_float() else cells.values
        distinct = values.drop_nulls().unique()
        if len(distinct) == 0:
            return np.full(len(values), np.nan)
        table = _match_levels(column, tuple(distinct.to_list()))
        matched = values.replace_strict(distinct, pl.Series(table), default=None)
        return matched.cast(pl.Float64).to_numpy()
    enum = pl.Enum([str(level) for level in levels])
    matched = cells.values.cast(enum, strict=False).to_physical().cast(pl.Float64)
    codes: np.ndarray = matched.to_numpy()
    missing = cells.values.is_null().to_numpy()
    if matched.null_count() > np.count_nonzero(missing):
        codes = np.where(np.isnan(codes) & ~missing, float(len(levels)), codes)
    return codes


def _match_levels(column: Column, values: tuple[Any, ...]) -> np.ndarray:
    """The code of each value, C where it is no level.

    Text matches text exactly. Where one side is text and the other is not, which files and data
    frames do to each other, what they read as is compared: "1" is 1, "TRUE" is True.
    """
    exact = {level: code for code, level in enumerate(column.levels)}
    read = {_as_text(level): code for code, level in enumerate(column.levels)}
    are_text = any(isinstance(level, str) for level in column.levels)

    def code_of(value: Any) -> int:
        if value in exact:
            return exact[value]
        if isinstance(value, str) == are_text:
            return column.n_levels
        return read.get(_as_text(value), column.n_levels)

    return np.asarray([code_of(value) for value in values], dtype=np.float64)


def _as_text(value: Any) -> str:
    """How a level reads when its type is forgotten: TRUE is true, 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().casefold()


def _same_type(column: Column, cells: Cells) -> bool:
    import polars as pl

    are_text = any(isinstance(level, str) for level in column.levels)
    values = cells.plain().values
    return are_text == (values.dtype == pl.String)


def _levels_of(column: Column, codes: np.ndarray) -> pl.Series:
    """The levels with these codes; null for NaN and for the code C, which has no level."""
    import polars as pl

    codes = np.asarray(codes, dtype=np.float64)
    present = ~np.isnan(codes)
    wrong = present & ((codes != np.rint(codes)) | (codes < 0) | (codes > column.n_levels))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{place(column.name, row)}: {codes[row]:g} is no code of its "
            f"{column.n_levels} levels ({listed(column.levels)})."
        )
    known = present & (codes < column.n_levels)
    positions = pl.Series(np.where(known, codes, 0.0).astype(np.uint32))
    values = _series_of_levels(column)
    if not len(values):
        return pl.repeat(None, len(codes), dtype=values.dtype, eager=True).alias(str(column.name))
    taken = values.gather(positions)
    return taken if known.all() else blank(taken, ~known)


def _series_of_levels(column: Column) -> pl.Series:
    import polars as pl

    series = pl.Series(str(column.name), list(column.levels), strict=False)
    if series.dtype == pl.Null:
        return series.cast(pl.String)
    if column.dtype.startswith(("int", "uint", "float")) and series.dtype != pl.String:
        return series.cast(_numeric_dtype(column.dtype))
    return series


def _numbers_back(column: Column, x: np.ndarray) -> pl.Series:
    import polars as pl

    missing = np.isnan(x)
    if column.integer and not column.dtype.startswith("float"):
        dtype = column.dtype if column.dtype.startswith(("int", "uint")) else "int64"
        limits = np.iinfo(dtype)
        # The largest 64-bit integers are no doubles: stop at the double below.
        top = np.nextafter(float(limits.max), 0) if limits.bits == 64 else float(limits.max)
        whole = np.clip(np.rint(np.where(missing, 0.0, x)), float(limits.min), top)
        series = pl.Series(str(column.name), whole.astype(dtype))
        return blank(series, missing) if missing.any() else series
    if column.decimals is not None:
        # Numbers that the digits do not reach (1e300) stay as they are.
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = np.round(x, column.decimals)
        x = np.where(np.isfinite(rounded), rounded, x)
    series = pl.Series(str(column.name), x)
    if missing.any():
        series = series.fill_nan(None)
    return series.cast(pl.Float32) if column.dtype == "float32" else series


def _constant(column: Column, n_rows: int) -> pl.Series:
    import polars as pl

    if column.dtype.startswith("date") or column.date_format is not None:
        days = np.full(n_rows, np.nan if column.lower is None else column.lower)
        return series_of_days(column, days)
    values = _series_of_levels(column)
    if len(values) == 0:
        dtype = values.dtype
        if column.dtype.startswith(("int", "uint", "float")):
            dtype = _numeric_dtype(column.dtype)
        return pl.repeat(None, n_rows, dtype=dtype, eager=True).alias(str(column.name))
    return values.new_from_index(0, n_rows)


def _numeric_dtype(dtype: str) -> Any:
    import polars as pl

    return getattr(pl, {"u": "UInt", "i": "Int", "f": "Float"}[dtype[0]] + dtype.lstrip("uintfloa"))
