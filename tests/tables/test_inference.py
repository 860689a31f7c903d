from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats

from fabula.core.errors import DataError, UsageError
from fabula.tables import infer_column, infer_schema, scan_table, write_table
from fabula.tables.frames import as_cells
from fabula.tables.summaries import summarise

DAYS = [datetime.date(2020, 1, day) for day in (1, 5, 9)]
SENTENCES = [f"the quick brown fox jumped over lazy dog number {i}" for i in range(12)]

# What stands in the column, the name of the column, and what it is.
COLUMNS: dict[str, tuple[Any, str, str, tuple[Any, ...]]] = {
    "numbers": ([0.5, 1.5, 2.25], "x", "continuous", ()),
    "words that come again": (["b", "a", "b", None], "x", "category", ("a", "b")),
    "words, few rows, all distinct": (["b", "a", "c"], "x", "category", ("a", "b", "c")),
    "booleans": ([True, False, None], "x", "boolean", (False, True)),
    "zero and one": ([0, 1, 1, None], "x", "boolean", (0, 1)),
    "zero and one as floats": ([0.0, 1.0, None], "x", "boolean", (0.0, 1.0)),
    "capital truths": (["TRUE", "FALSE", None], "x", "boolean", ("FALSE", "TRUE")),
    "yes and no": (["yes", "no"], "x", "boolean", ("no", "yes")),
    "y and n": (["y", "n"], "x", "boolean", ("n", "y")),
    "on and off": (["on", "off"], "x", "boolean", ("off", "on")),
    "true and no do not belong together": (["true", "no"], "x", "category", ("no", "true")),
    "two other words": (["m", "f"], "x", "category", ("f", "m")),
    "one value": ([3, 3, None], "x", "constant", (3,)),
    "one truth": ([True, True], "x", "constant", (True,)),
    "no value": ([None, None], "x", "constant", ()),
    "dates": (DAYS, "x", "date", ()),
    "dates as text": (["2020-01-31", "2021-02-28", None], "x", "date", ()),
    "moments as text": (["2020-01-31 10:00", "2021-02-28 11:30"], "x", "date", ()),
    "dates in two forms": (["2020-01-31", "2021-02-28 11:30"], "x", "category", None),
    "dates that do not exist": (["2020-01-31", "2021-02-30"], "x", "category", None),
    "sentences": (SENTENCES, "x", "text", ()),
    "sentences that come again": (SENTENCES[:3] * 5, "x", "category", None),
    "names of rows": ([f"item{i}" for i in range(25)], "x", "identifier", ()),
    "names of few rows": (["a1", "b2", "c3"], "item_id", "identifier", ()),
    "counted rows": (list(range(1, 9)), "column_1", "identifier", ()),
    "counted rows with a name": (list(range(1, 9)), "dose", "count", ()),
    "numbers named id": ([5, 3, 11, 7], "PassengerId", "identifier", ()),
    "numbers named id that come again": ([5, 3, 5, 7], "shop_id", "count", ()),
    "not every name with id in it": ([5, 3, 11, 7], "width_paid", "count", ()),
    "codes with leading zeros": ([f"{i % 30:03d}" for i in range(100)], "x", "category", None),
    "few numbers as text": (["1", "2", "10"] * 20, "x", "category", ("1", "10", "2")),
    "negative and few": ([-1, 1] * 30, "x", "category", (-1, 1)),
}


@pytest.mark.parametrize("what", COLUMNS)
@pytest.mark.parametrize("container", ["polars", "pandas", "pyarrow"])
def test_what_a_column_is(what: str, container: str) -> None:
    values, name, kind, levels = COLUMNS[what]
    frame: Any = pl.DataFrame({name: values}, strict=False)
    frame = {"polars": frame, "pandas": frame.to_pandas(), "pyarrow": frame.to_arrow()}[container]
    (column,) = infer_schema(frame).columns
    assert column.kind == kind
    if levels is not None and container != "pandas":  # pandas holds holes as floats or objects
        assert column.levels == levels
        assert [type(level) for level in column.levels] == [type(level) for level in levels]
    elif levels is not None:
        assert column.levels == levels


def draw(distribution: Any, n: int) -> list[int]:
    return distribution.rvs(n, random_state=np.random.default_rng(7)).tolist()


WHOLE_NUMBERS = {
    "rare events": (draw(stats.poisson(2.5), 400), "count"),
    "many rare events": (draw(stats.poisson(2.5), 20_000), "count"),
    "common events": (draw(stats.poisson(40), 2_000), "count"),
    "nominal codes": (draw(stats.randint(0, 10), 2_000), "category"),
    "uneven codes": ([1, 2, 3, 4, 8] * 20 + [2] * 300, "category"),
    "a bell": (np.rint(draw(stats.norm(100, 15), 2_000)).astype(int).tolist(), "continuous"),
    "amounts": (
        np.rint(draw(stats.lognorm(1.5, scale=1e4), 2_000)).astype(int).tolist(),
        "continuous",
    ),
    "few rows": ([3, 1, 4, 1, 5, 9, 2, 6], "count"),
    "below zero": ([-3, 1, 4, -1, 5, 9, 2, 6], "continuous"),
}


@pytest.mark.parametrize("what", WHOLE_NUMBERS)
def test_whole_numbers_are_what_describes_them_best(what: str) -> None:
    values, kind = WHOLE_NUMBERS[what]
    column = infer_column(values, "x")
    assert column.kind == kind
    if kind != "category":
        assert column.integer
        assert (column.decimals, column.lower, column.upper) == (0, min(values), max(values))
    # Floats without a fraction, which is how pandas holds integers with holes, are no different.
    assert infer_column(np.asarray(values, dtype=float), "x").kind == kind


def test_the_choice_follows_the_information_criterion() -> None:
    # Against scipy's log likelihoods: one dispersed sample near the border between two kinds.
    for dispersion in (1.0, 1.3, 1.6, 2.0, 3.0):
        rng = np.random.default_rng(3)
        x = rng.negative_binomial(12 / max(dispersion - 1, 1e-3), 1 / max(dispersion, 1.001), 300)
        n, mean, sd = len(x), x.mean(), x.std()
        criteria = {
            "count": -2 * stats.poisson(mean).logpmf(x).sum() + np.log(n),
            "continuous": -2 * stats.norm(mean, sd).logpdf(x).sum() + 2 * np.log(n),
        }
        values, times = np.unique(x, return_counts=True)
        if len(values) <= 20 and n >= 10 * len(values):
            frequencies = -2 * np.sum(times * np.log(times / n))
            criteria["category"] = frequencies + (len(values) - 1) * np.log(n)
        assert infer_column(x, "x").kind == min(criteria, key=criteria.__getitem__)


def test_precision_and_range_are_recorded() -> None:
    rng = np.random.default_rng(0)
    for decimals in range(11):
        x = rng.normal(size=3_000).round(decimals)
        column = infer_column(x, "x", "continuous")
        assert column.decimals == decimals
        assert (column.lower, column.upper) == (x.min(), x.max())
    assert infer_column(rng.normal(size=50), "x").decimals is None
    assert infer_column(rng.normal(size=50).round(3).astype(np.float32), "x").decimals == 3
    # The digits that one late cell needs count.
    assert infer_column(np.append(np.full(5_000, 0.5), [0.25, 0.125]), "x").decimals == 3


def test_the_resolution_of_dates_is_recorded() -> None:
    for text, resolution in [
        ("2020-01-01T00:00:00", "day"),
        ("2020-01-01T05:00:00", "hour"),
        ("2020-01-01T05:30:00", "minute"),
        ("2020-01-01T05:30:07", "second"),
        ("2020-01-01T05:30:07.5", "millisecond"),
        ("2020-01-01T05:30:07.000001", "microsecond"),
    ]:
        moments = np.array(["1999-12-31", text], dtype="M8[us]")
        column = infer_column(moments, "x")
        assert (column.kind, column.resolution) == ("date", resolution)
    assert column.lower == 10_956.0


def test_declared_levels_are_kept() -> None:
    dtype = pd.CategoricalDtype(["mid", "lo", "hi", "never"], ordered=True)
    column = infer_schema(pd.DataFrame({"x": pd.Series(["lo", "hi"], dtype=dtype)}))["x"]
    assert (column.kind, column.levels, column.ordered) == (
        "category",
        tuple(dtype.categories),
        True,
    )
    yes_first = pl.DataFrame({"x": pl.Series(["no", "yes"], dtype=pl.Enum(["yes", "no"]))})
    assert infer_schema(yes_first)["x"].kind == "category"


def test_missing_and_distinct_cells_are_counted() -> None:
    schema = infer_schema(pl.DataFrame({"a": [1.5, None, float("nan")], "b": ["x", "y", None]}))
    assert [(c.n_missing, c.n_distinct) for c in schema] == [(2, 1), (1, 2)]


def test_arrays_are_continuous_unless_stated_otherwise() -> None:
    x = np.array([[0, 1], [1, 0], [1, 1]] * 10)
    assert [column.kind for column in infer_schema(x)] == ["continuous"] * 2
    schema = infer_schema(x, kinds={1: "boolean"})
    assert (schema[0].kind, schema[1].kind, schema[1].levels) == ("continuous", "boolean", (0, 1))
    assert schema[0].n_distinct is None  # nothing is counted that nobody asked for


BROKEN = {
    "a comma": (
        ["1.5", "2.5", "3.5", "12,5"],
        r"row 4 \(counting from 1\): '12,5' is not a number \(a decimal comma\?\), but 75",
    ),
    "missing in words": (
        [*map(str, range(30)), "n/a"],
        r"row 31 .*'n/a' is not a number, but 96.8% of",
    ),
    "all numbers": ([f"{i / 7:.3f}" for i in range(30)], "numbers written as text. Convert"),
    "infinity": ([1.0, None, float("-inf")], r"row 3 \(counting from 1\) is -inf"),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_broken_columns_are_reported_and_not_guessed_at(problem: str) -> None:
    values, message = BROKEN[problem]
    if problem == "a comma":
        values = [*values[:3], *values[:3], *values]  # nine numbers and one that is none
        message = message.replace("row 4", "row 10").replace("75", "90")
    with pytest.raises(
        DataError, match=f"Column 'price'[,:]? ?{message}|Column 'price' holds {message}"
    ):
        infer_schema(pl.DataFrame({"other": ["a"] * len(values), "price": values}))


def test_a_stated_kind_settles_what_broken_columns_are() -> None:
    values = ["1.5", "2.5", "3.5", "4.5", "n/a"]
    frame = pl.DataFrame({"price": values})
    assert infer_schema(frame, kinds={"price": "category"})["price"].levels == tuple(sorted(values))
    assert infer_schema(frame, kinds={"price": "identifier"})["price"].kind == "identifier"
    numbers = infer_schema(frame[:4], kinds={"price": "continuous"})["price"]
    assert (numbers.lower, numbers.upper, numbers.decimals) == (1.5, 4.5, 1)


def test_stated_kinds_have_to_fit() -> None:
    frame = pl.DataFrame({"x": [0, 1, 2], "d": DAYS, "s": ["a", "b", "c"]})
    for kinds, message in [
        ({"x": "boolean"}, "cannot be boolean: it has 3 levels"),
        ({"x": "constant"}, "3 distinct values"),
        ({"s": "date"}, "cannot be a date"),
        ({"x": "date"}, "cannot be a date"),
        ({"d": "category"}, "cannot be a category"),
    ]:
        with pytest.raises(DataError, match=message):
            infer_schema(frame, kinds=kinds)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no column 'y'"):
        infer_schema(frame, kinds={"y": "count"})
    with pytest.raises(UsageError, match=r"'counts'.*'count'"):
        infer_schema(frame, kinds={"x": "counts"})  # type: ignore[dict-item]
    with pytest.raises(DataError, match="no rows"):
        infer_schema(frame[:0])


def test_blocks_say_the_same_as_the_whole(tmp_path: Any) -> None:
    rng = np.random.default_rng(1)
    n = 1_000
    frame = pl.DataFrame(
        {
            "row": range(n),
            "number": rng.normal(size=n).round(3),
            "count": rng.poisson(3, n),
            "code": rng.integers(0, 9, n),
            "level": rng.choice(["a", "b", "c"], n),
            "truth": rng.random(n) < 0.5,
            "name": [f"name{i}" for i in range(n)],
            "note": [f"this is note number {i} of many" for i in range(n)],
            "day": [
                datetime.date(2020, 1, 1) + datetime.timedelta(int(i))
                for i in rng.integers(0, 99, n)
            ],
            "moment": [f"2020-01-31 10:{i:02d}" for i in rng.integers(0, 60, n)],
            "late": [None] * (n - 1) + [2.5],
            "same": [7] * n,
        }
    ).with_columns(
        pl.when(pl.int_range(pl.len()) % 7 == 0)
        .then(None)
        .otherwise(pl.col("number"))
        .alias("number")
    )
    path = tmp_path / "table.parquet"
    write_table(frame, path)
    whole = infer_schema(frame)
    in_blocks = infer_schema(scan_table(path, block_rows=64))
    assert [c.kind for c in whole] == [
        "continuous", "continuous", "count", "category", "category", "boolean", "identifier",
        "text", "date", "date", "constant", "constant",
    ]  # fmt: skip
    for one, other in zip(whole, in_blocks, strict=True):
        assert one.kind == other.kind, one.name
        assert one.levels == other.levels
        assert (one.lower, one.upper, one.decimals) == (other.lower, other.upper, other.decimals)
        assert (one.n_missing, one.date_format, one.resolution) == (
            other.n_missing, other.date_format, other.resolution,
        )  # fmt: skip


def test_rows_are_counted_from_the_beginning_of_the_file(tmp_path: Any) -> None:
    path = tmp_path / "table.csv"
    write_table(pl.DataFrame({"x": [*map(str, range(99)), "12,5"], "y": [1.5] * 100}), path)
    with pytest.raises(DataError, match=r"row 100 \(counting from 1\): '12,5'"):
        infer_schema(scan_table(path, block_rows=10))


def test_moments_add_up_over_blocks() -> None:
    x = np.random.default_rng(2).normal(5, 3, 1_000)
    parts = [summarise(as_cells(part, "x")) for part in np.array_split(x, 7)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    assert total.numbers is not None
    assert total.numbers.mean == pytest.approx(x.mean(), rel=1e-12)
    assert total.numbers.squares / len(x) == pytest.approx(x.var(), rel=1e-12)
    assert total.n_rows == 1_000
