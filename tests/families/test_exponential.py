from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fabula.core.errors import UsageError
from fabula.core.regions import Interval
from fabula.families import Exponential


def test_the_fit_is_one_over_the_mean_of_what_was_seen() -> None:
    x = np.array([[1.0, np.nan], [3.0, 4.0], [np.nan, 0.0]])
    weights = np.array([[1.0, 0.0], [2.0, 1.0], [1.0, 3.0]])
    start = Exponential(np.ones((2, 2)))
    fit = start.maximise(start.statistics(x, weights))
    np.testing.assert_allclose(1 / fit.rates, [[7 / 3, 8 / 3], [3.0, 1.0]])
    prior = Exponential(np.full((2, 2), 0.1)).pseudo_observations(2.0)
    with_prior = start.maximise(start.statistics(x, weights), prior)
    np.testing.assert_allclose(1 / with_prior.rates, [[27 / 5, 28 / 5], [23 / 3, 24 / 6]])


def test_zero_is_possible_and_less_is_not() -> None:
    bank = Exponential(np.array([[2.0], [0.5]]))
    log_prob = bank.log_prob(np.array([[0.0], [-1e-9], [np.inf]]))
    np.testing.assert_allclose(log_prob[0], np.log([2.0, 0.5]))
    assert np.isneginf(log_prob[1:]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_of_zeros_gives_finite_scores(dtype: type) -> None:
    x = np.zeros((5, 2), dtype=dtype)
    bank = Exponential(np.ones((1, 2)))
    fit = bank.maximise(bank.statistics(x, np.ones((5, 1))))
    assert np.isfinite(fit.log_prob(x)).all()
    assert not np.isnan(fit.log_prob(x + dtype(1.0))).any()


def test_masses_keep_their_digits_far_out() -> None:
    bank = Exponential(np.array([[2.0], [0.5]]))
    np.testing.assert_allclose(bank.log_mass(0, Interval(1000.0, np.inf)), [-2000.0, -500.0])
    expected = stats.expon.logcdf(1e-12, scale=[0.5, 2.0])
    np.testing.assert_allclose(bank.log_mass(0, Interval(0.0, 1e-12)), expected, rtol=1e-12)


@pytest.mark.parametrize("wrong", [np.ones(3), np.zeros((1, 1)), np.array([[np.inf]])])
def test_wrong_parameters_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(UsageError, match="positive finite"):
        Exponential(wrong)
