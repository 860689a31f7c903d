"""The curse of dimensionality: 4,096 columns, ten classes, from 100 to 5,000 images."""

from __future__ import annotations

import os
import resource
import time
import warnings
from pathlib import Path

import numpy as np

import fabula
from benchmarks.timing import print_table


def run() -> None:
    """Factor covariances beside naive Bayes and logistic regression as the rows grow."""
    warnings.simplefilter("ignore")
    folder = os.environ.get("FABULA_DATA")
    if not folder:
        print("skipped: set FABULA_DATA to the folder that holds mnist/")
        return
    x, y = enlarged(Path(folder) / "mnist/train.npz", 5000)
    x_test, y_test = enlarged(Path(folder) / "mnist/test.npz", 2000)
    try:
        fabula.QuadraticDiscriminantAnalysis().fit(x, y)
    except fabula.UsageError as error:
        print(f"Full covariances, before any work: {error}\n")
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    rows: list[list[object]] = []
    for n in (100, 300, 1000, 5000):
        story = fabula.GenerativeClassifier(
            fabula.GaussianMixture(
                1, covariance_type="factor", n_factors=15, reg_covar=1e-2, max_iter=20
            )
        )
        models = {
            "GenerativeClassifier, 15 factors": story,
            "the same, calibrated": fabula.Calibrated(story, method="temperature", cv=3),
            "NaiveBayes": fabula.NaiveBayes("normal"),
            "logistic regression": LogisticRegression(max_iter=200, C=0.01),
        }
        for name, model in models.items():
            began = time.perf_counter()
            model.fit(x[:n], y[:n])
            seconds = time.perf_counter() - began
            p = np.clip(model.predict_proba(x_test), 1e-12, 1.0)
            p /= p.sum(axis=1, keepdims=True)
            accuracy = float(np.mean(model.classes_[p.argmax(axis=1)] == y_test))
            rows.append([n, name, f"{accuracy:.3f}", log_loss(y_test, p), seconds])
    print_table(["images", "model", "accuracy", "log loss, nats", "fit, s"], rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\npeak memory of this process: {peak:.2f} GiB")


def enlarged(path: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    """``n`` digits blown up to 64 × 64, as rows of 4,096 numbers from 0 to 1."""
    from scipy.ndimage import zoom

    with np.load(path, allow_pickle=False) as data:
        images, labels = data["images"][:n], data["labels"][:n]
    large = zoom(images.astype(np.float32) / 255.0, (1, 64 / 28, 64 / 28), order=1)
    return large.reshape(n, -1).clip(0.0, 1.0), labels.astype(int)
