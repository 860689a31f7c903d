"""Questions about a column of categories, any one of them, taken as the target."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError, UsageError
from fabula.estimators.base.class_questions import read_prior, wants_estimate
from fabula.estimators.base.frames import is_frame
from fabula.estimators.base.questions import TableQuestions
from fabula.questions import classify, contribute
from fabula.questions.decide import Decisions, decide
from fabula.structures.trees.classes import ColumnAsClass, ColumnOfAverage, column_as_class

__all__ = ["TargetQuestions"]


class TargetQuestions(TableQuestions):
    """What classifiers answer, of any column of categories.

    Every question takes ``target``: a column of the table, whose cells in ``X`` are then not
    looked at (the column may be absent from a data frame). Without it, the target is the ``y`` of
    the fit.
    """

    target_: Any

    def classes_of(self, target: Any = None) -> np.ndarray:
        """The classes, in the order in which probabilities stand."""
        return self._names_of_levels(self._target_place(target))

    def prior_of(self, target: Any = None) -> FloatArray:
        """Probabilities (C,) of the classes while nothing is known of a row."""
        view = column_as_class(self.story_, self._target_place(target))
        return np.asarray(np.exp(view.log_weights))

    @property
    def class_prior_(self) -> FloatArray:
        """The same of the ``y`` of the fit."""
        return self.prior_of()

    def predict_proba(self, X: Any, target: Any = None) -> FloatArray:
        """Posterior probability (n, C) of every class of the target.

        Parameters
        ----------
        X : (n, d) array or data frame
        target : column, optional

        Raises
        ------
        UsageError
            There is no such column, or it is no category; or no ``target`` was named and the model
            was fitted without ``y``.
        """
        view, x = self._view(X, target)
        return classify.class_probabilities(view, x)

    def predict_log_proba(self, X: Any, target: Any = None) -> FloatArray:
        """Log posterior probability (n, C) of every class of the target, in nats."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X, target)))

    def predict_joint_log_proba(self, X: Any, target: Any = None) -> FloatArray:
        """Log p(row, class) of every class of the target in nats, (n, C)."""
        view, x = self._view(X, target)
        return classify.log_joint(view, x)

    def predict(self, X: Any, target: Any = None) -> np.ndarray:
        """The most probable class of each row, (n,)."""
        codes = self.predict_proba(X, target).argmax(axis=1)
        return np.asarray(self.classes_of(target)[codes])

    def decide(
        self,
        X: Any,
        costs: Any,
        reject_cost: float | None = None,
        *,
        rejected: Any = None,
        target: Any = None,
    ) -> np.ndarray:
        """The action with the smallest expected cost, for each row; as in `NaiveBayes.decide`."""
        return self.decisions(X, costs, reject_cost, target=target).labels(rejected)

    def decisions(
        self, X: Any, costs: Any, reject_cost: float | None = None, *, target: Any = None
    ) -> Decisions:
        """As `decide`, with the expected cost of each decision in the unit of the costs."""
        probabilities = self.predict_proba(X, target)
        return decide(probabilities, costs, self.classes_of(target).tolist(), reject_cost)

    def with_prior(self, prior: Any, X: Any = None, *, target: Any = None) -> Self:
        """The same model of each class under other prior probabilities of the classes.

        Parameters
        ----------
        prior : (C,) array, mapping of class to probability, or "estimate"
            "estimate" finds the prior under which the unlabelled rows ``X`` are most probable.
        X : (n, d) array or data frame, optional
            Rows from where the model will be used; needed with "estimate".
        target : column, optional

        Returns
        -------
        estimator
            A copy.

        References
        ----------
        Saerens, Latinne and Decaestecker (2002), Neural Comput. 14:21.
        """
        if wants_estimate(prior, X):
            view, x = self._view(X, target)
            shares = classify.estimate_priors(view, x)
        else:
            place = self._target_place(target)
            view = column_as_class(self.story_, place)
            shares = read_prior(prior, self._names_of_levels(place))
        model = copy.copy(self)
        model.story_ = classify.with_prior(view, shares).story
        model._refresh()
        return model

    def contributions(
        self, X: Any, reference: Any = None, *, target: Any = None
    ) -> contribute.Contributions:
        """How much each column spoke for each class of the target, in nats.

        Each value is what the column adds to all others; ``remainder`` is what columns say only
        together.

        Parameters
        ----------
        X : (n, d) array or data frame
        reference : class, optional
            Evidence is for a class against this one; the first class by default.
        target : column, optional
        """
        view, x = self._view(X, target)
        classes = self.classes_of(target)
        place = 0
        if reference is not None:
            names = [str(name) for name in classes]
            if str(reference) not in names:
                raise UsageError(f"reference must be one of the classes {names}.")
            place = names.index(str(reference))
        groups = {
            name: places
            for name, places in self.columns_.places.items()
            if view.column not in places
        }
        return contribute.contributions(
            view, x, list(groups.values()), tuple(groups), tuple(classes.tolist()), place
        )

    # What they share --------------------------------------------------------------------------

    def _view(self, X: Any, target: Any) -> tuple[ColumnAsClass | ColumnOfAverage, FloatArray]:
        """The story with the target as its class, and rows in which the target is missing."""
        place = self._target_place(target)
        x = np.array(self._read(_with_column(X, target)), dtype=np.float64)
        x[:, place] = np.nan
        return column_as_class(self.story_, place), x

    def _target_place(self, target: Any) -> int:
        """The encoded column of the target."""
        check_is_fitted(self, "story_")
        if target is None:
            if self.target_ is None or self.target_ not in self.columns_.places:
                raise CannotAnswerError(
                    "classes without a target",
                    type(self).__name__,
                    "it was fitted without y; name a column of categories with target=...",
                    ("NaiveBayes", "GenerativeClassifier"),
                )
            target = self.target_
        self._check_modelled(target)
        place = self.columns_.find(target)[0]
        field = self.columns_.fields[place]
        if field.kind not in ("category", "boolean"):
            raise UsageError(
                f"The target must be a column of categories, but {target!r} is of the kind "
                f"{field.kind}; ask for the distribution of a number with condition or impute."
            )
        return place

    def _names_of_levels(self, place: int) -> np.ndarray:
        """The levels of a column of categories, as the table has them."""
        field = self.columns_.fields[place]
        if field.column == self.target_:
            return np.asarray(self.classes_)
        if self.encoding_ is None:
            return np.arange(field.n_levels)
        levels = self.encoding_.schema[field.column].levels
        return np.array(list(levels)) if levels else np.arange(field.n_levels)


def _with_column(X: Any, name: Any) -> Any:
    """The frame with a column of missing cells where it lacks the one that is asked for."""
    if name is None or not is_frame(X):
        return X
    names = list(X.column_names if hasattr(X, "column_names") else X.columns)
    if name in names:
        return X
    package = type(X).__module__.partition(".")[0]
    if package == "polars":
        import polars as pl

        return X.with_columns(pl.lit(None).alias(name))
    if package == "pandas":
        return X.assign(**{name: None})
    import pyarrow as pa

    return X.append_column(name, pa.nulls(len(X)))
