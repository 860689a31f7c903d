"""Tables read from files: whole, or block by block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fabula.core.errors import DataError, UsageError
from fabula.tables.celltypes import cast_cells, types_of
from fabula.tables.layout import MISSING_TOKENS, Layout, TextFormat, find_layout, rows_of
from fabula.tables.parquet import count_parquet, read_parquet, scan_parquet
from fabula.tables.sources import Source, find_source

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MISSING_TOKENS", "TableScan", "read_table", "scan_table"]


def read_table(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    quoting: bool | None = None,
    missing_tokens: tuple[str, ...] = MISSING_TOKENS,
    decimal: str = ".",
    encoding: str = "utf-8",
    skip_lines: int = 0,
) -> pl.DataFrame:
    r"""Read a table from CSV, TSV or other separated text (gzip too) or Parquet.

    What a file is, is told by its first bytes. The type of a column of text files is decided by all
    of its cells: whole numbers, numbers, ``true``/``false``, ISO dates, or text. Blanks around a
    cell do not belong to it.

    Parameters
    ----------
    path
        A file, or ``"-"`` for standard input.
    delimiter
        What stands between cells; found out by default (tab, ``;``, ``|`` or ``,``).
    header
        Whether the first line names the columns; found out by default. Without a header they are
        ``column_1``, ``column_2``, ….
    quoting
        Whether double quotes enclose cells. By default they do if all of them are where that makes
        sense, and are otherwise characters like any other.
    missing_tokens
        What cells say whose value is missing.
    decimal
        "," where numbers are written like 12,5.
    encoding
        Encoding of the text.
    skip_lines
        Lines before the table, such as comments.

    Returns
    -------
    polars.DataFrame
        Missing cells are null.

    Raises
    ------
    UsageError
        There is no such file, it is a folder or may not be read, or an option makes no sense.
    DataError
        The file is empty, a line has another number of cells than the first, two columns have the
        same name, or a byte is not in the encoding; the message names the line.
    FileFormatError
        The file is cut, damaged, or of a format that is not read here.

    Examples
    --------
    >>> with open("people.csv", "w") as file:
    ...     _ = file.write("name, age, city\nAda, 36, London\nEmmy, ?, Erlangen\n")
    >>> read_table("people.csv").rows()
    [('Ada', 36, 'London'), ('Emmy', None, 'Erlangen')]
    """
    import polars as pl

    given = TextFormat(
        delimiter, header, quoting, tuple(missing_tokens), decimal, encoding, skip_lines
    )
    source = find_source(path)
    if source.is_parquet:
        return read_parquet(source)
    layout = find_layout(source, given)
    frames = list(rows_of(source, given, layout))
    if not frames:
        return pl.DataFrame(schema=dict.fromkeys(layout.names, pl.String))
    types = types_of(frames, decimal)
    return _typed(pl.concat(frames), types, decimal)


def scan_table(
    path: str | os.PathLike[str],
    *,
    block_rows: int = 65_536,
    delimiter: str | None = None,
    header: bool | None = None,
    quoting: bool | None = None,
    missing_tokens: tuple[str, ...] = MISSING_TOKENS,
    decimal: str = ".",
    encoding: str = "utf-8",
    skip_lines: int = 0,
) -> TableScan:
    """Open a table that may be larger than memory.

    A text file is read twice at once, to check every line and to find the types of the columns.

    Parameters
    ----------
    path
        A file.
    block_rows
        Rows of a block (the last may have fewer).
    delimiter, header, quoting, missing_tokens, decimal, encoding, skip_lines
        As for `read_table`.

    Returns
    -------
    TableScan
        Iterating over it reads the file from the beginning, as often as one likes.

    Raises
    ------
    UsageError, DataError, FileFormatError
        As for `read_table`; also while iterating, where a Parquet file is damaged in its middle,
        or a file has changed since it was opened.
    """
    if block_rows < 1:
        raise UsageError(f"block_rows is {block_rows}, expected 1 or more.")
    source = find_source(path)
    if source.path is None:
        raise UsageError(
            "Standard input can be read only once, and block by block means several times: write "
            "it to a file first."
        )
    if source.is_parquet:
        n_rows, schema = count_parquet(source)
        return TableScan(source, tuple(schema), n_rows, block_rows)
    given = TextFormat(
        delimiter, header, quoting, tuple(missing_tokens), decimal, encoding, skip_lines
    )
    layout = find_layout(source, given)
    types = tuple(types_of(rows_of(source, given, layout), decimal))
    return TableScan(source, layout.names, layout.n_rows, block_rows, given, layout, types)


@dataclass(frozen=True)
class TableScan:
    """A table in a file, given out in blocks; made by `scan_table`.

    Parameters
    ----------
    source
        Where it is.
    names
        Names of the columns.
    n_rows
        Number of rows.
    block_rows
        Rows of a block.
    given, layout, types
        How a text file is read; None and () for Parquet.
    """

    source: Source
    names: tuple[str, ...]
    n_rows: int
    block_rows: int
    given: TextFormat | None = None
    layout: Layout | None = None
    types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "_stamp", self.source.stamp())

    def __len__(self) -> int:
        """Number of blocks."""
        return -(-self.n_rows // self.block_rows)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """The blocks in order, polars frames; begins again each time."""
        if self.source.stamp() != getattr(self, "_stamp", None):
            raise DataError(f"{self.source.name} has changed since it was opened: open it again.")
        if self.given is None or self.layout is None:
            yield from scan_parquet(self.source, self.block_rows, self.n_rows)
            return
        for frame in _regrouped(rows_of(self.source, self.given, self.layout), self.block_rows):
            yield _typed(frame, self.types, self.given.decimal)


def _typed(frame: pl.DataFrame, types: tuple[str, ...] | list[str], decimal: str) -> pl.DataFrame:
    return frame.select(
        cast_cells(column, kind, decimal)
        for column, kind in zip(frame.get_columns(), types, strict=True)
    )


def _regrouped(frames: Iterator[pl.DataFrame], block_rows: int) -> Iterator[pl.DataFrame]:
    """The same rows in frames of ``block_rows``, the last of which may have fewer."""
    import polars as pl

    kept: list[pl.DataFrame] = []
    n_kept = 0
    for frame in frames:
        kept.append(frame)
        n_kept += frame.height
        if n_kept >= block_rows:
            joined = pl.concat(kept)
            n_whole = n_kept - n_kept % block_rows
            yield from joined[:n_whole].iter_slices(block_rows)
            kept, n_kept = [joined[n_whole:]], n_kept - n_whole
    if n_kept:
        yield pl.concat(kept)
