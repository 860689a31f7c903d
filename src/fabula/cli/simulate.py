"""``fabula sample`` and ``condition``: what the model tells, freely or under a condition."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from fabula.cli._conditions import parse_given
from fabula.cli._console import note, working
from fabula.cli._images import is_of_images, sample_images
from fabula.cli._models import LoadedModel, load_model, save_model
from fabula.cli._options import Force, Given, Json, Out, Seed, Threads, limited_threads
from fabula.cli._output import TABLE_ENDINGS, check_output, write_frame, write_json
from fabula.cli._sequence_answers import sample_sequences
from fabula.cli._sequence_data import SequenceSource
from fabula.core.errors import CannotAnswerError, UsageError

__all__ = ["condition", "sample"]


def sample(
    model: str,
    /,
    *,
    rows: Annotated[int, Parameter(("--rows", "-n"), help="How many.")] = 10,
    given: Given = None,
    steps: Annotated[
        int | None,
        Parameter(
            help="Of sequences: how many steps each has (of text, at most); 100 by default.",
            group="Sequences",
        ),
    ] = None,
    prefix: Annotated[
        str | None, Parameter(help="How every sequence of symbols begins.", group="Sequences")
    ] = None,
    temperature: Annotated[
        float | None,
        Parameter(
            help="Below 1 the probable symbols are preferred, above 1 the others; 0 takes the most "
            "probable.",
            group="Sequences",
        ),
    ] = None,
    top_p: Annotated[
        float | None,
        Parameter(
            help="Draw among the fewest symbols that have this probability together.",
            group="Sequences",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        Parameter(help="Draw among so many of the most probable symbols.", group="Sequences"),
    ] = None,
    components: Annotated[
        bool,
        Parameter(
            show_default=False,
            help="For a model without classes: add which component, or state, told each row.",
        ),
    ] = False,
    output: Out = None,
    seed: Seed = 0,
    threads: Threads = None,
    json: Json = False,
    force: Force = False,
) -> None:
    """Draw new rows, or sequences, from a model.

    They have the forms and ranges of the table that the model was fitted to, and its class.

    Parameters
    ----------
    model
        Model file.
    """
    if rows < 1:
        raise UsageError(f"--rows is {rows}, expected 1 or more.")
    if steps is not None and steps < 1:
        raise UsageError(f"--steps is {steps}, expected 1 or more.")
    if temperature is not None and not temperature >= 0:
        raise UsageError(f"--temperature is {temperature}, expected a number of at least 0.")
    asked = {"prefix": prefix, "temperature": temperature, "top_p": top_p, "top_k": top_k}
    choice = {name: value for name, value in asked.items() if value is not None}
    with limited_threads(threads):
        loaded = load_model(model)
        source = SequenceSource.of(loaded)
        if source is not None:
            sample_sequences(
                loaded,
                source,
                n=rows,
                steps=steps,
                choice=choice,
                given=given,
                states=components,
                output=output,
                seed=seed,
                json=json,
                force=force,
            )
            return
        if steps is not None or choice:
            raise UsageError(
                "--steps, --prefix, --temperature, --top-p and --top-k are for models of sequences."
            )
        if is_of_images(loaded):
            sample_images(loaded, rows, output, seed, force)
            return
        check_output(output, force=force, endings=() if json else TABLE_ENDINGS)
        condition = parse_given(given, loaded)
        estimator, options = loaded.estimator, {}
        if len(condition.classes or ()) == 1 and not hasattr(estimator, "with_prior"):
            (name,) = condition.classes or ()
            options = {"y": loaded.labels[loaded.class_names.index(name)]}
        else:
            estimator, _ = condition.apply_to_classes(estimator)
        with working("Drawing"):
            table, members = estimator.sample(
                rows, seed, given=condition.columns or None, **options
            )
    effective = getattr(estimator, "effective_sample_size_", rows) if condition.columns else rows
    if effective < 0.99 * rows:
        note(
            f"The {rows:,} rows are worth {effective:,.0f} independent ones: the condition is met "
            "by weighting draws, and few carry most of the weight."
        )
    frame = _as_polars(table)
    if loaded.classifies or components:
        frame = _with_members(frame, loaded, members)
    write_frame(frame, output, force=force, json=json)


def condition(
    model: str,
    /,
    *,
    output: Annotated[
        str,
        Parameter(("--output", "-o"), help="File for the new model, by custom ending in .fabula."),
    ],
    given: Given = None,
    json: Json = False,
    force: Force = False,
) -> None:
    """Write the model that is left once something is given: what if?

    Columns with a value are settled and disappear; so do those with an interval or a set. The
    result answers every question about the other columns under that condition. How probable the
    condition is, is said on standard error.

    Parameters
    ----------
    model
        Model file.
    """
    check_output(output, force=force, binary=True)
    if not given:
        raise UsageError("Say what is given, at least once: --given column=value.")
    loaded = load_model(model)
    if SequenceSource.of(loaded) is not None:
        raise CannotAnswerError(
            "condition",
            type(loaded.estimator).__name__,
            "a condition on a column would bind every step of sequences whose length is not known; "
            "fill the column in DATA, and score, predict, impute and forecast answer given it",
        )
    asked = parse_given(given, loaded)
    estimator, log_probability = asked.apply_to_classes(loaded.estimator)
    if asked.columns:
        estimator = estimator.condition(asked.columns)
        log_probability += estimator.log_condition_
    notes = {**loaded.notes, "given": [*loaded.notes.get("given", []), *given]}
    save_model(estimator, output, notes, force=force)
    left = [str(name) for name in LoadedModel(estimator, notes).columns]
    if json:
        write_json(
            {"log_probability": log_probability, "columns": left, "given": given, "file": output}
        )
        return
    note(
        f"Log probability (density) of the condition: {log_probability:.6g} nats. "
        f"{len(left)} columns are left. Wrote {output}."
    )


def _as_polars(table: Any) -> Any:
    import narwhals as nw
    import numpy as np
    import polars as pl

    if isinstance(table, np.ndarray):
        return pl.DataFrame(table, schema=[f"column_{j + 1}" for j in range(table.shape[1])])
    return nw.from_native(table, eager_only=True).to_polars()


def _with_members(frame: Any, loaded: LoadedModel, members: Any) -> Any:
    import polars as pl

    name = loaded.target
    while name in frame.columns:
        name = f"{name}_"
    return frame.with_columns(pl.Series(name, members.tolist()))
