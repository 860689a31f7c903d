from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fabula import Schema, infer_schema, load
from fabula.cli._models import MODELS


def test_schema(fabula: Any, folder: Path, table: pl.DataFrame, tmp_path: Path) -> None:
    done = fabula("schema", folder / "people.csv")
    assert done.err == ""
    for column in infer_schema(table):
        line = next(line for line in done.out.splitlines() if line.startswith(str(column.name)))
        assert column.kind in line
    as_json = fabula("schema", folder / "people.csv", "--json").out
    assert Schema.from_json(as_json) == infer_schema(table)
    assert fabula("schema", folder / "people.csv", "-o", tmp_path / "s.json").out == ""
    assert (tmp_path / "s.json").read_text() == as_json
    assert fabula("schema", folder / "people.csv", "-o", tmp_path / "s.json").code == 2


def test_schema_with_other_kinds(fabula: Any, folder: Path) -> None:
    done = fabula("schema", folder / "people.csv", "--kind", "visits=continuous", "--json")
    assert Schema.from_json(done.out)["visits"].kind == "continuous"
    assert fabula("schema", folder / "people.csv", "--kind", "visits").code == 2


@pytest.mark.parametrize("name", ["bayes", "lda", "qda", "discriminant", "mixture", "gauss"])
def test_show(fabula: Any, folder: Path, name: str) -> None:
    done = fabula("show", folder / f"{name}.fabula")
    assert (done.code, done.err) == (0, "")
    model = load(folder / f"{name}.fabula")
    assert type(model).__name__ in done.out
    assert f"{model.n_parameters} parameters" in done.out
    for column in model.columns_.names:
        assert f"\n{column} " in done.out


def test_show_says_what_classes_look_like(fabula: Any, folder: Path) -> None:
    model = load(folder / "qda.fabula")
    out = fabula("show", folder / "qda.fabula").out
    spread = model.covariances_[:, 0, 0] ** 0.5
    for mean, sd in zip(model.means_[:, 0], spread, strict=True):
        assert f"{mean:.3g} ± {sd:.3g}" in out


def test_show_json_holds_the_parameters(fabula: Any, folder: Path) -> None:
    shown = fabula("show", folder / "qda.fabula", "--json").json
    model = load(folder / "qda.fabula")
    assert shown["parameters"]["is"] == "Mixture"
    assert shown["parameters"]["family"]["means"] == model.means_.tolist()
    assert shown["metadata"]["target"] == "state"


def test_models(fabula: Any) -> None:
    found = {entry["name"]: entry for entry in fabula("models", "--json").json}
    assert set(found) == set(MODELS)
    assert found["lda"]["data"] == "numbers"
    assert found["naive-bayes"]["data"] == "columns of any kind"
    assert found["mixture"]["answers"]["sample"]
    assert not found["mixture"]["answers"]["decide"]
    assert found["qda"]["answers"]["decide"]
    out = fabula("models").out
    for name, python in MODELS.items():
        assert name in out
        assert python in out


def test_booleans_read_as_in_files_and_dates_as_dates(fabula: Any, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "day": [datetime.date(2026, 1, 1 + k % 20) for k in range(60)],
            "on": [k % 3 == 0 for k in range(60)],
            "good": [k % 2 == 0 for k in range(60)],
        }
    )
    frame.write_csv(tmp_path / "t.csv")
    model = tmp_path / "m.fabula"
    done = fabula("fit", tmp_path / "t.csv", "-t", "good", "--model", "naive-bayes", "-o", model)
    assert "false (30) and true (30)" in done.err
    shown = fabula("show", model).out
    assert "2026-01-1" in shown
    assert " days" in shown
    assert "true 33 %" in shown
    done = fabula("predict", model, tmp_path / "t.csv", "--prior", "true=0.9")
    assert done.frame.columns == ["predicted_good", "p_false", "p_true"]
    given = ["--given", "good=true", "--given", "on=true", "--given", "day=2026-01-03..2026-01-05"]
    drawn = fabula("sample", model, "-n", 20, *given).frame
    assert drawn["good"].all()
    assert drawn["on"].all()
    assert set(drawn["day"]) <= {"2026-01-03", "2026-01-04", "2026-01-05"}
