"""Stated probability against observed frequency, in bins and as a smooth curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.errors import UsageError
from fabula.evaluation.calibration_error import (
    CalibrationError,
    equal_mass_bins,
    expected_calibration_error,
    smooth_calibration_error,
)
from fabula.evaluation.metrics import wilson_interval
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

__all__ = ["ReliabilityCurve", "reliability_curve"]

_GRID = 512
# Fewer rows than this under the kernel and the curve would be their noise.
_FEWEST_ROWS = 10
# Narrower and the curve would follow single rows.
_SMALLEST_WIDTH = 0.015


@dataclass(frozen=True)
class ReliabilityCurve(Result):
    """What happened against what was stated.

    Attributes
    ----------
    label : str
    kind : str
        ``positive`` (class 1 of two), ``top_label`` (the most probable class was right) or
        ``class k``.
    bin_probability, bin_frequency : (b,)
        Mean stated probability and share that happened, in bins of equal mass.
    bin_low, bin_high : (b,)
        Binomial interval of the share.
    bin_count : (b,)
        Rows.
    smooth_probability : (m,)
        Grid on [0, 1].
    smooth_frequency, smooth_low, smooth_high : (m,)
        Kernel estimate of the frequency with its bootstrap band; NaN where fewer than 10 rows
        lie under the kernel.
    smooth_density : (m,)
        Density of the stated probabilities; it integrates to 1.
    bandwidth : float
        Width of the kernel of the curve.
    histogram_edges : (h + 1,), histogram_counts : (h,)
        Stated probabilities in bins of equal width.
    ece, smooth_ece : CalibrationError
    confidence : float
    n : int
    """

    label: str
    kind: str
    bin_probability: Floats
    bin_frequency: Floats
    bin_low: Floats
    bin_high: Floats
    bin_count: NDArray[np.intp]
    smooth_probability: Floats
    smooth_frequency: Floats
    smooth_low: Floats
    smooth_high: Floats
    smooth_density: Floats
    bandwidth: float
    histogram_edges: Floats
    histogram_counts: NDArray[np.intp]
    ece: CalibrationError
    smooth_ece: CalibrationError
    confidence: float
    n: int


def reliability_curve(
    y: ArrayLike,
    probabilities: ArrayLike,
    n_bins: int = 15,
    *,
    label: str = "",
    kind: Literal["auto", "positive", "top_label"] | int = "auto",
    interval: Literal["wilson", "clopper-pearson"] = "wilson",
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    n_bootstrap: int = 400,
    random_state: int | np.random.Generator | None = None,
) -> ReliabilityCurve:
    """Compare stated probabilities with what happened.

    Parameters
    ----------
    y : array-like (n,)
        Class codes 0 … K-1.
    probabilities : array-like (n, K) or (n,)
    n_bins : int
        Bins of equal mass; equal probabilities share a bin.
    label : str
        Name of the model in pictures.
    kind : {"auto", "positive", "top_label"} or int
        As for :func:`fabula.evaluation.calibration_error.expected_calibration_error`; a number is
        the code of the class that is held against the rest.
    interval : {"wilson", "clopper-pearson"}
        Binomial interval of each bin.
    groups : array-like (n,), optional
        Rows of one group are resampled together for the band and the errors.
    confidence, n_bootstrap, random_state
        Coverage and resamples of the band and of both errors.

    Returns
    -------
    ReliabilityCurve
        The smooth curve is the kernel estimate of Błasiok and Nakkiran (2023) with the width σ*
        of the smooth calibration error, but at least 0.015 and at
        most n^(-1/3) or 0.05, since a curve as wide as a large error would hide its shape.
    """
    codes, stated = check_predictions(y, probabilities)
    calibration_kind: CalibrationKind
    if isinstance(kind, (int, np.integer)) and not isinstance(kind, bool):
        if not 0 <= kind < stated.shape[1]:
            raise UsageError(f"kind is {kind}; expected a class code 0 … {stated.shape[1] - 1}.")
        codes, stated = (codes == kind).astype(np.intp), stated[:, kind]
        stated = np.column_stack([1 - stated, stated])
        calibration_kind, shown = "positive", f"class {kind}"
    elif kind in ("auto", "positive", "top_label"):
        binary = kind == "positive" or (kind == "auto" and stated.shape[1] == 2)
        calibration_kind = "positive" if binary else "top_label"
        shown = calibration_kind
    else:
        raise UsageError(
            f"kind is {kind!r}; expected 'auto', 'positive', 'top_label' or a class code."
        )
    rng = generator(random_state, codes, stated)
    ece = expected_calibration_error(
        codes, stated, n_bins, kind=calibration_kind, groups=groups, confidence=confidence,
        n_bootstrap=n_bootstrap, random_state=rng,
    )  # fmt: skip
    smooth_ece = smooth_calibration_error(
        codes, stated, kind=calibration_kind, groups=groups, confidence=confidence,
        n_bootstrap=n_bootstrap, random_state=rng,
    )  # fmt: skip
    ((happened, probability),) = outcomes(codes, stated, calibration_kind)
    bins = equal_mass_bins(probability, n_bins)
    _, bins = np.unique(bins, return_inverse=True)
    count = np.bincount(bins)
    successes = np.bincount(bins, weights=happened).astype(float)
    low, high = _binomial(successes, count, confidence, interval)
    # σ* is as large as the error itself; so wide a kernel would blur what the bins resolve.
    widest = max(_SMALLEST_WIDTH, min(0.05, codes.size ** (-1 / 3)))
    width = float(np.clip(smooth_ece.value, _SMALLEST_WIDTH, widest))
    frequency, density, band = _smooth_curve(
        happened, probability, width, group_codes(groups, codes.size) if n_bootstrap else None,
        n_bootstrap, confidence, rng,
    )  # fmt: skip
    counts, edges = np.histogram(probability, bins=20, range=(0.0, 1.0))
    return ReliabilityCurve(
        label=label,
        kind=shown,
        bin_probability=np.bincount(bins, weights=probability) / count,
        bin_frequency=successes / count,
        bin_low=low,
        bin_high=high,
        bin_count=count,
        smooth_probability=np.linspace(0.0, 1.0, _GRID + 1),
        smooth_frequency=frequency,
        smooth_low=band[0],
        smooth_high=band[1],
        smooth_density=density,
        bandwidth=width,
        histogram_edges=edges,
        histogram_counts=counts,
        ece=ece,
        smooth_ece=smooth_ece,
        confidence=confidence,
        n=codes.size,
    )


def _binomial(
    successes: Floats, count: NDArray[Any], confidence: float, interval: str
) -> tuple[Floats, Floats]:
    if interval == "wilson":
        return wilson_interval(successes, count, confidence)
    if interval != "clopper-pearson":
        raise UsageError(f"interval is {interval!r}; expected 'wilson' or 'clopper-pearson'.")
    from scipy.special import betaincinv

    tail = 0.5 * (1 - check_confidence(confidence))
    failures = count - successes
    low = np.where(successes == 0, 0.0, betaincinv(np.maximum(successes, 1), failures + 1, tail))
    high = np.where(
        failures == 0, 1.0, betaincinv(successes + 1, np.maximum(failures, 1), 1 - tail)
    )
    return low, high


def _smooth_curve(
    happened: NDArray[np.bool_],
    probability: Floats,
    width: float,
    group: NDArray[np.intp] | None,
    n_bootstrap: int,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[Floats, Floats, Floats]:
    """Frequency (m,), density (m,) and band (2, m) on the grid."""
    n = happened.size
    left, share = bin_linearly(probability, _GRID)
    # n · density · σ√(2π) is the sum of the kernel over the rows, as if each counted up to 1.
    enough = _FEWEST_ROWS / (n * width * np.sqrt(2 * np.pi))

    def curve(weights: Floats) -> tuple[Floats, Floats]:
        masses = [weights / n, weights * happened / n]
        density, hits = (
            smooth(cosine_coefficients(left, share, mass, _GRID), width) for mass in masses
        )
        frequency = np.divide(hits, density, out=np.full_like(hits, np.nan), where=density > 1e-9)
        return np.clip(frequency, 0.0, 1.0), density

    frequency, density = curve(np.ones(n))
    there = density >= enough
    band = np.full((2, _GRID + 1), np.nan)
    if group is not None:
        drawn = np.array([curve(w)[0] for w in bootstrap_weights(group, n_bootstrap, rng)])
        tail = 50 * (1 - confidence)
        band[:, there] = np.nanpercentile(drawn[:, there], [tail, 100 - tail], axis=0)
    return np.where(there, frequency, np.nan), np.maximum(density, 0.0), band
