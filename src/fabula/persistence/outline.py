"""What a tree holds, for people: plain nested values, with arrays as short text."""

from __future__ import annotations

from typing import Any

import numpy as np

from fabula.core.errors import FileFormatError
from fabula.persistence._format import MAX_DEPTH, Tree, is_time_dtype

__all__ = ["outline"]

_NAMES = {"strings": "text", "objects": "objects", "csr": "sparse"}


def outline(tree: Tree) -> tuple[Any, list[dict[str, Any]]]:
    """Describe a tree without building anything from it.

    Returns
    -------
    tuple
        The tree with every tagged object replaced by what it stands for, storables by
        ``{"is": key, "fields": {...}}``, known or not, and arrays by text such as
        ``"float64 (3, 8)"``; and name, dtype and shape of every array beside the tree.

    Raises
    ------
    FileFormatError
        The tree is not one that packing makes.
    """
    arrays: list[dict[str, Any]] = []
    try:
        return _outline(tree, arrays, 0), arrays
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"story.json: a malformed part: {error!r}") from error


def _outline(node: Tree, arrays: list[dict[str, Any]], depth: int) -> Any:
    if depth > MAX_DEPTH + 2:
        raise FileFormatError(f"story.json: nested more than {MAX_DEPTH} levels deep")
    if isinstance(node, list):
        return [_outline(item, arrays, depth + 1) for item in node]
    if not isinstance(node, dict):
        return node
    tag = node["is"]
    if "/" in tag:
        fields = node["fields"].items()
        return {
            "is": tag,
            "fields": {name: _outline(item, arrays, depth + 1) for name, item in fields},
        }
    if tag == "dict":
        return {key: _outline(item, arrays, depth + 1) for key, item in node["items"].items()}
    if tag == "float":
        return float(node["value"])
    if tag == "scalar" and is_time_dtype(node["dtype"]):
        return str(np.array(node["value"], np.int64).view(node["dtype"]))
    if tag == "array":
        shape = [int(length) for length in node["shape"]]
        name, dtype = str(node["name"]), str(node["dtype"])
        arrays.append({"name": name, "dtype": dtype, "shape": shape})
        return f"{dtype} {tuple(shape)}"
    if tag == "csr":
        for part in ("data", "indices", "indptr"):
            _outline(node[part], arrays, depth + 1)
    if tag in _NAMES:
        return f"{_NAMES[tag]} {tuple(int(length) for length in node['shape'])}"
    return _outline(node["items"] if "items" in node else node["value"], arrays, depth + 1)
