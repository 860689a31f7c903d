"""How a row looks, given the numbers that a network puts out: the likelihoods of decoders.

A law turns outputs into log densities on the scale of the data, draws and means. Cells that are
not there count nothing, which integrates them out: given the outputs, cells are independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.neural.forms.image import ImageForm
from fabula.neural.forms.number_columns import NumberColumn
from fabula.neural.forms.table import LevelColumn, TableForm
from fabula.neural.forms.table_inputs import log_softmax_of_parts, one_hot_of_parts
from fabula.neural.variational.bells import (
    Bell,
    cell_log_mass,
    log_density,
    log_mass,
    nodes,
    standard_draw,
)
from fabula.persistence.registry import storable

__all__ = ["Law", "PixelLaw", "TableLaw"]

Batch = Mapping[str, jax.Array]

# The narrowest bell, in units of the scores: narrower ones would let densities grow without bound
# where values repeat (Mattei and Frellsen 2018, NeurIPS 31:3855).
_NARROWEST = 0.01
# Cells narrower than this share of the bell: their probability is density times width.
_NARROW_CELL = 0.05
# Draws of the latents that weigh less have no part in a mean.
_LEAST_WEIGHT = 1e-8
# Of more levels, means are those before rounding, which moves a pixel by less than half a level.
_FEW_LEVELS = 64


class Law(Protocol):
    """What a decoder's outputs mean."""

    @property
    def n_outputs(self) -> int:
        """Numbers that a network has to put out for a row."""
        ...

    def log_prob(self, outputs: jax.Array, batch: Batch) -> jax.Array:
        """Log density (…) of rows given outputs (…, n_outputs), which may have further axes."""
        ...

    def draw(self, outputs: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        """Rows as arrays (…, ·), one for each of the outputs."""
        ...

    def decode(self, drawn: Mapping[str, Any]) -> FloatArray:
        """Encoded rows (n, d) of drawn arrays."""
        ...

    def centres(self, outputs: FloatArray, weights: FloatArray) -> FloatArray:
        """Means of numbers and most probable levels (n, d), over K weighted outputs (K, n, ·)."""
        ...


@storable("neural/table_law")
@dataclass(frozen=True)
class TableLaw:
    """Independent columns of a table: bells on the scale of scores, and categories.

    Outputs are the centres and the widths of the P columns of numbers, then the scores of codes.

    Parameters
    ----------
    form : TableForm
    bell : {"normal", "logistic"}
        The law of a score.
    """

    form: TableForm
    bell: Bell = "normal"

    def __post_init__(self) -> None:
        if self.bell not in ("normal", "logistic"):
            raise UsageError(f"The bell is normal or logistic, not {self.bell!r}.")

    @property
    def n_outputs(self) -> int:
        """2 P and the number of codes."""
        return 2 * self.form.n_numbers + self.form.n_scores

    @cached_property
    def _steps(self) -> FloatArray:
        columns = [self.form.columns[j] for j in self.form.number_places]
        return np.array([getattr(c, "step", 0.0) for c in columns])

    @cached_property
    def _log_unseen(self) -> FloatArray:
        """Log probability of a level that was not there when the levels were listed, (Q,)."""
        columns = [self.form.columns[j] for j in self.form.code_places]
        levels = [isinstance(c, LevelColumn) for c in columns]
        seen = np.array([getattr(c, "n_seen", 0) for c in columns])
        return np.where(levels, -np.log(seen + 2.0), -np.inf)

    def _bells(self, outputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        p = self.form.n_numbers
        # At 0.54 the width begins at 1, that of the scores.
        return outputs[..., :p], _NARROWEST + jax.nn.softplus(outputs[..., p : 2 * p] + 0.54)

    def log_prob(self, outputs: jax.Array, batch: Batch) -> jax.Array:
        """Log density (…): of cells over their width, of levels themselves."""
        form = self.form
        there = batch["seen"]
        total = jnp.zeros(())
        by_part = rest = jnp.zeros(0)
        if form.n_parts:
            logs = log_softmax_of_parts(form, outputs[..., 2 * form.n_numbers :])
            by_part, rest = self._of_codes(logs, batch["codes"])
            parts = np.asarray(form.code_places)
            levels = np.array([isinstance(form.columns[j], LevelColumn) for j in parts])
            shown = there[..., parts] & levels
            total = total + jnp.where(shown, by_part, 0.0).sum(-1)
        if form.n_numbers:
            numbers = self._of_numbers(outputs, batch, by_part, rest)
            shown = there[..., np.asarray(form.number_places)]
            total = total + jnp.where(shown, numbers, 0.0).sum(-1)
        return total

    def _of_codes(self, logs: jax.Array, codes: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Log probabilities (…, Q) of the codes and of code 0."""
        chosen, rest = [], []
        for group in self.form.groups:
            split = logs[..., group.scores]
            split = split.reshape(*split.shape[:-1], -1, group.n_codes)
            picked = jnp.minimum(codes[..., group.parts], group.n_codes - 1)
            both = jnp.broadcast_shapes(picked.shape, split.shape[:-1])
            picked = jnp.broadcast_to(picked, both)
            split = jnp.broadcast_to(split, (*both, group.n_codes))
            chosen.append(jnp.take_along_axis(split, picked[..., None], -1)[..., 0])
            rest.append(split[..., 0])
        by_part = jnp.concatenate(chosen, -1)
        unseen = jnp.asarray(self._log_unseen, dtype=by_part.dtype)
        sizes = np.array([self.form.columns[j].n_codes for j in self.form.code_places])
        listed = jnp.where(jnp.isfinite(unseen), by_part + jnp.log1p(-jnp.exp(unseen)), by_part)
        return jnp.where(codes >= sizes, unseen, listed), jnp.concatenate(rest, -1)

    def _of_numbers(
        self, outputs: jax.Array, batch: Batch, by_part: jax.Array, rest: jax.Array
    ) -> jax.Array:
        """Log density (…, P) of the columns of numbers."""
        centre, width = self._bells(outputs)
        cells = batch["cells"]
        low, high = (cells[..., 0] - centre) / width, (cells[..., 1] - centre) / width
        steps = self._steps
        on_lattice = steps > 0
        log_step = np.log(np.where(on_lattice, steps, 1.0))
        wide = on_lattice & (high - low > _NARROW_CELL)
        # Both branches have gradients: the one that is not taken must not make them NaN.
        mass = log_mass(self.bell, low, jnp.where(wide, high, low + 1.0))
        middle = (batch["numbers"] - centre) / width
        if on_lattice.any():
            middle = jnp.where(on_lattice, 0.5 * (low + high), middle)
        narrow = log_density(self.bell, middle) - jnp.log(width) + cells[..., 2]
        density = jnp.where(wide, mass - log_step, narrow)
        parts = np.asarray(self.form.number_parts)
        if not (parts >= 0).any():
            return density
        told = np.maximum(parts, 0)
        spiky = parts >= 0
        codes = batch["codes"][..., told]
        of_rest, of_code = rest[..., told] + density, by_part[..., told]
        # A value of the lattice that is a spike may come from the rest, too.
        both = jnp.logaddexp(of_code - log_step, of_rest)
        at_spike = jnp.where(on_lattice, both, of_code)
        return jnp.where(spiky, jnp.where(codes > 0, at_spike, of_rest), density)

    def draw(self, outputs: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        """Numbers (…, P) and codes (…, Q)."""
        for_numbers, for_codes = jax.random.split(key)
        centre, width = self._bells(outputs)
        numbers = centre + width * standard_draw(self.bell, for_numbers, centre.shape)
        codes = []
        scores = outputs[..., 2 * self.form.n_numbers :]
        for i, group in enumerate(self.form.groups):
            mine = scores[..., group.scores]
            split = mine.reshape(*mine.shape[:-1], -1, group.n_codes)
            codes.append(jax.random.categorical(jax.random.fold_in(for_codes, i), split))
        none = jnp.zeros((*outputs.shape[:-1], 0), dtype=jnp.int32)
        return {"numbers": numbers, "codes": jnp.concatenate(codes, -1) if codes else none}

    def decode(self, drawn: Mapping[str, Any]) -> FloatArray:
        """Encoded rows (n, d)."""
        return self.form.decode(drawn)

    def centres(self, outputs: FloatArray, weights: FloatArray) -> FloatArray:
        """Means of numbers, on their own scale, and most probable levels."""
        form, n = self.form, outputs.shape[1]
        out = np.full((n, form.n_columns), np.nan)
        p = form.n_numbers
        logs = np.asarray(log_softmax_of_parts(form, jnp.asarray(outputs[..., 2 * p :])))
        shares = np.einsum("kn,kns->ns", weights, np.exp(logs))
        centre, width = (np.asarray(a, dtype=np.float64) for a in self._bells(jnp.asarray(outputs)))
        where = _places_of_parts(form)
        evenly, counts = nodes(self.bell), weights > _LEAST_WEIGHT
        kept = np.where(counts, weights, 0.0)
        kept /= kept.sum(axis=0)
        for q, j in enumerate(form.code_places):
            if isinstance(form.columns[j], LevelColumn):
                out[:, j] = shares[:, where[q]].argmax(axis=1)
        for i, (j, part) in enumerate(zip(form.number_places, form.number_parts, strict=True)):
            column = form.columns[j]
            assert isinstance(column, NumberColumn)
            means = np.zeros(centre.shape[:2])
            means[counts] = column.mean_value(centre[counts, i], width[counts, i], evenly)
            if part >= 0:
                split = np.exp(logs[..., where[part]])
                means = split[..., 0] * means + split[..., 1:] @ column.spikes
            out[:, j] = np.einsum("kn,kn->n", kept, means)
        return out

    def usual_outputs(self, batch: Batch) -> jax.Array:
        """Outputs under which every row looks like all rows: where a decoder begins."""
        form = self.form
        there = batch["seen"][:, np.asarray(form.code_places, dtype=int)]
        codes = jnp.where(there, batch["codes"], -1)
        counts = one_hot_of_parts(form, codes).sum(0) + 0.5
        flat = jnp.zeros(2 * form.n_numbers)
        return jnp.concatenate([flat, jnp.log(counts / len(codes))])


def _places_of_parts(form: TableForm) -> list[slice]:
    """Where the codes of each part stand among the scores."""
    places, first = [], 0
    for j in form.code_places:
        size = form.columns[j].n_codes
        places.append(slice(first, first + size))
        first += size
    return places


@storable("neural/pixel_law")
@dataclass(frozen=True)
class PixelLaw:
    """Independent pixels.

    Parameters
    ----------
    form : ImageForm
    kind : {"bernoulli", "logistic", "normal"}
        Black or white (grey is the probability of white, drawn anew at each step: dynamic
        binarisation); one of the levels, as a bell cut into cells with the outermost open; or a
        density. Log densities are those of a pixel in its own units; of levels, probabilities.
    """

    form: ImageForm
    kind: Literal["bernoulli", "logistic", "normal"] = "logistic"

    def __post_init__(self) -> None:
        if self.kind not in ("bernoulli", "logistic", "normal"):
            raise UsageError(f"Pixels are bernoulli, logistic or normal, not {self.kind!r}.")
        if self.kind == "bernoulli" and not self.form.n_levels:
            raise UsageError("Pixels of any value cannot be black or white: they have no levels.")
        if self.kind == "logistic" and not self.form.n_levels:
            raise UsageError("Pixels of any value have no levels: their law is 'normal'.")

    @property
    def _most(self) -> float:
        return float(max(self.form.n_levels - 1, 1))

    @property
    def n_outputs(self) -> int:
        """One for each pixel; two where there is a width."""
        return self.form.n_pixels * (1 if self.kind == "bernoulli" else 2)

    def shares(self, batch: Batch, key: jax.Array | None = None) -> jax.Array:
        """Pixels from 0 to 1, black or white where that is their law."""
        pixels = batch["pixels"]
        if self.kind != "bernoulli" or self.form.n_levels == 2 or key is None:
            return pixels.astype(jnp.float32) / self._most
        # A byte of chance is enough for 256 levels, and four times as cheap as a number.
        chance = jax.random.bits(key, pixels.shape, jnp.uint8).astype(jnp.float32)
        return (chance < pixels.astype(jnp.float32) * (256.0 / self._most)).astype(jnp.float32)

    def _bells(self, outputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        centre, width = jnp.split(outputs, 2, axis=-1)
        least = 0.5 / self._most if self.form.n_levels else _NARROWEST
        return 0.5 + 0.5 * centre, 0.2 * (least + jax.nn.softplus(width))

    def log_prob(self, outputs: jax.Array, batch: Batch) -> jax.Array:
        """Log density (…) of the pixels that are there; ``batch["shares"]`` are their values."""
        x = batch["shares"]
        if self.kind == "bernoulli":
            each = x * outputs - jax.nn.softplus(outputs)
        else:
            centre, width = self._bells(outputs)
            if self.kind == "normal":
                scale = math.log(self.form.high - self.form.low)
                each = log_density("normal", (x - centre) / width) - jnp.log(width) - scale
            else:
                half = 0.5 / self._most
                low = jnp.where(x < half, -jnp.inf, (x - half - centre) / width)
                high = jnp.where(x > 1 - half, jnp.inf, (x + half - centre) / width)
                each = cell_log_mass(low, high)
        return jnp.where(batch["seen"], each, 0.0).sum(-1)

    def draw(self, outputs: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        """Shares (…, h·w·c) of the way from the lowest to the highest value."""
        if self.kind == "bernoulli":
            shares = jax.random.bernoulli(key, jax.nn.sigmoid(outputs)).astype(jnp.float32)
        else:
            centre, width = self._bells(outputs)
            bell: Bell = "normal" if self.kind == "normal" else "logistic"
            shares = centre + width * standard_draw(bell, key, centre.shape)
        return {"shares": shares}

    def decode(self, drawn: Mapping[str, Any]) -> FloatArray:
        """Rows (n, h·w·c) in the units of the images."""
        shares = np.asarray(drawn["shares"], dtype=np.float64)
        if self.kind == "normal":
            return self._in_units(shares)
        shares = np.clip(shares, 0.0, 1.0)
        return self._in_units(np.rint(shares * self._most) / self._most)

    def centres(self, outputs: FloatArray, weights: FloatArray) -> FloatArray:
        """Mean of each pixel: of draws, so that it lies within the range where these do."""
        if self.kind == "bernoulli":
            shares: FloatArray = np.asarray(jax.nn.sigmoid(jnp.asarray(outputs)), np.float64)
        else:
            both = self._bells(jnp.asarray(outputs))
            centre, width = (np.asarray(a, dtype=np.float64) for a in both)
            shares = centre if self.kind == "normal" else self._mean_of_cells(centre, width)
        return self._in_units(np.einsum("kn,kns->ns", weights, shares))

    def _in_units(self, shares: FloatArray) -> FloatArray:
        """Shares of the way from the lowest to the highest value, as values."""
        return np.asarray(self.form.low + shares * (self.form.high - self.form.low))

    def _mean_of_cells(self, centre: FloatArray, width: FloatArray) -> FloatArray:
        """Mean shares of logistic bells that are cut into levels, the outermost open.

        A mean of numbers from 0 to 1 is the sum, or the integral, of the chances to exceed each.
        """
        from scipy.special import expit

        if self.form.n_levels > _FEW_LEVELS:
            to_high = np.logaddexp(0.0, (centre - 1.0) / width)
            return np.asarray(width * (np.logaddexp(0.0, centre / width) - to_high))
        total = np.zeros(centre.shape)
        for end in (np.arange(self._most) + 0.5) / self._most:
            total += expit((centre - end) / width)
        return total / self._most

    def usual_outputs(self, batch: Batch) -> jax.Array:
        """Outputs under which every image looks like all images: where a decoder begins."""
        there = batch["seen"]
        shares = batch["pixels"].astype(jnp.float32) / self._most
        mean = (jnp.where(there, shares, 0.0).sum(0) + 0.5) / (there.sum(0) + 1.0)
        if self.kind == "bernoulli":
            return jnp.log(mean / (1 - mean))
        return jnp.concatenate([2 * mean - 1, jnp.zeros_like(mean)])
