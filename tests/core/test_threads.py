"""Threads that change nothing but the time."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from fabula import GaussianMixture
from fabula.core.blocks import ArrayBlocks, rows_per_block
from fabula.core.errors import UsageError
from fabula.core.threads import n_threads, ordered_map, use_threads


def test_results_come_in_order_and_few_items_are_held():
    held, most = 0, 0

    def items():
        nonlocal held, most
        for i in range(50):
            held += 1
            most = max(most, held)
            yield i

    def work(i: int) -> int:
        time.sleep(0.001 * (i % 3))
        return i * i

    out = []
    for result in ordered_map(work, items(), threads=3):
        out.append(result)
        held -= 1
    assert out == [i * i for i in range(50)]
    assert most <= 9


def test_an_error_in_a_thread_reaches_the_caller():
    def work(i: int) -> int:
        if i == 3:
            raise ValueError("three")
        return i

    with pytest.raises(ValueError, match="three"):
        list(ordered_map(work, range(10), threads=2))
    assert threading.active_count() < 20


def test_number_of_threads():
    with use_threads(1):
        assert n_threads() == 1
        with use_threads(None):
            assert n_threads() == 1
    with pytest.raises(UsageError), use_threads(0):
        pass


def test_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 4)) + 3 * rng.integers(3, size=(20_000, 1))
    x[rng.random(x.shape) < 0.05] = np.nan
    scores = []
    for threads in (1, 2, 5):
        with use_threads(threads):
            model = GaussianMixture(3, max_iter=5, tol=0, random_state=0)
            with pytest.warns(Warning, match="stopped before"):
                model.fit(x)
            scores.append(model.score_samples(x))
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])


def test_blocks_walk_every_row_again_and_again():
    blocks = ArrayBlocks(np.arange(10.0)[:, None], np.arange(10), None, rows=3)
    for _ in range(2):
        assert [len(block) for block in blocks] == [3, 3, 3, 1]
    assert len(blocks) == 4
    turned = blocks.reordered(np.arange(10)[::-1])
    assert next(iter(turned)).known.tolist() == [9, 8, 7]
    assert 256 <= rows_per_block(10**9) <= rows_per_block(1) <= 8192
