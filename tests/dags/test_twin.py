"""The stack on real processes: PostgreSQL, redis, Airflow's services, a Celery worker, a browser. One stack for all tests.

The tests tell one story, in order: four scheduled days, a backfill of the first in which a shard fails, the later days done
again with a worker killed on the way, and a person with a browser. Everything waits for a condition, nothing for a time.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from click.testing import CliRunner, Result

from etl.claims import Claim, take_claim
from etl.cli import cli
from tests.dags import hostile
from tests.dags.twin import CHROMIUM, COMPOSE, HOST, NATIVE, PROJECT, Twin, interpolate, missing
from tests.report.test_page import Outline

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("twin")]

CLEAN, CONSUME = "clean_scraped_text", "consume_clean_text"
PAGES = sorted((PROJECT / "tests" / "pages" / "news").glob("*.txt"))
LAST_MONTH = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).replace(day=1)
DAYS = [f"{LAST_MONTH:%Y-%m}-0{number}" for number in range(1, 5)]
"""Days that the schedule has: all are over, and the next is most of a year away."""
PUBLISHED = ("documents", "removals", "rejects", "_state")
SCREENSHOTS = os.environ.get("WINNOW_SCREENSHOTS", "")


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    """The stack, healthy, with its DAGs paused."""
    if faults := missing():
        told = "; ".join(faults)
        if os.environ.get("WINNOW_REQUIRE_SERVICES"):
            pytest.fail(told)
        pytest.skip(f"{told}. Run tests/dags/install_services.sh as root")
    schedule = {
        "WINNOW_SCHEDULE": f"0 0 1-4 {LAST_MONTH.month} *",
        "WINNOW_START_DATE": DAYS[0],
        "WINNOW_CATCHUP": "true",
        "WINNOW_INPUT_BELOW": "/{run_key}",
        "WINNOW_RETRIES": "2",
        "WINNOW_RETRY_DELAY_S": "1",
    }
    with Twin(schedule) as stack:
        (stack.config / "pipeline.yaml").write_text("ingest:\n  shard_bytes: 5000\n")
        yield stack


@pytest.fixture(scope="module")
def plain(twin: Twin) -> Path:
    """Beside the stack's own, a dataset that the command line makes."""
    return twin.root / "plain"


@pytest.fixture(scope="module")
def days(twin: Twin) -> dict[str, str]:
    """The run id of each day, once the schedule has run them all. The first day has no files yet."""
    put(twin, DAYS[1], "news.example", 0, 1)
    put(twin, DAYS[2], "news.example", 2)
    put(twin, DAYS[2], "other.example", 0)
    put(twin, DAYS[3], "news.example", 3)
    for dag in (CLEAN, CONSUME):
        twin.api(f"dags/{dag}", method="PATCH", body={"is_paused": False})

    def ended() -> dict[str, str] | None:
        runs = {run["logical_date"][:10]: run for run in twin.api(f"dags/{CLEAN}/dagRuns")["dag_runs"]}
        if set(runs) != set(DAYS) or any(run["state"] in ("queued", "running") for run in runs.values()):
            return None
        return {day: run["dag_run_id"] for day, run in sorted(runs.items())}

    return twin.wait("four scheduled runs", ended)


@pytest.fixture(scope="module")
def backfilled(twin: Twin, days: dict[str, str]) -> str:
    """The run id of the first day, backfilled when its files came, after a shard of it failed."""
    put(twin, DAYS[0], "wire.example", 1, 4)
    # As if the last run had ended without giving up its claim: the backfill asks Airflow, and takes it over.
    take_claim(twin.out, Claim(f"{CLEAN}/{days[DAYS[3]]}", DAYS[3], "yesterday"), ended=lambda held: False)
    (twin.root / "disturb" / "fail-clean-1").touch()
    words = [
        "--from-date",
        DAYS[0],
        "--to-date",
        DAYS[0],
        "--reprocess-behavior",
        "completed",
        "--max-active-runs",
        "1",
    ]
    twin.airflow("backfill", "create", "--dag-id", CLEAN, *words)

    def failed() -> str | None:
        (run,) = [one for one in twin.api(f"dags/{CLEAN}/dagRuns")["dag_runs"] if one["logical_date"][:10] == DAYS[0]]
        done = (
            run["run_type"] == "backfill" and run["state"] in ("failed", "success") and tasks(twin, run["dag_run_id"])
        )
        return run["dag_run_id"] if done and ("clean", 1) in done else None

    return twin.wait("the backfill to fail", failed)


@pytest.fixture(scope="module")
def killed(twin: Twin, days: dict[str, str], backfilled: str) -> dict[str, Any]:
    """What was seen when the second day was run again and the worker was killed in the middle of it. It goes on by itself."""
    finish_backfill(twin, backfilled)
    seen: dict[str, Any] = {"stale": stale(twin.out), "before": published(twin.out)}
    hang, hangs = twin.root / "disturb" / "hang-clean-1", twin.root / "disturb" / "hangs-clean-1"
    hang.touch()
    clear_run(twin, days[DAYS[1]])
    twin.wait("a shard under way", hangs.exists)
    twin.kill("worker")
    seen["after"] = published(twin.out)
    seen["refused"] = etl("run", twin.raw / DAYS[1], "--out", twin.out, "--run-key", DAYS[1])
    hang.unlink()
    twin.start("worker")
    return seen


@pytest.fixture(scope="module")
def redone(twin: Twin, days: dict[str, str], killed: dict[str, Any], triggered: str) -> dict[str, str]:
    """How the later days ended that were run again, one after the other."""
    ended = {DAYS[1]: wait_for(twin, days[DAYS[1]])}
    for day in DAYS[2:]:  # Airflow starts them in this order, one at a time
        clear_run(twin, days[day])
    return ended | {day: wait_for(twin, days[day]) for day in DAYS[2:]}


def put(twin: Twin, day: str, site: str, *numbers: int) -> None:
    """Put sample pages below a day's folder, as a scraper would."""
    folder = twin.raw / day / site
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        shutil.copy(PAGES[number], folder)


def published(out: Path) -> dict[str, bytes]:
    files = [path for name in PUBLISHED for path in sorted((out / name).rglob("*")) if path.is_file()]
    if (out / "_manifest.json").is_file():
        files.append(out / "_manifest.json")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def etl(*words: object) -> Result:
    """The command line, in this process: to start it costs more than what it does here."""
    return CliRunner().invoke(cli, [str(word) for word in words])


def run_plain(twin: Twin, out: Path, day: str) -> None:
    told = ["--out", out, "--run-key", day, "--config", twin.config, "--workers", 1]
    done = etl("run", twin.raw / day, *told)
    assert done.exit_code == 0, done.output


def stale(out: Path) -> dict[str, list[str]]:
    told = json.loads(etl("status", "--out", out, "--json").stdout)
    return {run["run"]: run["stale"] for run in told["runs"] if run["stale"]}


def tasks(twin: Twin, run_id: str, dag: str = CLEAN) -> dict[tuple[str, int], dict[str, Any]]:
    told = twin.api(f"dags/{dag}/dagRuns/{quote(run_id)}/taskInstances?limit=200")["task_instances"]
    return {(one["task_id"], one["map_index"]): one for one in told}


def states(twin: Twin, run_id: str, task: str) -> list[str]:
    return [one["state"] for (name, _), one in sorted(tasks(twin, run_id).items()) if name == task]


def wait_for(twin: Twin, run_id: str, dag: str = CLEAN) -> str:
    """How a run ended."""

    def ended() -> str | None:
        state: str = twin.api(f"dags/{dag}/dagRuns/{quote(run_id)}")["state"]
        return state if state in ("success", "failed") else None

    return twin.wait(f"the end of {run_id}", ended)


def clear_run(twin: Twin, run_id: str) -> None:
    twin.api(f"dags/{CLEAN}/dagRuns/{quote(run_id)}/clear", method="POST", body={"dry_run": False})


def finish_backfill(twin: Twin, run_id: str) -> None:
    """Clear the shard that failed, with what comes after it, once nothing disturbs it any more."""
    flag = twin.root / "disturb" / "fail-clean-1"
    if flag.exists():
        flag.unlink()
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [["clean", 1]], "include_downstream": True}
        twin.api(f"dags/{CLEAN}/clearTaskInstances", method="POST", body=body | {"only_failed": False})
    assert wait_for(twin, run_id) == "success", twin.tails()


def test_the_processes_are_those_of_the_compose_file(twin: Twin) -> None:
    services = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    assert set(twin.running) == set(services) - {"init"}
    for name, service in twin.running.items():
        environ = service.env
        asked = interpolate(services[name]["environment"], twin.variables)
        for variable, value in asked.items():
            if variable not in NATIVE:
                assert environ[variable] == twin.native(str(value)), (name, variable)
        ours = {key for key in environ if key.startswith(("AIRFLOW", "WINNOW"))}
        assert ours <= set(asked) | set(NATIVE), (name, ours - set(asked))
        if name != "postgres":  # its command is the image's own
            command = services[name]["command"]
            words = [
                str(interpolate(word, twin.variables))
                for word in (command if isinstance(command, list) else command.split())
            ]
            assert [twin.native(word) for word in words] == service.argv[service.argv[0] == "airflow" :][: len(words)]


def test_the_schedule_runs_each_day_with_its_own_files(twin: Twin, days: dict[str, str]) -> None:
    assert list(days) == DAYS
    assert {day: wait_for(twin, run_id) for day, run_id in days.items()} == dict.fromkeys(DAYS, "success"), twin.tails()
    assert states(twin, days[DAYS[0]], "discover") == ["success"]
    assert states(twin, days[DAYS[0]], "release") == ["skipped"], "a day without files ends after discover"
    assert states(twin, days[DAYS[1]], "clean") == ["success", "success"]
    label = tasks(twin, days[DAYS[1]])["clean", 0]["rendered_map_index"]
    assert label == "shard 0 · news.example · 1 file"


def test_scheduled_days_give_what_the_command_line_gives(twin: Twin, days: dict[str, str], plain: Path) -> None:
    for day in DAYS[1:]:
        run_plain(twin, plain, day)
    assert published(twin.out) == published(plain)
    assert etl("verify", "--out", twin.out).exit_code == 0
    assert not list((twin.out / "_work").iterdir()) and not (twin.out / ".claim.json").exists()


def test_the_consumer_follows_each_release(twin: Twin, days: dict[str, str]) -> None:
    def summaries() -> list[dict[str, Any]] | None:
        runs = twin.api(f"dags/{CONSUME}/dagRuns")["dag_runs"]
        assert not [run for run in runs if run["state"] == "failed"], twin.tails()
        told = []
        for run in (run for run in runs if run["state"] == "success"):
            path = f"dags/{CONSUME}/dagRuns/{quote(run['dag_run_id'])}/taskInstances/summarise/xcomEntries/return_value"
            value = twin.api(path)["value"]
            told += json.loads(value) if isinstance(value, str) else value
        return told if {one["run_key"] for one in told} >= set(DAYS[1:]) else None

    told = {one["run_key"]: one["documents"] for one in twin.wait("the consumer", summaries)}
    manifest = json.loads((twin.out / "_manifest.json").read_text("utf-8"))
    assert told == {day: entry["datasets"]["documents"]["rows"] for day, entry in manifest["runs"].items()}


def test_a_failed_shard_fails_the_run_and_nothing_of_it_is_published(twin: Twin, backfilled: str, plain: Path) -> None:
    assert twin.api(f"dags/{CLEAN}/dagRuns/{quote(backfilled)}")["state"] == "failed"
    assert states(twin, backfilled, "clean") == ["success", "failed"], "the other shard's work is kept"
    assert {*states(twin, backfilled, "write"), *states(twin, backfilled, "release")} == {"upstream_failed"}
    assert published(twin.out) == published(plain)


def test_somebody_is_told_and_the_dataset_is_free_again(twin: Twin, backfilled: str) -> None:
    def told() -> bool:
        logs = (twin.root / "airflow" / "logs" / "dag_processor").rglob("*.log")
        return any(
            f"winnow: run {DAYS[0]} of" in (text := log.read_text("utf-8", errors="replace"))
            and "failed and nothing of it is released" in text
            for log in logs
        )

    twin.wait("the notification", told)
    twin.wait("the claim to end", lambda: not (twin.out / ".claim.json").exists())


def test_clearing_the_failed_shard_finishes_the_run(twin: Twin, backfilled: str) -> None:
    before = tasks(twin, backfilled)
    finish_backfill(twin, backfilled)
    after = tasks(twin, backfilled)
    for kept in (("prepare", 0), ("prepare", 1), ("clean", 0)):
        assert after[kept]["end_date"] == before[kept]["end_date"], "the other shards' work was done again"
    assert (twin.out / "documents" / f"run={DAYS[0]}").is_dir()


def test_a_backfill_makes_later_days_stale_and_they_are_named(
    twin: Twin, backfilled: str, killed: dict[str, Any]
) -> None:
    assert killed["stale"] == {day: [DAYS[0]] for day in DAYS[1:]}
    folder = twin.root / "airflow" / "logs" / f"dag_id={CLEAN}" / f"run_id={backfilled}" / "task_id=release"
    told = "\n".join(log.read_text("utf-8") for log in folder.rglob("*.log"))
    assert all(f"run {day} is stale: {DAYS[0]} changed" in told for day in DAYS[1:])


def test_a_killed_worker_publishes_nothing_and_others_are_kept_out_until_its_retry(killed: dict[str, Any]) -> None:
    assert killed["after"] == killed["before"]
    assert killed["refused"].exit_code == 1
    assert f"run {DAYS[1]} ({CLEAN}/" in killed["refused"].stderr and "has not ended" in killed["refused"].stderr


@pytest.mark.parametrize(
    "path",
    [
        f"/winnow/run/{CLEAN}/../../../../etc/passwd",
        f"/winnow/run/{CLEAN}/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/winnow/../../etc/passwd",
        "/winnow/run/..%2f..%2fetc%2fpasswd",
        "/winnow/run/x/..%252f..%252fetc%252fpasswd",
        "/winnow/static/../../../etc/passwd",
    ],
)
def test_a_path_out_of_the_report_is_not_found(twin: Twin, path: str) -> None:
    answer = twin.ask(path)
    assert answer.status == 404
    assert b"root:" not in answer.body


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("nobody", 403), ("viewer", 200), ("admin", 200)])
def test_a_report_asks_who_is_there(twin: Twin, days: dict[str, str], user: str | None, status: int) -> None:
    answer = twin.ask(f"/winnow/run/{CLEAN}/{quote(days[DAYS[3]], safe='')}", user=user)
    assert answer.status == status
    if status == 200:
        page = answer.body.decode()
        assert DAYS[3] in page and "Run over run" in page
        assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
        assert not {tag for tag, _ in Outline(page).tags} & {"script", "img", "iframe", "link"}


@pytest.fixture(scope="module")
def browser(twin: Twin) -> Iterator[Any]:
    """A page of a headless Chromium, logged in as admin. `page.outside` gathers requests to anywhere else."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"],
            timeout=120_000,
        )
        context = chromium.new_context(viewport={"width": 1200, "height": 820}, reduced_motion="reduce")
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.outside, page.dialogs = [], []
        page.on(
            "request",
            lambda asked: asked.url.startswith((twin.url, "data:", "blob:")) or page.outside.append(asked.url),
        )
        page.on("dialog", lambda dialog: (page.dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(f"{twin.url}/")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", twin.variables["AIRFLOW_ADMIN_PASSWORD"])
        page.click("button[type=submit]")
        page.wait_for_url(lambda url: "/login" not in url)
        page.goto(f"{twin.url}/dags/{CLEAN}")
        page.get_by_test_id("trigger-dag-button").wait_for()
        yield page
        chromium.close()


def shoot(page: Any, name: str) -> None:
    if SCREENSHOTS:
        time.sleep(1)  # for looks alone: a chart or a panel may still move
        page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"))


def report_of(page: Any, twin: Twin, run_id: str) -> Any:
    """The frame with a run's report, in its tab."""
    page.goto(f"{twin.url}/dags/{CLEAN}/runs/{quote(run_id, safe='')}")
    page.get_by_role("tab", name="Winnow report").or_(page.get_by_role("link", name="Winnow report")).first.click()
    frame = page.frame_locator("iframe[title='Winnow report']")
    frame.locator("h1").wait_for()
    return frame


@pytest.fixture(scope="module")
def triggered(twin: Twin, days: dict[str, str], killed: dict[str, Any], browser: Any) -> str:
    """The run that a person started from the form, on hostile input, with a limit that will hold it."""
    hostile.write_hostile(twin.raw / "hostile")
    known = {run["dag_run_id"] for run in twin.api(f"dags/{CLEAN}/dagRuns")["dag_runs"]}
    browser.goto(f"{twin.url}/dags/{CLEAN}")
    browser.get_by_test_id("trigger-dag-button").click()
    form = browser.get_by_role("dialog").filter(has_text="Trigger Dag")
    for name in ("out", "config", "input"):  # as they are in the compose file, for the picture
        form.locator(f"#element_{name}").fill(f"/data/{name}".replace("input", "raw/{run_key}"))
    shoot(browser, "form")
    form.locator("#element_input").fill(str(twin.raw / "hostile"))
    form.locator("#element_out").fill(str(twin.root / "hostile"))
    form.locator("#element_config").fill(str(twin.config))
    form.locator("#element_run_key").fill("2026-03-01")
    form.locator("#element_set").fill("gate.min_documents=1000\ningest.shard_bytes=50000000")
    form.get_by_role("button", name="Trigger", exact=True).click()

    def started() -> str | None:
        runs = twin.api(f"dags/{CLEAN}/dagRuns")["dag_runs"]
        return next((run["dag_run_id"] for run in runs if run["dag_run_id"] not in known), None)

    return twin.wait("the run that the form starts", started)


def test_a_person_sees_the_graph(twin: Twin, killed: dict[str, Any], browser: Any) -> None:
    browser.goto(f"{twin.url}/dags/{CLEAN}")
    browser.get_by_label("Show Graph").click()
    for task in (
        "discover",
        "prepare",
        "templates",
        "clean",
        "duplicates",
        "write",
        "report",
        "gate",
        "release",
        "settle",
    ):
        browser.locator(".react-flow__node", has_text=task).first.wait_for()
    shoot(browser, "graph")
    browser.get_by_label("Show Grid").click()


def test_a_run_from_the_form_waits_for_the_one_before(twin: Twin, days: dict[str, str], triggered: str) -> None:
    runs = {run["dag_run_id"]: run for run in twin.api(f"dags/{CLEAN}/dagRuns")["dag_runs"]}
    before, ours = runs[days[DAYS[1]]], runs[triggered]
    assert ours["state"] == "queued" or ours["start_date"] >= before["end_date"]


def test_days_done_again_are_what_undisturbed_runs_give(
    twin: Twin, days: dict[str, str], redone: dict[str, str], tmp_path: Path
) -> None:
    assert redone == dict.fromkeys(DAYS[1:], "success"), twin.tails()
    assert tasks(twin, days[DAYS[1]])["clean", 1]["try_number"] > 1
    for day in DAYS:
        run_plain(twin, tmp_path / "straight", day)
    assert published(twin.out) == published(tmp_path / "straight")
    assert stale(twin.out) == {}
    assert not [path for path in (twin.out / "_work").iterdir() if path.name in DAYS]


def test_a_person_reads_the_report_of_a_scheduled_day(
    twin: Twin, redone: dict[str, Any], days: dict[str, str], browser: Any
) -> None:
    frame = report_of(browser, twin, days[DAYS[3]])
    assert frame.locator("h1").inner_text() == DAYS[3]
    for section in ("From raw text to kept text", "Removals by rule", "Sites", "Run over run", "Time"):
        frame.get_by_role("heading", name=section).wait_for()
    assert frame.locator("del").count() > 0 and frame.locator("svg").count() > 10
    frame.locator("#funnel").evaluate("section => section.scrollIntoView()")
    shoot(browser, "report")
    frame.locator("#trends").evaluate("section => section.scrollIntoView()")
    shoot(browser, "trends")


def test_a_run_from_the_form_is_held_and_hostile_text_stays_text(twin: Twin, triggered: str, browser: Any) -> None:
    assert wait_for(twin, triggered) == "failed", twin.tails()
    assert states(twin, triggered, "gate") == ["failed"] and states(twin, triggered, "release") == ["upstream_failed"]
    frame = report_of(browser, twin, triggered)
    frame.get_by_text("Held: nothing of this run is released yet").wait_for()
    shoot(browser, "held")
    text = " ".join(frame.locator("body").evaluate("body => body.textContent").split())
    for wanted in hostile.SHOWN:
        assert wanted in text
    assert frame.locator("script, img, body iframe").count() == 0
    assert "owned" not in browser.title() and not browser.dialogs


def test_a_person_approves_the_held_run_and_it_is_released(twin: Twin, triggered: str, browser: Any) -> None:
    frame = report_of(browser, twin, triggered)
    frame.locator("input[name=note]").fill("a test of hostile text")
    frame.get_by_role("button", name="Approve and release").click()
    frame.get_by_text("Approved by admin").wait_for()
    twin.wait("the run to go on", lambda: states(twin, triggered, "gate") != ["failed"])
    assert wait_for(twin, triggered) == "success", twin.tails()
    assert (twin.root / "hostile" / "documents" / "run=2026-03-01").is_dir()
    assert etl("verify", "--out", twin.root / "hostile").exit_code == 0


def test_the_release_task_links_to_the_report(twin: Twin, triggered: str, browser: Any) -> None:
    browser.goto(f"{twin.url}/dags/{CLEAN}/runs/{quote(triggered, safe='')}/tasks/release/details")
    browser.get_by_role("link", name="Winnow report").click()
    browser.frame_locator("iframe[title='Winnow report']").get_by_text("a test of hostile text").wait_for()


def test_the_browser_asked_no_other_site(browser: Any) -> None:
    assert browser.outside == [] and HOST in browser.url
