"""Files of earlier versions keep loading, and their models keep giving the same answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fabula
from fabula.persistence import load, save

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.fabula"))


def make_golden(
    model: Any,
    name: str,
    rows: NDArray[Any],
    questions: Sequence[str] = ("score_samples",),
    folder: Path = GOLDEN,
) -> Path:
    """Write ``name.fabula`` and ``name.json`` (rows, questions and answers); never replaces one.

    ``questions`` are methods of the model that take rows and return an array of numbers or text.
    """
    rows = np.asarray(rows, dtype=float)
    path, notes = folder / f"{name}.fabula", folder / f"{name}.json"
    answers = {question: np.asarray(getattr(model, question)(rows)) for question in questions}
    record = {
        "fabula": fabula.__version__,
        "rows": np.where(np.isnan(rows), None, rows).tolist(),
        "answers": {question: answer.tolist() for question, answer in answers.items()},
    }
    text = json.dumps(record, allow_nan=False, indent=1)
    with notes.open("x") as stream:
        stream.write(text + "\n")
    save(model, path)
    return path


def check_golden(path: Path) -> None:
    """Load a golden file and compare its answers with those that were recorded."""
    model = load(path)
    record = json.loads(path.with_suffix(".json").read_text())
    rows = np.array(record["rows"], dtype=float)
    assert record["answers"], "a golden file without answers tests nothing"
    for question, expected in record["answers"].items():
        answer = np.asarray(getattr(model, question)(rows))
        assert answer.shape == np.shape(expected), question
        if answer.dtype.kind == "f":
            # Not bit for bit: another BLAS sums in another order.
            np.testing.assert_allclose(answer, expected, rtol=1e-9, atol=1e-12, err_msg=question)
        else:
            assert answer.tolist() == expected, question


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file(path: Path) -> None:
    check_golden(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file_in_a_fresh_process(path: Path) -> None:
    """Nothing but the file says which modules are needed."""
    code = "import sys, fabula; print(type(fabula.load(sys.argv[1])).__name__)"
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_are_golden_files() -> None:
    assert FILES


def test_every_record_has_its_file() -> None:
    assert [path.stem for path in sorted(GOLDEN.glob("*.json"))] == [path.stem for path in FILES]


def test_making_and_checking(estimator: Any, tmp_path: Path) -> None:
    rows = np.array([[0.0, 1.0], [2.5, -1.0]])
    path = make_golden(estimator, "small", rows, folder=tmp_path)
    check_golden(path)
    with pytest.raises(FileExistsError):
        make_golden(estimator, "small", rows, folder=tmp_path)

    notes = path.with_suffix(".json")
    record = json.loads(notes.read_text())
    record["answers"]["score_samples"][1] *= 1 + 1e-6
    notes.write_text(json.dumps(record))
    with pytest.raises(AssertionError, match="score_samples"):
        check_golden(path)


def test_missing_cells_are_recorded(
    estimator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count_missing(self: Any, X: NDArray[Any]) -> NDArray[Any]:
        return np.isnan(X).sum(axis=1)

    monkeypatch.setattr(type(estimator), "count_missing", count_missing, raising=False)
    rows = np.array([[0.0, np.nan], [np.nan, np.nan]])
    path = make_golden(estimator, "holes", rows, ("count_missing",), folder=tmp_path)
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["rows"] == [[0.0, None], [None, None]]
    assert record["answers"] == {"count_missing": [1, 2]}
    check_golden(path)
