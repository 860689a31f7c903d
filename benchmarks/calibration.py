"""Probabilities that can be trusted: breast cancer in ten folds, and classes that shift."""

from __future__ import annotations

import warnings

import numpy as np

import fabula
from benchmarks.timing import print_table


def run() -> None:
    """The comparison of storytellers and dividers, then a prior that moves from .5 to .05."""
    warnings.simplefilter("ignore")
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    result = fabula.compare(x, y, cv=10)
    print(result)
    print()
    _shift()


def _shift() -> None:
    from fabula.evaluation.metrics import expected_calibration_error, log_loss

    rng = np.random.default_rng(0)
    rows: list[list[object]] = []
    train = np.repeat([0, 1], 4000)
    test = (rng.random(60_000) < 0.05).astype(int)
    x, x_test = (rng.normal(size=(len(y), 3)) + 1.2 * y[:, None] for y in (train, test))
    model = fabula.LinearDiscriminantAnalysis().fit(x, train)
    for name, used in (
        ("as trained", model),
        ('with_prior("estimate")', model.with_prior("estimate", x_test)),
        ("with_prior([.95, .05])", model.with_prior([0.95, 0.05])),
    ):
        p = used.predict_proba(x_test)
        ece = expected_calibration_error(test, p, n_bootstrap=0).value
        rows.append([name, float(used.class_prior_[1]), log_loss(test, p), ece])
    print("Trained on 1:1, used on 19:1 (60,000 rows)\n")
    print_table(["prior", "share of class 1", "log loss, nats", "ECE"], rows)
