"""What a comparison of models returns: results, rows for tables, and text for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fabula.core.errors import UsageError
from fabula.evaluation.contestants import Kind, Skipped
from fabula.evaluation.differences import Difference
from fabula.evaluation.metrics import Scores
from fabula.evaluation.predictions import Floats
from fabula.evaluation.reliability import ReliabilityCurve, reliability_curve
from fabula.evaluation.results import Result
from fabula.evaluation.traits import Traits
from fabula.evaluation.verdict import Verdict

__all__ = ["Comparison", "ModelResult"]


@dataclass(frozen=True)
class ModelResult(Result):
    """How one model did on rows that it had not seen.

    Attributes
    ----------
    name : str
    code : str
        One of `fabula.evaluation.contestants.MODEL_NAMES`, or "other".
    kind : {"storyteller", "divider"}
    calibration : str or None
        Method of the map over its probabilities.
    labelled_only : bool
        Whether unlabelled rows, though there were some, were left out.
    complexity : float
        Of two models that do equally well, the one with the smaller value is preferred.
    scores : Scores or None
        None where the model failed.
    fold_losses, fold_briers : (J,)
        Log loss (nats per row) and Brier score of each fold.
    difference : Difference or None
        Of the log loss to that of the best model, by the corrected test over folds; None for the
        best itself, and where a loss is infinite.
    log_density : float
        Mean log p(row, class) of held-out rows in nats; NaN for dividers.
    fold_log_densities : (J,)
        The same of each fold.
    inverse_temperature : float
        Mean over the folds, where the map has one; else NaN.
    fit_seconds : float
        Mean over the folds; a calibrated model counts every fit that its map needs.
    failure : str or None
        Why the model has no scores.
    warnings : tuple of str
        What was warned of while it was fitted, each once.
    """

    name: str
    code: str
    kind: Kind
    calibration: str | None
    labelled_only: bool
    complexity: float
    scores: Scores | None
    fold_losses: Floats
    fold_briers: Floats
    difference: Difference | None
    log_density: float
    fold_log_densities: Floats
    inverse_temperature: float
    fit_seconds: float
    failure: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison(Result):
    """Models compared on one table.

    Attributes
    ----------
    models : tuple of ModelResult
        Best log loss first; those that failed last.
    skipped : tuple
        Models that were not tried, each with its reason.
    verdict : Verdict
        Which model to use, and why.
    notes : tuple of str
        What a reader has to know of how it was done.
    traits : Traits
        What the table looks like.
    n_folds, random_state : int
    classes : tuple
        In the order of the columns of the probabilities.
    """

    models: tuple[ModelResult, ...]
    skipped: tuple[Skipped, ...]
    verdict: Verdict
    notes: tuple[str, ...]
    traits: Traits
    n_folds: int
    random_state: int
    classes: tuple[Any, ...]
    codes: NDArray[np.intp] = dataclasses.field(repr=False)
    held_out: dict[str, Floats] = dataclasses.field(repr=False)

    def __getitem__(self, name: str) -> ModelResult:
        for model in self.models:
            if model.name == name:
                return model
        from fabula.tables.messages import did_you_mean

        names = [model.name for model in self.models]
        raise UsageError(f"No model {name!r} took part. {did_you_mean(name, names)}")

    def table(self) -> list[dict[str, Any]]:
        """One row of plain values for each model, best first."""
        return [_table_row(model) for model in self.models]

    def reliability(self, name: str, **options: Any) -> ReliabilityCurve:
        """The reliability curve of a model on the held-out rows."""
        model = self[name]
        if model.scores is None:
            raise UsageError(f"{name} has no predictions: {model.failure}.")
        return reliability_curve(self.codes, self.held_out[name], label=name, **options)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings for JSON, without the predictions of each row."""
        nothing = np.empty(0, dtype=np.intp)
        names = tuple(str(name) for name in self.classes)
        state = Result.to_dict(dataclasses.replace(self, codes=nothing, held_out={}, classes=names))
        return {name: value for name, value in state.items() if name not in ("codes", "held_out")}

    def __str__(self) -> str:
        """The table and the verdict, for people."""
        header = list(_HEADER)
        rows = [_text_row(model) for model in self.models if model.scores is not None]
        lines = [_aligned([header, *rows]), "", str(self.verdict)]
        lines += [f"{m.name} failed. {m.failure}" for m in self.models if m.failure is not None]
        lines += [f"{s.name} was not tried: {s.reason}." for s in self.skipped]
        return "\n".join([*lines, *self.notes])


_HEADER = (
    *("model", "kind", "log loss", "95 %", "Brier", "accuracy"),
    *("ROC-AUC", "ECE", "smooth ECE", "fit s"),
)
_MEASURES: tuple[Literal["log_loss", "brier", "accuracy", "roc_auc", "ece", "smooth_ece"], ...] = (
    "log_loss",
    "brier",
    "accuracy",
    "roc_auc",
    "ece",
    "smooth_ece",
)


def _table_row(model: ModelResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "model": model.name,
        "kind": model.kind,
        "calibration": model.calibration,
        "labelled_only": model.labelled_only,
    }
    for measure in _MEASURES:
        estimate = None if model.scores is None else getattr(model.scores, measure)
        for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            row[measure + suffix] = np.nan if estimate is None else getattr(estimate, part)
    row["difference_to_best"] = 0.0 if model.scores is not None else np.nan
    row["p_value"] = np.nan
    if model.difference is not None:
        row["difference_to_best"] = model.difference.mean
        row["p_value"] = model.difference.p_value
    row["log_density"] = model.log_density
    row["fit_seconds"] = model.fit_seconds
    row["failure"] = model.failure
    return row


def _text_row(model: ModelResult) -> tuple[str, ...]:
    scores = model.scores
    assert scores is not None
    loss = scores.log_loss
    return (
        model.name,
        model.kind,
        f"{loss.value:.4f}",
        f"{loss.low:.4f} – {loss.high:.4f}",
        f"{scores.brier.value:.4f}",
        f"{100 * scores.accuracy.value:.1f} %",
        f"{scores.roc_auc.value:.4f}",
        f"{scores.ece.value:.4f}",
        f"{scores.smooth_ece.value:.4f}",
        f"{model.fit_seconds:.2g}",
    )


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, the first two flush left."""
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if j < 2 else cell.rjust(width)
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
