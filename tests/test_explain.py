from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import explain, schema
from etl.config import ConfigError, Publish
from etl.publish import dataset
from etl.publish.assemble import REASONED, Dropped, Marks, assemble, coded, strings
from etl.storage import write_json

STORY = "The bridge will open in spring, the minister said on Tuesday."
PAGES = {
    "a1": f"Menu\n\n{STORY}\nShare this on “Friendbook”\nIt cost 5% more than planned.",
    "a2": f"{STORY}\nShare this on “Friendbook”\nAnother view.",
    "b1": "A recipe for soup.\n\n\nMix well.",
    "b2": "A recipe for soup.\n\n\nMix well.",
}
Cut = tuple[str, str, dict[str, Any]]
CUTS: list[Cut] = [
    ("a1", "Menu", {"rule": "menu", "score": None}),
    ("a1", "Share this on “Friendbook”", {"rule": "share-row"}),
    ("a2", "Share this on “Friendbook”", {"rule": "share-row"}),
    (
        "a2",
        STORY,
        {
            "unit": "sentence",
            "stage": "sentence_dedup",
            "rule": "same-sentence",
            "reason": "said elsewhere",
            "kept_doc_id": "a1",
            "kept_start": 6,
        },
    ),
]
DROPS = [("b2", "b1")]
RULE = {"unit": "line", "stage": "rules", "reason": "a button", "score": 1.0, "kept_doc_id": None, "kept_start": None}


def release(
    out: Path,
    pages: dict[str, str],
    cuts: Sequence[Cut],
    drops: Sequence[tuple[str, str]] = (),
    *,
    run: str = "2026-01-01",
    history: dict[str, str] | None = None,
) -> None:
    """A released run made by hand: `pages` by doc_id (their source is DOC_ID.txt), what is cut, who is a copy of whom."""
    names = list(pages)
    marks = []
    for doc_id, text, fields in cuts:
        start = pages[doc_id].index(text)
        marks.append(RULE | {"doc": names.index(doc_id), "start": start, "end": start + len(text)} | fields)
    dropped = [
        {
            "doc": names.index(doc_id),
            "unit": "document",
            "stage": "document_dedup",
            "rule": "exact-document",
            "reason": "the same text",
            "score": 1.0,
            "kept_doc_id": kept,
        }
        for doc_id, kept in drops
    ]
    whole = marks_of(dropped)
    made = assemble(frame(pages), marks_of(marks), Dropped(whole.doc, whole.why))
    staging = out / "_work" / run / "release"
    (staging / dataset.STATE).mkdir(parents=True)
    dataset.write_part(staging, 0, "documents", [made.documents], Publish())
    dataset.write_part(staging, 0, "removals", [made.removals], Publish())
    dataset.write_part(staging, 0, "annotations", [made.annotations], Publish())
    reject = {"source": "bad.jsonl", "record": 2, "error": "BadJson", "message": "no JSON"}
    dataset.write_part(staging, 0, "rejects", [pa.Table.from_pylist([reject], schema.REJECTS)], Publish())
    repaired = sum(map(len, pages.values()))
    counts = {"documents_read": len(pages), "chars_repaired": repaired}
    report = out / "_work" / run / "report"
    write_json(report / "metrics.json", {"run": run, "totals": {"duplicates": len(drops)}})
    entry = {
        "datasets": dataset.list_parts(staging),
        "history": history or {},
        "skip": [],
        "counts": counts,
        "release": f"hash of {run}",
    }
    dataset.release(out, staging, run, entry, report=report)
    (staging).rmdir()
    (out / "_work" / run).rmdir()


def column_of(rows: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """Whole numbers of some rows; 0 where they have none."""
    return np.array([row.get(name, 0) for row in rows], np.int64)


def marks_of(rows: Sequence[dict[str, Any]]) -> Marks:
    """Rows with doc, start, end and REASONED, or some of these, as `assemble` takes them."""
    texts = {
        name: coded(strings([row.get(name) for row in rows]))
        for name in ("unit", "stage", "rule", "reason", "kept_doc_id")
    }
    numbers = {"score": pl.Float32, "kept_start": pl.Int64}
    columns = texts | {
        name: pl.Series([row.get(name) for row in rows], dtype=kind).to_arrow() for name, kind in numbers.items()
    }
    why = pa.table([columns[name] for name in REASONED.names], schema=REASONED)
    return Marks(*(column_of(rows, name) for name in ("doc", "start", "end")), why)


def frame(pages: dict[str, str]) -> pa.Table:
    """The documents as `write` has them before the cut."""
    columns: dict[str, Any] = {
        name: None for name in schema.DOCUMENTS.names if name not in ("n_chars", "n_words", "removed_chars")
    }
    columns |= {"doc_id": list(pages), "source": [f"{name}.txt" for name in pages], "text": list(pages.values())}
    columns |= {"record": 1, "duplicates": 0, "title": [f"Title of {name}" for name in pages]}
    columns |= {"published_at": datetime(2026, 1, 31, 9, 30, tzinfo=UTC), "authors": [["Ann", "Bo"]] * len(pages)}
    wanted = pa.schema([schema.DOCUMENTS.field(name) for name in columns])
    told = {name: value if isinstance(value, list) else [value] * len(pages) for name, value in columns.items()}
    return schema.table_of(told, wanted)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    release(folder, PAGES, CUTS, DROPS)
    later = {"c1": f"Later.\n{STORY}\nThe end."}
    repeated: Cut = (
        "c1",
        STORY,
        {
            "unit": "sentence",
            "stage": "sentence_dedup",
            "rule": "same-sentence",
            "reason": "in an earlier run",
            "kept_doc_id": "a1",
        },
    )
    release(folder, later, [repeated], run="2026-01-02", history={"2026-01-01": "hash of 2026-01-01"})
    return folder


def test_the_dataset_made_for_these_tests_is_a_sound_one(out: Path) -> None:
    assert dataset.verify(out) == []


def test_a_removed_sentence_is_told_with_its_rule_and_the_copy_that_stays(out: Path) -> None:
    fates = explain.why(out, STORY).fates
    assert [(f.run, f.doc_id, f.kept, f.rule) for f in fates] == [
        ("2026-01-01", "a2", False, "same-sentence"),
        ("2026-01-02", "c1", False, "same-sentence"),
        ("2026-01-01", "a1", True, ""),
    ]
    copy = fates[1].copy
    assert copy is not None
    assert (copy.run, copy.doc_id, copy.source, copy.title) == ("2026-01-01", "a1", "a1.txt", "Title of a1")
    assert copy.found == explain.Found("", STORY, "\nIt cost 5% more than planned.")


@pytest.mark.parametrize(
    "sentence",
    [
        "share this on “friendbook”",
        'Share this on "Friendbook"',
        "SHARE  THIS\n on\u00a0«Friendbook»",
        "  this on 'Friendbook'".replace("'", "\u201d"),
    ],
)
def test_case_space_and_quotes_do_not_matter(out: Path, sentence: str) -> None:
    assert {fate.rule for fate in explain.why(out, sentence).fates} == {"share-row"}


def test_letters_of_other_scripts_are_found_in_either_case(tmp_path: Path) -> None:
    release(tmp_path, {"a": "Ο ΔΡΟΜΟΣ ΕΙΝΑΙ κλειστός. Über die Straße. Şehir."}, [])
    for sentence in ("ο δρομοσ ειναι", "ΟΣ ΕΙΝΑΙ ΚΛΕΙΣΤΌΣ"[:8], "ÜBER DIE", "şehir", "…"):
        assert bool(explain.why(tmp_path, sentence).fates) == (sentence != "…"), sentence


@pytest.mark.parametrize(
    "sentence", ["5% more", "5_ more", "50 more", "cost % than", "'; DROP TABLE documents; --", "\\"]
)
def test_signs_that_mean_something_to_sql_mean_themselves(out: Path, sentence: str) -> None:
    assert bool(explain.why(out, sentence).fates) == (sentence == "5% more")


def test_a_sentence_of_a_dropped_document_is_told_with_the_document_that_stays(out: Path) -> None:
    removed, kept = explain.why(out, "mix well").fates
    assert (removed.doc_id, removed.unit, removed.found.text) == ("b2", "document", "Mix well")
    assert removed.copy is not None and removed.copy.found is not None
    assert (removed.copy.doc_id, removed.copy.found.before) == ("b1", "A recipe for soup.\n\n\n")
    assert (kept.doc_id, kept.kept) == ("b1", True)


def test_a_sentence_that_nobody_had_is_answered_with_the_nearest_removals(out: Path) -> None:
    answer = explain.why(out, "Share this on “Friendbok”")
    assert (answer.fates, answer.nearest) == ((), ("Share this on “Friendbook”",))
    assert explain.why(out, "entirely different words").nearest == ()


def test_more_places_than_asked_for_are_mentioned(out: Path) -> None:
    assert explain.why(out, STORY, limit=2).more is True
    assert explain.why(out, STORY, limit=3).more is False


def test_one_run_can_be_asked_about(out: Path) -> None:
    assert [fate.doc_id for fate in explain.why(out, STORY, run_key="2026-01-02").fates] == ["c1"]
    with pytest.raises(ConfigError, match="--run-key 2027: no such run"):
        explain.why(out, STORY, run_key="2027")


@pytest.mark.parametrize(("name", "doc_id"), [("a1", "a1"), ("a1.txt", "a1"), ("C", "c1"), ("b2", "b2")])
def test_a_document_is_found_by_id_prefix_or_source(out: Path, name: str, doc_id: str) -> None:
    assert explain.show(out, name).doc_id == doc_id


def test_a_prefix_that_fits_several_documents_lists_them(out: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        explain.show(out, "a")
    assert raised.value.faults == ("'a' fits 2 documents; give the id of one:", "  a1  a1.txt", "  a2  a2.txt")


@pytest.mark.parametrize("name", ["zz", "", "nothing.txt", "%"])
def test_a_document_that_is_not_there_is_not_found(out: Path, name: str) -> None:
    with pytest.raises(explain.NotFoundError if name else ConfigError):
        explain.show(out, name)


def test_a_document_is_shown_with_what_was_cut_in_its_place(out: Path) -> None:
    shown = explain.show(out, "a1")
    assert shown.text == PAGES["a1"]
    assert [piece.rule for piece in shown.pieces] == ["menu", "", "share-row", ""]
    assert (shown.fields["published_at"], shown.fields["authors"]) == ("2026-01-31T09:30:00Z", ["Ann", "Bo"])


def test_a_dropped_document_is_shown_whole_with_where_its_copy_is(out: Path) -> None:
    shown = explain.show(out, "b2")
    assert (shown.dropped, shown.text) == (True, PAGES["b2"])
    assert shown.copy is not None and shown.copy.source == "b1.txt"


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=8)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(WORDS, st.sampled_from([" ", "\n", "\n\n"]), st.booleans()), min_size=1, max_size=8)
        ),
        min_size=1,
        max_size=3,
    )
)
def test_what_is_shown_is_the_repaired_text(tmp_path_factory: pytest.TempPathFactory, documents: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("property")
    pages: dict[str, str] = {}
    marks = []
    for number, (words,) in enumerate(documents):
        text = ""
        for word, gap, cut in words:
            if cut and word.strip() == word:
                marks.append(RULE | {"doc": number, "start": len(text), "end": len(text) + len(word), "rule": "r"})
            text += word + gap
        pages[f"{number:032x}"] = text
    made = assemble(frame(pages), marks_of(marks), Dropped(column_of([], "doc"), REASONED.empty_table()))
    staging = folder / "staging"
    (staging / dataset.STATE).mkdir(parents=True)
    dataset.write_part(staging, 0, "documents", [made.documents], Publish())
    dataset.write_part(staging, 0, "removals", [made.removals], Publish())
    dataset.write_part(staging, 0, "annotations", [made.annotations], Publish())
    dataset.write_part(staging, 0, "rejects", [], Publish())
    entry = {"datasets": dataset.list_parts(staging), "history": {}, "counts": {}, "release": "x"}
    dataset.release(folder, staging, "k", entry, report=folder / "none")
    for doc_id, text in pages.items():
        assert explain.show(folder, doc_id).text == text


@given(st.text(min_size=1), st.text(), st.text())
def test_a_folded_text_is_found_where_it_was(text: str, before: str, after: str) -> None:
    wanted = explain.fold(text)
    whole = f"{before} {text} {after}"
    place = explain.locate(whole, wanted) if wanted else None
    assert not wanted or (place is not None and explain.fold(whole[slice(*place)]) == wanted)


def test_runs_are_listed_with_those_that_are_stale(tmp_path: Path) -> None:
    release(tmp_path, {"a": "One."}, [], run="2026-01-02")
    release(tmp_path, {"b": "Two."}, [], run="2026-01-01")
    (tmp_path / "_work" / "2026-01-03").mkdir()
    runs, unfinished = explain.status(tmp_path)
    assert [(r.run, r.documents, r.removals, r.rejects, r.duplicates, r.stale) for r in runs] == [
        ("2026-01-01", 1, 0, 1, 0, ()),
        ("2026-01-02", 1, 0, 1, 0, ("2026-01-01",)),
    ]
    assert [(work.run, work.done) for work in unfinished] == [("2026-01-03", "")]


def test_the_last_run_that_wrote_a_document_is_the_one_shown(tmp_path: Path) -> None:
    release(tmp_path, {"a": "Share. One."}, [], run="2026-01-01")
    release(tmp_path, {"a": "Share. One."}, [("a", "Share.", {"rule": "share"})], run="2026-01-02")
    assert [piece.rule for piece in explain.show(tmp_path, "a").pieces] == ["share", ""]
    assert [piece.rule for piece in explain.show(tmp_path, "a", run_key="2026-01-01").pieces] == [""]


def test_two_runs_are_compared_by_what_they_cut(tmp_path: Path) -> None:
    cuts = {
        "before": [*CUTS, ("b1", "Mix well.", {"rule": "old"})],
        "after": [*CUTS[1:], ("a1", "It cost 5% more than planned.", {"rule": "new"})],
    }
    cuts["after"][0] = ("a1", CUTS[1][1], {"rule": "share-button"})
    for name, made in cuts.items():
        release(tmp_path / name, PAGES, made, DROPS if name == "after" else ())
    difference = explain.compare(tmp_path / "before", tmp_path / "after")
    assert difference.by_rule == (
        ("exact-document", 1, 30, 0, 0),
        ("new", 1, 29, 0, 0),
        ("old", 0, 0, 1, 9),
        ("menu", 0, 0, 1, 4),
    )
    assert difference.renamed == 1
    assert [(c.gone, c.rule, c.text) for c in difference.changes if c.unit == "line"] == [
        (True, "menu", "Menu"),
        (False, "new", "It cost 5% more than planned."),
        (True, "old", "Mix well."),
    ]


def test_a_dataset_without_runs_is_a_fault_of_use(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no released run"):
        explain.why(tmp_path, "anything")
    with pytest.raises(explain.NotFoundError, match="holds no report"):
        explain.read_metrics(tmp_path)


def test_a_dataset_with_a_missing_file_is_told_so(tmp_path: Path) -> None:
    release(tmp_path, {"a": "One."}, [])
    next((tmp_path / "documents").rglob("*.parquet")).unlink()
    with pytest.raises(explain.EtlError, match="etl verify"):
        explain.why(tmp_path, "One")
