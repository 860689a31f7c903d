"""What every story of rows told by a network has in common: which columns are asked about.

A network is trained on all columns of a form. A story is of some of them: columns may be given, be
left out, or have to be said because the network was trained under them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from fabula.core.arrays import FloatArray, Members, Rows
from fabula.core.errors import CannotAnswerError, DataError
from fabula.core.regions import Region
from fabula.neural.networks.base import Network

__all__ = ["RowStory", "filled_with_means", "rows_meeting"]

_MOST_TRIES = 200
_MOST_ROWS_AT_ONCE = 16_384
_DRAWS_FOR_MEAN = 32


class RowStory:
    """What a frozen dataclass with ``network``, ``columns`` and ``given`` answers about columns."""

    estimator: ClassVar[str]
    """Whose story it is, for messages."""
    why_values_only: ClassVar[str] = (
        "its density has no closed form; draws under such a condition are to be had from "
        "sample(given=...)"
    )
    """Why `condition` takes no intervals or sets, for messages."""

    network: Network
    columns: tuple[int, ...]
    given: Mapping[int, float]

    @property
    @abstractmethod
    def form_columns(self) -> int:
        """Number of columns of the form."""

    @property
    @abstractmethod
    def told_columns(self) -> tuple[int, ...]:
        """Columns of the form that the network was trained under, and does not draw."""

    @abstractmethod
    def log_prob(self, x: Rows) -> FloatArray:
        """Log density of rows (n,), or what stands for it."""

    @cached_property
    def module(self) -> Any:
        """The network itself."""
        return self.network.build()

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(int(a.size) for a in self.network.weights.values())

    @property
    def n_columns(self) -> int:
        """d."""
        return len(self.columns)

    def marginal(self, columns: Sequence[int]) -> Self:
        """The story of some columns; the others are left out."""
        kept = tuple(self.columns[j] for j in columns)
        return replace(self, columns=kept)  # type: ignore[type-var]

    def condition(self, given: Mapping[int, float | Region]) -> tuple[Self | None, float]:
        """The story of the other columns given values of some, and the log density of these.

        That density is what `log_prob` says: a bound, or an estimate.
        """
        if any(not isinstance(value, int | float) for value in given.values()):
            raise CannotAnswerError(
                "condition on an interval or a set",
                self.estimator,
                self.why_values_only,
                ("LatentTreeModel", "MixtureModel"),
            )
        log_density = self.log_density_of(given)
        rest = tuple(c for j, c in enumerate(self.columns) if j not in given)
        known = {self.columns[j]: float(value) for j, value in given.items()}  # type: ignore[arg-type]
        if not rest:
            return None, log_density
        story = replace(self, columns=rest, given={**self.given, **known})  # type: ignore[type-var]
        return story, log_density

    def log_density_of(self, given: Mapping[int, Any]) -> float:
        """Log density of values of some columns."""
        return float(self.log_prob(self.row_of(given))[0])

    def row_of(self, values: Mapping[int, Any]) -> Rows:
        """A row (1, d) of which only some values are known."""
        row = np.full((1, self.n_columns), np.nan)
        for j, value in values.items():
            row[0, j] = value
        return row

    def whole(self, x: Rows) -> Rows:
        """Rows (n, all columns of the form), with what is given."""
        whole = np.full((len(x), self.form_columns), np.nan)
        whole[:, list(self.columns)] = x
        for j, value in self.given.items():
            whole[:, j] = value
        return whole

    def check_told(self, whole: Rows) -> None:
        """Refuse to draw where nothing is known of the columns that have to be said."""
        if self.told_columns and np.isnan(whole[0, list(self.told_columns)]).all():
            raise DataError(
                "The model was fitted given some columns, which it does not draw: say what they "
                "are, with given={column: value}."
            )


def rows_meeting(
    n: int,
    conditions: Mapping[int, float | Region],
    draw: Callable[[int], tuple[Rows, Members]],
) -> tuple[Rows, Members]:
    """``n`` rows that ``draw(number)`` gives, and their classes: those that meet conditions.

    How many are asked for follows from the share that met them so far.

    Raises
    ------
    DataError
        Hardly any draw meets them.
    """
    found: list[FloatArray] = []
    kept: list[Members] = []
    have = tried = 0
    while have < n:
        if tried > _MOST_TRIES * max(n, 50):
            raise DataError(
                f"Of {tried} draws of the model, {have} meet the condition, not {n}: it is too "
                "improbable to be drawn. Give wider intervals, or fewer."
            )
        rate = max(have, 0.5) / max(tried, 1)
        wanted = max((n - have) / rate * 1.2, n - have)
        ask = int(min(wanted, _MOST_ROWS_AT_ONCE)) if conditions else n
        rows, members = draw(ask)
        good = np.ones(ask, dtype=bool)
        for j, condition in conditions.items():
            if isinstance(condition, int | float):
                good &= rows[:, j] == condition
            else:
                good &= condition.contains(rows[:, j])
        found.append(rows[good])
        kept.append(members[good])
        have, tried = have + int(good.sum()), tried + ask
    return np.concatenate(found)[:n], np.concatenate(kept)[:n]


def filled_with_means(rows: Rows, draw: Callable[[], Rows], level_columns: Sequence[int]) -> Rows:
    """Rows with their missing cells filled by what several draws of the rows have in the middle."""
    drawn = np.stack([draw() for _ in range(_DRAWS_FOR_MEAN)])
    return np.where(np.isnan(rows), _middle_of_draws(drawn, level_columns), rows)


def _middle_of_draws(draws: FloatArray, level_columns: Sequence[int]) -> Rows:
    """Means of numbers, and most frequent levels, of draws (m, n, d)."""
    middle = draws.mean(axis=0)
    for j in level_columns:
        levels = np.sort(draws[:, :, j], axis=0)
        counts = (levels[:, None] == levels[None]).sum(axis=1)
        middle[:, j] = np.take_along_axis(levels, counts.argmax(axis=0)[None], axis=0)[0]
    return np.asarray(middle)
