"""Whether a column of numbers is better told in bins than by a law with two parameters."""

from __future__ import annotations

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.families.base import Family
from fabula.families.bins import Bins
from fabula.tables.spikes import spike_share

__all__ = ["bins_are_better"]

# Fewer rows do not tell the shape of a density.
_FEWEST_ROWS = 500
# Nats a row that bins must gain on rows that were left out, and how surely.
_GAIN = 0.02
_STANDARD_ERRORS = 4.0
# Where classes are hidden, humps are theirs to explain, and only spikes call for bins.
_SPIKES = 0.1
_LEAST_LOG = -50.0


def bins_are_better(
    template: Family, cells: FloatArray, shares: FloatArray, hidden: bool = False
) -> bool:
    """Whether bins give rows that were left out a higher density than a law does.

    Each half of the rows is scored by what was learned from the other half.

    Parameters
    ----------
    template : Family
        The law: a bank of one member over one column.
    cells : (n, 1) array
        Seen cells only.
    shares : (n, K) array
        How much of each row is each class's; 0 where its class is not known.
    hidden : bool
        Whether the members that are to be learned are hidden classes. They can share out the
        humps of a density between them, but not what is at a single value.
    """
    totals = shares.sum(axis=1)
    if float(totals.sum()) < _FEWEST_ROWS or np.count_nonzero(totals) < _FEWEST_ROWS:
        return False
    if hidden and spike_share(cells[:, 0], totals) < _SPIKES:
        return False
    gains, weights = [], []
    for first in (0, 1):
        learn, score = slice(first, None, 2), slice(1 - first, None, 2)
        binned = Bins.learned(cells[learn], totals[learn])
        told = _held_out(binned, cells, shares, learn, score)
        gains.append(told - _held_out(template, cells, shares, learn, score))
        weights.append(totals[score])
    gain, weight = np.concatenate(gains), np.concatenate(weights)
    seen = weight > 0
    gain, weight = gain[seen] / weight[seen], weight[seen] / weight[seen].sum()
    mean = float(weight @ gain)
    error = float(np.sqrt((weight**2) @ (gain - mean) ** 2))
    return mean > max(_GAIN, _STANDARD_ERRORS * error)


def _held_out(
    template: Family, cells: FloatArray, shares: FloatArray, learn: slice, score: slice
) -> FloatArray:
    """Log density of each row of one half under its class, learned from the other half."""
    pooled = template.maximise(
        template.statistics(cells[learn], shares[learn].sum(axis=1, keepdims=True)),
        template.uniform_prior(),
    ).widened()
    bank = pooled.select(np.zeros(shares.shape[1], dtype=np.intp))
    bank = bank.maximise(
        bank.statistics(cells[learn], shares[learn]), bank.pseudo_observations(1.0)
    )
    # A law that holds a single row impossible is wrong, but not infinitely so.
    told = np.maximum(bank.log_prob(cells[score]), _LEAST_LOG)
    return np.asarray((shares[score] * told).sum(axis=1))
