"""Latent trees: likelihood of binary sets, missing cells, and cost by rows, columns and states.

Data come from the folder that FABULA_DATA names; what is not there is left out.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.timing import print_table
from fabula.estimators.latent_tree_model import LatentTreeModel

# Published mean log likelihood of the test rows, nats: Chow–Liu tree, strong circuits.
BINARY = {"nltcs": (-6.76, -6.0), "plants": (-16.52, -12.5), "dna": (-87.7, -80.0)}
SHARES_MISSING = (0.2, 0.5)


def run() -> None:
    """All three."""
    folder = Path(os.environ.get("FABULA_DATA", "."))
    _binary(folder)
    print()
    _missing(folder)
    print()
    _cost()


def _binary(folder: Path) -> None:
    rows: list[list[object]] = []
    for name, (tree, best) in BINARY.items():
        if not (folder / name).is_dir():
            continue
        train, valid, test = (
            np.loadtxt(folder / name / f"{name}.{part}.data", delimiter=",")
            for part in ("train", "valid", "test")
        )
        kinds = dict.fromkeys(range(train.shape[1]), "boolean")
        model = LatentTreeModel(kinds=kinds, max_time=120.0, max_passes=60, random_state=0)
        began = time.perf_counter()
        model.fit(np.concatenate([train, valid]))
        seconds = time.perf_counter() - began
        rows.append([name, model.n_states_, seconds, f"{model.score(test):.3f}", tree, best])
    print_table(["set", "H", "s", "test nats", "Chow–Liu tree", "strong circuits"], rows)


def _missing(folder: Path) -> None:
    """Adult with cells taken out at random: learn around the gaps, or fill them in first."""
    path = folder / "adult" / "adult.csv"
    if not path.is_file():
        return
    table = pl.read_csv(path, infer_schema_length=None, null_values="?")
    rng = np.random.default_rng(0)
    order = rng.permutation(len(table))
    cut = int(0.8 * len(table))
    train, test = table[order[:cut]], table[order[cut:]]
    rows: list[list[object]] = []

    def tell(name: str, share: float, model: LatentTreeModel) -> None:
        said = model.predict_proba(test, target="income")
        classes = list(model.classes_of("income"))
        truth = np.array([classes.index(value) for value in test["income"]])
        loss = -float(np.mean(np.log(said[np.arange(len(truth)), truth])))
        rows.append(
            [f"{share:.0%}", name, model.n_states_, f"{model.score(test):.2f}", f"{loss:.4f}"]
        )

    def fitted(rows: pl.DataFrame) -> LatentTreeModel:
        return LatentTreeModel(64, missing="ignore", max_passes=20, random_state=0).fit(rows)

    tell("nothing missing", 0.0, fitted(train))
    for share in SHARES_MISSING:
        holes = train.select(
            pl.when(pl.Series(rng.random(len(train)) >= share)).then(pl.col(name)).alias(name)
            for name in train.columns
        )
        tell("integrated out", share, fitted(holes))
        filled = holes.with_columns(
            # A value of the column: a mean between two would look like a finer precision.
            holes[name].fill_null(holes[name].quantile(0.5, "nearest"))
            if holes[name].dtype.is_numeric()
            else holes[name].fill_null(holes[name].drop_nulls().mode().sort()[0])
            for name in holes.columns
        )
        tell("median or most frequent value filled in first", share, fitted(filled))
        drawn = fitted(holes).impute(holes, "draw", random_state=0)
        tell("drawn from the tree, then fitted anew", share, fitted(drawn))
    header = ["missing", "learned from", "H", "test nats a row", "log loss of income"]
    print_table(header, rows)


def _cost() -> None:
    """Seconds of a pass, by rows, columns and states; memory at the largest."""
    rows: list[list[object]] = []
    rng = np.random.default_rng(0)
    for n, d, states in (
        (100_000, 20, 64),
        (200_000, 20, 64),
        (100_000, 40, 64),
        (100_000, 20, 128),
        (1_000_000, 50, 64),
    ):
        group = rng.integers(100, size=n)
        x = rng.integers(8, size=(100, d))[group].astype(np.float32)
        noise = rng.random(x.shape, dtype=np.float32) < 0.3
        x[noise] = rng.integers(8, size=int(noise.sum()))
        model = LatentTreeModel(
            states, kinds=dict.fromkeys(range(d), "category"), max_passes=3, random_state=0
        )
        began = time.perf_counter()
        model.fit(x)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.append([f"{n:,} x {d}", states, seconds, model.n_iter_, peak])
    print_table(["data", "H", "s", "passes, all stages", "peak GiB, process"], rows)
