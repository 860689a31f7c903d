"""Noisy counts: where noise comes from, and what is read off them."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import DataError
from fabula.learning.private_counts import (
    FIRST_PIECES,
    Pieces,
    find_bounds,
    merge_pieces,
    on_simplex,
    rounds_of,
    split_range,
    system_noise,
)


def no_noise(number: int) -> np.ndarray:
    return np.zeros(number)


def test_noise_is_standard_normal_and_never_the_same() -> None:
    n = 200_000
    drawn = system_noise(n)
    assert abs(drawn.mean()) < 5 / np.sqrt(n)
    assert drawn.std() == pytest.approx(1.0, rel=5 / np.sqrt(2 * n))
    # Shares of a normal distribution below -2, -1, 0, 1 and 2.
    for cut, share in ((-2, 0.02275), (-1, 0.15866), (0, 0.5), (1, 0.84134), (2, 0.97725)):
        assert (drawn < cut).mean() == pytest.approx(share, abs=5 * np.sqrt(0.25 / n))
    assert not np.array_equal(drawn, system_noise(n))


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([17.0, 90.0], (16.0, 128.0)),
        ([-3.0, 5.0], (-4.0, 8.0)),
        ([-3.0, -9.0], (-16.0, -2.0)),
        ([0.0, 0.3], (0.0, 0.5)),
        ([0.0], (0.0, 0.0)),
        ([1e30, 2.0], (2.0, 2.0**61)),
    ],
)
def test_bounds_are_powers_of_two_around_the_values(
    values: list[float], ends: tuple[float, float]
) -> None:
    assert find_bounds(np.repeat(values, 200), 1.0, no_noise, "a") == ends


def test_few_values_do_not_stand_out_of_the_noise() -> None:
    x = np.concatenate([np.full(5000, 40.0), [1e9]])
    assert find_bounds(x, 30.0, no_noise, "a") == (32.0, 64.0)
    with pytest.raises(DataError, match="'a' has too few values"):
        find_bounds(x[-1:], 30.0, no_noise, "a")


def test_ranges_are_split_where_the_rows_are() -> None:
    rng = np.random.default_rng(0)
    places = np.concatenate([np.zeros(4000, np.int64), rng.integers(50_000, 51_000, 4000)])
    n_steps = 2**17
    pieces = split_range(places, n_steps, 5.0, rng.standard_normal)
    assert pieces.cuts[0] == 0 and pieces.cuts[-1] == n_steps
    assert np.all(np.diff(pieces.cuts) > 0)
    assert pieces.cuts[1] == 1  # what is at a single place has a piece of its own
    assert pieces.counts[0] == pytest.approx(4000, abs=5 * 5.0)
    inside = (pieces.cuts[:-1] >= 49_900) & (pieces.cuts[1:] <= 51_100)
    assert np.diff(pieces.cuts)[inside].max() < 600
    # Noise in total grows with the square root of the number of pieces.
    assert pieces.counts.sum() == pytest.approx(8000, abs=5 * 5.0 * np.sqrt(len(pieces.counts)))


def test_without_noise_counts_are_counts() -> None:
    places = np.random.default_rng(1).integers(0, 3000, 5000)
    pieces = split_range(places, 3000, 1e-9, no_noise)
    np.testing.assert_allclose(pieces.counts, np.histogram(places, pieces.cuts)[0], atol=1e-9)


def test_a_row_is_counted_at_most_once_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    from fabula.learning import private_counts

    counted: list[float] = []
    plain = private_counts._count

    def watched(places: np.ndarray, cuts: np.ndarray) -> np.ndarray:
        counts = plain(places, cuts)
        counted.append(float(counts.sum()))
        return counts

    monkeypatch.setattr(private_counts, "_count", watched)
    n_steps = 2**30
    split_range(np.array([7]), n_steps, 1e-9, no_noise)
    assert counted == [1.0] * rounds_of(n_steps)
    assert rounds_of(FIRST_PIECES) == 1
    assert rounds_of(FIRST_PIECES + 1) == 2


def test_small_neighbours_are_joined() -> None:
    pieces = Pieces(np.arange(7), np.array([1.0, 2.0, 50.0, 1.0, 9.0, 3.0]))
    joined = merge_pieces(pieces, 10.0)
    assert joined.cuts.tolist() == [0, 2, 3, 5, 6]
    assert joined.counts.tolist() == [3.0, 50.0, 10.0, 3.0]
    assert merge_pieces(pieces, 0.0).counts.tolist() == pieces.counts.tolist()


def test_the_nearest_table_is_nearer_than_any_other() -> None:
    rng = np.random.default_rng(2)
    noisy = rng.normal(1.0, 2.0, size=(4, 5))
    found = on_simplex(noisy, 12.0)
    assert found.shape == (4, 5)
    assert found.min() >= 0 and found.sum() == pytest.approx(12.0)
    # Kuhn and Tucker: what is above 0 was moved by the same amount, what is 0 by no more.
    moved = (noisy - found)[found > 0]
    assert np.ptp(moved) < 1e-12
    assert np.all(noisy[found == 0] <= moved[0] + 1e-12)
    table = np.array([[3.0, 1.0], [0.0, 2.0]])
    np.testing.assert_allclose(on_simplex(table), table)
