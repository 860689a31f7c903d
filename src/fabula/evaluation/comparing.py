"""Storytellers and dividers side by side, in the same folds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fabula.core.errors import UsageError
from fabula.estimators._calibration_maps import METHODS
from fabula.evaluation.contestants import Contestant, Kind, Skipped, choose_contestants
from fabula.evaluation.differences import Difference, corrected_resampled_difference
from fabula.evaluation.metrics import Scores, brier_losses, mean_interval, score_predictions
from fabula.evaluation.predictions import Floats
from fabula.evaluation.problems import Fold, Problem, read_problem
from fabula.evaluation.reliability import ReliabilityCurve, reliability_curve
from fabula.evaluation.results import Result
from fabula.evaluation.rounds import (
    Progress,
    Run,
    calibration_folds,
    run_contestant,
    uses_unlabelled,
)
from fabula.evaluation.traits import Traits, describe_problem
from fabula.evaluation.verdict import Verdict, judge

__all__ = ["Comparison", "ModelResult", "compare", "compare_on"]


@dataclass(frozen=True)
class ModelResult(Result):
    """How one model did on rows that it had not seen.

    Attributes
    ----------
    name : str
    code : str
        One of `fabula.evaluation.contestants.MODEL_NAMES`, or "other".
    kind : {"storyteller", "divider"}
    calibration : str or None
        Method of the map over its probabilities.
    labelled_only : bool
        Whether unlabelled rows, though there were some, were left out.
    complexity : float
        Of two models that do equally well, the one with the smaller value is preferred.
    scores : Scores or None
        None where the model failed.
    fold_losses, fold_briers : (J,)
        Log loss (nats per row) and Brier score of each fold.
    difference : Difference or None
        Of the log loss to that of the best model, by the corrected test over folds; None for the
        best itself, and where a loss is infinite.
    log_density : float
        Mean log p(row, class) of held-out rows in nats; NaN for dividers.
    fold_log_densities : (J,)
        The same of each fold.
    inverse_temperature : float
        Mean over the folds, where the map has one; else NaN.
    fit_seconds : float
        Mean over the folds; a calibrated model counts every fit that its map needs.
    failure : str or None
        Why the model has no scores.
    warnings : tuple of str
        What was warned of while it was fitted, each once.
    """

    name: str
    code: str
    kind: Kind
    calibration: str | None
    labelled_only: bool
    complexity: float
    scores: Scores | None
    fold_losses: Floats
    fold_briers: Floats
    difference: Difference | None
    log_density: float
    fold_log_densities: Floats
    inverse_temperature: float
    fit_seconds: float
    failure: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison(Result):
    """Models compared on one table.

    Attributes
    ----------
    models : tuple of ModelResult
        Best log loss first; those that failed last.
    skipped : tuple
        Models that were not tried, each with its reason.
    verdict : Verdict
        Which model to use, and why.
    notes : tuple of str
        What a reader has to know of how it was done.
    traits : Traits
        What the table looks like.
    n_folds, random_state : int
    classes : tuple
        In the order of the columns of the probabilities.
    """

    models: tuple[ModelResult, ...]
    skipped: tuple[Skipped, ...]
    verdict: Verdict
    notes: tuple[str, ...]
    traits: Traits
    n_folds: int
    random_state: int
    classes: tuple[Any, ...]
    codes: NDArray[np.intp] = dataclasses.field(repr=False)
    held_out: dict[str, Floats] = dataclasses.field(repr=False)

    def __getitem__(self, name: str) -> ModelResult:
        for model in self.models:
            if model.name == name:
                return model
        from fabula.tables.messages import did_you_mean

        names = [model.name for model in self.models]
        raise UsageError(f"No model {name!r} took part. {did_you_mean(name, names)}")

    def table(self) -> list[dict[str, Any]]:
        """One row of plain values for each model, best first."""
        return [_table_row(model) for model in self.models]

    def reliability(self, name: str, **options: Any) -> ReliabilityCurve:
        """The reliability curve of a model on the held-out rows."""
        model = self[name]
        if model.scores is None:
            raise UsageError(f"{name} has no predictions: {model.failure}.")
        return reliability_curve(self.codes, self.held_out[name], label=name, **options)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings for JSON, without the predictions of each row."""
        nothing = np.empty(0, dtype=np.intp)
        names = tuple(str(name) for name in self.classes)
        state = Result.to_dict(dataclasses.replace(self, codes=nothing, held_out={}, classes=names))
        return {name: value for name, value in state.items() if name not in ("codes", "held_out")}

    def __str__(self) -> str:
        """The table and the verdict, for people."""
        header = list(_HEADER)
        rows = [_text_row(model) for model in self.models if model.scores is not None]
        lines = [_aligned([header, *rows]), "", str(self.verdict)]
        lines += [f"{m.name} failed. {m.failure}" for m in self.models if m.failure is not None]
        lines += [f"{s.name} was not tried: {s.reason}." for s in self.skipped]
        return "\n".join([*lines, *self.notes])


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


_HEADER = (
    *("model", "kind", "log loss", "95 %", "Brier", "accuracy"),
    *("ROC-AUC", "ECE", "smooth ECE", "fit s"),
)
_MEASURES: tuple[Literal["log_loss", "brier", "accuracy", "roc_auc", "ece", "smooth_ece"], ...] = (
    "log_loss",
    "brier",
    "accuracy",
    "roc_auc",
    "ece",
    "smooth_ece",
)


def _table_row(model: ModelResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "model": model.name,
        "kind": model.kind,
        "calibration": model.calibration,
        "labelled_only": model.labelled_only,
    }
    for measure in _MEASURES:
        estimate = None if model.scores is None else getattr(model.scores, measure)
        for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            row[measure + suffix] = np.nan if estimate is None else getattr(estimate, part)
    row["difference_to_best"] = 0.0 if model.scores is not None else np.nan
    row["p_value"] = np.nan
    if model.difference is not None:
        row["difference_to_best"] = model.difference.mean
        row["p_value"] = model.difference.p_value
    row["log_density"] = model.log_density
    row["fit_seconds"] = model.fit_seconds
    row["failure"] = model.failure
    return row


def _text_row(model: ModelResult) -> tuple[str, ...]:
    scores = model.scores
    assert scores is not None
    loss = scores.log_loss
    return (
        model.name,
        model.kind,
        f"{loss.value:.4f}",
        f"{loss.low:.4f} – {loss.high:.4f}",
        f"{scores.brier.value:.4f}",
        f"{100 * scores.accuracy.value:.1f} %",
        f"{scores.roc_auc.value:.4f}",
        f"{scores.ece.value:.4f}",
        f"{scores.smooth_ece.value:.4f}",
        f"{model.fit_seconds:.2g}",
    )


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, the first two flush left."""
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if j < 2 else cell.rjust(width)
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
