"""Markov chains of symbols: names, texts, codes."""

from __future__ import annotations

import time as clock
from typing import Any, Self

import numpy as np
from sklearn.base import DensityMixin

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.arguments import generator_of, whole_number
from fabula.estimators.sequences.form import SequenceForm
from fabula.estimators.sequences.symbol_form import LearnsSymbols
from fabula.estimators.sequences.symbol_questions import bits
from fabula.learning.em import Report
from fabula.persistence.registry import storable
from fabula.structures.chains.markov_chain import MarkovChain as Chain
from fabula.structures.chains.ngram_smoothing import SMOOTHINGS
from fabula.structures.chains.ngram_tree import as_codes

__all__ = ["MarkovChain"]

# The share of the data on which orders are compared.
_HELD_OUT = 0.1


@storable("estimator/markov_chain")
class MarkovChain(LearnsSymbols, DensityMixin):
    """Symbols of a sequence, each of which depends on a few before it.

    Contexts that were seldom or never seen borrow from shorter ones.

    Parameters
    ----------
    order : int or "auto"
        How many symbols back the chain looks; 0 for symbols that depend on nothing. "auto" takes
        the order from 0 to ``max_order`` under which a tenth of the sequences, or the last tenth
        where there are fewer than ten, is most probable.
    smoothing : {"kneser-ney", "dirichlet"}
        Interpolated Kneser–Ney with three discounts for each length of n-grams; or Dirichlet
        distributions about the probabilities of the next shorter context. The first predicts
        better; the second takes any weights, so it also learns from sequences of which the class
        is not known.
    ends : bool or "auto"
        Whether sequences begin and end, as names do; a running text does not. "auto": unless the
        data are one single text.
    alphabet : str or list, optional
        All symbols there are; those that occur by default.
    concentration : float, optional
        With "dirichlet": the weight of shorter contexts, in observations. By default that of the
        greatest evidence, one for each length of n-grams; inside a `GenerativeClassifier` that of
        the sequences of all classes together.
    max_order : int
        The highest order that "auto" considers.
    sequence, time : column name, optional
        Columns of a data frame that say which rows are one sequence, and in which order.
    random_state : int, Generator or None
        For `sample`, and for which sequences "auto" sets aside.

    Attributes
    ----------
    order_ : int
    criteria_ : list of (int, float)
        With "auto": bits per symbol of what was set aside, under each order.
    symbols_ : tuple
        The symbols that the chain knows.
    story_, report_
        The joint distribution, and how its fit went.

    Notes
    -----
    One outcome stands for all symbols that were never seen. It has the probability that smoothing
    gives to a symbol of which nothing is known, so a text with a new symbol has a finite score, and
    the probabilities of the known symbols add up to a little less than 1. Such a symbol is never
    drawn.

    References
    ----------
    Chen and Goodman (1999), Comput. Speech Lang. 13:359. MacKay and Peto (1995), Nat. Lang. Eng.
    1:289.

    Examples
    --------
    >>> from fabula.estimators.markov_chain import MarkovChain
    >>> model = MarkovChain(order=2, random_state=0).fit(["anna", "hanna", "nana", "ann"])
    >>> model.sample(2, prefix="ha", temperature=0)
    ['hanna', 'hanna']
    >>> [(symbol, round(p, 2)) for symbol, p in model.predict_next("an", 2)]
    [('n', 0.49), ('a', 0.34)]
    """

    def __init__(
        self,
        order: Any = 3,
        smoothing: str = "kneser-ney",
        *,
        ends: Any = "auto",
        alphabet: Any = None,
        concentration: float | None = None,
        max_order: int = 8,
        sequence: Any = None,
        time: Any = None,
        random_state: Any = None,
    ):
        self.order = order
        self.smoothing = smoothing
        self.ends = ends
        self.alphabet = alphabet
        self.concentration = concentration
        self.max_order = max_order
        self.sequence = sequence
        self.time = time
        self.random_state = random_state

    # Learning -----------------------------------------------------------------------------------

    def fit(self, X: Any, lengths: Any = None, *, sample_weight: Any = None, y: Any = None) -> Self:
        """Count which symbols follow which.

        Parameters
        ----------
        X : sequences
            One text (str); a list of texts, of lists of symbols or of arrays of codes 0, 1, …; an
            array of all codes with ``lengths``; or a data frame with one column of categories
            beside ``sequence`` and ``time``.
        lengths : list of int, optional
            Numbers of steps of the sequences.
        sample_weight : (n,) array, optional
            How many sequences each counts for: whole numbers for Kneser–Ney smoothing.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        UsageError
            A parameter makes no sense, or a weight is no whole number.
        DataError
            There are no symbols, one is missing or not in ``alphabet``; the message names sequence
            and step.
        """
        began = clock.perf_counter()
        self._check_parameters()
        sequences, ends = self._read_symbols(X, lengths)
        weights = self._read_weights(sample_weight, sequences)
        self._forget_choice()
        self.order_ = self._choose_order(sequences, weights, ends)
        self.story_ = self._learn(sequences, weights, self.order_, ends)
        self.report_ = Report((), True, "closed form", 1, clock.perf_counter() - began)
        return self

    def _shared_by_classes(
        self, form: SequenceForm, sequences: Sequences, weights: FloatArray | None
    ) -> dict[str, Any]:
        """With "dirichlet", also the concentrations, which a class of few sequences hardly shows.

        Nor could chains be compared fairly that trust what they counted to different degrees.
        """
        shared = super()._shared_by_classes(form, sequences, weights)
        if self.smoothing == "dirichlet" and self.concentration is None:
            self._check_parameters()
            x = as_codes(sequences, int(form.columns.levels[0]))
            order = self.max_order if self.order == "auto" else int(self.order)
            ends = True if self.ends == "auto" else bool(self.ends)
            learned = Chain.learn(
                x, int(form.columns.levels[0]), order,
                ends=ends, smoothing="dirichlet", weights=weights,
            )  # fmt: skip
            shared["_shared_concentrations"] = learned.concentrations
        return shared

    def _learn(
        self, sequences: Sequences, weights: FloatArray | None, order: int, ends: bool
    ) -> Chain:
        alphas = getattr(self, "_shared_concentrations", None)
        chain = Chain.learn(
            sequences,
            self._n_symbols,
            order,
            ends=ends,
            smoothing=self.smoothing,
            concentration=self.concentration if alphas is None else alphas[: order + 1],
            weights=weights,
        )
        _ = chain.shares  # weights that smoothing cannot take are found out here
        return chain

    def _choose_order(self, sequences: Sequences, weights: FloatArray | None, ends: bool) -> int:
        if self.order != "auto":
            return int(self.order)
        n = len(sequences)
        if n < 10:
            kept, tested = _cut_last(sequences)
            shares: tuple[Any, Any] = (weights, weights)
        else:
            shuffled = generator_of(self.random_state).permutation(n)
            n_tested = max(int(_HELD_OUT * n), 1)
            first, last = np.sort(shuffled[n_tested:]), np.sort(shuffled[:n_tested])
            kept, tested = sequences[first], sequences[last]
            shares = (None, None) if weights is None else (weights[first], weights[last])
        if not kept.n_steps or not tested.n_steps:
            raise DataError(
                "The sequences are too few or too short to set some aside: state the order."
            )
        chain = self._learn(kept, shares[0], self.max_order, ends)
        self.criteria_ = [
            (order, bits(chain.cut(order), tested, shares[1]))
            for order in range(self.max_order + 1)
        ]
        return min(self.criteria_, key=lambda found: found[1])[0]

    def _forget_choice(self) -> None:
        self.__dict__.pop("criteria_", None)

    def _refresh(self) -> None:
        """Nothing beside the story depends on it."""

    def _check_parameters(self) -> None:
        if not (isinstance(self.order, str) and self.order == "auto"):
            whole_number("order", self.order, 0)
        whole_number("max_order", self.max_order, 0)
        if self.smoothing not in SMOOTHINGS:
            raise UsageError(
                f"smoothing must be one of {', '.join(SMOOTHINGS)}, not {self.smoothing!r}."
            )
        self._check_ends()
        alpha = self.concentration
        if alpha is not None:
            if self.smoothing != "dirichlet":
                raise UsageError("concentration goes with smoothing='dirichlet' only.")
            if not isinstance(alpha, int | float | np.number) or not 0 < alpha < np.inf:
                raise UsageError(f"concentration must be a positive number, not {alpha!r}.")
        self._check_alphabet()


def _cut_last(sequences: Sequences) -> tuple[Sequences, Sequences]:
    """The first nine tenths of each sequence, and the rest."""
    first, last = [], []
    for low, high in zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True):
        middle = high - int(np.ceil(_HELD_OUT * (high - low))) if high - low > 1 else high
        first.append(sequences.steps[low:middle])
        last.append(sequences.steps[middle:high])
    return _stack(first), _stack(last)


def _stack(parts: list[np.ndarray]) -> Sequences:
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.intp)
    return Sequences(np.concatenate(parts), offsets)
