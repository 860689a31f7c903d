"""Is one model better than another? Differences on the same rows and over folds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fabula.core.errors import DataError
from fabula.evaluation.predictions import Floats, check_confidence
from fabula.evaluation.resampling import clustered_error, group_codes
from fabula.evaluation.results import Result

__all__ = ["Difference", "corrected_resampled_difference", "paired_difference"]


@dataclass(frozen=True)
class Difference(Result):
    """Mean difference a - b of two losses; negative where a is better.

    Attributes
    ----------
    mean, standard_error, low, high, confidence : float
        Student-t interval with ``degrees_of_freedom``.
    t, p_value : float
        Two-sided test of no difference. When all differences are the same, t is infinite and p
        is 0, or NaN when they are all zero.
    degrees_of_freedom : int
    n : int
        Rows or folds that were compared.
    """

    mean: float
    standard_error: float
    low: float
    high: float
    confidence: float
    t: float
    p_value: float
    degrees_of_freedom: int
    n: int

    def __str__(self) -> str:
        """``-0.012 [-0.020, -0.004]``."""
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def paired_difference(
    loss_a: ArrayLike,
    loss_b: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
) -> Difference:
    """Mean difference of two losses on the same rows, with standard error and interval.

    Parameters
    ----------
    loss_a, loss_b : array-like (n,)
        Loss of each row under each model, in the same order, from rows neither has seen.
    groups : array-like (n,), optional
        Rows of one group (a patient, a text, a fold) may depend on each other; the standard
        error is then the one for clusters and the degrees of freedom are groups - 1.

    Raises
    ------
    DataError
        Where lengths differ, or a loss (row counted from 1) is missing or infinite.

    Notes
    -----
    The rows are the sample, the two fitted models are held fixed: the interval does not speak of
    models fitted to other training sets. For that see :func:`corrected_resampled_difference`.
    """
    a, b = _loss(loss_a, "loss_a"), _loss(loss_b, "loss_b")
    if a.shape != b.shape:
        raise DataError(
            f"loss_a has {a.size} rows and loss_b {b.size}; they must be of the same rows."
        )
    difference = a - b
    codes = group_codes(groups, difference.size)
    mean = float(difference.mean())
    error, n_groups = clustered_error(difference - mean, codes)
    return _tested(mean, error, n_groups - 1, difference.size, confidence)


def corrected_resampled_difference(
    differences: ArrayLike, n_train: int, n_test: int, *, confidence: float = 0.95
) -> Difference:
    """Mean difference over folds or random splits with the corrected variance.

    Training sets of different folds overlap, so the plain t-test over folds finds differences
    that are not there. Nadeau and Bengio (2003) replace the variance s²/J of the mean of J folds
    by (1/J + n_test/n_train) s².

    Parameters
    ----------
    differences : array-like (J,)
        Loss of a less loss of b in each fold.
    n_train, n_test : int
        Rows that were fitted and scored in each fold.
    """
    values = _loss(differences, "differences")
    if values.size < 2:
        raise DataError(f"a difference over folds needs at least 2 folds, got {values.size}.")
    if n_train < 1 or n_test < 1:
        raise DataError(f"n_train is {n_train} and n_test {n_test}; both must be at least 1.")
    factor = 1 / values.size + n_test / n_train
    error = math.sqrt(factor * float(values.var(ddof=1)))
    return _tested(float(values.mean()), error, values.size - 1, values.size, confidence)


def _loss(values: ArrayLike, name: str) -> Floats:
    losses = np.asarray(values, dtype=np.float64)
    if losses.ndim != 1 or losses.size == 0:
        raise DataError(f"{name} has the shape {losses.shape}; expected (n,) with n at least 1.")
    wrong = ~np.isfinite(losses)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{name}: row {row + 1} (counted from 1) is {losses[row]}; a difference needs finite "
            "losses. A log loss is infinite where a model gave probability 0 to what happened; "
            "compare Brier losses, or clip the log loss on purpose."
        )
    return losses


def _tested(mean: float, error: float, df: int, n: int, confidence: float) -> Difference:
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(df, 0.5 + 0.5 * check_confidence(confidence))) * error
    if error > 0:
        t = mean / error
        p_value = float(2 * stdtr(df, -abs(t)))
    else:
        t = math.copysign(math.inf, mean) if mean else math.nan
        p_value = 0.0 if mean else math.nan
    return Difference(
        mean=mean,
        standard_error=error,
        low=mean - half,
        high=mean + half,
        confidence=confidence,
        t=t,
        p_value=p_value,
        degrees_of_freedom=df,
        n=n,
    )
