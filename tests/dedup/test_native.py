"""The compiled kernel and its numpy twin give the same numbers, whatever the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import kernels
from etl.boilerplate.lines import split_lines
from etl.dedup import fingerprint, native, normalize
from etl.dedup.pairs import Candidates, candidates_of
from etl.dedup.sentences import Batch, read

pytestmark = pytest.mark.skipif(
    kernels.library() is None, reason="no C compiler was there when the environment was made, so there is no kernel"
)

AWKWARD = [
    "Dr. Brown met Mr. Smith in the U.S. Senate. He left at 5 p.m. The day ended.",
    "“Stop!” he said. “Go.” They went (home. soon) at last…",
    "Am 3. Oktober kam er. III. Felipe ve 4. Carlos geldi. Straße, ﬁn, ½ and 10² are no 102.",
    "この本は面白い。次の本は？「はい。」と言った。",
    "e\u0301 is é; a\u0323\u0302 is ậ; \u0301 leads; x\u0301\u0302\u0323 has three",
    "soft\u00adhyphen and zero\u200bwidth, 3,\u200b5 and -\u200b7",
    "-3.5 .5 -.5 3-4 $5 -$5 5% 1,000.50 it's o'clock 'tis",
    "! ! ? … 。。. .",
    "\U0001f600 emoji. \U0001f600 Next one.",
    "ﷺ ㍿ Ǆ ŉ İstanbul ΣΑΣ",
    "One of 102.\u200b0Stop Go. Yes.",
    "A.",
    ".",
    "   ",
    "word",
]
PIECES = st.sampled_from(
    [*AWKWARD, " ", ". ", ".", "3", "A", "a", '"', "”", "ß", "\u0301", "\u200b", "。", "東", "-", ","]
)
TEXTS = st.lists(
    st.lists(PIECES | st.text(max_size=30), max_size=8).map("".join).map(lambda text: text.replace("\r", " ")),
    min_size=1,
    max_size=5,
)


def both(texts: list[str]) -> tuple[list[pl.DataFrame], list[pl.DataFrame]]:
    segments = split_lines(pl.Series("text", texts, dtype=pl.String))
    if segments.is_empty():
        return [], []
    reading = read(segments)
    made = fingerprint._read_native(segments, near_words=3)
    pairs, pairs_twin = made.candidates, candidates_of(reading, min_words=3)
    mine, twin = (
        [batch.table(), pl.DataFrame(batch.least), pl.DataFrame(batch.word_bits.view(np.int64)), _shown(batch, some)]
        for batch, some in ((made.batch, pairs), (reading.batch, pairs_twin))
    )
    if len(made.batch.doc):
        order = ["doc", "kind", "h"]
        prints, sketches, bands = fingerprint._fingerprints(reading)
        mine += [made.fingerprints, made.sketches.select(order).sort(order), made.bands.sort("doc", "h")]
        twin += [prints.select(made.fingerprints.columns), sketches.select(order).sort(order), bands.sort("doc", "h")]
    return mine, twin


def _shown(batch: Batch, pairs: Candidates) -> pl.DataFrame:
    """The candidates, with their texts as they are and as they are compared."""
    first, second = pairs.first, pairs.second
    columns = (first, second, pairs.first_text, pairs.second_text, batch.text_of(first), batch.text_of(second))
    return pl.DataFrame([pl.Series(str(n), list(column)) for n, column in enumerate(columns)]).cast(
        {"0": pl.Int64, "1": pl.Int64, **{str(n): pl.String for n in range(2, 6)}}
    )


def assert_same(texts: list[str]) -> None:
    for mine, twin in zip(*both(texts), strict=True):
        casts = {name: pl.Int64 for name, kind in twin.schema.items() if kind.is_integer()}
        assert mine.cast(casts).equals(twin.cast(casts))


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_lines_are_read_alike(text: str) -> None:
    assert_same([text, text + "\n" + text, "One more. " + text])


@given(TEXTS)
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_alike(texts: list[str]) -> None:
    assert_same(texts)


@given(st.lists(PIECES | st.text(max_size=30), max_size=8).map("".join))
@settings(max_examples=300, deadline=None)
def test_one_text_is_folded_alike(text: str) -> None:
    assert native.fold(["", text, "A b", text]) == ["", normalize.fold(text), "a b", normalize.fold(text)]
    assert native.fold([text, ""]) == [normalize.fold(text), ""]


NEAR = st.sampled_from(
    [
        "The council approved the new budget",
        "of the city on Monday",
        "evening",
        "and",
        "ships in 2024",
        "​",
        "東京",
        ". ",
    ]
)


@given(st.lists(st.lists(st.lists(NEAR, max_size=6).map(" ".join), max_size=12).map("\n".join), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_sentences_alike_are_paired_alike(texts: list[str]) -> None:
    assert_same(texts)


def test_long_documents_are_sampled_alike() -> None:
    pages = sorted((Path(__file__).parents[1] / "pages" / "news").glob("*.txt"))
    texts = [page.read_text(encoding="utf-8") for page in pages]
    assert_same([*texts, "\n".join(texts * 5)])


def test_the_switch_leaves_the_kernels_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernels.SWITCH, "off")
    kernels.library.cache_clear()
    try:
        assert not native.available()
    finally:
        monkeypatch.undo()
        kernels.library.cache_clear()
    assert native.available()
