"""How texts begin and end, out of Arrow's views of them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.boilerplate.lines import edges, replace_rows

BLANKS = [char for char in map(chr, range(0x3001)) if char.isspace() and not "\x1c" <= char <= "\x1f"]
TEXTS = st.lists(
    st.text(st.sampled_from([*BLANKS, *"ab “«é中😀\x00\x1f\x7f"]) | st.characters(codec="utf-8"), max_size=20)
)


@given(texts=TEXTS, cut=st.integers(0, 3))
def test_edges_are_the_first_and_the_last_bytes(texts: list[str], cut: int) -> None:
    series = pl.concat([pl.Series(texts, dtype=pl.String), pl.Series(texts, dtype=pl.String)])[cut:]
    told, every = [text.encode() for text in series], np.arange(len(series))
    edge = edges(series)
    assert edge.size.tolist() == list(map(len, told))
    assert edge.first.tolist() == [int.from_bytes(text[:4].ljust(4, b"\0"), "little") for text in told]
    for back in range(3):
        assert edge.last(every, back).tolist() == [text[-1 - back] if len(text) > back else 0 for text in told]


@given(texts=TEXTS)
def test_a_text_that_may_begin_or_end_blank_is_one_that_does_or_shows_a_control_character_there(
    texts: list[str],
) -> None:
    edge = edges(pl.Series(texts, dtype=pl.String))
    opens = [not text or text[0] in BLANKS or text[0] < " " for text in texts]
    closes = [not text or text[-1] in BLANKS or text[-1] < " " for text in texts]
    assert edge.open_blank().tolist() == opens
    assert edge.close_blank(np.arange(len(texts))).tolist() == closes


@pytest.mark.parametrize(("rows", "expected"), [([], ["a", "b", "c"]), ([2, 0], ["y", "b", "x"])])
def test_rows_of_a_column_are_replaced(rows: list[int], expected: list[str]) -> None:
    others = pl.Series(["x", "y"][: len(rows)], dtype=pl.String)
    assert replace_rows(pl.Series(["a", "b", "c"]), np.array(rows, np.int64), others).to_list() == expected
