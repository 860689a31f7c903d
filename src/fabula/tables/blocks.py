"""Tables that come in one piece or in several: the same loop for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from fabula.core.arrays import FloatArray, SparseRows
from fabula.tables.frames import Table, as_table

__all__ = ["Blocks", "EncodedBlocks", "blocks_of"]


@runtime_checkable
class Blocks(Protocol):
    """A table in pieces, such as `scan_table` returns; each ``iter()`` begins again."""

    n_rows: int | None
    block_rows: int

    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True)
class EncodedBlocks:
    """Blocks of encoded rows, in order; each ``iter()`` begins again.

    Parameters
    ----------
    encode
        Takes a block and the number of rows before it.
    data
        The table, in blocks or in one piece.
    n_rows
        Rows of the whole table, where that is known.
    """

    encode: Callable[[Any, int], FloatArray | SparseRows]
    data: Any
    n_rows: int | None

    def __iter__(self) -> Iterator[FloatArray | SparseRows]:
        for block in blocks_of(self.data):
            yield self.encode(block, block.first_row)


def blocks_of(data: Any) -> Iterator[Table]:
    """The pieces of a table, in order, each knowing how many rows come before it."""
    if not isinstance(data, Blocks):
        yield as_table(data)
        return
    first_row = 0
    for frame in data:
        table = as_table(frame, first_row)
        first_row += table.n_rows
        yield table
