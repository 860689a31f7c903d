"""Options of `fabula fit` that are about latent trees, and about private fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fabula.cli._console import note
from fabula.core.errors import UsageError

__all__ = ["privacy_parameters", "say_private", "timed_parameters"]

_DELTA = 1e-6


def timed_parameters(
    model: str,
    states: int | None,
    passes: int | None,
    time_budget: float | None,
    aim: str | None = None,
    trees: int | None = None,
) -> dict[str, Any]:
    """Parameters of a latent tree, or of another model with a limit of time, by their options."""
    if passes is not None and model != "latent-tree":
        raise UsageError("--passes is for --model latent-tree.")
    if aim is not None and model != "latent-tree":
        raise UsageError("--aim is for --model latent-tree.")
    if trees is not None and model != "latent-tree":
        raise UsageError("--trees is for --model latent-tree.")
    if trees is not None and trees < 1:
        raise UsageError(f"--trees is {trees}, expected 1 or more.")
    if time_budget is not None and model not in ("auto", "latent-tree", "vae", "gan", "diffusion"):
        raise UsageError(
            "--time-budget is for --model auto, which tries several, and for --model "
            "latent-tree, vae, gan and diffusion."
        )
    if time_budget is not None and not time_budget > 0:
        raise UsageError(
            f"--time-budget is {time_budget:g}, expected a positive number of seconds."
        )
    seconds = None if model == "auto" else time_budget
    found = {
        "n_states": states,
        "max_passes": passes,
        "max_time": seconds,
        "aim": aim,
        "n_trees": trees,
    }
    return {name: value for name, value in found.items() if value is not None}


def privacy_parameters(
    model: str,
    epsilon: float | None,
    delta: float | None,
    bounds: Sequence[str] | None,
    *,
    learns_more: bool,
) -> dict[str, Any]:
    """The promise of a private fit; nothing where none is asked for."""
    if epsilon is None:
        if delta is not None or bounds:
            raise UsageError("--delta and --bounds are for a private fit: say --epsilon as well.")
        return {}
    if model != "latent-tree" or learns_more:
        raise UsageError(
            "--epsilon is for --model latent-tree, without --calibrate and --stream: nothing but "
            "noisy counts may be learned."
        )
    return {"privacy": (epsilon, _DELTA if delta is None else delta)}


def say_private(spent: dict[str, Any]) -> None:
    """What a private model promises, and what is not private."""
    note(
        f"The model file is ({spent['epsilon']:g}, {spent['delta']:g})-differentially private for "
        f"{spent['unit']} (ρ = {spent['rho']:.4g}). Names, kinds, decimals and levels of columns "
        "count as public; what is said above comes from the table itself and is not private."
    )
