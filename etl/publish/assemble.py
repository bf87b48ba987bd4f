"""A batch's share of the datasets: documents with their text cut, and a row for every cut, checked one against the other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from etl import schema
from etl.errors import StageError
from etl.publish import cut, native

MARKS: Final = pl.Schema(
    {
        "doc": pl.UInt32,
        "start": pl.UInt32,
        "end": pl.UInt32,
        "unit": pl.String,
        "stage": pl.String,
        "rule": pl.String,
        "reason": pl.String,
        "score": pl.Float32,
        "kept_doc_id": pl.String,
        "kept_start": pl.Int64,
    }
)
"""What is to be cut: doc is a row of the batch; start and end as in removals, over words alone."""

DROPPED: Final = pl.Schema(
    {
        "doc": pl.UInt32,
        "stage": pl.String,
        "rule": pl.String,
        "reason": pl.String,
        "score": pl.Float32,
        "kept_doc_id": pl.String,
    }
)
"""Documents that go whole, with the document that stays for each."""

NOTED: Final = MARKS
"""Duplicates that stay; start and end of a whole document are null."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """Rows for three datasets. counts: documents, removals, annotations, dropped, empty, chars_kept, chars_removed."""

    documents: pa.Table
    removals: pa.Table
    annotations: pa.Table
    counts: dict[str, int]


def assemble(docs: pl.DataFrame, marks: pl.DataFrame, dropped: pl.DataFrame, noted: pl.DataFrame) -> Assembled:
    """Cut `docs` at `marks`, and tell of what is `noted` in those that stay. Raises StageError if a character would be lost.

    docs: the columns of DOCUMENTS that are known before the cut (text is the repaired text). A document of which nothing
    is left goes whole, with the rules that took it in the reason.
    """
    gone = np.zeros(docs.height, dtype=bool)
    gone[dropped["doc"].to_numpy()] = True
    live = marks.filter(~pl.Series(gone).gather(marks["doc"])).sort("doc", "start")
    bounds = np.searchsorted(live["doc"].to_numpy(), np.arange(docs.height + 1))
    way = native if native.available() else cut
    cuts, wrong = way.cut_all(docs["text"], bounds, live["start"].to_numpy(), live["end"].to_numpy())
    if wrong >= 0:
        raise StageError(f"document {docs['doc_id'][wrong]}: kept and removed text together are not the repaired text")
    live = live.with_columns(
        start=pl.Series(cuts.starts, dtype=pl.Int64), end=pl.Series(cuts.ends, dtype=pl.Int64), text=cuts.pieces
    )
    emptied = np.flatnonzero(np.diff(bounds))
    emptied = emptied[(cuts.kept.gather(emptied).str.strip_chars() == "").to_numpy()]
    empty: list[int] = emptied.tolist()
    whole = pl.concat([dropped.select(DROPPED.names()), _nothing_left(live, empty)])
    gone[empty] = True
    stays = pl.Series(~gone)
    documents = _documents(
        docs.with_columns(repaired_chars=pl.col("text").str.len_chars(), text=cuts.kept).filter(stays)
    )
    removals = _removals(docs, live.filter(stays.gather(live["doc"])), whole)
    annotations = _annotations(docs, noted.filter(stays.gather(noted["doc"])))
    counts = {
        "documents": documents.num_rows,
        "removals": removals.num_rows,
        "annotations": annotations.num_rows,
        "dropped": dropped.height,
        "empty": len(empty),
        "chars_kept": _total(documents, "n_chars"),
        "chars_removed": _total(removals, "end") - _total(removals, "start"),
    }
    return Assembled(documents, removals, annotations, counts)


def _nothing_left(live: pl.DataFrame, empty: list[int]) -> pl.DataFrame:
    """A row of DROPPED for each document that the marks took whole."""
    reasons = []
    for doc in empty:
        took = Counter(live.filter(pl.col("doc") == doc)["rule"].to_list())
        reasons.append(
            "nothing was left after "
            + ", ".join(f"{rule} ({n})" for rule, n in sorted(took.items(), key=lambda item: (-item[1], item[0])))
        )
    columns = {
        "doc": empty,
        "stage": "publish",
        "rule": "nothing-left",
        "reason": reasons,
        "score": None,
        "kept_doc_id": None,
    }
    return pl.DataFrame({"doc": empty, "reason": reasons}, schema={"doc": pl.UInt32, "reason": pl.String}).select(
        pl.col(name).cast(kind) if name in ("doc", "reason") else pl.lit(columns[name], dtype=kind).alias(name)
        for name, kind in DROPPED.items()
    )


def _documents(docs: pl.DataFrame) -> pa.Table:
    way = native if native.available() else cut
    full = docs.with_columns(
        n_chars=pl.col("text").str.len_chars().cast(pl.Int64), n_words=way.count_words(docs["text"])
    ).with_columns(removed_chars=pl.col("repaired_chars").cast(pl.Int64) - pl.col("n_chars"))
    return _cast(full, schema.DOCUMENTS)


def _removals(docs: pl.DataFrame, live: pl.DataFrame, whole: pl.DataFrame) -> pa.Table:
    names = docs.select("doc_id", "source", "source_id", "text").with_row_index("doc")
    parts = live.join(names.drop("text"), on="doc", how="left", maintain_order="left")
    documents = whole.join(names, on="doc", how="left", maintain_order="left").with_columns(
        unit=pl.lit("document"),
        start=pl.lit(0, dtype=pl.Int64),
        end=pl.col("text").str.len_chars().cast(pl.Int64),
        kept_start=pl.when(pl.col("kept_doc_id").is_not_null()).then(pl.lit(0, dtype=pl.Int64)),
    )
    columns = ["doc", *schema.REMOVALS.names]
    return _cast(
        pl.concat([parts.select(columns), documents.select(columns)]).sort("doc", "start", maintain_order=True),
        schema.REMOVALS,
    )


def _annotations(docs: pl.DataFrame, noted: pl.DataFrame) -> pa.Table:
    names = docs.select("doc_id", "source", "source_id", whole="text").with_row_index("doc")
    of_sentence = pl.col("unit") == "sentence"
    rows = (
        noted.join(names, on="doc", how="left", maintain_order="left")
        .with_columns(
            start=pl.col("start").fill_null(0).cast(pl.Int64),
            end=pl.coalesce(pl.col("end").cast(pl.Int64), pl.col("whole").str.len_chars().cast(pl.Int64)),
        )
        .with_columns(
            text=pl.when(of_sentence).then(pl.col("whole").str.slice(pl.col("start"), pl.col("end") - pl.col("start")))
        )
    )
    return _cast(rows.sort("doc", "start", "end", maintain_order=True), schema.ANNOTATIONS)


def _cast(frame: pl.DataFrame, wanted: pa.Schema) -> pa.Table:
    table: pa.Table = frame.select(wanted.names).to_arrow().cast(wanted)
    return table


def _total(table: pa.Table, column: str) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(table[column]).as_py() or 0)
