"""Variational autoencoders over tables and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import DensityMixin, TransformerMixin

from fabula.core.arrays import Codes, Rows
from fabula.core.errors import UsageError
from fabula.estimators.base.arguments import whole_number
from fabula.estimators.networks.checks import check_not_negative, check_part
from fabula.estimators.networks.latent_questions import LatentQuestions
from fabula.persistence.registry import storable

__all__ = ["VariationalAutoencoder"]

_PRIORS = ("normal", "mixture", "vamp")
_TABLE_LAWS = ("normal", "logistic")
_PIXEL_LAWS = ("bernoulli", "logistic", "normal")
# Rows of a table that a part is hidden of, so that the encoder knows rows with missing cells.
_HIDDEN_OF_TABLES = 0.2
_ROWS_TO_START_FROM = 20_000
# Of the network over latents and classes: small, since latents are few.
_MOST_LATENTS_OF_SECOND = 10
_WIDTH_OF_SECOND = 128
_RATE_OF_SECOND = 3e-3


@storable("estimator/variational_autoencoder")
class VariationalAutoencoder(LatentQuestions, DensityMixin, TransformerMixin):
    """A few latent numbers behind every row, from which a network tells what the row looks like.

    It takes tables with columns of any kind, and images; cells may be missing. Densities are
    bounds from below that rise with the number of draws. With some labels, it learns classes from
    all rows, labelled or not.

    Parameters
    ----------
    n_latent : int, optional
        Latent dimensions; by default a third of the encoded columns, from 2 to 16, or 32 for
        images.
    hidden : sequence of int
        Widths of the layers of the encoder; the decoder has them in reverse. () makes both linear.
    prior : {"normal", "mixture", "vamp"}
        Of the latents: a standard normal; normals that are learned, which are clusters; or the
        posteriors of pseudo-rows that are learned.
    n_components : int
        Of the last two.
    beta : float
        Weight of the divergence from the prior; above 1, dimensions are told apart more clearly,
        and rows are told less exactly.
    n_draws : int
        Latents drawn for each row in each step; more than one makes the importance-weighted bound
        the objective.
    likelihood : "auto" or name
        Of numbers, on the scale of normal scores: "normal" or "logistic" (heavier tails). Of
        pixels: "bernoulli", "logistic" (of levels) or "normal" (of any value). Categories and
        booleans are categories, and values recorded to a precision are cells of its width.
    scaling : {"normal scores", "standard"}
        How numbers become the scale that the network sees.
    conditional : sequence of columns, optional
        Columns that are given: the model tells the others under them.
    layers : {"M2", "M1+M2"}
        With classes: one network that is told of the class; or a second one over the latents of
        the first, which is better, and much faster, where few rows have labels.
    classifier_weight : float
        Of the cross-entropy of labels, in nats a row, where there are some.
    hidden_share : float, optional
        Share of the rows of which some cells are hidden in each step, so that questions about rows
        with missing cells are answered well; 0.2 for tables and 0 for images.
    n_importance : int
        Draws behind the density of a row.
    kinds : mapping of column to kind, optional
        What a column is, where it would be guessed otherwise.
    image_shape : tuple of int, optional
        Height and width (and channels) where rows of an array are images.
    max_epochs, max_time, batch_size, learning_rate, validation, patience
        Passes (by default enough for some 6,000 steps, from 20 to 400) and seconds at most, rows
        a step, the height of the rate, the share of rows that
        tells when to stop, and after how many looks without progress.
    checkpoint : path, optional
        File from which training that was broken off goes on.
    random_state : int, Generator, RandomState or None

    Attributes
    ----------
    story_ : Variational
        The network and its questions.
    form_ : TableForm or ImageForm
        How rows become arrays.
    classes_ : (C,) array
        The classes, where there was a ``y``.
    report_ : TrainingReport

    References
    ----------
    Kingma and Welling (2014), ICLR. Burda, Grosse and Salakhutdinov (2016), ICLR. Kingma et al.
    (2014), NeurIPS 27:3581. Mattei and Frellsen (2019), ICML. Tomczak and Welling (2018), AISTATS.

    Examples
    --------
    >>> import numpy as np
    >>> from fabula.estimators.variational_autoencoder import VariationalAutoencoder
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 1)) * [1.0, 2.0, -1.0] + 0.1 * rng.normal(size=(300, 3))
    >>> model = VariationalAutoencoder(1, hidden=(32,), max_epochs=40, random_state=0).fit(X)
    >>> model.density_kind, model.transform(X).shape
    ('bound', (300, 1))
    >>> hole = np.array([[1.0, np.nan, -1.0]])
    >>> bool(1.5 < model.impute(hole)[0, 1] < 2.5)
    True
    """

    _story = "fabula.neural.variational.story:Variational"

    def __init__(
        self,
        n_latent: int | None = None,
        *,
        hidden: Sequence[int] = (256, 256),
        prior: str = "normal",
        n_components: int = 10,
        beta: float = 1.0,
        n_draws: int = 1,
        likelihood: str = "auto",
        scaling: str = "normal scores",
        conditional: Sequence[Any] | None = None,
        layers: str = "M2",
        classifier_weight: float = 1.0,
        hidden_share: float | None = None,
        n_importance: int = 64,
        kinds: Mapping[Any, Any] | None = None,
        image_shape: tuple[int, ...] | None = None,
        max_epochs: int | None = None,
        max_time: float | None = None,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        validation: float = 0.1,
        patience: int | None = 20,
        checkpoint: str | None = None,
        random_state: Any = None,
    ):
        self.n_latent = n_latent
        self.hidden = hidden
        self.prior = prior
        self.n_components = n_components
        self.beta = beta
        self.n_draws = n_draws
        self.likelihood = likelihood
        self.scaling = scaling
        self.conditional = conditional
        self.layers = layers
        self.classifier_weight = classifier_weight
        self.hidden_share = hidden_share
        self.n_importance = n_importance
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
        arrays = self.form_.encode(x)
        if codes is None or self.layers == "M2":
            self.story_ = self._train_layer(
                arrays, self._shape(codes is not None), codes, rng, self._hidden_share()
            )
        else:
            first = self._train_layer(arrays, self._shape(False), None, rng, self._hidden_share())
            self.report_of_first_ = self.report_
            self.story_ = self._second_layer(first, x, codes, rng)

    def _second_layer(self, first: Any, x: Rows, codes: Codes, rng: np.random.Generator) -> Any:
        """The story of the rows, told by that of their latents and classes.

        Latents that are the same for every row are left out of both: by their noise, a network can
        tell a few labelled rows apart.
        """
        from dataclasses import replace

        from fabula.neural.forms.table import TableForm
        from fabula.neural.variational.autoencoder import Autoencoder
        from fabula.neural.variational.laws import TableLaw
        from fabula.neural.variational.live_latents import live_latents, with_latents
        from fabula.tables.encoding import Field

        means, widths = first.moments(first.whole(x))
        live = live_latents(means)
        network = with_latents(first.network, live, means.mean(axis=0))
        first = replace(first, network=network)
        means, widths = means[:, live], widths[:, live]

        fields = [Field(j, "continuous") for j in range(len(live))]
        drawn = means + widths * rng.standard_normal(means.shape)
        form = TableForm.learned(drawn, fields, scaling="standard")
        arrays = form.encode(means)
        # Every step draws latents anew from the posteriors of its rows.
        arrays["blur"] = form.encode(means + widths)["numbers"] - arrays["numbers"]
        shape = Autoencoder(
            TableLaw(form),
            min(len(live), _MOST_LATENTS_OF_SECOND),
            (min(max((*self.hidden, 64)), _WIDTH_OF_SECOND),),
            len(self.classes_),
        )
        second = self._train_layer(
            arrays, shape, codes, rng, hidden=0.0, learning_rate=_RATE_OF_SECOND
        )
        return replace(first, deeper=second, log_weights=second.log_weights)

    def _train_layer(
        self,
        arrays: Any,
        shape: Any,
        codes: Codes | None,
        rng: np.random.Generator,
        hidden: float,
        learning_rate: float | None = None,
    ) -> Any:
        """The story of rows, and of their classes where there are codes."""
        from fabula.neural.networks.base import Network, join
        from fabula.neural.variational.learning import Bound, learner
        from fabula.neural.variational.story import Variational

        n = len(arrays["seen"])
        shares = self._log_shares(codes)
        some, beside = arrays, None
        if codes is not None:
            labels, labelled = codes.astype(np.int32), codes >= 0
            if labelled.all():
                some = {**arrays, "labels": labels}
            else:
                beside = {name: a[labelled] for name, a in arrays.items()}
                beside["labels"] = labels[labelled]
        train, held_out = self._split(some, n, rng)
        bound = Bound(
            float(self.beta),
            int(self.n_draws),
            hidden,
            float(self.classifier_weight),
            None if codes is None else shares,
        )
        first = {name: a[:_ROWS_TO_START_FROM] for name, a in train.items()}
        descent, rest = learner(
            shape,
            bound,
            first,
            learning_rate=float(learning_rate or self.learning_rate),
            weight_decay=1e-4,
            labelled=beside,
            n_rows=n,
        )
        weights, self.report_ = self._train(descent, train, held_out, rng, beside=beside)
        module = join(weights, rest)
        if codes is None:
            shares = np.asarray(module.components()[0], dtype=np.float64)
        return Variational(
            Network.of(shape, module),
            tuple(range(shape.law.form.n_columns)),
            log_weights=shares,
            classifier_log_weights=shares,
            n_importance=int(self.n_importance),
            seed=int(rng.integers(2**31)),
        )

    def _shape(self, with_classes: bool) -> Any:
        from fabula.neural.forms.image import ImageForm
        from fabula.neural.variational.autoencoder import Autoencoder
        from fabula.neural.variational.laws import PixelLaw, TableLaw

        law: Any
        form = self.form_
        if isinstance(form, ImageForm):
            kind = self.likelihood
            if kind == "auto":
                levels = "bernoulli" if form.n_levels == 2 else "logistic"
                kind = levels if form.n_levels else "normal"
            law = PixelLaw(form, kind)  # type: ignore[arg-type]
            usual = 32
        else:
            law = TableLaw(form, "normal" if self.likelihood == "auto" else self.likelihood)  # type: ignore[arg-type]
            usual = int(np.clip(round(form.n_columns / 3), 2, 16))
        return Autoencoder(
            law,
            int(self.n_latent or usual),
            tuple(int(width) for width in self.hidden),
            len(self.classes_) if with_classes else 0,
            self.prior,  # type: ignore[arg-type]
            int(self.n_components) if self.prior != "normal" else 1,
            self._told_columns(),
        )

    def _hidden_share(self) -> float:
        if self.hidden_share is not None:
            return float(self.hidden_share)
        return 0.0 if self._reads_images else _HIDDEN_OF_TABLES

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.n_latent is not None:
            whole_number("n_latent", self.n_latent)
        for name in ("n_components", "n_draws", "n_importance"):
            whole_number(name, getattr(self, name))
        if not isinstance(self.hidden, list | tuple) or any(
            not isinstance(width, int | np.integer) or width < 1 for width in self.hidden
        ):
            raise UsageError(
                f"hidden must be widths of layers, such as (256, 256), not {self.hidden!r}."
            )
        if self.prior not in _PRIORS:
            raise UsageError(f"prior must be one of {', '.join(_PRIORS)}, not {self.prior!r}.")
        if self.layers not in ("M2", "M1+M2"):
            raise UsageError(f"layers must be 'M2' or 'M1+M2', not {self.layers!r}.")
        laws = sorted({"auto", *_TABLE_LAWS, *_PIXEL_LAWS})
        if self.likelihood not in laws:
            raise UsageError(
                f"likelihood must be one of {', '.join(laws)}, not {self.likelihood!r}."
            )
        for name in ("beta", "classifier_weight"):
            check_not_negative(name, getattr(self, name))
        if self.n_draws > 1 and self.beta != 1:
            raise UsageError("beta other than 1 goes with n_draws=1: the two bounds differ.")
        check_part("hidden_share", self.hidden_share)
