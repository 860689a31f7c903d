"""One symbol a step: the alphabet of sequences, stated or found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fabula.core.blocks import Sequences
from fabula.core.errors import DataError, UsageError
from fabula.estimators.sequences.form import Reading, SequenceForm
from fabula.estimators.sequences.symbol_questions import SymbolQuestions, listed
from fabula.structures.chains.ngram_tree import as_codes

__all__ = ["LearnsSymbols"]


class LearnsSymbols(SymbolQuestions):
    """Estimators that take one symbol a step, of an alphabet that may be stated."""

    alphabet: Any
    ends: Any

    def _array_kind(self) -> str:
        return "category"

    def _learn_form(
        self, X: Any, lengths: Any = None, left_out: tuple[Any, ...] = ()
    ) -> tuple[SequenceForm, Reading]:
        form, reading = super()._learn_form(listed(X), lengths, left_out)
        if self.alphabet is not None:
            if not form.symbols:
                raise UsageError("alphabet goes with texts and lists of symbols, not with numbers.")
            symbols = tuple(self.alphabet)
            form = replace(form, symbols=symbols, n_levels=(len(symbols),))
            reading = form.read(listed(X), lengths)
        fields = form.columns.fields
        if len(fields) != 1 or fields[0].kind not in ("category", "boolean"):
            raise DataError(
                f"{type(self).__name__} takes one symbol a step, but these steps have "
                f"{len(fields)} column{'s' * (len(fields) != 1)} "
                f"({', '.join(field.kind for field in fields)}). Leave one column of categories."
            )
        return form, reading

    def _read_symbols(self, X: Any, lengths: Any) -> tuple[Sequences, bool]:
        """Codes to learn from, and whether sequences end: other than one single text, if "auto"."""
        reading = self._reading(listed(X), lengths, reset=True)
        sequences = as_codes(reading.sequences, self._n_symbols)
        self._check_symbols(sequences)
        return sequences, not isinstance(X, str) if self.ends == "auto" else bool(self.ends)

    def _check_symbols(self, sequences: Sequences) -> None:
        if not sequences.n_steps:
            raise DataError("The sequences have no symbols at all: nothing can be learned.")
        unknown = np.flatnonzero(sequences.steps == self._n_symbols)
        if len(unknown) and self.alphabet is not None:
            which = int(np.searchsorted(sequences.offsets, unknown[0], side="right"))
            step = int(unknown[0] - sequences.offsets[which - 1]) + 1
            raise DataError(
                f"Sequence {which}, step {step} (counting from 1) holds a symbol that is not in "
                "alphabet: add it there, or remove it."
            )

    def _check_ends(self) -> None:
        if self.ends not in ("auto", True, False):
            raise UsageError(f"ends must be True, False or 'auto', not {self.ends!r}.")

    def _check_alphabet(self) -> None:
        if self.alphabet is None:
            return
        try:
            symbols = list(self.alphabet)
            repeated = len(set(symbols)) < len(symbols)
        except TypeError:
            raise UsageError(
                f"alphabet must be a text or a list of symbols, not {self.alphabet!r}."
            ) from None
        if repeated or not symbols:
            raise UsageError("alphabet must hold at least one symbol, and none twice.")
