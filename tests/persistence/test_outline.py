from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from fabula.core.errors import FileFormatError
from fabula.persistence.codec import pack
from fabula.persistence.outline import outline


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (3, 3),
        (math.inf, math.inf),
        ([np.zeros((2, 3)), [True]], ["float64 (2, 3)", [True]]),
        ((1, "a"), [1, "a"]),
        (frozenset({1}), [1]),
        ({"is": "array"}, {"is": "array"}),
        ({"is": {"is": np.zeros(0)}}, {"is": {"is": "float64 (0,)"}}),
        ({1: (2, np.zeros(1, "i4"))}, [[1, [2, "int32 (1,)"]]]),
        (np.float32(2), 2.0),
        (np.float32("inf"), math.inf),
        (np.str_("a"), "a"),
        (np.datetime64("2020-01-02"), "2020-01-02"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (datetime.timedelta(1, 2, 3), [1, 2, 3]),
        (np.array(["a"]), "text (1,)"),
        (np.array([None, 1]), "objects (2,)"),
        (np.zeros(2, "M8[s]"), "datetime64[s] (2,)"),
        (sparse.csr_array(np.eye(2)), "sparse (2, 2)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_shown_as_what_they_are(value: Any, expected: Any) -> None:
    tree, arrays = pack(value)
    shown, listed = outline(tree)
    assert shown == expected
    assert type(shown) is type(expected)
    assert {entry["name"]: entry["shape"] for entry in listed} == {
        name: list(array.shape) for name, array in arrays.items()
    }


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"is": 3},
        {"is": "a/b"},
        {"is": "a/b", "fields": 3},
        {"is": "dict", "items": []},
        {"is": "float", "value": "many"},
        {"is": "array", "name": "a", "dtype": "float64", "shape": 3},
        {"is": "array", "shape": []},
        {"is": "csr", "shape": [1, 1]},
        {"is": "scalar", "dtype": "datetime64[D]", "value": 10**30},
        {"is": "unheard of"},
    ],
    ids=repr,
)
def test_malformed_trees(tree: Any) -> None:
    with pytest.raises(FileFormatError, match=r"story\.json: a malformed part"):
        outline(tree)


def test_depth_is_limited() -> None:
    tree: Any = 1
    for _ in range(70):
        tree = [tree]
    with pytest.raises(FileFormatError, match=r"^story\.json: nested more than 64 levels deep"):
        outline(tree)
