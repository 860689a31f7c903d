"""Maximum likelihood of a distance and of what goes with it, with intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri

from fabula.core.arrays import FloatArray
from fabula.core.errors import ConvergenceWarning, UsageError, warn
from fabula.structures.pairs.evolution import LIMITS, PairEvolution, bounded, moves_of
from fabula.structures.pairs.hidden_markov import PairStatistics

__all__ = ["Estimate", "EvolutionFit", "Interval", "fit_evolution"]

Interval = Literal["information", "profile", "none"]

_EM_STEPS = 4
# Of a derivative by an unconstrained parameter, in nats: errors of parameters are far below 1 %
# of their standard errors then.
_SMALLEST_SLOPE = 1e-3
# The height of a profile is off by the square of this over the information, which is little.
_PROFILE_SLOPE = 0.1
# A standard error of 5 e-folds or more is no error of a normal distribution.
_LEAST_INFORMATION = 0.04
_LEAST_SHARE = 1e-3
# Wide, since sums over alignments may be in single precision.
_HESSIAN_STEP = 1e-2
# Where an interval from the information reaches beyond so many substitutions a site, the likelihood
# is no parabola any more: it levels off, and often knows no upper end.
_SATURATED = np.log(1.5)


@dataclass(frozen=True)
class Estimate:
    """A parameter with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class EvolutionFit:
    """The most likely evolution of some pairs.

    A distance of 10 is the largest that is looked at: nothing tells that the two are related.

    Parameters
    ----------
    evolution : PairEvolution
        At the maximum of the likelihood.
    estimates : dict of str to Estimate
        Each free parameter with its interval.
    log_likelihood : float
        Of all pairs together, nats.
    interval : {"information", "profile", "none"}
        How intervals were found.
    level : float
        Probability with which an interval is meant to hold the truth.
    converged : bool
    n_passes : int
        How often the pairs were walked.
    seconds : float
    """

    evolution: PairEvolution
    estimates: dict[str, Estimate]
    log_likelihood: float
    interval: Interval
    level: float
    converged: bool
    n_passes: int
    seconds: float

    @property
    def distance(self) -> Estimate:
        """Expected substitutions per site."""
        return self.estimates["distance"]

    def __str__(self) -> str:
        return ", ".join(f"{name} {estimate}" for name, estimate in self.estimates.items())


def fit_evolution(
    start: PairEvolution | Sequence[PairEvolution],
    count: Callable[[PairEvolution], PairStatistics],
    *,
    free: Sequence[str] | None = None,
    interval: Interval = "information",
    level: float = 0.95,
    max_iter: int = 100,
) -> EvolutionFit:
    """Climb to the most likely parameters, and say how far they may be off.

    Parameters
    ----------
    start : PairEvolution, or several
        Where to begin; what is not free stays as it is here. Of several, the most likely is taken.
        Should it lead to where sequences are as good as unrelated (the likelihood of distant ones
        has such a second summit), the others are tried as well.
    count : callable
        Expected counts of the pairs under a model: one forward–backward pass.
    free : names of parameters, optional
        By default all of ``start.parameters``.
    interval : {"information", "profile", "none"}
        From the observed information, on the scale of the logarithm (of the logit, for
        probabilities); or all values that the likelihood, maximised over the other parameters,
        does not put more than χ²(1) / 2 below its maximum. Where a parameter ends at a limit,
        such as an indel rate where no gap was seen, or an interval of the distance reaches beyond
        1.5, it is taken from the profile always.
    level : float
        Probability with which an interval is meant to hold the truth.
    max_iter : int
        Steps of the climb.

    Warns
    -----
    ConvergenceWarning
        The climb met ``max_iter``.
    """
    began = time.perf_counter()
    starts = [start] if isinstance(start, PairEvolution) else list(start)
    names = starts[0].parameters
    free = names if free is None else tuple(free)
    unknown = [name for name in free if name not in names]
    if unknown or not free:
        raise UsageError(
            f"free must name some of {', '.join(names)}, not {', '.join(unknown) or '-'}."
        )
    if interval not in ("information", "profile", "none"):
        raise UsageError(f"interval must be 'information', 'profile' or 'none', not {interval!r}.")
    if not 0 < level < 1:
        raise UsageError(f"level must lie between 0 and 1, not {level!r}.")
    surfaces = [_Surface(one, count, [names.index(name) for name in free]) for one in starts]
    if len(surfaces) > 1:
        surfaces.sort(key=lambda surface: -surface.value(surface.theta))
    best: tuple[float, _Surface, FloatArray, bool] | None = None
    for surface in surfaces:
        theta, converged = surface.find_top(max_iter)
        value = surface.value(theta)
        if best is None or value > best[0]:
            best = value, surface, theta, converged
        if not surface.is_lost(theta):
            break
    assert best is not None
    top, surface, theta, converged = best
    if not converged:
        warn(
            f"The likelihood of the distance met max_iter={max_iter} before its maximum; more "
            "iterations may move it.",
            ConvergenceWarning,
        )
    intervals = [] if interval == "none" else surface.intervals(theta, interval, level)
    model = surface.model(theta)
    values = model.natural()
    estimates = {}
    for k, name in enumerate(free):
        low, high = intervals[k] if intervals else (np.nan, np.nan)
        estimates[name] = Estimate(values[name], low, high)
    passes = sum(each.n_passes for each in surfaces)
    seconds = time.perf_counter() - began
    return EvolutionFit(model, estimates, top, interval, level, converged, passes, seconds)


class _Surface:
    """The log likelihood over the free parameters, each place visited once."""

    def __init__(
        self,
        start: PairEvolution,
        count: Callable[[PairEvolution], PairStatistics],
        free: list[int],
    ):
        self._start, self._count, self._free = start, count, free
        self._names = [start.parameters[k] for k in free]
        self._whole = start.theta
        self._known: dict[bytes, tuple[float, FloatArray, PairStatistics]] = {}
        self.theta: FloatArray = self._inside(self._whole[free])
        self.n_passes = 0

    def _inside(self, theta: FloatArray) -> FloatArray:
        low, high = np.array([LIMITS[name] for name in self._names]).T
        return np.clip(theta, low, high)

    def model(self, theta: FloatArray) -> PairEvolution:
        whole = self._whole.copy()
        whole[self._free] = theta
        return self._start.with_theta(whole)

    def _at(self, theta: FloatArray) -> tuple[float, FloatArray, PairStatistics]:
        key = np.asarray(theta, dtype=np.float64).tobytes()
        if key not in self._known:
            model = self.model(theta)
            counts = self._count(model)
            slope = model.gradient(counts.match, moves_of(counts))[self._free]
            self._known = {key: (counts.log_evidence, slope, counts)}
            self.n_passes += 1
        return self._known[key]

    def value(self, theta: FloatArray) -> float:
        return self._at(theta)[0]

    def find_top(self, max_iter: int) -> tuple[FloatArray, bool]:
        """A maximum: some steps of EM, which are safe, then a quasi-Newton climb, which is fast."""
        theta = self.theta
        for _ in range(_EM_STEPS):
            theta = self.em_step(theta)
        return self.climb(theta, max_iter)

    def is_lost(self, theta: FloatArray) -> bool:
        """Whether the distance ran to its upper limit, where nothing tells of being related."""
        low_high = [LIMITS[name] for name in self._names]
        return any(
            name == "distance" and value > high - 1.0
            for name, value, (_, high) in zip(self._names, theta, low_high, strict=True)
        )

    def em_step(self, theta: FloatArray) -> FloatArray:
        """The parameters that explain the expected counts best; no pass over the pairs."""
        counts = self._at(theta)[2]
        match, moves = counts.match, moves_of(counts)

        def cost(moved: FloatArray) -> tuple[float, FloatArray]:
            model = self.model(moved)
            return -model.explains(match, moves), -model.gradient(match, moves)[self._free]

        return self._minimise(cost, theta, list(range(len(theta))), 50)[0]

    def climb(
        self,
        theta: FloatArray,
        max_iter: int,
        held: int | None = None,
        slope: float = _SMALLEST_SLOPE,
    ) -> tuple[FloatArray, bool]:
        """To the maximum, with one parameter held where it is, or none."""
        moving = [k for k in range(len(theta)) if k != held]

        def cost(moved: FloatArray) -> tuple[float, FloatArray]:
            value, upward, _ = self._at(moved)
            return -value, -upward

        return self._minimise(cost, theta, moving, max_iter, slope)

    def _minimise(
        self,
        cost: Callable[[FloatArray], Any],
        theta: FloatArray,
        moving: list[int],
        steps: int,
        slope: float = _SMALLEST_SLOPE,
    ) -> tuple[FloatArray, bool]:
        from scipy.optimize import minimize

        if not moving:
            return theta, True

        # In these units the first step, along the slope, is at most one e-fold of a parameter. A
        # longer one can land on another summit.
        unit = max(float(np.abs(cost(theta)[1][moving]).max()), 1.0)

        def partly(part: FloatArray) -> tuple[float, FloatArray]:
            whole = theta.copy()
            whole[moving] = part
            value, upward = cost(whole)
            return value / unit, upward[moving] / unit

        found = minimize(
            partly,
            theta[moving],
            jac=True,
            method="L-BFGS-B",
            bounds=[LIMITS[self._names[k]] for k in moving],
            options={"maxiter": steps, "ftol": 1e-14, "gtol": slope / unit},
        )
        theta = theta.copy()
        theta[moving] = found.x
        # A line search that finds no better place has arrived as far as rounding lets it.
        return theta, found.nit < steps

    # Intervals ------------------------------------------------------------------------------------

    def intervals(
        self, theta: FloatArray, how: Interval, level: float
    ) -> list[tuple[float, float]]:
        """Low and high of each parameter, in its own units."""
        z = float(ndtri(0.5 + level / 2.0))
        errors = self._standard_errors(theta)
        out = []
        for k, name in enumerate(self._names):
            ends = [theta[k] - z * errors[k], theta[k] + z * errors[k]]
            far = name == "distance" and ends[1] > _SATURATED
            if how == "profile" or far or not np.isfinite(errors[k]):
                step = errors[k] if np.isfinite(errors[k]) else 1.0
                ends = [self._profile_end(theta, k, side * step, z) for side in (-1.0, 1.0)]
            out.append((_limited(name, ends[0]), _limited(name, ends[1])))
        return out

    def _standard_errors(self, theta: FloatArray) -> FloatArray:
        """From the observed information; NaN at a limit, or where nothing tells a parameter."""
        low, high = np.array([LIMITS[name] for name in self._names]).T
        # Where the slope has died away the parameter runs on to its limit.
        inside = (theta > low + 0.5) & (theta < high - 0.5)
        errors = np.full(len(theta), np.nan)
        places = np.flatnonzero(inside)
        hessian = np.empty((len(places), len(places)))
        for row, k in enumerate(places):
            step = np.zeros(len(theta))
            step[k] = _HESSIAN_STEP
            slopes = [self._at(theta + side * step)[1][places] for side in (1.0, -1.0)]
            hessian[row] = (slopes[0] - slopes[1]) / (2.0 * _HESSIAN_STEP)
        information = -(hessian + hessian.T) / 2.0
        # A direction in which the likelihood does not fall (such as the lengths of long gaps where
        # no gap is long) takes its parameters with it, and leaves the others.
        curvature, directions = np.linalg.eigh(information)
        told = curvature > _LEAST_INFORMATION
        untold = (directions[:, ~told] ** 2).sum(axis=1) > _LEAST_SHARE
        variances = (directions[:, told] ** 2 / curvature[told]).sum(axis=1)
        errors[places] = np.where(untold, np.nan, np.sqrt(variances))
        return errors

    def _profile_end(self, theta: FloatArray, k: int, step: float, z: float) -> float:
        """Where the profile of one parameter has fallen by z² / 2, on one side of the maximum."""
        from scipy.optimize import brentq

        top = self.value(theta)
        others = theta.copy()
        # Each climb begins where the one before it ended, so the same place asked twice may differ
        # by a little: enough to lose a sign that was there.
        known = {float(theta[k]): -z * z / 2.0}

        def excess(value: float) -> float:
            nonlocal others
            if value in known:
                return known[value]
            others = others.copy()
            others[k] = value
            others, _ = self.climb(others, 50, held=k, slope=_PROFILE_SLOPE)
            known[value] = (top - self.value(others)) - z * z / 2.0
            return known[value]

        low, high = LIMITS[self._names[k]]
        near, width = float(theta[k]), 1.5 * z * step / 2.0
        while True:
            far = float(np.clip(near + width, low, high))
            if excess(far) >= 0:
                return float(brentq(excess, near, far, xtol=5e-3 * max(abs(step), 0.01)))
            if far in (low, high):
                return -np.inf if step < 0 else np.inf
            near, width = far, 2.0 * width


def _limited(name: str, value: float) -> float:
    """A parameter in its own units, from a scale on which an end may be at infinity."""
    if np.isinf(value):
        if name in ("distance", "kappa", "indel_rate"):
            return 0.0 if value < 0 else float("inf")
        return 0.0 if value < 0 else 1.0
    return bounded(name, value)
