"""What a trained generator makes: of latents by chance, or of latents that are given."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.arrays import FloatArray, Rows
from fabula.neural.adversarial.learning import Given, outputs_of, with_given
from fabula.neural.adversarial.network import Generator
from fabula.neural.row_batches import padded

__all__ = ["draw_vectors", "make_vectors", "real_vectors", "vectors_of"]


@eqx.filter_jit
def real_vectors(shape: Generator, arrays: dict[str, Any]) -> jax.Array:
    """Vectors (n, width) of encoded rows, with numbers in the middles of their cells."""
    chance = jnp.full((len(arrays["seen"]), shape.vectors.n_chances), 0.5)
    found: jax.Array = shape.vectors.real(arrays, chance)
    return found


def vectors_of(shape: Generator, whole: Rows, fewest: int = 128) -> FloatArray:
    """The same of rows (n, all columns of the form) that are not encoded yet."""
    arrays = {name: padded(a, fewest) for name, a in shape.vectors.encode(whole).items()}
    return np.asarray(real_vectors(shape, arrays), dtype=np.float64)[: len(whole)]


@eqx.filter_jit
def draw_vectors(module: Any, shape: Generator, given: Given, key: jax.Array) -> jax.Array:
    """Vectors of rows that are drawn."""
    for_latents, for_choices = jax.random.split(key)
    n = len(given.vectors)
    latents = jax.random.normal(for_latents, (n, shape.n_latent))
    choices = jax.random.uniform(for_choices, (n, shape.vectors.n_choices))
    return _vectors(module, shape, given, latents, choices)


@eqx.filter_jit
def make_vectors(module: Any, shape: Generator, given: Given, latents: jax.Array) -> jax.Array:
    """Vectors of the rows of latents: with equal chances, the highest score is chosen."""
    choices = jnp.full((len(latents), shape.vectors.n_choices), 0.5)
    return _vectors(module, shape, given, latents, choices)


def _vectors(
    module: Any, shape: Generator, given: Given, latents: jax.Array, choices: jax.Array
) -> jax.Array:
    outputs = outputs_of(module, shape, latents, given)
    everything = jnp.ones((len(latents), shape.vectors.n_columns), dtype=bool)
    made: jax.Array = shape.vectors.made(outputs, everything, choices)
    return with_given(shape, made, given)
