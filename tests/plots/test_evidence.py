"""Contributions of columns: the bars add up."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import DataError, UsageError
from fabula.plots import contributions


def bars(figure):
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    return dict(zip(labels, [bar.get_width() for bar in axes.patches], strict=True))


def test_bars_are_the_values_in_order_of_weight():
    figure = contributions(["a", "b", "c"], [0.5, -2.0, 1.0], prior=-0.7, classes=["no", "yes"])
    found = bars(figure)
    assert list(found) == ["before any column (prior)", "b", "c", "a", "log-odds"]
    assert list(found.values()) == pytest.approx([-0.7, -2.0, 1.0, 0.5, -1.2])
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == ["−0.70", "−2.00", "+1.00", "+0.50", "−1.20"]
    assert axes.get_xlabel() == "nats  (← for no   |   for yes →)"
    share = 100 / (1 + np.exp(1.2))
    assert axes.get_title(loc="right").endswith(f"yes against no {share:.1f} %")


def test_colour_is_that_of_the_class_it_speaks_for():
    patches = contributions(["a", "b"], [0.5, -2.0], prior=1.0).axes[0].patches
    prior, b, a, _ = (patch.get_facecolor() for patch in patches)
    assert prior == a != b


def test_small_columns_are_summed_and_the_rest_is_shown():
    values = np.r_[3.0, 2.0, np.full(10, 0.1)]
    found = bars(contributions([f"c{j}" for j in range(12)], values, remainder=-1.0, max_bars=2))
    assert list(found)[1:] == ["c0", "c1", "10 other columns", "columns taken together", "log-odds"]
    assert list(found.values())[3:] == pytest.approx([1.0, -1.0, 5.0])


def test_two_of_many_classes_are_contrasted():
    values = np.array([[0.0, 0.0], [1.0, -1.0], [3.0, 0.5]])
    prior = np.array([0.0, 0.2, -0.4])
    figure = contributions(["a", "b"], values, prior=prior, target=2, against=1, cells=[1.5, None])
    found = bars(figure)
    assert found == pytest.approx(
        {"before any column (prior)": -0.6, "a = 1.5": 2.0, "b = missing": 1.5, "log-odds": 2.9}
    )


def test_extreme_odds_are_not_called_certain():
    title = contributions(["a"], [800.0]).axes[0].get_title(loc="right")
    assert title.endswith("above 99.9 %")
    assert contributions(["a"], [-800.0]).axes[0].get_title(loc="right").endswith("below 0.1 %")
    assert bars(contributions(["a"], [0.0]))["log-odds"] == 0.0


def test_bad_contributions():
    with pytest.raises(DataError, match=r"values holds nan at \(2\)"):
        contributions(["a", "b"], [1.0, np.nan])
    with pytest.raises(DataError, match="values is empty"):
        contributions([], [])
    with pytest.raises(UsageError, match="2 names were given for 1 columns"):
        contributions(["a", "b"], [1.0])
    with pytest.raises(UsageError, match="two different class codes"):
        contributions(["a"], [1.0], target=1, against=1)
    with pytest.raises(UsageError, match="values hold the classes"):
        contributions(["a"], [[1.0], [2.0]], target=2)
    with pytest.raises(UsageError, match="cells"):
        contributions(["a"], [1.0], cells=[1, 2])
    with pytest.raises(UsageError, match="max_bars"):
        contributions(["a"], [1.0], max_bars=0)
    with pytest.raises(DataError, match="prior has 3 values"):
        contributions(["a"], [1.0], prior=[1, 2, 3])
