"""Priors over covariances, shared by every normal family.

Families of counts and categories take their own statistics as a prior (pseudo-observations).
A covariance takes an inverse-Wishart prior that says nothing about the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, polygamma

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.persistence.registry import storable

__all__ = ["CovariancePrior", "ledoit_wolf_strength", "moderated_variances", "oas_strength"]


@storable("prior/covariance")
@dataclass(frozen=True)
class CovariancePrior:
    """Inverse-Wishart prior in the form that makes its mode a shrinkage estimate.

    The posterior mode is (S + ``scatter``) / (N + ``strength``), with S the scatter of N rows
    about their mean: ``strength`` observations whose covariance is ``scatter / strength``. A
    strength of 0 with a small scatter only keeps covariances away from singular ones.

    Parameters
    ----------
    strength : float or (K,) array
        Number of pseudo-observations ν ≥ 0.
    scatter : array
        Ψ: (d,) its diagonal, (d, d), or one for each member, (K, d) in diagonal families and
        (K, d, d) in dense ones.
    floor : (d,) array, optional
        Variances that are impossible to fall below, whatever the rows say.
    """

    strength: float | FloatArray
    scatter: FloatArray
    floor: FloatArray | None = None

    def __post_init__(self) -> None:
        if np.any(np.asarray(self.strength) < 0) or not np.isfinite(self.scatter).all():
            raise UsageError("A covariance prior needs strength >= 0 and a finite scatter.")

    def strengths(self, n_members: int) -> FloatArray:
        """The strength for each member, (K,)."""
        return np.broadcast_to(np.asarray(self.strength, dtype=np.float64), (n_members,))


def oas_strength(correlation: FloatArray, n: float) -> float:
    """Pseudo-observations that shrink a correlation matrix by the OAS rule.

    Source: Chen, Wiesel, Eldar and Hero (2010), IEEE Trans. Signal Process. 58:5016, eq. 23, with
    variances fixed first, so that the answer does not depend on the units of the columns.
    """
    d = len(correlation)
    trace_of_square = float((correlation**2).sum())
    mean_square = trace_of_square / d**2
    numerator = mean_square + 1.0
    denominator = (n + 1.0) * (mean_square - 1.0 / d)
    intensity = 1.0 if denominator <= 0 else min(1.0, numerator / denominator)
    return _strength_of(intensity, n)


def ledoit_wolf_strength(standardised: FloatArray, weights: FloatArray) -> float:
    """Pseudo-observations that shrink a correlation matrix by the Ledoit–Wolf rule.

    Source: Ledoit and Wolf (2004), J. Multivariate Anal. 88:365, section 3, on rows that were
    centred and scaled to unit variance.

    Parameters
    ----------
    standardised : (n, d) array
        Rows about their mean, in units of their standard deviation, without missing cells.
    weights : (n,) array
        Weight of each row.
    """
    n = float(weights.sum())
    correlation = (standardised * weights[:, None]).T @ standardised / n
    # ||S - diag S||²: as ||S - I||², but the same beside columns that never change in a class.
    distance = float((correlation**2).sum() - (np.diagonal(correlation) ** 2).sum())
    fourth = float(weights @ (standardised**2).sum(axis=1) ** 2) / n
    noise = (fourth - float((correlation**2).sum())) / n
    intensity = 1.0 if distance <= 0 else min(1.0, max(0.0, noise / distance))
    return _strength_of(intensity, n)


def moderated_variances(variances: FloatArray, freedom: float) -> FloatArray:
    """Variances of many columns, each drawn towards what they have in common.

    If variances are σ²ⱼ ~ s₀² d₀ / χ²(d₀), the spread of the logarithms of the estimates tells d₀:
    columns in like units share what they know of the size of the noise; where units differ, d₀ is
    small and each column keeps its own. Source: Smyth (2004), Stat. Appl. Genet. Mol. Biol. 3:3,
    section 6.2.

    Parameters
    ----------
    variances : (d,) array
        Estimates; those that are zero are left alone.
    freedom : float
        Degrees of freedom of each.
    """
    positive = variances > 0
    if positive.sum() < 3 or freedom < 1:
        return variances
    half = 0.5 * freedom
    logs = np.log(variances[positive]) - float(digamma(half)) + np.log(half)
    excess = float(logs.var(ddof=1)) - float(polygamma(1, half))
    if excess <= 0:
        # The estimates differ no more than chance makes them: they are of one variance.
        prior_half, centre = np.inf, float(np.exp(logs.mean()))
    else:
        prior_half = _inverse_trigamma(excess)
        centre = float(np.exp(logs.mean() + digamma(prior_half) - np.log(prior_half)))
    share = 1.0 if np.isinf(prior_half) else prior_half / (prior_half + half)
    return np.where(positive, share * centre + (1.0 - share) * variances, variances)


def _inverse_trigamma(value: float) -> float:
    """The x with ψ'(x) = value, by Newton's method on 1/ψ' (Smyth 2004, appendix)."""
    x = 0.5 + 1.0 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1.0 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x


def _strength_of(intensity: float, n: float) -> float:
    """Solve intensity = ν / (n + ν) for ν, kept finite."""
    intensity = min(intensity, 1.0 - 1e-6)
    return intensity * n / (1.0 - intensity)
