"""Diffusion models: tables of all kinds, images, classes, holes, guides, files."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import multivariate_normal

from fabula import load, save
from fabula.cli._models import load_model
from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.estimators.diffusion_model import DiffusionModel
from fabula.persistence import describe
from fabula.report.parameters import describe_model

QUICK = {"width": 32, "depth": 1, "random_state": 0, "steps": 12, "n_times": 16}


def mixed_table(n: int = 600) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 3, n)
    return pl.DataFrame(
        {
            "size": np.where(rng.random(n) < 0.1, np.nan, 2.0 * kind + rng.normal(size=n)),
            "hours": np.where(rng.random(n) < 0.4, 40, rng.integers(10, 80, n)),
            "kind": np.array(["a", "b", "c"])[kind],
            "yes": rng.random(n) < 0.2 + 0.3 * kind,
        }
    ).with_columns(pl.col("size").fill_nan(None))


TABLE = mixed_table()


@pytest.fixture(scope="module")
def of_table() -> DiffusionModel:
    return DiffusionModel(max_epochs=150, batch_size=64, learning_rate=3e-3, **QUICK).fit(TABLE)


def test_it_draws_tables_like_the_one_it_learned(of_table):
    drawn, _ = of_table.sample(250, random_state=1)
    assert drawn.columns == TABLE.columns and drawn.dtypes == TABLE.dtypes
    # 4 standard errors of the share in the table and in the draws.
    assert (drawn["hours"] == 40).mean() == pytest.approx((TABLE["hours"] == 40).mean(), abs=0.15)
    assert drawn["hours"].is_between(9, 81).all()
    for kind in "abc":
        mine, theirs = (t.filter(pl.col("kind") == kind) for t in (drawn, TABLE))
        assert len(mine) / 250 == pytest.approx(len(theirs) / 600, abs=0.15)
        assert mine["size"].mean() == pytest.approx(theirs["size"].mean(), abs=0.5)
        assert mine["yes"].mean() == pytest.approx(theirs["yes"].mean(), abs=0.2)


def test_densities_are_bounds_and_know_how_columns_hang_together(of_table):
    assert of_table.density_kind == "bound"
    scores = of_table.score_samples(TABLE[:250])
    assert scores.shape == (250,) and np.isfinite(scores).all()
    turned = TABLE[:250].with_columns(pl.col("kind").shuffle(seed=0))
    assert scores.mean() > of_table.score(turned) + 0.3
    with pytest.raises(CannotAnswerError, match="flow"):
        of_table.score_samples(TABLE, how="flow")
    # An answer for a row does not depend on the rows beside it.
    np.testing.assert_allclose(of_table.score_samples(TABLE[5:9]), scores[5:9], atol=1e-3)


def test_holes_are_filled_and_seen_cells_kept(of_table):
    holes = TABLE[:200].with_columns(kind=pl.lit(None, dtype=pl.String))
    filled = of_table.impute(holes)
    right = (filled["kind"] == TABLE["kind"][:200]).mean()
    assert filled["size"].null_count() == 0 and right > 0.5
    assert filled["hours"].equals(TABLE["hours"][:200])
    draws = of_table.impute(holes, "draw", 2, random_state=0)
    assert len(draws) == 2 and not draws[0].equals(draws[1])


@pytest.mark.slow
def test_columns_given_others(of_table):
    drawn, _ = of_table.sample(250, random_state=0, given={"kind": "c"})
    assert set(drawn["kind"]) == {"c"} and drawn["size"].mean() > 3.0
    guided, _ = of_table.sample(250, random_state=0, given={"kind": "c"}, guidance=2.0)
    assert set(guided["kind"]) == {"c"} and guided["size"].mean() > 3.0
    between, _ = of_table.sample(250, random_state=0, given={"size": (3.0, 5.0)})
    assert between["size"].is_between(3.0, 5.0).all()
    rest = of_table.condition({"kind": "a"})
    assert rest.sample(2)[0].columns == ["size", "hours", "yes"]
    assert rest.log_condition_ == pytest.approx(np.log(1 / 3), abs=0.5)
    assert of_table.marginal(["yes", "kind"]).sample(2)[0].columns == ["yes", "kind"]
    with pytest.raises(CannotAnswerError, match="interval"):
        of_table.condition({"size": (0.0, 1.0)})
    with pytest.raises(DataError, match="too improbable"):
        of_table.sample(1, given={"size": (400.0, 500.0)})


def test_files_and_seeds_give_the_same_answers(of_table, tmp_path):
    path = tmp_path / "model.fabula"
    save(of_table, path)
    again = load(path)
    assert np.array_equal(again.score_samples(TABLE[:9]), of_table.score_samples(TABLE[:9]))
    assert again.sample(5, random_state=3)[0].equals(of_table.sample(5, random_state=3)[0])
    assert again.report_ == of_table.report_ and again.get_params() == of_table.get_params()
    found, shown = describe(path), load_model(str(path))
    text = describe_model("m", found, shown.estimator, shown.class_names, shown.target)
    assert "density: bound" in text and "component" not in text
    short = [DiffusionModel(max_epochs=1, **QUICK).fit(TABLE).sample(5)[0] for _ in range(2)]
    assert short[0].equals(short[1])


@pytest.mark.slow
def test_candidates_obey_a_function_of_the_table(of_table):
    def long_hours(table: pl.DataFrame) -> np.ndarray:
        return np.where(table["hours"].to_numpy() > 60, 0.0, -np.inf)

    drawn, _ = of_table.sample(8, random_state=0, log_p=long_hours, n_candidates=32)
    assert drawn.columns == TABLE.columns and (drawn["hours"] > 60).all()
    with pytest.raises(DataError, match="n_candidates"):
        of_table.sample(8, log_p=lambda table: np.full(len(table), -np.inf), n_candidates=32)
    with pytest.raises(UsageError, match="log_p"):
        of_table.sample(8, log_p=lambda table: np.zeros((len(table), 2)), n_candidates=32)


@pytest.mark.slow
def test_more_steps_are_better_up_to_the_noise_of_draws(of_table):
    whole = TABLE.drop_nulls()
    table = of_table.steps_table(whole, (2, 16), ("euler",), n_samples=250, random_state=0)
    few, many, own = table
    assert (few["evaluations"], many["evaluations"]) == (2, 16)
    assert many["marginal"] < few["marginal"] and many["energy"] < few["energy"]
    assert own["energy"] < 0.05


COVARIANCE = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.3], [0.0, 0.3, 1.0]])
LAW = multivariate_normal([1.0, -2.0, 0.0], COVARIANCE)
X = LAW.rvs(2000, random_state=0)


@pytest.fixture(scope="module")
def of_numbers() -> DiffusionModel:
    return DiffusionModel(
        scaling="standard",
        known_share=0.5,
        max_epochs=200,
        batch_size=128,
        learning_rate=3e-3,
        **QUICK,
    ).fit(X)


def test_numbers_have_the_density_of_their_law(of_numbers):
    assert of_numbers.density_kind == "estimate"
    new = LAW.rvs(250, random_state=1)
    flow = of_numbers.score_samples(new)
    exact = LAW.logpdf(new)
    assert flow.mean() == pytest.approx(exact.mean(), abs=0.15)
    assert np.corrcoef(flow, exact)[0, 1] > 0.95
    bound = of_numbers.score_samples(new, 64, how="bound")
    assert bound.mean() < flow.mean() + 0.1 and bound.mean() > flow.mean() - 0.4


def test_imputation_is_conditional(of_numbers):
    holes = X[:250].copy()
    holes[:, 1] = np.nan
    gain = COVARIANCE[1, [0, 2]] @ np.linalg.inv(COVARIANCE[np.ix_([0, 2], [0, 2])])
    mean = -2.0 + (holes[:, [0, 2]] - [1.0, 0.0]) @ gain
    spread = np.sqrt(1.0 - gain @ COVARIANCE[[0, 2], 1])
    error = of_numbers.impute(holes)[:, 1] - mean
    # 32 draws each: a spread of spread / sqrt(32) at best.
    assert np.sqrt(np.mean(error**2)) < 0.6 * spread
    drawn = of_numbers.impute(holes, "draw", random_state=0)[:, 1] - mean
    assert drawn.std() == pytest.approx(spread, rel=0.25)


@pytest.mark.slow
def test_a_gradient_steers_numbers(of_numbers):
    import jax.numpy as jnp

    def log_p(rows):
        return -0.5 * jnp.square((rows[:, 2] - 1.5) / 0.5)

    drawn, _ = of_numbers.sample(250, random_state=0, log_p=log_p, differentiable=True)
    # The exact posterior has the mean 1.2; steering by means overdoes it a little.
    assert 0.9 < drawn[:, 2].mean() < 2.0
    chosen, _ = of_numbers.sample(
        100, random_state=0, log_p=lambda x: np.asarray(log_p(x)), n_candidates=32
    )
    assert chosen[:, 2].mean() == pytest.approx(1.2, abs=4 * 0.45 / 10 + 0.1)


@pytest.mark.slow
def test_classes_are_told_and_found():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 600)
    x = rng.normal(size=(600, 2)) + 2.5 * truth[:, None] * [1, -1]
    y = np.array(["no", "yes"])[truth].astype(object)
    y[::5] = None
    model = DiffusionModel(max_epochs=60, batch_size=64, learning_rate=3e-3, **QUICK).fit(x, y)
    assert model.classes_.tolist() == ["no", "yes"]
    drawn, labels = model.sample(250, random_state=0, y="yes")
    assert set(labels) == {"yes"} and drawn[:, 0].mean() == pytest.approx(2.5, abs=0.4)
    strong, _ = model.sample(250, random_state=0, y="yes", guidance=3.0)
    assert strong[:, 0].mean() > drawn[:, 0].mean()
    assert np.mean(model.predict(x[:200]) == np.array(["no", "yes"])[truth[:200]]) > 0.9
    np.testing.assert_allclose(model.predict_proba(x[:50]).sum(axis=1), 1.0)
    # Values tell of the class: p(yes | first column) is almost 1 here.
    _, told = model.sample(250, random_state=0, given={0: 3.5})
    assert np.mean(told == "yes") > 0.9
    some, both = model.sample(6, random_state=0, given={0: (1.0, None)}, y=["no", "yes"] * 3)
    assert both.tolist() == ["no", "yes"] * 3 and np.all(some[:, 0] >= 1.0)
    with pytest.raises(UsageError, match="none of the classes"):
        model.sample(2, y="maybe")


@pytest.mark.slow
def test_conditional_columns_have_to_be_said():
    x = np.column_stack([X[:, 0], X[:, 1]])
    model = DiffusionModel(
        conditional=[0], max_epochs=40, batch_size=128, learning_rate=3e-3, **QUICK
    ).fit(x)
    with pytest.raises(DataError, match="given"):
        model.sample(3)
    drawn, _ = model.sample(250, given={0: 2.5}, random_state=0)
    assert np.all(drawn[:, 0] == 2.5)
    assert drawn[:, 1].mean() == pytest.approx(-2.0 + 0.8 * 1.5, abs=0.3)


@pytest.mark.slow
def test_images_of_digits_are_drawn_and_filled():
    from sklearn.datasets import load_digits

    images = load_digits().images[:600]
    model = DiffusionModel(
        max_epochs=80, batch_size=64, learning_rate=3e-3, **{**QUICK, "width": 128}
    ).fit(images)
    drawn, _ = model.sample(64, random_state=0)
    assert drawn.shape == (64, 8, 8) and set(np.unique(drawn)) <= set(range(17))
    # Where ink is: the corners of digits are empty, the middle is not.
    assert drawn[:, :, 0].mean() < 1.5 < 5.0 < drawn[:, 2:6, 2:6].mean()
    holes = images[:3].astype(float)
    holes[:, 4:] = np.nan
    filled = model.impute(holes, "draw", random_state=0)
    assert np.array_equal(filled[:, :4], images[:3, :4]) and not np.isnan(filled).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"solver": "rk45"}, "solver"),
        ({"steps": 0}, "steps"),
        ({"churn": -1.0}, "churn"),
        ({"width": 0}, "width"),
        ({"known_share": 2.0}, "known_share"),
        ({"dropout": 1.0}, "dropout"),
        ({"conditional": [0, 1, 2]}, "every column"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        DiffusionModel(**wrong).fit(X[:50])


@pytest.mark.slow
@pytest.mark.parametrize(
    "table",
    [
        {"a": ["x", "y"] * 30, "b": ["u", "v", "w"] * 20},
        {"a": [1.0] * 60, "b": np.linspace(0, 1, 60)},
        {"a": [None] * 60, "b": np.linspace(0, 1, 60)},
    ],
)
def test_odd_tables_work(table):
    table = pl.DataFrame(table)
    kinds = {"a": "continuous"} if table["a"].null_count() else None
    model = DiffusionModel(max_epochs=2, kinds=kinds, **QUICK).fit(table)
    drawn, _ = model.sample(5)
    assert drawn.columns == table.columns
    assert np.isfinite(model.score_samples(table)).all()
