"""Scores against scikit-learn, published intervals and direct computation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from fabula.core.errors import DataError, UsageError
from fabula.evaluation.metrics import (
    accuracy,
    accuracy_interval,
    brier_losses,
    brier_score,
    log_loss,
    log_losses,
    mean_interval,
    roc_auc,
    roc_auc_interval,
    score_predictions,
    wilson_interval,
)


@pytest.fixture(params=[2, 3, 5])
def predictions(request: pytest.FixtureRequest):
    rng = np.random.default_rng(request.param)
    probabilities = rng.dirichlet(np.ones(request.param), 400)
    y = (rng.random((400, 1)) > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return y, probabilities, rng.random(400)


def test_scores_equal_scikit_learn(predictions):
    y, p, w = predictions
    of_class = p[:, 1] if p.shape[1] == 2 else p
    for weight in (None, w):
        assert log_loss(y, p, sample_weight=weight) == pytest.approx(
            sk.log_loss(y, p, sample_weight=weight), rel=1e-12
        )
        for half in ("auto", True, False):
            assert brier_score(y, p, sample_weight=weight, scale_by_half=half) == pytest.approx(
                sk.brier_score_loss(y, p, sample_weight=weight, scale_by_half=half), rel=1e-12
            )
        assert accuracy(y, p, sample_weight=weight) == pytest.approx(
            sk.accuracy_score(y, p.argmax(axis=1), sample_weight=weight), rel=1e-12
        )
        assert roc_auc(y, p, sample_weight=weight) == pytest.approx(
            sk.roc_auc_score(y, of_class, sample_weight=weight, multi_class="ovr"), rel=1e-12
        )


def test_binary_brier_score_is_the_mean_square_of_p_minus_y():
    y, p = np.array([0, 1, 1]), np.array([0.2, 0.7, 0.4])
    assert brier_score(y, p) == pytest.approx((0.04 + 0.09 + 0.36) / 3)
    assert brier_score(y, p, scale_by_half=False) == pytest.approx(2 * (0.04 + 0.09 + 0.36) / 3)


def test_certain_and_wrong_costs_infinitely_much_unless_clipped():
    y, p = np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert log_losses(y, p).tolist() == [0.0, math.inf]
    assert log_loss(y, p) == math.inf
    assert log_loss(y, p, clip=1e-3) == pytest.approx(-math.log(1e-3) / 2)
    assert log_loss(y, p, sample_weight=[1, 0]) == 0.0
    with pytest.raises(UsageError, match="clip"):
        log_loss(y, p, clip=0.0)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe (1998), Two-sided confidence intervals for the single proportion, table I.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_has_the_published_values(successes, trials, low, high):
    found = wilson_interval(successes, trials)
    assert found[0] == pytest.approx(low, abs=5e-5)
    assert found[1] == pytest.approx(high, abs=5e-5)


def test_wilson_interval_contains_the_share_at_its_ends():
    low, high = wilson_interval(np.array([0, 7, 0]), np.array([7, 7, 0]))
    assert low[0] == 0.0 and high[1] == 1.0
    assert (low[2], high[2]) == (0.0, 1.0)


def test_mean_interval_is_the_one_of_the_t_test():
    losses = np.random.default_rng(0).exponential(size=50)
    found = mean_interval(losses, confidence=0.9)
    expected = stats.ttest_1samp(losses, 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_groups_of_repeated_rows_do_not_narrow_the_interval():
    losses = np.random.default_rng(1).exponential(size=40)
    repeated = mean_interval(np.repeat(losses, 5), groups=np.repeat(np.arange(40), 5))
    single = mean_interval(losses)
    assert repeated.standard_error == pytest.approx(single.standard_error, rel=1e-12)
    assert repeated.low == pytest.approx(single.low, rel=1e-12)


def test_infinite_loss_has_an_open_interval():
    found = mean_interval([0.0, math.inf])
    assert found.value == math.inf and math.isnan(found.low) and found.high == math.inf
    assert found.to_dict()["value"] == "inf" and found.to_dict()["low"] is None


def test_area_error_is_delongs():
    rng = np.random.default_rng(2)
    y = (rng.random(120) < 0.3).astype(int)
    score = np.round(np.clip(rng.normal(0.4 + 0.2 * y, 0.2), 0, 1), 1)  # with ties
    cases, others = score[y == 1], score[y == 0]
    kernel = (cases[:, None] > others) + 0.5 * (cases[:, None] == others)
    variance = kernel.mean(1).var(ddof=1) / cases.size + kernel.mean(0).var(ddof=1) / others.size
    found = roc_auc_interval(y, score)
    assert found.value == pytest.approx(kernel.mean(), rel=1e-12)
    # The same formula up to the n / (n - 1) of each class.
    assert found.standard_error == pytest.approx(math.sqrt(variance), rel=0.02)
    assert found.low < found.value < found.high <= 1.0


def test_perfect_separation_is_not_claimed_to_be_certain():
    y = np.repeat([0, 1], [30, 10])
    found = roc_auc_interval(y, y * 0.8 + 0.1)
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(float(wilson_interval(10, 10)[0]))


def test_accuracy_interval_is_wilsons():
    y, p = np.array([1] * 15 + [0] * 133), np.full(148, 0.9)
    found = accuracy_interval(y, p)
    assert (found.value, round(found.low, 4), round(found.high, 4)) == (15 / 148, 0.0624, 0.1605)


def test_score_predictions_agrees_with_its_parts_and_is_json(predictions):
    y, p, _ = predictions
    found = score_predictions(y, p, n_bootstrap=20)
    assert found.log_loss.value == log_loss(y, p)
    assert found.brier.value == brier_score(y, p)
    assert found.accuracy.value == accuracy(y, p)
    assert found.roc_auc.value == pytest.approx(roc_auc(y, p), rel=1e-12)
    assert found == score_predictions(y, p, n_bootstrap=20)  # seeded by content
    back = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert back["ece"]["n_bins"] == 15 and back["n"] == 400
    assert back["log_loss"]["high"] == found.log_loss.high


def test_vector_is_the_probability_of_class_1():
    y, p = np.array([0, 1, 1, 0]), np.array([0.1, 0.8, 0.4, 0.3])
    assert np.array_equal(log_losses(y, p), log_losses(y, np.column_stack([1 - p, p])))
    assert accuracy(y, p) == 0.75


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([], np.empty((0, 2)), "no row"),
        ([0, 1], [[0.5, 0.5]], "same rows"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], r"row 2 \(counted from 1\)"),
        ([0, 1], [[0.5, 0.5], [1.5, -0.5]], r"row 2 .*outside 0"),
        ([0, 1], [[0.5, 0.6], [0.5, 0.5]], r"row 1 .*sums to 1.1"),
        ([0, -1], [[0.5, 0.5], [0.5, 0.5]], "row 2 .*not labelled"),
        ([np.nan, 0], [[0.5, 0.5], [0.5, 0.5]], "row 1 .*not labelled"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "row 2 .*codes 0 … 1"),
        ([0, 0.5], [[0.5, 0.5], [0.5, 0.5]], "row 2 .*codes 0 … 1"),
        (["a", "b"], [[0.5, 0.5], [0.5, 0.5]], "codes"),
        ([0, 1], [[1.0], [1.0]], "at least two classes"),
        ([0, 1], [["x", "y"], ["x", "y"]], "numbers"),
    ],
)
def test_bad_predictions_say_what_and_where(y, p, message):
    with pytest.raises(DataError, match=message):
        log_loss(y, p)


@pytest.mark.parametrize(
    ("weight", "message"), [([1], "shape"), ([1, -1], "row 2"), ([0, 0], "all weights are zero")]
)
def test_bad_weights_say_so(weight, message):
    with pytest.raises(DataError, match=message):
        brier_score([0, 1], [0.5, 0.5], sample_weight=weight)


def test_area_of_a_class_that_did_not_happen_is_refused():
    with pytest.raises(DataError, match=r"class 2 .*no row"):
        roc_auc([0, 1], [[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])


def test_brier_losses_add_up():
    p = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    assert brier_losses([2, 1], p) == pytest.approx([0.04 + 0.09 + 0.25, 2.0])
