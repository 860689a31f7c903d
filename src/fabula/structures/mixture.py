"""A class explains each row: known, partly known or hidden, it is one structure.

Naive Bayes, discriminant analysis, mixtures and semi-supervised mixtures differ in the family and
in how many classes are known, and in nothing else. Where a class has several components, `groups`
says which class each component belongs to, and a known class clamps to all of its components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import Codes, FloatArray, Members, Responsibilities, Rows
from fabula.core.blocks import Block
from fabula.core.errors import UsageError
from fabula.families.base import Family
from fabula.persistence.registry import storable

__all__ = ["Mixture", "MixturePrior", "MixtureStatistics", "normalise"]


@dataclass(frozen=True)
class MixturePrior:
    """Pseudo-counts for the weights of the components, and a prior for their family."""

    pseudo_count: float = 0.0
    family: Any = None


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
    groups : (K,) array of int, optional
        The class each component belongs to; None where every component is a class of its own.
    """

    log_weights: FloatArray
    family: Family
    groups: Members | None = None

    def __post_init__(self) -> None:
        if self.log_weights.shape != (self.family.n_members,):
            raise UsageError(
                f"log_weights must have one entry for each of the {self.family.n_members} members."
            )
        if not np.isclose(np.exp(self.log_weights).sum(), 1.0, atol=1e-6):
            raise UsageError("The weights of the components must sum to 1.")
        if self.groups is not None and self.groups.shape != self.log_weights.shape:
            raise UsageError("groups must name the class of every component.")

    @property
    def n_classes(self) -> int:
        """Number of classes; of components where there are no groups."""
        return len(self.log_weights) if self.groups is None else int(self.groups.max()) + 1

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
            classes = np.arange(len(self.log_weights)) if self.groups is None else self.groups
            excluded = (known[:, None] >= 0) & (known[:, None] != classes)
            joint[excluded] = -np.inf
        return joint

    def posterior(
        self, x: Rows | Any, known: Codes | None = None
    ) -> tuple[FloatArray, Responsibilities]:
        """Log evidence (n,) and the probability (n, K) that each component explains each row.

        The evidence is p(x) where the class is not known and p(x, class) where it is.
        """
        return normalise(self.log_joint(x, known), self.log_weights)

    def statistics(self, block: Block) -> MixtureStatistics:
        """Expected statistics of a block: the E-step."""
        log_evidence, responsibilities = self.posterior(block.x, block.known)
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
            self.family.statistics(block.x, responsibilities),
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
        family = self.family.maximise(statistics.family, prior.family)
        return Mixture(np.log(counts / counts.sum()), family, self.groups)

    def log_prior(self, prior: MixturePrior | None) -> float:
        """Log density of the parameters under the prior, up to a constant."""
        if prior is None:
            return 0.0
        weights = prior.pseudo_count * float(self.log_weights.sum()) if prior.pseudo_count else 0.0
        return weights + self.family.log_prior(prior.family)

    def class_log_weights(self) -> FloatArray:
        """Log prior probability of each class."""
        return self.by_class(self.log_weights[None, :], log=True)[0]

    def by_class(self, values: FloatArray, *, log: bool = False) -> FloatArray:
        """Sum over the components of each class, (n, K) to (n, number of classes)."""
        if self.groups is None:
            return values
        out = np.empty((len(values), self.n_classes), dtype=values.dtype)
        for c in range(self.n_classes):
            mine = values[:, self.groups == c]
            out[:, c] = np.logaddexp.reduce(mine, axis=1) if log else mine.sum(axis=1)
        return out

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Rows, Members]:
        """``n`` rows (n, d) and the component each came from (n,)."""
        members = rng.choice(len(self.log_weights), size=n, p=_weights(self.log_weights))
        return self.family.sample(members, rng), members


def normalise(
    log_joint: FloatArray, log_weights: FloatArray
) -> tuple[FloatArray, Responsibilities]:
    """Log sum over components and the posterior, written over ``log_joint``.

    A row that no component can explain has evidence -inf and tells nothing about its component:
    its posterior is the prior.
    """
    largest = log_joint.max(axis=1)
    impossible = np.isneginf(largest)
    if impossible.any():
        log_joint[impossible] = log_weights.astype(log_joint.dtype)
        largest[impossible] = log_joint[impossible].max(axis=1)
    log_joint -= largest[:, None]
    np.exp(log_joint, out=log_joint)
    total = log_joint.sum(axis=1)
    log_joint /= total[:, None]
    log_evidence = np.log(total) + largest
    log_evidence[impossible] = -np.inf
    return log_evidence, log_joint


def _weights(log_weights: FloatArray) -> FloatArray:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum(), dtype=np.float64)
