"""A local Airflow with this project's DAGs, on 127.0.0.1, from start to clean stop: `python -m etl.airflow.standalone`.

It keeps its database, logs and password in `.airflow` of the project. That folder has no `config`, and this project's
own `config` is never put where Airflow would add it to the import path.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import psutil  # type: ignore[import-untyped]  # Airflow's own dependency

from etl.errors import ConfigError, StageError

HOST: Final = "127.0.0.1"
SQLITE_PARALLELISM: Final = 4  # more tasks at once end in "database is locked" and a dead scheduler
READY_WITHIN_S: Final = 240
STOP_WITHIN_S: Final = 20
DATABASE: Final = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
PASSWORDS: Final = "simple_auth_manager_passwords.json.generated"
HEALTHY: Final = ("metadatabase", "scheduler", "dag_processor", "triggerer")
DAG_FILE: Final = "dags/clean_scraped_text.py"


def environment(root: Path, port: int, given: Mapping[str, str]) -> dict[str, str]:
    """The environment of every Airflow process. What `given` sets of Airflow's options is kept, save for what makes it local.

    root: the project's folder. SQLite unless `given` names another database, and then no more than four tasks at once.
    """
    given = {name: value for name, value in given.items() if value or not name.startswith("AIRFLOW__")}
    home = root / ".airflow"
    url = f"http://{HOST}:{port}"
    sqlite = given.get(DATABASE, "sqlite:").startswith("sqlite")
    usual = {
        DATABASE: f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__CORE__PARALLELISM": str(
            SQLITE_PARALLELISM if sqlite else max(SQLITE_PARALLELISM, os.cpu_count() or 1)
        ),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "AIRFLOW__API__WORKERS": "1",
        "WINNOW_INPUT": str(root / "tests" / "pages" / "news"),
        "WINNOW_OUT": str(root / "out" / "airflow"),
    }
    local = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(root / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), given.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
    }
    made = {**usual, **given, **local}
    if sqlite and not 1 <= _whole(made["AIRFLOW__CORE__PARALLELISM"]) <= SQLITE_PARALLELISM:
        made["AIRFLOW__CORE__PARALLELISM"] = str(SQLITE_PARALLELISM)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Start, say where it is, wait, stop. The exit code: 0 stopped on request, 1 it ended by itself, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m etl.airflow.standalone", description="Start a local Airflow with this project's DAGs."
    )
    parser.add_argument("--port", type=int, default=8080, help="on 127.0.0.1 (default: 8080)")
    port: int = parser.parse_args(arguments).port
    try:
        root = find_root([Path.cwd(), Path(__file__).resolve().parents[2]])
        with _alone(root / ".airflow"), _stopping() as asked:
            _check_port(port)
            return serve(root, port, asked)
    except ConfigError as error:
        _say(str(error))
        return 2
    except StageError as error:
        _say(str(error))
        return 1


def find_root(folders: Sequence[Path]) -> Path:
    """The first of `folders` that is a checkout of the project. Raises ConfigError when none is."""
    for folder in folders:
        if (folder / DAG_FILE).is_file():
            return folder
    raise ConfigError(f"{folders[0]}: no {DAG_FILE} here; start it in the project's folder")


def serve(root: Path, port: int, asked: Sequence[int]) -> int:
    """Run Airflow until a signal is in `asked` or it ends; nothing it started is left behind."""
    env = environment(root, port, os.environ)
    home = Path(env["AIRFLOW_HOME"])
    written = home / "standalone.log"
    _say(f"Airflow starts, in about a minute it is there; its log is {written}")
    with written.open("wb") as log:
        command = [sys.executable, "-m", "airflow", "standalone"]
        child = subprocess.Popen(
            command, cwd=home, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        until = time.monotonic() + READY_WITHIN_S
        while not asked and child.poll() is None and not is_healthy(port):
            if time.monotonic() > until:
                raise StageError(
                    f"Airflow was not ready after {READY_WITHIN_S} s; the end of {written}:\n{_tail(written)}"
                )
            time.sleep(1)
        if not asked and child.poll() is None:
            _greet(home, port)
        while not asked and child.poll() is None:
            time.sleep(0.5)
        if child.poll() is not None:
            raise StageError(f"Airflow ended by itself ({child.returncode}); the end of {written}:\n{_tail(written)}")
    finally:
        _say("Airflow stops …")
        stop(child)
        _say("Airflow is stopped")
    return 0


def is_healthy(port: int) -> bool:
    """Whether the API answers and says that all its parts live."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/api/v2/monitor/health", timeout=3) as answer:
            told = json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return False
    return all((told.get(part) or {}).get("status") == "healthy" for part in HEALTHY)


def stop(child: subprocess.Popen[bytes], *, within_s: float = STOP_WITHIN_S) -> None:
    """End `child` and all that came of it, tasks in process groups of their own included: asked first, killed after `within_s`."""
    family = _family(child.pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in {*family, *_family(child.pid)}:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        _, family = psutil.wait_procs(family, timeout=within_s)
        if not family:
            break
    child.wait(timeout=within_s)


def _family(pid: int) -> list[psutil.Process]:
    """The process `pid`, its descendants, and what else is in their sessions (a child whose parent died)."""
    try:
        first = psutil.Process(pid)
        found = {first, *first.children(recursive=True)}
    except psutil.NoSuchProcess:
        found = set()
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == pid:
                found.add(process)
        except (ProcessLookupError, PermissionError):
            continue
    return sorted(found, key=lambda process: int(process.pid))


def _greet(home: Path, port: int) -> None:
    try:
        users: dict[str, str] = json.loads((home / PASSWORDS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        users = {}
    _say(f"\n  Airflow     http://{HOST}:{port}")
    for user, password in users.items():
        _say(f"  user        {user}\n  password    {password}")
    _say("  stop        Ctrl-C\n")


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"--port is {port}, which can't be had ({error}); expected a free port, such as {port % 60000 + 1}"
            ) from error


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold `home` for one Airflow. Raises ConfigError when another holds it."""
    home.mkdir(exist_ok=True)
    with (home / ".lock").open("a+") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"an Airflow already runs in {home}; stop that one first") from error
        yield


@contextmanager
def _stopping() -> Iterator[list[int]]:
    """Gathers the signals that ask this process to stop, instead of dying of them."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tail(path: Path, lines: int = 25) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  a program for a terminal


if __name__ == "__main__":
    sys.exit(main())
