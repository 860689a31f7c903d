"""Findings about a classification with costs, in sentences that need no statistics to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabula.evaluation.metrics import Scores
from fabula.report.sentences import joined, number, percent, plural

__all__ = [
    "Decided",
    "Filled",
    "about_accuracy",
    "about_calibration",
    "about_decisions",
    "about_evidence",
    "about_filling",
    "about_holes",
    "count_decisions",
]


@dataclass(frozen=True)
class Decided:
    """What came of treating everybody whose probability reaches a threshold.

    Parameters
    ----------
    rule
        How it was decided, for tables.
    treated, missed, needless
        Rows treated; cases that were not; treated rows that were no cases.
    cost
        Altogether, in needless treatments.
    """

    rule: str
    treated: int
    missed: int
    needless: int
    cost: float


@dataclass(frozen=True)
class Filled:
    """How well removed cells were filled in, in standard deviations of their columns.

    Parameters
    ----------
    n_cells
        Cells that were filled.
    error, error_of_means
        Root mean square error of the model, and of filling in the mean of the column.
    coverage, level
        Share of the true values inside the intervals that the draws gave, and what was promised.
    """

    n_cells: int
    error: float
    error_of_means: float
    coverage: float
    level: float


def count_decisions(
    rule: str, is_case: NDArray[np.bool_], treated: NDArray[np.bool_], cost_of_miss: float
) -> Decided:
    """Count treatments and mistakes; a needless treatment costs 1."""
    missed = int((is_case & ~treated).sum())
    needless = int((~is_case & treated).sum())
    return Decided(rule, int(treated.sum()), missed, needless, needless + cost_of_miss * missed)


def about_holes(
    n_rows: int, n_columns: int, n_missing: int, n_complete: int, thing: str
) -> tuple[str, ...]:
    """How much of a table is there."""
    if not n_missing:
        return (f"The table has {n_columns:,} columns for {plural(n_rows, thing)}, all measured.",)
    nobody = "for none of them" if not n_complete else f"for only {n_complete:,} of them"
    return (
        f"The table has {plural(n_columns, 'measurement')} for {plural(n_rows, thing)}.",
        f"{percent(n_missing / (n_rows * n_columns), 0)} of the cells ({n_missing:,}) are empty; "
        f"everything was measured {nobody}.",
        "No row was left out and no cell was repaired before the model saw it.",
    )


def about_accuracy(scores: Scores, what: str, thing: str) -> tuple[str, ...]:
    """How often the most probable class was right, on rows the model had not seen."""
    right, area = scores.accuracy, scores.roc_auc
    return (
        f"The {what} that the model held most probable was right for "
        f"{percent(right.value)} of {scores.n:,} {thing}s that it had not seen "
        f"(with 95 % confidence between {percent(right.low)} and {percent(right.high)}).",
        f"Given one {thing} of each class, it gives the right one the higher probability in "
        f"{percent(area.value)} of all pairs.",
    )


def about_calibration(
    is_case: NDArray[np.bool_], stated: NDArray[np.float64], case: str, thing: str
) -> tuple[str, ...]:
    """Whether what was stated is what happened, for low, middling and high probabilities."""
    sentences = []
    for low, high, words in (
        (0.0, 0.1, "below 10 %"),
        (0.1, 0.9, "between 10 % and 90 %"),
        (0.9, 1.01, "of 90 % or more"),
    ):
        chosen = (stated >= low) & (stated < high)
        if not chosen.any():
            continue
        n, n_cases = int(chosen.sum()), int(is_case[chosen].sum())
        sentences.append(
            f"{plural(n, thing)} got a probability of {case} {words}, "
            f"{percent(float(stated[chosen].mean()))} on average; "
            f"{n_cases:,} of them ({percent(n_cases / n)}) had it."
        )
    return tuple(sentences)


def about_decisions(
    by_costs: Decided,
    by_class: Decided,
    treat_all: Decided,
    n_cases: int,
    cost_of_miss: float,
    treatment: str,
    treatments: str,
    case: str,
) -> tuple[str, ...]:
    """What deciding by expected cost does, against the obvious alternatives."""
    threshold = 1.0 / (1.0 + cost_of_miss)
    kept = treat_all.treated - by_costs.treated
    caught = n_cases - by_costs.missed
    return (
        f"Say that a missed {case} costs as much as {number(cost_of_miss)} needless {treatments}.",
        f"Then a {treatment} is worth while from a probability of {percent(threshold)} on.",
        f"Decided like this, {by_costs.treated:,} of {treat_all.treated:,} have a {treatment}: "
        f"{caught:,} of {n_cases:,} {case}s are found, {by_costs.missed:,} missed, and "
        f"{by_costs.needless:,} {treatments} were needless.",
        f"Against a {treatment} for everybody, {kept:,} are spared one.",
        f"Acting on the more probable diagnosis instead would miss {by_class.missed:,} and cost "
        f"{_ratio(by_class.cost, by_costs.cost)}.",
    )


def about_filling(filled: Filled) -> tuple[str, ...]:
    """How well cells were filled in whose values are known."""
    less = 1.0 - filled.error / filled.error_of_means
    return (
        f"{filled.n_cells:,} cells had been emptied on purpose, so that the truth is known.",
        f"The model fills them in with an error of {filled.error:.2f} standard deviations; the "
        f"mean of each column would be wrong by {filled.error_of_means:.2f}: "
        f"{percent(less, 0)} of the error is gone.",
        f"Asked for a range that should hold the truth in {percent(filled.level, 0)} of the cells, "
        f"it gives one that does in {percent(filled.coverage)}.",
    )


def about_evidence(
    who: str,
    probability: float,
    case: str,
    names: Sequence[str],
    values: NDArray[np.float64],
    cells: Sequence[object],
) -> tuple[str, ...]:
    """Why the model thinks so about one row: what spoke most for the case and against it."""
    order = np.argsort(-np.abs(values), kind="stable")
    seen = [i for i in order if cells[i] is not None]
    spoke_for = [f"{names[i]} ({cells[i]})" for i in seen if values[i] > 0][:3]
    against = [f"{names[i]} ({cells[i]})" for i in seen if values[i] < 0][:3]
    n_missing = len(cells) - len(seen)
    sentences = [f"{who} has {case} with a probability of {percent(probability)}."]
    if spoke_for:
        sentences.append(f"What spoke most for it: {joined(spoke_for)}.")
    if against:
        sentences.append(f"What spoke most against it: {joined(against)}.")
    if n_missing:
        sentences.append(f"{plural(n_missing, 'empty cell')} said nothing.")
    return tuple(sentences)


def _ratio(cost: float, other: float) -> str:
    if other <= 0:
        return "more"
    ratio = cost / other
    if ratio < 1:
        return f"{percent(1 - ratio, 0)} less"
    return f"{ratio:.1f} times as much"
