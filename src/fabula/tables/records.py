"""Separated text cut into records: where they end, how many cells they have, what quotes mean.

Nothing is parsed here. Positions of separators, quotes and line ends are found with numpy, a few
megabytes at a time, so that a file of any size is checked in bounded memory before its first cell
is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabula.core.errors import FileFormatError

__all__ = ["BadQuoteError", "Records", "split_records"]

_NEWLINE, _RETURN, _QUOTE = 10, 13, 34
_BLANKS = (9, 10, 13, 32)
_MAX_RECORD_BYTES = 64 * 2**20

_Positions = NDArray[np.int64]


class BadQuoteError(Exception):
    """A double quote that does not enclose a cell; ``line`` counts from 1."""

    def __init__(self, line: int):
        super().__init__(line)
        self.line = line


@dataclass(frozen=True)
class Records:
    """Complete records that follow one another.

    Parameters
    ----------
    content
        Their bytes.
    starts, ends
        Where each begins, and where its line end (or the end of the file) is.
    n_cells
        How many cells each has.
    is_blank
        Which are empty lines.
    first_line
        The line of the file, counted from 1, that the first begins in.
    """

    content: bytes
    starts: _Positions
    ends: _Positions
    n_cells: _Positions
    is_blank: NDArray[np.bool_]
    first_line: int

    def __len__(self) -> int:
        return len(self.starts)

    def line_of(self, record: int) -> int:
        """The line of the file, counted from 1, that a record begins in."""
        return self.first_line + self.content.count(b"\n", 0, int(self.starts[record]))

    def part(self, start: int, stop: int) -> Records:
        """Some of the records."""
        first, last = int(self.starts[start]), int(self.ends[stop - 1])
        return Records(
            self.content[first : last + 1],
            self.starts[start:stop] - first,
            self.ends[start:stop] - first,
            self.n_cells[start:stop],
            self.is_blank[start:stop],
            self.line_of(start),
        )

    def without_blanks(self) -> bytes:
        """The bytes of the records that are not empty lines."""
        if not self.is_blank.any():
            return self.content
        kept = np.flatnonzero(~self.is_blank)
        return b"\n".join(self.content[self.starts[i] : self.ends[i]] for i in kept)


def split_records(
    pieces: Iterable[bytes], separator: str, quoted: bool, name: str, first_line: int = 1
) -> Iterator[Records]:
    """Cut a stream of text into records.

    Parameters
    ----------
    pieces
        UTF-8 text in pieces of any size.
    separator
        One ASCII character.
    quoted
        Whether double quotes enclose cells, which may then hold separators and line ends, and
        quotes that are doubled (RFC 4180); otherwise they are characters like any other.
    name
        What messages call the file.
    first_line
        The line of the file that the text begins in.

    Raises
    ------
    BadQuoteError
        ``quoted``, and a quote stands elsewhere than around a cell, or is never closed.
    FileFormatError
        A record is longer than 64 MiB.
    """
    rest, line = b"", first_line
    for piece in pieces:
        rest += piece
        if b"\n" not in piece:  # no record can end in it
            _check_length(rest, quoted, name, line)
            continue
        records = _complete(rest, separator, quoted, line)
        if len(records):
            yield records
            line += records.content.count(b"\n")
            rest = rest[len(records.content) :]
        _check_length(rest, quoted, name, line)
    if rest:
        records = _complete(rest + b"\n", separator, quoted, line)
        if not len(records):
            raise BadQuoteError(line)
        yield records


def _check_length(rest: bytes, quoted: bool, name: str, line: int) -> None:
    if len(rest) > _MAX_RECORD_BYTES:
        if quoted and b'"' in rest:
            raise BadQuoteError(line + rest.count(b"\n", 0, rest.index(b'"')))
        raise FileFormatError(
            f"{name}, line {line}: a line of more than 64 MiB, so this is no table."
        )


def _complete(text: bytes, separator: str, quoted: bool, first_line: int) -> Records:
    """All records of ``text`` that end in it."""
    characters = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero(characters == _NEWLINE)
    separators = np.flatnonzero(characters == ord(separator))
    if quoted:
        quotes = np.flatnonzero(characters == _QUOTE)
        if len(quotes):
            # Between an even and an odd number of quotes, everything is part of a cell.
            ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
            separators = separators[np.searchsorted(quotes, separators) % 2 == 0]
            size = int(ends[-1]) + 1 if len(ends) else 0
            _check_quotes(characters, quotes[quotes < size], ord(separator), text, first_line)
    size = int(ends[-1]) + 1 if len(ends) else 0
    starts = np.concatenate([np.zeros(min(len(ends), 1), dtype=np.int64), ends[:-1] + 1])
    so_far = np.searchsorted(separators, ends)
    n_cells = np.diff(so_far, prepend=0) + 1
    is_blank = (n_cells == 1) & np.isin(characters[starts], _BLANKS)
    for i in np.flatnonzero(is_blank):
        is_blank[i] = not text[starts[i] : ends[i]].strip()
    return Records(text[:size], starts, ends, n_cells, is_blank, first_line)


def _check_quotes(
    characters: NDArray[np.uint8],
    quotes: _Positions,
    separator: int,
    text: bytes,
    first_line: int,
) -> None:
    """Raise BadQuoteError unless every pair of quotes encloses a cell or is a doubled quote."""
    opening, closing = quotes[0::2], quotes[1::2]
    before = np.where(opening > 0, characters[opening - 1], _NEWLINE)
    opens = (before == separator) | (before == _NEWLINE)
    opens[1:] |= opening[1:] == closing[:-1] + 1
    after = characters[np.minimum(closing + 1, len(characters) - 1)]
    closes = (after == separator) | (after == _NEWLINE) | (after == _RETURN)
    closes[:-1] |= opening[1:] == closing[:-1] + 1
    bad = np.concatenate([opening[~opens], closing[~closes]])
    if len(bad):
        raise BadQuoteError(first_line + text.count(b"\n", 0, int(bad.min())))
