"""What earlier runs saw and left: settled files, site lines, fingerprints, sentence hashes, by run key.

A run sees the keys that sort before its own, never itself nor a later one. The manifest says which runs count; a run's
state lies in `_state/run=KEY/` and is replaced with its output.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from etl.storage import sha256, write_parquet

FILES: Final = pa.schema([("source", pa.string()), ("sha256", pa.string()), ("bytes", pa.int64())])


@dataclass(frozen=True, slots=True)
class History:
    """The released runs of one dataset. runs: run key -> its entry in the manifest."""

    out: Path
    runs: dict[str, dict[str, Any]]

    def earlier(self, run_key: str) -> dict[str, str]:
        """The keys before `run_key`, with the hash of the release of each: what a run with that key sees."""
        return {key: str(entry["release"]) for key, entry in sorted(self.runs.items()) if key < run_key}

    def state_files(self, keys: Iterable[str], table: str) -> list[Path]:
        """The state files of `table` that the runs `keys` left, in order of key."""
        return [
            path for key in keys for path in sorted((self.out / "_state" / f"run={key}").glob(f"{table}-*.parquet"))
        ]

    def settled(self, run_key: str) -> dict[tuple[str, str], str]:
        """(source, sha256) of each file that another run than `run_key` took, with that run's key."""
        taken: dict[tuple[str, str], str] = {}
        for key in sorted(self.runs):
            if key != run_key:
                for path in self.state_files([key], "files"):
                    rows = pq.read_table(path, partitioning=None)
                    for source, digest in zip(rows["source"].to_pylist(), rows["sha256"].to_pylist(), strict=True):
                        taken.setdefault((source, digest), key)
        return taken

    def stale(self) -> dict[str, list[str]]:
        """Runs whose history has changed since they ran, with the earlier keys that are new, changed or gone."""
        found = {}
        for key, entry in self.runs.items():
            saw: dict[str, str] = entry["history"]
            now = self.earlier(key)
            if changed := sorted(k for k in saw.keys() | now.keys() if saw.get(k) != now.get(k)):
                found[key] = changed
        return found


def write_state(folder: Path, table: str, tables: Iterable[pa.Table], schema: pa.Schema) -> Path:
    """Write a state table of a run below `folder`; the name carries a hash of the file's bytes."""
    for old in folder.glob(f"{table}-*.parquet"):
        old.unlink()
    scratch = folder / f".{table}.parquet"
    write_parquet(scratch, tables, schema)
    path = folder / f"{table}-{sha256(scratch)[:16]}.parquet"
    scratch.replace(path)
    return path
