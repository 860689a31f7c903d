"""Differences against scipy, against clusters by hand and against their own level."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fabula.core.errors import DataError
from fabula.evaluation.differences import corrected_resampled_difference, paired_difference


def test_without_groups_it_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = rng.exponential(size=(2, 60))
    found, expected = paired_difference(a, b, confidence=0.9), stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.9)
    assert found.t == pytest.approx(expected.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert (found.n, found.degrees_of_freedom) == (60, 59)


def test_equal_groups_are_a_t_test_of_their_means():
    rng = np.random.default_rng(1)
    difference = rng.normal(size=(20, 4)) + rng.normal(size=(20, 1))
    found = paired_difference(difference.ravel(), np.zeros(80), np.repeat(np.arange(20), 4))
    expected = stats.ttest_1samp(difference.mean(axis=1), 0)
    assert found.t == pytest.approx(expected.statistic, rel=1e-10)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)


def test_corrected_variance_by_hand():
    differences = np.array([0.1, 0.3, 0.2, 0.0, 0.4])
    found = corrected_resampled_difference(differences, n_train=80, n_test=20)
    error = math.sqrt((1 / 5 + 20 / 80) * differences.var(ddof=1))
    assert found.standard_error == pytest.approx(error)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.2 / error, 4))


def test_all_the_same_difference():
    assert paired_difference([1.0, 2.0], [0.5, 1.5]).p_value == 0
    nothing = paired_difference([1.0, 2.0], [1.0, 2.0])
    assert nothing.mean == 0 and math.isnan(nothing.p_value)
    assert nothing.to_dict()["p_value"] is None


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0, np.inf], [1.0, 1.0], r"loss_a: row 2 \(counted from 1\) is inf.*probability 0"),
        ([1.0, 1.0], [np.nan, 1.0], "loss_b: row 1"),
        ([1.0, 1.0], [1.0], "same rows"),
        ([], [], "at least 1"),
        ([1.0], [1.0], "at least two"),
    ],
)
def test_bad_losses_say_where(a, b, message):
    with pytest.raises(DataError, match=message):
        paired_difference(a, b)


def test_bad_folds():
    with pytest.raises(DataError, match="at least 2"):
        corrected_resampled_difference([0.1], 9, 1)
    with pytest.raises(DataError, match="n_train"):
        corrected_resampled_difference([0.1, 0.2], 0, 1)
