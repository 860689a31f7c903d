"""One column cut into cells: intervals with a density inside, open tails, and single values.

A cell is all that a bank of bins tells its members apart by. What happens inside of one is the
same for every member, and is kept here.

How a column is measured
------------------------
A column that was recorded to a precision h (whole numbers to 1, prices to 0.01) is a column on a
lattice. Its value v stands for everything that rounds to it, from v - h/2 to v + h/2, and its
density is the probability of v over h. So the densities of a lattice, of a normal and of a
Poisson law (h = 1) are on one scale and can be compared. Draws are on the lattice, and an interval
holds the values of the lattice that lie in it, both ends included.

A column without a precision has a density between its single values. A single value has a
probability of its own, which is what its "density" is (with respect to Lebesgue measure plus one
unit of mass at every single value).

Nothing finite is impossible: below the lowest and above the highest edge there are tails in which
the density falls off exponentially (geometrically, on a lattice).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.core.regions import Interval
from fabula.persistence.registry import storable

__all__ = ["ColumnBins"]

# A value that is so near to the lattice, in units of its precision, is on it.
_ON_LATTICE = 1e-6
# A density that leans less than this has its mode anywhere in the bin.
_FLAT = 0.1


@storable("family/column_bins")
@dataclass(frozen=True)
class ColumnBins:
    """The cells of one column and the density inside of each.

    In order: the lower tail, the B bins from left to right, the upper tail, and the A single
    values.

    Parameters
    ----------
    edges : (B + 1,) array
        Ends of the bins, ascending; on a lattice halfway between two of its values. With a single
        edge there is no bin, and the tails meet there.
    slopes : (B,) array
        How the density leans inside each bin, from -1 to 1: at the share t of its width it is
        (1 + slope (2 t - 1)) / width.
    scales : (2,) array
        Mean distance of the lower and of the upper tail from the edge it begins at; positive.
    atoms : (A,) array
        Single values with a probability of their own, ascending; none on a lattice, where a bin of
        one value says the same.
    shares : (B + 2 + A,) array
        Share of each cell among all rows together; positive, and they sum to 1.
    precision : float
        h, the distance of two neighbours on the lattice; 0 where there is none.
    origin : float
        Any value of the lattice.
    """

    edges: FloatArray
    slopes: FloatArray
    scales: FloatArray
    atoms: FloatArray
    shares: FloatArray
    precision: float = 0.0
    origin: float = 0.0

    def __post_init__(self) -> None:
        n_bins = len(self.edges) - 1
        if n_bins < 0 or len(self.slopes) != n_bins or self.scales.shape != (2,):
            raise UsageError("A column of B bins has B + 1 edges, B slopes and 2 scales of tails.")
        if len(self.shares) != n_bins + 2 + len(self.atoms):
            raise UsageError("A column of bins has one share for each bin, tail and single value.")
        if not np.isfinite(self.edges).all() or not np.all(np.diff(self.edges) > 0):
            raise UsageError("The edges of bins must be finite and ascending.")
        if not np.all(np.diff(self.atoms) > 0) or not np.isfinite(self.atoms).all():
            raise UsageError("The single values of a column must be finite and ascending.")
        if not np.all(np.abs(self.slopes) <= 1) or not np.all(self.scales > 0):
            raise UsageError("Slopes of bins lie between -1 and 1, and scales of tails above 0.")
        if not np.all(self.shares > 0) or not np.isclose(self.shares.sum(), 1.0, atol=1e-6):
            raise UsageError("The shares of the cells must be positive and sum to 1.")
        if not self.precision >= 0 or (self.precision > 0 and len(self.atoms)):
            raise UsageError("A column has a precision above 0, or single values, or neither.")

    @property
    def n_bins(self) -> int:
        """B."""
        return len(self.slopes)

    @property
    def n_cells(self) -> int:
        """B + 2 + A."""
        return len(self.shares)

    @cached_property
    def _upper_tail(self) -> int:
        return self.n_bins + 1

    @cached_property
    def _per_unit(self) -> float:
        """Values of the lattice from one whole number to the next, 0 where that is no number."""
        times = np.rint(1.0 / self.precision) if 0 < self.precision <= 1 else 0.0
        if times and np.isclose(times * self.precision, 1.0, rtol=1e-12, atol=0):
            return float(times) if self.origin == np.rint(self.origin * times) / times else 0.0
        return 0.0

    @cached_property
    def _falls(self) -> FloatArray:
        """Log probability, in each tail, of being one step further out on the lattice."""
        return np.asarray(-self.precision / self.scales)

    # Cells of values --------------------------------------------------------------------------

    def snapped(self, x: FloatArray) -> FloatArray:
        """The values in double precision, rounded to the lattice where there is one."""
        x = np.asarray(x, dtype=np.float64)
        if not self.precision:
            return x
        if self._per_unit:
            # 87 / 100 is the decimal fraction that a reader of files makes of "0.87".
            return np.asarray(np.rint(x * self._per_unit) / self._per_unit)
        steps = np.rint((x - self.origin) / self.precision)
        return np.asarray(self.origin + self.precision * steps)

    def codes_of(self, values: FloatArray) -> NDArray[np.int32]:
        """Cell of each value that `snapped` gave, (n,); -1 where it is missing."""
        codes = np.searchsorted(self.edges, values, side="right").astype(np.int32)
        if self.n_bins:
            codes[values == self.edges[-1]] = self.n_bins  # the last bin is closed
        if len(self.atoms):
            places = np.searchsorted(self.atoms, values).clip(max=len(self.atoms) - 1)
            hits = self.atoms[places] == values
            codes[hits] = self._upper_tail + 1 + places[hits]
        codes[np.isnan(values)] = -1
        return codes

    def log_density(self, values: FloatArray, codes: NDArray[np.int32]) -> FloatArray:
        """Log density (n,) of values that `snapped` gave inside their cells; 0 where missing."""
        out = np.zeros(len(values))
        inside = (codes >= 1) & (codes <= self.n_bins)
        if inside.any():
            bins = codes[inside] - 1
            width = np.diff(self.edges)[bins]
            t = (values[inside] - self.edges[bins]) / width
            with np.errstate(divide="ignore"):
                out[inside] = np.log1p(self.slopes[bins] * (2.0 * t - 1.0)) - np.log(width)
        for tail, code in enumerate((0, self._upper_tail)):
            mine = codes == code
            if mine.any():
                edge = self.edges[-tail]
                out[mine] = self._log_tail(tail, np.abs(values[mine] - edge))
        return out

    def _log_tail(self, tail: int, distance: FloatArray) -> FloatArray:
        h, scale = self.precision, self.scales[tail]
        if not h:
            return np.asarray(-np.log(scale) - distance / scale)
        steps = distance / h - 0.5
        return np.asarray(np.log(-np.expm1(self._falls[tail]) / h) + steps * self._falls[tail])

    # Probability inside of cells ----------------------------------------------------------------

    def ends_of(self, region: Interval) -> tuple[float, float]:
        """Ends between which the density is to be integrated for an interval.

        On a lattice, they include the whole of what stands for each value of the lattice in the
        interval; where there is none, the upper end is below the lower one.
        """
        h = self.precision
        if not h:
            return region.low, region.high
        low, high = region.low, region.high
        if np.isfinite(low):
            low = self.origin + h * (np.ceil((low - self.origin) / h - _ON_LATTICE) - 0.5)
        if np.isfinite(high):
            high = self.origin + h * (np.floor((high - self.origin) / h + _ON_LATTICE) + 0.5)
        return float(low), float(high)

    def log_shares_within(self, region: Interval) -> FloatArray:
        """Log of the share of each cell, (C,), that lies in the interval."""
        low, high = self.ends_of(region)
        out: FloatArray = np.full(self.n_cells, -np.inf)
        if low > high or (self.precision and low == high):
            return out
        with np.errstate(divide="ignore"):
            out[1 : self.n_bins + 1] = np.log(np.diff(self._bin_shares_below(low, high), axis=0)[0])
            for tail, code in enumerate((0, self._upper_tail)):
                near, far = self._distances(tail, low, high)
                if far > near:
                    out[code] = -near / self.scales[tail]
                    out[code] += np.log(-np.expm1(-(far - near) / self.scales[tail]))
        out[self._upper_tail + 1 :][(self.atoms >= low) & (self.atoms <= high)] = 0.0
        return out

    def _bin_shares_below(self, *ends: float) -> FloatArray:
        """Share of each bin below each end, (number of ends, B)."""
        t = (np.asarray(ends)[:, None] - self.edges[:-1]) / np.diff(self.edges)
        t = np.clip(t, 0.0, 1.0)
        return np.asarray(t + self.slopes * (t * t - t))

    def _distances(self, tail: int, low: float, high: float) -> tuple[float, float]:
        """Least and greatest distance from the edge, inside a tail, of what is in the interval."""
        if tail == 0:
            near, far = self.edges[0] - high, self.edges[0] - low
        else:
            near, far = low - self.edges[-1], high - self.edges[-1]
        return max(float(near), 0.0), max(float(far), 0.0)

    def draw(
        self,
        codes: NDArray[np.integer],
        rng: np.random.Generator,
        region: Interval | None = None,
    ) -> FloatArray:
        """A value from each of the cells (n,), cut off at the ends of the interval."""
        region = region or Interval()
        low, high = self.ends_of(region)
        uniform = rng.random(len(codes))
        out = np.empty(len(codes))
        inside = (codes >= 1) & (codes <= self.n_bins)
        if inside.any():
            bins = codes[inside] - 1
            below, above = self._bin_shares_below(low, high)
            share = below[bins] + uniform[inside] * (above[bins] - below[bins])
            slope, rest = self.slopes[bins], 1.0 - self.slopes[bins]
            t = 2.0 * share / (rest + np.sqrt(rest * rest + 4.0 * slope * share) + 1e-300)
            left, right = self.edges[bins], self.edges[bins + 1]
            half = 0.5 * self.precision
            out[inside] = np.clip(left + (right - left) * t, left + half, right - half)
        for tail, code in enumerate((0, self._upper_tail)):
            mine = codes == code
            if mine.any():
                near, far = self._distances(tail, low, high)
                scale = self.scales[tail]
                beyond = near - scale * np.log1p(uniform[mine] * np.expm1((near - far) / scale))
                beyond = np.maximum(beyond, 0.5 * self.precision)
                out[mine] = self.edges[-tail] + (beyond if tail else -beyond)
        single = codes > self._upper_tail
        if single.any():
            out[single] = self.atoms[codes[single] - self._upper_tail - 1]
        if self.precision:
            low, high = low + 0.5 * self.precision, high - 0.5 * self.precision
        return np.clip(self.snapped(out), low, high)

    @cached_property
    def peaks(self) -> tuple[FloatArray, FloatArray]:
        """Where the density of each cell is highest, (C,), and its logarithm there.

        The middle of a bin stands for a density that hardly leans.
        """
        half = 0.5 * self.precision
        left, right = self.edges[:-1] + half, self.edges[1:] - half
        below, above = self.edges[0] - half, self.edges[-1] + half
        if not half:  # an edge belongs to the bin on its right
            right, below = np.nextafter(right, -np.inf), np.nextafter(below, -np.inf)
            above = np.nextafter(above, np.inf)
        inside = np.where(self.slopes > 0, right, left)
        inside = np.where(np.abs(self.slopes) < _FLAT, 0.5 * (left + right), inside)
        values = self.snapped(np.concatenate([[below], inside, [above], self.atoms]))
        return values, self.log_density(values, np.arange(self.n_cells, dtype=np.int32))

    @cached_property
    def means(self) -> FloatArray:
        """Mean of each cell, (C,)."""
        return self._moments[0]

    @cached_property
    def variances(self) -> FloatArray:
        """Variance inside of each cell, (C,)."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[FloatArray, FloatArray]:
        h, width = self.precision, np.diff(self.edges)
        q = (h / width) ** 2  # one over the square of the number of values in a bin
        first = 0.5 + self.slopes * (1.0 - q) / 6.0
        second = 1.0 / 3.0 - q / 12.0 + self.slopes * (1.0 - q) / 6.0
        beyond, spread = self.scales, self.scales**2
        if h:
            gone = -np.expm1(self._falls)
            beyond = h * (0.5 + (1.0 - gone) / gone)
            spread = h * h * (1.0 - gone) / gone**2
        bins = self.edges[:-1] + width * first
        tails = self.edges[0] - beyond[0], self.edges[-1] + beyond[1]
        means = np.concatenate([tails[:1], bins, tails[1:], self.atoms])
        inside = np.maximum(second - first**2, 0.0) * width**2
        none = np.zeros(len(self.atoms))
        return means, np.concatenate([spread[:1], inside, spread[1:], none])

    def is_on_lattice(self, values: FloatArray) -> NDArray[np.bool_]:
        """Whether each value is one that draws can have; always, where there is no lattice."""
        if not self.precision:
            return np.ones(len(values), dtype=bool)
        steps = (values - self.origin) / self.precision
        return np.asarray(np.abs(steps - np.rint(steps)) <= _ON_LATTICE)
