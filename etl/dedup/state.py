"""What a run leaves of its documents for later runs to look up, and how those name it.

Within a run a document's number is its place in the order in which copies are kept, from 1. To a later run the same
document has a negative number: earlier runs come before its own documents, in the order of their keys.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from etl.dedup.fingerprint import FINGERPRINTS

STATE: Final = {
    "fingerprints": pl.Schema(
        [
            ("number", pl.Int64()),
            *((name, kind) for name, kind in FINGERPRINTS.items() if name not in ("doc", "seen_at", "n_chars")),
            ("common_words", pl.Int64()),
            ("kept_doc_id", pl.String()),
            ("rule", pl.String()),
            ("score", pl.Float64()),
            ("part", pl.UInt32()),
            ("row", pl.UInt32()),
        ]
    ),
    "sketches": pl.Schema({"number": pl.Int64, "kind": pl.Int8, "h": pl.Int64}),
    "bands": pl.Schema({"number": pl.Int64, "h": pl.Int64}),
    "sentences": pl.Schema(
        {"number": pl.Int64, "key_hash": pl.Int64, "n_words": pl.UInt32, "start_char": pl.UInt32, "usable": pl.Boolean}
    ),
    "meetings": pl.Schema(
        {
            "number": pl.Int64,
            "start_char": pl.UInt32,
            "cut": pl.UInt32,
            "n_chars": pl.UInt16,
            "n_words": pl.UInt16,
            "near_a": pl.Int64,
            "near_b": pl.Int64,
            "rest_a": pl.UInt16,
            "rest_b": pl.UInt16,
            "stands": pl.Boolean,
        }
    ),
    "stand_ins": pl.Schema(
        {
            "number": pl.Int64,
            "start_char": pl.UInt32,
            "kept_doc_id": pl.String,
            "kept_start": pl.UInt32,
            "score": pl.Float64,
        }
    ),
}
"""The barrier reads them of earlier runs as known_….

fingerprints: kept_doc_id, rule, score: of a near copy, what stays for it and why it is one; null for all others. part, row:
where it is among the published documents; row is null for one that isn't.
sentences: usable: the sentence is whole, nearly repeats none of its document, and stays in a document that stays, or went
because it nearly repeats another document's.
meetings: the sentences that later ones may nearly repeat. near_a and so on: see fingerprint.py. cut: characters that were
cut out of its document before it. stands: it didn't go itself.
stand_ins: the sentences that went because they nearly repeat another document's, which stays: where, and how alike."""

SORTED_BY: Final = {
    "fingerprints": "number",
    "sketches": "number",
    "bands": "h",
    "sentences": "key_hash",
    "meetings": "number",
    "stand_ins": "number",
}
"""The column by which each is sorted, and all but `meetings` are looked up: that is searched from end to end."""

PUBLISHED: Final = pl.Schema({"doc": pl.Int64, "row": pl.UInt32})
CUTS: Final = pl.Schema({"doc": pl.Int64, "start": pl.Int64, "end": pl.Int64})
"""Which row of the published documents each document is, and what was cut out of them, in the same order."""

RUN_NUMBERS: Final = 1 << 32  # more than a run has documents

NUMBERS: Final = pl.Schema(
    {
        "doc": pl.Int64,
        "number": pl.Int64,
        "fate": pl.Int32,
        "common_words": pl.Int64,
        "kept_doc_id": pl.String,
        "rule": pl.String,
        "score": pl.Float64,
    }
)
"""What barrier 2 says of each document. fate: 0 it stays, 1 it goes as a near copy or an excerpt, 2 as an exact copy.
common_words: in sentences that many documents up to it have. kept_doc_id, rule, score: as in STATE."""


def state_tables(
    tables: dict[str, pl.DataFrame],
    numbers: pl.DataFrame,
    judged: pl.DataFrame,
    published: pl.DataFrame,
    cuts: pl.DataFrame,
    *,
    part: int = 0,
    near_history: bool = True,
) -> dict[str, pl.DataFrame]:
    """The state of a shard's documents.

    tables: as fingerprint.py made them. judged: their rows of dropped_sentences, of which some are exact copies. published,
    cuts: with these schemas. near_history: whether later runs are to find near-duplicates of their sentences; else `meetings`
    is empty.

    An exact copy leaves nothing. A near copy is no copy that could stay for a later run, and leaves no sketches; but an
    exact copy of it is to be known as one, its sentences count towards how common they are, and its bands are as full.
    """
    stays = numbers.filter(pl.col("fate") == 0).select("doc", "number")
    known = numbers.filter(pl.col("fate") < 2)
    placed, left = known.select("doc", "number"), known.select("doc", "number", stays=pl.col("fate") == 0)
    near = ~pl.col("exact") & (pl.col("kept_doc_id") != pl.col("doc_id"))
    gone = judged.join(left, on="doc").select(
        "number", "start_char", "kept_doc_id", "kept_start", "score", "action", near=near
    )
    nearly = (  # few
        tables["near_sentences"]
        .select("doc", "start_char")
        .join(tables["sentences"], on=["doc", "start_char"])
        .join(left, on="doc")
        .select("number", "key_hash", nearly=pl.lit(value=True))
        .unique()
    )
    sentences = (
        _numbered(
            tables["sentences"].filter(pl.col("n_words") > 0).drop("line", "ends_properly", "quoted"),
            left,
        )
        .join(
            gone.select("number", "start_char", "near", removed=pl.col("action") == "remove"),
            on=["number", "start_char"],
            how="left",
            maintain_order="left",
        )
        .join(nearly, on=["number", "key_hash"], how="left", maintain_order="left")
        .with_columns(
            usable=pl.col("whole")
            & (pl.col("near") | ~pl.col("removed")).fill_null(value=True)
            & pl.col("nearly").is_null()
            & pl.col("stays"),
        )
    )
    sentences = _by_hash(sentences, "key_hash", pl.col("number"), pl.col("usable").not_(), pl.col("start_char")).filter(
        _is_new("key_hash") | _is_new("number")
    )
    compared = sentences.filter(
        "usable", pl.col("near_a").is_not_null(), pl.col("near").fill_null(value=True), pl.lit(near_history)
    )
    placed_prints = tables["fingerprints"].join(known, on="doc").join(published, on="doc", how="left")
    made = {
        "fingerprints": placed_prints.sort("number").with_columns(part=pl.lit(part)),
        "sketches": _numbered(tables["sketches"], stays),
        "bands": _by_hash(_numbered(tables["bands"], placed), "h", pl.col("number")),
        "sentences": sentences,
        "meetings": _compared(compared, published.join(stays, on="doc", maintain_order="left"), cuts),
        "stand_ins": gone.filter("near", action="remove").sort("number", "start_char"),
    }
    return {name: made[name].select(pl.col(c).cast(k) for c, k in kind.items()) for name, kind in STATE.items()}


def _compared(sentences: pl.DataFrame, published: pl.DataFrame, cuts: pl.DataFrame) -> pl.DataFrame:
    """The rows of `meetings` of `sentences`, in the order of their documents. published: with number of each document."""
    starts = sentences["start_char"].to_numpy().astype(np.int64)
    order = np.argsort((sentences["number"].to_numpy() << 32) | starts)
    sentences, starts = sentences[order], starts[order]
    removed = sentences["removed"].fill_null(value=False)
    length = (sentences["end_char"] - sentences["start_char"]).alias("n_chars")
    return sentences.with_columns(length, ~removed.alias("stands"), _cut_before(sentences, published, cuts))


def _cut_before(sentences: pl.DataFrame, published: pl.DataFrame, cuts: pl.DataFrame) -> pl.Series:
    """How many characters of its document were cut before each of `sentences`; 0 where the document isn't published."""
    size = int(published["row"].max() or 0) + 1  # type: ignore[arg-type]
    row_of = published.select(pl.col("doc").alias("key"), pl.col("row").cast(pl.Int64))
    where = cuts.join(row_of, left_on="doc", right_on="key", how="inner", maintain_order="left")
    at = (where["row"].to_numpy() << 32) | where["start"].to_numpy()
    chars = np.append(0, np.cumsum((where["end"] - where["start"]).to_numpy()))
    first = chars[np.searchsorted(at, np.arange(size) << 32)]
    numbered = sentences.select("number").join(
        published.select("number", pl.col("row").cast(pl.Int64)), on="number", how="left", maintain_order="left"
    )
    row = numbered["row"].fill_null(0).to_numpy()
    before = chars[np.searchsorted(at, (row << 32) | sentences["start_char"].to_numpy().astype(np.int64))] - first[row]
    return pl.Series("cut", np.where(numbered["row"].is_null().to_numpy(), 0, before))


def _numbered(rows: pl.DataFrame, numbers: pl.DataFrame) -> pl.DataFrame:
    """The `rows` whose doc is one of `numbers`, with the other columns of those instead, in order of number.

    The rows of a document stand together: they are looked up and moved as one, which a join and a sort would do for each.
    """
    docs = rows["doc"].to_numpy()
    known = numbers.sort("doc")
    if not len(docs) or not known.height:
        return rows.drop("doc").clear().hstack(known.drop("doc").clear())
    heads = np.flatnonzero(np.diff(docs, prepend=~docs[0]))
    sizes = np.diff(heads, append=len(docs))
    slots = np.minimum(np.searchsorted(known["doc"].to_numpy(), docs[heads]), known.height - 1)
    blocks = np.flatnonzero(known["doc"].to_numpy()[slots] == docs[heads])
    blocks = blocks[np.argsort(known["number"].to_numpy()[slots[blocks]], kind="stable")]
    sizes, slots = sizes[blocks], slots[blocks]
    moved = np.repeat(heads[blocks] - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    others = [pl.Series(one.name, np.repeat(one.to_numpy()[slots], sizes)) for one in known.drop("doc")]
    return rows.drop("doc")[moved].with_columns(others)


def _by_hash(rows: pl.DataFrame, column: str, *then: pl.Expr) -> pl.DataFrame:
    """`rows` sorted by the hash in `column`, and the few that share one by `then`."""
    hashes = rows[column].to_numpy()
    order = np.argsort(hashes)
    ordered = hashes[order]
    same = ordered[1:] == ordered[:-1]
    ties = np.flatnonzero(np.append(same, False) | np.append(False, same))
    tied = order[ties]
    order[ties] = tied[rows[tied].select(pl.arg_sort_by(pl.col(column), *then)).to_series().to_numpy()]
    return rows[order]


def _is_new(column: str) -> pl.Expr:
    """Whether a row's value differs from the one before it; the first row's does."""
    return pl.col(column).ne_missing(pl.col(column).shift())


def seen_from_later(number: pl.Expr, *, run: int, runs: int) -> pl.Expr:
    """The numbers that documents of the `run`th of `runs` earlier runs have to the run after them."""
    return number + (run - runs) * RUN_NUMBERS


def own_number(number: int, *, runs: int) -> tuple[int, int]:
    """(run, number in it) of a document that a run with `runs` earlier ones sees as `number`."""
    run, own = divmod(number, RUN_NUMBERS)
    return run + runs, own
