"""What the tests ask of Airflow. Runs in a process of its own: to import Airflow sets up logging and a database for good."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
CLEAN, CONSUME = "clean_scraped_text", "consume_clean_text"
KEEP: dict[str, Any] = {}


@dataclass(frozen=True)
class Outcome:
    """A finished DAG run. tasks: (task, map index) -> (state, tries); labels: those of the mapped tasks."""

    run_id: str
    state: str
    tasks: dict[tuple[str, int], tuple[str, int]]
    labels: list[str]
    events: list[dict[str, Any]]

    def states(self, task: str) -> list[str]:
        return [state for (name, _), (state, _) in sorted(self.tasks.items()) if name == task]


def parse() -> dict[str, Any]:
    """Load and serialise the DAGs; how they are made, and the CPU seconds of a second load."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    bag = DagBag(str(PROJECT / "dags"))
    used = time.process_time()
    DagBag(str(PROJECT / "dags" / f"{CLEAN}.py"))
    used = time.process_time() - used
    told: dict[str, Any] = {
        "errors": dict(bag.import_errors),
        "cpu_s": used,
        "modules": sorted(sys.modules),
        "dags": {},
    }
    for name, dag in bag.dags.items():
        DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
        told["dags"][name] = {
            "paused": dag.is_paused_upon_creation,
            "runs_at_once": dag.max_active_runs,
            "catchup": dag.catchup,
            "doc": dag.doc_md,
            "params": {key: dag.params.get_param(key).schema for key in dag.params},
            "tasks": [
                {
                    "name": task.task_id,
                    "mapped": task.is_mapped,
                    "before": sorted(task.upstream_task_ids),
                    "doc": task.doc_md,
                    "timeout": task.execution_timeout is not None,
                    "retries": task.retries,
                    "rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
                }
                for task in dag.topological_sort()
            ],
        }
    return told


def call(name: str, *args: Any) -> Any:
    """What a function of the DAG file returns, its dataclasses as dicts; a ConfigError as its text."""
    from etl.errors import ConfigError

    try:
        made = getattr(_module(CLEAN), name)(*args)
    except ConfigError as error:
        return str(error)
    if isinstance(made, tuple):
        return [asdict(row) for row in made]
    return asdict(made) if is_dataclass(made) and not isinstance(made, type) else made


def run_dag(conf: Mapping[str, Any], day: str | None, *, broken: tuple[str, int] | None = None) -> Outcome:
    """A whole run, as `dag.test()` makes it. broken: a stage and the shard for which it fails, every time."""
    _database()
    with _breaking(broken):
        run = _dag(CLEAN).test(
            logical_date=datetime.fromisoformat(day).replace(tzinfo=UTC) if day else None, run_conf=dict(conf)
        )
    return _outcome(CLEAN, run.run_id)


def clear_and_go_on(run_id: str, task: str, shard: int) -> Outcome:
    """Clear one shard of a task with its downstream, as a person does in the UI, and let the run go on."""
    from airflow.serialization.serialized_objects import DagSerialization

    real = _dag(CLEAN)
    dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(real))
    below = sorted(dag.task_dict[task].get_flat_relative_ids(upstream=False))
    dag.clear(task_ids=[(task, shard), *below], run_id=run_id)
    return go_on(run_id)


def begin_run() -> str:
    """The id of a run that Airflow takes to be running."""
    from airflow import settings
    from airflow.sdk import timezone
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    _database()
    dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(_dag(CLEAN)))
    now = timezone.utcnow()
    session = settings.Session()
    run = dag.create_dagrun(
        run_id=f"manual__other_{now.timestamp()}",
        run_type=DagRunType.MANUAL,
        logical_date=None,
        data_interval=None,
        run_after=now,
        start_date=now,
        state="running",
        triggered_by=DagRunTriggeredByType.TEST,
        session=session,
    )
    session.commit()
    return str(run.run_id)


def end_run(run_id: str) -> None:
    """Let Airflow take the run to be over."""
    from airflow import settings
    from airflow.models.dagrun import DagRun
    from sqlalchemy import update

    session = settings.Session()
    session.execute(update(DagRun).where(DagRun.run_id == run_id).values(state="success"))
    session.commit()


def consume(run_id: str) -> list[dict[str, Any]]:
    """What the consumer says when the events of the run `run_id` start it."""
    from airflow import settings
    from airflow.models.asset import AssetEvent
    from airflow.sdk import timezone
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy import select

    session = settings.Session()
    events = list(session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run_id)))
    real = _dag(CONSUME)
    dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(real))
    now = timezone.utcnow()
    run = dag.create_dagrun(
        run_id=f"asset_{run_id}",
        run_type=DagRunType.ASSET_TRIGGERED,
        logical_date=None,
        data_interval=None,
        run_after=now,
        start_date=now,
        state="running",
        triggered_by=DagRunTriggeredByType.ASSET,
        session=session,
    )
    run.consumed_asset_events.extend(events)
    session.commit()
    run.dag = dag
    _drive(real, run, session)
    ti = run.get_task_instance("summarise", session=session)
    return [ti.state, ti.xcom_pull(task_ids="summarise", session=session)] if ti else []


@dataclass(frozen=True)
class Answer:
    """What the web server answered."""

    status: int
    headers: dict[str, str]
    text: str


def ask(
    path: str, role: str | None, *, post: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """What Airflow's web server, with the plugin, answers a user of `role`. role: "" has no role at all; None didn't log in."""
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from starlette.testclient import TestClient

    _database()
    if "web" not in KEEP:
        KEEP["web"] = TestClient(create_app(apps="core"), base_url="http://airflow.example", follow_redirects=False)
    client = KEEP["web"]
    client.cookies.clear()
    told = dict(headers or {})
    if role is not None:
        user = SimpleAuthManagerUser(username=f"user of role {role}", role=role or None)
        told["Cookie"] = f"_token={get_auth_manager().generate_jwt(user)}"
    got = client.get(path, headers=told) if post is None else client.post(path, data=dict(post), headers=told)
    return Answer(got.status_code, dict(got.headers), got.text)


def go_on(run_id: str) -> Outcome:
    """Let a run that was cleared go on to its end."""
    from airflow import settings
    from airflow.models.dagrun import DagRun
    from airflow.serialization.serialized_objects import DagSerialization
    from sqlalchemy import select

    session = settings.Session()
    session.expire_all()
    run = session.scalar(select(DagRun).where(DagRun.dag_id == CLEAN, DagRun.run_id == run_id))
    run.state = "running"
    real = _dag(CLEAN)
    run.dag = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(real))
    run.dag.has_on_failure_callback = False  # a DAG processor would call it, and there is none here
    _drive(real, run, session)
    return _outcome(CLEAN, run_id)


TOLD: list[str] = []


class Recorder:
    """A notifier that keeps what it is told, its text rendered as Airflow's own do it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, context: Mapping[str, Any]) -> None:
        from jinja2 import Template

        TOLD.append(Template(self.text).render(**context))


def tell(environ: Mapping[str, str], out: str, key: str) -> tuple[list[str], list[str]]:
    """What a failed run of the DAG says to the log, and to the notifier that `environ` names."""
    import logging
    from types import SimpleNamespace

    from etl.airflow.notify import RunNotifier, read_target

    target, arguments = read_target(environ)
    run = SimpleNamespace(conf={"out": out, "run_key": key}, data_interval_start=None, run_after=datetime.now(UTC))
    context: Any = {"dag": SimpleNamespace(dag_id=CLEAN), "run_id": "manual__1", "dag_run": run}
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("etl.airflow.notify")
    logger.addHandler(handler)
    TOLD.clear()
    try:
        RunNotifier(_module(CLEAN)._describe, target=target, arguments=arguments).notify(context)
    finally:
        logger.removeHandler(handler)
    return lines, list(TOLD)


def notifier_fault(environ: Mapping[str, str]) -> str:
    """The fault of the notifier's settings; empty when they are right."""
    from etl.airflow.notify import read_target
    from etl.errors import ConfigError

    try:
        read_target(environ)
    except ConfigError as error:
        return str(error)
    return ""


def link(base_url: str) -> str:
    """Where the button of a task leads."""
    import os
    from types import SimpleNamespace

    from etl.airflow.link import ReportLink

    os.environ["AIRFLOW__API__BASE_URL"] = base_url
    try:
        key: Any = SimpleNamespace(dag_id=CLEAN, run_id="manual__2026-01-02T00:00:00+00:00")
        return ReportLink().get_link(None, ti_key=key)  # type: ignore[arg-type]
    finally:
        del os.environ["AIRFLOW__API__BASE_URL"]


def plugin_cost() -> tuple[list[str], dict[str, Any]]:
    """Modules that a process which only reads the plugin has, and what the plugin adds."""
    import subprocess

    code = "import sys, etl.airflow.plugin; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    from airflow import plugins_manager

    (plugin,) = [one for one in plugins_manager._get_plugins()[0] if one.name == "winnow"]
    return done.stdout.split(), {"source": str(plugin.source), "views": plugin.external_views}


def read_release(event: Mapping[str, Any]) -> str:
    """The consumer's fault with `event`; empty when it has none."""
    try:
        _module(CONSUME).read_release(event)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def run_plain(inputs: Sequence[str], out: str, key: str, overrides: Mapping[str, str]) -> None:
    """The same run as the command line makes it."""
    from etl import pipeline
    from etl.engine.local import LocalEngine

    with LocalEngine(1) as engine:
        pipeline.run([Path(path) for path in inputs], Path(out), run_key=key, engine=engine, overrides=overrides)


def stage_table() -> list[tuple[str, str, bool, str]]:
    """(name, about, per shard, docstring) of each stage, from the imported table."""
    import inspect

    from etl import pipeline

    return [
        (s.name, s.about, s.per_shard is not None, inspect.getdoc(s.per_shard or s.barrier) or "")
        for s in pipeline.STAGES
    ]


class _breaking:
    """A stage that fails for one shard, while the block lasts."""

    def __init__(self, broken: tuple[str, int] | None) -> None:
        self.broken = broken

    def __enter__(self) -> None:
        from etl import pipeline
        from etl.errors import StageError

        self.stages = pipeline.STAGES
        if self.broken is None:
            return
        name, bad = self.broken

        def failing(stage: Any) -> Any:
            def run(work: str, shard: int) -> Any:
                if shard == bad:
                    raise StageError("the disk is full")
                return stage.per_shard(work, shard)

            return replace(stage, per_shard=run)

        pipeline.STAGES = tuple(failing(s) if s.name == name else s for s in self.stages)  # type: ignore[misc]

    def __exit__(self, *_: object) -> None:
        from etl import pipeline

        pipeline.STAGES = self.stages  # type: ignore[misc]


def _dag(name: str) -> Any:
    """A DAG as its file makes it: a run in this process leaves its params in the DAG it ran."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(PROJECT / "dags" / f"{name}.py")).dags[name]


def _module(name: str) -> Any:
    import importlib.util

    if f"module {name}" not in KEEP:
        spec = importlib.util.spec_from_file_location(name, PROJECT / "dags" / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        KEEP[f"module {name}"] = module
    return KEEP[f"module {name}"]


def _database() -> None:
    if "database" not in KEEP:
        from airflow.utils import db

        db.initdb()
        KEEP["database"] = True


def _drive(dag: Any, run: Any, session: Any) -> None:
    """Run what can be run until the run is finished: the loop of `dag.test()`, on a run that is there already."""
    from airflow.sdk.definitions.dag import _run_task

    until = time.monotonic() + 120
    while run.state == "running":
        assert time.monotonic() < until, "the run doesn't end"
        session.expire_all()
        ready, _ = run.update_state(session=session)
        for ti in ready:
            ti.try_number += 1
            ti.state = "scheduled"
        session.commit()
        for ti in ready:
            _run_task(ti=ti, task=dag.task_dict[ti.task_id])


def _outcome(name: str, run_id: str) -> Outcome:
    from airflow import settings
    from airflow.models.asset import AssetEvent
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    session = settings.Session()
    session.expire_all()
    run = session.scalar(select(DagRun).where(DagRun.dag_id == name, DagRun.run_id == run_id))
    tis = list(session.scalars(select(TaskInstance).where(TaskInstance.dag_id == name, TaskInstance.run_id == run_id)))
    events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run_id))
    return Outcome(
        run_id=run_id,
        state=str(getattr(run.state, "value", run.state)),
        tasks={(ti.task_id, ti.map_index): (str(getattr(ti.state, "value", ti.state)), ti.try_number) for ti in tis},
        labels=sorted({str(ti.rendered_map_index) for ti in tis if ti.map_index >= 0}),
        events=[dict(event.extra) for event in events],
    )
