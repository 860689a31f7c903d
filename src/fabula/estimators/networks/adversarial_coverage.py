"""How the mode coverage of a model is measured: its draws beside rows, in the form it learns."""

from __future__ import annotations

from typing import Any

import numpy as np

from fabula.core.arrays import Codes, FloatArray, Rows
from fabula.core.errors import DataError
from fabula.estimators.base.arguments import generator_of, whole_number
from fabula.neural.adversarial.coverage import (
    LevelShare,
    ModeCoverage,
    density_and_coverage,
    ideal_coverage,
    shares_of,
)

__all__ = ["mode_coverage"]

# Distances between more rows than these take long and tell no more.
_MOST_ROWS = 10_000


def mode_coverage(
    model: Any, X: Any, y: Any, n_samples: int | None, n_neighbours: int, random_state: Any
) -> ModeCoverage:
    """See `GenerativeAdversarialNetwork.mode_coverage`."""
    if n_samples is not None:
        whole_number("n_samples", n_samples)
    whole_number("n_neighbours", n_neighbours)
    x = np.asarray(model._read(X), dtype=np.float64)
    if len(x) <= n_neighbours:
        raise DataError(
            f"Draws are compared with more rows than the {n_neighbours} neighbours of each; the "
            f"table has {len(x)}."
        )
    codes = _codes(model, y, len(x))
    rng = generator_of(model.random_state if random_state is None else random_state)
    if len(x) > _MOST_ROWS:
        kept = rng.permutation(len(x))[:_MOST_ROWS]
        near, near_codes = x[kept], None if codes is None else codes[kept]
    else:
        near, near_codes = x, codes
    n = len(x) if n_samples is None else int(n_samples)
    draws, members = _draws(model, n, near, near_codes, rng)
    story = model.story_
    some = min(n, _MOST_ROWS)
    compared = _with_holes_of(near, draws[:some], rng)
    density, coverage = density_and_coverage(
        _places(story, near), _places(story, compared), int(n_neighbours)
    )
    return ModeCoverage(
        density,
        coverage,
        ideal_coverage(len(near), some, int(n_neighbours)),
        len(x),
        n,
        int(n_neighbours),
        tuple(_levels(model, x, draws)),
        tuple(_classes(model, codes, members)),
    )


def _codes(model: Any, y: Any, n: int) -> Codes | None:
    """Codes of the classes of rows."""
    if y is None:
        return None
    found: Codes = model._class_codes(y, n)
    return found


def _draws(
    model: Any, n: int, x: Rows, codes: Codes | None, rng: np.random.Generator
) -> tuple[Rows, np.ndarray]:
    """Encoded draws, under what the rows say of the columns that the model has to be told."""
    story = model.story_
    told = [j for j, column in enumerate(story.columns) if column in story.told]
    if not told:
        rows, members = story.sample(n, rng)
        return rows, members
    chosen = rng.integers(len(x), size=n)
    begun = np.full((n, x.shape[1]), np.nan)
    begun[:, told] = x[chosen][:, told]
    labels = story.labels(n, None if codes is None else codes[chosen], rng)
    drawn = story.complete_whole(story.whole(begun), labels, rng)
    return drawn[:, list(story.columns)], labels


def _with_holes_of(rows: Rows, draws: Rows, rng: np.random.Generator) -> Rows:
    """Draws without the cells that some row is missing: cells that are not there have a place."""
    missing = np.isnan(rows)
    if not missing.any():
        return draws
    return np.where(missing[rng.integers(len(rows), size=len(draws))], np.nan, draws)


def _places(story: Any, x: Rows) -> FloatArray:
    """Where rows stand: normal scores of numbers, levels at a distance of 1 from one another."""
    from fabula.neural.adversarial.draws import vectors_of

    vectors = story.vectors
    seen = vectors_of(story.shape, story.whole(x))
    if not hasattr(vectors, "number_columns"):
        return seen.astype(np.float64)
    parts = set(vectors.level_parts)
    of_levels = [
        np.arange(size) + vectors.n_numbers + vectors.firsts[q]
        for q, (_, size) in enumerate(vectors.parts)
        if q in parts
    ]
    numbers = seen[:, : vectors.n_numbers]
    levels = seen[:, np.concatenate(of_levels)] if of_levels else numbers[:, :0]
    places = np.concatenate([numbers, levels * np.sqrt(0.5)], axis=1).astype(np.float64)
    # Constants alone: all rows stand in one place.
    return places if places.shape[1] else np.zeros((len(x), 1))


def _levels(model: Any, x: Rows, draws: Rows) -> list[LevelShare]:
    found = []
    for j, n_levels in model.columns_.levels.items():
        name = model.columns_.fields[j].column
        names: Any = range(n_levels)
        if model.encoding_ is not None:
            names = model.encoding_.schema[name].levels or names
        cells = [np.nan_to_num(rows[:, j], nan=-1).astype(np.intp) for rows in (x, draws)]
        found += shares_of(str(name), list(names)[:n_levels], *cells)
    return found


def _classes(model: Any, codes: Codes | None, members: np.ndarray) -> list[LevelShare]:
    if codes is None:
        return []
    return shares_of("class", model.classes_.tolist(), codes, np.asarray(members))
