"""A run in figures: what `metrics.json` holds, made from the stages' counts and the tables of `metrics.sql`.

All but `timing` is the same for the same input, configuration and history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

METRICS_VERSION: Final = 1
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
