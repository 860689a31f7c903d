"""What training is asked for and what it says afterwards: `Learner`, `Plan`, `TrainingReport`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import jax

from fabula.core.errors import UsageError
from fabula.persistence.registry import storable

__all__ = ["Learner", "Plan", "Reason", "State", "TrainingReport"]

State = Any
Reason = Literal["all steps done", "no more progress", "time is up", "diverged"]


class Learner(Protocol):
    """What the loop needs of a model that learns by gradients."""

    def start(self, key: jax.Array) -> State:
        """The state before the first step: a tree of arrays, the optimiser's included."""
        ...

    def step(
        self, state: State, batch: Any, key: jax.Array, rate: jax.Array
    ) -> tuple[State, Mapping[str, jax.Array]]:
        """The state after a minibatch, and losses to write down; ``rate`` scales the step."""
        ...

    def validate(self, state: State, batch: Any, key: jax.Array) -> jax.Array:
        """What is to be minimised on rows that were held out, (n,)."""
        ...

    def learned(self, state: State) -> Any:
        """The part of the state that is kept in the end."""
        ...


@dataclass(frozen=True)
class Plan:
    """How long to train, in which steps, and when to stop.

    Parameters
    ----------
    batch_size : int
        Rows of a minibatch; all of them where there are fewer.
    max_epochs : int
        At most so many passes over the rows.
    max_time : float, optional
        Seconds, compilation included, after which training ends; the learning rate then falls to
        its end by that time, and the result depends on the speed of the machine.
    warm_up : float
        Share of the steps over which the learning rate rises.
    final_rate : float
        Learning rate at the end, as a share of its height (cosine decay in between).
    patience : int, optional
        Stop after so many looks at the held-out rows without a better one.
    looks : int
        How often to look at the held-out rows, at most: once an epoch where there are fewer epochs.
    seed : int
        All chance follows from it.
    """

    batch_size: int = 256
    max_epochs: int = 100
    max_time: float | None = None
    warm_up: float = 0.02
    final_rate: float = 0.01
    patience: int | None = 20
    looks: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_epochs", "looks"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.patience is not None and self.patience < 1:
            raise UsageError(f"patience must be at least 1 or None, not {self.patience}.")
        if self.max_time is not None and not self.max_time > 0:
            raise UsageError(f"max_time must be a positive number of seconds, not {self.max_time}.")


@storable("neural/training_report")
@dataclass(frozen=True)
class TrainingReport:
    """How training went.

    Parameters
    ----------
    losses : mapping
        Name of a loss → its mean between one look at the held-out rows and the next.
    validation : tuple of float
        Mean loss on the held-out rows at each look.
    steps : tuple of int
        Steps done at each look.
    best_step : int
        Step whose state was kept.
    reason : str
        Why training ended.
    n_steps, n_recoveries : int
        Steps done; how often a loss was no number, so that the loop went back.
    seconds, seconds_to_first_step : float
    """

    losses: dict[str, tuple[float, ...]] = field(default_factory=dict)
    validation: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()
    best_step: int = 0
    reason: Reason = "all steps done"
    n_steps: int = 0
    n_recoveries: int = 0
    seconds: float = 0.0
    seconds_to_first_step: float = 0.0

    @property
    def converged(self) -> bool:
        """Whether training ended by itself, with finite losses."""
        return self.reason in ("all steps done", "no more progress")

    @property
    def n_iterations(self) -> int:
        """Steps done."""
        return self.n_steps
