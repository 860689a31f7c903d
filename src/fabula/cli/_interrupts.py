"""Ctrl-C, which libraries may wait through or turn into errors of their own."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

from fabula.cli._console import note

__all__ = [
    "keeps_going_in",
    "let_interrupts_through",
    "remember_interrupts",
    "was_interrupted",
    "what_was_kept",
]

_pressed = threading.Event()
_checkpoints: list[Path] = []


def keeps_going_in(checkpoint: str) -> None:
    """Remember the file that an interrupted fit goes on from, and say so where it is there."""
    _checkpoints.append(Path(checkpoint))
    if _checkpoints[-1].exists():
        note(f"Going on from {checkpoint}.")


def what_was_kept() -> str:
    """What an interrupt left behind, in words."""
    kept = [str(path) for path in _checkpoints if path.exists()]
    if not kept:
        return "nothing was written"
    return f"the same command goes on from {kept[-1]}; nothing else was written"


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed since `remember_interrupts`."""
    return _pressed.is_set()


def remember_interrupts() -> None:
    """Write down that Ctrl-C was pressed, and go on as Python does.

    Where a library is being imported, or waits in another language, the interrupt may come out of
    it as an error of any kind.
    """
    _pressed.clear()
    _checkpoints.clear()
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _write_down)


def _write_down(number: int, frame: Any) -> None:
    _pressed.set()
    signal.default_int_handler(number, frame)


def let_interrupts_through() -> None:
    """Let Ctrl-C end a wait for standard input.

    The handler that polars sets when it is imported makes the system go on waiting.
    """
    import polars  # noqa: F401

    if hasattr(signal, "siginterrupt") and threading.current_thread() is threading.main_thread():
        signal.siginterrupt(signal.SIGINT, True)
