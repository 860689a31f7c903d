"""Scores of stated probabilities against the classes that happened.

The proper scores (log loss, Brier) come also row by row, which is what paired comparisons of
models need: see :func:`fabula.evaluation.differences.paired_difference`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.errors import DataError, UsageError
from fabula.evaluation.calibration_error import (
    CalibrationError,
    expected_calibration_error,
    smooth_calibration_error,
)
from fabula.evaluation.predictions import (
    CalibrationKind,
    Floats,
    check_confidence,
    check_predictions,
    check_weights,
)
from fabula.evaluation.resampling import clustered_error, generator, group_codes
from fabula.evaluation.results import Estimate, Result

__all__ = [
    "Scores",
    "accuracy",
    "accuracy_interval",
    "brier_losses",
    "brier_score",
    "log_loss",
    "log_losses",
    "mean_interval",
    "roc_auc",
    "roc_auc_interval",
    "score_predictions",
    "wilson_interval",
]


@dataclass(frozen=True)
class Scores(Result):
    """Every score of one set of predictions, with intervals.

    Attributes
    ----------
    n, n_classes : int
    log_loss : Estimate
        Nats per row.
    brier, accuracy, roc_auc : Estimate
    ece, smooth_ece : CalibrationError
    """

    n: int
    n_classes: int
    log_loss: Estimate
    brier: Estimate
    accuracy: Estimate
    roc_auc: Estimate
    ece: CalibrationError
    smooth_ece: CalibrationError


def log_losses(y: ArrayLike, probabilities: ArrayLike, *, clip: float | None = None) -> Floats:
    """Logarithmic loss of each row (n,), nats: -log of the probability of what happened.

    Parameters
    ----------
    y : array-like (n,)
        Class codes 0 … K-1.
    probabilities : array-like (n, K) or (n,)
    clip : float, optional
        Probabilities below this count as this. Without it a probability of exactly 0 for what
        happened costs infinitely much, as it should: such a model was certain and wrong.

    Raises
    ------
    DataError
        Where rows are missing, unlabelled or no probabilities.
    """
    codes, stated = check_predictions(y, probabilities)
    of_truth = stated[np.arange(codes.size), codes]
    if clip is not None:
        if not 0.0 < clip < 0.5:
            raise UsageError(f"clip is {clip!r}; expected a small number above 0, such as 1e-15.")
        of_truth = np.maximum(of_truth, clip)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(of_truth)) + 0.0


def log_loss(
    y: ArrayLike,
    probabilities: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    clip: float | None = None,
) -> float:
    """Weighted mean of :func:`log_losses`, nats per row.

    It equals ``sklearn.metrics.log_loss`` wherever no probability is 0; scikit-learn clips those
    silently, here it is done on request only.
    """
    losses = log_losses(y, probabilities, clip=clip)
    weights = check_weights(sample_weight, losses.size)
    # 0 · inf would be NaN: a row of weight 0 does not count, whatever its loss.
    counted = weights > 0
    return float(np.average(losses[counted], weights=weights[counted]))


def brier_losses(
    y: ArrayLike,
    probabilities: ArrayLike,
    *,
    scale_by_half: bool | Literal["auto"] = "auto",
) -> Floats:
    """Quadratic loss of each row (n,).

    Parameters
    ----------
    y, probabilities
        As for :func:`log_losses`.
    scale_by_half : bool or "auto"
        The loss is Σ_k (p_k - 1[y = k])², between 0 and 2 (Brier, 1950), or half of it. For two
        classes the half is (p_1 - y)², which most people call the Brier score. ``"auto"`` halves
        for two classes and not for more, as ``sklearn.metrics.brier_score_loss`` does.
    """
    codes, stated = check_predictions(y, probabilities)
    if scale_by_half not in (True, False, "auto"):
        raise UsageError(f"scale_by_half is {scale_by_half!r}; expected True, False or 'auto'.")
    residual = stated.copy()
    residual[np.arange(codes.size), codes] -= 1.0
    losses = np.einsum("nk,nk->n", residual, residual)
    half = stated.shape[1] == 2 if scale_by_half == "auto" else scale_by_half
    return np.asarray(0.5 * losses if half else losses)


def brier_score(
    y: ArrayLike,
    probabilities: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    scale_by_half: bool | Literal["auto"] = "auto",
) -> float:
    """Weighted mean of :func:`brier_losses`; equals ``sklearn.metrics.brier_score_loss``."""
    losses = brier_losses(y, probabilities, scale_by_half=scale_by_half)
    return float(np.average(losses, weights=check_weights(sample_weight, losses.size)))


def accuracy(
    y: ArrayLike, probabilities: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Share of rows whose most probable class happened; ties go to the first class."""
    codes, stated = check_predictions(y, probabilities)
    weights = check_weights(sample_weight, codes.size)
    return float(np.average(stated.argmax(axis=1) == codes, weights=weights))


def roc_auc(
    y: ArrayLike, probabilities: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Area under the ROC curve; for more than two classes the mean of each against the rest.

    Raises
    ------
    DataError
        When a class did not happen at all, so that its area does not exist.
    """
    from sklearn.metrics import roc_auc_score

    codes, stated = check_predictions(y, probabilities)
    _check_all_happened(codes, stated.shape[1])
    weights = check_weights(sample_weight, codes.size)
    areas = [
        roc_auc_score(codes == k, stated[:, k], sample_weight=weights)
        for k in ((1,) if stated.shape[1] == 2 else range(stated.shape[1]))
    ]
    return float(np.mean(areas))


def mean_interval(
    losses: ArrayLike, *, groups: ArrayLike | None = None, confidence: float = 0.95
) -> Estimate:
    """Mean of a loss over rows with a Student-t interval.

    Parameters
    ----------
    losses : array-like (n,)
        Infinite values give an infinite mean and an interval that is open above.
    groups : array-like (n,), optional
        Rows of one group are not independent; the standard error is then the one for clusters
        (Liang and Zeger, 1986, with the factor G / (G - 1)).
    """
    values = np.asarray(losses, dtype=np.float64)
    check_confidence(confidence)
    if values.ndim != 1 or np.isnan(values).any():
        raise DataError(
            f"losses have the shape {values.shape} and {int(np.isnan(values).sum())} missing "
            "values; expected (n,) without missing values."
        )
    codes = group_codes(groups, values.size)
    mean = float(values.mean())
    if not math.isfinite(mean):
        return Estimate(mean, math.nan, math.inf, math.nan, confidence)
    error, n_groups = clustered_error(values - mean, codes)
    return _student(mean, error, n_groups, confidence)


def accuracy_interval(
    y: ArrayLike,
    probabilities: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Accuracy with its Wilson interval, or with that of :func:`mean_interval` over groups."""
    codes, stated = check_predictions(y, probabilities)
    right = (stated.argmax(axis=1) == codes).astype(float)
    if groups is not None:
        found = mean_interval(right, groups=groups, confidence=confidence)
        return Estimate(
            found.value,
            max(found.low, 0.0),
            min(found.high, 1.0),
            found.standard_error,
            confidence,
        )
    share = float(right.mean())
    low, high = wilson_interval(right.sum(), right.size, confidence)
    error = math.sqrt(share * (1 - share) / right.size)
    return Estimate(share, float(low), float(high), error, confidence)


def wilson_interval(
    successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Wilson (1927) score interval of a binomial share; arrays broadcast, 0 trials give 0 … 1."""
    from scipy.special import ndtri

    z = float(ndtri(0.5 + 0.5 * check_confidence(confidence)))
    k, n = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    share = np.divide(k, n, out=np.full(np.broadcast(k, n).shape, 0.5), where=n > 0)
    centre = (n * share + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(n * share * (1 - share) + z**2 / 4)
    # At 0 and n successes one end is 0 or 1 exactly; rounding must not leave the estimate out.
    low = np.where((n == 0) | (k == 0), 0.0, centre - half)
    high = np.where((n == 0) | (k == n), 1.0, centre + half)
    return low, high


def roc_auc_interval(
    y: ArrayLike,
    probabilities: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Area under the ROC curve with the standard error of DeLong et al. (1988).

    The interval is symmetric on the logit scale. The error comes from the placement values, so
    the mean over classes of the one-against-the-rest areas has its exact first-order error too.
    When the classes are separated completely that error is 0; the lower end is then Wilson's for
    as many successes as the smaller class has rows.
    """
    from scipy.special import expit, logit, ndtri

    codes, stated = check_predictions(y, probabilities)
    z = float(ndtri(0.5 + 0.5 * check_confidence(confidence)))
    _check_all_happened(codes, stated.shape[1])
    classes = (1,) if stated.shape[1] == 2 else range(stated.shape[1])
    found = [_area_and_influence(codes == k, stated[:, k]) for k in classes]
    area = float(np.mean([value for value, _ in found]))
    influence = np.mean([values for _, values in found], axis=0)
    error, _ = clustered_error(influence, group_codes(groups, codes.size))
    if area in (0.0, 1.0):
        smaller = np.bincount(codes).min()
        low, high = wilson_interval(area * smaller, smaller, confidence)
        return Estimate(area, float(low), float(high), error, confidence)
    half = z * error / (area * (1 - area))
    return Estimate(
        area,
        float(expit(logit(area) - half)),
        float(expit(logit(area) + half)),
        error,
        confidence,
    )


def score_predictions(
    y: ArrayLike,
    probabilities: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n_bins: int = 15,
    kind: CalibrationKind = "auto",
    clip: float | None = None,
    confidence: float = 0.95,
    n_bootstrap: int = 400,
    random_state: int | np.random.Generator | None = None,
) -> Scores:
    """Every score of this module, with intervals.

    Parameters
    ----------
    y : array-like (n,)
        Class codes 0 … K-1; every class must happen.
    probabilities : array-like (n, K) or (n,)
        Stated probabilities of rows that the model has not seen.
    groups : array-like (n,), optional
        Rows of one group are treated as dependent in every interval.
    n_bins, kind, n_bootstrap, random_state
        As for :func:`fabula.evaluation.calibration_error.expected_calibration_error`.
    clip : float, optional
        As for :func:`log_losses`.
    """
    codes, stated = check_predictions(y, probabilities)
    rng = generator(random_state, codes, stated)

    def calibration(measure: Literal["bins", "smooth"]) -> CalibrationError:
        if measure == "bins":
            return expected_calibration_error(
                codes, stated, n_bins, kind=kind, groups=groups, confidence=confidence,
                n_bootstrap=n_bootstrap, random_state=rng,
            )  # fmt: skip
        return smooth_calibration_error(
            codes, stated, kind=kind, groups=groups, confidence=confidence,
            n_bootstrap=n_bootstrap, random_state=rng,
        )  # fmt: skip

    return Scores(
        n=codes.size,
        n_classes=stated.shape[1],
        log_loss=mean_interval(
            log_losses(codes, stated, clip=clip), groups=groups, confidence=confidence
        ),
        brier=mean_interval(brier_losses(codes, stated), groups=groups, confidence=confidence),
        accuracy=accuracy_interval(codes, stated, groups=groups, confidence=confidence),
        roc_auc=roc_auc_interval(codes, stated, groups=groups, confidence=confidence),
        ece=calibration("bins"),
        smooth_ece=calibration("smooth"),
    )


def _student(mean: float, error: float, n_groups: int, confidence: float) -> Estimate:
    from scipy.special import stdtrit

    half = float(stdtrit(n_groups - 1, 0.5 + 0.5 * confidence)) * error
    return Estimate(mean, mean - half, mean + half, error, confidence)


def _check_all_happened(codes: NDArray[np.intp], n_classes: int) -> None:
    count = np.bincount(codes, minlength=n_classes)
    if (count == 0).any():
        raise DataError(
            f"class {int(count.argmin())} (codes count from 0) has no row in y, so its area under "
            "the ROC curve does not exist; use stratified folds, or measure the classes that "
            "happened only."
        )


def _area_and_influence(happened: NDArray[np.bool_], score: Floats) -> tuple[float, Floats]:
    """Area and the centred influence (n,) of each row, from ranks (Sun and Xu, 2014)."""
    from scipy.stats import rankdata

    n_yes, n = int(happened.sum()), happened.size
    n_no = n - n_yes
    overall = rankdata(score)
    placement = np.empty(n)
    placement[happened] = (overall[happened] - rankdata(score[happened])) / n_no
    placement[~happened] = 1 - (overall[~happened] - rankdata(score[~happened])) / n_yes
    area = float(placement[happened].mean())
    centred = placement - area
    # DeLong divides by n_yes - 1 and n_no - 1; an influence per row gives the same to 1 / n.
    centred[happened] *= n / n_yes
    centred[~happened] *= n / n_no
    return area, centred
