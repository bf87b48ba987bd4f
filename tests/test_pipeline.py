"""The whole road: nothing lost, everything explained, the same run twice gives the same bytes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import polars as pl
import pytest

from etl import pipeline, stages
from etl.engine.local import LocalEngine
from etl.errors import ConfigError, HeldError, StageError
from etl.publish import dataset
from etl.storage import read_batch_file
from tests.conftest import PAGES, Runner, files_of, read, record, story, write_jsonl


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Forty stories in five files: exact copies, a repeated sentence, bad records, a text file."""
    folder = tmp_path / "raw"
    records = [record(n) for n in range(40)]
    records[11]["text"] = records[1]["text"].replace("Share this article on Facebook", "Leave a comment")
    records[12]["text"] = records[12]["text"].replace(story(12)[4], f"{story(2)[3]}\n{story(12)[4]}")
    for number in range(4):
        lines: list[object] = list(records[number * 10 : number * 10 + 10])
        if number == 2:
            lines[4:4] = ['{"id": "broken", "text": ', "[1, 2]", '{"id": "no text"}']
        write_jsonl(folder / f"day{number}.jsonl", lines)  # type: ignore[arg-type]
    (folder / "plain.txt").write_text("A plain page\n\n" + "\n\n".join(story(77)), encoding="utf-8")
    return folder


def rebuilt(out: Path) -> dict[str, str]:
    """The repaired text of every document, from what was published: kept and removed put together."""
    removed = defaultdict(list)
    for row in read(out, "removals").to_pylist():
        removed[row["doc_id"]].append((row["start"], row["end"], row["text"]))
    kept = {row["doc_id"]: row["text"] for row in read(out, "documents").to_pylist()}
    texts = {}
    for doc_id in kept.keys() | removed.keys():
        text, rest = "", kept.get(doc_id, "")
        for start, end, piece in sorted(removed[doc_id]):
            text, rest = text + rest[: start - len(text)], rest[start - len(text) :]
            assert len(text) == start and len(piece) == end - start
            text += piece
        texts[doc_id] = text + rest
    return texts


def test_kept_and_removed_are_the_whole_repaired_text(corpus: Path, tmp_path: Path, run: Runner) -> None:
    out = tmp_path / "out"
    run(corpus, out)
    plain = tmp_path / "plain"
    run(corpus, plain, skip=["boilerplate", "sentence_dedup", "document_dedup"])
    repaired = {row["doc_id"]: row["text"] for row in read(plain, "documents").to_pylist()}
    assert rebuilt(out) == repaired
    assert dataset.verify(out) == []


def test_each_record_is_a_document_a_dropped_document_or_a_reject(corpus: Path, tmp_path: Path, run: Runner) -> None:
    out = tmp_path / "out"
    run(corpus, out)
    documents, removals, rejects = (read(out, name).to_pylist() for name in ("documents", "removals", "rejects"))
    dropped = [row for row in removals if row["unit"] == "document"]
    assert len(documents) + len(dropped) == 41
    assert len(rejects) == 3
    assert {row["source"] for row in rejects} == {"day2.jsonl"}
    assert [row["record"] for row in rejects] == [5, 6, 7]
    assert all(row["error"] and row["message"] for row in rejects)


def test_a_copy_goes_whole_and_names_the_one_that_stays(corpus: Path, tmp_path: Path, run: Runner) -> None:
    out = tmp_path / "out"
    run(corpus, out)
    documents = {row["source_id"]: row for row in read(out, "documents").to_pylist()}
    dropped = [row for row in read(out, "removals").to_pylist() if row["unit"] == "document"]
    assert [row["source_id"] for row in dropped] == ["r11"]
    assert dropped[0]["kept_doc_id"] == documents["r1"]["doc_id"]
    assert documents["r1"]["duplicates"] == 1
    assert "r11" not in documents


def test_a_repeated_sentence_stays_once(corpus: Path, tmp_path: Path, run: Runner) -> None:
    out = tmp_path / "out"
    run(corpus, out)
    documents = {row["source_id"]: row for row in read(out, "documents").to_pylist()}
    sentence = story(2)[3]
    assert sentence in documents["r2"]["text"]
    assert sentence not in documents["r12"]["text"]
    row = next(r for r in read(out, "removals").to_pylist() if r["unit"] == "sentence" and r["source_id"] == "r12")
    assert row["kept_doc_id"] == documents["r2"]["doc_id"]
    assert row["text"].strip() == sentence


def test_every_removal_says_why(corpus: Path, tmp_path: Path, run: Runner) -> None:
    out = tmp_path / "out"
    run(corpus, out)
    for row in read(out, "removals").to_pylist():
        assert row["stage"] and row["rule"] and row["reason"]
        assert row["unit"] in {"span", "line", "sentence", "document"}
        assert (row["kept_doc_id"] is not None) == (row["stage"] in {"sentence_dedup", "document_dedup"})


def test_the_same_key_twice_gives_the_same_bytes(corpus: Path, tmp_path: Path, run: Runner) -> None:
    out = tmp_path / "out"
    run(corpus, out)
    first = files_of(out, "documents", "removals", "rejects", "_state")
    manifest = (out / "_manifest.json").read_bytes()
    run(corpus, out)
    assert files_of(out, "documents", "removals", "rejects", "_state") == first
    assert (out / "_manifest.json").read_bytes() == manifest
    assert not list((out / "_work").iterdir())


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_input_order_shard_size_and_workers_change_nothing(
    corpus: Path, tmp_path: Path, run: Runner, workers: int
) -> None:
    run(corpus, tmp_path / "a")
    inputs = sorted(corpus.iterdir())
    random.Random(4).shuffle(inputs)
    small = {"ingest.shard_bytes": "5000", "ingest.batch_chars": "3000"}
    done = run(inputs, tmp_path / "b", workers=workers, overrides=small)
    assert len(done.plan.shards) > 1
    for name in ("documents", "removals", "rejects"):
        assert read(tmp_path / "b", name).to_pylist() == read(tmp_path / "a", name).to_pylist()


def test_a_later_run_sees_the_earlier_one_and_not_itself(corpus: Path, tmp_path: Path, run: Runner) -> None:
    out = tmp_path / "out"
    run(corpus / "day0.jsonl", out, key="2026-01-01")
    again = write_jsonl(tmp_path / "next" / "again.jsonl", [record(3, id="again", date="2020-01-01"), record(90)])
    for _ in range(2):
        run(again, out, key="2026-01-02")
        assert {row["source_id"] for row in read(out, "documents").to_pylist()} == {f"r{n}" for n in range(10)} | {
            "r90"
        }
    dropped = [row for row in read(out, "removals").to_pylist() if row["unit"] == "document"]
    kept = {row["doc_id"]: row["source_id"] for row in read(out, "documents").to_pylist()}
    assert [kept[row["kept_doc_id"]] for row in dropped] == ["r3"], "the earlier run's copy stays, whatever its date"


def test_a_file_is_settled_by_its_content_in_the_run_that_took_it(corpus: Path, tmp_path: Path, run: Runner) -> None:
    out = tmp_path / "out"
    run(corpus, out, key="2026-01-01")
    before = files_of(out, "documents")
    nothing = run(corpus, out, key="2026-01-02")
    assert nothing.stages == () and nothing.plan.settled == 5
    assert files_of(out, "documents") == before
    write_jsonl(corpus / "day0.jsonl", [record(50)])
    changed = run(corpus, out, key="2026-01-02")
    assert list(changed.plan.files) == ["day0.jsonl"]


def test_a_backfill_makes_later_keys_stale(corpus: Path, tmp_path: Path, run: Runner) -> None:
    from etl.history import History

    out = tmp_path / "out"
    run(corpus / "day1.jsonl", out, key="2026-01-05")
    later = files_of(out, "documents")
    run(corpus / "day0.jsonl", out, key="2026-01-02")
    assert {name: data for name, data in files_of(out, "documents").items() if "01-05" in name} == later
    assert History(out, dataset.read_manifest(out)["runs"]).stale() == {"2026-01-05": ["2026-01-02"]}


def test_a_failed_shard_publishes_nothing_and_is_named(
    corpus: Path, tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    broken = pipeline.STAGES[0]

    def fail(work: str, shard: int) -> stages.StageReport:
        if shard == 1:
            raise OSError("disk is gone")
        return stages.prepare(work, shard)

    changed = (pipeline.Stage("prepare", broken.about, per_shard=fail), *pipeline.STAGES[1:])
    monkeypatch.setattr(pipeline, "STAGES", changed)
    with pytest.raises(
        StageError, match=r"prepare failed in 1 of \d+ shards; nothing was published\nshard 1 .*disk is gone"
    ):
        run(corpus, out, overrides={"ingest.shard_bytes": "5000"})
    assert not (out / "documents").exists()
    monkeypatch.undo()
    run(corpus, out)
    run(corpus, tmp_path / "clean")
    assert files_of(out, "documents", "removals") == files_of(tmp_path / "clean", "documents", "removals")


def test_lines_are_looked_up_alike_with_the_keys_that_were_kept_and_without(tmp_path: Path) -> None:
    raw = write_jsonl(tmp_path / "a.jsonl", [record(number) for number in range(24)])
    plan = stages.discover([raw], tmp_path / "out", run_key="2026-01-01", overrides={"ingest.batch_chars": "1000"})
    work = str(plan.work)
    stages.prepare(work, 0)
    with LocalEngine(1) as engine:
        stages.count_templates(work, engine)
    keys = plan.shard_file("line_keys", 0, "arrow")
    assert sum(table.num_rows for table in read_batch_file(keys)) > 0
    made = []
    for _ in range(2):
        stages.clean(work, 0)
        assert not keys.exists()
        made.append(
            [table for name in ("marks", "found") for table in read_batch_file(plan.shard_file(name, 0, "arrow"))]
        )
    assert any("templates" in table["stage"].to_pylist() for table in made[0] if "stage" in table.column_names)
    assert made[0] == made[1]


def test_stages_can_be_repeated_after_the_repaired_documents_went(corpus: Path, tmp_path: Path) -> None:
    plan = stages.discover([corpus], tmp_path / "out", run_key="2026-01-01", overrides={"ingest.shard_bytes": "5000"})
    work, shards = str(plan.work), range(len(plan.shards))

    def finish(engine: LocalEngine) -> dict[str, bytes]:
        stages.find_duplicates(work, engine)
        for shard in shards:
            stages.write(work, shard)
        return files_of(plan.work / "release", "documents", "removals")

    with LocalEngine(1) as engine:
        for shard in shards:
            stages.prepare(work, shard)
        stages.count_templates(work, engine)
        for shard in shards:
            stages.clean(work, shard)
        first = finish(engine)
        assert not list((plan.work / "docs").iterdir())
        assert finish(engine) == first
        stages.clean(work, 1)
        assert finish(engine) == first
        listed = []
        for damage in (None, "", "{"):  # hashes that were kept as parts were written are no more than a short cut
            if damage is not None:
                (plan.work / "digests" / "00000.json").write_text(damage, encoding="utf-8")
                (plan.work / "digests" / "00001.json").unlink(missing_ok=True)
            stages.report(work, engine)
            listed.append(json.loads((plan.work / stages.ENTRY).read_text(encoding="utf-8"))["datasets"])
        assert listed[0]["documents"]["rows"] > 0
        assert listed[1:] == listed[:1] * 2
        changed = plan.files[plan.shards[1][0]][0]
        Path(changed).write_text("another page", encoding="utf-8")
        stages.write(work, 0)
        with pytest.raises(StageError, match=f"{Path(changed).name} must be read again"):
            stages.write(work, 1)


@pytest.mark.slow
def test_a_kill_at_any_instant_leaves_the_old_release_and_the_next_try_is_whole(
    corpus: Path, tmp_path: Path, run: Runner
) -> None:
    out = tmp_path / "out"
    run(corpus / "day0.jsonl", out)
    old = files_of(out, "documents", "removals")
    run(corpus, tmp_path / "clean")
    new = files_of(tmp_path / "clean", "documents", "removals")
    command = [
        sys.executable,
        "-c",
        "from etl.cli import main; main()",
        "run",
        str(corpus),
        "--out",
        str(out),
        "--run-key",
        "2026-01-01",
        "--workers",
        "1",
    ]
    for delay in (0.4, 1.0, 1.6, 2.2, 2.8):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert files_of(out, "documents", "removals") in (old, new)
    run(corpus, out)
    assert files_of(out, "documents", "removals") == new
    assert dataset.verify(out) == []


def test_a_held_gate_publishes_nothing(corpus: Path, tmp_path: Path, run: Runner) -> None:
    out = tmp_path / "out"
    with pytest.raises(HeldError, match="min_documents"):
        run(corpus, out, overrides={"gate.min_documents": "1000"})
    assert not (out / "documents").exists()


def test_a_held_run_is_released_as_it_is_when_somebody_approves_it(corpus: Path, tmp_path: Path, run: Runner) -> None:
    out, straight = tmp_path / "out", tmp_path / "straight"
    limit = {"gate.min_documents": "1000"}
    told = {"run_key": "2026-01-01", "by": "ann", "at": "2026-01-02T08:00:00+00:00", "note": "a small site"}
    with LocalEngine(1) as engine, pytest.raises(ConfigError, match="not held"):
        pipeline.approve(out, engine=engine, **told)
    with pytest.raises(HeldError):
        run(corpus, out, overrides=limit)
    page = (out / "_work" / "2026-01-01" / "report" / "index.html").read_text("utf-8")
    assert "Held: nothing of this run is released yet" in page and "etl approve" in page
    with LocalEngine(1) as engine:
        done = pipeline.approve(out, engine=engine, **told)
    assert [report.stage for report in done.stages] == ["gate", "release", "settle"]
    run(corpus, straight)
    assert files_of(out, "documents", "removals") == files_of(straight, "documents", "removals")
    page = (out / "_reports" / "2026-01-01" / "index.html").read_text("utf-8")
    assert "Approved by ann" in page and "a small site" in page and "Held" not in page


def test_an_approval_counts_for_the_output_that_was_looked_at_only(corpus: Path, tmp_path: Path, run: Runner) -> None:
    out = tmp_path / "out"
    limit = {"gate.min_documents": "1000"}
    with pytest.raises(HeldError):
        run(corpus, out, overrides=limit)
    work = stages.work_folder(out, "2026-01-01")
    with pytest.raises(ConfigError, match="has changed since"):
        stages.approve(work, by="ann", at="now", release="0" * 16)
    stages.approve(work, by="ann", at="now")
    with pytest.raises(HeldError):
        run(corpus / "day1.jsonl", out, overrides=limit)
    assert not (out / "documents").exists()


def test_after_so_many_failed_shards_the_others_are_left_untried(
    corpus: Path, tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def fail(work: str, shard: int) -> stages.StageReport:
        tried.append(shard)
        raise OSError("disk is gone")

    broken = pipeline.Stage("prepare", "", per_shard=fail)
    monkeypatch.setattr(pipeline, "STAGES", (broken, *pipeline.STAGES[1:]))
    small = {"ingest.shard_bytes": "1", "limits.max_failed_shards": "1"}
    with pytest.raises(StageError, match=r"prepare failed in 2 of 5 shards(?s:.*)left untried"):
        run(corpus, tmp_path / "out", overrides=small)
    assert tried == [0, 1]

    work = str(stages.work_folder(tmp_path / "out", "2026-01-01"))
    for shard in (0, 1):
        with pytest.raises(OSError, match="disk is gone"):
            pipeline.run_shard("prepare", work, shard)
    monkeypatch.undo()
    with pytest.raises(StageError, match="2 shards of prepare failed"):
        pipeline.run_shard("prepare", work, 2)
    for shard in (0, 1, 2):  # those that failed may be tried again, and then the others too
        pipeline.run_shard("prepare", work, shard)


def test_bad_configuration_stops_before_any_work_with_every_fault(corpus: Path, tmp_path: Path, run: Runner) -> None:
    with pytest.raises(ConfigError) as told:
        run(
            corpus,
            tmp_path / "out",
            overrides={"ingest.batch_chars": "-1", "sentence_dedup.scope": "planet", "colour": "red"},
        )
    assert len(told.value.faults) == 3
    assert not (tmp_path / "out" / "_work").exists()


def test_missing_inputs_are_all_named(tmp_path: Path, run: Runner) -> None:
    with pytest.raises(ConfigError) as told:
        run([tmp_path / "one", tmp_path / "two"], tmp_path / "out")
    assert len(told.value.faults) == 2


def test_two_runs_at_once_are_refused(corpus: Path, tmp_path: Path, run: Runner) -> None:
    from etl.storage import lock

    with lock(tmp_path / "out"), pytest.raises(StageError, match="another run"):
        run(corpus, tmp_path / "out")


def test_an_empty_folder_gives_an_empty_dataset_that_can_be_read(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "raw").mkdir()
    run(tmp_path / "raw", tmp_path / "out")
    assert read(tmp_path / "out", "documents").num_rows == 0
    assert dataset.verify(tmp_path / "out") == []


@pytest.mark.parametrize("step", ["repair", "boilerplate", "sentence_dedup", "document_dedup"])
def test_a_skipped_step_removes_nothing(corpus: Path, tmp_path: Path, run: Runner, step: str) -> None:
    run(corpus, tmp_path / "out", skip=[step])
    taken = {row["stage"] for row in read(tmp_path / "out", "removals").to_pylist()}
    by_step = {
        "boilerplate": {"metadata", "rules", "captions", "templates", "model"},
        "sentence_dedup": {"sentence_dedup"},
        "document_dedup": {"document_dedup"},
    }
    assert not taken & by_step.get(step, set())
    if step == "boilerplate":
        assert taken


def test_a_page_without_anything_but_furniture_goes_whole_with_its_reason(tmp_path: Path, run: Runner) -> None:
    furniture = "Share on Facebook\nShare on Twitter\nLeave a comment"
    raw = write_jsonl(tmp_path / "raw.jsonl", [{"id": "empty", "text": furniture}, record(1)])
    run(raw, tmp_path / "out")
    rows = [row for row in read(tmp_path / "out", "removals").to_pylist() if row["source_id"] == "empty"]
    assert [(row["unit"], row["rule"], row["text"]) for row in rows] == [("document", "nothing-left", furniture)]
    assert dataset.verify(tmp_path / "out") == []


def test_the_sample_pages_come_out_as_labelled(tmp_path: Path, run: Runner) -> None:
    run(PAGES, tmp_path / "out")
    documents = {row["source"]: row for row in read(tmp_path / "out", "documents").to_pylist()}
    for gold in json.loads((PAGES.parent / "news_gold.json").read_text(encoding="utf-8")):
        document = documents[gold["file"]]
        kept = document["text"].split("\n")
        raw = (PAGES / gold["file"]).read_text(encoding="utf-8").split("\n")
        wanted = [line for line in gold["lines"] if line["label"] == "keep"]
        for line in wanted:
            text = raw[line["line"] - 1].strip().removeprefix(line.get("strip_prefix", "").strip()).strip()
            assert text in document["text"], (gold["file"], line)
        for line in gold["lines"]:
            if line["label"] == "remove":
                text = raw[line["line"] - 1].strip()
                assert kept.count(text) <= sum(raw[w["line"] - 1].strip() == text for w in wanted), (gold["file"], line)
        assert document["title"] == gold["title"]
        assert sorted(document["authors"] or []) == sorted(gold["authors"])
        assert gold["site"] is None or document["site"] == gold["site"]
        assert gold["date"] is None or str(document["published_at"]).startswith(gold["date"])


def test_pandas_polars_duckdb_and_pyarrow_read_the_output(corpus: Path, tmp_path: Path, run: Runner) -> None:
    import duckdb
    import pandas as pd
    import pyarrow.dataset as ds

    out = tmp_path / "out"
    run(corpus, out)
    pattern = str(out / "documents" / "*" / "*.parquet")
    expected = sorted(read(out, "documents")["text"].to_pylist())
    assert sorted(pd.read_parquet(out / "documents")["text"]) == expected
    assert sorted(pl.read_parquet(pattern, hive_partitioning=True)["text"].to_list()) == expected
    assert (
        sorted(
            row[0]
            for row in duckdb.sql(f"SELECT text FROM read_parquet('{pattern}', hive_partitioning=true)").fetchall()
        )
        == expected
    )
    table = ds.dataset(str(out / "documents"), format="parquet", partitioning="hive").to_table()
    assert sorted(table["text"].to_pylist()) == expected
    assert table.schema.field("n_chars").metadata[b"unit"] == b"code points"
