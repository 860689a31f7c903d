from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
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


# ---- damaged


def test_cut_at_every_byte(model_file: Path) -> None:
    data = model_file.read_bytes()
    for end in range(len(data)):
        model_file.write_bytes(data[:end])
        for read in (load, describe):
            with pytest.raises(FileFormatError, match=r"model\.fabula"):
                read(model_file)


def test_every_byte_flipped(same: Same, mixture: Any, model_file: Path) -> None:
    data = model_file.read_bytes()
    with zipfile.ZipFile(model_file) as good:
        contents = sum(info.file_size for info in good.infolist())
    refused = 0
    for place in range(len(data)):
        spoilt = bytearray(data)
        spoilt[place] ^= 0xFF
        model_file.write_bytes(spoilt)
        try:
            assert same(mixture, load(model_file)), place
        except FileFormatError:
            refused += 1
    assert refused >= contents


@pytest.mark.parametrize("member", ["story.json", "arrays.safetensors"])
def test_every_byte_changed_with_true_checksums(
    forge: Forge, model_file: Path, member: str
) -> None:
    """Whoever forges a file gets the checksum right: then nothing worse than a refusal happens."""
    with zipfile.ZipFile(model_file) as good:
        contents = {info.filename: good.read(info) for info in good.infolist()}
    dice = random.Random(3)
    refused = 0
    for place in range(len(contents[member])):
        spoilt = bytearray(contents[member])
        spoilt[place] = dice.choice(b'\x00\xff"{}[]0129-,:eE' + bytes([spoilt[place] ^ 1]))
        forged = forge(*{**contents, member: bytes(spoilt)}.values())
        for read in (load, describe):
            try:
                read(forged)
            except FileFormatError:
                refused += 1
    assert refused > len(contents[member]) / 4


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a tree of JSON."""
    for key in node if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from _places(node[key])


HOSTILE = [
    *(None, True, -1, 10**30, 1e308, "", "\x1b[31m", [], [[]], {}, {"is": "tuple"}, {"is": []}),
    {"is": "float", "value": "nan"},
    {"is": "strings", "shape": [10**9], "width": 10**9, "items": []},
    {"is": "array", "name": "story.log_weights", "dtype": "float64", "shape": [2]},
    {"is": "test/bank", "fields": {}},
    {"is": "estimator/../../os", "fields": {}},
]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_anything_anywhere_in_the_story(forge: Forge, parts: Parts, value: Any) -> None:
    header, arrays = parts
    refused = tried = 0
    for container, key in list(_places(header)):
        before, container[key] = container[key], value
        path = forge(header, arrays)
        for read in (load, describe):
            tried += 1
            try:
                read(path)
            except FileFormatError as error:
                assert str(error).startswith(str(path))
                assert str(error).isprintable()
                assert len(str(error)) < 1500
                refused += 1
        container[key] = before
    assert tried / 4 < refused < tried


def test_removing_anything_from_the_story(forge: Forge, parts: Parts) -> None:
    header, arrays = parts
    free = [header["versions"]]  # notes about the file, none of which has to be there
    for container, key in list(_places(header)):
        if isinstance(container, dict) and container not in free:
            before = dict(container)
            del container[key]
            with pytest.raises(FileFormatError):
                load(forge(header, arrays))
            container.update(before)
            for name in before:  # in the order of before
                container[name] = container.pop(name)
    load(forge(header, arrays))


# ---- story.json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"\xff\xfe{}", "codec can't decode"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"[]", "does not say"),
        (b"3", "does not say"),
        (b"{}", "does not say"),
        (b'{"format": "other"}', "does not say"),
        (b'{"format": NaN}', "NaN is not a JSON number"),
        (b'{"format": -Infinity}', "Infinity is not"),
        (b'{"format": 1e999}', "number 1e999 is too large"),
        (b'{"format": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b'{"format": "fabula", "format": "fabula"}', "names an entry twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"format": "fabula"}', "impossible schema version None"),
        (b'{"format": "fabula", "schema_version": true}', "impossible schema version True"),
        (b'{"format": "fabula", "schema_version": 0}', "impossible schema version 0"),
        (b'{"format": "fabula", "schema_version": 1}', "missing or unknown entries: created, key"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_stories_that_are_none(forge: Forge, text: bytes, message: str) -> None:
    path = forge(text, {})
    for read in (load, describe):
        with pytest.raises(FileFormatError, match=rf"forged\.fabula: story\.json:? .*{message}"):
            read(path)


def test_nested_just_below_what_python_can_parse(forge: Forge, parts: Parts) -> None:
    header, arrays = parts
    text = json.dumps(header).replace("null", "[" * 900 + "]" * 900)
    path = forge(text.encode(), arrays)
    for read in (load, describe):
        with pytest.raises(FileFormatError, match="nested"):
            read(path)


def test_a_newer_version(forge: Forge, parts: Parts) -> None:
    header, arrays = parts
    header.update(schema_version=2, something_new=1)
    header["versions"]["fabula"] = "7.3"
    with pytest.raises(
        FileFormatError, match=r"version 2, written by fabula 7\.3; .*update fabula"
    ):
        load(forge(header, arrays))


def test_an_unknown_class(forge: Forge, parts: Parts) -> None:
    header, arrays = parts
    header["versions"]["fabula"] = "7.3"
    header["story"]["fields"]["family"]["is"] = "family/of_the_future"
    message = r"story\.family: 'family/of_the_future' is unknown.*fabula 7\.3: update fabula"
    with pytest.raises(FileFormatError, match=message):
        load(forge(header, arrays))


@pytest.mark.parametrize(
    "key", ["os/system", "builtins/eval", "posix.system", "fabula.cli/main", "estimator/__class__"]
)
def test_no_key_runs_anything(forge: Forge, parts: Parts, key: str) -> None:
    header, arrays = parts
    header["story"]["fields"]["family"] = {"is": key, "fields": {"command": "touch pwned"}}
    with pytest.raises(FileFormatError, match=r"story\.family: .* is unknown here"):
        load(forge(header, arrays))


def test_the_key_is_that_of_the_story(forge: Forge, parts: Parts) -> None:
    header, arrays = parts
    header["key"] = "test/bank"
    with pytest.raises(FileFormatError, match="the key is 'test/bank', the story another"):
        load(forge(header, arrays))


def test_messages_are_short_and_cannot_steer_the_terminal(forge: Forge, parts: Parts) -> None:
    header, arrays = parts
    header["story"]["fields"]["\x1b[2J\n" + "x" * 10_000] = {"is": 3}
    with pytest.raises(FileFormatError) as caught:
        load(forge(header, arrays))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500


# ---- what the classes refuse


@pytest.mark.parametrize("value", [np.nan, np.inf, 5.0])
def test_weights_that_are_none(forge: Forge, parts: Parts, value: float) -> None:
    header, arrays = parts
    arrays["story.log_weights"] = np.array([0.0, value])
    with pytest.raises(FileFormatError, match=r"story \(test/mixture\): .*weights must sum to 1"):
        load(forge(header, arrays))


def test_values_that_a_nested_class_refuses(forge: Forge, parts: Parts) -> None:
    header, arrays = parts
    arrays["story.family.means"] = np.full((2, 2), np.nan)
    with pytest.raises(FileFormatError, match=r"story\.family \(test/bank\): .*must be finite"):
        load(forge(header, arrays))


def test_a_class_that_stumbles_rather_than_refuses(forge: Forge, parts: Parts) -> None:
    header, arrays = parts
    header["key"] = "test/estimator"
    header["story"] = {
        "is": "test/estimator",
        "fields": {"parameters": 3, "story": header["story"]},
    }
    path = forge(header, arrays)
    with pytest.raises(FileFormatError, match=r"story \(test/estimator\): TypeError"):
        load(path)


# ---- arrays.safetensors


def test_arrays_missing_and_left_over(forge: Forge, parts: Parts) -> None:
    header, arrays = parts
    with pytest.raises(FileFormatError, match="no part of the story uses: spare"):
        load(forge(header, {**arrays, "spare": np.zeros(1)}))
    del arrays["story.family.means"]
    with pytest.raises(FileFormatError, match=r"story\.family\.means: the array .* is missing"):
        load(forge(header, arrays))


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "float16"])
def test_arrays_of_another_dtype(forge: Forge, parts: Parts, dtype: str) -> None:
    header, arrays = parts
    arrays["story.family.means"] = arrays["story.family.means"].astype(dtype)
    message = rf"story\.family\.means: the story says float64 .* is {dtype}"
    with pytest.raises(FileFormatError, match=message):
        load(forge(header, arrays))


def _raw(header: Any, content: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + content


def _entry(dtype: str = "F64", shape: Any = (1,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        _raw({}, length=2**63),
        _raw({}, length=2**64 - 1),
        _raw({}, length=100),
        _raw({}, length=0),
        _raw(b"[]"),
        _raw(b"\xff\xff"),
        _raw(b"[" * 100_000),
        _raw({}, b"trailing"),
        _raw({"a": _entry(shape=[2])}, bytes(8)),
        _raw({"a": _entry(shape=[-1])}, bytes(8)),
        _raw({"a": _entry(shape=[2**62, 2**62])}, bytes(8)),
        _raw({"a": _entry(shape=[2**61])}, bytes(8)),
        _raw({"a": _entry(offsets=[0, 16])}, bytes(8)),
        _raw({"a": _entry(offsets=[8, 0])}, bytes(8)),
        _raw({"a": _entry(offsets=[8, 16])}, bytes(16)),
        _raw({"a": _entry(), "b": _entry()}, bytes(8)),
        _raw({"a": _entry(), "b": _entry(offsets=[4, 12])}, bytes(12)),
        _raw({"a": _entry(), "b": _entry(offsets=[16, 24])}, bytes(24)),
        _raw({"a": _entry(dtype="OBJECT")}, bytes(8)),
        _raw({"a": _entry(dtype="BF16", shape=[4])}, bytes(8)),
        _raw({"a": _entry(dtype="F8_E5M2", shape=[8])}, bytes(8)),
        _raw({"a": _entry(dtype="F4", shape=[16])}, bytes(8)),
        _raw({"a": {"dtype": "F64"}}, bytes(8)),
        _raw({"a": 3}),
        _raw({"__metadata__": {"a": 1}}),
        _raw({"__metadata__": {"format": "pickle"}}),
    ],
    ids=lambda content: repr(content[:80]),
)
def test_tricks_with_the_header_of_the_arrays(forge: Forge, parts: Parts, content: bytes) -> None:
    header, _ = parts
    with pytest.raises(FileFormatError, match=r"forged\.fabula"):
        load(forge(header, content))
