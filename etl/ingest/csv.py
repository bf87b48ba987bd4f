"""CSV with a header. A bad row costs one reject: a stray quotation mark does not swallow the rows after it."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import Final

import orjson

from etl.ingest import charset
from etl.ingest.compression import ByteSource
from etl.ingest.fields import ALIASES, columns_for
from etl.ingest.jsonl import to_row
from etl.ingest.lines import Line, read_lines, too_long
from etl.ingest.records import Limits, Reject, Row, Unreadable

_DELIMITERS: Final = (",", ";", "\t", "|")
_SAMPLE_BYTES: Final = 1 << 16
_TEXT_NAMES: Final = ", ".join((*ALIASES["text"], *ALIASES["html"]))


class _Unclosed(Exception):
    """A quoted field went on to the end of the file, or past the limit of a record."""


def read_csv(source: ByteSource, *, name: str, limits: Limits) -> Iterator[Row | Reject]:
    """The rows of a CSV file as documents, numbered without the header and blank lines. name: the `source` of its documents.

    The delimiter is a comma, semicolon, tab or bar, whichever gives the header a text column and the most columns.
    """
    csv.field_size_limit(
        max(csv.field_size_limit(), limits.max_record_bytes + 1)
    )  # one for the process; the bound is in _Lines
    encoding = _encoding(source)
    lines = _Lines(read_lines(source, max_bytes=limits.max_record_bytes), encoding, limits.max_record_bytes)
    header, delimiter = _read_header(lines)
    record = 0
    while True:
        number = lines.next_number()
        if number is None:
            return
        row = None
        try:
            row = lines.read_row(delimiter)
            if row is None:
                continue
            record += 1
            if len(row) > len(header) and not any(row[len(header) :]):
                row = row[: len(header)]
            if len(row) != len(header):
                raise Unreadable(
                    "BadRow",
                    f"line {number}: {len(row)} fields, but the header has {len(header)}; put fields that hold {delimiter!r} in "
                    "quotation marks",
                )
            value: dict[str, object] = dict(zip(header, row, strict=True))
            yield to_row(
                value, raw=orjson.dumps(value, option=orjson.OPT_SORT_KEYS), name=name, record=record, encoding=encoding
            )
        except _Unclosed:
            record += 1
            yield Reject(
                name,
                record,
                "BadRow",
                f"line {number}: a quotation mark opens a field and none closes it; double the quotation marks within fields",
            )
        except Unreadable as fault:
            if fault.error == "BadCompression":
                raise
            record += row is None
            where = "" if fault.message.startswith("line ") else f"line {number}: "
            yield Reject(name, record, fault.error, where + fault.message)


def _read_header(lines: _Lines) -> tuple[list[str], str]:
    """The column names and the delimiter."""
    best: tuple[tuple[bool, int], list[str], str] | None = None
    for delimiter in _DELIMITERS:
        try:
            row = lines.peek_row(delimiter)
        except (_Unclosed, Unreadable):
            continue
        names = [n.strip() for n in row]
        columns = columns_for(names)
        rank = ("text" in columns or "html" in columns, len(names))
        if best is None or rank > best[0]:
            best = (rank, names, delimiter)
    if best is None:
        raise Unreadable(
            "NoText", f"the file has no header; its first line must name the columns, one of them {_TEXT_NAMES}"
        )
    (has_text, _), names, delimiter = best
    if not has_text:
        found = ", ".join(n[:40] for n in names[:10])
        raise Unreadable("NoText", f"the header names no column of text (found: {found}); call it one of {_TEXT_NAMES}")
    lines.read_row(delimiter)
    return names, delimiter


def _encoding(source: ByteSource) -> str:
    """The charset of the file, from its beginning. UTF-16 is UTF-8 by the time its lines are read."""
    head = source.peek(_SAMPLE_BYTES)
    cut = head.rfind(b"\n") + 1 or len(head)
    _, encoding = charset.decode(head[:cut])
    return "utf-8" if encoding.startswith("utf") else encoding


class _Lines:
    """Lines of text for csv.reader, with those of the row at hand kept so that it can be begun anew one line further on."""

    def __init__(self, lines: Iterator[Line], encoding: str, max_bytes: int) -> None:
        self._lines = lines
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._ahead: deque[Line] = deque()
        self._taken: list[Line] = []
        self._taken_bytes = 0

    def next_number(self) -> int | None:
        """Number of the line that the next row begins on, None at the end."""
        line = self._next()
        if line is None:
            return None
        self._ahead.appendleft(line)
        return line.number

    def peek_row(self, delimiter: str) -> list[str]:
        """The next row, which is still to be read."""
        row = self.read_row(delimiter) or []
        self._ahead.extendleft(reversed(self._taken))
        return row

    def read_row(self, delimiter: str) -> list[str] | None:
        """The next row, None for a blank line. After a fault the row's first line is spent, and the rest is read anew."""
        self._taken = []
        self._taken_bytes = 0
        try:
            row = next(csv.reader(self, delimiter=delimiter), None)
        except _Unclosed:
            self._ahead.extendleft(reversed(self._taken[1:]))
            raise
        except csv.Error as fault:
            self._ahead.extendleft(reversed(self._taken[1:]))
            raise Unreadable("BadRow", f"{fault}; quote the field") from None
        return row or None

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._next()
        if line is None:
            if self._taken:
                raise _Unclosed
            raise StopIteration
        if line.data is None:
            if self._taken:
                self._ahead.appendleft(line)
                raise _Unclosed
            raise too_long(line, self._max_bytes)
        self._taken.append(line)
        self._taken_bytes += len(line.data) + 1
        if self._taken_bytes > self._max_bytes and len(self._taken) > 1:
            raise _Unclosed
        return self._decode(line.data).removesuffix("\r") + "\n"

    def _next(self) -> Line | None:
        return self._ahead.popleft() if self._ahead else next(self._lines, None)

    def _decode(self, data: bytes) -> str:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return charset.decode(data)[0] if self._encoding == "utf-8" else data.decode(self._encoding, "replace")
