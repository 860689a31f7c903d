"""The networks of an adversarial model: a generator that makes rows, a critic that looks at them.

Neither normalises anything. Residual blocks begin as the identity: their last layer is 0 at the
start (Zhang, Dauphin and Ma 2019, fix-up; as in Huang et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from equinox import nn

from fabula.neural.networks.base import scaled
from fabula.persistence.registry import storable

__all__ = ["Critic", "Generator", "n_told"]

_LEAK = 0.2
_TOLD = 0.3


def _bend(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, _LEAK * x)


def _linear(n: int, m: int, key: jax.Array) -> nn.Linear:
    """A linear map that keeps the spread of what comes through a bend (He et al. 2015)."""
    layer = nn.Linear(n, m, key=key)
    spread = np.sqrt(2.0 / ((1.0 + _LEAK**2) * max(n, 1)))
    weight = spread * jax.random.normal(key, (m, n))
    return eqx.tree_at(lambda one: (one.weight, one.bias), layer, (weight, jnp.zeros(m)))  # type: ignore[no-any-return]


class _Block(eqx.Module):
    """x + f(x), which begins as x."""

    widen: nn.Linear
    narrow: nn.Linear

    def __init__(self, width: int, key: jax.Array):
        first, second = jax.random.split(key)
        self.widen = _linear(width, 2 * width, first)
        self.narrow = scaled(_linear(2 * width, width, second), 0.0)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.narrow(_bend(self.widen(_bend(x))))


class _Body(eqx.Module):
    """Residual blocks between two linear maps, and a third for what is told beside."""

    enter: nn.Linear
    tell: nn.Linear | None
    blocks: tuple[_Block, ...]
    leave: nn.Linear

    def __init__(self, n_in: int, n_told: int, n_out: int, width: int, depth: int, key: jax.Array):
        enter, leave, tell, *keys = jax.random.split(key, 3 + depth)
        self.enter = _linear(n_in, width, enter)
        # What is told is mostly zeros: its length says nothing about its size.
        weight = _TOLD * jax.random.normal(tell, (width, n_told))
        layer = nn.Linear(max(n_told, 1), width, use_bias=False, key=tell)
        self.tell = eqx.tree_at(lambda one: one.weight, layer, weight) if n_told else None
        self.blocks = tuple(_Block(width, k) for k in keys)
        self.leave = _linear(width, n_out, leave)

    def __call__(self, x: jax.Array, told: jax.Array) -> jax.Array:
        h = self.enter(x)
        if self.tell is not None:
            h = h + self.tell(told)
        for block in self.blocks:
            h = block(h)
        return self.leave(_bend(h))


def n_told(vectors: Any, tells_cells: bool, n_classes: int) -> int:
    """Numbers that tell a generator what is given: cells, which of them, and the class."""
    cells = vectors.width + vectors.n_columns if tells_cells else 0
    return int(cells) + n_classes


@storable("neural/generator")
@dataclass(frozen=True)
class Generator:
    """The shape of a generator.

    Parameters
    ----------
    vectors : TableVectors or PixelVectors
        What it makes.
    n_latent : int
    width, depth : int
        Of the residual blocks, and how many there are.
    n_classes : int
        C classes that it is told; 0 for none.
    tells_cells : bool
        Whether it is told cells that are given.
    channels : tuple of int
        For images: channels at each resolution, from the finest down; none makes it one of rows.
    """

    vectors: Any
    n_latent: int = 64
    width: int = 256
    depth: int = 2
    n_classes: int = 0
    tells_cells: bool = False
    channels: tuple[int, ...] = ()

    @property
    def n_told(self) -> int:
        """Length of what it is told beside the latents."""
        return n_told(self.vectors, self.tells_cells, self.n_classes)

    def build(self, key: jax.Array) -> Any:
        """The network: ``network(latents (Z,), what is told) -> outputs (n_outputs,)``."""
        if self.channels:
            from fabula.neural.adversarial.images import ImageGenerator

            shape = self.vectors.form.shape
            return ImageGenerator(self.n_latent, self.n_told, shape, self.channels, key)
        return _Body(
            self.n_latent, self.n_told, self.vectors.n_outputs, self.width, self.depth, key
        )


@storable("neural/critic")
@dataclass(frozen=True)
class Critic:
    """The shape of a critic: as `Generator`, from vectors to one number.

    Parameters
    ----------
    vectors : TableVectors or PixelVectors
    width, depth : int
    n_classes : int
    tells_cells : bool
    channels : tuple of int
    pack : int
        Rows that it looks at together (Lin et al. 2018).
    """

    vectors: Any
    width: int = 256
    depth: int = 2
    n_classes: int = 0
    tells_cells: bool = False
    channels: tuple[int, ...] = ()
    pack: int = 1

    @property
    def n_told(self) -> int:
        """Length of what it is told of a row beside the vector: which cells, and the class."""
        return (self.vectors.n_columns if self.tells_cells else 0) + self.n_classes

    def build(self, key: jax.Array) -> Any:
        """The network: ``network(vectors, what is told) -> (1,)``."""
        if self.channels:
            from fabula.neural.adversarial.images import ImageCritic

            return ImageCritic(self.vectors.form.shape, self.n_told, self.channels, key)
        n_in, n_told = self.pack * self.vectors.width, self.pack * self.n_told
        return _Body(n_in, n_told, 1, self.width, self.depth, key)
