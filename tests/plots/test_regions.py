"""Class densities and decision regions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from fabula.core.errors import DataError, UsageError
from fabula.plots import class_densities, decision_regions

GRID = np.linspace(-6, 8, 400)
DENSITIES = np.column_stack([norm.pdf(GRID, 0, 1), norm.pdf(GRID, 2, 1)])


def test_densities_are_weighted_by_the_prior():
    axes = class_densities(GRID, DENSITIES, [0.8, 0.2], classes=["well", "ill"]).axes[0]
    for k, weight in enumerate((0.8, 0.2)):
        assert axes.lines[k].get_ydata() == pytest.approx(weight * DENSITIES[:, k])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "well (prior 0.8)",
        "ill (prior 0.2)",
    ]


def test_border_stands_where_the_classes_are_equally_probable():
    axes = class_densities(GRID, DENSITIES, [0.8, 0.2]).axes[0]
    (border,) = axes.lines[2:]
    # log(0.8 / 0.2) = 2 x - 2 for normals at 0 and 2 with variance 1
    assert border.get_xdata()[0] == pytest.approx(1 + np.log(4) / 2, abs=1e-3)


def test_rug_shows_the_rows_of_each_class():
    values = np.array([0.5, 1.0, 1.5, np.nan, 2.5, 99.0])
    codes = np.array([0, 0, 1, 1, -1, 0])
    figure = class_densities(
        GRID, DENSITIES, [0.5, 0.5], values=values, codes=codes, name="dose (mg)"
    )
    rug = figure.axes[1]
    drawn = {
        round(np.mean(lines.get_segments()[0][:, 1])): [s[0, 0] for s in lines.get_segments()]
        for lines in rug.collections
        if len(lines.get_segments())
    }
    assert drawn == {1: [0.5, 1.0], 0: [1.5], 2: [2.5]}  # missing and far away left out
    assert [t.get_text() for t in rug.get_yticklabels()] == ["class 0", "class 1", "not labelled"]
    assert rug.get_xlabel() == "dose (mg)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"densities": DENSITIES[:-1]}, "expected a rising grid"),
        (
            {"densities": np.where(GRID[:, None] > 0, DENSITIES, np.nan)},
            r"densities holds nan at \(1",
        ),
        ({"x": [], "densities": DENSITIES}, "x is empty"),
        ({"x": GRID[::-1]}, "rising"),
        ({"values": [1.0], "codes": [0, 1]}, "codes have the shape"),
        ({"values": [[1.0]]}, "rows to draw"),
    ],
)
def test_bad_densities(change, message):
    given = {"x": GRID, "densities": DENSITIES, "prior": [0.5, 0.5], **change}
    with pytest.raises(DataError, match=message):
        class_densities(**given)


@pytest.fixture
def plane():
    xs, ys = np.linspace(-3, 3, 61), np.linspace(-2, 2, 41)
    across, _ = np.meshgrid(xs, ys)
    p = 1 / (1 + np.exp(-2 * across + 1))  # equal at x = 1/2
    return xs, ys, np.stack([1 - p, p], axis=2)


def contour_xs(collection):
    return np.concatenate([path.vertices for path in collection.get_paths() if len(path)])[:, 0]


def test_border_and_levels_of_two_classes(plane):
    axes = decision_regions(*plane).axes[0]
    border, levels = axes.collections
    assert contour_xs(border) == pytest.approx(0.5, abs=1e-6)
    expected = [(1 + np.log(p / (1 - p))) / 2 for p in (0.1, 0.9)]
    assert sorted(set(np.round(contour_xs(levels), 1))) == pytest.approx(np.round(expected, 1))


def test_colours_follow_the_probability(plane):
    xs, ys, p = plane
    picture = decision_regions(xs, ys, p).axes[0].images[0]
    rgb = np.asarray(picture.get_array())
    assert picture.get_extent() == pytest.approx([-3.05, 3.05, -2.05, 2.05])
    blue, orange = rgb[20, 0], rgb[20, -1]
    assert blue[2] > blue[0] and orange[0] > orange[2]
    middle = rgb[20, np.searchsorted(xs, 0.5)]
    assert middle == pytest.approx((blue + orange) / 2, abs=0.06)


def test_points_are_drawn_by_class(plane):
    points = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, np.nan], [-1.0, 0.5]])
    figure = decision_regions(
        *plane, points=points, codes=[0, 1, 1, -1], classes=["a", "b"], names=("u (cm)", "v (cm)")
    )
    axes = figure.axes[0]
    found = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert found == {"not labelled": [[-1.0, 0.5]], "a": [[0.0, 0.0]], "b": [[1.0, 1.0]]}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("u (cm)", "v (cm)")
    assert len({line.get_marker() for line in axes.lines}) == 3


def test_three_classes_have_three_borders():
    xs = ys = np.linspace(-2, 2, 41)
    across, up = np.meshgrid(xs, ys)
    scores = np.stack([-across - up, across - up, 1.2 * up], axis=2)
    p = np.exp(2 * scores) / np.exp(2 * scores).sum(axis=2, keepdims=True)
    assert len(decision_regions(xs, ys, p).axes[0].collections) == 3


def test_bad_regions(plane):
    xs, ys, p = plane
    with pytest.raises(DataError, match=r"expected \(ny, nx, K\)"):
        decision_regions(ys, xs, p)
    with pytest.raises(DataError, match="must rise"):
        decision_regions(xs[::-1], ys, p)
    with pytest.raises(UsageError, match="3 names"):
        decision_regions(xs, ys, p, classes=["a", "b", "c"])
    with pytest.raises(DataError, match="holds nan"):
        decision_regions(xs, ys, np.where(p > 0.99, np.nan, p))
    with pytest.raises(DataError, match=r"expected \(n, 2\)"):
        decision_regions(xs, ys, p, points=[[1.0, 2.0, 3.0]])
