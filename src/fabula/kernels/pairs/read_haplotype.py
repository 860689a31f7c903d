"""Likelihood of sequencing reads given haplotypes, sixteen pairs at a time.

Transitions differ from base to base of the read, so weights are vectors of a row of the grid.
Nothing exceeds the weight at the start, 2**100 in float32; a pair whose sum comes out too small
for that is computed again in float64, with a power of two for each row.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.kernels.lanes import (
    add,
    integer_splat,
    load,
    load_integers,
    multiply,
    multiply_add,
    splat,
    store,
    where_equal,
)
from fabula.kernels.pairs.lanes import aligned_integers, aligned_zeros

__all__ = ["Reads", "read_likelihoods"]

_Letters = NDArray[np.uint8]
_START = np.float32(2.0**100)
# Added to every number, so that none becomes subnormal, which processors handle slowly.
_TINY = np.float32(2.0**-115)
# Sums above this are out of reach of all that was added, and of what was too small to hold.
_LEAST = 2.0**-75


class Reads(NamedTuple):
    """Reads one after another; code 4 is an unknown base."""

    bases: _Letters  # (N,)
    base: FloatArray  # (N,): probability that the base is wrong
    insertion: FloatArray  # (N,): that an insertion begins
    deletion: FloatArray  # (N,): that a deletion begins
    gap: FloatArray  # (N,): that a gap goes on
    offsets: NDArray[np.intp]  # (n + 1,)


@njit(nogil=True, cache=True, error_model="numpy")
def _alone(reads: Reads, read: int, haplotype: _Letters) -> float:
    """Log10 likelihood of one read in float64, with a power of two for each row."""
    first, last = reads.offsets[read], reads.offsets[read + 1]
    m = len(haplotype)
    match, insert, delete = np.zeros(m + 1), np.zeros(m + 1), np.full(m + 1, 1.0 / m)
    power = 0
    for k in range(first, last):
        stay = 1.0 - (reads.insertion[k] + reads.deletion[k])
        close = 1.0 - reads.gap[k]
        corner_match, corner_gap = match[0], insert[0] + delete[0]
        match[0] = insert[0] = delete[0] = 0.0
        largest = 0.0
        for j in range(1, m + 1):
            same = haplotype[j - 1] == reads.bases[k] or max(haplotype[j - 1], reads.bases[k]) > 3
            emission = 1.0 - reads.base[k] if same else reads.base[k] / 3.0
            new = emission * (stay * corner_match + close * corner_gap)
            corner_match, corner_gap = match[j], insert[j] + delete[j]
            insert[j] = reads.insertion[k] * match[j] + reads.gap[k] * insert[j]
            match[j] = new
            delete[j] = reads.deletion[k] * match[j - 1] + reads.gap[k] * delete[j - 1]
            largest = max(largest, match[j], insert[j], delete[j])
        if largest == 0.0:
            return -math.inf
        if largest < 1e-100:
            shift = math.frexp(largest)[1]
            power += shift
            for row in (match, insert, delete):
                row *= math.ldexp(1.0, -shift)
    total = match[1:].sum() + insert[1:].sum()
    return math.log10(total) + power * math.log10(2.0) if total > 0.0 else -math.inf


@njit(nogil=True, cache=True, error_model="numpy")
def _weights(reads: Reads, which: NDArray[np.intp], n: int) -> tuple[FloatArray, NDArray[np.int32]]:
    """Rows of weights (n, 7, 16), reads pushed to the bottom, and their bases (n, 16)."""
    rows, bases = aligned_zeros(n * 112), aligned_integers(n * 16, 4)
    for lane in range(16):
        read = which[lane if lane < len(which) else 0]
        first, last = reads.offsets[read], reads.offsets[read + 1]
        for k in range(first, last):
            i = n - (last - k)
            place = i * 112 + lane
            right = 1.0 - reads.base[k]
            rows[place] = 1.0 - (reads.insertion[k] + reads.deletion[k])
            rows[place + 16] = 1.0 - reads.gap[k]
            rows[place + 32] = reads.insertion[k]
            rows[place + 48] = reads.deletion[k]
            rows[place + 64] = reads.gap[k]
            rows[place + 80] = right
            rows[place + 96] = right if reads.bases[k] > 3 else reads.base[k] / 3.0
            bases[i * 16 + lane] = reads.bases[k]
    return rows, bases


@njit(nogil=True, cache=True, error_model="numpy")
def _next_row(
    rows: FloatArray, bases: NDArray[np.int32], letters: NDArray[np.int32], i: int, m: int,
    cells: FloatArray,
) -> None:  # fmt: skip
    """Row i + 1 of the grid in place of row i: match, insertion and deletion of each column."""
    r = i * 112
    stay, close, opens = load(rows, r), load(rows, r + 16), load(rows, r + 32)
    deletes, goes_on = load(rows, r + 48), load(rows, r + 64)
    right, wrong = load(rows, r + 80), load(rows, r + 96)
    base, unknown = load_integers(bases, i * 16), integer_splat(np.int32(4))
    tiny = splat(_TINY)
    corner = multiply_add(stay, load(cells, 0), multiply(close, load(cells, 16)))
    match = delete = tiny
    store(cells, 0, tiny)
    store(cells, 16, tiny)
    for j in range(1, m + 1):
        k = j * 48
        letter = load_integers(letters, j * 16)
        agrees = where_equal(letter, base, right, wrong)
        emission = where_equal(letter, unknown, right, agrees)
        old, insert = load(cells, k), load(cells, k + 32)
        delete = multiply_add(goes_on, delete, multiply_add(deletes, match, tiny))
        match = multiply_add(emission, corner, tiny)
        gaps = load(cells, k + 16)
        corner = multiply_add(stay, old, multiply(close, gaps))
        insert = multiply_add(goes_on, insert, multiply_add(opens, old, tiny))
        store(cells, k, match)
        store(cells, k + 16, add(insert, delete))
        store(cells, k + 32, insert)


@njit(nogil=True, cache=True, error_model="numpy")
def _begin_reads(
    cells: FloatArray, i: int, n: int, m: int, read_lengths: NDArray[np.intp],
    haplotype_lengths: NDArray[np.intp],
) -> None:  # fmt: skip
    """Let the reads whose first base is in the next row begin in every column alike."""
    for lane in range(16):
        length = haplotype_lengths[lane]
        if n - read_lengths[lane] == i:
            for j in range(m - length, m + 1):
                cells[j * 48 + 16 + lane] += _START / np.float32(length)


@njit(nogil=True, cache=True, error_model="numpy")
def read_likelihoods(
    reads: Reads,
    haplotypes: _Letters,
    offsets: NDArray[np.intp],
    which_read: NDArray[np.intp],
    which_haplotype: NDArray[np.intp],
    order: NDArray[np.intp],
    out: FloatArray,
) -> None:
    """Log10 likelihoods of the pairs in ``order``, into their places in ``out``.

    Pair k is of read ``which_read[k]`` and haplotype ``which_haplotype[k]``; neighbours in the
    order should have similar lengths, and none may be empty.
    """
    read_lengths, haplotype_lengths = np.empty(16, dtype=np.intp), np.empty(16, dtype=np.intp)
    for start in range(0, len(order), 16):
        group = order[start : start + 16]
        for lane in range(16):
            k = group[lane if lane < len(group) else 0]
            read, haplotype = which_read[k], which_haplotype[k]
            read_lengths[lane] = reads.offsets[read + 1] - reads.offsets[read]
            haplotype_lengths[lane] = offsets[haplotype + 1] - offsets[haplotype]
        n, m = read_lengths.max(), haplotype_lengths.max()
        rows, bases = _weights(reads, which_read[group], n)
        letters = aligned_integers((m + 1) * 16, 0)
        for lane in range(16):
            last = offsets[which_haplotype[group[lane if lane < len(group) else 0]] + 1]
            for j in range(haplotype_lengths[lane]):
                letters[(m - j) * 16 + lane] = haplotypes[last - 1 - j]
        cells = aligned_zeros((m + 1) * 48)
        for i in range(n):
            _begin_reads(cells, i, n, m, read_lengths, haplotype_lengths)
            _next_row(rows, bases, letters, i, m, cells)
        for lane in range(len(group)):
            total = 0.0
            for j in range(m + 1 - haplotype_lengths[lane], m + 1):
                total += cells[j * 48 + lane] + cells[j * 48 + 32 + lane]
            k = group[lane]
            if total > _LEAST:
                out[k] = math.log10(total) - 100.0 * math.log10(2.0)
            else:
                haplotype = which_haplotype[k]
                letters_ = haplotypes[offsets[haplotype] : offsets[haplotype + 1]]
                out[k] = _alone(reads, which_read[k], letters_)
