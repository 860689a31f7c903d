"""Several latent trees taken as one story."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.estimators.trees.fitting import Fitted
from fabula.learning.em import Report
from fabula.structures.trees.average import TreeAverage
from fabula.structures.trees.latent_tree import LatentTree

__all__ = ["averaged", "held_out_of", "one_report"]


def averaged(trees: Sequence[LatentTree]) -> LatentTree | TreeAverage:
    """The mean of their densities; a single tree stays as it is."""
    return trees[0] if len(trees) == 1 else TreeAverage.even(trees)


def held_out_of(found: Sequence[Fitted], weights: FloatArray | None) -> float:
    """Mean log density in nats that the average gives to the rows that were held out."""
    if len(found) == 1:
        return found[0].held_out
    told = [one.told for one in found if one.told is not None]
    if not told:
        return float("nan")
    mean = np.logaddexp.reduce(np.stack(told), axis=0) - np.log(len(told))
    return float(np.average(mean, weights=weights))


def one_report(reports: Sequence[Report]) -> Report:
    """How several climbs went, one after another."""
    if len(reports) == 1:
        return reports[0]
    unfinished = [report.reason for report in reports if not report.converged]
    return Report(
        tuple(value for report in reports for value in report.trace),
        not unfinished,
        unfinished[0] if unfinished else "converged",
        sum(report.n_iterations for report in reports),
        sum(report.seconds for report in reports),
    )
