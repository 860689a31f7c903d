"""What the recursions over pairs of sequences are given of a story.

State 0 matches a letter of x with one of y. States 1 … G insert (a letter of y alone) and states
G + 1 … 2G delete (a letter of x alone). A cell (i, j) of the grid means that i letters of x and j
of y have been emitted.

Weights are relative to the independent story, in which every letter costs its background
probability times the probability of going on; so a letter of a free end has weight 1, and the sum
over alignments is the odds of the pair being related (Durbin et al. 1998, Biological Sequence
Analysis, section 4.4).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from fabula.core.arrays import FloatArray

__all__ = [
    "EITHER_FREE",
    "FIXED",
    "LOCAL",
    "X_FREE",
    "LinearWeights",
    "PairWeights",
    "linear_weights",
    "log_flank",
]

FIXED, X_FREE, LOCAL, EITHER_FREE = 0, 1, 2, 3


class PairWeights(NamedTuple):
    """Log weights, relative to the independent story; letter A stands for one that is unknown."""

    match: FloatArray  # (A + 1, A + 1)
    insert: FloatArray  # (A + 1,)
    delete: FloatArray  # (A + 1,)
    start: FloatArray  # (S,)
    transitions: FloatArray  # (S, S)
    end: FloatArray  # (S,)
    ends: int  # FIXED, X_FREE, LOCAL or EITHER_FREE
    log_stop: float  # log probability that a free end stops before each letter


class LinearWeights(NamedTuple):
    """The same as numbers, each letter divided by what the cheapest way round it costs."""

    match: FloatArray
    insert: FloatArray
    delete: FloatArray
    start: FloatArray
    transitions: FloatArray
    end: FloatArray
    ends: int
    log_constant: float  # to be added to the logarithm of a sum over alignments
    log_x: FloatArray  # (A + 1,): and this for each letter of x
    log_y: FloatArray  # (A + 1,): and this for each letter of y
    tile: int  # rows and columns that one float32 exponent can serve; 0 if not even 4
    columns: int  # columns of a row that one float64 exponent can serve


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def log_flank(ends: int, log_stop: float, i: int, j: int) -> float:
    """Log weight of i letters of x and j of y beyond one end of the alignment."""
    if ends == 2:
        return 2.0 * log_stop
    if ends == 1:
        return log_stop if j == 0 else -math.inf
    if ends == 3:
        if i == 0 and j == 0:
            return log_stop
        return log_stop - math.log(2.0) if i == 0 or j == 0 else -math.inf
    return 0.0 if i == 0 and j == 0 else -math.inf


def linear_weights(w: PairWeights) -> LinearWeights:
    """Weights as numbers in which walking along either sequence costs little or nothing.

    Where x has no free ends, each of its letters is divided by the weight of deleting it once a
    deletion is open, so that long gaps do not fade away beside long matches; likewise y. Then a
    cell differs from its neighbours by a factor that the parameters bound, and numbers that share
    one exponent over a small tile of cells lose nothing that could matter.
    """
    n_gaps = (len(w.start) - 1) // 2
    loops = np.diagonal(w.transitions)
    log_x: FloatArray = np.zeros(len(w.delete))
    log_y: FloatArray = np.zeros(len(w.insert))
    if w.ends == FIXED:
        log_x = _finite(w.delete + loops[n_gaps + 1 :].max())
    if w.ends in (FIXED, X_FREE):
        log_y = _finite(w.insert + loops[1 : n_gaps + 1].max())
    match, insert, delete = w.match - log_x[:, None] - log_y, w.insert - log_y, w.delete - log_x
    # Both ends; the coin of `overlap` is in the kernels.
    constant = {FIXED: 0.0, X_FREE: 2.0, LOCAL: 4.0, EITHER_FREE: 2.0}[w.ends] * w.log_stop
    return LinearWeights(
        np.exp(match),
        np.exp(insert),
        np.exp(delete),
        np.exp(w.start),
        np.exp(w.transitions),
        np.exp(w.end),
        w.ends,
        constant,
        log_x,
        log_y,
        _tile(match, insert, delete, w),
        _columns(match, insert, delete, w),
    )


def _finite(logs: FloatArray) -> FloatArray:
    return np.where(np.isfinite(logs), logs, 0.0)


def _tile(match: FloatArray, insert: FloatArray, delete: FloatArray, w: PairWeights) -> int:
    """How many rows and columns of cells stay well within the range of float32 together."""
    if len(w.start) != 3:
        return 0
    step, turn = _steepest(match, insert, delete, w)
    for tile in (8, 4):
        if step * tile + turn < 100.0:
            return tile
    return 0


def _columns(match: FloatArray, insert: FloatArray, delete: FloatArray, w: PairWeights) -> int:
    """How many cells of a row stay well within the range of float64 together."""
    # What is impossible is not in the way of what is possible.
    possible = w._replace(transitions=_finite(w.transitions))
    step, turn = _steepest(_finite(match), _finite(insert), _finite(delete), possible)
    for columns in (64, 32, 16):
        if step * columns + turn < 700.0:
            return columns
    return 8


def _steepest(
    match: FloatArray, insert: FloatArray, delete: FloatArray, w: PairWeights
) -> tuple[float, float]:
    """By how many powers of two cells can differ: for each step to the side, and once."""
    n_gaps = (len(w.start) - 1) // 2
    t = w.transitions
    inserts, deletes = slice(1, n_gaps + 1), slice(n_gaps + 1, None)
    moves = [t[0, 0], *(part.max() for part in (
        t[0, inserts], t[0, deletes], t[inserts, 0], t[deletes, 0],
    ))]  # fmt: skip
    loops = np.diagonal(t)
    walks = np.array([insert.min() + loops[inserts].max(), delete.min() + loops[deletes].max()])
    if not (np.isfinite(moves).all() and np.isfinite(walks).all() and np.isfinite(match).all()):
        return math.inf, math.inf
    # A step to the side gains one match at most, and costs a walk along either sequence; a gap
    # must be opened and closed, and where insert and delete do not touch, a mismatch lies between.
    bits = 1.0 / math.log(2.0)
    step = bits * (max(match.max(), 0.0) - np.minimum(walks, 0.0).sum())
    turn = -bits * (sum(moves) + min(match.min(), 0.0))
    return step, turn
