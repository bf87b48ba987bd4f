from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest

from etl.ingest.formats import Limits

SENTENCE = "The committee met on Tuesday and agreed on budget number {}, a spokesman said. "


def page(number: int) -> bytes:
    return f"<html><head><title>Budget {number}</title></head><body><article><p>{SENTENCE.format(number) * 5}</p></article></body></html>".encode()


def record(
    number: int,
    body: bytes,
    *,
    kind: str = "response",
    http: str = "Content-Type: text/html; charset=utf-8",
    status: int = 200,
    length: int | None = None,
) -> bytes:
    block = body if kind != "response" else f"HTTP/1.1 {status} X\r\n{http}\r\n\r\n".encode() + body
    mime = (
        "text/plain"
        if kind == "conversion"
        else http.partition(": ")[2]
        if kind == "resource"
        else "application/http; msgtype=response"
    )
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{number}>\r\nWARC-Date: 2024-01-02T03:04:05Z\r\n"
        f"WARC-Target-URI: http://news.example/{number}\r\nContent-Type: {mime}\r\nContent-Length: {length or len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


A, B, C = (record(n, page(n)) for n in (1, 2, 3))


def test_a_response_becomes_a_document_with_its_address_and_date(read: Any) -> None:
    [row], rejects = read(A, "a.warc")
    assert not rejects
    assert row["url"] == "http://news.example/1"
    assert row["source_id"] == "urn:uuid:1"
    assert row["fetched_at"] == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert row["title"] == "Budget 1"
    assert row["text"].startswith("The committee met on Tuesday")


def test_only_pages_that_were_delivered_are_read(read: Any) -> None:
    data = b"".join(
        [
            record(1, b"GET / HTTP/1.1\r\n\r\n", kind="request"),
            record(2, b"robots: classic", kind="metadata"),
            record(3, b"\x89PNG", http="Content-Type: image/png"),
            record(4, page(4), status=404),
            record(5, b"", status=301),
            record(6, page(6), http="Content-Type: application/xhtml+xml"),
            record(7, b"plain text", http="Content-Type: text/plain"),
            record(8, "text of a page, Straße".encode(), kind="conversion"),
            record(9, page(9), kind="resource", http="Content-Type: text/html"),
            record(10, page(10), http="Server: x"),
        ]
    )
    rows, rejects = read(data, "a.warc")
    assert not rejects
    assert [r["record"] for r in rows] == [6, 7, 8, 9, 10]
    assert [r["text"] for r in rows[1:3]] == ["plain text", "text of a page, Straße"]


@pytest.mark.parametrize(
    ("middle", "error"),
    [
        (B[:-300] + b"\r\n\r\n", "BadWarc"),
        (record(2, page(2), length=50), "BadWarc"),
        (record(2, page(2), length=5000), "BadWarc"),
        (record(2, page(2), length=1 << 50), "TooLarge"),
        (record(2, page(2) * 300), "TooLarge"),
        (B.replace(b"Content-Length", b"Content-Wrongth"), "BadWarc"),
        (B.replace(b"WARC/1.0", b"WORC/1.0"), "BadWarc"),
        (b"nonsense\r\nmore of it\r\n\r\n", "BadWarc"),
        (b"WARC/1.0\r\nno end of header" + b"x" * 100_000 + b"\r\n", "BadWarc"),
        (record(2, b"<html><body></body></html>"), "NoText"),
        (record(2, b" \n ", kind="conversion"), "EmptyRecord"),
        (record(2, b"\x0b\x02\x80", http="Content-Type: text/html\r\nContent-Encoding: br"), "BadCompression"),
        (
            record(2, gzip.compress(page(2))[:-9], http="Content-Type: text/html\r\nContent-Encoding: gzip"),
            "BadCompression",
        ),
        (
            record(2, gzip.compress(b" " * (1 << 20)), http="Content-Type: text/html\r\nContent-Encoding: gzip"),
            "TooLarge",
        ),
    ],
)
def test_a_broken_record_costs_one_reject(read: Any, middle: bytes, error: str) -> None:
    rows, rejects = read(A + middle + C, "a.warc", limits=Limits(max_record_bytes=100_000))
    assert [r["source_id"] for r in rows] == ["urn:uuid:1", "urn:uuid:3"]
    assert [(r.record, r.error) for r in rejects] == [(2, error)]


def test_a_damaged_member_of_a_gzip_file_costs_one_reject(read: Any) -> None:
    members = [gzip.compress(r) for r in (A, B, C)]
    bad = bytearray(members[1])
    bad[60:90] = b"\xff" * 30
    rows, rejects = read(members[0] + bytes(bad) + members[2], "a.warc.gz")
    assert [r["source_id"] for r in rows] == ["urn:uuid:1", "urn:uuid:3"]
    assert [r.error for r in rejects] == ["BadCompression"]


def test_a_file_cut_off_gives_the_records_before(read: Any) -> None:
    for data in (A + B + C[:-100], gzip.compress(A) + gzip.compress(B) + gzip.compress(C)[:-30]):
        rows, rejects = read(data, "a.warc.gz")
        assert len(rows) == 2
        assert len(rejects) == 1


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("Content-Encoding: gzip", gzip.compress(page(1))),
        ("Content-Encoding: deflate", zlib.compress(page(1))),
        ("Content-Encoding: deflate", zlib.compress(page(1))[2:-4]),
        ("Content-Encoding: gzip", page(1)),  # undone by the crawler, header left
        ("Content-Encoding: identity", page(1)),
        ("Transfer-Encoding: chunked", b"%x\r\n" % len(page(1)) + page(1) + b"\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", page(1)),
    ],
)
def test_http_encodings_are_undone(read: Any, encoding: str, body: bytes) -> None:
    [row], rejects = read(record(1, body, http=f"Content-Type: text/html\r\n{encoding}"), "a.warc")
    assert not rejects
    assert row["text"].startswith("The committee met")


def test_the_charset_of_the_http_header_counts(read: Any) -> None:
    text = (
        "<html><body><article><p>"
        + "Комитет собрался во вторник и утвердил бюджет. " * 8
        + "</p></article></body></html>"
    )
    [row], _ = read(record(1, text.encode("koi8-r"), http="Content-Type: text/html; charset=koi8-r"), "a.warc")
    assert row["text"].startswith("Комитет собрался")
    assert row["encoding"] == "koi8-r"
