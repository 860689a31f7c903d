"""The most probable values of missing cells under a latent tree."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.families.bernoulli import Bernoulli
from fabula.families.bins import Bins
from fabula.families.categorical import Categorical
from fabula.questions.impute import impute
from fabula.structures import LatentTree

H = 3


@pytest.fixture(scope="module")
def tree() -> LatentTree:
    rng = np.random.default_rng(0)
    lattice = np.round(rng.gamma(3.0, 2.0, size=(400, 1)))
    spiked = np.where(rng.random((600, 1)) < 0.3, 0.0, rng.normal(4.0, 1.0, size=(600, 1)))
    banks = [
        Categorical(np.column_stack([rng.dirichlet(np.ones(4), H), np.zeros(H)]), (4,)),
        Bins(rng.dirichlet(np.ones(len(Bins.layout_from(lattice)[0].shares)), H),
             Bins.layout_from(lattice)),
        Bins(rng.dirichlet(np.ones(len(Bins.layout_from(spiked)[0].shares)), H),
             Bins.layout_from(spiked)),
        Bernoulli(rng.random((H, 1))),
    ]  # fmt: skip
    transitions = rng.dirichlet(np.ones(H), size=(2, H))
    return LatentTree(
        np.array([-1, 0, 1]), np.array([0, 1, 2, 1]), rng.dirichlet(np.ones(H)), transitions,
        tuple(banks),
    )  # fmt: skip


@pytest.mark.parametrize("how", ["mean", "mode"])
def test_levels_are_those_with_the_highest_density(tree: LatentTree, how: str) -> None:
    x, _ = tree.sample(40, np.random.default_rng(1))
    for column, n_levels in ((0, 4), (3, 2)):
        holes = x.copy()
        holes[:, column] = np.nan
        filled = impute(tree, holes, how, levels={0: 4, 3: 2})  # type: ignore[arg-type]
        scores = np.empty((n_levels, len(x)))
        for level in range(n_levels):
            holes[:, column] = level
            scores[level] = tree.log_prob(holes)
        np.testing.assert_array_equal(filled[:, column], scores.argmax(axis=0))


@pytest.mark.parametrize("column", [1, 2])
def test_numbers_are_where_the_density_is_highest(tree: LatentTree, column: int) -> None:
    x, _ = tree.sample(25, np.random.default_rng(2))
    x[:, column] = np.nan
    filled = impute(tree, x, "mode", levels={0: 4, 3: 2})
    found = tree.log_prob(filled)
    others = [0, 1, 2, 3]
    others.remove(column)
    np.testing.assert_array_equal(filled[:, others], x[:, others])
    grid = np.arange(-5.0, 60.0) if column == 1 else np.linspace(-3, 9, 401)
    trials = np.repeat(x, len(grid), axis=0)
    trials[:, column] = np.tile(grid, len(x))
    told = tree.log_prob(trials).reshape(len(x), len(grid))
    # The middle of a bin that leans by less than a tenth stands for its end.
    assert np.all(told.max(axis=1) <= found + 0.1)


def test_all_columns_at_once(tree: LatentTree) -> None:
    x, _ = tree.sample(30, np.random.default_rng(3))
    x[np.random.default_rng(4).random(x.shape) < 0.5] = np.nan
    together = impute(tree, x, "mode", levels={0: 4, 3: 2})
    assert not np.isnan(together).any()
    one = impute(tree, x[:1], "mode", levels={0: 4, 3: 2})
    np.testing.assert_array_equal(one, together[:1])
    mean = impute(tree, x, "mean", levels={0: 4, 3: 2})
    np.testing.assert_array_equal(mean[:, [0, 3]], together[:, [0, 3]])
    np.testing.assert_allclose(mean[:, [1, 2]], tree.complete(x)[:, [1, 2]])
