"""From the tree to values. The tree may come from anyone: nothing in it is taken on trust."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fabula.core.errors import FileFormatError
from fabula.persistence._format import (
    CLOCKS,
    DTYPES,
    LEAVES,
    MAX_DEPTH,
    MAX_TEXT_BYTES,
    SPECIAL_FLOATS,
    Arrays,
    Tree,
    is_time_dtype,
)
from fabula.persistence.annotations import check_fields
from fabula.persistence.registry import lookup, rebuild

__all__ = ["Unpacker"]


class Unpacker:
    def __init__(self, arrays: Arrays, written_by: str | None) -> None:
        self.used: set[str] = set()
        self._arrays = arrays
        self._written_by = written_by
        self._readers: dict[str, Callable[[dict[str, Tree], str, int], Any]] = {
            "array": self._array,
            "csr": self._csr,
            "date": self._clock,
            "datetime": self._clock,
            "dict": self._dict,
            "float": self._float,
            "frozenset": self._set,
            "map": self._map,
            "objects": self._objects,
            "scalar": self._scalar,
            "set": self._set,
            "strings": self._strings,
            "time": self._clock,
            "timedelta": self._duration,
            "tuple": self._tuple,
        }

    def value(self, node: Tree, path: str, depth: int) -> Any:
        # Two more than packing goes: the parts of a leaf count here, and not there.
        if depth > MAX_DEPTH + 2:
            raise FileFormatError(f"{path}: nested more than {MAX_DEPTH} levels deep")
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        if isinstance(node, list):
            return self._items(node, path, depth + 1)
        tag = node.get("is") if isinstance(node, dict) else None
        if not isinstance(tag, str):
            raise FileFormatError(f"{path}: an object without a text 'is'")
        reader = self._readers.get(tag)
        try:
            if reader is not None:
                return reader(node, path, depth + 1)
            return self._storable(tag, node, path, depth + 1)
        except FileFormatError:
            raise
        except Exception as error:
            # Constructors and numpy meet whatever the file holds: any complaint is about the file.
            raise FileFormatError(f"{path} ({tag}): {type(error).__name__}: {error}") from error

    def _storable(self, key: str, node: dict[str, Tree], path: str, depth: int) -> Any:
        (fields,) = _entries(node, path, "fields")
        try:
            cls = lookup(key, written_by=self._written_by)
        except FileFormatError as error:
            raise FileFormatError(f"{path}: {error}") from error
        if not isinstance(fields, dict):
            raise FileFormatError(f"{path} ({key}): 'fields' is not an object")
        state = {name: self.value(field, f"{path}.{name}", depth) for name, field in fields.items()}
        try:
            if not hasattr(cls, "from_state"):
                # A class that takes its own state apart also checks it.
                check_fields(cls, state)
            return rebuild(cls, state)
        except FileFormatError as error:
            raise FileFormatError(f"{path} ({key}): {error}") from error

    def _items(self, items: Tree, path: str, depth: int) -> list[Any]:
        if not isinstance(items, list):
            raise FileFormatError(f"{path}: 'items' is not a list")
        return [self.value(item, f"{path}[{i}]", depth) for i, item in enumerate(items)]

    def _tuple(self, node: dict[str, Tree], path: str, depth: int) -> tuple[Any, ...]:
        (items,) = _entries(node, path, "items")
        return tuple(self._items(items, path, depth))

    def _set(self, node: dict[str, Tree], path: str, depth: int) -> set[Any] | frozenset[Any]:
        (items,) = _entries(node, path, "items")
        values = self._items(items, path, depth)
        result = set(values)
        if len(result) != len(values):
            raise FileFormatError(f"{path}: a set with the same item twice")
        return result if node["is"] == "set" else frozenset(result)

    def _dict(self, node: dict[str, Tree], path: str, depth: int) -> dict[str, Any]:
        (items,) = _entries(node, path, "items")
        return {key: self.value(item, f"{path}[{key!r}]", depth) for key, item in items.items()}

    def _map(self, node: dict[str, Tree], path: str, depth: int) -> dict[Any, Any]:
        (pairs,) = _entries(node, path, "items")
        result: dict[Any, Any] = {}
        for packed_key, packed_item in pairs:
            key = self.value(packed_key, f"{path} key", depth)
            if key in result:
                raise FileFormatError(f"{path}: the key {key!r} stands twice")
            result[key] = self.value(packed_item, f"{path}[{key!r}]", depth)
        return result

    def _float(self, node: dict[str, Tree], path: str, depth: int) -> float:
        (value,) = _entries(node, path, "value")
        return SPECIAL_FLOATS[value]

    def _scalar(self, node: dict[str, Tree], path: str, depth: int) -> Any:
        dtype, packed = _entries(node, path, "dtype", "value")
        value = self.value(packed, path, depth)
        if dtype == "str" and isinstance(value, str):
            return np.str_(value)
        if dtype == "bool" and isinstance(value, bool):
            return np.bool_(value)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if is_time_dtype(dtype) and whole:
            return np.array(value, np.int64).view(dtype)[()]
        if dtype in DTYPES and dtype != "bool":
            if np.dtype(dtype).kind == "f" and isinstance(value, float):
                return np.dtype(dtype).type(value)
            if np.dtype(dtype).kind in "iu" and whole:
                return np.dtype(dtype).type(value)
        raise FileFormatError(f"{path}: {value!r} is not a scalar of dtype {dtype!r}")

    def _array(self, node: dict[str, Tree], path: str, depth: int) -> Any:
        name, dtype, shape = _entries(node, path, "name", "dtype", "shape")
        if name not in self._arrays:
            raise FileFormatError(f"{path}: the array {name!r} is missing")
        if name in self.used:
            raise FileFormatError(f"{path}: the array {name!r} is already used elsewhere")
        self.used.add(name)
        array = self._arrays[name]
        stored = "int64" if is_time_dtype(dtype) else dtype
        if array.dtype.name != stored or list(array.shape) != shape:
            raise FileFormatError(
                f"{path}: the story says {dtype} with shape {shape}, but the array {name!r} is "
                f"{array.dtype.name} with shape {list(array.shape)}"
            )
        return array.view(dtype)

    def _strings(self, node: dict[str, Tree], path: str, depth: int) -> Any:
        shape, width, items = _entries(node, path, "shape", "width", "items")
        longest = max((len(item) for item in items if isinstance(item, str)), default=0)
        if not all(isinstance(item, str) for item in items):
            raise FileFormatError(f"{path}: an array of text with something else in it")
        if width is None:
            return _shaped(items, np.dtypes.StringDType(), shape, path)
        if type(width) is not int or width < longest:
            raise FileFormatError(f"{path}: {longest} characters do not fit the width {width!r}")
        if 4 * width * max(1, len(items)) > MAX_TEXT_BYTES:
            raise FileFormatError(f"{path}: text of more than {MAX_TEXT_BYTES:,} bytes")
        return _shaped(items, np.dtype(f"=U{width}"), shape, path)

    def _objects(self, node: dict[str, Tree], path: str, depth: int) -> Any:
        shape, items = _entries(node, path, "shape", "items")
        for item in items:
            if isinstance(item, list) or (isinstance(item, dict) and item.get("is") not in LEAVES):
                raise FileFormatError(f"{path}: an array of objects holds scalars, text and dates")
        return _shaped(self._items(items, path, depth), np.dtype(object), shape, path)

    def _csr(self, node: dict[str, Tree], path: str, depth: int) -> Any:
        from scipy import sparse

        shape, *packed = _entries(node, path, "shape", "data", "indices", "indptr")
        names = ("data", "indices", "indptr")
        parts = [self.value(p, f"{path}.{n}", depth) for n, p in zip(names, packed, strict=True)]
        for part, kinds in zip(parts, ("biuf", "i", "i"), strict=True):
            if not (isinstance(part, np.ndarray) and part.ndim == 1 and part.dtype.kind in kinds):
                raise FileFormatError(f"{path}: its parts are not what a sparse array is made of")
        rows, columns = _checked_shape(shape, path)
        matrix = sparse.csr_array(tuple(parts), shape=(rows, columns))
        # Indices out of range would have compiled code read, or write, outside its arrays.
        matrix.check_format(full_check=True)
        return matrix

    def _clock(self, node: dict[str, Tree], path: str, depth: int) -> Any:
        (value,) = _entries(node, path, "value")
        return CLOCKS[node["is"]].fromisoformat(value)

    def _duration(self, node: dict[str, Tree], path: str, depth: int) -> datetime.timedelta:
        (value,) = _entries(node, path, "value")
        days, seconds, microseconds = value
        return datetime.timedelta(days, seconds, microseconds)


def _entries(node: dict[str, Tree], path: str, *names: str) -> list[Tree]:
    """Values of exactly these entries beside ``"is"``."""
    if set(node) != {"is", *names}:
        raise FileFormatError(
            f"{path}: {node['is']!r} has the entries {sorted(node)}, expected {['is', *names]}"
        )
    return [node[name] for name in names]


def _shaped(items: list[Any], dtype: np.dtype[Any], shape: Tree, path: str) -> Any:
    if math.prod(_checked_shape(shape, path)) != len(items):
        raise FileFormatError(f"{path}: {len(items)} items do not fill the shape {shape}")
    # One by one: np.array(items, object) would make a table of items that are sequences.
    flat = np.empty(len(items), dtype)
    flat[:] = items
    return flat.reshape(shape)


def _checked_shape(shape: Tree, path: str) -> list[int]:
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise FileFormatError(f"{path}: {shape!r} is not a shape")
    return shape
