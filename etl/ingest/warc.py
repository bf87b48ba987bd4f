"""WARC and WET: responses of HTML and plain text, and conversion records. A broken record costs one reject.

fastwarc reads the records. It gives up a file at its first fault, so records are told apart here, and each is handed to it alone; that
also keeps no more than one record in memory.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from etl.ingest import charset
from etl.ingest.compression import ByteSource, compression_of, decompress
from etl.ingest.fields import parse_time, to_str
from etl.ingest.html import html_to_document
from etl.ingest.records import Limits, Reject, Row, Unreadable, doc_id, is_empty

HTML_TYPES: Final = frozenset({"text/html", "application/xhtml+xml"})
TEXT_TYPES: Final = frozenset({"text/plain"})
WANTED: Final = frozenset({b"response", b"resource", b"conversion"})

_MOST_HEADER_BYTES: Final = 1 << 16
_HEADER_END: Final = re.compile(rb"\r?\n\r?\n")
_LENGTH: Final = re.compile(
    rb"^content-length[ \t]{0,10}:[ \t]{0,10}(\d{1,18})[ \t]{0,10}\r?$", re.IGNORECASE | re.MULTILINE
)
_TYPE: Final = re.compile(rb"^warc-type[ \t]{0,10}:[ \t]{0,10}(\w{1,20})", re.IGNORECASE | re.MULTILINE)
_NEXT_RECORD: Final = re.compile(rb"\nWARC/[01]\.\d\r?\n")
_LONGEST_MARK: Final = 16
_REMEDY: Final = "fetch the file again"


class _Framed(NamedTuple):
    """One WARC record's bytes. data is b"" for a record that is not wanted."""

    number: int
    offset: int
    data: bytes
    header_bytes: int


def read_warc(source: ByteSource, *, name: str, limits: Limits) -> Iterator[Row | Reject]:
    """The pages of a WARC or WET file, with the record's number in the file. name: the `source` of its documents.

    Requests, metadata, redirects, error pages, pictures and the like are passed over.
    """
    for framed in _Frames(source, name=name, limits=limits).records():
        if isinstance(framed, Reject):
            yield framed
        elif framed.data:
            try:
                row = _to_row(framed, name=name, limits=limits)
            except Unreadable as fault:
                yield Reject(
                    name, framed.number, fault.error, f"record {framed.number} (byte {framed.offset}): {fault.message}"
                )
            except BaseException as fault:
                if type(fault).__name__ != "PanicException":  # fastwarc is Rust, and its panics are no Exception
                    raise
                yield Reject(
                    name, framed.number, "BadWarc", f"record {framed.number} (byte {framed.offset}): can't be parsed"
                )
            else:
                if row is not None:
                    yield row


class _Frames:
    """The records of a WARC stream told apart; what lies between a fault and the next record is passed over."""

    def __init__(self, source: ByteSource, *, name: str, limits: Limits) -> None:
        self._source = source
        self._name = name
        self._limits = limits
        self._ahead = b""
        self._number = 0
        self._fault: Unreadable | None = None
        self._ended = False

    def records(self) -> Iterator[_Framed | Reject]:
        while True:
            try:
                framed = self._next()
            except Unreadable as fault:
                self._number += 1
                yield Reject(self._name, self._number, fault.error, f"record {self._number}: {fault.message}")
                continue
            if framed is None:
                return
            yield framed

    def _next(self) -> _Framed | None:
        """The next record, None at the end; after a fault has been raised the one after it."""
        while True:  # blank lines between records
            self._ahead = self._ahead.lstrip(b"\r\n\0")
            if self._ahead or not self._fill():
                break
        if not self._ahead:
            return None
        self._want(_LONGEST_MARK)
        offset = self._offset()
        if not self._ahead.startswith(b"WARC/"):
            self._resynchronise()
            raise Unreadable("BadWarc", f"what begins at byte {offset} is no WARC record; {_REMEDY}")
        end = self._header_end()
        header = self._ahead[:end]
        length = _LENGTH.search(header)
        kind = _TYPE.search(header)
        if not end or length is None:
            self._ahead = self._ahead[5:]
            self._resynchronise()
            raise Unreadable(
                "BadWarc", f"the record at byte {offset} has no whole header, or no Content-Length; {_REMEDY}"
            )
        size = end + int(length[1])
        if int(length[1]) > self._limits.max_record_bytes:
            self._skip(size, watch=True)
            if kind is None or kind[1].lower() not in WANTED:
                self._number += 1
                return _Framed(self._number, offset, b"", end)
            raise Unreadable(
                "TooLarge",
                f"the record at byte {offset} is larger than {self._limits.max_record_bytes} bytes; raise the limit max_record_bytes to read it",
            )
        whole = self._want(size)
        data = self._ahead[:size]
        rest_is_right = whole and self._at_boundary(size)
        if not rest_is_right:
            inner = _NEXT_RECORD.search(self._ahead, 5, size)
            self._ahead = self._ahead[inner.start() + 1 :] if inner else self._ahead[size:]
            if not inner:
                self._resynchronise()
            raise Unreadable(
                "BadWarc", f"the record at byte {offset} is not as long as its Content-Length says; {_REMEDY}"
            )
        self._ahead = self._ahead[size:]
        self._number += 1
        wanted = kind is not None and kind[1].lower() in WANTED
        return _Framed(self._number, offset, data if wanted else b"", end)

    def _offset(self) -> int:
        return self._source.offset - len(self._ahead)

    def _fill(self) -> bool:
        """Whether there was more to read. Damage is raised once what came before it is used up."""
        if self._fault is not None:
            fault, self._fault = self._fault, None
            self._ahead = b""
            raise fault
        if self._ended:
            return False
        block = self._source.read()
        self._ahead += block
        self._ended = not block
        return bool(block)

    def _want(self, size: int) -> bool:
        """Whether `size` bytes are ahead now."""
        if len(self._ahead) >= size:
            return True
        parts, have = [self._ahead], len(self._ahead)
        self._ahead = b""
        while have < size:
            if not self._fill():
                break
            parts.append(self._ahead)
            have += len(self._ahead)
            self._ahead = b""
        self._ahead = b"".join(parts)
        return have >= size

    def _header_end(self) -> int:
        """Where the header of the record ahead ends, 0 if it does not."""
        have = 0
        while True:
            found = _HEADER_END.search(self._ahead, 0, _MOST_HEADER_BYTES)
            if found:
                return found.end()
            if len(self._ahead) >= _MOST_HEADER_BYTES or len(self._ahead) == have:
                return 0
            have = len(self._ahead)
            self._want(min(have + 4096, _MOST_HEADER_BYTES))

    def _at_boundary(self, size: int) -> bool:
        """Whether the end of a record, the next one or the end of the file follows after `size` bytes. Damage ahead waits."""
        try:
            self._want(size + _LONGEST_MARK)
        except Unreadable as fault:
            self._fault = fault
            return True
        follows = self._ahead[size : size + _LONGEST_MARK]
        return follows.startswith((b"\r\n\r\n", b"\n\n")) or follows.lstrip(b"\r\n\0")[:5] in (b"", b"WARC/")

    def _resynchronise(self) -> None:
        """Passes over what is ahead up to the next record."""
        while True:
            found = _NEXT_RECORD.search(self._ahead)
            if found:
                self._ahead = self._ahead[found.start() + 1 :]
                return
            self._ahead = self._ahead[-_LONGEST_MARK:]
            if not self._fill():
                self._ahead = b""
                return

    def _skip(self, size: int, *, watch: bool) -> None:
        """Passes over `size` bytes without holding them; if they run into another record (a wrong length), only up to that."""
        self._ahead = self._ahead[5:]
        left = size - 5
        while left > 0:
            found = _NEXT_RECORD.search(self._ahead, 0, left) if watch else None
            if found:
                self._ahead = self._ahead[found.start() + 1 :]
                return
            if len(self._ahead) >= left:
                self._ahead = self._ahead[left:]
                return
            spent = max(0, len(self._ahead) - _LONGEST_MARK)
            self._ahead = self._ahead[spent:]
            left -= spent
            if not self._fill():
                self._ahead = b""
                return


def _to_row(framed: _Framed, *, name: str, limits: Limits) -> Row | None:
    """The record's document; None when it is of a kind that is passed over."""
    record = _parse(framed.data)
    if record is None:
        raise Unreadable("BadWarc", f"its header can't be read; {_REMEDY}")
    headers = {key.lower(): value for key, value in record.headers.items()}
    url = to_str((headers.get("warc-target-uri") or "").strip("<> "))
    content = framed.data[framed.header_bytes :]
    declared: str | None = None
    if record.record_type == WarcRecordType.conversion:
        payload, kind = content, "text/plain"
    elif record.record_type == WarcRecordType.resource:
        payload, kind = content, (headers.get("content-type") or "").split(";")[0].strip().lower()
    else:
        http = _parse_http(framed.data)
        if http is None:
            raise Unreadable("BadWarc", f"its HTTP header can't be read; {_REMEDY}")
        if not 200 <= http.status < 300 or (http.kind and http.kind not in HTML_TYPES | TEXT_TYPES):
            return None
        payload = _decoded(http, limit=limits.max_record_bytes)
        kind = http.kind or ("text/html" if b"<html" in payload[:2048].lower() else "")
        declared = http.charset
    if kind not in HTML_TYPES | TEXT_TYPES:
        return None
    fetched_at = parse_time(headers.get("warc-date"))
    identity = doc_id(name, framed.number, content)
    source_id = to_str((headers.get("warc-record-id") or "").strip("<> "))
    if kind in HTML_TYPES:
        text, encoding = charset.decode(payload, declared=declared or charset.declared_charset(payload))
        page = html_to_document(text, url)
        authors, published_at = page.authors, page.published_at
        return Row(
            identity,
            name,
            framed.number,
            source_id,
            url or page.url,
            None,
            page.title,
            authors,
            published_at,
            fetched_at,
            None,
            page.text,
            encoding,
            page.markup,
        )
    text, encoding = charset.decode(payload, declared=declared)
    if is_empty(text):
        raise Unreadable("EmptyRecord", "the text has no visible character")
    return Row(identity, name, framed.number, source_id, url, None, None, None, None, fetched_at, None, text, encoding)


class _Http(NamedTuple):
    """An HTTP response: its status, content type in lower case without parameters, charset, content encodings, and body."""

    status: int
    kind: str
    charset: str | None
    encodings: tuple[str, ...]
    body: bytes


def _parse(data: bytes) -> WarcRecord | None:
    try:
        return next(iter(ArchiveIterator(io.BytesIO(data), parse_http=False, stream_detect=False)), None)
    except (OSError, ValueError):
        return None


def _parse_http(data: bytes) -> _Http | None:
    """The record's HTTP response, chunks put together; a body that says it is chunked and is not, as it is."""
    for transfer in ("transfer", "none"):
        record = _parse(data)
        if record is None:
            return None
        try:
            record.parse_http(auto_decode=transfer)
            headers = record.http_headers
            if headers is None:
                return None
            fields = {key.lower(): value for key, value in headers.items()}
            body = record.reader.read()
        except (OSError, ValueError):
            continue
        kind, _, parameters = fields.get("content-type", "").partition(";")
        named = re.search(r"charset\s{0,5}=\s{0,5}[\"']?([\w.:-]{1,40})", parameters[:500], re.IGNORECASE)
        encodings = tuple(e.strip().lower() for e in fields.get("content-encoding", "")[:200].split(",") if e.strip())
        return _Http(headers.status_code or 0, kind.strip().lower(), named[1] if named else None, encodings, body)
    return None


def _decoded(http: _Http, *, limit: int) -> bytes:
    """The body without its content encodings. One that crawlers have undone already, leaving the header, is seen from the bytes."""
    body = http.body
    for encoding in reversed(http.encodings):
        kind = {"gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd", "deflate": "deflate"}.get(encoding)
        if (
            encoding == "identity"
            or (kind in ("gzip", "zstd") and compression_of(body[:16]) != kind)
            or body[:1] in (b"<", b"")
        ):
            continue
        if kind is None:
            raise Unreadable(
                "BadCompression", f"its content encoding is {encoding[:40]}, which can't be undone; crawl with gzip"
            )
        body = decompress(body, kind, limit=limit)
    return body
