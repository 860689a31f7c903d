"""The forms in which sequences are handed in."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.frames import is_frame
from fabula.estimators.sequences.frames import stack_frames
from fabula.estimators.sequences.steps import is_symbolic, read_lengths, stack_arrays

__all__ = ["Raw", "look_at"]


@dataclass(frozen=True)
class Raw:
    """What was handed in, before anything is made of its values."""

    container: str
    offsets: NDArray[np.intp]
    steps: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    parts: tuple[Any, ...] = ()  # symbols of each sequence
    symbolic: bool = False
    flat: bool = False
    integer: bool = False
    frame: Any = None
    lengths: Any = None


def look_at(X: Any, lengths: Any) -> Raw:
    """Which form the sequences have; nothing is encoded yet."""
    if is_frame(X):
        offsets = (
            np.array([0, X.shape[0]]) if lengths is None else read_lengths(lengths, X.shape[0])
        )
        return Raw("frame", offsets, frame=X, lengths=lengths)
    if isinstance(X, str | bytes):
        raise UsageError("X is one text. Hand in a list of texts; a single one is [text].")
    if hasattr(X, "toarray"):
        X = X.toarray()
    if not isinstance(X, np.ndarray | list | tuple) and hasattr(X, "to_numpy"):
        values = X.to_numpy()  # a series: one sequence of numbers, or a list of texts or lists
        X = values if values.dtype.kind in "fiub" else list(values)
    plain = isinstance(X, np.ndarray) and (X.dtype.kind not in "OUS" or X.ndim != 1)
    if plain or (isinstance(X, np.ndarray) and lengths is not None):
        return _raw_array(X, lengths)
    if not isinstance(X, list | tuple | np.ndarray):
        raise UsageError(
            "X must be an array of steps with lengths, a list of sequences, an array (n, T, d) or "
            f"a data frame, not {type(X).__name__}."
        )
    if lengths is not None:
        raise UsageError(
            "lengths goes with one array of all steps; a list of sequences knows its lengths."
        )
    items = list(X)
    if not items:
        raise DataError("The list of sequences is empty: there must be at least one sequence.")
    if all(is_frame(item) for item in items):
        offsets = np.concatenate([[0], np.cumsum([item.shape[0] for item in items])])
        return Raw(
            "frames", offsets.astype(np.intp), frame=stack_frames(items), lengths=np.diff(offsets)
        )
    if is_symbolic(items):
        _refuse_no_sequence(items)
        texts = all(isinstance(item, str) for item in items)
        sizes = [len(item) for item in items]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)
        kind = "texts" if texts else "symbols"
        return Raw(kind, offsets, parts=tuple(items), symbolic=True)
    steps, offsets, flat, integer = stack_arrays(items)
    return Raw("list", offsets, steps, flat=flat, integer=integer)


def _refuse_no_sequence(items: list[Any]) -> None:
    for i, item in enumerate(items):
        if not hasattr(item, "__len__"):
            raise DataError(
                f"Sequence {i + 1} (counting from 1) is {item!r}; expected a text or a list of "
                "symbols. Leave out sequences of which nothing is known."
            )


def _raw_array(X: np.ndarray, lengths: Any) -> Raw:
    if X.dtype.kind in "OUS":
        if X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]
        offsets = np.array([0, len(X)]) if lengths is None else read_lengths(lengths, len(X))
        parts = tuple(X[a:b].tolist() for a, b in pairwise(offsets))
        if X.ndim == 1 and is_symbolic(list(parts)):
            return Raw("array", offsets, parts=parts, symbolic=True)
    if X.dtype.kind == "c":
        raise DataError("The array holds complex numbers: hand in real ones, such as both parts.")
    try:
        steps = X.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise DataError(
            "The array holds text beside numbers, or several columns of text: hand in a data frame."
        ) from None
    integer = X.dtype.kind in "iub"
    if X.ndim == 3:
        if lengths is not None:
            raise UsageError("lengths goes with an array (N, d) of all steps, not with (n, T, d).")
        n, t, d = X.shape
        if not n:
            raise DataError("X holds no sequence: there must be at least one.")
        return Raw("cube", np.arange(n + 1) * t, steps.reshape(n * t, d), integer=integer)
    if X.ndim not in (1, 2):
        raise DataError(
            f"X has {X.ndim} dimensions; expected steps (N, d) with lengths, or sequences (n, T, d)"
            ". Reshape your data."
        )
    offsets = np.array([0, len(X)]) if lengths is None else read_lengths(lengths, len(X))
    flat = X.ndim == 1
    return Raw("array", offsets, steps[:, None] if flat else steps, flat=flat, integer=integer)
