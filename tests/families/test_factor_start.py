"""Principal components in closed form, as a beginning."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import UsageError
from fabula.families.factor import NormalFactor
from fabula.families.factor_start import leading_directions, principal_start


def _low_rank(n: int, d: int, rank: int, noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scales = np.linspace(3.0, 1.0, rank)
    x = (rng.normal(size=(n, rank)) * scales) @ rng.normal(size=(rank, d))
    return x + noise * rng.normal(size=(n, d)) + 5.0


def test_the_start_is_the_closed_form_of_probabilistic_pca() -> None:
    x = _low_rank(200, 8, 3, 0.5)
    weights = np.random.default_rng(1).random((200, 2))
    start = principal_start(x, weights, 3, np.random.default_rng(2), isotropic=True)
    for k in range(2):
        weight = weights[:, k] / weights[:, k].sum()
        mean = weight @ x
        covariance = (x - mean).T @ ((x - mean) * weight[:, None])
        values, vectors = np.linalg.eigh(covariance)
        rest = values[:-3].mean()
        expected = (vectors[:, -3:] * (values[-3:] - rest)) @ vectors[:, -3:].T + rest * np.eye(8)
        told = start.loadings[k] @ start.loadings[k].T + np.diag(start.noise[k])
        np.testing.assert_allclose(start.means[k], mean, atol=1e-12)
        np.testing.assert_allclose(told, expected, atol=1e-10)


def test_the_isotropic_start_is_a_maximum() -> None:
    x = _low_rank(200, 8, 3, 0.5)
    ones = np.ones((200, 1))
    start = principal_start(x, ones, 3, np.random.default_rng(2), isotropic=True)
    best = start.log_prob(x).sum()
    fit = start
    for _ in range(50):
        fit = fit.maximise(fit.statistics(x, ones))
    assert fit.log_prob(x).sum() == pytest.approx(best, abs=1e-7)


def test_variances_of_the_columns_are_kept() -> None:
    x = _low_rank(200, 8, 3, 0.5)
    start = principal_start(x, np.ones((200, 1)), 3, np.random.default_rng(2))
    told = (start.loadings[0] ** 2).sum(axis=1) + start.noise[0]
    np.testing.assert_allclose(told, x.var(axis=0), rtol=1e-10)


@pytest.mark.parametrize("shape", [(300, 500), (500, 300)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_random_projections_find_the_leading_directions(
    shape: tuple[int, int], dtype: type
) -> None:
    x = (_low_rank(*shape, 4, 0.5) - 5.0).astype(dtype)
    singular, directions = leading_directions(x, 4, np.random.default_rng(3))
    _, expected, vectors = np.linalg.svd(x.astype(np.float64), full_matrices=False)
    np.testing.assert_allclose(singular, expected[:4], rtol=1e-5)
    agreement = np.abs(np.einsum("qd,qd->q", directions, vectors[:4]))
    np.testing.assert_allclose(agreement, 1.0, atol=1e-4)


def test_missing_cells_stand_at_the_mean() -> None:
    x = _low_rank(2000, 6, 2, 0.5)
    whole = x.copy()
    x[np.random.default_rng(4).random(x.shape) < 0.1] = np.nan
    start = principal_start(x, np.ones((2000, 1)), 2, np.random.default_rng(5))
    np.testing.assert_allclose(start.means[0], np.nanmean(x, axis=0), atol=1e-10)
    told = (start.loadings[0] ** 2).sum(axis=1) + start.noise[0]
    np.testing.assert_allclose(told, np.nanvar(x, axis=0), rtol=1e-10)
    assert np.isfinite(start.log_prob(whole)).all()


def test_hard_labels_give_each_member_its_own_rows() -> None:
    x = np.concatenate([_low_rank(60, 5, 2, 0.3, seed) + 10 * seed for seed in range(3)])
    labels = np.repeat(np.arange(3), 60)
    together = principal_start(x, np.eye(3)[labels], 2, np.random.default_rng(6))
    for k in range(3):
        alone = principal_start(x[labels == k], np.ones((60, 1)), 2, np.random.default_rng(6))
        np.testing.assert_allclose(together.means[k], alone.means[0], atol=1e-11)
        np.testing.assert_allclose(together.log_prob(x)[:, k], alone.log_prob(x)[:, 0], rtol=1e-9)


def test_degenerate_members_begin_somewhere() -> None:
    x = _low_rank(50, 7, 2, 0.5)
    x[:, 3] = 2.0  # constant
    x[:, 4] = np.nan  # never seen
    weights = np.zeros((50, 4))
    weights[:40, 0] = 1.0
    weights[40, 1] = 1.0  # one row
    weights[41:43, 2] = 1.0  # two rows; the last member has none
    start = principal_start(x, weights, 5, np.random.default_rng(7))
    assert start.loadings.shape == (4, 7, 5)
    assert np.isfinite(start.log_prob(x)).all()
    pooled = principal_start(x[:43], np.ones((43, 1)), 5, np.random.default_rng(7))
    np.testing.assert_allclose(start.means[3], pooled.means[0], atol=1e-12)
    nothing = principal_start(x[:0], np.zeros((0, 2)), 2, np.random.default_rng(7))
    assert isinstance(nothing, NormalFactor)


def test_there_is_no_start_without_factors() -> None:
    with pytest.raises(UsageError, match="at least 1, not 0"):
        principal_start(np.zeros((3, 2)), np.ones((3, 1)), 0, np.random.default_rng(0))
