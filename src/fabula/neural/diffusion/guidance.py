"""Draws that obey something else besides the model: a gradient steers them, or they are chosen.

A target is p(row) · exp(log_p(row)), with log_p any function of rows: the log probability that a
classifier gives a class, the log likelihood of a measured property, 0 or -inf for a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.arrays import FloatArray, Members
from fabula.core.errors import DataError, UsageError
from fabula.neural.diffusion.network import NetworkDenoiser
from fabula.neural.diffusion.solvers import Course, Moving, advance_rows, begin, draw_rows
from fabula.neural.diffusion.states import MASKED, Denoiser, Known, Noisy, Prediction
from fabula.neural.diffusion.story import Diffusion, Route

__all__ = ["Steered", "choose", "sample_chosen", "sample_steered"]

# How often candidates are compared on the way.
_LOOKS = 12
_MOST_ROWS = 4096
# Nats by which a guess that is ruled out falls behind: more, and hardly any such candidate is left
# to come right; less, and most candidates are wasted on them.
_BELOW = 2.0

LogP = Callable[[Any], Any]


class Steered(eqx.Module):
    """A denoiser that is drawn towards rows that obey.

    Its means are moved by σ² times the gradient of log_p at them, which is Bayes' rule for the
    noisy row where log_p tells of it (Dhariwal and Nichol 2021), and an approximation where, as
    here, log_p tells of rows without noise (Chung et al. 2023).

    Parameters
    ----------
    denoiser : Denoiser
    log_p : callable
        ``log_p(numbers (n, P), codes (n, Q)) -> (n,)``, of numbers of unit variance.
    noisy : bool
        Whether log_p is of noisy numbers, and takes ``sigma`` (n,) as a third argument.
    """

    denoiser: Denoiser
    log_p: Callable[..., jax.Array] = eqx.field(static=True)
    noisy: bool = eqx.field(static=True, default=False)

    def __call__(self, rows: Noisy, sigma: jax.Array) -> Prediction:
        """The prediction, moved."""
        said = self.denoiser(rows, sigma)
        codes = _completed_codes(rows.codes, said.scores, self._layout)

        def total(numbers: jax.Array) -> jax.Array:
            if self.noisy:
                return self.log_p(numbers, codes, sigma).sum()
            inner = self.denoiser(rows._replace(numbers=numbers), sigma)
            return self.log_p(inner.numbers, codes).sum()

        gradient = jax.grad(total)(rows.numbers)
        moved = said.numbers + jnp.square(sigma)[:, None] * jnp.nan_to_num(gradient)
        return Prediction(moved, said.scores)

    @property
    def _layout(self) -> Any:
        network = getattr(self.denoiser, "network", None)
        return () if network is None else network.shape.noise.layout


def _completed_codes(codes: jax.Array, scores: jax.Array, layout: Any) -> jax.Array:
    """Codes, those that are masked replaced by the most probable."""
    found = []
    for size, first, last, first_score, last_score in layout:
        logs = scores[:, first_score:last_score].reshape(len(codes), -1, size)
        mine = codes[:, first:last]
        found.append(jnp.where(mine == MASKED, logs.argmax(-1), mine))
    return jnp.concatenate(found, axis=1).astype(codes.dtype) if found else codes


def sample_steered(
    story: Diffusion,
    n: int,
    rng: np.random.Generator,
    log_p: LogP,
    condition: Mapping[int, Any],
    labels: Any,
    route: Route,
) -> tuple[FloatArray, Members]:
    """``n`` rows whose numbers the gradient of a JAX function of encoded rows (n, d) steers."""
    whole, members = story.begin_rows(n, condition, labels, rng)
    columns = np.asarray(story.columns)

    def of_numbers(numbers: jax.Array, codes: jax.Array) -> jax.Array:
        values = log_p(story.noise.in_units(numbers, codes)[:, columns])
        if jnp.shape(values) != (len(numbers),):
            raise UsageError(
                f"log_p gave numbers of shape {jnp.shape(values)}, expected one for each row: "
                f"({len(numbers)},)."
            )
        return jnp.asarray(values)

    course = story.course(route, whole)
    found = []
    for start in range(0, n, _MOST_ROWS):
        part = slice(start, start + _MOST_ROWS)
        key = jax.random.key(int(rng.integers(2**31)))
        batch, hot, size = story.batch(whole[part], members[part])
        drawn = _draw_steered(story.module, course, of_numbers, batch, hot, key)
        numbers, codes = (np.asarray(a)[:size] for a in drawn)
        found.append(story.noise.decode(numbers, codes))
    rows = np.concatenate(found)
    rows = np.where(np.isnan(whole), rows, whole)
    return rows[:, list(story.columns)], members


@eqx.filter_jit
def _draw_steered(
    module: Any, course: Course, log_p: Any, batch: Any, labels: Any, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    for_cells, for_rows = jax.random.split(key)
    noise = module.shape.noise
    chance = jax.random.uniform(for_cells, (len(batch["seen"]), noise.n_chances))
    known = Known(*noise.clean(batch, chance))
    denoiser = Steered(NetworkDenoiser(module, labels), log_p)
    return draw_rows(denoiser, course, known, for_rows)


def sample_chosen(
    story: Diffusion,
    n: int,
    rng: np.random.Generator,
    log_p: LogP,
    condition: Mapping[int, Any],
    labels: Any,
    route: Route,
    n_candidates: int,
) -> tuple[FloatArray, Members]:
    """``n`` rows, each chosen among candidates on the way; log_p may be any function of rows."""
    whole, members = story.begin_rows(n, condition, labels, rng)
    course = story.course(route, whole, solver="ancestral")
    found = []
    size = max(_MOST_ROWS // n_candidates, 1)
    for start in range(0, n, size):
        part = slice(start, min(start + size, n))
        rows = np.repeat(whole[part], n_candidates, axis=0)
        told = np.repeat(members[part], n_candidates)
        batch, hot, _ = story.batch(rows, told, pad=False)
        key = jax.random.key(int(rng.integers(2**31)))
        chance = jax.random.uniform(key, (len(rows), story.noise.n_chances))
        known = Known(*story.noise.clean(batch, chance))
        denoiser = NetworkDenoiser(story.module, hot)

        def in_units(numbers: Any, codes: Any, rows: FloatArray = rows) -> FloatArray:
            drawn = story.noise.decode(np.asarray(numbers), np.asarray(codes))
            filled = np.where(np.isnan(rows), drawn, rows)
            return np.asarray(log_p(filled[:, list(story.columns)]))

        numbers, codes = choose(denoiser, course, known, in_units, n_candidates, rng)
        drawn = story.noise.decode(np.asarray(numbers), np.asarray(codes))
        found.append(np.where(np.isnan(whole[part]), drawn, whole[part]))
    return np.concatenate(found)[:, list(story.columns)], members


def choose(
    denoiser: Denoiser,
    course: Course,
    known: Known,
    log_p: Callable[[Any, Any], FloatArray],
    n_candidates: int,
    rng: np.random.Generator,
) -> tuple[Any, Any]:
    """One row of each group of candidates, by sequential importance resampling in the group.

    What the denoiser says of a candidate is handed to log_p on the way, and a candidate is worth
    the growth of exp(log_p); what counts in the end is log_p of the row itself, so that draws are
    right in the limit of many candidates, whatever log_p says on the way (Wu et al. 2023).
    """
    key = jax.random.key(int(rng.integers(2**31)))
    n, n_numbers = known.numbers.shape
    levels, shows = course.schedule.row_levels(
        jax.random.fold_in(key, 0), n, n_numbers, known.codes.shape[1], course.steps
    )
    rows = begin(course, known, levels[:, 0], jax.random.fold_in(key, 1))
    stops = np.unique(np.linspace(0, levels.shape[1] - 1, _LOOKS + 1).round().astype(int))
    before = np.zeros(n)
    for number, (first, last) in enumerate(pairwise(stops.tolist())):
        mine = jax.random.fold_in(key, 2 + number)
        rows = _advance(denoiser, course, known, rows, levels[:, first : last + 1], shows, mine)
        at_end = last == levels.shape[1] - 1
        numbers, codes = rows.numbers, rows.codes
        if not at_end:
            numbers, codes = _guess(denoiser, course, known, rows, levels[:, last], mine)
        now: FloatArray = np.asarray(log_p(numbers, codes), dtype=np.float64)
        if now.shape != (n,) or np.isnan(now).any():
            gave = "NaN for some" if now.shape == (n,) else f"an array of shape {now.shape}"
            raise UsageError(f"log_p must give a number for each of {n} rows; it gave {gave}.")
        if not at_end:
            now = _floored(now)
        chosen = _resample(
            (now - before).reshape(-1, n_candidates), 1 if at_end else n_candidates, rng
        )
        if at_end:
            return np.asarray(rows.numbers)[chosen], np.asarray(rows.codes)[chosen]
        before = now[chosen]
        rows = Moving(*(a[chosen] for a in rows))
        levels, shows = levels[chosen], shows[chosen]
        known = Known(*(a[chosen] for a in known))
    raise AssertionError("the last look is at the end")


def _floored(guessed: FloatArray) -> FloatArray:
    """log_p of guesses, -inf a little below the rest: a row may still come right, its guess not.

    Any finite number is right in the limit, since what a candidate gains later counts from it.
    """
    finite = guessed[np.isfinite(guessed)]
    least = float(finite.min()) if len(finite) else 0.0
    return np.where(np.isneginf(guessed), least - _BELOW, guessed)


def _resample(gain: FloatArray, n_kept: int, rng: np.random.Generator) -> np.ndarray:
    """Places of the candidates that are kept of each group (n, m), evenly by their weights."""
    n, m = gain.shape
    best = gain.max(axis=1, keepdims=True)
    if np.isneginf(best).any():
        raise DataError(
            f"log_p rules out every one of {m} candidates for {int(np.isneginf(best).sum())} of "
            f"{n} rows. Ask for more candidates with n_candidates, or let log_p fall more gently."
        )
    weights = np.exp(gain - best)
    ends = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    ends[:, -1] = 1.0
    marks = (np.arange(n_kept) + rng.random((n, 1))) / n_kept
    picked = (ends[:, None, :] < marks[:, :, None]).sum(axis=2)
    return np.asarray((picked + np.arange(n)[:, None] * m).ravel(), dtype=np.intp)


@eqx.filter_jit
def _advance(
    denoiser: Any, course: Course, known: Known, rows: Moving, levels: Any, shows: Any, key: Any
) -> Moving:
    return advance_rows(denoiser, course, known, rows, levels, shows, key)


@eqx.filter_jit
def _guess(
    denoiser: Any, course: Course, known: Known, rows: Moving, sigma: Any, key: Any
) -> tuple[jax.Array, jax.Array]:
    """Means of the numbers, and a draw of each masked code."""
    levels = jnp.broadcast_to(sigma[:, None], rows.numbers.shape)
    if course.told:
        levels = jnp.where(known.has_number, course.schedule.lowest, levels)
    said = denoiser(Noisy(rows.numbers, rows.codes, levels), sigma)
    found = []
    for i, (size, first, last, first_score, last_score) in enumerate(course.groups):
        logs = said.scores[:, first_score:last_score].reshape(len(sigma), -1, size)
        drawn = jax.random.categorical(jax.random.fold_in(key, 100 + i), logs)
        mine = rows.codes[:, first:last]
        found.append(jnp.where(mine == MASKED, drawn, mine))
    codes = jnp.concatenate(found, axis=1) if found else rows.codes
    return jnp.where(known.has_number, known.numbers, said.numbers), codes
