"""The compiled kernels, where the package winnow-etl-kernels is installed, and what their C structures look like.

Each kernel has a twin in numpy, beside the code that calls it, which gives the same results; tests hold them together.
WINNOW_KERNELS=off leaves the compiled ones out.
"""

from __future__ import annotations

import ctypes
import logging
import os
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

log = logging.getLogger(__name__)

VERSION: Final = 1
SWITCH: Final = "WINNOW_KERNELS"

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


def text_buffers(texts: pl.Series) -> tuple[Array, Array]:
    """(bytes, offsets) of a string column without nulls: UTF-8, and where each text begins, and one more."""
    arrow = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    n = len(texts)
    if not n:
        return np.zeros(1, np.uint8), np.zeros(1, np.int64)
    offsets = np.frombuffer(arrow.buffers()[1], np.int64)[arrow.offset : arrow.offset + n + 1]
    held = arrow.buffers()[2]
    return (np.frombuffer(held, np.uint8) if held is not None and len(held) else np.zeros(1, np.uint8)), offsets


def copy_array(data: ctypes.c_void_p, size: int, dtype: npt.DTypeLike) -> Array:
    """A copy of `size` bytes at `data`, which C allocated."""
    if not size or not data.value:
        return np.zeros(0, dtype)
    held: Array = np.frombuffer(ctypes.string_at(data.value, size), dtype=np.dtype(dtype))
    return held
