"""What the fork server of the local engine does before it forks worker processes: imports and tables, once for all of them.

A fork copies one thread, and what the others hold stays locked for ever, so there must be no other. Importing numpy,
pyarrow and Polars starts some: BLAS's, unless it is told one; jemalloc's, unless they are switched off; and one of Polars'
own, when it is told of Python as its package is imported. So that is put off until after the fork, when each worker does
it by itself. A server that finds a second thread all the same forks nothing and ends: the engine then spawns its workers.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
from pathlib import Path
from types import ModuleType
from typing import Any, Final

log = logging.getLogger(__name__)

PRELOAD: Final = "WINNOW_PRELOAD"
"""Variable of the server's environment: the module whose imports, and whose function `preload`, workers share."""

ENVIRONMENT: Final = {
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # Polars sets the first two itself, but too late here.
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:500,muzzy_decay_ms:1000,background_thread:false",
}
"""Of worker processes, forked or spawned: each uses one core, or N workers would use N times N."""

RUNTIMES: Final = ("_polars_runtime_compat", "_polars_runtime_64", "_polars_runtime_32")
REGISTER: Final = "__register_startup_deps"


def threads() -> int:
    """How many threads this process has (Linux)."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def _prepare(preload: str) -> None:
    """Import the module `preload` and let it make what workers share. Ends the process where forking it isn't safe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    _put_off_registration()
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
            _Held(runtime).put_off()


class _Held:
    """A runtime's registration, and what it was called with."""

    def __init__(self, runtime: ModuleType) -> None:
        self.runtime = runtime
        self.register = getattr(runtime, REGISTER)
        self.calls: list[tuple[Any, ...]] = []

    def put_off(self) -> None:
        setattr(self.runtime, REGISTER, self._keep)
        os.register_at_fork(after_in_child=self._make_up)

    def _keep(self, *told: Any) -> None:
        self.calls.append(told)

    def _make_up(self) -> None:
        setattr(self.runtime, REGISTER, self.register)
        for told in self.calls:
            self.register(*told)


if PRELOAD in os.environ:
    _prepare(os.environ.pop(PRELOAD))
