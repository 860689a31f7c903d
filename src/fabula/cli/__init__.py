"""The command ``fabula``: it parses, calls and shows."""

from __future__ import annotations

from fabula.cli.app import main, run

__all__ = ["main", "run"]
