"""What may stand in a private model of a table besides noisy counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fabula.core.errors import UsageError
from fabula.tables.schema import Schema

__all__ = ["forget_the_rows", "stated_bounds", "steps_of"]


def stated_bounds(
    model: Any, bounds: Mapping[Any, tuple[Any, Any]] | None
) -> dict[int, tuple[float, float]]:
    """Encoded column → ends, as the caller stated them."""
    out: dict[int, tuple[float, float]] = {}
    for name, ends in (bounds or {}).items():
        model._check_modelled(name)
        place = model.columns_.find(name)[0]
        field = model.columns_.fields[place]
        if field.n_levels:
            raise UsageError(
                f"bounds: {name!r} is of the kind {field.kind}, whose levels have no ends."
            )
        if not isinstance(ends, tuple | list) or len(ends) != 2:
            raise UsageError(f"bounds: {name!r} needs (low, high), not {ends!r}.")
        low, high = (model._end(field, end) for end in ends)
        if not low < high:
            raise UsageError(f"bounds: {name!r} needs (low, high) with low below high, not {ends}.")
        out[place] = low, high
    return out


def steps_of(model: Any) -> list[float]:
    """Distance of neighbouring values of each encoded column; 0 where there is none."""
    schema = None if model.encoding_ is None else model.encoding_.schema
    steps = []
    for field in model.columns_.fields:
        decimals = None
        if schema is not None and field.column in schema.names:
            decimals = schema[field.column].decimals
        if field.precision:
            steps.append(float(field.precision))
        elif field.kind == "count":
            steps.append(1.0)
        else:
            steps.append(0.0 if decimals is None or field.n_levels else 10.0**-decimals)
    return steps


def forget_the_rows(model: Any, bounds: Mapping[int, tuple[float, float]]) -> None:
    """Take out of the encoding what only the rows could have told: ranges, and counts of cells."""
    if model.encoding_ is None:
        return
    ends = {model.columns_.fields[j].column: found for j, found in bounds.items()}
    columns = [
        dataclasses.replace(
            column,
            lower=ends.get(column.name, (None, None))[0],
            upper=ends.get(column.name, (None, None))[1],
            n_missing=None,
            n_distinct=None,
        )
        for column in model.encoding_.schema
    ]
    model.encoding_ = dataclasses.replace(model.encoding_, schema=Schema(tuple(columns)))
