from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fabula import Calibrated, NaiveBayes, QuadraticDiscriminantAnalysis
from fabula.cli._models import LoadedModel
from fabula.cli._pictures import evidence, telling_columns


@pytest.fixture(scope="module")
def labelled(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / "labelled.csv").filter(pl.col("state").is_not_null())


@pytest.mark.parametrize("method", ["temperature", "sigmoid"])
@pytest.mark.parametrize("inner", [NaiveBayes(), QuadraticDiscriminantAnalysis()])
def test_evidence_adds_up_to_the_calibrated_log_odds(
    labelled: pl.DataFrame, method: str, inner: object
) -> None:
    features = labelled.drop("state")
    model = Calibrated(inner, method).fit(features, labelled["state"])
    for row in range(5):
        one = features[row : row + 1]
        found, _, shift = evidence(LoadedModel(model, {}), one)
        told = found.prior[1] + found.values[0, 1].sum() + found.remainder[0, 1] + shift
        p = model.predict_proba(one)[0]
        assert told == pytest.approx(np.log(p[1] / p[0]), rel=1e-6)


def test_the_columns_that_tell_most_come_first() -> None:
    rng = np.random.default_rng(0)
    ill = np.arange(400) % 2
    frame = pl.DataFrame(
        {
            "noise": rng.normal(size=400),
            "weak": rng.normal(ill, 1.0),
            "strong": rng.normal(4.0 * ill, 1.0),
            "copy": rng.normal(4.0 * ill, 1.0),
        }
    ).with_columns(copy=pl.col("strong") + pl.Series(rng.normal(0, 0.01, 400)))
    model = QuadraticDiscriminantAnalysis().fit(frame, ill)
    chosen = telling_columns(LoadedModel(model, {}), frame, 2)
    # A copy of the best column adds nothing to it.
    assert chosen[0] in ("strong", "copy")
    assert chosen[1] == "weak"
