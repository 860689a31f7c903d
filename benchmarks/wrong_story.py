"""Two normal classes: is it seen whether their covariances are equal?"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import fabula
from benchmarks.timing import print_table

N_SEEDS = 100


def run() -> None:
    """How often `compare` prefers a quadratic model and says why, over a hundred seeds."""
    warnings.simplefilter("ignore")
    rows = []
    for title, equal in (("unequal covariances", False), ("equal covariances", True)):
        verdicts = [judge(seed, equal) for seed in range(N_SEEDS)]
        quadratic = sum(v.chosen.startswith(("QDA", "quadratic")) for v in verdicts)
        explained = sum("quadratic_boundary" in v.codes for v in verdicts)
        rows.append([title, f"{quadratic} of {N_SEEDS}", f"{explained} of {N_SEEDS}"])
    print("400 rows, 2 columns; LDA, QDA, logistic regression with and without squares\n")
    print_table(["truth", "a quadratic model is chosen", "and the verdict says why"], rows)


def judge(seed: int, equal: bool) -> Any:
    """The verdict on two classes whose correlations are the same, or of opposite sign."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 400)
    first = np.array([[1.0, 0.6], [0.6, 1.0]])
    second = first if equal else np.array([[1.0, -0.6], [-0.6, 1.0]])
    x = np.where(
        (y == 0)[:, None],
        rng.multivariate_normal([0, 0], first, 400),
        rng.multivariate_normal([1, 1], second, 400),
    )
    models = ["lda", "qda", "logistic", "quadratic"]
    return fabula.compare(x, y, models, n_bootstrap=0, random_state=seed).verdict
