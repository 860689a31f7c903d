from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from fabula.core.errors import FileFormatError
from fabula.persistence.annotations import accepts, check_fields

if TYPE_CHECKING:
    from nowhere import Unresolvable

Floats: TypeAlias = NDArray[np.floating[Any]]


class Named(Protocol):
    name: str


GOOD = [
    (None, None),
    (Any, object()),
    (bool, True),
    (bool, np.True_),
    (int, 3),
    (int, np.int64(3)),
    (float, 3),
    (float, np.float32(3)),
    (str, "a"),
    (str | None, None),
    (Literal["full", "tied"], "tied"),
    (Annotated[int, "count"], 3),
    (Floats, np.zeros(3, np.float32)),
    (NDArray[np.float64], np.zeros(3, np.float32)),
    (NDArray[np.intp], np.zeros(3, np.int32)),
    (NDArray[Any], np.array(["a"])),
    (np.ndarray, np.zeros(3)),
    (Floats | None, None),
    (tuple[int, ...], ()),
    (tuple[int, str], (1, "a")),
    (tuple[Floats, ...], (np.zeros(1), np.zeros(2))),
    (list[str], ["a"]),
    (Sequence[str], ("a",)),
    (dict[str, float], {"a": 1.0}),
    (Mapping[str, Any], {"a": object()}),
    (frozenset[int], frozenset({1})),
    (Callable[[int], int], len),
    (Named, 3),
    (type, int),
    (TypeVar("T"), 3),
    (Counter[str], Counter("aab")),
    (np.ndarray[Any, np.dtype], np.zeros(3)),
]

BAD = [
    (None, 0),
    (bool, 1),
    (int, True),
    (int, 3.0),
    (int, "3"),
    (float, True),
    (float, None),
    (float, np.array(3.0)),
    (str, b"a"),
    (str | None, 3),
    (Literal["full", "tied"], "diag"),
    (Literal[1], True),
    (Annotated[int, "count"], "a"),
    (Floats, np.zeros(3, int)),
    (Floats, [1.0, 2.0]),
    (NDArray[np.float64], np.array(["1.0"])),
    (NDArray[np.intp], np.zeros(3)),
    (NDArray[np.bool_], np.zeros(3, np.int8)),
    (tuple[int, ...], (1, "a")),
    (tuple[int, ...], [1]),
    (tuple[int, str], (1,)),
    (list[str], [1]),
    (Sequence[str], (1,)),
    (dict[str, float], {1: 1.0}),
    (dict[str, float], {"a": "b"}),
    (frozenset[int], frozenset({"a"})),
]


@pytest.mark.parametrize(("annotation", "value"), GOOD)
def test_what_fits(annotation: Any, value: object) -> None:
    assert accepts(annotation, value)


@pytest.mark.parametrize(("annotation", "value"), BAD)
def test_what_does_not(annotation: Any, value: object) -> None:
    assert not accepts(annotation, value)


@dataclasses.dataclass(frozen=True)
class Normal:
    means: Floats
    kind: Literal["full", "tied"] = "full"


@dataclasses.dataclass(frozen=True)
class Unresolved:
    part: Unresolvable


def test_the_message_names_the_field_and_both_types() -> None:
    with pytest.raises(FileFormatError, match=r"'means' holds an array of int64 with shape \(2,\)"):
        check_fields(Normal, {"means": np.arange(2), "kind": "full"})
    with pytest.raises(FileFormatError, match=r"'kind' holds 3, expected .*full"):
        check_fields(Normal, {"means": np.zeros(2), "kind": 3})
    check_fields(Normal, {"means": np.zeros(2), "kind": "tied"})


def test_names_that_only_type_checkers_see_are_left_to_the_constructor() -> None:
    check_fields(Unresolved, {"part": 3})
