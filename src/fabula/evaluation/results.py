"""What the measures of this layer return: frozen values that turn into JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

__all__ = ["Estimate", "Result"]


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        # JSON (RFC 8259) has no NaN and no infinity; an infinite loss must still be told from
        # one that is not known.
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


@dataclass(frozen=True)
class Result:
    """Base of the results of this layer."""

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings for JSON; NaN becomes ``None``, infinity ``"inf"``."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True)
class Estimate(Result):
    """A number with its uncertainty.

    Attributes
    ----------
    value : float
    low, high : float
        Ends of the interval; NaN where none could be computed.
    standard_error : float
        NaN where the interval was not built from one.
    confidence : float
        Coverage that the interval aims at, 0.95 for 95 %.
    """

    value: float
    low: float
    high: float
    standard_error: float = math.nan
    confidence: float = 0.95

    def __float__(self) -> float:
        """The value alone."""
        return self.value

    def __str__(self) -> str:
        """``0.123 [0.101, 0.145]``."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"
