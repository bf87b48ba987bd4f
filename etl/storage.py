"""Files: where inputs lie, how tables are written so that a kill leaves either the old file or the new one."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import zstandard

from etl.errors import ConfigError, StageError
from etl.pages import texts_in

WRITTEN_AT_ONCE: Final = 1 << 20  # bytes of rows that are set aside


def list_files(inputs: Sequence[Path]) -> list[tuple[Path, Path, bool]]:
    """(root, file, named) of every file below `inputs`: a folder is its files' root and walked whole, a file named by
    itself has its folder as root and `named` set.

    Hidden folders and those that begin with an underscore are left out, links to folders are not followed. Raises
    ConfigError naming each input that is not there.
    """
    faults = [f"INPUT {path}: no such file or folder" for path in inputs if not path.exists()]
    if faults:
        raise ConfigError(faults)
    found: list[tuple[Path, Path, bool]] = []
    for given in inputs:
        root = given.resolve()
        if not root.is_dir():
            found.append((root.parent, root, True))
            continue
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
            paths = (Path(folder, name) for name in sorted(names))
            found += [(root, path, False) for path in paths if path.is_file()]
    return found


def open_input(path: Path) -> BinaryIO:
    """The raw file at `path`, to read."""
    return path.open("rb")


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and goes when it doesn't.

    durable: also on disk before it appears, so that a power cut leaves no empty file under the final name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        if durable:
            sync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: object, *, durable: bool = False) -> None:
    """`value` as JSON at `path`, keys sorted, in one step."""
    with replacing(path, durable=durable) as part:
        part.write_text(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """What `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_text(path: Path, text: str) -> None:
    """`text` at `path`, in one step."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_parquet(
    path: Path,
    tables: Iterable[pa.Table],
    schema: pa.Schema,
    *,
    row_group_rows: int = 250_000,
    lasting: bool = False,
    sorted_by: str = "",
    narrow: Sequence[str] = (),
    hashes: Sequence[str] = (),
) -> int:
    """A work or state table at `path`; the number of rows. Tables stream, an empty one gives a file without rows. Where they are
    all there, columns without nulls say so: where each null is would take a quarter of the time to write, and some to read. (Two such
    files may so differ in what they say of a column: Arrow doesn't put them together, Polars and DuckDB do.)

    Only strings get a dictionary: for hashes it would be built in vain, a third of the time.
    narrow: columns of numbers that differ from row to row, of fewer bits than their type has: they are stored byte by byte, all
    first ones, all second ones, so that lz4 finds the high ones, which are alike.
    hashes: columns in which lz4 finds nothing, and would look for it twice as long as they take to write.
    lasting: not soon deleted: all numbers are stored so, and strings by zstd. In a random hash there is nothing to be found, and
    zstd looks for long.
    sorted_by: the column of whole numbers by which the rows are sorted: its differences are stored, a fifth less of a hash.
    """
    rows = 0
    if isinstance(tables, Sequence):
        has_nulls = [any(table[field.name].null_count for table in tables) for field in schema]
        schema = pa.schema([field.with_nullable(has) for field, has in zip(schema, has_nulls, strict=True)])
    strings = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    numbers = [field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)]
    encoding = dict.fromkeys(numbers if lasting else narrow, "BYTE_STREAM_SPLIT")
    if sorted_by:
        encoding[sorted_by] = "DELTA_BINARY_PACKED"
    packing = {field.name: "zstd" if lasting and field.name in strings else "lz4" for field in schema}
    packing |= dict.fromkeys(hashes, "none")
    with (
        replacing(path) as part,
        pq.ParquetWriter(
            part,
            schema,
            compression=packing,
            use_dictionary=strings,
            column_encoding=encoding or None,
        ) as writer,
    ):
        for table in tables:
            writer.write_table(table.cast(schema), row_group_size=row_group_rows)
            rows += table.num_rows
    return rows


def read_parquet(path: Path, *, columns: Sequence[str] = ()) -> pa.Table:
    """The table at `path`, or those of its columns. Numbers stored byte by byte Arrow reads in half of Polars' time.

    pyarrow's `read_table` would import pandas where it is installed: half a second.
    """
    return pq.ParquetFile(path).read(columns=list(columns) or None)


def read_columns(path: Path, columns: Sequence[str]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Columns of a table of numbers and truths, each as one array, a row group at a time; null is -1, or 0 where no number
    is less.

    By way of Polars: pyarrow's own `to_numpy` would import pandas where it is installed.
    """
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(columns))
            frame = pl.DataFrame(table)
            if any(column.null_count for column in table.columns):
                unsigned = cs.unsigned_integer()
                frame = frame.with_columns(unsigned.fill_null(0), (cs.all() - unsigned).fill_null(-1))
            yield {name: frame[name].to_numpy() for name in columns}


def count_rows(path: Path) -> int:
    """How many rows a Parquet file has, of which none is read."""
    rows: int = pq.read_metadata(path).num_rows
    return rows


def _nameless(folder: Path) -> BufferedRandom:
    """A file that is gone when it is closed, or with this process."""
    file = tempfile.TemporaryFile(dir=folder, buffering=WRITTEN_AT_ONCE)  # noqa: SIM115 - whoever asks for it closes it
    return cast("BufferedRandom", file)


class Aside:
    """Rows set aside by a number, until they are asked for by it.

    folder: where a file without a name takes them, which is gone with this object; without one memory holds them.
    kinds: type of each column.
    """

    def __init__(self, folder: Path | None, kinds: Mapping[str, npt.DTypeLike]) -> None:
        self._kinds = {name: np.dtype(kind) for name, kind in kinds.items()}
        self._held: dict[int, list[Mapping[str, npt.NDArray[Any]]]] = {}
        self._places: dict[int, list[tuple[int, int]]] = {}  # where rows begin in the file, and how many they are
        self._file = None if folder is None else _nameless(folder)
        if self._file is not None:
            weakref.finalize(self, self._file.close)
        self._end = 0

    def put(self, number: int, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Set rows aside, behind those that have this number already."""
        held = {name: np.ascontiguousarray(columns[name], kind) for name, kind in self._kinds.items()}
        rows = len(next(iter(held.values())))
        if not rows:
            return
        if self._file is None:
            self._held.setdefault(number, []).append(held)
            return
        self._places.setdefault(number, []).append((self._end, rows))
        for values in held.values():
            self._end += self._file.write(values.view(np.uint8).data)

    def take(self, number: int) -> dict[str, npt.NDArray[Any]]:
        """The rows that have this number, in the order in which they came."""
        if self._file is None:
            parts = self._held.get(number, [])
            return {
                name: np.concatenate([np.zeros(0, kind), *(part[name] for part in parts)]).astype(kind, copy=False)
                for name, kind in self._kinds.items()
            }
        places = self._places.get(number, [])
        found = {name: np.empty(sum(rows for _, rows in places), kind) for name, kind in self._kinds.items()}
        self._file.flush()
        first = 0
        for at, rows in places:
            for values in found.values():
                part = values[first : first + rows]
                if os.preadv(self._file.fileno(), [part.view(np.uint8).data], at) != part.nbytes:
                    raise StageError("a work file is shorter than what was written to it")
                at += part.nbytes
            first += rows
        return found


_OF_DAMAGE: Final = (
    *(pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError),
    *(zstandard.ZstdError, LookupError, ValueError, TypeError, MemoryError, RecursionError, SystemError),
)
"""What a damaged file makes Arrow, Polars and the reader of its pages raise."""


def read_texts(path: Path, column: str, rows: npt.NDArray[np.integer[Any]]) -> pl.Series:
    """The texts in some `rows` (in order, each once, all there) of a Parquet file's column without nulls.

    Only the pages that hold one are unpacked, where they are as `publish` writes them: Arrow and Polars unpack a whole row
    group for each. Others are left to Arrow. Raises StageError for a file that is damaged, or isn't there.
    """
    rows = rows.astype(np.int64)
    texts = [pl.Series(dtype=pl.String)]
    first = 0
    try:
        with pq.ParquetFile(path, memory_map=True) as file, pa.memory_map(str(path)) as data:
            place = [file.metadata.schema.column(n).path for n in range(len(file.metadata.schema))].index(column)
            for group in range(file.num_row_groups):
                chunk = file.metadata.row_group(group).column(place)
                past = first + chunk.num_values
                wanted = rows[slice(*np.searchsorted(rows, [first, past]))] - first
                first = past
                if not len(wanted):
                    continue
                some = None
                if chunk.compression == "ZSTD" and set(chunk.encodings) <= {"PLAIN", "RLE"}:
                    data.seek(chunk.data_page_offset)
                    levels = file.schema.column(place).max_definition_level > 0
                    held = data.read_buffer(chunk.total_compressed_size)
                    some = texts_in(held, wanted, most=chunk.total_uncompressed_size, levels=levels)
                if some is None:
                    some = pl.Series(file.read_row_group(group, columns=[column])[column]).gather(wanted)
                texts.append(some.cast(pl.String))
    except _OF_DAMAGE as error:
        raise StageError(f"{path}: column {column} can't be read: {error}") from error
    if sum(map(len, texts)) != len(rows):
        raise StageError(f"{path}: has not all of the rows up to {rows[-1]}")
    return pl.concat(texts)


@contextmanager
def batch_writer(path: Path, schema: pa.Schema) -> Iterator[ipc.RecordBatchFileWriter]:
    """An Arrow file at `path` that takes one record batch a batch of documents, to be read where it lies on disk, without a copy.

    A column with a dictionary has one for all batches.
    """
    with replacing(path) as part, ipc.new_file(str(part), schema) as writer:
        yield writer


def write_batch(writer: ipc.RecordBatchFileWriter, table: pa.Table) -> None:
    """`table` as one record batch, empty or not, so that batches keep their numbers."""
    batches = table.combine_chunks().to_batches()
    schema = table.schema
    writer.write_batch(
        batches[0] if batches else pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)
    )


def read_batches(path: Path) -> pa.Table:
    """All batches that `batch_writer` wrote, in memory: of small files there may be many. Raises StageError for one that isn't there,
    or can't be read."""
    try:
        with pa.OSFile(str(path)) as source, ipc.open_file(source) as reader:
            return reader.read_all()
    except _OF_DAMAGE as error:
        raise StageError(f"{path}: can't be read: {error}; do the stage that writes it again") from error


def read_batch_file(path: Path, *, columns: Sequence[str] = ()) -> Iterator[pa.Table]:
    """The batches that `batch_writer` wrote, one at a time, each a table. columns: those to have; () for all.

    Each is mapped into memory by itself, so that it goes when its table does. Arrow would copy columns that it is asked for, and
    leaves in place those of a whole batch.
    """
    with pa.memory_map(str(path)) as source, ipc.open_file(source) as reader:
        batches = reader.num_record_batches
    for number in range(batches):
        with pa.memory_map(str(path)) as source, ipc.open_file(source) as reader:
            tables = [pa.Table.from_batches([reader.get_batch(number)])]
        if columns:
            tables = [tables.pop().select(list(columns))]
        yield tables.pop()


def remove_tree(path: Path) -> None:
    """`path` and all below it, if it is there."""
    shutil.rmtree(path, ignore_errors=True)


def sync(path: Path) -> None:
    """Make a file's bytes, or a folder's names, durable."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def lock(out: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the dataset at `out` for one run. Raises StageError when another run holds it.

    shared: together with others that hold it shared, for one shard among several of a run.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("a+") as held:
        try:
            fcntl.flock(held, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            raise StageError(f"another run is writing to {out}; wait for it, or give another --out") from error
        yield
