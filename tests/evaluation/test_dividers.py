"""Discriminative peers over tables: against pipelines of scikit-learn built by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVC

from fabula import CannotAnswerError, DataError, UsageError
from fabula.evaluation.dividers import DIVIDERS, Divider, why_not
from fabula.tables import Field

X, Y = load_breast_cancer(return_X_y=True)
X = X[:, :4]


def by_hand(kind):
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return {
        "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "quadratic": lambda: make_pipeline(
            StandardScaler(),
            PolynomialFeatures(2, include_bias=False),
            StandardScaler(),
            LogisticRegression(max_iter=2000),
        ),
        "svm": lambda: CalibratedClassifierCV(
            make_pipeline(StandardScaler(), SVC()), method="sigmoid", cv=folds, ensemble=False
        ),
        "boosting": lambda: HistGradientBoostingClassifier(random_state=0),
    }[kind]()


@pytest.mark.parametrize("kind", DIVIDERS)
def test_numbers_without_holes(kind):
    ours = Divider(kind).fit(X, Y)
    assert np.allclose(ours.predict_proba(X), by_hand(kind).fit(X, Y).predict_proba(X), atol=1e-6)
    assert ours.score(X, Y) == np.mean(ours.predict(X) == Y)


def holed(n=200, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    table = pd.DataFrame(
        {
            "age": rng.normal(40 + 10 * y, 8),
            "colour": rng.choice(["red", "green", "blue"], n),
            "member": rng.random(n) < 0.3 + 0.4 * y,
        }
    )
    table["member"] = table["member"].astype("object")
    table.loc[::5, "age"] = np.nan
    table.loc[::7, "colour"] = None
    table.loc[::11, "member"] = None
    return table, np.where(y, "yes", "no")


@pytest.mark.parametrize("kind", DIVIDERS)
def test_tables_with_holes_and_levels_never_seen(kind):
    table, y = holed()
    model = Divider(kind).fit(table, y)
    assert model.score(table, y) > 0.6
    strange = table.head(4).assign(colour="mauve", age=np.nan)
    proba = model.predict_proba(strange)
    assert np.isfinite(proba).all() and np.allclose(proba.sum(axis=1), 1.0)
    same = Divider(kind).fit(pl.from_pandas(table), y)
    assert np.allclose(
        same.predict_proba(pl.from_pandas(table)), model.predict_proba(table), atol=1e-6
    )


def test_missing_cells_stand_at_the_mean_beside_an_indicator():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    x = rng.standard_normal((400, 2)) + y[:, None]
    x[(rng.random(400) < 0.3) & (y == 1), 0] = np.nan  # that it is missing says something
    filled = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    features = np.column_stack([filled, np.isnan(x[:, 0])])
    expected = by_hand("logistic").fit(features, y).predict_proba(features)
    assert np.allclose(Divider().fit(x, y).predict_proba(x), expected, atol=1e-6)


def test_words():
    texts = ["free prize now", "see you at home", "win a free prize", "at home tonight"] * 15
    labels = ["spam", "ham", "spam", "ham"] * 15
    lengths = [float(len(text) + i) for i, text in enumerate(texts)]
    table = pl.DataFrame({"text": texts, "length": lengths})
    for kind in ("logistic", "svm", "boosting"):
        model = Divider(kind)
        model._shared_encoding = _encoding(table)
        model.fit(table, labels)
        assert model.score(table, labels) == 1.0


def _encoding(table):
    from fabula.tables import TableEncoding

    return TableEncoding.fit(table, kinds={"text": "text"})


def test_rows_without_a_label_are_left_out():
    labels = Y.astype(object)
    labels[100:] = None
    one = Divider().fit(X, labels).predict_proba(X)
    assert np.allclose(one, Divider().fit(X[:100], Y[:100]).predict_proba(X))


def test_few_rows_choose_their_penalty():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 40))
    y = rng.integers(0, 2, 60)  # nothing to learn: the heaviest penalty is best
    model = Divider(random_state=0).fit(x, y)
    assert model.pipeline_[-1].best_params_ == {"C": 0.01}


def test_what_is_not_tried():
    numbers = [Field(j, "continuous") for j in range(100)]
    assert "squares and products" in why_not("quadratic", numbers, 500)
    assert "no numbers to square" in why_not("quadratic", [Field("c", "category", 3)], 500)
    assert "10,001 are more than" in why_not("svm", numbers, 10_001)
    words = [Field("t", "text", word=str(j)) for j in range(5000)]
    assert "dense numbers" in why_not("boosting", words, 5000)
    assert why_not("logistic", words, 10**7) is None
    with pytest.raises(CannotAnswerError, match="more than 3,000 are not tried"):
        Divider("quadratic").fit(np.random.default_rng(0).random((30, 80)), np.arange(30) % 2)
    with pytest.raises(UsageError, match="kind must be one of"):
        Divider("forest").fit(X, Y)
    with pytest.raises(DataError, match="one class only"):
        Divider().fit(X, np.zeros(len(X)))
