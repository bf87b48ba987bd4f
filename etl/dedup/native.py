"""Sentences, keys and samples by the compiled kernel: the same numbers that sentences.py and fingerprint.py give."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl import kernels
from etl.dedup import normalize, vocabulary
from etl.dedup.normalize import tables

Array = npt.NDArray[Any]

# The arrays of a result, in the order of the C structure.
_ARRAYS: Final[tuple[tuple[str, type], ...]] = (
    ("doc", np.uint32),
    ("line", np.uint32),
    ("start", np.uint32),
    ("end", np.uint32),
    ("first", np.int64),
    ("past", np.int64),
    ("n_words", np.uint32),
    ("flags", np.uint8),
    ("key_hash", np.int64),
    ("seg_start", np.int64),
    ("seg_end", np.int64),
    ("segment", np.int64),
    ("least", np.uint32),
    ("folded", np.uint32),
    ("_word_start", np.int64),
    ("_word_hash", np.uint32),
    ("_word_flags", np.uint8),
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
    ("sketch_kind", np.uint8),
    ("sketch_hash", np.int64),
    ("sketch_depth", np.int32),
)
_MOST_PARTS: Final = 18  # that one character folds to: an Arabic ligature

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
    fold: Any
    tables: _Tables
    keep: tuple[Array, ...]


def available() -> bool:
    """Whether the kernel can be used."""
    return kernels.library() is not None


def analyse(segments: pl.DataFrame, sizes: tuple[int, int, int], bands: int) -> dict[str, Array]:
    """The arrays of _ARRAYS for the lines in `segments` (doc, line, start, text), whole documents in order.

    Raises MemoryError when there is none left.
    """
    bound = _bound()
    text, offsets = kernels.text_buffers(segments["text"])
    numbers = [np.ascontiguousarray(segments[name].to_numpy(), np.uint32) for name in ("doc", "line", "start")]
    result = bound.run(
        ctypes.byref(bound.tables),
        kernels.pointer(text),
        kernels.pointer(offsets),
        *map(kernels.pointer, numbers),
        ctypes.c_int64(segments.height),
        (ctypes.c_int * 3)(*sizes),
        ctypes.c_int(bands),
    )
    return kernels.take_arrays("winnow_sentences", result, _ARRAYS)


def fold(text: str) -> str:
    """What `normalize.fold` gives, by the kernel where it can be used: a hundredth of the time."""
    if not available():
        return normalize.fold(text)
    bound = _bound()
    data = text.encode("utf-8", "replace")
    room = _MOST_PARTS * len(text) + 1
    out = np.empty(room, np.uint32)
    size = bound.fold(
        ctypes.byref(bound.tables), data, ctypes.c_int64(len(data)), kernels.pointer(out), ctypes.c_int64(room)
    )
    if size < 0:
        raise MemoryError("no memory left to fold a text")
    return out[:size].tobytes().decode("utf-32-le", "surrogatepass").strip()


@cache
def _bound() -> _Bound:
    library = kernels.library()
    assert library is not None
    library.winnow_sentences.restype = ctypes.c_void_p
    library.winnow_fold.restype = ctypes.c_int64
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
        library.winnow_fold,
        made,
        (*held.values(), *sets.values()),
    )
