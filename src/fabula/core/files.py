"""Output files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file when the block ends, and is nowhere if it fails.

    A link is followed: what is replaced is the file it names, not the link.

    Raises
    ------
    FileExistsError
        A file has appeared at ``path`` in the meantime, and ``force`` is false. It is not touched.
    OSError
        The operating system refused; no part of the file is left.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        _move(part, target, force=force)
    finally:
        part.unlink(missing_ok=True)


def _move(part: Path, target: Path, *, force: bool) -> None:
    if not force:
        try:
            # Unlike a rename, a link fails where a file has appeared since we looked.
            os.link(part, target)
            return
        except FileExistsError:
            raise
        except OSError:
            pass  # a file system without hard links: the rename below, after one more look
        if os.path.lexists(target):
            raise FileExistsError(target)
    os.replace(part, target)
