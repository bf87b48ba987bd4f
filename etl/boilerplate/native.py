"""The line model's inner loops by the compiled kernels: the same numbers as features.py and model.py give without them."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from etl import kernels
from etl.boilerplate import heads

Array = npt.NDArray[Any]


def available() -> bool:
    """Whether the kernels can be used."""
    return kernels.library() is not None


def add_leaves(columns: Array, feature: Array, border: Array, leaf: Array, total: Array) -> None:
    """Add to `total`, a number a row, the leaf of each tree that the row falls in. columns: shape (features, rows)."""
    library = _library()
    trees, levels = feature.shape
    columns = _floats(columns)
    library.winnow_log_odds.restype = None
    library.winnow_log_odds(
        kernels.pointer(columns),
        ctypes.c_int64(columns.shape[1]),
        *map(kernels.pointer, (feature, border, leaf)),
        ctypes.c_int64(trees),
        ctypes.c_int64(levels),
        kernels.pointer(total),
    )


def add_contributions(
    columns: Array, feature: Array, border: Array, means: Sequence[Array], groups: Array, moved: Array
) -> None:
    """Add to `moved`, shape (groups, rows), what each answer does to the mean of the leaves that can still be reached."""
    library = _library()
    trees, levels = feature.shape
    columns = _floats(columns)
    held = [np.ascontiguousarray(mean, np.float64) for mean in means]
    places = (ctypes.c_void_p * len(held))(*(mean.ctypes.data for mean in held))
    library.winnow_contributions.restype = None
    library.winnow_contributions(
        kernels.pointer(columns),
        ctypes.c_int64(columns.shape[1]),
        *map(kernels.pointer, (feature, border)),
        places,
        kernels.pointer(groups),
        ctypes.c_int64(trees),
        ctypes.c_int64(levels),
        kernels.pointer(moved),
    )


def shared_words(slot: Array, line: Array, slots: int, which: Array) -> Array:
    """Of each line's words, how many also stand in another line among `which`."""
    library = _library()
    first, last = np.empty(slots, np.int32), np.empty(slots, np.int32)
    shared = np.zeros(len(which), np.int64)
    library.winnow_shared_words.restype = None
    library.winnow_shared_words(
        *map(kernels.pointer, (slot, line)),
        ctypes.c_int64(len(slot)),
        *map(kernels.pointer, (np.ascontiguousarray(which), first, last)),
        ctypes.c_int64(slots),
        kernels.pointer(shared),
    )
    return shared


@dataclass(frozen=True, slots=True)
class HeadTable:
    """Heads and their bits, hashed: names (0 for an empty slot) and bits, a power of two of slots; always: bits of ""."""

    names: Array
    bits: Array
    always: int


def head_table(by_head: Mapping[str, int]) -> HeadTable:
    """The table for `bits_of`. by_head: folded head -> bits."""
    room = 1 << max(4, (2 * len(by_head)).bit_length())
    names, bits = np.zeros(room, np.uint64), np.zeros(room, np.uint64)
    for head, held in by_head.items():
        if head:
            name = xxhash.xxh64_intdigest(head.encode("utf-32-le", "surrogatepass")) or 1
            slot = name & (room - 1)
            while names[slot]:
                slot = (slot + 1) & (room - 1)
            names[slot], bits[slot] = name, held
    return HeadTable(names, bits, by_head.get("", 0))


def bits_of(texts: pl.Series, table: HeadTable) -> Array:
    """For each text the bits of all heads of the table that it begins with, as signed 64-bit integers."""
    library = _library()
    text, offsets = kernels.text_buffers(texts)
    found = np.zeros(len(texts), np.uint64)
    library.winnow_heads.restype = None
    library.winnow_heads(
        *map(kernels.pointer, (kernels.character_table(r"\p{L}"), heads.fold_table(), text, offsets)),
        ctypes.c_int64(len(texts)),
        *map(kernels.pointer, (table.names, table.bits)),
        ctypes.c_int64(len(table.names)),
        ctypes.c_int64(heads.HEAD_CHARS),
        ctypes.c_uint64(table.always),
        kernels.pointer(found),
    )
    return found.view(np.int64)


def _library() -> ctypes.CDLL:
    library = kernels.library()
    assert library is not None
    return library


def _floats(columns: Array) -> Array:
    return np.ascontiguousarray(columns, np.float32)
