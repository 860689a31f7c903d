"""What deciding by a model costs, over all ratios of the two kinds of error.

A person with probability p of the condition is treated when that is expected to cost less, that
is when p is at least t = c_FP / (c_FP + c_FN): a false alarm costs c_FP, a missed case c_FN.

References
----------
Drummond, Holte (2006), Cost curves: an improved method for visualizing classifier performance.
Hernández-Orallo, Flach, Ferri (2011), Brier curves: a new cost-based visualisation (with costs
that sum to 1, twice the area under the curve over t is the Brier score).
Vickers, Elkin (2006), Decision curve analysis: a novel method for evaluating prediction models.
Zou, Donner (2008), Construction of confidence limits about effect measures (MOVER).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fabula.core.errors import DataError, UsageError
from fabula.evaluation.metrics import wilson_interval
from fabula.evaluation.predictions import Floats, check_confidence, check_predictions
from fabula.evaluation.results import Result

__all__ = ["CostCurve", "cost_curve"]


@dataclass(frozen=True)
class CostCurve(Result):
    """Expected cost per case over the ratio of the costs.

    The unit of cost is c_FP + c_FN, so that the curve stays between 0 and 1 over all ratios.

    Attributes
    ----------
    label : str
    cost_ratios : (m,)
        c_FN / c_FP: how many false alarms one missed case is worth, rising.
    thresholds : (m,)
        t = 1 / (1 + ratio): probability from which treating is cheaper.
    cost : (m,)
        Expected cost per case of treating where p ≥ t.
    low, high : (m,)
        Interval of ``cost``: Wilson limits of the two error rates joined by MOVER.
    treat_all, treat_none : (m,)
        Expected cost per case of treating everybody and nobody.
    prevalence : float
        Share of cases.
    confidence : float
    n : int
    """

    label: str
    cost_ratios: Floats
    thresholds: Floats
    cost: Floats
    low: Floats
    high: Floats
    treat_all: Floats
    treat_none: Floats
    prevalence: float
    confidence: float
    n: int

    @property
    def net_benefit(self) -> Floats:
        """Net benefit (m,) of Vickers and Elkin: true positives less weighed false ones, per case.

        TP/n - FP/n · t/(1 - t); treating nobody has 0.
        """
        return np.asarray(self.prevalence - self.cost / (1 - self.thresholds))

    @property
    def net_benefit_treat_all(self) -> Floats:
        """Net benefit (m,) of treating everybody."""
        return np.asarray(self.prevalence - self.treat_all / (1 - self.thresholds))

    @property
    def useful(self) -> tuple[float, float] | None:
        """Range of ratios around the best saving where the model beats both defaults, or None."""
        saving = np.minimum(self.treat_all, self.treat_none) - self.cost
        # The three costs are sums of the same terms in different orders: equal up to rounding.
        saving[np.abs(saving) < 1e-12] = 0.0
        if not (saving > 0).any():
            return None
        best = int(saving.argmax())
        losing = np.flatnonzero(saving <= 0)
        below, above = losing[losing < best], losing[losing > best]
        first = int(below[-1]) + 1 if below.size else 0
        last = int(above[0]) - 1 if above.size else saving.size - 1
        return float(self.cost_ratios[first]), float(self.cost_ratios[last])


def cost_curve(
    y: ArrayLike,
    probabilities: ArrayLike,
    cost_ratios: ArrayLike | None = None,
    *,
    positive: int = 1,
    label: str = "",
    confidence: float = 0.95,
) -> CostCurve:
    """Expected cost per case of deciding by expected cost, beside treating all and none.

    Parameters
    ----------
    y : array-like (n,)
        Class codes 0 … K-1.
    probabilities : array-like (n, K) or (n,)
    cost_ratios : array-like (m,), optional
        c_FN / c_FP, each above 0: what a missed case costs in false alarms. By default 0.01 to
        100, evenly in logarithms.
    positive : int
        Code of the class that is treated; the others count as one.
    label : str
        Name of the model in pictures.
    confidence : float

    Raises
    ------
    DataError
        Where rows are missing, unlabelled or no probabilities.
    UsageError
        Where a ratio is not positive or there is no such class.
    """
    codes, stated = check_predictions(y, probabilities)
    check_confidence(confidence)
    if not 0 <= positive < stated.shape[1]:
        raise UsageError(
            f"positive is {positive}; expected a class code 0 … {stated.shape[1] - 1}."
        )
    ratios = _ratios(cost_ratios)
    threshold = 1.0 / (1.0 + ratios)
    is_case = codes == positive
    score_of_case = np.sort(stated[is_case, positive])
    score_of_other = np.sort(stated[~is_case, positive])
    missed = np.searchsorted(score_of_case, threshold, side="left")
    alarms = score_of_other.size - np.searchsorted(score_of_other, threshold, side="left")
    n = codes.size
    prevalence = score_of_case.size / n
    cost = (threshold * alarms + (1 - threshold) * missed) / n
    low, high = _mover(alarms / n, missed / n, n, threshold, confidence)
    return CostCurve(
        label=label,
        cost_ratios=ratios,
        thresholds=threshold,
        cost=cost,
        low=low,
        high=high,
        treat_all=threshold * (1 - prevalence),
        treat_none=(1 - threshold) * prevalence,
        prevalence=prevalence,
        confidence=confidence,
        n=n,
    )


def _ratios(cost_ratios: ArrayLike | None) -> Floats:
    if cost_ratios is None:
        return np.geomspace(0.01, 100.0, 201)
    ratios = np.sort(np.atleast_1d(np.asarray(cost_ratios, dtype=np.float64)))
    if ratios.ndim != 1 or ratios.size == 0:
        raise DataError(f"cost_ratios have the shape {ratios.shape}; expected (m,).")
    if not (np.isfinite(ratios) & (ratios > 0)).all():
        raise UsageError(
            "cost_ratios must be finite and above 0: they say how many false alarms one missed "
            "case is worth."
        )
    return ratios


def _mover(
    alarms: Floats, missed: Floats, n: int, threshold: Floats, confidence: float
) -> tuple[Floats, Floats]:
    """Interval of t·alarms + (1 - t)·missed from the Wilson intervals of the two shares."""
    cost = threshold * alarms + (1 - threshold) * missed
    ends = []
    for share, weight in ((alarms, threshold), (missed, 1 - threshold)):
        low, high = wilson_interval(share * n, n, confidence)
        ends.append((weight * (share - low), weight * (high - share)))
    (below_a, above_a), (below_m, above_m) = ends
    # Shares of one multinomial; where one of them is 0 or 1 they do not covary.
    spread = np.sqrt(alarms * (1 - alarms) * missed * (1 - missed))
    correlation = -np.divide(alarms * missed, spread, out=np.zeros_like(spread), where=spread > 0)
    low = cost - np.sqrt(below_a**2 + below_m**2 + 2 * correlation * below_a * below_m)
    high = cost + np.sqrt(above_a**2 + above_m**2 + 2 * correlation * above_a * above_m)
    return np.maximum(low, 0.0), np.minimum(high, 1.0)
