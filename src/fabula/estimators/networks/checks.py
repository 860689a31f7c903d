"""What every network checks before it is fitted: its libraries, and parameters that are common."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from fabula.core.errors import UsageError
from fabula.estimators.base.arguments import whole_number

__all__ = ["check_not_negative", "check_part", "check_training", "need_neural"]


def need_neural(name: str) -> None:
    """Raise one clear error where the libraries for networks are missing.

    Raises
    ------
    UsageError
    """
    from importlib.util import find_spec

    missing = [package for package in ("jax", "equinox", "optax") if find_spec(package) is None]
    if missing:
        raise UsageError(
            f'{name} is a network and needs {" and ".join(missing)}: pip install "fabula[neural]".'
        )


def check_training(estimator: Any) -> None:
    """Raise a UsageError where a parameter of training makes no sense."""
    if estimator.max_epochs is not None:
        whole_number("max_epochs", estimator.max_epochs)
    whole_number("batch_size", estimator.batch_size)
    _check_checkpoint(estimator.checkpoint, estimator.random_state)
    patience, seconds = estimator.patience, estimator.max_time
    if patience is not None and not (isinstance(patience, int | np.integer) and patience >= 1):
        raise UsageError(f"patience must be at least 1 or None, not {patience!r}.")
    if seconds is not None and not (_is_number(seconds) and seconds > 0):
        raise UsageError(f"max_time must be a positive number of seconds, not {seconds!r}.")
    if not (_is_number(estimator.learning_rate) and 0 < estimator.learning_rate < 1):
        raise UsageError(
            f"learning_rate must lie between 0 and 1, not {estimator.learning_rate!r}."
        )
    if not (_is_number(estimator.validation) and 0 <= estimator.validation < 1):
        raise UsageError(
            f"validation must be a share from 0 to below 1, not {estimator.validation!r}."
        )


def _check_checkpoint(path: Any, random_state: Any) -> None:
    """Before training: minutes later, what was learned would be lost with the file."""
    if path is None:
        return
    try:
        file = Path(os.fspath(path))
    except TypeError:
        raise UsageError(f"checkpoint must be the name of a file, not {path!r}.") from None
    if file.is_dir():
        raise UsageError(f"checkpoint must be the name of a file: {file} is a folder.")
    if not file.parent.is_dir():
        raise UsageError(f"The checkpoint {file} cannot be written: there is no such folder.")
    if random_state is None:
        raise UsageError(
            "checkpoint goes with a random_state (--seed), such as 0: without one, every fit is "
            "another, and none could go on where one was broken off."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating)


def check_not_negative(name: str, value: Any) -> None:
    """Raise a UsageError unless a value is a finite number of at least 0."""
    if not _is_number(value) or not 0 <= value < np.inf:
        raise UsageError(f"{name} must be a number that is not negative, not {value!r}.")


def check_part(name: str, value: Any) -> None:
    """Raise a UsageError unless a value is None or lies from 0 to 1."""
    if value is not None and not (_is_number(value) and 0 <= value <= 1):
        raise UsageError(f"{name} must lie from 0 to 1, not {value!r}.")
