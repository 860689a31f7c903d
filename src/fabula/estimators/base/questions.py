"""The questions that every estimator over tables answers, in the same words."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray
from fabula.core.errors import CannotAnswerError, UsageError
from fabula.core.regions import OneOf
from fabula.estimators.base.arguments import check_n_samples, generator_of
from fabula.estimators.base.table import TableEstimator
from fabula.questions import classify, impute, score
from fabula.structures.mixture import Mixture
from fabula.structures.truncated import Truncated

__all__ = ["TableQuestions"]


class TableQuestions(TableEstimator):
    """Questions about the joint distribution of the columns (and of the class)."""

    story_: Any

    # Density ----------------------------------------------------------------------------------

    @property
    def density_kind(self) -> str:
        """``"exact"`` where `score_samples` is the log density itself.

        ``"estimate"`` after a condition on intervals of two or more columns that depend on each
        other: the probability of a rectangle has no closed form.
        """
        story = getattr(self, "story_", None)
        return "estimate" if isinstance(story, Truncated) and len(story.columns) > 1 else "exact"

    def score_samples(self, X: Any) -> FloatArray:
        """Log density of each row, in nats, with missing cells integrated out.

        Parameters
        ----------
        X : (n, d) array or data frame

        Returns
        -------
        (n,) array
            Natural logarithm of the density, whose unit is one over the product of the units of
            the columns; of the probability, where columns are categories, counts or words. A row
            of which nothing was seen scores 0.

        Raises
        ------
        DataError
            A cell cannot be what its column is; the message names column and row.
        """
        x = self._read(X)
        return score.log_prob(self.story_, x)

    def outliers(self, X: Any, *, n_draws: int = 10_000) -> FloatArray:
        """Probability that the model tells a row no more probable than each of these.

        Small values are outliers: under the model, a share of p of all rows has a value below p.
        Rows with missing cells are compared with draws that miss the same cells. The draws are
        the same at every call; the standard error is at most ``0.5 / sqrt(n_draws)``.

        Parameters
        ----------
        X : (n, d) array or data frame
        n_draws : int
            Draws of the model; a tenth of them for each pattern where rows miss cells in 200 or
            more patterns.

        Returns
        -------
        (n,) array
            Probabilities, at least ``1 / (n_draws + 1)``.
        """
        x = self._read(X)
        return score.tail_probability(self.story_, x, n_draws=n_draws)

    @property
    def n_parameters(self) -> int:
        """Number of free parameters."""
        check_is_fitted(self, "story_")
        return int(self.story_.n_parameters)

    def aic(self, X: Any) -> float:
        """Akaike's information criterion, 2 p - 2 log L; smaller is better.

        p is `n_parameters`, and L the likelihood of the rows without labels (Akaike 1974, IEEE
        Trans. Autom. Control 19:716).
        """
        return 2.0 * self.n_parameters - 2.0 * float(self.score_samples(X).sum())

    def bic(self, X: Any) -> float:
        """Schwarz's criterion, p log n - 2 log L; smaller is better.

        p is `n_parameters`, and L the likelihood of the n rows without labels (Schwarz 1978, Ann.
        Stat. 6:461).
        """
        scores = self.score_samples(X)
        return self.n_parameters * float(np.log(len(scores))) - 2.0 * float(scores.sum())

    # Simulation -------------------------------------------------------------------------------

    def sample(
        self,
        n_samples: int = 1,
        random_state: Any = None,
        *,
        given: Mapping[Any, Any] | None = None,
    ) -> tuple[Any, np.ndarray]:
        """Draw rows, and what explains each.

        Parameters
        ----------
        n_samples : int
        random_state : int, Generator, RandomState or None
            None takes the ``random_state`` of the estimator.
        given : mapping, optional
            Condition that the rows must meet: a value, an interval ``(low, high)`` or a set of
            values for some of the columns.

        Returns
        -------
        X : in the form of the data of the fit
        y : (n_samples,) array
            Class, or component, of each row.

        Raises
        ------
        DataError
            The condition has probability 0.
        CannotAnswerError
            The condition is a set of values of a number that depends on other columns, or is on
            a text.

        Notes
        -----
        With ``given``, ``effective_sample_size_`` says how many independent rows the draws are
        worth: ``n_samples``, unless several columns that depend on each other are held in
        intervals (see `condition`).
        """
        check_is_fitted(self, "story_")
        check_n_samples(n_samples)
        if random_state is None:
            random_state = getattr(self, "random_state", None)
        rng = generator_of(random_state)
        if given:
            condition = self._given(given)
            rows, members, effective = self.story_.sample_given(n_samples, condition, rng)
            self.effective_sample_size_ = effective
            return self._give(rows, condition=condition), self._name_members(members)
        rows, members = self.story_.sample(n_samples, rng)
        return self._give(rows), self._name_members(members)

    def _name_members(self, members: np.ndarray) -> np.ndarray:
        return members

    # Some columns, given others ---------------------------------------------------------------

    def marginal(self, columns: Sequence[Any]) -> Self:
        """A fitted model of some of the columns, in that order; the others are integrated out.

        Parameters
        ----------
        columns : list
            Names of columns, or their indices in a plain array.

        Returns
        -------
        estimator
            Of the same kind.

        Raises
        ------
        UsageError
            A column does not exist or stands twice, or there is none.
        """
        check_is_fitted(self, "story_")
        if isinstance(columns, str | int | np.integer) or not len(columns):
            raise UsageError("columns must be a list with at least one column.")
        encoded = [j for name in columns for j in self.columns_.find(name)]
        if len(set(encoded)) < len(encoded):
            raise UsageError(f"A column stands twice in {list(columns)}.")
        return self._with_story(self.story_.marginal(encoded), encoded)

    def condition(self, given: Mapping[Any, Any]) -> Self:
        """A fitted model of the other columns, given values, intervals or sets of some.

        Parameters
        ----------
        given : mapping of column to condition
            A value; an interval ``(low, high)`` with None for an open end; or a set or list of
            values. Values are exact for every family. Intervals and sets are exact where the
            columns are independent given the class; elsewhere the result is a truncated story
            whose `sample` reports its effective size in ``effective_sample_size_``.

        Returns
        -------
        estimator
            Of the same kind, with `log_condition_` the log probability of the condition in nats;
            its log density, where values of continuous columns are given.

        Raises
        ------
        UsageError
            There is no such column, or the condition is no value, interval or set.
        DataError
            The condition has probability 0, or names a level that the column does not have.
        CannotAnswerError
            It is a set of values of a number that depends on other columns, is on a text, or
            leaves no column to model.

        References
        ----------
        Bishop (2006), Pattern Recognition and Machine Learning, eqs. 2.81 and 2.82. Hajivassiliou
        and McFadden (1990) and Keane (1994), for several intervals at once.
        """
        check_is_fitted(self, "story_")
        encoded = self._given(given)
        self._check_sets(encoded)
        story, log_prob = self.story_.condition(encoded)
        if story is None:
            raise CannotAnswerError(
                "condition on every column",
                type(self).__name__,
                "no column is left to model; use score_samples for the density of a whole row "
                "and predict_proba for its class",
            )
        model = self._with_story(
            story, [j for j in range(len(self.columns_.fields)) if j not in encoded]
        )
        model.log_condition_ = float(log_prob)
        return model

    def _check_sets(self, given: Mapping[int, Any]) -> None:
        """A set of values of a column that depends on others has no density to speak of."""
        family = getattr(self.story_, "family", None)
        for j, value in given.items():
            if isinstance(value, OneOf) and family is not None and not family.univariate_part(j):
                raise CannotAnswerError(
                    f"condition on a set of values of {self.columns_.fields[j].column!r}",
                    type(self).__name__,
                    "the column depends on the others; give one value or an interval (low, high)",
                    ("NaiveBayes", "MixtureModel"),
                )

    def _with_story(self, story: Any, encoded: list[int]) -> Self:
        """A copy that tells another story, over the given encoded columns."""
        model = copy.copy(self)
        model.story_ = story
        model.__dict__.pop("_statistics", None)  # sums of other columns, or of another prior
        model.columns_ = self.columns_.keep(encoded)
        if self.encoding_ is not None:
            model.encoding_ = self.encoding_.select(model.columns_.names)
            model.feature_names_in_ = np.array([str(n) for n in model.columns_.names], dtype=object)
        else:
            # Plain arrays have no names: what is left is numbered anew, from zero.
            from dataclasses import replace

            from fabula.estimators.base.columns import Columns

            model.columns_ = Columns(
                tuple(replace(field, column=j) for j, field in enumerate(model.columns_.fields))
            )
        model.n_features_in_ = len(model.columns_.names)
        never_seen = getattr(self, "empty_columns_", [])
        model.empty_columns_ = [i for i, j in enumerate(encoded) if j in never_seen]
        model._refresh()
        return model

    def _forget(self, *names: str) -> None:
        """Remove attributes that the story of this model no longer has."""
        for name in names:
            self.__dict__.pop(name, None)

    def _refresh(self) -> None:
        """Set the public attributes that say what the story holds."""

    # Missing cells ----------------------------------------------------------------------------

    def impute(
        self, X: Any, how: str = "mean", n_draws: int | None = None, *, random_state: Any = None
    ) -> Any:
        """Fill missing cells from what the model knows of the row.

        Parameters
        ----------
        X : (n, d) array or data frame
        how : {"mean", "mode", "draw"}
            The conditional mean of numbers with the most probable level of categories; the most
            probable value; or a draw from the conditional distribution.
        n_draws : int, optional
            With ``how="draw"``: a list of this many completed tables instead of one.
        random_state : int, Generator, RandomState or None
            For draws; None takes the ``random_state`` of the estimator.

        Returns
        -------
        table, or list of tables
            In the form of ``X``, in the units of the columns; observed cells are as they were.

        Raises
        ------
        UsageError
            ``how`` or ``n_draws`` makes no sense.
        CannotAnswerError
            The table has a column of text.

        Notes
        -----
        Means, modes and draws are those under the fitted parameters, whose own uncertainty they
        leave out (Rubin 1987, Multiple Imputation for Nonresponse in Surveys, chapter 4).
        """
        x = self._read(X)
        rng = generator_of(
            getattr(self, "random_state", None) if random_state is None else random_state
        )
        if n_draws is not None and how != "draw":
            raise UsageError("n_draws goes with how='draw': every other answer is always the same.")
        if n_draws is not None and n_draws < 1:
            raise UsageError(f"n_draws must be at least 1, not {n_draws}.")
        story, told = self.story_, None
        numbers = [j for j, field in enumerate(self.columns_.fields) if field.word is None]
        columns = self.columns_.keep(numbers)
        if hasattr(x, "toarray"):
            # Words speak of the other columns, but no one can say which words a lost text had.
            if not isinstance(story, Mixture) or not numbers:
                raise CannotAnswerError(
                    "impute",
                    type(self).__name__,
                    "text tells of other columns; it cannot be filled in",
                )
            told = story.posterior(x)[1]
            story, x = story.marginal(numbers), x[:, numbers].toarray()
        filled = [
            impute.impute(story, x, how, levels=columns.levels, rng=rng, told=told)  # type: ignore[arg-type]
            for _ in range(n_draws or 1)
        ]
        tables = [self._give_completed(X, x, rows) for rows in filled]
        return tables[0] if n_draws is None else tables

    def _give_completed(self, X: Any, x: FloatArray, filled: FloatArray) -> Any:
        never_seen = getattr(self, "empty_columns_", [])
        if never_seen:
            filled[:, never_seen] = np.where(np.isnan(x), np.nan, filled)[:, never_seen]
        if self.encoding_ is None:
            return filled
        if self.encoding_.is_sparse:
            n_words = self.encoding_.n_columns - filled.shape[1]
            filled = np.concatenate([filled, np.zeros((len(filled), n_words))], axis=1)
        return self.encoding_.fill_missing(X, filled)

    # Classes or components --------------------------------------------------------------------

    def predict_proba(self, X: Any) -> FloatArray:
        """Posterior probability (n, K) of every class, or component, by Bayes' rule."""
        x = self._read(X)
        return classify.class_probabilities(self.story_, x)
