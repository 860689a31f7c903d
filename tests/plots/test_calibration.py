"""The reliability diagram draws the numbers of its curve."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import DataError
from fabula.evaluation.reliability import reliability_curve
from fabula.plots import reliability


def curve(seed=0, label="naive Bayes", **options):
    rng = np.random.default_rng(seed)
    p = rng.random(500)
    return reliability_curve(
        (rng.random(500) < p).astype(int), p, label=label, n_bootstrap=20, **options
    )


def test_bins_line_and_histogram_are_those_of_the_curve():
    found = curve()
    figure = reliability(found, title="It means what it says")
    diagram, histogram = figure.axes
    bins = diagram.containers[0]
    assert bins.lines[0].get_xdata() == pytest.approx(found.bin_probability)
    assert bins.lines[0].get_ydata() == pytest.approx(found.bin_frequency)
    segments = np.array(bins.lines[2][0].get_segments())
    assert segments[:, 0, 1] == pytest.approx(found.bin_low)
    assert segments[:, 1, 1] == pytest.approx(found.bin_high)
    smooth = next(line for line in diagram.lines if line.get_label() == "smooth")
    assert smooth.get_ydata() == pytest.approx(found.smooth_frequency, nan_ok=True)
    assert histogram.patches[0].get_data().values.tolist() == found.histogram_counts.tolist()
    assert figure.get_suptitle() == "It means what it says"


def test_both_errors_stand_in_the_picture_with_their_intervals():
    found = curve()
    text = reliability(found).axes[0].texts[0].get_text()
    assert text == f"ECE {found.ece}\nsmooth ECE {found.smooth_ece}"
    assert f"{found.ece.value:.3f} [{found.ece.low:.3f}" in text


def test_models_stand_side_by_side():
    curves = [curve(k, f"model {k}") for k in range(5)]
    figure = reliability(curves)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    assert [text for text in titles if text] == [f"model {k}" for k in range(5)]
    assert sum(not axes.get_visible() for axes in figure.axes) == 6  # three empty places


def test_axis_says_what_was_stated():
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet([1, 1, 1], 100), rng.integers(0, 3, 100)
    of_top = reliability(reliability_curve(y, p, n_bootstrap=0)).axes[1]
    assert of_top.get_xlabel() == "probability of the likeliest class"
    of_class = reliability(reliability_curve(y, p, kind=2, n_bootstrap=0))
    assert of_class.axes[1].get_xlabel() == "stated probability of class 2"
    assert "[" not in of_class.axes[0].texts[0].get_text()  # no bootstrap, no interval


def test_nothing_to_draw():
    with pytest.raises(DataError, match="no reliability curve"):
        reliability([])
