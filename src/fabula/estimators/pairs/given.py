"""Models of pairs from parameters, from the scores of an aligner, or from an evolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.estimators.pairs.questions import PairQuestions
from fabula.families.substitution import Substitution, SubstitutionName
from fabula.sequences.alphabets import Alphabet
from fabula.structures.pairs.aligner_scores import story_of_scores
from fabula.structures.pairs.evolution import PairEvolution
from fabula.structures.pairs.gaps import affine_story, gap_transitions
from fabula.structures.pairs.hidden_markov import PairHiddenMarkov

__all__ = ["GivenPairs"]


class GivenPairs(PairQuestions):
    """The ways in which a model of pairs is made without data."""

    ends: Literal["global", "read", "local", "overlap"]
    n_states: Literal[3, 5]
    evolution_: PairEvolution
    scale_: float

    @classmethod
    def from_parameters(
        cls,
        match: Any,
        gap_open: float | Sequence[float],
        gap_extend: float | Sequence[float],
        *,
        insert: Any = None,
        delete: Any = None,
        background: Any = None,
        length: float = 1000.0,
        **parameters: Any,
    ) -> Self:
        """A model of given probabilities.

        Parameters
        ----------
        match : (A, A) array or float
            Joint probability of each letter of x with each of y in a column without a gap; or the
            probability that the two are the same, whichever they are.
        gap_open, gap_extend : float, or two of them for short and long gaps
            Probability that an insertion begins at a place between two letters, and likewise,
            independently of it, a deletion: each may be anything below 1 (of two kinds of gap,
            their sum). And the probability that a gap goes on after a letter.
        insert, delete, background : (A,) arrays, optional
            Letters in insertions, in deletions, and of unrelated sequences; by default those of
            ``match``.
        length : float
            Expected number of columns without a gap.
        **parameters
            Of the class: ``alphabet``, ``ends``, …
        """
        opens, extends = _few("gap_open", gap_open), _few("gap_extend", gap_extend)
        model = cls(**{"n_states": 3 if len(opens) == 1 else 5, **parameters})
        alphabet = model._check_parameters()
        if len(opens) != len(extends) or 1 + 2 * len(opens) != model.n_states:
            raise UsageError(
                f"gap_open and gap_extend must both be {(model.n_states - 1) // 2} probabilities "
                f"for {model.n_states} states."
            )
        if not all(0 <= p < 1 for p in (*opens, *extends, sum(opens))):
            raise UsageError(
                f"gap_open and gap_extend must be probabilities below 1, and those of opening "
                f"must have a sum below 1; they are {opens} and {extends}."
            )
        joint = _joint(match, alphabet)
        of_x, of_y = joint.sum(axis=1), joint.sum(axis=0)
        total = sum(opens)
        share = [g / total for g in opens] if total else [1.0 / len(opens)] * len(opens)
        model._accept(
            affine_story(
                joint,
                gap_transitions(total, total, extends, extends, share),
                insert=of_y if insert is None else _letters("insert", insert, alphabet),
                delete=of_x if delete is None else _letters("delete", delete, alphabet),
                background=(
                    (of_x + of_y) / 2
                    if background is None
                    else _letters("background", background, alphabet)
                ),
                mean_length=_number("length", length),
                ends=model.ends,
            )
        )
        return model

    @classmethod
    def from_scores(
        cls,
        match: Any = 1.0,
        mismatch: float = -1.0,
        gap_open: float = -2.0,
        gap_extend: float = -0.5,
        *,
        background: Any = None,
        length: float = 1000.0,
        **parameters: Any,
    ) -> Self:
        """A model whose most probable alignments are those of highest score.

        Parameters
        ----------
        match : float or (A, A) array
            Score of two equal letters; or of each letter of x with each of y (``mismatch`` is not
            used then).
        mismatch : float
            Score of two different letters.
        gap_open, gap_extend : float
            Scores, negative, of the first letter of a gap and of each further one.
        background : (A,) array, optional
            Letters of unrelated sequences; by default all as frequent.
        length : float
            Expected number of columns without a gap.
        **parameters
            Of the class: ``alphabet``, ``ends``, …

        Notes
        -----
        A unit of score is as many nats of log odds (``scale_``) as let the probabilities of
        aligned letters sum to 1 (Durbin et al. 1998, section 4.1; Frith 2020, Bioinformatics
        36:408).
        """
        model = cls(**parameters)
        alphabet = model._check_parameters()
        if model.n_states != 3:
            raise UsageError("Scores of one kind of gap make a model of n_states=3.")
        n = len(alphabet)
        scores = _table("match", match)
        if scores.ndim == 0:
            scores = np.where(np.eye(n, dtype=bool), scores, _number("mismatch", mismatch))
        if scores.shape != (n, n):
            raise UsageError(
                f"match must be one score or an ({n}, {n}) array for {alphabet.name}, not of the "
                f"shape {scores.shape}."
            )
        pi = np.full(n, 1.0 / n)
        if background is not None:
            pi = _letters("background", background, alphabet)
        scored = story_of_scores(
            scores,
            _number("gap_open", gap_open),
            _number("gap_extend", gap_extend),
            pi,
            mean_length=_number("length", length),
            ends=model.ends,
        )
        model._accept(scored.story)
        model.scale_ = scored.scale
        return model

    @classmethod
    def from_evolution(
        cls,
        substitution: SubstitutionName = "hky85",
        *,
        distance: float,
        kappa: float | None = None,
        frequencies: Any = None,
        indel_rate: float = 0.1,
        gap_extend: float | Sequence[float] = 0.7,
        long_gaps: float = 0.0,
        length: float = 1000.0,
        **parameters: Any,
    ) -> Self:
        """The model of two DNA sequences at a distance.

        Parameters
        ----------
        substitution : {"jc69", "k80", "hky85"}
        distance : float
            Expected substitutions per site between the two.
        kappa : float, optional
            Rate of a transition over that of a transversion; 2 where it is free and not given.
        frequencies : (4,) array or mapping, optional
            Of A, C, G and T, for "hky85".
        indel_rate : float
            Expected insertions and deletions together, per substitution.
        gap_extend : float, or two of them
            Probability that a gap goes on after a letter; two make five states.
        long_gaps : float
            Probability that a gap is of the second kind.
        length : float
            Expected number of columns without a gap.
        **parameters
            Of the class: ``ends``, ``band``, …
        """
        extends = _few("gap_extend", gap_extend)
        own = {"substitution": substitution, "n_states": 3 if len(extends) == 1 else 5}
        model = cls(**{**own, "frequencies": frequencies, **parameters})
        model._check_parameters()
        if kappa is not None:
            kappa = _number("kappa", kappa)
        process = Substitution.of(substitution, kappa=kappa, frequencies=frequencies)
        model.evolution_ = PairEvolution(
            process,
            _number("distance", distance),
            _number("indel_rate", indel_rate),
            extends,
            _number("long_gaps", long_gaps),
        )
        model._accept(model.evolution_.story(_number("length", length), ends=model.ends))
        return model

    def _accept(self, story: PairHiddenMarkov) -> None:
        raise NotImplementedError

    def _check_parameters(self) -> Alphabet:
        raise NotImplementedError


def _joint(match: Any, alphabet: Alphabet) -> FloatArray:
    """Joint probabilities (A, A) from themselves, or from the probability of two equal letters."""
    n = len(alphabet)
    joint = _table("match", match)
    if joint.ndim == 0:
        if not 0 < joint <= 1:
            raise UsageError(f"match is the probability of two equal letters, not {match!r}.")
        rest = (1.0 - float(joint)) / (n * (n - 1))
        return np.where(np.eye(n, dtype=bool), float(joint) / n, rest)
    if joint.shape != (n, n):
        raise UsageError(
            f"match must be an ({n}, {n}) array for {alphabet.name}, or one number, not of the "
            f"shape {joint.shape}."
        )
    if not (np.all(joint >= 0) and np.isclose(joint.sum(), 1.0, rtol=0, atol=1e-6)):
        raise UsageError(
            "match must hold joint probabilities: none negative, and all of them together 1, not "
            f"{joint.sum():.6g}."
        )
    return joint


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be a number, not {value!r}.") from None


def _few(name: str, values: Any) -> tuple[float, ...]:
    """One or two numbers."""
    found = np.atleast_1d(_table(name, values))
    if found.ndim != 1 or len(found) not in (1, 2):
        raise UsageError(f"{name} must be one number, or two, not {values!r}.")
    return tuple(map(float, found))


def _table(name: str, values: Any) -> FloatArray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be numbers, not {values!r}.") from None


def _letters(name: str, values: Any, alphabet: Alphabet) -> FloatArray:
    """Probabilities of letters, from an array or a mapping."""
    if isinstance(values, Mapping):
        if set(values) != set(alphabet.letters):
            raise UsageError(f"{name} must name each of the letters {alphabet.letters} once.")
        values = [values[letter] for letter in alphabet.letters]
    p = _table(name, values)
    if p.shape != (len(alphabet),) or not np.all(p > 0) or not np.isclose(p.sum(), 1.0, atol=1e-6):
        raise UsageError(
            f"{name} must be {len(alphabet)} positive probabilities, of the letters "
            f"{alphabet.letters}, with sum 1."
        )
    shares: FloatArray = p / p.sum()
    return shares
