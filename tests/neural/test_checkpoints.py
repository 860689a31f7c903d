"""Checkpoints: what is written comes back, and a file that is not whole is refused."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fabula.core.errors import FileFormatError, UsageError
from fabula.neural.training.checkpoints import Progress, read_checkpoint, write_checkpoint

TREES = {"key": jax.random.key(3), "weights": jnp.arange(4.0)}
PROGRESS = Progress(7, losses={"loss": (2.0, 1.0)}, validation=(0.5,), steps=(7,))


def test_there_and_back_and_every_byte_flipped(tmp_path: Path):
    file = tmp_path / "part"
    write_checkpoint(file, TREES, PROGRESS, "of this")
    trees, progress = read_checkpoint(file, TREES, "of this")
    assert progress == PROGRESS
    assert np.array_equal(trees["weights"], TREES["weights"])
    assert jax.random.uniform(trees["key"]) == jax.random.uniform(TREES["key"])
    with pytest.raises(UsageError, match="other settings"):
        read_checkpoint(file, TREES, "of that")
    content = file.read_bytes()
    for i in range(len(content)):
        file.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        with pytest.raises(FileFormatError, match="delete it to begin anew"):
            read_checkpoint(file, TREES, "of this")
