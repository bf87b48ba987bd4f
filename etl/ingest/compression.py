"""Bytes out of a stream that may be compressed: recognised by magic bytes, bounded, and readable up to the damage."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, Protocol

import zstandard

from etl.ingest.records import Limits, Unreadable

BLOCK_BYTES: Final = 1 << 18
_SLICE_BYTES: Final = 1 << 16
_ZSTD_SLICE_BYTES: Final = 1 << 10  # outside of blocks: at most 32 MiB out
_ZSTD_LONGEST_HEADER: Final = 18
_ZSTD_BLOCK_HEADER: Final = 3
_XZ_MEMORY_BYTES: Final = 256 << 20
MAX_NESTING: Final = 2

_MAGIC: Final = {"gzip": b"\x1f\x8b\x08", "zstd": b"\x28\xb5\x2f\xfd", "xz": b"\xfd7zXZ\0", "bzip2": b"BZh"}
_BZIP2_STARTS: Final = (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90")


class ByteSource:
    """A stream of bytes with a look ahead, that counts what it gave.

    `read` raises Unreadable where the input is damaged; a later `read` goes on after the damage where that is possible
    (at the next member of a gzip file), else it says that the stream is at its end.
    """

    def __init__(self, pieces: Iterator[bytes | Unreadable]) -> None:
        self._pieces = pieces
        self._ahead = b""
        self._fault: Unreadable | None = None
        self.offset = 0
        """Bytes given so far."""
        self.raw: BinaryIO | None = None
        """The stream itself, if it is not compressed and can be read in any order."""

    def read(self, size: int = BLOCK_BYTES) -> bytes:
        """Up to `size` bytes, at least one unless at the end."""
        if not self._ahead:
            self._fill(1)
        if not self._ahead and self._fault:
            fault, self._fault = self._fault, None
            raise fault
        if len(self._ahead) <= size:
            out, self._ahead = self._ahead, b""
        else:
            out, self._ahead = self._ahead[:size], self._ahead[size:]
        self.offset += len(out)
        return out

    def read_all(self, limit: int) -> bytes:
        """Everything that is left; more than `limit` bytes are refused without being held."""
        parts: list[bytes] = []
        total = 0
        while block := self.read():
            total += len(block)
            if total > limit:
                raise Unreadable(
                    "TooLarge",
                    f"the record is larger than {limit} bytes; split it, or raise the limit max_record_bytes",
                )
            parts.append(block)
        return b"".join(parts)

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end or where the damage begins; they are still to be read."""
        self._fill(size)
        return self._ahead[:size]

    def blocks(self) -> Iterator[bytes]:
        """The rest in blocks."""
        while block := self.read():
            yield block

    def _fill(self, size: int) -> None:
        parts, have = [self._ahead] if self._ahead else [], len(self._ahead)
        while have < size and self._fault is None:
            try:
                piece = next(self._pieces, None)
            except Unreadable as fault:  # from a layer below
                piece = fault
            if piece is None:
                break
            if isinstance(piece, Unreadable):
                self._fault = piece
            else:
                parts.append(piece)
                have += len(piece)
        if parts:
            self._ahead = parts[0] if len(parts) == 1 else b"".join(parts)


def open_source(stream: BinaryIO, *, size: int, limits: Limits) -> tuple[ByteSource, tuple[str, ...]]:
    """The decompressed bytes of `stream`, and the compressions found, outermost first.

    size: of the compressed file, in bytes. Compression is told from magic bytes alone, and undone MAX_NESTING deep at most.
    """
    pieces: Iterator[bytes | Unreadable] = iter(lambda: stream.read(BLOCK_BYTES), b"")
    found: list[str] = []
    source = ByteSource(pieces)
    while kind := compression_of(source.peek(16)):
        if len(found) == MAX_NESTING:
            raise Unreadable(
                "BadCompression",
                f"compressed more than {MAX_NESTING} times over; decompress the file once and try again",
            )
        found.append(kind)
        source = ByteSource(_together(_expand(source, kind)))
    bounded = ByteSource(_bounded(source, size=max(size, 1) if found else 0, limits=limits))
    bounded.raw = stream if not found and stream.seekable() else None
    return bounded, tuple(found)


def compression_of(head: bytes) -> str:
    """The compression that `head`, a file's first 16 bytes, names: gzip, zstd, xz, bzip2, or "" for none."""
    if head[1:4] == b"\x2a\x4d\x18" and head[:1] and 0x50 <= head[0] <= 0x5F:
        return "zstd"  # a skippable frame
    for kind, magic in _MAGIC.items():
        if head.startswith(magic) and (kind != "bzip2" or (head[3:4].isdigit() and head[4:10] in _BZIP2_STARTS)):
            return kind
    return ""


def decompress(data: bytes, kind: str, *, limit: int) -> bytes:
    """`data` decompressed (gzip, deflate, zstd, xz, bzip2); refused beyond `limit` bytes, which are never held."""
    source = ByteSource(_expand(ByteSource(iter([data])), kind))
    return source.read_all(limit)


class _Decoder(Protocol):
    """One member of a compressed stream."""

    eof: bool
    unused: bytes

    def feed(self, data: bytes) -> Iterator[bytes]: ...


class _Gzip:
    def __init__(self, wbits: int = 31) -> None:
        self._inner = zlib.decompressobj(wbits)
        self.eof = False
        self.unused = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            yield self._inner.decompress(data, BLOCK_BYTES)
            if self._inner.eof:
                self.eof, self.unused = True, self._inner.unused_data
                return
            data = self._inner.unconsumed_tail


class _Deflate:
    """HTTP's deflate: zlib by the book, raw by habit."""

    def __init__(self) -> None:
        self._inner: _Gzip | None = None
        self.eof = False
        self.unused = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            self._inner = _Gzip(
                15 if len(data) > 1 and data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0 else -15
            )
        yield from self._inner.feed(data)
        self.eof, self.unused = self._inner.eof, self._inner.unused


class _Bzip2OrXz:
    def __init__(self, inner: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._inner = inner
        self.eof = False
        self.unused = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield self._inner.decompress(data, BLOCK_BYTES)
        while not self._inner.eof and not self._inner.needs_input:
            yield self._inner.decompress(b"", BLOCK_BYTES)
        if self._inner.eof:
            self.eof, self.unused = True, self._inner.unused_data


class _Zstd:
    """Takes a block at a time, of at most 128 KiB: zstd can't be told how much to give back, and one block more is that much more."""

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor().decompressobj()
        self._begun = self._in_blocks = False
        self._left = 0  # bytes up to the next block
        self._rest = b""
        self.eof = False
        self.unused = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        data, self._rest = self._rest + data, b""
        if not self._begun:
            self._begun = True
            self._in_blocks = data.startswith(_MAGIC["zstd"]) and len(data) >= _ZSTD_LONGEST_HEADER
            self._left = zstandard.frame_header_size(data) if self._in_blocks else 0
        start = 0
        while start < len(data):
            if not self._left and not self._in_blocks:  # behind the last block
                self._left = _ZSTD_SLICE_BYTES
            elif not self._left:
                if len(data) - start < _ZSTD_BLOCK_HEADER:
                    self._rest = data[start:]
                    return
                self._left = self._block(data[start : start + _ZSTD_BLOCK_HEADER])
            end = min(start + self._left, len(data))
            yield self._inner.decompress(data[start:end])
            if self._inner.eof:
                self.eof, self.unused = True, self._inner.unused_data + data[end:]
                return
            self._left -= end - start
            start = end

    def _block(self, header: bytes) -> int:
        """How long the block with this header is, in bytes. (RFC 8878, 3.1.1.2)"""
        told = int.from_bytes(header, "little")
        self._in_blocks = not told & 1
        repeats_a_byte = told >> 1 & 3 == 1
        return _ZSTD_BLOCK_HEADER + (1 if repeats_a_byte else told >> 3)


_DECODERS: Final[dict[str, Callable[[], _Decoder]]] = {
    "gzip": _Gzip,
    "deflate": _Deflate,
    "zstd": _Zstd,
    "bzip2": lambda: _Bzip2OrXz(bz2.BZ2Decompressor()),
    "xz": lambda: _Bzip2OrXz(lzma.LZMADecompressor(format=lzma.FORMAT_AUTO, memlimit=_XZ_MEMORY_BYTES)),
}
_REMEDY: Final = "fetch the file again"
_FAULTS: Final = (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError, zstandard.ZstdError)


def _expand(source: ByteSource, kind: str) -> Iterator[bytes | Unreadable]:
    """The members of a compressed stream, one after the other; after damage goes on at the next gzip or zstd member."""
    pending = b""
    members = 0
    while pending or (pending := source.read(_SLICE_BYTES)):
        if kind != "deflate":
            if members:
                pending = (
                    pending.lstrip(b"\0") if kind in ("gzip", "xz") else pending
                )  # padding between and after members
                if not pending:
                    continue
            if len(pending) < 16:
                pending += source.read(_SLICE_BYTES)
            if compression_of(pending[:16]) != kind:
                where = source.offset - len(pending)
                yield Unreadable("BadCompression", f"what follows byte {where} is not {kind}; {_REMEDY}")
                pending = _next_member(source, pending[1:], kind)
                continue
        members += 1
        decoder = _DECODERS[kind]()
        begun = source.offset - len(pending)
        data, first = pending, True
        try:
            while True:
                yield from decoder.feed(data)
                if decoder.eof:
                    pending = decoder.unused
                    break
                data, first = source.read(_SLICE_BYTES), False
                if not data:
                    if kind != "deflate":
                        yield Unreadable(
                            "BadCompression",
                            f"the {kind} stream begun at byte {begun} breaks off at the end of the file; {_REMEDY}",
                        )
                    return
        except _FAULTS as fault:
            yield Unreadable(
                "BadCompression", f"the {kind} stream begun at byte {begun} is damaged ({fault}); {_REMEDY}"
            )
            pending = _next_member(source, data[1:] if first else data, kind)


def _next_member(source: ByteSource, pending: bytes, kind: str) -> bytes:
    """What is left of `source` from the next member on, b"" when there is none."""
    magic = _MAGIC.get(kind, b"")
    if kind not in ("gzip", "zstd"):
        while source.read():
            pass
        return b""
    while True:
        at = pending.find(magic)
        if at >= 0 and len(pending) - at >= 4:
            if kind == "zstd" or pending[at + 3] & 0xE0 == 0:
                return pending[at:]
            pending = pending[at + 3 :]
            continue
        more = source.read(_SLICE_BYTES)
        if not more:
            return b""
        pending = pending[-3:] + more


def _together(pieces: Iterator[bytes | Unreadable]) -> Iterator[bytes | Unreadable]:
    """The same bytes in pieces of about BLOCK_BYTES."""
    parts: list[bytes] = []
    have = 0
    for piece in pieces:
        if isinstance(piece, Unreadable):
            if parts:
                yield b"".join(parts)
                parts, have = [], 0
            yield piece
            continue
        parts.append(piece)
        have += len(piece)
        if have >= BLOCK_BYTES:
            yield b"".join(parts)
            parts, have = [], 0
    if have:
        yield b"".join(parts)


def _bounded(source: ByteSource, *, size: int, limits: Limits) -> Iterator[bytes | Unreadable]:
    """The pieces of `source`, until they come to more than the limits allow. size: compressed; 0 when not compressed."""
    while True:
        try:
            block = source.read()
        except Unreadable as fault:
            yield fault
            continue
        if not block:
            return
        if source.offset > limits.max_file_bytes:
            yield Unreadable(
                "TooLarge",
                f"the file holds more than {limits.max_file_bytes} bytes; split it, or raise the limit max_file_bytes",
            )
            return
        if size and source.offset > max(limits.expansion_floor_bytes, limits.max_expansion * size):
            yield Unreadable(
                "TooLarge",
                f"{size} compressed bytes grew to more than {source.offset}, over {limits.max_expansion} times as many, as a zip bomb "
                "does; if the file is genuine, decompress it first or raise the limit max_expansion",
            )
            return
        yield block
