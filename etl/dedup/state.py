"""What a run leaves of its documents for later runs to look up, and how those name it.

Within a run a document's number is its place in the order in which copies are kept, from 1. To a later run the same
document has a negative number: earlier runs come before its own documents, in the order of their keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.dedup.fingerprint import BANDS, FINGERPRINTS, SKETCHES

Numbers = npt.NDArray[Any]

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

READ: Final = {
    "fingerprints": tuple(FINGERPRINTS),
    "sentences": (
        *("doc", "start_char", "end_char", "n_words", "key_hash", "whole"),
        *("near_a", "near_b", "rest_a", "rest_b"),
    ),
    "sketches": tuple(SKETCHES),
    "bands": tuple(BANDS),
    "near_sentences": ("doc", "start_char"),
}
"""The columns of a shard's tables that its state is made of."""

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

    tables: as fingerprint.py made them, the columns of READ. judged: their rows of dropped_sentences, of which some are exact copies. published,
    cuts: with these schemas. near_history: whether later runs are to find near-duplicates of their sentences; else `meetings`
    is empty.

    An exact copy leaves nothing. A near copy is no copy that could stay for a later run, and leaves no sketches; but an
    exact copy of it is to be known as one, its sentences count towards how common they are, and its bands are as full.
    """
    known = numbers.filter(pl.col("fate") < 2).sort("doc")
    near = ~pl.col("exact") & (pl.col("kept_doc_id") != pl.col("doc_id"))
    gone = judged.with_columns(near=near)
    prints = tables["fingerprints"].join(known, on="doc").join(published, on="doc", how="left")
    sentences, meetings = _sentences(
        tables["sentences"], known, gone, tables["near_sentences"], published, cuts, near_history=near_history
    )
    stand_ins = gone.filter("near", action="remove").join(known.select("doc", "number"), on="doc")
    made = {
        "fingerprints": prints.sort("number").with_columns(part=pl.lit(part)),
        "sketches": _in_order(tables["sketches"], known.filter(pl.col("fate") == 0)),
        "bands": _bands(tables["bands"], known),
        "sentences": sentences,
        "meetings": meetings,
        "stand_ins": stand_ins.sort("number", "start_char"),
    }
    return {name: made[name].select(pl.col(c).cast(k) for c, k in kind.items()) for name, kind in STATE.items()}


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The rows of known documents in a table. Those of one stand together: they are looked up and moved as one.

    head, size: of each block; slot: its document among the known ones.
    """

    head: Numbers
    size: Numbers
    slot: Numbers

    @classmethod
    def of(cls, docs: Numbers, known: Numbers) -> _Blocks:
        """The blocks of the documents `docs` that are known; `known` is sorted."""
        if not len(docs) or not len(known):
            return cls(*(np.zeros(0, np.int64) for _ in range(3)))
        head = np.append(0, np.flatnonzero(docs[1:] != docs[:-1]) + 1)
        size = np.diff(head, append=len(docs))
        slot = np.minimum(np.searchsorted(known, docs[head]), len(known) - 1)
        there = np.flatnonzero(known[slot] == docs[head])
        return cls(head[there], size[there], slot[there])

    def rows(self) -> Numbers:
        """Where the rows of the blocks stand, block by block."""
        return np.repeat(self.head - np.cumsum(self.size) + self.size, self.size) + np.arange(self.size.sum())

    def spread(self, values: Numbers) -> Numbers:
        """For each row the value of its document."""
        return np.repeat(values[self.slot], self.size)

    def sorted_by(self, values: Numbers) -> _Blocks:
        """The blocks in the order of their documents' values."""
        order = np.argsort(values[self.slot], kind="stable")
        return _Blocks(self.head[order], self.size[order], self.slot[order])


def _sentences(
    table: pl.DataFrame,
    known: pl.DataFrame,
    gone: pl.DataFrame,
    near_sentences: pl.DataFrame,
    published: pl.DataFrame,
    cuts: pl.DataFrame,
    *,
    near_history: bool,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`sentences` and `meetings` of the rows of a `table` of sentences. gone: judged sentences, with `near`: it repeats, nearly,
    another document's."""
    docs = known["doc"].to_numpy()
    numbers, fates = (known[name].to_numpy() for name in ("number", "fate"))
    blocks = _Blocks.of(table["doc"].to_numpy(), docs)
    rows = blocks.rows()
    slots = np.repeat(blocks.slot, blocks.size)
    worded = np.flatnonzero(table["n_words"].to_numpy()[rows] > 0)
    rows, slots = rows[worded], slots[worded]
    starts, hashes, n_words, whole = (
        table[name].to_numpy()[rows] for name in ("start_char", "key_hash", "n_words", "whole")
    )
    # Where a few sentences stand, given by document and start: rows are sorted by these once documents have numbers in order.
    rank = np.zeros(len(docs), np.int64)
    rank[blocks.slot] = np.arange(len(blocks.slot))
    places = (rank[slots] << 32) | starts

    def find(some: pl.DataFrame) -> tuple[Numbers, Numbers]:
        """(which of `some` are there, where in the rows)"""
        if not len(places):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        asked = some["doc"].to_numpy()
        slot = np.minimum(np.searchsorted(docs, asked), len(docs) - 1)
        wanted = (rank[slot] << 32) | some["start_char"].to_numpy()
        at = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
        there = np.flatnonzero((docs[slot] == asked) & (places[at] == wanted))
        return there, at[there]

    told, at = find(gone)
    near, removed = (np.zeros(len(rows), np.bool_) for _ in range(2))
    near[at], removed[at] = (
        gone["near"].to_numpy()[told],
        (gone["action"] == "remove").to_numpy()[told],
    )
    judged = np.zeros(len(rows), np.bool_)
    judged[at] = True
    usable = whole & (near | ~removed) & (fates[slots] == 0)
    usable[_also_said(find(near_sentences)[1], rank[slots], hashes)] = False
    number = numbers[slots]
    order = _order_of(hashes, number, ~usable, starts)
    order = order[_is_new(hashes[order]) | _is_new(number[order])]  # of a sentence that a document has twice the first
    by_hash = {"number": number, "key_hash": hashes, "n_words": n_words, "start_char": starts, "usable": usable}
    sentences = pl.DataFrame({name: values[order] for name, values in by_hash.items()})
    if not near_history:
        return sentences, STATE["meetings"].to_frame()
    chosen = order[usable[order] & (near | ~judged)[order]]
    chosen = chosen[table["near_a"].is_not_null().to_numpy()[rows[chosen]]]
    chosen = chosen[np.argsort((number[chosen] << 32) | starts[chosen])]
    row_of = np.full(len(docs), -1, np.int64)
    row_of[np.searchsorted(docs, published["doc"].to_numpy())] = published["row"].to_numpy()
    lengths = (pl.col("end_char") - pl.col("start_char")).alias("n_chars")
    meetings = table.select("start_char", lengths, "n_words", "near_a", "near_b", "rest_a", "rest_b")[
        rows[chosen]
    ].with_columns(
        number=pl.Series(number[chosen]),
        cut=pl.Series(_cut_before(row_of[slots[chosen]], starts[chosen].astype(np.int64), published, cuts)),
        stands=pl.Series(~removed[chosen]),
    )
    return sentences, meetings


def _also_said(few: Numbers, docs: Numbers, hashes: Numbers) -> Numbers:
    """Where the sentences stand that a document has in common with itself at one of a `few` rows, those rows included."""
    inside = np.zeros(docs.max(initial=0) + 1, np.bool_)
    inside[docs[few]] = True
    rows = np.flatnonzero(inside[docs])
    there = pl.DataFrame({"row": rows, "doc": docs[rows], "hash": hashes[rows]})
    asked = pl.DataFrame({"doc": docs[few], "hash": hashes[few]})
    return there.join(asked, on=["doc", "hash"], how="semi")["row"].to_numpy()


def _cut_before(rows: Numbers, starts: Numbers, published: pl.DataFrame, cuts: pl.DataFrame) -> Numbers:
    """How many characters of its document were cut before each start. rows: of the published documents; -1 for one that isn't
    there, of which nothing was cut."""
    keys, place = (published[name].to_numpy() for name in ("doc", "row"))
    order = np.argsort(keys)
    row = place[order[np.searchsorted(keys, cuts["doc"].to_numpy(), sorter=order)]].astype(np.int64)
    at = (row << 32) | cuts["start"].to_numpy()
    chars = np.append(0, np.cumsum((cuts["end"] - cuts["start"]).to_numpy()))
    first = chars[np.searchsorted(at, np.maximum(rows, 0) << 32)]
    before = chars[np.searchsorted(at, (np.maximum(rows, 0) << 32) | starts)] - first
    return np.where(rows < 0, 0, before)


def _in_order(table: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The rows of known documents, of numbers without nulls, with their document's number, in the order of those."""
    numbers = known["number"].to_numpy()
    blocks = _Blocks.of(table["doc"].to_numpy(), known["doc"].to_numpy()).sorted_by(numbers)
    rows = blocks.rows()
    others = {one.name: one.to_numpy()[rows] for one in table.drop("doc")}
    return pl.DataFrame({"number": blocks.spread(numbers), **others})


def _bands(table: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    blocks = _Blocks.of(table["doc"].to_numpy(), known["doc"].to_numpy())
    hashes, number = table["h"].to_numpy()[blocks.rows()], blocks.spread(known["number"].to_numpy())
    order = _order_of(hashes, number)
    return pl.DataFrame({"number": number[order], "h": hashes[order]})


def _order_of(hashes: Numbers, *then: Numbers) -> Numbers:
    """The order of `hashes`, the few that are the same in that of `then`.

    Sorted are their high bits, each with its row below them: numbers are sorted five times as fast as their order is told.
    """
    low = max(len(hashes) - 1, 1).bit_length()
    mask = (1 << low) - 1
    packed = np.sort((hashes.astype(np.int64, copy=False) & ~mask) | np.arange(len(hashes)))
    order = packed & mask
    packed >>= low
    same = packed[1:] == packed[:-1]
    ties = np.flatnonzero(np.append(same, False) | np.append(False, same))
    tied = order[ties]
    order[ties] = tied[np.lexsort([*(values[tied] for values in reversed(then)), hashes[tied]])]
    return order


def _is_new(values: Numbers) -> npt.NDArray[np.bool_]:
    """Whether each value differs from the one before it; the first does."""
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    return new


def seen_from_later(number: pl.Expr, *, run: int, runs: int) -> pl.Expr:
    """The numbers that documents of the `run`th of `runs` earlier runs have to the run after them."""
    return number + (run - runs) * RUN_NUMBERS
