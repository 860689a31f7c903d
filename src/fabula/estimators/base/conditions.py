"""Conditions on named columns, as conditions on encoded ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fabula.core.errors import CannotAnswerError, UsageError
from fabula.core.regions import Interval, OneOf, Region
from fabula.estimators.base.columns import Columns
from fabula.tables.encoding import Field, TableEncoding

__all__ = ["ReadsConditions"]


class ReadsConditions:
    """What a fitted model of columns makes of ``{column: value, set or interval}``."""

    encoding_: TableEncoding | None
    columns_: Columns
    story_: Any

    def _given(self, given: Mapping[Any, Any]) -> dict[int, float | Region]:
        """A condition on named columns as one on encoded columns."""
        if not given:
            raise UsageError("A condition needs at least one column: {column: value}.")
        out: dict[int, float | Region] = {}
        for name, value in given.items():
            self._check_modelled(name)
            places = self.columns_.find(name)
            field = self.columns_.fields[places[0]]
            if len(places) > 1 or field.word is not None:
                raise CannotAnswerError(
                    f"condition on {name!r}", type(self).__name__, "it is a column of text"
                )
            out[places[0]] = self._encode_condition(field, value)
        return out

    def _check_modelled(self, name: Any) -> None:
        """Say so where a column is known but has no part in the model."""
        if self.encoding_ is None or name in self.columns_.places:
            return
        if name in self.encoding_.schema:
            kind = self.encoding_.schema[name].kind
            raise UsageError(
                f"Column {name!r} is of the kind {kind} and has no part in the model: nothing can "
                "be asked of it."
            )

    def _encode_condition(self, field: Field, value: Any) -> float | Region:
        if isinstance(value, Interval | OneOf):
            return value
        if isinstance(value, slice):
            value = (value.start, value.stop)
        if isinstance(value, tuple):
            if len(value) != 2:
                raise UsageError(
                    f"The condition on {field.column!r} is a tuple of {len(value)}; an interval is "
                    "(low, high), a set of values is {a, b, c}."
                )
            return self._interval(field, *value)
        if isinstance(value, set | frozenset | list | np.ndarray):
            if not len(value):
                raise UsageError(f"The set of values for {field.column!r} is empty.")
            return OneOf(tuple(sorted(self._code(field, item) for item in value)))
        return self._code(field, value)

    def _interval(self, field: Field, low: Any, high: Any) -> Interval:
        """The interval of values that are written as one between the ends."""
        if field.kind == "category":
            raise UsageError(
                f"Column {field.column!r} is a category, whose levels have no order: give a set "
                "of levels instead of an interval."
            )
        ends = [-np.inf if low is None else self._end(field, low),
                np.inf if high is None else self._end(field, high)]  # fmt: skip
        step = self._rounding(field)
        if step:
            # A continuous story of rounded numbers: all that is rounded into the interval counts.
            inner = np.ceil(ends[0] / step) * step, np.floor(ends[1] / step) * step
            if inner[0] <= inner[1]:
                ends = [inner[0] - 0.5 * step, inner[1] + 0.5 * step]
        return Interval(*ends)

    def _end(self, field: Field, value: Any) -> float:
        if field.kind in ("continuous", "count") and isinstance(value, int | float | np.number):
            return float(value)
        return self._code(field, value)

    def _rounding(self, field: Field) -> float:
        """Distance of the values as they are written, where the story itself does not round."""
        if self.encoding_ is None or field.kind not in ("continuous", "count"):
            return 0.0
        decimals = self.encoding_.schema[field.column].decimals
        story = self.story_
        while hasattr(story, "stories"):
            story = story.stories[0]
        family = getattr(story, "family", None)
        if decimals is None or family is None:
            return 0.0
        part = family.univariate_part(self.columns_.find(field.column)[0])
        return 0.0 if part is not None and getattr(part[0], "discrete", False) else 10.0**-decimals

    def _code(self, field: Field, value: Any) -> float:
        """One cell as the number that stands for it."""
        if self.encoding_ is None:
            try:
                code = float(value)
            except (TypeError, ValueError):
                raise UsageError(
                    f"The condition on column {field.column!r} must be a number, not {value!r}."
                ) from None
        else:
            code = float(np.asarray(self.encoding_.encode_column(field.column, [value]))[0])
            if field.n_levels and not 0 <= code < field.n_levels:
                known = ", ".join(map(str, self.encoding_.schema[field.column].levels[:12]))
                raise UsageError(
                    f"Column {field.column!r} has no level {value!r}; its levels are {known}."
                )
        if np.isnan(code):
            raise UsageError(
                f"The condition on column {field.column!r} is missing; leave the column out to "
                "say nothing about it."
            )
        return code
