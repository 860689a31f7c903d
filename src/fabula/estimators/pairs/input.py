"""Pairs of sequences, in every form in which users hand them in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.errors import DataError, UsageError
from fabula.sequences.alphabets import Alphabet, alphabet_named
from fabula.structures.pairs.blocks import Pairs

__all__ = ["PairInput", "letters_of", "read_pair", "read_pairs"]


@dataclass(frozen=True)
class PairInput:
    """Pairs as codes, with their names and letters."""

    pairs: Pairs
    names: tuple[tuple[str, str], ...]
    sequences: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def mean_length(self) -> float:
        """Mean length of all sequences."""
        return float(np.mean([self.pairs.x.lengths, self.pairs.y.lengths]))


def letters_of(alphabet: Any) -> Alphabet:
    """The alphabet of that name, or of those letters."""
    if not isinstance(alphabet, str) or not alphabet:
        raise UsageError(
            f"alphabet must be 'dna', 'rna', 'protein' or the letters themselves, not {alphabet!r}."
        )
    if alphabet.lower() in ("dna", "rna", "protein"):
        return alphabet_named(alphabet)
    letters = alphabet.upper()
    if len(set(letters)) < len(letters) or len(letters) < 2 or not letters.isascii():
        raise UsageError(
            f"The alphabet {alphabet!r} is neither 'dna', 'rna' nor 'protein' nor a list of two "
            "or more different letters."
        )
    unknown = next(letter for letter in "NX?*" if letter not in letters)
    return Alphabet("this alphabet", letters, unknown)


def read_pair(x: Any, y: Any, alphabet: Alphabet) -> PairInput:
    """One pair of texts or records."""
    for name, sequence in (("x", x), ("y", y)):
        if not _is_sequence(sequence):
            raise UsageError(
                f"{name} must be one sequence (a text or a record), not {_kind(sequence)}."
            )
    return _read([(x, y)], alphabet)


def read_pairs(X: Any, Y: Any, alphabet: Alphabet) -> PairInput:
    """Pairs from a list of (x, y) or of alignments, from two lists, or from two sequences."""
    if Y is None:
        if _is_sequence(X) or not isinstance(X, Iterable):
            raise UsageError(
                f"{_kind(X).capitalize()} is no pair: give a list of pairs (x, y), or X and Y, two "
                "sequences or two lists of them."
            )
        return _read([_two(item, i) for i, item in enumerate(X)], alphabet)
    if _is_sequence(X) and _is_sequence(Y):
        return _read([(X, Y)], alphabet)
    if any(_is_sequence(side) or not isinstance(side, Iterable) for side in (X, Y)):
        raise UsageError(
            "X and Y must both be one sequence, or both be lists of sequences, not "
            f"{_kind(X)} and {_kind(Y)}."
        )
    xs, ys = list(X), list(Y)
    if len(xs) != len(ys):
        raise DataError(
            f"X has {len(xs)} sequences and Y {len(ys)}: sequence i of X goes with sequence i of Y."
        )
    return _read(list(zip(xs, ys, strict=True)), alphabet)


def _read(items: list[tuple[Any, Any]], alphabet: Alphabet) -> PairInput:
    if not items:
        raise DataError("There are no pairs at all; expected one or more.")
    names, texts, places = [], [], []
    for i, item in enumerate(items):
        for axis, sequence in zip("xy", item, strict=True):
            own = getattr(sequence, "name", None)
            where = f"{axis} of pair {i + 1}" if len(items) > 1 else axis
            text = getattr(sequence, "sequence", sequence)
            if not isinstance(text, str):
                raise UsageError(f"{where} must be a text or a record, not {_kind(sequence)}.")
            if own:
                where = f"record {own!r} ({where})"
            if not text:
                raise DataError(f"{where} is empty: it has no letters to align.")
            names.append(str(own) if own else (axis if len(items) == 1 else f"{axis}{i + 1}"))
            texts.append(text)
            places.append(where)
    codes = alphabet.encode_all(texts, places)
    return PairInput(
        Pairs.of(codes[::2], codes[1::2]),
        tuple(zip(names[::2], names[1::2], strict=True)),
        tuple(zip(texts[::2], texts[1::2], strict=True)),
    )


@dataclass(frozen=True)
class _Named:
    name: str
    sequence: str


def _two(item: Any, i: int) -> tuple[Any, Any]:
    """The two sequences of a pair, or of an alignment."""
    if hasattr(item, "sequences") and hasattr(item, "names"):
        x, y = (_Named(n, s) for n, s in zip(item.names, item.sequences, strict=True))
        return x, y
    if isinstance(item, tuple | list) and len(item) == 2 and all(map(_is_sequence, item)):
        return item[0], item[1]
    raise UsageError(
        f"Pair {i + 1} (counted from 1) is {_kind(item)}; expected two sequences (x, y)."
    )


def _is_sequence(value: Any) -> bool:
    return isinstance(value, str) or isinstance(getattr(value, "sequence", None), str)


def _kind(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
