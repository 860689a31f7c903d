"""Networks over characters beside Markov chains and a compressor: bits, names, speed.

A chain speaks beside each network; both are also judged alone. Seconds of training of a network:
NEURAL_SECONDS (900). NEURAL=256,names limits the run to networks whose names hold one of these
words, and to names.
"""

from __future__ import annotations

import copy
import dataclasses
import lzma
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import is_asked, print_table
from fabula.estimators.autoregressive_model import AutoregressiveModel
from fabula.estimators.markov_chain import MarkovChain

# Seconds of training for each network; the figures of the documentation are those of 900.
SECONDS = float(os.environ.get("NEURAL_SECONDS", "900"))
NETWORKS: dict[str, dict[str, Any]] = {
    # The text goes on with the play it was cut in, so what is held out is worth learning from.
    "recurrent, 256": {"dropout": 0.15, "validation": 0.01},
    "transformer, 4 × 128": {"network": "transformer", "depth": 4, "learning_rate": 3e-3},
}
CHAIN = 6


def run() -> None:
    """Bits per character of what was set aside, after the same time of training."""
    folder = os.environ.get("FABULA_DATA")
    if not folder:
        print("skipped: set FABULA_DATA to the folder that holds shakespeare/ and names/")
        return
    chosen = [name for name in NETWORKS if is_asked(name)]
    if chosen:
        text = (Path(folder) / "shakespeare" / "input.txt").read_text()
        cut = int(0.9 * len(text))
        _bits(text[:cut], text[cut:], chosen)
    if is_asked("names"):
        _names((Path(folder) / "names" / "names.txt").read_text().split())


def _bits(train: str, test: str, chosen: list[str]) -> None:
    print(
        f"The first {len(train):,} characters learned, the last {len(test):,} predicted; at most "
        f"{SECONDS:.0f} s of training for each network, on {os.cpu_count()} cores\n"
    )
    rows: list[list[object]] = []
    for name in chosen:
        # More passes than there is time for, where the rate of learning falls with the time.
        model = AutoregressiveModel(
            **{"max_time": SECONDS, "max_epochs": 80, "patience": None, "chain_order": CHAIN,
               "random_state": 0, **NETWORKS[name]}
        )  # fmt: skip
        model.fit(train)
        rows += _rows_of(name, model, train, test)
    drawn = model.sample(prefix="ROMEO:", max_length=300, temperature=0.7)[0]
    speeds = {
        "the network alone": _speed(_alone(model)),
        f"with a chain of order {CHAIN}": _speed(model),
    }
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
    for what, speed in speeds.items():
        print(f"\n{speed:,.0f} characters/s drawn by {what}, 64 texts at a time")
    print("\nThe last network and its chain tell:\n")
    print("    " + drawn.replace("\n", "\n    ") + "\n")


def _rows_of(name: str, model: AutoregressiveModel, train: str, test: str) -> list[list[object]]:
    """The network alone, and with the chain beside it."""
    report, rows = model.report_, []
    learned = report.n_steps * model.batch_size * model.context
    passes = f"{learned / len(train):.1f}"
    share = model.story_.beside.share
    for label, judged in (
        (name, _alone(model)),
        (f"{name}; chain of order {CHAIN}, share {share:.0%}", model),
    ):
        began = time.perf_counter()
        bits = judged.bits_per_symbol(test)
        scored = len(test) / (time.perf_counter() - began)
        speed = learned / (report.seconds - report.seconds_to_first_step)
        rows.append(
            [label, f"{judged.n_parameters:,}", passes, f"{report.best_step / report.n_steps:.0%}",
             f"{speed:,.0f}", f"{scored:,.0f}", f"{report.seconds:.0f}", f"{bits:.4f}"]
        )  # fmt: skip
    return rows


def _alone(model: AutoregressiveModel) -> AutoregressiveModel:
    """The network without the chain."""
    alone = copy.copy(model)
    alone.story_ = dataclasses.replace(model.story_, beside=None)
    return alone


def _speed(model: AutoregressiveModel) -> float:
    """Characters a second, of the second time: the first one compiles."""
    model.sample(64, max_length=300, random_state=0)
    began = time.perf_counter()
    model.sample(64, max_length=300, random_state=1)
    return 64 * 300 / (time.perf_counter() - began)


def _names(names: list[str]) -> None:
    order = np.random.default_rng(0).permutation(len(names))
    train = [names[i] for i in order[3000:]]
    test = [names[i] for i in order[:3000]]
    model = AutoregressiveModel(
        max_time=min(SECONDS, 300.0), max_epochs=40, dropout=0.3, chain_order=4, random_state=0
    )
    model.fit(train)
    rows: list[list[object]] = [
        ["network", f"{_nats(_alone(model), test):.4f}"],
        ["network, and a chain of order 4", f"{_nats(model, test):.4f}"],
    ]
    rows += [
        [f"Markov chain, order {k}", f"{_nats(MarkovChain(k).fit(train), test):.4f}"]
        for k in (3, 4, 5)
    ]
    print(
        f"{len(train):,} names learned in {model.report_.seconds:.0f} s, {len(test):,} predicted: "
        "nats per letter (ends too)\n"
    )
    print_table(["model", "nats"], rows)
    known = set(train)
    drawn = model.sample(1000, random_state=1)
    new = [name for name in drawn if name not in known]
    print(f"\nOf 1,000 names drawn {len(new)} are new: {', '.join(new[:12])}")


def _nats(model: AutoregressiveModel | MarkovChain, test: list[str]) -> float:
    return model.bits_per_symbol(test) * math.log(2)
