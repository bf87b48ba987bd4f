"""The stages in their order, and a run of them all. The DAG walks the same table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from etl import stages
from etl.claims import check_unclaimed, holder_of
from etl.config import check_run_key
from etl.engine import nursery
from etl.engine.local import LocalEngine, give_memory_back
from etl.errors import StageError
from etl.stages import Plan, StageReport
from etl.storage import lock


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the table. per_shard: takes (work, shard) for each shard; otherwise a barrier, (work, engine), once.

    about: what it does, for progress lines and the task's page.
    """

    name: str
    about: str
    per_shard: Callable[[str, int], StageReport] | None = None
    barrier: Callable[[str, LocalEngine], StageReport] | None = None


STAGES: Final = (
    Stage("prepare", "read and repair", per_shard=stages.prepare),
    Stage("templates", "find each site's recurring lines", barrier=stages.count_templates),
    Stage("clean", "mark boilerplate", per_shard=stages.clean),
    Stage("duplicates", "find duplicate sentences and documents", barrier=stages.find_duplicates),
    Stage("write", "cut, check and write", per_shard=stages.write),
    Stage("report", "count and explain", barrier=stages.report),
    Stage("gate", "hold the run against its limits", barrier=stages.gate),
    Stage("release", "put the new dataset in place", barrier=stages.release),
    Stage("settle", "tidy up", barrier=stages.settle),
)


class Progress(Protocol):
    """Told how a run goes on."""

    def begin(self, stage: Stage, shards: int) -> None:
        """`stage` starts, over `shards` shards (1 for a barrier)."""

    def advance(self, stage: Stage, report: StageReport) -> None:
        """One shard, or the barrier, is done."""

    def end(self, stage: Stage, report: StageReport) -> None:
        """`stage` is done; counts are summed over its shards."""


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run. stages: one report a stage, summed over its shards. plan: what it read."""

    plan: Plan
    stages: tuple[StageReport, ...]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Counts by stage."""
        return {report.stage: report.counts for report in self.stages}


class Silent:
    """Progress that says nothing."""

    def begin(self, stage: Stage, shards: int) -> None:
        """Nothing."""

    def advance(self, stage: Stage, report: StageReport) -> None:
        """Nothing."""

    def end(self, stage: Stage, report: StageReport) -> None:
        """Nothing."""


LOOKED_AT: Final = 2000
LARGE_BYTES: Final = 8 << 20  # of input, from which on there is surely more than one shard


def run(
    inputs: Sequence[Path],
    out: Path,
    *,
    run_key: str,
    engine: LocalEngine,
    config: Path | None = None,
    skip: Sequence[str] = (),
    overrides: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    take_over: bool = False,
) -> Result:
    """Clean `inputs` into the dataset at `out` under `run_key`, replacing what that key wrote before.

    Raises ConfigError before any work, HeldError when a gate holds the release (the work folder stays), StageError when
    a shard failed: nothing is published then. When every input is settled by other runs the plan has no files, and
    nothing is touched. take_over: a scheduler's run that claims the dataset loses its claim; else it is a StageError.
    """
    with lock(out):
        check_unclaimed(out, take_over=take_over)
        if _is_large(inputs):
            stages.preload_shared()
            engine.start(stages.__name__)
        nursery.make_up()
        plan = stages.discover(inputs, out, run_key=run_key, config=config, skip=skip, overrides=overrides)
        if plan.nothing_new:
            shutil.rmtree(plan.work, ignore_errors=True)
            return Result(plan, ())
        return _carry_out(plan, engine, progress or Silent())


def redo(
    out: Path, *, engine: LocalEngine, keys: Sequence[str] = (), progress: Progress | None = None
) -> Iterator[Result]:
    """Do released runs again, each as it was told: `keys`, and every run that is stale or becomes so, in order of key.

    A run is stale when an earlier one changed under it, or when it holds a source that was forgotten. One whose release
    comes out as it was makes no later run stale. Yields each run as it is done; stopped halfway, the rest stay stale.
    """
    waiting, last = set(keys), ""
    while True:
        with lock(out):
            check_unclaimed(out)
            history = stages.history_of(out)
            waiting &= history.runs.keys()
            ahead = [key for key in waiting | history.stale().keys() | history.remembered().keys() if key > last]
            if not ahead:
                return
            last = min(ahead)
            result = _carry_out(stages.rediscover(out, run_key=last), engine, progress or Silent())
        yield result


def forget(
    sources: Sequence[str], out: Path, *, engine: LocalEngine, progress: Progress | None = None
) -> Iterator[Result]:
    """Take `sources` (raw files or folders, as the column source names them) out of the dataset at `out`, for good.

    The runs that hold them are done again without them, then those that dropped something because they had it. Raises
    ConfigError before anything changes when a source is in no run, or a raw file is missing that is needed for it.
    """
    with lock(out):
        check_unclaimed(out)
        stages.mark_forgotten(sources, out)
    yield from redo(out, engine=engine, progress=progress)


def _carry_out(plan: Plan, engine: LocalEngine, progress: Progress) -> Result:
    if len(plan.shards) == 1 and engine.workers > 1:  # in this process, and there is a core to spare
        stages.warm(plan)
    return Result(plan, tuple(run_stage(stage, plan, engine, progress) for stage in STAGES))


def approve(
    out: Path,
    *,
    run_key: str,
    engine: LocalEngine,
    by: str,
    at: str,
    note: str = "",
    progress: Progress | None = None,
) -> Result:
    """Release the run `run_key`, which a gate holds, in the name of `by`: what was done before is not done again.

    at: ISO time. Where a scheduler does the run's work it is only approved, and the scheduler must ask the gate again: the
    result has no stages then. Raises ConfigError when no such run is held.
    """
    progress = progress or Silent()
    with lock(out):
        check_unclaimed(out)
        work = stages.work_folder(out, check_run_key(run_key))
        stages.approve(work, by=by, at=at, note=note)
        plan = stages.load_plan(work)
        if holder_of(work):
            return Result(plan, ())
        last = STAGES[[stage.name for stage in STAGES].index("gate") :]
        return Result(plan, tuple(run_stage(stage, plan, engine, progress) for stage in last))


def _is_large(inputs: Sequence[Path]) -> bool:
    """Whether there is so much input that all workers will be wanted; at most a few thousand files are looked at."""
    sizes = (
        file.stat().st_size
        for path in inputs
        if path.exists()
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.is_file()
    )
    total = 0
    for size in islice(sizes, LOOKED_AT):
        total += size
        if total >= LARGE_BYTES:
            return True
    return False


def run_stage(stage: Stage, plan: Plan, engine: LocalEngine, progress: Progress) -> StageReport:
    """Run one stage over all its shards. Raises StageError naming every shard that failed, after the others are done."""
    work = str(plan.work)
    shards = len(plan.shards) if stage.per_shard else 1
    progress.begin(stage, shards)
    if stage.per_shard is None:
        assert stage.barrier is not None
        report = stage.barrier(work, engine)
        give_memory_back()
        progress.advance(stage, report)
    else:
        most = plan.settings.pipeline.limits.max_failed_shards
        reports, failed = [], []
        for number, outcome in engine.map_shards(stage.per_shard, [(work, shard) for shard in range(shards)]):
            if isinstance(outcome, Exception):
                failed.append((number, outcome))
                if len(failed) > most:
                    engine.close()  # ends the shards under way: their files appear by rename, or not at all
                    raise _failure(stage, plan, sorted(failed, key=lambda item: item[0]), left_out=True)
            else:
                reports.append(outcome)
                progress.advance(stage, outcome)
        if failed:
            raise _failure(stage, plan, sorted(failed, key=lambda item: item[0]))
        report = stages.total(stage.name, sorted(reports, key=lambda r: r.shard))
    progress.end(stage, report)
    return report


def run_shard(name: str, work: str, shard: int) -> StageReport:
    """Run the stage `name` on one shard, for a scheduler that runs each shard by itself.

    Raises StageError when so many others of the stage failed (limits.max_failed_shards) that this one isn't worth trying;
    one that was tried before is tried again.
    """
    run = next(stage.per_shard for stage in STAGES if stage.name == name)
    assert run is not None
    plan = stages.load_plan(work)
    failed = stages.failed_shards(plan, name)
    if shard not in failed and len(failed) > plan.settings.pipeline.limits.max_failed_shards:
        raise StageError(
            f"{len(failed)} shards of {name} failed, which is more than limits.max_failed_shards: this one is left untried; "
            "clear those first, or all together"
        )
    try:
        report = run(work, shard)
    except Exception:
        stages.mark_shard(plan, name, shard, failed=True)
        raise
    stages.mark_shard(plan, name, shard, failed=False)
    return report


def _failure(
    stage: Stage, plan: Plan, failed: Sequence[tuple[int, Exception]], *, left_out: bool = False
) -> StageError:
    told = [
        f"shard {number} ({', '.join(plan.shards[number][:3])}{', …' if len(plan.shards[number]) > 3 else ''}): {type(error).__name__}: {error}"
        for number, error in failed
    ]
    rest = ["limits.max_failed_shards is passed: the other shards were left untried"] if left_out else []
    error = StageError(
        f"{stage.name} failed in {len(failed)} of {len(plan.shards)} shards; nothing was published\n"
        + "\n".join(told + rest)
    )
    error.__cause__ = failed[0][1]
    return error
