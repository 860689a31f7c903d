"""What is hopeless is said before any work is done; what is not has an answer."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, make_blobs

from fabula import (
    DataError,
    GaussianMixture,
    GenerativeClassifier,
    LinearDiscriminantAnalysis,
    MixtureModel,
    NaiveBayes,
    QuadraticDiscriminantAnalysis,
    UsageError,
)


def test_a_full_covariance_of_4096_columns_is_refused_at_once():
    x = np.zeros((5000, 4096), dtype=np.float32)
    y = np.arange(5000) % 10
    began = time.process_time()
    with pytest.raises(UsageError, match=r"8\.4 million parameters a class.*factor") as caught:
        QuadraticDiscriminantAnalysis().fit(x, y)
    for word in ("4,096 columns", "n d²", "500 rows a class", "NaiveBayes", "logistic regression"):
        assert word in str(caught.value)
    # Nothing that grows as n d² was started: that would be minutes of processor time.
    assert time.process_time() - began < 20
    with pytest.raises(UsageError, match="a component"):
        GaussianMixture(10).fit(x)


def test_fewer_rows_than_columns_has_an_answer():
    # scikit-learn's example of shrinkage: one column tells the classes apart, the others nothing.
    shrunk, empirical = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)

        def draw(n: int, rng: np.random.Generator = rng) -> tuple[np.ndarray, np.ndarray]:
            x, y = make_blobs(
                n_samples=n, n_features=1, centers=[[-2], [2]], random_state=int(rng.integers(9**9))
            )
            return np.hstack([x, rng.normal(size=(n, 74))]), y

        x, y = draw(20)
        x_test, y_test = draw(200)
        shrunk.append(LinearDiscriminantAnalysis().fit(x, y).score(x_test, y_test))
        empirical.append(LinearDiscriminantAnalysis(None).fit(x, y).score(x_test, y_test))
    assert np.mean(shrunk) >= 0.91
    assert np.mean(empirical) < 0.85


@pytest.mark.parametrize(
    "model",
    [
        NaiveBayes("normal"),
        LinearDiscriminantAnalysis(),
        LinearDiscriminantAnalysis(None),
        QuadraticDiscriminantAnalysis(),
        QuadraticDiscriminantAnalysis(None),
        GenerativeClassifier(GaussianMixture(1, covariance_type="factor", n_factors=2)),
    ],
    ids=lambda model: f"{type(model).__name__}-{getattr(model, 'shrinkage', '')}",
)
@pytest.mark.filterwarnings("ignore")
def test_awkward_tables_never_raise(model):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 10)
    base = rng.normal(size=(20, 3)) + y[:, None]
    tables = {
        "constant column": np.c_[base, np.ones(20)],
        "constant within a class": np.c_[base, y],
        "columns repeated": np.c_[base, base, base[:, :1] * 2],
        "more columns than rows": rng.normal(size=(20, 40)),
        "tiny units": base * 1e-12,
        "huge units": base * 1e12,
        "far from zero": base + 1e7,
    }
    for name, x in tables.items():
        p = model.fit(x, y).predict_proba(x)
        assert np.isfinite(p).all() and np.allclose(p.sum(axis=1), 1.0), name
        assert np.isfinite(model.score_samples(x)).all(), name


def test_the_raw_table_of_breast_cancer():
    x, y = load_breast_cancer(return_X_y=True)
    model = QuadraticDiscriminantAnalysis(shrinkage=None).fit(x, y)
    assert np.isfinite(model.predict_log_proba(x)).all()
    assert model.score(x, y) > 0.95


def test_cells_outside_the_support_are_named():
    x = np.array([[1.0, 2.0], [0.0, 3.0], [2.0, 1.0], [1.0, 4.0]])
    with pytest.raises(DataError, match=r"Column 0, row 2 .*: 0 is impossible.*Gamma"):
        NaiveBayes("gamma").fit(x, [0, 0, 1, 1])
    with pytest.raises(DataError, match=r"Column 0, row 2 .*Poisson"):
        MixtureModel(1, families="poisson").fit(x + [0.0, 0.0] - np.array([[0, 0], [1, 0]] * 2))


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_factors_make_sense_of_4096_columns(data_folder):
    from benchmarks.many_columns import enlarged

    x, y = enlarged(data_folder / "mnist/train.npz", 2000)
    x_test, y_test = enlarged(data_folder / "mnist/test.npz", 1000)
    mixture = GaussianMixture(
        1, covariance_type="factor", n_factors=15, reg_covar=1e-2, max_iter=20
    )
    model = GenerativeClassifier(mixture).fit(x, y)
    accuracy = model.score(x_test, y_test)
    assert accuracy > 0.88
    assert accuracy > NaiveBayes("normal").fit(x, y).score(x_test, y_test) + 0.1
    # Draws look like digits: a classifier that never saw them knows their class.
    drawn, classes = model.sample(200, random_state=0)
    from sklearn.neighbors import KNeighborsClassifier

    assert KNeighborsClassifier(5).fit(x, y).score(drawn, classes) > 0.9
