"""From values to the tree: one pass, which refuses what could not be rebuilt exactly."""

from __future__ import annotations

import datetime
import math
import re
import sys
import types
from collections.abc import Iterable
from typing import Any

import numpy as np

from fabula.core.errors import UsageError
from fabula.persistence._format import (
    CLOCKS,
    DTYPES,
    LEAVES,
    MAX_BITS,
    MAX_DEPTH,
    MAX_NODES,
    Arrays,
    Tree,
    is_time_dtype,
)
from fabula.persistence.registry import is_storable, key_of, state_of

__all__ = ["Packer"]


class Packer:
    def __init__(self) -> None:
        self.arrays: Arrays = {}
        self._nodes = 0
        self._open: set[int] = set()

    def value(self, value: Any, path: str, depth: int) -> Tree:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise UsageError(
                f"{path}: more than {MAX_NODES:,} separate values; hold numbers in arrays"
            )
        # Exact types: np.float64 is a float and IntEnum an int, but they are not the same value.
        if value is None or type(value) in (bool, str):
            return value
        if type(value) is int:
            return self._integer(value, path)
        if type(value) is float:
            return value if math.isfinite(value) else {"is": "float", "value": repr(value)}
        if isinstance(value, np.generic):
            return self._scalar(value, path, depth)
        if type(value) in (np.ndarray, np.memmap):
            return self._array(value, path, depth)
        clock = _pack_clock(value, path)
        if clock is not None:
            return clock
        return self._container(value, path, depth)

    def _integer(self, value: int, path: str) -> int:
        if value.bit_length() > MAX_BITS:
            raise UsageError(f"{path}: an integer of more than {MAX_BITS} bits cannot be stored")
        return value

    def _scalar(self, value: np.generic, path: str, depth: int) -> Tree:
        name = value.dtype.name
        if isinstance(value, np.str_):
            return {"is": "scalar", "dtype": "str", "value": str(value)}
        if is_time_dtype(name):
            return {"is": "scalar", "dtype": name, "value": int(value.view(np.int64))}
        if name not in DTYPES:
            raise _unstorable(value, path)
        return {"is": "scalar", "dtype": name, "value": self.value(value.item(), path, depth)}

    def _array(self, array: np.ndarray[Any, Any], path: str, depth: int) -> Tree:
        shape = list(array.shape)
        if array.dtype.kind == "U" or array.dtype == np.dtypes.StringDType():
            width = array.dtype.itemsize // 4 if array.dtype.kind == "U" else None
            items = array.ravel().tolist()
            return {"is": "strings", "shape": shape, "width": width, "items": items}
        if array.dtype.kind == "O":
            elements = [
                self._element(item, f"{path}[{i}]", depth)
                for i, item in enumerate(array.ravel().tolist())
            ]
            return {"is": "objects", "shape": shape, "items": elements}
        name = array.dtype.name
        stored = "int64" if is_time_dtype(name) else name
        if stored not in DTYPES:
            raise _unstorable(array, path)
        # safetensors reads raw memory and scrambles whatever is not C-contiguous and native;
        # np.ascontiguousarray would turn a 0-d array into a 1-d one.
        plain = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C").view(stored)
        reference = {"is": "array", "name": self._name(path), "dtype": name, "shape": shape}
        self.arrays[reference["name"]] = plain
        return reference

    def _element(self, value: Any, path: str, depth: int) -> Tree:
        packed = self.value(value, path, depth + 1)
        if isinstance(packed, list) or (isinstance(packed, dict) and packed["is"] not in LEAVES):
            raise UsageError(f"{path}: an array of objects can hold scalars, text and dates")
        return packed

    def _name(self, path: str) -> str:
        """Name for an array: its path in ASCII (column names can be anything), made unique."""
        base = re.sub(r"[^A-Za-z0-9_.\[\]-]", "_", path)
        name, copy = base, 1
        while name in self.arrays:
            copy += 1
            name = f"{base}~{copy}"
        return name

    def _container(self, value: Any, path: str, depth: int) -> Tree:
        if id(value) in self._open:
            raise UsageError(f"{path}: a {type(value).__name__} contains itself")
        if depth >= MAX_DEPTH:
            raise UsageError(f"{path}: nested more than {MAX_DEPTH} levels deep")
        self._open.add(id(value))
        try:
            return self._contents(value, path, depth + 1)
        finally:
            self._open.discard(id(value))

    def _contents(self, value: Any, path: str, depth: int) -> Tree:
        if is_storable(value):
            return {
                "is": key_of(type(value)),
                "fields": {
                    _text(name, path): self.value(field, f"{path}.{name}", depth)
                    for name, field in state_of(value).items()
                },
            }
        if type(value) is list:
            return self._items(value, path, depth)
        if type(value) is tuple:
            return {"is": "tuple", "items": self._items(value, path, depth)}
        if type(value) in (set, frozenset):
            # The order of a set of strings changes from process to process; files must not.
            items = sorted(value, key=lambda item: (type(item).__name__, repr(item)))
            return {"is": type(value).__name__, "items": self._items(items, path, depth)}
        if type(value) in (dict, types.MappingProxyType):
            if all(type(key) is str for key in value):
                named = {k: self.value(v, f"{path}[{k!r}]", depth) for k, v in value.items()}
                return {"is": "dict", "items": named}
            pairs = [
                [self.value(k, f"{path} key", depth), self.value(v, f"{path}[{k!r}]", depth)]
                for k, v in value.items()
            ]
            return {"is": "map", "items": pairs}
        sparse = sys.modules.get("scipy.sparse")
        if sparse is not None and type(value) is sparse.csr_array and value.ndim == 2:
            parts = {
                name: self._array(getattr(value, name), f"{path}.{name}", depth)
                for name in ("data", "indices", "indptr")
            }
            return {"is": "csr", "shape": list(value.shape), **parts}
        raise _unstorable(value, path)

    def _items(self, items: Iterable[Any], path: str, depth: int) -> list[Tree]:
        return [self.value(item, f"{path}[{i}]", depth) for i, item in enumerate(items)]


def _pack_clock(value: object, path: str) -> Tree | None:
    if type(value) is datetime.timedelta:
        return {"is": "timedelta", "value": [value.days, value.seconds, value.microseconds]}
    for tag, cls in CLOCKS.items():
        if type(value) is cls:
            zone = getattr(value, "tzinfo", None)
            if zone is not None and type(zone) is not datetime.timezone:
                raise UsageError(f"{path}: store times in UTC; the zone {zone} has no fixed offset")
            return {"is": tag, "value": value.isoformat()}
    return None


def _text(name: object, path: str) -> str:
    if type(name) is not str:
        raise UsageError(f"{path}: to_state returned the name {name!r}, which is not text")
    return name


def _unstorable(value: object, path: str) -> UsageError:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, (np.ndarray, np.generic)):
        kind = f"{kind} of dtype {value.dtype}"
    return UsageError(
        f"{path}: {kind} cannot be stored; what can: classes marked with @storable, dict, list, "
        "tuple, set, numbers, text, dates, numpy arrays of these, csr_array"
    )
