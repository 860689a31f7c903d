"""What a classifier says of rows that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from fabula.core.arrays import Codes, FloatArray
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.class_questions import ClassQuestions
from fabula.estimators.base.frames import is_frame, take_rows
from fabula.estimators.base.target_questions import TargetQuestions
from fabula.estimators.calibration.maps import normalise_rows
from fabula.estimators.sequences.form import SequenceForm

__all__ = [
    "HeldOut",
    "Learner",
    "as_rows",
    "deal_out",
    "evidence_shift",
    "listen",
    "log_posterior",
    "reads_sequences",
]


@dataclass(frozen=True)
class HeldOut:
    """What was said of rows that had been left out, what happened, and how much each counts."""

    log_posterior: FloatArray  # (n, K)
    codes: Codes
    weights: FloatArray
    seconds: float  # that the model itself took to fit


@dataclass(frozen=True)
class Learner:
    """Clones of a classifier that learn from some of the rows."""

    estimator: Any
    classes: np.ndarray
    encoding: Any  # how a frame, or sequences, become numbers, shared by all; None for arrays
    weighs: bool  # whether rows have weights

    @property
    def needs_labels(self) -> bool:
        """Whether rows without a label are of no use to it."""
        return not isinstance(self.estimator, ClassQuestions | TargetQuestions)

    def fit(
        self, X: Any, known: Codes, weights: FloatArray, without: np.ndarray | None = None
    ) -> Any:
        """A fitted clone that saw neither the given rows nor, as a divider, the unlabelled ones."""
        chosen = np.ones(len(known), dtype=bool)
        if without is not None:
            chosen[without] = False
        if self.needs_labels:
            chosen &= known >= 0
        model = clone(self.estimator)
        if isinstance(self.encoding, SequenceForm):
            model._shared_form = self.encoding
        elif self.encoding is not None:
            model._shared_encoding = self.encoding
        options = {}
        if self.weighs and has_fit_parameter(model, "sample_weight"):
            options["sample_weight"] = weights[chosen]
        taken = X if chosen.all() else take_rows(X, np.flatnonzero(chosen))
        return model.fit(taken, labels_of(self.classes, known[chosen]), **options)


def listen(
    learner: Learner,
    X: Any,
    known: Codes,
    weights: FloatArray,
    shares: FloatArray,
    cv: Any,
    random_state: Any,
    seconds: float,
) -> HeldOut:
    """Leave out each fold of labelled rows in turn, and hear what a clone says of them.

    What it says is taken as it would be if the classes came in the given ``shares`` (K,).
    """
    parts, scored = [], []
    for held, left_out in _folds(X, known, cv, random_state):
        model = learner.fit(X, known, weights, without=left_out)
        said = log_posterior(model, take_rows(X, held), learner.classes)
        parts.append(normalise_rows(said + evidence_shift(model, shares)))
        scored.append(held)
    rows = np.concatenate(scored)
    return HeldOut(np.concatenate(parts), known[rows], weights[rows], seconds)


def _folds(
    X: Any, known: Codes, cv: Any, random_state: Any
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to speak about and rows not to learn from, fold by fold.

    The second may be more than the first where a splitter says so, such as copies of the rows to
    speak about. Rows without a label are always learned from.
    """
    counts = np.bincount(known[known >= 0])
    # The only row of a class cannot be left out: nothing else would tell of the class.
    usable = np.flatnonzero((known >= 0) & (counts[known] > 1))
    if hasattr(cv, "split"):
        for train, test in cv.split(take_rows(X, usable), known[usable]):
            yield usable[test], np.delete(usable, train)
        return
    if not isinstance(cv, int | np.integer) or isinstance(cv, bool):
        raise UsageError(f"cv must be a number of folds or a splitter, not {cv!r}.")
    if cv < 2:
        raise UsageError(f"cv must be at least 2 folds, not {cv}.")
    if not len(usable):
        raise DataError(
            "Calibration leaves rows out to see what the model says of them, which needs two "
            f"labelled rows of at least one class; there are n_samples = {len(known)} rows."
        )
    from sklearn.utils import check_random_state

    seed = check_random_state(random_state).randint(2**31 - 1)
    for held in deal_out(known, usable, int(cv), np.random.default_rng(seed)):
        yield held, held


def deal_out(
    known: Codes, usable: np.ndarray, n_folds: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Rows of each fold: every class is shuffled and dealt out like cards, one after the other.

    No fold holds all rows of a class that has two or more.
    """
    shuffled = usable[rng.permutation(len(usable))]
    by_class = shuffled[np.argsort(known[shuffled], kind="stable")]
    n_folds = min(n_folds, len(by_class))
    return [np.sort(by_class[start::n_folds]) for start in range(n_folds)]


def log_posterior(model: Any, X: Any, classes: np.ndarray) -> FloatArray:
    """Log posteriors (n, K) over all classes; -inf for those that the model never met."""
    if hasattr(model, "predict_proba"):
        with np.errstate(divide="ignore"):
            if hasattr(model, "predict_log_proba"):
                said = np.asarray(model.predict_log_proba(X), dtype=np.float64)
            else:
                said = np.log(np.asarray(model.predict_proba(X), dtype=np.float64))
    else:
        scores = np.asarray(model.decision_function(X), dtype=np.float64)
        if scores.ndim == 1:
            scores = np.stack([-0.5 * scores, 0.5 * scores], axis=1)
        said = np.asarray(normalise_rows(scores), dtype=np.float64)
    mine = np.asarray(model.classes_)
    if len(mine) == len(classes):
        return said
    places = {value: k for k, value in enumerate(classes.tolist())}
    whole: FloatArray = np.full((len(said), len(classes)), -np.inf)
    whole[:, [places[value] for value in mine.tolist()]] = said
    return whole


def evidence_shift(model: Any, shares: FloatArray) -> FloatArray:
    """What turns a story's log posterior under its own prior into one under ``shares`` (K,)."""
    prior = getattr(model, "class_prior_", None)
    if (
        not isinstance(model, ClassQuestions | TargetQuestions)
        or prior is None
        or prior.shape != shares.shape
    ):
        return np.zeros(len(shares))
    possible = (prior > 0) & (shares > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(possible, np.log(shares) - np.log(prior), 0.0))


def labels_of(classes: np.ndarray, codes: Codes) -> np.ndarray:
    """Labels of rows, None where there is none."""
    if (codes >= 0).all():
        return np.asarray(classes[codes])
    labels = np.full(len(codes), None, dtype=object)
    seen = codes >= 0
    labels[seen] = classes[codes[seen]]
    return labels


def reads_sequences(model: Any) -> bool:
    """Whether a classifier takes whole sequences where others take rows."""
    return bool(getattr(model, "reads_sequences", False))


def as_rows(X: Any) -> Any:
    """What was handed in, as something whose rows can be taken."""
    if is_frame(X):
        return X
    if hasattr(X, "tocsr"):
        return X.tocsr()
    X = X if hasattr(X, "shape") else np.asarray(X)
    if len(X.shape) != 2:
        # One row, or a column, said in the words that the contract of scikit-learn asks for.
        raise DataError(
            f"Expected 2D array, got {len(X.shape)}D array instead: X must be a table of rows and "
            "columns. Reshape your data with X.reshape(1, -1) if it is a single row."
        )
    return X
