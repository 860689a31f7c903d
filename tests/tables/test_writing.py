from __future__ import annotations

import gzip
import io
import os
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fabula.core.errors import UsageError
from fabula.tables import read_table, write_table

FRAME = pl.DataFrame({"x": [1, None], "y": ["a,b", "c"]})


def test_the_name_says_the_format(tmp_path: Path) -> None:
    expected = {"t.csv": 'x,y\n1,"a,b"\n,c\n', "t.tsv": "x\ty\n1\ta,b\n\tc\n"}
    expected["T.TXT"] = expected["t.tsv"]
    for name, content in expected.items():
        write_table(FRAME, tmp_path / name)
        assert (tmp_path / name).read_text() == content
        write_table(FRAME, tmp_path / f"{name}.gz")
        assert gzip.decompress((tmp_path / f"{name}.gz").read_bytes()).decode() == content
    write_table(FRAME, tmp_path / "t.parquet")
    assert pl.read_parquet(tmp_path / "t.parquet").equals(FRAME)
    write_table(FRAME, tmp_path / "data", format="csv")
    assert (tmp_path / "data").read_text() == expected["t.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "T.TXT", "T.TXT.gz", "data", "t.csv", "t.csv.gz", "t.parquet", "t.tsv", "t.tsv.gz",
    ]  # fmt: skip


def test_tables_of_every_kind_are_written(tmp_path: Path) -> None:
    for position, frame in enumerate((FRAME.to_pandas(), FRAME.to_arrow(), FRAME)):
        write_table(frame, tmp_path / f"{position}.csv")
        assert read_table(tmp_path / f"{position}.csv").equals(FRAME)
    write_table(np.array([[1.5, 2.0]]), tmp_path / "array.csv")
    assert (tmp_path / "array.csv").read_text() == "0,1\n1.5,2.0\n"
    enum = pl.DataFrame({"x": pl.Series(["b", None], dtype=pl.Enum(["a", "b"]))})
    write_table(enum.to_pandas(), tmp_path / "levels.csv")
    assert (tmp_path / "levels.csv").read_text() == "x\nb\nNA\n"


def test_the_same_table_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.csv.gz", "b.csv.gz"):
        write_table(FRAME, tmp_path / name)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


def test_an_existing_file_is_not_replaced_by_accident(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"t\.csv exists: state force"):
        write_table(FRAME, path)
    assert path.read_text() == "mine"
    path.chmod(0o600)
    write_table(FRAME, path, force=True)
    assert path.read_text().startswith("x,y")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_table(FRAME, tmp_path / "new.csv")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new.csv").stat().st_mode) == 0o666 & ~mask


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    write_table(FRAME, link, force=True)
    assert link.is_symlink()
    assert target.read_text().startswith("x,y")


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("mine")

    def fail(self: Any, stream: Any, **options: Any) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pl.DataFrame, "write_csv", fail)
    with pytest.raises(KeyboardInterrupt):
        write_table(FRAME, path, force=True)
    assert path.read_text() == "mine"
    assert [other.name for other in tmp_path.iterdir()] == ["t.csv"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        write_table(FRAME, tmp_path / "no" / "t.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        write_table(FRAME, tmp_path / "folder.csv", force=True)
    for name, message in [
        ("t.xlsx", "says .xlsx"),
        ("t", "says nothing"),
        ("t.parquet.gz", "leave .gz away"),
        ("t.cvs", r"Did you mean '\.csv'"),
    ]:
        with pytest.raises(UsageError, match=message):
            write_table(FRAME, tmp_path / name)
    with pytest.raises(UsageError, match="got builtins"):
        write_table(3, tmp_path / "t.csv")


def test_devices_are_written_to(tmp_path: Path) -> None:
    write_table(FRAME, "/dev/null", format="csv")


def test_pipes_get_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for format, start in [(None, b"x,y\n"), ("tsv", b"x\ty\n"), ("parquet", b"PAR1")]:
        pipe = io.TextIOWrapper(io.BytesIO())
        monkeypatch.setattr(sys, "stdout", pipe)
        write_table(FRAME, "-", format=format)
        assert pipe.buffer.getvalue().startswith(start)  # type: ignore[attr-defined]
