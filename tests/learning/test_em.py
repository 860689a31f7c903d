"""The EM loop: where it stops, what it reports, and whether what it reaches is the optimum."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from fabula.core.blocks import ArrayBlocks, Block
from fabula.core.threads import n_threads, use_threads
from fabula.families import (
    CovariancePrior,
    Gamma,
    NormalDiagonal,
    NormalFull,
    NormalSpherical,
    NormalTied,
    Poisson,
)
from fabula.learning import em
from fabula.learning.em import accumulate, expectation_maximisation
from fabula.structures.mixture import Mixture, MixturePrior

# --- the optimum of the observed likelihood ---------------------------------------------------


def _rows_with_gaps(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    members = np.arange(n) % 2
    means = np.array([[0.0, 0.0], [3.0, 2.0]])
    factors = np.array([[[1.0, 0.0], [0.8, 0.6]], [[0.7, 0.0], [-0.5, 1.0]]])
    x = means[members] + np.einsum("nij,nj->ni", factors[members], rng.normal(size=(n, 2)))
    # Which cells are missing depends on nothing; one row keeps no cell.
    x[rng.random(x.shape) < 0.25] = np.nan
    x[0] = np.nan
    return x, members


def _observed_log_likelihood(
    x: np.ndarray, log_weights: np.ndarray, means: np.ndarray, covariances: np.ndarray
) -> float:
    """Row by row with the law of the cells seen, by scipy."""
    total = 0.0
    for row in x:
        seen = np.flatnonzero(~np.isnan(row))
        if len(seen):
            each = [
                w + stats.multivariate_normal.logpdf(row[seen], m[seen], c[np.ix_(seen, seen)])
                for w, m, c in zip(log_weights, means, covariances, strict=True)
            ]
            total += float(np.logaddexp.reduce(each))
    return total


def _unpack(theta: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Free numbers to weights, means and covariances through Cholesky factors."""
    logits = np.append(theta[: k - 1], 0.0)
    means = theta[k - 1 : 3 * k - 1].reshape(k, 2)
    a, b, c = theta[3 * k - 1 :].reshape(k, 3).T
    factors = np.zeros((k, 2, 2))
    factors[:, 0, 0], factors[:, 1, 0], factors[:, 1, 1] = np.exp(a), b, np.exp(c)
    covariances = factors @ np.swapaxes(factors, 1, 2)
    return logits - np.logaddexp.reduce(logits), means, covariances


def _pattern_log_likelihood(theta: np.ndarray, x: np.ndarray, k: int) -> float:
    """The same number as `_observed_log_likelihood`, a pattern at a time."""
    log_weights, means, covariances = _unpack(theta, k)
    total = 0.0
    for pattern in itertools.product([True, False], repeat=2):
        seen = np.flatnonzero(pattern)
        rows = x[(~np.isnan(x) == pattern).all(axis=1)][:, seen]
        if len(seen) and len(rows):
            each = []
            for w, m, c in zip(log_weights, means, covariances, strict=True):
                block = c[np.ix_(seen, seen)]
                off = rows - m[seen]
                square = np.einsum("ni,ij,nj->n", off, np.linalg.inv(block), off)
                log_det = np.log(np.linalg.det(2 * np.pi * block))
                each.append(w - 0.5 * (square + log_det))
            total += float(np.logaddexp.reduce(np.array(each), axis=0).sum())
    return total


def test_both_forms_of_the_reference_agree() -> None:
    x, _ = _rows_with_gaps(40, seed=3)
    theta = np.random.default_rng(0).normal(size=11)
    direct = _observed_log_likelihood(x, *_unpack(theta, 2))
    assert _pattern_log_likelihood(theta, x, 2) == pytest.approx(direct, rel=1e-12)


@pytest.mark.parametrize("k", [1, 2])
def test_em_with_gaps_reaches_the_optimum_of_direct_maximisation(k: int) -> None:
    x, _ = _rows_with_gaps(120, seed=k)
    means = np.array([[1.0, 1.0]]) if k == 1 else np.array([[-0.5, 0.5], [3.5, 1.5]])
    start = Mixture(np.log(np.full(k, 1 / k)), NormalFull(means, np.tile(np.eye(2), (k, 1, 1))))
    story, report = expectation_maximisation(start, ArrayBlocks(x), max_iter=5000, tol=1e-13)
    assert report.converged
    theta = np.concatenate([np.zeros(k - 1), means.ravel(), np.zeros(3 * k)])
    best = optimize.minimize(
        lambda t: -_pattern_log_likelihood(t, x, k), theta, method="BFGS", options={"gtol": 1e-6}
    )
    family = story.family
    assert isinstance(family, NormalFull)
    reached = _observed_log_likelihood(x, story.log_weights, family.means, family.covariances)
    assert reached == pytest.approx(-best.fun, abs=1e-6)
    assert report.objective * len(x) == pytest.approx(reached, abs=1e-8)
    log_weights, means, covariances = _unpack(best.x, k)
    np.testing.assert_allclose(np.exp(story.log_weights), np.exp(log_weights), atol=1e-4)
    np.testing.assert_allclose(family.means, means, atol=1e-4)
    np.testing.assert_allclose(family.covariances, covariances, atol=1e-3)


@pytest.mark.parametrize("kind", [NormalFull, NormalTied, NormalDiagonal, NormalSpherical])
def test_no_direction_leads_up_from_where_em_came_to_rest(kind: type) -> None:
    """The gradient of log likelihood plus log prior, classes partly known, is 0 at the fit."""
    x, members = _rows_with_gaps(80, seed=8)
    known = np.where(np.arange(80) % 5 == 0, members, -1)
    shape = {NormalFull: (2, 2, 2), NormalTied: (2, 2), NormalDiagonal: (2, 2)}.get(kind, (2,))
    unit = np.ones(shape) if kind in (NormalDiagonal, NormalSpherical) else np.zeros(shape)
    unit = unit if kind in (NormalDiagonal, NormalSpherical) else unit + np.eye(2)
    start = Mixture(np.log([0.5, 0.5]), kind(np.array([[-1.0, 0.0], [2.0, 2.0]]), unit))
    prior = MixturePrior(1.5, CovariancePrior(4.0, np.array([2.0, 6.0])))
    story, _ = expectation_maximisation(
        start, ArrayBlocks(x, known), prior=prior, max_iter=3000, tol=1e-14
    )

    def objective(story: Mixture) -> float:
        told = story.posterior(x, known)[0].sum()
        return float(told) + story.log_prior(prior)

    highest = objective(story)
    rng = np.random.default_rng(0)
    family: Any = story.family
    names = [field.name for field in fields(family)]
    for _ in range(12):
        tilt = 1e-4 * rng.normal(size=2)
        moves = {name: 1e-4 * rng.normal(size=getattr(family, name).shape) for name in names}
        for name, move in moves.items():
            if name.startswith("covariance"):
                moves[name] = move + np.swapaxes(move, -1, -2)
        values = []
        for sign in (1.0, -1.0):
            log_weights = story.log_weights + sign * tilt
            moved = replace(family, **{n: getattr(family, n) + sign * m for n, m in moves.items()})
            values.append(objective(Mixture(log_weights - np.logaddexp.reduce(log_weights), moved)))
        slope = (values[0] - values[1]) / 2e-4
        assert abs(slope) < 2e-3, f"{slope} nats for each unit of {moves}"
        assert max(values) < highest


def test_known_classes_alone_give_the_fit_of_each_class_in_one_step() -> None:
    rng = np.random.default_rng(0)
    x = rng.poisson(4.0, size=(30, 2)).astype(float)
    known = np.arange(30) % 3
    start = Mixture(np.log(np.full(3, 1 / 3)), Poisson(np.ones((3, 2))))
    story, report = expectation_maximisation(start, ArrayBlocks(x, known), tol=1e-12)
    assert report.n_iterations == 2
    assert isinstance(story.family, Poisson)
    expected = np.array([x[known == c].mean(axis=0) for c in range(3)])
    np.testing.assert_allclose(story.family.rates, expected, rtol=1e-12)


# --- the loop itself --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Told:
    log_evidence: float
    n_rows: float = 1.0

    def __add__(self, other: _Told) -> _Told:
        return _Told(self.log_evidence + other.log_evidence, self.n_rows + other.n_rows)


@dataclass(frozen=True)
class _Script:
    """A story whose objective follows a script, one entry for each maximisation."""

    script: tuple[float, ...]
    step: int = 0

    def prepare(self, block: Block) -> Block:
        return block

    def statistics(self, block: Block) -> _Told:
        return _Told(self.script[self.step])

    def maximise(self, statistics: _Told, prior: Any = None) -> _Script:
        return replace(self, step=self.step + 1)

    def log_prior(self, prior: Any) -> float:
        return 0.0 if prior is None else float(prior)


_ONE = ArrayBlocks(np.zeros((1, 1)))


def test_it_stops_when_a_step_gains_too_little() -> None:
    seen: list[tuple[int, float]] = []
    story, report = expectation_maximisation(
        _Script((-3.0, -2.0, -1.5, -1.49, 0.0)),
        _ONE,
        tol=0.1,
        on_iteration=lambda i, value: seen.append((i, value)),
    )
    assert (story.step, report.reason, report.converged) == (3, "converged", True)
    assert report.trace == (-3.0, -2.0, -1.5, -1.49)
    assert report.n_iterations == 3
    assert seen == [(0, -3.0), (1, -2.0), (2, -1.5), (3, -1.49)]
    assert report.seconds >= 0.0


def test_it_stops_at_the_limit_and_says_so() -> None:
    script = _Script((-3.0, -2.0, -1.0, 0.0))
    story, report = expectation_maximisation(script, _ONE, max_iter=2)
    assert (story.step, report.reason, report.converged) == (2, "iteration limit", False)
    story, report = expectation_maximisation(script, _ONE, max_iter=0)
    assert (story.step, report.n_iterations, report.trace) == (0, 0, (-3.0,))


def test_a_fall_is_reported_and_the_story_before_it_returned() -> None:
    story, report = expectation_maximisation(_Script((-3.0, -2.0, -2.001)), _ONE, tol=0.0)
    assert (story.step, report.reason) == (1, "objective fell")
    assert report.trace == (-3.0, -2.0)


def test_rounding_is_no_fall() -> None:
    _, report = expectation_maximisation(_Script((-3.0, -2.0, -2.0 - 1e-12)), _ONE, tol=1e-9)
    assert report.reason == "converged"


@pytest.mark.parametrize("value", [-np.inf, np.nan, np.inf])
def test_an_objective_that_is_not_finite_stops_it(value: float) -> None:
    story, report = expectation_maximisation(_Script((-3.0, value)), _ONE)
    assert (story.step, report.reason, report.converged) == (0, "impossible rows", False)


def test_the_prior_is_part_of_the_objective_per_row() -> None:
    blocks = ArrayBlocks(np.zeros((10, 1)), rows=4)
    _, report = expectation_maximisation(_Script((-3.0,)), blocks, prior=-1.5, max_iter=0)
    assert report.trace == ((3 * -3.0 - 1.5) / 3,)


def test_rows_that_no_component_can_explain_are_reported() -> None:
    start = Mixture(np.log([0.5, 0.5]), Gamma(np.ones((2, 1)), np.array([[1.0], [2.0]])))
    x = np.array([[1.0], [2.0], [-1.0]])
    _, report = expectation_maximisation(start, ArrayBlocks(x))
    assert report.reason == "impossible rows"
    _, report = expectation_maximisation(
        start, ArrayBlocks(x, weights=np.array([1.0, 1.0, 0.0])), max_iter=3
    )
    assert np.isfinite(report.trace).all()


# --- blocks -----------------------------------------------------------------------------------


class _Walked:
    """Blocks that count how often they were walked."""

    def __init__(self, blocks: ArrayBlocks):
        self.blocks, self.passes = blocks, 0

    def __iter__(self) -> Iterator[Block]:
        self.passes += 1
        return iter(self.blocks)


def _normal_story() -> tuple[Mixture, ArrayBlocks]:
    x, members = _rows_with_gaps(100, seed=5)
    known = np.where(np.arange(100) % 7 == 0, members, -1)
    family = NormalDiagonal(np.array([[0.0, 0.0], [1.0, 1.0]]), np.ones((2, 2)))
    return Mixture(np.log([0.5, 0.5]), family), ArrayBlocks(x, known, rows=16)


def test_blocks_too_large_to_keep_are_walked_again_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, blocks = _normal_story()
    fits = []
    for limit, passes in ((2**20, 1), (5000, 11), (0, 11)):
        monkeypatch.setattr(em, "_BYTES_KEPT_PREPARED", limit)
        walked = _Walked(blocks)
        fits.append(expectation_maximisation(start, walked, max_iter=10, tol=0.0))
        assert walked.passes == passes
    for story, report in fits[1:]:
        np.testing.assert_allclose(report.trace, fits[0][1].trace, rtol=1e-12)
        np.testing.assert_allclose(story.family.means, fits[0][0].family.means, rtol=1e-9)


def test_sums_are_taken_in_the_order_of_the_blocks() -> None:
    values = [1e16, 1.0, -1e16, 1.0] * 5
    blocks = [Block(np.array([[value]])) for value in values]
    expected = 0.0
    for value in values:
        expected += value
    for threads in (1, 2, 5):
        with use_threads(threads):
            assert n_threads() == threads
            assert accumulate(lambda block: float(block.x[0, 0]), blocks) == expected


def test_an_error_in_a_block_comes_through() -> None:
    def fail(block: Block) -> float:
        raise ZeroDivisionError("in a block")

    for threads in (1, 3):
        with use_threads(threads), pytest.raises(ZeroDivisionError, match="in a block"):
            accumulate(fail, [Block(np.zeros((1, 1)))] * 20)


def test_single_precision_climbs_to_the_same_place() -> None:
    start, blocks = _normal_story()
    double, report = expectation_maximisation(start, blocks, max_iter=200, tol=1e-7)
    single, its_report = expectation_maximisation(
        start, replace(blocks, x=blocks.x.astype(np.float32)), max_iter=200, tol=1e-7
    )
    assert its_report.reason != "objective fell"
    assert its_report.objective == pytest.approx(report.objective, abs=1e-4)
    np.testing.assert_allclose(single.family.means, double.family.means, atol=0.02)
