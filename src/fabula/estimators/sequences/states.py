"""What is known of the states of steps: numbers or names, some of them missing."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from fabula.core.arrays import Codes, Mask
from fabula.core.blocks import Sequences
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.frames import is_frame
from fabula.estimators.sequences.form import Reading, where
from fabula.estimators.sequences.steps import is_missing

__all__ = ["read_states", "refuse_impossible_states"]


def read_states(
    states: Any, X: Any, reading: Reading, n_states: int
) -> tuple[Codes | None, tuple[str, ...] | None]:
    """Codes (N,) of the known states, -1 where nothing is known, and the names of all states.

    Names are numbered in sorted order; states without a name are called "state 2" and so on.
    """
    if states is None:
        return None, None
    values = _stacked(states, X, reading)
    missing = np.array([_is_unknown(value) for value in values], dtype=bool)
    codes = np.full(len(values), -1, dtype=np.intp)
    present = [value for value, gone in zip(values, missing, strict=True) if not gone]
    if any(isinstance(value, str) for value in present):
        found = sorted({str(value) for value in present})
        if len(found) > n_states:
            raise DataError(
                f"states holds {len(found)} names ({', '.join(found[:8])}), but n_states is "
                f"{n_states}."
            )
        places = {name: code for code, name in enumerate(found)}
        codes[~missing] = [places[str(value)] for value in present]
        others = (f"state {code}" for code in range(len(found), n_states))
        return codes, (*found, *others)
    for step in np.flatnonzero(~missing):
        value = values[step]
        if not np.isfinite(value) or value != int(value) or not 0 <= value < n_states:
            which, within = where(reading.sequences.offsets, int(step))
            raise DataError(
                f"Sequence {which}, step {within} (counting from 1): the state {value!r} is none "
                f"of 0 to {n_states - 1}. Write -1 where it is not known."
            )
        codes[step] = int(value)
    return codes, None


def _stacked(states: Any, X: Any, reading: Reading) -> list[Any]:
    """One value a step, in the order of the steps."""
    offsets, n = reading.sequences.offsets, reading.sequences.n_steps
    if isinstance(states, str):
        if not is_frame(X):
            raise UsageError("states names a column, but X is no data frame.")
        from fabula.tables.frames import as_table
        from fabula.tables.messages import unknown_column

        table = as_table(X)
        if states not in table.names:
            raise UsageError(unknown_column(states, table.names))
        return _ordered(table.column(states).plain().values.to_list(), reading)
    if hasattr(states, "to_list") and not isinstance(states, list):
        states = states.to_list()
    elif isinstance(states, np.ndarray) and states.shape == (n, 1):
        states = states[:, 0]
    items = list(states)
    if items and all(_is_list(item) for item in items):
        if len(items) != len(reading.sequences):
            raise DataError(
                f"states is a list for {len(items)} sequences, but there are "
                f"{len(reading.sequences)}."
            )
        for i, (item, length) in enumerate(zip(items, np.diff(offsets).tolist(), strict=True)):
            if len(item) != length:
                raise DataError(
                    f"Sequence {i + 1} (counting from 1) has {length} steps, but {len(item)} "
                    "states."
                )
        return [value for item in items for value in _plain(item)]
    values = _plain(states)
    if len(values) != n:
        raise DataError(f"states must have one entry for each of {n} steps, not {len(values)}.")
    return _ordered(values, reading)


def _ordered(values: list[Any], reading: Reading) -> list[Any]:
    return values if reading.order is None else [values[row] for row in reading.order]


def _is_list(item: Any) -> bool:
    return isinstance(item, list | tuple | np.ndarray) and np.ndim(item) == 1


def _plain(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _is_unknown(value: Any) -> bool:
    return is_missing(value) or (not isinstance(value, str) and value == -1)


def refuse_impossible_states(sequences: Sequences, starts: Mask, allowed: Mask) -> None:
    """Stop where no path of allowed transitions passes through the states that are known."""
    states = sequences.states
    if states is None or (starts.all() and allowed.all()):
        return
    after = {1: allowed}
    for first, end in pairwise(sequences.offsets.tolist()):
        reach, at = starts, first
        for step in (first + np.flatnonzero(states[first:end] >= 0)).tolist():
            if step > at:
                reach = reach @ _after(after, step - at)
            at, state = step, int(states[step])
            if not reach[state]:
                which, within = where(sequences.offsets, step)
                raise DataError(
                    f"Sequence {which}, step {within} (counting from 1): the state {state} "
                    "(counting from 0) cannot be reached there from the states known before, by "
                    "the transitions and starts that topology allows."
                )
            reach = np.arange(len(starts)) == state


def _after(found: dict[int, Mask], n_steps: int) -> Mask:
    """(S, S), True where a state can follow another so many steps later."""
    if n_steps not in found:
        half = _after(found, n_steps // 2)
        found[n_steps] = half @ _after(found, n_steps - n_steps // 2)
    return found[n_steps]
