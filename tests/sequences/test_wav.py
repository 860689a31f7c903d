from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from fabula.core.errors import DataError, FabulaError, FileFormatError, UsageError
from fabula.sequences import read_wav


def tone(seconds: float = 0.5, rate: int = 8000) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    return 0.4 * np.sin(2 * np.pi * 440 * t * (1 + t))


def write(path: Path, samples: np.ndarray, rate: int = 8000) -> Path:
    """16-bit WAV, written by another library than the one that reads it."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples * 32767).round().astype("<i2").tobytes())
    return path


def packed(
    data: bytes,
    *,
    code: int = 1,
    channels: int = 1,
    rate: int = 8000,
    bits: int = 16,
    order: str = "<",
    before: bytes = b"",
    size: int | None = None,
) -> bytes:
    """A WAV byte by byte, as the format's definition has it."""
    frame = channels * bits // 8
    layout = struct.pack(order + "HHIIHH", code, channels, rate, rate * frame, frame, bits)
    parts = b"fmt " + struct.pack(order + "I", len(layout)) + layout + before
    parts += b"data" + struct.pack(order + "I", len(data) if size is None else size) + data
    mark = b"RIFF" if order == "<" else b"RIFX"
    return mark + struct.pack(order + "I", 4 + len(parts)) + b"WAVE" + parts


def test_samples_and_rate(tmp_path) -> None:
    samples, rate = read_wav(write(tmp_path / "x.wav", tone()))
    assert rate == 8000
    np.testing.assert_allclose(samples, tone(), atol=1e-4)


def test_several_channels_are_averaged(tmp_path) -> None:
    stereo = np.stack([tone(), -0.5 * tone()], axis=1)
    samples, _ = read_wav(write(tmp_path / "x.wav", stereo))
    np.testing.assert_allclose(samples, 0.25 * tone(), atol=1e-4)


def test_cut_anywhere_is_noticed(tmp_path) -> None:
    content = write(tmp_path / "x.wav", tone(0.03)).read_bytes()
    for end in range(len(content)):
        (tmp_path / "cut.wav").write_bytes(content[:end])
        with pytest.raises(DataError, match=r"cut\.wav"):
            read_wav(tmp_path / "cut.wav")
    with pytest.raises(FileFormatError, match=r"part 'data' at byte 37 needs 524 bytes, .* 500"):
        (tmp_path / "cut.wav").write_bytes(content[:500])
        read_wav(tmp_path / "cut.wav")


def test_flipped_bytes_of_the_header_give_samples_or_an_error(tmp_path) -> None:
    content = write(tmp_path / "x.wav", tone(0.03)).read_bytes()
    n_errors = 0
    for at in range(44):
        for flip in (1, 128):
            damaged = bytearray(content)
            damaged[at] ^= flip
            (tmp_path / "flipped.wav").write_bytes(damaged)
            try:
                samples, rate = read_wav(tmp_path / "flipped.wav")
            except FabulaError as error:
                n_errors += 1
                assert "flipped.wav" in str(error)
            else:
                assert samples.ndim == 1 and np.isfinite(samples).all() and rate > 0
    assert n_errors > 20


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"ID3\x04 this is music", "is MP3, which is not read here"),
        (b"fLaC and more", "is FLAC, which is not read here.*ffmpeg"),
        (b"RI", "no sound file that can be read"),
        (b"RIFF\x04\x00\x00\x00AVI ", "is no WAV file"),
        (b"hello, I am a text\n" * 10, "Expected WAV"),
    ],
)
def test_what_is_no_sound(tmp_path, content, words) -> None:
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_wav(tmp_path / "x.wav")


def test_no_samples_and_no_file(tmp_path) -> None:
    with pytest.raises(DataError, match="holds no samples"):
        read_wav(write(tmp_path / "x.wav", np.zeros(0)))
    with pytest.raises(UsageError, match="There is no file"):
        read_wav(tmp_path / "none.wav")
    with pytest.raises(UsageError, match="is a folder"):
        read_wav(tmp_path)


def test_samples_that_are_no_numbers(tmp_path) -> None:
    samples = np.array([0.0, 0.1, np.nan, 0.2], dtype="<f4")
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + 16, b"WAVE", b"fmt ", 16, 3, 1, 8000,
                         32000, 4, 32, b"data", 16)  # fmt: skip
    (tmp_path / "x.wav").write_bytes(header + samples.tobytes())
    with pytest.raises(DataError, match=r"sample 3 .* is no finite number"):
        read_wav(tmp_path / "x.wav")


@pytest.mark.parametrize(
    ("code", "bits", "step"),
    [(1, 8, 2**-7), (1, 16, 2**-15), (1, 24, 2**-23), (1, 32, 2**-31), (3, 32, 2**-24), (3, 64, 0)],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_way_to_store_samples(tmp_path, code, bits, step, order) -> None:
    samples = np.array([0.0, 0.5, -0.5, 0.25, -1.0, 0.7, -0.3])
    if code == 3:
        data = samples.astype(f"{order}f{bits // 8}").tobytes()
    elif bits == 8:
        data = bytes(round(128 + 128 * value) for value in samples)
    else:
        whole = [round(value * 2 ** (bits - 1)) for value in samples]
        name = {"<": "little", ">": "big"}[order]
        data = b"".join(value.to_bytes(bits // 8, name, signed=True) for value in whole)
    (tmp_path / "x.wav").write_bytes(packed(data, code=code, bits=bits, order=order))
    found, rate = read_wav(tmp_path / "x.wav")
    assert rate == 8000
    np.testing.assert_allclose(found, samples, atol=0.51 * step + 1e-15)


def test_agrees_with_scipy_on_what_scipy_writes(tmp_path) -> None:
    stereo = np.stack([tone(), tone()[::-1]], axis=1).astype(np.float32)
    wavfile.write(tmp_path / "x.wav", 44100, stereo)
    found, rate = read_wav(tmp_path / "x.wav")
    assert rate == 44100
    np.testing.assert_allclose(found, stereo.astype(float).mean(axis=1))


def test_extensible_headers_other_parts_and_open_ends(tmp_path) -> None:
    """What recorders write: a header of 40 bytes, notes before the sound, a size not yet known."""
    data = (tone() * 32767).round().astype("<i2").tobytes()
    notes = b"LIST" + struct.pack("<I", 5) + b"hello\0"
    long = struct.pack("<HHIIHH", 0xFFFE, 1, 8000, 16000, 2, 16)
    long += struct.pack("<HHI", 22, 16, 4) + struct.pack("<H", 1) + b"\0" * 14
    contents = [
        packed(data, before=notes),
        packed(data, size=0xFFFFFFFF),
        packed(data) + notes,
        b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 40) + long
        + b"data" + struct.pack("<I", len(data)) + data,
    ]  # fmt: skip
    for content in contents:
        (tmp_path / "x.wav").write_bytes(content)
        np.testing.assert_allclose(read_wav(tmp_path / "x.wav")[0], tone(), atol=1e-4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed(b"12345678", code=6, bits=8), r"byte 13: samples are A-law \(code 6\)"),
        (packed(b"12345678", code=99), r"of an unknown kind \(code 99\)"),
        (packed(b"12345678", bits=12), "have 12 bits; expected 8, 16, 24, 32"),
        (packed(b"12345678", channels=0), "0 channels"),
        (packed(b"12345678", rate=0), "0 samples in a second"),
        (packed(b"1234567"), r"from byte 45\) take 7 bytes, and that is no multiple of the 2"),
        (b"RIFF0000WAVEdata\x04\0\0\0abcd", r"byte 13\) come before the part 'fmt'"),
        (b"RIFF0000WAVEfmt \x04\0\0\0abcd", "at least 16 are needed"),
    ],
)
def test_what_is_said_of_a_damaged_file(tmp_path, content, words) -> None:
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(FileFormatError, match=words):
        read_wav(tmp_path / "x.wav")
