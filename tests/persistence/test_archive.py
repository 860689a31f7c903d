from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fabula
from fabula.core.errors import FileFormatError, UsageError
from fabula.persistence import archive, describe, load, save

Same = Callable[[Any, Any], bool]
Forge = Callable[..., Path]
Parts = tuple[dict[str, Any], dict[str, NDArray[Any]]]


def test_a_story_comes_back(same: Same, mixture: Any, tmp_path: Path) -> None:
    save(mixture, tmp_path / "m.fabula")
    again = load(str(tmp_path / "m.fabula"))
    assert same(mixture, again)
    assert again.family.means.flags.aligned


def test_an_estimator_comes_back(same: Same, estimator: Any, tmp_path: Path) -> None:
    save(estimator, tmp_path / "m.fabula")
    again = load(tmp_path / "m.fabula")
    rows = np.array([[0.0, 1.0], [2.0, -1.0]])
    np.testing.assert_array_equal(again.score_samples(rows), estimator.score_samples(rows))
    assert describe(tmp_path / "m.fabula")["seed"] == 7


@pytest.mark.parametrize(("seed", "kept"), [(np.int64(3), 3), (None, None), (True, None)])
def test_seeds_are_kept(estimator: Any, tmp_path: Path, seed: Any, kept: int | None) -> None:
    estimator.random_state = seed
    save(estimator, tmp_path / "m.fabula")
    assert describe(tmp_path / "m.fabula")["seed"] is kept


def test_saving_leaves_the_model_as_it_was(
    mixture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class_of_bank = type(mixture.family)
    checked = class_of_bank.__post_init__

    def freeze(self: Any) -> None:
        checked(self)
        self.means.flags.writeable = False

    monkeypatch.setattr(class_of_bank, "__post_init__", freeze)
    save(mixture, tmp_path / "m.fabula")
    assert mixture.family.means.flags.writeable


def test_what_could_not_be_loaded_is_not_saved(mixture: Any, tmp_path: Path) -> None:
    mixture.family.means[0, 0] = np.nan
    with pytest.raises(UsageError, match=r"nothing was saved.*story\.family .*must be finite"):
        save(mixture, tmp_path / "m.fabula")
    with pytest.raises(UsageError, match="a dict cannot be saved"):
        save({"a": 1}, tmp_path / "m.fabula")
    assert os.listdir(tmp_path) == []


def test_files_are_replaced_only_by_force(same: Same, mixture: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.fabula"
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists already"):
        save(mixture, path)
    assert path.read_bytes() == b"precious"
    save(mixture, path, force=True)
    assert same(mixture, load(path))


def test_the_same_model_gives_the_same_bytes(
    mixture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("a", "b"):
        save(mixture, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert describe(tmp_path / "a")["created"] == "2023-11-14T22:13:20+00:00"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    monkeypatch.setattr(archive, "_now", lambda: "later")
    save(mixture, tmp_path / "c")
    stories = [zipfile.ZipFile(tmp_path / name).read("story.json") for name in "ac"]
    assert stories[0].replace(b"2023-11-14T22:13:20+00:00", b"later") == stories[1]


def test_an_impossible_epoch(mixture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH is 'yesterday'"):
        save(mixture, tmp_path / "m.fabula")


def test_notes_are_kept(mixture: Any, tmp_path: Path) -> None:
    notes = {"target": "sex", "rows": 12, "bic": -3.5, "columns": ["a", {"b": None}]}
    save(mixture, tmp_path / "m.fabula", metadata=notes)
    assert describe(tmp_path / "m.fabula")["metadata"] == notes


@pytest.mark.parametrize("notes", [{"a": float("nan")}, {"a": object()}, {1: "a"}, {"a": (1,)}])
def test_notes_that_json_would_change(mixture: Any, tmp_path: Path, notes: Any) -> None:
    with pytest.raises(UsageError, match="metadata"):
        save(mixture, tmp_path / "m.fabula", metadata=notes)


def test_describing_says_what_is_in_a_file(model_file: Path) -> None:
    found = describe(model_file)
    assert json.loads(json.dumps(found)) == found
    assert found.pop("bytes") == model_file.stat().st_size
    assert found.pop("created").endswith("+00:00")
    assert found == {
        "schema_version": 1,
        "key": "test/mixture",
        "seed": None,
        "versions": {
            "fabula": fabula.__version__,
            "python": ".".join(map(str, sys.version_info[:3])),
            "numpy": np.__version__,
        },
        "metadata": {},
        "arrays": [
            {"name": "story.log_weights", "dtype": "float64", "shape": [2]},
            {"name": "story.family.means", "dtype": "float64", "shape": [2, 2]},
            {"name": "story.family.counts", "dtype": "int64", "shape": [2]},
        ],
        "story": {
            "is": "test/mixture",
            "fields": {
                "log_weights": "float64 (2,)",
                "family": {
                    "is": "test/bank",
                    "fields": {
                        "means": "float64 (2, 2)",
                        "counts": "int64 (2,)",
                        "names": ["a", "b"],
                        "floor": float("inf"),
                    },
                },
                "groups": None,
            },
        },
    }


def test_describing_needs_to_know_no_class_and_no_arrays(forge: Forge, parts: Parts) -> None:
    header, _ = parts
    header["key"] = header["story"]["is"] = "from/the_future"
    path = forge(header, b"no arrays at all")
    assert describe(path)["story"]["is"] == "from/the_future"
    with pytest.raises(FileFormatError, match=r"forged.fabula: arrays.safetensors cannot be read"):
        load(path)


def test_importing_and_describing_stay_light(model_file: Path) -> None:
    code = (
        "import sys, fabula.persistence as p; p.describe(sys.argv[1]);"
        "heavy = {'safetensors', 'scipy', 'fabula.families', 'fabula.structures', 'sklearn'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(model_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_missing_files_are_the_callers_mistake(tmp_path: Path) -> None:
    for read in (load, describe):
        with pytest.raises(UsageError, match="does not exist"):
            read(tmp_path / "none.fabula")
        with pytest.raises(UsageError, match="is not a file"):
            read(tmp_path)


def test_large_arrays_need_a_word(model_file: Path) -> None:
    with pytest.raises(FileFormatError, match=r"arrays.safetensors has \d+ bytes, over"):
        load(model_file, max_bytes=50)
    assert len(describe(model_file)["arrays"]) == 3


def test_a_story_that_is_too_long(
    mixture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_file: Path
) -> None:
    monkeypatch.setattr(archive, "_MAX_STORY_BYTES", 100)
    with pytest.raises(UsageError, match="over the limit of 100"):
        save(mixture, tmp_path / "m.fabula")
    with pytest.raises(
        FileFormatError, match=r"story.json has [\d,]+ bytes, over the limit of 100"
    ):
        load(model_file)
