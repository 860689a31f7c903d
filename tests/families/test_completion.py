"""Rows completed one by one: the same numbers as by pattern, and as by the book."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from fabula.core.blocks import Block
from fabula.core.missing import find_patterns
from fabula.families import completion
from fabula.families.normal import NormalFull, NormalTied
from fabula.families.normal_dense import DenseNormal, Moments
from fabula.families.priors import CovariancePrior
from fabula.structures.mixture import Mixture, MixturePrior

D, K = 7, 3


def _bank(kind: str, rng: np.random.Generator) -> DenseNormal:
    roots = rng.normal(size=(K, D, D))
    covariances = roots @ np.swapaxes(roots, 1, 2) / D + 0.3 * np.eye(D)
    means = 2.0 * rng.normal(size=(K, D)) + 10.0
    return NormalFull(means, covariances) if kind == "full" else NormalTied(means, covariances[0])


def _covariance(bank: DenseNormal, k: int) -> np.ndarray:
    return bank.covariances[k] if isinstance(bank, NormalFull) else bank.covariance


def _rows(bank: DenseNormal, n: int, rng: np.random.Generator) -> np.ndarray:
    x = bank.sample(np.arange(n) % K, rng)
    x[rng.random(x.shape) < 0.35] = np.nan
    x[0] = np.nan
    x[1] = bank.sample(np.array([0]), rng)[0]
    x[2, 1:] = np.nan
    return x


@pytest.fixture
def row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "_LEAST_SECONDS", 0.0)


def _by_book(
    bank: DenseNormal, x: np.ndarray, weights: np.ndarray, conditional_weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log densities, Σ w E[x] and Σ w x̂ x̂ᵀ + Σ v Cov about zero, one row after another."""
    log_prob = np.zeros((len(x), K))
    first, second = np.zeros((K, D)), np.zeros((K, D, D))
    for i, row in enumerate(x):
        o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        for k in range(K):
            mean, covariance = bank.means[k], _covariance(bank, k)
            filled, spread = row.copy(), np.zeros((D, D))
            gain = covariance[np.ix_(m, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
            filled[m] = mean[m] + gain @ (row[o] - mean[o])
            spread[np.ix_(m, m)] = covariance[np.ix_(m, m)] - gain @ covariance[np.ix_(o, m)]
            if len(o):
                law = multivariate_normal(mean[o], covariance[np.ix_(o, o)])
                log_prob[i, k] = law.logpdf(row[o])
            first[k] += weights[i, k] * filled
            second[k] += weights[i, k] * np.outer(filled, filled)
            second[k] += conditional_weights[i, k] * spread
    return log_prob, first, second


@pytest.mark.parametrize("kind", ["full", "tied"])
@pytest.mark.parametrize("least_seconds", [0.0, np.inf])
def test_log_densities_and_moments_are_those_of_the_book(
    kind: str, least_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "_LEAST_SECONDS", least_seconds)
    rng = np.random.default_rng(1)
    bank = _bank(kind, rng)
    x = _rows(bank, 60, rng)
    weights, spread_weights = rng.random((60, K)), rng.random((60, K))
    weights[rng.random(weights.shape) < 0.2] = 0.0
    prepared = bank.prepare(x)
    assert (prepared.gaps is not None) == (least_seconds == 0.0)
    log_prob, first, second = _by_book(bank, x, weights, spread_weights)
    np.testing.assert_allclose(bank.log_prob(prepared), log_prob, rtol=0, atol=1e-10)
    # Once with what the scores left behind, once from nothing.
    for rows in (prepared, prepared, x):
        told = bank.weighted_moments(rows, weights, spread_weights).about(np.zeros(D))
        np.testing.assert_allclose(told.weights, weights.sum(axis=0), rtol=1e-13)
        np.testing.assert_allclose(told.first, first, rtol=1e-10)
        expected = second if kind == "full" else second.sum(axis=0)
        np.testing.assert_allclose(told.second, expected, rtol=1e-10)


@pytest.mark.usefixtures("row_by_row")
def test_what_was_kept_is_not_taken_for_another_bank() -> None:
    rng = np.random.default_rng(2)
    bank, other = _bank("full", rng), _bank("full", rng)
    x = _rows(bank, 40, rng)
    weights = rng.random((40, K))
    prepared = bank.prepare(x)
    bank.log_prob(prepared)
    told = other.statistics(prepared, weights).about(np.zeros(D))
    expected = other.statistics(x, weights).about(np.zeros(D))
    np.testing.assert_allclose(told.second, expected.second, rtol=1e-11)
    np.testing.assert_allclose(told.first, expected.first, rtol=1e-11)


@pytest.mark.usefixtures("row_by_row")
def test_known_members_do_only_their_own_work() -> None:
    rng = np.random.default_rng(3)
    bank = _bank("full", rng)
    x = _rows(bank, 45, rng)
    weights = np.eye(K)[np.arange(45) % K]
    weights[:, 2] = 0.0
    _, first, second = _by_book(bank, x, weights, weights)
    told = bank.statistics(x, weights).about(np.zeros(D))
    np.testing.assert_allclose(told.first, first, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(told.second, second, rtol=1e-10, atol=1e-12)
    assert not told.second[2].any()


@pytest.mark.usefixtures("row_by_row")
@pytest.mark.parametrize("kind", ["full", "tied"])
def test_single_precision_rows(kind: str) -> None:
    rng = np.random.default_rng(4)
    bank = _bank(kind, rng)
    x = _rows(bank, 50, rng).astype(np.float32)
    told = bank.log_prob(x)
    assert told.dtype == np.float32
    np.testing.assert_allclose(told, bank.log_prob(x.astype(np.float64)), rtol=1e-4)


@pytest.mark.usefixtures("row_by_row")
@pytest.mark.parametrize("kind", ["full", "tied"])
@pytest.mark.parametrize("strength", [0.0, 4.0])
def test_the_penalised_likelihood_never_falls(kind: str, strength: float) -> None:
    rng = np.random.default_rng(5)
    x = _rows(_bank(kind, rng), 120, rng)
    bank = _bank(kind, rng)
    scatter = strength * np.eye(D) + 1e-6
    prior = MixturePrior(1.0, CovariancePrior(strength, np.diag(np.diag(scatter))))
    story = Mixture(np.full(K, -np.log(K)), bank)
    block = story.prepare(Block(x))
    before = -np.inf
    for _ in range(40):
        statistics = story.statistics(block)
        now = statistics.log_evidence + story.log_prior(prior)
        assert now >= before - 1e-9 * abs(now)
        before = now
        story = story.maximise(statistics, prior)


def test_many_patterns_choose_rows_and_few_do_not() -> None:
    rng = np.random.default_rng(6)
    wide = rng.normal(size=(300, 30))
    wide[rng.random(wide.shape) < 0.2] = np.nan
    assert completion.find_gaps(find_patterns(wide), 5) is not None
    narrow = rng.normal(size=(3000, 4))
    narrow[rng.random(narrow.shape) < 0.2] = np.nan
    assert completion.find_gaps(find_patterns(narrow), 5) is None


def test_few_patterns_do_not_load_compiled_code() -> None:
    program = (
        "import sys, numpy as np\n"
        "from fabula.families.normal import NormalFull\n"
        "x = np.array([[1.0, np.nan], [0.5, 2.0], [np.nan, 1.0]] * 50)\n"
        "bank = NormalFull(np.zeros((2, 2)), np.array([np.eye(2)] * 2))\n"
        "bank.log_prob(x); bank.statistics(x, np.ones((150, 2)))\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_moments_add_up_about_different_origins() -> None:
    rng = np.random.default_rng(7)
    x, weights = rng.normal(size=(30, D)) + 5.0, rng.random((30, K))
    for kind in ("full", "tied"):
        bank, other = _bank(kind, rng), _bank(kind, rng)
        parts: Moments = bank.statistics(x[:12], weights[:12]) + other.statistics(
            x[12:], weights[12:]
        )
        whole = bank.statistics(x, weights)
        np.testing.assert_allclose(parts.first, whole.first, rtol=1e-11)
        np.testing.assert_allclose(parts.second, whole.second, rtol=1e-11)
