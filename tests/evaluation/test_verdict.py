"""Verdicts on tables whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fabula import QuadraticDiscriminantAnalysis, compare
from fabula.evaluation.verdict import REASONS

BOUNDARY = ["lda", "qda", "logistic", "quadratic"]
QUICK = {"n_bootstrap": 0, "calibrate": False}


def two_normals(seed, equal, n=400):
    """Correlations of opposite sign, or the same; the log-odds are quadratic, or linear."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    first = np.array([[1.0, 0.6], [0.6, 1.0]])
    second = first if equal else np.array([[1.0, -0.6], [-0.6, 1.0]])
    x = np.where(
        (y == 0)[:, None],
        rng.multivariate_normal([0, 0], first, n),
        rng.multivariate_normal([1, 1], second, n),
    )
    return x, y


def judged(seeds, equal, **options):
    """How often a quadratic model was chosen, and how often the reason was given."""
    chosen = said = 0
    for seed in seeds:
        verdict = compare(*two_normals(seed, equal), BOUNDARY, random_state=seed, **options).verdict
        chosen += verdict.chosen.startswith(("QDA", "quadratic"))
        said += "quadratic_boundary" in verdict.codes
    return chosen, said


def test_a_wrong_story_is_recognised():
    assert judged(range(5), equal=False, cv=5, **QUICK) == (5, 5)
    chosen, said = judged(range(5), equal=True, cv=5, **QUICK)
    assert chosen == 0 and said <= 1


@pytest.mark.slow
def test_a_wrong_story_is_recognised_in_95_of_100_seeds():
    chosen, said = judged(range(100), equal=False, n_bootstrap=0)
    assert chosen >= 95 and said >= 95
    chosen, said = judged(range(100), equal=True, n_bootstrap=0)
    assert chosen <= 5 and said <= 5


def test_what_a_quadratic_boundary_rests_on():
    verdict = compare(*two_normals(0, equal=False), BOUNDARY, cv=5, **QUICK).verdict
    reason = verdict["quadratic_boundary"]
    assert "the shared-covariance story is wrong" in reason.text
    evidence = reason.evidence["QDA - LDA"]
    assert evidence["difference"] < -0.05 and evidence["high"] < 0
    assert verdict["unequal_covariances"].evidence["nats_per_row"] > 0.1
    linear = compare(*two_normals(0, equal=True), BOUNDARY, cv=5, **QUICK).verdict
    assert "linear_boundary" in linear.codes
    assert "unequal_covariances" not in linear.codes
    with pytest.raises(KeyError):
        linear["quadratic_boundary"]


def test_the_choice_among_all_models_is_quadratic_too():
    models = ["naive_bayes", *BOUNDARY, "gaussian_mixture"]
    result = compare(*two_normals(1, equal=False), models, cv=5, n_bootstrap=0)
    assert result.verdict.chosen.startswith(("QDA", "quadratic"))


def test_columns_that_are_not_independent_are_named():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    table = pd.DataFrame(
        {
            "age": rng.standard_normal(500),
            "left": rng.standard_normal(500),
            "noise": rng.standard_normal(500),
        }
    )
    table["right"] = 0.95 * table["left"] + np.sqrt(1 - 0.95**2) * rng.standard_normal(500)
    table["left"] += 0.7 * y
    table["age"] += y
    verdict = compare(table, y, ["naive_bayes", "lda"], cv=5, n_bootstrap=0).verdict
    reason = verdict["independence_wrong"]
    assert reason.evidence["columns"] == ["left", "right"]
    assert reason.evidence["correlation"] == pytest.approx(0.95, abs=0.02)
    assert "columns left and right are correlated within the classes" in reason.text
    independent = compare(table[["age", "noise"]], y, ["naive_bayes", "lda"], cv=5, n_bootstrap=0)
    assert "independence_wrong" not in independent.verdict.codes


def test_a_story_that_is_too_sure_is_told_to_cool_down():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    x = np.repeat(rng.standard_normal((500, 1)) + y[:, None], 5, axis=1)
    verdict = compare(x, y, ["naive_bayes"], cv=5, calibrate=["temperature"], n_bootstrap=0).verdict
    reason = verdict["miscalibrated"]
    assert "miscalibrated: temperature" in reason.text and "too sure of itself" in reason.text
    assert reason.evidence["inverse_temperature"] == pytest.approx(0.2, abs=0.03)
    assert verdict.chosen == "naive Bayes + temperature"
    once = compare(x[:, :1], y, ["naive_bayes"], cv=5, calibrate=["temperature"], n_bootstrap=0)
    assert "miscalibrated" not in once.verdict.codes
    assert once.verdict.chosen == "naive Bayes"


def test_few_rows_for_many_columns():
    rng = np.random.default_rng(0)
    y = np.arange(30) % 2
    x = rng.standard_normal((30, 40)) + 0.5 * y[:, None]
    reason = compare(x, y, ["lda", "naive_bayes"], cv=5, **QUICK).verdict["few_rows"]
    assert reason.text.startswith("n ≪ d: 30 labelled rows for 40 columns")
    assert "use factors or a divider" in reason.text
    many = compare(x[:, :3], y, ["lda", "naive_bayes"], cv=5, **QUICK).verdict
    assert "few_rows" not in many.codes


def test_a_divider_wins_on_a_ring():
    rng = np.random.default_rng(0)
    radius = np.concatenate([rng.uniform(0, 1, 300), rng.uniform(1.2, 2, 300)])
    angle = rng.uniform(0, 2 * np.pi, 600)
    x = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    y = np.repeat([0, 1], 300)
    verdict = compare(x, y, ["lda", "svm"], cv=5, **QUICK).verdict
    reason = verdict["divider_wins"]
    assert verdict.chosen == "SVM"
    assert "prefer it for prediction; keep the story for" in reason.text
    assert reason.evidence["difference"] > 0.5


def test_a_storyteller_wins_with_few_rows():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80)
    x = rng.standard_normal((80, 10)) + 0.8 * y[:, None]
    verdict = compare(x, y, ["lda", "boosting"], cv=5, **QUICK).verdict
    assert "storyteller_wins" in verdict.codes
    assert verdict["storyteller_wins"].evidence["difference"] < 0


def test_no_difference_between_two_that_say_the_same():
    x, y = two_normals(3, equal=True)
    verdict = compare(x, y, ["lda", "logistic"], cv=5, **QUICK).verdict
    assert "no_difference" in verdict.codes
    assert verdict.chosen == "LDA"  # the simpler one


def test_rows_without_a_label_that_help():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    x = rng.standard_normal((600, 8)) + 1.2 * y[:, None]
    labels = y.astype(object)
    labels[40:] = None
    verdict = compare(x, labels, ["qda"], cv=10, **QUICK).verdict
    reason = verdict["unlabelled_help"]
    assert "With the 560 rows without a label, QDA is better by" in reason.text
    assert reason.evidence["n_unlabelled"] == 560


def test_rows_without_a_label_that_mislead():
    # Two clusters that have nothing to do with the classes: EM explains the clusters.
    rng = np.random.default_rng(0)
    n = 600
    y = rng.integers(0, 2, n)
    x = np.column_stack(
        [rng.standard_normal(n) + 8.0 * rng.integers(0, 2, n), 0.5 * rng.standard_normal(n) + y]
    )
    labels = y.astype(object)
    labels[60:] = None
    verdict = compare(x, labels, ["naive_bayes"], cv=10, **QUICK).verdict
    reason = verdict["unlabelled_hurt"]
    assert "do not help: with them, naive Bayes is worse by" in reason.text
    assert verdict.chosen == "naive Bayes"


def test_a_few_enormous_losses_do_not_let_a_poor_model_pass():
    # Its differences are not significant, for one row outweighs all; it must not be chosen for it.
    class Reckless(QuadraticDiscriminantAnalysis):
        def predict_log_proba(self, X):
            said = super().predict_log_proba(X)
            said[0] = [-1000.0, -1000.0]
            return said

    x, y = two_normals(0, equal=False)
    models = {"naive": "naive_bayes", "reckless": Reckless(), "sober": "qda"}
    result = compare(x, y, models, cv=5, **QUICK)
    assert result["reckless"].scores.log_loss.value > 5
    assert result.verdict.chosen == "sober"


def test_every_code_is_documented():
    assert all(code.islower() and text for code, text in REASONS.items())
    verdict = compare(*two_normals(0, equal=False), ["lda", "qda"], cv=3, **QUICK).verdict
    assert set(verdict.codes) <= set(REASONS)
    assert str(verdict).count("\n") == len(verdict.reasons) - 1
