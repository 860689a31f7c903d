"""What a variational autoencoder minimises: bounds on the log density of rows and their classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fabula.neural.networks.base import join, skeleton, split
from fabula.neural.training.descent import Descent
from fabula.neural.variational.autoencoder import Autoencoder, AutoencoderModule, Row, log_normal
from fabula.neural.variational.laws import PixelLaw

__all__ = ["Bound", "learner"]


@dataclass(frozen=True)
class Bound:
    """Which bound, and how it is weighed.

    Parameters
    ----------
    beta : float
        Weight of the divergence from the prior (Higgins et al. 2017); 1 is the bound itself.
    n_draws : int
        Latents drawn for each row; with more than one, the importance-weighted bound (Burda et
        al. 2016), for which ``beta`` must be 1.
    hidden : float
        Share of the rows of which a random part is hidden, from the encoder and from the
        likelihood: so the encoder learns of rows with cells missing.
    classifier_weight : float
        Of the cross-entropy of the classifier, beside the bound (Kingma et al. 2014, eq. 9).
    log_shares : (C,) array or None
        Log prior probabilities of the classes.
    """

    beta: float = 1.0
    n_draws: int = 1
    hidden: float = 0.0
    classifier_weight: float = 0.1
    log_shares: np.ndarray | None = None

    # One row -------------------------------------------------------------------------------------

    def loss(
        self, module: AutoencoderModule, row: Row, classes: jax.Array | None, noise: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Minus the bound of log p(row | classes), and the divergence that is part of it.

        ``noise`` (n_draws, Z) is standard normal.
        """
        law, told = module.shape.law, module.told(row)
        mean, log_width = module.encode(module.features(row), classes)
        z = mean + jnp.exp(log_width) * noise
        outputs = jax.vmap(lambda one: module.decode(one, classes, told))(z)
        told_row = jax.vmap(lambda o: law.log_prob(o, module.shown(row)))(outputs)
        if module.shape.prior == "normal" and self.n_draws == 1:
            squares = jnp.square(mean) + jnp.exp(2 * log_width) - 1
            divergence = (0.5 * squares - log_width).sum()
            return self.beta * divergence - told_row[0], divergence
        each = log_normal(z, mean, log_width) - module.log_prior(z)
        if self.n_draws == 1:
            return self.beta * each[0] - told_row[0], each[0]
        weights = told_row - each
        return jnp.log(float(self.n_draws)) - jax.nn.logsumexp(weights), each.mean()

    def loss_with_class(
        self, module: AutoencoderModule, row: Row, label: jax.Array, noise: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Of log p(row, label), and the divergence."""
        assert self.log_shares is not None
        classes = jax.nn.one_hot(label, len(self.log_shares))
        loss, divergence = self.loss(module, row, classes, noise)
        return loss - jnp.asarray(self.log_shares, dtype=loss.dtype)[label], divergence

    def loss_without_class(
        self, module: AutoencoderModule, row: Row, noise: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Of log p(row), the class summed out (Kingma et al. 2014, eq. 7)."""
        assert self.log_shares is not None
        labels = jnp.arange(len(self.log_shares))
        losses, divergences = jax.vmap(
            lambda label: self.loss_with_class(module, row, label, noise)
        )(labels)
        log_probabilities = module.classify(module.features(row))
        probabilities = jnp.exp(log_probabilities)
        loss = (probabilities * (losses + log_probabilities)).sum()
        return loss, (probabilities * divergences).sum()

    def hide(self, seen: jax.Array, key: jax.Array) -> jax.Array:
        """Which cells (n, d) are shown: of a share of the rows, a random part is not."""
        n, d = seen.shape
        chance = jax.random.uniform(key, (n, d + 2))
        rate = jnp.where(chance[:, :1] < self.hidden, chance[:, 1:2], 0.0)
        return seen & (chance[:, 2:] >= rate)


def prepare(law: Any, batch: Mapping[str, jax.Array], key: jax.Array | None) -> dict[str, Any]:
    """Batches as laws and encoders look at them: images with shares, blurred numbers drawn."""
    if isinstance(law, PixelLaw):
        return {**batch, "shares": law.shares(batch, key)}
    rows = dict(batch)
    if "blur" in rows:
        assert key is not None
        blur = rows.pop("blur")
        rows["numbers"] = rows["numbers"] + blur * jax.random.normal(key, blur.shape)
    return rows


def learner(
    shape: Autoencoder,
    bound: Bound,
    first: Mapping[str, Any],
    *,
    learning_rate: float,
    weight_decay: float,
    averaging: float = 0.999,
    labelled: Mapping[str, Any] | None = None,
    n_rows: int = 0,
) -> tuple[Descent, Any]:
    """What the training loop takes, and the parts of the module that are not weights.

    Parameters
    ----------
    shape : Autoencoder
    bound : Bound
    first : mapping of arrays
        Rows, all of which the decoder's first answers look like.
    labelled : mapping of arrays, optional
        Rows with their "labels" (m,), where the other rows have none: some of them are added to
        every minibatch. Without it, every row of a minibatch has a label, or there are no classes.
    n_rows : int
        Of all rows, labelled or not.
    """
    rest = skeleton(shape)[1]
    usual = shape.law.usual_outputs({name: jnp.asarray(a) for name, a in first.items()})
    if labelled is not None:
        labelled = {name: jnp.asarray(a) for name, a in labelled.items()}

    @jax.jit  # all at once: layer by layer would be compiled layer by layer
    def start(key: jax.Array) -> Any:
        weights = split(shape.build(key))[0]
        bias = weights.decoder.leave.bias + usual
        return eqx.tree_at(lambda w: w.decoder.leave.bias, weights, bias)

    def loss(weights: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        module: AutoencoderModule = join(weights, rest)
        if labelled is None:
            return _loss_of(module, bound, batch, key)
        first, second, third = jax.random.split(key, 3)
        losses, others = _loss_of(module, bound, batch, first)
        n = len(labelled["labels"])
        size = min(n, max(len(losses) // 4, 1))
        chosen = jax.random.choice(second, n, (size,), replace=False)
        beside = jax.tree.map(lambda a: jnp.asarray(a)[chosen], dict(labelled))
        extra, more = _loss_of(module, bound, beside, third)
        # The bound of the rows with labels counts as many rows as they are (where it counted more,
        # classes became what tells these few rows apart); their classifier counts as all.
        share = n / max(n_rows, n)
        added = share * (extra - bound.classifier_weight * more["classifier"]).mean()
        added = added + bound.classifier_weight * more["classifier"]
        return losses + added, {**others, "classifier": more["classifier"]}

    descent = Descent(
        start,
        loss,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        averaging=averaging,
        validation_loss=lambda weights, batch, key: _loss_of(
            join(weights, rest), bound, batch, key
        )[0],
    )
    return descent, rest


def _loss_of(
    module: AutoencoderModule, bound: Bound, batch: Any, key: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Losses (n,) of a minibatch in which all rows have labels or none has."""
    for_pixels, for_hiding, for_latents = jax.random.split(key, 3)
    batch = prepare(module.shape.law, batch, for_pixels)
    labels = batch.pop("labels", None)
    if bound.hidden:
        batch["seen"] = bound.hide(batch["seen"], for_hiding)
    size = len(batch["seen"]), bound.n_draws, module.shape.n_latent
    noise = jax.random.normal(for_latents, size)
    if labels is not None:
        losses, divergences = jax.vmap(lambda row, y, e: bound.loss_with_class(module, row, y, e))(
            batch, labels, noise
        )
        told = jax.vmap(lambda row, y: -module.classify(module.features(row))[y])(batch, labels)
        losses = losses + bound.classifier_weight * told
        return losses, {"divergence": divergences.mean(), "classifier": told.mean()}
    if module.shape.n_classes:
        losses, divergences = jax.vmap(lambda row, e: bound.loss_without_class(module, row, e))(
            batch, noise
        )
    else:
        losses, divergences = jax.vmap(lambda row, e: bound.loss(module, row, None, e))(
            batch, noise
        )
    return losses, {"divergence": divergences.mean()}
