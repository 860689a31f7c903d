"""Rows from a file that may be larger than memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import Codes
from fabula.core.blocks import Block
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.target import read_target
from fabula.tables import scan_table
from fabula.tables.encoding import TableEncoding

__all__ = ["ROWS_TO_SAMPLE", "FileBlocks", "open_table", "sample_rows"]


# Rows that tell the scale of every column and where components begin.
ROWS_TO_SAMPLE = 50_000


@dataclass(frozen=True)
class FileBlocks:
    """The rows of a file, encoded block by block each time they are walked."""

    scan: Any
    encoding: TableEncoding
    rows: int
    target: str | None = None
    codes: dict[Any, int] | None = None  # value of the target → class, -1 where it is no label

    def __iter__(self) -> Iterator[Block]:
        first_row = 0
        for frame in self.scan:
            x = self.encoding.encode(frame, first_row)
            known = None
            if self.target is not None:
                known = self._codes(frame[self.target])
            for start in range(0, int(x.shape[0]), self.rows):
                part = slice(start, start + self.rows)
                yield Block(x[part], None if known is None else known[part])
            first_row += int(x.shape[0])

    def has_holes(self, model: Any) -> bool:
        """Whether any row lacks its label, or a cell that the model cannot do without."""
        for block in self:
            if block.known is not None and (block.known < 0).any():
                return True
            if model._needs_em(block.x):
                return True
        return False

    def _codes(self, labels: Any) -> Codes:
        assert self.codes is not None
        return np.array([self.codes.get(value, -1) for value in labels.to_list()], dtype=np.intp)


def open_table(
    path: str | os.PathLike[str], target: str | None, kinds: Any, block_rows: int
) -> tuple[Any, TableEncoding, tuple[np.ndarray, dict[Any, int]] | None]:
    """Scan a file for its columns: the scan, their encoding, and the classes with their codes."""
    scan = scan_table(path, block_rows=block_rows)
    whole = TableEncoding.fit(scan, kinds=dict(kinds) if kinds else None)
    if target is None:
        return scan, whole, None
    if target not in whole.schema.names:
        from fabula.tables.messages import unknown_column

        raise UsageError(unknown_column(target, whole.schema.names))
    values: set[Any] = set()
    for frame in scan:
        values.update(frame[target].unique().to_list())
        if len(values) > 1000:
            raise DataError(
                f"Column {target!r} has more than 1,000 different values, so it does not say which "
                "class a row belongs to. Choose a target with few classes."
            )
    listed = sorted(values, key=lambda value: (str(type(value)), str(value)))
    labels, codes = read_target(np.array([*listed, None], dtype=object)[:-1], len(listed))
    rest = [name for name in whole.schema.names if name != target]
    return scan, whole.select(rest), (labels, dict(zip(listed, codes.tolist(), strict=True)))


def sample_rows(
    blocks: FileBlocks, n_rows: int, rng: np.random.Generator
) -> tuple[Any, Codes | None]:
    """``n_rows`` rows of the file drawn at random, in their order, in one pass."""
    total = blocks.scan.n_rows
    chosen = np.arange(total)
    if total > n_rows:
        chosen = np.sort(rng.choice(total, size=n_rows, replace=False))
    rows: list[Any] = []
    known: list[Codes] = []
    first = 0
    for block in blocks:
        low, high = np.searchsorted(chosen, [first, first + len(block)])
        mine = chosen[low:high] - first
        rows.append(block.x[mine])
        if block.known is not None:
            known.append(block.known[mine])
        first += len(block)
    if first == 0:
        raise DataError("The file has no rows to learn from.")
    if hasattr(rows[0], "indptr"):
        from scipy.sparse import csr_array, vstack

        stacked: Any = csr_array(vstack(rows))
    else:
        stacked = np.concatenate(rows)
    return stacked, np.concatenate(known) if known else None
