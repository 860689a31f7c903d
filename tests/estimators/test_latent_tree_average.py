"""`LatentTreeModel` with several trees: every question, and what does not go with it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import fabula
from fabula.core.errors import UsageError
from fabula.estimators.latent_tree_model import LatentTreeModel
from fabula.structures.trees.average import TreeAverage
from fabula.structures.trees.latent_tree import LatentTree

FAST = {"max_passes": 4, "max_time": 5.0, "random_state": 0, "joining": 0.2}


def make_table(n, seed=0):
    rng = np.random.default_rng(seed)
    ill = rng.random(n) < 0.4
    age = rng.normal(50 + 12 * ill, 8).round()
    fee = np.where(rng.random(n) < 0.5, 0.0, rng.gamma(2.0, 10.0 + 0.3 * age))
    return pl.DataFrame(
        {
            "age": age,
            "smokes": np.where(rng.random(n) < 0.15 + 0.5 * ill, "yes", "no"),
            "coughs": rng.poisson(1 + 3 * ill),
            "fee": np.where((age > 60) & (rng.random(n) < 0.5), np.nan, fee),
            "town": rng.choice(["Aarhus", "Bergen", "Cork"], n, p=[0.5, 0.3, 0.2]),
            "ill": np.where(ill, "ill", "well"),
        },
        nan_to_null=True,
    )


@pytest.fixture(scope="module")
def patients():
    return make_table(900)


@pytest.fixture(scope="module")
def model(patients):
    return LatentTreeModel(8, n_trees=3, missing="value", **FAST).fit(patients)


@pytest.fixture(scope="module")
def classifier(patients):
    return LatentTreeModel(4, n_trees=2, **FAST).fit(patients.drop("ill"), patients["ill"])


def one_by_one(model):
    """A model of each of the trees."""
    from copy import copy

    models = []
    for tree in model.story_.trees:
        one = copy(model)
        one.story_ = tree
        models.append(one)
    return models


def test_the_density_is_the_mean_of_those_of_the_trees(model, patients):
    assert isinstance(model.story_, TreeAverage) and len(model.story_.trees) == 3
    each = np.stack([one.score_samples(patients) for one in one_by_one(model)])
    assert np.abs(np.diff(each, axis=0)).max() > 0.1  # they are not the same tree
    np.testing.assert_allclose(
        model.score_samples(patients), np.log(np.exp(each).mean(axis=0)), atol=1e-9
    )
    assert model.n_states_ == 8
    assert model.n_parameters == sum(one.n_parameters for one in one_by_one(model))
    assert model.report_.n_iterations == len(model.report_.trace) == model.n_iter_


def test_new_rows_are_more_probable_than_under_its_trees(model):
    test = make_table(600, seed=1)
    alone = [one.score(test) for one in one_by_one(model)]
    assert model.score(test) > np.mean(alone) + 0.02
    assert model.score(test) - model.held_out_score_ == pytest.approx(0.0, abs=0.6)


def test_one_tree_is_a_plain_tree(patients):
    found = [LatentTreeModel(4, **FAST, **more).fit(patients) for more in ({}, {"n_trees": 1})]
    assert all(isinstance(model.story_, LatentTree) for model in found)
    np.testing.assert_array_equal(*(model.score_samples(patients) for model in found))


def test_the_first_of_several_trees_has_the_shape_of_the_only_one(model, patients):
    alone = LatentTreeModel(8, missing="value", **FAST).fit(patients)
    assert alone.tree_ == model.tree_
    np.testing.assert_array_equal(alone.story_.parents, model.story_.trees[0].parents)


def test_probabilities_of_any_category_follow_bayes_rule(model, patients):
    others = patients.drop("ill").head(6)
    shares = model.predict_proba(others, target="ill")
    both = np.stack(
        [
            model.score_samples(others.with_columns(ill=pl.lit(level)).select(patients.columns))
            for level in model.classes_of("ill")
        ],
        axis=1,
    )
    expected = np.exp(both - np.logaddexp.reduce(both, axis=1, keepdims=True))
    np.testing.assert_allclose(shares, expected, atol=1e-9)
    assert (model.predict(patients, target="ill") == patients["ill"].to_numpy()).mean() > 0.8
    assert model.prior_of("town") == pytest.approx([0.5, 0.3, 0.2], abs=0.05)


def test_conditional_times_marginal_is_joint(model, patients):
    row = patients.filter(pl.col("fee").is_not_null()).head(1)
    given = {"age": row["age"][0], "town": row["town"][0]}
    told = model.condition(given)
    assert isinstance(told.story_, TreeAverage)
    rest = told.score_samples(row.drop("age", "town"))[0]
    assert told.log_condition_ + rest == pytest.approx(model.score_samples(row)[0], abs=1e-9)
    margin = model.marginal(["town", "age"])
    assert margin.score_samples(row.select("town", "age"))[0] == pytest.approx(
        told.log_condition_, abs=1e-9
    )


def test_draws_under_a_condition_are_those_that_meet_it(model):
    plain, _ = model.sample(30_000, random_state=3)
    kept = plain.filter(pl.col("age").is_between(60, 70) & (pl.col("smokes") == "yes"))
    given = {"age": (60, 70), "smokes": "yes"}
    drawn, _ = model.sample(5_000, random_state=4, given=given)
    assert drawn["age"].is_between(60, 70).all() and set(drawn["smokes"]) == {"yes"}
    assert model.effective_sample_size_ == 5_000
    for name in ("coughs", "age"):
        error = kept[name].std() * np.sqrt(1 / len(kept) + 1 / len(drawn))
        assert abs(kept[name].mean() - drawn[name].mean()) < 5 * error
    for share in ("ill", None):
        told = [
            frame["fee"].is_null() if share is None else frame["ill"] == share
            for frame in (kept, drawn)
        ]
        p = told[0].mean()
        error = np.sqrt(p * (1 - p) * (1 / len(kept) + 1 / len(drawn)))
        assert abs(p - told[1].mean()) < 5 * error


def test_missing_cells_are_filled(model, patients):
    holes = patients.head(100).with_columns(
        pl.when(pl.int_range(100) % 2 == 0).then(None).otherwise(pl.col("age")).alias("age"),
        pl.when(pl.int_range(100) % 3 == 0).then(None).otherwise(pl.col("ill")).alias("ill"),
    )
    for how in ("mean", "mode", "draw"):
        filled = model.impute(holes, how)
        assert filled.null_count().sum_horizontal()[0] == 0
        assert filled["age"].gather_every(2, 1).equals(holes["age"].gather_every(2, 1))
    x = holes.with_columns(age=pl.lit(None, dtype=pl.Float64))
    ages = pl.DataFrame({"age": np.arange(10.0, 110.0)})
    row = x.head(1).drop("age")
    density = np.exp(model.score_samples(ages.join(row, how="cross").select(x.columns)))
    expected = float(density @ ages["age"].to_numpy() / density.sum())
    assert model.impute(x.head(1))["age"][0] == pytest.approx(expected, abs=0.5)


def test_labels_become_a_column(classifier, patients):
    X = patients.drop("ill")
    assert (classifier.predict(X) == patients["ill"].to_numpy()).mean() > 0.8
    drawn, labels = classifier.sample(50)
    assert drawn.columns == X.columns and set(labels) <= {"ill", "well"}
    even = classifier.with_prior([0.5, 0.5])
    odds = [np.log(m.predict_proba(X)[:, 0] / m.predict_proba(X)[:, 1]) for m in (classifier, even)]
    np.testing.assert_allclose(np.diff(odds[1] - odds[0]), 0.0, atol=1e-6)
    assert even.class_prior_ == pytest.approx([0.5, 0.5], abs=1e-5)
    told = classifier.contributions(X.head(4), reference="well")
    expected = classifier.predict_log_proba(X.head(4))
    np.testing.assert_allclose(told.log_odds(), expected - expected[:, 1:], atol=1e-6)
    estimated = classifier.with_prior("estimate", X)
    assert estimated.class_prior_ == pytest.approx([0.4, 0.6], abs=0.07)
    costs = {"ill": {"treat": 0, "wait": 10}, "well": {"treat": 1, "wait": 0}}
    assert set(classifier.decide(X, costs)) == {"treat", "wait"}


def test_representation_of_rows(model, patients):
    z = model.transform(patients.head(10))
    ends = np.cumsum([tree.n_nodes * tree.n_states for tree in model.story_.trees])
    assert z.shape == (10, ends[-1]) == (10, len(model.get_feature_names_out()))
    first, last = one_by_one(model)[0], one_by_one(model)[-1]
    np.testing.assert_array_equal(z[:, : ends[0]], first.transform(patients.head(10)))
    np.testing.assert_array_equal(z[:, ends[-2] :], last.transform(patients.head(10)))


def test_outliers_are_improbable(model, patients):
    odd = patients.head(1).with_columns(age=pl.lit(140.0), coughs=pl.lit(40).cast(pl.Int64))
    assert model.outliers(odd, n_draws=1000)[0] < 0.01


def test_a_stored_model_comes_back(model, patients, tmp_path):
    fabula.save(model, tmp_path / "trees.fabula")
    loaded = fabula.load(tmp_path / "trees.fabula")
    np.testing.assert_array_equal(loaded.score_samples(patients), model.score_samples(patients))
    assert loaded.sample(3, random_state=0)[0].equals(model.sample(3, random_state=0)[0])
    holes = patients.head(20).with_columns(fee=pl.lit(None, dtype=pl.Float64))
    assert loaded.impute(holes, "mode").equals(model.impute(holes, "mode"))


def test_a_model_that_knew_of_one_tree_only_still_loads(patients):
    model = LatentTreeModel(4, **FAST).fit(patients)
    state = model.to_state()
    del state["parameters"]["n_trees"]
    loaded = LatentTreeModel.from_state(state)
    assert loaded.n_trees == 1
    np.testing.assert_array_equal(loaded.score_samples(patients), model.score_samples(patients))


def test_a_file_is_learned_block_by_block(patients, tmp_path, monkeypatch):
    monkeypatch.setattr("fabula.estimators.latent_tree_model.ROWS_TO_SAMPLE", 500)
    patients.write_csv(tmp_path / "table.csv")
    model = LatentTreeModel(4, n_trees=2, **FAST)
    model.fit_file(tmp_path / "table.csv", block_rows=300)
    assert len(model.story_.trees) == 2
    sampled = LatentTreeModel(4, n_trees=2, **FAST).fit(patients.head(500))
    assert model.score(patients) > sampled.score(patients) - 0.2
    assert not np.allclose(model.story_.trees[0].root, model.story_.trees[1].root)


def test_time_is_shared(patients):
    began = LatentTreeModel(n_trees=4, max_time=1.0, random_state=0).fit(patients)
    assert began.report_.seconds < 8.0


def test_likeness_goes_with_several_trees(patients):
    model = LatentTreeModel(6, n_trees=2, aim="likeness", max_passes=3, random_state=0).fit(
        patients
    )
    assert np.isnan(model.held_out_score_)
    assert model.sample(5)[0].columns == patients.columns


def test_what_makes_no_sense_is_refused(patients):
    with pytest.raises(UsageError, match="n_trees does not go with privacy"):
        LatentTreeModel(n_trees=2, privacy=(1.0, 1e-6)).fit(patients)
    for wrong in (0, 1.5, True, "two"):
        with pytest.raises(UsageError, match="n_trees"):
            LatentTreeModel(n_trees=wrong).fit(patients)
