"""A score of one model over a condition that was varied: rows to learn from, cells missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fabula.core.errors import DataError, UsageError
from fabula.evaluation.predictions import Floats, check_confidence
from fabula.evaluation.results import Result

__all__ = ["Curve"]


@dataclass(frozen=True)
class Curve(Result):
    """Mean score of one model with an interval at each setting.

    Attributes
    ----------
    label : str
        Name of the model in pictures.
    kind : {"storyteller", "divider"}
        Whether the model describes the columns, or only the border between the classes.
    x : (m,)
        Settings, rising: training rows, or the share of cells that are missing.
    mean, low, high : (m,)
        Score and its interval; NaN where the model could not be fitted.
    metric : str
        What the score is, as it stands on the axis.
    """

    label: str
    kind: Literal["storyteller", "divider"]
    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    metric: str = "log loss (nats per row)"

    def __post_init__(self) -> None:
        if self.kind not in ("storyteller", "divider"):
            raise UsageError(
                f"curve {self.label!r}: kind is {self.kind!r}; expected 'storyteller' or 'divider'."
            )
        for name in ("x", "mean", "low", "high"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        shapes = {name: getattr(self, name).shape for name in ("x", "mean", "low", "high")}
        if self.x.ndim != 1 or len(set(shapes.values())) != 1:
            raise DataError(
                f"curve {self.label!r}: x, mean, low and high must have one shape (m,); they have "
                f"{', '.join(f'{name} {shape}' for name, shape in shapes.items())}."
            )
        if self.x.size == 0 or not np.isfinite(self.x).all() or (np.diff(self.x) <= 0).any():
            raise DataError(
                f"curve {self.label!r}: x must hold at least one setting, all finite and rising."
            )

    @classmethod
    def from_repeats(
        cls,
        label: str,
        kind: Literal["storyteller", "divider"],
        x: ArrayLike,
        scores: ArrayLike,
        *,
        confidence: float = 0.95,
        metric: str = "log loss (nats per row)",
    ) -> Curve:
        """Mean and Student-t interval over repeats.

        Parameters
        ----------
        x : array-like (m,)
        scores : array-like (n_repeats, m)
            NaN where a repeat gave no score. With a single score there is no interval: NaN.
        """
        from scipy.special import stdtrit

        values = np.asarray(scores, dtype=np.float64)
        settings = np.asarray(x, dtype=np.float64)
        if values.ndim != 2 or values.shape[1:] != settings.shape:
            raise DataError(
                f"curve {label!r}: scores have the shape {values.shape}; expected one row for "
                f"each repeat and {settings.size} columns, one for each x."
            )
        seen = ~np.isnan(values)
        count = seen.sum(axis=0)
        nothing = np.full(settings.shape, np.nan)
        mean = np.divide(np.where(seen, values, 0).sum(0), count, out=nothing, where=count > 0)
        square = np.where(seen, (values - mean) ** 2, 0.0).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            error = np.sqrt(square / (count - 1) / count)
            half = stdtrit(np.maximum(count - 1, 1), 0.5 + 0.5 * check_confidence(confidence))
        half = np.where(count > 1, half * error, np.nan)
        return cls(label, kind, settings, mean, mean - half, mean + half, metric)
