"""The usual learner: one loss, AdamW, and a moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

__all__ = ["Descent", "DescentState"]

_LONGEST_GRADIENT = 1.0


class DescentState(NamedTuple):
    """Weights, their moving average, and what the optimiser remembers."""

    parameters: Any
    average: Any
    optimiser: Any
    n_steps: jax.Array


class Descent:
    """Minimise one loss by AdamW (Loshchilov and Hutter 2019) with gradients of bounded length.

    Parameters
    ----------
    start : callable
        ``start(key)`` gives the weights to begin with.
    loss : callable
        ``loss(parameters, batch, key)`` gives the loss of each row (n,), and further numbers to
        write down, by name.
    learning_rate, weight_decay : float
        At the height of the schedule.
    averaging : float
        How slowly the average follows the weights: it is what is validated and kept. 0 keeps the
        weights themselves.
    validation_loss : callable, optional
        As ``loss``, where held-out rows are to be judged by something else.
    """

    def __init__(
        self,
        start: Callable[[jax.Array], Any],
        loss: Callable[[Any, Any, jax.Array], tuple[jax.Array, Mapping[str, jax.Array]]],
        *,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
        averaging: float = 0.999,
        validation_loss: Callable[[Any, Any, jax.Array], jax.Array] | None = None,
    ):
        self._start, self._loss, self._averaging = start, loss, averaging
        self._validation_loss = validation_loss
        self._optimiser = optax.chain(
            optax.clip_by_global_norm(_LONGEST_GRADIENT),
            optax.adamw(learning_rate, b2=0.99, weight_decay=weight_decay),
        )

    def start(self, key: jax.Array) -> DescentState:
        """Fresh weights."""
        parameters = self._start(key)
        optimiser = self._optimiser.init(parameters)
        return DescentState(parameters, parameters, optimiser, jnp.zeros((), jnp.int32))

    def step(
        self, state: DescentState, batch: Any, key: jax.Array, rate: jax.Array
    ) -> tuple[DescentState, dict[str, jax.Array]]:
        """One step of AdamW on the mean loss of the minibatch."""

        def mean_loss(parameters: Any) -> tuple[jax.Array, Mapping[str, jax.Array]]:
            losses, others = self._loss(parameters, batch, key)
            return losses.mean(), others

        (loss, others), gradient = jax.value_and_grad(mean_loss, has_aux=True)(state.parameters)
        updates, optimiser = self._optimiser.update(gradient, state.optimiser, state.parameters)
        updates = jax.tree.map(lambda u: u * rate, updates)
        parameters = optax.apply_updates(state.parameters, updates)
        # Early weights are far from the end: the average forgets them faster (Karras et al. 2022).
        n = state.n_steps + 1
        keep = jnp.minimum(self._averaging, (1.0 + n) / (10.0 + n)) if self._averaging else 0.0
        average = jax.tree.map(lambda a, p: keep * a + (1 - keep) * p, state.average, parameters)
        return DescentState(parameters, average, optimiser, n), {"loss": loss, **others}

    def validate(self, state: DescentState, batch: Any, key: jax.Array) -> jax.Array:
        """Loss of each row under the averaged weights."""
        if self._validation_loss is not None:
            return self._validation_loss(state.average, batch, key)
        return self._loss(state.average, batch, key)[0]

    def learned(self, state: DescentState) -> Any:
        """The averaged weights."""
        return state.average
