"""From noise to rows: solvers that know a denoiser, and nothing of networks.

Numbers follow the probability-flow equation dx/dσ = (x - D(x; σ)) / σ (Karras et al. 2022, eq. 3),
or its stochastic form; categories are masked at first and show one after another, each drawn from
what the denoiser says at that moment.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from fabula.neural.diffusion.schedule import Schedule
from fabula.neural.diffusion.states import MASKED, Denoiser, Known, Noisy, Prediction

__all__ = ["Course", "Moving", "Solver", "advance_rows", "begin", "draw_rows"]

Solver = Literal["euler", "heun", "dpm", "ancestral"]
"""Of the orders 1, 2 (two evaluations a step), 2, and stochastic."""

_MOST_CHURN = math.sqrt(2) - 1
# How far a multistep solver looks ahead, in steps as long as the last one.
_LONGEST_LOOK = 1.0


class Course(eqx.Module):
    """How to go from noise to rows.

    Parameters
    ----------
    schedule : Schedule
    groups : sequence of (n_codes, first part, last part, first score, last score)
        Where codes of parts stand among the scores; see `fabula.neural.forms.table.CodeGroup`.
    steps : int
    solver : {"euler", "heun", "dpm", "ancestral"}
    churn : float
        Noise that is added and removed again on the way, for all solvers but the last
        (S_churn of Karras et al. 2022, algorithm 2).
    told : bool
        Whether the denoiser knows what to make of known cells without noise. Else they are put
        back at each step with the noise of that step (Lugmayr et al. 2022).
    repeats : int
        How often each step is taken when known cells are put back: noise is added again in between,
        so that the other cells come to agree with them.
    unit : bool
        Whether each number has the variance 1, from which "ancestral" tells how far a number may be
        from what the denoiser says.
    """

    schedule: Schedule = eqx.field(static=True)
    groups: tuple[tuple[int, int, int, int, int], ...] = eqx.field(static=True, default=())
    steps: int = eqx.field(static=True, default=50)
    solver: Solver = eqx.field(static=True, default="heun")
    churn: float = eqx.field(static=True, default=0.0)
    told: bool = eqx.field(static=True, default=True)
    repeats: int = eqx.field(static=True, default=1)
    unit: bool = eqx.field(static=True, default=True)


class Moving(NamedTuple):
    """Rows on their way.

    Parameters
    ----------
    numbers, codes : (n, P) and (n, Q) arrays
    before : (n, P) array
        What the denoiser said one step earlier.
    last_step : (n,) array
        Length of that step in ln σ; 0 where what it said is of no use.
    """

    numbers: jax.Array
    codes: jax.Array
    before: jax.Array
    last_step: jax.Array


def draw_rows(
    denoiser: Denoiser, course: Course, known: Known, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Numbers (n, P) and codes (n, Q) of new rows, one for each row of ``known``."""
    for_levels, for_start, for_steps = jax.random.split(key, 3)
    n, n_numbers = known.numbers.shape
    n_parts = known.codes.shape[1]
    levels, shows = course.schedule.row_levels(for_levels, n, n_numbers, n_parts, course.steps)
    rows = begin(course, known, levels[:, 0], for_start)
    rows = advance_rows(denoiser, course, known, rows, levels, shows, for_steps)
    return rows.numbers, rows.codes


def begin(course: Course, known: Known, sigma: jax.Array, key: jax.Array) -> Moving:
    """Rows of noise, in which only known cells say something."""
    width = jnp.sqrt(jnp.square(sigma) + 1.0)[:, None]
    numbers = width * jax.random.normal(key, known.numbers.shape)
    numbers = _with_known(course, known, numbers, sigma, jax.random.fold_in(key, 1))
    codes = jnp.where(known.has_code, known.codes, MASKED)
    return Moving(numbers, codes, numbers, jnp.zeros(len(numbers)))


def advance_rows(
    denoiser: Denoiser,
    course: Course,
    known: Known,
    rows: Moving,
    levels: jax.Array,
    shows: jax.Array,
    key: jax.Array,
) -> Moving:
    """Rows after all steps between the levels (n, T + 1)."""

    def one(carry: Moving, span: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Moving, None]:
        now, after, number = span
        mine = jax.random.fold_in(key, number)
        if course.told or course.repeats == 1:
            return _step(denoiser, course, known, carry, (now, after, shows), mine), None

        def again(turn: jax.Array, rows: Moving) -> Moving:
            first, second = jax.random.split(jax.random.fold_in(mine, turn))
            moved = _step(denoiser, course, known, rows, (now, after, shows), first)
            last = turn == course.repeats - 1
            back = jnp.sqrt(jnp.maximum(jnp.square(now) - jnp.square(after), 0.0))[:, None]
            renoised = moved.numbers + back * jax.random.normal(second, moved.numbers.shape)
            numbers = jnp.where(last, moved.numbers, renoised)
            fresh = jnp.where(last, moved.last_step, 0.0)
            return moved._replace(numbers=numbers, last_step=fresh)

        return jax.lax.fori_loop(0, course.repeats, again, carry), None

    spans = levels[:, :-1].T, levels[:, 1:].T, jnp.arange(levels.shape[1] - 1)
    return jax.lax.scan(one, rows, spans)[0]


def _step(
    denoiser: Denoiser,
    course: Course,
    known: Known,
    rows: Moving,
    span: tuple[jax.Array, jax.Array, jax.Array],
    key: jax.Array,
) -> Moving:
    """One step from the noise ``now`` (n,) to ``after``."""
    now, after, shows = span
    for_churn, for_codes, for_known, for_noise = jax.random.split(key, 4)
    numbers = rows.numbers
    if course.churn and course.solver != "ancestral":
        more = min(course.churn / course.steps, _MOST_CHURN)
        higher = now * (1.0 + more)
        added = jnp.sqrt(jnp.square(higher) - jnp.square(now))[:, None]
        noise = jax.random.normal(for_churn, numbers.shape)
        free = ~known.has_number if course.told else True
        numbers, now = jnp.where(free, numbers + added * noise, numbers), higher
    said = denoiser(_noisy(course, known, numbers, rows.codes, now), now)
    codes = _shown(course, rows.codes, said, shows > after[:, None], for_codes)
    changed = jnp.any(codes != rows.codes, axis=1)
    ratio = (after / now)[:, None]
    slope = (numbers - said.numbers) / now[:, None]
    length = jnp.log(now) - jnp.log(jnp.maximum(after, 1e-30))
    if course.solver == "ancestral":
        moved = said.numbers + jnp.square(ratio) * (numbers - said.numbers)
        spread = _fresh_spread(ratio, now[:, None], course.unit)
        moved = moved + spread * jax.random.normal(for_noise, numbers.shape)
    elif course.solver == "dpm":
        moved = _multistep(rows, said.numbers, numbers, ratio, length)
    else:
        moved = said.numbers + ratio * (numbers - said.numbers)
    if course.solver == "heun":
        moved = _corrected(denoiser, course, known, (numbers, moved, slope), codes, (now, after))
    moved = _with_known(course, known, moved, after, for_known)
    # A category that shows changes what the denoiser says: a line through both would mislead.
    return Moving(moved, codes, said.numbers, jnp.where(changed, 0.0, length))


def _fresh_spread(ratio: jax.Array, now: jax.Array, unit: bool) -> jax.Array:
    """Standard deviation (n, 1) of the noise that an ancestral step adds.

    The law of the next numbers under what the denoiser says lacks what x₀ may differ from that by,
    (1 - ratio²)² Var(x₀ | x) (Bao et al. 2022, Analytic-DPM), without which draws are too narrow.
    It is taken to be that of independent normal numbers of unit variance, σ² / (1 + σ²): exact for
    these, and too much for numbers that others tell. It and 0 are the extremes of Ho et al. (2020,
    section 3.2); pixels, which their neighbours tell, are nearer to 0.
    """
    kept, level = jnp.square(ratio), jnp.square(now)
    variance = kept * (1 - kept) * level
    if unit:
        doubt = jnp.square(1 - kept) * level / (1 + level)
        # The last step goes to the mean, as with the other solvers.
        variance = variance + jnp.where(kept > 0, doubt, 0.0)
    return jnp.sqrt(variance)


def _multistep(
    rows: Moving, said: jax.Array, numbers: jax.Array, ratio: jax.Array, length: jax.Array
) -> jax.Array:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2); first order where there is no past."""
    past = jnp.where(rows.last_step > 0, rows.last_step, 1.0)
    ahead = jnp.minimum(0.5 * length / past, _LONGEST_LOOK)
    # The last step goes all the way, where nothing can be looked ahead at.
    ahead = jnp.where((rows.last_step > 0) & (ratio[:, 0] > 0), ahead, 0.0)[:, None]
    target = said + ahead * (said - rows.before)
    return target + ratio * (numbers - target)


def _corrected(
    denoiser: Denoiser,
    course: Course,
    known: Known,
    between: tuple[jax.Array, jax.Array, jax.Array],
    codes: jax.Array,
    span: tuple[jax.Array, jax.Array],
) -> jax.Array:
    """Heun's second half: the mean of the slopes at both ends."""
    numbers, moved, slope = between
    now, after = span
    there = jnp.maximum(after, course.schedule.lowest * 1e-3)
    said = denoiser(_noisy(course, known, moved, codes, there), there)
    second = (moved - said.numbers) / there[:, None]
    corrected = numbers + 0.5 * (after - now)[:, None] * (slope + second)
    return jnp.where(after[:, None] > 0, corrected, moved)


def _noisy(
    course: Course, known: Known, numbers: jax.Array, codes: jax.Array, sigma: jax.Array
) -> Noisy:
    levels = jnp.broadcast_to(sigma[:, None], numbers.shape)
    if course.told:
        levels = jnp.where(known.has_number, course.schedule.lowest, levels)
    return Noisy(numbers, codes, levels)


def _with_known(
    course: Course, known: Known, numbers: jax.Array, sigma: jax.Array, key: jax.Array
) -> jax.Array:
    values = known.numbers
    if not course.told:
        values = values + sigma[:, None] * jax.random.normal(key, values.shape)
    return jnp.where(known.has_number, values, numbers)


def _shown(
    course: Course, codes: jax.Array, said: Prediction, due: jax.Array, key: jax.Array
) -> jax.Array:
    """Codes, those that are due drawn from what was said of them."""
    if not course.groups:
        return codes
    found = []
    gumbel = -jnp.log(-jnp.log(jax.random.uniform(key, said.scores.shape, minval=1e-7)))
    noisy = said.scores + gumbel
    for size, first, last, first_score, last_score in course.groups:
        mine = codes[:, first:last]
        drawn = noisy[:, first_score:last_score].reshape(len(codes), -1, size).argmax(-1)
        found.append(jnp.where(due[:, first:last] & (mine == MASKED), drawn, mine))
    return jnp.concatenate(found, axis=1).astype(codes.dtype)
