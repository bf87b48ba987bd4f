"""The lines of a byte stream, a block at a time; a line that is too long passes by without being held."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from etl.ingest import charset
from etl.ingest.compression import ByteSource
from etl.ingest.records import Unreadable

CHUNK_BYTES: Final = 4 << 20


class Line(NamedTuple):
    """One line without its newline. data is None for a line over the limit. number: from 1. offset: of its first byte."""

    number: int
    offset: int
    data: bytes | None


class Chunk(NamedTuple):
    """Whole lines with their newlines, which the last may lack. number: of the first. offset: of its first byte. newlines: where
    they stand in `data`."""

    number: int
    offset: int
    data: bytes
    newlines: npt.NDArray[Any]


def read_lines(source: ByteSource, *, max_bytes: int) -> Iterator[Line]:
    """The lines of `source` up to its end or the damage in it; what damage leaves of a line is not given out.

    A byte order mark goes; UTF-16 and UTF-32 come out as UTF-8 (offsets then count those bytes).
    """
    yield from _lines(to_utf8(source), 1, 0, max_bytes)


def read_chunks(source: ByteSource, *, max_bytes: int) -> Iterator[Chunk | Line]:
    """The lines that `read_lines` gives, many at a time; from the first one over the limit by more than a chunk on one by one."""
    number, offset = 1, 0
    held: list[bytes] = []
    held_bytes, wanted_bytes = 0, CHUNK_BYTES
    blocks = to_utf8(source)
    while True:
        fault = None
        try:
            block = next(blocks, None)
        except Unreadable as damage:
            block, fault = None, damage
        if block is not None:
            held.append(block)
            held_bytes += len(block)
            if held_bytes < wanted_bytes:
                continue
        data = b"".join(held)
        end = len(data) if block is None and fault is None else data.rfind(b"\n") + 1
        if end:
            newlines = np.flatnonzero(np.frombuffer(data, np.uint8, end) == ord("\n"))
            yield Chunk(number, offset, data[:end] if end < len(data) else data, newlines)
            number += len(newlines)
            offset += end
        if fault:
            raise fault
        if block is None:
            return
        held = [data[end:]]
        held_bytes = len(held[0])
        if held_bytes > max_bytes:
            yield from _lines(chain(held, blocks), number, offset, max_bytes)
            return
        wanted_bytes = max(CHUNK_BYTES, min(2 * held_bytes, max_bytes + CHUNK_BYTES))


def _lines(blocks: Iterable[bytes], number: int, offset: int, max_bytes: int) -> Iterator[Line]:
    held: list[bytes] = []
    held_bytes = 0
    for block in blocks:
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
