from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.ingest.formats import EXTENSIONS, READERS, Limits, extension_format, format_of, read_batches
from etl.schema import RAW

TEXT = "Ein Satz über die Straße, und noch einer.\nEine zweite Zeile."
PARAGRAPH = "The committee met on Tuesday and agreed on a budget for the coming year, a spokesman said. " * 4
HTML = f"<!DOCTYPE html><html><head><title>Budget agreed</title></head><body><article><p>{PARAGRAPH}</p></article></body></html>"


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def warc(body: str) -> bytes:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + body.encode()
    head = (
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:1>\r\nWARC-Date: 2024-01-02T03:04:05Z\r\n"
        b"WARC-Target-URI: http://news.example/1\r\nContent-Type: application/http; msgtype=response\r\n"
    )
    return head + b"Content-Length: %d\r\n\r\n" % len(http) + http + b"\r\n\r\n"


FILES: dict[str, bytes] = {
    "text": TEXT.encode(),
    "html": HTML.encode(),
    "jsonl": b'{"text": "%b"}\n' % PARAGRAPH.encode() * 2,
    "csv": f'title,text\nA,"{PARAGRAPH}"\nB,"{PARAGRAPH}"\n'.encode(),
    "parquet": parquet([{"text": PARAGRAPH}, {"text": PARAGRAPH}]),
    "warc": warc(HTML),
}
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda b: b,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_every_format_is_read_in_every_compression(read: Any, extension: str, compression: str) -> None:
    kind = EXTENSIONS[extension]
    rows, rejects = read(COMPRESS[compression](FILES[kind]), f"sub/file{extension}{compression}")
    assert not rejects
    assert len(rows) == (2 if kind in ("jsonl", "csv", "parquet") else 1)
    assert {r["source"] for r in rows} == {f"sub/file{extension}{compression}"}
    assert [r["record"] for r in rows] == list(range(1, len(rows) + 1))
    assert all(r["text"].strip() for r in rows)
    assert all(re.fullmatch("[0-9a-f]{32}", r["doc_id"]) for r in rows)


@pytest.mark.parametrize("name", ["page", "page.dat", "page.jsonl", "page.csv", "page.warc.gz"])
@pytest.mark.parametrize("kind", ["html", "jsonl", "parquet", "warc"])
def test_content_wins_when_the_extension_lies(read: Any, name: str, kind: str) -> None:
    expected, _ = read(
        FILES[kind], "page." + {"html": "html", "jsonl": "jsonl", "parquet": "parquet", "warc": "warc"}[kind]
    )
    rows, rejects = read(FILES[kind], name)
    assert not rejects
    assert [r["text"] for r in rows] == [r["text"] for r in expected]


def test_compression_is_told_from_the_bytes_not_the_name(read: Any) -> None:
    rows, _ = read(gzip.compress(FILES["jsonl"]), "plain.jsonl")
    assert len(rows) == 2
    rows, _ = read(FILES["jsonl"], "not-really.jsonl.gz")
    assert len(rows) == 2


def test_html_in_a_text_file_stays_text_and_json_lines_do_not(read: Any) -> None:
    rows, _ = read(FILES["html"], "page.txt")
    assert rows[0]["text"] == HTML
    rows, _ = read(FILES["jsonl"], "records.txt")
    assert len(rows) == 2
    rows, _ = read(b"{braces} are no JSON", "note.txt")
    assert rows[0]["text"] == "{braces} are no JSON"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "EmptyRecord"),
        (b" \n\t \xe2\x80\x8b \n", "EmptyRecord"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "UnknownFormat"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "UnknownFormat"),
        (b"PK\x03\x04" + b"\x14\0\0\0\x08\0" * 40, "UnknownFormat"),
        (bytes(range(256)) * 20, "UnknownFormat"),
        (b"PAR1 and then nothing that is Parquet PAR1", "BadParquet"),
        (b"\x1f\x8b\x08\0\0\0\0\0 not gzip at all", "BadCompression"),
    ],
)
def test_what_is_not_text_is_one_reject_with_a_remedy(read: Any, data: bytes, error: str) -> None:
    rows, rejects = read(data, "file.txt")
    assert not rows
    assert [(r.source, r.record, r.error) for r in rejects] == [("file.txt", None, error)]
    assert ";" in rejects[0].message


def test_an_image_named_jsonl_is_one_reject_not_one_a_line(read: Any) -> None:
    rows, rejects = read(b"\x89PNG\r\n" + b"\0\x01\x02\n" * 1000, "a.jsonl")
    assert (len(rows), len(rejects)) == (0, 1)


def test_a_text_above_the_limit_is_refused_without_being_read_whole() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            Endless.given += size
            return b"word " * (size // 5 + 1)

    [(table, rejects)] = read_batches(
        Endless(), source="endless.txt", size=1 << 40, limits=Limits(max_record_bytes=1 << 20)
    )
    assert table.num_rows == 0
    assert rejects[0].error == "TooLarge"
    assert Endless.given < 8 << 20


def test_batches_hold_about_as_many_characters_as_asked_for(read: Any) -> None:
    data = b'{"text": "%s"}\n' % (b"x" * 1000) * 100
    tables = [
        t
        for t, _ in read_batches(
            io.BytesIO(data), source="a.jsonl", size=len(data), limits=Limits(), batch_chars=10_000
        )
    ]
    assert [t.num_rows for t in tables] == [10] * 10
    assert all(t.schema.equals(RAW) for t in tables)


def test_a_doc_id_depends_on_source_record_and_content_only(read: Any) -> None:
    def ids(data: bytes, name: str) -> list[str]:
        return [r["doc_id"] for r in read(data, name)[0]]

    data = FILES["jsonl"]
    assert ids(data, "a.jsonl") == ids(data, "a.jsonl")
    assert ids(gzip.compress(data), "a.jsonl") == ids(data, "a.jsonl")
    assert len(set(ids(data, "a.jsonl") + ids(data, "b.jsonl"))) == 4  # two equal records, two sources
    for kind in ("csv", "parquet", "text", "html", "warc"):
        assert ids(FILES[kind], f"x.{kind}") == ids(FILES[kind], f"x.{kind}")


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=400), st.sampled_from([f"f{e}{c}" for e in EXTENSIONS for c in ("", ".gz")]))
def test_no_bytes_under_any_name_raise(data: bytes, name: str) -> None:
    for table, _ in read_batches(
        io.BytesIO(data), source=name, size=len(data), limits=Limits(max_record_bytes=1 << 16)
    ):
        assert table.schema.equals(RAW)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(FILES)), st.sampled_from(sorted(COMPRESS)), st.data())
def test_no_damage_to_a_file_raises(kind: str, compression: str, data: st.DataObject) -> None:
    good = COMPRESS[compression](FILES[kind])
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + data.draw(st.binary(max_size=8)) + good[at + data.draw(st.integers(0, 8)) :]
    name = "x" + next(e for e, k in EXTENSIONS.items() if k == kind) + compression
    for table, _ in read_batches(io.BytesIO(bad), source=name, size=len(bad), limits=Limits(max_record_bytes=1 << 20)):
        assert table.schema.equals(RAW)


def test_tables_of_formats_agree() -> None:
    assert set(EXTENSIONS.values()) == set(READERS)
    assert extension_format("a/b.HTML.gz") == "html"
    assert extension_format("archive.gz") is None
    assert extension_format("v1.2.txt") == "text"
    assert format_of("x.warc.gz", b"just a note") == "text"
    assert format_of("x.parquet", b"just a note") is None
