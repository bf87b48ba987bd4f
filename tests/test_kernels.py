"""The tables that kernels are given."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

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
