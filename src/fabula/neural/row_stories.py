"""What every story of rows told by a network has in common: which columns are asked about.

A network is trained on all columns of a form. A story is of some of them: columns may be given, be
left out, or have to be said because the network was trained under them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from fabula.core.arrays import FloatArray, Rows
from fabula.core.errors import CannotAnswerError, DataError
from fabula.core.regions import Region

__all__ = ["RowStory"]


class RowStory:
    """Columns of a frozen dataclass with ``columns`` and ``given``, and questions about others."""

    estimator: ClassVar[str]
    """Whose story it is, for messages."""

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
                "its density has no closed form; draws under such a condition are to be had from "
                "sample(given=...)",
                ("LatentTreeModel", "MixtureModel"),
            )
        log_density = float(self.log_prob(self.row_of(given))[0])
        rest = tuple(c for j, c in enumerate(self.columns) if j not in given)
        known = {self.columns[j]: float(value) for j, value in given.items()}  # type: ignore[arg-type]
        if not rest:
            return None, log_density
        story = replace(self, columns=rest, given={**self.given, **known})  # type: ignore[type-var]
        return story, log_density

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
