"""Networks over symbols on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fabula import load

SMALL = ["--model", "autoregressive"]
for setting in ("width=16", "context=16", "batch_size=8", "max_epochs=40", "learning_rate=0.03"):
    SMALL += ["--set", setting]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    (folder / "f.txt").write_text("anna\nhanna\nnana\nbanana\nsusanna\n" * 5)
    (folder / "m.txt").write_text("otto\nbruno\nhugo\nmarko\nronno\n" * 5)
    return folder


def test_classes_are_told_drawn_and_predicted(fabula: Any, words: Path, tmp_path: Path) -> None:
    path = tmp_path / "words.fabula"
    done = fabula("fit", words, *SMALL, "-o", path)
    assert "Classes: f (25) and m (25)" in done.err, done.err
    drawn = fabula("sample", path, "-n", 4, "--given", "class=m", "--top-p", 0.8, "--steps", 8)
    assert [line.split("\t")[0] for line in drawn.out.splitlines()] == ["m"] * 4, drawn.err
    drawn = fabula("sample", path, "-n", 4, "--prefix", "ha", "--temperature", 0, "--steps", 8)
    assert all(line.split("\t")[1].startswith("ha") for line in drawn.out.splitlines())
    told = fabula("predict", path, words / "f.txt").frame
    assert (told["predicted_class"] == "f").mean() > 0.9
    scores = fabula("score", path, words / "f.txt", "--steps").frame
    assert scores["surprise"].min() >= 0
    refused = fabula("sample", path, "--given", "class=x")
    assert refused.code == 2 and "one of f, m" in refused.err


def test_seconds_of_training_and_a_picture_of_them(
    fabula: Any, words: Path, tmp_path: Path
) -> None:
    path, picture = tmp_path / "m.fabula", tmp_path / "losses.png"
    done = fabula("fit", words / "f.txt", *SMALL, "--time-budget", 0.001, "-o", path)
    assert done.code == 0, done.err
    assert load(path).report_.reason == "time is up"
    assert fabula("plot", path, "--kind", "losses", "-o", picture).code == 0
    assert picture.stat().st_size > 2000
    refused = fabula("plot", path, words / "f.txt", "--kind", "pairs", "-o", picture, "--force")
    assert refused.code == 2 and "a model of sequences" in refused.err
    refused = fabula("predict", path, words / "f.txt")
    assert refused.code != 0 and "fitted without classes" in refused.err


def test_options_of_other_models_are_refused(fabula: Any, words: Path, tmp_path: Path) -> None:
    target = tmp_path / "no.fabula"
    refused = fabula("fit", words / "f.txt", *SMALL, "--order", 3, "-o", target)
    assert refused.code == 2 and "--set context" in refused.err
    refused = fabula("fit", words / "f.txt", *SMALL, "--components", 3, "-o", target)
    assert refused.code == 2 and "independent rows" in refused.err
    fabula("fit", words / "f.txt", "--model", "hmm", "-o", target)
    refused = fabula("sample", target, "--top-k", 2)
    assert refused.code == 2 and "autoregressive" in refused.err
