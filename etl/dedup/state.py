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
    """The state of some documents. tables: as fingerprint.py made them. removed_sentences: doc, start_char.

    An exact copy leaves nothing. Of a near copy the sentences are left, which count towards how common they are; it is
    no copy that could stay for a later run.
    """
    stays = numbers.filter(pl.col("fate") == 0)
    placed = stays.select("doc", "number")
    left = numbers.filter(pl.col("fate") < 2).select("doc", "number", stays=pl.col("fate") == 0)
    gone = removed_sentences.join(left, on="doc").select("number", "start_char", removed=pl.lit(value=True))
    sentences = (
        _numbered(
            tables["sentences"]
            .filter(pl.col("n_words") > 0)
            .select("doc", "key_hash", "n_words", "start_char", "whole"),
            left,
        )
        .join(gone, on=["number", "start_char"], how="left", maintain_order="left")
        .select(
            *STATE["sentences"].names()[:-1], usable=pl.col("whole") & pl.col("removed").is_null() & pl.col("stays")
        )
    )
    made = {
        "fingerprints": tables["fingerprints"].join(stays, on="doc").sort("number"),
        "sketches": _numbered(tables["sketches"], placed),
        "bands": _by_hash(_numbered(tables["bands"], placed), "h", pl.col("number")),
        "sentences": _by_hash(
            sentences, "key_hash", pl.col("number"), pl.col("usable").not_(), pl.col("start_char")
        ).filter(_is_new("key_hash") | _is_new("number")),
    }
    return {name: made[name].select(pl.col(c).cast(k) for c, k in kind.items()) for name, kind in STATE.items()}


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
