"""``fabula compare``: storytellers and dividers side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from fabula.cli._conditions import parse_kinds
from fabula.cli._console import note, working
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
from fabula.cli._output import TABLE_ENDINGS, check_output, write_frame, write_json
from fabula.cli._tables import drop_columns, need_column, split_target

if TYPE_CHECKING:
    import polars as pl

__all__ = ["compare"]

_PICTURES = (".png", ".svg", ".pdf")


def compare(
    data: str,
    /,
    *,
    target: Annotated[str, Parameter(("--target", "-t"), help="Column with the classes.")],
    models: Annotated[
        str | None,
        Parameter(
            help="Names between commas: naive-bayes, lda, qda, gaussian-mixture, factors, mixture, "
            "latent-tree (storytellers), logistic, quadratic, svm, boosting (dividers). By default "
            "all that suit the table, but latent-tree, which takes seconds in every fold."
        ),
    ] = None,
    folds: Annotated[int, Parameter(help="Folds of the cross-validation.")] = 10,
    calibrate: Annotated[
        str,
        Parameter(
            help="Calibration maps to try over each storyteller, between commas: temperature, "
            "sigmoid, isotonic; or none."
        ),
    ] = "temperature,sigmoid",
    groups: Annotated[
        str | None,
        Parameter(help="Column whose equal values belong together: a patient, a text."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        Parameter(help="column=kind where the guess is wrong; as often as needed."),
    ] = None,
    drop: Annotated[
        list[str] | None, Parameter(help="Column to leave out, as often as needed.")
    ] = None,
    learning_curve: Annotated[
        str | None,
        Parameter(help="Picture to draw as well: log loss over the number of rows to learn from."),
    ] = None,
    missing_curve: Annotated[
        str | None,
        Parameter(help="Picture to draw as well: log loss as more and more cells go missing."),
    ] = None,
    output: Out = None,
    seed: Seed = 0,
    threads: Threads = None,
    json: Json = False,
    force: Force = False,
    reading: ReadingOptions = Reading(),  # noqa: B008 - a frozen value
) -> None:
    """Compare models that tell stories with models that draw borders.

    All learn from the same folds and speak about rows that they have not seen. Prints a table,
    best log loss first, and a verdict with its reasons; -o writes the table with all intervals.

    Parameters
    ----------
    data
        Table; - is standard input.
    """
    check_output(output, force=force, endings=() if json else TABLE_ENDINGS)
    for picture in (learning_curve, missing_curve):
        check_output(picture, force=force, endings=_PICTURES, binary=True)
    with limited_threads(threads):
        from fabula.evaluation import compare as compare_models

        table = drop_columns(reading.read(data), drop)
        split_target(table, target)  # which checks it
        if groups is not None:
            need_column(table, groups, "--groups")
        kinds = parse_kinds(kind, [name for name in table.columns if name != target]) or None
        names = _listed(models)
        with working("Comparing") as say:
            found = compare_models(
                table,
                target,
                names,
                cv=folds,
                calibrate=[] if calibrate == "none" else _listed(calibrate) or [],
                groups=groups,
                kinds=kinds,
                random_state=seed or 0,
                on_progress=lambda name, done, of: say(f"{name}, fold {done} of {of}"),
            )
        without_groups = table if groups is None else table.drop(groups)
        _draw(
            without_groups, target, names, kinds, seed or 0, (learning_curve, missing_curve), force
        )
    if json:
        write_json(found.to_dict(), output, force=force)
        return
    if output is None:
        print(found)
        return
    write_frame(_as_frame(found), output, force=force, json=False)
    note(str(found.verdict))
    note(f"Wrote {output}.")


def _listed(names: str | None) -> list[str] | None:
    """Names between commas, in the spelling of Python."""
    if names is None:
        return None
    return [name.strip().replace("-", "_") for name in names.split(",") if name.strip()]


def _as_frame(found: Any) -> pl.DataFrame:
    import polars as pl

    rows = found.table()
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(
        pl.col(pl.Float64).fill_nan(None)
    )


def _draw(
    table: pl.DataFrame,
    target: str,
    models: Any,
    kinds: Any,
    seed: int,
    pictures: tuple[str | None, str | None],
    force: bool,
) -> None:
    if not any(pictures):
        return
    from fabula import evaluation, plots

    options = {"kinds": kinds, "random_state": seed}
    learning, missing = pictures
    if learning is not None:
        with working("Learning from fewer rows"):
            curves = evaluation.learning_curve(table, target, models, **options)
        plots.save(plots.learning_curves(curves, title="Fewer and more rows"), learning, force)
        note(f"Wrote {learning}.")
    if missing is not None:
        with working("Removing cells"):
            curves = evaluation.missing_curve(table, target, models, **options)
        plots.save(plots.missing_curves(curves, title="Fewer and fewer cells"), missing, force)
        note(f"Wrote {missing}.")
