"""What families of independent columns share: origins, intervals, sets, gaps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fabula.core.regions import Interval, OneOf
from fabula.families import Gamma, LogNormal, NormalDiagonal, NormalSpherical, Poisson


@pytest.mark.parametrize("kind", [NormalDiagonal, LogNormal, NormalSpherical])
def test_statistics_of_two_pieces_of_data_add_up_whichever_bank_took_them(kind: type) -> None:
    rng = np.random.default_rng(0)
    x = rng.lognormal(3.0, 0.1, size=(40, 2))
    x[rng.random(x.shape) < 0.2] = np.nan
    weights = rng.random((40, 3))
    ones = np.ones(3) if kind is NormalSpherical else np.ones((3, 2))
    first, second = kind(np.zeros((3, 2)), ones), kind(np.full((3, 2), 20.0), ones)
    merged = first.statistics(x[:15], weights[:15]) + second.statistics(x[15:], weights[15:])
    whole = second.maximise(second.statistics(x, weights))
    fit = first.maximise(merged)
    np.testing.assert_allclose(fit.means, whole.means, rtol=1e-10)
    np.testing.assert_allclose(fit.variances, whole.variances, rtol=1e-7)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_single_precision_far_from_zero_costs_no_more_than_rounding_the_cells(
    offset: float,
) -> None:
    rng = np.random.default_rng(1)
    # 0.1 is no number of single precision, and the origin lies between the means.
    bank = NormalDiagonal(offset + np.array([[0.1], [3.3]]), np.array([[1.0], [0.25]]))
    x = (offset + rng.normal(size=(200, 1))).astype(np.float32)
    exact = stats.norm.logpdf(x.astype(np.float64), bank.means[:, 0], np.sqrt(bank.variances[:, 0]))
    np.testing.assert_allclose(bank.log_prob(x), exact, rtol=2e-5, atol=2e-4)


def test_fractional_ends_of_an_interval_of_counts_hold_whole_numbers() -> None:
    bank = Poisson(np.array([[3.0], [0.5]]))
    region = Interval(0.5, 4.7)
    expected = stats.poisson.cdf(4, [3.0, 0.5]) - stats.poisson.cdf(0, [3.0, 0.5])
    np.testing.assert_allclose(np.exp(bank.log_mass(0, region)), expected, rtol=1e-12)
    drawn = bank.sample_within(0, region, np.arange(500) % 2, np.random.default_rng(0))
    assert set(drawn) <= {1.0, 2.0, 3.0, 4.0}
    assert {1.0, 4.0} <= set(drawn)


def test_masses_of_far_tails_do_not_vanish() -> None:
    bank = NormalDiagonal(np.array([[0.0], [50.0]]), np.array([[1.0], [1.0]]))
    masses = bank.log_mass(0, Interval(60.0, 61.0))
    near, far = stats.norm.logsf([[60.0, 10.0], [61.0, 11.0]])
    np.testing.assert_allclose(masses, near + np.log1p(-np.exp(far - near)), rtol=1e-12)
    masses = bank.log_mass(0, Interval(-np.inf, -60.0))
    np.testing.assert_allclose(masses, stats.norm.logcdf([-60.0, -110.0]), rtol=1e-12)
    np.testing.assert_array_equal(bank.log_mass(0, Interval(np.inf, np.inf)), -np.inf)


def test_sets_so_improbable_that_their_density_vanishes_can_be_drawn_from() -> None:
    bank = NormalDiagonal(np.array([[0.0]]), np.array([[1.0]]))
    rng = np.random.default_rng(0)
    drawn = bank.sample_within(0, OneOf((50.0, 50.001)), np.zeros(4000, int), rng)
    share = 1 / (1 + np.exp(-0.5 * (50.001**2 - 50.0**2)))
    assert (drawn == 50.0).mean() == pytest.approx(share, abs=5 * 0.5 / np.sqrt(4000))


def test_columns_of_members_far_from_each_other_keep_their_digits() -> None:
    bank = NormalDiagonal(np.array([[0.0, 0.0], [1e7, 1.0]]), np.array([[1.0, 1.0], [0.5, 2.0]]))
    x = np.array([[0.3, 1.0], [1e7 + 0.5, -1.0], [np.nan, 1e7]])
    expected = stats.norm.logpdf(x[:, None, :], bank.means, np.sqrt(bank.variances))
    columns = bank.log_prob_columns(x)
    np.testing.assert_allclose(columns, np.nan_to_num(expected), rtol=1e-12)
    np.testing.assert_allclose(columns.sum(axis=2), bank.log_prob(x), rtol=1e-9)


@pytest.mark.parametrize("kind", [Gamma, LogNormal])
def test_an_impossible_cell_teaches_nothing(kind: type) -> None:
    bank = kind(np.array([[1.0, 2.0]]), np.array([[1.0, 3.0]]))
    x = np.array([[1.0, 2.0], [3.0, -0.5], [2.0, 0.0], [0.5, 7.0]])
    gaps = np.where(x > 0, x, np.nan)
    told, expected = (bank.statistics(rows, np.ones((4, 1))) for rows in (x, gaps))
    np.testing.assert_allclose(told.counts, expected.counts)
    np.testing.assert_allclose(told.sums, expected.sums)
    assert np.isneginf(bank.log_prob(x)[[1, 2]]).all()
    cells = bank.log_prob_columns(x)
    assert np.isneginf(cells[[1, 2], 0, 1]).all()
    np.testing.assert_allclose(cells[:, :, 0], bank.log_prob_columns(gaps)[:, :, 0])


def test_no_condition_changes_nothing() -> None:
    bank = Gamma(np.array([[1.0, 2.0]]), np.array([[1.0, 3.0]]))
    rest, log_prob = bank.condition([], [])
    assert isinstance(rest, Gamma)
    np.testing.assert_array_equal(rest.shapes, bank.shapes)
    np.testing.assert_array_equal(log_prob, [0.0])


def test_impossible_cells_of_rows_that_do_not_count_do_no_harm() -> None:
    bank = Gamma(np.array([[1.0, 2.0]]), np.array([[1.0, 3.0]]))
    x = np.array([[1.0, 2.0], [3.0, 0.5], [-1.0, 0.0]])
    weights = np.array([[1.0], [1.0], [0.0]])
    fit = bank.maximise(bank.statistics(x, weights))
    expected = bank.maximise(bank.statistics(x[:2], weights[:2]))
    np.testing.assert_allclose(fit.shapes, expected.shapes, rtol=1e-12)
    assert np.isneginf(fit.log_prob(x)[2]).all()
