from __future__ import annotations

import wave

import numpy as np
import pytest

from fabula.core.errors import DataError, UsageError
from fabula.sequences import normalised_together, read_sound_folder, sound_features


def tone(seconds: float = 0.5, rate: int = 8000, hertz: float = 440.0) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    rng = np.random.default_rng(0)
    return 0.4 * np.sin(2 * np.pi * hertz * t * (1 + t)) + 0.01 * rng.normal(size=len(t))


def write(path, samples: np.ndarray, rate: int = 8000):
    """16-bit WAV, written by another library than the one that reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples * 32767).round().astype("<i2").tobytes())
    return path


def test_a_folder_for_each_class(tmp_path) -> None:
    for label, hertz in (("low", 300), ("high", 1500)):
        for i in range(2):
            write(tmp_path / label / f"{i}.wav", tone(0.2, hertz=hertz))
    (tmp_path / "low" / "notes.txt").write_text("not a sound")
    features, labels, names = read_sound_folder(tmp_path, n_coefficients=5, deltas=False)
    assert labels.tolist() == ["high", "high", "low", "low"]
    assert names == ["high/0.wav", "high/1.wav", "low/0.wav", "low/1.wav"]
    assert {rows.shape for rows in features} == {(21, 5)}
    assert isinstance(features, list) and features[0].dtype == np.float64
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="none holds no sounds"):
        read_sound_folder(tmp_path)


def test_a_manifest(tmp_path) -> None:
    write(tmp_path / "a.wav", tone(0.2))
    write(tmp_path / "b.wav", tone(0.3))
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("file,who,what\nb.wav,ann,x\na.wav,bob,y\n")
    found = read_sound_folder(tmp_path, manifest=sheet, label="what")
    assert (found.labels.tolist(), found.names) == (["x", "y"], ["b.wav", "a.wav"])
    for content, error, words in (
        ("file,who\n", UsageError, "no column 'what'; it has file, who"),
        ("file,what\n", DataError, "names no sounds"),
        ("file,what\na.wav,\n", DataError, "line 2: expected a file and a class"),
        ("file,what\nq.wav,x\n", UsageError, "no file .*q.wav"),
        ("", UsageError, "it has none"),
    ):
        sheet.write_text(content)
        with pytest.raises(error, match=words):
            read_sound_folder(tmp_path, manifest=sheet, label="what")
    sheet.write_bytes(b"file,what\na.wav,\xff\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_sound_folder(tmp_path, manifest=sheet, label="what")


def test_sounds_that_do_not_go_together(tmp_path) -> None:
    write(tmp_path / "x" / "a.wav", tone(0.2))
    write(tmp_path / "x" / "b.wav", tone(0.2, rate=16000), 16000)
    with pytest.raises(DataError, match=r"b.wav has 16,000 samples in a second, and x/a.wav has"):
        read_sound_folder(tmp_path)
    features = read_sound_folder(tmp_path, sample_rate=8000).features
    assert [len(rows) for rows in features] == [21, 21]
    write(tmp_path / "x" / "c.wav", tone(0.01))
    with pytest.raises(DataError, match=r"c.wav lasts 10.0 ms"):
        read_sound_folder(tmp_path, sample_rate=8000)
    with pytest.raises(UsageError, match="There is no folder"):
        read_sound_folder(tmp_path / "none")
    (tmp_path / "flat").mkdir()
    with pytest.raises(DataError, match="flat holds no sounds: expected a folder for each class"):
        read_sound_folder(tmp_path / "flat")
    write(tmp_path / "a.wav", tone(0.2))
    with pytest.raises(DataError, match=r"such as flat, and sounds of no class, such as a.wav"):
        read_sound_folder(tmp_path)


def test_sounds_of_no_class(tmp_path) -> None:
    for i in range(2):
        write(tmp_path / f"{i}.wav", tone(0.2))
    write(tmp_path / "._0.wav", tone(0.2))  # what some systems leave beside a file
    features, labels, names = read_sound_folder(tmp_path)
    assert (len(features), labels.tolist(), names) == (2, [None, None], ["0.wav", "1.wav"])


def test_sounds_that_must_become_wav_first(tmp_path) -> None:
    write(tmp_path / "x" / "a.wav", tone(0.2))
    (tmp_path / "x" / "b.flac").write_bytes(b"fLaC")
    with pytest.raises(DataError, match=r"x holds sounds that are no WAV, such as b.flac.*ffmpeg"):
        read_sound_folder(tmp_path)


def test_several_warps(tmp_path) -> None:
    for i in range(2):
        write(tmp_path / "x" / f"{i}.wav", tone(0.2, hertz=300 + 100 * i))
    found = read_sound_folder(tmp_path, warps=(0.9, 1.0))
    assert found.names == ["x/0.wav", "x/1.wav"] * 2
    assert found.labels.tolist() == ["x"] * 4
    for rows, name, warp in zip(found.features, found.names, (0.9, 0.9, 1.0, 1.0), strict=True):
        np.testing.assert_array_equal(rows, sound_features(tmp_path / name, warp=warp))
    for wrong in ((), 1.0):
        with pytest.raises(UsageError, match="warps must be a list"):
            read_sound_folder(tmp_path, warps=wrong)
    with pytest.raises(UsageError, match="State warps"):
        read_sound_folder(tmp_path, warp=1.1)


def test_speakers_are_normalised_together(tmp_path) -> None:
    for i in range(3):
        write(tmp_path / f"{i}.wav", tone(0.2, hertz=300 + 200 * i))
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("file,label,who\n0.wav,x,ann\n1.wav,y,bob\n2.wav,y,ann\n")
    found = read_sound_folder(tmp_path, manifest=sheet, speaker="who", warps=(1.0, 1.1))
    plain = [
        sound_features(tmp_path / f"{i}.wav", normalise=False, warp=warp)
        for warp in (1.0, 1.1)
        for i in range(3)
    ]
    expected = normalised_together(plain, ["ann", "bob", "ann", "ANN", "BOB", "ANN"])
    for rows, truth in zip(found.features, expected, strict=True):
        np.testing.assert_allclose(rows, truth)
    with pytest.raises(UsageError, match="state manifest too"):
        read_sound_folder(tmp_path, speaker="who")
    with pytest.raises(UsageError, match="no column 'voice'"):
        read_sound_folder(tmp_path, manifest=sheet, speaker="voice")
    sheet.write_text("file,label,who\n0.wav,x,\n")
    with pytest.raises(DataError, match="line 2: expected a file, class and speaker"):
        read_sound_folder(tmp_path, manifest=sheet, speaker="who")
