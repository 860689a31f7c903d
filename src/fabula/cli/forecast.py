"""``fabula forecast``: what comes next in sequences."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from fabula.cli._console import working
from fabula.cli._models import load_model
from fabula.cli._options import (
    Force,
    Json,
    Out,
    Reading,
    ReadingOptions,
    Threads,
    limited_threads,
)
from fabula.cli._output import TABLE_ENDINGS, check_output, write_frame
from fabula.cli._sequence_answers import forecast_sequences, read_like
from fabula.cli._sequence_data import SequenceSource
from fabula.core.errors import UsageError

__all__ = ["forecast"]


def forecast(
    model: str,
    data: str,
    /,
    *,
    steps: Annotated[int, Parameter(("--steps", "-n"), help="How many steps ahead.")] = 1,
    interval: Annotated[
        float, Parameter(help="Probability that a value lies within its interval.")
    ] = 0.9,
    output: Out = None,
    threads: Threads = None,
    json: Json = False,
    force: Force = False,
    reading: ReadingOptions = Reading(),  # noqa: B008 - a frozen value
) -> None:
    """Say what comes next in each sequence, and how surely.

    For each step ahead the mean of every column of numbers with the ends of its interval, and the
    probability of each level of every category.

    Parameters
    ----------
    model
        Model file of a hidden Markov model.
    data
        Sequences to go on from, in the form to which the model was fitted.
    """
    check_output(output, force=force, endings=() if json else TABLE_ENDINGS)
    if steps < 1:
        raise UsageError(f"--steps is {steps}, expected 1 or more.")
    if not 0 < interval < 1:
        raise UsageError(f"--interval is {interval}, expected a probability between 0 and 1.")
    with limited_threads(threads):
        loaded = load_model(model)
        source = SequenceSource.of(loaded)
        if source is None:
            raise UsageError(f"{model} is a model of independent rows, after which nothing comes.")
        found = read_like(loaded, source, data, reading)
        with working("Forecasting"):
            answers = forecast_sequences(loaded, found, steps, interval)
    write_frame(answers, output, force=force, json=json)
