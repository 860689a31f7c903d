from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fabula import NaiveBayes, load
from fabula.persistence import describe


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "m.fabula"


def test_the_model_is_that_of_python(
    fabula: Any, folder: Path, table: pl.DataFrame, target: Path
) -> None:
    done = fabula(
        "fit", folder / "people.csv", "-t", "state", "--model", "naive-bayes", "-o", target
    )
    assert (done.code, done.out) == (0, "")
    features = table.drop("state")
    ours = NaiveBayes().fit(features, table["state"])
    np.testing.assert_array_equal(
        load(target).predict_proba(features), ours.predict_proba(features)
    )


def test_what_it_says(fabula: Any, folder: Path, table: pl.DataFrame, target: Path) -> None:
    done = fabula(
        "fit", folder / "people.csv", "-t", "state", "--model", "naive-bayes", "-o", target
    )
    assert f"{table.height} rows, 5 columns" in done.err
    assert f"{table['state'].null_count()} rows without a label" in done.err
    assert f"ill ({(table['state'] == 'ill').sum()})" in done.err
    assert f"Wrote {target}" in done.err


def test_json_goes_to_standard_output(
    fabula: Any, folder: Path, table: pl.DataFrame, target: Path
) -> None:
    done = fabula(
        "fit",
        folder / "people.csv",
        "-t",
        "state",
        "--model",
        "naive-bayes",
        "-o",
        target,
        "--json",
    )
    assert done.err == ""
    features = table.drop("state")
    assert done.json["model"] == "NaiveBayes"
    assert done.json["rows"] == table.height
    assert done.json["missing_cells"] == sum(features.null_count().row(0))
    assert done.json["unlabelled"] == table["state"].null_count()
    assert done.json["classes"] == dict(table["state"].drop_nulls().value_counts().iter_rows())
    mean = load(target).score_samples(features).mean()
    assert done.json["mean_log_density"] == pytest.approx(mean, rel=1e-12)


def test_the_file_knows_where_it_comes_from(fabula: Any, folder: Path) -> None:
    notes = describe(folder / "bayes.fabula")["metadata"]
    assert notes["target"] == "state"
    assert notes["data"] == "people.csv"
    assert notes["rows"] == 90


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("bayes", "NaiveBayes"),
        ("lda", "LinearDiscriminantAnalysis"),
        ("qda", "QuadraticDiscriminantAnalysis"),
        ("discriminant", "GenerativeClassifier"),
        ("mixture", "MixtureModel"),
        ("gauss", "GaussianMixture"),
    ],
)
def test_each_model(folder: Path, name: str, model: str) -> None:
    assert type(load(folder / f"{name}.fabula")).__name__ == model


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv", ".parquet"])
def test_each_format_gives_the_same_model(
    fabula: Any, folder: Path, table: pl.DataFrame, tmp_path: Path, target: Path, ending: str
) -> None:
    path = tmp_path / f"people{ending}"
    if ending == ".parquet":
        table.write_parquet(path)
    elif ending == ".csv.gz":
        path.write_bytes(gzip.compress(table.write_csv().encode()))
    else:
        table.write_csv(path, separator="\t" if ending == ".tsv" else ",")
    options = ["-t", "state", "--model", "naive-bayes", "--kind", "visits=count", "-o", target]
    assert fabula("fit", path, *options).code == 0
    features = table.drop("state")
    np.testing.assert_array_equal(
        load(target).score_samples(features),
        load(folder / "bayes.fabula").score_samples(features),
    )


def test_standard_input(fabula: Any, folder: Path, target: Path) -> None:
    content = (folder / "people.csv").read_bytes()
    done = fabula("fit", "-", "-t", "state", "--model", "naive-bayes", "-o", target, stdin=content)
    assert done.code == 0
    assert describe(target)["metadata"]["data"] == "standard input"


def test_how_the_file_is_read(fabula: Any, tmp_path: Path, target: Path) -> None:
    path = tmp_path / "odd.txt"
    rows = "".join(f"{k},5;{'-99' if k == 3 else k}\n" for k in range(20))
    path.write_text("a comment\n" + rows)
    done = fabula(
        "fit", path, "--model", "gaussian-mixture", "-k", 1, "-o", target, "--json", "--delimiter",
        ";", "--decimal", ",", "--no-header", "--skip-lines", 1, "--missing", "-99",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert (done.json["rows"], done.json["columns"], done.json["missing_cells"]) == (20, 2, 1)
    mean = load(target).means_[0]
    assert mean[0] == pytest.approx(np.mean([k + 0.5 for k in range(20)]), rel=1e-6)


def test_kinds_and_columns_left_out(fabula: Any, folder: Path, target: Path) -> None:
    done = fabula(
        "fit", folder / "people.csv", "-t", "state", "--model", "naive-bayes", "-o", target,
        "--kind", "visits=category", "--kind", "height=identifier", "--drop", "weight",
    )  # fmt: skip
    assert done.code == 0, done.err
    kinds = {field.column: field.kind for field in load(target).columns_.fields}
    assert kinds == {"visits": "category", "smoker": "boolean", "city": "category"}


def test_a_schema_that_was_edited(fabula: Any, folder: Path, tmp_path: Path, target: Path) -> None:
    schema = tmp_path / "schema.json"
    assert fabula("schema", folder / "people.csv", "-o", schema).code == 0
    edited = json.loads(schema.read_text())
    for column in edited["columns"]:
        if column["name"] == "city":
            column["levels"] = ["Bonn", "Jena", "Ulm", "Trier"]
    schema.write_text(json.dumps(edited))
    options = ["-t", "state", "--model", "naive-bayes", "-o", target, "--schema", schema]
    assert fabula("fit", folder / "people.csv", *options).code == 0
    assert load(target).encoding_.schema["city"].levels == ("Bonn", "Jena", "Ulm", "Trier")
    schema.write_text('{"columns": [{"name": "city"}]}')
    done = fabula("fit", folder / "people.csv", *options, "--force")
    assert done.code == 3
    assert f"{schema}: A column of the schema has no 'kind'" in done.err


def test_other_parameters(fabula: Any, folder: Path, target: Path) -> None:
    done = fabula(
        "fit", folder / "numbers.csv", "--model", "gaussian-mixture", "-k", 2, "-o", target,
        "--set", "covariance_type=tied", "--set", "n_init=2", "--set", "tol=.01", "--seed", 7,
    )  # fmt: skip
    assert done.code == 0
    model = load(target)
    assert model.tol == 0.01
    assert (model.covariance_type, model.n_init, model.random_state) == ("tied", 2, 7)


def test_the_same_seed_gives_the_same_model(fabula: Any, folder: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(folder / "numbers.csv")
    scores = []
    for k, seed in enumerate((1, 1)):
        path = tmp_path / f"{k}.fabula"
        options = ["--model", "mixture", "-k", 4, "--seed", seed, "-o", path]
        assert fabula("fit", folder / "numbers.csv", *options).code == 0
        scores.append(load(path).score_samples(frame))
    np.testing.assert_array_equal(scores[0], scores[1])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["people.csv", "-t", "stat", "--model", "lda"], 2, "Did you mean 'state'?"),
        (["people.csv", "--model", "lda"], 2, "--target"),
        (["people.csv", "-t", "state", "--model", "mixture"], 2, "mixture-discriminant"),
        (["people.csv", "-t", "height", "--model", "lda"], 3, "measurements"),
        (["people.csv", "-t", "state", "--model", "lda"], 3, "numbers only"),
        (["people.csv", "-t", "state", "--model", "lda", "-k", "2"], 2, "--components is for"),
        (["people.csv", "--model", "mixture", "-k", "0"], 2, "expected 1 or more"),
        (["people.csv", "--model", "mixture", "-k", "500"], 3, "at least as many rows"),
        (["people.csv", "--model", "mixture", "--drop", "colour"], 2, "no column 'colour'"),
        (["people.csv", "--model", "mixture", "--kind", "citi=text"], 2, "Did you mean 'city'?"),
        (["people.csv", "--model", "mixture", "--kind", "city=txt"], 2, "Did you mean 'text'?"),
        (["people.csv", "--model", "mixture", "--set", "n_inits=3"], 2, "Did you mean 'n_init'?"),
        (["people.csv", "--model", "mixture", "--set", "n_init"], 2, "name=value"),
        (["people.csv", "--model", "mixture", "--set", "n_init=no"], 2, "whole number"),
        (["people.csv", "--model", "mixture", "--schema", "no.json"], 2, "cannot be read"),
        (["peeple.csv", "--model", "mixture"], 2, "Did you mean people.csv"),
    ],
)
def test_what_cannot_be_fitted(
    fabula: Any,
    folder: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(folder)
    done = fabula("fit", *arguments, "-o", target)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert "defect" not in done.err
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n3\n", "line 3"),
        ("a,a\n1,2\n", "distinct"),
        ("a,label\n1,x\n2,x\n", "one label only"),
        ("a,label\n1,\n2,\n", "no label"),
        ("a,label\n1,x\n2,y\n3,z\n", "names rows"),
        ("a,label\n1,2026-01-01\n2,2026-01-02\n1,2026-01-01\n2,2026-01-02\n", "dates"),
    ],
)
def test_tables_that_cannot_be_used(
    fabula: Any, tmp_path: Path, target: Path, content: str, said: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    columns = ["-t", "label"] if "label" in content else []
    model = "naive-bayes" if columns else "mixture"
    done = fabula("fit", path, *columns, "--model", model, "-o", target)
    assert (done.code, done.out) == (3, "")
    assert said in done.err


def test_nothing_is_overwritten(fabula: Any, folder: Path, target: Path) -> None:
    target.write_text("mine")
    options = ["-t", "state", "--model", "naive-bayes", "-o", target]
    done = fabula("fit", folder / "people.csv", *options)
    assert done.code == 2
    assert "--force" in done.err
    assert target.read_text() == "mine"
    assert fabula("fit", folder / "people.csv", *options, "--force").code == 0
    assert type(load(target)).__name__ == "NaiveBayes"


def test_a_folder_that_does_not_exist(fabula: Any, folder: Path, tmp_path: Path) -> None:
    done = fabula("fit", folder / "people.csv", "-o", tmp_path / "no" / "m.fabula")
    assert done.code == 2
    assert "create it first" in done.err
    assert fabula("fit", folder / "people.csv", "-o", tmp_path).code == 2


@pytest.mark.data
def test_a_spam_filter(fabula: Any, data_folder: Path, target: Path) -> None:
    path = data_folder / "sms-spam" / "sms.tsv"
    done = fabula("fit", path, "-t", "column_1", "--model", "naive-bayes", "-o", target, "--json")
    assert done.code == 0, done.err
    assert done.json["classes"] == {"ham": 4827, "spam": 747}
    done = fabula("predict", target, path)
    assert "agrees with 9" in done.err
    assert (done.frame["predicted_column_1"] == "spam").sum() > 600
    shown = fabula("show", target).out
    assert "spam: " in shown
    assert "free" in shown


@pytest.mark.parametrize("method", ["temperature", "sigmoid", "isotonic"])
def test_calibrated_models_answer_every_question(
    fabula: Any, folder: Path, target: Path, tmp_path: Path, method: str
) -> None:
    data = folder / "labelled.csv"
    options = ["--model", "lda", "--calibrate", method, "-o", target]
    done = fabula("fit", data, "-t", "state", *options)
    assert done.code == 0, done.err
    assert type(load(target)).__name__ == "Calibrated"
    for command in (
        ["show", target],
        ["predict", target, data, "--costs", "ill:well=5,well:ill=1", "--prior", "estimate"],
        ["sample", target, "--given", "state=ill", "--given", "height=170..", "-n", 3],
        ["score", target, data, "--outliers"],
        ["impute", target, data],
        ["plot", target, data, "--kind", "contributions", "-o", tmp_path / "a.png"],
        ["plot", target, data, "--kind", "densities", "-o", tmp_path / "b.png"],
        ["condition", target, "--given", "height=170", "-o", tmp_path / "c.fabula"],
    ):
        done = fabula(*command)
        assert done.code == 0, done.err
        assert "warning" not in done.err
    assert fabula("fit", data, *options[2:], "--force").code == 2


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ("people.csv", ["-t", "state", "--model", "naive-bayes", "--kind", "visits=count"]),
        ("labelled.csv", ["-t", "state", "--model", "qda"]),
        ("numbers.csv", ["--model", "gaussian-mixture", "-k", "1"]),
    ],
)
def test_block_by_block(
    fabula: Any, folder: Path, target: Path, tmp_path: Path, data: str, options: list[str]
) -> None:
    whole = fabula("fit", folder / data, *options, "-o", tmp_path / "w.fabula", "--json").json
    done = fabula("fit", folder / data, *options, "--stream", "-o", target, "--json")
    assert done.code == 0, done.err
    for name in ("rows", "columns", "missing_cells", "classes", "unlabelled", "n_parameters"):
        assert done.json[name] == whole[name], name
    frame = pl.read_csv(folder / data)
    np.testing.assert_allclose(
        load(target).score_samples(frame),
        load(tmp_path / "w.fabula").score_samples(frame),
        rtol=1e-3,
        atol=1e-3,
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "mixture", "--drop", "city"], "--drop"),
        (["--model", "auto"], "--model"),
        (["-t", "state", "--model", "mixture-discriminant"], "block by block"),
        (["-t", "state", "--model", "lda", "--kind", "city=identifier"], "--kind does not go"),
        (["--model", "mixture", "--decimal", ","], "as it stands"),
    ],
)
def test_what_does_not_go_block_by_block(
    fabula: Any, folder: Path, target: Path, options: list[str], said: str
) -> None:
    done = fabula("fit", folder / "people.csv", *options, "--stream", "-o", target)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize(
    ("data", "options"),
    [("labelled.csv", ["-t", "state"]), ("numbers.csv", []), ("people.csv", ["--drop", "state"])],
)
def test_auto_says_why(
    fabula: Any, folder: Path, target: Path, data: str, options: list[str]
) -> None:
    # A budget that is used up at once leaves the first kind of model.
    done = fabula("fit", folder / data, *options, "-o", target, "--time-budget", 1e-3)
    assert done.code == 0, done.err
    assert done.err.startswith("Chose ")
    assert "Chose " in fabula("show", target).out
    assert fabula("score", target, folder / data).code == 0


def test_auto_goes_by_held_out_rows(fabula: Any, tmp_path: Path, target: Path) -> None:
    rng = np.random.default_rng(0)
    centres = np.arange(300) % 3
    frame = pl.DataFrame({"x": rng.normal(10.0 * centres), "y": rng.normal(10.0 * centres)})
    frame.write_csv(tmp_path / "three.csv")
    done = fabula("fit", tmp_path / "three.csv", "-o", target, "--json")
    assert done.json["components"] == 3
    assert "3 components" in done.json["why"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-k", "3"], "--model"),
        (["--set", "tol=1"], "--model"),
        (["--model", "mixture", "--time-budget", "3"], "auto"),
        (["--time-budget", "-1"], "positive"),
    ],
)
def test_what_does_not_go_with_auto(
    fabula: Any, folder: Path, target: Path, options: list[str], said: str
) -> None:
    done = fabula("fit", folder / "numbers.csv", "-o", target, *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_model_is_not_for_standard_output(fabula: Any, folder: Path) -> None:
    done = fabula("fit", folder / "people.csv", "-o", "-")
    assert (done.code, done.out) == (2, "")
    assert "name of a file" in done.err
