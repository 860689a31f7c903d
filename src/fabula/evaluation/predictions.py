"""Checks of what every measure takes: classes that happened, probabilities that were stated."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.errors import DataError, UsageError

__all__ = [
    "CalibrationKind",
    "Floats",
    "check_confidence",
    "check_predictions",
    "check_weights",
    "outcomes",
]

Floats: TypeAlias = NDArray[np.float64]

CalibrationKind: TypeAlias = Literal["auto", "positive", "top_label", "classwise"]
"""Which probabilities are held against what happened, see :func:`outcomes`."""

# Probabilities read back from a file with three decimals still pass; logits or scores do not.
_SUM_TOLERANCE = 2e-3
_RANGE_TOLERANCE = 1e-6


def check_predictions(y: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.intp], Floats]:
    """Return class codes (n,) and probabilities (n, K), or say what is wrong with them.

    Parameters
    ----------
    y : array-like (n,)
        Codes 0 … K-1 of the classes that happened.
    probabilities : array-like (n, K) or (n,)
        Stated probabilities; a vector is the probability of class 1 of two.

    Raises
    ------
    DataError
        Where a row (1-based) is missing, unlabelled, out of range or does not sum to 1.
    """
    stated = _floats(probabilities, "probabilities")
    if stated.ndim == 1:
        stated = np.column_stack([1.0 - stated, stated])
    if stated.ndim != 2 or stated.shape[1] < 2:
        raise DataError(
            f"probabilities have the shape {stated.shape}; expected (n, K) with one column per "
            "class and at least two classes, or (n,) with the probability of class 1 of two."
        )
    n, n_classes = stated.shape
    codes = _codes(y, n_classes)
    if codes.shape[0] != n:
        raise DataError(
            f"y has {codes.shape[0]} rows and probabilities {n}; they must describe the same rows."
        )
    if n == 0:
        raise DataError("there is no row to measure: y and probabilities are empty.")
    row = _first(~np.all(np.isfinite(stated), axis=1))
    if row is not None:
        raise DataError(
            f"probabilities: row {row + 1} (counted from 1) holds {_show(stated[row])}; every "
            "probability must be a finite number. Leave out the rows that have no prediction."
        )
    row = _first(np.any((stated < -_RANGE_TOLERANCE) | (stated > 1 + _RANGE_TOLERANCE), axis=1))
    if row is not None:
        raise DataError(
            f"probabilities: row {row + 1} (counted from 1) holds {_show(stated[row])}, which is "
            "outside 0 … 1. Scores and log-odds must be turned into probabilities first."
        )
    row = _first(np.abs(stated.sum(axis=1) - 1.0) > _SUM_TOLERANCE)
    if row is not None:
        raise DataError(
            f"probabilities: row {row + 1} (counted from 1) sums to {stated[row].sum():.6g}; "
            "the probabilities of the classes must sum to 1."
        )
    return codes, np.clip(stated, 0.0, 1.0)


def check_weights(sample_weight: ArrayLike | None, n: int) -> Floats:
    """Weights (n,), ones when none are given; negative, missing or all-zero weights raise."""
    if sample_weight is None:
        return np.ones(n)
    weights = _floats(sample_weight, "sample_weight")
    if weights.shape != (n,):
        raise DataError(f"sample_weight has the shape {weights.shape}; expected ({n},).")
    row = _first(~(np.isfinite(weights) & (weights >= 0)))
    if row is not None:
        raise DataError(
            f"sample_weight: row {row + 1} (counted from 1) holds {weights[row]}; weights must be "
            "finite and not negative."
        )
    if weights.sum() == 0:
        raise DataError("sample_weight: all weights are zero, so no row counts.")
    return weights


def check_confidence(confidence: float) -> float:
    """Coverage of an interval, strictly between 0 and 1."""
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"confidence is {confidence!r}; expected a number between 0 and 1.")
    return float(confidence)


def outcomes(
    codes: NDArray[np.intp], probabilities: Floats, kind: CalibrationKind = "auto"
) -> list[tuple[NDArray[np.bool_], Floats]]:
    """Reduce classes to yes/no outcomes and the probability that was stated for "yes".

    Parameters
    ----------
    codes : (n,), probabilities : (n, K)
        As :func:`check_predictions` returns them.
    kind : {"auto", "positive", "top_label", "classwise"}
        ``positive``: class 1 happened (two classes only). ``top_label``: the class with the
        largest probability happened. ``classwise``: every class against the rest, one pair each.
        ``auto``: ``positive`` for two classes, ``top_label`` for more.

    Returns
    -------
    list of (happened (n,) bool, stated (n,))
    """
    n_classes = probabilities.shape[1]
    if kind == "auto":
        kind = "positive" if n_classes == 2 else "top_label"
    if kind == "positive":
        if n_classes != 2:
            raise UsageError(
                f"kind='positive' needs two classes and there are {n_classes}; use 'top_label' or "
                "'classwise'."
            )
        return [(codes == 1, probabilities[:, 1])]
    if kind == "top_label":
        top = probabilities.argmax(axis=1)
        return [(top == codes, probabilities[np.arange(top.size), top])]
    if kind == "classwise":
        return [(codes == k, probabilities[:, k]) for k in range(n_classes)]
    raise UsageError(f"kind is {kind!r}; expected 'auto', 'positive', 'top_label' or 'classwise'.")


def _floats(values: ArrayLike, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} cannot be read as numbers: {error}.") from error


def _codes(y: ArrayLike, n_classes: int) -> NDArray[np.intp]:
    raw: NDArray[Any] = np.asarray(y)
    if raw.ndim != 1:
        raise DataError(f"y has the shape {raw.shape}; expected (n,), one class code a row.")
    if raw.dtype.kind not in "iufb":
        raise DataError(
            f"y holds values of type {raw.dtype}; expected the codes 0 … {n_classes - 1} of the "
            "classes, in the order of the columns of the probabilities."
        )
    row = _first(~np.isfinite(raw)) if raw.dtype.kind == "f" else None
    if row is None:
        row = _first(raw == -1)
    if row is not None:
        raise DataError(
            f"y: row {row + 1} (counted from 1) is not labelled ({raw[row]}); measure on labelled "
            "rows only."
        )
    row = _first((raw < 0) | (raw >= n_classes) | (raw != np.floor(raw)))
    if row is not None:
        raise DataError(
            f"y: row {row + 1} (counted from 1) holds {raw[row]}; expected one of the codes "
            f"0 … {n_classes - 1}, one for each column of the probabilities."
        )
    return raw.astype(np.intp)


def _first(wrong: Any) -> int | None:
    return int(np.argmax(wrong)) if np.any(wrong) else None


def _show(row: Floats) -> str:
    text = ", ".join(f"{value:.4g}" for value in row[:6])
    return f"({text}{', …' if row.size > 6 else ''})"
