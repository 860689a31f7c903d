"""Calibration errors against direct computation, relplot and their own coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve

from fabula.core.errors import DataError, UsageError
from fabula.evaluation.calibration_error import (
    equal_mass_bins,
    expected_calibration_error,
    smooth_calibration_error,
    smooth_fixed_point,
)
from fabula.evaluation.reflected_kernel import (
    bin_linearly,
    cosine_coefficients,
    fixed_point,
    smooth,
)
from fabula.evaluation.reliability import reliability_curve


def reflected(t, centre, sigma, images=4):
    """Kernel of the paper: a Gaussian summed over all mirror images in 0 and 1."""
    shifts = 2 * np.arange(-images, images + 1)
    both = np.concatenate([shifts + centre, shifts - centre])
    return stats.norm.pdf(t[:, None], both, sigma).sum(axis=1)


def direct_smooth_error(p, residual, sigma, n_points=4001):
    t = np.linspace(0, 1, n_points)
    height = sum(r * reflected(t, c, sigma) for c, r in zip(p, residual, strict=True)) / p.size
    return np.trapezoid(np.abs(height), t)


def case(seed, n, kind):
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    if kind == "edge":
        p = np.where(rng.random(n) < 0.5, rng.random(n) * 0.05, 1 - rng.random(n) * 0.05)
    true = {
        "over": 0.5 + 0.7 * (p - 0.5),
        "shift": np.clip(p + 0.08, 0, 1),
        "cal": p,
        "edge": 0.5 + 0.9 * (p - 0.5),
    }[kind]
    return p, (rng.random(n) < true).astype(int)


def test_expected_error_by_hand():
    # Two bins of two rows: means (0.15, 0.5) and (0.85, 1).
    found = expected_calibration_error([0, 1, 1, 1], [0.1, 0.2, 0.8, 0.9], 2, n_bootstrap=0)
    assert found.value == pytest.approx(0.5 * 0.35 + 0.5 * 0.15)
    assert float(found) == found.value and np.isnan(found.low) and found.n_bins == 2


def test_bins_have_equal_mass_and_keep_ties_together():
    p = np.random.default_rng(0).random(150)
    assert np.bincount(equal_mass_bins(p, 15)).tolist() == [10] * 15
    tied = np.repeat([0.1, 0.5, 0.9], [100, 30, 20])
    bins = equal_mass_bins(tied, 15)
    assert [len(set(bins[tied == v])) for v in (0.1, 0.5, 0.9)] == [1, 1, 1]
    assert (np.diff(bins) >= 0).all() and bins.max() < 15


def test_order_of_rows_does_not_matter():
    p, y = case(0, 300, "over")
    p = np.round(p, 1)
    order = np.random.default_rng(1).permutation(300)
    for measure in (expected_calibration_error, smooth_calibration_error):
        one = measure(y, p, n_bootstrap=0).value
        assert measure(y[order], p[order], n_bootstrap=0).value == pytest.approx(one, rel=1e-9)


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.5])
def test_smoothing_is_the_sum_over_mirror_images(sigma):
    left, share = bin_linearly(np.array([0.0, 0.03, 0.7]), 4096)
    mass = np.array([0.2, 1.0, -0.5])
    t = np.linspace(0, 1, 4097)
    expected = sum(m * reflected(t, c, sigma) for m, c in zip(mass, (0.0, 0.03, 0.7), strict=True))
    found = smooth(cosine_coefficients(left, share, mass, 4096), sigma)
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("kind", ["over", "shift", "cal", "edge"])
def test_smooth_error_is_the_fixed_point_of_the_direct_integral(kind):
    p, y = case(7, 150, kind)
    sigma = smooth_fixed_point(p, y - p)
    assert direct_smooth_error(p, y - p, sigma) == pytest.approx(sigma, rel=2e-3)


@pytest.mark.parametrize(
    ("seed", "n", "kind", "published"),
    # relplot 1.0.3 (the package of the paper's authors), smECE with use_logit_scaling off. It
    # searches the width in steps of 1/1024 on a coarser grid.
    [
        (0, 300, "over", 0.08764),
        (1, 2000, "over", 0.07911),
        (2, 2000, "shift", 0.08295),
        (3, 2000, "cal", 0.02996),
        (4, 1000, "edge", 0.04812),
    ],
)
def test_smooth_error_agrees_with_relplot(seed, n, kind, published):
    p, y = case(seed, n, kind)
    found = smooth_calibration_error(y, p, n_bootstrap=0)
    assert found.value == pytest.approx(published, abs=1.5e-3)
    assert found.bandwidth == found.value


def test_secant_finds_the_same_point_as_bisection():
    rng = np.random.default_rng(3)
    p = rng.random(500)
    rows = [
        cosine_coefficients(*bin_linearly(p, 512), ((rng.random(500) < p) - p) / 500, 512)
        for _ in range(20)
    ]
    coefficients = np.array(rows)
    near = fixed_point(coefficients, start=np.full(20, 0.02))
    assert near == pytest.approx(fixed_point(coefficients), rel=1e-4)


def test_perfect_foresight_has_no_error():
    y = np.array([0, 1] * 20)
    for measure in (expected_calibration_error, smooth_calibration_error):
        found = measure(y, y.astype(float), n_bootstrap=10)
        assert found.value == pytest.approx(0, abs=1e-8)
        assert found.low == 0


@pytest.mark.parametrize("measure", [expected_calibration_error, smooth_calibration_error])
def test_calibrated_models_are_recognised(measure):
    """A calibrated model has a positive error, a uniform p-value and a small corrected error."""
    found = [measure(*case(s, 400, "cal")[::-1], n_bootstrap=60) for s in range(40)]
    assert min(f.value for f in found) > 0.01
    assert np.mean([f.expected_if_calibrated for f in found]) == pytest.approx(
        np.mean([f.value for f in found]), rel=0.1
    )
    assert 0.3 < np.mean([f.p_value for f in found]) < 0.7
    assert np.median([f.debiased for f in found]) < 0.5 * np.median([f.value for f in found])
    # 95 % of 40 is 38; fewer than 32 would be seen once in 10,000 seeds.
    assert sum(f.low == 0 for f in found) >= 32


@pytest.mark.parametrize("measure", [expected_calibration_error, smooth_calibration_error])
def test_interval_covers_the_true_error(measure):
    found = [measure(*case(s, 1000, "over")[::-1], n_bootstrap=100) for s in range(40)]
    true = 0.3 * 0.25  # E|0.3 (p - 1/2)| for uniform p
    assert sum(f.low <= true <= f.high for f in found) >= 32
    assert np.mean([f.debiased for f in found]) == pytest.approx(true, abs=0.006)
    assert all(f.p_value < 0.05 for f in found)


@pytest.mark.parametrize("measure", [expected_calibration_error, smooth_calibration_error])
def test_an_error_of_zero_is_not_certainty(measure):
    """The share of the sample itself as the only probability has no error on these rows."""
    y = np.repeat([0, 1], [380, 20])
    found = measure(y, np.full(400, 0.05), n_bootstrap=200)
    assert found.value == pytest.approx(0, abs=1e-8)
    # One standard error of the share is 0.011: two of them cannot be excluded, five can.
    assert 0.02 < found.high < 0.055


def test_top_label_and_classwise_reduce_to_binary():
    rng = np.random.default_rng(5)
    p = rng.dirichlet([1, 1, 1], 500)
    y = rng.integers(0, 3, 500)
    for measure in (expected_calibration_error, smooth_calibration_error):
        top = measure(y, p, n_bootstrap=0)
        assert top.kind == "top_label"
        right = (p.argmax(1) == y).astype(int)
        assert top.value == pytest.approx(measure(right, p.max(1), n_bootstrap=0).value, rel=1e-12)
        each = [measure((y == k).astype(int), p[:, k], n_bootstrap=0).value for k in range(3)]
        found = measure(y, p, kind="classwise", n_bootstrap=8)
        assert found.value == pytest.approx(np.mean(each), rel=1e-12)
        assert found.low <= found.debiased <= found.high


def test_groups_widen_the_interval():
    p, y = case(11, 200, "over")
    many = np.repeat(np.arange(200), 6)
    for measure in (expected_calibration_error, smooth_calibration_error):
        alone = measure(y[many], p[many], n_bootstrap=150)
        grouped = measure(y[many], p[many], groups=many, n_bootstrap=150)
        assert grouped.value == pytest.approx(alone.value, rel=1e-12)
        assert grouped.high - grouped.low > 1.4 * (alone.high - alone.low)


def test_bad_arguments():
    p, y = case(0, 20, "cal")
    with pytest.raises(UsageError, match="n_bins"):
        expected_calibration_error(y, p, 0)
    with pytest.raises(UsageError, match="kind"):
        expected_calibration_error(y, p, kind="both")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="two classes"):
        smooth_calibration_error([0, 1, 2], np.full((3, 3), 1 / 3), kind="positive")
    with pytest.raises(UsageError, match="confidence"):
        expected_calibration_error(y, p, confidence=95)
    with pytest.raises(DataError, match="groups"):
        expected_calibration_error(y, p, groups=[1, 2])
    with pytest.raises(DataError, match="at least two"):
        smooth_calibration_error([1], [0.5])


def test_reliability_bins_are_those_of_scikit_learn():
    p, y = case(2, 1500, "over")
    found = reliability_curve(y, p, 15, n_bootstrap=0)
    frequency, mean = calibration_curve(y, p, n_bins=15, strategy="quantile")
    assert found.bin_count.tolist() == [100] * 15
    assert found.bin_frequency == pytest.approx(frequency)
    assert found.bin_probability == pytest.approx(mean)
    assert found.histogram_counts.sum() == 1500
    assert np.isnan(found.smooth_low).all()


@pytest.mark.parametrize(
    ("interval", "method"), [("wilson", "wilson"), ("clopper-pearson", "exact")]
)
def test_reliability_intervals_are_those_of_scipy(interval, method):
    p, y = case(4, 300, "edge")
    found = reliability_curve(y, p, 10, interval=interval, confidence=0.9, n_bootstrap=0)
    for k in range(10):
        hits = round(found.bin_frequency[k] * found.bin_count[k])
        expected = stats.binomtest(hits, int(found.bin_count[k])).proportion_ci(0.9, method)
        assert found.bin_low[k] == pytest.approx(expected.low, abs=1e-12)
        assert found.bin_high[k] == pytest.approx(expected.high, abs=1e-12)


def test_smooth_reliability_is_the_kernel_regression():
    p, y = case(6, 400, "over")
    found = reliability_curve(y, p, n_bootstrap=50)
    sigma = found.bandwidth
    assert sigma == 0.05 < found.smooth_ece.value  # a curve as wide as the error hides its shape
    narrow = reliability_curve(*case(3, 2000, "cal")[::-1], n_bootstrap=0)
    assert narrow.bandwidth == narrow.smooth_ece.value
    for j in (40, 256, 500):
        t = found.smooth_probability[j : j + 1]
        kernel = np.array([reflected(t, c, sigma)[0] for c in p])
        assert found.smooth_frequency[j] == pytest.approx(kernel @ y / kernel.sum(), rel=1e-3)
        assert found.smooth_density[j] == pytest.approx(kernel.mean(), rel=1e-3)
        assert found.smooth_low[j] < found.smooth_frequency[j] < found.smooth_high[j]
    assert np.trapezoid(found.smooth_density, found.smooth_probability) == pytest.approx(1)


def test_no_curve_where_no_probability_was_stated():
    rng = np.random.default_rng(0)
    p = np.where(rng.random(200) < 0.5, 0.1, 0.9)
    found = reliability_curve((rng.random(200) < p).astype(int), p, n_bootstrap=10)
    assert np.isnan(found.smooth_frequency[256]) and np.isfinite(found.smooth_frequency[51])
    assert found.bin_probability.tolist() == pytest.approx([0.1, 0.9])


def test_reliability_of_one_class():
    rng = np.random.default_rng(1)
    p, y = rng.dirichlet([1, 1, 1], 300), rng.integers(0, 3, 300)
    found = reliability_curve(y, p, kind=2, n_bootstrap=0)
    assert found.kind == "class 2"
    direct = expected_calibration_error((y == 2).astype(int), p[:, 2], n_bootstrap=0)
    assert found.ece.value == pytest.approx(direct.value)
    with pytest.raises(UsageError, match="class code"):
        reliability_curve(y, p, kind=3)
