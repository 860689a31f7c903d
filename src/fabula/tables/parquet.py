"""Parquet through polars, with every failure turned into one clear error."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from fabula.core.errors import FileFormatError
from fabula.tables.sources import Source

if TYPE_CHECKING:
    import polars as pl

__all__ = ["count_parquet", "read_parquet", "scan_parquet"]

_CELLS_AT_ONCE = 2_000_000

_Value = TypeVar("_Value")


def read_parquet(source: Source) -> pl.DataFrame:
    """The whole table; FileFormatError where the file is cut or damaged."""
    import polars as pl

    return _guarded(source, lambda: pl.read_parquet(_where(source)))


def count_parquet(source: Source) -> tuple[int, dict[str, pl.DataType]]:
    """Number of rows and types of the columns, from the end of the file alone."""
    import polars as pl

    frame = _lazy(source)
    schema = _guarded(source, lambda: dict(frame.collect_schema()))
    n_rows = _guarded(source, lambda: int(frame.select(pl.len()).collect().item()))
    return n_rows, schema


def scan_parquet(source: Source, block_rows: int, n_rows: int) -> Iterator[pl.DataFrame]:
    """The table in blocks of ``block_rows`` rows, in order.

    Some two million cells are decoded at a time, whatever the size of a row group: polars skips
    the row groups and pages that come before.
    """
    frame = _lazy(source)
    width = max(len(_guarded(source, frame.collect_schema)), 1)
    at_once = max(_CELLS_AT_ONCE // width // block_rows, 1) * block_rows
    for start in range(0, n_rows, at_once):
        part = _guarded(source, lambda start=start: frame.slice(start, at_once).collect())  # type: ignore[misc]
        if part.height != min(at_once, n_rows - start):
            raise FileFormatError(f"{source.name} has fewer rows than it says: it is damaged.")
        yield from part.iter_slices(block_rows)


def _lazy(source: Source) -> pl.LazyFrame:
    import polars as pl

    return _guarded(source, lambda: pl.scan_parquet(_where(source), glob=False))


def _where(source: Source) -> Any:
    return io.BytesIO(source.content) if source.path is None else source.path


def _guarded(source: Source, work: Callable[[], _Value]) -> _Value:
    """Run ``work``; whatever polars makes of a damaged file becomes one error.

    Its panics are no ordinary exceptions: they derive from BaseException.
    """
    import polars as pl

    try:
        return work()
    except MemoryError:
        raise
    except (pl.exceptions.PanicException, Exception) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileFormatError(
            f"{source.name} cannot be read as Parquet: it is cut or damaged ({first})."
        ) from None
