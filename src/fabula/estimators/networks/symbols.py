"""The questions that a network over symbols answers, given a class or numbers or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences
from fabula.core.errors import UsageError
from fabula.estimators.base.arguments import generator_of, whole_number
from fabula.estimators.networks.allowed import masks_of
from fabula.estimators.networks.told import ConditionForm
from fabula.estimators.sequences.symbol_questions import SymbolQuestions, bits, check_rule
from fabula.structures.chains.ngram_tree import as_codes

if TYPE_CHECKING:
    from fabula.neural.autoregressive.draws import Rule

__all__ = ["NetworkSymbolQuestions"]


def _knows_classes(model: Any) -> bool:
    return hasattr(model, "classes_")


class NetworkSymbolQuestions(SymbolQuestions):
    """How probable symbols are, and what may come next, given a condition or none."""

    condition_form_: ConditionForm | None
    story_: Any

    _elsewhere = SymbolQuestions._elsewhere | dict.fromkeys(
        ("predict", "predict_proba", "predict_log_proba"),
        ("it was not fitted given classes: fit(X, condition=classes)", ("GenerativeClassifier",)),
    )

    # Density ------------------------------------------------------------------------------------

    def _told(self, condition: Any, n: int) -> FloatArray | None:
        check_is_fitted(self, "story_")
        form = self.condition_form_
        if condition is None:
            if form is not None and form.kind == "numbers":
                raise UsageError(
                    f"This {type(self).__name__} was fitted given numbers: say in condition which, "
                    "since it knows no distribution of them."
                )
            return None
        if form is None:
            raise UsageError(
                f"This {type(self).__name__} was fitted without a condition, so it takes none."
            )
        return form.encode(condition, n)

    def score_samples(self, X: Any, lengths: Any = None, *, condition: Any = None) -> FloatArray:
        """Log probability of each sequence, with its end if sequences end, in nats.

        Parameters
        ----------
        X : sequences in any form, or one text
        lengths : list of int, optional
            Numbers of steps, where ``X`` is one array of all steps.
        condition : class, numbers, or a list of them, optional
            As in `sample`. Without it a model of classes gives the probability under all of them
            together.

        Returns
        -------
        (n,) array
        """
        sequences = self._asked(X, lengths).sequences
        told = self._told(condition, len(sequences))
        return np.asarray(self.story_.log_prob(sequences, told))

    def score(self, X: Any, lengths: Any = None, *, condition: Any = None, y: Any = None) -> float:
        """Log probability of all sequences together, in nats; ``y`` is ignored."""
        return float(self.score_samples(X, lengths, condition=condition).sum())

    def bits_per_symbol(self, X: Any, lengths: Any = None, *, condition: Any = None) -> float:
        """Mean of -log2 p(symbol | those before it), where an end counts as a symbol."""
        sequences = self._asked(X, lengths).sequences
        return bits(self.story_, sequences, told=(self._told(condition, len(sequences)),))

    def perplexity(self, X: Any, lengths: Any = None, *, condition: Any = None) -> float:
        """2 to the power of `bits_per_symbol`: among how many symbols the model seems to choose."""
        return float(2.0 ** self.bits_per_symbol(X, lengths, condition=condition))

    def anomaly_scores(self, X: Any, lengths: Any = None, *, condition: Any = None) -> Any:
        """Surprise at each symbol: -log p(symbol | those before it), nats.

        Returns
        -------
        array (N,), or a list of arrays for a list of sequences
            Without what the ends say, their sum over a sequence is minus its `score_samples`.
        """
        reading = self._asked(X, lengths)
        told = self._told(condition, len(reading.sequences))
        scores = reading.give(-self.story_.symbol_scores(reading.sequences, told)[0])
        return scores[0] if isinstance(X, str) else scores

    # Classes ------------------------------------------------------------------------------------

    @property
    def classes_(self) -> np.ndarray:
        """The classes that were told in the fit, if they were classes."""
        form = vars(self).get("condition_form_")
        if form is None or form.kind != "class":
            raise AttributeError(f"this {type(self).__name__} was not fitted given classes")
        plain = len({type(label) for label in form.labels}) == 1
        return np.array(form.labels, dtype=None if plain else object)

    @available_if(_knows_classes)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any, lengths: Any = None) -> FloatArray:
        """Log probability of each class (n, K) by Bayes' rule, where the fit was given classes."""
        joint = self.story_.log_joint(self._asked(X, lengths).sequences)
        return np.asarray(joint - np.logaddexp.reduce(joint, axis=1)[:, None])

    @available_if(_knows_classes)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any, lengths: Any = None) -> FloatArray:
        """Probability of each class (n, K) by Bayes' rule, where the fit was given classes."""
        return np.asarray(np.exp(self.predict_log_proba(X, lengths)))

    @available_if(_knows_classes)  # type: ignore[untyped-decorator]
    def predict(self, X: Any, lengths: Any = None) -> np.ndarray:
        """The most probable class of each sequence (n,), where the fit was given classes."""
        return np.asarray(self.classes_[self.predict_log_proba(X, lengths).argmax(axis=1)])

    # What comes next ----------------------------------------------------------------------------

    def predict_next(
        self, prefix: Any = "", n: int | None = None, *, condition: Any = None
    ) -> list[tuple[Any, float]]:
        """The symbols that may come after a prefix, most probable first.

        Parameters
        ----------
        prefix : str or list of symbols
            How the sequence begins; of a running text, what stands before.
        n : int, optional
            How many; all by default.
        condition : class or numbers, optional

        Returns
        -------
        list of (symbol, probability)
            The symbol None is the end of the sequence. The probabilities of all add up to 1 less
            that of a symbol never seen.
        """
        check_is_fitted(self, "story_")
        told = self._told(condition, 1)
        shares = self.story_.next_probabilities(
            self._codes_of(prefix), None if told is None else told[0]
        )
        return self._most_probable(shares, n)

    def sample(
        self,
        n_samples: int = 1,
        *,
        prefix: Any = "",
        temperature: float = 1.0,
        max_length: int = 1000,
        top_k: int | None = None,
        top_p: float = 1.0,
        condition: Any = None,
        allowed: Any = None,
        length: int | None = None,
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
        condition : class, numbers, or a list of ``n_samples`` of them, optional
            What the fit was told. Without it a model of classes draws one for each sequence.
        allowed : str, set, list or callable, optional
            Which symbols may be drawn: a text or a set, for all places; a list with one such for
            each place from the first (None: any symbol), after which everything is allowed; or a
            function that is given the symbols so far and returns one such, or None. In lists and
            from functions the end is allowed where None is among the symbols.
        length : int, optional
            Every sequence has exactly this length.
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
            The prefix holds a symbol that the model does not know; or at some place nothing is
            allowed.

        Notes
        -----
        What is not allowed has probability 0 at its place, and the rest is scaled to 1. That is not
        the distribution of sequences that happen to keep to it: a place is not chosen with an eye
        to what will be allowed after it.
        """
        check_is_fitted(self, "story_")
        name = "max_length" if length is None else "length"
        most = whole_number(name, max_length if length is None else length)
        codes = self._beginning(prefix, most, name)
        begun = [codes] * whole_number("n_samples", n_samples)
        rule = self._rule(temperature, top_k, top_p, allowed, length)
        return self._write(self._draw(begun, most, rule, condition, random_state))

    def sample_from(
        self,
        X: Any,
        n_steps: int,
        lengths: Any = None,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        condition: Any = None,
        allowed: Any = None,
        random_state: Any = None,
    ) -> Any:
        """Go on from each sequence for up to ``n_steps`` symbols: one draw of what comes next.

        Parameters
        ----------
        X : sequences in any form, or one text
        n_steps : int
        lengths : list of int, optional
        temperature, top_k, top_p, condition, allowed, random_state
            As in `sample`; places are counted from the beginning of each sequence.

        Returns
        -------
        The further symbols only, in the form of the data of the fit.
        """
        sequences = self._asked(X, lengths).sequences
        begun = [
            self._refuse_unknown(self._as_codes(sequences[i : i + 1]), f"Sequence {i + 1}")
            for i in range(len(sequences))
        ]
        sizes = sequences.lengths + whole_number("n_steps", n_steps, 0)
        rule = self._rule(temperature, top_k, top_p, allowed)
        drawn = self._draw(begun, sizes, rule, condition, random_state)
        return self._write(_without_beginnings(drawn, sequences.lengths))

    def _rule(
        self,
        temperature: float,
        top_k: int | None,
        top_p: float,
        allowed: Any,
        length: int | None = None,
    ) -> Rule:
        from fabula.neural.autoregressive.draws import Rule

        check_rule(temperature, top_k, top_p)
        masks = masks_of(allowed, length, self.symbols_, self._written, self.story_.ends)
        return Rule(float(temperature), top_k, float(top_p), masks)

    def _draw(
        self, begun: list[np.ndarray], max_length: Any, rule: Rule, condition: Any, seed: Any
    ) -> Sequences:
        rng = generator_of(self.random_state if seed is None else seed)
        told = self._told(condition, len(begun))
        drawn: Sequences = self.story_.continue_codes(
            begun, rng, rule=rule, max_length=max_length, condition=told
        )
        return drawn

    def _written(self, codes: np.ndarray) -> Any:
        """Symbols as the owner of the data knows them: a text of texts, else a list."""
        symbols = [self.symbols_[code] for code in codes.tolist()]
        return "".join(symbols) if self.form_.container == "texts" else symbols

    def _as_codes(self, sequences: Sequences) -> np.ndarray:
        return np.asarray(as_codes(sequences, self._n_symbols).steps)


def _without_beginnings(drawn: Sequences, sizes: np.ndarray) -> Sequences:
    of_sequence = np.repeat(np.arange(len(drawn)), drawn.lengths)
    new = np.arange(drawn.n_steps) - drawn.offsets[of_sequence] >= sizes[of_sequence]
    offsets = np.concatenate([[0], np.cumsum(drawn.lengths - sizes)]).astype(np.intp)
    return Sequences(drawn.steps[new], offsets)
