"""How a text file is laid out: separator, quotes, header, number of columns and rows.

What the caller does not state is found out, from the whole file where one line can decide:

separator
    the one of tab, ``;``, ``|`` and ``,`` that cuts the first 1,000 lines into equally many cells;
    a tab in files named .tsv;
quotes
    enclose cells if every double quote of the file does; otherwise all of them are ordinary
    characters, as in text messages, provided that every line then has equally many cells and no
    column is enclosed in quotes in most rows; otherwise the first quote that is out of place is an
    error;
header
    see `fabula.tables.header`.

Every line must have as many cells as the first. Empty lines are skipped; in a file of one column
they are missing cells, except at its ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fabula.core.errors import DataError, FileFormatError, UsageError
from fabula.tables.header import looks_like_header, names_from
from fabula.tables.records import BadQuoteError, Records, split_records
from fabula.tables.sources import Source

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MISSING_TOKENS", "Layout", "TextFormat", "find_layout", "rows_of"]

MISSING_TOKENS = ("", "?", "NA", "N/A", "n/a", "#N/A", "nan", "NaN", "null", "NULL", "None")
"""What a cell of a text file says when its value is missing, without the blanks around it.

Capitals matter: "Na" is sodium. A lone "-" is not among them, because it is a strand of DNA.
"""

_SEPARATORS = "\t;|,"
_NO_SEPARATOR = "\x1f"  # a character that no table holds: every line is one cell
_SAMPLE = 1_000


@dataclass(frozen=True)
class TextFormat:
    """What the caller states about a text file; None is found out.

    Parameters
    ----------
    delimiter
        The separator, one ASCII character.
    header
        Whether the first line names the columns.
    quoting
        Whether double quotes enclose cells.
    missing_tokens
        Cells that stand for a missing value, after the blanks around them are taken away.
    decimal
        "." or ",".
    encoding
        Any encoding that Python knows.
    skip_lines
        Lines before the table.
    """

    delimiter: str | None = None
    header: bool | None = None
    quoting: bool | None = None
    missing_tokens: tuple[str, ...] = MISSING_TOKENS
    decimal: str = "."
    encoding: str = "utf-8"
    skip_lines: int = 0

    def __post_init__(self) -> None:
        if self.delimiter is not None and (
            len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n'
        ):
            raise UsageError(
                f"delimiter is {self.delimiter!r}, expected one ASCII character that is neither a "
                "double quote nor a line end, such as ',' or '\\t'."
            )
        if self.decimal not in (".", ","):
            raise UsageError(f"decimal is {self.decimal!r}, expected '.' or ','.")
        if self.skip_lines < 0:
            raise UsageError(f"skip_lines is {self.skip_lines}, expected 0 or more.")


@dataclass(frozen=True)
class Layout:
    """How a text file is laid out.

    Parameters
    ----------
    names
        Names of the columns; column_1, column_2, … without a header.
    separator
        What stands between cells.
    quoted
        Whether double quotes enclose cells.
    has_header
        Whether the first line that is not empty names the columns.
    n_rows
        Rows of data.
    """

    names: tuple[str, ...]
    separator: str
    quoted: bool
    has_header: bool
    n_rows: int


def find_layout(source: Source, given: TextFormat) -> Layout:
    """Find out how a file is laid out, and check every line of it.

    Raises
    ------
    DataError
        The file holds no cell, a line has another number of cells than the first, a double quote
        is out of place, or two columns have the same name; the message names the line.
    FileFormatError, UsageError
        See `Source.chunks`.
    """
    first = _beginning(source, given)
    if not first.strip():
        raise DataError(f"{source.name} holds no table: all of its lines are empty.")
    separator = given.delimiter or _sniff(first, source, given)
    quoted = given.quoting is not False
    try:
        n_records, first_line, n_columns = _survey(source, given, separator, quoted)
    except BadQuoteError as bad:
        message = (
            f"{source.name}, line {bad.line}: a double quote that does not enclose a cell. Quotes "
            "stand around whole cells, and are doubled inside them; or state quoting=False if they "
            "are characters like any other."
        )
        if given.quoting:
            raise DataError(message) from None
        quoted = False
        try:
            n_records, first_line, n_columns = _survey(source, given, separator, quoted)
        except DataError:
            raise DataError(message) from None
        if _has_enclosed_column(first, separator, n_columns, source.name):
            raise DataError(message) from None
    sample = _sample(first, separator, quoted, source.name)
    cells = clean_cells(parse_cells(sample, n_columns, separator, quoted, source.name), given)
    has_header = given.header
    if has_header is None:
        has_header = looks_like_header(cells.row(0), cells[1:], source.suffix)
    if has_header:
        # Names may read like missing values ("NA" is sodium's neighbour), so take them as they are.
        names = names_from(
            _stripped(sample, n_columns, separator, quoted, source), source.name, first_line
        )
    else:
        names = tuple(f"column_{position + 1}" for position in range(n_columns))
    return Layout(names, separator, quoted, has_header, n_records - has_header)


def rows_of(source: Source, given: TextFormat, layout: Layout) -> Iterator[pl.DataFrame]:
    """The cells as strings, null where missing: frames of some thousand rows, in order."""
    import polars as pl

    n_columns = len(layout.names)
    is_first = True
    n_blank = 0  # empty lines that are missing cells if a row follows
    for records in split_records(
        _pieces(source, given), layout.separator, layout.quoted, source.name, given.skip_lines + 1
    ):
        present = np.flatnonzero(~records.is_blank)
        if not len(present):
            n_blank += len(records)
            continue
        frame = clean_cells(
            parse_cells(records, n_columns, layout.separator, layout.quoted, source.name), given
        )
        if n_columns == 1:
            where = np.full(n_blank + present[-1] + 1, -1)
            where[n_blank + present] = np.arange(len(present))
            where = where[n_blank + present[0] :] if is_first else where
            indices = pl.Series(where)
            frame = frame[:, 0].gather(indices.set(indices < 0, None)).to_frame()
            n_blank = len(records) - 1 - int(present[-1])
        if is_first and layout.has_header:
            frame = frame[1:]
        is_first = False
        frame.columns = list(layout.names)
        if frame.height:
            yield frame


def parse_cells(
    records: Records, n_columns: int, separator: str, quoted: bool, name: str
) -> pl.DataFrame:
    """Cells of the records that are not empty lines, as strings; columns are numbered."""
    import polars as pl

    expected = int(np.count_nonzero(~records.is_blank))
    try:
        frame = pl.read_csv(
            records.without_blanks(),
            has_header=False,
            separator=separator,
            quote_char='"' if quoted else None,
            schema={str(position): pl.String for position in range(n_columns)},
            infer_schema=False,
            empty_string_is_null=False,
        )
    except pl.exceptions.PolarsError as error:
        raise FileFormatError(
            f"{name}, after line {records.first_line - 1}: {str(error).splitlines()[0]}."
        ) from None
    if frame.height != expected:
        raise FileFormatError(
            f"{name}, lines from {records.first_line} on: {frame.height} rows were read where the "
            f"file has {expected}."
        )
    return frame


def clean_cells(frame: pl.DataFrame, given: TextFormat) -> pl.DataFrame:
    """Without blanks around cells, and null where a cell says that its value is missing."""
    import polars as pl

    cells = pl.all().str.strip_chars()
    return frame.select(pl.when(~cells.is_in(list(given.missing_tokens))).then(cells))


def _pieces(source: Source, given: TextFormat) -> Iterator[bytes]:
    """The text after the lines that are skipped."""
    left = given.skip_lines
    for piece in source.chunks(given.encoding):
        while left and piece:
            end = piece.find(b"\n") + 1
            piece, left = (piece[end:], left - 1) if end else (b"", left)
        if piece:
            yield piece


def _beginning(source: Source, given: TextFormat) -> bytes:
    """The first piece of the file that is not blank; with a line end, if it is the last."""
    pieces = _pieces(source, given)
    first = b""
    for piece in pieces:
        first += piece
        if first.strip():
            break
    is_whole = next(pieces, None) is None
    return first + b"\n" if is_whole and not first.endswith(b"\n") else first


def _sample(first: bytes, separator: str, quoted: bool, name: str) -> Records:
    """Up to 1,000 records from the beginning of the file."""
    records = next(split_records([first], separator, quoted, name))
    present = np.flatnonzero(~records.is_blank)
    stop = int(present[: _SAMPLE + 1][-1]) + 1 if len(present) else len(records)
    return records.part(0, stop)


def _sniff(first: bytes, source: Source, given: TextFormat) -> str:
    """The separator that cuts the first lines into equally many cells, or most of them."""
    if source.suffix in (".tsv", ".tab"):
        return "\t"
    best, best_share = _NO_SEPARATOR, 0.0
    for separator in _SEPARATORS:
        try:
            records = _sample(first, separator, given.quoting is not False, source.name)
        except BadQuoteError:
            records = _sample(first, separator, False, source.name)
        n_cells = records.n_cells[~records.is_blank]
        if not len(n_cells) or n_cells[0] < 2:
            continue
        share = float(np.mean(n_cells == n_cells[0]))
        if share > best_share:
            best, best_share = separator, share
    return best


def _survey(
    source: Source, given: TextFormat, separator: str, quoted: bool
) -> tuple[int, int, int]:
    """Number of records, line of the first, and cells of each; DataError where they differ."""
    n_records = n_blank = first_line = expected = 0
    for records in split_records(
        _pieces(source, given), separator, quoted, source.name, given.skip_lines + 1
    ):
        present = np.flatnonzero(~records.is_blank)
        if not len(present):
            n_blank += len(records)
            continue
        if not expected:
            first_line = records.line_of(int(present[0]))
            expected = int(records.n_cells[present[0]])
            n_blank = -int(present[0])  # empty lines before the table do not count
        ragged = present[records.n_cells[present] != expected]
        if len(ragged):
            found = int(records.n_cells[ragged[0]])
            raise DataError(
                f"{source.name}, line {records.line_of(int(ragged[0]))}: {found} "
                f"cell{'' if found == 1 else 's'} where line {first_line} has {expected}, "
                f"separated by {separator!r}. Every line needs equally many: look for a cell that "
                "is absent, or for a separator inside a cell, which needs double quotes around it."
            )
        n_records += len(present)
        if expected == 1:
            n_records += n_blank + int(present[-1]) + 1 - len(present)
            n_blank = len(records) - 1 - int(present[-1])
    return n_records, first_line, expected


def _has_enclosed_column(first: bytes, separator: str, n_columns: int, name: str) -> bool:
    """Whether most cells of some column stand in double quotes, read without regard to quotes."""
    sample = _sample(first, separator, False, name)
    frame = parse_cells(sample, n_columns, separator, False, name)
    return any(
        bool(column.str.strip_chars().str.contains('^".*"$').mean() > 0.5)  # type: ignore[operator]
        for column in frame.get_columns()
    )


def _stripped(
    sample: Records, n_columns: int, separator: str, quoted: bool, source: Source
) -> list[str]:
    """Cells of the first record, without the blanks around them."""
    present = int(np.flatnonzero(~sample.is_blank)[0])
    first = sample.part(present, present + 1)
    row = parse_cells(first, n_columns, separator, quoted, source.name).row(0)
    return [str(cell).strip() for cell in row]
