"""Tables written to files: whole or not at all, and never over a file by accident."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from fabula.core.errors import UsageError
from fabula.core.files import whole_file
from fabula.tables.frames import as_table
from fabula.tables.messages import did_you_mean

if TYPE_CHECKING:
    import polars as pl

__all__ = ["write_table"]

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}


def write_table(
    frame: Any, path: str | os.PathLike[str], *, force: bool = False, format: str | None = None
) -> None:
    """Write a table as CSV, TSV or Parquet.

    The format is told by the ending of the name: ``.csv``, ``.tsv`` (tab), ``.txt`` (tab),
    ``.parquet``; ``.gz`` after the first three compresses. Missing cells are empty. The file is
    written beside its place and moved there when it is whole.

    Parameters
    ----------
    frame
        polars, pandas or pyarrow frame, or two-dimensional array (columns are named 0, 1, …).
    path
        A file, or ``"-"`` for standard output.
    force
        Whether an existing file may be replaced.
    format
        "csv", "tsv" or "parquet", where the name does not say it; CSV for standard output.

    Raises
    ------
    UsageError
        The file exists, the format is unknown, or the folder does not exist or may not be written.

    Examples
    --------
    >>> import polars as pl
    >>> write_table(pl.DataFrame({"x": [1, None], "y": ["a", "b"]}), "table.csv")
    >>> print(Path("table.csv").read_text())
    x,y
    1,a
    ,b
    """
    table = _as_polars(frame)
    target = os.fspath(path)
    suffix, is_gzip = _format_of(target, format)
    if target == "-":
        # A pipe is no place to return to: everything is made before the first byte goes out.
        buffer = io.BytesIO()
        _write(table, buffer, suffix, False)
        sys.stdout.flush()
        left = buffer.getbuffer()
        while left:  # unbuffered (PYTHONUNBUFFERED), one call may write a part only
            left = left[sys.stdout.buffer.write(left) :]
        sys.stdout.buffer.flush()
        return
    place = Path(target)
    try:
        if place.exists() and not stat.S_ISREG(place.stat().st_mode):
            if place.is_dir():
                raise UsageError(f"{target} is a folder: expected a file.")
            with place.open("wb") as stream:  # a device or a named pipe
                _write(table, stream, suffix, is_gzip)
            return
        _write_whole(table, place, suffix, is_gzip, force)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror or error}.") from None


def _write_whole(table: pl.DataFrame, place: Path, suffix: str, is_gzip: bool, force: bool) -> None:
    if place.exists() and not force:
        raise UsageError(f"{place} exists: state force to replace it.")
    mode = stat.S_IMODE(place.stat().st_mode) if place.exists() else None
    try:
        with whole_file(place, force=force) as stream:
            _write(table, stream, suffix, is_gzip)
            if mode is not None:
                os.chmod(stream.name, mode)  # who may read a table stays as it was
    except FileExistsError:
        raise UsageError(f"{place} exists: state force to replace it.") from None


def _write(table: pl.DataFrame, stream: BinaryIO | io.BytesIO, suffix: str, is_gzip: bool) -> None:
    if suffix == ".parquet":
        table.write_parquet(stream)
        return
    # An empty line would be a missing cell to some readers and no row to others.
    missing = "NA" if table.width == 1 else ""
    options: dict[str, Any] = {"separator": _SEPARATORS[suffix], "null_value": missing}
    if is_gzip:
        # Without a time stamp, the same table is the same file.
        with gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as packed:
            table.write_csv(packed, **options)  # type: ignore[call-overload]
    else:
        table.write_csv(stream, **options)


def _format_of(target: str, format: str | None) -> tuple[str, bool]:
    """Ending that says the format, and whether to compress."""
    suffixes = [suffix.lower() for suffix in Path(target).suffixes]
    is_gzip = bool(suffixes) and suffixes[-1] == ".gz"
    if is_gzip:
        suffixes.pop()
    if format is not None:
        suffix = f".{format.lower()}"
    elif target == "-":
        suffix = ".csv"
    else:
        suffix = suffixes[-1] if suffixes else ""
    known = [*_SEPARATORS, ".parquet"]
    if suffix not in known:
        raise UsageError(
            f"What format is {target!r} to have? Its name says {suffix or 'nothing'}. "
            f"{did_you_mean(suffix, known)}"
        )
    if is_gzip and suffix == ".parquet":
        raise UsageError("Parquet is compressed by itself: leave .gz away.")
    return suffix, is_gzip


def _as_polars(frame: Any) -> pl.DataFrame:
    import polars as pl

    table = as_table(frame)
    if table.container == "polars":
        return table.native  # type: ignore[no-any-return]
    columns = [table.column(name).plain().values.alias(str(name)) for name in table.names]
    return pl.DataFrame(columns)
