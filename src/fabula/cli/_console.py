"""What goes to standard error: notes, warnings, errors and progress; one line each."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["complain", "note", "warnings_as_lines", "working"]

# What libraries say to programmers is no news to who types a command.
_FOR_PROGRAMMERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)


def note(text: str) -> None:
    """Say something that is not data."""
    print(text, file=sys.stderr, flush=True)


def complain(text: str, kind: str = "error") -> None:
    """Say what went wrong, on one line whatever the message holds."""
    print(f"fabula: {kind}: {' '.join(text.split())}", file=sys.stderr, flush=True)


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print each warning once, as one line without its place in the code."""
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        from fabula.core.errors import FabulaWarning

        text = str(message)
        if not issubclass(category, FabulaWarning):
            text = f"{text} ({category.__name__})"
        if text not in said:
            said.add(text)
            complain(text, "warning")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for category in _FOR_PROGRAMMERS:
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show that something is going on, where somebody watches; what is yielded says how far."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(f"{what} …") as status:
        yield lambda text: status.update(f"{what}: {escape(text)} …")
