"""Cells filled in, and densities learned around gaps: a variational autoencoder and its peers.

Cells are taken out at random; every model learns from four fifths of the rows as they then are.
What is compared: the error of the cells that were taken out of the other rows, in standard
deviations of their columns, and the mean log density of these rows when nothing is missing.
NEURAL_SECONDS (60) is the time of the network for each fit; NEURAL=shoppers,digits limits the run.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import fabula
from benchmarks.timing import is_asked, print_table

SHARES = (0.2, 0.5)
MOST_COMPONENTS = 12


def run() -> None:
    """Three tables of numbers."""
    warnings.simplefilter("ignore")
    for name, table in _tables().items():
        if not is_asked(name):
            continue
        for share in SHARES:
            print(f"{name}, {share:.0%} of the cells missing\n")
            print_table(["model", "s", "RMSE", "nats a complete row"], _compared(table, share))
            print(flush=True)


def _tables() -> dict[str, np.ndarray]:
    from sklearn.datasets import load_breast_cancer, load_digits

    found = {
        "breast cancer, 569 x 30": load_breast_cancer().data,
        "digits, 1,797 x 64": load_digits().data,
    }
    path = Path(os.environ.get("FABULA_DATA", ".")) / "shoppers/online_shoppers_intention.csv"
    if path.is_file():
        from benchmarks.synthetic_tables import NUMBERS

        table = fabula.read_table(path).select(NUMBERS["shoppers"])
        found["shoppers, 12,330 x 10"] = table.to_numpy().astype(float)
    return found


def _compared(table: np.ndarray, share: float) -> list[list[object]]:
    rng = np.random.default_rng(0)
    rows = table[rng.permutation(len(table))]
    scale = np.where(rows.std(0) > 0, rows.std(0), 1.0)
    holes = np.where(rng.random(rows.shape) < share, np.nan, rows)
    cut = int(0.8 * len(rows))
    truth, seen = rows[cut:], holes[cut:]
    gaps = np.isnan(seen)

    def error(filled: np.ndarray) -> float:
        return float(np.sqrt(np.mean(np.square((filled - truth) / scale)[gaps])))

    out: list[list[object]] = []
    for name, learn in (
        ("autoencoder", _autoencoder),
        ("normal mixture, full", _mixture),
        ("latent tree", _tree),
        ("iterative imputer, scikit-learn", _iterative),
        ("column means", _means),
    ):
        began = time.perf_counter()
        model = learn(holes[:cut])
        seconds = time.perf_counter() - began
        filled = model.impute(seen) if hasattr(model, "impute") else model.transform(seen)
        nats = ""
        if hasattr(model, "score_samples"):
            options = {"n_importance": 500} if name == "autoencoder" else {}
            nats = f"{np.mean(model.score_samples(truth, **options)):.2f}"
        out.append([name, f"{seconds:.0f}", f"{error(np.asarray(filled)):.3f}", nats])
    return out


def _autoencoder(rows: np.ndarray) -> Any:
    seconds = float(os.environ.get("NEURAL_SECONDS", "60"))
    kinds = dict.fromkeys(range(rows.shape[1]), "continuous")
    return fabula.VariationalAutoencoder(
        10, n_draws=5, kinds=kinds, max_time=seconds, random_state=0
    ).fit(rows)


def _mixture(rows: np.ndarray) -> Any:
    """The number of members with the lowest BIC."""
    models = [
        fabula.GaussianMixture(k, reg_covar=1e-3, random_state=0).fit(rows)
        for k in range(1, MOST_COMPONENTS + 1)
        if len(rows) > 10 * k
    ]
    return min(models, key=lambda model: model.bic(rows))


def _tree(rows: np.ndarray) -> Any:
    kinds = dict.fromkeys(range(rows.shape[1]), "continuous")
    return fabula.LatentTreeModel(kinds=kinds, max_time=30.0, random_state=0).fit(rows)


def _iterative(rows: np.ndarray) -> Any:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    return IterativeImputer(max_iter=20, random_state=0).fit(rows)


def _means(rows: np.ndarray) -> Any:
    from sklearn.impute import SimpleImputer

    return SimpleImputer().fit(rows)
