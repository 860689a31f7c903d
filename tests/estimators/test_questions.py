"""Every question, on models whose answers can be worked out another way."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.datasets import load_breast_cancer, load_iris

import fabula
from fabula import (
    GaussianMixture,
    GenerativeClassifier,
    LinearDiscriminantAnalysis,
    MixtureModel,
    NaiveBayes,
    QuadraticDiscriminantAnalysis,
)
from fabula.core.errors import CannotAnswerError, DataError, UsageError

MEANS = np.array([[0.0, 0.0, 1.0], [3.0, -1.0, 0.0]])
COVARIANCES = np.array(
    [
        [[1.0, 0.6, 0.2], [0.6, 2.0, -0.3], [0.2, -0.3, 1.5]],
        [[0.5, -0.1, 0.0], [-0.1, 1.0, 0.4], [0.0, 0.4, 1.0]],
    ]
)
WEIGHTS = np.array([0.3, 0.7])


@pytest.fixture
def mixture():
    return GaussianMixture.from_parameters(WEIGHTS, MEANS, COVARIANCES)


@pytest.fixture(scope="module")
def patients():
    rng = np.random.default_rng(0)
    n = 600
    ill = rng.random(n) < 0.4
    table = pl.DataFrame(
        {
            "age": rng.normal(50 + 10 * ill, 8).round(),
            "smokes": np.where(rng.random(n) < 0.2 + 0.4 * ill, "yes", "no"),
            "coughs": rng.poisson(1 + 3 * ill),
            "town": rng.choice(["Aarhus", "Bergen", "Cork"], n),
            "ill": np.where(ill, "ill", "well"),
        }
    )
    holes = rng.random(n) < 0.2
    return table.with_columns(
        age=pl.when(pl.Series(holes)).then(None).otherwise(pl.col("age")),
        town=pl.when(pl.Series(rng.random(n) < 0.1)).then(None).otherwise(pl.col("town")),
    )


def _density(x):
    return sum(
        w * multivariate_normal(m, c).pdf(x)
        for w, m, c in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
    )


def test_missing_cells_are_integrated_out(mixture):
    x = np.array([[0.5, np.nan, 1.0], [np.nan, np.nan, np.nan], [np.nan, 0.2, np.nan]])
    first = sum(
        w * multivariate_normal(m[[0, 2]], c[np.ix_([0, 2], [0, 2])]).pdf([0.5, 1.0])
        for w, m, c in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
    )
    third = sum(
        w * norm(m[1], np.sqrt(c[1, 1])).pdf(0.2)
        for w, m, c in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
    )
    np.testing.assert_allclose(
        mixture.score_samples(x), [np.log(first), 0.0, np.log(third)], atol=1e-9
    )


def test_conditional_times_marginal_is_joint(mixture):
    x = np.random.default_rng(1).normal(size=(20, 3))
    for row in x:
        conditional = mixture.condition({1: row[1]})
        marginal = mixture.marginal([1])
        together = conditional.score_samples(row[None, [0, 2]]) + marginal.score_samples(
            row[None, [1]]
        )
        np.testing.assert_allclose(together, np.log(_density(row)), atol=1e-9)
        assert conditional.log_condition_ == pytest.approx(
            marginal.score_samples(row[None, [1]])[0], abs=1e-9
        )


def test_interval_of_a_dependent_column(mixture):
    drawn, _ = mixture.sample(400_000, random_state=0)
    inside = (drawn[:, 0] > 0.5) & (drawn[:, 0] < 1.5)
    truncated = mixture.condition({0: (0.5, 1.5)})
    share = np.exp(truncated.log_condition_)
    assert share == pytest.approx(inside.mean(), abs=4 * np.sqrt(share / 400_000))
    rows, _ = truncated.sample(50_000, random_state=1)
    errors = drawn[inside][:, 1:].std(axis=0) * np.sqrt(1 / 50_000 + 1 / inside.sum())
    np.testing.assert_allclose(
        rows.mean(axis=0), drawn[inside][:, 1:].mean(axis=0), atol=5 * errors.max()
    )
    # The density of what is left, by integrating the joint over the interval.
    grid = np.linspace(0.5, 1.5, 2001)
    point = np.array([0.3, -0.2])
    joint = _density(np.column_stack([grid, np.tile(point, (len(grid), 1))]))
    expected = np.trapezoid(joint, grid) / share
    assert np.exp(truncated.score_samples(point[None])[0]) == pytest.approx(expected, rel=1e-5)
    whole, _ = mixture.sample(2000, random_state=2, given={0: (0.5, 1.5), 2: (None, 0.0)})
    assert whole[:, 0].min() >= 0.5 and whole[:, 0].max() <= 1.5 and whole[:, 2].max() <= 0
    assert 0 < mixture.effective_sample_size_ <= 2000


def test_impossible_condition(mixture):
    counts = NaiveBayes("poisson").fit(
        [[1.0, 2.0], [2.0, 1.0], [5.0, 6.0], [6.0, 5.0]], [0, 0, 1, 1]
    )
    with pytest.raises(DataError, match="probability 0"):
        counts.condition({0: (-5.0, -1.0)})
    far = mixture.condition({0: (1e3, None)})
    assert -1e7 < far.log_condition_ < -1e5 and np.isfinite(far.sample(3)[0]).all()
    with pytest.raises(CannotAnswerError, match="every column"):
        mixture.condition({0: 0.0, 1: 0.0, 2: 0.0})
    with pytest.raises(UsageError, match="lower end"):
        mixture.condition({0: (2.0, 1.0)})
    with pytest.raises(UsageError, match="7"):
        mixture.condition({7: 1.0})


def test_impute_by_conditional_mean_mode_and_draw(mixture):
    x = np.array([[2.5, np.nan, 0.0]])
    conditional = mixture.condition({0: 2.5, 2: 0.0})
    grid = np.linspace(-8, 8, 40_001)
    density = np.exp(conditional.score_samples(grid[:, None]))
    mean = np.trapezoid(grid * density, grid)
    assert mixture.impute(x)[0, 1] == pytest.approx(mean, abs=1e-6)
    assert mixture.impute(x, "mode")[0, 1] == pytest.approx(grid[density.argmax()], abs=0.02)
    draws = np.array([d[0, 1] for d in mixture.impute(x, "draw", 4000, random_state=0)])
    assert draws.mean() == pytest.approx(mean, abs=5 * draws.std() / np.sqrt(4000))
    complete = mixture.impute(x)
    assert complete[0, 0] == 2.5 and complete[0, 2] == 0.0


def test_outliers_are_tail_probabilities(mixture):
    x, _ = mixture.sample(2000, random_state=5)
    tail = mixture.outliers(x)
    # Under the model itself the tail probability is uniform.
    assert np.abs(np.sort(tail) - np.linspace(0, 1, 2000)).max() < 1.63 / np.sqrt(2000) + 0.01
    assert mixture.outliers([[50.0, 50.0, 50.0]])[0] < 1e-3
    holes = x.copy()
    holes[:, 1] = np.nan
    assert abs(np.median(mixture.outliers(holes)) - 0.5) < 0.06


def test_decisions_follow_expected_costs():
    x, y = load_breast_cancer(return_X_y=True)
    model = LinearDiscriminantAnalysis().fit(x, y)
    costs = np.array([[0.0, 20.0], [1.0, 0.0]])  # a missed cancer costs twenty biopsies
    p = model.predict_proba(x)
    assert (model.decide(x, costs) == np.where(p @ costs[:, 0] <= p @ costs[:, 1], 0, 1)).all()
    named = model.decide(x, {0: {"biopsy": 0, "wait": 20}, 1: {"biopsy": 1, "wait": 0}})
    assert ((named == "biopsy") == (model.decide(x, costs) == 0)).all()
    rejected = model.decide(x, costs, reject_cost=0.01, rejected="second look")
    assert 0 < (rejected == "second look").sum() < len(x)
    with pytest.raises(UsageError, match="one row for each of the 2 classes"):
        model.decide(x, np.eye(3))
    with pytest.raises(UsageError, match="missing"):
        model.decide(x, {0: {"a": 1}})


def test_prior_shift_is_found():
    rng = np.random.default_rng(0)
    train_y = np.repeat([0, 1], 4000)
    test_y = (rng.random(60_000) < 0.05).astype(int)
    make = lambda y: rng.normal(size=(len(y), 3)) + y[:, None] * 1.2  # noqa: E731
    model = LinearDiscriminantAnalysis().fit(make(train_y), train_y)
    x = make(test_y)
    shifted = model.with_prior("estimate", x)
    assert shifted.class_prior_[1] == pytest.approx(0.05, abs=0.005)
    from fabula.evaluation.metrics import expected_calibration_error

    assert expected_calibration_error(test_y, shifted.predict_proba(x)).value <= 0.005
    assert expected_calibration_error(test_y, model.predict_proba(x)).value > 0.05
    given = model.with_prior({0: 0.95, 1: 0.05})
    odds = lambda p: np.log(p[:, 1] / p[:, 0])  # noqa: E731
    np.testing.assert_allclose(
        odds(given.predict_proba(x[:50])) - odds(model.predict_proba(x[:50])),
        np.log(0.05 / 0.95),
        atol=1e-6,
    )
    with pytest.raises(UsageError, match="sum to 1"):
        model.with_prior([0.5, 0.6])


def test_contributions_add_up(patients):
    model = NaiveBayes().fit(patients.drop("ill"), patients["ill"])
    told = model.contributions(patients.drop("ill"))
    assert told.additive and told.columns == ("age", "smokes", "coughs", "town")
    p = model.predict_log_proba(patients.drop("ill"))
    np.testing.assert_allclose(told.log_odds()[:, 1], p[:, 1] - p[:, 0], atol=1e-9)
    holes = patients["age"].is_null().to_numpy()
    assert (told.values[holes, 1, 0] == 0).all()
    x, y = load_iris(return_X_y=True)
    dense = QuadraticDiscriminantAnalysis().fit(x, y)
    told = dense.contributions(x)
    p = dense.predict_log_proba(x)
    assert not told.additive
    np.testing.assert_allclose(told.log_odds()[:, 2], p[:, 2] - p[:, 0], atol=1e-8)


@pytest.mark.parametrize("kind", ["polars", "pandas", "pyarrow"])
def test_tables_come_back_as_they_came(patients, kind):
    table = {
        "polars": lambda: patients,
        "pandas": patients.to_pandas,
        "pyarrow": patients.to_arrow,
    }[kind]()
    model = MixtureModel(3, random_state=0).fit(table)
    drawn, components = model.sample(50, random_state=1)
    assert type(drawn) is type(table) and len(components) == 50
    back = pl.DataFrame(drawn) if kind != "pyarrow" else pl.from_arrow(drawn)
    assert back.columns == patients.columns
    assert set(back["town"].unique()) <= {"Aarhus", "Bergen", "Cork"}
    assert (back["coughs"] >= 0).all() and back["coughs"].dtype.is_integer()
    filled = model.impute(table)
    full = pl.DataFrame(filled) if kind != "pyarrow" else pl.from_arrow(filled)
    assert full.null_count().sum_horizontal()[0] == 0
    seen = patients["age"].is_not_null()
    assert (full["age"].filter(seen) == patients["age"].filter(seen)).all()


def test_condition_on_values_intervals_and_sets(patients):
    model = NaiveBayes().fit(patients.drop("ill"), patients["ill"])
    narrowed = model.condition({"age": (55, None), "town": {"Cork", "Bergen"}, "smokes": "yes"})
    assert narrowed.feature_names_in_.tolist() == ["coughs"]
    drawn, classes = model.sample(
        300, random_state=0, given={"age": (55, 60), "town": {"Cork"}, "smokes": "yes"}
    )
    assert drawn["age"].min() >= 55 and drawn["age"].max() <= 60
    assert set(drawn["town"]) == {"Cork"} and set(drawn["smokes"]) == {"yes"}
    assert (classes == "ill").mean() > 0.5
    assert model.effective_sample_size_ == 300
    # The same by counting among many free draws.
    many, y = model.sample(200_000, random_state=3)
    met = (many["age"] >= 55) & (many["smokes"] == "yes") & many["town"].is_in(["Cork", "Bergen"])
    assert np.exp(narrowed.log_condition_) == pytest.approx(met.mean(), abs=0.01)
    assert narrowed.class_prior_[0] == pytest.approx((y[met.to_numpy()] == "ill").mean(), abs=0.02)
    with pytest.raises(DataError, match="'Oslo' is none of its 3 levels"):
        model.condition({"town": "Oslo"})
    with pytest.raises(UsageError, match="age"):
        model.condition({"agge": 3})


def test_unseen_category_has_its_smoothed_probability(patients):
    model = NaiveBayes().fit(patients.drop("ill"), patients["ill"])
    strange = patients.drop("ill").head(3).with_columns(town=pl.lit("Dublin"))
    scores = model.score_samples(strange)
    assert np.isfinite(scores).all()
    known = patients.drop("ill").head(3).with_columns(town=pl.lit("Cork"))
    assert (scores < model.score_samples(known) - 2).all()


def test_partial_fit_and_merge_are_one_fit():
    x, y = load_breast_cancer(return_X_y=True)
    model = LinearDiscriminantAnalysis
    whole = model(shrinkage=None).fit(x, y)
    pieces = model(shrinkage=None)
    for start in range(0, len(x), 100):
        part = slice(start, start + 100)
        pieces.partial_fit(x[part], y[part], classes=[0, 1])
    np.testing.assert_allclose(pieces.predict_proba(x), whole.predict_proba(x), atol=1e-6)
    half = model(shrinkage=None).partial_fit(x[:300], y[:300], classes=[0, 1])
    other = model(shrinkage=None).partial_fit(x[300:], y[300:], classes=[0, 1])
    merged = half.merge(other)
    np.testing.assert_allclose(merged.predict_proba(x), whole.predict_proba(x), atol=1e-6)
    naive = NaiveBayes("normal").partial_fit(x[:300], y[:300])
    naive.partial_fit(x[300:], y[300:])
    full = NaiveBayes("normal").fit(x, y)
    assert np.mean(naive.predict(x) == full.predict(x)) > 0.99
    np.testing.assert_allclose(naive.story_.family.means, full.story_.family.means, rtol=1e-9)


def test_unlabelled_rows_teach():
    x, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(3)
    few = np.full(len(y), -1)
    for c in range(3):
        chosen = rng.choice(np.flatnonzero(y == c), 3, replace=False)
        few[chosen] = c
    alone = LinearDiscriminantAnalysis().fit(x[few >= 0], few[few >= 0])
    together = LinearDiscriminantAnalysis().fit(x, few)
    loss = lambda m: -m.predict_log_proba(x)[np.arange(len(y)), y].mean()  # noqa: E731
    assert loss(together) < loss(alone)
    by_none = [None if c < 0 else int(c) for c in few]
    by_nan = np.where(few < 0, np.nan, few)
    for labels in (by_none, by_nan):
        same = LinearDiscriminantAnalysis().fit(x, labels)
        np.testing.assert_allclose(same.predict_proba(x), together.predict_proba(x), atol=1e-12)


def test_files_keep_every_answer(patients, tmp_path):
    table, target = patients.drop("ill"), patients["ill"]
    x, y = load_iris(return_X_y=True)
    models = [
        (NaiveBayes().fit(table, target), table),
        (MixtureModel(3, random_state=0).fit(patients), patients),
        (LinearDiscriminantAnalysis().fit(x, y), x),
        (QuadraticDiscriminantAnalysis().fit(x, y), x),
        (GaussianMixture(2, random_state=0).fit(x), x),
        (GenerativeClassifier(GaussianMixture(2, random_state=0)).fit(x, y), x),
    ]
    for i, (model, data) in enumerate(models):
        path = tmp_path / f"{i}.fabula"
        fabula.save(model, path)
        again = fabula.load(path)
        assert type(again) is type(model)
        np.testing.assert_array_equal(again.score_samples(data), model.score_samples(data))
        np.testing.assert_array_equal(again.predict(data), model.predict(data))
        one, _ = again.sample(5, random_state=0)
        two, _ = model.sample(5, random_state=0)
        assert str(one) == str(two)


def test_fit_file_is_fit(patients, tmp_path):
    path = tmp_path / "patients.parquet"
    patients.write_parquet(path)
    by_file = NaiveBayes().fit_file(path, "ill", block_rows=100)
    in_memory = NaiveBayes().fit(patients.drop("ill"), patients["ill"])
    np.testing.assert_allclose(
        by_file.predict_proba(patients.drop("ill")),
        in_memory.predict_proba(patients.drop("ill")),
        atol=1e-9,
    )
    mixture = MixtureModel(2, random_state=0).fit_file(path, block_rows=100)
    assert mixture.impute(patients).null_count().sum_horizontal()[0] == 0
    with pytest.raises(UsageError, match="ill"):
        NaiveBayes().fit_file(path, "il")


def test_numbers_only_models_refuse_categories(patients):
    with pytest.raises(DataError, match="numbers only"):
        GaussianMixture(2).fit(patients)


def test_linear_story_as_a_divider():
    for data in (load_breast_cancer, load_iris):
        x, y = data(return_X_y=True)
        story = LinearDiscriminantAnalysis().fit(x, y)
        divider = story.to_logistic_regression()
        np.testing.assert_allclose(divider.predict_proba(x), story.predict_proba(x), atol=1e-10)
