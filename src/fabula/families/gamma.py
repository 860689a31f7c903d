"""Positive amounts with independent gamma columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import digamma, gammaln, polygamma

from fabula.core.arrays import FloatArray, LogProbabilities, Members, Rows
from fabula.core.errors import UsageError
from fabula.families.independent import ColumnStatistics, IndependentColumns, PreparedColumns
from fabula.families.normal_diagonal import largest_ratio
from fabula.persistence.registry import storable

__all__ = ["Gamma"]

# 1/shape is the squared relative deviation: a constant column keeps one of 1e-4.
_LARGEST_SHAPE = 1e8
# As for the exponential: a mean whose rate single precision can hold.
_SMALLEST_MEAN = 1e-28


@storable("family/gamma")
@dataclass(frozen=True)
class Gamma(IndependentColumns):
    """A bank of gamma distributions, p(x) = β^κ x^(κ-1) e^(-βx) / Γ(κ) for x > 0.

    Parameters
    ----------
    shapes, rates : (K, d) arrays
        Shapes κ > 0, without unit, and rates β > 0 in inverse units of the columns; the means are
        κ/β.
    """

    shapes: FloatArray
    rates: FloatArray

    def __post_init__(self) -> None:
        if self.shapes.ndim != 2 or self.shapes.shape != self.rates.shape:
            raise UsageError("Gamma shapes and rates must both be (K, d) arrays.")
        for values in (self.shapes, self.rates):
            if not np.all(values > 0) or not np.isfinite(values).all():
                raise UsageError("Gamma shapes and rates must be positive finite numbers.")

    @property
    def n_members(self) -> int:
        """K."""
        return int(self.shapes.shape[0])

    @property
    def n_columns(self) -> int:
        """d."""
        return int(self.shapes.shape[1])

    @property
    def n_parameters(self) -> int:
        """A shape and a rate for each member and column."""
        return 2 * self.shapes.size

    def log_prob(self, x: Rows | PreparedColumns) -> LogProbabilities:
        """Log density in nats (n, K); missing cells drop out."""
        prepared = self.prepare(x)
        if float(self.shapes.max()) <= largest_ratio(prepared.dtype):
            return super().log_prob(prepared)
        # κ log(x/μ) - κ x/μ of a narrow member cancels unless taken about the mean.
        logs, cells = prepared.features
        observed = prepared.observed
        out = np.empty((len(prepared), self.n_members), dtype=cells.dtype)
        for k in range(self.n_members):
            shape, mean = self.shapes[k], self.shapes[k] / self.rates[k]
            deviation = (cells.astype(np.float64) - mean) / mean
            if observed is not None:
                deviation *= observed
            term = shape * (np.log1p(deviation) - deviation) + _stirling(shape)
            term = term if observed is None else term * observed
            out[:, k] = term.sum(axis=1) - logs.sum(axis=1)
        if prepared.base is not None:
            out += prepared.base[:, None]
        return out

    def maximise(
        self, statistics: ColumnStatistics, prior: ColumnStatistics | None = None
    ) -> Gamma:
        """Shapes by Newton's method on the digamma equation, rates in closed form.

        Source: Minka (2002), Estimating a Gamma distribution, eq. 8 onwards.
        """
        if prior is not None:
            statistics = statistics + prior
        counts, (logs, totals) = statistics.counts, statistics.sums
        seen = counts > 0
        safe = np.where(seen, counts, 1.0)
        means = np.where(seen, np.maximum(totals / safe, _SMALLEST_MEAN), self.shapes / self.rates)
        spread = np.where(seen, np.log(means) - logs / safe, 1.0)
        shapes = np.where(seen, _shapes_of(spread), self.shapes)
        return Gamma(shapes, np.where(seen, shapes / means, self.rates))

    def _features(self, x: Rows) -> tuple[FloatArray, ...]:
        return np.log(x), x

    def _natural(self, origin: FloatArray | None) -> tuple[tuple[FloatArray, ...], FloatArray]:
        constant = self.shapes * np.log(self.rates) - gammaln(self.shapes)
        return (self.shapes - 1.0, -self.rates), constant

    def _expected(self) -> tuple[FloatArray, ...]:
        return digamma(self.shapes) - np.log(self.rates), self.shapes / self.rates

    def _base(self, x: Rows) -> FloatArray | None:
        possible = (x > 0) & np.isfinite(x)
        return None if possible.all() else np.where(possible, x.dtype.type(0.0), -np.inf)

    def _distribution(self, column: int, members: Members | slice) -> Any:
        from scipy.stats import gamma

        return gamma(self.shapes[members, column], scale=1.0 / self.rates[members, column])

    def _take(self, members: Any, columns: Any) -> Gamma:
        return Gamma(self.shapes[members][:, columns], self.rates[members][:, columns])


def _shapes_of(spread: FloatArray) -> FloatArray:
    """Solve log κ - ψ(κ) = log mean - mean log; 0, of constant columns, gives the largest κ."""
    # log κ - ψ(κ) lies between 1/(2κ) and 1/κ, so this bounds the shapes on both sides.
    spread = np.clip(spread, 0.5 / _LARGEST_SHAPE, 1e6)
    shapes = (3.0 - spread + np.sqrt((spread - 3.0) ** 2 + 24.0 * spread)) / (12.0 * spread)
    for _ in range(20):
        error = _log_minus_digamma(shapes) - spread
        slope = shapes**2 * (1.0 / shapes - polygamma(1, shapes))
        inverse = np.clip(1.0 / shapes + error / slope, 0.1 / shapes, 10.0 / shapes)
        updated = 1.0 / inverse
        done = np.abs(updated - shapes) <= 1e-12 * shapes
        shapes = updated
        if done.all():
            break
    return np.asarray(np.minimum(shapes, _LARGEST_SHAPE))


# Both differences cancel where κ is large, and their asymptotic series (Abramowitz and Stegun
# 6.1.41 and 6.3.18) are exact to the last digit from here on.
_LARGE = 1e3


def _log_minus_digamma(shapes: FloatArray) -> FloatArray:
    """log κ - ψ(κ)."""
    series = 1.0 / (2.0 * shapes) + 1.0 / (12.0 * shapes**2) - 1.0 / (120.0 * shapes**4)
    exact = np.log(shapes) - digamma(shapes)
    return np.asarray(np.where(shapes > _LARGE, series, exact))


def _stirling(shapes: FloatArray) -> FloatArray:
    """κ log κ - κ - log Γ(κ)."""
    series = 0.5 * np.log(shapes / (2.0 * np.pi)) - 1.0 / (12.0 * shapes)
    series += 1.0 / (360.0 * shapes**3)
    exact = shapes * np.log(shapes) - shapes - gammaln(shapes)
    return np.asarray(np.where(shapes > _LARGE, series, exact))
