"""Comparisons: the numbers against loops written out, and everything that can go wrong."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

import fabula
from fabula import (
    Calibrated,
    DataError,
    LinearDiscriminantAnalysis,
    NaiveBayes,
    QuadraticDiscriminantAnalysis,
    UsageError,
    compare,
)
from fabula.evaluation.contestants import MODEL_NAMES
from fabula.evaluation.differences import corrected_resampled_difference

X, Y = load_breast_cancer(return_X_y=True)
X = X[:, [0, 1, 4, 7]]
QUICK = {"n_bootstrap": 0, "calibrate": False}


def loop(make, x, y, n_folds=5, seed=0):
    """Log loss of each row and mean of each fold, the long way."""
    losses, means = np.empty(len(y)), []
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for train, test in folds.split(x, y):
        log_proba = make().fit(x[train], y[train]).predict_log_proba(x[test])
        losses[test] = -log_proba[np.arange(len(test)), y[test]]
        means.append(losses[test].mean())
    return losses, np.array(means)


def test_the_numbers_are_those_of_a_plain_loop():
    result = compare(X, Y, ["lda", "qda"], cv=5, **QUICK)
    lda, lda_folds = loop(LinearDiscriminantAnalysis, X, Y)
    qda, qda_folds = loop(QuadraticDiscriminantAnalysis, X, Y)
    assert result["LDA"].scores.log_loss.value == pytest.approx(lda.mean(), rel=1e-9)
    assert result["QDA"].scores.log_loss.value == pytest.approx(qda.mean(), rel=1e-9)
    assert result["LDA"].fold_losses == pytest.approx(lda_folds)
    best, other = sorted([(lda.mean(), lda_folds, "LDA"), (qda.mean(), qda_folds, "QDA")])
    n_test = len(Y) / 5
    expected = corrected_resampled_difference(
        other[1] - best[1], round(len(Y) - n_test), round(n_test)
    )
    assert result.verdict.best == best[2] == result.models[0].name
    assert result[best[2]].difference is None
    found = result[other[2]].difference
    assert (found.mean, found.p_value) == pytest.approx((expected.mean, expected.p_value))


def test_calibrated_variants_are_those_of_calibrated():
    result = compare(X, Y, ["naive_bayes"], cv=5, calibrate=["sigmoid"], n_bootstrap=0)
    losses, _ = loop(lambda: Calibrated(NaiveBayes(), "sigmoid"), X, Y)
    assert result["naive Bayes + sigmoid"].scores.log_loss.value == pytest.approx(losses.mean())
    plain, _ = loop(NaiveBayes, X, Y)
    assert result["naive Bayes"].scores.log_loss.value == pytest.approx(plain.mean())


def test_held_out_log_density():
    result = compare(X, Y, ["qda"], cv=5, **QUICK)
    joint = []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(X, Y):
        model = QuadraticDiscriminantAnalysis().fit(X[train], Y[train])
        joint.extend(model.predict_joint_log_proba(X[test])[np.arange(len(test)), Y[test]])
    assert result["QDA"].log_density == pytest.approx(np.mean(joint))


def test_a_latent_tree_takes_part_where_it_is_named():
    from fabula import LatentTreeModel

    model = LatentTreeModel(3, max_passes=2, random_state=0)
    result = compare(X, Y, {"tree": model, "qda": "qda"}, cv=3, **QUICK)
    assert result["tree"].failure is None
    joint = []
    for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(X, Y):
        fitted = LatentTreeModel(3, max_passes=2, random_state=0).fit(X[train], Y[train])
        told = fitted.predict_joint_log_proba(X[test])
        np.testing.assert_allclose(
            np.logaddexp.reduce(told, axis=1), fitted.score_samples(X[test]), atol=1e-4
        )
        joint.extend(told[np.arange(len(test)), Y[test]])
    assert result["tree"].log_density == pytest.approx(np.mean(joint), rel=1e-6)


@pytest.mark.slow
def test_every_model_takes_part():
    # The second draw of a table, so that nothing of what is shown was tuned on it.
    result = compare(X, Y, cv=3, n_bootstrap=50)
    codes = {model.code for model in result.models}
    assert codes | {s.code for s in result.skipped} == set(MODEL_NAMES) - {"mixture", "latent_tree"}
    assert all(model.failure is None for model in result.models)
    kinds = {model.code: model.kind for model in result.models}
    assert kinds["lda"] == "storyteller" and kinds["logistic"] == "divider"
    losses = [model.scores.log_loss.value for model in result.models]
    assert losses == sorted(losses)
    assert {s.name for s in result.skipped} == {"factor analysis per class"}


def test_results_as_text_rows_and_json():
    result = compare(X, Y, ["naive_bayes", "logistic"], cv=3, n_bootstrap=50)
    text = str(result)
    assert "naive Bayes + temperature" in text and "smooth ECE" in text and "Use " in text
    rows = result.table()
    assert [row["model"] for row in rows] == [model.name for model in result.models]
    assert rows[0]["difference_to_best"] == 0.0
    assert rows[0]["log_loss_low"] < rows[0]["log_loss"] < rows[0]["log_loss_high"]
    state = json.loads(json.dumps(result.to_dict()))
    assert state["classes"] == ["0", "1"]
    assert state["verdict"]["chosen"] == result.verdict.chosen
    assert "held_out" not in state and "codes" not in state
    curve = result.reliability("naive Bayes", n_bootstrap=0)
    assert curve.label == "naive Bayes" and curve.n == len(Y)
    with pytest.raises(UsageError, match="naive Bayes"):
        result["naive Bayse"]


def test_the_same_twice():
    first, second = (compare(X, Y, ["naive_bayes", "svm"], cv=3, n_bootstrap=20) for _ in "ab")
    one, two = first.to_dict(), second.to_dict()
    for state in (one, two):
        for model in state["models"]:
            del model["fit_seconds"]
    assert one == two


def test_every_kind_of_frame_and_target():
    x, y = load_iris(return_X_y=True)
    columns = ["a", "b", "c", "d"]
    labels = np.array(["s", "v", "w"])[y]
    pandas = pd.DataFrame(x, columns=columns).assign(kind=labels)
    tables = [pandas, pl.from_pandas(pandas), pl.from_pandas(pandas).to_arrow()]
    results = [compare(table, "kind", ["lda", "logistic"], cv=3, **QUICK) for table in tables]
    results.append(compare(x, labels, ["lda", "logistic"], cv=3, **QUICK))
    losses = [r["LDA"].scores.log_loss.value for r in results]
    assert losses == pytest.approx([losses[0]] * 4)
    assert results[0].classes == ("s", "v", "w")
    with pytest.raises(UsageError, match="kind"):
        compare(pandas, "kid", ["lda"])
    with pytest.raises(UsageError, match="shown the answer"):
        compare(pandas, pandas["kind"], ["lda"])
    with pytest.raises(UsageError, match="plain array"):
        compare(x, "kind", ["lda"])


# What fails, and what is left out ----------------------------------------------------------------


class Fragile(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        warnings.warn("this model is old", DeprecationWarning, stacklevel=1)
        raise RuntimeError("out of luck")

    def predict_proba(self, X):
        raise AssertionError


def test_failures_are_reported():
    result = compare(X, Y, {"fragile": Fragile(), "lda": "lda"}, cv=3, **QUICK)
    fragile = result["fragile"]
    assert fragile.scores is None
    assert fragile.failure == "fold 1 of 3: RuntimeError: out of luck"
    assert result.models[-1] is fragile
    assert result.verdict.chosen == "lda"
    assert "fragile failed. fold 1 of 3" in str(result)
    with pytest.raises(UsageError, match="out of luck"):
        result.reliability("fragile")
    json.dumps(result.to_dict())


def test_nobody_left():
    result = compare(X, Y, [Fragile()], cv=3, **QUICK)
    assert result.verdict.codes == ("no_predictions",)
    assert result.verdict.chosen is None


def test_warnings_are_kept_not_shown():
    class Loud(LinearDiscriminantAnalysis):
        def fit(self, X, y, sample_weight=None):
            warnings.warn("loud", UserWarning, stacklevel=2)
            return super().fit(X, y, sample_weight)

    result = compare(X, Y, {"loud": Loud()}, cv=3, **QUICK)
    assert result["loud"].warnings == ("loud",)


def test_certain_and_wrong_costs_infinitely_much():
    tree = DecisionTreeClassifier(random_state=0)
    result = compare(X, Y, {"tree": tree, "lda": "lda"}, cv=3, **QUICK)
    assert result["tree"].scores.log_loss.value == np.inf
    assert result.models[-1].name == "tree"
    assert result.verdict.chosen == "lda"
    assert json.loads(json.dumps(result.to_dict()))["models"][-1]["fold_losses"][0] == "inf"


def test_models_that_do_not_suit_the_table():
    table = pd.DataFrame(X, columns=list("abcd")).assign(colour=np.resize(["r", "g", "b"], len(Y)))
    result = compare(table, Y, ["lda", "naive_bayes", "mixture"], cv=3, **QUICK)
    assert [s.name for s in result.skipped] == ["LDA"]
    assert "column 'colour' holds categories" in result.skipped[0].reason
    assert {m.name for m in result.models} == {"naive Bayes", "mixture per class"}
    with pytest.raises(UsageError, match="No model is left"):
        compare(table, Y, ["lda"], cv=3)


def test_a_time_budget():
    result = compare(X, Y, ["naive_bayes", "lda", "svm"], cv=3, time_budget=1e-9, **QUICK)
    assert [m.name for m in result.models] == ["naive Bayes"]
    assert {s.name for s in result.skipped} == {"LDA", "SVM"}


def test_usage():
    for models, message in [
        (["ldaa"], "There is no model 'ldaa'"),
        ([LinearDiscriminantAnalysis], "is no model"),
        ([], "models is empty"),
        (["lda", "lda"], "same name"),
    ]:
        with pytest.raises(UsageError, match=message):
            compare(X, Y, models)
    with pytest.raises(UsageError, match="cv must be"):
        compare(X, Y, ["lda"], cv=1)
    with pytest.raises(UsageError, match="calibrate may hold"):
        compare(X, Y, ["lda"], calibrate=["platt"])
    with pytest.raises(UsageError, match="alpha"):
        compare(X, Y, ["lda"], alpha=2)
    with pytest.raises(DataError, match="one class only"):
        compare(X, np.zeros(len(Y)), ["lda"])
    rare = Y.copy()
    rare[0] = 2
    with pytest.raises(DataError, match="Class '2' has 1 labelled row"):
        compare(X, rare, ["lda"])
    rare[:3] = 2
    result = compare(X, rare, ["lda"], cv=10, **QUICK)
    assert result.n_folds == 3
    assert "3 folds instead of 10" in result.notes[0]


def test_estimators_of_the_caller():
    models = {
        "ours": LinearDiscriminantAnalysis("oas"),
        "with a map": Calibrated(NaiveBayes(), "isotonic"),
        "theirs": DummyClassifier(),
    }
    result = compare(X, Y, models, cv=3, n_bootstrap=0)
    kinds = {m.name: m.kind for m in result.models}
    assert kinds["ours"] == kinds["with a map"] == "storyteller"
    assert kinds["theirs"] == "divider"
    assert "ours + temperature" in kinds and "with a map + temperature" not in kinds
    share = np.bincount(Y) / len(Y)
    entropy = -(share * np.log(share)).sum()
    assert result["theirs"].scores.log_loss.value == pytest.approx(entropy, abs=0.002)


# Groups and rows without a label -----------------------------------------------------------------


def test_rows_of_a_group_stay_together():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((60, 3)), 5, axis=0)
    y = np.repeat(rng.integers(0, 2, 60), 5)  # copies; nothing else could tell the label
    copies = np.repeat(np.arange(60), 5)
    nearest = {"nearest": KNeighborsClassifier(1), "lda": "lda"}
    leaking = compare(x, y, nearest, cv=5, **QUICK)
    honest = compare(x, y, nearest, cv=5, groups=copies, **QUICK)
    assert leaking["nearest"].scores.accuracy.value == 1.0
    assert honest["nearest"].scores.accuracy.value < 0.7
    table = pd.DataFrame(x, columns=list("abc")).assign(y=y, patient=copies.astype(str))
    named = compare(table, "y", nearest, cv=5, groups="patient", **QUICK)
    assert named["lda"].scores.log_loss.value == pytest.approx(honest["lda"].scores.log_loss.value)


def partly_labelled(seed=0, n=200, n_labelled=24):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.standard_normal((n, 2)) + 3.0 * y[:, None]
    labels = y.astype(object)
    labels[n_labelled:] = None
    return x, labels


def test_rows_without_a_label_are_not_scored_but_learned_from():
    x, labels = partly_labelled()
    result = compare(x, labels, ["lda", "logistic"], cv=4, **QUICK)
    names = [m.name for m in result.models]
    assert "LDA (labelled rows only)" in names and "LDA" in names
    assert "logistic regression (labelled rows only)" not in names
    assert all(m.scores.n == 24 for m in result.models)
    alone = compare(x[:24], labels[:24].astype(int), ["lda", "logistic"], cv=4, **QUICK)
    for name, without in [
        ("LDA (labelled rows only)", "LDA"),
        ("logistic regression", "logistic regression"),
    ]:
        expected = alone[without].scores.log_loss.value
        assert result[name].scores.log_loss.value == pytest.approx(expected)
    assert "176 of 200 rows have no label" in result.notes[0]
    assert result.verdict.codes[-1].startswith("unlabelled_")


def test_it_is_in_the_package():
    assert fabula.compare is compare
    from fabula.evaluation import compare as same

    assert same is compare
