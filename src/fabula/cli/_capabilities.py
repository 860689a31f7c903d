"""Which model answers which question: asked of the models, not written down."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from fabula.cli._models import MODELS, make_estimator
from fabula.cli._sequence_data import SEQUENCE_MODELS
from fabula.core.errors import FabulaError, UsageError

__all__ = ["Capability", "capabilities"]


QUESTIONS = (
    "score", "sample", "predict", "decide", "prior", "condition", "impute", "forecast",
    "contributions", "outliers",
)  # fmt: skip


@dataclass(frozen=True)
class Capability:
    """What one model takes and answers.

    Parameters
    ----------
    name, python
        Its names on the command line and in Python.
    summary
        What it is, in a sentence.
    data
        Kinds of columns that it takes.
    density
        Whether `score` is the density itself: "exact", or a "bound" or an "estimate" of it.
    answers
        Question → whether it has an answer.
    """

    name: str
    python: str
    summary: str
    data: str
    density: str
    answers: dict[str, bool]

    def to_dict(self) -> dict[str, Any]:
        """Plain values only."""
        return dict(vars(self))


def capabilities() -> list[Capability]:
    """Fit each model to a table of a few rows, and see what it can be asked."""
    import polars as pl

    numbers = pl.DataFrame(
        {"a": [0.1, 0.9, 0.4, 5.2, 5.8, 5.1], "b": [1.2, 0.8, 1.9, 4.1, 4.6, 4.4]}
    )
    words = pl.Series("c", ["x", "y", "x", "y", "x", "y"])
    labels = ["p", "p", "p", "q", "q", "q"]
    found = []
    for name, python in MODELS.items():
        if name in SEQUENCE_MODELS:
            found.append(_of_sequences(name, python))
            continue
        network = make_estimator(name, numeric=True)
        if hasattr(network, "story_class"):
            found.append(_of_network(name, python, network))
            continue
        fitted, mixed = _fit(name, numbers, labels), _fit(name, numbers.with_columns(words), labels)
        assert fitted is not None
        documentation = inspect.getdoc(type(fitted)) or ""
        found.append(
            Capability(
                name,
                python,
                documentation.partition("\n")[0],
                "numbers" if mixed is None else "columns of any kind",
                str(getattr(fitted, "density_kind", "")),
                _answers(fitted, partial(isinstance, fitted.story_)),
            )
        )
    return found


def _of_network(name: str, python: str, estimator: Any) -> Capability:
    """The same for a network, whose class tells what it can be asked: a fit would take seconds."""
    summary = (inspect.getdoc(type(estimator)) or "").partition("\n")[0]
    data = "columns of any kind"
    try:
        story = estimator.story_class()
    except UsageError:  # its libraries are not installed
        data, answers = 'needs "fabula[neural]"', dict.fromkeys(QUESTIONS, False)
    else:
        answers = _answers(estimator, lambda protocol: issubclass(story, protocol))
        answers["predict"] = hasattr(estimator, "predict")
    return Capability(name, python, summary, data, str(estimator.density_kind), answers)


def _of_sequences(name: str, python: str) -> Capability:
    """The same for a model of sequences."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = make_estimator(name, numeric=True, seed=0)
        if name != "autoregressive":  # its network would take seconds, and says nothing new
            fitted.fit(["abbab", "babba", "aab"])
    return Capability(
        name,
        python,
        (inspect.getdoc(type(fitted)) or "").partition("\n")[0],
        "sequences of any kind" if name == "hmm" else "sequences of symbols",
        str(fitted.density_kind),
        {
            **dict.fromkeys(QUESTIONS, False),
            "score": True,
            "sample": True,
            "predict": hasattr(fitted, "decode"),
            "impute": hasattr(fitted, "impute"),
            "forecast": hasattr(fitted, "forecast"),
        },
    )


def _fit(name: str, frame: Any, labels: list[str]) -> Any:
    """The model fitted to the table; None where it takes no such columns."""
    numeric = "c" not in frame.columns
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = make_estimator(name, numeric=numeric, components=_components(name), seed=0)
        try:
            return estimator.fit(frame, labels)
        except FabulaError:
            return None


def _components(name: str) -> int | None:
    return 2 if name in ("mixture", "gaussian-mixture") else 1 if "mixture" in name else None


def _answers(model: Any, tells: Callable[[Any], bool]) -> dict[str, bool]:
    from fabula.questions.protocols import (
        CompletesRows,
        ConditionsColumns,
        HasDensity,
        SamplesRows,
    )

    return {
        "score": tells(HasDensity),
        "sample": tells(SamplesRows),
        "predict": hasattr(model, "classes_"),
        "decide": hasattr(model, "decide"),
        "prior": hasattr(model, "with_prior"),
        "condition": tells(ConditionsColumns),
        "impute": tells(CompletesRows),
        "forecast": False,
        "contributions": hasattr(model, "contributions"),
        "outliers": hasattr(model, "outliers"),
    }
