"""``fabula compare``: storytellers and dividers side by side."""

from __future__ import annotations

__all__ = ["compare"]


def compare() -> None:
    """Compare."""
