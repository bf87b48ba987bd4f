"""What the fork server of the local engine does before it forks worker processes: imports and tables, once for all of them.

A fork copies one thread, and what the others hold stays locked for ever, so there must be no other. Importing numpy,
pyarrow and Polars starts some: BLAS's, unless it is told one; jemalloc's, unless they are switched off; and one of Polars'
own, when it is told of Python as its package is imported. So that is put off until after the fork, when each worker does
it by itself. A server that finds a second thread all the same forks nothing and ends: the engine then spawns its workers.

The server is forked itself from a process that did its imports in the same way, as the command line does: once for all.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import platform
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker, util
from pathlib import Path
from types import ModuleType
from typing import Any, Final

log = logging.getLogger(__name__)

PRELOAD: Final = "WINNOW_PRELOAD"
"""Variable of the server's environment: the module whose imports, and whose function `preload`, workers share."""

_POOL: Final = "ARROW_DEFAULT_MEMORY_POOL"

ENVIRONMENT: Final = {
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # Polars sets the first two itself, but too late here.
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:500,muzzy_decay_ms:0,background_thread:false,narenas:1",
    **(
        {_POOL: "jemalloc"}
        if sys.platform == "linux" and platform.machine() == "x86_64" and _POOL not in os.environ
        else {}
    ),
}
"""Of worker processes, forked or spawned: each uses one core, or N workers would use N times N. Arrow's memory is to come from
jemalloc, which its packages for Linux on x86-64 have built in: it gives freed memory back when asked to (`give_memory_back`). mimalloc, Arrow's first
choice, does so for the calling thread alone. What Arrow's own code allocates heeds nothing but this variable, asked for once."""

RUNTIMES: Final = ("_polars_runtime_compat", "_polars_runtime_64", "_polars_runtime_32")
REGISTER: Final = "__register_startup_deps"

_POLARS: Final = "polars"
_LATER: Final = "POLARS_MAX_THREADS"  # Polars asks for it when it first computes

_put_off: list[_Held] = []
_forks_server = False


@contextmanager
def importing() -> Iterator[None]:
    """Imports of numpy, pyarrow and Polars that start no thread in this process, so that the server can be forked from it.

    Polars is to compute nothing until `make_up` is called. Python doesn't look for garbage meanwhile, a fifth of the time that
    imports take, and never again among what they made.
    """
    if sys.platform != "linux" or _POLARS in sys.modules:
        yield
        return
    told = {name: value for name, value in ENVIRONMENT.items() if name != _LATER and name not in os.environ}
    os.environ.update(told)
    collects = gc.isenabled()
    gc.disable()
    try:
        _put_off_registration()
        yield
        importlib.import_module("pyarrow").default_memory_pool()  # it asks for the variable now
        importlib.import_module("pyarrow.compute")  # as the first cast does
    finally:
        gc.freeze()
        if collects:
            gc.enable()
        for name in told:
            del os.environ[name]


def make_up() -> None:
    """Tell Polars' runtime of Python, where that was put off."""
    for held in _put_off:
        held.make_up()
    _put_off.clear()


@contextmanager
def serving(preload: str) -> Iterator[None]:
    """Have a fork server that is started meanwhile be forked from this process, which has imported all that it needs.

    Where this process has several threads, or has not been told to import without, the server begins anew, as
    multiprocessing has it.
    """
    begin = getattr(util, "spawnv_passfds", None)  # has no public name
    if begin is None or not _put_off or threads() != 1 or preload not in sys.modules:
        yield
        return
    resource_tracker.ensure_running()  # by the same function

    def fork(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
        return _fork_server(preload, args[-1], passfds)

    util.spawnv_passfds = fork
    try:
        yield
    finally:
        util.spawnv_passfds = begin


def _fork_server(preload: str, code: str, kept: Iterable[int]) -> int:
    """Fork a process that runs `code`, what a new interpreter would be told, with the files `kept` open; its id."""
    global _forks_server
    parent = os.getpid()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    _forks_server = True
    try:
        process = os.fork()
    finally:
        _forks_server = False
        if os.getpid() == parent:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if process:
        return process
    code_of_exit = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        logging.getLogger().handlers.clear()  # as a process that begins anew
        logging.getLogger().setLevel(logging.WARNING)
        _close_all_but({*kept})
        os.environ.pop(PRELOAD, None)
        _make_ready(preload)
        exec(code, {})  # multiprocessing's own words  # noqa: S102
        code_of_exit = 0
    except SystemExit:
        code_of_exit = 0
    except BaseException as error:  # the parent spawns its workers  # noqa: BLE001
        log.debug("the server ends: %s", error)
    finally:
        os._exit(code_of_exit)


def _close_all_but(kept: Set[int]) -> None:
    """Close this process' files but those `kept` and the standard streams; what lies in a closed stream's place is closed too."""
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    for file, stream in enumerate(streams):
        if stream is None and file not in kept:
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != file:
                os.dup2(nothing, file)
    for file in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if file >= len(streams) and file not in kept:
            with suppress(OSError):  # that of the listing itself
                os.close(file)


def threads() -> int:
    """How many threads this process has (Linux)."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def _prepare(preload: str) -> None:
    """Import the module `preload` and let it make what workers share. Ends the process where forking it isn't safe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    _put_off_registration()
    _make_ready(preload)


def _make_ready(preload: str) -> None:
    try:
        getattr(importlib.import_module(preload), "preload", lambda: None)()
    except Exception as error:  # a worker meets it again, and tells  # noqa: BLE001
        log.debug("%s can't be made ready for workers: %s", preload, error)
    if threads() != 1:
        os._exit(1)
    gc.collect()
    gc.freeze()  # shared pages stay shared


def _put_off_registration() -> None:
    """Have Polars' runtime told of Python in each forked process, not in this one."""
    for name in RUNTIMES:
        try:
            runtime = importlib.import_module(f"{name}._polars_runtime")
        except ImportError:
            continue
        if hasattr(runtime, REGISTER):
            held = _Held(runtime)
            held.put_off()
            _put_off.append(held)


class _Held:
    """A runtime's registration, and what it was called with."""

    def __init__(self, runtime: ModuleType) -> None:
        self.runtime = runtime
        self.register = getattr(runtime, REGISTER)
        self.calls: list[tuple[Any, ...]] = []

    def put_off(self) -> None:
        setattr(self.runtime, REGISTER, self._keep)
        os.register_at_fork(after_in_child=self._in_child)

    def _keep(self, *told: Any) -> None:
        self.calls.append(told)

    def _in_child(self) -> None:
        if not _forks_server:
            self.make_up()

    def make_up(self) -> None:
        setattr(self.runtime, REGISTER, self.register)
        calls, self.calls = self.calls, []
        for told in calls:
            self.register(*told)


if PRELOAD in os.environ:
    _prepare(os.environ.pop(PRELOAD))
