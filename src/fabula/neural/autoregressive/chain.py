"""A Markov chain that speaks beside a network over symbols.

A network finds what reaches far; counts know by heart what came often. The mixture of both,
p = (1 - s) p_network + s p_chain at every symbol, predicts better than either (linear interpolation
of language models: Jelinek and Mercer 1980; of networks with counts: Mikolov et al. 2011, Proc.
Interspeech 605).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences
from fabula.core.errors import DataError
from fabula.neural.autoregressive.windows import SymbolCodes
from fabula.persistence.registry import storable
from fabula.structures.chains.markov_chain import MarkovChain

__all__ = ["UNLEARNED_SHARE", "SpeakingChain", "Walk", "learn_chain", "share_of_chain"]


UNLEARNED_SHARE = 0.5
_STEPS_OF_SHARE = 500
_FINE = 1e-10


@storable("neural/speaking_chain")
@dataclass(frozen=True)
class SpeakingChain:
    """A chain, and how much what it says counts beside what the network says.

    Parameters
    ----------
    chain : MarkovChain
    share : float
        s, between 0 and 1.
    """

    chain: MarkovChain
    share: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise DataError("The share of a chain must be between 0 and 1.")

    def mixed_scores(
        self, x: Sequences, steps: FloatArray, ends: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Log probabilities of symbols (N,) and ends (n,), of those that the network gives."""
        own_steps, own_ends = self.chain.symbol_scores(x)
        return self._mixed(steps, own_steps), self._mixed(ends, own_ends)

    def _mixed(self, network: FloatArray, chain: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore"):
            weights = np.log1p(-self.share), np.log(self.share)
        return np.asarray(np.logaddexp(weights[0] + network, weights[1] + chain))

    def mixed_next(self, codes: SymbolCodes, shares: FloatArray) -> FloatArray:
        """Probabilities (V,) of what follows some codes, of those that the network gives."""
        told = self.chain.next_probabilities(codes)
        return np.asarray((1.0 - self.share) * shares + self.share * told)

    def walk(self, rows: Sequence[SymbolCodes], n: int) -> Walk:
        """Along sequences that begin with these codes, in the first of ``n`` rows."""
        return Walk(self, rows, n)


class Walk:
    """What a chain says of sequences while they grow, and the ``share`` it has."""

    def __init__(self, beside: SpeakingChain, rows: Sequence[SymbolCodes], n: int):
        self._chain, self.share = beside.chain, beside.share
        self._nodes = [self._chain.context_of(row) for row in rows]
        self._shares = np.zeros((n, self._chain.n_symbols + 2), dtype=np.float32)

    def shares(self, live: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Probabilities (n, C + 2) of what follows; in rows that are not live, of anything."""
        width = self._chain.tree.n_outcomes
        for i in np.flatnonzero(live):
            self._shares[i, :width] = self._chain.next_after(self._nodes[i])
        return self._shares

    def go_on(self, row: int, code: int) -> None:
        """A symbol was drawn in a row."""
        self._nodes[row] = self._chain.context_of([code], self._nodes[row])


def learn_chain(
    x: Sequences, n_symbols: int, order: int, ends: bool, weights: FloatArray | None
) -> MarkovChain:
    """A chain of the given order: Kneser–Ney, or Dirichlet where parts of sequences count."""
    whole = weights is None or np.array_equal(weights, np.floor(weights))
    smoothing = "kneser-ney" if whole else "dirichlet"
    return MarkovChain.learn(x, n_symbols, order, ends=ends, smoothing=smoothing, weights=weights)


def share_of_chain(
    network: FloatArray, chain: FloatArray, weights: FloatArray | None = None
) -> float:
    """The share under which held-out symbols (N,) are most probable, of their log probabilities.

    By EM, which climbs to the one maximum there is. One half, where nothing was held out.
    """
    counts = np.ones(len(network)) if weights is None else weights
    if not counts.sum() > 0:
        return UNLEARNED_SHARE
    share, ratio = UNLEARNED_SHARE, np.clip(network - chain, -700.0, 700.0)
    for _ in range(_STEPS_OF_SHARE):
        odds = (1.0 - share) * np.exp(ratio)
        new = float(np.average(share / (share + odds), weights=counts))
        if abs(new - share) < _FINE:
            break
        share = new
    return share
