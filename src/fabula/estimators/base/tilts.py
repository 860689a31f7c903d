"""Positive functions of a row that keep families within themselves when densities are multiplied.

log g(x) is a sum over columns, of one kind each: a downward parabola in x or in log x, a line in x
or in log x, or a value for each level of a category.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln, polygamma

from fabula import families
from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError
from fabula.families.base import Family

__all__ = ["Tilt", "choose_tilt", "tilt_bank"]

_DENSE = (families.NormalFull, families.NormalTied)

# What each family can be multiplied with, in order of preference.
_KINDS: dict[type[Family], tuple[str, ...]] = {
    families.NormalFull: ("parabola", "line"),
    families.NormalTied: ("parabola", "line"),
    families.NormalFactor: ("parabola", "line"),
    families.NormalDiagonal: ("parabola", "line"),
    families.NormalSpherical: ("parabola", "line"),
    families.LogNormal: ("log parabola", "log line"),
    families.Gamma: ("line", "log line"),
    families.Exponential: ("line",),
    families.Poisson: ("line",),
    families.Bernoulli: ("line",),
    families.Categorical: ("levels",),
    families.Multinomial: ("words",),
}


@dataclass(frozen=True)
class Tilt:
    """log g(x) as a sum over columns.

    ``slope`` (d,) belongs to lines and words, ``pull`` and ``centre`` (d,) to parabolas:
    -pull/2 · (x - centre)²; both are in log x for the columns of ``kinds`` that say so. ``levels``
    holds log g of every level, and of the unseen one, for categories.
    """

    kinds: tuple[str, ...]
    slope: FloatArray
    pull: FloatArray
    centre: FloatArray
    levels: tuple[FloatArray, ...]

    def of(self, columns: Sequence[int]) -> Tilt:
        """The tilt of some columns."""
        chosen = list(columns)
        return Tilt(
            tuple(self.kinds[j] for j in chosen),
            self.slope[chosen],
            self.pull[chosen],
            self.centre[chosen],
            tuple(self.levels[j] for j in chosen),
        )

    def halved(self) -> Tilt:
        """A function of the same form that is nearer to a constant."""
        words = np.array([kind == "words" for kind in self.kinds])
        # Words keep g = 1 + h, whose expectation is 1 whatever the length of h.
        slope = np.where(words, np.log1p(0.5 * np.expm1(self.slope)), 0.5 * self.slope)
        return dataclasses.replace(
            self, slope=slope, pull=0.5 * self.pull, levels=tuple(0.5 * g for g in self.levels)
        )


def choose_tilt(
    banks: Sequence[Family], weights: Sequence[FloatArray], rng: np.random.Generator, owner: str
) -> Tilt:
    """A function that every bank can be multiplied with, at the scale of the columns.

    ``weights`` (K,) say how much each member of each bank counts for that scale.
    """
    d = banks[0].n_columns
    columns: list[list[tuple[Family, int, FloatArray]]] = [[] for _ in range(d)]
    for bank, shares in zip(banks, weights, strict=True):
        for part, group in _parts(bank):
            for within, j in enumerate(group):
                columns[j].append((part, within, shares))
    kinds = tuple(_common_kind([part for part, _, _ in found], owner) for found in columns)
    slope, pull, centre = np.zeros(d), np.zeros(d), np.zeros(d)
    levels: list[FloatArray] = [np.zeros(0) for _ in range(d)]
    for j, (kind, found) in enumerate(zip(kinds, columns, strict=True)):
        direction = rng.choice([-1.0, 1.0])
        if kind == "levels":
            part, within, _ = found[0]
            n_levels = part.n_levels[within]  # type: ignore[attr-defined]
            levels[j] = rng.uniform(-0.7, 0.7, size=n_levels + 1)
        elif kind != "words":
            mean, spread = _scale(found, kind.startswith("log"))
            slope[j], pull[j], centre[j] = _shape(kind, found, mean, spread, direction)
    tilt = Tilt(kinds, slope, pull, centre, tuple(levels))
    return _even_out(_with_words(tilt, banks, rng, owner), banks)


def tilt_bank(bank: Family, tilt: Tilt) -> tuple[Family, FloatArray]:
    """The bank multiplied by g and normalised, and log E[g | member] (K,)."""
    if isinstance(bank, families.Product):
        parts = [
            tilt_bank(part, tilt.of(group))
            for part, group in zip(bank.parts, bank.columns, strict=True)
        ]
        product = families.Product(tuple(part for part, _ in parts), bank.columns)
        return product, np.sum([log_total for _, log_total in parts], axis=0)
    if isinstance(bank, _DENSE):
        return _tilt_dense(bank, tilt)
    tilt_one: Any = {
        families.NormalFactor: _tilt_factor,
        families.NormalDiagonal: _tilt_diagonal,
        families.NormalSpherical: _tilt_spherical,
        families.LogNormal: _tilt_log_normal,
        families.Gamma: _tilt_gamma,
        families.Exponential: _tilt_exponential,
        families.Poisson: _tilt_poisson,
        families.Bernoulli: _tilt_bernoulli,
        families.Categorical: _tilt_categorical,
        families.Multinomial: _tilt_multinomial,
    }[type(bank)]
    family, log_totals = tilt_one(bank, tilt)
    return family, log_totals


# Choosing ---------------------------------------------------------------------------------------


def _parts(bank: Family) -> list[tuple[Family, tuple[int, ...]]]:
    if isinstance(bank, families.Product):
        return list(zip(bank.parts, bank.columns, strict=True))
    return [(bank, tuple(range(bank.n_columns)))]


def _common_kind(parts: Sequence[Family], owner: str) -> str:
    """The first kind of function that all of the families take."""
    lists = [_KINDS.get(type(part), ()) for part in parts]
    for kind in lists[0]:
        if all(kind in others for others in lists):
            return kind
    names = sorted({type(part).__name__ for part in parts})
    what = " and ".join(names)
    raise CannotAnswerError(
        "twin",
        owner,
        f"no function of a column is known that leaves {what} densities within their famil"
        + ("ies" if len(names) > 1 else "y"),
    )


def _scale(found: Sequence[tuple[Family, int, FloatArray]], logs: bool) -> tuple[float, float]:
    """Mean and standard deviation within members of a column, averaged over the members."""
    means, variances, weights = [], [], []
    for part, within, shares in found:
        mean, variance = _moments(part, within, logs)
        means.append(mean)
        variances.append(variance)
        weights.append(shares)
    share = np.concatenate(weights)
    centre = float(np.average(np.concatenate(means), weights=share))
    return centre, float(np.sqrt(np.average(np.concatenate(variances), weights=share)))


def _moments(part: Any, column: int, logs: bool) -> tuple[FloatArray, FloatArray]:
    """Mean and variance (K,) of a column, or of its logarithm."""
    match part:
        case families.NormalFull():
            return part.means[:, column], part.covariances[:, column, column]
        case families.NormalTied():
            variance = np.full(part.n_members, part.covariance[column, column])
            return part.means[:, column], variance
        case families.NormalFactor():
            return part.means[:, column], part.noise[:, column] + (
                part.loadings[:, column] ** 2
            ).sum(axis=1)
        case families.LogNormal():
            return part.means[:, column], part.variances[:, column]
        case families.Gamma() if logs:
            shapes = part.shapes[:, column]
            return np.log(shapes / part.rates[:, column]), polygamma(1, shapes)
        case _:
            distribution = part._distribution(column, slice(None))
            return np.asarray(distribution.mean()), np.asarray(distribution.var())


def _shape(
    kind: str,
    found: Sequence[tuple[Family, int, FloatArray]],
    mean: float,
    spread: float,
    direction: float,
) -> tuple[float, float, float]:
    """Slope, pull and centre that move the column by about half a standard deviation."""
    if kind.endswith("parabola"):
        return 0.0, 1.0 / spread**2, mean + direction * spread
    if kind == "log line":
        return 0.5 / spread, 0.0, 0.0  # rising: the shape of a gamma must stay positive
    counts = any(isinstance(part, families.Poisson | families.Bernoulli) for part, _, _ in found)
    steepness = min(0.5 / spread, 1.0) if counts else 0.5 / spread
    # Falling where a waiting time could otherwise lose its mean.
    waits = any(isinstance(part, families.Gamma | families.Exponential) for part, _, _ in found)
    return (-steepness if waits else direction * steepness), 0.0, 0.0


def _even_out(tilt: Tilt, banks: Sequence[Family]) -> Tilt:
    """One pull for all columns where a bank has one variance for all of them."""
    pull = tilt.pull.copy()
    for bank in banks:
        for part, group in _parts(bank):
            if isinstance(part, families.NormalSpherical):
                pull[list(group)] = pull[list(group)].mean()
    return dataclasses.replace(tilt, pull=pull)


def _with_words(tilt: Tilt, banks: Sequence[Family], rng: np.random.Generator, owner: str) -> Tilt:
    """Factors of words whose expectation is 1 under every member.

    The density of a text is given its length N, so that E[g | member] is the N-th power of the
    expectation for one word, and must be 1 for the posterior to stay as it is at every length.
    """
    slope = tilt.slope.copy()
    groups = {
        group
        for bank in banks
        for part, group in _parts(bank)
        if isinstance(part, families.Multinomial)
    }
    for group in groups:
        rows = np.concatenate(
            [
                part.probabilities
                for bank in banks
                for part, columns in _parts(bank)
                if columns == group and isinstance(part, families.Multinomial)
            ]
        )
        change = rng.standard_normal(len(group))
        basis, _ = np.linalg.qr(rows.T)
        for _ in range(2):  # twice, for the digits that the first projection loses
            change -= basis @ (basis.T @ change)
        largest = float(np.abs(change).max())
        if rows.shape[1] <= len(rows) or largest < 1e-8:
            raise CannotAnswerError(
                "twin", owner, "there are not more words than members, so nothing is left free"
            )
        slope[list(group)] = np.log1p(0.5 * change / largest)
    return dataclasses.replace(tilt, slope=slope)


# Multiplying ------------------------------------------------------------------------------------


def _tilt_dense(bank: Any, tilt: Tilt) -> tuple[Family, FloatArray]:
    """Σ' = (Σ⁻¹ + A)⁻¹ = L (I + Lᵀ A L)⁻¹ Lᵀ with Σ = L Lᵀ, which inverts nothing ill."""
    shared = isinstance(bank, families.NormalTied)
    covariances = bank.covariance[None] if shared else bank.covariances
    lower = np.linalg.cholesky(covariances)
    inner = np.eye(bank.n_columns) + np.swapaxes(lower, 1, 2) @ (tilt.pull[:, None] * lower)
    root = np.linalg.cholesky(inner)
    factor = np.swapaxes(np.linalg.solve(root, np.swapaxes(lower, 1, 2)), 1, 2)
    log_determinants = 2.0 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    push = tilt.slope - tilt.pull * (bank.means - tilt.centre)
    every = np.broadcast_to(factor, (bank.n_members, *factor.shape[1:]))
    white = np.einsum("kd,kde->ke", push, every)
    means = bank.means + np.einsum("kde,ke->kd", every, white)
    log_totals = _log_totals(bank.means, tilt, (white**2).sum(axis=1), log_determinants)
    tilted = factor @ np.swapaxes(factor, 1, 2)
    family = families.NormalTied(means, tilted[0]) if shared else families.NormalFull(means, tilted)
    return family, log_totals


def _tilt_factor(bank: Any, tilt: Tilt) -> tuple[Family, FloatArray]:
    """The low-rank part keeps its rank; see the Woodbury identity in `families.factor`."""
    noise = 1.0 / (1.0 / bank.noise + tilt.pull)
    projected = bank.loadings / bank.noise[:, :, None]
    identity = np.eye(bank.loadings.shape[2])
    # ψ⁻¹ − ψ⁻¹ ψ' ψ⁻¹, in the form that does not cancel.
    lost = tilt.pull * noise / bank.noise
    middle = identity + np.einsum("kdq,kd,kdr->kqr", bank.loadings, lost, bank.loadings)
    root = np.linalg.cholesky(middle)
    scaled = noise[:, :, None] * projected
    loadings = np.swapaxes(np.linalg.solve(root, np.swapaxes(scaled, 1, 2)), 1, 2)
    push = tilt.slope - tilt.pull * (bank.means - tilt.centre)
    along = np.einsum("kdq,kd->kq", loadings, push)
    means = bank.means + noise * push + np.einsum("kdq,kq->kd", loadings, along)
    squares = (noise * push**2).sum(axis=1) + (along**2).sum(axis=1)
    before = _log_determinant(bank.loadings, bank.noise)
    after = _log_determinant(loadings, noise)
    family = families.NormalFactor(means, loadings, noise)
    return family, _log_totals(bank.means, tilt, squares, before - after)


def _log_determinant(loadings: FloatArray, noise: FloatArray) -> FloatArray:
    middle = np.eye(loadings.shape[2]) + np.einsum(
        "kdq,kd,kdr->kqr", loadings, 1.0 / noise, loadings
    )
    return np.asarray(np.log(noise).sum(axis=1) + np.linalg.slogdet(middle)[1])


def _log_totals(
    means: FloatArray, tilt: Tilt, squares: FloatArray, log_determinants: FloatArray
) -> FloatArray:
    """Log E[g] (K,) of normal members: completing the square in the integral."""
    distance = ((means - tilt.centre) ** 2 * tilt.pull).sum(axis=1)
    return np.asarray(means @ tilt.slope + 0.5 * (squares - distance - log_determinants))


def _tilt_normals(
    means: FloatArray, variances: FloatArray, tilt: Tilt
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Means and variances (K, d) of independent normal columns, and log E[g] (K,)."""
    tilted = variances / (1.0 + tilt.pull * variances)
    push = tilt.slope - tilt.pull * (means - tilt.centre)
    log_determinants = np.log1p(tilt.pull * variances).sum(axis=1)
    squares = (tilted * push**2).sum(axis=1)
    return means + tilted * push, tilted, _log_totals(means, tilt, squares, log_determinants)


def _tilt_diagonal(bank: Any, tilt: Tilt) -> tuple[Family, FloatArray]:
    means, variances, log_totals = _tilt_normals(bank.means, bank.variances, tilt)
    return families.NormalDiagonal(means, variances), log_totals


def _tilt_spherical(bank: Any, tilt: Tilt) -> tuple[Family, FloatArray]:
    spread = np.repeat(bank.variances[:, None], bank.n_columns, axis=1)
    means, variances, log_totals = _tilt_normals(bank.means, spread, tilt)
    return families.NormalSpherical(means, variances[:, 0].copy()), log_totals


def _tilt_log_normal(bank: Any, tilt: Tilt) -> tuple[Family, FloatArray]:
    means, variances, log_totals = _tilt_normals(bank.means, bank.variances, tilt)
    return families.LogNormal(means, variances), log_totals


def _tilt_gamma(bank: Any, tilt: Tilt) -> tuple[Family, FloatArray]:
    logs = np.array([kind == "log line" for kind in tilt.kinds])
    shapes = bank.shapes + np.where(logs, tilt.slope, 0.0)
    rates = bank.rates - np.where(logs, 0.0, tilt.slope)
    before = bank.shapes * np.log(bank.rates) - gammaln(bank.shapes)
    after = shapes * np.log(rates) - gammaln(shapes)
    return families.Gamma(shapes, rates), (before - after).sum(axis=1)


def _tilt_exponential(bank: Any, tilt: Tilt) -> tuple[Family, FloatArray]:
    rates = bank.rates - tilt.slope
    return families.Exponential(rates), np.log(bank.rates / rates).sum(axis=1)


def _tilt_poisson(bank: Any, tilt: Tilt) -> tuple[Family, FloatArray]:
    return (
        families.Poisson(bank.rates * np.exp(tilt.slope)),
        (bank.rates * np.expm1(tilt.slope)).sum(axis=1),
    )


def _tilt_bernoulli(bank: Any, tilt: Tilt) -> tuple[Family, FloatArray]:
    totals = 1.0 + bank.probabilities * np.expm1(tilt.slope)
    tilted = bank.probabilities * np.exp(tilt.slope) / totals
    return families.Bernoulli(tilted), np.log(totals).sum(axis=1)


def _tilt_categorical(bank: Any, tilt: Tilt) -> tuple[Family, FloatArray]:
    weighted = bank.probabilities * np.exp(np.concatenate(tilt.levels))
    sizes = np.asarray(bank.n_levels) + 1
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    totals = np.add.reduceat(weighted, starts, axis=1)
    tilted = weighted / np.repeat(totals, sizes, axis=1)
    return families.Categorical(tilted, bank.n_levels), np.log(totals).sum(axis=1)


def _tilt_multinomial(bank: Any, tilt: Tilt) -> tuple[Family, FloatArray]:
    weighted = bank.probabilities * np.exp(tilt.slope)
    tilted = weighted / weighted.sum(axis=1, keepdims=True)
    return dataclasses.replace(bank, probabilities=tilted), np.zeros(bank.n_members)
