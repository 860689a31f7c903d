"""A network explains a sequence of symbols: each depends on those before it.

One code beside the symbols stands for a symbol that is not known, and one for the place between two
sequences: it goes in where a sequence begins, and comes out where it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Block, Sequences
from fabula.core.errors import CannotAnswerError, DataError
from fabula.neural.autoregressive.chain import SpeakingChain
from fabula.neural.autoregressive.draws import Draws, Rule
from fabula.neural.autoregressive.windows import Windows, log_shares
from fabula.neural.networks import Network
from fabula.persistence.registry import storable
from fabula.structures.chains.ngram_tree import as_codes

__all__ = ["Autoregressive"]

_SYMBOLS_AT_A_TIME = 16_384


@storable("neural/autoregressive")
@dataclass(frozen=True)
class Autoregressive:
    """p(x) = Π p(x_t | those before it), by a network; perhaps given a class or numbers.

    Parameters
    ----------
    network : Network
        Of C + 2 symbols.
    n_symbols : int
        C.
    ends : bool
        Whether sequences begin and end.
    context : int
        Symbols that are read at once. Of longer sequences, each symbol is told by at least half as
        many before it: they are read in windows of this length, each of which begins in the middle
        of the one before.
    new_symbol : float
        Probability that a step is a symbol that was never seen.
    class_prior : (K,) array, optional
        How frequent the classes are, where the condition is a class: a row with a one in its place.
    beside : SpeakingChain, optional
        A Markov chain of the same symbols that has a share in each probability.

    Notes
    -----
    Without a condition, a story that knows classes is the mixture of what it tells of each.
    """

    network: Network
    n_symbols: int
    ends: bool = True
    context: int = 128
    new_symbol: float = 1e-6
    class_prior: FloatArray | None = None
    beside: SpeakingChain | None = field(default=None, metadata={"added_in": "0.3.0"})

    def __post_init__(self) -> None:
        if self.context < 2 or self.context % 2:
            raise DataError(f"context must be even and at least 2, not {self.context}.")
        if self.network.architecture.n_symbols != self.n_symbols + 2:
            raise DataError("The network reads another number of symbols than the story has.")
        if not 0.0 < self.new_symbol < 1.0:
            raise DataError("new_symbol must be a probability between 0 and 1.")
        if self.class_prior is not None and len(self.class_prior) != self.n_condition:
            raise DataError("The network is told another number of classes than there are.")
        if self.beside is not None and (
            self.beside.chain.n_symbols != self.n_symbols or self.beside.chain.ends != self.ends
        ):
            raise DataError("The chain is one of other symbols, or of other ends, than the story.")

    @cached_property
    def module(self) -> Any:
        """The network itself."""
        return self.network.build()

    @property
    def n_condition(self) -> int:
        """How many numbers a condition has."""
        return int(self.network.architecture.n_condition)

    @property
    def n_columns(self) -> int:
        """One: the symbol of a step."""
        return 1

    @property
    def n_parameters(self) -> int:
        """Weights of the network, and of a chain its n-grams and its share."""
        own = int(sum(array.size for array in self.network.weights.values()))
        return own if self.beside is None else own + self.beside.chain.n_parameters + 1

    # Density ------------------------------------------------------------------------------------

    def prepare(self, block: Block) -> Block:
        """Codes as whole numbers."""
        return Block(as_codes(block.x, self.n_symbols), block.known, block.weights)

    def symbol_scores(
        self, x: Sequences, condition: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Log probability of each symbol given those before it (N,), and of each end (n,), nats.

        Where sequences have no ends, that is 0.

        Parameters
        ----------
        x : Sequences
            Steps (N,) or (N, 1): codes 0 … C - 1; others are symbols never seen.
        condition : (n, c) array, optional
        """
        x = as_codes(x, self.n_symbols)
        if not self.n_condition or condition is not None:
            return self._told_scores(x, condition)
        given = [self._told_scores(x, rows) for rows in self._each_class(len(x))]
        steps, ends = (np.stack(parts) for parts in zip(*given, strict=True))
        return self._mixed(x, steps, ends)

    def log_prob(self, x: Sequences, condition: FloatArray | None = None) -> FloatArray:
        """Log probability of each sequence, with its end if sequences end, in nats (n,)."""
        scores, ends = self.symbol_scores(x, condition)
        return _sums(x, scores) + ends

    def log_joint(self, x: Sequences) -> FloatArray:
        """Log p(x, class) (n, K), nats."""
        rows = [self.log_prob(x, told) for told in self._each_class(len(x))]
        return np.stack(rows, axis=1) + self._log_prior

    @cached_property
    def _log_prior(self) -> FloatArray:
        if self.class_prior is None:
            raise CannotAnswerError(
                "a question without a condition",
                "Autoregressive",
                "it was learned given numbers, of which it knows no distribution",
            )
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.class_prior))

    def _each_class(self, n: int) -> list[FloatArray]:
        eye = np.eye(len(self._log_prior))
        return [np.tile(row, (n, 1)) for row in eye]

    def _mixed(
        self, x: Sequences, steps: FloatArray, ends: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Scores under the mixture of the classes, of those (K, N) and (K, n) under each."""
        prior = self._log_prior[:, None]
        out, out_ends = np.zeros(steps.shape[1]), np.zeros(len(x))
        for i, (low, high) in enumerate(_places(x)):
            so_far = np.cumsum(np.column_stack([prior, steps[:, low:high], ends[:, i]]), axis=1)
            each = np.diff(logsumexp(so_far, axis=0))
            out[low:high], out_ends[i] = each[:-1], each[-1]
        return out, out_ends

    def _told_scores(
        self, x: Sequences, condition: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        windows = Windows.of(x, self.n_symbols, self.ends, self.context)
        found = np.zeros(windows.n_targets)
        for part in windows.batches(_SYMBOLS_AT_A_TIME):
            told = None if condition is None else jnp.asarray(condition[part.which], jnp.float32)
            scores = _score(self.module, part.inputs, part.targets, told, self.n_symbols, self.ends)
            found[part.places] = np.asarray(scores, dtype=np.float64)[part.counted]
        known = windows.targets != self.n_symbols
        found = np.where(known, found + np.log1p(-self.new_symbol), np.log(self.new_symbol))
        steps, ends = windows.apart(found)
        return (steps, ends) if self.beside is None else self.beside.mixed_scores(x, steps, ends)

    # What comes next ----------------------------------------------------------------------------

    def next_probabilities(
        self, codes: NDArray[np.int64] | Sequence[int], condition: FloatArray | None = None
    ) -> FloatArray:
        """Probabilities (V,) after some codes: of the symbols, one never seen, and the end.

        Parameters
        ----------
        codes : (P,) array
        condition : (c,) array, optional
        """
        given = np.asarray(codes, dtype=np.int64)
        if not self.n_condition or condition is not None:
            return self._told_next(given, condition)
        weights = self.class_posterior(given)
        rows = [self._told_next(given, row) for row in np.eye(len(weights))]
        return np.asarray(weights @ np.stack(rows))

    def _told_next(self, given: NDArray[np.int64], condition: FloatArray | None) -> FloatArray:
        windows = Windows.after(given, self.n_symbols, self.ends, self.context)
        told = None if condition is None else jnp.asarray(condition, jnp.float32)[None]
        logs = _next(self.module, windows.inputs, windows.last, told, self.n_symbols, self.ends)
        shares = np.exp(np.asarray(logs, dtype=np.float64))
        out = np.zeros(self.n_symbols + 1 + self.ends)
        out[: self.n_symbols] = shares[: self.n_symbols]
        if self.ends:
            out[-1] = shares[-1]
        out *= (1.0 - self.new_symbol) / out.sum()
        out[self.n_symbols] = self.new_symbol
        return out if self.beside is None else self.beside.mixed_next(given, out)

    def class_posterior(self, codes: NDArray[np.int64]) -> FloatArray:
        """Probability of each class (K,), of a sequence that begins with these codes."""
        begun = Sequences(np.asarray(codes, dtype=np.int64), np.array([0, len(codes)]))
        logs = [self._told_scores(begun, told)[0].sum() for told in self._each_class(1)]
        joint = np.array(logs) + self._log_prior
        return np.asarray(np.exp(joint - logsumexp(joint)))

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
        condition: FloatArray | None = None,
        allowed: Any = None,
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
        condition : (c,) or (n, c) array, optional
        allowed : (S, C + 1) array of bool or callable, optional
            Which symbols, and in the last column the end, may stand at each place of a sequence;
            the last row is for all places after it. Or what says so (C + 1,) of the codes so far.

        Raises
        ------
        DataError
            At some place nothing is allowed that is possible.
        """
        given = np.asarray(prefix, dtype=np.int64)
        return self.continue_codes(
            [given] * n,
            rng,
            rule=Rule(temperature, top_k, top_p, allowed),
            max_length=max_length,
            condition=condition,
        )

    def continue_codes(
        self,
        begun: Sequence[NDArray[np.int64]],
        rng: np.random.Generator,
        *,
        rule: Rule,
        max_length: int | NDArray[np.intp],
        condition: FloatArray | None = None,
    ) -> Sequences:
        """Sequences that begin with those given, as `sample_codes`."""
        n = len(begun)
        if self.n_condition and condition is None:
            condition = self._draw_classes(begun, rng)
        told = None
        if condition is not None:
            told = np.broadcast_to(np.asarray(condition, np.float32), (n, self.n_condition))
        seed = int(rng.integers(2**32))
        draws = Draws(self.module, self.n_symbols, self.ends, self.context, rule, self.beside)
        lengths = np.broadcast_to(np.asarray(max_length), (n,))
        return _stacked(draws.go_on(begun, lengths, told, seed))

    def _draw_classes(
        self, begun: Sequence[NDArray[np.int64]], rng: np.random.Generator
    ) -> FloatArray:
        """A class for each sequence, given how it begins."""
        shares: dict[bytes, FloatArray] = {}
        for codes in begun:
            key = codes.tobytes()
            if key not in shares:
                shares[key] = self.class_posterior(codes)
        chosen = [rng.choice(len(p), p=p) for p in (shares[codes.tobytes()] for codes in begun)]
        return np.asarray(np.eye(len(self._log_prior))[chosen])

    def sample(
        self, lengths: NDArray[np.intp], rng: np.random.Generator
    ) -> tuple[Sequences, NDArray[np.intp]]:
        """Sequences (N, 1) of the given lengths, none of which ends before, and a zero for each."""
        lengths = np.asarray(lengths, dtype=np.intp)
        endless = np.ones((1, self.n_symbols + 1), dtype=bool)
        endless[0, -1] = False
        nothing = [np.zeros(0, dtype=np.int64)] * len(lengths)
        drawn = self.continue_codes(nothing, rng, rule=Rule(allowed=endless), max_length=lengths)
        steps = drawn.steps[:, None].astype(np.float64)
        return drawn.with_steps(steps), np.zeros(len(drawn), dtype=np.intp)


@eqx.filter_jit
def _score(
    module: Any, inputs: Any, targets: Any, told: Any, n_symbols: int, ends: bool
) -> jax.Array:
    logs = log_shares(module(inputs, told), n_symbols, ends)
    return jnp.take_along_axis(logs, targets[..., None], axis=-1)[..., 0]


@eqx.filter_jit
def _next(module: Any, inputs: Any, last: Any, told: Any, n_symbols: int, ends: bool) -> jax.Array:
    return log_shares(module(inputs, told)[0, last], n_symbols, ends)


def _sums(x: Sequences, scores: FloatArray) -> FloatArray:
    of_sequence = np.repeat(np.arange(len(x)), x.lengths)
    return np.asarray(np.bincount(of_sequence, scores, len(x)))


def _places(x: Sequences) -> list[tuple[int, int]]:
    offsets = (x.offsets - x.offsets[0]).tolist()
    return list(pairwise(offsets))


def _stacked(pieces: list[NDArray[np.int64]]) -> Sequences:
    offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.intp)
    steps = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64)
    return Sequences(steps, offsets)
