"""Timing that survives a noisy machine: contenders take turns, and the fastest turn counts."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable

__all__ = ["is_asked", "print_table", "race", "words_of"]


def race(contenders: dict[str, Callable[[], object]], rounds: int = 2) -> dict[str, float]:
    """Seconds of the fastest of ``rounds`` turns of each contender, in turn and in one process."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds):
        for name, work in contenders.items():
            gc.collect()
            began = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def print_table(header: list[str], rows: list[list[object]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in row) + " |")


def words_of(variable: str) -> list[str]:
    """The words of a variable of the environment, which has commas between them."""
    return [word for word in os.environ.get(variable, "").split(",") if word]


def is_asked(name: str) -> bool:
    """Whether NEURAL has a word that the name holds, or is not set."""
    words = words_of("NEURAL")
    return not words or any(word in name for word in words)
