"""The compiled kernels, where the package winnow-etl-kernels is installed, and what their C structures look like.

Each kernel has a twin in numpy, beside the code that calls it, which gives the same results; tests hold them together.
WINNOW_KERNELS=off leaves the compiled ones out.
"""

from __future__ import annotations

import ctypes
import json
import logging
import lzma
import os
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

log = logging.getLogger(__name__)

VERSION: Final = 11
SWITCH: Final = "WINNOW_KERNELS"
CHARACTERS: Final = "characters.json.xz"
CODE_POINTS: Final = 0x110000

Array = npt.NDArray[Any]


@cache
def library() -> ctypes.CDLL | None:
    """The shared library, or None where it is not installed, is of another version, or is switched off."""
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no"):
        return None
    try:
        import etl_kernels
    except ImportError:
        return None
    if etl_kernels.VERSION != VERSION:
        log.warning(
            "winnow-etl-kernels has version %s, this needs %s: install both anew; going on without",
            etl_kernels.VERSION,
            VERSION,
        )
        return None
    try:
        return ctypes.CDLL(str(etl_kernels.library()))
    except OSError as error:
        log.warning("the compiled kernels can't be loaded, going on without: %s", error)
        return None


def pointer(array: Array) -> ctypes.c_void_p:
    """Where the array's values lie. The array must be contiguous, and outlive the call."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


_JOINED: Final = (("text", np.uint8), ("offsets", np.int64))


def text_buffers(texts: pl.Series) -> tuple[Array, Array]:
    """(bytes, offsets) of a string column without nulls: UTF-8, and where each text begins, and one more.

    Polars' own way lets the bytes grow text by text, in memory that it has given back since it last did so.
    """
    n, loaded = len(texts), library()
    if not n:
        return np.zeros(1, np.uint8), np.zeros(1, np.int64)
    if loaded is not None:
        views = TextViews(texts)
        loaded.winnow_joined.restype = ctypes.c_void_p
        found = take_arrays("winnow_joined", loaded.winnow_joined(views.pointer, ctypes.c_int64(n)), _JOINED)
        return (found["text"] if len(found["text"]) else np.zeros(1, np.uint8)), found["offsets"]
    arrow = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    offsets = np.frombuffer(arrow.buffers()[1], np.int64)[arrow.offset : arrow.offset + n + 1]
    held = arrow.buffers()[2]
    return (np.frombuffer(held, np.uint8) if held is not None and len(held) else np.zeros(1, np.uint8)), offsets


_INSIDE: Final = 12  # bytes of a text that lies in its view


class _Texts(ctypes.Structure):
    _fields_ = (("views", ctypes.c_void_p), ("buffers", ctypes.c_void_p))


class TextViews:
    """A string column without nulls as kernels read it where it lies, nothing copied. Must outlive the call.

    buffers: those that the views point into, in order.
    """

    def __init__(self, texts: pl.Series) -> None:
        arrow = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
        assert arrow.type == pa.string_view(), arrow.type
        _, views, *self.buffers = arrow.buffers()
        self._held = arrow
        self._places = (ctypes.c_void_p * len(self.buffers))(*(buffer.address for buffer in self.buffers))
        self._structure = _Texts(views.address + 16 * arrow.offset, ctypes.addressof(self._places))

    @property
    def pointer(self) -> Any:
        """Where the C structure lies."""
        return ctypes.byref(self._structure)

    def views(self) -> Array:
        """The views, a row of four numbers each: length, first bytes, buffer, place in it; or length and the text itself."""
        arrow = self._held
        whole: Array = np.frombuffer(arrow.buffers()[1], np.uint32).reshape(-1, 4)
        return whole[arrow.offset : arrow.offset + len(arrow)]

    @property
    def address(self) -> int:
        """The same as a number."""
        return ctypes.addressof(self._structure)

    def parts(self, views: Array) -> pl.Series:
        """The string column of `views`, 16 bytes each, of parts of these texts."""
        held = [None, pa.py_buffer(views), *self.buffers]
        series = pl.from_arrow(pa.Array.from_buffers(pa.string_view(), len(views) // 16, held))
        assert isinstance(series, pl.Series)
        return series


def replaced(texts: pl.Series, rows: Array, others: pl.Series) -> pl.Series:
    """`texts` with `others` in those rows: string columns without nulls, of which no text is copied."""
    if not len(rows):
        return texts
    old, new = TextViews(texts), TextViews(others)
    views, theirs = old.views().copy(), new.views().copy()
    theirs[theirs[:, 0] > _INSIDE, 2] += len(old.buffers)
    views[rows] = theirs
    held = [None, pa.py_buffer(views), *old.buffers, *new.buffers]
    series = pl.from_arrow(pa.Array.from_buffers(pa.string_view(), len(texts), held))
    assert isinstance(series, pl.Series)
    return series.rename(texts.name)


class _Result:
    """What a kernel allocated; freed when nothing points into it any more."""

    def __init__(self, handle: int, free: Any) -> None:
        self.handle, self.free = ctypes.c_void_p(handle), free

    def __del__(self) -> None:
        self.free(self.handle)


class _Block:
    """One array of a result, as numpy asks for it."""

    def __init__(self, result: _Result, data: int, count: int, dtype: np.dtype[Any]) -> None:
        self.result = result
        self.__array_interface__ = {"data": (data, False), "shape": (count,), "typestr": dtype.str, "version": 3}


def take_arrays(kernel: str, result: Any, arrays: Sequence[tuple[str, npt.DTypeLike]]) -> dict[str, Array]:
    """The arrays of a result of `kernel`, in the order of its C structure. They lie where C put them, until all are gone.

    An array whose name begins with an underscore is left out. Raises MemoryError when there is no result.
    """
    if not result:
        raise MemoryError(f"no memory left in {kernel}")
    loaded = library()
    assert loaded is not None
    size_of, free = loaded.winnow_array, loaded.winnow_free
    size_of.restype, free.restype = ctypes.c_int64, None
    whole = _Result(result, free)
    found: dict[str, Array] = {}
    for number, (name, kind) in enumerate(arrays):
        if not name.startswith("_"):
            data, dtype = ctypes.c_void_p(), np.dtype(kind)
            count = size_of(ctypes.c_void_p(result), number, ctypes.byref(data)) // dtype.itemsize
            at = data.value if count else None
            found[name] = np.asarray(_Block(whole, at, count, dtype)) if at else np.zeros(0, dtype)
    return found


def text_array(data: Array, offsets: Array) -> pa.LargeStringArray:
    """A string column of the texts that lie in `data` (valid UTF-8) between `offsets`."""
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


def text_series(data: Array, offsets: Array) -> pl.Series:
    """`text_array` as a series."""
    series = pl.from_arrow(text_array(data, offsets))
    assert isinstance(series, pl.Series)
    return series


@cache
def character_table(*patterns: str) -> Array:
    """For each code point the number of the last of `patterns`, from 1, that matches it alone; 0 for none.

    As Polars' own engine tells, so that kernels and patterns agree about every character. It takes a while to ask, so the
    answers for the product's own patterns are kept beside this file (`make tables` writes them, a test holds them true).
    """
    table = np.zeros(CODE_POINTS, np.uint8)
    for number, pattern in enumerate(patterns, 1):
        for first, last in _kept_ranges().get(pattern) or matching_ranges(pattern):
            table[first : last + 1] = number
    table.flags.writeable = False
    return table


def matching_ranges(pattern: str) -> list[tuple[int, int]]:
    """The code points that `pattern` matches alone, as ranges, last one included.

    Surrogates match nothing. What is beyond U+3FFFF, tags and variation selectors aside, is told like U+10FFFF.
    """
    asked = np.array([*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000), CODE_POINTS - 1])
    met = pl.Series(list(map(chr, asked.tolist()))).str.contains(pattern).to_numpy()
    table = np.zeros(CODE_POINTS + 1, np.int8)
    table[0x40000:CODE_POINTS] = met[-1]
    table[asked] = met
    edges = np.flatnonzero(np.diff(table, prepend=0))
    return list(zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True))


def pack_characters(patterns: Iterable[str]) -> bytes:
    """The file that `character_table` reads, for `patterns`."""
    text = json.dumps({pattern: matching_ranges(pattern) for pattern in sorted(set(patterns))})
    return lzma.compress(text.encode(), format=lzma.FORMAT_XZ, preset=9)


@cache
def _kept_ranges() -> dict[str, list[tuple[int, int]]]:
    kept: dict[str, list[tuple[int, int]]] = json.loads(
        lzma.decompress(resources.files("etl").joinpath(CHARACTERS).read_bytes())
    )
    return kept
