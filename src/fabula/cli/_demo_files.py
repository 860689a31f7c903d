"""The files of the demo: tables, the model and the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fabula.cli._demo_study import COSTS, Study
from fabula.cli._demo_table import BENIGN, MALIGNANT, PATIENT, TARGET
from fabula.cli._models import save_model

if TYPE_CHECKING:
    from fabula.evaluation.curves import Curve

__all__ = ["draw_pictures", "write_comparison", "write_model", "write_predictions"]


def write_comparison(study: Study) -> None:
    """Every score with its interval."""
    import polars as pl

    from fabula.tables import write_table

    table = pl.DataFrame(study.comparison.table(), infer_schema_length=None)
    table = table.with_columns(pl.col(pl.Float64).fill_nan(None))
    write_table(table, study.folder / "comparison.csv")


def write_predictions(study: Study) -> None:
    """Probabilities and decisions for every patient."""
    import polars as pl

    from fabula.questions.decide import decide
    from fabula.tables import write_table

    decisions = decide(study.probabilities, COSTS, study.loaded.class_names)
    columns = {
        PATIENT: study.table.frame[PATIENT],
        TARGET: study.table.frame[TARGET],
        f"p_{BENIGN}": study.probabilities[:, 0],
        f"p_{MALIGNANT}": study.probabilities[:, 1],
        "decision": decisions.labels().tolist(),
        "expected_cost": decisions.expected_costs,
    }
    write_table(pl.DataFrame(columns), study.folder / "predictions.csv")


def write_model(study: Study) -> None:
    """The model, with the notes that `fit` would keep."""
    notes = {
        "target": TARGET,
        "data": "patients.csv",
        "rows": study.table.frame.height,
        "missing_cells": int(study.table.holes.sum()),
        "why": study.why,
    }
    save_model(study.loaded.estimator, str(study.folder / "model.fabula"), notes, force=False)


def draw_pictures(study: Study, learning: list[Curve], missing: list[Curve]) -> None:
    """All pictures."""
    from fabula import plots
    from fabula.cli import _pictures
    from fabula.evaluation.costs import cost_curve
    from fabula.evaluation.reliability import reliability_curve

    loaded, frame, comparison = study.loaded, study.table.frame, study.comparison
    curve = reliability_curve(
        comparison.codes, study.held_out, label=study.chosen, random_state=study.seed
    )
    dividers = [m.name for m in comparison.models if m.kind == "divider" and m.scores is not None]
    costs = [
        cost_curve(comparison.codes, comparison.held_out[name], label=name)
        for name in (study.chosen, *dividers[:1])
    ]
    who = f"Patient {frame[PATIENT][study.patient]}"
    pictures = {
        "pairs": _pictures.draw_pairs(loaded, frame, None, study.seed),
        "densities": _pictures.draw_densities(loaded, frame, None),
        "regions": _pictures.draw_regions(loaded, frame, None),
        "reliability": plots.reliability(curve, title="Cancer: what was stated, what came true"),
        "costs": plots.cost_curve(costs, title="What deciding costs; a case is a cancer"),
        "contributions": _pictures.draw_contributions(
            loaded, frame, study.patient + 1, MALIGNANT, who
        ),
        "learning_curves": plots.learning_curves(learning, title="If there were fewer patients"),
        "missing_curves": plots.missing_curves(missing, title="If more cells went missing"),
    }
    for name, figure in pictures.items():
        plots.save(figure, study.folder / f"{name}.png")
