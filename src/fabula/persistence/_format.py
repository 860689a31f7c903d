"""The shared words of packing and unpacking: tags, dtypes and limits of the tree in a file."""

from __future__ import annotations

import datetime
import math
import re
from typing import Any, TypeAlias

import numpy as np

__all__ = [
    "CLOCKS",
    "DTYPES",
    "LEAVES",
    "MAX_BITS",
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_TEXT_BYTES",
    "SPECIAL_FLOATS",
    "Arrays",
    "Tree",
    "is_time_dtype",
]

Tree: TypeAlias = Any
"""What ``json.dumps`` takes and ``json.loads`` returns."""

Arrays: TypeAlias = dict[str, np.ndarray[Any, np.dtype[Any]]]
"""Name of an array in the tree to the array, C-contiguous, of a dtype in ``DTYPES``."""

MAX_DEPTH = 64
MAX_NODES = 5_000_000
MAX_TEXT_BYTES = 2**30
MAX_BITS = 4096

DTYPES = frozenset(
    {
        "bool",
        *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
        *(f"float{bits}" for bits in (16, 32, 64)),
    }
)
"""Dtypes that arrays are stored with."""

LEAVES = frozenset({"float", "scalar", "date", "datetime", "time", "timedelta"})
"""Tags of what is one value, so that arrays of objects may hold it."""

SPECIAL_FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}

CLOCKS: dict[str, type[datetime.date] | type[datetime.time]] = {
    "date": datetime.date,
    "datetime": datetime.datetime,
    "time": datetime.time,
}

_TIMES = re.compile(r"(datetime64|timedelta64)\[(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\]")


def is_time_dtype(name: object) -> bool:
    """Whether this names a numpy dtype of dates or durations, which are stored as int64."""
    return isinstance(name, str) and _TIMES.fullmatch(name) is not None
