"""Scores of aligners as log odds: checked against aligners."""

from __future__ import annotations

import numpy as np
import pytest

from fabula.core.errors import UsageError
from fabula.structures.pairs.aligner_scores import story_of_scores
from fabula.structures.pairs.blocks import Pairs

FLAT = np.full(4, 0.25)


def letter_scores(match: float, mismatch: float) -> np.ndarray:
    return np.where(np.eye(4, dtype=bool), match, mismatch)


@pytest.mark.parametrize(
    ("match", "mismatch", "gap_open", "gap_extend"),
    [(1.0, -1.0, -2.0, -0.5), (5.0, -4.0, -10.0, -0.5), (2.0, -3.0, -7.0, -2.0)],
)
def test_the_best_alignment_has_biopythons_score(match, mismatch, gap_open, gap_extend):
    align = pytest.importorskip("Bio.Align")
    scored = story_of_scores(
        letter_scores(match, mismatch), gap_open, gap_extend, FLAT, mean_length=50
    )
    theirs = align.PairwiseAligner(
        mode="global",
        match_score=match,
        mismatch_score=mismatch,
        open_gap_score=gap_open,
        extend_gap_score=gap_extend,
    )
    rng = np.random.default_rng(0)
    story = scored.story
    # What every alignment has beside its score: the end where a match would stand.
    constant = story.log_empty - 2 * np.log(story.background_stop)
    for _ in range(20):
        x = rng.integers(0, 4, rng.integers(1, 60))
        y = x.copy()[rng.random(len(x)) < 0.85]
        y = np.where(rng.random(len(y)) < 0.2, rng.integers(0, 4, len(y)), y)
        y = np.concatenate([y, rng.integers(0, 4, 2)])
        pairs = Pairs.of([x], [y])
        log_odds = story.viterbi(pairs)[1] - story.log_prob_independent(pairs)
        text = ["".join("ACGT"[c] for c in codes) for codes in (x, y)]
        priced = log_odds[0] - constant - scored.per_letter * (len(x) + len(y))
        assert priced / scored.scale == pytest.approx(theirs.score(*text), abs=1e-8)


def test_dear_gaps_have_the_unit_of_karlin_and_altschul():
    # Without gaps the unit solves .25 e^λ + .75 e^(-λ) = 1, so that λ = log 3.
    scored = story_of_scores(letter_scores(1, -1), -40.0, -5.0, FLAT, mean_length=1e9)
    assert scored.scale == pytest.approx(np.log(3.0), abs=1e-6)
    assert np.diag(scored.story.match).sum() == pytest.approx(0.75, abs=1e-6)
    assert scored.per_letter == pytest.approx(0.0, abs=1e-6)


def test_moves_sum_to_one_however_cheap_gaps_are():
    scored = story_of_scores(letter_scores(1, -0.4), -0.1, -0.01, FLAT, mean_length=30)
    moves = np.exp(scored.story.log_transitions).sum(axis=1) + np.exp(scored.story.log_end)
    assert moves == pytest.approx(np.ones(3))
    assert scored.per_letter < 0


@pytest.mark.parametrize(
    ("scores", "gaps", "message"),
    [
        (letter_scores(1, -1), (2.0, -1.0), "negative numbers, not 2.0"),
        (letter_scores(1, -1), (-1.0, 0.0), "negative numbers"),
        (letter_scores(-1, -1), (-1.0, -1.0), "the highest is -1"),
        (letter_scores(5, -1), (-9.0, -1.0), "lose on average"),
        (letter_scores(np.nan, -1), (-1.0, -1.0), "finite"),
    ],
)
def test_scores_of_no_story(scores, gaps, message):
    with pytest.raises(UsageError, match=message):
        story_of_scores(scores, *gaps, FLAT, mean_length=50)
