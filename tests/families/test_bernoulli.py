from __future__ import annotations

import numpy as np
import pytest
from sklearn.naive_bayes import BernoulliNB

from fabula.core.errors import UsageError
from fabula.core.regions import Interval, OneOf
from fabula.families import Bernoulli

BANK = Bernoulli(np.array([[0.2, 0.7], [0.6, 0.5]]))


def test_smoothed_fit_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x = (rng.random((50, 4)) < [0.1, 0.5, 0.8, 0.02]).astype(float)
    y = rng.integers(0, 3, size=50)
    peer = BernoulliNB(alpha=1.5, fit_prior=False).fit(x, y)
    start = Bernoulli(np.full((3, 4), 0.5))
    # alpha of each level is strength / 2 of each.
    fit = start.maximise(start.statistics(x, np.eye(3)[y]), start.pseudo_observations(3.0))
    np.testing.assert_allclose(np.log(fit.probabilities), peer.feature_log_prob_, rtol=1e-12)
    posterior = fit.log_prob(x) - np.logaddexp.reduce(fit.log_prob(x), axis=1)[:, None]
    np.testing.assert_allclose(posterior, peer.predict_log_proba(x), atol=1e-10)


def test_a_cell_that_is_neither_0_nor_1_is_impossible() -> None:
    x = np.array([[0.5, 1.0], [2.0, np.nan], [1.0, 0.0], [-1.0, 0.0]])
    log_prob = BANK.log_prob(x)
    assert np.isneginf(log_prob[[0, 1, 3]]).all()
    np.testing.assert_allclose(log_prob[2], np.log([0.2 * 0.3, 0.6 * 0.5]), rtol=1e-12)
    assert np.isneginf(BANK.log_prob_columns(x)[0, :, 0]).all()
    np.testing.assert_allclose(BANK.log_prob_columns(x)[0, :, 1], np.log([0.7, 0.5]), rtol=1e-12)


def test_never_seen_ones_stay_possible() -> None:
    x = np.zeros((20, 2))
    fit = BANK.maximise(BANK.statistics(x, np.ones((20, 2))))
    assert np.isfinite(fit.log_prob(np.ones((1, 2)))).all()
    assert (fit.log_prob(np.zeros((1, 2))) > -1e-9).all()


def test_gaps_are_filled_with_the_more_probable_level() -> None:
    x = np.full((2, 2), np.nan)
    np.testing.assert_array_equal(BANK.complete(x, np.array([0, 1])), [[0.0, 1.0], [1.0, 0.0]])


def test_levels_sets_and_intervals() -> None:
    np.testing.assert_allclose(BANK.level_probabilities(1), [[0.3, 0.7], [0.5, 0.5]])
    np.testing.assert_allclose(np.exp(BANK.log_mass(0, OneOf((1.0,)))), [0.2, 0.6])
    np.testing.assert_allclose(np.exp(BANK.log_mass(0, Interval(0.5, 7.0))), [0.2, 0.6])
    np.testing.assert_allclose(BANK.log_mass(0, OneOf((0.0, 1.0))), 0.0, atol=1e-15)
    rng = np.random.default_rng(0)
    assert set(BANK.sample_within(0, Interval(-0.5, 0.5), np.array([0, 1, 1]), rng)) == {0.0}


@pytest.mark.parametrize("wrong", [np.array([0.5]), np.array([[0.0, 0.5]]), np.array([[np.nan]])])
def test_wrong_parameters_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        Bernoulli(wrong)
