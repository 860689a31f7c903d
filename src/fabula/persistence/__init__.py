"""One file format for every story: registry of classes, codec to JSON and arrays, archive."""

from __future__ import annotations

from fabula.persistence.archive import describe, load, save
from fabula.persistence.registry import storable

__all__ = ["describe", "load", "save", "storable"]
