"""JSON Lines: one record a line. A bad line costs one reject; a whole file that is one JSON array is read too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pyarrow as pa

from etl import kernels
from etl.ingest import charset, native
from etl.ingest.compression import ByteSource
from etl.ingest.fields import ALIASES, columns_for, map_fields, parse_time, split_authors, to_lang, to_str
from etl.ingest.html import html_to_document
from etl.ingest.lines import Chunk, Line, read_chunks, read_lines, too_long
from etl.ingest.records import Limits, Reject, Row, Rows, Unreadable, doc_id, is_empty, source_key
from etl.schema import RAW

Array = npt.NDArray[Any]

_REMEDY: Final = "write one JSON object a line, in UTF-8"
_TEXT_NAMES: Final = ", ".join((*ALIASES["text"], *ALIASES["html"]))
_EXCERPT_CHARS: Final = 40
_MOST_SHAPES: Final = 8  # kinds of records that a few thousand lines are tried for
_MOST_APART: Final = 20  # lines to be read one by one between others


def read_jsonl(source: ByteSource, *, name: str, limits: Limits) -> Iterator[Rows | Row | Reject]:
    """The records of a JSON Lines file, numbered without the blank lines. name: the `source` of its documents."""
    if source.peek(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        yield from _read_array(source, name=name, limits=limits)
    else:
        yield from _read_records(source, name=name, limits=limits)


def _read_records(source: ByteSource, *, name: str, limits: Limits) -> Iterator[Rows | Row | Reject]:
    record = 0
    if not native.available():
        for line in read_lines(source, max_bytes=limits.max_record_bytes):
            if not _is_blank(line.data):
                record += 1
                yield _read_line(line, name=name, record=record, limits=limits)
        return
    for part in read_chunks(source, max_bytes=limits.max_record_bytes):
        if isinstance(part, Chunk):
            for item in _read_chunk(part, name=name, done=record, limits=limits):
                record = item.record or record
                yield item
        elif not _is_blank(part.data):
            record += 1
            yield _read_line(part, name=name, record=record, limits=limits)


def _read_line(line: Line, *, name: str, record: int, limits: Limits) -> Row | Reject:
    data = line.data
    try:
        if data is None:
            raise too_long(line, limits.max_record_bytes)
        encoding = "utf-8"
        try:
            value = orjson.loads(data)
        except ValueError:
            value, encoding = _parse_leniently(data)
        return to_row(value, raw=data, name=name, record=record, encoding=encoding)
    except Unreadable as fault:
        where = "" if fault.error == "TooLarge" else f"line {line.number} (byte {line.offset}): "
        return Reject(name, record, fault.error, where + fault.message)


def _is_blank(data: bytes | None) -> bool:
    return data is not None and (not data or data.isspace())


def _read_chunk(chunk: Chunk, *, name: str, done: int, limits: Limits) -> Iterator[Rows | Row | Reject]:
    """The records of many lines: those that look as most do as columns, the others one by one. done: records before them."""
    data = np.frombuffer(chunk.data, np.uint8)
    ends = chunk.newlines
    if chunk.data[-1:] != b"\n":
        ends = np.append(ends, len(data))
    starts = np.concatenate([np.zeros(1, ends.dtype), ends[:-1] + 1])
    full = np.ones(len(ends), np.bool_)
    for at in np.flatnonzero(data[starts] <= ord(" ")).tolist():
        full[at] = not _is_blank(chunk.data[starts[at] : ends[at]])
    numbers = np.flatnonzero(full)
    starts, ends = starts[full], ends[full]
    read, table = _read_alike(chunk.data, starts, ends, name=name, done=done, limits=limits)
    after = 0
    for at in np.flatnonzero(~read).tolist():
        if at > after:
            yield Rows(table.slice(int(read[:after].sum()), at - after), done + at)
        after = at + 1
        start, end = int(starts[at]), int(ends[at])
        held = chunk.data[start:end] if end - start <= limits.max_record_bytes else None
        line = Line(chunk.number + int(numbers[at]), chunk.offset + start, held)
        yield _read_line(line, name=name, record=done + after, limits=limits)
    if after < len(read):
        yield Rows(table.slice(int(read[:after].sum())), done + len(read))


def _read_alike(
    data: bytes, starts: Array, ends: Array, *, name: str, done: int, limits: Limits
) -> tuple[Array, pa.Table]:
    """Which lines were read, and their rows. A shape is that of the first line not read yet; a few of them are tried."""
    todo = ends - starts <= limits.max_record_bytes
    read = np.zeros(len(starts), np.bool_)
    places: list[Array] = []
    tables: list[pa.Table] = []
    text = np.frombuffer(data, np.uint8)
    for _ in range(_MOST_SHAPES):
        rows = np.flatnonzero(todo)
        if not len(rows):
            break
        todo[rows[0]] = False
        shape = _shape(_names_in(data[starts[rows[0]] : ends[rows[0]]]))
        if shape is None:
            continue
        is_read, columns = native.read_records(text, starts[rows], ends[rows], shape)
        rows = rows[is_read]
        if not len(rows):
            continue
        todo[rows] = False
        read[rows] = True
        ids = _doc_ids(data, starts[rows], ends[rows], name=name, records=done + 1 + rows)
        places.append(rows)
        tables.append(_to_table(columns, ids, name=name, records=done + 1 + rows))
    if (~read).sum() > _MOST_APART + len(read) // 4:
        return np.zeros(len(starts), np.bool_), pa.Table.from_batches([], RAW)
    if len(tables) == 1:
        return read, tables[0]
    if not tables:
        return read, pa.Table.from_batches([], RAW)
    order = pl.Series(np.argsort(np.concatenate(places), kind="stable"))
    return read, pa.concat_tables(tables).take(order.to_arrow())


def _doc_ids(data: bytes, starts: Array, ends: Array, *, name: str, records: Array) -> pl.Series:
    """The doc_id of each of some lines of `data`. A loop over those that the kernel leaves, shorter than 240 bytes."""
    ids, told = native.record_ids(source_key(name), np.frombuffer(data, np.uint8), starts, ends, records)
    for row in np.flatnonzero(~told).tolist():
        own = doc_id(name, int(records[row]), data[starts[row] : ends[row]])
        ids[row] = np.frombuffer(own.encode(), np.uint8)
    return kernels.text_series(ids.reshape(-1), np.arange(len(ids) + 1, dtype=np.int64) * ids.shape[1])


def _to_table(columns: dict[str, native.Values], ids: pl.Series, *, name: str, records: Array) -> pa.Table:
    """The rows of the raw table that records with these fields stand for."""
    n = len(ids)
    held: dict[str, pa.Array] = {
        "doc_id": ids.to_arrow(),
        "source": pl.repeat(name.encode("utf-8", "replace").decode(), n, dtype=pl.String, eager=True).to_arrow(),
        "record": pl.Series(records).to_arrow(),
        "encoding": pl.repeat("utf-8", n, dtype=pl.String, eager=True).to_arrow(),
        "text": columns["text"].values,
    }
    for field, column in columns.items():
        if native.FIELDS[field] == native.PLAIN:
            values = column.values
            if len(column.rough):
                told = values.to_pylist()
                for row in column.rough.tolist():
                    told[row] = to_str(told[row])
                values = pl.Series(told, dtype=pl.String).to_arrow()
            held[field] = values
        elif field != "text":
            held[field] = _each(column.values, RAW.field(field))
    arrays = [held[f.name].cast(f.type) if f.name in held else pa.nulls(n, f.type) for f in RAW]
    return pa.Table.from_arrays(arrays, schema=RAW)


def _each(values: pa.Array, field: pa.Field) -> pa.Array:
    """What the field's values say. Python reads each distinct one once."""
    if values.null_count == len(values):
        return pa.nulls(len(values), field.type)
    read = {"authors": split_authors, "lang": to_lang}.get(field.name, parse_time)
    given = values.dictionary_encode()
    kind = pl.Series(pa.Table.from_batches([], RAW)[field.name]).dtype
    told = pl.Series([read(value) for value in given.dictionary.to_pylist()], dtype=kind)
    return told.to_arrow().take(given.indices)


def _names_in(line: bytes) -> tuple[str, ...]:
    try:
        value = orjson.loads(line)
    except ValueError:
        return ()
    return tuple(value) if isinstance(value, dict) else ()


@lru_cache(maxsize=256)
def _shape(names: tuple[str, ...]) -> native.Shape | None:
    """The shape of records with these names; None where it isn't simple: no text, or two names for one field."""
    found = columns_for(names)
    if "text" not in found or any(len(of) > 1 for of in found.values()):
        return None
    return native.shape_of(names, {field: of[0] for field, of in found.items() if field in native.FIELDS})


def _read_array(source: ByteSource, *, name: str, limits: Limits) -> Iterator[Rows | Row | Reject]:
    """The records of a file that begins with `[`: one array, or else line by line."""
    head = source.peek(limits.max_record_bytes + 1)
    if len(head) > limits.max_record_bytes:
        first = head[: head.find(b"\n") + 1]
        if not first or not _is_json(first):
            raise Unreadable(
                "TooLarge",
                f"the file is one JSON array of more than {limits.max_record_bytes} bytes, which can't be read piece by piece; {_REMEDY} "
                "(jq -c '.[]' does it)",
            )
        yield from _read_records(source, name=name, limits=limits)
        return
    try:
        values, encoding = _parse_leniently(head)
    except Unreadable:
        values = None
    if not isinstance(values, list):
        yield from _read_records(source, name=name, limits=limits)
        return
    while source.read():
        pass
    for record, value in enumerate(values, 1):
        raw = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        try:
            yield to_row(value, raw=raw, name=name, record=record, encoding=encoding)
        except Unreadable as fault:
            yield Reject(name, record, fault.error, f"item {record} of the array: {fault.message}")


def to_row(value: object, *, raw: bytes, name: str, record: int, encoding: str) -> Row:
    """The raw document that a parsed record stands for. raw: its bytes as they were, for the doc_id."""
    if not isinstance(value, dict):
        raise Unreadable("BadJson", f"a {_JSON_KINDS.get(type(value), 'value')}, not an object; {_REMEDY}")
    fields = map_fields(value)
    text = fields.text
    if text is not None and not is_empty(text):
        return Row(
            doc_id(name, record, raw),
            name,
            record,
            fields.source_id,
            fields.url,
            fields.site,
            fields.title,
            fields.authors,
            fields.published_at,
            fields.fetched_at,
            fields.lang,
            text,
            encoding,
        )
    if fields.html is not None:
        page = html_to_document(fields.html, fields.url)
        return Row(
            doc_id(name, record, raw),
            name,
            record,
            fields.source_id,
            fields.url or page.url,
            fields.site or (None if fields.url or page.url else page.site),
            fields.title or page.title,
            fields.authors or page.authors,
            fields.published_at or page.published_at,
            fields.fetched_at,
            fields.lang,
            page.text,
            encoding,
            page.markup,
        )
    if text is not None or any(isinstance(value.get(n), str) for n in ALIASES["text"]):
        raise Unreadable("EmptyRecord", "the text has no visible character; leave the record out, or give its html")
    raise Unreadable(
        "NoText", f"no text in the record; put it, as a string, in one of {_TEXT_NAMES} (found: {_names(value)})"
    )


_JSON_KINDS: Final = {
    list: "list",
    str: "string",
    int: "number",
    float: "number",
    bool: "truth value",
    type(None): "null",
}


def _parse_leniently(data: bytes) -> tuple[object, str]:
    """What JSON's standard library makes of a line that orjson refused, decoded by its own bytes; and its encoding.

    Reads NaN, control characters in strings, and lone surrogates, which become U+FFFD.
    """
    text, encoding = charset.decode(data)
    text = text.strip().removeprefix("\ufeff")
    try:
        return orjson.loads(text), encoding
    except ValueError:
        pass
    try:
        value: object = json.loads(text, strict=False)
    except RecursionError:
        raise Unreadable("BadJson", f"nested too deep; {_REMEDY}") from None
    except ValueError as fault:
        excerpt = text[:_EXCERPT_CHARS].encode("ascii", "backslashreplace").decode()
        raise Unreadable("BadJson", f"{_about(fault)}, in {excerpt!r}; {_REMEDY}") from None
    if isinstance(value, dict):
        return {k: _without_surrogates(v) for k, v in value.items()}, encoding
    if isinstance(value, list):
        return [
            {k: _without_surrogates(v) for k, v in x.items()} if isinstance(x, dict) else x for x in value
        ], encoding
    return value, encoding


def _about(fault: ValueError) -> str:
    return f"{fault.msg} at character {fault.pos}" if isinstance(fault, json.JSONDecodeError) else "not JSON"


def _without_surrogates(value: object) -> object:
    """A field's value with paired surrogates joined and lone ones replaced."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_without_surrogates(v) if isinstance(v, str) else v for v in value]
    return value


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True


def _names(value: dict[str, object]) -> str:
    names = [n[:_EXCERPT_CHARS] for n in list(value)[:10]]
    return ", ".join(names).encode("utf-8", "replace").decode() or "nothing"
