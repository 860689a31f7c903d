"""A Markov chain of order k explains a sequence of symbols: each depends on the k before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Block, Sequences
from fabula.core.errors import UsageError
from fabula.persistence.registry import storable
from fabula.structures.chains.ngram_smoothing import (
    SMOOTHINGS,
    Shares,
    dirichlet_shares,
    kneser_ney_shares,
    log_dirichlet_prior,
)
from fabula.structures.chains.ngram_tree import NgramTree, as_codes

__all__ = ["MarkovChain", "MarkovChainPrior", "MarkovChainStatistics"]


@dataclass(frozen=True)
class MarkovChainPrior:
    """What a Dirichlet chain believes of its longest contexts while it learns by EM.

    Smoothing draws the shorter contexts from the same counts. Were they to move with every step,
    so would the prior, and nothing would climb; they stay those of one tree instead.

    Parameters
    ----------
    tree : NgramTree
        Of the very sequences to learn from; its counts of shorter n-grams are kept.
    """

    tree: NgramTree


@dataclass(frozen=True)
class MarkovChainStatistics:
    """Sequences, how much each counts, and their log evidence.

    The counts of their n-grams are made when they are needed: two trees could be added, but
    sequences side by side are a smaller sum.
    """

    log_evidence: float
    n_rows: float
    parts: tuple[tuple[Sequences, FloatArray | None], ...]

    def __add__(self, other: MarkovChainStatistics) -> MarkovChainStatistics:
        return MarkovChainStatistics(
            self.log_evidence + other.log_evidence,
            self.n_rows + other.n_rows,
            self.parts + other.parts,
        )


@storable("story/markov_chain")
@dataclass(frozen=True)
class MarkovChain:
    """p(x) = Π p(x_t | the k symbols before it), smoothed by shorter contexts.

    Parameters
    ----------
    tree : NgramTree
        The n-grams that were seen, of up to k + 1 symbols.
    smoothing : {"kneser-ney", "dirichlet"}
    concentrations : (k + 1,) array, optional
        With "dirichlet": the weight of shorter contexts, for n-grams of 1, 2, … symbols, in
        observations; those of the greatest evidence by default.

    Notes
    -----
    Besides the C symbols, one outcome stands for every symbol that was never seen. It has what
    smoothing gives it; after it, a chain begins anew with the empty context.
    """

    tree: NgramTree
    smoothing: str = "kneser-ney"
    concentrations: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.smoothing not in SMOOTHINGS:
            raise UsageError(
                f"smoothing must be one of {', '.join(SMOOTHINGS)}, not {self.smoothing!r}."
            )
        alphas = self.concentrations
        if alphas is None:
            return
        if self.smoothing != "dirichlet":
            raise UsageError("concentrations go with smoothing='dirichlet' only.")
        if np.shape(alphas) != (self.order + 1,) or not np.all(
            np.isfinite(alphas) & (np.asarray(alphas) > 0)
        ):
            raise UsageError(
                f"concentrations must be {self.order + 1} positive numbers, one for each length of "
                "n-grams."
            )

    @classmethod
    def learn(
        cls,
        x: Sequences,
        n_symbols: int,
        order: int,
        *,
        ends: bool = True,
        smoothing: str = "kneser-ney",
        concentration: float | FloatArray | None = None,
        weights: FloatArray | None = None,
    ) -> MarkovChain:
        """The chain of some sequences of codes.

        Parameters
        ----------
        x : Sequences
            Steps (N,) or (N, 1): codes 0 … C - 1; others are symbols never seen.
        n_symbols, order : int
            C and k.
        ends : bool
            Whether sequences have beginnings and ends that say something.
        smoothing : {"kneser-ney", "dirichlet"}
        concentration : float or (k + 1,) array, optional
            One for all lengths of n-grams, or one for each; None finds one for each.
        weights : (n,) array, optional
            How often each sequence counts.
        """
        tree = NgramTree.grow(as_codes(x, n_symbols), n_symbols, order, ends, weights)
        alphas = None
        if concentration is not None:
            alphas = np.broadcast_to(np.asarray(concentration, np.float64), (order + 1,)).copy()
        return cls(tree, smoothing, alphas).settled()

    def settled(self) -> MarkovChain:
        """The same chain with the concentrations that were found, so that they are not sought."""
        if self.smoothing != "dirichlet" or self.concentrations is not None:
            return self
        found = MarkovChain(self.tree, self.smoothing, self.shares.parameters[:, 0].copy())
        found.__dict__["shares"] = self.shares
        return found

    @property
    def n_symbols(self) -> int:
        """C."""
        return self.tree.n_symbols

    @property
    def order(self) -> int:
        """k, how many symbols back a chain looks."""
        return self.tree.order

    @property
    def ends(self) -> bool:
        """Whether sequences begin and end."""
        return self.tree.ends

    @property
    def n_columns(self) -> int:
        """One: the symbol of a step."""
        return 1

    @property
    def n_parameters(self) -> int:
        """The n-grams that were seen, each with a share of its own, and those of smoothing."""
        return int((self.tree.counts[1:] > 0).sum()) + int(self.shares.parameters.size)

    @cached_property
    def shares(self) -> Shares:
        """Smoothed probabilities."""
        if self.smoothing == "dirichlet":
            return dirichlet_shares(self.tree, self.concentrations)
        return kneser_ney_shares(self.tree)

    @cached_property
    def _logs(self) -> tuple[FloatArray, FloatArray]:
        with np.errstate(divide="ignore"):
            return np.log(self.shares.probabilities), np.log(self.shares.left)

    @cached_property
    def _first(self) -> int:
        """The context in which sequences begin; a running text may begin anywhere."""
        return self._after_beginning() if self.ends else 0

    def _after_beginning(self) -> int:
        first = self.tree.level(1)
        if not self.order or first.stop == first.start:
            return 0
        last = first.stop - 1
        return last if self.tree.symbols[last] == self.tree.beginning else 0

    # Density ------------------------------------------------------------------------------------

    def prepare(self, block: Block) -> Block:
        """Codes as whole numbers."""
        return Block(as_codes(block.x, self.n_symbols), block.known, block.weights)

    def symbol_scores(self, x: Sequences) -> tuple[FloatArray, FloatArray]:
        """Log probability of each symbol given those before it (N,), and of each end (n,), nats.

        Where sequences have no ends, that is 0.
        """
        from fabula.kernels.chains.ngrams import score_paths

        x = as_codes(x, self.n_symbols)
        scores, ends = np.zeros(x.n_steps), np.zeros(len(x))
        tree, (log_probs, log_left) = self.tree, self._logs
        score_paths(
            np.ascontiguousarray(x.steps),
            np.ascontiguousarray(x.offsets - x.offsets[0], dtype=np.int64),
            self._first,
            tree.n_symbols + 1 if self.ends else -1,
            -float(np.log(tree.n_outcomes)),
            tree.nexts,
            tree.child_starts,
            tree.symbols,
            tree.suffixes,
            log_probs,
            log_left,
            scores,
            ends,
        )
        return scores, ends

    def log_prob(self, x: Sequences) -> FloatArray:
        """Log probability of each sequence, with its end if sequences end, in nats (n,)."""
        scores, ends = self.symbol_scores(x)
        of_sequence = np.repeat(np.arange(len(x)), x.lengths)
        return np.asarray(np.bincount(of_sequence, scores, len(x)) + ends)

    # Learning -----------------------------------------------------------------------------------

    def statistics(self, block: Block) -> MarkovChainStatistics:
        """The sequences of a block with their weights, and their log evidence."""
        x = as_codes(block.x, self.n_symbols)
        log_prob = self.log_prob(x)
        if block.weights is None:
            return MarkovChainStatistics(float(log_prob.sum()), float(len(x)), ((x, None),))
        weights = block.weights
        # Sequences of weight 0 stay: their n-grams are nodes of the tree, and count nothing.
        evidence = float(weights @ np.where(weights > 0, log_prob, 0.0))
        return MarkovChainStatistics(evidence, float(weights.sum()), ((x, weights),))

    def maximise(
        self, statistics: MarkovChainStatistics, prior: MarkovChainPrior | None = None
    ) -> MarkovChain:
        """The chain of other sequences over the same symbols; concentrations stay as they are.

        With a prior, only the longest contexts are learned. With nothing to learn from, the chain
        stays as it is.

        Raises
        ------
        UsageError
            Kneser–Ney smoothing cannot count a part of a sequence; or the prior is of other
            sequences.
        """
        parts = [(x, weights) for x, weights in statistics.parts if len(x)]
        if not statistics.n_rows > 0:
            return self
        lengths = np.concatenate([x.lengths for x, _ in parts])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.intp)
        x = Sequences(np.concatenate([x.steps for x, _ in parts]), offsets)
        weights = None
        if any(mine is not None for _, mine in parts):
            weights = np.concatenate(
                [np.ones(len(x)) if mine is None else mine for x, mine in parts]
            )
        tree = NgramTree.grow(x, self.n_symbols, self.order, self.ends, weights)
        if prior is not None:
            tree = tree.with_shorter(prior.tree)
        return MarkovChain(tree, self.smoothing, self.concentrations)

    def log_prior(self, prior: MarkovChainPrior | None = None) -> float:
        """Log density of the longest contexts given the shorter ones, less its greatest value.

        0 without a prior: smoothing by itself is a law of how contexts share.
        """
        return 0.0 if prior is None else log_dirichlet_prior(self.tree, self.shares)

    def cut(self, order: int) -> MarkovChain:
        """The chain of a lower order, learned from the same sequences."""
        alphas = None if self.concentrations is None else self.concentrations[: order + 1]
        return MarkovChain(self.tree.cut(order), self.smoothing, alphas)

    # What comes next ----------------------------------------------------------------------------

    def context_of(self, codes: NDArray[np.int64] | Sequence[int], node: int | None = None) -> int:
        """The node of the tree that a sequence goes on from after these codes.

        They stand at its beginning, or after what led to ``node``.
        """
        from fabula.kernels.chains.ngrams import follow

        tree, start = self.tree, self._first if node is None else node
        array = np.ascontiguousarray(codes, dtype=np.int64)
        return int(follow(start, array, tree.nexts, tree.child_starts, tree.symbols, tree.suffixes))

    def next_probabilities(self, codes: NDArray[np.int64] | Sequence[int]) -> FloatArray:
        """Probabilities (V,) after some codes: of the symbols, one never seen, and the end."""
        return self.next_after(self.context_of(codes))

    def next_after(self, node: int) -> FloatArray:
        """The same (V,), after what leads to a node of the tree."""
        from fabula.kernels.chains.ngrams import next_probabilities

        tree, out = self.tree, np.empty(self.tree.n_outcomes)
        shares = self.shares
        next_probabilities(
            node, tree.child_starts, tree.symbols, tree.suffixes, shares.shares, shares.left, out
        )
        return out

    def sample_codes(
        self,
        n: int,
        rng: np.random.Generator,
        *,
        prefix: NDArray[np.int64] | Sequence[int] = (),
        temperature: float = 1.0,
        max_length: int = 1000,
        top_k: int | None = None,
        top_p: float = 1.0,
    ) -> Sequences:
        """``n`` sequences of codes that begin with a prefix.

        Parameters
        ----------
        n : int
        rng : Generator
        prefix : (P,) array
        temperature : float
            Probabilities are raised to the power 1/temperature; 0 takes the most probable symbol.
        max_length : int
            Longest sequence, with its prefix; longer ones are cut there.
        top_k, top_p : int, float
            Draw among the ``top_k`` most probable symbols, and among the fewest that have
            ``top_p`` of the probability.
        """
        given = np.asarray(prefix, dtype=np.int64)
        node, room = self.context_of(given), max(max_length - len(given), 0)
        choice = (float(temperature), top_k or self.tree.n_outcomes, float(top_p))
        pieces: list[NDArray[np.int64]] = []
        lengths = np.zeros(n, dtype=np.intp)
        for i in range(n):
            drawn = self._draw(node, rng.random(room), choice, endless=not self.ends)
            pieces += [given, drawn]
            lengths[i] = len(given) + len(drawn)
        return _stacked(pieces, lengths)

    def sample(
        self, lengths: NDArray[np.intp], rng: np.random.Generator
    ) -> tuple[Sequences, NDArray[np.intp]]:
        """Sequences (N, 1) of the given lengths, none of which ends before, and a zero for each."""
        pieces = [
            self._draw(self._first, rng.random(length), (1.0, self.tree.n_outcomes, 1.0), True)
            for length in lengths
        ]
        drawn = _stacked(pieces, np.asarray(lengths, dtype=np.intp))
        steps = drawn.steps[:, None].astype(np.float64)
        return drawn.with_steps(steps), np.zeros(len(drawn), dtype=np.intp)

    def _draw(
        self,
        node: int,
        uniforms: FloatArray,
        choice: tuple[float, int, float],
        endless: bool,
    ) -> NDArray[np.int64]:
        from fabula.kernels.chains.ngrams import draw_path

        tree, shares = self.tree, self.shares
        path: NDArray[np.int64] = draw_path(
            node,
            uniforms,
            tree.n_symbols,
            *choice,
            tree.n_outcomes,
            endless,
            tree.nexts,
            tree.child_starts,
            tree.symbols,
            tree.suffixes,
            shares.shares,
            shares.left,
        )
        return path


def _stacked(pieces: list[NDArray[np.int64]], lengths: NDArray[np.intp]) -> Sequences:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.intp)
    steps = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64)
    return Sequences(steps, offsets)
