"""The questions that a chain of symbols answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.arguments import check_range, generator_of, whole_number
from fabula.estimators.sequences.form import Reading
from fabula.estimators.sequences.model import SequenceEstimator
from fabula.structures.chains.markov_chain import MarkovChain as Chain
from fabula.structures.chains.ngram_tree import as_codes

__all__ = ["SymbolQuestions", "bits", "check_rule", "listed"]


class SymbolQuestions(SequenceEstimator):
    """How probable symbols are, and what may come next."""

    random_state: Any = None
    density_kind = "exact"
    story_: Chain

    _elsewhere = SequenceEstimator._elsewhere | {
        **dict.fromkeys(
            ("predict", "predict_proba", "decode"),
            (
                "it has no hidden states; `predict_next` says which symbols may come after a "
                "prefix",
                ("HiddenMarkovModel", "GenerativeClassifier"),
            ),
        ),
        "forecast": (
            "what comes next is a symbol; `predict_next` says which, and `sample` goes on from a "
            "prefix",
            ("HiddenMarkovModel",),
        ),
        "impute": (
            "it needs every symbol before a step, so it cannot look across a gap",
            ("HiddenMarkovModel",),
        ),
        **dict.fromkeys(
            ("aic", "bic"),
            ("its n-grams are smoothed, not free; `bits_per_symbol` of other data compares", ()),
        ),
    }

    @property
    def _n_symbols(self) -> int:
        return int(self.form_.columns.levels[0])

    @property
    def symbols_(self) -> tuple[Any, ...]:
        """The symbols that the chain knows, in the order of their codes."""
        check_is_fitted(self, "form_")
        form = self.form_
        if form.symbols:
            return form.symbols
        if form.encoding is not None:
            return tuple(form.encoding.schema[form.columns.fields[0].column].levels)
        return tuple(range(self._n_symbols))

    # Density ------------------------------------------------------------------------------------

    def _asked(self, X: Any, lengths: Any = None) -> Reading:
        check_is_fitted(self, "story_")
        return self._reading(listed(X), lengths)

    def score_samples(self, X: Any, lengths: Any = None) -> FloatArray:
        """Log probability of each sequence, with its end if sequences end, in nats.

        Parameters
        ----------
        X : sequences in any form, or one text
        lengths : list of int, optional
            Numbers of steps, where ``X`` is one array of all steps.

        Returns
        -------
        (n,) array
        """
        return self.story_.log_prob(self._asked(X, lengths).sequences)

    def score(self, X: Any, lengths: Any = None, *, y: Any = None) -> float:
        """Log probability of all sequences together, in nats; ``y`` is ignored."""
        return float(self.score_samples(X, lengths).sum())

    def bits_per_symbol(self, X: Any, lengths: Any = None) -> float:
        """Mean of -log2 p(symbol | those before it), where an end counts as a symbol."""
        return bits(self.story_, self._asked(X, lengths).sequences)

    def perplexity(self, X: Any, lengths: Any = None) -> float:
        """2 to the power of `bits_per_symbol`: among how many symbols the chain seems to choose."""
        return float(2.0 ** self.bits_per_symbol(X, lengths))

    def anomaly_scores(self, X: Any, lengths: Any = None) -> Any:
        """Surprise at each symbol: -log p(symbol | those before it), nats.

        Returns
        -------
        array (N,), or a list of arrays for a list of sequences
            Without what the ends say, their sum over a sequence is minus its `score_samples`.
        """
        reading = self._asked(X, lengths)
        scores = reading.give(-self.story_.symbol_scores(reading.sequences)[0])
        return scores[0] if isinstance(X, str) else scores

    @property
    def n_parameters(self) -> int:
        """Number of n-grams that were seen, and of the parameters of smoothing."""
        check_is_fitted(self, "story_")
        return self.story_.n_parameters

    # What comes next ----------------------------------------------------------------------------

    def predict_next(self, prefix: Any = "", n: int | None = None) -> list[tuple[Any, float]]:
        """The symbols that may come after a prefix, most probable first.

        Parameters
        ----------
        prefix : str or list of symbols
            How the sequence begins; of a running text, what stands before.
        n : int, optional
            How many; all by default.

        Returns
        -------
        list of (symbol, probability)
            The symbol None is the end of the sequence. The probabilities of all add up to 1 less
            that of a symbol never seen.
        """
        check_is_fitted(self, "story_")
        return self._most_probable(self.story_.next_probabilities(self._codes_of(prefix)), n)

    def sample(
        self,
        n_samples: int = 1,
        *,
        prefix: Any = "",
        temperature: float = 1.0,
        max_length: int = 1000,
        top_k: int | None = None,
        top_p: float = 1.0,
        random_state: Any = None,
    ) -> Any:
        """Draw sequences.

        Parameters
        ----------
        n_samples : int
        prefix : str or list of symbols
            How every sequence begins.
        temperature : float
            Probabilities are raised to the power 1/temperature: below 1 likely symbols become
            likelier; 0 always takes the likeliest.
        max_length : int
            Sequences are cut at this length; without ends, all have it.
        top_k : int, optional
            Draw among so many of the most probable symbols.
        top_p : float
            Draw among the fewest symbols that have this probability together.
        random_state : int, Generator or None
            None takes the ``random_state`` of the estimator.

        Returns
        -------
        list of texts, of lists of symbols or of arrays of codes, as in `fit`

        Raises
        ------
        UsageError
            A parameter makes no sense.
        DataError
            The prefix holds a symbol that the model does not know.
        """
        check_is_fitted(self, "story_")
        whole_number("n_samples", n_samples)
        check_rule(temperature, top_k, top_p)
        codes = self._beginning(prefix, whole_number("max_length", max_length))
        rng = generator_of(self.random_state if random_state is None else random_state)
        drawn = self.story_.sample_codes(
            n_samples,
            rng,
            prefix=codes,
            temperature=float(temperature),
            max_length=max_length,
            top_k=top_k,
            top_p=float(top_p),
        )
        return self._write(drawn)

    # Inside -------------------------------------------------------------------------------------

    def _most_probable(self, probabilities: FloatArray, n: int | None) -> list[tuple[Any, float]]:
        """The first n known symbols, or the end, with their probabilities."""
        if n is not None:
            whole_number("n", n)
        symbols: list[Any] = [*self.symbols_, "unknown", None][: len(probabilities)]
        order = np.argsort(-probabilities, kind="stable")
        found = [(symbols[v], float(probabilities[v])) for v in order if v != self._n_symbols]
        return found[:n]

    def _write(self, drawn: Sequences) -> Any:
        """Drawn codes in the form of the data of the fit, one sequence apart from the next."""
        steps = drawn.steps[:, None].astype(np.float64)
        return self.form_.separate().write(drawn.with_steps(steps))

    def _beginning(self, prefix: Any, most: int, name: str = "max_length") -> np.ndarray:
        """Codes of a prefix, all of them known, that leaves room in so many steps."""
        codes = self._refuse_unknown(self._codes_of(prefix), "The prefix", prefix)
        if len(codes) > most:
            raise UsageError(f"The prefix is longer than {name}={most}.")
        return codes

    def _refuse_unknown(self, codes: np.ndarray, name: str, symbols: Any = None) -> np.ndarray:
        unknown = np.flatnonzero(codes == self._n_symbols)
        if len(unknown):
            what = "a symbol" if symbols is None else repr(symbols[int(unknown[0])])
            raise DataError(
                f"{name} holds {what} (symbol {unknown[0] + 1}, counting from 1), which the model "
                "does not know: take symbols that the data hold."
            )
        return codes

    def _codes_of(self, prefix: Any) -> np.ndarray:
        if not isinstance(prefix, Sequence | np.ndarray):
            raise UsageError(f"prefix must be a text or a list of symbols, not {prefix!r}.")
        if not len(prefix):
            return np.zeros(0, dtype=np.int64)
        if self.form_.encoding is not None:
            table = {symbol: code for code, symbol in enumerate(self.symbols_)}
            return np.array([table.get(symbol, self._n_symbols) for symbol in prefix])
        sequences = self.form_.read([prefix]).sequences
        return np.asarray(as_codes(sequences, self._n_symbols).steps)


def listed(X: Any) -> Any:
    """One text is a list of one."""
    return [X] if isinstance(X, str) else X


def check_rule(temperature: Any, top_k: Any, top_p: Any) -> None:
    """Refuse ways of drawing symbols that make no sense."""
    check_range("temperature", temperature, 0.0, np.inf)
    check_range("top_p", top_p, 0.0, 1.0)
    if top_k is not None:
        whole_number("top_k", top_k)


def bits(
    story: Any, sequences: Sequences, weights: FloatArray | None = None, told: tuple[Any, ...] = ()
) -> float:
    """Bits per symbol of weighted sequences, of which more may be told; an end is a symbol."""
    n_symbols = sequences.lengths + int(story.ends)
    each = np.ones(len(sequences)) if weights is None else weights
    total = float(each @ n_symbols)
    if not total > 0:
        raise DataError("The sequences have no symbols: there is nothing to score.")
    return -float(each @ story.log_prob(sequences, *told)) / total / float(np.log(2.0))
