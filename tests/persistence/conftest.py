"""Small storable classes, and ways to make files that ``save`` would never write."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load as from_safetensors
from safetensors.numpy import save as to_safetensors

from fabula.persistence import save, storable


@storable("test/bank")
@dataclasses.dataclass(frozen=True)
class Bank:
    """Stands for a family: validates as families do."""

    means: NDArray[np.floating[Any]]
    counts: NDArray[np.int64]
    names: tuple[str, ...]
    floor: float = 1e-6
    cache: dict[str, Any] = dataclasses.field(
        default_factory=dict, metadata={"stored": False}, compare=False
    )

    def __post_init__(self) -> None:
        if self.means.ndim != 2 or len(self.names) != self.means.shape[1]:
            raise ValueError("means needs a column for each name")
        if not np.all(np.isfinite(self.means)):
            raise ValueError("means must be finite")


@storable("test/mixture")
@dataclasses.dataclass(frozen=True)
class Mixture:
    """Stands for a structure: holds a family."""

    log_weights: NDArray[np.floating[Any]]
    family: Bank
    groups: NDArray[np.intp] | None = None

    def __post_init__(self) -> None:
        if not math.isclose(np.exp(self.log_weights).sum(), 1.0):
            raise ValueError("weights must sum to 1")
        if self.log_weights.shape[0] != self.family.means.shape[0]:
            raise ValueError("one weight for each member")


@storable("test/estimator")
class Estimator:
    """Stands for an estimator: mutable, with a state of its own making."""

    def __init__(self, n_components: int = 2, random_state: int | None = None) -> None:
        self.n_components = n_components
        self.random_state = random_state

    def to_state(self) -> dict[str, Any]:
        return {"parameters": {"n_components": self.n_components}, "story": self.story_}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Estimator:
        estimator = cls(**state["parameters"])
        estimator.story_ = state["story"]
        return estimator

    def score_samples(self, X: NDArray[Any]) -> NDArray[Any]:
        """Not a density, but a number a row that depends on every parameter."""
        distance = ((X[:, None] - self.story_.family.means) ** 2).sum(axis=2)
        return np.log(np.exp(self.story_.log_weights - distance).sum(axis=1))


@pytest.fixture
def mixture() -> Mixture:
    bank = Bank(np.array([[1.0, -2.5], [0.25, 4.0]]), np.array([3, 4]), ("a", "b"), floor=math.inf)
    return Mixture(np.log([0.25, 0.75]), bank)


@pytest.fixture
def estimator(mixture: Mixture) -> Estimator:
    result = Estimator(2, random_state=7)
    result.story_ = mixture
    return result


@pytest.fixture
def model_file(tmp_path: Path, mixture: Mixture) -> Path:
    path = tmp_path / "model.fabula"
    save(mixture, path)
    return path


def _same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        if (left.dtype.name, left.shape) != (right.dtype.name, right.shape):  # of any byte order
            return False
        if left.dtype.kind == "O":
            return all(map(_same, left.ravel().tolist(), right.ravel().tolist()))
        return np.array_equal(left, right, equal_nan=left.dtype.kind in "fmM")
    if dataclasses.is_dataclass(left):
        stored = [f.name for f in dataclasses.fields(left) if f.metadata.get("stored", True)]
        return all(_same(getattr(left, name), getattr(right, name)) for name in stored)
    if hasattr(left, "indptr"):
        return left.shape == right.shape and all(
            _same(getattr(left, name), getattr(right, name))
            for name in ("data", "indices", "indptr")
        )
    if isinstance(left, dict):
        return list(map(repr, left)) == list(map(repr, right)) and all(
            map(_same, left.values(), right.values())
        )
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, (float, np.floating)):
        same_sign = math.copysign(1, left) == math.copysign(1, right)
        return (left == right and same_sign) or (math.isnan(left) and math.isnan(right))
    if isinstance(left, (np.datetime64, np.timedelta64)):
        return left.dtype == right.dtype and left.view(np.int64) == right.view(np.int64)
    return bool(left == right)


@pytest.fixture(scope="session")
def same() -> Callable[[Any, Any], bool]:
    """Equality that sees types, dtypes, the sign of zero, and takes NaN as equal to NaN."""
    return _same


@pytest.fixture
def parts(model_file: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the arrays of a good file, to be spoilt."""
    with zipfile.ZipFile(model_file) as archive:
        header = json.loads(archive.read("story.json"))
        return header, dict(from_safetensors(archive.read("arrays.safetensors")))


@pytest.fixture
def forge(tmp_path: Path) -> Callable[..., Path]:
    """Write a zip with true checksums around any header and arrays (or their raw bytes)."""

    def write(
        header: Any, arrays: Any, *, more: tuple[tuple[Any, bytes], ...] = (), compression: int = 0
    ) -> Path:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        content = arrays if isinstance(arrays, bytes) else to_safetensors(arrays)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            archive.writestr("story.json", text)
            archive.writestr("arrays.safetensors", content)
            for name, extra in more:
                archive.writestr(name, extra)
        path = tmp_path / "forged.fabula"
        path.write_bytes(buffer.getvalue())
        return path

    return write
