"""The fingerprint of each document: what decides, without its text, whether another is the same or nearly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from etl.dedup.normalize import wide_hashes
from etl.dedup.sentences import SENTENCES, Batch, batches, sentence_table

NEVER: Final = 2**63 - 1  # seen_at of a document without a date: after all that have one

FINGERPRINTS: Final = pl.Schema(
    {
        "doc_id": pl.String,
        "seen_at": pl.Int64,
        "n_chars": pl.Int64,
        "n_tokens": pl.Int64,
        "key_hash": pl.Int64,
        "key_check": pl.Int64,
    }
)
DOC_SENTENCES: Final = pl.Schema({"doc_id": pl.String, **SENTENCES})


@dataclass(frozen=True, slots=True)
class ShardTables:
    """What one shard contributes to the duplicates barrier. Each table is sorted by doc_id, then position or hash."""

    fingerprints: pl.DataFrame
    sentences: pl.DataFrame


def shard_tables(docs: pl.DataFrame, segments: pl.DataFrame) -> ShardTables:
    """The tables of one shard. docs: doc u32, doc_id, published_at, fetched_at; segments: what boilerplate left of them."""
    prints, sentences = [], []
    for batch in batches(segments):
        sentences.append(sentence_table(batch))
        prints.append(_exact(batch))
    return ShardTables(
        fingerprints=_identified(docs, pl.concat(prints)) if prints else pl.DataFrame(schema=FINGERPRINTS),
        sentences=_named(docs, pl.concat(sentences)) if sentences else pl.DataFrame(schema=DOC_SENTENCES),
    )


def _exact(batch: Batch) -> pl.DataFrame:
    """Per document of a batch: size, and the hash of its comparable text."""
    firsts = np.flatnonzero(np.r_[True, batch.doc[1:] != batch.doc[:-1]]) if len(batch.doc) else np.zeros(0, dtype=np.intp)
    lasts = np.r_[firsts[1:], len(batch.doc)] - 1 if len(firsts) else firsts
    first, past = batch.first[firsts], batch.past[lasts]
    sums = np.add.reduceat(batch.words, firsts) if len(firsts) else np.zeros(0, dtype=np.int64)
    chars = np.add.reduceat((batch.end - batch.start).astype(np.int64), firsts) if len(firsts) else sums
    key_hash, key_check = wide_hashes(batch.folded.codes, first, past)
    return pl.DataFrame(
        {
            "doc": batch.doc[firsts],
            "n_chars": chars,
            "n_tokens": sums.astype(np.int64),
            "key_hash": key_hash,
            "key_check": key_check,
        }
    )


def _identified(docs: pl.DataFrame, prints: pl.DataFrame) -> pl.DataFrame:
    seen = pl.coalesce(pl.col("published_at"), pl.col("fetched_at")).dt.epoch("us").fill_null(NEVER)
    known = docs.select("doc", "doc_id", seen_at=seen)
    return prints.join(known, on="doc").select(pl.col(name).cast(kind) for name, kind in FINGERPRINTS.items()).sort("doc_id")


def _named(docs: pl.DataFrame, sentences: pl.DataFrame) -> pl.DataFrame:
    return (
        sentences.join(docs.select("doc", "doc_id"), on="doc")
        .select(pl.col(name).cast(kind) for name, kind in DOC_SENTENCES.items())
        .sort("doc_id", "start_char")
    )

