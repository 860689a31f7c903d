"""Whether the first line of a text file names the columns.

The rules, in order; each stops the search.

1. A cell of the first line that is a number, a date or true/false names nothing: no header.
2. A cell that is no number above a column of numbers or dates is a name: header.
3. A cell that comes again in its own column is a value: no header.
4. A cell without digits above a column of which nearly every cell has one, or a cell that is none
   of the few levels of its column, is a name: header.
5. Undecided (columns of text without a pattern): header in files named .csv or .tsv and in pipes,
   none in others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fabula.core.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["looks_like_header", "names_from"]

_VALUE = re.compile(
    r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?|\d{4}-\d\d-\d\d.*|true|false",
    re.IGNORECASE,
)


def looks_like_header(first: Sequence[str | None], below: pl.DataFrame, suffix: str) -> bool:
    """Whether the cells of the first line are names.

    Parameters
    ----------
    first
        Cells of the first line, None where missing.
    below
        Cells of some lines after it as strings, null where missing.
    suffix
        Ending of the name of the file, such as ".csv"; "" for a pipe.
    """
    if any(cell is not None and _VALUE.fullmatch(cell) for cell in first):
        return False
    pairs = [
        (cell, column.drop_nulls())
        for cell, column in zip(first, below.get_columns(), strict=True)
        if cell is not None
    ]
    pairs = [(cell, column) for cell, column in pairs if len(column)]
    pattern = f"^(?i:{_VALUE.pattern})$"
    if any(column.str.contains(pattern).all() for _, column in pairs):
        return True
    if any((column == cell).any() for cell, column in pairs):
        return False
    for cell, column in pairs:
        has_digits = column.str.contains(r"\d").mean()
        if not re.search(r"\d", cell) and has_digits is not None and float(has_digits) >= 0.9:  # type: ignore[arg-type]
            return True
        if len(column) >= 10 and column.n_unique() <= 0.5 * len(column):
            return True
    return suffix in (".csv", ".tsv", "")


def names_from(first: Sequence[str | None], name: str, line: int) -> tuple[str, ...]:
    """Names of the columns; ``column_3`` where the third has none.

    Raises
    ------
    DataError
        Two columns have the same name.
    """
    names = [cell or f"column_{position + 1}" for position, cell in enumerate(first)]
    for position, column in enumerate(names):
        earlier = names.index(column)
        if earlier < position:
            raise DataError(
                f"{name}, line {line}: columns {earlier + 1} and {position + 1} are both named "
                f"{column!r}. Names must be distinct; or state header=False if the line is data."
            )
    return tuple(names)
