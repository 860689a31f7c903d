"""Plain layers one after another: the fastest network for few columns or small images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import nn

from fabula.neural.networks.base import scaled
from fabula.persistence.registry import storable

__all__ = ["Dense"]


class _DenseModule(eqx.Module):
    layers: tuple[nn.Linear, ...]
    leave: nn.Linear

    def __call__(self, x: jax.Array, condition: jax.Array | None = None) -> jax.Array:
        h = x
        for layer in self.layers:
            # A condition is told to every layer: deep ones shall not forget it.
            h = jax.nn.silu(layer(h if condition is None else jnp.concatenate([h, condition])))
        return self.leave(h if condition is None else jnp.concatenate([h, condition]))


@storable("neural/dense")
@dataclass(frozen=True)
class Dense:
    """Linear maps with the smooth step x σ(x) between them.

    Parameters
    ----------
    n_in, n_out : int
    widths : tuple of int
        Of the layers between; none makes a linear map.
    n_condition : int
        Length of a condition that is told to every layer; 0 for none.
    end : float
        Factor on the last weights at the start: small ends begin near a constant answer.
    """

    n_in: int
    n_out: int
    widths: tuple[int, ...] = (256, 256)
    n_condition: int = 0
    end: float = 1.0

    def build(self, key: jax.Array) -> Any:
        """The network: ``network(x (n_in,), condition) -> (n_out,)``."""
        sizes = (self.n_in, *self.widths)
        keys = jax.random.split(key, len(sizes))
        layers = tuple(
            _linear(n + self.n_condition, m, k)
            for n, m, k in zip(sizes[:-1], sizes[1:], keys, strict=False)
        )
        return _DenseModule(
            layers, scaled(_linear(sizes[-1] + self.n_condition, self.n_out, keys[-1]), self.end)
        )


def _linear(n: int, m: int, key: jax.Array) -> nn.Linear:
    """A linear map whose answers are about as large as what comes in (Glorot and Bengio 2010)."""
    layer = nn.Linear(n, m, key=key)
    weight = jax.random.normal(key, (m, n)) * jnp.sqrt(2.0 / (n + m))
    return eqx.tree_at(lambda m: (m.weight, m.bias), layer, (weight, jnp.zeros(m)))  # type: ignore[no-any-return]
