"""Tables for people: aligned text for a terminal or a pipe, and Markdown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

__all__ = ["markdown_table", "plain_table"]

_NUMBER = re.compile(r"[+\-−]?[\d,]*\.?\d+(e[+-]?\d+)?( %)?|-|–|")


def plain_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns side by side, numbers flush right; nothing is ever cut off.

    >>> print(plain_table(["column", "missing"], [["age", 3], ["income", 112]]))
    column  missing
    ------  -------
    age           3
    income      112
    """
    cells = [[_one_line(cell) for cell in row] for row in rows]
    right = [
        bool(cells) and all(_NUMBER.fullmatch(row[j]) for row in cells) for j in range(len(header))
    ]
    widths = [
        max(_width(header[j]), *(_width(row[j]) for row in cells)) if cells else _width(header[j])
        for j in range(len(header))
    ]
    lines = [list(header), ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            _padded(cell, width, flush_right)
            for cell, width, flush_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    r"""The same for a Markdown page.

    >>> print(markdown_table(["a", "b"], [[1, "x|y"]]))
    | a | b |
    |---|---|
    | 1 | x\|y |
    """
    lines = [list(header), *[[_one_line(cell) for cell in row] for row in rows]]
    written = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    ]
    return "\n".join([written[0], "|" + "---|" * len(header), *written[1:]])


def _one_line(cell: object) -> str:
    return "" if cell is None else " ".join(str(cell).split())


def _width(text: str) -> int:
    """Cells of a terminal that the text takes: two for wide characters, none for accents."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _padded(text: str, width: int, flush_right: bool) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if flush_right else text + blanks
