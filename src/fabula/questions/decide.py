"""What should be done about each row, given what mistakes cost?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError

__all__ = ["Decisions", "decide"]


@dataclass(frozen=True)
class Decisions:
    """The cheapest action for each row.

    ``actions`` (n,) are indices into ``names``, -1 where rejecting is cheapest; ``expected_costs``
    (n,) is what the chosen action costs on average.
    """

    actions: np.ndarray
    expected_costs: FloatArray
    names: tuple[Any, ...]

    def labels(self, rejected: Any = None) -> np.ndarray:
        """Names of the chosen actions, with ``rejected`` where the row is left to somebody else."""
        names = np.array([*self.names, rejected], dtype=object)
        return np.asarray(names[self.actions])


def decide(
    probabilities: FloatArray,
    costs: FloatArray | Sequence[Sequence[float]] | Mapping[Any, Mapping[Any, float]],
    classes: Sequence[Any],
    reject_cost: float | None = None,
) -> Decisions:
    """Choose the action with the smallest expected cost (Duda, Hart and Stork 2001, section 2.2).

    Parameters
    ----------
    probabilities : (n, K) array
        Posterior probability of each class.
    costs : (K, A) array, or mapping of class to mapping of action to cost
        What action a costs when the truth is class k, in any unit.
    classes : sequence of K
        Names of the classes, in the order of the rows of ``costs``; the actions take the same
        names where there are as many.
    reject_cost : float, optional
        What it costs to decide nothing and hand the row on.
    """
    matrix, names = _cost_matrix(costs, classes)
    expected = probabilities @ matrix
    actions = expected.argmin(axis=1)
    chosen = expected[np.arange(len(expected)), actions]
    if reject_cost is not None:
        if not np.isfinite(reject_cost):
            raise UsageError(f"reject_cost must be a finite number, not {reject_cost}.")
        rejected = chosen > reject_cost
        actions = np.where(rejected, -1, actions)
        chosen = np.where(rejected, reject_cost, chosen)
    return Decisions(actions, chosen, names)


def _cost_matrix(costs: Any, classes: Sequence[Any]) -> tuple[FloatArray, tuple[Any, ...]]:
    if isinstance(costs, Mapping):
        by_text = {str(name): name for name in classes}
        rows = {by_text.get(str(name), name): row for name, row in costs.items()}
        unknown = [name for name in rows if name not in set(classes)]
        lacking = [name for name in classes if name not in rows]
        if unknown or lacking:
            raise UsageError(
                f"costs must have one entry for each class {list(classes)}; "
                f"unknown: {unknown}, missing: {lacking}."
            )
        names = tuple(dict.fromkeys(action for row in rows.values() for action in row))
        for name, row in rows.items():
            absent = [action for action in names if action not in row]
            if absent:
                raise UsageError(f"costs of class {name!r} say nothing about {absent}.")
        matrix = np.array([[rows[name][action] for action in names] for name in classes], float)
    else:
        matrix = np.asarray(costs, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[0] != len(classes):
            raise UsageError(
                f"costs must be a matrix with one row for each of the {len(classes)} classes "
                f"and one column for each action, not of shape {matrix.shape}."
            )
        same = matrix.shape[1] == len(classes)
        names = tuple(classes) if same else tuple(range(matrix.shape[1]))
    if not np.isfinite(matrix).all():
        raise UsageError("costs must be finite numbers.")
    return matrix, names
