"""Any input file as raw tables: its format by extension, overruled by its content, and the reader for each format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, Final

import orjson
import pyarrow as pa

from etl.ingest import charset
from etl.ingest.compression import ByteSource, open_source
from etl.ingest.csv import read_csv
from etl.ingest.html import read_html
from etl.ingest.jsonl import read_jsonl
from etl.ingest.parquet import read_parquet
from etl.ingest.records import Limits, Reject, Row, Rows, Unreadable, to_batches
from etl.ingest.text import read_text
from etl.ingest.warc import read_warc

__all__ = ["COMPRESSIONS", "EXTENSIONS", "READERS", "Limits", "Reject", "format_of", "read_batches"]

READERS: Final[dict[str, Callable[..., Iterator[Rows | Row | Reject] | Iterator[Row | Reject]]]] = {
    "text": read_text,
    "html": read_html,
    "jsonl": read_jsonl,
    "csv": read_csv,
    "parquet": read_parquet,
    "warc": read_warc,
}
"""Format -> reader of (source, *, name, limits). A reader gives rows and rejects, and raises Unreadable where it can't go on."""

EXTENSIONS: Final = {
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".warc": "warc",
    ".wet": "warc",
}
COMPRESSIONS: Final = frozenset({".gz", ".zst", ".bz2", ".xz"})

_HEAD_BYTES: Final = 1 << 16
_HTML_HEAD: Final = re.compile(
    rb"(?:<\?xml[^>]{0,200}>\s{0,100})?(?:<!--[^>]{0,500}-->\s{0,100}){0,3}<(?:!doctype\s{1,20}html|html[\s>])",
    re.IGNORECASE,
)
_JSON_HEAD: Final = re.compile(rb"\{\s{0,20}\"[^\"\\\n]{1,80}\"\s{0,20}:")


def read_batches(
    stream: BinaryIO, *, source: str, size: int, limits: Limits, batch_chars: int = 8_000_000
) -> Iterator[tuple[pa.Table, list[Reject]]]:
    """The file's documents in tables of about `batch_chars` characters each (schema RAW), with the rejects met on the way.

    source: what its documents are to be named after. size: the file's size on disk, in bytes. Bad input never raises: what
    can be read before (and, where possible, after) the damage comes out, and the damage is a reject.
    """
    yield from to_batches(_read(stream, source=source, size=size, limits=limits), batch_chars=batch_chars)


def format_of(name: str, head: bytes) -> str | None:
    """The format of a file called `name` whose decompressed content begins with `head`; None when it can't be read.

    Content wins over the extension, but text and HTML in a .txt stay text, as for browsers: a text file shows what it holds.
    """
    named = extension_format(name)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"WARC/1.", b"WARC/0.")):
        return "warc"
    if not head:
        return named or "text"
    if charset.is_binary(head):
        return None
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if named != "text" and _HTML_HEAD.match(start):
        return "html"
    if named != "jsonl" and _is_json_lines(start):
        return "jsonl"
    if named in ("parquet", "warc"):
        return "text" if named == "warc" else None
    return named or "text"


def extension_format(name: str) -> str | None:
    """The format that a file's extensions name (`page.html.gz`: html), None when they name none."""
    suffixes = [s.lower() for s in PurePosixPath(name).suffixes[-3:]]
    while suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return EXTENSIONS.get(suffixes[-1]) if suffixes else None


def _read(stream: BinaryIO, *, source: str, size: int, limits: Limits) -> Iterator[Rows | Row | Reject]:
    record = 0
    try:
        data, _ = open_source(stream, size=size, limits=limits)
        kind = _format(data, source)
        for item in READERS[kind](data, name=source, limits=limits):
            record = item.record or record
            yield item
    except Unreadable as fault:
        yield Reject(source, record + 1 if record else None, fault.error, fault.message)


def _format(data: ByteSource, source: str) -> str:
    head = data.peek(_HEAD_BYTES)
    kind = format_of(source, head)
    if kind is None:
        known = ", ".join(EXTENSIONS)
        raise Unreadable(
            "UnknownFormat", f"the content is none of the formats that can be read ({known}); convert it to one of them"
        )
    return kind


def _is_json_lines(start: bytes) -> bool:
    """Whether content that begins with `start` is JSON objects, one a line."""
    if start[:1] != b"{":
        return False
    line, newline, _ = start.partition(b"\n")
    if not newline and len(start) > _HEAD_BYTES // 2:
        return _JSON_HEAD.match(start) is not None
    try:
        return isinstance(orjson.loads(line), dict)
    except ValueError:
        return False
