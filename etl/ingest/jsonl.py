"""JSON Lines: one record a line. A bad line costs one reject; a whole file that is one JSON array is read too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import orjson

from etl.ingest import charset
from etl.ingest.compression import ByteSource
from etl.ingest.fields import ALIASES, map_fields
from etl.ingest.html import html_to_document
from etl.ingest.lines import read_lines, too_long
from etl.ingest.records import Limits, Reject, Row, Unreadable, doc_id, is_empty

_REMEDY: Final = "write one JSON object a line, in UTF-8"
_TEXT_NAMES: Final = ", ".join((*ALIASES["text"], *ALIASES["html"]))
_EXCERPT_CHARS: Final = 40


def read_jsonl(source: ByteSource, *, name: str, limits: Limits) -> Iterator[Row | Reject]:
    """The records of a JSON Lines file, numbered without the blank lines. name: the `source` of its documents."""
    if source.peek(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        yield from _read_array(source, name=name, limits=limits)
    else:
        yield from _read_records(source, name=name, limits=limits)


def _read_records(source: ByteSource, *, name: str, limits: Limits) -> Iterator[Row | Reject]:
    record = 0
    loads = orjson.loads
    for line in read_lines(source, max_bytes=limits.max_record_bytes):
        data = line.data
        if data is not None and (not data or data.isspace()):
            continue
        record += 1
        try:
            if data is None:
                raise too_long(line, limits.max_record_bytes)
            encoding = "utf-8"
            try:
                value = loads(data)
            except ValueError:
                value, encoding = _parse_leniently(data)
            yield to_row(value, raw=data, name=name, record=record, encoding=encoding)
        except Unreadable as fault:
            where = "" if fault.error == "TooLarge" else f"line {line.number} (byte {line.offset}): "
            yield Reject(name, record, fault.error, where + fault.message)


def _read_array(source: ByteSource, *, name: str, limits: Limits) -> Iterator[Row | Reject]:
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
