"""What the package keeps in files."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from etl.packed import pack, pack_arrays, unpack, unpack_arrays

KINDS = st.sampled_from([np.uint8, np.uint16, np.int32, np.uint64, np.float64]).map(np.dtype)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=5)


@given(st.dictionaries(st.text(max_size=5), KINDS.flatmap(lambda kind: arrays.arrays(kind, SHAPES)), max_size=5))
def test_arrays_come_back_as_they_were_where_kernels_can_read_them(given: dict[str, np.ndarray]) -> None:
    found = unpack_arrays(pack_arrays(given))
    assert list(found) == list(given)
    for name, array in given.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert np.array_equal(found[name], array, equal_nan=array.dtype.kind == "f")
        assert found[name].flags.aligned and found[name].flags.c_contiguous and not found[name].flags.writeable


def test_values_come_back_as_they_were() -> None:
    value = {"a": [1, 2.5, None, True, "東京 ‑ é"], "": {}}
    assert unpack(pack(value)) == value
