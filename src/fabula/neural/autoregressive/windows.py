"""Sequences of any length as windows of a few lengths, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences

__all__ = ["Batch", "LastWindow", "Windows", "boundary_of", "log_shares", "window_start"]

_SHORTEST = 16

SymbolCodes = NDArray[np.int64]
"""Codes as networks take them."""


def boundary_of(n_symbols: int) -> int:
    """The code that stands between two sequences; the one before it is a symbol not known."""
    return n_symbols + 1


def window_start(length: int, context: int) -> int:
    """Where the window begins in which the symbol after ``length`` others is told."""
    half = context // 2
    return 0 if length < context else (length // half - 1) * half


def log_shares(scores: jax.Array, n_symbols: int, ends: bool) -> jax.Array:
    """Log probabilities (…, C + 2) of what may follow; only an end, and known symbols, may."""
    possible = np.ones(n_symbols + 2, dtype=bool)
    possible[n_symbols] = False
    possible[-1] = ends
    return jax.nn.log_softmax(jnp.where(possible, scores, -jnp.inf), axis=-1)


@dataclass(frozen=True)
class Batch:
    """Windows of one length, with what they tell."""

    inputs: SymbolCodes  # (n, T)
    targets: SymbolCodes  # (n, T)
    counted: NDArray[np.bool_]  # (n, T): what is not told by another window, and is no padding
    places: NDArray[np.intp]  # where these stand among all targets
    which: NDArray[np.intp]  # (n,) the sequence of each window


@dataclass(frozen=True)
class LastWindow:
    """The window that tells what comes next; its last input is at ``last``."""

    inputs: SymbolCodes
    last: int


@dataclass(frozen=True)
class Windows:
    """Where each window begins and ends, and which of its targets it is to tell.

    Parameters
    ----------
    inputs, targets : (M,) arrays
        What goes in at each place of all sequences, and what is to come out.
    offsets : (n + 1,) array
        Targets of sequence i are those from ``offsets[i]`` to ``offsets[i + 1]``.
    starts, stops, firsts : (w,) arrays
        A window goes from ``starts`` to ``stops`` and tells what stands from ``firsts`` on.
    which : (w,) array
        Its sequence.
    unknown : int
        What goes in first where a window begins within a sequence.
    ends : bool
    """

    inputs: SymbolCodes
    targets: SymbolCodes
    offsets: NDArray[np.intp]
    starts: NDArray[np.intp]
    stops: NDArray[np.intp]
    firsts: NDArray[np.intp]
    which: NDArray[np.intp]
    unknown: int
    ends: bool

    @classmethod
    def of(cls, x: Sequences, n_symbols: int, ends: bool, context: int) -> Windows:
        """Windows of whole sequences of codes (N,)."""
        inputs, targets, offsets = _shifted(x, n_symbols, ends)
        half = context // 2
        lengths = np.diff(offsets)
        extra = np.maximum(-(-(lengths - context) // half), 0)
        n_windows = np.where(lengths > 0, 1 + extra, 0)
        which = np.repeat(np.arange(len(x)), n_windows)
        number = np.arange(len(which)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
        starts = offsets[which] + number * half
        stops = np.minimum(starts + context, offsets[which + 1])
        firsts = starts + np.where(number > 0, half, 0)
        return cls(inputs, targets, offsets, starts, stops, firsts, which, n_symbols, ends)

    @staticmethod
    def after(codes: SymbolCodes, n_symbols: int, ends: bool, context: int) -> LastWindow:
        """The window that tells what follows some codes."""
        start = window_start(len(codes), context)
        first = boundary_of(n_symbols) if ends and not start else n_symbols
        inside = np.concatenate([[first], codes[start:]])
        inputs = np.zeros((1, _padded(len(inside), context)), dtype=np.int64)
        inputs[0, : len(inside)] = inside
        return LastWindow(inputs, len(inside) - 1)

    @property
    def n_targets(self) -> int:
        """M."""
        return len(self.targets)

    def batches(self, n_symbols: int) -> Iterator[Batch]:
        """Windows of about the same length together, ``n_symbols`` of them at a time."""
        sizes = self.stops - self.starts
        padded = np.array([_padded(int(size)) for size in sizes], dtype=np.intp)
        for length in np.unique(padded):
            of_length = np.flatnonzero(padded == length)
            n_rows = max(n_symbols // int(length), 1)
            for low in range(0, len(of_length), n_rows):
                yield self._batch(of_length[low : low + n_rows], int(length), n_rows)

    def _batch(self, chosen: NDArray[np.intp], length: int, n_rows: int) -> Batch:
        # As many rows as a power of two, so that few shapes have to be compiled.
        n, rows = len(chosen), min(n_rows, 1 << (len(chosen) - 1).bit_length())
        chosen = np.concatenate([chosen, np.repeat(chosen[:1], max(rows - n, 0))])
        places = self.starts[chosen][:, None] + np.arange(length)
        inside = places < self.stops[chosen][:, None]
        counted = inside & (places >= self.firsts[chosen][:, None])
        counted[n:] = False
        safe = np.where(inside, places, 0)
        inputs = np.where(inside, self.inputs[safe], self.unknown)
        begins = self.starts[chosen] == self.offsets[self.which[chosen]]
        inputs[:, 0] = np.where(begins, inputs[:, 0], self.unknown)
        targets = np.where(inside & (self.targets[safe] != self.unknown), self.targets[safe], 0)
        return Batch(inputs, targets, counted, places[counted], self.which[chosen])

    def apart(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What belongs to the symbols (N,), and to the ends (n,); 0 where there are none."""
        n = len(self.offsets) - 1
        if not self.ends:
            return values, np.zeros(n)
        last = self.offsets[1:] - 1
        return np.delete(values, last), values[last]


def _shifted(
    x: Sequences, n_symbols: int, ends: bool
) -> tuple[SymbolCodes, SymbolCodes, NDArray[np.intp]]:
    """Inputs and targets of every place, and where each sequence begins among them."""
    codes = np.asarray(x.steps[x.offsets[0] : x.offsets[-1]], dtype=np.int64)
    offsets = (x.offsets - x.offsets[0]).astype(np.intp)
    if not ends:
        inputs = np.concatenate([[n_symbols], codes[:-1]]) if len(codes) else codes
        inputs[offsets[:-1][offsets[:-1] < len(codes)]] = n_symbols
        return inputs, codes, offsets
    boundary = boundary_of(n_symbols)
    inputs = np.insert(codes, offsets[:-1], boundary)
    targets = np.insert(codes, offsets[1:], boundary)
    return inputs, targets, offsets + np.arange(len(offsets))


def _padded(length: int, most: Any = None) -> int:
    """The next power of two, so that few shapes have to be compiled."""
    padded = max(_SHORTEST, 1 << max(length - 1, 0).bit_length())
    return padded if most is None else max(min(padded, int(most)), length)
