"""Twenty labels, alone and together with all the rows that have none."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

import fabula
from benchmarks.timing import print_table

N_LABELS = 20
N_DRAWS = 20


def run() -> None:
    """Held-out log loss averaged over twenty draws of the labels."""
    warnings.simplefilter("ignore")
    rows: list[list[object]] = []
    for name, (x, y) in tables().items():
        for model in ("LinearDiscriminantAnalysis", "NaiveBayes"):
            alone, together = learn(model, x, y)
            difference = alone - together
            error = difference.std(ddof=1) / np.sqrt(N_DRAWS)
            rows.append(
                [name, model, alone.mean(), together.mean(),
                 f"{difference.mean():+.3f} ± {error:.3f}"]
            )  # fmt: skip
    print(f"{N_LABELS} labels (every class at least once), {N_DRAWS} draws, log loss in nats\n")
    print_table(["data", "model", "labels alone", "with the rest", "gain ± s.e."], rows)


def tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Five tables with classes; banknote only where FABULA_DATA is set."""
    import polars as pl
    from sklearn import datasets

    out = {
        name: getattr(datasets, f"load_{name}")(return_X_y=True)
        for name in ("iris", "wine", "breast_cancer", "digits")
    }
    folder = os.environ.get("FABULA_DATA")
    if folder:
        notes = pl.read_csv(Path(folder) / "mclust/banknote.csv")
        genuine = (notes["Status"] == "genuine").to_numpy().astype(int)
        out["banknote"] = (notes.drop("Status").to_numpy().astype(float), genuine)
    return out


def learn(
    model: str, x: np.ndarray, y: np.ndarray, n_draws: int = N_DRAWS
) -> tuple[np.ndarray, np.ndarray]:
    """Log loss on the rows whose labels were hidden: learned without them, and with them."""
    alone, together = np.empty(n_draws), np.empty(n_draws)
    for draw in range(n_draws):
        rng = np.random.default_rng(draw)
        while True:
            order = rng.permutation(len(y))
            labelled, hidden = order[:N_LABELS], order[N_LABELS:]
            if len(np.unique(y[labelled])) == len(np.unique(y)):
                break
        partly = np.full(len(y), -1)
        partly[labelled] = y[labelled]
        make = getattr(fabula, model)
        first = make("normal") if model == "NaiveBayes" else make()
        second = make("normal") if model == "NaiveBayes" else make()
        alone[draw] = _loss(first.fit(x[labelled], y[labelled]), x[hidden], y[hidden])
        together[draw] = _loss(second.fit(x, partly), x[hidden], y[hidden])
    return alone, together


def _loss(model: object, x: np.ndarray, y: np.ndarray) -> float:
    log_proba = model.predict_log_proba(x)[np.arange(len(y)), y]
    return float(-np.maximum(log_proba, np.log(1e-15)).mean())
