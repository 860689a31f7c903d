"""``fabula schema``, ``show`` and ``models``: what is in a table, in a file, on offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fabula.cli._options import Force, Json, Reading, ReadingOptions
from fabula.cli._output import check_output, write_json, write_text

if TYPE_CHECKING:
    from fabula.cli._capabilities import Capability

__all__ = ["models", "schema", "show"]


def schema(
    data: str,
    /,
    *,
    kind: Annotated[
        list[str] | None,
        Parameter(help="column=kind where the guess is wrong; as often as needed."),
    ] = None,
    output: Annotated[
        str | None,
        Parameter(("--output", "-o"), help="JSON file to write, to be edited and given to fit."),
    ] = None,
    json: Json = False,
    force: Force = False,
    reading: ReadingOptions = Reading(),  # noqa: B008 - a frozen value
) -> None:
    """Say what the columns of a table are.

    Kind, values and missing cells of each; -o writes it as JSON, which can be edited and given to
    `fit --schema`.

    Parameters
    ----------
    data
        Table; - is standard input.
    """
    check_output(output, force=force)
    from fabula.cli._conditions import parse_kinds
    from fabula.report import plain_table
    from fabula.tables import infer_schema

    frame = reading.read(data)
    found = infer_schema(frame, kinds=parse_kinds(kind, frame.columns))
    if output is not None or json:
        write_text(found.to_json().rstrip("\n"), output, force=force)
        return
    rows = found.to_rows()
    print(plain_table(list(rows[0]), [list(row.values()) for row in rows]))


def show(model: str, /, *, json: Json = False) -> None:
    """Say what is in a model file.

    Its history, its classes, and what each column looks like in each class.

    Parameters
    ----------
    model
        Model file.
    """
    from fabula.cli._models import load_model
    from fabula.persistence import describe
    from fabula.report.parameters import describe_model, story_to_dict

    found = describe(model)
    loaded = load_model(model, pairs=True)
    names = loaded.class_names
    if json:
        write_json({**found, "parameters": story_to_dict(loaded.estimator.story_)})
        return
    print(describe_model(model, found, loaded.estimator, names, loaded.target))


def models(*, json: Json = False) -> None:
    """List the models and the questions each of them answers."""
    from fabula.cli._capabilities import capabilities
    from fabula.report import plain_table

    found = capabilities()
    if json:
        write_json([capability.to_dict() for capability in found])
        return
    questions = list(found[0].answers)
    print(
        plain_table(
            ["model", "data", *questions],
            [[c.name, c.data, *(_answer(c, q) for q in questions)] for c in found],
        )
    )
    print()
    print(
        plain_table(
            ["model", "in Python", "what it is"], [[c.name, c.python, c.summary] for c in found]
        )
    )


def _answer(model: Capability, question: str) -> str:
    """Whether a model answers; of a density that is not exact, what it is instead."""
    if not model.answers[question]:
        return "-"
    return model.density if question == "score" and model.density != "exact" else "yes"
