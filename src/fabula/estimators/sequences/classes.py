"""Classifiers whose rows may be whole sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import Codes, FloatArray
from fabula.core.blocks import SequenceBlocks, Sequences
from fabula.core.errors import CannotAnswerError, UsageError
from fabula.core.threads import single_threaded_blas
from fabula.estimators.base.arguments import generator_of, whole_number
from fabula.estimators.base.class_questions import ClassQuestions
from fabula.estimators.base.families import choose_families
from fabula.estimators.sequences.form import Reading, SequenceForm
from fabula.learning.em import accumulate
from fabula.structures.chains.markov_chain import MarkovChain, MarkovChainPrior
from fabula.structures.class_conditional import ClassConditional, ClassConditionalPrior
from fabula.structures.mixture import draw_members

__all__ = ["SequenceClassQuestions", "common_emission", "settled_chains"]


class SequenceClassQuestions(ClassQuestions):
    """Questions about the class, of rows or, where the model inside reads them, of sequences."""

    form_: SequenceForm

    def _inner(self) -> Any:
        raise NotImplementedError

    @property
    def reads_sequences(self) -> bool:
        """Whether each thing that is classified is a whole sequence."""
        return bool(getattr(self._inner(), "reads_sequences", False))

    # Reading ----------------------------------------------------------------------------------

    def _learn_form(self, X: Any, lengths: Any = None) -> tuple[SequenceForm, Reading]:
        form, reading = self._inner()._learn_form(X, lengths)
        return form, reading

    def _read(
        self,
        X: Any,
        *,
        reset: bool = False,
        kinds: Mapping[Any, Any] | None = None,
        check: bool = True,
    ) -> Any:
        if not self.reads_sequences:
            return super()._read(X, reset=reset, kinds=kinds, check=check)
        if not reset:
            check_is_fitted(self, "form_")
            return self.form_.read(X).sequences
        shared = getattr(self, "_shared_form", None)
        form, reading = (shared, shared.read(X)) if shared is not None else self._learn_form(X)
        self.form_ = form
        self.encoding_ = None
        self.container_ = form.package
        self.columns_ = form.columns
        self.n_features_in_ = len(form.columns.names)
        return reading.sequences

    def _read_weights(self, sample_weight: Any, x: Any) -> FloatArray | None:
        rows = np.empty((len(x), 1)) if isinstance(x, Sequences) else x
        return super()._read_weights(sample_weight, rows)

    # Questions of rows that sequences do not have ----------------------------------------------

    def _refuse_for_sequences(self, question: str) -> None:
        if self.reads_sequences:
            raise CannotAnswerError(
                question,
                f"{type(self).__name__} over sequences",
                "it is a question about the columns of a row; ask the models of the classes in "
                "`estimators_`",
                (type(self._inner()).__name__,),
            )

    def _given(self, given: Mapping[Any, Any]) -> Any:
        self._refuse_for_sequences("condition")
        return super()._given(given)

    def marginal(self, columns: Sequence[Any]) -> Self:
        """As `NaiveBayes.marginal`."""
        self._refuse_for_sequences("marginal")
        return super().marginal(columns)

    def outliers(self, X: Any, *, n_draws: int = 10_000) -> FloatArray:
        """As `NaiveBayes.outliers`."""
        self._refuse_for_sequences("outliers")
        return super().outliers(X, n_draws=n_draws)

    def impute(
        self, X: Any, how: str = "mean", n_draws: int | None = None, *, random_state: Any = None
    ) -> Any:
        """As `NaiveBayes.impute`."""
        self._refuse_for_sequences("impute")
        return super().impute(X, how, n_draws, random_state=random_state)

    def contributions(self, X: Any, reference: Any = None, *, words: bool = False) -> Any:
        """As `NaiveBayes.contributions`."""
        self._refuse_for_sequences("contributions")
        return super().contributions(X, reference, words=words)

    def sample(
        self,
        n_samples: int = 1,
        random_state: Any = None,
        *,
        given: Mapping[Any, Any] | None = None,
        n_steps: Any = None,
        max_length: int = 1000,
    ) -> tuple[Any, np.ndarray]:
        """Draw rows, or sequences, and the class of each.

        Parameters
        ----------
        n_samples : int
        random_state : int, Generator, RandomState or None
        given : mapping, optional
            Condition on columns, of rows only; see `NaiveBayes.sample`.
        n_steps : int or (n_samples,) list of int
            Of sequences, how many steps they have. Needed where a chain goes on for ever; Markov
            chains that learned how sequences end draw the end, too, unless it is given.
        max_length : int
            Longest sequence where ends are drawn; longer ones are cut there.

        Returns
        -------
        X : in the form of the data of the fit
        y : (n_samples,) array
        """
        if not self.reads_sequences:
            if n_steps is not None:
                raise UsageError("n_steps goes with sequences; these are rows.")
            return super().sample(n_samples, random_state, given=given)
        check_is_fitted(self, "story_")
        if given:
            self._refuse_for_sequences("sample with a condition")
        n_samples = whole_number("n_samples", n_samples)
        ending = all(getattr(story, "ends", False) for story in self.story_.stories)
        if n_steps is None and not ending:
            raise UsageError("Say how many steps the sequences have: sample(n, n_steps=50).")
        lengths = None
        if n_steps is not None:
            sizes = np.broadcast_to(np.asarray(n_steps), (n_samples,))
            lengths = np.array([whole_number("n_steps", size, 0) for size in sizes], dtype=np.intp)
        whole_number("max_length", max_length)
        if random_state is None:
            random_state = getattr(self._inner(), "random_state", None)
        rng = generator_of(random_state)
        classes = draw_members(self.story_.log_weights, n_samples, rng)
        parts: list[Any] = [None] * n_samples
        for c in np.unique(classes):
            mine = np.flatnonzero(classes == c)
            story = self.story_.stories[c]
            if lengths is None:
                drawn = story.sample_codes(len(mine), rng, max_length=max_length)
            else:
                drawn = story.sample(lengths[mine], rng)[0]
            for i, steps in zip(mine, np.split(drawn.steps, drawn.offsets[1:-1]), strict=True):
                parts[i] = steps.reshape(len(steps), self.form_.n_columns)
        offsets = np.concatenate([[0], np.cumsum(list(map(len, parts)))]).astype(np.intp)
        steps = np.concatenate(parts).astype(np.float64)
        form = self.form_.separate() if lengths is None else self.form_
        return form.write(Sequences(steps, offsets)), self.classes_[classes]


def common_emission(
    inner: Any, form: SequenceForm, x: Sequences, known: Codes, n_classes: int
) -> Any:
    """The model with the family of each column chosen from all classes together.

    Chosen class by class, a column might be gamma in one, where it is never 0, and normal in
    another: a sequence with a 0 would then be impossible in the first.
    """
    fields = form.columns.fields
    if getattr(inner, "emission", None) != "auto" or all(f.kind == "continuous" for f in fields):
        return inner
    each = np.repeat(known, x.lengths)

    def shares(rows: Any) -> FloatArray:
        return np.asarray(each[rows][:, None] == np.arange(n_classes), dtype=np.float64)

    names = choose_families(fields, x.steps, "auto", shares)
    chosen = {field.column: name for field, name in zip(fields, names, strict=True)}
    return clone(inner).set_params(emission=chosen)


def settled_chains(
    story: ClassConditional, blocks: SequenceBlocks, prior: ClassConditionalPrior
) -> tuple[ClassConditional, ClassConditionalPrior]:
    """Where EM over rows without a class begins, and the prior that it climbs under.

    Of Markov chains, one pass over everything settles the shorter contexts, which are the prior of
    the longest ones from there on: the shorter ones would not stay where smoothing has them.
    """
    if not all(isinstance(chain, MarkovChain) for chain in story.stories):
        return story, prior
    with single_threaded_blas():
        story = story.maximise(
            accumulate(story.statistics, blocks),
            ClassConditionalPrior(fixed_log_weights=prior.fixed_log_weights),
        )
    stories = tuple(MarkovChainPrior(chain.tree) for chain in story.stories)
    return story, replace(prior, stories=stories)
