"""Sentences, keys and samples by the compiled kernel: the same numbers that sentences.py and fingerprint.py give."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from etl import kernels
from etl.dedup import normalize, vocabulary
from etl.dedup.normalize import tables

Array = npt.NDArray[Any]

# The arrays of a result that are asked for, in the order of the C structure.
_ARRAYS: Final[tuple[tuple[str, type], ...]] = (
    ("doc", np.uint32),
    ("line", np.uint32),
    ("start", np.uint32),
    ("end", np.uint32),
    ("n_words", np.uint32),
    ("flags", np.uint8),
    ("key_hash", np.int64),
    ("segment", np.uint32),
    ("least", np.uint32),
    ("word_bits", np.int64),
    ("print_doc", np.uint32),
    ("n_chars", np.int64),
    ("n_tokens", np.int64),
    ("print_key", np.int64),
    ("print_check", np.int64),
    ("shingle_level", np.int32),
    ("number_level", np.int32),
    ("name_level", np.int32),
    ("band_level", np.int32),
    ("sketch_doc", np.uint32),
    ("sketch_kind", np.int8),
    ("sketch_hash", np.int64),
    ("band_doc", np.uint32),
    ("band_hash", np.int64),
    ("near_one", np.int64),
    ("near_two", np.int64),
    ("near_one_size", np.int64),
    ("near_two_size", np.int64),
    ("near_text", np.uint32),
)
_FOLDS: Final = (("text", np.uint32), ("size", np.int64))

FLAGS: Final = (1, 2, 4)
"""Bits of `flags`: whole, ends_properly, quoted."""


class _Set(ctypes.Structure):
    _fields_ = (("values", ctypes.c_void_p), ("size", ctypes.c_int64))


class _Tables(ctypes.Structure):
    _fields_ = (
        ("chars", ctypes.c_void_p),
        ("marks", ctypes.c_void_p),
        ("many_code", ctypes.c_void_p),
        ("many_first", ctypes.c_void_p),
        ("many_part", ctypes.c_void_p),
        ("n_many", ctypes.c_int64),
        ("pair", ctypes.c_void_p),
        ("composed", ctypes.c_void_p),
        ("n_pairs", ctypes.c_int64),
        *((name, _Set) for name in vocabulary.WORD_SETS),
    )


@dataclass(frozen=True, slots=True)
class _Bound:
    """The kernel's functions and its tables. keep: what the tables point into."""

    run: Any
    folds: Any
    tables: _Tables
    keep: tuple[Array, ...]


def available() -> bool:
    """Whether the kernel can be used."""
    return kernels.library() is not None


def analyse(
    segments: pl.DataFrame, sizes: tuple[int, int, int], bands: int, *, near_words: int, near_chars: int
) -> dict[str, Array]:
    """The arrays of _ARRAYS for the lines in `segments` (doc, line, start, text), whole documents in order.

    near_words, near_chars: how many words a sentence has at least, and characters at most, to be paired with another.
    Raises MemoryError when there is none left.
    """
    bound = _bound()
    views = kernels.TextViews(segments["text"])
    numbers = [np.ascontiguousarray(segments[name].to_numpy(), np.uint32) for name in ("doc", "line", "start")]
    result = bound.run(
        ctypes.byref(bound.tables),
        views.pointer,
        *map(kernels.pointer, numbers),
        ctypes.c_int64(segments.height),
        (ctypes.c_int * 3)(*sizes),
        ctypes.c_int(bands),
        ctypes.c_uint32(near_words),
        ctypes.c_uint32(near_chars),
    )
    return kernels.take_arrays("winnow_sentences", result, _ARRAYS)


def fold(texts: Sequence[str]) -> list[str]:
    """What `normalize.fold` gives for each text, by the kernel where it can be used: a hundredth of the time."""
    if not available():
        return list(map(normalize.fold, texts))
    bound = _bound()
    held = [text.encode("utf-8", "replace") for text in texts]
    data = np.frombuffer(b"".join(held) or b"\n", np.uint8)
    offsets = np.cumsum([0, *map(len, held)], dtype=np.int64)
    result = bound.folds(
        ctypes.byref(bound.tables), kernels.pointer(data), kernels.pointer(offsets), ctypes.c_int64(len(held))
    )
    found = kernels.take_arrays("winnow_folds", result, _FOLDS)
    return [text.strip() for text in cut(found["text"], found["size"])]


def unlike(texts: pl.Series, ones: Array, others: Array, fillers: frozenset[str]) -> Array:
    """Of each pair of rows of `texts` whether the two surely don't say the same, as pairs.likenesses would tell at greater length."""
    bound = _bound()
    library = kernels.library()
    assert library is not None
    data, offsets = kernels.text_buffers(texts)
    words = np.array(sorted(xxhash.xxh64_intdigest(word.encode("utf-32-le")) for word in fillers), np.uint64)
    sides = [np.ascontiguousarray(rows, np.uint32) for rows in (ones, others)]
    library.winnow_unlike.restype = ctypes.c_void_p
    made = library.winnow_unlike(
        ctypes.byref(bound.tables),
        ctypes.byref(_Set(kernels.pointer(words), len(words))),
        kernels.pointer(data),
        kernels.pointer(offsets),
        ctypes.c_int64(len(texts)),
        *map(kernels.pointer, sides),
        ctypes.c_int64(len(ones)),
    )
    return kernels.take_arrays("winnow_unlike", made, (("unlike", np.bool_),))["unlike"]


def cut(codes: Array, sizes: Array) -> list[str]:
    """The texts that stand one behind the other in an array of code points (u4), each of so many."""
    whole = str(np.ascontiguousarray(codes, "<u4").data, "utf-32-le", "surrogatepass")
    past = np.cumsum(sizes)
    return [whole[a:b] for a, b in zip((past - sizes).tolist(), past.tolist(), strict=True)]


def order_of(values: Array) -> Array:
    """The order of whole numbers, of which few are the same; those as they stand."""
    library = kernels.library()
    assert library is not None
    values = np.ascontiguousarray(values, np.int64)
    order = np.empty(len(values), np.int64)
    library.winnow_order.restype = ctypes.c_int
    if not library.winnow_order(kernels.pointer(values), ctypes.c_int64(len(values)), kernels.pointer(order)):
        raise MemoryError("no memory left to sort numbers")
    return order


def take_blocks(parts: Sequence[Array], heads: Array, sizes: Array) -> Array:
    """Blocks of the values in `parts`, which are of one type and follow one another. heads, sizes: where each block begins, and
    how many values it has."""
    library = kernels.library()
    assert library is not None
    held = [np.ascontiguousarray(part) for part in parts]
    assert len({part.dtype for part in held}) == 1, "parts are of one type"
    addresses = np.array([part.ctypes.data for part in held], np.uint64)
    edges = np.cumsum([0, *map(len, held)], dtype=np.int64)
    blocks = [np.ascontiguousarray(column, np.int64) for column in (heads, sizes)]
    taken = np.empty(int(blocks[1].sum()), held[0].dtype)
    library.winnow_blocks.restype = None
    library.winnow_blocks(
        *map(kernels.pointer, (addresses, edges)),
        ctypes.c_int64(taken.itemsize),
        *map(kernels.pointer, blocks),
        ctypes.c_int64(len(heads)),
        kernels.pointer(taken),
    )
    return taken


@cache
def _bound() -> _Bound:
    library = kernels.library()
    assert library is not None
    library.winnow_sentences.restype = ctypes.c_void_p
    library.winnow_folds.restype = ctypes.c_void_p
    characters = tables()
    codes = sorted(characters.many)
    lengths = [len(characters.many[code]) for code in codes]
    arrays = {
        "chars": characters.fold | characters.kind.astype(np.uint32) << np.uint32(24),
        "marks": vocabulary.character_marks(),
        "many_code": np.array(codes, np.uint32),
        "many_first": np.concatenate(([0], np.cumsum(lengths))).astype(np.uint32),
        "many_part": np.array([part for code in codes for part in characters.many[code]], np.uint32),
        "pair": characters.pairs,
        "composed": characters.composed,
    }
    sets = vocabulary.word_sets()
    held = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    made = _Tables(
        **{name: kernels.pointer(array) for name, array in held.items()},
        n_many=len(codes),
        n_pairs=len(characters.pairs),
        **{name: _Set(kernels.pointer(sets[name]), len(sets[name])) for name in vocabulary.WORD_SETS},
    )
    return _Bound(
        library.winnow_sentences,
        library.winnow_folds,
        made,
        (*held.values(), *sets.values()),
    )
