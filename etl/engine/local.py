"""The local engine: a pool of processes for shards, embedded DuckDB for the barriers. No service.

Another engine offers the same four calls: `map_shards`, `sql`, `workers` and `close`. A shard's function takes picklable
arguments and passes paths, so that it can run in any process or on any machine that sees the same folder.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pyarrow as pa

from etl.engine import nursery
from etl.errors import StageError
from etl.threads import HEARING_CTRL_C

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)

R = TypeVar("R")

MEMORY_LIMIT_MB: Final = 440
"""What DuckDB may hold before it spills to the work folder; the worker processes need the rest of 1.5 GB."""

LARGE_MB: Final = 300
"""Input of a barrier from which on the worker processes are ended for its time, and DuckDB has their memory too. 100,000
documents leave 200 MB for barrier 2."""

SMALL_BYTES: Final = 4 << 20
"""Input of a barrier up to which nearly all it takes is what each statement costs by itself: `_run_small`."""

LARGE_LIMIT_MB: Final = 800  # the process holds some 200 MB besides, what it imported and what DuckDB doesn't count
MADE_LIMIT_MB: Final = 300  # while something else makes a table, which takes memory too; the rest is written out
LAST_SHARE: Final = 0.6  # of the machine's memory, for a barrier that fits into nothing less

_CAN_FORK = sys.platform == "linux"
"""Whether workers are forked from a server, which nursery.py explains; elsewhere, and where it failed once, they are spawned:
this process has threads of Polars' and Arrow's, and a fork of those can hang."""


Query = Callable[[str], pa.Table]


@dataclass(frozen=True, slots=True)
class Made:
    """What makes a table of a script in place of its statement: the same rows, faster.

    make: is given a call that answers queries of the tables `asks`, and gives a table or its Parquet files.
    """

    make: Callable[[Query], pa.Table | Sequence[Path]]
    asks: tuple[str, ...]


@dataclass(slots=True)
class LocalEngine:
    """Runs shards in `workers` processes and SQL in DuckDB. Close it, or use it as a context.

    workers: processes; 1 runs everything in this process.
    """

    workers: int = 1
    _pool: ProcessPoolExecutor | None = field(default=None, repr=False)
    _served: bool = field(default=False, repr=False)
    _database: duckdb.DuckDBPyConnection | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _share_memory()

    def map_shards(
        self, function: Callable[..., R], tasks: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, R | Exception]]:
        """(number of the task, result or its exception) of `function(*task)` for each task, as they finish.

        A shard's failure is a value here: the others go on, and the caller decides. A dead worker process is a
        StageError for the shards that were under way.
        """
        if self.workers == 1 or len(tasks) == 1:
            for number, task in enumerate(tasks):
                yield number, _attempt(function, task)
            return
        waiting: dict[Future[R | Exception], int] = {}
        ahead = iter(enumerate(tasks))
        while True:
            while len(waiting) < 2 * self.workers and (following := next(ahead, None)):
                number, task = following
                waiting[
                    self._processes(function.__module__).submit(
                        _attempt, function, task, last=number >= len(tasks) - self.workers
                    )
                ] = number
            if not waiting:
                return
            done, _ = wait(waiting, HEARING_CTRL_C, FIRST_COMPLETED)
            for future in sorted(done, key=waiting.__getitem__):
                yield waiting.pop(future), self._result(future)

    def sql(
        self,
        script: str,
        *,
        views: Mapping[str, Sequence[Path] | pa.Table],
        outputs: Mapping[str, Path],
        temp: Path,
        made: Mapping[str, Made] = MappingProxyType({}),
    ) -> dict[str, int]:
        """Run `script`, statements of the form `CREATE TABLE name AS SELECT …;`, and write tables to Parquet. A table is
        never made when no output needs it. Of large inputs, one is dropped when no later statement names it, and a statement below a comment line
        such as `-- In parts of 4,000,000: bands, known_bands by h` is run so many rows of those tables at a time.

        views: name -> Parquet files (all with one schema, at least one) or a table. outputs: table -> file to write,
        rows in the order of the table's own ORDER BY. made: table -> what makes the same rows without its statement.
        Returns the rows of each output.
        """
        import duckdb

        temp.mkdir(parents=True, exist_ok=True)
        read = sum(
            path.stat().st_size for source in views.values() if not isinstance(source, pa.Table) for path in source
        )
        if read + sum(source.nbytes for source in views.values() if isinstance(source, pa.Table)) <= SMALL_BYTES:
            try:
                return _run_small(self._small_database(), script, views=views, outputs=outputs, made=made)
            except duckdb.OutOfMemoryException as error:
                log.debug("small input, but SQL needs more memory: %s", error)
            except duckdb.Error as error:
                raise StageError(f"SQL failed: {error}") from error
        ways = [(MEMORY_LIMIT_MB, self.workers), (LARGE_LIMIT_MB, self.workers), (_most_memory_mb(), 1)]
        for limit_mb, threads in ways[1:] if read > LARGE_MB << 20 else ways:
            if limit_mb > MEMORY_LIMIT_MB:
                self.close()
            try:
                return _run_sql(
                    script, views=views, outputs=outputs, temp=temp, made=made, limit_mb=limit_mb, threads=threads
                )
            except duckdb.OutOfMemoryException as error:
                log.warning("SQL needs more than %d MB of memory: %s", limit_mb, str(error).partition("\n")[0])
                last = error
            except duckdb.Error as error:
                raise StageError(f"SQL failed: {error}") from error
        raise StageError(f"SQL failed: {last}") from last

    def close(self) -> None:
        """End the worker processes, also those in the middle of a shard: its files appear by rename, or not at all."""
        if self._pool is not None:
            for process in multiprocessing.active_children():
                process.terminate()
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
        if self._served:
            _end_server()
            self._served = False
        if self._database is not None:
            self._database.close()
            self._database = None

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, preload: str) -> None:
        """Let what the worker processes need of the module `preload` be made already: a second that need not be waited for."""
        if self.workers > 1 and self._pool is None:
            if _CAN_FORK:
                self._serve(preload)
            else:
                self._pool = self._spawn()
                for _ in range(self.workers):
                    self._pool.submit(_import, preload)

    def _small_database(self) -> duckdb.DuckDBPyConnection:
        """The database of small barriers: it spills nothing, and is kept, for it takes as long to start as ten statements."""
        import duckdb

        if self._database is None:
            told = {**_CONFIG, "threads": 1, "memory_limit": f"{MEMORY_LIMIT_MB}MB", "temp_directory": ""}
            self._database = duckdb.connect(config=told)
        return self._database

    def _processes(self, preload: str) -> ProcessPoolExecutor:
        """The pool of worker processes, started when there is none."""
        if self._pool is None and _CAN_FORK:
            self._serve(preload)
            self._pool = self._fork()
        if self._pool is None:
            self._pool = self._spawn()
        return self._pool

    def _serve(self, preload: str) -> None:
        """Start the process that worker processes are forked from, unless it is there."""
        if not self._served:
            from multiprocessing import forkserver

            forkserver.set_forkserver_preload([nursery.__name__])
            with nursery.serving(preload), _environment({**nursery.ENVIRONMENT, nursery.PRELOAD: preload}):
                forkserver.ensure_running()
            self._served = True

    def _fork(self) -> ProcessPoolExecutor | None:
        """A pool of processes forked from the server; None when it has ended because that isn't safe."""
        global _CAN_FORK
        pool = ProcessPoolExecutor(self.workers, multiprocessing.get_context("forkserver"), initializer=_warm)
        try:
            for _ in range(self.workers):  # each starts a process
                pool.submit(os.getpid)
        except (OSError, EOFError):
            log.warning("workers can't be forked here and are spawned, which takes a second more for each")
            _CAN_FORK = False
            pool.shutdown(wait=False)
            return None
        return pool

    def _spawn(self) -> ProcessPoolExecutor:
        """A pool of processes that each begin anew."""
        pool = ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"), initializer=_warm)
        with _environment(nursery.ENVIRONMENT):
            for _ in range(self.workers):
                pool.submit(os.getpid)
        return pool

    def _result(self, future: Future[R | Exception]) -> R | Exception:
        try:
            return future.result()
        except BrokenProcessPool:
            self._pool = None
            return StageError(
                "a worker process died (killed, or out of memory); run the same key again, with fewer --workers. "
                "(A script of your own must call Winnow below `if __name__ == '__main__':`, or no worker can start)"
            )


_CONFIG: Final[dict[str, str | int | float | list[str]]] = {
    "preserve_insertion_order": True,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


_NUMBERS: Final = count(1)  # of databases: a barrier that Ctrl-C ended leaves its name to none


def _run_small(
    database: duckdb.DuckDBPyConnection,
    script: str,
    *,
    views: Mapping[str, Sequence[Path] | pa.Table],
    outputs: Mapping[str, Path],
    made: Mapping[str, Made],
) -> dict[str, int]:
    """`LocalEngine.sql` of a small input, all of it in memory, seen by no other barrier. Raises duckdb.Error."""
    barrier = f"barrier_{next(_NUMBERS)}"
    try:
        database.execute(f"ATTACH ':memory:' AS {barrier}")
        with _statements(database.cursor()) as statements:
            connection = statements.connection
            connection.execute(f"USE {barrier}")
            for name, source in views.items():
                _see(connection, name, source)
            for statement in _needed(split_statements(script), outputs, made):
                table = _table_of(statement)
                if table in made:
                    _see(connection, table, made[table].make(statements.ask))
                else:
                    statements.run(statement)
            return {table: statements.copy(table, path) for table, path in outputs.items()}
    finally:
        database.execute(f"DETACH DATABASE IF EXISTS {barrier}")


def _run_sql(
    script: str,
    *,
    views: Mapping[str, Sequence[Path] | pa.Table],
    outputs: Mapping[str, Path],
    temp: Path,
    made: Mapping[str, Made],
    limit_mb: int,
    threads: int,
) -> dict[str, int]:
    """`LocalEngine.sql` in so much memory and with so many threads. Raises duckdb.Error."""
    import duckdb

    told = {**_CONFIG, "threads": threads, "memory_limit": f"{limit_mb}MB"}
    with (
        tempfile.TemporaryDirectory(dir=temp, prefix=".duckdb-") as spill,
        _statements(duckdb.connect(config={**told, "temp_directory": spill})) as statements,
    ):
        connection = statements.connection
        for name, source in views.items():
            _see(connection, name, source)
        parts = _parts(script)
        for statement, done_with in _until_last_named(_needed(split_statements(script), outputs, made)):
            table = _table_of(statement)
            if table in made:
                least = limit_mb if limit_mb > LARGE_LIMIT_MB else MADE_LIMIT_MB
                with _at_most(connection, least, otherwise=limit_mb):
                    _see(connection, table, made[table].make(statements.ask))
                give_memory_back()
            else:
                _make(statements, statement, parts.get(statement))
            for gone in done_with - outputs.keys():  # what nobody asks for again needs no memory
                connection.execute(f"DROP {'VIEW' if gone in made else 'TABLE'} {gone}")
        return {table: statements.copy(table, path) for table, path in outputs.items()}


def _see(connection: duckdb.DuckDBPyConnection, name: str, source: Sequence[Path] | pa.Table) -> None:
    """Let SQL see a table, or Parquet files, under a name."""
    if isinstance(source, pa.Table):
        connection.register(name, source)
    else:
        files = ", ".join(_quote(str(path)) for path in source)
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{files}])")


@contextmanager
def _at_most(connection: duckdb.DuckDBPyConnection, limit_mb: int, *, otherwise: int) -> Iterator[None]:
    """DuckDB holds no more than so much meanwhile, if it can."""
    import duckdb

    with suppress(duckdb.Error):
        connection.execute(f"SET memory_limit = '{min(limit_mb, otherwise)}MB'")
    try:
        yield
    finally:
        connection.execute(f"SET memory_limit = '{otherwise}MB'")


def _most_memory_mb() -> int:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 2 * LARGE_LIMIT_MB
    return max(LARGE_LIMIT_MB, int(memory * LAST_SHARE) >> 20)


def give_memory_back() -> None:
    """Give memory that was freed back to the system, which allocators put off; after a barrier it is a few hundred MB."""
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, TypeError):  # another C library than glibc, no C library to be found
        ctypes.CDLL(None).malloc_trim(0)


def split_statements(script: str) -> list[str]:
    """The statements of `script`: comment lines dropped, split where a line ends with a semicolon."""
    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in code.split(";\n") if statement.strip().rstrip(";").strip()]


@dataclass(frozen=True, slots=True)
class Parts:
    """That a statement may be run a part at a time: it makes all its rows, or what later statements put together to them,
    when it is given those rows of `tables` at a time that have certain values in `column`.

    rows: of a part, about. tables: split where they stand after FROM, with a name (`FROM t AS x`); elsewhere they are whole.
    """

    rows: int
    tables: tuple[str, ...]
    column: str


def _parts(script: str) -> dict[str, Parts]:
    """The statements of `script` that a comment line right above says may be run in parts: `-- In parts of N: TABLES by COLUMN`."""
    found = {}
    for about in re.finditer(
        r"^-- In parts of ([\d,]+): ([\w, ]+) by (\w+)\n(CREATE .*?);(?:\n|\Z)", script, re.M | re.S
    ):
        rows, tables, column, statement = about.groups()
        found[split_statements(statement)[0]] = Parts(int(rows.replace(",", "")), tuple(tables.split(", ")), column)
    return found


def _make(statements: _Statements, statement: str, parts: Parts | None) -> None:
    """Run a `CREATE TABLE … AS`, in parts where that is allowed and there are more rows than one has: memory holds one."""
    count = 1
    if parts:
        sizes = [statements.connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in parts.tables]
        count += sum(size[0] for size in sizes if size) // parts.rows
    if not parts or count == 1:
        statements.run(statement)
        return
    for part in range(count):
        body = statement
        for table in parts.tables:
            some = f"FROM (SELECT * FROM {table} WHERE hash({parts.column}) % {count} = {part})"
            body = re.sub(rf"\bFROM {table} AS (\w+)", rf"{some} AS \1", body)
        statements.run(re.sub(r"^CREATE TABLE (\w+) AS", r"INSERT INTO \1", body) if part else body)


@dataclass(frozen=True, slots=True)
class _Statements:
    """Runs statements of a connection. Ctrl-C ends one at once: they run in another thread, since DuckDB's own wait for its
    threads may hear of Ctrl-C only when the statement is done."""

    connection: duckdb.DuckDBPyConnection
    thread: ThreadPoolExecutor

    def run(self, statement: str) -> None:
        self._until_interrupted(lambda: self.connection.execute(statement))

    def ask(self, query: str) -> pa.Table:
        return self._until_interrupted(lambda: self.connection.sql(query).to_arrow_table())

    def copy(self, table: str, path: Path) -> int:
        """Write a table to the Parquet file `path`; its rows."""
        part = path.with_name(f".{path.name}.part")
        told = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 100000)"
        statement = f"COPY {table} TO {_quote(str(part))} {told}"
        written = self._until_interrupted(lambda: self.connection.execute(statement).fetchone())
        part.replace(path)
        return int(written[0]) if written else 0

    def _until_interrupted(self, call: Callable[[], R]) -> R:
        done = self.thread.submit(call)
        try:
            return done.result(HEARING_CTRL_C)
        except BaseException:
            # Its own error; or Ctrl-C, and what else a signal raises here, as when Airflow ends a task.
            if not done.done():
                self.connection.interrupt()
                wait([done], HEARING_CTRL_C)
            raise


@contextmanager
def _statements(connection: duckdb.DuckDBPyConnection) -> Iterator[_Statements]:
    with connection, ThreadPoolExecutor(1) as thread:
        connection.execute("SET enable_progress_bar = false")  # a run has its own
        yield _Statements(connection, thread)


def _table_of(statement: str) -> str:
    return statement.split(maxsplit=3)[2]


def _needed(statements: Sequence[str], outputs: Iterable[str], made: Mapping[str, Made]) -> list[str]:
    """The statements that the `outputs` need; of those whose tables are `made`, what names the tables that it asks."""
    wanted = set(outputs)
    needed = []
    for statement in reversed(statements):
        if (table := _table_of(statement)) in wanted:
            told = f"CREATE TABLE {table} AS {' '.join(made[table].asks)}" if table in made else statement
            wanted.update(re.findall(r"\w+", told))
            needed.append(told)
    return needed[::-1]


def _until_last_named(statements: Sequence[str]) -> Iterator[tuple[str, set[str]]]:
    """Each statement, with the tables made by it or before it that none after it names."""
    names = [set(re.findall(r"\w+", statement)) for statement in statements]
    open_tables: set[str] = set()
    for number, statement in enumerate(statements):
        open_tables.update(re.findall(r"^CREATE TABLE (\w+)", statement))
        named_later = set().union(*names[number + 1 :])
        yield statement, open_tables - named_later
        open_tables &= named_later


def default_workers() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _attempt(function: Callable[..., R], task: tuple[Any, ...], *, last: bool = False) -> R | Exception:
    """last: of the last shards of a stage: what the process keeps of freed memory is the barrier's next."""
    # A boundary: whatever befell the shard travels to the caller as a value. A panic of a Rust library is no Exception.
    try:
        return function(*task)
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:  # noqa: BLE001
        error.add_note(f"in {function.__name__}{task!r}"[:500])
        return error
    except BaseException as error:  # noqa: BLE001
        return StageError(f"{type(error).__name__}: {error}")
    finally:
        if last:
            give_memory_back()


@contextmanager
def _environment(told: Mapping[str, str]) -> Iterator[None]:
    """Environment of the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end_server() -> None:
    """End the server at once, and give its memory back. (It would go with this process; there is no public call.)"""
    from multiprocessing import forkserver

    server = forkserver._forkserver
    pid, stop = getattr(server, "_forkserver_pid", None), getattr(server, "_stop", None)
    if pid is not None and stop is not None:
        os.kill(pid, signal.SIGTERM)  # it may be in the middle of its imports
        stop()


_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8


def _share_memory() -> None:
    """Have the C library take memory of all threads from two places, unless the user said otherwise: of some for each thread every
    one keeps what was freed in it, 60 MB and more after barrier 2 of a million documents. (glibc's mallopt)"""
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError, TypeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


def _keep_memory() -> None:
    """Have the C library keep memory that is freed: a worker asks for the same sizes batch after batch, and each page that the
    system gives anew costs time to clear, some 2 CPU-s a GB of text in `write`. (glibc's mallopt)"""
    with suppress(AttributeError, TypeError):
        tell = ctypes.CDLL(None).mallopt
        tell(_MMAP_THRESHOLD, 32 << 20)  # the most that every version takes
        tell(_TRIM_THRESHOLD, 512 << 20)


def _warm() -> None:
    """Started once in each worker: one core for Arrow too, Ctrl-C is the parent's to answer, and none outlives it."""
    _keep_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(2)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _import(module: str) -> None:
    importlib.import_module(module)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
