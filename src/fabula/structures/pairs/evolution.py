"""Pairs of sequences from a common ancestor: substitutions and gaps at a distance.

The distance between two sequences decides everything about the alignment of their story: how
often aligned letters differ, and how often one sequence has letters that the other has not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.families.substitution import Substitution, hky85_probabilities
from fabula.persistence.registry import storable
from fabula.structures.pairs.gaps import affine_story, gap_transitions
from fabula.structures.pairs.hidden_markov import PairHiddenMarkov, PairStatistics

__all__ = ["LIMITS", "PairEvolution", "bounded", "moves_of"]

_STEP = 1e-30
# Unconstrained parameters further out than these no data can tell from the limit itself.
LIMITS = {
    "distance": (np.log(1e-7), np.log(10.0)),
    "kappa": (np.log(1e-3), np.log(1e3)),
    "indel_rate": (np.log(1e-7), np.log(5.0)),
    "gap_extend": (-12.0, 9.0),
    "gap_extend_long": (-12.0, 12.0),
    "long_gaps": (-12.0, 12.0),
}
"""Range of each parameter on its unconstrained scale: logarithms, logits of probabilities."""


def moves_of(statistics: PairStatistics) -> FloatArray:
    """Expected moves (S, S), with the beginning and the end of an alignment counted as matches."""
    moves = statistics.transitions[:, :-1].copy()
    moves[:, 0] += statistics.transitions[:, -1]
    moves[0] += statistics.start[:-1]
    moves[0, 0] += statistics.start[-1]
    return moves


@storable("story/pair_evolution")
@dataclass(frozen=True)
class PairEvolution:
    """How two DNA sequences came from one, at a distance.

    Parameters
    ----------
    substitution : Substitution
    distance : float
        t, expected substitutions per site on the way from one sequence to the other.
    indel_rate : float
        Expected insertions and deletions together, per substitution: at each place between two
        letters an insertion begins with the probability 1 − exp(−rate · t / 2), and so does a
        deletion. About 0.1 between closely related animals.
    gap_extend : tuple of one or two floats
        Probability that a gap goes on after each letter: lengths are geometric, of mean
        1 / (1 − gap_extend). Two of them make short and long gaps, and five states.
    long_gaps : float
        Probability that a gap is of the second kind.
    """

    substitution: Substitution
    distance: float
    indel_rate: float = 0.1
    gap_extend: tuple[float, ...] = (0.7,)
    long_gaps: float = 0.0

    def __post_init__(self) -> None:
        for name in ("distance", "indel_rate"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise UsageError(f"{name} must be a number that is not negative, not {value!r}.")
        if len(self.gap_extend) not in (1, 2):
            raise UsageError(
                "gap_extend must be one probability, or two for short and long gaps, not "
                f"{self.gap_extend!r}."
            )
        for value in (*self.gap_extend, self.long_gaps):
            if not 0 <= value < 1:
                raise UsageError(
                    f"gap_extend and long_gaps are probabilities below 1, not {value!r}."
                )
        for name, value in self.natural().items():
            # Parameters that a climb ended with at a limit may exceed it by rounding.
            low, high = (bounded(name, end) for end in LIMITS[name])
            if value > high * (1 + 1e-9) or (name == "kappa" and value < low * (1 - 1e-9)):
                raise UsageError(
                    f"{name} must be at most {high:.6g}{' and at least 0.001' * (name == 'kappa')}"
                    f", not {value!r}: no sequences could tell it from that."
                )
        if len(self.gap_extend) == 1 and self.long_gaps:
            raise UsageError("long_gaps needs a second gap_extend, that of the long gaps.")

    @property
    def n_states(self) -> Literal[3, 5]:
        """3, or 5 with two kinds of gaps."""
        return 3 if len(self.gap_extend) == 1 else 5

    @property
    def mean_gap_length(self) -> float:
        """Expected letters of a gap."""
        lengths = [1.0 / (1.0 - extend) for extend in self.gap_extend]
        if len(lengths) == 1:
            return lengths[0]
        return (1.0 - self.long_gaps) * lengths[0] + self.long_gaps * lengths[1]

    # The story ----------------------------------------------------------------------------------

    def story(self, mean_length: float, **options: Any) -> PairHiddenMarkov:
        """The joint distribution of two sequences of about so many letters.

        Parameters
        ----------
        mean_length : float
            Columns without a gap that an alignment is expected to have: where the next would
            stand, it ends with the probability 1 / (mean_length + 1). This weighs next to nothing
            against the letters.
        **options
            Of `PairHiddenMarkov`: ``ends``, ``band``.
        """
        log_match, log_moves = (table.real for table in self._log_tables(self.theta))
        background = self.substitution.frequencies
        return affine_story(
            np.exp(log_match),
            np.exp(log_moves),
            insert=background,
            delete=background,
            background=background,
            mean_length=mean_length,
            **options,
        )

    # Free parameters ------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of what can be learned, in the order of ``theta``."""
        names = ["distance", *(["kappa"] if self.substitution.has_kappa else []), "indel_rate"]
        names.append("gap_extend")
        if self.n_states == 5:
            names += ["gap_extend_long", "long_gaps"]
        return tuple(names)

    def natural(self) -> dict[str, float]:
        """Value of each parameter."""
        values = {
            "distance": self.distance,
            "kappa": self.substitution.kappa,
            "indel_rate": self.indel_rate,
            "gap_extend": self.gap_extend[0],
            "gap_extend_long": self.gap_extend[-1],
            "long_gaps": self.long_gaps,
        }
        return {name: float(values[name]) for name in self.parameters}

    @property
    def theta(self) -> FloatArray:
        """The parameters, unconstrained: logarithms, and logits of probabilities."""
        return np.array([_unbounded(name, value) for name, value in self.natural().items()])

    def with_theta(self, theta: FloatArray) -> PairEvolution:
        """The model of other parameters."""
        values = {n: bounded(n, float(v)) for n, v in zip(self.parameters, theta, strict=True)}
        substitution = self.substitution
        if "kappa" in values:
            substitution = replace(substitution, kappa=values["kappa"])
        extends = [values["gap_extend"]]
        if self.n_states == 5:
            extends.append(values["gap_extend_long"])
        return PairEvolution(
            substitution,
            values["distance"],
            values["indel_rate"],
            tuple(extends),
            values.get("long_gaps", 0.0),
        )

    def gradient(self, match: FloatArray, transitions: FloatArray) -> FloatArray:
        """Derivative of the log likelihood by ``theta``, from expected counts.

        Parameters
        ----------
        match : (4, 4) array
            Expected number of columns that align each letter of x with each of y.
        transitions : (S, S) array
            Expected number of moves from each state to each; the first counts as one from a match
            and the end as one to a match (`moves_of`).

        Notes
        -----
        Fisher's identity: the derivative of log p(x, y) is the expected derivative of the log of
        what x, y and their alignment contribute. The latter is taken by a complex step.
        """
        theta = self.theta.astype(complex)
        slope = np.empty(len(theta))
        for k in range(len(theta)):
            moved = theta.copy()
            moved[k] += 1j * _STEP
            log_match, log_transitions = self._log_tables(moved)
            slope[k] = _dot(match, log_match.imag) + _dot(transitions, log_transitions.imag)
        return slope / _STEP

    def explains(self, match: FloatArray, transitions: FloatArray) -> float:
        """Log probability of columns and steps in these numbers; what EM maximises."""
        log_match, log_transitions = (table.real for table in self._log_tables(self.theta))
        return _dot(match, log_match) + _dot(transitions, log_transitions)

    def _log_tables(self, theta: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Log of the joint probabilities of aligned letters, and of the transitions."""
        values = dict(zip(self.parameters, theta, strict=True))
        distance = np.exp(values["distance"])
        kappa = np.exp(values["kappa"]) if "kappa" in values else 1.0
        pi = self.substitution.frequencies
        match = pi[:, None] * hky85_probabilities(distance, kappa, pi)
        opening = -np.expm1(-np.exp(values["indel_rate"]) * distance / 2.0)
        extends = [_logistic(values["gap_extend"])]
        share: list[Any] = [1.0]
        if self.n_states == 5:
            extends.append(_logistic(values["gap_extend_long"]))
            long = _logistic(values["long_gaps"])
            share = [1.0 - long, long]
        table = gap_transitions(opening, opening, extends, extends, share)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(match), np.where(table == 0, -np.inf, np.log(table))


def bounded(name: str, value: float) -> float:
    """A parameter from its unconstrained value."""
    if name in ("distance", "kappa", "indel_rate"):
        return float(np.exp(value))
    return float(1.0 / (1.0 + np.exp(-value)))


def _unbounded(name: str, value: float) -> float:
    """Unconstrained value of a parameter; 0 becomes the smallest that is told from it."""
    low, high = LIMITS[name]
    with np.errstate(divide="ignore"):
        if name in ("distance", "kappa", "indel_rate"):
            return float(np.clip(np.log(value), low, high))
        return float(np.clip(np.log(value) - np.log1p(-value), low, high))


def _logistic(value: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-value))


def _dot(counts: FloatArray, slopes: FloatArray) -> float:
    """Sum of counts times slopes; what never happened has none."""
    happened = counts > 0
    return float(counts[happened] @ slopes[happened])
