"""A small table with holes, models of it in files, and a way to run a command."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fabula.cli import run

COLUMNS = ["height", "weight", "visits", "smoker", "city"]


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def frame(self) -> pl.DataFrame:
        return pl.read_csv(io.BytesIO(self.out.encode()))

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def fabula(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in this process: ``fabula("fit", path, stdin=b"…")``."""

    def call(*arguments: object, stdin: bytes | None = None) -> Outcome:
        monkeypatch.delenv("FABULA_DEBUG", raising=False)
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(code, captured.out, captured.err)

    return call


def people(n: int = 90, seed: int = 0) -> pl.DataFrame:
    """Two groups that differ in every column; every tenth cell and label is missing."""
    rng = np.random.default_rng(seed)
    ill = np.arange(n) % 3 == 0
    columns = {
        "height": np.round(rng.normal(np.where(ill, 165.0, 178.0), 6.0), 1),
        "weight": np.round(rng.normal(np.where(ill, 92.0, 71.0), 8.0), 1),
        "visits": rng.poisson(np.where(ill, 6.0, 1.5)),
        "smoker": np.where(rng.random(n) < np.where(ill, 0.7, 0.2), "yes", "no"),
        "city": rng.choice(["Bonn", "Jena", "Ulm"], n),
        "state": np.where(ill, "ill", "well"),
    }
    frame = pl.DataFrame({name: values.tolist() for name, values in columns.items()})
    holes = rng.random((n, frame.width)) < 0.1
    return frame.with_columns(
        pl.select(pl.when(pl.Series(~holes[:, j])).then(frame[name]).alias(name)).to_series()
        for j, name in enumerate(frame.columns)
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table as people.csv, and a model of each sort beside it; not to be written to."""
    place = tmp_path_factory.mktemp("cli")
    frame = people()
    frame.write_csv(place / "people.csv")
    numbers = ["height", "weight"]
    frame.select(numbers).write_csv(place / "numbers.csv")
    frame.select(*numbers, "state").write_csv(place / "labelled.csv")
    for name, data, *options in (
        ("bayes", "people", "-t", "state", "--model", "naive-bayes", "--kind", "visits=count"),
        ("lda", "labelled", "-t", "state", "--model", "lda"),
        ("qda", "labelled", "-t", "state", "--model", "qda"),
        ("discriminant", "people", "-t", "state", "--model", "mixture-discriminant"),
        ("mixture", "people", "--drop", "state", "--model", "mixture", "-k", "2"),
        ("gauss", "numbers", "--model", "gaussian-mixture", "-k", "2"),
    ):
        made = ["fit", place / f"{data}.csv", "-o", place / f"{name}.fabula", *options]
        assert run([str(argument) for argument in made]) == 0
    return place


@pytest.fixture(scope="session")
def table(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / "people.csv")
