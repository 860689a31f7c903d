"""Which column spoke for which class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.errors import DataError, UsageError
from fabula.plots.style import (
    GREY,
    INK,
    check_names,
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

__all__ = ["contributions"]


@styled
def contributions(
    names: Sequence[object],
    values: ArrayLike,
    *,
    prior: ArrayLike = 0.0,
    remainder: ArrayLike = 0.0,
    classes: Sequence[object] | None = None,
    target: int = 1,
    against: int = 0,
    cells: Sequence[object] | None = None,
    max_bars: int = 12,
    title: str | None = None,
) -> Figure:
    """Draw how much each column of one row spoke for one class and against another.

    The bars add up to the log-odds at the bottom.

    Parameters
    ----------
    names : sequence of d names
        Columns.
    values : array-like (d,) or (K, d)
        Evidence in nats: for ``target`` over ``against``, or for each class over a common
        reference (then the difference of the two classes is drawn).
    prior : float or array-like (K,)
        Log prior odds, in the same form.
    remainder : float or array-like (K,)
        What the columns say only together, beyond their single contributions.
    classes : sequence of K names, optional
    target, against : int
        Codes of the two classes.
    cells : sequence of d values, optional
        The row itself, written beside the names.
    max_bars : int
        Columns drawn; the ones that say least are summed into one bar.
    title : str, optional
        What the picture shows.
    """
    evidence, of_prior, of_rest = _contrast(values, prior, remainder, target, against)
    if len(names) != evidence.size:
        raise UsageError(f"{len(names)} names were given for {evidence.size} columns.")
    if cells is not None and len(cells) != evidence.size:
        raise UsageError(f"{len(cells)} cells were given for {evidence.size} columns.")
    if max_bars < 1:
        raise UsageError(f"max_bars is {max_bars}; expected at least 1.")
    n_classes = max(target, against) + 1 if classes is None else len(classes)
    if not (0 <= target < n_classes and 0 <= against < n_classes) or target == against:
        raise UsageError(
            f"target is {target} and against {against}; expected two different class codes "
            f"0 … {n_classes - 1}."
        )
    labels = check_names(classes, n_classes, "class")
    bars = _bars(names, evidence, of_prior, of_rest, cells, max_bars)
    log_odds = float(of_prior + evidence.sum() + of_rest)
    figure = new_figure(7.4, 1.5 + 0.32 * (len(bars) + 1))
    axes = figure.subplots()
    _draw(axes, bars, log_odds, (labels[target], labels[against]), (target, against))
    write_title(figure, title)
    return figure


def _contrast(
    values: ArrayLike, prior: ArrayLike, remainder: ArrayLike, target: int, against: int
) -> tuple[NDArray[np.float64], float, float]:
    array = np.asarray(values, dtype=np.float64)
    evidence = finite(array, "values", 2 if array.ndim == 2 else 1)
    single = []
    for name, given in (("prior", prior), ("remainder", remainder)):
        part = finite(np.atleast_1d(np.asarray(given, dtype=np.float64)), name, 1)
        if evidence.ndim == 2 and part.size == 1:
            part = np.where(np.arange(evidence.shape[0]) == target, part, 0.0)
        if part.size != (1 if evidence.ndim == 1 else evidence.shape[0]):
            raise DataError(
                f"{name} has {part.size} values; expected one, or one for each class where values "
                "are (K, d)."
            )
        single.append(part)
    if evidence.ndim == 1:
        return evidence, float(single[0][0]), float(single[1][0])
    if not (0 <= target < len(evidence) and 0 <= against < len(evidence)):
        raise UsageError(
            f"target is {target} and against {against}; values hold the classes "
            f"0 … {len(evidence) - 1}."
        )
    of_prior, of_rest = (float(part[target] - part[against]) for part in single)
    return evidence[target] - evidence[against], of_prior, of_rest


def _bars(
    names: Sequence[object],
    evidence: NDArray[np.float64],
    of_prior: float,
    of_rest: float,
    cells: Sequence[object] | None,
    max_bars: int,
) -> list[tuple[str, float]]:
    """Label and length of each bar, from the top."""
    order = np.argsort(-np.abs(evidence), kind="stable")
    # A single column left over is drawn under its own name.
    n_shown = max_bars if evidence.size > max_bars + 1 else evidence.size
    bars = [("before any column (prior)", of_prior)]
    for j in order[:n_shown]:
        label = shorten(names[j], 26)
        if cells is not None:
            label += f" = {_cell(cells[j])}"
        bars.append((label, float(evidence[j])))
    rest = order[n_shown:]
    if rest.size:
        bars.append((f"{rest.size} other columns", float(evidence[rest].sum())))
    if abs(of_rest) > 1e-9:
        bars.append(("columns taken together", of_rest))
    return bars


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "missing"
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    return shorten(value, 16)


def _draw(
    axes: Axes,
    bars: list[tuple[str, float]],
    log_odds: float,
    labels: tuple[str, str],
    codes: tuple[int, int],
) -> None:
    lengths = np.array([length for _, length in bars] + [log_odds])
    places = np.concatenate([-np.arange(len(bars), dtype=float), [-len(bars) - 0.4]])
    colors = [class_color(codes[0] if length >= 0 else codes[1]) for length in lengths]
    shades = [lighten(color, 0.25) for color in colors[:-1]] + [lighten(colors[-1], 0.0)]
    axes.barh(places, lengths, height=0.68, color=shades)
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.axhline(-len(bars) + 0.3, color=GREY, linewidth=0.6)
    room = float(np.abs(lengths).max()) or 1.0
    # Two decimals, and more where all of the bars are short.
    decimals = int(np.clip(1 - np.floor(np.log10(room)), 2, 6))
    for place, length in zip(places, lengths, strict=True):
        side = 1 if length >= 0 else -1
        axes.text(
            length + 0.015 * room * side,
            place,
            _nats(length, decimals),
            va="center",
            ha="left" if side > 0 else "right",
            fontsize=8.5,
        )
    probability = 1 / (1 + np.exp(-np.clip(log_odds, -700, 700)))
    axes.set_yticks(places, [label for label, _ in bars] + ["log-odds"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    low, high = min(0.0, float(lengths.min())), max(0.0, float(lengths.max()))
    # Room for the numbers at the ends of the bars.
    beside = (0.02 + 0.03 * len(_nats(log_odds, decimals))) * room
    axes.set_xlim(low - (beside if low < 0 else 0.02 * room), high + beside)
    axes.set_ylim(places[-1] - 0.6, 0.7)
    first, second = (shorten(label, 20) for label in labels)
    axes.set_xlabel(f"nats  (← for {second}   |   for {first} →)", loc="right")
    # At the right, because a long line may reach over the names of the columns.
    axes.set_title(
        f"{_nats(log_odds, decimals)} nats in all: probability of {first} against {second} "
        f"{_percent(probability)}",
        fontsize=9.5,
        loc="right",
    )


def _nats(length: float, decimals: int) -> str:
    return f"{length:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _percent(probability: float) -> str:
    if 0.001 <= probability <= 0.999:
        return f"{100 * probability:.1f} %"
    return "below 0.1 %" if probability < 0.5 else "above 99.9 %"
