"""What readers take and give: limits, rejects, rows of the raw table, and the identity of a record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
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
    markup: bytes | None = None


class Rows(NamedTuple):
    """Raw documents as a table with the schema RAW. record: of the last."""

    table: pa.Table
    record: int


def doc_id(source: str, record: int, content: bytes) -> str:
    """The document's stable name: 128-bit hash of source, record and raw content, 32 hex digits."""
    return xxhash.xxh3_128_hexdigest(b"%b%d\0%b" % (source_key(source), record, content))


def source_key(source: str) -> bytes:
    """What a doc_id hashes of its source."""
    return source.encode("utf-8", "replace") + b"\0"


def is_empty(text: str) -> bool:
    """Whether `text` has no visible character: nothing, or only white space, control and zero-width characters."""
    return not (text[:1].isalnum() or any(c.isprintable() and c != " " for c in text))


def to_batches(items: Iterable[Rows | Row | Reject], *, batch_chars: int) -> Iterator[tuple[pa.Table, list[Reject]]]:
    """Tables of about `batch_chars` characters of text each, with the rejects met on the way; the last may be rejects only."""
    tables: list[pa.Table] = []
    rows: list[Row] = []
    rejects: list[Reject] = []
    chars = 0
    for item in items:
        for part in _cut(item, batch_chars=batch_chars, chars=chars) if isinstance(item, Rows) else (item,):
            if isinstance(part, Row):
                rows.append(part)
                chars += len(part.text)
            elif isinstance(part, Reject):
                rejects.append(part)
            else:
                if rows:
                    tables.append(to_table(rows))
                    rows = []
                table, more = part
                tables.append(table)
                chars += more
            if chars >= batch_chars or len(rejects) >= MAX_REJECTS_A_BATCH:
                yield _together(tables, rows), rejects
                tables, rows, rejects, chars = [], [], [], 0
    if tables or rows or rejects:
        yield _together(tables, rows), rejects


def _cut(rows: Rows, *, batch_chars: int, chars: int) -> Iterator[tuple[pa.Table, int]]:
    """The rows in parts that end where a batch is full, each with its characters of text. chars: those of the batch so far."""
    each = _chars(rows.table)
    ends = np.cumsum(each) + chars
    start = 0
    while start < len(ends):
        stop = min(int(np.searchsorted(ends, batch_chars)) + 1, len(ends))
        yield rows.table.slice(start, stop - start), int(each[start:stop].sum())
        ends = ends - ends[stop - 1]
        ends[:stop] = -1
        start = stop


def _chars(table: pa.Table) -> npt.NDArray[np.int64]:
    lengths: npt.NDArray[np.int64] = pl.Series(table["text"]).str.len_chars().to_numpy().astype(np.int64)
    return lengths


def _together(tables: list[pa.Table], rows: Sequence[Row]) -> pa.Table:
    if not tables:
        return to_table(rows)
    return pa.concat_tables([*tables, to_table(rows)] if rows else tables)


def to_table(rows: Sequence[Row]) -> pa.Table:
    """The rows as a table with the schema RAW, built column by column."""
    columns = zip(*rows, strict=True) if rows else [()] * len(RAW.names)
    return table_of(dict(zip(RAW.names, columns, strict=True)), RAW)


assert RAW.names == list(Row._fields)
assert RAW.field("authors").type == STRINGS
assert RAW.field("published_at").type == TIME
