"""Two networks that learn against each other: a generator makes rows, a critic tells them apart.

The critic compares each real row with one that was made, in pairs (relativistic pairing,
Jolicoeur-Martineau 2019), and pays for steep slopes at real rows and at made ones (R1 and R2): what
Huang, Gokaslan, Kuleshov and Tompkin (2024) show to converge locally. Both networks take their step
at once, from one look at the rows: the slope of the critic at a made row is what R2 needs, and what
the generator follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fabula.neural.adversarial.network import Critic, Generator
from fabula.neural.networks.base import join, skeleton, split

__all__ = ["Adversaries", "AdversaryState", "Given", "Lesson"]

Loss = Literal["relativistic", "wasserstein"]

_FASTEST_FORGETTING = 10.0


@dataclass(frozen=True)
class Lesson:
    """What is played for, and what is told.

    Parameters
    ----------
    loss : {"relativistic", "wasserstein"}
    penalty : float
        Weight of the slopes: γ/2 times the mean square at real and at made rows; or λ times the
        mean squared distance of the slope from 1 between them.
    critic_steps : int
        Steps of the critic for one of the generator, with "wasserstein".
    told : tuple of int
        Encoded columns that are always given.
    known_share : float
        Share of the rows of which random columns are given.
    """

    loss: Loss = "relativistic"
    penalty: float = 1.0
    critic_steps: int = 1
    told: tuple[int, ...] = ()
    known_share: float = 0.0


class Given(NamedTuple):
    """What both networks are told of rows.

    Parameters
    ----------
    vectors : (n, width) array
        Of which only entries of given columns count.
    columns : (n, d) array of bool
    labels : (n, C) array
    """

    vectors: jax.Array
    columns: jax.Array
    labels: jax.Array


class AdversaryState(NamedTuple):
    """Weights of both networks, the average of the generator's, and the optimisers' memories."""

    generator: Any
    critic: Any
    average: Any
    of_generator: Any
    of_critic: Any
    n_steps: jax.Array


class Adversaries:
    """Both networks as a `fabula.neural.training.plan.Learner`; what is kept is the generator.

    Parameters
    ----------
    generator : Generator
    critic : Critic
    lesson : Lesson
    learning_rate, averaging : float
        As in `fabula.neural.training.descent.Descent`.
    """

    def __init__(
        self,
        generator: Generator,
        critic: Critic,
        lesson: Lesson,
        *,
        learning_rate: float = 1e-3,
        averaging: float = 0.999,
    ):
        self.shape, self.critic_shape, self.lesson = generator, critic, lesson
        self._rests = skeleton(generator)[1], skeleton(critic)[1]
        self._learning_rate, self._averaging = learning_rate, averaging
        # No momentum: what a network learned against is gone a step later.
        self._adam = optax.scale_by_adam(b1=0.0, b2=0.99)

    def start(self, key: jax.Array) -> AdversaryState:
        """Fresh networks."""
        first, second = jax.random.split(key)
        generator = split(self.shape.build(first))[0]
        critic = split(self.critic_shape.build(second))[0]
        return AdversaryState(
            generator,
            critic,
            generator,
            self._adam.init(generator),
            self._adam.init(critic),
            jnp.zeros((), jnp.int32),
        )

    def validate(self, state: AdversaryState, batch: Any, key: jax.Array) -> jax.Array:
        """There is no loss on held-out rows: neither network's tells how good the draws are."""
        raise NotImplementedError("an adversarial model has no held-out loss")

    def learned(self, state: AdversaryState) -> Any:
        """The averaged weights of the generator."""
        return state.average

    def generator(self, weights: Any) -> Any:
        """The network with these weights."""
        return join(weights, self._rests[0])

    def step(
        self, state: AdversaryState, batch: Mapping[str, jax.Array], key: jax.Array, rate: jax.Array
    ) -> tuple[AdversaryState, dict[str, jax.Array]]:
        """One step of the critic, and one of the generator (with "wasserstein", now and then)."""
        pack = self.critic_shape.pack
        batch = jax.tree.map(lambda a: a[: len(a) // pack * pack], dict(batch))
        keys = jax.random.split(key, 6)
        vectors = self.shape.vectors
        n = len(batch["seen"])
        real = vectors.real(batch, jax.random.uniform(keys[0], (n, vectors.n_chances)))
        given = self._given(real, batch, keys[1])
        latents = jax.random.normal(keys[2], (n, self.shape.n_latent))
        choices = jax.random.uniform(keys[3], (n, vectors.n_choices))

        def made_by(weights: Any) -> jax.Array:
            network = join(weights, self._rests[0])
            outputs = outputs_of(network, self.shape, latents, given)
            made = vectors.made(outputs, batch["seen"], choices)
            return with_given(self.shape, made, given)

        made, back = jax.vjp(made_by, state.generator)
        told = told_to_critic(self.critic_shape, given)
        (_, (slopes, losses)), gradient = jax.value_and_grad(self._critic_loss, has_aux=True)(
            state.critic, real, made, told, keys[4]
        )
        critic, of_critic = self._moved(state.critic, gradient, state.of_critic, rate)
        (for_generator,) = back(slopes)
        generator, of_generator = self._moved(
            state.generator, for_generator, state.of_generator, rate
        )
        n_steps = state.n_steps + 1
        n_moves = n_steps // self.lesson.critic_steps
        keep = jnp.minimum(self._averaging, (1.0 + n_moves) / (_FASTEST_FORGETTING + n_moves))
        average = jax.tree.map(lambda a, g: keep * a + (1 - keep) * g, state.average, generator)
        if self.lesson.critic_steps > 1:
            due = n_steps % self.lesson.critic_steps == 0
            generator, average, of_generator = jax.tree.map(
                lambda new, old: jnp.where(due, new, old),
                (generator, average, of_generator),
                (state.generator, state.average, state.of_generator),
            )
        new = AdversaryState(generator, critic, average, of_generator, of_critic, n_steps)
        return new, losses

    def _moved(self, weights: Any, gradient: Any, memory: Any, rate: jax.Array) -> tuple[Any, Any]:
        updates, memory = self._adam.update(gradient, memory)
        step = self._learning_rate * rate
        return jax.tree.map(lambda w, u: w - step * u, weights, updates), memory

    # Losses -----------------------------------------------------------------------------------

    def _critic_loss(
        self, weights: Any, real: jax.Array, made: jax.Array, told: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, dict[str, jax.Array]]]:
        """The loss of the critic; the slope of the generator's at rows it made; what to report."""
        pack = self.critic_shape.pack
        real, made, told = (a.reshape(len(a) // pack, -1) for a in (real, made, told))
        n = len(real)
        critic = join(weights, self._rests[1])

        def score(row: jax.Array, about: jax.Array) -> jax.Array:
            return critic(row, about).squeeze()  # type: ignore[no-any-return]

        of_rows = jax.vmap(jax.value_and_grad(score))
        said_made, slope_made = of_rows(made, told)
        if self.lesson.loss == "wasserstein":
            share = jax.random.uniform(key, (n, 1))
            between = share * real + (1 - share) * made
            said_real = jax.vmap(score)(real, told)
            lengths = jnp.sqrt(jnp.square(of_rows(between, told)[1]).sum(-1) + 1e-12)
            penalty = self.lesson.penalty * jnp.square(lengths - 1.0).mean()
            loss = (said_made - said_real).mean()
            pull = -slope_made / n
            generator_loss = -said_made.mean()
        else:
            said_real, slope_real = of_rows(real, told)
            lengths = jnp.square(slope_real).sum(-1) + jnp.square(slope_made).sum(-1)
            penalty = 0.5 * self.lesson.penalty * lengths.mean()
            ahead = said_real - said_made
            loss = jax.nn.softplus(-ahead).mean()
            pull = -jax.nn.sigmoid(ahead)[:, None] * slope_made / n
            generator_loss = jax.nn.softplus(ahead).mean()
        losses = {"generator": generator_loss, "critic": loss, "penalty": penalty}
        pull = jax.lax.stop_gradient(pull).reshape(n * pack, -1)
        return loss + penalty, (pull, losses)

    # What is told -----------------------------------------------------------------------------

    def _given(self, real: jax.Array, batch: Mapping[str, jax.Array], key: jax.Array) -> Given:
        """Which columns of each row both networks are told."""
        vectors, lesson = self.shape.vectors, self.lesson
        n, d = len(real), vectors.n_columns
        labels = jax.nn.one_hot(batch.get("labels", jnp.zeros(n, int)), self.shape.n_classes)
        columns = jnp.zeros((n, d), dtype=bool)
        if not self.shape.tells_cells:
            return Given(real, columns, labels)
        for_kind, for_columns, for_rate = jax.random.split(key, 3)
        if lesson.known_share:
            some = jax.random.uniform(for_kind, (n, 1)) < lesson.known_share
            rate = jax.random.uniform(for_rate, (n, 1))
            columns = some & (jax.random.uniform(for_columns, (n, d)) < rate)
        if "begins_with" in batch:
            one = jnp.arange(d) == batch["begins_with"][:, None]
            columns = jnp.where((batch["begins_with"] >= 0)[:, None], one, columns)
        if lesson.told:
            columns = columns | np.isin(np.arange(d), lesson.told)
        return Given(real, columns & jnp.asarray(batch["seen"]), labels)


def outputs_of(network: Any, shape: Generator, latents: jax.Array, given: Given) -> jax.Array:
    """What a generator gives for latents (n, Z) and what is given."""
    parts = [given.labels]
    if shape.tells_cells:
        mask = given.columns[:, shape.vectors.column_of]
        parts += [given.vectors * mask, given.columns.astype(jnp.float32)]
    return jax.vmap(network)(latents, jnp.concatenate(parts, axis=1))  # type: ignore[no-any-return]


def with_given(shape: Generator, made: jax.Array, given: Given) -> jax.Array:
    """Made vectors in which what is given stands as it is."""
    if not shape.tells_cells:
        return made
    return jnp.where(given.columns[:, shape.vectors.column_of], given.vectors, made)


def told_to_critic(shape: Critic, given: Given) -> jax.Array:
    """What the critic is told beside the vectors, (n, …)."""
    parts = [given.columns.astype(jnp.float32)] if shape.tells_cells else []
    return jnp.concatenate([*parts, given.labels], axis=1)
