"""Labels of classes as codes, where some rows may have none."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from fabula.tables.frames import Cells, as_cells
from fabula.tables.schema import Column
from fabula.tables.values import encode_cells

__all__ = ["labels_of"]


def labels_of(column: Column, values: Any) -> np.ndarray:
    """Codes of labels, (n,) intp; -1 where a row has no label.

    A row has no label where the value is None or NaN, or -1 unless that is one of the levels.

    Raises
    ------
    DataError
        A label is none of the levels; the message names the row.
    """
    cells = as_cells(values, column.name)
    if -1 not in column.levels:
        cells = _without_minus_one(cells)
    levelled = dataclasses.replace(column, kind="category") if column.kind == "constant" else column
    codes = encode_cells(levelled, cells, unseen="error")
    return np.where(np.isnan(codes), -1, codes).astype(np.intp)


def _without_minus_one(cells: Cells) -> Cells:
    if cells.levels is not None and -1 in cells.levels:
        cells = cells.plain()
    if not cells.is_number:
        return cells
    kept = cells.values.to_frame("label").select(_not_minus_one()).to_series()
    return dataclasses.replace(cells, values=kept)


def _not_minus_one() -> Any:
    import polars as pl

    return pl.when(pl.col("label") != -1).then(pl.col("label"))
