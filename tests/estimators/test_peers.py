"""Where scikit-learn answers the same question, the answers agree."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import mixture
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis as PeerLDA,
)
from sklearn.discriminant_analysis import (
    QuadraticDiscriminantAnalysis as PeerQDA,
)
from sklearn.naive_bayes import GaussianNB, MultinomialNB

from fabula import (
    GaussianMixture,
    LinearDiscriminantAnalysis,
    NaiveBayes,
    QuadraticDiscriminantAnalysis,
)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_gaussian_mixture_follows_the_same_path(kind):
    x = load_iris().data
    first = mixture.GaussianMixture(3, covariance_type=kind, max_iter=1, random_state=0)
    with pytest.warns(Warning):
        first.fit(x)
    given = {
        "weights_init": first.weights_,
        "means_init": first.means_,
        "precisions_init": first.precisions_,
    }
    settings = {"covariance_type": kind, "tol": 1e-9, "max_iter": 2000, "reg_covar": 1e-12}
    peer = mixture.GaussianMixture(3, **settings, **given).fit(x)
    ours = GaussianMixture(3, **settings, **given).fit(x)
    assert ours.score(x) == pytest.approx(peer.score(x), abs=1e-6)
    np.testing.assert_allclose(ours.means_, peer.means_, atol=1e-3)
    assert ours.covariances_.shape == peer.covariances_.shape
    np.testing.assert_allclose(ours.covariances_, peer.covariances_, atol=1e-3)
    assert ours.precisions_cholesky_.shape == peer.precisions_cholesky_.shape
    same = GaussianMixture.from_parameters(
        peer.weights_, peer.means_, peer.covariances_, covariance_type=kind
    )
    np.testing.assert_allclose(same.score_samples(x), peer.score_samples(x), atol=1e-9)
    np.testing.assert_allclose(same.predict_proba(x), peer.predict_proba(x), atol=1e-9)
    assert same.bic(x) == pytest.approx(peer.bic(x), rel=1e-12)
    assert same.aic(x) == pytest.approx(peer.aic(x), rel=1e-12)


def test_linear_discriminant_analysis_without_shrinkage():
    x, y = load_breast_cancer(return_X_y=True)
    peer = PeerLDA(solver="lsqr").fit(x, y)
    ours = LinearDiscriminantAnalysis(shrinkage=None).fit(x, y)
    np.testing.assert_allclose(ours.predict_proba(x), peer.predict_proba(x), atol=2e-6)
    np.testing.assert_allclose(ours.coef_, peer.coef_, rtol=1e-4)


def test_quadratic_discriminant_analysis_without_shrinkage():
    x, y = load_iris(return_X_y=True)
    peer = PeerQDA(store_covariance=True).fit(x, y)
    same = QuadraticDiscriminantAnalysis.from_parameters(
        peer.priors_, peer.means_, np.array(peer.covariance_), classes=peer.classes_
    )
    np.testing.assert_allclose(same.predict_proba(x), peer.predict_proba(x), atol=1e-9)
    ours = QuadraticDiscriminantAnalysis(shrinkage=None).fit(x, y)
    np.testing.assert_allclose(ours.covariances_, np.array(peer.covariance_), rtol=1e-6)


def test_naive_bayes_without_prior():
    x, y = load_iris(return_X_y=True)
    peer = GaussianNB(var_smoothing=0.0).fit(x, y)
    ours = NaiveBayes("normal", prior_strength=0.0).fit(x, y)
    np.testing.assert_allclose(ours.predict_proba(x), peer.predict_proba(x), atol=1e-9)
    np.testing.assert_allclose(
        ours.predict_joint_log_proba(x), peer.predict_joint_log_proba(x), atol=1e-8
    )


def test_multinomial_naive_bayes_on_counts():
    rng = np.random.default_rng(0)
    from scipy.sparse import csr_array

    y = rng.integers(2, size=200)
    x = rng.poisson(np.where(y[:, None] == 1, 0.4, 0.2) * np.ones((200, 30)))
    peer = MultinomialNB(alpha=1e-9, force_alpha=True).fit(x, y)
    ours = NaiveBayes("multinomial", prior_strength=1e-9).fit(csr_array(x.astype(float)), y)
    np.testing.assert_allclose(
        ours.predict_proba(csr_array(x.astype(float))), peer.predict_proba(x), atol=1e-6
    )
