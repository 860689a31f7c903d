"""What is the same of arrays and frames."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["is_frame", "take_rows"]

_FRAME_PACKAGES = ("pandas", "polars", "pyarrow")


def is_frame(data: Any) -> bool:
    """Whether ``data`` is a pandas, polars or pyarrow table (and not one column of one)."""
    package = type(data).__module__.partition(".")[0]
    return package in _FRAME_PACKAGES and len(getattr(data, "shape", ())) == 2


def take_rows(data: Any, rows: np.ndarray) -> Any:
    """The given rows of an array or frame, in that order, in the same form."""
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    return data.take(rows) if is_frame(data) and hasattr(data, "take") else data[rows]
