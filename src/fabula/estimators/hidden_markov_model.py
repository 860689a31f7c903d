"""Hidden Markov models over sequences of any kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import DensityMixin, clone

from fabula.core.arrays import FloatArray, Mask
from fabula.core.blocks import SequenceBlocks, Sequences
from fabula.core.errors import ConvergenceWarning, UsageError, warn
from fabula.estimators.base.arguments import generator_of, whole_number
from fabula.estimators.sequences.chain_parameters import (
    check_chain,
    check_enough,
    check_parameters,
    plain_form,
)
from fabula.estimators.sequences.chain_questions import ChainQuestions
from fabula.estimators.sequences.emissions import (
    array_kind_of,
    emission_from,
    emission_template,
    refuse_impossible_steps,
    with_ridge,
)
from fabula.estimators.sequences.form import SequenceForm
from fabula.estimators.sequences.states import read_states, refuse_impossible_states
from fabula.estimators.sequences.topologies import (
    allowed_starts,
    allowed_transitions,
    read_pseudo_counts,
)
from fabula.families.base import Family
from fabula.families.mixed import Mixed
from fabula.learning import fitting
from fabula.learning.chain_starts import start_story
from fabula.learning.em import Report, expectation_maximisation
from fabula.persistence.registry import storable
from fabula.structures.chains.hidden_markov import HiddenMarkov, HiddenMarkovPrior

__all__ = ["HiddenMarkovModel"]


@storable("estimator/hidden_markov_model")
class HiddenMarkovModel(ChainQuestions, DensityMixin):
    """A chain of hidden states, each of which emits steps of its own family.

    Parameters
    ----------
    n_states : int
        S, the number of hidden states.
    emission : str, Family or mapping
        "full", "tied", "diag" or "spherical" normal distributions; "student" (multivariate t);
        "categorical" symbols; "bernoulli", "poisson", "gamma", "log_normal", "exponential",
        "student_t", "normal" (independent columns) or "multinomial"; "auto" for symbols, for
        numbers ("full") and for data frames with columns of any kind (independent given the
        state); a mapping from columns to names of families; or a bank of `fabula.families`, of
        one member as a template, or of S members to begin from.
    n_mixtures : int
        M: every state emits from a mixture of so many members of the family.
    topology : {"ergodic", "left-right", "cyclic"} or (S, S) array of bool
        Which transitions are possible: all; to the same state and the next, from the first on;
        the same with the first after the last; or any others. What is not possible stays so.
    tol : float
        Stop when the (penalised) log likelihood per step gains less than this, in nats.
    max_iter, n_init : int
        At most so many iterations from each of so many starts, the best of which is kept.
    init_params : {"kmeans", "k-means++", "segments", "random"}, optional
        How a start is found; "segments" cuts every sequence into S equal parts, in order. By
        default "segments" for "left-right", else "kmeans".
    prior_strength : float
        Every emission starts with this many pseudo-observations that look like all steps together;
        of normal distributions they draw the covariance only. 0: maximum likelihood.
    transition_prior, start_prior : float or array
        Pseudo-counts: of transitions, so many from each state in all, spread evenly over those that
        are possible, or an (S, S) array; of starts likewise, or an (S,) array. They are added to
        the expected counts (the mode under a Dirichlet prior with one more).
    stickiness : float
        Pseudo-transitions of every state to itself, on top of these.
    sequence, time : column name, optional
        Columns of a data frame that say which rows are one sequence, and in which order.
    kinds : mapping of column to kind, optional
        What a column is, where it would be guessed otherwise.
    random_state : int, Generator or None
        For the starts, and for `sample` and its kin where they are given none.

    Attributes
    ----------
    start_, transitions_ : (S,) and (S, S) arrays
        Probabilities; row i of ``transitions_`` is from state i.
    emission_ : Family
        The bank of the states.
    stationary_, dwell_times_ : (S,) arrays
        Share of time in each state in the long run, and expected number of steps of a visit.
    state_names_ : tuple or None
        Names of the states, where `fit` was given names.
    converged_, n_iter_, lower_bound_, lower_bounds_
        How the best start went; ``lower_bound_`` is the penalised log likelihood per step, nats.
    story_, report_
        The joint distribution, and how its fit went.

    References
    ----------
    Baum, Petrie, Soules and Weiss (1970), Ann. Math. Stat. 41:164. Rabiner (1989), Proc. IEEE
    77:257. For stickiness, Fox, Sudderth, Jordan and Willsky (2011), Ann. Appl. Stat. 5:1020.

    Examples
    --------
    >>> import numpy as np
    >>> from fabula import HiddenMarkovModel
    >>> quiet, loud = np.zeros(20), np.full(20, 9.0)
    >>> X = np.concatenate([quiet, loud, quiet])[:, None] + np.sin(np.arange(60.0))[:, None]
    >>> model = HiddenMarkovModel(2, random_state=0).fit(X)
    >>> path = model.predict(X)
    >>> bool(path[0] == path[59] != path[30])
    True
    """

    def __init__(
        self,
        n_states: int = 2,
        emission: Any = "auto",
        *,
        n_mixtures: int = 1,
        topology: Any = "ergodic",
        tol: float = 1e-4,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str | None = None,
        prior_strength: float = 1.0,
        transition_prior: Any = 1.0,
        start_prior: Any = 1.0,
        stickiness: float = 0.0,
        sequence: Any = None,
        time: Any = None,
        kinds: Mapping[Any, Any] | None = None,
        random_state: Any = None,
    ):
        self.n_states = n_states
        self.emission = emission
        self.n_mixtures = n_mixtures
        self.topology = topology
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.prior_strength = prior_strength
        self.transition_prior = transition_prior
        self.start_prior = start_prior
        self.stickiness = stickiness
        self.sequence = sequence
        self.time = time
        self.kinds = kinds
        self.random_state = random_state

    def _array_kind(self) -> str:
        return array_kind_of(self.emission)

    # Learning ---------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        lengths: Any = None,
        *,
        states: Any = None,
        sample_weight: Any = None,
        y: Any = None,
    ) -> Self:
        """Climb to the most probable parameters from ``n_init`` starts, and keep the best.

        Parameters
        ----------
        X : sequences
            An array (N, d) of the steps of all sequences, with ``lengths``; a list of arrays
            (T, d) or (T,); an array (n, T, d); a list of texts or of lists of symbols; a data
            frame (see ``sequence``, ``time``) or a list of them. Missing cells are NaN, null or
            None; a step may be missing altogether.
        lengths : list of int, optional
            Numbers of steps of the sequences.
        states : optional
            What is known of the states: one entry a step in the shape of ``X``, or the name of a
            column; -1, None or NaN where nothing is. Whole numbers 0 … S-1, or names.
        sample_weight : (n,) array, optional
            How many sequences each counts for.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        UsageError
            A parameter makes no sense.
        DataError
            The sequences cannot be used; the message names sequence and step.

        Warns
        -----
        ConvergenceWarning
            EM met ``max_iter`` before ``tol``.
        """
        check_parameters(self)
        named = isinstance(states, str)
        reading = self._reading(X, lengths, reset=True, left_out=(states,) if named else ())
        known, names = read_states(states, X, reading, self.n_states)
        self.state_names_ = names
        sequences = replace(reading.sequences, states=known)
        weights = self._read_weights(sample_weight, sequences)
        check_enough(sequences, self.n_states)
        possible = (
            allowed_starts(self.topology, self.n_states),
            allowed_transitions(self.topology, self.n_states),
        )
        refuse_impossible_states(sequences, *possible)
        rng = generator_of(self.random_state)
        bank = self._learn_bank(sequences, weights)
        best: tuple[HiddenMarkov, Report] | None = None
        for start in self._starts(bank, sequences, *possible, rng):
            story, report = expectation_maximisation(
                start,
                SequenceBlocks(sequences, None, weights, start.steps_at_once),
                prior=self._prior,
                max_iter=self.max_iter,
                tol=self.tol,
            )
            if best is None or report.objective > best[1].objective:
                best = story, report
        assert best is not None
        self._accept(*best)
        return self

    def fit_predict(self, X: Any, lengths: Any = None, **options: Any) -> Any:
        """Fit, then the most probable path of states."""
        return self.fit(X, lengths, **options).predict(X, lengths)

    def choose_states(
        self,
        X: Any,
        candidates: Iterable[int] = range(1, 9),
        lengths: Any = None,
        *,
        criterion: str = "bic",
        **options: Any,
    ) -> Self:
        """The best of models with several numbers of states.

        Parameters
        ----------
        candidates : iterable of int
            Numbers of states to try.
        criterion : {"bic", "aic"}
            What is made small.
        **options
            For `fit`.

        Returns
        -------
        HiddenMarkovModel
            A new, fitted model; its ``criteria_`` holds (number of states, criterion) of all.
        """
        if criterion not in ("bic", "aic"):
            raise UsageError(f"criterion must be 'bic' or 'aic', not {criterion!r}.")
        counts = [whole_number("Each of candidates", count) for count in candidates]
        if not counts:
            raise UsageError("candidates must hold at least one number of states.")
        fitted = [
            clone(self).set_params(n_states=count).fit(X, lengths, **options) for count in counts
        ]
        criteria = [float(getattr(model, criterion)(X, lengths)) for model in fitted]
        best: Self = fitted[int(np.argmin(criteria))]
        best.criteria_ = list(zip(counts, criteria, strict=True))
        return best

    def _shared_by_classes(
        self, form: SequenceForm, sequences: Sequences, weights: FloatArray | None
    ) -> dict[str, Any]:
        """Also all steps, so that the priors of all classes have one scale."""
        shared = super()._shared_by_classes(form, sequences, weights)
        return {**shared, "_steps_of_all_classes": sequences.steps}

    def _starts(
        self,
        bank: Family,
        sequences: Sequences,
        first: Mask,
        allowed: Mask,
        rng: np.random.Generator,
    ) -> Iterable[HiddenMarkov]:
        """One story for each of ``n_init`` starts."""
        ordered = isinstance(self.topology, str) and self.topology == "left-right"
        how = self.init_params or ("segments" if ordered else "kmeans")
        # These mostly end where they ended before; later starts have to differ to be worth it.
        again = {"kmeans": "k-means++", "segments": "random"}
        for i in range(self.n_init):
            chosen: Any = again.get(how, how) if i else how
            story = start_story(
                bank,
                sequences,
                self.n_states,
                chosen,
                allowed,
                self._prior,
                rng,
                allowed_start=first,
            )
            if isinstance(self.emission, Family) and self.emission.n_members == self.n_states > 1:
                story = replace(story, emission=self.emission)
            yield story

    def _learn_bank(self, sequences: Sequences, weights: FloatArray | None) -> Family:
        """Members at the scale of the data; the prior is set on the way."""
        steps = sequences.steps
        each = None if weights is None else np.repeat(weights, sequences.lengths)
        n_members = self.n_states * self.n_mixtures
        template = emission_template(self.emission, self.form_, steps, each, n_members)
        columns = tuple(field.column for field in self.form_.columns.fields)
        refuse_impossible_steps(template, sequences, columns)
        pooled = fitting.pool(template.select([0]), steps, each)
        usual = pooled
        shared = getattr(self, "_steps_of_all_classes", None)
        if shared is not None:
            # A column that hardly changes in one class must not make it blind to small changes.
            usual = fitting.pool(template.select([0]), shared)
        pseudo = None
        if self.prior_strength:
            spread = self._spread(usual, n_members)
            pseudo = with_ridge(spread.pseudo_observations(self.prior_strength), spread)
        self._prior = HiddenMarkovPrior(*read_pseudo_counts(self), pseudo)
        return self._spread(pooled, n_members)

    def _spread(self, pooled: Family, n_members: int) -> Family:
        """A bank whose members all look like the one that was fitted to all steps."""
        bank = pooled.select(np.zeros(n_members, dtype=np.intp))
        if self.n_mixtures == 1:
            return bank
        flat = np.full((self.n_states, self.n_mixtures), -np.log(self.n_mixtures))
        return Mixed(flat, bank)

    def _accept(self, story: HiddenMarkov, report: Report) -> None:
        self.story_ = story
        self.report_ = report
        self.converged_ = report.converged
        self.n_iter_ = report.n_iterations
        self.lower_bound_ = report.objective
        self.lower_bounds_ = list(report.trace)
        self._refresh()
        if not report.converged:
            warn(
                f"HiddenMarkovModel stopped before it converged ({report.reason} after "
                f"{report.n_iterations} iterations): raise max_iter={self.max_iter} or "
                f"tol={self.tol}, or try other starts (n_init, init_params).",
                ConvergenceWarning,
            )

    @classmethod
    def from_parameters(
        cls,
        start: Any,
        transitions: Any,
        emission: str | Family = "full",
        *,
        symbols: Iterable[Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        **arrays: Any,
    ) -> HiddenMarkovModel:
        """A fitted model from its parameters.

        Parameters
        ----------
        start : (S,) array
            Probabilities of the first state.
        transitions : (S, S) array
            Row i: probabilities of the state that follows state i.
        emission : Family or str
            A bank of S members; or a name, with arrays beside it: ``means`` (S, d) and
            ``covariances`` ("full" (S, d, d), "tied" (d, d), "diag" (S, d), "spherical" (S,)),
            ``rates`` ("poisson") or ``probabilities`` ("bernoulli" (S, d), "categorical" (S, C)).
        symbols : list, optional
            What the C codes of "categorical" stand for: texts of them are then taken, too.
        parameters : mapping, optional
            Further parameters of the constructor.
        """
        start = np.asarray(start, dtype=np.float64)
        transitions = np.asarray(transitions, dtype=np.float64)
        check_chain(start, transitions)
        bank = emission_from(emission, arrays)
        model = cls(len(start), emission, **dict(parameters or {}))
        check_parameters(model)
        with np.errstate(divide="ignore"):
            story = HiddenMarkov(np.log(start), np.log(transitions), bank)
        model.state_names_ = None
        model._adopt_form(plain_form(bank, tuple(symbols or ())))
        model._accept(story, Report((), True, "closed form", 0, 0.0))
        return model
