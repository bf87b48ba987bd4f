"""The order of what is left for later runs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from etl.dedup.state import _order_of

HASHES = st.integers(-4, 4) | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 7).map(lambda low: 2**40 + low)


@given(st.lists(st.tuples(HASHES, st.booleans()), max_size=40))
def test_hashes_are_ordered_and_the_same_ones_by_what_comes_then(rows: list[tuple[int, bool]]) -> None:
    hashes, then = np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.bool_)
    places = np.arange(len(rows))[::-1].copy()
    expected = sorted(range(len(rows)), key=lambda n: (*rows[n], places[n]))
    assert _order_of(hashes, then, places).tolist() == expected
