from __future__ import annotations

import io
import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.ingest.formats import Limits, read_batches

GOOD = b'{"text": "good"}'


def test_fields_are_found_under_their_usual_names(read: Any) -> None:
    record = {
        "content": "The text.",
        "_id": 17,
        "link": "https://news.example/a",
        "source_domain": "news.example",
        "headline": " A  title ",
        "byline": "By Jane Doe and John Roe",
        "pubDate": "Tue, 02 Jan 2024 03:04:05 +0100",
        "crawled_at": 1704164645,
        "language": "en-US",
    }
    [row], rejects = read(json.dumps(record).encode())
    assert not rejects
    row.pop("doc_id")
    assert row == {
        "source": "a.jsonl",
        "record": 1,
        "source_id": "17",
        "url": "https://news.example/a",
        "site": "news.example",
        "title": "A title",
        "authors": ["Jane Doe", "John Roe"],
        "published_at": datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC),
        "fetched_at": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "lang": "en",
        "text": "The text.",
        "encoding": "utf-8",
        "markup": None,
    }


def test_a_null_or_blank_field_gives_way_to_its_alias(read: Any) -> None:
    [row], _ = read(
        b'{"text": null, "content": "", "body": "here", "id": null, "uid": "u1", "title": "", "headline": "T"}'
    )
    assert (row["text"], row["source_id"], row["title"]) == ("here", "u1", "T")


def test_html_is_read_only_when_there_is_no_text(read: Any) -> None:
    page = (
        "<html><body><article><p>"
        + "The budget was agreed on Tuesday, a spokesman said. " * 8
        + "</p></article></body></html>"
    )
    rows, rejects = read(
        json.dumps({"html": page}).encode() + b"\n" + json.dumps({"html": page, "text": "plain"}).encode()
    )
    assert not rejects
    assert rows[0]["text"].startswith("The budget was agreed")
    assert rows[1]["text"] == "plain"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"text": "unclosed', "BadJson"),
        (b"[1, 2]", "BadJson"),
        (b'"text"', "BadJson"),
        (b'{"text": "a"}{"text": "b"}', "BadJson"),
        (b"[" * 100_000, "BadJson"),
        (b'{"a":' * 100_000, "BadJson"),
        (b'{"x": 1}', "NoText"),
        (b'{"text": 5}', "NoText"),
        (b'{"text": ["a"]}', "NoText"),
        (b'{"text": " \\n\\t"}', "EmptyRecord"),
        (b'{"text": ""}', "EmptyRecord"),
        (b'{"html": "<script>1</script>"}', "NoText"),
        (b'{"text": "' + b"x" * 2000 + b'"}', "TooLarge"),
    ],
)
def test_a_bad_record_in_the_middle_costs_one_reject(read: Any, line: bytes, error: str) -> None:
    limits = Limits(max_record_bytes=1500 if error == "TooLarge" else 1 << 20)
    rows, rejects = read(GOOD + b"\n" + line + b"\n" + GOOD, limits=limits)
    assert [(r["record"], r["text"]) for r in rows] == [(1, "good"), (3, "good")]
    assert [(r.record, r.error) for r in rejects] == [(2, error)]
    assert "line 2" in rejects[0].message


def test_odd_but_readable_lines_are_read(read: Any) -> None:
    lines = [
        b'\xef\xbb\xbf{"text": "byte order mark"}\r',
        b"",
        b'   {"text": "blanks"}  ',
        b'{"text": "NaN", "score": NaN}',
        b'{"text": "raw\ttab"}',
        b'{"text": "lone \\ud800 surrogate"}',
        b'{"text": "pair \\ud83d\\ude00"}',
        '{"text": "Müller sagte: „Grüße über Größe“"}'.encode("cp1252"),
    ]
    rows, rejects = read(b"\n".join(lines))
    assert not rejects
    assert [r["text"] for r in rows] == [
        "byte order mark",
        "blanks",
        "NaN",
        "raw\ttab",
        "lone \ufffd surrogate",
        "pair 😀",
        "Müller sagte: „Grüße über Größe“",
    ]
    assert [r["encoding"] for r in rows] == ["utf-8"] * 6 + ["windows-1252"]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_read(read: Any, codec: str) -> None:
    rows, rejects = read('{"text": "Straße"}\n{"text": "улица"}\n'.encode(codec))
    assert ([r["text"] for r in rows], rejects) == (["Straße", "улица"], [])


def test_a_whole_file_array_is_read(read: Any) -> None:
    rows, rejects = read(b'[\n  {"text": "a"},\n  {"x": 1},\n  {"text": "b"}\n]\n')
    assert [(r["record"], r["text"]) for r in rows] == [(1, "a"), (3, "b")]
    assert [(r.record, r.error) for r in rejects] == [(2, "NoText")]


def test_an_array_above_the_limit_is_one_clear_reject(read: Any) -> None:
    rows, rejects = read(b"[" + b'{"text": "aaaa"},\n' * 1000 + b"{}]", limits=Limits(max_record_bytes=2000))
    assert (rows, [r.error for r in rejects]) == ([], ["TooLarge"])
    assert "jq" in rejects[0].message


def test_lines_that_are_arrays_are_each_refused(read: Any) -> None:
    rows, rejects = read(b"[1]\n[2]\n" + GOOD)
    assert (len(rows), len(rejects)) == (1, 2)


def test_a_line_of_a_gigabyte_is_passed_over_in_bounded_memory() -> None:
    gigabyte = 1 << 30

    class Huge(io.RawIOBase):
        """A good record, a line of a gigabyte, and a good record."""

        at = 0

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            self.at += 1
            if self.at == 1:
                return GOOD + b"\n" + b'{"text": "'
            if self.at * (1 << 18) < gigabyte:
                return b"x" * (1 << 18)
            self.at = 1 << 40
            return b'"}\n' + GOOD + b"\n" if not hasattr(self, "done") and not setattr(self, "done", True) else b""

    tracemalloc.start()
    found = list(read_batches(Huge(), source="a.jsonl", size=gigabyte, limits=Limits(max_record_bytes=4 << 20)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(t.num_rows for t, _ in found) == 2
    assert [(r.record, r.error) for _, rejects in found for r in rejects] == [(2, "TooLarge")]
    assert peak < 32 << 20


_LINES = st.one_of(
    st.just(GOOD),
    st.builds(lambda t: json.dumps({"text": t}).encode(), st.text(max_size=20)),
    st.builds(
        lambda t: json.dumps({"body": t}, ensure_ascii=False).encode("utf-8", "surrogatepass"), st.text(max_size=20)
    ),
    st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")),
    st.sampled_from([b"", b"  ", b"\t", b"{}", b"null", b'{"text": NaN}', b'{"text"', b"\xff\xfe\xff"]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(_LINES, max_size=12), st.sampled_from([b"\n", b"\r\n"]))
def test_documents_and_rejects_are_as_many_as_lines_that_are_not_blank(lines: list[bytes], end: bytes) -> None:
    data = GOOD + end + end.join(lines)  # the first line settles that this is JSON Lines in UTF-8
    found = list(read_batches(io.BytesIO(data), source="a.jsonl", size=len(data), limits=Limits()))
    count = sum(t.num_rows + len(r) for t, r in found)
    expected = sum(bool(line.strip()) for line in data.split(b"\n"))
    binary = count == 1 and found[0][1] and found[0][1][0].error == "UnknownFormat"
    assert binary or count == expected
