"""What every estimator of networks shares: reading tables and images, training, files.

A subclass has these parameters among its own, and gives them to nobody else:

``max_epochs``, ``max_time``, ``batch_size``, ``learning_rate``, ``validation``, ``patience``,
``checkpoint``, ``image_shape``, ``kinds``, ``random_state``.

Its ``fit`` reads, learns a form, trains a `fabula.neural.training.Learner` and keeps a story:

.. code-block:: python

    def fit(self, X, y=None):
        need_neural(type(self).__name__)          # one clear error where JAX is missing
        self._check_training()
        rows = self._read_rows(X)                 # (n, d): of a table or of images
        rng = generator_of(self.random_state)
        self.form_ = self._learn_form(rows)       # TableForm or ImageForm
        arrays = self.form_.encode(rows)          # a tree of arrays, one entry a row
        train, held_out = self._split(arrays, len(rows), rng)
        learned, self.report_ = self._train(learner, train, held_out, rng)
        self.story_ = …                           # @storable("neural/…"), a frozen dataclass
        return self

The story has ``n_columns`` (that of the encoded rows), ``n_parameters`` and, of the protocols in
`fabula.questions.protocols`, those it can answer: ``log_prob`` (absent where the density is
implicit), ``sample(n, rng)``, ``sample_given``, ``condition``, ``marginal``, ``complete``. What
`TableQuestions` builds on them then works for tables (pandas, polars, pyarrow, numpy), and here
for arrays of images as well. ``density_kind`` says what ``score_samples`` is: "exact", "bound",
"estimate" or "implicit"; a question that a model has no answer to raises `CannotAnswerError`.
Files hold what ``to_state`` gives: parameters, the story with its weights (`Network`: safetensors)
and the report.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fabula.core.arrays import FloatArray, Rows
from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.core.regions import Region
from fabula.estimators._questions import TableQuestions
from fabula.estimators._table import adopt_columns, is_frame

if TYPE_CHECKING:
    from fabula.neural.image_form import ImageForm
    from fabula.neural.table_form import TableForm
    from fabula.neural.training import TrainingReport

__all__ = ["NeuralEstimator", "need_neural"]

_LEAST_ROWS_TO_HOLD_OUT = 40
# Small tables are cut into at least so many minibatches: one step a pass learns little.
_LEAST_BATCHES = 8
_USUAL_STEPS = 6000
_FEWEST_AND_MOST_PASSES = (20, 400)


def need_neural(name: str) -> None:
    """Raise one clear error where the libraries for networks are missing.

    Raises
    ------
    UsageError
    """
    from importlib.util import find_spec

    missing = [package for package in ("jax", "equinox", "optax") if find_spec(package) is None]
    if missing:
        raise UsageError(
            f'{name} is a network and needs {" and ".join(missing)}: pip install "fabula[neural]".'
        )


class NeuralEstimator(TableQuestions):
    """Rows of tables and of images, and the training loop."""

    form_: TableForm | ImageForm
    report_: TrainingReport
    image_shape: tuple[int, ...] | None
    kinds: Mapping[Any, Any] | None
    random_state: Any
    max_epochs: int | None
    max_time: float | None
    batch_size: int
    learning_rate: float
    validation: float
    patience: int | None
    checkpoint: str | None

    _story: str
    """Where the class of the story is, as "module:Class": it needs JAX, and is imported late."""

    # Called with the share that is done, the loss and the seconds left, while training goes on.
    _on_progress: Callable[[float, float, float], None] | None = None

    def story_class(self) -> type:
        """The class of the story, which tells what the model can be asked before it is fitted.

        Raises
        ------
        UsageError
            The libraries for networks are missing.
        """
        from importlib import import_module

        need_neural(type(self).__name__)
        module, _, name = self._story.partition(":")
        return getattr(import_module(module), name)  # type: ignore[no-any-return]

    # Reading ----------------------------------------------------------------------------------

    def _read_rows(self, X: Any) -> Rows:
        """Rows (n, d) to learn from; what they are of is known from here on."""
        if not is_frame(X):
            ndim = np.ndim(X)
            if ndim in (3, 4) or self.image_shape is not None:
                return self._read_images(X)
        self.images_ = False
        rows = self._read(X, reset=True, kinds=self.kinds)
        if hasattr(rows, "toarray"):
            raise CannotAnswerError(
                "text",
                type(self).__name__,
                "the words of a text are no columns of a network of tables; leave the column out",
                ("NaiveBayes", "MixtureModel"),
            )
        return np.asarray(rows, dtype=np.float64)

    def _read_images(self, X: Any) -> Rows:
        from fabula.neural.image_form import ImageForm

        images = np.asarray(X)
        if not len(images):
            raise DataError("Found array with 0 sample(s): there are no images to learn from.")
        self.form_ = ImageForm.learned(images, self.image_shape)
        rows = self.form_.rows(images)
        adopt_columns(self, self.form_.n_pixels)
        self.empty_columns_: list[int] = []
        self.images_ = images.ndim > 2
        return rows

    def _read(self, X: Any, **options: Any) -> Any:
        if not options.get("reset") and self._is_of_images and not is_frame(X) and np.ndim(X) > 2:
            X = self.form_.rows(X)  # type: ignore[union-attr]
        return super()._read(X, **options)

    @property
    def _is_of_images(self) -> bool:
        return hasattr(getattr(self, "form_", None), "n_pixels")

    def _learn_form(self, rows: Rows, **options: Any) -> TableForm | ImageForm:
        """The form of the rows that `_read_rows` gave."""
        if self.images_ or self.image_shape is not None:
            return self.form_
        from fabula.neural.table_form import TableForm

        return TableForm.learned(rows, self.columns_.fields, **options)

    def _give(self, x: FloatArray, condition: Mapping[int, float | Region] | None = None) -> Any:
        if self._is_of_images and self.images_ and x.shape[1] == self.form_.n_columns:
            return self.form_.images(x)  # type: ignore[union-attr]
        return super()._give(x, condition)

    def _give_completed(self, X: Any, x: FloatArray, filled: FloatArray) -> Any:
        given = super()._give_completed(X, x, filled)
        if self._is_of_images and np.ndim(X) > 2:
            return given.reshape(np.shape(X))
        return given

    # Training ---------------------------------------------------------------------------------

    def _check_training(self) -> None:
        for name in ("max_epochs", "batch_size"):
            value = getattr(self, name)
            if name == "max_epochs" and value is None:
                continue
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                raise UsageError(f"{name} must be a whole number of at least 1, not {value!r}.")
        if self.patience is not None and not (
            isinstance(self.patience, int | np.integer) and self.patience >= 1
        ):
            raise UsageError(f"patience must be at least 1 or None, not {self.patience!r}.")
        if self.max_time is not None and not self.max_time > 0:
            raise UsageError(f"max_time must be a positive number of seconds, not {self.max_time}.")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"learning_rate must lie between 0 and 1, not {self.learning_rate!r}.")
        if not 0 <= self.validation < 1:
            raise UsageError(
                f"validation must be a share from 0 to below 1, not {self.validation!r}."
            )

    def _split(
        self,
        arrays: Mapping[str, np.ndarray],
        n: int,
        rng: np.random.Generator,
        may_be_held_out: np.ndarray | None = None,
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None]:
        """Rows to train on, and rows that are held out to tell when to stop.

        Parameters
        ----------
        arrays : mapping of arrays
            With one entry a row.
        may_be_held_out : (n,) array of bool, optional
            Rows that training can do without.
        """
        if n < 1:
            raise DataError("Found array with 0 sample(s): there are no rows to learn from.")
        candidates = np.arange(n) if may_be_held_out is None else np.flatnonzero(may_be_held_out)
        number = int(self.validation * len(candidates))
        if not number or n < _LEAST_ROWS_TO_HOLD_OUT:
            return dict(arrays), None
        held = np.zeros(n, dtype=bool)
        held[rng.permutation(candidates)[:number]] = True
        return (
            {name: array[~held] for name, array in arrays.items()},
            {name: array[held] for name, array in arrays.items()},
        )

    def _n_epochs(self, n: int) -> int:
        """Passes over n rows: as asked, or enough for some thousands of steps."""
        if self.max_epochs is not None:
            return int(self.max_epochs)
        a_pass = max(n // int(self.batch_size), _LEAST_BATCHES)
        return int(np.clip(-(-_USUAL_STEPS // a_pass), *_FEWEST_AND_MOST_PASSES))

    def _train(
        self,
        learner: Any,
        arrays: Any,
        held_out: Any,
        rng: np.random.Generator,
        **options: Any,
    ) -> tuple[Any, TrainingReport]:
        """What the learner has learned, and the report; ``options`` are further ones of `Plan`."""
        from fabula.neural.training import Plan, train

        n = len(next(iter(arrays.values())))
        plan = Plan(
            **{
                "batch_size": min(int(self.batch_size), max(n // _LEAST_BATCHES, 1)),
                "max_epochs": self._n_epochs(n),
                "max_time": self.max_time,
                "patience": self.patience,
                "seed": int(rng.integers(2**31)),
                **options,
            }
        )
        return train(
            learner,
            arrays,
            plan,
            validation=held_out,
            on_progress=self._on_progress,
            checkpoint=None if self.checkpoint is None else Path(os.fspath(self.checkpoint)),
        )
