"""The local engine: shards in processes, barriers in SQL."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars  # noqa: F401  # whose answer to signals is what a run meets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.engine import local
from etl.engine.local import LocalEngine, split_statements
from etl.errors import StageError


@pytest.fixture(params=[local.SMALL_BYTES, -1], ids=["small", "not small"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "SMALL_BYTES", request.param)


def double(number: int) -> int:
    if number == 3:
        raise ValueError("three is not wanted")
    return 2 * number


def die(number: int) -> int:
    if number == 1:
        os._exit(9)
    return number


def rest(seconds: int) -> int:
    time.sleep(seconds)
    return seconds


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_shard_is_a_value_and_the_others_go_on(workers: int) -> None:
    with LocalEngine(workers) as engine:
        done = dict(engine.map_shards(double, [(n,) for n in range(5)]))
    assert isinstance(done.pop(3), ValueError)
    assert done == {0: 0, 1: 2, 2: 4, 4: 8}


def test_a_dead_worker_is_a_stage_error_that_says_what_to_do() -> None:
    with LocalEngine(2) as engine:
        done = dict(engine.map_shards(die, [(n,) for n in range(2)]))
    assert any(isinstance(one, StageError) and "run the same key again" in str(one) for one in done.values())


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize("workers", [1, 2])
def test_sql_reads_files_and_tables_and_writes_what_is_asked(tmp_path: Path, workers: int) -> None:
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "it's.parquet")
    pq.write_table(pa.table({"a": [3]}), tmp_path / "b.parquet")
    script = (
        "-- a comment; with a semicolon\nCREATE TABLE t AS\nSELECT a + k AS b FROM x CROSS JOIN p ORDER BY b DESC;\n"
    )
    rows = LocalEngine(workers).sql(
        script,
        views={"x": [tmp_path / "it's.parquet", tmp_path / "b.parquet"], "p": pa.table({"k": [10]})},
        outputs={"t": tmp_path / "t.parquet"},
        temp=tmp_path,
    )
    assert rows == {"t": 3}
    assert pq.read_table(tmp_path / "t.parquet")["b"].to_pylist() == [13, 12, 11]


@pytest.mark.usefixtures("size")
def test_a_table_is_kept_until_its_last_use(tmp_path: Path) -> None:
    script = (
        "CREATE TABLE a AS SELECT 1 AS n;\nCREATE TABLE b AS SELECT n + 1 AS n FROM a;\n"
        "CREATE TABLE c AS SELECT a.n + b.n AS n FROM a CROSS JOIN b;\nCREATE TABLE d AS SELECT n FROM c;\n"
    )
    rows = LocalEngine(1).sql(
        script, views={}, outputs={name: tmp_path / f"{name}.parquet" for name in ("b", "d")}, temp=tmp_path
    )
    assert rows == {"b": 1, "d": 1}
    assert pq.read_table(tmp_path / "d.parquet")["n"].to_pylist() == [3]
    kept = [done_with for _, done_with in local._until_last_named(split_statements(script))]
    assert kept == [set(), set(), {"a", "b"}, {"c", "d"}]


@pytest.mark.usefixtures("size")
def test_a_statement_run_in_parts_makes_the_same_rows(tmp_path: Path) -> None:
    script = (
        "-- In parts of 3: x, y by a\nCREATE TABLE counts AS\nSELECT v.a, COUNT(*) AS n\n"
        "FROM (SELECT x.a FROM x AS x UNION ALL SELECT m.a FROM y AS m) AS v\nGROUP BY v.a;\n"
        "CREATE TABLE sorted AS SELECT a, n FROM counts ORDER BY a;\n"
    )
    x, y = [1, 2, 2, 3, 3, 3, -4], [3, 2, 7, 7, -4, None]
    rows = {}
    for name in (script, script.replace("In parts", "Whole")):
        LocalEngine(1).sql(
            name,
            views={"x": pa.table({"a": x}), "y": pa.table({"a": y})},
            outputs={"sorted": tmp_path / "s.parquet"},
            temp=tmp_path,
        )
        rows[name] = pq.read_table(tmp_path / "s.parquet").to_pylist()
    whole = rows.pop(script.replace("In parts", "Whole"))
    assert len(whole) == 6
    assert rows == {script: whole}
    assert len(local._parts(script)) == 1


@pytest.mark.usefixtures("size")
def test_a_barrier_sees_no_table_of_another(tmp_path: Path) -> None:
    script = "CREATE TABLE a AS SELECT n FROM x;\nCREATE TABLE b AS SELECT n FROM a;\n"
    with LocalEngine(1) as engine:
        for number in (1, 2):
            engine.sql(
                script,
                views={"x": pa.table({"n": [number]})},
                outputs={"b": tmp_path / "b.parquet"},
                temp=tmp_path,
                made={"a": local.Made(lambda ask: ask("SELECT n + 1 AS n FROM x"), ("x",))},
            )
            assert pq.read_table(tmp_path / "b.parquet")["n"].to_pylist() == [number + 1]
        with pytest.raises(StageError, match="SQL failed"):
            engine.sql("CREATE TABLE c AS SELECT n FROM x;\n", views={}, outputs={"c": tmp_path / "c"}, temp=tmp_path)


@pytest.mark.usefixtures("size")
def test_bad_sql_is_a_stage_error(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="SQL failed"):
        LocalEngine(1).sql(
            "CREATE TABLE t AS SELECT nothing;\n", views={}, outputs={"t": tmp_path / "t"}, temp=tmp_path
        )


def test_ctrl_c_is_heard_while_shards_are_under_way() -> None:
    impatient = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    with LocalEngine(2) as engine:
        done = engine.map_shards(rest, [(0,), (0,), (60,), (60,)])
        assert [next(done)[1] for _ in range(2)] == [0, 0]
        impatient.start()
        with pytest.raises(KeyboardInterrupt):
            next(done)
        impatient.join()


def too_late(*_: object) -> None:
    raise TimeoutError


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGALRM, TimeoutError)])
def test_what_a_signal_raises_in_the_middle_of_a_statement_ends_it(
    tmp_path: Path, number: int, raised: type[BaseException]
) -> None:
    if number == signal.SIGALRM:
        signal.signal(number, too_late)
    impatient = threading.Timer(0.5, os.kill, (os.getpid(), number))

    def few(_: local.Query) -> pa.Table:
        impatient.start()
        return pa.table({"a": [1]})

    script = (
        "CREATE TABLE few AS SELECT 1 AS a;\n"
        "CREATE TABLE t AS SELECT count(*) AS n FROM range(20000000000) AS r(i) JOIN few ON hash(i) = a;\n"
    )
    with pytest.raises(raised):
        LocalEngine(2).sql(
            script,
            views={},
            outputs={"t": tmp_path / "t.parquet"},
            temp=tmp_path,
            made={"few": local.Made(few, ())},
        )
    impatient.join()


def test_statements_end_at_a_line_that_ends_with_a_semicolon() -> None:
    assert split_statements("-- x;\nCREATE TABLE a AS SELECT ';' AS s;\n\nCREATE TABLE b AS SELECT 1;\n") == [
        "CREATE TABLE a AS SELECT ';' AS s",
        "CREATE TABLE b AS SELECT 1;",
    ]


@pytest.mark.usefixtures("size")
def test_sql_that_needs_more_memory_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MEMORY_LIMIT_MB", 12)
    script = "CREATE TABLE t AS SELECT list(i) AS numbers FROM range(3000000) AS r(i);\n"
    with LocalEngine(2) as engine:
        rows = engine.sql(script, views={}, outputs={"t": tmp_path / "t.parquet"}, temp=tmp_path / "work")
    assert rows == {"t": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_freed_memory_is_given_back() -> None:
    held = [bytes(1000) for _ in range(200_000)]
    last = bytes(1000)  # above them: without it they would be given back when they are freed
    before = _resident_mb()
    del held
    local.give_memory_back()
    assert _resident_mb() < before - 100
    assert last


def _resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[0]) / 1024


ARENAS = """
import ctypes, os, sys, tempfile, threading
from etl.engine.local import LocalEngine
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
LocalEngine()
together = threading.Barrier(6)
def work():
    together.wait()
    libc.malloc(ctypes.c_size_t(1 << 16))
    together.wait()
threads = [threading.Thread(target=work) for _ in range(6)]
for one in threads: one.start()
for one in threads: one.join()
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "info")
    file = libc.fopen(path.encode(), b"w")
    libc.malloc_info(0, ctypes.c_void_p(file))
    libc.fclose(ctypes.c_void_p(file))
    print(open(path).read().count("<heap nr="))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
@pytest.mark.parametrize(("told", "arenas"), [({}, range(1, 3)), ({"MALLOC_ARENA_MAX": "5"}, range(3, 6))])
def test_threads_share_the_memory_of_the_c_library(told: dict[str, str], arenas: range) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"} | told
    done = subprocess.run(
        [sys.executable, "-c", ARENAS], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert int(done.stdout) in arenas
