"""The most probable value under columns that a model is told and does not draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from fabula.core.errors import DataError
from fabula.questions.impute import impute


class Told:
    """A number that is 10 times the one told, with a spread of 1."""

    columns = (0, 1)
    told_columns = (0,)

    def sample(self, n: int, rng: Any) -> Any:
        raise DataError("say what they are")

    def complete(self, x: Any, rng: Any = None, told: Any = None) -> Any:
        spread = 0.0 if rng is None else rng.normal(size=len(x))
        filled = np.where(np.isnan(x[:, 1]), 10 * x[:, 0] + spread, x[:, 1])
        return np.stack([x[:, 0], filled], axis=1)

    def log_prob(self, x: Any) -> Any:
        return -0.5 * (x[:, 1] - 10 * x[:, 0]) ** 2


def test_modes_are_looked_for_among_draws_under_what_is_told():
    x = np.array([[1.0, np.nan], [3.0, np.nan], [2.0, 5.0]])
    found = impute(Told(), x, "mode")
    np.testing.assert_allclose(found, [[1, 10], [3, 30], [2, 5]], atol=0.05)
