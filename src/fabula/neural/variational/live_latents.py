"""Latents that carry something, and networks without the others.

An autoencoder with more latents than it needs leaves some at their prior: their posterior is the
same for every row, and the decoder does not listen to them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from fabula.core.arrays import Codes, FloatArray
from fabula.neural.networks.base import Network
from fabula.neural.variational.autoencoder import AutoencoderModule

__all__ = ["live_latents", "with_latents"]

# Standard deviation of posterior means below which a latent is the same for every row (Burda et
# al. 2016 take a variance of .01).
_STILL = 0.1


def live_latents(means: FloatArray) -> Codes:
    """Which latents differ from row to row, given posterior means (n, Z); the liveliest at least.

    >>> live_latents(np.array([[1.0, 0.01], [-1.0, -0.01]])).tolist()
    [0]
    """
    spread = np.asarray(means).std(axis=0)
    found = np.flatnonzero(spread > _STILL)
    return found if len(found) else np.array([int(spread.argmax())])


def with_latents(network: Network, kept: Any, usual: FloatArray) -> Network:
    """An autoencoder of some of its latents; the others are held at usual values (Z,)."""
    module: AutoencoderModule = network.build()
    z = network.architecture.n_latent
    kept = np.asarray(kept)
    gone = np.setdiff1d(np.arange(z), kept)

    encoder = module.encoder.leave
    both = np.concatenate([kept, z + kept])
    module = eqx.tree_at(
        lambda m: (m.encoder.leave.weight, m.encoder.leave.bias),
        module,
        (encoder.weight[both], encoder.bias[both]),
    )

    def entrance(m: Any) -> Any:
        return m.decoder.layers[0] if network.architecture.widths else m.decoder.leave

    layer = entrance(module)
    held = layer.weight[:, gone] @ jnp.asarray(usual, dtype=layer.weight.dtype)[gone]
    module = eqx.tree_at(
        lambda m: (entrance(m).weight, entrance(m).bias),
        module,
        (jnp.delete(layer.weight, gone, axis=1), layer.bias + held),
    )
    prior = {
        name: array[:, kept] if name in ("means", "log_widths") else array
        for name, array in module.prior.items()
    }
    module = eqx.tree_at(lambda m: m.prior, module, prior)
    return Network.of(replace(network.architecture, n_latent=len(kept)), module)
