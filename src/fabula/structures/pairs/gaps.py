"""Affine gaps: the moves between the columns of an alignment, and where it may end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.structures.pairs.hidden_markov import PairHiddenMarkov

__all__ = ["affine_story", "durbin_story", "gap_transitions", "independent_stop"]


def gap_transitions(
    open_x: Any, open_y: Any, extend_x: Sequence[Any], extend_y: Sequence[Any], share: Sequence[Any]
) -> NDArray[Any]:
    """Transitions (S, S) between a match, G kinds of insertion and G kinds of deletion.

    Parameters
    ----------
    open_x, open_y : float
        Probability that a gap in y (a deletion, letters of x alone) and one in x (an insertion)
        begins at a place between two letters.
    extend_x, extend_y : sequences of G floats
        Probability that a deletion and an insertion of each kind goes on after a letter.
    share : sequence of G floats
        Probability that a gap is of each kind; with sum 1.

    Notes
    -----
    Between two letters an insertion may begin, and after it a deletion, each independently of the
    other: an insertion is followed by a deletion as often as a match is, and a deletion never by
    an insertion. So every history has one path, and with equal parameters the two sequences can
    be exchanged: p(x, y) = p(y, x).
    """
    n = len(share)
    table = np.zeros((2 * n + 1, 2 * n + 1), dtype=np.result_type(open_x, open_y, *extend_x))
    shares = np.asarray(share)
    table[0, 1 : n + 1] = open_y * shares
    onward = np.concatenate([np.array([1.0 - open_x]), open_x * shares])
    match_or_delete = [0, *range(n + 1, 2 * n + 1)]
    table[0, match_or_delete] = (1.0 - open_y) * onward
    for g in range(n):
        table[1 + g, 1 + g] = extend_y[g]
        table[1 + g, match_or_delete] = (1.0 - extend_y[g]) * onward
        table[n + 1 + g, n + 1 + g] = extend_x[g]
        table[n + 1 + g, 0] = 1.0 - extend_x[g]
    return table


def affine_story(
    match: FloatArray,
    moves: FloatArray,
    *,
    insert: FloatArray,
    delete: FloatArray,
    background: FloatArray,
    mean_length: float,
    **options: Any,
) -> PairHiddenMarkov:
    """The story of moves (S, S) between columns that ends, or begins, where a match may stand.

    So an alignment may end after a gap as after a match; else x and y could not be exchanged.
    ``mean_length`` is the number of matches expected. Lengths under the independent story are such
    that being long is evidence neither for it nor against it.
    """
    if not 0 < mean_length < 1e12:
        raise UsageError(f"The mean length must be positive and below 1e12, not {mean_length!r}.")
    end = 1.0 / (mean_length + 1.0)
    with np.errstate(divide="ignore"):
        log_moves = np.log(moves)
    log_end = log_moves[:, 0] + np.log(end)
    log_moves[:, 0] += np.log1p(-end)
    return PairHiddenMarkov(
        match,
        insert,
        delete,
        log_moves[0],
        log_moves,
        log_end,
        background,
        background_stop=independent_stop(end),
        log_empty=float(log_end[0]),
        **options,
    )


def durbin_story(
    match: FloatArray,
    *,
    gap_open: float | Sequence[float],
    gap_extend: float | Sequence[float],
    end: float = 1e-3,
    insert: FloatArray | None = None,
    delete: FloatArray | None = None,
    background: FloatArray | None = None,
    ends: Any = "global",
    background_stop: float | None = None,
) -> PairHiddenMarkov:
    """The model of Durbin et al. 1998, figure 4.2, with one or two kinds of gap.

    Parameters
    ----------
    match : (A, A) array
        Joint probabilities of matched letters.
    gap_open, gap_extend : float or two of them
        δ and ε: probability of opening each kind of gap after a match (for each of insert and
        delete), and of going on with it. Two of each make five states.
    end : float
        τ: probability of ending after each column.
    insert, delete, background : (A,) arrays, optional
        Letters of gaps and of the independent story; by default the marginals of ``match``.
    ends, background_stop
        As of `PairHiddenMarkov`; ``background_stop`` is by default ``end``.
    """
    match = np.asarray(match, dtype=np.float64)
    opens, extends = np.atleast_1d(gap_open), np.atleast_1d(gap_extend)
    if opens.shape != extends.shape or len(opens) not in (1, 2):
        raise UsageError("gap_open and gap_extend must both be one number, or both be two.")
    n_gaps = len(opens)
    moves = np.zeros((1 + 2 * n_gaps, 1 + 2 * n_gaps))
    moves[0, 1:] = np.concatenate([opens, opens])
    moves[0, 0] = 1.0 - end - moves[0, 1:].sum()
    for g in range(2 * n_gaps):
        moves[1 + g, 1 + g] = extends[g % n_gaps]
        moves[1 + g, 0] = 1.0 - end - extends[g % n_gaps]
    if not np.all(moves >= 0):
        raise UsageError(
            "gap_open, gap_extend and end leave less than nothing for a match: twice the sum "
            "of gap_open plus end, and gap_extend plus end, must be at most 1."
        )
    x_letters, y_letters = match.sum(axis=1), match.sum(axis=0)
    with np.errstate(divide="ignore"):
        return PairHiddenMarkov(
            match,
            y_letters if insert is None else np.asarray(insert, dtype=np.float64),
            x_letters if delete is None else np.asarray(delete, dtype=np.float64),
            np.log(moves[0]),
            np.log(moves),
            np.full(len(moves), np.log(end)),
            (x_letters + y_letters) / 2 if background is None else np.asarray(background),
            end if background_stop is None else background_stop,
            ends,
            float(np.log(end)),
        )


def independent_stop(end: float) -> float:
    """Stop of the independent story that makes length no evidence: (1 - η)² = 1 - end."""
    return float(-np.expm1(0.5 * np.log1p(-end)))
