"""What each part of a run tells its report of its documents and removals, so that nobody reads them for it again.

All removals of a document are in its part, so the least documents of each rule are among those that parts tell of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from etl.report.metrics import AROUND_CHARS

Numbers = npt.NDArray[Any]

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


def empty() -> dict[str, pl.DataFrame]:
    """TOLD of a part without documents."""
    return {name: kind.to_frame() for name, kind in TOLD.items()}


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
        .select("doc_id")
        .with_columns(at)
        .join(texts, on="doc_id", how="left", maintain_order="left")
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
