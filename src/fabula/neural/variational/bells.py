"""Standard bells, normal and logistic: what the likelihoods of decoders are made of."""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.arrays import FloatArray

__all__ = ["Bell", "cell_log_mass", "log_density", "log_mass", "nodes", "standard_draw"]

Bell = Literal["normal", "logistic"]

_NODES = 24


def log_mass(bell: Bell, low: jax.Array, high: jax.Array) -> jax.Array:
    """Log of the probability between two ends, of a standard bell; high > low."""
    if bell == "logistic":
        inside = jnp.log(-jnp.expm1(low - high))
        return jax.nn.log_sigmoid(high) + jax.nn.log_sigmoid(-low) + inside
    # Both ends in the lower tail, where log Φ has its digits.
    flip = low + high > 0
    low, high = jnp.where(flip, -high, low), jnp.where(flip, -low, high)
    below, above = jax.scipy.special.log_ndtr(low), jax.scipy.special.log_ndtr(high)
    return above + jnp.log(-jnp.expm1(jnp.minimum(below - above, -1e-7)))


def log_density(bell: Bell, z: jax.Array) -> jax.Array:
    """Log density of a standard bell."""
    if bell == "logistic":
        return jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z)
    return -0.5 * z * z - 0.5 * math.log(2 * math.pi)


def standard_draw(bell: Bell, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draws from a standard bell."""
    if bell == "logistic":
        return jax.random.logistic(key, shape)
    return jax.random.normal(key, shape)


def nodes(bell: Bell) -> FloatArray:
    """Evenly weighted points that stand for a bell; symmetric, so that linear means are exact."""
    from scipy.special import logit, ndtri

    shares = (np.arange(_NODES) + 0.5) / _NODES
    return np.asarray(logit(shares) if bell == "logistic" else ndtri(shares))


def cell_log_mass(low: jax.Array, high: jax.Array) -> jax.Array:
    """Log of the probability between two ends of a logistic bell; either may be infinite."""
    first, last = jnp.isneginf(low), jnp.isposinf(high)
    low_safe = jnp.where(first, 0.0, low)
    high_safe = jnp.where(last, low_safe + 1.0, jnp.where(first, 1.0, high))
    high_safe = jnp.where(first & ~last, high, high_safe)
    gap = jnp.where(first | last, 1.0, high_safe - low_safe)
    inside = (
        jax.nn.log_sigmoid(high_safe)
        + jax.nn.log_sigmoid(-low_safe)
        + jnp.log(-jnp.expm1(-jnp.maximum(gap, 1e-6)))
    )
    below = jax.nn.log_sigmoid(high_safe)
    above = jax.nn.log_sigmoid(-low_safe)
    return jnp.where(first, below, jnp.where(last, above, inside))
