"""Sound on the command line: files without classes, other rates, and what goes wrong."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def write(path: Path, pitch: float, seconds: float = 0.3, rate: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(int(pitch)).normal(size=len(t))
    values = (3e4 * (0.4 * np.sin(2 * np.pi * pitch * t) + 0.02 * noise)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(values.tobytes())
    return path


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    for name, pitch in (("low", 300), ("high", 1400)):
        for i in range(3):
            write(tmp_path / "sounds" / name / f"{i}.wav", pitch + 10 * i)
    return tmp_path / "sounds"


def test_unknown_sounds_are_recognised_at_any_rate(fabula: Any, tmp_path: Path, sounds: Path):
    model = tmp_path / "sounds.fabula"
    done = fabula("fit", sounds, "--states", 2, "--set", "emission=diag", "-o", model)
    assert done.code == 0, done.err
    for name, pitch, rate in (("a", 1390, 8000), ("b", 310, 8000), ("c", 1390, 16000)):
        write(tmp_path / name / "x.wav", pitch, rate=rate)
    for name, word in (("a", "high"), ("b", "low"), ("c", "high")):
        for place in (tmp_path / name, tmp_path / name / "x.wav"):
            found = fabula("predict", model, place)
            assert found.code == 0, found.err
            assert found.out.splitlines()[1].startswith(f"x.wav,{word},")


def test_sounds_of_no_class_have_a_density(fabula: Any, tmp_path: Path, sounds: Path) -> None:
    model = tmp_path / "low.fabula"
    options = ("--model", "hmm", "--states", 2, "--set", "emission=diag", "-o", model)
    done = fabula("fit", sounds / "low", *options)
    assert done.code == 0, done.err
    scored = fabula("score", model, sounds / "low")
    assert [line.split(",")[0] for line in scored.out.splitlines()[1:]] == [
        "0.wav",
        "1.wav",
        "2.wav",
    ]


def test_what_is_wrong_with_sounds_is_said(fabula: Any, tmp_path: Path, sounds: Path) -> None:
    def refused(folder: Path, said: str) -> None:
        done = fabula("fit", folder, "--model", "hmm", "-o", tmp_path / "no.fabula")
        assert done.code in (2, 3) and said in done.err, done.err
        assert "Traceback" not in done.err and not (tmp_path / "no.fabula").exists()

    (tmp_path / "none").mkdir()
    refused(tmp_path / "none", "holds no sequences")
    write(tmp_path / "one" / "a" / "x.wav", 300)
    refused(tmp_path / "one", "of one class only")
    write(tmp_path / "rates" / "a" / "x.wav", 300)
    write(tmp_path / "rates" / "b" / "x.wav", 300, rate=16000)
    refused(tmp_path / "rates", "16,000 samples in a second")
    write(tmp_path / "short" / "a" / "x.wav", 300, seconds=0.02)
    refused(tmp_path / "short", "lasts 20.0 ms")
    (tmp_path / "other" / "a").mkdir(parents=True)
    (tmp_path / "other" / "a" / "x.flac").write_bytes(b"fLaC")
    refused(tmp_path / "other", "turn them into WAV")
    cut = write(tmp_path / "cut" / "a" / "x.wav", 300)
    cut.write_bytes(cut.read_bytes()[:1000])
    refused(tmp_path / "cut", "needs 4,844 bytes, and the file has 1,000")
