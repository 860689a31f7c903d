"""Laws about a mixture whose members are any family: posteriors, clamped classes, and EM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fabula.core.arrays import Codes, FloatArray, Rows
from fabula.core.blocks import ArrayBlocks
from fabula.core.threads import use_threads
from fabula.families.base import Family
from fabula.learning.em import expectation_maximisation
from fabula.persistence.codec import pack, unpack
from fabula.structures.mixture import Mixture, MixturePrior
from fabula.testing._instances import assert_close, draw, draw_with_gaps, fields_of

__all__ = [
    "block_size_does_not_matter",
    "chain_rule_of_stories_holds",
    "em_climbs_on_partly_known_classes",
    "em_climbs_on_weighted_rows",
    "em_climbs_on_whole_rows",
    "em_climbs_with_gaps",
    "known_classes_are_kept",
    "posterior_is_bayes_rule",
    "stories_are_stored",
    "story_draws_follow_its_weights",
    "thread_number_does_not_matter",
    "weights_are_repetitions",
]


def posterior_is_bayes_rule(family: Family, rng: np.random.Generator) -> None:
    """Responsibilities are weight times density over their sum, which is the evidence."""
    story = _story(family, rng)
    x, _ = draw_with_gaps(family, 50, rng)
    log_evidence, responsibilities = story.posterior(x)
    assert_close(responsibilities.sum(axis=1), np.ones(len(x)), 1e-12, "sum of a posterior")
    joint = np.exp(story.log_weights) * np.exp(family.log_prob(x))
    evidence = joint.sum(axis=1)
    assert_close(log_evidence, np.log(evidence), 1e-10, "log evidence")
    assert_close(responsibilities, joint / evidence[:, None], 1e-9, "posterior")
    assert_close(responsibilities[1], np.exp(story.log_weights), 1e-12, "posterior of no cell")
    assert_close(log_evidence[1], 0.0, 1e-12, "evidence of no cell")


def known_classes_are_kept(family: Family, rng: np.random.Generator) -> None:
    """A known class gets all of the row, and the evidence is then that of row and class."""
    story = _story(family, rng)
    x, members = draw_with_gaps(family, 50, rng)
    known = np.where(rng.random(len(x)) < 0.5, members, -1)
    log_evidence, responsibilities = story.posterior(x, known)
    free_evidence, free = story.posterior(x)
    seen = known >= 0
    assert_close(responsibilities[seen], np.eye(family.n_members)[known[seen]], 0.0, "known rows")
    assert_close(responsibilities[~seen], free[~seen], 0.0, "rows that are not known")
    expected = free_evidence + np.where(seen, np.log(free[np.arange(len(x)), known]), 0.0)
    assert_close(log_evidence, expected, 1e-8, "evidence of row and class")


def em_climbs_on_whole_rows(family: Family, rng: np.random.Generator) -> None:
    """EM never falls and gains something, with and without a prior."""
    x, _ = draw(family, 90, rng)
    _assert_climbs(family, x, None, None, rng)


def em_climbs_with_gaps(family: Family, rng: np.random.Generator) -> None:
    """EM never falls where a fifth of the cells is missing."""
    x, _ = draw_with_gaps(family, 90, rng, share=0.2)
    _assert_climbs(family, x, None, None, rng)


def em_climbs_on_partly_known_classes(family: Family, rng: np.random.Generator) -> None:
    """EM never falls where some classes are known, and gives known rows to their class."""
    x, members = draw_with_gaps(family, 90, rng, share=0.1)
    known = np.where(rng.random(len(x)) < 0.3, members, -1)
    _assert_climbs(family, x, known, None, rng)


def em_climbs_on_weighted_rows(family: Family, rng: np.random.Generator) -> None:
    """EM never falls where rows count more than others or not at all."""
    x, _ = draw_with_gaps(family, 90, rng, share=0.1)
    weights = rng.integers(0, 4, size=len(x)) * rng.random(len(x))
    _assert_climbs(family, x, None, weights, rng)


def weights_are_repetitions(family: Family, rng: np.random.Generator) -> None:
    """A row of weight 3 counts as three rows do, and a row of weight 0 is not there."""
    x, _ = draw_with_gaps(family, 60, rng, share=0.15)
    times = rng.integers(0, 4, size=len(x))
    start = _start(family, x, rng)
    weighted = _climb(start, ArrayBlocks(x, weights=times.astype(np.float64)))
    repeated = _climb(start, ArrayBlocks(np.repeat(x, times, axis=0)))
    _assert_same(weighted, repeated, x, 1e-8, "weights against repetitions")


def thread_number_does_not_matter(family: Family, rng: np.random.Generator) -> None:
    """One thread and two give the same bits."""
    x, members = draw_with_gaps(family, 120, rng, share=0.15)
    known = np.where(rng.random(len(x)) < 0.2, members, -1)
    start = _start(family, x, rng)
    fits = []
    for threads in (1, 2):
        with use_threads(threads):
            fits.append(_climb(start, ArrayBlocks(x, known, rows=16)))
    one, two = (pack(fit)[1] for fit in fits)
    assert one.keys() == two.keys()
    for name in one:
        assert np.array_equal(one[name], two[name]), f"{name} depends on the number of threads"


def block_size_does_not_matter(family: Family, rng: np.random.Generator) -> None:
    """Blocks of 16 rows and one block of all give the same up to rounding."""
    x, members = draw_with_gaps(family, 120, rng, share=0.15)
    known = np.where(rng.random(len(x)) < 0.2, members, -1)
    start = _start(family, x, rng)
    fits = [_climb(start, ArrayBlocks(x, known, rows=rows)) for rows in (16, 1000)]
    _assert_same(fits[0], fits[1], x, 1e-9, "small blocks against one")


def stories_are_stored(family: Family, rng: np.random.Generator) -> None:
    """A story comes back from storage with the same scores."""
    story = _story(family, rng)
    x, _ = draw_with_gaps(family, 20, rng)
    loaded = unpack(*pack(story))
    assert_close(loaded.log_joint(x), story.log_joint(x), 0.0, "scores after storage")


def story_draws_follow_its_weights(family: Family, rng: np.random.Generator) -> None:
    """Components are drawn as often as their weights say."""
    story = _story(family, rng)
    n = 3000
    x, members = story.sample(n, rng)
    assert x.shape == (n, family.n_columns)
    assert np.isfinite(story.log_prob(x)).all()
    weights = np.exp(story.log_weights)
    shares = np.bincount(members, minlength=family.n_members) / n
    errors = np.sqrt(weights * (1 - weights) / n)
    assert np.all(np.abs(shares - weights) <= 5 * errors), (
        f"components were drawn with shares {shares}, expected {weights}"
    )


def chain_rule_of_stories_holds(family: Family, rng: np.random.Generator) -> None:
    """log p(some) + log p(others | some) = log p(all), summed over the components."""
    story = _story(family, rng)
    x, _ = draw(family, 5, rng)
    fields = fields_of(family)
    for row in x:
        given = fields[int(rng.integers(len(fields)))]
        rest = [j for j in range(family.n_columns) if j not in given]
        others, told = story.condition({j: float(row[j]) for j in given})
        assert (others is None) == (not rest), f"given columns {given}, left {rest}"
        margin = story.marginal(given).log_prob(row[None, given])[0]
        assert_close(told, margin, 1e-9, f"log density of columns {given}")
        conditional = 0.0 if others is None else others.log_prob(row[None, rest])[0]
        joint = story.log_prob(row[None])[0]
        assert_close(told + conditional, joint, 1e-9, f"given columns {given}")


def _story(family: Family, rng: np.random.Generator) -> Mixture:
    weights = rng.dirichlet(np.full(family.n_members, 3.0))
    return Mixture(np.log(weights), family)


def _start(family: Family, x: Rows, rng: np.random.Generator) -> Mixture:
    """A story that knows the rows, but not which of them belong together."""
    responsibilities = rng.dirichlet(np.full(family.n_members, 0.5), size=len(x))
    statistics = family.statistics(x, responsibilities)
    bank = family.maximise(statistics, family.pseudo_observations(2.0))
    return Mixture(np.log(responsibilities.mean(axis=0)), bank)


def _climb(
    start: Mixture, blocks: ArrayBlocks, on_iteration: Callable[[int, float], None] | None = None
) -> Mixture:
    prior = MixturePrior(1.0, start.family.pseudo_observations(1.0))
    story, _ = expectation_maximisation(
        start, blocks, prior=prior, max_iter=4, tol=0.0, on_iteration=on_iteration
    )
    return story


def _assert_climbs(
    family: Family,
    x: Rows,
    known: Codes | None,
    weights: FloatArray | None,
    rng: np.random.Generator,
) -> None:
    start = _start(family, x, rng)
    blocks = ArrayBlocks(x, known, weights, rows=40)
    priors = (MixturePrior(1.0, family.pseudo_observations(2.0)), _barely(family))
    for prior in priors:
        story, report = expectation_maximisation(start, blocks, prior=prior, max_iter=15, tol=0.0)
        trace = np.array(report.trace)
        assert np.isfinite(trace).all(), f"the objective is not finite: {trace}"
        steps = np.diff(trace)
        worst = steps.min()
        assert worst >= -1e-9 * (1.0 + np.abs(trace).max()), (
            f"EM fell by {-worst:.3g} nats a row at step {int(steps.argmin()) + 1} of {trace}"
        )
        assert report.reason != "objective fell", f"the objective fell after {trace}"
        assert trace[-1] > trace[0], f"EM gained nothing: {trace}"
        if known is not None:
            _, responsibilities = story.posterior(x, known)
            mine = responsibilities[known >= 0, known[known >= 0]]
            assert_close(mine, np.ones(len(mine)), 0.0, "rows of known classes")


def _barely(family: Family) -> MixturePrior:
    """Just enough of a prior that the likelihood stays bounded."""
    return MixturePrior(0.0, family.pseudo_observations(0.05))


def _assert_same(one: Mixture, two: Mixture, x: Rows, tolerance: float, what: str) -> None:
    pairs: tuple[tuple[Any, Any], ...] = (
        (np.exp(one.log_weights), np.exp(two.log_weights)),
        (one.family.log_prob(x), two.family.log_prob(x)),
    )
    for mine, other in pairs:
        assert_close(mine, other, tolerance, what)
