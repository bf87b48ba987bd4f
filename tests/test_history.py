"""History: a run sees the keys before its own; what changed under a run makes it stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from etl.history import FILES, History, write_state


def history(out: Path, **seen: dict[str, str]) -> History:
    """Runs k1, k2, … with what each saw; the release of run k is "r" + k."""
    runs: dict[str, dict[str, Any]] = {key: {"release": f"r{key}", "history": saw} for key, saw in seen.items()}
    return History(out, runs)


def test_a_run_sees_only_smaller_keys(tmp_path: Path) -> None:
    known = history(tmp_path, k1={}, k2={}, k3={})
    assert known.earlier("k2") == {"k1": "rk1"}
    assert known.earlier("k0") == {}


def test_a_file_is_settled_by_another_key_alone(tmp_path: Path) -> None:
    folder = tmp_path / "_state" / "run=k1"
    folder.mkdir(parents=True)
    write_state(folder, "files", [pa.table({"source": ["a"], "sha256": ["x"], "bytes": [1]}, schema=FILES)], FILES)
    known = history(tmp_path, k1={}, k2={})
    assert known.settled("k2") == {("a", "x"): "k1"}
    assert known.settled("k1") == {}


def test_new_changed_and_missing_history_make_a_run_stale(tmp_path: Path) -> None:
    known = history(
        tmp_path, k1={}, k2={"k1": "rk1"}, k3={"k1": "old"}, k4={"k0": "gone", "k1": "rk1", "k2": "rk2", "k3": "rk3"}
    )
    assert known.stale() == {"k3": ["k1", "k2"], "k4": ["k0"]}


def test_state_files_are_named_by_their_bytes_and_replaced(tmp_path: Path) -> None:
    first = write_state(tmp_path, "t", [pa.table({"a": [1]})], pa.schema([("a", pa.int64())]))
    second = write_state(tmp_path, "t", [pa.table({"a": [2]})], pa.schema([("a", pa.int64())]))
    assert first.name != second.name
    assert [p.name for p in tmp_path.iterdir()] == [second.name]
