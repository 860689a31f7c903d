"""Questions about classes and missing cells that networks of rows answer in the same words."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError, UsageError
from fabula.core.regions import Region
from fabula.estimators.base.arguments import check_n_samples, generator_of, whole_number
from fabula.estimators.base.class_questions import mean_score, read_prior, wants_estimate
from fabula.estimators.networks.fitting import NeuralEstimator
from fabula.questions import classify, score
from fabula.questions.decide import Decisions, decide

__all__ = ["DrawsRows", "NetworkQuestions", "TraversesLatents", "filled", "labelled_as"]

_CLASSIFIERS = ("NaiveBayes", "GenerativeClassifier", "LatentTreeModel")
# Rows with the same cells missing are compared with so many draws at least.
_FEWEST_COMPARED = 100


class DrawsRows(NeuralEstimator):
    """`sample` of models whose stories draw rows of classes, under conditions."""

    def sample(
        self,
        n_samples: int = 1,
        random_state: Any = None,
        *,
        given: Mapping[Any, Any] | None = None,
        y: Any = None,
    ) -> tuple[Any, np.ndarray]:
        """Draw rows, and the class of each.

        Parameters
        ----------
        n_samples : int
        random_state : int, Generator, RandomState or None
            None takes the ``random_state`` of the estimator.
        given : mapping, optional
            Condition that the rows must meet: a value, an interval ``(low, high)`` or a set of
            values for some of the columns. Classes that ``y`` does not name are drawn as probable
            as the condition makes them.
        y : class, or (n_samples,) array of classes, optional
            Classes to draw rows of; by their shares otherwise.

        Returns
        -------
        X : in the form of the data of the fit
        y : (n_samples,) array
            Class of each row, or its component of the prior; 0 where there are neither.

        Raises
        ------
        DataError
            Hardly any draw meets the condition, or is of a class under it.
        CannotAnswerError
            A number is given to an adversarial network that was told no cells while it learned.

        Notes
        -----
        With ``given``, ``effective_sample_size_`` says how many independent rows the draws are
        worth.
        """
        return self._sample(n_samples, random_state, given, y)

    def _sample(
        self, n: int, random_state: Any, given: Any, y: Any, draw: Callable[..., Any] | None = None
    ) -> tuple[Any, np.ndarray]:
        """What ``draw(n, rng, condition, labels)`` gives, encoded, in the form of the data."""
        check_is_fitted(self, "story_")
        check_n_samples(n)
        rng = generator_of(self.random_state if random_state is None else random_state)
        labels = self._class_codes(y, n)
        condition = self._given(given) if given else {}
        rows, members = (draw or self._drawn)(n, rng, condition, labels)
        return self._give(rows, condition=condition), self._name_members(members)

    def _drawn(
        self,
        n: int,
        rng: np.random.Generator,
        condition: Mapping[int, float | Region],
        labels: Any,
        **options: Any,
    ) -> tuple[FloatArray, np.ndarray]:
        """Encoded rows, and the codes of their classes."""
        if not condition:
            return self.story_.sample(n, rng, labels=labels, **options)  # type: ignore[no-any-return]
        rows, members, effective = self.story_.sample_given(
            n, condition, rng, labels=labels, **options
        )
        self.effective_sample_size_ = effective
        return rows, members


class NetworkQuestions(DrawsRows):
    """What a story answers that has ``posterior``, ``log_joint`` and ``complete``.

    Other than in `fabula.estimators.base.class_questions`, there may be no classes, and
    ``posterior`` need not agree with ``log_joint``, of which it may be a better estimate.
    """

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean of `score_samples`, in nats; with ``y``, the accuracy of a fit with classes."""
        return mean_score(self, X, y if self._has_classes else None, sample_weight)

    def outliers(self, X: Any, *, n_draws: int = 2000) -> FloatArray:
        """Probability (n,) that the model draws a row no more probable than this one.

        A row that is as usual as most has .5 or more; one that the model does not tell, almost 0.

        Parameters
        ----------
        X : (n, d) array, data frame or images
        n_draws : int
            Rows that the model draws for comparison, in all: rows with other cells missing are
            compared with other draws, with 100 at least.
        """
        return score.tail_probability(
            self.story_, np.asarray(self._read(X)), n_draws=n_draws, fewest=_FEWEST_COMPARED
        )

    # Classes -----------------------------------------------------------------------------------

    def _need_classes(self, question: str) -> None:
        check_is_fitted(self, "story_")
        if not self._has_classes:
            raise CannotAnswerError(
                question,
                type(self).__name__,
                "it was fitted without y and knows no classes",
                _CLASSIFIERS,
            )

    def predict_proba(self, X: Any) -> FloatArray:
        """Probability (n, C) of every class."""
        return np.asarray(self.story_.posterior(np.asarray(self._read(X)))[1])

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, (n,)."""
        return self._name_members(self.predict_proba(X).argmax(axis=1))

    def predict_log_proba(self, X: Any) -> FloatArray:
        """Log probability (n, C) of every class, in nats."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def predict_joint_log_proba(self, X: Any) -> FloatArray:
        """Log p(row, class) in nats, (n, C), or what `density_kind` says."""
        self._need_classes("predict_joint_log_proba")
        return np.asarray(self.story_.log_joint(np.asarray(self._read(X))))

    def decide(
        self, X: Any, costs: Any, reject_cost: float | None = None, *, rejected: Any = None
    ) -> np.ndarray:
        """The action with the smallest expected cost, for each row; as in `NaiveBayes.decide`."""
        return self.decisions(X, costs, reject_cost).labels(rejected)

    def decisions(self, X: Any, costs: Any, reject_cost: float | None = None) -> Decisions:
        """As `decide`, with the expected cost of each decision in the unit of the costs."""
        self._need_classes("decide")
        return decide(self.predict_proba(X), costs, self.classes_.tolist(), reject_cost)

    def with_prior(self, prior: Any, X: Any = None) -> Self:
        """The same model under other prior probabilities of the classes; as in `NaiveBayes`."""
        self._need_classes("with_prior")
        if wants_estimate(prior, X):
            likelihoods = self.predict_log_proba(X) - self.story_.log_weights
            shares = classify.climb_priors(likelihoods, np.exp(self.story_.log_weights))
        else:
            shares = read_prior(prior, self.classes_)
        model = copy.copy(self)
        model.story_ = classify.with_prior(self.story_, shares)
        return model

    # Missing cells -------------------------------------------------------------------------------

    def impute(
        self, X: Any, how: str = "mean", n_draws: int | None = None, *, random_state: Any = None
    ) -> Any:
        """Fill missing cells: means and draws by the story's ``complete``, modes as elsewhere."""
        if how not in ("mean", "draw"):
            return super().impute(X, how, n_draws, random_state=random_state)
        return filled(self, X, how, n_draws, random_state)


def filled(model: NeuralEstimator, X: Any, how: str, n_draws: int | None, random_state: Any) -> Any:
    """The table with its missing cells filled by the story's ``complete``, or a list of tables."""
    if n_draws is not None and (how != "draw" or n_draws < 1):
        raise UsageError("n_draws goes with how='draw', and is at least 1.")
    x = np.asarray(model._read(X), dtype=np.float64)
    rng = generator_of(model.random_state if random_state is None else random_state)
    tables = [
        model._give_completed(X, x, model.story_.complete(x, rng if how == "draw" else None))
        for _ in range(n_draws or 1)
    ]
    return tables[0] if n_draws is None else tables


def labelled_as(X: Any, given: Any) -> Any:
    """A table that was made of another, row by row, with its labels, where both are of pandas."""
    if hasattr(given, "iloc") and hasattr(X, "iloc"):
        given.index = X.index
    return given


class TraversesLatents(NeuralEstimator):
    """`traverse` of models with ``transform`` and ``inverse_transform``."""

    def traverse(
        self, dimension: int, n_steps: int = 9, reach: float = 2.5, row: Any = None, y: Any = None
    ) -> Any:
        """Rows along one latent dimension, from -reach to reach, the others as in ``row``.

        Parameters
        ----------
        dimension : int
            Which, from 0.
        n_steps : int
        reach : float
            In standard deviations of the prior of the latents.
        row : one row, optional
            The middle of the prior by default.
        y : class, optional
            Of the rows, as for ``inverse_transform``.

        Raises
        ------
        UsageError
            There is no such dimension, no way so short, or more than one row in the middle.
        """
        check_is_fitted(self, "story_")
        n = self.story_.shape.n_latent
        middle = np.zeros((1, n)) if row is None else self._latents_of(row, y)
        if len(middle) != 1:
            raise UsageError(f"traverse starts from one row, not from {len(middle)}.")
        if not isinstance(dimension, int | np.integer) or not 0 <= dimension < n:
            raise UsageError(f"There is no latent dimension {dimension!r}; they are 0 to {n - 1}.")
        whole_number("n_steps", n_steps)
        if not np.isfinite(reach):
            raise UsageError(f"reach must be a finite number, not {reach!r}.")
        latents = np.repeat(middle, n_steps, axis=0)
        latents[:, dimension] = np.linspace(-reach, reach, n_steps)
        return self.inverse_transform(latents, y)

    @abstractmethod
    def _latents_of(self, row: Any, y: Any) -> FloatArray:
        """Latents (n, Z) of rows, where ``y`` may say their class."""

    @abstractmethod
    def inverse_transform(self, Z: Any, y: Any = None) -> Any:
        """The rows that latents stand for."""
