"""How probable each class is given some cells of a row, told from draws of every class.

A generator has no density from which that would follow. So rows are drawn of each class, equally
many, and those that come nearest to the known cells vote, with the share of their class: Bayes'
rule with the density of each class estimated by its nearest draws (Fix and Hodges 1951). Draws that
are equally near all have a vote, so that for levels the answer is the share among draws that have
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fabula.core.arrays import FloatArray, Rows
from fabula.neural.adversarial.draws import vectors_of
from fabula.neural.row_batches import row_slices

if TYPE_CHECKING:
    from fabula.neural.adversarial.story import Adversarial

__all__ = ["Draws", "class_shares", "draws_of_classes"]

_DRAWS = 4096
# Where some columns are told, draws are made anew for each of their values.
_DRAWS_OF_TOLD = 1024
_FEWEST_OF_A_CLASS = 64
_NEIGHBOURS = 50
_MOST_ROWS = 512
# Distances by way of products are as exact as this.
_ROUNDING = 1e-4

Draws = tuple[FloatArray, np.ndarray]
"""Vectors (m, width) of draws, and the class (m,) of each."""


def draws_of_classes(story: Adversarial, told: Rows | None = None) -> Draws:
    """Equally many draws of every class, under what is told (1, all columns of the form)."""
    number = _DRAWS if told is None else _DRAWS_OF_TOLD
    labels = np.repeat(
        np.arange(story.n_classes), max(number // story.n_classes, _FEWEST_OF_A_CLASS)
    )
    empty = np.full((1, story.form_columns), np.nan) if told is None else told
    rng = np.random.default_rng(story.seed)
    rows = story.complete_whole(np.repeat(empty, len(labels), axis=0), labels, rng)
    return _vectors(story, rows), labels


def class_shares(story: Adversarial, whole: Rows) -> FloatArray:
    """Probability (n, C) of each class given the cells of rows (n, all columns) that are there.

    Columns that are always told say nothing of the class by themselves.
    """
    told = list(story.told)
    shares = np.tile(np.exp(story.log_weights), (len(whole), 1))
    free = np.setdiff1d(np.arange(whole.shape[1]), told)
    asked = np.flatnonzero(~np.isnan(whole[:, free]).all(axis=1))
    if not told:
        shares[asked] = _votes(story, whole[asked], story.draws_of_classes)
        return shares
    values, group = np.unique(whole[asked][:, told], axis=0, return_inverse=True)
    for k, value in enumerate(values):
        mine = asked[group.reshape(-1) == k]
        row = np.full((1, whole.shape[1]), np.nan)
        row[0, told] = value
        shares[mine] = _votes(story, whole[mine], draws_of_classes(story, row))
    return shares


def _votes(story: Adversarial, whole: Rows, draws: Draws) -> FloatArray:
    """Shares (n, C) of the classes among the draws that come nearest to rows."""
    vectors, labels = draws
    counts = np.bincount(labels, minlength=story.n_classes)
    weights = np.exp(story.log_weights) / counts
    of_draws = np.eye(story.n_classes)[labels] * weights
    columns = np.asarray(story.vectors.column_of)[: story.vectors.n_outputs]
    last = min(_NEIGHBOURS, len(labels)) - 1
    out = np.empty((len(whole), story.n_classes))
    for rows in row_slices(len(whole), _MOST_ROWS):
        part = whole[rows]
        known = ~np.isnan(part)[:, columns]
        here = _vectors(story, part) * known
        apart = known @ np.square(vectors).T - 2.0 * here @ vectors.T
        apart += np.square(here).sum(axis=1, keepdims=True)
        near = apart <= np.partition(apart, last, axis=1)[:, [last]] + _ROUNDING
        out[rows] = near @ of_draws
    return np.asarray(out / out.sum(axis=1, keepdims=True))


def _vectors(story: Adversarial, whole: Rows) -> FloatArray:
    """Numbers and codes of rows, without which cells are there; numbers in their middles."""
    return vectors_of(story.shape, whole)[:, : story.vectors.n_outputs]
