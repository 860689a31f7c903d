"""The style leaks nothing and needs no screen."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

from fabula.core.errors import DataError
from fabula.plots import contributions
from fabula.plots.style import class_color, finite, shorten


def test_importing_pictures_does_not_load_matplotlib():
    code = "import sys, fabula.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drawing_leaves_settings_alone_and_pyplot_unloaded():
    code = (
        "import sys, matplotlib as mpl; before = dict(mpl.rcParams)\n"
        "from fabula.plots import contributions; contributions(['a'], [1.0])\n"
        "sys.exit('matplotlib.pyplot' in sys.modules or before != dict(mpl.rcParams))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_own_settings_are_kept():
    with mpl.rc_context({"font.size": 31.0}):
        contributions(["a"], [1.0])
        assert mpl.rcParams["font.size"] == 31.0


def test_names_are_shortened_and_are_not_mathematics():
    assert shorten("a" * 30, 10) == "a" * 9 + "…"
    figure = contributions(["cost in $ or $"], [1.0], title="100 $ a day, or 200 $")
    figure.draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[1] == r"cost in \$ or \$"


def test_long_titles_are_wrapped():
    figure = contributions(["a"], [1.0], title="word " * 60)
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert "\n" in figure.get_suptitle() and box.x1 <= figure.bbox.x1


def test_first_eight_colours_differ():
    assert len({class_color(k) for k in range(8)}) == 8 and class_color(8) == class_color(0)


def test_where_a_number_is_missing():
    with pytest.raises(DataError, match=r"grid holds inf at \(2, 3\), counted from 1"):
        finite(np.where(np.arange(6).reshape(2, 3) == 5, np.inf, 0.0), "grid", 2)
    with pytest.raises(DataError, match="expected 1 axes"):
        finite([[1.0]], "grid", 1)
    with pytest.raises(DataError, match="cannot be read as numbers"):
        finite(["a"], "grid", 1)
