"""What missing cells cost: EM with a fifth of the cells missing beside EM on all of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import fabula
from benchmarks.timing import print_table, race

ITERATIONS = 20


def run() -> None:
    """Few patterns of missing cells (8 columns) and one for almost every row (30 columns)."""
    warnings.simplefilter("ignore")
    rows: list[list[object]] = []
    for n, d, k in ((50_000, 8, 5), (50_000, 30, 5)):
        whole, holes, settings = _data(n, d, k)
        patterns = len(np.unique(np.isnan(holes), axis=0))
        seconds = race({"complete": _fit(whole, settings), "missing": _fit(holes, settings)})
        ratio = seconds["missing"] / seconds["complete"]
        rows.append(
            [f"{n:,} x {d}, K={k}", f"{patterns:,}", seconds["complete"], seconds["missing"], ratio]
        )
    print_table(["data", "patterns", "complete, s", "20 % missing, s", "ratio"], rows)


def _data(n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    rng = np.random.default_rng(0)
    centres = 2.0 * rng.normal(size=(k, d))
    whole = centres[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    holes = np.where(rng.random((n, d)) < 0.2, np.nan, whole)
    settings = {
        "n_components": k,
        "tol": 0.0,
        "max_iter": ITERATIONS,
        "means_init": whole[:k],
        "init_params": "random_from_data",
        "random_state": 0,
    }
    return whole, holes, settings


def _fit(x: np.ndarray, settings: dict[str, Any]) -> Callable[[], object]:
    return lambda: fabula.GaussianMixture(**settings).fit(x)
