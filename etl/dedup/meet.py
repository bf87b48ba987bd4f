"""Barrier 2's largest tables by compiled kernels: which hashes stand in two rows or more, and what two documents share.

documents.sql, sentences.sql and near.sql say what these tables are; what is here makes the same rows of them in a fraction of
the time, and in bounded memory: columns are read once, some rows at a time, and set aside by part, that is by a few bits of
their hashes; then one part is in memory at a time, or as many small ones as there are threads. Without the kernels SQL makes them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from etl import kernels
from etl.threads import in_threads

Array = npt.NDArray[Any]


class Columns(Protocol):
    """The tables that `clean` leaves."""

    def __call__(self, table: str, names: Sequence[str]) -> Iterator[Mapping[str, Array]]:
        """Some columns of a table, some rows at a time, each time the same; null is -1."""

    def rows(self, table: str) -> int:
        """How many rows a table has."""


class Aside(Protocol):
    """Rows that are set aside by a number, and asked for by it."""

    def put(self, number: int, columns: Mapping[str, Array]) -> None:
        """Set rows aside, behind those that have this number already."""

    def take(self, number: int) -> Mapping[str, Array]:
        """The rows that have this number, in the order in which they came."""


SetAside = Callable[[Mapping[str, npt.DTypeLike], bool], Aside]
"""Makes room for rows with columns of some types, which memory can hold or else can't."""

PART_ROWS: Final = 4_000_000  # hashes in memory at once, up to 60 bytes each
KINDS: Final = 3  # of sampled hashes
FIRST_HOLDERS: Final = 6  # of a band, which each later one is paired with
LAST_HOLDERS: Final = 2  # before it, with which it is paired too
FEW_WORDS: Final = 2  # of a sentence that one nearly the same may lack
FEW_OF_WORDS: Final = 5  # or one in so many
PAIRS_AT_ONCE: Final = 500_000  # of sentences whose words are compared, with 80 bytes each
LIKELY_SHARED: Final = 3  # shingles of a pair of which documents.sql asks more, at least

CANDIDATE_COLUMNS: Final = (
    *("pair", "number", "earlier", "doc", "their_doc"),
    *("shingle_step", "number_step", "name_step"),
)
"""What is asked of candidate_pairs."""

RECURRING: Final = pl.Schema(
    {
        "number": pl.Int32,
        "start_char": pl.UInt32,
        "end_char": pl.UInt32,
        "n_words": pl.UInt32,
        "key_hash": pl.Int64,
        "times": pl.Int64,
        "whole": pl.Boolean,
        "ends_properly": pl.Boolean,
        "quoted": pl.Boolean,
    }
)
SENTENCES: Final = pl.Schema(
    {"number": pl.Int64, "doc": pl.Int64, "start_char": pl.UInt32, "end_char": pl.UInt32},
)
"""A sentence of a pair: its document's number and key, and where it stands; of an earlier run's neither key nor end."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The table near_candidates. sentences: those of its pairs, as SENTENCES, by number and start_char. later, earlier: of each
    pair the rows of its two, in order."""

    sentences: pl.DataFrame
    later: Array
    earlier: Array

    @classmethod
    def of(cls, table: pl.DataFrame) -> Candidates:
        """What SQL made."""
        mine = table.select(SENTENCES.names())
        theirs = table.select(number="earlier", doc="kept_doc", start_char="kept_start", end_char="kept_end")
        every = pl.concat([side.cast(SENTENCES) for side in (mine, theirs)])
        return _candidates(every, *np.arange(2 * len(table)).reshape(2, -1))


def available() -> bool:
    """Whether the kernels can be used."""
    return kernels.library() is not None


def meetings(keys: Array, ranks: Array | None = None) -> Array:
    """The rows of `keys` (64 bits) that stand there more than once: key by key, those of one key by rank (u32), then by row."""
    library = kernels.library()
    assert library is not None
    keys = np.ascontiguousarray(keys).view(np.uint64)
    order = None if ranks is None else np.ascontiguousarray(ranks, np.uint32)
    library.winnow_meetings.restype = ctypes.c_void_p
    made = library.winnow_meetings(
        kernels.pointer(keys), None if order is None else kernels.pointer(order), ctypes.c_int64(len(keys))
    )
    return kernels.take_arrays("winnow_meetings", made, (("rows", np.uint32),))["rows"]


class Documents:
    """Finds what is told of documents by their keys. docs: each once. told: columns, a value each."""

    def __init__(self, docs: Array, **told: Array) -> None:
        order = np.argsort(docs)
        self._docs = docs[order]
        self._told = {name: values[order] for name, values in told.items()}

    def of(self, docs: Array, *names: str) -> tuple[Array, ...]:
        """Those columns for each of `docs`, which stand in runs; 0 of a document that isn't known."""
        if not len(docs) or not len(self._docs):
            return tuple(np.zeros(len(docs), self._told[name].dtype) for name in names)
        first, sizes = _groups(docs)
        place = np.minimum(np.searchsorted(self._docs, docs[first]), len(self._docs) - 1)
        known = self._docs[place] == docs[first]
        return tuple(np.repeat(np.where(known, self._told[name][place], 0), sizes) for name in names)


# Sentences and bands


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often each row's key stands in `sentences` and known_sentences. held: of those that stand there twice and more, `row` and
    `times`, by which of the readings of `sentences` they are in. sizes: of the readings."""

    held: Aside
    sizes: list[int]

    def __iter__(self) -> Iterator[Array]:
        """Of each reading's rows in order how often their key stands there; 0: once."""
        for reading, size in enumerate(self.sizes):
            told = self.held.take(reading)
            times = np.zeros(size, np.uint32)
            times[told["row"]] = told["times"]
            yield times


def repeats(columns: Columns, known: Array, aside: SetAside) -> Repeats:
    """How often each sentence's key stands among all that have a word. known: key_hash of known_sentences."""
    parts = _Parts(columns.rows("sentences") + len(known), {"key": np.int64, "row": np.uint32}, aside)
    starts = [0]
    for some in columns("sentences", ["key_hash", "n_words"]):
        for part, rows in parts.split(some["key_hash"], among=some["n_words"] > 0):
            parts.put(part, key=some["key_hash"][rows], row=rows + np.uint32(starts[-1]))
        starts.append(starts[-1] + len(some["n_words"]))
    for part, rows in parts.split(known):
        parts.put(part, key=known[rows], row=np.full(len(rows), starts[-1], np.uint32))
    held = aside({"row": np.uint32, "times": np.uint32}, parts.count == 1)
    for told in parts:
        found = meetings(told["key"])
        _, sizes = _groups(told["key"][found])
        times = np.zeros(len(told["key"]), np.uint32)
        times[found] = np.repeat(sizes, sizes)
        several = np.flatnonzero((times > 0) & (told["row"] < starts[-1]))
        row, times = told["row"][several], times[several]  # in order, for so they were put
        bounds = np.searchsorted(row, starts)
        for reading in np.flatnonzero(np.diff(bounds)).tolist():
            mine = slice(bounds[reading], bounds[reading + 1])
            held.put(reading, {"row": row[mine] - np.uint32(starts[reading]), "times": times[mine]})
    return Repeats(held, np.diff(starts).tolist())


def recurring_sentences(columns: Columns, repeated: Repeats, numbers: Documents) -> Iterator[pl.DataFrame]:
    """The table recurring_sentences, a file's rows at a time. numbers: `number` of this run's documents."""
    names = [name for name in RECURRING if name not in ("number", "times")]
    for times, some in zip(repeated, columns("sentences", ["doc", *names]), strict=True):
        rows = np.flatnonzero(times > 1)
        (number,) = numbers.of(some["doc"], "number")
        told = {name: some[name][rows] for name in names} | {"number": number[rows], "times": times[rows]}
        yield (
            pl.DataFrame(told)
            .select(pl.col(name).cast(kind) for name, kind in RECURRING.items())
            .filter(pl.col("number") != 0)
        )


def repeated_keys(known: Array, columns: Columns, repeated: Repeats) -> pa.Table:
    """The table repeated_keys, without the keys that no known sentence has."""
    keys = [known]
    wanted = np.unique(known)
    if len(known):
        for times, some in zip(repeated, columns("sentences", ["key_hash"]), strict=True):
            mine = some["key_hash"][times > 1]
            keys.append(mine[_is_in(wanted, mine)])
    values, times_met = np.unique(np.concatenate(keys), return_counts=True)
    several = times_met > 1
    return pl.DataFrame({"key_hash": values[several], "times": times_met[several].astype(np.int64)}).to_arrow()


def band_pairs(
    columns: Columns, eligible: pl.DataFrame, known: pl.DataFrame, aside: SetAside, *, threads: int = 1
) -> pa.Table:
    """The table band_pairs. eligible: turn, number and doc of near_eligible. known: number and h of known_bands."""
    least = int(eligible["turn"].min() or 0) - 1  # type: ignore[arg-type]
    own, theirs = eligible.drop_nulls("doc"), eligible.filter(pl.col("doc").is_null())
    ranks = Documents(own["doc"].to_numpy(), rank=own["turn"].to_numpy().astype(np.int64) - least)
    earlier = known.join(theirs.select("number", "turn"), on="number")
    known_h, known_rank = earlier["h"].to_numpy(), earlier["turn"].to_numpy().astype(np.int64) - least
    holders = _Parts(columns.rows("bands") + len(known_h), {"h": np.int64, "rank": np.uint32}, aside, at_once=threads)
    for part, rows in holders.split(known_h):
        holders.put(part, h=known_h[rows], rank=known_rank[rows])

    def ranked(some: Mapping[str, Array]) -> list[_Some]:
        (rank,) = ranks.of(some["doc"], "rank")
        return [
            (part, {"h": some["h"][rows], "rank": rank[rows]})
            for part, rows in holders.split(some["h"], among=rank > 0)
        ]

    holders.put_all(in_threads(ranked, columns("bands", ["h", "doc"]), threads))
    short_rank = (1 - least) % 2  # turns are odd for short texts, of which one band in common is enough
    pairs, short_pairs = (_Parts(times * holders.rows, {"pair": np.int64}, aside, at_once=threads) for times in (4, 1))

    def paired(part: int) -> list[list[_Some]]:
        told = holders.take(part)
        found = meetings(told["h"], told["rank"])
        held = told["h"][found], told["rank"][found]
        made = _pairs_of_holders(*held, least=max(0, -least), short_rank=short_rank)  # turns above 0 are this run's
        return [
            [(part, {"pair": met[rows]}) for part, rows in parts.split(met)]
            for parts, met in zip((pairs, short_pairs), made, strict=True)
        ]

    for of_part in in_threads(paired, range(holders.count), threads):
        for parts, some in zip((pairs, short_pairs), of_part, strict=True):
            parts.put_all([some])

    def counted_twice(part: int) -> Array:
        pair = pairs.take(part)["pair"]
        return _counted(pair[meetings(pair)], least)

    counted = [
        *in_threads(counted_twice, range(pairs.count), threads),
        *in_threads(
            lambda part: _counted(np.sort(short_pairs.take(part)["pair"]), least), range(short_pairs.count), threads
        ),
    ]
    turn, before, bands = np.concatenate(counted, axis=1)
    return pl.DataFrame({"turn": turn, "earlier": before, "bands": bands.astype(np.int64)}).to_arrow()


def _counted(pairs: Array, least: int) -> Array:
    """Turns of the later and the earlier one of each different pair, and how often it stands in `pairs`, equal ones together."""
    first, bands = _groups(pairs)
    sides = pairs[first] >> 32, pairs[first] & 0xFFFFFFFF
    return np.stack([*(side + least for side in sides), bands]).astype(np.int32)


def _pairs_of_holders(keys: Array, ranks: Array, *, least: int, short_rank: int) -> tuple[Array, Array]:
    """Pairs of holders of a band (the later one's rank in the high half), of later ones above `least`; those with a rank that is
    odd or even as `short_rank` is apart. keys: of groups."""
    library = kernels.library()
    assert library is not None
    held = np.ascontiguousarray(keys), np.ascontiguousarray(ranks, np.uint32)
    library.winnow_band_pairs.restype = ctypes.c_void_p
    made = library.winnow_band_pairs(
        *map(kernels.pointer, held),
        ctypes.c_int64(len(keys)),
        ctypes.c_uint32(least),
        ctypes.c_int64(FIRST_HOLDERS),
        ctypes.c_uint32(short_rank),
    )
    found = kernels.take_arrays("winnow_band_pairs", made, (("pairs", np.int64), ("short_pairs", np.int64)))
    return found["pairs"], found["short_pairs"]


def _places(keys: Array) -> Array:
    """Of each row of groups of equal keys its place in its group, from 0."""
    first, sizes = _groups(keys)
    places: Array = (np.arange(len(keys)) - np.repeat(first, sizes)).astype(np.int32)
    return places


def different(values: Array) -> Array:
    """`values` sorted, each once: Polars sorts twice as fast as NumPy, whose own `unique` has a table of hashes."""
    held = pl.Series(values).sort().to_numpy()
    return held[_groups(held)[0]]


def _groups(keys: Array) -> tuple[Array, Array]:
    """Where each run of equal keys begins, and how long it is."""
    begins = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=begins[1:])
    first = np.flatnonzero(begins)
    return first, np.diff(first, append=len(keys))


# What two documents share


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Of each pair of candidate_pairs, in order: of each kind of hashes (the last axis) how many both documents have, the
    later one, the earlier one."""

    pairs: pl.DataFrame
    counts: Array  # u32: pairs, kinds, (shared, mine, theirs)

    def met_shingles(self) -> pa.Table:
        """The table met_shingles, of pairs that share so many as documents.sql asks of likely pairs."""
        shared = self.counts[:, 0, 0].astype(np.int64)
        return self.pairs.select("pair", shared=pl.Series(shared)).to_arrow()

    def sample_sizes(self) -> pa.Table:
        """The table sample_sizes, of those pairs."""
        steps = ("shingle_step", "number_step", "name_step")
        kinds = ("shingles", "numbers", "names")
        sides = [
            self.pairs.select(pl.col(side).alias("number"), *steps).with_columns(
                pl.Series(name, self.counts[:, kind, which].astype(np.int64)) for kind, name in enumerate(kinds)
            )
            for which, side in ((1, "number"), (2, "earlier"))
        ]
        return pl.concat(sides).unique().to_arrow()

    def shared_facts(self) -> pa.Table:
        """The table shared_facts, of those pairs."""
        numbers, names = (pl.Series(self.counts[:, kind, 0].astype(np.int64)) for kind in (1, 2))
        return self.pairs.select("pair", numbers=numbers, names=names).to_arrow()


def overlaps(columns: Columns, pairs: pl.DataFrame, known: pl.DataFrame, aside: SetAside) -> Overlaps:
    """What the documents of candidate_pairs have in common of their samples, of pairs that share shingles enough to be asked
    about. known: known_sketches."""
    pairs = pairs.sort("pair")
    numbers = pl.concat([pairs["number"], pairs["earlier"]]).unique().sort()
    slots = pl.DataFrame({"number": numbers, "slot": np.arange(1, len(numbers) + 1, dtype=np.uint32)})
    sides = [
        pairs.select(pl.col(number).alias("number"), pl.col(doc).alias("doc"))
        for number, doc in (("number", "doc"), ("earlier", "their_doc"))
    ]
    own = pl.concat(sides).drop_nulls().unique().join(slots, on="number")
    slot_of = Documents(own["doc"].to_numpy(), slot=own["slot"].to_numpy())
    others = known.join(slots, on="number").filter(pl.col("number") < 0)
    mine, theirs = (numbers.search_sorted(pairs[side]).to_numpy().astype(np.uint32) for side in ("number", "earlier"))
    steps = np.ascontiguousarray(pairs.select("shingle_step", "number_step", "name_step").to_numpy(), np.int64)
    share = min(1.0, len(own) / max(1, columns.rows("fingerprints")))
    expected = int(share * columns.rows("sketches")) + len(others)
    parts = _Parts(expected // 2, {"h": np.int64, "slot": np.uint32, "kind": np.int8}, aside)
    for part, rows in parts.split(others["h"].to_numpy()):
        parts.put(part, **{name: others[name].to_numpy()[rows] for name in parts.kinds})
    for some in columns("sketches", ["h", "doc", "kind"]):
        (slot,) = slot_of.of(some["doc"], "slot")
        for part, rows in parts.split(some["h"], among=slot > 0):
            parts.put(part, h=some["h"][rows], slot=slot[rows], kind=some["kind"][rows])
    counts = np.zeros((len(pairs), KINDS, 3), np.uint32)
    for told in parts:
        _count_overlaps(counts, told["h"], told["slot"] - np.uint32(1), told["kind"], len(numbers), mine, theirs, steps)
    likely = np.flatnonzero(counts[:, 0, 0] >= LIKELY_SHARED)
    return Overlaps(pairs[likely], counts[likely])


def _count_overlaps(
    counts: Array, hashes: Array, docs: Array, kinds: Array, n_docs: int, mine: Array, theirs: Array, steps: Array
) -> None:
    """Add to `counts` what the pairs share of some hashes, and have of them."""
    library = kernels.library()
    assert library is not None
    held = np.ascontiguousarray(docs, np.uint32), np.ascontiguousarray(kinds, np.int8), np.ascontiguousarray(hashes)
    library.winnow_overlaps.restype = ctypes.c_int
    done = library.winnow_overlaps(
        *(kernels.pointer(values) for values in held),
        ctypes.c_int64(len(hashes)),
        ctypes.c_int64(n_docs),
        *(kernels.pointer(values) for values in (mine, theirs, steps)),
        ctypes.c_int64(len(mine)),
        kernels.pointer(counts),
    )
    if not done:
        raise MemoryError("no memory left in winnow_overlaps")


# Sentences of different documents


@dataclass(frozen=True, slots=True)
class Compared:
    """The sentences that near.sql compares, as sentences.sql says of meeting_sentences. bits: of the rows of each reading of
    `sentences`, whether they are. sizes: of the readings. count: how many they are."""

    bits: list[Array]
    sizes: list[int]
    count: int
    numbers: Documents

    def __iter__(self) -> Iterator[Array]:
        """Of each reading's rows whether they are compared."""
        for bits, size in zip(self.bits, self.sizes, strict=True):
            yield np.unpackbits(bits, count=size).view(np.bool_)


def meeting_sentences(
    columns: Columns,
    repeated: Repeats,
    numbers: Documents,
    *,
    first_places: Array,
    near_sentences: Array,
    min_words: int,
) -> Compared:
    """Which sentences others may nearly repeat.

    numbers: number and stays (1, or 0) of this run's documents. first_places, near_sentences: sentences as `places` names
    them, that are the first of their kind, and that nearly repeat another one of their document.
    """
    firsts, near = np.sort(first_places), np.sort(near_sentences)
    bits, count = [], 0
    for times, some in zip(repeated, columns("sentences", ["doc", "start_char", "n_words", "near_a"]), strict=True):
        number, stays = numbers.of(some["doc"], "number", "stays")
        good = (some["near_a"] >= 0) & (some["n_words"] >= min_words) & (stays > 0)
        asked = np.flatnonzero(good & (times > 1))
        good[asked[~_is_in(firsts, places(number[asked], some["start_char"][asked]))]] = False
        if len(near):
            asked = np.flatnonzero(good)
            good[asked[_is_in(near, places(number[asked], some["start_char"][asked]))]] = False
        bits.append(np.packbits(good))
        count += int(np.count_nonzero(good))
    return Compared(bits, repeated.sizes, count, numbers)


def places(numbers: Array, starts: Array) -> Array:
    """A number for each sentence: its document's and where it begins."""
    named: Array = (numbers.astype(np.int64) << 32) | starts.astype(np.int64)
    return named


def points(columns: Columns, compared: Compared) -> Array:
    """The different points of the sentences that are compared, sorted."""
    sides = [
        different(np.concatenate([some["near_a"][good], some["near_b"][good]]))
        for good, some in zip(compared, columns("sentences", ["near_a", "near_b"]), strict=True)
    ]
    return different(np.concatenate([np.zeros(0, np.int64), *sides]))


def near_candidates(
    columns: Columns, compared: Compared, known: pl.DataFrame, aside: SetAside, *, threads: int = 1
) -> Candidates:
    """The table near_candidates. known: known_meetings, those of a point in their order."""
    starts = np.cumsum([0, *compared.sizes])
    n_known, n_rows = known.height, int(starts[-1])
    kinds = {"key": np.int64, "rank": np.uint32, "row": np.uint32, "rest": np.uint16, "n_words": np.uint16}
    parts = _Parts(2 * compared.count + n_known, kinds, aside, at_once=threads)
    theirs = {
        "key": known["h"].to_numpy(),
        "rank": np.arange(n_known, dtype=np.uint32),
        "row": np.arange(n_rows, n_rows + n_known),
        "rest": known["rest"].to_numpy(),
        "n_words": known["n_words"].to_numpy(),
    }
    for part, rows in parts.split(theirs["key"]):
        parts.put(part, **{name: values[rows] for name, values in theirs.items()})
    told = ["doc", "near_a", "near_b", "rest_a", "rest_b", "n_words"]

    def standing(reading: tuple[int, Array, Mapping[str, Array]]) -> list[_Some]:
        start, good, some = reading
        (number,) = compared.numbers.of(some["doc"], "number")
        return [
            (
                part,
                {
                    "key": some[f"near_{side}"][rows],
                    "rank": number[rows] + n_known,
                    "row": rows.astype(np.int64) + start,
                    "rest": some[f"rest_{side}"][rows],
                    "n_words": some["n_words"][rows],
                },
            )
            for side in ("a", "b")
            for part, rows in parts.split(some[f"near_{side}"], among=good)
        ]

    readings = zip(starts.tolist(), compared, columns("sentences", told), strict=False)
    parts.put_all(in_threads(standing, readings, threads))
    stands = known["stands"].to_numpy()
    meeting = in_threads(lambda part: _met(parts.take(part), stands, n_rows), range(parts.count), threads)
    met = different(np.concatenate([np.zeros(0, np.int64), *meeting]))
    return _named(columns, compared, met[_share_words(columns, met, starts, known)], starts, known)


def _rows_in(pairs: Array) -> tuple[tuple[Array, Array], Array]:
    """The rows of the two sides of some pairs, and those that are in any, each once, in order."""
    sides = pairs >> 32, pairs & 0xFFFFFFFF
    return sides, different(np.concatenate([different(side) for side in sides]))


def _share_words(columns: Columns, met: Array, starts: Array, known: pl.DataFrame) -> Array:
    """Which pairs of rows have as many words in common as near.sql asks for."""
    sides, rows = _rows_in(met)
    bounds = np.searchsorted(rows, starts)
    n_words, bits = np.zeros(len(rows), np.uint32), np.zeros(len(rows), np.int64)
    for n, some in enumerate(columns("sentences", ["n_words", "word_bits"]) if bounds[-1] else ()):
        here = slice(bounds[n], bounds[n + 1])
        n_words[here], bits[here] = (some[name][rows[here] - starts[n]] for name in ("n_words", "word_bits"))
    before = known[pl.Series(rows[bounds[-1] :] - starts[-1])]
    n_words[bounds[-1] :], bits[bounds[-1] :] = before["n_words"].to_numpy(), before["word_bits"].to_numpy()
    told = [np.zeros(0, np.bool_)]
    for first in range(0, len(met), PAIRS_AT_ONCE):
        one, two = (np.searchsorted(rows, side[first : first + PAIRS_AT_ONCE]) for side in sides)
        more = n_words[one].astype(np.int64) - n_words[two]
        few = np.maximum(FEW_WORDS, np.maximum(n_words[one], n_words[two]) // FEW_OF_WORDS)
        few = np.maximum(1, few - np.abs(more) // 2)
        mine, theirs = (_bits_set(bits[a] & ~bits[b]) for a, b in ((one, two), (two, one)))
        good = (mine <= few + np.maximum(more, 0)) & (theirs <= few + np.maximum(-more, 0))
        told.append(good | (bits[one] == 0) | (bits[two] == 0))
    return np.concatenate(told)


def _bits_set(values: Array) -> Array:
    """How many bits of each of some numbers of 64 bits are set."""
    set_in_byte = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
    counts: Array = set_in_byte[values.view(np.uint8).reshape(-1, 8)].sum(axis=1, dtype=np.uint32)
    return counts


def _met(told: Mapping[str, Array], stands: Array, n_rows: int) -> Array:
    """Pairs of rows of a part that meet: the later one's in the high half. stands: of known ones, which have the rows from n_rows."""
    order = meetings(told["key"], told["rank"])
    rank, row, rest = (told[name][order] for name in ("rank", "row", "rest"))
    n_words = told["n_words"][order].astype(np.int64)
    place = _places(told["key"][order])
    later = np.flatnonzero((place > 0) & (row < n_rows))
    far = later[place[later] > 1]
    one = np.concatenate([later, far])
    two = np.concatenate([later - 1, far - place[far]])
    few, many = (pick(n_words[one], n_words[two]) for pick in (np.minimum, np.maximum))
    unlike = rest[one] ^ rest[two]
    good = (rank[two] < rank[one]) & (many - few <= 3 + 0.1 * few) & ((unlike & 0xFF == 0) | (unlike & 0xFF00 == 0))
    one, two = row[one[good]].astype(np.int64), row[two[good]].astype(np.int64)
    good = two < n_rows
    good[~good] = stands[two[~good] - n_rows]
    pairs: Array = (one[good] << 32) | two[good]
    return pairs


def _named(columns: Columns, compared: Compared, met: Array, starts: Array, known: pl.DataFrame) -> Candidates:
    """Pairs of rows as near_candidates names them."""
    sides, rows = _rows_in(met)
    bounds = np.searchsorted(rows, starts)
    own = rows[bounds[0] : bounds[-1]]
    named: dict[str, Array] = {name: np.zeros(len(own), np.int64) for name in ("number", "doc")}
    named |= {name: np.zeros(len(own), np.uint32) for name in ("start_char", "end_char")}
    told = ["doc", "start_char", "end_char"]
    for n, some in enumerate(columns("sentences", told) if len(own) else ()):
        here = slice(bounds[n], bounds[n + 1])
        mine = own[here] - starts[n]
        (number,) = compared.numbers.of(some["doc"], "number")
        named["number"][here] = number[mine]
        for name in told:
            named[name][here] = some[name][mine]
    theirs = known[pl.Series(rows[bounds[-1] :] - starts[-1])]
    places_only = theirs.select("number", doc=pl.lit(None), start_char="start_char", end_char=pl.lit(None))
    every = pl.concat([pl.DataFrame(some).cast(SENTENCES) for some in (named, places_only)])
    return _candidates(every, *(np.searchsorted(rows, side) for side in sides))


def _candidates(sentences: pl.DataFrame, later: Array, earlier: Array) -> Candidates:
    """Candidates of `sentences` in any order and more than once (a known one that meets at two points), and pairs of their rows."""
    number = sentences["number"].to_numpy()
    before = np.unique(number[number < 0])  # of few, and larger than leaves room for a place
    ranks = np.where(number < 0, np.searchsorted(before, number) - len(before), number)
    named = places(ranks, sentences["start_char"].to_numpy())
    order = np.argsort(named)
    first, sizes = _groups(named[order])
    row = np.empty(len(named), np.int64)
    row[order] = np.repeat(np.arange(len(first)), sizes)
    pairs = different((row[later] << 32) | row[earlier])
    return Candidates(sentences[order[first]], (pairs >> 32).astype(np.uint32), pairs.astype(np.uint32))


# Parts

_Some = tuple[int, Mapping[str, Array]]
"""A part, and rows of it."""


class _Parts:
    """Rows by parts, set aside: a few bits of a hash tell which one a row is in. About PART_ROWS are in as many parts as are
    in memory at once.

    rows: how many they are, about. kinds: type of each column. Iterated: the parts' rows, one after the other.
    """

    def __init__(self, rows: int, kinds: Mapping[str, npt.DTypeLike], aside: SetAside, *, at_once: int = 1) -> None:
        self.rows, self.kinds = rows, kinds
        self.count = rows * at_once // PART_ROWS + 1
        self._aside = aside(kinds, rows < PART_ROWS)

    def split(self, hashes: Array, *, among: Array | None = None) -> Iterator[tuple[int, Array]]:
        """The rows of each part, in order. among: whether each row is asked for."""
        library = kernels.library()
        assert library is not None
        held = np.ascontiguousarray(hashes)
        chosen = None if among is None else np.ascontiguousarray(among)
        rows, bounds = np.empty(len(held), np.uint32), np.empty(self.count + 1, np.int64)
        library.winnow_split.restype = None
        library.winnow_split(
            kernels.pointer(held),
            None if chosen is None else kernels.pointer(chosen),
            ctypes.c_int64(len(held)),
            ctypes.c_uint32(self.count),
            kernels.pointer(rows),
            kernels.pointer(bounds),
        )
        for part in range(self.count):
            yield part, rows[bounds[part] : bounds[part + 1]]

    def put(self, part: int, **columns: Array) -> None:
        """Set rows of a part aside."""
        self._aside.put(part, columns)

    def put_all(self, several: Iterable[Sequence[_Some]]) -> None:
        """Set rows aside, in order."""
        for some in several:
            for part, columns in some:
                self._aside.put(part, columns)

    def take(self, part: int) -> Mapping[str, Array]:
        """The rows of a part."""
        return self._aside.take(part)

    def __iter__(self) -> Iterator[Mapping[str, Array]]:
        return map(self.take, range(self.count))


def _is_in(wanted: Array, values: Array) -> Array:
    """Which of `values` are one of `wanted` (sorted)."""
    if not len(wanted):
        return np.zeros(len(values), np.bool_)
    here: Array = wanted[np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)] == values
    return here
