"""The command line: `etl run`, and the commands that tell what became of the text.

Starts fast: what is slow to import is imported inside the command that needs it. Whatever came out of a scraped page is
made visible before it is printed, so that no page can steer the terminal.
"""

from __future__ import annotations

import atexit
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from etl.errors import ConfigError, EtlError, HeldError
from etl.report.visible import one_line, visible

if TYPE_CHECKING:
    from rich.progress import TaskID

    from etl import explain
    from etl.engine.local import LocalEngine
    from etl.ingest.discover import SourceFile
    from etl.pipeline import Progress, Result, Stage
    from etl.stages import StageReport

DONE: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
HELD: Final = 3
INTERRUPTED: Final = 130
OUT_VARIABLE: Final = "WINNOW_OUT"
VERBOSE: Final = "etl.verbose"
SHOWN_CHARS: Final = 300

F = TypeVar("F", bound=Callable[..., Any])

EPILOG: Final = """\b
The three commands used most:
  etl run pages/ --out out         clean a folder of scraped pages
  etl why "Sign up for our newsletter" --out out
                                   what became of a sentence, and why
  etl show raw/page-17.html --out out
                                   a document with its cuts marked

\b
Every command tells more: etl run --help
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 held by a gate.
"""


class Commands(click.Group):
    """Commands in the order in which they were added; errors become messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and leave with the code that DESIGN.md gives its outcome."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _error("stopped; the same command may be run again, and replaces what this one left")
            ctx.exit(INTERRUPTED)
        except HeldError as error:
            for reason in error.reasons:
                _error(f"held: {reason}")
            for note in getattr(error, "__notes__", ()):
                _error(note)
            ctx.exit(HELD)
        except ConfigError as error:
            for fault in error.faults:
                _error(fault)
            ctx.exit(WRONG_USE)
        except EtlError as error:
            _error(str(error))
            _trace(ctx)
            ctx.exit(FAILED)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise
        except Exception as error:  # the boundary to the person who runs it  # noqa: BLE001
            told = f"{type(error).__name__}: {error}"
            remedy = "" if ctx.meta.get(VERBOSE) else "; run the same command with -v for the whole story"
            _error(f"failed, and what was published before is as it was. {told}{remedy}")
            _trace(ctx)
            ctx.exit(FAILED)


def _set_verbosity(ctx: click.Context, _: click.Parameter, value: int) -> None:
    if value:
        import logging

        ctx.meta[VERBOSE] = value
        logging.basicConfig(
            level=logging.DEBUG if value > 1 else logging.INFO,
            format="%(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )


def verbose_option(command: F) -> F:
    """`-v`: log what is done, show the traceback of a failure; `-vv` logs each document."""
    text = "Log what is done, and show the traceback of a failure; -vv logs more."
    return click.option("-v", "--verbose", count=True, expose_value=False, callback=_set_verbosity, help=text)(command)


def out_option(command: F) -> F:
    """`--out` of the commands that read a dataset."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        envvar=OUT_VARIABLE,
        default=Path("out"),
        show_default="./out",
        show_envvar=True,
        help="The dataset: the folder that etl run wrote to.",
    )(command)


def json_option(command: F) -> F:
    """`--json`: the answer for a program."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")(command)


def key_option(command: F) -> F:
    """`--run-key` of the commands that read a dataset."""
    return click.option(
        "--run-key", default="", metavar="KEY", help="Look at this run only.  [default: all, or the last]"
    )(command)


def told_options(command: F) -> F:
    """What a run is told beside its inputs: `--skip`, `--set`."""
    skip = click.option(
        "--skip",
        "skip",
        multiple=True,
        metavar="STEP",
        help="Leave a step out: repair, boilerplate, sentence_dedup or document_dedup. May be given again.",
    )
    sets = click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set one value of the configuration, such as sentence_dedup.scope=document. May be given again.",
    )
    return skip(sets(command))


def workers_option(command: F) -> F:
    """`--workers`."""
    text = "Processes that share the work.  [default: one a core]"
    return click.option("--workers", type=click.IntRange(min=1), default=None, metavar="N", help=text)(command)


@click.group(
    cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="winnow-etl", prog_name="etl", message="Winnow %(version)s")
def cli() -> None:
    """Turn scraped pages into a clean, deduplicated Parquet dataset, and tell what became of every character.

    Raw files are never changed. What is cut is kept beside the text with its rule and reason, so "why was this sentence
    dropped?" always has an answer.
    """


@cli.command(short_help="Clean files or folders into a dataset.")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=OUT_VARIABLE,
    required=True,
    show_envvar=True,
    help="The dataset: a folder, made if it is not there.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=None,
    metavar="DIR",
    help="A folder of configuration laid over the product's own.",
)
@click.option(
    "--run-key",
    default="",
    metavar="KEY",
    help="Names the run; a key that ran before is replaced.  [default: today, UTC]",
)
@told_options
@click.option(
    "--engine", type=click.Choice(["local", "spark"]), default="local", show_default=True, help="What does the work."
)
@workers_option
@click.option(
    "--take-over",
    is_flag=True,
    help="Run although a scheduler's run has taken the dataset and not ended; that run then stops.",
)
@json_option
@verbose_option
def run(
    inputs: tuple[Path, ...],
    out: Path,
    config: Path | None,
    run_key: str,
    skip: tuple[str, ...],
    sets: tuple[str, ...],
    engine: str,
    workers: int | None,
    take_over: bool,
    as_json: bool,
) -> None:
    """Clean INPUT, files or folders, into the dataset at --out.

    Reads .txt .html .htm .jsonl .ndjson .csv .parquet .warc .wet, each also .gz .zst .bz2 .xz. Files that earlier runs
    took are left out unless they have changed. A file that can't be read becomes a row of rejects/, and the run goes on.

    \b
    Examples:
      etl run pages/ --out out
      etl run 2026-01-31/*.warc.gz --out out --run-key 2026-01-31
      etl run pages/ --out out --set sentence_dedup.scope=document
      etl run pages/ --out raw-but-repaired --skip boilerplate --skip sentence_dedup

    \b
    Writes:
      OUT/documents/run=KEY/    the clean text, a row a document
      OUT/removals/run=KEY/     every cut, with its rule, reason and place
      OUT/rejects/run=KEY/      what could not be read, and why
      OUT/_reports/KEY/         the report of the run, index.html
    """
    if engine == "spark":
        raise click.UsageError("the Spark engine is not part of this version; use --engine local")
    from etl.engine import nursery

    with nursery.importing():
        from etl import pipeline
    from etl.config import parse_overrides
    from etl.engine.local import LocalEngine, default_workers

    key = run_key or datetime.now(UTC).date().isoformat()
    overrides = parse_overrides(sets)
    told = {"run_key": key, "config": config, "skip": skip, "overrides": overrides, "take_over": take_over}
    try:
        with LocalEngine(workers or default_workers()) as workforce, _progress() as progress:
            result = pipeline.run(inputs, out, engine=workforce, progress=progress, **told)  # type: ignore[arg-type]
    except HeldError as error:
        work = out / "_work" / key
        error.add_note(
            f"the work of run {key} is done and waits in {work}; its report is {work / 'report' / 'index.html'}"
        )
        error.add_note(
            f"if it is right, release it: etl approve {_out_argument(out)} --run-key {shlex.quote(key)}; "
            "if not, mend the input or the limit (--set gate.NAME=VALUE) and run the same key again"
        )
        raise
    _tell_result(result, out, as_json=as_json)


@cli.command(short_help="Release a run that a gate holds.")
@out_option
@click.option("--run-key", required=True, metavar="KEY", help="The held run.")
@click.option("--by", default="", metavar="NAME", help="Who approves it.  [default: the user of this machine]")
@click.option("--note", default="", metavar="TEXT", help="Why it is right.")
@workers_option
@json_option
@verbose_option
def approve(out: Path, run_key: str, by: str, note: str, workers: int | None, as_json: bool) -> None:
    """Release a run that a gate holds, as it is: nothing is done again. The report keeps who approved it, when and why.

    The reasons for which it is held are in its report, OUT/_work/KEY/report/index.html. A run of Airflow is released by
    Airflow: clear its task gate afterwards, or use the button on its report there, which does both.

    \b
    Examples:
      etl approve --run-key 2026-01-31 --out out
      etl approve --run-key 2026-01-31 --note "the site shut its archive"
    """
    from getpass import getuser

    from etl import pipeline
    from etl.claims import holder_of
    from etl.engine.local import LocalEngine, default_workers

    with LocalEngine(workers or default_workers()) as workforce, _progress() as progress:
        result = pipeline.approve(
            out,
            run_key=run_key,
            engine=workforce,
            by=by or getuser(),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            note=note,
            progress=progress,
        )
    if not result.stages:
        told = f"run {run_key} is approved; Airflow does its work: clear the task gate of {holder_of(result.plan.work)} there"
        if as_json:
            _print_json({"run": run_key, "approved": True, "released": False})
        else:
            click.echo(visible(told))
        return
    _tell_result(result, out, as_json=as_json)


@cli.command(short_help="Tell what became of a sentence, and why.")
@click.argument("sentence")
@out_option
@key_option
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Places to tell of.")
@json_option
@verbose_option
def why(sentence: str, out: Path, run_key: str, limit: int, as_json: bool) -> None:
    """Tell what became of SENTENCE: cut by which rule and why, or kept, and where.

    Letter case, white space and the kind of quotes don't matter; a part of a sentence will do. For a duplicate, the copy
    that stays is told too, with the text around it.

    \b
    Examples:
      etl why "Sign up for our newsletter"
      etl why "said the minister on Tuesday" --out out --limit 3
      etl why "All rights reserved" --json
    """
    from dataclasses import asdict

    from etl import explain

    answer = explain.why(out, sentence, run_key=run_key, limit=limit)
    if as_json:
        _print_json(asdict(answer))
    elif answer.fates:
        for number, fate in enumerate(answer.fates):
            if number:
                click.echo()
            _tell_fate(fate)
        if answer.more:
            click.echo(f"\nIt is in more places; --limit {limit * 10} tells of more.")
    else:
        click.echo("Not found in any run." if not run_key else f"Not found in run {visible(run_key)}.")
        if answer.nearest:
            click.echo("Removed texts that are like it:")
            for text in answer.nearest:
                click.echo(f"  {_short(text)}")
        else:
            click.echo(
                "It may have been repaired (mojibake, entities) or its file rejected: try a few words of it, or see rejects/."
            )
    if not answer.fates:
        click.get_current_context().exit(FAILED)


@cli.command(short_help="Print a document with its cuts marked.")
@click.argument("doc_id", metavar="DOC_ID|SOURCE")
@out_option
@key_option
@click.option(
    "--color/--no-color",
    default=None,
    help="Mark cuts by colour, or as [-text-]{rule}.  [default: colour on a terminal]",
)
@json_option
@verbose_option
def show(doc_id: str, out: Path, run_key: str, color: bool | None, as_json: bool) -> None:
    """Print a document as it was before the cuts, with what was cut marked.

    DOC_ID may be shortened as long as it fits one document; the path of its raw file, as in the column source, will do
    too. Kept and removed text together are the whole repaired text.

    \b
    Examples:
      etl show 3f8a12c0
      etl show news/2026/page-17.html --out out
      etl show 3f8a12c0 --color | less -R
    """
    from dataclasses import asdict

    from etl import explain

    shown = explain.show(out, doc_id, run_key=run_key)
    if as_json:
        _print_json(asdict(shown) | {"text": shown.text})
    else:
        _tell_document(shown, color=_wants_color() if color is None else color)


@cli.command(short_help="List the runs, and which should be run again.")
@out_option
@json_option
@verbose_option
def status(out: Path, as_json: bool) -> None:
    """List the runs of a dataset, those that should be run again, and unfinished work.

    A run is stale when an earlier run was added or replaced after it: it was deduplicated against a history that is no
    longer so. `etl redo` does such runs again.

    \b
    Examples:
      etl status
      etl status --out out --json
    """
    from dataclasses import asdict

    from etl import explain

    runs, unfinished = explain.status(out)
    if as_json:
        _print_json({"runs": [asdict(one) for one in runs], "unfinished": [asdict(one) for one in unfinished]})
        return
    if not runs:
        click.echo(f"{visible(str(out))} holds no released run.")
    else:
        rows = [
            (
                r.run,
                _num(r.documents),
                _num(r.removals),
                _num(r.rejects),
                "?" if r.duplicates < 0 else _num(r.duplicates),
                _num(len(r.history)),
                _notes(r),
            )
            for r in runs
        ]
        _table(("run", "documents", "removals", "rejects", "duplicates", "earlier runs seen", ""), rows)
    stale = [one for one in runs if one.stale or one.to_forget]
    if stale:
        told = ", ".join(visible(one.run) for one in stale[:10]) + (", …" if len(stale) > 10 else "")
        click.echo(f"\nStale, since what came before has changed or is to be forgotten: {told}")
        click.echo(f"  etl redo {_out_argument(out)}   does them again, in order, each as it was told")
    for work in unfinished:
        done = f"after {work.done}" if work.done else "before its first stage was done"
        click.echo(
            f"\nUnfinished: run {visible(work.run)} stopped {done}, or is still at work, in {visible(str(work.folder))}."
        )
        click.echo(
            f"  etl run INPUT... {_out_argument(out)} --run-key {shlex.quote(visible(work.run))} starts it again."
        )


@cli.command(short_help="Do stale runs again, each as it was told.")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@out_option
@workers_option
@json_option
@verbose_option
def redo(keys: tuple[str, ...], out: Path, workers: int | None, as_json: bool) -> None:
    """Do released runs again: those named, and every run that is stale (etl status lists them), in order of key.

    Each reads the raw files it read before, under the configuration it had. Where a run comes out as it was, the runs
    after it are not done again for its sake. May be stopped and started again.

    \b
    Examples:
      etl redo
      etl redo 2026-01-12 --out out
    """
    from etl import pipeline

    _check_runs(out, keys)
    _tell_redone(
        lambda engine, progress: pipeline.redo(out, keys=keys, engine=engine, progress=progress), workers, as_json
    )


@cli.command(short_help="Take a source out of the dataset and its history.")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@out_option
@workers_option
@json_option
@verbose_option
def forget(sources: tuple[str, ...], out: Path, workers: int | None, as_json: bool) -> None:
    """Take SOURCE, a raw file or a folder of them as the column source names it, out of the dataset and its history.

    The runs that hold it are done again without it, then later runs whose history that changes: what was dropped only
    because SOURCE had it comes back. No later run reads SOURCE again, though the raw file stays where it is. Needs the
    raw files of those runs; says so before anything changes when one is gone. May be stopped; etl redo then goes on.

    \b
    Examples:
      etl forget news/2026/page-17.html
      etl forget news/badsite.example --out out
    """
    from etl import pipeline

    _check_runs(out, ())
    _tell_redone(
        lambda engine, progress: pipeline.forget(sources, out, engine=engine, progress=progress), workers, as_json
    )


@cli.command(short_help="Print a run's figures, and where its page is.")
@out_option
@key_option
@click.option("--examples", default=3, show_default=True, type=click.IntRange(min=0), help="Removals to print.")
@json_option
@verbose_option
def report(out: Path, run_key: str, examples: int, as_json: bool) -> None:
    """Print a run's figures, and where its report is: a page that opens in any browser.

    \b
    Examples:
      etl report
      etl report --out out --run-key 2026-01-31
      etl report --json | jq .totals
    """
    from etl import explain

    metrics, page = explain.read_metrics(out, run_key)
    if as_json:
        _print_json(metrics)
        return
    click.echo(f"Run {visible(metrics['run'])}")
    _tell_totals(metrics["totals"])
    if metrics["by_stage"]:
        click.echo()
        _table(
            ("removed by", "removals", "characters", "of the text"),
            [
                (s["stage"], _num(s["n"]), _num(s["chars"]), _share(s["chars"], metrics["totals"]["chars_repaired"]))
                for s in metrics["by_stage"]
            ],
        )
        largest = sorted(metrics["rules"], key=lambda rule: (-rule["chars"], rule["rule"], rule["unit"]))[:10]
        click.echo()
        _table(
            ("rules that took most", "unit", "removals", "characters"),
            [(r["rule"], r["unit"], _num(r["n"]), _num(r["chars"])) for r in largest],
            left=2,
        )
    if metrics["errors"]:
        click.echo()
        _table(
            ("rejects", "", "the first of them"),
            [(e["error"], _num(e["n"]), f"{e['source']}: {e['message']}") for e in metrics["errors"]],
        )
    for sample in _examples(metrics["samples"], examples):
        text = " ".join(sample["text"].split())
        click.echo(
            f"\n- {visible(text)}\n  {visible(sample['source'])}, {sample['unit']} at {_num(sample['start_at'])}, rule {sample['rule']}: {visible(sample['reason'])}"
        )
    click.echo(f"\nReport: {visible(str(page))}")


def _examples(samples: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The first sample of each of `count` rules; rules of different steps first."""
    firsts = [sample for sample in samples if sample["place"] == 1]
    by_step = {sample["stage"]: sample for sample in reversed(firsts)}
    fresh = [sample for sample in firsts if sample is by_step[sample["stage"]]]
    return (fresh + [sample for sample in firsts if sample not in fresh])[:count]


@cli.command(short_help="Check files, hashes, schemas, and that nothing is lost.")
@out_option
@json_option
@verbose_option
def verify(out: Path, as_json: bool) -> None:
    """Check a dataset: files and hashes against the manifest, schemas, and that kept + removed is the whole text.

    \b
    Examples:
      etl verify
      etl verify --out out --json
    """
    from etl.publish import dataset

    faults = dataset.verify(out)
    runs = dataset.read_manifest(out)["runs"]
    files = sum(len(listed["files"]) for entry in runs.values() for listed in entry["datasets"].values())
    documents = sum(entry["datasets"]["documents"]["rows"] for entry in runs.values())
    if as_json:
        _print_json({"faults": faults, "runs": len(runs), "files": files, "documents": documents})
    elif not faults:
        click.echo(
            f"verified: {_count(len(runs), 'run')}, {_count(files, 'file')}, {_count(documents, 'document')}; nothing is lost"
        )
    else:
        for fault in faults:
            click.echo(visible(fault))
    if faults:
        click.get_current_context().exit(FAILED)


@cli.command(short_help="Tell what a changed configuration would remove.")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=None,
    metavar="DIR",
    help="Configuration before the change.  [default: the product's own]",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    default=None,
    metavar="DIR",
    help="Configuration after it.  [default: the same]",
)
@told_options
@click.option(
    "--limit", type=click.IntRange(min=1), default=200, show_default=True, help="Files to try it on, spread over INPUT."
)
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Changed removals to print for each rule.",
)
@workers_option
@json_option
@verbose_option
def diff(
    inputs: tuple[Path, ...],
    config: Path | None,
    against: Path | None,
    skip: tuple[str, ...],
    sets: tuple[str, ...],
    limit: int,
    samples: int,
    workers: int | None,
    as_json: bool,
) -> None:
    """Tell what a changed configuration would remove, before it does.

    Cleans some files of INPUT twice, in a temporary folder: as --config says, then as --against says or with --set and
    --skip. No dataset is touched, and no history is used.

    \b
    Examples:
      etl diff pages/ --against my-config/
      etl diff pages/ --set boilerplate.model.threshold=0.7
      etl diff pages/ --skip sentence_dedup --limit 50
    """
    if against is None and not sets and not skip:
        raise click.UsageError("nothing is changed; give --against DIR, --set KEY=VALUE or --skip STEP")
    import tempfile
    from dataclasses import asdict

    from etl import explain, pipeline
    from etl.config import parse_overrides
    from etl.engine.local import LocalEngine, default_workers

    overrides = parse_overrides(sets)
    found = _found_inputs(inputs)
    chosen = found[:: max(1, -(-len(found) // limit))]
    if not chosen:
        raise ConfigError("INPUT holds no file that can be read; etl run --help lists the formats")
    with (
        tempfile.TemporaryDirectory(prefix="winnow-diff-") as folder,
        LocalEngine(workers or default_workers()) as engine,
    ):
        raw = Path(folder, "raw")
        for item in chosen:
            link = raw / item.source
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(item.path)
        outs = Path(folder, "before"), Path(folder, "after")
        sides: tuple[tuple[Path | None, tuple[str, ...], dict[str, str]], ...] = (
            (config, (), {}),
            (against or config, skip, overrides),
        )
        for out, (settings, left_out, laid_over) in zip(outs, sides, strict=True):
            with _progress() as progress:
                pipeline.run(
                    [raw],
                    out,
                    run_key="diff",
                    engine=engine,
                    config=settings,
                    skip=left_out,
                    overrides=laid_over | UNGATED,
                    progress=progress,
                )
        difference = explain.compare(*outs, samples=samples)
    if as_json:
        _print_json({"files": len(chosen), "of": len(found)} | asdict(difference))
    else:
        _tell_difference(difference, files=len(chosen), of=len(found))


UNGATED: Final = {
    "gate.max_reject_share": "1.0",
    "gate.max_removed_share": "1.0",
    "gate.max_duplicate_share": "1.0",
    "gate.min_documents": "0",
}
"""A trial run publishes nothing, so no gate may hold it."""


@cli.group()
def rules() -> None:
    """Work with boilerplate rules.

    \b
    Examples:
      etl rules check
      etl rules check --config my-config/
    """


@rules.command("check")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=None,
    metavar="DIR",
    help="A folder of configuration laid over the product's own.",
)
@click.option(
    "--labelled",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    metavar="FILE",
    help="JSON Lines (also .gz), a page a line: lines, a list of texts, and labels, a letter for each: m main text, b boilerplate.",
)
@json_option
@verbose_option
def rules_check(config: Path | None, labelled: Path | None, as_json: bool) -> None:
    """Hold every rule against its own examples, and tell how each does on labelled pages.

    A rule must cut each line under removes, and no rule at all may touch a line under keeps.

    \b
    Examples:
      etl rules check
      etl rules check --config my-config/ --labelled pages.jsonl.gz
    """
    from etl import settings
    from etl.boilerplate.rules import check_examples, labelled_report

    ruleset = settings.parse(settings.read_files(config), {}).rules
    failures = check_examples(ruleset)
    table = labelled_report(_labelled_lines(labelled), ruleset).to_dicts() if labelled else []
    families = len({rule.family for rule in ruleset.rules})
    if as_json:
        _print_json({"rules": len(ruleset.rules), "families": families, "failures": failures, "labelled": table})
    else:
        for failure in failures:
            click.echo(visible(failure))
        told = f"{_count(len(failures), 'example')} failed" if failures else "every example holds"
        click.echo(
            f"{_count(len(ruleset.rules), 'rule')} in {families} {'family' if families == 1 else 'families'}: {told}"
        )
        hit = [row for row in table if row["lines"] or row["spans"]]
        if table:
            click.echo()
            shares = ["" if row["precision"] is None else f"{row['precision']:.3f}" for row in hit]
            _table(
                ("family", "rule", "lines", "wrong", "precision", "spans", "characters"),
                [
                    (
                        r["family"],
                        r["rule"],
                        _num(r["lines"]),
                        _num(r["wrong"]),
                        share,
                        _num(r["spans"]),
                        _num(r["chars"]),
                    )
                    for r, share in zip(hit, shares, strict=True)
                ],
                left=2,
            )
            click.echo(
                f"{_count(sum(r['lines'] for r in hit), 'line')} cut, {_num(sum(r['wrong'] for r in hit))} of main text; {len(table) - len(hit)} rules hit nothing"
            )
    if failures:
        click.get_current_context().exit(FAILED)


def main() -> None:
    """The command `etl`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that can't show a letter is no reason to fail
    try:
        cli(prog_name="etl")
    except SystemExit as left:
        _leave(left.code)
        raise


def _leave(code: object) -> None:
    """End this process now, if what it printed can be: the interpreter's own end frees each object by itself, 0.05 s."""
    if not isinstance(code, int):
        return
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # nobody reads any more, which the interpreter tells in its own way
        return
    os._exit(code)


class Lines:
    """Progress for a log: one line a stage."""

    def __init__(self) -> None:
        self.started = 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to do."""

    def begin(self, stage: Stage, shards: int) -> None:
        """Take the time."""
        self.started = time.monotonic()

    def advance(self, stage: Stage, report: StageReport) -> None:
        """Nothing: a log has a line a stage."""

    def end(self, stage: Stage, report: StageReport) -> None:
        """Print the stage's line."""
        seconds = time.monotonic() - self.started
        click.echo(f"{stage.name:<11} {' '.join((report.line(), f' {seconds:.1f} s')).strip()}", err=True)


class Bars:
    """Progress for a terminal: a bar a stage, over its shards."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Column

        fixed = Column(no_wrap=True, min_width=11)
        self.bars = Progress(
            TextColumn("{task.fields[stage]}", table_column=fixed),
            BarColumn(bar_width=16),
            MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=5)),
            TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
            TextColumn(
                "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
            ),
            console=Console(stderr=True),
            expand=True,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def begin(self, stage: Stage, shards: int) -> None:
        """A bar of its own. The first starts a thread that draws them: not before workers' server is forked."""
        self.bars.start()
        self.tasks[stage.name] = self.bars.add_task(stage.about, total=shards, stage=stage.name)

    def advance(self, stage: Stage, report: StageReport) -> None:
        """One shard further."""
        self.bars.advance(self.tasks[stage.name])

    def end(self, stage: Stage, report: StageReport) -> None:
        """What the stage counted, in place of what it does."""
        self.bars.update(self.tasks[stage.name], description=report.line() or stage.about)


def _progress() -> AbstractContextManager[Progress]:
    return Bars() if sys.stderr.isatty() else Lines()


def _check_runs(out: Path, keys: Sequence[str]) -> None:
    """Raise ConfigError unless `out` holds released runs, and all of `keys` among them."""
    from etl import explain

    runs = [one.run for one in explain.status(out)[0]]
    if not runs:
        raise ConfigError(f"--out {out} holds no released run; expected the folder that `etl run … --out` wrote to")
    if missing := [key for key in keys if key not in runs]:
        raise ConfigError([f"{key}: no such run in {out}; expected one of {', '.join(runs[-5:])}" for key in missing])


def _tell_redone(do: Callable[[LocalEngine, Progress], Iterable[Result]], workers: int | None, as_json: bool) -> None:
    from etl.engine.local import LocalEngine, default_workers

    done = []
    with LocalEngine(workers or default_workers()) as engine, _progress() as progress:
        for result in do(engine, progress):
            counts = result.counts["release"]
            done.append({"run": result.plan.run_key, **counts})
            if not as_json:
                click.echo(
                    f"{visible(result.plan.run_key)}  {_count(counts['documents'], 'document')}, {_count(counts['removals'], 'removal')}"
                )
    if as_json:
        _print_json({"redone": done})
    elif not done:
        click.echo("No run is stale.")


def _tell_result(result: Result, out: Path, *, as_json: bool) -> None:
    from etl.publish import dataset
    from etl.storage import read_json

    plan = result.plan
    if not result.stages:
        if as_json:
            _print_json({"run": plan.run_key, "new_files": 0, "settled": plan.settled})
        else:
            click.echo(
                f"nothing new: {_count(plan.settled, 'file')} {'is' if plan.settled == 1 else 'are'} settled by earlier runs"
            )
        return
    report = out / dataset.REPORTS / plan.run_key
    page, totals = report / "index.html", read_json(report / "metrics.json")["totals"]
    documents = out / "documents" / f"run={plan.run_key}"
    if as_json:
        paths = {"documents": str(documents), "report": str(page)}
        _print_json(
            {
                "run": plan.run_key,
                "new_files": len(plan.files),
                "settled": plan.settled,
                "totals": totals,
                "paths": paths,
            }
        )
        return
    if not plan.files:
        others = f"; {_count(plan.skipped, 'file')} of other kinds passed over" if plan.skipped else ""
        click.echo(
            f"No input file was found{others}. The run is published without documents; etl run --help lists the formats."
        )
    _tell_totals(totals)
    click.echo(f"documents   {visible(str(documents))}/")
    click.echo(f"report      {visible(str(page))}")
    click.echo(f'Look further: etl why "some sentence" {_out_argument(out)}')


def _tell_totals(totals: dict[str, Any]) -> None:
    click.echo(
        f"kept        {_num(totals['documents'])} of {_count(totals['documents_read'], 'document')}, {_num(totals['chars_kept'])} characters"
    )
    share = _share(totals["chars_removed"], totals["chars_repaired"])
    click.echo(
        f"removed     {_num(totals['chars_removed'])} characters ({share}) in {_count(totals['removals'], 'removal')}"
    )
    empty = f"; {_num(totals['empty'])} had nothing left" if totals["empty"] else ""
    click.echo(f"duplicates  {_count(totals['duplicates'], 'document')} dropped as copies{empty}")
    click.echo(
        f"rejects     {_num(totals['rejects'])}{' files or records could not be read; rejects/ says why' if totals['rejects'] else ''}"
    )
    if not totals["check_kept_plus_removed"]:
        click.secho("kept and removed text together are NOT the repaired text; run etl verify", fg="red", bold=True)


def _tell_fate(fate: explain.Fate) -> None:
    where = f"{one_line(fate.source)}  {click.style(fate.doc_id[:12], dim=True)}  run {visible(fate.run)}"
    if fate.kept:
        click.echo(f"{click.style('Kept', fg='green', bold=True)} in {where}")
        _tell_found(fate.found, cut=False)
        return
    whole = "whole document" if fate.unit == "document" else fate.unit
    click.echo(f"{click.style('Removed', fg='red', bold=True)} from {where}")
    _tell_found(fate.found, cut=True)
    score = "" if fate.score is None else f", score {fate.score:.2f}"
    click.echo(f"  rule    {visible(fate.rule)} ({visible(fate.stage)}, {whole}{score})")
    click.echo(f"  reason  {one_line(fate.reason)}")
    if fate.copy:
        _tell_copy(fate.copy)


def _tell_copy(copy: explain.Copy) -> None:
    if not copy.run:
        click.echo(f"  kept in {visible(copy.doc_id)}, which is in no released run any more")
        return
    title = f" \u201c{_short(copy.title)}\u201d" if copy.title else ""
    click.echo(
        f"  kept in {one_line(copy.source)}{title}  {click.style(copy.doc_id[:12], dim=True)}  run {visible(copy.run)}"
    )
    if copy.found:
        _tell_found(copy.found, cut=False)


def _tell_found(found: explain.Found, *, cut: bool) -> None:
    text = _short(found.text)
    before, after = one_line(found.before)[-60:], one_line(found.after)[:60]
    marked = click.style(text, fg="red", strikethrough=True) if cut else click.style(text, fg="green")
    click.echo(
        "  "
        + " ".join(
            part
            for part in (
                click.style(before, dim=True) if before else "",
                marked,
                click.style(after, dim=True) if after else "",
            )
            if part
        )
    )


def _tell_document(shown: explain.Shown, *, color: bool) -> None:
    def say(text: str = "") -> None:
        click.echo(text, color=color)

    def styled(text: str, **how: Any) -> str:
        return click.style(text, **how) if color else text

    say(styled(f"{visible(shown.doc_id)}  {one_line(shown.source)}", bold=True))
    for name, value in {"run": shown.run, **shown.fields}.items():
        if value not in (None, "", []):
            told = (
                ", ".join(map(str, value))
                if isinstance(value, list)
                else f"{value:.2f}"
                if isinstance(value, float)
                else str(value)
            )
            say(f"{styled(f'{name:<14}', dim=True)}{one_line(told)}")
    if shown.dropped:
        whole = shown.pieces[0]
        say(f"{styled('dropped', fg='red', bold=True)}       {visible(whole.rule)}: {one_line(whole.reason)}")
        if shown.copy:
            where = (
                f"{one_line(shown.copy.source)}, run {visible(shown.copy.run)}"
                if shown.copy.run
                else "in no released run any more"
            )
            say(f"{styled('kept in'.ljust(14), dim=True)}{visible(shown.copy.doc_id)}  {where}")
    say()
    say("".join(_marked(piece, color=color) for piece in shown.pieces))


def _marked(piece: explain.Piece, *, color: bool) -> str:
    """A piece for a terminal: a cut struck through, or between signs with its rule."""
    text = visible(piece.text)
    if not piece.rule:
        return text
    if not color:
        return f"[-{text}-]{{{visible(piece.rule)}}}"
    return "\n".join(click.style(line, fg="red", strikethrough=True) if line else "" for line in text.split("\n"))


def _tell_difference(difference: explain.Difference, *, files: int, of: int) -> None:
    click.echo(f"Tried on {_num(files)} of {_count(of, 'file')}.")
    if not difference.by_rule:
        click.echo("It removes the same text.")
    else:
        rows = [
            (rule, f"+{_num(more)}", f"+{_num(more_chars)}", f"-{_num(less)}", f"-{_num(less_chars)}")
            for rule, more, more_chars, less, less_chars in difference.by_rule
        ]
        _table(("rule", "added", "characters", "gone", "characters"), rows)
        for change in difference.changes:
            sign, colour = ("-", "green") if change.gone else ("+", "red")
            told = f"{sign} {visible(change.rule)}  {_short(change.text)}"
            click.echo(f"{click.style(told, fg=colour)}  {click.style(one_line(change.source), dim=True)}")
        click.echo("+ would be removed now, - would stay now.")
    if difference.renamed:
        click.echo(f"{_count(difference.renamed, 'removal')} would be made by another rule.")


def _found_inputs(inputs: Sequence[Path]) -> list[SourceFile]:
    """The files that a run over `inputs` would read."""
    from etl.ingest.discover import is_input, plan_sources
    from etl.storage import list_files

    return plan_sources([(root, path) for root, path, named in list_files(inputs) if named or is_input(path.name)])


def _labelled_lines(path: Path) -> Any:
    """The lines of labelled pages, with the column label: a frame as `labelled_report` takes it."""
    import gzip

    import polars as pl

    from etl.boilerplate.lines import split_lines

    texts: list[str] = []
    labels: list[tuple[int, int, str]] = []
    faults: list[str] = []
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                page = json.loads(line)
                lines, letters = page["lines"], page["labels"]
                if len(lines) != len(letters):
                    faults.append(
                        f"{path}: line {number} has {len(lines)} lines and {len(letters)} labels; expected as many"
                    )
                    continue
            except (ValueError, KeyError, TypeError) as error:
                faults.append(
                    f"{path}: line {number} is no page ({type(error).__name__}: {error}); expected an object with lines and labels"
                )
                continue
            labels += [(len(texts), place, letter) for place, letter in enumerate(letters)]
            texts.append("\n".join(str(text).replace("\n", " ") for text in lines))
    if faults:
        raise ConfigError(faults[:20])
    labelled = pl.DataFrame(labels, schema={"doc": pl.UInt32, "line": pl.UInt32, "label": pl.String}, orient="row")
    return split_lines(pl.Series(texts, dtype=pl.String)).join(
        labelled, on=["doc", "line"], how="left", maintain_order="left"
    )


def _notes(run: explain.RunStatus) -> str:
    notes = [f"stale: {', '.join(run.stale[:3])}{', …' if len(run.stale) > 3 else ''} changed"] if run.stale else []
    notes += [f"{_count(len(run.to_forget), 'source')} to forget"] if run.to_forget else []
    notes += [f"without {', '.join(run.skip)}"] if run.skip else []
    return "; ".join(notes)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Columns under their heads; the first `left`, and a last one without numbers, are flush left."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(head[place]), *(len(row[place]) for row in cells), 0) for place in range(len(head))]
    flush_left = [
        place < left or not any(row[place][:1].isdigit() or row[place][:1] in "+-?" for row in cells)
        for place in range(len(head))
    ]

    def laid_out(row: Sequence[str]) -> str:
        return "  ".join(
            cell.ljust(width) if flush else cell.rjust(width)
            for cell, width, flush in zip(row, widths, flush_left, strict=True)
        ).rstrip()

    click.secho(laid_out(head), dim=True)
    for row in cells:
        click.echo(laid_out(row))


def _short(text: str) -> str:
    told = one_line(text)
    return told if len(told) <= SHOWN_CHARS else f"{told[: SHOWN_CHARS // 2]} … {told[-SHOWN_CHARS // 2 :]}"


def _num(number: int) -> str:
    return f"{number:,}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def _out_argument(out: Path) -> str:
    return f"--out {shlex.quote(visible(str(out)))}"


def _print_json(value: object) -> None:
    """One object, non-ASCII escaped: nothing in it can steer a terminal."""
    click.echo(json.dumps(value, indent=1, sort_keys=True, default=str))


def _wants_color() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _error(text: str) -> None:
    click.echo(f"{click.style('etl:', fg='red', bold=True)} {visible(text)}", err=True)


def _trace(ctx: click.Context) -> None:
    if ctx.meta.get(VERBOSE):
        import traceback

        click.echo(visible(traceback.format_exc()), err=True)
