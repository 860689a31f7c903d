"""The picture of a tree, and of one column given another."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import DataError, UsageError
from fabula.plots import conditional, dependence_tree

EDGES = [("a", None, 0.0), ("b", "a", 0.5), ("c", "a", 0.2), ("d", "b", 0.01), ("$e", "b", 0.3)]


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_every_column_has_a_line_below_the_one_it_hangs_on() -> None:
    figure = dependence_tree(EDGES, title="What hangs together")
    names, bars = figure.axes
    order = sorted(names.texts, key=lambda text: text.xy[1])
    assert [text.get_text() for text in order] == ["a", "b", r"\$e", "d", "c"]
    depths = [text.xy[0] for text in order]
    assert depths[0] < depths[1] < depths[2] == depths[3] and depths[4] == depths[1]
    widths = [bar.get_width() for bar in bars.patches]
    assert widths == [0.0, 0.5, 0.3, 0.01, 0.2]
    assert "0.500 with a" in texts(figure)


def test_columns_that_share_a_variable_share_a_colour() -> None:
    figure = dependence_tree(EDGES, groups=[0, 1, 0, 2, 3])
    dots = {
        line.get_ydata()[0]: line.get_color()
        for line in figure.axes[0].lines
        if line.get_marker() == "o"
    }
    assert dots[0] == dots[4] != dots[1]  # a and c, which is in the last line
    assert dots[1] == dots[2] == dots[3]  # grey
    assert "one hidden variable" in figure.axes[0].get_title(loc="left")


def test_of_very_many_columns_the_strongest_edges_are_drawn() -> None:
    edges = [("0", None, 0.0)] + [(str(j), str((j - 1) // 2), 1.0 / j) for j in range(1, 500)]
    figure = dependence_tree(edges)
    assert "of 500 columns" in figure.axes[1].get_title(loc="left")
    assert len(figure.axes[0].texts) <= 80


def test_quantiles_over_numbers() -> None:
    grid = np.linspace(0, 10, 20)
    quantiles = grid[:, None] + np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    figure = conditional(grid, quantiles, names=("y", "x"), points=np.array([[1, 2], [np.nan, 0]]))
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["90 %", "50 %", "median", "data"]
    median = axes.lines[0]
    np.testing.assert_array_equal(median.get_ydata(), grid)


def test_shares_over_levels() -> None:
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    figure = conditional(["p", "q"], shares, levels=["u", "v", "w"], names=("y", "x"))
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["p", "q"]
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    # The most probable level first.
    np.testing.assert_allclose(heights, [[0.1, 0.8], [0.7, 0.1], [0.2, 0.1]])
    many = conditional(["p", "q"], np.full((2, 10), 0.1), levels=list("abcdefghij"))
    assert "other (4)" in many.axes[0].get_legend_handles_labels()[1]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(UsageError, match="no column"):
        dependence_tree([])
    with pytest.raises(UsageError, match="2 groups"):
        dependence_tree(EDGES, groups=[0, 1])
    with pytest.raises(DataError, match="five quantiles"):
        conditional([1.0, 2.0], np.zeros((2, 3)))
    with pytest.raises(DataError, match="rise"):
        conditional([2.0, 1.0], np.zeros((2, 5)))
    with pytest.raises(DataError, match="3 columns for 2 levels"):
        conditional([1.0, 2.0], np.zeros((2, 3)), levels=["a", "b"])
