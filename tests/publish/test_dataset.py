"""The release: whole runs appear and are replaced in one step, and every damage is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl import schema
from etl.config import Publish
from etl.errors import StageError
from etl.publish import dataset


def rows(kind: pa.Schema, **values: list[Any]) -> pa.Table:
    length = len(next(iter(values.values())))
    blank: dict[pa.DataType, Any] = {pa.int64(): 0, pa.large_string(): "", pa.string(): "x"}
    columns = {f.name: values.get(f.name, [None if f.nullable else blank[f.type]] * length) for f in kind}
    return pa.table(columns, schema=kind)


def stage(folder: Path, texts: list[str], *, cut: str = "gone") -> dict[str, Any]:
    """Write a run's parts below `folder`; its entry for the manifest."""
    ids = [f"{number:032x}" for number in range(len(texts))]
    documents = rows(
        schema.DOCUMENTS, doc_id=ids, text=texts, n_chars=[len(t) for t in texts], removed_chars=[len(cut)] * len(texts)
    )
    removals = rows(
        schema.REMOVALS, doc_id=ids, text=[cut] * len(ids), end=[len(cut)] * len(ids), unit=["line"] * len(ids)
    )
    dataset.write_part(folder, 0, "documents", [documents], Publish())
    dataset.write_part(folder, 0, "removals", [removals], Publish())
    dataset.write_part(folder, 0, "rejects", [], Publish())
    dataset.write_part(folder, 0, "annotations", [], Publish())
    state = folder / "_state"
    state.mkdir()
    pq.write_table(pa.table({"source": ids}), state / f"files-{len(texts)}.parquet")
    chars = sum(len(text) + len(cut) for text in texts)
    return {
        "datasets": dataset.list_parts(folder),
        "history": {},
        "counts": {"documents_read": len(ids), "chars_repaired": chars},
        "release": "r",
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def released(out: Path, texts: list[str], work: Path, key: str = "k") -> dict[str, Any]:
    entry = stage(work, texts)
    dataset.release(out, work, key, entry, report=work / "report")
    return entry


def texts_of(out: Path) -> list[str]:
    return [
        text
        for path in sorted(out.glob("documents/run=*/*.parquet"))
        for text in pq.ParquetFile(path).read()["text"].to_pylist()
    ]


def test_a_run_key_is_replaced_whole(out: Path, tmp_path: Path) -> None:
    released(out, ["one", "two"], tmp_path / "a")
    released(out, ["three"], tmp_path / "b")
    assert texts_of(out) == ["three"]
    assert dataset.verify(out) == []
    assert sorted(p.name for p in (out / "documents").iterdir()) == ["run=k"]


def test_without_an_atomic_exchange_it_works_by_two_renames(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "_exchange", lambda a, b: False)
    released(out, ["one"], tmp_path / "a")
    released(out, ["two"], tmp_path / "b")
    assert texts_of(out) == ["two"]
    assert sorted(p.name for p in (out / "documents").iterdir()) == ["run=k"]


@pytest.mark.parametrize("step", range(3))
def test_a_kill_between_any_two_renames_is_mended_by_a_repeat(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    released(out, ["old"], tmp_path / "a")
    entry = stage(tmp_path / "b", ["new", "newer"])
    place = dataset._put_in_place
    calls = []

    def dying(source: Path, target: Path) -> None:
        if len(calls) == step:
            raise KeyboardInterrupt
        calls.append(target)
        place(source, target)

    monkeypatch.setattr(dataset, "_put_in_place", dying)
    with pytest.raises(KeyboardInterrupt):
        dataset.release(out, tmp_path / "b", "k", entry, report=tmp_path / "none")
    assert texts_of(out) in (["old"], ["new", "newer"])
    monkeypatch.undo()
    dataset.release(out, tmp_path / "b", "k", entry, report=tmp_path / "none")
    assert texts_of(out) == ["new", "newer"]
    assert dataset.verify(out) == []


def test_a_staging_folder_that_lost_a_file_is_refused(out: Path, tmp_path: Path) -> None:
    entry = stage(tmp_path / "a", ["one"])
    next((tmp_path / "a" / "documents").glob("*.parquet")).unlink()
    with pytest.raises(StageError, match="doesn't hold the files"):
        dataset.release(out, tmp_path / "a", "k", entry, report=tmp_path / "none")
    assert not (out / "_manifest.json").exists()


def test_files_that_were_hashed_when_they_were_written_are_not_hashed_again(tmp_path: Path) -> None:
    stage(tmp_path, ["a", "b"])
    hashed = dataset.list_parts(tmp_path)
    (part,) = hashed["documents"]["files"]
    told = dataset.list_parts(tmp_path, {part["name"]: "as written"})
    assert told["documents"]["files"] == [{**part, "sha256": "as written"}]
    assert told["removals"] == hashed["removals"]


def test_verify_names_each_kind_of_damage(out: Path, tmp_path: Path) -> None:
    released(out, ["one", "two"], tmp_path / "a")
    part = next((out / "documents" / "run=k").glob("*.parquet"))
    whole = part.read_bytes()
    part.write_bytes(whole[:-20] + b"x" * 20)
    assert any("its sha256 differs" in fault for fault in dataset.verify(out))
    part.unlink()
    assert any("is missing" in fault for fault in dataset.verify(out))
    part.write_bytes(whole)
    (out / "removals" / "run=k" / "extra.parquet").write_bytes(b"")
    assert dataset.verify(out) == ["removals/run=k/extra.parquet is not in the manifest"]
    (out / "removals" / "run=k" / "extra.parquet").unlink()
    (out / "documents" / "run=other").mkdir()
    assert dataset.verify(out) == ["documents/run=other is not in the manifest"]


@pytest.mark.parametrize(
    ("field", "word"), [("documents_read", "documents were read"), ("chars_repaired", "characters were repaired")]
)
def test_verify_finds_what_was_lost(out: Path, tmp_path: Path, field: str, word: str) -> None:
    entry = stage(tmp_path / "a", ["one"])
    entry["counts"][field] += 1
    dataset.release(out, tmp_path / "a", "k", entry, report=tmp_path / "none")
    assert any(word in fault for fault in dataset.verify(out))


def test_an_empty_folder_holds_no_run(out: Path) -> None:
    assert dataset.verify(out) == [f"{out} holds no released run"]


def test_parts_carry_their_hash_small_row_groups_and_descriptions(tmp_path: Path) -> None:
    texts = ["word " * 4000] * 50
    table = rows(schema.DOCUMENTS, doc_id=[f"{n:032x}" for n in range(50)], text=texts)
    part = dataset.write_part(tmp_path, 3, "documents", [table], Publish(row_group_bytes=2**18))
    path = tmp_path / "documents" / part.name
    meta = pq.read_metadata(path)
    assert part.name == f"part-00003-{part.sha256[:16]}.parquet"
    assert meta.num_rows == part.rows == 50
    assert meta.num_row_groups > 1
    assert meta.row_group(0).column(0).compression == "ZSTD"
    read_schema = pq.read_schema(path)
    assert all(b"description" in f.metadata for f in read_schema)
    assert read_schema.metadata[b"schema_version"] == schema.SCHEMA_VERSION.encode()


def test_a_part_of_rows_with_dictionaries_reads_as_one_without(tmp_path: Path) -> None:
    sources = ["a.jsonl", "b.jsonl", "a.jsonl"]
    plain = rows(schema.REMOVALS, doc_id=["x", "y", "z"], source=sources, source_id=[None, "1", None], text=["t"] * 3)
    coded = plain.set_column(1, "source", plain["source"].dictionary_encode())
    coded = coded.set_column(2, "source_id", coded["source_id"].dictionary_encode())
    parts = [dataset.write_part(tmp_path, n, "removals", [table], Publish()) for n, table in enumerate((plain, coded))]
    one, other = (pq.ParquetFile(tmp_path / "removals" / part.name).read() for part in parts)
    assert other.schema.equals(one.schema, check_metadata=True)
    assert other.equals(one)


def test_a_repeated_part_replaces_what_an_earlier_try_left(tmp_path: Path) -> None:
    one = rows(schema.DOCUMENTS, doc_id=["a"], text=["a"])
    two = rows(schema.DOCUMENTS, doc_id=["b"], text=["b"])
    dataset.write_part(tmp_path, 0, "documents", [one], Publish())
    dataset.write_part(tmp_path, 0, "documents", [two], Publish())
    assert len(list((tmp_path / "documents").iterdir())) == 1


def test_the_manifest_is_json_with_runs_in_order(out: Path, tmp_path: Path) -> None:
    released(out, ["b"], tmp_path / "b", "2026-01-02")
    released(out, ["a"], tmp_path / "a", "2026-01-01")
    manifest = json.loads((out / "_manifest.json").read_text())
    assert list(manifest["runs"]) == ["2026-01-01", "2026-01-02"]
    assert manifest["schema_version"] == schema.SCHEMA_VERSION
