"""``fabula demo``: storytellers and dividers side by side."""

from __future__ import annotations

__all__ = ["demo"]


def demo() -> None:
    """Demo."""
