"""The DAGs: how they are made, and real runs of them on the five sample pages."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from etl.claims import CLAIM, Claim, read_claim, take_claim
from tests.dags import inside

pytestmark = pytest.mark.xdist_group("airflow")

Ask = Callable[..., Any]
PAGES = inside.PROJECT / "tests" / "pages" / "news"
SMALL_SHARDS = "ingest.shard_bytes=8000"


@pytest.fixture(scope="session")
def made(airflow: Ask) -> dict[str, Any]:
    return airflow(inside.parse)


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five pages below folders of two sites, one of which has a name that is a template."""
    root = tmp_path_factory.mktemp("raw")
    for number, page in enumerate(sorted(PAGES.glob("*.txt"))):
        folder = root / ("news.example" if number < 3 else "{{ 7 * 7 }}")
        folder.mkdir(exist_ok=True)
        shutil.copy(page, folder)
    return root


@pytest.fixture(scope="session")
def plain(airflow: Ask, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset that the command line makes of `raw`."""
    out = tmp_path_factory.mktemp("plain")
    airflow(inside.run_plain, [str(raw)], str(out), "2026-01-02", {"ingest.shard_bytes": "8000"})
    return out


@pytest.fixture(scope="session")
def ran(airflow: Ask, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[inside.Outcome, Path]:
    """A run of the DAG on `raw` that nothing disturbed, and its dataset."""
    out = tmp_path_factory.mktemp("out")
    return airflow(inside.run_dag, conf(raw, out), "2026-01-02"), out


def conf(raw: Path, out: Path, **others: Any) -> dict[str, Any]:
    return {"input": [str(raw)], "out": str(out), "set": [SMALL_SHARDS], **others}


def published(out: Path) -> dict[str, bytes]:
    names = ("documents", "removals", "rejects", "_state")
    return {
        p.relative_to(out).as_posix(): p.read_bytes()
        for name in names
        for p in sorted((out / name).rglob("*"))
        if p.is_file()
    }


def test_the_dags_import_and_serialise(made: dict[str, Any]) -> None:
    assert made["errors"] == {}
    assert set(made["dags"]) == {inside.CLEAN, inside.CONSUME}


def test_reading_the_dag_file_costs_little_and_imports_no_stage(made: dict[str, Any]) -> None:
    assert made["cpu_s"] < 1
    assert not {"polars", "pyarrow", "duckdb", "etl.stages", "etl.pipeline"} & set(made["modules"])


def test_tasks_are_the_stages_in_their_order_after_discover(made: dict[str, Any], airflow: Ask) -> None:
    stages = airflow(inside.stage_table)
    tasks = made["dags"][inside.CLEAN]["tasks"]
    assert [task["name"] for task in tasks] == ["discover", *(name for name, *_ in stages)]
    assert [task["mapped"] for task in tasks] == [False, *(per_shard for _, _, per_shard, _ in stages)]
    for before, after in pairwise(tasks):
        assert before["name"] in after["before"]


def test_the_table_read_from_the_source_is_the_table(airflow: Ask) -> None:
    read = [tuple(row.values()) for row in airflow(inside.call, "read_stages")]
    assert read == airflow(inside.stage_table)


def test_every_task_has_a_limit_a_page_and_waits_for_the_success_of_all_before(made: dict[str, Any]) -> None:
    for dag in made["dags"].values():
        assert dag["doc"]
        for task in dag["tasks"]:
            assert task["timeout"] and task["doc"] and task["rule"] == "all_success", task["name"]
            assert task["retries"] > 0


def test_runs_wait_for_each_other_and_start_paused(made: dict[str, Any]) -> None:
    dag = made["dags"][inside.CLEAN]
    assert (dag["runs_at_once"], dag["paused"], dag["catchup"]) == (1, True, False)


def test_the_form_asks_for_everything_a_run_can_be_told(made: dict[str, Any]) -> None:
    assert list(made["dags"][inside.CLEAN]["params"]) == ["input", "out", "run_key", "skip", "config", "set", "dry_run"]


@pytest.mark.parametrize(
    ("number", "sources", "label"),
    [
        (3, ["news.example/a.html"] * 212, "shard 3 · news.example · 212 files"),
        (0, ["a.txt"], "shard 0 · a.txt · 1 file"),
        (0, ["b.org/1.txt", "a.org/x/2.txt", "c.org/3.txt"], "shard 0 · a.org +2 · 3 files"),
        (1, ["{{ var.value.secret }}/a.txt"], "shard 1 ·  var.value.secret  · 1 file"),
        (1, ["a\u202eb\nc/a.txt"], "shard 1 · abc · 1 file"),
        (0, [], "shard 0 · no files · 0 files"),
        (0, ["x" * 300 + "/a"], "shard 0 · " + "x" * 40 + " · 1 file"),
    ],
)
def test_a_shard_is_labelled_by_its_first_folder(airflow: Ask, number: int, sources: list[str], label: str) -> None:
    assert airflow(inside.call, "label", number, sources) == label


def test_the_run_key_is_the_day_of_the_interval_and_else_of_the_run(airflow: Ask) -> None:
    interval, after = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 3, 4, 23, 59, tzinfo=UTC)
    assert airflow(inside.call, "default_run_key", interval, after) == "2026-01-02"
    assert airflow(inside.call, "default_run_key", None, after) == "2026-03-04"


def test_a_path_with_the_run_key_is_a_folder_a_day_and_may_be_missing(airflow: Ask, tmp_path: Path) -> None:
    (tmp_path / "2026-01-02").mkdir()
    by_day, plain = str(tmp_path / "{run_key}"), "/no/such/folder"
    assert airflow(inside.call, "expand_inputs", [by_day, plain], "2026-01-02") == [str(tmp_path / "2026-01-02"), plain]
    assert airflow(inside.call, "expand_inputs", [by_day], "2026-01-03") == []
    assert "expected letters" in airflow(inside.call, "expand_inputs", [by_day], "../2026-01-02")


def test_the_environment_sets_the_schedule(airflow: Ask) -> None:
    usual = airflow(inside.call, "read_schedule", {})
    assert (usual["cron"], usual["catchup"], usual["pool"], usual["retries"]) == ("@daily", False, "default_pool", 3)
    told = airflow(
        inside.call,
        "read_schedule",
        {"WINNOW_SCHEDULE": "None", "WINNOW_START_DATE": "2025-05-06", "WINNOW_CATCHUP": "True"},
    )
    assert (told["cron"], told["start"], told["catchup"]) == (None, datetime(2025, 5, 6, tzinfo=UTC), True)


def test_every_fault_of_the_environment_is_named(airflow: Ask) -> None:
    wrong = {"WINNOW_RETRIES": "many", "WINNOW_START_DATE": "yesterday", "WINNOW_CATCHUP": "perhaps"}
    assert airflow(inside.call, "read_schedule", wrong).splitlines() == [
        "environment: WINNOW_START_DATE is 'yesterday'; expected a day such as 2026-01-31",
        "environment: WINNOW_CATCHUP is 'perhaps'; expected true or false",
        "environment: WINNOW_RETRIES is 'many'; expected a whole number from 0 to 20",
    ]


@pytest.mark.slow
def test_a_run_gives_what_the_command_line_gives(ran: tuple[inside.Outcome, Path], plain: Path) -> None:
    run, out = ran
    assert run.state == "success", run.tasks
    assert len(run.states("prepare")) > 1
    assert published(out) == published(plain)
    assert (out / "_manifest.json").read_bytes() == (plain / "_manifest.json").read_bytes()
    assert not any((out / "_work").glob("*"))


@pytest.mark.slow
def test_labels_are_shown_as_they_are(ran: tuple[inside.Outcome, Path]) -> None:
    labels = ran[0].labels
    assert labels[0].startswith("shard 0 · ") and any("news.example" in label for label in labels)
    assert not any("49" in label for label in labels)


@pytest.mark.slow
def test_the_event_names_the_release_and_the_consumer_reads_it(airflow: Ask, ran: tuple[inside.Outcome, Path]) -> None:
    run, out = ran
    (event,) = run.events
    assert (event["path"], event["run_key"]) == (str(out.resolve()), "2026-01-02")
    state, summaries = airflow(inside.consume, run.run_id)
    assert state == "success"
    assert summaries[0]["documents"] == event["rows"]["documents"] == 5
    assert airflow(inside.read_release, event) == ""
    assert "replaced since" in airflow(inside.read_release, {**event, "manifest_hash": "0" * 16})
    assert "removed since" in airflow(inside.read_release, {**event, "run_key": "2025-01-01"})


@pytest.mark.slow
def test_a_second_run_without_news_ends_after_discover(
    airflow: Ask, raw: Path, ran: tuple[inside.Outcome, Path]
) -> None:
    out = ran[1]
    before = published(out)
    run = airflow(inside.run_dag, conf(raw, out, run_key="2026-01-03"), None)
    assert run.state == "success"
    assert run.states("discover") == ["success"]
    assert {state for (task, _), (state, _) in run.tasks.items() if task != "discover"} == {"skipped"}
    assert published(out) == before and not run.events and not any((out / "_work").glob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        {"set": ["gate.max_reject_share=7"]},
        {"input": ["/no/such/folder"]},
        {"out": "relative"},
        {"run_key": "a..b"},
    ],
    ids=["option", "input", "relative", "key"],
)
def test_a_configuration_error_fails_without_a_retry(
    airflow: Ask, raw: Path, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    run = airflow(inside.run_dag, conf(raw, tmp_path) | wrong, None)
    assert run.state == "failed"
    assert run.tasks["discover", -1] == ("failed", 1)


@pytest.mark.slow
def test_a_failed_shard_publishes_nothing_and_clearing_it_finishes_the_run(
    airflow: Ask, raw: Path, plain: Path, tmp_path: Path
) -> None:
    run = airflow(inside.run_dag, conf(raw, tmp_path, run_key="2026-01-02"), "2026-02-01", broken=("clean", 1))
    assert run.state == "failed"
    assert run.tasks["clean", 1] == ("failed", 2)
    assert [state for state in run.states("clean") if state == "success"]
    assert {*run.states("write"), *run.states("release")} == {"upstream_failed"}
    assert not published(tmp_path) and not run.events
    kept = {key: tries for key, tries in run.tasks.items() if key[0] == "prepare" or key == ("clean", 0)}

    run = airflow(inside.clear_and_go_on, run.run_id, "clean", 1)
    assert run.state == "success", run.tasks
    assert {key: run.tasks[key] for key in kept} == kept, "the other shards' work was done again"
    assert published(tmp_path) == published(plain)
    assert len(run.events) == 1


@pytest.mark.slow
def test_a_run_whose_work_was_begun_anew_by_another_stops(airflow: Ask, raw: Path, tmp_path: Path) -> None:
    run = airflow(inside.run_dag, conf(raw, tmp_path, run_key="k"), None, broken=("clean", 1))
    assert run.state == "failed"
    (tmp_path / "_work" / "k" / "config" / "pipeline.yaml").write_text("gate:\n  min_documents: 3\n")
    run = airflow(inside.clear_and_go_on, run.run_id, "clean", 1)
    assert run.state == "failed"
    assert run.tasks["clean", 1] == ("failed", 3), "a retry would change nothing"
    assert not published(tmp_path)


@pytest.mark.slow
def test_a_run_is_refused_while_another_runs_on_the_same_dataset(airflow: Ask, raw: Path, tmp_path: Path) -> None:
    other = airflow(inside.begin_run)
    take_claim(tmp_path, Claim(f"{inside.CLEAN}/{other}", "x", "long ago"), ended=lambda held: False)
    try:
        run = airflow(inside.run_dag, conf(raw, tmp_path, run_key="k"), None)
        assert run.state == "failed"
        assert run.tasks["discover", -1] == ("failed", 2), "it is tried again: the other may have ended by then"
        assert not (tmp_path / "_work").exists() and read_claim(tmp_path).holder.endswith(other)  # type: ignore[union-attr]
    finally:
        airflow(inside.end_run, other)


@pytest.mark.slow
def test_a_run_takes_over_from_one_that_is_unknown_to_airflow_and_leaves_no_claim(
    airflow: Ask, raw: Path, tmp_path: Path
) -> None:
    take_claim(tmp_path, Claim(f"{inside.CLEAN}/no_such_run", "x", "long ago"), ended=lambda held: False)
    run = airflow(inside.run_dag, conf(raw, tmp_path, run_key="k", dry_run=True), None)
    assert run.state == "success"
    assert not (tmp_path / CLAIM).exists()


@pytest.mark.slow
def test_a_dry_run_stops_before_the_release(airflow: Ask, tmp_path: Path) -> None:
    run = airflow(
        inside.run_dag, {"input": [str(PAGES)], "out": str(tmp_path), "run_key": "try", "dry_run": True}, None
    )
    assert run.state == "success"
    assert run.states("gate") == ["success"]
    assert [run.states("release"), run.states("settle")] == [["skipped"], ["skipped"]]
    assert not published(tmp_path) and not run.events
    assert (tmp_path / "_work" / "try" / "report" / "index.html").is_file()
