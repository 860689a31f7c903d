from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fabula.core.errors import UsageError
from fabula.core.regions import Interval
from fabula.families import CovariancePrior, LogNormal, NormalDiagonal


def test_the_fit_is_that_of_the_logarithms() -> None:
    rng = np.random.default_rng(0)
    x = rng.lognormal([1.0, -3.0], [0.3, 1.0], size=(40, 2))
    x[rng.random(x.shape) < 0.2] = np.nan
    weights = rng.random((40, 2))
    prior = CovariancePrior(3.0, np.array([0.4, 2.0]))
    start = LogNormal(np.zeros((2, 2)), np.ones((2, 2)))
    normal = NormalDiagonal(np.zeros((2, 2)), np.ones((2, 2)))
    fit = start.maximise(start.statistics(x, weights), prior)
    expected = normal.maximise(normal.statistics(np.log(x), weights), prior)
    np.testing.assert_allclose(fit.means, expected.means, rtol=1e-12)
    np.testing.assert_allclose(fit.variances, expected.variances, rtol=1e-12)
    jacobian = -np.nansum(np.log(x), axis=1)[:, None]
    np.testing.assert_allclose(fit.log_prob(x), expected.log_prob(np.log(x)) + jacobian, atol=1e-11)
    assert fit.log_prior(prior) == pytest.approx(expected.log_prior(prior))


@pytest.mark.parametrize("x", [0.0, -2.0, np.inf])
def test_only_positive_numbers_are_possible(x: float) -> None:
    bank = LogNormal(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]))
    assert np.isneginf(bank.log_prob(np.array([[x, 1.0]]))).all()
    assert np.isneginf(bank.log_prob_columns(np.array([[x, 1.0]]))[0, 0, 0])
    np.testing.assert_array_equal(bank.log_mass(0, Interval(-5.0, 0.0)), [-np.inf])


def test_narrow_members_far_from_each_other_keep_their_digits() -> None:
    bank = LogNormal(np.array([[11.0], [-11.0]]), np.array([[1e-8], [1e-8]]))
    x = np.exp(11.0 + 1e-4 * np.array([[0.0], [1.0], [-2.5]]))
    expected = stats.norm.logpdf(np.log(x[:, 0]), 11.0, 1e-4) - np.log(x[:, 0])
    np.testing.assert_allclose(bank.log_prob(x)[:, 0], expected, rtol=1e-9)


def test_gaps_are_filled_with_the_mean_and_not_the_median() -> None:
    bank = LogNormal(np.array([[1.0]]), np.array([[0.5]]))
    filled = bank.complete(np.array([[np.nan]]), np.array([0]))
    assert filled[0, 0] == pytest.approx(np.exp(1.25))


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match="variances must be positive"):
        LogNormal(np.zeros((1, 1)), np.zeros((1, 1)))
