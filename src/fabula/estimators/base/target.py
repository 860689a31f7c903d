"""Labels of rows as codes, -1 where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np

from fabula.core.arrays import Codes
from fabula.core.errors import DataError, UsageError

__all__ = ["read_target"]


def read_target(
    y: Any, n: int, *, unlabelled: Any = -1, classes: Any = None
) -> tuple[np.ndarray, Codes]:
    """Classes in sorted order, and the code of each row's label, -1 where there is none.

    A row has no label where its target is None or NaN, or equals ``unlabelled`` and two or more
    other classes remain, so that labels of -1 and 1 stay two classes.
    """
    from sklearn.utils import column_or_1d
    from sklearn.utils.multiclass import check_classification_targets

    if y is None:
        raise UsageError("requires y to be passed, but the target y is None.")
    if type(y).__module__.startswith("pyarrow"):
        y = np.array(y.to_pylist(), dtype=object)
    values = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y)
    if values.dtype.kind in "US" and isinstance(y, list | tuple):
        # numpy makes strings of what stands beside strings: NaN and -1 would become classes.
        values = np.asarray(y, dtype=object)
    if values.dtype.kind in "Mm":
        raise DataError(
            "The labels in y are dates, of which almost every row may have its own; make them "
            "text if each is meant to be a class."
        )
    values = column_or_1d(values, warn=True)
    if len(values) != n:
        raise DataError(f"X and y have inconsistent numbers of samples: [{n}, {len(values)}].")
    missing = _is_missing(values)
    if values.dtype == object and any(isinstance(value, str) for value in values.tolist()):
        # Beside names of classes, the number -1 can only mean that there is none.
        missing |= np.array(
            [not isinstance(v, str) and v == unlabelled for v in values.tolist()], dtype=bool
        )
    present = values[~missing]
    if present.dtype == object and len(present):
        kinds = {type(value) for value in present.tolist()}
        present = np.array(present.tolist()) if len(kinds) == 1 else present.astype(str)
        if present.dtype.kind == "f" and np.all(present == np.floor(present)):
            present = present.astype(np.int64) if values.dtype == object else present
    if missing.any() and present.dtype.kind == "f" and np.all(present == np.floor(present)):
        present = present.astype(np.int64)
    if len(present) and present.dtype.kind == "f":
        check_classification_targets(present)
    labels, inverse = _distinct(present)
    codes = inverse
    if missing.any():
        codes = np.full(n, -1, dtype=np.intp)
        codes[~missing] = inverse
    if classes is None and len(labels) != 2 and labels.dtype.kind in "if" and unlabelled in labels:
        place = int(np.flatnonzero(labels == unlabelled)[0])
        codes = np.where(codes == place, -1, codes - (codes > place))
        labels = np.delete(labels, place)
    if classes is not None:
        return _recode(labels, codes, np.asarray(classes), unlabelled)
    if len(labels) == 0:
        raise DataError(
            "No row of y has a label (None, NaN and -1 mean unlabelled); give at least one row of "
            "each class, or use MixtureModel, which needs no labels."
        )
    return labels, codes


def _distinct(values: np.ndarray) -> tuple[np.ndarray, Codes]:
    """Sorted distinct values, and the place of each value among them."""
    if values.dtype.kind in "iu" and len(values):
        low, high = int(values.min()), int(values.max())
        if high - low < len(values):
            # Counting is much faster than sorting, and labels are small numbers.
            shifted = values - low
            present = np.flatnonzero(np.bincount(shifted))
            places = np.zeros(high - low + 1, dtype=np.intp)
            places[present] = np.arange(len(present))
            return (present + low).astype(values.dtype), places[shifted]
    labels, inverse = np.unique(values, return_inverse=True)
    return labels, inverse.reshape(-1)


def _recode(
    labels: np.ndarray, codes: Codes, classes: np.ndarray, unlabelled: Any
) -> tuple[np.ndarray, Codes]:
    places = {value: i for i, value in enumerate(classes.tolist())}
    table = np.empty(len(labels) + 1, dtype=np.intp)
    table[-1] = -1
    for i, value in enumerate(labels.tolist()):
        if value in places:
            table[i] = places[value]
        elif value == unlabelled:
            table[i] = -1
        else:
            raise DataError(
                f"y holds the label {value!r}, which is not among the classes {classes.tolist()}."
            )
    return classes, table[codes]


def _is_missing(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values))
    if values.dtype == object:
        return np.array([value is None or value != value for value in values.tolist()], dtype=bool)
    return np.zeros(len(values), dtype=bool)
