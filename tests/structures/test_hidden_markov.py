"""Hidden Markov chains against the enumeration of all paths, and the laws that follow."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from fabula.core.blocks import Block, SequenceBlocks, Sequences
from fabula.core.errors import UsageError
from fabula.core.threads import use_threads
from fabula.families import Categorical, NormalDiagonal, NormalFull, Poisson
from fabula.families.base import Family
from fabula.learning.em import expectation_maximisation
from fabula.persistence.codec import pack, unpack
from fabula.structures.chains import state_paths
from fabula.structures.chains.hidden_markov import HiddenMarkov, HiddenMarkovPrior
from fabula.testing import FAMILIES

LENGTHS = np.array([4, 0, 1, 5, 2])


def log(values: object) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(values, dtype=float))


def _ergodic() -> HiddenMarkov:
    transitions = [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]]
    means = np.array([[0.0, 1.0], [1.5, -1.0], [-1.0, -1.0]])
    covariances = np.array([[[1.0, 0.5], [0.5, 1.0]], [[0.5, -0.2], [-0.2, 1.5]], np.eye(2)])
    return HiddenMarkov(log([0.5, 0.2, 0.3]), log(transitions), NormalFull(means, covariances))


def _left_to_right() -> HiddenMarkov:
    transitions = [[0.6, 0.4, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]
    bank = NormalDiagonal(np.array([[0.0, 1.0], [1.5, -1.0], [-1.0, 2.0]]), np.ones((3, 2)))
    return HiddenMarkov(log([1.0, 0.0, 0.0]), log(transitions), bank)


def _cyclic() -> HiddenMarkov:
    """Almost periodic, with transitions that are possible but minute."""
    transitions = [[0.3, 0.7, 0.0], [1e-120, 0.2, 0.8], [0.9, 0.0, 0.1]]
    return HiddenMarkov(
        log([0.0, 0.5, 0.5]), log(transitions), Poisson(np.array([[1.0], [4.0], [9.0]]))
    )


STORIES = {"ergodic": _ergodic, "left to right": _left_to_right, "cyclic": _cyclic}


@pytest.fixture(params=STORIES)
def story(request: pytest.FixtureRequest) -> HiddenMarkov:
    return STORIES[request.param]()


@pytest.fixture(params=[(65_536, 10**6), (2, 0), (2, 6)], ids=["whole", "stretches", "kept"])
def stretch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Steps in a stretch: all of them, or two, with one or two stretches kept."""
    steps, kept = request.param
    monkeypatch.setattr(state_paths, "STRETCH_STEPS", steps)
    monkeypatch.setattr(state_paths, "_DOUBLES_KEPT", 2 * kept)
    return int(steps)


def gappy(story: HiddenMarkov, seed: int = 0) -> Sequences:
    """Sequences with missing cells, missing steps and some known states."""
    rng = np.random.default_rng(seed)
    x, states = story.sample(LENGTHS, rng)
    steps = x.steps.copy()
    steps[rng.random(steps.shape) < 0.15] = np.nan
    steps[[1, 5, 9]] = np.nan
    known = np.where(rng.random(len(states)) < 0.25, states, -1)
    return Sequences(steps, x.offsets, known)


@dataclass
class Enumeration:
    """Every path of one sequence and its log joint density."""

    paths: np.ndarray
    log_joint: np.ndarray

    @classmethod
    def of(cls, story: HiddenMarkov, x: Sequences) -> Iterator[Enumeration]:
        log_b = story.emission.log_prob(x.steps)
        for low, high in itertools.pairwise(x.offsets):
            length = int(high - low)
            each = list(itertools.product(range(story.n_states), repeat=length))
            paths = np.array(each, dtype=int).reshape(len(each), length)
            total = np.zeros(len(paths))
            for k in range(length):
                state = paths[:, k]
                before = story.log_start[state] if k == 0 else 0.0
                if k:
                    before = story.log_transitions[paths[:, k - 1], state]
                total = total + before + log_b[low + k, state]
                if x.states is not None and x.states[low + k] >= 0:
                    total[state != x.states[low + k]] = -np.inf
            yield cls(paths, total)

    @property
    def log_evidence(self) -> float:
        return float(np.logaddexp.reduce(self.log_joint))

    @property
    def weights(self) -> np.ndarray:
        return np.exp(self.log_joint - self.log_evidence)

    def posterior(self, n_states: int) -> np.ndarray:
        shares = (self.paths[:, :, None] == np.arange(n_states)) * self.weights[:, None, None]
        return shares.sum(axis=0)

    def transitions(self, n_states: int) -> np.ndarray:
        counts = np.zeros((n_states, n_states))
        for path, weight in zip(self.paths, self.weights, strict=True):
            for i, j in itertools.pairwise(path):
                counts[i, j] += weight
        return counts


@pytest.mark.parametrize("known", [False, True])
def test_everything_agrees_with_the_enumeration_of_paths(
    story: HiddenMarkov, known: bool, stretch: int
) -> None:
    x = gappy(story)
    x = x if known else replace(x, states=None)
    every = list(Enumeration.of(story, x))
    log_prob = story.log_prob(x)
    log_evidence, posterior = story.state_posterior(x)
    states, best = story.viterbi(x)
    np.testing.assert_allclose(log_prob, [e.log_evidence for e in every], rtol=1e-12)
    np.testing.assert_allclose(log_evidence, log_prob, rtol=1e-12)
    np.testing.assert_allclose(best, [e.log_joint.max() for e in every], rtol=1e-12)
    assert np.all(best <= log_prob + 1e-12)
    expected = np.concatenate([e.posterior(3) for e in every])
    np.testing.assert_allclose(posterior, expected, atol=1e-13)
    for e, mine in zip(every, np.split(states, x.offsets[1:-1]), strict=True):
        place = int(np.flatnonzero((e.paths == mine).all(axis=1))[0])
        assert e.log_joint[place] == pytest.approx(e.log_joint.max(), rel=1e-12)
    weights = np.array([1.0, 3.0, 0.5, 2.0, 0.0])
    statistics = story.statistics(Block(x, weights=weights))
    counts = sum(w * e.transitions(3) for w, e in zip(weights, every, strict=True))
    np.testing.assert_allclose(statistics.transitions, counts, atol=1e-12)
    begun = [w * e.posterior(3)[0] for w, e in zip(weights, every, strict=True) if e.paths.shape[1]]
    np.testing.assert_allclose(statistics.start, np.sum(begun, axis=0), atol=1e-13)
    assert statistics.n_rows == weights @ LENGTHS
    assert statistics.log_evidence == pytest.approx(float(weights @ log_prob), rel=1e-12)


def test_filtering_and_forecasts_agree_with_enumeration(story: HiddenMarkov, stretch: int) -> None:
    x = gappy(story)
    filtered = story.filter(x)
    ends = [e.posterior(3)[-1] if e.paths.shape[1] else None for e in Enumeration.of(story, x)]
    forecast = story.forecast_states(x, 3)
    transitions = np.exp(story.log_transitions)
    for i, end in enumerate(ends):
        now = np.exp(story.log_start) if end is None else end
        np.testing.assert_allclose(filtered[i], now, atol=1e-13)
        for h in range(3):
            now = now if end is None and h == 0 else now @ transitions
            np.testing.assert_allclose(forecast[i, h], now, atol=1e-13)
    assert story.forecast_states(x, 0).shape == (5, 0, 3)


def test_step_scores_are_what_each_step_adds(story: HiddenMarkov, stretch: int) -> None:
    x = gappy(story)
    scores = story.step_scores(x)
    for s, (low, high) in enumerate(itertools.pairwise(x.offsets)):
        whole = x[s : s + 1]
        prefixes = [
            Sequences(whole.steps[:k], np.array([0, k]), whole.states[:k])
            for k in range(high - low + 1)
        ]
        log_prob = [float(story.log_prob(prefix)[0]) for prefix in prefixes]
        np.testing.assert_allclose(scores[low:high], np.diff(log_prob), atol=1e-11)


def test_expected_transitions_are_derivatives_of_the_evidence(story: HiddenMarkov) -> None:
    """d log Z / d log a_ij is the expected number of transitions (Fisher's identity)."""
    x = gappy(story)
    counts = story.statistics(Block(x)).transitions
    step = 1e-5
    for i, j in np.argwhere(story.allowed & (story.log_transitions > -20)):
        values = []
        for sign in (1.0, -1.0):
            moved = story.log_transitions.copy()
            moved[i, j] += sign * step
            shifted = np.logaddexp.reduce(moved, axis=1)
            # Rows have to sum to 1: what that takes from each transition out of i is put back.
            tilted = HiddenMarkov(story.log_start, moved - shifted[:, None], story.emission)
            values.append(tilted.log_prob(x).sum() + counts.sum(axis=1) @ shifted)
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(counts[i, j], abs=1e-6)


def test_drawn_paths_come_as_often_as_they_should(story: HiddenMarkov, stretch: int) -> None:
    x = gappy(story, seed=3)[3:4]
    (every,) = Enumeration.of(story, x)
    n, rng = 4000, np.random.default_rng(1)
    if stretch > 2:
        many = Sequences(np.tile(x.steps, (n, 1)), np.arange(n + 1) * 5, np.tile(x.states, n))
        drawn = story.sample_paths(many, rng).reshape(n, 5)
    else:
        n = 400
        drawn = np.array([story.sample_paths(x, rng) for _ in range(n)])
    for path, weight in zip(every.paths, every.weights, strict=True):
        share = (drawn == path).all(axis=1).mean()
        assert abs(share - weight) <= 5 * np.sqrt(weight * (1 - weight) / n) + 1.5 / n


def test_missing_steps_are_explicit_marginals() -> None:
    """A gap of two steps is the cube of the transitions."""
    story = _ergodic()
    x, _ = story.sample(np.array([5]), np.random.default_rng(0))
    x.steps[2:4] = np.nan
    b = np.exp(story.emission.log_prob(x.steps[[0, 1, 4]]))
    a = np.exp(story.log_transitions)
    alpha = ((np.exp(story.log_start) * b[0]) @ a * b[1]) @ np.linalg.matrix_power(a, 3) * b[2]
    assert story.log_prob(x)[0] == pytest.approx(np.log(alpha.sum()), rel=1e-12)
    only = Sequences(np.full((6, 2), np.nan), np.array([0, 6]))
    assert story.log_prob(only)[0] == pytest.approx(0.0, abs=1e-14)


def test_what_cannot_be_is_impossible_and_never_nan(stretch: int) -> None:
    story = _left_to_right()
    x, _ = story.sample(np.array([4, 4, 4]), np.random.default_rng(0))
    backwards = np.array([-1, -1, 2, 0] + [-1] * 4 + [1, -1, -1, -1])
    x = replace(x, states=backwards)
    log_prob = story.log_prob(x)
    log_evidence, posterior = story.state_posterior(x)
    states, best = story.viterbi(x)
    for told in (log_prob, log_evidence, best):
        assert np.isneginf(told[[0, 2]]).all() and np.isfinite(told[1])
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0)
    np.testing.assert_allclose(story.filter(x).sum(axis=1), 1.0)
    assert set(states) <= {0, 1, 2}
    assert np.isneginf(story.step_scores(x)[[3, 8]]).all()
    assert set(story.sample_paths(x, np.random.default_rng(0))) <= {0, 1, 2}
    weights = np.array([0.0, 1.0, 0.0])
    statistics = story.statistics(Block(x, weights=weights))
    assert statistics.log_evidence == pytest.approx(log_prob[1])
    counts = Poisson(np.array([[1.0], [5.0]]))
    chain = HiddenMarkov(log([0.5, 0.5]), log([[0.5, 0.5], [0.1, 0.9]]), counts)
    wrong = Sequences(np.array([[1.0], [-1.0], [2.0]]), np.array([0, 3]))
    assert np.isneginf(chain.log_prob(wrong)).all()
    assert np.isfinite(chain.state_posterior(wrong)[1]).all()


def test_a_state_that_was_out_of_sight_can_still_win(stretch: int) -> None:
    """Two worlds that never meet: the first hundred steps prefer one by more than doubles hold."""
    bank = NormalDiagonal(np.array([[0.0], [40.0]]), np.ones((2, 1)))
    story = HiddenMarkov(log([0.5, 0.5]), log([[1.0, 0.0], [0.0, 1.0]]), bank)
    cells = np.concatenate([np.zeros(4), np.full(5, 40.0)])
    x = Sequences(cells[:, None], np.array([0, 9]))
    joint = story.log_start + bank.log_prob(x.steps).sum(axis=0)
    assert story.log_prob(x)[0] == pytest.approx(np.logaddexp.reduce(joint), rel=1e-13)
    np.testing.assert_allclose(story.state_posterior(x)[1], [[0.0, 1.0]] * 9, atol=1e-12)
    assert set(story.viterbi(x)[0]) == {1} == set(story.sample_paths(x, np.random.default_rng(0)))
    statistics = story.statistics(Block(x))
    np.testing.assert_allclose(statistics.transitions, [[0.0, 0.0], [0.0, 8.0]], atol=1e-12)


def test_one_state_is_the_plain_family(stretch: int) -> None:
    bank = _ergodic().emission.select([1])
    story = HiddenMarkov(np.zeros(1), np.zeros((1, 1)), bank)
    x, _ = story.sample(LENGTHS, np.random.default_rng(0))
    x.steps[3, 0] = np.nan
    cells = bank.log_prob(x.steps)[:, 0]
    expected = [cells[low:high].sum() for low, high in itertools.pairwise(x.offsets)]
    np.testing.assert_allclose(story.log_prob(x), expected, rtol=1e-12)
    np.testing.assert_allclose(story.viterbi(x)[1], expected, rtol=1e-12)
    fit = story.maximise(story.statistics(Block(x)))
    plain = bank.maximise(bank.statistics(x.steps, np.ones((len(cells), 1))))
    np.testing.assert_allclose(fit.emission.log_prob(x.steps), plain.log_prob(x.steps))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_em_climbs_with_every_family(family: str) -> None:
    """The objective never falls; one thread and two, small blocks and large, agree."""
    bank: Family = FAMILIES[family]()
    k = bank.n_members
    rng = np.random.default_rng(5)
    transitions = 0.6 * np.eye(k) + 0.4 * rng.dirichlet(np.ones(k), size=k)
    transitions[0, k - 1] = 0.0
    transitions /= transitions.sum(axis=1, keepdims=True)
    truth = HiddenMarkov(log(np.full(k, 1 / k)), log(transitions), bank)
    x, states = truth.sample(np.array([20, 1, 0, 30, 25]), rng)
    x.steps[rng.random(len(states)) < 0.05] = np.nan
    known = np.where(rng.random(len(states)) < 0.1, states, -1)
    x = replace(x, states=known)
    weights = np.array([1.0, 2.0, 1.0, 0.5, 1.0])
    start = replace(
        truth,
        log_transitions=log(np.where(truth.allowed, 1.0, 0.0) / truth.allowed.sum(axis=1)[:, None]),
    )
    prior = HiddenMarkovPrior(np.full(k, 0.5), np.full((k, k), 0.5), bank.pseudo_observations(1.0))
    fits = []
    for threads, steps in ((1, 21), (2, 21), (1, 4096)):
        with use_threads(threads):
            fit, report = expectation_maximisation(
                start,
                SequenceBlocks(x, weights=weights, steps=steps),
                prior=prior,
                max_iter=6,
                tol=0.0,
            )
        trace = np.array(report.trace)
        assert report.reason == "iteration limit", report
        assert np.diff(trace).min() >= -1e-10 * np.abs(trace).max()
        assert trace[-1] > trace[0]
        assert np.array_equal(fit.allowed, truth.allowed)
        fits.append(fit)
    one, two = (pack(fit)[1] for fit in fits[:2])
    assert all(np.array_equal(one[name], two[name]) for name in one)
    np.testing.assert_allclose(fits[0].log_prob(x), fits[2].log_prob(x), rtol=1e-8, atol=1e-8)
    loaded = unpack(*pack(fits[0]))
    np.testing.assert_array_equal(loaded.log_prob(x), fits[0].log_prob(x))


def test_refitting_draws_recovers_the_chain() -> None:
    truth = _ergodic()
    truth = replace(
        truth, emission=NormalFull(3 * truth.emission.means, truth.emission.covariances)
    )
    n, length = 60, 100
    x, states = truth.sample(np.full(n, length), np.random.default_rng(4))
    fit, report = expectation_maximisation(
        truth, SequenceBlocks(x, steps=1000), max_iter=60, tol=1e-9
    )
    assert report.converged
    visits = np.bincount(states, minlength=3)
    a = np.exp(truth.log_transitions)
    # States are almost always clear here, so the errors are little more than multinomial ones.
    errors = np.sqrt(a * (1 - a) / visits[:, None])
    assert np.abs(np.exp(fit.log_transitions) - a).max() <= 5 * errors.max()
    deviation = np.sqrt(np.diagonal(truth.emission.covariances, axis1=1, axis2=2))
    off = np.abs(fit.emission.means - truth.emission.means)
    assert np.all(off <= 5 * deviation / np.sqrt(visits)[:, None])
    # Twice the gain over the truth is χ² with as many degrees of freedom as there are parameters.
    gain = fit.log_prob(x).sum() - truth.log_prob(x).sum()
    assert 0 <= gain <= truth.n_parameters


def test_learning_keeps_what_is_forbidden_and_what_is_allowed() -> None:
    story = _left_to_right()
    x, _ = story.sample(np.array([6, 6]), np.random.default_rng(0))
    x = replace(x, states=np.array([0] * 12))
    fit = story.maximise(story.statistics(Block(x)))
    assert np.array_equal(fit.allowed, story.allowed)
    np.testing.assert_array_equal(fit.log_transitions[1:], story.log_transitions[1:])
    assert fit.log_transitions[0, 1] == pytest.approx(np.log(1e-16), abs=0.1)
    np.testing.assert_allclose(np.exp(fit.log_transitions).sum(axis=1), 1.0)
    prior = HiddenMarkovPrior(np.ones(3), np.ones((3, 3)))
    fit = story.maximise(story.statistics(Block(x)), prior)
    np.testing.assert_allclose(
        np.exp(fit.log_transitions), [[11 / 12, 1 / 12, 0], [0, 0.5, 0.5], [0, 0, 1]]
    )
    np.testing.assert_allclose(np.exp(fit.log_start), [1.0, 0.0, 0.0])
    assert fit.log_prior(prior) == pytest.approx(np.log(11 / 12) + np.log(1 / 12) + 2 * np.log(0.5))
    assert story.n_parameters == 2 + 12


def test_statistics_add_up(story: HiddenMarkov) -> None:
    x = gappy(story)
    whole = story.statistics(Block(x))
    halves = story.statistics(Block(x[:3])) + story.statistics(Block(x[3:]))
    np.testing.assert_allclose(halves.transitions, whole.transitions, atol=1e-13)
    np.testing.assert_allclose(halves.start, whole.start, atol=1e-13)
    assert halves.log_evidence == pytest.approx(whole.log_evidence)
    assert halves.n_rows == whole.n_rows == LENGTHS.sum()
    prepared = story.statistics(story.prepare(Block(x)))
    np.testing.assert_array_equal(prepared.transitions, whole.transitions)


def test_gaps_are_filled_with_what_the_other_steps_say() -> None:
    story = _ergodic()
    x, _ = story.sample(np.array([4]), np.random.default_rng(2))
    x.steps[1] = np.nan
    x.steps[2, 0] = np.nan
    (every,) = Enumeration.of(story, x)
    posterior = every.posterior(3)
    filled = story.complete(x)
    np.testing.assert_allclose(filled[1], posterior[1] @ story.emission.means)
    each = [story.emission.complete(x.steps[2:3], np.array([k]))[0, 0] for k in range(3)]
    assert filled[2, 0] == pytest.approx(posterior[2] @ each)
    seen = ~np.isnan(x.steps)
    np.testing.assert_array_equal(filled[seen], x.steps[seen])
    n, rng = 3000, np.random.default_rng(0)
    many = Sequences(np.tile(x.steps, (n, 1)), np.arange(n + 1) * 4)
    drawn = story.complete(many, rng).reshape(n, 4, 2)
    for cell in ((1, 0), (1, 1), (2, 0)):
        values = drawn[:, cell[0], cell[1]]
        assert abs(values.mean() - filled[cell]) <= 5 * values.std() / np.sqrt(n)


def test_continuations_follow_the_forecast() -> None:
    story = _ergodic()
    x, _ = story.sample(np.array([4]), np.random.default_rng(2))
    n = 4000
    many = Sequences(np.tile(x.steps, (n, 1)), np.arange(n + 1) * 4)
    drawn = story.continue_(many, 3, np.random.default_rng(0))
    assert drawn.steps.shape == (3 * n, 2) and np.all(drawn.lengths == 3)
    forecast = story.forecast_states(x, 3)[0] @ story.emission.means
    values = drawn.steps.reshape(n, 3, 2)
    errors = values.std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(values.mean(axis=0) - forecast) <= 5 * errors)


def test_the_chain_itself() -> None:
    story = _ergodic()
    shares = story.stationary()
    np.testing.assert_allclose(shares @ np.exp(story.log_transitions), shares, atol=1e-15)
    np.testing.assert_allclose(story.dwell_times(), [2.5, 2.0, 5 / 3])
    absorbed = _left_to_right()
    np.testing.assert_allclose(absorbed.stationary(), [0.0, 0.0, 1.0])
    np.testing.assert_allclose(absorbed.dwell_times(), [2.5, 2.0, np.inf])
    # From state 0 the chain falls into {1, 2} or into {3}, with odds of 3 to 1.
    transitions = log([[0.2, 0.6, 0, 0.2], [0, 0.5, 0.5, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    split = HiddenMarkov(log([0.5, 0, 0, 0.5]), transitions, Poisson(np.ones((4, 1))))
    np.testing.assert_allclose(split.stationary(), [0.0, 0.25, 0.125, 0.625])


def test_states_can_be_put_in_another_order() -> None:
    story = _left_to_right()
    x = gappy(story)
    order = [2, 0, 1]
    place = np.argsort(order)
    other = story.reorder(order)
    turned = replace(x, states=np.where(x.states >= 0, place[x.states], -1))
    np.testing.assert_allclose(other.log_prob(turned), story.log_prob(x), rtol=1e-12)
    np.testing.assert_allclose(
        other.state_posterior(turned)[1], story.state_posterior(x)[1][:, order], atol=1e-13
    )
    with pytest.raises(UsageError, match="each of them once"):
        story.reorder([0, 0, 1])


def test_columns_are_left_out() -> None:
    story = _ergodic()
    x = gappy(story)
    hidden = x.steps.copy()
    hidden[:, 0] = np.nan
    margin = story.marginal([1]).log_prob(x.with_steps(x.steps[:, 1:]))
    np.testing.assert_allclose(margin, story.log_prob(x.with_steps(hidden)), rtol=1e-12)


def test_chains_are_drawn_by_their_law() -> None:
    story = _left_to_right()
    n = 5000
    states = story.sample_states(np.full(n, 3), np.random.default_rng(0)).reshape(n, 3)
    assert set(states[:, 0]) == {0}
    for path, expected in (((0, 0, 0), 0.36), ((0, 1, 1), 0.2), ((0, 1, 2), 0.2)):
        share = (states == path).all(axis=1).mean()
        assert abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / n)


def test_long_sequences_and_empty_ones(stretch: int) -> None:
    story = _ergodic()
    nothing = Sequences(np.zeros((0, 2)), np.array([0]))
    assert story.log_prob(nothing).shape == (0,)
    assert story.filter(nothing).shape == (0, 3)
    assert story.viterbi(nothing)[0].dtype == np.intp
    empty = Sequences(np.zeros((0, 2)), np.array([0, 0, 0]))
    np.testing.assert_array_equal(story.log_prob(empty), [0.0, 0.0])
    np.testing.assert_array_equal(story.viterbi(empty)[1], [0.0, 0.0])
    assert story.statistics(Block(empty)).n_rows == 0.0
    assert story.continue_(empty, 2, np.random.default_rng(0)).n_steps == 4
    assert story.complete(empty).shape == (0, 2)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("log_start", log([0.5, 0.5]), "shape"),
        ("log_start", log([0.5, 0.6, 0.2]), "first step must sum to 1"),
        ("log_transitions", log([[1, 0, 0], [0.5, 0.2, 0.2], [0, 0, 1]]), "state 1"),
        ("emission", Categorical.uniform(2, [3]), "shape"),
    ],
)
def test_wrong_parameters_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(_ergodic(), **{field: value})
