"""Cutting: what is kept and what is removed are the whole text, and what stays reads well."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import StageError
from etl.publish import assemble as assembling
from etl.publish import cut as plain
from etl.publish import native
from etl.publish.assemble import REASONED
from etl.publish.cut import Cuts, cut, is_whole
from etl.schema import DOCUMENTS


def cut_words(text: str, *words: str) -> str:
    marks = []
    at = 0
    for word in words:
        start = text.index(word, at)
        at = start + len(word)
        marks.append((start, at))
    done = cut(text, marks)
    assert is_whole(text, done.kept, [(span, text[slice(*span)]) for span in done.spans])
    return done.kept


NONE = np.zeros(0, np.int64)


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


@pytest.mark.skipif(not native.available(), reason="the kernels are not installed")
@given(st.lists(marked_texts(), max_size=4))
def test_the_kernel_finds_the_lines_around_spans(cases: list[tuple[str, list[tuple[int, int]]]]) -> None:
    texts = pl.Series([text for text, _ in cases], dtype=pl.String)
    spans = [
        (owner, *span) for owner, (text, found) in enumerate(cases) for span in [*found, (0, len(text) + 1), (1, 1)]
    ]
    places = np.array(sorted(spans), np.int64).reshape(-1, 3).T
    told, same = native.lines_around(texts, *places), plain.lines_around(texts, *places)
    assert told.kind.tolist() == same.kind.tolist()
    assert told.lines.to_list() == same.lines.to_list()
    assert told.starts.tolist() == same.starts.tolist()


@pytest.mark.skipif(not native.available(), reason="the kernels are not installed")
@given(st.lists(marked_texts(), max_size=4), st.permutations(range(24)))
def test_the_kernel_cuts_the_spans_that_are_asked_for(
    cases: list[tuple[str, list[tuple[int, int]]]], order: list[int]
) -> None:
    texts = pl.Series([text for text, _ in cases], dtype=pl.String)
    marks = [(owner, *span) for owner, (text, found) in enumerate(cases) for span in [*found, (0, len(text) + 3)]]
    for asked in (marks, [marks[n] for n in order if n < len(marks)]):
        places = np.array(asked, np.int64).reshape(-1, 3).T
        wanted = [cases[owner][0][start:end] for owner, start, end in asked]
        assert [way.spans(texts, *places).to_list() for way in (native, plain)] == [wanted, wanted]


def test_a_span_fills_its_lines_or_is_a_part_of_them() -> None:
    text = "One. Two.\n \u00a0Thr\u00e9e. \nFour."
    spans = [(0, 4), (0, 9), (5, 9), (12, 18), (12, 25), (12, 99), (20, 20), (20, 25)]
    starts, ends = np.array(spans).T
    around = plain.lines_around(pl.Series([text]), np.zeros(len(spans), np.int64), starts, ends)
    assert around.kind.tolist() == [2, 1, 2, 1, 1, 0, 0, 1]
    assert around.lines.to_list()[:4] == ["One. Two.", "One. Two.", "One. Two.", " \u00a0Thr\u00e9e. "]
    assert around.starts.tolist()[:4] == [0, 0, 5, 2]


@given(marked_texts())
def test_kept_and_removed_are_the_whole_text(case: tuple[str, list[tuple[int, int]]]) -> None:
    text, marks = case
    done = cut(text, marks)
    assert len(done.spans) == len(marks)
    assert all(wide[0] <= mark[0] and wide[1] >= mark[1] for wide, mark in zip(done.spans, marks, strict=True))
    assert is_whole(text, done.kept, [(span, text[slice(*span)]) for span in done.spans])
    taken = "".join(text[start:end] for start, end in marks)
    wide = "".join(text[start:end] for start, end in done.spans)
    assert "".join(wide.split()) == "".join(taken.split()), "a removal takes no more than white space beside its mark"


def bounds_of(cases: list[tuple[str, list[tuple[int, int]]]]) -> tuple[pl.Series, np.ndarray, np.ndarray]:
    marks = [mark for _, marks in cases for mark in marks]
    bounds = np.cumsum([0, *(len(marks) for _, marks in cases)])
    return pl.Series([text for text, _ in cases], dtype=pl.String), bounds, np.array(marks, np.uint32).reshape(-1, 2)


@pytest.mark.skipif(not native.available(), reason="no C compiler was there when the environment was made")
@given(st.lists(marked_texts(), min_size=1, max_size=4))
@settings(max_examples=400, deadline=None)
def test_the_compiled_kernel_cuts_alike(cases: list[tuple[str, list[tuple[int, int]]]]) -> None:
    texts, bounds, marks = bounds_of(cases)
    starts, ends = np.ascontiguousarray(marks[:, 0]), np.ascontiguousarray(marks[:, 1])
    (mine, wrong), (twin, also) = (way.cut_all(texts, bounds, starts, ends) for way in (native, plain))
    assert wrong == also == -1
    assert mine.kept.to_pylist() == twin.kept.to_pylist()
    assert mine.pieces.to_pylist() == twin.pieces.to_pylist()
    assert mine.starts.tolist() == twin.starts.tolist()
    assert mine.ends.tolist() == twin.ends.tolist()
    assert native.count_words(texts).to_list() == plain.count_words(texts).to_list()


@pytest.mark.skipif(not native.available(), reason="no C compiler was there when the environment was made")
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_the_compiled_kernel_counts_the_same_words(texts: list[str]) -> None:
    series = pl.Series(texts, dtype=pl.String)
    assert native.count_words(series).to_list() == plain.count_words(series).to_list()


@pytest.mark.parametrize("removed", [[((1, 2), "x")], [((1, 3), "b")], [((1, 2), "b"), ((1, 2), "b")], []])
def test_a_lost_or_changed_character_is_seen(removed: list[tuple[tuple[int, int], str]]) -> None:
    assert not is_whole("abc", "ac", removed)


def test_a_document_that_lost_a_character_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(texts: pl.Series, bounds: object, starts: object, ends: object) -> tuple[Cuts, int]:
        nothing = pa.array([], pa.large_string())
        return Cuts(texts.to_arrow(), np.zeros(0, np.int64), np.zeros(0, np.int64), nothing), 0

    monkeypatch.setattr(assembling.native, "cut_all", careless)
    monkeypatch.setattr(assembling.cut, "cut_all", careless)
    with pytest.raises(StageError, match="doc-7"):
        assembling.assemble(documents("abc"), marks(), assembling.Dropped(NONE, REASONED.empty_table()), marks())


def documents(*texts: str) -> pa.Table:
    """Documents as `assemble` takes them."""
    known = {
        "doc_id": [f"doc-{7 + n}" for n in range(len(texts))],
        "source": ["pages.jsonl"] * len(texts),
        "source_id": [f"page {n}" if n else None for n in range(len(texts))],
        "text": list(texts),
    }
    names = [f for f in DOCUMENTS if f.name not in ("n_chars", "n_words", "removed_chars")]
    return pa.table(
        [pa.array(known.get(f.name, [None] * len(texts)), f.type) for f in names], names=[f.name for f in names]
    )


def marks(*rows: tuple[int, int, int, str], rule: str = "a-rule") -> assembling.Marks:
    """What is to be cut: row of the document, start, end and unit of each."""
    places = np.array([row[:3] for row in rows], np.int64).reshape(-1, 3)
    told = [[row[3] for row in rows], ["a step"] * len(rows), [rule] * len(rows), ["why"] * len(rows)]
    coded = [assembling.coded(assembling.strings(values)) for values in told]
    columns = [*coded, pa.nulls(len(rows), pa.float32()), coded[0], pa.nulls(len(rows), pa.int64())]
    return assembling.Marks(places[:, 0], places[:, 1], places[:, 2], pa.table(columns, schema=REASONED))


def test_what_is_cut_noted_and_dropped_is_told_in_the_order_of_the_documents() -> None:
    docs = documents("One two three.", "Gone whole.", "Nothing stays. ", "Kept.")
    cuts = marks((3, 0, 0, "line"), (2, 0, 14, "line"), (1, 0, 4, "span"), (0, 4, 7, "span"))
    cuts = assembling.Marks(cuts.doc[1:], cuts.starts[1:], cuts.ends[1:], cuts.why.slice(1))
    whole = marks((1, 0, 0, "document"), rule="exact-document")
    noted = marks((3, 0, 0, "document"), (0, 8, 14, "sentence"), (1, 0, 4, "sentence"))
    made = assembling.assemble(docs, cuts, assembling.Dropped(whole.doc, whole.why), noted)
    assert made.documents.select(["doc_id", "text", "n_chars", "n_words", "removed_chars"]).to_pylist() == [
        {"doc_id": "doc-7", "text": "One three.", "n_chars": 10, "n_words": 2, "removed_chars": 4},
        {"doc_id": "doc-10", "text": "Kept.", "n_chars": 5, "n_words": 1, "removed_chars": 0},
    ]
    told = ["doc_id", "source_id", "unit", "start", "end", "text", "rule"]
    assert [tuple(row.values()) for row in made.removals.select(told).to_pylist()] == [
        ("doc-7", None, "span", 4, 8, "two ", "a-rule"),
        ("doc-8", "page 1", "document", 0, 11, "Gone whole.", "exact-document"),
        ("doc-9", "page 2", "document", 0, 15, "Nothing stays. ", "nothing-left"),
    ]
    assert made.removals["reason"].to_pylist()[2] == "nothing was left after a-rule (1)"
    assert [tuple(row.values()) for row in made.annotations.select(told[2:]).to_pylist()] == [
        ("sentence", 8, 14, "three.", "a-rule"),
        ("document", 0, 5, None, "a-rule"),
    ]
    assert made.rows.tolist() == [0, 3]
    assert (made.cut_doc.tolist(), made.cut_start.tolist(), made.cut_end.tolist()) == ([0], [4], [8])
    counted = {"documents": 2, "removals": 3, "annotations": 2, "dropped": 1, "empty": 1}
    assert made.counts == {**counted, "chars_kept": 15, "chars_removed": 30}
