"""Cutting, checking and counting words of a whole batch by the compiled kernels: what cut.py does a text at a time."""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl import kernels
from etl.publish.cut import WORD, WORD_ALONE, Around, Cuts

Array = npt.NDArray[Any]

_ARRAYS: Final = (
    ("kept", np.uint8),
    ("kept_offsets", np.int64),
    ("starts", np.int64),
    ("ends", np.int64),
    ("cut", np.uint8),
    ("cut_offsets", np.int64),
)
_AROUND: Final = (("kind", np.uint8), ("line", np.uint8), ("start", np.int64))
SPACE: Final = r"\s|[\x1c-\x1f]"
"""What Python's re takes for white space."""

_WORD_KINDS: Final = (WORD, WORD_ALONE)


def available() -> bool:
    """Whether the kernels can be used."""
    return kernels.library() is not None


def cut_all(texts: pl.Series, bounds: Array, starts: Array, ends: Array) -> tuple[Cuts, int]:
    """`texts` without their marks, and the number of the first that would lose or gain a character; -1 when none does.

    bounds: where each text's marks begin in starts and ends (code points, in order, no overlap), and one more.
    """
    library = kernels.library()
    assert library is not None
    views = kernels.TextViews(texts)
    bounds, starts, ends = (
        np.ascontiguousarray(values, kind)
        for values, kind in ((bounds, np.int64), (starts, np.uint32), (ends, np.uint32))
    )
    library.winnow_cut.restype = ctypes.c_void_p
    space = kernels.character_table(SPACE)
    made = library.winnow_cut(
        kernels.pointer(space),
        views.pointer,
        ctypes.c_int64(len(texts)),
        *map(kernels.pointer, (bounds, starts, ends)),
    )
    found = kernels.take_arrays("winnow_cut", made, _ARRAYS)
    cuts = [np.ascontiguousarray(found[name]) for name, _ in _ARRAYS]
    kept, kept_offsets, first, last, pieces, piece_offsets = cuts
    library.winnow_check.restype = ctypes.c_int64
    wrong: int = library.winnow_check(
        views.pointer,
        ctypes.c_int64(len(texts)),
        *map(kernels.pointer, (bounds, kept, kept_offsets, first, last, pieces, piece_offsets)),
    )
    return Cuts(kernels.text_array(kept, kept_offsets), first, last, kernels.text_array(pieces, piece_offsets)), wrong


def spans(texts: pl.Series, owners: Array, starts: Array, ends: Array) -> pl.Series:
    """The text of each span. owners: the text each is of, best one after the other; starts, ends: in code points."""
    library = kernels.library()
    assert library is not None
    views = kernels.TextViews(texts)
    places = [np.ascontiguousarray(values, np.uint32) for values in (owners, starts, ends)]
    library.winnow_spans.restype = ctypes.c_void_p
    made = library.winnow_spans(views.pointer, *map(kernels.pointer, places), ctypes.c_int64(len(owners)))
    found = kernels.take_arrays("winnow_spans", made, (("bytes", np.uint8), ("offsets", np.int64)))
    return kernels.text_series(found["bytes"], found["offsets"])


def lines_around(texts: pl.Series, owners: Array, starts: Array, ends: Array) -> Around:
    """The lines around spans of `texts`. owners: which text each is of, in order; starts, ends: in code points."""
    library = kernels.library()
    assert library is not None
    views = kernels.TextViews(texts)
    places = [np.ascontiguousarray(values, np.uint32) for values in (owners, starts, ends)]
    library.winnow_lines_around.restype = ctypes.c_void_p
    made = library.winnow_lines_around(
        kernels.pointer(kernels.character_table(SPACE)),
        views.pointer,
        *map(kernels.pointer, places),
        ctypes.c_int64(len(owners)),
    )
    found = kernels.take_arrays("winnow_lines_around", made, _AROUND)
    return Around(found["kind"], views.parts(found["line"]), found["start"])


def count_words(texts: pl.Series) -> pl.Series:
    """How many words each text has."""
    library = kernels.library()
    assert library is not None
    views = kernels.TextViews(texts)
    counts = np.zeros(len(texts), np.int64)
    library.winnow_count_words.restype = None
    kinds = kernels.character_table(*_WORD_KINDS)
    library.winnow_count_words(
        kernels.pointer(kinds), views.pointer, ctypes.c_int64(len(texts)), kernels.pointer(counts)
    )
    return pl.Series("n_words", counts)
