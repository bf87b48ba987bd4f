"""The native twin of `docker-compose.yml`: the same services, commands, environment and health checks, as plain processes.

Nothing of a service is written down twice: the twin reads the compose file, fills in the variables of `.env` and replaces
what only a container has (host names, ports, folders) by what stands in `Twin.places`. What it adds is in `NATIVE`.
PostgreSQL and redis come from Debian's packages. Every process lives in a session of its own, and all of it ends with the
twin, children included.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil
import yaml

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE = PROJECT / "docker-compose.yml"
HOST = "127.0.0.1"
CHROMIUM = Path("/usr/bin/chromium")
WAIT_S = 420  # for anything: what is waited for takes seconds, and a minute where a timeout of Airflow must pass
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:[?-])([^}]*))?\})")
ROLES = {"admin": "admin", "viewer": "viewer", "nobody": ""}
"""Users beside the one of the compose file, for what they may not do."""

NATIVE = {
    "AIRFLOW_HOME": "a folder of the twin",
    "AIRFLOW__API__HOST": "a container's own address; here 127.0.0.1 only",
    "AIRFLOW__API__PORT": "8080 of a container",
    "AIRFLOW__CORE__DAGS_FOLDER": "/opt/airflow/dags of the image",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "the compose file's user, and more",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "longer: the DAG files don't change under test",
    "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": "8794 of a container",
    "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": "8793 of a container",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": "8974 of a container",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "shorter, so that a killed worker is noticed in time",
    "HOME": "a folder of the twin",
    "HOSTNAME": "a container has its own",
    "PATH": "the environment of the tests first",
    "PGHOST": "PostgreSQL's place",
    "PGPORT": "PostgreSQL's port",
    "PYTHONPATH": "the worker's only: how a test disturbs it",
    "PYTHONUNBUFFERED": "logs at once",
}
"""What the twin sets beside the compose file's environment, and why."""

DISTURB = '''
"""Disturbs stages as a test asks: files in a folder say which shard of which stage fails, or hangs."""
import importlib.abc, importlib.util, pathlib, sys, time

ASKED = pathlib.Path({folder!r})


def disturbed(stage):
    def run(work, shard):
        name = f"{{stage.name}}-{{shard}}"
        if (ASKED / f"fail-{{name}}").exists():
            from etl.errors import StageError
            raise StageError("the disk is full, says the test")
        if (ASKED / f"hang-{{name}}").exists():
            (ASKED / f"hangs-{{name}}").touch()
            while (ASKED / f"hang-{{name}}").exists():
                time.sleep(0.1)
        return stage.per_shard(work, shard)
    return run


class Finder(importlib.abc.MetaPathFinder):
    searching = False

    def find_spec(self, name, path, target=None):
        if name != "etl.pipeline" or self.searching:
            return None
        self.searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.searching = False
        run = spec.loader.exec_module

        def exec_module(module):
            import dataclasses
            run(module)
            module.STAGES = tuple(
                dataclasses.replace(stage, per_shard=disturbed(stage)) if stage.per_shard else stage for stage in module.STAGES
            )

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
'''

T = TypeVar("T")


def missing() -> list[str]:
    """What of the machine the twin needs and doesn't have, a sentence each."""
    faults = []
    if _postgres_folder() is None:
        faults.append("PostgreSQL's server is not there; Debian's package is postgresql")
    if shutil.which("redis-server") is None:
        faults.append("redis is not there; Debian's package is redis-server")
    if not CHROMIUM.exists():
        faults.append(f"{CHROMIUM} is not there; Debian's package is chromium")
    return faults


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """`value` of a compose file with `${NAME}`, `${NAME:-default}` and `${NAME:?needed}` filled in as compose does it."""
    if isinstance(value, Mapping):
        return {key: interpolate(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [interpolate(inner, variables) for inner in value]
    if not isinstance(value, str):
        return value

    def fill(found: re.Match[str]) -> str:
        dollar, name, kind, rest = found.groups()
        if dollar:
            return "$"
        if given := variables.get(name, ""):
            return given
        if kind == ":?":
            raise KeyError(f"{name}: {rest}")
        return rest or ""

    return VARIABLE.sub(fill, value)


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, below those that connections get by themselves, which could take one before it is used."""
    free: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_000), 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            free.append(port)
        if len(free) == number:
            return free
    raise AssertionError("no ports are free")


@dataclass
class Service:
    """A running service. argv and env: what it was started with."""

    name: str
    argv: list[str]
    env: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Twin:
    """The stack. Start it as a context; `wait` for what must become so, and see the ends of all logs when it doesn't."""

    variables: dict[str, str]
    root: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="winnow-twin-")))
    running: dict[str, Service] = field(default_factory=dict)
    token: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root.chmod(0o755)  # PostgreSQL's user must get through
        for name in ("raw", "out", "config", "airflow", "airflow/logs", "hostile", "logs", "disturb", "inject", "home"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "inject" / "sitecustomize.py").write_text(DISTURB.format(folder=str(self.root / "disturb")))
        names = ("postgres", "redis", "api", "scheduler", "worker_logs", "trigger_logs")
        self.port = dict(zip(names, free_ports(len(names)), strict=True))
        self.url = f"http://{HOST}:{self.port['api']}"
        own = {
            "POSTGRES_PASSWORD": secrets.token_hex(16),
            "REDIS_PASSWORD": secrets.token_hex(16),
            "AIRFLOW_JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW_API_SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW_FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW_ADMIN_USER": "admin",
            "AIRFLOW_ADMIN_PASSWORD": secrets.token_hex(12),
            "AIRFLOW_PORT": str(self.port["api"]),
            "WINNOW_RAW_DIR": str(self.root / "raw"),
            "WINNOW_OUT_DIR": str(self.root / "out"),
            "WINNOW_CONFIG_DIR": str(self.root / "config"),
            "WINNOW_LOGS_DIR": str(self.root / "airflow" / "logs"),
        }
        self.variables = own | self.variables
        self.compose: dict[str, Any] = interpolate(yaml.safe_load(COMPOSE.read_text("utf-8")), self.variables)[
            "services"
        ]
        self.raw, self.out, self.config = self.root / "raw", self.root / "out", self.root / "config"
        self.places = (
            ("@postgres/", f"@{HOST}:{self.port['postgres']}/"),
            ("@redis:6379", f"@{HOST}:{self.port['redis']}"),
            ("redis-cli ", f"redis-cli -h {HOST} -p {self.port['redis']} "),
            ("//api-server:8080", f"//{HOST}:{self.port['api']}"),
            ("//localhost:8080", f"//{HOST}:{self.port['api']}"),
            ("//localhost:8974", f"//{HOST}:{self.port['scheduler']}"),
            ("/data/raw", str(self.raw)),
            ("/data/out", str(self.out)),
            ("/data/config", str(self.config)),
            ("/opt/airflow/logs", str(self.root / "airflow" / "logs")),
            ("/tmp/passwords.json", str(self.root / "passwords.json")),
        )

    def __enter__(self) -> Twin:
        try:
            self._start_postgres()
            self.start("redis")
            self._check("postgres")
            self._check("redis")
            self._initialise()
            for name in self.compose:
                if name not in ("postgres", "redis", "init"):
                    self.start(name)
            for name in self.compose:
                if "healthcheck" in self.compose[name]:
                    self._check(name)
            self._log_in()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # Airflow's services together, then what they stand on; PostgreSQL takes SIGQUIT for "at once".
        stores = [name for name in ("postgres", "redis") if name in self.running]
        self.kill(*[name for name in self.running if name not in stores], number=signal.SIGTERM)
        self.kill(*stores, number=signal.SIGQUIT)
        shutil.rmtree(self.root, ignore_errors=True)

    def native(self, text: str) -> str:
        """`text` of the compose file with what only a container has replaced."""
        for container, here in self.places:
            text = text.replace(container, here)
        return text

    def argv(self, name: str) -> list[str]:
        """The command of a service as it runs here. The image's entry point puts `airflow` before what is no program."""
        command = self.compose[name]["command"]
        words = [self.native(word) for word in (command if isinstance(command, list) else command.split())]
        if name == "redis":
            words += ["--bind", HOST, "--port", str(self.port["redis"]), "--dir", str(self.root)]
        elif words[0] != "bash":
            words.insert(0, "airflow")
        return words

    def env(self, name: str) -> dict[str, str]:
        """The environment of a service as it runs here."""
        told = {key: self.native(str(value)) for key, value in self.compose[name]["environment"].items()}
        bins = [str(Path(sys.executable).parent), str(_postgres_folder()), "/usr/local/bin", "/usr/bin", "/bin"]
        own = {
            "HOME": str(self.root / "home"),
            "HOSTNAME": socket.gethostname(),
            "PATH": os.pathsep.join(bins),
            "PGHOST": HOST,
            "PGPORT": str(self.port["postgres"]),
            "PYTHONUNBUFFERED": "1",
        }
        if name not in ("postgres", "redis"):
            users = told["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"].split(",")
            users += [f"{user}:{role}" for user, role in ROLES.items() if f"{user}:{role}" not in users]
            own |= {
                "AIRFLOW_HOME": str(self.root / "airflow"),
                "AIRFLOW__API__HOST": HOST,
                "AIRFLOW__API__PORT": str(self.port["api"]),
                "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(users),
                "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
                "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self.port["trigger_logs"]),
                "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self.port["worker_logs"]),
                "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self.port["scheduler"]),
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            }
        if name == "worker":
            own["PYTHONPATH"] = str(self.root / "inject")
        assert set(own) <= set(NATIVE)
        return told | own

    def start(self, name: str) -> None:
        """Start a service, as the container engine does it, also after it was killed."""
        self._spawn(name, self.argv(name), self.env(name))

    def kill(self, *names: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send `number` to services and all that came of them, then SIGKILL to what is still there."""
        services = [self.running.pop(name) for name in names]
        found = {process for service in services for process in family(service.process.pid)}
        for sent in (number, signal.SIGKILL):
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(sent)
            if sent != signal.SIGKILL:
                psutil.wait_procs(list(found), timeout=5)
                found |= {process for service in services for process in family(service.process.pid)}
        for service in services:
            service.process.wait(timeout=60)
        _, left = psutil.wait_procs(list(found), timeout=60)
        assert not left, f"{left} can't be killed"

    def airflow(self, *words: str) -> str:
        """What the command `airflow …` prints, in the environment of the scheduler."""
        done = subprocess.run(
            [str(Path(sys.executable).parent / "airflow"), *words],
            env=self.env("scheduler"),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == 0, f"airflow {' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def ask(
        self,
        path: str,
        *,
        user: str | None = "admin",
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """What the web server answers; the path is sent as it stands. body: JSON, or a form's text as bytes."""
        told = dict(headers or {})
        if user is not None:
            told["Authorization"] = f"Bearer {self.token[user]}"
        if body is not None and not isinstance(body, bytes):
            body, told["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = http.client.HTTPConnection(HOST, self.port["api"], timeout=120)
        try:
            connection.request(method, path, body=body, headers=told)
            got = connection.getresponse()
            return Answer(got.status, {key.lower(): value for key, value in got.getheaders()}, got.read())
        finally:
            connection.close()

    def api(self, path: str, *, method: str = "GET", body: Any = None) -> Any:
        """The JSON that Airflow's public API answers to its admin."""
        answer = self.ask(f"/api/v2/{path}", method=method, body=body)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.body[:1000]!r}"
        return answer.json if answer.body else None

    def wait(self, what: str, condition: Callable[[], T | None], *, within_s: float = WAIT_S) -> T:
        """What `condition` gives once it is something. Fails with the ends of all logs when it takes too long or a service died."""
        until = time.monotonic() + within_s
        while not (got := condition()):
            dead = [name for name, service in self.running.items() if service.process.poll() is not None]
            if dead or time.monotonic() > until:
                why = f"{', '.join(dead)} ended by itself" if dead else f"it took more than {within_s:.0f} s"
                raise AssertionError(f"waiting for {what}: {why}\n{self.tails()}")
            time.sleep(0.8)
        return got

    def tails(self, lines: int = 25) -> str:
        """The ends of the logs of all services."""
        told = []
        for log in sorted((self.root / "logs").glob("*.log")):
            told += [f"--- {log.name}", *log.read_text("utf-8", errors="replace").splitlines()[-lines:]]
        for log in sorted((self.root / "airflow" / "logs").rglob("*.log"), key=lambda path: path.stat().st_mtime)[-6:]:
            told += [
                f"--- {log.relative_to(self.root)}",
                *log.read_text("utf-8", errors="replace").splitlines()[-lines:],
            ]
        return "\n".join(line[:400] for line in told)

    def _spawn(self, name: str, argv: Sequence[str], env: Mapping[str, str], *, user: str | None = None) -> None:
        log = self.root / "logs" / f"{name}.log"
        program = shutil.which(argv[0], path=env["PATH"])
        assert program, f"{argv[0]} is not there"
        stream: IO[bytes]
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [program, *argv[1:]],
                cwd=self.root,
                env=dict(env),
                user=user,
                group=user,
                extra_groups=[] if user else None,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self.running[name] = Service(name, list(argv), dict(env), log, process)

    def _start_postgres(self) -> None:
        told = self.compose["postgres"]["environment"]
        folder, words = self.root / "postgres", self.root / "postgres.password"
        folder.mkdir(mode=0o700)
        words.write_text(told["POSTGRES_PASSWORD"])
        user = None
        if os.geteuid() == 0:  # PostgreSQL refuses to be root
            user = "postgres"
            shutil.chown(folder, user)
            shutil.chown(words, user)
        bins = _postgres_folder()
        assert bins is not None
        make = [bins / "initdb", "--pgdata", folder, "--username", told["POSTGRES_USER"], "--pwfile", words]
        make += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        made = subprocess.run(
            [str(word) for word in make],
            cwd="/",
            user=user,
            group=user,
            extra_groups=[] if user else None,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        argv = ["postgres", "-D", str(folder), "-p", str(self.port["postgres"]), "-c", f"listen_addresses={HOST}"]
        argv += ["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=200"]
        self._spawn("postgres", argv, self.env("postgres"), user=user)
        env = self.env("postgres") | {"PGPASSWORD": told["POSTGRES_PASSWORD"], "PGUSER": told["POSTGRES_USER"]}
        create = [str(bins / "createdb"), "--maintenance-db", "postgres", told["POSTGRES_DB"]]

        def created() -> bool:
            return subprocess.run(create, env=env, capture_output=True, check=False).returncode == 0

        self.wait("PostgreSQL", created, within_s=120)

    def _initialise(self) -> None:
        done = subprocess.run(
            self.argv("init"),
            env=self.env("init"),
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        (self.root / "logs" / "init.log").write_text(done.stdout + done.stderr)
        assert done.returncode == 0, f"init: {done.stdout[-3000:]}{done.stderr[-3000:]}"

    def _check(self, name: str) -> None:
        """Wait until the service's own health check passes."""
        kind, *words = self.compose[name]["healthcheck"]["test"]
        words = [self.native(word) for word in words]
        argv = ["bash", "-c", words[0]] if kind == "CMD-SHELL" else words

        def healthy() -> bool:
            env = self.env(name)
            try:
                done = subprocess.run(argv, env=env, cwd=self.root, capture_output=True, timeout=120, check=False)
            except subprocess.TimeoutExpired:
                return False
            (self.root / "logs" / f"{name}.health.log").write_bytes(done.stdout + done.stderr)
            return done.returncode == 0

        self.wait(f"the health check of {name}", healthy)

    def _log_in(self) -> None:
        passwords = json.loads((self.root / "passwords.json").read_text())
        for user in ROLES:
            body = {"username": user, "password": passwords[user]}
            answer = self.ask("/auth/token", user=None, method="POST", body=body)
            assert answer.status == 201, answer.body
            self.token[user] = answer.json["access_token"]


def family(pid: int) -> list[psutil.Process]:
    """The process `pid`, its descendants, and what else is in its session."""
    found: set[psutil.Process] = set()
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        found |= {first, *first.children(recursive=True)}
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            if os.getsid(process.pid) == pid:
                found.add(process)
    return sorted(found, key=lambda process: int(process.pid))


def _postgres_folder() -> Path | None:
    """The programs of the newest PostgreSQL server here."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    return max(folders, key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))] or [0], default=None)
