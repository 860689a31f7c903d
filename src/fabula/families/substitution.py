"""How letters of DNA change along a branch: JC69, K80 and HKY85 in closed form.

All three are one model: HKY85 (Hasegawa, Kishino and Yano 1985, J. Mol. Evol. 22:160) with equal
frequencies is K80 (Kimura 1980, J. Mol. Evol. 16:111), and K80 with κ = 1 is JC69 (Jukes and
Cantor 1969). Distances are expected substitutions per site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.persistence.registry import storable

__all__ = ["NUCLEOTIDES", "Substitution", "SubstitutionName", "hky85_probabilities"]

SubstitutionName = Literal["jc69", "k80", "hky85"]

NUCLEOTIDES = "ACGT"

# Purines A and G, pyrimidines C and T: a change within a group is a transition.
_GROUP = np.array([0, 1, 0, 1])
_TRANSITION = (_GROUP[:, None] == _GROUP) & ~np.eye(4, dtype=bool)
_TRANSVERSION = _GROUP[:, None] != _GROUP
_EQUAL = np.full(4, 0.25)


def hky85_probabilities(distance: Any, kappa: Any, frequencies: FloatArray) -> NDArray[Any]:
    """P(t), (4, 4): row the letter before, column the letter after, in the order A C G T.

    Parameters
    ----------
    distance, kappa : float or complex
        A small imaginary part gives derivatives by a complex step (Squire and Trapp 1998, SIAM
        Rev. 40:110); no other use is meant for it.
    frequencies : (4,) array
        Equilibrium frequencies π.

    Notes
    -----
    Yang (2006), Computational Molecular Evolution, eq. 1.20 and table 1.1, written with
    ``expm1``, so that a distance of 1e-12 keeps its digits.
    """
    a, c, g, t = frequencies
    purines, pyrimidines = a + g, c + t
    rate = 1.0 / (2.0 * purines * pyrimidines + 2.0 * kappa * (a * g + c * t))
    of_group = np.array([purines, pyrimidines, purines, pyrimidines])
    between = np.expm1(-rate * distance)
    within = np.expm1(-rate * distance * (1.0 + of_group * (kappa - 1.0)))
    transition = frequencies * ((1.0 / of_group - 1.0) * between - within / of_group)
    transversion = -frequencies * between
    p = np.where(_TRANSITION, transition, np.where(_TRANSVERSION, transversion, 0.0))
    p[np.diag_indices(4)] = 1.0 - p.sum(axis=1)
    return p


@storable("family/substitution")
@dataclass(frozen=True)
class Substitution:
    """A reversible process of substitutions in DNA.

    Parameters
    ----------
    name : {"jc69", "k80", "hky85"}
        JC69: one rate; K80: transitions κ times as fast as transversions; HKY85: K80 with
        frequencies of the letters.
    kappa : float
        κ > 0, the rate of a transition over that of a transversion; 1 for JC69.
    frequencies : (4,) array
        Equilibrium frequencies of A, C, G and T; 1/4 each but for HKY85.
    """

    name: SubstitutionName = "jc69"
    kappa: float = 1.0
    frequencies: FloatArray = field(default_factory=_EQUAL.copy)

    def __post_init__(self) -> None:
        if self.name not in ("jc69", "k80", "hky85"):
            raise UsageError(
                f"A substitution model is 'jc69', 'k80' or 'hky85', not {self.name!r}."
            )
        if not (np.isfinite(self.kappa) and self.kappa > 0):
            raise UsageError(f"kappa must be a positive number, not {self.kappa!r}.")
        if self.name == "jc69" and self.kappa != 1.0:
            raise UsageError("JC69 has kappa = 1; take 'k80' where transitions have another rate.")
        pi = np.asarray(self.frequencies, dtype=np.float64)
        if pi.shape != (4,) or not np.all(pi > 0) or not np.isclose(pi.sum(), 1.0, atol=1e-6):
            raise UsageError(
                "frequencies must be four positive numbers for A, C, G and T with sum 1, not "
                f"{np.array2string(pi, precision=4)}."
            )
        if self.name != "hky85" and not np.allclose(pi, 0.25, atol=1e-9):
            raise UsageError(
                f"{self.name.upper()} has frequencies of 1/4 each; take 'hky85' for others."
            )
        object.__setattr__(self, "frequencies", pi / pi.sum())

    @classmethod
    def of(
        cls, name: SubstitutionName, *, kappa: float | None = None, frequencies: Any = None
    ) -> Substitution:
        """The model of that name; κ is 2 where it is free and not given."""
        if kappa is None:
            kappa = 1.0 if name == "jc69" else 2.0
        pi = _EQUAL.copy() if frequencies is None else _numbers(frequencies)
        return cls(name, float(kappa), pi)

    @property
    def has_kappa(self) -> bool:
        """Whether κ is free."""
        return self.name != "jc69"

    @property
    def n_parameters(self) -> int:
        """Free parameters of the process, the distance not counted: κ and three frequencies."""
        return int(self.has_kappa) + 3 * (self.name == "hky85")

    @property
    def rates(self) -> FloatArray:
        """Rate matrix Q, (4, 4), with one substitution expected per site and unit of distance."""
        q = np.where(_TRANSITION, self.kappa, 1.0) * self.frequencies
        np.fill_diagonal(q, 0.0)
        q /= float(self.frequencies @ q.sum(axis=1))
        np.fill_diagonal(q, -q.sum(axis=1))
        return q

    def probabilities(self, distance: float) -> FloatArray:
        """P(t) = exp(Q t), (4, 4): row the letter before, column the letter after."""
        _check_distance(distance)
        p: FloatArray = hky85_probabilities(float(distance), self.kappa, self.frequencies)
        # Rounding may leave -1e-17 where a change has had no time.
        return np.maximum(p, 0.0)

    def joint(self, distance: float) -> FloatArray:
        """π_x P_xy(t), (4, 4): probability that two homologous sites hold x and y."""
        return self.frequencies[:, None] * self.probabilities(distance)

    def classical_distance(self, counts: ArrayLike) -> float:
        """The distance in closed form from counts (4, 4) of aligned letters, for JC69 and K80.

        It is the maximum of the likelihood where no letter is gapped (Yang 2006, eqs. 1.4, 1.11).

        Raises
        ------
        UsageError
            The model is HKY85, whose likelihood has no closed maximum, or the counts are not
            those of letters; or there are so many differences that the distance is infinite.
        """
        if self.name == "hky85":
            raise UsageError("HKY85 has no distance in closed form; JC69 and K80 have.")
        n = np.asarray(counts, dtype=np.float64)
        if n.shape != (4, 4) or not n.sum() > 0:
            raise UsageError("counts must be (4, 4) numbers of aligned letters A, C, G and T.")
        s, v = n[_TRANSITION].sum() / n.sum(), n[_TRANSVERSION].sum() / n.sum()
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.name == "jc69":
                d = -0.75 * np.log(1.0 - 4.0 / 3.0 * (s + v))
            else:
                d = -0.5 * np.log(1.0 - 2.0 * s - v) - 0.25 * np.log(1.0 - 2.0 * v)
        if not np.isfinite(d):
            raise UsageError(
                f"{100 * (s + v):.3g} % of the letters differ: more than chance would leave, so "
                "that no finite distance explains it."
            )
        return abs(float(d))  # not -0.0 where nothing differs


def _check_distance(distance: float) -> None:
    if not (np.isfinite(distance) and distance >= 0):
        raise UsageError(f"A distance must be a number that is not negative, not {distance!r}.")


def _numbers(frequencies: Any) -> FloatArray:
    """Frequencies from a mapping of letters (U stands for T) or from four numbers."""
    if isinstance(frequencies, Mapping):
        frequencies = {"T" if letter == "U" else letter: p for letter, p in frequencies.items()}
        if set(frequencies) != set(NUCLEOTIDES):
            raise UsageError("frequencies must name A, C, G and T (or U), each once.")
        frequencies = [frequencies[letter] for letter in NUCLEOTIDES]
    try:
        return np.asarray(frequencies, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"frequencies must be four numbers, not {frequencies!r}.") from None
