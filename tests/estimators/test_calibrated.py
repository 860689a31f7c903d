"""Calibration maps against scikit-learn's, and the questions that pass through them."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.optimize import minimize_scalar
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import estimator_checks_generator

from fabula import (
    Calibrated,
    CannotAnswerError,
    DataError,
    GaussianMixture,
    GenerativeClassifier,
    LinearDiscriminantAnalysis,
    NaiveBayes,
    UsageError,
    load,
    save,
)
from fabula.estimators.calibration.maps import fit_map
from fabula.evaluation.metrics import log_loss

X, Y = load_breast_cancer(return_X_y=True)
FOLDS = StratifiedKFold(5, shuffle=True, random_state=3)


# The contract of scikit-learn --------------------------------------------------------------------

WEIGHTS = "a row that stands twice is dealt out to two folds, a row of weight 2 to one"
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
    "check_sample_weight_equivalence_on_sparse_data": WEIGHTS,
}
CASES = [
    pytest.param(
        model,
        check,
        id=f"{name}-{check.func.__name__}",
        marks=[pytest.mark.slow] if i else [],
    )
    for i, (name, model) in enumerate(
        {
            "lda": Calibrated(LinearDiscriminantAnalysis(), cv=2),
            "naive-bayes": Calibrated(NaiveBayes(), "sigmoid"),
            "divider": Calibrated(LogisticRegression(), "isotonic", 3),
        }.items()
    )
    for model, check in estimator_checks_generator(model, legacy=True)
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), CASES)
def test_contract(estimator, check, request):
    if check.func.__name__ in EXPECTED_FAILURES:
        reason = EXPECTED_FAILURES[check.func.__name__]
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    check(estimator)


# Maps --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "tolerance"), [("temperature", 0.01), ("sigmoid", 1e-3), ("isotonic", 0.01)]
)
def test_maps_agree_with_scikit_learn(method, tolerance):
    # The same scores in the same folds; the differences are the priors of the maps here.
    x = X[:, :8]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = CalibratedClassifierCV(
            LogisticRegression(max_iter=5000), method=method, cv=FOLDS, ensemble=False
        ).fit(x, Y)
        ours = Calibrated(LogisticRegression(max_iter=5000), method, FOLDS).fit(x, Y)
    assert np.abs(ours.predict_proba(x) - theirs.predict_proba(x)).max() < tolerance


def test_temperature_is_the_minimum_of_the_held_out_loss():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 3000)
    x = rng.standard_normal((3000, 1)) + y[:, None]
    x = np.repeat(x, 4, axis=1)  # naive Bayes counts one column four times
    model = Calibrated(NaiveBayes("normal"), cv=FOLDS).fit(x, y)
    said = cross_val_predict(NaiveBayes("normal"), x, y, cv=FOLDS, method="predict_log_proba")

    def loss(beta):
        return (np.logaddexp.reduce(beta * said, axis=1) - beta * said[np.arange(3000), y]).mean()

    best = minimize_scalar(loss, bounds=(0.01, 2.0), method="bounded").x
    assert model.map_.inverse_temperature == pytest.approx(best, rel=0.01)
    assert model.map_.inverse_temperature == pytest.approx(0.25, abs=0.02)  # as it must be


def test_a_splitter_says_what_is_learned_from_and_what_is_asked_about():
    """Copies of the rows to ask about are left out with them, and not asked about themselves."""
    rng = np.random.default_rng(1)
    y = np.arange(600) % 3  # the same shares in every fold
    x = np.repeat(rng.standard_normal((600, 1)) + y[:, None], 4, axis=1)

    class CopiesApart:
        def split(self, rows, labels=None, groups=None):
            for fold in range(3):
                held = np.arange(300) // 3 % 3 == fold
                yield np.flatnonzero(~np.tile(held, 2)), np.flatnonzero(held)

    model = Calibrated(NaiveBayes("normal"), cv=CopiesApart()).fit(x, y)
    said, truth = [], []
    for train, test in CopiesApart().split(x):
        said.append(NaiveBayes("normal").fit(x[train], y[train]).predict_log_proba(x[test]))
        truth.append(y[test])
    expected = fit_map("temperature", np.concatenate(said), np.concatenate(truth), np.ones(300))
    assert model.map_.inverse_temperature == pytest.approx(expected.inverse_temperature, rel=1e-3)


@pytest.mark.parametrize("method", ["temperature", "sigmoid", "isotonic"])
def test_every_map_helps_a_model_that_is_too_sure(method):
    train, test = np.arange(0, 569, 2), np.arange(1, 569, 2)
    plain = NaiveBayes().fit(X[train], Y[train])
    model = Calibrated(NaiveBayes(), method).fit(X[train], Y[train])
    before = log_loss(Y[test], plain.predict_proba(X[test]), clip=1e-300)
    after = log_loss(Y[test], model.predict_proba(X[test]))
    assert after < 0.5 * before
    assert np.allclose(model.predict_proba(X).sum(axis=1), 1.0)


def test_temperature_changes_no_ranking():
    x, y = load_iris(return_X_y=True)
    model = Calibrated(LinearDiscriminantAnalysis()).fit(x, y)
    plain = model.estimator_.predict_log_proba(x)
    ratio = np.diff(model.predict_log_proba(x), axis=1) / np.diff(plain, axis=1)
    assert np.allclose(ratio, model.map_.inverse_temperature, rtol=1e-6)
    assert (model.predict(x) == model.estimator_.predict(x)).all()


@pytest.mark.parametrize("method", ["temperature", "sigmoid", "isotonic"])
def test_classes_that_never_overlap_are_not_made_certain(method):
    x = np.concatenate([np.linspace(0, 1, 15), np.linspace(50, 51, 15)])[:, None]
    y = np.repeat(["a", "b"], 15)
    model = Calibrated(LinearDiscriminantAnalysis(), method).fit(x, y)
    proba = model.predict_proba(x)
    assert (model.predict(x) == y).all()
    assert 0.9 < proba.max() <= 1.0
    assert np.isfinite(model.predict_log_proba(np.array([[25.5], [1e3]]))).all()


def test_a_decision_function_is_enough():
    model = Calibrated(SVC(), "sigmoid", FOLDS).fit(X[:, :5], Y)
    theirs = CalibratedClassifierCV(SVC(), method="sigmoid", cv=FOLDS, ensemble=False)
    theirs.fit(X[:, :5], Y)
    assert np.abs(model.predict_proba(X[:, :5]) - theirs.predict_proba(X[:, :5])).max() < 0.01


@pytest.mark.slow
def test_breast_cancer_log_loss_and_calibration():
    # Ten folds, each with its own inner folds: nothing of a tested row is ever learned from.
    from fabula.evaluation.calibration_error import expected_calibration_error

    losses, errors = [], []
    for seed in range(5):
        folds = StratifiedKFold(10, shuffle=True, random_state=seed)
        model = Calibrated(LinearDiscriminantAnalysis(), "sigmoid", 10)
        proba = cross_val_predict(model, X, Y, cv=folds, method="predict_proba")
        losses.append(log_loss(Y, proba))
        errors.append(float(expected_calibration_error(Y, proba, n_bootstrap=0)))
    assert np.mean(losses) <= 0.095
    assert np.mean(errors) <= 0.015
    assert max(losses) <= 0.11


# Tables ------------------------------------------------------------------------------------------


def patients(n=240, seed=0):
    rng = np.random.default_rng(seed)
    sick = rng.random(n) < 0.4
    age = np.round(50 + 12 * sick + 10 * rng.standard_normal(n), 1)
    smoker = np.where(rng.random(n) < 0.2 + 0.5 * sick, "yes", "no").astype(object)
    clinic = rng.choice(["north", "south", "west"], n)
    age[::9] = np.nan
    smoker[::7] = None
    table = pd.DataFrame({"age": age, "smoker": smoker, "clinic": clinic})
    return table, np.where(sick, "sick", "well")


def test_frames_missing_cells_and_text_labels():
    table, labels = patients()
    from_pandas = Calibrated().fit(table, labels)
    from_polars = Calibrated().fit(pl.from_pandas(table), pl.Series(labels))
    assert from_pandas.classes_.tolist() == ["sick", "well"]
    expected = from_pandas.predict_proba(table)
    assert np.allclose(expected, from_polars.predict_proba(pl.from_pandas(table)), atol=1e-9)
    assert from_pandas.score(table, labels) > 0.7
    assert from_pandas.feature_names_in_.tolist() == ["age", "smoker", "clinic"]


def test_unlabelled_rows_teach_the_story_but_not_the_map():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 400)
    x = rng.standard_normal((400, 2)) + 3.0 * y[:, None]
    labels = y.astype(object)
    labels[20:] = None
    model = Calibrated(LinearDiscriminantAnalysis()).fit(x, labels)
    alone = Calibrated(LinearDiscriminantAnalysis()).fit(x[:20], y[:20])
    truth = np.array([[0.0, 0.0], [3.0, 3.0]])
    assert np.abs(model.estimator_.means_ - truth).max() < 0.25
    assert (
        np.abs(alone.estimator_.means_ - truth).max()
        > np.abs(model.estimator_.means_ - truth).max()
    )
    assert np.array_equal(model.class_prior_, model.estimator_.class_prior_)
    # A divider cannot use them, and must not stumble over them.
    divider = Calibrated(LogisticRegression()).fit(x, labels)
    assert np.allclose(
        divider.predict_proba(x),
        Calibrated(LogisticRegression()).fit(x[:20], y[:20]).predict_proba(x),
    )


def test_the_only_row_of_a_class_is_never_left_out():
    x, y = load_iris(return_X_y=True)
    rows = np.r_[0:50, 50:100, 100]
    model = Calibrated(NaiveBayes()).fit(x[rows], y[rows])
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict_proba(x).shape == (150, 3)


def test_what_is_wrong_is_said():
    with pytest.raises(UsageError, match="method must be one of temperature"):
        Calibrated(method="platt").fit(X, Y)
    with pytest.raises(DataError, match="one class only, 1"):
        Calibrated().fit(X[Y == 1], Y[Y == 1])
    with pytest.raises(UsageError, match="at least 2 folds"):
        Calibrated(cv=1).fit(X, Y)
    with pytest.raises(UsageError, match="a classifier with predict_proba"):
        Calibrated(estimator="lda").fit(X, Y)


# Questions ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibrated():
    table, labels = patients()
    return Calibrated(NaiveBayes()).fit(table, labels), table, labels


def test_the_story_answers_for_the_columns(calibrated):
    model, table, _ = calibrated
    inner = model.estimator_
    assert np.array_equal(model.score_samples(table), inner.score_samples(table))
    assert model.score(table) == pytest.approx(inner.score(table))
    assert model.n_parameters == inner.n_parameters
    rows, classes = model.sample(5, random_state=2)
    same, same_classes = inner.sample(5, random_state=2)
    pd.testing.assert_frame_equal(rows, same)
    assert classes.tolist() == same_classes.tolist()
    assert not model.impute(table).isna().any().any()
    assert "sample" in dir(model)


def test_a_divider_says_that_it_has_no_story():
    model = Calibrated(LogisticRegression(max_iter=5000)).fit(X[:, :3], Y)
    for question in ("sample", "score_samples", "impute"):
        assert not hasattr(model, question)
        with pytest.raises(CannotAnswerError, match="NaiveBayes"):
            getattr(model, question)
    for ask in (lambda: model.condition({0: 1.0}), lambda: model.marginal([0])):
        with pytest.raises(CannotAnswerError, match="how the columns come about"):
            ask()
    with pytest.raises(AttributeError, match="no attribute 'samples'"):
        _ = model.samples


def test_decisions_use_the_calibrated_probabilities(calibrated):
    model, table, _ = calibrated
    costs = {"sick": {"treat": 0.0, "wait": 5.0}, "well": {"treat": 1.0, "wait": 0.0}}
    p_sick = model.predict_proba(table)[:, 0]
    expected = np.where(p_sick * 5.0 > (1 - p_sick) * 1.0, "treat", "wait")
    assert model.decide(table, costs).tolist() == expected.tolist()
    decided = model.decisions(table, costs, reject_cost=0.1)
    assert (decided.actions == -1).any()


def test_another_prior_reweights_the_calibrated_probabilities(calibrated):
    model, table, labels = calibrated
    share = np.mean(labels == "sick")
    shifted = model.with_prior({"sick": 0.1, "well": 0.9})
    odds = model.predict_proba(table)[:, 0] / model.predict_proba(table)[:, 1]
    odds = odds * (0.1 / share) / (0.9 / (1 - share))
    assert np.allclose(shifted.predict_proba(table)[:, 0], odds / (1 + odds), atol=1e-12)
    drawn = shifted.sample(4000, random_state=0)[1]
    assert abs(np.mean(drawn == "sick") - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 4000)
    # A second shift replaces the first, and the old shares bring everything back.
    back = shifted.with_prior([share, 1 - share])
    assert np.allclose(back.predict_proba(table), model.predict_proba(table), atol=1e-12)
    with pytest.raises(UsageError, match="must sum to 1"):
        model.with_prior([0.5, 0.6])


def test_a_shift_of_the_prior_is_found_and_calibrated():
    from fabula.evaluation.calibration_error import expected_calibration_error

    rng = np.random.default_rng(5)

    def draw(n, share):
        y = (rng.random(n) < share).astype(int)
        x = rng.standard_normal((n, 2)) + 2.0 * y[:, None]
        return np.repeat(x, 2, axis=1), y  # each column twice: naive Bayes is too sure

    x, y = draw(8000, 0.5)
    elsewhere, truth = draw(40_000, 0.05)
    model = Calibrated(NaiveBayes("normal")).fit(x, y)
    found = model.with_prior("estimate", elsewhere)
    assert found.class_prior_[1] == pytest.approx(0.05, abs=0.005)
    before = expected_calibration_error(truth, model.predict_proba(elsewhere), n_bootstrap=0)
    after = expected_calibration_error(truth, found.predict_proba(elsewhere), n_bootstrap=0)
    assert float(before) > 0.05
    assert float(after) <= 0.005
    with pytest.raises(UsageError, match="needs the rows X"):
        model.with_prior("estimate")


def test_a_story_with_shares_of_its_own_has_the_last_word():
    # As many labels of each class, but the story is told for a place where one class is rare.
    rng = np.random.default_rng(0)
    y = np.arange(4000) % 2
    x = rng.standard_normal((4000, 1)) + 1.5 * y[:, None]
    rare = Calibrated(LinearDiscriminantAnalysis(priors=[0.9, 0.1]), "sigmoid").fit(x, y)
    even = Calibrated(LinearDiscriminantAnalysis(), "sigmoid").fit(x, y)
    assert rare.class_prior_ == pytest.approx([0.9, 0.1])
    # The same map, and Bayes' rule.
    moved = even.with_prior([0.9, 0.1]).predict_proba(x)
    assert np.abs(rare.predict_proba(x) - moved).max() < 1e-6
    truth = 1.0 / (1.0 + np.exp(-(1.5 * x[:, 0] - 1.125 + np.log(0.1 / 0.9))))
    assert np.abs(rare.predict_proba(x)[:, 1] - truth).max() < 0.03


def test_shares_learned_from_rows_without_a_label():
    rng = np.random.default_rng(0)
    y = np.r_[np.arange(200) % 2, rng.random(4000) < 0.1].astype(int)
    x = rng.standard_normal((4200, 1)) + 3.0 * y[:, None]
    labels = y.astype(object)
    labels[200:] = None
    model = Calibrated(LinearDiscriminantAnalysis()).fit(x, labels)
    share = np.mean(y)
    assert model.class_prior_[1] == pytest.approx(share, abs=0.02)
    odds = 3.0 * x[:, 0] - 4.5 + np.log(share / (1 - share))
    truth = 1.0 / (1.0 + np.exp(-odds))
    assert np.abs(model.predict_proba(x)[:, 1] - truth).mean() < 0.02


def test_conditions_after_priors_and_priors_after_conditions(calibrated, tmp_path):
    model, table, _ = calibrated
    rest = table[["age", "clinic"]]
    first = model.with_prior([0.2, 0.8]).condition({"smoker": "yes"})
    whole = table.assign(smoker="yes")
    expected = model.with_prior([0.2, 0.8]).predict_proba(whole)
    assert np.allclose(first.predict_proba(rest), expected, atol=1e-10)
    assert np.allclose(first.class_prior_, first.teller_.class_prior_)
    # Shares of the classes among those who smoke.
    among = model.condition({"smoker": "yes"}).with_prior([0.5, 0.5])
    odds = np.log(model.condition({"smoker": "yes"}).predict_proba(rest)) - np.log(
        model.condition({"smoker": "yes"}).class_prior_
    )
    assert np.allclose(
        among.predict_proba(rest), np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    )
    save(first, tmp_path / "m.fabula")
    again = load(tmp_path / "m.fabula")
    assert np.array_equal(again.predict_proba(rest), first.predict_proba(rest))
    same, different = (m.sample(4, random_state=0)[0] for m in (first, again))
    pd.testing.assert_frame_equal(same, different)


def test_conditions_and_marginals_keep_the_map(calibrated):
    model, table, _ = calibrated
    given = model.condition({"smoker": "yes"})
    rest = table[["age", "clinic"]]
    whole = table.assign(smoker="yes")
    assert np.allclose(given.predict_proba(rest), model.predict_proba(whole), atol=1e-10)
    assert given.log_condition_ < 0
    some = model.marginal(["age"])
    lacking = table.assign(smoker=None, clinic=None)
    assert np.allclose(some.predict_proba(table[["age"]]), model.predict_proba(lacking), atol=1e-10)


@pytest.mark.parametrize("method", ["temperature", "sigmoid", "isotonic"])
@pytest.mark.parametrize(
    "inner", [NaiveBayes(), GenerativeClassifier(GaussianMixture(2, random_state=0))]
)
def test_files_keep_every_answer(inner, method, tmp_path):
    model = Calibrated(inner, method).fit(X[:, :4], Y).with_prior([0.2, 0.8])
    save(model, tmp_path / "m.fabula")
    again = load(tmp_path / "m.fabula")
    assert np.array_equal(again.predict_proba(X[:, :4]), model.predict_proba(X[:, :4]))
    assert np.array_equal(again.sample(5, random_state=1)[0], model.sample(5, random_state=1)[0])
    assert again.get_params()["method"] == method
    assert again.with_prior([0.5, 0.5]).class_prior_.tolist() == [0.5, 0.5]
