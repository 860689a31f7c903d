"""Laws for families and stories, and small instances to hold against them.

Whoever writes a family of their own calls `check_family` on an instance of it.
"""

from __future__ import annotations

from fabula.testing.laws import (
    FAMILY_LAWS,
    STORY_LAWS,
    Law,
    check_family,
    check_story,
    family_laws,
)
from fabula.testing.registry import FAMILIES

__all__ = [
    "FAMILIES",
    "FAMILY_LAWS",
    "STORY_LAWS",
    "Law",
    "check_family",
    "check_story",
    "family_laws",
]
