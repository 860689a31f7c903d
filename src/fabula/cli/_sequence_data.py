"""Sequences by the files they come in: tables, lines of text, letters and sound."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from fabula.cli._tables import drop_columns, need_column
from fabula.core.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from fabula.cli._models import LoadedModel
    from fabula.cli._options import Reading

__all__ = [
    "SEQUENCE_MODELS",
    "SequenceData",
    "SequencePlan",
    "SequenceSource",
    "TextUnit",
    "find_source",
    "is_plain_text",
]

SEQUENCE_MODELS = ("hmm", "markov-chain", "autoregressive")
_OF_SYMBOLS = ("markov-chain", "autoregressive")

Form = Literal["table", "text", "letters", "sound"]
TextUnit = Literal["lines", "whole"]

_LETTERS = (".fa", ".fas", ".fasta", ".fsa", ".fna", ".ffn", ".frn", ".faa", ".fq", ".fastq")
_TEXT = (".txt", ".text")
_SOUND = (".wav", ".wave")
_TABLES = (".csv", ".tsv", ".tab", ".parquet")
_PACKED = (".gz", ".bz2", ".xz")

# So many bytes of a file tell whether it is a table.
_HEAD = 1 << 16


@dataclass(frozen=True)
class SequenceData:
    """Sequences that were read.

    Parameters
    ----------
    x
        What the estimator takes: a table, texts, lists of letters, or arrays of features.
    names
        What each sequence is called.
    lengths
        Number of steps of each.
    labels
        Class of each, None where it has none; None where no classes were asked for.
    texts
        The letters as they stand in the file, where ``x`` is letters or lines.
    unknown
        The letter that stands for any, where such letters are missing in ``x``.
    sample_rate
        Samples in a second, of sounds.
    """

    x: Any
    names: list[str]
    lengths: list[int]
    labels: list[Any] | None = None
    texts: list[str] | None = None
    unknown: str | None = None
    sample_rate: int | None = None

    @property
    def n_steps(self) -> int:
        """Steps of all sequences together."""
        return sum(self.lengths)


@dataclass(frozen=True)
class SequencePlan:
    """Which model of sequences to fit.

    Parameters
    ----------
    model
        Its name on the command line, or "auto".
    states, order
        Hidden states of a hidden Markov model; symbols that a Markov chain looks back.
    calibrate
        Calibration map to put over the probabilities of classes.
    kinds
        column=kind, of a table.
    seed, settings
        See `make_estimator`.
    target, drop
        Columns of a table: with the class of each sequence, and to leave out.
    guessed
        Whether nobody said that the data are lines of text.
    """

    model: str
    states: int | None
    order: int | None
    calibrate: str | None
    kinds: list[str] | None
    seed: int | None
    settings: tuple[str, ...]
    target: str | None = None
    drop: list[str] | None = None
    guessed: bool = False


@dataclass(frozen=True)
class SequenceSource:
    """How files of one kind become sequences; kept with the model, so that questions read alike.

    Parameters
    ----------
    form
        "table": rows are steps; "text"; "letters" of FASTA and FASTQ files; "sound" files in a
        folder for each class.
    sequence, time
        Columns of a table.
    unit
        Whether each line of a text is a sequence, or the whole file.
    masked
        Whether unknown letters are missing, rather than symbols like any other.
    unknown
        The letter that stands for any in the data of the fit; told by the letters if not stated.
    sample_rate
        Samples in a second of the sounds of the fit; later ones are made to agree.
    """

    form: Form
    sequence: str | None = None
    time: str | None = None
    unit: TextUnit = "lines"
    masked: bool = False
    unknown: str | None = None
    sample_rate: int | None = None

    def to_notes(self) -> dict[str, Any]:
        """What is kept with the model."""
        return asdict(self)

    @classmethod
    def of(cls, loaded: LoadedModel) -> SequenceSource | None:
        """What was kept with a model, or what it was fitted to says; None if it is of rows."""
        kept = loaded.notes.get("sequences")
        if kept is not None:
            return cls(**kept)
        form = getattr(loaded.storyteller, "form_", None)
        # Networks over rows have a form of another kind.
        if form is None or not hasattr(form, "symbols"):
            return None
        return cls("text" if form.symbols else "table", form.sequence, form.time)

    def settled(self, data: SequenceData) -> SequenceSource:
        """The same source with what the data of the fit told of it."""
        return replace(self, unknown=data.unknown, sample_rate=data.sample_rate)

    def read(
        self,
        path: str,
        reading: Reading,
        *,
        target: str | None = None,
        drop: list[str] | None = None,
    ) -> SequenceData:
        """The sequences of a file or folder.

        Parameters
        ----------
        target
            Column of a table with the class of each sequence, which is left out of the steps; the
            classes of a folder go by the names of its folders or files.
        """
        if self.form == "table":
            return self._read_table(drop_columns(reading.read(path), drop), target)
        for option, value in (("--target", target), ("--drop", drop)):
            if value:
                raise UsageError(f"{option} names a column of a table, but {path} is none.")
        if self.form == "sound":
            return self._read_sounds(path)
        if os.path.isdir(path):
            return self._read_folder(path)
        texts, names = self._read_texts(path)
        return self._of_texts(texts, names)

    def _read_table(self, frame: pl.DataFrame, target: str | None) -> SequenceData:
        if not frame.height:
            raise DataError("The table has no rows, so there are no sequences in it.")
        for name, option in ((self.sequence, "--sequence"), (self.time, "--time")):
            if name is not None:
                need_column(frame, name, option)
        labels = None
        if target is not None:
            need_column(frame, target)
            labels = _labels(frame, self.sequence, target)
            frame = frame.drop(target)
        if self.sequence is None:
            return SequenceData(frame, ["1"], [frame.height], labels)
        sizes = frame.group_by(self.sequence, maintain_order=True).len()
        names = [str(name) for name in sizes[self.sequence].to_list()]
        return SequenceData(frame, names, sizes["len"].to_list(), labels)

    def _read_texts(self, path: str) -> tuple[list[str], list[str]]:
        from fabula import sequences

        if self.form == "letters":
            records = sequences.read_sequences(path)
            return [record.sequence for record in records], [record.name for record in records]
        if self.unit == "whole":
            return [sequences.read_text(path)], [os.path.basename(path)]
        lines = sequences.read_lines(path)
        return lines, [str(i + 1) for i in range(len(lines))]

    def _of_texts(
        self, texts: list[str], names: list[str], labels: list[Any] | None = None
    ) -> SequenceData:
        x: Any = [text.upper() for text in texts] if self.form == "letters" else texts
        unknown = None
        if self.form == "letters" and self.masked:
            unknown = self.unknown or unknown_letter(x)
            x = [[None if letter == unknown else letter for letter in text] for text in x]
        return SequenceData(x, names, list(map(len, texts)), labels, texts, unknown)

    def _read_folder(self, path: str) -> SequenceData:
        texts: list[str] = []
        names: list[str] = []
        labels: list[Any] = []
        for name in sorted(os.listdir(path)):
            stem = _without_packing(name)
            if os.path.splitext(stem)[1].lower() in (*_LETTERS, *_TEXT):
                new, its_names = self._read_texts(os.path.join(path, name))
                texts += new
                names += [f"{name}:{each}" for each in its_names]
                labels += [os.path.splitext(stem)[0]] * len(new)
        return self._of_texts(texts, names, labels)

    def _read_sounds(self, path: str) -> SequenceData:
        from fabula.sequences import read_sound_folder, read_wav, sound_features

        if not os.path.isdir(path):
            samples, rate = read_wav(path)
            rows = sound_features(samples, rate, sample_rate=self.sample_rate)
            name = os.path.basename(path)
            return SequenceData([rows], [name], [len(rows)], sample_rate=rate)
        found = read_sound_folder(path, sample_rate=self.sample_rate)
        lengths = list(map(len, found.features))
        labels = found.labels.tolist()
        known = None if labels[0] is None else labels
        _, rate = read_wav(os.path.join(path, found.names[0]))
        return SequenceData(found.features, found.names, lengths, known, sample_rate=rate)


def find_source(
    data: str,
    model: str,
    sequence: str | None = None,
    time: str | None = None,
    unit: TextUnit | None = None,
    *,
    table: bool = False,
) -> SequenceSource | None:
    """What kind of sequences ``data`` holds, or None if it is a table of independent rows.

    Parameters
    ----------
    table
        Whether something else was asked for that only tables have.
    """
    if os.path.isdir(data):
        form = _form_of_folder(data)
    elif data.lower().endswith(_SOUND):
        form = "sound"
    elif _without_packing(data).lower().endswith(_LETTERS) or (
        model in SEQUENCE_MODELS and sequence is None and unit is None and _pipes_letters(data)
    ):
        form = "letters"
    elif unit is not None or (
        sequence is None
        and (
            (model in _OF_SYMBOLS and not _without_packing(data).lower().endswith(_TABLES))
            or (model == "hmm" and _names_text(data))
        )
    ):
        form = "text"
    elif sequence is not None or time is not None or model in SEQUENCE_MODELS:
        form = "table"
    elif model == "auto" and not table and is_plain_text(data):
        form = "text"
    else:
        return None
    if form != "table" and (sequence is not None or time is not None):
        raise UsageError(f"--sequence and --time name columns of a table, but {data} is none.")
    if form != "text" and unit is not None:
        raise UsageError(f"--text goes with files of text, but {data} is none.")
    if model != "auto" and model not in SEQUENCE_MODELS:
        raise UsageError(
            f"--model {model} is for tables of independent rows; for sequences there are "
            f"{', '.join(SEQUENCE_MODELS)}."
        )
    masked = form == "letters" and model == "hmm"
    return SequenceSource(form, sequence, time, unit or "lines", masked)


def unknown_letter(texts: list[str]) -> str:
    """The letter that stands for any: N among nucleotides, X in proteins."""
    nucleotides = set("ACGTUNRYSWKMBDHV")
    return "N" if all(nucleotides.issuperset(text) for text in texts) else "X"


def is_plain_text(path: str) -> bool:
    """Whether a file whose name says that it is text holds lines that are no rows of a table.

    Lines of numbers are rows, as are lines that are all cut into as many cells, and words that
    keep coming back are categories.
    """
    if not _names_text(path) or not os.path.isfile(path):
        return False
    from fabula.sequences.sources import open_source

    with open_source(path, "text") as stream:
        head = stream.read(_HEAD)
    lines = head.decode("utf-8", errors="replace").split("\n")
    if len(head) == _HEAD and len(lines) > 1:
        lines.pop()  # it was cut
    lines = [line.strip() for line in lines if line.strip()]
    if len(set(lines)) < 0.5 * len(lines) or not lines:
        return False
    for mark in "\t;|,":
        cells = {line.count(mark) for line in lines}
        if len(cells) == 1 and cells != {0}:
            return False
    return sum(any(letter.isalpha() for letter in line) for line in lines) > 0.5 * len(lines)


def _pipes_letters(path: str) -> bool:
    """Whether what comes on standard input begins as FASTA does."""
    if path != "-" or not hasattr(sys.stdin.buffer, "peek"):
        return False
    return bool(sys.stdin.buffer.peek(1)[:1] == b">")


def _names_text(path: str) -> bool:
    return _without_packing(path).lower().endswith(_TEXT)


def _form_of_folder(path: str) -> Form:
    endings = {
        os.path.splitext(_without_packing(name))[1].lower()
        for _, _, names in os.walk(path)
        for name in names
    }
    if endings & {*_SOUND, ".flac", ".ogg", ".aif", ".aiff", ".mp3"}:
        return "sound"
    if endings & set(_LETTERS):
        return "letters"
    if endings & set(_TEXT):
        return "text"
    raise UsageError(
        f"The folder {path} holds no sequences: expected a folder of sound files for each class, "
        "or a file of lines (.txt) or of FASTA records for each class."
    )


def _without_packing(name: str) -> str:
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in _PACKED else name


def _labels(frame: pl.DataFrame, sequence: str | None, target: str) -> list[Any]:
    """The one label of each sequence, in the order in which the sequences appear."""
    import polars as pl

    if sequence is None:
        raise UsageError(
            "--target says which class a whole sequence is of: say with --sequence which rows are "
            "one sequence."
        )
    known = pl.col(target).drop_nulls()
    found = frame.group_by(sequence, maintain_order=True).agg(
        known.n_unique().alias("number"), known.first().alias("label")
    )
    mixed = found.filter(pl.col("number") > 1)
    if mixed.height:
        raise DataError(
            f"Sequence {mixed[sequence][0]!r} has {mixed['number'][0]} different labels in column "
            f"{target!r}, but a sequence is of one class. To learn the states of steps from "
            "labels, leave --target out and see `states` of HiddenMarkovModel.fit in Python."
        )
    return found["label"].to_list()
