"""Walks along sequences of any length: forward, and then back over the same steps.

A sequence that is longer than a stretch is never held whole. The forward pass keeps one vector for
each stretch, and the way back works every stretch out again from it (checkpoints, as in Grice,
Hughey and Speck 1997, CABIOS 13:45): twice the work, and memory for one stretch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from fabula.core.arrays import FloatArray, Members
from fabula.core.blocks import SequenceBlocks, Sequences
from fabula.core.threads import ordered_map, single_threaded_blas
from fabula.families.base import Family
from fabula.structures.chains.messages import (
    Chain,
    Filtered,
    Smoothed,
    best_messages,
    filter_steps,
    log_frames,
    smooth,
)

__all__ = [
    "STRETCH_STEPS",
    "Part",
    "ask",
    "best_states",
    "drawn_states",
    "filtered_parts",
    "smoothed_parts",
    "steps_at_once",
]

# Longer sequences are taken in stretches of so many steps.
STRETCH_STEPS = 16_384

# Results of so many states of steps are kept from the way there; the others are found again.
_DOUBLES_KEPT = 4_194_304

_DOUBLES_AT_ONCE = 1_048_576

_Result = TypeVar("_Result")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Part(Generic[_Result]):
    """A stretch of the steps of some sequences, and what was found there."""

    low: int  # the first of its steps, counted from the first step of the sequences
    x: Sequences
    prepared: Any
    result: _Result

    @property
    def places(self) -> slice:
        """Which steps they are."""
        return slice(self.low, self.low + self.x.n_steps)


def steps_at_once(n_states: int, n_columns: int) -> int:
    """How many steps to take at a time so that the work on them stays in cache."""
    return int(np.clip(_DOUBLES_AT_ONCE // (4 * n_states + 3 * n_columns), 1024, 16_384))


def ask(x: Sequences, steps: int, answer: Callable[[Sequences, int], _Answer]) -> list[_Answer]:
    """Answers about some whole sequences at a time, in threads; they are told their first step."""
    x = x.with_steps(x.steps.astype(np.float64, copy=False))

    def items() -> Iterator[tuple[Sequences, int]]:
        low = 0
        for block in SequenceBlocks(x, steps=min(steps, STRETCH_STEPS)):
            yield block.x, low
            low += block.x.n_steps

    if x.n_steps <= min(steps, STRETCH_STEPS):
        return [answer(x, 0)] if len(x) else []
    with single_threaded_blas():
        return list(ordered_map(lambda item: answer(*item), items()))


def filtered_parts(chain: Chain, emission: Family, x: Sequences) -> Iterator[Part[Filtered]]:
    """The forward pass, from the first stretch to the last."""
    carry = None
    for low, part, prepared, log_b in _looked_at(emission, _stretches(x)):
        filtered = _filter(chain, log_b, part, carry)
        yield Part(low, part, prepared, filtered)
        if part.n_steps:
            carry = filtered.message()


def smoothed_parts(
    chain: Chain, emission: Family, x: Sequences, weights: FloatArray | None = None
) -> Iterator[tuple[Part[Smoothed], FloatArray]]:
    """Posteriors from the last stretch to the first, and the log evidence of each stretch."""
    following = None
    for part in _way_back(emission, x, lambda *given: _filter(chain, *given), Filtered.message):
        log_evidence = part.result.log_evidence
        smoothed = smooth(chain, part.result, weights, following)
        following = smoothed.posterior[0].copy() if len(smoothed.posterior) else None
        yield Part(part.low, part.x, part.prepared, smoothed), log_evidence


def best_states(chain: Chain, emission: Family, x: Sequences) -> tuple[Members, FloatArray]:
    """The most probable path of each sequence (N,), and its log joint density (n,)."""
    from fabula.kernels.chains.messages import best_paths, sums_by_sequence

    def run(log_b: FloatArray, part: Sequences, carry: FloatArray | None) -> Any:
        frames = log_frames(chain, log_b, part.offsets, part.states, carry is not None)
        return best_messages(chain, frames, part.offsets, carry)

    states = np.empty(x.n_steps, dtype=np.intp)
    total = np.zeros(len(x))
    following = -1
    for part in _way_back(emission, x, run, lambda result: result[0][-1].copy()):
        best, log_scale = part.result
        sums = np.empty(len(part.x))
        sums_by_sequence(log_scale, part.x.offsets, sums)
        total += sums
        mine = states[part.places]
        best_paths(best, part.x.offsets, chain.log_transposed, following, mine)
        following = int(mine[0]) if len(mine) else -1
    return states, total


def drawn_states(chain: Chain, emission: Family, x: Sequences, uniforms: FloatArray) -> Members:
    """One path for each sequence from its posterior (N,), by way of uniform numbers (N,)."""
    from fabula.kernels.chains.sampling import draw_paths, draw_paths_careful

    states = np.empty(x.n_steps, dtype=np.intp)
    following = -1
    for part in _way_back(emission, x, lambda *given: _filter(chain, *given), Filtered.message):
        found, mine, share = part.result, states[part.places], uniforms[part.places]
        offsets = part.x.offsets
        draw_paths(found.alpha, offsets, chain.transposed, share, found.careful, following, mine)
        if found.log_alpha is not None:
            which = np.flatnonzero(found.careful)
            draw_paths_careful(
                found.log_alpha, offsets, which, chain.log_transposed, share, following, mine
            )
        following = int(mine[0]) if len(mine) else -1
    return states


def _filter(chain: Chain, log_b: FloatArray, part: Sequences, carry: FloatArray | None) -> Filtered:
    frames = log_frames(chain, log_b, part.offsets, part.states, carry is not None)
    return filter_steps(chain, frames, part.offsets, carry)


def _way_back(
    emission: Family,
    x: Sequences,
    run: Callable[[FloatArray, Sequences, FloatArray | None], _Result],
    message: Callable[[_Result], FloatArray],
) -> Iterator[Part[_Result]]:
    """``run`` on every stretch from the last to the first, given the message of the one before."""
    parts = _stretches(x)
    carries: list[FloatArray | None] = [None]
    kept: deque[Part[_Result]] = deque()
    most = max(1, _DOUBLES_KEPT // (emission.n_members * STRETCH_STEPS))
    for low, part, prepared, log_b in _looked_at(emission, parts):
        result = run(log_b, part, carries[-1])
        kept.append(Part(low, part, prepared, result))
        if len(kept) > most:
            kept.popleft()
        if len(carries) < len(parts):
            carries.append(message(result))
    n_again = len(parts) - len(kept)
    while kept:
        yield kept.pop()
    for low, part, prepared, log_b in _looked_at(emission, parts[:n_again][::-1]):
        n_again -= 1
        yield Part(low, part, prepared, run(log_b, part, carries[n_again]))


def _stretches(x: Sequences) -> list[tuple[int, Sequences]]:
    """The sequences themselves, or a long one in stretches; each with its first step."""
    if len(x) != 1 or x.n_steps <= STRETCH_STEPS:
        return [(0, x)]
    parts = []
    for low in range(0, x.n_steps, STRETCH_STEPS):
        high = min(low + STRETCH_STEPS, x.n_steps)
        states = None if x.states is None else x.states[low:high]
        offsets = np.array([0, high - low], dtype=np.intp)
        parts.append((low, Sequences(x.steps[low:high], offsets, states)))
    return parts


def _looked_at(
    emission: Family, parts: list[tuple[int, Sequences]]
) -> Iterator[tuple[int, Sequences, Any, FloatArray]]:
    """Each stretch with its log densities (N, S), worked out in threads where there are several."""

    def look(part: tuple[int, Sequences]) -> tuple[int, Sequences, Any, FloatArray]:
        prepared = emission.prepare(part[1].steps)
        return *part, prepared, emission.log_prob(prepared)

    if len(parts) <= 1:
        yield from map(look, parts)
    else:
        yield from ordered_map(look, parts)
