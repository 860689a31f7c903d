"""Counts of words, given how many words there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln

from fabula.core.arrays import (
    FloatArray,
    LogProbabilities,
    Members,
    Responsibilities,
    Rows,
    SparseRows,
)
from fabula.core.errors import UsageError
from fabula.families.base import Family
from fabula.persistence.registry import storable

__all__ = ["Multinomial", "WordStatistics"]

# A probability of exactly zero would make one stray word impossible for ever.
_SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class WordStatistics:
    """Weighted counts (K, V) of the words, and weighted moments (K,) of the lengths of rows."""

    words: FloatArray
    rows: FloatArray  # Σ w over rows that have words and no missing cell
    lengths: FloatArray  # Σ w N
    squared_lengths: FloatArray  # Σ w N²

    def __add__(self, other: WordStatistics) -> WordStatistics:
        return WordStatistics(
            self.words + other.words,
            self.rows + other.rows,
            self.lengths + other.lengths,
            self.squared_lengths + other.squared_lengths,
        )


@dataclass(frozen=True)
class PreparedWords:
    """A block of counts, with zeros where cells are missing or impossible."""

    counts: Any  # (n, V), dense or csr_array
    totals: FloatArray  # (n,) words seen in each row
    base: FloatArray  # (n,) log multinomial coefficient, -inf where a count is impossible
    missing: FloatArray | None  # (n, V) of 0 and 1, None where nothing is missing

    def __len__(self) -> int:
        return len(self.totals)


@storable("family/multinomial")
@dataclass(frozen=True)
class Multinomial(Family):
    """A bank of multinomial distributions, p(x | N) = N! ∏ θ_v^x_v / x_v! with N = Σ x_v.

    A row holds the counts of V words. Every density is that of the words *given how many there
    are*, so that the length of a text says nothing about its member, and a row without words
    scores 0. Whatever the law of the lengths, the words of a subset of the vocabulary are again
    multinomial given their own number, with the probabilities of the subset rescaled to sum to 1:
    this is what `marginal` gives, and what a missing cell leaves of its row.

    The lengths have a law for sampling and for filling in: N is negative binomial with mean L and
    variance L + q L² (a Poisson whose rate varies by gamma).

    Parameters
    ----------
    probabilities : (K, V) array
        Probabilities θ > 0 of the words; the rows sum to 1.
    lengths : (K,) array, optional
        Expected number L ≥ 0 of words in a row.
    dispersions : (K,) array, optional
        q ≥ 0; 0, which is the default, means that N is Poisson.
    """

    probabilities: FloatArray
    lengths: FloatArray | None = None
    dispersions: FloatArray | None = None

    takes_sparse: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.probabilities.ndim != 2 or not np.all(self.probabilities > 0):
            raise UsageError("Multinomial probabilities must be a (K, V) array above 0.")
        if not np.allclose(self.probabilities.sum(axis=1), 1.0, atol=1e-6):
            raise UsageError("The probabilities of the words must sum to 1 in every member.")
        for name in ("lengths", "dispersions"):
            values = getattr(self, name)
            if values is not None and (
                values.shape != (self.n_members,) or not np.all((values >= 0) & (values < np.inf))
            ):
                raise UsageError(f"{name} must be a (K,) array of numbers that are not negative.")

    @cached_property
    def _log_probabilities(self) -> FloatArray:
        return np.log(self.probabilities)

    @property
    def n_members(self) -> int:
        """K."""
        return int(self.probabilities.shape[0])

    @property
    def n_columns(self) -> int:
        """V, the number of words."""
        return int(self.probabilities.shape[1])

    @property
    def n_parameters(self) -> int:
        """V - 1 probabilities a member; the lengths are no part of the density."""
        return self.n_members * (self.n_columns - 1)

    # Probability ------------------------------------------------------------------------------

    def prepare(self, x: Rows | SparseRows | PreparedWords) -> PreparedWords:
        """Totals and coefficients, computed once for all passes over the block."""
        from scipy.sparse import issparse

        if isinstance(x, PreparedWords):
            return x
        return _prepare_sparse(x) if issparse(x) else _prepare_dense(x)

    def log_prob(self, x: Rows | SparseRows | PreparedWords) -> LogProbabilities:
        """Log probability in nats (n, K) of the words seen, given how many were seen."""
        words = self.prepare(x)
        dtype = words.counts.dtype
        log_prob = np.asarray(words.counts @ self._log_probabilities.T.astype(dtype))
        if words.missing is not None:
            log_prob -= words.totals[:, None] * np.log(self._seen(words.missing)).astype(dtype)
        log_prob += words.base[:, None].astype(dtype)
        return log_prob

    def log_prob_groups(
        self, x: Rows | SparseRows, groups: Sequence[Sequence[int]]
    ) -> FloatArray | None:
        """Σ x log θ over the words of each group (n, K, G), without the coefficient."""
        words = self.prepare(x)
        if words.missing is not None:
            return super().log_prob_groups(x, groups)
        out = np.empty((len(words), self.n_members, len(groups)))
        for g, group in enumerate(groups):
            chosen = np.asarray(group, dtype=np.intp)
            out[:, :, g] = words.counts[:, chosen] @ self._log_probabilities[:, chosen].T
        return out

    def _seen(self, missing: FloatArray) -> FloatArray:
        """Probability (n, K) that a word is one of those whose counts are known; 1 if none is."""
        seen = (1.0 - missing) @ self.probabilities.T
        without_gaps = ~missing.any(axis=1)
        without_cells = missing.all(axis=1)
        seen[without_gaps | without_cells] = 1.0
        return seen

    # Learning ---------------------------------------------------------------------------------

    def statistics(
        self, x: Rows | SparseRows | PreparedWords, weights: Responsibilities
    ) -> WordStatistics:
        """Expected counts of the words, and the moments of the lengths of whole rows.

        Where cells are missing, words are thought of as drawn until as many fell on known cells
        as were seen there: the rest is then negative multinomial, N_seen θ / θ(seen) on average,
        and EM climbs the likelihood of the words seen given their number.
        """
        words = self.prepare(x)
        sums = np.asarray(words.counts.T @ weights, dtype=np.float64).T
        counted = words.totals > 0
        if words.missing is not None:
            expected = weights * words.totals[:, None] / self._seen(words.missing)
            sums = sums + self.probabilities * (expected.T @ words.missing)
            counted &= ~words.missing.any(axis=1)
        whole = weights[counted].astype(np.float64)
        totals = words.totals[counted].astype(np.float64)
        return WordStatistics(sums, whole.sum(axis=0), totals @ whole, totals**2 @ whole)

    def maximise(
        self, statistics: WordStatistics, prior: WordStatistics | None = None
    ) -> Multinomial:
        """θ = (counts + pseudo-counts) / their sum; lengths by their mean and variance."""
        words = statistics.words if prior is None else statistics.words + prior.words
        totals = words.sum(axis=1, keepdims=True)
        seen = totals > 0
        probabilities = np.where(seen, words / np.where(seen, totals, 1.0), self.probabilities)
        probabilities = np.maximum(probabilities, _SMALLEST_PROBABILITY)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return Multinomial(probabilities, *self._lengths_of(statistics))

    def _lengths_of(
        self, statistics: WordStatistics
    ) -> tuple[FloatArray | None, FloatArray | None]:
        """Mean and over-dispersion of the lengths by the method of moments."""
        rows = statistics.rows
        if not rows.any():
            return self.lengths, self.dispersions
        means, dispersions = _moments(rows, statistics.lengths, statistics.squared_lengths)
        # A member without rows keeps its lengths, or takes those of all rows if it had none.
        others = _moments(rows.sum(), statistics.lengths.sum(), statistics.squared_lengths.sum())
        known = (self.lengths, self.dispersions if self.lengths is not None else None)
        return tuple(  # type: ignore[return-value]
            np.where(rows > 0, fitted, pooled if old is None else old)
            for fitted, pooled, old in zip((means, dispersions), others, known, strict=True)
        )

    def pseudo_observations(self, strength: float) -> WordStatistics:
        """Dirichlet prior with ``strength`` pseudo-counts a word on average, spread as this bank.

        A bank of equal probabilities gives Laplace's smoothing with alpha = ``strength``.
        """
        nothing = np.zeros(self.n_members)
        counts = strength * self.n_columns * self.probabilities
        return WordStatistics(counts, nothing, nothing, nothing)

    def uniform_prior(self) -> WordStatistics:
        """Half a count for each word (Jeffreys 1946)."""
        nothing = np.zeros(self.n_members)
        return WordStatistics(np.full_like(self.probabilities, 0.5), nothing, nothing, nothing)

    def log_prior(self, prior: WordStatistics | None) -> float:
        """Log Dirichlet density of the probabilities, up to a constant."""
        return 0.0 if prior is None else float((prior.words * self._log_probabilities).sum())

    # Simulation and conditioning --------------------------------------------------------------

    def sample(self, members: Members, rng: np.random.Generator) -> Rows:
        """One row of counts a member, dense (n, V), of random lengths."""
        lengths, dispersions = self._law_of_lengths()
        rates = lengths[members] * _gamma_draws(dispersions[members], 0.0, 0.0, rng)
        totals = rng.poisson(rates)
        return rng.multinomial(totals, self.probabilities[members]).astype(np.float64)

    def select(self, members: Sequence[int] | Members) -> Multinomial:
        """The bank of the given members."""
        chosen = np.asarray(members, dtype=np.intp)
        return Multinomial(
            self.probabilities[chosen],
            None if self.lengths is None else self.lengths[chosen],
            None if self.dispersions is None else self.dispersions[chosen],
        )

    def marginal(self, columns: Sequence[int]) -> Multinomial:
        """The law of some words given how many of them there are: rescaled probabilities."""
        kept = self.probabilities[:, np.asarray(columns, dtype=np.intp)]
        share = kept.sum(axis=1)
        lengths = None if self.lengths is None else self.lengths * share
        return Multinomial(kept / share[:, None], lengths, self.dispersions)

    def condition(
        self, columns: Sequence[int], values: Sequence[float] | FloatArray
    ) -> tuple[Multinomial | None, FloatArray]:
        """The other words, and the log probability (K,) of the values given their sum.

        The counts of some words change what is expected of the length, hence of how many others
        there are, but not which ones. The log probabilities of both parts leave out how many of
        all words are among the ``columns``, which is binomial.
        """
        if not len(columns):
            return self, np.zeros(self.n_members)
        row = np.asarray(values, dtype=np.float64)[None, :]
        log_prob = self.marginal(columns).log_prob(row)[0]
        rest = [j for j in range(self.n_columns) if j not in set(columns)]
        if not rest:
            return None, log_prob
        others = self.marginal(rest)
        if self.lengths is None:
            return others, log_prob
        lengths, dispersions = self._law_of_lengths()
        seen = self.probabilities[:, np.asarray(columns, dtype=np.intp)].sum(axis=1)
        told = 1.0 + float(row.sum()) * dispersions
        expected = lengths * told / (1.0 + seen * lengths * dispersions) * (1.0 - seen)
        return Multinomial(others.probabilities, expected, dispersions / told), log_prob

    def complete(
        self, x: Rows | SparseRows, members: Members, rng: np.random.Generator | None = None
    ) -> Rows | SparseRows:
        """Missing counts at their mean given the row's member and the counts seen, or drawn."""
        from scipy.sparse import issparse

        if issparse(x):
            return x.copy()
        filled = x.astype(np.float64, copy=True)
        missing = np.isnan(filled)
        rows = np.flatnonzero(missing.any(axis=1))
        if not len(rows):
            return filled
        lengths, dispersions = (values[members[rows]] for values in self._law_of_lengths())
        probabilities = self.probabilities[members[rows]]
        seen = np.where(missing[rows], 0.0, probabilities).sum(axis=1)
        totals = np.nansum(filled[rows], axis=1)
        if rng is None:
            told = (1.0 + totals * dispersions) / (1.0 + seen * lengths * dispersions)
        else:
            told = _gamma_draws(dispersions, totals, seen * lengths, rng)
        expected = (lengths * told)[:, None] * probabilities
        filled[missing] = (expected if rng is None else rng.poisson(expected))[missing[rows]]
        return filled

    def _law_of_lengths(self) -> tuple[FloatArray, FloatArray]:
        if self.lengths is None:
            raise UsageError(
                "This multinomial does not know how long rows are: give it `lengths` or fit it."
            )
        dispersions = self.dispersions
        return self.lengths, np.zeros(self.n_members) if dispersions is None else dispersions


def _prepare_sparse(x: SparseRows) -> PreparedWords:
    from scipy.sparse import csr_array

    counts = csr_array(x)
    if not np.issubdtype(counts.dtype, np.floating):
        counts = counts.astype(np.float64)
    possible = _possible(counts.data)
    if not possible.all():
        cells = csr_array((~possible, counts.indices, counts.indptr), shape=counts.shape)
        impossible = np.asarray(cells.sum(axis=1)) > 0
        counts = counts.copy()
        counts.data[np.repeat(impossible, np.diff(counts.indptr))] = 0.0
    terms = gammaln(counts.data.astype(np.float64) + 1.0)
    factorials = csr_array((terms, counts.indices, counts.indptr), shape=counts.shape)
    totals = np.asarray(counts.sum(axis=1))
    base = gammaln(totals.astype(np.float64) + 1.0) - np.asarray(factorials.sum(axis=1))
    if not possible.all():
        base[impossible] = -np.inf
    return PreparedWords(counts, totals, base, None)


def _prepare_dense(x: Rows) -> PreparedWords:
    missing = np.isnan(x)
    any_missing = bool(missing.any())
    counts = np.where(missing, x.dtype.type(0.0), x) if any_missing else x
    impossible = ~_possible(counts).all(axis=1)
    if impossible.any():
        counts = np.where(impossible[:, None], x.dtype.type(0.0), counts)
    totals = counts.sum(axis=1)
    base = gammaln(totals.astype(np.float64) + 1.0)
    base -= gammaln(counts.astype(np.float64) + 1.0).sum(axis=1)
    base[impossible] = -np.inf
    return PreparedWords(counts, totals, base, missing.astype(x.dtype) if any_missing else None)


def _possible(counts: FloatArray) -> Any:
    return (counts >= 0) & (counts == np.floor(counts)) & np.isfinite(counts)


def _moments(rows: Any, lengths: Any, squared_lengths: Any) -> tuple[FloatArray, FloatArray]:
    """Mean L and q of variance L + q L², q ≥ 0."""
    safe = np.where(rows > 0, rows, 1.0)
    means = lengths / safe
    excess = squared_lengths / safe - means**2 - means
    dispersions = np.maximum(excess, 0.0) / np.where(means > 0, means, 1.0) ** 2
    return means, dispersions


def _gamma_draws(
    dispersions: FloatArray, told: Any, expected: Any, rng: np.random.Generator
) -> FloatArray:
    """Draws of how many times the usual rate a row has, of mean 1 and variance q a priori.

    ``told`` words were seen where ``expected`` were to be expected at the usual rate.
    """
    varying = dispersions > 0
    inverse = 1.0 / np.where(varying, dispersions, 1.0)
    draws = rng.gamma(inverse + told, 1.0 / (inverse + expected))
    return np.where(varying, draws, 1.0)
