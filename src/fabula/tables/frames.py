"""Whatever a table is held in, seen as columns: numpy, polars, pandas, pyarrow and their kin.

A column arrives as `Cells`: a polars series whose nulls (and NaN) are the missing cells, with the
declared levels where it was categorical. Columns are converted when they are asked for, so one
that nobody needs may hold anything at all. An array of numbers never meets polars.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from fabula.core.errors import DataError, UsageError
from fabula.tables.messages import place, shorten
from fabula.tables.objects import from_objects
from fabula.tables.schema import Level, Name

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "Cells",
    "Container",
    "Table",
    "as_cells",
    "as_table",
    "blank",
    "kind_of_output",
    "row_labels",
]

Container: TypeAlias = Literal["numpy", "polars", "pandas", "pyarrow"]
"""What a table came in, and goes back in."""

_ACCEPTED = "a two-dimensional numpy array or a polars, pandas or pyarrow frame"


@dataclass(frozen=True)
class Cells:
    """One column: its values, and how they were held.

    Where ``levels`` is not None, ``values`` are positions in it. ``first_row`` is how many rows of
    the table come before these cells, which messages count in.
    """

    name: Name
    values: pl.Series
    dtype: str
    native_dtype: str
    levels: tuple[Level, ...] | None = None
    ordered: bool = False
    decimals: int | None = None
    first_row: int = 0

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_text(self) -> bool:
        """Whether the values are strings."""
        return self.levels is None and self.dtype in ("string", "category")

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers (booleans are not)."""
        return self.levels is None and self.dtype.startswith(("int", "uint", "float", "decimal"))

    @property
    def is_date(self) -> bool:
        """Whether the values are days or moments."""
        return self.levels is None and self.dtype.startswith("date")

    def place(self, row: int) -> str:
        """Where row ``row`` (from 0) of these cells stands, for messages."""
        return place(self.name, self.first_row + row)

    def plain(self) -> Cells:
        """The same with the levels in place of their positions."""
        if self.levels is None:
            return self
        import polars as pl

        values = pl.Series(self.levels, strict=False).gather(self.values)
        return dataclasses.replace(
            self, values=values, levels=None, dtype=_dtype_of(values, self.name)
        )


@dataclass(frozen=True)
class Table:
    """A table of any kind, with names of columns and a way to get at each."""

    native: Any
    container: Container
    names: tuple[Name, ...]
    n_rows: int
    first_row: int = 0

    @property
    def array(self) -> np.ndarray | None:
        """The table where it is one array of real numbers, (n, d)."""
        is_numbers = self.container == "numpy" and self.native.dtype.kind in "fiub"
        return self.native if is_numbers else None

    def column(self, name: Name) -> Cells:
        """One column; DataError where it cannot be used."""
        position = self.names.index(name)
        if self.container == "numpy":
            values = self.native[:, position]
        elif self.container == "pandas":
            values = self.native.iloc[:, position]
        elif self.container == "pyarrow":
            values = self.native.column(position)
        else:
            values = self.native.to_series(position)
        cells = as_cells(values, name)
        return dataclasses.replace(cells, first_row=self.first_row) if self.first_row else cells


def as_table(data: Any, first_row: int = 0) -> Table:
    """The columns of ``data``, a block of which ``first_row`` rows come before.

    Raises
    ------
    UsageError
        ``data`` is not a table.
    DataError
        Two columns have the same name, or a name is neither text nor a whole number.
    """
    if isinstance(data, Table):
        return data
    if isinstance(data, list | tuple):
        data = _from_lists(data)
    if isinstance(data, np.ndarray):
        return _from_array(data, first_row)
    import narwhals as nw

    if nw.dependencies.is_polars_dataframe(data):
        return Table(data, "polars", _checked(data.columns), data.height, first_row)
    if nw.dependencies.is_pandas_dataframe(data):
        return Table(data, "pandas", _checked(data.columns), len(data), first_row)
    if nw.dependencies.is_pyarrow_table(data):
        return Table(data, "pyarrow", _checked(data.column_names), data.num_rows, first_row)
    try:
        frame = nw.from_native(data, eager_only=True)
    except TypeError:
        raise UsageError(_not_a_table(data)) from None
    return as_table(frame.to_polars(), first_row)


def kind_of_output(data: Any) -> Container:
    """The kind of table that answers about ``data`` come back in: the kind that it is itself.

    Raises
    ------
    UsageError
        ``data`` is not a table.

    Examples
    --------
    >>> kind_of_output(np.zeros((2, 3)))
    'numpy'
    """
    return as_table(data).container


def row_labels(data: Any) -> Any:
    """The index of a pandas frame or series, None for everything else."""
    index = getattr(data, "index", None)
    return None if callable(index) or isinstance(data, np.ndarray) else index


def as_cells(values: Any, name: Name) -> Cells:
    """One column, from a one-dimensional array, list or series of any library.

    Raises
    ------
    DataError
        The values are of several types, or of one that no kind of column takes.
    """
    import narwhals as nw
    import polars as pl

    if isinstance(values, Cells):
        return values
    if nw.dependencies.is_pandas_series(values) or nw.dependencies.is_pandas_index(values):
        return _from_pandas(values, name)
    if nw.dependencies.is_pyarrow_chunked_array(values):
        return _from_arrow(values, name)
    if isinstance(values, pl.Series):
        return _from_polars(values, name)
    if isinstance(values, nw.Series):
        return as_cells(values.to_native(), name)
    if isinstance(values, np.ndarray):
        return _from_numpy(values, name)
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise UsageError(f"Column {name!r}: expected a sequence of values, got {shorten(values)}.")
    objects = np.empty(len(items := list(values)), dtype=object)
    objects[:] = items
    return _from_numpy(objects, name)


def blank(series: pl.Series, mask: np.ndarray) -> pl.Series:
    """The series with null where ``mask`` (n,) is True."""
    import polars as pl

    kept = pl.select(pl.when(pl.Series(~mask)).then(series)).to_series()
    return kept.alias(series.name)


def _from_array(array: np.ndarray, first_row: int) -> Table:
    if array.ndim != 2:
        # The words "Reshape your data" are those that scikit-learn's users know.
        raise DataError(
            f"Expected a table of two dimensions (rows, columns), got an array of shape "
            f"{array.shape}. Reshape your data: array.reshape(-1, 1) is one column, "
            "array.reshape(1, -1) one row."
        )
    if array.dtype.kind == "c":
        raise DataError("Complex data not supported: take real and imaginary part as two columns.")
    if array.dtype.kind == "V":
        raise UsageError("Arrays of records are not supported: put the fields into a data frame.")
    return Table(array, "numpy", tuple(range(array.shape[1])), len(array), first_row)


def _from_lists(rows: list[Any] | tuple[Any, ...]) -> np.ndarray:
    try:
        array = np.asarray(rows)
    except ValueError:
        raise DataError("The rows of the list have different numbers of cells.") from None
    # numpy turns [1, "a"] into text, and 1 with it: keep what the caller wrote.
    return array if array.dtype.kind in "fiubc" else np.asarray(rows, dtype=object)


def _not_a_table(data: Any) -> str:
    what = type(data).__module__.split(".")[0] + "." + type(data).__qualname__
    if hasattr(data, "collect"):
        return f"{what} is not computed yet: call .collect() first."
    if hasattr(data, "toarray"):
        return f"Sparse matrices ({what}) are not tables of columns: expected {_ACCEPTED}."
    return f"Expected {_ACCEPTED}, got {what}."


def _checked(names: Iterable[Hashable]) -> tuple[Name, ...]:
    checked: list[Name] = []
    for position, name in enumerate(names):
        if isinstance(name, np.integer):
            name = int(name)
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise DataError(
                f"Column {position + 1} is named {shorten(name)}: expected text or a whole number."
            )
        if name in checked:
            raise DataError(
                f"Columns {checked.index(name) + 1} and {position + 1} are both named {name!r}: "
                "names must be distinct."
            )
        checked.append(str(name) if isinstance(name, str) else name)
    return tuple(checked)


def _from_numpy(array: np.ndarray, name: Name, native: str | None = None) -> Cells:
    import polars as pl

    if array.ndim != 1:
        raise DataError(f"Column {name!r}: expected one dimension, got shape {array.shape}.")
    native = native or str(array.dtype)
    if array.dtype.kind == "O":
        return _from_polars(from_objects(array, name), name, native)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    elif array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize == 2 else np.float64)
    elif array.dtype.kind not in "fiubUTM":
        raise DataError(
            f"Column {name!r} is of type {native}, which no kind of column takes: expected "
            "numbers, text, booleans or dates."
        )
    if array.dtype.kind == "M":
        array = _common_unit(array)
    # polars takes over the memory of native, contiguous numbers as it is.
    array = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="), copy=False)
    return _from_polars(pl.Series(str(name), array), name, native)


def _common_unit(moments: np.ndarray) -> np.ndarray:
    """Moments in a unit that polars knows: day, ms, us or ns."""
    unit = np.datetime_data(moments.dtype)[0]
    if unit in ("D", "ms", "us", "ns"):
        return moments
    return moments.astype("M8[D]" if unit in ("Y", "M", "W") else "M8[ms]")


def _from_polars(series: pl.Series, name: Name, native: str | None = None) -> Cells:
    import polars as pl

    native = native or str(series.dtype)
    if series.dtype == pl.Null:
        series = series.cast(pl.String)
    if series.dtype == pl.Object:
        return _from_polars(from_objects(series.to_numpy(), name), name, native)
    if isinstance(series.dtype, pl.Enum):
        levels = tuple(series.dtype.categories)
        return Cells(name, series.to_physical(), "category", "Enum", levels, ordered=True)
    if series.dtype == pl.Categorical:
        return Cells(name, series.cast(pl.String), "category", native)
    if series.dtype == pl.Decimal:
        scale = getattr(series.dtype, "scale", None)
        return Cells(name, series.cast(pl.Float64), "decimal", native, decimals=scale)
    return Cells(name, series, _dtype_of(series, name), native)


def _dtype_of(series: pl.Series, name: Name) -> str:
    """The words of `Column.dtype` for the type of a polars series."""
    import polars as pl

    dtype = series.dtype
    if isinstance(dtype, pl.Datetime):
        zone = f", {dtype.time_zone}" if dtype.time_zone else ""
        return f"datetime[{dtype.time_unit}{zone}]"
    if dtype.is_integer() or dtype.is_float() or dtype in (pl.Boolean, pl.String, pl.Date):
        return str(dtype.base_type()).lower()
    raise DataError(
        f"Column {name!r} is of type {dtype}, which no kind of column takes: expected numbers, "
        "text, booleans or dates. Convert it, or leave it out."
    )


def _from_arrow(column: Any, name: Name) -> Cells:
    import polars as pl
    import pyarrow as pa

    native = str(column.type)
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries().combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # no rows
            column = pa.array([], column.type)
        levels = tuple(column.dictionary.to_pylist())
        codes = pl.Series(str(name), pl.from_arrow(column.indices))
        return _declared(name, codes, levels, native, bool(column.type.ordered))
    try:
        series = pl.Series(str(name), pl.from_arrow(column))
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise DataError(f"Column {name!r} of type {native} cannot be used: {error}.") from None
    return _from_polars(series, name, native)


def _from_pandas(column: Any, name: Name) -> Cells:
    import pandas as pd
    import polars as pl

    dtype = column.dtype
    native = str(dtype)
    if isinstance(dtype, np.dtype):
        return _from_numpy(column.to_numpy(), name, native)
    if isinstance(dtype, pd.CategoricalDtype):
        codes = pl.Series(str(name), np.asarray(pd.Categorical(column).codes, dtype=np.int32))
        codes = blank(codes, codes.to_numpy() < 0)
        return _declared(name, codes, dtype.categories.tolist(), "category", bool(dtype.ordered))
    if isinstance(dtype, pd.DatetimeTZDtype):
        moments = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        series = _from_numpy(moments, name).values.dt.replace_time_zone("UTC")
        return _from_polars(series.dt.convert_time_zone(str(dtype.tz)), name, native)
    if native.endswith("[pyarrow]") or getattr(dtype, "storage", "") == "pyarrow":
        import pyarrow as pa

        values = pa.array(column)
        return dataclasses.replace(
            _from_arrow(
                pa.chunked_array([values] if isinstance(values, pa.Array) else values), name
            ),
            native_dtype=native,
        )
    is_missing = column.isna().to_numpy()
    if getattr(dtype, "kind", "") in "iufb" and hasattr(dtype, "numpy_dtype"):
        # Masked numbers: 64-bit integers must not pass through floats.
        filler = dtype.numpy_dtype.type(0)
        cells = _from_numpy(column.fillna(filler).to_numpy(dtype.numpy_dtype), name, native)
        return dataclasses.replace(cells, values=blank(cells.values, is_missing))
    if getattr(dtype, "type", None) is str:
        objects = column.to_numpy(dtype=object, copy=True)
        objects[is_missing] = None
        return _from_numpy(objects, name, native)
    raise DataError(
        f"Column {name!r} is of type {native}, which no kind of column takes: expected numbers, "
        "text, booleans or dates. Convert it, or leave it out."
    )


def _declared(
    name: Name, codes: pl.Series, levels: Iterable[Any], native: str, ordered: bool
) -> Cells:
    """A categorical column with the levels that its type declares."""
    plain = tuple(level.item() if isinstance(level, np.generic) else level for level in levels)
    for level in plain:
        if not isinstance(level, str | int | float):
            raise DataError(
                f"Column {name!r} has a level {shorten(level)} of type {type(level).__name__}: "
                "expected text, numbers or booleans."
            )
    return Cells(name, codes, "category", native, plain, ordered)
