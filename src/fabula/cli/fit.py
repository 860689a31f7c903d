"""``fabula fit``: from a table to a model in a file."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from fabula.cli._conditions import parse_bounds
from fabula.cli._console import note, working
from fabula.cli._fitting import Plan, fit_stream, fit_table
from fabula.cli._images import fit_images, takes_images
from fabula.cli._models import CLASSIFIERS, ModelName, save_model
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
from fabula.cli._sequence_data import (
    SEQUENCE_MODELS,
    SequencePlan,
    SequenceSource,
    TextUnit,
    find_source,
)
from fabula.cli._tables import drop_columns, read_schema, split_target
from fabula.cli._tree_options import privacy_parameters, say_private, timed_parameters
from fabula.core.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from fabula.tables import TableEncoding

__all__ = ["fit"]

# What the file of the model says about its origin.
_KEPT = ("rows", "missing_cells", "classes", "unlabelled", "why")


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
        Parameter(("--components", "-k"), help="Components of a mixture, or of each class of one."),
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
    calibrate: Annotated[
        Literal["temperature", "sigmoid", "isotonic"] | None,
        Parameter(
            help="Put a calibration map over the probabilities, learned from rows that were held "
            "out."
        ),
    ] = None,
    time_budget: Annotated[
        float | None,
        Parameter(
            help="Seconds after which auto tries nothing further (no limit by default), a latent "
            "tree learns no further (60 by default), and a network does not train on (no limit by "
            "default; what is compiled before the first step, and asked after the last, comes on "
            "top)."
        ),
    ] = None,
    stream: Annotated[
        bool,
        Parameter(
            show_default=False,
            help="Read the file block by block, again and again: for tables larger than memory.",
        ),
    ] = False,
    sequence: Annotated[
        str | None,
        Parameter(help="Column that says which rows are one sequence.", group="Sequences"),
    ] = None,
    time: Annotated[
        str | None,
        Parameter(help="Column with the order of the rows of a sequence.", group="Sequences"),
    ] = None,
    text: Annotated[
        TextUnit | None,
        Parameter(
            help="DATA is text: each of its lines is a sequence of letters, or the whole of it.",
            group="Sequences",
        ),
    ] = None,
    states: Annotated[
        int | None,
        Parameter(
            help="Hidden states of --model hmm; of every variable of --model latent-tree, which "
            "by default adds states while held-out rows gain."
        ),
    ] = None,
    order: Annotated[
        int | None,
        Parameter(help="How many symbols --model markov-chain looks back.", group="Sequences"),
    ] = None,
    passes: Annotated[
        int | None,
        Parameter(help="Passes of --model latent-tree over the rows, at most; 30 by default."),
    ] = None,
    aim: Annotated[
        Literal["density", "likeness"] | None,
        Parameter(
            help="What --model latent-tree is for: new rows that are probable (the default), or "
            "draws that are hard to tell from the rows."
        ),
    ] = None,
    trees: Annotated[
        int | None,
        Parameter(
            help="Trees of --model latent-tree whose densities are averaged, in the same time "
            "budget; 1 by default."
        ),
    ] = None,
    epsilon: Annotated[
        float | None,
        Parameter(
            help="With --model latent-tree: ε of differential privacy; 1 is strict. The model is "
            "then made of noisy counts.",
            group="Privacy",
        ),
    ] = None,
    delta: Annotated[
        float | None,
        Parameter(help="δ of differential privacy; 0.000001 by default.", group="Privacy"),
    ] = None,
    bounds: Annotated[
        list[str] | None,
        Parameter(
            help="column=low..high, as often as needed: between which ends its numbers lie, known "
            "from elsewhere than DATA; others are found with noise.",
            group="Privacy",
        ),
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
    """Fit a model to a table, or to sequences.

    Empty cells are integrated out, so that no row has to be left out or repaired. What was fitted
    is said on standard error; --json says it on standard output.

    Sequences are the rows of a table that --sequence puts together, the lines of a text, the
    records of a FASTA or FASTQ file, or the files of a folder: sound files in a folder for each
    class, or a file of lines or records for each class.

    Parameters
    ----------
    data
        Table to learn from (- is standard input); sequences; or images, in .npz or .npy or in a
        folder of pictures (--target class learns the classes that stand beside them).
    """
    check_output(output, force=force, binary=True)
    if takes_images(data, model):
        for option, value in (("--kind", kind), ("--schema", schema), ("--drop", drop),
                              ("--calibrate", calibrate), ("--stream", stream or None),
                              ("--sequence", sequence), ("--text", text),
                              ("--trees", trees)):  # fmt: skip
            if value is not None:
                raise UsageError(f"{option} is for tables, and {data} holds images.")
        with limited_threads(threads):
            estimator, summary = fit_images(
                model,
                data,
                with_classes=target is not None,
                components=components,
                seed=seed,
                settings=tuple(settings or ()),
                further={} if time_budget is None else {"max_time": time_budget},
            )
        named = os.path.basename(os.path.normpath(data))
        notes = {"target": target, "data": named, **{name: summary[name] for name in _KEPT}}
        save_model(estimator, output, notes, force=force)
        if json:
            write_json({**summary, "file": output})
            return
        _say(summary)
        note(f"Wrote {output} ({os.path.getsize(output):,} bytes).")
        return
    of_rows = time_budget if model != "autoregressive" else None
    for_tables = any((target, components, kind, schema, drop, of_rows, stream, calibrate))
    source = find_source(
        data, model, sequence, time, text, table=for_tables or reading != Reading()
    )
    if source is not None:
        misplaced = {
            "--components": components,
            "--schema": schema,
            "--time-budget": of_rows,
            "--stream": stream or None,
            "--passes": passes,
            "--aim": aim,
            "--trees": trees,
            "--epsilon": epsilon,
        }
        for option, stated in misplaced.items():
            if stated is not None:
                raise UsageError(f"{option} is for tables of independent rows, not for sequences.")
        for option, number in (("--states", states), ("--order", order)):
            if number is not None and number < (option == "--states"):
                raise UsageError(f"{option} is {number}, which is too small.")
        asked = SequencePlan(
            model,
            states,
            order,
            calibrate,
            kind,
            seed,
            (*(settings or ()), *([] if time_budget is None else [f"max_time={time_budget}"])),
            target,
            drop,
            guessed=source.form == "text" and text is None and not os.path.isdir(data),
        )
        with limited_threads(threads):
            _fit_sequences(asked, source, data, output, reading, force=force, json=json)
        return
    if order is not None or (states is not None and model != "latent-tree"):
        raise UsageError(
            f"{'--states' if order is None else '--order'} is for models of sequences: --model "
            f"{' or '.join(SEQUENCE_MODELS)}"
            f"{'; --states also for --model latent-tree' if order is None else ''}."
        )
    if target is None and model in CLASSIFIERS:
        raise UsageError(
            f"--model {model} tells classes apart: say which column holds them, --target."
        )
    if target is not None and model in ("mixture", "gaussian-mixture"):
        raise UsageError(
            f"--model {model} knows no classes, so --target does not go with it: use --model "
            f"mixture-discriminant, or leave the column out with --drop {target}."
        )
    if calibrate is not None and target is None:
        raise UsageError("--calibrate is for the probabilities of classes: see --target.")
    if model == "auto" and (components is not None or settings):
        raise UsageError(
            "--components and --set are about one kind of model: say which, with --model."
        )
    if components is not None and components < 1:
        raise UsageError(f"--components is {components}, expected 1 or more.")
    timed = timed_parameters(model, states, passes, time_budget, aim, trees)
    learns_more = stream or calibrate is not None
    private = privacy_parameters(model, epsilon, delta, bounds, learns_more=learns_more)
    plan = Plan(
        model,
        components,
        calibrate,
        time_budget,
        seed,
        tuple(settings or ()),
        {**timed, **private},
    )
    with limited_threads(threads):
        import fabula.estimators  # noqa: F401 - so that its loading does not count as fitting

        if stream:
            if drop or schema or calibrate or reading != Reading() or data == "-":
                raise UsageError(
                    "--stream reads a file as it stands: --drop, --schema, --calibrate, standard "
                    "input and the options for reading do not go with it. --kind "
                    "column=identifier leaves a column out."
                )
            with working("Fitting"):
                estimator, summary = fit_stream(plan, data, target, kind)
        else:
            with working("Reading"):
                table = drop_columns(reading.read(data), drop)
                frame, labels = split_target(table, target)
                encoding = _encoding(frame, target, schema, kind)
                if bounds:
                    ends = {"bounds": parse_bounds(bounds, encoding)}
                    plan = replace(plan, further={**plan.further, **ends})
            with working("Fitting") as say:
                estimator, summary = fit_table(plan, frame, labels, encoding, say)
    notes = {
        "target": target,
        "data": "standard input" if data == "-" else os.path.basename(data),
        # Exact numbers of rows and cells have no place in the file of a private model.
        **({} if epsilon is not None else {name: summary[name] for name in _KEPT}),
    }
    save_model(estimator, output, notes, force=force)
    if json:
        write_json({**summary, "file": output})
        return
    _say(summary)
    if epsilon is not None:
        say_private(estimator.privacy_)
    note(f"Wrote {output} ({os.path.getsize(output):,} bytes).")


def _fit_sequences(
    plan: SequencePlan,
    source: SequenceSource,
    data: str,
    output: str,
    reading: Reading,
    *,
    force: bool,
    json: bool,
) -> None:
    from fabula.cli._sequence_fitting import fit_sequences, say_sequences

    with working("Reading"):
        found = source.read(data, reading, target=plan.target, drop=plan.drop)
    with working("Fitting") as say:
        estimator, summary = fit_sequences(plan, source, found, say)
    notes = {
        "target": plan.target,
        "data": os.path.basename(os.path.normpath(data)),
        "sequences": source.settled(found).to_notes(),
        **{name: summary[name] for name in ("classes", "unlabelled", "why")},
        "rows": summary["sequences"],
    }
    save_model(estimator, output, notes, force=force)
    if json:
        write_json({**summary, "file": output})
        return
    say_sequences(summary)
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


def _say(summary: dict[str, Any]) -> None:
    from fabula.report import joined, number, percent, plural

    if summary["why"]:
        note(summary["why"])
    missing = summary["missing_cells"]
    holes = f" ({percent(missing / summary['cells'])} of the cells empty)" if missing else ""
    states = "" if summary["states"] is None else f"{plural(summary['states'], 'state')}, "
    note(
        f"{summary['model']}: {plural(summary['rows'], 'row')}, "
        f"{plural(summary['columns'], 'column')}{holes}, {states}"
        f"{plural(summary['n_parameters'], 'parameter')}, {number(summary['seconds'], 2)} s."
    )
    if summary["classes"] is not None:
        counts = joined(f"{label} ({count:,})" for label, count in summary["classes"].items())
        rest = (
            f"; {plural(summary['unlabelled'], 'row')} without a label"
            if summary["unlabelled"]
            else ""
        )
        note(f"Classes: {counts}{rest}.")
    if summary["mean_log_density"] is not None:
        bound = "bound of the " if summary.get("density_kind") == "bound" else ""
        note(f"Mean {bound}log density of a row: {summary['mean_log_density']:.4g} nats.")
    if summary.get("draws"):
        note(summary["draws"])
