from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from fabula.core.errors import DataError, FabulaWarning, UsageError
from fabula.tables import (
    Column,
    Schema,
    TableEncoding,
    TextOptions,
    read_table,
    scan_table,
    write_table,
)

PEOPLE = pl.DataFrame(
    {
        "id": [101, 102, 103, 104],
        "age": [31, None, 47, 52],
        "income": [10.25, 8.5, None, 12.75],
        "sex": ["f", "m", None, "f"],
        "member": [True, False, True, None],
        "born": [
            datetime.date(1990, 1, 2),
            None,
            datetime.date(1974, 5, 6),
            datetime.date(1970, 1, 1),
        ],
        "unit": ["eur"] * 4,
    }
)
X = np.array(
    [
        [31.0, 10.25, 0.0, 1.0, 7306.0],
        [np.nan, 8.5, 1.0, 0.0, np.nan],
        [47.0, np.nan, np.nan, 1.0, 1586.0],
        [52.0, 12.75, 0.0, np.nan, 0.0],
    ]
)


def as_container(frame: pl.DataFrame, container: str) -> Any:
    return {"polars": frame, "pandas": frame.to_pandas(), "pyarrow": frame.to_arrow()}[container]


@pytest.mark.parametrize("container", ["polars", "pandas", "pyarrow"])
def test_the_same_table_has_the_same_numbers_whatever_holds_it(container: str) -> None:
    encoding = TableEncoding.fit(as_container(PEOPLE, container), kinds={"age": "count"})
    for other in ("polars", "pandas", "pyarrow"):
        np.testing.assert_array_equal(encoding.encode(as_container(PEOPLE, other)), X)
    assert encoding.names == ("age", "income", "sex", "member", "born")
    assert [field.n_levels for field in encoding.fields] == [0, 0, 2, 2, 0]
    assert [field.kind for field in encoding.fields] == [
        "count", "continuous", "category", "boolean", "date",
    ]  # fmt: skip
    assert encoding.columns_of("sex") == slice(2, 3)
    assert encoding.columns_of("id") == slice(0, 0)
    assert encoding.n_columns == 5


def test_decoding_gives_the_table_back() -> None:
    encoding = TableEncoding.fit(PEOPLE, kinds={"age": "count"})
    polars.testing.assert_frame_equal(encoding.decode(X), PEOPLE.drop("id"))
    assert encoding.decode(X, like="pyarrow").schema.field("born").type == pa.date32()
    frame = encoding.decode(X, like="pandas")
    assert str(frame["age"].dtype) == "Int64" and frame["age"][0] == 31
    assert str(frame["member"].dtype) == "boolean"
    assert list(encoding.decode(X, like="numpy")[0]) == [
        31.0, 10.25, "f", True, datetime.date(1990, 1, 2), "eur",
    ]  # fmt: skip


def test_numbers_come_back_in_their_precision_and_range() -> None:
    encoding = TableEncoding.fit(PEOPLE)
    rows = np.array([[33.4, 11.987, 1, 0, 100.4], [99.0, -3.0, 0, 1, 1e6]])
    decoded = encoding.decode(rows)
    assert decoded["age"].to_list() == [33, 52]
    assert decoded["income"].to_list() == [11.99, 8.5]
    assert decoded["born"].to_list() == [datetime.date(1970, 4, 11), datetime.date(1990, 1, 2)]
    free = encoding.decode(rows[:, :], clip=False)
    assert free["age"].to_list() == [33, 99]
    assert free["income"].to_list() == [11.99, -3.0]


def test_integers_never_wrap_around() -> None:
    frame = pl.DataFrame({"x": pl.Series([0, 7, 250], dtype=pl.UInt8)})
    encoding = TableEncoding.fit(frame)
    assert encoding.decode(np.array([[-5.0], [900.0]]), clip=False)["x"].to_list() == [0, 255]
    large = pl.DataFrame({"x": [0, 5, 2**62]})
    decoded = TableEncoding.fit(large).decode(np.array([[1e30]]), clip=False)["x"][0]
    assert 2**62 < decoded < 2**63


@st.composite
def tables(draw: st.DrawFn) -> pl.DataFrame:
    """Columns of every kind that has values of its own, with holes."""
    n = draw(st.integers(2, 30))

    def holes(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(st.one_of(values, st.none()), min_size=n, max_size=n))

    decimals = draw(st.integers(0, 6))
    moments = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2060, 1, 1))
    words = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=8)
    return pl.DataFrame(
        {
            "integer": pl.Series(holes(st.integers(-(2**53), 2**53)), dtype=pl.Int64),
            "small": pl.Series(holes(st.integers(0, 255)), dtype=pl.UInt8),
            "number": pl.Series(holes(st.floats(-1e12, 1e12)), dtype=pl.Float64),
            "single": pl.Series(holes(st.floats(-1e6, 1e6, width=32)), dtype=pl.Float32),
            "decimal": pl.Series(
                [
                    None if i is None else i / 10**decimals
                    for i in holes(st.integers(-(10**6), 10**6))
                ],
                dtype=pl.Float64,
            ),
            "truth": pl.Series(holes(st.booleans()), dtype=pl.Boolean),
            "level": pl.Series(["a", *holes(words)[1:]], dtype=pl.String),
            "day": pl.Series(holes(st.dates()), dtype=pl.Date),
            "moment": pl.Series(holes(moments), dtype=pl.Datetime("us")),
        }
    )


KINDS: dict[Any, Any] = {
    "integer": "continuous",
    "small": "count",
    "number": "continuous",
    "single": "continuous",
    "decimal": "continuous",
    "truth": "boolean",
    "day": "date",
    "moment": "date",
}


@pytest.mark.parametrize("like", ["polars", "pandas", "pyarrow"])
def test_an_empty_column_of_whole_numbers_keeps_its_type(like: str) -> None:
    frame = pl.DataFrame({"small": pl.Series([None, None], dtype=pl.UInt8), "x": [0.0, 1.5]})
    encoding = TableEncoding.fit(frame, kinds={"small": "count", "x": "continuous"})
    decoded = pl.DataFrame(encoding.decode(encoding.encode(frame), like=like))
    assert decoded.schema == frame.schema


@given(tables())
@settings(max_examples=60)
def test_every_table_survives_encoding_and_decoding(frame: pl.DataFrame) -> None:
    encoding = TableEncoding.fit(frame, kinds={**KINDS, "level": "category"})
    x = encoding.encode(frame)
    assert x.shape == (frame.height, 9)
    np.testing.assert_array_equal(np.isnan(x), frame.select(pl.all().is_null()).to_numpy())
    again = TableEncoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
    assert again == encoding
    for like in ("polars", "pandas", "pyarrow"):
        decoded = again.decode(x, like=like)
        reread = pl.DataFrame(decoded)
        if like == "pandas":
            reread = reread.cast({"day": pl.Date})  # pandas has moments only
        polars.testing.assert_frame_equal(reread, frame, abs_tol=0.0, rel_tol=0.0)
        np.testing.assert_array_equal(encoding.encode(decoded), x)


@given(tables())
@settings(max_examples=25)
def test_inferred_schemas_survive_json(frame: pl.DataFrame) -> None:
    from fabula.tables import infer_schema

    schema = infer_schema(frame, kinds={"level": "category"})
    assert Schema.from_json(schema.to_json()) == schema


PARIS = pd.Timestamp("2020-07-01 12:00", tz="Europe/Paris")
GRADES = pd.CategoricalDtype(["lo", "mid", "hi"], ordered=True)
YEARS = [datetime.date(2020, 1, 1), None, datetime.date(2021, 1, 1)]
HOURS = np.array(["2020-01-01T10", "NaT", "2021-01-01T00"], dtype="M8[s]")
PANDAS = {
    "int8": pd.Series([1, 5, 2], dtype="int8"),
    "Int64": pd.Series([1, None, 2**60], dtype="Int64"),
    "float32": pd.Series([0.5, np.nan, 0.1], dtype="float32"),
    "Float64": pd.Series([0.5, None, 0.1], dtype="Float64"),
    "float64 integers": pd.Series([1.0, np.nan, 7.0]),
    "bool": pd.Series([True, False, True]),
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "object": pd.Series(["a", None, "b"], dtype=object),
    "str": pd.Series(["a", None, "b"], dtype="str"),
    "string": pd.Series(["a", None, "b"], dtype="string"),
    "ordered category": pd.Series(["lo", None, "hi"], dtype=GRADES),
    "category of integers": pd.Series([3, 1, 3], dtype="category"),
    "datetime64[ns]": pd.Series(HOURS.astype("M8[ns]")),
    "datetime64[s]": pd.Series(HOURS),
    "time zone": pd.Series([PARIS, pd.NaT, PARIS + pd.Timedelta("3h")]),
    "object days": pd.Series(YEARS, dtype=object),
    "int64[pyarrow]": pd.Series([1, None, 5], dtype="int64[pyarrow]"),
}


@pytest.mark.parametrize("dtype", PANDAS)
def test_pandas_types_come_back(dtype: str) -> None:
    frame = PANDAS[dtype].to_frame("x")
    encoding = TableEncoding.fit(frame)
    pd.testing.assert_frame_equal(encoding.decode(encoding.encode(frame)), frame)


ARROW = {
    "int16": pa.array([1, None, 3], pa.int16()),
    "float": pa.array([0.1, None, 3], pa.float32()),
    "string": pa.array(["a", None, "b"]),
    "large_string": pa.array(["a", None, "b"], pa.large_string()),
    "bool": pa.array([True, None, False]),
    "date32": pa.array([datetime.date(2020, 1, 1), None, datetime.date(2020, 1, 3)]),
    "timestamp": pa.array([10**18, None, 2 * 10**18], pa.timestamp("ns", "UTC")),
    "dictionary": pa.array(["a", None, "b"]).dictionary_encode(),
    "decimal": pa.array(
        [decimal.Decimal("1.50"), None, decimal.Decimal("2.25")], pa.decimal128(10, 2)
    ),
}


@pytest.mark.parametrize("dtype", ARROW)
def test_arrow_types_come_back(dtype: str) -> None:
    table = pa.table({"x": ARROW[dtype]})
    encoding = TableEncoding.fit(table)
    decoded = encoding.decode(encoding.encode(table))
    assert decoded.schema == table.schema
    assert decoded.to_pylist() == table.to_pylist()


MOMENT = datetime.datetime(2020, 1, 1, 1, 1, 1, 1000)
POLARS = {
    "Enum": pl.Series(["b", None, "a"], dtype=pl.Enum(["b", "a", "c"])),
    "Categorical": pl.Series(["b", None, "a"], dtype=pl.Categorical),
    "Decimal": pl.Series(["1.50", None, "2.25"]).cast(pl.Decimal(10, 2)),
    "Datetime(ms)": pl.Series(
        [MOMENT, None, MOMENT.replace(year=2021)], dtype=pl.Datetime("ms", "UTC")
    ),
    "dates as text": pl.Series(["2020-01-31", None, "2021-02-28"]),
    "moments as text": pl.Series(["2020-01-31T10:00:00Z", None, "2021-02-28T23:59:59Z"]),
    "fractions of seconds": pl.Series(["2020-01-31 10:00:00.123", "2021-02-28 23:59:59.001"]),
    "booleans as text": pl.Series(["TRUE", None, "FALSE"]),
    "all missing": pl.Series([None, None], dtype=pl.Float32),
    "constant day": pl.Series([datetime.date(2020, 1, 1)] * 2),
    "constant": pl.Series([7, 7], dtype=pl.Int8),
}


@pytest.mark.parametrize("dtype", POLARS)
def test_polars_types_come_back(dtype: str) -> None:
    frame = POLARS[dtype].to_frame("x")
    encoding = TableEncoding.from_dict(TableEncoding.fit(frame).to_dict())
    polars.testing.assert_frame_equal(encoding.decode(encoding.encode(frame)), frame)


def test_an_array_passes_through_without_a_copy() -> None:
    for dtype in (np.float64, np.float32):
        x = np.array([[1.5, np.nan], [0.0, 2.0]], dtype=dtype)
        encoding = TableEncoding.fit(x)
        assert encoding.encode(x) is x
        assert encoding.decode(x) is x
    assert encoding.names == ("0", "1")
    assert [column.kind for column in encoding.schema] == ["continuous", "continuous"]


def test_arrays_of_integers_stay_integers() -> None:
    x = np.array([[1, 2], [3, 4]], dtype=np.int16)
    encoding = TableEncoding.fit(x)
    assert encoding.encode(x).dtype == np.float64
    decoded = encoding.decode(np.array([[1.2, 9.8]]))
    assert decoded.dtype == np.int16
    assert decoded.tolist() == [[1, 10]]
    with_holes = encoding.decode(np.array([[1.2, np.nan]]))
    np.testing.assert_array_equal(with_holes, [[1.0, np.nan]])


def test_columns_of_arrays_may_be_stated() -> None:
    x = np.array([[7.0, 1.0, 0.5], [9.0, 0.0, 1.5], [7.0, np.nan, 2.5]])
    encoding = TableEncoding.fit(x, kinds={0: "category", 1: "boolean"})
    expected = [[0.0, 1.0, 0.5], [1.0, 0.0, 1.5], [0.0, np.nan, 2.5]]
    np.testing.assert_array_equal(encoding.encode(x), expected)
    np.testing.assert_array_equal(encoding.decode(np.asarray(expected)), x)
    assert encoding.encode(np.array([[8.0, 1.0, 0.5]]))[0, 0] == 2.0  # a level never seen


def test_arrays_of_objects_hold_what_they_like() -> None:
    x = np.array([["a", 1.5], [None, 2.5], ["b", None]], dtype=object)
    encoding = TableEncoding.fit(x)
    assert [column.kind for column in encoding.schema] == ["category", "continuous"]
    encoded = encoding.encode(x)
    np.testing.assert_array_equal(encoded, [[0, 1.5], [np.nan, 2.5], [1, np.nan]])
    decoded = encoding.decode(encoded)
    assert decoded.dtype == object
    assert decoded[1, 0] is None and decoded[0].tolist() == ["a", 1.5]


def test_an_array_of_another_width_is_refused() -> None:
    encoding = TableEncoding.fit(np.zeros((2, 3)))
    with pytest.raises(DataError, match="has 4 columns, expected 3"):
        encoding.encode(np.zeros((2, 4)))
    with pytest.raises(DataError, match=r"shape \(2, 4\), expected \(n, 3\)"):
        encoding.decode(np.zeros((2, 4)))


@pytest.mark.parametrize("kinds", [None, {0: "count"}])
def test_infinity_is_found(kinds: Any) -> None:
    x = np.ones((70_000, 2))
    encoding = TableEncoding.fit(x, kinds=kinds)
    x[3, 0] = np.nan
    x[66_000, 1] = -np.inf
    with pytest.raises(DataError, match=r"Column 1, row 66001 \(counting from 1\) is -inf"):
        encoding.encode(x)
    with pytest.raises(DataError, match="row 67001"):
        encoding.encode(x, first_row=1000)


def test_huge_numbers_are_not_taken_for_infinity() -> None:
    x = np.full((10, 1), 1e308)
    assert TableEncoding.fit(x).encode(x) is x


def test_columns_are_found_by_name() -> None:
    encoding = TableEncoding.fit(PEOPLE, kinds={"age": "count"})
    shuffled = PEOPLE.select(reversed(PEOPLE.columns)).with_columns(extra=pl.Series([[1]] * 4))
    np.testing.assert_array_equal(encoding.encode(shuffled), X)
    # Identifiers and constants are not needed.
    np.testing.assert_array_equal(encoding.encode(PEOPLE.drop("id", "unit")), X)
    with pytest.raises(DataError, match=r"no column 'income'\. Did you mean 'incom'"):
        encoding.encode(PEOPLE.rename({"income": "incom"}))
    with pytest.raises(DataError, match="lacks the columns 'sex', 'born'"):
        encoding.encode(PEOPLE.drop("sex", "born"))


def test_columns_without_names_are_taken_by_position_with_a_warning() -> None:
    frame = pl.DataFrame({"a": [1.0, 2.0, 4.0], "b": [0.5, 1.5, 2.5]})
    array = frame.to_numpy()
    with pytest.warns(FabulaWarning, match="X does not have valid feature names"):
        np.testing.assert_array_equal(TableEncoding.fit(frame).encode(array), array)
    with pytest.warns(FabulaWarning, match="X has feature names"):
        np.testing.assert_array_equal(TableEncoding.fit(array).encode(frame), array)
    with pytest.raises(DataError, match="3 columns, expected 2"):
        TableEncoding.fit(frame).encode(np.zeros((2, 3)))


def test_a_cell_that_is_no_number_is_named() -> None:
    encoding = TableEncoding.fit(pl.DataFrame({"x": [1.5, 2.5]}))
    bad = pl.DataFrame({"x": ["1.5", " 2 ", None, "12,5"]})
    with pytest.raises(
        DataError, match=r"Column 'x', row 4 \(counting from 1\): '12,5' is not a num"
    ):
        encoding.encode(bad)
    np.testing.assert_array_equal(encoding.encode(bad[:3])[:, 0], [1.5, 2.0, np.nan])
    with pytest.raises(DataError, match="Date, expected numbers"):
        encoding.encode(pl.DataFrame({"x": [datetime.date(2020, 1, 1)]}))


def test_counts_have_to_be_counts() -> None:
    encoding = TableEncoding.fit(pl.DataFrame({"x": [0, 2, 1]}), kinds={"x": "count"})
    for wrong in (-1, 0.5):
        with pytest.raises(DataError, match=f"row 2 .*{wrong} is not a count"):
            encoding.encode(pl.DataFrame({"x": [1, wrong]}, strict=False))
    with pytest.raises(DataError, match="cannot be a count: it has values from -1"):
        TableEncoding.fit(pl.DataFrame({"x": [0, -1]}), kinds={"x": "count"})


def test_levels_never_seen_get_the_code_behind_the_last() -> None:
    encoding = TableEncoding.fit(PEOPLE)
    codes = encoding.encode(PEOPLE.with_columns(sex=pl.Series(["d", "m", None, "f "])))[:, 2]
    np.testing.assert_array_equal(codes, [2, 1, np.nan, 2])
    assert encoding.decode(X)["sex"].to_list() == ["f", "m", None, "f"]
    row = np.array([[31, 10, 2.0, 0, 0]])
    assert encoding.decode(row)["sex"].to_list() == [None]
    for code in (3.0, -1.0, 0.5):
        row[0, 2] = code
        with pytest.raises(DataError, match="no code of its 2 levels"):
            encoding.decode(row)


LEVELS: dict[str, tuple[list[Any], list[Any], list[float]]] = {
    "text for integers": ([1, 2, 5], ["2", "5", None, "7"], [1, 2, np.nan, 3]),
    "integers for text": (["1", "2", "5"], [2, 5, None, 7], [1, 2, np.nan, 3]),
    "numbers for integers": ([1, 2, 5], [2.0, 5.0, None, 5.5], [1, 2, np.nan, 3]),
    "booleans for text": (["FALSE", "TRUE"], [True, False, None], [1, 0, np.nan]),
    "text for booleans": ([False, True], ["true", "FALSE", None], [1, 0, np.nan]),
    "numbers for booleans": ([False, True], [1, 0, None], [1, 0, np.nan]),
    "booleans for numbers": ([0, 1], [True, False, None], [1, 0, np.nan]),
    "exact text only": (["a", "B"], ["A", "B", "b"], [2, 0, 2]),
}


@pytest.mark.parametrize("case", LEVELS)
def test_levels_are_recognised_in_another_type(case: str) -> None:
    learned, given, codes = LEVELS[case]
    encoding = TableEncoding.fit(pl.DataFrame({"x": learned}), kinds={"x": "category"})
    np.testing.assert_array_equal(encoding.encode(pl.DataFrame({"x": given}))[:, 0], codes)
    categorical = pd.DataFrame({"x": pd.Series(given).astype("category")})
    np.testing.assert_array_equal(encoding.encode(categorical)[:, 0], codes)


def test_a_column_of_another_type_without_any_known_level_is_an_error() -> None:
    encoding = TableEncoding.fit(PEOPLE)
    with pytest.raises(DataError, match=r"'sex', row 1 .*7 is none of its 2 levels"):
        encoding.encode(PEOPLE.with_columns(sex=pl.Series([7, 8, None, 9])))
    with pytest.raises(DataError, match="expected levels of a category"):
        encoding.encode(PEOPLE.with_columns(sex=pl.col("born")))


def test_a_stated_schema_is_completed_and_obeyed() -> None:
    schema = Schema(
        (Column("sex", "category", levels=("m", "f", "d")), Column("age", "continuous"))
    )
    encoding = TableEncoding.fit(PEOPLE, schema=schema)
    assert encoding.schema["sex"].levels == ("m", "f", "d")
    assert (encoding.schema["age"].lower, encoding.schema["age"].upper) == (31, 52)
    assert encoding.schema["age"].integer
    np.testing.assert_array_equal(encoding.encode(PEOPLE)[:, 0], [1, 0, np.nan, 1])
    few = Schema((Column("sex", "category", levels=("m", "d")),))
    with pytest.raises(DataError, match=r"'sex', row 1 .*'f' is none of its 2 levels"):
        TableEncoding.fit(PEOPLE, schema=few)
    with pytest.raises(DataError, match=r"lack a column.*'agee'.*'age'"):
        TableEncoding.fit(PEOPLE, schema=Schema((Column("agee", "count"),)))


def test_kinds_override_a_schema() -> None:
    schema = TableEncoding.fit(PEOPLE).schema
    encoding = TableEncoding.fit(PEOPLE, schema=schema, kinds={"age": "category"})
    assert encoding.schema["age"].levels == (31, 47, 52)
    np.testing.assert_array_equal(encoding.encode(PEOPLE)[:, 0], [0, np.nan, 1, 2])


def test_selected_columns_are_encoded_alone() -> None:
    encoding = TableEncoding.fit(PEOPLE, kinds={"age": "count"})
    np.testing.assert_array_equal(encoding.select(["born", "age"]).encode(PEOPLE), X[:, [4, 0]])
    np.testing.assert_array_equal(encoding.without("sex").encode(PEOPLE), X[:, [0, 1, 3, 4]])
    array = TableEncoding.fit(np.arange(6.0).reshape(2, 3)).select([2, 0])
    np.testing.assert_array_equal(array.encode(np.arange(6.0).reshape(2, 3)), [[2, 0], [5, 3]])


def test_decoding_follows_the_kind_and_the_index_of_a_table() -> None:
    frame = PEOPLE.to_pandas().set_index(pd.Index(list("wxyz")))
    encoding = TableEncoding.fit(PEOPLE)
    assert list(encoding.decode(X, like=frame).index) == list("wxyz")
    assert list(encoding.decode(X[:2], like=frame).index) == [0, 1]
    assert isinstance(encoding.decode(X, like=PEOPLE.to_arrow()), pa.Table)
    with pytest.raises(UsageError, match=r"no kind of table 'panda'.*'pandas'"):
        encoding.decode(X, like="panda")


def test_missing_cells_are_filled_and_nothing_else_changes() -> None:
    encoding = TableEncoding.fit(PEOPLE, kinds={"age": "count"})
    complete = np.where(np.isnan(X), [40.4, 11.111, 1.0, 0.0, 100.0], X)
    complete[0] = [0, 0, 1, 0, 0]  # cells that were seen do not follow x
    table = PEOPLE.with_columns(more=pl.Series([None, "kept", None, "x"]))
    expected = table.with_columns(
        age=pl.Series([31, 40, 47, 52]),
        income=pl.Series([10.25, 8.5, 11.11, 12.75]),
        sex=pl.Series(["f", "m", "m", "f"]),
        member=pl.Series([True, False, True, False]),
        born=pl.Series([7306, 100, 1586, 0]).cast(pl.Int32).cast(pl.Date),
    )
    for container in ("polars", "pandas", "pyarrow"):
        given = as_container(table, container)
        filled = encoding.fill_missing(given, complete)
        assert type(filled) is type(given)
        reread = pl.DataFrame(filled) if container != "pandas" else pl.from_pandas(filled)
        polars.testing.assert_frame_equal(
            reread.cast({"age": pl.Int64, "born": pl.Date}), expected, check_dtypes=True
        )
    polars.testing.assert_frame_equal(table, table.clone())
    with pytest.raises(DataError, match=r"expected \(4, 5\)"):
        encoding.fill_missing(table, complete[:2])


def test_holes_of_arrays_are_filled() -> None:
    x = np.array([[1.0, np.nan], [np.nan, 5.5]])
    filled = TableEncoding.fit(x).fill_missing(x, np.full((2, 2), 9.25))
    np.testing.assert_array_equal(filled, [[1.0, 9.25], [9.25, 5.5]])
    assert np.isnan(x[0, 1])
    objects = np.array([["a", 1.5], [None, 2.5], ["b", None]], dtype=object)
    encoding = TableEncoding.fit(objects)
    assert encoding.fill_missing(objects, np.ones((3, 2)))[1:].tolist() == [["b", 2.5], ["b", 1.0]]


def test_declared_levels_and_unseen_ones_survive_filling() -> None:
    learned = pd.DataFrame({"x": pd.Categorical(["a", "b", None])})
    encoding = TableEncoding.fit(learned)
    given = pd.DataFrame(
        {"x": pd.Categorical(["c", None, "a"], categories=["c", "a"])}, index=[5, 6, 7]
    )
    filled = encoding.fill_missing(given, np.array([[0.0], [1.0], [0.0]]))
    assert filled["x"].tolist() == ["c", "b", "a"]
    assert list(filled["x"].cat.categories) == ["c", "a", "b"]
    assert list(filled.index) == [5, 6, 7]


def test_labels_are_coded_and_rows_without_one_are_minus_one() -> None:
    encoding = TableEncoding.fit(PEOPLE)
    codes = encoding.encode_column("sex", np.array(["m", None, "f", np.nan], dtype=object))
    assert codes.dtype == np.intp
    assert codes.tolist() == [1, -1, 0, -1]
    assert encoding.decode_column("sex", codes).to_list() == ["m", None, "f", None]
    with pytest.raises(DataError, match=r"row 2 .*'x' is none of its 2 levels"):
        encoding.encode_column("sex", ["m", "x"])
    with pytest.raises(UsageError, match="identifier, which has no codes"):
        encoding.encode_column("id", [1])
    with pytest.raises(UsageError, match="no column 'seks'"):
        encoding.encode_column("seks", [1])
    np.testing.assert_array_equal(encoding.encode_column("age", [31, None]), [31, np.nan])
    assert encoding.encode_column("unit", ["eur", None]).tolist() == [0, -1]


def test_minus_one_is_no_label_unless_it_is_a_class() -> None:
    three = TableEncoding.fit(pl.DataFrame({"y": [0, 1, 2] * 5}), kinds={"y": "category"})
    assert three.encode_column("y", np.array([2, -1, 0])).tolist() == [2, -1, 0]
    assert three.encode_column("y", [2.0, -1.0, None]).tolist() == [2, -1, -1]
    assert three.encode_column("y", pd.Series([2, -1], dtype="category")).tolist() == [2, -1]
    two = TableEncoding.fit(pl.DataFrame({"y": [-1, 1] * 5}), kinds={"y": "category"})
    assert two.encode_column("y", np.array([-1, 1])).tolist() == [0, 1]
    assert two.decode_column("y", [0, 1, -1]).to_list() == [-1, 1, None]


def test_columns_decode_to_what_they_are_asked_for() -> None:
    encoding = TableEncoding.fit(PEOPLE)
    assert encoding.decode_column("sex", [0, 1], like="numpy").tolist() == ["f", "m"]
    assert isinstance(encoding.decode_column("sex", [0, 1], like="pandas"), pd.Series)
    assert encoding.decode_column("born", [0.0])[0] == datetime.date(1970, 1, 1)


MAIL = pl.DataFrame(
    {
        "label": ["spam", "ham", "ham", "spam"] * 5,
        "text": ["win £1000 now now!!", "see you now", None, "win a prize now!!"] * 5,
        "length": [19.0, 11.5, None, 17.25] * 5,
    }
)


def test_text_becomes_counts_of_words() -> None:
    encoding = TableEncoding.fit(MAIL, kinds={"text": "text"})
    x = encoding.encode(MAIL)
    assert isinstance(x, scipy.sparse.csr_array)
    assert x.dtype == np.float64
    words = encoding.vocabularies["text"]
    assert words == ("!!", "0000", "a", "now", "prize", "see", "win", "you", "£")
    assert encoding.columns_of("text") == slice(2, 11)
    assert encoding.names[:3] == ("label", "length", "text:!!")
    assert encoding.fields[2].word == "!!"
    dense = x.toarray()
    np.testing.assert_array_equal(dense[0], [1, 19.0, 1, 1, 0, 2, 0, 0, 1, 0, 1])
    np.testing.assert_array_equal(dense[2], [0, np.nan] + [0] * 9)
    # Zeros of the first columns are values and stay in the array; zeros of words are not stored.
    assert np.diff(x.indptr)[:4].tolist() == [2 + 5, 2 + 3, 2 + 0, 2 + 5]
    assert x.has_sorted_indices or np.all(np.diff(x.indices[:7]) > 0)


def test_a_bag_of_words_comes_back_in_alphabetical_order() -> None:
    encoding = TableEncoding.fit(MAIL, kinds={"text": "text"})
    decoded = encoding.decode(encoding.encode(MAIL))
    assert decoded["text"][0] == "!! 0000 now now win £"
    assert decoded["text"][2] == ""
    assert decoded["label"].to_list() == MAIL["label"].to_list()
    assert decoded["length"].to_list() == MAIL["length"].to_list()
    dense = encoding.decode(encoding.encode(MAIL).toarray())
    assert dense.equals(decoded)
    again = TableEncoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
    assert again == encoding
    np.testing.assert_array_equal(again.encode(MAIL).toarray(), encoding.encode(MAIL).toarray())


def test_text_alone_and_several_texts() -> None:
    only = TableEncoding.fit(MAIL.select("text"), kinds={"text": "text"})
    assert only.encode(MAIL).shape == (20, 9)
    two = MAIL.select("text", other=pl.col("text").str.to_uppercase())
    options = TextOptions(lowercase=False, shape_of_numbers=False, min_documents=10, ngrams=(1, 2))
    encoding = TableEncoding.fit(two, kinds={"text": "text", "other": "text"}, text=options)
    assert encoding.vocabularies["other"][:2] == ("!!", "NOW")
    assert encoding.columns_of("other").start == len(encoding.vocabularies["text"])
    assert encoding.encode(two).shape == (20, encoding.n_columns)
    assert encoding.select("other").encode(two).shape[1] == len(encoding.vocabularies["other"])


def test_text_without_frequent_words_is_an_error() -> None:
    with pytest.raises(DataError, match="'text' is text, but no word stands in 2 or more rows"):
        TableEncoding.fit(pl.DataFrame({"text": ["a b", "c d"]}), kinds={"text": "text"})
    with pytest.raises(DataError, match="expected text"):
        TableEncoding.fit(pl.DataFrame({"text": [1, 2]}), kinds={"text": "text"})


def test_what_a_file_holds_is_checked() -> None:
    good = TableEncoding.fit(MAIL, kinds={"text": "text"}).to_dict()
    for change, message in [
        ({"container": "excel"}, "'excel' is no kind of table"),
        ({"vocabularies": []}, "vocabularies for none"),
        ({"vocabularies": [["text", ["a", "a"]]]}, "a word twice"),
        ({"vocabularies": [["text", [1]]]}, r"A vocabulary is \[column"),
        ({"vocabularies": [3]}, r"A vocabulary is \[column"),
        (
            {"schema": {"columns": [{"name": "x", "kind": "category"}]}, "vocabularies": []},
            "without levels",
        ),
        ({"text": {"ngrams": [2, 1]}}, "ngrams"),
        ({"text": {"pattern": "("}}, "pattern"),
        ({"text": {"words": 1}}, "'words'"),
        ({"text": {"min_documents": "2"}}, "min_documents"),
        ({"more": 1}, "'more'"),
    ]:
        with pytest.raises(DataError, match=message):
            TableEncoding.from_dict({**good, **change})
    with pytest.raises(DataError, match="An encoding has"):
        TableEncoding.from_dict([])  # type: ignore[arg-type]


def test_an_encoding_can_stand_in_a_file_of_stories() -> None:
    from fabula.persistence.registry import is_storable, rebuild, state_of

    encoding = TableEncoding.fit(MAIL, kinds={"text": "text"})
    assert is_storable(encoding)
    assert rebuild(TableEncoding, json.loads(json.dumps(state_of(encoding)))) == encoding


def test_large_tables_are_encoded_block_by_block(tmp_path: Path) -> None:
    path = tmp_path / "mail.parquet"
    write_table(pl.concat([MAIL] * 5), path)
    scan = scan_table(path, block_rows=17)
    encoding = TableEncoding.fit(scan, kinds={"text": "text"})
    assert (
        encoding.vocabularies
        == TableEncoding.fit(read_table(path), kinds={"text": "text"}).vocabularies
    )
    assert encoding.container == "polars"
    blocks = encoding.encode_blocks(scan)
    assert blocks.n_rows == 100
    whole = encoding.encode(read_table(path)).toarray()
    for _ in range(2):
        np.testing.assert_array_equal(np.vstack([x.toarray() for x in blocks]), whole)
    one = encoding.encode_blocks(MAIL)
    assert (one.n_rows, len(list(one))) == (20, 1)
    write_table(pl.DataFrame({"x": [1.5] * 49 + [float("inf")]}), path, force=True)
    numbers = TableEncoding(Schema((Column("x", "continuous"),)))
    with pytest.raises(DataError, match="row 50 "):
        list(numbers.encode_blocks(scan_table(path, block_rows=7)))


def test_a_stated_schema_is_completed_from_blocks(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    write_table(PEOPLE, path)
    schema = Schema((Column("sex", "category"), Column("age", "count"), Column("born", "date")))
    scan = scan_table(path, block_rows=1)
    assert TableEncoding.fit(scan, schema=schema).schema["sex"].levels == ("f", "m")
    assert TableEncoding.fit(scan, schema=schema).schema["born"].resolution == "day"
    np.testing.assert_array_equal(
        TableEncoding.fit(scan, schema=schema).encode(PEOPLE), X[:, [2, 0, 4]]
    )


def test_values_may_come_as_text_as_from_a_command_line() -> None:
    encoding = TableEncoding.fit(PEOPLE, kinds={"age": "count"})
    for name, text, code in [
        ("age", "31", 31.0),
        ("income", "8.5", 8.5),
        ("sex", "m", 1),
        ("member", "true", 1),
        ("born", "1990-01-02", 7306.0),
        ("born", "1990-01-02 12:00", 7306.5),
        ("unit", "eur", 0),
    ]:
        assert encoding.encode_column(name, [text]).tolist() == [code]
    with pytest.raises(DataError, match=r"row 1 .*'yesterday' is not a date, expected the form"):
        encoding.encode_column("born", ["yesterday"])


def test_text_in_another_form_of_date_is_named() -> None:
    encoding = TableEncoding.fit(pl.DataFrame({"day": ["2020-01-31", "2020-02-01"]}))
    with pytest.raises(DataError, match=r"row 2 .*'31.01.2020' is not a date.*%Y-%m-%d"):
        encoding.encode(pl.DataFrame({"day": ["2020-01-31", "31.01.2020"]}))
    typed = pl.DataFrame({"day": [datetime.date(2020, 1, 31)]})
    assert encoding.encode(typed)[0, 0] == 18_292.0


def test_many_rows_are_turned_in_pieces() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({f"x{i}": rng.normal(size=30_000) for i in range(3)})
    encoding = TableEncoding.fit(frame)
    x = encoding.encode(frame)
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(x, frame.to_numpy())
    assert encoding.decode(x).equals(frame)
    assert encoding.decode(np.asfortranarray(x)).equals(frame)


def test_fractions_of_long_columns_are_not_counted_but_constants_are_seen() -> None:
    n = 150_000
    frame = pl.DataFrame({"x": np.random.default_rng(0).normal(size=n), "same": np.full(n, 0.5)})
    schema = TableEncoding.fit(frame).schema
    assert (schema["x"].kind, schema["x"].n_distinct) == ("continuous", None)
    assert (schema["same"].kind, schema["same"].levels) == ("constant", (0.5,))
