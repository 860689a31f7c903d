"""Maps from stated to calibrated probabilities, learned from rows that the model had not seen.

All of them work on log probabilities, so that a naive Bayes model that says 1 - 1e-40 is still
told from one that says 1 - 1e-20.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fabula.core.arrays import Codes, FloatArray
from fabula.core.errors import UsageError
from fabula.persistence.registry import storable

__all__ = [
    "METHODS",
    "CalibrationMap",
    "IsotonicMap",
    "SigmoidMap",
    "TemperatureMap",
    "fit_map",
    "normalise_rows",
]

METHODS = ("temperature", "sigmoid", "isotonic")

# The logarithm of the smallest double: what "impossible" costs where a finite number is needed.
_IMPOSSIBLE = -745.0

# What a few rows cannot show: the inverse temperature is taken to lie within a factor e² of 1 (two
# standard deviations), and all rows together are given one quarter of an error more than was seen.
# Without it, rows that were all told right would ask for certainty. Between none and one error, a
# quarter did best on small samples of five tables; from a hundred rows on it hardly matters.
_SPREAD_OF_LOG_TEMPERATURE = 1.0
_PSEUDO_ERRORS = 0.25


class CalibrationMap(Protocol):
    """Turns log posteriors (n, K) into calibrated ones."""

    def log_probabilities(self, log_posterior: FloatArray) -> FloatArray:
        """Calibrated log probabilities (n, K)."""
        ...


@storable("estimator/temperature_map")
@dataclass(frozen=True)
class TemperatureMap:
    """p' ∝ p^β: every log-odds times one number, which changes no ranking of the classes.

    Parameters
    ----------
    inverse_temperature : float
        β > 0; below 1 where the model is too sure of itself.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks.
    """

    inverse_temperature: float

    def __post_init__(self) -> None:
        if not 0.0 < self.inverse_temperature < np.inf:
            raise UsageError(f"An inverse temperature is positive, not {self.inverse_temperature}.")

    def log_probabilities(self, log_posterior: FloatArray) -> FloatArray:
        """Log of p^β, normalised, (n, K)."""
        return normalise_rows(self.inverse_temperature * log_posterior)


@storable("estimator/sigmoid_map")
@dataclass(frozen=True)
class SigmoidMap:
    """Log-odds of each class against the rest go through a line each.

    Parameters
    ----------
    slopes, intercepts : (1,) or (K,) arrays
        One line where there are two classes; else one a class, and the results are normalised.

    References
    ----------
    Platt (1999), Probabilistic outputs for support vector machines. Zadrozny and Elkan (2002).
    """

    slopes: FloatArray
    intercepts: FloatArray

    def __post_init__(self) -> None:
        if self.slopes.ndim != 1 or self.slopes.shape != self.intercepts.shape:
            raise UsageError("A sigmoid map needs as many slopes as intercepts.")

    def log_probabilities(self, log_posterior: FloatArray) -> FloatArray:
        """Log of the sigmoids, normalised over the classes, (n, K)."""
        odds = self.slopes * _odds(log_posterior, len(self.slopes)) + self.intercepts
        return _from_odds(odds)


@storable("estimator/isotonic_map")
@dataclass(frozen=True)
class IsotonicMap:
    """Probabilities of each class against the rest go through a rising line of pieces.

    Parameters
    ----------
    log_odds, probabilities : tuple of (m,) arrays
        Corners of the line, one pair of arrays for two classes, else one a class. Outside, the
        end values hold; no probability is exactly 0 or 1, which no finite number of rows can show.

    References
    ----------
    Zadrozny and Elkan (2002), Transforming classifier scores into accurate multiclass
    probability estimates.
    """

    log_odds: tuple[FloatArray, ...]
    probabilities: tuple[FloatArray, ...]

    def __post_init__(self) -> None:
        if len(self.log_odds) != len(self.probabilities) or not self.log_odds:
            raise UsageError("An isotonic map needs corners for each class.")
        for odds, stated in zip(self.log_odds, self.probabilities, strict=True):
            if odds.shape != stated.shape or odds.ndim != 1 or not len(odds):
                raise UsageError("The corners of an isotonic map must come in pairs.")
            if not np.all((stated > 0) & (stated < 1)):
                raise UsageError("Calibrated probabilities must lie strictly between 0 and 1.")

    def log_probabilities(self, log_posterior: FloatArray) -> FloatArray:
        """Log of the interpolated probabilities, normalised over the classes, (n, K)."""
        odds = _odds(log_posterior, len(self.log_odds))
        mapped = np.column_stack(
            [
                np.interp(odds[:, k], self.log_odds[k], self.probabilities[k])
                for k in range(len(self.log_odds))
            ]
        )
        return _from_odds(np.log(mapped) - np.log1p(-mapped))


def fit_map(
    method: str, log_posterior: FloatArray, codes: Codes, weights: FloatArray | None = None
) -> CalibrationMap:
    """Learn a map from held-out log posteriors (n, K) and the classes that happened (n,)."""
    log_posterior = np.maximum(log_posterior, _IMPOSSIBLE)
    weights = np.ones(len(codes)) if weights is None else weights
    if method == "temperature":
        return _fit_temperature(log_posterior, codes, weights)
    n_maps = 1 if log_posterior.shape[1] == 2 else log_posterior.shape[1]
    odds = _odds(log_posterior, n_maps)
    happened = [codes == (1 if n_maps == 1 else k) for k in range(n_maps)]
    fit_one = {"sigmoid": _fit_sigmoid, "isotonic": _fit_isotonic}[method]
    fitted = [fit_one(odds[:, k], happened[k], weights) for k in range(n_maps)]
    first: Sequence[Any] = [pair[0] for pair in fitted]
    second: Sequence[Any] = [pair[1] for pair in fitted]
    if method == "sigmoid":
        return SigmoidMap(np.array(first), np.array(second))
    return IsotonicMap(tuple(first), tuple(second))


def normalise_rows(log_scores: FloatArray) -> FloatArray:
    """Log scores less the log of the sum of their exponentials, row by row."""
    largest = log_scores.max(axis=1, keepdims=True)
    shifted = log_scores - np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _odds(log_posterior: FloatArray, n_maps: int) -> FloatArray:
    """Log-odds (n, n_maps) of class 1 over class 0, or of every class against the rest."""
    log_posterior = np.maximum(log_posterior, _IMPOSSIBLE)
    if n_maps == 1:
        return log_posterior[:, 1:2] - log_posterior[:, 0:1]
    n_classes = log_posterior.shape[1]
    rest = np.stack(
        [
            np.logaddexp.reduce(np.delete(log_posterior, k, axis=1), axis=1)
            for k in range(n_classes)
        ],
        axis=1,
    )
    return np.asarray(log_posterior - rest)


def _from_odds(odds: FloatArray) -> FloatArray:
    """Log probabilities (n, K) from log-odds (n, 1) of class 1, or (n, K) against the rest."""
    if odds.shape[1] == 1:
        odds = np.concatenate([-odds, odds], axis=1)
        return -np.logaddexp(0.0, -odds)
    return normalise_rows(-np.logaddexp(0.0, -odds))


def _fit_temperature(
    log_posterior: FloatArray, codes: Codes, weights: FloatArray
) -> TemperatureMap:
    """The most probable β; the log likelihood is concave in it."""
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(codes))
    of_truth = log_posterior[rows, codes]
    of_others = (log_posterior.sum(axis=1) - of_truth) / (log_posterior.shape[1] - 1)
    doubt = _PSEUDO_ERRORS / (float(weights.sum()) + 2.0 * _PSEUDO_ERRORS)
    expected = (1.0 - doubt) * of_truth + doubt * of_others

    def objective(log_inverse: float) -> float:
        beta = np.exp(log_inverse)
        evidence = np.logaddexp.reduce(beta * log_posterior, axis=1)
        penalty = 0.5 * (log_inverse / _SPREAD_OF_LOG_TEMPERATURE) ** 2
        return float(weights @ (evidence - beta * expected)) + penalty

    best = minimize_scalar(
        objective, bounds=(-12.0, 12.0), method="bounded", options={"xatol": 1e-8}
    )
    return TemperatureMap(float(np.exp(best.x)))


def _fit_sigmoid(odds: FloatArray, happened: Any, weights: FloatArray) -> tuple[float, float]:
    """Slope and intercept with Platt's softened targets, which keep both finite."""
    from sklearn.linear_model import LogisticRegression

    n_yes, n_no = float(weights[happened].sum()), float(weights[~happened].sum())
    target = np.where(happened, (n_yes + 1.0) / (n_yes + 2.0), 1.0 / (n_no + 2.0))
    scale = max(float(np.abs(odds).max()), 1e-12)
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", max_iter=1000)
    model.fit(
        np.concatenate([odds, odds])[:, None] / scale,
        np.repeat([1, 0], len(odds)),
        sample_weight=np.concatenate([weights * target, weights * (1.0 - target)]),
    )
    return float(model.coef_[0, 0]) / scale, float(model.intercept_[0])


def _fit_isotonic(
    odds: FloatArray, happened: Any, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Corners of the isotonic line, no nearer to 0 and 1 than one row in n + 2."""
    from sklearn.isotonic import IsotonicRegression

    least = 1.0 / (float(weights.sum()) + 2.0)
    model = IsotonicRegression(y_min=least, y_max=1.0 - least, out_of_bounds="clip")
    model.fit(odds, happened.astype(np.float64), sample_weight=weights)
    return np.asarray(model.X_thresholds_), np.asarray(model.y_thresholds_)
