"""Latent trees from noisy counts: what they promise, and what they are without noise."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

import fabula
from fabula import LatentTreeModel
from fabula.core.errors import DataError, UsageError
from fabula.estimators.trees import privacy
from fabula.estimators.trees.privacy import fit_privately
from fabula.learning.privacy import GaussianMechanism, spent
from fabula.tables.encoding import Field

ALMOST_NONE = (1e7, 1e-6)


def make_table(n: int = 4000, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    a = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    b = np.where(rng.random(n) < 0.8, a, rng.integers(0, 3, n))
    c = np.where(rng.random(n) < 0.7, b, rng.integers(0, 3, n))
    return pl.DataFrame(
        {
            "a": np.array(["x", "y", "z"])[a],
            "b": np.array(["r", "s", "t"])[b],
            "c": np.array(["u", "v", "w"])[c],
            "size": np.round(rng.normal(50 + 10 * c, 6.0)),
        }
    )


@pytest.fixture(autouse=True)
def _the_same_noise_every_time(request, monkeypatch: pytest.MonkeyPatch) -> None:
    if "seed" not in request.node.name:
        rng = np.random.default_rng(0)
        monkeypatch.setattr(privacy, "system_noise", rng.standard_normal)


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return make_table()


def test_what_is_spent_is_what_was_promised(table: pl.DataFrame) -> None:
    model = LatentTreeModel(privacy=(0.8, 1e-5), bounds={"size": (0, 127)}).fit(table)
    told = model.privacy_
    assert told is not None
    sizes = [release["sensitivity"] for release in told["releases"]]
    noise = [release["noise"] for release in told["releases"]]
    # Three categories count a row once; 128 steps are counted in two rounds. Then 6 pairs, and 3
    # along the tree.
    np.testing.assert_allclose(sizes, np.sqrt([3 + 2, 6, 3]))
    epsilon, rho = spent(sizes, noise, 1e-5)
    assert epsilon == pytest.approx(0.8, rel=1e-6)
    assert rho == pytest.approx(told["rho"], rel=1e-9)
    assert told["rho"] == pytest.approx(GaussianMechanism(0.8, 1e-5).rho)
    assert (told["epsilon"], told["delta"]) == (0.8, 1e-5)
    # σ = Δ / (μ √share), the formula of the Gaussian mechanism.
    mu = GaussianMechanism(0.8, 1e-5).mu
    for size, scale, share in zip(sizes, noise, (0.3, 0.2, 0.5), strict=True):
        assert scale == pytest.approx(size / (mu * math.sqrt(share)))


def _released(
    x: np.ndarray, fields: list[Field], monkeypatch: pytest.MonkeyPatch
) -> list[list[np.ndarray]]:
    """The exact counts of the three releases, as they were before noise came on top."""
    from fabula.learning import private_counts

    kept: list[list[np.ndarray]] = [[], [], []]
    count, pairs, bins = private_counts._count, privacy._pair_counts, np.bincount
    stage = [0]

    def watch_count(*arguments):
        kept[0].append(count(*arguments))
        return kept[0][-1]

    def watch_pairs(*arguments):
        kept[stage[0]].append(pairs(*arguments).ravel())
        return pairs(*arguments)

    def watch_structure(*arguments):
        stage[0] = 1
        found = structure(*arguments)
        stage[0] = 2
        return found

    def watch_levels(cells, field, scale, noise):
        kept[0].append(bins(cells[~np.isnan(cells)].astype(int), minlength=field.n_levels))
        return levels(cells, field, scale, noise)

    structure, levels = privacy._structure, privacy._levels
    with monkeypatch.context() as patch:
        patch.setattr(private_counts, "_count", watch_count)
        patch.setattr(privacy, "_pair_counts", watch_pairs)
        patch.setattr(privacy, "_structure", watch_structure)
        patch.setattr(privacy, "_levels", watch_levels)
        fit_privately(
            x, fields, (1.0, 1e-6), {2: (0.0, 100.0)}, [0.0, 0.0, 1.0],
            noise=lambda number: np.zeros(number),
        )  # fmt: skip
    return kept


def test_one_row_changes_no_release_by_more_than_its_sensitivity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    n = 6000
    a = rng.integers(0, 4, n)
    x = np.column_stack([a, rng.integers(0, 3, n), 10.0 + 20 * a + rng.integers(0, 9, n)])
    fields = [Field("a", "category", 4), Field("b", "category", 3), Field("c", "count")]
    whole = _released(x, fields, monkeypatch)
    expected = np.sqrt([1 + 1 + 2, 3, 2])
    for row in (0, 17, 5999):
        less = _released(np.delete(x, row, axis=0), fields, monkeypatch)
        for one, other, limit in zip(whole, less, expected, strict=True):
            change = np.concatenate(one) - np.concatenate(other)
            assert np.linalg.norm(change) <= limit + 1e-9


def test_with_next_to_no_noise_it_is_the_tree_of_plain_counts(table: pl.DataFrame) -> None:
    model = LatentTreeModel(privacy=ALMOST_NONE, bounds={"size": (0, 127)}, smoothing=0.0)
    model.fit(table)
    counts = table.group_by("a", "b").len()
    for a in "xyz":
        rows = counts.filter(pl.col("a") == a)
        shares = model.predict_proba(pl.DataFrame({"a": [a]}, schema={"a": pl.String}).with_columns(
            *[pl.lit(None).alias(name) for name in ("b", "c", "size")]), target="b")[0]  # fmt: skip
        for level, share in zip(model.classes_of("b"), shares, strict=True):
            seen = rows.filter(pl.col("b") == level)["len"].sum()
            assert share == pytest.approx(seen / rows["len"].sum(), abs=2e-3)
    edges = {frozenset((name, parent)) for name, parent, _ in model.tree_ if parent}
    assert edges == {frozenset("ab"), frozenset("bc"), frozenset(("c", "size"))}


def test_with_next_to_no_noise_it_is_as_good_as_without_privacy(table: pl.DataFrame) -> None:
    fresh = make_table(4000, seed=1)
    private = LatentTreeModel(privacy=ALMOST_NONE).fit(table)
    plain = LatentTreeModel(12, max_passes=10, random_state=0).fit(table)
    alone = LatentTreeModel(1, max_passes=2, random_state=0).fit(table)
    gained = plain.score(fresh) - alone.score(fresh)
    assert private.score(fresh) > alone.score(fresh) + 0.9 * gained


def test_more_privacy_costs_likelihood(table: pl.DataFrame) -> None:
    fresh = make_table(4000, seed=1)
    scores = [
        LatentTreeModel(privacy=(epsilon, 1e-6)).fit(table).score(fresh)
        for epsilon in (0.05, 1.0, 100.0)
    ]
    assert scores == sorted(scores)
    assert scores[1] > scores[0] + 0.05


def test_the_seed_says_nothing_about_the_noise(table: pl.DataFrame) -> None:
    models = [LatentTreeModel(privacy=(1.0, 1e-6), random_state=0).fit(table) for _ in range(2)]
    assert not np.array_equal(*(m.score_samples(table.head(50)) for m in models))


def test_nothing_else_of_the_rows_is_kept(table: pl.DataFrame, tmp_path) -> None:
    odd = table.vstack(table.head(1).with_columns(size=pl.lit(987654.0)))
    model = LatentTreeModel(privacy=(1.0, 1e-6)).fit(odd)
    schema = model.encoding_.schema
    assert schema["size"].upper != 987654.0
    assert all(column.n_missing is None and column.n_distinct is None for column in schema)
    assert math.isnan(model.held_out_score_) and model.report_.trace == ()
    drawn, _ = model.sample(2000, random_state=0)
    assert drawn.schema == table.schema
    assert drawn["size"].max() < 987654.0
    fabula.save(model, tmp_path / "m.fabula")
    again = fabula.load(tmp_path / "m.fabula")
    assert again.privacy_ == model.privacy_
    np.testing.assert_array_equal(again.score_samples(table), model.score_samples(table))


def test_questions_have_answers(table: pl.DataFrame) -> None:
    holes = table.head(300).with_columns(
        pl.when(pl.int_range(300) % 2 == 0).then(None).otherwise(pl.col("b")).alias("b")
    )
    model = LatentTreeModel(privacy=(20.0, 1e-6)).fit(table.drop("a"), table["a"])
    assert (model.predict(table.drop("a")) == table["a"].to_numpy()).mean() > 0.75
    assert model.impute(holes.drop("a"))["b"].null_count() == 0
    assert model.condition({"size": (40, 60)}).log_condition_ < 0
    with_gaps = LatentTreeModel(privacy=(20.0, 1e-6), missing="value").fit(holes)
    assert with_gaps.indicators_ == ["b is missing"]
    assert 0.3 < with_gaps.sample(500, random_state=0)[0]["b"].is_null().mean() < 0.7


def test_dates_and_single_columns() -> None:
    rng = np.random.default_rng(0)
    days = pl.Series("day", np.datetime64("2024-01-01") + rng.integers(0, 300, 3000))
    model = LatentTreeModel(privacy=(5.0, 1e-6)).fit(pl.DataFrame({"day": days}))
    drawn = model.sample(500, random_state=0)[0]["day"]
    assert drawn.dtype == days.dtype
    assert (drawn.dt.year() == 2024).mean() > 0.9
    assert [release["counts"] for release in model.privacy_["releases"]] == ["values"]


def test_what_makes_no_sense_is_refused(table: pl.DataFrame) -> None:
    for wrong, said in (
        ({"privacy": 1.0}, "epsilon, delta"),
        ({"privacy": (0.0, 1e-6)}, "epsilon is 0.0"),
        ({"privacy": (1.0, 2.0)}, "delta is 2.0"),
        ({"bounds": {"size": (0, 1)}}, "without it"),
        ({"privacy": (1.0, 1e-6), "bounds": {"a": (0, 1)}}, "levels have no ends"),
        ({"privacy": (1.0, 1e-6), "bounds": {"size": (5, 5)}}, "low below high"),
        ({"privacy": (1.0, 1e-6), "bounds": {"sice": (5, 6)}}, "sice"),
    ):
        with pytest.raises(UsageError, match=said):
            LatentTreeModel(**wrong).fit(table)
    with pytest.raises(UsageError, match="sample_weight"):
        LatentTreeModel(privacy=(1.0, 1e-6)).fit(table, sample_weight=np.ones(len(table)))
    with pytest.raises(DataError, match="state its bounds"):
        LatentTreeModel(privacy=(0.1, 1e-6)).fit(table.head(20))


def test_the_noise_on_every_count_has_the_scale_that_was_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(0, 3, 900)
    x = np.column_stack([a, a > 0, (a + rng.integers(0, 2, 900)) % 4])
    fields = [Field("a", "category", 3), Field("b", "category", 2), Field("c", "category", 4)]
    seen: list[np.ndarray] = []
    plain = privacy.on_simplex

    def watched(noisy: np.ndarray, total: float | None = None) -> np.ndarray:
        seen.append(np.asarray(noisy))
        return plain(noisy, total)

    monkeypatch.setattr(privacy, "on_simplex", watched)
    stages = []
    for draw in (0.0, 1e-4):
        seen.clear()
        found = fit_privately(
            x.astype(float), fields, (50.0, 1e-6), {}, [0.0] * 3, most_codes=4,
            noise=lambda number, draw=draw: np.full(number, draw),
        )  # fmt: skip
        stages.append(list(seen))
    scales = [release["noise"] for release in found.spending["releases"]]
    expected = [scales[0]] * 3 + [scales[1]] * 3 + [scales[2]] * 2
    assert len(stages[0]) == len(stages[1]) == 8
    for without, with_noise, scale in zip(*stages, expected, strict=True):
        np.testing.assert_allclose(with_noise - without, 1e-4 * scale, rtol=1e-6)
