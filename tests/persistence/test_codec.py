from __future__ import annotations

import datetime
import enum
import json
import math
import types
from collections import OrderedDict
from typing import Any

import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from fabula.core.errors import FileFormatError, UsageError
from fabula.persistence.codec import pack, unpack
from fabula.persistence.registry import key_of


def through_json(value: object) -> Any:
    tree, arrays = pack(value)
    assert all(array.flags.c_contiguous for array in arrays.values())
    return unpack(json.loads(json.dumps(tree, allow_nan=False)), arrays)


zones = st.none() | st.integers(-1439, 1439).map(
    lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
)
text = st.text(st.characters(exclude_categories=()))  # lone surrogates too
plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | text
    | st.dates()
    | st.datetimes(timezones=zones, allow_imaginary=False)
    | st.times()
    | st.timedeltas()
)
numbers = st.sampled_from(
    ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">f8", ">i4"]
    + ["M8[D]", "M8[ns]", "m8[s]"]
).map(np.dtype)
tables = numbers.flatmap(lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0)))
# numpy itself drops zero characters at the end of a text, so none of these arrays can hold one.
words = st.text(max_size=7).filter(lambda word: not word.endswith("\0"))
texts = arrays_of.arrays("U7", arrays_of.array_shapes(min_dims=0), elements=words)
objects = st.lists(plain).map(lambda items: np.fromiter(items, object, len(items)))
scalars = numbers.filter(lambda dtype: dtype.isnative).flatmap(
    lambda dtype: arrays_of.arrays(dtype, ()).map(lambda array: array[()])
)
keys = st.booleans() | st.integers() | text | st.tuples(st.integers(), text)
values = st.recursive(
    plain | scalars | tables | texts | objects | st.frozensets(st.integers() | text),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(text, inner)
        | st.dictionaries(keys, inner)
    ),
    max_leaves=20,
)


@given(values)
def test_everything_comes_back_as_it_was(same: Any, value: object) -> None:
    assert same(value, through_json(value))


@pytest.mark.parametrize(
    "value",
    [
        -0.0,
        math.inf,
        -math.inf,
        math.nan,
        5e-324,
        1.0,
        1,
        True,
        2**200,
        np.float64(0.1),
        np.float32(-math.inf),
        np.str_("a"),
        np.bool_(True),
        np.datetime64("NaT", "s"),
        np.array(3.0),
        np.zeros((0, 3)),
        np.zeros(0, "U5"),
        np.array(["a", ""], np.dtypes.StringDType()),
        np.array([["a", None], [1, 2.5]], object),
        {"is": "array", "name": "x"},
        {(1, 2): [None]},
        [],
        (),
        {},
        set(),
        frozenset({"b", 1, None}),
    ],
    ids=lambda value: type(value).__name__,  # not repr: sets differ between workers
)
def test_awkward_values(same: Any, value: object) -> None:
    assert same(value, through_json(value))


def test_classes_come_back_through_their_constructors(same: Any, mixture: Any) -> None:
    tree, arrays = pack({"models": [mixture, (mixture.family,)]})
    assert same({"models": [mixture, (mixture.family,)]}, unpack(tree, arrays))
    assert sorted(arrays)[0] == "story[_models_][0].family.counts"


def test_fields_that_are_not_stored_take_their_default(mixture: Any) -> None:
    mixture.family.cache["squares"] = mixture.family.means**2
    tree, arrays = pack(mixture)
    assert not any("cache" in name for name in arrays)
    assert unpack(tree, arrays).family.cache == {}


@pytest.mark.parametrize("order", ["F", "strided", "reversed", "broadcast", "transposed"])
def test_arrays_that_are_not_contiguous_keep_their_values(same: Any, order: str) -> None:
    whole = np.arange(24.0).reshape(4, 6)
    array = {
        "F": np.asfortranarray(whole),
        "strided": whole[::2, 1::2],
        "reversed": whole[:, ::-1],
        "broadcast": np.broadcast_to(whole[:, :1], (4, 6)),
        "transposed": whole.T,
    }[order]
    assert not array.flags.c_contiguous
    assert same(array, through_json(array))


def test_contiguous_arrays_are_not_copied() -> None:
    array = np.arange(6.0).reshape(2, 3)
    _, arrays = pack(array)
    assert np.shares_memory(arrays["story"], array)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "?"])
def test_sparse_arrays(same: Any, dtype: str) -> None:
    dense = np.array([[0, 2, 0], [0, 0, 0], [1, 0, 3]], dtype)
    again = through_json({"counts": sparse.csr_array(dense)})["counts"]
    assert same(sparse.csr_array(dense), again)
    np.testing.assert_array_equal(again.toarray(), dense)


def test_a_read_only_mapping_comes_back_as_a_dict() -> None:
    assert through_json(types.MappingProxyType({"a": 1})) == {"a": 1}


def test_names_of_arrays_stay_apart() -> None:
    value = {"a b": np.zeros(1), "a_b": np.ones(1), "a-b": np.full(1, 2.0), "é": np.full(1, 3.0)}
    tree, arrays = pack(value)
    assert len(arrays) == 4
    assert all(name.isascii() for name in arrays)
    assert [float(v[0]) for v in unpack(tree, arrays).values()] == [0.0, 1.0, 2.0, 3.0]


def test_sets_are_written_in_an_order_of_their_own() -> None:
    words = [f"word {i}" for i in range(100)]
    tree, _ = pack(set(words))
    assert tree["items"] == sorted(words)


class Colour(enum.IntEnum):
    RED = 1


class SubArray(np.ndarray):
    pass


@pytest.mark.parametrize(
    "value",
    [
        object(),
        1j,
        b"bytes",
        Colour.RED,
        OrderedDict(a=1),
        np.complex128(1),
        np.longdouble(1),
        np.zeros(2, complex),
        np.zeros(2, np.longdouble),
        np.zeros(2, "S3"),
        np.zeros(2, "M8[25s]"),
        np.zeros(2, [("a", "f8")]),
        np.zeros(2).view(SubArray),
        np.ma.masked_array([1.0, 2.0], [True, False]),
        np.array([[1, 2], None], object),
        np.array([{"a": 1}], object),
        sparse.csc_array(np.eye(2)),
        sparse.csr_matrix(np.eye(2)),
        2**5000,
        lambda: None,
        int,
        slice(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_stored_is_named_with_its_place(value: object) -> None:
    with pytest.raises(UsageError, match=r"^story\['part'\]\[1\]"):
        pack({"part": [0, value]})


def test_names_in_a_state_are_text(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(estimator), "to_state", lambda self: {1: "a"})
    with pytest.raises(UsageError, match=r"story: to_state returned the name 1"):
        pack(estimator)


def test_what_contains_itself_is_refused() -> None:
    circle: list[Any] = [1]
    circle.append({"again": circle})
    with pytest.raises(UsageError, match=r"story\[1\]\['again'\]: a list contains itself"):
        pack(circle)


def test_the_same_value_twice_is_no_circle(same: Any) -> None:
    part = [np.arange(3)]
    assert same([part, part], through_json([part, part]))


def test_depth_is_limited_alike_both_ways() -> None:
    def nested(levels: int) -> Any:
        value: Any = np.array([1.5, None], object)
        for _ in range(levels):
            value = [value]
        return value

    deepest = through_json(nested(64))
    for _ in range(64):
        (deepest,) = deepest
    assert deepest.tolist() == [1.5, None]
    with pytest.raises(UsageError, match="more than 64 levels"):
        pack(nested(65))
    with pytest.raises(FileFormatError, match="more than 64 levels"):
        unpack(json.loads("[" * 70 + "]" * 70), {})


def test_breadth_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fabula.persistence._pack.MAX_NODES", 1000)
    doubled: Any = [1, 2]
    for _ in range(20):  # a million values in twenty objects
        doubled = [doubled, doubled]
    with pytest.raises(UsageError, match="more than 1,000 separate values"):
        pack(doubled)


def _bank(**fields: Any) -> dict[str, Any]:
    good = {
        "means": {"is": "array", "name": "m", "dtype": "float64", "shape": [2, 1]},
        "counts": {"is": "array", "name": "c", "dtype": "int64", "shape": [2]},
        "names": {"is": "tuple", "items": ["a"]},
        "floor": 0.5,
    }
    return {"is": "test/bank", "fields": {**good, **fields}}


def _arrays(**more: Any) -> dict[str, Any]:
    return {"m": np.zeros((2, 1)), "c": np.zeros(2, np.int64), **more}


def test_the_good_tree_that_the_next_tests_spoil(mixture: Any) -> None:
    bank = unpack(_bank(), _arrays())
    assert key_of(type(bank)) == "test/bank"
    assert bank.means.shape == (2, 1)


M = {"is": "array", "name": "m", "dtype": "float64", "shape": [2, 1]}
CSR = {
    "is": "csr",
    "shape": [2, 3],
    "data": {"is": "array", "name": "d", "dtype": "float64", "shape": [2]},
    "indices": {"is": "array", "name": "i", "dtype": "int32", "shape": [2]},
    "indptr": {"is": "array", "name": "p", "dtype": "int32", "shape": [3]},
}


@pytest.mark.parametrize(
    ("tree", "arrays", "message"),
    [
        ({}, {}, "^story: an object without a text 'is'"),
        ({"is": 3}, {}, "^story: an object without a text 'is'"),
        (
            {"is": "test/nothing", "fields": {}},
            {},
            "^story: 'test/nothing' is unknown.*9.9: update",
        ),
        ({"is": "test/bank"}, {}, "^story: 'test/bank' has the entries"),
        ({"is": "test/bank", "fields": []}, {}, "'fields' is not an object"),
        ({"is": "test/bank", "fields": {}}, {}, "missing fields 'counts', 'floor', 'means'"),
        (_bank(extra=1), _arrays(), r"^story \(test/bank\): unknown fields 'extra'"),
        (_bank(cache={"is": "dict", "items": {}}), _arrays(), "unknown fields 'cache'"),
        (_bank(names=["a"]), _arrays(), "'names' holds a value of type list, expected tuple"),
        (_bank(names={"is": "tuple", "items": [1]}), _arrays(), "'names' holds"),
        (_bank(floor="0.5"), _arrays(), "'floor' holds a value of type str"),
        (_bank(floor=None), _arrays(), "'floor' holds None"),
        (_bank(floor=True), _arrays(), "'floor' holds True"),
        (_bank(names={"is": "tuple", "items": []}), _arrays(), r"ValueError: means needs a column"),
        (_bank(), _arrays(m=np.full((2, 1), np.nan)), r"^story \(test/bank\): .*must be finite"),
        (_bank(), _arrays(m=np.zeros((2, 2))), r"^story.means: .*\[2, 1\].*'m' is.*\[2, 2\]"),
        (_bank(), _arrays(m=np.zeros((2, 1), "f4")), "^story.means: .*float64.*float32"),
        (_bank(), {"m": np.zeros((2, 1))}, "^story.counts: the array 'c' is missing"),
        (_bank(), _arrays(z=np.zeros(1)), "no part of the story uses: z"),
        ([M, M], _arrays(), "^story\\[1\\]: the array 'm' is already used"),
        ({**M, "dtype": "datetime64[ns]"}, _arrays(), "says datetime64"),
        ({**M, "dtype": "O"}, _arrays(), "says O"),
        ({**M, "dtype": []}, _arrays(), "^story"),
        ({**M, "name": []}, _arrays(), "^story"),
        ({"is": "tuple", "items": {}}, {}, "'items' is not a list"),
        ({"is": "tuple", "items": [], "more": 1}, {}, "has the entries"),
        ({"is": "dict", "items": []}, {}, "^story"),
        ({"is": "map", "items": [[1, 2], [1, 3]]}, {}, "the key 1 stands twice"),
        ({"is": "map", "items": [[[], 2]]}, {}, "unhashable"),
        ({"is": "map", "items": [[1, 2, 3]]}, {}, "^story"),
        ({"is": "map", "items": 3}, {}, "^story"),
        ({"is": "set", "items": [1, 1]}, {}, "same item twice"),
        ({"is": "frozenset", "items": [[]]}, {}, "unhashable"),
        ({"is": "float", "value": "1e5"}, {}, "^story"),
        ({"is": "float", "value": []}, {}, "^story"),
        ({"is": "scalar", "dtype": "int8", "value": 300}, {}, "OverflowError"),
        ({"is": "scalar", "dtype": "int8", "value": 1.5}, {}, "not a scalar"),
        ({"is": "scalar", "dtype": "int8", "value": True}, {}, "not a scalar"),
        ({"is": "scalar", "dtype": "bool", "value": 1}, {}, "not a scalar"),
        ({"is": "scalar", "dtype": "O", "value": 1}, {}, "not a scalar"),
        ({"is": "scalar", "dtype": {}, "value": 1}, {}, "^story"),
        ({"is": "scalar", "dtype": "int8", "value": "a"}, {}, "not a scalar"),
        ({"is": "scalar", "dtype": "str", "value": 1}, {}, "not a scalar"),
        ({"is": "scalar", "dtype": "float64", "value": "3"}, {}, "not a scalar"),
        ({"is": "scalar", "dtype": "float64", "value": 3}, {}, "not a scalar"),
        ({"is": "scalar", "dtype": "datetime64[D]", "value": 1.5}, {}, "not a scalar"),
        ({"is": "date", "value": "2020-13-01"}, {}, "month must be in"),
        ({"is": "datetime", "value": 3}, {}, "^story"),
        ({"is": "timedelta", "value": [10**12, 0, 0]}, {}, "OverflowError"),
        ({"is": "strings", "shape": [2], "width": 1, "items": ["ab", "c"]}, {}, "2 characters"),
        ({"is": "strings", "shape": [3], "width": 2, "items": ["ab"]}, {}, "do not fill"),
        ({"is": "strings", "shape": [1], "width": 2, "items": [3]}, {}, "something else"),
        ({"is": "strings", "shape": [-1], "width": 2, "items": ["a"]}, {}, "not a shape"),
        ({"is": "strings", "shape": [1], "width": 2**31, "items": ["a"]}, {}, "text of more than"),
        ({"is": "strings", "shape": [0, 2**70], "width": 1, "items": []}, {}, "^story"),
        ({"is": "strings", "shape": {}, "width": 2, "items": ["a"]}, {}, "not a shape"),
        ({"is": "strings", "shape": [True], "width": 2, "items": ["a"]}, {}, "not a shape"),
        ({"is": "strings", "shape": [1], "width": 2.5, "items": ["a"]}, {}, "fit the width 2.5"),
        ({"is": "objects", "shape": [1], "items": [[1]]}, {}, "array of objects holds"),
        ({"is": "objects", "shape": [1], "items": [M]}, _arrays(), "array of objects holds"),
        ({"is": "objects", "shape": "a", "items": []}, {}, "not a shape"),
    ],
)
def test_spoilt_trees(tree: Any, arrays: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        unpack(tree, arrays, written_by="9.9")


@pytest.mark.parametrize(
    ("indices", "indptr", "shape"),
    [
        ([0, 3], [0, 1, 2], [2, 3]),
        ([0, -1], [0, 1, 2], [2, 3]),
        ([0, 2**30], [0, 1, 2], [2, 3]),
        ([0, 1], [0, 2, 1], [2, 3]),
        ([0, 1], [0, 1, 9], [2, 3]),
        ([0, 1], [1, 1, 2], [2, 3]),
        ([0, 1], [0, -5, 2], [2, 3]),
        ([0, 1], [0, 1, 2], [5, 3]),
        ([0, 1], [0, 1, 2], [2]),
        ([0, 1], [0, 1, 2], [2, -3]),
        ([0.0, 1.0], [0, 1, 2], [2, 3]),
    ],
)
def test_sparse_arrays_that_point_outside_themselves(
    indices: list[int], indptr: list[int], shape: list[int]
) -> None:
    parts = {"d": np.ones(2), "i": np.array(indices), "p": np.array(indptr)}
    tree = {**CSR, "shape": shape}
    for part, name in (("data", "d"), ("indices", "i"), ("indptr", "p")):
        array = parts[name] if parts[name].dtype.kind == "f" else parts[name].astype("i4")
        parts[name] = array
        tree[part] = {**CSR[part], "dtype": array.dtype.name, "shape": list(array.shape)}
    with pytest.raises(FileFormatError, match=r"^story"):
        unpack(tree, parts)
