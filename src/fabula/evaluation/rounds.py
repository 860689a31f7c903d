"""One model in every fold: what it said of rows that it had not seen, or why it could not."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from fabula.core.arrays import FloatArray
from fabula.estimators.base.class_questions import ClassQuestions
from fabula.estimators.base.target_questions import TargetQuestions
from fabula.estimators.calibrated import Calibrated, calibrate_each
from fabula.estimators.calibration.held_out import log_posterior
from fabula.evaluation.contestants import Contestant
from fabula.evaluation.predictions import check_predictions
from fabula.evaluation.problems import Fold, Problem

__all__ = [
    "LABELLED_ONLY",
    "Progress",
    "Run",
    "calibration_folds",
    "few_threads",
    "run_contestant",
    "uses_unlabelled",
]

Progress = Callable[[str, int, int], None]
"""Called with the name of a model, the number of folds it has done, and how many there are."""

LABELLED_ONLY = " (labelled rows only)"
"""What stands after the name of a model that did not see the rows without a label."""

# A map of one or two numbers needs no more than a fifth of so many rows: one split is enough.
_ROWS_FOR_ONE_SPLIT = 5_000
_CELLS_FOR_THREADS = 1_000_000


@dataclass
class Run:
    """What one variant of a model said of the labelled rows, fold by fold.

    Parameters
    ----------
    contestant : Contestant
    calibration : str or None
        Method of the map over its probabilities.
    labelled_only : bool
        Whether unlabelled rows, though there are some, were left out.
    log_proba : (n, K) array
        Log probabilities of all rows of the problem; NaN where none was held out.
    log_joint : (n,) array
        Log p(row, its class) in nats for storytellers, else NaN.
    seconds : list of float
        To fit, in each fold.
    temperatures : list of float
        Inverse temperature of each fold, where the map has one.
    failure : str or None
        Why there are no predictions.
    """

    contestant: Contestant
    calibration: str | None
    labelled_only: bool
    log_proba: FloatArray
    log_joint: FloatArray
    seconds: list[float] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)
    failure: str | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name of the model, and of the variant."""
        suffix = f" + {self.calibration}" if self.calibration else ""
        return self.contestant.name + suffix + (LABELLED_ONLY if self.labelled_only else "")

    def hear(self, model: Any, X: Any, rows: np.ndarray, problem: Problem) -> None:
        """Take down what a model says of a fold; DataError where it states no probabilities."""
        said = log_posterior(model, X, problem.classes)
        check_predictions(problem.codes[rows], np.exp(said))
        self.log_proba[rows] = said
        if isinstance(model, Calibrated):
            inverse = getattr(model.map_, "inverse_temperature", None)
            if inverse is not None:
                self.temperatures.append(float(inverse))

    def hear_density(self, model: Any, X: Any, rows: np.ndarray, problem: Problem) -> None:
        """Take down how probable a storyteller holds each row with its class."""
        tells = isinstance(model, ClassQuestions | TargetQuestions)
        if tells and len(model.classes_) == len(problem.classes):
            joint = model.predict_joint_log_proba(X)
            self.log_joint[rows] = joint[np.arange(len(rows)), problem.codes[rows]]


def few_threads(n_cells: int) -> Any:
    """A context for small fits, in which threads would spend more time meeting than working."""
    return threadpool_limits(limits=1 if n_cells < _CELLS_FOR_THREADS else None)


def uses_unlabelled(estimator: Any) -> bool:
    """Whether rows without a label teach the model something."""
    inner = estimator.estimator if isinstance(estimator, Calibrated) else estimator
    return inner is None or isinstance(inner, ClassQuestions | TargetQuestions)


def calibration_folds(problem: Problem, cv: int, seed: int) -> Any:
    """Folds for learning calibration maps: ``cv``, or one split where rows are plenty."""
    if len(problem.labelled) <= _ROWS_FOR_ONE_SPLIT:
        return cv
    from sklearn.model_selection import StratifiedShuffleSplit

    return StratifiedShuffleSplit(1, test_size=0.2, random_state=seed)


def run_contestant(
    contestant: Contestant,
    problem: Problem,
    folds: Sequence[Fold],
    *,
    methods: Sequence[str] = (),
    cv: Any = 5,
    seed: int = 0,
    labelled_only: bool = False,
    on_progress: Progress | None = None,
) -> list[Run]:
    """Fit a model, and its calibrated variants, in every fold.

    A model that fails in one fold has failed: its result says in which, and why. Warnings are
    kept, each once, instead of shown.
    """
    n, n_classes = problem.n_rows, len(problem.classes)
    runs = [
        Run(
            contestant,
            method,
            labelled_only,
            np.full((n, n_classes), np.nan),
            np.full(n, np.nan),
        )
        for method in (None, *methods)
    ]
    for i, fold in enumerate(folds):
        with (
            warnings.catch_warnings(record=True) as caught,
            few_threads(n * len(problem.fields)),
        ):
            warnings.simplefilter("always")
            try:
                _run_fold(runs, problem, fold, methods, cv, seed)
            except Exception as error:  # whatever a model raises is a result of the comparison
                for run in runs:
                    run.failure = f"fold {i + 1} of {len(folds)}: {type(error).__name__}: {error}"
                return runs
        _keep_warnings(runs, [str(item.message) for item in caught])
        if on_progress is not None:
            on_progress(runs[0].name, i + 1, len(folds))
    return runs


def _run_fold(
    runs: Sequence[Run],
    problem: Problem,
    fold: Fold,
    methods: Sequence[str],
    cv: Any,
    seed: int,
) -> None:
    estimator, labelled_only = runs[0].contestant.estimator, runs[0].labelled_only
    train = fold.train
    if uses_unlabelled(estimator) and not labelled_only:
        train = np.sort(np.concatenate([train, problem.unlabelled]))
    X, y = problem.rows(train), problem.labels(train)
    tested = problem.rows(fold.test)
    began = time.perf_counter()
    if methods:
        models, seconds = calibrate_each(
            estimator, methods, X, y, cv=cv, random_state=seed, encoding=problem.encoding
        )
        plain = models[methods[0]].estimator_
    else:
        models, plain = {}, problem.prepare(clone(estimator)).fit(X, y)
        seconds = time.perf_counter() - began
    spent = time.perf_counter() - began
    for run in runs:
        run.seconds.append(seconds if run.calibration is None else spent)
        model = plain if run.calibration is None else models[run.calibration]
        run.hear(model, tested, fold.test, problem)
    runs[0].hear_density(plain, tested, fold.test, problem)


def _keep_warnings(runs: Sequence[Run], messages: Sequence[str]) -> None:
    for run in runs:
        for message in messages:
            line = " ".join(message.split())
            if line not in run.warnings:
                run.warnings.append(line)
