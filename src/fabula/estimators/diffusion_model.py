"""Diffusion models of tables and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import DensityMixin

from fabula.core.arrays import Codes, Rows
from fabula.core.errors import UsageError
from fabula.estimators._diffusion_questions import DiffusionQuestions
from fabula.estimators._neural import NeuralEstimator, need_neural
from fabula.estimators._questions import generator_of
from fabula.estimators._table import read_target
from fabula.persistence.registry import storable

__all__ = ["DiffusionModel"]

# Rows of a table of which random columns are shown, or hidden, while learning.
_KNOWN_OF_TABLES = 0.2
_LEAST_SIDE_TO_CONVOLVE = 14
_USUAL_STEPS = 12_000
_LEAST_HELD_OUT = 1000
_FEWEST_AND_MOST_PASSES = (20, 2000)


@storable("estimator/diffusion_model")
class DiffusionModel(DiffusionQuestions, NeuralEstimator, DensityMixin):
    """Rows become noise step by step; a network that undoes the steps makes rows of noise.

    It takes tables with columns of any kind, and images; cells may be missing. Numbers carry
    normal noise, categories are masked, both at one time, so that a mixed table has one model.

    Parameters
    ----------
    width, depth : int
        Of the network's residual blocks.
    channels : sequence of int, optional
        For images: channels at each resolution of a convolutional network, from the finest down;
        () takes blocks of rows, as for tables. By default the latter below 14 × 14 pixels.
    dropout : float
        Share of the signals that are left out while learning.
    steps : int
        Steps from noise to rows.
    solver : {"heun", "dpm", "euler", "ancestral"}
        How a step is taken: with two looks at the network, with one and the memory of the last,
        with one, or with one and fresh noise.
    churn : float
        Noise that is added and removed again on the way (S_churn of Karras et al. 2022); not for
        "ancestral".
    conditional : sequence of columns, optional
        Columns that are given: the model tells the others under them.
    known_share : float, optional
        Share of the rows of which random columns are shown without noise, or hidden, in each step
        of learning, so that questions with known or missing cells are answered directly; 0.2 for
        tables and 0 for images. With 0, known cells are put back at each step of a draw with the
        noise of that step, which is slower and less exact.
    scaling : {"normal scores", "standard"}
        How numbers become the scale that noise is added to.
    n_times : int, optional
        Times behind the bound on the density of a row; 64 for tables and 16 for images.
    kinds : mapping of column to kind, optional
        What a column is, where it would be guessed otherwise.
    image_shape : tuple of int, optional
        Height and width (and channels) where rows of an array are images.
    max_epochs, max_time, batch_size, learning_rate, validation, patience
        Passes (by default enough for some 12,000 steps) and seconds at most, rows a step, the
        height of the rate, the share of rows that tells when to stop, and after how many looks
        without progress.
    checkpoint : path, optional
        File from which training that was broken off goes on.
    random_state : int, Generator, RandomState or None

    Attributes
    ----------
    story_ : Diffusion
        The network and its questions.
    form_ : TableForm or ImageForm
        How rows become arrays.
    classes_ : (C,) array
        The classes, where there was a ``y``.
    report_ : TrainingReport

    References
    ----------
    Karras, Aittala, Aila and Laine (2022), NeurIPS 35:26565. Shi, Han, Wang, Doucet and Titsias
    (2024), NeurIPS 37. Sahoo et al. (2024), NeurIPS 37. Shi et al. (2025), TabDiff, ICLR. Zhang et
    al. (2024), TabSyn, ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from fabula.estimators.diffusion_model import DiffusionModel
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 1)) * [1.0, -1.0] + 0.2 * rng.normal(size=(400, 2))
    >>> model = DiffusionModel(width=32, depth=1, max_epochs=60, random_state=0).fit(X)
    >>> model.density_kind
    'estimate'
    >>> drawn, _ = model.sample(500, steps=12)
    >>> bool(np.corrcoef(drawn.T)[0, 1] < -0.8)
    True
    """

    _story = "fabula.neural.diffusion:Diffusion"

    def __init__(
        self,
        width: int = 384,
        depth: int = 3,
        *,
        channels: Sequence[int] | None = None,
        dropout: float = 0.0,
        steps: int = 50,
        solver: str = "heun",
        churn: float = 0.0,
        conditional: Sequence[Any] | None = None,
        known_share: float | None = None,
        scaling: str = "normal scores",
        n_times: int | None = None,
        kinds: Mapping[Any, Any] | None = None,
        image_shape: tuple[int, ...] | None = None,
        max_epochs: int | None = None,
        max_time: float | None = None,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        validation: float = 0.05,
        patience: int | None = 40,
        checkpoint: str | None = None,
        random_state: Any = None,
    ):
        self.width = width
        self.depth = depth
        self.channels = channels
        self.dropout = dropout
        self.steps = steps
        self.solver = solver
        self.churn = churn
        self.conditional = conditional
        self.known_share = known_share
        self.scaling = scaling
        self.n_times = n_times
        self.kinds = kinds
        self.image_shape = image_shape
        self.max_epochs = max_epochs
        self.max_time = max_time
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation = validation
        self.patience = patience
        self.checkpoint = checkpoint
        self.random_state = random_state

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
        self._forget("classes_", "log_condition_")
        x = self._read_rows(X)
        codes: Codes | None = None
        if y is not None:
            self.classes_, codes = read_target(y, len(x))
        options = {} if self._reads_images else {"scaling": self.scaling}
        self.form_ = self._learn_form(x, **options)
        self._learn(x, codes, generator_of(self.random_state))
        return self

    @property
    def _reads_images(self) -> bool:
        return self.images_ or self.image_shape is not None

    def _learn(self, x: Rows, codes: Codes | None, rng: np.random.Generator) -> None:
        from fabula.neural.diffusion import Diffusion, Route
        from fabula.neural.diffusion_learning import Lesson, learner
        from fabula.neural.networks.base import Network, join

        arrays: dict[str, np.ndarray] = self.form_.encode(x)
        schedule = self._schedule()
        shape = self._shape(arrays, 0 if codes is None else len(self.classes_))
        shares = np.zeros(1)
        if codes is not None:
            arrays["labels"] = codes.astype(np.int32)
            counts = np.bincount(codes[codes >= 0], minlength=len(self.classes_))
            shares = np.log(counts / counts.sum())
        told: tuple[int, ...] = ()
        if self.conditional is not None:
            told = tuple(j for name in self.conditional for j in self.columns_.find(name))
            if len(set(told)) == len(self.columns_.fields):
                raise UsageError("conditional names every column: none is left to model.")
        known_share = self._known_share()
        train, held_out = self._split(arrays, len(x), rng)
        if held_out is not None:
            # Each copy of a row meets noise of its own, which calms the mean of few rows.
            times = -(-_LEAST_HELD_OUT // len(held_out["seen"]))
            held_out = {name: np.concatenate([a] * times) for name, a in held_out.items()}
        lesson = Lesson(schedule, known_share, told, shape.n_classes)
        descent, rest = learner(shape, lesson, learning_rate=float(self.learning_rate))
        weights, self.report_ = self._train(descent, train, held_out, rng)
        self.story_ = Diffusion(
            Network.of(shape, join(weights, rest)),
            schedule,
            tuple(range(len(self.columns_.fields))),
            told=told,
            knows_cells=known_share > 0,
            log_weights=shares,
            route=Route(int(self.steps), self.solver, float(self.churn)),  # type: ignore[arg-type]
            n_times=int(self.n_times or (16 if self._reads_images else 64)),
            seed=int(rng.integers(2**31)),
        )
        self.n_iter_ = self.report_.n_steps
        self.converged_ = self.report_.converged

    def _schedule(self) -> Any:
        from fabula.neural.diffusion_schedule import Schedule

        # Pixels beside one another are alike: it takes more noise before nothing is to be seen.
        return Schedule(centre=0.0, highest=80.0) if self._reads_images else Schedule()

    def _shape(self, arrays: Mapping[str, np.ndarray], n_classes: int) -> Any:
        from fabula.neural.diffusion_form import PixelNoise, TableNoise
        from fabula.neural.diffusion_network import DiffusionNetwork
        from fabula.neural.image_form import ImageForm

        noise: Any
        channels: tuple[int, ...] = ()
        form = self.form_
        if isinstance(form, ImageForm):
            noise = PixelNoise.learned(form, arrays)
            convolves = min(form.shape[:2]) >= _LEAST_SIDE_TO_CONVOLVE
            usual = (32, 64, 64) if convolves else ()
            channels = usual if self.channels is None else tuple(int(c) for c in self.channels)
        else:
            noise = TableNoise.learned(form, arrays)
        return DiffusionNetwork(
            noise,
            int(self.width),
            int(self.depth),
            n_classes,
            channels,
            dropout=float(self.dropout),
        )

    def _known_share(self) -> float:
        if self.known_share is not None:
            return float(self.known_share)
        return 0.0 if self._reads_images else _KNOWN_OF_TABLES

    def _n_epochs(self, n: int) -> int:
        """Passes over n rows: as asked, or enough for some thousands of steps."""
        if self.max_epochs is not None:
            return int(self.max_epochs)
        a_pass = max(n // int(self.batch_size), 8)
        return int(np.clip(-(-_USUAL_STEPS // a_pass), *_FEWEST_AND_MOST_PASSES))

    def _check_parameters(self) -> None:
        from fabula.estimators._diffusion_questions import check_route

        self._check_training()
        for name in ("width", "depth", "n_times"):
            value = getattr(self, name)
            if name == "n_times" and value is None:
                continue
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                raise UsageError(f"{name} must be a whole number of at least 1, not {value!r}.")
        check_route(self.steps, self.solver, self.churn)
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout must be a share from 0 to below 1, not {self.dropout!r}.")
        if self.known_share is not None and not 0 <= self.known_share <= 1:
            raise UsageError(f"known_share must lie from 0 to 1, not {self.known_share!r}.")
        if self.known_share and self._is_for_images:
            raise UsageError(
                "known_share is for tables: with images, known pixels are put back at each step."
            )

    @property
    def _is_for_images(self) -> bool:
        return self.image_shape is not None
