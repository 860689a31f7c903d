"""The automatic choice on tables whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_iris

from fabula import DataError, UsageError, load, save
from fabula.evaluation import choose_model


def three_clusters(n=600, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 3, n)
    centres = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])
    return centres[z] + rng.standard_normal((n, 2)), z


def test_three_round_clusters():
    x, z = three_clusters()
    choice = choose_model(x)
    assert choice.estimator.n_components == 3
    assert choice.estimator.covariance_type in ("diag", "tied")  # no more than is needed
    labels = choice.estimator.predict(x)
    assert all(
        np.mean(labels[z == k] == np.bincount(labels[z == k]).argmax()) > 0.98 for k in range(3)
    )
    assert choice.why.startswith("Chose 3 components with")
    assert "one component:" in choice.why and "5 folds" in choice.why
    assert choice.reasons[0].evidence["n_components"] == 3


def test_held_out_densities_are_those_of_a_plain_loop():
    from fabula import GaussianMixture

    x, _ = three_clusters(n=200)
    choice = choose_model(x, random_state=4)
    order = np.random.default_rng(4).permutation(200)
    scores = np.empty(200)
    for part in np.array_split(order, 5):
        train = np.sort(np.setdiff1d(order, part))
        model = GaussianMixture(2, covariance_type="tied", random_state=4).fit(x[train])
        scores[part] = model.score_samples(x[part])
    name = "2 components with one full covariance for all"
    (found,) = [row for row in choice.table() if row["name"] == name]
    assert found["log_density"] == pytest.approx(scores.mean())


def test_one_correlated_cluster_needs_one_full_covariance():
    rng = np.random.default_rng(1)
    x = rng.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], 400)
    choice = choose_model(x)
    assert choice.estimator.n_components == 1
    assert choice.estimator.covariance_type in ("tied", "full")


def test_categories_get_a_mixture_of_independent_columns():
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, 500)
    table = pl.DataFrame(
        {
            "colour": np.where(rng.random(500) < 0.1 + 0.8 * z, "red", "blue"),
            "shape": np.where(rng.random(500) < 0.1 + 0.8 * z, "round", "square"),
            "taste": np.where(rng.random(500) < 0.9 - 0.8 * z, "sweet", "sour"),
            "weight": rng.normal(10 * z, 2.0),
        }
    )
    choice = choose_model(table)
    assert type(choice.estimator).__name__ == "MixtureModel"
    assert choice.estimator.n_components == 2
    alone = choose_model(table.select("colour", pl.col("taste").shuffle(seed=1)))
    assert alone.estimator.n_components == 1


def test_with_a_target_the_best_storyteller_is_chosen_and_fitted():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    covariances = np.array([[[1, 0.8], [0.8, 1]], [[1, -0.8], [-0.8, 1]]])
    x = np.array([rng.multivariate_normal([0, 0], covariances[k]) for k in y])
    labels = np.where(y, "crossed", "straight")
    table = pd.DataFrame(x, columns=["a", "b"]).assign(kind=labels)
    choice = choose_model(table, "kind")
    assert type(choice.estimator).__name__ == "QuadraticDiscriminantAnalysis"
    assert choice.why.startswith("Chose QDA: log loss")
    assert "log density of" in choice.why
    assert choice.comparison is not None and choice.comparison.verdict.chosen == "QDA"
    assert {row["kind"] for row in choice.table()} == {"storyteller"}
    assert choice.estimator.classes_.tolist() == ["crossed", "straight"]
    # Fitted to every row.
    assert choice.estimator.means_[1] == pytest.approx(x[y == 0].mean(axis=0))
    assert json.loads(json.dumps(choice.to_dict()))["estimator"] == "QuadraticDiscriminantAnalysis"


def test_a_story_that_needs_a_map_gets_one(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    colours = np.where(rng.random(400) < 0.25 + 0.5 * y, "red", "blue")
    table = pl.DataFrame({f"colour {j}": colours for j in range(6)})  # one thing said six times
    # Fewer rows than two components per class would want.
    few = np.r_[np.flatnonzero(y == 0)[:45], np.flatnonzero(y == 1)[:45]]
    choice = choose_model(table[few], y[few])
    assert type(choice.estimator).__name__ == "Calibrated"
    assert choice.estimator.map_.inverse_temperature < 0.5
    save(choice.estimator, tmp_path / "m.fabula")
    again = load(tmp_path / "m.fabula")
    assert np.array_equal(again.predict_proba(table), choice.estimator.predict_proba(table))


def test_many_rows_are_sampled_for_the_choice_only(monkeypatch):
    from fabula.evaluation import choose

    monkeypatch.setattr(choose, "_ROWS_TO_CHOOSE", 300)
    x, z = three_clusters(n=900)
    choice = choose_model(x)
    assert choice.n_rows_used == 300 and "300 of 900 rows" in choice.why
    assert choice.estimator.n_components == 3
    with_classes = choose_model(x, z)
    assert with_classes.n_rows_used <= 301 and "of 900 rows" in with_classes.why
    assert with_classes.estimator.class_prior_ == pytest.approx(np.bincount(z) / 900, abs=0.01)


def test_a_time_budget_stops_the_climb():
    x, _ = three_clusters(n=300)
    choice = choose_model(x, time_budget=1e-9)
    assert {c.n_components for c in choice.candidates} == {1}  # the first rung of each ladder
    with pytest.raises(UsageError, match="time_budget"):
        choose_model(x, time_budget=0)


def test_unlabelled_rows_and_missing_cells():
    x, y = load_iris(return_X_y=True)
    x = x[:, :3].copy()
    x[::5, 1] = np.nan
    labels = y.astype(object)
    labels[::4] = None
    choice = choose_model(x, labels)
    assert choice.estimator.score(x, y) > 0.95
    assert choose_model(x).estimator.score_samples(x).shape == (150,)


def test_misleading_rows_without_a_label_are_left_out():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 600)
    x = rng.standard_normal((600, 2)) + 1.5 * y[:, None]
    x[200:] = np.where(y[200:, None], [2.0, 8.0], [8.0, 2.0]) + rng.standard_normal((400, 2))
    labels = y.astype(object)
    labels[200:] = None
    choice = choose_model(x, labels)
    assert choice.comparison.verdict.chosen.endswith("(labelled rows only)")
    told = choice.estimator.score_samples(x)
    assert told[:200].mean() > told[200:].mean() + 5.0


def test_too_little():
    with pytest.raises(DataError, match="3 rows are too few"):
        choose_model(np.zeros((3, 2)))
