"""From what was asked for to a fitted model, and to what is said about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fabula.cli._conditions import parse_kinds
from fabula.cli._images import rate_draws, tell_progress
from fabula.cli._models import LoadedModel, make_estimator
from fabula.cli._tables import count_missing
from fabula.core.errors import UsageError
from fabula.report.sentences import as_text

if TYPE_CHECKING:
    import polars as pl

    from fabula.tables import TableEncoding

__all__ = ["Plan", "fit_stream", "fit_table"]


@dataclass(frozen=True)
class Plan:
    """Which model to fit.

    Parameters
    ----------
    model
        Its name on the command line, or "auto".
    components, seed, settings, further
        See `make_estimator`.
    calibrate
        Calibration map to put over the probabilities.
    time_budget
        Seconds after which "auto" tries nothing further.
    """

    model: str
    components: int | None
    calibrate: str | None
    time_budget: float | None
    seed: int | None
    settings: tuple[str, ...]
    further: Mapping[str, Any] = field(default_factory=dict)


def fit_table(
    plan: Plan,
    frame: pl.DataFrame,
    labels: pl.Series | None,
    encoding: TableEncoding,
    say: Callable[[str], None],
) -> tuple[Any, dict[str, Any]]:
    """Fit to a table in memory; returns the model, and what there is to say about it."""
    from sklearn.base import clone

    import fabula
    from fabula.report.parameters import name_model

    numeric = all(f.kind not in ("category", "text") for f in encoding.fields)
    start = time.perf_counter()
    estimator: Any = None
    why = None
    if plan.model == "auto":
        estimator, why = _choose(plan, frame, labels, encoding, say)
    else:
        estimator = make_estimator(
            plan.model,
            numeric=numeric,
            components=plan.components,
            seed=plan.seed,
            settings=plan.settings,
            further=plan.further,
        )
    if plan.calibrate is not None:
        inner = clone(getattr(estimator, "estimator_", estimator))
        estimator = fabula.Calibrated(inner, plan.calibrate, random_state=plan.seed)
    if not hasattr(estimator, "story_"):
        estimator._shared_encoding = encoding
        if hasattr(estimator, "_on_progress"):
            estimator._on_progress = tell_progress(say)
        estimator.fit(frame) if labels is None else estimator.fit(frame, labels)
    seconds = time.perf_counter() - start
    classes = None
    if labels is not None:
        counted = dict(labels.drop_nulls().value_counts().iter_rows())
        classes = {as_text(label): counted.get(label, 0) for label in estimator.classes_.tolist()}
    return estimator, {
        "model": name_model(estimator),
        "why": why,
        "rows": frame.height,
        "missing_cells": count_missing(frame),
        "cells": frame.height * frame.width,
        "classes": classes,
        "unlabelled": None if labels is None else labels.null_count(),
        **rate_draws(estimator, frame, labels),
        **_of_the_fit(estimator, seconds),
    }


def fit_stream(
    plan: Plan, path: str, target: str | None, kinds: list[str] | None
) -> tuple[Any, dict[str, Any]]:
    """The same for a file that is read block by block."""
    from fabula.report.parameters import name_model
    from fabula.tables import scan_table

    if plan.model == "auto":
        raise UsageError("--stream needs to know which model to fit: say it with --model.")
    estimator = make_estimator(
        plan.model,
        numeric=True,
        components=plan.components,
        seed=plan.seed,
        settings=plan.settings,
        further=plan.further,
    )
    if not hasattr(estimator, "fit_file"):
        raise UsageError(f"--model {plan.model} cannot be fitted block by block.")
    scan = scan_table(path)
    stated = parse_kinds(kinds, list(scan.names))
    if stated and "kinds" not in estimator.get_params(deep=False):
        raise UsageError(f"--kind does not go with --model {plan.model} and --stream.")
    if stated:
        estimator.set_params(kinds=stated)
    start = time.perf_counter()
    estimator.fit_file(path) if target is None else estimator.fit_file(path, target)
    seconds = time.perf_counter() - start
    columns = [estimator.encoding_.schema[name] for name in LoadedModel(estimator, {}).columns]
    classes = None if target is None else _count_labels(scan, target, estimator)
    return estimator, {
        "model": name_model(estimator),
        "why": None,
        "rows": scan.n_rows,
        "missing_cells": sum(column.n_missing or 0 for column in columns),
        "cells": scan.n_rows * len(columns),
        "classes": classes,
        "unlabelled": None if classes is None else scan.n_rows - sum(classes.values()),
        "mean_log_density": None,
        **_of_the_fit(estimator, seconds),
    }


def _choose(
    plan: Plan, frame: pl.DataFrame, labels: pl.Series | None, encoding: TableEncoding, say: Any
) -> tuple[Any, str]:
    """The model that held-out rows speak for, fitted to all rows, and why."""
    from fabula.evaluation import choose_model

    choice = choose_model(
        frame,
        labels,
        encoding=encoding,
        time_budget=plan.time_budget,
        random_state=plan.seed or 0,
        on_progress=lambda name, done, of: say(f"{name}, {done} of {of}"),
    )
    return choice.estimator, choice.why


def _count_labels(scan: Any, target: str, estimator: Any) -> dict[str, int]:
    counted: dict[str, int] = dict.fromkeys(map(as_text, estimator.classes_.tolist()), 0)
    for frame in scan:
        for label, number in frame[target].drop_nulls().value_counts().iter_rows():
            counted[as_text(label)] += number
    return counted


def _of_the_fit(estimator: Any, seconds: float) -> dict[str, Any]:
    from fabula.estimators.networks.fitting import NeuralEstimator

    states = getattr(estimator, "n_states_", None)
    hidden = states is None and not hasattr(estimator, "classes_")
    if isinstance(estimator, NeuralEstimator) and estimator.story_.n_classes == 1:
        hidden = False  # a network without components: it has not "one"
    return {
        "columns": len(LoadedModel(estimator, {}).columns),
        "components": estimator.story_.n_classes if hidden else None,
        "states": states,
        "n_parameters": estimator.n_parameters,
        "converged": bool(estimator.report_.converged),
        "iterations": int(estimator.report_.n_iterations),
        "seconds": round(seconds, 3),
    }
