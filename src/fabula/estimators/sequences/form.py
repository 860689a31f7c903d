"""How sequences were handed in, how they become numbers, and how answers go back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.columns import Columns
from fabula.estimators.sequences.frames import (
    add_columns,
    drop_columns,
    read_frame,
    stack_frames,
)
from fabula.estimators.sequences.input import Raw, look_at
from fabula.estimators.sequences.steps import encode_symbols, first_infinity, symbols_of
from fabula.persistence.registry import storable
from fabula.tables.encoding import Field, TableEncoding

__all__ = ["Reading", "SequenceForm", "learn_form"]

_CONTAINERS = ("array", "list", "cube", "texts", "symbols", "frame", "frames")


@dataclass(frozen=True)
class Reading:
    """Sequences as numbers, and what is needed to answer in the form of the data."""

    sequences: Sequences
    container: str
    order: NDArray[np.intp] | None = None  # row of the table at which each step stands
    ids: tuple[Any, ...] | None = None  # what each sequence of a table is called

    def give(self, values: Any) -> Any:
        """One value a step, in the shape of the data: values (N, …) in the order of the steps.

        A list of arrays for a list, an array (n, T, …) for a cube; else one array with an entry
        for each row that was handed in.
        """
        if self.container in ("list", "texts", "symbols", "frames"):
            return np.split(values, self.sequences.offsets[1:-1]) if len(self.sequences) else []
        if self.container == "cube":
            return values.reshape(len(self.sequences), -1, *values.shape[1:])
        if self.order is None:
            return values
        rows = np.empty_like(values)
        rows[self.order] = values
        return rows


@storable("estimator/sequence_form")
@dataclass(frozen=True)
class SequenceForm:
    """What sequences look like to their owner.

    Parameters
    ----------
    container : str
        "array" (all steps stacked), "list" of arrays, "cube" (n, T, d), "texts", "symbols" (lists
        of symbols), "frame" or "frames" (a list of them).
    kinds : tuple of str
        What each encoded column is: "continuous", "count", "category" or "boolean"; of frames the
        encoding knows.
    n_levels : tuple of int
        Number of levels of each column; 0 for numbers.
    symbols : tuple
        The symbols that the codes 0, 1, … of the only column stand for, where there are any.
    encoding : TableEncoding, optional
        How a frame becomes rows, and back.
    package : str
        "numpy", or the library of the frames.
    sequence, time : column name, optional
        Columns of a frame that say which sequence a row belongs to, and when.
    flat : bool
        Whether a step was one number, not an array of one.
    integer : bool
        Whether all numbers were held as whole numbers.
    """

    container: str
    kinds: tuple[str, ...] = ()
    n_levels: tuple[int, ...] = ()
    symbols: tuple[Any, ...] = ()
    encoding: TableEncoding | None = None
    package: str = "numpy"
    sequence: Any = None
    time: Any = None
    flat: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        if self.container not in _CONTAINERS:
            raise DataError(f"{self.container!r} is no form of sequences.")
        if len(self.kinds) != len(self.n_levels):
            raise DataError("A form of sequences needs as many kinds as numbers of levels.")

    @cached_property
    def columns(self) -> Columns:
        """What each encoded column stands for."""
        if self.encoding is not None:
            return Columns(tuple(self.encoding.fields))
        kinds = zip(self.kinds, self.n_levels, strict=True)
        return Columns(tuple(Field(j, kind, levels) for j, (kind, levels) in enumerate(kinds)))  # type: ignore[arg-type]

    @property
    def n_columns(self) -> int:
        """d, the number of encoded columns."""
        return len(self.columns.fields)

    def keep(self, encoded: Sequence[int]) -> SequenceForm:
        """The form of some of the encoded columns, in that order."""
        if self.encoding is not None:
            fields = self.columns.fields
            names = dict.fromkeys(fields[j].column for j in encoded)
            return replace(self, encoding=self.encoding.select(list(names)))
        kinds, levels = self.kinds, self.n_levels
        return replace(
            self,
            kinds=tuple(kinds[j] for j in encoded),
            n_levels=tuple(levels[j] for j in encoded),
        )

    def separate(self) -> SequenceForm:
        """A form that keeps sequences of any lengths apart, where this one does not."""
        if self.container in ("array", "cube"):
            return replace(self, container="list")
        if self.container == "frame" and self.sequence is None:
            return replace(self, container="frames")
        return self

    # Reading ----------------------------------------------------------------------------------

    def read(self, X: Any, lengths: Any = None) -> Reading:
        """Sequences of this form, or of another that holds the same columns."""
        if isinstance(X, Sequences):
            return Reading(X, "list")
        raw = look_at(X, lengths)
        if raw.container in ("frame", "frames"):
            return self._read_frame(raw, lengths)
        if self.encoding is not None:
            return self._read_steps_as_frame(raw)
        if raw.symbolic:
            if not self.symbols:
                raise DataError(
                    "These sequences hold symbols (text), but the model was fitted to numbers."
                )
            steps = encode_symbols(raw.parts, self.symbols)
        else:
            if self.symbols:
                raise DataError(
                    "The model was fitted to symbols such as "
                    f"{self.symbols[0]!r}, but these sequences hold numbers."
                )
            steps = raw.steps
        if steps.shape[1] != self.n_columns and len(steps):
            raise DataError(
                f"X has {steps.shape[1]} columns, but the model was fitted to {self.n_columns}."
            )
        steps = steps if steps.shape[1] == self.n_columns else np.zeros((0, self.n_columns))
        sequences = Sequences(steps, raw.offsets)
        refuse_infinities(sequences)
        for j in self.columns.levels:
            _n_levels(steps, raw.offsets, j, self.kinds[j])
        return Reading(sequences, raw.container)

    def _read_frame(self, raw: Raw, lengths: Any) -> Reading:
        if self.encoding is None:
            if raw.frame is None or self.symbols:
                raise DataError("The model was fitted to sequences that are no data frames.")
            values = raw.frame.to_numpy() if hasattr(raw.frame, "to_numpy") else None
            if values is None:
                values = np.column_stack([np.asarray(c) for c in raw.frame.columns])
            read = self.read(values, raw.lengths)
            return replace(read, container=raw.container)
        return read_frame_steps(raw, lengths, self.encoding, self.sequence, self.time)

    def _read_steps_as_frame(self, raw: Raw) -> Reading:
        numeric = all(field.kind == "continuous" for field in self.columns.fields)
        if raw.symbolic or not numeric or raw.steps.shape[1] != self.n_columns:
            raise DataError(
                "The model was fitted to data frames with the columns "
                f"{', '.join(map(str, self.columns.names))}; hand in a data frame with these "
                "columns, since an array does not say what its numbers stand for."
            )
        sequences = Sequences(raw.steps, raw.offsets)
        refuse_infinities(sequences)
        return Reading(sequences, raw.container)

    # Giving back ------------------------------------------------------------------------------

    def write(self, sequences: Sequences) -> Any:
        """Sequences in the form of the data of the fit."""
        steps = np.asarray(sequences.steps, dtype=np.float64)
        for j, levels in self.columns.levels.items():
            steps[:, j] = np.clip(np.rint(steps[:, j]), 0, levels)
        if self.encoding is not None:
            frame = self.encoding.decode(steps, like=self.package)
            if self.container == "frames":
                places = pairwise(sequences.offsets.tolist())
                return [_rows_of(frame, a, b) for a, b in places]
            return add_columns(frame, self.sequence, self.time, sequences.lengths)
        ends = list(pairwise(sequences.offsets))
        if self.container in ("texts", "symbols"):
            table = np.array([*self.symbols, None], dtype=object)
            codes = np.where(np.isnan(steps[:, 0]), len(self.symbols), steps[:, 0])
            names = table[codes.astype(np.intp)]
            lists = [names[a:b].tolist() for a, b in ends]
            if self.container == "texts" and None not in names:
                return ["".join(part) for part in lists]
            return lists
        if self.integer and not np.isnan(steps).any() and np.all(steps == np.rint(steps)):
            steps = steps.astype(np.int64)
        cells = steps[:, 0] if self.flat else steps
        if self.container == "array":
            return cells
        lengths = set(sequences.lengths.tolist())
        if self.container == "cube" and len(lengths) == 1:
            return cells.reshape(len(sequences), lengths.pop(), *cells.shape[1:])
        return [cells[a:b] for a, b in ends]

    def fill(self, X: Any, reading: Reading, steps: FloatArray) -> Any:
        """``X`` with its missing cells taken from complete steps (N, d)."""
        like = replace(self, container=reading.container) if reading.container != "frame" else self
        if reading.container in ("frame", "frames") and self.encoding is not None:
            frame = stack_frames(X) if reading.container == "frames" else X
            rows = np.empty_like(steps)
            rows[slice(None) if reading.order is None else reading.order] = steps
            filled = self.encoding.fill_missing(frame, rows)
            if reading.container == "frame":
                return filled
            offsets = reading.sequences.offsets
            return [_rows_of(filled, int(a), int(b)) for a, b in pairwise(offsets)]
        if self.symbols and like.container not in ("texts", "symbols"):
            like = self
        return like.write(reading.sequences.with_steps(steps.copy()))


def learn_form(
    X: Any,
    lengths: Any = None,
    *,
    sequence: Any = None,
    time: Any = None,
    kinds: Mapping[Any, Any] | None = None,
    array_kind: str = "continuous",
    left_out: tuple[Any, ...] = (),
) -> tuple[SequenceForm, Reading]:
    """The form of these sequences, and the sequences as numbers.

    Parameters
    ----------
    array_kind : str
        What the columns of an array are, unless ``kinds`` says otherwise.
    left_out : tuple
        Further columns of a frame that say nothing of the steps.
    """
    raw = look_at(X, lengths)
    if raw.frame is not None:
        aside = [name for name in (sequence, time, *left_out) if name is not None]
        # What says where a row belongs is looked at by `read_frame`, not as a column of a table.
        steps_only = drop_columns(raw.frame, aside) if aside else raw.frame
        encoding = TableEncoding.fit(steps_only, kinds=dict(kinds) if kinds else None)
        if not encoding.fields:
            raise DataError(
                "No column of the table can be modelled: none is left after leaving out "
                "the columns of sequences and times, identifiers and constants."
            )
        package = type(raw.frame).__module__.partition(".")[0]
        form = SequenceForm(
            raw.container, encoding=encoding, package=package, sequence=sequence, time=time
        )
        return form, read_frame_steps(raw, lengths, encoding, sequence, time)
    if sequence is not None or time is not None:
        raise UsageError(
            "sequence and time name columns of a data frame, but X is no data frame: hand in "
            "lengths or a list of sequences instead."
        )
    if raw.symbolic:
        symbols = symbols_of(raw.parts)
        steps = encode_symbols(raw.parts, symbols)
        form = SequenceForm(
            "symbols" if raw.container == "array" else raw.container,
            ("category",),
            (len(symbols),),
            symbols,
        )
    else:
        steps = raw.steps
        if steps.shape[1] == 0:
            raise DataError("The steps of the sequences have no columns.")
        names = _array_kinds(steps.shape[1], kinds, array_kind)
        levels = tuple(_n_levels(steps, raw.offsets, j, kind) for j, kind in enumerate(names))
        form = SequenceForm(raw.container, names, levels, flat=raw.flat, integer=raw.integer)
    sequences = Sequences(steps, raw.offsets)
    refuse_infinities(sequences)
    return form, Reading(sequences, raw.container)


def refuse_infinities(sequences: Sequences) -> None:
    """NaN means missing; an infinity means that something went wrong before."""
    place = first_infinity(sequences.steps)
    if place is None:
        return
    step, column = place
    which, within = where(sequences.offsets, step)
    raise DataError(
        f"Sequence {which}, step {within} (counting from 1), column {column} is "
        f"{sequences.steps[step, column]}: an infinity says that something went wrong before. "
        "Write NaN where a value is missing."
    )


def where(offsets: NDArray[np.intp], step: int) -> tuple[int, int]:
    """Sequence and step within it, both counted from 1, of a step of the stack."""
    which = int(np.searchsorted(offsets, step, side="right")) - 1
    return which + 1, step - int(offsets[which]) + 1


def read_frame_steps(
    raw: Raw, lengths: Any, encoding: TableEncoding, sequence: Any, time: Any
) -> Reading:
    """Rows of a frame, sequence by sequence and in the order of time."""
    encoded = encoding.encode(raw.frame)
    if raw.container == "frames":
        return Reading(Sequences(encoded, raw.offsets), "frames")
    if lengths is not None and sequence is not None:
        raise UsageError("Either lengths or the column `sequence` says where sequences end.")
    offsets, order, ids = read_frame(raw.frame, sequence, time, raw.offsets)
    steps = encoded if order is None else encoded[order]
    return Reading(Sequences(steps, offsets), "frame", order, ids)


def _array_kinds(d: int, kinds: Mapping[Any, Any] | None, array_kind: str) -> tuple[str, ...]:
    named = [array_kind] * d
    for column, kind in (kinds or {}).items():
        if not isinstance(column, int | np.integer) or not 0 <= column < d:
            raise UsageError(
                f"kinds: there is no column {column!r}; the columns of an array are 0 to {d - 1}."
            )
        if kind not in ("continuous", "count", "category", "boolean"):
            raise UsageError(
                f"kinds: in an array a column can be continuous, count, category or boolean, not "
                f"{kind!r}."
            )
        named[int(column)] = kind
    return tuple(named)


def _n_levels(steps: FloatArray, offsets: NDArray[np.intp], column: int, kind: str) -> int:
    """Number of levels of a column; a DataError where a cell can be none."""
    if kind == "continuous":
        return 0
    cells = steps[:, column]
    wrong = np.flatnonzero(~np.isnan(cells) & ((cells != np.floor(cells)) | (cells < 0)))
    if len(wrong):
        which, step = where(offsets, int(wrong[0]))
        raise DataError(
            f"Sequence {which}, step {step} (counting from 1), column {column} is "
            f"{cells[wrong[0]]:g}, but a {kind} must be 0, 1, 2, …. "
            "Symbols of another kind can be text."
        )
    if kind == "count":
        return 0
    return 2 if kind == "boolean" else int(np.nanmax(cells, initial=0.0)) + 1


def _rows_of(frame: Any, first: int, last: int) -> Any:
    if hasattr(frame, "iloc"):
        return frame.iloc[first:last]
    return frame[first:last] if hasattr(frame, "to_series") else frame.slice(first, last - first)
