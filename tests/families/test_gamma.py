from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from fabula.core.errors import UsageError
from fabula.families import Gamma


def _fit(x: np.ndarray, weights: np.ndarray | None = None) -> Gamma:
    start = Gamma(np.ones((1, x.shape[1])), np.ones((1, x.shape[1])))
    return start.maximise(start.statistics(x, np.ones((len(x), 1)) if weights is None else weights))


@pytest.mark.parametrize("shape", [0.05, 0.7, 3.0, 250.0, 4e5])
def test_the_fit_is_that_of_scipy(shape: float) -> None:
    x = stats.gamma.rvs(shape, scale=30.0, size=(400, 1), random_state=3)
    fit = _fit(x)
    expected, _, scale = stats.gamma.fit(x, floc=0)
    assert fit.shapes[0, 0] == pytest.approx(expected, rel=1e-6)
    assert fit.rates[0, 0] == pytest.approx(1 / scale, rel=1e-6)


def test_the_fit_solves_the_equations_of_the_maximum() -> None:
    rng = np.random.default_rng(0)
    x = rng.lognormal(size=(30, 40)) ** rng.uniform(0.01, 3.0, size=40)
    weights = rng.random((30, 1))
    fit = _fit(x, weights)
    mean = (weights * x).sum(axis=0) / weights.sum()
    mean_log = (weights * np.log(x)).sum(axis=0) / weights.sum()
    np.testing.assert_allclose(fit.shapes[0] / fit.rates[0], mean, rtol=1e-12)
    expected_log = special.digamma(fit.shapes[0]) - np.log(fit.rates[0])
    np.testing.assert_allclose(expected_log, mean_log, atol=1e-10)


def test_constant_columns_and_single_rows_get_a_narrow_law() -> None:
    for x in (np.full((7, 2), [3.0, 1e-9]), np.array([[5.0, 2e6]])):
        fit = _fit(x)
        np.testing.assert_allclose(fit.shapes / fit.rates, x[:1], rtol=1e-12)
        assert np.isfinite(fit.log_prob(x)).all()
        assert (fit.shapes <= 1e8).all()


@pytest.mark.parametrize("x", [0.0, -1.0, np.inf])
def test_zero_is_outside_of_the_support(x: float) -> None:
    bank = Gamma(np.array([[0.5, 2.0]]), np.array([[1.0, 1.0]]))
    row = np.array([[x, 1.0]])
    assert np.isneginf(bank.log_prob(row)).all()
    cells = bank.log_prob_columns(row)
    assert np.isneginf(cells[0, 0, 0])
    assert cells[0, 0, 1] == pytest.approx(-1.0)


def test_narrow_members_keep_their_digits() -> None:
    # κ log κ - κ - log Γ(κ) and the expansion about the mean, in exact arithmetic where it counts.
    shape, mean = 10**6, 123.0
    log_gamma = math.fsum(math.log(i) for i in range(1, shape))  # Γ(κ) = (κ-1)!
    bank = Gamma(np.array([[float(shape)], [2.0]]), np.array([[shape / mean], [0.01]]))
    for step in (0.0, 0.5, -2.0):
        deviation = step / math.sqrt(shape)
        x = mean * (1.0 + deviation)
        series = math.fsum((-1) ** (i + 1) * deviation**i / i for i in range(2, 12))
        expected = shape * series + (shape * math.log(shape) - shape - log_gamma) - math.log(x)
        assert bank.log_prob(np.array([[x]]))[0, 0] == pytest.approx(expected, abs=1e-6)
        single = bank.log_prob(np.array([[x]], dtype=np.float32))
        assert single.dtype == np.float32
        assert single[0, 0] == pytest.approx(expected, abs=2e-2)  # the cell itself is rounded
    wide = stats.gamma.logpdf(x, 2.0, scale=100.0)
    assert bank.log_prob(np.array([[x], [np.nan]]))[:, 1] == pytest.approx([wide, 0.0])


@pytest.mark.parametrize(
    ("shapes", "rates"),
    [(np.ones((1, 2)), np.ones((1, 1))), (np.zeros((1, 1)), np.ones((1, 1)))],
)
def test_wrong_parameters_are_refused(shapes: np.ndarray, rates: np.ndarray) -> None:
    with pytest.raises(UsageError, match="Gamma shapes and rates"):
        Gamma(shapes, rates)
