"""Who is compared: storytellers and dividers by name, simplest first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.base import clone

from fabula.core.errors import UsageError
from fabula.estimators import (
    GaussianMixture,
    GenerativeClassifier,
    LatentTreeModel,
    LinearDiscriminantAnalysis,
    MixtureModel,
    NaiveBayes,
    QuadraticDiscriminantAnalysis,
)
from fabula.estimators.base.class_questions import ClassQuestions
from fabula.estimators.base.target_questions import TargetQuestions
from fabula.evaluation.dividers import Divider, why_not
from fabula.evaluation.problems import Problem
from fabula.evaluation.results import Result

__all__ = ["MODEL_NAMES", "Contestant", "Kind", "Skipped", "choose_contestants"]

Kind = Literal["storyteller", "divider"]

# A mixture needs about so many rows of the smallest class for each component it has there.
_ROWS_PER_COMPONENT = 10
_COLUMNS_FOR_FACTORS = 10
_ONLY_IF_NAMED = "latent_tree"
_SECONDS_OF_TREE = 10.0


@dataclass(frozen=True)
class Contestant:
    """A model that takes part.

    ``code`` is its name in `MODEL_NAMES`, or "other"; of two models that do equally well the one
    with the smaller ``complexity`` is preferred.
    """

    name: str
    code: str
    kind: Kind
    estimator: Any
    complexity: float


@dataclass(frozen=True)
class Skipped(Result):
    """A model that cannot take part, and why."""

    name: str
    code: str
    kind: Kind
    reason: str


@dataclass(frozen=True)
class _Entry:
    name: str
    kind: Kind
    complexity: float
    make: Callable[[Problem, int], Any]  # the estimator, or the reason why there is none


def _naive_bayes(problem: Problem, seed: int) -> Any:
    return NaiveBayes()


def _lda(problem: Problem, seed: int) -> Any:
    return _not_numeric(problem) or LinearDiscriminantAnalysis()


def _qda(problem: Problem, seed: int) -> Any:
    return _not_numeric(problem) or QuadraticDiscriminantAnalysis()


def _normal_mixture(problem: Problem, seed: int) -> Any:
    components = _components(problem, 3)
    if components < 2:
        return _too_few(problem)
    density = GaussianMixture(components, covariance_type="diag", random_state=seed)
    return _not_numeric(problem) or GenerativeClassifier(density)


def _factors(problem: Problem, seed: int) -> Any:
    d = len(problem.fields)
    refused = _not_numeric(problem)
    if refused:
        return refused
    if d < _COLUMNS_FOR_FACTORS:
        return f"factors are for {_COLUMNS_FOR_FACTORS} columns or more, and there are {d}"
    n_factors = min(5, d // 3, max(int(problem.class_counts.min()) // 4, 1))
    return GenerativeClassifier(
        GaussianMixture(1, covariance_type="factor", n_factors=n_factors, random_state=seed)
    )


def _mixture(problem: Problem, seed: int) -> Any:
    components = _components(problem, 4)
    if components < 2:
        return _too_few(problem)
    return GenerativeClassifier(MixtureModel(components, random_state=seed))


def _latent_tree(problem: Problem, seed: int) -> Any:
    if any(field.kind == "text" for field in problem.fields):
        return "words are no columns of a tree"
    return LatentTreeModel(max_time=_SECONDS_OF_TREE, random_state=seed)


def _divider(kind: Any) -> Callable[[Problem, int], Any]:
    def make(problem: Problem, seed: int) -> Any:
        refused = why_not(kind, problem.fields, len(problem.labelled))
        return refused or Divider(kind, random_state=seed)

    return make


_ENTRIES: dict[str, _Entry] = {
    "naive_bayes": _Entry("naive Bayes", "storyteller", 1.0, _naive_bayes),
    "lda": _Entry("LDA", "storyteller", 2.0, _lda),
    "qda": _Entry("QDA", "storyteller", 3.0, _qda),
    "gaussian_mixture": _Entry("normal mixture per class", "storyteller", 4.0, _normal_mixture),
    "factors": _Entry("factor analysis per class", "storyteller", 3.5, _factors),
    "mixture": _Entry("mixture per class", "storyteller", 4.5, _mixture),
    "latent_tree": _Entry("latent tree", "storyteller", 5.5, _latent_tree),
    "logistic": _Entry("logistic regression", "divider", 2.5, _divider("logistic")),
    "quadratic": _Entry("quadratic logistic regression", "divider", 3.2, _divider("quadratic")),
    "svm": _Entry("SVM", "divider", 5.0, _divider("svm")),
    "boosting": _Entry("gradient boosting", "divider", 6.0, _divider("boosting")),
}

MODEL_NAMES = tuple(_ENTRIES)
"""Names that `compare` takes for models."""


def choose_contestants(
    models: Any, problem: Problem, seed: int
) -> tuple[list[Contestant], list[Skipped]]:
    """Turn what the caller asked for into models that can be fitted to this table.

    Parameters
    ----------
    models : None, iterable of names or estimators, or mapping of name to either
        None is every model in `MODEL_NAMES`, but those that the table rules out, and "latent_tree",
        which takes seconds in every fold.
    problem : Problem
    seed : int
        Random state of the models that are made here.
    """
    if models is None:
        numeric = _not_numeric(problem) is None
        asked: list[tuple[str | None, Any]] = [
            (None, code)
            for code in _ENTRIES
            if code != _ONLY_IF_NAMED and not (numeric and code == "mixture")
        ]
    else:
        asked = _asked(models)
    entered: list[Contestant] = []
    skipped: list[Skipped] = []
    for given_name, model in asked:
        if not isinstance(model, str):
            entered.append(_other(given_name, model))
            continue
        entry = _ENTRIES.get(model)
        if entry is None:
            from fabula.tables.messages import did_you_mean

            raise UsageError(f"There is no model {model!r}. {did_you_mean(model, MODEL_NAMES)}")
        name = given_name or entry.name
        made = entry.make(problem, seed)
        if isinstance(made, str):
            skipped.append(Skipped(name, model, entry.kind, made))
        else:
            entered.append(Contestant(name, model, entry.kind, made, entry.complexity))
    names = [c.name for c in entered] + [s.name for s in skipped]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"Two models have the same name: {', '.join(twice)}.")
    if not entered:
        raise UsageError(
            "No model is left to compare: " + "; ".join(f"{s.name}: {s.reason}" for s in skipped)
        )
    return entered, skipped


def _asked(models: Any) -> list[tuple[str | None, Any]]:
    if isinstance(models, Mapping):
        return [(str(name), model) for name, model in models.items()]
    if isinstance(models, str) or not isinstance(models, Iterable):
        models = [models]
    asked: list[tuple[str | None, Any]] = [(None, model) for model in models]
    if not asked:
        raise UsageError("models is empty: name at least one model.")
    return asked


def _other(name: str | None, model: Any) -> Contestant:
    """A model that the caller brought along."""
    if not hasattr(model, "fit") or isinstance(model, type):
        raise UsageError(
            f"{model!r} is no model: give a classifier object, or one of {', '.join(MODEL_NAMES)}."
        )
    inner = getattr(model, "estimator", None)
    tells = any(isinstance(m, ClassQuestions | TargetQuestions) for m in (model, inner))
    code, complexity = _recognise(model)
    return Contestant(
        name or type(model).__name__,
        code,
        "storyteller" if tells else "divider",
        clone(model),
        complexity,
    )


def _recognise(model: Any) -> tuple[str, float]:
    """The code and complexity of a model that is one of those above by type."""
    known: dict[type, str] = {
        NaiveBayes: "naive_bayes",
        LinearDiscriminantAnalysis: "lda",
        QuadraticDiscriminantAnalysis: "qda",
    }
    code = known.get(type(model))
    if code is not None:
        return code, _ENTRIES[code].complexity
    return "other", 4.0 if isinstance(model, ClassQuestions) else 5.0


def _not_numeric(problem: Problem) -> str | None:
    """Why a model of numbers cannot take this table; None where it can."""
    if problem.encoding is None:
        return None
    columns = [f.column for f in problem.fields if f.kind in ("category", "text")]
    if not columns:
        return None
    first = list(dict.fromkeys(columns))
    more = f" and {len(first) - 1} more" if len(first) > 1 else ""
    return f"it models numbers only, and column {first[0]!r}{more} holds categories or text"


def _components(problem: Problem, wanted: int) -> int:
    smallest = int(problem.class_counts.min())
    return int(np.clip(smallest // _ROWS_PER_COMPONENT, 1, wanted))


def _too_few(problem: Problem) -> str:
    return (
        f"the smallest class has {int(problem.class_counts.min())} labelled rows, and a mixture of "
        f"two components would want {2 * _ROWS_PER_COMPONENT}"
    )
