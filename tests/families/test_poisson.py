from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import UsageError
from fabula.families import Poisson


def test_the_fit_is_the_mean_of_what_was_seen() -> None:
    x = np.array([[1.0, np.nan], [3.0, 4.0], [np.nan, 0.0]])
    weights = np.array([[1.0, 0.0], [2.0, 1.0], [1.0, 3.0]])
    start = Poisson(np.ones((2, 2)))
    fit = start.maximise(start.statistics(x, weights))
    np.testing.assert_allclose(fit.rates, [[7 / 3, 8 / 3], [3.0, 1.0]])
    prior = Poisson(np.full((2, 2), 10.0)).pseudo_observations(2.0)
    with_prior = start.maximise(start.statistics(x, weights), prior)
    np.testing.assert_allclose(with_prior.rates, [[27 / 5, 28 / 5], [23 / 3, 24 / 6]])


@pytest.mark.parametrize("cell", [-1.0, 0.5, np.inf])
def test_a_cell_that_is_no_count_is_impossible(cell: float) -> None:
    bank = Poisson(np.array([[1.0, 2.0]]))
    assert np.isneginf(bank.log_prob(np.array([[cell, 1.0]]))).all()


def test_counts_that_were_never_seen_stay_possible() -> None:
    bank = Poisson(np.array([[1.0]]))
    fit = bank.maximise(bank.statistics(np.zeros((9, 1)), np.ones((9, 1))))
    assert np.isfinite(fit.log_prob(np.array([[0.0], [5.0]]))).all()


@pytest.mark.parametrize("wrong", [np.ones(3), np.zeros((1, 1)), np.array([[np.nan]])])
def test_wrong_parameters_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(UsageError, match="positive finite"):
        Poisson(wrong)
