"""Tables and images as numbers of unit variance and codes: what noise is added to.

A number recorded to a precision is spread evenly over its cell, anew each time; a spike becomes a
narrow bell at its place among the other values, beside the code that names it. Both keep densities
of the data and of what noise is added to in a known relation (`log_scale`), which makes bounds on
the one bounds on the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.arrays import FloatArray
from fabula.neural.diffusion.states import Clean, normal_of
from fabula.neural.forms.image import ImageForm
from fabula.neural.forms.number_columns import NumberColumn
from fabula.neural.forms.table import LevelColumn, TableForm
from fabula.persistence.registry import storable

__all__ = ["PixelNoise", "TableNoise"]

# Width of the bell that stands for a spike, in standard deviations of its column; and how far out
# in the scores of the other values it may stand.
_SPIKE_WIDTH = 0.1
_FARTHEST_SPIKE = 3.0
_HALF_LOG = 0.5 * math.log(2 * math.pi * math.e)

Arrays = Mapping[str, Any]


@storable("neural/table_noise")
@dataclass(frozen=True)
class TableNoise:
    """Rows of a table as what noise is added to.

    Parameters
    ----------
    form : TableForm
    live : tuple of int
        Columns of ``numbers`` that ever are more than their spikes.
    centres, widths : tuple of float
        Mean and standard deviation of each of these.
    """

    form: TableForm
    live: tuple[int, ...]
    centres: tuple[float, ...]
    widths: tuple[float, ...]

    @classmethod
    def learned(cls, form: TableForm, arrays: Arrays) -> TableNoise:
        """What the rows to learn from tell."""
        live, centres, widths = [], [], []
        for p, (j, part) in enumerate(zip(form.number_places, form.number_parts, strict=True)):
            seen = np.asarray(arrays["seen"])[:, j]
            values = np.asarray(arrays["numbers"], dtype=np.float64)[seen, p]
            codes = np.asarray(arrays["codes"])[seen, part] if part >= 0 else np.zeros(len(values))
            if (codes > 0).all():
                continue
            places = _spike_places(form.columns[j])
            values = np.where(codes > 0, places[codes.astype(int)], values)
            live.append(p)
            centres.append(float(values.mean()))
            widths.append(float(values.std()) or 1.0)
        return cls(form, tuple(live), tuple(centres), tuple(widths))

    # Where things stand -----------------------------------------------------------------------

    @property
    def n_numbers(self) -> int:
        """P."""
        return len(self.live)

    @property
    def n_parts(self) -> int:
        """Q."""
        return self.form.n_parts

    @property
    def n_scores(self) -> int:
        """S, codes of all parts."""
        return self.form.n_scores

    @property
    def n_columns(self) -> int:
        """d."""
        return self.form.n_columns

    @cached_property
    def number_columns(self) -> np.ndarray:
        """The encoded column of each number, (P,)."""
        return np.asarray(self.form.number_places, dtype=np.intp)[list(self.live)]

    @cached_property
    def code_columns(self) -> np.ndarray:
        """The encoded column of each part, (Q,)."""
        return np.asarray(self.form.code_places, dtype=np.intp)

    @property
    def layout(self) -> tuple[tuple[int, int, int, int, int], ...]:
        """Where codes of parts stand among the scores: see `solvers.Course`."""
        return tuple(
            (size, parts.start, parts.stop, scores.start, scores.stop)
            for size, parts, scores in self.form.groups
        )

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """The part (P,) that tells the spikes of each number, and where each spike stands."""
        parts = np.asarray(self.form.number_parts, dtype=np.intp)[list(self.live)]
        columns = [_spike_places(self.form.columns[j]) for j in self.number_columns]
        table = np.zeros((len(columns), max((len(c) for c in columns), default=1)))
        for p, places in enumerate(columns):
            table[p, : len(places)] = places
        return parts, table

    # There and back ---------------------------------------------------------------------------

    @property
    def n_chances(self) -> int:
        """Even numbers that `clean` takes for a row."""
        return 2 * self.n_numbers

    def clean(self, batch: Arrays, chance: jax.Array) -> Clean:
        """Rows without noise; cells and spikes are spread as ``chance`` (n, n_chances) has it.

        At 1/2, all stand in their middle.
        """
        live = np.asarray(self.live, dtype=np.intp)
        seen, codes = jnp.asarray(batch["seen"]), jnp.asarray(batch["codes"])
        raw = jnp.asarray(batch["numbers"])[:, live]
        if "cells" in batch:
            low, high = batch["cells"][:, live, 0], batch["cells"][:, live, 1]
            inside = low + (high - low) * chance[:, : self.n_numbers]
            raw = jnp.where(high > low, inside, raw)
        centres, widths = np.asarray(self.centres), np.asarray(self.widths)
        numbers = (raw - centres) / widths
        spiky = self._spiky(codes)
        if spiky is not None:
            parts, table = self._places
            at = jnp.asarray(table, dtype=jnp.float32)[
                np.arange(len(parts)), jnp.clip(codes[:, parts], 0, table.shape[1] - 1)
            ]
            bells = _SPIKE_WIDTH * normal_of(chance[:, self.n_numbers :])
            numbers = jnp.where(spiky, (at - centres) / widths + bells, numbers)
        sizes = np.array([self.form.columns[j].n_codes for j in self.code_columns])
        listed = codes < sizes if len(sizes) else jnp.zeros(codes.shape, dtype=bool)
        return Clean(
            numbers.astype(jnp.float32),
            codes,
            seen[:, self.number_columns],
            seen[:, self.code_columns] & listed,
        )

    def log_scale(self, batch: Arrays) -> jax.Array:
        """Log density of the data per density of what noise is added to, (n,), summed over cells.

        It holds for bounds: that on a cell is the mean over the values that it may stand for.
        """
        live = np.asarray(self.live, dtype=np.intp)
        seen, codes = jnp.asarray(batch["seen"]), jnp.asarray(batch["codes"])
        columns = [self.form.columns[j] for j in self.number_columns]
        steps = np.array([getattr(c, "step", 0.0) for c in columns])
        widths = np.asarray(self.widths)
        each = batch["cells"][:, live, 2] - np.log(widths)
        spiky = self._spiky(codes)
        if spiky is not None:
            lattice = np.where(steps > 0, np.log(np.where(steps > 0, steps, 1.0)), 0.0)
            at_spike = _HALF_LOG + math.log(_SPIKE_WIDTH) - lattice
            each = jnp.where(spiky, at_spike, each)
        total = jnp.where(seen[:, self.number_columns], each, 0.0).sum(-1)
        return total + self._log_scale_of_codes(seen, codes)

    def _log_scale_of_codes(self, seen: jax.Array, codes: jax.Array) -> jax.Array:
        """Levels that were never seen have a share; spikes alone are on the scale of cells."""
        total = jnp.zeros(len(seen))
        numbers = set(self.number_columns.tolist())
        for q, j in enumerate(self.code_columns):
            column = self.form.columns[j]
            there = seen[:, j]
            if isinstance(column, LevelColumn):
                unseen = -math.log(column.n_seen + 2.0)
                listed = math.log1p(-math.exp(unseen)) if column.n_seen else 0.0
                each = jnp.where(codes[:, q] >= column.n_codes, unseen, listed)
                total = total + jnp.where(there, each, 0.0)
            elif isinstance(column, NumberColumn) and j not in numbers and column.step:
                total = total - jnp.where(there, math.log(column.step), 0.0)
        return total

    def _spiky(self, codes: jax.Array) -> jax.Array | None:
        parts, _ = self._places
        if not (parts >= 0).any():
            return None
        return jnp.where(parts >= 0, codes[:, np.maximum(parts, 0)], 0) > 0

    def in_units(self, numbers: jax.Array, codes: jax.Array) -> jax.Array:
        """Encoded rows (n, d) as a differentiable function of numbers: for guides."""
        found: list[Any] = [jnp.full(len(numbers), jnp.nan)] * self.form.n_columns
        for q, j in enumerate(self.code_columns):
            column = self.form.columns[j]
            level = codes[:, q].astype(jnp.float32)
            if isinstance(column, NumberColumn):
                spikes = jnp.asarray(column.spikes, dtype=jnp.float32)
                level = spikes[jnp.maximum(codes[:, q], 1) - 1]
            found[j] = level
        for p, j in enumerate(self.number_columns):
            column = self.form.columns[j]
            raw = numbers[:, p] * self.widths[p] + self.centres[p]
            knots, heights = jnp.asarray(column.scores), jnp.asarray(column.values)
            last = len(column.scores) - 2
            place = jnp.clip(jnp.searchsorted(knots, raw, side="right") - 1, 0, last)
            slope = (heights[place + 1] - heights[place]) / (knots[place + 1] - knots[place])
            found[j] = heights[place] + slope * (raw - knots[place])
        return jnp.stack(found, axis=1)

    def decode(self, numbers: Any, codes: Any) -> FloatArray:
        """Encoded rows (n, d) of what was drawn."""
        n = len(numbers)
        full = np.zeros((n, self.form.n_numbers))
        raw = np.asarray(numbers, dtype=np.float64) * self.widths + np.asarray(self.centres)
        full[:, list(self.live)] = raw
        return self.form.decode({"numbers": full, "codes": np.maximum(np.asarray(codes), 0)})


def _spike_places(column: Any) -> np.ndarray:
    """Where each code stands in scores: 0 for the rest, then the spikes."""
    spikes = np.asarray(column.spikes, dtype=np.float64)
    scores = column.score(spikes) if len(spikes) else spikes
    return np.concatenate([[0.0], np.clip(scores, -_FARTHEST_SPIKE, _FARTHEST_SPIKE)])


@storable("neural/pixel_noise")
@dataclass(frozen=True)
class PixelNoise:
    """Images as what noise is added to.

    Parameters
    ----------
    form : ImageForm
    centre, width : float
        Mean and standard deviation of all pixels, as shares of the way from black to white.
    """

    form: ImageForm
    centre: float = 0.5
    width: float = 0.5

    n_parts = 0
    n_scores = 0
    layout = ()

    @classmethod
    def learned(cls, form: ImageForm, arrays: Arrays) -> PixelNoise:
        """What the images to learn from tell."""
        most = max(form.n_levels - 1, 1)
        pixels = np.asarray(arrays["pixels"])[np.asarray(arrays["seen"])]
        pixels = pixels[:2_000_000].astype(np.float64) / most
        return cls(form, float(pixels.mean()), float(pixels.std()) or 1.0)

    @property
    def n_numbers(self) -> int:
        """P, pixels."""
        return self.form.n_pixels

    @property
    def n_columns(self) -> int:
        """d."""
        return self.form.n_pixels

    @cached_property
    def number_columns(self) -> np.ndarray:
        """The encoded column of each number, (P,)."""
        return np.arange(self.form.n_pixels)

    @cached_property
    def code_columns(self) -> np.ndarray:
        """None."""
        return np.empty(0, dtype=np.intp)

    @property
    def n_chances(self) -> int:
        """Even numbers that `clean` takes for a row."""
        return self.n_numbers

    def clean(self, batch: Arrays, chance: jax.Array) -> Clean:
        """Pixels without noise, each spread over the width of its level."""
        pixels = jnp.asarray(batch["pixels"]).astype(jnp.float32)
        if self.form.n_levels:
            pixels = pixels + chance - 0.5
            pixels = pixels / (self.form.n_levels - 1)
        seen = jnp.asarray(batch["seen"])
        none = jnp.zeros((len(pixels), 0), dtype=jnp.int32)
        return Clean((pixels - self.centre) / self.width, none, seen, none.astype(bool))

    def log_scale(self, batch: Arrays) -> jax.Array:
        """As for tables; of a pixel with levels, the probability of the level."""
        levels = self.form.n_levels
        unit = 1.0 / (levels - 1) if levels else self.form.high - self.form.low
        each = math.log(unit / self.width) if levels else -math.log(unit * self.width)
        return each * jnp.asarray(batch["seen"]).sum(-1)

    def in_units(self, numbers: jax.Array, codes: jax.Array) -> jax.Array:
        """Rows (n, h·w·c) as a differentiable function of numbers: for guides."""
        low, high = self.form.low, self.form.high
        return low + (numbers * self.width + self.centre) * (high - low)

    def decode(self, numbers: Any, codes: Any = None) -> FloatArray:
        """Rows (n, h·w·c) in the units of the images."""
        shares = np.asarray(numbers, dtype=np.float64) * self.width + self.centre
        if not self.form.n_levels:
            return self.form.decode(shares)
        most = self.form.n_levels - 1
        return self.form.decode(np.rint(np.clip(shares, 0.0, 1.0) * most))
