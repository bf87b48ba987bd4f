"""What readers take and give: limits, rejects, rows of the raw table, and the identity of a record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import pyarrow as pa
import xxhash

from etl.errors import InputError
from etl.schema import RAW, STRINGS, TIME, table_of

MAX_REJECTS_A_BATCH: Final = 10_000  # a file of nothing but bad lines must not pile them up


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one input may ask for, in bytes after decompression.

    max_expansion: decompressed over compressed size, refused once more than `expansion_floor_bytes` came out, so that a
    small repetitive file passes and a zip bomb does not.
    """

    max_record_bytes: int = 32 << 20
    max_expansion: int = 250
    max_file_bytes: int = 1 << 40
    expansion_floor_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Reject:
    """A record or file that could not be read. record: from 1; None when the whole file was refused."""

    source: str
    record: int | None
    error: str
    message: str


class Unreadable(InputError):
    """Input that can't be read. error: short class such as BadCompression; the message names place and remedy."""

    def __init__(self, error: str, message: str) -> None:
        self.error = error
        self.message = message
        super().__init__(f"{error}: {message}")


class Row(NamedTuple):
    """One raw document, in the order of etl.schema.RAW."""

    doc_id: str
    source: str
    record: int
    source_id: str | None
    url: str | None
    site: str | None
    title: str | None
    authors: list[str] | None
    published_at: datetime | None
    fetched_at: datetime | None
    lang: str | None
    text: str
    encoding: str
    markup: str | None = None


def doc_id(source: str, record: int, content: bytes) -> str:
    """The document's stable name: 128-bit hash of source, record and raw content, 32 hex digits."""
    return xxhash.xxh3_128_hexdigest(b"%b\0%d\0%b" % (source.encode("utf-8", "replace"), record, content))


def is_empty(text: str) -> bool:
    """Whether `text` has no visible character: nothing, or only white space, control and zero-width characters."""
    return not any(c.isprintable() and c != " " for c in text)


def to_batches(items: Iterable[Row | Reject], *, batch_chars: int) -> Iterator[tuple[pa.Table, list[Reject]]]:
    """Tables of about `batch_chars` characters of text each, with the rejects met on the way; the last may be rejects only."""
    rows: list[Row] = []
    rejects: list[Reject] = []
    chars = 0
    for item in items:
        if isinstance(item, Row):
            rows.append(item)
            chars += len(item.text)
        else:
            rejects.append(item)
        if chars >= batch_chars or len(rejects) >= MAX_REJECTS_A_BATCH:
            yield to_table(rows), rejects
            rows, rejects, chars = [], [], 0
    if rows or rejects:
        yield to_table(rows), rejects


def to_table(rows: Sequence[Row]) -> pa.Table:
    """The rows as a table with the schema RAW, built column by column."""
    columns = zip(*rows, strict=True) if rows else [()] * len(RAW.names)
    return table_of(dict(zip(RAW.names, columns, strict=True)), RAW)


assert RAW.names == list(Row._fields)
assert RAW.field("authors").type == STRINGS
assert RAW.field("published_at").type == TIME
