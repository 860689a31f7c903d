from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from fabula.core.blocks import ArrayBlocks
from fabula.core.errors import UsageError
from fabula.families import CovariancePrior, NormalSpherical
from fabula.learning.em import expectation_maximisation
from fabula.structures.mixture import Mixture


def test_em_goes_where_that_of_scikit_learn_goes() -> None:
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(m, s, size=(60, 3)) for m, s in ((0, 1), (3, 0.5), (-2, 2))])
    means = np.array([[0.1, 0.0, 0.2], [2.5, 3.0, 3.0], [-1.0, -2.0, -1.5]])
    peer = GaussianMixture(
        3,
        covariance_type="spherical",
        reg_covar=0.0,
        tol=0.0,
        max_iter=50,
        means_init=means,
        precisions_init=np.ones(3),
        weights_init=np.full(3, 1 / 3),
        init_params="random_from_data",
        random_state=0,
    )
    with pytest.warns(match="converge"):
        peer.fit(x)
    start = Mixture(np.log(np.full(3, 1 / 3)), NormalSpherical(means, np.ones(3)))
    # scikit-learn makes its first M-step from the initial parameters, as this does.
    story, _ = expectation_maximisation(start, ArrayBlocks(x), max_iter=50, tol=0.0)
    assert isinstance(story.family, NormalSpherical)
    np.testing.assert_allclose(story.family.means, peer.means_, rtol=1e-6)
    np.testing.assert_allclose(story.family.variances, peer.covariances_, rtol=1e-6)
    np.testing.assert_allclose(np.exp(story.log_weights), peer.weights_, rtol=1e-6)


def test_the_variance_is_pooled_over_the_cells_that_were_seen() -> None:
    x = np.array([[0.0, 10.0, 5.0], [2.0, np.nan, 5.0], [4.0, 14.0, np.nan]])
    start = NormalSpherical(np.ones((1, 3)), np.ones(1))
    fit = start.maximise(start.statistics(x, np.ones((3, 1))))
    np.testing.assert_allclose(fit.means, [[2.0, 12.0, 5.0]])
    assert fit.variances[0] == pytest.approx((8.0 + 8.0 + 0.0) / 7)
    prior = CovariancePrior(2.0, np.array([6.0, 6.0, 6.0]))
    shrunk = start.maximise(start.statistics(x, np.ones((3, 1))), prior)
    assert shrunk.variances[0] == pytest.approx((16.0 + 18.0) / (7 + 6))


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(K,\) array"):
        NormalSpherical(np.zeros((2, 3)), np.ones((2, 3)))
    with pytest.raises(UsageError, match="positive"):
        NormalSpherical(np.zeros((1, 3)), np.zeros(1))
