"""One quiet look for every picture.

Figures are made without pyplot, so nothing is registered globally, no window opens and a figure
is freed when nobody holds it any more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "DATA",
    "GREY",
    "INK",
    "SAMPLES",
    "check_names",
    "class_color",
    "class_colors",
    "class_marker",
    "finite",
    "label_lines",
    "lighten",
    "new_figure",
    "shorten",
    "styled",
    "write_title",
]

# Okabe and Ito (2008), distinct in the common kinds of colour blindness; the yellow is left out
# because it does not show on white.
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F3C8D", "#666666")
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "p")

INK = "#222222"
GREY = "#8A8A8A"
DATA, SAMPLES = _PALETTE[0], _PALETTE[1]

# Any: matplotlib names each of its settings in a type of its own.
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "normal",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.labelsize": 10.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": True,
    "legend.edgecolor": "white",
    "legend.framealpha": 0.85,
    "legend.borderpad": 0.3,
    "legend.fontsize": 9.0,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Text stays text in the files, and the same picture gives the same bytes.
    "svg.fonttype": "none",
    "svg.hashsalt": "fabula",
    "pdf.fonttype": 42,
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Run a drawing function under the style of fabula, and leave matplotlib's own as it was."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib as mpl

        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return wrapper


def new_figure(width: float, height: float) -> Figure:
    """Figure of this size in inches that lays itself out."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    figure.get_layout_engine().set(h_pad=0.07, w_pad=0.05)  # type: ignore[union-attr, call-arg]
    return figure


def class_color(k: int) -> str:
    """Colour of class or model k; they repeat after eight."""
    return _PALETTE[k % len(_PALETTE)]


def class_colors(n: int) -> list[str]:
    """Colours of n classes or models."""
    return [class_color(k) for k in range(n)]


def class_marker(k: int) -> str:
    """Marker of class k, so that classes differ without colour as well."""
    return _MARKERS[k % len(_MARKERS)]


def lighten(color: str, share: float) -> tuple[float, float, float]:
    """Mix a colour with this share of white, 0 … 1."""
    from matplotlib.colors import to_rgb

    red, green, blue = (c + (1 - c) * share for c in to_rgb(color))
    return red, green, blue


def shorten(name: object, length: int = 18) -> str:
    """Name for an axis or a tick; what is cut off is shown by an ellipsis."""
    text = " ".join(str(name).split())
    # A dollar sign would start mathematics.
    text = text.replace("$", r"\$")
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def write_title(figure: Figure, text: str | None) -> None:
    """What the picture shows, above it, wrapped to its width."""
    if not text:
        return
    import textwrap

    n_characters = int(figure.get_size_inches()[0] * 12)
    while True:
        lines = textwrap.wrap(text.replace("$", r"\$"), n_characters)
        written = figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=12.5)
        # Letters differ in width, so what fits is measured.
        if written.get_window_extent().x1 <= 0.99 * figure.bbox.x1 or n_characters <= 10:
            return
        n_characters = int(0.93 * n_characters)


def finite(values: ArrayLike, name: str, ndim: int) -> NDArray[np.float64]:
    """Array of finite numbers with this many axes, not empty, or a DataError that says where."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} cannot be read as numbers: {error}.") from error
    if array.ndim != ndim:
        raise DataError(f"{name} has the shape {array.shape}; expected {ndim} axes.")
    if array.size == 0:
        raise DataError(f"{name} is empty: there is nothing to draw.")
    wrong = ~np.isfinite(array)
    if np.any(wrong):
        where = np.unravel_index(int(np.argmax(wrong)), array.shape)
        place = ", ".join(str(int(i) + 1) for i in where)
        raise DataError(
            f"{name} holds {array[where]} at ({place}), counted from 1; expected finite numbers."
        )
    return array


def check_names(names: Sequence[object] | None, n: int, what: str) -> list[str]:
    """Names as text, ``class 0`` … when none are given; the wrong number of them raises."""
    if names is None:
        return [f"{what} {k}" for k in range(n)]
    if len(names) != n:
        raise UsageError(f"{len(names)} names were given for {n} of '{what}'; expected one each.")
    return [str(name) for name in names]


def label_lines(
    axes: Axes, labels: Sequence[str], heights: Sequence[float], colors: Sequence[str]
) -> None:
    """Write the name of each line at the right of the axes, beside its end, without overlaps.

    Call it when the limits and the title are final: the names are spread in fractions of the
    height of the axes.
    """
    if not labels:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes of new_figure have one
    figure.draw_without_rendering()  # lays the axes out
    low, high = sorted(axes.get_ylim())
    shown = [low <= height <= high for height in heights]
    transform = axes.transScale + axes.transLimits
    x_end = axes.get_xlim()[1]
    wanted = np.array([transform.transform((x_end, h))[1] for h in heights])
    size = 9.0
    height_in_points = figure.get_size_inches()[1] * 72 * axes.get_position().height
    gap = 1.4 * size / height_in_points
    placed = _spread(np.clip(wanted, 0.0, 1.0), gap)
    for label, y, target, color, inside in zip(labels, placed, wanted, colors, shown, strict=True):
        axes.annotate(
            label,
            xy=(1.0, target),
            xytext=(1.045, y),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            color=color,
            fontsize=size,
            annotation_clip=False,
            # A line that left the axes has no end to point at.
            arrowprops={
                "arrowstyle": "-",
                "color": lighten(color, 0.5),
                "lw": 0.7,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0.0, 0.5),
            }
            if inside
            else None,
        )


def _spread(wanted: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Positions at least ``gap`` apart and as close as possible to the wanted ones.

    Least squares under an order is isotonic regression of what remains after the gaps are taken
    off (pool adjacent violators).
    """
    order = np.argsort(wanted, kind="stable")
    offset = gap * np.arange(wanted.size)
    blocks: list[list[float]] = []
    for value in wanted[order] - offset:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, weight = blocks.pop()
            before, n_before = blocks.pop()
            total = weight + n_before
            blocks.append([(mean * weight + before * n_before) / total, total])
    fitted = np.concatenate([np.full(int(count), mean) for mean, count in blocks])
    spaced = np.maximum(fitted + offset, offset)
    spaced = np.minimum(spaced, (1.0 - offset)[::-1]) if offset[-1] < 1 else offset / offset[-1]
    placed = np.empty_like(wanted)
    placed[order] = spaced
    return placed
