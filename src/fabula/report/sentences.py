"""Numbers as people say them."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["as_text", "joined", "number", "percent", "plural"]


def as_text(value: object) -> str:
    """A label or level as it stands in a CSV file.

    >>> as_text(True), as_text("yes"), as_text(3)
    ('true', 'yes', '3')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def joined(items: Iterable[object], last: str = "and") -> str:
    """A list as in a sentence.

    >>> joined(["radius", "texture", "area"])
    'radius, texture and area'
    """
    words = [str(item) for item in items]
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, whole numbers as they are.

    >>> number(1234567), number(0.012345), number(12.0), number(float("nan"))
    ('1,234,567', '0.0123', '12', 'unknown')
    """
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def percent(share: float, decimals: int = 1) -> str:
    """A share in percent; what is not 0 or 1 never reads as if it were.

    >>> percent(0.9472), percent(0.00001), percent(1.0)
    ('94.7 %', 'less than 0.1 %', '100 %')
    """
    if math.isnan(share):
        return "unknown"
    smallest = 10.0**-decimals
    if 0 < share * 100 < smallest:
        return f"less than {smallest:g} %"
    if 100 - smallest < share * 100 < 100:
        return f"more than {100 - smallest:g} %"
    if share in (0.0, 1.0):
        return f"{share * 100:.0f} %"
    return f"{share * 100:.{decimals}f} %"


def plural(count: int, singular: str, several: str | None = None) -> str:
    """A count and its noun.

    >>> plural(1, "row"), plural(1250, "row"), plural(2, "biopsy", "biopsies")
    ('1 row', '1,250 rows', '2 biopsies')
    """
    noun = singular if count == 1 else several or f"{singular}s"
    return f"{count:,} {noun}"
