"""What is known to be hopeless or wrong before any work is done."""

from __future__ import annotations

from typing import Any

import numpy as np

from fabula.core.errors import DataError, UsageError
from fabula.core.words import count
from fabula.families.base import Family, UnivariateColumns
from fabula.questions.walk import walk

__all__ = ["refuse_hopeless_covariances", "refuse_impossible_cells"]

# Fewer columns than this are affordable whatever the number of rows: shrinkage gives an answer.
_MANY_COLUMNS = 500
_MOST_BYTES = 2 * 2**30


def refuse_hopeless_covariances(n_rows: float, d: int, n_members: int, owner: str) -> None:
    """Stop before full covariances that no number of these rows could determine.

    Parameters
    ----------
    n_rows : float
        Rows to learn from.
    d, n_members : int
        Columns, and covariances.
    owner : str
        What the members are ("class" or "component").
    """
    per_member = d * (d + 1) // 2
    n_bytes = 8 * n_members * d * d
    each = n_rows / n_members
    if d < _MANY_COLUMNS or (each >= d and n_bytes <= _MOST_BYTES):
        return
    work = n_rows * d * d
    raise UsageError(
        f"A full covariance is hopeless here: {d:,} columns make {per_member / 1e6:.1f} million "
        f"parameters a {owner} ({n_bytes / 2**30:.1f} GiB for {n_members}), the work grows as "
        f"n d² = {work:.1e} for each pass, and there are {each:,.0f} rows a {owner} for {d:,} "
        "columns"
        + (", so that most directions were never seen" if each < d else "")
        + ". Say covariance_type='factor' in GaussianMixture, alone or inside "
        "GenerativeClassifier (a few common factors and one variance a column); use NaiveBayes "
        "(independent columns); LinearDiscriminantAnalysis (one shared, shrunk covariance) up to "
        "a few thousand columns; or a divider such as logistic regression."
    )


def refuse_impossible_cells(bank: Family, x: Any, names: list[Any]) -> None:
    """Stop where a cell is outside the support of its family: its density would be 0 for ever.

    Parameters
    ----------
    bank : Family
        Any bank of the family that was chosen.
    x : (n, d) rows
    names : list
        Name of each encoded column, for the message.
    """
    scores = walk(x, lambda block: bank.log_prob(block.x).max(axis=1))
    impossible = np.flatnonzero(np.isneginf(scores))
    if not len(impossible):
        return
    row = int(impossible[0])
    cells = x[[row]]
    dense = np.asarray(cells.toarray() if hasattr(cells, "toarray") else cells, dtype=np.float64)
    for j in range(dense.shape[1]):
        part = bank.univariate_part(j)
        if part is None or not isinstance(part[0], UnivariateColumns):
            continue
        column = part[0].marginal([part[1]])
        if np.isneginf(column.log_prob(dense[:, [j]])).all():
            raise DataError(
                f"Column {names[j]!r}, row {row + 1} (counting from 1): {dense[0, j]:g} is "
                f"impossible for the family {type(part[0]).__name__} "
                f"({count(len(impossible), 'row')} of this kind). Choose another family for the "
                "column with families={column: name}, or write NaN where the value is missing."
            )
    raise DataError(
        f"Row {row + 1} (counting from 1) is impossible for the chosen families: words are counted "
        "in whole numbers that are not negative."
    )
