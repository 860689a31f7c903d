"""``fabula score``, ``predict`` and ``impute``: questions about the rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from fabula.cli._console import note, working
from fabula.cli._images import is_of_images, predict_images, score_images
from fabula.cli._models import LoadedModel, load_model
from fabula.cli._options import (
    Force,
    Json,
    Out,
    Reading,
    ReadingOptions,
    Seed,
    Threads,
    limited_threads,
)
from fabula.cli._output import TABLE_ENDINGS, check_output, write_frame
from fabula.cli._sequence_answers import (
    impute_sequences,
    predict_sequences,
    read_like,
    score_sequences,
)
from fabula.cli._sequence_data import SequenceSource
from fabula.core.errors import CannotAnswerError, UsageError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["impute", "predict", "score"]

Keep = Annotated[
    bool,
    Parameter(
        "--keep", show_default=False, help="Write the columns of DATA in front of the answers."
    ),
]


def score(
    model: str,
    data: str,
    /,
    *,
    outliers: Annotated[
        bool,
        Parameter(
            show_default=False,
            help="Add the tail probability: the share of all rows of the model that are no more "
            "probable than this one. Small is strange.",
        ),
    ] = False,
    steps: Annotated[
        bool,
        Parameter(
            show_default=False,
            help="Of sequences: how surprising each step is, given those before it (nats).",
        ),
    ] = False,
    keep: Keep = False,
    output: Out = None,
    threads: Threads = None,
    json: Json = False,
    force: Force = False,
    reading: ReadingOptions = Reading(),  # noqa: B008 - a frozen value
) -> None:
    """Say how probable each row, or each sequence, is, in nats.

    Empty cells are integrated out. The mean over all rows is said on standard error.

    Parameters
    ----------
    model
        Model file.
    data
        Table with the columns of the model; - is standard input.
    """
    _check_table_output(output, force, json)
    with limited_threads(threads):
        loaded = load_model(model)
        source = SequenceSource.of(loaded)
        if source is not None:
            if outliers or keep:
                raise UsageError("--outliers and --keep are for tables of independent rows.")
            found = read_like(loaded, source, data, reading)
            with working("Scoring"):
                answers = score_sequences(loaded, source, found, steps=steps)
            write_frame(answers, output, force=force, json=json)
            return
        if is_of_images(loaded):
            score_images(loaded, data, output, force=force, json=json)
            return
        if steps:
            raise UsageError("--steps is for models of sequences; this one is of rows.")
        frame = reading.read(data)
        with working("Scoring"):
            columns: dict[str, Any] = {"log_density": loaded.estimator.score_samples(frame)}
            if outliers:
                columns["tail_probability"] = loaded.estimator.outliers(frame)
    if frame.height:
        mean = columns["log_density"].mean()
        bound = "bound of the " if loaded.estimator.density_kind == "bound" else ""
        note(f"Mean {bound}log density of {frame.height:,} rows: {mean:.6g} nats.")
    else:
        note("The table has no rows.")
    write_frame(_beside(frame, columns, keep), output, force=force, json=json)


def predict(
    model: str,
    data: str,
    /,
    *,
    column: Annotated[
        str | None,
        Parameter(
            help="For a latent tree: the column of categories to predict, any of them; what DATA "
            "have in it is not looked at."
        ),
    ] = None,
    costs: Annotated[
        str | None,
        Parameter(
            help="What each action costs where each class is the truth: truth:action=cost,… or a "
            "JSON or CSV file. Adds the cheapest action and what it costs on average."
        ),
    ] = None,
    reject_cost: Annotated[
        float | None,
        Parameter(help="What it costs to decide nothing; such rows get the decision 'reject'."),
    ] = None,
    prior: Annotated[
        str | None,
        Parameter(
            help="How frequent the classes are where DATA come from: class=probability,… or "
            "'estimate', which finds it from DATA themselves."
        ),
    ] = None,
    keep: Keep = False,
    output: Out = None,
    threads: Threads = None,
    json: Json = False,
    force: Force = False,
    reading: ReadingOptions = Reading(),  # noqa: B008 - a frozen value
) -> None:
    """Say which class each row is, how surely, and what to do about it.

    Writes the most probable class and the probability of each; with --costs also the decision
    with the smallest expected cost. For a model without classes it is the component; for a hidden
    Markov model the state of each step.

    Parameters
    ----------
    model
        Model file.
    data
        Table with the columns of the model; - is standard input.
    """
    _check_table_output(output, force, json)
    if reject_cost is not None and costs is None:
        raise UsageError("--reject-cost goes with --costs: it says when not to decide.")
    with limited_threads(threads):
        loaded = load_model(model)
        source = SequenceSource.of(loaded)
        if source is not None:
            if costs is not None or prior is not None or column is not None:
                raise UsageError(
                    "--costs, --prior and --column are for tables of independent rows."
                )
            found = read_like(loaded, source, data, reading)
            with working("Predicting"):
                answers = predict_sequences(loaded, source, found, keep=keep)
            write_frame(answers, output, force=force, json=json)
            return
        if is_of_images(loaded):
            if costs is not None or prior is not None or column is not None:
                raise UsageError("--costs, --prior and --column are for tables.")
            predict_images(loaded, data, output, force=force, json=json)
            return
        if column is not None:
            loaded = loaded.about(column)
        elif hasattr(loaded.estimator, "classes_of") and not loaded.classifies:
            raise UsageError(
                "This latent tree was fitted without --target: say which column of categories to "
                "predict, with --column."
            )
        estimator = _with_prior_and_classes(loaded, prior, costs)
        matrix = _costs(costs, loaded)
        frame = reading.read(data)
        if prior is not None:
            estimator = _shifted(loaded, prior, frame)
        with working("Predicting"):
            probabilities = estimator.predict_proba(frame, **loaded.question)
        names = loaded.class_names
        best = probabilities.argmax(axis=1)
        labels = loaded.labels
        columns: dict[str, Any] = {f"predicted_{loaded.target}": [labels[k] for k in best]}
        for k, name in enumerate(names):
            columns[f"p_{name}"] = probabilities[:, k]
        if matrix is not None:
            from fabula.questions.decide import decide

            decisions = decide(probabilities, matrix, names, reject_cost)
            columns["decision"] = decisions.labels("reject").tolist()
            columns["expected_cost"] = decisions.expected_costs
    _say_how_good(loaded, frame, columns[f"predicted_{loaded.target}"])
    write_frame(_beside(frame, columns, keep), output, force=force, json=json)


def impute(
    model: str,
    data: str,
    /,
    *,
    how: Annotated[
        Literal["mean", "mode", "draw"],
        Parameter(
            help="The mean of what the cell may hold (for categories the most probable level), "
            "the most probable value, or a draw from what is possible."
        ),
    ] = "mean",
    draws: Annotated[
        int | None,
        Parameter(
            help="With --how draw: so many completed tables below one another, numbered in the "
            "first column, draw."
        ),
    ] = None,
    output: Out = None,
    seed: Seed = 0,
    threads: Threads = None,
    json: Json = False,
    force: Force = False,
    reading: ReadingOptions = Reading(),  # noqa: B008 - a frozen value
) -> None:
    """Fill the empty cells of a table, or the unknown letters (N, X) of a FASTA file.

    What a cell may hold is told by the other cells of its row, and of its sequence; cells that
    were seen stay as they are. For anything that is computed on from here, use several draws:
    means look more certain than they are.

    Parameters
    ----------
    model
        Model file.
    data
        Table with the columns of the model; - is standard input.
    """
    import polars as pl

    from fabula.cli._tables import count_missing

    check_output(output, force=force)
    if draws is not None and how != "draw":
        raise UsageError("--draws goes with --how draw: every other answer is always the same.")
    if draws is not None and draws < 1:
        raise UsageError(f"--draws is {draws}, expected 1 or more.")
    with limited_threads(threads):
        loaded = load_model(model)
        source = SequenceSource.of(loaded)
        if source is not None and source.form != "table":
            impute_sequences(
                loaded,
                source,
                data,
                reading,
                how=how,
                draws=draws,
                seed=seed,
                output=output,
                json=json,
                force=force,
            )
            return
        _check_table_output(output, force, json)
        frame = reading.read(data)
        with working("Filling in"):
            filled = loaded.estimator.impute(frame, how, draws, random_state=seed)
    tables = filled if isinstance(filled, list) else [filled]
    before, after = count_missing(frame), count_missing(tables[0])
    note(f"Filled {before - after:,} of {before:,} empty cells.")
    unlabelled = frame[loaded.target].null_count() if loaded.target in frame.columns else 0
    if loaded.classifies and unlabelled:
        note(
            f"{unlabelled:,} rows have no {loaded.target!r}: `fabula predict` says what it may be."
        )
    if after > unlabelled:
        note(f"{after - unlabelled:,} empty cells are in columns that the model does not know.")
    if draws is not None:
        number = [pl.lit(i + 1).alias("draw") for i in range(draws)]
        tables = [table.select(n, pl.all()) for n, table in zip(number, tables, strict=True)]
    write_frame(pl.concat(tables), output, force=force, json=json)


def _check_table_output(output: str | None, force: bool, json: bool) -> None:
    check_output(output, force=force, endings=() if json else TABLE_ENDINGS)


def _beside(frame: pl.DataFrame, columns: dict[str, Any], keep: bool) -> pl.DataFrame:
    """The answers as a table, with the columns of the question in front if asked for."""
    import polars as pl

    answers = pl.DataFrame(columns)
    if not keep:
        return answers
    for name in answers.columns:
        if name in frame.columns:
            raise UsageError(
                f"--keep: DATA has a column {name!r} already, which is the name of an answer; "
                "rename it, or leave --keep away."
            )
    return frame.hstack(answers)


def _with_prior_and_classes(loaded: LoadedModel, prior: str | None, costs: str | None) -> Any:
    for option, value in (("prior", prior), ("costs", costs)):
        if value is not None and not loaded.classifies:
            raise CannotAnswerError(
                f"predict --{option}",
                type(loaded.estimator).__name__,
                "it knows components, no classes"
                if not hasattr(loaded.estimator, "classes_of")
                else "it was fitted without --target: say which column with --column",
                ("naive-bayes", "lda", "qda", "mixture-discriminant", "latent-tree"),
            )
    return loaded.estimator


def _costs(text: str | None, loaded: LoadedModel) -> dict[str, dict[str, float]] | None:
    from fabula.cli._conditions import parse_costs

    return None if text is None else parse_costs(text, loaded.class_names)


def _shifted(loaded: LoadedModel, prior: str, frame: pl.DataFrame) -> Any:
    """The model under other frequencies of the classes."""
    from fabula.cli._conditions import parse_prior
    from fabula.report import joined, percent

    if prior != "estimate":
        stated = parse_prior(prior, loaded.class_names)
        asked = [stated[name] for name in loaded.class_names]
        return loaded.estimator.with_prior(asked, **loaded.question)
    shifted = loaded.estimator.with_prior("estimate", frame, **loaded.question)
    found = shifted.class_prior_ if loaded.column is None else shifted.prior_of(loaded.column)
    shares = zip(loaded.class_names, found, strict=True)
    note(f"Estimated frequencies: {joined(f'{name} {percent(p)}' for name, p in shares)}.")
    return shifted


def _say_how_good(loaded: LoadedModel, frame: pl.DataFrame, predicted: list[Any]) -> None:
    """Where DATA hold the truth as well, say how often it was met."""
    from fabula.report import as_text, percent, plural

    if not loaded.classifies or loaded.target not in frame.columns:
        return
    truth = frame[loaded.target].to_list()
    pairs = [(t, p) for t, p in zip(truth, predicted, strict=True) if t is not None]
    if pairs:
        right = sum(as_text(t) == as_text(p) for t, p in pairs)
        note(
            f"Column {loaded.target!r} of DATA has {plural(len(pairs), 'label')}; the prediction "
            f"agrees with {percent(right / len(pairs))} of them."
        )
