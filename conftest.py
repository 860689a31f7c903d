"""What holds for every test, docstring and example in the documentation."""

from __future__ import annotations

import os
import tempfile

# Each pytest-xdist worker keeps to one core: two workers whose BLAS takes two threads each are
# slower than one. This has to happen before numpy is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _pool in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{_pool}_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Most of the time of a test of networks goes into compiling, often what another test has compiled:
# compile without much care for speed, and share the results for the length of a run.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.TemporaryDirectory(prefix="fabula-tests-", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import hypothesis
import pytest

# The same examples in every run: a test that fails only sometimes tells nobody anything. No
# deadline: the first call of a compiled kernel is slow on purpose.
hypothesis.settings.register_profile("fabula", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("fabula")


@pytest.fixture(autouse=True)
def _examples_write_elsewhere(request: pytest.FixtureRequest) -> None:
    """Run the examples of the documentation in an empty folder, so that they may write files."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))
