"""One whole story for each class: the general form of a generative classifier.

A mixture in each class, a hidden Markov model in each class: any structure that gives log evidence
and statistics can tell the story of a class. Learning is the same EM: the class posteriors weight
the rows, and each story sees its own share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import Codes, FloatArray, Members, Responsibilities, Rows
from fabula.core.blocks import Block
from fabula.core.errors import DataError, UsageError
from fabula.core.regions import Region
from fabula.persistence.registry import storable
from fabula.structures.mixture import draw_members, draw_rows, normalise

__all__ = ["ClassConditional", "ClassConditionalPrior", "ClassConditionalStatistics"]


@dataclass(frozen=True)
class ClassConditionalPrior:
    """Pseudo-counts for the classes, and the prior of each class's story."""

    pseudo_count: float = 0.0
    stories: tuple[Any, ...] = ()
    fixed_log_weights: FloatArray | None = None


@dataclass(frozen=True)
class ClassConditionalStatistics:
    """Expected rows of each class, and the statistics of each class's story."""

    log_evidence: float
    n_rows: float
    weights: FloatArray
    stories: tuple[Any, ...]

    def __add__(self, other: ClassConditionalStatistics) -> ClassConditionalStatistics:
        return ClassConditionalStatistics(
            self.log_evidence + other.log_evidence,
            self.n_rows + other.n_rows,
            self.weights + other.weights,
            tuple(a + b for a, b in zip(self.stories, other.stories, strict=True)),
        )


@storable("story/class_conditional")
@dataclass(frozen=True)
class ClassConditional:
    """p(x, class) = prior of the class times the density of its story.

    Parameters
    ----------
    log_weights : (C,) array
        Log prior probability of each class.
    stories : tuple
        One structure for each class, over the same columns.
    """

    log_weights: FloatArray
    stories: tuple[Any, ...]

    def __post_init__(self) -> None:
        if self.log_weights.shape != (len(self.stories),):
            raise UsageError("A prior probability is needed for each class, and no other.")
        if not np.isclose(np.exp(self.log_weights).sum(), 1.0, atol=1e-6):
            raise UsageError("The prior probabilities of the classes must sum to 1.")

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.stories)

    @property
    def n_columns(self) -> int:
        """d."""
        return int(self.stories[0].n_columns)

    @property
    def n_parameters(self) -> int:
        """Class priors and the parameters of every story."""
        return self.n_classes - 1 + int(sum(story.n_parameters for story in self.stories))

    def prepare(self, block: Block) -> Block:
        """Rows as they are: what one story prepares is no use to another."""
        return block

    def log_joint(self, x: Rows | Any, known: Codes | None = None) -> FloatArray:
        """Log p(x, class) in nats (n, C); -inf where another class is known."""
        joint = np.stack([story.log_prob(x) for story in self.stories], axis=1)
        joint = joint.astype(np.float64) + self.log_weights
        if known is not None:
            joint[(known[:, None] >= 0) & (known[:, None] != np.arange(self.n_classes))] = -np.inf
        return joint

    def posterior(
        self, x: Rows | Any, known: Codes | None = None
    ) -> tuple[FloatArray, Responsibilities]:
        """Log evidence (n,) and the probability (n, C) of each class."""
        return normalise(self.log_joint(x, known), self.log_weights, known)

    def log_prob(self, x: Rows | Any) -> FloatArray:
        """Log density of each row in nats, (n,)."""
        return self.posterior(x)[0]

    def statistics(self, block: Block) -> ClassConditionalStatistics:
        """Class posteriors of a block, and each story's statistics under them."""
        log_evidence, posterior = self.posterior(block.x, block.known)
        weights = np.ones(len(block)) if block.weights is None else block.weights
        posterior = posterior * weights[:, None]
        parts = tuple(
            story.statistics(Block(block.x, None, posterior[:, c]))
            for c, story in enumerate(self.stories)
        )
        counted = np.where(weights > 0, log_evidence, 0.0)
        return ClassConditionalStatistics(
            float(weights @ counted), float(weights.sum()), posterior.sum(axis=0), parts
        )

    def maximise(
        self, statistics: ClassConditionalStatistics, prior: ClassConditionalPrior | None = None
    ) -> ClassConditional:
        """Class priors, and each story by itself."""
        prior = prior or ClassConditionalPrior()
        priors = prior.stories or (None,) * self.n_classes
        counts = statistics.weights + prior.pseudo_count
        counts = np.maximum(counts, 1e-300 + 1e-16 * counts.sum())
        log_weights = prior.fixed_log_weights
        if log_weights is None:
            log_weights = np.log(counts / counts.sum())
        return ClassConditional(
            log_weights,
            tuple(
                story.maximise(mine, its_prior)
                for story, mine, its_prior in zip(
                    self.stories, statistics.stories, priors, strict=True
                )
            ),
        )

    def log_prior(self, prior: ClassConditionalPrior | None) -> float:
        """Log density of the parameters under the prior, up to a constant."""
        if prior is None:
            return 0.0
        weights = prior.pseudo_count * float(self.log_weights.sum()) if prior.pseudo_count else 0.0
        priors = prior.stories or (None,) * self.n_classes
        return weights + sum(  # type: ignore[no-any-return]
            story.log_prior(mine) for story, mine in zip(self.stories, priors, strict=True)
        )

    def with_log_weights(self, log_weights: FloatArray) -> ClassConditional:
        """The same stories under other prior probabilities."""
        return ClassConditional(log_weights, self.stories)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Rows, Members]:
        """``n`` rows (n, d) and the class of each (n,)."""
        classes = draw_members(self.log_weights, n, rng)
        rows = np.empty((n, self.n_columns))
        for c in np.unique(classes):
            mine = np.flatnonzero(classes == c)
            rows[mine] = self.stories[c].sample(len(mine), rng)[0]
        return rows, classes

    def marginal(self, columns: Sequence[int]) -> ClassConditional:
        """The story of some columns, in that order."""
        return ClassConditional(
            self.log_weights, tuple(story.marginal(columns) for story in self.stories)
        )

    def condition(self, given: Mapping[int, float | Region]) -> tuple[Any, float]:
        """Every class's story given the condition, and classes reweighted by how well it fits."""
        rest, log_masses = [], np.full(self.n_classes, -np.inf)
        for c, story in enumerate(self.stories):
            try:
                conditioned, log_masses[c] = story.condition(given)
            except DataError:
                conditioned = None  # impossible in this class
            rest.append(conditioned)
        log_weights = self.log_weights + log_masses
        log_total = float(np.logaddexp.reduce(log_weights))
        if np.isneginf(log_total):
            raise DataError(
                "The condition has probability 0 under this model, so nothing follows from it: "
                "give values that the model holds possible."
            )
        possible = next((story for story in rest if story is not None), None)
        if possible is None:
            return None, log_total
        stories = tuple(possible if story is None else story for story in rest)
        return ClassConditional(log_weights - log_total, stories), log_total

    def sample_given(
        self, n: int, given: Mapping[int, float | Region], rng: np.random.Generator
    ) -> tuple[Rows, Members, float]:
        """Whole rows (n, d) that meet the condition, their classes, and the effective size."""
        log_masses = np.full(self.n_classes, -np.inf)
        for c, story in enumerate(self.stories):
            try:
                _, log_masses[c] = story.condition(given)
            except DataError:
                continue  # impossible in this class
        classes = draw_members(self.log_weights + log_masses, n, rng)
        rows = np.empty((n, self.n_columns))
        effective = 0.0
        for c in np.unique(classes):
            mine = np.flatnonzero(classes == c)
            rows[mine], _, size = self.stories[c].sample_given(len(mine), given, rng)
            effective += size
        return rows, classes, effective

    def complete(
        self,
        x: Rows,
        rng: np.random.Generator | None = None,
        told: Responsibilities | None = None,
    ) -> Rows:
        """Missing cells filled: their conditional mean, or a draw from the joint conditional.

        ``told`` (n, C) is the posterior of the classes where more is known than ``x``.
        """
        posterior = self.posterior(x)[1] if told is None else told
        if rng is not None:
            classes = draw_rows(posterior, rng)
            filled = x.astype(np.float64, copy=True)
            for c in np.unique(classes):
                mine = np.flatnonzero(classes == c)
                filled[mine] = self.stories[c].complete(x[mine], rng)
            return filled
        mean = sum(
            posterior[:, c : c + 1] * story.complete(x) for c, story in enumerate(self.stories)
        )
        return np.where(np.isnan(x), mean, x)
