"""What parameters of models of chains may be, and models that are built from parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.arguments import whole_number
from fabula.estimators.sequences.emissions import check_emission
from fabula.estimators.sequences.form import SequenceForm
from fabula.estimators.sequences.topologies import allowed_transitions
from fabula.families.base import Family
from fabula.learning.chain_starts import CHAIN_START_NAMES

__all__ = ["check_chain", "check_enough", "check_parameters", "plain_form"]


def check_parameters(model: Any) -> None:
    """Raise a UsageError where a parameter of a hidden Markov model makes no sense."""
    for name in ("n_states", "n_mixtures", "max_iter", "n_init"):
        whole_number(name, getattr(model, name))
    for name in ("tol", "prior_strength", "stickiness"):
        value = getattr(model, name)
        if not isinstance(value, int | float | np.number) or not 0 <= value < np.inf:
            raise UsageError(f"{name} must be a number that is not negative, not {value!r}.")
    if model.init_params is not None and model.init_params not in CHAIN_START_NAMES:
        raise UsageError(
            f"init_params must be one of {', '.join(CHAIN_START_NAMES)}, not {model.init_params!r}."
        )
    check_emission(model.emission)
    allowed_transitions(model.topology, model.n_states)


def check_enough(sequences: Sequences, n_states: int) -> None:
    """Raise a DataError where there is nothing to learn so many states from."""
    if not sequences.n_steps:
        raise DataError("The sequences have no steps at all: nothing can be learned.")
    if sequences.n_steps < n_states:
        raise DataError(
            f"HiddenMarkovModel with n_states={n_states} needs at least as many steps, "
            f"but the sequences have {sequences.n_steps} in all."
        )
    steps = sequences.steps
    if isinstance(steps, np.ndarray) and np.isnan(steps).all():
        raise DataError("Every step of every sequence is missing: nothing can be learned.")


def check_chain(start: FloatArray, transitions: FloatArray) -> None:
    """Raise a UsageError where these are no probabilities of a chain."""
    n = len(start) if start.ndim == 1 else 0
    if not n or transitions.shape != (n, n):
        raise UsageError(
            f"start must be (S,) and transitions (S, S); they have the shapes {start.shape} and "
            f"{transitions.shape}."
        )
    for name, rows in (("start", start[None]), ("transitions", transitions)):
        wrong = np.flatnonzero(~(np.isclose(rows.sum(axis=1), 1.0) & (rows >= 0).all(axis=1)))
        if len(wrong):
            place = f"row {wrong[0] + 1} (counting from 1) of " if name == "transitions" else ""
            raise UsageError(
                f"{place}{name} must hold probabilities that sum to 1, but sums to "
                f"{rows[wrong[0]].sum():.6g}."
            )


def plain_form(bank: Family, symbols: tuple[Any, ...]) -> SequenceForm:
    """The form of plain sequences over the columns of a family."""
    kinds, levels = [], []
    for j in range(bank.n_columns):
        part = bank.univariate_part(j)
        sizes = getattr(part[0], "n_levels", None) if part is not None else None
        kinds.append("continuous" if sizes is None else "category")
        levels.append(0 if part is None or sizes is None else int(sizes[part[1]]))
    if symbols and (len(levels) != 1 or levels[0] != len(symbols)):
        raise UsageError(
            f"There are {len(symbols)} symbols, but the emission has {levels} levels a column."
        )
    container = "texts" if all(isinstance(s, str) and len(s) == 1 for s in symbols) else "symbols"
    return SequenceForm(
        container if symbols else "list", tuple(kinds), tuple(levels), symbols, integer=any(levels)
    )
