"""Networks that read symbols one after another and tell what follows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import DensityMixin

from fabula.core.blocks import Sequences
from fabula.core.errors import UsageError
from fabula.estimators.base.arguments import check_range, generator_of, whole_number
from fabula.estimators.networks.checks import check_training, need_neural
from fabula.estimators.networks.symbols import NetworkSymbolQuestions
from fabula.estimators.networks.told import ConditionForm
from fabula.estimators.sequences.symbol_form import LearnsSymbols
from fabula.persistence.registry import storable

__all__ = ["AutoregressiveModel"]

# Network → its width and depth.
_DEFAULTS = {"recurrent": (256, 1), "transformer": (128, 3)}
_HEAD_WIDTH = 32


@storable("estimator/autoregressive_model")
class AutoregressiveModel(NetworkSymbolQuestions, LearnsSymbols, DensityMixin):
    """Symbols of a sequence, each of which depends on all before it, by a network.

    It answers what a `MarkovChain` answers, and may be told a class or numbers of each sequence.

    Parameters
    ----------
    network : {"recurrent", "transformer"}
        Gated recurrent units, which are the faster on a processor; or attention.
    width, depth : int, optional
        Size of a layer, and how many there are; by default those that were best on a processor.
    context : int
        Symbols that are read at once, an even number. Of longer sequences, at least half as many
        before a symbol tell it.
    dropout : float
        Share of the signals, and of the weights between states of a recurrent network, that are
        left out while learning: more for few data.
    chain_order : int, optional
        Order of a `MarkovChain` that speaks beside the network. Its share in every probability is
        learned from what is held out; it is one half where nothing is.
    ends : bool or "auto"
        Whether sequences begin and end, as names do; a running text does not. "auto": unless the
        data are one single text.
    alphabet : str or list, optional
        All symbols there are; those that occur by default.
    max_epochs : int
        At most so many passes over the data.
    max_time : float, optional
        Seconds after which training ends; the result then depends on the speed of the machine.
    batch_size : int
        Windows of ``context`` symbols in a step.
    learning_rate : float
        At its height: it rises first, and falls to the end of training.
    validation : float
        Share of the sequences that is held out to tell when to stop: of fewer than ten, the end of
        each.
    patience : int, optional
        Stop after so many looks at them without a better one.
    checkpoint : path, optional
        File from which training resumes after it was interrupted.
    sequence, time : column name, optional
        Columns of a data frame that say which rows are one sequence, and in which order.
    random_state : int, Generator or None

    Attributes
    ----------
    symbols_ : tuple
        The symbols that the model knows.
    classes_ : (K,) array
        Where the fit was given classes.
    story_, report_
        The joint distribution, and how training went.

    Notes
    -----
    A symbol that was never seen has the probability 1/(N + 2), where N symbols were (the rule of
    succession), so a text with a new symbol has a finite score. It is never drawn.

    References
    ----------
    Cho et al. (2014), arXiv:1406.1078. Vaswani et al. (2017), arXiv:1706.03762.

    Examples
    --------
    >>> from fabula.estimators.autoregressive_model import AutoregressiveModel
    >>> model = AutoregressiveModel(
    ...     width=16, context=8, batch_size=8, max_epochs=20, learning_rate=0.03, random_state=0
    ... ).fit("abc" * 200)
    >>> model.sample(prefix="ab", temperature=0, max_length=9)
    ['abcabcabc']
    """

    def __init__(
        self,
        network: str = "recurrent",
        width: int | None = None,
        depth: int | None = None,
        *,
        context: int = 128,
        dropout: float = 0.1,
        chain_order: int | None = None,
        ends: Any = "auto",
        alphabet: Any = None,
        max_epochs: int = 30,
        max_time: float | None = None,
        batch_size: int = 32,
        learning_rate: float = 6e-3,
        validation: float = 0.05,
        patience: int | None = 10,
        checkpoint: Any = None,
        sequence: Any = None,
        time: Any = None,
        random_state: Any = None,
    ):
        self.network = network
        self.width = width
        self.depth = depth
        self.context = context
        self.dropout = dropout
        self.chain_order = chain_order
        self.ends = ends
        self.alphabet = alphabet
        self.max_epochs = max_epochs
        self.max_time = max_time
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation = validation
        self.patience = patience
        self.checkpoint = checkpoint
        self.sequence = sequence
        self.time = time
        self.random_state = random_state

    # Called with the share that is done, the loss and the seconds left, while training goes on.
    _on_progress: Callable[[float, float, float], None] | None = None

    def fit(
        self,
        X: Any,
        lengths: Any = None,
        *,
        condition: Any = None,
        sample_weight: Any = None,
        y: Any = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : sequences
            One text (str); a list of texts, of lists of symbols or of arrays of codes 0, 1, …; an
            array of all codes with ``lengths``; or a data frame with one column of categories
            beside ``sequence`` and ``time``.
        lengths : list of int, optional
            Numbers of steps of the sequences.
        condition : (n,) list of classes, or (n,) or (n, d) array of floats, optional
            What is told of each sequence. Whole numbers and text are classes.
        sample_weight : (n,) array, optional
            How many sequences each counts for.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        UsageError
            A parameter makes no sense, or what networks need is not installed.
        DataError
            There are no symbols, one is missing or not in ``alphabet``; the message names sequence
            and step.
        """
        need_neural(type(self).__name__)
        width, depth = self._check_parameters()
        sequences, ends = self._read_symbols(X, lengths)
        n = len(sequences)
        form = None if condition is None else ConditionForm.learned(condition, n)
        self.condition_form_ = form
        self._learn(
            sequences,
            ends,
            form.encode(condition, n) if form is not None else None,
            self._read_weights(sample_weight, sequences),
            (width, depth),
        )
        return self

    def _learn(
        self,
        sequences: Sequences,
        ends: bool,
        told: Any,
        weights: Any,
        shape: tuple[int, int],
    ) -> None:
        from fabula.neural.autoregressive.learning import Lessons, learn
        from fabula.neural.networks import CausalTransformer, GatedRecurrent
        from fabula.neural.training.plan import Plan

        width, depth = shape
        form = self.condition_form_
        n_condition = form.width if form is not None else 0
        n, dropout = self._n_symbols + 2, float(self.dropout)
        architecture: Any
        if self.network == "recurrent":
            architecture = GatedRecurrent(n, width, depth, n_condition, dropout)
        else:
            heads = max(width // _HEAD_WIDTH, 1)
            architecture = CausalTransformer(n, width, depth, heads, n_condition, dropout)
        prior = None
        if form is not None and form.kind == "class":
            prior = np.average(told, axis=0, weights=weights)
        plan = Plan(
            batch_size=int(self.batch_size),
            max_epochs=int(self.max_epochs),
            max_time=self.max_time,
            patience=self.patience,
            seed=int(generator_of(self.random_state).integers(2**31)),
        )
        self.story_, self.report_ = learn(
            architecture,
            Lessons(sequences, self._n_symbols, ends, told, weights),
            plan,
            context=self.context,
            learning_rate=float(self.learning_rate),
            validation_share=self.validation,
            class_prior=prior,
            chain_order=self.chain_order,
            on_progress=self._on_progress,
            checkpoint=None if self.checkpoint is None else Path(os.fspath(self.checkpoint)),
        )

    def _refresh(self) -> None:
        """Nothing beside the story depends on it."""

    @property
    def n_parameters(self) -> int:
        """Weights of the network, and n-grams of a chain that speaks beside it."""
        return int(self.story_.n_parameters)

    def _check_parameters(self) -> tuple[int, int]:
        """Width and depth, once everything is checked."""
        if self.network not in _DEFAULTS:
            raise UsageError(
                f"network must be one of {', '.join(_DEFAULTS)}, not {self.network!r}."
            )
        width, depth = _DEFAULTS[self.network]
        width = width if self.width is None else whole_number("width", self.width)
        depth = depth if self.depth is None else whole_number("depth", self.depth)
        if self.network == "transformer" and width > _HEAD_WIDTH and width % _HEAD_WIDTH:
            raise UsageError(f"width of a transformer must be a multiple of {_HEAD_WIDTH}.")
        if whole_number("context", self.context, 2) % 2:
            raise UsageError(f"context must be an even number, not {self.context}.")
        check_range("dropout", self.dropout, 0.0, 0.9)
        if self.chain_order is not None:
            whole_number("chain_order", self.chain_order, 0)
        self._check_ends()
        self._check_alphabet()
        check_training(self)
        return width, depth
