"""Where training stands, in a file: written whole or not at all, read without running code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fabula.core.errors import FileFormatError, UsageError
from fabula.core.files import whole_file

__all__ = ["Progress", "digest_of", "read_checkpoint", "write_checkpoint"]


@dataclass(frozen=True)
class Progress:
    """How far training has come.

    Parameters
    ----------
    step, best_step : int
        Steps done, and after which of them the best state was met.
    rate : float
        Share of the planned learning rate, halved at each recovery.
    since_look : int
        Steps since the last look at the held-out rows.
    sums : mapping
        Sums of the losses over these steps.
    losses, validation, steps
        The traces: see `TrainingReport`.
    """

    step: int = 0
    best_step: int = 0
    rate: float = 1.0
    recoveries: int = 0
    seconds: float = 0.0
    seconds_to_first_step: float = 0.0
    since_look: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    losses: dict[str, tuple[float, ...]] = field(default_factory=dict)
    validation: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()

    def after(self, means: Mapping[str, float], n: int) -> Progress:
        """With ``n`` more steps of these mean losses."""
        sums = {name: self.sums.get(name, 0.0) + n * mean for name, mean in means.items()}
        return replace(self, step=self.step + n, since_look=self.since_look + n, sums=sums)

    def looked(self, validation: float | None) -> Progress:
        """With a look at the held-out rows written down."""
        losses = {
            name: (*self.losses.get(name, ()), total / self.since_look)
            for name, total in self.sums.items()
        }
        seen = () if validation is None else (validation,)
        return replace(
            self,
            since_look=0,
            sums={},
            losses=losses,
            validation=self.validation + seen,
            steps=(*self.steps, self.step),
        )


def write_checkpoint(path: Path, trees: Any, progress: Progress, fingerprint: str) -> None:
    """Write trees of arrays and how far training has come; replaces the file."""
    from safetensors.numpy import save

    leaves = [_to_numpy(leaf) for leaf in jax.tree.leaves(trees)]
    arrays = {f"{i:05d}": np.ascontiguousarray(leaf) for i, leaf in enumerate(leaves)}
    notes = {"progress": json.dumps(asdict(progress)), "fingerprint": fingerprint}
    notes["digest"] = _digest(arrays, notes)
    with whole_file(path, force=True) as stream:
        stream.write(save(arrays, metadata=notes))


def read_checkpoint(path: Path, like: Any, fingerprint: str) -> tuple[Any, Progress]:
    """Trees of the structure of ``like``, and how far training had come.

    Raises
    ------
    FileFormatError
        The file is no checkpoint, or is damaged.
    UsageError
        It is a checkpoint of other data, another model or another plan.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            notes = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
        if notes.pop("digest") != _digest(arrays, notes):
            raise ValueError("it is damaged")
        progress = _progress(json.loads(notes["progress"]))
        found = notes["fingerprint"]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{path} is no checkpoint that training could go on from ({error}): delete it to begin "
            "anew, or give another name."
        ) from None
    if found != fingerprint:
        raise UsageError(
            f"The checkpoint {path} is of other data, another model or other settings: delete it "
            "to begin anew, or give another name."
        )
    leaves, structure = jax.tree.flatten(like)
    if len(leaves) != len(arrays):
        raise FileFormatError(f"{path} holds {len(arrays)} arrays, expected {len(leaves)}.")
    restored = map(_from_numpy, arrays.values(), leaves)
    return jax.tree.unflatten(structure, restored), progress


def digest_of(tree: Any) -> str:
    """A fingerprint of arrays: of their names, shapes and types, and every bit of them."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.shape} {array.dtype}".encode())
        digest.update(array.view(np.uint8).data)
    return digest.hexdigest()


def _digest(arrays: Mapping[str, Any], notes: Mapping[str, str]) -> str:
    """Of everything in a file: a bit that was lost would be trained on without a word."""
    written = np.frombuffer(json.dumps(sorted(notes.items())).encode(), dtype=np.uint8)
    return digest_of({**arrays, "notes": written})


def _progress(values: dict[str, Any]) -> Progress:
    losses = {name: tuple(trace) for name, trace in values.pop("losses").items()}
    validation, steps = tuple(values.pop("validation")), tuple(values.pop("steps"))
    return Progress(losses=losses, validation=validation, steps=steps, **values)


def _to_numpy(leaf: Any) -> Any:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)


def _from_numpy(array: Any, like: Any) -> Any:
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(array))
    return jnp.asarray(array, dtype=like.dtype).reshape(like.shape)
