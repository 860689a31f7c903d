"""The folder of real data, and a visible skip for the tests that need it where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_WHY_SKIPPED = "set FABULA_DATA to the folder of real data to run this test"


def _named_folder() -> Path | None:
    named = os.environ.get("FABULA_DATA")
    return Path(named).resolve() if named else None


def pytest_configure(config: pytest.Config) -> None:
    folder = _named_folder()
    if folder is not None and not folder.is_dir():
        raise pytest.UsageError(f"FABULA_DATA names {folder}, which is not a folder")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if _named_folder() is None:
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(pytest.mark.skip(reason=_WHY_SKIPPED))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Return the folder that FABULA_DATA names."""
    folder = _named_folder()
    if folder is None:
        pytest.skip(_WHY_SKIPPED)
    return folder
