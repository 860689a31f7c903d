from __future__ import annotations

import wave

import numpy as np
import pytest
from scipy.fft import dct
from scipy.signal import resample

from fabula.core.errors import DataError, UsageError
from fabula.sequences import normalised_together, read_wav, sound_features


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


def plain_cepstra(samples: np.ndarray, rate: int, span: float, warp: float) -> np.ndarray:
    """Davis and Mermelstein (1980), by numbers: frames, spectrum, mel bands, logs, cosines."""
    length, hop, n_fft, n_bands = round(0.025 * rate), round(0.01 * rate), 256, 23

    def mel(hertz):
        return 2595 * np.log10(1 + hertz / 700)

    def warped(hertz):  # a factor up to a bend, then the line that ends at half the rate
        bend = 0.8 * rate / 2 / max(warp, 1)
        return np.interp(hertz, [0, bend, rate / 2], [0, warp * bend, rate / 2])

    grid = mel(100) + (mel(0.475 * rate) - mel(100)) * np.arange(n_bands + 2) / (n_bands + 1)
    corners = mel(warped(700 * (10 ** (grid / 2595) - 1)))
    decibels = []
    for t in range(1 + len(samples) // hop):
        seen = np.arange(t * hop - length // 2, t * hop - length // 2 + length)
        inside = (seen >= 0) & (seen < len(samples))
        values = np.where(inside, samples[np.clip(seen, 0, len(samples) - 1)], 0)
        window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(length) / (length - 1))
        waves = np.exp(-2j * np.pi * np.outer(np.arange(n_fft // 2 + 1), np.arange(length)) / n_fft)
        power = np.abs(waves @ (values * window)) ** 2
        where = mel(np.arange(n_fft // 2 + 1) * rate / n_fft)
        row = [
            power @ np.interp(where, corners[b : b + 3], [0, 1, 0], left=0, right=0)
            for b in range(n_bands)
        ]
        decibels.append(10 * np.log10(row))
    cut = np.maximum(decibels, np.max(decibels) - span)
    place = np.arange(n_bands) + 0.5
    cosines = np.cos(np.pi * np.outer(place, np.arange(13)) / n_bands) * np.sqrt(2 / n_bands)
    cosines[:, 0] /= np.sqrt(2)
    return cut @ cosines


@pytest.mark.parametrize(("span", "warp"), [(80.0, 1.0), (20.0, 1.0), (80.0, 0.9), (80.0, 1.15)])
def test_cepstra_are_those_of_the_book(span, warp) -> None:
    found = sound_features(
        tone(), 8000, deltas=False, normalise=False, dynamic_range=span, warp=warp, trim=None
    )
    assert found.shape == (51, 13)
    np.testing.assert_allclose(found, plain_cepstra(tone(), 8000, span, warp), atol=1e-6)


def test_bands_are_those_of_kaldi() -> None:
    kaldi = pytest.importorskip("kaldi_native_fbank")
    options = kaldi.FbankOptions()
    options.frame_opts.samp_freq = 8000
    options.frame_opts.dither = options.frame_opts.preemph_coeff = 0
    options.frame_opts.remove_dc_offset = False
    options.frame_opts.window_type = "hamming"
    options.mel_opts.low_freq, options.mel_opts.high_freq, options.mel_opts.num_bins = 100, 3800, 23
    options.mel_opts.use_slaney_mel_scale = False
    options.mel_opts.norm = ""
    bank = kaldi.OnlineFbank(options)
    noise = np.random.default_rng(0).normal(size=4000)
    # Kaldi's first frame begins where the sound does; ours has its middle there. 60 + 80 j samples
    # are where its frame j and our frame j + 2 begin.
    bank.accept_waveform(8000, noise[60:].tolist())
    bank.input_finished()
    bands = np.array([bank.get_frame(j) for j in range(bank.num_frames_ready)])
    expected = dct(10 / np.log(10) * bands, axis=1, norm="ortho")
    found = sound_features(
        noise, 8000, n_coefficients=23, deltas=False, normalise=False, dynamic_range=200, trim=None
    )
    np.testing.assert_allclose(found[2 : 2 + len(bands)], expected, atol=1e-3)  # single precision


def test_a_warp_undoes_a_longer_tract() -> None:
    """Sound whose frequencies are all a tenth higher, heard with bands a tenth higher."""
    rng = np.random.default_rng(3)
    weights = rng.random(400) * np.exp(-np.arange(400) / 200)
    phases = 2 * np.pi * rng.random(400)

    def voice(scale: float) -> np.ndarray:
        t = np.arange(8000) / 16000
        waves = np.sin(2 * np.pi * scale * 7.0 * np.outer(np.arange(1, 401), t) + phases[:, None])
        return weights @ waves

    options = {"deltas": False, "normalise": False, "highest": 2500.0, "frame": 0.1, "trim": None}
    plain = sound_features(voice(1.0), 16000, **options)[10:40].mean(axis=0)
    same = sound_features(voice(1.1), 16000, warp=1.1, **options)[10:40].mean(axis=0)
    other = sound_features(voice(1.1), 16000, **options)[10:40].mean(axis=0)
    # All coefficients but loudness: wider bands hold more.
    assert np.abs(same - plain)[1:].max() < 0.5 * np.abs(other - plain)[1:].max()


def test_quiet_ends_are_left_out() -> None:
    noise = 1e-3 * np.random.default_rng(1).normal(size=8000)
    noise[3200:4000] += tone(0.1)
    whole = sound_features(noise, 8000, trim=None, normalise=False)
    found = sound_features(noise, 8000, trim=30.0, normalise=False)
    assert len(whole) == 101
    # The tone sounds from frame 40 to 50; a window reaches 12 ms, and three frames are kept.
    assert 11 + 6 <= len(found) <= 11 + 6 + 4
    start = next(i for i in range(101) if np.array_equal(whole[i], found[0]))
    assert 35 <= start <= 37
    np.testing.assert_array_equal(whole[start : start + len(found)], found)


def test_normalised_together() -> None:
    rng = np.random.default_rng(2)
    features = [rng.normal(k, 1 + k, size=(5 + k, 3)) for k in range(4)]
    for rows in features:
        rows[:, 2] = 7.0  # a column that does not move
    found = normalised_together(features, ["a", "b", "a", "b"])
    for pair in ((0, 2), (1, 3)):
        before = np.concatenate([features[i] for i in pair])[:, :2]
        after = np.concatenate([found[i] for i in pair])
        np.testing.assert_allclose(after[:, :2], (before - before.mean(0)) / before.std(0))
        np.testing.assert_array_equal(after[:, 2], 0)
    alone = sound_features(tone(), 8000)
    [again] = normalised_together([sound_features(tone(), 8000, normalise=False)])
    np.testing.assert_allclose(again, alone)
    assert normalised_together([]) == []
    with pytest.raises(UsageError, match="one entry for each sound: there are 1 for 4"):
        normalised_together(features, ["a"])
    with pytest.raises(UsageError, match="same number of columns"):
        normalised_together([np.zeros((3, 2)), np.zeros((3, 4))])


def test_slopes_and_scale() -> None:
    plain = sound_features(tone(), 8000, deltas=False, normalise=False)
    with_slopes = sound_features(tone(), 8000, normalise=False)
    np.testing.assert_allclose(with_slopes[:, :13], plain)
    # The slope of a line through five frames.
    t = 20
    slope = np.polyfit(np.arange(-2, 3), plain[t - 2 : t + 3], 1)[0]
    np.testing.assert_allclose(with_slopes[t, 13:26], slope, atol=1e-6)
    scaled = sound_features(tone(), 8000)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-9)
    # Loudness is a shift of the first coefficient, which the mean takes away.
    np.testing.assert_allclose(sound_features(0.5 * tone(), 8000), scaled, atol=1e-6)


def test_a_file_and_its_samples_are_the_same(tmp_path) -> None:
    path = write(tmp_path / "x.wav", tone())
    samples, rate = read_wav(path)
    np.testing.assert_array_equal(sound_features(path), sound_features(samples, rate))
    whole = (samples * 32768).round().astype(np.int16)
    np.testing.assert_allclose(sound_features(whole, rate), sound_features(path), atol=1e-3)
    with pytest.raises(UsageError, match="rate stands in the file"):
        sound_features(path, 8000)


def test_resampled_sound_has_about_the_same_features() -> None:
    fast = tone(rate=16000)
    slow = resample(fast, len(fast) // 2)  # by way of the spectrum
    rows = sound_features(fast, 16000, sample_rate=8000, deltas=False, normalise=False)
    expected = sound_features(slow, 8000, deltas=False, normalise=False)
    assert rows.shape == expected.shape
    for j in range(8):
        assert np.corrcoef(rows[:, j], expected[:, j])[0, 1] > 0.98


def test_short_and_silent_sounds() -> None:
    assert sound_features(tone(0.025), 8000).shape == (3, 39)
    with pytest.raises(DataError, match=r"lasts 24.9 ms \(199 samples\): expected at least one"):
        sound_features(tone()[:199], 8000)
    silent = sound_features(np.zeros(2000), 8000)
    assert silent.shape == (26, 39) and np.abs(silent).max() < 1e-9


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((np.zeros((3, 2)), 8000), {}, UsageError, r"array \(n,\) of samples"),
        ((np.array([]), 8000), {}, UsageError, "samples"),
        ((np.array(["a"]), 8000), {}, UsageError, "samples"),
        ((tone(),), {}, UsageError, "rate must be"),
        ((tone(), -1), {}, UsageError, "rate must be"),
        ((tone(), 8000), {"n_coefficients": 0}, UsageError, "n_coefficients"),
        ((tone(), 8000), {"n_coefficients": 30}, UsageError, "more than there are bands"),
        ((tone(), 8000), {"n_bands": 100}, UsageError, "too many"),
        ((tone(), 8000), {"frame": 25}, UsageError, "in seconds"),
        ((tone(), 8000), {"step": 0.0}, UsageError, "in seconds"),
        ((tone(), 8000), {"dynamic_range": 0}, UsageError, "positive decibels"),
        ((tone(), 8000), {"sample_rate": 0}, UsageError, "sample_rate"),
        ((tone(), 8000), {"trim": -1}, UsageError, "trim must be positive decibels"),
        ((tone(), 8000), {"warp": 3}, UsageError, "warp must be a factor"),
        ((tone(), 8000), {"warp": "x"}, UsageError, "warp must be a factor"),
        ((tone(), 8000), {"lowest": 5000}, UsageError, "half the rate"),
        ((tone(), 8000), {"highest": 5000}, UsageError, r"to half the rate \(4000 hertz\)"),
        ((tone(), 8000), {"lowest": np.nan}, UsageError, "half the rate"),
        ((tone(), 30), {}, UsageError, "has 1 samples at 30 hertz"),
        ((np.r_[tone(), np.inf], 8000), {}, DataError, r"Sample 4,?001 \(from 1\)"),
    ],
)
def test_what_makes_no_sense(arguments, options, error, words) -> None:
    with pytest.raises(error, match=words):
        sound_features(*arguments, **options)


@pytest.mark.data
def test_spoken_digits(data_folder) -> None:
    folder = data_folder / "spoken-digits"
    lines = (folder / "manifest.csv").read_text().splitlines()
    for line in lines[1::100]:
        name, _, _, _, n_samples, _ = line.split(",")
        samples, rate = read_wav(folder / "recordings" / name)
        assert (len(samples), rate) == (int(n_samples), 8000)
        assert sound_features(samples, rate, trim=None).shape == (1 + int(n_samples) // 80, 39)
