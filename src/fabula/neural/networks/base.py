"""Networks as values: an architecture builds weights from a key, and files hold both.

A network in a file is its architecture and its arrays by name; loading runs no code but the
constructors of architectures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import DataError
from fabula.persistence.registry import storable

__all__ = ["Architecture", "Network", "join", "n_weights", "scaled", "skeleton", "split"]


class Architecture(Protocol):
    """The shape of a network."""

    def build(self, key: jax.Array) -> Any:
        """The network with fresh weights, for one row; `jax.vmap` makes it take many."""
        ...


def split(module: Any) -> tuple[Any, Any]:
    """The weights of a network, and everything else about it."""
    return eqx.partition(module, eqx.is_inexact_array)


def join(weights: Any, rest: Any) -> Any:
    """The network whose parts `split` gave."""
    return eqx.combine(weights, rest)


def skeleton(architecture: Architecture) -> tuple[Any, Any]:
    """What `split` gives of a fresh network, with the shapes of weights in place of weights.

    Nothing is drawn, which takes longer than to fill the weights in.
    """
    shapes = eqx.filter_eval_shape(architecture.build, jax.random.key(0))
    weights, rest = eqx.partition(shapes, _is_weight)
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(rest)):
        return split(architecture.build(jax.random.key(0)))
    return weights, rest


def _is_weight(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def n_weights(module: Any) -> int:
    """Number of weights."""
    return sum(leaf.size for leaf in jax.tree.leaves(split(module)[0]))


@storable("neural/network")
@dataclass(frozen=True)
class Network:
    """An architecture with weights, as files hold it.

    Parameters
    ----------
    architecture : Architecture
    weights : mapping
        Name of an array → array (float32).
    """

    architecture: Any
    weights: Mapping[str, FloatArray]

    @classmethod
    def of(cls, architecture: Architecture, module: Any) -> Network:
        """What to keep of a network."""
        named, _ = jax.tree_util.tree_flatten_with_path(split(module)[0])
        arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in named}
        return cls(architecture, arrays)

    def build(self) -> Any:
        """The network itself.

        Raises
        ------
        DataError
            The arrays are not those of the architecture.
        """
        weights, rest = skeleton(self.architecture)
        named, structure = jax.tree_util.tree_flatten_with_path(weights)
        leaves = []
        for path, leaf in named:
            name = jax.tree_util.keystr(path)
            found = self.weights.get(name)
            if found is None or found.shape != leaf.shape:
                raise DataError(f"the network lacks the weights {name} of shape {leaf.shape}")
            leaves.append(jnp.asarray(found, dtype=leaf.dtype))
        if len(self.weights) != len(leaves):
            raise DataError("the network has weights that its architecture does not know")
        return join(jax.tree_util.tree_unflatten(structure, leaves), rest)


def scaled(layer: Any, factor: float) -> Any:
    """The layer with its weights, though not its bias, multiplied: small ends train calmly."""
    return eqx.tree_at(lambda m: m.weight, layer, layer.weight * factor)
