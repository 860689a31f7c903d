"""Data in pieces: what a pass over rows walks, in the same order every time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import Codes, FloatArray

__all__ = ["ArrayBlocks", "Block", "Blocks", "rows_per_block"]

# Measured: smaller blocks would stay in a core's own cache, but threads then meet too often.
_DOUBLES_IN_BLOCK = 1_048_576


@dataclass(frozen=True)
class Block:
    """Some rows, what is known of their classes, and how much each counts."""

    x: Any  # (n, d) rows, sparse rows, or what a family prepared of them
    known: Codes | None = None  # (n,) class codes, -1 where not known; None if none is
    weights: FloatArray | None = None  # (n,); None if every row counts once

    def __len__(self) -> int:
        # Sparse arrays have a shape but no length.
        return int(self.x.shape[0]) if hasattr(self.x, "shape") else len(self.x)


class Blocks(Protocol):
    """Blocks that can be walked again and again, always in the same order."""

    def __iter__(self) -> Iterator[Block]: ...


@dataclass(frozen=True)
class ArrayBlocks:
    """Slices of arrays in memory (or of memory maps)."""

    x: Any
    known: Codes | None = None
    weights: FloatArray | None = None
    rows: int = 4096

    def __iter__(self) -> Iterator[Block]:
        for start in range(0, self.x.shape[0], self.rows):
            part = slice(start, start + self.rows)
            yield Block(
                self.x[part],
                None if self.known is None else self.known[part],
                None if self.weights is None else self.weights[part],
            )

    def __len__(self) -> int:
        """How many blocks there are."""
        return -(-int(self.x.shape[0]) // self.rows)

    def reordered(self, order: NDArray[np.intp]) -> ArrayBlocks:
        """The same rows in another order."""
        return ArrayBlocks(
            self.x[order],
            None if self.known is None else self.known[order],
            None if self.weights is None else self.weights[order],
            self.rows,
        )


def rows_per_block(n_numbers: int) -> int:
    """How many rows to take at a time when each row needs ``n_numbers`` of working space."""
    return int(np.clip(_DOUBLES_IN_BLOCK // max(n_numbers, 1), 256, 8192))
