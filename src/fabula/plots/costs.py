"""What deciding by a model costs, beside treating everybody and nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fabula.core.errors import DataError, UsageError
from fabula.evaluation.costs import CostCurve
from fabula.plots.style import (
    GREY,
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

__all__ = ["cost_curve"]


@styled
def cost_curve(
    curves: CostCurve | Sequence[CostCurve],
    *,
    quantity: Literal["cost", "net benefit"] = "cost",
    intervals: bool | None = None,
    title: str | None = None,
) -> Figure:
    """Draw expected costs, or net benefit, over the ratio of the two costs.

    Parameters
    ----------
    curves : CostCurve or sequence of them
        From :func:`fabula.evaluation.costs.cost_curve`, of the same rows.
    quantity : {"cost", "net benefit"}
        ``"net benefit"`` draws the decision curve of Vickers and Elkin (2006).
    intervals : bool, optional
        Shade the interval of the cost; by default only where a single model is drawn.
    title : str, optional
        What the picture shows.
    """
    lines = [curves] if isinstance(curves, CostCurve) else list(curves)
    if not lines:
        raise DataError("there is no cost curve to draw.")
    if quantity not in ("cost", "net benefit"):
        raise UsageError(f"quantity is {quantity!r}; expected 'cost' or 'net benefit'.")
    if len({round(line.prevalence, 9) for line in lines}) > 1:
        raise DataError(
            "the cost curves have different shares of cases, so they are not of the same rows and "
            "treating everybody costs something else in each; draw them apart."
        )
    figure = new_figure(7.2, 4.7)
    axes = figure.subplots()
    shaded = len(lines) == 1 if intervals is None else intervals
    ends, names, colors = _draw(axes, lines, quantity, shaded)
    first = lines[0]
    axes.set_xscale("log")
    axes.set_xlim(first.cost_ratios[0], first.cost_ratios[-1])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("cost of a missed case, in false alarms (log scale)")
    _threshold_axis(axes)
    if quantity == "cost":
        axes.set_ylabel("expected cost per case\n(false alarm + missed case = 1)")
        # Where one default is worse than the other nobody would choose it: cut that off.
        best = np.minimum(first.treat_all, first.treat_none).max()
        axes.set_ylim(0, 1.2 * max(best, max(line.cost.max() for line in lines)))
        _name_defaults(axes, first)
    else:
        axes.set_ylabel("net benefit (true positives per case)")
        axes.set_ylim(-0.15 * first.prevalence, 1.08 * first.prevalence)
    figure.draw_without_rendering()
    label_lines(axes, names, ends, colors)
    write_title(figure, title)
    return figure


def _draw(
    axes: Axes, lines: Sequence[CostCurve], quantity: str, shaded: bool
) -> tuple[list[float], list[str], list[str]]:
    first = lines[0]
    is_cost = quantity == "cost"
    everybody = first.treat_all if is_cost else first.net_benefit_treat_all
    nobody = first.treat_none if is_cost else np.zeros_like(first.thresholds)
    ends: list[float] = []
    names: list[str] = []
    colors: list[str] = []
    for name, y, dash in (
        ("treat all", everybody, (0, (5, 2))),
        ("treat none", nobody, (0, (1, 1))),
    ):
        axes.plot(first.cost_ratios, y, color=GREY, linewidth=1.4, linestyle=dash, label=name)
        if not is_cost:
            ends.append(float(y[-1]))
            names.append(name)
            colors.append(GREY)
    for k, line in enumerate(lines):
        name, color = shorten(line.label or "model", 26), class_color(k)
        weight = 1.0 if is_cost else 1 / (1 - line.thresholds)
        if shaded:
            low, high = line.low * weight, line.high * weight
            if not is_cost:
                low, high = line.prevalence - high, line.prevalence - low
            axes.fill_between(line.cost_ratios, low, high, color=lighten(color, 0.8), linewidth=0)
        y = line.cost if is_cost else line.net_benefit
        axes.plot(line.cost_ratios, y, color=color, label=name)
        ends.append(float(y[-1]))
        names.append(name)
        colors.append(color)
    return ends, names, colors


def _name_defaults(axes: Axes, curve: CostCurve) -> None:
    """Name the two defaults where they leave the picture, outside of the wedge they form."""
    height = 0.93 * axes.get_ylim()[1]
    x = np.log(curve.cost_ratios)
    # Treating all gets cheaper as the ratio rises, and treating none dearer.
    falls = float(np.exp(np.interp(-height, -curve.treat_all, x)))
    rises = float(np.exp(np.interp(height, curve.treat_none, x)))
    for name, place, side in (("treat all", falls, "right"), ("treat none", rises, "left")):
        axes.annotate(
            name,
            (place, height),
            xytext=(-6 if side == "right" else 6, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            color=GREY,
            fontsize=9,
        )


def _threshold_axis(axes: Axes) -> None:
    """Second axis on top: the probability from which treating is cheaper."""
    top = axes.secondary_xaxis("top", functions=(_threshold, _ratio))
    low, high = axes.get_xlim()
    wanted = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99])
    inside = wanted[(wanted >= 1 / (1 + high) - 1e-9) & (wanted <= 1 / (1 + low) + 1e-9)]
    top.set_xscale("function", functions=(_minus_logit, _inverse_minus_logit))
    top.set_xticks(inside, [f"{t:g}" for t in inside])
    top.minorticks_off()
    top.set_xlabel("treat from this probability on", fontsize=9)
    top.spines["top"].set_visible(False)


def _threshold(ratio: Any) -> Any:
    return 1 / (1 + np.asarray(ratio))


def _ratio(threshold: Any) -> Any:
    return 1 / np.maximum(threshold, 1e-9) - 1


def _minus_logit(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 1e-9, 1 - 1e-9)
    return np.asarray(np.log1p(-t) - np.log(t))


def _inverse_minus_logit(u: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(u)))
