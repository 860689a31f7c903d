"""Storytellers and dividers side by side, in the same folds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fabula.core.errors import UsageError
from fabula.estimators.calibration.maps import METHODS
from fabula.evaluation.comparison import Comparison, ModelResult
from fabula.evaluation.contestants import Contestant, Skipped, choose_contestants
from fabula.evaluation.differences import corrected_resampled_difference
from fabula.evaluation.metrics import Scores, brier_losses, mean_interval, score_predictions
from fabula.evaluation.predictions import Floats
from fabula.evaluation.problems import Fold, Problem, read_problem
from fabula.evaluation.rounds import (
    Progress,
    Run,
    calibration_folds,
    run_contestant,
    uses_unlabelled,
)
from fabula.evaluation.traits import describe_problem
from fabula.evaluation.verdict import judge

__all__ = ["Comparison", "ModelResult", "compare", "compare_on"]


def compare(
    data: Any,
    target: Any,
    models: Any = None,
    *,
    cv: int = 10,
    calibrate: Sequence[str] | bool = ("temperature", "sigmoid"),
    groups: Any = None,
    kinds: Any = None,
    alpha: float = 0.05,
    n_bootstrap: int = 200,
    time_budget: float | None = None,
    random_state: int = 0,
    on_progress: Progress | None = None,
) -> Comparison:
    """Compare generative models with each other and with discriminative ones.

    Parameters
    ----------
    data : frame or (n, d) array
        Missing cells are NaN or null.
    target : column name, or (n,) labels
        Rows whose class is not known (None, NaN, -1) are not scored. The storytellers learn from
        them all the same, and once more without them, so that the verdict can say whether they
        helped.
    models : names, classifiers, or mapping of name to either, optional
        Names stand in `fabula.evaluation.contestants.MODEL_NAMES`; classifiers are those of fabula
        or scikit-learn. By default all names that suit the table.
    cv : int
        Number of stratified folds, the same for every model.
    calibrate : sequence of methods, or False
        Which maps to try over each storyteller ("temperature", "sigmoid", "isotonic"); they share
        the fits of five inner folds, or of one split of more than 5,000 rows.
    groups : column name or (n,) values, optional
        Rows of one group stay in one fold, and are resampled together for the intervals.
    kinds : mapping of column to kind, optional
    alpha : float
        A model is called worse than another where the one-sided corrected test over folds (Nadeau
        and Bengio 2003) says so at this level.
    n_bootstrap : int
        Resamples for the intervals of the calibration errors; 0 for none.
    time_budget : float, optional
        Seconds after which no further model is started; those left out are named.
    random_state : int
    on_progress : callable, optional
        Called with the name of a model, folds done, and folds in all.

    Returns
    -------
    Comparison

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fabula import compare
    >>> X, y = load_iris(return_X_y=True)
    >>> result = compare(X, y, ["naive_bayes", "lda"], cv=5, calibrate=False, n_bootstrap=0)
    >>> result.verdict.chosen
    'LDA'
    """
    methods = _read_methods(calibrate)
    if not 0.0 < alpha < 0.5:
        raise UsageError(f"alpha must lie between 0 and 0.5, not {alpha!r}.")
    problem = read_problem(data, target, groups=groups, kinds=kinds)
    return compare_on(
        problem, models, cv, methods, alpha, n_bootstrap, time_budget, random_state, on_progress
    )


def compare_on(
    problem: Problem,
    models: Any,
    cv: int,
    methods: Sequence[str],
    alpha: float,
    n_bootstrap: int,
    time_budget: float | None,
    random_state: int,
    on_progress: Progress | None = None,
) -> Comparison:
    """`compare` on a table that was read already."""
    n_folds, note = problem.check_folds(cv)
    folds = list(problem.folds(n_folds, random_state))
    entered, skipped = choose_contestants(models, problem, random_state)
    deadline = np.inf if time_budget is None else time.perf_counter() + time_budget
    runs, late = _run_all(entered, problem, folds, methods, random_state, deadline, on_progress)
    skipped += late
    results, held_out = _score(runs, problem, folds, n_bootstrap, random_state)
    traits = describe_problem(problem)
    sizes = _mean_sizes(folds)
    return Comparison(
        models=results,
        skipped=tuple(skipped),
        verdict=judge(results, skipped, traits, sizes, alpha),
        notes=_notes(problem, note),
        traits=traits,
        n_folds=n_folds,
        random_state=random_state,
        classes=tuple(problem.classes.tolist()),
        codes=problem.codes[problem.labelled],
        held_out=held_out,
    )


def _read_methods(calibrate: Any) -> tuple[str, ...]:
    if calibrate is True:
        return ("temperature", "sigmoid")
    if calibrate is False or calibrate is None:
        return ()
    methods = (calibrate,) if isinstance(calibrate, str) else tuple(calibrate)
    for method in methods:
        if method not in METHODS:
            raise UsageError(f"calibrate may hold {', '.join(METHODS)}, not {method!r}.")
    return methods


def _run_all(
    entered: Sequence[Contestant],
    problem: Problem,
    folds: Sequence[Fold],
    methods: Sequence[str],
    seed: int,
    deadline: float,
    on_progress: Progress | None,
) -> tuple[list[Run], list[Skipped]]:
    """What every model said, and which of them there was no time for."""
    inner = calibration_folds(problem, 5, seed)
    runs: list[Run] = []
    late: list[Skipped] = []
    for contestant in entered:
        if runs and time.perf_counter() > deadline:
            why = "the time budget was used up before its turn"
            late.append(Skipped(contestant.name, contestant.code, contestant.kind, why))
            continue
        maps = methods if contestant.kind == "storyteller" else ()
        if hasattr(contestant.estimator, "method"):
            maps = ()  # it brings a map of its own
        runs += run_contestant(
            contestant, problem, folds, methods=maps, cv=inner, seed=seed, on_progress=on_progress
        )
        if len(problem.unlabelled) and uses_unlabelled(contestant.estimator):
            runs += run_contestant(
                contestant, problem, folds, seed=seed, labelled_only=True, on_progress=on_progress
            )
    return runs, late


def _score(
    runs: Sequence[Run], problem: Problem, folds: Sequence[Fold], n_bootstrap: int, seed: int
) -> tuple[tuple[ModelResult, ...], dict[str, Floats]]:
    """Results, best first, and the held-out probabilities of each model."""
    rows = problem.labelled
    codes = problem.codes[rows]
    groups = None if problem.groups is None else problem.groups[rows]
    results, held_out = [], {}
    for run in runs:
        scores = None
        losses, briers = np.full(len(folds), np.nan), np.full(len(folds), np.nan)
        if run.failure is None:
            log_proba = run.log_proba[rows]
            row_losses = np.full(problem.n_rows, np.nan)
            row_losses[rows] = -log_proba[np.arange(len(rows)), codes] + 0.0
            losses = np.array([row_losses[fold.test].mean() for fold in folds])
            stated = np.exp(log_proba)
            row_briers = np.full(problem.n_rows, np.nan)
            row_briers[rows] = brier_losses(codes, stated)
            briers = np.array([row_briers[fold.test].mean() for fold in folds])
            held_out[run.name] = stated
            scores = dataclasses.replace(
                score_predictions(
                    codes, stated, groups=groups, n_bootstrap=n_bootstrap, random_state=seed
                ),
                # From the logarithms: 1 - 1e-40 is not certain, but the double nearest to it is 1.
                log_loss=mean_interval(row_losses[rows], groups=groups),
            )
        densities = np.array([run.log_joint[fold.test].mean() for fold in folds])
        results.append(_result(run, scores, losses, briers, densities, rows))
    return _ranked(results, folds), held_out


def _result(
    run: Run,
    scores: Scores | None,
    losses: Floats,
    briers: Floats,
    densities: Floats,
    rows: np.ndarray,
) -> ModelResult:
    # Less is needed for a model as it is than with a map, or than with rows left out.
    penalty = 0.0 if run.calibration is None else 0.01 * (1 + METHODS.index(run.calibration))
    penalty += 0.1 if run.labelled_only else 0.0
    return ModelResult(
        name=run.name,
        code=run.contestant.code,
        kind=run.contestant.kind,
        calibration=run.calibration,
        labelled_only=run.labelled_only,
        complexity=run.contestant.complexity + penalty,
        scores=scores,
        fold_losses=losses,
        fold_briers=briers,
        difference=None,
        log_density=float(run.log_joint[rows].mean()),
        fold_log_densities=densities,
        inverse_temperature=float(np.mean(run.temperatures)) if run.temperatures else np.nan,
        fit_seconds=float(np.mean(run.seconds)) if run.seconds else np.nan,
        failure=run.failure,
        warnings=tuple(run.warnings),
    )


def _ranked(results: Sequence[ModelResult], folds: Sequence[Fold]) -> tuple[ModelResult, ...]:
    """Best log loss first, each with its difference to the best."""

    def loss(model: ModelResult) -> float:
        return model.scores.log_loss.value if model.scores is not None else np.inf

    ordered = sorted(results, key=lambda m: (m.scores is None, loss(m), m.complexity))
    best = ordered[0]
    if not np.isfinite(loss(best)):
        return tuple(ordered)
    n_train, n_test = _mean_sizes(folds)
    ranked = [best]
    for model in ordered[1:]:
        if np.isfinite(model.fold_losses).all():
            found = corrected_resampled_difference(
                model.fold_losses - best.fold_losses, n_train, n_test
            )
            model = dataclasses.replace(model, difference=found)
        ranked.append(model)
    return tuple(ranked)


def _mean_sizes(folds: Sequence[Fold]) -> tuple[int, int]:
    """Labelled rows that are learned from and scored in a fold, on average."""
    return (
        round(float(np.mean([len(fold.train) for fold in folds]))),
        round(float(np.mean([len(fold.test) for fold in folds]))),
    )


def _notes(problem: Problem, note: str | None) -> tuple[str, ...]:
    notes = [] if note is None else [note]
    n = len(problem.unlabelled)
    if n:
        notes.append(
            f"{n:,} of {problem.n_rows:,} rows have no label: they were not scored; storytellers "
            "learned from them in every fold, and once more without them."
        )
    return tuple(notes)
