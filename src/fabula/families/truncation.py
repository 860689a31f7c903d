"""Draws from normal and Student-t distributions cut off at both ends, and what lies between.

Both are symmetric, so all work is done in the lower tail, where a difference of probabilities
keeps its digits.
"""

from __future__ import annotations

import numpy as np

from fabula.core.arrays import FloatArray

__all__ = ["draw_truncated_normal", "draw_truncated_t", "log_mass_t"]


def draw_truncated_normal(
    mean: FloatArray, deviation: FloatArray, low: float, high: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draws (n,) between ``low`` and ``high`` and the log probability (n,) of that interval."""
    from scipy.special import log_ndtr, ndtri_exp

    a, b, flip = _lower_tail((low - mean) / deviation, (high - mean) / deviation)
    log_a, log_b = log_ndtr(a), log_ndtr(b)
    log_mass = _log_difference(log_b, log_a)
    log_uniform = np.log(rng.random(len(mean)))
    with np.errstate(invalid="ignore"):
        drawn = ndtri_exp(np.minimum(np.logaddexp(log_a, log_uniform + log_mass), log_b))
    # Where the interval holds no probability that can be told from none, its nearest end.
    drawn = np.where(np.isneginf(log_mass), b, drawn)
    drawn = np.where(flip, -drawn, drawn)
    return np.clip(mean + deviation * drawn, low, high), log_mass


def draw_truncated_t(
    location: FloatArray,
    scale: FloatArray,
    dof: FloatArray,
    low: float,
    high: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Draws (n,) between ``low`` and ``high`` and the log probability (n,) of that interval."""
    from scipy.special import stdtr, stdtrit

    a, b, flip = _lower_tail((low - location) / scale, (high - location) / scale)
    below_a, below_b = stdtr(dof, a), stdtr(dof, b)
    probability = below_a + rng.random(len(location)) * (below_b - below_a)
    drawn = np.where(below_b > below_a, stdtrit(dof, probability), b)
    drawn = np.where(flip, -drawn, drawn)
    return np.clip(location + scale * drawn, low, high), _log(below_b - below_a)


def log_mass_t(
    location: FloatArray, scale: FloatArray, dof: FloatArray, low: float, high: float
) -> FloatArray:
    """Log probability of the interval under each of the distributions."""
    from scipy.special import stdtr

    a, b, _ = _lower_tail((low - location) / scale, (high - location) / scale)
    return _log(stdtr(dof, b) - stdtr(dof, a))


def _lower_tail(
    a: FloatArray, b: FloatArray
) -> tuple[FloatArray, FloatArray, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """The ends of the interval or of its mirror image, and which it is."""
    with np.errstate(invalid="ignore"):  # from -inf to inf
        flip = a + b > 0
    return np.where(flip, -b, a), np.where(flip, -a, b), flip


def _log_difference(log_b: FloatArray, log_a: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = log_b + np.log1p(-np.exp(np.minimum(log_a - log_b, 0.0)))
    return np.asarray(np.where(np.isneginf(log_b), -np.inf, difference))


def _log(probability: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.maximum(probability, 0.0)))
