"""A run in figures: what `metrics.json` holds, made from the stages' counts and the tables of `metrics.sql`.

All but `timing` is the same for the same input, configuration and history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Numbers = npt.NDArray[Any]

METRICS_VERSION: Final = 1
TOLD: Final = {
    "rule_counts": pl.Schema(
        {
            **{name: pl.String() for name in ("stage", "rule", "unit", "least_reason", "most_reason")},
            **{name: pl.Int64() for name in ("n", "chars")},
        }
    ),
    "site_counts": pl.Schema(
        {"site": pl.String(), **{name: pl.Int64() for name in ("documents", "chars_kept", "chars_removed")}}
    ),
    "told_removals": pl.Schema(
        {
            **{
                name: pl.String()
                for name in ("stage", "rule", "unit", "doc_id", "source", "text", "reason", "kept_doc_id")
            },
            **{name: pl.Int64() for name in ("start_at", "chars")},
            "score": pl.Float32(),
            "before": pl.String(),
            "after": pl.String(),
        }
    ),
    "kept_documents": pl.Schema({name: pl.String() for name in ("doc_id", "source", "title")}),
}
"""What each part of a run tells its report, which `metrics.sql` reads.

told_removals: copies, and what a sample may be made of: all that each rule cut out of SAMPLED_DOCS documents. text: the beginning of
it; null where it is no sample. before, after: what is kept around it; null where a whole document went.
kept_documents: those that copies were dropped for."""
SAMPLED_DOCS: Final = 3  # documents of each rule, those with the smallest ids
TEXT_CHARS: Final = 300
TITLE_CHARS: Final = 200
AROUND_CHARS: Final = 80  # of the text before and after a sample; less is where the text ends
AGGREGATES: Final = ("by_rule", "by_site", "by_error", "clusters", "members", "samples")
"""The tables that `metrics.sql` makes, each a field of Facts."""
RUN_ORDER: Final = ("discover", "prepare", "templates", "clean", "duplicates", "write")
"""The stages of a run that are over when its report is made, in order."""
STAGE_ORDER: Final = (
    "metadata",
    "rules",
    "captions",
    "templates",
    "model",
    "sentence_dedup",
    "document_dedup",
    "publish",
)
"""The deciding steps, as removals name them, in the order in which they decide."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a report is made of.

    reports: each shard's report of each stage (stage, shard, counts, seconds, cpu_s). by_rule … samples: the tables
    that `metrics.sql` makes. skip: steps left out. earlier: keys of the runs whose history this one saw.
    """

    run_key: str
    reports: Sequence[Mapping[str, Any]]
    by_rule: pa.Table
    by_site: pa.Table
    by_error: pa.Table
    clusters: pa.Table
    members: pa.Table
    samples: pa.Table
    skip: Sequence[str] = ()
    earlier: Sequence[str] = ()


def tell(documents: pa.Table, removals: pa.Table) -> dict[str, pl.DataFrame]:
    """TOLD of a part: rows of the published documents, and all removals of its documents, which may have dictionaries for strings."""
    docs = pl.DataFrame(documents.select(["site", "n_chars", "removed_chars"]))
    sites = docs.group_by("site").agg(
        documents=pl.len(), chars_kept=pl.col("n_chars").sum(), chars_removed=pl.col("removed_chars").sum()
    )
    copied = pl.Series(documents["duplicates"]).to_numpy() > 0
    kept = pl.DataFrame(documents.select(["doc_id", "source", "title"])).filter(pl.Series(copied))
    coded = {name: _coded(removals[name]) for name in ("stage", "rule", "unit", "reason", "doc_id")}
    made = {
        "rule_counts": _rule_counts(removals, coded),
        "site_counts": sites,
        "told_removals": _told_removals(documents, removals, coded),
        "kept_documents": kept.with_columns(pl.col("title").str.slice(0, TITLE_CHARS)),
    }
    return {name: made[name].select(pl.col(c).cast(k) for c, k in kind.items()) for name, kind in TOLD.items()}


class _Coded(NamedTuple):
    """A column of strings. codes: of each row the place of its value among the `values`, which are in order; their number where it is null."""

    codes: Numbers
    values: pl.Series


def _coded(column: pa.ChunkedArray) -> _Coded:
    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    whole = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    values = pl.Series(whole.dictionary, dtype=pl.String)
    order = values.arg_sort().to_numpy()
    rank = np.empty(len(order) + 1, np.int64)
    rank[order] = np.arange(len(order))
    rank[-1] = len(order)
    codes = pl.Series(whole.indices, dtype=pl.Int64).fill_null(-1).to_numpy()
    return _Coded(rank[codes], values.gather(order))


def _groups(parts: Sequence[_Coded]) -> tuple[Numbers, int]:
    """(of each row the number that its values in several columns have together, how many there can be)"""
    numbers, most = np.zeros(len(parts[0].codes), np.int64), 1
    for part in parts:
        numbers = numbers * (len(part.values) + 1) + part.codes
        most *= len(part.values) + 1
    return numbers, most


def _rule_counts(removals: pa.Table, coded: Mapping[str, _Coded]) -> pl.DataFrame:
    groups, most = _groups([coded[name] for name in ("stage", "rule", "unit")])
    n = np.bincount(groups, minlength=most)
    chars = np.bincount(groups, weights=_chars(removals), minlength=most).astype(np.int64)
    reason, reasons = coded["reason"]
    known = reason < len(reasons)
    least, last = np.full(most, len(reasons)), np.full(most, -1)
    np.minimum.at(least, groups[known], reason[known])
    np.maximum.at(last, groups[known], reason[known])
    there = np.flatnonzero(n)
    columns = {"least_reason": _told(reasons, least[there]), "most_reason": _told(reasons, last[there])}
    left = there
    for name in ("unit", "rule", "stage"):
        left, code = np.divmod(left, len(coded[name].values) + 1)
        columns[name] = _told(coded[name].values, code)
    return pl.DataFrame({**columns, "n": n[there], "chars": chars[there]})


def _told(values: pl.Series, codes: Numbers) -> pl.Series:
    """The values of `codes`, null where one is of none."""
    known = (codes >= 0) & (codes < len(values))
    return values.extend_constant(None, 1).gather(np.where(known, codes, len(values)))


def _chars(removals: pa.Table) -> Numbers:
    starts, ends = (pl.Series(removals[name]).to_numpy() for name in ("start", "end"))
    chars: Numbers = ends - starts
    return chars


def _told_removals(documents: pa.Table, removals: pa.Table, coded: Mapping[str, _Coded]) -> pl.DataFrame:
    doc, units = coded["doc_id"].codes, coded["unit"]
    rules, most = _groups([coded["stage"], coded["rule"]])
    sampled = np.zeros(len(doc), np.bool_)
    later = np.ones(len(doc), np.bool_)  # than the documents that are sampled
    for _ in range(SAMPLED_DOCS):
        first = np.full(most, len(doc))
        np.minimum.at(first, rules[later], doc[later])
        sampled |= doc == first[rules]
        later = doc > first[rules]
    rows, kept_at = _kept_at(removals, doc, sampled)
    is_whole = np.append((units.values == "document").to_numpy(), False)[units.codes]
    copies = np.flatnonzero(is_whole & ~sampled & pl.Series(removals["kept_doc_id"]).is_not_null().to_numpy())
    told = _plain(removals, np.append(rows, copies))
    text = pl.Series(removals["text"]).gather(rows).str.slice(0, TEXT_CHARS)
    at = pl.Series("at", kept_at)
    texts = pl.DataFrame({"doc_id": pl.Series(documents["doc_id"]), "kept": pl.Series(documents["text"])})
    around = (
        told[: len(rows)]
        .select("doc_id", "unit")
        .with_columns(at)
        .join(texts, on="doc_id", how="left", maintain_order="left")
        .with_columns(at=pl.when(pl.col("unit") != "document").then("at"))
        .select(
            before=pl.col("kept").str.slice((pl.col("at") - AROUND_CHARS).clip(0), pl.col("at").clip(0, AROUND_CHARS)),
            after=pl.col("kept").str.slice("at", AROUND_CHARS),
        )
    )
    missing = pl.Series([None], dtype=pl.String).new_from_index(0, len(copies))
    return told.with_columns(
        pl.col("reason").str.slice(0, TEXT_CHARS),
        text=text.append(missing),
        before=around["before"].append(missing),
        after=around["after"].append(missing),
    )


def _kept_at(removals: pa.Table, doc: Numbers, sampled: Numbers) -> tuple[Numbers, Numbers]:
    """The `sampled` rows, and where in the kept text each was: its start, less what was cut before it."""
    rows = np.flatnonzero(np.isin(doc, doc[sampled]))
    starts = pl.Series(removals["start"]).to_numpy()
    rows = rows[np.lexsort((starts[rows], doc[rows]))]
    chars = _chars(removals)[rows]
    before = np.cumsum(chars) - chars
    heads = np.flatnonzero(np.append(True, doc[rows][1:] != doc[rows][:-1])[: len(rows)])
    before -= np.repeat(before[heads], np.diff(heads, append=len(rows)))
    mine = sampled[rows]
    return rows[mine], (starts[rows] - before)[mine]


def _plain(removals: pa.Table, rows: Numbers) -> pl.DataFrame:
    """Rows of removals without their texts, and without dictionaries."""
    names = ["stage", "rule", "unit", "doc_id", "source", "reason", "kept_doc_id", "score", "start", "end"]
    some = removals.select(names).take(pl.Series(rows).to_arrow())
    plain = pa.schema([f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in some.schema])
    told = pl.DataFrame(some.cast(plain))
    return told.with_columns(start_at="start", chars=pl.col("end") - pl.col("start")).drop("start", "end")


def collect(facts: Facts) -> dict[str, Any]:
    """The content of `metrics.json`."""
    reports = sorted(facts.reports, key=lambda one: (_place(str(one["stage"]), RUN_ORDER), one["shard"]))
    stages = _counts_by_stage(reports)
    sites = facts.by_site
    rules = [_without(row) for row in facts.by_rule.to_pylist()]
    members = facts.members.to_pylist()
    return {
        "metrics_version": METRICS_VERSION,
        "run": facts.run_key,
        "skip": list(facts.skip),
        "earlier_runs": sorted(facts.earlier),
        "totals": _totals(stages) | {"sites": sites["sites"][0].as_py() if sites.num_rows else 0},
        "by_stage": _by_stage(rules),
        "rules": rules,
        "sites": [_without(row, "sites") for row in sites.to_pylist()],
        "errors": facts.by_error.to_pylist(),
        "clusters": [
            _without(row)
            | {
                "copies": [
                    _without(m, "kept_doc_id", "place") for m in members if m["kept_doc_id"] == row["kept_doc_id"]
                ]
            }
            for row in facts.clusters.to_pylist()
        ],
        "samples": [_without(row) for row in facts.samples.to_pylist()],
        "stages": stages,
        "timing": _timing(reports),
    }


def _counts_by_stage(reports: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    stages: dict[str, Counter[str]] = {}
    for report in reports:
        stages.setdefault(str(report["stage"]), Counter()).update(report["counts"])
    return {stage: dict(counts) for stage, counts in stages.items()}


def _totals(stages: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    read, written = stages.get("prepare", {}), stages.get("write", {})
    documents, rejects = read.get("documents", 0), read.get("rejects", 0)
    copies, empty = written.get("dropped", 0), written.get("empty", 0)
    repaired, kept, removed = read.get("chars", 0), written.get("chars_kept", 0), written.get("chars_removed", 0)
    return {
        "files": read.get("files", 0),
        "files_settled": stages.get("discover", {}).get("settled", 0),
        "records_read": documents + rejects,
        "rejects": rejects,
        "documents_read": documents,
        "documents_repaired": read.get("repaired", 0),
        "documents": written.get("documents", 0),
        "documents_dropped": copies + empty,
        "duplicates": copies,
        "empty": empty,
        "removals": written.get("removals", 0),
        "chars_repaired": repaired,
        "chars_kept": kept,
        "chars_removed": removed,
        "check_kept_plus_removed": kept + removed == repaired,
    }


def _by_stage(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Removals and characters of each deciding step, in order."""
    summed: dict[str, Counter[str]] = {}
    for rule in rules:
        summed.setdefault(rule["stage"], Counter()).update(n=rule["n"], chars=rule["chars"])
    return [{"stage": stage, **summed[stage]} for stage in sorted(summed, key=lambda stage: _place(stage, STAGE_ORDER))]


def _timing(reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Wall and CPU seconds of each stage, summed over its shards, and those of its slowest shard."""
    stages: dict[str, list[Mapping[str, Any]]] = {}
    for report in reports:
        stages.setdefault(str(report["stage"]), []).append(report)
    return [
        {
            "stage": stage,
            "shards": sum(one["shard"] >= 0 for one in done),
            "seconds": round(sum(one["seconds"] for one in done), 3),
            "cpu_s": round(sum(one["cpu_s"] for one in done), 3),
            "slowest_s": round(max(one["seconds"] for one in done), 3),
        }
        for stage, done in stages.items()
    ]


def _place(name: str, order: Sequence[str]) -> tuple[int, str]:
    """Sorts names by `order`; those it doesn't know come last, by name."""
    return (order.index(name) if name in order else len(order), name)


def _without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """`row` without `names`; scores rounded, so that they read as they were meant and not as their binary neighbour."""
    return {
        key: round(value, 4) if isinstance(value, float) else value for key, value in row.items() if key not in names
    }
