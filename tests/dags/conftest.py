"""One process with Airflow in it, its own AIRFLOW_HOME and database, for all tests of the DAGs."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Calls a function of `tests.dags.inside` in a process that has Airflow."""
    home = tmp_path_factory.mktemp("airflow")
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of this test alone, long enough for a hash of 512 bits.",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "WINNOW_RETRIES": "1",
        "WINNOW_RETRY_DELAY_S": "0",
    }
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "WINNOW_"))]:
        del os.environ[name]
    os.environ.update(settings)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            pool.submit(os.getpid).result()
        finally:
            os.environ.clear()
            os.environ.update(before)
        yield lambda function, *args, **named: pool.submit(function, *args, **named).result()
