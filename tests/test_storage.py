"""Files: found in order, written in one step."""

from __future__ import annotations

import contextlib
import random
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import kernels, pages, storage
from etl.errors import ConfigError, StageError


def test_folders_are_walked_whole_without_hidden_ones_and_links(tmp_path: Path) -> None:
    for name in ("b/two.txt", "a/one.txt", ".git/x.txt", "_tmp/y.txt", "c/.z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "a")
    found = storage.list_files([tmp_path, tmp_path / "a" / "one.txt"])
    assert [(path.relative_to(tmp_path).as_posix(), named) for _, path, named in found] == [
        ("a/one.txt", False),
        ("b/two.txt", False),
        ("c/.z", False),
        ("a/one.txt", True),
    ]
    with pytest.raises(ConfigError, match="no such file or folder"):
        storage.list_files([tmp_path / "nowhere"])


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    storage.write_json(path, {"b": 1, "a": "é"})
    assert storage.read_json(path) == {"a": "é", "b": 1}
    with pytest.raises(RuntimeError), storage.replacing(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert storage.read_json(path) == {"a": "é", "b": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_batches_keep_their_numbers_even_when_empty(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    schema = pa.schema([("a", pa.int64()), ("b", pa.large_string())])
    with storage.batch_writer(path, schema) as writer:
        for values in ([1, 2], [], [3]):
            storage.write_batch(writer, pa.table({"a": values, "b": [str(n) for n in values]}, schema=schema))
    tables = list(storage.read_batch_file(path))
    named = list(storage.read_batch_file(path, columns=["b"]))
    path.unlink()  # what was read stays
    assert [table["a"].to_pylist() for table in tables] == [[1, 2], [], [3]]
    assert [table.to_pydict() for table in named] == [{"b": ["1", "2"]}, {"b": []}, {"b": ["3"]}]


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 255), max_size=9)), max_size=12), st.booleans())
def test_what_was_set_aside_is_found_by_its_number_in_order(rows: list[tuple[int, list[int]]], held: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        aside = storage.Aside(None if held else Path(folder), {"a": np.uint8, "b": np.int64})
        for n, (number, values) in enumerate(rows):
            aside.put(number, {"a": np.array(values, np.int64), "b": -np.array(values, np.int64)})
            if n == len(rows) // 2:
                aside.take(number)  # more may come after some was asked for
        assert list(Path(folder).iterdir()) == [], "nobody can see the file"
        for number in range(4):
            wanted = [value for of, values in rows if of == number for value in values]
            for _ in range(2):
                found = aside.take(number)
                assert {name: values.dtype for name, values in found.items()} == {"a": np.uint8, "b": np.int64}
                assert found["a"].tolist() == wanted and found["b"].tolist() == [-value for value in wanted]


def test_a_parquet_file_without_tables_has_no_rows(tmp_path: Path) -> None:
    assert storage.write_parquet(tmp_path / "x.parquet", [], pa.schema([("a", pa.int64())])) == 0


def test_columns_without_nulls_say_so_where_all_tables_are_there(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("c", pa.string())])
    tables = [
        pa.table({"a": [1], "b": [1], "c": ["x"]}, schema=schema),
        pa.table({"a": [2], "b": [None], "c": ["y"]}, schema=schema),
    ]
    for name, some, nullable in (("all", tables, [False, True, False]), ("stream", iter(tables), [True] * 3)):
        storage.write_parquet(tmp_path / name, some, schema)
        read = storage.read_parquet(tmp_path / name)
        assert [field.nullable for field in read.schema] == nullable
        assert read.to_pydict() == {"a": [1, 2], "b": [1, None], "c": ["x", "y"]}


def test_a_dataset_is_written_by_one_run_at_a_time(tmp_path: Path) -> None:
    with storage.lock(tmp_path), pytest.raises(StageError, match="another run"), storage.lock(tmp_path):
        pass
    with storage.lock(tmp_path):
        pass


def texts_in(path: Path, rows: list[int]) -> list[str]:
    return storage.read_texts(path, "text", np.array(rows, np.int64)).to_list()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300), min_size=1, max_size=90),
    st.data(),
)
def test_texts_are_read_page_by_page_wherever_they_are(texts: list[str], data: st.DataObject) -> None:
    rows = sorted(data.draw(st.sets(st.integers(0, len(texts) - 1))))
    field = pa.field(
        "text", data.draw(st.sampled_from([pa.string(), pa.large_string()])), nullable=data.draw(st.booleans())
    )
    table = pa.table({"n": range(len(texts)), "text": texts}, schema=pa.schema([("n", pa.int64()), field]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        pq.write_table(
            table,
            path,
            row_group_size=data.draw(st.integers(1, 90)),
            compression=data.draw(st.sampled_from(["zstd", "zstd", "lz4"])),
            use_dictionary=data.draw(st.sampled_from([False, False, True])),
            write_batch_size=data.draw(st.integers(1, 8)),
            data_page_size=data.draw(st.sampled_from([1, 200, 1 << 20])),
            write_page_checksum=data.draw(st.booleans()),
            data_page_version=data.draw(st.sampled_from(["1.0", "1.0", "2.0"])),
        )
        assert texts_in(path, rows) == [texts[row] for row in rows]


def test_texts_of_a_damaged_file_are_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"{n} " * 50 for n in range(90)]
    pq.write_table(pa.table({"text": texts}), path, compression="zstd", use_dictionary=False, write_batch_size=8)
    whole = path.read_bytes()
    with pytest.raises(StageError, match=r"a\.parquet: has not all of the rows up to 90"):
        texts_in(path, [1, 90])
    with pytest.raises(StageError, match=r"a\.parquet: column title can't be read"):
        storage.read_texts(path, "title", np.array([1]))
    groups = tmp_path / "groups.parquet"
    pq.write_table(pa.table({"text": texts}), groups, compression="zstd", use_dictionary=False, row_group_size=40)
    broken = bytearray(groups.read_bytes())
    chunk = pq.read_metadata(groups).row_group(1).column(0)
    broken[chunk.data_page_offset : chunk.data_page_offset + chunk.total_compressed_size] = (
        b"\xff" * chunk.total_compressed_size
    )
    groups.write_bytes(broken)
    assert texts_in(groups, [2, 85]) == [texts[2], texts[85]], "row groups without a wanted row aren't read"
    rng = random.Random(5)
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")  # which Arrow reads, and may not survive
    for place in [*range(4, 40), *(rng.randrange(4, footer) for _ in range(60))]:
        path.write_bytes(whole[:place] + bytes([rng.randrange(256)]) + whole[place + 1 :])
        with contextlib.suppress(StageError):
            assert len(texts_in(path, [0, 40, 89])) == 3
    path.write_bytes(whole[:500])
    with pytest.raises(StageError, match=r"a\.parquet"):
        texts_in(path, [1])


def test_texts_of_another_type_are_read_or_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.array(["x", "y", "x"]).dictionary_encode()}), path, compression="lz4")
    assert texts_in(path, [0, 1]) == ["x", "y"]
    pq.write_table(pa.table({"text": [b"\xff", b"y"]}), path, compression="lz4")
    with pytest.raises(StageError, match=r"a\.parquet: column text can't be read"):
        texts_in(path, [0, 1])
    header = pa.py_buffer(b"\x1c" * 5000)
    with mock.patch.object(kernels, "library", lambda: None), pytest.raises(RecursionError):
        pages.texts_in(header, np.array([0]), most=9, levels=False)
    assert RecursionError in storage._OF_DAMAGE


def test_batches_are_read_whole_and_those_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "told.arrow"
    tables = [pa.table({"n": pa.array(some, pa.int64())}) for some in ([1, 2], [], [3])]
    with storage.batch_writer(path, tables[0].schema) as writer:
        for table in tables:
            storage.write_batch(writer, table)
    assert storage.read_batches(path)["n"].to_pylist() == [1, 2, 3]
    path.unlink()
    with pytest.raises(StageError, match=r"told\.arrow: can't be read"):
        storage.read_batches(path)
