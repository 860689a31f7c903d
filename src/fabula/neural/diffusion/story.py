"""The story of a diffusion, and the questions it answers.

Rows become noise step by step, numbers by adding normal noise and categories by masking; a network
that tells what noisy rows were turns noise into rows. Known cells are shown to the network without
noise, or are put back with the noise of each step.

Chance in answers about a row is a function of the row: they do not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.arrays import FloatArray, Members, Responsibilities, Rows
from fabula.core.errors import CannotAnswerError
from fabula.core.regions import Region
from fabula.neural.diffusion.calls import Route, bound_of, draw_given, flow_of, one_hot
from fabula.neural.diffusion.network import DiffusionNetwork
from fabula.neural.diffusion.schedule import Schedule
from fabula.neural.diffusion.solvers import Course, Solver
from fabula.neural.networks.base import Network
from fabula.neural.row_batches import padded, row_keys, row_slices
from fabula.neural.row_stories import RowStory, filled_with_means, rows_meeting
from fabula.persistence.registry import storable

__all__ = ["Diffusion", "Route"]

# Fewer rows than this cost as much as this, and one more compilation.
_FEWEST_ROWS = 128
_MOST_ROWS = 4096
_MOST_ROWS_OF_DENSITY = 1024
# Classes beyond which the density is that of a row without its class, rather than a sum.
_MOST_CLASSES_SUMMED = 20


@storable("neural/diffusion")
@dataclass(frozen=True)
class Diffusion(RowStory):
    """p(row) by denoising; some columns may be given or left out.

    Parameters
    ----------
    network : Network
        A `DiffusionNetwork` with its weights.
    schedule : Schedule
    columns : tuple of int
        The encoded columns of the form that are columns of this story, in its order.
    given : mapping of int to float
        Columns of the form that are known.
    told : tuple of int
        Encoded columns that the model does not draw.
    knows_cells : bool
        Whether the network has learned what to make of known cells without noise.
    log_weights : (C,) array
        Log prior probabilities of the classes; one entry, 0, where there are none.
    route : Route
        How draws are made, where nothing else is asked for.
    n_times : int
        Times behind each bound on a density.
    seed : int
    """

    estimator = "DiffusionModel"

    network: Network
    schedule: Schedule
    columns: tuple[int, ...]
    given: Mapping[int, float] = field(default_factory=dict)
    told: tuple[int, ...] = ()
    knows_cells: bool = False
    log_weights: FloatArray = field(default_factory=lambda: np.zeros(1))
    route: Route = field(default_factory=Route)
    n_times: int = 64
    seed: int = 0

    # What it is ---------------------------------------------------------------------------------

    @property
    def shape(self) -> DiffusionNetwork:
        """The shape of the network."""
        return self.network.architecture  # type: ignore[no-any-return]

    @property
    def noise(self) -> Any:
        """What noise is added to: a `TableNoise` or a `PixelNoise`."""
        return self.shape.noise

    @property
    def form_columns(self) -> int:
        """Number of columns of the form."""
        return int(self.noise.n_columns)

    @property
    def told_columns(self) -> tuple[int, ...]:
        """Columns of the form that the network was trained under, and does not draw."""
        return self.told

    @property
    def n_classes(self) -> int:
        """C; 1 where there are no classes."""
        return self.shape.n_classes or 1

    @property
    def has_flow(self) -> bool:
        """Whether numbers are all there is to draw, so that their density can be estimated."""
        drawn = [j for j in self.noise.code_columns if j not in self.told and j not in self.given]
        return self.noise.n_numbers > 0 and not drawn

    @property
    def prefers_flow(self) -> bool:
        """Whether the density by the flow is what answers are made of; images have bounds."""
        return self.has_flow and not self._is_of_images

    @property
    def _is_of_images(self) -> bool:
        return hasattr(self.noise.form, "n_pixels")

    # Densities ---------------------------------------------------------------------------------

    def log_prob(
        self, x: Rows, n_times: int | None = None, *, flow: bool | None = None
    ) -> FloatArray:
        """A bound of the log density of rows (n,), nats; of numbers alone, an estimate of it.

        Cells that are missing are left out, as the network has learned to do.
        """
        return self.log_prob_by_chance_of(x, x, n_times, flow=flow)

    def log_prob_by_chance_of(
        self, x: Rows, others: Rows, n_times: int | None = None, *, flow: bool | None = None
    ) -> FloatArray:
        """As `log_prob`, each row with the noise that the same row of ``others`` would meet.

        Densities under the same noise can be compared: most of their error is common.
        """
        joint = self._by_class(x, others, n_times, flow)
        total = np.logaddexp.reduce(joint, axis=1)
        return np.where(np.isnan(x).all(axis=1), 0.0, total)

    def log_joint(self, x: Rows, known: Any = None) -> FloatArray:
        """Bounds, or estimates, of log p(row, class), (n, C)."""
        return self._by_class(x, x, None, None, always=True)

    def posterior(self, x: Rows, known: Any = None) -> tuple[FloatArray, Responsibilities]:
        """Log density (n,), and probabilities (n, C) of the classes, by Bayes' rule.

        Bounds of all classes share their noise, so that they can be compared (Li et al. 2023,
        ICCV: diffusion models as classifiers).
        """
        joint = self.log_joint(x)
        evidence = np.logaddexp.reduce(joint, axis=1)
        return evidence, np.exp(joint - evidence[:, None])

    def with_log_weights(self, log_weights: FloatArray) -> Diffusion:
        """The same story with other prior probabilities of the classes."""
        return replace(self, log_weights=np.asarray(log_weights, dtype=np.float64))

    def _by_class(
        self,
        x: Rows,
        others: Rows,
        n_times: int | None,
        flow: bool | None,
        *,
        always: bool = False,
    ) -> FloatArray:
        """Log densities (n, C) with the class; (n, 1) where it is left out."""
        labels: list[int | None] = [None]
        shares: FloatArray = np.zeros(1)
        if self.shape.n_classes and (always or self.shape.n_classes <= _MOST_CLASSES_SUMMED):
            labels, shares = list(range(self.shape.n_classes)), self._log_shares
        whole, keys = self.whole(x), row_keys(self.whole(others), self.seed)
        found = np.stack([self._log_prob(whole, keys, c, n_times, flow) for c in labels], axis=1)
        return np.asarray(found + shares)

    @cached_property
    def _log_shares(self) -> FloatArray:
        """Log probabilities (C,) of the classes under what is given."""
        return self._log_shares_under(self.whole(self.row_of({})))

    def _log_shares_under(self, row: Rows) -> FloatArray:
        """Log probabilities (C,) of the classes under a row (1, all columns of the form)."""
        told = np.isin(np.arange(self.noise.n_columns), self.told)
        if np.isnan(row[0, ~told]).all():
            return self.log_weights
        every = tuple(range(self.noise.n_columns))
        joint = replace(self, columns=every, given={}).log_joint(row)[0]
        return np.asarray(joint - np.logaddexp.reduce(joint))

    def _log_prob(
        self,
        whole: Rows,
        keys: np.ndarray,
        label: int | None,
        n_times: int | None,
        flow: bool | None,
    ) -> FloatArray:
        use_flow = self.prefers_flow if flow is None else flow
        if use_flow and not self.has_flow:
            raise CannotAnswerError(
                "a density by the probability flow",
                "DiffusionModel",
                "it has categories, or spikes, which do not flow; the bound is to be had",
            )
        given = np.zeros(self.noise.n_columns, dtype=bool)
        given[[*self.told, *self.given]] = True
        out: FloatArray = np.empty(len(whole))
        for rows in row_slices(len(whole), _MOST_ROWS_OF_DENSITY):
            part = whole[rows]
            n = len(part)
            chance = padded(keys[rows], _FEWEST_ROWS)
            batch, _, _ = self.batch(part, np.zeros(n, dtype=np.intp))
            labels = one_hot(label, len(chance), self.shape.n_classes)
            args = self.module, self.schedule, batch, chance, labels, given
            if use_flow:
                found = flow_of(*args)
            else:
                found = bound_of(*args, self.n_times if n_times is None else int(n_times))
            out[rows] = np.asarray(found, dtype=np.float64)[:n]
        return out

    # Draws -------------------------------------------------------------------------------------

    def sample(
        self,
        n: int,
        rng: np.random.Generator,
        *,
        route: Route | None = None,
        labels: Any = None,
    ) -> tuple[Rows, Members]:
        """``n`` rows, and the class of each."""
        whole = self.whole(np.full((n, self.n_columns), np.nan))
        self.check_told(whole[:1])
        labels = self._labels(n, labels, rng, whole[:1])
        rows = self.complete_whole(whole, labels, rng, route)
        return rows[:, list(self.columns)], labels

    def sample_given(
        self,
        n: int,
        condition: Mapping[int, float | Region],
        rng: np.random.Generator,
        *,
        route: Route | None = None,
        labels: Any = None,
    ) -> tuple[Rows, Members, float]:
        """Rows that meet a condition on columns, their classes, and how many rows they are worth.

        Values are told to the network; draws that miss a region are left out.

        Raises
        ------
        DataError
            Hardly any draw meets the regions.
        """
        values = {j: v for j, v in condition.items() if isinstance(v, int | float)}
        regions = {j: v for j, v in condition.items() if not isinstance(v, int | float)}
        whole = self.whole(self.row_of(values))
        self.check_told(whole)
        if regions and labels is not None and len(np.unique(labels)) > 1:
            return self._class_by_class(condition, np.asarray(labels), rng, route)
        wanted = labels if labels is None or not regions else labels[:1]

        def draw(number: int) -> tuple[Rows, Members]:
            mine = self._labels(number, wanted, rng, whole)
            rows = self.complete_whole(np.repeat(whole, number, axis=0), mine, rng, route)
            return rows[:, list(self.columns)], mine

        return *rows_meeting(n, regions, draw), float(n)

    def _class_by_class(
        self,
        condition: Mapping[int, float | Region],
        labels: Members,
        rng: np.random.Generator,
        route: Route | None,
    ) -> tuple[Rows, Members, float]:
        """Rows that meet a condition, for each of several classes."""
        rows = np.empty((len(labels), self.n_columns))
        for label in np.unique(labels):
            mine = np.flatnonzero(labels == label)
            drawn = self.sample_given(len(mine), condition, rng, route=route, labels=labels[mine])
            rows[mine] = drawn[0]
        return rows, labels, float(len(labels))

    def complete(self, x: Rows, rng: np.random.Generator | None = None, told: Any = None) -> Rows:
        """Rows with missing cells filled: means of draws (levels: most frequent), or one draw."""
        whole = self.whole(x)
        out = whole.copy()
        rows = np.flatnonzero(np.isnan(whole).any(axis=1))
        if not len(rows):
            return np.asarray(x, dtype=np.float64)
        part = whole[rows]
        # No class is told: rows with known cells say themselves what they are of.
        labels = np.full(len(part), -1, dtype=np.intp)
        if rng is not None:
            out[rows] = self.complete_whole(part, labels, rng)
            return out[:, list(self.columns)]
        chance = np.random.default_rng(self.seed)
        out[rows] = filled_with_means(
            part, lambda: self.complete_whole(part, labels, chance), self._level_columns
        )
        return out[:, list(self.columns)]

    def complete_whole(
        self,
        whole: Rows,
        labels: Members,
        rng: np.random.Generator,
        route: Route | None = None,
    ) -> Rows:
        """Rows (n, all columns of the form) with every missing cell drawn."""
        route = self.route if route is None else route
        course = self.course(route, whole)
        guidance = None if route.guidance == 1 else jnp.float32(route.guidance)
        found = []
        for rows in row_slices(len(whole), _MOST_ROWS):
            key = jax.random.key(int(rng.integers(2**31)))
            batch, mine, n = self.batch(whole[rows], labels[rows])
            numbers, codes = draw_given(self.module, course, batch, mine, guidance, key)
            found.append(self.noise.decode(np.asarray(numbers)[:n], np.asarray(codes)[:n]))
        return np.where(np.isnan(whole), np.concatenate(found), whole)

    def course(self, route: Route, whole: Rows, solver: Solver | None = None) -> Course:
        """How to draw rows of which some cells are known."""
        known = ~np.isnan(whole).all(axis=0)
        # Columns that are always told are known to the network, whatever else it knows.
        told = self.knows_cells or set(np.flatnonzero(known)) <= set(self.told)
        return Course(
            self.schedule,
            self.noise.layout,
            route.steps,
            solver or route.solver,
            route.churn,
            told,
            1 if told else route.repeats,
            not self._is_of_images,
        )

    def batch(self, whole: Rows, labels: Members, *, pad: bool = True) -> tuple[Any, Any, int]:
        """Arrays of rows, their classes as the network is told, and how many they are."""
        fill = partial(padded, fewest=_FEWEST_ROWS) if pad else np.asarray
        form = self.noise.form
        arrays = {name: fill(array) for name, array in form.encode(whole).items()}
        return arrays, one_hot(fill(np.asarray(labels)), 0, self.shape.n_classes), len(whole)

    def begin_rows(
        self, n: int, condition: Mapping[int, Any], labels: Any, rng: np.random.Generator
    ) -> tuple[Rows, Members]:
        """Rows (n, all columns) of which only a condition on values is known, and their classes."""
        whole = self.whole(self.row_of(condition))
        self.check_told(whole)
        return np.repeat(whole, n, axis=0), self._labels(n, labels, rng, whole)

    @property
    def _level_columns(self) -> list[int]:
        """Encoded columns of categories."""
        places = [int(j) for j in self.noise.code_columns]
        return [j for j in places if getattr(self.noise.form.columns[j], "n_levels", 0)]

    # Inside ------------------------------------------------------------------------------------

    def _labels(self, n: int, labels: Any, rng: np.random.Generator, row: Rows) -> Members:
        """Classes that rows are drawn for: as asked, or as probable as a row (1, d) makes them."""
        n_classes = self.shape.n_classes
        if not n_classes:
            return np.zeros(n, dtype=np.intp)
        if labels is not None:
            return np.broadcast_to(np.asarray(labels, dtype=np.intp), (n,)).copy()
        shares = np.exp(self._log_shares_under(row))
        return np.asarray(rng.choice(n_classes, size=n, p=shares / shares.sum()), dtype=np.intp)
