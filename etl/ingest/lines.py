"""The lines of a byte stream, a block at a time; a line that is too long passes by without being held."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import NamedTuple

from etl.ingest import charset
from etl.ingest.compression import ByteSource
from etl.ingest.records import Unreadable


class Line(NamedTuple):
    """One line without its newline. data is None for a line over the limit. number: from 1. offset: of its first byte."""

    number: int
    offset: int
    data: bytes | None


def read_lines(source: ByteSource, *, max_bytes: int) -> Iterator[Line]:
    """The lines of `source` up to its end or the damage in it; what damage leaves of a line is not given out.

    A byte order mark goes; UTF-16 and UTF-32 come out as UTF-8 (offsets then count those bytes).
    """
    number, offset = 1, 0
    held: list[bytes] = []
    held_bytes = 0
    for block in to_utf8(source):
        pieces = block.split(b"\n")
        if len(pieces) > 1:
            first = pieces[0]
            if held:
                held.append(first)
                held_bytes += len(first)
                first = b"".join(held) if held_bytes <= max_bytes else b""
            else:
                held_bytes = len(first)
            yield Line(number, offset, first if held_bytes <= max_bytes else None)
            number += 1
            offset += held_bytes + 1
            for piece in pieces[1:-1]:
                yield Line(number, offset, piece if len(piece) <= max_bytes else None)
                number += 1
                offset += len(piece) + 1
            held, held_bytes = [], 0
        held_bytes += len(pieces[-1])
        if held_bytes <= max_bytes:
            held.append(pieces[-1])
        else:
            held = [b""]
    if held_bytes:
        yield Line(number, offset, b"".join(held) if held_bytes <= max_bytes else None)


def to_utf8(source: ByteSource) -> Iterator[bytes]:
    """The blocks of `source` without a byte order mark; those of UTF-16 and UTF-32 as UTF-8."""
    head = source.peek(4096)
    wide = next((name for mark, name in charset.BOMS if head.startswith(mark)), None)
    if wide is None and head[:2].count(0):  # records and headers begin with an ASCII character
        wide = charset.wide_charset(head)
    if wide is None:
        yield from source.blocks()
    elif wide == "utf-8":
        source.read(len(codecs.BOM_UTF8))
        yield from source.blocks()
    else:
        decoder = codecs.getincrementaldecoder(wide)("replace")
        for block in source.blocks():
            yield decoder.decode(block).removeprefix("\ufeff").encode("utf-8", "replace")
        yield decoder.decode(b"", True).encode("utf-8", "replace")


def too_long(line: Line, max_bytes: int) -> Unreadable:
    """The fault of a line without data."""
    return Unreadable(
        "TooLarge",
        f"line {line.number} (byte {line.offset}) is longer than {max_bytes} bytes; split the record, or raise the limit max_record_bytes",
    )
