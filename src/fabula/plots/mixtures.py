"""Components of a mixture over the data they explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.errors import DataError, UsageError
from fabula.plots.style import (
    GREY,
    check_names,
    class_color,
    finite,
    new_figure,
    shorten,
    styled,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["components"]

_MAX_POINTS = 4000


@styled
def components(
    data: ArrayLike,
    means: ArrayLike,
    covariances: ArrayLike,
    weights: ArrayLike,
    *,
    columns: tuple[int, int] = (0, 1),
    masses: Sequence[float] = (0.5, 0.95),
    codes: ArrayLike | None = None,
    labels: Sequence[object] | None = None,
    names: Sequence[object] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the normal components of a mixture as ellipses over two columns of the data.

    Parameters
    ----------
    data : array-like (n, d)
        Rows; those where one of the two columns is missing are left out, and of more than 4,000
        every k-th is drawn.
    means : array-like (K, d)
    covariances : array-like (K, d, d) or (K, d)
        Covariance of each component; two axes mean variances of independent columns.
    weights : array-like (K,)
        Share of each component; heavier components have thicker lines.
    columns : (int, int)
        The two columns that are drawn; the others are integrated out.
    masses : sequence of float
        Share of a component inside each of its ellipses.
    codes : array-like (n,), optional
        Component (or class) of each row, for the colour of its point.
    labels : sequence of K names, optional
    names : sequence of d names, optional
        Columns with their units.
    title : str, optional
        What the picture shows.
    """
    centre = finite(means, "means", 2)
    share = finite(weights, "weights", 1)
    given = np.asarray(covariances, dtype=np.float64)
    spread = finite(given, "covariances", 3 if given.ndim == 3 else 2)
    n_members, n_columns = centre.shape
    if spread.ndim == 2:
        spread = spread[:, :, None] * np.eye(spread.shape[1])
    if spread.shape != (n_members, n_columns, n_columns) or share.shape != (n_members,):
        raise DataError(
            f"means have the shape {centre.shape}, covariances {given.shape} and weights "
            f"{share.shape}; expected (K, d), (K, d, d) or (K, d), and (K,)."
        )
    i, j = columns
    if i == j or not (0 <= i < n_columns and 0 <= j < n_columns):
        raise UsageError(
            f"columns are {columns}; expected two different positions 0 … {n_columns - 1}."
        )
    if not masses or not all(0 < mass < 1 for mass in masses):
        raise UsageError(f"masses are {tuple(masses)}; expected shares between 0 and 1.")
    rows = np.asarray(data, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != n_columns:
        raise DataError(f"data have the shape {rows.shape}; expected (n, {n_columns}).")
    member_names = check_names(labels, n_members, "component")
    column_names = check_names(names, n_columns, "column")
    figure = new_figure(6.8, 5.0)
    axes = figure.subplots()
    _points(axes, rows[:, [i, j]], codes)
    for k, label in enumerate(member_names):
        block = spread[k][np.ix_([i, j], [i, j])]
        _ellipses(axes, k, centre[k, [i, j]], block, float(share[k]), masses, label)
    axes.autoscale_view()
    axes.set_xlabel(shorten(column_names[i], 60))
    axes.set_ylabel(shorten(column_names[j], 60))
    shares = " and ".join(f"{100 * mass:g} %" for mass in sorted(masses))
    axes.set_title(f"ellipses hold {shares} of each component", fontsize=9, color="#555555")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    write_title(figure, title)
    return figure


def _points(axes: Axes, rows: NDArray[np.float64], codes: ArrayLike | None) -> None:
    code = np.full(len(rows), -1) if codes is None else np.asarray(codes)
    if code.shape != (len(rows),):
        raise DataError(f"codes have the shape {code.shape}; expected ({len(rows)},).")
    complete = np.isfinite(rows).all(axis=1)
    step = max(1, -(-int(complete.sum()) // _MAX_POINTS))
    rows, code = rows[complete][::step], code[complete][::step]
    for k in np.unique(code):
        mine = rows[code == k]
        axes.plot(
            *mine.T,
            ".",
            color=GREY if k < 0 else class_color(int(k)),
            markersize=5.5,
            alpha=0.55,
            markeredgewidth=0,
            zorder=1,
        )


def _ellipses(
    axes: Axes,
    k: int,
    centre: NDArray[np.float64],
    block: NDArray[np.float64],
    share: float,
    masses: Sequence[float],
    label: str,
) -> None:
    from matplotlib.patches import Ellipse

    length, direction = np.linalg.eigh(block)
    if length[0] < -1e-9 * max(length[1], 1e-300):
        raise DataError(f"the covariance of {label} is not positive semi-definite.")
    axis = np.sqrt(np.maximum(length, 0.0))
    angle = float(np.degrees(np.arctan2(direction[1, 1], direction[0, 1])))
    color = class_color(k)
    for mass in masses:
        # Squared Mahalanobis radii of two normal columns are exponential with mean 2.
        radius = float(np.sqrt(-2 * np.log1p(-mass)))
        axes.add_patch(
            Ellipse(
                (float(centre[0]), float(centre[1])),
                2 * radius * axis[1],
                2 * radius * axis[0],
                angle=angle,
                fill=False,
                edgecolor=color,
                linewidth=0.8 + 2.2 * share,
                zorder=2,
            )
        )
    axes.plot(
        *centre,
        "P",
        color=color,
        markeredgecolor="white",
        markersize=9,
        zorder=3,
        label=f"{shorten(label, 20)} ({100 * share:.3g} %)",
    )
