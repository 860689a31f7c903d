"""Laws of learning: statistics add up, and `maximise` finds the maximum that `log_prior` names."""

from __future__ import annotations

from typing import Any

import numpy as np

from fabula.core.arrays import Responsibilities, Rows
from fabula.families.base import Family, UnivariateColumns
from fabula.testing._instances import (
    arrays_of,
    assert_close,
    closest_fit,
    draw,
    draw_with_gaps,
    objective,
    one_hot,
    random_weights,
)

__all__ = [
    "empty_members_keep_their_parameters",
    "learning_survives_degenerate_rows",
    "likelihood_climbs_with_gaps",
    "maximise_finds_the_maximum",
    "prior_alone_gives_its_bank_back",
    "refit_recovers_the_bank",
    "statistics_add_up",
]


def statistics_add_up(family: Family, rng: np.random.Generator) -> None:
    """Statistics of halves add up to those of the whole; rows of weight 0 add nothing."""
    x, _ = draw_with_gaps(family, 60, rng)
    weights = random_weights(len(x), family.n_members, rng)
    weights[50:] = 0.0
    whole = arrays_of(family.statistics(x, weights))
    some = np.arange(len(x)) % 3 == 0
    halves = family.statistics(x[some], weights[some]) + family.statistics(x[~some], weights[~some])
    counted = family.statistics(x[:50], weights[:50])
    for i, (mine, both, without) in enumerate(
        zip(whole, arrays_of(halves), arrays_of(counted), strict=True)
    ):
        scale = np.abs(mine).max(initial=0.0)
        assert_close(both, mine, 1e-12, f"statistic {i} of two halves", scale)
        assert_close(without, mine, 1e-12, f"statistic {i} without rows of weight 0", scale)


def refit_recovers_the_bank(family: Family, rng: np.random.Generator) -> None:
    """A fit to many draws gains over the bank that they came from what chance gives it.

    Twice the gain in log likelihood is χ² with as many degrees of freedom as there are parameters
    (Wilks 1938), which bounds the distance from the truth in every direction at once.
    """
    from scipy.stats import chi2

    x, members = draw(family, 1500 * family.n_members, rng)
    weights = one_hot(members, family.n_members)
    start = family.select(np.roll(np.arange(family.n_members), 1))
    fit = closest_fit(start, x, weights, None)
    assert fit.n_parameters == family.n_parameters
    gain = objective(fit, x, weights, None) - objective(family, x, weights, None)
    most = 0.5 * float(chi2.ppf(1 - 1e-5, family.n_parameters))
    assert -1e-6 * len(x) <= gain <= most, (
        f"the fit to {len(x)} draws gains {gain:.4g} nats over the truth; "
        f"{family.n_parameters} parameters may gain between 0 and {most:.4g}"
    )


def maximise_finds_the_maximum(family: Family, rng: np.random.Generator) -> None:
    """At the fit, log likelihood plus log prior is stationary, and lower everywhere around.

    The directions are those in which the fit moves when the weights of the rows change a little.
    """
    x, members = draw(family, 40 * family.n_members, rng)
    weights = one_hot(members, family.n_members) + 0.1 * rng.random((len(x), family.n_members))
    weights[rng.random(weights.shape) < 0.1] = 0.0
    for prior in (None, family.pseudo_observations(4.0)):
        fit = closest_fit(family, x, weights, prior)
        highest = objective(fit, x, weights, prior)
        for step in (0.02, 0.02, 0.02, 0.02, 0.5, 0.5):
            tilt = step * rng.uniform(-1.0, 1.0, weights.shape)
            values = [
                objective(
                    fit.maximise(fit.statistics(x, weights * (1.0 + sign * tilt)), prior),
                    x,
                    weights,
                    prior,
                )
                for sign in (1.0, -1.0)
            ]
            rounding = 1e-10 * abs(highest)
            assert max(values) <= highest + rounding, (
                f"a bank close to the fit gains {max(values) - highest:.3g} nats "
                f"({'with' if prior is not None else 'without'} prior)"
            )
            slope = 0.5 * abs(values[0] - values[1])
            curvature = highest - 0.5 * (values[0] + values[1])
            assert slope <= 0.3 * curvature + rounding or step > 0.1, (
                f"the objective is not at rest at the fit: {slope:.3g} nats uphill "
                f"against {curvature:.3g} of curvature "
                f"({'with' if prior is not None else 'without'} prior)"
            )


def prior_alone_gives_its_bank_back(family: Family, rng: np.random.Generator) -> None:
    """Without rows, pseudo-observations lead to the bank they were made of, their mode."""
    x, _ = draw(family, 30, rng)
    prior = family.pseudo_observations(5.0)
    nothing = np.zeros((len(x), family.n_members))
    back = closest_fit(family, x, nothing, prior)
    assert_close(back.log_prob(x), family.log_prob(x), 1e-7, "scores under the prior's mode")
    highest = family.log_prior(prior)
    # A few rows at a time, so that spreads are pulled down as well as up.
    for n_rows in (1, 1, 2, 2, 2, 2, 3, 3, 10, 30):
        some = rng.permutation(len(x))[:n_rows]
        weights = 0.05 * rng.random((n_rows, family.n_members))
        other = family.maximise(family.statistics(x[some], weights), prior)
        assert other.log_prior(prior) <= highest + 1e-10 * abs(highest), (
            f"the prior finds another bank more probable ({other.log_prior(prior):.9g}) than the "
            f"one it was made of ({highest:.9g})"
        )
    assert family.log_prior(None) == 0.0


def likelihood_climbs_with_gaps(family: Family, rng: np.random.Generator) -> None:
    """Expected statistics of missing cells are right: `maximise` climbs the likelihood seen."""
    x, members = draw_with_gaps(family, 60 * family.n_members, rng)
    weights = one_hot(members, family.n_members) + 0.2 * rng.random((len(x), family.n_members))
    for prior in (None, family.pseudo_observations(2.0)):
        bank = family.select(np.roll(np.arange(family.n_members), 1))
        bank = bank.maximise(bank.statistics(x, weights * rng.random((len(x), 1)) ** 3), prior)
        before = first = objective(bank, x, weights, prior)
        for step in range(12):
            bank = bank.maximise(bank.statistics(x, weights), prior)
            now = objective(bank, x, weights, prior)
            assert now >= before - 1e-9 * abs(before), (
                f"step {step + 1} fell by {before - now:.3g} nats from {before:.6g}"
            )
            before = now
        assert before > first, "learning gained nothing"


def empty_members_keep_their_parameters(family: Family, rng: np.random.Generator) -> None:
    """A member that explains nothing stays where it was."""
    x, members = draw(family, 60, rng)
    weights = one_hot(members, family.n_members)
    weights[:, 0] = 0.0
    fit = family.maximise(family.statistics(x, weights), None)
    nothing = np.full((1, family.n_columns), np.nan)
    first = np.zeros(1, dtype=np.intp)
    assert_close(fit.complete(nothing, first), family.complete(nothing, first), 1e-12, "its centre")
    if isinstance(family, UnivariateColumns):
        told, expected = fit.log_prob(x)[:, 0], family.log_prob(x)[:, 0]
        assert_close(told, expected, 1e-10, "scores of the empty member")
    prior = family.pseudo_observations(3.0)
    with_prior = family.maximise(family.statistics(x, weights), prior).log_prob(x)
    assert np.isfinite(with_prior).all(), "an empty member with a prior has no finite scores"


def learning_survives_degenerate_rows(family: Family, rng: np.random.Generator) -> None:
    """One row, fewer rows than columns, constant columns, no weight, no cell: nothing raises."""
    x, _ = draw_with_gaps(family, 12, rng)
    single = x[:1]
    cases = {
        "one row": single,
        "two rows": np.concatenate([single, draw(family, 1, rng)[0]]),
        "constant columns": np.repeat(single, 8, axis=0),
        "constant columns with gaps": np.where(np.isnan(x), np.nan, single),
        "no cell": x[1:2],
    }
    for what, rows in cases.items():
        for total in (0.0, 1e-12, 1.0):
            weights = np.full((len(rows), family.n_members), total)
            for prior in (None, family.uniform_prior(), family.pseudo_observations(1.0)):
                _assert_learns(family, rows, weights, prior, f"{what}, weights {total}")


def _assert_learns(
    family: Family, rows: Rows, weights: Responsibilities, prior: Any, what: str
) -> None:
    bank = family
    for _ in range(3):
        bank = bank.maximise(bank.statistics(rows, weights), prior)
        finite = np.isfinite(bank.log_prob(rows)).all() and np.isfinite(bank.log_prior(prior))
        assert finite, f"scores are not finite after learning from {what}, prior {prior}"
