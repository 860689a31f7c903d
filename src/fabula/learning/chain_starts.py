"""Where EM begins when nothing is known of the states of a hidden Markov chain."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fabula.core.arrays import FloatArray, Mask, Members, Responsibilities, Rows
from fabula.core.blocks import Sequences
from fabula.core.errors import CannotAnswerError, UsageError
from fabula.families.base import Family
from fabula.families.mixed import Mixed
from fabula.learning.starts import start_features, start_responsibilities
from fabula.structures.chains.hidden_markov import (
    HiddenMarkov,
    HiddenMarkovPrior,
    HiddenMarkovStatistics,
)

__all__ = ["CHAIN_START_NAMES", "ChainStart", "start_story"]

ChainStart = Literal["kmeans", "k-means++", "segments", "random"]
CHAIN_START_NAMES: tuple[ChainStart, ...] = ("kmeans", "k-means++", "segments", "random")

# Steps that are enough to find where states begin, in pieces long enough to see transitions.
_STEPS_TO_START = 20_000
_STEPS_IN_PIECE = 1_000


def start_story(
    bank: Family,
    sequences: Sequences,
    n_states: int,
    how: ChainStart,
    allowed: Mask,
    prior: HiddenMarkovPrior | None,
    rng: np.random.Generator,
    *,
    allowed_start: Mask | None = None,
) -> HiddenMarkov:
    """A first story for EM: every step is given a state, and one M-step follows.

    Parameters
    ----------
    bank : Family
        Members at the scale of the data: one, or one for each state.
    sequences : Sequences
        What to learn from; states that are known are taken as they are.
    n_states : int
        S.
    how : {"kmeans", "k-means++", "segments", "random"}
        Clusters of steps (run to the end, or the nearest of the first seeds); each sequence cut
        into S pieces of equal length, one after another; or the nearest of steps drawn at random,
        half mixed with chance.
    allowed : (S, S) mask
        Transitions that are possible.
    prior : HiddenMarkovPrior, optional
    rng : Generator
    allowed_start : (S,) mask, optional
        States that may come first; all of them by default.

    Returns
    -------
    HiddenMarkov
        With a little on every transition that is allowed.
    """
    if how not in CHAIN_START_NAMES:
        raise UsageError(f"The start must be one of {', '.join(CHAIN_START_NAMES)}, not {how!r}.")
    bank = bank if bank.n_members == n_states else bank.select(np.zeros(n_states, dtype=np.intp))
    places, piece = _chosen_steps(sequences, rng)
    rows = sequences.steps[places]
    shares: Responsibilities
    if how == "segments":
        shares = np.eye(n_states)[_segments(sequences, n_states)[places]]
    else:
        shares = _clusters(bank, rows, n_states, how, rng)
        if sequences.states is not None:
            shares = _numbered_as(sequences.states[places], shares)
    if sequences.states is not None:
        known = sequences.states[places]
        shares[known >= 0] = np.eye(n_states)[known[known >= 0]]
    follows = np.flatnonzero((piece[1:] == piece[:-1]) & (np.diff(places) == 1))
    firsts = np.isin(places, sequences.offsets[:-1])
    starts = np.ones(n_states, dtype=np.bool_) if allowed_start is None else allowed_start
    flat = HiddenMarkov(_log_uniform(starts[None, :])[0], _log_uniform(allowed), bank)
    # One step more on everything that is allowed, so that EM may find what the guess missed.
    statistics = HiddenMarkovStatistics(
        np.nan,
        float(len(places)),
        shares[firsts].sum(axis=0) + starts,
        shares[follows].T @ shares[follows + 1] + allowed,
        _emission_statistics(bank, rows, shares, rng),
    )
    return flat.maximise(statistics, prior)


def _log_uniform(allowed: Mask) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(allowed / allowed.sum(axis=1, keepdims=True)))


def _chosen_steps(x: Sequences, rng: np.random.Generator) -> tuple[Members, Members]:
    """Places of the steps to begin with, in order, and the piece that each belongs to."""
    lengths = x.lengths
    sequence = np.repeat(np.arange(len(x)), lengths)
    within = np.arange(len(sequence)) - np.repeat(x.offsets[:-1] - x.offsets[0], lengths)
    new = (within % _STEPS_IN_PIECE) == 0
    piece = np.cumsum(new) - 1
    if len(piece) <= _STEPS_TO_START:
        return np.arange(len(piece)), piece
    sizes = np.bincount(piece)
    order = rng.permutation(len(sizes))
    enough = int(np.searchsorted(np.cumsum(sizes[order]), _STEPS_TO_START)) + 1
    places = np.flatnonzero(np.isin(piece, order[:enough]))
    return places, piece[places]


def _segments(x: Sequences, n_states: int) -> Members:
    """State of each step where every sequence is cut into pieces of equal length."""
    lengths = np.repeat(x.lengths, x.lengths)
    within = np.arange(len(lengths)) - np.repeat(x.offsets[:-1] - x.offsets[0], x.lengths)
    return np.asarray(within * n_states // lengths, dtype=np.intp)


def _numbered_as(known: Members, shares: Responsibilities) -> Responsibilities:
    """The clusters in the order in which they agree best with the states that are known.

    Else a state could begin on a cluster that others of its steps are not in, and stay there.
    """
    from scipy.optimize import linear_sum_assignment

    seen = known >= 0
    agreement = np.eye(shares.shape[1])[known[seen]].T @ shares[seen]
    return shares[:, linear_sum_assignment(agreement, maximize=True)[1]]


def _clusters(
    bank: Family, rows: Rows, n_states: int, how: ChainStart, rng: np.random.Generator
) -> Responsibilities:
    features = _features(bank, rows)
    if how == "random":
        near = start_responsibilities(features, n_states, "random_from_data", None, rng)
        return 0.5 * near + 0.5 * rng.dirichlet(np.ones(n_states), size=len(rows))
    if how == "kmeans" and len(np.unique(features, axis=0)) >= n_states:
        return start_responsibilities(features, n_states, "kmeans", None, rng)
    if len(rows) >= n_states:
        return start_responsibilities(features, n_states, "k-means++", None, rng)
    return rng.dirichlet(np.ones(n_states), size=len(rows))


def _features(bank: Family, rows: Rows) -> FloatArray:
    """Steps in which distance means something; word counts as shares of their total."""
    if hasattr(rows, "toarray"):
        rows = rows.toarray()
    return start_features(np.asarray(rows, dtype=np.float64), _levels_of(bank))


def _levels_of(bank: Family) -> dict[int, int]:
    """Columns that are categories, and how many levels each has."""
    inner = bank.family if isinstance(bank, Mixed) else bank
    out = {}
    for column in range(inner.n_columns):
        held = inner.univariate_part(column)
        if held is not None:
            try:
                out[column] = int(held[0].level_probabilities(held[1]).shape[1])
            except CannotAnswerError:  # the answer of a column that has no levels
                continue
    return out


def _emission_statistics(
    bank: Family, rows: Rows, shares: Responsibilities, rng: np.random.Generator
) -> object:
    """Statistics of the steps under their states; mixtures are cut into clusters of their own."""
    if not isinstance(bank, Mixed) or bank.n_components == 1:
        return bank.statistics(rows, shares)
    features = _features(bank, rows)
    inner = np.zeros((*shares.shape, bank.n_components))
    state = shares.argmax(axis=1)
    for k in range(bank.n_members):
        mine = np.flatnonzero(state == k)
        if len(mine) > bank.n_components:
            inner[mine, k] = start_responsibilities(
                features[mine], bank.n_components, "k-means++", None, rng
            )
    inner += 0.05 * rng.dirichlet(np.ones(bank.n_components), size=shares.shape)
    inner *= (shares / inner.sum(axis=2))[:, :, None]
    return bank.statistics_of_components(bank.prepare(rows), inner)
