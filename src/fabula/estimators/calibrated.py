"""Probabilities that can be trusted: a map over what any classifier says."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, has_fit_parameter

from fabula.core.arrays import Codes, FloatArray
from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.estimators._calibration_maps import METHODS, CalibrationMap, fit_map, normalise_rows
from fabula.estimators._questions import ClassQuestions, read_prior, wants_estimate
from fabula.estimators._table import TableEstimator, is_frame, read_target, take_rows
from fabula.persistence.registry import storable
from fabula.questions.classify import check_prior, climb_priors
from fabula.questions.decide import Decisions, decide

__all__ = ["Calibrated"]

# Questions about the columns, which a map over the classes leaves as they are.
_FORWARDED = (
    "aic",
    "bic",
    "columns_",
    "density_kind",
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
class Calibrated(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
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
        Share of the classes that the probabilities assume; see `with_prior`.
    estimator_ : classifier
        The model, fitted to every row.
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
        inner = self._inner()
        if self.method not in METHODS:
            raise UsageError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}.")
        if not hasattr(inner, "fit") or not (
            hasattr(inner, "predict_proba") or hasattr(inner, "decision_function")
        ):
            raise UsageError(
                f"estimator must be a classifier with predict_proba or decision_function, not "
                f"{type(inner).__name__}."
            )
        if not is_frame(X) and not hasattr(X, "shape"):
            X = np.asarray(X)
        n = _n_rows(X)
        self.classes_, known = read_target(y, n)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, np.empty((n, 1)), dtype=np.float64)
        rows = np.arange(n) if _learns_without_labels(inner) else np.flatnonzero(known >= 0)
        self._share_encoding(inner, X)
        # The model first: what it refuses in the data, it says in its own words.
        self.estimator_ = self._fitted(inner, X, known, rows, weights)
        self._mirror(self.estimator_)
        log_posterior, scored = self._held_out(inner, X, known, rows, weights)
        self.map_: CalibrationMap = fit_map(
            self.method,
            log_posterior,
            known[scored],
            None if weights is None else weights[scored],
        )
        labelled = known[known >= 0]
        counts = np.bincount(
            labelled,
            None if weights is None else weights[known >= 0],
            minlength=len(self.classes_),
        )
        self.class_prior_ = counts / counts.sum()
        self.log_prior_shift_ = np.zeros(len(self.classes_))
        self._retold = self.estimator_
        return self

    def _fitted(
        self, inner: Any, X: Any, known: Codes, rows: np.ndarray, weights: FloatArray | None
    ) -> Any:
        """A clone that learned from the given rows."""
        model = clone(inner)
        if self._encoding is not None:
            model._shared_encoding = self._encoding
        whole = len(rows) == len(known)
        taken = X if whole else take_rows(X, rows)
        options = {}
        if weights is not None and has_fit_parameter(model, "sample_weight"):
            options["sample_weight"] = weights[rows]
        return model.fit(taken, _labels(self.classes_, known[rows]), **options)

    def _share_encoding(self, inner: Any, X: Any) -> None:
        """Learn how a frame is encoded once, so that all folds share columns, levels and words."""
        self._encoding = getattr(self, "_shared_encoding", None)
        if self._encoding is None and is_frame(X) and isinstance(inner, TableEstimator):
            from fabula.tables.encoding import TableEncoding

            kinds = getattr(inner, "kinds", None)
            self._encoding = TableEncoding.fit(X, kinds=dict(kinds) if kinds else None)

    def _held_out(
        self, inner: Any, X: Any, known: Codes, rows: np.ndarray, weights: FloatArray | None
    ) -> tuple[FloatArray, np.ndarray]:
        """Log posteriors of rows that the model had not seen, and which rows these are."""
        counts = np.bincount(known[known >= 0], minlength=len(self.classes_))
        # The only row of a class cannot be left out: nothing else would tell of the class.
        usable = np.flatnonzero((known >= 0) & (counts[known] > 1))
        parts, scored = [], []
        for held in self._folds(X, known, usable):
            chosen = np.ones(len(known), dtype=bool)
            chosen[held] = False
            model = self._fitted(inner, X, known, rows[chosen[rows]], weights)
            parts.append(_log_posterior(model, take_rows(X, held), self.classes_))
            scored.append(held)
        return np.concatenate(parts), np.concatenate(scored)

    def _folds(self, X: Any, known: Codes, usable: np.ndarray) -> list[np.ndarray]:
        """Rows to leave out, fold by fold."""
        if not isinstance(self.cv, int | np.integer) or isinstance(self.cv, bool):
            if not hasattr(self.cv, "split"):
                raise UsageError(f"cv must be a number of folds or a splitter, not {self.cv!r}.")
            split = self.cv.split(take_rows(X, usable), known[usable])
            return [usable[test] for _, test in split]
        if self.cv < 2:
            raise UsageError(f"cv must be at least 2 folds, not {self.cv}.")
        counts = np.bincount(known[usable]) if len(usable) else np.zeros(1, dtype=np.intp)
        if counts.max() < 2:
            raise DataError(
                f"Calibration leaves rows out to see what the model says of them, which needs two "
                f"labelled rows of at least one class; there are n_samples = {len(known)} rows."
            )
        from sklearn.utils import check_random_state

        seed = check_random_state(self.random_state).randint(2**31 - 1)
        return deal_out(known, usable, int(self.cv), np.random.default_rng(seed))

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
        if not is_frame(X) and not hasattr(X, "shape"):
            X = np.asarray(X)
        said = _log_posterior(self.estimator_, X, self.classes_)
        return self._reweighted(self.map_.log_probabilities(said))

    def _reweighted(self, log_proba: FloatArray) -> FloatArray:
        if not self.log_prior_shift_.any():
            return log_proba
        return normalise_rows(log_proba + self.log_prior_shift_)

    def predict_proba(self, X: Any) -> FloatArray:
        """Calibrated probability (n, K) of every class."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, (n,)."""
        return self.classes_[self.predict_log_proba(X).argmax(axis=1)]

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
        return decide(self.predict_proba(X), costs, self.classes_.tolist(), reject_cost)

    def with_prior(self, prior: Any, X: Any = None) -> Self:
        """The same model where the classes come in other proportions.

        Calibrated probabilities hold for the shares of the classes among the labelled rows. Each
        is multiplied by the new over the old share and normalised, which is exact if every class
        looks as it did (Saerens, Latinne and Decaestecker 2002, eq. 2.4). The story, where there
        is one, takes the new shares too.

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
            evidence = self.predict_log_proba(X) - np.log(self.class_prior_)
            shares = climb_priors(evidence, self.class_prior_)
        else:
            shares = check_prior(read_prior(prior, self.classes_), len(self.classes_))
        model = copy.copy(self)
        with np.errstate(divide="ignore"):
            model.log_prior_shift_ = (
                self.log_prior_shift_ + np.log(shares) - np.log(self.class_prior_)
            )
        model.class_prior_ = shares
        if isinstance(self.estimator_, ClassQuestions):
            model._retold = self._retold.with_prior(shares)
        return model

    # Columns ----------------------------------------------------------------------------------

    def condition(self, given: Mapping[Any, Any]) -> Self:
        """A calibrated model of the other columns, given values, intervals or sets of some.

        Given values, its probabilities are those of whole rows with these values. Only where the
        model itself tells a story; see `NaiveBayes.condition`.
        """
        model = self._over(lambda story: story.condition(given))
        model.log_condition_ = model._retold.log_condition_
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
        model = copy.copy(self)
        model.estimator_ = reduce(self.estimator_)
        model._retold = reduce(self._retold)
        model._mirror(model.estimator_)
        return model

    def __getattr__(self, name: str) -> Any:
        # Only what is not found otherwise comes here, so a divider has no `sample` and says why.
        if name not in _FORWARDED:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        told = vars(self).get("_retold")
        if told is None:
            check_is_fitted(self, "map_")
        if not hasattr(told, name):
            raise CannotAnswerError(name, type(told).__name__, _NO_STORY, _STORYTELLERS)
        return getattr(told, name)

    def __dir__(self) -> list[str]:
        told = vars(self).get("_retold")
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
        return {"parameters": parameters, "learned": learned}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The model that `to_state` took apart."""
        if set(state) != {"parameters", "learned"}:
            raise DataError("a Calibrated has parameters and what it learned, nothing else")
        model = cls(**state["parameters"])
        learned = dict(state["learned"])
        if not learned:
            return model
        if set(learned) != set(_LEARNED):
            raise DataError(f"a Calibrated learns {', '.join(_LEARNED)}; found {sorted(learned)}")
        for name, value in learned.items():
            setattr(model, name, value)
        n = len(model.classes_)
        if model.class_prior_.shape != (n,) or model.log_prior_shift_.shape != (n,):
            raise DataError(f"there are {n} classes, but other numbers of shares")
        model._mirror(model.estimator_)
        model._encoding = None
        shifted = isinstance(model.estimator_, ClassQuestions) and model.log_prior_shift_.any()
        model._retold = (
            model.estimator_.with_prior(model.class_prior_) if shifted else model.estimator_
        )
        return model


_NO_STORY = "it tells the classes apart, but does not say how the columns come about"
_LEARNED = ("classes_", "class_prior_", "log_prior_shift_", "map_", "estimator_")


def deal_out(
    known: Codes, usable: np.ndarray, n_folds: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Rows of each fold: every class is shuffled and dealt out like cards, one after the other.

    No fold holds all rows of a class that has two or more.
    """
    shuffled = usable[rng.permutation(len(usable))]
    by_class = shuffled[np.argsort(known[shuffled], kind="stable")]
    n_folds = min(n_folds, len(by_class))
    folds = [np.sort(by_class[start::n_folds]) for start in range(n_folds)]
    return [fold for fold in folds if len(fold)]


def _learns_without_labels(estimator: Any) -> bool:
    return isinstance(estimator, ClassQuestions)


def _labels(classes: np.ndarray, codes: Codes) -> np.ndarray:
    """Labels of rows, None where there is none."""
    if (codes >= 0).all():
        return classes[codes]
    labels = np.full(len(codes), None, dtype=object)
    seen = codes >= 0
    labels[seen] = classes[codes[seen]]
    return labels


def _n_rows(X: Any) -> int:
    if not hasattr(X, "shape") or len(X.shape) == 0:
        raise DataError("X must be a table of rows and columns.")
    return int(X.shape[0])


def _log_posterior(model: Any, X: Any, classes: np.ndarray) -> FloatArray:
    """Log posteriors (n, K) over all classes; -inf for those that the model never met."""
    if isinstance(model, ClassQuestions) or (
        hasattr(model, "predict_log_proba") and hasattr(model, "predict_proba")
    ):
        with np.errstate(divide="ignore"):
            said = np.asarray(model.predict_log_proba(X), dtype=np.float64)
    elif hasattr(model, "predict_proba"):
        with np.errstate(divide="ignore"):
            said = np.log(np.asarray(model.predict_proba(X), dtype=np.float64))
    else:
        scores = np.asarray(model.decision_function(X), dtype=np.float64)
        if scores.ndim == 1:
            scores = np.stack([-0.5 * scores, 0.5 * scores], axis=1)
        said = normalise_rows(scores)
    mine = np.asarray(model.classes_)
    if len(mine) == len(classes):
        return said
    places = {value: k for k, value in enumerate(classes.tolist())}
    whole = np.full((len(said), len(classes)), -np.inf)
    whole[:, [places[value] for value in mine.tolist()]] = said
    return whole
