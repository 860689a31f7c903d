"""``fabula fit``: from a table to a model in a file."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from fabula.cli._console import note, working
from fabula.cli._models import CLASSIFIERS, MODELS, ModelName, make_estimator, save_model
from fabula.cli._options import (
    Force,
    Json,
    Reading,
    ReadingOptions,
    Seed,
    Threads,
    limited_threads,
)
from fabula.cli._output import check_output, write_json
from fabula.cli._tables import count_missing, drop_columns, read_schema, split_target
from fabula.core.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from fabula.tables import TableEncoding

__all__ = ["fit"]


def fit(
    data: str,
    /,
    *,
    output: Annotated[
        str, Parameter(("--output", "-o"), help="File for the model, by custom ending in .fabula.")
    ],
    target: Annotated[
        str | None,
        Parameter(
            ("--target", "-t"),
            help="Column with the classes; rows where it is empty teach as well. Without it, the "
            "model finds components by itself.",
        ),
    ] = None,
    model: Annotated[
        ModelName,
        Parameter(help="Kind of model; auto chooses by held-out likelihood, and says why."),
    ] = "auto",
    components: Annotated[
        int | None,
        Parameter(
            ("--components", "-k"), help="Components of a mixture, or of each class of one."
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        Parameter(
            help="column=kind, as often as needed: continuous, count, category, boolean, date, "
            "text, or identifier to leave the column out."
        ),
    ] = None,
    schema: Annotated[
        str | None, Parameter(help="File from `fabula schema DATA -o FILE`, perhaps edited.")
    ] = None,
    drop: Annotated[
        list[str] | None, Parameter(help="Column to leave out, as often as needed.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        Parameter(
            "--set",
            help="name=value, as often as needed: any other parameter of the model, as in Python.",
        ),
    ] = None,
    seed: Seed = 0,
    threads: Threads = None,
    json: Json = False,
    force: Force = False,
    reading: ReadingOptions = Reading(),  # noqa: B008 - a frozen value
) -> None:
    """Fit a model to a table.

    Empty cells are integrated out, so that no row has to be left out or repaired. What was fitted
    is said on standard error; --json says it on standard output.

    Parameters
    ----------
    data
        Table to learn from; - is standard input.
    """
    check_output(output, force=force)
    if target is None and model in CLASSIFIERS:
        raise UsageError(f"--model {model} tells classes apart: say which column holds them, --target.")
    if target is not None and model in ("mixture", "gaussian-mixture"):
        raise UsageError(
            f"--model {model} knows no classes, so --target does not go with it: use --model "
            f"mixture-discriminant, or leave the column out with --drop {target}."
        )
    if components is not None and components < 1:
        raise UsageError(f"--components is {components}, expected 1 or more.")
    with limited_threads(threads):
        with working("Reading"):
            table = drop_columns(reading.read(data), drop)
            frame, labels = split_target(table, target)
            encoding = _encoding(frame, target, schema, kind)
        start = time.perf_counter()
        with working("Fitting"):
            estimator, why = _choose(
                model, frame, labels, encoding, components, seed, settings or []
            )
        seconds = time.perf_counter() - start
    summary = _summarise(estimator, frame, labels, seconds)
    summary["model"] = type(estimator).__name__
    summary["why"] = why
    notes = {
        "target": target,
        "data": "standard input" if data == "-" else os.path.basename(data),
        "rows": summary["rows"],
        "missing_cells": summary["missing_cells"],
        "classes": summary["classes"],
        "unlabelled": summary["unlabelled"],
        "why": why,
    }
    save_model(estimator, output, notes, force=force)
    if json:
        write_json({**summary, "file": output})
        return
    _say(summary)
    note(f"Wrote {output} ({os.path.getsize(output):,} bytes).")


def _encoding(
    frame: pl.DataFrame, target: str | None, schema: str | None, kinds: list[str] | None
) -> TableEncoding:
    from fabula.cli._conditions import parse_kinds
    from fabula.tables import TableEncoding

    if not frame.height:
        raise DataError("The table has no rows, so there is nothing to learn from.")
    stated = None
    if schema is not None:
        stated = read_schema(schema)
        if target is not None and target in stated:
            stated = stated.without(target)
    return TableEncoding.fit(frame, stated, parse_kinds(kinds, frame.columns))


def _choose(
    model: str,
    frame: pl.DataFrame,
    labels: pl.Series | None,
    encoding: TableEncoding,
    components: int | None,
    seed: int | None,
    settings: list[str],
) -> tuple[Any, str | None]:
    """The fitted estimator, and why it is this one."""
    numeric = all(field.kind not in ("category", "text") for field in encoding.fields)
    if model == "auto":
        raise NotImplementedError
    estimator = make_estimator(
        model, numeric=numeric, components=components, seed=seed, settings=settings
    )
    estimator._shared_encoding = encoding
    if labels is None:
        return estimator.fit(frame), None
    return estimator.fit(frame, labels), None


def _summarise(
    estimator: Any, frame: pl.DataFrame, labels: pl.Series | None, seconds: float
) -> dict[str, Any]:
    classes = None
    if labels is not None:
        counted = dict(labels.drop_nulls().value_counts().iter_rows())
        classes = {str(label): counted.get(label, 0) for label in estimator.classes_.tolist()}
    return {
        "rows": frame.height,
        "columns": len(estimator.columns_.names),
        "cells": frame.height * frame.width,
        "missing_cells": count_missing(frame),
        "classes": classes,
        "unlabelled": None if labels is None else labels.null_count(),
        "components": None if labels is not None else estimator.story_.n_classes,
        "n_parameters": estimator.n_parameters,
        "converged": bool(estimator.converged_),
        "iterations": int(estimator.n_iter_),
        "mean_log_density": float(estimator.score(frame)),
        "seconds": round(seconds, 3),
    }


def _say(summary: dict[str, Any]) -> None:
    from fabula.report import joined, number, percent, plural

    if summary["why"]:
        note(summary["why"])
    missing = summary["missing_cells"]
    holes = f" ({percent(missing / summary['cells'])} of the cells empty)" if missing else ""
    note(
        f"{summary['model']}: {plural(summary['rows'], 'row')}, "
        f"{plural(summary['columns'], 'column')}{holes}, "
        f"{plural(summary['n_parameters'], 'parameter')}, {number(summary['seconds'], 2)} s."
    )
    if summary["classes"] is not None:
        counts = joined(f"{label} ({count:,})" for label, count in summary["classes"].items())
        rest = f"; {plural(summary['unlabelled'], 'row')} without a label" if summary["unlabelled"] else ""
        note(f"Classes: {counts}{rest}.")
    else:
        note(f"{plural(summary['components'], 'component')}.")
    note(f"Mean log density of a row: {summary['mean_log_density']:.4g} nats.")


_KNOWN = tuple(MODELS)
