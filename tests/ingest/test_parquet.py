from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from etl.ingest.formats import Limits


def written(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def test_columns_are_mapped_whatever_their_types(read: Any) -> None:
    table = pa.table(
        {
            "content": pa.array(["one", "two"], pa.large_string()).dictionary_encode(),
            "id": pa.array([1, 2], pa.int32()),
            "date": pa.array([datetime(2024, 1, 2, 3), None], pa.timestamp("ns")),
            "authors": pa.array([["Jane Doe", "John Roe"], None]),
            "unused": pa.array([b"x", b"y"]),
        }
    )
    rows, rejects = read(written(table), "a.parquet")
    assert not rejects
    assert [(r["text"], r["source_id"], r["authors"]) for r in rows] == [
        ("one", "1", ["Jane Doe", "John Roe"]),
        ("two", "2", None),
    ]
    assert rows[0]["published_at"] == datetime(2024, 1, 2, 3, tzinfo=UTC)


def test_rows_without_text_cost_one_reject_each(read: Any) -> None:
    rows, rejects = read(written(pa.table({"text": ["a", None, " ", "b"]})), "a.parquet")
    assert [r["record"] for r in rows] == [1, 4]
    assert [(r.record, r.error) for r in rejects] == [(2, "NoText"), (3, "EmptyRecord")]


def test_bytes_are_decoded_and_large_rows_refused(read: Any) -> None:
    table = pa.table({"text": pa.array(["Grüße, Müller, Straße, Größe".encode("cp1252"), b"x" * 5000])})
    rows, rejects = read(written(table), "a.parquet", limits=Limits(max_record_bytes=4000))
    assert rows[0]["text"] == "Grüße, Müller, Straße, Größe"
    assert [(r.record, r.error) for r in rejects] == [(2, "TooLarge")]


def test_a_damaged_row_group_costs_itself_only(read: Any) -> None:
    data = bytearray(
        written(
            pa.table({"text": [f"row {i} " * 50 for i in range(30)]}),
            row_group_size=10,
            compression="none",
            use_dictionary=False,
        )
    )
    metadata = pq.ParquetFile(io.BytesIO(bytes(data))).metadata
    at = metadata.row_group(1).column(0).data_page_offset
    data[at : at + 40] = b"\xff" * 40
    rows, rejects = read(bytes(data), "a.parquet")
    assert [r["record"] for r in rows] == [*range(1, 11), *range(21, 31)]
    assert [(r.record, r.error) for r in rejects] == [(11, "BadParquet")]


def test_a_compressed_file_goes_through_memory_up_to_a_limit(read: Any) -> None:
    data = written(pa.table({"text": ["a" * 5000]}), compression="none", use_dictionary=False)
    rows, _ = read(gzip.compress(data), "a.parquet.gz")
    assert len(rows) == 1
    rows, rejects = read(gzip.compress(data), "a.parquet.gz", limits=Limits(max_record_bytes=300))
    assert (rows, [r.error for r in rejects]) == ([], ["TooLarge"])
    rows, rejects = read(data, "a.parquet", limits=Limits(max_record_bytes=300))
    assert [r.record for r in rejects] == [1]  # the row, not the file


def test_a_file_without_a_text_column_is_refused(read: Any) -> None:
    rows, rejects = read(written(pa.table({"x": [1]})), "a.parquet")
    assert (rows, [(r.record, r.error) for r in rejects]) == ([], [(None, "NoText")])


def test_identity_does_not_depend_on_row_groups_or_compression(read: Any) -> None:
    table = pa.table({"text": [f"row {i}" for i in range(20)]})
    first = [r["doc_id"] for r in read(written(table), "a.parquet")[0]]
    second = [r["doc_id"] for r in read(written(table, row_group_size=3, compression="zstd"), "a.parquet")[0]]
    assert first == second
    assert len(set(first)) == 20
