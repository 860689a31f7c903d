"""The parts that messages about tables are made of, written once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["did_you_mean", "listed", "place", "shorten", "unknown_column"]

Name = str | int


def listed(values: Iterable[object], limit: int = 8) -> str:
    """Values in quotes, separated by commas; at most ``limit`` of them."""
    written = [repr(value) for value in values]
    if len(written) > limit:
        return ", ".join(written[:limit]) + f", … ({len(written)} in all)"
    return ", ".join(written) or "none"


def did_you_mean(name: object, known: Sequence[object]) -> str:
    """A sentence with the known names nearest to ``name``, or all of them if none is near.

    >>> did_you_mean("incme", ["age", "income"])
    "Did you mean 'income'?"
    """
    if not known:
        return "There are none."
    by_text = {str(other).casefold(): other for other in known}
    near = difflib.get_close_matches(str(name).casefold(), by_text, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(repr(by_text[text]) for text in near)}?"
    return f"There are: {listed(known)}."


def unknown_column(name: object, known: Sequence[object]) -> str:
    """What to say about a column that does not exist."""
    return f"There is no column {name!r}. {did_you_mean(name, known)}"


def place(column: object, row: int) -> str:
    """Where a cell stands; ``row`` counts from 0, people count from 1."""
    return f"Column {column!r}, row {row + 1} (counting from 1)"


def shorten(value: object, limit: int = 40) -> str:
    """The value as Python writes it, cut in the middle where it is long."""
    written = repr(value)
    if len(written) <= limit:
        return written
    half = (limit - 1) // 2
    return f"{written[:half]}…{written[-half:]}"
