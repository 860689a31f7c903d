"""Cells of one column as codes, so that what a cell says of the states is one row of a table.

A table of (distinct values, H) is made once for many rows; the evidence of a block is gathered from
it, and expected statistics go back through the counts of each code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.families.base import Family
from fabula.families.bernoulli import Bernoulli
from fabula.families.bins import Bins
from fabula.families.categorical import Categorical, LevelCounts

__all__ = ["Cells", "TreeRows", "cell_statistics", "log_table", "prepare_cells"]

# A column with so many values is coded anew for each selection of rows.
_MANY_VALUES = 4096


@dataclass(frozen=True)
class Cells:
    """One column of some rows.

    Parameters
    ----------
    codes : (n,) array
        Place of each cell among the values; the last place means missing.
    values : (u,) array or None
        What the codes stand for; None where the family itself says so, for every row alike.
    n_codes : int
        u + 1.
    """

    codes: NDArray[np.int32]
    values: FloatArray | None
    n_codes: int

    def take(self, rows: NDArray[np.intp] | slice) -> Cells:
        """The cells of some rows."""
        codes = self.codes[rows]
        if self.values is None or self.n_codes <= _MANY_VALUES:
            return Cells(codes, self.values, self.n_codes)
        with_missing = np.append(self.values, np.nan)
        values, codes = _distinct(with_missing[codes])
        return Cells(codes, values, len(values) + 1)


@dataclass(frozen=True)
class TreeRows:
    """Rows as cells, and the precision that passes over them work in.

    ``within`` (n,) is what the log density of each row has beside its codes, the same for every
    state.
    """

    cells: tuple[Cells, ...]
    within: FloatArray
    precision: str = "float64"

    def __len__(self) -> int:
        return len(self.within)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the messages."""
        return np.dtype(self.precision)

    def take(self, rows: NDArray[np.intp] | slice) -> TreeRows:
        """Some of the rows."""
        cells = tuple(column.take(rows) for column in self.cells)
        return TreeRows(cells, self.within[rows], self.precision)


def prepare_cells(bank: Family, x: FloatArray) -> tuple[Cells, FloatArray | float]:
    """Code the cells (n,) of a column for a bank over it; their log density within the codes."""
    if isinstance(bank, Categorical):
        n_levels = bank.n_levels[0]
        codes = np.where((x >= 0) & (x < n_levels), x, n_levels)
        codes = np.where(np.isnan(x), n_levels + 1, codes)
        return Cells(codes.astype(np.int32), None, n_levels + 2), 0.0
    if isinstance(bank, Bins):
        codes, within = bank.cells_of(x[:, None])[:, 0], bank.log_within(x[:, None])[:, 0]
        n_cells = bank.n_cells[0]
        return Cells(np.where(codes < 0, n_cells, codes), None, n_cells + 1), within
    values, codes = _distinct(x)
    if isinstance(bank, Bernoulli) and np.isin(values, (0.0, 1.0)).all():
        codes = np.where(np.isnan(x), 2, x).astype(np.int32)
        values = np.array([0.0, 1.0])
    return Cells(codes, values, len(values) + 1), 0.0


def _distinct(x: FloatArray) -> tuple[FloatArray, NDArray[np.int32]]:
    """Distinct values without the missing ones, and the code of each cell."""
    values, codes = np.unique(np.asarray(x, dtype=np.float64), return_inverse=True)
    n_values = int((~np.isnan(values)).sum())  # numpy puts one NaN last
    return values[:n_values], np.minimum(codes, n_values).astype(np.int32).reshape(-1)


def log_table(bank: Family, cells: Cells) -> FloatArray:
    """Log probability of each code under each state, (n_codes, H); 0 where a cell is missing."""
    table = np.zeros((cells.n_codes, bank.n_members))
    if isinstance(bank, Categorical):
        with np.errstate(divide="ignore"):
            table[:-1] = np.log(bank.probabilities.T)
    elif isinstance(bank, Bins):
        table[:-1] = bank.cell_log_probabilities(0).T
    elif cells.values is not None and len(cells.values):
        table[:-1] = bank.log_prob(cells.values[:, None])
    return table


def cell_statistics(bank: Family, cells: Cells, counts: FloatArray) -> Any:
    """Statistics of a column from the expected number (n_codes, H) of cells of each code."""
    if isinstance(bank, Categorical):
        return LevelCounts(np.ascontiguousarray(counts[:-1].T))
    if isinstance(bank, Bins):
        return bank.counts_of_cells([counts[:-1].T])
    assert cells.values is not None
    return bank.statistics(cells.values[:, None], counts[:-1])
