"""The questions that a model of pairs answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.estimators.base.arguments import generator_of
from fabula.estimators.pairs.alignments import alignment_of, shared_columns, with_confidence
from fabula.estimators.pairs.input import PairInput, letters_of, read_pair, read_pairs
from fabula.learning.evolution import EvolutionFit, Interval
from fabula.sequences.alignment import Alignment
from fabula.sequences.alphabets import Alphabet
from fabula.structures.pairs.hidden_markov import PairHiddenMarkov

__all__ = ["PairQuestions"]

Decoding = Literal["viterbi", "posterior", "sample"]


class PairQuestions(BaseEstimator):
    """Questions about two sequences and their alignment."""

    alphabet: str
    band: int | None
    random_state: Any
    story_: PairHiddenMarkov

    # Reading ------------------------------------------------------------------------------------

    @property
    def _alphabet(self) -> Alphabet:
        return letters_of(self.alphabet)

    def _read(self, X: Any, Y: Any) -> PairInput:
        check_is_fitted(self, "story_")
        return read_pairs(X, Y, self._alphabet)

    def _read_one(self, x: Any, y: Any) -> tuple[PairInput, Any, Any]:
        check_is_fitted(self, "story_")
        found = read_pair(x, y, self._alphabet)
        return found, *found.pairs.pair(0)

    def _generator(self, random_state: Any) -> np.random.Generator:
        return generator_of(self.random_state if random_state is None else random_state)

    # Are they related? --------------------------------------------------------------------------

    def score_pairs(self, X: Any, Y: Any = None) -> FloatArray:
        """Log probability of each pair, over all its alignments, in nats.

        Parameters
        ----------
        X, Y : pairs
            Two sequences (texts or records), two lists of them, or X alone a list of pairs (x, y)
            or of alignments. A letter that is unknown is summed out.

        Returns
        -------
        (n,) array

        Raises
        ------
        DataError
            A character is no letter of the alphabet (the message names sequence and position), or
            a sequence is empty.
        """
        return np.asarray(self.story_.log_prob(self._read(X, Y).pairs, band=self.band))

    def score(self, X: Any, Y: Any = None) -> float:
        """Mean log probability of a pair, nats."""
        return float(self.score_pairs(X, Y).mean())

    def log_odds(self, X: Any, Y: Any = None) -> FloatArray:
        """Log odds of each pair being related rather than independent, nats, (n,).

        The independent story has the same background and lengths of its own; the odds are for
        equal prior probabilities of the two.
        """
        return np.asarray(self.story_.log_odds(self._read(X, Y).pairs, band=self.band))

    def predict_related(self, X: Any, Y: Any = None, *, prior: float = 0.5) -> FloatArray:
        """Probability that each pair is related, (n,), when a share ``prior`` of pairs is."""
        if not 0 <= prior <= 1:
            raise UsageError(f"prior is a probability, not {prior!r}.")
        with np.errstate(divide="ignore"):
            return np.asarray(expit(self.log_odds(X, Y) + np.log(prior) - np.log1p(-prior)))

    @property
    def n_parameters(self) -> int:
        """Number of free parameters."""
        check_is_fitted(self, "story_")
        evolution = getattr(self, "evolution_", None)
        if evolution is None:
            return int(self.story_.n_parameters)
        return int(len(evolution.parameters) + 3 * (evolution.substitution.name == "hky85"))

    # Alignments ---------------------------------------------------------------------------------

    def align(
        self,
        x: Any,
        y: Any,
        method: Decoding = "viterbi",
        *,
        gamma: float | None = None,
        random_state: Any = None,
    ) -> Alignment:
        """An alignment of two sequences, with the posterior probability of each column.

        Parameters
        ----------
        x, y : text or record
            In formats that know one, x is the reference.
        method : {"viterbi", "posterior", "sample"}
            The most probable alignment; the one with most columns expected to be right (the
            maximum of expected accuracy); or a draw from the posterior.
        gamma : float, optional
            For "posterior": what a true match gains against what a false one loses. Infinite, every
            match that may be true is wanted; 1, those more probable than not. By default infinite
            where no ends are free, and 1 where they are: there, letters that are more likely
            unrelated than aligned are left outside.
        random_state : int, Generator, RandomState or None
            For "sample"; None takes the ``random_state`` of the estimator.

        Returns
        -------
        Alignment
            ``confidence`` holds, for a column without a gap, the probability that its letters are
            aligned; for one with a gap, that its letter is aligned to none. ``log_posterior`` is
            the log probability of the whole path (of "viterbi"), nats.
        """
        found, a, b = self._read_one(x, y)
        log_posterior: float | None = None
        if method == "viterbi":
            paths, log_joint = self.story_.viterbi(found.pairs, band=self.band)
            path = paths[0]
            self._refuse_impossible(float(log_joint[0]))
            log_prob = self.story_.log_prob(found.pairs, band=self.band)
            log_posterior = min(float(log_joint[0] - log_prob[0]), 0.0)
        elif method == "posterior":
            path = self.story_.expected_accuracy_path(a, b, gamma, band=self.band)
        elif method == "sample":
            rng = self._generator(random_state)
            path = self.story_.sample_paths(a, b, 1, rng, band=self.band)[0]
        else:
            raise UsageError(f"method must be 'viterbi', 'posterior' or 'sample', not {method!r}.")
        alignment = alignment_of(path, found.names[0], found.sequences[0], log_posterior)
        return with_confidence(alignment, self.story_, a, b, self.band)

    def posterior_matrix(self, x: Any, y: Any, *, threshold: float | None = None) -> Any:
        """Probability (len x, len y) that each letter of x is aligned to each letter of y.

        Parameters
        ----------
        x, y : text or record
        threshold : float, optional
            Keep only larger probabilities, in a ``scipy.sparse.csr_array``: for long sequences.
        """
        _, a, b = self._read_one(x, y)
        return self.story_.posterior_matrix(a, b, band=self.band, threshold=threshold)

    def sample_alignments(
        self, x: Any, y: Any, n: int = 100, *, random_state: Any = None
    ) -> list[Alignment]:
        """Alignments drawn from the posterior: how sure are we?

        Returns
        -------
        list of n Alignments
            ``confidence`` is the share of the n that have the same column.
        """
        _whole("n", n)
        found, a, b = self._read_one(x, y)
        rng = self._generator(random_state)
        paths = self.story_.sample_paths(a, b, n, rng, band=self.band)
        return shared_columns([alignment_of(p, found.names[0], found.sequences[0]) for p in paths])

    def sample(
        self, n: int = 1, *, length: int | None = None, random_state: Any = None
    ) -> list[Alignment]:
        """Pairs of sequences with their true alignments.

        Parameters
        ----------
        n : int
        length : int, optional
            Letters of x, where no ends are free; by default lengths are those of the story, which
            differ much.
        random_state : int, Generator, RandomState or None
            None takes the ``random_state`` of the estimator.

        Returns
        -------
        list of n Alignments
            ``sequences`` of each is a pair. A list of them can be scored and fitted like one of
            pairs. A pair of which one sequence came out empty is drawn again.
        """
        check_is_fitted(self, "story_")
        _whole("n", n)
        if length is not None:
            _whole("length", length)
            if self.story_.ends != "global":
                raise UsageError(
                    f"length is for ends='global'; with {self.story_.ends!r} letters beyond the "
                    "alignment come and go."
                )
        rng, alphabet = self._generator(random_state), self._alphabet
        out: list[Alignment] = []
        while len(out) < n:
            pairs, paths = self.story_.sample(n - len(out), rng, x_lengths=length)
            for i, path in enumerate(paths):
                x, y = (alphabet.decode(codes) for codes in pairs.pair(i))
                if x and y:
                    names = f"x{len(out) + 1}", f"y{len(out) + 1}"
                    out.append(alignment_of(path, names, (x, y)))
        return out

    def expected_counts(self, X: Any, Y: Any = None) -> dict[str, float]:
        """How many events of each kind the alignments of some pairs are expected to hold.

        Returns
        -------
        dict
            ``matches``, ``mismatches``, and of DNA and RNA the ``transitions`` and
            ``transversions`` among them; letters in ``insertions`` and ``deletions``; their gaps,
            ``insertion_gaps`` and ``deletion_gaps``; and ``mean_gap_length``.
        """
        story = self.story_
        counts = story.expected_counts(self._read(X, Y).pairs, band=self.band)
        match = counts.match
        same = float(np.trace(match))
        out = {"matches": same, "mismatches": float(match.sum()) - same}
        if self._alphabet.letters in ("ACGT", "ACGU"):
            out["transitions"] = float(match[[0, 2, 1, 3], [2, 0, 3, 1]].sum())
            out["transversions"] = out["mismatches"] - out["transitions"]
        for name, states, letters in (
            ("insertion", list(story.insert_states), counts.insert),
            ("deletion", list(story.delete_states), counts.delete),
        ):
            out[f"{name}s"] = float(letters.sum())
            others = [s for s in range(story.n_states) if s not in states]
            begun = float(counts.start[states].sum())
            begun += float(counts.transitions[np.ix_(others, states)].sum())
            out[f"{name}_gaps"] = begun
        gaps = out["insertion_gaps"] + out["deletion_gaps"]
        letters_gapped = out["insertions"] + out["deletions"]
        out["mean_gap_length"] = letters_gapped / gaps if gaps > 0 else float("nan")
        return out

    def distance(
        self,
        x: Any,
        y: Any,
        *,
        free: Sequence[str] | None = None,
        interval: Interval = "information",
        level: float = 0.95,
    ) -> EvolutionFit:
        """How far apart two sequences are, over all their alignments, with an interval.

        The distance and the other parameters of evolution are those that make this pair most
        probable. A model that learned or was given them starts there and keeps what is not
        ``free``; any other takes the frequencies of its letters from the pair.

        Parameters
        ----------
        x, y : text or record
        free : names, optional
            What to learn: some of "distance", "kappa", "indel_rate", "gap_extend",
            "gap_extend_long" and "long_gaps"; all that the model has by default.
        interval : {"information", "profile", "none"}
            From the observed information on the scale of logarithms (logits, of probabilities),
            or from the profile of the likelihood, which is more honest and takes longer. The
            distance has the latter wherever its interval reaches beyond 1.5, where few letters
            still tell of their ancestor; it may then have no upper end (infinity).
        level : float
            Probability with which an interval is meant to hold the truth.

        Returns
        -------
        EvolutionFit
            ``distance.value``, ``distance.low`` and ``distance.high`` in expected substitutions
            per site; ``estimates`` has all of the free parameters.

        Raises
        ------
        CannotAnswerError
            The model knows no evolution: say ``substitution=``.
        """
        found = read_pair(x, y, self._alphabet)
        return self._learn_evolution(found, None, free, interval, level)

    def _learn_evolution(
        self,
        found: PairInput,
        weights: FloatArray | None,
        free: Sequence[str] | None,
        interval: Interval,
        level: float,
    ) -> EvolutionFit:
        raise NotImplementedError

    def _refuse_impossible(self, log_prob: float) -> None:
        if not np.isfinite(log_prob):
            raise DataError(
                "The pair has probability 0 under this model, so it has no alignment: a letter "
                "has probability 0, or gaps have and the lengths differ."
            )

    # Files --------------------------------------------------------------------------------------

    def to_state(self) -> dict[str, Any]:
        """What a file holds: parameters and what was learned, by name."""
        parameters = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if not isinstance(value, np.random.Generator | np.random.RandomState)
        }
        learned = {
            name: value
            for name, value in vars(self).items()
            if name.endswith("_") and not name.startswith("_") and name not in parameters
        }
        return {"parameters": parameters, "learned": learned if "story_" in learned else {}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The estimator that `to_state` took apart."""
        if set(state) != {"parameters", "learned"}:
            raise DataError(f"a {cls.__name__} has parameters and what it learned, nothing else")
        model = cls(**state["parameters"])
        learned = dict(state["learned"])
        if learned and not isinstance(learned.get("story_"), PairHiddenMarkov):
            raise DataError(f"what a {cls.__name__} learned has no story of pairs")
        for name, value in learned.items():
            if not name.endswith("_") or name.startswith("_") or hasattr(cls, name):
                raise DataError(f"{name!r} is not something that a {cls.__name__} learns")
            setattr(model, name, value)
        return model

    def __getattr__(self, name: str) -> Any:
        # Only reached where the estimator has no such attribute.
        if name in ("predict", "predict_proba", "transform"):
            raise CannotAnswerError(
                name,
                type(self).__name__,
                "it tells a story of pairs; ask align, predict_related or score_pairs",
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _whole(name: str, value: Any) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{name} must be a whole number of at least 1, not {value!r}.")
