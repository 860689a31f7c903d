"""How models do as something is varied: rows to learn from, or cells that are missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from fabula.core.errors import DataError, UsageError, warn
from fabula.estimators.base.frames import is_frame
from fabula.estimators.calibration.maps import METHODS
from fabula.evaluation.contestants import Contestant, choose_contestants
from fabula.evaluation.curves import Curve
from fabula.evaluation.metrics import brier_losses
from fabula.evaluation.predictions import Floats
from fabula.evaluation.problems import Fold, Problem, read_problem
from fabula.evaluation.rounds import Run, calibration_folds, run_contestant

__all__ = ["Metric", "learning_curve", "missing_curve"]

Metric = Literal["log_loss", "brier", "accuracy"]

_AXES: dict[str, str] = {
    "log_loss": "log loss (nats per row)",
    "brier": "Brier score",
    "accuracy": "accuracy",
}
_DEFAULTS = ("naive_bayes", "lda", "mixture", "logistic", "boosting")
_MOST_TESTED = 5_000


def learning_curve(
    data: Any,
    target: Any,
    models: Any = None,
    sizes: Sequence[int] | None = None,
    *,
    metric: Metric = "log_loss",
    calibrate: str | None = "temperature",
    repeats: int = 10,
    test_share: float = 0.3,
    kinds: Any = None,
    random_state: int = 0,
) -> list[Curve]:
    """The score of each model over the number of labelled rows it learned from.

    Parameters
    ----------
    data, target, kinds
        As for `fabula.compare`. Rows without a label teach the storytellers at every size.
    models : names, classifiers, or mapping of name to either, optional
        By default naive Bayes, LDA (or a mixture, where there are categories), logistic regression
        and gradient boosting.
    sizes : sequence of int, optional
        Labelled rows to learn from, rising; six up to all that are not tested, by default.
    metric : {"log_loss", "brier", "accuracy"}
    calibrate : str or None
        Method of the map over the probabilities of storytellers.
    repeats : int
        Random splits; the learners of one split see nested sets of rows, and are tested on the
        same.
    test_share : float
        Share of the labelled rows that is tested, at most 5,000 rows.
    random_state : int

    Returns
    -------
    list of Curve
        Mean over the repeats with its Student-t interval; NaN where a model could not learn from so
        few rows, of which a warning says why.
    """
    _check_names(metric, calibrate)
    problem = read_problem(data, target, kinds=kinds)
    problem.check_folds(2)
    splits = list(_splits(problem, repeats, test_share, random_state))
    settings = _read_sizes(sizes, len(splits[0].train), len(problem.classes))
    scores: dict[str, Floats] = {}
    members: dict[str, Contestant] = {}
    troubles: dict[str, str] = {}
    for j, size in enumerate(settings):
        for i, split in enumerate(splits):
            train = split.train[:size]
            smaller = _only(problem, train)
            fold = Fold(train, split.test)
            for contestant in _contestants(models, smaller, random_state):
                run = _run(contestant, problem, [fold], smaller, calibrate, random_state)
                members[run.name] = contestant
                row = scores.setdefault(run.name, np.full((repeats, len(settings)), np.nan))
                if run.failure is None:
                    row[i, j] = float(_losses(run, problem, split.test, metric).mean())
                else:
                    troubles.setdefault(run.name, f"with {size} rows: {run.failure}")
    _warn(troubles)
    return [
        Curve.from_repeats(name, members[name].kind, settings, values, metric=_AXES[metric])
        for name, values in scores.items()
    ]


def missing_curve(
    data: Any,
    target: Any,
    models: Any = None,
    fractions: Sequence[float] = (0.0, 0.1, 0.3, 0.5, 0.7),
    *,
    metric: Metric = "log_loss",
    calibrate: str | None = "temperature",
    cv: int = 5,
    kinds: Any = None,
    random_state: int = 0,
) -> list[Curve]:
    """The score of each model over the share of cells that were removed at random.

    Cells go missing from the rows that are learned from and from those that are tested. The
    storytellers integrate them out; logistic regression and support vector machines have them
    filled with means and most frequent levels, beside indicators that they were missing; gradient
    boosting takes them as they are.

    Parameters
    ----------
    data, target, models, metric, calibrate, kinds, random_state
        As for `learning_curve`.
    fractions : sequence of float
        Shares of the cells that are removed, rising, from 0 to less than 1; a cell that is missing
        at one share is missing at every larger one.
    cv : int
        Stratified folds, the same at every share.

    Returns
    -------
    list of Curve
        Mean over the folds with its Student-t interval.
    """
    _check_names(metric, calibrate)
    problem = read_problem(data, target, kinds=kinds)
    n_folds, _ = problem.check_folds(cv)
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or not shares.size or np.any(shares < 0) or np.any(shares >= 1):
        raise UsageError(f"fractions must be numbers from 0 to less than 1, not {fractions!r}.")
    if np.any(np.diff(shares) <= 0):
        raise UsageError("fractions must rise.")
    if hasattr(problem.X, "toarray"):
        raise DataError("Cells of word counts cannot go missing one by one: there is no curve.")
    folds = list(problem.folds(n_folds, random_state))
    shape = (problem.n_rows, int(problem.X.shape[1]))
    level = np.random.default_rng(random_state).random(shape)
    scores: dict[str, Floats] = {}
    members: dict[str, Contestant] = {}
    troubles: dict[str, str] = {}
    for j, share in enumerate(shares):
        holed = dataclasses.replace(problem, X=_remove(problem.X, level < share))
        for contestant in _contestants(models, problem, random_state):
            run = _run(contestant, holed, folds, holed, calibrate, random_state)
            members[run.name] = contestant
            row = scores.setdefault(run.name, np.full((n_folds, len(shares)), np.nan))
            if run.failure is None:
                row[:, j] = [_losses(run, problem, f.test, metric).mean() for f in folds]
            else:
                troubles.setdefault(run.name, f"with {share:.0%} missing: {run.failure}")
    _warn(troubles)
    return [
        Curve.from_repeats(name, members[name].kind, shares, values, metric=_AXES[metric])
        for name, values in scores.items()
    ]


def _check_names(metric: Any, calibrate: Any) -> None:
    if metric not in _AXES:
        raise UsageError(f"metric must be one of {', '.join(_AXES)}, not {metric!r}.")
    if calibrate is not None and calibrate not in METHODS:
        raise UsageError(f"calibrate must be one of {', '.join(METHODS)} or None.")


def _splits(problem: Problem, repeats: int, test_share: float, seed: int) -> Any:
    """Random splits; training rows begin with two of each class, so that short starts have all."""
    from sklearn.model_selection import StratifiedShuffleSplit

    if not isinstance(repeats, int | np.integer) or repeats < 1:
        raise UsageError(f"repeats must be a whole number of at least 1, not {repeats!r}.")
    if not 0.0 < test_share < 1.0:
        raise UsageError(f"test_share must lie between 0 and 1, not {test_share!r}.")
    rows, codes = problem.labelled, problem.codes[problem.labelled]
    n_test = int(np.clip(round(test_share * len(rows)), len(problem.classes), _MOST_TESTED))
    splitter = StratifiedShuffleSplit(int(repeats), test_size=n_test, random_state=seed)
    for train, test in splitter.split(rows[:, None], codes):
        first = [np.flatnonzero(codes[train] == k)[:2] for k in range(len(problem.classes))]
        start = np.concatenate(first)
        rest = np.setdiff1d(np.arange(len(train)), start)
        shuffled = np.random.default_rng(seed).permutation(rest)
        yield Fold(rows[train][np.concatenate([start, shuffled])], rows[test])


def _read_sizes(sizes: Sequence[int] | None, n_train: int, n_classes: int) -> np.ndarray:
    least = 2 * n_classes
    if sizes is None:
        smallest = min(max(20, least), n_train)
        return np.unique(np.geomspace(smallest, n_train, 6).round().astype(int))
    settings = np.asarray(sizes)
    if settings.ndim != 1 or not settings.size or settings.dtype.kind not in "iu":
        raise UsageError(f"sizes must be whole numbers, not {sizes!r}.")
    if np.any(np.diff(settings) <= 0) or settings[0] < least or settings[-1] > n_train:
        raise UsageError(
            f"sizes must rise from at least {least} (two rows of each class) to at most {n_train} "
            f"(the labelled rows that are not tested); they are {settings.tolist()}."
        )
    return settings


def _only(problem: Problem, train: np.ndarray) -> Problem:
    """The problem as a learner sees it that has few labels."""
    codes = np.full(problem.n_rows, -1, dtype=np.intp)
    codes[train] = problem.codes[train]
    return dataclasses.replace(problem, codes=codes)


def _contestants(models: Any, problem: Problem, seed: int) -> list[Contestant]:
    """Those who take part; among the defaults only the story that suits the columns."""
    if models is None:
        numeric = all(field.kind not in ("category", "text") for field in problem.fields)
        models = [m for m in _DEFAULTS if m != ("mixture" if numeric else "lda")]
        return choose_contestants(models, problem, seed)[0]
    entered, skipped = choose_contestants(models, problem, seed)
    for one in skipped:
        warn(f"{one.name} was left out: {one.reason}.")
    return entered


def _run(
    contestant: Contestant,
    problem: Problem,
    folds: Sequence[Fold],
    learned: Problem,
    calibrate: str | None,
    seed: int,
) -> Run:
    methods: tuple[str, ...] = ()
    if (
        calibrate
        and contestant.kind == "storyteller"
        and not hasattr(contestant.estimator, "method")
    ):
        methods = (calibrate,)
    inner = calibration_folds(learned, 5, seed)
    # The last run is that of the variant which was asked for.
    return run_contestant(contestant, problem, folds, methods=methods, cv=inner, seed=seed)[-1]


def _losses(run: Run, problem: Problem, rows: np.ndarray, metric: Metric) -> Floats:
    """The score of each of the given rows."""
    log_proba, codes = run.log_proba[rows], problem.codes[rows]
    if metric == "log_loss":
        return np.asarray(-log_proba[np.arange(len(rows)), codes], dtype=np.float64)
    if metric == "accuracy":
        return np.asarray(log_proba.argmax(axis=1) == codes, dtype=np.float64)
    return brier_losses(codes, np.exp(log_proba))


def _remove(X: Any, missing: np.ndarray) -> Any:
    """The table without the cells where ``missing`` (n, d) is True."""
    if not is_frame(X):
        return np.where(missing, np.nan, np.asarray(X, dtype=np.float64))
    import narwhals as nw
    import polars as pl

    # The encoding takes any kind of table, so the easiest to cut holes into will do.
    frame = nw.from_native(X, eager_only=True).to_polars()
    return frame.with_columns(
        pl.when(pl.Series(~missing[:, j])).then(pl.col(name)).alias(name)
        for j, name in enumerate(frame.columns)
    )


def _warn(troubles: dict[str, str]) -> None:
    for name, why in troubles.items():
        warn(f"{name} has no score {why}")
