"""The line model's inner loops by the compiled kernels: the same numbers as features.py and model.py give without them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from etl import kernels

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


def _library() -> ctypes.CDLL:
    library = kernels.library()
    assert library is not None
    return library


def _floats(columns: Array) -> Array:
    return np.ascontiguousarray(columns, np.float32)
