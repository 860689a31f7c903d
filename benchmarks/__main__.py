"""``python -m benchmarks [NAME ...]``: run the named measurements, or all of them."""

from __future__ import annotations

import importlib
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version

NAMES = (
    "speed",
    "missing_speed",
    "start_up",
    "scale",
    "published",
    "calibration",
    "missing_cells",
    "spam",
    "semi_supervised",
    "many_columns",
    "wrong_story",
    "bins",
    "hidden_markov",
    "markov_chain",
    "autoregressive",
    "spoken_digits",
    "pair_hidden_markov",
    "evolution",
    "judging",
    "latent_tree",
    "synthetic_tables",
    "neural_tables",
    "neural_images",
    "neural_pictures",
    "neural_speed",
    "neural_missing",
)


def main() -> int:
    """Run and print; the figures in ``docs/benchmarks.md`` are copied from what this prints."""
    wanted = sys.argv[1:] or NAMES
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(f"no such measurement: {', '.join(unknown)}; there are {', '.join(NAMES)}")
        return 2
    print(_machine())
    for name in wanted:
        began = time.perf_counter()
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").run()
        print(f"\n({time.perf_counter() - began:.0f} s)", flush=True)
    return 0


def _machine() -> str:
    import os

    packages = []
    for name in ("numpy", "scipy", "scikit-learn", "polars", "numba", "pomegranate", "torch"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"{name} absent")
    return f"Python {platform.python_version()}, {os.cpu_count()} cores; " + ", ".join(packages)


if __name__ == "__main__":
    sys.exit(main())
