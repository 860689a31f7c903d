"""Which class explains each row? And under other prior probabilities?"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Block
from fabula.core.errors import UsageError, warn
from fabula.core.words import count
from fabula.questions.protocols import ClassifiesRows
from fabula.questions.walk import walk

__all__ = [
    "check_prior",
    "class_probabilities",
    "climb_priors",
    "estimate_priors",
    "log_joint",
    "with_prior",
]

_Story = TypeVar("_Story")


def class_probabilities(story: ClassifiesRows, x: Any) -> FloatArray:
    """Posterior probability (n, K) of every class by Bayes' rule."""
    n_impossible = 0

    def ask(block: Block) -> FloatArray:
        nonlocal n_impossible
        log_evidence, posterior = story.posterior(block.x)
        n_impossible += int(np.isneginf(log_evidence).sum())
        return posterior

    probabilities = walk(x, ask).astype(np.float64)
    if n_impossible:
        warn(
            f"{count(n_impossible, 'row')} cannot have come about under any class, because of a "
            "cell outside the support of its family (a 0 where only positive values are possible, "
            "say): the probabilities given are those of the classes before anything was seen. "
            "Write NaN in such a cell, or name another family for its column."
        )
    return probabilities


def log_joint(story: ClassifiesRows, x: Any) -> FloatArray:
    """Log p(x, class) in nats, (n, K)."""
    return walk(x, lambda block: story.log_joint(block.x)).astype(np.float64)


def with_prior(story: _Story, prior: FloatArray) -> _Story:
    """The same story with other prior probabilities of the classes."""
    probabilities = check_prior(prior, story.n_classes)  # type: ignore[attr-defined]
    with np.errstate(divide="ignore"):
        return story.with_log_weights(np.log(probabilities))  # type: ignore[attr-defined, no-any-return]


def check_prior(prior: FloatArray, n_classes: int) -> FloatArray:
    """The prior probabilities (K,), exactly normalised, or a UsageError that says what is wrong."""
    probabilities = np.asarray(prior, dtype=np.float64)
    if probabilities.shape != (n_classes,):
        raise UsageError(f"A prior needs one probability for each of the {n_classes} classes.")
    if not np.isfinite(probabilities).all() or np.any(probabilities < 0):
        raise UsageError("Prior probabilities must be finite and not negative.")
    if not np.isclose(probabilities.sum(), 1.0, atol=1e-6):
        raise UsageError(f"Prior probabilities must sum to 1, not {probabilities.sum():.6g}.")
    return np.asarray(probabilities / probabilities.sum())


def estimate_priors(
    story: ClassifiesRows, x: Any, *, max_iter: int = 1000, tol: float = 1e-8
) -> FloatArray:
    """Prior probabilities (K,) that maximise the likelihood of unlabelled rows.

    For data whose classes come in other proportions than those of training while each class looks
    as it did. EM over the weights alone (Saerens, Latinne and Decaestecker 2002, Neural Comput.
    14:21).
    """
    likelihoods = log_joint(story, x) - story.log_weights
    return climb_priors(likelihoods, np.exp(story.log_weights), max_iter=max_iter, tol=tol)


def climb_priors(
    log_likelihoods: FloatArray, start: FloatArray, *, max_iter: int = 1000, tol: float = 1e-8
) -> FloatArray:
    """Prior probabilities (K,) under which rows are most probable, by EM from ``start`` (K,).

    ``log_likelihoods`` (n, K) are log p(row | class), up to a constant of the row: log posteriors
    less the log of the priors they assume will do.
    """
    densities = np.exp(log_likelihoods - log_likelihoods.max(axis=1, keepdims=True))
    priors = np.asarray(start, dtype=np.float64)
    for _ in range(max_iter):
        posterior = densities * priors
        total = posterior.sum(axis=1, keepdims=True)
        posterior /= np.where(total > 0, total, 1.0)
        updated = posterior.mean(axis=0)
        updated /= updated.sum()
        if float(np.abs(updated - priors).max()) < tol:
            return np.asarray(updated)
        priors = updated
    return priors
