"""The zip around a story: written whole or not at all, read as if an enemy had made it.

Members are stored, not compressed: floating-point numbers hardly compress, the bytes do not depend
on the version of a compressor, and a file can then never unfold into more than its own size.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fabula.core.errors import FabulaError, FileFormatError, UsageError
from fabula.core.files import whole_file

if TYPE_CHECKING:
    from zipfile import ZipInfo

__all__ = ["check_writable", "read_members", "write_members"]

_STAMP = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say: the same story gives the same bytes
_MAX_DIRECTORY_BYTES = 4096
_REPAIR = "copy or download it again, or save the model anew"

# What people try to open by mistake: first bytes and what they mean.
_OTHERS = (
    (b"\x80", "a Python pickle, which fabula never opens"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PAR1", "a Parquet file: a table, not a model"),
    (b"{", "a JSON file"),
)


def check_writable(path: Path, *, force: bool) -> None:
    """Refuse a place that cannot be written to, before any work is done.

    Raises
    ------
    UsageError
        The folder does not exist, ``path`` is a folder, or a file is there and ``force`` is not.
    """
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder; give the name of a file in it")
    if not os.path.isdir(path.parent):
        raise UsageError(f"the folder {path.parent} does not exist; create it first")
    if os.path.lexists(path) and not force:
        raise UsageError(f"{path} exists already; give another name, or force to replace it")


def write_members(path: Path, members: Mapping[str, bytes], *, force: bool) -> None:
    """Write a zip of these members, so that ``path`` is complete or unchanged.

    Raises
    ------
    UsageError
        As :func:`check_writable`, also when the file appeared in the meantime.
    FabulaError
        The operating system refused: no permission, no space.
    """
    check_writable(path, force=force)
    try:
        with whole_file(path, force=force) as stream:
            _write_zip(stream, members)
    except FileExistsError as error:
        message = f"{path} appeared while the model was being saved; it was not touched"
        raise UsageError(message) from error
    except OSError as error:
        message = f"{path} could not be written ({error.strerror or error}); no part of it is left"
        raise FabulaError(message) from error


def read_members(path: Path, names: Sequence[str], limits: Mapping[str, int]) -> dict[str, bytes]:
    """Read some members of a zip that must contain exactly the expected ones.

    Parameters
    ----------
    path
        File to read.
    names
        Members to read; the others are left where they are.
    limits
        Largest size in bytes of each member that the file must have; it may have no others.

    Raises
    ------
    UsageError
        There is no such file, or it is not a regular file, or it may not be read.
    FileFormatError
        Anything about the zip is not as :func:`write_members` makes it.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise UsageError(f"{path} is not a file, but a {_kind(mode)}")
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            _check_frame(path, stream, size)
            return _read_zip(path, stream, size, names, limits)
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error})") from error


def _write_zip(stream: IO[bytes], members: Mapping[str, bytes]) -> None:
    import zipfile

    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, _STAMP)
            info.create_system = 3  # Unix, wherever this runs
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)


def _check_frame(path: Path, stream: IO[bytes], size: int) -> None:
    """Check the first and the last bytes, before zipfile believes any number in between."""
    stream.seek(0)
    start = stream.read(4)
    if size == 0:
        raise FileFormatError(f"{path} is empty (0 bytes)")
    if start != b"PK\x03\x04"[: len(start)]:
        guess = next((what for magic, what in _OTHERS if start.startswith(magic)), "something else")
        raise FileFormatError(f"{path} is not a fabula file: it begins like {guess}")
    stream.seek(max(0, size - 98))
    tail = stream.read(98)
    if tail[-22:-18] != b"PK\x05\x06":
        raise FileFormatError(
            f"{path}: cut or damaged: byte {size:,}, its last, is not the end of a zip; {_REPAIR}"
        )
    # Sizes over 4 GiB stand in a second record (zip64), which then counts instead.
    counted = [struct.unpack("<HHL", tail[-14:-6])]
    if len(tail) == 98 and tail[-42:-38] == b"PK\x06\x07":
        counted.append(struct.unpack("<QQQ", tail[24:48]))
    if any(
        max(here, total) > 2 or length > _MAX_DIRECTORY_BYTES for here, total, length in counted
    ):
        raise FileFormatError(f"{path}: its table of contents lists more than a fabula file has")


def _read_zip(
    path: Path,
    stream: IO[bytes],
    size: int,
    names: Sequence[str],
    limits: Mapping[str, int],
) -> dict[str, bytes]:
    import zipfile

    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            _check_members(path, members, size, limits)
            return {name: archive.read(name) for name in names}
    except FileFormatError:
        raise
    except Exception as error:
        # zipfile raises BadZipFile, struct.error, NotImplementedError, RuntimeError, EOFError, …
        raise FileFormatError(f"{path}: damaged ({error}); {_REPAIR}") from error


def _check_members(
    path: Path,
    members: Sequence[ZipInfo],
    size: int,
    limits: Mapping[str, int],
) -> None:
    found = [member.orig_filename for member in members]
    if sorted(found) != sorted(limits):
        raise FileFormatError(
            f"{path}: contains {', '.join(map(repr, found)) or 'nothing'}; a fabula file contains "
            f"exactly {' and '.join(map(repr, limits))}"
        )
    for member in members:
        where = f"{path}: {member.filename}"
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise FileFormatError(f"{where} is not a plain file inside the zip")
        if member.flag_bits & 0x1:
            raise FileFormatError(f"{where} is encrypted")
        stored = member.compress_type == 0
        if not stored or member.compress_size != member.file_size:
            raise FileFormatError(
                f"{where} is compressed ({member.compress_size:,} bytes that claim to be "
                f"{member.file_size:,}); fabula stores without compression (zip -0)"
            )
        if member.file_size > limits[member.filename]:
            raise FileFormatError(
                f"{where} has {member.file_size:,} bytes, over the limit of "
                f"{limits[member.filename]:,}"
            )
    # Members that overlap would together be larger than the file.
    if min(member.header_offset for member in members) != 0 or (
        sum(member.file_size for member in members) > size
    ):
        raise FileFormatError(f"{path}: its members do not fit its {size:,} bytes; {_REPAIR}")


def _kind(mode: int) -> str:
    return "folder" if stat.S_ISDIR(mode) else "device or pipe"
