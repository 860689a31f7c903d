"""Diffusion models of tables and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import DensityMixin

from fabula.core.arrays import Codes, Rows
from fabula.core.errors import UsageError
from fabula.estimators.base.arguments import whole_number
from fabula.estimators.networks.checks import check_part
from fabula.estimators.networks.diffusion_questions import DiffusionQuestions, check_route
from fabula.persistence.registry import storable

__all__ = ["DiffusionModel"]

# Rows of a table of which random columns are shown, or hidden, while learning.
_KNOWN_OF_TABLES = 0.2
# On a processor, blocks of rows make digits sooner than convolutions do.
_LEAST_SIDE_TO_CONVOLVE = 33
_LEAST_HELD_OUT = 1000


@storable("estimator/diffusion_model")
class DiffusionModel(DiffusionQuestions, DensityMixin):
    """Rows become noise step by step; a network that undoes the steps makes rows of noise.

    It takes tables with columns of any kind, and images; cells may be missing. Numbers carry
    normal noise, categories are masked, both at one time, so that a mixed table has one model.

    Parameters
    ----------
    width, depth : int
        Of the network's residual blocks.
    channels : sequence of int, optional
        For images: channels at each resolution of a convolutional network, from the finest down;
        () takes blocks of rows, as for tables. By default the latter below 33 × 33 pixels.
    dropout : float
        Share of the signals that are left out while learning.
    steps : int
        Steps from noise to rows.
    solver : {"dpm", "heun", "euler", "ancestral"}
        How a step is taken: with one look at the network and the memory of the last, with two,
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

    _story = "fabula.neural.diffusion.story:Diffusion"
    _usual_steps = 12_000
    _most_passes = 2000

    def __init__(
        self,
        width: int = 384,
        depth: int = 3,
        *,
        channels: Sequence[int] | None = None,
        dropout: float = 0.0,
        steps: int = 50,
        solver: str = "dpm",
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

    def _learn(self, x: Rows, codes: Codes | None, rng: np.random.Generator) -> None:
        from fabula.neural.diffusion.learning import Lesson, learner
        from fabula.neural.diffusion.story import Diffusion, Route
        from fabula.neural.networks.base import Network, join

        arrays: dict[str, np.ndarray] = self.form_.encode(x)
        schedule = self._schedule()
        shape = self._shape(arrays, 0 if codes is None else len(self.classes_))
        if codes is not None:
            arrays["labels"] = codes.astype(np.int32)
        told = self._told_columns()
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
            log_weights=self._log_shares(codes),
            route=Route(int(self.steps), self.solver, float(self.churn)),  # type: ignore[arg-type]
            n_times=int(self.n_times or (16 if self._reads_images else 64)),
            seed=int(rng.integers(2**31)),
        )

    def _schedule(self) -> Any:
        from fabula.neural.diffusion.schedule import Schedule

        # Pixels beside one another are alike: it takes more noise before nothing is to be seen.
        return Schedule(centre=0.0, highest=80.0) if self._reads_images else Schedule()

    def _shape(self, arrays: Mapping[str, np.ndarray], n_classes: int) -> Any:
        from fabula.neural.diffusion.form import PixelNoise, TableNoise
        from fabula.neural.diffusion.network import DiffusionNetwork
        from fabula.neural.forms.image import ImageForm

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

    def _check_parameters(self) -> None:
        super()._check_parameters()
        whole_number("width", self.width)
        whole_number("depth", self.depth)
        if self.n_times is not None:
            whole_number("n_times", self.n_times)
        check_route(self.steps, self.solver, self.churn)
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout must be a share from 0 to below 1, not {self.dropout!r}.")
        check_part("known_share", self.known_share)
        if self.known_share and self.image_shape is not None:
            raise UsageError(
                "known_share is for tables: with images, known pixels are put back at each step."
            )
