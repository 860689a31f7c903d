"""A hidden Markov chain explains a sequence: each step is drawn from the state it is in.

One *row* of this story is a whole sequence, so that the EM loop, classifiers and mixtures treat
sequences as they treat the rows of a table (Rabiner 1989, Proc. IEEE 77:257).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fabula.core.arrays import Codes, FloatArray, Mask, Members, Responsibilities, Rows
from fabula.core.blocks import Block, SequenceBlocks, Sequences
from fabula.core.errors import UsageError
from fabula.core.threads import ordered_map
from fabula.families.base import Family
from fabula.persistence.registry import storable
from fabula.structures.chains import state_paths
from fabula.structures.chains.law import draw_states, dwell_times, long_run_shares, predict_states
from fabula.structures.chains.learning import (
    HiddenMarkovPrior,
    HiddenMarkovStatistics,
    log_dirichlet,
    log_shares,
)
from fabula.structures.chains.messages import Chain

__all__ = ["HiddenMarkov", "HiddenMarkovPrior", "HiddenMarkovStatistics"]


@storable("story/hidden_markov")
@dataclass(frozen=True)
class HiddenMarkov:
    """p(x, z) = start(z₁) Π transition(z_t | z_{t-1}) Π emission(x_t | z_t).

    Missing cells and whole missing steps (rows of NaN) are integrated out exactly. Transitions
    that are forbidden (log probability -inf) stay forbidden in `maximise`, and those that are
    allowed stay possible, so that no state becomes unreachable by learning.

    A step that is impossible in every state that can be reached makes the sequence impossible
    (log density -inf). It then says nothing of its state, and the posterior is that given the
    other steps.

    Parameters
    ----------
    log_start : (S,) array
        Log probability of each state at the first step.
    log_transitions : (S, S) array
        Log probability of each state (column) after each state (row).
    emission : Family
        Bank of S members.
    """

    log_start: FloatArray
    log_transitions: FloatArray
    emission: Family

    def __post_init__(self) -> None:
        n = self.emission.n_members
        if self.log_start.shape != (n,) or self.log_transitions.shape != (n, n):
            raise UsageError(
                f"A chain over {n} states needs log_start of the shape ({n},) and log_transitions "
                f"of the shape ({n}, {n}), not {self.log_start.shape} and "
                f"{self.log_transitions.shape}."
            )
        if not np.isclose(np.exp(self.log_start).sum(), 1.0, atol=1e-6):
            raise UsageError("The probabilities of the states at the first step must sum to 1.")
        sums = np.exp(self.log_transitions).sum(axis=1)
        if not np.allclose(sums, 1.0, atol=1e-6):
            row = int(np.argmax(~np.isclose(sums, 1.0, atol=1e-6)))
            raise UsageError(
                f"The transition probabilities from each state must sum to 1; those from state "
                f"{row} (counted from 0) sum to {sums[row]:.9g}."
            )

    @property
    def n_states(self) -> int:
        """S, the number of states."""
        return len(self.log_start)

    @property
    def n_columns(self) -> int:
        """d, the number of columns of a step."""
        return self.emission.n_columns

    @property
    def allowed(self) -> Mask:
        """(S, S): True where a state may follow a state."""
        return ~np.isneginf(self.log_transitions)

    @property
    def n_parameters(self) -> int:
        """Free parameters, as the AIC and the BIC count them; what is forbidden is none."""
        starts = int((~np.isneginf(self.log_start)).sum()) - 1
        return starts + int(self.allowed.sum()) - self.n_states + self.emission.n_parameters

    @cached_property
    def _chain(self) -> Chain:
        return Chain(
            np.ascontiguousarray(self.log_start, dtype=np.float64),
            np.ascontiguousarray(self.log_transitions, dtype=np.float64),
        )

    @property
    def steps_at_once(self) -> int:
        """How many steps a block should hold: `SequenceBlocks(x, steps=story.steps_at_once)`."""
        return state_paths.steps_at_once(self.n_states, self.n_columns)

    # Learning ---------------------------------------------------------------------------------

    def prepare(self, block: Block) -> Block:
        """The block with the emissions' preparation in place of its steps; a long one as it is."""
        if block.x.n_steps > state_paths.STRETCH_STEPS:
            return block
        prepared = self.emission.prepare(block.x.steps)
        return Block(block.x.with_steps(prepared), block.known, block.weights)

    def statistics(self, block: Block) -> HiddenMarkovStatistics:
        """Expected statistics of a block of sequences: the E-step."""
        x, weights = block.x, block.weights
        if len(x) > 1 and x.n_steps > state_paths.STRETCH_STEPS:
            pieces = SequenceBlocks(x, weights=weights, steps=state_paths.STRETCH_STEPS)
            return functools.reduce(operator.add, map(self.statistics, pieces))
        n_rows = float(x.n_steps) if weights is None else float(weights @ x.lengths)
        if x.n_steps <= state_paths.STRETCH_STEPS:
            return self._statistics_at_once(x, weights, n_rows)
        return self._statistics_in_stretches(x, weights, n_rows)

    def _statistics_at_once(
        self, x: Sequences, weights: FloatArray | None, n_rows: float
    ) -> HiddenMarkovStatistics:
        ((part, log_evidence),) = state_paths.smoothed_parts(self._chain, self.emission, x, weights)
        posterior = part.result.posterior
        if weights is not None:
            # A sequence of weight 0 says nothing, even where its density is 0.
            log_evidence = weights * np.where(weights > 0, log_evidence, 0.0)
        firsts = x.offsets[:-1][x.offsets[1:] > x.offsets[:-1]]
        return HiddenMarkovStatistics(
            float(log_evidence.sum()),
            n_rows,
            posterior[firsts].sum(axis=0),
            part.result.transitions,
            self.emission.statistics(part.prepared, posterior),
        )

    def _statistics_in_stretches(
        self, x: Sequences, weights: FloatArray | None, n_rows: float
    ) -> HiddenMarkovStatistics:
        weight = 1.0 if weights is None else float(weights[0])
        found: dict[str, Any] = {"evidence": 0.0, "transitions": 0.0}

        def posteriors() -> Iterator[tuple[Any, Responsibilities]]:
            parts = state_paths.smoothed_parts(self._chain, self.emission, x)
            for part, log_evidence in parts:
                smoothed = part.result
                found["evidence"] += float(log_evidence[0])
                found["transitions"] += smoothed.transitions
                found["start"] = weight * smoothed.posterior[0]
                if weight != 1.0:
                    smoothed.posterior[...] *= weight
                yield part.prepared, smoothed.posterior

        def of_steps(item: tuple[Any, Responsibilities]) -> Any:
            return self.emission.statistics(*item)

        emission = functools.reduce(operator.add, ordered_map(of_steps, posteriors()))
        return HiddenMarkovStatistics(
            weight * found["evidence"] if weight > 0 else 0.0,
            n_rows,
            found["start"],
            weight * found["transitions"],
            emission,
        )

    def maximise(
        self, statistics: HiddenMarkovStatistics, prior: HiddenMarkovPrior | None = None
    ) -> HiddenMarkov:
        """Start, transitions and emissions that maximise the expected log joint plus log prior.

        A state that no step was in keeps its row of transitions.
        """
        prior = prior or HiddenMarkovPrior()
        start, transitions = statistics.start, statistics.transitions
        if prior.start is not None:
            start = start + prior.start
        if prior.transitions is not None:
            transitions = transitions + prior.transitions
        return HiddenMarkov(
            log_shares(start[None, :], self.log_start[None, :])[0],
            log_shares(transitions, self.log_transitions),
            self.emission.maximise(statistics.emission, prior.emission),
        )

    def log_prior(self, prior: HiddenMarkovPrior | None) -> float:
        """Log density of the parameters under the prior, up to a constant."""
        if prior is None:
            return 0.0
        start = log_dirichlet(prior.start, self.log_start)
        transitions = log_dirichlet(prior.transitions, self.log_transitions)
        return start + transitions + self.emission.log_prior(prior.emission)

    # Probability ------------------------------------------------------------------------------

    def log_prob(self, x: Sequences) -> FloatArray:
        """Log density of each sequence in nats (n,), together with the states that are known."""

        def answer(x: Sequences, low: int) -> FloatArray:
            parts = state_paths.filtered_parts(self._chain, self.emission, x)
            return sum((part.result.log_evidence for part in parts), np.zeros(len(x)))

        return _joined(state_paths.ask(x, self.steps_at_once, answer), 0)

    def step_scores(self, x: Sequences) -> FloatArray:
        """Log density of each step given those before it, in nats (N,).

        The scores of a sequence sum to its log density; where they are low, the step is unusual.
        """

        def answer(x: Sequences, low: int) -> FloatArray:
            parts = state_paths.filtered_parts(self._chain, self.emission, x)
            return np.concatenate([part.result.log_scale for part in parts])

        return _joined(state_paths.ask(x, self.steps_at_once, answer), 0)

    def state_posterior(self, x: Sequences) -> tuple[FloatArray, Responsibilities]:
        """Log density of each sequence (n,), and probabilities of the states given it (N, S)."""
        posterior = np.empty((x.n_steps, self.n_states))

        def answer(x: Sequences, low: int) -> FloatArray:
            total = np.zeros(len(x))
            for part, log_evidence in state_paths.smoothed_parts(self._chain, self.emission, x):
                total += log_evidence
                posterior[low:][part.places] = part.result.posterior
            return total

        return _joined(state_paths.ask(x, self.steps_at_once, answer), 0), posterior

    def viterbi(self, x: Sequences) -> tuple[Members, FloatArray]:
        """The most probable path of each sequence (N,), and its log joint density in nats (n,)."""

        def answer(x: Sequences, low: int) -> tuple[Members, FloatArray]:
            return state_paths.best_states(self._chain, self.emission, x)

        answers = state_paths.ask(x, self.steps_at_once, answer)
        states = _joined_states([states for states, _ in answers])
        return states, _joined([log_prob for _, log_prob in answers], 0)

    def filter(self, x: Sequences) -> FloatArray:
        """Probabilities (n, S) of the state at the last step given all steps up to it.

        Of an empty sequence, those of the state at the first step.
        """

        def answer(x: Sequences, low: int) -> FloatArray:
            for part in state_paths.filtered_parts(self._chain, self.emission, x):
                last = part
            ends = np.where(x.lengths > 0, last.x.offsets[1:] - 1, -1)
            out = np.tile(self._chain.start, (len(x), 1))
            out[ends >= 0] = last.result.alpha[ends[ends >= 0]]
            return out

        return _joined(state_paths.ask(x, self.steps_at_once, answer), 0, self.n_states)

    def forecast_states(self, x: Sequences, horizon: int) -> FloatArray:
        """Probabilities (n, horizon, S) of the states of the steps that follow."""
        return predict_states(self._chain, self.filter(x), x.lengths > 0, horizon)

    # Simulation -------------------------------------------------------------------------------

    def sample_states(self, lengths: Members, rng: np.random.Generator) -> Members:
        """The states (N,) of one chain of each length."""
        first = np.broadcast_to(self._chain.start, (len(lengths), self.n_states))
        return draw_states(self._chain, first, _offsets(lengths), rng)

    def sample(self, lengths: Members, rng: np.random.Generator) -> tuple[Sequences, Members]:
        """One sequence of each length, and the states (N,) its steps came from."""
        states = self.sample_states(lengths, rng)
        return Sequences(self.emission.sample(states, rng), _offsets(lengths)), states

    def sample_paths(self, x: Sequences, rng: np.random.Generator) -> Members:
        """States (N,) drawn from the posterior of whole paths given each sequence."""
        uniforms = rng.random(x.n_steps)

        def answer(x: Sequences, low: int) -> Members:
            mine = uniforms[low : low + x.n_steps]
            return state_paths.drawn_states(self._chain, self.emission, x, mine)

        return _joined_states(state_paths.ask(x, self.steps_at_once, answer))

    def continue_(self, x: Sequences, n_steps: int, rng: np.random.Generator) -> Sequences:
        """``n_steps`` further steps of each sequence, drawn given the steps it has."""
        first = self.forecast_states(x, 1)[:, 0]
        offsets = _offsets(np.full(len(x), n_steps, dtype=np.intp))
        states = draw_states(self._chain, first, offsets, rng)
        return Sequences(self.emission.sample(states, rng), offsets)

    def complete(self, x: Sequences, rng: np.random.Generator | None = None) -> Rows:
        """The steps (N, d) with every NaN filled given all steps of the sequence.

        Filled with the mean over the states of what the emission fills in (see `Family.complete`),
        or, when ``rng`` is given, with one draw from the joint conditional distribution: a path,
        and then the cells.
        """
        filled = np.array(x.steps, dtype=np.float64)
        gaps = np.flatnonzero(np.isnan(filled).any(axis=1))
        if rng is not None:
            states = self.sample_paths(x, rng)
            filled[gaps] = self.emission.complete(filled[gaps], states[gaps], rng)
            return filled
        posterior = self.state_posterior(x)[1][gaps]
        rows = filled[gaps]
        means = np.zeros_like(rows)
        for k in range(self.n_states):
            members = np.full(len(gaps), k, dtype=np.intp)
            means += posterior[:, k : k + 1] * self.emission.complete(rows, members)
        filled[gaps] = np.where(np.isnan(rows), means, rows)
        return filled

    # The chain itself -------------------------------------------------------------------------

    def stationary(self) -> FloatArray:
        """Share of time (S,) that chains from this start spend in each state in the long run.

        Where the chain cannot be cut into pieces that it never leaves, this is its only stationary
        distribution.
        """
        return long_run_shares(self._chain)

    def dwell_times(self) -> FloatArray:
        """Expected number of steps (S,) that a visit to each state lasts; inf if it never ends."""
        return dwell_times(self._chain)

    def reorder(self, order: Sequence[int] | Members) -> HiddenMarkov:
        """The same story with its states in another order."""
        order = np.asarray(order, dtype=np.intp)
        if sorted(order.tolist()) != list(range(self.n_states)):
            raise UsageError(f"The order of {self.n_states} states must name each of them once.")
        return HiddenMarkov(
            self.log_start[order],
            self.log_transitions[np.ix_(order, order)],
            self.emission.select(order),
        )

    def marginal(self, columns: Sequence[int]) -> HiddenMarkov:
        """The story of some columns, in that order."""
        return HiddenMarkov(self.log_start, self.log_transitions, self.emission.marginal(columns))


def _offsets(lengths: Members) -> Codes:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.intp)


def _joined(answers: list[Any], *empty: int) -> FloatArray:
    """Answers about one piece after another; of nothing, an array of the shape ``empty``."""
    return np.concatenate(answers) if answers else np.zeros(empty)


def _joined_states(answers: list[Members]) -> Members:
    return np.concatenate(answers) if answers else np.zeros(0, dtype=np.intp)
