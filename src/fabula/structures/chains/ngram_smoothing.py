"""What each context gives to the symbols that followed it, and what it leaves to shorter ones.

Both ways have the form p(w | h) = share(w | h) + left(h) p(w | h'), where h' is h without its first
symbol and the empty context leaves its rest to all outcomes alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from fabula.core.arrays import FloatArray
from fabula.core.errors import UsageError
from fabula.structures.chains.ngram_tree import NgramTree

__all__ = [
    "SMOOTHINGS",
    "Shares",
    "dirichlet_shares",
    "kneser_ney_shares",
    "log_dirichlet_prior",
]

SMOOTHINGS = ("kneser-ney", "dirichlet")

# Where so few n-grams occur once, twice, … that the discounts cannot be estimated.
_USUAL_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Shares:
    """Smoothed probabilities of a tree of n-grams.

    Parameters
    ----------
    parameters : (k + 1, 3) or (k + 1, 1) array
        For each length of n-grams from 1: discounts of n-grams that were seen once, twice and
        more often; or the concentration of the Dirichlet distributions.
    shares : (M,) array
        What the context of an n-gram itself gives to its last symbol.
    left : (M,) array
        What an n-gram as a context leaves to the next shorter one.
    probabilities : (M,) array
        Of the last symbol of an n-gram given the others; 0 for the beginning of a sequence.
    """

    parameters: FloatArray
    shares: FloatArray
    left: FloatArray
    probabilities: FloatArray


def kneser_ney_shares(tree: NgramTree) -> Shares:
    """Interpolated Kneser–Ney smoothing with three discounts for each length.

    The longest n-grams, and those that begin a sequence, count as often as they occur; shorter ones
    count as many different symbols as stand before them (Kneser and Ney 1995, ICASSP 1:181; Chen
    and Goodman 1999, Comput. Speech Lang. 13:359, section 3.3). Discounts are those of their
    equation 26; .5, 1 and 1.5 for a length at which they cannot be estimated.

    Raises
    ------
    UsageError
        A count is no whole number.
    """
    if not np.array_equal(tree.counts, np.floor(tree.counts)):
        raise UsageError(
            "Kneser–Ney smoothing counts n-grams that occur once, twice and so on, so weights must "
            "be whole numbers: take smoothing='dirichlet' for others."
        )
    counts = _continuations(tree)
    discounts = np.zeros((tree.order + 1, 3))
    taken = np.zeros(len(counts))
    for m in range(1, tree.order + 2):
        mine = tree.level(m)
        discounts[m - 1] = _discounts(counts[mine])
        which = np.clip(counts[mine], 0, 3).astype(np.intp)
        taken[mine] = np.concatenate([[0.0], discounts[m - 1]])[which]
    totals = _of_children(tree, counts)
    shares = (counts - taken) / np.maximum(totals[tree.parents], 1.0)
    left = np.divide(_of_children(tree, taken), totals, out=np.ones_like(totals), where=totals > 0)
    shares[0] = 0.0
    return Shares(discounts, shares, left, _interpolated(tree, shares, left))


def _continuations(tree: NgramTree) -> FloatArray:
    """Counts as Kneser and Ney count; the beginning of a sequence is no outcome and has none."""
    counts = tree.counts.copy()
    for m in range(1, tree.order + 1):
        mine, longer = tree.level(m), tree.level(m + 1)
        # An n-gram of weight 0 was not seen.
        seen = (tree.counts[longer] > 0).astype(np.float64)
        before = np.bincount(
            tree.suffixes[longer] - mine.start, seen, minlength=mine.stop - mine.start
        )
        counts[mine] = np.where(tree.begins[mine], counts[mine], before)
    counts[_no_outcome(tree)] = 0.0
    return counts


def _no_outcome(tree: NgramTree) -> NDArray[np.intp]:
    """The empty n-gram, and the beginning of a sequence by itself."""
    first = np.arange(tree.level(1).start, tree.level(1).stop)
    return np.concatenate([[0], first[tree.begins[first]]]).astype(np.intp)


def _discounts(counts: FloatArray) -> tuple[float, float, float]:
    n1, n2, n3, n4 = (int((counts == c).sum()) for c in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return _USUAL_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    found = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    return found if min(found) > 0 else _USUAL_DISCOUNTS


def dirichlet_shares(tree: NgramTree, concentrations: FloatArray | None = None) -> Shares:
    """Dirichlet distributions, the mean of each context's given by the next shorter context.

    p(w | h) = (c(hw) + α p(w | h')) / (c(h) + α), with one concentration α for each length, of the
    greatest evidence unless it is given (MacKay and Peto 1995, Nat. Lang. Eng. 1:289).

    Parameters
    ----------
    concentrations : (k + 1,) array, optional
        α for n-grams of 1, 2, … symbols, in observations.
    """
    counts = tree.counts.copy()
    counts[_no_outcome(tree)] = 0.0
    totals = _of_children(tree, counts)
    alphas = np.ones((tree.order + 1, 1))
    shares, left = np.zeros_like(counts), np.ones_like(totals)
    probabilities = np.zeros_like(counts)
    for m in range(1, tree.order + 2):
        mine, contexts = tree.level(m), tree.level(m - 1)
        base = probabilities[tree.suffixes[mine]] if m > 1 else 1.0 / tree.n_outcomes
        base = np.broadcast_to(base, mine.stop - mine.start)
        if concentrations is None:
            alphas[m - 1] = _most_evident(counts[mine], base, totals[contexts])
        else:
            alphas[m - 1] = concentrations[m - 1]
        alpha = float(alphas[m - 1, 0])
        shares[mine] = counts[mine] / (totals[tree.parents[mine]] + alpha)
        left[contexts] = alpha / (totals[contexts] + alpha)
        probabilities[mine] = shares[mine] + left[tree.parents[mine]] * base
    probabilities[_no_outcome(tree)] = 0.0
    return Shares(alphas, shares, left, probabilities)


def log_dirichlet_prior(tree: NgramTree, shares: Shares) -> float:
    """Log density of the longest contexts given the shorter ones, less its greatest value.

    The prior of context h is the Dirichlet distribution with the parameters 1 + α p(w | h'), whose
    mode under counts is `dirichlet_shares`. What it takes off is α KL(p(· | h') ‖ p(· | h)).
    """
    total = 0.0
    for m in range(1, tree.order + 2):
        mine = np.flatnonzero(tree.is_longest[tree.level(m)]) + tree.level(m).start
        alpha = float(shares.parameters[m - 1, 0])
        base = shares.probabilities[tree.suffixes[mine]] if m > 1 else np.array(1 / tree.n_outcomes)
        base = np.broadcast_to(base, mine.shape)
        contexts, place = np.unique(tree.parents[mine], return_inverse=True)
        # All other outcomes of a context have what it leaves to the shorter one.
        others = 1.0 - np.bincount(place, base, len(contexts))
        total += alpha * float(base @ np.log(shares.probabilities[mine] / base))
        total += alpha * float(others @ np.log(shares.left[contexts]))
    return total


def _most_evident(counts: FloatArray, base: FloatArray, totals: FloatArray) -> float:
    """The concentration under which the counts of all contexts are most probable."""
    from scipy.optimize import minimize_scalar

    seen = counts > 0
    counts, base, totals = counts[seen], base[seen], totals[totals > 0]
    if not len(counts):
        return 1.0

    def minus_evidence(log_alpha: float) -> Any:
        alpha = np.exp(log_alpha)
        each = gammaln(alpha * base + counts) - gammaln(alpha * base)
        return np.sum(gammaln(alpha + totals) - gammaln(alpha)) - each.sum()

    found = minimize_scalar(
        minus_evidence, bounds=(-7.0, 14.0), method="bounded", options={"xatol": 0.02}
    )
    return float(np.exp(found.x))


def _of_children(tree: NgramTree, values: FloatArray) -> FloatArray:
    """Sum of the values of each node's children."""
    sums = np.bincount(tree.parents[1:], values[1:], minlength=len(values))
    return sums.astype(np.float64)


def _interpolated(tree: NgramTree, shares: FloatArray, left: FloatArray) -> FloatArray:
    probabilities = np.zeros_like(shares)
    for m in range(1, tree.order + 2):
        mine = tree.level(m)
        base = probabilities[tree.suffixes[mine]] if m > 1 else 1.0 / tree.n_outcomes
        probabilities[mine] = shares[mine] + left[tree.parents[mine]] * base
        if m == 1:
            probabilities[_no_outcome(tree)] = 0.0
    return probabilities
