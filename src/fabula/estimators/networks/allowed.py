"""What may stand where in a sequence that is drawn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabula.core.errors import UsageError

__all__ = ["Alphabet", "masks_of"]

Alphabet = Sequence[Any]
Masks = NDArray[np.bool_]


def masks_of(
    allowed: Any,
    length: int | None,
    symbols: Alphabet,
    written: Callable[[NDArray[np.int64]], Any],
    ends: bool,
) -> Any:
    """What is allowed, as the story takes it: masks (S, C + 1) by place, or what gives one.

    Parameters
    ----------
    allowed, length
        As in `AutoregressiveModel.sample`.
    symbols
        The symbols that the codes stand for.
    written
        A sequence of codes as its owner knows it: what a callable is asked with.
    ends
        Whether sequences end.
    """
    if callable(allowed):
        return _Asked(allowed, length if ends else None, symbols, written)
    if allowed is None and length is None:
        return None
    n = len(symbols)
    rows: list[Masks] = []
    free = np.ones(n + 1, dtype=bool)
    if isinstance(allowed, list | tuple):
        rows = [free if entry is None else _mask(entry, symbols) for entry in allowed]
    elif allowed is not None:
        free = _mask(allowed, symbols)
        free[-1] = True  # or no sequence could ever end
    if length is not None and ends:
        rows = [*rows, *[free] * length][:length]
        masks = np.stack([*rows, free]) if rows else free[None].copy()
        masks[:length, -1] = False
        masks[length] = False
        masks[length, -1] = True
        return masks
    return np.stack([*rows, free])


class _Asked:
    """What a function of its owner's says of the symbols so far."""

    def __init__(
        self,
        ask: Callable[[Any], Any],
        length: int | None,
        symbols: Alphabet,
        written: Callable[[NDArray[np.int64]], Any],
    ):
        self.ask, self.length, self.symbols, self.written = ask, length, symbols, written

    def __call__(self, codes: NDArray[np.int64]) -> Masks:
        entry = self.ask(self.written(codes))
        mask = np.ones(len(self.symbols) + 1, dtype=bool)
        if entry is not None:
            mask = _mask(entry, self.symbols)
        if self.length is not None:
            mask[-1] = len(codes) >= self.length
        return mask


def _mask(entry: Any, symbols: Alphabet) -> Masks:
    """Symbols of one place (C + 1,); None among them is the end."""
    if not isinstance(entry, Collection) or isinstance(entry, bytes):
        raise UsageError(
            "allowed must be a text or a set of symbols for all places, a list with one such (or "
            f"None, for any symbol) for each place, or a function of the symbols so far; not "
            f"{entry!r}."
        )
    codes = {symbol: code for code, symbol in enumerate([*symbols, None])}
    mask = np.zeros(len(codes), dtype=bool)
    mask[[codes[symbol] for symbol in entry if symbol in codes]] = True
    return mask
