"""Files and pipes as streams of text: found, opened, decompressed, decoded, or a clear error."""

from __future__ import annotations

import codecs
import contextlib
import difflib
import gzip
import io
import os
import sys
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fabula.core.errors import DataError, FileFormatError, UsageError

__all__ = ["CHUNK_BYTES", "Source", "find_source"]

CHUNK_BYTES = 4 * 2**20

_FOREIGN = {
    b"PK\x03\x04": "a zip archive or a spreadsheet (.xlsx)",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (.xls)",
    b"ARROW1": "an Arrow or Feather file",
    b"\x93NUMPY": "a NumPy file",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "an SQLite database",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"%PDF": "a PDF file",
}


@dataclass(frozen=True)
class Source:
    """Bytes that can be read from the beginning as often as needed.

    Parameters
    ----------
    name
        What messages call it.
    path
        Where it is; None for a pipe, which has been read into ``content``.
    content
        The bytes of a pipe.
    is_gzip, is_parquet
        What its first bytes say.
    """

    name: str
    path: Path | None
    content: bytes = b""
    is_gzip: bool = False
    is_parquet: bool = False

    @property
    def suffix(self) -> str:
        """Ending of the name in lower case, without .gz: ".csv"."""
        parts = [part.lower() for part in Path(self.name).suffixes]
        return next((part for part in reversed(parts) if part != ".gz"), "")

    def stamp(self) -> tuple[int, int] | None:
        """Size and time of the last change, to notice a file that changes between two readings."""
        if self.path is None:
            return None
        try:
            state = self.path.stat()
        except OSError as error:
            raise _unreadable(self.name, error) from None
        return state.st_size, state.st_mtime_ns

    def chunks(self, encoding: str = "utf-8") -> Iterator[bytes]:
        """The text as UTF-8 with line feeds between lines, about 4 MiB at a time.

        Raises
        ------
        FileFormatError
            Compressed data are cut or damaged, or the bytes are no text.
        DataError
            The bytes are not text in ``encoding``; the message names the byte.
        """
        with contextlib.closing(_raw_chunks(self)) as pieces:
            yield from _with_plain_line_ends(_decoded(pieces, self.name, encoding))


def find_source(path: str | os.PathLike[str]) -> Source:
    """A file, or standard input for ``"-"``.

    Raises
    ------
    UsageError
        There is no such file, or it is a folder or may not be read.
    DataError
        It is empty.
    FileFormatError
        Its first bytes are those of a format that is not read here.
    """
    if os.fspath(path) == "-":
        content = sys.stdin.buffer.read()
        source = Source("standard input", None, content)
        head = content[:16]
    else:
        file = Path(path)
        source = Source(str(path), file)
        try:
            with file.open("rb") as stream:
                head = stream.read(16)
        except OSError as error:
            raise _unreadable(str(path), error) from None
    if not head:
        raise DataError(f"{source.name} is empty: expected a table with at least one line.")
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise FileFormatError(
                f"{source.name} is {what}: expected CSV or TSV (gzip too) or Parquet. Export the "
                "table in one of these."
            )
    is_gzip, is_parquet = head.startswith(b"\x1f\x8b"), head.startswith(b"PAR1")
    for suffix, fits in ((".gz", is_gzip), (".parquet", is_parquet)):
        if source.name.lower().endswith(suffix) and not fits:
            raise FileFormatError(
                f"{source.name} does not begin as {suffix} files do (its first bytes are "
                f"{head[:4]!r}): it is damaged, or its name is wrong."
            )
    return Source(source.name, source.path, source.content, is_gzip, is_parquet)


def _unreadable(name: str, error: OSError) -> UsageError:
    if isinstance(error, FileNotFoundError):
        return UsageError(f"There is no file {name}. {_near(Path(name))}".rstrip())
    if isinstance(error, IsADirectoryError):
        return UsageError(f"{name} is a folder: expected a file.")
    return UsageError(f"{name} cannot be read: {error.strerror or error}.")


def _near(path: Path) -> str:
    """A sentence about files with similar names beside the one that does not exist."""
    try:
        beside = [other.name for other in path.parent.iterdir()]
    except OSError:
        return f"There is no folder {path.parent} either."
    near = difflib.get_close_matches(path.name, beside, n=3)
    return (
        f"Did you mean {' or '.join(str(path.with_name(name)) for name in near)}?" if near else ""
    )


def _raw_chunks(source: Source) -> Generator[bytes]:
    """Decompressed bytes."""
    n_bytes = 0
    try:
        opened: BinaryIO = (
            io.BytesIO(source.content) if source.path is None else source.path.open("rb")
        )
        with opened:
            stream = gzip.GzipFile(fileobj=opened) if source.is_gzip else opened
            while chunk := stream.read(CHUNK_BYTES):
                n_bytes += len(chunk)
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileFormatError(
            f"{source.name}: the compressed data are cut or damaged after {n_bytes:,} bytes of "
            f"text ({error}). Fetch or compress the file again."
        ) from None
    except OSError as error:
        raise _unreadable(source.name, error) from None


def _decoded(pieces: Iterator[bytes], name: str, encoding: str) -> Iterator[bytes]:
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError:
        raise UsageError(
            f"There is no encoding {encoding!r}; usual ones are utf-8, latin-1."
        ) from None
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    n_bytes = n_lines = 0
    for position, piece in enumerate(_and_end(pieces)):
        if position == 0 and is_utf8:
            piece, n_bytes = _without_mark(piece, name)
        pending = decoder.getstate()[0]
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            # The decoder keeps the first bytes of a character that the last piece cut in two.
            joined = pending + piece
            at = n_bytes - len(pending) + error.start
            line = n_lines + joined[: error.start].count(b"\n") + 1
            raise DataError(
                f"{name}, line {line}: byte {at + 1:,} of the text (0x{joined[error.start]:02x}) "
                f"is not {encoding}. State the encoding that it was written in: latin-1 and cp1252 "
                "are usual."
            ) from None
        if "\0" in text:
            raise FileFormatError(
                f"{name} is no text: byte {n_bytes + piece.find(0) + 1:,} is zero. Expected CSV or "
                "TSV (gzip too) or Parquet."
            )
        n_bytes += len(piece)
        n_lines += piece.count(b"\n")
        if text:
            yield piece if is_utf8 else text.encode("utf-8")


def _and_end(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, and an empty one, at which a decoder notices a cut character."""
    yield from pieces
    yield b""


def _without_mark(piece: bytes, name: str) -> tuple[bytes, int]:
    """The first piece without the mark that some programs begin UTF-8 with."""
    if piece.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{name} is encoded in UTF-16: state encoding='utf-16'.")
    return (piece[3:], 3) if piece.startswith(codecs.BOM_UTF8) else (piece, 0)


def _with_plain_line_ends(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines of old Macintosh files end with a return alone; a return before a feed is left."""
    is_old = None
    for piece in pieces:
        if is_old is None:
            is_old = b"\r" in piece and b"\n" not in piece
        yield piece.replace(b"\r", b"\n") if is_old else piece
