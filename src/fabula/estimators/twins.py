"""Many stories have the same moral: another story with exactly the same posterior.

Multiply the density of every class by the same positive function g of the row and normalise each:
p'(x | k) = p(x | k) g(x) / Z_k, with Z_k = E[g(x) | k]. With the prior π'_k ∝ π_k Z_k, Bayes' rule
gives the posterior that it gave before, for g cancels. A divider learns the posterior alone, so no
amount of its data tells the two stories apart.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, TypeVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError
from fabula.estimators.base.arguments import generator_of
from fabula.estimators.base.tilts import Tilt, choose_tilt, tilt_bank
from fabula.estimators.calibrated import Calibrated
from fabula.structures.class_conditional import ClassConditional
from fabula.structures.mixture import Mixture

__all__ = ["twin"]

_Model = TypeVar("_Model")

# A stronger tilt makes a more different story, but not one in which a class all but disappears.
_LARGEST_CHANGE_OF_PRIOR = float(np.log(4.0))
_MOST_HALVINGS = 20


def twin(model: _Model, *, random_state: Any = 0) -> _Model:
    """Another generative story with the same posterior.

    The twin has other prior probabilities, other densities within the classes and other samples,
    and gives every row without missing cells the same probabilities. Where cells are missing the
    two differ: what a story says about cells that were not seen is no part of the moral.

    Parameters
    ----------
    model : fitted estimator of fabula
        Columns may be normal (with any covariance), log-normal, gamma, exponential, Poisson,
        Bernoulli, categorical, or words. A `Calibrated` model keeps its map.
    random_state : int, Generator or None
        Which of the many twins.

    Returns
    -------
    estimator
        Of the same kind, fitted.

    Raises
    ------
    CannotAnswerError
        Where no function g keeps a family within itself: Student-t columns, truncated stories,
        and classifiers that tell no story.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fabula import QuadraticDiscriminantAnalysis, twin
    >>> X, y = load_iris(return_X_y=True)
    >>> model = QuadraticDiscriminantAnalysis().fit(X, y)
    >>> other = twin(model)
    >>> bool(abs(other.predict_proba(X) - model.predict_proba(X)).max() < 1e-10)
    True
    >>> model.priors_.round(2).tolist()
    [0.33, 0.33, 0.33]
    >>> bool(abs(other.priors_ - model.priors_).max() > 0.01)
    True
    """
    rng = generator_of(random_state)
    if isinstance(model, Calibrated):
        check_is_fitted(model, "map_")
        seed = int(rng.integers(2**31))
        return model._retell(lambda inner: twin(inner, random_state=seed))
    if not hasattr(model, "_refresh"):
        raise CannotAnswerError(
            "twin",
            type(model).__name__,
            "it tells the classes apart, but no story",
            ("NaiveBayes", "LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"),
        )
    check_is_fitted(model, "story_")
    other: Any = copy.copy(model)
    other.story_ = _retold(model.story_, rng, type(model).__name__)  # type: ignore[attr-defined]
    if isinstance(other.story_, ClassConditional) and hasattr(other, "estimators_"):
        other.estimators_ = [
            _with_story(inner, story)
            for inner, story in zip(other.estimators_, other.story_.stories, strict=True)
        ]
    other._refresh()
    return other  # type: ignore[no-any-return]


def _with_story(model: Any, story: Any) -> Any:
    other = copy.copy(model)
    other.story_ = story
    other._refresh()
    return other


def _retold(story: Any, rng: np.random.Generator, owner: str) -> Any:
    """The strongest tilt of the story that leaves every class a fair share of the rows."""
    mixtures: tuple[Mixture, ...]
    shares: FloatArray
    if isinstance(story, Mixture):
        mixtures, shares = (story,), np.zeros(1)
    elif isinstance(story, ClassConditional) and all(
        isinstance(inner, Mixture) for inner in story.stories
    ):
        mixtures, shares = story.stories, story.log_weights
    else:
        raise CannotAnswerError(
            "twin", owner, f"no twin is known of a story of the kind {type(story).__name__}"
        )
    weights = [np.exp(m.log_weights + w) for m, w in zip(mixtures, shares, strict=True)]
    tilt = choose_tilt([mixture.family for mixture in mixtures], weights, rng, owner)
    for _ in range(_MOST_HALVINGS):
        candidate = _tilted(story, tilt)
        with np.errstate(invalid="ignore"):
            change = np.abs(candidate.log_weights - story.log_weights)
        if np.nanmax(change) <= _LARGEST_CHANGE_OF_PRIOR:
            break
        tilt = tilt.halved()
    return candidate


def _tilted(story: Any, tilt: Tilt) -> Any:
    """The story under a tilt, priors and all."""
    if isinstance(story, Mixture):
        return _tilted_mixture(story, tilt)[0]
    parts = [_tilted_mixture(mixture, tilt) for mixture in story.stories]
    log_weights = story.log_weights + np.array([log_total for _, log_total in parts])
    return dataclasses.replace(
        story,
        log_weights=log_weights - np.logaddexp.reduce(log_weights),
        stories=tuple(mixture for mixture, _ in parts),
    )


def _tilted_mixture(mixture: Mixture, tilt: Tilt) -> tuple[Mixture, float]:
    """The mixture under a tilt, and the log of its expectation of g."""
    family, log_totals = tilt_bank(mixture.family, tilt)
    log_weights: FloatArray = mixture.log_weights + log_totals
    log_total = float(np.logaddexp.reduce(log_weights))
    return dataclasses.replace(
        mixture, log_weights=log_weights - log_total, family=family
    ), log_total
