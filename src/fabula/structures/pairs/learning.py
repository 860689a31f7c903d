"""Learning pair hidden Markov models from unaligned pairs (Baum 1972; Durbin et al. 1998, 4.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.core.arrays import FloatArray

if TYPE_CHECKING:
    from fabula.structures.pairs.hidden_markov import PairHiddenMarkov

__all__ = ["PairPrior", "PairStatistics", "log_prior", "maximise", "spread_match", "with_unknown"]


@dataclass(frozen=True)
class PairPrior:
    """Pseudo-counts, what is tied, and what learning leaves alone.

    Parameters
    ----------
    match, gaps, transitions : float or array
        Pseudo-counts of the match letters (A, A), of the insert and delete letters (A,), and of
        the moves (S, S + 1), the last column being the end. Moves that the story holds impossible
        get none.
    start : float or (S + 1,) array
        Pseudo-counts of the first state, the last entry being the empty alignment.
    symmetric_match : bool
        Learn one probability for (a, b) and (b, a).
    tie_gaps : bool
        Learn the same letters and moves for insert and delete states.
    learn_match, learn_gaps, learn_transitions, learn_start : bool
        False keeps these parameters as they are.
    """

    match: Any = 0.0
    gaps: Any = 0.0
    transitions: Any = 0.0
    start: Any = 0.0
    symmetric_match: bool = False
    tie_gaps: bool = False
    learn_match: bool = True
    learn_gaps: bool = True
    learn_transitions: bool = True
    learn_start: bool = True


@dataclass(frozen=True)
class PairStatistics:
    """Expected events of some pairs, and their log evidence."""

    log_evidence: float
    n_rows: float  # pairs, by weight
    match: FloatArray  # (A, A)
    insert: FloatArray  # (A,)
    delete: FloatArray  # (A,)
    start: FloatArray  # (S + 1,), the last for empty alignments
    transitions: FloatArray  # (S, S + 1), the last column for the end

    def __add__(self, other: PairStatistics) -> PairStatistics:
        return PairStatistics(
            self.log_evidence + other.log_evidence,
            self.n_rows + other.n_rows,
            self.match + other.match,
            self.insert + other.insert,
            self.delete + other.delete,
            self.start + other.start,
            self.transitions + other.transitions,
        )


def maximise(
    story: PairHiddenMarkov, statistics: PairStatistics, prior: PairPrior | None
) -> PairHiddenMarkov:
    """Probabilities that maximise the expected log joint plus log prior; see the story."""
    prior = prior or PairPrior()
    match, insert, delete, start, moves = _pseudo_counts(story, prior)
    match = match + statistics.match
    insert, delete = insert + statistics.insert, delete + statistics.delete
    start, moves = start + statistics.start, moves + statistics.transitions
    if prior.symmetric_match:
        match = match + match.T
    if prior.tie_gaps:
        insert = delete = insert + delete
        order = _mirror(story)
        start = start + start[order]
        moves = moves + moves[np.ix_(order[:-1], order)]
    old_start = np.exp(np.append(story.log_start, story.log_empty))
    old_moves = np.exp(np.column_stack([story.log_transitions, story.log_end]))
    if prior.learn_match:
        match = _normalised(match.ravel(), story.match.ravel()).reshape(match.shape)
    if prior.learn_gaps:
        insert, delete = _normalised(insert, story.insert), _normalised(delete, story.delete)
    start = _normalised(start, old_start) if prior.learn_start else old_start
    moves = _normalised(moves, old_moves) if prior.learn_transitions else old_moves
    with np.errstate(divide="ignore"):
        log_start, log_moves = np.log(start), np.log(moves)
    return replace(
        story,
        match=match if prior.learn_match else story.match,
        insert=insert if prior.learn_gaps else story.insert,
        delete=delete if prior.learn_gaps else story.delete,
        log_start=log_start[:-1],
        log_empty=float(log_start[-1]),
        log_transitions=np.ascontiguousarray(log_moves[:, :-1]),
        log_end=np.ascontiguousarray(log_moves[:, -1]),
    )


def log_prior(story: PairHiddenMarkov, prior: PairPrior | None) -> float:
    """Log density of the parameters under the prior, up to a constant."""
    if prior is None:
        return 0.0
    with np.errstate(divide="ignore"):
        logs = (
            np.log(story.match),
            np.log(story.insert),
            np.log(story.delete),
            np.append(story.log_start, story.log_empty),
            np.column_stack([story.log_transitions, story.log_end]),
        )
    counts = _pseudo_counts(story, prior)
    learnt = (
        prior.learn_match, prior.learn_gaps, prior.learn_gaps,
        prior.learn_start, prior.learn_transitions,
    )  # fmt: skip
    return float(
        sum(
            (c[c > 0] * log[c > 0]).sum()
            for c, log, learns in zip(counts, logs, learnt, strict=True)
            if learns
        )
    )


def _mirror(story: PairHiddenMarkov) -> Any:
    """States in the order that they have with x and y exchanged; the end stays last."""
    return np.array([0, *story.delete_states, *story.insert_states, story.n_states])


def _pseudo_counts(story: PairHiddenMarkov, prior: PairPrior) -> tuple[FloatArray, ...]:
    possible = np.isfinite(np.column_stack([story.log_transitions, story.log_end]))
    first = np.isfinite(np.append(story.log_start, story.log_empty))
    return (
        np.broadcast_to(np.asarray(prior.match, dtype=np.float64), story.match.shape),
        np.broadcast_to(np.asarray(prior.gaps, dtype=np.float64), story.insert.shape),
        np.broadcast_to(np.asarray(prior.gaps, dtype=np.float64), story.delete.shape),
        first * prior.start,
        possible * prior.transitions,
    )


def spread_match(counts: FloatArray, match: FloatArray) -> FloatArray:
    """Counts (A, A) with those of unknown letters shared out among the letters they may be."""
    a = len(match)
    rows, columns = match.sum(axis=1), match.sum(axis=0)
    given_x = match / np.where(rows > 0, rows, 1.0)[:, None]
    given_y = match / np.where(columns > 0, columns, 1.0)
    return np.asarray(
        counts[:a, :a] + counts[:a, a:] * given_x + counts[a:, :a] * given_y + counts[a, a] * match
    )


def _normalised(counts: FloatArray, old: FloatArray) -> FloatArray:
    """Counts divided by their sum along the last axis; where that is 0, the old probabilities."""
    totals = counts.sum(axis=-1, keepdims=True)
    return np.where(totals > 0, counts / np.where(totals > 0, totals, 1.0), old)


def with_unknown(match: FloatArray) -> FloatArray:
    """Match probabilities (A + 1, A + 1) with unknown letters summed out."""
    a = len(match)
    full = np.ones((a + 1, a + 1))
    full[:a, :a] = match
    full[:a, a] = match.sum(axis=1)
    full[a, :a] = match.sum(axis=0)
    return full
