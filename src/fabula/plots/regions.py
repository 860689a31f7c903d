"""How classes share one column, and how they share the plane of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.errors import DataError
from fabula.plots.style import (
    GREY,
    INK,
    check_names,
    class_color,
    class_colors,
    class_marker,
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

__all__ = ["class_densities", "decision_regions"]

_MAX_RUG = 400
_MAX_POINTS = 3000


@styled
def class_densities(
    x: ArrayLike,
    densities: ArrayLike,
    prior: ArrayLike,
    *,
    values: ArrayLike | None = None,
    codes: ArrayLike | None = None,
    classes: Sequence[object] | None = None,
    name: str = "x",
    title: str | None = None,
) -> Figure:
    """Draw the density of one column in each class, weighted by the prior.

    Where two curves cross, the classes are equally probable: that is where a decision with equal
    costs changes, drawn as a thin line.

    Parameters
    ----------
    x : array-like (m,)
        Grid, rising, in the units of the column.
    densities : array-like (m, K)
        Density of the column in each class, per unit of ``x``, not weighted.
    prior : array-like (K,)
        Probabilities of the classes.
    values, codes : array-like (n,), optional
        Data for the rug below: the column and the class code of each row (-1 not known). Missing
        values are left out.
    classes : sequence, optional
        Names of the classes.
    name : str
        Name of the column with its unit, for the axis.
    title : str, optional
        What the picture shows.
    """
    grid = finite(x, "x", 1)
    density = finite(densities, "densities", 2)
    weights = finite(prior, "prior", 1)
    if density.shape != (grid.size, weights.size) or (np.diff(grid) <= 0).any():
        raise DataError(
            f"x has the shape {grid.shape}, densities {density.shape} and prior {weights.shape}; "
            "expected a rising grid (m,), (m, K) and (K,)."
        )
    names = check_names(classes, weights.size, "class")
    figure = new_figure(7.2, 4.2)
    with_rug = values is not None
    axes, rug = (
        figure.subplots(2, 1, sharex=True, height_ratios=[6, 0.35 * weights.size + 0.2])
        if with_rug
        else (figure.subplots(), None)
    )
    joint = density * weights
    for k, label in enumerate(names):
        color = class_color(k)
        axes.fill_between(grid, joint[:, k], color=lighten(color, 0.55), alpha=0.45, linewidth=0)
        axes.plot(
            grid, joint[:, k], color=color, label=f"{shorten(label, 24)} (prior {weights[k]:.2g})"
        )
    for border in _crossings(grid, joint):
        axes.axvline(border, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.set_xlim(grid[0], grid[-1])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("prior × density")
    axes.legend(loc="best")
    if rug is not None and values is not None:
        _rug(rug, values, codes, names, grid)
    (rug or axes).set_xlabel(name)
    write_title(figure, title)
    return figure


@styled
def decision_regions(
    xs: ArrayLike,
    ys: ArrayLike,
    probabilities: ArrayLike,
    *,
    points: ArrayLike | None = None,
    codes: ArrayLike | None = None,
    classes: Sequence[object] | None = None,
    names: tuple[str, str] = ("x", "y"),
    title: str | None = None,
) -> Figure:
    """Draw the posterior probabilities over two columns, with the border between the classes.

    The colour fades where the model is not sure. With two classes, thin lines show where the
    probability is 0.1 and 0.9.

    Parameters
    ----------
    xs : array-like (nx,), ys : array-like (ny,)
        Evenly spaced grids, rising.
    probabilities : array-like (ny, nx, K)
        Posterior probabilities on the grid.
    points : array-like (n, 2), optional
        Rows to draw on top; those with missing cells are left out, and of more than 3,000 every
        k-th is drawn.
    codes : array-like (n,), optional
        Class code of each row; -1 (not known) is drawn as a grey cross.
    classes : sequence, optional
        Names of the classes.
    names : (str, str)
        Names of the two columns with their units.
    title : str, optional
        What the picture shows.
    """
    from matplotlib.colors import to_rgb

    across, up = finite(xs, "xs", 1), finite(ys, "ys", 1)
    stated = finite(probabilities, "probabilities", 3)
    if stated.shape[:2] != (up.size, across.size) or min(up.size, across.size) < 2:
        raise DataError(
            f"probabilities have the shape {stated.shape}; expected (ny, nx, K) for ys of "
            f"{up.size} and xs of {across.size} points, at least two each."
        )
    if (np.diff(across) <= 0).any() or (np.diff(up) <= 0).any():
        raise DataError("xs and ys must rise.")
    labels = check_names(classes, stated.shape[2], "class")
    figure = new_figure(6.8, 5.0)
    axes = figure.subplots()
    palette = np.array([to_rgb(color) for color in class_colors(len(labels))])
    # Half the way to white keeps the points readable on top.
    picture = 1 - 0.5 * (1 - np.clip(stated, 0, 1) @ palette)
    half_x, half_y = (across[1] - across[0]) / 2, (up[1] - up[0]) / 2
    axes.imshow(
        np.clip(picture, 0, 1),
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
        extent=(across[0] - half_x, across[-1] + half_x, up[0] - half_y, up[-1] + half_y),
    )
    _borders(axes, across, up, stated)
    if points is not None:
        _points(axes, points, codes, labels)
    else:
        for k, label in enumerate(labels):
            axes.plot([], [], "s", color=lighten(class_color(k), 0.5), label=shorten(label, 24))
    axes.set_xlim(across[0], across[-1])
    axes.set_ylim(up[0], up[-1])
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), handletextpad=0.3)
    write_title(figure, title)
    return figure


def _crossings(grid: NDArray[np.float64], joint: NDArray[np.float64]) -> list[float]:
    """Places where the class of the highest curve changes."""
    best = joint.argmax(axis=1)
    borders = []
    for i in np.flatnonzero(np.diff(best)):
        ahead = joint[i : i + 2, best[i]] - joint[i : i + 2, best[i + 1]]
        share = ahead[0] / (ahead[0] - ahead[1]) if ahead[0] != ahead[1] else 0.5
        # Far out all densities vanish and the order of the curves is rounding.
        if joint[i].max() > 1e-4 * joint.max():
            borders.append(float(grid[i] + share * (grid[i + 1] - grid[i])))
    return borders


def _rug(
    axes: Axes,
    values: ArrayLike,
    codes: ArrayLike | None,
    names: list[str],
    grid: NDArray[np.float64],
) -> None:
    column, code = _rows(values, codes, 1)
    inside = (column >= grid[0]) & (column <= grid[-1])
    unknown = np.any(inside & (code < 0))
    for k in range(-1, len(names)):
        mine = column[inside & (code == k)]
        mine = np.sort(mine)[:: max(1, -(-mine.size // _MAX_RUG))]
        row = len(names) - 1 - k if k >= 0 else len(names)
        color = class_color(k) if k >= 0 else GREY
        axes.vlines(mine, row - 0.38, row + 0.38, color=color, linewidth=0.7, alpha=0.6)
    ticks = [len(names) - 1 - k for k in range(len(names))]
    shown = [shorten(name, 20) for name in names]
    if unknown:
        ticks.append(len(names))
        shown.append("not labelled")
    axes.set_yticks(ticks, shown, fontsize=8)
    axes.set_ylim(-0.6, max(ticks) + 0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _borders(
    axes: Axes,
    across: NDArray[np.float64],
    up: NDArray[np.float64],
    stated: NDArray[np.float64],
) -> None:
    for k in range(stated.shape[2] if stated.shape[2] > 2 else 1):
        others = np.delete(stated, k, axis=2).max(axis=2)
        lead = stated[:, :, k] - others
        if lead.min() < 0 < lead.max():
            axes.contour(across, up, lead, levels=[0.0], colors=INK, linewidths=1.3)
    if stated.shape[2] == 2:
        levels = [p for p in (0.1, 0.9) if stated[:, :, 1].min() < p < stated[:, :, 1].max()]
        if levels:
            lines = axes.contour(
                across, up, stated[:, :, 1], levels=levels, colors=INK, linewidths=0.6
            )
            axes.clabel(lines, fmt="%g", fontsize=7.5)


def _points(axes: Axes, points: ArrayLike, codes: ArrayLike | None, labels: list[str]) -> None:
    place, code = _rows(points, codes, 2)
    step = max(1, -(-len(place) // _MAX_POINTS))
    place, code = place[::step], code[::step]
    if np.any(code < 0):
        axes.plot(*place[code < 0].T, "x", color="#555555", markersize=4, label="not labelled")
    for k, label in enumerate(labels):
        axes.plot(
            *place[code == k].T,
            class_marker(k),
            color=class_color(k),
            markeredgecolor="white",
            markeredgewidth=0.5,
            markersize=5,
            label=shorten(label, 24),
        )


def _rows(
    values: ArrayLike, codes: ArrayLike | None, ndim: int
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Complete rows and their class codes, -1 for all when none are given."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim or (ndim == 2 and array.shape[1] != 2):
        wanted = "(n,)" if ndim == 1 else "(n, 2)"
        raise DataError(f"the rows to draw have the shape {array.shape}; expected {wanted}.")
    code = np.full(len(array), -1) if codes is None else np.asarray(codes)
    if code.shape != (len(array),):
        raise DataError(f"codes have the shape {code.shape}; expected ({len(array)},).")
    complete = np.isfinite(array if ndim == 1 else array.sum(axis=1))
    return array[complete], code[complete].astype(np.intp)
