"""Pictures of networks: how training went, what they draw, and what their latents mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fabula.core.errors import DataError, UsageError
from fabula.plots.style import (
    GREY,
    check_names,
    class_color,
    class_marker,
    finite,
    new_figure,
    shorten,
    styled,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["image_grid", "latent_map", "loss_traces", "reconstructions", "traversal"]

_MOST_NAMED = 12


@styled
def loss_traces(
    losses: Mapping[str, Sequence[float]],
    steps: Sequence[int],
    validation: Sequence[float] = (),
    best_step: int | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """Draw losses over the steps of training, each in a panel of its own.

    Parameters
    ----------
    losses : mapping of name to values
        As in ``report_.losses``; "loss" shares its panel with the held-out rows.
    steps : sequence of int
        Steps done at each value.
    validation : sequence of float
        Loss on rows that were held out.
    best_step : int, optional
        Step whose state was kept.
    title : str, optional
        What the picture shows.
    """
    if not losses or not len(steps):
        raise DataError("there are no losses: training took no step.")
    names = sorted(losses, key=lambda name: (name != "loss", name))
    figure = new_figure(6.4, 1.0 + 2.1 * len(names))
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for k, (axes, name) in enumerate(zip(panels, names, strict=True)):
        axes.plot(steps, losses[name], color=class_color(0), label="training rows")
        if k == 0 and len(validation):
            axes.plot(steps, validation, color=class_color(1), label="held-out rows")
            axes.legend()
        if k == 0 and best_step:
            axes.axvline(best_step, color=GREY, linewidth=1, linestyle=":")
        values = np.concatenate([np.asarray(losses[name], float), np.asarray(validation, float)
                                 if k == 0 else np.empty(0)])  # fmt: skip
        # The first steps fall so far that nothing else would be seen.
        later = values[np.isfinite(values)]
        low, high = float(later.min()), float(np.quantile(later, 0.95))
        if high > low:
            axes.set_ylim(low - 0.05 * (high - low), high + 0.15 * (high - low))
        axes.set_ylabel(f"{name} (nats)")
    panels[-1].set_xlabel("steps")
    write_title(figure, title)
    return figure


@styled
def image_grid(
    images: ArrayLike,
    *,
    columns: int | None = None,
    labels: Sequence[object] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw images side by side.

    Parameters
    ----------
    images : (n, h, w) or (n, h, w, c) array
    columns : int, optional
        How many in a row; about as many as rows by default.
    labels : sequence, optional
        What stands above each.
    title : str, optional
        What the picture shows.
    """
    pictures = _pictures(images)
    n = len(pictures)
    names = None if labels is None else check_names(labels, n, "images")
    columns = columns or int(np.ceil(np.sqrt(n * pictures.shape[1] / pictures.shape[2])))
    rows = -(-n // columns)
    low, high = _range(pictures)
    figure = new_figure(0.75 * columns + 0.3, (0.75 if names is None else 0.95) * rows + 0.5)
    for k, axes in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
        axes.set_axis_off()
        if k < n:
            _show(axes, pictures[k], low, high)
            if names is not None:
                axes.set_title(shorten(names[k], 10), fontsize=8, loc="center", pad=2)
    write_title(figure, title)
    return figure


@styled
def reconstructions(images: ArrayLike, decoded: ArrayLike, *, title: str | None = None) -> Figure:
    """Draw images above what is left of them once they were encoded and decoded.

    Parameters
    ----------
    images, decoded : (n, h, w) or (n, h, w, c) arrays
    title : str, optional
        What the picture shows.
    """
    above, below = _pictures(images), _pictures(decoded)
    if above.shape != below.shape:
        raise UsageError(f"{above.shape} images and {below.shape} of what is left do not match.")
    low, high = _range(above)
    figure = new_figure(0.75 * len(above) + 0.9, 2.1)
    panels = figure.subplots(2, len(above), squeeze=False)
    for row, (pictures, name) in enumerate(((above, "seen"), (below, "decoded"))):
        for axes, picture in zip(panels[row], pictures, strict=True):
            _show(axes, picture, low, high)
            axes.set_axis_off()
        panels[row, 0].text(
            -0.15,
            0.5,
            name,
            transform=panels[row, 0].transAxes,
            ha="right",
            va="center",
            fontsize=9,
        )
    write_title(figure, title)
    return figure


@styled
def latent_map(
    latents: ArrayLike, classes: Sequence[Any] | None = None, *, title: str | None = None
) -> Figure:
    """Draw latents as points, the two directions in which they spread most where there are more.

    Parameters
    ----------
    latents : (n, Z) array
    classes : (n,) sequence, optional
        Told apart by colour and marker.
    title : str, optional
        What the picture shows.
    """
    points = finite(latents, "latents", 2)
    names = ("latent 1", "latent 2")
    if points.shape[1] > 2:
        centred = points - points.mean(axis=0)
        _, spread, directions = np.linalg.svd(centred, full_matrices=False)
        share = spread[:2] ** 2 / max(float(np.sum(spread**2)), 1e-300)
        points = centred @ directions[:2].T
        names = (f"direction 1 ({share[0]:.0%} of the variance)",
                 f"direction 2 ({share[1]:.0%} of the variance)")  # fmt: skip
    elif points.shape[1] == 1:
        points = np.column_stack([points, np.zeros(len(points))])
    figure = new_figure(6.4, 5.4)
    axes = figure.subplots()
    size = float(np.clip(3000 / len(points), 4, 30))
    groups = [None] if classes is None else list(dict.fromkeys(sorted(classes, key=str)))
    for k, group in enumerate(groups):
        mine = (
            np.ones(len(points), bool)
            if group is None
            else np.array([label == group for label in classes or ()])
        )
        axes.scatter(
            points[mine, 0],
            points[mine, 1],
            s=size,
            color=class_color(k) if k < 8 else None,
            marker=class_marker(k + k // 8),
            linewidths=0,
            alpha=0.7,
            label=None if group is None else shorten(group),
        )
    if classes is not None and len(groups) <= _MOST_NAMED:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    write_title(figure, title)
    return figure


@styled
def traversal(
    images: Sequence[ArrayLike],
    values: Sequence[float],
    names: Sequence[object] | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """Draw images along latent dimensions, a dimension a row.

    Parameters
    ----------
    images : sequence of (m, h, w) or (m, h, w, c) arrays
    values : (m,) sequence of float
        Where on the dimension the images stand.
    names : sequence, optional
        Of the dimensions.
    title : str, optional
        What the picture shows.
    """
    rows = [_pictures(row) for row in images]
    if not rows or any(len(row) != len(values) for row in rows):
        raise UsageError("Every dimension needs one image for each of the values.")
    labels = check_names(names, len(rows), "dimension")
    low, high = _range(np.concatenate(rows))
    figure = new_figure(0.75 * len(values) + 1.3, 0.78 * len(rows) + 0.7)
    panels = figure.subplots(len(rows), len(values), squeeze=False)
    for panel, row, label in zip(panels, rows, labels, strict=True):
        for axes, picture in zip(panel, row, strict=True):
            _show(axes, picture, low, high)
            axes.set_axis_off()
        panel[0].text(
            -0.15, 0.5, label, transform=panel[0].transAxes, ha="right", va="center", fontsize=8
        )
    for axes, value in zip(panels[0], values, strict=True):
        axes.set_title(f"{value:+.1f}", fontsize=8, loc="center", pad=2)
    write_title(figure, title)
    return figure


def _pictures(images: ArrayLike) -> Any:
    pictures = np.asarray(images, dtype=np.float64)
    if pictures.ndim not in (3, 4) or not len(pictures):
        raise DataError(f"images have the shape {pictures.shape}; expected (n, h, w[, c]).")
    if pictures.ndim == 4 and pictures.shape[-1] not in (1, 3):
        pictures = pictures.mean(axis=-1)  # channels that are no colours
    return pictures[..., 0] if pictures.ndim == 4 and pictures.shape[-1] == 1 else pictures


def _range(pictures: Any) -> tuple[float, float]:
    low, high = float(np.nanmin(pictures)), float(np.nanmax(pictures))
    return low, high if high > low else low + 1.0


def _show(axes: Axes, picture: Any, low: float, high: float) -> None:
    share = np.clip((picture - low) / (high - low), 0.0, 1.0)
    if picture.ndim == 3:
        axes.imshow(share)
    else:
        axes.imshow(1.0 - share, cmap="gray", vmin=0.0, vmax=1.0)
