from __future__ import annotations

import datetime
import gzip
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.testing
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabula.core.errors import DataError, FabulaError, FileFormatError, UsageError
from fabula.tables import read_table, scan_table, write_table


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """A function that writes a file and returns its path."""

    def write(content: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def test_types_are_decided_by_the_whole_file(file: Any) -> None:
    lines = ["a,b,c,d,e,f"] + ["1,1,true,2020-01-31,x,7"] * 5_000 + ["2,2.5,false,2020-02-01,1,x"]
    frame = read_table(file("\n".join(lines)))
    assert frame.schema == {
        "a": pl.Int64,
        "b": pl.Float64,
        "c": pl.Boolean,
        "d": pl.Date,
        "e": pl.String,
        "f": pl.String,
    }
    assert frame.height == 5_001
    assert frame.row(-1) == (2, 2.5, False, datetime.date(2020, 2, 1), "1", "x")


LEAP_DAY = datetime.date(2020, 2, 29)
CELLS: dict[str, tuple[list[str], list[Any]]] = {
    "integers": (["1", "-2", "+3", "0"], [1, -2, 3, 0]),
    "numbers": (["1", "2.5", "1e-3", ".5", "-7."], [1.0, 2.5, 1e-3, 0.5, -7.0]),
    "codes": (["007", "123", "1"], ["007", "123", "1"]),
    "codes with a sign": (["-01", "5"], ["-01", "5"]),
    "zero and fractions are no codes": (["0", "0.5", "-0.25"], [0.0, 0.5, -0.25]),
    "long integers": (["123456789012345678", "1"], [123456789012345678, 1]),
    "too long integers": (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
    "capital truths": (["TRUE", "FALSE"], ["TRUE", "FALSE"]),
    "truths": (["true", "false"], [True, False]),
    "dates": (["2020-02-29", "1999-12-31"], [LEAP_DAY, datetime.date(1999, 12, 31)]),
    "no dates": (["2020-02-30", "1999-12-31"], ["2020-02-30", "1999-12-31"]),
    "other dates": (["31.12.1999", "01.01.2000"], ["31.12.1999", "01.01.2000"]),
    "mixed": (["1", "true", "2020-01-01"], ["1", "true", "2020-01-01"]),
    "blanks around": ([" 1", "2 ", "\t3\t"], [1, 2, 3]),
    "missing": (["1", "", "NA", "?", " ? ", "nan", "None", "null", "N/A"], [1] + [None] * 8),
    "sodium is not missing": (["Na", "K", "na", "-"], ["Na", "K", "na", "-"]),
}


@pytest.mark.parametrize("what", CELLS)
def test_cells_become_values(file: Any, what: str) -> None:
    written, expected = CELLS[what]
    path = file("name;other\n" + "".join(f"{cell};x\n" for cell in written))
    values = read_table(path)["name"].to_list()
    assert values == expected
    assert [type(value) for value in values] == [type(value) for value in expected]
    assert [v for block in scan_table(path, block_rows=2) for v in block["name"]] == expected


def test_missing_tokens_are_the_callers(file: Any) -> None:
    path = file("a,b\n1,-\n-99,x\n")
    assert read_table(path)["b"].to_list() == ["-", "x"]
    frame = read_table(path, missing_tokens=("", "-", "-99"))
    assert frame.rows() == [(1, None), (None, "x")]
    assert read_table(file("a,b\nNA,1\n"), missing_tokens=()).rows() == [("NA", 1)]


def test_decimal_commas_are_read_when_asked_for(file: Any) -> None:
    path = file("a;b\n1,5;2\n-0,25;3,0\n")
    assert read_table(path, decimal=",").rows() == [(1.5, 2.0), (-0.25, 3.0)]
    assert read_table(path).rows() == [("1,5", "2"), ("-0,25", "3,0")]
    assert read_table(file("a;b\n1.5;2\n"), decimal=",").rows() == [("1.5", 2)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["table.csv", "table.txt", "table.data"])
def test_the_separator_is_found(file: Any, separator: str, name: str) -> None:
    lines = ["x,y", "1|2", "a\tb;"]  # inside quotes, all separators are text
    content = separator.join(["number", "text", "other"]) + "\n"
    content += "".join(f'{i}{separator}"{line}"{separator}z{i}\n' for i, line in enumerate(lines))
    frame = read_table(file(content, name))
    assert frame.columns == ["number", "text", "other"]
    assert frame["text"].to_list() == lines


def test_a_separator_can_be_stated(file: Any) -> None:
    path = file("a b,c\n1 2,3\n", "x.txt")
    assert read_table(path, delimiter=" ").columns == ["a", "b,c"]
    for bad in ("", ",,", '"', "\n", "é"):
        with pytest.raises(UsageError, match="delimiter"):
            read_table(path, delimiter=bad)


HEADERS: dict[str, tuple[str, str, bool]] = {
    "names over numbers": ("a,b\n1,x\n2,y\n", "t.csv", True),
    "numbers only": ("1,2\n3,4\n", "t.csv", False),
    "a number in the first line": ("a,2\nb,3\n", "t.csv", False),
    "truths in the first line": ("a,true\nb,false\n", "t.csv", False),
    "a date in the first line": ("a,2020-01-01\nb,2020-01-02\n", "t.csv", False),
    "a value comes again": ("ham,hello\nspam,win\nham,you\n", "t.csv", False),
    "names over dates": ("day,what\n2020-01-01,x\n2020-01-02,y\n", "t.data", True),
    "names over codes": ("A->C\tA->G\n2e-3 [1..3]\t5e-3 [4..6]\n", "t.dat", True),
    "names over levels": ("sex,city\n" + "f,Rome\nm,Oslo\n" * 6, "t.data", True),
    "a word over words": ("word\nfoo\nbar\n", "t.csv", True),
    "words in a text file": ("emma\nolivia\nava\n", "t.txt", False),
    "one line of words": ("a,b\n", "t.csv", True),
    "one line of numbers": ("1,2\n", "t.csv", False),
    "missing cells in the first line": (",b\n1,2\n", "t.csv", True),
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_header_is_recognised(file: Any, what: str) -> None:
    content, name, has_header = HEADERS[what]
    path = file(content, name)
    n_lines = content.count("\n")
    frame = read_table(path)
    assert frame.height == n_lines - has_header
    width = frame.width
    if not has_header:
        assert frame.columns == [f"column_{i + 1}" for i in range(width)]
    assert read_table(path, header=False).height == n_lines
    assert read_table(path, header=True).height == n_lines - 1


def test_names_of_columns(file: Any) -> None:
    assert read_table(file(' a , "b c",\n1,2,3\n'), header=True, quoting=False).columns == [
        "a", '"b c"', "column_3",
    ]  # fmt: skip
    assert read_table(file("NA,None\n1,2\n"), header=True).columns == ["NA", "None"]
    with pytest.raises(DataError, match=r"line 1: columns 1 and 3 are both named 'a'"):
        read_table(file("a,b,a\n1,2,3\n"))
    assert read_table(file("\n\na,b\n1,2\n")).columns == ["a", "b"]


def test_quotes_enclose_cells_when_all_of_them_do(file: Any) -> None:
    content = 'a,b\n"x, y","say ""no"""\n"two\nlines",""\n1,"q"\r\n'
    expected = [("x, y", 'say "no"'), ("two\nlines", None), ("1", "q")]
    assert read_table(file(content)).rows() == expected
    assert read_table(file(content), quoting=True).rows() == expected
    assert read_table(file('"a"\t"b"\n"1"\t"2"\n', "t.tsv")).rows() == [(1, 2)]


def test_quotes_inside_cells_are_characters(file: Any) -> None:
    messages = ["plain", 'he said "no" to me', '"open only', '"whole"', 'pipe 5"', "x"]
    content = "".join(f"{label}\t{text}\n" for label, text in zip("abaaba", messages, strict=True))
    frame = read_table(file(content, "sms.tsv"))
    assert frame["column_2"].to_list() == messages
    with pytest.raises(DataError, match=r"line 2: a double quote that does not enclose a cell"):
        read_table(file(content, "sms.tsv"), quoting=True)


def test_a_broken_quote_among_quoted_cells_is_an_error_not_a_guess(file: Any) -> None:
    rows = [f'{i},"text, {i}"' for i in range(30)]
    broken = [*rows[:20], '20,"text "here", now"', *rows[20:]]
    with pytest.raises(DataError, match=r"line 22: a double quote that does not enclose"):
        read_table(file("\n".join(["a,b", *broken])))
    # Without separators inside the quotes, every line has two cells either way.
    plain = [f'{i},"text {i}"' for i in range(30)] + ['31,"text" more']
    with pytest.raises(DataError, match=r"line 32: a double quote"):
        read_table(file("\n".join(["a,b", *plain])))
    with pytest.raises(DataError, match=r"line 31: a double quote"):
        read_table(file("\n".join(["a,b", *rows[:29], '30,"never closed', *rows[:3]])))


def test_line_ends_of_all_kinds(file: Any) -> None:
    for end in ("\n", "\r\n", "\r"):
        for last in ("", end):
            frame = read_table(file(end.join(["a,b", "1,x", "2,y"]) + last))
            assert frame.rows() == [(1, "x"), (2, "y")]


def test_empty_lines_are_skipped_or_missing(file: Any) -> None:
    assert read_table(file("\n\na,b\n\n1,2\n  \n3,4\n\n\n")).rows() == [(1, 2), (3, 4)]
    one = read_table(file("\nx\n\n1\n\n\n2\n\n\n"))
    assert one["x"].to_list() == [None, 1, None, None, 2]
    assert read_table(file("a,b\n,\n1,2\n")).rows() == [(None, None), (1, 2)]
    only = file("x\n1\n\n2\n")
    assert [block.rows() for block in scan_table(only, block_rows=2)] == [[(1,), (None,)], [(2,)]]


def test_lines_before_the_table_are_skipped(file: Any) -> None:
    path = file('# made by "hand\n# twice\na,b\n1,2\n')
    assert read_table(path, skip_lines=2).rows() == [(1, 2)]
    with pytest.raises(DataError, match="line 5: 1 cell where line 3 has 2"):
        read_table(file("#\n#\na,b\n1,2\n3\n"), skip_lines=2)
    with pytest.raises(DataError, match="holds no table"):
        read_table(path, skip_lines=9)


def test_encodings(file: Any) -> None:
    text = "name,city\nJürgen,Köln\n"
    expected = [("Jürgen", "Köln")]
    assert read_table(file(b"\xef\xbb\xbf" + text.encode())).rows() == expected
    assert read_table(file(b"\xef\xbb\xbf" + text.encode())).columns == ["name", "city"]
    assert read_table(file(text.encode("latin-1")), encoding="latin-1").rows() == expected
    assert read_table(file(text.encode("utf-16")), encoding="utf-16").rows() == expected
    with pytest.raises(DataError, match=r"table.csv, line 2: byte 12 of .* \(0xfc\) is not utf-8"):
        read_table(file(text.encode("latin-1")))
    with pytest.raises(DataError, match="UTF-16: state encoding"):
        read_table(file(text.encode("utf-16")))
    with pytest.raises(UsageError, match="no encoding 'utf-9'"):
        read_table(file(text), encoding="utf-9")
    with pytest.raises(DataError, match="line 2: byte 24"):  # cut in the middle of a letter
        read_table(file(b"name,city\nJurgen,Berlin" + "ö".encode()[:1]))


@pytest.mark.parametrize("at", [0, 4 * 2**20 - 1, 4 * 2**20, 9 * 2**20])
def test_the_place_of_a_bad_byte_is_right_in_large_files(file: Any, at: int) -> None:
    content = bytearray("1234567,é\n".encode() * 1_000_000)
    content[at] = 0xFF
    try:
        bytes(content).decode()
    except UnicodeDecodeError as error:
        place, line = error.start + 1, content.count(b"\n", 0, error.start) + 1
    with pytest.raises(DataError, match=f"line {line}: byte {place:,} "):
        read_table(file(bytes(content)))


def test_ragged_lines_are_named(file: Any) -> None:
    for line, found in (("1", "1 cell"), ("1,2", "2 cells"), ("1,2,3,4", "4 cells")):
        content = "a,b,c\n" + "1,2,3\n" * 3 + line + "\n1,2,3\n"
        with pytest.raises(DataError, match=f"line 5: {found} where line 1 has 3, separ"):
            read_table(file(content))
    quoted = 'a,b\n"two\nlines",1\n"x",2,3\n'
    with pytest.raises(DataError, match="line 4: 3 cells"):
        read_table(file(quoted))
    long = "a,b\n" + "1,22222222\n" * 600_000 + "1\n"
    with pytest.raises(DataError, match="line 600002: 1 cell"):
        read_table(file(long))


def test_what_is_no_table(file: Any, tmp_path: Path) -> None:
    cases: list[tuple[Any, type[FabulaError], str]] = [
        (tmp_path / "nothing.csv", UsageError, "no file .*nothing.csv"),
        (tmp_path / "no" / "folder.csv", UsageError, "no folder"),
        (tmp_path, UsageError, "is a folder"),
        (file("", "empty.csv"), DataError, "is empty"),
        (file("\n \n\n", "blank.csv"), DataError, "holds no table"),
        (file(b"PK\x03\x04....", "book.csv"), FileFormatError, "spreadsheet"),
        (file(b"a,b\n1,\0\n", "zero.csv"), FileFormatError, "byte 7 is zero"),
        (file(b"a,b\n", "bad.parquet"), FileFormatError, "does not begin as .parquet files do"),
        (file(b"a,b\n", "bad.csv.gz"), FileFormatError, "does not begin as .gz files do"),
        (file(b"PAR1", "cut.parquet"), FileFormatError, "cut or damaged"),
    ]
    for path, error, message in cases:
        for function in (read_table, scan_table):
            with pytest.raises(error, match=message):
                function(path)
    file("a,b\n1,2\n", "measurements.csv")
    with pytest.raises(UsageError, match=r"Did you mean .*measurements\.csv"):
        read_table(tmp_path / "measurement.csv")


def test_a_header_without_rows_is_an_empty_table(file: Any) -> None:
    path = file("a,b\n")
    assert read_table(path).shape == (0, 2)
    scan = scan_table(path)
    assert (scan.n_rows, list(scan), scan.names) == (0, [], ("a", "b"))


def test_wide_lines_that_are_no_lines(file: Any) -> None:
    path = file(b"x" * (70 * 2**20))
    with pytest.raises(FileFormatError, match="more than 64 MiB"):
        read_table(path)


TABLE = pl.DataFrame(
    {
        "integer": [1, None, 3, 40] * 25,
        "number": [0.5, 1.25, None, -3.0] * 25,
        "truth": [True, False, None, True] * 25,
        "text": ['plain, "quoted"', "two\nlines", None, "ö"] * 25,
        "day": [datetime.date(2020, 1, 1), None, datetime.date(1999, 12, 31), None] * 25,
    }
)
FORMATS = ("t.csv", "t.tsv", "t.csv.gz", "t.tsv.gz", "t.txt", "t.parquet")


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    write_table(TABLE, tmp_path / name)
    polars.testing.assert_frame_equal(read_table(tmp_path / name), TABLE)
    polars.testing.assert_frame_equal(pl.concat(scan_table(tmp_path / name, block_rows=7)), TABLE)


@pytest.mark.parametrize("name", FORMATS)
def test_pipes_are_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(TABLE, tmp_path / name)
    pipe = io.TextIOWrapper(io.BytesIO((tmp_path / name).read_bytes()))
    monkeypatch.setattr(sys, "stdin", pipe)
    polars.testing.assert_frame_equal(read_table("-"), TABLE)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(DataError, match="standard input is empty"):
        read_table("-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n1\n")))
    with pytest.raises(UsageError, match="only once"):
        scan_table("-")


def test_blocks_are_equal_in_size_and_come_again(tmp_path: Path) -> None:
    for name in FORMATS:
        write_table(TABLE, tmp_path / name)
        scan = scan_table(tmp_path / name, block_rows=30)
        assert (scan.n_rows, len(scan), scan.block_rows) == (100, 4, 30)
        assert scan.names == tuple(TABLE.columns)
        for _ in range(2):
            assert [block.height for block in scan] == [30, 30, 30, 10]
        halfway = iter(scan)
        next(halfway)
        polars.testing.assert_frame_equal(next(iter(scan)), TABLE[:30])
        polars.testing.assert_frame_equal(next(halfway), TABLE[30:60])
    with pytest.raises(UsageError, match="block_rows is 0"):
        scan_table(tmp_path / "t.csv", block_rows=0)


def test_types_do_not_depend_on_the_block(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,x\n" * 50 + "1.5,y\n")
    assert {block.schema["a"] for block in scan_table(path, block_rows=10)} == {pl.Float64}


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(TABLE, path)
    scan = scan_table(path)
    list(scan)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="has changed since"):
        list(scan)
    path.unlink()
    with pytest.raises(UsageError, match="no file"):
        list(scan)


def test_large_text_files_are_split_where_records_end(file: Any) -> None:
    # Several pieces of 4 MiB, with quoted line ends across their borders.
    rows = [(i, "line one\nline, two." + "x" * (i % 97)) for i in range(120_000)]
    content = "n,text\n" + "".join(f'{n},"{text}"\n' for n, text in rows)
    assert len(content) > 8 * 2**20
    path = file(content)
    frame = read_table(path)
    assert frame.rows() == rows
    packed = file(gzip.compress(content.encode(), 1), "t.csv.gz")
    assert read_table(packed).equals(frame)


def outcome(path: Path) -> str:
    """What reading gives: a table or the name of an error; other exceptions pass through."""
    try:
        read_table(path)
        for _ in scan_table(path, block_rows=33):
            pass
    except FabulaError as error:
        assert str(error).strip() and len(str(error)) < 2_000
        return type(error).__name__
    return "table"


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.parquet"])
def test_files_cut_anywhere_give_a_table_or_a_clear_error(tmp_path: Path, name: str) -> None:
    write_table(TABLE, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    places = range(0, len(content), max(1, len(content) // 80))
    outcomes = []
    for place in places:
        (tmp_path / name).write_bytes(content[:place])
        outcomes.append(outcome(tmp_path / name))
    assert outcomes[0] == "DataError"
    if not name.endswith("sv"):
        assert set(outcomes[1:]) == {"FileFormatError"}


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz"])
def test_damaged_files_give_a_table_or_a_clear_error(tmp_path: Path, name: str) -> None:
    write_table(TABLE, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(80):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 5)):
            damaged[place] = rng.integers(256)
        (tmp_path / name).write_bytes(bytes(damaged))
        outcome(tmp_path / name)


@given(st.binary(max_size=200))
@settings(max_examples=150)
def test_any_bytes_give_a_table_or_a_clear_error(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "anything.csv"
    path.write_bytes(content)
    outcome(path)


@given(st.text(st.sampled_from('ab1.,;\t|"\n\r -'), max_size=60))
@settings(max_examples=300)
def test_any_text_gives_a_table_or_a_clear_error(tmp_path_factory: Any, content: str) -> None:
    path = tmp_path_factory.getbasetemp() / "anything.txt"
    path.write_text(content, newline="")
    outcome(path)


LETTERS = st.characters(codec="utf-8", exclude_characters="\r\0")
CELL = st.one_of(st.none(), st.text(LETTERS, max_size=6))
ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.tuples(*[CELL] * width), min_size=1, max_size=9)
)


@given(ROWS)
@settings(max_examples=150)
def test_text_survives_writing_and_reading(
    tmp_path_factory: Any, rows: list[tuple[Any, ...]]
) -> None:
    schema = {f"name {i}": pl.String for i in range(len(rows[0]))}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    stripped = frame.with_columns(pl.all().str.strip_chars().replace("", None))
    for suffix in ("csv", "tsv.gz"):
        path = tmp_path_factory.getbasetemp() / f"text.{suffix}"
        write_table(frame, path, force=True)
        again = read_table(path, header=True, missing_tokens=("", "NA"))
        expected = stripped.with_columns(pl.all().replace("NA", None))
        assert again.height == expected.height
        for column in again.get_columns():
            # Text that is a number or a date throughout comes back as one.
            if column.dtype == pl.String:
                assert column.to_list() == expected[column.name].to_list()


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1))
def test_numbers_survive_writing_and_reading(tmp_path_factory: Any, numbers: list[Any]) -> None:
    frame = pl.DataFrame({"x": pl.Series(numbers, dtype=pl.Float64), "y": ["a"] * len(numbers)})
    path = tmp_path_factory.getbasetemp() / "numbers.csv"
    write_table(frame, path, force=True)
    again = read_table(path)
    if any(number is not None for number in numbers):
        assert again["x"].cast(pl.Float64).to_list() == numbers
