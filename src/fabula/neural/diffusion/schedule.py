"""How much noise there is at which time: one time for numbers and for categories.

At time u, from 0 to 1, numbers carry normal noise of the standard deviation
σ(u) = exp(centre + spread · Φ⁻¹(u)), and a category is masked with probability u. A time drawn
evenly thus draws the noise of numbers from the lognormal law of Karras et al. (2022, table 1), and
the share of masked categories evenly, as the bound of masked diffusion has it (Shi et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from fabula.core.errors import UsageError
from fabula.persistence.registry import storable

__all__ = ["Schedule"]


@storable("neural/noise_schedule")
@dataclass(frozen=True)
class Schedule:
    """Noise as a function of time, and the levels that a sampler passes through.

    Parameters
    ----------
    centre, spread : float
        Mean and standard deviation of ln σ while learning, for numbers of unit variance: the
        values of Karras et al. (2022) moved by ln 2, since theirs have the deviation 1/2.
    lowest, highest : float
        Levels between which a sampler moves.
    bend : float
        ρ: the larger, the more of the levels are low (Karras et al. 2022, eq. 5).
    """

    centre: float = -0.5
    spread: float = 1.3
    lowest: float = 0.01
    highest: float = 20.0
    bend: float = 7.0

    def __post_init__(self) -> None:
        if not 0 < self.lowest < self.highest:
            raise UsageError("Noise goes from a positive level up to a higher one.")
        if not self.spread > 0 or not self.bend > 0:
            raise UsageError("spread and bend must be positive.")

    def sigma(self, time: jax.Array) -> jax.Array:
        """The noise of numbers at a time, within the levels."""
        inner = jnp.clip(time, 1e-6, 1 - 1e-6)
        raw = jnp.exp(self.centre + self.spread * jax.scipy.special.ndtri(inner))
        return jnp.clip(raw, self.lowest, self.highest)

    def time(self, sigma: jax.Array) -> jax.Array:
        """The time of a noise: the share of categories that are masked."""
        place = (jnp.log(jnp.maximum(sigma, 1e-30)) - self.centre) / self.spread
        share: jax.Array = jax.scipy.special.ndtr(place)
        return share

    def levels(self, steps: int) -> jax.Array:
        """Noise at the start of each of so many steps, (steps,), from the highest to the lowest."""
        if steps == 1:
            return jnp.array([self.highest])
        share = jnp.arange(steps) / (steps - 1)
        high, low = self.highest ** (1 / self.bend), self.lowest ** (1 / self.bend)
        return jnp.power(high + share * (low - high), self.bend)

    def row_levels(
        self, key: jax.Array, n: int, n_numbers: int, n_parts: int, steps: int
    ) -> tuple[jax.Array, jax.Array]:
        """Levels (n, steps + 1) of each row, ending with 0, and when categories show (n, Q).

        Where there are enough steps, each row has levels of its own, at which one category each
        shows: no two are drawn without regard to each other (Zheng et al. 2024, section 4).
        Elsewhere several show in one step.
        """
        shows = self.sigma(jax.random.uniform(key, (n, n_parts), minval=1e-6))
        if n_numbers:
            own = 2 * n_parts <= steps
            grid = self.levels(steps - n_parts if own else steps)
        else:
            own = n_parts <= steps
            even = 1.0 - jnp.arange(steps - n_parts if own else steps) / max(steps, 1)
            grid = jnp.where(even == 1.0, self.highest, self.sigma(even))
        levels = jnp.broadcast_to(grid, (n, len(grid)))
        if own:
            levels = -jnp.sort(-jnp.concatenate([levels, shows], axis=1), axis=1)
        return jnp.concatenate([levels, jnp.zeros((n, 1))], axis=1), shows
