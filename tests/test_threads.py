"""Work in threads: what comes back, in which order, how much is begun."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from etl.threads import in_threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    assert list(in_threads(lambda n: n * n, range(20), threads)) == [n * n for n in range(20)]
    assert list(in_threads(lambda n: n, [], threads)) == []


def test_two_are_under_way_at_once_and_items_are_asked_for_as_they_are_needed() -> None:
    both = threading.Barrier(2, timeout=60)
    asked = []

    def items() -> Iterator[int]:
        for n in range(10):
            asked.append(n)
            yield n

    def wait(n: int) -> int:
        both.wait()
        return n

    found = in_threads(wait, items(), 2)
    assert (next(found), asked) == (0, [0, 1, 2])
    assert list(found) == list(range(1, 10))


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_is_raised_and_nothing_more_is_begun(threads: int) -> None:
    begun = []

    def fail(n: int) -> int:
        begun.append(n)
        raise ValueError(n)

    with pytest.raises(ValueError, match=r"^0$"):
        list(in_threads(fail, range(100), threads))
    assert len(begun) <= threads + 2
