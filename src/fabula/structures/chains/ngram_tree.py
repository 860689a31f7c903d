"""The tree of all n-grams of some sequences up to a length, with how often each occurs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences
from fabula.core.errors import DataError, UsageError
from fabula.persistence.registry import storable

__all__ = ["NgramTree", "as_codes"]

Nodes = NDArray[np.int64]


@storable("story/ngram_tree")
@dataclass(frozen=True)
class NgramTree:
    """N-grams as nodes, level by level, and within a level in the order of their symbols.

    Symbols are codes: 0 … C - 1 those of the data, C one that was never seen, C + 1 the end of a
    sequence, and C + 2 its beginning. Every sequence is counted with its beginning, and with its
    end if ``ends``; so only first symbols of n-grams are beginnings, and only last ones ends.

    Parameters
    ----------
    n_symbols : int
        C.
    order : int
        Length k of the longest context; n-grams have up to k + 1 symbols.
    ends : bool
        Whether the ends of sequences were counted.
    symbols : (M,) array
        Last symbol of each node; node 0 is the empty n-gram, whose symbol means nothing.
    child_starts : (M + 1,) array
        Children of node i are ``child_starts[i]`` to ``child_starts[i + 1]``.
    counts : (M,) array
        How often each n-gram occurs, each sequence as often as it counts.
    """

    n_symbols: int
    order: int
    ends: bool
    symbols: NDArray[np.int32]
    child_starts: Nodes
    counts: FloatArray

    def __post_init__(self) -> None:
        # Compiled loops follow these numbers without looking where they lead.
        m = len(self.symbols)
        starts = self.child_starts
        sound = (
            m > 0
            and self.n_symbols >= 0
            and self.order >= 0
            and self.symbols.ndim == starts.ndim == self.counts.ndim == 1
            and starts.shape == (m + 1,)
            and self.counts.shape == (m,)
            and starts[0] == 1
            and starts[-1] == m
            and bool(np.all(np.diff(starts) >= 0))
            and bool(np.all(starts[:-1] > np.arange(m)))
            and bool(np.all((self.symbols >= 0) & (self.symbols <= self.n_symbols + 2)))
            and bool(np.all(np.isfinite(self.counts) & (self.counts >= 0)))
        )
        if not sound:
            raise DataError("These arrays are no tree of n-grams: they are damaged.")
        first = np.zeros(m + 1, dtype=bool)
        first[starts] = True
        if not np.all((np.diff(self.symbols) > 0) | first[1:-1]):
            raise DataError("The symbols of a tree of n-grams are not in order: it is damaged.")
        if self.level_starts[-1] != m or len(self.level_starts) - 1 > self.order + 2:
            raise DataError("A tree of n-grams is deeper than its order says: it is damaged.")

    @classmethod
    def grow(
        cls,
        sequences: Sequences,
        n_symbols: int,
        order: int,
        ends: bool,
        weights: FloatArray | None = None,
    ) -> NgramTree:
        """Count the n-grams of sequences of codes.

        Parameters
        ----------
        sequences : Sequences
            Steps are codes, (N,) or (N, 1); none is missing.
        n_symbols, order, ends
            As above.
        weights : (n,) array, optional
            How often each sequence counts.
        """
        stream = _stream(sequences, n_symbols, ends)
        repeated = None
        if weights is not None:
            repeated = np.repeat(weights.astype(np.float64), sequences.lengths + (2 if ends else 1))
            repeated = np.concatenate([[0.0], repeated])  # what stands before all sequences
        return _grown(stream, repeated, n_symbols, order, ends)

    @property
    def n_outcomes(self) -> int:
        """V: what may come next, which is the symbols, one never seen, and the end if there is."""
        return self.n_symbols + (2 if self.ends else 1)

    @property
    def beginning(self) -> int:
        """The code of the beginning of a sequence."""
        return self.n_symbols + 2

    @cached_property
    def level_starts(self) -> tuple[int, ...]:
        """Node at which each level begins, and the number of nodes."""
        starts = [0, 1]
        while starts[-1] < len(self.symbols):
            # Children of a level are the next one; where it has none the tree is damaged.
            following = int(self.child_starts[starts[-1]])
            if following <= starts[-1]:
                break
            starts.append(following)
        return tuple(starts)

    def level(self, m: int) -> slice:
        """The n-grams of m symbols."""
        starts = self.level_starts
        if m + 1 >= len(starts):
            return slice(len(self.symbols), len(self.symbols))
        return slice(starts[m], starts[m + 1])

    @cached_property
    def parents(self) -> Nodes:
        """The n-gram without its last symbol; node 0 is its own parent."""
        sizes = np.diff(self.child_starts)
        return np.concatenate([[0], np.repeat(np.arange(len(self.symbols)), sizes)])

    @cached_property
    def suffixes(self) -> Nodes:
        """The n-gram without its first symbol; node 0 for single symbols."""
        base = self.n_symbols + 3
        suffixes = np.zeros(len(self.symbols), dtype=np.int64)
        keys = self.parents * base + self.symbols
        for m in range(2, self.order + 2):
            mine, shorter = self.level(m), self.level(m - 1)
            wanted = suffixes[self.parents[mine]] * base + self.symbols[mine]
            places = np.searchsorted(keys[shorter], wanted)
            found = places < shorter.stop - shorter.start
            if not found.all() or not np.array_equal(keys[shorter][places], wanted):
                raise DataError("A tree of n-grams lacks ends of n-grams that it holds: damaged.")
            suffixes[mine] = places + shorter.start
        return suffixes

    @cached_property
    def begins(self) -> NDArray[np.bool_]:
        """Which n-grams begin where their sequence does."""
        begins = np.zeros(len(self.symbols), dtype=bool)
        begins[self.level(1)] = self.symbols[self.level(1)] == self.beginning
        for m in range(2, self.order + 2):
            begins[self.level(m)] = begins[self.parents[self.level(m)]]
        return begins

    @cached_property
    def nexts(self) -> Nodes:
        """The longest context, of at most ``order`` symbols, after each n-gram."""
        nexts = np.arange(len(self.symbols))
        childless = np.diff(self.child_starts) == 0
        for m in range(1, self.order + 2):
            mine = np.arange(len(self.symbols))[self.level(m)]
            shorter = mine[childless[mine]]
            nexts[shorter] = nexts[self.suffixes[shorter]]
        return nexts

    @cached_property
    def is_longest(self) -> NDArray[np.bool_]:
        """Which n-grams are as long as any that ends where they do.

        Where sequences do not begin, those that stand at a beginning are none: nothing asks them.
        """
        longest = np.zeros(len(self.symbols), dtype=bool)
        longest[self.level(self.order + 1)] = True
        longest = longest | self.begins if self.ends else longest & ~self.begins
        return np.asarray(longest & (self.symbols != self.beginning))

    def with_shorter(self, other: NgramTree) -> NgramTree:
        """The same n-grams; those that are not the longest occur as often as in another tree.

        Raises
        ------
        UsageError
            The other tree has other n-grams.
        """
        if not (
            np.array_equal(self.symbols, other.symbols)
            and np.array_equal(self.child_starts, other.child_starts)
        ):
            raise UsageError("The trees hold different n-grams: grow both from one data set.")
        counts = np.where(self.is_longest, self.counts, other.counts)
        grown = replace(self, counts=counts)
        for name in ("level_starts", "parents", "suffixes", "begins", "is_longest", "nexts"):
            grown.__dict__[name] = getattr(other, name)
        return grown

    def cut(self, order: int) -> NgramTree:
        """The tree with contexts of at most ``order`` symbols."""
        if order >= self.order:
            return self
        last = self.level(order + 1).stop
        starts = np.minimum(self.child_starts[: last + 1], last)
        return NgramTree(
            self.n_symbols, order, self.ends, self.symbols[:last], starts, self.counts[:last]
        )


def as_codes(sequences: Sequences, n_symbols: int) -> Sequences:
    """The same sequences with whole numbers (N,) as steps; C is a symbol that was never seen.

    Raises
    ------
    DataError
        A step is missing.
    """
    steps: Any = sequences.steps
    if steps.ndim == 1 and steps.dtype == np.int64:
        return sequences
    cells = steps.reshape(len(steps), -1)[:, 0] if len(steps) else np.zeros(0)
    missing = np.flatnonzero(np.isnan(cells))
    if len(missing):
        which = int(np.searchsorted(sequences.offsets, missing[0], side="right"))
        step = int(missing[0] - sequences.offsets[which - 1]) + 1
        raise DataError(
            f"Sequence {which}, step {step} (counting from 1) is missing: a Markov chain needs "
            "every symbol. Cut the sequence there, or take a hidden Markov model."
        )
    known = (cells >= 0) & (cells < n_symbols) & (cells == np.floor(cells))
    return sequences.with_steps(np.where(known, cells, n_symbols).astype(np.int64))


def _stream(sequences: Sequences, n_symbols: int, ends: bool) -> NDArray[Any]:
    """All sequences in one, each after its beginning and with its end; something stands before."""
    extra = 2 if ends else 1
    n = len(sequences)
    size = sequences.n_steps + extra * n + 1
    # Half the memory is half the time; only few texts need more.
    dtype = np.int32 if size < 2**31 else np.int64
    stream: NDArray[Any] = np.full(size, n_symbols + 2, dtype=dtype)
    steps = np.asarray(sequences.steps, dtype=dtype)
    ends_at = sequences.offsets[1:] - sequences.offsets[0] + extra * np.arange(1, n + 1)
    if n == 1:
        stream[2 : 2 + len(steps)] = steps
    else:
        before = extra * np.repeat(np.arange(n), sequences.lengths) + 2
        stream[np.arange(len(steps)) + before] = steps
    if ends:
        stream[ends_at] = n_symbols + 1
    return stream


def _grown(
    stream: NDArray[Any],
    weights: FloatArray | None,
    n_symbols: int,
    order: int,
    ends: bool,
) -> NgramTree:
    from fabula.kernels.chains.ngrams import extend_ngrams

    beginning = n_symbols + 2
    each = np.zeros(0) if weights is None else weights
    ranks, n_parents = np.zeros_like(stream), 1  # the empty n-gram ends at every place
    symbols: list[Any] = [np.zeros(1, dtype=np.int32)]
    counts: list[Any] = [np.zeros(1)]
    sizes: list[Nodes] = []
    for m in range(1, order + 2):
        barrier = beginning if m > 1 else -1
        ranks, parents, mine, its_counts = extend_ngrams(
            stream, ranks, n_parents, beginning + 1, barrier, each
        )
        if not len(mine):
            break
        sizes.append(np.bincount(parents, minlength=n_parents))
        symbols.append(mine)
        counts.append(its_counts)
        n_parents = len(mine)
    sizes.append(np.zeros(n_parents, dtype=np.int64))
    starts = np.concatenate([[1], 1 + np.cumsum(np.concatenate(sizes))])
    if len(counts) > 1:
        counts[0][0] = counts[1][symbols[1] != beginning].sum()
    return NgramTree(
        n_symbols, order, ends, np.concatenate(symbols), starts, np.concatenate(counts)
    )
