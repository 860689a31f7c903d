"""Classes of whole sequences: a hidden Markov model in each class, compared by Bayes' rule."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import fabula
from fabula import Calibrated, GenerativeClassifier, HiddenMarkovModel
from fabula.core.errors import CannotAnswerError, DataError, UsageError


def story(stay: float, swing: float = 1.0) -> HiddenMarkovModel:
    return HiddenMarkovModel.from_parameters(
        [0.5, 0.5],
        [[stay, 1 - stay], [1 - stay, stay]],
        "diag",
        means=[[-swing], [swing]],
        covariances=np.full((2, 1), 0.5),
    )


@pytest.fixture(scope="module")
def data() -> tuple[list[np.ndarray], np.ndarray]:
    """Two classes that differ in nothing but how long they stay; lengths vary."""
    rng = np.random.default_rng(0)
    X, y = [], []
    for label, stay in (("fast", 0.6), ("slow", 0.95)):
        drawn, _ = story(stay).sample(lengths=rng.integers(15, 40, size=80), random_state=1)
        X += [np.asarray(part) for part in drawn]
        y += [label] * 80
    return X, np.array(y)


@pytest.fixture(scope="module")
def fitted(data) -> GenerativeClassifier:
    return GenerativeClassifier(HiddenMarkovModel(2, "diag", random_state=0, max_iter=300)).fit(
        *data
    )


def test_posteriors_are_bayes_rule_over_the_models_of_the_classes(data, fitted) -> None:
    X, y = data
    evidence = np.stack([model.score_samples(X) for model in fitted.estimators_], axis=1)
    joint = evidence + np.log([0.5, 0.5])
    expected = joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.predict_log_proba(X), expected, atol=1e-9)
    np.testing.assert_allclose(fitted.predict_proba(X), np.exp(expected), atol=1e-12)
    np.testing.assert_allclose(fitted.score_samples(X), np.logaddexp.reduce(joint, axis=1))
    assert fitted.predict(X).tolist() == fitted.classes_[expected.argmax(axis=1)].tolist()
    assert fitted.score(X, y) > 0.85
    truth = np.stack([story(stay).score_samples(X) for stay in (0.6, 0.95)], axis=1)
    best = np.mean(np.array(["fast", "slow"])[truth.argmax(axis=1)] == y)
    assert fitted.score(X, y) > best - 0.04


def test_every_form_of_sequences_is_classified(data) -> None:
    X, y = data
    model = HiddenMarkovModel(2, "diag", random_state=0, max_iter=300)
    cube = np.stack([x[:15] for x in X])
    from_cube = GenerativeClassifier(model).fit(cube, y)
    from_list = GenerativeClassifier(model).fit(list(cube), y)
    np.testing.assert_array_equal(from_cube.predict_proba(cube), from_list.predict_proba(cube))
    frame = pl.DataFrame(
        {"run": np.repeat(np.arange(160), 15), "t": np.tile(np.arange(15), 160), "u": cube.ravel()}
    )
    framed = HiddenMarkovModel(2, "diag", sequence="run", time="t", random_state=0, max_iter=300)
    from_frame = GenerativeClassifier(framed).fit(frame, y)
    np.testing.assert_allclose(from_frame.predict_proba(frame), from_cube.predict_proba(cube))
    shuffled = frame.with_columns(u=pl.col("u")).sort("t", "run")
    np.testing.assert_allclose(from_frame.predict_proba(shuffled), from_cube.predict_proba(cube))


def test_classes_share_their_symbols() -> None:
    texts = ["abab", "baba", "abab", "ccdd", "cdcd", "ddcc"]
    y = ["x"] * 3 + ["z"] * 3
    model = GenerativeClassifier(HiddenMarkovModel(1, "categorical")).fit(texts, y)
    assert {m.form_.symbols for m in model.estimators_} == {("a", "b", "c", "d")}
    assert model.predict(["aa", "dcd"]).tolist() == ["x", "z"]
    assert np.isfinite(model.predict_log_proba(["abcd!"])).all()


def test_decisions_priors_and_samples(data, fitted) -> None:
    X, _ = data
    probabilities = fitted.predict_proba(X)
    costs = {"fast": {"go": 0.0, "wait": 1.0}, "slow": {"go": 5.0, "wait": 0.0}}
    decided = fitted.decide(X, costs)
    expected = np.where(5 * probabilities[:, 1] < probabilities[:, 0], "go", "wait")
    assert decided.tolist() == expected.tolist()
    shifted = fitted.with_prior([0.9, 0.1])
    odds = np.diff(fitted.predict_log_proba(X)) - np.diff(shifted.predict_log_proba(X))
    np.testing.assert_allclose(odds, np.log(9), atol=1e-9)
    found = fitted.with_prior("estimate", X[:80] + X[80:100]).class_prior_
    assert found[0] == pytest.approx(0.8, abs=0.1)
    drawn, classes = fitted.sample(6, random_state=0, n_steps=[3, 0, 5, 2, 4, 1])
    assert [len(part) for part in drawn] == [3, 0, 5, 2, 4, 1]
    assert set(classes) <= {"fast", "slow"}
    far = fitted.sample(300, random_state=0, n_steps=60)
    assert np.mean(fitted.predict(far[0]) == far[1]) > 0.95


def test_unlabelled_sequences_teach(data) -> None:
    X, y = data
    rng = np.random.default_rng(0)
    test, _ = zip(*[story(s).sample(150, 30, random_state=9) for s in (0.6, 0.95)], strict=True)
    held, truth = [*test[0], *test[1]], np.repeat(["fast", "slow"], 150)
    model = HiddenMarkovModel(2, "diag", random_state=0, max_iter=300)
    alone, together = [], []
    for _ in range(4):
        labelled = np.concatenate([rng.choice(80, 3, False), 80 + rng.choice(80, 3, False)])
        hidden = y.astype(object).copy()
        hidden[np.setdiff1d(np.arange(160), labelled)] = None
        few = GenerativeClassifier(model).fit([X[i] for i in labelled], y[labelled])
        many = GenerativeClassifier(model).fit(X, hidden)
        assert np.all(np.diff(many.report_.trace) > -1e-9)
        assert many.converged_
        alone.append(few.score(held, truth))
        together.append(many.score(held, truth))
    assert np.mean(together) > np.mean(alone) + 0.02


def test_the_map_mends_sequences_that_are_counted_twice(data) -> None:
    """Every step stands twice: log odds are twice too large, and the map has to say so."""
    X, y = data
    doubled = [np.repeat(x, 3, axis=1) + 0.0 for x in X]
    rng = np.random.default_rng(5)
    doubled = [x + 1e-3 * rng.normal(size=x.shape) for x in doubled]
    inner = GenerativeClassifier(HiddenMarkovModel(2, "diag", random_state=0, max_iter=300))
    calibrated = Calibrated(inner).fit(doubled, y)
    assert calibrated.map_.inverse_temperature < 0.75
    assert calibrated.predict_proba(doubled).shape == (160, 2)
    assert np.mean(calibrated.predict(doubled) == y) > 0.8
    np.testing.assert_allclose(
        calibrated.score_samples(doubled), calibrated.estimator_.score_samples(doubled)
    )
    raw = calibrated.estimator_.predict_log_proba(doubled)
    odds = calibrated.predict_log_proba(doubled)
    beta = calibrated.map_.inverse_temperature
    np.testing.assert_allclose(np.diff(odds), beta * np.diff(raw), atol=1e-9)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_every_map_takes_sequences_and_any_splitter(data, method) -> None:
    from sklearn.model_selection import PredefinedSplit

    X, y = data
    inner = GenerativeClassifier(HiddenMarkovModel(1, "diag"))
    folds = PredefinedSplit(np.arange(160) % 3)
    model = Calibrated(inner, method, cv=folds).fit(X, y, sample_weight=np.ones(160))
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert model.decide(X[:2], np.eye(2)[::-1]).shape == (2,)
    assert model.with_prior([0.5, 0.5]).predict_proba(X[:1]).shape == (1, 2)


def test_files_keep_classifiers_of_sequences(data, fitted, tmp_path) -> None:
    X, y = data
    calibrated = Calibrated(fitted).fit(X, y)
    for model in (fitted, calibrated):
        fabula.save(model, tmp_path / "model.fabula", force=True)
        again = fabula.load(tmp_path / "model.fabula")
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
        first, second = (m.sample(2, 0, n_steps=4)[0] for m in (again, model))
        np.testing.assert_array_equal(np.stack(first), np.stack(second))


def test_questions_of_rows_are_refused(data, fitted) -> None:
    X, _ = data
    for ask in (
        lambda: fitted.impute(X),
        lambda: fitted.outliers(X),
        lambda: fitted.marginal([0]),
        lambda: fitted.condition({0: 1.0}),
        lambda: fitted.contributions(X),
        lambda: fitted.sample(1, given={0: 1.0}, n_steps=3),
    ):
        with pytest.raises(CannotAnswerError, match="over sequences"):
            ask()
    with pytest.raises(UsageError, match="how many steps"):
        fitted.sample(2)


def test_classes_that_cannot_be_learned(data) -> None:
    X, y = data
    model = GenerativeClassifier(HiddenMarkovModel(2, "diag"))
    with pytest.raises(DataError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])
    with pytest.raises(DataError, match="list of sequences is empty"):
        model.fit([], [])
    with pytest.raises(UsageError, match="fabula density estimator"):
        GenerativeClassifier(object()).fit(X, y)
    with pytest.raises(DataError, match="one class only"):
        Calibrated(model).fit(X, ["a"] * len(X))


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_spoken_digits_of_known_speakers(data_folder) -> None:
    """A quarter of the recordings, split at random: most are recognised, and doubt is honest."""
    from benchmarks.spoken_digits import evaluate, load, random_split

    recordings = load(every=4)
    results = [evaluate(recordings, *random_split(recordings, seed)) for seed in range(2)]
    # 208 tested recordings: the standard error of an error rate of 2 % is 1 %.
    assert np.mean([result.error for result in results]) <= 0.04
    assert np.mean([result.calibration_error for result in results]) <= 0.04


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_spoken_digits_of_a_new_speaker(data_folder) -> None:
    """Far above chance for a speaker who was never heard; see the benchmark for all four."""
    from benchmarks.spoken_digits import evaluate, load, speaker_split

    recordings = load(every=4)
    learned, tested = speaker_split(recordings, "yweweler")
    result = evaluate(recordings, learned, tested, new_speaker=True)
    assert result.error <= 0.15
    assert result.log_loss <= 0.6
