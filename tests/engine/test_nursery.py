"""Worker processes: forked where that is safe, spawned elsewhere, and none outlives its parent."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from etl.engine import local, nursery
from etl.engine.local import LocalEngine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")

SCRIPT = """
import os, sys, time
from pathlib import Path
from etl.engine.local import LocalEngine

def wait(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(300)

if __name__ == "__main__":
    with LocalEngine(2) as engine:
        engine.start("etl.errors")
        for done in engine.map_shards(wait, [(sys.argv[1],)] * 2):
            print(done)
"""

FORKED = """
import os, sys
from pathlib import Path
from etl.engine import nursery
with nursery.importing():
    import etl.stages
    import polars as pl
    from etl.engine.local import LocalEngine

def look(number):
    server = Path(f"/proc/{os.getppid()}")
    rows = pl.DataFrame({"a": [1, 1, number]}).group_by("a").len().height
    return len(list((server / "task").iterdir())), (server / "cmdline").read_text(), pl.thread_pool_size(), rows

if __name__ == "__main__":
    before = dict(os.environ)
    with LocalEngine(2) as engine:
        engine.start("etl.stages")
        nursery.make_up()
        told = set(dict(engine.map_shards(look, [(2,)] * 4)).values())
    own = Path("/proc/self/cmdline").read_text()
    print(told == {(1, own, 1, 2)}, before == dict(os.environ), nursery.threads() > 1, pl.DataFrame({"a": [1, 1]}).n_unique())
    print({name: os.environ[name] for name in nursery.ENVIRONMENT if name in os.environ})
"""

CLOSED = """
import fcntl, os, sys
from pathlib import Path
from etl.engine import nursery
with nursery.importing():
    import etl.stages
    from etl.engine.local import LocalEngine

def look(_):
    server = Path(f"/proc/{os.getppid()}")
    return [(server / "cmdline").read_text(), *(str((server / "fd" / str(file)).readlink()) for file in range(3))]

if __name__ == "__main__":
    lock = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)  # takes the place of a closed stream
    with LocalEngine(2) as engine:
        engine.start("etl.stages")
        nursery.make_up()
        seen = dict(engine.map_shards(look, [(number,) for number in range(2)]))[1]
    Path(sys.argv[2]).write_text("\\n".join(seen))
"""


def look(_: int) -> tuple[int, str, int, int]:
    parent = Path(f"/proc/{os.getppid()}/task")
    words = pl.DataFrame({"word": ["a", "b", "a"]}).group_by("word").len()
    return len(list(parent.iterdir())), os.environ["POLARS_MAX_THREADS"], pl.thread_pool_size(), words.height


@pytest.fixture(autouse=True)
def fork_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_CAN_FORK", True)


def test_workers_are_forked_from_a_process_with_one_thread() -> None:
    before = dict(os.environ)
    with LocalEngine(2) as engine:
        engine.start("etl.stages")  # all that stages make beforehand is made without a thread
        seen = dict(engine.map_shards(look, [(number,) for number in range(4)]))
    assert local._CAN_FORK
    assert list(seen.values()) == [(1, "1", 1, 2)] * 4
    assert dict(os.environ) == before


def test_the_server_is_forked_from_a_process_whose_imports_started_no_thread(tmp_path: Path) -> None:
    script = tmp_path / "forked.py"
    script.write_text(FORKED)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=_plain())
    assert (done.stdout, done.stderr) == ("True True True 1\n{}\n", "")


def test_the_server_runs_without_standard_streams_and_holds_no_file_in_their_place(tmp_path: Path) -> None:
    script, lock, seen = tmp_path / "closed.py", tmp_path / "lock", tmp_path / "seen"
    script.write_text(CLOSED)
    closed = f"exec {shlex.quote(sys.executable)} {script} {lock} {seen} <&- >&- 2>&-"
    subprocess.run(["/bin/sh", "-c", closed], cwd=tmp_path, check=True, env=_plain())
    assert lock.exists()
    server, *files = seen.read_text().splitlines()
    assert str(script) in server  # it was forked
    assert str(lock) not in files


def backend(_: int) -> str:
    return str(pa.default_memory_pool().backend_name)


@pytest.mark.skipif("jemalloc" not in pa.supported_memory_backends(), reason="Arrow has no jemalloc here")
def test_arrow_takes_memory_from_where_it_can_be_given_back() -> None:
    with LocalEngine(2) as engine:
        assert dict(engine.map_shards(backend, [(n,) for n in range(2)])) == {0: "jemalloc", 1: "jemalloc"}


POOL = """
from etl.engine import nursery
with nursery.importing():
    import pyarrow
import os
print(pyarrow.default_memory_pool().backend_name, os.environ.get("ARROW_DEFAULT_MEMORY_POOL"), nursery.threads())
"""


@pytest.mark.skipif("jemalloc" not in pa.supported_memory_backends(), reason="Arrow has no jemalloc here")
def test_the_commands_process_does_so_too_unless_it_is_told_otherwise() -> None:
    told = [
        subprocess.run([sys.executable, "-c", POOL], capture_output=True, text=True, check=True, env=env).stdout.split()
        for env in (_plain(), {**_plain(), "ARROW_DEFAULT_MEMORY_POOL": "system"})
    ]
    assert told == [["jemalloc", "None", "1"], ["system", "system", "1"]]


def test_where_the_server_has_threads_workers_are_spawned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        nursery, "ENVIRONMENT", {**nursery.ENVIRONMENT, "JE_ARROW_MALLOC_CONF": "background_thread:true"}
    )
    with caplog.at_level(logging.WARNING), LocalEngine(2) as engine:
        engine.start("etl.stages")
        seen = dict(engine.map_shards(look, [(number,) for number in range(2)]))
    assert not local._CAN_FORK
    assert "can't be forked" in caplog.text
    assert [told[1:] for told in seen.values()] == [("1", 1, 2)] * 2  # type: ignore[index]


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process with two workers in the middle of a shard, and their ids."""
    script, folder = tmp_path / "wait.py", tmp_path / "ids"
    script.write_text(SCRIPT)
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, script, folder], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    try:
        _until(lambda: len(list(folder.iterdir())) == 2)
        yield process, [int(path.name) for path in folder.iterdir()]
    finally:
        process.kill()
        process.communicate()


def test_workers_end_with_a_parent_that_is_killed(waiting: tuple[subprocess.Popen[str], list[int]]) -> None:
    process, workers = waiting
    server = int(Path(f"/proc/{workers[0]}/stat").read_text().rpartition(")")[2].split()[1])
    process.send_signal(signal.SIGKILL)
    process.wait()
    _until(lambda: not any(_runs(one) for one in [*workers, server]))


def test_an_interrupt_ends_all_without_a_word_of_the_workers(waiting: tuple[subprocess.Popen[str], list[int]]) -> None:
    process, workers = waiting
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert told.count("Traceback") == 1
    _until(lambda: not any(_runs(one) for one in workers))


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in nursery.ENVIRONMENT}


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(holds: object, *, seconds: float = 60.0) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
