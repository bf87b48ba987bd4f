"""What a run leaves of its documents for later runs to look up, and how those name it.

Within a run a document's number is its place in the order in which copies are kept, from 1. To a later run the same
document has a negative number: earlier runs come before its own documents, in the order of their keys.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl.dedup.fingerprint import FINGERPRINTS, document_keys

STATE: Final = {
    "fingerprints": pl.Schema(
        [
            ("number", pl.Int64()),
            *((name, kind) for name, kind in FINGERPRINTS.items() if name not in ("doc", "seen_at", "n_chars")),
            ("common_words", pl.Int64()),
        ]
    ),
    "sketches": pl.Schema({"number": pl.Int64, "kind": pl.Int8, "h": pl.Int64}),
    "bands": pl.Schema({"number": pl.Int64, "h": pl.Int64}),
    "sentences": pl.Schema(
        {"number": pl.Int64, "key_hash": pl.Int64, "n_words": pl.UInt32, "start_char": pl.UInt32, "usable": pl.Boolean}
    ),
}
"""The barrier reads them of earlier runs as known_…. usable: the sentence is whole, and stays in a document that stays."""

SORTED_BY: Final = {"fingerprints": "number", "sketches": "number", "bands": "h", "sentences": "key_hash"}
"""The column by which each is looked up, and sorted."""

RUN_NUMBERS: Final = 1 << 32  # more than a run has documents

NUMBERS: Final = pl.Schema({"doc": pl.Int64, "number": pl.Int64, "fate": pl.Int32, "common_words": pl.Int64})
"""What barrier 2 says of each document. fate: 0 it stays, 1 it goes as a near copy or an excerpt, 2 as an exact copy.
common_words: in sentences that many documents up to it have."""


def state_tables(
    tables: dict[str, pl.DataFrame], numbers: pl.DataFrame, removed_sentences: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """The state of some documents. tables: as fingerprint.py made them. removed_sentences: doc_id, start_char.

    An exact copy leaves nothing. Of a near copy the sentences are left, which count towards how common they are; it is
    no copy that could stay for a later run.
    """
    stays = numbers.filter(pl.col("fate") == 0).drop("fate")
    gone = removed_sentences.select(
        doc=document_keys(removed_sentences["doc_id"]), start_char="start_char", removed=pl.lit(value=True)
    )
    sentences = (
        tables["sentences"]
        .lazy()
        .filter(pl.col("n_words") > 0)
        .join(numbers.lazy().filter(pl.col("fate") < 2), on="doc")
        .join(gone.lazy(), on=["doc", "start_char"], how="left")
        .with_columns(usable=pl.col("whole") & pl.col("removed").is_null() & (pl.col("fate") == 0))
        .sort("key_hash", "number", pl.col("usable").not_(), "start_char")
        .unique(["key_hash", "number"], keep="first", maintain_order=True)
        .collect()
    )
    made = {
        name: tables[name].join(stays, on="doc").sort(SORTED_BY[name], *STATE[name].names())
        for name in ("fingerprints", "sketches", "bands")
    }
    made["sentences"] = sentences
    return {name: made[name].select(pl.col(c).cast(k) for c, k in kind.items()) for name, kind in STATE.items()}


def seen_from_later(number: pl.Expr, *, run: int, runs: int) -> pl.Expr:
    """The numbers that documents of the `run`th of `runs` earlier runs have to the run after them."""
    return number + (run - runs) * RUN_NUMBERS


def own_number(number: int, *, runs: int) -> tuple[int, int]:
    """(run, number in it) of a document that a run with `runs` earlier ones sees as `number`."""
    run, own = divmod(number, RUN_NUMBERS)
    return run + runs, own
