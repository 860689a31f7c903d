"""Data in pieces: what a pass over rows walks, in the same order every time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import Codes, FloatArray

__all__ = ["ArrayBlocks", "Block", "Blocks", "SequenceBlocks", "Sequences", "rows_per_block"]

# Measured: smaller blocks would stay in a core's own cache, but threads then meet too often.
_DOUBLES_IN_BLOCK = 1_048_576


@dataclass(frozen=True)
class Block:
    """Some rows, what is known of their classes, and how much each counts."""

    x: Any  # (n, d) rows, sparse rows, or what a family prepared of them
    known: Codes | None = None  # (n,) class codes, -1 where not known; None if none is
    weights: FloatArray | None = None  # (n,); None if every row counts once

    def __len__(self) -> int:
        # Sparse arrays have a shape but no length; sequences have a length but no shape.
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


@dataclass(frozen=True)
class Sequences:
    """Ragged sequences, their steps stacked: what a row is to a table, one sequence is here.

    Parameters
    ----------
    steps : (N, d) array
        The steps of all sequences, one sequence after another, or what a family prepared of them.
    offsets : (n + 1,) array
        Sequence i is ``steps[offsets[i]:offsets[i + 1]]``.
    states : (N,) array, optional
        What is known of the hidden state of each step; -1 where nothing is.
    """

    steps: Any
    offsets: NDArray[np.intp]
    states: Codes | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def dtype(self) -> Any:
        """In which precision the steps are held; None where a family prepared them."""
        return getattr(self.steps, "dtype", None)

    @property
    def lengths(self) -> NDArray[np.intp]:
        """Number of steps of each sequence, (n,)."""
        return np.diff(self.offsets)

    @property
    def n_steps(self) -> int:
        """N, the number of steps of all sequences together."""
        return int(self.offsets[-1] - self.offsets[0])

    def __getitem__(self, which: slice | NDArray[np.intp]) -> Sequences:
        """Some of the sequences, in the order asked for; neighbours share memory with these."""
        if isinstance(which, slice):
            first, last, step = which.indices(len(self))
            if step == 1:
                last = max(first, last)
                low, high = self.offsets[first], self.offsets[last]
                return Sequences(
                    self.steps[low:high],
                    self.offsets[first : last + 1] - low,
                    None if self.states is None else self.states[low:high],
                )
            which = np.arange(first, last, step, dtype=np.intp)
        chosen = np.arange(len(self))[which]
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.intp)
        # Place of each step: where its sequence begins, and how far into it the step is.
        places = np.repeat(self.offsets[chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
        states = None if self.states is None else self.states[places]
        return Sequences(self.steps[places], offsets, states)

    def with_steps(self, steps: Any) -> Sequences:
        """The same sequences with something else in place of each step."""
        return replace(self, steps=steps)


@dataclass(frozen=True)
class SequenceBlocks:
    """Whole sequences, as many at a time as hold about so many steps; a longer one comes alone."""

    x: Sequences
    known: Codes | None = None  # (n,) class of each sequence
    weights: FloatArray | None = None  # (n,) how much each sequence counts
    steps: int = 8192

    def __iter__(self) -> Iterator[Block]:
        first = 0
        while first < len(self.x):
            full = self.x.offsets[first] + self.steps
            last = int(np.searchsorted(self.x.offsets, full, side="right")) - 1
            last = max(last, first + 1)
            part = slice(first, last)
            yield Block(
                self.x[part],
                None if self.known is None else self.known[part],
                None if self.weights is None else self.weights[part],
            )
            first = last


def rows_per_block(n_numbers: int) -> int:
    """How many rows to take at a time when each row needs ``n_numbers`` of working space."""
    return int(np.clip(_DOUBLES_IN_BLOCK // max(n_numbers, 1), 256, 8192))
