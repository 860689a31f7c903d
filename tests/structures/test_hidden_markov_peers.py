"""Likelihoods, paths and posteriors against hmmlearn, for the same parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hmmlearn import hmm
from hmmlearn.base import BaseHMM

from fabula.core.blocks import SequenceBlocks, Sequences
from fabula.families import (
    Categorical,
    NormalDiagonal,
    NormalFull,
    NormalSpherical,
    NormalTied,
    Poisson,
)
from fabula.families.base import Family
from fabula.families.mixed import Mixed
from fabula.learning.em import expectation_maximisation
from fabula.structures.chains.hidden_markov import HiddenMarkov

RNG = np.random.default_rng(11)
S, D = 3, 2
START = RNG.dirichlet(np.ones(S))
TRANSITIONS = RNG.dirichlet(np.ones(S), size=S)
MEANS = 2.0 * RNG.normal(size=(S, D))
ROOTS = RNG.normal(size=(S, D, D))
COVARIANCES = ROOTS @ ROOTS.transpose(0, 2, 1) + 0.3 * np.eye(D)
VARIANCES = RNG.uniform(0.5, 2.0, size=(S, D))
LENGTHS = [40, 1, 25, 2, 60]


def _gaussian(kind: str) -> tuple[Family, BaseHMM]:
    covariances, bank = {
        "full": (COVARIANCES, NormalFull(MEANS, COVARIANCES)),
        "diag": (VARIANCES, NormalDiagonal(MEANS, VARIANCES)),
        "tied": (COVARIANCES[0], NormalTied(MEANS, COVARIANCES[0])),
        "spherical": (VARIANCES[:, 0], NormalSpherical(MEANS, VARIANCES[:, 0])),
    }[kind]
    peer = hmm.GaussianHMM(S, covariance_type=kind)
    peer.means_, peer.covars_, peer.n_features = MEANS, covariances, D
    return bank, peer


def _categorical() -> tuple[Family, BaseHMM]:
    probabilities = RNG.dirichlet(np.ones(4), size=S)
    peer = hmm.CategoricalHMM(S)
    peer.emissionprob_, peer.n_features = probabilities, 4
    return Categorical(np.concatenate([probabilities, np.zeros((S, 1))], axis=1), (4,)), peer


def _poisson() -> tuple[Family, BaseHMM]:
    rates = RNG.uniform(1.0, 9.0, size=(S, D))
    peer = hmm.PoissonHMM(S)
    peer.lambdas_, peer.n_features = rates, D
    return Poisson(rates), peer


def _mixture() -> tuple[Family, BaseHMM]:
    weights = RNG.dirichlet(np.ones(2), size=S)
    means = 2.0 * RNG.normal(size=(S, 2, D))
    variances = RNG.uniform(0.5, 2.0, size=(S, 2, D))
    peer = hmm.GMMHMM(S, n_mix=2, covariance_type="diag")
    peer.weights_, peer.means_, peer.covars_, peer.n_features = weights, means, variances, D
    flat = NormalDiagonal(means.reshape(-1, D), variances.reshape(-1, D))
    return Mixed(np.log(weights), flat), peer


CASES = {
    **{kind: (lambda kind=kind: _gaussian(kind)) for kind in ("full", "diag", "tied", "spherical")},
    "categorical": _categorical,
    "poisson": _poisson,
    "mixture": _mixture,
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_parameters_say_the_same(case: str) -> None:
    bank, peer = CASES[case]()
    peer.startprob_, peer.transmat_ = START, TRANSITIONS
    story = HiddenMarkov(np.log(START), np.log(TRANSITIONS), bank)
    x, _ = story.sample(np.array(LENGTHS), np.random.default_rng(0))
    steps = x.steps.astype(int) if case in ("categorical", "poisson") else x.steps
    log_evidence, posterior = story.state_posterior(x)
    told, expected = peer.score_samples(steps, LENGTHS)
    assert log_evidence.sum() == pytest.approx(told, rel=1e-10)
    np.testing.assert_allclose(posterior, expected, atol=1e-8)
    best, path = peer.decode(steps, LENGTHS)
    states, log_prob = story.viterbi(x)
    assert log_prob.sum() == pytest.approx(best, rel=1e-10)
    both = [story.log_prob(replace(x, states=each)).sum() for each in (states, path)]
    np.testing.assert_allclose(both, best, rtol=1e-12)
    if case not in ("categorical", "poisson"):  # there, different paths are equally probable
        np.testing.assert_array_equal(states, path)
    for i, (low, high) in enumerate(zip(x.offsets[:-1], x.offsets[1:], strict=True)):
        assert log_evidence[i] == pytest.approx(peer.score(steps[low:high]), abs=1e-8)


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_em_takes_the_same_steps(kind: str) -> None:
    bank, _ = _gaussian(kind)
    story = HiddenMarkov(np.log(START), np.log(TRANSITIONS), bank)
    x, _ = story.sample(np.array([150, 80, 200]), np.random.default_rng(3))
    start = HiddenMarkov(
        np.log(np.full(S, 1 / S)),
        np.log(np.full((S, S), 0.1) + 0.7 * np.eye(S)),
        type(bank)(MEANS + 0.4, COVARIANCES if kind == "full" else VARIANCES),
    )
    fit, report = expectation_maximisation(start, SequenceBlocks(x), max_iter=7, tol=0.0)
    other = hmm.GaussianHMM(
        S, covariance_type=kind, n_iter=8, tol=-np.inf, init_params="", min_covar=0.0,
        means_weight=0.0, covars_prior=0.0, covars_weight=1.0 if kind == "diag" else 0.0,
    )  # fmt: skip
    other.startprob_, other.transmat_ = np.exp(start.log_start), np.exp(start.log_transitions)
    other.means_, other.covars_ = MEANS + 0.4, COVARIANCES if kind == "full" else VARIANCES
    if kind == "full":
        # Its prior is added to the number of rows less the number of columns.
        other.covars_weight = D
    other.fit(x.steps, x.lengths)
    trace = np.array(report.trace) * x.n_steps
    np.testing.assert_allclose(trace, np.array(other.monitor_.history)[:8], rtol=1e-8)
    assert fit.log_prob(x).sum() == pytest.approx(report.trace[-1] * x.n_steps)


def test_a_textbook_model_is_scored_as_by_hand() -> None:
    """Two steps of a model with two states: p is the sum over four paths."""
    story = HiddenMarkov(
        np.log([0.6, 0.4]),
        np.log([[0.7, 0.3], [0.4, 0.6]]),
        Categorical(np.array([[0.1, 0.4, 0.5, 0.0], [0.6, 0.3, 0.1, 0.0]]), (3,)),
    )
    x = Sequences(np.array([[0.0], [1.0]]), np.array([0, 2]))
    by_hand = 0.6 * 0.1 * (0.7 * 0.4 + 0.3 * 0.3) + 0.4 * 0.6 * (0.4 * 0.4 + 0.6 * 0.3)
    assert story.log_prob(x)[0] == pytest.approx(np.log(by_hand), rel=1e-14)
