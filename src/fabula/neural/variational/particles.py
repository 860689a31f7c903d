"""Weighted draws of the latents of an autoencoder, and its other maps, compiled.

Each function is compiled once for each shape of its arrays; rows are padded to powers of two, so
that these are few.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.arrays import FloatArray
from fabula.neural.variational.autoencoder import AutoencoderModule, log_normal
from fabula.neural.variational.learning import prepare

__all__ = [
    "cell_log_probs",
    "classified",
    "decoded",
    "draw_particles",
    "drawn_rows",
    "log_components",
    "log_prior",
    "moments",
    "outputs_of",
    "prior_components",
    "shares_of",
]

# Where cells are missing, what the encoder says is only where the search begins.
_DEFENCE, _PILOTS, _ROUNDS, _ENOUGH = 0.1, 64, 3, 8.0


def _row_of(module: AutoencoderModule, arrays: Any) -> Any:
    """Rows without their keys, and with shares of pixels; grey ones are made black or white."""
    rows = {name: array for name, array in arrays.items() if name != "key"}
    key = arrays["key"]
    if "pixels" not in rows:
        return rows
    return jax.vmap(lambda row, k: prepare(module.shape.law, row, jax.random.key(k + 1)))(rows, key)


@eqx.filter_jit
def draw_particles(
    module: AutoencoderModule,
    arrays: Any,
    log_shares: Any,
    n_draws: int,
    label: Any,
    turn: Any,
    adapt: bool,
) -> tuple[Any, Any, Any]:
    """Latents (n, K, Z), classes and log weights (n, K); of one class where there is a label."""
    c = module.shape.n_classes

    def of_row(row: Any, key: Any) -> tuple[Any, Any, Any]:
        key = jax.random.fold_in(jax.random.key(key), turn)
        for_class, for_latent, for_proposal = jax.random.split(key, 3)
        labels, log_ratio = jnp.zeros(n_draws, jnp.int32), jnp.zeros(n_draws)
        if c and label is not None:
            labels = jnp.full(n_draws, label, jnp.int32)
            log_ratio = jnp.broadcast_to(log_shares[label], (n_draws,))
        elif c:
            log_q = module.classify(module.features(row))
            # Every class gets its turn: one that the classifier rules out may yet be the truth.
            log_q = jnp.logaddexp(log_q + jnp.log(0.95), jnp.log(0.05 / c))
            labels = jax.random.categorical(for_class, log_q, shape=(n_draws,))
            log_ratio = (log_shares - log_q)[labels]
        every = jnp.arange(max(c, 1))
        encoded = jax.vmap(lambda y: _encoded(module, row, y))(every)
        if adapt:
            means, log_widths = jax.vmap(
                lambda y, mean, width: _adapted(module, row, y, mean, width, for_proposal)
            )(every, *encoded)
        else:
            means, log_widths = encoded
        draw = partial(_weighted_draw, module, row, defence=_DEFENCE if adapt else 0.0)
        latents, weights = jax.vmap(draw)(
            labels, means[labels], log_widths[labels], jax.random.split(for_latent, n_draws)
        )
        return latents, labels, weights + log_ratio

    return jax.vmap(of_row)(_row_of(module, arrays), arrays["key"])


def _encoded(module: AutoencoderModule, row: Any, label: Any) -> tuple[Any, Any]:
    return module.encode(module.features(row), _one_hot(module, label))


def _one_hot(module: AutoencoderModule, label: Any) -> Any:
    c = module.shape.n_classes
    return jax.nn.one_hot(label, c) if c else None


def _weighted_draw(
    module: AutoencoderModule,
    row: Any,
    label: Any,
    mean: Any,
    log_width: Any,
    key: Any,
    *,
    defence: float,
) -> tuple[Any, Any]:
    """A latent, and the log of p(row, latent) / q(latent).

    q is a normal, but a share of ``defence`` comes from the prior, so that no weight is large
    where the normal is narrow (Hesterberg 1995).
    """
    for_noise, for_whence, for_component = jax.random.split(key, 3)
    noise = jax.random.normal(for_noise, mean.shape)
    z = mean + jnp.exp(log_width) * noise
    if defence:
        log_weights, means, log_widths = module.components()
        k = jax.random.categorical(for_component, log_weights)
        from_prior = jax.random.uniform(for_whence) < defence
        z = jnp.where(from_prior, means[k] + jnp.exp(log_widths[k]) * noise, z)
    log_p, log_q = module.log_prior(z), log_normal(z, mean, log_width)
    if defence:
        log_q = jnp.logaddexp(jnp.log1p(-defence) + log_q, jnp.log(defence) + log_p)
    outputs = module.decode(z, _one_hot(module, label), module.told(row))
    return z, module.shape.law.log_prob(outputs, module.shown(row)) + log_p - log_q


def _adapted(
    module: AutoencoderModule, row: Any, label: Any, mean: Any, log_width: Any, key: Any
) -> tuple[Any, Any]:
    """A normal nearer to the posterior: moments of weighted draws, again and again.

    The draws behind it are others than those that are weighted in the end, so that the mean of
    these weights stays unbiased (Cappé et al. 2004, population Monte Carlo).
    """
    draw = partial(_weighted_draw, module, row, label, defence=0.5)

    def improve(now: tuple[Any, Any], key: Any) -> tuple[tuple[Any, Any], None]:
        z, logs = jax.vmap(draw, in_axes=(None, None, 0))(*now, jax.random.split(key, _PILOTS))
        # Tempered: a few large weights shall not make a point of the next normal.
        for temper in (1.0, 0.5, 0.25):
            weights = jax.nn.softmax(temper * logs)
            effective = 1.0 / jnp.square(weights).sum()
            if temper == 1.0:
                best, most = weights, effective
            else:
                best = jnp.where(most < _ENOUGH, weights, best)
                most = jnp.where(most < _ENOUGH, effective, most)
        centre = best @ z
        squares = best @ jnp.square(z - centre)
        before = jnp.exp(2 * now[1])
        spread = (most * squares + 4.0 * before) / (most + 4.0)
        new = (most * centre + now[0]) / (most + 1.0), 0.5 * jnp.log(spread)
        return new, None

    return jax.lax.scan(improve, (mean, log_width), jax.random.split(key, _ROUNDS))[0]


@eqx.filter_jit
def outputs_of(module: AutoencoderModule, latents: Any, classes: Any, arrays: Any) -> Any:
    """Outputs (n, K, ·) of latents (n, K, Z) and classes (n, K)."""
    c = module.shape.n_classes

    def of_row(row: Any, z: Any, labels: Any) -> Any:
        told = module.told(row)
        return jax.vmap(
            lambda one, y: module.decode(one, jax.nn.one_hot(y, c) if c else None, told)
        )(z, labels)

    return jax.vmap(of_row)(_row_of(module, arrays), latents, classes)


@eqx.filter_jit
def cell_log_probs(module: AutoencoderModule, outputs: Any, arrays: Any) -> Any:
    """Log density (n, K) of the cells that rows have, under outputs (n, K, ·)."""
    law = module.shape.law

    def of_row(row: Any, each: Any) -> Any:
        return jax.vmap(lambda one: law.log_prob(one, module.shown(row)))(each)

    return jax.vmap(of_row)(_row_of(module, arrays), outputs)


@eqx.filter_jit
def decoded(module: AutoencoderModule, latents: Any, classes: Any, arrays: Any) -> Any:
    """Outputs (n, ·) of latents (n, Z) and classes (n,)."""
    c = module.shape.n_classes

    def of_row(row: Any, z: Any, y: Any) -> Any:
        return module.decode(z, jax.nn.one_hot(y, c) if c else None, module.told(row))

    return jax.vmap(of_row)(_row_of(module, arrays), latents, classes)


@eqx.filter_jit
def drawn_rows(module: AutoencoderModule, latents: Any, classes: Any, arrays: Any, key: Any) -> Any:
    """Arrays of rows drawn from the law, given latents (n, Z) and classes (n,)."""
    return module.shape.law.draw(decoded(module, latents, classes, arrays), key)


@eqx.filter_jit
def moments(module: AutoencoderModule, arrays: Any) -> Any:
    """Means and log widths (n, Z) of the encoder's normals."""
    c = module.shape.n_classes

    def of_row(row: Any) -> Any:
        features = module.features(row)
        return module.encode(features, jnp.exp(module.classify(features)) if c else None)

    return jax.vmap(of_row)(_row_of(module, arrays))


@eqx.filter_jit
def classified(module: AutoencoderModule, arrays: Any) -> Any:
    """Log probabilities (n, C) of the classes."""
    return jax.vmap(lambda row: module.classify(module.features(row)))(_row_of(module, arrays))


@eqx.filter_jit
def log_components(module: AutoencoderModule, latents: Any) -> Any:
    """Log p(component, z) of latents (…, Z), (…, K)."""
    return module.log_components(latents)


@eqx.filter_jit
def log_prior(module: AutoencoderModule, latents: Any) -> Any:
    """Log density of latents (…, Z) under the prior of the network."""
    return module.log_prior(latents)


@eqx.filter_jit
def prior_components(module: AutoencoderModule) -> Any:
    """Log weights (K,), means and log widths (K, Z) of the prior."""
    return module.components()


def shares_of(log_weights: Any) -> FloatArray:
    """Weights (n, K) that sum to 1 in each row."""
    logs = np.asarray(log_weights, dtype=np.float64)
    logs = logs - logs.max(axis=1, keepdims=True)
    weights = np.exp(logs)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
