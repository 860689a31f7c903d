"""``fabula plot``: pictures of a model and a table."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from fabula.cli._console import note, working
from fabula.cli._images import draw_images, is_of_images
from fabula.cli._models import load_model
from fabula.cli._options import Force, Reading, ReadingOptions, Seed, Threads, limited_threads
from fabula.cli._output import check_output
from fabula.cli._sequence_data import SequenceSource
from fabula.core.errors import UsageError

__all__ = ["plot"]

_ENDINGS = (".png", ".svg", ".pdf")


def plot(
    model: str,
    data: str | None = None,
    /,
    *,
    output: Annotated[
        str, Parameter(("--output", "-o"), help="File to write: .png, .svg or .pdf.")
    ],
    kind: Annotated[
        Literal[
            "pairs",
            "densities",
            "regions",
            "reliability",
            "contributions",
            "costs",
            "components",
            "tree",
            "conditional",
            "samples",
            "reconstructions",
            "latent",
            "traversal",
            "losses",
        ],
        Parameter(
            help="pairs: data against samples. densities: one column in each class. regions: the "
            "class over two columns. reliability: stated probabilities against what happened. "
            "contributions: what each column of a row said. costs: what deciding costs. "
            "components: the normal components of a mixture. tree: which columns of a latent tree "
            "hang together, and how strongly; it needs no DATA. conditional: the first of two "
            "--columns given the second. Of images: samples, reconstructions, latent (a map of the "
            "latents) and traversal (along them). losses: how a network was trained."
        ),
    ] = "pairs",
    columns: Annotated[
        str | None,
        Parameter(help="Columns to draw, separated by commas; those that say most by default."),
    ] = None,
    column: Annotated[
        str | None,
        Parameter(help="For a latent tree: the column of categories that is taken as the class."),
    ] = None,
    row: Annotated[
        int | None, Parameter(help="For contributions: which row of DATA, from 1; 1 by default.")
    ] = None,
    case: Annotated[
        str | None,
        Parameter(help="For contributions and costs: the class that is a case; the last one."),
    ] = None,
    seed: Seed = 0,
    threads: Threads = None,
    force: Force = False,
    reading: ReadingOptions = Reading(),  # noqa: B008 - a frozen value
) -> None:
    """Draw a picture of a model beside a table.

    Reliability and costs are only honest on rows that the model has not learned from.

    Parameters
    ----------
    model
        Model file.
    data
        Table with the columns of the model; - is standard input. A tree needs none.
    """
    check_output(output, force=force, endings=_ENDINGS, binary=True)
    for option, value, kinds in (
        ("--row", row, ("contributions",)),
        ("--case", case, ("contributions", "costs")),
        ("--columns", columns, ("pairs", "densities", "regions", "components", "conditional")),
        ("--column", column, ("densities", "regions", "reliability", "contributions", "costs")),
    ):
        if value is not None and kind not in kinds:
            raise UsageError(
                f"{option} does not go with --kind {kind}, but with {', '.join(kinds)}."
            )
    with limited_threads(threads):
        from fabula.cli import _pictures, _tree_pictures
        from fabula.plots import save

        loaded = load_model(model)
        if kind == "losses":
            draw_images(loaded, data, kind, output, seed or 0, force)
            return
        if SequenceSource.of(loaded) is not None:
            raise UsageError(
                f"{model} is a model of sequences, and pictures are of independent rows: `fabula "
                "show` says what it holds, and predict, score --steps and forecast give tables."
            )
        if kind in ("samples", "reconstructions", "latent", "traversal"):
            draw_images(loaded, data, kind, output, seed or 0, force)
            return
        if column is not None:
            loaded = loaded.about(column)
        if kind == "tree":
            save(_tree_pictures.draw_tree(loaded), output, force)
            note(f"Wrote {output}.")
            return
        if is_of_images(loaded):
            raise UsageError(f"--kind {kind} is for tables, and {model} is a model of images.")
        if data is None:
            raise UsageError(f"--kind {kind} needs DATA, a table with the columns of the model.")
        frame = reading.read(data)
        wanted = _split(columns, frame.columns)
        with working("Drawing"):
            match kind:
                case "pairs":
                    figure = _pictures.draw_pairs(loaded, frame, wanted, seed or 0)
                case "densities":
                    figure = _pictures.draw_densities(loaded, frame, wanted)
                case "regions":
                    figure = _pictures.draw_regions(loaded, frame, wanted)
                case "reliability":
                    figure = _pictures.draw_reliability(loaded, frame)
                case "contributions":
                    figure = _pictures.draw_contributions(
                        loaded, frame, 1 if row is None else row, case
                    )
                case "costs":
                    figure = _pictures.draw_costs(loaded, frame, case)
                case "components":
                    figure = _pictures.draw_components(loaded, frame, wanted)
                case "conditional":
                    figure = _tree_pictures.draw_conditional(loaded, frame, wanted, seed or 0)
            save(figure, output, force)
    note(f"Wrote {output}.")


def _split(columns: str | None, known: list[str]) -> list[str] | None:
    """Names between commas; a name that holds a comma is taken whole if there is one."""
    if columns is None:
        return None
    return [columns] if columns in known else [name.strip() for name in columns.split(",")]
