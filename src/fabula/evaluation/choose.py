"""Which model suits a table, told by what it says of rows that it has not seen."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from fabula.core.errors import DataError, UsageError
from fabula.estimators import GaussianMixture, GenerativeClassifier, MixtureModel
from fabula.estimators.base.frames import is_frame, take_rows
from fabula.estimators.calibrated import Calibrated
from fabula.estimators.calibration.held_out import as_rows
from fabula.evaluation.comparing import compare_on
from fabula.evaluation.comparison import Comparison, ModelResult
from fabula.evaluation.contestants import choose_contestants
from fabula.evaluation.densities import Candidate, choose_density
from fabula.evaluation.problems import Problem, read_problem
from fabula.evaluation.results import Result
from fabula.evaluation.rounds import LABELLED_ONLY
from fabula.evaluation.verdict import Reason
from fabula.tables.encoding import TableEncoding

__all__ = ["Candidate", "Choice", "choose_model"]

_ROWS_TO_CHOOSE = 20_000
_ROWS_FOR_FOLDS = 5_000
_FOLDS = 5


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
    continuous, of independent columns of any kind otherwise. Tables with columns of other kinds
    are also told to a latent tree, which has a quarter of a minute for the comparison, and half a
    minute for the fit if it is chosen. The smallest model within one standard error of the best is
    taken. With a target, the storytellers of `fabula.compare` are
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
    estimator, reason, candidates = choose_density(
        X if len(used) == n else take_rows(X, used),
        encoding,
        deadline=np.inf if time_budget is None else time.perf_counter() + time_budget,
        seed=seed,
        rng=rng,
        on_progress=on_progress,
    )
    fitted = clone(estimator)
    if encoding is not None:
        fitted._shared_encoding = encoding
    fitted.fit(X)
    why = reason.text
    if len(used) < n:
        why += (
            f" The choice rests on {len(used):,} of {n:,} rows; the model was then fitted to all "
            "of them."
        )
    return Choice(fitted, why, (reason,), candidates, None, len(used))
