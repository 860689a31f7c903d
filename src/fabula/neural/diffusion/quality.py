"""How good draws are after how many steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray, Rows

__all__ = ["energy_distance", "marginal_distance", "steps_table"]

_MOST_DRAWS = 2000
_EVALUATIONS = {"heun": 2}


def steps_table(
    story: Any,
    x: Rows,
    steps: Sequence[int],
    solvers: Sequence[str],
    n: int | None,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Distances of draws from rows (n, d), for each solver and number of steps."""
    levels = _levels(story)
    whole = x[~np.isnan(x).any(axis=1)]
    x = whole if len(whole) >= 50 else np.where(np.isnan(x), np.nanmedian(x, axis=0), x)
    n = min(len(x), _MOST_DRAWS) if n is None else int(n)
    seed = int(rng.integers(2**31))
    table: list[dict[str, Any]] = []
    for solver in solvers:
        for number in steps:
            route = replace(story.route, steps=int(number), solver=solver, guidance=1.0)
            began = time.perf_counter()
            drawn, _ = story.sample(n, np.random.default_rng(seed), route=route)
            taken = time.perf_counter() - began
            evaluations = int(number) * _EVALUATIONS.get(solver, 1)
            named = {"solver": solver, "steps": int(number), "evaluations": evaluations}
            table.append({**named, "seconds": taken, **_distances(x, drawn, levels, rng)})
    order = rng.permutation(len(x))
    half = len(x) // 2
    own = _distances(x[order[:half]], x[order[half:]], levels, rng)
    none = {"solver": "(the rows themselves, halved)", "steps": 0, "evaluations": 0}
    return [*table, {**none, "seconds": 0.0, **own}]


def _levels(story: Any) -> dict[int, int]:
    """Columns of categories, and how many levels each has."""
    columns = getattr(story.noise.form, "columns", ())
    found = {j: getattr(column, "n_levels", 0) for j, column in enumerate(columns)}
    return {at: found[j] for at, j in enumerate(story.columns) if found.get(j)}


def _distances(
    x: Rows, y: Rows, levels: dict[int, int], rng: np.random.Generator
) -> dict[str, float]:
    return {
        "marginal": float(np.mean(marginal_distance(x, y, levels))),
        "energy": energy_distance(_spread(x, x, levels), _spread(y, x, levels), rng),
    }


def marginal_distance(x: Rows, y: Rows, levels: dict[int, int]) -> FloatArray:
    """Of each column (d,): Kolmogorov and Smirnov's distance; total variation for levels."""
    found = []
    for j in range(x.shape[1]):
        if j in levels:
            shares = [
                np.bincount(a[:, j].astype(int), minlength=levels[j] + 1) / len(a) for a in (x, y)
            ]
            found.append(0.5 * np.abs(shares[0] - shares[1]).sum())
            continue
        both = np.unique(np.concatenate([x[:, j], y[:, j]]))
        below = [np.searchsorted(np.sort(a[:, j]), both, side="right") / len(a) for a in (x, y)]
        found.append(np.abs(below[0] - below[1]).max())
    return np.asarray(found)


def energy_distance(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, without bias (Székely and Rizzo 2013), of 1,000 rows."""
    from scipy.spatial.distance import cdist, pdist

    x, y = (a[rng.permutation(len(a))[:1000]] for a in (x, y))
    return float(2 * cdist(x, y).mean() - pdist(x).mean() - pdist(y).mean())


def _spread(rows: Rows, like: Rows, levels: dict[int, int]) -> FloatArray:
    """Numbers in standard deviations of ``like``, and levels as zeros and ones."""
    parts = []
    for j in range(rows.shape[1]):
        if j in levels:
            hot = rows[:, j, None] == np.arange(levels[j])
            parts.append(hot / np.sqrt(2.0))
            continue
        width = float(like[:, j].std()) or 1.0
        parts.append((rows[:, j, None] - like[:, j].mean()) / width)
    return np.concatenate(parts, axis=1)
