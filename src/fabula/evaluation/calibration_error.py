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
Andrews (1993), Exactly median-unbiased estimation (the correction by inverting quantiles).
Cowan, Cranmer, Gross, Vitells (2011), Power-constrained limits, arXiv:1105.3166.
Błasiok, Nakkiran (2023), Smooth ECE: principled reliability diagrams via kernel smoothing.
"""

from __future__ import annotations

from collections.abc import Callable
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
from fabula.evaluation.reflected_kernel import (
    bin_linearly,
    cosine_coefficients,
    fixed_point,
)
from fabula.evaluation.resampling import bootstrap_weights, generator, group_codes
from fabula.evaluation.results import Result

__all__ = [
    "CalibrationError",
    "equal_mass_bins",
    "expected_calibration_error",
    "smooth_calibration_error",
    "smooth_fixed_point",
]

# Spacing of the grid against the width σ*: the value, and the many resamples for its interval.
_CELLS_PER_BANDWIDTH = 32
_CELLS_PER_BANDWIDTH_RESAMPLED = 12
_MIN_CELLS, _MAX_CELLS, _MAX_CELLS_RESAMPLED = 1024, 2**17, 2**13

# Multiples of the observed miscalibration at which the sampling distribution is simulated.
_STRENGTHS = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0])


@dataclass(frozen=True)
class CalibrationError(Result):
    """A calibration error and what it means.

    Attributes
    ----------
    value : float
        The estimate as everybody reports it, biased upwards.
    low, high : float
        Interval of the true error, NaN without bootstrap. Since ``value`` is biased upwards,
        the interval of a well calibrated model can lie below it.
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
    The interval inverts a bootstrap: the residual of a row is its bin's mean δ plus noise, and
    the estimate is simulated for models with the miscalibration λδ and resampled noise. The ends
    are the errors of those λ for which ``value`` is the upper or lower quantile; ``debiased`` is
    the one for which it is the median. A plain percentile bootstrap would add the upward bias a
    second time and almost never cover the error of a calibrated model.
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
    simulated = np.zeros((_STRENGTHS.size, n_bootstrap))
    if n_bootstrap:
        group = group_codes(groups, codes.size)
        seed = int(generator(random_state, codes, stated).integers(2**63))
        for residual, index in zip(residuals, bins, strict=True):
            # The same seed for every class: the classes of one resample are the same rows.
            weights = bootstrap_weights(group, n_bootstrap, np.random.default_rng(seed))
            parts = _split(residual, index)
            for draw, w in enumerate(weights):
                simulated[:, draw] += _binned_at_strengths(parts, index, w) / len(pairs)
        calibrated = _calibrated(measure, codes, stated, kind, n_bootstrap, seed + 1)
    else:
        calibrated = np.empty(0)
    return _result(value, simulated, calibrated, confidence, kind, stated, n_bins=n_bins)


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
        As for :func:`expected_calibration_error`. The interval is built in the same way, with
        the observed residual curve as δ and its bootstrap deviations as noise.

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
    simulated = np.zeros((_STRENGTHS.size, n_bootstrap))
    calibrated = np.empty(0)
    if n_bootstrap:
        group = group_codes(groups, codes.size)
        seed = int(generator(random_state, codes, stated).integers(2**63))
        grids = []
        for (_, p), residual, sigma in zip(pairs, residuals, values, strict=True):
            grid = _Grid.for_bandwidth(p, sigma)
            rng = np.random.default_rng(seed)
            simulated += grid.resample(residual, sigma, group, n_bootstrap, rng) / len(pairs)
            grids.append(grid)

        def measure(drawn: list[Floats]) -> float:
            found = [g.measure(r, s) for g, r, s in zip(grids, drawn, values, strict=True)]
            return float(np.mean(found))

        calibrated = _calibrated(measure, codes, stated, kind, n_bootstrap, seed + 1)
    return _result(value, simulated, calibrated, confidence, kind, stated, bandwidth=value)


def smooth_fixed_point(probability: Floats, residual: Floats) -> float:
    """σ* with smECE_σ* = σ* for residuals (n,) at stated probabilities (n,)."""
    n_cells = _MIN_CELLS
    while True:
        left, share = bin_linearly(probability, n_cells)
        coefficients = cosine_coefficients(left, share, residual / residual.size, n_cells)
        value = float(fixed_point(coefficients))
        needed = _power_of_two(_CELLS_PER_BANDWIDTH / max(value, 1e-9), n_cells, _MAX_CELLS)
        if needed <= n_cells:
            return value
        n_cells = needed


def equal_mass_bins(probability: Floats, n_bins: int) -> NDArray[np.intp]:
    """Bin 0 … n_bins-1 of each row by the middle rank of its value; ties share a bin."""
    _, position, count = np.unique(probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - count / 2
    return np.asarray((middle * n_bins / probability.size).astype(np.intp)[position])


def _binned(residual: Floats, bins: NDArray[np.intp]) -> float:
    return float(np.abs(np.bincount(bins, weights=residual)).sum() / residual.size)


def _binned_at_strengths(
    parts: tuple[Floats, Floats], bins: NDArray[np.intp], weights: Floats
) -> Floats:
    signal, noise = (np.bincount(bins, weights=weights * part) for part in parts)
    totals = np.abs(_STRENGTHS[:, None] * signal + noise).sum(axis=1)
    return np.asarray(totals / weights.sum())


def _split(residual: Floats, bins: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Mean residual of each row's bin, and what is left of the row."""
    count = np.bincount(bins)
    mean = np.bincount(bins, weights=residual) / np.maximum(count, 1)
    # Taking off the bin's own mean shrinks the noise by (n - 1) / n in variance; give it back.
    noise = (residual - mean[bins]) * np.sqrt(count / np.maximum(count - 1, 1))[bins]
    return mean[bins], noise


@dataclass(frozen=True)
class _Grid:
    """Rows binned on one grid, for many smooth errors over the same stated probabilities."""

    left: NDArray[np.intp]
    share: Floats
    n_cells: int

    @classmethod
    def for_bandwidth(cls, probability: Floats, sigma: float) -> _Grid:
        wanted = _CELLS_PER_BANDWIDTH_RESAMPLED / max(sigma, 1e-9)
        n_cells = _power_of_two(wanted, 128, _MAX_CELLS_RESAMPLED)
        return cls(*bin_linearly(probability, n_cells), n_cells)

    def coefficients(self, mass: Floats) -> Floats:
        return cosine_coefficients(self.left, self.share, mass / mass.size, self.n_cells)

    def measure(self, residual: Floats, start: float) -> float:
        return float(fixed_point(self.coefficients(residual), start=start))

    def resample(
        self,
        residual: Floats,
        sigma: float,
        group: NDArray[np.intp],
        n_bootstrap: int,
        rng: np.random.Generator,
    ) -> Floats:
        """Errors (strengths, resamples) of the observed residual curve times λ, plus noise."""
        signal = self.coefficients(residual)
        noise = np.empty((n_bootstrap, self.n_cells + 1))
        for draw, weights in enumerate(bootstrap_weights(group, n_bootstrap, rng)):
            noise[draw] = self.coefficients(weights * (residual.size / weights.sum()) * residual)
        noise -= signal
        start, rows = np.full(n_bootstrap, max(sigma, 1e-9)), []
        for strength in _STRENGTHS:
            start = fixed_point(strength * signal + noise, start=start)
            rows.append(start)
        return np.array(rows)


def _power_of_two(wanted: float, smallest: int, largest: int) -> int:
    # Powers of two are what the cosine transform is fastest at.
    return int(np.clip(2 ** np.ceil(np.log2(wanted)), smallest, largest))


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


def _strength(value: float, quantile: Floats) -> float:
    """λ at which a quantile of the simulated errors is the value, 0 if it is always above."""
    # Signal and noise add in squares, so λ² against the square of the quantile is nearly a line.
    rising = np.maximum.accumulate(quantile) ** 2
    if value**2 <= rising[0]:
        return 0.0
    return float(np.sqrt(np.interp(value**2, rising, _STRENGTHS**2)))


def _result(
    value: float,
    simulated: Floats,
    calibrated: Floats,
    confidence: float,
    kind: CalibrationKind,
    stated: Floats,
    n_bins: int | None = None,
    bandwidth: float | None = None,
) -> CalibrationError:
    tail = 50 * (1 - check_confidence(confidence))
    if kind == "auto":
        kind = "positive" if stated.shape[1] == 2 else "top_label"
    low = debiased = high = expected = p_value = float("nan")
    if simulated.size:
        quantiles = np.percentile(simulated, [100 - tail, 50, tail], axis=1)
        low, debiased, high = (value * _strength(value, q) for q in quantiles)
        # A value far below what even a calibrated model shows would exclude every error, that is
        # claim more than the rows can tell: the upper end stays where the typical calibrated
        # model has it (power-constrained limits, Cowan et al. 2011).
        typical = _strength(float(np.median(simulated[0])), quantiles[2])
        high = max(high, value * typical)
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
