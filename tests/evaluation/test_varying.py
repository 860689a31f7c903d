"""Curves over rows and over missing cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.model_selection import StratifiedKFold

from fabula import FabulaWarning, LinearDiscriminantAnalysis, UsageError
from fabula.evaluation import learning_curve, missing_curve

X, Y = load_breast_cancer(return_X_y=True)
X = X[:, [0, 1, 4, 7]]


def test_more_rows_are_better():
    curves = learning_curve(X, Y, ["lda", "boosting"], [10, 40, 160, 390], repeats=3)
    assert [(c.label, c.kind) for c in curves] == [
        ("LDA + temperature", "storyteller"),
        ("gradient boosting", "divider"),
    ]
    for curve in curves:
        assert curve.x.tolist() == [10, 40, 160, 390]
        assert curve.mean[-1] < curve.mean[0]
        assert np.all(curve.low < curve.mean) and np.all(curve.mean < curve.high)
    # With ten rows a model of two normals knows more than trees, which cannot split at all.
    lda, trees = curves
    assert lda.mean[0] < trees.mean[0]
    assert trees.mean[0] == pytest.approx(np.log(2), abs=0.08)


def test_the_whole_training_set_is_a_plain_fit():
    from sklearn.model_selection import StratifiedShuffleSplit

    (curve,) = learning_curve(
        X, Y, ["lda"], [398], metric="accuracy", repeats=2, calibrate=None, random_state=7
    )
    splitter = StratifiedShuffleSplit(2, test_size=171, random_state=7)
    expected = [
        LinearDiscriminantAnalysis().fit(X[train], Y[train]).score(X[test], Y[test])
        for train, test in splitter.split(X, Y)
    ]
    assert curve.mean[0] == pytest.approx(np.mean(expected))
    assert curve.metric == "accuracy"


def test_sizes_by_default_and_labels_by_name():
    x, y = load_iris(return_X_y=True)
    table = pl.DataFrame(x, schema=list("abcd")).with_columns(kind=pl.Series(y.astype(str)))
    curves = learning_curve(table, "kind", repeats=2)
    labels = [c.label for c in curves]
    assert "naive Bayes + temperature" in labels and "LDA + temperature" in labels
    assert curves[0].x[0] == 20 and curves[0].x[-1] == 105 and len(curves[0].x) == 6


def test_a_model_that_cannot_learn_from_few_rows_has_no_score_there():
    with pytest.warns(FabulaWarning, match="normal mixture per class was left out"):
        curves = learning_curve(
            X, Y, ["gaussian_mixture", "lda"], [20, 300], repeats=2, calibrate=None
        )
    by_name = {curve.label: curve for curve in curves}
    assert np.isnan(by_name["normal mixture per class"].mean[0])
    assert np.isfinite(by_name["normal mixture per class"].mean[1])


def test_missing_cells_integrated_out_and_filled_in():
    curves = missing_curve(
        X, Y, ["qda", "logistic"], [0.0, 0.3, 0.6], cv=3, calibrate=None, random_state=1
    )
    for curve in curves:
        assert curve.x.tolist() == [0.0, 0.3, 0.6]
        assert curve.mean[0] < curve.mean[1] < curve.mean[2] < np.log(2)
    qda = next(c for c in curves if c.label == "QDA")
    # The same cells, written out.
    from fabula import QuadraticDiscriminantAnalysis

    level = np.random.default_rng(1).random(X.shape)
    holed = np.where(level < 0.3, np.nan, X)
    losses = []
    for train, test in StratifiedKFold(3, shuffle=True, random_state=1).split(X, Y):
        model = QuadraticDiscriminantAnalysis().fit(holed[train], Y[train])
        log_proba = model.predict_log_proba(holed[test])
        losses.append(-log_proba[np.arange(len(test)), Y[test]].mean())
    assert qda.mean[1] == pytest.approx(np.mean(losses), rel=1e-6)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_cells_of_every_kind_go_missing(make):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    table = make(
        {
            "age": rng.normal(40 + 10 * y, 8),
            "colour": rng.choice(["red", "green"], 200),
            "member": rng.random(200) < 0.3 + 0.4 * y,
            "visits": rng.poisson(1 + 2 * y),
        }
    )
    curves = missing_curve(table, y, fractions=[0.2, 0.5], cv=3)
    assert {c.label for c in curves} == {
        "naive Bayes + temperature",
        "mixture per class + temperature",
        "logistic regression",
        "gradient boosting",
    }
    assert all(np.isfinite(c.mean).all() for c in curves)


def test_usage():
    for options, message in [
        ({"sizes": [100, 50]}, "must rise"),
        ({"sizes": [2]}, "two rows of each class"),
        ({"sizes": [500]}, "at most 398"),
        ({"metric": "auc"}, "metric must be one of"),
        ({"calibrate": "platt"}, "calibrate must be one of"),
        ({"repeats": 0}, "repeats"),
        ({"test_share": 1.5}, "test_share"),
    ]:
        with pytest.raises(UsageError, match=message):
            learning_curve(X, Y, ["lda"], **options)
    with pytest.raises(UsageError, match="fractions must"):
        missing_curve(X, Y, ["lda"], [0.5, 1.0])
    with pytest.raises(UsageError, match="must rise"):
        missing_curve(X, Y, ["lda"], [0.5, 0.3])
