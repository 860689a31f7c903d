"""From a row to latents that make one like it: a search, for a generator has no way back."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from fabula.neural.adversarial.learning import Given, outputs_of
from fabula.neural.adversarial.network import Generator

__all__ = ["nearest_latents"]

_LEARNING_RATE = 0.1
# Weight of the prior beside the errors: latents of no bearing stay where they are probable.
_PULL = 1e-2


@eqx.filter_jit
def nearest_latents(
    module: Any,
    shape: Generator,
    given: Given,
    seen: jax.Array,
    keys: jax.Array,
    n_starts: int,
    n_steps: int,
) -> jax.Array:
    """Latents (n, Z) whose rows are nearest: squared errors of numbers, cross-entropies of codes.

    Adam from several draws of the prior for each row, of which the best end is kept.

    Parameters
    ----------
    module : the network of a `Generator`
    shape : Generator
    given : Given
        The vectors that are looked for, and what the network is told of the rows.
    seen : (n, d) array of bool
        Cells that count.
    keys : (n,) array of numbers
        Chance of each row.
    n_starts, n_steps : int
    """

    def errors(latents: jax.Array) -> jax.Array:
        outputs = outputs_of(module, shape, latents, given)
        of_rows: jax.Array = shape.vectors.errors(outputs, given.vectors, seen)
        return of_rows + 0.5 * _PULL * jnp.square(latents).sum(-1)

    def search(start: jax.Array) -> tuple[jax.Array, jax.Array]:
        adam = optax.scale_by_adam()

        def one(step: Any, carry: Any) -> Any:
            latents, memory = carry
            slope = jax.grad(lambda z: errors(z).sum())(latents)
            updates, memory = adam.update(slope, memory)
            rate = _LEARNING_RATE * 0.5 * (1 + jnp.cos(jnp.pi * step / n_steps))
            return latents - rate * updates, memory

        latents, _ = jax.lax.fori_loop(0, n_steps, one, (start, adam.init(start)))
        return latents, errors(latents)

    row_wise = jax.vmap(jax.random.key)(keys)
    starts = jax.vmap(lambda key: jax.random.normal(key, (n_starts, shape.n_latent)))(row_wise)
    latents, ends = jax.lax.map(search, jnp.swapaxes(starts, 0, 1))
    best: jax.Array = latents[ends.argmin(axis=0), jnp.arange(latents.shape[1])]
    return best
