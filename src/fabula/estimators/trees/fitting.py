"""Fitting a latent tree: its shape, its banks, and states that are split while it pays."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray, Rows
from fabula.estimators.base.families import made_of_rows, product_template
from fabula.estimators.trees.shapes import TreeShapeFound
from fabula.families.base import Family
from fabula.families.bins import Bins
from fabula.learning.em import Report
from fabula.learning.fitting import pool
from fabula.learning.stepwise import StepwiseReport, stepwise_expectation_maximisation
from fabula.learning.tree_starts import split_states, tree_from_rows
from fabula.structures.trees.cells import TreeRows
from fabula.structures.trees.latent_tree import LatentTree, LatentTreePrior
from fabula.tables.encoding import Field

__all__ = [
    "Fitted",
    "Settings",
    "default_family",
    "fit_trees",
    "pooled_banks",
    "prior_of",
]

# Categories with more levels are told apart by how frequent they are.
_MOST_LEVELS = 256
# Rows that are enough to tell whether a story became better.
_ROWS_TO_SCORE = 5_000
_FEWEST_ROWS_TO_HOLD_OUT = 200
_ROWS_TO_SEED = 5_000
# How many nats join columns at one node, and the states with which that is tried.
_JOINING = (0.15, 0.3, math.inf)
_STATES_OF_TRIAL = 32
_LEAST_GAIN = 1e-3  # nats a row


@dataclass(frozen=True)
class Settings:
    """How the states are learned."""

    n_states: int | None  # None: split until it no longer pays
    smoothing: float
    nearness: float
    joining: float | None  # None: what does best on held-out rows
    max_passes: int
    max_time: float
    batch: int | None
    validation: float
    n_init: int
    first_states: int = 8
    passes_a_stage: int = 6
    decay: float = 0.6
    loyalty: float = 0.7
    most_states: int = 512


@dataclass(frozen=True)
class Fitted:
    """A tree, how its fit went, and the mean log density of rows that were held out (nats).

    ``told`` is the log density of every one of these rows, before they took part themselves.
    """

    story: LatentTree
    report: Report
    held_out: float
    told: FloatArray | None


def pooled_banks(
    x: Rows,
    fields: Sequence[Field],
    names: Sequence[str | Family],
    weights: FloatArray | None,
    n_bins: int | None,
) -> tuple[Family, ...]:
    """For each column a bank of one member, fitted to all rows."""
    banks: list[Family] = []
    for j, (field, name) in enumerate(zip(fields, names, strict=True)):
        column = x[:, [j]]
        if name == "bins" and n_bins is not None:
            banks.append(Bins.learned(column, weights, n_bins=n_bins, precision=field.precision))
            continue
        made = made_of_rows(name, field, column, 0, weights)
        template = product_template([field], [made], column, weights)
        banks.append(template if isinstance(template, Bins) else pool(template, column, weights))
    return tuple(banks)


def default_family(field: Field) -> str:
    """Bins for numbers, levels for categories; very many levels are grouped."""
    if field.kind in ("category", "boolean"):
        return "grouped" if field.n_levels > _MOST_LEVELS else "categorical"
    return "bins"


def prior_of(banks: Sequence[Family], n_states: int, settings: Settings) -> LatentTreePrior:
    """Pseudo-counts of the states, and what few rows in a state fall back on."""
    everyone = np.zeros(n_states, dtype=np.intp)
    emissions: list[Any] = []
    for bank in banks:
        if isinstance(bank, Bins):
            emissions.append(bank.nested_observations(settings.nearness))
        else:
            emissions.append(bank.select(everyone).pseudo_observations(settings.smoothing))
    return LatentTreePrior(settings.smoothing, tuple(emissions))


def fit_trees(
    x: Rows,
    shapes: Sequence[TreeShapeFound],
    banks: tuple[Family, ...],
    settings: Settings,
    weights: FloatArray | None,
    rng: np.random.Generator,
) -> tuple[list[Fitted], FloatArray | None]:
    """For each shape the best of ``n_init`` climbs, in ``max_time`` for all of them together.

    All learn from the same rows, and are judged on the same ones, whose weights come second. Which
    columns are joined at one node is tried with the first; the others do as it does.
    """
    ends = time.perf_counter() + settings.max_time
    learning = _Learning.of(x, banks, settings, weights, rng)
    climbs_left = len(shapes) * settings.n_init
    found: list[Fitted] = []
    for shape in shapes:
        best: Fitted | None = None
        for _ in range(settings.n_init):
            left = (ends - time.perf_counter()) / climbs_left
            climbs_left -= 1
            climb = _best_joined(learning, shape, banks, settings, rng, left)
            one = climb.run()
            if best is None or one.held_out > best.held_out:
                best, joining = one, climb.joining
        assert best is not None
        settings = replace(settings, joining=joining)
        found.append(best)
    return found, learning.held_weights


def _best_joined(
    learning: _Learning,
    shape: TreeShapeFound,
    banks: tuple[Family, ...],
    settings: Settings,
    rng: np.random.Generator,
    seconds: float,
) -> _Climb:
    """A climb on the tree whose joined nodes do best with few states on held-out rows."""
    wanted = (_JOINING if settings.joining is None else (settings.joining,))[::-1]
    joinings = {tuple(shape.hung(joining)[1]): joining for joining in wanted}
    climbs = [
        _Climb(learning, shape, joining, banks, settings, rng, seconds)
        for joining in joinings.values()
    ]
    if len(climbs) == 1:
        return climbs[0]
    if learning.held_out is None:
        return climbs[1]  # there are two or three
    return max(climbs, key=lambda climb: climb.trial(_STATES_OF_TRIAL))


@dataclass(frozen=True)
class _Learning:
    """The rows to learn from and those that are held out, as cells."""

    seeds: Rows  # some rows as they are, at which states may begin
    every: TreeRows
    weights: FloatArray | None
    rows: TreeRows
    row_weights: FloatArray | None
    held: TreeRows
    held_weights: FloatArray | None

    @classmethod
    def of(
        cls,
        x: Rows,
        banks: tuple[Family, ...],
        settings: Settings,
        weights: FloatArray | None,
        rng: np.random.Generator,
    ) -> _Learning:
        """Rows held out at random, as many as `validation` says."""
        n = len(x)
        order = rng.permutation(n)
        n_held = int(settings.validation * n) if n >= _FEWEST_ROWS_TO_HOLD_OUT else 0
        if weights is not None and not weights[order[:n_held]].sum() > 0:
            n_held = 0
        held, learned = np.sort(order[:n_held]), np.sort(order[n_held:])
        d = len(banks)
        one = LatentTree(
            np.array([-1]), np.zeros(d, dtype=np.intp), np.ones(1), np.empty((0, 1, 1)), banks
        )
        every = one.rows_of(x, "float32")
        scored = held[:_ROWS_TO_SCORE] if n_held <= _ROWS_TO_SCORE else _among(held, rng)
        return cls(
            x[learned[:_ROWS_TO_SEED] if len(learned) <= _ROWS_TO_SEED else _among(learned, rng)],
            every,
            weights,
            every.take(learned) if n_held else every,
            None if weights is None else weights[learned],
            every.take(scored),
            None if weights is None else weights[scored],
        )

    @property
    def held_out(self) -> Callable[[LatentTree], float] | None:
        """Mean log density of the held-out rows; None where there are none."""
        if not len(self.held):
            return None
        return lambda story: float(np.average(story.log_prob(self.held), weights=self.held_weights))


def _among(rows: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    return np.asarray(np.sort(rng.choice(rows, size=_ROWS_TO_SCORE, replace=False)))


class _Climb:
    """One climb: few states first, split while rows that were held out say that it pays."""

    def __init__(
        self,
        learning: _Learning,
        shape: TreeShapeFound,
        joining: float,
        banks: tuple[Family, ...],
        settings: Settings,
        rng: np.random.Generator,
        seconds: float,
    ):
        self.began = time.perf_counter()
        self.seconds = seconds
        self.learning, self.rows, self.held_out = learning, learning.rows, learning.held_out
        self.joining = joining
        self.banks, self.settings, self.rng = banks, settings, rng
        first = self._first_states(len(self.rows))
        self.story = tree_from_rows(
            *shape.hung(joining), banks, learning.seeds, first, rng, loyalty=settings.loyalty
        )
        self.best, self.score = self.story, -math.inf
        self.told: FloatArray | None = None
        self.seen_states = 0  # of the last stage that was climbed
        self.trace: list[float] = []
        self.n_steps = 0

    def _first_states(self, n: int) -> int:
        first = self.settings.first_states
        wanted = self.settings.n_states
        if wanted is None:
            return max(1, min(first, n // 8))
        while wanted > first:
            wanted = -(-wanted // 2)
        return wanted

    def _gains(self, story: LatentTree) -> bool:
        """Whether held-out rows became more probable, beyond what chance does to so few."""
        if self.held_out is None:
            return True
        rows, before = story.log_prob(self.learning.held), self.told
        if before is not None:
            gain = rows - before
            weights = self.learning.held_weights
            weights = np.ones(len(gain)) if weights is None else weights
            mean = float(np.average(gain, weights=weights))
            error = math.sqrt(float(weights**2 @ (gain - mean) ** 2)) / float(weights.sum())
            if mean <= _LEAST_GAIN + error and self.settings.n_states is None:
                return False
        self.told = rows
        return True

    def trial(self, states: int) -> float:
        """Climb to so many states; the score on held-out rows."""
        while True:
            story, report = self._stage(None)
            self.seen_states = story.n_states
            if not self._gains(story):
                break
            self.best, self.score = story, report.score
            if self._is_last() or 2 * story.n_states > states:
                break
            if not self._has_time(report, 0.1):
                break
            self.story = split_states(story, self._next_states(), self.rng)
        return self.score

    def run(self) -> Fitted:
        """Climb, split, climb on; then let all rows have their say."""
        if self.seen_states:
            self.story = self.best
            if not self._is_last():
                self.story = split_states(self.best, self._next_states(), self.rng)
        stopped = False
        while True:
            last = self._is_last()
            story, report = self._stage(self.settings.max_passes if last else None)
            if self._gains(story):
                self.best = story
                self.score = report.score if self.held_out else report.trace[-1]
            else:
                stopped = True
            stopped = stopped or (last and report.reason == "held-out rows")
            if stopped or last:
                break
            if self.settings.n_states is None and not self._has_time(report):
                break
            self.story = split_states(story, self._next_states(), self.rng)
        best = self._finish(self.best)
        reason = "converged" if stopped else "iteration limit"
        seconds = time.perf_counter() - self.began
        kept = Report(tuple(self.trace), stopped, reason, self.n_steps, seconds)  # type: ignore[arg-type]
        return Fitted(best, kept, self.score if self.held_out else math.nan, self.told)

    def _next_states(self) -> int:
        """Twice as many states, on a path that ends at the number that was asked for."""
        wanted = self.settings.n_states
        now = self.story.n_states
        if wanted is None:
            return min(2 * now, self._most_states())
        path = [wanted]
        while path[-1] > now:
            path.append(-(-path[-1] // 2))
        return path[-2]

    def _most_states(self) -> int:
        # A state that explains fewer than a few rows explains chance.
        return max(1, min(self.settings.most_states, len(self.rows) // 8))

    def _is_last(self) -> bool:
        wanted = self.settings.n_states
        return self.story.n_states >= (self._most_states() if wanted is None else wanted)

    def _has_time(self, report: StepwiseReport, share: float = 1.0) -> bool:
        """Whether a few passes with twice the states fit into a share of the time that is left."""
        left = share * (self.seconds - (time.perf_counter() - self.began))
        a_pass = report.seconds / max(len(report.trace), 1)
        # The products grow fourfold, all else twofold.
        return left > 3.5 * a_pass * 3.0

    def _stage(self, max_passes: int | None) -> tuple[LatentTree, StepwiseReport]:
        settings = self.settings
        left = self.seconds - (time.perf_counter() - self.began)
        n = len(self.rows)
        story, report = stepwise_expectation_maximisation(
            self.story,
            self.rows,
            self.rng,
            prior=prior_of(self.banks, self.story.n_states, settings),
            weights=self.learning.row_weights,
            held_out=self.held_out,
            batch=settings.batch or int(np.clip(n // 20, 256, 4096)),
            decay=settings.decay,
            max_passes=max_passes or min(settings.passes_a_stage, settings.max_passes),
            patience=2,
            max_seconds=max(left, 0.0),
        )
        self.trace += report.trace
        self.n_steps += len(report.trace)
        return story, report

    def _finish(self, story: LatentTree) -> LatentTree:
        """One exact step over all rows, with those that were held out."""
        whole, _ = stepwise_expectation_maximisation(
            story,
            self.learning.every,
            self.rng,
            prior=prior_of(self.banks, story.n_states, self.settings),
            weights=self.learning.weights,
            batch=len(self.learning.every),
            max_passes=1,
        )
        return whole
