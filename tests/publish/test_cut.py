"""Cutting: what is kept and what is removed are the whole text, and what stays reads well."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.errors import StageError
from etl.publish.cut import check, cut


def cut_words(text: str, *words: str) -> str:
    marks = []
    at = 0
    for word in words:
        start = text.index(word, at)
        at = start + len(word)
        marks.append((start, at))
    done = cut(text, marks)
    check(text, done.kept, [(start, end, text[start:end]) for start, end in done.spans], doc_id="d")
    return done.kept


@pytest.mark.parametrize(
    ("text", "words", "kept"),
    [
        ("A\nB\n\nC", ["B"], "A\n\nC"),
        ("A\n\nB\nC", ["B"], "A\n\nC"),
        ("A\nB\n\nC\nD", ["B", "C"], "A\n\nD"),
        ("One. Two. Three.\nFour.", ["Two."], "One. Three.\nFour."),
        ("One. Two.\n\nThree.", ["Two."], "One.\n\nThree."),
        ("A\n\nB", ["A"], "B"),
        ("A\n\nB", ["B"], "A"),
        ("A", ["A"], ""),
        ("一。二。三。", ["二。"], "一。三。"),
        ("date 2018-01-30 Finance", ["date 2018-01-30"], "Finance"),
    ],
)
def test_paragraphs_keep_their_breaks_and_lines_end_without_a_space(text: str, words: list[str], kept: str) -> None:
    assert cut_words(text, *words) == kept


@st.composite
def marked_texts(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    text = draw(st.text("aé中 \n\u00a0\t😀", min_size=1, max_size=40))
    edges = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    return text, pairs


@given(marked_texts())
def test_kept_and_removed_are_the_whole_text(case: tuple[str, list[tuple[int, int]]]) -> None:
    text, marks = case
    done = cut(text, marks)
    assert len(done.spans) == len(marks)
    assert all(wide[0] <= mark[0] and wide[1] >= mark[1] for wide, mark in zip(done.spans, marks, strict=True))
    check(text, done.kept, [(start, end, text[start:end]) for start, end in done.spans], doc_id="d")
    taken = "".join(text[start:end] for start, end in marks)
    wide = "".join(text[start:end] for start, end in done.spans)
    assert "".join(wide.split()) == "".join(taken.split()), "a removal takes no more than white space beside its mark"


@pytest.mark.parametrize(
    "removed",
    [
        [(1, 2, "x")],
        [(1, 3, "b")],
        [(1, 2, "b"), (1, 2, "b")],
        [],
    ],
)
def test_a_lost_or_changed_character_is_an_error(removed: list[tuple[int, int, str]]) -> None:
    with pytest.raises(StageError, match="doc-7"):
        check("abc", "ac", removed, doc_id="doc-7")
