"""How probable rows are under a diffusion: a bound for all of them, an estimate for numbers.

Both know a denoiser, and nothing of networks. Densities are those of what noise is added to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fabula.neural.diffusion.schedule import Schedule
from fabula.neural.diffusion.states import MASKED, Clean, Denoiser, Noisy, normal_of

__all__ = ["evidence_bound", "flow_log_density"]

_LOG_TWO_PI = math.log(2 * math.pi)
# Columns up to which a trace is summed exactly rather than estimated.
_MOST_EXACT = 24


def evidence_bound(
    denoiser: Denoiser,
    cleaned: Callable[[jax.Array], Clean],
    n_chances: int,
    errors_of_codes: Callable[[jax.Array, jax.Array], jax.Array],
    schedule: Schedule,
    keys: jax.Array,
    n_times: int,
    given: tuple[jax.Array, jax.Array] | None = None,
) -> jax.Array:
    """A draw of the evidence lower bound of each row (n,), nats, from so many times each.

    Numbers: Kingma et al. (2021, Variational diffusion models, eq. 17), from the lowest noise to
    the highest; codes: Shi et al. (2024, eq. 5). Times are spread evenly over those of learning
    and, where there are numbers, over ln σ; both kinds are weighted by their common density.

    Parameters
    ----------
    denoiser : Denoiser
    cleaned : callable
        ``cleaned(chance (n, n_chances))`` gives the rows without noise, spread over their cells.
    n_chances : int
    errors_of_codes : callable
        ``errors_of_codes(scores, codes)`` gives minus log probabilities (n, Q).
    schedule : Schedule
    keys : (n,) array of keys
    n_times : int
    given : pair of arrays of bool, optional
        Numbers (n, P) and codes (n, Q) that are known, and have no density.
    """
    n = len(keys)
    first = cleaned(jnp.full((n, n_chances), 0.5))
    n_numbers, n_parts = first.numbers.shape[1], first.codes.shape[1]

    def chances(number: jax.Array | int, size: int) -> jax.Array:
        return jax.vmap(lambda k: jax.random.uniform(jax.random.fold_in(k, number), (size,)))(keys)

    none = jnp.zeros((n, n_numbers), bool), jnp.zeros((n, n_parts), bool)
    known_numbers, known_codes = none if given is None else given
    low, high = math.log(schedule.lowest), math.log(schedule.highest)
    offsets = chances(0, 2)
    n_lognormal = n_times if not n_numbers else max(n_times // 2, 1)
    n_even = n_times - n_lognormal

    def place(number: jax.Array) -> tuple[jax.Array, jax.Array]:
        """ln σ (n,) of a time, and its density."""
        share = (number + offsets[:, 0]) / n_lognormal
        normal = jax.scipy.special.ndtri(jnp.clip(share, 1e-6, 1 - 1e-6))
        flat = low + (number - n_lognormal + offsets[:, 1]) / max(n_even, 1) * (high - low)
        log_sigma = jnp.where(
            number < n_lognormal, schedule.centre + schedule.spread * normal, flat
        )
        z = (log_sigma - schedule.centre) / schedule.spread
        density = jnp.exp(-0.5 * (z * z + _LOG_TWO_PI)) / schedule.spread
        inside = (log_sigma >= low) & (log_sigma <= high)
        mixed = (n_lognormal * density + n_even * inside / (high - low)) / n_times
        return log_sigma, mixed

    def one(total: jax.Array, number: jax.Array) -> tuple[jax.Array, None]:
        chance = chances(1 + number // 2, n_chances + n_numbers + n_parts)
        # Noise and its mirror image: errors that are odd in it, as those of slopes are, cancel.
        chance = jnp.where(number % 2 == 1, 1.0 - chance, chance)
        clean = cleaned(chance[:, :n_chances])
        noise = normal_of(chance[:, n_chances : n_chances + n_numbers])
        log_sigma, density = place(number)
        sigma = jnp.exp(jnp.clip(log_sigma, low, high))
        time = jax.scipy.special.ndtr((log_sigma - schedule.centre) / schedule.spread)
        masked = (
            (chance[:, n_chances + n_numbers :] < time[:, None]) & clean.has_code & ~known_codes
        )
        said, wanted = _ask(denoiser, clean, known_numbers, masked, noise, sigma, schedule)
        errors = jnp.square((said.numbers - clean.numbers) / sigma[:, None])
        # At low noise the error is the noise itself, whose mean is known.
        calm = (jnp.square(noise) - 1.0) / jnp.square(1.0 + jnp.square(sigma))[:, None]
        of_numbers = jnp.where(wanted, errors - calm, 0.0).sum(-1)
        inside = (log_sigma >= low) & (log_sigma <= high)
        of_numbers = jnp.where(inside, of_numbers, 0.0)
        misses = jnp.where(masked, errors_of_codes(said.scores, clean.codes), 0.0).sum(-1)
        z = (log_sigma - schedule.centre) / schedule.spread
        slope = jnp.exp(-0.5 * (z * z + _LOG_TWO_PI)) / schedule.spread
        of_codes = misses * slope / jnp.maximum(time, 1e-12)
        return total - (of_numbers + of_codes) / (density * n_times), None

    total, _ = jax.lax.scan(one, jnp.zeros(n), jnp.arange(n_times))
    if not n_numbers:
        return total
    chance = chances(1 + n_times, n_chances + n_numbers)
    clean, noise = cleaned(chance[:, :n_chances]), normal_of(chance[:, n_chances:])
    return total - _ends(denoiser, clean, known_numbers, noise, schedule)


def _ask(
    denoiser: Denoiser,
    clean: Clean,
    known: jax.Array,
    masked: jax.Array,
    noise: jax.Array,
    sigma: jax.Array,
    schedule: Schedule,
) -> tuple[Any, jax.Array]:
    """What the denoiser says at a noise, and which numbers count."""
    wanted = clean.has_number & ~known
    numbers = clean.numbers + jnp.where(wanted, sigma[:, None] * noise, 0.0)
    levels = jnp.where(known, schedule.lowest, sigma[:, None])
    levels = jnp.where(clean.has_number, levels, jnp.inf)
    codes = jnp.where(masked | ~clean.has_code, MASKED, clean.codes)
    return denoiser(Noisy(numbers, codes, levels), sigma), wanted


def _ends(
    denoiser: Denoiser, clean: Clean, known: jax.Array, noise: jax.Array, schedule: Schedule
) -> jax.Array:
    """Nats for numbers at the lowest noise, and divergence from the law of the highest, (n,)."""
    low = jnp.full(len(noise), schedule.lowest)
    masked = jnp.zeros(clean.codes.shape, dtype=bool)
    said, wanted = _ask(denoiser, clean, known, masked, noise, low, schedule)
    errors = jnp.square((said.numbers - clean.numbers) / schedule.lowest)
    first = 0.5 * (errors - jnp.square(noise) + 1.0 + _LOG_TWO_PI) + math.log(schedule.lowest)
    variance = schedule.highest**2
    wider = math.log((variance + 1) / variance) - 1.0
    last = 0.5 * (wider + (variance + jnp.square(clean.numbers)) / (variance + 1))
    return jnp.where(wanted, first + last, 0.0).sum(-1)


def flow_log_density(
    denoiser: Denoiser,
    clean: Clean,
    schedule: Schedule,
    keys: jax.Array,
    n_steps: int = 32,
    known: jax.Array | None = None,
    n_probes: int = 0,
) -> jax.Array:
    """Log density (n,) of the numbers of rows, by the probability-flow equation.

    d x / d ln σ = x - D(x; σ), along which the log density falls by its divergence (Song et al.
    2021, eq. 39; Karras et al. 2022). It is that of numbers with the lowest noise, and an estimate:
    of fourth order in the length of a step and, beyond 24 numbers, of a random trace (Hutchinson
    1990).

    Parameters
    ----------
    n_probes : int
        Draws for the trace; 0 for the exact trace where there are few numbers.
    """
    n, n_numbers = clean.numbers.shape
    wanted = clean.has_number if known is None else clean.has_number & ~known
    codes = jnp.where(clean.has_code, clean.codes, MASKED)
    low, high = math.log(schedule.lowest), math.log(schedule.highest)
    exact = n_numbers <= _MOST_EXACT and not n_probes
    if exact:
        probes = jnp.broadcast_to(jnp.eye(n_numbers)[:, None, :], (n_numbers, n, n_numbers))
    else:
        number = max(n_probes, 1)
        size = number, n_numbers
        probes = jax.vmap(lambda k: jax.random.rademacher(k, size, jnp.float32))(keys)
        probes = jnp.swapaxes(probes, 0, 1)

    def drift(x: jax.Array, log_sigma: jax.Array) -> jax.Array:
        sigma = jnp.full(n, jnp.exp(log_sigma))
        levels = jnp.where(wanted, sigma[:, None], schedule.lowest)
        levels = jnp.where(clean.has_number, levels, jnp.inf)
        said = denoiser(Noisy(x, codes, levels), sigma)
        return jnp.where(wanted, x - said.numbers, 0.0)

    def both(x: jax.Array, log_sigma: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The drift and its divergence."""

        def along(probe: jax.Array) -> tuple[jax.Array, jax.Array]:
            probe = jnp.where(wanted, probe, 0.0)
            value, change = jax.jvp(lambda y: drift(y, log_sigma), (x,), (probe,))
            return value, (probe * change).sum(-1)

        values, traces = jax.vmap(along)(probes)
        return values[0], traces.sum(0) if exact else traces.mean(0)

    h = (high - low) / n_steps

    def one(carry: tuple[jax.Array, jax.Array], start: jax.Array) -> tuple[Any, None]:
        """A step of Runge and Kutta, its four stages in a loop, so that one is compiled."""
        x, total = carry

        def stage(inner: Any, part: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
            slope, moved, fell = inner
            share, weight = part
            k, d = both(x + share * h * slope, start + share * h)
            return (k, moved + h * weight * k, fell + h * weight * d), None

        parts = jnp.array([0.0, 0.5, 0.5, 1.0]), jnp.array([1.0, 2.0, 2.0, 1.0]) / 6.0
        (_, x, total), _ = jax.lax.scan(stage, (jnp.zeros_like(x), x, total), parts)
        return (x, total), None

    starts = low + h * jnp.arange(n_steps)
    (x, total), _ = jax.lax.scan(one, (clean.numbers, jnp.zeros(n)), starts)
    variance = schedule.highest**2 + 1.0
    end = -0.5 * (jnp.square(x) / variance + math.log(variance) + _LOG_TWO_PI)
    return jnp.where(wanted, end, 0.0).sum(-1) + total
