"""Adversarial networks: modes, rare levels, classes, holes, latents, images, files, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fabula import GenerativeAdversarialNetwork, load, save
from fabula.core.errors import CannotAnswerError, DataError, FabulaWarning, UsageError

TINY: dict[str, Any] = {"n_latent": 4, "width": 16, "depth": 1, "random_state": 0}


def town_table(n: int = 1500) -> pl.DataFrame:
    """Two towns and a village that 0.4 % of the rows are of, each with a size of its own."""
    rng = np.random.default_rng(3)
    place = rng.choice(3, n, p=[0.6, 0.396, 0.004])
    return pl.DataFrame(
        {
            "size": np.where(rng.random(n) < 0.1, np.nan, 2.0 * place + 0.5 * rng.normal(size=n)),
            "hours": np.where(rng.random(n) < 0.4, 40, rng.integers(10, 80, n)),
            "place": np.array(["north", "south", "village"])[place],
        }
    ).with_columns(pl.col("size").fill_nan(None))


TABLE = town_table()


@pytest.fixture(scope="module")
def of_table() -> GenerativeAdversarialNetwork:
    return GenerativeAdversarialNetwork(
        8, width=48, depth=1, max_epochs=40, batch_size=128, balance="log", n_starts=2,
        n_search=60, random_state=0,
    ).fit(TABLE)  # fmt: skip


@pytest.fixture(scope="module")
def of_ring() -> tuple[GenerativeAdversarialNetwork, np.ndarray, np.ndarray]:
    """Eight narrow bells on a circle; their sides are classes."""
    rng = np.random.default_rng(0)
    which = rng.integers(0, 8, 2000)
    angles = which * np.pi / 4
    x = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1) + 0.08 * rng.normal(size=(2000, 2))
    side = np.where(which < 4, "left", "right")
    model = GenerativeAdversarialNetwork(
        8, width=64, depth=1, max_epochs=60, batch_size=100, known_share=0.0, n_starts=3,
        scaling="standard", random_state=0,
    ).fit(x, side)  # fmt: skip
    return model, x, side


def test_all_eight_modes_are_drawn(of_ring):
    model, x, side = of_ring
    drawn, classes = model.sample(1600, random_state=1)
    modes = np.rint(np.arctan2(drawn[:, 1], drawn[:, 0]) / (np.pi / 4)).astype(int) % 8
    near = np.abs(np.hypot(*drawn.T) - 2.0) < 0.4
    # An eighth each, 200: none is lost, and none is more than twice another's due.
    counts = np.bincount(modes[near], minlength=8)
    assert near.mean() > 0.8 and (counts > 60).all() and (counts < 400).all()
    assert ((modes < 4) == (classes == "left"))[near].mean() > 0.95
    only, names = model.sample(200, y="right", random_state=2)
    assert set(names) == {"right"} and (only[:, 1] < 0.8).mean() > 0.95
    # What is known of a row tells its class: the top of the circle is left, its bottom right.
    for place, name in ((2.0, "left"), (-2.0, "right")):
        told = model.story_.labels(300, None, np.random.default_rng(3), np.array([[0.0, place]]))
        assert (model.classes_[told] == name).mean() > 0.95
    report = model.mode_coverage(x, side)
    assert 0.3 < report.coverage < report.ideal and [one.level for one in report.classes] == [
        "left",
        "right",
    ]
    assert (classes == "left").mean() == pytest.approx((side == "left").mean(), abs=4 * 0.5 / 40)


def test_latents_are_found_again(of_ring):
    model = of_ring[0]
    latents = np.random.default_rng(0).normal(size=(40, 8))
    made = model.inverse_transform(latents, "left")
    found = model.transform(made, "left")
    again = model.inverse_transform(found, "left")
    assert found.shape == (40, 8)
    assert np.median(np.abs(again - made)) < 0.02
    np.testing.assert_allclose(model.reconstruct(made, "left"), again, atol=1e-5)
    # The answer for a row does not depend on the rows beside it; a missing cell is left out.
    np.testing.assert_allclose(model.transform(made[:3], "left"), found[:3], atol=1e-3)
    holes = made.copy()
    holes[:, 1] = np.nan
    half = model.inverse_transform(model.transform(holes, "left"), "left")
    assert np.median(np.abs(half - made)[:, 0]) < 0.05
    way = model.interpolate(made[:1], made[1:2], 5, y="left")
    assert way.shape == (5, 2)
    np.testing.assert_allclose(way[[0, -1]], again[:2], atol=1e-2)
    with pytest.raises(UsageError, match="say with y"):
        model.transform(made)
    with pytest.raises(UsageError, match="dimensions"):
        model.inverse_transform(np.zeros((2, 3)), "left")


def test_tables_are_drawn_with_their_rare_levels(of_table):
    drawn, _ = of_table.sample(4000, random_state=1)
    assert drawn.columns == TABLE.columns and drawn.dtypes == TABLE.dtypes
    assert drawn.null_count().sum_horizontal().item() == 0
    shares = {name: (TABLE["place"] == name).mean() for name in ("north", "south", "village")}
    for name, share in shares.items():
        assert (drawn["place"] == name).mean() == pytest.approx(share, abs=0.08), name
    rare = (drawn["place"] == "village").sum()
    assert 4 <= rare <= 60  # 16 in proportion
    mine = {name: drawn.filter(pl.col("place") == name)["size"].mean() for name in shares}
    assert mine["north"] == pytest.approx(0.0, abs=0.4)
    assert mine["south"] == pytest.approx(2.0, abs=0.4)
    assert mine["village"] > 2.5
    assert (drawn["hours"] == 40).mean() == pytest.approx(0.4, abs=0.12)
    assert drawn["hours"].is_between(10, 79).all()
    with pytest.raises(DataError, match="more rows than the 5 neighbours"):
        of_table.mode_coverage(TABLE[:5])
    report = of_table.mode_coverage(TABLE, n_samples=4000, random_state=0)
    assert not report.missing and len(report.levels) == 3 and report.coverage > 0.6
    assert report.levels[2].n_rows == (TABLE["place"] == "village").sum()
    assert "Draws have all 3 levels" in str(report)


def test_what_is_given_is_obeyed(of_table):
    village, _ = of_table.sample(50, random_state=0, given={"place": "village"})
    assert set(village["place"]) == {"village"} and village["size"].mean() > 2.5
    exact, _ = of_table.sample(50, random_state=0, given={"hours": 40, "place": "south"})
    assert set(exact["hours"]) == {40} and set(exact["place"]) == {"south"}
    between, _ = of_table.sample(50, random_state=0, given={"size": (1.0, 3.0)})
    assert between["size"].is_between(1.0, 3.0).all()
    rest = of_table.condition({"place": "south"})
    assert rest.sample(2)[0].columns == ["size", "hours"] and np.isnan(rest.log_condition_)
    assert of_table.marginal(["place", "size"]).sample(2)[0].columns == ["place", "size"]
    with pytest.raises(CannotAnswerError, match="interval"):
        of_table.condition({"size": (0.0, 1.0)})


def test_holes_are_filled_and_seen_cells_kept(of_table):
    holes = TABLE[:200].with_columns(size=pl.lit(None, dtype=pl.Float64))
    filled = of_table.impute(holes)
    assert filled["size"].null_count() == 0 and filled["hours"].equals(TABLE["hours"][:200])
    means = filled.group_by("place").agg(pl.col("size").mean()).sort("place")["size"]
    assert means[1] - means[0] == pytest.approx(2.0, abs=0.6)
    draws = of_table.impute(holes, "draw", 2, random_state=0)
    assert len(draws) == 2 and not draws[0].equals(draws[1])
    with pytest.raises(CannotAnswerError, match="no density"):
        of_table.impute(holes, "mode")


def test_there_is_no_density_and_it_says_so(of_table):
    assert of_table.density_kind == "implicit"
    for question in ("score_samples", "score", "outliers", "aic", "predict_proba", "decide"):
        assert not hasattr(of_table, question)
        with pytest.raises(CannotAnswerError, match="Models that can: "):
            getattr(of_table, question)
    unfitted = GenerativeAdversarialNetwork()
    assert not hasattr(unfitted, "score_samples") and unfitted.density_kind == "implicit"
    from fabula.questions.protocols import CompletesRows, HasDensity, SamplesRows

    story = unfitted.story_class()
    assert not issubclass(story, HasDensity) and not isinstance(of_table.story_, HasDensity)
    assert issubclass(story, SamplesRows) and issubclass(story, CompletesRows)


def test_files_and_seeds_give_the_same_answers(of_table, tmp_path):
    path = tmp_path / "model.fabula"
    save(of_table, path)
    again = load(path)
    assert again.sample(5, random_state=3)[0].equals(of_table.sample(5, random_state=3)[0])
    assert again.report_ == of_table.report_ and again.get_params() == of_table.get_params()
    assert not of_table.sample(5, random_state=3)[0].equals(of_table.sample(5, random_state=4)[0])
    assert set(of_table.report_.losses) == {"generator", "critic", "penalty"}
    assert not of_table.report_.validation


@pytest.mark.slow
def test_columns_that_are_told_and_the_other_loss():
    frame = TABLE[:300].to_pandas()
    frame["nothing"] = np.nan
    frame["same"] = 1.0
    model = GenerativeAdversarialNetwork(
        loss="wasserstein", pack=2, conditional=["hours"], known_share=0.0, max_epochs=1, **TINY
    ).fit(frame)
    assert model.report_.n_steps == 8
    drawn, _ = model.sample(20, given={"hours": 40})
    assert isinstance(drawn, pd.DataFrame) and (drawn["hours"] == 40).all()
    assert (drawn["same"] == 1).all() and drawn["nothing"].isna().all()
    with pytest.raises(DataError, match="say what they are"):
        model.sample(3)
    with pytest.raises(CannotAnswerError, match="known_share"):
        model.sample(3, given={"hours": 40, "size": 1.0})
    with pytest.raises(CannotAnswerError, match="known_share"):
        model.impute(frame[frame["size"].isna()])
    assert model.mode_coverage(frame, n_samples=50).n_draws == 50


def test_images_of_classes():
    from sklearn.datasets import load_digits

    digits = load_digits(n_class=3)
    images, truth = digits.images[:200].astype(np.uint8), digits.target[:200]
    model = GenerativeAdversarialNetwork(max_epochs=1, n_starts=1, n_search=5, **TINY)
    model.fit(images, truth)
    drawn, classes = model.sample(6, y=[0, 1, 2, 0, 1, 2])
    assert drawn.shape == (6, 8, 8) and classes.tolist() == [0, 1, 2, 0, 1, 2]
    assert drawn.dtype == np.uint8 and drawn.max() <= 16
    assert model.traverse(0, 3, row=images[:1], y=truth[0]).dtype == np.uint8
    assert model.reconstruct(images[:2], truth[:2]).shape == (2, 8, 8)
    assert model.transform(images[:2], truth[:2]).shape == (2, 4)
    with pytest.raises(CannotAnswerError, match="impute"):
        model.impute(np.full((1, 8, 8), np.nan))
    with pytest.raises(UsageError, match=r"not of shape \(2, 1\)"):
        model.sample(2, y=[[0], [1]])
    with pytest.raises(DataError, match="Image 2"):
        model.fit(np.stack([images[0], np.full((8, 8), np.inf)]))


@pytest.mark.slow
def test_images_by_convolutions():
    rng = np.random.default_rng(0)
    images = np.zeros((160, 9, 8), dtype=np.uint8)
    for k, column in enumerate(rng.integers(0, 7, 160)):
        images[k, :, column : column + 2] = 255
    model = GenerativeAdversarialNetwork(
        8,
        channels=(8, 12),
        max_epochs=30,
        batch_size=32,
        penalty=1.0,
        learning_rate=2e-3,
        random_state=0,
    ).fit(images)
    drawn, _ = model.sample(64)
    assert drawn.shape == (64, 9, 8)
    # A bright bar from top to bottom: rows of an image are alike, columns differ.
    assert drawn.std(axis=1).mean() < 0.85 * drawn.std(axis=2).mean()
    assert drawn.mean() == pytest.approx(images.mean(), rel=0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "least squares"}, "loss must be one of"),
        ({"balance": True}, "balance must be"),
        ({"pack": 0}, "pack must be"),
        ({"penalty": -1.0}, "penalty must be"),
        ({"known_share": 1.5}, "known_share must lie"),
        ({"n_latent": 0}, "n_latent must be"),
        ({"channels": [-1]}, "channels must be"),
        ({"learning_rate": "fast"}, "learning_rate must lie"),
        ({"known_share": "some"}, "known_share must lie"),
        ({"conditional": "size"}, "list of columns"),
        ({"conditional": ["size", "hours", "place"]}, "every column"),
    ],
)
def test_parameters_that_make_no_sense(options: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        GenerativeAdversarialNetwork(**options).fit(TABLE)


def test_rows_that_cannot_be_learned_from():
    model = GenerativeAdversarialNetwork(max_epochs=1, **TINY)
    with pytest.raises(DataError, match="row 2 "):
        model.fit(TABLE[:4], ["a", None, "b", "a"])
    with pytest.raises(DataError, match="infinity"):
        model.fit(np.array([[1.0, 2.0], [np.inf, 1.0]]))
    with pytest.warns(FabulaWarning), pytest.raises(DataError, match="nothing to learn"):
        model.fit(np.full((4, 2), np.nan))
    with pytest.raises(DataError, match="packs"):
        GenerativeAdversarialNetwork(pack=4, **TINY).fit(np.array([[1.0, 2.0]]))
