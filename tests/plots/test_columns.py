"""Data against samples: what is drawn is what is in the tables."""

from __future__ import annotations

import datetime

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex

from fabula.core.errors import DataError, UsageError
from fabula.plots import pairs
from fabula.plots.style import DATA, SAMPLES


@pytest.fixture
def tables():
    rng = np.random.default_rng(0)

    def table(n):
        return pl.DataFrame(
            {
                "x": rng.normal(size=n),
                "n": rng.integers(0, 5, n),
                "c": rng.choice(["a", "b", "b"], n),
            }
        )

    return table(200), table(300)


def panel(figure, row, column, n):
    return figure.axes[row * n + column]


def test_histograms_are_shares_of_each_table(tables):
    data, samples = tables
    axes = panel(pairs(data, samples), 0, 0, 3)
    for patch, table in zip(axes.patches, (data, samples), strict=True):
        values, edges, _ = patch.get_data()
        counts, _ = np.histogram(table["x"], edges)
        assert values == pytest.approx(counts / table.height)
    assert axes.patches[0].get_data().edges == pytest.approx(axes.patches[1].get_data().edges)


def test_counts_have_a_bin_for_each_number(tables):
    data, samples = tables
    patch = panel(pairs(data, samples), 1, 1, 3).patches[0]
    values, edges, _ = patch.get_data()
    for number in range(5):
        assert values[np.searchsorted(edges, number) - 1] == pytest.approx(
            (data["n"] == number).mean()
        )


def test_bars_are_shares_with_the_most_frequent_first(tables):
    data, samples = tables
    axes = panel(pairs(data, samples), 2, 2, 3)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b", "a"]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx(
        [(table["c"] == level).mean() for table in (data, samples) for level in ("b", "a")]
    )


def test_data_lie_below_the_diagonal_and_samples_above(tables):
    data, samples = tables
    figure = pairs(data, samples)
    below, above = panel(figure, 1, 0, 3), panel(figure, 0, 1, 3)
    assert below.lines[0].get_xydata() == pytest.approx(data.select("x", "n").to_numpy())
    assert above.lines[0].get_xydata() == pytest.approx(samples.select("n", "x").to_numpy())
    assert (to_hex(below.lines[0].get_color()), to_hex(above.lines[0].get_color())) == (
        DATA.lower(),
        SAMPLES.lower(),
    )
    assert len(below.collections) == 1 and not above.collections  # contours of the samples


def test_contours_hold_half_and_95_percent_of_the_samples():
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(4000, 2))
    figure = pairs(rng.normal(size=(50, 2)), samples)
    (contours,) = panel(figure, 1, 0, 2).collections
    inside = sorted(path.contains_points(samples).mean() for path in contours.get_paths())
    assert inside[0] == pytest.approx(0.5, abs=0.04)
    assert inside[1] == pytest.approx(0.95, abs=0.03)


def test_boxes_show_the_quartiles_of_each_level(tables):
    data, samples = tables
    axes = panel(pairs(data, samples), 2, 0, 3)  # levels up, numbers across
    medians = [line for line in axes.lines if line.get_linewidth() == 1.8]
    found = [line.get_xdata()[0] for line in medians]
    assert found == pytest.approx([data.filter(pl.col("c") == v)["x"].median() for v in "ba"])


def test_area_of_cells_is_the_joint_share():
    data = pl.DataFrame({"a": ["u"] * 12 + ["v"] * 4, "b": ["p"] * 8 + ["q"] * 8})
    axes = panel(pairs(data, data), 1, 0, 2)
    full, filled = axes.collections
    assert len(full.get_paths()) == 3  # (u, p) 8, (u, q) 4, (v, q) 4
    areas = {
        tuple(np.round(path.vertices.mean(axis=0), 0)): np.prod(np.ptp(path.vertices, axis=0))
        for path in filled.get_paths()
    }
    assert sorted(areas.values()) == pytest.approx([0.81 / 2, 0.81 / 2, 0.81])


def test_rare_levels_become_one():
    letters = [c for k, c in enumerate("abcdefghij") for _ in range(20 - k)]
    axes = pairs({"c": letters}).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == [*"abcdef", "other"]
    assert axes.patches[-1].get_height() == pytest.approx(np.mean([c > "f" for c in letters]))


def test_codes_take_the_names_of_their_levels():
    codes = np.array([[0.0], [2.0], [2.0], [np.nan]])
    axes = pairs(codes, categories={0: ["low", "middle", "high"]}).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["low", "high"]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([1 / 3, 2 / 3])
    assert "25 % missing" in [text.get_text() for text in axes.texts]
    with pytest.raises(DataError, match=r"row 2 .*code 0 … 1"):
        pairs(codes, categories={0: ["low", "high"]})


def test_dates_stand_on_a_calendar():
    days = [datetime.date(2020, 1, 1), datetime.date(2022, 6, 1)]
    figure = pairs(pl.DataFrame({"day": days, "x": [1.0, 2.0]}))
    figure.draw_without_rendering()
    below = panel(figure, 1, 0, 2)
    assert below.lines[0].get_xdata() == pytest.approx([18262, 19144])  # days from 1970
    assert "2021" in [label.get_text() for label in below.get_xticklabels()]


def test_only_data(tables):
    figure = pairs(tables[0], columns=["x", "n"])
    assert not panel(figure, 0, 1, 2).get_visible()
    assert len(panel(figure, 0, 0, 2).patches) == 1 and not figure.legends


def test_pandas_and_arrow_give_the_same_picture(tables):
    data, samples = tables
    expected = panel(pairs(data, samples), 1, 0, 3).lines[0].get_xydata()
    for convert in (pl.DataFrame.to_pandas, pl.DataFrame.to_arrow):
        found = panel(pairs(convert(data), convert(samples)), 1, 0, 3).lines[0].get_xydata()
        assert found == pytest.approx(expected)


def test_columns_without_any_spread_are_drawn():
    figure = pairs({"a": np.ones(9), "b": ["u"] * 9}, {"a": np.ones(5), "b": ["w"] * 5})
    figure.draw_without_rendering()
    assert panel(figure, 0, 0, 2).get_xlim() == pytest.approx((0.5, 1.5))


def test_unusable_tables_say_why(tables):
    data, samples = tables
    with pytest.raises(UsageError, match=r"no column 'z'; it has x, n, c"):
        pairs(data, samples, ["z"])
    with pytest.raises(DataError, match="samples has no column 'c'"):
        pairs(data, samples.drop("c"))
    with pytest.raises(UsageError, match="at most 2"):
        pairs(data, samples, ["x", "n", "c"], max_columns=2)
    with pytest.raises(UsageError, match="twice"):
        pairs(data, samples, ["x", "x"])
    with pytest.raises(DataError, match=r"column 'x' of data has no value"):
        pairs(data.with_columns(x=pl.lit(None, pl.Float64)), samples)
    with pytest.raises(DataError, match=r"'x' of samples has no value"):
        pairs(data, samples.head(0))
    with pytest.raises(DataError, match="numbers in one table and text in the other"):
        pairs(data, samples.with_columns(x=pl.lit("a")))
    assert len(pairs(np.zeros((3, 9))).axes) == 36  # the first six columns
