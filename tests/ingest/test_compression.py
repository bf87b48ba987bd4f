from __future__ import annotations

import gzip
import io
from typing import Any

import pytest
import zstandard

from etl.ingest.compression import _Zstd, decompress, open_source
from etl.ingest.formats import Limits, read_batches
from etl.ingest.records import Unreadable
from tests.ingest.test_formats import COMPRESS

RECORDS = b"".join(b'{"text": "record number %d, with some words"}\n' % i for i in range(20_000))


def test_members_frames_and_streams_one_after_the_other_are_all_read(read: Any) -> None:
    for name, compress in COMPRESS.items():
        rows, rejects = read(compress(b'{"text": "a"}\n') + compress(b'{"text": "b"}\n'), "a.jsonl" + name)
        assert ([r["text"] for r in rows], rejects) == (["a", "b"], [])


def test_skippable_zstd_frames_and_padding_of_gzip_are_passed_over(read: Any) -> None:
    zstd = zstandard.ZstdCompressor().compress(b'{"text": "a"}\n')
    skip = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    assert len(read(skip + zstd + skip + zstd)[0]) == 2
    rows, rejects = read(gzip.compress(b'{"text": "a"}\n') + bytes(512))
    assert (len(rows), rejects) == (1, [])


def test_a_file_compressed_twice_is_read_and_thrice_is_refused(read: Any) -> None:
    data = gzip.compress(gzip.compress(b'{"text": "a"}\n'))
    assert len(read(data)[0]) == 1
    rows, rejects = read(gzip.compress(data))
    assert (rows, [r.error for r in rejects]) == ([], ["BadCompression"])


@pytest.mark.parametrize("extension", [e for e in COMPRESS if e])
def test_a_file_cut_off_gives_the_records_before_and_one_reject(read: Any, extension: str) -> None:
    whole = COMPRESS[extension](RECORDS)
    rows, rejects = read(whole[: len(whole) * 2 // 3], "a.jsonl" + extension)
    assert [r.error for r in rejects] == ["BadCompression"]
    assert rejects[0].record == (len(rows) + 1 if rows else None)
    if extension != ".bz2":  # its one block is all or nothing
        assert 1000 < len(rows) < 20_000
    assert all(r["text"] == f"record number {i}, with some words" for i, r in enumerate(rows))


@pytest.mark.parametrize("extension", [e for e in COMPRESS if e])
def test_a_text_file_cut_off_is_refused_whole(read: Any, extension: str) -> None:
    whole = COMPRESS[extension](b"Notes. " + RECORDS)
    rows, rejects = read(whole[:-20], "a.txt" + extension)
    assert (rows, [r.error for r in rejects]) == ([], ["BadCompression"])


def test_damage_in_the_middle_leaves_the_records_before_it(read: Any) -> None:
    whole = bytearray(gzip.compress(RECORDS))
    middle = len(whole) // 2
    whole[middle : middle + 200] = bytes(200)
    rows, rejects = read(bytes(whole))
    assert rejects[-1].error == "BadCompression"
    assert "byte 0" in rejects[-1].message
    first = min(r.record for r in rejects)
    assert first > 5000  # damaged deflate gives nonsense for a while before it fails: lines that are refused
    assert all(r["text"] == f"record number {i}, with some words" for i, r in enumerate(rows[: first - 1]))


@pytest.mark.parametrize("extension", [e for e in COMPRESS if e])
@pytest.mark.parametrize("name", ["bomb.jsonl", "bomb.txt", "bomb.csv", "bomb.html", "bomb.warc", "bomb.parquet"])
def test_a_zip_bomb_is_a_reject_and_little_of_it_comes_out(extension: str, name: str) -> None:
    bomb = COMPRESS[extension](b" " * (16 << 20))
    limits = Limits(max_record_bytes=1 << 20, expansion_floor_bytes=4 << 20)
    rejects = [
        r
        for _, refused in read_batches(io.BytesIO(bomb), source=name + extension, size=len(bomb), limits=limits)
        for r in refused
    ]
    assert rejects
    assert {r.error for r in rejects} <= {"TooLarge", "NoText", "UnknownFormat"}
    source, _ = open_source(io.BytesIO(bomb), size=len(bomb), limits=limits)
    with pytest.raises(Unreadable, match="zip bomb"):
        for _ in source.blocks():
            pass
    assert source.offset <= 40 << 20  # a slice of zstd may give 32 MiB at once


@pytest.mark.parametrize("piece", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize("text", [b"", b"a", bytes(range(256)) * 2000, b"\0" * 3_000_000])
def test_blocks_of_zstd_are_found_however_the_file_comes(text: bytes, piece: int) -> None:
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(text)
    decoder = _Zstd()
    pieces = [packed[start : start + piece] for start in range(0, len(packed), piece)]
    out = [part for some in pieces for part in decoder.feed(some)]
    assert b"".join(out) == text
    assert decoder.eof
    assert max(map(len, out)) <= 2 * 128 * 1024


def test_a_small_repetitive_file_is_no_bomb(read: Any) -> None:
    data = b'{"text": "' + b"again " * 200_000 + b'"}\n'
    rows, rejects = read(gzip.compress(data))
    assert (len(rows), rejects) == (1, [])


def test_a_file_larger_than_the_limit_stops_there(read: Any) -> None:
    rows, rejects = read(RECORDS, limits=Limits(max_file_bytes=300_000))
    assert 0 < len(rows) < 20_000
    assert [r.error for r in rejects] == ["TooLarge"]


def test_decompress_is_bounded() -> None:
    assert decompress(gzip.compress(b"x" * 100), "gzip", limit=100) == b"x" * 100
    with pytest.raises(Unreadable):
        decompress(gzip.compress(b"x" * (1 << 20)), "gzip", limit=1000)
