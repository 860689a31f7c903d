"""Which mixture, or latent tree, tells a table best, when rows are held out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from fabula.core.errors import DataError
from fabula.estimators import GaussianMixture, LatentTreeModel, MixtureModel
from fabula.estimators.base.families import choose_families
from fabula.estimators.base.frames import take_rows
from fabula.estimators.base.table import TableEstimator
from fabula.evaluation.differences import paired_difference
from fabula.evaluation.predictions import Floats
from fabula.evaluation.results import Result
from fabula.evaluation.rounds import few_threads
from fabula.evaluation.verdict import Reason
from fabula.families.bins import Bins
from fabula.tables.encoding import TableEncoding

__all__ = ["Candidate", "Tried", "choose_density"]

_LADDER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
# Rungs without a gain after which the ladder is left.
_PATIENCE = 2
_ROWS_PER_COMPONENT = 5
_ROWS_FOR_FOLDS = 5_000
_FOLDS = 5
# Seconds in which a latent tree may learn: while it is compared, over all folds, and at last.
_SECONDS_OF_TREE = 15.0
_SECONDS_OF_FIT = 30.0

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
        Of a latent tree the states of each hidden variable, at the last fit.
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
class Tried:
    """A candidate, how to fit it, and what it said of rows that were held out."""

    candidate: Candidate
    estimator: Any
    scores: Floats  # (n,) log density of each row when it was held out; NaN where it never was


def choose_density(
    rows: Any,
    encoding: TableEncoding | None,
    *,
    deadline: float,
    seed: int,
    rng: np.random.Generator,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Any, Reason, tuple[Candidate, ...]]:
    """The estimator to fit, why, and everything that was tried.

    Parameters
    ----------
    rows : frame or (n, d) array
        Rows to choose by.
    encoding : TableEncoding or None
        How a frame becomes numbers.
    deadline : float
        Time, as `time.perf_counter` tells it, after which nothing further is tried.
    seed, rng
        Random state of the models; what deals the rows out to folds.
    on_progress : callable, optional
    """
    splits = _splits(int(rows.shape[0]), rng)
    tried: list[Tried] = []
    for name, make in _kinds(rows, encoding, seed):
        tried += _climb(name, make, rows, splits, encoding, deadline, on_progress)
    if _suits_a_tree(rows, encoding) and time.perf_counter() < deadline:
        tried.append(_tree(rows, splits, encoding, deadline, seed))
        if on_progress is not None:
            on_progress(tried[-1].candidate.name, len(_LADDER), len(_LADDER))
    usable = [t for t in tried if t.candidate.failure is None]
    if not usable:
        failures = "; ".join(f"{t.candidate.name}: {t.candidate.failure}" for t in tried)
        raise DataError(f"No model could be fitted to this table. {failures}")
    best = max(usable, key=_density)
    chosen = min(
        (t for t in usable if _within_one_error(t, best)),
        key=lambda t: (t.candidate.n_parameters, -t.candidate.log_density),
    )
    reason = _reason(chosen, best, usable, len(splits))
    return chosen.estimator, reason, tuple(t.candidate for t in tried)


def _kinds(
    X: Any, encoding: TableEncoding | None, seed: int
) -> Iterator[tuple[str, Callable[[int], Any]]]:
    """Kinds of mixtures that suit the columns, each as a function of the number of components."""
    kinds = {"continuous"} if encoding is None else {field.kind for field in encoding.fields}
    sparse = hasattr(X, "toarray")
    if sparse or not kinds <= {"continuous", "date"}:
        # A normal density on a column of counts or codes could be as high as it is narrow, which
        # no probability of a count can answer: the two are not compared.
        families = _comparable_families(X, encoding)
        yield "mixture", lambda k: MixtureModel(k, families=families, random_state=seed)
        return
    d = int(X.shape[1]) if encoding is None else len(encoding.fields)
    types = ["diag"] if d == 1 else ["diag", "tied", "full"]
    if d >= 10:
        types = ["diag", "factor"] if d >= 100 else ["diag", "tied", "full", "factor"]
    for covariance_type in types:

        def make(k: int, kind: Any = covariance_type) -> Any:
            factors: dict[str, Any] = {"n_factors": min(5, d // 3)} if kind == "factor" else {}
            return GaussianMixture(k, covariance_type=kind, random_state=seed, **factors)

        yield covariance_type, make


def _suits_a_tree(X: Any, encoding: TableEncoding | None) -> bool:
    """Whether there are columns of several kinds, or of categories, to join."""
    if encoding is None or encoding.is_sparse or len(encoding.fields) < 2:
        return False
    return not {field.kind for field in encoding.fields} <= {"continuous", "date"}


def _comparable_families(X: Any, encoding: TableEncoding | None) -> Any:
    """Families under which densities of a mixture and of a tree mean the same.

    Where the bins of a tree have cells for single values, which have a probability and no density,
    the mixture has bins as well.
    """
    if not _suits_a_tree(X, encoding):
        return "auto"
    assert encoding is not None
    rows = encoding.encode(X)
    spiked = [
        field.column
        for j, field in enumerate(encoding.fields)
        if field.kind not in ("category", "boolean")
        and len(Bins.learned(rows[:, [j]], precision=field.precision).columns[0].atoms)
    ]
    everyone = np.ones((len(rows), 1))
    names = choose_families(
        encoding.fields, rows, "auto", lambda chosen: everyone[chosen], hidden=True
    )
    found = {f.column: name for f, name in zip(encoding.fields, names, strict=True)}
    if all(found[column] == "bins" for column in spiked):
        return "auto"
    return found | dict.fromkeys(spiked, "bins")


def _tree(
    rows: Any,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    encoding: TableEncoding | None,
    deadline: float,
    seed: int,
) -> Tried:
    """A latent tree, as large as it becomes in the time there is."""
    left = deadline - time.perf_counter()
    seconds = min(_SECONDS_OF_TREE, max(left, 1.0)) / len(splits)
    # What a mixture does not tell, that a cell is missing, is left out of the comparison.
    estimator = LatentTreeModel(missing="ignore", max_time=seconds, random_state=seed)
    found = _try("tree", 0, estimator, rows, splits, encoding)
    final_seconds = _SECONDS_OF_FIT if np.isinf(left) else max(left, 1.0)
    final = LatentTreeModel(max_time=final_seconds, random_state=seed)
    return Tried(found.candidate, final, found.scores)


def _splits(n: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
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
) -> list[Tried]:
    """More and more components, until held-out rows become no more probable."""
    smallest = min(len(train) for train, _ in splits)
    tried: list[Tried] = []
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
) -> Tried:
    scores = np.full(int(rows.shape[0]), np.nan)
    began = time.perf_counter()
    n_parameters, failure = 0, None
    with warnings.catch_warnings(), few_threads(int(np.prod(rows.shape))):
        # A climb that was cut short is a worse candidate, and will be seen to be one.
        warnings.simplefilter("ignore")
        try:
            for train, test in splits:
                model = _share(clone(estimator), encoding).fit(take_rows(rows, train))
                scores[test] = model.score_samples(take_rows(rows, test))
                n_parameters = model.n_parameters
                if kind == "tree":
                    n_components = model.n_states_
        except Exception as error:  # whatever a model raises is a result of the choice
            failure = f"{type(error).__name__}: {error}"
    told = ~np.isnan(scores)
    log_density = float(scores[told].mean()) if failure is None else np.nan
    if failure is None and not np.isfinite(log_density):
        failure = "it holds a row that it had not seen impossible"
    name = _describe(kind, n_components)
    candidate = Candidate(
        name, n_components, log_density, n_parameters, time.perf_counter() - began, failure
    )
    return Tried(candidate, estimator, scores)


def _share(estimator: Any, encoding: TableEncoding | None) -> Any:
    if encoding is not None and isinstance(estimator, TableEstimator):
        estimator._shared_encoding = encoding
    return estimator


def _within_one_error(one: Tried, best: Tried) -> bool:
    told = ~np.isnan(best.scores)
    difference = paired_difference(-one.scores[told], -best.scores[told])
    return one is best or difference.mean <= difference.standard_error


def _density(tried: Tried) -> float:
    return tried.candidate.log_density


def _is_tree(tried: Tried) -> bool:
    return isinstance(tried.estimator, LatentTreeModel)


def _describe(kind: str, n_components: int) -> str:
    if kind == "tree":
        return f"a latent tree of {n_components} states" if n_components else "a latent tree"
    how = f" with {_WORDS[kind]}" if kind in _WORDS else " of independent columns"
    if n_components == 1:
        return "one component" + how
    return f"{n_components} components" + how


def _reason(chosen: Tried, best: Tried, usable: Sequence[Tried], n_splits: int) -> Reason:
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
    others = []
    trees = [t for t in usable if _is_tree(t)]
    mixtures = [t for t in usable if not _is_tree(t)]
    one = next((t for t in mixtures if t.candidate.n_components == 1), None)
    if one is not None and chosen is not one:
        others.append(f"one component: {one.candidate.log_density:.4g}")
        evidence["log_density_of_one"] = one.candidate.log_density
    if trees and mixtures:
        rival = max(trees if chosen in mixtures else mixtures, key=_density)
        if rival is not best and rival is not one:
            others.append(f"{rival.candidate.name}: {rival.candidate.log_density:.4g}")
        evidence["log_density_of_rival"] = rival.candidate.log_density
    if others:
        text += f" ({'; '.join(others)})"
    how = "one split" if n_splits == 1 else f"{n_splits} folds"
    return Reason("held_out_density", f"{text}; {how}.", evidence)
