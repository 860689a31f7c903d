"""Latent trees that follow from others: given something, or without some columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError, DataError
from fabula.core.regions import Interval, OneOf, Region

if TYPE_CHECKING:
    from fabula.structures.trees.latent_tree import LatentTree

__all__ = ["IMPOSSIBLE_CONDITION", "absorb", "keep_columns", "log_evidence_of", "tell", "told_by"]

IMPOSSIBLE_CONDITION = (
    "The condition has probability 0 under this model, so nothing follows from it: "
    "give values that the model holds possible."
)


def log_evidence_of(tree: LatentTree, column: int, value: float | Region) -> FloatArray:
    """Log probability (H,), or log density, of a value, interval or set under each state."""
    bank = tree.emissions[column]
    if isinstance(value, Interval | OneOf):
        part = bank.univariate_part(0)
        if part is None:
            raise CannotAnswerError("condition on an interval or set", type(bank).__name__, "")
        return np.asarray(part[0].log_mass(part[1], value), dtype=np.float64)
    return np.asarray(bank.log_prob(np.array([[float(value)]]))[0], dtype=np.float64)


def told_by(tree: LatentTree, given: Mapping[int, float | Region]) -> tuple[LatentTree, float]:
    """The tree whose states know the condition, with all columns, and its log probability.

    The columns of the condition keep their banks, which no longer say what they would look like.
    """
    story, log_total = tell(tree, given)
    if not np.isfinite(log_total):
        raise DataError(IMPOSSIBLE_CONDITION)
    return story, log_total


def tell(tree: LatentTree, given: Mapping[int, float | Region]) -> tuple[LatentTree, float]:
    """As `told_by`; the log probability is -inf where the condition is impossible."""
    evidence = np.zeros((tree.n_nodes, tree.n_states))
    for column, value in given.items():
        evidence[tree.nodes[column]] += log_evidence_of(tree, column, value)
    return absorb(tree, evidence)


def absorb(tree: LatentTree, log_evidence: FloatArray) -> tuple[LatentTree, float]:
    """The tree of p(states) times evidence (m, H) of each node, and the log of its total.

    p(h | evidence) hangs together as p(h) does: the probability of a state given that of the
    parent is multiplied by all that is known at and below the node, and normalised (Lauritzen and
    Spiegelhalter 1988, J. R. Stat. Soc. B 50:157).
    """
    logs = log_evidence.astype(np.float64).copy()
    transitions = tree.transitions.copy()
    scale = 0.0
    with np.errstate(divide="ignore"):
        for i in range(tree.n_nodes - 1, -1, -1):
            largest = float(logs[i].max())
            if np.isneginf(largest):
                return tree, -np.inf
            scale += largest
            below = np.exp(logs[i] - largest)
            if not i:
                root = tree.root * below
                total = float(root.sum())
                return (
                    replace(tree, root=root / total if total > 0 else tree.root,
                            transitions=transitions),
                    scale + float(np.log(total)),
                )  # fmt: skip
            joint = tree.transitions[i - 1] * below
            message = joint.sum(axis=1)
            logs[tree.parents[i]] += np.log(message)
            # A state of the parent that cannot be has any transitions.
            np.divide(joint, message[:, None], out=transitions[i - 1], where=message[:, None] > 0)
    raise AssertionError("a tree has a root")


def keep_columns(tree: LatentTree, columns: Sequence[int]) -> LatentTree:
    """The tree of some columns, in that order, without nodes that say nothing of them.

    A leaf without columns sums to 1 and is cut; a node without columns between two others is
    summed out, which joins them by the product of two matrices. A root without columns that has
    one child gives way to it.
    """
    parents = {i: int(p) for i, p in enumerate(tree.parents)}
    steps: dict[int, FloatArray] = {i: tree.transitions[i - 1] for i in range(1, tree.n_nodes)}
    used = {int(tree.nodes[j]) for j in columns}
    root_node, root = 0, tree.root
    children: dict[int, set[int]] = {i: set(c) for i, c in enumerate(tree.shape.children)}
    for i in range(tree.n_nodes - 1, 0, -1):  # leaves first: cutting one may make another
        if i in used or len(children[i]) > 1:
            continue
        above = parents.pop(i)
        step = steps.pop(i)
        children[above].discard(i)
        for below in children.pop(i):
            parents[below] = above
            steps[below] = step @ steps[below]
            children[above].add(below)
    while root_node not in used and len(children[root_node]) == 1:
        (only,) = children.pop(root_node)
        root = root @ steps.pop(only)
        del parents[root_node]
        parents[only] = -1
        root_node = only
    order = sorted(parents)
    place = {node: i for i, node in enumerate(order)}
    n_states = tree.n_states
    transitions = np.array([steps[node] for node in order[1:]]).reshape(-1, n_states, n_states)
    return replace(
        tree,
        parents=np.array([place.get(parents[node], -1) for node in order], dtype=np.intp),
        nodes=np.array([place[int(tree.nodes[j])] for j in columns], dtype=np.intp),
        root=root / root.sum(),
        transitions=transitions / transitions.sum(axis=2, keepdims=True),
        emissions=tuple(tree.emissions[j] for j in columns),
    )
