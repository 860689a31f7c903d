"""What parameters and letters of a pair hidden Markov model must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fabula.core.errors import DataError, UsageError
from fabula.structures.pairs.blocks import Pairs

if TYPE_CHECKING:
    from fabula.structures.pairs.hidden_markov import PairHiddenMarkov

__all__ = ["ENDS", "check_letters", "validate"]

# Which ends are free, and the number that kernels know it by.
ENDS = {"global": 0, "read": 1, "local": 2, "overlap": 3}


def validate(story: PairHiddenMarkov) -> None:
    """Raise UsageError where the parameters are not those of a story."""
    a, s = len(story.match), len(story.log_start)
    shapes = {
        "match": (a, a),
        "insert": (a,),
        "delete": (a,),
        "log_start": (s,),
        "log_transitions": (s, s),
        "log_end": (s,),
        "background": (a,),
    }
    for name, shape in shapes.items():
        if np.shape(getattr(story, name)) != shape:
            raise UsageError(f"{name} must have the shape {shape}, as match and log_start say.")
    if s not in (3, 5):
        raise UsageError(f"A pair hidden Markov model has 3 or 5 states, not {s}.")
    if story.ends not in ENDS:
        raise UsageError(f"ends must be one of {', '.join(ENDS)}, not {story.ends!r}.")
    if not 0.0 < story.background_stop < 1.0:
        raise UsageError("background_stop must lie between 0 and 1.")
    if not np.all(story.background > 0):
        raise UsageError("Every letter needs a positive probability in the background.")
    moves = np.exp(story.log_transitions).sum(axis=1) + np.exp(story.log_end)
    sums = {
        "match": np.sum(story.match),
        "insert": np.sum(story.insert),
        "delete": np.sum(story.delete),
        "background": np.sum(story.background),
        "log_start with log_empty": np.exp(story.log_start).sum() + np.exp(story.log_empty),
        "each row of log_transitions with its log_end": moves,
    }
    for name, total in sums.items():
        if not np.allclose(total, 1.0, rtol=0, atol=1e-6):
            raise UsageError(f"The probabilities of {name} must sum to 1.")
    for name in ("match", "insert", "delete"):
        if not np.all(getattr(story, name) >= 0):
            raise UsageError(f"{name} must hold no negative probability and no NaN.")


def check_letters(story: PairHiddenMarkov, pairs: Pairs) -> None:
    """Raise DataError where a letter is none of the story's."""
    for name, side in (("x", pairs.x), ("y", pairs.y)):
        if len(side.steps) and int(side.steps.max()) > story.n_letters:
            place = int(np.argmax(side.steps > story.n_letters))
            row = int(np.searchsorted(side.offsets, place, side="right"))
            raise DataError(
                f"Sequence {row} of {name} (counted from 1) has the letter code "
                f"{int(side.steps[place])}; codes run from 0 to {story.n_letters}, the last "
                "for a letter that is unknown."
            )
