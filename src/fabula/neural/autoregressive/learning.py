"""Learning to tell what follows: sequences of any length packed into rows without gaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences
from fabula.neural.autoregressive.chain import (
    UNLEARNED_SHARE,
    SpeakingChain,
    learn_chain,
    share_of_chain,
)
from fabula.neural.autoregressive.story import Autoregressive
from fabula.neural.autoregressive.windows import boundary_of, log_shares
from fabula.neural.networks import Network, join, skeleton, split
from fabula.neural.training.checkpoints import digest_of
from fabula.neural.training.descent import Descent
from fabula.neural.training.loop import train
from fabula.neural.training.plan import Plan, TrainingReport
from fabula.structures.chains.markov_chain import MarkovChain

__all__ = ["Lessons", "learn"]


@dataclass(frozen=True)
class Lessons:
    """What there is to learn from.

    Parameters
    ----------
    x : Sequences
        Codes (N,): 0 … C - 1, and C for a symbol that is not known.
    n_symbols : int
        C.
    ends : bool
    condition : (n, c) array, optional
        What is told of each sequence.
    weights : (n,) array, optional
        How much each counts.
    """

    x: Sequences
    n_symbols: int
    ends: bool
    condition: FloatArray | None = None
    weights: FloatArray | None = None

    def of(self, which: NDArray[np.intp]) -> Lessons:
        """Some of the sequences."""
        return replace(
            self,
            x=self.x[which],
            condition=None if self.condition is None else self.condition[which],
            weights=None if self.weights is None else self.weights[which],
        )

    def parted(self, share: float, rng: np.random.Generator) -> tuple[Lessons, Lessons | None]:
        """Those to learn from, and a share by which they are judged.

        Of fewer than ten sequences it is the last part of each.
        """
        n = len(self.x)
        if not share:
            return self, None
        if n >= 10:
            shuffled = rng.permutation(n)
            n_kept = n - max(round(share * n), 1)
            kept, judged = self.of(np.sort(shuffled[:n_kept])), self.of(np.sort(shuffled[n_kept:]))
        else:
            lengths = self.x.lengths
            cut = self.x.offsets[1:] - np.floor(share * lengths).astype(np.intp)
            kept = replace(self, x=_cut(self.x, self.x.offsets[:-1], cut))
            judged = replace(self, x=_cut(self.x, cut, self.x.offsets[1:]))
        if not kept.x.n_steps or not judged.x.n_steps:
            return self, None
        return kept, judged


def learn(
    architecture: Any,
    lessons: Lessons,
    plan: Plan,
    *,
    context: int,
    learning_rate: float,
    weight_decay: float = 0.01,
    averaging: float = 0.999,
    validation_share: float = 0.05,
    class_prior: FloatArray | None = None,
    chain_order: int | None = None,
    on_progress: Callable[[float, float, float], None] | None = None,
    checkpoint: Path | None = None,
) -> tuple[Autoregressive, TrainingReport]:
    """The story of a network of this shape, and how learning went.

    With a ``chain_order``, a Markov chain speaks beside it: its share is the one under which what
    was held out is most probable, after it learned from the rest; then it learns from everything.
    """
    taught, judged = lessons.parted(validation_share, np.random.default_rng(plan.seed))
    data = _rows(taught, context, context, 2 * context)
    validation = None
    if judged is not None:
        validation = _rows(judged, context, context // 2, context + 1)
    reader = _Reading(architecture, lessons.n_symbols, lessons.ends, context)
    told = taught.condition
    told_judged = None if judged is None else judged.condition
    learner = Descent(
        reader.start,
        lambda weights, batch, key: reader.loss(weights, batch, key, told),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        averaging=averaging,
        validation_loss=lambda weights, batch, key: reader.judge(weights, batch, told_judged),
    )
    weights, report = train(
        learner,
        data,
        plan,
        validation=validation,
        on_progress=on_progress,
        checkpoint=checkpoint,
        settings=f"{architecture}, {learning_rate}, {weight_decay}, {averaging}, {context}, "
        f"{lessons.n_symbols}, {lessons.ends}, {digest_of((told, told_judged))}",
    )
    network = Network.of(architecture, join(weights, reader.rest))
    n_known = int((lessons.x.steps != lessons.n_symbols).sum())
    # The rule of succession (Laplace 1774): so many symbols came, none of them new.
    new_symbol = 1.0 / (n_known + 2.0)
    story = Autoregressive(
        network, lessons.n_symbols, lessons.ends, context, new_symbol, class_prior
    )
    if chain_order is None:
        return story, report
    share = UNLEARNED_SHARE
    if judged is not None:
        share = share_of_chain(*_two_tellings(story, _chain(taught, chain_order), judged))
    return replace(story, beside=SpeakingChain(_chain(lessons, chain_order), share)), report


def _chain(lessons: Lessons, order: int) -> MarkovChain:
    return learn_chain(lessons.x, lessons.n_symbols, order, lessons.ends, lessons.weights)


def _two_tellings(
    story: Autoregressive, chain: MarkovChain, judged: Lessons
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log probabilities of what is held out, by network and chain, and how much each counts."""
    x = judged.x
    own = np.concatenate(story.symbol_scores(x, judged.condition))
    others = np.concatenate(chain.symbol_scores(x))
    weights = np.ones(len(x)) if judged.weights is None else judged.weights
    ends = weights if judged.ends else np.zeros(len(x))
    return own, others, np.concatenate([np.repeat(weights, x.lengths), ends])


class _Reading:
    """Loss of windows that are cut out of rows at random."""

    def __init__(self, architecture: Any, n_symbols: int, ends: bool, context: int):
        self.architecture, self.n_symbols, self.ends = architecture, n_symbols, ends
        self.context = context
        self.rest = skeleton(architecture)[1]

    def start(self, key: jax.Array) -> Any:
        return split(self.architecture.build(key))[0]

    def loss(
        self, weights: Any, batch: Any, key: jax.Array, table: FloatArray | None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Mean surprise of each row (n,), over a window that begins somewhere in its first half."""
        for_shift, for_network = jax.random.split(key)
        n = batch["codes"].shape[0]
        shifts = jax.random.randint(for_shift, (n,), 0, self.context)

        def cut(row: jax.Array, shift: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice_in_dim(row, shift, self.context + 1)

        window = {name: jax.vmap(cut)(rows, shifts) for name, rows in batch.items()}
        return self._surprise(weights, window, table, for_network).mean(axis=1), {}

    def judge(self, weights: Any, batch: Any, table: FloatArray | None) -> jax.Array:
        """Mean surprise over the second half of each window, which has seen the first."""
        surprise = self._surprise(weights, batch, table, None)
        return surprise[:, self.context // 2 :].mean(axis=1)

    def _surprise(
        self, weights: Any, window: Any, table: FloatArray | None, key: jax.Array | None
    ) -> jax.Array:
        codes = window["codes"].astype(jnp.int32)
        inputs, targets = codes[:, :-1], codes[:, 1:]
        boundary, unknown = boundary_of(self.n_symbols), self.n_symbols
        fresh = inputs == boundary
        counts = targets != unknown
        if not self.ends:
            inputs = jnp.where(fresh, unknown, inputs)
            counts = counts & (targets != boundary)
        inputs = inputs.at[:, 0].set(jnp.where(inputs[:, 0] == boundary, boundary, unknown))
        told = None if table is None else jnp.asarray(table, jnp.float32)[window["which"][:, :-1]]
        module = join(weights, self.rest)
        logs = log_shares(module(inputs, told, fresh, key), self.n_symbols, self.ends)
        safe = jnp.where(counts, targets, 0)
        surprise = -jnp.take_along_axis(logs, safe[..., None], axis=-1)[..., 0]
        surprise = jnp.where(counts, surprise, 0.0)
        return surprise if "weights" not in window else surprise * window["weights"][:, :-1]


def _rows(lessons: Lessons, context: int, stride: int, length: int) -> dict[str, Any]:
    """All sequences in one ring, one after another, cut into rows that overlap.

    In the ring a boundary stands before each sequence, which also ends the one before it.
    """
    x, n = lessons.x, len(lessons.x)
    offsets = (x.offsets - x.offsets[0]).astype(np.intp)
    codes = np.asarray(x.steps[x.offsets[0] : x.offsets[-1]], dtype=np.int64)
    ring = np.insert(codes, offsets[:-1], boundary_of(lessons.n_symbols))
    starts = np.arange(0, len(ring), stride)
    places = (starts[:, None] + np.arange(length)) % len(ring)
    rows: dict[str, Any] = {"codes": ring.astype(np.min_scalar_type(int(ring.max())))[places]}
    owner = np.repeat(np.arange(n, dtype=np.int32), x.lengths + 1)
    if lessons.condition is not None:
        rows["which"] = owner[places]
    if lessons.weights is not None:
        share = lessons.weights / np.average(lessons.weights, weights=x.lengths + 1)
        rows["weights"] = share.astype(np.float32)[owner][places]
    return rows


def _cut(x: Sequences, lows: NDArray[np.intp], highs: NDArray[np.intp]) -> Sequences:
    parts = [x.steps[low:high] for low, high in zip(lows, highs, strict=True)]
    offsets = np.concatenate([[0], np.cumsum(highs - lows)]).astype(np.intp)
    return Sequences(np.concatenate(parts), offsets)
