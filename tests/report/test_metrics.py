from __future__ import annotations

import json
import random
from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl import schema
from etl.engine.local import LocalEngine
from etl.publish.assemble import REMOVALS, stacked
from etl.report import metrics, told

DEFAULTS: dict[str, Any] = {
    "source": "a.txt",
    "record": 1,
    "text": "",
    "unit": "line",
    "stage": "rules",
    "rule": "share",
    "reason": "a share button",
    "n_chars": 0,
    "n_words": 0,
    "removed_chars": 0,
    "duplicates": 0,
    "error": "BadJson",
    "message": "no JSON",
}


def table(of: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    columns = {name: [row.get(name, DEFAULTS.get(name)) for row in rows] for name in of.names}
    return pa.table({name: pa.array(values, of.field(name).type) for name, values in columns.items()}, schema=of)


def document(doc_id: str, kept: str, removed: int = 0, **fields: Any) -> dict[str, Any]:
    return {"doc_id": doc_id, "text": kept, "n_chars": len(kept), "removed_chars": removed, **fields}


def removal(doc_id: str, start: int, text: str, **fields: Any) -> dict[str, Any]:
    return {"doc_id": doc_id, "start": start, "end": start + len(text), "text": text, **fields}


def aggregates(tmp_path: Path, documents: pa.Table, removals: pa.Table, rejects: pa.Table) -> dict[str, pa.Table]:
    outputs = {name: tmp_path / f"{name}.parquet" for name in metrics.AGGREGATES}
    script = resources.files("etl.report").joinpath("metrics.sql").read_text(encoding="utf-8")
    half = len(documents) // 2  # two parts, each with all removals of its documents
    of_first = pa.array([row["doc_id"] for row in documents.slice(0, half).select(["doc_id"]).to_pylist()], pa.string())
    is_first = pc.is_in(removals["doc_id"], of_first)
    first = pl.DataFrame(removals.filter(is_first)).to_arrow().cast(REMOVALS)
    rest = stacked([some.cast(REMOVALS) for some in (removals.filter(pc.invert(is_first)), removals.slice(0, 0))])
    parts = [told.tell(documents.slice(0, half), first), told.tell(documents.slice(half), rest), told.empty()]
    views = {name: pl.concat([part[name] for part in parts]).to_arrow() for name in told.TOLD}
    LocalEngine(1).sql(script, views={**views, "rejects": rejects}, outputs=outputs, temp=tmp_path)
    return {name: pq.read_table(path) for name, path in outputs.items()}


def report(stage: str, shard: int = -1, seconds: float = 1.0, **counts: int) -> dict[str, Any]:
    return {"stage": stage, "shard": shard, "counts": counts, "seconds": seconds, "cpu_s": seconds / 2}


REPORTS = [
    report("clean", 0, lines=9),
    report("discover", files=2, settled=5),
    report("prepare", 1, 3.0, files=1, documents=2, rejects=1, chars=30, repaired=1),
    report("prepare", 0, 1.0, files=1, documents=1, rejects=1, chars=20, repaired=0),
    report("write", 0, documents=1, removals=2, dropped=1, empty=1, chars_kept=20, chars_removed=30),
]


def collected(
    tmp_path: Path, documents: Any = (), removals: Any = (), rejects: Any = (), reports: Any = REPORTS
) -> dict[str, Any]:
    tables = aggregates(
        tmp_path,
        table(schema.DOCUMENTS, list(documents)),
        table(schema.REMOVALS, list(removals)),
        table(schema.REJECTS, list(rejects)),
    )
    return metrics.collect(metrics.Facts(run_key="k", reports=reports, skip=(), earlier=["b", "a"], **tables))


def test_totals_are_the_sums_of_what_the_shards_counted(tmp_path: Path) -> None:
    totals = collected(tmp_path)["totals"]
    assert totals == {
        "files": 2,
        "files_settled": 5,
        "records_read": 5,
        "rejects": 2,
        "documents_read": 3,
        "documents_repaired": 1,
        "documents": 1,
        "documents_dropped": 2,
        "duplicates": 1,
        "empty": 1,
        "removals": 2,
        "chars_repaired": 50,
        "chars_kept": 20,
        "chars_removed": 30,
        "check_kept_plus_removed": True,
        "sites": 0,
    }


def test_a_lost_character_shows_in_the_check(tmp_path: Path) -> None:
    lost = [*REPORTS[:-1], report("write", 0, chars_kept=19, chars_removed=30)]
    assert collected(tmp_path, reports=lost)["totals"]["check_kept_plus_removed"] is False


def test_removals_are_counted_by_rule_and_unit(tmp_path: Path) -> None:
    made = collected(
        tmp_path,
        removals=[
            removal("a", 0, "Share"),
            removal("b", 0, "Share!"),
            removal("b", 9, "xx", unit="span", reason="one"),
            removal("b", 19, "yy", unit="span", reason="two"),
        ],
    )
    assert made["rules"] == [
        {"stage": "rules", "rule": "share", "unit": "line", "reason": "a share button", "n": 2, "chars": 11},
        {"stage": "rules", "rule": "share", "unit": "span", "reason": None, "n": 2, "chars": 4},
    ]
    assert made["by_stage"] == [{"stage": "rules", "n": 4, "chars": 15}]


def test_steps_are_told_in_the_order_in_which_they_decide(tmp_path: Path) -> None:
    stages = ["publish", "model", "document_dedup", "a-new-one", "metadata", "rules"]
    made = collected(tmp_path, removals=[removal("a", n, "x", stage=stage) for n, stage in enumerate(stages)])
    assert [step["stage"] for step in made["by_stage"]] == [
        "metadata",
        "rules",
        "model",
        "document_dedup",
        "publish",
        "a-new-one",
    ]
    assert [stage["stage"] for stage in made["timing"]] == ["discover", "prepare", "clean", "write"]


def test_sites_are_told_largest_first_with_how_many_there_are(tmp_path: Path) -> None:
    documents = [document(f"{n:02}", "text", 6, site=f"site{n:02}") for n in range(60)] + [
        document("x", "more", 1, site="site07")
    ]
    made = collected(tmp_path, documents)
    assert made["sites"][0] == {"site": "site07", "documents": 2, "chars_kept": 8, "chars_removed": 7}
    assert (len(made["sites"]), made["totals"]["sites"]) == (50, 60)


def test_rejects_are_counted_by_fault_with_the_first_of_them(tmp_path: Path) -> None:
    rejects = [
        {"source": "b", "record": 1, "message": "second"},
        {"source": "a", "record": 2, "message": "first"},
        {"source": "c", "error": "TooLarge", "message": "huge"},
    ]
    assert collected(tmp_path, rejects=rejects)["errors"] == [
        {"error": "BadJson", "n": 2, "message": "first", "source": "a"},
        {"error": "TooLarge", "n": 1, "message": "huge", "source": "c"},
    ]


def test_a_cluster_tells_the_document_that_stays_and_some_copies(tmp_path: Path) -> None:
    whole = {"unit": "document", "stage": "document_dedup", "rule": "near-document"}
    made = collected(
        tmp_path,
        [document("kept", "text", title="A title" * 50, source="kept.txt", duplicates=7)],
        [removal(f"copy{n}", 0, "text", score=0.9, kept_doc_id="kept", **whole) for n in range(7)]
        + [removal("other", 0, "text", score=1.0, kept_doc_id="of-an-earlier-run", **whole)],
    )
    first, second = made["clusters"]
    assert (first["n"], first["title"], first["source"], first["score_min"]) == (
        7,
        ("A title" * 50)[:200],
        "kept.txt",
        0.9,
    )
    assert [copy["doc_id"] for copy in first["copies"]] == ["copy0", "copy1", "copy2", "copy3", "copy4"]
    assert (second["n"], second["title"], second["source"]) == (1, None, None)


def test_samples_come_from_different_documents_and_show_the_text_around_the_cut(tmp_path: Path) -> None:
    # the repaired text of each: "Menu\nThe story.\nShare\nMore story."
    documents = [document(name, "The story.\nMore story.", 11) for name in "dcba"]
    removals = [cut for name in "dcba" for cut in (removal(name, 0, "Menu\n"), removal(name, 16, f"Share{name}\n"))]
    samples = collected(tmp_path, documents, removals)["samples"]
    assert [(s["doc_id"], s["text"], s["before"], s["after"]) for s in samples] == [
        ("a", "Menu\n", "", "The story.\nMore story."),
        ("a", "Sharea\n", "The story.\n", "More story."),
        ("b", "Shareb\n", "The story.\n", "More story."),
    ]


def test_a_long_sample_is_cut_off_and_its_length_told(tmp_path: Path) -> None:
    long = removal("a", 0, "ß" * 1000, unit="document", reason="why " * 100)
    (sample,) = collected(tmp_path, removals=[long])["samples"]
    assert (sample["text"], sample["chars"], sample["before"], sample["after"]) == ("ß" * 300, 1000, None, None)
    assert sample["reason"] == "why " * 75


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    documents = [document(f"d{n}", "some text", n, site=f"s{n % 7}") for n in range(40)]
    removals = [removal(f"d{n % 40}", n, f"cut {n % 9}", rule=f"r{n % 5}", kept_doc_id=f"d{n % 3}") for n in range(200)]
    rejects = [{"source": f"f{n}", "record": n, "error": f"E{n % 3}"} for n in range(20)]
    figures = json.dumps(collected(tmp_path, documents, removals, rejects), sort_keys=True)
    for rows in (documents, removals, rejects):
        random.Random(7).shuffle(rows)
    assert (
        json.dumps(collected(tmp_path, documents, removals, rejects, reports=REPORTS[::-1]), sort_keys=True) == figures
    )


def test_an_empty_run_has_figures_too(tmp_path: Path) -> None:
    made = collected(tmp_path, reports=[])
    assert made["totals"]["check_kept_plus_removed"] is True
    assert (made["rules"], made["sites"], made["clusters"], made["timing"]) == ([], [], [], [])
