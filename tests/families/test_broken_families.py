"""The laws notice what they are there for: each is broken on purpose, and has to say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pytest

from fabula.core.errors import UsageError
from fabula.families import (
    Bernoulli,
    Family,
    Gamma,
    Multinomial,
    NormalDiagonal,
    NormalFull,
    NormalTied,
    Poisson,
)
from fabula.persistence.registry import storable
from fabula.testing import FAMILIES, FAMILY_LAWS, STORY_LAWS


def _broken(name: str, **methods: Callable[..., Any]) -> Family:
    """The bank of the registry with other methods, which its offspring have as well."""
    whole = FAMILIES[name]()
    kind: Any = type(whole)
    broken: Any = type(f"Broken{kind.__name__}", (kind,), dict(methods))
    if "maximise" not in methods:
        broken.maximise = lambda self, statistics, prior=None: _copy(
            broken, kind.maximise(self, statistics, prior)
        )
    if "marginal" not in methods:
        broken.marginal = lambda self, columns: _copy(broken, kind.marginal(self, columns))
    if "select" not in methods:
        broken.select = lambda self, members: _copy(broken, kind.select(self, members))
    return _copy(broken, whole)


def _copy(kind: type, family: Any) -> Any:
    return kind(**{part.name: getattr(family, part.name) for part in fields(family)})


def _without_conditional_covariance(self: Any, x: Any, weights: Any) -> Any:
    filled = x.copy()
    for k in range(self.n_members):
        filled = NormalFull.complete(self, filled, np.full(len(x), k))
    return NormalFull.statistics(self, filled, weights)


def _shifted_sample(self: Any, members: Any, rng: Any) -> Any:
    return NormalDiagonal.sample(self, members, rng) + 0.2 * np.sqrt(self.variances[members])


def _narrow_sample(self: Any, members: Any, rng: Any) -> Any:
    draws = NormalDiagonal.sample(self, members, rng)
    return self.means[members] + 0.85 * (draws - self.means[members])


def _unconditional_draws(self: Any, x: Any, members: Any, rng: Any = None) -> Any:
    if rng is None:
        return NormalFull.complete(self, x, members)
    return np.where(np.isnan(x), NormalFull.sample(self, members, rng), x)


def _unbiased_variances(self: Any, statistics: Any, prior: Any = None) -> Any:
    fit = NormalDiagonal.maximise(self, statistics, prior)
    n = np.maximum(statistics.counts, 2.0)
    return _copy(type(self), replace(fit, variances=fit.variances * n / (n - 1.0)))


def _off_by_one_prior(self: Any, prior: Any) -> float:
    told = NormalDiagonal.log_prior(self, prior)
    return told if prior is None else told - 0.5 * float(np.log(self.variances).sum())


def _overwriting_complete(self: Any, x: Any, members: Any, rng: Any = None) -> Any:
    return np.where(np.isnan(x).any(axis=1)[:, None], Poisson.sample(self, members, rng or _RNG), x)


def _forgetful_maximise(self: Any, statistics: Any, prior: Any = None) -> Any:
    pooled = replace(
        statistics,
        counts=statistics.counts + 1e-3 * statistics.counts.sum(axis=0),
        sums=tuple(s + 1e-3 * s.sum(axis=0) for s in statistics.sums),
    )
    return _copy(type(self), Poisson.maximise(self, pooled, prior))


def _fragile_maximise(self: Any, statistics: Any, prior: Any = None) -> Any:
    centred = statistics.sums[0] / statistics.counts
    variances = statistics.sums[1] / statistics.counts - centred**2
    return _copy(type(self), NormalDiagonal(centred + statistics.origin, variances))


def _untruncated(self: Any, column: int, region: Any, members: Any, rng: Any) -> Any:
    draws = self._distribution(column, members).rvs(size=len(members), random_state=rng)
    return np.clip(draws, getattr(region, "low", -np.inf), getattr(region, "high", np.inf))


def _forgetful_prepare(self: Any, x: Any) -> Any:
    return x if not isinstance(x, np.ndarray) else replace(Poisson.prepare(self, x), base=None)


def _log_prob_about_own_origin(self: Any, x: Any) -> Any:
    prepared = self.prepare(x)
    return NormalDiagonal.log_prob(self, replace(prepared, origin=self._origin()))


@storable("family/forgetful")
@dataclass(frozen=True)
class _Forgetful(Poisson):
    scale: float = field(default=1.0, metadata={"stored": False})

    def log_prob(self, x: Any) -> Any:
        return super().log_prob(x) * self.scale


_RNG = np.random.default_rng(0)

_BROKEN: dict[str, list[Callable[[], Family]]] = {
    "density_adds_up_to_one": [
        lambda: _broken("poisson", log_prob=lambda s, x: Poisson.log_prob(s, x) + 1e-4),
        lambda: _broken("gamma", log_prob=lambda s, x: Gamma.log_prob(s, x) + 1e-4),
        lambda: _broken("multinomial", log_prob=lambda s, x: Multinomial.log_prob(s, x) - 1e-4),
        lambda: _broken("bernoulli", log_prob=lambda s, x: Bernoulli.log_prob(s, x) * 1.001),
    ],
    "pairs_add_up_to_one": [
        lambda: _broken("normal_full", log_prob=lambda s, x: NormalFull.log_prob(s, x) * 1.0001)
    ],
    "missing_cells_are_integrated_out": [
        lambda: _broken(
            "normal_full",
            log_prob=lambda s, x: NormalFull.log_prob(s, np.nan_to_num(x, nan=0.0)),
        ),
        lambda: _broken(
            "poisson", marginal=lambda s, columns: Poisson.marginal(s, sorted(columns))
        ),
    ],
    "chain_rule_holds": [
        lambda: _broken(
            "normal_full",
            condition=lambda s, columns, values: NormalFull.condition(
                s, columns, sorted(values, reverse=True)
            ),
        )
    ],
    "columns_add_up": [
        lambda: _broken(
            "normal_diagonal",
            log_prob_columns=lambda s, x: NormalDiagonal.log_prob_columns(s, np.nan_to_num(x)),
        )
    ],
    "select_reorders": [
        lambda: _broken("poisson", select=lambda s, members: Poisson.select(s, np.sort(members)))
    ],
    "rows_stand_alone": [
        lambda: _broken(
            "poisson", log_prob=lambda s, x: Poisson.log_prob(s, x) * (1 + 1e-9 * len(x))
        )
    ],
    "prepared_rows_say_the_same": [
        lambda: _broken(
            "poisson",
            prepare=_forgetful_prepare,
            log_prob=lambda s, x: Poisson.log_prob(s, Poisson.prepare(s, x)),
        ),
        lambda: _broken("normal_diagonal", log_prob=_log_prob_about_own_origin),
    ],
    "masses_add_up_density": [
        lambda: _broken(
            "gamma", log_mass=lambda s, column, region: Gamma.log_mass(s, column, region) * 0.999
        )
    ],
    "single_precision_agrees": [
        lambda: _broken(
            "poisson", log_prob=lambda s, x: Poisson.log_prob(s, np.asarray(x, dtype=np.float64))
        ),
        lambda: _broken(
            "poisson",
            log_prob=lambda s, x: Poisson.log_prob(s, x) * (1 + 1e-3 * (x.dtype == np.float32)),
        ),
    ],
    "storage_is_identity": [lambda: _Forgetful(np.array([[1.0, 2.0], [3.0, 4.0]]), 0.5)],
    "draws_have_the_means": [lambda: _broken("normal_diagonal", sample=_shifted_sample)],
    "draws_depend_as_their_conditionals_say": [
        lambda: _broken(
            "normal_full",
            sample=lambda s, members, rng: rng.permuted(
                NormalFull.sample(s, members, rng), axis=0, out=None
            ),
        )
    ],
    "draws_fall_where_the_mass_is": [lambda: _broken("normal_diagonal", sample=_narrow_sample)],
    "truncated_draws_stay_inside": [lambda: _broken("gamma", sample_within=_untruncated)],
    "completion_keeps_what_was_seen": [
        lambda: _broken("poisson", complete=_overwriting_complete),
        lambda: _broken("poisson", complete=lambda s, x, members, rng=None: x.copy()),
    ],
    "completion_means_and_draws_agree": [
        lambda: _broken("normal_full", complete=_unconditional_draws)
    ],
    "statistics_add_up": [
        lambda: _broken(
            "poisson",
            statistics=lambda s, x, weights: Poisson.statistics(s, x, weights / weights.sum()),
        ),
        lambda: _broken(
            "poisson",
            statistics=lambda s, x, weights: Poisson.statistics(s, x, np.maximum(weights, 1e-6)),
        ),
    ],
    "refit_recovers_the_bank": [lambda: _broken("normal_diagonal", sample=_narrow_sample)],
    "maximise_finds_the_maximum": [
        lambda: _broken("normal_diagonal", maximise=_unbiased_variances),
        lambda: _broken("normal_diagonal", log_prior=_off_by_one_prior),
    ],
    "prior_alone_gives_its_bank_back": [
        lambda: _broken("normal_diagonal", log_prior=_off_by_one_prior),
        lambda: _broken(
            "poisson",
            pseudo_observations=lambda s, strength: Poisson(s.rates + 0.1).pseudo_observations(
                strength
            ),
        ),
    ],
    "likelihood_climbs_with_gaps": [
        lambda: _broken("normal_full", statistics=_without_conditional_covariance)
    ],
    "empty_members_keep_their_parameters": [
        lambda: _broken("poisson", maximise=_forgetful_maximise)
    ],
    "learning_survives_degenerate_rows": [
        lambda: _broken("normal_diagonal", maximise=_fragile_maximise)
    ],
}

_CASES = [
    pytest.param(law, build, id=f"{law}-{i}")
    for law, builds in _BROKEN.items()
    for i, build in enumerate(builds)
]


@pytest.mark.parametrize(("law", "build"), _CASES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_law_notices(law: str, build: Callable[[], Family]) -> None:
    family = build()
    assert FAMILY_LAWS[law].applies(family)
    # Where learning must not raise, raising is what breaks the law.
    kind = UsageError if law == "learning_survives_degenerate_rows" else AssertionError
    with pytest.raises(kind) as broken:
        FAMILY_LAWS[law](family, np.random.default_rng(1))
    assert str(broken.value)


def test_every_law_is_broken_somewhere() -> None:
    assert set(_BROKEN) == set(FAMILY_LAWS)


# --- laws about stories ----------------------------------------------------------------------


def _weights_ignored(whole: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, block: whole(self, replace(block, weights=None))


def _known_ignored(whole: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, x, known=None: whole(self, x)


def test_story_laws_notice_ignored_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from fabula.structures.mixture import Mixture

    monkeypatch.setattr(Mixture, "statistics", _weights_ignored(Mixture.statistics))
    with pytest.raises(AssertionError, match="weights against repetitions"):
        STORY_LAWS["weights_are_repetitions"](FAMILIES["poisson"](), np.random.default_rng(1))


def test_story_laws_notice_ignored_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    from fabula.structures.mixture import Mixture

    monkeypatch.setattr(Mixture, "posterior", _known_ignored(Mixture.posterior))
    for law in ("known_classes_are_kept", "em_climbs_on_partly_known_classes"):
        with pytest.raises(AssertionError, match="known"):
            STORY_LAWS[law](FAMILIES["poisson"](), np.random.default_rng(1))


@pytest.mark.parametrize("law", [name for name in STORY_LAWS if name.startswith("em_climbs")])
def test_story_laws_notice_a_wrong_step(law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from fabula.structures.mixture import Mixture

    whole = Mixture.maximise

    def overshoot(self: Mixture, statistics: Any, prior: Any = None) -> Mixture:
        fit = whole(self, statistics, prior)
        rates = self.family.rates * (fit.family.rates / self.family.rates) ** 2.5  # type: ignore
        return Mixture(fit.log_weights, Poisson(rates))

    monkeypatch.setattr(Mixture, "maximise", overshoot)
    with pytest.raises(AssertionError, match="fell"):
        STORY_LAWS[law](FAMILIES["poisson"](), np.random.default_rng(1))


def test_story_laws_notice_lost_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from fabula.learning import em

    monkeypatch.setattr(em, "accumulate", lambda function, blocks: function(next(iter(blocks))))
    with pytest.raises(AssertionError, match="small blocks against one"):
        STORY_LAWS["block_size_does_not_matter"](FAMILIES["poisson"](), np.random.default_rng(1))


def test_story_laws_notice_wrong_draws_and_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    from fabula.structures import mixture
    from fabula.structures.mixture import Mixture

    whole = Mixture.condition
    monkeypatch.setattr(Mixture, "condition", lambda self, given: (whole(self, given)[0], -1.0))
    with pytest.raises(AssertionError, match="log density of columns"):
        STORY_LAWS["chain_rule_of_stories_holds"](FAMILIES["gamma"](), np.random.default_rng(1))
    monkeypatch.setattr(
        mixture, "draw_members", lambda log_weights, n, rng: rng.integers(len(log_weights), size=n)
    )
    with pytest.raises(AssertionError, match="components were drawn"):
        STORY_LAWS["story_draws_follow_its_weights"](FAMILIES["gamma"](), np.random.default_rng(1))


def test_story_laws_notice_a_wrong_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    from fabula.structures.mixture import Mixture

    whole = Mixture.log_joint
    monkeypatch.setattr(
        Mixture, "log_joint", lambda self, x, known=None: whole(self, x, known) + 1e-6
    )
    with pytest.raises(AssertionError, match="log evidence"):
        STORY_LAWS["posterior_is_bayes_rule"](FAMILIES["poisson"](), np.random.default_rng(1))


def test_story_laws_notice_sums_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from fabula.core.threads import n_threads
    from fabula.learning import em

    def in_any_order(function: Any, blocks: Any) -> Any:
        values = [function(block) for block in blocks]
        total = values[0] if n_threads() == 1 else values[-1]
        for value in values[1:] if n_threads() == 1 else values[-2::-1]:
            total = total + value
        return total

    monkeypatch.setattr(em, "accumulate", in_any_order)
    with pytest.raises(AssertionError, match="number of threads"):
        STORY_LAWS["thread_number_does_not_matter"](
            FAMILIES["normal_tied"](), np.random.default_rng(1)
        )


def test_a_family_of_ones_own_is_checked_whole() -> None:
    from fabula.testing import check_family

    check_family(NormalTied(np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([[1.0, 0.3], [0.3, 0.5]])))
    wrong = _broken("poisson", log_prob=lambda s, x: Poisson.log_prob(s, x) + 1e-4)
    with pytest.raises(AssertionError, match=r"BrokenPoisson breaks \w+: .*\d"):
        check_family(wrong)
