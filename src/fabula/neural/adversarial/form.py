"""Tables and images as the vectors that a generator makes and a critic looks at.

A row of a table is its numbers as standard normal ones (`spread`), its codes as zeros
and ones, and, of columns with missing cells, whether the cell is there. A number recorded to a
precision stands anywhere in its cell, anew each time, or the critic would know rows by the lattice
they stand on. A pixel runs from -1 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.arrays import FloatArray, Rows
from fabula.neural.adversarial.spread import SpreadColumn
from fabula.neural.forms.image import ImageForm
from fabula.neural.forms.table import LevelColumn, TableForm
from fabula.persistence.registry import storable

__all__ = ["PixelVectors", "TableVectors"]

Batch = Mapping[str, Any]

# How soft the choice of a code is where gradients pass through it (Jang et al. 2017).
_TEMPERATURE = 0.5
_SMALLEST = 1e-20
_SMALLEST_SHARE = 1e-6


@storable("neural/table_vectors")
@dataclass(frozen=True)
class TableVectors:
    """Rows of a table as vectors: numbers, codes as zeros and ones, which cells are there.

    Parameters
    ----------
    form : TableForm
    spread : tuple of SpreadColumn
        One for each column of ``numbers`` of the form.
    holes : tuple of int
        Encoded columns of which some cells are missing.
    """

    form: TableForm
    spread: tuple[SpreadColumn, ...]
    holes: tuple[int, ...]

    @classmethod
    def learned(cls, form: TableForm, x: Rows) -> TableVectors:
        """What the rows (n, d) to learn from tell."""
        arrays = form.encode(x, cells=False)
        seen, numbers, codes = arrays["seen"], arrays["numbers"], arrays["codes"]
        spread = []
        for p, (j, part) in enumerate(zip(form.number_places, form.number_parts, strict=True)):
            there = seen[:, j]
            mine = codes[there, part] if part >= 0 else np.zeros(there.sum(), dtype=np.int32)
            column: Any = form.columns[j]
            spread.append(SpreadColumn.learned(column, numbers[there, p].astype(float), mine))
        known = [j for j, column in enumerate(form.columns) if getattr(column, "n_seen", 0)]
        holes = tuple(j for j in known if not seen[:, j].all())
        return cls(form, tuple(spread), holes)

    # Where things stand -----------------------------------------------------------------------

    @cached_property
    def live(self) -> np.ndarray:
        """Columns of ``numbers`` that ever are more than their levels, (P,)."""
        found = [p for p, column in enumerate(self.spread) if column.is_spread]
        return np.asarray(found, dtype=np.intp)

    @property
    def n_numbers(self) -> int:
        """P."""
        return len(self.live)

    @property
    def n_columns(self) -> int:
        """d."""
        return self.form.n_columns

    @cached_property
    def parts(self) -> tuple[tuple[int, int], ...]:
        """Encoded column and number of codes of each part.

        Parts are columns of categories, and levels of columns of numbers (code 0: any other
        value). Those with equally many codes stand together.
        """
        places = self.form.number_places
        levels = {j: len(s.levels) for j, s in zip(places, self.spread, strict=True)}
        found = [(j, n + 1) for j, n in levels.items() if n]
        columns = enumerate(self.form.columns)
        found += [(j, c.n_levels) for j, c in columns if isinstance(c, LevelColumn)]
        return tuple(sorted(found, key=lambda one: (one[1], one[0])))

    @cached_property
    def part_columns(self) -> np.ndarray:
        """The encoded column of each part, (Q,)."""
        return np.array([j for j, _ in self.parts], dtype=np.intp)

    @cached_property
    def firsts(self) -> np.ndarray:
        """Where the scores of each part begin, (Q,)."""
        sizes = [size for _, size in self.parts]
        return np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.intp)

    @cached_property
    def groups(self) -> tuple[tuple[int, slice, slice], ...]:
        """Number of codes, parts and scores of parts that have equally many codes."""
        sizes, found, first = [size for _, size in self.parts], [], 0
        for size in sorted(set(sizes)):
            start, number = sizes.index(size), sizes.count(size)
            scores = slice(first, first + size * number)
            found.append((size, slice(start, start + number), scores))
            first = scores.stop
        return tuple(found)

    @property
    def n_scores(self) -> int:
        """Number of codes of all parts together."""
        return sum(size for _, size in self.parts)

    @property
    def n_outputs(self) -> int:
        """Numbers, and scores of codes."""
        return self.n_numbers + self.n_scores

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self.n_outputs + len(self.holes)

    @cached_property
    def number_columns(self) -> np.ndarray:
        """The encoded column of each number, (P,)."""
        places: np.ndarray = np.asarray(self.form.number_places, dtype=np.intp)
        return np.asarray(places[self.live])

    @cached_property
    def column_of(self) -> np.ndarray:
        """The encoded column that each entry of a vector tells of, (width,)."""
        scores = np.repeat(self.part_columns, [size for _, size in self.parts])
        return np.concatenate([self.number_columns, scores, np.asarray(self.holes, np.intp)])

    @property
    def n_chances(self) -> int:
        """Even numbers that `real` takes for a row."""
        return self.n_numbers

    @property
    def n_choices(self) -> int:
        """Even numbers that `made` takes for a row."""
        return self.n_scores

    @property
    def level_parts(self) -> tuple[int, ...]:
        """Parts that are columns of categories."""
        levels = [isinstance(self.form.columns[j], LevelColumn) for j in self.part_columns]
        return tuple(np.flatnonzero(levels).tolist())

    # Vectors ----------------------------------------------------------------------------------

    def encode(self, x: Rows) -> dict[str, np.ndarray]:
        """Arrays of rows (n, d), with one entry a row.

        ``seen`` (n, d); ``codes`` (n, Q) of parts, -1 where missing or unknown; and ``room``
        (n, P, 2), the ends of where each number may stand.
        """
        arrays = self.form.encode(x)
        seen, n = arrays["seen"], len(x)
        room = np.zeros((n, self.n_numbers, 2), dtype=np.float32)
        codes = np.full((n, len(self.parts)), -1, dtype=np.int32)
        of_form = {j: q for q, j in enumerate(self.form.code_places)}
        of_part = {j: q for q, j in enumerate(self.part_columns.tolist())}
        of_number = {int(p): k for k, p in enumerate(self.live)}
        for p, (j, spread) in enumerate(zip(self.form.number_places, self.spread, strict=True)):
            there = seen[:, j]
            mine = (
                arrays["codes"][there, of_form[j]] if j in of_form else np.zeros(there.sum(), int)
            )
            if p in of_number:
                cells = arrays["cells"][there, p, :2].astype(np.float64)
                exact = arrays["numbers"][there, p].astype(np.float64)
                wide = cells[:, 1] > cells[:, 0]
                low, high = np.where(wide[:, None], cells, exact[:, None]).T
                room[there, of_number[p]] = spread.room(low, high, mine)
            if j in of_part:
                places = {code: k + 1 for k, code in enumerate(spread.levels)}
                table = np.array(
                    [places.get(code, 0) for code in range(max(mine.max(initial=0), 0) + 1)]
                )
                codes[there, of_part[j]] = table[mine]
        for q, (j, size) in enumerate(self.parts):
            if isinstance(self.form.columns[j], LevelColumn):
                level = arrays["codes"][:, of_form[j]]
                codes[:, q] = np.where(seen[:, j] & (level < size), level, -1)
        return {"seen": seen, "codes": codes, "room": room}

    def real(self, batch: Batch, chance: jax.Array) -> jax.Array:
        """Vectors (n, width) of rows; ``chance`` (n, n_chances) says where in their room."""
        seen, codes, room = (jnp.asarray(batch[name]) for name in ("seen", "codes", "room"))
        numbers = room[..., 0] + (room[..., 1] - room[..., 0]) * chance
        shares = jnp.clip(numbers, _SMALLEST_SHARE, 1.0 - _SMALLEST_SHARE)
        numbers = jnp.where(self._plain, numbers, jax.scipy.special.ndtri(shares))
        hots = [
            jax.nn.one_hot(codes[:, parts], size).reshape(len(seen), -1)
            for size, parts, _ in self.groups
        ]
        hot = jnp.concatenate(hots, axis=1) if hots else jnp.zeros((len(seen), 0))
        return self._joined(numbers.astype(jnp.float32), hot, seen)

    def made(self, outputs: jax.Array, seen: jax.Array, chance: jax.Array) -> jax.Array:
        """Vectors (n, width) of what a generator gave (n, n_outputs).

        Codes are drawn from the softmax of their scores, through which gradients pass as if it
        were soft (Jang, Gu and Poole 2017, straight through). ``seen`` (n, d) says which cells
        are shown: those of a real row.
        """
        numbers = outputs[:, : self.n_numbers]
        scores = outputs[:, self.n_numbers :]
        noisy = scores - jnp.log(-jnp.log(jnp.maximum(chance, _SMALLEST)) + _SMALLEST)
        hots = []
        for size, _, places in self.groups:
            split = noisy[:, places].reshape(len(noisy), -1, size)
            hard = jax.nn.one_hot(split.argmax(-1), size)
            soft = jax.nn.softmax(split / _TEMPERATURE, axis=-1)
            hots.append((soft + jax.lax.stop_gradient(hard - soft)).reshape(len(noisy), -1))
        hot = jnp.concatenate(hots, axis=1) if hots else scores
        if self.holes:
            hot = hot * seen[:, self.column_of[self.n_numbers : self.n_outputs]]
        return self._joined(numbers, hot, seen)

    def _joined(self, numbers: jax.Array, hot: jax.Array, seen: jax.Array) -> jax.Array:
        """One vector a row; the numbers of levels are in their places."""
        rests = self._rests
        if (rests >= 0).any():
            rest = jnp.where(rests >= 0, hot[:, np.maximum(rests, 0)], 1.0)
            numbers = numbers * rest + hot @ jnp.asarray(self._places)
        numbers = numbers * seen[:, self.number_columns]
        there = seen[:, np.asarray(self.holes, dtype=np.intp)].astype(jnp.float32)
        return jnp.concatenate([numbers, hot, there], axis=1)

    @cached_property
    def _plain(self) -> np.ndarray:
        return np.array([self.spread[p].is_plain for p in self.live], dtype=bool)

    @cached_property
    def _rests(self) -> np.ndarray:
        """The score that says that a number is at no level, (P,); -1 where it has none."""
        of_part = dict(zip(self.part_columns.tolist(), self.firsts.tolist(), strict=True))
        return np.array([of_part.get(j, -1) for j in self.number_columns.tolist()], dtype=np.intp)

    @cached_property
    def _places(self) -> np.ndarray:
        """The number of the level that each code stands for, (n_scores, P); 0 elsewhere."""
        places = np.zeros((self.n_scores, self.n_numbers), dtype=np.float32)
        for k, (p, first) in enumerate(zip(self.live, self._rests, strict=True)):
            at = self.spread[p].level_places()
            if first >= 0:
                places[first + 1 : first + 1 + len(at), k] = at
        return places

    # Back -------------------------------------------------------------------------------------

    def decode(self, vectors: Any) -> FloatArray:
        """Encoded rows (n, d) of vectors that a generator made."""
        vectors = np.asarray(vectors, dtype=np.float64)
        n, form = len(vectors), self.form
        numbers, codes = np.zeros((n, form.n_numbers)), np.zeros((n, form.n_parts), dtype=int)
        of_form = {j: q for q, j in enumerate(form.code_places)}
        number_of = dict(zip(form.number_places, range(form.n_numbers), strict=True))
        for k, p in enumerate(self.live):
            j = form.number_places[p]
            numbers[:, p], found = self.spread[p].back(vectors[:, k])
            if j in of_form:
                codes[:, of_form[j]] = found
        for size, parts, scores in self.groups:
            mine = vectors[:, self.n_numbers + scores.start : self.n_numbers + scores.stop]
            best = mine.reshape(n, -1, size).argmax(-1)
            for q, column in zip(range(parts.start, parts.stop), best.T, strict=True):
                j = int(self.part_columns[q])
                if j in number_of:
                    levels = np.array([0, *self.spread[number_of[j]].levels])[column]
                    column = np.where(levels > 0, levels, codes[:, of_form[j]])
                codes[:, of_form[j]] = column
        return form.decode({"numbers": numbers, "codes": codes})

    def errors(self, outputs: jax.Array, vectors: jax.Array, seen: jax.Array) -> jax.Array:
        """How far what a generator gave is from rows (n,): squares and cross-entropies."""
        p, rests = self.n_numbers, self._rests
        there = seen[:, self.number_columns].astype(jnp.float32)
        if (rests >= 0).any():
            hot = vectors[:, p : self.n_outputs]
            there = there * jnp.where(rests >= 0, hot[:, np.maximum(rests, 0)], 1.0)
        total = (there * jnp.square(outputs[:, :p] - vectors[:, :p])).sum(-1)
        for size, _, scores in self.groups:
            columns = slice(p + scores.start, p + scores.stop)
            split = outputs[:, columns].reshape(len(outputs), -1, size)
            logs = jax.nn.log_softmax(split, axis=-1).reshape(len(outputs), -1)
            # Codes of missing cells are all zeros, and count nothing.
            total = total - (logs * vectors[:, columns]).sum(-1)
        return total


@storable("neural/pixel_vectors")
@dataclass(frozen=True)
class PixelVectors:
    """Images as vectors of pixels from -1 to 1.

    Parameters
    ----------
    form : ImageForm
    holes : tuple of int
        Empty, or all pixels where some of any image are missing.
    """

    form: ImageForm
    holes: tuple[int, ...] = ()

    @classmethod
    def learned(cls, form: ImageForm, x: Rows) -> PixelVectors:
        """What the images (n, h·w·c) to learn from tell."""
        holes = x.dtype.kind == "f" and bool(np.isnan(x).any())
        return cls(form, tuple(range(form.n_pixels)) if holes else ())

    @property
    def n_columns(self) -> int:
        """d."""
        return self.form.n_pixels

    @property
    def n_outputs(self) -> int:
        """One for each pixel."""
        return self.form.n_pixels

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self.form.n_pixels

    @property
    def column_of(self) -> np.ndarray:
        """The pixel that each entry of a vector tells of, (width,)."""
        return np.arange(self.form.n_pixels)

    n_chances = 0
    n_choices = 0
    level_parts = ()

    def encode(self, x: Rows) -> dict[str, np.ndarray]:
        """Arrays of images (n, h·w·c), with one entry an image."""
        return self.form.encode(x)

    def real(self, batch: Batch, chance: jax.Array) -> jax.Array:
        """Vectors (n, width) of images; what is missing is in the middle."""
        most = max(self.form.n_levels - 1, 1)
        pixels = jnp.asarray(batch["pixels"]).astype(jnp.float32) * (2.0 / most) - 1.0
        return jnp.where(jnp.asarray(batch["seen"]), pixels, 0.0) if self.holes else pixels

    def made(self, outputs: jax.Array, seen: jax.Array, chance: jax.Array) -> jax.Array:
        """Vectors (n, width) of what a generator gave, where ``seen`` (n, d)."""
        # No bend or cut at the ends: where most pixels are black, it would stop all learning.
        return jnp.where(seen, outputs, 0.0) if self.holes else outputs

    def decode(self, vectors: Any) -> FloatArray:
        """Rows (n, h·w·c) in the units of the images."""
        shares = np.clip(0.5 + 0.5 * np.asarray(vectors, dtype=np.float64), 0.0, 1.0)
        if not self.form.n_levels:
            return self.form.decode(shares)
        return self.form.decode(np.rint(shares * (self.form.n_levels - 1)))

    def errors(self, outputs: jax.Array, vectors: jax.Array, seen: jax.Array) -> jax.Array:
        """How far what a generator gave is from images (n,): squares."""
        apart = jnp.where(seen, outputs - vectors, 0.0)
        return jnp.square(apart).sum(-1)
