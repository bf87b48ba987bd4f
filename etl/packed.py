"""What the package keeps in files so that no process needs to find it out: values as JSON, arrays by name, packed by zstd."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zstandard

Array = npt.NDArray[Any]

_ALIGNED: Final = 16  # bytes, of the array of bytes that zstd gives and of each array within
_LEVEL: Final = 19  # read in a fifth of xz's time, and a tenth larger


def read(package: str, *path: str) -> bytes:
    """The file that `package` keeps, packed."""
    return resources.files(package).joinpath(*path).read_bytes()


def pack(value: object) -> bytes:
    """`value`, made of what JSON has, for `unpack`."""
    return _compress(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def unpack(packed: bytes) -> Any:
    """The value that `pack` was given."""
    return json.loads(zstandard.decompress(packed))


def pack_arrays(arrays: Mapping[str, Array]) -> bytes:
    """`arrays` for `unpack_arrays`: a line of JSON tells their names, types and shapes, and their values follow."""
    told = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
    return _compress(
        b"".join([_padded(json.dumps(told).encode() + b"\n"), *(_padded(a.tobytes()) for a in arrays.values())])
    )


def unpack_arrays(packed: bytes) -> dict[str, Array]:
    """The arrays that `pack_arrays` was given, to be read only."""
    whole = zstandard.decompress(packed)
    end = whole.index(b"\n") + 1
    found = {}
    for name, (dtype, shape) in json.loads(whole[:end]).items():
        start = -(-end // _ALIGNED) * _ALIGNED
        found[name] = np.ndarray(shape, dtype, whole, start)
        end = start + found[name].nbytes
    return found


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNED)


def _compress(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_LEVEL).compress(data)
