"""A table, the classes of its rows, and the folds in which models are compared on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import Codes
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.frames import is_frame, take_rows
from fabula.estimators.base.table import TableEstimator
from fabula.estimators.base.target import read_target
from fabula.estimators.calibrated import Calibrated
from fabula.estimators.calibration.held_out import as_rows, labels_of
from fabula.tables.encoding import Field, TableEncoding

__all__ = ["Fold", "Problem", "read_problem"]


@dataclass(frozen=True)
class Fold:
    """Which rows are learned from and which are scored; unlabelled rows are in neither."""

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Problem:
    """Rows, their classes as far as they are known, and how a frame becomes numbers.

    The encoding (what each column is, its levels and words) is learned once from all rows, without
    the labels, so that every model sees the same columns in every fold.
    """

    X: Any
    classes: np.ndarray
    codes: Codes  # (n,), -1 where the class is not known
    groups: Codes | None = None
    encoding: TableEncoding | None = None

    @property
    def n_rows(self) -> int:
        """All rows, with and without a label."""
        return len(self.codes)

    @property
    def labelled(self) -> np.ndarray:
        """Rows that have a label."""
        return np.flatnonzero(self.codes >= 0)

    @property
    def unlabelled(self) -> np.ndarray:
        """Rows that have none."""
        return np.flatnonzero(self.codes < 0)

    @property
    def class_counts(self) -> np.ndarray:
        """Labelled rows of each class, (K,)."""
        return np.bincount(self.codes[self.labelled], minlength=len(self.classes))

    @property
    def fields(self) -> tuple[Field, ...]:
        """What the columns of the encoded rows stand for."""
        if self.encoding is not None:
            return tuple(self.encoding.fields)
        return tuple(Field(j, "continuous") for j in range(int(self.X.shape[1])))

    def rows(self, chosen: np.ndarray) -> Any:
        """Some of the rows, in the form of the table."""
        return self.X if len(chosen) == self.n_rows else take_rows(self.X, chosen)

    def labels(self, chosen: np.ndarray) -> np.ndarray:
        """Labels of some of the rows, None where there is none."""
        return labels_of(self.classes, self.codes[chosen])

    def prepare(self, estimator: Any) -> Any:
        """Let an estimator of fabula share the encoding."""
        if self.encoding is not None and isinstance(estimator, TableEstimator | Calibrated):
            estimator._shared_encoding = self.encoding
        return estimator

    def encoded(self, chosen: np.ndarray | None = None) -> Any:
        """Rows as numbers, NaN where a cell is missing."""
        x = self.X if self.encoding is None else self.encoding.encode(self.X)
        return x if chosen is None else x[chosen]

    def folds(self, n_folds: int, random_state: Any) -> Iterator[Fold]:
        """Stratified folds of the labelled rows; the rows of a group stay together."""
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

        rows = self.labelled
        kind = StratifiedKFold if self.groups is None else StratifiedGroupKFold
        splitter = kind(n_folds, shuffle=True, random_state=random_state)
        groups = None if self.groups is None else self.groups[rows]
        for train, test in splitter.split(rows[:, None], self.codes[rows], groups):
            yield Fold(rows[train], rows[test])

    def check_folds(self, n_folds: Any) -> tuple[int, str | None]:
        """How many folds are possible, and a note where that is fewer than asked for."""
        if not isinstance(n_folds, int | np.integer) or isinstance(n_folds, bool) or n_folds < 2:
            raise UsageError(f"cv must be a number of folds of at least 2, not {n_folds!r}.")
        smallest = int(self.class_counts.min())
        name = self.classes[int(self.class_counts.argmin())]
        if smallest < 2:
            raise DataError(
                f"Class {str(name)!r} has {smallest} labelled row, which cannot be both learned "
                "from and scored: leave the class out, or join it to another."
            )
        possible = min(int(n_folds), smallest)
        if self.groups is not None:
            possible = min(possible, len(np.unique(self.groups[self.labelled])))
            if possible < 2:
                raise DataError("Folds need at least two groups; all labelled rows are of one.")
        if possible == n_folds:
            return possible, None
        return possible, (
            f"{possible} folds instead of {n_folds}: class {str(name)!r} has {smallest} labelled "
            "rows."
            if self.groups is None or possible == smallest
            else f"{possible} folds instead of {n_folds}: there are no more groups."
        )


def read_problem(
    data: Any,
    target: Any,
    *,
    groups: Any = None,
    kinds: Any = None,
    encoding: TableEncoding | None = None,
) -> Problem:
    """Read a table and its target.

    Parameters
    ----------
    data : frame or (n, d) array
    target : column name, or (n,) labels
        None, NaN (and -1 beside two other classes) mean that the class is not known.
    groups : column name or (n,) values, optional
        Rows that depend on each other: a patient, a text. A named column is left out of X.
    kinds : mapping of column to kind, optional
        What columns are, where the schema would guess otherwise.
    encoding : TableEncoding, optional
        How the table without its target becomes numbers, where that is known.
    """
    X = as_rows(data)
    names = [] if not is_frame(X) else [*_names(X)]
    y, X = _take_column(X, target, names, "target")
    groups, X = (None, X) if groups is None else _take_column(X, groups, names, "groups")
    if is_frame(X) and encoding is None:
        encoding = TableEncoding.fit(X, kinds=dict(kinds) if kinds else None)
    n = int(X.shape[0])
    classes, codes = read_target(y, n)
    if len(classes) < 2:
        raise DataError(
            f"The target holds one class only, {str(classes[0])!r}; a comparison needs two or more."
        )
    group_codes = None
    if groups is not None:
        values = np.asarray(groups)
        if values.shape != (n,):
            raise DataError(f"groups must hold one value for each of the {n} rows.")
        group_codes = np.unique(values.astype(str), return_inverse=True)[1].astype(np.intp)
    return Problem(X, classes, codes, group_codes, encoding if is_frame(X) else None)


def _take_column(X: Any, column: Any, names: Sequence[Any], role: str) -> tuple[Any, Any]:
    """Values of a column, and the table without it where it was named."""
    if column is None:
        raise UsageError(f"{role} must name a column, or hold one value for each row.")
    if isinstance(column, str | int | np.integer):
        if not len(names):
            raise UsageError(
                f"{role}={column!r} names a column, but data is a plain array: hand in the values "
                "of the column."
            )
        if column not in names:
            from fabula.tables.messages import unknown_column

            raise UsageError(unknown_column(column, names))
        import narwhals as nw

        frame = nw.from_native(X, eager_only=True)
        return frame[column].to_numpy(), frame.drop(column).to_native()
    name = getattr(column, "name", None)
    if role == "target" and isinstance(name, str) and name in names:
        raise UsageError(
            f"target is the column {name!r}, which data still holds, so that every model would be "
            f"shown the answer: say target={name!r}, or leave the column out of data."
        )
    values = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
    return values, X


def _names(X: Any) -> Any:
    return X.column_names if hasattr(X, "column_names") else X.columns
