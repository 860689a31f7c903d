"""Intervals and sets: what a question may fix about a column besides a value."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError

__all__ = ["Interval", "OneOf", "Region", "as_region"]


@dataclass(frozen=True)
class Interval:
    """The values from ``low`` to ``high``, both ends included.

    For a column with a density the ends do not matter; for counts they do.
    """

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high) or self.low > self.high:
            raise UsageError(
                f"The interval from {self.low} to {self.high} holds no value: "
                "the lower end must not be above the upper end."
            )

    def contains(self, values: FloatArray) -> np.ndarray:
        """Whether each value lies in the interval; NaN does not."""
        return np.asarray((values >= self.low) & (values <= self.high))


@dataclass(frozen=True)
class OneOf:
    """A finite set of values (codes, where the column is a category)."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise UsageError("An empty set of values holds nothing to condition on.")
        # A value that stands twice is not twice as probable.
        object.__setattr__(self, "values", tuple(dict.fromkeys(self.values)))

    def contains(self, values: FloatArray) -> np.ndarray:
        """Whether each value is in the set; NaN is not."""
        return np.isin(values, np.asarray(self.values))


Region: TypeAlias = Interval | OneOf


def as_region(value: object) -> Region | float:
    """Read what a caller wrote: a number, ``(low, high)``, a slice, or a set / list of values.

    A tuple of two, with None for an open end, and a slice are intervals; sets, frozensets and
    lists are sets.
    """
    if isinstance(value, Interval | OneOf):
        return value
    if isinstance(value, slice):
        if value.step is not None:
            raise UsageError(f"An interval has no step, but {value!r} does.")
        return Interval(_end(value.start, -math.inf), _end(value.stop, math.inf))
    if isinstance(value, tuple):
        if len(value) != 2:
            raise UsageError(
                f"An interval is a pair (low, high), not {value!r}; write a set as {{a, b, c}}."
            )
        return Interval(_end(value[0], -math.inf), _end(value[1], math.inf))
    if isinstance(value, set | frozenset | list | np.ndarray):
        return OneOf(tuple(sorted(float(item) for item in _items(value))))
    return float(value)  # type: ignore[arg-type]


def _end(value: object, default: float) -> float:
    return default if value is None else float(value)  # type: ignore[arg-type]


def _items(values: Iterable[object]) -> list[float]:
    return [float(value) for value in values]  # type: ignore[arg-type]
