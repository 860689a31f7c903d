"""Handwritten digits told by a variational autoencoder: density, and classes from 100 labels.

NEURAL chooses parts, with commas ("density", "M1+M2"; "M2" is both ways to learn classes), and
NEURAL_SECONDS the time of each; the figures of the documentation are those of the budgets below,
on two cores.
"""

from __future__ import annotations

import os
import resource
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import fabula
from benchmarks.timing import is_asked, print_table

SECONDS_OF_DENSITY = 900.0
SECONDS_OF_CLASSES = 1200.0
TEST_IMAGES = 2000
N_LABELS = 100


def run() -> None:
    """Bounds on held-out images, and the error of classes that 100 labels taught."""
    warnings.simplefilter("ignore")
    folder = os.environ.get("FABULA_DATA")
    if not folder:
        print("needs FABULA_DATA")
        return
    budget = os.environ.get("NEURAL_SECONDS")
    train, test = read(Path(folder) / "mnist/train.npz"), read(Path(folder) / "mnist/test.npz")
    if is_asked("density"):
        density(train, test, float(budget or SECONDS_OF_DENSITY))
    classes(train, test, float(budget or SECONDS_OF_CLASSES))


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["images"], arrays["labels"].astype(int)


def autoencoder(seconds: float, **options: Any) -> Any:
    """The network of both measurements."""
    return fabula.VariationalAutoencoder(
        **{
            "n_latent": 50,
            "hidden": (500, 500),
            "likelihood": "bernoulli",
            "max_epochs": 1000,
            "max_time": seconds,
            "patience": None,
            "batch_size": 256,
            "learning_rate": 1e-3,
            "validation": 0.02,
            "random_state": 0,
            **options,
        }
    )


def density(train: Any, test: Any, seconds: float) -> None:
    """Dynamically binarised: nats of a held-out image, with more and more draws."""
    model = fitted(autoencoder(seconds), train[0])
    some = test[0][:TEST_IMAGES]
    rows: list[list[object]] = [["evidence lower bound", model.evidence_bound(some).mean()]]
    for k in (50, 500):
        values = model.score_samples(some, k)
        error = values.std(ddof=1) / np.sqrt(len(values))
        rows.append([f"importance-weighted bound, {k} draws", f"{values.mean():.2f} ± {error:.2f}"])
    print_table([f"nats of {len(some):,} held-out images", "value"], rows)
    print()


def classes(train: Any, test: Any, seconds: float) -> None:
    """Ten labels of each digit, and all images."""
    images, truth = train
    rng = np.random.default_rng(0)
    labels = np.full(len(truth), -1)
    for digit in range(10):
        chosen = rng.choice(np.flatnonzero(truth == digit), N_LABELS // 10, replace=False)
        labels[chosen] = digit
    rows: list[list[object]] = []
    # Both layers of the stack have half of the time.
    for layers, share in (("M1+M2", 0.5), ("M2", 1.0)):
        if not is_asked(layers):
            continue
        model = fitted(
            autoencoder(share * seconds, layers=layers, classifier_weight=5.0), images, labels
        )
        error = np.mean(model.predict(test[0]) != test[1])
        rows.append([layers, f"{error:.1%}"])
    if rows:
        print_table([f"error on {len(test[1]):,} images, {N_LABELS} labels", "value"], rows)


def fitted(model: Any, *data: Any) -> Any:
    """The fitted model; says how fast it was."""
    began, cpu = time.perf_counter(), _cpu_seconds()
    model.fit(*data)
    report = model.report_
    running = max(report.seconds - report.seconds_to_first_step, 1e-9)
    print(
        f"{report.n_steps:,} steps in {time.perf_counter() - began:.0f} s "
        f"({_cpu_seconds() - cpu:.0f} s of processor), {report.n_steps / running:.0f} a second, "
        f"the first after {report.seconds_to_first_step:.0f} s; held out "
        f"{report.validation[0]:.2f} → {min(report.validation):.2f}; "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB at most\n",
        flush=True,
    )
    return model


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
