"""Patterns of missing cells."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.missing import find_patterns, order_by_pattern


@pytest.mark.parametrize("d", [1, 3, 62, 63, 130])
def test_rows_are_grouped_by_what_they_miss(d):
    rng = np.random.default_rng(d)
    few = rng.random((5, d)) < 0.4
    missing = few[rng.integers(5, size=200)]
    x = np.where(missing, np.nan, rng.normal(size=(200, d)))
    patterns = find_patterns(x)
    assert len(patterns) == len(np.unique(missing, axis=0))
    assert sorted(patterns.order.tolist()) == list(range(200))
    for p in range(len(patterns)):
        rows = patterns.order[patterns.starts[p] : patterns.starts[p + 1]]
        assert (missing[rows] == ~patterns.observed[p]).all()
    ordered = missing[order_by_pattern(x)]
    changes = (ordered[1:] != ordered[:-1]).any(axis=1).sum()
    assert changes == len(patterns) - 1


def test_complete_rows_are_one_pattern():
    patterns = find_patterns(np.zeros((4, 2)))
    assert len(patterns) == 1 and patterns.observed.all() and patterns.starts.tolist() == [0, 4]
