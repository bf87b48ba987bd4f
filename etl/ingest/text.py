"""Plain text: one file, one record."""

from __future__ import annotations

from collections.abc import Iterator

from etl.ingest import charset
from etl.ingest.compression import ByteSource
from etl.ingest.records import Limits, Reject, Row, Unreadable, doc_id, is_empty


def read_text(source: ByteSource, *, name: str, limits: Limits) -> Iterator[Row | Reject]:
    """The one document of a text file."""
    data = source.read_all(limits.max_record_bytes)
    if charset.is_binary(data):
        raise Unreadable(
            "UnknownFormat", "the file is not text (a picture, a PDF or other binary data); convert it to text first"
        )
    text, encoding = charset.decode(data)
    if is_empty(text):
        raise Unreadable("EmptyRecord", "the file has no visible character; leave it out")
    yield Row(doc_id(name, 1, data), name, 1, None, None, None, None, None, None, None, None, text, encoding)
