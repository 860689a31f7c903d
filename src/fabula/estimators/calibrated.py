"""Probabilities that can be trusted: a map over what any classifier says."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.estimators.base.class_questions import ClassQuestions, read_prior, wants_estimate
from fabula.estimators.base.frames import is_frame
from fabula.estimators.base.table import TableEstimator
from fabula.estimators.base.target import read_target
from fabula.estimators.calibration.held_out import (
    HeldOut,
    Learner,
    as_rows,
    evidence_shift,
    listen,
    log_posterior,
    reads_sequences,
)
from fabula.estimators.calibration.maps import METHODS, CalibrationMap, fit_map, normalise_rows
from fabula.persistence.registry import storable
from fabula.questions.classify import check_prior, climb_priors
from fabula.questions.decide import Decisions, decide

__all__ = ["Calibrated", "calibrate_each"]

# Questions about the columns, which a map over the classes leaves as they are.
_FORWARDED = (
    "aic",
    "bic",
    "columns_",
    "density_kind",
    "effective_sample_size_",
    "encoding_",
    "impute",
    "n_parameters",
    "outliers",
    "report_",
    "sample",
    "score_samples",
    "story_",
)
_STORYTELLERS = ("NaiveBayes", "LinearDiscriminantAnalysis", "GenerativeClassifier")


@storable("estimator/calibrated")
class Calibrated(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Any classifier, with a calibration map over its probabilities.

    The map is learned from rows that the model had not seen: each fold in turn is left out, a
    clone learns from the others and speaks about it, and one map is fitted to what was said about
    all rows. The model itself then learns from every row, so that the questions about the columns
    (`sample`, `score_samples`, `impute`, …) are answered by one story.

    Parameters
    ----------
    estimator : classifier, optional
        One of fabula or of scikit-learn; `NaiveBayes` by default.
    method : {"temperature", "sigmoid", "isotonic"}
        "temperature" multiplies all log-odds by one number and is safe with few rows; "sigmoid"
        fits a line to the log-odds of each class; "isotonic" any rising curve, and needs a
        thousand rows or more.
    cv : int or splitter
        Number of stratified folds, or anything with ``split(X, y)``.
    random_state : int or None
        Shuffles the rows before they are dealt out to folds.

    Attributes
    ----------
    classes_ : (K,) array
    class_prior_ : (K,) array
        Share of the classes that the probabilities assume: those of the story, or of the labels
        where a divider tells none; see `with_prior`.
    estimator_ : classifier
        The model, fitted to every row.
    teller_ : classifier
        The same under ``class_prior_``: whose story is told by `sample` and its kin.
    map_ : TemperatureMap, SigmoidMap or IsotonicMap

    Notes
    -----
    Rows without a label teach a storyteller in every fold, and have no part in the map. A divider
    does not see them.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from fabula import Calibrated, NaiveBayes
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = Calibrated(NaiveBayes()).fit(X, y)
    >>> model.map_.inverse_temperature < 0.5  # correlated columns were counted many times over
    True
    >>> model.score_samples(X[:1]).shape
    (1,)
    """

    def __init__(
        self,
        estimator: Any = None,
        method: str = "temperature",
        cv: Any = 5,
        *,
        random_state: Any = 0,
    ):
        self.estimator = estimator
        self.method = method
        self.cv = cv
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        tags = super().__sklearn_tags__()
        inner = get_tags(self._inner())
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.input_tags.sparse = inner.input_tags.sparse
        return tags

    def _inner(self) -> Any:
        if self.estimator is not None:
            return self.estimator
        from fabula.estimators.naive_bayes import NaiveBayes

        return NaiveBayes()

    # Learning ---------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model to all rows, and the map to what clones said of rows they had not seen.

        Parameters
        ----------
        X : (n, d) array or data frame
        y : (n,) array
            Labels; -1, None or NaN where the class is not known.
        sample_weight : (n,) array, optional
            Weighs the rows in the model, if it takes weights, and in the map.
        """
        if self.method not in METHODS:
            raise UsageError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}.")
        return self._with_map(self.method, self._listen(X, y, sample_weight))

    def _listen(self, X: Any, y: Any, sample_weight: Any = None) -> HeldOut:
        """Fit the model to all rows; what clones said of rows that they had not seen."""
        inner = self._inner()
        if not hasattr(inner, "fit") or not (
            hasattr(inner, "predict_proba") or hasattr(inner, "decision_function")
        ):
            raise UsageError(
                f"estimator must be a classifier with predict_proba or decision_function, not "
                f"{type(inner).__name__}."
            )
        encoding, X = self._take(inner, X)
        n = len(X) if reads_sequences(inner) else int(X.shape[0])
        self.classes_, known = read_target(y, n)
        if len(self.classes_) < 2:
            raise DataError(
                f"Calibration needs at least two classes, but y holds one class only, "
                f"{self.classes_.tolist()[0]!r}: every probability is 1."
            )
        weights = np.ones(n)
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, np.empty((n, 1)), dtype=np.float64)
        learner = Learner(inner, self.classes_, encoding, sample_weight is not None)
        began = time.perf_counter()
        # The model first: what it refuses in the data, it says in its own words.
        self.estimator_ = learner.fit(X, known, weights)
        seconds = time.perf_counter() - began
        self.teller_ = self.estimator_
        self._mirror(self.estimator_)
        labelled = known >= 0
        counts = np.bincount(known[labelled], weights[labelled], minlength=len(self.classes_))
        shares = counts / counts.sum()
        # What happened in the folds happened in the shares of the labels. A story may know better
        # what shares there are elsewhere (given priors, unlabelled rows), and has the last word.
        self.class_prior_ = getattr(self.estimator_, "class_prior_", shares)
        self.log_base_ = np.log(shares)
        self.log_evidence_shift_ = evidence_shift(self.estimator_, shares)
        return listen(learner, X, known, weights, shares, self.cv, self.random_state, seconds)

    def _with_map(self, method: str, held_out: HeldOut) -> Self:
        """Learn the map from what was said of rows that were left out."""
        self.map_: CalibrationMap = fit_map(
            method, held_out.log_posterior, held_out.codes, held_out.weights
        )
        return self

    def _take(self, inner: Any, X: Any) -> tuple[Any, Any]:
        """How the data become numbers, learned once for all folds, and data that can be cut.

        All folds share columns, levels, words and symbols.
        """
        if reads_sequences(inner):
            form, reading = inner._learn_form(X)
            return form, reading.sequences
        X = as_rows(X)
        encoding = getattr(self, "_shared_encoding", None)
        if encoding is None and is_frame(X) and isinstance(inner, TableEstimator):
            from fabula.tables.encoding import TableEncoding

            kinds = getattr(inner, "kinds", None)
            encoding = TableEncoding.fit(X, kinds=dict(kinds) if kinds else None)
        return encoding, X

    def _mirror(self, model: Any) -> None:
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))
            elif name in vars(self):
                delattr(self, name)

    # Classes ----------------------------------------------------------------------------------

    def predict_log_proba(self, X: Any) -> FloatArray:
        """Log of the calibrated probabilities, (n, K), nats."""
        check_is_fitted(self, "map_")
        X = X if reads_sequences(self.estimator_) else as_rows(X)
        said = log_posterior(self.estimator_, X, self.classes_) + self.log_evidence_shift_
        calibrated = self.map_.log_probabilities(normalise_rows(said))
        with np.errstate(divide="ignore"):
            shift = np.log(self.class_prior_) - self.log_base_
        return normalise_rows(calibrated + shift)

    def predict_proba(self, X: Any) -> FloatArray:
        """Calibrated probability (n, K) of every class."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, (n,)."""
        chosen = self.predict_log_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[chosen])

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy where ``y`` is given; else mean log density in nats, if the model has one."""
        if y is None:
            return float(np.average(self.score_samples(X), weights=sample_weight))
        return float(super().score(X, y, sample_weight))

    def decide(
        self, X: Any, costs: Any, reject_cost: float | None = None, *, rejected: Any = None
    ) -> np.ndarray:
        """The action with the smallest expected cost under the calibrated probabilities.

        As `NaiveBayes.decide`.
        """
        return self.decisions(X, costs, reject_cost).labels(rejected)

    def decisions(self, X: Any, costs: Any, reject_cost: float | None = None) -> Decisions:
        """As `decide`, with the expected cost of each decision."""
        probabilities = self.predict_proba(X)
        return decide(probabilities, costs, self.classes_.tolist(), reject_cost)

    def with_prior(self, prior: Any, X: Any = None) -> Self:
        """The same model where the classes come in other proportions.

        Every calibrated probability is multiplied by the new over the old share of its class and
        normalised, which is exact if every class looks as it did (Saerens, Latinne and Decaestecker
        2002, eq. 2.4). The story, where there is one, takes the new shares too.

        Parameters
        ----------
        prior : (K,) array, mapping of class to probability, or "estimate"
            "estimate" finds the shares under which the unlabelled rows ``X`` are most probable,
            by EM over the calibrated probabilities.
        X : (n, d) array or data frame, optional
            Rows from where the model will be used; needed with "estimate".
        """
        check_is_fitted(self, "map_")
        if wants_estimate(prior, X):
            with np.errstate(divide="ignore"):
                evidence = self.predict_log_proba(X) - np.log(self.class_prior_)
            shares = climb_priors(evidence, self.class_prior_)
        else:
            shares = check_prior(read_prior(prior, self.classes_), len(self.classes_))
        model = copy.copy(self)
        model.class_prior_ = shares
        if isinstance(self.teller_, ClassQuestions):
            model.teller_ = self.teller_.with_prior(shares)
        return model

    # Columns ----------------------------------------------------------------------------------

    def condition(self, given: Mapping[Any, Any]) -> Self:
        """A calibrated model of the other columns, given values, intervals or sets of some.

        Given values, its probabilities are those of whole rows with these values. Only where the
        model itself tells a story; see `NaiveBayes.condition`.
        """
        model = self._over(lambda story: story.condition(given))
        model.log_condition_ = model.teller_.log_condition_
        return model

    def marginal(self, columns: Any) -> Self:
        """A calibrated model of some of the columns; the same as leaving the others missing.

        The map is the one that was learned on rows with every column.
        """
        return self._over(lambda story: story.marginal(columns))

    def _over(self, reduce: Any) -> Self:
        check_is_fitted(self, "map_")
        if not isinstance(self.estimator_, ClassQuestions):
            raise CannotAnswerError(
                "condition", type(self.estimator_).__name__, _NO_STORY, _STORYTELLERS
            )
        return self._retell(reduce)

    def _retell(self, change: Any) -> Self:
        """The same map over another story, which says what the story here would say."""
        model = copy.copy(self)
        model.estimator_ = change(self.estimator_)
        same = self.teller_ is self.estimator_
        model.teller_ = model.estimator_ if same else change(self.teller_)
        with np.errstate(divide="ignore"):
            # Its shares may be others, but the probabilities stay as they are.
            model.class_prior_ = model.teller_.class_prior_
            model.log_base_ = (
                self.log_base_ + np.log(model.class_prior_) - np.log(self.class_prior_)
            )
        model._mirror(model.estimator_)
        return model

    def __getattr__(self, name: str) -> Any:
        # Only what is not found otherwise comes here, so a divider has no `sample` and says why.
        if name not in _FORWARDED:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        told = vars(self).get("teller_")
        if told is None:
            check_is_fitted(self, "map_")
        if not hasattr(told, name):
            raise CannotAnswerError(name, type(told).__name__, _NO_STORY, _STORYTELLERS)
        return getattr(told, name)

    def __dir__(self) -> list[str]:
        told = vars(self).get("teller_")
        return [*super().__dir__(), *(name for name in _FORWARDED if hasattr(told, name))]

    # Files ------------------------------------------------------------------------------------

    def to_state(self) -> dict[str, Any]:
        """What a file holds: parameters, the fitted model, the map and the shares."""
        parameters = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if not isinstance(value, np.random.Generator | np.random.RandomState)
        }
        learned = {name: vars(self)[name] for name in _LEARNED if name in vars(self)}
        if learned.get("teller_") is learned.get("estimator_"):
            learned["teller_"] = None
        return {"parameters": parameters, "learned": learned}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The model that `to_state` took apart."""
        if set(state) != {"parameters", "learned"}:
            raise DataError("a Calibrated has parameters and what it learned, nothing else")
        model = cls(**state["parameters"])
        learned = dict(state["learned"])
        if set(learned) == {"teller_"} and learned["teller_"] is None:
            return model
        if set(learned) != set(_LEARNED):
            raise DataError(f"a Calibrated learns {', '.join(_LEARNED)}; found {sorted(learned)}")
        for name, value in learned.items():
            setattr(model, name, value)
        n = len(model.classes_)
        for name in ("class_prior_", "log_base_", "log_evidence_shift_"):
            if learned[name].shape != (n,):
                raise DataError(f"{name} has the shape {learned[name].shape}, expected ({n},)")
        if model.teller_ is None:
            model.teller_ = model.estimator_
        model._mirror(model.estimator_)
        return model


def calibrate_each(
    estimator: Any,
    methods: Sequence[str],
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    random_state: Any = 0,
    encoding: Any = None,
) -> tuple[dict[str, Calibrated], float]:
    """A calibrated model for each method, all over one set of fits.

    Also the seconds that the model itself took.
    """
    base = Calibrated(estimator, methods[0], cv, random_state=random_state)
    if encoding is not None:
        base._shared_encoding = encoding
    held_out = base._listen(X, y)
    found = {}
    for method in methods:
        model = copy.copy(base)
        model.method = method
        found[method] = model._with_map(method, held_out)
    return found, held_out.seconds


_NO_STORY = "it tells the classes apart, but does not say how the columns come about"
_LEARNED = (
    "classes_",
    "class_prior_",
    "estimator_",
    "log_base_",
    "log_evidence_shift_",
    "map_",
    "teller_",
)
