"""One function a stage: paths and configuration in, files and a StageReport out. The only callers of the pure packages.

Everything a stage needs lies in the run's work folder, so any process that sees the folder can run any stage: the local
engine, an Airflow task, a retry. Stages write by renames and may be repeated at will; after `write`, where the raw files are as they were.

    _work/KEY/plan.json  config/          what the run reads, how it is split, the configuration as it was at the start
              docs/N.arrow                repaired documents, one record batch a batch of text, until `write` has cut them
              pages/ page_lines/ N.parquet      for barrier 1, whose site_lines.parquet and site_pages.parquet lie beside
              line_keys/N.arrow           what `prepare` named lines by, batch by batch, until `clean` has looked them up
              found/ marks/ N.arrow       what boilerplate found and would remove, batch by batch as in docs
              …/N.parquet                 for barrier 2 (sentences, fingerprints, …), whose dropped_*.parquet lie beside
              release/                    the parts that `release` puts in place
              rule_counts/ site_counts/ told_removals/ kept_documents/ N.arrow     what each part tells the report (told.py)
              digests/N.json              sha256 of those that a shard wrote, by name
              reports/STAGE-N.json        StageReports
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import resource
import shlex
import time
from collections import ChainMap, Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from importlib import resources
from itertools import islice, pairwise
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from etl import late, schema, settings
from etl.boilerplate import heads, language, markup, model, rules, strip, templates
from etl.boilerplate.lines import split_lines
from etl.config import check_run_key, check_steps
from etl.dedup import fingerprint, meet, sentences, vocabulary
from etl.dedup.pairs import alike_pairs, likely_pairs, near_across, pointing_on
from etl.dedup.state import CUTS, PUBLISHED, READ, STATE, state_tables
from etl.engine.local import LocalEngine, Made, Query, give_memory_back
from etl.errors import ConfigError, HeldError, OutdatedError, StageError
from etl.history import FILES, RECIPE, SORTED_BY, History, write_state
from etl.ingest import formats
from etl.ingest.discover import is_input, plan_sources
from etl.ingest.site import registered_domain, sites
from etl.kernels import text_array, text_buffers, text_series
from etl.publish import cut, dataset, native
from etl.publish.assemble import (
    CODED,
    REASONED,
    Assembled,
    Dropped,
    Marks,
    assemble,
    coded,
    column,
    same,
    stacked,
    strings,
)
from etl.repair import mojibake
from etl.report import gates, metrics, told
from etl.storage import (
    Aside,
    batch_writer,
    count_rows,
    list_files,
    open_input,
    read_batch_file,
    read_batches,
    read_columns,
    read_json,
    read_parquet,
    remove_tree,
    sha256,
    write_batch,
    write_json,
    write_parquet,
    write_text,
)
from etl.threads import HEARING_CTRL_C, in_threads

log = logging.getLogger(__name__)

PLAN: Final = "plan.json"
COMPRESSED: Final = (".gz", ".zst", ".bz2", ".xz")
EXPANSION: Final = 4  # text out of a compressed byte, to make shards of like work; measured 3.5 to 5 on scraped news

DOCS: Final = pa.schema([*schema.RAW, ("repairs", schema.STRINGS), ("site_key", pa.string())])
FOUND: Final = pa.schema(
    [
        ("title", pa.string()),
        ("site", pa.string()),
        ("authors", schema.STRINGS),
        ("published_at", schema.TIME),
        ("lang", pa.string()),
        ("lang_score", pa.float32()),
    ]
)
MARKS: Final = pa.schema(
    [
        *((name, pa.uint32()) for name in ("doc", "start", "end")),
        *((name, CODED) for name in ("unit", "stage", "rule", "reason")),
        ("score", pa.float32()),
    ]
)
"""What boilerplate would remove: doc is a row of the batch, the others as in removals."""

DEDUP_TABLES: Final = fingerprint.TABLES
"""What `clean` leaves for barrier 2, a file a shard."""

CLEANED_AT_ONCE: Final = 4
"""Bytes of text, for each character of `batch_chars`, that `clean` takes together: three batches in most scripts. Some 300 calls
of Polars a batch cost a tenth of a second whatever it holds, a fifth of the stage when batches are taken one by one."""

EARLIER_AT_ONCE: Final = 20_000  # sentences of earlier runs whose texts are read, with the documents around them
JUDGED_AT_ONCE: Final = 50_000  # pairs of sentences, as Python's own texts
SENTENCES_AT_ONCE: Final = 100_000  # of those that go, when they are put together with near-duplicates
TEXTS_AT_ONCE: Final = 400_000  # pairs whose texts are in memory

NAMED_SITES: Final = 20  # of those whose template has changed, in the log

REASONS: Final = {
    "exact-document": "the same text as the document that stays",
    "excerpt": "part of the document that stays",
    "near-document": "nearly the same text as the document that stays",
    "exact-sentence": "the same sentence stands where the copy that stays begins",
    "near-sentence": "nearly the same sentence stands where the copy that stays begins",
}


@dataclass(frozen=True, slots=True)
class StageReport:
    """What a stage did to one shard (or, at a barrier, to all: shard -1). seconds: wall; cpu_s: user and system."""

    stage: str
    shard: int = -1
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_s: float = 0.0

    def line(self) -> str:
        """One line for a log: `documents=1200 rejects=2`."""
        return " ".join(f"{name}={count}" for name, count in self.counts.items())


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run reads and how it is split. files: source -> (path, bytes, sha256). shards: sources, in order.

    inputs: as given. history: release of each earlier run it sees. settled, skipped: files that other runs took, or that
    are of no kind it reads.
    """

    run_key: str
    out: str
    inputs: tuple[str, ...]
    skip: tuple[str, ...]
    files: dict[str, tuple[str, int, str]]
    shards: tuple[tuple[str, ...], ...]
    history: dict[str, str]
    settled: int
    skipped: int

    @property
    def nothing_new(self) -> bool:
        """Whether other runs took every input there is. (An empty folder is new: its dataset is empty.)"""
        return not self.files and self.settled > 0

    @property
    def work(self) -> Path:
        """The run's work folder."""
        return work_folder(Path(self.out), self.run_key)

    @property
    def settings(self) -> settings.Settings:
        """The configuration the run was planned with."""
        return settings.thaw(self.work / "config")

    def shard_files(self, table: str, kind: str = "parquet") -> list[Path]:
        """The file of each shard in one of the work tables."""
        folder = self.work / table
        return [folder / f"{number:05d}.{kind}" for number in range(len(self.shards))]

    def shard_file(self, table: str, shard: int, kind: str = "parquet") -> Path:
        """The file of one shard in one of the work tables."""
        return self.work / table / f"{shard:05d}.{kind}"


def work_folder(out: Path, run_key: str) -> Path:
    """Where a run works until it has succeeded."""
    return out.resolve() / "_work" / run_key


@lru_cache(maxsize=4)
def _load_plan(path: Path, changed_ns: int) -> Plan:
    raw = read_json(path)
    return Plan(
        run_key=raw["run_key"],
        out=raw["out"],
        inputs=tuple(raw["inputs"]),
        skip=tuple(raw["skip"]),
        files={source: tuple(entry) for source, entry in raw["files"].items()},
        shards=tuple(tuple(shard) for shard in raw["shards"]),
        history=raw["history"],
        settled=raw["settled"],
        skipped=raw["skipped"],
    )


def preload_shared() -> None:
    """Make what the process that plans a run needs as well as its workers, which are forked from it or from its server.

    Polars computes nothing here, nor in `preload`: its threads would be lost in the fork.
    """
    settings.preload()
    vocabulary.character_marks()
    importlib.import_module("pyarrow.compute")  # as the first cast does


def preload() -> None:
    """Make what every worker needs, before they are forked from this process."""
    preload_shared()
    late.compile_all()
    mojibake.load()
    language.load()
    model.load()
    heads.fold_table()
    vocabulary.word_sets()
    registered_domain("example.com")


def load_plan(work: str | Path) -> Plan:
    """The plan in a work folder."""
    path = Path(work) / PLAN
    if not path.exists():
        raise StageError(f"{path} is not there: the run was settled or never discovered; start it again")
    return _load_plan(path, path.stat().st_mtime_ns)


def discover(
    inputs: Sequence[Path],
    out: Path,
    *,
    run_key: str,
    config: Path | None = None,
    skip: Sequence[str] = (),
    overrides: Mapping[str, str] | None = None,
) -> Plan:
    """Find what is new below `inputs`, pack it into shards and write the plan. Raises ConfigError before any work.

    A file whose source and content another run took is settled and left out; a changed file is new.
    """
    return _plan(
        inputs,
        out,
        run_key=run_key,
        config=settings.read_files(config),
        skip=skip,
        overrides=overrides or {},
        only=None,
    )


def rediscover(out: Path, *, run_key: str) -> Plan:
    """Plan a released run anew: the same files, without those that were forgotten, and all it was told as it was.

    Raises ConfigError when the run left no recipe, or a raw file of it is gone or has changed.
    """
    recipe = history_of(out).recipe(run_key)
    if recipe is None:
        raise ConfigError(f"run {run_key} can't be done again: {out} doesn't tell what it read; use etl run")
    return _plan(
        [Path(path) for path in recipe.inputs],
        out,
        run_key=run_key,
        config=recipe.config,
        skip=recipe.skip,
        overrides=recipe.overrides,
        only=recipe.sources,
    )


def _plan(
    inputs: Sequence[Path],
    out: Path,
    *,
    run_key: str,
    config: Mapping[str, str],
    skip: Sequence[str],
    overrides: Mapping[str, str],
    only: Mapping[str, str] | None,
) -> Plan:
    """Plan a run over `inputs`. only: source -> sha256 of the files to take, all of which must be there; None takes all."""
    check_run_key(run_key)
    steps = check_steps(skip)
    told = settings.parse(config, overrides, passes=())  # frozen below, once it is known how much there is
    listed = list_files([path for path in inputs if only is None or path.exists()])
    wanted = [(root, path) for root, path, named in listed if named or is_input(path.name)]
    found, skipped = plan_sources(wanted), len(listed) - len(wanted)
    history = history_of(out)
    taken = history.settled(run_key)
    files: dict[str, tuple[str, int, str]] = {}
    settled = 0
    for item in found:
        if history.is_forgotten(item.source) or (only is not None and item.source not in only):
            continue
        digest = sha256(Path(item.path))
        if (item.source, digest) in taken:
            settled += 1
        else:
            files[item.source] = (str(item.path), Path(item.path).stat().st_size, digest)
    needed = {source: digest for source, digest in (only or {}).items() if not history.is_forgotten(source)}
    _check_all_there(run_key, files, needed)
    plan = Plan(
        run_key=run_key,
        out=str(out.resolve()),
        inputs=tuple(str(path.resolve()) for path in inputs),
        skip=steps,
        files=files,
        shards=_pack(files, told.pipeline.ingest.shard_bytes),
        history=history.earlier(run_key),
        settled=settled,
        skipped=skipped,
    )
    remove_tree(plan.work)
    settings.freeze(plan.work / "config", config, overrides, told)
    write_json(plan.work / PLAN, asdict(plan))
    _report(
        plan,
        StageReport(
            "discover", counts={"files": len(files), "settled": settled, "skipped": skipped, "shards": len(plan.shards)}
        ),
    )
    return plan


def warm(plan: Plan) -> None:
    """Begin in the background what this process will need to clean pages: a tenth of the time that a few pages take."""
    if "boilerplate" not in plan.skip:
        rules.warm(plan.settings.rules)


def history_of(out: Path) -> History:
    """The released runs of the dataset at `out`."""
    return History.of(out.resolve(), dataset.read_manifest(out))


def mark_forgotten(sources: Sequence[str], out: Path) -> None:
    """Put `sources` on the manifest's list of what is to be in no run. Raises ConfigError unless all can be forgotten."""
    asked = tuple(source.rstrip("/") for source in sources)
    before = history_of(out)
    after = replace(before, forgotten=tuple(sorted({*before.forgotten, *asked})))
    faults = [
        f"{one}: no run of {out} took such a file or folder; expected one as the column source has it"
        for one in asked
        if one not in before.forgotten and not replace(before, forgotten=(one,)).remembered()
    ]
    affected = min(after.remembered(), default="")
    for key in sorted(before.runs):
        if affected and key >= affected:
            faults += _missing_files(key, after)
    if faults:
        raise ConfigError(faults[:20])
    dataset.set_forgotten(out, after.forgotten)


def _missing_files(run_key: str, history: History) -> list[str]:
    """Why the run can't be done again, if it can't: no recipe, or raw files that are gone."""
    recipe = history.recipe(run_key)
    if recipe is None:
        return [f"run {run_key} can't be done again: it left no recipe; use etl run"]
    listed = list_files([Path(path) for path in recipe.inputs if Path(path).exists()])
    there = {item.source for item in plan_sources([(root, path) for root, path, named in listed])}
    return [
        f"run {run_key} can't be done again: its raw file {source} is gone"
        for source in sorted(recipe.sources)
        if source not in there and not history.is_forgotten(source)
    ]


def _check_all_there(run_key: str, files: Mapping[str, tuple[str, int, str]], needed: Mapping[str, str]) -> None:
    """Raise ConfigError naming the raw files of a run to be done again that are gone or have changed."""
    faults = [
        f"run {run_key} can't be done again: its raw file {source} {'has changed' if source in files else 'is gone'}"
        for source, digest in sorted(needed.items())
        if source not in files or files[source][2] != digest
    ]
    if faults:
        raise ConfigError(faults[:20])


ENTRY: Final = "release.json"
METRICS: Final = "metrics.json"
VERDICT: Final = "gate.json"
TREND_RUNS: Final = 29  # earlier runs that a report compares its run with


def prepare(work: str, shard: int) -> StageReport:
    """Ingest and repair one shard: docs, the site evidence of its lines, its rejects."""
    plan, started = load_plan(work), _clock()
    return _report(plan, _done("prepare", _prepare(plan, shard), started, shard))


def _prepare(plan: Plan, shard: int) -> Counter[str]:
    options = plan.settings.pipeline
    rejects: list[formats.Reject] = []
    counts: Counter[str] = Counter(files=len(plan.shards[shard]), documents=0, rejects=0, chars=0, repaired=0)
    pages: list[pa.Table] = []
    page_lines: list[pa.Table] = []
    with (
        batch_writer(plan.shard_file("docs", shard, "arrow"), DOCS) as writer,
        batch_writer(plan.shard_file("line_keys", shard, "arrow"), _arrow_schema(templates.LINE_KEYS)) as keys_writer,
    ):
        for table in _batches(plan, shard, rejects):
            docs = _as_frame(table)
            if "repair" in plan.skip:
                docs = docs.with_columns(repairs=pl.lit([], dtype=pl.List(pl.String)))
            else:
                text, repairs = mojibake.repair(docs["text"])
                in_step = markup.in_step(docs["markup"], docs["text"], text)
                docs = docs.with_columns(in_step.alias("markup"), text.alias("text"), repairs.alias("repairs"))
            docs = docs.with_columns(sites(docs).alias("site_key"))
            if "boilerplate" not in plan.skip and options.boilerplate.templates.enabled:
                seen, held, keys = templates.evidence(docs["text"], _pages_of(docs), run_key=plan.run_key)
                pages.append(seen.to_arrow())
                page_lines.append(held.to_arrow())
                write_batch(keys_writer, keys.to_arrow())
            table = docs.drop("text").to_arrow().append_column("text", text_array(*text_buffers(docs["text"])))
            write_batch(writer, table.select(DOCS.names).cast(DOCS))
            counts["documents"] += docs.height
            counts["repaired"] += docs.select((pl.col("repairs").list.len() > 0).sum()).item()
            counts["chars"] += docs.select(pl.col("text").str.len_chars().sum()).item()
    for name, rows in (("pages", pages), ("page_lines", page_lines)):
        hashes = templates.HASHES.get(name, ())
        write_parquet(plan.shard_file(name, shard), rows, _arrow_schema(templates.TABLES[name]), hashes=hashes)
    counts["rejects"] = len(rejects)
    refused = schema.table_of(
        {name: [getattr(one, name) for one in rejects] for name in schema.REJECTS.names}, schema.REJECTS
    )
    write_parquet(plan.shard_file("rejects", shard), [refused], schema.REJECTS)
    return counts


def count_templates(work: str, engine: LocalEngine) -> StageReport:
    """Barrier 1: which lines recur on the pages of a site, earlier runs included."""
    plan, started = load_plan(work), _clock()
    history = replace(history_of(Path(plan.out)), threads=engine.workers)
    limits = plan.settings.pipeline.boilerplate.templates
    known = history.known_pages(list(plan.history), _hashes(plan, "page_lines", "line"))

    columns = _Columns(plan)

    def lines() -> Iterator[npt.NDArray[Any]]:
        return (some["line"] for some in columns("page_lines", ["line"]))

    def repeated(_: Query) -> pa.Table:
        there = known["known_lines"]["line"].to_numpy()
        found = templates.repeated_lines(lines, there, rows=columns.rows("page_lines"))
        return found.to_frame().to_arrow()

    rows = engine.sql(
        _sql("etl.boilerplate", "templates.sql"),
        views={
            **{name: plan.shard_files(name) for name in templates.TABLES},
            **{name: rows.to_arrow() for name, rows in known.items()},
            "params": templates.params(limits, run_key=plan.run_key).to_arrow(),
        },
        outputs={
            name: plan.work / f"{name}.parquet"
            for name in ("site_lines", "site_pages", "drifted_sites", "kept_pages", "habits")
        },
        temp=plan.work,
        made={"repeated_lines": Made(repeated, ())},
    )
    counts = {"site_lines": rows["site_lines"], "sites": rows["site_pages"], "drifted_sites": rows["drifted_sites"]}
    if counts["drifted_sites"]:
        drifted = pl.read_parquet(plan.work / "drifted_sites.parquet")["site"].head(NAMED_SITES).to_list()
        log.warning(
            "templates: %d sites show few of their habitual lines: %s", counts["drifted_sites"], ", ".join(drifted)
        )
    return _report(plan, _done("templates", counts, started))


def clean(work: str, shard: int) -> StageReport:
    """Mark the boilerplate of one shard, and tell barrier 2 what is left of it."""
    plan, started = load_plan(work), _clock()
    told = plan.settings
    site_lines, site_pages = _evidence(plan)
    counts: Counter[str] = Counter(lines=0)
    left: dict[str, list[pa.Table]] = {name: [] for name in DEDUP_TABLES}
    marked: list[pl.DataFrame] = []
    with batch_writer(plan.shard_file("found", shard, "arrow"), FOUND) as found_writer:
        batches = read_batch_file(_repaired(plan, shard))
        named = _line_keys(plan, shard)
        for some in _several(batches, max_bytes=told.pipeline.ingest.batch_chars * CLEANED_AT_ONCE):
            docs = _as_frame(pa.concat_tables(some))
            lines = split_lines(docs["text"])
            if "boilerplate" in plan.skip:
                stripped = strip.nothing(lines, _described(docs))
            else:
                known = list(islice(named, len(some)))
                keys = pl.DataFrame(pa.concat_tables(known)) if known else templates.line_keys(lines["text"])
                lines = templates.add_evidence(lines, keys, _pages_of(docs), site_lines, site_pages)
                stripped = strip.strip_boilerplate(lines, _described(docs), told.rules, told.pipeline.boilerplate)
            counts["lines"] += lines.height
            counts.update(dict(stripped.marks.group_by("stage", maintain_order=True).len().iter_rows()))
            found = _found(docs, stripped)
            edges = np.cumsum([0, *(table.num_rows for table in some)]).tolist()
            of_batch = np.searchsorted(stripped.marks["doc"].to_numpy(), edges).tolist()
            for (first, past), (low, high) in zip(pairwise(edges), pairwise(of_batch), strict=True):
                marked.append(stripped.marks[low:high].with_columns(pl.col("doc") - first))
                write_batch(found_writer, found[first:past].to_arrow().select(FOUND.names).cast(FOUND))
            tables = fingerprint.shard_tables(docs, stripped.segments, told.dedup.sentence_dedup)
            for name in DEDUP_TABLES:
                left[name].append(_to_arrow(getattr(tables, name), DEDUP_TABLES[name]))
    _write_marks(plan.shard_file("marks", shard, "arrow"), marked)
    for name, rows in left.items():
        narrow, hashes = (columns.get(name, ()) for columns in (fingerprint.NARROW, fingerprint.HASHES))
        path = plan.shard_file(name, shard)
        write_parquet(path, rows, _arrow_schema(DEDUP_TABLES[name]), narrow=narrow, hashes=hashes)
    # A tenth of the text; the keys are made anew if they are asked for again.
    plan.shard_file("line_keys", shard, "arrow").unlink(missing_ok=True)
    return _report(plan, _done("clean", counts, started, shard))


def _write_marks(path: Path, marked: Sequence[pl.DataFrame]) -> None:
    """Write MARKS of each batch of a shard: which strings there are is told once."""
    edges = np.cumsum([0, *(marks.height for marks in marked)]).tolist()
    with batch_writer(path, MARKS) as writer:
        if not marked:
            return
        table = pl.concat(marked).to_arrow()
        columns = [table[field.name].combine_chunks() for field in MARKS]
        columns = [coded(one) if field.type == CODED else one for one, field in zip(columns, MARKS, strict=True)]
        whole = pa.RecordBatch.from_arrays(columns, schema=MARKS)
        for first, past in pairwise(edges):
            writer.write_batch(whole.slice(first, past - first))


def _line_keys(plan: Plan, shard: int) -> Iterator[pa.Table]:
    """The keys by which `prepare` counted the lines of each batch; none where no lines were counted, or `clean` is repeated."""
    path = plan.shard_file("line_keys", shard, "arrow")
    return read_batch_file(path) if path.exists() else iter(())


def _several(batches: Iterable[pa.Table], *, max_bytes: int) -> Iterator[list[pa.Table]]:
    """`batches` by several that follow one another, with so many bytes of text or fewer, or one with more."""
    held: list[pa.Table] = []
    for table in batches:
        if held and sum(one["text"].nbytes for one in (*held, table)) > max_bytes:
            yield held
            held = []
        held.append(table)
    if held:
        yield held


def find_duplicates(work: str, engine: LocalEngine) -> StageReport:
    """Barrier 2: which documents and sentences repeat others, earlier runs included, and which copy stays."""
    plan, started = load_plan(work), _clock()
    gone = [(work, n) for n in range(len(plan.shards)) if not plan.shard_file("docs", n, "arrow").exists()]
    for _, outcome in engine.map_shards(_repair_again, gone):  # where this stage is repeated after `write`
        if outcome is not None:
            raise outcome
    history = replace(history_of(Path(plan.out)), threads=engine.workers)
    views: dict[str, Sequence[Path] | pa.Table] = {"params": plan.settings.dedup.params(plan.skip)}
    views |= {name: plan.shard_files(name) for name in DEDUP_TABLES}
    known = _known_duplicates(plan, history)
    scripts = [_sql("etl.dedup", name) for name in ("documents.sql", "sentences.sql")]
    outputs = {
        name: plan.work / f"{name}.parquet"
        for name in (
            "dropped_documents",
            "annotated_documents",
            "dropped_sentences",
            "numbered_documents",
            "first_of_kind" if meet.available() else "meeting_sentences",
        )
    }
    kernels = _Kernels(plan, history, known, engine.workers) if meet.available() else None
    if kernels is None:
        known["known_sketches"] = _known_sketches(plan, history, known["known_bands"]["number"])
    views |= {name: rows.to_arrow() for name, rows in known.items()}
    made = kernels.tables() if kernels else {}
    rows = engine.sql("\n".join(scripts), views=views, outputs=outputs, temp=plan.work, made=made)
    candidates, earlier = _near_candidates(plan, history, engine, kernels)
    give_memory_back()
    near = _judge_across(plan, history, candidates, earlier, known=known, threads=engine.workers)
    counts = {
        "documents": rows["dropped_documents"],
        "annotated": rows["annotated_documents"],
        "sentences": rows["dropped_sentences"] + near,
    }
    return _report(plan, _done("duplicates", counts, started))


def write(work: str, shard: int) -> StageReport:
    """Cut one shard, check that nothing is lost, and write its parts of the datasets and of the state."""
    plan, started = load_plan(work), _clock()
    options = plan.settings.pipeline.publish
    judged = _of_shard(plan, shard, "dropped_sentences")
    numbered = _numbered_documents(plan, shard)
    made = [assemble(*decided) for decided in _decided(plan, shard, numbered, judged)]
    plan.shard_file("docs", shard, "arrow").unlink(missing_ok=True)  # as large as all that is written from here on
    staging = plan.work / "release"
    parts = [dataset.write_part(staging, shard, "documents", [one.documents for one in made], options)]
    rows = {
        name: [stacked([getattr(one, name) for one in made])] if made else [] for name in ("removals", "annotations")
    }
    parts += [dataset.write_part(staging, shard, name, some, options) for name, some in rows.items()]
    documents = pa.concat_tables([one.documents for one in made]) if made else None
    _tell(plan, shard, told.empty() if documents is None else told.tell(documents, *rows["removals"]))
    refused = [read_parquet(plan.shard_file("rejects", shard))]
    parts.append(dataset.write_part(staging, shard, "rejects", refused, options))
    state = _write_shard_state(plan, shard, judged, *_published(numbered, made))
    digests = {**{part.name: part.sha256 for part in parts}, **{path.name: digest for path, digest in state}}
    write_json(plan.shard_file("digests", shard, "json"), digests)
    counts: Counter[str] = Counter()
    for one in made:
        counts.update(one.counts)
    return _report(plan, _done("write", counts, started, shard))


def _tell(plan: Plan, shard: int, tables: Mapping[str, pl.DataFrame]) -> None:
    """Leave what the report asks of a shard's documents and removals: TOLD."""
    for name, kind in told.TOLD.items():
        with batch_writer(plan.shard_file(name, shard, "arrow"), _arrow_schema(kind)) as writer:
            write_batch(writer, _to_arrow(tables[name], kind))


def report(work: str, engine: LocalEngine) -> StageReport:
    """Leave the run's state for later runs, count what was written, draw the report, and list what `release` will place."""
    plan, started = load_plan(work), _clock()
    _write_state(plan)
    digests = [_told_by(path) for path in plan.shard_files("digests", "json")]
    with ThreadPoolExecutor(1) as aside:  # files that aren't known take a while to hash
        listing = aside.submit(dataset.list_parts, plan.work / "release", dict(ChainMap(*digests)))
        told = metrics.collect(_facts(plan, engine))
        listed = listing.result(HEARING_CTRL_C)
    write_json(plan.work / "report" / METRICS, told)
    entry = {
        "datasets": listed,
        "history": plan.history,
        "skip": list(plan.skip),
        "counts": {name: told["totals"][name] for name in ("documents_read", "chars_repaired")},
        "release": _name_of_release(listed),
    }
    write_json(plan.work / ENTRY, entry)
    _draw(plan, None)
    return _report(plan, _done("report", {"rules": len(told["rules"])}, started))


def _told_by(path: Path) -> dict[str, str]:
    """The hashes in a file of digests; none where it is missing or damaged, for they can be made anew."""
    try:
        told: dict[str, str] = read_json(path)
    except (OSError, ValueError):
        return {}
    return told


def _name_of_release(listed: Mapping[str, dict[str, list[dict[str, object]]]]) -> str:
    """A name for what was made: the same for the same rows. How it was asked for, such as the input's path, is left out."""
    made = {
        owned: [f for f in told["files"] if not str(f["name"]).startswith("recipe-")] for owned, told in listed.items()
    }
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]


def gate(work: str, engine: LocalEngine) -> StageReport:
    """Hold the run against its limits. Raises HeldError naming each that it passes, unless `approve` let it pass."""
    plan, started = load_plan(work), _clock()
    reasons = gates.judge(read_json(plan.work / "report" / METRICS), plan.settings.pipeline.gate)
    verdict = gates.decide(read_json(plan.work / ENTRY)["release"], reasons, read_verdict(plan.work / "report"))
    write_json(plan.work / "report" / VERDICT, asdict(verdict))
    _draw(plan, verdict)
    if verdict.held:
        raise HeldError(reasons)
    return _report(plan, _done("gate", {"approved": len(reasons)}, started))


def read_verdict(report: Path) -> gates.Verdict | None:
    """What the gate said of the run with the report folder `report`; None before it was judged."""
    if not (report / VERDICT).is_file():
        return None
    told = read_json(report / VERDICT)
    return gates.Verdict(**{**told, "reasons": tuple(told["reasons"])})


def approve(work: Path, *, by: str, at: str, note: str = "", release: str = "") -> gates.Verdict:
    """Let a held run pass its gate, in the name of `by`. The gate must be asked again.

    release: the output that was looked at; when it is given and the run has another by now, nothing is approved. Raises
    ConfigError when the run is not held.
    """
    verdict = read_verdict(work / "report")
    if verdict is None or not verdict.held:
        raise ConfigError(f"run {work.name} is not held by a gate: there is nothing to approve")
    if release and release != verdict.release:
        raise ConfigError(f"run {work.name} has changed since its report was read: read it again, then approve it")
    approved = replace(verdict, by=by, at=at, note=note)
    write_json(work / "report" / VERDICT, asdict(approved))
    return approved


def earlier_metrics(out: Path, keys: Iterable[str]) -> list[dict[str, Any]]:
    """The metrics of the last runs of `keys` that have a report, in order of key: what a report compares its run with."""
    paths = [out / dataset.REPORTS / key / METRICS for key in sorted(keys)[-TREND_RUNS:]]
    return [read_json(path) for path in paths if path.is_file()]


def failed_shards(plan: Plan, stage: str) -> set[int]:
    """The shards whose last try of `stage` failed, as `mark_shard` noted it."""
    return {int(path.name) for path in (plan.work / "failed" / stage).glob("[0-9]*")}


def mark_shard(plan: Plan, stage: str, shard: int, *, failed: bool) -> None:
    """Note, for the other processes that work on the run, that a shard failed, or no longer does."""
    note = plan.work / "failed" / stage / f"{shard:05d}"
    if failed:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
    else:
        note.unlink(missing_ok=True)


def stale_runs(out: Path) -> dict[str, list[str]]:
    """The runs of the dataset at `out` to run again, in order, each with the earlier runs that changed since it ran."""
    return dict(sorted(History(out, dataset.read_manifest(out)["runs"]).stale().items()))


def plan_hash(work: Path) -> str:
    """Tells whether the work in a folder is still that of the plan it began with: a hash of the plan and its configuration."""
    digest = hashlib.sha256()
    for path in [work / PLAN, *sorted((work / "config").rglob("*"))]:
        if path.is_file():
            digest.update(f"{path.relative_to(work).as_posix()}\0{sha256(path)}\0".encode())
    return digest.hexdigest()[:16]


def release(work: str, engine: LocalEngine) -> StageReport:
    """Put the finished run in place, atomically, and record it in the manifest. Safe to repeat after a kill."""
    plan, started = load_plan(work), _clock()
    _check_up_to_date(plan)
    entry = read_json(plan.work / ENTRY)
    dataset.release(Path(plan.out), plan.work / "release", plan.run_key, entry, report=plan.work / "report")
    counts = {name: entry["datasets"][name]["rows"] for name in dataset.DATASETS}
    return _report(plan, _done("release", counts, started))


def settle(work: str, engine: LocalEngine) -> StageReport:
    """Put state together where many runs have piled up, and remove the work folder. Safe to repeat.

    The run's files are settled by the state that was released with it.
    """
    started = _clock()
    files = 0
    if (Path(work) / PLAN).exists():
        plan = load_plan(work)
        files = len(plan.files)
        history_of(Path(plan.out)).compact()
    remove_tree(Path(work))
    return _done("settle", {"files": files}, started)


def _check_up_to_date(plan: Plan) -> None:
    """Raise OutdatedError when another run released this run's files, or its history changed, since it was planned."""
    history = history_of(Path(plan.out))
    taken = history.settled(plan.run_key)
    others = {taken[source, digest] for source, (_, _, digest) in plan.files.items() if (source, digest) in taken}
    if others:
        raise OutdatedError(
            f"run {plan.run_key}: run {', '.join(sorted(others))} released some of its files since it was planned; start it again"
        )
    if history.earlier(plan.run_key) != plan.history:
        raise OutdatedError(
            f"run {plan.run_key}: an earlier run was released or replaced since it was planned; start it again"
        )


def total(stage: str, reports: Sequence[StageReport]) -> StageReport:
    """The reports of a stage's shards as one: counts, seconds and CPU seconds summed."""
    counts: Counter[str] = Counter()
    for one in reports:
        counts.update(one.counts)
    return StageReport(stage, -1, dict(counts), sum(r.seconds for r in reports), sum(r.cpu_s for r in reports))


def _pack(files: Mapping[str, tuple[str, int, str]], shard_bytes: int) -> tuple[tuple[str, ...], ...]:
    """Sources in order, packed into shards of about `shard_bytes` of text each. One shard at least."""
    shards: list[list[str]] = [[]]
    size = 0
    for source, (_, on_disk, _) in sorted(files.items()):
        weight = on_disk * _expansion(source)
        if shards[-1] and size + weight > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(source)
        size += weight
    return tuple(tuple(shard) for shard in shards)


def _expansion(source: str) -> int:
    return EXPANSION if source.lower().endswith(COMPRESSED) else 1


def _batches(plan: Plan, shard: int, rejects: list[formats.Reject]) -> Iterator[pa.Table]:
    """The raw documents of a shard, small files put together, in tables of batch_chars of text, or up to twice that."""
    options = plan.settings.pipeline.ingest
    limits = formats.Limits(
        max_record_bytes=options.max_record_bytes,
        max_expansion=options.max_expansion,
        max_file_bytes=options.max_file_bytes,
    )
    waiting: list[pa.Table] = []
    held = 0
    for source in plan.shards[shard]:
        path, size, _ = plan.files[source]
        with open_input(Path(path)) as stream:
            for table, refused in formats.read_batches(
                stream, source=source, size=size, limits=limits, batch_chars=options.batch_chars
            ):
                rejects += refused
                if not table.num_rows:
                    continue
                # Small files are put together; a small rest joins what comes next: a batch has its own fixed cost.
                waiting.append(table)
                held += table.nbytes
                if held >= options.batch_chars:
                    yield pa.concat_tables(waiting)
                    waiting, held = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def _repaired(plan: Plan, shard: int) -> Path:
    """The file of a shard's repaired documents. Where `write` took it away already, as when a stage before is repeated after it,
    the raw files are read once more. Raises StageError when one of them isn't what it was."""
    path = plan.shard_file("docs", shard, "arrow")
    if not path.exists():
        for source in plan.shards[shard]:
            raw, _, digest = plan.files[source]
            if not Path(raw).is_file() or sha256(Path(raw)) != digest:
                raise StageError(
                    f"{source} must be read again for what is to be repeated, and has changed or gone: start the run again"
                )
        _prepare(plan, shard)
    return path


def _repair_again(work: str, shard: int) -> None:
    _repaired(load_plan(work), shard)


def _as_frame(table: pa.Table) -> pl.DataFrame:
    """A batch of documents with their row numbers as `doc`."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.with_row_index("doc")


def _pages_of(docs: pl.DataFrame) -> pl.DataFrame:
    """doc, key (the first 64 bits of doc_id, signed) and site of each document, as `templates` wants them."""
    key = fingerprint.document_keys(docs["doc_id"])
    return docs.select("doc", key, pl.col("site_key").alias("site"))


def _described(docs: pl.DataFrame) -> pl.DataFrame:
    """What the input says of each document, as `metadata` wants it."""
    return docs.select("doc", "url", "title", pl.col("site_key").alias("site"), "authors", "published_at", "markup")


def _to_arrow(frame: pl.DataFrame, wanted: pl.Schema) -> pa.Table:
    table: pa.Table = frame.select(pl.col(name).cast(kind) for name, kind in wanted.items()).to_arrow()
    return table


def _known_duplicates(plan: Plan, history: History) -> dict[str, pl.DataFrame]:
    """What barrier 2 reads of earlier runs: what this run's tables could meet."""
    policy = plan.settings.dedup.document_dedup
    compared = policy.near and "document_dedup" not in plan.skip
    return history.known(
        list(plan.history),
        texts=_hashes(plan, "fingerprints", "key_hash"),
        bands=_hashes(plan, "bands", "h") if compared else np.zeros(0, dtype=np.int64),
        sentences=_hashes(plan, "sentences", "key_hash"),
        near_min_words=policy.near_min_words,
    )


def _known_sketches(plan: Plan, history: History, numbers: pl.Series) -> pl.DataFrame:
    """known_sketches of the documents of earlier runs among `numbers`."""
    wanted = numbers.filter(numbers < 0).unique().sort().to_numpy()
    return history.look_up(list(plan.history), "sketches", "number", wanted, in_order=False)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Reads columns of a barrier's inputs, a row group at a time."""

    plan: Plan

    def __call__(self, table: str, names: Sequence[str]) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
        for path in self.plan.shard_files(table):
            yield from read_columns(path, names)

    def rows(self, table: str) -> int:
        """How many rows a table has."""
        return sum(map(count_rows, self.plan.shard_files(table)))


class _Kernels:
    """The tables of barrier 2 that kernels make."""

    def __init__(self, plan: Plan, history: History, known: Mapping[str, pl.DataFrame], threads: int) -> None:
        self.plan, self.history, self.known, self.threads = plan, history, known, threads
        self.columns = _Columns(plan)
        self.recurring = plan.work / "recurring_sentences.parquet"

    def aside(self, kinds: Mapping[str, npt.DTypeLike], fits: bool) -> Aside:
        """Room for rows: in memory where they fit."""
        return Aside(None if fits else self.plan.work, kinds)

    def tables(self) -> dict[str, Made]:
        """Those of documents.sql, in its order."""
        return {
            "band_pairs": Made(self._band_pairs, ("near_eligible",)),
            "met_shingles": Made(self._met_shingles, ("candidate_pairs",)),
            "sample_sizes": Made(lambda _: self._overlaps.sample_sizes(), ("met_shingles",)),
            "shared_facts": Made(self._shared_facts, ("met_shingles",)),
            "repeated_keys": Made(self._repeated_keys, ()),
            "recurring_sentences": Made(self._recurring_sentences, ("documents", "repeated_keys")),
        }

    def compared(self) -> meet.Compared:
        """The sentences that may nearly repeat one of another document: meeting_sentences of sentences.sql, after it."""
        self.recurring.unlink()
        documents = pl.read_parquet(self.plan.work / "numbered_documents.parquet", columns=["doc", "number", "fate"])
        stays = (documents["fate"] == 0) & ("sentence_dedup" not in self.plan.skip)
        path = self.plan.work / "first_of_kind.parquet"
        firsts = pl.read_parquet(path)
        path.unlink()
        near = pl.read_parquet(self.plan.shard_files("near_sentences"), columns=["doc", "start_char"])
        near = near.join(documents, on="doc")
        return meet.meeting_sentences(
            self.columns,
            self._repeated,
            _numbers(documents, stays=stays.cast(pl.Int8)),
            first_places=meet.places(firsts["number"].to_numpy(), firsts["start_char"].to_numpy()),
            near_sentences=meet.places(near["number"].to_numpy(), near["start_char"].to_numpy()),
            min_words=self.plan.settings.dedup.sentence_dedup.min_words_in_document,
        )

    def _band_pairs(self, query: Query) -> pa.Table:
        eligible = pl.DataFrame(query("SELECT turn, number, doc FROM near_eligible"))
        return meet.band_pairs(self.columns, eligible, self.known["known_bands"], self.aside, threads=self.threads)

    def _met_shingles(self, query: Query) -> pa.Table:
        pairs = pl.DataFrame(query(f"SELECT {', '.join(meet.CANDIDATE_COLUMNS)} FROM candidate_pairs"))
        known = _known_sketches(self.plan, self.history, pairs["earlier"])
        self._overlaps = meet.overlaps(self.columns, pairs, known, self.aside)
        return self._overlaps.met_shingles()

    def _shared_facts(self, _: Query) -> pa.Table:
        facts = self._overlaps.shared_facts()
        del self._overlaps  # nobody asks for more of it
        return facts

    def _repeated_keys(self, _: Query) -> pa.Table:
        known = self.known["known_sentences"]["key_hash"].to_numpy()
        self._repeated = meet.repeats(self.columns, known, self.aside)
        return meet.repeated_keys(known, self.columns, self._repeated)

    def _recurring_sentences(self, query: Query) -> list[Path]:
        numbers = _numbers(pl.DataFrame(query("SELECT doc, number FROM documents")))
        rows = (some.to_arrow() for some in meet.recurring_sentences(self.columns, self._repeated, numbers))
        write_parquet(self.recurring, rows, _arrow_schema(meet.RECURRING))
        return [self.recurring]


def _numbers(documents: pl.DataFrame, **told: pl.Series) -> meet.Documents:
    columns = {"number": documents["number"], **told}
    return meet.Documents(documents["doc"].to_numpy(), **{name: one.to_numpy() for name, one in columns.items()})


def _near_candidates(
    plan: Plan, history: History, engine: LocalEngine, kernels: _Kernels | None
) -> tuple[meet.Candidates, pl.DataFrame]:
    """The pairs that near.sql finds among this run's sentences and those of earlier runs, and where the texts of the latter are: of
    the first of the candidates' sentences number and start_char, doc_id, part and row of the document, cut and n_chars.

    kernels: what made tables before, where they can be used.
    """
    keys = list(plan.history) if plan.settings.dedup.sentence_dedup.near_history else []
    told = "cut", "n_chars"  # of a sentence of an earlier run, for its text
    if kernels is None:
        compared = plan.work / "meeting_sentences.parquet"
        wanted = np.zeros(0, dtype=np.int64)
        if keys:
            sides = [pl.read_parquet(compared, columns=[name]).to_series().unique() for name in ("near_a", "near_b")]
            wanted = np.unique(np.concatenate([side.to_numpy() for side in sides]))
        path = plan.work / "near_candidates.parquet"
        meetings = history.meetings(keys, wanted)
        engine.sql(
            _sql("etl.dedup", "near.sql"),
            views={"meeting_sentences": [compared], "known_meetings": meetings.drop(told).to_arrow()},
            outputs={"near_candidates": path},
            temp=plan.work,
        )
        candidates = meet.Candidates.of(pl.read_parquet(path))
        for one in (compared, path):  # a tenth of the raw text, and nobody's but this stage's
            one.unlink()
    else:
        met = kernels.compared()
        meetings = history.meetings(keys, meet.points(kernels.columns, met) if keys else np.zeros(0, dtype=np.int64))
        candidates = meet.near_candidates(
            kernels.columns, met, meetings.drop(told), kernels.aside, threads=engine.workers
        )
    earlier = candidates.sentences.select("number", "start_char").filter(pl.col("number") < 0)
    numbers = earlier["number"].unique().sort().to_numpy()
    known = history.look_up(keys, "fingerprints", "number", numbers, columns=("number", "part", "row", "doc_id"))
    lies = meetings.select("number", "start_char", *told).unique()
    for also, by in ((known, ["number"]), (lies, ["number", "start_char"])):
        kinds = {name: candidates.sentences.schema[name] for name in by}
        earlier = earlier.join(also.cast(kinds), on=by, how="left", maintain_order="left")  # type: ignore[arg-type]
    return candidates, earlier


def _judge_across(
    plan: Plan,
    history: History,
    candidates: meet.Candidates,
    earlier: pl.DataFrame,
    *,
    known: Mapping[str, pl.DataFrame],
    threads: int,
) -> int:
    """Judge `candidates` by their texts, and add the near-duplicates to dropped_sentences; how many they are.

    What points to a sentence that went for the sake of another document's points to that one: exact copies of it.
    earlier: of sentences of earlier runs, as _near_candidates gives it.
    """
    policy = plan.settings.dedup.sentence_dedup
    path = plan.work / "dropped_sentences.parquet"
    alike = None
    if len(candidates.later):
        alike = _named(plan, candidates, earlier, _alike(plan, history, candidates, earlier, threads=threads))
        give_memory_back()  # of texts
    judged = pl.read_parquet(path).with_columns(exact=pl.col("rule") == "exact-sentence")
    near = judged.clear()
    if alike is not None:
        near = near_across(alike, judged.drop("doc", "exact"), max_share=policy.max_share, mode=policy.mode)
        key = fingerprint.document_keys(near["doc_id"]).alias("doc")
        near = near.select(key, pl.all(), exact=pl.lit(value=False))
    gone_before = known["known_stand_ins"].join(known["known_fingerprints"].select("number", "doc_id"), on="number")
    columns = ["doc_id", "start_char", "kept_doc_id", "kept_start", "score"]
    gone = pl.concat(
        [
            one.select(pl.col(name).cast(judged.schema[name]) for name in columns)
            for one in (gone_before, near.filter(action="remove"))
        ]
    )
    some = (
        pl.concat([pointing_on(one, gone), other]).sort("doc_id", "start_char").to_arrow()
        for one, other in _some_documents(judged, near)
    )
    write_parquet(path, some, judged.clear().to_arrow().schema)
    return near.height


def _some_documents(judged: pl.DataFrame, near: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The rows of both tables for some documents at a time, in order of doc_id, by which `judged` is sorted."""
    near = near.sort("doc_id")
    first = judged["doc_id"][::SENTENCES_AT_ONCE].unique().sort()[1:]  # of each lot but the first
    edges = (
        pairwise([0, *table["doc_id"].search_sorted(first, side="left").to_list(), table.height])
        for table in (judged, near)
    )
    for (begin, past), (near_begin, near_past) in zip(*edges, strict=True):
        yield judged[begin:past], near[near_begin:near_past]


def _named(plan: Plan, candidates: meet.Candidates, earlier: pl.DataFrame, alike: pl.DataFrame) -> pl.DataFrame:
    """The few pairs that are `alike` as near_across asks for them."""
    mine, theirs = (candidates.sentences[rows[alike["pair"]]] for rows in (candidates.later, candidates.earlier))
    docs = pl.concat([mine["doc"], theirs["doc"]]).drop_nulls().unique()
    prints = pl.scan_parquet(plan.shard_files("fingerprints")).filter(pl.col("doc").is_in(docs.implode()))
    named = prints.select("doc", "doc_id", "n_chars").collect()
    before = earlier.select("number", known_doc_id="doc_id").unique()
    kept = (
        theirs.join(named, on="doc", how="left", maintain_order="left")
        .join(before, on="number", how="left", maintain_order="left")
        .select(kept_doc_id=pl.coalesce("doc_id", "known_doc_id"), kept_start="start_char")
    )
    own = mine.join(named, on="doc", how="left", maintain_order="left")
    return pl.concat([own, kept, alike.select("score")], how="horizontal")


def _alike(
    plan: Plan, history: History, candidates: meet.Candidates, earlier: pl.DataFrame, *, threads: int
) -> pl.DataFrame:
    """Which of the candidates' pairs are alike by their texts, so that the later one can go: pair and score, in order.

    Documents are read once: the texts of sentences are set aside for every TEXTS_AT_ONCE pairs that ask for them.
    """
    pairs = np.arange(len(candidates.later))
    parts = [pairs[first : first + TEXTS_AT_ONCE] for first in range(0, len(pairs), TEXTS_AT_ONCE)]
    folder = None if len(parts) == 1 else plan.work
    wanted = [np.concatenate([candidates.later[some], candidates.earlier[some]]) for some in parts]
    texts = _Texts(wanted, candidates.sentences.height, folder)
    cut_at = pl.col("start_char") - pl.col("cut")
    lies = earlier.select("part", "row", "number", "n_chars", start_char=cut_at)
    for first in range(0, lies.height, EARLIER_AT_ONCE):
        known = history.texts(list(plan.history), lies[first : first + EARLIER_AT_ONCE])
        there = np.flatnonzero(known.is_not_null().to_numpy())
        texts.put(there + first, known.gather(there))
    _cut_sentences(plan, candidates.sentences[earlier.height :], earlier.height, texts, threads=threads)
    found = [pl.DataFrame(schema={"pair": pl.Int64, "score": pl.Float64})]
    least = plan.settings.dedup.sentence_dedup.near_similarity_min
    for part, some in enumerate(parts):
        rows, held = texts.take(part)
        if not len(rows):
            continue

        def likely(
            few: npt.NDArray[np.intp], rows: npt.NDArray[np.uint32] = rows, held: pl.Series = held
        ) -> tuple[npt.NDArray[np.intp], pl.Series, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
            sides = candidates.later[few], candidates.earlier[few]
            needed = meet.different(np.concatenate(sides))
            place = np.minimum(np.searchsorted(rows, needed), len(rows) - 1)
            has_text = rows[place] == needed
            mine, theirs = (np.searchsorted(needed, side) for side in sides)
            asked = np.flatnonzero(has_text[mine] & has_text[theirs])  # of others the text is gone
            texts = held.gather(place)
            asked = asked[likely_pairs(texts, mine[asked], theirs[asked])]
            return few[asked], texts, mine[asked], theirs[asked]

        for few, of_few, *pair in in_threads(likely, np.array_split(some, len(some) // JUDGED_AT_ONCE + 1), threads):
            alike, scores = alike_pairs(of_few, *pair, similarity_min=least)
            found.append(pl.DataFrame({"pair": few[alike], "score": scores}, schema=found[0].schema))
    return pl.concat(found)


class _Texts:
    """Texts of sentences, set aside for each part of the pairs that ask for them.

    wanted: of each part the rows of its sentences, of so many. folder: where texts are set aside that memory can't hold.
    """

    def __init__(self, wanted: Sequence[npt.NDArray[np.uint32]], rows: int, folder: Path | None) -> None:
        self._parts = len(wanted)
        asked = [meet.different(rows) * np.int64(self._parts) + part for part, rows in enumerate(wanted)]
        self._asked = np.sort(np.concatenate(asked))  # row by row the parts that ask for it
        self._first = np.searchsorted(self._asked, np.arange(rows + 1) * self._parts).astype(np.uint32)
        self._rows = Aside(folder, {"row": np.uint32, "size": np.uint32})
        self._bytes = Aside(folder, {"byte": np.uint8})
        self._lock = Lock()

    def put(self, rows: npt.NDArray[np.integer[Any]], texts: pl.Series) -> None:
        """Set the texts of some rows aside."""
        first = self._first[rows].astype(np.int64)
        times = self._first[rows + 1] - first
        asked = self._asked[np.repeat(first - np.cumsum(times) + times, times) + np.arange(times.sum())]
        place, part = np.repeat(np.arange(len(rows)), times), asked % self._parts
        for number in np.unique(part).tolist():
            mine = place[part == number]
            data, offsets = text_buffers(texts.gather(mine))
            told = {"row": rows[mine], "size": np.diff(offsets)}
            with self._lock:
                self._rows.put(number, told)
                self._bytes.put(number, {"byte": data[offsets[0] : offsets[-1]]})

    def take(self, part: int) -> tuple[npt.NDArray[np.uint32], pl.Series]:
        """(rows, their texts) of a part, rows in order."""
        told = self._rows.take(part)
        offsets = np.concatenate([[0], np.cumsum(told["size"], dtype=np.int64)])
        texts = text_series(self._bytes.take(part)["byte"], offsets)
        order = np.argsort(told["row"])
        return told["row"][order], texts.gather(order)


def _cut_sentences(plan: Plan, sentences: pl.DataFrame, first: int, texts: _Texts, *, threads: int) -> None:
    """Set aside the texts of `sentences` (doc, start_char, end_char), which have the rows from `first` on: each document is read once."""
    order = np.argsort(sentences["doc"].to_numpy(), kind="stable")
    wanted = sentences["doc"].to_numpy()[order]
    starts, ends = (sentences[name].to_numpy() for name in ("start_char", "end_char"))
    spans = native.spans if native.available() else cut.spans

    def cut_file(path: Path) -> None:
        for table in read_batch_file(path, columns=["doc_id", "text"]):
            docs = _as_frame(table)
            keys = fingerprint.document_keys(docs["doc_id"]).to_numpy()
            begin, past = (np.searchsorted(wanted, keys, side=side) for side in ("left", "right"))
            sizes = past - begin
            rows = order[np.repeat(begin - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())]
            owners = np.repeat(np.arange(len(keys)), sizes)
            texts.put(rows + first, spans(docs["text"], owners, starts[rows], ends[rows]))

    for _ in in_threads(cut_file, plan.shard_files("docs", "arrow"), threads):
        pass


def _hashes(plan: Plan, table: str, column: str) -> npt.NDArray[np.int64]:
    """The different hashes in a column of a barrier's input, sorted; none when there is no history to look them up in."""
    if not plan.history:
        return np.zeros(0, dtype=np.int64)
    values = [some[column] for some in _Columns(plan)(table, [column])]
    return meet.different(np.concatenate([np.zeros(0, np.int64), *values]))


def _of_shard(plan: Plan, shard: int, table: str) -> pl.DataFrame:
    """The rows of one of barrier 2's tables that are of a shard's documents."""
    docs = pl.read_parquet(plan.shard_file("fingerprints", shard), columns=["doc"])["doc"]
    return pl.scan_parquet(plan.work / f"{table}.parquet").filter(pl.col("doc").is_in(docs.implode())).collect()


@dataclass(frozen=True, slots=True)
class _Numbered:
    """The documents of a shard, by the keys that the tables name them by. first: of each batch, and how many there are."""

    keys: npt.NDArray[np.int64]
    first: tuple[int, ...]

    def find(self, keys: pl.Series) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """(where in `keys`, which document) for each that is of the shard, in the order of its documents."""
        asked, order = keys.to_numpy(), np.argsort(self.keys)
        if not len(order):
            return order, order
        place = order[np.minimum(np.searchsorted(self.keys, asked, sorter=order), len(order) - 1)]
        found = np.flatnonzero(self.keys[place] == asked)
        found = found[np.argsort(place[found], kind="stable")]
        return found, place[found]


def _numbered_documents(plan: Plan, shard: int) -> _Numbered:
    tables = list(read_batch_file(_repaired(plan, shard), columns=["doc_id"]))
    keys = [fingerprint.document_keys(pl.Series(table["doc_id"])).to_numpy() for table in tables]
    first = np.cumsum([0, *map(len, keys)]).tolist()
    return _Numbered(np.concatenate([np.zeros(0, np.int64), *keys]), tuple(first))


def _decided(
    plan: Plan, shard: int, numbered: _Numbered, judged_sentences: pl.DataFrame
) -> Iterator[tuple[pa.Table, Marks, Dropped, Marks]]:
    """(docs, marks, dropped, noted) of each batch of a shard, as `assemble` wants them: what every step decided, together.

    judged_sentences: the shard's rows of dropped_sentences.
    """
    dropped_documents = pl.read_parquet(plan.work / "dropped_documents.parquet")
    noted_documents = pl.read_parquet(plan.work / "annotated_documents.parquet")
    _, kept = numbered.find(fingerprint.document_keys(dropped_documents["kept_doc_id"]))
    copies = np.bincount(kept, minlength=len(numbered.keys)).astype(np.int64)
    removed = judged_sentences["action"] == "remove"
    gone = _of_sentences(numbered, judged_sentences.filter(removed))
    noted = _of_sentences(numbered, judged_sentences.filter(~removed))
    dropped = _of_documents(numbered, dropped_documents)
    noted_whole = _of_documents(numbered, noted_documents)
    known = [name for name in DOCS.names if name in schema.DOCUMENTS.names and name not in FOUND.names]
    batches = (
        read_batch_file(plan.shard_file(name, shard, "arrow"), columns=columns)
        for name, columns in (("docs", known), ("found", FOUND.names), ("marks", MARKS.names))
    )
    for number, (table, found, marks) in enumerate(zip(*batches, strict=True)):
        first, past = numbered.first[number : number + 2]
        copied = pa.table({"duplicates": column(copies[first:past])})
        docs = pa.table({name: part[name] for part in (table, found, copied) for name in part.column_names})
        repeated = _confirmed(docs, _within(gone, first, past))
        went, whole = (_within(some, first, past) for some in (dropped, noted_whole))
        yield (
            docs,
            _together(_marks(marks), repeated),
            Dropped(went.doc, went.why),
            _together(_within(noted, first, past), whole),
        )


def _of_sentences(numbered: _Numbered, judged: pl.DataFrame) -> Marks:
    """Judged sentences of a shard, sorted; doc: of the shard."""
    judged = judged.sort("doc_id", "start_char")
    rows, doc = numbered.find(judged["doc"])
    told = judged[rows]
    starts, ends = (told[name].to_numpy() for name in ("start_char", "end_char"))
    return Marks(doc, starts, ends, _why(told, unit="sentence", stage="sentence_dedup"))


def _of_documents(numbered: _Numbered, judged: pl.DataFrame) -> Marks:
    """Judged documents of a shard, sorted; doc: of the shard."""
    rows, doc = numbered.find(fingerprint.document_keys(judged["doc_id"]))
    told = judged[rows].with_columns(kept_start=pl.lit(0))
    nowhere = np.zeros(len(doc), np.int64)
    return Marks(doc, nowhere, nowhere, _why(told, unit="document", stage="document_dedup"))


def _why(judged: pl.DataFrame, *, unit: str, stage: str) -> pa.Table:
    """REASONED of what barrier 2 judged."""
    told: pa.Table = judged.select(
        "rule", pl.col("score").cast(pl.Float32), "kept_doc_id", pl.col("kept_start").cast(pl.Int64)
    ).to_arrow()
    rule = coded(told["rule"])
    reasons = coded(strings([REASONS.get(one, "a copy of the one that stays") for one in rule.dictionary.to_pylist()]))
    reason = pa.DictionaryArray.from_arrays(reasons.indices.take(rule.indices), reasons.dictionary)
    columns = [rule, reason, told["score"], coded(told["kept_doc_id"]), told["kept_start"]]
    return pa.table([*(same(text, judged.height) for text in (unit, stage)), *columns], schema=REASONED)


def _within(marks: Marks, first: int, past: int) -> Marks:
    """Those of the sorted `marks` that are of documents from `first` to before `past`; doc: from `first` on."""
    low, high = np.searchsorted(marks.doc, [first, past]).tolist()
    some = slice(low, high)
    return Marks(marks.doc[some] - first, marks.starts[some], marks.ends[some], marks.why.slice(low, high - low))


def _marks(table: pa.Table) -> Marks:
    """What boilerplate would remove."""
    rows = table.num_rows
    doc, starts, ends = (pl.Series(table[name]).to_numpy() for name in ("doc", "start", "end"))
    told = [table[name] for name in ("unit", "stage", "rule", "reason")]
    empty = pa.DictionaryArray.from_arrays(pa.nulls(rows, pa.int32()), strings([]))
    return Marks(
        doc, starts, ends, pa.table([*told, table["score"], empty, pa.nulls(rows, pa.int64())], schema=REASONED)
    )


def _together(one: Marks, other: Marks) -> Marks:
    if not len(other.doc):
        return one
    places = zip((one.doc, one.starts, one.ends), (other.doc, other.starts, other.ends), strict=True)
    doc, starts, ends = (np.concatenate([a.astype(np.int64), b.astype(np.int64)]) for a, b in places)
    return Marks(doc, starts, ends, stacked([one.why, other.why]))


def _confirmed(docs: pa.Table, repeated: Marks) -> Marks:
    """`repeated` without those that an exact splitter doesn't see as whole sentences: nothing is left half a sentence."""
    way = native if native.available() else cut
    owners, starts, ends = repeated.doc, repeated.starts.astype(np.int64), repeated.ends.astype(np.int64)
    around = way.lines_around(pl.Series(docs["text"]), owners, starts, ends)
    good = around.kind == cut.FILLS
    asked = np.flatnonzero(around.kind == cut.PART)  # the few sentences about to go
    first = around.starts[asked]
    told = (
        asked.tolist(),
        around.lines.gather(asked).to_list(),
        first.tolist(),
        (first + ends[asked] - starts[asked]).tolist(),
        pl.Series(docs["lang"]).gather(owners[asked]).fill_null("en").to_list(),
    )
    for row, line, start, end, lang in zip(*told, strict=True):
        good[row] = sentences.confirm_boundaries(line, start, end, lang=lang)
    rows = np.flatnonzero(good)
    return Marks(owners[rows], starts[rows], ends[rows], repeated.why.take(column(rows)))


def _published(numbered: _Numbered, made: Sequence[Assembled]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """PUBLISHED and CUTS of a shard."""
    nothing = np.zeros(0, np.int64)
    first = numbered.first[:-1]
    doc = np.concatenate([nothing, *(one.rows + at for one, at in zip(made, first, strict=True))])
    cut_doc = np.concatenate([nothing, *(one.cut_doc + at for one, at in zip(made, first, strict=True))])
    starts, ends = (
        np.concatenate([nothing, *(getattr(one, name) for one in made)]) for name in ("cut_start", "cut_end")
    )
    published = {"doc": numbered.keys[doc], "row": np.arange(len(doc), dtype=np.uint32)}
    cuts = {"doc": numbered.keys[cut_doc], "start": starts, "end": ends}
    return pl.DataFrame(published, schema=PUBLISHED), pl.DataFrame(cuts, schema=CUTS)


def _write_state(plan: Plan) -> None:
    """The run's settled files, its recipe and what it kept of sites, as state below `release`; the rest each shard has written."""
    folder = plan.work / "release" / dataset.STATE
    files = sorted((source, digest, size) for source, (_, size, digest) in plan.files.items())
    columns = {name: [row[place] for row in files] for place, name in enumerate(FILES.names)}
    write_state(folder, "files", [schema.table_of(columns, FILES)], FILES)
    config, overrides = settings.frozen(plan.work / "config")
    told = {name: json.dumps(value) for name, value in (("inputs", plan.inputs), ("skip", plan.skip))}
    told |= {"overrides": json.dumps(overrides, sort_keys=True), **config}
    recipe = {"name": list(told), "text": list(told.values())}
    write_state(folder, "recipe", [schema.table_of(recipe, RECIPE)], RECIPE)
    for name in ("kept_pages", "habits"):
        if (plan.work / f"{name}.parquet").exists():  # not where boilerplate was skipped
            _keep(folder, name, pl.read_parquet(plan.work / f"{name}.parquet"), templates.STATE[name])


def _write_shard_state(
    plan: Plan,
    shard: int,
    judged_sentences: pl.DataFrame,
    published: pl.DataFrame,
    cuts: pl.DataFrame,
) -> list[tuple[Path, str]]:
    """Write what one shard leaves for later runs: lines of the pages that are kept, and of its documents what barrier 2 looks
    up. The files, each with its sha256.

    judged_sentences: the shard's rows of dropped_sentences. published, cuts: PUBLISHED and CUTS.
    """
    folder = plan.work / "release" / dataset.STATE
    files = []
    if (plan.work / "kept_pages.parquet").exists():  # not where boilerplate was skipped
        kept = pl.read_parquet(plan.work / "kept_pages.parquet")
        lines = templates.kept_lines(pl.read_parquet(plan.shard_file("page_lines", shard)), kept)
        kind, by = templates.PAGE_LINES, SORTED_BY["kept_lines"]
        files.append(_keep(folder, f"kept_lines-{shard:05d}", lines, kind, sorted_by=by))
    made = state_tables(
        {name: pl.DataFrame(read_parquet(plan.shard_file(name, shard), columns=told)) for name, told in READ.items()},
        _of_shard(plan, shard, "numbered_documents"),
        judged_sentences,
        published,
        cuts,
        part=shard,
        near_history=plan.settings.dedup.sentence_dedup.near_history,
    )
    for name, rows in made.items():
        files.append(_keep(folder, f"{name}-{shard:05d}", rows, STATE[name], sorted_by=SORTED_BY[name]))
    return files


def _keep(folder: Path, table: str, rows: pl.DataFrame, kind: pl.Schema, *, sorted_by: str = "") -> tuple[Path, str]:
    return write_state(folder, table, [_to_arrow(rows, kind)], _arrow_schema(kind), sorted_by=sorted_by)


def _draw(plan: Plan, verdict: gates.Verdict | None) -> None:
    """Draw the run's report."""
    from etl.report import page  # and Jinja, which workers never need

    told = read_json(plan.work / "report" / METRICS)
    out = Path(plan.out)
    how = (f"etl approve --out {shlex.quote(str(out))} --run-key {plan.run_key}",)
    drawn = page.render(told, earlier=earlier_metrics(out, plan.history), verdict=verdict, approve=page.Approve(how))
    write_text(plan.work / "report" / "index.html", drawn)


def _facts(plan: Plan, engine: LocalEngine) -> metrics.Facts:
    """What the report is made of."""
    folder = plan.work / "metrics"
    folder.mkdir(exist_ok=True)
    outputs = {name: folder / f"{name}.parquet" for name in metrics.AGGREGATES}
    views: dict[str, Sequence[Path] | pa.Table] = {
        "rejects": sorted((plan.work / "release" / "rejects").glob("*.parquet"))
    }
    views |= {name: pa.concat_tables(map(read_batches, plan.shard_files(name, "arrow"))) for name in told.TOLD}
    engine.sql(_sql("etl.report", "metrics.sql"), views=views, outputs=outputs, temp=plan.work)
    return metrics.Facts(
        run_key=plan.run_key,
        reports=[read_json(path) for path in sorted((plan.work / "reports").glob("*.json"))],
        skip=plan.skip,
        earlier=list(plan.history),
        **{name: read_parquet(path) for name, path in outputs.items()},
    )


def _evidence(plan: Plan) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(site_lines, site_pages) of barrier 1, empty when it didn't run."""
    if "boilerplate" in plan.skip:
        return templates.SITE_LINES.to_frame(), templates.SITE_PAGES.to_frame()
    return pl.read_parquet(plan.work / "site_lines.parquet"), pl.read_parquet(plan.work / "site_pages.parquet")


def _found(docs: pl.DataFrame, stripped: strip.Stripped) -> pl.DataFrame:
    """FOUND for each document: the input's word, else what boilerplate found, else what the kept text tells."""
    longest = stripped.segments.select("doc", "text")[_longest(stripped.segments)]
    texts = docs.select("doc", "lang").join(longest, on="doc", how="left", maintain_order="left")
    asked = texts.filter(pl.col("lang").is_null() & pl.col("text").is_not_null())
    told = pl.concat([asked.select("doc"), language.detect(asked["text"])], how="horizontal")
    return (
        stripped.found.join(docs.select("doc", "lang"), on="doc", how="left", maintain_order="left")
        .join(told.rename({"lang": "told"}), on="doc", how="left", maintain_order="left")
        .sort("doc")
        .with_columns(pl.coalesce("lang", "told"))
    )


def _longest(lines: pl.DataFrame) -> npt.NDArray[np.int64]:
    """The row of each document's longest line, the first of several. lines: in the order of their documents."""
    doc = lines["doc"].to_numpy()
    chars = lines["end"].to_numpy().astype(np.int64) - lines["start"].to_numpy()
    heads = np.flatnonzero(np.append(True, doc[1:] != doc[:-1])[: len(doc)])
    if not len(heads):
        return heads
    most = np.repeat(np.maximum.reduceat(chars, heads), np.diff(heads, append=len(doc)))
    rows = np.flatnonzero(chars == most)
    first: npt.NDArray[np.int64] = rows[np.searchsorted(rows, heads)]
    return first


def _sql(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _arrow_schema(of: pl.Schema) -> pa.Schema:
    empty: pa.Table = of.to_frame().to_arrow()
    return empty.schema


def _clock() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


def _done(stage: str, counts: Mapping[str, int], started: tuple[float, float], shard: int = -1) -> StageReport:
    """The report of a stage that began at `started`."""
    now = _clock()
    return StageReport(stage, shard, dict(counts), round(now[0] - started[0], 3), round(now[1] - started[1], 3))


def _report(plan: Plan, done: StageReport) -> StageReport:
    """Keep `done` in the run's work folder, and log it."""
    name = done.stage if done.shard < 0 else f"{done.stage}-{done.shard:05d}"
    write_json(plan.work / "reports" / f"{name}.json", asdict(done))
    log.info("%s %s %s %.1f s", done.stage, "" if done.shard < 0 else f"shard {done.shard}", done.line(), done.seconds)
    return done
