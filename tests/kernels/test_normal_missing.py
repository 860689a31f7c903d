"""The compiled completion of rows against plain linear algebra on sub-blocks."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.kernels.normal_missing import add_conditionals, conditional_covariances, fill_rows


def _reference(covariance: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Covariance of the missing cells given the others, regression on them, log |Σ_oo|."""
    seen = np.setdiff1d(np.arange(len(covariance)), missing)
    between = covariance[np.ix_(missing, seen)]
    inverse = np.linalg.inv(covariance[np.ix_(seen, seen)])
    gain = between @ inverse
    rest = covariance[np.ix_(missing, missing)] - gain @ between.T
    return rest, gain, float(np.linalg.slogdet(covariance[np.ix_(seen, seen)])[1])


@pytest.fixture(params=["well conditioned", "nearly singular"])
def covariance(request: pytest.FixtureRequest) -> np.ndarray:
    rng = np.random.default_rng(3)
    loadings = rng.normal(size=(9, 3))
    noise = 0.5 if request.param == "well conditioned" else 1e-4
    return loadings @ loadings.T + noise * np.eye(9)


# From nothing to everything: few missing cells go through the precision, many through Σ.
_PATTERNS = [
    [],
    [4],
    [0, 8],
    [1, 2, 6],
    [0, 1, 2, 3, 5, 7],
    [0, 1, 2, 3, 4, 5, 6, 8],
    list(range(9)),
]


def _layout(patterns: list[list[int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    counts = np.array([len(pattern) for pattern in patterns])
    return (
        np.array([j for pattern in patterns for j in pattern], dtype=np.intp),
        np.append(0, np.cumsum(counts)).astype(np.intp),
        np.append(0, np.cumsum(counts**2)).astype(np.intp),
    )


def _conditioned(
    covariance: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    missing, starts, offsets = _layout(_PATTERNS)
    conditional = np.full(offsets[-1], np.nan)
    log_dets = np.full(len(_PATTERNS), np.nan)
    conditional_covariances(
        covariance,
        np.linalg.inv(covariance),
        float(np.linalg.slogdet(covariance)[1]),
        missing,
        starts,
        offsets,
        wanted,
        conditional,
        log_dets,
    )
    return conditional, log_dets, (missing, starts, offsets)


def test_conditional_covariances_and_log_determinants(covariance: np.ndarray) -> None:
    conditional, log_dets, (_, _, offsets) = _conditioned(covariance, np.ones(7, dtype=bool))
    for p, pattern in enumerate(_PATTERNS):
        rest, _, log_det = _reference(covariance, np.array(pattern, dtype=int))
        told = conditional[offsets[p] : offsets[p + 1]].reshape(rest.shape)
        np.testing.assert_allclose(told, rest, rtol=0, atol=1e-11 * np.abs(covariance).max())
        assert log_dets[p] == pytest.approx(log_det, abs=1e-9)


def test_patterns_that_are_not_wanted_are_left_alone(covariance: np.ndarray) -> None:
    wanted = np.array([True, False, True, False, False, True, False])
    conditional, log_dets, (_, _, offsets) = _conditioned(covariance, wanted)
    everything, all_dets, _ = _conditioned(covariance, np.ones(7, dtype=bool))
    np.testing.assert_array_equal(np.isnan(log_dets), ~wanted)
    np.testing.assert_array_equal(log_dets[wanted], all_dets[wanted])
    for p in range(7):
        part = slice(offsets[p], offsets[p + 1])
        expected = everything[part] if wanted[p] else np.full(offsets[p + 1] - offsets[p], np.nan)
        np.testing.assert_array_equal(conditional[part], expected)


def test_rows_are_filled_with_conditional_means(covariance: np.ndarray) -> None:
    wanted = np.ones(7, dtype=bool)
    wanted[3] = False
    conditional, _, (missing, starts, offsets) = _conditioned(covariance, wanted)
    rng = np.random.default_rng(0)
    row_starts = np.array([0, 2, 3, 5, 6, 6, 8, 9])  # the fifth pattern has no row
    whole = rng.multivariate_normal(np.zeros(9), covariance, size=9)
    rows = whole.copy()
    for p, pattern in enumerate(_PATTERNS):
        rows[row_starts[p] : row_starts[p + 1], pattern] = 0.0
    expected = rows.copy()
    for p, pattern in enumerate(_PATTERNS):
        if wanted[p]:
            _, gain, _ = _reference(covariance, np.array(pattern, dtype=int))
            seen = np.setdiff1d(np.arange(9), pattern)
            part = slice(row_starts[p], row_starts[p + 1])
            expected[part, pattern] = whole[part][:, seen] @ gain.T
    projected = rows @ np.linalg.inv(covariance)
    fill_rows(projected, missing, starts, offsets, wanted, row_starts, conditional, rows)
    np.testing.assert_allclose(rows, expected, atol=1e-9)


def test_conditionals_add_up_in_their_places(covariance: np.ndarray) -> None:
    wanted = np.ones(7, dtype=bool)
    wanted[2] = False  # holds NaN, which a weight of 0 must not let through
    conditional, _, (missing, starts, offsets) = _conditioned(covariance, wanted)
    weights = np.array([3.0, 0.5, 0.0, 2.0, 1.0, 0.0, 0.25])
    expected = np.eye(9)
    for weight, pattern in zip(weights, _PATTERNS, strict=True):
        rest, _, _ = _reference(covariance, np.array(pattern, dtype=int))
        expected[np.ix_(pattern, pattern)] += weight * rest
    total = np.eye(9)
    add_conditionals(weights, missing, starts, offsets, conditional, total)
    np.testing.assert_allclose(total, expected, atol=1e-10)
