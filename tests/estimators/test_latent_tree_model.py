"""Latent trees on tables: every question, and tables that are awkward."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import fabula
from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.estimators.latent_tree_model import LatentTreeModel

FAST = {"max_passes": 4, "max_time": 5.0, "random_state": 0}


def make_table(n=1500, seed=0):
    rng = np.random.default_rng(seed)
    ill = rng.random(n) < 0.4
    age = rng.normal(50 + 12 * ill, 8).round()
    return pl.DataFrame(
        {
            "age": age,
            "smokes": np.where(rng.random(n) < 0.15 + 0.5 * ill, "yes", "no"),
            "coughs": rng.poisson(1 + 3 * ill),
            "fee": np.where(rng.random(n) < 0.5, 0.0, rng.gamma(2.0, 10.0 + 0.3 * age)),
            "town": rng.choice(["Aarhus", "Bergen", "Cork"], n, p=[0.5, 0.3, 0.2]),
            "ill": np.where(ill, "ill", "well"),
        }
    )


@pytest.fixture(scope="module")
def patients():
    return make_table()


@pytest.fixture(scope="module")
def model(patients):
    return LatentTreeModel(16, **FAST).fit(patients)


def test_the_tree_joins_what_belongs_together(model, patients):
    assert {name for name, _, _ in model.tree_} == set(patients.columns)
    assert model.tree_[0][1] is None
    assert all(parent is not None for _, parent, _ in model.tree_[1:])
    assert model.n_states_ == 16
    assert model.families_["fee"] == "bins" and model.families_["town"] == "categorical"


def test_draws_have_the_form_and_the_dependence_of_the_table(model, patients):
    drawn, states = model.sample(4000, random_state=1)
    assert drawn.schema == patients.schema
    assert states.shape == (4000,)
    for frame in (drawn, patients):
        ill = frame["ill"] == "ill"
        gap = frame["coughs"].filter(ill).mean() - frame["coughs"].filter(~ill).mean()
        assert gap == pytest.approx(3.0, abs=0.45)
    assert (drawn["fee"] == 0).mean() == pytest.approx((patients["fee"] == 0).mean(), abs=0.05)
    assert (drawn["age"] == drawn["age"].round()).all()


def test_probabilities_of_any_category_follow_bayes_rule(model, patients):
    others = patients.drop("ill").head(5)
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
    town = model.predict_proba(patients, target="town").mean(axis=0)
    np.testing.assert_allclose(town, [0.5, 0.3, 0.2], atol=0.05)


def test_conditional_times_marginal_is_joint(model, patients):
    row = patients.head(1)
    given = {"age": row["age"][0], "town": row["town"][0]}
    told = model.condition(given)
    rest = told.score_samples(row.drop("age", "town"))[0]
    assert told.log_condition_ + rest == pytest.approx(model.score_samples(row)[0], abs=1e-9)
    margin = model.marginal(["town", "age"])
    assert margin.score_samples(row.select("town", "age"))[0] == pytest.approx(
        told.log_condition_, abs=1e-9
    )


def test_draws_under_a_condition_meet_it(model):
    given = {"age": (60, 70), "town": {"Aarhus", "Cork"}, "ill": "well"}
    drawn, _ = model.sample(500, random_state=2, given=given)
    assert drawn["age"].is_between(60, 70).all()
    assert set(drawn["town"]) == {"Aarhus", "Cork"}
    assert set(drawn["ill"]) == {"well"}
    assert model.effective_sample_size_ == 500


def test_draws_under_a_condition_are_those_that_meet_it(model):
    plain, _ = model.sample(60_000, random_state=3)
    kept = plain.filter(pl.col("age").is_between(60, 70) & (pl.col("smokes") == "yes"))
    given, _ = model.sample(10_000, random_state=4, given={"age": (60, 70), "smokes": "yes"})
    for name in ("coughs", "fee", "age"):
        error = kept[name].std() * np.sqrt(1 / len(kept) + 1 / len(given))
        assert abs(kept[name].mean() - given[name].mean()) < 5 * error
    share = (kept["ill"] == "ill").mean()
    error = np.sqrt(share * (1 - share) * (1 / len(kept) + 1 / len(given)))
    assert abs(share - (given["ill"] == "ill").mean()) < 5 * error


def test_densities_integrate_to_one_on_the_scale_of_the_data(model):
    fees = model.marginal(["fee"])
    grid = np.concatenate([-np.geomspace(1e4, 1e-4, 20_000), np.geomspace(1e-4, 1e5, 200_000)])
    density = np.exp(fees.score_samples(pl.DataFrame({"fee": grid})))
    at_zero = np.exp(fees.score_samples(pl.DataFrame({"fee": [0.0]})))[0]
    assert np.trapezoid(density, grid) + at_zero == pytest.approx(1.0, abs=2e-3)
    ages = model.marginal(["age"])
    whole = pl.DataFrame({"age": np.arange(-400.0, 600.0)})
    assert np.exp(ages.score_samples(whole)).sum() == pytest.approx(1.0, abs=1e-6)


def test_missing_cells_are_filled(model, patients):
    holes = patients.head(200).with_columns(
        pl.when(pl.int_range(200) % 2 == 0).then(None).otherwise(pl.col("age")).alias("age"),
        pl.when(pl.int_range(200) % 3 == 0).then(None).otherwise(pl.col("ill")).alias("ill"),
    )
    for how in ("mean", "mode", "draw"):
        filled = model.impute(holes, how)
        assert filled.null_count().sum_horizontal()[0] == 0
        assert filled["age"].gather_every(2, 1).equals(patients.head(200)["age"].gather_every(2, 1))
    truth = patients.head(200)["ill"].gather_every(3)
    assert (model.impute(holes)["ill"].gather_every(3) == truth).mean() > 0.75


def test_labels_become_a_column(patients):
    X, y = patients.drop("ill"), patients["ill"]
    half = np.where(np.arange(len(y)) % 2 == 0, y.to_numpy(), None)
    model = LatentTreeModel(8, **FAST).fit(X, half)
    assert model.classes_.tolist() == ["ill", "well"]
    assert (model.predict(X) == y.to_numpy()).mean() > 0.8
    drawn, labels = model.sample(50)
    assert drawn.columns == X.columns and set(labels) <= {"ill", "well"}
    assert model.score_samples(X).shape == (1500,)
    given = model.condition({"target": "ill"})
    assert given.log_condition_ == pytest.approx(np.log(0.4), abs=0.1)
    even = model.with_prior([0.5, 0.5])
    odds = [np.log(m.predict_proba(X)[:, 0] / m.predict_proba(X)[:, 1]) for m in (model, even)]
    np.testing.assert_allclose(np.diff(odds[1] - odds[0]), 0.0, atol=1e-6)
    told = model.contributions(X.head(4), reference="well")
    expected = model.predict_log_proba(X.head(4))
    np.testing.assert_allclose(told.log_odds(), expected - expected[:, 1:], atol=1e-6)
    costs = {"ill": {"treat": 0, "wait": 10}, "well": {"treat": 1, "wait": 0}}
    assert set(model.decide(X, costs)) == {"treat", "wait"}


def test_questions_about_no_target_say_what_to_do(model, patients):
    with pytest.raises(CannotAnswerError, match="target="):
        model.predict_proba(patients)
    with pytest.raises(UsageError, match="categories"):
        model.predict_proba(patients, target="fee")
    with pytest.raises(UsageError, match="town"):
        model.predict_proba(patients, target="twon")


def test_whether_a_cell_is_missing_may_tell(patients):
    rng = np.random.default_rng(1)
    hidden = (patients["ill"].to_numpy() == "ill") & (rng.random(1500) < 0.7)
    table = patients.with_columns(
        pl.when(pl.Series(hidden)).then(None).otherwise(pl.col("fee")).alias("fee"),
        pl.when(pl.Series(rng.random(1500) < 0.2)).then(None).otherwise(pl.col("age")).alias("age"),
    )
    model = LatentTreeModel(8, **FAST).fit(table)
    assert model.indicators_ == ["fee is missing"]
    drawn, _ = model.sample(3000, random_state=0)
    assert drawn["age"].null_count() == 0
    missing = drawn["fee"].is_null()
    assert missing.mean() == pytest.approx(hidden.mean(), abs=0.05)
    assert (drawn["ill"].filter(missing) == "ill").mean() > 0.8
    assert model.score_samples(table).shape == (1500,)
    assert model.marginal(["fee", "ill"]).sample(10)[0].columns == ["fee", "ill"]
    assert model.condition({"fee": (5, 20)}).score_samples(table.drop("fee")).shape == (1500,)
    assert LatentTreeModel(4, missing="ignore", **FAST).fit(table).indicators_ == []
    both = LatentTreeModel(4, missing="value", **FAST).fit(table)
    assert both.indicators_ == ["age is missing", "fee is missing"]


@pytest.mark.parametrize("container", ["pandas", "pyarrow", "polars"])
def test_frames_come_back_as_they_came(patients, container):
    frame = {"pandas": patients.to_pandas, "pyarrow": patients.to_arrow}.get(
        container, lambda: patients
    )()
    model = LatentTreeModel(4, **FAST).fit(frame)
    drawn, _ = model.sample(5)
    assert type(drawn) is type(frame)
    without = frame.drop(columns=["ill"]) if container == "pandas" else frame.drop(["ill"])
    assert model.predict_proba(without, target="ill").shape == (1500, 2)


def test_a_stored_model_comes_back(model, patients, tmp_path):
    fabula.save(model, tmp_path / "tree.fabula")
    loaded = fabula.load(tmp_path / "tree.fabula")
    np.testing.assert_array_equal(loaded.score_samples(patients), model.score_samples(patients))
    assert loaded.sample(3, random_state=0)[0].equals(model.sample(3, random_state=0)[0])


def test_states_are_split_while_it_pays():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3))
    independent = LatentTreeModel(**FAST).fit(x)
    assert independent.n_states_ <= 16
    group = rng.integers(12, size=3000)
    centres = 4.0 * np.arange(12)
    together = np.stack([centres[group], centres[(group * 5) % 12]], 1) + rng.normal(size=(3000, 2))
    model = LatentTreeModel(**{**FAST, "max_passes": 10}).fit(together)
    assert model.n_states_ >= 16
    alone = sum(
        LatentTreeModel(1, **FAST).fit(together[:, [j]]).score(together[:, [j]]) for j in (0, 1)
    )
    assert model.score(together) > alone + 1.5


def test_the_same_seed_gives_the_same_model(patients):
    found = [LatentTreeModel(8, **FAST).fit(patients).score_samples(patients) for _ in range(2)]
    np.testing.assert_array_equal(*found)


def test_representation_of_rows(model, patients):
    z = model.transform(patients.head(10))
    m = model.story_.n_nodes
    assert z.shape == (10, m * 16)
    np.testing.assert_allclose(z.reshape(10, m, 16).sum(axis=2), 1.0, atol=1e-9)


def test_outliers_are_improbable(model, patients):
    odd = patients.head(1).with_columns(age=pl.lit(140.0), coughs=pl.lit(40).cast(pl.Int64))
    assert model.outliers(odd, n_draws=1000)[0] < 0.01


AWKWARD = {
    "categories only": pl.DataFrame({"a": list("xyzx") * 30, "b": list("uvvu") * 30}),
    "numbers only": pl.DataFrame(np.random.default_rng(0).normal(size=(120, 3))),
    "one column": pl.DataFrame({"a": np.arange(80.0) % 7}),
    "a constant beside": pl.DataFrame({"a": np.arange(80.0), "b": [5.0] * 80, "c": ["x"] * 80}),
    "60 rows": make_table(60),
    "a twin column": pl.DataFrame({"a": np.arange(90.0) % 9, "b": np.arange(90.0) % 9}),
    "no value in a column": pl.DataFrame(
        {"a": np.arange(90.0) % 9, "b": pl.Series([None] * 90, dtype=pl.Float64)}
    ),
    "three rows": pl.DataFrame({"a": [1.5, 2.5, 4.0], "b": ["x", "y", "y"]}),
}


@pytest.mark.filterwarnings("ignore::fabula.core.errors.FabulaWarning")
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_tables(name):
    table = AWKWARD[name]
    model = LatentTreeModel(**FAST).fit(table)
    drawn, _ = model.sample(20)
    assert drawn.columns == table.columns
    assert np.isfinite(model.score_samples(table)).all()


def test_ten_thousand_levels():
    rng = np.random.default_rng(0)
    kind = rng.integers(3, size=12_000)
    table = pl.DataFrame(
        {
            "name": [f"n{k}" for k in rng.integers(10_000, size=12_000)],
            "kind": kind.astype(str),
            "size": rng.normal(2.0 * kind),
        }
    )
    model = LatentTreeModel(8, kinds={"name": "category"}, **FAST).fit(table)
    assert model.families_["name"] == "grouped"
    assert np.isfinite(model.score_samples(table.head(50))).all()
    assert model.sample(10)[0]["name"].str.starts_with("n").all()


@pytest.mark.slow
def test_five_hundred_columns():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(800, 10))
    x = np.repeat(hidden, 50, axis=1) + 0.5 * rng.normal(size=(800, 500))
    model = LatentTreeModel(4, max_passes=2, max_time=20.0, random_state=0).fit(x)
    same = [j // 50 == parent // 50 for j, parent in _edges(model)]
    assert np.mean(same) > 0.97
    assert model.sample(5)[0].shape == (5, 500)


def test_columns_that_follow_from_each_other_share_a_variable():
    rng = np.random.default_rng(0)
    a, c = rng.integers(6, size=(2, 900))
    x = np.stack(
        [a, c, (a * 5) % 6, np.where(rng.random(900) < 0.6, rng.integers(6, size=900), c)], axis=1
    ).astype(float)
    kinds = dict.fromkeys(range(4), "category")
    model = LatentTreeModel(4, kinds=kinds, joining=0.3, **FAST).fit(x)
    assert model.story_.nodes[0] == model.story_.nodes[2]
    assert model.story_.n_nodes == 3
    apart = LatentTreeModel(4, kinds=kinds, joining=np.inf, **FAST).fit(x)
    assert apart.story_.n_nodes == 4
    assert LatentTreeModel(4, kinds=kinds, joining=0.0, **FAST).fit(x).story_.n_nodes == 1


def _edges(model):
    return [(int(name), int(parent)) for name, parent, _ in model.tree_ if parent is not None]


def test_infinities_and_wrong_parameters_are_refused(patients):
    x = np.ones((20, 2))
    x[3, 1] = np.inf
    with pytest.raises(DataError, match="row 4"):
        LatentTreeModel(**FAST).fit(x)
    for wrong in ({"n_states": 0}, {"validation": 1.0}, {"missing": "what"}, {"smoothing": -1}):
        with pytest.raises(UsageError):
            LatentTreeModel(**wrong).fit(patients)


def test_pandas_categories_and_dates():
    days = pd.date_range("2020-01-01", periods=200, freq="D")
    frame = pd.DataFrame({"day": days, "kind": pd.Categorical(["a", "b"] * 100)})
    model = LatentTreeModel(4, **FAST).fit(frame)
    drawn, _ = model.sample(5)
    assert drawn["day"].dtype == frame["day"].dtype
    assert list(drawn["kind"].dtype.categories) == ["a", "b"]


def test_an_aim_sets_what_is_not_stated():
    """Draws that are to be like the rows take more states and less smoothing."""
    rng = np.random.default_rng(0)
    group = rng.integers(6, size=1000)
    x = np.column_stack([group + 0.1 * rng.normal(size=1000), (group % 3).astype(float)])
    like = LatentTreeModel(aim="likeness", max_passes=4, random_state=0).fit(x)
    assert like.n_states_ == 1000 // 160
    assert np.isnan(like.held_out_score_)
    stated = LatentTreeModel(3, aim="likeness", max_passes=2, validation=0.2, random_state=0).fit(x)
    assert stated.n_states_ == 3
    assert np.isfinite(stated.held_out_score_)
    with pytest.raises(UsageError, match="aim must be one of density, likeness"):
        LatentTreeModel(aim="fidelity").fit(x)
