"""Ellipses of components hold the share that they say."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import DataError, UsageError
from fabula.plots import components

MEAN = np.array([[1.0, 5.0, -2.0]])
COVARIANCE = np.array([[[2.0, 0.3, -1.5], [0.3, 1.0, 0.0], [-1.5, 0.0, 3.0]]])


def test_ellipses_hold_their_share():
    rows = np.random.default_rng(0).multivariate_normal(MEAN[0], COVARIANCE[0], 20000)
    figure = components(rows, MEAN, COVARIANCE, [1.0], columns=(2, 0), masses=(0.5, 0.9))
    axes = figure.axes[0]
    for patch, mass in zip(axes.patches, (0.5, 0.9), strict=True):
        inside = patch.get_patch_transform().inverted().transform(rows[:, [2, 0]])
        # 20,000 rows: the standard error is 0.0035
        assert np.mean((inside**2).sum(axis=1) < 1) == pytest.approx(mass, abs=0.012)
    assert axes.lines[-1].get_xydata() == pytest.approx(MEAN[:, [2, 0]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("column 2", "column 0")


def test_variances_stand_for_independent_columns():
    axes = components([[0.0, 0.0]], [[0.0, 0.0]], [[4.0, 1.0]], [1.0], masses=(0.5,)).axes[0]
    (ellipse,) = axes.patches
    radius = np.sqrt(2 * np.log(2))
    assert sorted([ellipse.width, ellipse.height]) == pytest.approx([2 * radius, 4 * radius])
    extent = np.ptp(ellipse.get_path().transformed(ellipse.get_patch_transform()).vertices, axis=0)
    assert extent == pytest.approx([4 * radius, 2 * radius], rel=1e-2)


def test_heavier_components_have_thicker_lines_and_named_shares():
    means, covariances = np.zeros((2, 2)), np.stack([np.eye(2)] * 2)
    rows = np.array([[0.0, 1.0], [np.nan, 1.0], [2.0, 2.0]])
    axes = components(
        rows, means, covariances, [0.9, 0.1], codes=[0, 0, 1], labels=["old", "new"]
    ).axes[0]
    assert axes.patches[0].get_linewidth() > axes.patches[2].get_linewidth()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["old (90 %)", "new (10 %)"]
    assert [line.get_xydata().tolist() for line in axes.lines[:2]] == [[[0.0, 1.0]], [[2.0, 2.0]]]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"means": np.full((1, 3), np.nan)}, DataError, "means holds nan"),
        ({"covariances": np.eye(3)[None, :2, :2]}, DataError, "covariances"),
        ({"covariances": -COVARIANCE}, DataError, "not positive semi-definite"),
        ({"data": np.zeros((4, 2))}, DataError, r"expected \(n, 3\)"),
        ({"columns": (0, 3)}, UsageError, "columns are"),
        ({"columns": (1, 1)}, UsageError, "columns are"),
        ({"masses": (95,)}, UsageError, "masses"),
        ({"labels": ["a", "b"]}, UsageError, "2 names"),
        ({"codes": [0]}, DataError, "codes"),
    ],
)
def test_bad_components(change, error, message):
    given = {
        "data": np.zeros((4, 3)),
        "means": MEAN,
        "covariances": COVARIANCE,
        "weights": [1.0],
        **change,
    }
    with pytest.raises(error, match=message):
        components(**given)
