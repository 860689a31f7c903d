"""Missing cells of sequences, filled from both sides."""

from __future__ import annotations

from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences
from fabula.core.errors import UsageError
from fabula.estimators.sequences.forecast import flat_bank
from fabula.families.base import Family
from fabula.structures.mixture import Mixture

__all__ = ["impute_steps"]

_CANDIDATES = 41


def impute_steps(
    story: Any,
    sequences: Sequences,
    how: str,
    levels: dict[int, int],
    rng: np.random.Generator,
) -> FloatArray:
    """Complete steps (N, d).

    Given the rest of the sequence, a step is a mixture over its states: their posterior weighs
    what each of them expects in the missing cells.
    """
    if how not in ("mean", "mode", "draw"):
        raise UsageError(f"how must be 'mean', 'mode' or 'draw', not {how!r}.")
    x = sequences.steps
    if hasattr(x, "toarray"):
        raise UsageError("Sequences with columns of text cannot be filled in.")
    missing = np.isnan(x)
    if not missing.any():
        return np.array(x, dtype=np.float64)
    if how == "draw":
        return np.asarray(story.complete(sequences, rng))
    rows = np.flatnonzero(missing.any(axis=1))
    bank, told = _told(story, sequences, rows)
    flat = Mixture(np.full(bank.n_members, -np.log(bank.n_members)), bank)
    from fabula.questions.impute import impute

    filled = np.array(x, dtype=np.float64)
    mean = impute(flat, x[rows], "mean", levels=levels, told=told)
    filled[rows] = mean
    if how == "mode":
        for j in range(x.shape[1]):
            if j not in levels and missing[:, j].any():
                here = missing[rows, j]
                filled[rows[here], j] = _modes(bank, x[rows[here]], told[here], j, mean[here, j])
    return filled


def _told(story: Any, sequences: Sequences, rows: np.ndarray) -> tuple[Family, FloatArray]:
    """A bank without mixtures inside, and the posterior (m, members) at the given steps."""
    posterior = np.asarray(story.state_posterior(sequences)[1])[rows]
    bank, _ = flat_bank(story.emission, posterior)
    if bank is story.emission:
        return bank, posterior
    # Within a state, what was seen of the step says which component it came from.
    within = story.emission.shares(sequences.steps[rows])
    return bank, np.asarray((within * posterior[:, :, None]).reshape(len(rows), -1))


def _modes(
    bank: Family, x: FloatArray, told: FloatArray, column: int, mean: FloatArray
) -> FloatArray:
    """The value (m,) with the largest density given everything else, to a fine grid.

    Candidates are each member's own expectation, the mean of all, and a grid that is refined
    about the best of them.
    """
    m, n_members = told.shape
    own = np.stack([bank.complete(x, np.full(m, k))[:, column] for k in range(n_members)])
    whole = _is_discrete(bank, column)
    if whole:
        own, mean = np.rint(own), np.rint(mean)
    with np.errstate(divide="ignore"):
        # p(value, member | rest) = p(member | rest) p(value | seen cells, member).
        log_context = np.log(told) - np.asarray(bank.log_prob(x), dtype=np.float64)
    candidates = np.concatenate([own, mean[None, :]])
    members = np.repeat(np.arange(n_members), 200)
    deviation = float(bank.sample(members, np.random.default_rng(0))[:, column].std())
    spread = np.maximum(own.max(axis=0) - own.min(axis=0), 4.0 * deviation + 1e-12)
    best = _best(bank, x, log_context, column, candidates)
    for _ in range(4):
        grid = best[None, :] + spread * np.linspace(-0.5, 0.5, _CANDIDATES)[:, None]
        if whole:
            grid = np.maximum(np.rint(grid), 0.0)
        best = _best(bank, x, log_context, column, np.concatenate([grid, best[None, :]]))
        spread = spread / 12.0
    return best


def _is_discrete(bank: Family, column: int) -> bool:
    part = bank.univariate_part(column)
    return part is not None and bool(getattr(part[0], "discrete", False))


def _best(
    bank: Family, x: FloatArray, log_context: FloatArray, column: int, candidates: FloatArray
) -> FloatArray:
    """For each row the candidate (m,) of (c, m) with the largest density."""
    scores = np.empty_like(candidates)
    trial = np.array(x, dtype=np.float64)
    for i, values in enumerate(candidates):
        trial[:, column] = values
        joint = log_context + np.asarray(bank.log_prob(trial), dtype=np.float64)
        scores[i] = np.logaddexp.reduce(joint, axis=1)
    return np.asarray(candidates[scores.argmax(axis=0), np.arange(len(x))])
