"""The probabilities behind the scores of an aligner.

A scoring scheme in which unrelated letters lose on average is, in some unit, the log odds of a
story (Durbin et al. 1998, Biological Sequence Analysis, section 4.1; Frith 2020, Bioinformatics
36:408). The unit follows from the probabilities of aligned letters having to sum to 1. That those
of the moves do, too, costs every letter a little, whichever way it is aligned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.structures.pairs.gaps import affine_story, gap_transitions, independent_stop
from fabula.structures.pairs.hidden_markov import PairHiddenMarkov

__all__ = ["ScoredStory", "story_of_scores"]


@dataclass(frozen=True)
class ScoredStory:
    """A story, and what scores are in it."""

    story: PairHiddenMarkov
    scale: float  # nats of log odds per unit of score
    per_letter: float  # nats that each letter of x and of y adds to the log odds; not positive


def story_of_scores(
    scores: FloatArray,
    gap_open: float,
    gap_extend: float,
    frequencies: FloatArray,
    *,
    mean_length: float,
    **options: Any,
) -> ScoredStory:
    """The story whose most probable alignments are those of highest score.

    Parameters
    ----------
    scores : (A, A) array
        Score of aligning each letter of x with each of y.
    gap_open, gap_extend : float
        Scores, negative, of the first letter of a gap and of each further one.
    frequencies : (A,) array
        Letters of unrelated sequences.
    mean_length, **options
        As of `affine_story`.

    Returns
    -------
    ScoredStory
        The log odds of an alignment that takes all of x and y are ``scale`` times its score, plus
        ``per_letter`` for each letter of both, plus a constant: so the best alignment is that of
        the aligner. With free ends, the cost of a letter makes alignments a little shorter.

    Raises
    ------
    UsageError
        No story has such scores: no letters gain, or unrelated letters gain on average.
    """
    if not (gap_open < 0 and gap_extend < 0 and np.isfinite(gap_open + gap_extend)):
        raise UsageError(
            f"gap_open and gap_extend are scores, so negative numbers, not {gap_open!r} and "
            f"{gap_extend!r}."
        )
    if not np.isfinite(scores).all():
        raise UsageError("The scores of letters must be finite numbers.")
    chance = np.outer(frequencies, frequencies)
    if not (scores.max() > 0 and float((chance * scores).sum()) < 0):
        raise UsageError(
            "Scores of letters must gain (be positive) for some letters and lose on average for "
            f"unrelated ones; here the highest is {scores.max():.4g} and the average "
            f"{(chance * scores).sum():.4g}."
        )
    scale = _scale(scores, chance)
    odds = chance * np.exp(scale * scores)
    # A letter's price u makes the moves sum to 1: g = 1 - u, ε = E u and g (1 - ε) / (1 - g) = D u
    # for a gap that opens at D and goes on at E times the odds of a letter by chance.
    stop = independent_stop(1.0 / (mean_length + 1.0))
    first, further = (float(np.exp(scale * gap)) * (1.0 - stop) for gap in (gap_open, gap_extend))
    half = (1.0 - further) / 2.0
    root = float(np.sqrt(half * half + first))
    price = 1.0 / ((1.0 + further) / 2.0 + root)
    # 1 - price, without losing what is left of gaps that cost very much.
    opening = first / (root + half) * price
    story = affine_story(
        odds / odds.sum(),
        gap_transitions(opening, opening, [further * price], [further * price], [1.0]),
        insert=frequencies,
        delete=frequencies,
        background=frequencies,
        mean_length=mean_length,
        **options,
    )
    return ScoredStory(story, scale, float(np.log(price)))


def _scale(scores: FloatArray, chance: FloatArray) -> float:
    """Nats of a unit of score: the probabilities of aligned letters sum to 1 (Altschul 1991)."""
    from scipy.optimize import brentq

    def excess(scale: float) -> float:
        return float((chance * np.exp(scale * scores)).sum()) - 1.0

    high = 1.0 / float(scores.max())
    while excess(high) <= 0:
        high *= 2.0
    low = high
    while excess(low) > 0:
        low /= 2.0
    return float(brentq(excess, low, high, xtol=1e-14))
