"""A latent tree from noisy counts alone: (ε, δ)-differentially private.

Three releases, of which each is a table of counts with normal noise: how often every value occurs,
how often coarse values of every two columns occur together, and, along the tree that these give,
how often fine ones do. The hidden variable of a column is which group of values its cell is in, so
that the tree is one of noisy counts, and no row is looked at a second time (select, measure and
generate, as in McKenna, Miklau and Sheldon 2021, J. Privacy Confidentiality 11:3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray, Rows
from fabula.families.base import Family
from fabula.families.bin_layout import ColumnBins
from fabula.families.bins import Bins
from fabula.families.categorical import Categorical
from fabula.learning.dependence import chow_liu_tree
from fabula.learning.privacy import GaussianMechanism
from fabula.learning.private_counts import (
    Noise,
    find_bounds,
    merge_pieces,
    on_simplex,
    rounds_of,
    split_range,
    system_noise,
)
from fabula.structures.trees.latent_tree import LatentTree
from fabula.tables.encoding import Field

__all__ = ["PrivateTree", "fit_privately"]

# Parts of the budget: values, which columns hang together, and how.
_SHARES = (0.3, 0.2, 0.5)
_MOST_COARSE, _MOST_CODES = 8, 32
# Rows that a cell of a table holds on average, over the noise on it.
_COARSE_TO_NOISE, _FINE_TO_NOISE = 5.0, 3.0
# Steps into which the range of a column without a precision is cut.
_STEPS = 2**18
# Pieces of a range are joined until they hold so many times the noise.
_LEAST_TO_NOISE = 3.0
_HALF = 0.5
_MARGIN_STEPS = 20


@dataclass(frozen=True)
class PrivateTree:
    """A tree that was made of noisy counts, and what that has spent.

    Parameters
    ----------
    story : LatentTree
        One node for each column, in the order of ``columns``.
    columns, parents, strengths
        As `fabula.learning.dependence.chow_liu_tree` gives them.
    bounds : dict
        Encoded column of numbers → the ends that its values were cut to.
    spending : dict
        ε, δ, ρ, and sensitivity and noise of each release, in plain values.
    """

    story: LatentTree
    columns: NDArray[np.intp]
    parents: NDArray[np.intp]
    strengths: FloatArray
    bounds: dict[int, tuple[float, float]]
    spending: dict[str, Any]


@dataclass(frozen=True)
class _Column:
    """What is known of one column: its cells, their noisy shares, and the group of each."""

    bank: Family  # one member
    cells: NDArray[np.intp]  # cell of each row, -1 where missing
    shares: FloatArray  # (C,)
    total: float  # rows in all of them, with noise

    def groups(self, most: int) -> NDArray[np.intp]:
        """Group of each cell, of at most so many with about equal shares; empty ones join."""
        shares = self.shares
        if isinstance(self.bank, Categorical):
            rank = np.empty(len(shares), dtype=np.intp)
            rank[np.argsort(-shares, kind="stable")] = np.arange(len(shares))
            return np.minimum(rank, most - 1)
        # The middle of a cell says where it is, so one that fills a group is one of its own.
        middle = np.cumsum(shares) - 0.5 * shares
        group = np.minimum((middle * most).astype(np.intp), most - 1)
        return np.unique(group, return_inverse=True)[1].reshape(-1)


def fit_privately(
    x: Rows,
    fields: Sequence[Field],
    promise: tuple[float, float],
    bounds: Mapping[int, tuple[float, float]],
    steps: Sequence[float],
    *,
    most_codes: int | None = None,
    smoothing: float = 0.3,
    noise: Noise | None = None,
) -> PrivateTree:
    """A tree over encoded rows.

    Parameters
    ----------
    x : (n, d) array
    fields : list of Field
        Kinds and levels, which are taken as public.
    promise : (float, float)
        ε and δ.
    bounds : mapping
        Encoded column of numbers → (low, high), where they are known from elsewhere; those of the
        others are found with noise.
    steps : list of float
        Distance of neighbouring values of each column of numbers; 0 where there is none.
    most_codes : int, optional
        Groups of values of each column, at most.
    smoothing : float
        Pseudo-counts of every row of a table.
    noise : callable, optional
        Where normal numbers come from; the operating system by default.
    """
    noise = noise or system_noise
    d = len(fields)
    budget = _Budget.of(
        promise, d, [_counts_of(f, bounds.get(j), steps[j]) for j, f in enumerate(fields)]
    )
    columns, found = [], {}
    for j, field in enumerate(fields):
        if field.kind in ("category", "boolean"):
            columns.append(_levels(x[:, j], field, budget.values, noise))
        else:
            ends = bounds.get(j)
            column, found[j] = _numbers(x[:, j], field, ends, steps[j], budget.values, noise)
            columns.append(column)
    n = float(np.mean([column.total for column in columns]))
    if d == 1:
        alone = np.zeros((1, 1))
        order, parents, strengths = chow_liu_tree(alone)
    else:
        order, parents, strengths = _structure(columns, n, budget.structure, noise)
    affordable = math.sqrt(n / (_FINE_TO_NOISE * budget.pairs + 1.0))
    most = int(np.clip(affordable, 2, _MOST_CODES)) if most_codes is None else most_codes
    story = _tree(columns, order, parents, most, (budget.pairs, smoothing), noise)
    return PrivateTree(story, order, parents, strengths, found, budget.spending())


# What each release may spend ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Budget:
    """Noise of the counts of values, of coarse pairs and of fine pairs."""

    mechanism: GaussianMechanism
    sensitivities: tuple[float, ...]
    scales: tuple[float, ...]

    @classmethod
    def of(cls, promise: tuple[float, float], d: int, counts: Sequence[int]) -> _Budget:
        """One row changes so many counts by one: of each column, and of each two columns."""
        mechanism = GaussianMechanism(*promise)
        squares = (sum(counts), d * (d - 1) // 2, d - 1)[: 3 if d > 1 else 1]
        sensitivities = tuple(math.sqrt(square) for square in squares)
        scales = mechanism.scales(sensitivities, _SHARES[: len(squares)])
        return cls(mechanism, sensitivities, tuple(scales))

    @property
    def values(self) -> float:
        return self.scales[0]

    @property
    def structure(self) -> float:
        return self.scales[1]

    @property
    def pairs(self) -> float:
        return self.scales[2] if len(self.scales) > 2 else 0.0

    def spending(self) -> dict[str, Any]:
        """What was promised, and the releases, in plain values."""
        names = ("values", "coarse pairs", "pairs along the tree")
        return {
            "epsilon": float(self.mechanism.epsilon),
            "delta": float(self.mechanism.delta),
            "rho": float(self.mechanism.rho),
            "unit": "one row added or taken away",
            "releases": [
                {"counts": name, "sensitivity": float(size), "noise": float(scale)}
                for name, size, scale in zip(names, self.sensitivities, self.scales, strict=False)
            ],
        }


def _counts_of(field: Field, stated: tuple[float, float] | None, step: float) -> int:
    """How many counts of its column a row has a part in."""
    if field.kind in ("category", "boolean"):
        return 1
    if stated is None:
        return 1 + rounds_of(2**62)
    return rounds_of(_n_steps(*stated, step))


def _n_steps(low: float, high: float, step: float) -> int:
    return round((high - low) / step) + 1 if step else _STEPS


# Values of each column ----------------------------------------------------------------------------


def _levels(x: FloatArray, field: Field, scale: float, noise: Noise) -> _Column:
    c = field.n_levels
    cells = np.where(np.isnan(x), -1, np.clip(np.nan_to_num(x), 0, c)).astype(np.intp)
    counts = np.bincount(cells[cells >= 0], minlength=c + 1)[:c] + scale * noise(c)
    total = max(float(counts.sum()), 1.0)
    # The slot of levels that nobody listed comes last.
    counts = np.append(on_simplex(counts, total) + _HALF / c, _HALF)
    shares = counts / counts.sum()
    return _Column(Categorical(shares[None], (c,)), cells, shares, total)


def _numbers(
    x: FloatArray,
    field: Field,
    stated: tuple[float, float] | None,
    step: float,
    scale: float,
    noise: Noise,
) -> tuple[_Column, tuple[float, float]]:
    """Bins of a column of numbers, smaller where there are more rows, and its ends."""
    seen = ~np.isnan(x)
    low, high = stated or find_bounds(x[seen], scale, noise, field.column)
    if step:
        low, high = math.ceil(low / step) * step, math.floor(high / step) * step
    high = max(high, low + (step or 1.0)) if not low < high else high
    n_steps = _n_steps(low, high, step)
    unit = step or (high - low) / n_steps
    cut = np.clip(x, low, high)
    places = np.floor((cut[seen] - low) / unit + (0.5 if step else 0.0)).astype(np.int64)
    pieces = split_range(np.clip(places, 0, n_steps - 1), n_steps, scale, noise)
    pieces = merge_pieces(pieces, _LEAST_TO_NOISE * scale)
    edges = low + unit * (pieces.cuts - (0.5 if step else 0.0))
    total = max(float(pieces.counts.sum()), 1.0)
    counts = np.concatenate([[0.0], on_simplex(pieces.counts, total), [0.0]])
    shares = np.maximum(counts, _HALF)
    shares /= shares.sum()
    bins = ColumnBins(
        edges, np.zeros(len(edges) - 1), np.full(2, max(unit, (high - low) / 50.0)), np.empty(0),
        shares, step, low if step else 0.0,
    )  # fmt: skip
    cells = bins.codes_of(bins.snapped(cut)).astype(np.intp)
    return _Column(Bins.pooled((bins,)), cells, shares, total), (low, high)


# Pairs of columns ---------------------------------------------------------------------------------


def _pair_counts(
    one: tuple[_Column, NDArray[np.intp]], other: tuple[_Column, NDArray[np.intp]]
) -> FloatArray:
    """How many rows have each two groups of two columns together."""
    (a, groups_a), (b, groups_b) = one, other
    both = (a.cells >= 0) & (b.cells >= 0)
    width = int(groups_b.max()) + 1
    code = groups_a[a.cells[both]] * width + groups_b[b.cells[both]]
    height = int(groups_a.max()) + 1
    return np.bincount(code, minlength=height * width).reshape(height, width).astype(np.float64)


def _structure(
    columns: Sequence[_Column], n: float, scale: float, noise: Noise
) -> tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]:
    """The Chow–Liu tree of coarse pairs with noise."""
    most = int(np.clip(math.sqrt(n / (_COARSE_TO_NOISE * scale + 1.0)), 2, _MOST_COARSE))
    groups = [column.groups(most) for column in columns]
    d = len(columns)
    information = np.zeros((d, d))
    for a in range(d):
        for b in range(a + 1, d):
            table = _pair_counts((columns[a], groups[a]), (columns[b], groups[b]))
            noisy = table + scale * noise(table.size).reshape(table.shape)
            information[a, b] = information[b, a] = _information(noisy, scale)
    return chow_liu_tree(information)


def _information(noisy: FloatArray, scale: float) -> float:
    """Mutual information of a noisy table in nats, less what chance and noise give on average."""
    table = on_simplex(noisy)
    total = float(table.sum())
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    expected = np.outer(rows, columns) / total
    positive = table > 0
    told = float((table[positive] * np.log(table[positive] / expected[positive])).sum()) / total
    used = expected > 0
    freedom = (int(np.count_nonzero(rows)) - 1) * (int(np.count_nonzero(columns)) - 1)
    # The second-order term of the information: variance over expectation, cell by cell.
    spread = 1.0 + scale**2 / np.maximum(expected[used], scale + 1.0)
    return told - freedom * float(spread.mean()) / (2.0 * total)


def _tree(
    columns: Sequence[_Column],
    order: NDArray[np.intp],
    parents: NDArray[np.intp],
    most: int,
    spread: tuple[float, float],
    noise: Noise,
) -> LatentTree:
    """The tree whose states are groups of values, with the transitions that noisy pairs give."""
    scale, smoothing = spread
    groups = [column.groups(most) for column in columns]
    sizes = [int(group.max()) + 1 for group in groups]
    n_states = max(sizes)
    alone: list[FloatArray] = [
        np.bincount(group, column.shares, minlength=n_states).astype(np.float64)
        for column, group in zip(columns, groups, strict=True)
    ]
    transitions = np.empty((len(order) - 1, n_states, n_states))
    for i in range(1, len(order)):
        a, b = int(order[parents[i]]), int(order[i])
        table = _pair_counts((columns[a], groups[a]), (columns[b], groups[b]))
        told = on_simplex(table + scale * noise(table.size).reshape(table.shape))
        # Where a row of the table is little more than noise, the column as a whole speaks.
        weight = smoothing + scale * math.sqrt(sizes[b])
        ends = alone[a][: sizes[a]], alone[b][: sizes[b]]
        joint = _with_margins(told + weight * ends[1], *ends)
        step = np.tile(alone[b], (n_states, 1))
        rows = joint.sum(axis=1, keepdims=True)
        np.divide(joint, rows, out=step[: sizes[a], : sizes[b]], where=rows > 0)
        transitions[i - 1] = step
    nodes = np.empty(len(order), dtype=np.intp)
    nodes[order] = np.arange(len(order))
    emissions = tuple(
        _grouped(column, group, n_states) for column, group in zip(columns, groups, strict=True)
    )
    return LatentTree(
        np.asarray(parents, dtype=np.intp), nodes, alone[int(order[0])], transitions, emissions
    )


def _with_margins(table: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """A table with the given sums of rows and columns, as like as can be to another.

    What is missing in one column may so depend on another, and each still has its own shares
    (iterative proportional fitting, Deming and Stephan 1940, Ann. Math. Stat. 11:427).
    """
    for _ in range(_MARGIN_STEPS):
        for wanted, axis in ((columns, 0), (rows, 1)):
            sums = table.sum(axis=axis)
            factor = np.divide(wanted, sums, out=np.zeros_like(sums), where=sums > 0)
            table = table * (factor if axis == 0 else factor[:, None])
    return table


def _grouped(column: _Column, group: NDArray[np.intp], n_states: int) -> Family:
    """A bank whose members each have the cells of one group."""
    inside = group == np.arange(n_states)[:, None]
    inside[inside.sum(axis=1) == 0] = True  # a state that no row is in looks like all rows
    probabilities = inside * column.shares
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    if isinstance(column.bank, Bins):
        return Bins(probabilities, column.bank.columns)
    assert isinstance(column.bank, Categorical)
    return Categorical(probabilities, column.bank.n_levels)
