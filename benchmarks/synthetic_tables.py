"""Synthetic tables: adult and shoppers told by us and by others, all judged alike.

Every generator learns from the same nine tenths of the rows and is judged by the published
protocol (a two-sample test with XGBoost at its defaults, shape and trend errors as SDMetrics
defines them, β-recall, gradient boosting that learns from synthetic rows and is tested on real
ones); and once more from one half, with the other half held out, which tells whether draws lie
closer to the rows that were learned from.

CTGAN, TVAE and the Gaussian copula need an older pandas than this project's environment has: set
FABULA_PEER_PYTHON to the Python of an environment with ``ctgan`` and ``copulas``. Names of
generators or tables on the command line, as in ``SYNTHETIC=tree,mixture``, limit the run.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.timing import print_table, words_of
from fabula import LatentTreeModel, MixtureModel
from fabula.evaluation.synthetic import Judgement, judge

TABLES = {
    "adult": ("adult/adult.csv", "income"),
    "shoppers": ("shoppers/online_shoppers_intention.csv", "Revenue"),
}

# Numbers as published comparisons have them; all else is a category.
NUMBERS = {
    "adult": (
        "age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week",
    ),
    "shoppers": (
        "Administrative", "Administrative_Duration", "Informational", "Informational_Duration",
        "ProductRelated", "ProductRelated_Duration", "BounceRates", "ExitRates", "PageValues",
        "SpecialDay",
    ),
}  # fmt: skip

SECONDS = (10.0, 60.0)
SEEDS = (0, 1, 2)
FIGURES = {
    "C2ST": "c2st",
    "C2ST, held out": "c2st_holdout",
    "shape %": "shape_error",
    "trend %": "trend_error",
    "β-recall": "beta_recall",
    "AUC of what learned": "utility",
    "closest": "closest_share",
}
PERCENT = ("shape_error", "trend_error")

# Published two-sample scores (XGBoost), shape and trend errors in per cent: TabPC's table of
# comparisons (2025), with the figures of TabSyn (2024) and TabDiff (2025) as they are given there.
PUBLISHED = {
    "adult": {
        "TabSyn": (0.79, None, None), "TabDiff": (0.84, None, 1.5), "TabPC": (0.86, 0.58, None),
    },
    "shoppers": {
        "TabSyn": (0.66, None, None), "TabDiff": (0.74, None, 1.9), "TabPC": (0.89, 0.90, None),
    },
}  # fmt: skip

_PEER = """
import json, sys, time, warnings
import numpy as np, pandas as pd
warnings.simplefilter("ignore")
kind, source, target, categories, seconds, seed, n = json.loads(sys.argv[1])
table = pd.read_parquet(source)
began, what = time.perf_counter(), ""
if kind == "copula":
    from copulas.multivariate import GaussianMultivariate
    from copulas.univariate import BetaUnivariate
    np.random.seed(seed)
    codes, levels = table.copy(), {}
    rng = np.random.default_rng(seed)
    for name in categories:  # each level an interval of (0, 1) of the length of its share
        shares = table[name].value_counts(normalize=True)
        ends = np.concatenate([[0.0], shares.cumsum().to_numpy()])
        place = table[name].map({level: i for i, level in enumerate(shares.index)}).to_numpy()
        codes[name] = ends[place] + rng.random(len(table)) * (ends[place + 1] - ends[place])
        levels[name] = shares.index, ends
    model = GaussianMultivariate(distribution=BetaUnivariate, random_state=seed)
    model.fit(codes.astype(float))
    took = time.perf_counter() - began
    made = model.sample(n)
    for name, (index, ends) in levels.items():
        place = np.searchsorted(ends, made[name].clip(0, 1), side="right") - 1
        place = np.clip(place, 0, len(index) - 1)
        made[name] = index.to_numpy()[place]
else:
    import torch
    from ctgan.synthesizers import ctgan, tvae
    epochs = 0
    def until_time_is_up(*_, **__):  # in place of their bar of progress over epochs
        global epochs
        while time.perf_counter() - began < seconds:
            epochs += 1
            yield epochs
    ctgan.tqdm = tvae.tqdm = until_time_is_up
    torch.manual_seed(seed); np.random.seed(seed)
    model = {"CTGAN": ctgan.CTGAN, "TVAE": tvae.TVAE}[kind](enable_gpu=False)
    model.fit(table, categories)
    took = time.perf_counter() - began
    what = f"{epochs} epochs"
    made = model.sample(n)
for name in table.columns:
    if name not in categories:
        made[name] = made[name].astype(float)
        if (table[name] == table[name].round()).all():
            made[name] = made[name].round()
        made[name] = made[name].clip(table[name].min(), table[name].max())
made.to_parquet(target)
print(what, took, sep="\t")
"""

Maker = Callable[[pl.DataFrame, str, int], tuple[pl.DataFrame, float, str]]


def makers(seconds_of_peers: float = SECONDS[-1]) -> dict[str, tuple[Maker, tuple[int, ...]]]:
    """How each generator makes a table of the same length, and with which seeds."""
    found: dict[str, tuple[Maker, tuple[int, ...]]] = {
        "mixture": (_mixture, SEEDS[:1]),
        **{f"tree, {seconds:.0f} s": (_tree(seconds), SEEDS) for seconds in SECONDS},
    }
    if os.environ.get("FABULA_PEER_PYTHON"):
        for kind in ("copula", "CTGAN", "TVAE"):
            found[kind] = _peer(kind, seconds_of_peers), SEEDS[:1]
    return found


def run() -> None:
    """Both tables, both protocols."""
    folder = os.environ.get("FABULA_DATA")
    if not folder:
        print("skipped: set FABULA_DATA to the folder that holds adult/ and shoppers/")
        return
    wanted = words_of("SYNTHETIC")
    for name in TABLES:
        if set(wanted) & set(TABLES) and name not in wanted:
            continue
        table = _read(folder, name)
        rng = np.random.default_rng(0)
        order = rng.permutation(len(table))
        chosen = {
            label: made
            for label, made in makers().items()
            if not set(wanted) - set(TABLES) or any(word in label for word in wanted)
        }
        for share in (0.9, 0.5):
            cut = int(share * len(table))
            train, held_out = table[order[:cut]], table[order[cut:]]
            print(f"{name}: {len(train):,} rows learned from, {len(held_out):,} held out\n")
            rows = list(_rows(name, train, held_out, chosen, share))
            print_table(["generator", "s", "what", *FIGURES], rows)
            print()


def _rows(
    name: str,
    train: pl.DataFrame,
    held_out: pl.DataFrame,
    chosen: dict[str, tuple[Maker, tuple[int, ...]]],
    share: float,
) -> Iterator[list[object]]:
    floors_shown = False
    for label, (make, seeds) in chosen.items():
        found: list[dict[str, Any]] = []
        seconds: list[float] = []
        what = ""
        for seed in seeds if share == 0.9 else seeds[:1]:
            made, took, what = make(train, name, seed)
            judged = _judged(name, train, made, held_out, seed)
            if not floors_shown:
                for floor in judged.table()[1:]:
                    yield [floor["table"], "", "", *_figures([floor])]
                floors_shown = True
            found.append(judged.table()[0])
            seconds.append(took)
        yield [label, f"{np.mean(seconds):.0f}", what, *_figures(found)]
    if share == 0.9:
        for label, (score, shape, trend) in PUBLISHED[name].items():
            yield [f"{label}, published", "", "", score, "", shape or "", trend or "", "", "", ""]


def _figures(found: list[dict[str, Any]]) -> list[str]:
    out = []
    for key in FIGURES.values():
        values = np.array([row[key] for row in found if row[key] is not None], dtype=float)
        if not len(values):
            out.append("")
            continue
        values = 100 * values if key in PERCENT else values
        digits = 2 if key in PERCENT else 3
        spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
        out.append(f"{values.mean():.{digits}f}{spread}")
    return out


def _judged(
    name: str, train: pl.DataFrame, made: pl.DataFrame, held_out: pl.DataFrame, seed: int
) -> Judgement:
    return judge(
        train, made.select(train.columns), held_out, TABLES[name][1], seed,
        classifier="xgboost", kinds=_kinds(name),
    )  # fmt: skip


def _kinds(name: str) -> dict[str, str]:
    return dict.fromkeys(NUMBERS[name], "continuous")


def _read(folder: str, name: str) -> pl.DataFrame:
    """The table with levels as text, "?" among them, as published comparisons have it."""
    table = pl.read_csv(Path(folder) / TABLES[name][0], infer_schema_length=None)
    others = [column for column in table.columns if column not in NUMBERS[name]]
    return table.with_columns(pl.col(others).cast(pl.String))


def _tree(seconds: float) -> Maker:
    def make(train: pl.DataFrame, name: str, seed: int) -> tuple[pl.DataFrame, float, str]:
        model = LatentTreeModel(aim="likeness", max_time=seconds, random_state=seed)
        began = time.perf_counter()
        model.fit(train)
        took = time.perf_counter() - began
        made = model.sample(len(train), random_state=seed)[0]
        return made, took, f"{model.n_states_} states"

    return make


def _mixture(train: pl.DataFrame, name: str, seed: int) -> tuple[pl.DataFrame, float, str]:
    model = MixtureModel(60, families="auto", max_iter=60, random_state=seed)
    began = time.perf_counter()
    model.fit(train)
    took = time.perf_counter() - began
    return model.sample(len(train), random_state=seed)[0], took, "60 components"


def _peer(kind: str, seconds: float) -> Maker:
    def make(train: pl.DataFrame, name: str, seed: int) -> tuple[pl.DataFrame, float, str]:
        import json

        others = [column for column in train.columns if column not in NUMBERS[name]]
        with tempfile.TemporaryDirectory() as folder:
            source, target = f"{folder}/real.parquet", f"{folder}/made.parquet"
            train.write_parquet(source)
            given = json.dumps([kind, source, target, others, seconds, seed, len(train)])
            done = subprocess.run(
                [os.environ["FABULA_PEER_PYTHON"], "-c", _PEER, given],
                capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"{kind} failed:\n{done.stderr[-2000:]}")
            made = pl.read_parquet(target)
        what, took = done.stdout.splitlines()[-1].split("\t")
        return made, float(took), what

    return make
