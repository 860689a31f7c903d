"""The questions that models of hidden states answer about sequences."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fabula.core.arrays import FloatArray, Members
from fabula.core.errors import UsageError
from fabula.estimators.base.arguments import generator_of, whole_number
from fabula.estimators.sequences.forecast import Forecast, forecast
from fabula.estimators.sequences.form import Reading
from fabula.estimators.sequences.impute import impute_steps
from fabula.estimators.sequences.model import SequenceEstimator

__all__ = ["ChainQuestions"]


class ChainQuestions(SequenceEstimator):
    """Questions about the joint distribution of the steps and their hidden states."""

    random_state: Any = None
    state_names_: Any

    _elsewhere = SequenceEstimator._elsewhere | {
        "condition": (
            "a condition on a column would bind every step of sequences whose length is not known; "
            "hand in sequences with that column filled, and the answers are given it",
            (),
        ),
        "outliers": ("`anomaly_scores` says how unusual each step is", ()),
        "contributions": (
            "it has no classes for which columns could speak",
            ("NaiveBayes", "GenerativeClassifier of rows"),
        ),
    }

    def _asked(self, X: Any, lengths: Any = None) -> Reading:
        check_is_fitted(self, "story_")
        return self._reading(X, lengths)

    def _rng(self, random_state: Any) -> np.random.Generator:
        return generator_of(self.random_state if random_state is None else random_state)

    # Density ----------------------------------------------------------------------------------

    density_kind = "exact"

    def score_samples(self, X: Any, lengths: Any = None) -> FloatArray:
        """Log density of each sequence, in nats, with missing cells and steps integrated out.

        Parameters
        ----------
        X : sequences in any form
        lengths : list of int, optional
            Numbers of steps, where ``X`` is one array of all steps.

        Returns
        -------
        (n,) array
            A sequence without steps, or of which nothing was seen, scores 0.
        """
        return np.asarray(self.story_.log_prob(self._asked(X, lengths).sequences))

    def score(self, X: Any, lengths: Any = None, *, y: Any = None) -> float:
        """Log density of all sequences together, in nats: their sum, as hmmlearn has it."""
        return float(self.score_samples(X, lengths).sum())

    @property
    def n_parameters(self) -> int:
        """Number of free parameters."""
        check_is_fitted(self, "story_")
        return int(self.story_.n_parameters)

    def aic(self, X: Any, lengths: Any = None) -> float:
        """Akaike's information criterion, 2 p - 2 log L; smaller is better."""
        return 2.0 * self.n_parameters - 2.0 * self.score(X, lengths)

    def bic(self, X: Any, lengths: Any = None) -> float:
        """Schwarz's criterion, p log N - 2 log L with N steps; smaller is better.

        Zucchini, MacDonald and Langrock (2016), Hidden Markov Models for Time Series, section 6.1.
        """
        sequences = self._asked(X, lengths).sequences
        evidence = float(np.asarray(self.story_.log_prob(sequences)).sum())
        return self.n_parameters * float(np.log(max(sequences.n_steps, 1))) - 2.0 * evidence

    def anomaly_scores(self, X: Any, lengths: Any = None) -> Any:
        """Surprise at each step: -log p(step | the steps before it), nats.

        Returns
        -------
        array (N,), or a list of arrays for a list of sequences
            Their sum over a sequence is minus its `score_samples`; 0 where nothing was seen.
        """
        reading = self._asked(X, lengths)
        return reading.give(0.0 - np.asarray(self.story_.step_scores(reading.sequences)))

    # States -----------------------------------------------------------------------------------

    def predict(self, X: Any, lengths: Any = None) -> Any:
        """The most probable path of states (Viterbi), one state a step.

        Returns
        -------
        array (N,), or a list of arrays for a list of sequences
            Numbers 0 … S-1, or names where `fit` was given names. For a data frame, one entry for
            each of its rows, in their order.
        """
        return self.decode(X, lengths)[1]

    def decode(self, X: Any, lengths: Any = None) -> tuple[FloatArray, Any]:
        """Log p(path, sequence) of the most probable path (n,), nats, and the path as `predict`.

        Viterbi (1967), IEEE Trans. Inf. Theory 13:260.
        """
        reading = self._asked(X, lengths)
        states, log_prob = self.story_.viterbi(reading.sequences)
        return np.asarray(log_prob), reading.give(self._name_states(states))

    def predict_proba(self, X: Any, lengths: Any = None) -> Any:
        """Probability of each state at each step given the whole sequence, (N, S)."""
        reading = self._asked(X, lengths)
        return reading.give(np.asarray(self.story_.state_posterior(reading.sequences)[1]))

    def _name_states(self, states: Members) -> np.ndarray:
        names = getattr(self, "state_names_", None)
        return states if names is None else np.asarray(names)[states]

    # Simulation -------------------------------------------------------------------------------

    def sample(
        self,
        n_sequences: int = 1,
        n_steps: int = 100,
        *,
        lengths: Any = None,
        random_state: Any = None,
    ) -> tuple[Any, Any]:
        """Draw sequences, and the states behind them.

        Parameters
        ----------
        n_sequences, n_steps : int
            So many sequences of so many steps.
        lengths : list of int, optional
            Their numbers of steps, instead.

        Returns
        -------
        X
            In the form of the data of the fit. Of one array of all steps, sequence after sequence.
        states
            One a step, in the form of `predict`.
        """
        check_is_fitted(self, "story_")
        sizes = self._sizes(n_sequences, n_steps, lengths)
        sequences, states = self.story_.sample(sizes, self._rng(random_state))
        form = self.form_
        shape = form.container
        if shape == "cube" and len(set(sizes.tolist())) > 1:
            shape = "list"
        reading = Reading(sequences, shape)
        return form.write(sequences), reading.give(self._name_states(states))

    @staticmethod
    def _sizes(n_sequences: int, n_steps: int, lengths: Any) -> np.ndarray:
        if lengths is None:
            n_sequences = whole_number("n_sequences", n_sequences)
            return np.full(n_sequences, whole_number("n_steps", n_steps, 0), dtype=np.intp)
        sizes = [whole_number("Each of lengths", length, 0) for length in np.asarray(lengths)]
        return np.array(sizes, dtype=np.intp)

    def sample_from(
        self, X: Any, n_steps: int, lengths: Any = None, *, random_state: Any = None
    ) -> Any:
        """Go on from each sequence for ``n_steps`` steps: one draw of what comes next.

        Returns
        -------
        The further steps only, in the form of the data of the fit.
        """
        sequences = self._asked(X, lengths).sequences
        n_steps = whole_number("n_steps", n_steps, 0)
        return self.form_.write(self.story_.continue_(sequences, n_steps, self._rng(random_state)))

    # What comes next --------------------------------------------------------------------------

    def forecast(
        self, X: Any, horizon: int = 1, lengths: Any = None, *, interval: float = 0.9
    ) -> Forecast:
        """The distribution of the next steps of each sequence.

        Parameters
        ----------
        X : sequences in any form
            Missing cells, and missing steps, are integrated out.
        horizon : int
            How many steps ahead.
        interval : float
            Probability that a value lies within its interval.

        Returns
        -------
        Forecast
            Means, ends of intervals (n, horizon, d) and probabilities of states (n, horizon, S);
            of categories the probabilities of their levels. The ends are quantiles of the mixture
            over states, each column by itself.

        References
        ----------
        Zucchini, MacDonald and Langrock (2016), Hidden Markov Models for Time Series, section 5.3.
        """
        sequences = self._asked(X, lengths).sequences
        horizon = whole_number("horizon", horizon)
        if not 0.0 < interval < 1.0:
            raise UsageError(f"interval must lie between 0 and 1, not {interval!r}.")
        states = np.asarray(self.story_.forecast_states(sequences, horizon))
        n, _, n_states = states.shape
        columns = self.form_.columns
        mean, lower, upper, shares, exact = forecast(
            self.story_.emission, states.reshape(-1, n_states), interval, columns.levels
        )
        names = self._level_names()
        shape = (n, horizon, -1)
        return Forecast(
            mean.reshape(shape),
            lower.reshape(shape),
            upper.reshape(shape),
            interval,
            states,
            {names[j][0]: share.reshape(shape) for j, share in shares.items()},
            {names[j][0]: names[j][1] for j in shares},
            tuple(field.column for field in columns.fields),
            exact,
        )

    def _level_names(self) -> dict[int, tuple[Any, tuple[Any, ...]]]:
        """Encoded column of categories → its name, and those of its levels."""
        form = self.form_
        if form.symbols:
            return {0: ("symbols", form.symbols)}
        names = {}
        for j, n_levels in form.columns.levels.items():
            column = form.columns.fields[j].column
            levels: tuple[Any, ...] = tuple(range(n_levels))
            if form.encoding is not None:
                levels = tuple(form.encoding.schema[column].levels)
            names[j] = (column, levels)
        return names

    def forecast_samples(
        self,
        X: Any,
        horizon: int = 1,
        n_draws: int = 100,
        lengths: Any = None,
        *,
        random_state: Any = None,
    ) -> np.ndarray:
        """Draws of the next steps together, (n_draws, n, horizon, d).

        Categories and symbols are their codes, the positions in ``levels`` of `forecast`.
        """
        sequences = self._asked(X, lengths).sequences
        horizon = whole_number("horizon", horizon)
        rng = self._rng(random_state)
        draws = [
            np.asarray(self.story_.continue_(sequences, horizon, rng).steps)
            for _ in range(whole_number("n_draws", n_draws))
        ]
        return np.stack(draws).reshape(len(draws), len(sequences), horizon, -1)

    # Missing cells ----------------------------------------------------------------------------

    def impute(
        self,
        X: Any,
        how: str = "mean",
        n_draws: int | None = None,
        lengths: Any = None,
        *,
        random_state: Any = None,
    ) -> Any:
        """Fill missing cells and steps from everything else in the sequence.

        Parameters
        ----------
        X : sequences in any form
        how : {"mean", "mode", "draw"}
            The conditional mean of numbers with the most probable level of categories; the most
            probable value of each cell; or a draw of all missing cells of a sequence together, by
            way of a path of states.
        n_draws : int, optional
            With ``how="draw"``: a list of this many completed copies.

        Returns
        -------
        In the form of ``X``; what was seen is as it was.
        """
        reading = self._asked(X, lengths)
        if n_draws is not None and how != "draw":
            raise UsageError("n_draws goes with how='draw': every other answer is always the same.")
        repeats = 1 if n_draws is None else whole_number("n_draws", n_draws)
        rng = self._rng(random_state)
        levels = self.form_.columns.levels
        filled = [
            self.form_.fill(
                X, reading, impute_steps(self.story_, reading.sequences, how, levels, rng)
            )
            for _ in range(repeats)
        ]
        return filled[0] if n_draws is None else filled

    def marginal(self, columns: Any) -> Self:
        """A fitted model of some of the columns, in that order; the others are integrated out.

        Parameters
        ----------
        columns : list
            Names of columns, or their indices in a plain array.

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
        model = copy.copy(self)
        model.story_ = self.story_.marginal(encoded)
        model._adopt_form(self.form_.keep(encoded))
        model._refresh()
        return model

    # Shape of the chain -----------------------------------------------------------------------

    def _refresh(self) -> None:
        story = self.story_
        self.start_ = np.exp(story.log_start)
        self.transitions_ = np.exp(story.log_transitions)
        self.dwell_times_ = np.asarray(story.dwell_times())

    @property
    def stationary_(self) -> FloatArray:
        """Share of the time (S,) that the chain spends in each state in the long run."""
        check_is_fitted(self, "story_")
        return np.asarray(self.story_.stationary())

    @property
    def emission_(self) -> Any:
        """The bank of families that the states emit from."""
        check_is_fitted(self, "story_")
        return self.story_.emission
