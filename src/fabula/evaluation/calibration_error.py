"""How far stated probabilities lie from observed frequencies.

Both measures estimate E|E[happened - stated | stated]|. The expected calibration error groups
rows into bins of equal mass; the smooth one replaces the bins by a kernel whose width the data
choose, and so does not jump when a probability crosses the edge of a bin.

Every such estimate is biased upwards, because noise has an absolute value too: a perfectly
calibrated model has a positive calibration error on every sample. Each result therefore also
holds what a calibrated model would have shown on these rows (consistency resampling, Bröcker and
Smith, 2007), a corrected value, and an interval that is not shifted by the bias.

References
----------
Naeini, Cooper, Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning.
Bröcker, Smith (2007), Increasing the reliability of reliability diagrams.
Nixon et al. (2019), Measuring calibration in deep learning (bins of equal mass, class-wise).
Błasiok, Nakkiran (2023), Smooth ECE: principled reliability diagrams via kernel smoothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.errors import UsageError
from fabula.evaluation.calibration_interval import BinnedNoise, Grid, Noise, SmoothNoise, invert
from fabula.evaluation.predictions import (
    CalibrationKind,
    Floats,
    check_confidence,
    check_predictions,
    outcomes,
)
from fabula.evaluation.reflected_kernel import bin_linearly, cosine_coefficients, fixed_point
from fabula.evaluation.resampling import generator, group_codes
from fabula.evaluation.results import Result

__all__ = [
    "CalibrationError",
    "equal_mass_bins",
    "expected_calibration_error",
    "smooth_calibration_error",
    "smooth_fixed_point",
]

_CELLS_PER_BANDWIDTH, _MIN_CELLS, _MAX_CELLS = 32, 1024, 2**17


@dataclass(frozen=True)
class CalibrationError(Result):
    """A calibration error and what it means.

    Attributes
    ----------
    value : float
        The estimate as everybody reports it, biased upwards.
    low, high : float
        Interval of the true error, NaN without bootstrap. It is not centred on ``value``, which
        is biased upwards.
    debiased : float
        Median-unbiased estimate of the true error, at least 0; NaN without bootstrap.
    expected_if_calibrated : float
        Mean of ``value`` for a perfectly calibrated model with these probabilities and
        independent rows; NaN without bootstrap.
    p_value : float
        Share of calibrated models that would have shown at least ``value`` (one added above
        and below, so it is never 0); NaN without bootstrap.
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
    n_bootstrap: int = 400,
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

    Raises
    ------
    DataError
        Where rows are missing, unlabelled or no probabilities.

    Notes
    -----
    How the interval is built: :mod:`fabula.evaluation.calibration_interval`.
    """
    codes, stated = check_predictions(y, probabilities)
    if n_bins < 1:
        raise UsageError(f"n_bins is {n_bins}; expected at least 1.")
    pairs = outcomes(codes, stated, kind)
    bins = [equal_mass_bins(probability, n_bins) for _, probability in pairs]

    def measure(residuals: list[Floats]) -> float:
        return float(np.mean([_binned(r, b) for r, b in zip(residuals, bins, strict=True)]))

    residuals = [happened - probability for happened, probability in pairs]
    value = measure(residuals)
    noises: list[Noise] = []
    calibrated = np.empty(0)
    if n_bootstrap:
        group = group_codes(groups, codes.size)
        seed = int(generator(random_state, codes, stated).integers(2**63))
        for residual, index in zip(residuals, bins, strict=True):
            # The same seed for every class: the classes of one resample are the same rows.
            rng = np.random.default_rng(seed)
            noises.append(BinnedNoise.draw(residual, index, group, n_bootstrap, rng))
        calibrated = _calibrated(measure, codes, stated, kind, n_bootstrap, seed + 1)
    return _result(value, noises, calibrated, confidence, kind, stated, n_bins=n_bins)


def smooth_calibration_error(
    y: ArrayLike,
    probabilities: ArrayLike,
    *,
    kind: CalibrationKind = "auto",
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    n_bootstrap: int = 400,
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
    values = [smooth_fixed_point(p, r) for (_, p), r in zip(pairs, residuals, strict=True)]
    value = float(np.mean(values))
    noises: list[Noise] = []
    calibrated = np.empty(0)
    if n_bootstrap:
        group = group_codes(groups, codes.size)
        seed = int(generator(random_state, codes, stated).integers(2**63))
        grids = [Grid.for_error(p, found) for (_, p), found in zip(pairs, values, strict=True)]
        for residual, grid in zip(residuals, grids, strict=True):
            rng = np.random.default_rng(seed)
            noises.append(SmoothNoise.draw(residual, grid, group, n_bootstrap, rng))

        def measure(drawn: list[Floats]) -> float:
            return float(np.mean([g.error(r) for g, r in zip(grids, drawn, strict=True)]))

        calibrated = _calibrated(measure, codes, stated, kind, n_bootstrap, seed + 1)
    return _result(value, noises, calibrated, confidence, kind, stated, bandwidth=value)


def smooth_fixed_point(probability: Floats, residual: Floats) -> float:
    """σ* with smECE_σ* = σ* for residuals (n,) at stated probabilities (n,)."""
    n_cells = _MIN_CELLS
    while True:
        left, share = bin_linearly(probability, n_cells)
        coefficients = cosine_coefficients(left, share, residual / residual.size, n_cells)
        value = float(fixed_point(coefficients))
        # Powers of two are what the cosine transform is fastest at.
        needed = 2 ** np.ceil(np.log2(_CELLS_PER_BANDWIDTH / max(value, 1e-9)))
        if n_cells >= min(needed, _MAX_CELLS):
            return value
        n_cells = int(min(needed, _MAX_CELLS))


def equal_mass_bins(probability: Floats, n_bins: int) -> NDArray[np.intp]:
    """Bin 0 … n_bins-1 of each row by the middle rank of its value; ties share a bin."""
    _, position, count = np.unique(probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - count / 2
    return np.asarray((middle * n_bins / probability.size).astype(np.intp)[position])


def _binned(residual: Floats, bins: NDArray[np.intp]) -> float:
    return float(np.abs(np.bincount(bins, weights=residual)).sum() / residual.size)


def _calibrated(
    measure: Callable[[list[Floats]], float],
    codes: NDArray[np.intp],
    stated: Floats,
    kind: CalibrationKind,
    n_draws: int,
    seed: int,
) -> Floats:
    """The measure on outcomes that are drawn from the stated probabilities."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum(stated, axis=1)
    edges /= edges[:, -1:]
    found = np.empty(n_draws)
    for draw in range(n_draws):
        drawn = (rng.random((codes.size, 1)) >= edges[:, :-1]).sum(axis=1)
        found[draw] = measure([happened - p for happened, p in outcomes(drawn, stated, kind)])
    return found


def _result(
    value: float,
    noises: list[Noise],
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
    low = debiased = high = expected = p_value = float("nan")
    if noises:
        low, debiased, high = invert(value, noises, confidence)
        expected = float(calibrated.mean())
        p_value = float((1 + np.sum(calibrated >= value)) / (1 + calibrated.size))
    return CalibrationError(
        value=value,
        low=low,
        high=high,
        debiased=debiased,
        expected_if_calibrated=expected,
        p_value=p_value,
        confidence=confidence,
        kind=kind,
        n=stated.shape[0],
        n_bins=n_bins,
        bandwidth=bandwidth,
    )
