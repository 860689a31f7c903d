from __future__ import annotations

import math

import pytest

from fabula.report import joined, markdown_table, number, percent, plain_table, plural


@pytest.mark.parametrize(
    ("items", "said"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), ([1, 2, 3], "1, 2 and 3")],
)
def test_lists(items: list[object], said: str) -> None:
    assert joined(items) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (1234.5, "1,234"),
        (0.000123456, "0.000123"),
        (3e20, "300,000,000,000,000,000,000"),
        (-2.5, "-2.5"),
        (math.nan, "unknown"),
        (-math.inf, "minus infinite"),
    ],
)
def test_numbers(value: float, said: str) -> None:
    assert number(value) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.00049, "less than 0.1 %"),
        (0.9999, "more than 99.9 %"),
        (0.5, "50.0 %"),
        (math.nan, "unknown"),
    ],
)
def test_shares_that_are_not_whole_never_read_as_if_they_were(share: float, said: str) -> None:
    assert percent(share) == said


def test_counts() -> None:
    assert [plural(n, "row") for n in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]


def test_plain_tables_line_up_whatever_is_in_them() -> None:
    lines = plain_table(["name", "n"], [["Zoë", 7], ["漢字", 1234], [None, "-"]]).splitlines()
    assert lines[2:] == ["Zoë      7", "漢字  1234", "         -"]
    assert plain_table(["a"], []).splitlines() == ["a", "-"]


def test_cells_of_tables_stay_on_their_line() -> None:
    assert markdown_table(["a"], [["x\ny|z"]]).splitlines() == ["| a |", "|---|", "| x y\\|z |"]
    assert len(plain_table(["a"], [["x\ny"]]).splitlines()) == 3
