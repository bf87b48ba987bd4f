"""A batch's share of the datasets: documents with their text cut, and a row for every cut, checked one against the other.

Rows move as Arrow: their texts are many and few, so columns whose values repeat are dictionaries, and no text is looked at twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from etl import kernels, schema
from etl.errors import StageError
from etl.publish import cut, native

Numbers = npt.NDArray[Any]

CODED: Final = pa.dictionary(pa.int32(), pa.string())
REASONED: Final = pa.schema(
    [
        ("unit", CODED),
        ("stage", CODED),
        ("rule", CODED),
        ("reason", CODED),
        ("score", pa.float32()),
        ("kept_doc_id", CODED),
        ("kept_start", pa.int64()),
    ]
)
"""What is cut or noted, and why: as in removals."""


def coded_schema(wanted: pa.Schema) -> pa.Schema:
    """`wanted` with a dictionary for each column of strings."""
    return pa.schema([field.with_type(CODED) if field.type == pa.string() else field for field in wanted])


REMOVALS: Final = coded_schema(schema.REMOVALS)
ANNOTATIONS: Final = coded_schema(schema.ANNOTATIONS)


@dataclass(frozen=True, slots=True)
class Marks:
    """What is to be cut, or noted, in any order. doc: rows of the batch; starts, ends: as in removals, over words alone;
    why: REASONED."""

    doc: Numbers
    starts: Numbers
    ends: Numbers
    why: pa.Table


@dataclass(frozen=True, slots=True)
class Dropped:
    """Documents that go whole. doc: rows of the batch; why: REASONED."""

    doc: Numbers
    why: pa.Table


@dataclass(frozen=True, slots=True)
class Assembled:
    """Rows for three datasets. counts: documents, removals, annotations, dropped, empty, chars_kept, chars_removed.

    rows: of the batch, those that are documents; cut_doc, cut_start, cut_end: what was cut out of them, sorted, by rows of
    the batch and in code points.
    """

    documents: pa.Table
    removals: pa.Table
    annotations: pa.Table
    counts: dict[str, int]
    rows: Numbers
    cut_doc: Numbers
    cut_start: Numbers
    cut_end: Numbers


def assemble(docs: pa.Table, marks: Marks, dropped: Dropped, noted: Marks | None = None) -> Assembled:
    """Cut `docs` at `marks`, and tell of what is `noted` in those that stay. Raises StageError if a character would be lost.

    docs: the columns of DOCUMENTS that are known before the cut (text is the repaired text). A document of which nothing
    is left goes whole, with the rules that took it in the reason. noted: duplicates that stay; an end of 0 is that of the text.
    """
    texts = pl.Series("text", docs["text"])
    chars = texts.str.len_chars().to_numpy().astype(np.int64)
    stays = np.ones(len(texts), dtype=np.bool_)
    stays[dropped.doc] = False
    place = (marks.doc.astype(np.int64) << 32) | marks.starts.astype(np.int64)
    order = np.argsort(place, kind="stable")  # runs that are sorted: they are merged
    order = order[stays[marks.doc[order]]]
    doc = marks.doc[order].astype(np.int64)
    staying = np.flatnonzero(stays)
    bounds = np.searchsorted(doc, np.append(staying, len(texts)))
    way = native if native.available() else cut
    cuts, wrong = way.cut_all(texts.gather(staying), bounds, marks.starts[order], marks.ends[order])
    if wrong >= 0:
        name = docs["doc_id"][int(staying[wrong])].as_py()
        raise StageError(f"document {name}: kept and removed text together are not the repaired text")
    nothing = _emptied(cuts.kept, np.flatnonzero(np.diff(bounds)))
    emptied = staying[nothing]
    empty = _nothing_left(nothing, bounds, order, marks.why["rule"])
    gone = Dropped(np.concatenate([dropped.doc.astype(np.int64), emptied]), stacked([dropped.why, empty]))
    stays[emptied] = False
    rows = np.flatnonzero(stays)
    removed = np.bincount(doc, weights=cuts.ends - cuts.starts, minlength=len(texts)).astype(np.int64)
    kept_chars = chars - removed  # as the check has just told
    kept = _without(cuts.kept, nothing)
    told = {
        "text": kept,
        "n_chars": column(kept_chars[rows]),
        "n_words": column(way.count_words(pl.Series(kept)).to_numpy()),
        "removed_chars": column(removed[rows]),
    }
    documents = pa.table(
        [told[name] if name in told else taken(docs[name], rows) for name in schema.DOCUMENTS.names],
        schema=schema.DOCUMENTS,
    )
    left = np.flatnonzero(stays[doc])
    removals = _removals(docs, marks, gone, cuts, chars, (order, doc, left))
    annotations = (
        _annotations(docs, noted, stays, chars) if noted is not None else pa.Table.from_batches([], ANNOTATIONS)
    )
    lengths = cuts.ends - cuts.starts
    counts = {
        "documents": documents.num_rows,
        "removals": removals.num_rows,
        "annotations": annotations.num_rows,
        "dropped": len(dropped.doc),
        "empty": len(emptied),
        "chars_kept": int(kept_chars[rows].sum()),
        "chars_removed": int(lengths[left].sum() + chars[gone.doc].sum()),
    }
    return Assembled(documents, removals, annotations, counts, rows, doc[left], cuts.starts[left], cuts.ends[left])


def column(values: Numbers) -> pa.Array:
    """An array of numbers as a column, not copied. pyarrow's own way imports pandas where it is installed: half a second."""
    held = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(held.dtype), len(held), [None, pa.py_buffer(held)])


def strings(values: Sequence[str | None]) -> pa.Array:
    """Some texts as a column."""
    return pl.Series(values, dtype=pl.String).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string())


def coded(texts: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    """A column of strings as CODED: of each text one in its dictionary."""
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    found = whole.dictionary_encode()
    return pa.DictionaryArray.from_arrays(found.indices, found.dictionary.cast(pa.string()))


def same(text: str, rows: int) -> pa.DictionaryArray:
    """A column that has one text in every row."""
    return pa.DictionaryArray.from_arrays(column(np.zeros(rows, np.int32)), strings([text]))


def taken(values: pa.Array | pa.ChunkedArray, rows: Numbers) -> Any:
    """Some rows of a column."""
    return values.take(column(rows.astype(np.int64, copy=False)))


def stacked(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables with dictionaries, one at least, one behind the other, in one piece."""
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _emptied(kept: pa.LargeStringArray, docs: Numbers) -> Numbers:
    """Those of `docs` of which no more than blanks were kept."""
    offsets = np.frombuffer(kept.buffers()[1], np.int64)[kept.offset :]
    data = np.frombuffer(kept.buffers()[2] or b"\n", np.uint8)
    begin, past = offsets[docs], offsets[docs + 1]
    first = data[np.minimum(begin, len(data) - 1)]
    likely = docs[(begin == past) | (first <= ord(" ")) | (first >= 0x7F)]  # nearly all others begin with a letter
    bare = pl.Series(taken(kept, likely)).str.strip_chars()
    found: Numbers = likely[(bare == "").to_numpy()]
    return found


def _without(kept: pa.LargeStringArray, empty: Numbers) -> pa.LargeStringArray:
    """`kept` without its `empty` texts. Where they are empty to the last blank, as nearly always, no text is copied."""
    offsets = np.frombuffer(kept.buffers()[1], np.int64)[kept.offset :][: len(kept) + 1]
    if (offsets[empty] < offsets[empty + 1]).any():
        return taken(kept, np.delete(np.arange(len(kept)), empty))
    others = np.delete(offsets, empty)
    return pa.LargeStringArray.from_buffers(len(others) - 1, pa.py_buffer(others), kept.buffers()[2])


def _nothing_left(empty: Numbers, bounds: Numbers, order: Numbers, rules: pa.ChunkedArray) -> pa.Table:
    """REASONED of each document that the marks took whole."""
    reasons = []
    for low, past in zip(bounds[empty].tolist(), bounds[empty + 1].tolist(), strict=True):
        took = Counter(taken(rules, order[low:past]).to_pylist())
        reasons.append(
            "nothing was left after "
            + ", ".join(f"{rule} ({n})" for rule, n in sorted(took.items(), key=lambda item: (-item[1], item[0])))
        )
    rows = len(empty)
    told = [same(text, rows) for text in ("document", "publish", "nothing-left")]
    scores, starts = pa.nulls(rows, pa.float32()), pa.nulls(rows, pa.int64())
    columns = [*told, coded(strings(reasons)), scores, coded(strings([None] * rows)), starts]
    return pa.table(columns, schema=REASONED)


def _removals(
    docs: pa.Table, marks: Marks, gone: Dropped, cuts: cut.Cuts, chars: Numbers, live: tuple[Numbers, Numbers, Numbers]
) -> pa.Table:
    """A row for each of `cuts` and each document that is `gone`, in the order of the documents.

    chars: of each document. live: of the marks that were cut, which they are, and the documents they are of; which of them
    are in documents that stay.
    """
    order, of, left = live
    doc = np.concatenate([of[left], gone.doc])
    starts = np.concatenate([cuts.starts[left], np.zeros(len(gone.doc), np.int64)])
    ends = np.concatenate([cuts.ends[left], chars[gone.doc]])
    sort = np.argsort((doc << 32) | starts, kind="stable")
    wholes = np.arange(len(gone.doc))
    chosen = np.concatenate([order[left], len(marks.doc) + wholes])[sort]
    why = stacked([marks.why, gone.why]).take(column(chosen))
    whole = pl.Series(docs["text"]).gather(gone.doc)
    texts = pl.Series(cuts.pieces).append(whole).gather(np.concatenate([left, len(cuts.pieces) + wholes])[sort])
    text = kernels.text_array(*kernels.text_buffers(texts))
    return _rows(docs, doc[sort], starts[sort], ends[sort], text, why, REMOVALS)


def _annotations(docs: pa.Table, noted: Marks, stays: Numbers, chars: Numbers) -> pa.Table:
    """A row for each of `noted` in a document that stays, in the order of the documents."""
    doc = noted.doc.astype(np.int64)
    starts = noted.starts.astype(np.int64)
    ends = np.where(noted.ends == 0, chars[doc], noted.ends).astype(np.int64)
    sort = np.lexsort((ends, starts, doc))
    sort = sort[stays[doc[sort]]]
    if not len(sort):
        return pa.Table.from_batches([], ANNOTATIONS)
    doc, starts, ends = doc[sort], starts[sort], ends[sort]
    why = noted.why.take(column(sort))
    sentence = (pl.Series(why["unit"]).cast(pl.String) == "sentence").alias("sentence")
    texts = (
        pl.Series("text", docs["text"]).gather(doc).to_frame().with_columns(sentence, start=starts, chars=ends - starts)
    )
    cut_out = texts.select(pl.when("sentence").then(pl.col("text").str.slice("start", "chars")))["text"]
    text = cut_out.to_arrow(compat_level=pl.CompatLevel.oldest())
    return _rows(docs, doc, starts, ends, text, why, ANNOTATIONS)


def _rows(
    docs: pa.Table, doc: Numbers, starts: Numbers, ends: Numbers, text: pa.Array, why: pa.Table, wanted: pa.Schema
) -> pa.Table:
    """Rows with the schema `wanted`. doc: the rows of `docs` they are of, sorted; why: REASONED."""
    here, place = np.unique(doc, return_inverse=True)
    known = {}
    for name in ("doc_id", "source", "source_id"):
        values = coded(taken(docs[name], here))
        known[name] = pa.DictionaryArray.from_arrays(taken(values.indices, place), values.dictionary)
    made = {**known, "start": column(starts), "end": column(ends), "text": text}
    return pa.table([made[name] if name in made else why[name] for name in wanted.names], schema=wanted)
