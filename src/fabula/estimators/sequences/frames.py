"""Sequences in a data frame: which rows belong together, and in which order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.errors import DataError, UsageError
from fabula.tables.frames import Table, as_table
from fabula.tables.messages import unknown_column

__all__ = ["add_columns", "drop_columns", "read_frame", "stack_frames"]


def stack_frames(frames: Any) -> Any:
    """Frames of one library, one below the other."""
    packages = {type(frame).__module__.partition(".")[0] for frame in frames}
    if len(packages) > 1:
        raise UsageError(f"The frames are of several libraries: {', '.join(sorted(packages))}.")
    package = packages.pop()
    if package == "pandas":
        import pandas

        return pandas.concat(list(frames), ignore_index=True)
    if package == "polars":
        import polars

        return polars.concat(list(frames), how="vertical_relaxed")
    import pyarrow

    return pyarrow.concat_tables(list(frames), promote_options="default")


def drop_columns(frame: Any, names: list[Any]) -> Any:
    """The frame without some of its columns, which must be there."""
    known = as_table(frame).names
    for name in names:
        if name not in known:
            raise UsageError(unknown_column(name, known))
    if hasattr(frame, "iloc"):
        return frame.drop(columns=names)
    return frame.drop(names) if hasattr(frame, "to_series") else frame.drop_columns(names)


def read_frame(
    frame: Any, sequence: Any, time: Any, offsets: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp] | None, tuple[Any, ...] | None]:
    """Offsets, the row of each step, and the name of each sequence, in order of appearance.

    Raises
    ------
    DataError
        A name of a sequence or a time is missing, or a sequence has a time twice.
    """
    table = as_table(frame)
    n = table.n_rows
    ids: tuple[Any, ...] | None = None
    if sequence is None:
        groups = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    else:
        groups, ids = _groups(table, sequence)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=len(ids)))])
    if time is None:
        order = np.argsort(groups, kind="stable")
    else:
        moments = _moments(table, time)
        order = np.lexsort((moments, groups))
        same = (np.diff(groups[order]) == 0) & (moments[order][1:] == moments[order][:-1])
        if same.any():
            place = int(np.flatnonzero(same)[0])
            first, second = sorted((int(order[place]), int(order[place + 1])))
            whose = "" if ids is None else f" of sequence {ids[groups[first]]!r}"
            raise DataError(
                f"Rows {first + 1} and {second + 1} (counting from 1){whose} have the same time in "
                f"column {time!r}: every step needs a time of its own."
            )
    in_order = bool(np.all(order == np.arange(n)))
    return offsets.astype(np.intp), (None if in_order else order.astype(np.intp)), ids


def _groups(table: Table, name: Any) -> tuple[NDArray[np.intp], tuple[Any, ...]]:
    """Number of the sequence of each row, and the names of the sequences."""
    values = _column(table, name)
    _refuse_missing(values, name, "the sequence it belongs to")
    listed = values.to_numpy() if values.dtype.is_numeric() else np.asarray(values.to_list())
    found, first, inverse = np.unique(listed, return_index=True, return_inverse=True)
    rank = np.empty(len(found), dtype=np.intp)
    appearance = np.argsort(first)
    rank[appearance] = np.arange(len(found))
    return rank[inverse], tuple(found[appearance].tolist())


def _moments(table: Table, name: Any) -> np.ndarray:
    values = _column(table, name)
    if not (values.dtype.is_numeric() or values.dtype.is_temporal()):
        raise DataError(
            f"Column {name!r} gives the times of the steps and must hold numbers or dates, but it "
            f"is of type {values.dtype}."
        )
    _refuse_missing(values, name, "its time")
    return np.asarray(values.to_physical().to_numpy())


def _column(table: Table, name: Any) -> Any:
    if name not in table.names:
        raise UsageError(unknown_column(name, table.names))
    return table.column(name).plain().values


def _refuse_missing(values: Any, name: Any, what: str) -> None:
    missing = values.is_null().to_numpy()
    if values.dtype.is_float():
        missing = missing | values.is_nan().fill_null(False).to_numpy()
    if missing.any():
        raise DataError(
            f"Column {name!r}, row {int(np.flatnonzero(missing)[0]) + 1} (counting from 1) is "
            f"missing: every row has to say {what}."
        )


def add_columns(frame: Any, sequence: Any, time: Any, lengths: NDArray[np.intp]) -> Any:
    """The frame with columns for the number of the sequence and of the step, both from 0."""
    columns = []
    if sequence is not None:
        columns.append((sequence, np.repeat(np.arange(len(lengths)), lengths)))
    if time is not None:
        steps = [np.arange(length) for length in lengths.tolist()]
        columns.append((time, np.concatenate(steps) if steps else np.arange(0)))
    for place, (name, values) in enumerate(columns):
        if hasattr(frame, "iloc"):
            frame.insert(place, name, values)
        elif hasattr(frame, "to_series"):
            import polars

            frame = frame.insert_column(place, polars.Series(name, values))
        else:
            import pyarrow

            frame = frame.add_column(place, name, pyarrow.array(values))
    return frame
