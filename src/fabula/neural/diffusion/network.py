"""The network of a diffusion: what noisy rows were without noise.

Numbers are scaled so that the network sees and tells numbers of unit variance whatever the noise
(Karras et al. 2022, eq. 7 and table 1, with σ_data = 1); categories are told as scores of codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from equinox import nn

from fabula.neural.diffusion.form import PixelNoise, TableNoise
from fabula.neural.diffusion.states import MASKED, Noisy, Prediction
from fabula.neural.forms.table_inputs import (
    fresh_tables,
    length_of,
    log_softmax_of_parts,
    vector_of_codes,
)
from fabula.neural.networks.perceptron import Perceptron
from fabula.neural.networks.u_net import UNet
from fabula.persistence.registry import storable

__all__ = ["DiffusionNetwork", "DiffusionNetworkModule", "NetworkDenoiser"]

_WAVES = 16
_LARGEST_LOG_LEVEL = 5.0


@storable("neural/diffusion_network")
@dataclass(frozen=True)
class DiffusionNetwork:
    """The shape of the network of a diffusion.

    Parameters
    ----------
    noise : TableNoise or PixelNoise
        What noise is added to.
    width, depth : int
        Of the residual blocks for rows of numbers and codes.
    n_classes : int
        C classes that it may be told; 0 for none.
    channels : tuple of int
        For images: channels at each resolution of a convolutional network, from the finest down;
        none makes the network one of rows.
    condition_width : int
        Length of the vector that tells the time and the class.
    dropout : float
    """

    noise: Any
    width: int = 384
    depth: int = 3
    n_classes: int = 0
    channels: tuple[int, ...] = ()
    condition_width: int = 128
    dropout: float = 0.0

    @property
    def own_levels(self) -> bool:
        """Whether every number has a noise of its own, so that known cells can be told."""
        return isinstance(self.noise, TableNoise)

    def build(self, key: jax.Array) -> DiffusionNetworkModule:
        """The network with fresh weights."""
        return DiffusionNetworkModule(self, key)


class DiffusionNetworkModule(eqx.Module):
    """The network of a `DiffusionNetwork`."""

    tables: tuple[jax.Array, ...]
    tell: nn.Linear
    body: Any
    shape: DiffusionNetwork = eqx.field(static=True)

    def __init__(self, shape: DiffusionNetwork, key: jax.Array):
        noise, c = shape.noise, shape.condition_width
        for_tell, for_body, for_tables = jax.random.split(key, 3)
        self.shape = shape
        groups = ((last - first, size) for size, first, last, _, _ in noise.layout)
        self.tables = fresh_tables(for_tables, groups)
        self.tell = nn.Linear(2 * _WAVES + shape.n_classes, c, key=for_tell)
        if shape.channels:
            channels = noise.form.shape[2]
            self.body = UNet(channels, channels, tuple(shape.channels), c).build(for_body)
            return
        n_in = noise.n_numbers * (2 if shape.own_levels else 1)
        for size, first, last, _, _ in noise.layout:
            n_in += (last - first) * length_of(size)
        n_out = noise.n_numbers + noise.n_scores
        self.body = Perceptron(
            n_in, n_out, shape.width, shape.depth, c, shape.dropout, zero_end=True
        ).build(for_body)

    def __call__(
        self,
        numbers: jax.Array,
        codes: jax.Array,
        levels: jax.Array,
        sigma: jax.Array,
        label: jax.Array | None = None,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """What one row was: numbers (P,), and scores of codes (S,).

        Parameters
        ----------
        numbers : (P,) array
        codes : (Q,) array
        levels : (P,) array
            Noise of each number; infinite where it says nothing.
        sigma : () array
            Noise of the row.
        label : (C,) array, optional
            Zeros where the class is not told.
        key : key, optional
            Means dropout.
        """
        hidden = jnp.isinf(levels)
        level = jnp.where(hidden, 1.0, levels)
        size = jnp.sqrt(jnp.square(level) + 1.0)
        seen = jnp.where(hidden, 0.0, numbers / size)
        condition = self._condition(sigma, label)
        if self.shape.channels:
            h, w, c = self.shape.noise.form.shape
            image = jnp.transpose(seen.reshape(h, w, c), (2, 0, 1))
            out = jnp.transpose(self.body(image, condition), (1, 2, 0)).ravel()
        else:
            parts = [seen]
            if self.shape.own_levels:
                log_level = jnp.where(hidden, _LARGEST_LOG_LEVEL, jnp.log(level))
                parts.append(0.25 * log_level)
            out = self.body(jnp.concatenate([*parts, *self._codes(codes)]), condition, key)
        told, scores = out[: len(numbers)], out[len(numbers) :]
        straight = jnp.where(hidden, 0.0, numbers / jnp.square(size))
        return straight + jnp.where(hidden, 1.0, level / size) * told, scores

    def _condition(self, sigma: jax.Array, label: jax.Array | None) -> jax.Array:
        waves = np.exp(np.linspace(np.log(0.15), np.log(6.0), _WAVES))
        angles = jnp.log(sigma) * waves
        parts = [jnp.sin(angles), jnp.cos(angles)]
        if self.shape.n_classes:
            parts.append(jnp.zeros(self.shape.n_classes) if label is None else 2.0 * label)
        return jax.nn.silu(self.tell(jnp.concatenate(parts)))

    def _codes(self, codes: jax.Array) -> list[jax.Array]:
        tables = iter(self.tables)
        return [
            vector_of_codes(codes[first:last], size, tables)
            for size, first, last, _, _ in self.shape.noise.layout
        ]


class NetworkDenoiser(eqx.Module):
    """A network as a `Denoiser` of many rows.

    Parameters
    ----------
    network : DiffusionNetworkModule
    labels : (n, C) array, optional
        Classes that are told.
    hidden_numbers, hidden_codes : (n, P), (n, Q) arrays of bool, optional
        Cells that the network is not shown: they are not there, or not to be told of.
    guidance : float
        w > 1 moves away from what the network says without being told (Ho and Salimans 2022):
        of the class, and of the cells ``without``.
    without : pair of arrays of bool, optional
        Known cells that the second opinion is not told.
    """

    network: DiffusionNetworkModule
    labels: jax.Array | None = None
    hidden_numbers: jax.Array | None = None
    hidden_codes: jax.Array | None = None
    guidance: jax.Array | None = None
    without: tuple[jax.Array, jax.Array] | None = None

    def __call__(self, rows: Noisy, sigma: jax.Array) -> Prediction:
        """The prediction for rows whose unknown numbers have the noise ``sigma`` (n,)."""
        numbers, codes, levels = rows
        if self.hidden_numbers is not None:
            levels = jnp.where(self.hidden_numbers, jnp.inf, levels)
        if self.hidden_codes is not None:
            codes = jnp.where(self.hidden_codes, MASKED, codes)
        said = self._say(Noisy(numbers, codes, levels), sigma, self.labels)
        if self.guidance is None:
            return said
        if self.without is not None:
            levels = jnp.where(self.without[0], jnp.inf, levels)
            codes = jnp.where(self.without[1], MASKED, codes)
        plain = self._say(Noisy(numbers, codes, levels), sigma, None)
        moved = plain.numbers + self.guidance * (said.numbers - plain.numbers)
        scores = plain.scores + self.guidance * (said.scores - plain.scores)
        return Prediction(moved, self._normalised(scores))

    def _say(self, rows: Noisy, sigma: jax.Array, labels: jax.Array | None) -> Prediction:
        if self.network.shape.n_classes and labels is None:
            labels = jnp.zeros((len(sigma), self.network.shape.n_classes))
        axes = (0, 0, 0, 0, None if labels is None else 0)
        numbers, scores = jax.vmap(self.network, in_axes=axes)(*rows, sigma, labels)
        return Prediction(numbers, self._normalised(scores))

    def _normalised(self, scores: jax.Array) -> jax.Array:
        noise = self.network.shape.noise
        return scores if isinstance(noise, PixelNoise) else log_softmax_of_parts(noise.form, scores)
