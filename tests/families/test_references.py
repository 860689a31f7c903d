"""Densities against scipy.stats, with missing cells taken out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fabula.families import (
    Bernoulli,
    Categorical,
    Exponential,
    Gamma,
    LogNormal,
    Multinomial,
    NormalDiagonal,
    NormalFactor,
    NormalFull,
    NormalSpherical,
    NormalTied,
    Poisson,
    Product,
    StudentT,
    StudentTColumns,
)
from fabula.testing import FAMILIES

Reference = Callable[[Any, int, np.ndarray, np.ndarray], float]
"""Log density of the cells ``x[seen]`` under member k, by scipy."""


def _sum(each: np.ndarray) -> float:
    return float(np.sum(each))


def _normal(means: np.ndarray, covariance: np.ndarray, x: np.ndarray, seen: np.ndarray) -> float:
    law = stats.multivariate_normal(means[seen], covariance[np.ix_(seen, seen)])
    return float(law.logpdf(x[seen]))


def _categorical(family: Categorical, k: int, x: np.ndarray, seen: np.ndarray) -> float:
    starts = np.concatenate([[0], np.cumsum(np.array(family.n_levels) + 1)])
    return _sum(np.log([family.probabilities[k, starts[j] + int(x[j])] for j in seen]))


def _multinomial(family: Multinomial, k: int, x: np.ndarray, seen: np.ndarray) -> float:
    shares = family.probabilities[k, seen]
    return float(stats.multinomial(x[seen].sum(), shares / shares.sum()).logpmf(x[seen]))


def _factor(family: NormalFactor, k: int, x: np.ndarray, seen: np.ndarray) -> float:
    covariance = family.loadings[k] @ family.loadings[k].T + np.diag(family.noise[k])
    return _normal(family.means[k], covariance, x, seen)


def _student_t(family: StudentT, k: int, x: np.ndarray, seen: np.ndarray) -> float:
    scale = family.scales[k][np.ix_(seen, seen)]
    law = stats.multivariate_t(family.locations[k, seen], scale, family.dofs[k])
    return float(law.logpdf(x[seen]))


def _product(family: Product, k: int, x: np.ndarray, seen: np.ndarray) -> float:
    total = 0.0
    for part, group in zip(family.parts, family.columns, strict=True):
        mine = np.array([i for i, j in enumerate(group) if j in seen], dtype=int)
        if len(mine):
            total += _REFERENCES[type(part)](part, k, x[list(group)], mine)
    return total


_REFERENCES: dict[type, Reference] = {
    Bernoulli: lambda f, k, x, s: _sum(stats.bernoulli.logpmf(x[s], f.probabilities[k, s])),
    Categorical: _categorical,
    Exponential: lambda f, k, x, s: _sum(stats.expon.logpdf(x[s], scale=1 / f.rates[k, s])),
    Gamma: lambda f, k, x, s: _sum(
        stats.gamma.logpdf(x[s], f.shapes[k, s], scale=1 / f.rates[k, s])
    ),
    LogNormal: lambda f, k, x, s: _sum(
        stats.lognorm.logpdf(x[s], np.sqrt(f.variances[k, s]), scale=np.exp(f.means[k, s]))
    ),
    Multinomial: _multinomial,
    NormalDiagonal: lambda f, k, x, s: _normal(f.means[k], np.diag(f.variances[k]), x, s),
    NormalFactor: _factor,
    NormalFull: lambda f, k, x, s: _normal(f.means[k], f.covariances[k], x, s),
    NormalSpherical: lambda f, k, x, s: _normal(
        f.means[k], f.variances[k] * np.eye(f.n_columns), x, s
    ),
    NormalTied: lambda f, k, x, s: _normal(f.means[k], f.covariance, x, s),
    Poisson: lambda f, k, x, s: _sum(stats.poisson.logpmf(x[s], f.rates[k, s])),
    Product: _product,
    StudentT: _student_t,
    StudentTColumns: lambda f, k, x, s: _sum(
        stats.t.logpdf(x[s], f.dofs[k, s], f.locations[k, s], f.scales[k, s])
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_log_prob_is_that_of_scipy(name: str, share: float) -> None:
    family = FAMILIES[name]()
    rng = np.random.default_rng(11)
    x = family.sample(rng.integers(family.n_members, size=60), rng)
    x[rng.random(x.shape) < share] = np.nan
    log_prob = family.log_prob(x)
    for i, row in enumerate(x):
        seen = np.flatnonzero(~np.isnan(row))
        for k in range(family.n_members):
            expected = _REFERENCES[type(family)](family, k, row, seen) if len(seen) else 0.0
            assert log_prob[i, k] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_reference_knows_every_family(name: str) -> None:
    assert type(FAMILIES[name]()) in _REFERENCES
