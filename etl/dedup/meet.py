"""Barrier 2's largest tables by compiled kernels: which hashes stand in two rows or more, and what two documents share.

documents.sql, sentences.sql and near.sql say what these tables are; what is here makes the same rows of them in a fraction of
the time, and in bounded memory: columns are read some rows at a time, and kept of them the rows of one part, those whose hashes
are alike in a few bits. Without the kernels SQL makes them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from etl import kernels

Array = npt.NDArray[Any]
Columns = Callable[[str, Sequence[str]], Iterator[Mapping[str, Array]]]
"""Reads columns of one of the tables that `clean` leaves, some rows at a time, each time the same; null is -1."""

T = TypeVar("T")

PART_ROWS: Final = 6_000_000  # hashes in memory at once, up to 60 bytes each
KINDS: Final = 3  # of sampled hashes
FIRST_HOLDERS: Final = 6  # of a band, which each later one is paired with
_PAIRS_AT_ONCE: Final = 2_000_000

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
CANDIDATES: Final = pl.Schema(
    {
        "number": pl.Int64,
        "doc": pl.Int64,
        "start_char": pl.UInt32,
        "end_char": pl.UInt32,
        "earlier": pl.Int64,
        "kept_doc": pl.Int64,
        "kept_start": pl.UInt32,
        "kept_end": pl.UInt32,
    }
)
"""near_candidates, as near.sql makes it."""


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
    """How often each row's key stands in `sentences` and known_sentences; of a file's rows in order, file by file. 0: once."""

    times: list[Array]


def repeats(columns: Columns, known: Array) -> Repeats:
    """How often each sentence's key stands among all that have a word. known: key_hash of known_sentences."""
    sizes = [len(some["n_words"]) for some in columns("sentences", ["n_words"])]
    starts = np.cumsum([0, *sizes])
    times = np.zeros(starts[-1], np.uint32)

    def count(part: int, parts: int) -> None:
        keys, rows = [known[_of_part(known, part, parts)]], [np.zeros(0, np.uint32)]
        for start, some in zip(starts, columns("sentences", ["key_hash", "n_words"]), strict=False):
            mine = _of_part(some["key_hash"], part, parts, among=some["n_words"] > 0)
            keys.append(some["key_hash"][mine])
            rows.append((mine + np.int64(start)).astype(np.uint32))
        earlier = len(keys[0])
        whole, keys = np.concatenate(keys), []
        found = meetings(whole)
        _, sizes = _groups(whole[found])
        counted = np.repeat(sizes, sizes)
        own = found >= earlier
        times[np.concatenate(rows)[found[own] - earlier]] = counted[own]

    _in_parts(count, int(starts[-1]) + len(known))
    return Repeats([times[a:b] for a, b in pairwise(starts)])


def recurring_sentences(columns: Columns, repeated: Repeats, numbers: Documents) -> Iterator[pl.DataFrame]:
    """The table recurring_sentences, a file's rows at a time. numbers: `number` of this run's documents."""
    names = [name for name in RECURRING if name not in ("number", "times")]
    for times, some in zip(repeated.times, columns("sentences", ["doc", *names]), strict=True):
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
    for times, some in zip(repeated.times if len(known) else (), columns("sentences", ["key_hash"]), strict=False):
        rows = np.flatnonzero(times > 1)
        keys.append(some["key_hash"][rows][np.isin(some["key_hash"][rows], wanted)])
    values, times_met = np.unique(np.concatenate(keys), return_counts=True)
    several = times_met > 1
    return pl.DataFrame({"key_hash": values[several], "times": times_met[several].astype(np.int64)}).to_arrow()


def band_pairs(columns: Columns, eligible: pl.DataFrame, known: pl.DataFrame) -> pa.Table:
    """The table band_pairs. eligible: turn, number and doc of near_eligible. known: number and h of known_bands."""
    least = int(eligible["turn"].min() or 0) - 1  # type: ignore[arg-type]
    own, theirs = eligible.drop_nulls("doc"), eligible.filter(pl.col("doc").is_null())
    ranks = Documents(own["doc"].to_numpy(), rank=own["turn"].to_numpy().astype(np.int64) - least)
    earlier = known.join(theirs.select("number", "turn"), on="number")
    known_h, known_rank = earlier["h"].to_numpy(), earlier["turn"].to_numpy().astype(np.int64) - least
    rows = sum(len(some["h"]) for some in columns("bands", ["h"])) + len(known_h)

    def members(part: int, parts: int) -> tuple[Array, Array]:
        mine = _of_part(known_h, part, parts)
        hashes, held = [known_h[mine]], [known_rank[mine].astype(np.uint32)]
        for some in columns("bands", ["h", "doc"]):
            (rank,) = ranks.of(some["doc"], "rank")
            chosen = _of_part(some["h"], part, parts, among=rank > 0)
            hashes.append(some["h"][chosen])
            held.append(rank[chosen].astype(np.uint32))
        whole, rank = np.concatenate(hashes), np.concatenate(held)
        found = meetings(whole, rank)
        return rank[found], _places(whole[found])

    met = _in_parts(members, rows)
    counted = [np.zeros((3, 0), np.int64)]
    later_than = max(0, -least)  # turns above 0 are this run's
    bounds = _ranges([rank for rank, _ in met], later_than)
    for low, past in bounds:
        pairs = np.concatenate([np.zeros(0, np.int64), *(_band_pairs(rank, place, low, past) for rank, place in met)])
        pairs.sort()
        first, bands = _groups(pairs)
        turn, before = (pairs[first] >> 32) + least, (pairs[first] & 0xFFFFFFFF) + least
        good = (bands >= 2) | (turn % 2 != 0) | (before % 2 != 0)
        counted.append(np.stack([turn[good], before[good], bands[good]]))
    turn, before, bands = np.concatenate(counted, axis=1)
    return pl.DataFrame({"turn": turn.astype(np.int32), "earlier": before.astype(np.int32), "bands": bands}).to_arrow()


def _band_pairs(rank: Array, place: Array, low: int, past: int) -> Array:
    """Pairs of holders of a band (the later one's rank in the high half), the later one's rank from `low` to `past`."""
    later = np.flatnonzero((rank >= low) & (rank < past) & (place > 0))
    mine, at = rank[later].astype(np.int64) << 32, place[later]
    found = []
    for other in range(FIRST_HOLDERS):
        some = at > other
        found.append(mine[some] | rank[later[some] - at[some] + other])
    for back in (1, 2):
        some = at > FIRST_HOLDERS - 1 + back
        found.append(mine[some] | rank[later[some] - back])
    return np.concatenate([pairs[(pairs >> 32) > (pairs & 0xFFFFFFFF)] for pairs in found])


def _ranges(ranks: Sequence[Array], first: int) -> list[tuple[int, int]]:
    """Ranges of ranks above `first`, each of about _PAIRS_AT_ONCE pairs."""
    last = max((int(rank.max(initial=0)) for rank in ranks), default=0) + 1
    count = sum(map(len, ranks)) * 2 // _PAIRS_AT_ONCE + 1
    cuts = np.linspace(first + 1, max(last, first + 1), count + 1).astype(np.int64).tolist()
    return list(pairwise(cuts))


def _places(keys: Array) -> Array:
    """Of each row of groups of equal keys its place in its group, from 0."""
    first, sizes = _groups(keys)
    places: Array = (np.arange(len(keys)) - np.repeat(first, sizes)).astype(np.int32)
    return places


def _different(values: Array) -> Array:
    """`values` sorted, each once: NumPy's own `unique` has a table of hashes, which takes longer."""
    held = np.sort(values)
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
    counts: Array  # pairs, kinds, (shared, mine, theirs)

    def met_shingles(self) -> pa.Table:
        """The table met_shingles."""
        shared = self.counts[:, 0, 0]
        return self.pairs.select("pair", shared=pl.Series(shared)).filter(pl.col("shared") > 0).to_arrow()

    def sample_sizes(self) -> pa.Table:
        """The table sample_sizes, of all candidates."""
        steps = ("shingle_step", "number_step", "name_step")
        kinds = ("shingles", "numbers", "names")
        sides = [
            self.pairs.select(pl.col(side).alias("number"), *steps).with_columns(
                pl.Series(name, self.counts[:, kind, which]) for kind, name in enumerate(kinds)
            )
            for which, side in ((1, "number"), (2, "earlier"))
        ]
        return pl.concat(sides).unique().to_arrow()

    def shared_facts(self) -> pa.Table:
        """The table shared_facts, of all candidates."""
        numbers, names = (pl.Series(self.counts[:, kind, 0]) for kind in (1, 2))
        return self.pairs.select("pair", numbers=numbers, names=names).to_arrow()


def overlaps(columns: Columns, pairs: pl.DataFrame, known: pl.DataFrame) -> Overlaps:
    """What the documents of candidate_pairs have in common of their samples. known: known_sketches."""
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
    known_rows = tuple(others[name].to_numpy() for name in ("h", "slot", "kind"))
    mine, theirs = (numbers.search_sorted(pairs[side]).to_numpy().astype(np.uint32) for side in ("number", "earlier"))
    steps = np.ascontiguousarray(pairs.select("shingle_step", "number_step", "name_step").to_numpy(), np.int64)
    wanted = sum(int(np.count_nonzero(slot_of.of(some["doc"], "slot")[0])) for some in columns("sketches", ["doc"]))

    def count(part: int, parts: int) -> Array:
        chosen = _of_part(known_rows[0], part, parts)
        found = [tuple(values[chosen] for values in known_rows)]
        for some in columns("sketches", ["h", "doc", "kind"]):
            (slot,) = slot_of.of(some["doc"], "slot")
            rows = _of_part(some["h"], part, parts, among=slot > 0)
            found.append((some["h"][rows], slot[rows], some["kind"][rows]))
        hashes, slot, kind = (np.concatenate(values) for values in zip(*found, strict=True))
        found.clear()
        return _overlaps(hashes, slot - np.uint32(1), kind, len(numbers), mine, theirs, steps)

    counts = sum(_in_parts(count, (wanted + len(others)) // 2), start=np.zeros((len(pairs), KINDS, 3), np.int64))
    return Overlaps(pairs, counts)


def _overlaps(hashes: Array, docs: Array, kinds: Array, n_docs: int, mine: Array, theirs: Array, steps: Array) -> Array:
    library = kernels.library()
    assert library is not None
    held = np.ascontiguousarray(docs, np.uint32), np.ascontiguousarray(kinds, np.int8), np.ascontiguousarray(hashes)
    library.winnow_overlaps.restype = ctypes.c_void_p
    made = library.winnow_overlaps(
        *(kernels.pointer(values) for values in held),
        ctypes.c_int64(len(hashes)),
        ctypes.c_int64(n_docs),
        *(kernels.pointer(values) for values in (mine, theirs, steps)),
        ctypes.c_int64(len(mine)),
    )
    return kernels.take_arrays("winnow_overlaps", made, (("counts", np.int64),))["counts"].reshape(-1, KINDS, 3)


# Sentences of different documents


@dataclass(frozen=True, slots=True)
class Compared:
    """The sentences that near.sql compares, as sentences.sql says of meeting_sentences: which rows of each file they are."""

    chosen: list[Array]
    numbers: Documents

    def __len__(self) -> int:
        return sum(map(int, map(np.count_nonzero, self.chosen)))


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
    chosen = []
    for times, some in zip(
        repeated.times, columns("sentences", ["doc", "start_char", "n_words", "near_a"]), strict=True
    ):
        number, stays = numbers.of(some["doc"], "number", "stays")
        good = (some["near_a"] >= 0) & (some["n_words"] >= min_words) & (stays > 0)
        asked = np.flatnonzero(good & (times > 1))
        good[asked[~_is_in(firsts, places(number[asked], some["start_char"][asked]))]] = False
        if len(near):
            asked = np.flatnonzero(good)
            good[asked[_is_in(near, places(number[asked], some["start_char"][asked]))]] = False
        chosen.append(good)
    return Compared(chosen, numbers)


def places(numbers: Array, starts: Array) -> Array:
    """A number for each sentence: its document's and where it begins."""
    named: Array = (numbers.astype(np.int64) << 32) | starts.astype(np.int64)
    return named


def points(columns: Columns, compared: Compared) -> Array:
    """The different points of the sentences that are compared, sorted."""
    sides = [
        _different(np.concatenate([some["near_a"][good], some["near_b"][good]]))
        for good, some in zip(compared.chosen, columns("sentences", ["near_a", "near_b"]), strict=True)
    ]
    return _different(np.concatenate([np.zeros(0, np.int64), *sides]))


def near_candidates(columns: Columns, compared: Compared, known: pl.DataFrame) -> pl.DataFrame:
    """The table near_candidates. known: known_meetings."""
    known = known.sort("number", "start_char")
    starts = np.cumsum([0, *map(len, compared.chosen)])
    n_known, n_rows = known.height, int(starts[-1])
    told = ["doc", "near_a", "near_b", "rest_a", "rest_b", "n_words"]
    theirs = {
        "key": known["h"].to_numpy(),
        "rank": np.arange(n_known, dtype=np.uint32),
        "rest": known["rest"].to_numpy(),
        "n_words": known["n_words"].to_numpy().astype(np.int64),
        "row": np.arange(n_rows, n_rows + n_known),
        "stands": known["stands"].to_numpy(),
    }

    def meet(part: int, parts: int) -> Array:
        mine = _of_part(theirs["key"], part, parts)
        found = [{name: values[mine] for name, values in theirs.items()}]
        for start, good, some in zip(starts, compared.chosen, columns("sentences", told), strict=False):
            (number,) = compared.numbers.of(some["doc"], "number")
            for side in ("a", "b"):
                rows = _of_part(some[f"near_{side}"], part, parts, among=good)
                found.append(
                    {
                        "key": some[f"near_{side}"][rows],
                        "rank": (number[rows] + n_known).astype(np.uint32),
                        "rest": some[f"rest_{side}"][rows].astype(np.uint16),
                        "n_words": some["n_words"][rows].astype(np.int64),
                        "row": rows.astype(np.int64) + start,
                        "stands": np.ones(len(rows), np.bool_),
                    }
                )
        whole = {name: np.concatenate([some[name] for some in found]) for name in theirs}
        del found
        order = meetings(whole["key"], whole["rank"])
        whole = {name: values[order] for name, values in whole.items()}
        place = _places(whole["key"])
        later = np.flatnonzero((place > 0) & (whole["row"] < n_rows))
        far = later[place[later] > 1]
        one = np.concatenate([later, far])
        two = np.concatenate([later - 1, far - place[far]])
        few, many = (pick(whole["n_words"][one], whole["n_words"][two]) for pick in (np.minimum, np.maximum))
        unlike = whole["rest"][one] ^ whole["rest"][two]
        good = (
            (whole["rank"][two] < whole["rank"][one])
            & whole["stands"][two]
            & (many - few <= 3 + 0.1 * few)
            & ((unlike & 0xFF == 0) | (unlike & 0xFF00 == 0))
        )
        pairs: Array = (whole["row"][one[good]] << 32) | whole["row"][two[good]]
        return pairs

    met = _different(np.concatenate([np.zeros(0, np.int64), *_in_parts(meet, 2 * len(compared) + n_known)]))
    met = np.stack([met >> 32, met & 0xFFFFFFFF], axis=1)
    return _named(columns, compared, met, starts, known)


def _named(columns: Columns, compared: Compared, met: Array, starts: Array, known: pl.DataFrame) -> pl.DataFrame:
    """Pairs of rows as near_candidates names them."""
    rows = _different(met[met < starts[-1]])
    parts = []
    for start, past, some in zip(
        starts, starts[1:], columns("sentences", ["doc", "start_char", "end_char"]), strict=False
    ):
        mine = rows[(rows >= start) & (rows < past)] - start
        (number,) = compared.numbers.of(some["doc"], "number")
        parts.append([number[mine], *(some[name][mine] for name in ("doc", "start_char", "end_char"))])
    parts = parts or [[np.zeros(0, np.int64)] * 4]
    number, doc, start_char, end_char = (np.concatenate(values) for values in zip(*parts, strict=True))
    own = pl.DataFrame({"row": rows, "number": number, "doc": doc, "start_char": start_char, "end_char": end_char})
    others = known.select(
        pl.col("number").cast(pl.Int64), doc=pl.lit(None, pl.Int64), start_char="start_char", end_char=pl.lit(None)
    ).with_row_index("row", offset=int(starts[-1]))
    every = pl.concat(
        [
            side.select(
                pl.col("row").cast(pl.Int64), *(pl.col(name).cast(CANDIDATES[name]) for name in own.columns[1:])
            )
            for side in (own, others)
        ]
    )
    pairs = pl.DataFrame({"row": met[:, 0], "kept_row": met[:, 1]}, schema={"row": pl.Int64, "kept_row": pl.Int64})
    kept = every.select(kept_row="row", earlier="number", kept_doc="doc", kept_start="start_char", kept_end="end_char")
    return (
        pairs.join(every, on="row")
        .join(kept, on="kept_row")
        .select(CANDIDATES.names())
        .unique()
        .sort("number", "start_char", "earlier", "kept_start")
    )


# Parts


def _of_part(hashes: Array, part: int, parts: int, *, among: Array | None = None) -> Array:
    """The rows of a part, in order: which one a hash is in is told by bits that neither few nor deep hashes leave out.

    among: whether each row is asked for.
    """
    if parts == 1:
        return np.arange(len(hashes), dtype=np.uint32) if among is None else np.flatnonzero(among)
    library = kernels.library()
    assert library is not None
    held = np.ascontiguousarray(hashes)
    chosen = None if among is None else np.ascontiguousarray(among)
    rows = np.empty(len(held), np.uint32)
    library.winnow_part.restype = ctypes.c_int64
    found = library.winnow_part(
        kernels.pointer(held),
        None if chosen is None else kernels.pointer(chosen),
        ctypes.c_int64(len(held)),
        ctypes.c_uint32(part),
        ctypes.c_uint32(parts),
        kernels.pointer(rows),
    )
    return rows[:found]


def _in_parts(work: Callable[[int, int], T], rows: int) -> list[T]:
    """What `work` gives for each part of about PART_ROWS of so many rows: each part is a reading of the columns."""
    parts = rows // PART_ROWS + 1
    return [work(part, parts) for part in range(parts)]


def _is_in(wanted: Array, values: Array) -> Array:
    """Which of `values` are one of `wanted` (sorted)."""
    if not len(wanted):
        return np.zeros(len(values), np.bool_)
    here: Array = wanted[np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)] == values
    return here
