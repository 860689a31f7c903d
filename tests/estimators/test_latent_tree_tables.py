"""Latent trees: files, parts of tables, and tables that cannot be used."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fabula import DataError, LatentTreeModel, UsageError
from fabula.core.errors import CannotAnswerError
from fabula.estimators import latent_tree_model
from fabula.estimators.trees.columns import _contracted

FAST = {"max_passes": 4, "max_time": 5.0, "random_state": 0}


def make_table(n: int = 3000, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    return pl.DataFrame(
        {
            "size": np.round(rng.normal(20.0 + 10 * kind, 4.0), 1),
            "colour": np.array(["red", "green", "blue"])[
                np.where(rng.random(n) < 0.8, kind, rng.integers(0, 3, n))
            ],
            "kind": np.array(["a", "b", "c"])[kind],
        }
    ).with_columns(
        colour=pl.when(pl.Series(rng.random(n) < 0.2)).then(None).otherwise(pl.col("colour"))
    )


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_file_is_learned_from_block_by_block(tmp_path, monkeypatch, ending: str) -> None:
    monkeypatch.setattr(latent_tree_model, "ROWS_TO_SAMPLE", 400)
    table, fresh = make_table(), make_table(seed=1)
    path = tmp_path / f"table{ending}"
    table.write_csv(path) if ending == ".csv" else table.write_parquet(path)
    streamed = LatentTreeModel(6, **FAST).fit_file(path, block_rows=700)
    few = LatentTreeModel(6, **FAST).fit(table.head(400))
    whole = LatentTreeModel(6, **FAST).fit(table)
    assert np.all(np.diff(streamed.report_.trace) > -1e-9)
    assert streamed.report_.n_iterations == 4
    assert streamed.score(fresh) > few.score(fresh) + 0.02
    assert streamed.score(fresh) > whole.score(fresh) - 0.06
    # EM over all rows is what makes the shares those of all rows.
    shares = streamed.marginal(["kind"]).sample(20_000, random_state=0)[0]["kind"]
    for level in "abc":
        assert (shares == level).mean() == pytest.approx((table["kind"] == level).mean(), abs=0.03)


def test_a_file_with_a_target(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(latent_tree_model, "ROWS_TO_SAMPLE", 400)
    table = make_table()
    half = table.with_columns(
        pl.when(pl.int_range(3000) % 2 == 0).then(None).otherwise(pl.col("kind")).alias("kind")
    )
    half.write_csv(tmp_path / "half.csv")
    model = LatentTreeModel(6, **FAST).fit_file(tmp_path / "half.csv", "kind", block_rows=700)
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert model.target_ == "kind" and model.feature_names_in_.tolist() == ["size", "colour"]
    assert (model.predict(table.drop("kind")) == table["kind"].to_numpy()).mean() > 0.85
    with pytest.raises(UsageError, match="privacy"):
        LatentTreeModel(privacy=(1.0, 1e-6)).fit_file(tmp_path / "half.csv")


def test_parts_of_a_model_have_the_tree_of_their_columns() -> None:
    tree = [("r", None, 0.0), ("a", "r", 0.5), ("b", "r", 0.2), ("c", "a", 0.4), ("d", "c", 0.3)]
    same = dict.fromkeys("rabcd", "")
    assert _contracted(tree, {name: name for name in same})[0] == ("r", None, 0.0)
    assert sorted(_contracted(tree, {"r": "r", "d": "D"})) == [("D", "r", 0.3), ("r", None, 0.0)]
    # Without the root, the one that shared most with it takes its place.
    assert sorted(_contracted(tree, {"a": "a", "b": "b", "c": "c"})) == [
        ("a", None, 0.0), ("b", "a", 0.2), ("c", "a", 0.4),
    ]  # fmt: skip
    model = LatentTreeModel(4, **FAST).fit(make_table())
    assert {name for name, _, _ in model.marginal(["size", "kind"]).tree_} == {"size", "kind"}
    assert {name for name, _, _ in model.condition({"size": 30}).tree_} == {"colour", "kind"}


def test_a_part_of_a_classifier_keeps_its_classes() -> None:
    table = make_table()
    model = LatentTreeModel(6, **FAST).fit(table.drop("kind"), table["kind"])
    part = model.marginal(["size"])
    assert (part.predict(table.select("size")) == table["kind"].to_numpy()).mean() > 0.6
    assert model.class_prior_ == pytest.approx([1 / 3] * 3, abs=0.03)
    assert model.prior_of("colour").sum() == pytest.approx(1.0)
    alone = LatentTreeModel(6, **FAST).fit(table)
    assert not hasattr(alone, "class_prior_")


def test_representations_have_names() -> None:
    table = make_table(400)
    model = LatentTreeModel(3, **FAST).fit(table)
    names = model.get_feature_names_out()
    assert len(names) == model.transform(table).shape[1]


REFUSED = {
    "infinity": (pl.DataFrame({"a": [1.5, 2.5, np.inf] * 20, "b": list("xyz") * 20}), "row 3"),
    "mixed types": (pd.DataFrame({"a": [1, "two", 3.5] * 20, "b": list("xyz") * 20}), "'two'"),
    "nothing at all": (
        pl.DataFrame({"a": pl.Series([None] * 50, dtype=pl.Float64)}), "No column of the table"
    ),
    "one constant": (pl.DataFrame({"a": [1.0] * 50}), "constants"),
    "names of rows": (pl.DataFrame({"id": [f"u{i}" for i in range(60)]}), "identifiers"),
    "no rows": (pl.DataFrame({"a": pl.Series([], dtype=pl.Float64)}), "no rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_tables_that_cannot_be_used_say_why(name: str) -> None:
    table, said = REFUSED[name]
    with pytest.raises(DataError, match=said):
        LatentTreeModel(**FAST).fit(table)


def test_text_is_refused() -> None:
    lines = [f"some words about number {k % 7} " + "and more " * k for k in range(80)]
    table = pl.DataFrame({"t": lines, "v": np.arange(80.0)})
    with pytest.raises(CannotAnswerError, match="identifier"):
        LatentTreeModel(kinds={"t": "text"}, **FAST).fit(table)
    LatentTreeModel(kinds={"t": "identifier"}, **FAST).fit(table)


@pytest.mark.filterwarnings("ignore::fabula.core.errors.FabulaWarning")
def test_numbers_of_every_size() -> None:
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {"huge": 1e100 * rng.normal(size=200), "tiny": 1e-100 * rng.normal(size=200)}
    )
    model = LatentTreeModel(**FAST).fit(table)
    drawn, _ = model.sample(50)
    assert np.isfinite(drawn.to_numpy()).all()
    assert np.isfinite(model.score_samples(table)).all()
