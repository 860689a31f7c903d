"""A class explains each row: known, partly known or hidden, it is one structure.

Naive Bayes, discriminant analysis, mixtures and semi-supervised mixtures differ in the family and
in how many classes are known, and in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import Codes, FloatArray, Members, Responsibilities, Rows
from fabula.core.blocks import Block
from fabula.core.errors import DataError, UsageError
from fabula.core.regions import Interval, OneOf, Region
from fabula.families.base import Family
from fabula.persistence.registry import storable

__all__ = [
    "Mixture",
    "MixturePrior",
    "MixtureStatistics",
    "draw_members",
    "draw_rows",
    "has_independent_column",
    "normalise",
]


@dataclass(frozen=True)
class MixturePrior:
    """Pseudo-counts for the weights of the components, and a prior for their family."""

    pseudo_count: float = 0.0
    family: Any = None
    fixed_log_weights: FloatArray | None = None  # given class priors, which learning leaves alone


@dataclass(frozen=True)
class MixtureStatistics:
    """Expected statistics of some rows, and their log evidence."""

    log_evidence: float
    n_rows: float
    weights: FloatArray  # (K,) expected number of rows of each component
    family: Any

    def __add__(self, other: MixtureStatistics) -> MixtureStatistics:
        return MixtureStatistics(
            self.log_evidence + other.log_evidence,
            self.n_rows + other.n_rows,
            self.weights + other.weights,
            self.family + other.family,
        )


@storable("story/mixture")
@dataclass(frozen=True)
class Mixture:
    """p(x, z) = weight of component z times the density of member z at x.

    Parameters
    ----------
    log_weights : (K,) array
        Log probability of each component; they sum to 1 after exponentiation.
    family : Family
        Bank of K members.
    """

    log_weights: FloatArray
    family: Family

    def __post_init__(self) -> None:
        if self.log_weights.shape != (self.family.n_members,):
            raise UsageError(
                f"log_weights must have one entry for each of the {self.family.n_members} members."
            )
        if not np.isclose(np.exp(self.log_weights).sum(), 1.0, atol=1e-6):
            raise UsageError("The weights of the components must sum to 1.")

    @property
    def n_classes(self) -> int:
        """K, the number of components."""
        return len(self.log_weights)

    @property
    def n_columns(self) -> int:
        """d, the number of columns of a row."""
        return self.family.n_columns

    @property
    def n_parameters(self) -> int:
        """Free parameters, as the AIC and the BIC count them."""
        return len(self.log_weights) - 1 + self.family.n_parameters

    def prepare(self, block: Block) -> Block:
        """The block with the family's preparation in place of its rows."""
        return Block(self.family.prepare(block.x), block.known, block.weights)

    def log_joint(self, x: Rows | Any, known: Codes | None = None) -> FloatArray:
        """Log p(x, z) in nats, (n, K); -inf where the known class excludes the component."""
        joint = self.family.log_prob(x)
        joint += self.log_weights.astype(joint.dtype)
        if known is not None:
            excluded = (known[:, None] >= 0) & (known[:, None] != np.arange(joint.shape[1]))
            joint[excluded] = -np.inf
        return joint

    def posterior(
        self, x: Rows | Any, known: Codes | None = None
    ) -> tuple[FloatArray, Responsibilities]:
        """Log evidence (n,) and the probability (n, K) that each component explains each row.

        The evidence is p(x) where the class is not known and p(x, class) where it is.
        """
        return normalise(self.log_joint(x, known), self.log_weights, known)

    def statistics(self, block: Block) -> MixtureStatistics:
        """Expected statistics of a block: the E-step."""
        x = self.family.prepare(block.x)
        log_evidence, responsibilities = self.posterior(x, block.known)
        weights = block.weights
        if weights is None:
            total, n_rows = float(log_evidence.sum(dtype=np.float64)), float(len(block))
        else:
            # A row of weight 0 says nothing, even where its density is 0.
            counted = np.where(weights > 0, log_evidence, 0.0)
            total, n_rows = float(weights @ counted), float(weights.sum())
            responsibilities *= weights[:, None]
        return MixtureStatistics(
            total,
            n_rows,
            responsibilities.sum(axis=0, dtype=np.float64),
            self.family.statistics(x, responsibilities),
        )

    def clamped_statistics(self, block: Block, responsibilities: Responsibilities) -> Any:
        """Statistics of a block under given responsibilities, which already hold the weights."""
        return MixtureStatistics(
            np.nan,
            float(responsibilities.sum()),
            responsibilities.sum(axis=0, dtype=np.float64),
            self.family.statistics(block.x, responsibilities),
        )

    def maximise(self, statistics: MixtureStatistics, prior: MixturePrior | None = None) -> Mixture:
        """Weights and members that maximise the expected log joint plus log prior: the M-step."""
        prior = prior or MixturePrior()
        counts = statistics.weights + prior.pseudo_count
        # A component that explains nothing keeps a trace of weight, so that its log stays finite.
        counts = np.maximum(counts, 1e-300 + 1e-16 * counts.sum())
        log_weights = prior.fixed_log_weights
        if log_weights is None:
            log_weights = np.log(counts / counts.sum())
        return Mixture(log_weights, self.family.maximise(statistics.family, prior.family))

    def log_prior(self, prior: MixturePrior | None) -> float:
        """Log density of the parameters under the prior, up to a constant."""
        if prior is None:
            return 0.0
        weights = prior.pseudo_count * float(self.log_weights.sum()) if prior.pseudo_count else 0.0
        return weights + self.family.log_prior(prior.family)

    def log_prob(self, x: Rows | Any) -> FloatArray:
        """Log density of each row in nats, (n,)."""
        return self.posterior(x)[0]

    def with_log_weights(self, log_weights: FloatArray) -> Mixture:
        """The same members under other prior probabilities."""
        return Mixture(log_weights, self.family)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Rows, Members]:
        """``n`` rows (n, d) and the component each came from (n,)."""
        members = draw_members(self.log_weights, n, rng)
        return self.family.sample(members, rng), members

    def marginal(self, columns: Sequence[int]) -> Mixture:
        """The story of some columns, in that order."""
        return Mixture(self.log_weights, self.family.marginal(columns))

    def condition(self, given: Mapping[int, float | Region]) -> tuple[Any, float]:
        """The story of the other columns given values, intervals or sets of some.

        Returns
        -------
        (story or None, float)
            None where no column is left; and the log probability of the condition (its log
            density, where values of continuous columns are given).
        """
        story, log_total = self._given(given)
        return (story if story is not None and story.n_columns else None), log_total

    def _given(self, given: Mapping[int, float | Region]) -> tuple[Any, float]:
        """As `condition`, but a truncated story remains one where it has no other column."""
        values = {j: v for j, v in given.items() if not isinstance(v, Interval | OneOf)}
        regions = {j: v for j, v in given.items() if isinstance(v, Interval | OneOf)}
        log_weights = self.log_weights
        dependent = {j: r for j, r in regions.items() if not has_independent_column(self.family, j)}
        for j, region in regions.items():
            if j not in dependent:
                log_weights = log_weights + self.family.log_mass(j, region)  # type: ignore[attr-defined]
        fixed = sorted(values)
        family: Family | None = self.family
        if fixed:
            family, told = self.family.condition(fixed, [values[j] for j in fixed])
            log_weights = log_weights + told
        left = [j for j in range(self.n_columns) if j not in values]
        log_total = float(np.logaddexp.reduce(log_weights))
        if np.isneginf(log_total):
            raise DataError(
                "The condition has probability 0 under this model, so nothing follows from it: "
                "give values that the model holds possible."
            )
        log_weights = log_weights - log_total
        kept = [j for j in left if j not in regions or j in dependent]
        if family is None or not kept:
            return None, log_total
        if len(kept) < len(left):
            family = family.marginal([left.index(j) for j in kept])
        story = Mixture(log_weights, family)
        if not dependent:
            return story, log_total
        from fabula.structures.truncated import Truncated

        truncated = Truncated.of(story, {kept.index(j): r for j, r in dependent.items()})
        return truncated, log_total + truncated.log_mass

    def sample_given(
        self, n: int, given: Mapping[int, float | Region], rng: np.random.Generator
    ) -> tuple[Rows, Members, float]:
        """Whole rows (n, d) that meet the condition, their components, and the effective size.

        The effective size is ``n`` where every draw is exact and independent.
        """
        rest, _ = self._given(given)
        members, effective = None, float(n)
        rows = np.empty((n, self.n_columns))
        values = {j: v for j, v in given.items() if not isinstance(v, Interval | OneOf)}
        regions = {j: v for j, v in given.items() if isinstance(v, Interval | OneOf)}
        independent = [j for j in regions if has_independent_column(self.family, j)]
        others = [j for j in range(self.n_columns) if j not in values and j not in independent]
        if rest is None:
            log_weights = self._log_weights_given(given)
            members = draw_members(log_weights, n, rng)
        elif isinstance(rest, Mixture):
            rows[:, others], members = rest.sample(n, rng)
        else:
            rows[:, others], members, effective = rest.sample_whole(n, rng)
        for j, value in values.items():
            rows[:, j] = value
        for j in independent:
            rows[:, j] = self.family.sample_within(j, regions[j], members, rng)  # type: ignore[attr-defined]
        return rows, members, effective

    def _log_weights_given(self, given: Mapping[int, float | Region]) -> FloatArray:
        """Posterior of the components where the condition takes every column."""
        log_weights = self.log_weights.copy()
        fixed = [j for j, v in given.items() if not isinstance(v, Interval | OneOf)]
        if fixed:
            log_weights += self.family.condition(fixed, [given[j] for j in fixed])[1]  # type: ignore[misc]
        for j, region in given.items():
            if isinstance(region, Interval | OneOf):
                log_weights += self.family.log_mass(j, region)  # type: ignore[attr-defined]
        return log_weights

    def complete(
        self,
        x: Rows,
        rng: np.random.Generator | None = None,
        told: Responsibilities | None = None,
    ) -> Rows:
        """Missing cells filled: their conditional mean, or a draw from the joint conditional.

        ``told`` (n, K) is the posterior of the components where more is known than ``x``.
        """
        responsibilities = self.posterior(x)[1] if told is None else told
        if rng is not None:
            return self.family.complete(x, draw_rows(responsibilities, rng), rng)
        filled = np.zeros_like(x, dtype=np.float64)
        for k in range(self.n_classes):
            members = np.full(len(x), k, dtype=np.intp)
            filled += responsibilities[:, k : k + 1] * self.family.complete(x, members)
        return np.where(np.isnan(x), filled, x)


def has_independent_column(family: Family, column: int) -> bool:
    """Whether the column is independent of the others given the member."""
    return family.univariate_part(column) is not None


def draw_members(log_weights: FloatArray, n: int, rng: np.random.Generator) -> Members:
    """``n`` components drawn from their weights."""
    weights = np.exp(log_weights - log_weights.max())
    return rng.choice(len(weights), size=n, p=weights / weights.sum())


def draw_rows(probabilities: FloatArray, rng: np.random.Generator) -> Members:
    """One component for each row of probabilities (n, K)."""
    cumulative = np.cumsum(probabilities, axis=1)
    uniform = rng.random(len(probabilities))[:, None] * cumulative[:, -1:]
    chosen = (uniform >= cumulative).sum(axis=1)
    return np.asarray(chosen.clip(max=probabilities.shape[1] - 1), dtype=np.intp)


_LOG_SMALLEST_FLOAT32 = -80.0


def normalise(
    log_joint: FloatArray, log_weights: FloatArray, known: Codes | None = None
) -> tuple[FloatArray, Responsibilities]:
    """Log sum over components and the posterior, written over ``log_joint``.

    A row that no component can explain has evidence -inf and tells nothing about its component:
    its posterior is its known class, or else the prior.
    """
    largest = log_joint.max(axis=1)
    impossible = largest == -np.inf
    if impossible.any():
        log_joint[impossible] = log_weights.astype(log_joint.dtype)
        if known is not None:
            clamped = impossible & (known >= 0)
            log_joint[clamped] = -np.inf
            log_joint[clamped, known[clamped]] = 0.0
        largest[impossible] = log_joint[impossible].max(axis=1)
    log_joint -= largest[:, None]
    if log_joint.dtype == np.float32:
        # Numbers too small for full precision slow every product down by an order of magnitude.
        np.copyto(log_joint, -np.inf, where=log_joint < _LOG_SMALLEST_FLOAT32)
    np.exp(log_joint, out=log_joint)
    total = log_joint.sum(axis=1)
    log_joint /= total[:, None]
    log_evidence = np.log(total) + largest
    log_evidence[impossible] = -np.inf
    return log_evidence, log_joint
