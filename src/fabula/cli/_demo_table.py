"""The table of the demo: real measurements, with cells taken out so that the truth is known.

The data are those of the Breast Cancer Wisconsin (Diagnostic) study (Street, Wolberg and
Mangasarian 1993, Proc. SPIE 1905:861), of which scikit-learn brings a copy: for each of 569
patients, the nuclei of cells from a fine-needle aspirate were outlined in an image. There are ten
measurements, each as the mean over the nuclei, its standard error and its worst value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["BENIGN", "MALIGNANT", "PATIENT", "TARGET", "DemoTable", "demo_table"]

TARGET = "diagnosis"
PATIENT = "patient"
BENIGN, MALIGNANT = "benign", "malignant"

_MISSING_SHARE = 0.2
_UNDIAGNOSED = 69


@dataclass(frozen=True)
class DemoTable:
    """A table with holes in it, and what stood there.

    Parameters
    ----------
    frame
        The name of each patient, 30 measurements with every fifth missing, and the diagnosis,
        which 69 of 569 patients do not have yet.
    truth
        The same without holes.
    """

    frame: pl.DataFrame
    truth: pl.DataFrame

    @property
    def measurements(self) -> list[str]:
        """Names of the columns between patient and diagnosis."""
        return self.frame.columns[1:-1]

    @property
    def holes(self) -> NDArray[np.bool_]:
        """Which measurements were taken out, (n, 30)."""
        import polars as pl

        return self.frame.select(pl.col(self.measurements).is_null()).to_numpy()


def demo_table(seed: int = 0) -> DemoTable:
    """Load the measurements, and take cells and diagnoses out at random."""
    import polars as pl
    from sklearn.datasets import load_breast_cancer

    source = load_breast_cancer()
    rng = np.random.default_rng(seed)
    names = [_name(str(name)) for name in source.feature_names]
    diagnosis = np.where(source.target == 0, MALIGNANT, BENIGN)
    n = len(diagnosis)
    patients = pl.Series(PATIENT, [f"P{i + 1:03d}" for i in range(n)])
    truth = pl.DataFrame(source.data, schema=names)
    truth = truth.select(patients, pl.all(), pl.Series(TARGET, diagnosis.tolist()))
    holes = rng.random(source.data.shape) < _MISSING_SHARE
    undiagnosed = np.zeros(n, dtype=bool)
    undiagnosed[rng.choice(n, _UNDIAGNOSED, replace=False)] = True
    frame = truth.with_columns(
        *(_without(truth[name], holes[:, j]) for j, name in enumerate(names)),
        _without(truth[TARGET], undiagnosed),
    )
    return DemoTable(frame, truth)


def _name(name: str) -> str:
    """``worst concave points`` → ``worst_concave_points``, so that no shell needs quotes."""
    return name.replace(" ", "_")


def _without(cells: pl.Series, holes: NDArray[np.bool_]) -> pl.Series:
    import polars as pl

    kept = pl.select(pl.when(pl.Series(~holes)).then(cells)).to_series()
    return kept.alias(cells.name)
