"""The questions about the class, which every classifier answers in the same words."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.estimators.base.questions import TableQuestions
from fabula.questions import classify, contribute
from fabula.questions.decide import Decisions, decide

__all__ = ["ClassQuestions", "mean_score", "read_prior", "wants_estimate"]


class ClassQuestions(ClassifierMixin, TableQuestions):
    """Questions about the class."""

    classes_: np.ndarray
    priors: Any

    def _read_priors(self) -> FloatArray:
        """Log of the class priors (K,) that the caller gave."""
        priors = np.asarray(self.priors, dtype=np.float64)
        if priors.shape != (len(self.classes_),):
            raise UsageError(
                f"priors must have one probability for each of the {len(self.classes_)} classes, "
                f"in the order {self.classes_.tolist()}."
            )
        if np.any(priors < 0) or not np.isclose(priors.sum(), 1.0):
            raise UsageError("priors must not be negative and must sum to 1.")
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(priors / priors.sum()))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, (n,)."""
        codes = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def predict_log_proba(self, X: Any) -> FloatArray:
        """Log posterior probability (n, K) of every class, in nats."""
        joint = self.predict_joint_log_proba(X)
        with np.errstate(invalid="ignore"):
            log_proba = joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)
        impossible = np.isneginf(joint).all(axis=1)
        if impossible.any():
            log_proba[impossible] = self.story_.log_weights
        return np.asarray(log_proba)

    def predict_joint_log_proba(self, X: Any) -> FloatArray:
        """Log p(row, class) in nats, (n, K)."""
        x = self._read(X)
        return classify.log_joint(self.story_, x)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy where ``y`` is given, as scikit-learn has it; else mean log density in nats."""
        return mean_score(self, X, y, sample_weight)

    def decide(
        self, X: Any, costs: Any, reject_cost: float | None = None, *, rejected: Any = None
    ) -> np.ndarray:
        """The action with the smallest expected cost, for each row.

        Parameters
        ----------
        X : (n, d) array or data frame
        costs : (K, A) array, or mapping of class to mapping of action to cost
            What each action costs when the class is the truth; rows in the order of ``classes_``.
        reject_cost : float, optional
            What it costs to decide nothing; such rows get ``rejected``.

        Returns
        -------
        (n,) array
            Names of actions: those of the mapping; else the classes where there are as many
            actions as classes, or 0, 1, ….

        Raises
        ------
        UsageError
            The costs have another shape, are not finite, or name other classes.

        References
        ----------
        Duda, Hart and Stork (2001), Pattern Classification, section 2.2; for ``reject_cost`` Chow
        (1970), IEEE Trans. Inf. Theory 16:41.
        """
        return self.decisions(X, costs, reject_cost).labels(rejected)

    def decisions(self, X: Any, costs: Any, reject_cost: float | None = None) -> Decisions:
        """As `decide`, with the expected cost of each decision in the unit of the costs.

        Returns
        -------
        Decisions
            ``actions`` (n,), ``expected_costs`` (n,), ``names``, and ``labels(rejected)``.
        """
        probabilities = self.predict_proba(X)
        return decide(probabilities, costs, self.classes_.tolist(), reject_cost)

    def with_prior(self, prior: Any, X: Any = None) -> Self:
        """The same model of each class under other prior probabilities of the classes.

        Parameters
        ----------
        prior : (K,) array, mapping of class to probability, or "estimate"
            "estimate" finds the prior under which the unlabelled rows ``X`` are most probable.
        X : (n, d) array or data frame, optional
            Rows from where the model will be used; needed with "estimate".

        Returns
        -------
        estimator
            A copy.

        Raises
        ------
        UsageError
            The probabilities are negative, do not sum to 1 or name other classes, or rows to
            estimate them from are absent.

        References
        ----------
        Saerens, Latinne and Decaestecker (2002), Neural Comput. 14:21.
        """
        check_is_fitted(self, "story_")
        if wants_estimate(prior, X):
            shares = classify.estimate_priors(self.story_, self._read(X))
        else:
            shares = read_prior(prior, self.classes_)
        model = copy.copy(self)
        model.__dict__.pop("_statistics", None)
        model.story_ = classify.with_prior(self.story_, shares)
        model._refresh()
        return model

    def contributions(
        self, X: Any, reference: Any = None, *, words: bool = False
    ) -> contribute.Contributions:
        """How much each column spoke for each class, in nats.

        Parameters
        ----------
        X : (n, d) array or data frame
        reference : class, optional
            Evidence is for a class against this one; the first class by default.
        words : bool
            Let every word that occurs in these rows speak for itself, where there is text.

        Returns
        -------
        Contributions
            In nats: ``values`` (n, K, number of columns), ``prior`` (K,) and ``remainder`` (n, K).
            They add up to the log-odds: exactly column by column where columns are independent
            given the class, else with a remainder that is reported.

        Raises
        ------
        UsageError
            ``reference`` is none of the classes.

        References
        ----------
        Good (1985), Weight of evidence: a brief survey, Bayesian Statistics 2:249.
        """
        x = self._read(X)
        place = 0
        if reference is not None:
            names = [str(name) for name in self.classes_]
            if str(reference) not in names:
                raise UsageError(f"reference must be one of the classes {names}.")
            place = names.index(str(reference))
        places = self.columns_.places
        if words and hasattr(x, "indptr"):
            occurring = set(np.unique(x.indices).tolist())
            fields = self.columns_.fields
            absent = [j for j, f in enumerate(fields) if f.word is not None and j not in occurring]
            kept = [j for j in range(len(fields)) if fields[j].word is None or j in occurring]
            places = {fields[j].name: [j] for j in kept}
            # Words that do not occur say nothing; one group holds them all.
            places |= {"other words": absent} if absent else {}
        return contribute.contributions(
            self.story_,
            x,
            list(places.values()),
            tuple(places),
            tuple(self.classes_.tolist()),
            place,
        )

    def _name_members(self, members: np.ndarray) -> np.ndarray:
        return np.asarray(self.classes_[members])


def mean_score(model: Any, X: Any, y: Any, sample_weight: Any) -> float:
    """Accuracy of a model where ``y`` is given, else its mean log density in nats."""
    if y is None:
        return float(np.average(model.score_samples(X), weights=sample_weight))
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(y, model.predict(X), sample_weight=sample_weight))


def wants_estimate(prior: Any, X: Any) -> bool:
    """Whether a prior is to be found from the rows ``X``, which then must be there."""
    if not isinstance(prior, str):
        return False
    if prior != "estimate":
        raise UsageError(f"prior must be probabilities or 'estimate', not {prior!r}.")
    if X is None:
        raise UsageError("with_prior('estimate', X) needs the rows X to estimate it from.")
    return True


def read_prior(prior: Any, classes: np.ndarray) -> FloatArray:
    """Prior probabilities in the order of ``classes``, from an array or a mapping."""
    if isinstance(prior, Mapping):
        by_text = {str(name): float(value) for name, value in prior.items()}
        names = [str(name) for name in classes]
        if set(by_text) != set(names):
            raise UsageError(f"prior must name the classes {names}, not {sorted(by_text)}.")
        prior = [by_text[name] for name in names]
    return np.asarray(prior, dtype=np.float64)
