"""The fingerprint of each document: what decides, without its text, whether another is the same or nearly the same.

Three things of a document are sampled, always by hash, so that two documents sample alike: its shingles (runs of four
words: shared ones say how much text is), its numbers and its names (what tells two filled-in forms of one template
apart). A hash has a depth: how many of its low bits are zero. A document keeps the hashes of at least its level's
depth, and the level grows with its length, so that a sample has some tens of hashes; two documents are compared at the
deeper of their levels, where both samples are whole.

Tables name a document by the first 64 bits of its doc_id: a number joins five times as fast as a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.dedup import native
from etl.dedup.normalize import DIGIT, UPPER, Indices, slice_hashes, tables
from etl.dedup.pairs import MAX_CHARS, MIN_WORDS, NEAR_SENTENCES, Candidates, candidates_of, near_pairs
from etl.dedup.policy import SentencePolicy
from etl.dedup.sentences import ORDERS, SENTENCES, Batch, Reading, chunks, read

DEFAULT: Final = SentencePolicy()
CHECK_SEED: Final = 0x9E3779B97F4A7C15
NEVER: Final = 2**63 - 1  # seen_at of a document without a date: after all that have one
SHINGLE_WORDS: Final = 4  # after one edit in seven words 44 % of the shingles of four are left, of five 35 %;
#                           two articles that only share their subject have less than 10 % in common

SHINGLE: Final = 0
NUMBER: Final = 1
NAME: Final = 2
_SAMPLE: Final = {SHINGLE: 64, NUMBER: 16, NAME: 12}  # a sample has this many hashes, to twice as many
_BANDS: Final = 16  # shingles that look for candidates, to twice as many

FINGERPRINTS: Final = pl.Schema(
    {
        "doc": pl.Int64,
        "doc_id": pl.String,
        "seen_at": pl.Int64,
        "n_chars": pl.Int64,
        "n_tokens": pl.Int64,
        "key_hash": pl.Int64,
        "key_check": pl.Int64,
        "shingle_level": pl.Int32,
        "number_level": pl.Int32,
        "name_level": pl.Int32,
        "band_level": pl.Int32,
    }
)
"""One row a document. seen_at: published_at, else fetched_at, in microseconds. n_chars: of its sentences. key_hash,
key_check: XXH64 of the comparable text, with the seeds 0 and CHECK_SEED. The levels: see above."""

SKETCHES: Final = pl.Schema({"doc": pl.Int64, "kind": pl.Int8, "h": pl.Int64})
"""The sampled hashes, the last SKETCH_BITS bits of each. 2^level divides each."""

BANDS: Final = pl.Schema({"doc": pl.Int64, "h": pl.Int64})
"""The few sampled shingles of depth band_level and more, by which candidates are found."""

DOC_SENTENCES: Final = pl.Schema(
    {
        **{name: kind for name, kind in SENTENCES.items() if name != "line"},
        "doc": pl.Int64(),
        "near_a": pl.Int64(),
        "near_b": pl.Int64(),
        "rest_a": pl.UInt16(),
        "rest_b": pl.UInt16(),
        "word_bits": pl.Int64(),
    }
)
"""near_a, near_b: hashes of two least runs of two words each, of POINT_BITS bits, by which near-duplicates of different
documents meet; rest_a, rest_b: a byte of each of the other two runs; word_bits: a bit for each word. near_a and
near_b are -1, the others 0, for a sentence that is none's near-duplicate: nulls take Parquet four times as long."""

DOC_NEAR_SENTENCES: Final = pl.Schema({**NEAR_SENTENCES, "doc": pl.Int64()})

TABLES: Final = {
    "fingerprints": FINGERPRINTS,
    "sentences": DOC_SENTENCES,
    "sketches": SKETCHES,
    "bands": BANDS,
    "near_sentences": DOC_NEAR_SENTENCES,
}
"""What each shard hands to the duplicates barrier."""

NARROW: Final = {
    "sentences": ("start_char", "end_char", "n_words", "near_a", "near_b", "rest_a", "rest_b"),
    "sketches": ("h",),
}
"""Columns with fewer bits than their type, other in every row."""

HASHES: Final = {"sentences": ("key_hash",), "bands": ("h",)}
"""Columns of which all bits are a hash's."""

SKETCH_BITS: Final = 48  # two documents compare a hundred or two: with so many bits none is the same by chance

POINT_BITS: Final = 40
"""Of a hash by which sentences meet: those of 100 million sentences hold one in 5,000 of all there are, and take 5 bytes each."""

_NUMBER_CHARS: Final = 12  # of a word that tell whether it is a number
_MIX: Final = tuple(
    np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
)


@dataclass(frozen=True, slots=True)
class ShardTables:
    """What one shard contributes to the duplicates barrier, in the order of the documents."""

    fingerprints: pl.DataFrame
    sentences: pl.DataFrame
    sketches: pl.DataFrame
    bands: pl.DataFrame
    near_sentences: pl.DataFrame


def shard_tables(docs: pl.DataFrame, segments: pl.DataFrame, policy: SentencePolicy = DEFAULT) -> ShardTables:
    """The tables of one shard. docs: doc u32, doc_id, published_at, fetched_at; segments: what boilerplate left of them."""
    prints, sentences, sketches, bands, near = [], [], [], [], []
    min_words = max(policy.min_words_in_document, MIN_WORDS)
    for some in [segments] if native.available() else chunks(segments):
        found = _read(some, near_words=min_words)
        if not len(found.batch.doc):
            continue
        sentences.append(found.batch.table().with_columns(_meeting_points(found.batch, policy)))
        prints.append(found.fingerprints)
        sketches.append(found.sketches)
        bands.append(found.bands)
        if policy.near:
            near.append(near_pairs(found.batch, found.candidates, similarity_min=policy.near_similarity_min))
    seen = pl.coalesce(pl.col("published_at"), pl.col("fetched_at")).dt.epoch("us").fill_null(NEVER)
    number = docs.select("doc", key=document_keys(docs["doc_id"]))
    about = docs.select("doc", "doc_id", seen_at=seen)
    return ShardTables(
        fingerprints=_identified(number.join(about, on="doc", maintain_order="left"), prints, FINGERPRINTS),
        sentences=_identified(number, sentences, DOC_SENTENCES),
        sketches=_identified(number, sketches, SKETCHES),
        bands=_identified(number, bands, BANDS),
        near_sentences=_identified(number, near, DOC_NEAR_SENTENCES),
    )


def document_keys(doc_ids: pl.Series) -> pl.Series:
    """The number by which the tables name each document: the first 64 bits of its id, signed."""
    return doc_ids.str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64).reinterpret(signed=True).alias("key")


def _identified(known: pl.DataFrame, parts: list[pl.DataFrame], schema: pl.Schema) -> pl.DataFrame:
    """The rows of `parts` with the schema `schema`: each document by its key in `known`, which may tell more of it."""
    if not parts:
        return pl.DataFrame(schema=schema)
    rows = pl.concat(parts)
    if known.width > 2:
        rows = rows.join(known.drop("key"), on="doc", maintain_order="left")
    key = _by_doc(known, "key")[rows["doc"].to_numpy()]
    return rows.with_columns(doc=pl.Series(key)).select(pl.col(name).cast(kind) for name, kind in schema.items())


def _by_doc(table: pl.DataFrame, column: str) -> npt.NDArray[np.int64]:
    """The values of a column of whole numbers by the document's number in its batch: a look-up without a join."""
    docs = table["doc"].to_numpy()
    values = np.zeros(docs.max(initial=0) + 1, np.int64)
    values[docs] = table[column].to_numpy()
    return values


def _meeting_points(batch: Batch, policy: SentencePolicy) -> list[pl.Series]:
    """near_a, near_b, rest_a, rest_b and word_bits of each sentence of a batch."""
    meets = (
        batch.whole
        & batch.ends_properly
        & (batch.n_words >= max(policy.min_words, 3))
        & (batch.end - batch.start <= MAX_CHARS)
        & ~(batch.quoted & policy.protect_quotes)
        & (policy.near and policy.near_across and policy.scope == "corpus")
    )
    rows = np.flatnonzero(meets)
    least = batch.least[rows].T.astype(np.uint64)
    byte = (least * _MIX[0]) >> np.uint64(56)
    points: dict[str, npt.NDArray[np.generic]] = {}
    for side, (one, two), (three, four) in (("a", (0, 1), (2, 3)), ("b", (2, 3), (0, 1))):
        hashes = _mix(((least[one] << np.uint64(32)) | least[two]) + _MIX[one])
        points[f"near_{side}"] = (hashes >> np.uint64(64 - POINT_BITS)).view(np.int64)
        points[f"rest_{side}"] = ((byte[three] << np.uint64(8)) | byte[four]).astype(np.uint16)
    points["word_bits"] = batch.word_bits[rows]
    columns = []
    for name, values in points.items():
        spread = np.full(len(meets), -1 if name.startswith("near") else 0, values.dtype)
        spread[rows] = values
        columns.append(pl.Series(name, spread))
    return columns


@dataclass(frozen=True, slots=True)
class _Read:
    """What is read from some whole documents: their sentences, which may say the same, and with the documents' numbers in
    the batch their rows of FINGERPRINTS, SKETCHES and BANDS."""

    batch: Batch
    candidates: Candidates
    fingerprints: pl.DataFrame
    sketches: pl.DataFrame
    bands: pl.DataFrame


def _read(segments: pl.DataFrame, *, near_words: int) -> _Read:
    """All that a shard's tables tell of some whole documents. near_words: how many a near-duplicate sentence has at least."""
    if native.available():
        return _read_native(segments, near_words=near_words)
    reading = read(segments)
    candidates = candidates_of(reading, min_words=near_words)
    if not len(reading.batch.doc):
        return _Read(reading.batch, candidates, pl.DataFrame(), pl.DataFrame(), pl.DataFrame())
    return _Read(reading.batch, candidates, *_fingerprints(reading))


def _read_native(segments: pl.DataFrame, *, near_words: int) -> _Read:
    sizes = _SAMPLE[SHINGLE], _SAMPLE[NUMBER], _SAMPLE[NAME]
    found = native.analyse(segments, sizes, _BANDS, near_words=near_words, near_chars=MAX_CHARS)
    flags = found["flags"]
    whole, ends_properly, quoted = ((flags & bit) != 0 for bit in native.FLAGS)
    batch = Batch(
        doc=found["doc"],
        line=found["line"],
        start=found["start"],
        end=found["end"],
        n_words=found["n_words"],
        key_hash=found["key_hash"],
        whole=whole,
        ends_properly=ends_properly,
        quoted=quoted,
        segment=found["segment"],
        least=found["least"].reshape(-1, len(ORDERS)),
        word_bits=found["word_bits"],
        texts=segments["text"],
        from_char=segments["start"].to_numpy(),
    )
    texts = native.cut(found["near_text"], np.stack([found["near_one_size"], found["near_two_size"]], axis=1).ravel())
    printed = {"doc": found["print_doc"], "key_hash": found["print_key"], "key_check": found["print_check"]}
    levels = ("n_chars", "n_tokens", "shingle_level", "number_level", "name_level", "band_level")
    found["sketch_hash"] &= (1 << SKETCH_BITS) - 1
    return _Read(
        batch,
        Candidates(found["near_one"], found["near_two"], texts[::2], texts[1::2]),
        pl.DataFrame(printed | {name: found[name] for name in levels}),
        pl.DataFrame({"doc": found["sketch_doc"], "kind": found["sketch_kind"], "h": found["sketch_hash"]}),
        pl.DataFrame({"doc": found["band_doc"], "h": found["band_hash"]}),
    )


def _fingerprints(reading: Reading) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    batch = reading.batch
    sentence = np.flatnonzero(np.r_[True, batch.doc[1:] != batch.doc[:-1]])
    first, past = reading.first[sentence], reading.past[np.r_[sentence[1:], len(batch.doc)] - 1]
    key_hash, key_check = (slice_hashes(reading.folded.codes, first, past, seed=seed) for seed in (0, CHECK_SEED))
    words, hashes = reading.word_starts, reading.word_hashes
    begin = np.searchsorted(words, first)  # of each document, in words
    n_tokens = np.searchsorted(words, past) - begin
    owner = np.repeat(np.arange(len(sentence)), np.diff(np.r_[begin, len(words)]))
    samples = {
        SHINGLE: _sample(*_shingles(hashes, owner), n_tokens, size=_SAMPLE[SHINGLE]),
        NUMBER: _sample_few(hashes, owner, _numbers(reading), len(sentence), size=_SAMPLE[NUMBER]),
        NAME: _sample_few(hashes, owner, _names(reading), len(sentence), size=_SAMPLE[NAME]),
    }
    whole = pl.DataFrame(
        {
            "doc": batch.doc[sentence],
            "n_chars": np.add.reduceat((batch.end - batch.start).astype(np.int64), sentence),
            "n_tokens": n_tokens.astype(np.int64),
            "key_hash": key_hash,
            "key_check": key_check,
            "shingle_level": _level(n_tokens, _SAMPLE[SHINGLE]),
            "number_level": samples[NUMBER].level,
            "name_level": samples[NAME].level,
            "band_level": _level(n_tokens, _BANDS),
        }
    )
    doc = batch.doc[sentence]
    sampled = pl.concat(
        pl.DataFrame({"doc": doc[s.owner], "h": s.hashes.view(np.int64) & ((1 << SKETCH_BITS) - 1)}).with_columns(
            kind=pl.lit(kind, pl.Int8)
        )
        for kind, s in samples.items()
    )
    shingles = samples[SHINGLE]
    deep = np.flatnonzero(shingles.depth >= _level(n_tokens, _BANDS)[shingles.owner])
    bands = pl.DataFrame({"doc": doc[shingles.owner[deep]], "h": shingles.hashes[deep].view(np.int64)})
    return whole, sampled, bands


@dataclass(frozen=True, slots=True)
class _Sample:
    owner: Indices  # number of the document in the batch
    hashes: npt.NDArray[np.uint64]
    depth: npt.NDArray[np.int32]
    level: npt.NDArray[np.int32]  # of each document


def _level(count: npt.NDArray[np.integer], size: int) -> npt.NDArray[np.int32]:
    """The depth at which `count` hashes leave from `size` to twice as many."""
    level: npt.NDArray[np.int32] = np.maximum(np.frexp((count // size).astype(np.float64))[1] - 1, 0).astype(np.int32)
    return level


def _sample(hashes: npt.NDArray[np.uint64], owner: Indices, count: npt.NDArray[np.integer], *, size: int) -> _Sample:
    """The different hashes of each document that are at least as deep as its level."""
    level = _level(count, size)
    mask = (np.uint64(1) << level.astype(np.uint64)) - np.uint64(1)
    chosen = np.flatnonzero((hashes & mask[owner]) == 0)
    hashes, owner = hashes[chosen], owner[chosen]
    key = hashes ^ (owner.astype(np.uint64) * _MIX[0])  # equal for equal hashes of one document
    order = np.argsort(key, kind="stable")
    different = np.ones(len(order), dtype=np.bool_)
    different[1:] = key[order[1:]] != key[order[:-1]]
    first = np.sort(order[different])
    hashes, owner = hashes[first], owner[first]
    low = (hashes & (~hashes + np.uint64(1))) | np.uint64(1 << 62)  # the lowest bit set
    low &= ~low + np.uint64(1)
    return _Sample(owner, hashes, np.log2(low.astype(np.float64)).astype(np.int32), level)


def _sample_few(hashes: npt.NDArray[np.uint32], owner: Indices, words: Indices, docs: int, *, size: int) -> _Sample:
    """A sample of some words' hashes, its level by how many different ones a document has."""
    mixed = _mix(hashes[words].astype(np.uint64) + _MIX[0])
    everything = _sample(mixed, owner[words], np.zeros(docs, dtype=np.int64), size=size)
    count = np.bincount(everything.owner, minlength=docs)
    return _sample(everything.hashes, everything.owner, count, size=size)


def _shingles(hashes: npt.NDArray[np.uint32], owner: Indices) -> tuple[npt.NDArray[np.uint64], Indices]:
    """The hash of each run of words, and the document it is in."""
    n = len(hashes) - SHINGLE_WORDS + 1
    if n <= 0:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.intp)
    total = np.zeros(n, dtype=np.uint64)
    for place, factor in enumerate(_MIX[:SHINGLE_WORDS]):
        total += hashes[place : place + n] * factor
    inside = owner[:n] == owner[SHINGLE_WORDS - 1 :]
    return _mix(total)[inside], owner[:n][inside]


def _mix(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The hashes with every bit depending on every other (the finaliser of MurmurHash3)."""
    mixed = hashes ^ (hashes >> np.uint64(33))
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return mixed


def _numbers(reading: Reading) -> Indices:
    """The words that are numbers: they begin with a digit or a sign, and have fewer letters than digits."""
    folded, words = reading.folded, reading.word_starts
    at = folded.positions(np.flatnonzero(reading.kinds == DIGIT))
    word = np.unique(np.searchsorted(words, at, side="right") - 1)
    begin = words[word]
    length = np.append(words, len(folded.codes))[word + 1] - begin
    kind = tables().kind
    digits, letters = np.zeros(len(word), dtype=np.intp), np.zeros(len(word), dtype=np.intp)
    for place in range(_NUMBER_CHARS):  # of the few words with a digit
        kinds = kind[folded.codes[np.minimum(begin + place, len(folded.codes) - 1)]]
        digits += (place < length) & (kinds == DIGIT)
        letters += (place < length) & (kinds > DIGIT)
    numeric = (kind[folded.codes[begin]] <= DIGIT) & (digits > letters)
    return np.asarray(word[numeric], dtype=np.intp)


def _names(reading: Reading) -> Indices:
    """The words with a capital letter that don't begin a sentence."""
    words = reading.word_starts
    kinds = reading.kinds[reading.folded.source[words]]
    capital = kinds == UPPER
    capital[np.isin(words, reading.first)] = False  # a sentence can begin within a word: 3.\u200b5
    return np.flatnonzero(capital)
