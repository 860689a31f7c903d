"""Factor analysers against scipy, scikit-learn, direct maximisation, and the laws."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import kstest, multivariate_normal, norm
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA, FactorAnalysis

from fabula.core.blocks import Block
from fabula.core.errors import UsageError
from fabula.families.base import Family
from fabula.families.factor import NormalFactor
from fabula.families.priors import CovariancePrior
from fabula.structures.mixture import Mixture
from fabula.testing import FAMILY_LAWS, STORY_LAWS, family_laws

K, D, Q = 2, 6, 2


def _bank(isotropic: bool = False) -> NormalFactor:
    rng = np.random.default_rng(1)
    means, loadings = 2.0 * rng.normal(size=(K, D)), rng.normal(size=(K, D, Q))
    noise = rng.uniform(0.3, 1.0, size=(K, D))
    return NormalFactor(
        means, loadings, np.repeat(noise[:, :1], D, axis=1) if isotropic else noise, isotropic
    )


def _covariance(bank: NormalFactor, k: int) -> np.ndarray:
    return bank.loadings[k] @ bank.loadings[k].T + np.diag(bank.noise[k])


def _with_gaps(bank: Family, n: int, seed: int = 0, share: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = bank.sample(np.arange(n) % bank.n_members, rng)
    x[rng.random(x.shape) < share] = np.nan
    return x


def _fit(
    bank: NormalFactor, x: np.ndarray, steps: int, prior: CovariancePrior | None = None
) -> tuple[NormalFactor, float]:
    """EM with every row of weight 1; the objective may never fall."""
    prepared, weights = bank.prepare(x), np.ones((len(x), bank.n_members))
    before = -np.inf
    for _ in range(steps):
        now = float(bank.log_prob(prepared).sum()) + bank.log_prior(prior)
        assert now >= before - 1e-9 * abs(now)
        before = now
        bank = bank.maximise(bank.statistics(prepared, weights), prior)
    return bank, before


_INSTANCES = {"anisotropic": _bank(), "isotropic": _bank(isotropic=True)}


@pytest.mark.parametrize(
    ("family", "law"),
    [
        pytest.param(family, law, id=f"{name}-{law}")
        for name, family in _INSTANCES.items()
        for law in family_laws(family)
    ],
)
def test_law(family: Family, law: str) -> None:
    FAMILY_LAWS[law](family, np.random.default_rng(20240229))


@pytest.mark.parametrize("family", _INSTANCES.values(), ids=_INSTANCES.keys())
@pytest.mark.parametrize("law", STORY_LAWS)
def test_story_law(family: Family, law: str) -> None:
    STORY_LAWS[law](family, np.random.default_rng(7))


# --- probability ------------------------------------------------------------------------------


def test_log_densities_are_those_of_scipy_on_the_observed_cells() -> None:
    bank = _bank()
    x = _with_gaps(bank, 60)
    x[0] = np.nan
    told = bank.log_prob(x)
    for i, row in enumerate(x):
        o = np.flatnonzero(~np.isnan(row))
        for k in range(K):
            expected = 0.0
            if len(o):
                law = multivariate_normal(bank.means[k, o], _covariance(bank, k)[np.ix_(o, o)])
                expected = law.logpdf(row[o])
            assert told[i, k] == pytest.approx(expected, abs=1e-9)


def test_whole_rows_score_as_rows_with_gaps_do() -> None:
    bank = _bank()
    x = bank.sample(np.zeros(40, dtype=np.intp), np.random.default_rng(0))
    with_a_gap = np.concatenate([x, np.full((1, D), np.nan)])
    np.testing.assert_allclose(bank.log_prob(x), bank.log_prob(with_a_gap)[:-1], atol=1e-11)


def test_factors_of_wide_rows_take_memory_in_proportion_to_the_columns() -> None:
    d = 20_000  # a covariance would take 3.2 GB
    rng = np.random.default_rng(2)
    bank = NormalFactor(np.zeros((1, d)), rng.normal(size=(1, d, 3)), np.ones((1, d)))
    x = bank.sample(np.zeros(6, dtype=np.intp), rng)
    tracemalloc.start()
    log_prob = bank.log_prob(x)
    bank.maximise(bank.statistics(x, np.ones((6, 1))))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6
    loadings = bank.loadings[0]
    sizes = np.linalg.svd(loadings, compute_uv=False) ** 2
    along = x @ np.linalg.qr(loadings)[0]
    directions = np.linalg.qr(loadings)[0].T @ loadings
    inside = multivariate_normal(np.zeros(3), directions @ directions.T + np.eye(3)).logpdf(along)
    outside = (x**2).sum(axis=1) - (along**2).sum(axis=1)
    expected = inside - 0.5 * (outside + (d - 3) * np.log(2 * np.pi))
    assert sizes.min() > 1e4
    np.testing.assert_allclose(log_prob[:, 0], expected, rtol=1e-11)


def test_latent_means_are_the_regression_of_z_on_the_observed_cells() -> None:
    bank = _bank()
    x = _with_gaps(bank, 20)
    told = bank.latent_means(x)
    assert told.shape == (20, K, Q)
    for i, row in enumerate(x):
        o = np.flatnonzero(~np.isnan(row))
        for k in range(K):
            inverse = np.linalg.inv(_covariance(bank, k)[np.ix_(o, o)])
            expected = bank.loadings[k, o].T @ inverse @ (row[o] - bank.means[k, o])
            np.testing.assert_allclose(told[i, k], expected, atol=1e-10)


def test_the_conditional_is_that_of_the_dense_normal() -> None:
    bank = _bank()
    rest, log_prob = bank.condition([4, 1], [0.5, -1.0])
    assert rest is not None
    o, m = np.array([4, 1]), np.array([0, 2, 3, 5])
    for k in range(K):
        covariance = _covariance(bank, k)
        gain = covariance[np.ix_(m, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
        mean = bank.means[k, m] + gain @ (np.array([0.5, -1.0]) - bank.means[k, o])
        np.testing.assert_allclose(rest.means[k], mean, atol=1e-10)
        spread = covariance[np.ix_(m, m)] - gain @ covariance[np.ix_(o, m)]
        np.testing.assert_allclose(_covariance(rest, k), spread, atol=1e-10)
        given = multivariate_normal(bank.means[k, o], covariance[np.ix_(o, o)])
        assert log_prob[k] == pytest.approx(given.logpdf([0.5, -1.0]), abs=1e-9)
    assert bank.condition(range(D), np.zeros(D))[0] is None


def test_draws_within_an_interval_follow_the_truncated_conditional() -> None:
    bank = _bank()
    n = 4000
    given = np.tile([0.3, np.nan, -1.0, np.nan, 2.0, np.nan], (n, 1))
    members = np.ones(n, dtype=np.intp)
    rest, _ = bank.condition([0, 2, 4], [0.3, -1.0, 2.0])
    assert rest is not None
    law = norm(rest.means[1, 1], np.sqrt(_covariance(rest, 1)[1, 1]))
    for low, high in ((-0.5, 0.4), (8.0, np.inf), (-np.inf, np.inf)):
        drawn, log_mass = bank.draw_within(3, low, high, given, members, np.random.default_rng(2))
        mass = law.sf(low) - law.sf(high)
        np.testing.assert_allclose(np.exp(log_mass), mass, rtol=1e-9)
        assert np.all((drawn >= low) & (drawn <= high))
        assert kstest((law.sf(low) - law.sf(drawn)) / mass, "uniform").pvalue > 1e-3


def test_completed_cells_have_the_conditional_covariance() -> None:
    bank = _bank()
    n = 20_000
    given = np.tile([0.3, np.nan, -1.0, np.nan, 2.0, np.nan], (n, 1))
    drawn = bank.complete(given, np.zeros(n, dtype=np.intp), np.random.default_rng(3))[:, [1, 3, 5]]
    rest, _ = bank.condition([0, 2, 4], [0.3, -1.0, 2.0])
    assert rest is not None
    expected = _covariance(rest, 0)
    largest = np.diag(expected).max()
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=6 * largest * np.sqrt(2 / n))
    standard_error = np.sqrt(np.diag(expected) / n)
    assert np.all(np.abs(drawn.mean(axis=0) - rest.means[0]) < 5 * standard_error)


def test_single_precision_stays_close() -> None:
    bank = _bank()
    x = _with_gaps(bank, 200).astype(np.float32)
    assert bank.log_prob(x).dtype == np.float32
    np.testing.assert_allclose(bank.log_prob(x), bank.log_prob(x.astype(float)), rtol=2e-5)


# --- learning ---------------------------------------------------------------------------------


def test_statistics_are_the_sums_of_the_book() -> None:
    bank = _bank()
    x = _with_gaps(bank, 40)
    rng = np.random.default_rng(4)
    weights = rng.random((40, K)) * (rng.random((40, K)) < 0.7)
    latent, gram = np.zeros((K, Q + 1, Q + 1)), np.zeros((K, D, Q + 1, Q + 1))
    cross, squares = np.zeros((K, D, Q + 1)), np.zeros((K, D))
    for i, row in enumerate(x):
        o = np.flatnonzero(~np.isnan(row))
        for k in range(K):
            loadings = bank.loadings[k, o]
            inverse = np.linalg.inv(_covariance(bank, k)[np.ix_(o, o)])
            z = np.append(1.0, loadings.T @ inverse @ (row[o] - bank.means[k, o]))
            second = np.outer(z, z)
            second[1:, 1:] += np.eye(Q) - loadings.T @ inverse @ loadings
            latent[k] += weights[i, k] * second
            gram[k, o] += weights[i, k] * second
            cross[k, o] += weights[i, k] * np.outer(row[o], z)
            squares[k, o] += weights[i, k] * row[o] ** 2
    triangle = np.triu_indices(Q + 1)
    prepared = bank.prepare(x)
    bank.log_prob(prepared)
    for rows in (prepared, prepared, x):  # with what the scores left behind, and without
        told = bank.statistics(rows, weights).about(np.zeros((K, D)))
        np.testing.assert_allclose(told.latent, latent[:, *triangle], atol=1e-10)
        np.testing.assert_allclose(told.gram, gram[:, :, *triangle], atol=1e-10)
        np.testing.assert_allclose(told.cross, cross, atol=1e-10)
        np.testing.assert_allclose(told.squares, squares, atol=1e-10)


def test_blocks_with_and_without_gaps_add_up() -> None:
    bank = _bank()
    x = _with_gaps(bank, 30)
    x[:10] = bank.sample(np.zeros(10, dtype=np.intp), np.random.default_rng(5))
    weights = np.random.default_rng(6).random((30, K))
    parts = bank.statistics(x[:10], weights[:10]) + bank.statistics(x[10:], weights[10:])
    whole = bank.statistics(x, weights)
    for told, expected in zip(
        (parts.latent, parts.gram, parts.cross, parts.squares),
        (whole.latent, whole.gram, whole.cross, whole.squares),
        strict=True,
    ):
        np.testing.assert_allclose(told, expected, atol=1e-10)


def test_factor_analysis_climbs_as_high_as_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    loadings, noise = rng.normal(size=(12, 3)), rng.uniform(0.3, 1.5, 12)
    x = rng.normal(size=(400, 3)) @ loadings.T + rng.normal(size=(400, 12)) * noise + 3.0
    peer = FactorAnalysis(3, tol=1e-10, max_iter=5000, svd_method="lapack").fit(x)
    start = NormalFactor(np.zeros((1, 12)), rng.normal(size=(1, 12, 3)), np.ones((1, 12)))
    fit, total = _fit(start, x, 400)
    assert total / 400 >= peer.score(x) - 1e-8
    np.testing.assert_allclose(_covariance(fit, 0), peer.get_covariance(), atol=2e-3)


def test_isotropic_noise_is_probabilistic_pca() -> None:
    data = load_breast_cancer().data
    x = (data - data.mean(axis=0)) / data.std(axis=0)
    n, d = x.shape
    peer = PCA(5).fit(x)
    start = NormalFactor(
        np.zeros((1, d)), np.random.default_rng(0).normal(size=(1, d, 5)), np.ones((1, d)), True
    )
    fit, total = _fit(start, x, 200)
    assert total / n >= peer.score(x)
    # scikit-learn divides by n − 1.
    np.testing.assert_allclose(_covariance(fit, 0), peer.get_covariance() * (n - 1) / n, atol=1e-5)
    assert np.ptp(fit.noise) == 0.0


@pytest.mark.parametrize("prior", [None, CovariancePrior(5.0, np.array([4.0, 1.0, 2.0, 6.0]))])
def test_em_with_missing_cells_finds_what_direct_maximisation_finds(
    prior: CovariancePrior | None,
) -> None:
    rng = np.random.default_rng(8)
    truth = NormalFactor(rng.normal(size=(1, 4)), np.full((1, 4, 1), 1.3), np.ones((1, 4)))
    x = _with_gaps(truth, 250, seed=9)
    patterns, place = np.unique(~np.isnan(x), axis=0, return_inverse=True)
    start = NormalFactor(np.zeros((1, 4)), np.ones((1, 4, 1)), np.ones((1, 4)))
    fit, total = _fit(start, x, 1500, prior)

    def loss(theta: np.ndarray) -> float:
        mean, loading, noise = theta[:4], theta[4:8], np.exp(theta[8:])
        covariance = np.outer(loading, loading) + np.diag(noise)
        log_prob = 0.0
        for p, seen in enumerate(patterns):
            o = np.flatnonzero(seen)
            if len(o):
                law = multivariate_normal(mean[o], covariance[np.ix_(o, o)])
                log_prob += law.logpdf(x[place == p][:, o]).sum()
        if prior is not None:
            log_prob -= 0.5 * (5.0 * np.log(noise) + prior.scatter / noise).sum()
        return -float(log_prob)

    theta = np.concatenate([fit.means[0], fit.loadings[0, :, 0], np.log(fit.noise[0])])
    assert total == pytest.approx(-loss(theta), abs=1e-8)
    found = minimize(loss, theta + 0.05, method="BFGS", options={"gtol": 1e-4, "maxiter": 60})
    assert total >= -found.fun - 1e-5
    np.testing.assert_allclose(found.x, theta, atol=5e-3)


def test_a_column_that_is_never_seen_keeps_its_parameters() -> None:
    bank = _bank()
    x = _with_gaps(bank, 50)
    x[:, 3] = np.nan
    fit = bank.maximise(bank.statistics(x, np.ones((50, K))))
    np.testing.assert_array_equal(fit.means[:, 3], bank.means[:, 3])
    np.testing.assert_array_equal(fit.loadings[:, 3], bank.loadings[:, 3])
    np.testing.assert_array_equal(fit.noise[:, 3], bank.noise[:, 3])
    assert np.all(fit.means[:, :3] != bank.means[:, :3])


@pytest.mark.parametrize("isotropic", [False, True])
def test_noise_never_vanishes(isotropic: bool) -> None:
    rng = np.random.default_rng(10)
    x = rng.normal(size=(30, 2)) @ rng.normal(size=(2, D))  # of rank 2: no noise at all
    x[:, 5] = 7.0
    start = NormalFactor(np.zeros((1, D)), rng.normal(size=(1, D, 2)), np.ones((1, D)), isotropic)
    bank, weights = start, np.ones((30, 1))
    for _ in range(300):
        bank = bank.maximise(bank.statistics(x, weights))
    assert np.all(bank.noise > 0)
    assert np.isfinite(bank.log_prob(x)).all()
    np.testing.assert_allclose(bank.complete(x[:1], np.array([0])), x[:1])
    hidden = x[:5].copy()
    hidden[:, 0] = np.nan
    filled = bank.complete(hidden, np.zeros(5, dtype=np.intp))
    np.testing.assert_allclose(filled[:, 0], x[:5, 0], atol=0.02 * np.abs(x[:, 0]).max())


def test_a_prior_pulls_the_noise_towards_its_bank() -> None:
    bank = _bank()
    x = bank.sample(np.arange(40) % K, np.random.default_rng(11))
    target = NormalFactor(bank.means, bank.loadings, np.full((K, D), 9.0))
    free, _ = _fit(bank, x, 30)
    pulled, _ = _fit(bank, x, 30, target.pseudo_observations(1e7))
    assert free.noise.max() < 9.0
    np.testing.assert_allclose(pulled.noise, 9.0, rtol=1e-3)


def test_mixtures_of_factor_analysers_climb() -> None:
    bank = _bank()
    x = _with_gaps(bank, 150, seed=12, share=0.2)
    start = NormalFactor(bank.means[::-1] + 0.5, np.roll(bank.loadings, 1, axis=1), bank.noise)
    story = Mixture(np.log([0.4, 0.6]), start)
    block = story.prepare(Block(x))
    before = -np.inf
    for _ in range(60):
        statistics = story.statistics(block)
        assert statistics.log_evidence >= before - 1e-9 * abs(before)
        before = statistics.log_evidence
        story = story.maximise(statistics)


def test_parameters_are_counted_without_rotations() -> None:
    bank = _bank()
    assert bank.n_parameters == K * (D + D * Q - 1 + D)
    assert _bank(isotropic=True).n_parameters == K * (D + D * Q - 1 + 1)
    # More factors than a covariance has numbers.
    assert bank.marginal([0, 1]).n_parameters == K * (2 + 3)


def test_wrong_parameters_are_refused() -> None:
    bank = _bank()
    with pytest.raises(UsageError, match="means and noise"):
        NormalFactor(bank.means, bank.loadings, bank.noise[:, 1:])
    with pytest.raises(UsageError, match="loadings must be"):
        NormalFactor(bank.means, bank.loadings[:, 1:], bank.noise)
    with pytest.raises(UsageError, match="at least one factor"):
        NormalFactor(bank.means, bank.loadings[:, :, :0], bank.noise)
    with pytest.raises(UsageError, match="positive"):
        NormalFactor(bank.means, bank.loadings, 0.0 * bank.noise)
    with pytest.raises(UsageError, match="finite"):
        NormalFactor(np.full((K, D), np.nan), bank.loadings, bank.noise)
    with pytest.raises(UsageError, match="isotropic"):
        NormalFactor(bank.means, bank.loadings, bank.noise, True)
