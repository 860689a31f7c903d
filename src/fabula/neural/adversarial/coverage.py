"""What draws leave out of the rows that they should be like: levels, classes, and whole regions.

Density and coverage are those of Naeem, Oh, Uh, Choi and Yoo (2020, ICML). A row has a ball around
it, which reaches to the k-th nearest of the other rows. Coverage is the share of the rows with a
draw in their ball; density is how many balls a draw lies in, over k. Draws of the same law have a
density of 1 on average, and a coverage that is known (`ideal_coverage`).

That holds where no two distances are the same. Levels and numbers that repeat make many equal, so
ties are broken by chance, and what is given is the mean over all ways to break them: then it holds
for columns of any kind.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError

__all__ = ["LevelShare", "ModeCoverage", "density_and_coverage", "ideal_coverage"]

_MOST_SHOWN = 12
# Distances by way of products are as exact as this, for rows of some units.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class LevelShare:
    """How often a level, or a class, occurs.

    Parameters
    ----------
    column : str
    level : str
    n_rows : int
        Rows that have it.
    of_rows, of_draws : float
        Its share among the rows and among the draws.
    """

    column: str
    level: str
    n_rows: int
    of_rows: float
    of_draws: float

    @property
    def is_missing(self) -> bool:
        """Whether rows have it and no draw does."""
        return self.of_rows > 0 and self.of_draws == 0


@dataclass(frozen=True)
class ModeCoverage:
    """What draws leave out.

    Parameters
    ----------
    density : float
        1 for draws like the rows; less where draws lie beside them, more where they crowd.
    coverage : float
        Share of the rows that have a draw near them.
    ideal : float
        The coverage that draws of the same law have on average.
    n_rows, n_draws, n_neighbours : int
    levels : tuple of LevelShare
        One for each level of each column of categories.
    classes : tuple of LevelShare
        One for each class.
    """

    density: float
    coverage: float
    ideal: float
    n_rows: int
    n_draws: int
    n_neighbours: int
    levels: tuple[LevelShare, ...] = ()
    classes: tuple[LevelShare, ...] = ()

    @property
    def missing(self) -> tuple[LevelShare, ...]:
        """Levels and classes that rows have and no draw does, the most frequent first."""
        lost = [one for one in (*self.classes, *self.levels) if one.is_missing]
        return tuple(sorted(lost, key=lambda one: -one.of_rows))

    def to_dict(self) -> dict[str, Any]:
        """Plain values only."""
        missing = [{"column": one.column, "level": one.level} for one in self.missing]
        return {**asdict(self), "missing": missing}

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def __str__(self) -> str:
        """A few lines for people."""
        lines = [
            f"{self.coverage:.1%} of {self.n_rows:,} rows have one of {self.n_draws:,} draws near "
            f"them (draws of the same law: {self.ideal:.1%}); density {self.density:.2f} "
            "(the same law: 1).",
        ]
        shares = (*self.classes, *self.levels)
        if shares:
            lost = self.missing
            names = [f"{one.column} = {one.level} ({one.n_rows:,} rows)" for one in lost]
            rest = f" and {len(lost) - _MOST_SHOWN} more" if len(lost) > _MOST_SHOWN else ""
            what = "classes" if not self.levels else "levels"
            lines.append(
                f"No draw has {', '.join(names[:_MOST_SHOWN])}{rest}."
                if lost
                else f"Draws have all {len([s for s in shares if s.of_rows])} {what} of the rows."
            )
            worst = max(shares, key=lambda one: abs(one.of_rows - one.of_draws))
            lines.append(
                f"The share that is farthest off is that of {worst.column} = {worst.level}: "
                f"{worst.of_draws:.1%} of draws, {worst.of_rows:.1%} of rows."
            )
        return "\n".join(lines)


def ideal_coverage(n_rows: int, n_draws: int, n_neighbours: int) -> float:
    """Coverage that draws of the same law have on average (Naeem et al. 2020, lemma 2)."""
    missed = 1.0
    for i in range(1, n_neighbours + 1):
        missed *= max(n_rows - i, 0) / (n_rows + n_draws - i)
    return 1.0 - missed


def density_and_coverage(
    rows: FloatArray, draws: FloatArray, n_neighbours: int = 5
) -> tuple[float, float]:
    """Density and coverage of draws (m, d) among rows (n, d), by Euclidean distance.

    Raises
    ------
    UsageError
        There are not more rows than neighbours, or no draws.
    """
    from sklearn.neighbors import NearestNeighbors

    if n_neighbours < 1 or len(rows) <= n_neighbours:
        raise UsageError(
            f"n_neighbours must be at least 1 and less than the number of rows ({len(rows)}), not "
            f"{n_neighbours}."
        )
    if not len(draws):
        raise UsageError("There are no draws.")
    reach = NearestNeighbors(n_neighbors=n_neighbours).fit(rows).kneighbors(None)[0][:, -1]
    # Distances by way of products are rounded: what is equal may differ by so little.
    low, high = reach * (1 - 1e-9) - _ROUNDING, reach * (1 + 1e-9) + _ROUNDING
    closer, level = _counts_up_to(rows, rows, low, high)
    # A row is none of its own neighbours, but is among the rows at a distance of 0.
    own = (low >= 0).astype(np.int64)
    closer, level = closer - own, level - closer - (1 - own)
    within, tied = _counts_up_to(rows, draws, low, high)
    tied -= within
    # Of the rows at the distance of the k-th, so many are drawn before the ball is full.
    wanted = np.maximum(n_neighbours - closer, 1)
    level = np.maximum(level, wanted)
    inside = within + tied * wanted / (level + 1)
    missed = np.where(within > 0, 0.0, 1.0)
    for i in range(n_neighbours):
        missed *= np.where(i < wanted, (level - i) / (level + tied - i).clip(min=1), 1.0)
    return float(inside.sum() / (n_neighbours * len(draws))), float(1.0 - missed.mean())


def _counts_up_to(rows: FloatArray, others: FloatArray, *ends: FloatArray) -> list[np.ndarray]:
    """How many of the others lie as near to each row as its end, (n,), for each of some ends."""
    from sklearn.metrics import pairwise_distances_chunked

    counts = [np.empty(len(rows), dtype=np.int64) for _ in ends]
    start = 0
    for part in pairwise_distances_chunked(rows, others):
        mine = slice(start, start + len(part))
        for count, end in zip(counts, ends, strict=True):
            count[mine] = (part <= end[mine, None]).sum(axis=1)
        start = mine.stop
    return counts


def shares_of(
    column: str, names: Sequence[Any], rows: np.ndarray, draws: np.ndarray
) -> list[LevelShare]:
    """Shares of each level among codes of rows and of draws; codes below 0 are left out."""
    counts, made = (
        np.bincount(codes[(codes >= 0) & (codes < len(names))], minlength=len(names))
        for codes in (rows, draws)
    )
    totals = max(int(counts.sum()), 1), max(int(made.sum()), 1)
    return [
        LevelShare(column, str(name), int(n), n / totals[0], m / totals[1])
        for name, n, m in zip(names, counts.tolist(), made.tolist(), strict=True)
    ]
