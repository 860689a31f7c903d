"""Intervals and sets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fabula.core.errors import UsageError
from fabula.core.regions import Interval, OneOf, as_region


def test_what_a_caller_may_write():
    assert as_region(3) == 3.0
    assert as_region((1, None)) == Interval(1.0, math.inf)
    assert as_region(slice(None, 2)) == Interval(-math.inf, 2.0)
    assert as_region({2, 1}) == OneOf((1.0, 2.0))
    assert as_region([1, 1, 2]) == OneOf((1.0, 2.0))
    assert as_region(Interval(0, 1)) == Interval(0, 1)


@pytest.mark.parametrize("wrong", [(1, 2, 3), slice(0, 1, 2), (2, 1), set(), (math.nan, 1.0)])
def test_what_makes_no_sense(wrong):
    with pytest.raises(UsageError):
        as_region(wrong)


def test_what_is_inside():
    values = np.array([0.0, 1.0, 2.0, np.nan])
    assert Interval(1.0).contains(values).tolist() == [False, True, True, False]
    assert OneOf((0.0, 2.0)).contains(values).tolist() == [True, False, True, False]
