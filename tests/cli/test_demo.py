from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from fabula import load
from fabula.cli import _demo_run
from fabula.cli._demo_table import TARGET, demo_table

FILES = {
    "comparison.csv", "completed.csv", "contributions.png", "costs.png", "densities.png",
    "learning_curves.png", "missing_curves.png", "model.fabula", "pairs.png", "patients.csv",
    "predictions.csv", "regions.png", "reliability.png", "samples.csv", "summary.md",
}  # fmt: skip


def test_the_table_is_that_of_scikit_learn_with_holes() -> None:
    table, source = demo_table(0), load_breast_cancer()
    np.testing.assert_array_equal(table.truth.select(table.measurements), source.data)
    assert ((table.truth[TARGET] == "malignant").to_numpy() == (source.target == 0)).all()
    cells = table.frame.select(table.measurements).to_numpy()
    assert (np.isnan(cells) == table.holes).all()
    np.testing.assert_array_equal(cells[~table.holes], source.data[~table.holes])
    # 17,070 cells: the share has a standard error of 0.3 %.
    assert table.holes.mean() == pytest.approx(0.2, abs=0.01)
    assert table.frame[TARGET].null_count() == 69
    assert demo_table(0).frame.equals(table.frame)
    assert not demo_table(1).frame.equals(table.frame)


def test_only_the_table(fabula: Any, tmp_path: Path) -> None:
    target = tmp_path / "patients.csv"
    done = fabula("demo", "--table", target)
    assert (done.code, done.out, done.err) == (0, "", f"Wrote {target}.\n")
    assert pl.read_csv(target).equals(demo_table(0).frame)
    assert fabula("demo", "--table", target).code == 2


def test_only_the_images(fabula: Any, tmp_path: Path) -> None:
    target = tmp_path / "digits.npz"
    done = fabula("demo", "--images", target)
    assert (done.code, done.out, done.err) == (0, "", f"Wrote {target}.\n")
    with np.load(target) as arrays:
        np.testing.assert_array_equal(arrays["images"], load_digits().images)
        np.testing.assert_array_equal(arrays["labels"], load_digits().target)
    assert fabula("demo", "--images", target).code == 2
    refused = fabula("demo", "--images", tmp_path / "digits.png")
    assert refused.code == 2 and ".npz" in refused.err
    assert [file.name for file in tmp_path.iterdir()] == ["digits.npz"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare fewer models, and vary less, which takes most of the time."""
    monkeypatch.setattr(_demo_run, "_MODELS", ("lda", "svm"))
    monkeypatch.setattr(_demo_run, "_SIZES", (20, 60))
    monkeypatch.setattr(_demo_run, "_SHARES", (0.0, 0.5))
    monkeypatch.setattr(_demo_run, "_REPEATS", 2)


@pytest.mark.usefixtures("small")
def test_the_demo_finds_what_is_true(fabula: Any, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = fabula("demo", "-o", folder)
    assert done.code == 0, done.err
    assert "warning" not in done.err
    assert {file.name for file in folder.iterdir()} == FILES
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    for picture in re.findall(r"\]\((.*?)\)", summary):
        assert (folder / picture).exists()
    _check_tables(folder, done.out)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def _check_tables(folder: Path, said: str) -> None:
    table = demo_table(0)
    predicted = pl.read_csv(folder / "predictions.csv")
    model = load(folder / "model.fabula")
    features = table.frame.drop(TARGET)
    np.testing.assert_allclose(
        predicted["p_malignant"].to_numpy(), model.predict_proba(features)[:, 1], rtol=1e-9
    )
    # A biopsy costs 1 if it was needless, its absence 20 if it was needed.
    decided = predicted["decision"] == "biopsy"
    assert (decided == (predicted["p_malignant"] > 1 / 21)).all()
    undiagnosed = table.frame[TARGET].is_null()
    right = (predicted["p_malignant"] > 0.5) == (table.truth[TARGET] == "malignant")
    assert f"it is\n  right about {right.filter(undiagnosed).sum()}." in said
    completed = pl.read_csv(folder / "completed.csv")
    cells, truth = (f.select(table.measurements).to_numpy() for f in (completed, table.truth))
    assert not np.isnan(cells).any()
    np.testing.assert_array_equal(cells[~table.holes], truth[~table.holes])
    spread = np.nanstd(np.where(table.holes, np.nan, truth), axis=0)
    error = np.sqrt(np.mean(((cells - truth) / spread)[table.holes] ** 2))
    assert f"with an error of {error:.2f} standard" in said
    assert pl.read_csv(folder / "samples.csv").height == 569
    assert "LDA + sigmoid" in pl.read_csv(folder / "comparison.csv")["model"].to_list()


def _instead(folder: Path, seed: int, working: Any) -> str:
    (folder / "summary.md").write_text("all is well")
    return "all is well"


def test_what_is_there_is_kept(
    fabula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_demo_run, "run_demo", _instead)
    (tmp_path / "mine.txt").write_text("mine")
    done = fabula("demo", "-o", tmp_path)
    assert done.code == 2
    assert "--force" in done.err
    assert fabula("demo", "-o", tmp_path / "mine.txt").code == 2
    assert fabula("demo", "-o", tmp_path / "no" / "folder").code == 2
    done = fabula("demo", "-o", tmp_path, "--force")
    assert (done.code, done.out) == (0, "all is well\n")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert (tmp_path / "summary.md").exists()


def test_a_demo_that_is_interrupted_leaves_nothing(
    fabula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(folder: Path, *_: Any) -> str:
        (folder / "half.csv").write_text("half of")
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo_run, "run_demo", stop)
    done = fabula("demo", "-o", tmp_path / "demo")
    assert (done.code, done.out) == (130, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_whole_demo(fabula: Any, tmp_path: Path) -> None:
    done = fabula("demo", "-o", tmp_path / "demo")
    assert done.code == 0, done.err
    assert {file.name for file in (tmp_path / "demo").iterdir()} == FILES
    assert "gradient boosting" in done.out
