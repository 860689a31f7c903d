from __future__ import annotations

from fabula.tables.messages import did_you_mean, listed, place, shorten


def test_near_names_are_suggested_whatever_their_case() -> None:
    assert did_you_mean("INCOM", ["age", "income"]) == "Did you mean 'income'?"
    assert did_you_mean("zzz", ["age", "income"]) == "There are: 'age', 'income'."
    assert did_you_mean("x", []) == "There are none."
    assert did_you_mean(3, [1, 2]) == "There are: 1, 2."


def test_long_lists_and_values_are_cut() -> None:
    assert listed(range(20), limit=2) == "0, 1, … (20 in all)"
    assert listed([]) == "none"
    assert len(shorten("x" * 1000)) <= 40
    assert shorten("short") == "'short'"


def test_rows_count_from_one() -> None:
    assert place("age", 0) == "Column 'age', row 1 (counting from 1)"
