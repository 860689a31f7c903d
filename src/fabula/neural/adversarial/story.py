"""The story that a generator tells, and the questions it answers.

Latent numbers become rows. There is no density: what can be asked for are draws, draws given cells
or classes, and the latents that come nearest to a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.arrays import FloatArray, Members, Rows
from fabula.core.errors import CannotAnswerError
from fabula.core.regions import Region
from fabula.neural.adversarial.classes import Draws, class_shares, draws_of_classes
from fabula.neural.adversarial.draws import draw_vectors, make_vectors, real_vectors
from fabula.neural.adversarial.inversion import nearest_latents
from fabula.neural.adversarial.learning import Given
from fabula.neural.adversarial.network import Generator
from fabula.neural.networks.base import Network
from fabula.neural.row_batches import padded, row_keys, row_slices
from fabula.neural.row_stories import RowStory, filled_with_means, rows_meeting
from fabula.persistence.registry import storable
from fabula.structures.mixture import draw_rows as draw_members

__all__ = ["Adversarial"]

_FEWEST_ROWS = 128
_MOST_ROWS = 4096
_MOST_ROWS_TO_INVERT = 512
_NO_CELLS = (
    "its network was not told cells while it learned: fit with known_share=0.2, or name the "
    "columns in conditional"
)


@storable("neural/adversarial")
@dataclass(frozen=True)
class Adversarial(RowStory):
    """Rows made of latents; some columns may be given or left out.

    Parameters
    ----------
    network : Network
        A `Generator` with its weights.
    columns : tuple of int
        The encoded columns of the form that are columns of this story, in its order.
    given : mapping of int to float
        Columns of the form that are known.
    told : tuple of int
        Encoded columns that the model does not draw.
    knows_cells : bool
        Whether the network has learned what to make of any known cells.
    level_shares : tuple of (C, L) arrays
        Shares of the levels of each column of categories that a draw of each class begins with; ()
        where a draw begins with none.
    log_weights : (C,) array
        Log shares of the classes; one entry, 0, where there are none.
    seed : int
    """

    estimator = "GenerativeAdversarialNetwork"
    why_values_only = "draws under such a condition are to be had from sample(given=...)"
    # There is no density: so says None to whoever asks whether there is one.
    log_prob: ClassVar[None] = None  # type: ignore[assignment]

    network: Network
    columns: tuple[int, ...]
    given: Mapping[int, float] = field(default_factory=dict)
    told: tuple[int, ...] = ()
    knows_cells: bool = False
    level_shares: tuple[FloatArray, ...] = ()
    log_weights: FloatArray = field(default_factory=lambda: np.zeros(1))
    seed: int = 0

    # What it is ---------------------------------------------------------------------------------

    @property
    def shape(self) -> Generator:
        """The shape of the network."""
        return self.network.architecture  # type: ignore[no-any-return]

    @property
    def vectors(self) -> Any:
        """What it makes: a `TableVectors` or a `PixelVectors`."""
        return self.shape.vectors

    @property
    def form_columns(self) -> int:
        """Number of columns of the form."""
        return int(self.vectors.n_columns)

    @property
    def told_columns(self) -> tuple[int, ...]:
        """Columns of the form that the network was trained under, and does not draw."""
        return self.told

    @property
    def n_classes(self) -> int:
        """C; 1 where there are no classes."""
        return self.shape.n_classes or 1

    def log_density_of(self, given: Mapping[int, Any]) -> float:
        """NaN: there is no density. Values that the network cannot be told are refused."""
        if not self.is_told({self.columns[j]: value for j, value in given.items()}):
            raise CannotAnswerError("condition", self.estimator, _NO_CELLS, ("DiffusionModel",))
        return float("nan")

    def is_told(self, columns: Mapping[int, Any]) -> bool:
        """Whether the network can be told these columns of the form together."""
        others = set(columns) - set(self.told)
        if self.knows_cells or not others:
            return True
        return len(others) == 1 and bool(self.level_shares) and others <= set(self.level_columns)

    @cached_property
    def level_columns(self) -> tuple[int, ...]:
        """Encoded columns of categories."""
        parts = self.vectors.level_parts
        return tuple(int(self.vectors.part_columns[q]) for q in parts)

    # Draws -------------------------------------------------------------------------------------

    def sample(
        self, n: int, rng: np.random.Generator, *, labels: Any = None
    ) -> tuple[Rows, Members]:
        """``n`` rows, and the class of each."""
        whole = self.whole(np.full((n, self.n_columns), np.nan))
        self.check_told(whole[:1])
        labels = self.labels(n, labels, rng, whole[:1])
        return self.complete_whole(whole, labels, rng)[:, list(self.columns)], labels

    def sample_given(
        self,
        n: int,
        condition: Mapping[int, float | Region],
        rng: np.random.Generator,
        *,
        labels: Any = None,
    ) -> tuple[Rows, Members, float]:
        """Rows that meet a condition on columns, their classes, and how many rows they are worth.

        Values are told to the network, as far as it has learned to be; what misses anything else
        is left out.

        Raises
        ------
        DataError
            Hardly any draw meets the condition.
        """
        values, others = self._tellable(condition)
        whole = self.whole(self.row_of(values))
        self.check_told(whole)
        wanted = np.full(n, -1) if labels is None else np.asarray(labels)
        rows, found = np.empty((n, self.n_columns)), np.empty(n, dtype=np.intp)
        for label in np.unique(wanted):
            mine = np.flatnonzero(wanted == label)
            drawn = self._meeting(len(mine), whole, others, int(label), rng)
            rows[mine], found[mine] = drawn
        return rows, found, float(n)

    def _tellable(
        self, condition: Mapping[int, float | Region]
    ) -> tuple[dict[int, float], dict[int, float | Region]]:
        """Values that the network can be told, and the rest of a condition."""
        values = {j: float(v) for j, v in condition.items() if isinstance(v, int | float)}
        others = {j: v for j, v in condition.items() if j not in values}
        places = {j: self.columns[j] for j in values}
        if self.is_told(dict.fromkeys([*places.values(), *self.given])):
            return values, others
        free = [j for j in values if places[j] not in self.told]
        shares = dict(zip(self.level_columns, self._plain_shares, strict=False))
        for j in free:
            if places[j] not in self.level_columns:
                raise CannotAnswerError(
                    "sample given a number", self.estimator, _NO_CELLS, ("DiffusionModel",)
                )
        # The rarest level is told: draws that miss the others are fewer.
        free.sort(key=lambda j: float(shares[places[j]][int(values[j])]) if shares else 0.0)
        dropped = free[1:] if shares and not set(self.given) - set(self.told) else free
        return {j: v for j, v in values.items() if j not in dropped}, {
            **others,
            **{j: values[j] for j in dropped},
        }

    def _meeting(
        self,
        n: int,
        whole: Rows,
        others: Mapping[int, float | Region],
        label: int,
        rng: np.random.Generator,
    ) -> tuple[Rows, Members]:
        """Rows of a class (-1: of any) that meet what the network cannot be told."""

        def draw(number: int) -> tuple[Rows, Members]:
            asked = None if label < 0 else np.full(number, label)
            labels = self.labels(number, asked, rng, whole)
            rows = self.complete_whole(np.repeat(whole, number, axis=0), labels, rng)
            return rows[:, list(self.columns)], labels

        return rows_meeting(n, others, draw)

    def complete(self, x: Rows, rng: np.random.Generator | None = None, told: Any = None) -> Rows:
        """Rows with missing cells filled: means of draws (levels: most frequent), or one draw.

        Raises
        ------
        CannotAnswerError
            The network was not told cells while it learned.
        """
        whole = self.whole(x)
        out = whole.copy()
        rows = np.flatnonzero(np.isnan(whole).any(axis=1))
        if not len(rows):
            return np.asarray(x, dtype=np.float64)
        if not self.knows_cells:
            raise CannotAnswerError(
                "impute", self.estimator, _NO_CELLS, ("DiffusionModel", "VariationalAutoencoder")
            )
        part = whole[rows]
        if rng is not None:
            labels = self.labels(len(part), None, rng, part)
            out[rows] = self.complete_whole(part, labels, rng)
            return out[:, list(self.columns)]
        chance = np.random.default_rng(self.seed)
        shares = class_shares(self, part) if self.shape.n_classes else None

        def draw() -> Rows:
            labels = self.labels(len(part), None, chance, part, shares)
            return self.complete_whole(part, labels, chance)

        out[rows] = filled_with_means(part, draw, self.level_columns)
        return out[:, list(self.columns)]

    def complete_whole(self, whole: Rows, labels: Members, rng: np.random.Generator) -> Rows:
        """Rows (n, all columns of the form) with every missing cell drawn under the others."""
        begun = self._begun(whole, labels, rng)
        found = []
        for rows in row_slices(len(whole), _MOST_ROWS):
            key = jax.random.key(int(rng.integers(2**31)))
            given, n = self.told_of(begun[rows], labels[rows])
            made = draw_vectors(self.module, self.shape, given, key)
            found.append(self.vectors.decode(np.asarray(made)[:n]))
        drawn = np.concatenate(found) if found else whole
        return np.where(np.isnan(begun), drawn, begun)

    def _begun(self, whole: Rows, labels: Members, rng: np.random.Generator) -> Rows:
        """Rows, each of which nothing is known with a level of one column of categories."""
        unknown = np.isnan(whole).all(axis=1)
        if not self.level_shares or not unknown.any():
            return whole
        begun = whole.copy()
        chosen = rng.integers(len(self.level_columns), size=len(whole))
        for k, (j, shares) in enumerate(zip(self.level_columns, self.level_shares, strict=True)):
            for label in np.unique(labels):
                mine = np.flatnonzero((chosen == k) & unknown & (labels == label))
                of_class = shares[label if len(shares) > 1 else 0]
                if not of_class.any():  # a column without a single cell
                    continue
                begun[mine, j] = rng.choice(len(of_class), size=len(mine), p=of_class)
        return begun

    @property
    def _plain_shares(self) -> tuple[FloatArray, ...]:
        """Shares of the levels of each column of categories, whatever the class."""
        weights = np.exp(self.log_weights)
        return tuple(np.average(s, axis=0, weights=weights) for s in self.level_shares)

    def told_of(self, whole: Rows, labels: Members, *, hide: bool = False) -> tuple[Given, int]:
        """What the network is told of rows, and how many they are.

        With ``hide``, no more columns than those that it is always told.
        """
        fill = partial(padded, fewest=_FEWEST_ROWS)
        arrays = {k: fill(a) for k, a in self.vectors.encode(whole).items()}
        columns = np.array(arrays["seen"])
        if hide:
            columns &= np.isin(np.arange(whole.shape[1]), self.told)
        hots = (fill(np.asarray(labels))[:, None] == np.arange(self.shape.n_classes)).astype("f4")
        vectors = real_vectors(self.shape, arrays)
        return Given(vectors, jnp.asarray(columns), jnp.asarray(hots)), len(whole)

    def labels(
        self,
        n: int,
        labels: Any,
        rng: np.random.Generator,
        whole: Rows | None = None,
        shares: FloatArray | None = None,
    ) -> Members:
        """Classes to draw for: as asked, or as probable as rows (n or 1, all columns) make them.

        ``shares`` (n or 1, C) are these probabilities, where they are known already.
        """
        if labels is not None:
            return np.asarray(labels, dtype=np.intp)
        if not self.shape.n_classes:
            return np.zeros(n, dtype=np.intp)
        if shares is None and (whole is None or np.isnan(whole).all()):
            shares = np.exp(self.log_weights)[None]
        elif shares is None:
            shares = class_shares(self, whole)  # type: ignore[arg-type]
        return draw_members(np.broadcast_to(shares, (n, shares.shape[1])), rng)

    @cached_property
    def draws_of_classes(self) -> Draws:
        """Draws of every class, beside which rows are held to tell their class."""
        return draws_of_classes(self)

    # Latents -----------------------------------------------------------------------------------

    def encode(self, x: Rows, labels: Any, n_starts: int, n_steps: int) -> FloatArray:
        """Latents (n, Z) that come nearest to rows; missing cells are left out."""
        whole = self.whole(x)
        out = np.empty((len(whole), self.shape.n_latent))
        for rows in row_slices(len(whole), _MOST_ROWS_TO_INVERT):
            part = whole[rows]
            mine = np.zeros(len(part), dtype=np.intp) if labels is None else labels[rows]
            given, n = self.told_of(part, mine, hide=True)
            seen = padded(~np.isnan(part), _FEWEST_ROWS)
            keys = padded(row_keys(part, self.seed), _FEWEST_ROWS)
            found = nearest_latents(self.module, self.shape, given, seen, keys, n_starts, n_steps)
            out[rows] = np.asarray(found, dtype=np.float64)[:n]
        return out

    def decode(self, latents: FloatArray, labels: Any = None, x: Rows | None = None) -> Rows:
        """The rows (n, d) of latents: numbers, and most probable levels.

        ``x`` says what the columns are that the network has to be told.
        """
        rows = np.full((len(latents), self.n_columns), np.nan) if x is None else x
        whole = self.whole(rows)
        self.check_told(whole[:1])
        out = np.empty(whole.shape)
        for part in row_slices(len(whole), _MOST_ROWS):
            mine = np.zeros(len(whole[part]), dtype=np.intp) if labels is None else labels[part]
            given, n = self.told_of(whole[part], mine, hide=True)
            z = jnp.asarray(padded(latents[part], _FEWEST_ROWS), dtype=jnp.float32)
            out[part] = self.vectors.decode(
                np.asarray(make_vectors(self.module, self.shape, given, z))[:n]
            )
        told = list(self.told)
        out[:, told] = whole[:, told]
        return out[:, list(self.columns)]
