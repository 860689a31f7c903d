"""Pairs of related sequences: an alignment that nobody saw explains both.

A hidden chain of columns emits a letter of x and one of y (match), of y alone (insert) or of x
alone (delete); Durbin, Eddy, Krogh and Mitchison 1998, Biological Sequence Analysis, chapter 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Block
from fabula.core.errors import UsageError
from fabula.persistence.registry import storable
from fabula.structures.pairs import batches, learning, simulation
from fabula.structures.pairs.blocks import Letters, PairPath, Pairs, path_of
from fabula.structures.pairs.checks import ENDS, check_letters, validate
from fabula.structures.pairs.learning import PairPrior, PairStatistics
from fabula.structures.pairs.walks import PairWalk, sparse_matches
from fabula.structures.pairs.without_columns import log_odds_best_empty, log_odds_empty

__all__ = ["PairHiddenMarkov", "PairPrior", "PairStatistics"]

Ends = Literal["global", "read", "local", "overlap"]


@storable("story/pair_hidden_markov")
@dataclass(frozen=True)
class PairHiddenMarkov:
    """The joint distribution of two sequences and their alignment.

    State 0 is the match. With 3 states, 1 inserts and 2 deletes; with 5, states 1 and 2 insert
    and 3 and 4 delete (short and long gaps).

    Parameters
    ----------
    match : (A, A) array
        Joint probability of a letter of x and a letter of y in a matched column; sums to 1.
    insert, delete : (A,) arrays
        Probability of a letter of y in the insert states, and of x in the delete states.
    log_start : (S,) array
        Log probability of the state of the first column.
    log_transitions : (S, S) array
        Log probability of the next column's state.
    log_end : (S,) array
        Log probability of ending after a column; rows of moves and end sum to 1.
    background : (A,) array
        Probability of each letter in the independent story and in free ends; all positive.
    background_stop : float
        η: probability that a sequence of the independent story, or a free end, stops before each
        letter, so that lengths are geometric.
    ends : "global", "read", "local" or "overlap"
        Which letters may lie outside the alignment, at no cost of gaps. *global*: none. *read*:
        letters of x, on both sides (y is a read, x what it came from). *local*: letters of both,
        on both sides. *overlap*: on either side letters of one of the two; which one is a fair
        coin. Each free end has a geometric length (it stops with η) and letters from the
        background, so the story remains a proper distribution over pairs.
    log_empty : float
        Log probability that the alignment has no column; with the start it sums to 1.
    """

    match: FloatArray
    insert: FloatArray
    delete: FloatArray
    log_start: FloatArray
    log_transitions: FloatArray
    log_end: FloatArray
    background: FloatArray
    background_stop: float = 1e-3
    ends: Ends = "global"
    log_empty: float = -np.inf

    def __post_init__(self) -> None:
        validate(self)

    @property
    def n_states(self) -> int:
        """S: 3 or 5."""
        return len(self.log_start)

    @property
    def n_letters(self) -> int:
        """A; the code A itself stands for an unknown letter."""
        return len(self.match)

    @property
    def n_gaps(self) -> int:
        """G, the number of insert states, and of delete states."""
        return (self.n_states - 1) // 2

    @property
    def insert_states(self) -> range:
        """States that emit a letter of y alone."""
        return range(1, self.n_gaps + 1)

    @property
    def delete_states(self) -> range:
        """States that emit a letter of x alone."""
        return range(self.n_gaps + 1, self.n_states)

    @property
    def n_parameters(self) -> int:
        """Free parameters that learning may change; impossible moves are not counted."""
        moves = np.column_stack([self.log_transitions, self.log_end])
        first = np.append(self.log_start, self.log_empty)
        free = int(np.sum(np.isfinite(moves).sum(axis=1) - 1) + np.isfinite(first).sum() - 1)
        return free + self.n_letters**2 - 1 + 2 * (self.n_letters - 1)

    @cached_property
    def _log_background(self) -> FloatArray:
        """Log cost (A + 1,) of a letter in the independent story; the last is an unknown one."""
        return np.asarray(np.append(np.log(self.background), 0.0) + np.log1p(-self.background_stop))

    @cached_property
    def _weights(self) -> Any:
        """Log weights for the kernels, relative to the independent story."""
        from fabula.kernels.pairs.weights import PairWeights

        base = self._log_background
        with np.errstate(divide="ignore"):
            joint = np.log(learning.with_unknown(self.match))
            insert, delete = (np.log(np.append(p, 1.0)) for p in (self.insert, self.delete))
        return PairWeights(
            joint - base[:, None] - base,
            insert - base,
            delete - base,
            np.asarray(self.log_start, dtype=np.float64),
            np.ascontiguousarray(self.log_transitions, dtype=np.float64),
            np.asarray(self.log_end, dtype=np.float64),
            ENDS[self.ends],
            float(np.log(self.background_stop)),
        )

    @cached_property
    def _linear(self) -> Any:
        from fabula.kernels.pairs.weights import linear_weights

        return linear_weights(self._weights)

    def prepare(self, block: Block) -> Block:
        """The block as it is: nothing can be done without the parameters."""
        return block

    def log_prob_independent(self, pairs: Pairs) -> FloatArray:
        """Log probability (n,) of each pair, in nats, if its sequences are unrelated."""
        check_letters(self, pairs)
        total = np.full(len(pairs), 2.0 * np.log(self.background_stop))
        for side in (pairs.x, pairs.y):
            total += batches.sums(self._log_background, side)
        return total

    def log_odds(self, pairs: Pairs, *, band: int | None = None) -> FloatArray:
        """Log odds (n,) of the two sequences being related, rather than independent, in nats.

        Parameters
        ----------
        pairs : Pairs
            Any number of them; short ones are computed 16 side by side.
        band : int, optional
            Only alignments that stay within so many columns of the line between the corners of
            the grid. A warning says where others are likely to matter.
        """
        check_letters(self, pairs)
        log_empty = log_odds_empty(self, pairs.x.lengths, pairs.y.lengths)
        if band is None:
            out = batches.log_totals(pairs, self._weights, self._linear)
        else:
            out = np.empty(len(pairs))
            for k in range(len(pairs)):
                walk = PairWalk(*pairs.pair(k), self._linear, -np.inf, band)
                walk.check_band()
                out[k] = walk.log_total
        return np.asarray(np.logaddexp(out, log_empty) - 2.0 * np.log(self.background_stop))

    def log_prob(self, pairs: Pairs, *, band: int | None = None) -> FloatArray:
        """Log joint probability (n,) of x and y, over all alignments, in nats."""
        return self.log_odds(pairs, band=band) + self.log_prob_independent(pairs)

    def viterbi(
        self, pairs: Pairs, *, band: int | None = None
    ) -> tuple[list[PairPath], FloatArray]:
        """Most probable alignment of each pair, and its log joint probability (n,), in nats."""
        check_letters(self, pairs)
        found = batches.best_paths(pairs, self._weights, band)
        log_prob = self.log_prob_independent(pairs) - 2.0 * np.log(self.background_stop)
        paths = []
        for k, (top, states, i, j) in enumerate(found):
            n, m = int(pairs.x.lengths[k]), int(pairs.y.lengths[k])
            empty = log_odds_best_empty(self, n, m)
            if empty > top or np.isneginf(top):
                top, states = empty, states[:0]
                i, j = n * (self.ends != "global"), m * (self.ends == "local")
            paths.append(PairPath(states, self.n_gaps, i, j))
            log_prob[k] += top
        return paths, log_prob

    def posterior_matrix(
        self, x: Letters, y: Letters, *, band: int | None = None, threshold: float | None = None
    ) -> Any:
        """Probability that each letter of x is matched with each letter of y.

        Parameters
        ----------
        x, y : (n,), (m,) arrays
            Letter codes.
        band : int, optional
            As in `log_odds`.
        threshold : float, optional
            Keep only larger probabilities, for long sequences.

        Returns
        -------
        (n, m) array, or ``scipy.sparse.csr_array`` if ``threshold`` is given
        """
        blocks = self.walk(x, y, band=band).state_blocks(0)
        shape = len(x), len(y)
        if threshold is not None:
            return sparse_matches(blocks, shape, threshold)
        out = np.zeros(shape)
        for first, block in blocks:
            skip = int(first == 0)
            out[first - 1 + skip : first - 1 + len(block)] = block[skip:, 1:]
        return out

    def posterior_states(self, x: Letters, y: Letters, *, band: int | None = None) -> FloatArray:
        """Probability (n + 1, m + 1, S) that a column of each state ends in each cell.

        Cell (i, j) lies after i letters of x and j of y.
        """
        walk = self.walk(x, y, band=band)
        out = np.zeros((len(x) + 1, len(y) + 1, self.n_states))
        for state in range(self.n_states):
            for first, block in walk.state_blocks(state):
                out[first : first + len(block), :, state] = block
        return out

    def sample_paths(
        self, x: Letters, y: Letters, n: int, rng: np.random.Generator, *, band: int | None = None
    ) -> list[PairPath]:
        """``n`` alignments drawn from the posterior of one pair."""
        walk = self.walk(x, y, band=band)
        return simulation.posterior_paths(walk, n, rng, self.ends)

    def expected_accuracy_path(
        self, x: Letters, y: Letters, gamma: float | None = None, *, band: int | None = None
    ) -> PairPath:
        """Alignment that maximises expected accuracy.

        Parameters
        ----------
        gamma : float, optional
            Gain of a true match against the loss of a false one: the sum of (γ + 1) p - 1 over
            the matches is maximised (Hamada et al. 2009, Bioinformatics 25:465); with γ infinite,
            the expected number of true matches (Holmes and Durbin 1998, J. Comput. Biol. 5:493).
            By default infinite for global ends, and 1 for free ones, where all that might match
            by chance would be drawn in otherwise.
        """
        from fabula.kernels.pairs.viterbi import chain_block, chain_cells

        if gamma is None:
            gamma = np.inf if self.ends == "global" else 1.0
        if not gamma > 0:
            raise UsageError(f"gamma must be positive, not {gamma!r}.")
        least = 1.0 / (gamma + 1.0)
        best = np.zeros(len(y) + 1)
        came = np.empty((len(x), len(y)), dtype=np.uint8)
        for first, block in self.walk(x, y, band=band).state_blocks(0):
            skip = int(first == 0)
            gains = np.ascontiguousarray(block[skip:, 1:]) - least
            chain_block(gains, first - 1 + skip, best, came)
        return path_of(chain_cells(came), len(x), len(y), self.ends, self.n_gaps)

    def walk(self, x: Letters, y: Letters, *, band: int | None = None) -> PairWalk:
        """The grid of one pair, for whoever wants its blocks of rows one after another.

        Raises
        ------
        DataError
            The pair has no alignment, or a letter is none of the story's.
        """
        check_letters(self, Pairs.of([x], [y]))
        empty = float(log_odds_empty(self, len(x), len(y)))
        walk = PairWalk(x, y, self._linear, empty, band)
        walk.require_possible()
        if band is not None:
            walk.check_band()
        return walk

    def sample(
        self, n: int, rng: np.random.Generator, *, x_lengths: Any = None
    ) -> tuple[Pairs, list[PairPath]]:
        """``n`` pairs with their true alignments.

        Parameters
        ----------
        n : int
            How many pairs.
        rng : numpy.random.Generator
            Source of randomness.
        x_lengths : int or (n,) array, optional
            Draw given that x has this many letters; for clamped ends only.
        """
        return simulation.sample(self, n, rng, x_lengths)

    def expected_counts(
        self, pairs: Pairs, weights: FloatArray | None = None, *, band: int | None = None
    ) -> PairStatistics:
        """Expected events of each kind in some pairs, given what was seen of them.

        Pairs that are impossible have no events, and a log evidence of -inf. A ``band`` is as in
        `log_odds`, but without the warning.
        """
        return self._counted(pairs, weights, None, band)

    def _counted(
        self,
        pairs: Pairs,
        weights: FloatArray | None,
        threads: int | None,
        band: int | None = None,
    ) -> PairStatistics:
        check_letters(self, pairs)
        weights = np.ones(len(pairs)) if weights is None else np.asarray(weights, dtype=np.float64)
        empty = log_odds_empty(self, pairs.x.lengths, pairs.y.lengths)
        events, totals = batches.counts(
            pairs, self._weights, self._linear, empty, weights, threads, band
        )
        evidence = totals + self.log_prob_independent(pairs) - 2.0 * np.log(self.background_stop)
        a = self.n_letters
        return PairStatistics(
            float(weights @ np.where(weights > 0, evidence, 0.0)),
            float(weights.sum()),
            learning.spread_match(events.match, self.match),
            events.insert[:a] + events.insert[a] * self.insert,
            events.delete[:a] + events.delete[a] * self.delete,
            events.start,
            events.moves,
        )

    def statistics(self, block: Block) -> PairStatistics:
        """Expected events of a block of pairs: the E-step. Blocks are what threads share."""
        return self._counted(block.x, block.weights, 1)

    def maximise(
        self, statistics: PairStatistics, prior: PairPrior | None = None
    ) -> PairHiddenMarkov:
        """Probabilities that maximise the expected log joint plus log prior: the M-step.

        What was never met, and has no pseudo-count, keeps its probabilities. The background stays.
        """
        return learning.maximise(self, statistics, prior)

    def log_prior(self, prior: PairPrior | None) -> float:
        """Log density of the parameters under the prior, up to a constant."""
        return learning.log_prior(self, prior)
