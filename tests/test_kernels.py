"""The tables that kernels are given, and texts as they take and give them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pack_tables import PATTERNS
from etl import kernels


def test_the_kept_characters_are_those_that_the_engine_matches() -> None:
    assert set(kernels._kept_ranges()) == set(PATTERNS), "run make tables"
    for pattern in PATTERNS:
        kept = [tuple(pair) for pair in kernels._kept_ranges()[pattern]]
        assert kept == kernels.matching_ranges(pattern), "run make tables"


@pytest.mark.parametrize("pattern", [r"\s", r"[^\s\p{C}\p{Z}]", r"\p{Lu}"])
def test_a_table_says_what_the_pattern_matches(pattern: str) -> None:
    table = kernels.character_table(pattern)
    chars = "aZ é\n\u00a0\u2028\u200b東\ue000\U000e0101\U0010ffff1_"
    assert [bool(table[ord(char)]) for char in chars] == pl.Series(list(chars)).str.contains(pattern).to_list()
    assert not table[0xD800:0xE000].any()


def test_of_several_patterns_the_last_that_matches_counts() -> None:
    table = kernels.character_table(r"\p{L}", "[a-c]")
    assert [int(table[ord(char)]) for char in "az1"] == [2, 1, 0]
    assert table.dtype == np.uint8


@given(st.lists(st.text(max_size=20), max_size=9), st.integers(0, 9), st.integers(0, 9))
def test_texts_lie_one_behind_the_other(texts: list[str], first: int, rows: int) -> None:
    column = pl.Series(texts, dtype=pl.String).slice(first, rows)
    for loaded in {kernels.library(), None}:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(kernels, "library", lambda loaded=loaded: loaded)
            data, offsets = kernels.text_buffers(column)
            assert kernels.text_series(data, offsets).equals(column)
            edges = offsets.tolist()
        assert [data[a:b].tobytes().decode() for a, b in pairwise(edges)] == column.to_list()
