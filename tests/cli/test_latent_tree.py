"""Latent trees on the command line: every command, and the choice of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fabula import LatentTreeModel, load
from fabula.cli import run
from fabula.persistence import describe

FAST = ["--model", "latent-tree", "--states", "4", "--passes", "3"]


@pytest.fixture(scope="module")
def trees(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of all columns, and one with a target."""
    place = tmp_path_factory.mktemp("trees")
    for name, *options in (("all",), ("class", "-t", "state")):
        made = ["fit", folder / "people.csv", "-o", place / f"{name}.fabula", *FAST, *options]
        assert run([str(argument) for argument in made]) == 0
    return place


def test_the_model_is_that_of_python(trees: Path, table: pl.DataFrame) -> None:
    ours = LatentTreeModel(4, max_passes=3, random_state=0).fit(table)
    np.testing.assert_array_equal(
        load(trees / "all.fabula").score_samples(table), ours.score_samples(table)
    )


def test_what_fit_says(fabula: Any, folder: Path, tmp_path: Path) -> None:
    done = fabula("fit", folder / "people.csv", *FAST, "-o", tmp_path / "m.fabula")
    assert "LatentTreeModel: 90 rows, 6 columns" in done.err
    assert "4 states" in done.err
    done = fabula("fit", folder / "people.csv", *FAST, "-o", tmp_path / "n.fabula", "--json",
                  "--time-budget", 5, "--set", "joining=0")  # fmt: skip
    assert (done.json["states"], done.json["components"]) == (4, None)
    model = load(tmp_path / "n.fabula")
    assert (model.max_time, model.joining, model.story_.n_nodes) == (5, 0, 1)


def test_any_column_can_be_predicted(fabula: Any, trees: Path, folder: Path) -> None:
    data = folder / "people.csv"
    model, table = load(trees / "all.fabula"), pl.read_csv(data)
    done = fabula("predict", trees / "all.fabula", data, "--column", "smoker")
    assert done.code == 0, done.err
    expected = model.predict_proba(table, target="smoker")
    np.testing.assert_allclose(done.frame.select("p_no", "p_yes").to_numpy(), expected)
    assert "agrees with" in done.err
    assert done.frame.columns[0] == "predicted_smoker"
    costs = fabula("predict", trees / "all.fabula", data, "--column", "city", "--prior",
                   "Bonn=0.2,Jena=0.3", "--costs", "Ulm:Bonn=5,Ulm:Jena=1,Bonn:Jena=1,Bonn:Ulm=1,"
                   "Jena:Bonn=1,Jena:Ulm=1")  # fmt: skip
    assert costs.code == 0, costs.err
    shifted = model.with_prior([0.2, 0.3, 0.5], target="city").predict_proba(table, target="city")
    np.testing.assert_allclose(costs.frame["p_Ulm"], shifted[:, 2])
    assert "Estimated frequencies: no " in fabula(
        "predict", trees / "all.fabula", data, "--column", "smoker", "--prior", "estimate"
    ).err  # fmt: skip
    bare = fabula("predict", trees / "all.fabula", data)
    assert bare.code == 2 and "--column" in bare.err
    wrong = fabula("predict", trees / "all.fabula", data, "--column", "height")
    assert wrong.code == 2 and "categories" in wrong.err
    other = fabula("predict", folder / "lda.fabula", data, "--column", "smoker")
    assert other.code != 0 and "latent-tree" in other.err


def test_a_target_is_predicted_without_a_word(fabula: Any, trees: Path, folder: Path) -> None:
    done = fabula("predict", trees / "class.fabula", folder / "people.csv")
    assert done.frame.columns == ["predicted_state", "p_ill", "p_well"]
    assert float(done.err.rpartition("agrees with ")[2].split()[0]) > 75


def test_score_impute_sample_and_condition(
    fabula: Any, trees: Path, folder: Path, tmp_path: Path
) -> None:
    data = folder / "people.csv"
    scores = fabula("score", trees / "all.fabula", data, "--outliers").frame
    assert scores["tail_probability"].is_between(0, 1).all()
    for how in ("mean", "mode", "draw"):
        done = fabula("impute", trees / "all.fabula", data, "--how", how)
        assert done.frame.null_count().sum_horizontal()[0] == 0
    given = ["--given", "height=160..170", "--given", "smoker=yes"]
    drawn = fabula("sample", trees / "all.fabula", "-n", 30, *given).frame
    assert drawn["height"].is_between(160, 170).all() and set(drawn["smoker"]) == {"yes"}
    classed = fabula("sample", trees / "class.fabula", "-n", 30, "--given", "state=ill").frame
    assert set(classed["state"]) == {"ill"}
    done = fabula("condition", trees / "class.fabula", *given, "--given", "state=ill",
                  "-o", tmp_path / "c.fabula")  # fmt: skip
    assert "3 columns are left" in done.err
    left = load(tmp_path / "c.fabula")
    assert left.class_prior_ == pytest.approx([1.0, 0.0])
    whole = load(trees / "class.fabula")
    expected = whole.condition({"state": "ill", "height": (160, 170), "smoker": "yes"})
    told = float(done.err.partition("condition: ")[2].split()[0])
    assert told == pytest.approx(expected.log_condition_, abs=1e-4)
    said = fabula("show", tmp_path / "c.fabula").out
    assert "given height=160..170, smoker=yes and state=ill" in said
    assert "height " not in said.partition("column ")[2]


def test_show_tells_the_tree(fabula: Any, trees: Path) -> None:
    said = fabula("show", trees / "all.fabula").out
    assert "a latent tree" in said and "└─ " in said
    assert fabula("show", trees / "all.fabula", "--json").json["parameters"]["is"] == "LatentTree"


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("all", ["--kind", "tree"]),
        ("all", ["people.csv", "--kind", "pairs"]),
        ("all", ["people.csv", "--kind", "densities", "--column", "smoker"]),
        ("all", ["people.csv", "--kind", "regions", "--column", "city"]),
        ("all", ["people.csv", "--kind", "contributions", "--column", "smoker"]),
        ("all", ["people.csv", "--kind", "conditional", "--columns", "weight,height"]),
        ("all", ["people.csv", "--kind", "conditional", "--columns", "city,weight"]),
        ("class", ["people.csv", "--kind", "conditional", "--columns", "weight,city"]),
        ("class", ["people.csv", "--kind", "regions"]),
        ("class", ["people.csv", "--kind", "reliability"]),
    ],
)
def test_pictures(
    fabula: Any, trees: Path, folder: Path, tmp_path: Path, model: str, options: list[str]
) -> None:
    arguments = [folder / o if o.endswith(".csv") else o for o in options]
    done = fabula("plot", trees / f"{model}.fabula", *arguments, "-o", tmp_path / "p.png")
    assert done.code == 0, done.err
    assert (tmp_path / "p.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kind", "pairs"], "needs DATA"),
        (["people.csv", "--kind", "densities"], "--column"),
        (["people.csv", "--kind", "conditional", "--columns", "weight"], "ONE,GIVEN"),
        (["people.csv", "--kind", "pairs", "--column", "city"], "--column does not go"),
    ],
)
def test_pictures_that_cannot_be(
    fabula: Any, trees: Path, folder: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    arguments = [folder / o if o.endswith(".csv") else o for o in options]
    done = fabula("plot", trees / "all.fabula", *arguments, "-o", tmp_path / "p.png")
    assert done.code == 2 and said in done.err


def test_files_are_read_block_by_block(fabula: Any, folder: Path, tmp_path: Path) -> None:
    options = ["--stream", "--kind", "visits=count", "-t", "state"]
    done = fabula("fit", folder / "people.csv", *FAST, *options, "-o", tmp_path / "s.fabula")
    assert done.code == 0, done.err
    assert "90 rows, 5 columns" in done.err
    assert fabula("predict", tmp_path / "s.fabula", folder / "people.csv").code == 0


def test_private_models(fabula: Any, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "p.fabula"
    options = ["--epsilon", 50, "--delta", 1e-5, "--bounds", "height=140..200"]
    options += ["--bounds", "weight=40..120", "--drop", "visits"]
    done = fabula("fit", folder / "people.csv", *FAST, *options, "-o", target)
    assert done.code == 0, done.err
    assert "(50, 1e-05)-differentially private for one row" in done.err
    assert "is not private" in done.err
    notes = describe(target)["metadata"]
    assert not {"rows", "missing_cells", "classes"} & set(notes)
    drawn = fabula("sample", target, "-n", 200).frame
    assert drawn["height"].is_between(140, 200).all()
    assert "differentially private: ε = 50" in fabula("show", target).out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "mixture", "--states", "3"], "latent-tree"),
        (["--model", "mixture", "--passes", "3"], "latent-tree"),
        (["--model", "latent-tree", "-k", "3"], "--states"),
        (["--model", "latent-tree", "--order", "3"], "--order"),
        (["--model", "latent-tree", "--states", "0"], "n_states"),
        (["--model", "mixture", "--epsilon", "1"], "latent-tree"),
        (["--model", "latent-tree", "--delta", "0.1"], "--epsilon"),
        (["--model", "latent-tree", "--epsilon", "1", "--bounds", "city=1..2"], "numbers"),
        (["--model", "latent-tree", "--epsilon", "1", "--bounds", "height=1"], "low..high"),
    ],
)
def test_what_does_not_go_together(
    fabula: Any, folder: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    done = fabula("fit", folder / "people.csv", *options, "-o", tmp_path / "m.fabula")
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_auto_takes_a_tree_where_it_wins(fabula: Any, tmp_path: Path) -> None:
    # Twelve columns in a chain: a mixture needs a component for every path.
    rng = np.random.default_rng(0)
    n, d = 3000, 12
    columns = [rng.integers(0, 5, n)]
    for _ in range(d - 1):
        columns.append(np.where(rng.random(n) < 0.85, columns[-1], rng.integers(0, 5, n)))
    frame = pl.DataFrame({f"c{j}": np.array(list("pqrst"))[c] for j, c in enumerate(columns)})
    frame.write_csv(tmp_path / "chain.csv")
    done = fabula("fit", tmp_path / "chain.csv", "-o", tmp_path / "m.fabula", "--time-budget", 8)
    assert done.code == 0, done.err
    assert done.err.startswith("Chose a latent tree of ")
    assert "components of independent columns: -" in done.err and "one component: -" in done.err
    assert type(load(tmp_path / "m.fabula")).__name__ == "LatentTreeModel"


def test_several_trees(fabula: Any, folder: Path, tmp_path: Path, table: pl.DataFrame) -> None:
    data, file = folder / "people.csv", tmp_path / "trees.fabula"
    done = fabula("fit", data, *FAST, "--trees", 3, "-t", "state", "-o", file)
    assert done.code == 0, done.err
    model = load(file)
    assert (model.n_trees, len(model.story_.trees)) == (3, 3)
    shown = fabula("show", file)
    assert "an average of 3 latent trees; the first has" in shown.out
    assert "which columns hang together in the first tree" in shown.out
    assert fabula("show", file, "--json").json["parameters"]["is"] == "TreeAverage"
    drawn = fabula("sample", file, "-n", 20, "--given", "smoker=yes")
    assert drawn.code == 0 and set(drawn.frame["smoker"]) == {"yes"}
    filled = fabula("impute", file, data)
    assert filled.code == 0 and sum(filled.frame.drop("state").null_count().row(0)) == 0
    for kind in ("tree", "conditional"):
        picture = tmp_path / f"{kind}.png"
        done = fabula("plot", file, data, "--kind", kind, "-o", picture)
        assert done.code == 0, done.err
        assert picture.stat().st_size > 5000


def test_what_does_not_go_with_several_trees(fabula: Any, folder: Path, tmp_path: Path) -> None:
    data, out = folder / "people.csv", tmp_path / "m.fabula"
    for options, message in (
        (["--model", "mixture", "--trees", 2], "--trees is for --model latent-tree"),
        ([*FAST, "--trees", 0], "--trees is 0"),
        (["--model", "latent-tree", "--trees", 2, "--epsilon", 1], "does not go with privacy"),
    ):
        done = fabula("fit", data, *options, "-o", out)
        assert done.code != 0 and message in done.err, done.err
