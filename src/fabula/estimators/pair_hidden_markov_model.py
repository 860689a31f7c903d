"""Pairs of related sequences, and all the ways in which they can be aligned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError, ConvergenceWarning, DataError, UsageError, warn
from fabula.estimators.pairs.given import GivenPairs
from fabula.estimators.pairs.input import PairInput, letters_of, read_pairs
from fabula.families.substitution import Substitution, SubstitutionName
from fabula.learning.em import Report, expectation_maximisation
from fabula.learning.evolution import EvolutionFit, Interval, fit_evolution
from fabula.persistence.registry import storable
from fabula.sequences.alphabets import Alphabet
from fabula.structures.pairs.blocks import PairBlocks
from fabula.structures.pairs.evolution import PairEvolution
from fabula.structures.pairs.gaps import affine_story, gap_transitions
from fabula.structures.pairs.hidden_markov import PairHiddenMarkov, PairPrior

__all__ = ["PairHiddenMarkovModel"]

Ends = Literal["global", "read", "local", "overlap"]

_START_DISTANCES = (0.05, 0.2, 0.5, 1.0)
_START = {3: {"gap_extend": (0.7,)}, 5: {"gap_extend": (0.5, 0.95), "long_gaps": 0.1}}


@storable("estimator/pair_hidden_markov_model")
class PairHiddenMarkovModel(GivenPairs):
    """Two sequences that come from one, with an alignment that nobody saw.

    Parameters
    ----------
    alphabet : str
        "dna", "rna", "protein", or the letters themselves. Lower case is read as upper case; N (X
        in proteins) is a letter that is not known.
    n_states : {3, 5}
        Match, insertion, deletion; or short and long insertions and deletions.
    ends : {"global", "read", "local", "overlap"}
        What may lie outside the alignment: nothing; letters of x at both ends (y is a read); of
        both sequences at both ends; or of one of them at either end.
    substitution : {None, "jc69", "k80", "hky85"}
        None: learn every probability (Baum–Welch). Otherwise the letters and gaps are those of an
        evolutionary model at a distance, and only its parameters are learned.
    frequencies : (A,) array or mapping, optional
        Of the letters, for "hky85"; by default those of the sequences of the fit.
    symmetric : bool
        Without a substitution model: learn the same probabilities for (x, y) as for (y, x).
    pseudo_count : float
        Without a substitution model: added to the expected count of every event.
    band : int, optional
        Only alignments within so many letters of the diagonal are summed: for long sequences.
    interval : {"information", "profile", "none"}
        How the intervals of an evolutionary fit are found (see `distance`).
    max_iter : int
        At most so many iterations.
    tol : float
        Without a substitution model: stop when the log likelihood per pair gains less, nats.
    random_state : int, Generator or None
        For samples.

    Attributes
    ----------
    story_ : PairHiddenMarkov
        The joint distribution of x, y and their alignment.
    report_ : Report
        How the fit went.
    evolution_ : PairEvolution
        With a substitution model: its parameters.
    estimates_ : dict of str to (value, low, high)
        After an evolutionary fit: each parameter with its 95 % interval.
    scale_ : float
        After `from_scores`: nats of log odds in a unit of score.

    References
    ----------
    Durbin, Eddy, Krogh and Mitchison (1998), Biological Sequence Analysis, chapter 4.

    Examples
    --------
    >>> from fabula.estimators.pair_hidden_markov_model import PairHiddenMarkovModel
    >>> model = PairHiddenMarkovModel.from_evolution("k80", distance=0.2, kappa=3.0, length=20)
    >>> alignment = model.align("ACGTCAGGAT", "ACGTAGGGT")
    >>> alignment.cigar()
    '4=1D3=1X1='
    >>> bool(model.log_odds("ACGTCAGGAT", "ACGTAGGGT")[0] > 0)
    True
    """

    def __init__(
        self,
        alphabet: str = "dna",
        *,
        n_states: Literal[3, 5] = 3,
        ends: Ends = "global",
        substitution: SubstitutionName | None = None,
        frequencies: Any = None,
        symmetric: bool = False,
        pseudo_count: float = 0.1,
        band: int | None = None,
        interval: Interval = "information",
        max_iter: int = 100,
        tol: float = 1e-3,
        random_state: Any = None,
    ):
        self.alphabet = alphabet
        self.n_states = n_states
        self.ends = ends
        self.substitution = substitution
        self.frequencies = frequencies
        self.symmetric = symmetric
        self.pseudo_count = pseudo_count
        self.band = band
        self.interval = interval
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    # Learning -------------------------------------------------------------------------------------

    def fit(self, X: Any, Y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from pairs that nobody aligned.

        Parameters
        ----------
        X, Y : pairs
            Two sequences (texts or records), two lists of them, or X alone a list of pairs (x, y)
            or of alignments, whose columns are not looked at.
        sample_weight : (n,) array, optional
            How many pairs each counts for.

        Returns
        -------
        self
            With a substitution model, all pairs share one distance; `distance` tells that of one.

        Raises
        ------
        DataError
            A character is no letter of the alphabet (the message names sequence and position), a
            sequence is empty, or a pair cannot be.

        Warns
        -----
        ConvergenceWarning
            The climb met ``max_iter``.
        """
        alphabet = self._check_parameters()
        found = read_pairs(X, Y, alphabet)
        weights = _weights(sample_weight, len(found))
        for name in ("evolution_", "estimates_", "scale_"):
            self.__dict__.pop(name, None)
        if self.substitution is not None:
            fit = self._learn_evolution(found, weights, None, self.interval, 0.95)
            self.evolution_ = fit.evolution
            self.estimates_ = {n: (e.value, e.low, e.high) for n, e in fit.estimates.items()}
            story = fit.evolution.story(found.mean_length, ends=self.ends)
            n = len(found) if weights is None else float(weights.sum())
            reason: Any = "converged" if fit.converged else "iteration limit"
            trace = (fit.log_likelihood / n,)
            self._accept(story, Report(trace, fit.converged, reason, fit.n_passes, fit.seconds))
            return self
        prior = PairPrior(
            self.pseudo_count,
            self.pseudo_count,
            self.pseudo_count,
            self.pseudo_count,
            symmetric_match=self.symmetric,
            tie_gaps=self.symmetric,
        )
        story, report = expectation_maximisation(
            self._start(found, alphabet),
            PairBlocks(found.pairs, weights),
            prior=prior,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        if report.reason == "impossible rows":
            raise DataError(self._impossible(found, story))
        if report.reason == "iteration limit":
            warn(
                f"{type(self).__name__} met max_iter={self.max_iter} before the log likelihood "
                f"per pair gained less than tol={self.tol}; more iterations may improve it.",
                ConvergenceWarning,
            )
        self._accept(story, report)
        return self

    def _learn_evolution(
        self,
        found: PairInput,
        weights: FloatArray | None,
        free: Sequence[str] | None,
        interval: Interval,
        level: float,
    ) -> EvolutionFit:
        if self.substitution is None:
            raise CannotAnswerError(
                "distance",
                f"{type(self).__name__} without a substitution model",
                "it knows letters, but not how they change; say substitution='hky85' (or 'k80', "
                "'jc69')",
            )
        alphabet = self._check_parameters()
        known = getattr(self, "evolution_", None)
        start = self._first_evolutions(found, alphabet) if known is None else [known]
        length = found.mean_length
        fit = fit_evolution(
            start,
            lambda model: model.story(length, ends=self.ends).expected_counts(
                found.pairs, weights, band=self.band
            ),
            free=free,
            interval=interval,
            level=level,
            max_iter=self.max_iter,
        )
        if self.band is not None:
            # Warns where alignments press against the border of the band.
            fit.evolution.story(length, ends=self.ends).log_odds(found.pairs, band=self.band)
        return fit

    def _first_evolutions(self, found: PairInput, alphabet: Alphabet) -> list[PairEvolution]:
        """Where the climb begins; the frequencies of letters stay as they are here."""
        assert self.substitution is not None
        frequencies = self.frequencies
        if frequencies is None and self.substitution == "hky85":
            frequencies = _letter_shares(found, alphabet)
        process = Substitution.of(self.substitution, frequencies=frequencies)
        gaps: Any = _START[self.n_states]
        return [PairEvolution(process, t, 0.1, **gaps) for t in _START_DISTANCES]

    def _start(self, found: PairInput, alphabet: Alphabet) -> PairHiddenMarkov:
        """Where Baum–Welch begins: equal letters are aligned more often than others."""
        pi = _letter_shares(found, alphabet)
        share = [1.0] if self.n_states == 3 else [0.8, 0.2]
        extends = [0.6] if self.n_states == 3 else [0.4, 0.9]
        return affine_story(
            0.6 * np.diag(pi) + 0.4 * np.outer(pi, pi),
            gap_transitions(0.04, 0.04, extends, extends, share),
            insert=pi,
            delete=pi,
            background=pi,
            mean_length=found.mean_length,
            ends=self.ends,
        )

    def _impossible(self, found: PairInput, story: PairHiddenMarkov) -> str:
        first = int(np.argmin(np.isfinite(story.log_prob(found.pairs))))
        return (
            f"Pair {first + 1} (counted from 1) has no alignment under the model, so nothing can "
            "be learned from it: its lengths differ by more than gaps or the band allow."
        )

    def _accept(self, story: PairHiddenMarkov, report: Report | None = None) -> None:
        self.story_ = story
        self.report_ = report or Report((), True, "closed form", 0, 0.0)
        self.converged_ = self.report_.converged
        self.n_iter_ = self.report_.n_iterations

    def _check_parameters(self) -> Alphabet:
        alphabet = letters_of(self.alphabet)
        if self.n_states not in (3, 5):
            raise UsageError(f"n_states must be 3 or 5, not {self.n_states!r}.")
        if self.ends not in ("global", "read", "local", "overlap"):
            raise UsageError(
                f"ends must be 'global', 'read', 'local' or 'overlap', not {self.ends!r}."
            )
        if self.substitution is not None:
            if self.substitution not in ("jc69", "k80", "hky85"):
                raise UsageError(
                    "substitution must be None, 'jc69', 'k80' or 'hky85', not "
                    f"{self.substitution!r}."
                )
            if alphabet.letters not in ("ACGT", "ACGU"):
                raise UsageError(
                    f"{self.substitution!r} is a model of DNA and RNA, not of the alphabet "
                    f"{self.alphabet!r}."
                )
        elif self.frequencies is not None:
            raise UsageError(
                "frequencies are those of a substitution model: say substitution='hky85', or "
                "leave them out (letters are learned with everything else)."
            )
        if self.interval not in ("information", "profile", "none"):
            raise UsageError(
                f"interval must be 'information', 'profile' or 'none', not {self.interval!r}."
            )
        if not isinstance(self.max_iter, int | np.integer) or self.max_iter < 1:
            raise UsageError(
                f"max_iter must be a whole number of at least 1, not {self.max_iter!r}."
            )
        for name in ("tol", "pseudo_count"):
            value = getattr(self, name)
            if not isinstance(value, int | float | np.number) or not 0 <= value < np.inf:
                raise UsageError(f"{name} must be a number that is not negative, not {value!r}.")
        if self.band is not None and (not isinstance(self.band, int | np.integer) or self.band < 1):
            raise UsageError(f"band must be None or a whole number of at least 1, not {self.band}.")
        return alphabet


def _letter_shares(found: PairInput, alphabet: Alphabet) -> FloatArray:
    """Share of each letter in all sequences, with one of each added."""
    codes = np.concatenate([found.pairs.x.steps, found.pairs.y.steps])
    counts = np.bincount(codes, minlength=len(alphabet))[: len(alphabet)] + 1.0
    shares: FloatArray = counts / counts.sum()
    return shares


def _weights(sample_weight: Any, n: int) -> FloatArray | None:
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n,) or not np.all(weights >= 0) or not 0 < weights.sum() < np.inf:
        raise UsageError(
            f"sample_weight must be {n} numbers, one a pair, that are not negative, with a "
            "positive sum."
        )
    return weights
