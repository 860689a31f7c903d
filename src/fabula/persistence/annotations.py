"""Whether what a file holds fits the annotations of the class that is about to be built from it.

Constructors check values (signs, sums, shapes); few check that a name is not a number. This
check is deliberately looser than a type checker: what it does not understand, it accepts, since
the constructor has the last word.
"""

from __future__ import annotations

import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union

import numpy as np

from fabula.core.errors import FileFormatError

__all__ = ["accepts", "check_fields"]


def check_fields(cls: type, state: Mapping[str, Any]) -> None:
    """Compare the fields of a dataclass with its annotations.

    Raises
    ------
    FileFormatError
        A field holds something else than its annotation says.
    """
    try:
        annotations = typing.get_type_hints(cls)
    except NameError:
        # Names imported for type checkers only: not resolvable here, so the constructor decides.
        return
    for name, value in state.items():
        expected = annotations.get(name, Any)
        if not accepts(expected, value):
            raise FileFormatError(f"field {name!r} holds {_describe(value)}, expected {expected}")


def accepts(annotation: Any, value: object) -> bool:
    """Whether ``value`` may stand where ``annotation`` is written; True where in doubt."""
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if annotation is Any:
        return True
    if annotation is None:
        return value is None
    if origin in (Union, types.UnionType):
        return any(accepts(option, value) for option in arguments)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in arguments)
    if origin is typing.Annotated:
        return accepts(arguments[0], value)
    cls = origin if origin is not None else annotation
    if not isinstance(cls, type) or getattr(cls, "_is_protocol", False):
        return True
    number = {bool: (bool, np.bool_), int: numbers.Integral, float: numbers.Real}.get(cls)
    if number is not None:
        mistaken_for_number = isinstance(value, (bool, np.bool_)) and cls is not bool
        return isinstance(value, number) and not mistaken_for_number  # type: ignore[arg-type]
    if not isinstance(value, cls):
        return False
    return _accepts_contents(cls, arguments, value)


def _accepts_contents(cls: type, arguments: tuple[Any, ...], value: Any) -> bool:
    if not arguments:
        return True
    if cls is np.ndarray:
        return len(arguments) < 2 or _accepts_dtype(arguments[1], value.dtype)
    if cls is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return len(value) == len(arguments) and all(map(accepts, arguments, value))
    if issubclass(cls, Mapping) and len(arguments) == 2:
        return all(
            accepts(arguments[0], key) and accepts(arguments[1], item)
            for key, item in value.items()
        )
    if issubclass(cls, (Sequence, set, frozenset)):
        return all(accepts(arguments[0], item) for item in value)
    return True


def _accepts_dtype(annotation: Any, dtype: np.dtype[Any]) -> bool:
    arguments = typing.get_args(annotation)
    if not arguments:
        return True
    scalar = typing.get_origin(arguments[0]) or arguments[0]
    if not (isinstance(scalar, type) and issubclass(scalar, np.generic)):
        return True
    if np.issubdtype(dtype, scalar):
        return True
    # float32 where float64 is written, or int32 for intp, is a question of precision or machine.
    return scalar in np.sctypeDict.values() and np.dtype(scalar).kind == dtype.kind


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} with shape {value.shape}"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    return f"a value of type {type(value).__name__}"
