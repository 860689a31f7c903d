"""Modes of stories whose densities hang on chance."""

from __future__ import annotations

from typing import Any

import numpy as np

from fabula.questions.impute import impute


class Noisy:
    """A normal number at 2, whose density is told with an error that hangs on the row."""

    def sample(self, n: int, rng: Any) -> Any:
        return np.column_stack([rng.normal(size=n), 2.0 + rng.normal(size=n)]), None

    def complete(self, x: Any, rng: Any = None, told: Any = None) -> Any:
        return np.where(np.isnan(x), 0.0, x)

    def log_prob(self, x: Any) -> Any:
        return self.log_prob_by_chance_of(x, x)

    def log_prob_by_chance_of(self, x: Any, others: Any) -> Any:
        seeds = [hash(tuple(row)) % 2**32 for row in np.nan_to_num(others)]
        errors = [5.0 * np.random.default_rng(seed).normal() for seed in seeds]
        return -0.5 * (x[:, 1] - 2.0) ** 2 + errors


def test_candidates_meet_the_same_chance():
    x = np.array([[0.1, np.nan], [0.2, np.nan], [0.3, 1.0]])
    np.testing.assert_allclose(impute(Noisy(), x, "mode"), [[0.1, 2], [0.2, 2], [0.3, 1]], atol=0.1)
