"""Cost curves and decision curves."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import DataError, UsageError
from fabula.evaluation import costs
from fabula.plots import cost_curve


@pytest.fixture
def curve():
    rng = np.random.default_rng(0)
    p = rng.beta(0.5, 1.0, 300)
    return costs.cost_curve((rng.random(300) < p).astype(int), p, label="mixture")


def line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_costs_are_drawn_over_the_ratios(curve):
    axes = cost_curve(curve).axes[0]
    for label, y in (
        ("mixture", curve.cost),
        ("treat all", curve.treat_all),
        ("treat none", curve.treat_none),
    ):
        assert line(axes, label).get_xdata() == pytest.approx(curve.cost_ratios)
        assert line(axes, label).get_ydata() == pytest.approx(y)
    assert axes.get_xscale() == "log"
    assert axes.get_ylim()[1] > np.minimum(curve.treat_all, curve.treat_none).max()
    assert {"mixture", "treat all", "treat none"} <= {text.get_text() for text in axes.texts}


def test_upper_axis_is_the_threshold(curve):
    figure = cost_curve(curve)
    figure.draw_without_rendering()
    (top,) = figure.axes[0].child_axes
    labels = [float(label.get_text()) for label in top.get_xticklabels()]
    transform = figure.axes[0].transData
    for threshold, place in zip(labels, top.get_xticks(), strict=True):
        assert place == pytest.approx(threshold)
        below = transform.transform((1 / threshold - 1, 0))[0]
        assert top.transData.transform((place, 0))[0] == pytest.approx(below, abs=0.5)


def test_net_benefit(curve):
    axes = cost_curve(curve, quantity="net benefit").axes[0]
    assert line(axes, "mixture").get_ydata() == pytest.approx(curve.net_benefit)
    assert line(axes, "treat all").get_ydata() == pytest.approx(curve.net_benefit_treat_all)
    assert not line(axes, "treat none").get_ydata().any()


def test_interval_only_where_one_model_is_drawn(curve):
    (band,) = cost_curve(curve).axes[0].collections
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx(curve.high.max())
    assert not cost_curve([curve, curve]).axes[0].collections
    assert len(cost_curve([curve, curve], intervals=True).axes[0].collections) == 2


def test_curves_that_cannot_share_a_picture(curve):
    other = costs.cost_curve([0, 1], [0.2, 0.7], label="other rows")
    with pytest.raises(DataError, match="not of the same rows"):
        cost_curve([curve, other])
    single = costs.cost_curve([0, 1], [0.2, 0.7], [1.0])
    with pytest.raises(DataError, match="at least two"):
        cost_curve(single)
    with pytest.raises(DataError, match="no cost curve"):
        cost_curve([])
    with pytest.raises(UsageError, match="quantity"):
        cost_curve(curve, quantity="money")  # type: ignore[arg-type]
