"""The network of a variational autoencoder: prior, decoder, and what infers latents and classes.

Everything is written for one row; `jax.vmap` makes matrix products of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.errors import UsageError
from fabula.neural.forms.table_inputs import TableInputs
from fabula.neural.networks.base import scaled
from fabula.neural.networks.dense import Dense
from fabula.neural.variational.laws import PixelLaw, TableLaw
from fabula.persistence.registry import storable

__all__ = ["Autoencoder", "AutoencoderModule", "Prior", "log_normal"]

Prior = Literal["normal", "mixture", "vamp"]
PRIORS: tuple[Prior, ...] = ("normal", "mixture", "vamp")
Row = Mapping[str, jax.Array]

_LOG_WIDTHS = (-8.0, 3.0)


def log_normal(z: jax.Array, mean: Any, log_width: Any) -> jax.Array:
    """Log density of independent normals, summed over the last axis."""
    each = -0.5 * jnp.square((z - mean) * jnp.exp(-log_width)) - log_width
    return jnp.sum(each - 0.5 * math.log(2 * math.pi), axis=-1)


@storable("neural/autoencoder")
@dataclass(frozen=True)
class Autoencoder:
    """The shape of a variational autoencoder (Kingma and Welling 2014).

    Parameters
    ----------
    law : TableLaw or PixelLaw
        How a row looks, given the outputs of the decoder.
    n_latent : int
        Z, latent dimensions.
    widths : tuple of int
        Layers of the encoder; those of the decoder in reverse. None: linear maps.
    n_classes : int
        C classes that the decoder is told of (Kingma et al. 2014, M2); 0 for none.
    prior : {"normal", "mixture", "vamp"}
        Of the latents: one standard normal, several normals that are learned, or what the encoder
        makes of pseudo-rows that are learned (Tomczak and Welling 2018).
    n_components : int
        Of the last two.
    told : tuple of int
        Encoded columns that are given rather than modelled.
    """

    law: Any
    n_latent: int = 8
    widths: tuple[int, ...] = (256, 256)
    n_classes: int = 0
    prior: Prior = "normal"
    n_components: int = 1
    told: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.law, TableLaw | PixelLaw):
            raise UsageError("The law of an autoencoder is one of tables or of pixels.")
        if self.prior not in PRIORS:
            raise UsageError(f"prior must be one of {', '.join(PRIORS)}, not {self.prior!r}.")
        if self.n_latent < 1 or self.n_components < 1:
            raise UsageError("n_latent and n_components must be at least 1.")

    @property
    def n_features(self) -> int:
        """Length of the vector that the encoder sees of a row."""
        if isinstance(self.law, PixelLaw):
            return self.law.form.n_pixels
        return TableInputs(self.law.form).n_out

    def build(self, key: jax.Array) -> AutoencoderModule:
        """The networks with fresh weights."""
        return AutoencoderModule(self, key)


class AutoencoderModule(eqx.Module):
    """The networks of an `Autoencoder`."""

    inputs: Any
    encoder: Any
    decoder: Any
    classifier: Any
    prior: dict[str, jax.Array]
    shape: Autoencoder = eqx.field(static=True)

    def __init__(self, shape: Autoencoder, key: jax.Array):
        keys = jax.random.split(key, 6)
        n, z, c, k = shape.n_features, shape.n_latent, shape.n_classes, shape.n_components
        table = isinstance(shape.law, TableLaw)
        self.shape = shape
        self.inputs = TableInputs(shape.law.form).build(keys[0]) if table else None
        told = n if shape.told else 0
        self.encoder = Dense(n, 2 * z, shape.widths, c, end=0.3).build(keys[1])
        self.decoder = Dense(z, shape.law.n_outputs, shape.widths[::-1], c + told).build(keys[2])
        if c and shape.widths:
            self.decoder = eqx.tree_at(
                lambda d: d.leave, self.decoder, scaled(self.decoder.leave, 0.3)
            )
        self.classifier = Dense(n, c, shape.widths, end=0.1).build(keys[3]) if c else None
        self.prior = {}
        if shape.prior == "mixture":
            self.prior = {
                "weights": jnp.zeros(k),
                "means": jax.random.normal(keys[4], (k, z)),
                "log_widths": jnp.full((k, z), -0.5),
            }
        elif shape.prior == "vamp":
            self.prior = {
                "weights": jnp.zeros(k),
                "rows": 0.3 * jax.random.normal(keys[5], (k, n)),
            }

    # What is seen ------------------------------------------------------------------------------

    def features(self, row: Row) -> jax.Array:
        """What the encoder sees of a row, (F,)."""
        if self.inputs is None:
            return jnp.where(row["seen"], row["shares"], 0.0)
        return self.inputs(row)  # type: ignore[no-any-return]

    def told(self, row: Row) -> jax.Array | None:
        """What is given of a row, (F,)."""
        if not self.shape.told:
            return None
        given = np.zeros(row["seen"].shape[-1], dtype=bool)
        given[list(self.shape.told)] = True
        return self.features({**row, "seen": row["seen"] & given})

    def shown(self, row: Row) -> Row:
        """The row without what is given: all that has a density."""
        if not self.shape.told:
            return row
        modelled = np.ones(row["seen"].shape[-1], dtype=bool)
        modelled[list(self.shape.told)] = False
        return {**row, "seen": row["seen"] & modelled}

    # Inference -------------------------------------------------------------------------------

    def encode(self, features: jax.Array, classes: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """Mean and log width (Z,) of the latents, given shares (C,) of the classes."""
        out = self.encoder(features, classes)
        mean, log_width = jnp.split(out, 2)
        return mean, jnp.clip(log_width, *_LOG_WIDTHS)

    def classify(self, features: jax.Array) -> jax.Array:
        """Log probabilities (C,) of the classes."""
        return jax.nn.log_softmax(self.classifier(features))

    # Generation ------------------------------------------------------------------------------

    def decode(
        self, z: jax.Array, classes: jax.Array | None = None, told: jax.Array | None = None
    ) -> jax.Array:
        """Outputs (n_outputs,) that the law turns into rows."""
        parts = [part for part in (classes, told) if part is not None]
        return self.decoder(z, jnp.concatenate(parts) if parts else None)  # type: ignore[no-any-return]

    def components(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Log weights (K,), means and log widths (K, Z) of the prior."""
        z = self.shape.n_latent
        if self.shape.prior == "normal":
            return jnp.zeros(1), jnp.zeros((1, z)), jnp.zeros((1, z))
        log_weights = jax.nn.log_softmax(self.prior["weights"])
        if self.shape.prior == "mixture":
            return log_weights, self.prior["means"], self.prior["log_widths"]
        c = self.shape.n_classes
        even = jnp.full(c, 1.0 / c) if c else None
        means, log_widths = jax.vmap(lambda row: self.encode(row, even))(self.prior["rows"])
        return log_weights, means, log_widths

    def log_components(self, z: jax.Array) -> jax.Array:
        """Log p(component, z) of latents (…, Z), (…, K)."""
        log_weights, means, log_widths = self.components()
        return log_weights + log_normal(z[..., None, :], means, log_widths)

    def log_prior(self, z: jax.Array) -> jax.Array:
        """Log density of latents (…, Z)."""
        if self.shape.prior == "normal":
            return log_normal(z, 0.0, jnp.zeros(()))
        return jax.nn.logsumexp(self.log_components(z), axis=-1)
