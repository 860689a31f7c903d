"""Log loss as cells go missing: integrated out, or filled in first."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import polars as pl

import fabula
from benchmarks.timing import print_table

FRACTIONS = (0.0, 0.1, 0.3, 0.5, 0.7)


def run() -> None:
    """Breast cancer, and 6,000 rows of adult where FABULA_DATA is set."""
    warnings.simplefilter("ignore")
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    table = pl.DataFrame(bunch.data, schema=[str(name) for name in bunch.feature_names])
    _curve(
        "breast cancer",
        table.with_columns(target=pl.Series(bunch.target_names[bunch.target])),
        "target",
        ["lda", "naive_bayes", "logistic", "boosting"],
    )
    folder = os.environ.get("FABULA_DATA")
    if folder:
        adult = fabula.read_table(Path(folder) / "adult/adult.csv").sample(6000, seed=0)
        _curve(
            "adult, 6,000 rows",
            adult,
            "income",
            ["naive_bayes", "mixture", "logistic", "boosting"],
        )


def _curve(title: str, table: pl.DataFrame, target: str, models: list[str]) -> None:
    from fabula.evaluation import missing_curve

    curves = missing_curve(table, target, models, FRACTIONS, calibrate="sigmoid")
    rows = [
        [curve.label, curve.kind, *(f"{value:.3f}" for value in curve.mean)] for curve in curves
    ]
    print(f"{title}: log loss in nats, five folds\n")
    print_table(["model", "kind", *(f"{share:.0%} missing" for share in FRACTIONS)], rows)
    print()
