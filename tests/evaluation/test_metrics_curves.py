"""The curves that comparisons produce."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from fabula.core.errors import DataError, UsageError
from fabula.evaluation.curves import Curve


def test_interval_over_repeats_is_students():
    scores = np.random.default_rng(0).normal(size=(6, 3))
    found = Curve.from_repeats("LDA", "storyteller", [10, 20, 40], scores)
    for j in range(3):
        expected = stats.ttest_1samp(scores[:, j], 0).confidence_interval(0.95)
        assert (found.low[j], found.high[j]) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(scores.mean(axis=0))


def test_missing_repeats_are_left_out():
    found = Curve.from_repeats(
        "SVM", "divider", [1, 2, 3], [[1.0, 2.0, np.nan], [3.0, np.nan, np.nan]]
    )
    assert found.mean[:2].tolist() == [2.0, 2.0]
    assert np.isnan(found.mean[2]) and np.isnan(found.low[1]) and np.isfinite(found.low[0])
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["mean"] == [2.0, 2.0, None]


def test_bad_curves_are_refused():
    with pytest.raises(UsageError, match="storyteller"):
        Curve("a", "both", [1], [1], [1], [1])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="one shape"):
        Curve("a", "divider", [1, 2], [1], [1], [1])
    with pytest.raises(DataError, match="rising"):
        Curve("a", "divider", [2, 1], [1, 1], [1, 1], [1, 1])
    with pytest.raises(DataError, match="one row for each repeat"):
        Curve.from_repeats("a", "divider", [1, 2], [[1.0]])
