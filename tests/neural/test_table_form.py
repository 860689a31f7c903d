"""Tables for networks: there and back, and densities that stay on the scale of the table."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import DataError, UsageError
from fabula.neural.forms.number_columns import NumberColumn, learn_number_column
from fabula.neural.forms.table import TableForm
from fabula.persistence.codec import pack, unpack
from fabula.tables.encoding import Field

RNG = np.random.default_rng(4)
N = 3000
COLUMNS = {
    "normal": RNG.normal(size=N),
    "whole": np.round(RNG.exponential(10, N)),
    "money": np.where(RNG.random(N) < 0.5, 0, np.round(RNG.lognormal(8, 1, N), 2)),
    "skewed": RNG.lognormal(0, 1, N),
    "constant": np.full(N, 3.0),
    "empty": np.full(N, np.nan),
    "few": RNG.integers(0, 4, N).astype(float),
    "heap": np.where(RNG.random(N) < 0.3, 0.123456789, RNG.normal(size=N)),
    "level": RNG.integers(0, 5, N).astype(float),
    "many": RNG.integers(0, 10_000, N).astype(float),
}
LEVELS = {"level": 5, "many": 10_000}
FIELDS = [Field(name, "category" if name in LEVELS else "continuous", LEVELS.get(name, 0))
          for name in COLUMNS]  # fmt: skip


def table(holes: float = 0.1) -> np.ndarray:
    x = np.stack(list(COLUMNS.values()), axis=1)
    x[np.random.default_rng(0).random(x.shape) < holes] = np.nan
    return x


def test_rows_come_back_as_they_were():
    x = table()
    form = TableForm.learned(x, FIELDS)
    arrays = form.encode(x)
    back = form.decode(arrays)
    assert np.array_equal(np.isnan(back), np.isnan(x))
    np.testing.assert_allclose(back, x, rtol=1e-5, atol=1e-5)
    exact = [list(COLUMNS).index(name) for name in ("whole", "constant", "few", "heap", "level")]
    spikes = back[:, 7] == 0.123456789
    assert np.array_equal(spikes, x[:, 7] == 0.123456789)
    assert np.array_equal(back[:, exact[:3]], x[:, exact[:3]], equal_nan=True)
    assert {a.dtype.name for a in arrays.values()} == {"float32", "int32", "bool"}


def test_values_spread_over_their_cells_round_to_themselves():
    x = table(0.0)
    form = TableForm.learned(x, FIELDS)
    back = form.decode(form.encode(x, np.random.default_rng(1)))
    for name in ("whole", "few", "level"):
        j = list(COLUMNS).index(name)
        assert np.mean(back[:, j] == x[:, j]) > 0.999
    j = list(COLUMNS).index("money")  # to a hundredth of up to a million, in single precision
    np.testing.assert_allclose(back[:, j], x[:, j], rtol=1e-4, atol=0.011)


def test_scores_look_normal():
    column = learn_number_column(COLUMNS["skewed"])
    scores = column.score(COLUMNS["skewed"])
    # Errors of a mean and a deviation of 3,000 normal values are 0.018 and 0.013.
    assert abs(scores.mean()) < 0.05 and abs(scores.std() - 1) < 0.07
    assert abs(np.mean(((scores - scores.mean()) / scores.std()) ** 3)) < 0.2


@pytest.mark.parametrize("name", ["normal", "skewed", "heap", "whole", "money"])
def test_the_line_can_be_inverted_and_its_slope_is_the_jacobian(name):
    column = learn_number_column(COLUMNS[name])
    values = np.linspace(np.nanmin(COLUMNS[name]) - 3, np.nanmax(COLUMNS[name]) + 3, 401)
    np.testing.assert_allclose(column.value(column.score(values)), values, rtol=1e-9, atol=1e-9)
    assert np.all(np.diff(column.score(values)) > 0)
    step = 1e-7 * (np.abs(values) + 1)
    away = np.abs(values[:, None] - column.values).min(axis=1) > 2 * step
    slope = (column.score(values + step) - column.score(values - step)) / (2 * step)
    np.testing.assert_allclose(
        np.exp(column.log_slope(values))[away], slope[away], rtol=1e-3, atol=1e-12
    )


def test_a_standard_column_is_a_line():
    x = np.array([1.0, 2.0, 2.0, 7.0])
    column = learn_number_column(x, scaling="standard")
    np.testing.assert_allclose(column.score(x), (x - x.mean()) / x.std())
    assert not len(column.spikes) and not column.step


def test_a_mean_is_bounded_by_what_was_seen():
    x = np.random.default_rng(5).lognormal(0, 2, N)
    column, evenly = learn_number_column(x), np.array([-1.5, -0.5, 0.5, 1.5])
    inner = column.value(0.3 + 0.2 * evenly).mean()
    near, far = column.mean_value(np.array([0.3, 9.0]), np.array([0.2, 1.0]), evenly)
    assert near == pytest.approx(inner)
    assert far == pytest.approx(x.max(), rel=1e-3)
    few = learn_number_column(x[:60])
    assert few.mean_value(np.array([9.0]), np.array([1.0]), evenly) <= 1.0001 * x[:60].max()
    whole = learn_number_column(np.round(x))
    assert whole.mean_value(np.array([9.0]), np.array([1.0]), evenly) == np.round(x.max())
    standard = learn_number_column(x, scaling="standard")
    (free,) = standard.mean_value(np.array([900.0]), np.array([1.0]), evenly)
    assert free == pytest.approx(x.mean() + 900 * x.std())


@pytest.mark.parametrize("n", [12, 20, 40, 80, 95])
def test_columns_of_few_rows_have_a_shape(n):
    x = np.random.default_rng(5).lognormal(0, 2, n)
    # Half of the rows lie below the score 0, or almost half.
    assert 0.3 < np.mean(x < learn_number_column(x).value(np.zeros(1))) < 0.75


def test_unknown_levels_and_groups():
    form = TableForm.learned(np.array([[0.0, 1], [1, 0]]), [Field("a", "category", 2)] * 2)
    arrays = form.encode(np.array([[2.0, np.nan]]))
    assert arrays["codes"].tolist() == [[2, 0]] and arrays["seen"].tolist() == [[True, False]]
    (group,) = form.groups
    assert (group.n_codes, group.parts, group.scores) == (2, slice(0, 2), slice(0, 4))


def test_files():
    form = TableForm.learned(table(), FIELDS)
    again = unpack(*pack(form))
    for name, array in form.encode(table()).items():
        assert np.array_equal(array, again.encode(table())[name])


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(DataError, match="nothing to learn"):
        TableForm.learned(np.full((3, 1), np.nan), [Field("a", "continuous")])
    with pytest.raises(UsageError, match="shape"):
        TableForm.learned(table(), FIELDS).encode(np.zeros((2, 3)))
    with pytest.raises(UsageError, match="scaling"):
        learn_number_column(np.ones(2), scaling="odd")
    with pytest.raises(UsageError, match="ascending"):
        NumberColumn(np.array([1.0, 0.0]), np.array([0.0, 1.0]))


@pytest.mark.parametrize(
    "cells", [[5.0], [5.0, 5.0], [1.0, 2.0], [0.0, 1e12], [1e-12, 2e-12, 5e-12]]
)
def test_few_values_make_a_column_all_the_same(cells):
    x = np.array(cells)
    column = learn_number_column(x)
    np.testing.assert_allclose(column.decoded(column.score(x), column.codes_of(x)), x, rtol=1e-9)
