"""The published dataset: Parquet parts, the atomic release of a run, the manifest, and the check of both.

A run's output is written below `_work`, then takes its place by renames: a reader that globs `documents/` sees the old
release of a run key or the new one, whole. File names carry a hash of their bytes; the manifest is replaced last.
"""

from __future__ import annotations

import base64
import ctypes
import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from etl import schema
from etl.config import Publish
from etl.errors import StageError
from etl.storage import read_json, remove_tree, sha256, sync, write_json

DATASETS: Final[Mapping[str, pa.Schema]] = {
    "documents": schema.DOCUMENTS,
    "removals": schema.REMOVALS,
    "annotations": schema.ANNOTATIONS,
    "rejects": schema.REJECTS,
}
STATE: Final = "_state"
MANIFEST: Final = "_manifest.json"
REPORTS: Final = "_reports"
WHAT_A_RUN_OWNS: Final = (*DATASETS, STATE)
"""Each holds one folder a run key, replaced as a whole."""

LONG: Final = {"text", "title", "url"}
"""Columns for which it pays to look for repeats beyond the lowest level; for numbers and ids that finds chance ones, and grows them."""

FEW_VALUES: Final = {
    *("source", "site", "lang", "lang_score", "published_at", "fetched_at", "duplicates", "encoding"),
    *("unit", "stage", "rule", "reason", "score", "kept_doc_id", "error"),
}
"""Columns that get a dictionary: their values repeat."""

PAGES: Final = {"documents": (8, 1 << 15)}
"""Of the dataset whose texts later runs read singly: a page of a column ends after so many rows more, once it has so many bytes.
With smaller ones documents take more room, with those of the others they are read more slowly."""

PAGE: Final = (1024, 1 << 20)

_ARROW_SCHEMA: Final = b"ARROW:schema"
"""Under this name Arrow keeps a table's schema in a file, and reads it by: that of the dataset, without dictionaries."""

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a dataset. name: file name, which carries the first 16 hex digits of sha256."""

    name: str
    rows: int
    size: int
    sha256: str


def write_part(folder: Path, number: int, dataset: str, tables: Iterable[pa.Table], options: Publish) -> Part:
    """Write `tables` as part `number` of `dataset` below `folder`. Replaces what an earlier try left of this part.

    tables: of one schema, that of the dataset or one with dictionaries for strings, which then needn't be made.
    """
    target = folder / dataset
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob(f"part-{number:05d}-*.parquet"):
        old.unlink()
    scratch = target / f".part-{number:05d}.{os.getpid()}"
    wanted = DATASETS[dataset].with_metadata({"schema_version": schema.SCHEMA_VERSION, "dataset": dataset})
    held = list(tables)
    dictionaries = {f.name: f.type for f in (held[0].schema if held else ()) if pa.types.is_dictionary(f.type)}
    kinds = pa.schema([f.with_type(dictionaries.get(f.name, f.type)) for f in wanted])
    page_rows, page_bytes = PAGES.get(dataset, PAGE)
    level = min(options.compression_level + (dataset not in PAGES), 19)  # in large pages it finds more
    writer = pq.ParquetWriter(
        scratch,
        kinds,
        compression="zstd",
        compression_level={path: level if path in LONG else 1 for path in _paths(wanted)},
        write_page_index=True,
        store_schema=False,
        use_dictionary=[path for path in _paths(wanted) if path in FEW_VALUES or path in dictionaries],
        write_batch_size=page_rows,
        data_page_size=page_bytes,
    )
    with writer:
        writer.add_key_value_metadata({**wanted.metadata, _ARROW_SCHEMA: base64.b64encode(wanted.serialize())})
        for table in held:
            for piece in _row_groups(table.cast(kinds), options.row_group_bytes):
                writer.write_table(piece)
    digest = sha256(scratch)
    name = f"part-{number:05d}-{digest[:16]}.parquet"
    sync(scratch)
    scratch.replace(target / name)
    return Part(name, sum(table.num_rows for table in held), (target / name).stat().st_size, digest)


def _paths(wanted: pa.Schema) -> list[str]:
    """The names of columns as the Parquet writer wants them: of a list, that of its elements."""
    return [f"{f.name}.list.element" if pa.types.is_list(f.type) else f.name for f in wanted]


def release(out: Path, staging: Path, run_key: str, entry: Mapping[str, Any], *, report: Path) -> None:
    """Put the run's folders below `staging` and its `report` in place, then its entry in the manifest. Safe to repeat.

    entry: the manifest's record of the run; `entry["datasets"]` lists the parts, by which a folder that is already in
    place is known.
    """
    for owned in WHAT_A_RUN_OWNS:
        source, target = staging / owned, out / owned / f"run={run_key}"
        expected = {str(part["name"]) for part in entry["datasets"][owned]["files"]}
        if _names(target) == expected and target.is_dir():
            continue
        if _names(source) != expected:
            raise StageError(f"{source} doesn't hold the files of this run; run the same key again")
        target.parent.mkdir(parents=True, exist_ok=True)
        _put_in_place(source, target)
        sync(target.parent)
    if report.is_dir():
        (out / REPORTS).mkdir(exist_ok=True)
        _put_in_place(report, out / REPORTS / run_key)
    manifest = read_manifest(out)
    manifest["runs"] = dict(sorted({**manifest["runs"], run_key: dict(entry)}.items()))
    write_json(out / MANIFEST, manifest, durable=True)
    sync(out)


def set_forgotten(out: Path, sources: Sequence[str]) -> None:
    """Record in the manifest which sources are to be in no run."""
    write_json(out / MANIFEST, {**read_manifest(out), "forgotten": sorted(sources)}, durable=True)
    sync(out)


def read_manifest(out: Path) -> dict[str, Any]:
    """The manifest of the dataset at `out`; one without runs when nothing was released yet."""
    path = out / MANIFEST
    manifest: dict[str, Any] = (
        read_json(path) if path.exists() else {"schema_version": schema.SCHEMA_VERSION, "runs": {}}
    )
    return manifest


def list_parts(staging: Path, known: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """What a finished run left below `staging`, as the manifest lists it: for each dataset files and rows.

    known: name -> sha256 of files that were hashed when they were written; the others are hashed now.
    """
    listed: dict[str, Any] = {}
    for owned in WHAT_A_RUN_OWNS:
        files = []
        for path in sorted((staging / owned).glob("*.parquet")):
            rows = pq.read_metadata(path).num_rows
            digest = known.get(path.name) or sha256(path)
            files.append({"name": path.name, "rows": rows, "bytes": path.stat().st_size, "sha256": digest})
        listed[owned] = {"files": files, "rows": sum(f["rows"] for f in files)}
    return listed


def verify(out: Path) -> list[str]:
    """Every fault of the dataset at `out`, a sentence each: files, sizes, hashes, schemas, and kept + removed."""
    manifest = read_manifest(out)
    faults: list[str] = []
    if not manifest["runs"]:
        return [f"{out} holds no released run"]
    for owned in WHAT_A_RUN_OWNS:
        present = {p.name.removeprefix("run=") for p in (out / owned).glob("run=*")}
        faults += [f"{owned}/run={key} is not in the manifest" for key in sorted(present - set(manifest["runs"]))]
    for key, entry in manifest["runs"].items():
        for owned in WHAT_A_RUN_OWNS:
            faults += _verify_folder(out / owned / f"run={key}", owned, entry["datasets"][owned]["files"])
        if not faults:
            faults += _verify_account(out, key, entry)
    return faults


def _verify_folder(folder: Path, owned: str, files: list[dict[str, Any]]) -> list[str]:
    where = f"{owned}/{folder.name}"
    faults = [f"{where}/{name} is not in the manifest" for name in sorted(_names(folder) - {f["name"] for f in files})]
    for listed in files:
        path = folder / listed["name"]
        if not path.is_file():
            faults.append(f"{where}/{listed['name']} is missing")
        elif sha256(path) != listed["sha256"]:
            faults.append(f"{where}/{listed['name']} is not the file that was released: its sha256 differs")
        elif owned in DATASETS and not pq.read_schema(path).equals(DATASETS[owned]):
            faults.append(f"{where}/{listed['name']} has another schema than {owned} has")
    return faults


def _verify_account(out: Path, key: str, entry: Mapping[str, Any]) -> list[str]:
    """Characters and documents of one run: what was read is what was kept and what was removed."""
    import pyarrow.compute as pc

    documents = pq.read_table(
        out / "documents" / f"run={key}", columns=["doc_id", "n_chars", "removed_chars", "text"], partitioning=None
    )
    removals = pq.read_table(
        out / "removals" / f"run={key}", columns=["doc_id", "unit", "start", "end", "text"], partitioning=None
    )
    faults = []
    if pc.any(pc.not_equal(pc.utf8_length(documents["text"]), documents["n_chars"])).as_py():
        faults.append(f"run {key}: a document's n_chars is not the length of its text")
    lengths = pc.subtract(removals["end"], removals["start"])
    if pc.any(pc.not_equal(pc.utf8_length(removals["text"]), lengths)).as_py():
        faults.append(f"run {key}: a removal's text is not as long as its start and end say")
    of_documents = (
        pa.table({"doc_id": removals["doc_id"], "cut": lengths}).group_by("doc_id").aggregate([("cut", "sum")])
    )
    whole = pc.equal(removals["unit"], "document")
    joined = documents.select(["doc_id", "removed_chars"]).join(of_documents, "doc_id", join_type="left outer")
    if pc.any(pc.not_equal(pc.fill_null(joined["cut_sum"], 0), joined["removed_chars"])).as_py():
        faults.append(f"run {key}: a document's removed_chars is not the sum of its removals")
    dropped = pc.sum(pc.cast(whole, pa.int64())).as_py() or 0
    if documents.num_rows + dropped != entry["counts"]["documents_read"]:
        faults.append(
            f"run {key}: {entry['counts']['documents_read']} documents were read, {documents.num_rows} kept and {dropped} dropped"
        )
    total = (pc.sum(documents["n_chars"]).as_py() or 0) + (pc.sum(lengths).as_py() or 0)
    if total != entry["counts"]["chars_repaired"]:
        faults.append(
            f"run {key}: {entry['counts']['chars_repaired']} characters were repaired, {total} were kept or removed"
        )
    return faults


def _row_groups(table: pa.Table, limit: int) -> Iterable[pa.Table]:
    """Slices of `table` of at most about `limit` bytes; a larger single row is a slice of its own."""
    if not table.num_rows:
        return
    rows = max(1, int(table.num_rows * limit / max(1, table.nbytes)))
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)


def _put_in_place(source: Path, target: Path) -> None:
    """Exchange `source` and `target` in one step, or rename when there is no target yet; the old one is deleted."""
    if not target.exists():
        source.rename(target)
        return
    if not _exchange(source, target):
        old = target.with_name(f".old-{target.name}")
        remove_tree(old)
        target.rename(old)
        source.rename(target)
        source = old
    remove_tree(source)


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two folders by renameat2. False where the system can't."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(b))


def _names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir() if not p.name.startswith(".")} if folder.is_dir() else set()
