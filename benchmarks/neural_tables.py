"""Networks over tables: adult and shoppers, beside models that need no network.

All learn from the same nine tenths of the rows and are judged by the protocol of
``synthetic_tables``; then once more from one half, with the other half held out. Seconds of
training of each network, and of CTGAN and TVAE: NEURAL_SECONDS (600). NEURAL=diffusion,vae limits
the run to some models, NEURAL=shoppers to a table, and NEURAL=half or NEURAL=most to what is
learned from. Steps and solvers of the diffusion are compared after most of the rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

import fabula
from benchmarks import synthetic_tables as tables
from benchmarks.timing import print_table, words_of
from fabula.estimators.networks.diffusion_questions import SOLVERS

STEPS = (5, 10, 20, 50)
SHARES = {"most": 0.9, "half": 0.5}


def run() -> None:
    """Both tables, both protocols; then steps and solvers."""
    folder = os.environ.get("FABULA_DATA")
    if not folder:
        print("skipped: set FABULA_DATA to the folder that holds adult/ and shoppers/")
        return
    wanted = words_of("NEURAL")
    chosen_tables = [name for name in tables.TABLES if name in wanted] or list(tables.TABLES)
    shares = [SHARES[word] for word in SHARES if word in wanted] or list(SHARES.values())
    names = [word for word in wanted if word not in tables.TABLES and word not in SHARES]
    kept: dict[str, Any] = {}
    for name in chosen_tables:
        table = tables._read(folder, name)
        order = np.random.default_rng(0).permutation(len(table))
        chosen = {
            label: maker
            for label, maker in _makers(kept).items()
            if not names or any(word in label for word in names)
        }
        for share in shares:
            cut = int(share * len(table))
            train, held_out = table[order[:cut]], table[order[cut:]]
            print(f"{name}: {len(train):,} rows learned from, {len(held_out):,} held out\n")
            rows = list(tables._rows(name, train, held_out, chosen, share))
            print_table(["generator", "s", "what", *tables.FIGURES], rows)
            print()
            if share == 0.9 and "diffusion" in kept:
                _steps(kept["diffusion"], held_out)


def _makers(kept: dict[str, Any]) -> dict[str, tuple[tables.Maker, tuple[int, ...]]]:
    seconds = float(os.environ.get("NEURAL_SECONDS", "600"))
    own = {
        "diffusion": lambda seed: fabula.DiffusionModel(max_time=seconds, max_epochs=2000,
                                                        patience=None, random_state=seed),
        "vae": lambda seed: fabula.VariationalAutoencoder(max_time=seconds, max_epochs=2000,
                                                          random_state=seed),
        "gan": lambda seed: fabula.GenerativeAdversarialNetwork(max_time=seconds, max_epochs=2000,
                                                                random_state=seed),
    }  # fmt: skip
    found = {name: (_made_by(name, make, kept), (0,)) for name, make in own.items()}
    return {**found, **tables.makers(seconds)}


def _made_by(name: str, make: Callable[[int], Any], kept: dict[str, Any]) -> tables.Maker:
    def made(train: pl.DataFrame, _: str, seed: int) -> tuple[pl.DataFrame, float, str]:
        model = make(seed)
        began = time.perf_counter()
        model.fit(train)
        took = time.perf_counter() - began
        kept[name] = model
        began = time.perf_counter()
        drawn = model.sample(len(train), random_state=seed)[0]
        drawing = time.perf_counter() - began
        what = f"{model.report_.n_steps:,} steps, {drawing:.0f} s to draw"
        return drawn, took, what

    return made


def _steps(model: Any, held_out: pl.DataFrame) -> None:
    table = model.steps_table(held_out, STEPS, SOLVERS, n_samples=2000, random_state=0)
    print_table(list(table[0]), [list(row.values()) for row in table])
    print()
