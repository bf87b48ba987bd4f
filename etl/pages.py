"""Single texts of a Parquet column: its pages found by their headers, of which only those are unpacked that hold one.

Arrow and Polars unpack a whole row group for each. As the format's specification says: a column chunk is pages one behind the
other, each a header in Thrift's compact protocol and then what it says; a page of the first kind with plain encoding holds, packed,
levels, where the column has them, and length and bytes of each text.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import zstandard

from etl import kernels

Array = npt.NDArray[Any]

PAGE: Final = ("at", "packed", "size", "first", "past")
"""A page that holds wanted rows: where its content begins in the chunk, how many bytes it has there, and unpacked; the row of its
first text; how many of the wanted rows are in it or before it."""

PAGES_AT_ONCE: Final = 256  # unpacked in memory
_MOST_FIELDS: Final = (1 << 15) - 1
_NOT_TOLD: Final = -1  # how many bytes are packed
_OTHER: Final = 1
_DAMAGED: Final = 2
"""What `winnow_pages` says of pages: of another kind, damaged."""


def texts_in(chunk: pa.Buffer, rows: Array, *, most: int, levels: bool) -> pl.Series | None:
    """The texts in some `rows` (i64, in order, each once) of a column chunk packed by zstd. most: how many bytes it has unpacked.
    levels: whether its pages have levels. None where pages are of another kind. Raises ValueError, LookupError, TypeError, ZstdError,
    RecursionError or ArrowInvalid where it is damaged."""
    with_kernels = kernels.library() is not None
    pages = (_pages_by_kernel if with_kernels else _pages)(chunk, rows, most)
    if pages is None:
        return None
    read, done = [pl.Series(dtype=pl.String)], 0
    for first in range(0, len(pages), PAGES_AT_ONCE):
        some = pages[first : first + PAGES_AT_ONCE].copy()
        some[:, -1] -= done
        asked = rows[done : done + some[-1, -1]]
        texts = (_texts_by_kernel if with_kernels else _texts)(_unpacked(chunk, some), some, asked, levels=levels)
        if len(texts) < len(asked):
            raise ValueError(f"a page ends before the text in row {asked[len(texts)]}")
        read.append(texts)
        done += len(asked)
    return pl.concat(read)


def _unpacked(chunk: pa.Buffer, pages: Array) -> list[bytes]:
    """The content of each page. By zstandard: Arrow makes its tables anew for each, a tenth of the time."""
    unpack, view = zstandard.ZstdDecompressor().decompress, memoryview(chunk)
    unpacked = []
    for at, packed, size, *_ in pages.tolist():
        page = view[at : at + packed]
        if zstandard.frame_content_size(page) not in (size, _NOT_TOLD):
            raise ValueError(f"a page of {size} bytes is packed as one of another size")
        unpacked.append(unpack(page, max_output_size=size))
        if len(unpacked[-1]) != size:
            raise ValueError(f"a page of {size} bytes has {len(unpacked[-1])}")
    return unpacked


def _pages(chunk: pa.Buffer, rows: Array, most: int) -> Array | None:
    """The pages that hold `rows`, a row each with the columns PAGE; None where one up to the last of them is of another kind."""
    view = memoryview(chunk).cast("B")
    pages: list[tuple[int, ...]] = []
    at = first = done = 0
    while done < len(rows):
        header, at = _structure(view, at)
        if header.get(1) != 0 or 5 not in header:
            return None
        size, packed, values = header[2], header[3], header[5][1]
        if not (0 <= size <= most and 0 < packed <= len(view) - at and values > 0):
            raise ValueError(f"a page says that it has {values} values in {packed} bytes")
        past = bisect_left(rows, first + values)
        if past > done:
            pages.append((at, packed, size, first, past))
            done = past
        first += values
        at += packed
    return np.array(pages, np.int64).reshape(-1, len(PAGE))


def _pages_by_kernel(chunk: pa.Buffer, rows: Array, most: int) -> Array | None:
    library = kernels.library()
    assert library is not None
    pages, count = np.empty((len(rows), len(PAGE)), np.int64), ctypes.c_int64()
    library.winnow_pages.restype = ctypes.c_int
    told = library.winnow_pages(
        ctypes.c_void_p(chunk.address),
        ctypes.c_int64(chunk.size),
        kernels.pointer(rows),
        ctypes.c_int64(len(rows)),
        ctypes.c_int64(most),
        kernels.pointer(pages),
        ctypes.byref(count),
    )
    if told == _DAMAGED:
        raise ValueError(f"a page that begins before byte {count.value} of its column says what can't be")
    return None if told == _OTHER else pages[: count.value]


def _texts(unpacked: Sequence[bytes], pages: Array, rows: Array, *, levels: bool) -> pl.Series:
    """The texts in `rows`, from the pages that hold them, up to one that a page hasn't all of."""
    texts: list[str] = []
    for page, (*_, first, past) in zip(unpacked, pages.tolist(), strict=True):
        end = 4 + int.from_bytes(page[:4], "little") if levels else 0
        row = first
        while len(texts) < past:
            begin = end + 4
            end = begin + int.from_bytes(page[begin - 4 : begin], "little")
            if max(begin, end) > len(page):
                return pl.Series(texts, dtype=pl.String)
            if row == rows[len(texts)]:
                texts.append(page[begin:end].decode())
            row += 1
    return pl.Series(texts, dtype=pl.String)


def _texts_by_kernel(unpacked: Sequence[bytes], pages: Array, rows: Array, *, levels: bool) -> pl.Series:
    library = kernels.library()
    assert library is not None
    library.winnow_page_texts.restype = ctypes.c_void_p
    made = library.winnow_page_texts(
        (ctypes.c_char_p * len(unpacked))(*unpacked),
        kernels.pointer(pages),
        ctypes.c_int64(len(pages)),
        ctypes.c_int(levels),
        kernels.pointer(rows),
    )
    found = kernels.take_arrays("winnow_page_texts", made, (("text", np.uint8), ("offsets", np.int64)))
    texts = kernels.text_array(found["text"], found["offsets"])
    texts.validate(full=True)  # of a damaged file they may be no UTF-8
    return pl.Series(texts, dtype=pl.String)


def _structure(view: memoryview, at: int) -> tuple[dict[int, Any], int]:
    """(field -> value, end) of the structure at `at` in Thrift's compact protocol, with what a page's header may hold: whole
    numbers, flags, bytes, structures."""
    fields: dict[int, Any] = {}
    field = 0
    while head := view[at]:
        at += 1
        step, kind = divmod(head, 16)
        if step:
            field += step
        else:
            field, at = _zigzag(view, at)
        if not 1 <= field <= _MOST_FIELDS:
            raise ValueError(f"the header of a page has a field {field}")
        if kind in (1, 2):
            fields[field] = kind == 1
        elif kind in (4, 5, 6):
            fields[field], at = _zigzag(view, at)
        elif kind == 8:
            size, at = _varint(view, at)
            fields[field], at = bytes(view[at : at + size]), at + size
        elif kind == 12:
            fields[field], at = _structure(view, at)
        else:
            raise ValueError(f"the header of a page has a field of type {kind}")
    return fields, at + 1


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _zigzag(view: memoryview, at: int) -> tuple[int, int]:
    value, at = _varint(view, at)
    return (value >> 1) ^ -(value & 1), at
