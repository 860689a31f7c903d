from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fabula import compare

QUICK = ["--models", "naive-bayes,svm", "--folds", 2, "--calibrate", "temperature"]


@pytest.fixture(scope="module")
def expected(folder: Path) -> Any:
    return compare(
        pl.read_csv(folder / "people.csv"),
        "state",
        ["naive_bayes", "svm"],
        cv=2,
        calibrate=["temperature"],
        random_state=0,
    )


def test_the_table_and_the_verdict(fabula: Any, folder: Path, expected: Any) -> None:
    done = fabula("compare", folder / "people.csv", "-t", "state", *QUICK)
    assert (done.code, done.err) == (0, "")
    for model in expected.models:
        line = next(line for line in done.out.splitlines() if line.startswith(model.name + "  "))
        assert f"{model.scores.log_loss.value:.4f}" in line
    for reason in expected.verdict.reasons:
        assert reason.text in done.out


def test_json_and_a_file(fabula: Any, folder: Path, tmp_path: Path, expected: Any) -> None:
    done = fabula("compare", folder / "people.csv", "-t", "state", *QUICK, "--json")
    assert done.err == ""
    assert done.json["verdict"]["chosen"] == expected.verdict.chosen
    target = tmp_path / "scores.csv"
    done = fabula("compare", folder / "people.csv", "-t", "state", *QUICK, "-o", target)
    assert done.out == ""
    assert expected.verdict.reasons[0].text in done.err
    frame = pl.read_csv(target)
    assert frame["model"].to_list() == [model.name for model in expected.models]
    assert frame["log_loss"][0] == pytest.approx(expected.models[0].scores.log_loss.value)


@pytest.mark.slow
def test_curves(fabula: Any, folder: Path, tmp_path: Path) -> None:
    done = fabula(
        "compare", folder / "labelled.csv", "-t", "state", "--models", "lda", "--folds", 2,
        "--calibrate", "none", "--learning-curve", tmp_path / "l.png", "--missing-curve",
        tmp_path / "m.svg",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert (tmp_path / "l.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "m.svg").stat().st_size > 0


def test_groups_stay_together(fabula: Any, folder: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(folder / "people.csv").with_columns(house=pl.int_range(pl.len()) // 3)
    frame.write_csv(tmp_path / "houses.csv")
    options = ["-t", "state", "--groups", "house", *QUICK, "--json"]
    done = fabula("compare", tmp_path / "houses.csv", *options)
    assert done.code == 0, done.err
    labelled = frame.filter(pl.col("state").is_not_null())
    expected = compare(
        frame, "state", ["naive_bayes", "svm"], cv=2, calibrate=["temperature"],
        groups="house", random_state=0,
    )  # fmt: skip
    found = {m["name"]: m["scores"]["log_loss"]["value"] for m in done.json["models"]}
    for model in expected.models:
        assert found[model.name] == pytest.approx(model.scores.log_loss.value, rel=1e-9)
    assert labelled.height == expected.models[0].scores.n


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["people.csv", "-t", "stat"], 2, "Did you mean 'state'?"),
        (["people.csv"], 2, "--target"),
        (["people.csv", "-t", "height"], 3, "measurements"),
        (["people.csv", "-t", "state", "--models", "forest"], 2, "no model 'forest'"),
        (["people.csv", "-t", "state", "--models", "lda"], 2, "No model is left"),
        (["people.csv", "-t", "state", "--calibrate", "magic"], 2, "magic"),
        (["people.csv", "-t", "state", "--folds", "1"], 2, "at least 2"),
        (["people.csv", "-t", "state", "--groups", "house"], 2, "no column 'house'"),
        (["people.csv", "-t", "state", "-o", "scores.xls"], 2, "does not say in which format"),
        (["people.csv", "-t", "state", "--learning-curve", "l.gif"], 2, ".png"),
        (["nobody.csv", "-t", "state"], 2, "no file"),
    ],
)
def test_what_cannot_be_compared(
    fabula: Any,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(folder)
    done = fabula("compare", *arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert "defect" not in done.err
