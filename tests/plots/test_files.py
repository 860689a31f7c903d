"""Pictures are written whole or not at all, and the same each time."""

from __future__ import annotations

import os
import stat

import pytest

from fabula.core.errors import FabulaError, UsageError
from fabula.plots import contributions, save

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture
def figure():
    return contributions(["dose"], [1.0], title="It speaks for it")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_formats_and_repeatability(figure, tmp_path, suffix):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    assert save(figure, first) == first
    save(contributions(["dose"], [1.0], title="It speaks for it"), str(second))
    assert first.read_bytes().startswith(MAGIC[suffix.lower()])
    assert first.read_bytes() == second.read_bytes()
    assert sorted(os.listdir(tmp_path)) == sorted([first.name, second.name])
    assert stat.S_IMODE(first.stat().st_mode) & 0o400


def test_text_stays_text_in_svg(figure, tmp_path):
    assert "It speaks for it" in save(figure, tmp_path / "a.svg").read_text()


def test_a_file_is_only_replaced_on_purpose(figure, tmp_path):
    place = tmp_path / "a.png"
    place.write_text("old")
    with pytest.raises(UsageError, match=r"exists already.*force"):
        save(figure, place)
    assert place.read_text() == "old"
    save(figure, place, force=True)
    assert place.read_bytes().startswith(MAGIC[".png"])


def test_places_that_cannot_be_written(figure, tmp_path):
    with pytest.raises(UsageError, match=r"\.png, \.svg or \.pdf, not in '\.gif'"):
        save(figure, tmp_path / "a.gif")
    with pytest.raises(UsageError, match="not in 'nothing'"):
        save(figure, tmp_path / "a")
    with pytest.raises(UsageError, match="does not exist"):
        save(figure, tmp_path / "nowhere" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        save(figure, tmp_path / "folder.png", force=True)


def test_a_failure_leaves_nothing(figure, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FabulaError, match=r"No space left.*no part"):
        save(figure, tmp_path / "a.png")
    assert os.listdir(tmp_path) == []
