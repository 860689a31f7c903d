"""Student-t banks against scipy, against direct maximisation, and against the laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import kstest, multivariate_normal, multivariate_t, t

from fabula.core.blocks import Block
from fabula.core.errors import UsageError
from fabula.core.regions import Interval, OneOf
from fabula.families import completion
from fabula.families.base import Family
from fabula.families.priors import CovariancePrior
from fabula.families.student_t import StudentT, maximise_dofs
from fabula.families.student_t_columns import StudentTColumns
from fabula.structures.mixture import Mixture, MixturePrior
from fabula.testing import FAMILY_LAWS, STORY_LAWS, family_laws

_LOCATIONS = np.array([[0.0, 1.0, -2.0], [2.5, -1.0, 0.5]])


def _dense(fixed: bool = False) -> StudentT:
    scales = np.array(
        [
            [[1.0, 0.3, -0.4], [0.3, 0.5, 0.1], [-0.4, 0.1, 2.0]],
            [[0.7, -0.2, 0.1], [-0.2, 1.2, 0.5], [0.1, 0.5, 0.9]],
        ]
    )
    return StudentT(_LOCATIONS, scales, np.full(2, 6.0) if fixed else np.array([5.0, 9.0]), fixed)


def _columns(fixed: bool = False) -> StudentTColumns:
    scales = np.array([[1.0, 0.5, 2.0], [0.7, 1.2, 0.9]])
    dofs = np.full((2, 3), 6.0) if fixed else np.array([[3.0, 4.0, 3.5], [5.0, 3.0, 4.0]])
    return StudentTColumns(_LOCATIONS, scales, dofs, fixed)


_INSTANCES = {
    "dense": _dense(),
    "dense with fixed ν": _dense(fixed=True),
    "columns": _columns(),
    "columns with fixed ν": _columns(fixed=True),
}


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


@pytest.mark.parametrize("family", [_dense(), _columns()], ids=["dense", "columns"])
@pytest.mark.parametrize("law", STORY_LAWS)
def test_story_law(family: Family, law: str) -> None:
    STORY_LAWS[law](family, np.random.default_rng(7))


def _with_gaps(family: Family, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = family.sample(np.arange(n) % family.n_members, rng)
    x[rng.random(x.shape) < 0.3] = np.nan
    return x


@pytest.mark.parametrize("least_seconds", [0.0, np.inf])
def test_dense_densities_are_those_of_scipy_on_the_observed_cells(
    least_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "_LEAST_SECONDS", least_seconds)
    bank = _dense()
    x = _with_gaps(bank, 60)
    told = bank.log_prob(x)
    for i, row in enumerate(x):
        o = np.flatnonzero(~np.isnan(row))
        for k in range(2):
            expected = 0.0
            if len(o):
                law = multivariate_t(
                    bank.locations[k, o], bank.scales[k][np.ix_(o, o)], bank.dofs[k]
                )
                expected = law.logpdf(row[o])
            assert told[i, k] == pytest.approx(expected, abs=1e-9)


def test_column_densities_are_those_of_scipy() -> None:
    bank = _columns()
    x = _with_gaps(bank, 60)
    for k in range(2):
        cells = t(bank.dofs[k], bank.locations[k], bank.scales[k]).logpdf(x)
        np.testing.assert_allclose(bank.log_prob_columns(x)[:, k], np.nan_to_num(cells), atol=1e-9)
        np.testing.assert_allclose(bank.log_prob(x)[:, k], np.nansum(cells, axis=1), atol=1e-9)


def test_many_degrees_of_freedom_are_normal() -> None:
    bank = StudentT(_LOCATIONS, _dense().scales, np.full(2, 1e9))
    x = np.array([[0.3, 1.2, -3.0]])
    for k in range(2):
        expected = multivariate_normal(bank.locations[k], bank.scales[k]).logpdf(x[0])
        assert bank.log_prob(x)[0, k] == pytest.approx(expected, abs=1e-6)


def test_the_conditional_is_the_t_with_more_freedom_and_an_inflated_scale() -> None:
    bank = _dense()
    rest, log_prob = bank.condition([2, 0], [1.5, -0.7])
    assert rest is not None
    for k in range(2):
        location, scale, dof = bank.locations[k], bank.scales[k], bank.dofs[k]
        given = multivariate_t(location[[2, 0]], scale[np.ix_([2, 0], [2, 0])], dof)
        assert log_prob[k] == pytest.approx(given.logpdf([1.5, -0.7]), abs=1e-9)
        assert rest.dofs[k] == dof + 2
        whole = multivariate_t(location, scale, dof)
        for value in (-3.0, 0.2, 4.0):
            expected = whole.logpdf([-0.7, value, 1.5]) - log_prob[k]
            assert rest.log_prob(np.array([[value]]))[0, k] == pytest.approx(expected, abs=1e-9)


def test_completed_cells_are_drawn_from_the_conditional() -> None:
    bank = _dense()
    n = 4000
    given = np.tile([np.nan, 3.0, np.nan], (n, 1))
    members = np.zeros(n, dtype=np.intp)
    drawn = bank.complete(given, members, np.random.default_rng(1))
    rest, _ = bank.condition([1], [3.0])
    assert rest is not None
    for place, column in enumerate([0, 2]):
        law = t(rest.dofs[0], rest.locations[0, place], np.sqrt(rest.scales[0, place, place]))
        assert kstest(drawn[:, column], law.cdf).pvalue > 1e-3
    middle = bank.complete(given[:1], members[:1])[0]
    np.testing.assert_allclose(middle[[0, 2]], rest.locations[0], atol=1e-12)


def test_draws_within_an_interval_follow_the_truncated_conditional() -> None:
    bank = _dense()
    n = 4000
    given = np.tile([np.nan, 3.0, -1.0], (n, 1))
    members = np.ones(n, dtype=np.intp)
    rest, _ = bank.condition([1, 2], [3.0, -1.0])
    assert rest is not None
    law = t(rest.dofs[1], rest.locations[1, 0], np.sqrt(rest.scales[1, 0, 0]))
    for low, high in ((1.0, 2.0), (-np.inf, 0.5), (4.0, np.inf), (-np.inf, np.inf)):
        drawn, log_mass = bank.draw_within(0, low, high, given, members, np.random.default_rng(2))
        mass = law.cdf(high) - law.cdf(low)
        np.testing.assert_allclose(np.exp(log_mass), mass, rtol=1e-9)
        assert np.all((drawn >= low) & (drawn <= high))
        start = law.cdf(low)
        assert kstest((law.cdf(drawn) - start) / mass, "uniform").pvalue > 1e-3


def test_masses_of_intervals_and_sets() -> None:
    bank = _columns()
    for low, high in ((-1.0, 0.3), (25.0, 40.0), (-60.0, -30.0), (-np.inf, 2.0)):
        told = bank.log_mass(1, Interval(low, high))
        for k in range(2):
            law = t(bank.dofs[k, 1], bank.locations[k, 1], bank.scales[k, 1])
            mass = law.cdf(high) - law.cdf(low) if low < 0 else law.sf(low) - law.sf(high)
            assert told[k] == pytest.approx(np.log(mass), rel=1e-9)
    told = bank.log_mass(2, OneOf((0.5, 2.0)))
    law = t(bank.dofs[0, 2], bank.locations[0, 2], bank.scales[0, 2])
    assert told[0] == pytest.approx(np.log(law.pdf([0.5, 2.0]).sum()), abs=1e-9)


def _fit(family: Family, x: np.ndarray, prior: CovariancePrior | None, steps: int) -> Family:
    weights = np.ones((len(x), family.n_members))
    prepared = family.prepare(x)
    before = -np.inf
    for _ in range(steps):
        now = float(family.log_prob(prepared).sum()) + family.log_prior(prior)
        assert now >= before - 1e-9 * abs(now)
        before = now
        family = family.maximise(family.statistics(prepared, weights), prior)
    return family


@pytest.mark.parametrize("prior", [None, CovariancePrior(6.0, np.array([3.0, 9.0]))])
def test_em_with_missing_cells_finds_what_direct_maximisation_finds(
    prior: CovariancePrior | None,
) -> None:
    truth = _dense().select([0]).marginal([0, 2])
    x = _with_gaps(truth, 300, seed=3)
    patterns, place = np.unique(~np.isnan(x), axis=0, return_inverse=True)
    start = StudentT(np.zeros((1, 2)), np.eye(2)[None], np.array([30.0]))
    fit = _fit(start, x, prior, 3000)
    assert isinstance(fit, StudentT)

    def bank(theta: np.ndarray) -> StudentT:
        root = np.array([[np.exp(theta[2]), 0.0], [theta[3], np.exp(theta[4])]])
        return StudentT(theta[None, :2], (root @ root.T)[None], np.exp(theta[5:]))

    def loss(theta: np.ndarray) -> float:
        candidate = bank(theta)
        total = 0.0
        for p, seen in enumerate(patterns):
            o = np.flatnonzero(seen)
            if len(o):
                scale = candidate.scales[0][np.ix_(o, o)]
                law = multivariate_t(candidate.locations[0, o], scale, candidate.dofs[0])
                total += law.logpdf(x[place == p][:, o]).sum()
        if prior is not None:
            inverse = np.linalg.inv(candidate.scales[0])
            log_det = np.linalg.slogdet(candidate.scales[0])[1]
            total -= 0.5 * (6.0 * log_det + np.trace(np.diag(prior.scatter) @ inverse))
        return -total

    root = np.linalg.cholesky(fit.scales[0])
    theta = np.array(
        [*fit.locations[0], np.log(root[0, 0]), root[1, 0], np.log(root[1, 1]), np.log(fit.dofs[0])]
    )
    found = minimize(loss, theta + 0.05, method="BFGS", options={"gtol": 1e-4, "maxiter": 40})
    mine = float(fit.log_prob(x).sum()) + fit.log_prior(prior)
    assert mine == pytest.approx(-loss(theta), abs=1e-8)
    assert mine >= -found.fun - 1e-5
    np.testing.assert_allclose(found.x, theta, atol=5e-3)


def test_one_column_is_fitted_as_scipy_fits_it() -> None:
    x = t(4.0, 10.0, 2.0).rvs(size=(400, 1), random_state=np.random.default_rng(5))
    dense = _fit(StudentT(np.zeros((1, 1)), np.ones((1, 1, 1)), np.array([20.0])), x, None, 2000)
    start = StudentTColumns(np.zeros((1, 1)), np.ones((1, 1)), np.full((1, 1), 20.0))
    columns = _fit(start, x, None, 2000)
    assert isinstance(dense, StudentT)
    assert isinstance(columns, StudentTColumns)

    def loss(theta: np.ndarray) -> float:
        return -float(t(np.exp(theta[0]), theta[1], np.exp(theta[2])).logpdf(x).sum())

    found = minimize(loss, [1.5, 10.0, 0.5], method="BFGS", options={"gtol": 1e-4})
    for fit in (dense, columns):
        assert float(fit.log_prob(x).sum()) == pytest.approx(-found.fun, abs=1e-6)
    assert np.log(columns.dofs[0, 0]) == pytest.approx(found.x[0], abs=1e-3)
    assert columns.locations[0, 0] == pytest.approx(found.x[1], abs=1e-3)
    assert np.log(columns.scales[0, 0]) == pytest.approx(found.x[2], abs=1e-3)
    assert dense.dofs[0] == pytest.approx(columns.dofs[0, 0], rel=1e-6)
    assert dense.scales[0, 0, 0] == pytest.approx(columns.scales[0, 0] ** 2, rel=1e-6)


def test_outlying_rows_do_not_move_the_location() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 2))
    x[:10] = 1e4
    start = StudentT(np.zeros((1, 2)), np.eye(2)[None], np.array([5.0]))
    fit = _fit(start, x, None, 200)
    assert isinstance(fit, StudentT)
    assert np.abs(fit.locations).max() < 0.3
    assert np.abs(x.mean(axis=0)).max() > 400


def test_fixed_degrees_of_freedom_stay() -> None:
    for family in (_dense(fixed=True), _columns(fixed=True)):
        x = _with_gaps(family, 200)
        fit = _fit(family, x, None, 20)
        np.testing.assert_array_equal(fit.dofs, family.dofs)  # type: ignore[attr-defined]
    assert _dense().n_parameters - _dense(fixed=True).n_parameters == 2
    assert _columns().n_parameters - _columns(fixed=True).n_parameters == 6
    assert _dense().n_parameters == 2 * (3 + 6 + 1)


def test_degrees_of_freedom_stay_between_their_bounds() -> None:
    told = maximise_dofs(
        np.array([-0.5, -1e3, 2.0, -3.0]), np.array([1.0, 1.0, 1.0, 0.0]), np.full(4, 7.0)
    )
    assert told == pytest.approx([1000.0, 0.1, 1000.0, 7.0], rel=1e-9)


def test_mixtures_climb_with_gaps_and_every_row_a_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "_LEAST_SECONDS", 0.0)
    x = _with_gaps(_dense(), 200, seed=9)
    prior = MixturePrior(1.0, CovariancePrior(1.0, np.ones(3)))
    story = Mixture(
        np.log([0.5, 0.5]), StudentT(_LOCATIONS[::-1] + 1.0, _dense().scales, np.full(2, 50.0))
    )
    block = story.prepare(Block(x))
    before = -np.inf
    for _ in range(60):
        statistics = story.statistics(block)
        now = statistics.log_evidence + story.log_prior(prior)
        assert now >= before - 1e-9 * abs(now)
        before = now
        story = story.maximise(statistics, prior)


def test_wrong_parameters_are_refused() -> None:
    bank = _dense()
    with pytest.raises(UsageError, match="dofs"):
        StudentT(bank.locations, bank.scales, np.ones(3))
    with pytest.raises(UsageError, match="positive"):
        StudentT(bank.locations, bank.scales, np.array([1.0, 0.0]))
    with pytest.raises(UsageError, match="positive definite"):
        StudentT(bank.locations, -bank.scales, bank.dofs)
    with pytest.raises(UsageError, match="scales"):
        StudentTColumns(_LOCATIONS, -np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(UsageError, match="positive"):
        StudentTColumns(_LOCATIONS, np.ones((2, 3)), np.full((2, 3), np.inf))
