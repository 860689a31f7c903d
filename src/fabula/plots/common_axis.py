"""Columns of two tables brought onto one axis, as numbers that can be drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.errors import DataError, UsageError
from fabula.plots.style import shorten
from fabula.tables.frames import Cells, as_cells, as_table

__all__ = ["DrawnColumn", "drawn_column", "wanted_columns"]

_MAX_LEVELS = 7
_OTHER = "other"


@dataclass(frozen=True)
class DrawnColumn:
    """One column of both tables, as numbers on a common axis (NaN missing)."""

    name: str
    data: NDArray[np.float64]
    samples: NDArray[np.float64]
    levels: tuple[str, ...] | None
    is_date: bool
    limits: tuple[float, float]


def _names(table: Any) -> tuple[Any, ...]:
    return tuple(table) if isinstance(table, Mapping) else as_table(table).names


def wanted_columns(data: Any, columns: Sequence[Any] | None, max_columns: int) -> list[Any]:
    """Names of the columns to draw, checked against the table."""
    names = _names(data)
    if not names:
        raise DataError("data has no column: there is nothing to draw.")
    if columns is None:
        return list(names[:max_columns])
    chosen = [columns] if isinstance(columns, str) else list(columns)
    for name in chosen:
        if name not in names:
            known = ", ".join(shorten(known) for known in names[:12])
            raise UsageError(f"data has no column {name!r}; it has {known}.")
    if not chosen or len(set(chosen)) < len(chosen):
        raise UsageError("columns must name at least one column, and none of them twice.")
    if len(chosen) > max_columns:
        raise UsageError(
            f"{len(chosen)} columns would give {len(chosen) ** 2} pictures too small to read; "
            f"choose at most {max_columns}, or raise max_columns."
        )
    return chosen


def _cells(table: Any, name: Any, what: str) -> Cells:
    if name not in _names(table):
        raise DataError(f"{what} has no column {name!r}.")
    if isinstance(table, Mapping):
        return as_cells(table[name], name)
    return as_table(table).column(name)


def drawn_column(
    data: Any, samples: Any, name: Any, levels: Sequence[object] | None
) -> DrawnColumn:
    """One column of data and samples; ``levels`` names the codes 0, 1, … where it holds codes."""
    ours = _cells(data, name, "data")
    theirs = None if samples is None else _cells(samples, name, "samples")
    if levels is None and (ours.is_number or ours.is_date):
        values = _numbers(ours)
        drawn = np.empty(0) if theirs is None else _numbers(theirs)
        _check_present(values, drawn, theirs, name)
        return DrawnColumn(
            str(name), values, drawn, None, ours.is_date, _limits(np.concatenate([values, drawn]))
        )
    texts = _texts(ours, levels)
    drawn_texts = [] if theirs is None else _texts(theirs, levels)
    kept = _levels(texts, drawn_texts, levels)
    code = {level: float(k) for k, level in enumerate(kept)}
    rest = code.get(_OTHER, np.nan)

    def codes(found: Iterable[str | None]) -> NDArray[np.float64]:
        return np.array([np.nan if text is None else code.get(text, rest) for text in found])

    values, drawn = codes(texts), codes(drawn_texts)
    _check_present(values, drawn, theirs, name)
    return DrawnColumn(str(name), values, drawn, kept, False, (-0.6, len(kept) - 0.4))


def _numbers(cells: Cells) -> NDArray[np.float64]:
    import polars as pl

    if cells.is_date:
        # matplotlib counts days from 1970, as polars does.
        moments = cells.values.cast(pl.Datetime("us")).dt.timestamp("us").cast(pl.Float64)
        return np.asarray((moments / 86_400e6).to_numpy(), dtype=np.float64)
    if not cells.is_number:
        raise DataError(f"column {cells.name!r} holds numbers in one table and text in the other.")
    values = np.array(cells.values.cast(pl.Float64).to_numpy(), dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def _texts(cells: Cells, levels: Sequence[object] | None) -> list[str | None]:
    found = cells.plain().values.to_list()
    if levels is None:
        return [None if v is None or v != v else str(v).strip() for v in found]
    texts: list[str | None] = []
    for row, v in enumerate(found):
        if v is None or v != v:
            texts.append(None)
        elif not isinstance(v, (int, float)) or v != int(v) or not 0 <= v < len(levels):
            raise DataError(
                f"column {cells.name!r}, row {row + 1} (counted from 1) holds {v!r}; expected a "
                f"code 0 … {len(levels) - 1}, because names of levels were given."
            )
        else:
            texts.append(str(levels[int(v)]))
    return texts


def _levels(
    texts: list[str | None], drawn: list[str | None], levels: Sequence[object] | None
) -> tuple[str, ...]:
    """Levels in the order given, or the most frequent first; the rarest become one."""
    count = Counter(text for text in texts if text is not None)
    for text in drawn:
        if text is not None:
            count.setdefault(text, 0)
    frequent = [level for level, _ in count.most_common()]
    if len(frequent) > _MAX_LEVELS:
        kept = set(frequent[: _MAX_LEVELS - 1])
        ordered = [level for level in frequent if level in kept] + [_OTHER]
    else:
        ordered = frequent
    if levels is not None:
        place = {str(level): k for k, level in enumerate(levels)}
        ordered.sort(key=lambda level: place.get(level, len(place)))
    return tuple(ordered)


def _check_present(
    values: NDArray[np.float64], drawn: NDArray[np.float64], theirs: Cells | None, name: Any
) -> None:
    if not np.isfinite(values).any():
        raise DataError(f"column {name!r} of data has no value in it: there is nothing to draw.")
    if theirs is not None and not np.isfinite(drawn).any():
        raise DataError(f"column {name!r} of samples has no value in it: there is nothing to draw.")


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.nanpercentile(values, [0.1, 99.9])
    room = 0.04 * (high - low) or max(0.5, 0.1 * abs(low))
    return float(low - room), float(high + room)
