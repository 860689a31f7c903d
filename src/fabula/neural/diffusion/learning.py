"""What a diffusion minimises: errors of the numbers that noise was added to, and of masked codes.

Numbers weigh as in Karras et al. (2022, eq. 8 and table 1); a masked code weighs 1/u at time u,
which makes the mean the bound of masked diffusion (Shi et al. 2024; Sahoo et al. 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fabula.neural.diffusion.network import DiffusionNetwork
from fabula.neural.diffusion.schedule import Schedule
from fabula.neural.diffusion.states import MASKED, Clean, Prediction, normal_of
from fabula.neural.forms.table_inputs import log_softmax_of_parts
from fabula.neural.networks.base import join, skeleton, split
from fabula.neural.training.descent import Descent

__all__ = ["Lesson", "code_errors", "learner"]

# The share of rows that are not told what is told to others, so that guidance has two opinions;
# and, of rows with known cells, the share in which these are hidden rather than shown.
_UNTOLD = 0.1
_HIDDEN = 0.3
_EARLIEST = 0.02


@dataclass(frozen=True)
class Lesson:
    """What is shown of rows while learning.

    Parameters
    ----------
    schedule : Schedule
    known_share : float
        Share of the rows of which random columns are shown without noise, so that questions with
        known cells are answered directly.
    told : tuple of int
        Encoded columns that are given rather than modelled.
    n_classes : int
    """

    schedule: Schedule
    known_share: float = 0.0
    told: tuple[int, ...] = ()
    n_classes: int = 0


def code_errors(noise: Any, scores: jax.Array, codes: jax.Array) -> jax.Array:
    """Minus log probabilities (n, Q) of codes under normalised scores (n, S)."""
    found = []
    for size, first, last, first_score, last_score in noise.layout:
        mine = scores[:, first_score:last_score].reshape(len(scores), last - first, size)
        picked = jnp.clip(codes[:, first:last], 0, size - 1)
        found.append(-jnp.take_along_axis(mine, picked[..., None], -1)[..., 0])
    return jnp.concatenate(found, axis=1) if found else jnp.zeros(codes.shape)


def learner(
    shape: DiffusionNetwork,
    lesson: Lesson,
    *,
    learning_rate: float,
    weight_decay: float = 1e-5,
    averaging: float = 0.999,
) -> tuple[Descent, Any]:
    """What the training loop takes, and the parts of the network that are not weights."""
    rest = skeleton(shape)[1]

    @jax.jit  # all at once: layer by layer would be compiled layer by layer
    def start(key: jax.Array) -> Any:
        return split(shape.build(key))[0]

    def loss(weights: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        return _loss(join(weights, rest), lesson, batch, key, learning=True)

    def validation_loss(weights: Any, batch: Any, key: jax.Array) -> jax.Array:
        return _loss(join(weights, rest), lesson, batch, key, learning=False)[0]

    descent = Descent(
        start,
        loss,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        averaging=averaging,
        validation_loss=validation_loss,
    )
    return descent, rest


def _loss(
    network: Any, lesson: Lesson, batch: Mapping[str, jax.Array], key: jax.Array, *, learning: bool
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Losses (n,) of a minibatch, in parts of a column."""
    shape = network.shape
    noise = shape.noise
    n, d = batch["seen"].shape
    n_numbers, n_parts = noise.n_numbers, noise.n_parts
    sizes = (noise.n_chances, n_numbers, n_parts, d, 5)
    chance = jax.random.uniform(key, (n, sum(sizes)))
    ends = np.cumsum(sizes)[:-1].tolist()
    for_cells, for_noise, for_masks, for_columns, for_row = jnp.split(chance, ends, axis=1)
    clean: Clean = noise.clean(batch, for_cells)
    # One time in each of n equal parts of the day: the mean over rows is calmer for it.
    time = (jnp.arange(n) + for_row[:, 0]) / n
    sigma = lesson.schedule.sigma(time)
    known, hidden, untold = _known(lesson, for_columns, for_row[:, 1:])
    has_number = clean.has_number & ~hidden[:, noise.number_columns]
    has_code = clean.has_code & ~hidden[:, noise.code_columns]
    known_numbers, known_codes = known[:, noise.number_columns], known[:, noise.code_columns]
    levels = jnp.where(known_numbers, lesson.schedule.lowest, sigma[:, None])
    numbers = clean.numbers + jnp.where(known_numbers, 0.0, levels) * normal_of(for_noise)
    levels = jnp.where(has_number, levels, jnp.inf)
    masked = for_masks < time[:, None]
    masked = masked & ~known_codes
    codes = jnp.where(masked | ~has_code, MASKED, clean.codes)
    labels = _labels(lesson, batch, untold)
    drop = jax.random.split(jax.random.fold_in(key, 1), n) if learning and shape.dropout else None
    axes = (0, 0, 0, 0, None if labels is None else 0, None if drop is None else 0)
    said, scores = jax.vmap(network, in_axes=axes)(numbers, codes, levels, sigma, labels, drop)
    said_all = Prediction(said, _normalised(noise, scores))
    wanted = has_number & ~known_numbers
    weight = 1.0 + 1.0 / jnp.square(sigma)
    errors = jnp.where(wanted, jnp.square(said_all.numbers - clean.numbers), 0.0).sum(-1) * weight
    misses = jnp.where(masked & has_code, code_errors(noise, said_all.scores, clean.codes), 0.0)
    misses = misses.sum(-1) / jnp.maximum(time, _EARLIEST)
    n_cells = max(n_numbers + n_parts, 1)
    losses = (errors + misses) / n_cells
    others = {}
    if n_numbers and n_parts:
        others = {
            "numbers": errors.mean() / n_numbers,
            "categories": misses.mean() / n_parts,
        }
    return losses, others


def _normalised(noise: Any, scores: jax.Array) -> jax.Array:
    return log_softmax_of_parts(noise.form, scores) if noise.n_parts else scores


def _known(
    lesson: Lesson, each: jax.Array, chance: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Columns shown without noise and columns hidden, (n, d), and rows without a class, (n,)."""
    known = hidden = jnp.zeros(each.shape, dtype=bool)
    if lesson.known_share:
        chosen = (chance[:, :1] < lesson.known_share) & (each < chance[:, 1:2])
        hide = chance[:, 2:3] < _HIDDEN
        known, hidden = chosen & ~hide, chosen & hide
    untold = chance[:, 3] < _UNTOLD
    if lesson.told:
        told = np.isin(np.arange(each.shape[1]), lesson.told)
        known, hidden = known | told, jnp.where(told, untold[:, None], hidden)
    return known, hidden, untold


def _labels(lesson: Lesson, batch: Mapping[str, jax.Array], untold: jax.Array) -> jax.Array | None:
    if not lesson.n_classes:
        return None
    labels = jnp.where(untold, -1, batch["labels"])
    return jax.nn.one_hot(labels, lesson.n_classes)
