from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.dedup import sentences
from etl.dedup.normalize import key_hash
from etl.dedup.sentences import SENTENCES, confirm_boundaries, split_sentences


def segments_of(*docs: str, offset: int = 0) -> pl.DataFrame:
    rows = []
    for doc, text in enumerate(docs):
        at = offset
        for line, part in enumerate(text.split("\n")):
            if part.strip():
                rows.append((doc, line, at, at + len(part), part))
            at += len(part) + 1
    schema = {"doc": pl.UInt32, "line": pl.UInt32, "start": pl.UInt32, "end": pl.UInt32, "text": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def split(text: str) -> list[str]:
    table = split_sentences(segments_of(text))
    return [text[start:end] for start, end in table.select("start_char", "end_char").iter_rows()]


@pytest.mark.parametrize(
    "expected",
    [
        ["Dr. Brown met Mr. Smith in the U.S. Senate.", "He left at 5 p.m.", "The day ended."],
        ["“Stop!” he said.", "“Go.”", "They went."],
        ["Am 3. Oktober kam er.", "Danach ging er, z.B. Frau Dr. Meier war da."],
        ["J. K. Rowling wrote it.", "It cost 3.5 mln."],
        ["No. 5 is alive.", "The end...", "And more…", "Yes?", "No!"],
        ["Byli tam św. Michał i ppłk. Nowak.", "To koniec."],
        ["III. Felipe ve 4. Carlos geldi.", "Sonra gitti."],
        ["Los niños llegaron.", "¿Quién sabe?", "¡Nadie!"],
        ["यह पहला वाक्य है।", "यह दूसरा है।"],
        ["هل تعرف؟", "نعم."],
        ["It grew in 2019.", "In 2020 it fell."],
        ["One (two. three) four.", "Five."],
    ],
)
def test_sentences_are_split_where_they_end(expected: list[str]) -> None:
    assert split(" ".join(expected)) == expected


def test_scripts_without_spaces_are_split_at_their_full_stop() -> None:
    assert split("この本は面白い。次の本は？「はい。」と言った。") == [
        "この本は面白い。",
        "次の本は？",
        "「はい。」と言った。",
    ]


def test_lines_end_sentences_and_offsets_count_code_points() -> None:
    text = "  One 😀 two. Three\n\n four. "
    assert split(text) == ["One 😀 two.", "Three", "four."]


def test_offsets_are_those_of_the_repaired_text_not_of_the_segment() -> None:
    table = split_sentences(segments_of("One is here. Two is there.", offset=100))
    assert table.select("start_char", "end_char").rows() == [(100, 112), (113, 126)]


@pytest.mark.parametrize(
    ("text", "whole", "ends_properly", "quoted"),
    [
        ("A plain sentence.", True, True, False),
        ("“A quotation that ends.”", True, True, True),
        ("“A quotation that doesn't end.", False, True, True),
        ('He said "yes', False, False, True),
        ("A bracket (that ends).", True, True, False),
        ("A bracket (that doesn't.", False, True, False),
        ("A heading", True, False, False),
        ("It's the players' ball.", True, True, False),
    ],
)
def test_half_a_pair_is_seen(text: str, whole: bool, ends_properly: bool, quoted: bool) -> None:
    row = split_sentences(segments_of(text)).row(0, named=True)
    assert (row["whole"], row["ends_properly"], row["quoted"]) == (whole, ends_properly, quoted)


def test_keys_and_words_are_those_of_the_comparable_text() -> None:
    row = split_sentences(segments_of("“It's 3.5 percent,” he said.")).row(0, named=True)
    assert row["key_hash"] == key_hash("it s 3.5 PERCENT he said")
    assert row["n_words"] == 6
    assert split_sentences(segments_of("東京は晴れ。"))["n_words"].to_list() == [5]


def test_no_segments_give_an_empty_table() -> None:
    assert split_sentences(segments_of()).schema == SENTENCES


LINES = st.lists(st.text(alphabet="ab AB.!?…。“”\"'() 1é中ن\u0301\u200b", max_size=30), max_size=5).map("\n".join)


@given(st.lists(LINES, max_size=4))
def test_sentences_are_in_order_trimmed_and_hold_every_word(docs: list[str]) -> None:
    table = split_sentences(segments_of(*docs))
    for doc, text in enumerate(docs):
        spans = table.filter(doc=doc).select("start_char", "end_char").rows()
        left = list(text)
        for start, end in spans:
            assert text[start:end] == text[start:end].strip() != ""
            assert "\n" not in text[start:end]
            left[start:end] = [" "] * (end - start)
        assert spans == sorted(spans)
        assert not any(char.isalnum() for char in left)


@given(st.lists(LINES, min_size=1, max_size=6), st.integers(1, 40))
def test_the_size_of_a_batch_changes_nothing(docs: list[str], chars: int) -> None:
    whole = split_sentences(segments_of(*docs))
    usual = sentences._CHUNK_CHARS
    try:
        sentences._CHUNK_CHARS = chars  # type: ignore[misc]
        assert split_sentences(segments_of(*docs)).equals(whole)
    finally:
        sentences._CHUNK_CHARS = usual  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "part", "sure"),
    [
        ("He came. Dr. Brown left early.", "Dr. Brown left early.", True),
        ("He came. Dr. Brown left early.", "Brown left early.", False),
        ("He came. Dr. Brown left early.", "He came. Dr.", False),
        ("It was felled in 1912. [1]", "It was felled in 1912.", True),
        ("One whole line without a stop", "One whole line without a stop", True),
        ("  Indented. And more. ", "Indented.", True),
    ],
)
def test_only_whole_sentences_are_confirmed(text: str, part: str, sure: bool) -> None:
    start = text.index(part)
    assert confirm_boundaries(text, start, start + len(part), lang="en") is sure


def test_a_panic_of_the_splitter_ends_nothing() -> None:
    text = "Fine. Mr A\xa0. Ok"  # version 1.0.32 panics
    assert confirm_boundaries(text, 0, 5, lang="en") in (False, True)


def test_offsets_outside_the_line_are_not_confirmed() -> None:
    assert not confirm_boundaries("Short.", 0, 99, lang="en")
