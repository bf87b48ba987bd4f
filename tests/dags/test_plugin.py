"""The plugin in Airflow's own web server: who may see a report, what it shows, and a held run approved on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from etl.report.gates import Verdict
from etl.storage import write_json
from tests.dags import hostile, inside
from tests.report.test_page import Outline

pytestmark = [pytest.mark.xdist_group("airflow"), pytest.mark.slow]

Ask = Callable[..., Any]
ROUTE = f"/winnow/run/{inside.CLEAN}/"


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="session")
def held(airflow: Ask, out: Path, tmp_path_factory: pytest.TempPathFactory) -> inside.Outcome:
    """A run on hostile input that its gate holds."""
    raw = hostile.write_hostile(tmp_path_factory.mktemp("hostile"))
    conf = {"input": [str(raw)], "out": str(out), "run_key": "2026-01-02", "set": ["gate.min_documents=1000"]}
    run: inside.Outcome = airflow(inside.run_dag, conf, None)
    assert (run.state, run.states("gate")) == ("failed", ["failed"]), run.tasks
    return run


@pytest.fixture(scope="session")
def shown(airflow: Ask, held: inside.Outcome) -> inside.Answer:
    answer: inside.Answer = airflow(inside.ask, ROUTE + held.run_id, "admin")
    return answer


def test_the_plugin_is_found_in_the_package_and_is_cheap_to_read(airflow: Ask) -> None:
    modules, told = airflow(inside.plugin_cost)
    assert "winnow-etl" in told["source"]
    assert not {"polars", "pyarrow", "duckdb", "etl.report.page", "etl.airflow.view"} & set(modules)
    (view,) = told["views"]
    assert view["destination"] == "dag_run" and view["href"].startswith("winnow/run/{DAG_ID}/")


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("", 403), ("viewer", 200), ("admin", 200)])
def test_a_report_is_for_those_who_may_see_the_dag(
    airflow: Ask, held: inside.Outcome, role: str | None, status: int
) -> None:
    answer = airflow(inside.ask, ROUTE + held.run_id, role)
    assert answer.status == status
    assert ("evil0.example" in answer.text) == (status == 200)


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("", 403), ("viewer", 403)])
def test_a_run_is_approved_by_those_only_who_may_change_the_dag(
    airflow: Ask, held: inside.Outcome, out: Path, role: str | None, status: int
) -> None:
    answer = airflow(
        inside.ask,
        f"{ROUTE}{held.run_id}/approve",
        role,
        post={"release": "0" * 16},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert answer.status == status
    assert not (out / "documents").exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://airflow.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {},
    ],
)
def test_no_other_site_can_make_a_browser_approve(
    airflow: Ask, held: inside.Outcome, out: Path, headers: dict[str, str]
) -> None:
    answer = airflow(inside.ask, f"{ROUTE}{held.run_id}/approve", "admin", post={"release": "0" * 16}, headers=headers)
    assert answer.status == 403
    assert not (out / "documents").exists()


@pytest.mark.parametrize(
    "path",
    [
        "/winnow/run/clean_scraped_text/..%2f..%2f..%2fetc%2fpasswd",
        "/winnow/run/%2e%2e/%2e%2e%2fetc%2fpasswd",
        "/winnow/run/clean_scraped_text/no-such-run",
        "/winnow/run/no_such_dag/no-such-run",
        "/winnow/",
        "/winnow/docs",
        "/winnow/openapi.json",
    ],
)
def test_what_is_no_run_is_not_found(airflow: Ask, held: inside.Outcome, path: str) -> None:
    answer = airflow(inside.ask, path, "admin")
    assert answer.status == 404
    assert "root:" not in answer.text


def test_hostile_text_is_shown_as_text(shown: inside.Answer) -> None:
    page = Outline(shown.text)
    for text in hostile.SHOWN:
        assert text in page.text
    assert not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "link", "object", "embed", "base"}
    assert not [name for _, attrs in page.tags for name, _ in attrs if name.startswith("on") or name == "style"]
    assert not set(shown.text) & set("\u202e\u2067\u2069")
    assert len(shown.text) < 300_000, "a line of a megabyte is cut short"


def test_nothing_on_the_page_may_run_or_be_fetched(shown: inside.Answer) -> None:
    policy = dict(part.split(" ", 1) for part in shown.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"].startswith("'sha256-") and "unsafe" not in str(policy)
    assert policy["form-action"] == policy["frame-ancestors"] == "'self'"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert shown.headers["cache-control"] == "no-store"


def test_a_held_run_says_why_and_offers_the_button_to_those_who_may(
    airflow: Ask, held: inside.Outcome, shown: inside.Answer
) -> None:
    assert "Held: nothing of this run is released yet" in shown.text
    assert "gate.min_documents is 1,000" in shown.text
    assert "Approve and release" in shown.text
    viewer = airflow(inside.ask, ROUTE + held.run_id, "viewer")
    assert "Held: nothing of this run is released yet" in viewer.text
    assert (
        "Approve and release" not in viewer.text and "form-action 'none'" in viewer.headers["content-security-policy"]
    )


def test_an_approved_run_goes_on_from_its_gate_and_says_who_approved_it(
    airflow: Ask, held: inside.Outcome, shown: inside.Answer, out: Path
) -> None:
    (form,) = [dict(attrs) for tag, attrs in Outline(shown.text).tags if tag == "form"]
    (hidden,) = [
        dict(attrs) for tag, attrs in Outline(shown.text).tags if tag == "input" and dict(attrs)["name"] == "release"
    ]
    path = f"{ROUTE}{held.run_id}".rpartition("/")[0] + "/" + str(form["action"])
    own = {"Sec-Fetch-Site": "same-origin"}

    old = airflow(inside.ask, path, "admin", post={"release": "0" * 16}, headers=own)
    assert old.status == 409 and "has changed since" in old.text
    answer = airflow(
        inside.ask, path, "admin", post={"release": str(hidden["value"]), "note": "a <b>small</b> day"}, headers=own
    )
    assert answer.status == 303 and answer.headers["location"].endswith(f"{ROUTE}{held.run_id}")
    again = airflow(inside.ask, path, "admin", post={"release": str(hidden["value"])}, headers=own)
    assert again.status == 409 and "nothing to approve" in again.text

    run = airflow(inside.go_on, held.run_id)
    assert run.state == "success", run.tasks
    assert {key: tries for key, (_, tries) in run.tasks.items() if key[0] in ("discover", "prepare", "report")} == {
        key: tries for key, (_, tries) in held.tasks.items() if key[0] in ("discover", "prepare", "report")
    }, "the work was done again"
    assert (out / "documents" / "run=2026-01-02").is_dir()
    page = airflow(inside.ask, ROUTE + held.run_id, "admin").text
    assert "Approved by user of role admin" in page and "a &lt;b&gt;small&lt;/b&gt; day" in page
    assert "Approve and release" not in page
    assert "Approved by user of role admin" in (out / "_reports" / "2026-01-02" / "index.html").read_text("utf-8")


def test_a_second_run_is_compared_with_the_first(airflow: Ask, held: inside.Outcome, out: Path, tmp_path: Path) -> None:
    raw = hostile.write_hostile(tmp_path / "next")
    (next(raw.iterdir())).rename(raw / "next.jsonl")
    run = airflow(inside.run_dag, {"input": [str(raw)], "out": str(out), "run_key": "2026-01-03"}, None)
    assert run.state == "success", run.tasks
    page = airflow(inside.ask, ROUTE + run.run_id, "viewer").text
    assert "Run over run" in page and "2026-01-02: " in page


def test_a_run_without_a_report_says_why(airflow: Ask, out: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    missing = str(tmp_path / "{run_key}")
    run = airflow(inside.run_dag, {"input": [missing], "out": str(out), "run_key": "2026-01-09"}, None)
    assert run.state == "success"
    answer = airflow(inside.ask, ROUTE + run.run_id, "viewer")
    assert answer.status == 404 and "Nothing was new" in answer.text
    wrong = airflow(inside.run_dag, {"input": ["relative"], "out": str(out)}, None)
    answer = airflow(inside.ask, ROUTE + wrong.run_id, "viewer")
    assert answer.status == 404 and "has not found out yet" in answer.text


def test_by_default_the_log_is_told_what_is_held_and_why(airflow: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "_work" / "2026-01-02" / "report"
    lines, told = airflow(inside.tell, {}, str(tmp_path), "2026-01-02")
    assert len(lines) == 1 and "failed and nothing of it is released" in lines[0] and told == []
    write_json(folder / "gate.json", asdict(Verdict("abc", ("too few documents",))))
    lines, told = airflow(inside.tell, {}, str(tmp_path), "2026-01-02")
    assert lines == [
        f"winnow: run 2026-01-02 of {tmp_path} (clean_scraped_text, manual__1) is held and waits for approval: "
        "too few documents; see /dags/clean_scraped_text/runs/manual__1/plugin/winnow"
    ]


def test_another_notifier_is_called_with_its_arguments_and_may_use_the_message(airflow: Ask, tmp_path: Path) -> None:
    environ = {
        "WINNOW_NOTIFIER": "tests.dags.inside.Recorder",
        "WINNOW_NOTIFIER_ARGS": '{"text": "{{ winnow.run_key }}: {{ winnow.message }}"}',
    }
    lines, told = airflow(inside.tell, environ, str(tmp_path), "2026-01-02")
    assert told == [f"2026-01-02: {lines[0].removeprefix('winnow: ')}"]


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({}, ""),
        ({"WINNOW_NOTIFIER": " ", "WINNOW_NOTIFIER_ARGS": ""}, ""),
        ({"WINNOW_NOTIFIER": "slack"}, "WINNOW_NOTIFIER is 'slack'; expected the import path"),
        ({"WINNOW_NOTIFIER": "os; rm"}, "WINNOW_NOTIFIER is 'os; rm'; expected the import path"),
        ({"WINNOW_NOTIFIER_ARGS": "{"}, "WINNOW_NOTIFIER_ARGS is '{'; expected a JSON object"),
        ({"WINNOW_NOTIFIER_ARGS": "[]"}, "WINNOW_NOTIFIER_ARGS is '[]'; expected a JSON object"),
    ],
)
def test_a_fault_of_the_notifiers_settings_is_named(airflow: Ask, environ: dict[str, str], fault: str) -> None:
    told = airflow(inside.notifier_fault, environ)
    assert (told == "") == (fault == "") and fault in told


@pytest.mark.parametrize(
    ("base_url", "prefix"), [("http://127.0.0.1:8080", ""), ("https://example.org/airflow/", "/airflow")]
)
def test_the_link_to_a_report_is_below_the_path_of_the_web_interface(airflow: Ask, base_url: str, prefix: str) -> None:
    run = "manual__2026-01-02T00%3A00%3A00%2B00%3A00"
    assert airflow(inside.link, base_url) == f"{prefix}/dags/clean_scraped_text/runs/{run}/plugin/winnow"
