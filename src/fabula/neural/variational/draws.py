"""What a variational autoencoder draws: rows, rows that meet a condition, and missing cells.

Draws of the posterior of the latents are weighted draws of the encoder, of which some are chosen
by their weights (Mattei and Frellsen 2019, MIWAE).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from fabula.core.arrays import FloatArray, Members, Rows
from fabula.core.errors import DataError
from fabula.core.regions import Region
from fabula.neural.row_batches import padded, row_slices
from fabula.neural.variational.particles import (
    cell_log_probs,
    drawn_rows,
    outputs_of,
    prior_components,
    shares_of,
)
from fabula.structures.mixture import draw_rows as draw_members

if TYPE_CHECKING:
    from fabula.neural.variational.story import Particles, Variational

__all__ = [
    "DRAWS_FOR_CONDITION",
    "DRAWS_FOR_POSTERIOR",
    "MOST_ROWS",
    "complete",
    "log_prob_of_cells",
    "sample",
    "sample_given",
]

MOST_ROWS = 512
"""Rows that are asked about at once."""
DRAWS_FOR_POSTERIOR = 200
DRAWS_FOR_CONDITION = 4096
_MOST_TRIES = 400


def sample(
    story: Variational, n: int, rng: np.random.Generator, labels: Members | None = None
) -> tuple[Rows, Members]:
    """``n`` rows, and the class (or component of the prior) of each; of some classes, if told."""
    latents, members = _draw_prior(story, n, rng, labels)
    whole = np.full((n, story.form_columns), np.nan)
    return _draw_rows(story, latents, members, whole, rng)[:, list(story.columns)], members


def sample_given(
    story: Variational,
    n: int,
    condition: Mapping[int, float | Region],
    rng: np.random.Generator,
    labels: Members | None = None,
) -> tuple[Rows, Members, float]:
    """Rows that meet a condition on columns, their classes, and how many rows they are worth.

    With ``labels`` (n,), rows are of these classes.

    Raises
    ------
    DataError
        Hardly any draw meets the regions, or is of a class.
    """
    if labels is None:
        return _sample_given(story, n, condition, rng)
    rows, worth = np.empty((n, story.n_columns)), 0.0
    for label in np.unique(labels):
        mine = labels == label
        found, _, effective = _sample_given(story, int(mine.sum()), condition, rng, int(label))
        rows[mine] = found
        worth += effective
    return rows, labels, worth


def _sample_given(
    story: Variational,
    n: int,
    condition: Mapping[int, float | Region],
    rng: np.random.Generator,
    label: int | None = None,
) -> tuple[Rows, Members, float]:
    values = {j: v for j, v in condition.items() if isinstance(v, int | float)}
    regions = {j: v for j, v in condition.items() if not isinstance(v, int | float)}
    whole = story.whole(story.row_of(values))
    story.check_told(whole)
    known = not np.isnan(whole).all()
    effective = float(n)
    if known:
        particles = story.particles(whole, max(DRAWS_FOR_CONDITION, n), True, rng)
        latents_of, classes = particles.latents[0], particles.classes[0]
        shares = story.member_shares(latents_of, classes)
        weights = _weights_of(particles.log_weights, shares, label)
        effective = float(1.0 / np.square(weights).sum())
    found: list[FloatArray] = []
    kept: list[Any] = []
    have = 0
    for _ in range(_MOST_TRIES):
        ask = max(n - have, min(n, 1000))
        if known:
            chosen = rng.choice(len(weights), size=ask, p=weights)
            latents, members = latents_of[chosen], draw_members(shares[chosen], rng)
            if label is not None:
                members = np.full(ask, label, dtype=np.intp)
        else:
            labels = None if label is None else np.full(ask, label, dtype=np.intp)
            latents, members = _draw_prior(story, ask, rng, labels)
        rows = _draw_rows(story, latents, members, np.repeat(whole, ask, axis=0), rng)
        rows = rows[:, list(story.columns)]
        good = np.ones(ask, dtype=bool)
        for j, region in regions.items():
            good &= region.contains(rows[:, j])
        found.append(rows[good])
        kept.append(members[good])
        have += int(good.sum())
        if have >= n:
            return np.concatenate(found)[:n], np.concatenate(kept)[:n], min(float(n), effective)
    raise DataError(
        f"Of the model's draws, {have} in {_MOST_TRIES} rounds meet the condition, not {n}: it "
        "is too improbable to be drawn. Give wider intervals, or fewer."
    )


def _weights_of(log_weights: Any, shares: FloatArray, label: int | None) -> FloatArray:
    """Weights (K,) of the draws for one row, whose members have ``shares`` (K, C); of one, if told.

    ``log_weights`` are (1, K).
    """
    weights = shares_of(log_weights)[0]
    if label is None:
        return np.asarray(weights)
    weights = weights * shares[:, label]
    if not weights.sum() > 0:
        raise DataError(
            f"None of {len(weights)} draws that meet the given values is of the class in question: "
            "with these values it is too improbable to be drawn."
        )
    return np.asarray(weights / weights.sum())


def complete(story: Variational, x: Rows, rng: np.random.Generator | None = None) -> Rows:
    """Rows with missing cells filled: posterior means (levels: most probable), or one draw."""
    whole = story.whole(x)
    out = whole.copy()
    holes = np.isnan(whole)
    for rows, adapt in story.parts(whole, DRAWS_FOR_POSTERIOR):
        part = whole[rows]
        if not adapt:
            continue
        # Draws are of new latents each time: few of them may carry all the weight.
        particles = story.particles(part, DRAWS_FOR_POSTERIOR, adapt, rng)
        weights = shares_of(particles.log_weights)
        if rng is not None:
            chosen = draw_members(weights, rng)
            each = np.arange(len(part))
            filled = _draw_rows(
                story,
                np.asarray(particles.latents)[each, chosen],
                np.asarray(particles.classes)[each, chosen],
                part,
                rng,
            )
        else:
            outputs = np.asarray(_outputs_of(story, particles, part))[: len(part)]
            filled = story.shape.law.centres(np.swapaxes(outputs, 0, 1), weights.T)
        out[rows] = np.where(holes[rows], filled, part)
    return out[:, list(story.columns)]


def log_prob_of_cells(
    story: Variational, x: Rows, column: int, candidates: FloatArray
) -> FloatArray:
    """Log density (m, n) of each candidate (m, n or 1) for one cell, given the others of its row.

    Everything but the candidate is the same for all of a row: weighted draws of its latents.
    """
    whole, place = story.whole(x), story.columns[column]
    whole[:, place] = np.nan
    out = np.empty((len(candidates), len(x)))
    for rows, adapt in story.parts(whole, DRAWS_FOR_POSTERIOR):
        part = whole[rows]
        particles = story.particles(part, DRAWS_FOR_POSTERIOR, adapt)
        outputs = _outputs_of(story, particles, part)
        with np.errstate(divide="ignore"):
            log_weights = np.log(shares_of(particles.log_weights))
        for i, values in enumerate(candidates):
            alone = np.full_like(part, np.nan)
            alone[:, place] = np.broadcast_to(values, len(x))[rows]
            told = cell_log_probs(story.module, outputs, story.arrays(alone))
            each = log_weights + np.asarray(told, dtype=np.float64)[: len(part)]
            out[i, rows] = np.logaddexp.reduce(each, axis=1)
    return out


def _outputs_of(story: Variational, particles: Particles, part: Rows) -> Any:
    """Outputs of the decoder for the particles of rows, padded as they are."""
    latents, classes = padded(particles.latents), padded(particles.classes)
    return outputs_of(story.module, latents, classes, story.arrays(part))


def _draw_prior(
    story: Variational, n: int, rng: np.random.Generator, labels: Members | None = None
) -> tuple[FloatArray, Members]:
    """Latents (n, Z), and classes, or components where there are none."""
    if story.deeper is not None:
        return story.deeper.sample(n, rng, labels)
    log_weights, means, log_widths = (
        np.asarray(a, dtype=np.float64) for a in prior_components(story.module)
    )
    shares = np.exp(log_weights)
    chosen = rng.choice(len(shares), size=n, p=shares / shares.sum())
    latents = means[chosen] + np.exp(log_widths[chosen]) * rng.standard_normal((n, means.shape[1]))
    if labels is not None:
        return latents, labels
    if story.n_labels:
        shares = np.exp(story.log_weights)
        chosen = rng.choice(len(shares), size=n, p=shares / shares.sum())
    return latents, chosen.astype(np.intp)


def _draw_rows(
    story: Variational,
    latents: FloatArray,
    members: Any,
    whole: Rows,
    rng: np.random.Generator,
) -> FloatArray:
    """A row (n, all columns) for each latent, with the cells of ``whole`` that are known."""
    found = []
    for rows in row_slices(len(latents), MOST_ROWS):
        key = jax.random.key(int(rng.integers(2**31)))
        drawn = drawn_rows(
            story.module,
            padded(np.asarray(latents[rows], dtype=np.float32)),
            padded(np.asarray(members[rows])),
            story.arrays(whole[rows]),
            key,
        )
        n = len(latents[rows])
        found.append(story.shape.law.decode({k: np.asarray(a)[:n] for k, a in drawn.items()}))
    return np.where(np.isnan(whole), np.concatenate(found), whole)
