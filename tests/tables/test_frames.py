from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from fabula.core.errors import DataError, UsageError
from fabula.tables import kind_of_output
from fabula.tables.frames import as_cells, as_table

DAY = datetime.date(2020, 1, 2)
MOMENT = datetime.datetime(2020, 1, 2, 3, 4, 5)
NUMBER, TEXT = [1.5, None], ["a", None]

COLUMNS: dict[str, tuple[Any, str, list[Any]]] = {
    "numpy floats": (np.array([1.5, np.nan]), "float64", NUMBER),
    "numpy half floats": (np.array([1.5, np.nan], dtype=np.float16), "float32", NUMBER),
    "numpy foreign byte order": (np.array([1, 2], dtype=">i4"), "int32", [1, 2]),
    "numpy strided": (np.arange(6)[::2], "int64", [0, 2, 4]),
    "numpy strings": (np.array(["a", "b"]), "string", ["a", "b"]),
    "numpy bytes": (np.array([b"a"]), "string", ["a"]),
    "numpy months": (
        np.array(["2020-01", "NaT"], dtype="M8[M]"),
        "date",
        [DAY.replace(day=1), None],
    ),
    "numpy seconds": (np.array([MOMENT], dtype="M8[s]"), "datetime[ms]", [MOMENT]),
    "numpy objects": (np.array([1, None, 2.5], dtype=object), "float64", [1.0, None, 2.5]),
    "list of integers": ([1, None], "int64", [1, None]),
    "list of large integers": ([10**30, 1], "float64", [1e30, 1.0]),
    "list of text": (["a", float("nan"), None], "string", ["a", None, None]),
    "list of booleans": ([True, None], "boolean", [True, None]),
    "list of days": ([DAY, None], "date", [DAY, None]),
    "list of nothing": ([None, None], "string", [None, None]),
    "pandas integers": (pd.Series([1, 2], dtype="uint8"), "uint8", [1, 2]),
    "pandas nullable": (pd.Series([2**60 + 1, None], dtype="Int64"), "int64", [2**60 + 1, None]),
    "pandas nullable floats": (pd.Series(NUMBER, dtype="Float32"), "float32", NUMBER),
    "pandas nullable booleans": (pd.Series([True, None], dtype="boolean"), "boolean", [True, None]),
    "pandas str": (pd.Series(TEXT), "string", TEXT),
    "pandas string": (pd.Series(TEXT, dtype=pd.StringDtype("python")), "string", TEXT),
    "pandas arrow string": (pd.Series(TEXT, dtype=pd.StringDtype("pyarrow")), "string", TEXT),
    "pandas objects": (pd.Series(["a", pd.NA], dtype=object), "string", TEXT),
    "pandas object moments": (
        pd.Series([pd.Timestamp(MOMENT), pd.NaT], dtype=object),
        "datetime[us]",
        [MOMENT, None],
    ),
    "pandas moments": (pd.Series(pd.to_datetime([MOMENT, None])), "datetime[us]", [MOMENT, None]),
    "pandas arrow": (pd.Series([1, None], dtype="int64[pyarrow]"), "int64", [1, None]),
    "pandas index": (pd.Index([3, 4]), "int64", [3, 4]),
    "polars decimal": (pl.Series(["1.50"]).cast(pl.Decimal(10, 2)), "decimal", [1.5]),
    "polars null": (pl.Series([None]), "string", [None]),
    "polars categorical": (pl.Series(TEXT, dtype=pl.Categorical), "category", TEXT),
    "arrow": (pa.chunked_array([[1], [None]]), "int64", [1, None]),
    "arrow days": (pa.chunked_array([[DAY]]), "date", [DAY]),
}


@pytest.mark.parametrize("held", COLUMNS)
def test_columns_of_every_library_are_read(held: str) -> None:
    values, dtype, expected = COLUMNS[held]
    cells = as_cells(values, "x")
    assert cells.dtype == dtype
    found = [None if v != v else v for v in cells.values.to_list()]
    assert found == expected
    assert len(cells) == len(expected)


def test_moments_with_a_time_zone_stay_the_same_instant() -> None:
    paris = pd.Series([pd.Timestamp("2020-07-01 12:00", tz="Europe/Paris")])
    cells = as_cells(paris, "x")
    assert cells.dtype == "datetime[us, Europe/Paris]"
    assert cells.values[0] == paris[0].to_pydatetime()


CATEGORICAL = {
    "pandas": pd.Series(["a", "b", None], dtype=pd.CategoricalDtype(["b", "a", "c"], ordered=True)),
    "polars": pl.Series(["a", "b", None], dtype=pl.Enum(["b", "a", "c"])),
    "pyarrow": pa.chunked_array(
        [
            pa.DictionaryArray.from_arrays(
                pa.array([1, 0, None]), pa.array(["b", "a", "c"]), ordered=True
            )
        ]
    ),
}


@pytest.mark.parametrize("library", CATEGORICAL)
def test_declared_levels_are_kept_in_their_order(library: str) -> None:
    cells = as_cells(CATEGORICAL[library], "x")
    assert cells.levels == ("b", "a", "c")
    assert cells.ordered
    assert cells.values.to_list() == [1, 0, None]
    assert cells.plain().values.to_list() == ["a", "b", None]


def test_levels_may_be_numbers() -> None:
    cells = as_cells(pd.Series([3, 1, None], dtype=pd.CategoricalDtype([3, 1])), "x")
    assert cells.levels == (3, 1)
    assert cells.plain().is_number
    arrow = as_cells(pa.chunked_array([], pa.dictionary(pa.int32(), pa.string())), "x")
    assert (arrow.levels, len(arrow)) == ((), 0)


BROKEN = {
    "a number among texts": (
        ["a", 1, "b"],
        r"row 2 \(counting from 1\): 1 is of type int where most cells are text",
    ),
    "a text among numbers": (
        [1, 2.5, "12,5"],
        r"row 3 .*'12,5' is of type str where most cells are numbers",
    ),
    "a boolean among numbers": ([1, 2, True], "row 3"),
    "objects": ([object()], "row 1.*type object, which no kind"),
    "a list in a cell": ([1, [2]], "row 2.*type list"),
    "bytes": ([b"x"], "type bytes"),
    "complex numbers": (np.array([1j]), "complex128"),
    "durations": (pl.Series([datetime.timedelta(1)]), "Duration"),
    "pandas durations": (pd.Series(pd.to_timedelta(["1D"])), "timedelta"),
    "periods": (pd.Series(pd.period_range("2020", periods=2, freq="M")), "period"),
    "lists": (pl.Series([[1]]), "List"),
    "two dimensions": (np.zeros((2, 2)), "one dimension"),
    "too large a number": ([10**400, 1.5], "too large"),
    "levels of dates": (pd.Series(pd.Categorical(pd.to_datetime(["2020-01-01"]))), "has a level"),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_columns_that_cannot_be_used_say_where_and_why(problem: str) -> None:
    values, message = BROKEN[problem]
    with pytest.raises(DataError, match=f"Column 'x'.*{message}"):
        as_cells(values, "x")


@pytest.mark.parametrize("values", ["abc", 3, b"abc"])
def test_a_single_value_is_no_column(values: Any) -> None:
    with pytest.raises(UsageError, match="sequence of values"):
        as_cells(values, "x")


def test_the_kind_of_a_table_is_recognised() -> None:
    frame = pl.DataFrame({"a": [1]})
    assert kind_of_output(frame) == "polars"
    assert kind_of_output(frame.to_pandas()) == "pandas"
    assert kind_of_output(frame.to_arrow()) == "pyarrow"
    assert kind_of_output(np.zeros((1, 1))) == "numpy"
    assert kind_of_output([[1, 2]]) == "numpy"


def test_names_of_columns_are_positions_in_an_array() -> None:
    assert as_table(np.zeros((2, 3))).names == (0, 1, 2)
    frame = pd.DataFrame(np.zeros((2, 2)), columns=np.array([7, 5]))
    assert as_table(frame).names == (7, 5)


NO_TABLES = {
    "lazy frame": (pl.LazyFrame({"a": [1]}), UsageError, "collect"),
    "number": (3, UsageError, "got builtins.int"),
    "nothing": (None, UsageError, "NoneType"),
    "text": ("a", UsageError, "str"),
    "sparse matrix": (scipy.sparse.csr_array((2, 2)), UsageError, "Sparse matrices"),
    "one dimension": (np.zeros(3), DataError, "Reshape your data"),
    "complex": (np.zeros((2, 2), complex), DataError, "Complex data not supported"),
    "records": (np.zeros((2, 2), dtype=[("a", int)]), UsageError, "records"),
    "ragged list": ([[1, 2], [3]], DataError, "different numbers of cells"),
    "same name twice": (
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        DataError,
        "1 and 2 are both named 'a'",
    ),
    "names are tuples": (pd.DataFrame([[1]], columns=[("a", 1)]), DataError, "expected text"),
}


@pytest.mark.parametrize("what", NO_TABLES)
def test_what_is_no_table_is_refused(what: str) -> None:
    data, error, message = NO_TABLES[what]
    with pytest.raises(error, match=message):
        as_table(data)


def test_a_broken_column_that_nobody_asks_for_does_no_harm() -> None:
    table = as_table(pd.DataFrame({"good": [1, 2], "bad": pd.Series([1, "a"], dtype=object)}))
    assert table.column("good").values.to_list() == [1, 2]
    with pytest.raises(DataError, match="'bad'"):
        table.column("bad")
