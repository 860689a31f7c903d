"""Threads over blocks, with results that do not depend on how many there are.

Every block is computed with single-threaded BLAS, and results come back in the order of the
blocks: the same sums in the same order, hence the same bits, for any number of threads.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import chain, islice
from typing import Any, TypeVar

from fabula.core.errors import UsageError

__all__ = ["n_threads", "ordered_map", "single_threaded_blas", "use_threads"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_chosen: ContextVar[int | None] = ContextVar("fabula_threads", default=None)


def n_threads() -> int:
    """Threads that a pass over blocks uses: what `use_threads` chose, else every core."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def use_threads(number: int | None) -> Iterator[None]:
    """Use this many threads inside the ``with`` block; None leaves the choice as it is."""
    if number is not None and number < 1:
        raise UsageError(f"The number of threads must be at least 1, not {number}.")
    token = _chosen.set(number if number is not None else _chosen.get())
    try:
        yield
    finally:
        _chosen.reset(token)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Keep BLAS from starting threads of its own under ours."""
    with _blas_libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _blas_libraries(n_modules: int) -> Any:
    """The libraries whose threads can be limited, looked for again only after an import.

    Looking for them takes longer than many a question does.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def ordered_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int | None = None
) -> Iterator[_Result]:
    """Apply ``function`` to the items in threads; results come in the order of the items.

    No more than a few items are held at a time, so that the items may be blocks of a file.
    """
    threads = n_threads() if threads is None else threads
    if threads == 1:
        yield from map(function, items)
        return
    items = iter(items)
    begun = deque(islice(items, 2))
    if len(begun) == 1:
        # To start a thread takes longer than the work on a small table.
        yield function(begun.pop())
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Result]] = deque()
        try:
            for item in chain(_taken(begun), items):
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _taken(items: deque[_Item]) -> Iterator[_Item]:
    """What is taken is no longer held."""
    while items:
        yield items.popleft()
