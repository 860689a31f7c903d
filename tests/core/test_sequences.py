"""Ragged sequences keep their steps together however they are sliced, picked and put in blocks."""

import numpy as np
import pytest

from fabula.core.blocks import SequenceBlocks, Sequences

LENGTHS = [3, 0, 1, 7, 2, 5]


@pytest.fixture
def sequences() -> Sequences:
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)])
    steps = np.arange(offsets[-1] * 2, dtype=float).reshape(-1, 2)
    return Sequences(steps, offsets, np.arange(offsets[-1]))


def parts(sequences: Sequences) -> list[list[float]]:
    ends = zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)
    return [sequences.steps[low:high].tolist() for low, high in ends]


@pytest.mark.parametrize(
    "which", [slice(1, 4), slice(None, None, -1), slice(4, 2), np.array([5, 0, 0, 1])]
)
def test_sequences_are_picked_as_a_list_would_be(sequences: Sequences, which: object) -> None:
    whole = parts(sequences)
    expected = whole[which] if isinstance(which, slice) else [whole[i] for i in which]
    picked = sequences[which]
    assert parts(picked) == expected
    assert picked.states.tolist() == [int(step[0]) // 2 for part in expected for step in part]
    assert picked.n_steps == sum(map(len, expected))


@pytest.mark.parametrize("steps", [1, 4, 8, 100])
def test_blocks_hold_whole_sequences_in_their_order(sequences: Sequences, steps: int) -> None:
    weights = np.arange(6.0)
    blocks = list(SequenceBlocks(sequences, np.arange(6), weights, steps))
    assert [part for block in blocks for part in parts(block.x)] == parts(sequences)
    assert np.concatenate([block.weights for block in blocks]).tolist() == weights.tolist()
    assert all(len(block) == 1 or block.x.n_steps <= steps for block in blocks)


def test_the_precision_of_the_steps_is_seen_by_em(sequences: Sequences) -> None:
    single = sequences.with_steps(sequences.steps.astype(np.float32))
    assert (sequences.dtype, single.dtype) == (np.float64, np.float32)
    assert single[1:3].dtype == np.float32
    assert sequences.with_steps(object()).dtype is None
