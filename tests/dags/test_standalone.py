"""The local Airflow: what it tells its processes, and that it leaves none behind. Airflow itself isn't started here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from etl.airflow import standalone
from etl.errors import ConfigError

ROOT = Path("/project")


def test_everything_lies_in_the_project_and_listens_on_this_machine_only() -> None:
    env = standalone.environment(ROOT, 8081, {})
    assert env["AIRFLOW_HOME"] == "/project/.airflow"
    assert env["AIRFLOW__CORE__DAGS_FOLDER"] == "/project/dags"
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert env["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8081"
    assert env["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"


def test_the_projects_configuration_is_not_where_airflow_imports_from() -> None:
    env = standalone.environment(ROOT, 8080, {})
    for folder in (
        env["AIRFLOW__CORE__DAGS_FOLDER"],
        env["AIRFLOW__CORE__PLUGINS_FOLDER"],
        env["AIRFLOW_HOME"] + "/config",
    ):
        assert folder != str(ROOT / "config")


@pytest.mark.parametrize(
    ("given", "parallelism"),
    [
        ({}, 4),
        ({"AIRFLOW__CORE__PARALLELISM": "32"}, 4),
        ({"AIRFLOW__CORE__PARALLELISM": "2"}, 2),
        ({"AIRFLOW__CORE__PARALLELISM": "many"}, 4),
        ({standalone.DATABASE: ""}, 4),
        ({standalone.DATABASE: "sqlite:////tmp/x.db", "AIRFLOW__CORE__PARALLELISM": "8"}, 4),
        ({standalone.DATABASE: "postgresql://localhost/airflow", "AIRFLOW__CORE__PARALLELISM": "8"}, 8),
        ({standalone.DATABASE: "postgresql://localhost/airflow"}, max(4, os.cpu_count() or 1)),
    ],
)
def test_sqlite_never_gets_more_than_four_tasks_at_once(given: dict[str, str], parallelism: int) -> None:
    env = standalone.environment(ROOT, 8080, given)
    assert int(env["AIRFLOW__CORE__PARALLELISM"]) == parallelism
    assert (
        env[standalone.DATABASE] == given.get(standalone.DATABASE)
        or env[standalone.DATABASE] == "sqlite:////project/.airflow/airflow.db"
    )


def test_an_option_that_the_user_set_stays_unless_it_would_open_the_door() -> None:
    env = standalone.environment(ROOT, 8080, {"WINNOW_OUT": "/data/out", "AIRFLOW__API__HOST": "0.0.0.0"})
    assert env["WINNOW_OUT"] == "/data/out"
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_a_folder_without_the_dags_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start it in the project's folder"):
        standalone.find_root([tmp_path])
    assert standalone.find_root([tmp_path, Path(__file__).resolve().parents[2]]).name


def test_stopping_ends_children_in_groups_of_their_own_and_those_that_will_not_listen() -> None:
    sleeper = "import time; time.sleep(60)"
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); {sleeper}"
    parent = (
        "import subprocess, sys;"
        f"own = subprocess.Popen([sys.executable, '-c', {sleeper!r}], process_group=0);"
        f"deaf = subprocess.Popen([sys.executable, '-c', {deaf!r}], stdout=subprocess.PIPE);"
        "deaf.stdout.readline(); print(own.pid, deaf.pid, flush=True);"
        f"{sleeper}"
    )
    child = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    with child.stdout:
        pids = [int(pid) for pid in child.stdout.readline().split()]
    assert len(pids) == 2 and all(psutil.pid_exists(pid) for pid in pids)
    standalone.stop(child, within_s=1)
    assert child.returncode is not None
    assert not [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
