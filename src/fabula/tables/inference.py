"""What kind a column is, told from its values.

The rules, in order; each stops the search. "Distinct" and "levels" leave missing cells aside.

1.  No value at all, or one throughout: *constant*.
2.  Held as booleans; or two levels that say yes and no (true/false, yes/no, y/n, t/f, on/off in
    any case), or the numbers 0 and 1: *boolean*, with the level that says yes second.
3.  Held as a categorical type: *category*, with the levels and the order that the type declares.
4.  Held as dates or moments, or text of which every cell is an ISO 8601 date in one form: *date*.
5.  Other text:

    - at least 80 % of the cells are numbers and they do not look like a list of codes (at most 20
      levels, each ten times on average, or leading zeros): the data are broken, and the error
      names the first cell that is not a number;
    - three words or more on average, and more than half of the cells distinct or more than 200
      distinct ones: *text*;
    - at least 90 % of 20 or more cells distinct (of fewer cells: all, under a name like "id"):
      *identifier*;
    - the rest: *category*, levels in alphabetical order.
6.  Numbers that are not whole: *continuous*.
7.  Whole numbers, all distinct, under a name such as "id", "key", "customer_id" or "Rec.#"; or
    counting up one by one under a name that nobody gave ("column_1", "Unnamed: 0"): *identifier*.
8.  Other whole numbers: whichever describes them best by the Bayesian information criterion —
    a table of frequencies (*category*; only for at most 20 levels that occur ten times each on
    average), a Poisson distribution (*count*; only if none is negative) or a normal distribution
    (*continuous*). So nominal codes become categories, rare events counts, and ages and incomes
    stay continuous; whichever it is, integers come back as integers.

Plain arrays of numbers carry no such hints: their columns are continuous unless stated otherwise.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fabula.core.errors import DataError
from fabula.tables.blocks import blocks_of
from fabula.tables.dates import DATE_FORMATS
from fabula.tables.frames import Table, as_cells
from fabula.tables.messages import listed, place, shorten, unknown_column
from fabula.tables.schema import Column, Kind, Kinds, Level, Name, Schema, check_kinds
from fabula.tables.summaries import ColumnSummary, NumberSummary, summarise
from fabula.tables.values import encode_cells

__all__ = ["check_levels", "complete_schema", "infer_column", "infer_schema"]

_MAX_CODES = 20
_CELLS_PER_CODE = 10
_YES = ("true", "yes", "y", "t", "on")
_NO = ("false", "no", "n", "f", "off")
_ID_WORDS = frozenset(
    ("id", "ids", "identifier", "key", "uuid", "guid", "index", "idx", "rec", "record", "rownames")
)


def infer_schema(data: Any, *, kinds: Kinds | None = None) -> Schema:
    """The schema of a table: what each column is, its levels, range and precision.

    Parameters
    ----------
    data
        polars, pandas or pyarrow frame, two-dimensional numpy array, or what `scan_table` returns
        (which is read once, block by block).
    kinds
        Kinds of columns that are known better than the rules of `fabula.tables.inference` guess.

    Returns
    -------
    Schema
        One column for each column of ``data``, in order.

    Raises
    ------
    DataError
        There are no rows, or a column cannot be used; the message names column and row.
    UsageError
        ``data`` is not a table, or ``kinds`` names a column or kind that does not exist.

    Examples
    --------
    >>> import polars as pl
    >>> schema = infer_schema(pl.DataFrame({"x": [0.5, 1.25, None], "member": ["no", "yes", "no"]}))
    >>> [(column.name, column.kind) for column in schema]
    [('x', 'continuous'), ('member', 'boolean')]
    """
    given = dict(kinds or {})
    table, more = _first_of(data)
    check_kinds(given, table.names)
    if not table.n_rows:
        raise DataError("The table has no rows, so there is nothing to learn its columns from.")
    counted = {
        name: summarise(table.column(name), _is_levelled(given.get(name)))
        for name in table.names
        if table.array is None or name in given
    }
    for block in more:
        for name, so_far in counted.items():
            counted[name] = so_far + summarise(block.column(name), _is_levelled(given.get(name)))
    columns = []
    for name in table.names:
        if name not in counted:
            columns.append(_plain_column(name, table.native.dtype.name, str(table.native.dtype)))
        elif table.container == "numpy" and name not in given and _is_plain(counted[name]):
            # Objects that are all numbers are an array of numbers by another name.
            columns.append(_plain_column(name, counted[name].dtype, "object"))
        else:
            columns.append(_describe(counted[name], given.get(name)))
    return Schema(tuple(columns))


def infer_column(values: Any, name: Name = "column", kind: Kind | None = None) -> Column:
    """What one column is: a target, say, which is not part of the table.

    Parameters
    ----------
    values
        One-dimensional array, list or series of any library.
    name
        Its name.
    kind
        Its kind, where that is known.

    Raises
    ------
    DataError
        The values cannot be used; the message names the row.
    """
    return _describe(summarise(as_cells(values, name), _is_levelled(kind)), kind)


def complete_schema(schema: Schema, data: Any) -> Schema:
    """The schema with what it leaves open (levels, ranges, precision) learned from data.

    Raises
    ------
    DataError
        A column is absent from the data, or does not fit its kind.
    """
    table, more = _first_of(data)
    for column in schema:
        if column.name not in table.names:
            raise DataError(f"The data lack a column. {unknown_column(column.name, table.names)}")
    is_array = table.array is not None
    open_names = [column.name for column in schema if _is_open(column, is_array)]
    counted = {
        name: summarise(table.column(name), _is_levelled(schema[name].kind)) for name in open_names
    }
    if counted:
        for block in more:
            for name, so_far in counted.items():
                as_levels = _is_levelled(schema[name].kind)
                counted[name] = so_far + summarise(block.column(name), as_levels)
    for name, summary in counted.items():
        stated, learned = schema[name], _describe(summary, schema[name].kind)
        kept = {
            field.name: getattr(stated, field.name)
            for field in dataclasses.fields(stated)
            if field.name not in ("dtype", "native_dtype", "n_missing", "n_distinct")
            and getattr(stated, field.name) not in (field.default, ())
        }
        schema = schema.replace(dataclasses.replace(learned, **kept))
    return schema


def check_levels(schema: Schema, data: Any) -> None:
    """Raise DataError where the data hold a level that a stated schema does not list."""
    levelled = [column for column in schema if column.kind in ("category", "boolean")]
    if levelled:
        for block in blocks_of(data):
            for column in levelled:
                encode_cells(column, block.column(column.name), unseen="error")


def _first_of(data: Any) -> tuple[Table, Iterable[Table]]:
    blocks = iter(blocks_of(data))
    first = next(blocks, None)
    if first is None:
        raise DataError("The table has no rows, so there is nothing to learn its columns from.")
    return first, blocks


def _is_levelled(kind: Kind | None) -> bool:
    return kind in ("category", "boolean", "constant")


def _is_plain(summary: ColumnSummary) -> bool:
    return summary.numbers is not None and summary.levels is None


def _is_open(column: Column, is_array: bool) -> bool:
    """Whether something about the column has to be learned before it can be encoded."""
    if column.kind in ("category", "boolean"):
        return not column.levels
    if column.kind == "constant":
        return not column.levels and column.lower is None and column.n_distinct != 0
    if column.kind == "date":
        return column.resolution is None
    return column.kind in ("continuous", "count") and column.lower is None and not is_array


def _plain_column(name: Name, dtype: str, native_dtype: str) -> Column:
    """A column of an array of numbers: nothing is counted, so that fitting starts at once."""
    is_whole = dtype.startswith(("int", "uint"))
    named = {"bool": "boolean"}.get(dtype, dtype if is_whole or dtype == "float32" else "float64")
    return Column(
        name,
        "continuous",
        dtype=named,
        native_dtype=native_dtype,
        integer=is_whole,
        decimals=0 if is_whole else None,
    )


def _describe(summary: ColumnSummary, kind: Kind | None = None) -> Column:
    """The column that was counted, of the kind that is stated or else of the rules' choice."""
    kind = kind or _kind_of(summary)
    column = Column(
        summary.name,
        kind,
        dtype=summary.dtype,
        native_dtype=summary.native_dtype,
        n_missing=summary.n_missing,
        n_distinct=summary.n_distinct,
    )
    if kind in ("category", "boolean"):
        return dataclasses.replace(
            column, levels=_levels_of(summary, kind), ordered=summary.ordered
        )
    if kind == "constant":
        return _constant(summary, column)
    if kind in ("continuous", "count"):
        return _with_range(column, summary)
    if kind == "date":
        return _with_dates(column, summary)
    return column


def _kind_of(summary: ColumnSummary) -> Kind:
    counts, numbers = summary.counts, summary.numbers
    if summary.levels is not None:
        return "category" if len(summary.levels) > 1 else "constant"
    if summary.n_present == 0 or summary.n_distinct == 1:
        return "constant"
    if summary.dtype == "boolean" or _says_yes_and_no(counts):
        return "boolean"
    if summary.dtype == "category":
        return "category"
    if summary.dtype.startswith("date"):
        return "date"
    if numbers is None or summary.texts is not None:
        return _kind_of_text(summary)
    if not numbers.integer:
        return "continuous"
    return "identifier" if _is_row_name(summary) else _kind_of_integers(summary, numbers)


def _says_yes_and_no(counts: Mapping[Level, int] | None) -> bool:
    if counts is None or len(counts) != 2:
        return False
    if not all(isinstance(level, str) for level in counts):
        return set(counts) == {0, 1}
    no, yes = sorted((str(level).casefold() for level in counts), key=_YES.__contains__)
    return no in _NO and yes in _YES and _NO.index(no) == _YES.index(yes)


def _kind_of_text(summary: ColumnSummary) -> Kind:
    texts = summary.texts
    if texts is None or summary.n_distinct is None:
        return "category"
    n, n_distinct, share = summary.n_present, summary.n_distinct, summary.distinct_share
    if texts.formats:
        return "date"
    are_codes = texts.n_codes or (n_distinct <= _MAX_CODES and n >= _CELLS_PER_CODE * n_distinct)
    if texts.n_numbers >= 0.8 * n and not are_codes:
        raise DataError(_numbers_as_text(summary))
    if texts.n_words >= 3 * n and (share > 0.5 or n_distinct > 200):
        return "text"
    if (share >= 0.9 and n >= 20) or (share == 1.0 and _is_id_like(summary.name)):
        return "identifier"
    return "category"


def _numbers_as_text(summary: ColumnSummary) -> str:
    assert summary.texts is not None
    if summary.texts.first_bad is None:
        return (
            f"Column {summary.name!r} holds numbers written as text. Convert it to numbers, or "
            "state its kind: continuous, count, category or identifier."
        )
    row, value = summary.texts.first_bad
    share = summary.texts.n_numbers / summary.n_present
    advice = " (a decimal comma?)" if re.fullmatch(r"[+-]?\d*,\d+", value.strip()) else ""
    return (
        f"{place(summary.name, row)}: {shorten(value)} is not a number{advice}, but {share:.1%} of "
        "the column are. Correct the cell; or leave it empty if its value is missing (or name it "
        "among the missing tokens when reading the file); or state that the column is a category."
    )


def _kind_of_integers(summary: ColumnSummary, numbers: NumberSummary) -> Kind:
    """The kind with the smallest Bayesian information criterion (Schwarz 1978, eq. 1, times -2)."""
    n = numbers.n
    variance = max(numbers.squares / n, 1 / 12)  # a whole number is known to half a unit
    criteria: dict[Kind, float] = {
        "continuous": n * (math.log(2 * math.pi * variance) + 1) + 2 * math.log(n)
    }
    if numbers.lower >= 0:
        total = n * numbers.mean
        log_likelihood = total * math.log(numbers.mean) - total - numbers.log_factorials
        criteria["count"] = -2 * log_likelihood + math.log(n)
    counts = summary.counts
    if counts is not None and len(counts) <= _MAX_CODES and n >= _CELLS_PER_CODE * len(counts):
        times = np.asarray(list(counts.values()), dtype=np.float64)
        log_likelihood = float(np.sum(times * np.log(times / n)))
        criteria["category"] = -2 * log_likelihood + (len(times) - 1) * math.log(n)
    return min(criteria, key=criteria.__getitem__)


def _is_row_name(summary: ColumnSummary) -> bool:
    """Whether whole numbers number the rows rather than measure something."""
    numbers = summary.numbers
    assert numbers is not None
    if summary.distinct_share < 1.0:
        return False
    is_unnamed = re.fullmatch(r"|column_\d+|Unnamed: \d+", str(summary.name)) is not None
    if is_unnamed and numbers.increasing and numbers.upper - numbers.lower == numbers.n - 1:
        return True
    return _is_id_like(summary.name)


def _is_id_like(name: Name) -> bool:
    """Whether a word of the name, split at capitals and signs, is one that identifiers have."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", str(name))
    return any(word.casefold() in _ID_WORDS for word in (*words[:1], *words[-1:]))


def _levels_of(summary: ColumnSummary, kind: Kind) -> tuple[Level, ...]:
    if summary.levels is not None:
        levels = summary.levels
    elif summary.counts is None:
        raise DataError(
            f"Column {summary.name!r} of type {summary.native_dtype} cannot be a {kind}: it has "
            "too many values, or dates, which are no levels. State another kind."
        )
    elif kind == "boolean" and _says_yes_and_no(summary.counts):
        levels = tuple(sorted(summary.counts, key=lambda x: (str(x).casefold() in _YES, x)))
    else:
        levels = tuple(sorted(summary.counts))
    if kind == "boolean" and summary.dtype == "boolean":
        levels = (False, True)
    if kind == "boolean" and len(levels) != 2:
        raise DataError(
            f"Column {summary.name!r} cannot be boolean: it has {len(levels)} levels "
            f"({listed(levels)}), expected two. State that it is a category."
        )
    return levels


def _constant(summary: ColumnSummary, column: Column) -> Column:
    if summary.n_distinct != 1 and summary.n_present:
        raise DataError(
            f"Column {summary.name!r} cannot be constant: it has {summary.n_distinct} distinct "
            "values. State another kind; identifier leaves it out of models."
        )
    if summary.numbers is not None and summary.numbers.resolution is not None:
        return _with_dates(column, summary)
    levels = tuple(summary.counts or ())
    return dataclasses.replace(column, levels=levels if levels else (summary.levels or ())[:1])


def _with_range(column: Column, summary: ColumnSummary) -> Column:
    numbers, texts = summary.numbers, summary.texts
    if numbers is None or (texts is not None and texts.n_numbers < summary.n_present):
        # Booleans, no value at all, or text that is no number: encoding will complain about that.
        return dataclasses.replace(column, integer=column.dtype.startswith(("int", "uint")))
    if column.kind == "count" and not (numbers.integer and numbers.lower >= 0):
        raise DataError(
            f"Column {column.name!r} cannot be a count: it has values from {numbers.lower:g} to "
            f"{numbers.upper:g}{'' if numbers.integer else ', not all whole'}; expected 0, 1, 2, … "
            "State that it is continuous."
        )
    return dataclasses.replace(
        column,
        integer=numbers.integer,
        decimals=summary.declared_decimals or numbers.decimals,
        lower=numbers.lower,
        upper=numbers.upper,
    )


def _with_dates(column: Column, summary: ColumnSummary) -> Column:
    numbers, texts = summary.numbers, summary.texts
    if summary.n_present == 0:
        written = None if summary.dtype.startswith("date") else DATE_FORMATS[0]
        return dataclasses.replace(column, resolution="microsecond", date_format=written)
    is_written = texts is not None and bool(texts.formats)
    if numbers is None or numbers.resolution is None or (texts is not None and not is_written):
        raise DataError(
            f"Column {column.name!r} of type {summary.native_dtype} cannot be a date: expected "
            "dates, or text in one ISO 8601 form such as 2026-01-31."
        )
    return dataclasses.replace(
        column,
        lower=numbers.lower,
        upper=numbers.upper,
        resolution=numbers.resolution,
        date_format=min(texts.formats, key=len) if texts is not None else None,
    )
