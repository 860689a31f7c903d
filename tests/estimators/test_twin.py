"""Two stories, one moral: twins against the definition, and against quadrature."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.linear_model import LogisticRegression

from fabula import (
    Calibrated,
    CannotAnswerError,
    GaussianMixture,
    GenerativeClassifier,
    LinearDiscriminantAnalysis,
    MixtureModel,
    NaiveBayes,
    QuadraticDiscriminantAnalysis,
    families,
    load,
    save,
    twin,
)
from fabula.estimators.base.tilts import Tilt, choose_tilt, tilt_bank


def mixed_table(n=300, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    words = np.array(["sun", "rain", "wind", "snow", "fog", "hail", "storm", "cloud"])
    table = pd.DataFrame(
        {
            "height": rng.normal(170 + 5 * y, 8),
            "income": rng.lognormal(3 + 0.4 * y, 0.5),
            "wait": rng.gamma(2 + y, 2.0, n),
            "visits": rng.poisson(1 + 2 * y),
            "member": rng.random(n) < 0.3 + 0.2 * y,
            "colour": rng.choice(["red", "green", "blue"], n),
            "note": [
                " ".join(rng.choice(words, rng.integers(3, 9))) + f" x{rng.integers(9)}y"
                for _ in range(n)
            ],
        }
    )
    return table, y


def normal_mixture(covariance_type, **options):
    return GenerativeClassifier(
        GaussianMixture(2, covariance_type=covariance_type, random_state=0, **options)
    )


MODELS = {
    "lda": LinearDiscriminantAnalysis(),
    "lda-unshrunk": LinearDiscriminantAnalysis(None),
    "qda": QuadraticDiscriminantAnalysis(),
    "naive-bayes": NaiveBayes(),
    "exponential": NaiveBayes("exponential"),
    "full": normal_mixture("full"),
    "tied": normal_mixture("tied"),
    "diag": normal_mixture("diag"),
    "spherical": normal_mixture("spherical"),
    "factor": normal_mixture("factor", n_factors=2),
    "mixed-per-class": GenerativeClassifier(MixtureModel(2, random_state=0)),
    "components": GaussianMixture(3, random_state=0),
}


def shares(model):
    return np.exp(model.story_.log_weights)


@pytest.mark.filterwarnings("ignore::fabula.ConvergenceWarning")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("load_table", [load_iris, load_wine])
def test_the_posterior_is_the_same_and_nothing_else(name, load_table):
    x, y = load_table(return_X_y=True)
    model = clone(MODELS[name]).fit(x, y)
    before = shares(model).copy()
    other = twin(model)
    assert type(other) is type(model)
    assert np.abs(other.predict_proba(x) - model.predict_proba(x)).max() < 1e-10
    assert np.abs(shares(other) - shares(model)).max() > 0.01
    assert np.abs(other.score_samples(x) - model.score_samples(x)).mean() > 0.05
    drawn, _ = model.sample(500, random_state=0)
    retold, _ = other.sample(500, random_state=0)
    moved = np.abs(drawn.mean(axis=0) - retold.mean(axis=0)) / x.std(axis=0)
    assert moved.max() > 0.1
    # Bayes' rule the other way round: the two joints differ by a function of the row alone.
    if hasattr(model, "predict_joint_log_proba"):
        ratio = other.predict_joint_log_proba(x) - model.predict_joint_log_proba(x)
        assert np.ptp(ratio, axis=1).max() < 1e-6
    assert np.array_equal(shares(model), before)


def test_hard_to_invert_covariances():
    x, y = load_breast_cancer(return_X_y=True)
    for model in (LinearDiscriminantAnalysis(None), QuadraticDiscriminantAnalysis(None)):
        model.fit(x, y)
        assert np.abs(twin(model).predict_proba(x) - model.predict_proba(x)).max() < 1e-10


@pytest.mark.parametrize(
    "model", [NaiveBayes(), GenerativeClassifier(MixtureModel(2, random_state=0))]
)
def test_columns_of_every_kind(model):
    table, y = mixed_table()
    model.fit(table, y)
    other = twin(model)
    assert np.abs(other.predict_proba(table) - model.predict_proba(table)).max() < 1e-10
    changed = np.abs(other.score_samples(table) - model.score_samples(table))
    assert changed.mean() > 0.1
    drawn, _ = other.sample(50, random_state=0)
    assert list(drawn.columns) == list(table.columns)
    # An unseen level is as uncertain in the one story as in the other.
    strange = table.head(3).assign(colour="mauve")
    assert np.allclose(other.predict_proba(strange), model.predict_proba(strange), atol=1e-10)


def test_samples_follow_the_story_that_is_told():
    x, y = load_iris(return_X_y=True)
    model = QuadraticDiscriminantAnalysis().fit(x, y)
    other = twin(model)
    n = 20_000
    drawn, classes = other.sample(n, random_state=1)
    found = np.bincount(classes, minlength=3) / n
    assert np.all(np.abs(found - other.priors_) < 5 * np.sqrt(other.priors_ / n))
    # ∫ p = 1: rows of the twin, weighted by what the first story says of them, count for one each.
    weights = np.exp(model.score_samples(drawn) - other.score_samples(drawn))
    assert abs(weights.mean() - 1.0) < 5 * weights.std() / np.sqrt(n)


def test_a_linear_twin_is_the_same_divider():
    x, y = load_iris(return_X_y=True)
    model = LinearDiscriminantAnalysis().fit(x, y)
    other = twin(model)
    ours, theirs = model.to_logistic_regression(), other.to_logistic_regression()
    assert np.abs(ours.predict_proba(x) - theirs.predict_proba(x)).max() < 1e-10
    assert np.abs(other.covariance_ - model.covariance_).max() > 0.01


def test_many_twins():
    x, y = load_iris(return_X_y=True)
    model = NaiveBayes("normal").fit(x, y)
    first, again, second = (twin(model, random_state=s) for s in (1, 1, 4))
    assert np.array_equal(shares(first), shares(again))
    assert not np.allclose(shares(first), shares(second))
    grandchild = twin(first)
    assert np.abs(grandchild.predict_proba(x) - model.predict_proba(x)).max() < 1e-10


def test_missing_cells_are_no_part_of_the_moral():
    x, y = load_iris(return_X_y=True)
    model = NaiveBayes("normal").fit(x, y)
    holed = x.copy()
    holed[:, 2:] = np.nan
    assert np.abs(twin(model).predict_proba(holed) - model.predict_proba(holed)).max() > 0.01


def test_calibrated_models_keep_their_map(tmp_path):
    x, y = load_wine(return_X_y=True)
    model = Calibrated(LinearDiscriminantAnalysis()).fit(x, y).with_prior([0.2, 0.3, 0.5])
    other = twin(model)
    assert np.abs(other.predict_proba(x) - model.predict_proba(x)).max() < 1e-10
    assert np.abs(other.score_samples(x) - model.score_samples(x)).mean() > 0.05
    save(other, tmp_path / "twin.fabula")
    again = load(tmp_path / "twin.fabula")
    assert np.array_equal(again.predict_proba(x), other.predict_proba(x))


def test_where_there_is_no_twin():
    x, y = load_iris(return_X_y=True)
    with pytest.raises(CannotAnswerError, match="StudentTColumns"):
        twin(NaiveBayes("student_t", max_iter=2000).fit(x, y))
    truncated = QuadraticDiscriminantAnalysis().fit(x, y).condition({0: (5.0, 6.0)})
    with pytest.raises(CannotAnswerError, match="Truncated"):
        twin(truncated)
    with pytest.raises(CannotAnswerError, match="no story"):
        twin(LogisticRegression())
    rng = np.random.default_rng(0)
    counts = rng.poisson(3.0, (60, 3)).astype(float)
    with pytest.raises(CannotAnswerError, match="not more words than members"):
        twin(NaiveBayes("multinomial").fit(counts, rng.integers(0, 3, 60)))


# Each family against quadrature ------------------------------------------------------------------

ONE = np.ones((1, 1))
UNIVARIATE = {
    "normal": families.NormalDiagonal(1.5 * ONE, 2.0 * ONE),
    "spherical": families.NormalSpherical(1.5 * ONE, np.array([2.0])),
    "full": families.NormalFull(1.5 * ONE, 2.0 * ONE[None]),
    "tied": families.NormalTied(1.5 * ONE, 2.0 * ONE),
    "factor": families.NormalFactor(1.5 * ONE, 0.7 * ONE[None], 0.8 * ONE),
    "log-normal": families.LogNormal(0.3 * ONE, 0.4 * ONE),
    "gamma": families.Gamma(2.5 * ONE, 1.5 * ONE),
    "exponential": families.Exponential(0.7 * ONE),
    "poisson": families.Poisson(3.2 * ONE),
    "bernoulli": families.Bernoulli(0.3 * ONE),
}


def log_g(tilt, x):
    """What the tilt says it is, written out."""
    kind = tilt.kinds[0]
    t = np.log(x) if kind.startswith("log") else x
    return tilt.slope[0] * t - 0.5 * tilt.pull[0] * (t - tilt.centre[0]) ** 2


@pytest.mark.parametrize("name", UNIVARIATE)
def test_tilts_against_quadrature(name):
    bank = UNIVARIATE[name]
    tilt = choose_tilt([bank], [np.ones(1)], np.random.default_rng(3), "test")
    check_against_quadrature(bank, tilt)


@pytest.mark.parametrize("name", ["normal", "full", "factor", "poisson", "bernoulli"])
def test_lines_against_quadrature(name):
    tilt = Tilt(("line",), np.array([-0.4]), np.zeros(1), np.zeros(1), (np.zeros(0),))
    check_against_quadrature(UNIVARIATE[name], tilt)


def test_a_gamma_takes_powers_too():
    tilt = Tilt(("log line",), np.array([0.8]), np.zeros(1), np.zeros(1), (np.zeros(0),))
    check_against_quadrature(UNIVARIATE["gamma"], tilt)
    check_against_quadrature(UNIVARIATE["log-normal"], tilt)


def check_against_quadrature(bank, tilt):
    tilted, log_total = tilt_bank(bank, tilt)

    def weighted(x):
        row = np.array([[x]])
        return float(np.exp(bank.log_prob(row)[0, 0] + log_g(tilt, x)))

    if getattr(bank, "discrete", False):
        top = 1 if isinstance(bank, families.Bernoulli) else 60
        total = sum(weighted(float(k)) for k in range(top + 1))
        points = np.arange(2.0)
    else:
        positive = isinstance(bank, families.LogNormal | families.Gamma | families.Exponential)
        total = integrate.quad(weighted, 0 if positive else -40, 60, limit=400, points=[1.0])[0]
        points = np.array([0.2, 1.0, 2.7])
    assert log_total[0] == pytest.approx(np.log(total), abs=1e-6)
    for x in points:
        assert np.exp(tilted.log_prob(np.array([[x]]))[0, 0]) == pytest.approx(
            weighted(x) / total, rel=1e-6
        )


def test_dense_tilts_against_an_independent_product_of_normals():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 3))
    covariance, mean = root @ root.T + np.eye(3), rng.standard_normal(3)
    bank = families.NormalFull(mean[None], covariance[None])
    tilt = choose_tilt([bank], [np.ones(1)], rng, "test")
    tilted, log_total = tilt_bank(bank, tilt)
    # N(x; μ, Σ) exp(-(x-c)ᵀA(x-c)/2) = Z N(x; μ', Σ') with Z from N(μ; c, Σ + A⁻¹).
    inverse = np.diag(1.0 / tilt.pull)
    log_z = stats.multivariate_normal(tilt.centre, covariance + inverse).logpdf(mean)
    log_z += 0.5 * (3 * np.log(2 * np.pi) + np.linalg.slogdet(inverse)[1])
    assert log_total[0] == pytest.approx(log_z, abs=1e-10)
    precision = np.linalg.inv(covariance) + np.diag(tilt.pull)
    assert np.allclose(np.linalg.inv(tilted.covariances[0]), precision, rtol=1e-9)
