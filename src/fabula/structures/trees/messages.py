"""Two passes of messages over a tree of hidden states, for a block of rows at a time.

Up: what the cells below a node say of its state. Down: what all cells say. Every message is a
matrix product of n × H by H × H (Pearl 1988, Probabilistic Reasoning in Intelligent Systems,
section 4.3; scaled row by row as in Rabiner 1989, Proc. IEEE 77:257, section V.A).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError

__all__ = ["TreeShape", "UpwardPass", "careful_upward", "downward", "scale_rows", "upward"]

_SMALLEST = {"float32": 1e-30, "float64": 1e-290}

Evidence = Callable[[int], FloatArray | None]


@dataclass(frozen=True)
class TreeShape:
    """Which node hangs on which: ``parents[i] < i`` for every node but the root, which is 0."""

    parents: NDArray[np.intp]

    def __post_init__(self) -> None:
        parents = self.parents
        if parents.ndim != 1 or not len(parents) or parents[0] != -1:
            raise UsageError("parents must be a list of nodes that begins with -1 for the root.")
        if len(parents) > 1 and (
            parents[1:].min() < 0 or np.any(parents[1:] >= np.arange(1, len(parents)))
        ):
            raise UsageError("Every node but the first must hang on one that stands before it.")

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """The children of each node."""
        out: list[list[int]] = [[] for _ in self.parents]
        for i, parent in enumerate(self.parents.tolist()):
            if parent >= 0:
                out[parent].append(i)
        return tuple(tuple(found) for found in out)


@dataclass(frozen=True)
class UpwardPass:
    """What the cells at and below each node say of its state.

    Parameters
    ----------
    beliefs : list of (n, H) arrays
        Proportional to p(cells at and below node i | state of i); every row sums to 1.
    messages : list of (n, H) arrays, None at the root
        ``beliefs[i] @ transitions[i].T``: the same of the state of the parent.
    posterior : (n, H) array
        Posterior of the root.
    total : (n,) array
        Sum of the belief of the root times its prior; 0 where the row came out empty.
    log_evidence : (n,) array
        Log probability of the cells in nats, up to the scales of the evidence itself. -inf where
        a row came out empty: the numbers ran out of range, or the row is impossible.
    """

    beliefs: list[FloatArray]
    messages: list[FloatArray | None]
    posterior: FloatArray
    total: FloatArray
    log_evidence: FloatArray


def scale_rows(values: FloatArray) -> FloatArray:
    """Divide each row by its sum, in place; the sums (n,). Rows of zeros become even."""
    # A product with ones is several times as fast as a sum along rows.
    sums = values @ np.ones(values.shape[1], dtype=values.dtype)
    # What is smaller has lost its digits, or its inverse has no number.
    usable = sums > _SMALLEST[values.dtype.name]
    if usable.all():
        values *= (1.0 / sums)[:, None]
        return sums
    values[~usable] = 1.0
    values /= np.where(usable, sums, values.shape[1])[:, None]
    return np.asarray(np.where(usable, sums, 0.0))


def upward(
    shape: TreeShape,
    root: FloatArray,
    transitions: Sequence[FloatArray] | FloatArray,
    evidence: Evidence,
    n: int,
) -> UpwardPass:
    """Beliefs and messages from the leaves to the root.

    Parameters
    ----------
    shape : TreeShape
    root : (H,) array
        Probabilities of the states of the root.
    transitions : (m, H, H) array
        ``transitions[i][g, h]``: probability of state h at node i where its parent is in g.
    evidence : callable
        Node → (n, H) array that may be written over, proportional to the probability of the cells
        at the node given its state; None where there is no cell.
    n : int
        Number of rows.
    """
    m, dtype = len(shape), root.dtype
    beliefs: list[Any] = [None] * m
    messages: list[Any] = [None] * m
    log_scale = np.zeros(n)
    # Two messages and the evidence can be multiplied in single precision without running out of
    # numbers; after them each row is scaled.
    with np.errstate(divide="ignore", under="ignore"):
        for i in range(m - 1, -1, -1):
            belief = evidence(i)
            factors = 0 if belief is None else 1
            for child in shape.children[i]:
                if belief is None:
                    belief = messages[child].copy()
                else:
                    if factors >= 3:
                        log_scale += np.log(scale_rows(belief))
                        factors = 1
                    belief *= messages[child]
                factors += 1
            if belief is None:
                belief = np.full((n, len(root)), 1.0 / len(root), dtype=dtype)
                log_scale += np.log(len(root))
            else:
                log_scale += np.log(scale_rows(belief))
            beliefs[i] = belief
            if i:
                messages[i] = belief @ transitions[i].T
        joint = beliefs[0] * root
        total = scale_rows(joint)
        log_evidence = log_scale + np.log(total)
    return UpwardPass(beliefs, messages, joint, total, log_evidence)


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient, 0 where the denominator is 0 (the numerator is too)."""
    out = np.zeros_like(numerator)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def downward(
    shape: TreeShape,
    transitions: Sequence[FloatArray] | FloatArray,
    up: UpwardPass,
    posterior: FloatArray,
    visit: Callable[[int, FloatArray, FloatArray | None], None],
) -> None:
    """Posteriors of the states of every node, from the root to the leaves.

    ``posterior`` (n, H) is that of the root, times the weight of each row. ``visit(i, posterior
    of i, outside)`` is called for every node, where ``outside`` (n, H) is the posterior of the
    parent over the message to it: the expected number of transitions from g to h is
    ``transitions[i][g, h] * (outside.T @ beliefs[i])[g, h]``.
    """
    held: dict[int, FloatArray] = {0: posterior}
    left = [len(children) for children in shape.children]
    visit(0, posterior, None)
    for i in range(1, len(shape)):
        parent = int(shape.parents[i])
        message = up.messages[i]
        assert message is not None
        outside = _ratio(held[parent], message)
        mine = outside @ transitions[i]
        mine *= up.beliefs[i]
        visit(i, mine, outside)
        left[parent] -= 1
        if not left[parent]:
            del held[parent]
        if left[i]:
            held[i] = mine


def careful_upward(
    shape: TreeShape,
    root: FloatArray,
    transitions: Sequence[FloatArray] | FloatArray,
    log_evidence: Evidence,
    n: int,
) -> UpwardPass:
    """As `upward`, on the logarithm of the evidence: for rows in which numbers run out of range.

    ``total`` is 0 and ``log_evidence`` -inf where the cells of a row are impossible.
    """
    m = len(shape)
    logs: list[Any] = [np.zeros((n, len(root))) for _ in range(m)]
    beliefs: list[Any] = [None] * m
    messages: list[Any] = [None] * m
    scale = np.zeros(n)
    with np.errstate(divide="ignore", invalid="ignore", under="ignore"):
        for i in range(m - 1, -1, -1):
            told = log_evidence(i)
            if told is not None:
                logs[i] += told
            largest = logs[i].max(axis=1)
            largest = np.where(np.isneginf(largest), 0.0, largest)
            beliefs[i] = np.exp(logs[i] - largest[:, None])
            scale += largest
            if i:
                messages[i] = beliefs[i] @ transitions[i].T
                logs[shape.parents[i]] += np.log(messages[i])
            logs[i] = None
        joint = beliefs[0] * root
        total = scale_rows(joint)
        return UpwardPass(beliefs, messages, joint, total, scale + np.log(total))
