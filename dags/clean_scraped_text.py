"""Clean scraped text, day by day: raw files in, a released Parquet dataset and its Asset event out.

The tasks are the stages of `etl.pipeline.STAGES`, in that order, after `discover`. A stage that works on shards is
mapped over them; a task hands on paths and counts, never text. Every task waits for the success of all before it: a
shard that failed fails the run and nothing is released, the other shards' work is kept, and clearing the failed shard
with its downstream finishes the run.

What a run is told comes from its form; the form's defaults, and when and how runs start, from the environment:

| variable | default | meaning |
|---|---|---|
| `WINNOW_INPUT` | `data/raw` of the project | files and folders to read, `:` between them; `{run_key}` in a path stands for the run's key, a folder a day |
| `WINNOW_OUT` | `out` of the project | the dataset |
| `WINNOW_CONFIG` | the product's own | configuration folder |
| `WINNOW_SCHEDULE` | `@daily` | cron expression or preset, UTC; `none` for runs by hand only |
| `WINNOW_START_DATE` | `2026-01-01` | first day, UTC |
| `WINNOW_CATCHUP` | `false` | `true`: run the days since the first that had no run |
| `WINNOW_POOL` | `default_pool` | the Airflow pool of all tasks |
| `WINNOW_RETRIES` | `3` | of a task that failed for a reason that may pass |
| `WINNOW_RETRY_DELAY_S` | `30` | before the first retry; it doubles, to 15 minutes at most |
| `WINNOW_TASK_TIMEOUT_H` | `2` | hours after which a task is stopped |
| `WINNOW_NOTIFIER` | none | import path of an Airflow notifier to call when a run failed or is held; the log has it anyway |
| `WINNOW_NOTIFIER_ARGS` | `{}` | its arguments, a JSON object; templates may use `winnow.message` |

Two runs at once: Airflow starts one after the other. A run that comes from elsewhere, from a backfill with more than one
run at once or from the command line, is refused and says which run has the dataset: `.claim.json` beside the data names
it, from `discover` until the run has ended.
"""

from __future__ import annotations

import ast
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import (
    DAG,
    Asset,
    CronTriggerTimetable,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    chain,
    task,
)

from etl.airflow.link import ROUTE, ReportLink
from etl.airflow.notify import RunNotifier, Told, read_target
from etl.config import RUN_KEY, STEPS, check_run_key  # what is imported here is cheap: this file is read all day
from etl.errors import ConfigError, OutdatedError

if TYPE_CHECKING:
    from etl.stages import Plan, StageReport

log = logging.getLogger(__name__)

PROJECT: Final = Path(__file__).resolve().parents[1]
RELEASED: Final = Asset(name="winnow_release", uri="winnow://release", group="winnow")
"""A release happened. The event's extra: path, run_key, rows (by dataset), manifest_hash (of the run's entry there)."""

MAX_RETRY_DELAY: Final = timedelta(minutes=15)
LABEL: Final = "{{ task.op_kwargs['label'] }}"
LABEL_CHARS: Final = 40  # of a folder's name, in a label
KEY_IN_PATH: Final = "{run_key}"
REPORTING: Final = ("report", "gate", "release")
"""The tasks that have a link to the run's report."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the environment says of when and how runs start."""

    cron: str | None
    start: datetime
    catchup: bool
    pool: str
    retries: int
    retry_delay: timedelta
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class StageText:
    """A row of `etl.pipeline.STAGES` as its source tells it. doc: the docstring of its function."""

    name: str
    about: str
    per_shard: bool
    doc: str


def read_schedule(environ: Mapping[str, str]) -> Schedule:
    """The schedule that the variables of `environ` make. Raises ConfigError with every fault."""
    faults: list[str] = []

    def read(name: str, default: str, parse: Callable[[str], Any], expected: str) -> Any:
        text = environ.get(name, "").strip() or default
        try:
            return parse(text)
        except (ValueError, KeyError):
            faults.append(f"environment: {name} is {text!r}; expected {expected}")
            return parse(default)

    cron = read("WINNOW_SCHEDULE", "@daily", str, "")
    schedule = Schedule(
        cron=None if cron.lower() == "none" else cron,
        start=read("WINNOW_START_DATE", "2026-01-01", _midnight, "a day such as 2026-01-31"),
        catchup=read(
            "WINNOW_CATCHUP", "false", lambda text: {"true": True, "false": False}[text.lower()], "true or false"
        ),
        pool=read("WINNOW_POOL", "default_pool", str, ""),
        retries=read("WINNOW_RETRIES", "3", partial(_whole, low=0, high=20), "a whole number from 0 to 20"),
        retry_delay=timedelta(
            seconds=read("WINNOW_RETRY_DELAY_S", "30", partial(_whole, low=0, high=900), "seconds from 0 to 900")
        ),
        timeout=timedelta(
            hours=read("WINNOW_TASK_TIMEOUT_H", "2", partial(_whole, low=1, high=240), "hours from 1 to 240")
        ),
    )
    if faults:
        raise ConfigError(faults)
    return schedule


def read_stages() -> tuple[StageText, ...]:
    """The rows of `etl.pipeline.STAGES`, read from the source: to import it costs more than this whole file may."""
    docs = {
        node.name: ast.get_docstring(node) or ""
        for node in _source("etl.stages").body
        if isinstance(node, ast.FunctionDef)
    }
    tables = [
        node.value
        for node in _source("etl.pipeline").body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "STAGES"
    ]
    rows = []
    for row in tables[0].elts:  # type: ignore[union-attr]
        name, about = (ast.literal_eval(value) for value in row.args)
        function = row.keywords[0]
        rows.append(StageText(name, about, function.arg == "per_shard", docs[function.value.attr]))
    return tuple(rows)


def default_run_key(interval_start: datetime | None, run_after: datetime) -> str:
    """The day on which the run's data interval begins; of the run itself, where it has none (an asset, a call without a date). UTC."""
    return (interval_start or run_after).astimezone(UTC).date().isoformat()


def expand_inputs(inputs: Sequence[str], run_key: str) -> list[str]:
    """`inputs` with the run's key where they say `{run_key}`. A day's folder that isn't there is left out: a day without files."""
    check_run_key(run_key)
    expanded = [(path.replace(KEY_IN_PATH, run_key), KEY_IN_PATH in path) for path in inputs]
    return [path for path, by_day in expanded if not by_day or Path(path).exists()]


def label(number: int, sources: Sequence[str]) -> str:
    """A shard's name in the UI: `shard 3 · news.example · 212 files`, by the folder of its first file.

    A folder's name is scraped text: only what prints is kept, and nothing that a template engine would read.
    """
    folders = sorted({source.partition("/")[0] for source in sources if "/" in source}) or list(sources[:1])
    shown = (
        "".join(c for c in folders[0] if c.isprintable() and c not in "{}%#")[:LABEL_CHARS] if folders else "no files"
    )
    others = f" +{len(folders) - 1}" if len(folders) > 1 else ""
    return f"shard {number} · {shown}{others} · {len(sources)} file{'s' if len(sources) != 1 else ''}"


def _midnight(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)


def _whole(text: str, *, low: int, high: int) -> int:
    number = int(text)
    if not low <= number <= high:
        raise ValueError(text)
    return number


def _source(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _discover(*, params: Mapping[str, Any], dag_run: Any, ti: Any) -> list[dict[str, Any]]:
    """Find what is new and pack it into shards: one small record a shard, none when nothing is new."""
    from airflow.sdk import conf

    from etl import claims, stages
    from etl.config import parse_overrides
    from etl.storage import lock, remove_tree

    out = Path(params["out"])
    named = (
        [("input", path) for path in params["input"]] + [("out", params["out"])] + [("config", params["config"] or "/")]
    )
    if faults := [
        f"{name} is {path!r}; expected a full path, a worker starts in a folder of its own"
        for name, path in named
        if not Path(path).is_absolute()
    ]:
        raise ConfigError(faults)
    key = _run_key(params, dag_run)
    inputs = expand_inputs(params["input"], key)
    if not inputs:
        log.info("nothing new: there is no folder for %s; the run ends here", key)
        return []
    with lock(out):
        _claim(out, key, dag_run, ti)
        plan = stages.discover(
            [Path(path) for path in inputs],
            out,
            run_key=key,
            config=Path(params["config"]) if params["config"] else None,
            skip=params["skip"],
            overrides=parse_overrides(params["set"]),
        )
        claims.note_holder(plan.work, _holder(dag_run))
        if not plan.files:
            remove_tree(plan.work)
            claims.drop_claim(out, _holder(dag_run))
            log.info(
                "nothing new: %s files are settled by other runs, %s are no inputs; the run ends here",
                plan.settled,
                plan.skipped,
            )
            return []
    if len(plan.shards) > (most := conf.getint("core", "max_map_length", fallback=1024)):
        size = f"ingest.shard_bytes={plan.settings.pipeline.ingest.shard_bytes * (len(plan.shards) // most + 1)}"
        raise ConfigError(
            f"{len(plan.shards)} shards; Airflow maps at most {most} (core.max_map_length): set {size}, or more"
        )
    made = stages.plan_hash(plan.work)
    return [
        {"work": str(plan.work), "shard": number, "label": label(number, sources), "plan": made}
        for number, sources in enumerate(plan.shards)
    ]


def _run_key(params: Mapping[str, Any], dag_run: Any) -> str:
    return params["run_key"] or default_run_key(dag_run.data_interval_start, dag_run.run_after)


def _holder(dag_run: Any) -> str:
    return f"{dag_run.dag_id}/{dag_run.run_id}"


def _claim(out: Path, key: str, dag_run: Any, ti: Any) -> None:
    """Hold the dataset for this run until it has ended, or go on holding it. A run that ended loses what it held."""
    from etl import claims

    def ended(held: claims.Claim) -> bool:
        dag_id, _, run_id = held.holder.partition("/")  # a run that Airflow no longer knows counts for none
        return not ti.get_dr_count(dag_id, run_ids=[run_id], states=["running"])

    since = datetime.now(UTC).isoformat(timespec="seconds")
    claims.take_claim(out, claims.Claim(_holder(dag_run), key, since), ended=ended)


def _check_plan(work: str, plan: str) -> None:
    """Raise OutdatedError when the run's work is no longer what its discover planned."""
    from etl.stages import load_plan, plan_hash

    if plan_hash(load_plan(work).work) != plan:
        raise OutdatedError(
            f"another run of the key {Path(work).name} has begun since this one: clear this one from discover, if it is still wanted"
        )


def _run_shard(name: str, work: str, shard: int, plan: str, dag_run: Any, ti: Any) -> dict[str, int]:
    """Run one stage on one shard, on one core: tasks run side by side."""
    os.environ.update(dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "ARROW_NUM_THREADS"), "1"))
    from etl import pipeline
    from etl.storage import lock

    out = _out_of(work)
    with lock(out, shared=True):
        _claim(out, Path(work).name, dag_run, ti)
        _check_plan(work, plan)
        return _told(pipeline.run_shard(name, work, shard))


def _run_barrier(name: str, shards: Sequence[Mapping[str, Any]], dag_run: Any, ti: Any) -> dict[str, int]:
    """Run one stage that needs all shards, while no other run holds the dataset."""
    from etl import claims, pipeline
    from etl.engine.local import LocalEngine, default_workers
    from etl.storage import lock

    work, out = shards[0]["work"], _out_of(shards[0]["work"])
    run = next(stage.barrier for stage in pipeline.STAGES if stage.name == name)
    assert run is not None
    with lock(out), LocalEngine(default_workers()) as engine:
        _claim(out, Path(work).name, dag_run, ti)
        if name != LAST or Path(work).exists():  # killed after its work was done, the last stage has nothing to check
            _check_plan(work, shards[0]["plan"])
        counts = _told(run(work, engine))
        if name == LAST:
            claims.drop_claim(out, _holder(dag_run))
        return counts


def _out_of(work: str) -> Path:
    return Path(work).parents[1]


def _describe(context: Mapping[str, Any]) -> Told:
    """What a notification says of the DAG run in `context`; Airflow leaves out of it what it doesn't know."""
    from etl.stages import read_verdict, work_folder

    dag_run = context.get("dag_run")
    told = DEFAULTS | {"run_key": ""} | dict(getattr(dag_run, "conf", None) or {})
    dag_id, run_id = context["dag"].dag_id, str(context["run_id"])
    key = _run_key(told, dag_run) if dag_run is not None else told["run_key"]
    verdict = read_verdict(work_folder(Path(told["out"]), key) / "report") if key else None
    return Told(
        dag_id=dag_id,
        run_id=run_id,
        run_key=key or "?",
        out=told["out"],
        held=verdict.reasons if verdict is not None and verdict.held else (),
        report=f"/dags/{dag_id}/runs/{run_id}/plugin/{ROUTE}",
    )


def _let_go(context: Mapping[str, Any]) -> None:
    """End the claim of a DAG run that failed: others may go on, and when it is cleared it claims the dataset again."""
    from etl import claims

    told = _describe(context)
    claims.drop_claim(Path(told.out), f"{told.dag_id}/{told.run_id}")


def _told(report: StageReport) -> dict[str, int]:
    return dict(report.counts)


def _event(plan: Plan) -> dict[str, Any]:
    """What the release's Asset event carries: enough to read exactly this release and to know that it is this one."""
    from etl.publish import dataset

    entry = dataset.read_manifest(Path(plan.out))["runs"][plan.run_key]
    rows = {name: entry["datasets"][name]["rows"] for name in dataset.DATASETS}
    return {"path": plan.out, "run_key": plan.run_key, "rows": rows, "manifest_hash": entry["release"]}


def _shard_task(stage: StageText) -> Any:
    @task(task_id=stage.name, doc_md=_page(stage), map_index_template=LABEL)
    def run(work: str, shard: int, label: str, plan: str, *, dag_run: Any = None, ti: Any = None) -> dict[str, int]:
        log.info("%s: %s", stage.about, label)
        return _run_shard(stage.name, work, shard, plan, dag_run, ti)

    return run


def _barrier_task(stage: StageText) -> Any:
    @task(task_id=stage.name, doc_md=_page(stage))
    def run(shards: Sequence[Mapping[str, Any]], *, dag_run: Any = None, ti: Any = None) -> dict[str, int]:
        return _run_barrier(stage.name, shards, dag_run, ti)

    return run


def _release_task(stage: StageText) -> Any:
    @task(task_id=stage.name, doc_md=_page(stage), outlets=[RELEASED])
    def run(
        shards: Sequence[Mapping[str, Any]],
        *,
        params: Any = None,
        outlet_events: Any = None,
        dag_run: Any = None,
        ti: Any = None,
    ) -> dict[str, int]:
        from airflow.sdk.exceptions import AirflowSkipException

        from etl.claims import drop_claim
        from etl.stages import load_plan, stale_runs

        work = shards[0]["work"]
        if params["dry_run"]:
            drop_claim(_out_of(work), _holder(dag_run))
            raise AirflowSkipException(
                f"dry run: nothing is released; what would be lies in {work}/release, its report in {work}/report"
            )
        counts = _run_barrier(stage.name, shards, dag_run, ti)
        outlet_events[RELEASED].extra = _event(load_plan(work))
        for key, changed in stale_runs(_out_of(work)).items():
            log.warning(
                "run %s is stale: %s changed since it ran; run it again, in order of key", key, ", ".join(changed)
            )
        return counts

    return run


def _page(stage: StageText) -> str:
    over = "Mapped: one task a shard." if stage.per_shard else "One task for all shards."
    return f"**{stage.about[0].upper()}{stage.about[1:]}.**\n\n{stage.doc}\n\n{over}"


def _defaults(environ: Mapping[str, str]) -> dict[str, Any]:
    inputs = [path for path in environ.get("WINNOW_INPUT", "").split(os.pathsep) if path.strip()]
    return {
        "input": inputs or [str(PROJECT / "data" / "raw")],
        "out": environ.get("WINNOW_OUT", "").strip() or str(PROJECT / "out"),
        "config": environ.get("WINNOW_CONFIG", "").strip() or None,
    }


STAGES: Final = read_stages()
LAST: Final = STAGES[-1].name
SCHEDULE: Final = read_schedule(os.environ)
DEFAULTS: Final = _defaults(os.environ)
NOTIFIER, NOTIFIER_ARGS = read_target(os.environ)

with DAG(
    dag_id="clean_scraped_text",
    dag_display_name="Clean scraped text",
    description="Raw scraped files in; clean, deduplicated Parquet with every removal explained out",
    doc_md=f"{__doc__}\n## Tasks\n\n- **discover**: find what is new\n"
    + "\n".join(f"- **{s.name}**: {s.about}" for s in STAGES),
    # Explicit: what a bare cron string means, a day's start or its end, is an option of the Airflow that runs this.
    schedule=CronTriggerTimetable(SCHEDULE.cron, timezone="UTC") if SCHEDULE.cron else None,
    start_date=SCHEDULE.start,
    catchup=SCHEDULE.catchup,
    is_paused_upon_creation=True,
    max_active_runs=1,  # two runs would take the same files: the second waits
    on_failure_callback=[_let_go, RunNotifier(_describe, target=NOTIFIER, arguments=NOTIFIER_ARGS)],
    tags=["winnow"],
    default_args={
        "owner": "winnow",
        "pool": SCHEDULE.pool,
        "retries": SCHEDULE.retries,
        "retry_delay": SCHEDULE.retry_delay,
        "retry_exponential_backoff": True,
        "max_retry_delay": MAX_RETRY_DELAY,
        "retry_policy": ExceptionRetryPolicy(  # StageError, a full disk, a killed worker: retried, as told above
            rules=[
                RetryRule(
                    exception=[
                        "etl.errors.ConfigError",
                        "etl.errors.InputError",
                        "etl.errors.HeldError",
                        "etl.errors.OutdatedError",
                    ],
                    action=RetryAction.FAIL,
                    reason="the same would happen again: change the configuration or the input, or approve the run",
                ),
            ]
        ),
        "execution_timeout": SCHEDULE.timeout,
    },
    params={
        "input": Param(
            DEFAULTS["input"],
            type="array",
            items={"type": "string"},
            minItems=1,
            title="Input",
            description="Files and folders, full paths, one a line. {run_key} in a path stands for the run's key.",
        ),
        "out": Param(
            DEFAULTS["out"],
            type="string",
            minLength=1,
            title="Dataset",
            description="The dataset's folder, a full path.",
        ),
        "run_key": Param(
            None,
            type=["null", "string"],
            pattern=f"^{RUN_KEY.pattern}$",
            title="Run key",
            description="Empty: the day of the run's data interval. A key that ran before is replaced.",
        ),
        "skip": Param(
            [],
            type="array",
            items={"type": "string", "enum": list(STEPS)},
            examples=list(STEPS),
            title="Skip steps",
            description="Steps to leave out.",
        ),
        "config": Param(
            DEFAULTS["config"],
            type=["null", "string"],
            title="Configuration folder",
            description="Empty: the product's own.",
        ),
        "set": Param(
            [],
            type="array",
            items={"type": "string"},
            title="Options",
            description="One a line, such as sentence_dedup.scope=document.",
        ),
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Do everything up to the gate, release nothing."
        ),
    },
) as dag:

    @task.short_circuit(
        doc_md="**Find what is new and pack it into shards.**\n\nFiles that another run settled are left out. When nothing is new the run ends here, green."
    )
    def discover(*, params: Any = None, dag_run: Any = None, ti: Any = None) -> list[dict[str, Any]]:
        """Find what is new."""
        return _discover(params=params, dag_run=dag_run, ti=ti)

    shards = discover()
    steps: list[Any] = [shards]
    for stage in STAGES:
        if stage.per_shard:
            steps.append(_shard_task(stage).expand_kwargs(shards))
        elif stage.name == "release":
            steps.append(_release_task(stage)(shards))
        else:
            steps.append(_barrier_task(stage)(shards))
    for stage, step in zip(STAGES, steps[1:], strict=True):
        if stage.name in REPORTING:
            step.operator.operator_extra_links = (ReportLink(),)
    chain(*steps)
