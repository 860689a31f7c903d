"""Pairs of sequences of letters, their blocks, and the paths that align them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Block, Sequences
from fabula.core.errors import UsageError

__all__ = ["Letters", "PairBlocks", "PairPath", "Pairs", "path_of"]

Letters = NDArray[np.uint8]


@dataclass(frozen=True)
class Pairs:
    """Pairs of sequences: x[i] goes with y[i]. Each letter is its code; A means unknown."""

    x: Sequences
    y: Sequences

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise UsageError(
                f"x and y must hold as many sequences as each other, not {len(self.x)} and "
                f"{len(self.y)}: sequence i of x goes with sequence i of y."
            )

    @classmethod
    def of(cls, xs: Sequence[ArrayLike], ys: Sequence[ArrayLike]) -> Pairs:
        """Pairs from two lists of arrays of letter codes."""
        return cls(_stacked(xs), _stacked(ys))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, which: slice | NDArray[np.intp]) -> Pairs:
        return Pairs(self.x[which], self.y[which])

    def pair(self, i: int) -> tuple[Letters, Letters]:
        """The two sequences of pair i."""
        return (
            self.x.steps[self.x.offsets[i] : self.x.offsets[i + 1]],
            self.y.steps[self.y.offsets[i] : self.y.offsets[i + 1]],
        )

    @cached_property
    def cells(self) -> NDArray[np.intp]:
        """Size (n,) of the grid of each pair: the product of the two lengths."""
        return np.asarray(self.x.lengths * self.y.lengths)


@dataclass(frozen=True)
class PairPath:
    """One alignment: its states column by column, and where in x and y it begins.

    State 0 takes a letter of both, an insert state one of y, a delete state one of x. Letters
    before the beginning and after the last column belong to free ends.
    """

    states: NDArray[np.uint8]
    n_gaps: int = 1  # G: states 1 … G insert, G + 1 … 2G delete
    x_start: int = 0
    y_start: int = 0

    @property
    def x_end(self) -> int:
        """One past the last letter of x in the alignment."""
        return self.x_start + int((self.takes_x).sum())

    @property
    def y_end(self) -> int:
        """One past the last letter of y in the alignment."""
        return self.y_start + int((self.takes_y).sum())

    @property
    def takes_x(self) -> NDArray[np.bool_]:
        """Which columns take a letter of x."""
        return np.asarray((self.states == 0) | (self.states > self.n_gaps))

    @property
    def takes_y(self) -> NDArray[np.bool_]:
        """Which columns take a letter of y."""
        return np.asarray(self.states <= self.n_gaps)

    def matched(self) -> NDArray[np.intp]:
        """Places (k, 2), 0-based, of the letters of x and of y that are matched."""
        i = self.x_start + np.cumsum(self.takes_x) - 1
        j = self.y_start + np.cumsum(self.takes_y) - 1
        both = self.states == 0
        return np.column_stack([i[both], j[both]]).astype(np.intp)


@dataclass(frozen=True)
class PairBlocks:
    """Pairs, as many at a time as have about so many cells; a larger one comes alone."""

    x: Pairs
    weights: FloatArray | None = None  # (n,) how much each pair counts
    cells: int = 4_000_000

    def __iter__(self) -> Iterator[Block]:
        total = np.concatenate([[0], np.cumsum(self.x.cells)])
        first = 0
        while first < len(self.x):
            last = int(np.searchsorted(total, total[first] + self.cells, side="right")) - 1
            part = slice(first, max(last, first + 1))
            yield Block(self.x[part], None, None if self.weights is None else self.weights[part])
            first = part.stop


def _stacked(sequences: Sequence[ArrayLike]) -> Sequences:
    arrays = [np.asarray(sequence, dtype=np.uint8).ravel() for sequence in sequences]
    offsets = np.concatenate([[0], np.cumsum([len(a) for a in arrays])]).astype(np.intp)
    steps = np.concatenate(arrays) if arrays else np.empty(0, dtype=np.uint8)
    return Sequences(steps, offsets)


def path_of(matched: NDArray[np.intp], n: int, m: int, ends: str, n_gaps: int = 1) -> PairPath:
    """The alignment of n with m letters that has these matches (k, 2), in the first gap states.

    In each gap the letters of x come before those of y. Letters that may lie in free ends do:
    where only one sequence may have them (*overlap*), the one that has more.
    """
    places = np.vstack([matched, [(n, m)]]).astype(np.intp)
    runs = np.diff(places, axis=0, prepend=[(-1, -1)]) - 1  # letters of x and y before each match
    start = _free(runs[0], ends)
    runs[0] -= start
    if len(matched):
        runs[-1] -= _free(runs[-1], ends)
    run = np.array([n_gaps + 1, 1, 0], dtype=np.uint8)
    states = np.repeat(
        np.tile(run, len(runs)), np.column_stack([runs, np.ones(len(runs), dtype=np.intp)]).ravel()
    )
    return PairPath(states[:-1], n_gaps, int(start[0]), int(start[1]))


def _free(run: NDArray[np.intp], ends: str) -> NDArray[np.intp]:
    """How many of the letters of x and of y at one end lie outside the alignment."""
    if ends == "overlap":
        return np.asarray(run * (run == run.max()) * [True, run[0] < run[1]])
    allowed = {"global": (0, 0), "read": (1, 0), "local": (1, 1)}[ends]
    return np.asarray(run * np.array(allowed))
