"""The order of what is left for later runs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.dedup import native
from etl.dedup.state import _Blocks, _cut_before, _put_first, order_of

HASHES = st.integers(-4, 4) | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 7).map(lambda low: 2**40 + low)


@pytest.fixture(params=["kernels", "numpy"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with the kernels, once without."""
    if request.param == "numpy":
        monkeypatch.setattr(native, "available", lambda: False)
    elif not native.available():
        pytest.skip("without kernels")


@given(st.lists(HASHES, max_size=40), st.integers(1, 80))
def test_hashes_are_ordered_and_the_same_ones_stay_as_they_stood(some: list[int], times: int) -> None:
    hashes = np.array(some * times, np.int64)
    assert order_of(hashes).tolist() == sorted(range(len(hashes)), key=lambda row: hashes[row])


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40))
def test_of_rows_that_are_the_same_a_better_one_comes_first(rows: list[tuple[int, bool]]) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    keys, better = np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.bool_)
    order = np.arange(len(rows))
    _put_first(order, np.diff(keys, prepend=-1) > 0, better)
    assert order.tolist() == sorted(range(len(rows)), key=lambda row: (keys[row], not better[row], row))


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=5), st.randoms())
def test_blocks_of_a_column_in_any_parts_are_its_rows(parts: list[list[int]], random: object) -> None:
    column = pl.concat([pl.Series("a", part, dtype=pl.UInt16) for part in parts], rechunk=False)
    edges = sorted({0, len(column), *(random.randint(0, len(column)) for _ in range(3))})  # type: ignore[attr-defined]
    blocks = [(a, b - a) for a, b in pairwise(edges)]
    random.shuffle(blocks)  # type: ignore[attr-defined]
    head, size = (np.array([block[n] for block in blocks], np.int64) for n in (0, 1))
    taken = _Blocks(head, size, np.zeros(len(blocks), np.int64)).take(column)
    assert taken.dtype == np.uint16
    assert taken.tolist() == [column[row] for begin, rows in blocks for row in range(begin, begin + rows)]


PLACES = st.tuples(st.integers(0, 3), st.integers(0, 9))


@given(
    st.lists(PLACES, max_size=9),
    st.lists(st.tuples(st.integers(-1, 5), st.integers(0, 9), st.integers(1, 9)), max_size=9),
)
def test_what_was_cut_before_a_place_is_of_its_own_document(
    places: list[tuple[int, int]], cuts: list[tuple[int, int, int]]
) -> None:
    places.sort()
    at = np.array([doc << 32 | start for doc, start in places], np.int64)
    where = np.array([doc << 32 | start if doc >= 0 else -1 for doc, start, _ in cuts], np.int64)
    chars = np.array([size for _, _, size in cuts], np.int64)
    expected = [sum(size for of, begin, size in cuts if of == doc and begin < start) for doc, start in places]
    assert _cut_before(at, where, chars).tolist() == expected
