"""What is told of whole sequences beside their symbols: a class, or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.frames import is_frame
from fabula.persistence.registry import storable

__all__ = ["ConditionForm"]


@storable("estimator/condition_form")
@dataclass(frozen=True)
class ConditionForm:
    """How a condition was told, and how it becomes numbers.

    Parameters
    ----------
    kind : {"class", "numbers"}
    labels : tuple
        The classes.
    means, scales : tuple of float
        Of the numbers, in the data of the fit.
    """

    kind: Literal["class", "numbers"]
    labels: tuple[Any, ...] = ()
    means: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("class", "numbers") or len(self.means) != len(self.scales):
            raise DataError("this is no form of a condition")

    @classmethod
    def learned(cls, values: Any, n: int) -> ConditionForm:
        """The form of the condition of ``n`` sequences: floats are numbers, all else classes.

        Raises
        ------
        UsageError, DataError
            There is not one for each sequence, or one is missing.
        """
        told = _listed(values)
        if len(told) != n:
            raise UsageError(
                f"condition must say something of each of the {n} sequences, but has {len(told)} "
                "entries."
            )
        _refuse_missing(told)
        if told.ndim == 1 and told.dtype.kind != "f":
            return cls("class", tuple(_sorted(told.tolist())))
        numbers = _numbers(told, n)
        scales = numbers.std(axis=0)
        return cls(
            "numbers",
            means=tuple(numbers.mean(axis=0).tolist()),
            scales=tuple(np.where(scales > 0, scales, 1.0).tolist()),
        )

    @property
    def width(self) -> int:
        """How many numbers the network is told."""
        return len(self.labels) if self.kind == "class" else len(self.means)

    def encode(self, values: Any, n: int) -> FloatArray:
        """What the network is told of ``n`` sequences (n, c); one value goes for all of them.

        Raises
        ------
        UsageError, DataError
            There is no such class, or there are too few values, or one is missing.
        """
        if self.kind == "class":
            one = isinstance(values, str) or not hasattr(values, "__len__")
            told = _listed([values] * n if one else values)
            if told.ndim != 1 or len(told) != n:
                raise UsageError(
                    f"condition must be one class or a list of {n}, one for each sequence."
                )
            return np.asarray(np.eye(len(self.labels))[[self._code(v) for v in told.tolist()]])
        numbers = np.asarray(values, dtype=object) if is_frame(values) else _listed(values)
        d = len(self.means)
        if numbers.ndim == 0 or (numbers.ndim == 1 and len(numbers) == d and d > 1):
            numbers = np.broadcast_to(numbers.reshape(1, -1), (n, numbers.size))
        numbers = _numbers(numbers, n)
        if numbers.shape != (n, d):
            raise UsageError(
                f"condition must be {d} number{'s' * (d > 1)} for all sequences, or for each of "
                f"the {n}; its shape is {np.shape(values)}."
            )
        _refuse_missing(numbers)
        return np.asarray((numbers - np.array(self.means)) / np.array(self.scales))

    def _code(self, label: Any) -> int:
        for code, known in enumerate(self.labels):
            if known == label:
                return code
        raise UsageError(
            f"There is no class {label!r}; condition can be {', '.join(map(repr, self.labels))}."
        )


def _listed(values: Any) -> np.ndarray:
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    array = np.asarray(values)
    if array.dtype.kind in "US" or (array.dtype.kind == "O" and isinstance(values, Sequence)):
        array = np.array(values, dtype=object)
    if array.dtype.kind == "O" and all(isinstance(v, float | np.floating) for v in array.flat):
        array = array.astype(np.float64)
    return array


def _numbers(told: np.ndarray, n: int) -> FloatArray:
    try:
        numbers = np.asarray(told, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(
            "condition must be a list of classes, or numbers (n,) or (n, d); this is neither."
        ) from None
    return numbers.reshape(len(numbers), -1) if numbers.ndim else np.full((n, 1), float(numbers))


def _refuse_missing(told: np.ndarray) -> None:
    for i, row in enumerate(told if told.ndim > 1 else told[:, None]):
        for value in row:
            number = isinstance(value, float | np.floating)
            if value is None or (number and not np.isfinite(value)):
                raise DataError(
                    f"The condition of sequence {i + 1} (counting from 1) is {value}: leave out "
                    "sequences of which it is not known."
                )


def _sorted(labels: list[Any]) -> list[Any]:
    distinct = list(dict.fromkeys(labels))
    try:
        return sorted(distinct)
    except TypeError:
        return distinct
