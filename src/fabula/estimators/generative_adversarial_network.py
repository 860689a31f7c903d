"""Generative adversarial networks of tables and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin

from fabula.core.arrays import Codes, Rows
from fabula.core.errors import DataError, UsageError
from fabula.estimators.base.arguments import whole_number
from fabula.estimators.networks.adversarial_questions import AdversarialQuestions
from fabula.estimators.networks.checks import check_not_negative, check_part
from fabula.persistence.registry import storable

__all__ = ["GenerativeAdversarialNetwork"]

_LOSSES = ("relativistic", "wasserstein")
_BALANCES = ("log", None)
# On a processor, blocks of rows make digits sooner than convolutions do.
_LEAST_SIDE_TO_CONVOLVE = 33
# Rows of a table that begin with a level, and those of which random columns are known.
_BEGUN = 0.3
_KNOWN_OF_TABLES = 0.2
# Of the learning rate: many pixels together move far.
_OF_IMAGES = 0.5


@storable("estimator/generative_adversarial_network")
class GenerativeAdversarialNetwork(AdversarialQuestions, TransformerMixin):
    """A network makes rows, a second one tells them from real ones, and both learn from that.

    It takes tables with columns of any kind, and images; cells may be missing. It has no density:
    what it answers is what draws can answer. `mode_coverage` tells what the draws leave out.

    Parameters
    ----------
    n_latent : int
        Latent numbers behind each row.
    width, depth : int
        Of the residual blocks of both networks.
    channels : sequence of int, optional
        For images: channels at each resolution of convolutional networks, from the finest down;
        () takes blocks of rows, as for tables. By default the latter up to 32 × 32 pixels.
    loss : {"relativistic", "wasserstein"}
        Real and made rows are compared in pairs, with penalties on the critic's slope at both
        (R3GAN); or means are compared, with a penalty where the slope between rows is not 1
        (WGAN-GP).
    penalty : float, optional
        Its weight; 0.01 (images: 3), or 10 with "wasserstein", by default.
    critic_steps : int, optional
        Steps of the critic for one of the generator; 1, or 5 with "wasserstein", by default.
    pack : int
        Rows that the critic looks at together; 2 or more punish draws that are too much alike.
    balance : {None, "log"}
        Whether rare levels are shown more often than they occur, with a frequency that grows as
        the log of theirs; draws have levels in the shares of the rows all the same. Levels of a
        few rows in a thousand then survive, at some cost elsewhere.
    conditional : sequence of columns, optional
        Columns that are given: the model tells the others under them.
    known_share : float, optional
        Share of the rows of which random columns are told in each step of learning, so that draws
        given values, and draws of missing cells, are made directly; 0.2 for tables, 0 for images.
    scaling : {"normal scores", "standard"}
        How numbers become the scale that the networks see.
    n_starts, n_search : int
        Starts and steps of the search for the latents of a row (`transform`).
    kinds : mapping of column to kind, optional
        What a column is, where it would be guessed otherwise.
    image_shape : tuple of int, optional
        Height and width (and channels) where rows of an array are images.
    max_epochs, max_time, batch_size, learning_rate
        Passes (by default enough for some 10,000 steps) and seconds at most, rows a step, and the
        height of the rate (half of it for images). No rows are held out: there is no loss that
        tells when to stop, and the average of the generator's weights at the end is kept.
    checkpoint : path, optional
        File from which training that was broken off goes on.
    random_state : int, Generator, RandomState or None

    Attributes
    ----------
    story_ : Adversarial
        The generator and its questions.
    form_ : TableForm or ImageForm
        How rows become arrays.
    classes_ : (C,) array
        The classes, where there was a ``y``.
    report_ : TrainingReport

    References
    ----------
    Goodfellow et al. (2014), NeurIPS 27. Huang, Gokaslan, Kuleshov and Tompkin (2024), The GAN is
    dead; long live the GAN!, NeurIPS 37. Gulrajani et al. (2017), NeurIPS 30. Xu et al. (2019),
    Modeling tabular data using conditional GAN, NeurIPS 32. Lin et al. (2018), PacGAN, NeurIPS 31.

    Examples
    --------
    >>> import numpy as np
    >>> from fabula.estimators.generative_adversarial_network import GenerativeAdversarialNetwork
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 1)) * [1.0, -1.0] + 0.2 * rng.normal(size=(400, 2))
    >>> model = GenerativeAdversarialNetwork(8, width=32, depth=1, max_epochs=60, random_state=0)
    >>> drawn, _ = model.fit(X).sample(500)
    >>> model.density_kind, bool(np.corrcoef(drawn.T)[0, 1] < -0.8)
    ('implicit', True)
    """

    _story = "fabula.neural.adversarial.story:Adversarial"
    _usual_steps = 10_000
    _most_passes = 2000
    # Nothing is held out: see the parameters.
    validation = 0.0
    patience = None

    def __init__(
        self,
        n_latent: int = 64,
        *,
        width: int = 128,
        depth: int = 2,
        channels: Sequence[int] | None = None,
        loss: str = "relativistic",
        penalty: float | None = None,
        critic_steps: int | None = None,
        pack: int = 1,
        balance: str | None = None,
        conditional: Sequence[Any] | None = None,
        known_share: float | None = None,
        scaling: str = "normal scores",
        n_starts: int = 4,
        n_search: int = 200,
        kinds: Mapping[Any, Any] | None = None,
        image_shape: tuple[int, ...] | None = None,
        max_epochs: int | None = None,
        max_time: float | None = None,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        checkpoint: str | None = None,
        random_state: Any = None,
    ):
        self.n_latent = n_latent
        self.width = width
        self.depth = depth
        self.channels = channels
        self.loss = loss
        self.penalty = penalty
        self.critic_steps = critic_steps
        self.pack = pack
        self.balance = balance
        self.conditional = conditional
        self.known_share = known_share
        self.scaling = scaling
        self.n_starts = n_starts
        self.n_search = n_search
        self.kinds = kinds
        self.image_shape = image_shape
        self.max_epochs = max_epochs
        self.max_time = max_time
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.checkpoint = checkpoint
        self.random_state = random_state

    def _learn(self, x: Rows, codes: Codes | None, rng: np.random.Generator) -> None:
        from fabula.neural.adversarial.learning import Adversaries
        from fabula.neural.adversarial.levels import level_shares, with_levels
        from fabula.neural.adversarial.story import Adversarial
        from fabula.neural.networks.base import Network

        vectors = self._vectors(x)
        arrays = vectors.encode(x)
        if codes is not None:
            _check_labels(codes)
            arrays["labels"] = codes.astype(np.int32)
        told, known_share = self._told_columns(), self._known_share()
        balanced = self.balance == "log" and bool(set(vectors.level_parts))
        tells = bool(told) or known_share > 0 or balanced
        generator, critic = self._shapes(vectors, tells, 0 if codes is None else len(self.classes_))
        rows = with_levels(vectors, arrays, _BEGUN, rng) if balanced else arrays
        learner = Adversaries(
            generator,
            critic,
            self._lesson(told, known_share),
            learning_rate=float(self.learning_rate) * (_OF_IMAGES if self._reads_images else 1.0),
        )
        weights, self.report_ = self._train(learner, rows, None, rng)
        self.story_ = Adversarial(
            Network.of(generator, learner.generator(weights)),
            tuple(range(len(self.columns_.fields))),
            told=told,
            knows_cells=known_share > 0,
            level_shares=level_shares(vectors, arrays, generator.n_classes) if balanced else (),
            log_weights=self._log_shares(codes),
            seed=int(rng.integers(2**31)),
        )

    def _vectors(self, x: Rows) -> Any:
        from fabula.neural.adversarial.form import PixelVectors, TableVectors
        from fabula.neural.forms.image import ImageForm

        if isinstance(self.form_, ImageForm):
            return PixelVectors.learned(self.form_, x)
        return TableVectors.learned(self.form_, x)

    def _lesson(self, told: tuple[int, ...], known_share: float) -> Any:
        from fabula.neural.adversarial.learning import Lesson

        relativistic = self.loss == "relativistic"
        usual = (3.0 if self._reads_images else 0.01) if relativistic else 10.0
        return Lesson(
            self.loss,  # type: ignore[arg-type]
            usual if self.penalty is None else float(self.penalty),
            int(self.critic_steps or (1 if relativistic else 5)),
            told,
            known_share,
        )

    def _shapes(self, vectors: Any, tells: bool, n_classes: int) -> tuple[Any, Any]:
        from fabula.neural.adversarial.network import Critic, Generator

        sizes = int(self.width), int(self.depth), n_classes, tells, self._channels(vectors.form)
        return Generator(vectors, int(self.n_latent), *sizes), Critic(
            vectors, *sizes, pack=int(self.pack)
        )

    def _channels(self, form: Any) -> tuple[int, ...]:
        if not self._reads_images:
            return ()
        if self.channels is not None:
            return tuple(int(c) for c in self.channels)
        usual = (16, 48) if min(form.shape[:2]) >= _LEAST_SIDE_TO_CONVOLVE else ()
        self._check_pack(bool(usual))
        return usual

    def _known_share(self) -> float:
        if self.known_share is not None:
            return float(self.known_share)
        return 0.0 if self._reads_images else _KNOWN_OF_TABLES

    def _rows_a_step(self, n: int) -> int:
        """Whole packs."""
        if n < self.pack:
            raise DataError(
                f"There are {n} rows, fewer than the critic packs together ({self.pack})."
            )
        return max(super()._rows_a_step(n) // int(self.pack), 1) * int(self.pack)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("n_latent", "width", "depth", "pack", "n_starts", "n_search"):
            whole_number(name, getattr(self, name))
        if self.critic_steps is not None:
            whole_number("critic_steps", self.critic_steps)
        if self.loss not in _LOSSES:
            raise UsageError(f"loss must be one of {', '.join(_LOSSES)}, not {self.loss!r}.")
        if self.balance not in _BALANCES:
            raise UsageError(f"balance must be 'log' or None, not {self.balance!r}.")
        if self.penalty is not None:
            check_not_negative("penalty", self.penalty)
        check_part("known_share", self.known_share)
        if self.channels is not None:
            if not np.iterable(self.channels) or isinstance(self.channels, str):
                raise UsageError(f"channels must be a list of numbers, not {self.channels!r}.")
            for number in self.channels:
                whole_number("channels", number)
        self._check_pack(bool(self.channels))

    def _check_pack(self, convolves: bool) -> None:
        if self.pack > 1 and convolves:
            raise UsageError(
                "pack is for rows: a convolutional critic looks at one image at a time. Take "
                "pack=1, or channels=()."
            )


def _check_labels(codes: Codes) -> None:
    """Every row needs its class: the critic compares rows of one class with one another."""
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise DataError(
            f"{len(missing)} of {len(codes)} rows have no class, the first of them row "
            f"{missing[0] + 1} (counting from 1): GenerativeAdversarialNetwork learns from rows "
            "with a class each. Leave the others out, make the class a column of the table, or "
            "take VariationalAutoencoder or DiffusionModel, which learn from both."
        )
