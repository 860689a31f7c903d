"""What a table looks like, as far as it matters for the choice of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.evaluation.problems import Problem
from fabula.evaluation.results import Result

__all__ = ["Traits", "describe_problem"]

# Correlations of more columns than this are not worth their memory here.
_MOST_COLUMNS = 2_000
_MOST_ROWS = 20_000


@dataclass(frozen=True)
class Traits(Result):
    """Size of a table, its holes, and its most correlated columns.

    Attributes
    ----------
    n_rows, n_labelled, n_columns : int
        Columns as models see them: one for each word of a text.
    n_numbers : int
        Those of them that hold numbers, words aside.
    class_counts : tuple of int
        Labelled rows of each class.
    missing_share : float
        Share of the cells that are missing.
    correlated : tuple or None
        The two columns of numbers whose correlation within the classes is largest, by name.
    correlation : float
        That correlation, NaN where there is none.
    """

    n_rows: int
    n_labelled: int
    n_columns: int
    n_numbers: int
    class_counts: tuple[int, ...]
    missing_share: float
    correlated: tuple[str, str] | None
    correlation: float


def describe_problem(problem: Problem) -> Traits:
    """The traits of a problem; correlations are pooled over the classes."""
    x = problem.encoded()
    fields = problem.fields
    numbers = [
        j for j, field in enumerate(fields) if field.word is None and field.kind != "category"
    ]
    dense = None if not numbers or len(numbers) > _MOST_COLUMNS else _take(x, numbers)
    missing = 0.0
    if not hasattr(x, "toarray"):
        missing = float(np.isnan(x).mean()) if x.size else 0.0
    pair, correlation = None, np.nan
    if dense is not None and len(numbers) > 1:
        pair, correlation = _strongest(dense, problem)
    names = None
    if pair is not None:
        first, second = (fields[numbers[j]].name for j in pair)
        names = (first, second)
    return Traits(
        n_rows=problem.n_rows,
        n_labelled=len(problem.labelled),
        n_columns=len(fields),
        n_numbers=sum(field.kind in ("continuous", "count", "date") for field in fields),
        class_counts=tuple(int(c) for c in problem.class_counts),
        missing_share=missing,
        correlated=names,
        correlation=correlation,
    )


def _take(x: Any, columns: list[int]) -> FloatArray:
    taken = x[:, columns]
    return np.asarray(taken.toarray() if hasattr(taken, "toarray") else taken, dtype=np.float64)


def _strongest(x: FloatArray, problem: Problem) -> tuple[tuple[int, int] | None, float]:
    """The pair of columns with the largest correlation about the class means."""
    rows = problem.labelled
    if len(rows) > _MOST_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(np.intp)]
    x, codes = x[rows].copy(), problem.codes[rows]
    seen = ~np.isnan(x)
    x[~seen] = 0.0
    for k in range(len(problem.classes)):
        mine = codes == k
        mean = x[mine].sum(axis=0) / np.maximum(seen[mine].sum(axis=0), 1)
        x[mine] -= mean * seen[mine]
    # Over the rows where both columns were seen.
    both = seen.astype(np.float64).T @ seen
    squares = (x**2).T @ seen
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = (x.T @ x) / np.sqrt(squares * squares.T)
    correlation[~(both > 2) | ~np.isfinite(correlation)] = 0.0
    np.fill_diagonal(correlation, 0.0)
    place = int(np.abs(correlation).argmax())
    i, j = sorted(divmod(place, x.shape[1]))
    if correlation[i, j] == 0.0:
        return None, np.nan
    return (i, j), float(np.clip(correlation[i, j], -1.0, 1.0))
