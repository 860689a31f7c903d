"""Gated recurrence over many steps, with its gradient written out.

Differentiating through a loop adds to the gradient of the weights at every step, which moves the
whole matrix through memory each time. Here the loop back only goes along the states; the gradient
of the weights is one product at its end.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["gated_scan", "gated_step"]


def gated_step(
    state: jax.Array, entering: jax.Array, weight: jax.Array, bias: jax.Array
) -> jax.Array:
    """The next state (n, H), of the present one and what enters (n, 3H).

    Cho et al. (2014), with the gate after the product: weight (H, 3H), bias (H,).
    """
    return _step(state, entering, weight, bias)[0]


def gated_scan(
    entering: jax.Array, keep: jax.Array | None, weight: jax.Array, bias: jax.Array
) -> jax.Array:
    """The states (T, n, H) after each step, beginning with zeros.

    Parameters
    ----------
    entering : (T, n, 3H) array
    keep : (T, n, 1) array, optional
        0 where the state is forgotten before the step, else 1.
    weight, bias
        As in `gated_step`.
    """
    if keep is None:
        keep = jnp.ones((*entering.shape[:2], 1), dtype=entering.dtype)
    return _scan(entering, keep, weight, bias)


def _step(
    state: jax.Array, entering: jax.Array, weight: jax.Array, bias: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    reset_in, update_in, new_in = jnp.split(entering, 3, axis=-1)
    reset_own, update_own, new_own = jnp.split(state @ weight, 3, axis=-1)
    reset = jax.nn.sigmoid(reset_in + reset_own)
    update = jax.nn.sigmoid(update_in + update_own)
    own = new_own + bias
    new = jnp.tanh(new_in + reset * own)
    return new + update * (state - new), (reset, update, own, new)


@jax.custom_vjp
def _scan(entering: jax.Array, keep: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
    return _forward(entering, keep, weight, bias)[0]


def _forward(
    entering: jax.Array, keep: jax.Array, weight: jax.Array, bias: jax.Array
) -> tuple[jax.Array, Any]:
    def one(state: jax.Array, now: Any) -> Any:
        here, kept = now
        state, gates = _step(state * kept, here, weight, bias)
        return state, (state, gates)

    start = jnp.zeros((entering.shape[1], weight.shape[0]), dtype=entering.dtype)
    _, (states, gates) = jax.lax.scan(one, start, (entering, keep))
    return states, (states, gates, keep, weight)


def _backward(left: Any, gradient: jax.Array) -> tuple[jax.Array, ...]:
    states, gates, keep, weight = left
    before = jnp.concatenate([jnp.zeros_like(states[:1]), states[:-1]]) * keep
    across = weight.T

    def one(later: jax.Array, now: Any) -> Any:
        here, state, kept, (reset, update, own, new) = now
        all_of_it = later + here
        for_update = all_of_it * (state - new) * update * (1 - update)
        for_new = all_of_it * (1 - update) * (1 - new * new)
        for_reset = for_new * own * reset * (1 - reset)
        product = jnp.concatenate([for_reset, for_update, for_new * reset], axis=-1)
        return (all_of_it * update + product @ across) * kept, (product, for_new)

    start = jnp.zeros_like(states[0])
    _, (product, for_new) = jax.lax.scan(one, start, (gradient, before, keep, gates), reverse=True)
    size = states.shape[-1]
    for_entering = jnp.concatenate([product[..., : 2 * size], for_new], axis=-1)
    for_weight = jnp.einsum("tnh,tnk->hk", before, product)
    return for_entering, jnp.zeros_like(keep), for_weight, product[..., 2 * size :].sum((0, 1))


_scan.defvjp(_forward, _backward)
