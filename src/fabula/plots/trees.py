"""The tree in which columns hang together, and one column given another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.errors import DataError, UsageError
from fabula.plots.style import (
    DATA,
    GREY,
    INK,
    class_color,
    finite,
    lighten,
    new_figure,
    shorten,
    styled,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["conditional", "dependence_tree"]

_MOST_COLUMNS = 80
_MOST_LEVELS = 7
_MOST_POINTS = 1500


@styled
def dependence_tree(
    edges: Sequence[tuple[str, str | None, float]],
    *,
    groups: Sequence[int] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw which column hangs on which, and how many nats they share.

    Every column has a line of its own, below the one it hangs on; its bar, and the number beside
    it, are the mutual information of the two.

    Parameters
    ----------
    edges : list of (column, column or None, float)
        Each column, the one it hangs on, and their mutual information in nats, as in
        ``LatentTreeModel.tree_``.
    groups : list of int, optional
        Hidden variable of each column; columns that share one have dots of the same colour.
    title : str, optional
        What the picture shows.

    Notes
    -----
    Of more than 80 columns those are drawn that hang together most strongly.
    """
    if not edges:
        raise UsageError("There is no column to draw.")
    members = list(range(len(edges))) if groups is None else [int(g) for g in groups]
    if len(members) != len(edges):
        raise UsageError(f"{len(members)} groups were given for {len(edges)} columns.")
    shown, note = _strongest(edges)
    lines = _in_lines([edges[i] for i in shown])
    group_of = {edges[i][0]: members[i] for i in shown}
    height = 0.27 * len(lines) + 1.1
    figure = new_figure(8.2, height)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1.0], sharey=True)
    _names(left, lines, group_of)
    _bars(right, lines)
    for axes in (left, right):
        axes.set_ylim(len(lines) - 0.4, -0.6)
    if note:
        right.set_title(note, fontsize=8, color="#555555")
    write_title(figure, title)
    return figure


def _strongest(edges: Sequence[tuple[str, str | None, float]]) -> tuple[list[int], str]:
    """Columns to draw: all, or those with the strongest edges and what these hang on."""
    if len(edges) <= _MOST_COLUMNS:
        return list(range(len(edges))), ""
    place = {name: i for i, (name, _, _) in enumerate(edges)}
    kept: set[int] = set()
    for i in sorted(range(len(edges)), key=lambda i: -edges[i][2]):
        parent = edges[i][1]
        both = {i} if parent is None else {i, place[parent]}
        if len(kept | both) <= _MOST_COLUMNS:
            kept |= both
    return sorted(kept), f"{len(kept)} of {len(edges):,} columns: the strongest edges"


def _in_lines(
    edges: Sequence[tuple[str, str | None, float]],
) -> list[tuple[str, int, int | None, float, str | None]]:
    """Lines of the picture: column, depth, line of the one it hangs on, nats, that one's name."""
    names = {name for name, _, _ in edges}
    below: dict[str | None, list[tuple[str, float, str | None]]] = {}
    for name, parent, nats in edges:
        below.setdefault(parent if parent in names else None, []).append((name, nats, parent))
    lines: list[tuple[str, int, int | None, float, str | None]] = []
    stack: list[tuple[str, int, int | None, float, str | None]] = [
        (name, 0, None, nats, parent)
        for name, nats, parent in sorted(below.get(None, []), key=lambda e: e[1])
    ]
    while stack:
        line = stack.pop()
        here = len(lines)
        lines.append(line)
        for name, nats, parent in sorted(below.get(line[0], []), key=lambda e: e[1]):
            stack.append((name, line[1] + 1, here, nats, parent))
    return lines


def _names(
    axes: Axes,
    lines: list[tuple[str, int, int | None, float, str | None]],
    group_of: dict[str, int],
) -> None:
    """The columns, indented below the one they hang on."""
    strongest = max((line[3] for line in lines), default=0.0) or 1.0
    sizes = np.bincount(list(group_of.values()))
    several = [g for g in dict.fromkeys(group_of[line[0]] for line in lines) if sizes[g] > 1]
    step = 1.0 / max(max(line[1] for line in lines), 3)
    for i, (name, depth, above, nats, _) in enumerate(lines):
        x = depth * step
        if above is not None:
            width = 0.7 + 4.0 * max(nats, 0.0) / strongest
            corner = (depth - 1) * step
            color = lighten(DATA, 0.35)
            axes.plot([corner, corner], [above, i], color=lighten(GREY, 0.4), linewidth=0.8)
            axes.plot([corner, x], [i, i], color=color, linewidth=width, solid_capstyle="butt")
        group = group_of[name]
        dot = class_color(several.index(group)) if group in several else GREY
        axes.plot([x], [i], "o", color=dot, markersize=6, markeredgecolor="white", zorder=3)
        axes.annotate(
            shorten(name, 30),
            (x, i),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )
    axes.set_xlim(-0.05, 1.55)
    axes.axis("off")
    if several:
        axes.set_title("one colour: one hidden variable", fontsize=8, color="#555555")


def _bars(axes: Axes, lines: list[tuple[str, int, int | None, float, str | None]]) -> None:
    """What each column shares with the one it hangs on."""
    values = [max(nats, 0.0) if parent is not None else 0.0 for *_, nats, parent in lines]
    largest = max(values, default=0.0) or 1.0
    axes.barh(range(len(lines)), values, height=0.62, color=lighten(DATA, 0.35))
    for i, (*_, nats, parent) in enumerate(lines):
        if parent is not None:
            text = f"{max(nats, 0.0):.3f} with {shorten(parent, 18)}"
            axes.text(values[i] + 0.015 * largest, i, text, va="center", fontsize=7.5, color=INK)
    axes.set_xlim(0, 1.9 * largest)
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= 1.1 * largest])
    axes.set_xlabel("mutual information, nats")
    axes.tick_params(axis="y", left=False, labelleft=False)
    axes.spines["left"].set_visible(False)


@styled
def conditional(
    given: Sequence[Any],
    values: ArrayLike,
    *,
    levels: Sequence[object] | None = None,
    names: tuple[str, str] = ("column", "given"),
    points: ArrayLike | None = None,
    title: str | None = None,
) -> Figure:
    """Draw what one column looks like given another.

    Parameters
    ----------
    given : (m,) array of rising numbers, or list of names
        What the other column is.
    values : (m, 5) or (m, C) array
        Without ``levels`` the quantiles at 5, 25, 50, 75 and 95 %; with them, the probability of
        each level.
    levels : list of names, optional
        Of more than seven the least probable are drawn as "other".
    names : (str, str)
        The column, and the one that is given.
    points : (n, 2) array, optional
        Rows to draw behind quantiles: the given column, if it is one of numbers, and the column.
    title : str, optional
        What the picture shows.
    """
    heights = finite(values, "values", 2)
    numbers = not any(isinstance(value, str) for value in given)
    places = finite(given, "given", 1) if numbers else np.arange(float(len(heights)))
    if len(places) != len(heights) or len(list(given)) != len(heights):
        raise DataError(f"given has {len(places)} values, values {len(heights)} rows.")
    if numbers and np.any(np.diff(places) <= 0):
        raise DataError("given must rise.")
    figure = new_figure(6.8, 4.6)
    axes = figure.subplots()
    if levels is None:
        if heights.shape[1] != 5:
            raise DataError(f"values have {heights.shape[1]} columns; expected five quantiles.")
        _bands(axes, places, heights, numbers, points)
        axes.set_ylabel(shorten(names[0], 60))
    else:
        if heights.shape[1] != len(levels):
            raise DataError(f"values have {heights.shape[1]} columns for {len(levels)} levels.")
        _shares(axes, places, heights, [str(level) for level in levels], numbers)
        axes.set_ylabel(f"probability of {shorten(names[0], 50)}")
    if not numbers:
        shown = [shorten(name, 16) for name in given]
        crowded = sum(len(text) for text in shown) > 60
        axes.set_xticks(
            places, shown, rotation=40 if crowded else 0, ha="right" if crowded else "center"
        )
    axes.set_xlabel(shorten(names[1], 60))
    write_title(figure, title)
    return figure


def _bands(
    axes: Axes,
    places: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    numbers: bool,
    points: ArrayLike | None,
) -> None:
    low, first, middle, third, high = quantiles.T
    if numbers:
        axes.fill_between(places, low, high, color=lighten(DATA, 0.75), linewidth=0, label="90 %")
        axes.fill_between(places, first, third, color=lighten(DATA, 0.5), linewidth=0, label="50 %")
        axes.plot(places, middle, color=DATA, label="median")
        if points is not None:
            rows = np.asarray(points, dtype=np.float64)
            rows = rows[np.isfinite(rows).all(axis=1)]
            rows = rows[:: max(1, -(-len(rows) // _MOST_POINTS))]
            inside = (rows[:, 0] >= places[0]) & (rows[:, 0] <= places[-1])
            axes.plot(*rows[inside].T, ".", color=GREY, markersize=2.5, alpha=0.5, label="data")
        axes.set_xlim(places[0], places[-1])
        bottom, top = float(low.min()), float(high.max())
        margin = 0.15 * (top - bottom) or 1.0
        axes.set_ylim(bottom - margin, top + margin)
    else:
        axes.vlines(places, low, high, color=lighten(DATA, 0.55), linewidth=5, label="90 %")
        axes.vlines(places, first, third, color=lighten(DATA, 0.4), linewidth=11, label="50 %")
        axes.plot(places, middle, "_", color=INK, markersize=11, markeredgewidth=2, label="median")
        axes.margins(x=0.12)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))


def _shares(
    axes: Axes,
    places: NDArray[np.float64],
    shares: NDArray[np.float64],
    levels: list[str],
    numbers: bool,
) -> None:
    order = np.argsort(-shares.mean(axis=0), kind="stable")
    if len(levels) > _MOST_LEVELS:
        order, rest = order[: _MOST_LEVELS - 1], order[_MOST_LEVELS - 1 :]
        drawn = np.column_stack([shares[:, order], shares[:, rest].sum(axis=1)])
        labels = [levels[k] for k in order] + [f"other ({len(rest)})"]
    else:
        drawn, labels = shares[:, order], [levels[k] for k in order]
    colors = [lighten(class_color(k), 0.3) for k in range(len(labels))]
    if len(levels) > _MOST_LEVELS:
        colors[-1] = lighten(GREY, 0.5)
    if numbers:
        axes.stackplot(places, drawn.T, labels=[shorten(t, 24) for t in labels], colors=colors)
        axes.set_xlim(places[0], places[-1])
    else:
        bottom = np.zeros(len(places))
        for k, label in enumerate(labels):
            axes.bar(places, drawn[:, k], 0.72, bottom, color=colors[k], label=shorten(label, 24))
            bottom += drawn[:, k]
    axes.set_ylim(0, 1)
    handles, texts = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], texts[::-1], loc="upper left", bbox_to_anchor=(1.01, 1.0))
