"""Every table's schema, written once: the datasets that users read and the tables that stages pass on.

Offsets are code points into the repaired text, end exclusive. Times are UTC, in microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl
import pyarrow as pa

SCHEMA_VERSION: Final = "1"

TIME: Final = pa.timestamp("us", tz="UTC")
STRINGS: Final = pa.list_(pa.string())


def _field(name: str, kind: pa.DataType, about: str, *, unit: str = "", nullable: bool = True) -> pa.Field:
    metadata = {"description": about} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=nullable, metadata=metadata)


_DOC_ID = _field(
    "doc_id", pa.string(), "stable 128-bit hash of source, record and raw content, 32 hex digits", nullable=False
)
_SOURCE = _field("source", pa.string(), "path of the raw file relative to the input root", nullable=False)
_RECORD = _field("record", pa.int64(), "number of the record in its file, from 1", nullable=False)
_SOURCE_ID = _field("source_id", pa.string(), "the input's own id for the record")

DOCUMENTS: Final = pa.schema(
    [
        _DOC_ID,
        _SOURCE,
        _RECORD,
        _SOURCE_ID,
        _field("url", pa.string(), "address of the page"),
        _field(
            "site",
            pa.string(),
            "the input's site, else the registered domain of the url, else the sub-folder of the file, else what the page's title names",
        ),
        _field("title", pa.string(), "title, from the input or found in the text or the HTML"),
        _field("authors", STRINGS, "authors, from the input or the byline"),
        _field("published_at", TIME, "when the page says it was published", unit="UTC, microseconds"),
        _field("fetched_at", TIME, "when the page was scraped", unit="UTC, microseconds"),
        _field("lang", pa.string(), "language of the kept text, ISO 639-1 where there is one"),
        _field("lang_score", pa.float32(), "confidence of lang; null when the input named the language", unit="0 to 1"),
        _field("text", pa.large_string(), "the kept text", nullable=False),
        _field("n_chars", pa.int64(), "length of text", unit="code points", nullable=False),
        _field("n_words", pa.int64(), "words in text; a CJK character counts as one", unit="words", nullable=False),
        _field(
            "removed_chars",
            pa.int64(),
            "length of what was cut from the repaired text",
            unit="code points",
            nullable=False,
        ),
        _field("duplicates", pa.int64(), "how many dropped copies this document stands for", nullable=False),
        _field("encoding", pa.string(), "encoding the bytes were decoded from"),
        _field("repairs", STRINGS, "what repair did, as name:count"),
    ],
)

REMOVALS: Final = pa.schema(
    [
        _DOC_ID,
        _SOURCE,
        _SOURCE_ID,
        _field("unit", pa.string(), "what was cut: span, line, sentence or document", nullable=False),
        _field("start", pa.int64(), "first character cut, in the repaired text", unit="code points", nullable=False),
        _field("end", pa.int64(), "one past the last character cut", unit="code points", nullable=False),
        _field("text", pa.large_string(), "what was cut", nullable=False),
        _field("stage", pa.string(), "the step that decided", nullable=False),
        _field("rule", pa.string(), "id of the rule that decided", nullable=False),
        _field("reason", pa.string(), "the rule's reason, for a person", nullable=False),
        _field("score", pa.float32(), "how sure, or how similar to the copy that stays", unit="0 to 1"),
        _field("kept_doc_id", pa.string(), "document that keeps the copy; null for boilerplate"),
        _field("kept_start", pa.int64(), "where the copy that stays begins in its repaired text", unit="code points"),
    ],
)

ANNOTATIONS: Final = pa.schema(
    [
        _DOC_ID,
        _SOURCE,
        _SOURCE_ID,
        _field("unit", pa.string(), "what repeats: sentence or document", nullable=False),
        _field("start", pa.int64(), "its first character, in the repaired text", unit="code points", nullable=False),
        _field("end", pa.int64(), "one past its last character", unit="code points", nullable=False),
        _field("text", pa.large_string(), "a sentence's text, which stays; null for a document"),
        _field("stage", pa.string(), "the step that found it", nullable=False),
        _field("rule", pa.string(), "id of the rule that found it", nullable=False),
        _field("reason", pa.string(), "the rule's reason, for a person", nullable=False),
        _field("score", pa.float32(), "how similar to the other", unit="0 to 1"),
        _field("kept_doc_id", pa.string(), "the document that has the other, which came first", nullable=False),
        _field("kept_start", pa.int64(), "where the other begins in its repaired text", unit="code points"),
    ],
)
"""Duplicates that stay: found, and left in the text. No part of kept + removed."""

REJECTS: Final = pa.schema(
    [
        _SOURCE,
        _field("record", pa.int64(), "number of the record in its file, from 1; null when the whole file was refused"),
        _field("error", pa.string(), "class of the fault, such as BadJson or TooLarge", nullable=False),
        _field("message", pa.string(), "what is wrong, and what would mend it", nullable=False),
    ],
)

RAW: Final = pa.schema(
    [
        ("doc_id", pa.string()),
        ("source", pa.string()),
        ("record", pa.int64()),
        ("source_id", pa.string()),
        ("url", pa.string()),
        ("site", pa.string()),
        ("title", pa.string()),
        ("authors", STRINGS),
        ("published_at", TIME),
        ("fetched_at", TIME),
        ("lang", pa.string()),
        ("text", pa.large_string()),
        ("encoding", pa.string()),
        ("markup", pa.string()),
    ]
)
"""What ingest hands on: one row a raw document, text not yet repaired. markup: of a page of HTML, a `markup_letter` for each line."""

LINK_LEVELS: Final = 4  # of the letters of a line in links: less than a quarter, than half, than three quarters, more


def markup_letter(link_level: int, *, is_main: bool | None) -> str:
    """What HTML says of a line. link_level: below LINK_LEVELS. is_main: an extractor's word; None where it found no text at all."""
    return chr(ord("a") + link_level + LINK_LEVELS * (2 if is_main is None else int(is_main)))


def table_of(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Columns of Python values as a table with `schema`.

    By way of Polars: pyarrow's own way from Python lists imports pandas where it is installed, which takes a second.
    """
    empty = pl.from_arrow(pa.Table.from_batches([], schema))
    assert isinstance(empty, pl.DataFrame)
    table: pa.Table = pl.DataFrame({name: columns[name] for name in schema.names}, schema=empty.schema).to_arrow()
    return table.cast(schema)
