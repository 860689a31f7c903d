"""What every estimator of rows told by a network shares: reading, fitting, training, files.

A subclass has these parameters among its own, and gives them to nobody else:

``max_epochs``, ``max_time``, ``batch_size``, ``learning_rate``, ``validation``, ``patience``,
``checkpoint``, ``image_shape``, ``kinds``, ``scaling``, ``random_state``; and ``conditional``, if
it asks for `_told_columns`.

`NeuralEstimator.fit` checks, reads tables or images and classes, and learns ``form_``. What is
left to write is how a `fabula.neural.training.plan.Learner` makes a story of rows:

.. code-block:: python

    _story = "fabula.neural.…:…"                  # where the class of the story is

    def _check_parameters(self):
        super()._check_parameters()               # those of training
        …

    def _learn(self, x, codes, rng):              # rows (n, d); codes (n,) of classes, or None
        arrays = self.form_.encode(x)             # a tree of arrays, one entry a row
        train, held_out = self._split(arrays, len(x), rng)
        learned, self.report_ = self._train(learner, train, held_out, rng)
        self.story_ = …                           # @storable("neural/…"), a frozen dataclass

The story has ``n_columns`` (that of the encoded rows), ``n_parameters`` and, of the protocols in
`fabula.questions.protocols`, those it can answer: ``log_prob`` (absent where the density is
implicit), ``sample(n, rng)``, ``sample_given``, ``condition``, ``marginal``, ``complete``. What
`TableQuestions` builds on them then works for tables (pandas, polars, pyarrow, numpy), and here
for arrays of images as well; `fabula.estimators.networks.questions` adds classes, and cells that
are filled by ``complete``. ``density_kind`` says what ``score_samples`` is: "exact", "bound",
"estimate" or "implicit"; a question that a model has no answer to raises `CannotAnswerError`.
Files hold what ``to_state`` gives: parameters, the story with its weights (`Network`: safetensors)
and the report.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fabula.core.arrays import Codes, FloatArray, Rows
from fabula.core.errors import CannotAnswerError, DataError, UsageError
from fabula.core.regions import Region
from fabula.estimators.base.arguments import generator_of
from fabula.estimators.base.columns import adopt_columns
from fabula.estimators.base.frames import is_frame
from fabula.estimators.base.questions import TableQuestions
from fabula.estimators.base.target import read_target
from fabula.estimators.networks.checks import check_training, need_neural

if TYPE_CHECKING:
    from fabula.neural.forms.image import ImageForm
    from fabula.neural.forms.table import TableForm
    from fabula.neural.training.plan import TrainingReport

__all__ = ["NeuralEstimator"]

_LEAST_ROWS_TO_HOLD_OUT = 40
# Small tables are cut into at least so many minibatches: one step a pass learns little.
_LEAST_BATCHES = 8
_FEWEST_PASSES = 20
_OF_THE_PLAN = ("max_epochs", "max_time", "batch_size", "patience")


class NeuralEstimator(TableQuestions):
    """Rows of tables and of images, perhaps with classes, and the training loop."""

    form_: TableForm | ImageForm
    report_: TrainingReport
    classes_: np.ndarray
    images_: bool
    image_shape: tuple[int, ...] | None
    kinds: Mapping[Any, Any] | None
    scaling: str
    conditional: Sequence[Any] | None
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

    # Without max_epochs: passes enough for so many steps, though not more than so many passes.
    _usual_steps: ClassVar[int] = 6000
    _most_passes: ClassVar[int] = 400

    # Called with the share that is done, the loss and the seconds left, while training goes on.
    _on_progress: Callable[[float, float, float], None] | None = None
    # Networks that the present fit has begun to train.
    _n_trained: int = 0

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

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the network.

        Parameters
        ----------
        X : (n, d) array, data frame, or images (n, h, w) or (n, h, w, c)
            Missing cells and pixels are NaN or null.
        y : (n,) array, optional
            Classes; -1, None or NaN where a row has none.

        Returns
        -------
        self

        Raises
        ------
        UsageError
            A parameter makes no sense, or the libraries for networks are missing.
        DataError
            The rows cannot be used; the message names column and row.

        Warns
        -----
        ConvergenceWarning
            A loss was no finite number, so that training went back.
        """
        need_neural(type(self).__name__)
        self._check_parameters()
        self._forget("classes_", "log_condition_", "pixel_type_")
        self._n_trained = 0
        x = self._read_rows(X)
        codes: Codes | None = None
        if y is not None:
            self.classes_, codes = read_target(y, len(x))
        self.form_ = self._learn_form(x)
        self._learn(x, codes, generator_of(self.random_state))
        self.n_iter_ = self.report_.n_steps
        self.converged_ = self.report_.converged
        return self

    @abstractmethod
    def _learn(self, x: Rows, codes: Codes | None, rng: np.random.Generator) -> None:
        """Set ``story_`` and ``report_`` from rows (n, d) and their classes, -1 where unknown."""

    @property
    def class_prior_(self) -> FloatArray:
        """Prior probabilities (C,) of the classes, after a fit with some."""
        if not hasattr(self, "classes_"):
            raise AttributeError(f"{type(self).__name__} was fitted without classes.")
        return np.asarray(np.exp(self.story_.log_weights))

    def _check_parameters(self) -> None:
        """Raise a UsageError where a parameter makes no sense."""
        check_training(self)

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
        from fabula.neural.forms.image import ImageForm

        images = np.asarray(X)
        if not len(images):
            raise DataError("Found array with 0 sample(s): there are no images to learn from.")
        if images.dtype.kind == "f" and np.isinf(images).any():
            first = int(np.argwhere(np.isinf(images))[0][0]) + 1
            raise DataError(
                f"Image {first} (counting from 1) contains infinity. Write NaN where a pixel is "
                "missing; infinity is not welcome."
            )
        self.form_ = ImageForm.learned(images, self.image_shape)
        rows = self.form_.rows(images)
        adopt_columns(self, self.form_.n_pixels)
        self.empty_columns_: list[int] = []
        self.images_ = images.ndim > 2
        self.pixel_type_ = images.dtype.name
        return rows

    def _read(self, X: Any, **options: Any) -> Any:
        if not options.get("reset") and self._is_of_images and not is_frame(X) and np.ndim(X) > 2:
            X = self.form_.rows(X)  # type: ignore[union-attr]
        return super()._read(X, **options)

    @property
    def _is_of_images(self) -> bool:
        return hasattr(getattr(self, "form_", None), "n_pixels")

    @property
    def _reads_images(self) -> bool:
        """Whether the rows that are learned from are images."""
        return self.images_ or self.image_shape is not None

    def _learn_form(self, rows: Rows) -> TableForm | ImageForm:
        """The form of the rows that `_read_rows` gave."""
        if self._reads_images:
            return self.form_
        from fabula.neural.forms.table import TableForm

        return TableForm.learned(rows, self.columns_.fields, scaling=self.scaling)  # type: ignore[arg-type]

    def _told_columns(self) -> tuple[int, ...]:
        """The encoded columns that ``conditional`` names."""
        if self.conditional is None:
            return ()
        if isinstance(self.conditional, str) or not np.iterable(self.conditional):
            raise UsageError(
                f"conditional must be a list of columns, not {self.conditional!r}: "
                f"[{self.conditional!r}]?"
            )
        told = tuple(j for name in self.conditional for j in self.columns_.find(name))
        if len(set(told)) == len(self.columns_.fields):
            raise UsageError("conditional names every column: none is left to model.")
        return told

    def _give(self, x: FloatArray, condition: Mapping[int, float | Region] | None = None) -> Any:
        if not self._is_of_images:
            return super()._give(x, condition)
        kind = np.dtype(getattr(self, "pixel_type_", "float64"))
        if kind.kind in "iub":
            x = np.rint(x)
            if kind.kind != "b":
                # Some laws draw beyond the range of the type, where whole numbers would begin anew.
                x = np.clip(x, np.iinfo(kind).min, np.iinfo(kind).max)
            x = x.astype(kind)
        return self._as_images(x)

    def _as_images(self, x: FloatArray) -> Any:
        """Rows of pixels as images, where the model was learned from such and has all pixels."""
        if self.images_ and x.shape[1] == self.form_.n_columns:
            return self.form_.images(x)  # type: ignore[union-attr]
        return x

    def _give_means(self, x: FloatArray) -> Any:
        """What is no draw, in the form of the data: pixels stay between levels."""
        return self._as_images(x) if self._is_of_images else self._give(x)

    def _give_completed(self, X: Any, x: FloatArray, filled: FloatArray) -> Any:
        given = super()._give_completed(X, x, filled)
        if self._is_of_images and not is_frame(X):
            # Pixels of whole numbers cannot miss any: they come back as they are.
            kind = getattr(X, "dtype", given.dtype)
            return given.reshape(np.shape(X)).astype(kind if kind.kind in "iub" else given.dtype)
        return given

    # Classes ----------------------------------------------------------------------------------

    @property
    def _has_classes(self) -> bool:
        return hasattr(self, "classes_")

    def _log_shares(self, codes: Codes | None) -> FloatArray:
        """Log of the shares of classes (C,) among the rows that have one; (0,) without classes."""
        if codes is None:
            return np.zeros(1)
        counts = np.bincount(codes[codes >= 0], minlength=len(self.classes_))
        return np.asarray(np.log(counts / counts.sum()))

    def _class_codes(self, y: Any, n: int) -> Codes | None:
        """Codes (n,) of a class, or of one for each of n rows; None where none is named."""
        if y is None:
            return None
        if not self._has_classes:
            raise UsageError("y goes with a model that was fitted with classes.")
        names = np.asarray(y)
        if names.ndim == 0:
            names = np.repeat(names[None], n)
        if names.ndim != 1:
            raise UsageError(
                f"y must be a class, or one class for each row, not of shape {names.shape}."
            )
        if len(names) != n:
            raise UsageError(f"y has {len(names)} classes, but {n} rows were asked for.")
        places = {name: k for k, name in enumerate(self.classes_.tolist())}
        unknown = [name for name in names.tolist() if name not in places]
        if unknown:
            raise UsageError(f"{unknown[0]!r} is none of the classes {self.classes_.tolist()}.")
        return np.array([places[name] for name in names.tolist()], dtype=np.intp)

    def _name_members(self, members: np.ndarray) -> np.ndarray:
        return np.asarray(self.classes_[members]) if self._has_classes else members

    # Training ---------------------------------------------------------------------------------

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
        passes = -(-self._usual_steps // a_pass)
        return int(np.clip(passes, _FEWEST_PASSES, self._most_passes))

    def _rows_a_step(self, n: int) -> int:
        """Rows of a minibatch of n rows."""
        return min(int(self.batch_size), max(n // _LEAST_BATCHES, 1))

    def _train(
        self,
        learner: Any,
        arrays: Any,
        held_out: Any,
        rng: np.random.Generator,
        beside: Any = None,
        **options: Any,
    ) -> tuple[Any, TrainingReport]:
        """What the learner has learned, and the report.

        ``beside`` are arrays that it learns from beside the rows; ``options`` are further ones of
        `Plan`.
        """
        from fabula.neural.training.checkpoints import digest_of
        from fabula.neural.training.loop import train
        from fabula.neural.training.plan import Plan

        n = len(next(iter(arrays.values())))
        self._n_trained += 1
        plan = Plan(
            **{
                "batch_size": self._rows_a_step(n),
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
            checkpoint=self._checkpoint_file(),
            settings=f"{self._settings()} {digest_of(beside)}",
        )

    def _checkpoint_file(self) -> Path | None:
        """Where the training that is under way is kept: each of one fit has a file of its own."""
        if self.checkpoint is None:
            return None
        name = os.fspath(self.checkpoint)
        return Path(name if self._n_trained == 1 else f"{name}.{self._n_trained}")

    def _settings(self) -> str:
        """The parameters that training depends on; the plan has those of its length and chance."""
        stated = self.get_params(deep=False)
        rest = {"checkpoint", "random_state", *_OF_THE_PLAN}
        learned = {name: value for name, value in stated.items() if name not in rest}
        return f"{type(self).__name__} {sorted(learned.items())!r}"
