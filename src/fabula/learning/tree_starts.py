"""Where the learning of a latent tree begins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.families.base import Family
from fabula.structures.trees.latent_tree import LatentTree

__all__ = ["split_states", "tree_from_rows"]


def tree_from_rows(
    parents: NDArray[np.intp],
    nodes: NDArray[np.intp],
    pooled: tuple[Family, ...],
    x: FloatArray,
    n_states: int,
    rng: np.random.Generator,
    *,
    sharpness: float = 1.0,
    loyalty: float = 0.5,
) -> LatentTree:
    """A tree each of whose states begins at one row of the data.

    State k of every node looks like row r_k, smoothed towards all rows; a node is in the state of
    its parent with probability ``loyalty``, else in any.

    Parameters
    ----------
    parents, nodes
        As in `LatentTree`.
    pooled : tuple of Family
        For each column a bank of one member, fitted to all rows.
    x : (n, d) array
        Rows to begin from; missing cells look like all rows.
    n_states : int
        H.
    sharpness : float
        How many rows the pooled rows count beside the one.
    loyalty : float
        Between 0 and 1.
    """
    n = len(x)
    chosen = rng.choice(n, size=n_states, replace=n < n_states)
    one_each = np.eye(n_states)
    everyone = np.zeros(n_states, dtype=np.intp)
    emissions: list[Any] = []
    for j, bank in enumerate(pooled):
        copies = bank.select(everyone)
        prior = copies.pseudo_observations(sharpness)
        emissions.append(copies.maximise(copies.statistics(x[chosen][:, [j]], one_each), prior))
    m = len(parents)
    stay = loyalty * np.eye(n_states) + (1.0 - loyalty) / n_states
    stay /= stay.sum(axis=1, keepdims=True)
    return LatentTree(
        np.asarray(parents, dtype=np.intp),
        np.asarray(nodes, dtype=np.intp),
        np.full(n_states, 1.0 / n_states),
        np.tile(stay, (m - 1, 1, 1)),
        tuple(emissions),
    )


def split_states(
    tree: LatentTree,
    n_states: int,
    rng: np.random.Generator,
    *,
    evenness: float = 1.0,
    loyalty: float = 3.0,
    likeness: float = 10.0,
) -> LatentTree:
    """States of every node split in two, which are reached by chance in different shares.

    Each half of a state is drawn towards one value that the state itself draws, and how often it
    is reached from each state of the parent is drawn from a Beta distribution; the first half of a
    parent leads to first halves more often. Halves that were exactly alike would stay alike: EM
    rests where nothing tells two states apart.

    Parameters
    ----------
    tree : LatentTree
    n_states : int
        States afterwards, at most twice as many as before.
    rng : Generator
    evenness, loyalty : float
        Beta(evenness, evenness), with ``loyalty`` added on the side of the parent's own half.
    likeness : float
        How many draws a half is still worth beside the one it is drawn towards.
    """
    h = tree.n_states
    chosen = np.sort(rng.choice(h, size=n_states - h, replace=False))
    twins = np.sort(np.concatenate([np.arange(h), chosen]))
    is_first = np.append(True, twins[1:] != twins[:-1])
    has_twin = np.isin(twins, chosen)

    def shares(towards: FloatArray, away: FloatArray) -> FloatArray:
        first = rng.beta(towards[:, None], away[:, None], size=(len(towards), h))
        both = np.stack([first, 1.0 - first], axis=-1)
        return np.where(has_twin, both[:, twins, np.where(is_first, 0, 1)], 1.0)

    even = np.full(n_states, evenness)
    towards = np.where(has_twin & is_first, even + loyalty, even)
    away = np.where(has_twin & ~is_first, even + loyalty, even)
    root = tree.root[twins] * shares(even[:1], even[:1])[0]
    transitions = tree.transitions[:, twins][:, :, twins]
    transitions = transitions * np.array(
        [shares(towards, away) for _ in range(tree.n_nodes - 1)]
    ).reshape(transitions.shape)
    return LatentTree(
        tree.parents,
        tree.nodes,
        root / root.sum(),
        transitions / transitions.sum(axis=2, keepdims=True),
        tuple(_drawn_apart(bank, twins, likeness, rng) for bank in tree.emissions),
    )


def _drawn_apart(
    bank: Family, twins: NDArray[np.intp], likeness: float, rng: np.random.Generator
) -> Family:
    """The bank of the halves, each drawn towards a value of its own."""
    halves = bank.select(twins)
    drawn = bank.sample(twins, rng)
    told = halves.statistics(drawn, np.eye(len(twins)))
    return halves.maximise(told, halves.pseudo_observations(likeness))
