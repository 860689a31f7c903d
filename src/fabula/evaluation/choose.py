"""Which model suits a table, told by what it says of rows that it has not seen."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from fabula.core.errors import DataError, UsageError
from fabula.estimators import GaussianMixture, GenerativeClassifier, MixtureModel
from fabula.estimators._held_out import as_rows
from fabula.estimators._table import TableEstimator, is_frame, take_rows
from fabula.estimators.calibrated import Calibrated
from fabula.evaluation.comparing import Comparison, ModelResult, compare_on
from fabula.evaluation.contestants import choose_contestants
from fabula.evaluation.differences import paired_difference
from fabula.evaluation.predictions import Floats
from fabula.evaluation.problems import Problem, read_problem
from fabula.evaluation.results import Result
from fabula.evaluation.rounds import LABELLED_ONLY
from fabula.evaluation.verdict import Reason
from fabula.tables.encoding import TableEncoding

__all__ = ["Candidate", "Choice", "choose_model"]

_LADDER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
# Rungs without a gain after which the ladder is left.
_PATIENCE = 2
_ROWS_PER_COMPONENT = 5
_ROWS_TO_CHOOSE = 20_000
_ROWS_FOR_FOLDS = 5_000
_FOLDS = 5

_WORDS = {
    "full": "a full covariance each",
    "tied": "one full covariance for all",
    "diag": "independent columns",
    "factor": "common factors",
}


@dataclass(frozen=True)
class Candidate(Result):
    """One density that was tried.

    Attributes
    ----------
    name : str
    n_components : int
    log_density : float
        Mean log density of held-out rows, nats.
    n_parameters : int
        Of the first fit.
    seconds : float
        To fit and score, in all.
    failure : str or None
    """

    name: str
    n_components: int
    log_density: float
    n_parameters: int
    seconds: float
    failure: str | None = None


@dataclass(frozen=True)
class Choice(Result):
    """A model that was chosen and fitted to every row.

    Attributes
    ----------
    estimator : fitted estimator
    why : str
        The reason in a sentence or two.
    reasons : tuple of Reason
        The same in pieces, with the numbers.
    candidates : tuple of Candidate
        The densities that were tried, where there is no target.
    comparison : Comparison or None
        How the classifiers did, where there is one.
    n_rows_used : int
        Rows that the choice rests on.
    """

    estimator: Any
    why: str
    reasons: tuple[Reason, ...]
    candidates: tuple[Candidate, ...]
    comparison: Comparison | None
    n_rows_used: int

    def table(self) -> list[dict[str, Any]]:
        """One row of plain values for each model that was tried."""
        if self.comparison is not None:
            return self.comparison.table()
        return [candidate.to_dict() for candidate in self.candidates]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the name of the model in place of the model."""
        plain = dataclasses.replace(self, estimator=type(self.estimator).__name__)
        state = Result.to_dict(dataclasses.replace(plain, comparison=None))
        if self.comparison is not None:
            state["comparison"] = self.comparison.to_dict()
        return state


def choose_model(
    data: Any,
    target: Any = None,
    *,
    kinds: Any = None,
    encoding: TableEncoding | None = None,
    time_budget: float | None = None,
    random_state: int = 0,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Choice:
    """Choose a model for a table, and fit it to every row.

    Without a target, mixtures of 1, 2, 3, 4, 6, 8, … components are climbed until held-out rows
    become no more probable: of normals with several kinds of covariance where all columns are
    continuous, of independent columns of any kind otherwise. The smallest model within one
    standard error of the best is taken. With a target, the storytellers of `fabula.compare` are
    compared, and its verdict is followed.

    Parameters
    ----------
    data : frame or (n, d) array
    target : column name, or (n,) labels, optional
    kinds : mapping of column to kind, optional
    encoding : TableEncoding, optional
        How the table without its target becomes numbers, where that is known.
    time_budget : float, optional
        Seconds after which nothing further is tried.
    random_state : int
    on_progress : callable, optional
        Called with the name of a model, steps done, and steps in all.

    Returns
    -------
    Choice

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fabula.evaluation import choose_model
    >>> choice = choose_model(*load_iris(return_X_y=True))
    >>> type(choice.estimator).__name__
    'LinearDiscriminantAnalysis'
    """
    if time_budget is not None and not time_budget > 0:
        raise UsageError(f"time_budget must be positive seconds, not {time_budget!r}.")
    if target is not None:
        problem = read_problem(data, target, kinds=kinds, encoding=encoding)
        return _choose_classifier(problem, time_budget, random_state, on_progress)
    X = as_rows(data)
    if is_frame(X) and encoding is None:
        encoding = TableEncoding.fit(X, kinds=dict(kinds) if kinds else None)
    return _choose_density(
        X, encoding if is_frame(X) else None, time_budget, random_state, on_progress
    )


# With classes ------------------------------------------------------------------------------------


def _choose_classifier(
    problem: Problem, time_budget: float | None, seed: int, on_progress: Any
) -> Choice:
    smaller = _sample_problem(problem, seed)
    comparison = compare_on(
        smaller,
        _storytellers(smaller, seed),
        10 if smaller.n_rows <= _ROWS_FOR_FOLDS else _FOLDS,
        ("temperature", "sigmoid"),
        alpha=0.05,
        n_bootstrap=0,
        time_budget=time_budget,
        random_state=seed,
        on_progress=on_progress,
    )
    name = comparison.verdict.chosen
    if name is None:
        failures = "; ".join(f"{m.name}: {m.failure}" for m in comparison.models)
        raise DataError(f"No model could be fitted to this table. {failures}")
    chosen = comparison[name]
    entered, _ = choose_contestants(_storytellers(smaller, seed), smaller, seed)
    plain = chosen.name.removesuffix(LABELLED_ONLY).removesuffix(f" + {chosen.calibration}")
    estimator = next(c.estimator for c in entered if c.name == plain)
    if chosen.calibration is not None:
        estimator = Calibrated(estimator, chosen.calibration, random_state=seed)
    fitted = problem.prepare(clone(estimator))
    rows = problem.labelled if chosen.labelled_only else np.arange(problem.n_rows)
    fitted.fit(problem.rows(rows), problem.labels(rows))
    reasons = comparison.verdict.reasons
    why = " ".join(_told(comparison, chosen, smaller, problem))
    return Choice(fitted, why, reasons, (), comparison, smaller.n_rows)


def _storytellers(problem: Problem, seed: int) -> dict[str, Any]:
    """Those that suit the columns, and mixtures as rich as the rows allow."""
    numeric = all(field.kind not in ("category", "text") for field in problem.fields)
    models: dict[str, Any] = {"naive Bayes": "naive_bayes"}
    if numeric:
        models |= {"LDA": "lda", "QDA": "qda"}
        if len(problem.fields) >= 10:
            models["factor analysis per class"] = "factors"
    smallest = int(problem.class_counts.min())
    for n_components in (2, 4, 8, 16):
        if smallest >= 25 * n_components:
            name = f"mixture of {n_components} per class"
            density: Any = MixtureModel(n_components, random_state=seed)
            if numeric and all(f.kind in ("continuous", "date") for f in problem.fields):
                density = GaussianMixture(n_components, covariance_type="diag", random_state=seed)
            models[name] = GenerativeClassifier(density)
    return models


def _sample_problem(problem: Problem, seed: int) -> Problem:
    """Rows enough to choose by, the classes in proportion."""
    n = problem.n_rows
    if n <= _ROWS_TO_CHOOSE:
        return problem
    rng = np.random.default_rng(seed)
    share = _ROWS_TO_CHOOSE / n
    kept = []
    for code in range(-1, len(problem.classes)):
        mine = np.flatnonzero(problem.codes == code)
        wanted = min(len(mine), max(round(share * len(mine)), 50))
        kept.append(rng.choice(mine, size=wanted, replace=False))
    rows = np.sort(np.concatenate(kept))
    return dataclasses.replace(
        problem,
        X=problem.rows(rows),
        codes=problem.codes[rows],
        groups=None if problem.groups is None else problem.groups[rows],
    )


def _told(
    comparison: Comparison, chosen: ModelResult, smaller: Problem, problem: Problem
) -> Iterator[str]:
    yield comparison.verdict["chosen"].text.replace("Use ", "Chose ", 1)
    if np.isfinite(chosen.log_density):
        density = f"{chosen.log_density:.4g}"
        yield f"It gives a held-out row with its class a log density of {density} nats."
    if smaller.n_rows < problem.n_rows:
        yield (
            f"The choice rests on {smaller.n_rows:,} of {problem.n_rows:,} rows; the model was "
            "then fitted to all of them."
        )


# Without classes ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tried:
    candidate: Candidate
    estimator: Any
    scores: Floats  # (n,) log density of each row when it was held out; NaN where it never was


def _choose_density(
    X: Any, encoding: TableEncoding | None, time_budget: float | None, seed: int, on_progress: Any
) -> Choice:
    n = int(X.shape[0])
    if n < 4:
        raise DataError(f"Choosing a model leaves rows out; {n} rows are too few for that.")
    rng = np.random.default_rng(seed)
    used = np.arange(n)
    if n > _ROWS_TO_CHOOSE:
        used = np.sort(rng.choice(n, size=_ROWS_TO_CHOOSE, replace=False))
    rows = X if len(used) == n else take_rows(X, used)
    splits = _density_splits(len(used), rng)
    deadline = np.inf if time_budget is None else time.perf_counter() + time_budget
    tried: list[_Tried] = []
    for name, make in _densities(X, encoding, seed):
        tried += _climb(name, make, rows, splits, encoding, deadline, on_progress)
    usable = [t for t in tried if t.candidate.failure is None]
    if not usable:
        failures = "; ".join(f"{t.candidate.name}: {t.candidate.failure}" for t in tried)
        raise DataError(f"No model could be fitted to this table. {failures}")
    best = max(usable, key=lambda t: t.candidate.log_density)
    chosen = min(
        (t for t in usable if _within_one_error(t, best)),
        key=lambda t: (t.candidate.n_parameters, -t.candidate.log_density),
    )
    fitted = _share(clone(chosen.estimator), encoding).fit(X)
    reason = _density_reason(chosen, best, usable, len(splits))
    why = reason.text
    if len(used) < n:
        why += (
            f" The choice rests on {len(used):,} of {n:,} rows; the model was then fitted to all "
            "of them."
        )
    candidates = tuple(t.candidate for t in tried)
    return Choice(fitted, why, (reason,), candidates, None, len(used))


def _densities(
    X: Any, encoding: TableEncoding | None, seed: int
) -> Iterator[tuple[str, Callable[[int], Any]]]:
    """Kinds of mixtures that suit the columns, each as a function of the number of components."""
    kinds = {"continuous"} if encoding is None else {field.kind for field in encoding.fields}
    sparse = hasattr(X, "toarray")
    if sparse or not kinds <= {"continuous", "date"}:
        # A normal density on a column of counts or codes could be as high as it is narrow, which
        # no probability of a count can answer: the two are not compared.
        yield "mixture", lambda k: MixtureModel(k, random_state=seed)
        return
    d = int(X.shape[1]) if encoding is None else len(encoding.fields)
    types = ["diag"] if d == 1 else ["diag", "tied", "full"]
    if d >= 10:
        types = ["diag", "factor"] if d >= 100 else ["diag", "tied", "full", "factor"]
    for covariance_type in types:

        def make(k: int, kind: Any = covariance_type) -> Any:
            return GaussianMixture(
                k, covariance_type=kind, n_factors=min(5, max(d // 3, 1)), random_state=seed
            )

        yield covariance_type, make


def _density_splits(n: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds of few rows, one split of many."""
    order = rng.permutation(n)
    folds = min(_FOLDS, n // 2)
    parts = np.array_split(order, folds)
    if n > _ROWS_FOR_FOLDS:
        parts = parts[:1]
    return [(np.sort(np.setdiff1d(order, part)), np.sort(part)) for part in parts]


def _climb(
    name: str,
    make: Callable[[int], Any],
    rows: Any,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    encoding: TableEncoding | None,
    deadline: float,
    on_progress: Any,
) -> list[_Tried]:
    """More and more components, until held-out rows become no more probable."""
    smallest = min(len(train) for train, _ in splits)
    tried: list[_Tried] = []
    best, since = -np.inf, 0
    for step, n_components in enumerate(_LADDER):
        too_many = n_components > 1 and n_components * _ROWS_PER_COMPONENT > smallest
        if too_many or since >= _PATIENCE or (tried and time.perf_counter() > deadline):
            break
        found = _try(name, n_components, make(n_components), rows, splits, encoding)
        tried.append(found)
        if on_progress is not None:
            on_progress(found.candidate.name, step + 1, len(_LADDER))
        if found.candidate.failure is not None:
            break
        since = 0 if found.candidate.log_density > best else since + 1
        best = max(best, found.candidate.log_density)
    return tried


def _try(
    kind: str,
    n_components: int,
    estimator: Any,
    rows: Any,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    encoding: TableEncoding | None,
) -> _Tried:
    name = _describe(kind, n_components)
    scores = np.full(int(rows.shape[0]), np.nan)
    began = time.perf_counter()
    n_parameters, failure = 0, None
    with warnings.catch_warnings():
        # A climb that was cut short is a worse candidate, and will be seen to be one.
        warnings.simplefilter("ignore")
        try:
            for train, test in splits:
                model = _share(clone(estimator), encoding).fit(take_rows(rows, train))
                scores[test] = model.score_samples(take_rows(rows, test))
                n_parameters = model.n_parameters
        except Exception as error:  # whatever a model raises is a result of the choice
            failure = f"{type(error).__name__}: {error}"
    told = ~np.isnan(scores)
    log_density = float(scores[told].mean()) if failure is None else np.nan
    if failure is None and not np.isfinite(log_density):
        failure = "it holds a row that it had not seen impossible"
    candidate = Candidate(
        name, n_components, log_density, n_parameters, time.perf_counter() - began, failure
    )
    return _Tried(candidate, estimator, scores)


def _share(estimator: Any, encoding: TableEncoding | None) -> Any:
    if encoding is not None and isinstance(estimator, TableEstimator):
        estimator._shared_encoding = encoding
    return estimator


def _within_one_error(one: _Tried, best: _Tried) -> bool:
    told = ~np.isnan(best.scores)
    difference = paired_difference(-one.scores[told], -best.scores[told])
    return one is best or difference.mean <= difference.standard_error


def _describe(kind: str, n_components: int) -> str:
    how = f" with {_WORDS[kind]}" if kind in _WORDS else " of independent columns"
    if n_components == 1:
        return "one component" + how
    return f"{n_components} components" + how


def _density_reason(
    chosen: _Tried, best: _Tried, usable: Sequence[_Tried], n_splits: int
) -> Reason:
    mine = chosen.candidate
    text = (
        f"Chose {mine.name}: rows that were held out have a log density of "
        f"{mine.log_density:.4g} nats on average"
    )
    if chosen is not best:
        text += (
            f"; {best.candidate.name} have {best.candidate.log_density:.4g}, but that is within "
            "one standard error, and the model chosen has fewer parameters"
        )
    else:
        text += f", more than under any of the {len(usable)} models that were tried"
    evidence: dict[str, Any] = {
        "log_density": mine.log_density,
        "best_log_density": best.candidate.log_density,
        "n_components": mine.n_components,
        "n_models": len(usable),
    }
    one = next((t for t in usable if t.candidate.n_components == 1), None)
    if one is not None and mine.n_components > 1:
        text += f" (one component: {one.candidate.log_density:.4g})"
        evidence["log_density_of_one"] = one.candidate.log_density
    how = "one split" if n_splits == 1 else f"{n_splits} folds"
    return Reason("held_out_density", f"{text}; {how}.", evidence)
