"""Handwritten digits drawn by three networks: Fréchet distances, and grids to look at.

The features are the last hidden layer of a small classifier that the script trains on the labelled
training images; the distance is that of normals with the means and covariances of the features
(Heusel et al. 2017), between 5,000 draws and 5,000 test images. Between test and training images
it is the floor. NEURAL_SECONDS (300) is the time of each network; PICTURES names a folder for the
grids (by default none are written); NEURAL=gan,vae limits the run. With DIGITS=1, or without a
folder of data, the digits are those of 8 x 8 pixels that scikit-learn brings, and the networks have
13 seconds each.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import fabula
from benchmarks.neural_images import autoencoder, read
from benchmarks.timing import is_asked, print_table

N_DRAWS = 5000


def run() -> None:
    """Each network once."""
    warnings.simplefilter("ignore")
    folder = None if "DIGITS" in os.environ else os.environ.get("FABULA_DATA")
    small = not folder
    train, test = (
        _bundled()
        if not folder
        else (read(Path(folder) / "mnist" / name) for name in ("train.npz", "test.npz"))
    )
    features, error = _learned_features(train, test)
    print(f"{train[0].shape} images; the classifier errs on {error:.1%} of the test images.\n")
    real_images = test[0][:N_DRAWS]
    real = features(real_images)
    some = np.random.default_rng(0).permutation(train[0])[:N_DRAWS]
    seconds = float(os.environ.get("NEURAL_SECONDS", "13" if small else "300"))
    rows: list[list[object]] = [
        ["training images", "", "", f"{frechet_distance(features(some), real):.1f}"],
        ["pixels shuffled among images", "", "", _far(features, some, real)],
    ]
    for name, make in _makers(seconds, small).items():
        if not is_asked(name):
            continue
        model = make()
        began = time.perf_counter()
        model.fit(*train) if name == "gan" else model.fit(train[0])
        seconds = time.perf_counter() - began
        drawn = _drawn(name, model).reshape(-1, *real_images.shape[1:])
        distance = frechet_distance(features(drawn), real)
        rows.append([name, f"{seconds:.0f}", f"{model.report_.n_steps:,}", f"{distance:.1f}"])
        _write(name, drawn)
    print_table(["images", "s", "steps", "Fréchet distance to test images"], rows)


def _bundled() -> tuple[Any, Any]:
    """The digits of scikit-learn in 17 shades, 1,200 to learn from."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    images = digits.images[order].astype(np.uint8)
    labels = digits.target[order]
    return (images[:1200], labels[:1200]), (images[1200:], labels[1200:])


def _makers(seconds: float, small: bool) -> dict[str, Any]:
    common = {"max_time": seconds, "max_epochs": 1000, "random_state": 0}
    vae = {"batch_size": 128, "likelihood": "auto"} if small else {}
    gan = {} if small else {"width": 256, "batch_size": 128}
    diffusion = {"width": 256 if small else 512, "steps": 25, "solver": "dpm", "patience": None}
    return {
        "vae": lambda: autoencoder(seconds, **vae),
        "gan": lambda: fabula.GenerativeAdversarialNetwork(**gan, **common),
        "diffusion": lambda: fabula.DiffusionModel(**diffusion, **common),
    }


def _learned_features(train: Any, test: Any) -> tuple[Any, float]:
    """Images to the last hidden layer of a classifier, and the share of its errors."""
    from sklearn.neural_network import MLPClassifier

    def rows(images: np.ndarray) -> np.ndarray:
        return np.asarray(images, dtype=np.float32).reshape(len(images), -1) / 255.0

    net = MLPClassifier(
        (256, 64), max_iter=8 if len(train[0]) > 10_000 else 100, batch_size=256, random_state=0
    )
    net.fit(rows(train[0]), train[1])

    def features(images: np.ndarray) -> np.ndarray:
        hidden = rows(images)
        for weight, bias in zip(net.coefs_[:-1], net.intercepts_[:-1], strict=True):
            hidden = np.maximum(hidden @ weight + bias, 0.0)
        return hidden

    return features, float(1 - net.score(rows(test[0]), test[1]))


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """|m - m'|² + tr(S + S' - 2 (S S')^½) of the normals with the moments of two sets of rows."""
    from scipy.linalg import sqrtm

    means = one.mean(0) - other.mean(0)
    first, second = np.cov(one.T), np.cov(other.T)
    root = np.real(sqrtm(first @ second))
    return float(means @ means + np.trace(first + second - 2 * root))


def _far(features: Any, images: np.ndarray, real: np.ndarray) -> str:
    """What independent pixels come to: every pixel with the right law, and nothing else."""
    rng = np.random.default_rng(1)
    flat = images.reshape(len(images), -1)
    shuffled = rng.permuted(flat, axis=0).reshape(images.shape)
    return f"{frechet_distance(features(shuffled), real):.1f}"


def _drawn(name: str, model: Any) -> np.ndarray:
    """Images; of the autoencoder, whose pixels are black or white by chance, their means."""
    if name == "vae":
        latents = np.random.default_rng(0).standard_normal((N_DRAWS, 50))
        drawn = model.inverse_transform(latents)
    else:
        drawn = model.sample(N_DRAWS, random_state=0)[0]
    return np.asarray(drawn)


def _write(name: str, drawn: np.ndarray) -> None:
    folder = os.environ.get("PICTURES")
    if not folder:
        return
    import matplotlib.pyplot as plt

    from fabula.plots.neural import image_grid

    figure = image_grid(drawn[:64], title=f"{name}, draws")
    figure.savefig(Path(folder) / f"{name}.png", dpi=80)
    plt.close(figure)
