"""Pairs drawn from their story, and alignments drawn from the posterior of one pair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError, UsageError
from fabula.structures.pairs.blocks import Letters, PairPath, Pairs
from fabula.structures.pairs.walks import PairWalk

if TYPE_CHECKING:
    from fabula.structures.pairs.hidden_markov import PairHiddenMarkov

__all__ = ["posterior_paths", "sample"]


def posterior_paths(walk: PairWalk, n: int, rng: np.random.Generator, ends: str) -> list[PairPath]:
    """``n`` alignments drawn backwards through the sums over their beginnings."""
    from fabula.kernels.pairs.sampling import WAITS, draw_block

    n_x, n_y = len(walk.x), len(walk.y)
    n_gaps = (len(walk.weights.start) - 1) // 2
    cells = np.zeros((n, 2), dtype=np.intp)
    states = np.full(n, WAITS, dtype=np.uint8)
    paths = np.empty((n, n_x + n_y), dtype=np.uint8)
    lengths = np.zeros(n, dtype=np.intp)
    left = rng.random(n) - np.exp(walk.log_empty - walk.log_total)
    empty = left < 0
    states[empty] = 255
    if empty.any():
        cells[empty] = _empty_split(n_x, n_y, ends, int(empty.sum()), rng)
    # Rounding may leave a path without an end; it is then drawn again.
    while (states == WAITS).any():
        for first, count, rows in walk.blocks():
            draw_block(
                walk.weights, walk.band, n_x, n_y, first, count, rows, walk.total, walk.power,
                rng, left, cells, states, paths, lengths,
            )  # fmt: skip
        waits = states == WAITS
        left[waits] = rng.random(int(waits.sum()))
    return [
        PairPath(paths[k, : lengths[k]][::-1].copy(), n_gaps, int(cells[k, 0]), int(cells[k, 1]))
        for k in range(n)
    ]


def _empty_split(
    n: int, m: int, ends: str, size: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Where alignments without a column stand: letters before it are those of the first end."""
    if ends == "overlap":
        # (0, 0) to (n, 0) if y has no letters; else one end is that of x and the other of y.
        cells = {(i, 0): 1.0 for i in range(n + 1)} if m == 0 else {(n, 0): 1.0, (0, m): 1.0}
        if n == 0 and m > 0:
            cells = {(0, j): 1.0 for j in range(m + 1)}
        if (n == 0) != (m == 0):
            cells[0, 0] = cells[n, m] = 2.0
        places = np.array(list(cells), dtype=np.intp)
        weights = np.array(list(cells.values()))
        return places[rng.choice(len(places), size=size, p=weights / weights.sum())]
    high = (n * (ends != "global"), m * (ends == "local"))
    return rng.integers(0, high, size=(size, 2), endpoint=True)


def sample(
    story: PairHiddenMarkov, n: int, rng: np.random.Generator, x_lengths: Any = None
) -> tuple[Pairs, list[PairPath]]:
    """``n`` pairs with their true alignments; see the story."""
    if x_lengths is None:
        drawn = [_sample_one(story, _free_states(story, rng), rng) for _ in range(n)]
    else:
        if story.ends != "global":
            raise CannotAnswerError(
                "sample with x_lengths", "PairHiddenMarkov", f"its ends are {story.ends}",
                ("PairHiddenMarkov with global ends",),
            )  # fmt: skip
        lengths = np.broadcast_to(np.asarray(x_lengths, dtype=np.intp), (n,))
        if n and lengths.min() < 0:
            raise UsageError("x_lengths must not be negative.")
        tables = _to_come(story, int(lengths.max(initial=0)))
        drawn = [
            _sample_one(story, _states_of_length(story, int(length), tables, rng), rng)
            for length in lengths
        ]
    return Pairs.of([d[0] for d in drawn], [d[1] for d in drawn]), [d[2] for d in drawn]


def _sample_one(
    story: PairHiddenMarkov, path: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[Letters, Letters, PairPath]:
    a = story.n_letters
    both = rng.choice(a * a, size=len(path), p=_proper(np.ravel(story.match)))
    alone_x = rng.choice(a, size=len(path), p=_proper(story.delete))
    alone_y = rng.choice(a, size=len(path), p=_proper(story.insert))
    x = np.where(path == 0, both // a, alone_x)[(path == 0) | (path > story.n_gaps)]
    y = np.where(path == 0, both % a, alone_y)[path <= story.n_gaps]
    (x_left, y_left), (x_right, y_right) = _flanks(story, rng), _flanks(story, rng)
    return (
        np.concatenate([x_left, x, x_right]).astype(np.uint8),
        np.concatenate([y_left, y, y_right]).astype(np.uint8),
        PairPath(path, story.n_gaps, len(x_left), len(y_left)),
    )


def _proper(probabilities: FloatArray) -> FloatArray:
    return np.asarray(probabilities / probabilities.sum())


def _flanks(story: PairHiddenMarkov, rng: np.random.Generator) -> tuple[Letters, Letters]:
    x_free, y_free = story.ends in ("read", "local"), story.ends == "local"
    if story.ends == "overlap":
        x_free = bool(rng.random() < 0.5)
        y_free = not x_free
    lengths = [(rng.geometric(story.background_stop) - 1) * free for free in (x_free, y_free)]
    letters = _proper(story.background)
    x, y = (rng.choice(story.n_letters, size=k, p=letters).astype(np.uint8) for k in lengths)
    return x, y


def _rows(story: PairHiddenMarkov) -> FloatArray:
    """Cumulative probabilities (S + 1, S + 1) of the next state or the end; the last row starts."""
    moves = np.column_stack([story.log_transitions, story.log_end])
    return np.asarray(np.exp(np.vstack([moves, np.append(story.log_start, story.log_empty)])))


def _free_states(story: PairHiddenMarkov, rng: np.random.Generator) -> NDArray[np.uint8]:
    rows = np.cumsum(_rows(story), axis=1)
    rows /= rows[:, -1:]
    states: list[int] = []
    state = story.n_states
    while True:
        state = int(np.searchsorted(rows[state], rng.random(), side="right"))
        if state >= story.n_states:
            return np.array(states, dtype=np.uint8)
        states.append(state)


def _to_come(story: PairHiddenMarkov, length: int) -> FloatArray:
    """Probability (length + 1, S + 1) that just so many letters of x are still to come.

    After each state, and before the first column in the last place; scaled by row.
    """
    s = story.n_states
    rows = _rows(story)
    inserts = list(story.insert_states)
    takes_x = [t for t in range(s) if t not in inserts]
    out = np.zeros((length + 1, s + 1))
    # p_k = M_x p_{k-1} + M_i p_k: steps that take no letter of x lead back to the same count.
    loop = np.eye(s)
    loop[:, inserts] -= rows[:s, inserts]
    for k in range(length + 1):
        known = rows[:, s] * (k == 0) if k == 0 else rows[:, takes_x] @ out[k - 1, takes_x]
        out[k, :s] = np.linalg.solve(loop, known[:s])
        out[k, s] = known[s] + rows[s, inserts] @ out[k, inserts]
        if k and out[k].max() > 0:
            out[k] /= out[k].max()
    return out


def _states_of_length(
    story: PairHiddenMarkov, length: int, tables: FloatArray, rng: np.random.Generator
) -> NDArray[np.uint8]:
    s = story.n_states
    rows = _rows(story)
    states: list[int] = []
    state, left = s, length
    takes_x = np.array([not 1 <= t <= story.n_gaps for t in range(s)])
    while True:
        after = np.where(takes_x, tables[left - 1, :s] if left else 0.0, 0.0)
        # Both are scaled so that their largest is 1; what keeps the count shares this row's scale.
        here = rows[state, :s] * np.where(takes_x, after, 0.0)
        stay = rows[state, :s] * np.where(takes_x, 0.0, tables[left, :s])
        total = tables[left, state]
        ratio = total - stay.sum() - (rows[state, s] if left == 0 else 0.0)
        if here.sum() > 0:
            here *= max(ratio, 0.0) / here.sum()
        row = np.append(here + stay, rows[state, s] if left == 0 else 0.0)
        if not row.sum() > 0:
            raise UsageError(f"No pair of this story has an x of {length} letters.")
        state = int(rng.choice(s + 1, p=row / row.sum()))
        if state == s:
            return np.array(states, dtype=np.uint8)
        states.append(state)
        left -= int(takes_x[state])
