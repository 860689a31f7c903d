"""A table apart into what a model learns from and what it should tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fabula.core.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from fabula.tables import Schema

__all__ = ["check_target", "drop_columns", "need_column", "read_schema", "split_target"]

_MOST_CLASSES = 1000


def need_column(frame: pl.DataFrame, name: str, option: str = "--target") -> None:
    """Raise where the table has no such column, and say which it could have meant."""
    from fabula.tables.messages import did_you_mean

    if name not in frame.columns:
        raise UsageError(
            f"{option}: the table has no column {name!r}. {did_you_mean(name, frame.columns)}"
        )


def drop_columns(frame: pl.DataFrame, names: Sequence[str] | None) -> pl.DataFrame:
    """The table without some of its columns."""
    for name in names or ():
        need_column(frame, name, "--drop")
    return frame.drop(list(names or ()))


def split_target(frame: pl.DataFrame, target: str | None) -> tuple[pl.DataFrame, pl.Series | None]:
    """The other columns, and the labels; null where a row has none."""
    if target is None:
        return frame, None
    need_column(frame, target)
    labels = frame[target]
    check_target(labels)
    return frame.drop(target), labels


def check_target(labels: pl.Series) -> None:
    """Raise where a column cannot be what tells classes apart.

    Raises
    ------
    DataError
        It has one label or none, holds measurements or dates, or names every row.
    """
    n_labelled = labels.len() - labels.null_count()
    n_classes = labels.drop_nulls().n_unique()
    where = f"Column {labels.name!r}"
    if n_classes < 2:
        what = f"one label only ({labels.drop_nulls()[0]!r})" if n_classes else "no label"
        raise DataError(
            f"{where} has {what}: classes need at least two. Leave --target out to model the "
            "table without classes."
        )
    if labels.dtype.is_float() and (labels.drop_nulls() % 1 != 0).any():
        raise DataError(
            f"{where} holds measurements ({n_classes:,} distinct numbers), not labels of classes. "
            "Choose another --target; or cut the column into classes first."
        )
    if labels.dtype.is_temporal():
        raise DataError(f"{where} holds dates, not labels of classes.")
    if n_classes > _MOST_CLASSES or n_classes > 0.5 * n_labelled:
        raise DataError(
            f"{where} has {n_classes:,} different labels in {n_labelled:,} rows: that names rows "
            "rather than classes. Choose another --target."
        )


def read_schema(path: str) -> Schema:
    """A schema from a file that `fabula schema` wrote, perhaps edited since."""
    from fabula.tables import Schema

    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"--schema {path} cannot be read: {error.strerror or error}.") from None
    try:
        return Schema.from_json(content)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def count_missing(frame: Any) -> int:
    """Cells without a value."""
    return int(sum(frame.null_count().row(0))) if frame.width else 0
