"""Records of JSON Lines by the compiled kernel: the values of those lines that have one known shape, as columns."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl import kernels

Array = npt.NDArray[Any]

TEXT, RAW, PLAIN = 0, 1, 2
FIELDS: Final = {
    "text": TEXT,
    "source_id": PLAIN,
    "url": PLAIN,
    "site": PLAIN,
    "title": PLAIN,
    "authors": RAW,
    "published_at": RAW,
    "fetched_at": RAW,
    "lang": RAW,
}
"""Field -> what its values are: the text; values as they are; short texts, which are to be in one line, and whole numbers."""

_IS_NULL, _IS_ROUGH = 1, 2
_COLUMNS: Final = tuple(
    (f"{part} {field}", dtype)
    for field in FIELDS
    for part, dtype in (("data", np.uint8), ("past", np.int64), ("state", np.uint8))
)


class _Shape(ctypes.Structure):
    _fields_ = (
        ("keys", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("field", ctypes.c_void_p),
        ("n_keys", ctypes.c_int64),
        ("kind", ctypes.c_void_p),
    )


@dataclass(frozen=True, slots=True)
class Shape:
    """The keys of a record, in their order, and the fields that some of them stand for. keep: what the table points into."""

    table: _Shape
    fields: tuple[str, ...]
    keep: tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class Values:
    """A field's values, null where there is none. rough: the rows of short texts that aren't in one line."""

    values: pa.LargeStringArray
    rough: Array


def available() -> bool:
    """Whether the kernel can be used."""
    return kernels.library() is not None


def shape_of(names: tuple[str, ...], fields: Mapping[str, str]) -> Shape:
    """The shape of records with these names, of which `fields` says which stands for which field."""
    keys = [name.encode("utf-8", "replace") for name in names]
    of = {name: field for field, name in fields.items()}
    numbers = list(FIELDS)
    keep: tuple[Array, ...] = (
        np.frombuffer(b"".join(keys) + b"\0", np.uint8),
        np.cumsum([0, *map(len, keys)], dtype=np.int64),
        np.array([numbers.index(of[name]) if name in of else -1 for name in names], np.int32),
        np.array(list(FIELDS.values()), np.int32),
    )
    text, offsets, field, kind = map(kernels.pointer, keep)
    return Shape(_Shape(text, offsets, field, len(keys), kind), tuple(fields), keep)


def read_records(data: Array, starts: Array, ends: Array, shape: Shape) -> tuple[Array, dict[str, Values]]:
    """Which of the lines of `data` have the shape and are plainly right, and the fields of those."""
    library = kernels.library()
    assert library is not None
    starts, ends = np.ascontiguousarray(starts, np.int64), np.ascontiguousarray(ends, np.int64)
    read = np.zeros(len(starts), np.uint8)
    library.winnow_records.restype = ctypes.c_void_p
    made = library.winnow_records(
        ctypes.byref(shape.table),
        *map(kernels.pointer, (data, starts, ends)),
        ctypes.c_int64(len(starts)),
        kernels.pointer(read),
    )
    found = kernels.take_arrays("winnow_records", made, _COLUMNS)
    return read.view(np.bool_), {field: _values(found, field) for field in shape.fields}


def _values(found: Mapping[str, Array], field: str) -> Values:
    state = found[f"state {field}"]
    offsets = np.concatenate([np.zeros(1, np.int64), found[f"past {field}"]])
    valid = pa.py_buffer(np.packbits(state != _IS_NULL, bitorder="little"))
    values = pa.LargeStringArray.from_buffers(
        len(state), pa.py_buffer(offsets), pa.py_buffer(found[f"data {field}"]), valid
    )
    return Values(values, np.flatnonzero(state == _IS_ROUGH))


def record_ids(prefix: bytes, data: Array, starts: Array, ends: Array, records: Array) -> tuple[Array, Array]:
    """`records.doc_id` of lines of `data`, as 32 bytes a row, and which of them are told: short records are not.

    prefix: what is hashed before a record's number, which a null byte follows. records: their numbers.
    """
    library = kernels.library()
    assert library is not None
    columns = [np.ascontiguousarray(column, np.int64) for column in (starts, ends, records)]
    ids, told = np.zeros((len(starts), 32), np.uint8), np.zeros(len(starts), np.uint8)
    library.winnow_record_ids.restype = ctypes.c_int
    done = library.winnow_record_ids(
        prefix,
        ctypes.c_int64(len(prefix)),
        kernels.pointer(data),
        *map(kernels.pointer, columns),
        ctypes.c_int64(len(starts)),
        *map(kernels.pointer, (ids, told)),
    )
    if not done:
        raise MemoryError("no memory left for the ids of records")
    return ids, told.view(np.bool_)
