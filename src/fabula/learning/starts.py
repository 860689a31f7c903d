"""Where EM begins when nothing is known of the components."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from fabula.core.arrays import FloatArray, Responsibilities
from fabula.core.errors import UsageError

__all__ = ["START_NAMES", "Start", "start_features", "start_responsibilities"]

Start = Literal["kmeans", "k-means++", "random", "random_from_data"]
START_NAMES: tuple[Start, ...] = ("kmeans", "k-means++", "random", "random_from_data")


def start_features(x: FloatArray, n_levels: dict[int, int] | None = None) -> FloatArray:
    """Rows in which distance means something, for k-means: (n, at least d), no NaN.

    Numbers are centred and scaled to unit variance, so that units do not decide; missing ones
    stand at the mean. A category becomes indicators whose distance between levels is 1.
    """
    levels = n_levels or {}
    parts = []
    numbers = [j for j in range(x.shape[1]) if j not in levels]
    if numbers:
        cells = np.asarray(x[:, numbers], dtype=np.float64)
        seen = ~np.isnan(cells)
        counts = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, cells, 0.0).sum(axis=0) / counts
        centred = np.where(seen, cells - mean, 0.0)
        spread = np.sqrt((centred**2).sum(axis=0) / counts)
        parts.append(centred / np.where(spread > 0, spread, 1.0))
    for j, n in levels.items():
        indicators = x[:, j : j + 1] == np.arange(min(n, 64))
        parts.append(indicators.astype(np.float64) * np.sqrt(0.5))
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(x), 1))


def start_responsibilities(
    features: FloatArray,
    n_components: int,
    start: Start,
    weights: FloatArray | None,
    rng: np.random.Generator,
) -> Responsibilities:
    """First guess (n, K) at which component explains each row.

    ``kmeans`` runs k-means to the end, ``k-means++`` takes the nearest of its seeds (Arthur and
    Vassilvitskii 2007), ``random_from_data`` the nearest of rows drawn at random, and ``random``
    a random share of every component.
    """
    n = len(features)
    if start == "random":
        shares = rng.random((n, n_components))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))
    seed = int(rng.integers(2**31 - 1))
    if start == "kmeans":
        labels = _kmeans_labels(features, n_components, weights, seed)
    elif start == "k-means++":
        from sklearn.cluster import kmeans_plusplus

        centres, _ = kmeans_plusplus(
            features, n_components, random_state=seed, sample_weight=weights
        )
        labels = _nearest(features, centres)
    elif start == "random_from_data":
        chosen = rng.choice(n, size=n_components, replace=n < n_components)
        labels = _nearest(features, features[chosen])
    else:
        raise UsageError(f"init_params must be one of {', '.join(START_NAMES)}, not {start!r}.")
    responsibilities: Any = np.zeros((n, n_components))
    responsibilities[np.arange(n), labels] = 1.0
    return np.asarray(responsibilities)


def _kmeans_labels(
    features: FloatArray, n_components: int, weights: FloatArray | None, seed: int
) -> FloatArray:
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Fewer distinct rows than components is no concern here: EM takes empty members.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = KMeans(n_components, n_init=1, random_state=seed)
        return np.asarray(model.fit(features, sample_weight=weights).labels_)


def _nearest(features: FloatArray, centres: FloatArray) -> FloatArray:
    square = (features**2).sum(axis=1)[:, None] - 2.0 * features @ centres.T
    return np.asarray((square + (centres**2).sum(axis=1)).argmin(axis=1))
