"""Alignments as text: aligned FASTA, CIGAR, PAF, JSON and rows for reading.

CIGAR as in the SAM specification (section 1.4), PAF as minimap2 defines it (Li 2018,
Bioinformatics 34:3094): places count from 0, ends are one past the last letter.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from fabula.core.errors import DataError, FileFormatError, UsageError
from fabula.sequences.alignment import DELETE, INSERT, MATCH, Alignment

__all__ = [
    "cigar",
    "from_cigar",
    "from_fasta",
    "from_json",
    "from_paf",
    "from_rows",
    "to_fasta",
    "to_json",
    "to_paf",
    "to_text",
]

_GAPS = "-."
_OPERATION = re.compile(r"([0-9]+)([A-Za-z=])")
_CODES = {"M": MATCH, "=": MATCH, "X": MATCH, "I": INSERT, "D": DELETE, "N": DELETE}
_JSON_FORMAT, _JSON_VERSION = "fabula alignment", 1
_PAF_COLUMNS = 12
# What follows the query of no alignment, as minimap2 writes it with --paf-no-hit.
_UNALIGNED = ["0", "0", "*", "*", "0", "0", "0", "0", "0", "0"]


# Rows and FASTA -----------------------------------------------------------------------------------


def from_rows(row_x: str, row_y: str, names: tuple[str, str] = ("x", "y")) -> Alignment:
    """Alignment of two rows of one length; a column of two gaps is left out."""
    if len(row_x) != len(row_y):
        raise DataError(
            f"The rows of an alignment must have one length, but {names[0]!r} has {len(row_x)} "
            f"columns and {names[1]!r} {len(row_y)}."
        )
    gap_x, gap_y = (
        np.isin(np.array(list(row), dtype="<U1"), list(_GAPS)) for row in (row_x, row_y)
    )
    path = np.where(gap_x, INSERT, np.where(gap_y, DELETE, MATCH))[~(gap_x & gap_y)]
    x, y = ("".join(c for c in row if c not in _GAPS) for row in (row_x, row_y))
    return Alignment(names, (x, y), path.astype(np.uint8))


def to_fasta(alignment: Alignment, width: int | None = None) -> str:
    """Two records; lines of ``width`` letters, or one line each."""
    if width is not None and width < 1:
        raise UsageError(f"A line needs a width of at least 1, not {width}.")
    lines = []
    for axis, row in enumerate(alignment.rows):
        start, end = alignment.starts[axis], alignment.ends[axis]
        whole = start == 0 and end == len(alignment.sequences[axis])
        lines.append(f">{alignment.names[axis]}" + ("" if whole else f"/{start + 1}-{end}"))
        step = width or max(len(row), 1)
        lines.extend(row[i : i + step] for i in range(0, len(row), step))
    return "\n".join(lines) + "\n"


def from_fasta(text: str) -> Alignment:
    """Alignment of the two rows of an aligned FASTA text."""
    names: list[str] = []
    rows: list[list[str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if line.startswith(">"):
            names.append((line[1:].split() or [f"sequence {len(names) + 1}"])[0])
            rows.append([])
        elif line and not rows:
            raise FileFormatError(
                f"Line {number} of the FASTA text comes before any header; a record begins with "
                "a line '>name'."
            )
        elif line:
            rows[-1].append("".join(line.split()))
    if len(rows) != 2:
        raise FileFormatError(
            f"The FASTA text has {len(rows)} records; an alignment of a pair has two."
        )
    return from_rows("".join(rows[0]), "".join(rows[1]), (names[0], names[1]))


# CIGAR --------------------------------------------------------------------------------------------


def cigar(alignment: Alignment, extended: bool = True) -> str:
    """Runs of operations, with x as the reference."""
    letters = np.array(list("MID"), dtype="<U1")[alignment.path]
    if extended:
        match = alignment.path == MATCH
        letters[match] = np.where(alignment.equal[match], "=", "X")
    if not len(letters):
        return ""
    first = np.concatenate([[0], np.flatnonzero(letters[1:] != letters[:-1]) + 1])
    lengths = np.diff(np.concatenate([first, [len(letters)]]))
    return "".join(f"{n}{letters[i]}" for i, n in zip(first, lengths, strict=True))


def from_cigar(
    text: str,
    x: str,
    y: str,
    names: tuple[str, str] = ("x", "y"),
    starts: tuple[int, int] = (0, 0),
) -> Alignment:
    """Alignment from whole sequences, where it starts in them, and its operations."""
    operations, clipped = _read_cigar(text)
    starts = (starts[0], starts[1] + clipped)
    for axis, (sequence, gap) in enumerate(((x, INSERT), (y, DELETE))):
        # Python's own integers: counts in a text may be of any size.
        needed = starts[axis] + sum(count for count, letter in operations if _CODES[letter] != gap)
        if needed > len(sequence):
            raise DataError(
                f"The CIGAR text needs {needed} letters of {names[axis]!r}, which has "
                f"{len(sequence)}."
            )
    codes = np.array([_CODES[letter] for _, letter in operations], dtype=np.uint8)
    path = np.repeat(codes, [count for count, _ in operations])
    alignment = Alignment(names, (x, y), path, starts)
    _check_equal(operations, alignment)
    return alignment


def _read_cigar(text: str) -> tuple[list[tuple[int, str]], int]:
    """Operations that align something, and how many letters of y were clipped before them."""
    operations: list[tuple[int, str]] = []
    clipped, place, ended = 0, 0, False
    while place < len(text):
        found = _OPERATION.match(text, place)
        letter = found[2] if found else ""
        if found is None or letter not in "MIDNSHP=X":
            raise DataError(
                f"The CIGAR text has no operation at character {place + 1} "
                f"({text[place : place + 12]!r}): expected a number and one of M I D N S H P = X."
            )
        count, place = int(found[1]), found.end()
        if letter == "S" and operations:
            ended = True
        elif letter == "S":
            clipped += count
        elif letter in _CODES:
            if ended:
                raise DataError("The CIGAR text clips letters (S) in its middle, not at its ends.")
            operations.append((count, letter))
    if not operations:
        raise DataError("The CIGAR text aligns nothing; expected operations such as 12=1X3I40=.")
    return operations, clipped


def _check_equal(operations: list[tuple[int, str]], alignment: Alignment) -> None:
    """The operations = and X say which letters are the same; the sequences have to agree."""
    equal, column = alignment.equal, 0
    for count, letter in operations:
        if letter in "=X":
            wrong = equal[column : column + count] != (letter == "=")
            if wrong.any():
                i, j = map(int, alignment.columns[column + int(np.argmax(wrong))])
                x, y = alignment.names
                raise DataError(
                    f"The CIGAR text says that letter {i + 1} of {x!r} and letter {j + 1} of "
                    f"{y!r} (counted from 1) are {'equal' if letter == '=' else 'different'}, but "
                    f"they are {alignment.sequences[0][i]!r} and {alignment.sequences[1][j]!r}: "
                    "it belongs to other sequences, or to another strand."
                )
        column += count


# PAF ----------------------------------------------------------------------------------------------


def to_paf(alignment: Alignment, mapping_quality: int = 255) -> str:
    """Query y, target x; 255 is the mapping quality that PAF gives where none is known.

    Without any column it is the line of a query that was not aligned, with ``*`` for the target.
    """
    if not 0 <= mapping_quality <= 255:
        raise UsageError(f"A mapping quality lies in 0 … 255, not {mapping_quality}.")
    for name in alignment.names:
        if re.search(r"[\t\r\n]", name):
            raise UsageError(f"PAF cannot hold the name {name!r}: it has a tab or a line break.")
    if not len(alignment):
        return "\t".join([alignment.names[1], str(len(alignment.sequences[1])), *_UNALIGNED])
    fields: list[Any] = []
    for axis in (1, 0):
        start, end = alignment.starts[axis], alignment.ends[axis]
        fields += [alignment.names[axis], len(alignment.sequences[axis]), start, end]
        if axis == 1:
            fields.append("+")
    fields += [int(alignment.equal.sum()), len(alignment), mapping_quality]
    fields.append(f"cg:Z:{cigar(alignment)}")
    return "\t".join(map(str, fields))


def from_paf(line: str, x: str, y: str) -> Alignment:
    """Alignment from a line of PAF and its sequences: target x, query y."""
    fields = line.rstrip("\r\n").split("\t")
    if len(fields) < _PAF_COLUMNS:
        raise FileFormatError(
            f"A line of PAF has at least {_PAF_COLUMNS} columns, this one {len(fields)}."
        )
    if fields[4] == "*":
        raise DataError("The line of PAF is of a query that was not aligned.")
    if fields[4] != "+":
        raise DataError(
            f"The alignment is on the strand {fields[4]!r}; turn the query round first (reverse "
            "complement), since an alignment here is on '+'."
        )
    tags = [tag[5:] for tag in fields[_PAF_COLUMNS:] if tag.startswith("cg:Z:")]
    if not tags:
        raise FileFormatError("The line of PAF has no tag cg:Z:, so its columns are not known.")
    numbers = {}
    for column in (2, 3, 4, 7, 8, 9):
        text = fields[column - 1]
        if not (text.isascii() and text.isdigit()):
            raise FileFormatError(
                f"Column {column} of the line of PAF holds {text!r}; expected a whole number."
            )
        numbers[column] = int(text)
    for column, sequence, what in ((2, y, "query"), (7, x, "target")):
        if numbers[column] != len(sequence):
            raise DataError(
                f"The line of PAF is of a {what} of {numbers[column]} letters; the sequence given "
                f"has {len(sequence)}."
            )
    names = (fields[5], fields[0])
    alignment = from_cigar(tags[0], x, y, names, (numbers[8], numbers[3]))
    stated = (numbers[9], numbers[4])
    if alignment.ends != stated:
        raise DataError(
            f"The line of PAF ends at {stated[0]} of the target and {stated[1]} of the query, "
            f"but its CIGAR text at {alignment.ends[0]} and {alignment.ends[1]}."
        )
    return alignment


# JSON ---------------------------------------------------------------------------------------------


def to_json(alignment: Alignment) -> str:
    """One object; numbers are written so that they come back bit for bit."""
    confidence = alignment.confidence
    return json.dumps(
        {
            "format": _JSON_FORMAT,
            "version": _JSON_VERSION,
            "names": list(alignment.names),
            "sequences": list(alignment.sequences),
            "starts": list(alignment.starts),
            "cigar": cigar(alignment),
            "confidence": None if confidence is None else confidence.tolist(),
            "log_posterior": alignment.log_posterior,
        },
        allow_nan=False,
    )


def from_json(text: str) -> Alignment:
    """Alignment from what `to_json` wrote."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise FileFormatError(f"The alignment is no JSON: {error}.") from error
    if not isinstance(found, dict) or found.get("format") != _JSON_FORMAT:
        raise FileFormatError(f"The JSON is no {_JSON_FORMAT}: its 'format' says something else.")
    if found.get("version") != _JSON_VERSION:
        raise FileFormatError(
            f"The alignment has the version {found.get('version')!r}; this program reads "
            f"{_JSON_VERSION}."
        )
    names, sequences = (_two(found, key, str) for key in ("names", "sequences"))
    starts = _two(found, "starts", int)
    text = found.get("cigar", "")
    if not isinstance(text, str):
        raise FileFormatError("'cigar' of the alignment must be text.")
    if text:
        plain = from_cigar(text, *sequences, names, starts)
    else:
        plain = Alignment(names, sequences, np.zeros(0, dtype=np.uint8), starts)
    confidence, log_posterior = found.get("confidence"), found.get("log_posterior")
    try:
        sure = None if confidence is None else np.array(confidence, dtype=np.float64)
        whole = None if log_posterior is None else float(log_posterior)
    except (TypeError, ValueError):
        raise FileFormatError("'confidence' and 'log_posterior' must be numbers.") from None
    return Alignment(names, sequences, plain.path, plain.starts, sure, whole)


def _two(found: dict[str, Any], key: str, kind: type) -> tuple[Any, Any]:
    value = found.get(key)
    if not isinstance(value, list) or len(value) != 2 or not all(type(v) is kind for v in value):
        what = "texts" if kind is str else "whole numbers"
        raise FileFormatError(f"{key!r} of the alignment must be a list of two {what}.")
    return value[0], value[1]


# Text for reading ---------------------------------------------------------------------------------


def to_text(alignment: Alignment, width: int = 60) -> str:
    """Blocks of rows: ``|`` the same letter, ``.`` another; below, confidence in tenths."""
    if width < 1:
        raise UsageError(f"A line needs a width of at least 1, not {width}.")
    rows, columns = alignment.rows, alignment.columns
    marks = np.where(alignment.equal, "|", np.where(alignment.path == MATCH, ".", " "))
    name_width = max(map(len, alignment.names))
    number_width = len(str(max(*alignment.ends, 1)))
    margin = " " * (name_width + number_width + 2)
    blocks = []
    last = list(alignment.starts)
    for first in range(0, len(alignment), width):
        part = slice(first, first + width)
        lines = []
        for axis in (0, 1):
            taken = columns[part, axis]
            taken = taken[taken >= 0]
            begin = int(taken[0]) + 1 if len(taken) else last[axis]
            last[axis] = int(taken[-1]) + 1 if len(taken) else last[axis]
            name = alignment.names[axis].ljust(name_width)
            lines.append(f"{name} {begin:>{number_width}} {rows[axis][part]} {last[axis]}")
        lines.insert(1, (margin + "".join(marks[part])).rstrip())
        if alignment.confidence is not None:
            tenths = np.clip(np.floor(10 * alignment.confidence[part]), 0, 9).astype(int)
            lines.append(margin + "".join(map(str, tenths)))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
