"""What draws leave out: coverage against its expectation, and shares of levels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fabula.core.errors import UsageError
from fabula.estimators.networks.adversarial_coverage import _with_holes_of
from fabula.neural.adversarial.coverage import (
    LevelShare,
    ModeCoverage,
    density_and_coverage,
    ideal_coverage,
    shares_of,
)


def test_it_is_the_definition():
    """Naeem et al. (2020), eqs. 4 and 5, pair by pair."""
    rng = np.random.default_rng(0)
    rows, draws, k = rng.normal(size=(30, 2)), rng.normal(0.3, 1.2, size=(20, 2)), 3
    apart = np.linalg.norm(rows[:, None] - rows[None], axis=-1)
    radii = np.sort(apart, axis=1)[:, k]  # the first is the row itself
    inside = np.linalg.norm(rows[:, None] - draws[None], axis=-1) <= radii[:, None]
    density, coverage = density_and_coverage(rows, draws, k)
    assert density == pytest.approx(inside.sum() / (k * len(draws)))
    assert coverage == pytest.approx(inside.any(axis=1).mean())


def test_draws_of_the_same_law_have_the_coverage_that_theory_says():
    rng = np.random.default_rng(1)
    found = [
        density_and_coverage(rng.normal(size=(120, 3)), rng.normal(size=(80, 3))) for _ in range(40)
    ]
    density, coverage = np.mean(found, axis=0)
    errors = np.std(found, axis=0) / np.sqrt(40)
    assert density == pytest.approx(1.0, abs=4 * errors[0])
    assert coverage == pytest.approx(ideal_coverage(120, 80, 5), abs=4 * errors[1])


def test_levels_of_the_same_law_have_the_same_means():
    """Most distances are equal here: ties would make a perfect model look far too dense."""
    rng = np.random.default_rng(4)
    found = [
        density_and_coverage(*(np.eye(3)[rng.choice(3, n, p=[0.6, 0.3, 0.1])] for n in (90, 60)))
        for _ in range(60)
    ]
    density, coverage = np.mean(found, axis=0)
    errors = np.std(found, axis=0) / np.sqrt(60)
    assert errors[0] < 0.02 and density == pytest.approx(1.0, abs=4 * errors[0])
    assert coverage == pytest.approx(ideal_coverage(90, 60, 5), abs=4 * errors[1])


def test_a_region_without_draws_is_not_covered():
    rng = np.random.default_rng(2)
    rows = np.concatenate([rng.normal(size=(200, 2)), 9 + rng.normal(size=(100, 2))])
    assert density_and_coverage(rows, rng.normal(size=(300, 2)))[1] < 0.68
    # Of ten copies nine are neighbours: a draw at their place is before the fifth half the time.
    same = np.repeat(rows[:10] * 100, 10, axis=0)
    assert density_and_coverage(same, same[::10]) == (pytest.approx(1.0), pytest.approx(0.5))
    with pytest.raises(UsageError, match="less than the number of rows"):
        density_and_coverage(rows[:5], rows, 5)


def test_levels_that_no_draw_has_are_named():
    shares = shares_of("town", ["a", "b", "c"], np.array([0, 0, 1, 2, -1]), np.array([0, 0, 0, 1]))
    assert shares[0] == LevelShare("town", "a", 2, 0.5, 0.75)
    report = ModeCoverage(0.9, 0.8, 0.97, 5, 4, 5, tuple(shares))
    assert [one.level for one in report.missing] == ["c"]
    text = str(report)
    assert "80.0% of 5 rows" in text and "No draw has town = c (1 rows)" in text
    assert json.loads(report.to_json())["missing"] == [{"column": "town", "level": "c"}]
    whole = ModeCoverage(1.0, 0.97, 0.97, 5, 4, 5, tuple(shares[:2]))
    assert "Draws have all 2 levels" in str(whole)


def test_missing_cells_are_missing_in_draws_too():
    """Rows and draws of one law, a third of the cells of rows missing: none is at fault."""
    rng = np.random.default_rng(3)
    rows, draws = rng.normal(size=(400, 4)), rng.normal(size=(400, 4))
    rows[rng.random(rows.shape) < 0.3] = np.nan
    alike = _with_holes_of(rows, draws, rng)
    assert np.isnan(alike).mean() == pytest.approx(0.3, abs=0.05)
    ideal = ideal_coverage(400, 400, 5)
    apart = density_and_coverage(np.nan_to_num(rows), draws)
    density, coverage = density_and_coverage(np.nan_to_num(rows), np.nan_to_num(alike))
    assert density == pytest.approx(1.0, abs=0.08) and coverage == pytest.approx(ideal, abs=0.04)
    assert apart[0] < 0.85 and apart[1] < ideal - 0.08
    assert _with_holes_of(draws, draws, rng) is draws
