"""What the story of a diffusion computes, compiled once for each shape of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from fabula.neural.diffusion.density import evidence_bound, flow_log_density
from fabula.neural.diffusion.learning import code_errors
from fabula.neural.diffusion.network import NetworkDenoiser
from fabula.neural.diffusion.schedule import Schedule
from fabula.neural.diffusion.solvers import Course, Solver, draw_rows
from fabula.neural.diffusion.states import Clean, Known
from fabula.persistence.registry import storable

__all__ = ["Route", "bound_of", "draw_given", "flow_of", "one_hot"]


@storable("neural/route")
@dataclass(frozen=True)
class Route:
    """How draws are made.

    Parameters
    ----------
    steps : int
    solver : {"euler", "heun", "dpm", "ancestral"}
    churn : float
        Noise added and removed again on the way.
    repeats : int
        How often each step is taken where known cells are put back.
    guidance : float
        How much more than learned the class and the given columns count; 1 as learned.
    """

    steps: int = 50
    solver: Solver = "dpm"
    churn: float = 0.0
    repeats: int = 5
    guidance: float = 1.0


def one_hot(labels: Any, n: int, n_classes: int) -> Any:
    """Classes (n, C) as the network is told; zeros where there is none."""
    if not n_classes:
        return None
    codes = np.full(n, -1 if labels is None else labels) if np.ndim(labels) == 0 else labels
    return (np.asarray(codes)[:, None] == np.arange(n_classes)).astype(np.float32)


@eqx.filter_jit
def draw_given(
    module: Any, course: Course, batch: Any, labels: Any, guidance: Any, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Numbers and codes of rows, whose cells that are there are kept."""
    noise = module.shape.noise
    for_cells, for_rows = jax.random.split(key)
    chance = jax.random.uniform(for_cells, (len(batch["seen"]), noise.n_chances))
    clean: Clean = noise.clean(batch, chance)
    known = Known(*clean)
    without = None
    if guidance is not None:
        without = (known.has_number, known.has_code)
    denoiser = NetworkDenoiser(module, labels, guidance=guidance, without=without)
    return draw_rows(denoiser, course, known, for_rows)


@eqx.filter_jit
def bound_of(
    module: Any, schedule: Schedule, batch: Any, keys: Any, labels: Any, given: Any, n_times: int
) -> jax.Array:
    """Bounds of the log density of rows (n,), from ``n_times`` times each."""
    noise = module.shape.noise
    row_wise = jax.vmap(jax.random.key)(keys)

    def cleaned(chance: jax.Array) -> Clean:
        return noise.clean(batch, chance)  # type: ignore[no-any-return]

    total = evidence_bound(
        NetworkDenoiser(module, labels),
        cleaned,
        noise.n_chances,
        lambda scores, codes: code_errors(noise, scores, codes),
        schedule,
        row_wise,
        n_times,
        _given_cells(noise, given, len(keys)),
    )
    return jnp.asarray(total + noise.log_scale(_without(batch, given)))


@eqx.filter_jit
def flow_of(
    module: Any, schedule: Schedule, batch: Any, keys: Any, labels: Any, given: Any
) -> jax.Array:
    """Estimates of the log density of rows (n,), by the probability flow."""
    noise = module.shape.noise
    # The middle of each cell stands for it.
    clean: Clean = noise.clean(batch, jnp.full((len(keys), noise.n_chances), 0.5))
    row_wise = jax.vmap(jax.random.key)(keys)
    known, _ = _given_cells(noise, given, len(keys))
    denoiser = NetworkDenoiser(module, labels)
    total = flow_log_density(denoiser, clean, schedule, row_wise, known=known)
    return jnp.asarray(total + noise.log_scale(_without(batch, given)))


def _given_cells(noise: Any, given: Any, n: int) -> tuple[jax.Array, jax.Array]:
    numbers = jnp.broadcast_to(jnp.asarray(given)[noise.number_columns], (n, noise.n_numbers))
    codes = jnp.broadcast_to(jnp.asarray(given)[noise.code_columns], (n, noise.n_parts))
    return numbers, codes


def _without(batch: Any, given: Any) -> dict[str, Any]:
    """Rows without what is given: it has no density."""
    return {**batch, "seen": batch["seen"] & ~jnp.asarray(given)}
