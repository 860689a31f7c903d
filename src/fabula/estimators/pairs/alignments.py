"""Paths of a story as alignments, with what is known of their columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.sequences.alignment import DELETE, INSERT, MATCH, Alignment
from fabula.structures.pairs.blocks import Letters, PairPath
from fabula.structures.pairs.hidden_markov import PairHiddenMarkov

__all__ = ["alignment_of", "shared_columns", "with_confidence"]


def alignment_of(
    path: PairPath,
    names: tuple[str, str],
    sequences: tuple[str, str],
    log_posterior: float | None = None,
) -> Alignment:
    """The alignment that a path of a story is."""
    states = np.asarray(path.states)
    columns = np.full(len(states), INSERT, dtype=np.uint8)
    columns[states == 0] = MATCH
    columns[states > path.n_gaps] = DELETE
    starts = (int(path.x_start), int(path.y_start))
    return Alignment(names, sequences, columns, starts, None, log_posterior)


def with_confidence(
    alignment: Alignment,
    story: PairHiddenMarkov,
    x: Letters,
    y: Letters,
    band: int | None = None,
) -> Alignment:
    """The alignment with the posterior probability of each column.

    Of a column without a gap: that its letters are aligned. Of one with a gap: that its letter is
    aligned to none and lies within the alignment, wherever the gap stands.
    """
    i, j = alignment.columns.T
    match = alignment.path == MATCH
    sure = np.zeros(len(alignment))
    of_x, of_y = np.zeros(len(x) + 1), np.zeros(len(y) + 1)
    walk = story.walk(x, y, band=band)
    for first, block in walk.state_blocks(0):
        of_x[first : first + len(block)] = block.sum(axis=1)
        of_y += block.sum(axis=0)
        here = match & (i + 1 >= first) & (i + 1 < first + len(block))
        sure[here] = block[i[here] + 1 - first, j[here] + 1]
    deleted, inserted = 1.0 - of_x[1:], 1.0 - of_y[1:]
    if story.ends != "global":
        # What has no partner may also lie outside the alignment.
        deleted, inserted = np.zeros(len(x)), np.zeros(len(y))
        for state in story.insert_states:
            for _, block in walk.state_blocks(state):
                inserted += block.sum(axis=0)[1:]
        for state in story.delete_states:
            for first, block in walk.state_blocks(state):
                skip = int(first == 0)
                deleted[first - 1 + skip : first - 1 + len(block)] += block[skip:].sum(axis=1)
    insert, delete = alignment.path == INSERT, alignment.path == DELETE
    sure[insert], sure[delete] = inserted[j[insert]], deleted[i[delete]]
    return replace(alignment, confidence=np.clip(sure, 0.0, 1.0))


def shared_columns(samples: list[Alignment]) -> list[Alignment]:
    """The alignments, with the share of all of them that have each column as confidence."""
    keys = [_column_keys(sample) for sample in samples]
    found, times = np.unique(np.concatenate(keys), return_counts=True)
    out = []
    for sample, key in zip(samples, keys, strict=True):
        share: FloatArray = times[np.searchsorted(found, key)] / len(samples)
        out.append(replace(sample, confidence=share))
    return out


def _column_keys(alignment: Alignment) -> NDArray[np.int64]:
    """A number for each column: its pair of letters, or its letter and that it is gapped."""
    i, j = (alignment.columns + 1).T.astype(np.int64)
    width: Any = np.int64(len(alignment.sequences[1]) + 1)
    return np.asarray(i * width + j)
