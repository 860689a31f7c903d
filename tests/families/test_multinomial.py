from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.sparse import csr_array
from sklearn.naive_bayes import MultinomialNB

from fabula.core.errors import UsageError
from fabula.families import Multinomial

BANK = Multinomial(
    np.array([[0.1, 0.2, 0.3, 0.4], [0.55, 0.25, 0.15, 0.05]]),
    np.array([12.0, 30.0]),
    np.array([0.5, 0.0]),
)


def _texts(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    members = rng.integers(2, size=n)
    return BANK.sample(members, rng), members


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_sparse_rows_say_what_dense_rows_say(dtype: type) -> None:
    x, _ = _texts(50)
    x[3] = 0.0
    sparse = csr_array(x.astype(dtype))
    tolerance = 1e-5 if dtype is np.float32 else 1e-12
    log_prob = BANK.log_prob(sparse)
    assert log_prob.dtype == (np.float32 if dtype is np.float32 else np.float64)
    np.testing.assert_allclose(log_prob, BANK.log_prob(x), rtol=tolerance)
    np.testing.assert_array_equal(log_prob[3], 0.0)
    weights = np.random.default_rng(1).random((50, 2))
    dense, other = BANK.statistics(x, weights), BANK.statistics(sparse, weights)
    for name in ("words", "rows", "lengths", "squared_lengths"):
        np.testing.assert_allclose(getattr(other, name), getattr(dense, name), rtol=tolerance)
    np.testing.assert_array_equal(BANK.complete(sparse, np.zeros(50, int)).toarray(), x)
    prepared = BANK.prepare(sparse)
    assert len(prepared) == 50
    np.testing.assert_array_equal(BANK.log_prob(prepared), log_prob)


def test_smoothed_fit_is_that_of_scikit_learn() -> None:
    x, y = _texts(40)
    peer = MultinomialNB(alpha=0.7, fit_prior=False).fit(csr_array(x), y)
    start = Multinomial(np.full((2, 4), 0.25))
    fit = start.maximise(
        start.statistics(csr_array(x), np.eye(2)[y]), start.pseudo_observations(0.7)
    )
    np.testing.assert_allclose(np.log(fit.probabilities), peer.feature_log_prob_, rtol=1e-12)
    log_prob = fit.log_prob(csr_array(x))
    posterior = log_prob - np.logaddexp.reduce(log_prob, axis=1)[:, None]
    np.testing.assert_allclose(posterior, peer.predict_log_proba(csr_array(x)), atol=1e-10)


@pytest.mark.parametrize("cell", [-1.0, 0.5, np.inf])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_cell_that_is_no_count_is_impossible(cell: float, sparse: bool) -> None:
    x = np.array([[1.0, 2.0, 0.0, 0.0], [cell, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 1.0]])
    rows = csr_array(x) if sparse else x
    before = rows.copy()
    log_prob = BANK.log_prob(rows)
    assert np.isneginf(log_prob[1]).all()
    expected = stats.multinomial.logpmf(x[[0, 2]], x[[0, 2]].sum(axis=1), BANK.probabilities[0])
    np.testing.assert_allclose(log_prob[[0, 2], 0], expected, rtol=1e-12)
    assert (rows != before).sum() == 0
    assert np.isfinite(BANK.statistics(rows, np.ones((3, 2))).words).all()


def test_length_says_nothing_about_the_member() -> None:
    x = np.array([[1.0, 2.0, 3.0, 4.0]])
    one, ten = BANK.log_prob(x)[0], BANK.log_prob(10 * x)[0]
    np.testing.assert_allclose(ten[0] - ten[1], 10 * (one[0] - one[1]), rtol=1e-12)
    np.testing.assert_array_equal(BANK.log_prob(np.zeros((1, 4))), 0.0)
    np.testing.assert_array_equal(BANK.log_prob(np.full((1, 4), np.nan)), 0.0)


def test_learning_with_gaps_finds_the_maximum_of_what_was_seen() -> None:
    x, _ = _texts(60, seed=4)
    x = x[:, :4]
    x[np.random.default_rng(2).random(x.shape) < 0.3] = np.nan
    bank = Multinomial(np.full((1, 4), 0.25))
    weights = np.ones((60, 1))
    for _ in range(500):
        bank = bank.maximise(bank.statistics(x, weights))

    def loss(logits: np.ndarray) -> float:
        shares = np.exp(np.append(logits, 0.0))
        return -sum(
            float(stats.multinomial.logpmf(row[s], row[s].sum(), shares[s] / shares[s].sum()))
            for row, s in ((row, ~np.isnan(row)) for row in x)
            if s.any()
        )

    best = optimize.minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-7})
    assert -bank.log_prob(x).sum() == pytest.approx(best.fun, abs=1e-7)
    shares = np.exp(np.append(best.x, 0.0))
    np.testing.assert_allclose(bank.probabilities[0], shares / shares.sum(), atol=1e-5)


def test_lengths_are_learned_from_whole_rows() -> None:
    rng = np.random.default_rng(7)
    members = np.arange(8000) % 2
    x = BANK.sample(members, rng)
    start = Multinomial(np.full((2, 4), 0.25))
    fit = start.maximise(start.statistics(csr_array(x), np.eye(2)[members]))
    assert fit.lengths is not None
    assert fit.dispersions is not None
    # The mean of 4,000 lengths of variance L + q L², rows without words being left out.
    empty = (1 + 0.5 * 12) ** -2.0
    assert fit.lengths[0] == pytest.approx(12 / (1 - empty), abs=4 * np.sqrt(84 / 4000))
    assert fit.lengths[1] == pytest.approx(30, abs=4 * np.sqrt(30 / 4000))
    assert fit.dispersions[0] == pytest.approx(0.5, abs=0.08)
    assert fit.dispersions[1] < 0.01
    x[:, 0] = np.where(rng.random(8000) < 0.9, np.nan, x[:, 0])
    seen = start.maximise(start.statistics(x, np.eye(2)[members]))
    assert seen.lengths is not None
    np.testing.assert_allclose(seen.lengths, fit.lengths, rtol=0.2)


def test_members_without_rows_keep_or_borrow_their_lengths() -> None:
    x = np.array([[5.0, 5.0], [10.0, 10.0]])
    weights = np.array([[1.0, 0.0], [1.0, 0.0]])
    bare = Multinomial(np.full((2, 2), 0.5))
    fit = bare.maximise(bare.statistics(x, weights))
    np.testing.assert_allclose(fit.lengths, [15.0, 15.0])
    named = Multinomial(np.full((2, 2), 0.5), np.array([1.0, 2.0]))
    fit = named.maximise(named.statistics(x, weights))
    np.testing.assert_allclose(fit.lengths, [15.0, 2.0])
    nothing = bare.maximise(bare.statistics(x, np.zeros((2, 2))))
    assert nothing.lengths is None


def test_sampling_without_lengths_says_what_to_do() -> None:
    bare = Multinomial(np.full((1, 3), 1 / 3))
    with pytest.raises(UsageError, match="give it `lengths` or fit it"):
        bare.sample(np.zeros(2, int), np.random.default_rng(0))
    with pytest.raises(UsageError, match="give it `lengths` or fit it"):
        bare.complete(np.full((1, 3), np.nan), np.zeros(1, int))


def test_draws_have_the_lengths_and_counts_of_their_law() -> None:
    rng = np.random.default_rng(3)
    for k, variance in ((0, 12 + 0.5 * 144), (1, 30.0)):
        x = BANK.sample(np.full(20000, k), rng)
        totals = x.sum(axis=1)
        assert BANK.lengths is not None
        assert totals.mean() == pytest.approx(BANK.lengths[k], abs=5 * np.sqrt(variance / 20000))
        assert totals.var() == pytest.approx(variance, rel=0.1)
        np.testing.assert_allclose(x.sum(axis=0) / totals.sum(), BANK.probabilities[k], atol=0.01)


def test_some_words_given_others_leave_only_a_binomial_over() -> None:
    x, _ = _texts(5, seed=9)
    given, rest = [2, 0], [1, 3]
    for row in x:
        others, told = BANK.condition(given, row[given])
        assert others is not None
        joint = BANK.log_prob(row[None])[0]
        split = stats.binom.logpmf(row[given].sum(), row.sum(), BANK.probabilities[:, given].sum(1))
        np.testing.assert_allclose(told + others.log_prob(row[None, rest])[0] + split, joint)


def test_what_was_seen_changes_the_expected_length_of_the_rest() -> None:
    rng = np.random.default_rng(8)
    x = BANK.sample(np.zeros(200_000, dtype=int), rng)
    mine = x[(x[:, 0] == 3) & (x[:, 2] == 5)]
    others, _ = BANK.condition([0, 2], [3.0, 5.0])
    assert others is not None
    assert others.lengths is not None
    assert others.dispersions is not None
    totals = mine[:, [1, 3]].sum(axis=1)
    mean, q = others.lengths[0], others.dispersions[0]
    error = np.sqrt((mean + q * mean**2) / len(mine))
    assert len(mine) > 1000
    assert totals.mean() == pytest.approx(mean, abs=5 * error)
    assert totals.var() == pytest.approx(mean + q * mean**2, rel=0.15)
    row = np.array([[3.0, np.nan, 5.0, np.nan]])
    filled = BANK.complete(row, np.array([0]))
    np.testing.assert_allclose(filled[0, [1, 3]], mean * others.probabilities[0], rtol=1e-12)
    none_left, _ = BANK.condition([0, 1, 2, 3], [1, 2, 3, 4])
    assert none_left is None


@pytest.mark.parametrize(
    ("probabilities", "lengths", "message"),
    [
        (np.array([[0.5, 0.6]]), None, "sum to 1"),
        (np.array([[1.0, 0.0]]), None, "above 0"),
        (np.array([0.5, 0.5]), None, r"\(K, V\)"),
        (np.array([[0.5, 0.5]]), np.array([-1.0]), "lengths must be"),
        (np.array([[0.5, 0.5]]), np.array([1.0, 2.0]), "lengths must be"),
    ],
)
def test_wrong_parameters_are_refused(
    probabilities: np.ndarray, lengths: np.ndarray | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Multinomial(probabilities, lengths)
