"""What once gave a wrong answer or a bad error, and must not again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_iris

import fabula
from fabula import (
    CannotAnswerError,
    DataError,
    FabulaWarning,
    GaussianMixture,
    LinearDiscriminantAnalysis,
    MixtureModel,
    NaiveBayes,
    QuadraticDiscriminantAnalysis,
    UsageError,
)

X, Y = load_iris(return_X_y=True)
NAMES = ["sl", "sw", "pl", "pw"]
FRAME = pd.DataFrame(X, columns=NAMES)


@pytest.mark.parametrize(
    "model",
    [LinearDiscriminantAnalysis(), QuadraticDiscriminantAnalysis(), NaiveBayes("normal")],
    ids=lambda model: type(model).__name__,
)
def test_a_column_that_never_changed_says_nothing_when_it_does(model):
    z = np.c_[X, np.full(150, 7.0)]
    without = model.fit(X, Y).score(X, Y)
    fitted = model.fit(z, Y)
    assert fitted.score(z, Y) == without
    z[:, 4] += np.random.default_rng(0).normal(size=150) * 0.1
    assert fitted.score(z, Y) >= without - 0.01


def test_linear_probabilities_keep_their_digits_far_from_zero():
    near = LinearDiscriminantAnalysis().fit(X, Y).predict_proba(X)
    model = LinearDiscriminantAnalysis().fit(X + 1e6, Y)
    np.testing.assert_allclose(model.predict_proba(X + 1e6), near, atol=1e-6)
    np.testing.assert_allclose(model.story_.posterior(X + 1e6)[1], near, atol=1e-6)


def test_draws_keep_to_their_condition_whatever_was_seen_before():
    model = QuadraticDiscriminantAnalysis().fit(FRAME, Y)
    beyond, _ = model.sample(20, given={"sl": (8.2, None)}, random_state=0)
    assert beyond["sl"].min() >= 8.2
    assert set(model.sample(5, given={"sl": 8.5}, random_state=0)[0]["sl"]) == {8.5}
    assert set(model.sample(5, given={"sl": 5.123}, random_state=0)[0]["sl"]) == {5.123}
    narrow, _ = model.sample(50, given={"sl": (5.01, 5.09)}, random_state=0)
    assert narrow["sl"].between(5.01, 5.09).all()
    whole, _ = model.sample(50, given={"sl": (5.0, 6.0)}, random_state=0)
    np.testing.assert_allclose(whole["sl"], whole["sl"].round(1))


def test_models_of_different_families_do_not_merge():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 200)
    one = NaiveBayes().partial_fit(np.exp(rng.normal(size=(400, 1)) + y[:, None]), y)
    two = NaiveBayes().partial_fit(rng.normal(size=(400, 1)) + 30 + y[:, None], y)
    if one.families_ != two.families_:
        with pytest.raises(UsageError, match="different families"):
            one.merge(two)
    named = [NaiveBayes("normal").partial_fit(X[part], Y[part], classes=[0, 1, 2])
             for part in (slice(0, None, 2), slice(1, None, 2))]  # fmt: skip
    merged = named[0].merge(named[1])
    np.testing.assert_allclose(
        merged.story_.family.means, NaiveBayes("normal").fit(X, Y).story_.family.means
    )


def test_truncated_models_have_nothing_left_of_what_they_were():
    model = LinearDiscriminantAnalysis().fit(X, Y).condition({2: (4.0, None)})
    assert not hasattr(model, "coef_") and not hasattr(model, "means_")
    with pytest.raises(UsageError, match="linear form"):
        model.to_logistic_regression()
    rest = X[:, [0, 1, 3]]
    joint = model.predict_joint_log_proba(rest)
    np.testing.assert_allclose(model.decision_function(rest), joint)
    half = model.with_prior([0.2, 0.3, 0.5])
    np.testing.assert_allclose(half.class_prior_, [0.2, 0.3, 0.5])
    odds = half.predict_log_proba(rest) - model.predict_log_proba(rest)
    change = np.log([0.2, 0.3, 0.5]) - np.log(model.class_prior_)
    np.testing.assert_allclose(odds - odds[:, :1], np.tile(change - change[0], (150, 1)), atol=1e-6)


def test_minus_one_beside_names_is_no_class():
    few = ["a", "a", -1, "b", "b", -1]
    model = NaiveBayes().fit(X[[0, 1, 2, 60, 61, 62]], few)
    assert model.classes_.tolist() == ["a", "b"]
    with pytest.raises(DataError, match="No row of y has a label"):
        NaiveBayes().fit(X[:4], [-1, -1, -1, -1])


def test_an_empty_column_stays_empty():
    x = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan]])
    with pytest.warns(FabulaWarning, match="no value at all"):
        model = MixtureModel(1).fit(x)
    filled = model.impute(np.array([[np.nan, np.nan]]))
    assert np.isfinite(filled[0, 0]) and np.isnan(filled[0, 1])


@pytest.mark.parametrize(
    ("kinds", "message"),
    [({0: "count"}, "must be 0, 1, 2"), ({9: "count"}, "no column 9"), ({0: "sort"}, "'sort'")],
)
def test_kinds_of_arrays_are_checked(kinds, message):
    with pytest.raises((UsageError, DataError), match=message):
        NaiveBayes(kinds=kinds).fit(X, Y)


def test_yes_and_no_in_a_model_of_numbers():
    table = FRAME.assign(big=X[:, 0] > 5.8)
    drawn, _ = GaussianMixture(2, random_state=0).fit(table).sample(20, random_state=0)
    assert drawn["big"].dtype == bool


def test_after_a_file_there_is_nothing_to_add_to(tmp_path):
    fabula.save(NaiveBayes("normal").fit(X, Y), tmp_path / "m.fabula")
    model = fabula.load(tmp_path / "m.fabula")
    with pytest.raises(UsageError, match="Fit it anew"):
        model.partial_fit(X, Y)
    with pytest.raises(UsageError, match="one pass"):
        model.merge(NaiveBayes("normal").fit(X, Y))


def test_labels_from_everywhere():
    import pyarrow as pa

    labels = pa.array(["a", None, "b"] * 50)
    model = NaiveBayes("normal").fit(X, labels)
    assert model.classes_.tolist() == ["a", "b"]
    with pytest.raises(DataError, match="dates"):
        NaiveBayes().fit(X, np.array(["2020-01-01"] * 150, dtype="datetime64[D]"))


def test_text_in_an_array_is_named():
    with pytest.raises(DataError, match="data frame"):
        NaiveBayes().fit(np.array([["a", 1.0], ["b", 2.0]], dtype=object), [0, 1])


def test_questions_without_an_answer_name_who_has_one():
    model = GaussianMixture(2, random_state=0).fit(X)
    assert not hasattr(model, "decide")
    with pytest.raises(CannotAnswerError, match="NaiveBayes"):
        model.with_prior([0.5, 0.5])
    with pytest.raises(CannotAnswerError, match="'sl'"):
        GaussianMixture(2, random_state=0).fit(FRAME).condition({"sl": {1.0, 2.0}})


def test_columns_without_a_part_in_the_model():
    table = pl.DataFrame(
        {"id": [f"p{i:03}" for i in range(60)], "x": np.arange(60.0) % 7, "one": ["c"] * 60}
    )
    model = MixtureModel(2, random_state=0).fit(table)
    with pytest.raises(UsageError, match="identifier"):
        model.condition({"id": "p001"})
    with pytest.raises(UsageError, match="must be a list"):
        model.marginal("x")


def test_text_tells_of_other_columns():
    table = pl.DataFrame(
        {
            "text": ["free prize call", "win a prize now", "see you at home", "home for tea"] * 6,
            "length": [15.0, 16.0, 40.0, None] * 6,
        }
    )
    model = MixtureModel(2, kinds={"text": "text", "length": "continuous"}, random_state=0).fit(
        table
    )
    filled = model.impute(table)
    assert filled["text"].to_list() == table["text"].to_list()
    assert filled["length"][3] == pytest.approx(40.0, abs=3)


def test_a_family_of_ones_own():
    from fabula.families import StudentT

    own = StudentT(np.zeros((1, 1)), np.ones((1, 1, 1)), np.array([5.0]))
    model = NaiveBayes(families={0: own}).fit(X, Y)
    assert type(model.story_.family.parts[0]).__name__ == "StudentT"
    assert model.score(X, Y) > 0.9
    with pytest.raises(UsageError, match="one member over one column"):
        NaiveBayes(families={0: StudentT(np.zeros((2, 1)), np.ones((2, 1, 1)), np.ones(2))}).fit(
            X, Y
        )


def test_warnings_point_at_the_caller():
    with pytest.warns(fabula.ConvergenceWarning) as caught:
        GaussianMixture(3, max_iter=1, random_state=0).fit(X)
    assert caught[0].filename == __file__
