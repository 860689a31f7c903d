"""Learning curves and curves of missing cells."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.text import Text

from fabula.core.errors import DataError
from fabula.evaluation.curves import Curve
from fabula.plots import learning_curves, missing_curves


@pytest.fixture
def curves():
    x = np.array([20.0, 100.0, 500.0])
    return [
        Curve("LDA", "storyteller", x, [0.5, 0.3, 0.2], [0.4, 0.25, 0.18], [0.6, 0.35, 0.22]),
        Curve("SVM", "divider", x, [0.7, 0.3, 0.15], [0.6, 0.25, 0.1], [0.8, 0.35, 0.2]),
    ]


def test_means_and_intervals_are_drawn(curves):
    axes = learning_curves(curves).axes[0]
    for k, curve in enumerate(curves):
        assert axes.lines[k].get_xydata() == pytest.approx(np.column_stack([curve.x, curve.mean]))
        band = axes.collections[k].get_paths()[0].vertices[:, 1]
        assert (band.min(), band.max()) == (curve.low.min(), curve.high.max())
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["20", "100", "500"]
    assert axes.get_ylabel() == "log loss (nats per row)"


def test_storytellers_are_solid_and_dividers_dashed(curves):
    axes = learning_curves(curves).axes[0]
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    assert len(axes.get_legend().get_texts()) == 2
    assert learning_curves(curves[:1]).axes[0].get_legend() is None


def test_names_stand_beside_the_ends_without_overlap(curves):
    close = [
        Curve(f"model {k}", "divider", [1.0, 2.0], [1.0, 0.5 + 1e-3 * k], [1, 0.5], [1, 0.5])
        for k in range(6)
    ]
    axes = learning_curves(close).axes[0]
    figure = axes.figure
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the leading line
    assert [text.get_text() for text in axes.texts] == [curve.label for curve in close]
    order = sorted(boxes, key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(order))
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    heights = [box.y0 for box in boxes]
    assert heights == sorted(heights)  # in the order of the ends


def test_missing_cells_are_a_share():
    curve = Curve(
        "naive Bayes", "storyteller", [0, 0.3, 0.7], [0.1, 0.2, np.nan], [0.1] * 3, [0.2] * 3
    )
    figure = missing_curves([curve], title="t")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert axes.lines[0].get_ydata() == pytest.approx([0.1, 0.2, np.nan], nan_ok=True)
    assert any(label.get_text().endswith("%") for label in axes.get_xticklabels())
    too_far = Curve("naive Bayes", "storyteller", [10.0, 30.0], [0.1, 0.2], [0, 0], [1, 1])
    with pytest.raises(DataError, match="outside 0 … 1"):
        missing_curves([too_far])


def test_curves_that_cannot_be_drawn(curves):
    with pytest.raises(DataError, match="no curve"):
        learning_curves([])
    nothing = Curve("QDA", "storyteller", [1.0], [np.nan], [np.nan], [np.nan])
    with pytest.raises(DataError, match="'QDA' has no finite score"):
        learning_curves([nothing])
    other = Curve("SVM", "divider", [20.0], [0.9], [0.8], [1.0], metric="accuracy")
    with pytest.raises(DataError, match="different scores"):
        learning_curves([curves[0], other])
    with pytest.raises(DataError, match="training rows"):
        learning_curves([Curve("a", "divider", [0.0, 1.0], [1, 1], [1, 1], [1, 1])])
