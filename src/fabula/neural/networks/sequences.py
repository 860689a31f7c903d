"""Networks that read symbols one after another, and say what may follow.

Each reads in two ways, with the same answers: whole rows at once, to learn and to score; and one
symbol more, with what is kept of those before it, to draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import nn

from fabula.neural.networks.recurrence import gated_scan, gated_step
from fabula.persistence.registry import storable

__all__ = ["CausalTransformer", "GatedRecurrent"]

_LARGEST_WAVE = 10_000.0
# Spread of the entries of symbols; of weights, times the root of how many come in; and how much
# less the ends of a skip weigh.
_EMBEDDED = 0.5
_SPREAD = 0.6
_CALM = 0.5


class _Reader(eqx.Module):
    """What both networks share: symbols in, scores of what may follow out."""

    symbols: nn.Embedding
    condition: nn.Linear | None
    layers: tuple[Any, ...]
    norm: nn.LayerNorm
    leave: nn.Linear
    dropout: nn.Dropout

    def __call__(
        self,
        codes: jax.Array,
        condition: jax.Array | None = None,
        fresh: jax.Array | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Scores (…, T, V) of what follows each place of one row (T,) or of many (n, T).

        Parameters
        ----------
        codes : (T,) or (n, T) array
        condition : (c,), (n, c) or (n, T, c) array, optional
        fresh : (n, T) array of bool, optional
            Where a row begins anew, so that nothing before is seen.
        key : key, optional
            Means dropout.
        """
        if codes.ndim == 1:
            told = None if condition is None else condition[None]
            return self(codes[None], told, None if fresh is None else fresh[None], key)[0]
        h = self._enter(codes, condition)
        keys = [None] * (2 * len(self.layers) + 1)
        if key is not None:
            keys = list(jax.random.split(key, len(keys)))
        h = self._drop(h, keys[0])
        for layer, inside, mine in zip(self.layers, keys[1::2], keys[2::2], strict=True):
            h = h + self._drop(layer(h, fresh, inside), mine)
        return self._leave(h)

    def begin(self, n: int, length: int) -> tuple[Any, ...]:
        """What is kept of ``n`` rows before their first symbol; they may grow to ``length``."""
        return tuple(layer.begin(n, length) for layer in self.layers)

    def advance(
        self, kept: tuple[Any, ...], place: jax.Array, codes: jax.Array, condition: jax.Array | None
    ) -> tuple[tuple[Any, ...], jax.Array]:
        """What is kept after one more symbol (n,) at a place from 0, and scores (n, V)."""
        h = self._enter(codes, condition)
        after = []
        for layer, state in zip(self.layers, kept, strict=True):
            state, more = layer.advance(state, place, h)
            after.append(state)
            h = h + more
        return tuple(after), self._leave(h)

    def _enter(self, codes: jax.Array, condition: jax.Array | None) -> jax.Array:
        h = self.symbols.weight[codes]
        if self.condition is not None and condition is not None:
            told = _linear(self.condition, condition)
            h = h + (told[:, None] if told.ndim < h.ndim else told)
        return h

    def _leave(self, h: jax.Array) -> jax.Array:
        return _linear(self.leave, _normed(self.norm, h))

    def _drop(self, h: jax.Array, key: jax.Array | None) -> jax.Array:
        return self.dropout(h, key=key, inference=key is None)


class _Attention(eqx.Module):
    """Attention to what came before (Vaswani et al. 2017), then a perceptron."""

    attention_norm: nn.LayerNorm
    look: nn.Linear
    gather: nn.Linear
    norm: nn.LayerNorm
    widen: nn.Linear
    narrow: nn.Linear
    n_heads: int = eqx.field(static=True)

    def __init__(self, width: int, n_heads: int, key: jax.Array):
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.look = nn.Linear(width, 3 * width, use_bias=False, key=key)
        self.gather = nn.Linear(width, width, key=key)
        self.widen = nn.Linear(width, 4 * width, key=key)
        self.narrow = nn.Linear(4 * width, width, key=key)
        self.n_heads = n_heads

    def __call__(
        self, x: jax.Array, fresh: jax.Array | None, key: jax.Array | None = None
    ) -> jax.Array:
        """What the layer adds to each place of (n, T, width)."""
        n, length = x.shape[:2]
        q, k, v = self._look(x, jnp.arange(length))
        seen = jnp.tril(jnp.ones((length, length), dtype=bool))[None, None]
        if fresh is not None:
            part = jnp.cumsum(fresh, axis=1)
            seen = seen & (part[:, None, :, None] == part[:, None, None, :])
        weights = jnp.einsum("nthd,nshd->nhts", q, k) / jnp.sqrt(float(q.shape[-1]))
        weights = jax.nn.softmax(jnp.where(seen, weights, -jnp.inf), axis=-1)
        found = jnp.einsum("nhts,nshd->nthd", weights, v).reshape(n, length, -1)
        return self._think(x, found)

    def begin(self, n: int, length: int) -> tuple[jax.Array, jax.Array]:
        """Room for keys and values."""
        width = self.gather.weight.shape[0]
        room = jnp.zeros((n, length, self.n_heads, width // self.n_heads))
        return room, room

    def advance(
        self, kept: tuple[jax.Array, jax.Array], place: jax.Array, x: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        """The same for one more place of (n, width)."""
        q, k, v = self._look(x[:, None], place[None])
        keys = jax.lax.dynamic_update_slice_in_dim(kept[0], k, place, axis=1)
        values = jax.lax.dynamic_update_slice_in_dim(kept[1], v, place, axis=1)
        weights = jnp.einsum("nhd,nshd->nhs", q[:, 0], keys) / jnp.sqrt(float(q.shape[-1]))
        seen = jnp.arange(keys.shape[1]) <= place
        weights = jax.nn.softmax(jnp.where(seen, weights, -jnp.inf), axis=-1)
        found = jnp.einsum("nhs,nshd->nhd", weights, values).reshape(len(x), -1)
        return (keys, values), self._think(x, found)

    def _look(self, x: jax.Array, places: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Queries, keys and values (n, T, heads, d), the first two turned by their places."""
        looked = _linear(self.look, _normed(self.attention_norm, x))
        q, k, v = jnp.split(looked.reshape(*x.shape[:2], self.n_heads, -1), 3, axis=-1)
        return _turned(q, places), _turned(k, places), v

    def _think(self, x: jax.Array, found: jax.Array) -> jax.Array:
        gathered = _linear(self.gather, found)
        h = _normed(self.norm, x + gathered)
        return gathered + _linear(self.narrow, jax.nn.gelu(_linear(self.widen, h)))


@storable("neural/causal_transformer")
@dataclass(frozen=True)
class CausalTransformer:
    """Each place sees those before it and itself (Vaswani et al. 2017).

    How far apart two places are is told by rotations (Su et al. 2021).

    Parameters
    ----------
    n_symbols : int
        Symbols that may come in; as many scores come out.
    width, depth, n_heads : int
    n_condition : int
        Length of a condition that is told at every place; 0 for none.
    dropout : float
    """

    n_symbols: int
    width: int = 128
    depth: int = 4
    n_heads: int = 4
    n_condition: int = 0
    dropout: float = 0.0

    def build(self, key: jax.Array) -> Any:
        """The network: ``network(codes (T,), condition) -> (T, n_symbols)`` scores of what next."""
        return _reader(self, lambda k: _Attention(self.width, self.n_heads, k), key)


class _Gated(eqx.Module):
    """One layer of gated recurrent units (Cho et al. 2014)."""

    cell: nn.GRUCell
    dropout: nn.Dropout

    def __call__(
        self, x: jax.Array, fresh: jax.Array | None, key: jax.Array | None = None
    ) -> jax.Array:
        """What is remembered at each place of (n, T, width).

        A key means that weights between the states are left out, the same at all places (Merity et
        al. 2018): to leave out the states themselves would make the network forget.
        """
        cell: Any = self.cell
        entering = jnp.swapaxes(x @ cell.weight_ih.T + cell.bias, 0, 1)
        keep = None if fresh is None else 1.0 - fresh.T[..., None].astype(x.dtype)
        weight = self.dropout(cell.weight_hh.T, key=key, inference=key is None)
        remembered = gated_scan(entering, keep, weight, cell.bias_n)
        return jnp.swapaxes(remembered, 0, 1)

    def begin(self, n: int, length: int) -> jax.Array:
        """Nothing is remembered."""
        return jnp.zeros((n, self.cell.hidden_size))

    def advance(
        self, state: jax.Array, place: jax.Array, x: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The same after one more place of (n, width)."""
        cell: Any = self.cell
        entering = x @ cell.weight_ih.T + cell.bias
        state = gated_step(state, entering, cell.weight_hh.T, cell.bias_n)
        return state, state


@storable("neural/gated_recurrent")
@dataclass(frozen=True)
class GatedRecurrent:
    """Gated recurrent units (Cho et al. 2014) with skips: little memory, any length.

    Parameters
    ----------
    n_symbols : int
        Symbols that may come in; as many scores come out.
    width, depth : int
    n_condition : int
        Length of a condition that is told at every place; 0 for none.
    dropout : float
    """

    n_symbols: int
    width: int = 256
    depth: int = 2
    n_condition: int = 0
    dropout: float = 0.0

    def build(self, key: jax.Array) -> Any:
        """The network: ``network(codes (T,), condition) -> (T, n_symbols)`` scores of what next."""

        def layer(key: jax.Array) -> _Gated:
            return _Gated(nn.GRUCell(self.width, self.width, key=key), nn.Dropout(self.dropout))

        return _reader(self, layer, key)


def _reader(architecture: Any, layer: Callable[[jax.Array], Any], key: jax.Array) -> Any:
    """A reader with fresh weights."""
    width, n_condition = architecture.width, architecture.n_condition

    def shape(key: jax.Array) -> _Reader:
        return _Reader(
            nn.Embedding(architecture.n_symbols, width, key=key),
            nn.Linear(n_condition, width, key=key) if n_condition else None,
            tuple(layer(key) for _ in range(architecture.depth)),
            nn.LayerNorm(width),
            nn.Linear(width, architecture.n_symbols, key=key),
            nn.Dropout(architecture.dropout),
        )

    return _filled(eqx.filter_eval_shape(shape, key), key)


def _filled(module: Any, key: jax.Array) -> Any:
    """Weights in place of their shapes.

    All are cut from one draw: a generator for each would take longer to compile than the network.
    """
    shapes, rest = eqx.partition(module, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    named, structure = jax.tree_util.tree_flatten_with_path(shapes)
    sizes = [math.prod(leaf.shape) if leaf.ndim > 1 else 0 for _, leaf in named]
    drawn = jax.random.normal(key, (sum(sizes),))
    leaves, first = [], 0
    for (path, leaf), size in zip(named, sizes, strict=True):
        name = jax.tree_util.keystr(path)
        if size:
            spread = _EMBEDDED if "symbols" in name else _SPREAD * leaf.shape[-1] ** -0.5
            spread *= _CALM if "gather" in name or "narrow" in name else 1.0
            leaves.append(spread * drawn[first : first + size].reshape(leaf.shape))
        else:
            whole = "norm" in name and "bias" not in name
            leaves.append(jnp.full(leaf.shape, float(whole), dtype=leaf.dtype))
        first += size
    return eqx.combine(jax.tree_util.tree_unflatten(structure, leaves), rest)


def _linear(layer: Any, x: jax.Array) -> jax.Array:
    """A linear layer over the last axis: one product for all rows and places."""
    out: jax.Array = x @ layer.weight.T
    return out if layer.bias is None else out + layer.bias


def _normed(layer: Any, x: jax.Array) -> jax.Array:
    """A layer norm over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = jax.lax.rsqrt((centred * centred).mean(axis=-1, keepdims=True) + layer.eps)
    normed: jax.Array = centred * scale * layer.weight + layer.bias
    return normed


def _turned(x: jax.Array, places: jax.Array) -> jax.Array:
    """Pairs of entries of (n, T, heads, d) rotated by angles that grow with the place."""
    half = x.shape[-1] // 2
    waves = _LARGEST_WAVE ** (-jnp.arange(half) / half)
    angles = (places[:, None] * waves)[:, None, :]
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos, rest], axis=-1)
