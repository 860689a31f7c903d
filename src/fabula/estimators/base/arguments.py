"""What arguments of questions must be, whatever the model."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from fabula.core.errors import UsageError

__all__ = ["check_n_samples", "check_range", "generator_of", "whole_number"]


def check_n_samples(n_samples: Any) -> None:
    """Raise a UsageError unless a number of rows to draw is a whole number of at least 1."""
    whole = isinstance(n_samples, int | np.integer) and not isinstance(n_samples, bool)
    if not whole or n_samples < 1:
        raise UsageError(
            f"Invalid value for 'n_samples': {n_samples!r}. The sampling needs a whole number of "
            "at least 1."
        )


def check_range(name: str, value: Any, least: float, most: float) -> None:
    """Raise a UsageError unless a value is a number from ``least`` to ``most``."""
    ok = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not ok or not least <= value <= most or value == np.inf:
        bounds = f"from {least:g} to {most:g}" if most < np.inf else f"of at least {least:g}"
        raise UsageError(f"{name} must be a number {bounds}, not {value!r}.")


def generator_of(random_state: Any) -> np.random.Generator:
    """A numpy Generator from anything that scikit-learn takes as a random state."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if random_state is None or isinstance(random_state, int | np.integer):
        return np.random.default_rng(random_state)
    return np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least ``least``, or a UsageError that says so."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return int(value)
