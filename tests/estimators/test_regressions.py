"""Wrong answers that once were given: none comes back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.datasets import load_breast_cancer, load_iris

from fabula import (
    GaussianMixture,
    GenerativeClassifier,
    LinearDiscriminantAnalysis,
    MixtureModel,
    NaiveBayes,
    QuadraticDiscriminantAnalysis,
)
from fabula.families.priors import ledoit_wolf_strength


@pytest.mark.parametrize("missing", [np.nan, None, -1])
def test_a_list_of_names_may_lack_labels(missing):
    rows = np.array([[0.0], [1.0], [0.1], [5.0], [6.0], [5.5]])
    model = NaiveBayes("normal").fit(rows, ["a", "a", missing, "b", "b", "b"])
    assert model.classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "model",
    [NaiveBayes("normal"), QuadraticDiscriminantAnalysis(), GenerativeClassifier()],
    ids=lambda model: type(model).__name__,
)
def test_evidence_does_not_depend_on_priors(model):
    x, y = load_iris(return_X_y=True)
    fitted = model.fit(x, y)
    without_first = fitted.with_prior([0.0, 0.5, 0.5])
    before, after = fitted.contributions(x[:3]), without_first.contributions(x[:3])
    np.testing.assert_allclose(after.values, before.values, atol=1e-9)
    np.testing.assert_allclose(after.remainder, before.remainder, atol=1e-9)
    odds = without_first.contributions(x[60:63], reference=1).log_odds()
    told = without_first.predict_log_proba(x[60:63])
    assert np.isneginf(odds[:, 0]).all() and np.all(odds[:, 1] == 0)
    np.testing.assert_allclose(odds[:, 2], told[:, 2] - told[:, 1], atol=1e-9)


def test_columns_that_never_change_do_not_shrink_the_others():
    x, y = load_breast_cancer(return_X_y=True)
    x, y = x[:80], y[:80]
    rows = (x - x.mean(axis=0)) / x.std(axis=0)
    ones = np.ones(len(x))
    beside = np.column_stack([rows, np.zeros((80, 60))])
    assert ledoit_wolf_strength(beside, ones) == pytest.approx(ledoit_wolf_strength(rows, ones))
    wide = np.column_stack([x, np.ones((80, 60))])
    for shrinkage in ("ledoit_wolf", "oas"):
        model = LinearDiscriminantAnalysis(shrinkage)
        alone = model.fit(x, y).predict_log_proba(x)
        together = model.fit(wide, y).predict_log_proba(wide)
        np.testing.assert_allclose(together, alone, atol=1e-6)


def test_weights_count_in_the_choice_of_families():
    rng = np.random.default_rng(0)
    counted = np.exp(rng.normal(size=(100, 1)))
    rows = np.concatenate([counted, 10.0 + rng.normal(size=(2000, 1))])
    labels, weights = np.arange(2100) % 2, np.repeat([1.0, 0.0], [100, 2000])
    model = GenerativeClassifier(MixtureModel(1, random_state=0))
    assert model.fit(rows, labels).estimators_[0].families_ != {0: "log_normal"}
    weighted = model.fit(rows, labels, sample_weight=weights)
    assert weighted.estimators_[0].families_ == {0: "log_normal"}


def test_several_intervals_of_columns_that_depend_on_each_other():
    covariance = np.array([[1.0, 0.9, 0.5], [0.9, 1.0, 0.3], [0.5, 0.3, 1.0]])
    model = GaussianMixture.from_parameters([1.0], np.zeros((1, 3)), covariance[None])
    lows, highs = np.array([0.5, -0.5]), np.array([1.5, 0.5])
    truncated = model.condition({0: (0.5, 1.5), 1: (-0.5, 0.5)})
    law = multivariate_normal(np.zeros(2), covariance[:2, :2])
    mass = law.cdf(highs, lower_limit=lows)
    assert np.exp(truncated.log_condition_) == pytest.approx(mass, rel=1e-3)
    rows = np.array([[-1.0], [0.0], [0.7], [2.0]])
    gain = covariance[:2, 2]
    rest = covariance[:2, :2] - np.outer(gain, gain)
    expected = [
        np.log(multivariate_normal(row * gain, rest).cdf(highs, lower_limit=lows))
        + multivariate_normal(0, 1).logpdf(row)
        - np.log(mass)
        for row in rows[:, 0]
    ]
    together = truncated.score_samples(rows)
    np.testing.assert_allclose(together, expected, atol=0.02)
    alone = [truncated.score_samples(row[None])[0] for row in rows]
    np.testing.assert_allclose(together, alone, atol=1e-9)


def test_filling_in_under_several_intervals():
    covariance = np.array([[1.0, 0.95, 0.9], [0.95, 1.0, 0.8], [0.9, 0.8, 1.0]])
    model = GaussianMixture.from_parameters([1.0], np.zeros((1, 3)), covariance[None])
    drawn, _ = model.sample(400_000, random_state=0)
    inside = drawn[(np.abs(drawn[:, 0]) < 3) & (drawn[:, 1] > 1)][:, 2]
    truncated = model.condition({0: (-3, 3), 1: (1, None)})
    hole = np.array([[np.nan]])
    assert truncated.impute(hole)[0, 0] == pytest.approx(inside.mean(), abs=0.03)
    filled = truncated.impute(np.repeat(hole, 4000, axis=0), "draw", random_state=0)
    assert filled.mean() == pytest.approx(inside.mean(), abs=0.06)
    assert filled.std() == pytest.approx(inside.std(), abs=0.05)


def test_draws_under_one_condition_after_another():
    x, y = load_iris(return_X_y=True)
    for model in (QuadraticDiscriminantAnalysis().fit(x, y), GenerativeClassifier().fit(x, y)):
        first = model.condition({0: (5.0, 6.0)})
        rows, _ = first.sample(20_000, random_state=0, given={0: (3.0, 4.0)})
        assert rows.shape == (20_000, 3) and rows[:, 0].min() >= 3.0 and rows[:, 0].max() <= 4.0
        drawn, _ = model.sample(400_000, random_state=1)
        inside = (drawn[:, 0] > 5) & (drawn[:, 0] < 6) & (drawn[:, 1] > 3) & (drawn[:, 1] < 4)
        np.testing.assert_allclose(rows[:, 1:].mean(0), drawn[inside][:, 2:].mean(0), atol=0.06)
