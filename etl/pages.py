"""Single texts of a Parquet column: its pages found by their headers, of which only those are unpacked that hold one.

Arrow and Polars unpack a whole row group for each. As the format's specification says: a column chunk is pages one behind the
other, each a header in Thrift's compact protocol and then what it says; a page of the first kind with plain encoding holds, packed,
levels, where the column has them, and length and bytes of each text.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl import kernels

Array = npt.NDArray[Any]


class Page(NamedTuple):
    """A page that holds wanted rows. at, packed: where its content begins in the chunk, and how many bytes it has there. size: and
    unpacked. first: the row of its first text. past: how many of the wanted rows are in it or before it."""

    at: int
    packed: int
    size: int
    first: int
    past: int


def texts_in(chunk: pa.Buffer, rows: Sequence[int], *, most: int, levels: bool) -> list[str] | None:
    """The texts in some `rows` (in order, each once) of a column chunk packed by zstd. most: how many bytes it has unpacked.
    levels: whether its pages have levels. None where pages are of another kind. Raises ValueError, IndexError or OSError where
    it is damaged."""
    wanted = np.array(rows, np.int64)
    ways = (_pages_by_kernel, _places_by_kernel) if kernels.library() is not None else (_pages, _places)
    pages = ways[0](chunk, wanted, most)
    if pages is None:
        return None
    codec, view = pa.Codec("zstd"), memoryview(chunk)
    texts: list[str] = []
    for page in pages:
        unpacked = codec.decompress(view[page.at : page.at + page.packed], page.size, asbytes=True)
        begin = 4 + int.from_bytes(unpacked[:4], "little") if levels else 0
        places = ways[1](unpacked, begin, wanted[len(texts) : page.past] - page.first)
        texts += [unpacked[first:past].decode() for first, past in places]
    return texts


def _pages(chunk: pa.Buffer, rows: Array, most: int) -> list[Page] | None:
    """The pages that hold `rows`; None where one up to the last of them is of another kind."""
    view = memoryview(chunk).cast("B")
    pages: list[Page] = []
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
            pages.append(Page(at, packed, size, first, past))
            done = past
        first += values
        at += packed
    return pages


def _pages_by_kernel(chunk: pa.Buffer, rows: Array, most: int) -> list[Page] | None:
    library = kernels.library()
    assert library is not None
    found, count = np.empty((len(rows), len(Page._fields)), np.int64), ctypes.c_int64()
    library.winnow_pages.restype = ctypes.c_int
    told = library.winnow_pages(
        ctypes.c_void_p(chunk.address),
        ctypes.c_int64(chunk.size),
        kernels.pointer(rows),
        ctypes.c_int64(len(rows)),
        ctypes.c_int64(most),
        kernels.pointer(found),
        ctypes.byref(count),
    )
    if told == _DAMAGED:
        raise ValueError(f"a page that begins before byte {chunk.size} of {chunk.size} says what can't be")
    return None if told == _OTHER else [Page(*page) for page in found[: count.value].tolist()]


_DAMAGED: Final = 2
_OTHER: Final = 1


def _places(page: bytes, begin: int, rows: Array) -> list[tuple[int, int]]:
    """Where the texts in `rows` of a page lie. begin: where the first one's length stands."""
    places = []
    wanted = iter(rows.tolist())
    row = next(wanted, -1)
    for number in range(rows[-1] + 1):
        first = begin + 4
        if first > len(page):
            raise ValueError(f"a page ends before its text {number}")
        begin = first + int.from_bytes(page[begin:first], "little")
        if begin > len(page):
            raise ValueError(f"a page ends within its text {number}")
        if number == row:
            places.append((first, begin))
            row = next(wanted, -1)
    return places


def _places_by_kernel(page: bytes, begin: int, rows: Array) -> list[tuple[int, int]]:
    library = kernels.library()
    assert library is not None
    places = np.empty((len(rows), 2), np.int64)
    library.winnow_texts_of_page.restype = ctypes.c_int64
    done = library.winnow_texts_of_page(
        page,
        ctypes.c_int64(len(page)),
        ctypes.c_int64(begin),
        kernels.pointer(rows),
        ctypes.c_int64(len(rows)),
        kernels.pointer(places),
    )
    if done < len(rows):
        raise ValueError("a page ends before its last text")
    return [(first, past) for first, past in places.tolist()]


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
