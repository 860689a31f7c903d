from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabula.tables.records import BadQuoteError, split_records

PIECES = [b'a,"x\ny"\n', b"\n1,", b'2\n"3', b'",4\n', b" \n5,6"]


def test_records_end_where_their_lines_end() -> None:
    found = list(split_records(PIECES, ",", True, "f"))
    lines = [records.line_of(i) for records in found for i in range(len(records))]
    cells = np.concatenate([records.n_cells for records in found])
    blank = np.concatenate([records.is_blank for records in found])
    assert lines == [1, 3, 4, 5, 6, 7]
    assert cells.tolist() == [2, 1, 2, 2, 1, 2]
    assert blank.tolist() == [False, True, False, False, True, False]
    joined = b"".join(records.without_blanks() for records in found if not records.is_blank.all())
    assert joined.replace(b"\n", b"") == b"".join(PIECES).replace(b"\n", b"").replace(b" ", b"")


def test_quotes_that_are_characters_hold_nothing_together() -> None:
    (records,) = split_records([b'a,"x\ny"\n'], ",", False, "f")
    assert records.n_cells.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b'a\nb"c,d\ne\n', 2),
        (b'a\n"b"c\n', 2),
        (b'a\n"b\nc', 2),
        (b'"a"\n"b""\n', 2),
        (b'"a" ,b\n', 1),
        (b'x\n, "a"\n', 2),
    ],
)
def test_quotes_out_of_place_are_found(text: bytes, line: int) -> None:
    for pieces in ([text], [text[i : i + 1] for i in range(len(text))]):
        with pytest.raises(BadQuoteError) as caught:
            list(split_records(pieces, ",", True, "f"))
        assert caught.value.line == line


CELL = st.text(st.sampled_from('ab,"\n'), max_size=5)


@given(st.lists(st.lists(CELL, min_size=2, max_size=2), min_size=1, max_size=8), st.integers(1, 9))
def test_records_agree_with_the_csv_module(rows: list[list[str]], size: int) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    text = written.getvalue().encode()
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    found = list(split_records(pieces, ",", True, "f"))
    assert sum(map(len, found)) == len(rows)
    assert {int(n) for records in found for n in records.n_cells} == {2}
    for records in found:
        for i in range(len(records)):
            part = records.content[records.starts[i] : records.ends[i]].decode()
            row = rows.pop(0)
            assert next(csv.reader(io.StringIO(part, newline=""))) == row
