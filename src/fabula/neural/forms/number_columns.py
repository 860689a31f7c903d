"""One column of numbers on the scale of a standard normal, and back, exactly.

The map is a broken line through (quantile, normal score), so that it can be inverted, and the
density of a score tells the density of the number: the slope of the line is the Jacobian. Values
that take a share of the rows of their own (spikes) are categories beside the spread-out rest, and
a column that was recorded to a precision h stands for cells of the width h. Densities are on the
scale of `fabula.families.bin_layout`: the probability of a cell over h; the probability itself at
a spike of a column without a precision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.persistence.registry import storable
from fabula.tables.spikes import find_spikes, precision_of, weighted_values

__all__ = ["NumberColumn", "Scaling", "learn_number_column"]

Scaling = Literal["normal scores", "standard"]
SCALINGS: tuple[Scaling, ...] = ("normal scores", "standard")

_MOST_KNOTS = 128
# A column of so few values, each on average in so many rows, is all spikes.
_FEW = 20
_ROWS_A_VALUE = 10.0
_ROWS_A_KNOT = 30.0
# Small tables have so many knots all the same, as long as there are rows for them: between two
# knots only, a column would have no shape.
_FEW_KNOTS = 8
_LEAST_ROWS_A_KNOT = 4.0
# The outermost pieces go on beyond the data: their slope is that of so many rows at least.
_ROWS_A_PIECE = 8.0
# Scores of the knots of a column of which no more than these two is told.
_CENTRE_AND_SPREAD = np.array([-1.0, 1.0])


@storable("neural/number_column")
@dataclass(frozen=True, eq=False)  # compiled code is kept for each by its identity
class NumberColumn:
    """How the numbers of a column become scores, and scores numbers.

    Parameters
    ----------
    values, scores : (m,) arrays
        The knots of the broken line, both ascending; m ≥ 2. The outermost pieces go on for ever.
    spikes : (S,) array
        Values with a probability of their own, ascending; their codes are 1 … S, and 0 is the rest.
    step, origin : float
        Distance of neighbours on the lattice that the column was recorded on, 0 for none, and a
        value on it.
    n_seen : int
        Rows that had a value.
    """

    values: FloatArray
    scores: FloatArray
    spikes: FloatArray = field(default_factory=lambda: np.empty(0))
    step: float = 0.0
    origin: float = 0.0
    n_seen: int = 0

    def __post_init__(self) -> None:
        if len(self.values) < 2 or self.values.shape != self.scores.shape:
            raise UsageError("A column of numbers needs two knots or more, values and scores.")
        for name in ("values", "scores", "spikes"):
            array = getattr(self, name)
            if not np.isfinite(array).all() or not np.all(np.diff(array) > 0):
                raise UsageError(f"The {name} of a column of numbers must be finite and ascending.")
        if not self.step >= 0:
            raise UsageError("The step of a column of numbers must not be negative.")

    @property
    def n_codes(self) -> int:
        """Spikes and the rest; 0 where there are no spikes and so nothing to tell apart."""
        return len(self.spikes) + 1 if len(self.spikes) else 0

    def score(self, values: FloatArray) -> FloatArray:
        """Scores of values, in double precision; NaN stays NaN."""
        return _broken_line(values, self.values, self.scores)

    def value(self, scores: FloatArray) -> FloatArray:
        """Values of scores, the inverse of `score`; not rounded."""
        return _broken_line(scores, self.scores, self.values)

    def mean_value(self, centres: FloatArray, widths: FloatArray, nodes: FloatArray) -> FloatArray:
        """Mean value of scores that lie like ``centres + widths * nodes``, (n,), over the nodes.

        Where the knots span what was seen, no value counts as more than the largest of it, nor as
        less than the smallest: what lies beyond is a guess, and one such value in a thousand
        could carry the mean away.
        """
        low, high = self._bounds
        total = np.zeros(len(centres))
        for node in nodes:
            values = self.value(centres + node * widths)
            total += np.clip(values, low, high)
        return total / len(nodes)

    @property
    def _bounds(self) -> tuple[float, float]:
        """Smallest and largest value among those that have a shape, as far as the knots tell."""
        if np.array_equal(self.scores, _CENTRE_AND_SPREAD):
            return -np.inf, np.inf
        # The outermost knots are the far ends of the outermost cells.
        half = 0.5 * self.step
        return float(self.values[0] + half), float(self.values[-1] - half)

    def log_slope(self, values: FloatArray) -> FloatArray:
        """Log of d score / d value."""
        slopes = np.diff(self.scores) / np.diff(self.values)
        places = np.searchsorted(self.values, values, side="right") - 1
        return np.asarray(np.log(slopes)[np.clip(places, 0, len(slopes) - 1)])

    def ends(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Scores of both ends of the cells that values stand for; twice `score` without a step."""
        if not self.step:
            scores = self.score(values)
            return scores, scores
        half = 0.5 * self.step
        return self.score(values - half), self.score(values + half)

    def codes_of(self, values: FloatArray) -> NDArray[np.int32]:
        """0, or 1 + the place among the spikes, (n,); 0 where missing."""
        codes = np.zeros(len(values), dtype=np.int32)
        if len(self.spikes):
            near = 0.25 * self.step
            places = np.searchsorted(self.spikes, values - near).clip(max=len(self.spikes) - 1)
            hits = np.abs(self.spikes[places] - values) <= near
            codes[hits] = 1 + places[hits]
        return codes

    def snapped(self, values: FloatArray) -> FloatArray:
        """Values rounded to the lattice, where there is one."""
        if not self.step:
            return values
        steps = np.rint((values - self.origin) / self.step)
        per_unit = np.rint(1.0 / self.step) if self.step <= 1 else 0.0
        if per_unit and np.isclose(per_unit * self.step, 1.0, rtol=1e-12, atol=0):
            # 87 / 100 is the decimal fraction that a reader of files makes of "0.87".
            return np.asarray(np.rint(self.origin * per_unit + steps) / per_unit)
        return np.asarray(self.origin + self.step * steps)

    def decoded(self, scores: FloatArray, codes: NDArray[np.int32] | None = None) -> FloatArray:
        """Values that draws stand for: on the lattice, and at the spikes that codes name."""
        values = self.snapped(self.value(np.asarray(scores, dtype=np.float64)))
        if codes is not None and len(self.spikes):
            values = np.where(codes > 0, self.spikes[np.maximum(codes, 1) - 1], values)
        return values


def learn_number_column(
    cells: FloatArray,
    *,
    scaling: Scaling = "normal scores",
    precision: float | None = None,
) -> NumberColumn | None:
    """How the numbers of a column become scores.

    Parameters
    ----------
    cells : (n,) array
        NaN where missing.
    scaling : {"normal scores", "standard"}
        Quantiles become normal scores, with spikes and the lattice found in the data; or the mean
        is subtracted and the standard deviation divided by, and nothing else.
    precision : float, optional
        Distance of neighbouring values, 0 for none; found in the data by default.

    Returns
    -------
    NumberColumn or None
        None where no value was seen: nothing can be said of such a column.
    """
    if scaling not in SCALINGS:
        raise UsageError(f"scaling must be one of {', '.join(SCALINGS)}, not {scaling!r}.")
    values, counts = weighted_values(cells)
    if not len(values):
        return None
    n = int(counts.sum())
    if scaling == "standard":
        # Squares of very large or small numbers have no place among doubles; a power of two
        # is taken out without rounding.
        scale = 2.0 ** int(np.frexp(np.abs(values).max())[1].clip(-1000, 1000))
        scaled = values / scale
        centre = float(scaled @ counts) / n
        mean = scale * centre
        spread = scale * float(np.sqrt(counts @ (scaled - centre) ** 2 / n))
        spread = spread or max(abs(mean), 1.0)
        return NumberColumn(np.array([mean - spread, mean + spread]), _CENTRE_AND_SPREAD, n_seen=n)
    step, origin = (precision, 0.0) if precision is not None else precision_of(values)
    if step and precision is not None:
        origin = float(values[0])
    few = len(values) <= _FEW and (n >= _ROWS_A_VALUE * len(values) or len(values) == 1)
    spikes = np.ones(len(values), bool) if few else find_spikes(values, counts, step)
    rest, weights = values[~spikes], counts[~spikes]
    if len(rest) < 2:
        # Too few to have a shape: a bell as wide as all values, around them.
        centre = float(rest[0]) if len(rest) else float(values.mean())
        spread = float(values[-1] - values[0]) or step or max(abs(centre), 1.0)
        knots = np.array([centre - spread, centre + spread]), _CENTRE_AND_SPREAD
    else:
        knots = _knots(rest, weights, step)
    return NumberColumn(*knots, spikes=values[spikes], step=step, origin=origin, n_seen=n)


def _knots(values: FloatArray, weights: FloatArray, step: float) -> tuple[FloatArray, FloatArray]:
    """Values at which shares of the rows lie below, and the normal scores of these shares."""
    from scipy.special import ndtri

    total = float(weights.sum())
    # Ends of cells: halfway between neighbours, so that no value lies on one.
    half = 0.5 * (step or float(np.min(np.diff(values))))
    ends = np.concatenate(
        [[values[0] - half], 0.5 * (values[1:] + values[:-1]), [values[-1] + half]]
    )
    if step:
        ends[1:-1] = values[:-1] + step * (np.floor(np.diff(values) / step / 2.0 + 1e-9) + 0.5)
    below = np.concatenate([[0.0], np.cumsum(weights)])
    shares = (below + 0.5) / (total + 1.0)
    fewest = max(min(_FEW_KNOTS, total / _LEAST_ROWS_A_KNOT), 2)
    number = int(np.clip(total / _ROWS_A_KNOT, fewest, _MOST_KNOTS))
    # Evenly in score rather than in share: tails are where the shape is missed.
    wanted = np.linspace(ndtri(shares[0]), ndtri(shares[-1]), number)
    scores = ndtri(shares)
    places = np.clip(np.searchsorted(scores, wanted), 0, len(scores) - 1)
    places = np.unique(np.concatenate([[0], places, [len(scores) - 1]]))
    # Every piece holds some rows, or its slope is noise.
    least, kept = min(_ROWS_A_PIECE, 0.1 * total), [0]
    for place in places[1:-1].tolist():
        if min(below[place] - below[kept[-1]], total - below[place]) >= least:
            kept.append(place)
    kept.append(len(scores) - 1)
    return ends[kept], scores[kept]


def _broken_line(x: FloatArray, knots: FloatArray, heights: FloatArray) -> FloatArray:
    """Linear between knots, and beyond them as between the outermost two."""
    x = np.asarray(x, dtype=np.float64)
    places = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    slopes = np.diff(heights) / np.diff(knots)
    return np.asarray(heights[places] + slopes[places] * (x - knots[places]))
