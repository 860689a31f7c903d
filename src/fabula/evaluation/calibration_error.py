"""How far stated probabilities lie from observed frequencies.

Both measures estimate E|E[happened - stated | stated]|. The expected calibration error groups
rows into bins of equal mass; the smooth one replaces the bins by a kernel whose width the data
choose, and so does not jump when a probability crosses the edge of a bin.

Every such estimate is biased upwards, because noise has an absolute value too: a perfectly
calibrated model has a positive calibration error on every sample. Each result therefore also
holds what a calibrated model would have shown on these rows (consistency resampling, Bröcker and
Smith, 2007), and a corrected value.

References
----------
Naeini, Cooper, Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning.
Bröcker, Smith (2007), Increasing the reliability of reliability diagrams.
Kumar, Liang, Ma (2019), Verified uncertainty calibration.
Nixon et al. (2019), Measuring calibration in deep learning (bins of equal mass, class-wise).
Błasiok, Nakkiran (2023), Smooth ECE: principled reliability diagrams via kernel smoothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.errors import UsageError
from fabula.evaluation.predictions import (
    CalibrationKind,
    Floats,
    check_confidence,
    check_predictions,
    outcomes,
)
from fabula.evaluation.reflected_kernel import bin_linearly, cosine_coefficients, smooth
from fabula.evaluation.resampling import bootstrap_weights, generator, group_codes
from fabula.evaluation.results import Result

__all__ = [
    "CalibrationError",
    "equal_mass_bins",
    "expected_calibration_error",
    "smooth_calibration_error",
]

_MIN_CELLS, _MAX_CELLS = 1024, 2**17
_CELLS_PER_BANDWIDTH = 32
# Cells of the batch of grids that is smoothed at once, about 32 MB.
_BATCH_CELLS = 2**22


@dataclass(frozen=True)
class CalibrationError(Result):
    """A calibration error and what it means.

    Attributes
    ----------
    value : float
        The estimate as everybody reports it, biased upwards.
    low, high : float
        Bootstrap interval of the true error, NaN without bootstrap.
    debiased : float
        The estimate less its bias, never below 0.
    expected_if_calibrated : float
        Mean of ``value`` for a perfectly calibrated model with these probabilities.
    p_value : float
        Share of calibrated models that would have shown at least ``value`` (one added above
        and below, so it is never 0).
    confidence : float
    kind : str
        ``positive``, ``top_label`` or ``classwise``.
    n : int
        Rows.
    n_bins : int or None
        Bins of equal mass; ``None`` for the smooth error.
    bandwidth : float or None
        Width σ* of the kernel of the smooth error, in units of probability; ``None`` for bins.
    """

    value: float
    low: float
    high: float
    debiased: float
    expected_if_calibrated: float
    p_value: float
    confidence: float
    kind: str
    n: int
    n_bins: int | None = None
    bandwidth: float | None = None

    def __float__(self) -> float:
        """The value alone."""
        return self.value

    def __str__(self) -> str:
        """``0.021 [0.004, 0.033]``."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def expected_calibration_error(
    y: ArrayLike,
    probabilities: ArrayLike,
    n_bins: int = 15,
    *,
    kind: CalibrationKind = "auto",
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    n_bootstrap: int = 500,
    random_state: int | np.random.Generator | None = None,
) -> CalibrationError:
    """Expected calibration error over bins of equal mass.

    Σ_b (n_b / n) · |mean happened - mean stated| over the bins b. Equal probabilities always
    share a bin, so the value does not depend on the order of the rows.

    Parameters
    ----------
    y : array-like (n,)
        Class codes 0 … K-1.
    probabilities : array-like (n, K) or (n,)
        Stated probabilities; a vector is the probability of class 1.
    n_bins : int
        Bins, each with about n / n_bins rows.
    kind : {"auto", "positive", "top_label", "classwise"}
        ``auto`` takes class 1 of two classes, and the class with the largest probability of
        more; ``classwise`` averages the errors of every class against the rest.
    groups : array-like (n,), optional
        Rows of one group (a patient, a text) are resampled together.
    confidence : float
        Coverage of the interval.
    n_bootstrap : int
        Resamples for the interval and for the calibrated reference; 0 for none.
    random_state : int, Generator or None
        ``None`` seeds the resampling by the content of ``y`` and ``probabilities``.

    Returns
    -------
    CalibrationError
        ``debiased`` subtracts the bias of |mean| when the residuals of a bin are Gaussian, which
        Kumar et al. (2019, section 5) find by simulation and is here in closed form (the mean
        of the folded normal distribution).

    Raises
    ------
    DataError
        Where rows are missing, unlabelled or no probabilities.
    """
    codes, stated = check_predictions(y, probabilities)
    if n_bins < 1:
        raise UsageError(f"n_bins is {n_bins}; expected at least 1.")
    pairs = outcomes(codes, stated, kind)
    bins = [equal_mass_bins(probability, n_bins) for _, probability in pairs]

    def evaluate(residuals: list[Floats], weights: Floats | None) -> float:
        return float(np.mean([_binned(r, b, weights) for r, b in zip(residuals, bins, strict=True)]))

    residuals = [happened - probability for happened, probability in pairs]
    value = evaluate(residuals, None)
    debiased = float(np.mean([_debiased(r, b) for r, b in zip(residuals, bins, strict=True)]))
    rng = generator(random_state, codes, stated)
    resampled, calibrated = _resample(
        lambda draws: np.array([evaluate(r, w) for r, w in draws]),
        residuals, codes, stated, kind, groups, n_bootstrap, rng,
    )  # fmt: skip
    return _result(value, debiased, resampled, calibrated, confidence, kind, stated, n_bins=n_bins)


def smooth_calibration_error(
    y: ArrayLike,
    probabilities: ArrayLike,
    *,
    kind: CalibrationKind = "auto",
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    n_bootstrap: int = 500,
    random_state: int | np.random.Generator | None = None,
) -> CalibrationError:
    """Smooth calibration error of Błasiok and Nakkiran (2023).

    smECE_σ = ∫₀¹ |(1/n) Σᵢ K_σ(t, pᵢ)(yᵢ - pᵢ)| dt with the Gaussian kernel K_σ reflected at 0
    and 1. It falls as σ grows, so there is exactly one width σ* with smECE_σ* = σ*; that is the
    value. Residuals are binned linearly on a grid at least 32 times finer than σ*.

    Parameters
    ----------
    y, probabilities, kind, groups, confidence, n_bootstrap, random_state
        As for :func:`expected_calibration_error`.

    Returns
    -------
    CalibrationError
        ``bandwidth`` is σ* (its mean over the classes when ``kind="classwise"``).
    """
    codes, stated = check_predictions(y, probabilities)
    pairs = outcomes(codes, stated, kind)
    residuals = [happened - probability for happened, probability in pairs]
    values, grids = [], []
    for (_, probability), residual in zip(pairs, residuals, strict=True):
        value, n_cells = _smooth_error(probability, residual)
        values.append(value)
        grids.append((*bin_linearly(probability, n_cells), n_cells))

    def evaluate(draws: Iterable[tuple[list[Floats], Floats | None]]) -> Floats:
        batch = max(1, _BATCH_CELLS // max(cells for _, _, cells in grids))
        found: list[Floats] = []
        waiting: list[list[Floats]] = []
        for drawn, weights in draws:
            waiting.append(
                [
                    cosine_coefficients(left, share, _mass(r, weights), cells)
                    for r, (left, share, cells) in zip(drawn, grids, strict=True)
                ]
            )
            if len(waiting) == batch:
                found.append(_mean_fixed_point(waiting))
                waiting = []
        if waiting:
            found.append(_mean_fixed_point(waiting))
        return np.concatenate(found) if found else np.empty(0)

    rng = generator(random_state, codes, stated)
    resampled, calibrated = _resample(
        evaluate, residuals, codes, stated, kind, groups, n_bootstrap, rng
    )
    value = float(np.mean(values))
    debiased = float(max(0.0, 2 * value - resampled.mean())) if resampled.size else np.nan
    return _result(
        value, debiased, resampled, calibrated, confidence, kind, stated, bandwidth=value
    )


def equal_mass_bins(probability: Floats, n_bins: int) -> NDArray[np.intp]:
    """Bin 0 … n_bins-1 of each row by the middle rank of its value; ties share a bin."""
    _, position, count = np.unique(probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - count / 2
    return np.asarray((middle * n_bins / probability.size).astype(np.intp)[position])


def _binned(residual: Floats, bins: NDArray[np.intp], weights: Floats | None) -> float:
    total = residual.size if weights is None else weights.sum()
    mass = residual if weights is None else residual * weights
    return float(np.abs(np.bincount(bins, weights=mass)).sum() / total)


def _debiased(residual: Floats, bins: NDArray[np.intp]) -> float:
    from scipy.special import ndtr

    count = np.bincount(bins).astype(float)
    seen = count > 0
    total, count = np.bincount(bins, weights=residual)[seen], count[seen]
    square = np.bincount(bins, weights=residual**2)[seen]
    mean = np.abs(total / count)
    # A bin of one row says nothing of its spread; its residual is then taken as all noise.
    spread = np.where(
        count > 1, np.maximum(square - total**2 / count, 0.0) / np.maximum(count - 1, 1), square
    )
    error = np.sqrt(spread / count)
    ratio = np.divide(mean, error, out=np.full_like(mean, np.inf), where=error > 0)
    folded = error * np.sqrt(2 / np.pi) * np.exp(-0.5 * ratio**2) + mean * (1 - 2 * ndtr(-ratio))
    return float(max(0.0, np.sum(count * (2 * mean - folded)) / residual.size))


def _mass(residual: Floats, weights: Floats | None) -> Floats:
    if weights is None:
        return residual / residual.size
    return residual * (weights / weights.sum())


def _smooth_error(probability: Floats, residual: Floats) -> tuple[float, int]:
    """Fixed point of one set of rows, and the number of cells that resolves it."""
    n_cells = _MIN_CELLS
    while True:
        left, share = bin_linearly(probability, n_cells)
        coefficients = cosine_coefficients(left, share, residual / residual.size, n_cells)
        value = float(_fixed_point(coefficients[None])[0])
        needed = _CELLS_PER_BANDWIDTH / max(value, 1e-9)
        if n_cells >= min(needed, _MAX_CELLS):
            return value, n_cells
        # Powers of two are what the cosine transform is fastest at.
        n_cells = min(_MAX_CELLS, 2 ** int(np.ceil(np.log2(needed))))


def _fixed_point(coefficients: Floats, n_steps: int = 26) -> Floats:
    """σ with smECE_σ = σ for each row of coefficients (r, m + 1), by bisection to 2⁻²⁶."""
    low = np.zeros(coefficients.shape[0])
    high = np.ones(coefficients.shape[0])
    for _ in range(n_steps):
        middle = 0.5 * (low + high)
        height = np.abs(smooth(coefficients, middle))
        area = (height.sum(axis=-1) - 0.5 * (height[:, 0] + height[:, -1])) / (height.shape[1] - 1)
        above = area > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return 0.5 * (low + high)


def _mean_fixed_point(batch: list[list[Floats]]) -> Floats:
    # Outer list: resamples; inner list: one grid for each class.
    columns = zip(*batch, strict=True)
    return np.asarray(np.mean([_fixed_point(np.stack(column)) for column in columns], axis=0))


def _resample(
    evaluate: Callable[[Iterable[tuple[list[Floats], Floats | None]]], Floats],
    residuals: list[Floats],
    codes: NDArray[np.intp],
    stated: Floats,
    kind: CalibrationKind,
    groups: ArrayLike | None,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """The measure on resampled rows, and on outcomes drawn from the stated probabilities."""
    if n_bootstrap == 0:
        return np.empty(0), np.empty(0)
    group = group_codes(groups, codes.size)
    resampled = evaluate((residuals, w) for w in bootstrap_weights(group, n_bootstrap, rng))
    edges = np.cumsum(stated, axis=1)
    edges /= edges[:, -1:]

    def calibrated() -> Iterable[tuple[list[Floats], None]]:
        for _ in range(n_bootstrap):
            drawn = (rng.random((codes.size, 1)) >= edges[:, :-1]).sum(axis=1)
            yield [happened - p for happened, p in outcomes(drawn, stated, kind)], None

    return resampled, evaluate(calibrated())


def _result(
    value: float,
    debiased: float,
    resampled: Floats,
    calibrated: Floats,
    confidence: float,
    kind: CalibrationKind,
    stated: Floats,
    n_bins: int | None = None,
    bandwidth: float | None = None,
) -> CalibrationError:
    check_confidence(confidence)
    if kind == "auto":
        kind = "positive" if stated.shape[1] == 2 else "top_label"
    low = high = expected = p_value = np.nan
    if resampled.size:
        tail = 50 * (1 - confidence)
        # The bootstrap doubles the upward bias, so its percentiles lie too high; reflecting them
        # at the estimate (the basic interval) takes the bias off instead of adding it again.
        bottom, top = np.percentile(resampled, [tail, 100 - tail])
        low, high = max(0.0, 2 * value - top), max(0.0, 2 * value - bottom)
        expected = float(calibrated.mean())
        p_value = float((1 + np.sum(calibrated >= value)) / (1 + calibrated.size))
    return CalibrationError(
        value=value,
        low=float(low),
        high=float(high),
        debiased=debiased,
        expected_if_calibrated=float(expected),
        p_value=p_value,
        confidence=confidence,
        kind=kind,
        n=stated.shape[0],
        n_bins=n_bins,
        bandwidth=bandwidth,
    )
