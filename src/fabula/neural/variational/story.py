"""The story of a variational autoencoder, and the questions it answers.

Latents are drawn from what the encoder makes of a row (its class from the classifier, where there
are classes), and weighted by p(row, latents) / q(latents). The mean of K such weights is an
unbiased estimate of p(row), so the mean of its logarithm is a bound that rises with K towards the
truth (Burda, Grosse and Salakhutdinov 2016); the same weights turn draws into draws of the
posterior, whatever cells are missing (Mattei and Frellsen 2019, MIWAE).

Chance is a function of the row: its answers do not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from fabula.core.arrays import Codes, FloatArray, Members, Responsibilities, Rows
from fabula.core.regions import Region
from fabula.neural.forms.table import EmptyColumn
from fabula.neural.networks.base import Network
from fabula.neural.row_batches import padded, row_keys, row_slices
from fabula.neural.row_stories import RowStory
from fabula.neural.variational import draws
from fabula.neural.variational.autoencoder import Autoencoder
from fabula.neural.variational.particles import (
    classified,
    decoded,
    draw_particles,
    log_components,
    log_prior,
    moments,
    shares_of,
)
from fabula.persistence.registry import storable

__all__ = ["Particles", "Variational"]

# Numbers that the outputs of one call may hold.
_MOST_OUTPUTS = 4_000_000
_DRAWS_OF_DEPTH = 4


class Particles(NamedTuple):
    """K latents for each of n rows, and how much each is worth.

    Parameters
    ----------
    latents : (n, K, Z) array
    classes : (n, K) array
        Of the network, 0 where it has none.
    log_weights : (n, K) array
        Log of p(row, latent, class) / q(latent, class | row).
    """

    latents: Any
    classes: Any
    log_weights: Any


@storable("neural/variational")
@dataclass(frozen=True)
class Variational(RowStory):
    """p(row) = ∫ p(latents) p(row | latents), some of whose columns may be given or left out.

    Parameters
    ----------
    network : Network
        An `Autoencoder` with its weights.
    columns : tuple of int
        The encoded columns of the form that are columns of this story, in its order.
    given : mapping of int to float
        Columns of the form that are known.
    log_weights : (C,) array
        Log prior probabilities of the classes; one entry, 0, where there are none.
    classifier_log_weights : (C,) array
        Those under which the classifier was trained.
    n_importance : int
        K, draws of the latents behind each answer about a density.
    seed : int
    deeper : Variational, optional
        What tells the latents, in place of the prior of the network, and knows the classes: the
        second layer of a stack (Kingma et al. 2014, M1+M2).
    """

    estimator = "VariationalAutoencoder"

    network: Network
    columns: tuple[int, ...]
    given: Mapping[int, float] = field(default_factory=dict)
    log_weights: FloatArray = field(default_factory=lambda: np.zeros(1))
    classifier_log_weights: FloatArray = field(default_factory=lambda: np.zeros(1))
    n_importance: int = 64
    seed: int = 0
    deeper: Variational | None = None

    # What it is ---------------------------------------------------------------------------------

    @property
    def shape(self) -> Autoencoder:
        """The shape of the network."""
        return self.network.architecture  # type: ignore[no-any-return]

    @property
    def form_columns(self) -> int:
        """Number of columns of the form."""
        return int(self.shape.law.form.n_columns)

    @property
    def told_columns(self) -> tuple[int, ...]:
        """Columns of the form that the network was trained under, and does not draw."""
        return self.shape.told

    @property
    def columns_with_density(self) -> Codes:
        """Places of the columns of this story that are neither told nor without any value."""
        told = np.isin(np.arange(self.form_columns), self.told_columns)
        return np.flatnonzero((self._known_columns & ~told)[list(self.columns)])

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return super().n_parameters + (0 if self.deeper is None else self.deeper.n_parameters)

    @property
    def n_labels(self) -> int:
        """C, 0 without classes."""
        return self.shape.n_classes if self.deeper is None else self.deeper.n_labels

    @property
    def n_classes(self) -> int:
        """C, or the number of components of the prior."""
        return self.n_labels or self.shape.n_components

    # Densities ---------------------------------------------------------------------------------

    def log_prob(self, x: Rows, n_importance: int | None = None) -> FloatArray:
        """A bound of the log density of rows (n,), nats; missing cells integrated out."""
        total = self._log_prob(self.whole(x), n_importance)
        if self.given:
            total = total - self._log_given
        # A row of which nothing was seen is certain.
        return np.where(np.isnan(x).all(axis=1), 0.0, total)

    def evidence_bound(self, x: Rows, n_draws: int = 64) -> FloatArray:
        """The evidence lower bound (n,), nats: the mean of the log weights of single draws."""
        return self._over_rows(
            self.whole(x), n_draws, lambda part: np.asarray(part.log_weights).mean(axis=1)
        )

    def log_joint(self, x: Rows, known: Any = None) -> FloatArray:
        """Bounds of log p(row, class | what is given), (n, C)."""
        whole = self.whole(x)
        found = [self._log_prob(whole, None, label) for label in range(self.n_labels)]
        joint = np.stack(found, axis=1)
        return joint - self._log_given if self.given else joint

    @cached_property
    def _log_given(self) -> float:
        """The log density of what is given."""
        nothing = self.whole(np.full((1, self.n_columns), np.nan))
        return float(self._log_prob(nothing, draws.DRAWS_FOR_CONDITION)[0])

    def posterior(self, x: Rows, known: Any = None) -> tuple[FloatArray, Responsibilities]:
        """The bound (n,), and probabilities (n, C) of the classes, or of the prior's components.

        Those of classes are what the classifier says.
        """
        evidence = np.zeros(len(x))
        if self.n_labels:
            return evidence, self.class_probabilities(x)

        def shares(part: Particles) -> FloatArray:
            joint = np.asarray(self.components(part.latents))
            each = np.exp(joint - np.logaddexp.reduce(joint, axis=-1, keepdims=True))
            return np.asarray(np.einsum("nk,nkc->nc", shares_of(part.log_weights), each))

        return evidence, self._over_rows(self.whole(x), draws.DRAWS_FOR_POSTERIOR, shares)

    def class_probabilities(self, x: Rows) -> FloatArray:
        """What the classifier says of the classes, (n, C), under the story's shares of them."""
        if not len(x):
            return np.empty((0, self.n_labels))
        if self.deeper is not None:
            return self._expected(x, self.deeper.class_probabilities, self.n_labels)
        whole, found = self.whole(x), []
        for rows in row_slices(len(whole), draws.MOST_ROWS):
            logs = np.asarray(classified(self.module, self.arrays(whole[rows])), dtype=np.float64)
            found.append(logs[: len(whole[rows])])
        logs = np.concatenate(found) + (self.log_weights - self.classifier_log_weights)
        return np.asarray(np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)))

    def with_log_weights(self, log_weights: FloatArray) -> Variational:
        """The same story with other prior probabilities of the classes."""
        weights = np.asarray(log_weights, dtype=np.float64)
        deeper = None if self.deeper is None else self.deeper.with_log_weights(weights)
        return replace(self, log_weights=weights, deeper=deeper)

    # Latents -----------------------------------------------------------------------------------

    def encode(self, x: Rows, n_importance: int | None = None) -> FloatArray:
        """Posterior mean of the latents (n, Z), from so many weighted draws.

        By default that of the encoder, and from 200 draws for rows with cells missing.
        """
        return self._expected(x, lambda latents: latents, self.shape.n_latent, n_importance)

    def _expected(
        self,
        x: Rows,
        ask: Callable[[FloatArray], FloatArray],
        size: int,
        n_importance: int | None = None,
    ) -> FloatArray:
        """Posterior mean (n, size) of what ``ask`` says of latents (m, Z), as `encode` has it.

        Where no cell is missing, it is asked about the means of the encoder's normals alone.
        """

        def mean(part: Particles) -> FloatArray:
            weights = shares_of(part.log_weights)
            told = ask(part.latents.reshape(-1, part.latents.shape[-1]))
            return np.asarray(np.einsum("nk,nks->ns", weights, told.reshape(*weights.shape, size)))

        whole = self.whole(x)
        if n_importance is not None:
            return self._over_rows(whole, n_importance, mean)
        holes = np.isnan(whole[:, self._known_columns]).any(axis=1)
        out = np.empty((len(x), size))
        if holes.any():
            out[holes] = self._over_rows(whole[holes], draws.DRAWS_FOR_POSTERIOR, mean)
        if not holes.all():
            out[~holes] = ask(self.moments(whole[~holes])[0])
        return out

    def moments(self, whole: Rows) -> tuple[FloatArray, FloatArray]:
        """Means and widths (n, Z) of the encoder's normals."""
        if not len(whole):
            return np.empty((0, self.shape.n_latent)), np.empty((0, self.shape.n_latent))
        found = []
        for rows in row_slices(len(whole), draws.MOST_ROWS):
            both = moments(self.module, self.arrays(whole[rows]))
            found.append([np.asarray(a, dtype=np.float64)[: len(whole[rows])] for a in both])
        means, log_widths = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return means, np.exp(log_widths)

    def decode(
        self, latents: FloatArray, classes: Any = None, told: Rows | None = None
    ) -> FloatArray:
        """The rows (n, d) that latents (n, Z) stand for: means, and most probable levels."""
        n, found = len(latents), []
        codes = np.zeros(n, dtype=np.intp) if classes is None else np.asarray(classes)
        whole = self.whole(np.full((n, self.n_columns), np.nan) if told is None else told)
        for rows in row_slices(n, draws.MOST_ROWS):
            outputs = decoded(
                self.module,
                padded(np.asarray(latents[rows], dtype=np.float32)),
                padded(codes[rows]),
                self.arrays(whole[rows]),
            )
            outputs = np.asarray(outputs)[: len(latents[rows])]
            found.append(self.shape.law.centres(outputs[None], np.ones((1, len(outputs)))))
        return np.concatenate(found)[:, list(self.columns)]

    # Draws -------------------------------------------------------------------------------------

    def sample(
        self, n: int, rng: np.random.Generator, labels: Members | None = None
    ) -> tuple[Rows, Members]:
        """``n`` rows, and the class (or component of the prior) of each; of ``labels``, if told."""
        if self.given or self.told_columns:
            rows, members, _ = self.sample_given(n, {}, rng, labels)
            return rows, members
        return draws.sample(self, n, rng, labels)

    def sample_given(
        self,
        n: int,
        condition: Mapping[int, float | Region],
        rng: np.random.Generator,
        labels: Members | None = None,
    ) -> tuple[Rows, Members, float]:
        """Rows that meet a condition on columns, their classes, and how many rows they are worth.

        Values are met by weighted draws of the latents, regions by leaving out draws that miss
        them; ``labels`` (n,) are classes to draw rows of.

        Raises
        ------
        DataError
            Hardly any draw meets the regions, or is of a class.
        """
        return draws.sample_given(self, n, condition, rng, labels)

    def complete(self, x: Rows, rng: np.random.Generator | None = None, told: Any = None) -> Rows:
        """Rows with missing cells filled: posterior means (levels: most probable), or one draw."""
        return draws.complete(self, x, rng)

    def log_prob_of_cells(self, x: Rows, column: int, candidates: FloatArray) -> FloatArray:
        """Log density (m, n) of candidates (m, n or 1) for a cell, given the others of its row."""
        return draws.log_prob_of_cells(self, x, column, candidates)

    # Weighted draws of the latents --------------------------------------------------------------

    def arrays(self, whole: Rows) -> dict[str, Any]:
        """Arrays for the network, with as many rows as the next power of two."""
        arrays = self.shape.law.form.encode(whole)
        arrays["key"] = row_keys(whole, self.seed)
        return {name: padded(array) for name, array in arrays.items()}

    def parts(self, whole: Rows, n_draws: int) -> list[tuple[Any, bool]]:
        """Rows to ask about at once, and whether they have cells missing."""
        at_once = _MOST_OUTPUTS // max(n_draws * self.shape.law.n_outputs, 1)
        holes = np.isnan(whole[:, self._known_columns]).any(axis=1)
        found = []
        for adapt in (False, True):
            rows = np.flatnonzero(holes == adapt)
            parts = row_slices(len(rows), int(np.clip(at_once, 1, draws.MOST_ROWS)))
            found += [(rows[part], adapt) for part in parts]
        return found

    @cached_property
    def _known_columns(self) -> Any:
        """Columns of which something is known; nothing can be said of the others."""
        form = self.shape.law.form
        empty = [isinstance(c, EmptyColumn) for c in getattr(form, "columns", ())]
        return ~np.array(empty) if empty else np.ones(form.n_columns, dtype=bool)

    def particles(
        self, whole: Rows, n_draws: int, adapt: bool, rng: np.random.Generator | None = None
    ) -> Particles:
        """Weighted draws of the latents; ``adapt`` for rows that have cells missing."""
        arrays = self.arrays(whole)
        if rng is not None:
            arrays["key"] = rng.integers(2**32, size=arrays["key"].shape, dtype=np.uint32)
        weights = jnp.asarray(self.log_weights, dtype=jnp.float32)
        found = draw_particles(self.module, arrays, weights, n_draws, None, jnp.int32(0), adapt)
        latents, classes, logs = (np.asarray(a)[: len(whole)] for a in found)
        if self.deeper is None:
            return Particles(latents, classes, logs)
        flat = latents.reshape(-1, latents.shape[-1]).astype(np.float64)
        more = self._depth(flat, None)
        return Particles(latents, classes, logs + more.reshape(logs.shape))

    def member_shares(self, latents: FloatArray, classes: Members) -> FloatArray:
        """Shares (m, C) that classes, or components of the prior, have in latents (m, Z).

        Where the network knows classes, ``classes`` (m,) of the latents are certain.
        """
        if self.deeper is not None:
            return self.deeper.class_probabilities(latents)
        if self.n_labels:
            return np.asarray(np.eye(self.n_labels)[classes])
        return shares_of(self.components(latents))

    def _depth(self, latents: FloatArray, label: int | None) -> FloatArray:
        """What the second layer adds to log weights of latents (n, Z)."""
        assert self.deeper is not None
        told = self.deeper._log_prob(latents, _DRAWS_OF_DEPTH, label)
        usual = np.asarray(log_prior(self.module, jnp.asarray(latents, dtype=jnp.float32)))
        return np.asarray(told - usual)

    def _log_prob(
        self, whole: Rows, n_importance: int | None, label: int | None = None
    ) -> FloatArray:
        total = self.n_importance if n_importance is None else n_importance
        # A large number of draws is taken in several rounds of equally many.
        at_once = int(np.clip(_MOST_OUTPUTS // (8 * self.shape.law.n_outputs), 1, total))
        n_rounds = -(-total // at_once)
        a_round = -(-total // n_rounds)
        weights = jnp.asarray(self.log_weights, dtype=jnp.float32)
        which = None if label is None or self.deeper is not None else jnp.int32(label)
        out = np.full(len(whole), -np.inf)
        for rows, adapt in self.parts(whole, a_round):
            arrays = self.arrays(whole[rows])
            for i in range(n_rounds):
                found = draw_particles(
                    self.module, arrays, weights, a_round, which, jnp.int32(i), adapt
                )
                each = np.asarray(found[2], dtype=np.float64)[: len(rows)]
                if self.deeper is not None:
                    flat = np.asarray(found[0], dtype=np.float64)[: len(rows)]
                    more = self._depth(flat.reshape(-1, flat.shape[-1]), label)
                    each = each + more.reshape(each.shape)
                out[rows] = np.logaddexp(out[rows], np.logaddexp.reduce(each, axis=1))
        return np.asarray(out - np.log(n_rounds * a_round))

    def _over_rows(self, whole: Rows, n_draws: int, ask: Any) -> FloatArray:
        out: Any = None
        for rows, adapt in self.parts(whole, n_draws):
            answer = ask(self.particles(whole[rows], n_draws, adapt))
            if out is None:
                out = np.empty((len(whole), *answer.shape[1:]))
            out[rows] = answer
        return np.empty(0) if out is None else out

    def components(self, latents: Any) -> Any:
        """Log p(component, latents) (…, K)."""
        return log_components(self.module, jnp.asarray(latents, dtype=jnp.float32))
