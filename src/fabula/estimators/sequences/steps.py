"""Steps of many sequences in one array: numbers as they are, symbols as codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import DataError, UsageError

__all__ = [
    "encode_symbols",
    "first_infinity",
    "is_missing",
    "is_symbolic",
    "read_lengths",
    "stack_arrays",
    "symbols_of",
]


def read_lengths(lengths: Any, n_steps: int) -> NDArray[np.intp]:
    """Offsets (n + 1,) of sequences of the given lengths, which must add up to ``n_steps``."""
    try:
        values = np.asarray(lengths, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"lengths must be whole numbers, not {lengths!r}.") from None
    if values.ndim != 1 or not len(values):
        raise UsageError("lengths must be a list with one number of steps for each sequence.")
    wrong = np.flatnonzero(~(values >= 0) | (values != np.floor(values)))
    if len(wrong):
        raise DataError(
            f"lengths must be whole numbers that are not negative, but that of sequence "
            f"{wrong[0] + 1} (counting from 1) is {values[wrong[0]]:g}."
        )
    total = int(values.sum())
    if total != n_steps:
        raise DataError(
            f"lengths add up to {total:,} steps, but X has {n_steps:,} rows: they must be equal."
        )
    return np.concatenate([[0], np.cumsum(values)]).astype(np.intp)


def is_symbolic(items: Sequence[Any]) -> bool:
    """Whether the steps are symbols: texts, or lists that hold text."""
    for item in items:
        if isinstance(item, str):
            return True
        if isinstance(item, np.ndarray):
            if item.dtype.kind in "US":
                return True
            if item.dtype.kind != "O":
                continue
        if hasattr(item, "__iter__"):
            if any(isinstance(step, str) for step in item):
                return True
        elif item is not None:
            return False
    return False


def stack_arrays(
    items: Sequence[Any],
) -> tuple[FloatArray, NDArray[np.intp], bool, bool]:
    """Stacked steps (N, d), offsets, whether steps are bare numbers, and whether all are whole."""
    parts, integer = [], True
    for i, item in enumerate(items):
        if item is None:
            raise DataError(
                f"Sequence {i + 1} (counting from 1) is missing: one of which nothing is known "
                "is an empty list."
            )
        if isinstance(item, int | float | np.number):
            raise UsageError(
                f"X is a list of numbers ({item!r} at place {i + 1}); expected a list of "
                "sequences. A single sequence is [X], or an array with one column."
            )
        try:
            array = np.asarray(item)
            if array.dtype.kind == "c":
                raise TypeError
            integer = integer and (array.dtype.kind in "iub" or not array.size)
            part = array.astype(np.float64)
        except (TypeError, ValueError):
            raise DataError(
                f"Sequence {i + 1} (counting from 1) is no array of numbers with one row a step."
            ) from None
        if part.ndim > 2:
            raise DataError(
                f"Sequence {i + 1} (counting from 1) has {part.ndim} dimensions; expected (T, d) "
                "or (T,)."
            )
        parts.append(part)
    full = [part for part in parts if part.size]
    flat = all(part.ndim == 1 for part in (full or parts))
    # An empty list has no columns of its own: it takes those of the others.
    widths = [part.shape[1] if part.ndim == 2 else 1 for part in parts]
    sized = [i for i, part in enumerate(parts) if part.size or part.ndim == 2]
    d = widths[sized[0]] if sized else 1
    for i in sized:
        if widths[i] != d:
            raise DataError(
                f"Sequence {i + 1} (counting from 1) has {widths[i]} columns, but sequence "
                f"{sized[0] + 1} has {d}: all must have the same."
            )
    lengths = [len(part) for part in parts]
    stacked = np.concatenate([part.reshape(len(part), d) for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.intp)
    return stacked, offsets, flat, integer


def first_infinity(steps: Any) -> tuple[int, int] | None:
    """Row and column of the first infinite cell."""
    values = steps.toarray() if hasattr(steps, "toarray") else steps
    if np.isfinite(values.sum()) or not np.isinf(values).any():
        return None
    row, column = np.argwhere(np.isinf(values))[0]
    return int(row), int(column)


def symbols_of(parts: Sequence[Any]) -> tuple[Any, ...]:
    """All symbols that occur, sorted; characters where the sequences are texts."""
    if all(isinstance(part, str) for part in parts):
        points = np.unique(_code_points(parts))
        return tuple(chr(point) for point in points.tolist())
    found = {symbol for part in parts for symbol in _steps_of(part) if not is_missing(symbol)}
    if not found:
        raise DataError("No step of any sequence holds a symbol: nothing can be learned.")
    return tuple(sorted(found, key=lambda symbol: (type(symbol).__name__, symbol)))


def encode_symbols(parts: Sequence[Any], symbols: tuple[Any, ...]) -> FloatArray:
    """Codes (N, 1) of the steps: NaN where missing, C for a symbol that was not listed."""
    if all(isinstance(part, str) for part in parts) and all(
        isinstance(symbol, str) and len(symbol) == 1 for symbol in symbols
    ):
        points = _code_points(parts)
        listed = np.array([ord(symbol) for symbol in symbols], dtype=np.uint32)
        order = np.argsort(listed)
        places = np.searchsorted(listed[order], points).clip(max=max(len(listed) - 1, 0))
        codes = order[places].astype(np.float64) if len(listed) else np.zeros(len(points))
        unseen = listed[order][places] != points if len(listed) else np.ones(len(points), bool)
        codes[unseen] = len(symbols)
        return codes[:, None]
    table = {symbol: float(code) for code, symbol in enumerate(symbols)}
    unseen_code = float(len(symbols))
    listed_codes = [
        np.nan if is_missing(symbol) else table.get(symbol, unseen_code)
        for part in parts
        for symbol in _steps_of(part)
    ]
    return np.array(listed_codes, dtype=np.float64)[:, None]


def _code_points(parts: Sequence[str]) -> NDArray[np.uint32]:
    return np.frombuffer("".join(parts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _steps_of(part: Any) -> Any:
    return part.tolist() if isinstance(part, np.ndarray) else part


def is_missing(value: Any) -> bool:
    """Whether a symbol, or the name of a state, stands for nothing: None, NaN, NA or NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))
