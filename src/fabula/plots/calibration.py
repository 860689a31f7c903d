"""The reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fabula.core.errors import DataError
from fabula.evaluation.calibration_error import CalibrationError
from fabula.evaluation.reliability import ReliabilityCurve
from fabula.plots.style import (
    GREY,
    INK,
    class_color,
    lighten,
    new_figure,
    shorten,
    styled,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["reliability"]

_PER_ROW = 4


@styled
def reliability(
    curves: ReliabilityCurve | Sequence[ReliabilityCurve], *, title: str | None = None
) -> Figure:
    """Draw what happened against what was stated, one panel for each model.

    Parameters
    ----------
    curves : ReliabilityCurve or sequence of them
        From :func:`fabula.evaluation.reliability.reliability_curve`.
    title : str, optional
        What the picture shows.

    Returns
    -------
    matplotlib.figure.Figure
        For each model the diagonal of perfect calibration, bins with intervals, the smooth curve
        with its band, and below a histogram of the stated probabilities.
    """
    panels = [curves] if isinstance(curves, ReliabilityCurve) else list(curves)
    if not panels:
        raise DataError("there is no reliability curve to draw.")
    n_across = min(len(panels), _PER_ROW)
    n_down = -(-len(panels) // _PER_ROW)
    figure = new_figure(3.3 * n_across + 0.7, 4.5 * n_down + (0.45 if title else 0.1))
    grid = figure.subplots(
        2 * n_down, n_across, squeeze=False, sharex=True, height_ratios=[4, 1] * n_down
    )
    for place, curve in enumerate(panels):
        down, across = divmod(place, _PER_ROW)
        diagram, histogram = grid[2 * down][across], grid[2 * down + 1][across]
        _diagram(diagram, curve, class_color(place))
        _histogram(histogram, curve, class_color(place))
        if across == 0:
            diagram.set_ylabel("share that happened")
            histogram.set_ylabel("rows")
    for place in range(len(panels), n_across * n_down):
        down, across = divmod(place, _PER_ROW)
        grid[2 * down][across].set_visible(False)
        grid[2 * down + 1][across].set_visible(False)
    write_title(figure, title)
    return figure


def _diagram(axes: Axes, curve: ReliabilityCurve, color: str) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="perfect")
    x = curve.smooth_probability
    axes.fill_between(
        x, curve.smooth_low, curve.smooth_high, color=lighten(color, 0.75), linewidth=0
    )
    axes.plot(x, curve.smooth_frequency, color=color, label="smooth")
    below = curve.bin_frequency - curve.bin_low
    above = curve.bin_high - curve.bin_frequency
    axes.errorbar(
        curve.bin_probability,
        curve.bin_frequency,
        yerr=np.maximum([below, above], 0.0),
        fmt="o",
        color=INK,
        markersize=3.5,
        elinewidth=0.8,
        label="bins",
    )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.tick_params(labelbottom=False)
    axes.set_title(shorten(curve.label or "model", 34))
    text = f"ECE {_error(curve.ece)}\nsmooth ECE {_error(curve.smooth_ece)}"
    # In the corner that is emptier: most models stay near the diagonal, but not all.
    x, y = curve.bin_probability, curve.bin_frequency
    at_top = np.sum((x < 0.7) & (y > 0.8)) <= np.sum((x > 0.3) & (y < 0.2))
    place, align = (
        ((0.03, 0.97), ("left", "top")) if at_top else ((0.97, 0.03), ("right", "bottom"))
    )
    axes.text(
        *place, text, transform=axes.transAxes, ha=align[0], va=align[1], fontsize=8.5,
        linespacing=1.4, bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip


def _error(error: CalibrationError) -> str:
    if np.isnan(error.low):
        return f"{error.value:.3f}"
    return f"{error.value:.3f} [{error.low:.3f}, {error.high:.3f}]"


def _histogram(axes: Axes, curve: ReliabilityCurve, color: str) -> None:
    axes.stairs(
        curve.histogram_counts, curve.histogram_edges, fill=True, color=lighten(color, 0.35)
    )
    axes.set_ylim(bottom=0)
    axes.tick_params(labelbottom=True)
    axes.locator_params(axis="y", nbins=3)
    stated = {
        "positive": "stated probability",
        "top_label": "probability of the likeliest class",
    }
    axes.set_xlabel(stated.get(curve.kind, f"stated probability of {curve.kind}"))
