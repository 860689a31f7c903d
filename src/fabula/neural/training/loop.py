"""One training loop for every network: many small steps, compiled together, that can be stopped.

The loop knows nothing of networks. A *learner* says how to start, how one minibatch changes its
state and how good a state is on rows that were held out; the loop shuffles, counts, watches the
clock, keeps the best state, goes back where a loss is no number, and writes down how it went.

Every random choice is a function of the seed and of the number of the step, and of nothing else:
training that was killed and resumed ends with the same bits as training that was not.
"""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.errors import ConvergenceWarning, DataError, warn
from fabula.neural.training.checkpoints import (
    Progress,
    digest_of,
    read_checkpoint,
    write_checkpoint,
)
from fabula.neural.training.plan import Learner, Plan, Reason, State, TrainingReport

__all__ = ["train"]

# Steps between two looks at the clock and at the loss. A constant, so that where the loop goes
# back after a loss that is no number does not depend on the speed of the machine.
_STEPS_AT_A_TIME = 100
_VALIDATION_ROWS_AT_A_TIME = 2048
_SECONDS_BETWEEN_CHECKPOINTS = 20.0
_MOST_RECOVERIES = 8


def train(
    learner: Learner,
    data: Any,
    plan: Plan,
    *,
    validation: Any = None,
    on_progress: Callable[[float, float, float], None] | None = None,
    checkpoint: Path | None = None,
    settings: str = "",
) -> tuple[Any, TrainingReport]:
    """Train, and return what was learned and how it went.

    Parameters
    ----------
    learner : Learner
    data : tree of arrays
        Each with one entry for each row along its first axis.
    plan : Plan
    validation : tree of arrays, optional
        Rows that were held out, in the same form. The state that is best on them is kept; without
        them the last one is.
    on_progress : callable, optional
        Called with the share that is done, the present loss and the seconds left.
    checkpoint : path, optional
        File that is written while training goes on, and deleted at its end. Where it is there at
        the start, training resumes from it.
    settings : str
        What the learner was made of: a checkpoint of other settings is refused.

    Returns
    -------
    (learned, report)

    Raises
    ------
    DataError
        There are no rows, or every attempt ends in losses that are no numbers.
    FileFormatError, UsageError
        The checkpoint is of other data or another plan, or is no checkpoint.
    """
    loop = _Loop(learner, data, plan, validation, checkpoint, settings)
    try:
        reason = loop.run(on_progress)
    except KeyboardInterrupt:
        loop.write_checkpoint()
        raise
    return loop.finish(reason)


class _Loop:
    """One call of `train`. ``at`` is where it stands, and changes as a whole."""

    def __init__(
        self,
        learner: Learner,
        data: Any,
        plan: Plan,
        validation: Any,
        checkpoint: Path | None,
        settings: str,
    ):
        self.learner, self.plan, self.checkpoint = learner, plan, checkpoint
        self.settings = settings
        n_rows = _n_rows(data)
        if not n_rows:
            raise DataError("There are no rows to train on.")
        self.data = jax.device_put(data)
        self.validation = None if validation is None else jax.device_put(validation)
        batch_size = min(plan.batch_size, n_rows)
        self.steps_per_epoch = n_rows // batch_size
        self.most_steps = self.total = plan.max_epochs * self.steps_per_epoch
        self.steps_per_look = max(self.steps_per_epoch, -(-self.total // plan.looks))
        self.key = jax.random.key(plan.seed)
        quick = _quick_compiler()
        state = jax.jit(learner.start, compiler_options=quick)(jax.random.fold_in(self.key, 0))
        self.at: tuple[State, Any, Progress] = state, learner.learned(state), Progress()
        self._run_steps = jax.jit(partial(_run_steps, learner, batch_size))
        self._validate = jax.jit(learner.validate)
        self._shuffle = jax.jit(partial(_order, n_rows=n_rows), compiler_options=quick)
        self._epoch, self._order = -1, None
        self._written = time.perf_counter()

    def run(self, on_progress: Callable[[float, float, float], None] | None) -> Reason:
        """Steps until something ends them."""
        self._resume()
        self._began = time.perf_counter() - self.at[2].seconds
        while self.at[2].step < self.total:
            means = self._advance()
            if means is None:
                if self.at[2].recoveries > _MOST_RECOVERIES:
                    return "diverged"
                continue
            self._watch_the_clock()
            if on_progress is not None:
                on_progress(*self._how_far(means))
            if self._is_stuck():
                return "no more progress"
            if self.plan.max_time is not None and self.at[2].seconds >= self.plan.max_time:
                return "time is up"
            if time.perf_counter() - self._written > _SECONDS_BETWEEN_CHECKPOINTS:
                self.write_checkpoint()
        return "all steps done"

    def finish(self, reason: Reason) -> tuple[Any, TrainingReport]:
        """What is kept, and the report."""
        state, best, progress = self.at
        if reason == "diverged":
            _say_that_it_diverged(progress)
        if progress.since_look:
            best, progress = self._look(state, best, progress)
        if self.validation is None:
            best, progress = self.learner.learned(state), replace(progress, best_step=progress.step)
        if self.checkpoint is not None:
            self.checkpoint.unlink(missing_ok=True)
        return best, TrainingReport(
            progress.losses,
            progress.validation,
            progress.steps,
            progress.best_step,
            reason,
            progress.step,
            progress.recoveries,
            time.perf_counter() - self._began,
            progress.seconds_to_first_step,
        )

    def _advance(self) -> dict[str, float] | None:
        """Some steps; None where their loss was no finite number, so that they were undone."""
        state, best, progress = self.at
        step, until = progress.step, self._next_stop(progress.step)
        new, sums = self._run_steps(
            state,
            self.data,
            self._order_of(step // self.steps_per_epoch),
            self.key,
            (step, until, self.steps_per_epoch),
            (self.total, self.plan.warm_up, self.plan.final_rate, progress.rate),
        )
        means = {name: float(value) / (until - step) for name, value in sums.items()}
        now = time.perf_counter() - self._began
        first = progress.seconds_to_first_step or now
        progress = replace(progress, seconds=now, seconds_to_first_step=first)
        if not (all(map(math.isfinite, means.values())) and _all_finite(new)):
            if not progress.recoveries:
                warn(
                    f"The loss was no finite number within {until - step} steps after step {step}: "
                    "training went back and goes on at half the learning rate.",
                    ConvergenceWarning,
                )
            again = progress.recoveries + 1
            self.at = state, best, replace(progress, recoveries=again, rate=progress.rate / 2)
            return None
        progress = progress.after(means, until - step)
        if until % self.steps_per_look == 0 or until == self.total:
            best, progress = self._look(new, best, progress)
        self.at = new, best, progress
        return means

    def _next_stop(self, step: int) -> int:
        """Where to stop and look round: no later than the end of the epoch."""
        every = (_STEPS_AT_A_TIME, self.steps_per_epoch, self.steps_per_look)
        return min(self.total, *((step // size + 1) * size for size in every))

    def _order_of(self, epoch: int) -> Any:
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffle(self.key, epoch)
        return self._order

    def _look(self, state: State, best: Any, progress: Progress) -> tuple[Any, Progress]:
        """The losses since the last look, and whether the state is the best so far."""
        if self.validation is None:
            return best, progress.looked(None)
        loss = self._validation_loss(state)
        if math.isfinite(loss) and loss < min(progress.validation, default=math.inf):
            best, progress = self.learner.learned(state), replace(progress, best_step=progress.step)
        return best, progress.looked(loss)

    def _validation_loss(self, state: State) -> float:
        n = _n_rows(self.validation)
        key = jax.random.fold_in(self.key, 1)  # the same noise at each look
        total = 0.0
        for start in range(0, n, _VALIDATION_ROWS_AT_A_TIME):
            rows = slice(start, start + _VALIDATION_ROWS_AT_A_TIME)
            part = jax.tree.map(operator.itemgetter(rows), self.validation)
            losses = self._validate(state, part, jax.random.fold_in(key, start))
            total += float(np.asarray(losses, dtype=np.float64).sum())
        return total / n

    def _is_stuck(self) -> bool:
        values, patience = self.at[2].validation, self.plan.patience
        if patience is None or not values:
            return False
        return len(values) - 1 - int(np.nanargmin([*values, math.inf])) >= patience

    def _watch_the_clock(self) -> None:
        """Let the last step, and with it the end of the decay, fall where time is up."""
        progress, limit = self.at[2], self.plan.max_time
        running = progress.seconds - progress.seconds_to_first_step
        if limit is None or running <= 0 or progress.step <= _STEPS_AT_A_TIME:
            return
        speed = progress.step / running
        left = max(int(max(limit - progress.seconds, 0.0) * speed), 1)
        self.total = min(self.most_steps, progress.step + left)

    def _how_far(self, means: Mapping[str, float]) -> tuple[float, float, float]:
        progress = self.at[2]
        done = progress.step / self.total
        loss = means.get("loss", next(iter(means.values())))
        return done, loss, progress.seconds * (1 - done) / done

    # Checkpoints ------------------------------------------------------------------------------

    def _fingerprint(self) -> str:
        """What has to be the same for training to go on; the data by their content."""
        state = self.at[0]
        shapes = [a.shape for a in jax.tree.leaves(state)]
        return (
            f"{self.plan}; {self.settings}; state {jax.tree.structure(state)} of {shapes}; "
            f"data {digest_of((self.data, self.validation))}"
        )

    def _resume(self) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        (state, best), progress = read_checkpoint(self.checkpoint, self.at[:2], self._fingerprint())
        self.at = state, best, progress

    def write_checkpoint(self) -> None:
        """Write where training stands, if that was asked for."""
        if self.checkpoint is not None:
            write_checkpoint(self.checkpoint, self.at[:2], self.at[2], self._fingerprint())
            self._written = time.perf_counter()


def _run_steps(
    learner: Learner,
    batch_size: int,
    state: State,
    data: Any,
    order: jax.Array,
    key: jax.Array,
    span: tuple[Any, Any, Any],
    schedule: tuple[Any, Any, Any, Any],
) -> tuple[State, dict[str, jax.Array]]:
    """Steps ``first`` to ``last`` of an epoch, and the sums of their losses."""
    first, last, steps_per_epoch = span

    def one(step: Any, carry: Any) -> Any:
        state, sums = carry
        within = step % steps_per_epoch
        rows = jax.lax.dynamic_slice(order, (within * batch_size,), (batch_size,))
        batch = jax.tree.map(lambda a: a[rows], data)
        state, losses = learner.step(
            state,
            batch,
            jax.random.fold_in(jax.random.fold_in(key, 2), step),
            _rate(step, schedule),
        )
        return state, {name: sums[name] + losses[name] for name in sums}

    shapes = jax.eval_shape(
        learner.step, state, jax.tree.map(lambda a: a[:batch_size], data), key, jnp.float32(1.0)
    )[1]
    sums = {name: jnp.zeros(()) for name in shapes}
    return jax.lax.fori_loop(first, last, one, (state, sums))  # type: ignore[no-any-return]


def _rate(step: Any, schedule: tuple[Any, Any, Any, Any]) -> jax.Array:
    """Linear warm-up, then cosine decay (Loshchilov and Hutter 2017)."""
    total, warm_up, final, scale = schedule
    rising = jnp.minimum(1.0, (step + 1) / jnp.maximum(warm_up * total, 1.0))
    falling = final + (1 - final) * 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(step / total, 1.0)))
    return jnp.asarray(scale * rising * falling, dtype=jnp.float32)


def _order(key: jax.Array, epoch: Any, n_rows: int) -> jax.Array:
    return jax.random.permutation(jax.random.fold_in(jax.random.fold_in(key, 3), epoch), n_rows)


def _quick_compiler() -> dict[str, Any] | None:
    """Options for what runs seldom: a third of the time to compile, and some more to run."""
    if jax.default_backend() != "cpu":
        return None
    return {
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
        "xla_cpu_use_fusion_emitters": False,
    }


def _n_rows(data: Any) -> int:
    return int(jax.tree.leaves(data)[0].shape[0])


def _all_finite(state: State) -> bool:
    # By numpy: to compile this for each network would take longer than all the looks together.
    leaves = map(np.asarray, jax.tree.leaves(state))
    return all(np.isfinite(a).all() for a in leaves if np.issubdtype(a.dtype, np.inexact))


def _say_that_it_diverged(progress: Progress) -> None:
    if not progress.step:
        raise DataError(
            "Training does not get under way: the loss is no finite number even at "
            f"{progress.rate:.0e} of the learning rate. Look for extreme values in the data, or "
            "lower learning_rate."
        )
    warn(
        f"Training broke off after {progress.step} steps: the loss is no finite number even at "
        f"{progress.rate:.0e} of the learning rate. The best state before that is kept.",
        ConvergenceWarning,
    )
