"""Files that are cut, damaged or made by an enemy: each is refused, with a message, or harmless."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fabula.core.errors import FileFormatError
from fabula.persistence import describe, load

Same = Callable[[Any, Any], bool]
Forge = Callable[..., Path]
Parts = tuple[dict[str, Any], dict[str, NDArray[Any]]]


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


@pytest.mark.parametrize(
    ("name", "value"), [("seed", True), ("seed", 1.5), ("created", 3), ("versions", [])]
)
def test_entries_of_the_wrong_type(forge: Forge, parts: Parts, name: str, value: Any) -> None:
    header, arrays = parts
    header[name] = value
    with pytest.raises(FileFormatError, match=f"{name!r} has the wrong type"):
        describe(forge(header, arrays))


def test_nested_just_below_what_python_can_parse(forge: Forge, parts: Parts) -> None:
    header, arrays = parts
    for levels in (70, 200, 900):
        text = json.dumps(header).replace("null}", "[" * levels + "]" * levels + "}")
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
