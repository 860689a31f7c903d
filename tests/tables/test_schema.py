from __future__ import annotations

import json

import pytest

from fabula.core.errors import DataError, UsageError
from fabula.tables import KINDS, Column, Schema

SCHEMA = Schema(
    (
        Column("age", "count", dtype="int64", integer=True, decimals=0, lower=17, upper=90),
        Column("income", "continuous", decimals=2, lower=0.5, upper=1e6, n_missing=3, n_distinct=9),
        Column("sex", "category", dtype="string", levels=("f", "m")),
        Column("member", "boolean", dtype="boolean", levels=(False, True)),
        Column("grade", "category", dtype="int64", levels=(1, 2, 3), ordered=True),
        Column("rate", "category", levels=(0.5, 1.5)),
        Column("born", "date", dtype="date", lower=-365.0, upper=18_262.0, resolution="day"),
        Column("seen", "date", dtype="datetime[us]", lower=0.25, upper=1.5, resolution="hour"),
        Column("note", "text", dtype="string"),
        Column("id", "identifier", dtype="int64"),
        Column("unit", "constant", dtype="string", levels=("mm",)),
        Column(3, "continuous"),
    )
)


def test_a_schema_survives_json_unchanged() -> None:
    assert Schema.from_json(SCHEMA.to_json()) == SCHEMA
    assert Schema.from_dict(json.loads(json.dumps(SCHEMA.to_dict()))) == SCHEMA
    levels = Schema.from_json(SCHEMA.to_json())["member"].levels
    assert [type(level) for level in levels] == [bool, bool]
    assert type(Schema.from_json(SCHEMA.to_json())["grade"].levels[0]) is int


def test_bounds_of_dates_are_written_as_dates() -> None:
    state = SCHEMA["born"].to_dict()
    assert (state["lower"], state["upper"]) == ("1969-01-01", "2020-01-01")
    assert SCHEMA["seen"].to_dict()["upper"] == "1970-01-02T12:00:00"
    edited = SCHEMA.to_json().replace('"1969-01-01"', '"1970-01-11"')
    assert Schema.from_json(edited)["born"].lower == 10.0


def test_bounds_that_no_calendar_holds_stay_numbers() -> None:
    column = Column("far", "date", dtype="date", lower=-1e9, upper=1e9)
    assert Column.from_dict(column.to_dict()) == column
    assert Schema((column,)).to_rows()[0]["values"]


def test_looking_up_a_column_suggests_near_names() -> None:
    assert SCHEMA["sex"].levels == ("f", "m")
    assert SCHEMA[3].kind == "continuous"
    assert "sex" in SCHEMA and "SEX" not in SCHEMA
    with pytest.raises(UsageError, match=r"no column 'Incme'\. Did you mean 'income'\?"):
        SCHEMA["Incme"]


def test_kinds_can_be_changed() -> None:
    changed = SCHEMA.with_kinds({"age": "continuous", "grade": "continuous"})
    # Between kinds of numbers the range stays; a category that becomes a number is learned anew.
    assert (changed["age"].kind, changed["age"].lower) == ("continuous", 17)
    assert (changed["grade"].kind, changed["grade"].levels) == ("continuous", ())
    assert changed["sex"] == SCHEMA["sex"]
    assert SCHEMA["age"].kind == "count"


def test_impossible_kinds_are_refused() -> None:
    with pytest.raises(UsageError, match="no column 'agee'"):
        SCHEMA.with_kinds({"agee": "count"})
    with pytest.raises(UsageError, match=r"'categorical'.*Did you mean 'category'"):
        SCHEMA.with_kinds({"age": "categorical"})  # type: ignore[dict-item]


def test_columns_are_selected_and_left_out() -> None:
    assert SCHEMA.select(["note", "age"]).names == ("note", "age")
    assert SCHEMA.select("sex").names == ("sex",)
    assert SCHEMA.without(["age", 3]).names == SCHEMA.names[1:-1]
    for method in (SCHEMA.select, SCHEMA.without):
        with pytest.raises(UsageError, match="no column 'x'"):
            method("x")


def test_rows_for_people_describe_every_column() -> None:
    rows = {row["column"]: row for row in SCHEMA.to_rows()}
    assert len(rows) == len(SCHEMA)
    assert all(set(row) == set(rows["age"]) for row in rows.values())
    assert rows["age"]["values"] == "17 … 90"
    assert rows["sex"]["values"] == "'f', 'm'"
    assert rows["born"]["values"] == "1969-01-01 … 2020-01-01"
    assert rows["income"]["missing"] == "3"


def test_which_kinds_models_see() -> None:
    seen = {kind: Column("x", kind).in_models for kind in KINDS}
    assert [kind for kind, is_seen in seen.items() if not is_seen] == ["identifier", "constant"]
    assert SCHEMA["grade"].n_levels == 3
    assert SCHEMA["unit"].n_levels == 0


BROKEN = {
    "unknown kind": ({"name": "x", "kind": "categorical"}, "no kind 'categorical'.*'category'"),
    "no kind": ({"name": "x"}, "no 'kind'"),
    "no name": ({"kind": "count"}, "no 'name'"),
    "unknown entry": ({"name": "x", "kind": "count", "lowr": 1}, "'lowr'.*Did you mean 'lower'"),
    "name is a number with a point": ({"name": 1.5, "kind": "count"}, "a name is text"),
    "name is true": ({"name": True, "kind": "count"}, "a name is text"),
    "levels are text": ({"name": "x", "kind": "category", "levels": "ab"}, "not a list"),
    "level twice": ({"name": "x", "kind": "category", "levels": ["a", "a"]}, "twice"),
    "level is a list": ({"name": "x", "kind": "category", "levels": [["a"]]}, "neither text nor"),
    "level is null": ({"name": "x", "kind": "category", "levels": [None]}, "neither text nor"),
    "three truths": ({"name": "x", "kind": "boolean", "levels": [0, 1, 2]}, "two levels, not 3"),
    "levels of a number": ({"name": "x", "kind": "count", "levels": [1]}, "is it a category"),
    "two constants": ({"name": "x", "kind": "constant", "levels": [1, 2]}, "one value, not 2"),
    "bounds crossed": ({"name": "x", "kind": "count", "lower": 2, "upper": 1}, "above 'upper'"),
    "bound is text": ({"name": "x", "kind": "count", "lower": "low"}, "'low', expected a number"),
    "bound is infinite": ({"name": "x", "kind": "count", "lower": float("inf")}, "finite"),
    "bound is a list": ({"name": "x", "kind": "count", "lower": []}, "finite"),
    "decimals are text": ({"name": "x", "kind": "count", "decimals": "2"}, "whole number"),
    "decimals below zero": ({"name": "x", "kind": "count", "decimals": -1}, "not negative"),
    "ordered is a number": ({"name": "x", "kind": "category", "ordered": 1}, "true or false"),
    "resolution": ({"name": "x", "kind": "date", "resolution": "week"}, "no resolution 'week'"),
    "not an object": ("x", "expected an object"),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_nonsense_in_a_schema_is_named(problem: str) -> None:
    state, message = BROKEN[problem]
    with pytest.raises(DataError, match=message):
        Schema.from_json(json.dumps({"columns": [state]}))


def test_a_schema_that_is_no_schema() -> None:
    for text, message in [
        ("{", "not JSON.*line 1"),
        ("[]", "list named 'columns'"),
        ('{"columns": {}}', "list named 'columns'"),
        ('{"columns": [], "more": 1}', "'more'"),
        (b"\xff\xfe\xfd", "not JSON"),
        ("[" * 100_000, "not JSON"),
    ]:
        with pytest.raises(DataError, match=message):
            Schema.from_json(text)
    with pytest.raises(DataError, match="two columns named 'a'"):
        Schema((Column("a", "count"), Column("a", "text")))
