"""Convolutional networks of an adversarial model of images.

An image is taken apart into squares of 2 × 2 pixels, and made of them: a resolution costs a quarter
of the next finer one, and no layer has a stride, whose second derivatives are slow.
"""

from __future__ import annotations

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from equinox import nn

from fabula.neural.networks.base import scaled

__all__ = ["ImageCritic", "ImageGenerator"]

_LEAK = 0.2


def _bend(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, _LEAK * x)


class _Convolution(eqx.Module):
    """A convolution with windows of ``size`` × ``size``, as a product of matrices.

    Its second derivatives are products of matrices, too: those of the convolutions of the library
    are slow on processors.
    """

    weight: jax.Array
    bias: jax.Array
    size: int = eqx.field(static=True)

    def __init__(self, n_in: int, n_out: int, size: int, key: jax.Array):
        spread = np.sqrt(2.0 / ((1.0 + _LEAK**2) * n_in * size**2))
        self.weight = spread * jax.random.normal(key, (n_in * size**2, n_out))
        self.bias = jnp.zeros(n_out)
        self.size = size

    def __call__(self, x: jax.Array) -> jax.Array:
        """Of an image (h, w, n_in); (h, w, n_out)."""
        h, w, _ = x.shape
        if self.size > 1:
            edge = self.size // 2
            x = jnp.pad(x, ((edge, edge), (edge, edge), (0, 0)))
            moved = [x[i : i + h, j : j + w] for i in range(self.size) for j in range(self.size)]
            x = jnp.concatenate(moved, axis=-1)
        return x @ self.weight + self.bias


class _Block(eqx.Module):
    """x + f(x), which begins as x (Zhang, Dauphin and Ma 2019)."""

    first: _Convolution
    second: _Convolution

    def __init__(self, n: int, key: jax.Array):
        one, two = jax.random.split(key)
        self.first = _Convolution(n, n, 3, one)
        self.second = scaled(_Convolution(n, n, 3, two), 0.0)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.second(_bend(self.first(_bend(x))))


class ImageGenerator(eqx.Module):
    """From latents, and what is told, to pixels.

    Parameters
    ----------
    n_latent, n_told : int
    shape : (h, w, c)
    channels : tuple of int
        At each resolution, from the finest down; the finest is of squares of 2 × 2 pixels.
    """

    enter: nn.Linear
    blocks: tuple[_Block, ...]
    grow: tuple[_Convolution, ...]
    leave: _Convolution
    shape: tuple[int, int, int] = eqx.field(static=True)
    coarsest: tuple[int, int, int] = eqx.field(static=True)

    def __init__(
        self,
        n_latent: int,
        n_told: int,
        shape: tuple[int, int, int],
        channels: tuple[int, ...],
        key: jax.Array,
    ):
        keys = iter(jax.random.split(key, 2 * len(channels) + 2))
        side = 2 ** len(channels)
        self.shape = shape
        self.coarsest = (-(-shape[0] // side), -(-shape[1] // side), channels[-1])
        layer = nn.Linear(n_latent + n_told, int(np.prod(self.coarsest)), key=next(keys))
        self.enter = scaled(layer, float(np.sqrt(3.0)))
        self.blocks = tuple(_Block(n, next(keys)) for n in channels[::-1])
        self.grow = tuple(
            _Convolution(n, 4 * m, 1, next(keys))
            for n, m in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        # 3 × 3 windows of squares: pixels see their neighbours in the squares beside.
        self.leave = _Convolution(channels[0], 4 * shape[2], 3, next(keys))

    def __call__(self, x: jax.Array, told: jax.Array) -> jax.Array:
        """Outputs (h·w·c,)."""
        h = self.enter(jnp.concatenate([x, told])).reshape(self.coarsest)
        for k, block in enumerate(self.blocks):
            h = block(h)
            if k < len(self.grow):
                h = _finer(self.grow[k](h))
        image = _finer(self.leave(_bend(h)))
        return image[: self.shape[0], : self.shape[1]].ravel()


class ImageCritic(eqx.Module):
    """From pixels, and what is told, to one number: the generator backwards."""

    enter: _Convolution
    blocks: tuple[_Block, ...]
    shrink: tuple[_Convolution, ...]
    tell: nn.Linear | None
    leave: nn.Linear
    shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(
        self, shape: tuple[int, int, int], n_told: int, channels: tuple[int, ...], key: jax.Array
    ):
        keys = iter(jax.random.split(key, 2 * len(channels) + 3))
        side = 2 ** len(channels)
        self.shape = shape
        self.enter = _Convolution(4 * shape[2], channels[0], 3, next(keys))
        self.blocks = tuple(_Block(n, next(keys)) for n in channels)
        self.shrink = tuple(_Convolution(4 * n, m, 1, next(keys)) for n, m in pairwise(channels))
        size = -(-shape[0] // side) * -(-shape[1] // side) * channels[-1]
        self.leave = nn.Linear(size, 1, key=next(keys))
        # The class has a direction of its own (Miyato and Koyama 2018).
        self.tell = nn.Linear(n_told, size, use_bias=False, key=next(keys)) if n_told else None

    def __call__(self, x: jax.Array, told: jax.Array) -> jax.Array:
        """How real pixels (h·w·c,) look, (1,)."""
        h = _coarser(x.reshape(self.shape), 2 ** len(self.blocks))
        h = self.enter(h)
        for k, block in enumerate(self.blocks):
            h = block(h)
            if k < len(self.shrink):
                h = self.shrink[k](_coarser(h))
        h = _bend(h).ravel()
        said: jax.Array = self.leave(h)
        if self.tell is None:
            return said
        return said + (h @ self.tell(told)) / np.sqrt(len(h))  # type: ignore[no-any-return]


def _finer(x: jax.Array) -> jax.Array:
    """Squares of four become four pixels: (h, w, 4c) → (2h, 2w, c)."""
    h, w, c = x.shape[0], x.shape[1], x.shape[2] // 4
    return jnp.transpose(x.reshape(h, w, 2, 2, c), (0, 2, 1, 3, 4)).reshape(2 * h, 2 * w, c)


def _coarser(x: jax.Array, multiple: int = 2) -> jax.Array:
    """Four pixels become squares of four, the inverse; sides become multiples first."""
    h, w, c = x.shape
    x = jnp.pad(x, ((0, -h % multiple), (0, -w % multiple), (0, 0)), constant_values=0.0)
    h, w = x.shape[:2]
    parts = x.reshape(h // 2, 2, w // 2, 2, c)
    return jnp.transpose(parts, (0, 2, 1, 3, 4)).reshape(h // 2, w // 2, 4 * c)
