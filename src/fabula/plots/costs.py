"""What deciding by a model costs, beside treating everybody and nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fabula.core.errors import DataError, UsageError
from fabula.evaluation.costs import CostCurve
from fabula.evaluation.predictions import Floats
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
    first = lines[0]
    if first.cost_ratios.size < 2 or any(
        not np.array_equal(line.cost_ratios, first.cost_ratios) for line in lines
    ):
        raise DataError("the cost curves must share their cost ratios, and have at least two.")
    figure = new_figure(7.2, 4.7)
    axes = figure.subplots()
    is_cost = quantity == "cost"
    _models(axes, lines, is_cost, len(lines) == 1 if intervals is None else intervals)
    defaults = _defaults(axes, first, is_cost)
    axes.set_xscale("log")
    axes.set_xlim(first.cost_ratios[0], first.cost_ratios[-1])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("cost of a missed case, in false alarms (log scale)")
    _threshold_axis(axes)
    if is_cost:
        axes.set_ylabel("expected cost per case\n(false alarm + missed case = 1)")
        # Where one default is worse than the other nobody would choose it: cut that off.
        best = np.minimum(first.treat_all, first.treat_none).max()
        axes.set_ylim(0, 1.2 * max(best, max(line.cost.max() for line in lines)))
    else:
        axes.set_ylabel("net benefit (true positives per case)")
        axes.set_ylim(-0.15 * first.prevalence, 1.08 * first.prevalence)
    write_title(figure, title)
    named = [
        (_name(line), _height(line, is_cost)[-1], class_color(k)) for k, line in enumerate(lines)
    ]
    for name, y in defaults.items():
        if is_cost and y.max() > axes.get_ylim()[1]:
            _name_inside(axes, name, first.cost_ratios, y)
        else:
            named.append((name, y[-1], GREY))
    label_lines(axes, *zip(*named, strict=True))
    return figure


def _name(line: CostCurve) -> str:
    return shorten(line.label or "model", 26)


def _height(line: CostCurve, is_cost: bool) -> Floats:
    return line.cost if is_cost else line.net_benefit


def _models(axes: Axes, lines: Sequence[CostCurve], is_cost: bool, shaded: bool) -> None:
    for k, line in enumerate(lines):
        color = class_color(k)
        if shaded:
            low, high = line.low, line.high
            if not is_cost:
                weight = 1 / (1 - line.thresholds)
                low, high = line.prevalence - high * weight, line.prevalence - low * weight
            axes.fill_between(line.cost_ratios, low, high, color=lighten(color, 0.8), linewidth=0)
        axes.plot(line.cost_ratios, _height(line, is_cost), color=color, label=_name(line))


def _defaults(axes: Axes, curve: CostCurve, is_cost: bool) -> dict[str, Floats]:
    everybody = curve.treat_all if is_cost else curve.net_benefit_treat_all
    nobody = curve.treat_none if is_cost else np.zeros_like(curve.thresholds)
    defaults = {"treat all": everybody, "treat none": nobody}
    for (name, y), dash in zip(defaults.items(), ((0, (5, 2)), (0, (1, 1))), strict=True):
        axes.plot(curve.cost_ratios, y, color=GREY, linewidth=1.4, linestyle=dash, label=name)
    return defaults


def _name_inside(axes: Axes, name: str, ratios: Floats, y: Floats) -> None:
    """Name a default where its line leaves the picture, on the side where it is above."""
    height = 0.93 * axes.get_ylim()[1]
    falls = y[0] > y[-1]
    order = slice(None, None, -1) if falls else slice(None)
    place = float(np.exp(np.interp(height, y[order], np.log(ratios)[order])))
    axes.annotate(
        name,
        (place, height),
        xytext=(-6 if falls else 6, 0),
        textcoords="offset points",
        ha="right" if falls else "left",
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
