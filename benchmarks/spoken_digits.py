"""Spoken digits: hidden Markov models of words, for speakers heard before and for new ones.

Recordings of ten words by four speakers (the Free Spoken Digit Dataset), as mel-frequency cepstral
coefficients with their slopes. A chain from left to right tells the story of each word, and
Bayes' rule recognises it. Every recording is learned from at three warps of the mel axis, which
stand for more voices than there are, and heard at three narrower ones. Needs the folder that
FABULA_DATA names.

Numbers of bands and of coefficients are chosen for each new speaker by the other speakers alone:
each of these is left out in turn, and the setting with the fewest errors on them is taken. The
rest is fixed. Calibration error is over the recordings of all splits together.
"""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from scipy.special import softmax

from benchmarks.timing import print_table
from fabula import Calibrated, GenerativeClassifier, HiddenMarkovModel
from fabula.evaluation.calibration_error import expected_calibration_error
from fabula.sequences import normalised_together, sound_features

SPLITS = 3
WARPS = (0.9, 1.0, 1.1)
"""At which recordings are learned from."""
HEARD = (0.95, 1.0, 1.05)
"""At which they are recognised; the mean of the logarithms of the probabilities counts."""
GRID = tuple(product((16, 23), (10, 13)))
"""Bands and coefficients to choose from."""


@dataclass(frozen=True)
class Recordings:
    """Frames (T, d) of each recording at each warp, the digit, and who speaks."""

    frames: dict[float, list[np.ndarray]]
    digits: np.ndarray
    speakers: np.ndarray


@dataclass(frozen=True)
class Result:
    """What was said of recordings that were not learned from."""

    probabilities: np.ndarray
    truth: np.ndarray

    @property
    def error(self) -> float:
        """Share of the recordings that were taken for another digit."""
        return float(np.mean(self.probabilities.argmax(axis=1) != self.truth))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error, top class."""
        found = expected_calibration_error(
            self.truth, self.probabilities, n_bootstrap=1, random_state=0
        )
        return float(found.value)

    @property
    def log_loss(self) -> float:
        """Nats a recording."""
        of_truth = self.probabilities[np.arange(len(self.truth)), self.truth]
        return float(-np.log(of_truth).mean())


@dataclass(frozen=True)
class _CopiesApart:
    """Leaves out all copies of the recordings of a fold, and asks about the plain ones."""

    folds: np.ndarray

    def split(
        self, X: object, y: object = None, groups: object = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows to learn from, and rows to speak about."""
        copies = np.tile(self.folds, len(WARPS))
        plain = np.repeat(np.array(WARPS) == 1.0, len(self.folds))
        for fold in np.unique(self.folds):
            yield np.flatnonzero(copies != fold), np.flatnonzero((copies == fold) & plain)


def run() -> None:
    """Errors for speakers that were heard before, and for each speaker in turn who was not."""
    warnings.simplefilter("ignore")
    data = load()
    speakers = np.unique(data.speakers)
    found: dict[str, list[Result]] = {
        f"{SPLITS} random splits, 80 % learned": [
            evaluate(data, *random_split(data, seed)) for seed in range(SPLITS)
        ]
    }
    for seed in range(SPLITS):
        learned, tested = random_split(data, seed)
        rng = np.random.default_rng(100 + seed)
        labelled = np.sort(rng.choice(learned, size=len(learned) // 4, replace=False))
        rest = np.setdiff1d(learned, labelled)
        alone, together = "random splits, 20 % learned", "the same, and 60 % without labels"
        found.setdefault(alone, []).append(evaluate(data, labelled, tested))
        found.setdefault(together, []).append(evaluate(data, labelled, tested, unlabelled=rest))
    chosen: list[str] = []
    for speaker in speakers:
        for together in (False, True):
            bands, coefficients = choose(str(speaker), together=together)
            heard = load(together=together, n_bands=bands, n_coefficients=coefficients)
            others, mine = speaker_split(heard, speaker)
            what = "new speaker, voice as a whole" if together else "new speaker"
            found.setdefault(what, []).append(evaluate(heard, others, mine, new_speaker=True))
            chosen.append(f"{bands} x {coefficients}")
        found.setdefault("the same, and theirs without labels", []).append(
            evaluate(heard, others, mine, new_speaker=True, unlabelled=mine)
        )
    rows = [_row(what, results) for what, results in found.items()]
    print_table(["what is learned from", "error, %", "each, %", "ECE", "log loss"], rows)
    print(f"speakers: {', '.join(map(str, speakers))}; bands x coefficients: {', '.join(chosen)}")


def _row(what: str, results: Sequence[Result]) -> list[object]:
    errors = np.array([100 * result.error for result in results])
    pooled = Result(
        np.concatenate([result.probabilities for result in results]),
        np.concatenate([result.truth for result in results]),
    )
    each = ", ".join(f"{error:.1f}" for error in errors)
    return [what, f"{errors.mean():.1f}", each, pooled.calibration_error, pooled.log_loss]


def model() -> GenerativeClassifier:
    """A chain of six states for each word; each state a normal distribution."""
    chain = HiddenMarkovModel(
        6,
        "full",
        topology="left-right",
        prior_strength=500.0,
        max_iter=5,
        tol=1e-3,
        random_state=0,
    )
    return GenerativeClassifier(chain, max_iter=3)


@cache
def load(
    every: int = 1, *, together: bool = False, n_bands: int = 16, n_coefficients: int = 10
) -> Recordings:
    """One of every so many recordings.

    Every column has mean 0 and variance 1: over each recording, or over all of a speaker's
    ``together``.
    """
    folder = Path(os.environ["FABULA_DATA"]) / "spoken-digits"
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if int(row["index"]) % every == 0]
    speakers = np.array([row["speaker"] for row in rows])
    frames = {}
    for warp in sorted({*WARPS, *HEARD}):
        frames[warp] = [
            sound_features(
                folder / "recordings" / row["file"],
                n_coefficients=n_coefficients,
                n_bands=n_bands,
                warp=warp,
                normalise=not together,
            )
            for row in rows
        ]
        if together:
            frames[warp] = normalised_together(frames[warp], speakers.tolist())
    return Recordings(frames, np.array([int(row["digit"]) for row in rows]), speakers)


def random_split(data: Recordings, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Recordings to learn from and to test with, whoever speaks."""
    order = np.random.default_rng(seed).permutation(len(data.digits))
    held = len(order) // 5
    return np.sort(order[held:]), np.sort(order[:held])


def speaker_split(data: Recordings, speaker: str) -> tuple[np.ndarray, np.ndarray]:
    """The recordings of all others, and those of one speaker."""
    mine = data.speakers == speaker
    return np.flatnonzero(~mine), np.flatnonzero(mine)


def choose(speaker: str, *, together: bool) -> tuple[int, int]:
    """Bands and coefficients with the fewest errors on the other speakers, each left out."""
    errors = []
    for bands, coefficients in GRID:
        others = sorted(set(load().speakers.tolist()) - {speaker})
        errors.append(
            sum(
                _errors_on(heard, frozenset(others) - {heard}, bands, coefficients, together)
                for heard in others
            )
        )
    return GRID[int(np.argmin(errors))]


@cache
def _errors_on(
    speaker: str, voices: frozenset[str], bands: int, coefficients: int, together: bool
) -> int:
    data = load(together=together, n_bands=bands, n_coefficients=coefficients)
    mine = np.flatnonzero(data.speakers == speaker)
    said = _learned(voices, bands, coefficients, together).predict(
        [data.frames[1.0][i] for i in mine]
    )
    return int(np.sum(said != data.digits[mine]))


@cache
def _learned(
    voices: frozenset[str], bands: int, coefficients: int, together: bool
) -> GenerativeClassifier:
    data = load(together=together, n_bands=bands, n_coefficients=coefficients)
    learned = np.flatnonzero(np.isin(data.speakers, list(voices)))
    frames = [data.frames[warp][i] for warp in WARPS for i in learned]
    return model().fit(frames, np.tile(data.digits[learned], len(WARPS)))


def evaluate(
    data: Recordings,
    learned: np.ndarray,
    tested: np.ndarray,
    *,
    new_speaker: bool = False,
    unlabelled: np.ndarray | None = None,
) -> Result:
    """Learn from some recordings, and from others without their labels; recognise the rest.

    The map to calibrated probabilities is learned from recordings, as they are, that a fold left
    out at all warps: of whole speakers, where it shall hold for speakers who were not heard.
    """
    frames = [data.frames[warp][i] for warp in WARPS for i in learned]
    labels = data.digits[learned].tolist() * len(WARPS)
    if unlabelled is not None:
        frames += [data.frames[1.0][i] for i in unlabelled]
        labels += [None] * len(unlabelled)
    if new_speaker:
        folds = np.unique(data.speakers[learned], return_inverse=True)[1]
    else:
        folds = np.random.default_rng(0).permutation(len(learned)) % 5
    classifier = Calibrated(model(), cv=_CopiesApart(folds))
    classifier.fit(frames, labels)
    heard = [classifier.predict_log_proba([data.frames[warp][i] for i in tested]) for warp in HEARD]
    probabilities = softmax(np.mean(heard, axis=0), axis=1)
    return Result(probabilities, np.searchsorted(classifier.classes_, data.digits[tested]))
