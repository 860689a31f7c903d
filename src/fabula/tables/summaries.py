"""What is counted about a column before its kind is decided; summaries of blocks add up."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.errors import DataError
from fabula.tables.dates import DATE_FORMATS, coarsest_resolution, days_of, fits_format
from fabula.tables.frames import Cells
from fabula.tables.schema import Column, Level, Name
from fabula.tables.values import numbers_of

__all__ = ["ColumnSummary", "NumberSummary", "TextSummary", "summarise"]

MAX_DECIMALS = 10
_MANY_NUMBERS = 1_000
_MANY_TEXTS = 1_000_000
_MANY_FRACTIONS = 100_000


@dataclass(frozen=True)
class NumberSummary:
    """Numbers, or days for dates: range, moments, and how they are written."""

    n: int
    lower: float
    upper: float
    mean: float
    squares: float  # sum of squared deviations from the mean
    log_factorials: float  # sum of log x!, where all are whole and not negative
    integer: bool
    decimals: int | None
    increasing: bool
    last: float
    first: float
    resolution: str | None = None

    def __add__(self, later: NumberSummary) -> NumberSummary:
        n = self.n + later.n
        shift = later.mean - self.mean
        decimals = (self.decimals, later.decimals)
        coarse = [r for r in _FROM_COARSE if r in (self.resolution, later.resolution)]
        return NumberSummary(
            n=n,
            lower=min(self.lower, later.lower),
            upper=max(self.upper, later.upper),
            mean=self.mean + shift * later.n / n,
            squares=self.squares + later.squares + shift**2 * self.n * later.n / n,
            log_factorials=self.log_factorials + later.log_factorials,
            integer=self.integer and later.integer,
            decimals=None if None in decimals else max(d for d in decimals if d is not None),
            increasing=self.increasing and later.increasing and self.last < later.first,
            first=self.first,
            last=later.last,
            resolution=coarse[-1] if coarse else None,
        )


@dataclass(frozen=True)
class TextSummary:
    """Strings: whether they are numbers, dates or running text."""

    n_words: int
    n_numbers: int
    n_codes: int  # numbers with leading zeros or too many digits: labels, not quantities
    first_bad: tuple[int, str] | None  # row (from 0) and first cell that is not a number
    formats: frozenset[str]

    def __add__(self, later: TextSummary) -> TextSummary:
        return TextSummary(
            self.n_words + later.n_words,
            self.n_numbers + later.n_numbers,
            self.n_codes + later.n_codes,
            self.first_bad or later.first_bad,
            self.formats & later.formats,
        )


@dataclass(frozen=True)
class ColumnSummary:
    """What was counted about one column."""

    name: Name
    dtype: str
    native_dtype: str
    n_rows: int
    n_missing: int
    counts: Mapping[Level, int] | None  # None where there are too many distinct values
    n_block_distinct: int | None  # distinct values of each block, added up; None: not counted
    levels: tuple[Level, ...] | None = None  # as declared by the type
    ordered: bool = False
    declared_decimals: int | None = None
    numbers: NumberSummary | None = None
    texts: TextSummary | None = None

    @property
    def n_present(self) -> int:
        """Cells that are not missing."""
        return self.n_rows - self.n_missing

    @property
    def n_distinct(self) -> int | None:
        """Distinct values; where they are too many to keep, those of each block added up."""
        return len(self.counts) if self.counts is not None else self.n_block_distinct

    @property
    def distinct_share(self) -> float:
        """Distinct values per cell, averaged over blocks; 1 where nobody counted."""
        if self.n_block_distinct is None:
            return 1.0
        return self.n_block_distinct / max(self.n_present, 1)

    def __add__(self, later: ColumnSummary) -> ColumnSummary:
        if self.levels != later.levels or self.dtype != later.dtype:
            raise DataError(
                f"Column {self.name!r} is of type {later.native_dtype} from row {self.n_rows + 1} "
                f"on, and of type {self.native_dtype} before."
            )
        distinct = (self.n_block_distinct, later.n_block_distinct)
        counts = None
        if self.counts is not None and later.counts is not None:
            counts = Counter(self.counts)
            counts.update(later.counts)
            too_many = _MANY_NUMBERS if self.texts is None and later.texts is None else _MANY_TEXTS
            counts = None if len(counts) > too_many else counts
        return dataclasses.replace(
            self,
            n_rows=self.n_rows + later.n_rows,
            n_missing=self.n_missing + later.n_missing,
            counts=counts,
            n_block_distinct=None if None in distinct else sum(d for d in distinct if d),
            numbers=_sum(self.numbers, later.numbers),
            texts=_sum(self.texts, later.texts),
        )


def summarise(cells: Cells, as_levels: bool = False) -> ColumnSummary:
    """Count what deciding about a column needs.

    Parameters
    ----------
    cells
        The column, or a block of it.
    as_levels
        Whether the values are to be levels, so that all of them are kept however many they are.

    Raises
    ------
    DataError
        A number is infinite; the message names the row.
    """
    series = cells.values
    if series.dtype.is_float():
        series = series.fill_nan(None)
    present = series.drop_nulls()
    numbers = texts = None
    if len(present) and cells.is_number:
        numbers = _summarise_numbers(numbers_of(dataclasses.replace(cells, values=series)))
    elif len(present) and cells.is_date:
        numbers = _summarise_days(days_of(Column(cells.name, "date"), cells))
    elif len(present) and cells.is_text:
        texts = _summarise_texts(series, cells.first_row)
        numbers = _summarise_what_texts_say(cells, texts)
    # Counting millions of distinct fractions takes longer than all the rest, and nobody asks.
    are_many = len(present) > _MANY_FRACTIONS and cells.is_number and not as_levels
    are_fractions = numbers is not None and not numbers.integer and numbers.lower < numbers.upper
    n_distinct = None if are_many and are_fractions else present.n_unique()
    few_enough = _MANY_TEXTS if cells.is_text else _MANY_NUMBERS
    are_few = n_distinct is not None and n_distinct <= few_enough
    keep = as_levels or cells.levels is not None or are_few
    counts = _counts(cells, present) if keep and not cells.is_date else None
    return ColumnSummary(
        name=cells.name,
        dtype=cells.dtype,
        native_dtype=cells.native_dtype,
        n_rows=len(series),
        n_missing=len(series) - len(present),
        counts=counts,
        n_block_distinct=n_distinct,
        levels=cells.levels,
        ordered=cells.ordered,
        declared_decimals=cells.decimals,
        numbers=numbers,
        texts=texts,
    )


def _counts(cells: Cells, present: Any) -> dict[Level, int]:
    # Under a name of its own: a column called "count" would meet the column of counts.
    values, times = present.alias("value").value_counts(sort=False).get_columns()
    keys: list[Any] = values.to_list()
    if cells.levels is not None:
        keys = [cells.levels[position] for position in keys]
    return dict(zip(keys, times.to_list(), strict=True))


def _summarise_numbers(x: np.ndarray) -> NumberSummary:
    from scipy.special import gammaln

    x = x[~np.isnan(x)]
    integer = bool(np.all(x == np.rint(x)))
    lower, upper = float(x.min()), float(x.max())
    with np.errstate(over="ignore", invalid="ignore"):  # beyond 1e154 squares are infinite
        mean = float(x.mean())
        squares = float(np.sum((x - mean) ** 2))
    is_count = integer and lower >= 0
    return NumberSummary(
        n=len(x),
        lower=lower,
        upper=upper,
        mean=mean,
        squares=squares,
        log_factorials=float(np.sum(gammaln(x + 1.0))) if is_count else math.nan,
        integer=integer,
        decimals=0 if integer else _decimals_of(x),
        increasing=bool(np.all(x[1:] > x[:-1])),
        first=float(x[0]),
        last=float(x[-1]),
    )


def _summarise_days(days: np.ndarray) -> NumberSummary:
    days = days[~np.isnan(days)]
    return dataclasses.replace(_summarise_numbers(days), resolution=coarsest_resolution(days))


def _decimals_of(x: np.ndarray) -> int | None:
    """Digits after the point that write every number; None where more than ten are needed.

    A decimal fraction m / 10^k that was read from text is the double nearest to it, and so is the
    quotient that ``np.round`` computes, so equality is exact.
    """
    few = x[:1_000]
    if x.dtype == np.float64 and np.all(x == x.astype(np.float32)):
        x = x.astype(np.float32)
        few = x[:1_000]
    for decimals in range(1, MAX_DECIMALS + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            if np.all(np.round(few, decimals) == few) and np.all(np.round(x, decimals) == x):
                return decimals
    return None


def _summarise_texts(series: Any, first_row: int) -> TextSummary:
    import polars as pl

    distinct, times = series.drop_nulls().alias("text").value_counts(sort=False).get_columns()
    stripped = distinct.str.strip_chars()
    numbers = stripped.cast(pl.Float64, strict=False)
    is_number = numbers.is_finite().fill_null(False)
    is_code = is_number & stripped.str.contains(r"^[+-]?(?:0\d|\d{17})")
    first_bad = None
    if not is_number.all():
        row = int(series.is_in(distinct.filter(~is_number).implode()).fill_null(False).arg_max())
        first_bad = (first_row + row, series[row])
    looks_dated = distinct.head(5).str.contains(r"^\d{4}-\d{2}-\d{2}").all()
    formats = [f for f in DATE_FORMATS if fits_format(distinct, f)] if looks_dated else []
    return TextSummary(
        n_words=int((distinct.str.count_matches(r"\S+").cast(pl.Int64) * times).sum()),
        n_numbers=int(times.filter(is_number).sum()),
        n_codes=int(times.filter(is_code).sum()),
        first_bad=first_bad,
        formats=frozenset(formats),
    )


def _summarise_what_texts_say(cells: Cells, texts: TextSummary) -> NumberSummary | None:
    """The dates or the numbers that all the strings are; None where they are neither."""
    if texts.formats:
        written = Column(cells.name, "date", date_format=min(texts.formats, key=len))
        return _summarise_days(days_of(written, cells))
    return None if texts.first_bad or not texts.n_numbers else _summarise_numbers(numbers_of(cells))


def _sum(first: Any, second: Any) -> Any:
    return second if first is None else first if second is None else first + second


_FROM_COARSE = ("day", "hour", "minute", "second", "millisecond", "microsecond")
