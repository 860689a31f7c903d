"""What a diffusion passes through: rows with noise and masks, and what is known of them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

__all__ = [
    "MASKED",
    "Clean",
    "Denoiser",
    "Known",
    "Noisy",
    "Prediction",
    "normal_of",
]

MASKED = -1
"""The code of a category that is masked."""


class Clean(NamedTuple):
    """Rows without noise: numbers (n, P) of unit variance, codes (n, Q), and which are there."""

    numbers: jax.Array
    codes: jax.Array
    has_number: jax.Array
    has_code: jax.Array


class Noisy(NamedTuple):
    """Rows with noise.

    Parameters
    ----------
    numbers : (n, P) array
    codes : (n, Q) array
        `MASKED` where masked.
    levels : (n, P) array
        Noise of each number; infinite where nothing is known and nothing is asked.
    """

    numbers: jax.Array
    codes: jax.Array
    levels: jax.Array


class Prediction(NamedTuple):
    """What rows are without noise: means (n, P), and log probabilities of codes (n, S)."""

    numbers: jax.Array
    scores: jax.Array


class Known(NamedTuple):
    """Cells that a draw has to keep: their values, and which they are."""

    numbers: jax.Array
    codes: jax.Array
    has_number: jax.Array
    has_code: jax.Array


class Denoiser(Protocol):
    """Tells what noisy rows were: E[numbers | noisy row], and p(code | noisy row)."""

    def __call__(self, rows: Noisy, sigma: jax.Array) -> Prediction:
        """The prediction for rows whose unknown numbers have the noise ``sigma`` (n,)."""
        ...


def normal_of(chance: jax.Array) -> jax.Array:
    """Standard normal numbers from even ones: one source of chance is compiled once."""
    numbers: jax.Array = jax.scipy.special.ndtri(jnp.clip(chance, 1e-7, 1 - 1e-7))
    return numbers
