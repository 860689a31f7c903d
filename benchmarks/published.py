"""Published log likelihoods of well-known mixtures, and ours on the same data."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

import fabula
from benchmarks.timing import print_table

CASES = [
    ("diabetes, corrected", "diabetes_corrected.csv", "class", 3, "full", -2295.118, 1.0),
    ("faithful", "faithful.csv", None, 3, "tied", -1126.326, 1.0),
    ("acidity", "acidity.csv", None, 2, "full", -185.949, 1.0),
    ("galaxies, in 1,000 km/s", "galaxies.csv", None, 4, "full", -203.179, 1000.0),
]


def run() -> None:
    """The best of twenty starts, beside the published value (mclust)."""
    folder = os.environ.get("FABULA_DATA")
    if not folder:
        print("skipped: set FABULA_DATA to the folder that holds mclust/")
        return
    rows: list[list[object]] = []
    for title, file, label, k, kind, published, unit in CASES:
        table = pl.read_csv(Path(folder) / "mclust" / file)
        x = table.drop([label] if label else []).to_numpy().astype(float) / unit
        model = fabula.GaussianMixture(
            k, covariance_type=kind, n_init=20, tol=1e-7, max_iter=5000, random_state=0
        ).fit(x)
        ours = float(model.score_samples(x).sum())
        rows.append([title, f"K={k}, {kind}", f"{published:.3f}", f"{ours:.3f}"])
    print_table(["data", "model", "published log likelihood", "fabula"], rows)
