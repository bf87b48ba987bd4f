"""Single texts of a column: the kernels and their twin find the same, also where a file is damaged."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import kernels, pages

pytestmark = pytest.mark.skipif(kernels.library() is None, reason="the kernels aren't installed or are switched off")

FAULTS = (ValueError, LookupError, OverflowError, TypeError)
TEXTS = [f"{n} na\u00efve caf\u00e9 " * (n % 7) for n in range(120)]


def chunk_of(texts: list[str], **options: object) -> tuple[pa.Buffer, int, bool]:
    """A column chunk, how many bytes it has unpacked, whether it has levels."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        pq.write_table(pa.table({"text": texts}), path, compression="zstd", use_dictionary=False, **options)
        about = pq.read_metadata(path).row_group(0).column(0)
        data = path.read_bytes()[about.data_page_offset :][: about.total_compressed_size]
        return pa.py_buffer(data), about.total_uncompressed_size, True


def told(find: object, *arguments: object) -> object:
    """What a way of finding says: rows, nothing, or that it can't."""
    try:
        found = find(*arguments)  # type: ignore[operator]
    except FAULTS:
        return "a fault"
    return None if found is None else found.tolist()


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_kernels_find_the_pages_and_texts_that_their_twin_finds(data: st.DataObject) -> None:
    chunk, most, levels = chunk_of(
        TEXTS,
        write_batch_size=data.draw(st.integers(1, 40)),
        data_page_size=data.draw(st.sampled_from([1, 300, 1 << 20])),
        data_page_version=data.draw(st.sampled_from(["1.0", "1.0", "2.0"])),
        write_page_checksum=data.draw(st.booleans()),
    )
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(TEXTS) - 1)))), np.int64)
    found = pages._pages(chunk, rows, most)
    assert told(pages._pages_by_kernel, chunk, rows, most) == told(lambda: found)
    if found is None:
        return
    codec = pa.Codec("zstd")
    unpacked = [
        codec.decompress(chunk[at : at + packed], size, asbytes=True) for at, packed, size, *_ in found.tolist()
    ]
    expected = [TEXTS[row] for row in rows]
    with mock.patch.object(pages, "PAGES_AT_ONCE", 2):
        read = pages.texts_in(chunk, rows, most=most, levels=levels)
    assert read is not None
    assert read.to_list() == expected
    assert pages._texts(unpacked, found, rows, levels=levels).to_list() == expected
    assert pages._texts_by_kernel(unpacked, found, rows, levels=levels).to_list() == expected


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_headers_are_a_fault_to_both(data: st.DataObject) -> None:
    chunk, most, _ = chunk_of(TEXTS, write_batch_size=8, data_page_size=300)
    broken = bytearray(chunk.to_pybytes())
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, 60))] = data.draw(st.integers(0, 255))
    held = pa.py_buffer(bytes(broken[: data.draw(st.sampled_from([len(broken), 25, 10, 0]))]))
    rows = np.array([0, 50, 119], np.int64)
    one, other = told(pages._pages, held, rows, most), told(pages._pages_by_kernel, held, rows, most)
    assert one == other or "a fault" in (one, other), (
        "what one takes for pages the other may doubt, never read otherwise"
    )


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_texts_of_a_damaged_page_end_where_it_does(data: st.DataObject) -> None:
    page = bytearray(b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in TEXTS))
    for _ in range(data.draw(st.integers(0, 2))):
        page[data.draw(st.integers(0, len(page) - 1))] = data.draw(st.integers(0, 255))
    held = bytes(page[: data.draw(st.integers(0, len(page)))])
    rows = np.array([0, 3, 50, 119], np.int64)
    about = np.array([[0, 0, len(held), 0, len(rows)]], np.int64)
    levels = data.draw(st.booleans())

    def texts(way: object) -> object:
        try:
            return way([held], about, rows, levels=levels).to_list()  # type: ignore[operator]
        except (UnicodeDecodeError, pa.ArrowInvalid):
            return "no text"

    assert texts(pages._texts) == texts(pages._texts_by_kernel)


def test_a_page_that_says_another_size_is_not_unpacked() -> None:
    chunk, most, _ = chunk_of(TEXTS)
    found = pages._pages(chunk, np.array([3], np.int64), most)
    assert found is not None
    assert len(pages._unpacked(chunk, found)[0]) == found[0, 2]
    found[0, 2] -= 1
    with pytest.raises(ValueError, match="another size"):
        pages._unpacked(chunk, found)
