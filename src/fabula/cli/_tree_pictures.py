"""Pictures of a tree, and of one column given another: results gathered for `fabula.plots`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.cli._models import LoadedModel
from fabula.cli._pictures import NUMBERS, check_columns, kinds_of, telling_columns, values_of
from fabula.core.errors import CannotAnswerError, UsageError
from fabula.report.sentences import as_text
from fabula.structures.trees.average import trees_of

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

__all__ = ["draw_conditional", "draw_tree"]

# Values that are given, levels that are given, and draws of each.
_GRID, _MOST_BARS, _DRAWS = 40, 10, 4000


def draw_tree(loaded: LoadedModel) -> Figure:
    """Which columns hang together, and how strongly."""
    from fabula.plots import dependence_tree

    model = loaded.storyteller
    if not hasattr(model, "tree_"):
        raise CannotAnswerError(
            "plot --kind tree", type(model).__name__, "it has no tree", ("latent-tree",)
        )
    trees = trees_of(model.story_)
    places = model.columns_.places
    by_name = {str(field.name): places[field.column][0] for field in model.columns_.fields}
    groups = [int(trees[0].nodes[by_name[name]]) for name, _, _ in model.tree_]
    title = "Which columns hang together"
    if len(trees) > 1:
        title += f" (the first of {len(trees)} trees)"
    return dependence_tree(model.tree_, groups=groups, title=title)


def draw_conditional(loaded: LoadedModel, frame: pl.DataFrame, columns: Any, seed: int) -> Figure:
    """One column given another."""
    from fabula.plots import conditional

    wanted = list(columns or telling_columns(loaded, frame, 2, numbers=False))
    if len(wanted) != 2 or wanted[0] == wanted[1]:
        raise UsageError("--kind conditional shows one column given another: --columns ONE,GIVEN.")
    check_columns(loaded, wanted, numbers=False)
    kinds = kinds_of(loaded)
    name, given = wanted
    for column in wanted:
        if kinds[column] == "date":
            raise UsageError(f"--columns: {column!r} is a date, which this picture cannot show.")
    model = loaded.storyteller.marginal(wanted)
    grid: Any
    points = None
    if kinds[given] in NUMBERS:
        values = values_of(frame, given)
        low, high = np.quantile(values[np.isfinite(values)], [0.01, 0.99])
        if kinds[given] == "count" and high - low < _GRID:
            grid = np.arange(low, high + 1.0)
        else:
            seen = np.unique(values[(values >= low) & (values <= high)])
            grid = seen[np.unique(np.linspace(0, len(seen) - 1, _GRID).astype(np.intp))]
        if kinds[name] in NUMBERS:
            points = np.column_stack([values, values_of(frame, name)])
    else:
        counted = frame[given].drop_nulls().value_counts(sort=True)[given].to_list()
        grid = [value for value in counted if value is not None][:_MOST_BARS]
    levels, rows = None, []
    for value in grid:
        drawn, _ = model.sample(_DRAWS, seed, given={given: value})
        column = drawn[name]
        if kinds[name] in NUMBERS:
            rows.append(np.quantile(column.drop_nulls().to_numpy(), [0.05, 0.25, 0.5, 0.75, 0.95]))
        else:
            known = loaded.estimator.encoding_.schema[name].levels
            levels = [as_text(level) for level in known]
            told = [as_text(cell) for cell in column.drop_nulls().to_list()]
            counts = {level: told.count(level) for level in set(told)}
            rows.append([counts.get(level, 0) / max(len(told), 1) for level in levels])
    return conditional(
        grid if kinds[given] in NUMBERS else [as_text(value) for value in grid],
        np.array(rows),
        levels=levels,
        names=(name, given),
        points=points,
        title=f"{name} given {given}, as the model tells it",
    )
