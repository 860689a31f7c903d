"""Networks over characters beside Markov chains and a compressor: bits, names, speed."""

from __future__ import annotations

import lzma
import math
import os
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import print_table
from fabula.estimators.autoregressive_model import AutoregressiveModel
from fabula.estimators.markov_chain import MarkovChain

# Seconds of training for each network; the figures that are printed are those of 900.
SECONDS = float(os.environ.get("FABULA_BENCHMARK_SECONDS", "900"))
NETWORKS = {
    "recurrent, 256": {},
    "recurrent, 512": {"width": 512, "dropout": 0.2, "learning_rate": 4e-3},
    "recurrent, 2 × 256": {"depth": 2, "dropout": 0.2},
    "transformer, 4 × 128": {"network": "transformer", "depth": 4, "learning_rate": 3e-3},
}


def run() -> None:
    """Bits per character of what was set aside, after the same time of training."""
    folder = os.environ.get("FABULA_DATA")
    if not folder:
        print("skipped: set FABULA_DATA to the folder that holds shakespeare/ and names/")
        return
    text = (Path(folder) / "shakespeare" / "input.txt").read_text()
    cut = int(0.9 * len(text))
    _bits(text[:cut], text[cut:])
    print()
    _names((Path(folder) / "names" / "names.txt").read_text().split())


def _bits(train: str, test: str) -> None:
    print(
        f"The first {len(train):,} characters learned, the last {len(test):,} predicted; at most "
        f"{SECONDS:.0f} s of training for each network, on {os.cpu_count()} cores\n"
    )
    rows: list[list[object]] = []
    for name, options in NETWORKS.items():
        # More passes than there is time for, where the rate of learning falls with the time.
        model = AutoregressiveModel(
            **{
                "max_time": SECONDS,
                "max_epochs": 60,
                "patience": None,
                "random_state": 0,
                **options,
            }
        )
        model.fit(train)
        began = time.perf_counter()
        bits = model.bits_per_symbol(test)
        seconds = time.perf_counter() - began
        report = model.report_
        learned = report.n_steps * model.batch_size * model.context
        rows.append(
            [
                name,
                f"{model.n_parameters:,}",
                f"{learned / len(train):.1f}",
                f"{report.best_step / report.n_steps:.0%}",
                f"{learned / (report.seconds - report.seconds_to_first_step):,.0f}",
                f"{len(test) / seconds:,.0f}",
                f"{report.seconds:.0f}",
                f"{bits:.4f}",
            ]
        )
        if name == next(iter(NETWORKS)):
            drawn = model.sample(prefix="ROMEO:", max_length=300, temperature=0.7)[0]
            sampled = time.perf_counter()
            model.sample(64, max_length=300, random_state=0)
            speed = 64 * 300 / (time.perf_counter() - sampled)
    for order in (3, 5, 7):
        began = time.perf_counter()
        chain = MarkovChain(order).fit(train)
        seconds = time.perf_counter() - began
        bits = chain.bits_per_symbol(test)
        rows.append(
            [f"Markov chain, order {order}", f"{chain.n_parameters:,}", "1", "", "", "",
             f"{seconds:.1f}", f"{bits:.4f}"]
        )  # fmt: skip
    whole, part = (
        len(lzma.compress(t.encode(), preset=9 | lzma.PRESET_EXTREME))
        for t in (train + test, train)
    )
    rows.append(["xz -9e", "", "", "", "", "", "", f"{8 * (whole - part) / len(test):.4f}"])
    print_table(
        ["model", "parameters", "passes", "best after", "characters/s learned", "scored", "s",
         "bits per character"],
        rows,
    )  # fmt: skip
    print(f"\n{speed:,.0f} characters/s drawn, 64 texts at a time. The first network tells:\n")
    print("    " + drawn.replace("\n", "\n    "))


def _names(names: list[str]) -> None:
    order = np.random.default_rng(0).permutation(len(names))
    train = [names[i] for i in order[3000:]]
    test = [names[i] for i in order[:3000]]
    model = AutoregressiveModel(max_time=min(SECONDS, 300.0), max_epochs=40, random_state=0)
    model.fit(train)
    rows: list[list[object]] = [["network", f"{_nats(model, test):.4f}"]]
    rows += [
        [f"Markov chain, order {k}", f"{_nats(MarkovChain(k).fit(train), test):.4f}"]
        for k in (3, 4, 5)
    ]
    print(f"{len(train):,} names learned, {len(test):,} predicted: nats per letter (ends too)\n")
    print_table(["model", "nats"], rows)
    known = set(train)
    drawn = model.sample(1000, random_state=1)
    new = [name for name in drawn if name not in known]
    print(f"\nOf 1,000 names drawn {len(new)} are new: {', '.join(new[:12])}")


def _nats(model: AutoregressiveModel | MarkovChain, test: list[str]) -> float:
    return model.bits_per_symbol(test) * math.log(2)
