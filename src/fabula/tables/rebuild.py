"""Columns put together again in the kind of table they came from.

Types come back as they were where the table goes back to the library it came from; another library
gets the type of its own that comes nearest. An integer column with missing cells becomes "Int64" in
pandas, since its plain integers know no missing value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.tables.frames import Container
from fabula.tables.schema import Column

if TYPE_CHECKING:
    import polars as pl

__all__ = ["build_series", "build_table"]


def build_table(
    columns: Sequence[Column],
    values: Sequence[pl.Series],
    container: Container,
    origin: Container,
    index: Any = None,
) -> Any:
    """A table of the given kind.

    Parameters
    ----------
    columns
        What the columns are.
    values
        Their values, as `fabula.tables.values.decode_cells` gives them.
    container
        The kind of table.
    origin
        The kind of table that the types in ``columns`` speak of.
    index
        Labels of the rows, for pandas; None for 0, 1, 2, ….
    """
    built = [
        build_series(column, series, container, exact=container == origin, index=index)
        for column, series in zip(columns, values, strict=True)
    ]
    if container == "numpy":
        return _as_array(columns, built, len(values[0]) if values else 0)
    names = [column.name for column in columns]
    if container == "pandas":
        import pandas as pd

        frame = pd.DataFrame(dict(enumerate(built)), index=index)
        return frame.set_axis(names, axis=1)
    if container == "pyarrow":
        import pyarrow as pa

        return pa.table(built, names=[str(name) for name in names])
    import polars as pl

    return pl.DataFrame([s.alias(str(name)) for s, name in zip(built, names, strict=True)])


def build_series(
    column: Column, values: pl.Series, container: Container, exact: bool, index: Any = None
) -> Any:
    """One column as the library holds it; a one-dimensional array for numpy."""
    if container == "pandas":
        return _as_pandas(column, values, exact, index)
    if container == "pyarrow":
        return _as_arrow(column, values, exact)
    if container == "numpy":
        return _as_numpy(column, values)
    return _as_polars(column, values, exact)


def _as_polars(column: Column, values: pl.Series, exact: bool) -> pl.Series:
    import polars as pl

    if column.dtype == "category" and values.dtype == pl.String:
        declared = column.native_dtype == "Enum" or not exact
        if declared and column.levels:
            return values.cast(pl.Enum([str(level) for level in column.levels]))
        return values.cast(pl.Categorical)
    if column.dtype == "decimal" and values.dtype == pl.Float64:
        return _as_decimal(column, values)
    return values


def _as_decimal(column: Column, values: pl.Series) -> pl.Series:
    """Decimal fractions of the precision they had, or of more where that would not hold them."""
    import polars as pl

    named = re.search(r"\((?:precision=)?(\d+), (?:scale=)?(\d+)\)", column.native_dtype)
    precision, scale = map(int, named.groups()) if named else (38, column.decimals or 0)
    largest = values.abs().max()
    if isinstance(largest, float) and largest >= 10.0 ** (precision - scale):
        precision = 38
    return values.cast(pl.Decimal(precision, scale))


def _as_arrow(column: Column, values: pl.Series, exact: bool) -> Any:
    import pyarrow as pa

    if column.dtype == "category" and column.levels:
        codes = _codes(column, values)
        positions = pa.array(codes, pa.int32(), mask=codes < 0)
        levels = pa.array(list(column.levels))
        return pa.DictionaryArray.from_arrays(positions, levels, ordered=column.ordered)
    built = _as_polars(column, values, exact=False).to_arrow()
    if not exact:
        plain = (pa.large_string(), pa.string_view())
        return built.cast(pa.string()) if built.type in plain else built
    try:
        return built.cast(pa.type_for_alias(column.native_dtype))
    except (ValueError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return built  # a type that has no alias, such as one with a time zone


def _as_pandas(column: Column, values: pl.Series, exact: bool, index: Any) -> Any:
    import pandas as pd
    import polars as pl

    native = column.native_dtype if exact else ""
    if column.dtype == "category" and column.levels:
        codes = _codes(column, values)
        built = pd.Categorical.from_codes(codes, list(column.levels), ordered=column.ordered)
        return pd.Series(built, index=index)
    if values.dtype == pl.Date:
        if native == "object":
            return pd.Series(values.to_list(), index=index, dtype=object)
        values = values.cast(pl.Datetime("us"))
    if isinstance(values.dtype, pl.Datetime):
        zone = values.dtype.time_zone
        plain = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone else values
        built = pd.Series(plain.to_numpy(), index=index)
        if zone:
            built = built.dt.tz_localize("UTC").dt.tz_convert(zone)
        return _retyped(built, native)
    if values.dtype == pl.String:
        built = pd.Series(values.to_list(), index=index, dtype=native or "str")
        return built
    if values.null_count() and not values.dtype.is_float():
        # Int64, UInt8 and so on are called the same in both libraries.
        nullable = "boolean" if values.dtype == pl.Boolean else str(values.dtype)
        built = pd.Series(values.to_list(), index=index, dtype=nullable)
        return built if native == native.lower() and "[" not in native else _retyped(built, native)
    return _retyped(pd.Series(values.to_numpy(), index=index), native)


def _retyped(series: Any, native: str) -> Any:
    """The pandas series as the type it had, where that loses nothing."""
    if not native or native == str(series.dtype):
        return series
    try:
        return series.astype(native)
    except (TypeError, ValueError):
        return series


def _as_numpy(column: Column, values: pl.Series) -> np.ndarray:
    import polars as pl

    if values.dtype.is_numeric() and not isinstance(values.dtype, pl.Decimal):
        return values.to_numpy()
    if values.dtype == pl.Boolean and not values.null_count():
        return values.to_numpy()
    if values.dtype.is_temporal():
        return values.to_numpy()
    objects = np.empty(len(values), dtype=object)
    objects[:] = values.to_list()
    return objects


def _as_array(columns: Sequence[Column], built: list[np.ndarray], n_rows: int) -> np.ndarray:
    """One array for all columns: of numbers if they all are, else of objects."""
    if not built:
        return np.empty((n_rows, 0))
    are_numbers = all(part.dtype.kind in "fiu" for part in built)
    are_alike = len({part.dtype for part in built}) == 1
    if are_numbers:
        return np.column_stack(built)
    array = np.empty((n_rows, len(built)), dtype=built[0].dtype if are_alike else object)
    for position, part in enumerate(built):
        array[:, position] = part
    return array


def _codes(column: Column, values: pl.Series) -> np.ndarray:
    """Position of each value among the levels, -1 where missing."""
    import polars as pl

    if not column.levels or not len(values):
        return np.full(len(values), -1, dtype=np.int32)
    levels = pl.Series(list(column.levels), strict=False).cast(values.dtype)
    positions = pl.Series(np.arange(len(levels), dtype=np.int32))
    codes = values.replace_strict(levels, positions, default=None, return_dtype=pl.Int32)
    return codes.fill_null(-1).to_numpy()
