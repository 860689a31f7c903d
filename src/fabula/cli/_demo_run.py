"""The demo from its table to its summary."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fabula.cli._demo_files import (
    draw_pictures,
    write_comparison,
    write_model,
    write_predictions,
)
from fabula.cli._demo_study import Study
from fabula.cli._demo_table import TARGET, demo_table
from fabula.cli._models import LoadedModel
from fabula.report.document import Document

if TYPE_CHECKING:
    from fabula.evaluation.comparing import Comparison
    from fabula.evaluation.curves import Curve

__all__ = ["run_demo"]

_MODELS = ("naive_bayes", "lda", "qda", "logistic", "svm", "boosting")
_VARIED = ("lda", "svm")
_SIZES, _SHARES, _REPEATS = (20, 60, 180, 350), (0.0, 0.3, 0.6), 4

Working = Callable[[str], AbstractContextManager[Callable[[str], None]]]


def run_demo(folder: Path, seed: int, working: Working) -> str:
    """Do everything, write everything to a folder, and return the summary as text.

    Parameters
    ----------
    folder
        An empty folder.
    seed
        For whatever is left to chance.
    working
        Shows what is going on.
    """
    from fabula.tables import write_table

    table = demo_table(seed)
    write_table(table.frame, folder / "patients.csv")
    with working("Comparing") as say:
        comparison = _compare(table.frame, seed, say)
    with working("Fitting"):
        chosen = next(
            m for m in comparison.models if m.kind == "storyteller" and not m.labelled_only
        )
        loaded = LoadedModel(_fit(table.frame, chosen, seed), {"target": TARGET})
        study = Study(table, loaded, comparison, chosen.name, seed, folder)
    with working("Asking"):
        sections = (
            study.about_table(),
            study.about_model(),
            study.about_diagnosis(),
            study.about_trust(),
            study.about_biopsies(),
            study.about_holes(),
            study.about_condition(),
            study.about_patient(),
            study.about_outliers(),
            study.about_samples(),
            study.about_comparison(),
        )
        write_model(study)
        write_predictions(study)
        write_comparison(study)
    with working("Varying"):
        learning, missing = _curves(table.frame, chosen.calibration, seed)
    with working("Drawing"):
        draw_pictures(study, learning, missing)
    document = Document("A table with holes in it", _INTRODUCTION, sections)
    (folder / "summary.md").write_text(document.to_markdown() + "\n" + _BY_HAND, encoding="utf-8")
    return document.to_text()


_INTRODUCTION = (
    "569 women had a lump in the breast, and cells from it were measured under the microscope "
    "(Street, Wolberg and Mangasarian 1993).",
    "For this demonstration every fifth cell of the table was emptied at random, and some "
    "diagnoses were put aside.",
    "One model of all columns together, fitted once, answers every question below.",
)

_BY_HAND = """## The same by hand

```text
fabula schema patients.csv
fabula compare patients.csv --target diagnosis
fabula fit patients.csv --target diagnosis --model lda --calibrate sigmoid -o model.fabula
fabula predict model.fabula patients.csv --costs "benign:malignant=1,malignant:benign=20"
fabula impute model.fabula patients.csv -o completed.csv
fabula sample model.fabula -n 569 --given mean_radius=13..15
fabula plot model.fabula patients.csv --kind regions -o regions.png
```
"""


def _compare(frame: Any, seed: int, say: Callable[[str], None]) -> Comparison:
    from fabula.evaluation import compare

    return compare(
        frame,
        TARGET,
        _MODELS,
        cv=5,
        calibrate=("sigmoid",),
        n_bootstrap=100,
        random_state=seed,
        on_progress=lambda name, done, of: say(f"{name}, fold {done} of {of}"),
    )


def _fit(frame: Any, chosen: Any, seed: int) -> Any:
    """The model that did best, fitted to all patients."""
    import fabula

    stories = {
        "naive_bayes": fabula.NaiveBayes,
        "lda": fabula.LinearDiscriminantAnalysis,
        "qda": fabula.QuadraticDiscriminantAnalysis,
    }
    model = stories[chosen.code]()
    if chosen.calibration is not None:
        model = fabula.Calibrated(model, chosen.calibration, random_state=seed)
    return model.fit(frame.drop(TARGET), frame[TARGET])


def _curves(frame: Any, calibration: str | None, seed: int) -> tuple[list[Curve], list[Curve]]:
    """Fewer rows and fewer cells, for one storyteller and one divider."""
    from fabula.evaluation import learning_curve, missing_curve

    learning = learning_curve(
        frame,
        TARGET,
        _VARIED,
        _SIZES,
        repeats=_REPEATS,
        calibrate=calibration,
        random_state=seed,
    )
    missing = missing_curve(
        frame, TARGET, _VARIED, _SHARES, cv=_REPEATS, calibrate=calibration, random_state=seed
    )
    return learning, missing
