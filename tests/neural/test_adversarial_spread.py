"""Columns of numbers as standard normal ones: there and back, and spikes in their shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import kstest

from fabula.neural.adversarial.spread import SpreadColumn
from fabula.neural.forms.number_columns import learn_number_column


def column_of(values: np.ndarray) -> tuple[SpreadColumn, np.ndarray, np.ndarray]:
    column = learn_number_column(values)
    codes, scores = column.codes_of(values), column.score(values)
    return SpreadColumn.learned(column, scores, codes), scores, codes


def spread_values() -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, size=4000)
    values[:1200] = 0.0  # a level
    values[1200:1320] = 1.5  # a spike of 3 %
    values[1320:1400] = 4.0  # and one of 2 %
    return values


def test_spikes_have_room_in_their_shares_and_come_back():
    values = spread_values()
    spread, scores, codes = column_of(values)
    spikes = spread.column.spikes
    assert spikes[np.array(spread.levels) - 1].tolist() == [0.0]
    assert spikes[spread.codes - 1].tolist() == [1.5, 4.0]
    rest = codes != spread.levels[0]
    room = spread.room(scores, scores, codes)[rest]
    assert np.ptp(room[values[rest] == 1.5], axis=1)[0] == pytest.approx(120 / 2800)
    shares = room[:, 0] + (room[:, 1] - room[:, 0]) * np.random.default_rng(1).random(len(room))
    numbers = ndtri(shares)
    # Standard normal, with what is made even: 1.6 is the point of one in a hundred.
    assert kstest(numbers, "norm").statistic < 1.63 / np.sqrt(len(numbers))
    back, found = spread.back(numbers)
    assert np.array_equal(found, codes[rest])
    np.testing.assert_allclose(spread.column.decoded(back, found), values[rest], atol=1e-6)


def test_a_generator_of_normal_numbers_draws_spikes_as_often_as_they_occur():
    spread = column_of(spread_values())[0]
    numbers = np.random.default_rng(2).normal(size=20_000)
    back, found = spread.back(numbers)
    drawn = spread.column.decoded(back, found)
    for value, share in ((1.5, 120 / 2800), (4.0, 80 / 2800)):
        # 4 standard errors.
        assert (drawn == value).mean() == pytest.approx(share, abs=4 * np.sqrt(share / 20_000))
    assert drawn.min() >= 0.0


def test_a_column_of_few_values_has_no_rest():
    values = np.repeat([1.0, 2.0, 7.0], [960, 30, 10])
    spread, scores, codes = column_of(values)
    assert spread.rest == 0 and spread.is_spread
    rest = codes != spread.levels[0]
    room = spread.room(scores, scores, codes)[rest]
    back, found = spread.back(ndtri(room.mean(axis=1)))
    assert np.array_equal(spread.column.decoded(back, found), values[rest])
