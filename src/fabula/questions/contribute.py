"""How much did each column speak for each class?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.questions.classify import log_joint

__all__ = ["Contributions", "contributions"]


@dataclass(frozen=True)
class Contributions:
    """Evidence of each column for each class, in nats, against a reference class.

    ``values[i, k, j]`` says by how much column j of row i raised the log-odds of class k over the
    reference. With ``prior[k]`` they add up to the log-odds exactly where ``additive``; where
    columns depend on each other given the class, each value is what the column adds to all the
    others, and ``remainder[i, k]`` is what they say only together.
    """

    columns: tuple[Any, ...]
    classes: tuple[Any, ...]
    reference: int
    prior: FloatArray  # (K,)
    values: FloatArray  # (n, K, d)
    remainder: FloatArray  # (n, K)
    additive: bool

    def log_odds(self) -> FloatArray:
        """Log p(class | row) / p(reference | row), (n, K)."""
        return np.asarray(self.prior + self.values.sum(axis=2) + self.remainder)


def contributions(
    story: Any,
    x: FloatArray,
    groups: list[list[int]],
    columns: tuple[Any, ...],
    classes: tuple[Any, ...],
    reference: int = 0,
) -> Contributions:
    """Split the log-odds of every class over the columns.

    Parameters
    ----------
    story
        A mixture or class-conditional story.
    x : (n, d) array
    groups : list of list of int
        Which columns of ``x`` make up each of the named columns.
    columns, classes : tuple
        Their names.
    reference : int
        The class against which evidence is measured.
    """
    with np.errstate(invalid="ignore"):
        prior = story.log_weights - story.log_weights[reference]
    prior[reference] = 0.0  # also where its probability is 0
    # What the columns say does not depend on the priors, of which some may be 0.
    story = story.with_log_weights(np.full(story.n_classes, -np.log(story.n_classes)))
    joint = log_joint(story, x)
    odds = joint - joint[:, reference : reference + 1]
    family = getattr(story, "family", None)
    told = None if family is None else family.log_prob_groups(x, groups)
    additive = told is not None
    if told is not None:
        values = told - told[:, reference : reference + 1, :]
    else:
        values = np.zeros((int(x.shape[0]), story.n_classes, len(columns)))
        for i, group in enumerate(groups):
            without = np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype=float).copy()
            without[:, group] = np.nan
            lost = log_joint(story, without)
            values[:, :, i] = odds - (lost - lost[:, reference : reference + 1])
    remainder = np.zeros_like(odds) if additive else odds - values.sum(axis=2)
    return Contributions(columns, classes, reference, prior, values, remainder, additive)
