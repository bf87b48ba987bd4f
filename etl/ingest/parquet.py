"""Parquet, a row group at a time, only the columns that are used."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from etl.ingest import charset
from etl.ingest.compression import ByteSource
from etl.ingest.fields import ALIASES, columns_for
from etl.ingest.jsonl import to_row
from etl.ingest.records import Limits, Reject, Row, Unreadable

SPOOLED_RECORDS: Final = 16
_BATCH_BYTES: Final = 8 << 20
_MOST_ROWS: Final = 256  # a dictionary can make every row of a small file large
_TEXT_NAMES: Final = ", ".join((*ALIASES["text"], *ALIASES["html"]))


def read_parquet(source: ByteSource, *, name: str, limits: Limits) -> Iterator[Row | Reject]:
    """The rows of a Parquet file as documents. name: the `source` of its documents.

    Parquet is read from its end: a compressed file goes into memory whole, up to SPOOLED_RECORDS times the limit of a record.
    """
    stream = source.raw or io.BytesIO(_spool(source, limit=SPOOLED_RECORDS * limits.max_record_bytes))
    try:
        file = pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False)
        names = file.schema_arrow.names
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    except (pa.ArrowException, OSError, ValueError) as fault:
        raise Unreadable(
            "BadParquet", f"the file can't be opened as Parquet ({_first_line(fault)}); write or fetch it again"
        ) from None
    wanted = columns_for(names)
    if "text" not in wanted and "html" not in wanted:
        found = ", ".join(n[:40] for n in names[:10])
        raise Unreadable("NoText", f"no column holds text (found: {found}); call it one of {_TEXT_NAMES}")
    columns = [n for found_names in wanted.values() for n in found_names]
    record = 0
    for number, group in enumerate(groups):
        rows_left = group.num_rows
        rows = max(1, min(_MOST_ROWS, _BATCH_BYTES // max(1, group.total_byte_size // max(1, group.num_rows))))
        try:
            for batch in file.iter_batches(batch_size=rows, row_groups=[number], columns=columns, use_threads=False):
                for value in _to_dicts(batch):
                    record += 1
                    rows_left -= 1
                    yield _to_row(value, name=name, record=record, limits=limits)
        except (pa.ArrowException, OSError, ValueError) as fault:
            yield Reject(
                name,
                record + 1,
                "BadParquet",
                f"row group {number + 1} of {len(groups)} is damaged ({_first_line(fault)}), {rows_left} rows are lost; write or fetch the file again",
            )
            record += rows_left


def _spool(source: ByteSource, *, limit: int) -> bytes:
    """The whole file, which Parquet needs to be read from its end."""
    try:
        return source.read_all(limit)
    except Unreadable as fault:
        if fault.error == "TooLarge":
            raise Unreadable(
                "TooLarge",
                f"the compressed Parquet file holds more than {limit} bytes; decompress it (Parquet is compressed within)",
            ) from None
        raise


def _to_dicts(batch: pa.RecordBatch) -> Iterator[dict[str, object]]:
    """The rows of a batch, one at a time."""
    names = batch.schema.names
    columns = batch.columns
    for i in range(batch.num_rows):
        yield {name: _plain(column[i]) for name, column in zip(names, columns, strict=True)}


def _plain(scalar: pa.Scalar) -> object:
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError, UnicodeDecodeError):  # a time out of Python's range, text that is not UTF-8
        value = (
            scalar.cast(pa.binary()).as_py()
            if pa.types.is_string(scalar.type) or pa.types.is_large_string(scalar.type)
            else None
        )
    return charset.decode(value)[0] if isinstance(value, bytes) else value


def _to_row(value: dict[str, object], *, name: str, record: int, limits: Limits) -> Row | Reject:
    largest = max((len(v) for v in value.values() if isinstance(v, str)), default=0)
    if largest > limits.max_record_bytes:
        return Reject(
            name,
            record,
            "TooLarge",
            f"the row is larger than {limits.max_record_bytes} bytes; split it, or raise the limit max_record_bytes",
        )
    raw = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str).encode(
        "utf-8", "surrogatepass"
    )
    try:
        return to_row(value, raw=raw, name=name, record=record, encoding="utf-8")
    except Unreadable as fault:
        return Reject(name, record, fault.error, f"row {record}: {fault.message}")


def _first_line(fault: Exception) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0][:200]
