from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fabula import load


def test_score(fabula: Any, folder: Path, table: pl.DataFrame) -> None:
    done = fabula("score", folder / "bayes.fabula", folder / "people.csv")
    expected = load(folder / "bayes.fabula").score_samples(table)
    np.testing.assert_allclose(done.frame["log_density"].to_numpy(), expected, rtol=1e-12)
    assert f"{expected.mean():.6g} nats" in done.err


def test_outliers_beside_the_data(fabula: Any, folder: Path, table: pl.DataFrame) -> None:
    done = fabula("score", folder / "bayes.fabula", folder / "people.csv", "--outliers", "--keep")
    assert done.frame.columns == [*table.columns, "log_density", "tail_probability"]
    assert done.frame.height == table.height
    assert done.frame["tail_probability"].is_between(0, 1).all()


def test_predict(fabula: Any, folder: Path, table: pl.DataFrame) -> None:
    done = fabula("predict", folder / "bayes.fabula", folder / "people.csv")
    model = load(folder / "bayes.fabula")
    assert done.frame.columns == ["predicted_state", "p_ill", "p_well"]
    assert done.frame["predicted_state"].to_list() == model.predict(table).tolist()
    np.testing.assert_allclose(
        done.frame.select("p_ill", "p_well").to_numpy(), model.predict_proba(table), rtol=1e-12
    )
    labelled = table["state"].is_not_null().to_numpy()
    right = np.mean((model.predict(table) == table["state"].to_numpy())[labelled])
    assert f"agrees with {100 * right:.1f} %" in done.err


def test_decisions_under_costs(fabula: Any, folder: Path, table: pl.DataFrame) -> None:
    done = fabula(
        "predict", folder / "bayes.fabula", folder / "people.csv", "--costs",
        "ill:well=20,well:ill=1", "--reject-cost", ".1",
    )  # fmt: skip
    model = load(folder / "bayes.fabula")
    p = model.predict_proba(table)[:, 0]
    cost_of_ill, cost_of_well = 1 - p, 20 * p
    best = np.minimum(cost_of_ill, cost_of_well)
    expected = np.where(best > 0.1, "reject", np.where(cost_of_ill < cost_of_well, "ill", "well"))
    assert done.frame["decision"].to_list() == expected.tolist()
    np.testing.assert_allclose(
        done.frame["expected_cost"].to_numpy(), np.minimum(best, 0.1), rtol=1e-6, atol=1e-12
    )
    assert "reject" in expected


def test_costs_of_other_actions_from_a_file(fabula: Any, folder: Path, tmp_path: Path) -> None:
    costs = tmp_path / "costs.json"
    costs.write_text(json.dumps({"ill": {"treat": 1, "wait": 9}, "well": {"treat": 1, "wait": 0}}))
    done = fabula("predict", folder / "bayes.fabula", folder / "people.csv", "--costs", costs)
    assert set(done.frame["decision"]) == {"treat", "wait"}


def test_other_frequencies(fabula: Any, folder: Path, table: pl.DataFrame) -> None:
    model = load(folder / "bayes.fabula")
    done = fabula("predict", folder / "bayes.fabula", folder / "people.csv", "--prior", "ill=.05")
    expected = model.with_prior({"ill": 0.05, "well": 0.95}).predict_proba(table)[:, 0]
    np.testing.assert_allclose(done.frame["p_ill"].to_numpy(), expected, rtol=1e-9)
    done = fabula("predict", folder / "bayes.fabula", folder / "people.csv", "--prior", "estimate")
    shifted = model.with_prior("estimate", table)
    assert f"ill {100 * shifted.class_prior_[0]:.1f} %" in done.err
    np.testing.assert_allclose(
        done.frame["p_ill"].to_numpy(), shifted.predict_proba(table)[:, 0], rtol=1e-9
    )


def test_components_of_a_mixture(fabula: Any, folder: Path, table: pl.DataFrame) -> None:
    done = fabula("predict", folder / "mixture.fabula", folder / "people.csv")
    assert done.frame.columns == ["predicted_component", "p_0", "p_1"]
    expected = load(folder / "mixture.fabula").predict(table)
    assert done.frame["predicted_component"].to_list() == expected.tolist()


@pytest.mark.parametrize("how", ["mean", "mode", "draw"])
def test_impute(fabula: Any, folder: Path, table: pl.DataFrame, how: str) -> None:
    done = fabula("impute", folder / "bayes.fabula", folder / "people.csv", "--how", how)
    filled = pl.read_csv(done.out.encode(), schema=table.schema)
    assert filled.drop("state").null_count().sum_horizontal().item() == 0
    expected = load(folder / "bayes.fabula").impute(table, how, random_state=0)
    assert filled.equals(expected)
    seen = table.drop("state")
    for name in seen.columns:
        kept = seen[name].is_not_null()
        assert filled[name].filter(kept).equals(seen[name].filter(kept))
    n = sum(seen.null_count().row(0))
    assert f"Filled {n} of {n + table['state'].null_count()} empty cells." in done.err
    assert f"{table['state'].null_count()} rows have no 'state'" in done.err


def test_several_draws(fabula: Any, folder: Path, table: pl.DataFrame) -> None:
    command = ["impute", folder / "bayes.fabula", folder / "people.csv", "--how", "draw"]
    done = fabula(*command, "--draws", 3, "--seed", 5)
    assert done.frame.height == 3 * table.height
    assert done.frame["draw"].unique().sort().to_list() == [1, 2, 3]
    assert fabula(*command, "--draws", 3, "--seed", 5).out == done.out
    assert fabula(*command, "--draws", 3, "--seed", 6).out != done.out


@pytest.mark.parametrize("command", ["score", "predict", "impute"])
def test_json_and_files(
    fabula: Any, folder: Path, table: pl.DataFrame, tmp_path: Path, command: str
) -> None:
    asked = [command, folder / "bayes.fabula", folder / "people.csv"]
    plain = fabula(*asked)
    as_json = fabula(*asked, "--json")
    assert len(as_json.json) == table.height
    assert list(as_json.json[0]) == plain.frame.columns
    for name in ("out.csv", "out.tsv", "out.parquet"):
        done = fabula(*asked, "-o", tmp_path / name)
        assert (done.code, done.out) == (0, "")
    assert (tmp_path / "out.csv").read_text() == plain.out
    assert pl.read_parquet(tmp_path / "out.parquet").height == table.height
    done = fabula(*asked, "-o", tmp_path / "out.csv")
    assert done.code == 2
    assert "--force" in done.err
    assert fabula(*asked, "-o", tmp_path / "out.csv", "--force").code == 0
    assert fabula(*asked, "-o", tmp_path / "out.xyz").code == 2


def test_through_a_pipe(fabula: Any, folder: Path) -> None:
    content = (folder / "people.csv").read_bytes()
    piped = fabula("score", folder / "bayes.fabula", "-", stdin=content)
    assert piped.out == fabula("score", folder / "bayes.fabula", folder / "people.csv").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["score", "no.fabula", "people.csv"], 2, "does not exist"),
        (["score", "people.csv", "people.csv"], 3, "not a fabula file"),
        (["score", "bayes.fabula", "no.csv"], 2, "There is no file"),
        (["score", "bayes.fabula", "numbers.csv"], 3, "lacks the columns"),
        (["predict", "gauss.fabula", "numbers.csv", "--prior", "estimate"], 1, "no classes"),
        (["predict", "gauss.fabula", "numbers.csv", "--costs", "0:1=1,1:0=1"], 1, "no classes"),
        (["predict", "bayes.fabula", "people.csv", "--reject-cost", "1"], 2, "--costs"),
        (["predict", "bayes.fabula", "people.csv", "--costs", "ill:well=1"], 2, "'ill' costs"),
        (["predict", "bayes.fabula", "people.csv", "--prior", "ill=2"], 2, "well"),
        (["impute", "bayes.fabula", "people.csv", "--draws", "2"], 2, "--how draw"),
        (["impute", "bayes.fabula", "people.csv", "--how", "draw", "--draws", "0"], 2, "1 or more"),
        (["impute", "bayes.fabula", "people.csv", "--how", "median"], 2, "mean"),
    ],
)
def test_what_cannot_be_answered(
    fabula: Any,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(folder)
    done = fabula(*arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert "defect" not in done.err


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("height", "tall", "'height'"), ("visits", "-3", "'visits'"), ("visits", "1.5", "'visits'")],
)
def test_a_wrong_value_is_named_with_its_place(
    fabula: Any,
    folder: Path,
    table: pl.DataFrame,
    tmp_path: Path,
    column: str,
    value: str,
    said: str,
) -> None:
    broken = table.with_columns(pl.col(column).cast(pl.String))
    broken = broken.with_columns(
        pl.when(pl.int_range(pl.len()) == 6).then(pl.lit(value)).otherwise(column).alias(column)
    )
    broken.write_csv(tmp_path / "broken.csv")
    done = fabula("score", folder / "bayes.fabula", tmp_path / "broken.csv")
    assert done.code == 3
    assert said in done.err
    assert "row 7" in done.err


def test_a_model_that_is_cut_or_damaged(fabula: Any, folder: Path, tmp_path: Path) -> None:
    whole = (folder / "bayes.fabula").read_bytes()
    path = tmp_path / "cut.fabula"
    for length in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        done = fabula("score", path, folder / "people.csv")
        assert (done.code, done.out) == (3, "")
        assert str(path) in done.err
    path.write_bytes(whole.replace(b"naive_bayes", b"naive_byaes"))
    assert fabula("score", path, folder / "people.csv").code == 3


def test_a_part_of_a_model_is_no_model(fabula: Any, folder: Path, tmp_path: Path) -> None:
    from fabula import save

    save(load(folder / "bayes.fabula").story_, tmp_path / "story.fabula")
    done = fabula("score", tmp_path / "story.fabula", folder / "people.csv")
    assert done.code == 3
    assert "a part of a model" in done.err


def test_unseen_levels_have_an_answer(fabula: Any, folder: Path) -> None:
    row = b"height,weight,visits,smoker,city\n170,80,2,no,Atlantis\n"
    done = fabula("predict", folder / "bayes.fabula", "-", stdin=row)
    assert done.code == 0
    assert done.frame["p_ill"].is_between(0, 1).all()


@pytest.mark.parametrize("command", ["score", "predict", "impute"])
def test_a_table_without_rows_has_no_answers(
    fabula: Any, folder: Path, tmp_path: Path, command: str
) -> None:
    header = (folder / "people.csv").read_text().partition("\n")[0]
    (tmp_path / "empty.csv").write_text(header + "\n")
    done = fabula(command, folder / "bayes.fabula", tmp_path / "empty.csv")
    assert done.code == 0
    assert len(done.out.splitlines()) == 1
    assert "warning" not in done.err
    assert "nan" not in done.err
