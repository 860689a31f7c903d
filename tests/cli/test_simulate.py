from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fabula import load


def test_samples_have_the_form_of_the_table(fabula: Any, folder: Path, table: pl.DataFrame) -> None:
    done = fabula("sample", folder / "bayes.fabula", "-n", 200)
    assert done.err == ""
    assert done.frame.columns == table.columns
    assert done.frame.schema == table.schema
    assert done.frame.height == 200
    assert done.frame["height"].is_between(table["height"].min(), table["height"].max()).all()
    assert set(done.frame["city"]) == {"Bonn", "Jena", "Ulm"}


def test_the_seed_decides(fabula: Any, folder: Path) -> None:
    command = ["sample", folder / "bayes.fabula", "-n", 5]
    first = fabula(*command, "--seed", 1).out
    assert first == fabula(*command, "--seed", 1).out
    assert first != fabula(*command, "--seed", 2).out


def test_samples_under_conditions(fabula: Any, folder: Path) -> None:
    done = fabula(
        "sample", folder / "bayes.fabula", "-n", 300, "--given", "height=165..170", "--given",
        "city=Bonn|Ulm", "--given", "visits=3..", "--given", "smoker=yes", "--given", "state=ill",
    )  # fmt: skip
    frame = done.frame
    assert frame.height == 300
    assert frame["height"].is_between(165, 170).all()
    assert set(frame["city"]) == {"Bonn", "Ulm"}
    assert frame["visits"].min() >= 3
    assert set(frame["smoker"]) == {"yes"}
    assert set(frame["state"]) == {"ill"}


def test_conditions_on_a_dense_model_tell_what_the_rows_are_worth(
    fabula: Any, folder: Path
) -> None:
    done = fabula(
        "sample", folder / "qda.fabula", "-n", 500, "--given", "height=186..", "--given",
        "weight=95..",
    )  # fmt: skip
    assert done.code == 0
    assert (done.frame["height"] >= 186).all()
    assert (done.frame["weight"] >= 95).all()


def test_components(fabula: Any, folder: Path) -> None:
    plain = fabula("sample", folder / "mixture.fabula", "-n", 50)
    assert "component" not in plain.frame.columns
    told = fabula("sample", folder / "mixture.fabula", "-n", 50, "--components")
    assert set(told.frame["component"]) == {0, 1}


def test_condition_writes_the_model_of_the_rest(
    fabula: Any, folder: Path, table: pl.DataFrame, tmp_path: Path
) -> None:
    target = tmp_path / "tall.fabula"
    done = fabula(
        "condition", folder / "bayes.fabula", "--given", "height=180", "--given", "city=Bonn|Ulm",
        "-o", target,
    )  # fmt: skip
    assert (done.code, done.out) == (0, "")
    model = load(folder / "bayes.fabula")
    expected = model.condition({"height": 180.0, "city": ["Bonn", "Ulm"]})
    rest = table.drop("height", "city")
    np.testing.assert_allclose(
        load(target).predict_proba(rest), expected.predict_proba(rest), rtol=1e-12
    )
    assert f"{expected.log_condition_:.6g} nats" in done.err
    shown = fabula("show", target).out
    assert "given height=180 and city=Bonn|Ulm" in shown


def test_condition_on_the_class(fabula: Any, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "ill.fabula"
    options = ["--given", "state=ill", "--given", "height=170", "-o", target, "--json"]
    done = fabula("condition", folder / "bayes.fabula", *options)
    model = load(folder / "bayes.fabula")
    # p(ill, height) = p(ill | height) p(height)
    row = pl.DataFrame({"height": [170.0]})
    marginal = model.marginal(["height"])
    expected = np.log(marginal.predict_proba(row)[0, 0]) + marginal.score_samples(row)[0]
    assert done.json["log_probability"] == pytest.approx(expected, rel=1e-9)
    assert load(target).class_prior_.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["sample", "bayes.fabula", "-n", "0"], 2, "1 or more"),
        (["sample", "bayes.fabula", "--given", "hight=3"], 2, "Did you mean 'height'"),
        (["sample", "bayes.fabula", "--given", "city=Bon"], 2, "Did you mean 'Bonn'?"),
        (["sample", "bayes.fabula", "--given", "height=3..1"], 2, "lower end"),
        (["sample", "qda.fabula", "--given", "height=170|180"], 1, "NaiveBayes"),
        (["sample", "bayes.fabula", "-o", "people.csv"], 2, "--force"),
        (["condition", "bayes.fabula", "-o", "new.fabula"], 2, "--given"),
        (["condition", "bayes.fabula", "--given", "height=1", "-o", "lda.fabula"], 2, "--force"),
        (
            ["condition", "gauss.fabula", "--given", "height=170", "--given", "weight=80",
             "-o", "new.fabula"], 1, "no column is left",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn(
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
    assert not (folder / "new.fabula").exists()
