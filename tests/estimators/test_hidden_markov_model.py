"""Hidden Markov models as estimators: what they learn, and every question beside a reference."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn.base import clone

import fabula
from fabula import HiddenMarkovModel, families
from fabula.core.errors import CannotAnswerError, ConvergenceWarning, DataError, UsageError

START = np.array([0.6, 0.4])
TRANSITIONS = np.array([[0.9, 0.1], [0.25, 0.75]])
MEANS = np.array([[0.0, 0.0], [2.0, -1.0]])
COVARIANCES = np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.7, -0.2], [-0.2, 1.2]]])


@pytest.fixture
def normal() -> HiddenMarkovModel:
    return HiddenMarkovModel.from_parameters(
        START, TRANSITIONS, "full", means=MEANS, covariances=COVARIANCES
    )


@pytest.fixture
def symbols() -> HiddenMarkovModel:
    return HiddenMarkovModel.from_parameters(
        START,
        TRANSITIONS,
        "categorical",
        probabilities=[[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]],
        symbols="abc",
    )


def log_densities(x: np.ndarray) -> np.ndarray:
    """Log emission densities (T, 2) with missing cells left out."""
    out = np.zeros((len(x), 2))
    for t, row in enumerate(x):
        seen = ~np.isnan(row)
        for k in range(2):
            if seen.any():
                covariance = COVARIANCES[k][np.ix_(seen, seen)]
                out[t, k] = multivariate_normal(MEANS[k][seen], covariance).logpdf(row[seen])
    return out


def every_path(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All paths (2^T, T) and the log joint density of each with the sequence."""
    paths = np.array(np.meshgrid(*[[0, 1]] * len(x), indexing="ij")).reshape(len(x), -1).T
    emitted = log_densities(x)
    joint = np.log(START)[paths[:, 0]] + emitted[np.arange(len(x)), paths].sum(axis=1)
    joint += np.log(TRANSITIONS)[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    return paths, joint


@pytest.fixture
def gappy() -> np.ndarray:
    x = np.random.default_rng(3).normal(size=(6, 2)) + 0.5
    x[1, 0] = x[4, 1] = np.nan
    x[3] = np.nan
    return x


# --- questions, beside an enumeration of all paths --------------------------------------------


def test_questions_agree_with_an_enumeration_of_all_paths(normal, gappy) -> None:
    paths, joint = every_path(gappy)
    evidence = logsumexp(joint)
    assert normal.score_samples([gappy]) == pytest.approx([evidence], abs=1e-10)
    assert normal.score([gappy, gappy]) == pytest.approx(2 * evidence, abs=1e-10)
    weights = np.exp(joint - evidence)
    posterior = np.stack([weights @ (paths == k) for k in range(2)], axis=1)
    np.testing.assert_allclose(normal.predict_proba([gappy])[0], posterior, atol=1e-10)
    log_prob, path = normal.decode([gappy])
    assert log_prob == pytest.approx([joint.max()], abs=1e-10)
    assert path[0].tolist() == paths[joint.argmax()].tolist()
    assert normal.predict([gappy])[0].tolist() == path[0].tolist()


def test_surprise_of_steps_is_that_of_prefixes(normal, gappy) -> None:
    prefixes = normal.score_samples([gappy[:t] for t in range(len(gappy) + 1)])
    np.testing.assert_allclose(normal.anomaly_scores([gappy])[0], -np.diff(prefixes), atol=1e-10)
    assert normal.anomaly_scores([gappy])[0][3] == 0.0  # nothing was seen


def test_the_mean_of_a_gap_weighs_what_each_state_expects(normal, gappy) -> None:
    posterior = normal.predict_proba([gappy])[0]
    filled = normal.impute([gappy])[0]
    np.testing.assert_allclose(filled[3], posterior[3] @ MEANS, atol=1e-10)
    slopes = COVARIANCES[:, 0, 1] / COVARIANCES[:, 1, 1]
    expected = MEANS[:, 0] + slopes * (gappy[1, 1] - MEANS[:, 1])
    assert filled[1, 0] == pytest.approx(posterior[1] @ expected, abs=1e-10)
    seen = ~np.isnan(gappy)
    np.testing.assert_array_equal(filled[seen], gappy[seen])


def test_draws_of_a_gap_have_the_mean_and_the_spread_of_the_gap(normal, gappy) -> None:
    draws = np.array(normal.impute([gappy], "draw", 4000, random_state=0))[:, 0, 3]
    posterior = normal.predict_proba([gappy])[0][3]
    mean = posterior @ MEANS
    second = np.einsum("k,kij->ij", posterior, COVARIANCES + MEANS[:, :, None] * MEANS[:, None])
    deviation = np.sqrt(np.diag(second - np.outer(mean, mean)))
    assert np.all(np.abs(draws.mean(axis=0) - mean) < 4 * deviation / np.sqrt(4000))
    assert draws.std(axis=0) == pytest.approx(deviation, rel=0.06)


def test_the_mode_of_a_gap_is_where_its_density_is_largest(normal, gappy) -> None:
    filled = normal.impute([gappy], "mode")[0]
    posterior = normal.predict_proba([gappy])[0]
    grid = np.linspace(-3, 5, 20_001)
    for j in range(2):
        spread = np.sqrt(COVARIANCES[:, j, j])
        density = (posterior[3] * norm.pdf(grid[:, None], MEANS[:, j], spread)).sum(axis=1)
        assert filled[3, j] == pytest.approx(grid[density.argmax()], abs=2e-3)


def test_forecasts_are_the_mixture_over_the_states_to_come(normal, gappy) -> None:
    ahead = normal.forecast([gappy], 3, interval=0.8)
    assert ahead.exact == (True, True) and ahead.horizon == 3
    last = normal.predict_proba([gappy])[0][-1]
    for h in range(3):
        states = last @ np.linalg.matrix_power(TRANSITIONS, h + 1)
        np.testing.assert_allclose(ahead.states[0, h], states, atol=1e-10)
        np.testing.assert_allclose(ahead.mean[0, h], states @ MEANS, atol=1e-10)
        for j in range(2):
            spread = np.sqrt(COVARIANCES[:, j, j])
            for end, share in ((ahead.lower, 0.1), (ahead.upper, 0.9)):
                below = states @ norm.cdf(end[0, h, j], MEANS[:, j], spread)
                assert below == pytest.approx(share, abs=1e-9)


def test_draws_of_what_comes_agree_with_the_forecast(normal, gappy) -> None:
    draws = normal.forecast_samples([gappy], 2, 5000, random_state=0)
    assert draws.shape == (5000, 1, 2, 2)
    ahead = normal.forecast([gappy], 2, interval=0.5)
    below = (draws < ahead.upper).mean(axis=0)
    assert np.all(np.abs(below - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 5000))


def test_counts_have_whole_quantiles() -> None:
    model = HiddenMarkovModel.from_parameters(
        [1.0, 0.0], TRANSITIONS, "poisson", rates=[[3.0], [9.0]]
    )
    ahead = model.forecast([np.array([2.0])], 1, interval=0.9)
    from scipy.stats import poisson

    for end, share in ((ahead.lower, 0.05), (ahead.upper, 0.95)):
        value = end[0, 0, 0]
        assert value == np.rint(value)
        states = ahead.states[0, 0]
        assert (
            states @ poisson.cdf(value, [3, 9]) >= share > states @ poisson.cdf(value - 1, [3, 9])
        )


def test_symbols_are_forecast_by_their_probabilities(symbols) -> None:
    ahead = symbols.forecast(["abc"], 2)
    shares = ahead.states @ np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    np.testing.assert_allclose(ahead.probabilities["symbols"], shares)
    assert ahead.levels["symbols"] == ("a", "b", "c")
    assert np.isnan(ahead.mean).all()


def test_what_has_no_quantiles_takes_those_of_draws() -> None:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(20, [0.5, 0.3, 0.2], size=60)
    model = HiddenMarkovModel(1, "multinomial").fit(counts)
    ahead = model.forecast(counts, interval=0.8)
    assert ahead.exact == (False, False, False)
    draws = model.forecast_samples(counts, 1, 20_000, random_state=1)[:, 0, 0]
    expected = np.quantile(draws, [0.1, 0.9], axis=0, method="inverted_cdf")
    assert np.abs(ahead.lower[0, 0] - expected[0]).max() <= 1
    assert np.abs(ahead.upper[0, 0] - expected[1]).max() <= 1


def test_the_long_run_and_the_length_of_visits(normal) -> None:
    np.testing.assert_allclose(normal.dwell_times_, [10.0, 4.0])
    np.testing.assert_allclose(normal.stationary_ @ TRANSITIONS, normal.stationary_)
    _, states = normal.sample(1, 40_000, random_state=0)
    share = states[0].mean()
    assert share == pytest.approx(normal.stationary_[1], abs=0.02)


def test_criteria_count_parameters_and_steps(normal, gappy) -> None:
    evidence = normal.score([gappy])
    n = 1 + 2 + 2 * (2 + 3)
    assert normal.n_parameters == n
    assert normal.aic([gappy]) == pytest.approx(2 * n - 2 * evidence)
    assert normal.bic([gappy]) == pytest.approx(n * np.log(6) - 2 * evidence)


# --- learning ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("emission", "kind"), [("full", "full"), ("diag", "diag"), ("spherical", "spherical")]
)
def test_equal_iterations_give_the_trace_of_hmmlearn(normal, emission, kind) -> None:
    hmm = pytest.importorskip("hmmlearn.hmm")
    X, _ = normal.sample(6, 50, random_state=0)
    stacked, lengths = np.concatenate(X), [50] * 6
    covariances = {
        "full": np.stack([np.eye(2)] * 2),
        "diag": np.ones((2, 2)),
        "spherical": np.ones(2),
    }[kind]
    peer = hmm.GaussianHMM(
        2,
        kind,
        n_iter=8,
        tol=-np.inf,
        init_params="",
        covars_prior=0.0,
        covars_weight=0.0,
        min_covar=0.0,
        implementation="log",
    )
    peer.startprob_, peer.transmat_ = START, np.array([[0.6, 0.4], [0.3, 0.7]])
    means = np.array([[-0.5, 0.0], [1.0, 0.5]])
    peer.means_, peer.covars_ = means, covariances
    peer.fit(stacked, lengths)
    from fabula.core.blocks import SequenceBlocks
    from fabula.learning.em import expectation_maximisation

    begin = HiddenMarkovModel.from_parameters(
        START, [[0.6, 0.4], [0.3, 0.7]], emission, means=means, covariances=covariances
    )
    sequences = begin._read_sequences(stacked, lengths)
    story, report = expectation_maximisation(
        begin.story_, SequenceBlocks(sequences), prior=None, max_iter=8, tol=0.0
    )
    np.testing.assert_allclose(np.array(report.trace[:8]) * 300, peer.monitor_.history, rtol=1e-8)
    np.testing.assert_allclose(np.exp(story.log_transitions), peer.transmat_, atol=1e-6)


def test_sampling_and_fitting_gives_the_parameters_back(normal) -> None:
    X, _ = normal.sample(40, 200, random_state=1)
    model = HiddenMarkovModel(2, random_state=0, prior_strength=0.0, tol=1e-6).fit(X)
    order = model.emission_.means[:, 0].argsort()
    found = model.story_.reorder(order)
    visits = 8000 * normal.stationary_
    assert model.converged_
    # Standard errors of proportions and means, doubled for what the hidden states leave open.
    error = 2 * np.sqrt(TRANSITIONS * (1 - TRANSITIONS) / visits[:, None])
    assert np.all(np.abs(np.exp(found.log_transitions) - TRANSITIONS) < 3 * error)
    spread = 2 * np.sqrt(np.diagonal(COVARIANCES, axis1=1, axis2=2) / visits[:, None])
    assert np.all(np.abs(found.emission.means - MEANS) < 3 * spread)
    assert np.all(np.diff(model.lower_bounds_) > -1e-9)
    assert model.score(X) >= normal.score(X)


@pytest.mark.parametrize(
    "emission",
    ["auto", "full", "tied", "diag", "spherical", "student", "student_t", "normal"],
)
def test_every_emission_of_numbers_learns_two_levels(emission) -> None:
    rng = np.random.default_rng(0)
    level = np.repeat([0, 6, 0, 6], 25)[:, None]
    X = [level + rng.normal(size=(100, 2)) for _ in range(3)]
    model = HiddenMarkovModel(2, emission, random_state=0).fit(X)
    path = model.predict(X)[0]
    changes = np.flatnonzero(np.diff(path)) + 1
    assert changes.tolist() == [25, 50, 75]
    assert np.all(np.diff(model.lower_bounds_) > -1e-9)


@pytest.mark.parametrize("emission", ["poisson", "gamma", "exponential", "log_normal"])
def test_every_emission_of_positive_numbers_learns_two_levels(emission) -> None:
    rng = np.random.default_rng(0)
    rates = np.repeat([2.0, 40.0, 2.0], 40)
    X = rng.poisson(rates) + (0 if emission == "poisson" else 0.5)
    model = HiddenMarkovModel(2, emission, random_state=0).fit(X)
    path = model.predict(X)
    assert np.mean(path == (rates > 10)) > 0.95 or np.mean(path == (rates < 10)) > 0.95


def test_bernoulli_and_multinomial_steps() -> None:
    rng = np.random.default_rng(0)
    high = np.repeat([True, False, True], 30)
    bits = (rng.random((90, 4)) < np.where(high, 0.9, 0.1)[:, None]).astype(int)
    path = HiddenMarkovModel(2, "bernoulli", random_state=0).fit(bits).predict(bits)
    assert np.flatnonzero(np.diff(path)).tolist() == [29, 59]
    words = np.where(
        high[:, None], rng.poisson([8, 1, 1], (90, 3)), rng.poisson([1, 1, 8], (90, 3))
    )
    path = HiddenMarkovModel(2, "multinomial", random_state=0).fit(words).predict(words)
    assert np.flatnonzero(np.diff(path)).tolist() == [29, 59]


def test_mixtures_as_emissions_fit_what_one_normal_cannot() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.choice([-4.0, 4.0], 40) if i % 2 else np.zeros(40) for i in range(6)]
    x = np.concatenate(parts) + 0.5 * rng.normal(size=240)
    one = HiddenMarkovModel(2, "diag", random_state=0).fit(x)
    two = HiddenMarkovModel(2, "diag", n_mixtures=2, random_state=0, n_init=3).fit(x)
    assert two.emission_.n_components == 2
    assert two.score(x) > one.score(x) + 50
    assert two.impute([np.append(x[:5], np.nan)])[0].shape == (6,)
    ahead = two.forecast(x, 1)
    draws = two.forecast_samples(x, 1, 4000, random_state=0)[:, 0, 0, 0]
    assert (draws < ahead.upper[0, 0, 0]).mean() == pytest.approx(0.95, abs=0.015)


def test_transitions_that_are_not_allowed_stay_impossible(normal) -> None:
    X, _ = normal.sample(5, 30, random_state=0)
    left = HiddenMarkovModel(3, topology="left-right", random_state=0).fit(X)
    assert left.start_.tolist() == [1.0, 0.0, 0.0]
    assert np.all(left.transitions_[np.tril_indices(3, -1)] == 0) and left.transitions_[0, 2] == 0
    assert all(np.all(np.diff(path) >= 0) for path in left.predict(X))
    around = HiddenMarkovModel(3, topology="cyclic", random_state=0).fit(X)
    assert np.all((around.transitions_ > 0) == [[1, 1, 0], [0, 1, 1], [1, 0, 1]])
    mask = np.array([[True, True], [True, False]])
    masked = HiddenMarkovModel(2, topology=mask, random_state=0).fit(X)
    assert masked.transitions_[1].tolist() == [1.0, 0.0]
    assert masked.dwell_times_[1] == 1.0


def test_stickiness_lengthens_visits_and_priors_are_pseudo_counts() -> None:
    x = np.random.default_rng(0).normal(size=200)
    free = HiddenMarkovModel(2, random_state=0, max_iter=500).fit(x)
    sticky = HiddenMarkovModel(2, random_state=0, max_iter=500, stickiness=500.0).fit(x)
    assert sticky.dwell_times_.min() > free.dwell_times_.max()
    counts = np.array([[1e9, 3e9], [1e9, 1e9]])
    forced = HiddenMarkovModel(2, transition_prior=counts, start_prior=[3e9, 1e9]).fit(x)
    np.testing.assert_allclose(forced.transitions_, [[0.25, 0.75], [0.5, 0.5]], atol=1e-6)
    np.testing.assert_allclose(forced.start_, [0.75, 0.25], atol=1e-6)


def test_known_states_name_the_states_and_are_kept() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(["rest", "run", "rest"], 30)
    x = np.where(truth == "run", 2.0, 0.0) + rng.normal(size=90)
    known = truth.astype(object)
    known[5:40] = None
    known[50:80] = None
    model = HiddenMarkovModel(2, random_state=0).fit([x], states=[known.tolist()])
    assert model.state_names_ == ("rest", "run")
    path = model.predict([x])[0]
    assert np.mean(path == truth) > 0.9
    assert set(model.sample(1, 20, random_state=0)[1][0]) <= {"rest", "run"}
    # Every label seen: start, transitions and means are those of the labels.
    whole = HiddenMarkovModel(
        2, prior_strength=0.0, transition_prior=0.0, start_prior=0.0, tol=1e-9
    ).fit([x], states=(truth == "run").astype(int))
    np.testing.assert_allclose(whole.transitions_, [[58 / 59, 1 / 59], [1 / 30, 29 / 30]])
    np.testing.assert_allclose(whole.emission_.means[1], x[truth == "run"].mean())


def test_weights_count_sequences() -> None:
    rng = np.random.default_rng(0)
    X = [rng.normal(size=20) + 3 * (i % 2) for i in range(4)]
    options = {"random_state": 0, "tol": 1e-8, "max_iter": 1000, "emission": "diag"}
    start = families.NormalDiagonal(np.array([[0.0], [3.0]]), np.ones((2, 1)))
    options["emission"] = start
    weighted = HiddenMarkovModel(2, **options).fit(X, sample_weight=[3, 1, 0, 2])
    repeated = HiddenMarkovModel(2, **options).fit([X[0]] * 3 + [X[1]] + [X[3]] * 2)
    np.testing.assert_allclose(weighted.emission_.means, repeated.emission_.means, atol=1e-6)


def test_a_bank_of_one_member_is_a_template_and_of_all_states_a_start() -> None:
    x = np.concatenate([np.zeros(30), np.full(30, 5.0)]) + np.sin(np.arange(60))
    template = families.StudentT(np.zeros((1, 1)), np.eye(1)[None], np.array([4.0]), True)
    model = HiddenMarkovModel(2, template, random_state=0).fit(x)
    assert isinstance(model.emission_, families.StudentT) and model.emission_.fixed_dofs
    bank = families.NormalFull(np.array([[5.0], [0.0]]), np.ones((2, 1, 1)))
    model = HiddenMarkovModel(2, bank).fit(x)
    assert model.emission_.means[0, 0] > model.emission_.means[1, 0]


def test_the_number_of_states_is_found_by_bic() -> None:
    truth = HiddenMarkovModel.from_parameters(
        [1, 0, 0],
        np.full((3, 3), 0.05) + 0.85 * np.eye(3),
        "diag",
        means=[[0.0], [5.0], [10.0]],
        covariances=np.ones((3, 1)),
    )
    X, _ = truth.sample(5, 100, random_state=0)
    model = HiddenMarkovModel(1, random_state=0, max_iter=300).choose_states(X, range(1, 6))
    assert model.n_states == 3
    assert [n for n, _ in model.criteria_] == [1, 2, 3, 4, 5]
    assert min(model.criteria_, key=lambda pair: pair[1]) == (3, pytest.approx(model.bic(X)))


def test_missing_steps_equal_shorter_knowledge(normal) -> None:
    X, _ = normal.sample(30, 60, random_state=0)
    rng = np.random.default_rng(0)
    holed = [np.where(rng.random(x.shape) < 0.3, np.nan, x) for x in X]
    model = HiddenMarkovModel(2, random_state=0, max_iter=400).fit(holed)
    order = model.emission_.means[:, 0].argsort()
    assert np.abs(model.emission_.means[order] - MEANS).max() < 0.25


# --- conventions ------------------------------------------------------------------------------


def test_parameters_clones_and_words() -> None:
    model = HiddenMarkovModel(3, "diag", n_init=2, stickiness=1.0)
    assert clone(model).get_params() == model.get_params()
    assert repr(model) == "HiddenMarkovModel(emission='diag', n_init=2, n_states=3, stickiness=1.0)"
    assert not hasattr(model, "decide") and not hasattr(model, "transform")
    with pytest.raises(CannotAnswerError, match="GenerativeClassifier"):
        _ = model.decide
    with pytest.raises(ValueError, match="not fitted"):
        model.predict([np.zeros(3)])


def test_files_keep_the_model(tmp_path, normal, symbols, gappy) -> None:
    import polars as pl

    frame = pl.DataFrame({"who": ["a"] * 6 + ["b"] * 6, "x": [0.0, 1, 0, 5, 6, 5] * 2,
                          "c": ["u", "u", None, "v", "v", "v"] * 2})  # fmt: skip
    framed = HiddenMarkovModel(2, sequence="who", random_state=0).fit(frame)
    mixed = HiddenMarkovModel(2, "diag", n_mixtures=2, random_state=0, max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixed.fit([gappy])
    cases = [(normal, [gappy]), (symbols, ["abc", ""]), (framed, frame), (mixed, [gappy])]
    for model, X in cases:
        path = tmp_path / "model.fabula"
        fabula.save(model, path, force=True)
        again = fabula.load(path)
        assert repr(again) == repr(model)
        np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
        first = model.sample(2, 5, random_state=0)[0]
        second = again.sample(2, 5, random_state=0)[0]
        assert type(first) is type(second)
        assert str(first) == str(second)


def test_the_iteration_limit_warns(normal) -> None:
    X, _ = normal.sample(2, 30, random_state=0)
    with pytest.warns(ConvergenceWarning, match="iteration limit after 1"):
        HiddenMarkovModel(2, max_iter=1, tol=0.0, random_state=0).fit(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_states": 0}, "n_states must be a whole number of at least 1"),
        ({"n_mixtures": 1.5}, "n_mixtures must be a whole number"),
        ({"emission": "gaussian"}, "There is no emission 'gaussian'"),
        ({"emission": 3}, "emission must be"),
        ({"topology": "ring"}, "topology must be one of ergodic"),
        ({"topology": np.ones((3, 3))}, r"shape \(2, 2\), not \(3, 3\)"),
        ({"topology": np.array([[1, 1], [0, 0]])}, "nothing follow state 1"),
        ({"topology": np.array([[1, 2], [1, 1]])}, "True and False"),
        ({"init_params": "best"}, "init_params must be one of kmeans"),
        ({"tol": -1.0}, "tol must be a number that is not negative"),
        ({"transition_prior": -1.0}, "transition_prior must be finite and not negative"),
        ({"start_prior": [1.0, 1.0, 1.0]}, r"start_prior must be a number or an array of shape"),
        ({"stickiness": np.nan}, "stickiness must be"),
    ],
)
def test_parameters_that_make_no_sense(parameters, message) -> None:
    with pytest.raises(UsageError, match=message):
        HiddenMarkovModel(**{"n_states": 2, **parameters}).fit(np.arange(10.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.6], TRANSITIONS), "start must hold probabilities that sum to 1"),
        ((START, [[0.5, 0.5], [0.5, 0.6]]), "row 2 .* of transitions"),
        ((START, np.eye(3)), r"shapes \(2,\) and \(3, 3\)"),
    ],
)
def test_parameters_of_a_chain_are_checked(arguments, message) -> None:
    with pytest.raises(UsageError, match=message):
        HiddenMarkovModel.from_parameters(*arguments, "poisson", rates=[[1.0], [2.0]])
    with pytest.raises(UsageError, match="takes means and covariances, but got rates"):
        HiddenMarkovModel.from_parameters(START, TRANSITIONS, "full", rates=[[1.0], [2.0]])
    with pytest.raises(UsageError, match="2 symbols"):
        HiddenMarkovModel.from_parameters(
            START, TRANSITIONS, "categorical", probabilities=[[0.5, 0.2, 0.3]] * 2, symbols="ab"
        )


def test_impossible_steps_are_named() -> None:
    with pytest.raises(DataError, match=r"Sequence 2, step 2 .*column 0 is -1, which is impossibl"):
        HiddenMarkovModel(2, "gamma").fit([np.ones(3), np.array([1.0, -1.0])])
    with pytest.raises(DataError, match=r"Sequence 1, step 2 .* is 0.5, but a count must be 0, 1"):
        HiddenMarkovModel(2, "poisson").fit([np.array([1.0, 0.5, 3.0])])
    with pytest.raises(DataError, match="impossible for the emission Bernoulli"):
        HiddenMarkovModel(2, "bernoulli").fit([np.array([1.0, 2.0, 3.0])])


# --- published values -------------------------------------------------------------------------


@pytest.mark.data
def test_two_states_of_speed_and_accuracy(data_folder) -> None:
    """Response times and correctness of Dutilh et al. (2011), as depmixS4 ships them.

    A quasi-Newton search over the nine parameters, with the likelihood written out, ends at
    -296.107777, at means 5.52 and 6.39 and shares of correct answers .53 and .90.
    """
    import polars as pl

    table = pl.read_csv(data_folder / "depmix" / "speed.csv").select("rt", "corr")
    lengths = [168, 134, 137]
    model = HiddenMarkovModel(
        2,
        prior_strength=0.0,
        transition_prior=0.0,
        start_prior=0.0,
        tol=1e-10,
        max_iter=2000,
        random_state=0,
    ).fit(table, lengths)
    assert model.converged_
    assert model.n_parameters == 9
    assert model.score(table, lengths) == pytest.approx(-296.107777, abs=2e-6)
    normal, levels = model.emission_.parts
    order = normal.means[:, 0].argsort()
    np.testing.assert_allclose(normal.means[order, 0], [5.5205, 6.3918], atol=1e-3)
    correct = table["corr"].unique().sort().to_list().index("cor")
    probabilities = levels.level_probabilities(0)[order, correct]
    np.testing.assert_allclose(probabilities, [0.5279, 0.9015], atol=1e-3)
    np.testing.assert_allclose(
        model.story_.reorder(order).log_transitions,
        np.log([[0.8988, 0.1012], [0.0836, 0.9164]]),
        atol=5e-3,
    )


@pytest.mark.parametrize("emission", ["full", "tied", "student", "diag"])
def test_columns_that_depend_on_one_another_are_learned(emission: str) -> None:
    """The covariance of all steps is singular: a total beside its parts, or too few steps."""
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(300, 2)) + 4 * (np.arange(300) // 50 % 2)[:, None]
    for X in (np.column_stack([parts, parts.sum(axis=1)]), rng.normal(size=(3, 3)), parts[:2]):
        model = HiddenMarkovModel(2, emission, random_state=0).fit(X)
        assert model.converged_, model.report_.reason
        assert np.all(np.diff(model.lower_bounds_) > -1e-9)


def test_known_states_that_cannot_follow_are_named() -> None:
    X = np.random.default_rng(0).normal(size=(20, 1))
    ordered = HiddenMarkovModel(3, topology="left-right", random_state=0)
    skips = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=bool)
    for model, states, lengths, place in (
        (ordered, [2] + [-1] * 19, None, "Sequence 1, step 1 "),
        (ordered, [0, -1, 1] + [-1] * 16 + [0], None, "Sequence 1, step 20 "),
        (ordered, [-1] * 11 + [0, 2] + [-1] * 7, [10, 10], "Sequence 2, step 3 "),
        (HiddenMarkovModel(3, topology=skips), [1, -1, 1] + [-1] * 17, None, "step 3 "),
    ):
        with pytest.raises(DataError, match=place + r".*cannot be reached"):
            model.fit(X, lengths, states=states)
    ordered.fit(X, [10, 10], states=[0, -1, 2, *[-1] * 7, 0, 1, 2, *[2] * 7])
    assert ordered.converged_


def test_states_may_be_marked_missing_in_any_way() -> None:
    X = np.random.default_rng(0).normal(size=(12, 1))
    expected = HiddenMarkovModel(2, random_state=0).fit(X, states=[0, 1, -1] * 4).start_
    for states in (
        pd.array([0, 1, None] * 4, dtype="Int64"),
        np.array([[0.0], [1.0], [np.nan]] * 4, dtype=np.float32),
        pd.Series([0, 1, pd.NaT] * 4, dtype=object),
    ):
        again = HiddenMarkovModel(2, random_state=0).fit(X, states=states)
        np.testing.assert_array_equal(again.start_, expected)
    with pytest.raises(DataError, match="the state inf"):
        HiddenMarkovModel(2).fit(X, states=[np.inf] * 12)


def test_the_model_of_some_columns() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) + 3 * (np.arange(60) // 15 % 2)[:, None]
    model = HiddenMarkovModel(2, random_state=0).fit(X)
    some = model.marginal([2, 0])
    hidden = X.copy()
    hidden[:, 1] = np.nan
    assert some.score(X[:, [2, 0]]) == pytest.approx(model.score(hidden), abs=1e-9)
    np.testing.assert_allclose(some.predict_proba(X[:, [2, 0]]), model.predict_proba(hidden))
    assert model.n_features_in_ == 3 and some.n_features_in_ == 2
    frame = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 1, "u", "v"), "c": X[:, 2]})
    mixed = HiddenMarkovModel(2, random_state=0).fit(frame)
    letters = mixed.marginal(["b"])
    assert list(letters.sample(1, 4, random_state=0)[0].columns) == ["b"]
    blank = frame.assign(a=np.nan, c=np.nan)
    assert letters.score(frame[["b"]]) == pytest.approx(mixed.score(blank), abs=1e-9)
    for columns, said in (([7], "no column 7"), ("a", "a list"), ([0, 0], "twice"), ([], "a list")):
        with pytest.raises(UsageError, match=said):
            model.marginal(columns)
    assert not hasattr(model, "condition")
    with pytest.raises(CannotAnswerError, match="length is not known"):
        model.condition({0: 1.0})


def test_codes_and_numbers_of_the_wrong_kind_are_refused() -> None:
    model = HiddenMarkovModel(2, "categorical").fit([[0, 1, 2, 1]])
    for wrong in (-1, 0.5):
        with pytest.raises(DataError, match="must be 0, 1, 2"):
            model.score([[0, wrong]])
    assert np.isfinite(model.score([[0, 7]]))
    with pytest.raises(DataError, match="complex"):
        HiddenMarkovModel(2).fit(np.ones((4, 1)) * 1j)
    with pytest.raises(DataError, match="models numbers"):
        HiddenMarkovModel(2, "poisson").fit(["abba"])
