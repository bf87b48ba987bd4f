"""Work in a few threads: of kernels, Arrow and numpy, which let other threads go on meanwhile."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

HEARING_CTRL_C: Final = threading.TIMEOUT_MAX
"""How long this process waits for others. A wait without an end goes on when Ctrl-C is pressed: Polars answers the signal first,
and has the system begin interrupted calls again that have none."""


def in_threads(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """`function` of each item, in their order; at most `threads` are under way, and one result more waits than that.

    Raises what it raises; nothing more is begun then. items: asked for in this thread.
    """
    if threads <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        under_way: deque[Future[R]] = deque()
        try:
            for item in items:
                under_way.append(pool.submit(function, item))
                if len(under_way) > threads:
                    yield under_way.popleft().result(HEARING_CTRL_C)
            while under_way:
                yield under_way.popleft().result(HEARING_CTRL_C)
        finally:
            pool.shutdown(cancel_futures=True)
