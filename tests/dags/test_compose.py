"""The production stack, as far as it can be judged without a container engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE = PROJECT / "docker-compose.yml"
AIRFLOW = {"init", "api-server", "scheduler", "dag-processor", "triggerer", "worker"}
STARTED = re.compile(r"\$\{(\w+):\?")  # a variable without which nothing starts


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    lines = (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_file_follows_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_service_that_stays_has_a_health_check(services: dict[str, Any]) -> None:
    assert set(services) == AIRFLOW | {"postgres", "redis"}
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"init"}


def test_ports_are_on_this_machine_only(services: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert list(ports) == ["api-server"]
    assert all(port.startswith("127.0.0.1:") for port in ports["api-server"])


def test_raw_files_are_read_only_and_no_mount_is_on_the_import_path(services: dict[str, Any]) -> None:
    for name in AIRFLOW:
        mounts = [mount.rpartition("}:")[2] for mount in services[name]["volumes"]]
        assert mounts == ["/data/raw:ro", "/data/config:ro", "/data/out", "/opt/airflow/logs"]


def test_no_airflow_service_is_root(services: dict[str, Any]) -> None:
    assert {services[name]["user"] for name in AIRFLOW} == {"${AIRFLOW_UID:-50000}:0"}


def test_all_parts_share_keys_and_the_address_of_the_execution_api(services: dict[str, Any]) -> None:
    shared = {
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
        "AIRFLOW__CORE__FERNET_KEY",
    }
    for name in shared:
        assert len({services[service]["environment"][name] for service in AIRFLOW}) == 1


def test_no_secret_has_a_default_and_each_must_be_given(example: dict[str, str]) -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    must = set(STARTED.findall(text))
    secrets = {name for name in example if name.endswith(("PASSWORD", "SECRET", "KEY"))}
    assert len(secrets) == 6 and secrets <= must
    assert all(example[name] == "" for name in secrets)
    assert not re.search(r"\$\{\w*(PASSWORD|SECRET|KEY):?-", text)


def test_the_example_names_every_variable(example: dict[str, str]) -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    assert set(re.findall(r"(?<!\$)\$\{(\w+)", text)) == set(example)


def test_images_are_pinned_and_airflow_is_the_one_that_is_tested(services: dict[str, Any]) -> None:
    locked = re.search(r"^apache-airflow==(\S+)", (PROJECT / "requirements.lock").read_text(encoding="utf-8"), re.M)
    assert locked is not None
    base = re.search(
        r"^ARG AIRFLOW_IMAGE=apache/airflow:(\S+)-python", (PROJECT / "Dockerfile").read_text(encoding="utf-8"), re.M
    )
    assert base is not None and base[1] == locked[1]
    assert all(re.search(r":\d+\.\d+", service["image"]) for service in services.values())


def test_the_first_service_refuses_weak_secrets(services: dict[str, Any], tmp_path: Path) -> None:
    script = services["init"]["command"][-1]
    check = script.split("<<'CHECK'\n", 1)[1].split("\nCHECK\n", 1)[0]
    check = check.replace('("/data/out", "/opt/airflow/logs")', repr((str(tmp_path), str(tmp_path))))
    assert str(tmp_path) in check
    words = [f"{number:x}b2c3d4e5f6a7089b1c2" for number in range(6)]

    def start(*given: str) -> str:
        env = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql://airflow:{given[0]}@postgres/airflow",
            "AIRFLOW__CELERY__BROKER_URL": f"redis://:{given[1]}@redis:6379/0",
            "AIRFLOW__API_AUTH__JWT_SECRET": given[2],
            "AIRFLOW__API__SECRET_KEY": given[3],
            "AIRFLOW__CORE__FERNET_KEY": given[4],
            "AIRFLOW_ADMIN_PASSWORD": given[5],
        }
        return subprocess.run(
            [sys.executable, "-c", check], env=env, capture_output=True, text=True, check=False
        ).stderr

    assert start(*words) == ""
    assert (
        start("short", *words[1:])
        == ".env: POSTGRES_PASSWORD is shorter than 16 characters\n.env: POSTGRES_PASSWORD is no secret\n"
    )
    assert "REDIS_PASSWORD is no secret" in start(words[0], "change-me-please-now", *words[2:])
    assert "two secrets are the same" in start(words[0], words[0], *words[2:])


def test_the_image_gets_all_that_the_package_is_built_of_and_is_not_root() -> None:
    lines = (PROJECT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]}
    for needed in ("pyproject.toml", "README.md", "LICENSE", "etl", "config", "kernels", "dags", "requirements.lock"):
        assert needed in copied and (PROJECT / needed).exists()
    assert [line for line in lines if line.startswith("USER")][-1] == "USER airflow"
