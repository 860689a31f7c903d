"""What comes next: the mixture over states of what each would emit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula import families
from fabula.core.arrays import FloatArray
from fabula.families.base import Family

__all__ = ["Forecast", "flat_bank", "forecast", "member_means"]


@dataclass(frozen=True)
class Forecast:
    """The next steps of sequences, as far as they can be known.

    Parameters
    ----------
    mean : (n, horizon, d) array
        Expected values, in the units of the columns; NaN for categories.
    lower, upper : (n, horizon, d) arrays
        Ends of the central interval of each column by itself; NaN for categories.
    interval : float
        Probability that a value lies within.
    states : (n, horizon, S) array
        Probability of each state.
    probabilities : dict
        Column → (n, horizon, C) probabilities of its levels, for categories; under "symbols" where
        the steps are symbols.
    levels : dict
        Column → what the C levels are.
    columns : tuple
        Names of the d columns.
    exact : tuple of bool
        Whether the ends of each column are quantiles of the mixture over states itself; else they
        are those of 2,000 draws of each state.
    """

    mean: FloatArray
    lower: FloatArray
    upper: FloatArray
    interval: float
    states: FloatArray
    probabilities: dict[Any, FloatArray]
    levels: dict[Any, tuple[Any, ...]]
    columns: tuple[Any, ...]
    exact: tuple[bool, ...]

    @property
    def horizon(self) -> int:
        """How many steps ahead it looks."""
        return int(self.mean.shape[1])


def flat_bank(family: Family, states: FloatArray) -> tuple[Family, FloatArray]:
    """A bank without mixtures inside, and the weight (m, members) of each of its members.

    ``states`` (m, S) are the weights of the states.
    """
    log_weights = getattr(family, "log_weights", None)
    if log_weights is None or not hasattr(family, "family"):
        return family, states
    inner = (states[:, :, None] * np.exp(log_weights)).reshape(len(states), -1)
    return family.family, inner


_DRAWS = 2000


def member_means(bank: Family) -> FloatArray:
    """Mean (K, d) of every column of every member; the most probable code of categories."""
    members = np.arange(bank.n_members)
    blank = np.full((bank.n_members, bank.n_columns), np.nan)
    return np.asarray(bank.complete(blank, members), dtype=np.float64)


def forecast(
    family: Family,
    states: FloatArray,
    interval: float,
    levels: dict[int, int],
) -> tuple[FloatArray, FloatArray, FloatArray, dict[int, FloatArray], tuple[bool, ...]]:
    """Mean, lower and upper end (m, d) of every column, and probabilities (m, C) of categories.

    Also whether the ends of each column are exact. Then they are quantiles of the mixture: its
    distribution function is the weighted sum of those of its members, inverted by bisection.
    """
    bank, weights = flat_bank(family, states)
    mean = weights @ member_means(bank)
    lower, upper = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    shares: dict[int, FloatArray] = {}
    exact = [True] * bank.n_columns
    drawn: FloatArray | None = None
    tail = 0.5 * (1.0 - interval)
    for j in range(bank.n_columns):
        part = bank.univariate_part(j)
        if j in levels and part is not None and _has_levels(part[0]):
            shares[j] = weights @ part[0].level_probabilities(part[1])
            mean[:, j] = np.nan
            continue
        distribution, discrete = _distribution(bank, j)
        if distribution is None:
            if drawn is None:
                members = np.repeat(np.arange(bank.n_members), _DRAWS)
                drawn = bank.sample(members, np.random.default_rng(0))
            exact[j] = False
            cells = drawn[:, j].reshape(bank.n_members, _DRAWS)
            lower[:, j] = _quantile_of_draws(cells, weights, tail)
            upper[:, j] = _quantile_of_draws(cells, weights, 1.0 - tail)
            continue
        lower[:, j] = _quantile(distribution, weights, tail, discrete)
        upper[:, j] = _quantile(distribution, weights, 1.0 - tail, discrete)
    return mean, lower, upper, shares, tuple(exact)


def _has_levels(part: Any) -> bool:
    return isinstance(part, families.Categorical | families.Bernoulli)


def _distribution(bank: Family, column: int) -> tuple[Any, bool]:
    """One column of every member as a frozen ``scipy.stats`` distribution, and if it is discrete.

    None where there is none, as for counts of words.
    """
    from scipy import stats

    part = bank.univariate_part(column)
    if part is not None and hasattr(part[0], "_distribution"):
        return part[0]._distribution(part[1], slice(None)), bool(getattr(part[0], "discrete", 0))
    one: Any = bank.marginal([column])
    match one:
        case families.NormalFull():
            return stats.norm(one.means[:, 0], np.sqrt(one.covariances[:, 0, 0])), False
        case families.NormalTied():
            return stats.norm(one.means[:, 0], np.sqrt(one.covariance[0, 0])), False
        case families.NormalFactor():
            variances = (one.loadings[:, 0] ** 2).sum(axis=1) + one.noise[:, 0]
            return stats.norm(one.means[:, 0], np.sqrt(variances)), False
        case families.StudentT():
            return stats.t(one.dofs, one.locations[:, 0], np.sqrt(one.scales[:, 0, 0])), False
        case families.StudentTColumns():
            return stats.t(one.dofs[:, 0], one.locations[:, 0], one.scales[:, 0]), False
        case _ if hasattr(one, "_distribution"):
            return one._distribution(0, slice(None)), bool(getattr(one, "discrete", False))
        case _:
            return None, False


def _quantile(
    distribution: Any, weights: FloatArray, probability: float, discrete: bool
) -> FloatArray:
    """Smallest value (m,) below which the mixture has the given probability.

    It lies between the quantiles of the members that have any weight.
    """
    own = np.broadcast_to(distribution.ppf(probability), (weights.shape[1],))
    counts = weights > 0
    low = np.where(counts, own, np.inf).min(axis=1)
    high = np.where(counts, own, -np.inf).max(axis=1)
    if discrete:
        low = low - 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if discrete:
            middle = np.floor(middle)
        reached = (weights * distribution.cdf(middle[:, None])).sum(axis=1) >= probability
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle)
        if np.all(high - low <= (1.0 if discrete else 1e-12 * (1.0 + np.abs(high)))):
            break
    return np.asarray(high)


def _quantile_of_draws(cells: FloatArray, weights: FloatArray, probability: float) -> FloatArray:
    """Smallest draw (m,) at which the mixture of draws (K, n) reaches the probability."""
    order = np.argsort(cells, axis=None, kind="stable")
    members = np.repeat(np.arange(len(cells)), cells.shape[1])[order]
    values = cells.ravel()[order]
    out = np.empty(len(weights))
    for i, row in enumerate(weights):
        reached = np.cumsum(row[members]) / cells.shape[1]
        out[i] = values[min(int(np.searchsorted(reached, probability)), len(values) - 1)]
    return out
