"""What stands in the missing cells?"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fabula.core.arrays import FloatArray, Responsibilities, Rows
from fabula.core.errors import UsageError
from fabula.structures.mixture import Mixture
from fabula.structures.trees.average import TreeAverage
from fabula.structures.trees.latent_tree import LatentTree
from fabula.structures.trees.modes import has_modes, most_probable_cells

__all__ = ["impute"]

How = Literal["mean", "mode", "draw"]

_DRAWS_WHERE_TOLD = 500


def impute(
    story: Any,
    x: Rows,
    how: How = "mean",
    *,
    levels: dict[int, int] | None = None,
    rng: np.random.Generator | None = None,
    told: Responsibilities | None = None,
) -> Rows:
    """A copy of ``x`` with its NaN cells filled given the cells that were seen.

    Parameters
    ----------
    story
        A story with classes or components.
    x : (n, d) array
    how : {"mean", "mode", "draw"}
        The conditional mean of numbers and the most probable level of categories; the most
        probable value of both; or one draw from the joint conditional distribution, which keeps
        the spread and the dependence that the other two lose.
    levels : dict of int to int, optional
        Columns that are categories, and how many levels each has.
    rng : Generator
        Needed for draws.
    told : (n, K) array, optional
        What explains each row, where more is known of it than stands in ``x``.
    """
    if how == "draw":
        if rng is None:
            raise UsageError("how='draw' needs a random generator.")
        return np.asarray(story.complete(x, rng, told=told))
    if how not in ("mean", "mode"):
        raise UsageError(f"how must be 'mean', 'mode' or 'draw', not {how!r}.")
    missing = np.isnan(x)
    filled: FloatArray = x.astype(np.float64, copy=True)
    if isinstance(story, LatentTree | TreeAverage):
        wanted = range(x.shape[1]) if how == "mode" else (levels or {})
        filled = most_probable_cells(story, filled, [j for j in wanted if has_modes(story, j)])
        missing &= np.isnan(filled)
    categories = {j: n for j, n in (levels or {}).items() if missing[:, j].any()}
    numbers = [j for j in np.flatnonzero(missing.any(axis=0)) if j not in categories]
    if numbers:
        mean = np.asarray(story.complete(x, told=told))
        for j in numbers:
            rows = np.flatnonzero(missing[:, j])
            filled[rows, j] = mean[rows, j]
            if how == "mode":
                filled[rows, j] = _most_probable_numbers(story, x[rows], int(j), mean[rows, j])
    for column, n_levels in categories.items():
        rows = np.flatnonzero(missing[:, column])
        filled[rows, column] = _most_probable_levels(
            story, x[rows], column, n_levels, None if told is None else told[rows]
        )
    return filled


def _most_probable_levels(
    story: Any, x: Rows, column: int, n_levels: int, told: Responsibilities | None
) -> FloatArray:
    """The level with the largest p(level, observed cells), for each row."""
    if isinstance(story, Mixture):
        responsibilities = story.posterior(x)[1] if told is None else told
        part = story.family.univariate_part(column)
        if part is not None:
            bank, within = part
            shares = responsibilities @ bank.level_probabilities(within)
            return np.asarray(shares.argmax(axis=1), dtype=np.float64)
    scores = _scores_at(story, x, column, np.arange(n_levels, dtype=np.float64)[:, None])
    return np.asarray(scores.argmax(axis=0), dtype=np.float64)


def _most_probable_numbers(
    story: Any, x: Rows, column: int, mean: FloatArray, n_grid: int = 41
) -> FloatArray:
    """The value with the largest density given the observed cells, to a fine grid.

    Candidates are spread over draws of the column, so that every mode with any mass is met; the
    best is refined once between its neighbours.
    """
    drawn = _draws(story, x)
    grid = np.quantile(drawn[:, column], np.linspace(0.0, 1.0, n_grid))
    candidates = np.concatenate([np.repeat(grid[:, None], len(x), axis=1), mean[None, :]])
    best = _scores_at(story, x, column, candidates).argmax(axis=0)
    step = np.diff(grid).mean()
    centre = candidates[best, np.arange(len(x))]
    fine = centre[None, :] + step * np.linspace(-1.0, 1.0, n_grid)[:, None]
    if np.all(drawn[:, column] == np.round(drawn[:, column])):
        fine = np.round(fine)
    best = _scores_at(story, x, column, fine).argmax(axis=0)
    return np.asarray(fine[best, np.arange(len(x))])


def _draws(story: Any, x: Rows) -> Rows:
    """Rows of a story; where it does not draw some columns, under what ``x`` says of them."""
    rng = np.random.default_rng(0)
    told = [
        j
        for j, column in enumerate(getattr(story, "columns", ()))
        if column in getattr(story, "told_columns", ())
    ]
    if not told:
        return np.asarray(story.sample(2000, rng)[0])
    some = x[np.arange(_DRAWS_WHERE_TOLD) % len(x)]
    begun = np.full(some.shape, np.nan)
    begun[:, told] = some[:, told]
    return np.asarray(story.complete(begun, rng))


def _scores_at(story: Any, x: Rows, column: int, candidates: FloatArray) -> FloatArray:
    """Log density (m, n) of each row with the column set to each of the candidates (m, n or 1).

    A story whose densities hang on chance, which it takes from the row, must let all candidates
    meet the same, or the best of them would be the luckiest. It has ``log_prob_of_cells(rows,
    column, candidates)``, where the candidates can be told apart without the rest of the row, or
    ``log_prob_by_chance_of(rows, others)``.
    """
    if hasattr(story, "log_prob_of_cells"):
        return np.asarray(story.log_prob_of_cells(x, column, candidates))
    by_chance_of = getattr(story, "log_prob_by_chance_of", None)
    out = np.empty((len(candidates), len(x)))
    for i, values in enumerate(candidates):
        trial = x.astype(np.float64, copy=True)
        trial[:, column] = values
        out[i] = story.log_prob(trial) if by_chance_of is None else by_chance_of(trial, x)
    return out
