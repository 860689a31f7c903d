"""Learning and predicting at the sizes where speed matters, beside scikit-learn and pomegranate.

Every contender of a mixture makes the same number of EM iterations from the same start; the log
likelihood they end at is printed beside the times, since speed means nothing without it.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn import discriminant_analysis, mixture, naive_bayes

import fabula
from benchmarks.timing import print_table, race

ITERATIONS = 20
CASES = [
    (100_000, 8, 10, "full"),
    (100_000, 16, 20, "full"),
    (50_000, 50, 10, "full"),
    (1_000_000, 16, 16, "diag"),
]


def run() -> None:
    """Mixtures, naive Bayes and discriminant analysis."""
    warnings.simplefilter("ignore")
    _mixtures()
    print()
    _classifiers()


def _data(n: int, d: int, k: int, kind: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    centres = 2.0 * rng.normal(size=(k, d))
    x = centres[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    variances = 4.0 * np.ones((k, d))
    precisions = (
        1.0 / variances if kind == "diag" else np.stack([np.diag(1.0 / v) for v in variances])
    )
    start = {
        "weights_init": np.full(k, 1.0 / k),
        "means_init": x[:k].copy(),
        "precisions_init": precisions,
    }
    return x, start


def _mixtures() -> None:
    rows: list[list[object]] = []
    for case in CASES:
        rows += _mixture_case(*case)
    print(f"{ITERATIONS} EM iterations (and one scoring pass)\n")
    print_table(["data", "contender", "s", "times scikit-learn", "mean log likelihood"], rows)


def _mixture_case(n: int, d: int, k: int, kind: str) -> list[list[object]]:
    x, start = _data(n, d, k, kind)
    settings = {
        "n_components": k,
        "covariance_type": kind,
        "tol": 0.0,
        "max_iter": ITERATIONS,
        "init_params": "random_from_data",
        "random_state": 0,
        **start,
    }
    ends: dict[str, float] = {}

    def work(name: str, make: type, x: np.ndarray) -> None:
        ends[name] = make(**settings).fit(x).score(x)

    contenders = {
        "scikit-learn": lambda: work("scikit-learn", mixture.GaussianMixture, x),
        "fabula": lambda: work("fabula", fabula.GaussianMixture, x),
        "fabula float32": lambda: work(
            "fabula float32", fabula.GaussianMixture, x.astype(np.float32)
        ),
    }
    torch_work = _pomegranate(x, start, ends) if kind == "full" and d == 8 else None
    if torch_work is not None:
        contenders["pomegranate float32"] = torch_work
    seconds = race(contenders, rounds=1 if n == 1_000_000 else 3)
    title = f"{n:,} x {d}, K={k}, {kind}"
    return [
        [title, name, time, seconds["scikit-learn"] / time, ends[name]]
        for name, time in seconds.items()
    ]


def _pomegranate(x: np.ndarray, start: dict[str, np.ndarray], ends: dict[str, float]):
    try:
        import torch
        from pomegranate.distributions import Normal
        from pomegranate.gmm import GeneralMixtureModel
    except ImportError:
        return None
    data = torch.tensor(x, dtype=torch.float32)

    def work() -> None:
        members = [
            Normal(
                torch.tensor(mean, dtype=torch.float32),
                torch.tensor(np.linalg.inv(precision), dtype=torch.float32),
                covariance_type="full",
            )
            for mean, precision in zip(start["means_init"], start["precisions_init"], strict=True)
        ]
        model = GeneralMixtureModel(members, tol=-1.0, max_iter=ITERATIONS)
        model.fit(data)
        ends["pomegranate float32"] = float(model.log_probability(data).mean())

    return work


def _classifiers() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=1_000_000)
    x = rng.normal(size=(1_000_000, 50)) + 0.3 * y[:, None]
    rows: list[list[object]] = []

    def contest(name: str, ours: object, peer: object, x: np.ndarray, y: np.ndarray) -> None:
        fit = race({"peer": lambda: peer.fit(x, y), "fabula": lambda: ours.fit(x, y)})
        predict = race(
            {"peer": lambda: peer.predict_proba(x), "fabula": lambda: ours.predict_proba(x)}
        )
        gap = float(np.abs(peer.predict_proba(x[:1000]) - ours.predict_proba(x[:1000])).max())
        rows.append(
            [name, f"{x.shape[0]:,} x {x.shape[1]}", fit["fabula"], fit["peer"] / fit["fabula"],
             predict["fabula"], predict["peer"] / predict["fabula"], f"{gap:.1e}"]
        )  # fmt: skip

    contest(
        "naive Bayes / GaussianNB",
        fabula.NaiveBayes("normal", prior_strength=0.0),
        naive_bayes.GaussianNB(),
        x,
        y,
    )
    part = slice(0, 200_000)
    contest(
        "LDA / LDA (lsqr, shrinkage auto)",
        fabula.LinearDiscriminantAnalysis(),
        discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        x[part],
        y[part],
    )
    contest(
        "LDA / LDA (svd)",
        fabula.LinearDiscriminantAnalysis(shrinkage=None),
        discriminant_analysis.LinearDiscriminantAnalysis(),
        x[part],
        y[part],
    )
    contest(
        "QDA / QDA",
        fabula.QuadraticDiscriminantAnalysis(shrinkage=None),
        discriminant_analysis.QuadraticDiscriminantAnalysis(),
        x[part],
        y[part],
    )
    print_table(
        ["models", "data", "fit, s", "times peer", "predict, s", "times peer", "largest gap"], rows
    )
