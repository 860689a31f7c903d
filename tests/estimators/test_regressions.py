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
    alone = LinearDiscriminantAnalysis().fit(x, y).predict_log_proba(x)
    wide = np.column_stack([x, np.ones((80, 60))])
    together = LinearDiscriminantAnalysis().fit(wide, y).predict_log_proba(wide)
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_weights_count_in_the_choice_of_families():
    rng = np.random.default_rng(0)
    odd = np.exp(rng.normal(size=(150, 1)))  # log-normal, and of weight 0
    rows = np.concatenate([10.0 + rng.normal(size=(100, 1)), odd])
    labels, weights = np.arange(250) % 2, np.repeat([1.0, 0.0], [100, 150])
    model = GenerativeClassifier(MixtureModel(1, random_state=0))
    weighted = model.fit(rows, labels, sample_weight=weights).estimators_[0].families_
    assert weighted == model.fit(rows[:100], labels[:100]).estimators_[0].families_


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
