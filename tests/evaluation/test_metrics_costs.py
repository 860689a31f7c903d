"""Cost curves against brute force, the Brier score and the definition of net benefit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fabula.core.errors import UsageError
from fabula.evaluation.costs import cost_curve
from fabula.evaluation.metrics import brier_score


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    p = np.round(rng.beta(0.5, 1.0, 300), 2)
    return (rng.random(300) < p).astype(int), p


def test_cost_by_brute_force(predictions):
    y, p = predictions
    ratios = np.array([0.05, 0.25, 1.0, 4.0, 30.0])
    found = cost_curve(y, p, ratios)
    for j, ratio in enumerate(ratios):
        alarm, miss = 1 / (1 + ratio), ratio / (1 + ratio)
        # Decide row by row by expected cost, as `decide` does.
        treat = (1 - p) * alarm <= p * miss + 1e-12
        paid = np.where(treat, (y == 0) * alarm, (y == 1) * miss)
        assert found.cost[j] == pytest.approx(paid.mean())
        assert found.treat_all[j] == pytest.approx(alarm * (y == 0).mean())
        assert found.treat_none[j] == pytest.approx(miss * y.mean())
        true, false = (treat & (y == 1)).mean(), (treat & (y == 0)).mean()
        assert found.net_benefit[j] == pytest.approx(true - false * alarm / miss)
        everybody = y.mean() - (1 - y.mean()) * alarm / miss
        assert found.net_benefit_treat_all[j] == pytest.approx(everybody)
    assert (found.low <= found.cost).all() and (found.cost <= found.high).all()


def test_twice_the_area_over_the_threshold_is_the_brier_score(predictions):
    y, p = predictions
    threshold = (np.arange(20000) + 0.5) / 20000
    found = cost_curve(y, p, 1 / threshold - 1)
    assert 2 * found.cost.mean() == pytest.approx(brier_score(y, p), abs=1e-6)


def test_default_ratios_and_json(predictions):
    found = cost_curve(*predictions, label="naive Bayes")
    assert found.cost_ratios[[0, 100, 200]] == pytest.approx([0.01, 1, 100])
    assert found.thresholds[100] == 0.5
    back = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert back["label"] == "naive Bayes" and len(back["cost"]) == 201


def test_interval_covers_the_true_cost():
    """For uniform calibrated p the cost at threshold t is known in closed form."""
    t = np.array([0.1, 0.5, 0.9])
    true = t * (1 - t) ** 2 / 2 + (1 - t) * t**2 / 2
    covered = np.zeros(3)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        p = rng.random(150)
        found = cost_curve((rng.random(150) < p).astype(int), p, 1 / t - 1)
        covered += ((found.low <= true[::-1]) & (true[::-1] <= found.high))[::-1]
    # 95 % of 200 is 190, standard error 3.
    assert (covered >= 180).all()


def test_no_error_seen_is_not_no_error():
    found = cost_curve([0, 1] * 10, np.array([0.1, 0.9] * 10), [1.0])
    assert found.cost[0] == 0 and found.low[0] == 0
    # Wilson for 0 of 20 is 0.1611 for each rate, weighted by one half and joined in squares.
    assert found.high[0] == pytest.approx(0.5 * np.hypot(0.1611, 0.1611), abs=1e-4)


def test_range_where_the_model_is_useful(predictions):
    y, p = predictions
    low, high = cost_curve(y, p).useful
    assert low < 1 < high
    assert cost_curve(y, np.full(300, y.mean())).useful is None


def test_one_class_against_the_rest():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3]])
    found = cost_curve([0, 2, 1], p, [1.0], positive=2)
    assert found.prevalence == pytest.approx(1 / 3) and found.cost[0] == 0
    with pytest.raises(UsageError, match="positive"):
        cost_curve([0, 2, 1], p, positive=3)


@pytest.mark.parametrize("ratios", [[0.0, 1.0], [-1.0], [np.nan], [np.inf]])
def test_ratios_must_be_positive(predictions, ratios):
    with pytest.raises(UsageError, match="cost_ratios"):
        cost_curve(*predictions, ratios)
