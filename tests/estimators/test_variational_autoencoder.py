"""Variational autoencoders: tables of all kinds, images, classes, holes, files."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from fabula import load, save
from fabula.core.errors import CannotAnswerError, DataError, FabulaWarning, UsageError
from fabula.estimators.variational_autoencoder import VariationalAutoencoder
from fabula.questions.score import tail_probability

QUICK = {"hidden": (24,), "random_state": 0, "batch_size": 64}


def mixed_table(n: int = 400) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 3, n)
    size = 2.0 * kind + rng.normal(size=n)
    return pl.DataFrame(
        {
            "size": np.where(rng.random(n) < 0.1, np.nan, size),
            "count": rng.poisson(3.0 + 4 * kind),
            "hours": np.where(rng.random(n) < 0.4, 40, rng.integers(10, 80, n)),
            "kind": np.array(["a", "b", "c"])[kind],
            "yes": rng.random(n) < 0.2 + 0.3 * kind,
        }
    ).with_columns(pl.col("size").fill_nan(None))


TABLE = mixed_table()


@pytest.fixture(scope="module")
def of_table() -> VariationalAutoencoder:
    return VariationalAutoencoder(2, max_epochs=40, **QUICK).fit(TABLE)


@pytest.mark.slow
def test_it_answers_in_the_form_of_the_table(of_table):
    model = of_table
    assert model.density_kind == "bound"
    drawn, _ = model.sample(300, random_state=1)
    assert drawn.columns == TABLE.columns and drawn.dtypes == TABLE.dtypes
    assert set(drawn["kind"]) == {"a", "b", "c"} and (drawn["hours"] == 40).mean() > 0.2
    scores = model.score_samples(TABLE)
    assert scores.shape == (400,) and np.isfinite(scores).all()
    # Beside independent columns: kinds, sizes and counts hang together.
    assert scores.mean() > -11
    filled = model.impute(TABLE)
    assert filled["size"].null_count() == 0
    seen = TABLE["size"].is_not_null()
    assert filled.filter(seen).equals(TABLE.filter(seen))
    z = model.transform(TABLE)
    assert z.shape == (400, 2) and model.inverse_transform(z[:5]).columns == TABLE.columns
    assert model.interpolate(TABLE[:1], TABLE[1:2], 4).height == 4
    assert model.traverse(1, 5).height == 5
    assert set(model.cluster(TABLE, 2).tolist()) == {0, 1}


def test_candidates_for_a_cell_have_densities_that_integrate_to_one(of_table):
    story, rows = of_table.story_, np.asarray(of_table._read(TABLE[:6]))
    for name, candidates in (("kind", np.arange(3.0)), ("count", np.arange(-40.0, 120.0))):
        (place,) = of_table.columns_.find(name)
        told = story.log_prob_of_cells(rows, place, candidates[:, None])
        # A level that was never seen has 1 in n.
        assert np.exp(told).sum(axis=0) == pytest.approx(np.ones(6), abs=3e-3)
        # And they are those of rows with the cell over rows without it.
        without = rows.copy()
        without[:, place] = np.nan
        apart = story.log_prob(rows, 2000) - story.log_prob(without, 2000)
        mine = story.log_prob_of_cells(rows, place, rows[:, place][None])[0]
        np.testing.assert_allclose(mine, apart, atol=0.25)


def test_rows_with_many_patterns_of_holes_are_compared_with_their_like(of_table):
    rng = np.random.default_rng(0)
    rows = np.asarray(of_table._read(TABLE[:30])).copy()
    rows[rng.random(rows.shape) < 0.4] = np.nan
    usual = of_table.story_
    shares = tail_probability(usual, rows, n_draws=300, fewest=20)
    assert ((shares > 0) & (shares <= 1)).all()
    odd = TABLE[:1].with_columns(pl.lit(500.0).alias("size"))
    assert of_table.outliers(odd, n_draws=300) < 0.01
    assert np.median(of_table.outliers(TABLE[:50], n_draws=300)) > 0.2


def test_the_most_probable_cells(of_table):
    none = {"kind": pl.lit(None, pl.String), "hours": pl.lit(None, pl.Int64)}
    holes = TABLE.with_columns(**none)
    filled = of_table.impute(holes, how="mode")
    assert (filled["kind"] == TABLE["kind"]).mean() > 0.55  # of three
    assert filled["kind"].equals(of_table.impute(holes)["kind"])
    assert set(filled["hours"]) == {40}  # the spike; the mean lies elsewhere


def test_columns_given_others(of_table):
    drawn, _ = of_table.sample(300, random_state=0, given={"kind": "c"})
    assert set(drawn["kind"]) == {"c"}
    means = TABLE.group_by("kind").agg(pl.col("count").mean()).sort("kind")["count"]
    assert drawn["count"].mean() > means[1]
    between, _ = of_table.sample(50, random_state=0, given={"size": (3.0, 5.0)})
    assert between["size"].is_between(3.0, 5.0).all()
    rest = of_table.condition({"kind": "a"})
    assert rest.sample(2)[0].columns == ["size", "count", "hours", "yes"]
    assert rest.log_condition_ == pytest.approx(np.log((TABLE["kind"] == "a").mean()), abs=0.35)
    assert of_table.marginal(["yes", "kind"]).sample(2)[0].columns == ["yes", "kind"]
    with pytest.raises(CannotAnswerError, match="without y"):
        of_table.decide(TABLE, np.eye(2))
    with pytest.raises((CannotAnswerError, UsageError)):
        of_table.sample(3, y=1)


@pytest.mark.slow
def test_files_and_seeds_give_the_same_answers(of_table, tmp_path):
    path = tmp_path / "model.fabula"
    save(of_table, path)
    again = load(path)
    assert np.array_equal(again.score_samples(TABLE[:20]), of_table.score_samples(TABLE[:20]))
    assert again.sample(5, random_state=3)[0].equals(of_table.sample(5, random_state=3)[0])
    assert again.report_ == of_table.report_ and again.get_params() == of_table.get_params()
    short = [
        VariationalAutoencoder(2, max_epochs=1, **QUICK).fit(TABLE).transform(TABLE[:5])
        for _ in range(2)
    ]
    assert np.array_equal(*short)


@pytest.mark.slow
def test_classes_are_learned_from_few_labels(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 600)
    X = rng.normal(size=(600, 4)) + 2.5 * truth[:, None] * [1, -1, 1, 0]
    y = np.where(np.arange(600) < 12, truth, -1)
    model = VariationalAutoencoder(1, max_epochs=40, **QUICK).fit(X, y)
    probabilities = model.predict_proba(X)
    assert model.classes_.tolist() == [0, 1]
    assert np.mean(model.predict(X) == truth) > 0.95
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    joint = model.predict_joint_log_proba(X[:200])
    assert np.mean(joint.argmax(axis=1) == truth[:200]) > 0.9
    shifted = model.with_prior([0.9, 0.1])
    assert np.all(shifted.predict_proba(X)[:, 0] >= probabilities[:, 0])
    drawn, labels = model.sample(200, random_state=0)
    assert np.mean((drawn[:, 0] > 1.25) == (labels == 1)) > 0.75
    wanted = np.arange(200) % 2
    drawn, labels = model.sample(200, random_state=0, y=wanted)
    assert np.array_equal(labels, wanted)
    assert abs(drawn[wanted == 1, 0].mean() - drawn[wanted == 0, 0].mean() - 2.5) < 0.8
    drawn, labels = model.sample(100, random_state=0, y=1, given={0: (1.0, None)})
    assert set(labels) == {1} and drawn[:, 0].min() >= 1.0 and drawn[:, 2].mean() > 1.5
    drawn, labels = model.sample(60, random_state=0, y=wanted[:60], given={3: 0.0})
    assert np.array_equal(labels, wanted[:60]) and set(drawn[:, 3]) == {0.0}
    assert abs(drawn[labels == 1, 0].mean() - drawn[labels == 0, 0].mean() - 2.5) < 1.0
    assert 1 < model.effective_sample_size_ <= 60
    assert model.decide(X[:3], {0: {"go": 0, "stay": 1}, 1: {"go": 1, "stay": 0}}).shape == (3,)
    save(model, tmp_path / "m.fabula")
    assert np.array_equal(load(tmp_path / "m.fabula").predict_proba(X[:9]), probabilities[:9])


@pytest.mark.slow
def test_a_stack_learns_classes_too():
    from sklearn.datasets import load_digits

    digits = load_digits(n_class=4)
    y = np.where(np.arange(len(digits.target)) < 80, digits.target, -1)
    model = VariationalAutoencoder(
        8, hidden=(64,), layers="M1+M2", max_epochs=100, batch_size=32, random_state=0
    ).fit(digits.images, y)
    # By chance .25.
    assert np.mean(model.predict(digits.images[80:]) == digits.target[80:]) > 0.8
    images, labels = model.sample(40, random_state=0, y=[3, 0] * 20)
    assert images.shape == (40, 8, 8) and np.array_equal(labels, [3, 0] * 20)
    assert np.mean(model.predict(images) == labels) > 0.8
    assert np.isfinite(model.score_samples(digits.images[:3])).all()


@pytest.fixture(scope="module")
def of_images() -> tuple[VariationalAutoencoder, np.ndarray]:
    from sklearn.datasets import load_digits

    images = load_digits().images[:500]
    return VariationalAutoencoder(8, max_epochs=150, **QUICK).fit(images), images


def test_images_in_and_out(of_images):
    model, images = of_images
    assert model.sample(3)[0].shape == (3, 8, 8)
    back = model.reconstruct(images[:50])
    assert back.shape == (50, 8, 8)
    whole = images[:2].astype(np.uint8)
    assert model.impute(whole).dtype == np.uint8 and np.array_equal(model.impute(whole), whole)
    spread = np.mean((images - images.mean(axis=0)) ** 2)
    assert np.mean((back - images[:50]) ** 2) < 0.7 * spread
    holes = images[:5].copy()
    holes[:, :, 5:] = np.nan
    filled = model.impute(holes)
    assert np.array_equal(filled[:, :, :5], images[:5, :, :5]) and not np.isnan(filled).any()
    assert 0.5 < model.bits_per_dimension(images) < np.log2(17)
    assert model.interpolate(images[:1], images[1:2], 3).shape == (3, 8, 8)
    np.testing.assert_allclose(
        model.score_samples(images[:3].reshape(3, -1)), model.score_samples(images[:3])
    )
    with pytest.raises(DataError, match="shape"):
        model.score_samples(np.zeros((2, 5, 5)))


def test_draws_beyond_the_range_of_a_type_end_where_it_does():
    dark = np.random.default_rng(0).integers(0, 4, (80, 3, 3)).astype(np.uint8)
    model = VariationalAutoencoder(1, likelihood="normal", max_epochs=2, **QUICK).fit(dark)
    drawn = model.sample(200, random_state=0)[0]
    assert drawn.dtype == np.uint8 and drawn.min() == 0 and drawn.max() < 50


def test_bits_are_counted_for_cells_that_have_a_density():
    X = np.random.default_rng(0).normal(size=(60, 3))
    model = VariationalAutoencoder(1, max_epochs=1, conditional=[1], **QUICK).fit(X)
    nats = -model.score_samples(X).sum()
    assert model.bits_per_dimension(X) == pytest.approx(nats / np.log(2) / 120)
    rest = model.condition({1: 0.5})
    nats = -rest.score_samples(X[:, [0, 2]]).sum()
    assert rest.bits_per_dimension(X[:, [0, 2]]) == pytest.approx(nats / np.log(2) / 120)
    only_given = np.where(np.arange(3) == 1, X, np.nan)
    with pytest.raises(UsageError, match="missing or given"):
        model.bits_per_dimension(only_given)


TABLES = {
    "categories only": pl.DataFrame({"a": ["x", "y", "x"] * 20, "b": ["p", "q", "q"] * 20}),
    "a constant and a column of holes": np.column_stack(
        [np.full(50, 3.0), np.full(50, np.nan), np.arange(50.0)]
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.filterwarnings("ignore::fabula.FabulaWarning")
def test_odd_tables(name):
    table = TABLES[name]
    model = VariationalAutoencoder(1, max_epochs=1, **QUICK).fit(table)
    assert np.isfinite(model.score_samples(table)).all()
    drawn, _ = model.sample(4, random_state=0)
    assert len(drawn) == 4
    filled = np.asarray(model.impute(table))
    if name == "a constant and a column of holes":
        assert np.isnan(filled[:, 1]).all() and np.all(drawn[:, 0] == 3.0)


def test_what_makes_no_sense_is_refused():
    X = np.random.default_rng(0).normal(size=(20, 2))
    for wrong, message in [
        ({"n_latent": 0}, "n_latent"),
        ({"hidden": (0,)}, "hidden"),
        ({"hidden": 64}, "hidden"),
        ({"prior": "flat"}, "prior"),
        ({"beta": -1.0}, "beta"),
        ({"beta": 2.0, "n_draws": 5}, "n_draws=1"),
        ({"likelihood": "odd"}, "likelihood"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"validation": 1.0}, "validation"),
        ({"layers": "M3"}, "layers"),
        ({"hidden_share": 2.0}, "hidden_share"),
        ({"conditional": [0, 1]}, "conditional"),
        ({"conditional": [7]}, "7"),
    ]:
        with pytest.raises(UsageError, match=message):
            VariationalAutoencoder(**wrong).fit(X)
    X[3, 1] = np.inf
    with pytest.raises(DataError, match="row 4, column 1"):
        VariationalAutoencoder().fit(X)
    with pytest.raises(DataError, match="0 sample"):
        VariationalAutoencoder().fit(np.zeros((0, 4, 4)))
    with pytest.warns(FabulaWarning), pytest.raises(DataError, match="nothing to learn"):
        VariationalAutoencoder().fit(np.full((5, 2), np.nan))


def test_a_missing_extra_is_said_in_one_sentence(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "jax" else find(name)
    )
    with pytest.raises(UsageError, match=r"needs jax: pip install"):
        VariationalAutoencoder().fit(np.zeros((3, 2)))
