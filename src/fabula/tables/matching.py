"""The columns of a table found again in another: by name, or by position where there are none."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

from fabula.core.errors import DataError, FabulaWarning
from fabula.tables.frames import Table
from fabula.tables.messages import did_you_mean, listed
from fabula.tables.schema import Name

__all__ = ["match_columns"]


def match_columns(table: Table, names: Sequence[Name], needed: Sequence[Name]) -> Table:
    """The table, with its columns under the names that were learned.

    Parameters
    ----------
    table
        The table at hand.
    names
        All columns that were learned.
    needed
        Those that have to be there.

    Raises
    ------
    DataError
        Columns are absent; the message names them, and what is near.
    """
    if _are_positions(names) and _are_positions(table.names):
        if len(table.names) != len(names):
            raise DataError(
                f"The array has {len(table.names)} columns, expected {len(names)} as in the data "
                "that were learned from."
            )
        return table
    missing = [name for name in needed if name not in table.names]
    if not missing:
        return table
    if len(missing) == len(needed) and (_are_positions(table.names) or _are_positions(names)):
        for learned in (names, needed):
            if len(table.names) == len(learned):
                warnings.warn(_by_position(table), FabulaWarning, stacklevel=4)
                return dataclasses.replace(table, names=tuple(learned))
        raise DataError(
            f"The table has {len(table.names)} columns, expected {len(names)}: {listed(names)}."
        )
    near = did_you_mean(missing[0], table.names)
    if len(missing) == 1:
        raise DataError(f"The table has no column {missing[0]!r}. {near}")
    raise DataError(f"The table lacks the columns {listed(missing)}. For the first: {near}")


def _are_positions(names: Sequence[Name]) -> bool:
    return tuple(names) == tuple(range(len(names)))


def _by_position(table: Table) -> str:
    if _are_positions(table.names):
        return (
            "X does not have valid feature names, but the table that was learned from had them: "
            "columns are taken by position."
        )
    return (
        "X has feature names, but the array that was learned from had none: columns are taken by "
        "position."
    )
