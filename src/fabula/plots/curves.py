"""Storytellers and dividers as rows are added and as cells go missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.core.errors import DataError
from fabula.evaluation.curves import Curve
from fabula.plots.style import (
    class_color,
    label_lines,
    lighten,
    new_figure,
    shorten,
    styled,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["learning_curves", "missing_curves"]

_DASH: dict[str, Any] = {"storyteller": "-", "divider": (0, (5, 2))}
_MARKER = {"storyteller": "o", "divider": "s"}


@styled
def learning_curves(curves: Sequence[Curve], *, title: str | None = None) -> Figure:
    """Draw scores over the number of training rows, on a logarithmic scale.

    Parameters
    ----------
    curves : sequence of Curve
        ``x`` is rows. Storytellers are drawn solid, dividers dashed.
    title : str, optional
        What the picture shows.
    """
    figure, axes = _start(curves)
    axes.set_xscale("log")
    settings = np.unique(np.concatenate([curve.x for curve in curves]))
    if settings[0] <= 0:
        raise DataError(f"a learning curve has {settings[0]:g} training rows; expected 1 or more.")
    ticks = _spaced(settings)
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("training rows (log scale)")
    return _finish(figure, axes, curves, title)


@styled
def missing_curves(curves: Sequence[Curve], *, title: str | None = None) -> Figure:
    """Draw scores over the share of cells that are missing.

    Parameters
    ----------
    curves : sequence of Curve
        ``x`` is a share, 0 … 1. Storytellers are drawn solid, dividers dashed.
    title : str, optional
        What the picture shows.
    """
    from matplotlib.ticker import PercentFormatter

    figure, axes = _start(curves)
    if any(curve.x[0] < 0 or curve.x[-1] > 1 for curve in curves):
        raise DataError("a curve of missing cells has settings outside 0 … 1; expected shares.")
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1.0))
    if all(curve.x.size == 1 for curve in curves):
        axes.set_xlim(-0.03, 1.03)
    axes.set_xlabel("cells missing")
    return _finish(figure, axes, curves, title)


def _start(curves: Sequence[Curve]) -> tuple[Figure, Axes]:
    if not curves:
        raise DataError("there is no curve to draw.")
    metrics = sorted({curve.metric for curve in curves})
    if len(metrics) > 1:
        raise DataError(
            f"the curves are of different scores ({', '.join(metrics)}): draw them apart."
        )
    for curve in curves:
        if not np.isfinite(curve.mean).any():
            raise DataError(f"curve {curve.label!r} has no finite score: there is nothing to draw.")
    figure = new_figure(7.2, 4.4)
    axes = figure.subplots()
    for k, curve in enumerate(curves):
        color = class_color(k)
        axes.fill_between(
            curve.x, curve.low, curve.high, color=lighten(color, 0.6), alpha=0.35, linewidth=0
        )
        axes.plot(
            curve.x,
            curve.mean,
            color=color,
            linestyle=_DASH[curve.kind],
            marker=_MARKER[curve.kind],
            markersize=4,
            label=curve.label,
        )
    axes.set_ylabel(metrics[0])
    return figure, axes


def _finish(figure: Figure, axes: Axes, curves: Sequence[Curve], text: str | None) -> Figure:
    axes.set_ylim(*_limits(curves))
    write_title(figure, text)
    ends = [float(curve.mean[np.isfinite(curve.mean)][-1]) for curve in curves]
    names = [shorten(curve.label, 28) for curve in curves]
    label_lines(axes, names, ends, [class_color(k) for k in range(len(curves))])
    kinds = {curve.kind for curve in curves}
    if len(kinds) > 1:
        from matplotlib.lines import Line2D

        handles = [
            Line2D(
                [], [], color="#555555", linestyle=_DASH[kind], marker=_MARKER[kind], label=meaning
            )
            for kind, meaning in (
                ("storyteller", "tells how each class looks"),
                ("divider", "draws the border only"),
            )
        ]
        axes.legend(handles=handles, loc="best", handlelength=3)
    return figure


def _limits(curves: Sequence[Curve]) -> tuple[float, float]:
    """Range of the means, with the intervals where they do not squeeze the means together."""
    means = np.concatenate([curve.mean[np.isfinite(curve.mean)] for curve in curves])
    ends = np.concatenate([np.concatenate([curve.low, curve.high]) for curve in curves])
    ends = ends[np.isfinite(ends)]
    low, high = float(means.min()), float(means.max())
    room = max(high - low, 1e-3 * max(abs(high), 1.0))
    if ends.size:
        low = max(min(low, float(ends.min())), low - 0.5 * room)
        high = min(max(high, float(ends.max())), high + 0.5 * room)
    return low - 0.06 * room, high + 0.06 * room


def _spaced(settings: np.ndarray) -> list[float]:
    """Settings to write under a logarithmic axis, those left out that would overlap."""
    span = np.log(settings[-1] / settings[0]) or 1.0
    kept = [float(settings[0])]
    for value in settings[1:]:
        if np.log(value / kept[-1]) >= 0.09 * span:
            kept.append(float(value))
    return kept
