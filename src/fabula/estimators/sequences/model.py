"""What every estimator over sequences shares: reading them in every form, and answering in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.blocks import Sequences
from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.estimators.base.columns import Columns
from fabula.estimators.sequences.form import Reading, SequenceForm, learn_form

__all__ = ["SequenceEstimator"]

_CLASSIFIERS = ("GenerativeClassifier",)


class SequenceEstimator(BaseEstimator):
    """Base of estimators over sequences.

    ``_read_sequences`` takes one array of all steps with ``lengths``, a list of arrays (T, d) or
    (T,), an array (n, T, d), a list of texts or of lists of symbols, a data frame whose column
    ``sequence`` says which rows belong together (and ``time`` in which order), or a list of data
    frames. An estimator that learned sets ``story_``; `to_state` and `from_state` keep every
    attribute that ends in an underscore.
    """

    reads_sequences = True  # what classifiers and calibration ask of a model inside them

    story_: Any
    form_: SequenceForm

    # Question → why there is no answer, and models that have one.
    _elsewhere: ClassVar[dict[str, tuple[str, tuple[str, ...]]]] = dict.fromkeys(
        ("decide", "decisions", "with_prior", "predict_log_proba"),
        ("it tells one story; a classifier over several of them can answer", _CLASSIFIERS),
    )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def __getattr__(self, name: str) -> Any:
        # Only reached where the estimator has no such attribute.
        if name in self._elsewhere:
            raise CannotAnswerError(name, type(self).__name__, *self._elsewhere[name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # Reading ----------------------------------------------------------------------------------

    def _array_kind(self) -> str:
        """What the columns of an array are: "continuous", "count", "category" or "boolean"."""
        return "continuous"

    def _learn_form(
        self, X: Any, lengths: Any = None, left_out: tuple[Any, ...] = ()
    ) -> tuple[SequenceForm, Reading]:
        """The form of these sequences, and the sequences read."""
        return learn_form(
            X,
            lengths,
            sequence=getattr(self, "sequence", None),
            time=getattr(self, "time", None),
            kinds=getattr(self, "kinds", None),
            array_kind=self._array_kind(),
            left_out=left_out,
        )

    def _reading(
        self, X: Any, lengths: Any = None, *, reset: bool = False, left_out: tuple[Any, ...] = ()
    ) -> Reading:
        """Sequences as numbers with what is needed to answer in their form."""
        if not reset:
            check_is_fitted(self, "form_")
            return self.form_.read(X, lengths)
        shared = getattr(self, "_shared_form", None)
        if shared is not None:
            # The classes of a classifier must count the same symbols, or they cannot be compared.
            self._adopt_form(shared)
            return self.form_.read(X, lengths)
        form, reading = self._learn_form(X, lengths, left_out)
        self._adopt_form(form)
        return reading

    def _adopt_form(self, form: SequenceForm) -> None:
        self.form_ = form
        self.n_features_in_ = len(form.columns.names)
        names = form.columns.names
        if form.encoding is not None and all(isinstance(name, str) for name in names):
            self.feature_names_in_ = np.array(names, dtype=object)
        elif "feature_names_in_" in vars(self):
            del self.feature_names_in_

    def _read_sequences(self, X: Any, lengths: Any = None, *, reset: bool = False) -> Sequences:
        """Sequences as numbers; learns their form when ``reset``."""
        return self._reading(X, lengths, reset=reset).sequences

    def _shared_by_classes(
        self, form: SequenceForm, sequences: Sequences, weights: FloatArray | None
    ) -> dict[str, Any]:
        """What the models of all classes of a classifier are told, by private attribute."""
        return {"_shared_form": form}

    @property
    def columns_(self) -> Columns:
        """What each encoded column stands for."""
        check_is_fitted(self, "form_")
        return self.form_.columns

    def _read_weights(self, sample_weight: Any, sequences: Sequences) -> FloatArray | None:
        """Weights (n,) of whole sequences; None where all count once."""
        if sample_weight is None:
            return None
        n = len(sequences)
        try:
            weights = np.asarray(sample_weight, dtype=np.float64)
        except (TypeError, ValueError):
            raise UsageError("sample_weight must be numbers, one a sequence.") from None
        if weights.shape != (n,):
            raise UsageError(
                f"sample_weight needs one weight for each of the {n} sequences, but has the shape "
                f"{weights.shape}."
            )
        wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if len(wrong):
            raise DataError(
                f"The weight of sequence {wrong[0] + 1} (counting from 1) is "
                f"{weights[wrong[0]]}: weights are finite and not negative."
            )
        if not weights.sum() > 0:
            raise DataError("sample_weight is zero for every sequence: nothing is left to learn.")
        return weights

    # Files ------------------------------------------------------------------------------------

    def to_state(self) -> dict[str, Any]:
        """What a file holds: parameters and what was learned, by name; nothing before a fit."""
        parameters = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if not isinstance(value, np.random.Generator | np.random.RandomState)
        }
        learned = {
            name: value
            for name, value in vars(self).items()
            if name.endswith("_") and not name.startswith("_") and name not in parameters
        }
        return {"parameters": parameters, "learned": learned if "story_" in learned else {}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The estimator that `to_state` took apart."""
        if set(state) != {"parameters", "learned"}:
            raise DataError(f"a {cls.__name__} has parameters and what it learned, nothing else")
        model = cls(**state["parameters"])
        learned = state["learned"]
        if not learned:
            return model
        for name in ("story_", "form_"):
            if name not in learned:
                raise DataError(f"what a {cls.__name__} learned has no {name.rstrip('_')}")
        if not isinstance(learned["form_"], SequenceForm):
            raise DataError(f"the form of a {cls.__name__} is no form of sequences")
        for name, value in learned.items():
            if not name.endswith("_") or name.startswith("_") or hasattr(cls, name):
                raise DataError(f"{name!r} is not something that a {cls.__name__} learns")
            setattr(model, name, value)
        told = getattr(model.story_, "n_columns", model.form_.n_columns)
        if told != model.form_.n_columns:
            raise DataError(f"the story has {told} columns, the sequences {model.form_.n_columns}")
        return model
