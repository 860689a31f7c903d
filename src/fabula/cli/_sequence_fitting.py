"""Fitting models of sequences, and what is said about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fabula.cli._conditions import parse_kinds
from fabula.cli._console import note
from fabula.cli._models import make_estimator
from fabula.cli._sequence_data import SequenceData, SequencePlan, SequenceSource
from fabula.core.errors import DataError, UsageError

__all__ = ["fit_sequences", "say_sequences"]


def fit_sequences(
    plan: SequencePlan, source: SequenceSource, data: SequenceData, say: Callable[[str], None]
) -> tuple[Any, dict[str, Any]]:
    """The fitted model, and what there is to say about it; ``say`` is told how far it is."""
    import fabula
    from fabula.report.parameters import name_model

    name, why = _which(plan, source)
    estimator = _make(plan, name, source, data)
    if hasattr(estimator, "_on_progress"):
        estimator._on_progress = lambda done, loss, left: say(
            f"{done:.0%}, loss {loss:.3g}, {left:.0f} s left"
        )
    labels = data.labels
    # A network is told the class of each sequence, so that all of them teach it.
    told = name == "autoregressive" and plan.calibrate is None
    if labels is not None:
        _check_labels(labels)
    if labels is not None and not told:
        estimator = fabula.GenerativeClassifier(estimator)
        if plan.calibrate is not None:
            estimator = fabula.Calibrated(estimator, plan.calibrate, random_state=plan.seed)
    elif plan.calibrate is not None:
        raise UsageError("--calibrate is for the probabilities of classes: there are none here.")
    start = time.perf_counter()
    x = data.x[0] if source.form == "text" and source.unit == "whole" and labels is None else data.x
    if labels is None:
        estimator.fit(x)
    elif told:
        estimator.fit(x, condition=labels)
    else:
        estimator.fit(x, labels)
    seconds = time.perf_counter() - start
    total = float(estimator.score_samples(data.x).sum())
    classes = None
    if labels is not None:
        from fabula.report.sentences import as_text

        classes = {as_text(c): labels.count(c) for c in estimator.classes_.tolist()}
    storyteller = getattr(estimator, "estimator_", estimator)
    return estimator, {
        "model": name_model(estimator),
        "why": why,
        "sequences": len(data.names),
        "steps": data.n_steps,
        "missing_cells": _count_missing(data.x),
        "classes": classes,
        "unlabelled": None if labels is None else labels.count(None),
        "states": getattr(storyteller, "n_states", None),
        "order": getattr(storyteller, "order_", None),
        "log_density": total,
        "log_density_per_step": total / max(data.n_steps, 1),
        "n_parameters": storyteller.n_parameters,
        "converged": bool(storyteller.report_.converged),
        "iterations": int(storyteller.report_.n_iterations),
        "seconds": round(seconds, 3),
    }


def _which(plan: SequencePlan, source: SequenceSource) -> tuple[str, str | None]:
    if plan.model != "auto":
        return plan.model, None
    if plan.guessed:
        return "markov-chain", (
            "Lines of text: a Markov chain of their characters (--model hmm for hidden states, "
            "--text whole for a running text, --model mixture for a table of one column)."
        )
    if source.form in ("text", "letters"):
        return "markov-chain", "Steps are symbols: a Markov chain (--model hmm for hidden states)."
    return "hmm", "Rows are steps of sequences: a hidden Markov model."


def _make(plan: SequencePlan, name: str, source: SequenceSource, data: SequenceData) -> Any:
    if name == "hmm" and plan.order is not None:
        raise UsageError("--order is for --model markov-chain; hidden states look one step back.")
    if name == "markov-chain" and plan.states is not None:
        raise UsageError("--states is for --model hmm; a Markov chain has no hidden states.")
    if name == "autoregressive" and (plan.order is not None or plan.states is not None):
        raise UsageError(
            "--order and --states are for --model markov-chain and hmm; how far a network looks "
            "back is --set context=128."
        )
    estimator = make_estimator(name, numeric=True, seed=plan.seed, settings=plan.settings)
    if plan.states is not None:
        estimator.set_params(n_states=plan.states)
    if plan.order is not None:
        estimator.set_params(order=plan.order)
    if source.form == "table":
        estimator.set_params(sequence=source.sequence, time=source.time)
        kinds = parse_kinds(plan.kinds, data.x.columns)
        if kinds:
            if "kinds" not in estimator.get_params(deep=False):
                raise UsageError(f"--kind does not go with --model {name}.")
            estimator.set_params(kinds=kinds)
    elif plan.kinds:
        raise UsageError("--kind is about the columns of a table; these data are none.")
    return estimator


def _check_labels(labels: list[Any]) -> None:
    if len({label for label in labels if label is not None}) < 2:
        raise DataError(
            "The sequences are of one class only, and classes need at least two. To model them "
            "without classes, leave --target out, or put the files of a folder straight into it."
        )


def _count_missing(x: Any) -> int:
    from fabula.cli._tables import count_missing

    if hasattr(x, "null_count"):
        return count_missing(x)
    return sum(part.count(None) for part in x if isinstance(part, list))


def say_sequences(summary: dict[str, Any]) -> None:
    """What was fitted, on standard error."""
    from fabula.report import joined, number, plural

    if summary["why"]:
        note(summary["why"])
    missing = summary["missing_cells"]
    holes = f" ({missing:,} missing)" if missing else ""
    what = ""
    if summary["states"] is not None:
        what = f"{plural(summary['states'], 'state')}, "
    elif summary["order"] is not None:
        what = f"order {summary['order']}, "
    note(
        f"{summary['model']}: {plural(summary['sequences'], 'sequence')}, "
        f"{plural(summary['steps'], 'step')}{holes}, {what}"
        f"{plural(summary['n_parameters'], 'parameter')}, {number(summary['seconds'], 2)} s."
    )
    if summary["classes"] is not None:
        counts = joined(f"{label} ({count:,})" for label, count in summary["classes"].items())
        rest = f"; {summary['unlabelled']:,} without a label" if summary["unlabelled"] else ""
        note(f"Classes: {counts}{rest}.")
    note(f"Mean log density of a step: {summary['log_density_per_step']:.4g} nats.")
