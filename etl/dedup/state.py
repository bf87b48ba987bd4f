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

from etl.dedup import native
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
            "word_bits": pl.Int64,
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
        *("near_a", "near_b", "rest_a", "rest_b", "word_bits"),
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
        tables["sentences"], known, gone, tables["near_sentences"], cuts, near_history=near_history
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

    def take(self, column: pl.Series) -> Numbers:
        """The values in the rows of the blocks of a column without nulls."""
        assert not column.null_count(), column.name
        if native.available():
            return native.take_blocks([part.to_numpy() for part in column.get_chunks()], self.head, self.size)
        return column.to_numpy()[self.rows()]

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
    cuts: pl.DataFrame,
    *,
    near_history: bool,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`sentences` and `meetings` of the rows of a `table` of sentences, those of a document in order. gone: judged sentences, with
    `near`: it repeats, nearly, another document's."""
    docs = known["doc"].to_numpy()
    numbers, fates = (known[name].to_numpy() for name in ("number", "fate"))
    blocks = _Blocks.of(table["doc"].to_numpy(), docs).sorted_by(numbers)
    rows, slots = blocks.rows(), np.repeat(blocks.slot, blocks.size)
    starts, hashes, n_words, whole = (
        blocks.take(table[name]) for name in ("start_char", "key_hash", "n_words", "whole")
    )
    if not n_words.all():
        worded = np.flatnonzero(n_words)
        rows, slots, starts, hashes, n_words, whole = (
            values[worded] for values in (rows, slots, starts, hashes, n_words, whole)
        )
    # Where a sentence stands is told by its document's place among the others and its start: rows are sorted by these.
    rank = np.full(len(docs), -1, np.int64)
    rank[blocks.slot] = np.arange(len(blocks.slot))
    places = (rank[slots] << 32) | starts

    def place_of(some: pl.DataFrame, start: str) -> Numbers:
        """The places in documents at which `some` start, below 0 where a document has no rows, or isn't known."""
        if not len(docs):
            return np.full(some.height, -1)
        asked = some["doc"].to_numpy()
        slot = np.minimum(np.searchsorted(docs, asked), len(docs) - 1)
        there: Numbers = np.where(docs[slot] == asked, rank[slot] << 32 | some[start].to_numpy(), -1)
        return there

    def find(some: pl.DataFrame) -> tuple[Numbers, Numbers]:
        """(which of `some` are there, where in the rows)"""
        if not len(places):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        wanted = place_of(some, "start_char")
        at = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
        there = np.flatnonzero(places[at] == wanted)
        return there, at[there]

    told, at = find(gone)
    near, removed = (np.zeros(len(rows), np.bool_) for _ in range(2))
    near[at], removed[at] = (
        gone["near"].to_numpy()[told],
        (gone["action"] == "remove").to_numpy()[told],
    )
    judged = np.zeros(len(rows), np.bool_)
    judged[at] = True
    usable = whole & (near | ~removed) & (fates == 0)[slots]
    usable[_also_said(find(near_sentences)[1], places >> 32, hashes)] = False
    number = numbers[slots]
    order = order_of(hashes)
    held = {"number": number[order], "key_hash": hashes[order]}
    new = _is_new(held["key_hash"]) | _is_new(held["number"])
    _put_first(order, new, usable)
    others = {"n_words": n_words, "start_char": starts, "usable": usable}
    held |= {name: values[order] for name, values in others.items()}
    sentences = pl.DataFrame(held).filter(pl.Series(new))  # of a sentence that a document has twice the first
    if not near_history:
        return sentences, STATE["meetings"].to_frame()
    meets = usable & (near | ~judged) & (table["near_a"].to_numpy() >= 0)[rows]
    meets[order[~new]] = False
    chosen = np.flatnonzero(meets)
    cut = _cut_before(places[chosen], place_of(cuts, "start"), (cuts["end"] - cuts["start"]).to_numpy())
    lengths = (pl.col("end_char") - pl.col("start_char")).alias("n_chars")
    meetings = table.select("start_char", lengths, "n_words", "near_a", "near_b", "rest_a", "rest_b", "word_bits")[
        rows[chosen]
    ].with_columns(number=pl.Series(number[chosen]), cut=pl.Series(cut), stands=pl.Series(~removed[chosen]))
    return sentences, meetings


def _put_first(order: Numbers, new: npt.NDArray[np.bool_], better: npt.NDArray[np.bool_]) -> None:
    """Have rows that are `better` come first in `order`, of those between one that is `new` and the next. There are few with
    others."""
    again = ~new
    some = np.flatnonzero(again | np.append(again[1:], np.zeros(min(1, len(again)), np.bool_)))
    rows = order[some]
    order[some] = rows[np.lexsort([~better[rows], np.cumsum(new)[some]])]


def _also_said(few: Numbers, docs: Numbers, hashes: Numbers) -> Numbers:
    """Where the sentences stand that a document has in common with itself at one of a `few` rows, those rows included."""
    inside = np.zeros(docs.max(initial=0) + 1, np.bool_)
    inside[docs[few]] = True
    rows = np.flatnonzero(inside[docs])
    there = pl.DataFrame({"row": rows, "doc": docs[rows], "hash": hashes[rows]})
    asked = pl.DataFrame({"doc": docs[few], "hash": hashes[few]})
    return there.join(asked, on=["doc", "hash"], how="semi")["row"].to_numpy()


def _cut_before(places: Numbers, cuts: Numbers, chars: Numbers) -> Numbers:
    """How many characters of its document were cut before each of some `places`, sorted: a document's number and, in 32 bits, a
    start. cuts, chars: where each cut starts, below 0 in a document that has no place, and its length."""
    there = cuts >= 0
    at, chars = cuts[there], chars[there]
    before = np.cumsum(np.bincount(np.searchsorted(places, at, side="right"), chars, len(places) + 1)[:-1])
    docs = places >> 32
    in_docs = np.append(0, np.cumsum(np.bincount(at >> 32, chars, docs.max(initial=-1) + 1)))
    cut: Numbers = (before - in_docs[docs]).astype(np.int64)
    return cut


def _in_order(table: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The rows of known documents, of numbers without nulls, with their document's number, in the order of those."""
    numbers = known["number"].to_numpy()
    blocks = _Blocks.of(table["doc"].to_numpy(), known["doc"].to_numpy()).sorted_by(numbers)
    return pl.DataFrame({"number": blocks.spread(numbers), **{one.name: blocks.take(one) for one in table.drop("doc")}})


def _bands(table: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    rows = _in_order(table, known)  # so those with the same hash are in the order of documents too
    number, hashes = (rows[name].to_numpy() for name in ("number", "h"))
    order = order_of(hashes)
    return pl.DataFrame({"number": number[order], "h": hashes[order]})


def order_of(hashes: Numbers) -> Numbers:
    """The order of `hashes`, the same ones as they stand."""
    return native.order_of(hashes) if native.available() else np.argsort(hashes, kind="stable")


def order_of_places(numbers: Numbers, starts: Numbers | None = None) -> Numbers:
    """The order of documents, or of what begins in them at `starts`, by the numbers that a later run gives them."""
    run, own = numbers // RUN_NUMBERS, numbers % RUN_NUMBERS
    run -= run.min(initial=0)
    most = np.zeros(run.max(initial=0) + 1, np.int64)
    np.maximum.at(most, run, own)
    first = np.cumsum(most + 1) - most
    places = first[run] + own  # without gaps: so they are sorted faster, and leave room for starts
    return order_of(places if starts is None else (places << 32) | starts)


def _is_new(values: Numbers) -> npt.NDArray[np.bool_]:
    """Whether each value differs from the one before it; the first does."""
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    return new


def seen_from_later(number: pl.Expr, *, run: int, runs: int) -> pl.Expr:
    """The numbers that documents of the `run`th of `runs` earlier runs have to the run after them."""
    return number + (run - runs) * RUN_NUMBERS
