"""``python -m fabula`` is the command ``fabula``."""

from __future__ import annotations

from fabula.cli import main

if __name__ == "__main__":
    main()
