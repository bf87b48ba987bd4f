"""What earlier runs saw and left: settled files, lines of sites, fingerprints, sentence hashes, by run key.

A run sees the keys that sort before its own, never itself nor a later one. The manifest says which runs count; a run's
state lies in `_state/run=KEY/` and is replaced with its output.

State is looked up, not loaded: its tables are sorted by the hash or number by which they are asked, so a row group whose
bounds hold nothing wanted is passed over, of the others one column is read, and the rest only where something was found.
Of every sixteen runs the tables by hash are put together into one sorted file each, in `_state/compact=…/`; one that holds
a run which has changed since is deleted, and the runs' own files are read until the next time. Tables by number are
asked only for the runs that a number names, so theirs stay as they are. So do the sentences that near-duplicates meet:
each meets by two hashes, so they are in no order, and read from end to end; texts are cut from the published documents.
How many words each document has is read of all, too: of those that share a band only the first and the last long ones are known.
"""

from __future__ import annotations

import ctypes
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from etl import kernels
from etl.boilerplate import templates
from etl.dedup import state
from etl.dedup.fingerprint import POINT_BITS
from etl.dedup.meet import FIRST_HOLDERS, LAST_HOLDERS
from etl.dedup.state import RUN_NUMBERS
from etl.errors import StageError
from etl.storage import read_json, read_parquet, read_texts, remove_tree, sha256, write_json, write_parquet
from etl.threads import in_threads

log = logging.getLogger(__name__)

Wanted = npt.NDArray[np.int64]

STATE: Final = {**state.STATE, **templates.STATE}
SORTED_BY: Final = {**state.SORTED_BY, "kept_lines": "line"}
"""The tables that are looked up, each with the column by which it is asked, and sorted."""

GROUP_ROWS: Final = 100_000  # of a row group: what one hash that is found makes be read
GROUPS_AT_ONCE: Final = 25  # row groups of a file that one thread looks at
COMPACTED: Final = ("bands", "sentences", "kept_lines")
COMPACT_RUNS: Final = 16
COMPACT_ROWS: Final = 2_000_000  # in memory at once while runs are put together
MEETINGS_AT_ONCE: Final = 2_000_000  # rows in memory of which only some of each point are asked for
MARK_BITS: Final = 26  # 8 MB; with more, looking at them takes longer than what more of them would tell

RECIPE: Final = pa.schema([("name", pa.string()), ("text", pa.large_string())])
"""What a run was told, so that it can be done again: a row each for inputs, skip and overrides (JSON), and for each file
of the configuration."""

FILES: Final = pa.schema([("source", pa.string()), ("sha256", pa.string()), ("bytes", pa.int64())])


@dataclass(frozen=True, slots=True)
class Marks:
    """Finds hashes of POINT_BITS bits or more among some, `wanted` (sorted, each once): nearly all that aren't among them are
    told without a search, by their low bits, or by those above.

    low, high: a bit for each number that `bits` bits can have, set where one of `wanted` has it there.
    """

    wanted: Wanted
    bits: int
    low: npt.NDArray[np.uint8]
    high: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, wanted: Wanted) -> Marks:
        """Marks of `wanted`: a few in a hundred of the bits are set."""
        bits = min(max(len(wanted).bit_length() + 4, 12), MARK_BITS)
        low, high = (np.zeros(1 << (bits - 3), np.uint8) for _ in range(2))
        library = kernels.library()
        if library is not None:
            library.winnow_mark.restype = None
            library.winnow_mark(
                kernels.pointer(wanted),
                ctypes.c_int64(len(wanted)),
                *_looks_at(bits),
                kernels.pointer(low),
                kernels.pointer(high),
            )
        else:
            for marks, numbers in ((low, wanted), (high, wanted >> (POINT_BITS - bits))):
                places = numbers & ((1 << bits) - 1)
                np.bitwise_or.at(marks, places >> 3, np.left_shift(1, places & 7).astype(np.uint8))
        return cls(wanted, bits, low, high)

    def find(self, hashes: Wanted) -> npt.NDArray[np.intp]:
        """Where in `hashes` one of `wanted` stands."""
        library = kernels.library()
        if library is None:
            likely = np.flatnonzero(self._are_set(self.low, hashes))
            likely = likely[self._are_set(self.high, hashes[likely] >> (POINT_BITS - self.bits))]
            return likely[_is_in(self.wanted, hashes[likely])] if len(self.wanted) else likely
        held, found = np.ascontiguousarray(hashes, np.int64), np.empty(len(hashes), np.uint32)
        library.winnow_find.restype = ctypes.c_int64
        count = library.winnow_find(
            kernels.pointer(held),
            ctypes.c_int64(len(held)),
            *_looks_at(self.bits),
            kernels.pointer(self.low),
            kernels.pointer(self.high),
            kernels.pointer(self.wanted),
            ctypes.c_int64(len(self.wanted)),
            kernels.pointer(found),
        )
        return found[:count].astype(np.intp)

    def _are_set(self, marks: npt.NDArray[np.uint8], numbers: Wanted) -> npt.NDArray[np.bool_]:
        places = numbers & ((1 << self.bits) - 1)
        told: npt.NDArray[np.bool_] = (marks[places >> 3] >> (places & 7).astype(np.uint8) & 1).astype(np.bool_)
        return told


def _looks_at(bits: int) -> tuple[ctypes.c_uint64, ctypes.c_int]:
    """What of a hash its marks are: how many bits, and where those above the low ones begin."""
    return ctypes.c_uint64((1 << bits) - 1), ctypes.c_int(POINT_BITS - bits)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a released run was made of and told. sources: source -> sha256 of each file it took.

    inputs: the files and folders it was given. config: name -> text of each file of its configuration.
    """

    sources: dict[str, str]
    inputs: tuple[str, ...]
    skip: tuple[str, ...]
    overrides: dict[str, str]
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class History:
    """The released runs of one dataset. runs: run key -> its entry in the manifest. forgotten: sources that are to be in none.
    threads: in which state is looked up."""

    out: Path
    runs: dict[str, dict[str, Any]]
    forgotten: tuple[str, ...] = ()
    threads: int = 1

    @classmethod
    def of(cls, out: Path, manifest: Mapping[str, Any]) -> History:
        """The history that the manifest of the dataset at `out` tells of."""
        return cls(out, manifest["runs"], tuple(manifest.get("forgotten", ())))

    def earlier(self, run_key: str) -> dict[str, str]:
        """The keys before `run_key`, with the hash of the release of each: what a run with that key sees."""
        return {key: str(entry["release"]) for key, entry in sorted(self.runs.items()) if key < run_key}

    def state_files(self, keys: Iterable[str], table: str) -> list[Path]:
        """The state files of `table` that the runs `keys` left, in order of key."""
        return [
            path for key in keys for path in sorted((self.out / "_state" / f"run={key}").glob(f"{table}-*.parquet"))
        ]

    def known(
        self, keys: Sequence[str], *, texts: Wanted, bands: Wanted, sentences: Wanted, near_min_words: int
    ) -> dict[str, pl.DataFrame]:
        """What the runs `keys` left that a run could meet which has these hashes: the tables known_… of barrier 2, but for
        known_sketches.

        texts, bands, sentences: key_hash of its documents, h of its bands, key_hash of its sentences; sorted, each once.
        near_min_words: of a document that it compares with others.
        """
        found = {
            "bands": self.holders(keys, bands, near_min_words=near_min_words),
            "sentences": self.look_up(keys, "sentences", "key_hash", sentences),
        }
        same = self.look_up(keys, "fingerprints", "key_hash", texts)
        named = found["sentences"].filter("usable").group_by("key_hash", "n_words").agg(pl.col("number").min())
        near = found["bands"]["number"].unique()
        numbers = pl.concat([same["number"], named["number"], near]).unique().sort()
        found["fingerprints"] = self.look_up(keys, "fingerprints", "number", numbers.to_numpy())
        found["stand_ins"] = self.look_up(keys, "stand_ins", "number", named["number"].unique().sort().to_numpy())
        return {f"known_{name}": rows for name, rows in found.items()}

    def holders(self, keys: Sequence[str], bands: Wanted, *, near_min_words: int) -> pl.DataFrame:
        """The documents of the runs `keys`, of near_min_words words at least, that have one of `bands` (sorted, each once): the table
        known_bands, by h and number. Of those that share a band the first and the last ones, which documents.sql pairs others with."""
        if not len(bands):
            return STATE["bands"].to_frame()
        parts = [self._is_long(key, near_min_words) for key in keys]
        is_long, first = np.concatenate(parts), 8 * np.cumsum([0, *map(len, parts)])

        def some(rows: pl.DataFrame) -> pl.DataFrame:
            number = rows["number"].to_numpy()
            place = first[number // RUN_NUMBERS + len(keys)] + number % RUN_NUMBERS
            kept = np.flatnonzero(is_long[place >> 3] >> (place & 7).astype(np.uint8) & 1)
            return rows[kept[_near_ends(rows["h"].to_numpy()[kept], FIRST_HOLDERS, LAST_HOLDERS)]]

        found = pl.concat(self._found(keys, "bands", "h", bands, kinds=STATE["bands"], some=some))
        return _at_ends(found, FIRST_HOLDERS, LAST_HOLDERS)

    def _is_long(self, key: str, words: int) -> npt.NDArray[np.uint8]:
        """A bit for each number of the run `key`: whether its document has so many words."""
        prints = [
            read_parquet(path, columns=["number", "n_tokens"]) for path in self.state_files([key], "fingerprints")
        ]
        numbers, n_tokens = (
            np.concatenate([np.zeros(0, np.int64), *(pl.Series(some[name]).to_numpy() for some in prints)])
            for name in ("number", "n_tokens")
        )
        is_long = np.zeros(numbers.max(initial=0) + 1, np.bool_)
        is_long[numbers[n_tokens >= words]] = True
        return np.packbits(is_long, bitorder="little")

    def meetings(self, keys: Sequence[str], points: Wanted) -> pl.DataFrame:
        """The sentences of the runs `keys` that meet at one of `points` (sorted, each once): the table known_meetings, with cut and
        n_chars. Of those that share a point, the first and the last: near.sql asks for no other."""
        marks = Marks.of(points)
        files = [
            (run, path)
            for run, key in enumerate(keys if len(points) else ())
            for path in self.state_files([key], "meetings")
        ]
        found = in_threads(lambda file: _meeting(file[1], marks), files, self.threads)
        held, rows = [_MEETINGS.to_frame()], 0
        for (run, _), seen in zip(files, found, strict=True):
            held.append(seen.with_columns(pl.col("number") + (run - len(keys)) * RUN_NUMBERS))
            rows += seen.height
            if rows > MEETINGS_AT_ONCE:
                held, rows = [_edges(pl.concat(held))], 0
        return _edges(pl.concat(held))

    def texts(self, keys: Sequence[str], places: pl.DataFrame) -> pl.Series:
        """Texts of the published documents of the runs `keys`, null where there is none any more, or none that can be read.
        places: number, part and row of a document, as look_up gives them, and start_char and n_chars in its published text."""
        numbered = places.with_row_index("asked").with_columns(run=pl.col("number") // RUN_NUMBERS + len(keys))
        there = numbered.drop_nulls("row").sort("run", "part", "row")

        def cut(told: tuple[tuple[Any, ...], pl.DataFrame]) -> pl.DataFrame:
            (run, part), wanted = told
            rows = wanted["row"].unique().sort()
            try:
                path = _only(self.out / "documents" / f"run={keys[int(run)]}", f"part-{part:05d}-*.parquet")
                whole = read_texts(path, "text", rows.to_numpy()).alias("text")
            except StageError as error:
                log.warning("%s: near-duplicates of its sentences are not found", error)
                whole = pl.Series("text", [None] * len(rows), dtype=pl.String)
            texts = wanted.with_columns(whole.gather(rows.search_sorted(wanted["row"])))
            return texts.select("asked", pl.col("text").str.slice("start_char", "n_chars"))

        of_parts = there.group_by("run", "part", maintain_order=True)
        found = [pl.DataFrame(schema={"asked": pl.UInt32, "text": pl.String}), *in_threads(cut, of_parts, self.threads)]
        return numbered.join(pl.concat(found), on="asked", how="left", maintain_order="left")["text"]

    def known_pages(self, keys: Sequence[str], lines: Wanted) -> dict[str, pl.DataFrame]:
        """What the runs `keys` left of sites' templates: the tables known_… of barrier 1. lines: of this run; sorted, each once."""
        whole = {name: self._whole(keys, table) for name, table in templates.KNOWN.items() if table not in SORTED_BY}
        return {**whole, "known_lines": self.look_up(keys, "kept_lines", "line", lines)}

    def _whole(self, keys: Iterable[str], table: str) -> pl.DataFrame:
        """A state table of the runs `keys`, all of it."""
        parts = [pl.read_parquet(path, hive_partitioning=False) for path in self.state_files(keys, table)]
        return pl.concat([STATE[table].to_frame(), *parts])

    def look_up(
        self,
        keys: Sequence[str],
        table: str,
        column: str,
        wanted: Wanted,
        *,
        columns: Sequence[str] = (),
        in_order: bool = True,
    ) -> pl.DataFrame:
        """The rows of the state `table` of the runs `keys` whose `column` is one of `wanted` (sorted, each once).

        columns: those to read, `column` and number among them; () for all. in_order: sorted by all of them; else as files have
        them, which were put together or not: for tables of which there may be millions of rows, whose order nobody asks for.
        Numbers are as the run after them sees them, in the result and in `wanted`. A table without numbers may also give
        rows of other runs that were put together with these.
        """
        kinds = {name: kind for name, kind in STATE[table].items() if name in (columns or STATE[table])}
        found = pl.concat(self._found(keys, table, column, wanted, kinds=kinds))
        return found.sort(list(kinds)) if in_order else found

    def _found(
        self,
        keys: Sequence[str],
        table: str,
        column: str,
        wanted: Wanted,
        *,
        kinds: Mapping[str, pl.DataType],
        some: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows,
    ) -> list[pl.DataFrame]:
        """What look_up finds, as files have it. some: chooses among rows of a part of a file, in their order there."""
        is_sorted = SORTED_BY[table] == column
        marks = None if is_sorted or column == "number" else Marks.of(wanted)

        def look(asked: _Asked) -> list[pl.DataFrame]:
            parts = []
            for part in _matching(asked, column=column, columns=kinds, marks=marks, is_sorted=is_sorted):
                rows = part.select(pl.col(name).cast(kind) for name, kind in kinds.items())
                if "number" in rows.columns:
                    own = rows["number"].to_numpy()
                    run = own // RUN_NUMBERS
                    rows = rows.with_columns(number=pl.Series(own + (asked.seen_as[run] - run) * RUN_NUMBERS))
                    rows = rows.filter(pl.col("number") < 0)
                parts.append(some(rows))
            return parts

        asked = self._asked(keys, table, wanted, by_number=column == "number")
        return [pl.DataFrame(schema=kinds), *chain.from_iterable(in_threads(look, asked, self.threads))]

    def _asked(self, keys: Sequence[str], table: str, wanted: Wanted, *, by_number: bool) -> Iterator[_Asked]:
        """What is to be looked at for `wanted` in the state `table` of the runs `keys`."""
        for paths, runs in self._files_of(keys, table):
            seen_as = np.array([(keys.index(key) - len(keys)) if key in keys else 0 for key in runs], dtype=np.int64)
            own = _as_own(wanted, seen_as) if by_number else wanted
            for path in paths if len(own) else ():
                groups = range(pq.read_metadata(path).num_row_groups)
                for first in groups[::GROUPS_AT_ONCE]:
                    yield _Asked(path, groups[first : first + GROUPS_AT_ONCE], own, seen_as)

    def compact(self, *, runs: int = COMPACT_RUNS) -> list[Path]:
        """Put every `runs` runs together that are in no compacted folder, and delete those folders that are out of date.

        Returns the folders made. Runs' own files stay: they are what is verified, and replaced with their run.
        """
        for folder, held in self._compacted():
            if not self._up_to_date(held):
                remove_tree(folder)
        done = {key for _, held in self._compacted() for key in held}
        waiting = [key for key in sorted(self.runs) if key not in done]
        made = []
        for first in range(0, len(waiting) - runs + 1, runs):
            keys = waiting[first : first + runs]
            folder = self.out / "_state" / f"compact={keys[0]}..{keys[-1]}"
            scratch = folder.with_name(f".{folder.name}")
            remove_tree(scratch)
            scratch.mkdir(parents=True)
            for table in COMPACTED:
                groups = [self.state_files([key], table) for key in keys]
                schema = STATE[table].to_frame().to_arrow().schema
                write_parquet(
                    scratch / f"{table}.parquet",
                    _merged(groups, table),
                    schema,
                    row_group_rows=GROUP_ROWS,
                    lasting=True,
                    sorted_by=SORTED_BY[table],
                )
            write_json(scratch / "runs.json", {key: self.runs[key]["release"] for key in keys})
            remove_tree(folder)
            scratch.rename(folder)
            made.append(folder)
        return made

    def _compacted(self) -> list[tuple[Path, dict[str, str]]]:
        """Each compacted folder, with the runs it holds and the release of each."""
        folders = sorted((self.out / "_state").glob("compact=*"))
        return [(folder, read_json(folder / "runs.json")) for folder in folders]

    def _up_to_date(self, held: Mapping[str, str]) -> bool:
        return all(key in self.runs and self.runs[key]["release"] == release for key, release in held.items())

    def _files_of(self, keys: Sequence[str], table: str) -> Iterator[tuple[list[Path], list[str]]]:
        """Files that together hold the state `table` of the runs `keys`, with the runs each may speak of, in order."""
        found: set[str] = set()
        for folder, held in self._compacted():
            if (
                table in COMPACTED
                and self._up_to_date(held)
                and found.isdisjoint(held)
                and not set(keys).isdisjoint(held)
            ):
                found |= held.keys()
                yield [folder / f"{table}.parquet"], sorted(held)
        for key in keys:
            if key not in found:
                yield self.state_files([key], table), [key]

    def settled(self, run_key: str) -> dict[tuple[str, str], str]:
        """(source, sha256) of each file that another run than `run_key` took, with that run's key."""
        taken: dict[tuple[str, str], str] = {}
        for key in sorted(self.runs):
            if key != run_key:
                for taken_file in self._files([key]):
                    taken.setdefault(taken_file, key)
        return taken

    def is_forgotten(self, source: str) -> bool:
        """Whether `source`, or a folder it lies in, was forgotten."""
        return any(source == one or source.startswith(f"{one}/") for one in self.forgotten)

    def remembered(self) -> dict[str, list[str]]:
        """The forgotten sources that a run still holds, by run key: what `etl forget` has left to do."""
        found = {}
        for key in sorted(self.runs):
            if held := sorted(source for source in self._files([key]) if self.is_forgotten(source[0])):
                found[key] = [source for source, _ in held]
        return found

    def recipe(self, key: str) -> Recipe | None:
        """How the run `key` can be done again; None when it left no recipe."""
        told: dict[str, str] = {}
        for path in self.state_files([key], "recipe"):
            rows = read_parquet(path)
            told |= dict(zip(rows["name"].to_pylist(), rows["text"].to_pylist(), strict=True))
        if not told:
            return None
        return Recipe(
            sources=dict(self._files([key])),
            inputs=tuple(json.loads(told.pop("inputs"))),
            skip=tuple(json.loads(told.pop("skip"))),
            overrides=json.loads(told.pop("overrides")),
            config=told,
        )

    def _files(self, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
        """(source, sha256) of each file that the runs `keys` took."""
        for path in self.state_files(keys, "files"):
            rows = read_parquet(path)
            yield from zip(rows["source"].to_pylist(), rows["sha256"].to_pylist(), strict=True)

    def stale(self) -> dict[str, list[str]]:
        """Runs whose history has changed since they ran, with the earlier keys that are new, changed or gone."""
        found = {}
        for key, entry in self.runs.items():
            saw: dict[str, str] = entry["history"]
            now = self.earlier(key)
            if changed := sorted(k for k in saw.keys() | now.keys() if saw.get(k) != now.get(k)):
                found[key] = changed
        return found


class _Asked(NamedTuple):
    """Row groups of a state file that are to be looked at for `wanted`. seen_as: of the runs that the file may speak of, where each is
    among the earlier ones, from behind; 0 for one that isn't."""

    path: Path
    groups: range
    wanted: Wanted
    seen_as: Wanted


def write_state(
    folder: Path, table: str, tables: Iterable[pa.Table], schema: pa.Schema, *, sorted_by: str = ""
) -> tuple[Path, str]:
    """Write a state table of a run below `folder`: its file, whose name carries a hash of its bytes, and their sha256.

    sorted_by: the column by which the rows are sorted, if it is one of whole numbers.
    """
    scratch = folder / f".{table}.parquet"
    write_parquet(scratch, tables, schema, lasting=True, sorted_by=sorted_by)
    return _named(folder, table, scratch)


def _named(folder: Path, table: str, scratch: Path) -> tuple[Path, str]:
    for old in folder.glob(f"{table}-*.parquet"):
        old.unlink()
    digest = sha256(scratch)
    path = folder / f"{table}-{digest[:16]}.parquet"
    scratch.replace(path)
    return path, digest


def _as_own(wanted: Wanted, seen_as: Wanted) -> Wanted:
    """The numbers by which files name the documents that the run under way sees as `wanted`."""
    parts = []
    for run, seen in enumerate(seen_as.tolist()):
        first, past = np.searchsorted(wanted, [seen * RUN_NUMBERS, (seen + 1) * RUN_NUMBERS])
        if seen:
            parts.append(wanted[first:past] + (run - seen) * RUN_NUMBERS)
    return np.concatenate(parts)


def _merged(groups: Sequence[Sequence[Path]], table: str) -> Iterator[pa.Table]:
    """The rows of several runs' files as one sorted table, a range of the sorting column at a time."""
    by = SORTED_BY[table]  # a hash: ranges of one size hold about as many rows
    frames = [
        pl.scan_parquet(path, hive_partitioning=False).with_columns(
            [pl.col("number") + run * RUN_NUMBERS] if "number" in STATE[table] else []
        )
        for run, paths in enumerate(groups)
        for path in paths
    ]
    if not frames:
        return
    pieces = sum(pq.read_metadata(path).num_rows for paths in groups for path in paths) // COMPACT_ROWS + 1
    for low, past in pairwise(-(2**63) + 2**64 * n // pieces for n in range(pieces + 1)):
        wanted = [frame.filter(pl.col(by).is_between(low, past - 1)) for frame in frames]
        yield pl.concat(wanted).sort(by, *STATE[table].names()).collect().select(STATE[table].names()).to_arrow()


def _only(folder: Path, name: str) -> Path:
    """The one file of that name below `folder`. Raises StageError where there is none, or another one."""
    found = list(folder.glob(name))
    if len(found) != 1:
        raise StageError(f"{folder}: has {len(found)} files {name}; expected one")
    return found[0]


def _matching(
    asked: _Asked, *, column: str, columns: Iterable[str], marks: Marks | None, is_sorted: bool
) -> list[pl.DataFrame]:
    """Those `columns` of the rows whose `column` is one of those wanted, of each row group that is asked about and has some. marks:
    what finds them faster, where they are hashes."""
    matching = []
    with pq.ParquetFile(asked.path, memory_map=True) as file:
        place = file.schema_arrow.names.index(column)
        others = [name for name in file.schema_arrow.names if name != column and name in columns]
        for group in asked.groups:
            bounds = file.metadata.row_group(group).column(place).statistics
            if bounds is None or not bounds.has_min_max:
                continue  # no rows
            low = np.searchsorted(asked.wanted, bounds.min, side="left")
            high = np.searchsorted(asked.wanted, bounds.max, side="right")
            if low == high:
                continue
            # Through Polars: pyarrow's own ways to and from numpy import pandas where it is installed.
            values = pl.Series(file.read_row_group(group, columns=[column])[column]).to_numpy()
            rows = _rows_of(values, asked.wanted[low:high], marks, is_sorted=is_sorted)
            if len(rows):
                found = pl.DataFrame(file.read_row_group(group, columns=others))[rows]
                matching.append(found.with_columns(pl.Series(column, values[rows])))
    return matching


_OF_MEETING: Final = ("number", "start_char", "cut", "n_chars", "n_words", "word_bits", "stands")
_MEETINGS: Final = pl.Schema(
    [("h", pl.Int64()), ("rest", pl.UInt16()), *((name, STATE["meetings"][name]) for name in _OF_MEETING)]
)
"""A row of `meetings` at one of its points."""


def _meeting(path: Path, marks: Marks) -> pl.DataFrame:
    """The rows of a `meetings` file at the points that `marks` finds: _MEETINGS."""
    meeting = [_MEETINGS.to_frame()]
    with pq.ParquetFile(path, memory_map=True) as file:
        for group in range(file.num_row_groups):
            points = file.read_row_group(group, columns=["near_a", "near_b"])
            sides = [(side, pl.Series(points[f"near_{side}"])) for side in ("a", "b")]
            met = [(side, at, rows) for side, at in sides if len(rows := marks.find(at.to_numpy()))]
            if not met:
                continue
            told = pl.DataFrame(file.read_row_group(group, columns=[*_OF_MEETING, "rest_a", "rest_b"]))
            if "word_bits" not in told.columns:  # as earlier versions left it
                told = told.with_columns(word_bits=pl.lit(0))
            meeting += [
                told[rows]
                .select(pl.Series("h", at.to_numpy()[rows]), pl.col(f"rest_{side}").alias("rest"), *_OF_MEETING)
                .select(pl.col(name).cast(kind) for name, kind in _MEETINGS.items())
                for side, at, rows in met
            ]
    return pl.concat(meeting)


def _edges(meetings: pl.DataFrame) -> pl.DataFrame:
    """The first and the last row of each point."""
    return _at_ends(meetings, 1, 1, starts=meetings["start_char"].to_numpy())


def _at_ends(rows: pl.DataFrame, first: int, last: int, *, starts: Wanted | None = None) -> pl.DataFrame:
    """The first and the last so many of the rows with the same h, by number and start; in order of h."""
    order = state.order_of_places(rows["number"].to_numpy(), starts)
    hashes = rows["h"].to_numpy()[order]
    by_hash = state.order_of(hashes)
    return rows[order[by_hash[_near_ends(hashes[by_hash], first, last)]]]


def _near_ends(hashes: Wanted, first: int, last: int) -> npt.NDArray[np.bool_]:
    """Which of `hashes` are among the first or the last so many of equal ones, which stand together."""
    near = np.ones(len(hashes), np.bool_)
    near[first:] = hashes[first:] != hashes[:-first]
    near[:-last] |= hashes[:-last] != hashes[last:]
    near[len(hashes) - last :] = True
    return near


def _is_in(wanted: Wanted, values: Wanted) -> npt.NDArray[np.bool_]:
    """Which of `values` are one of `wanted` (sorted, at least one)."""
    here: npt.NDArray[np.bool_] = wanted[np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)] == values
    return here


def _rows_of(values: Wanted, wanted: Wanted, marks: Marks | None, *, is_sorted: bool) -> npt.NDArray[np.intp]:
    """Where in `values` something wanted stands; both sorted, or `wanted` alone, which `marks` then may find faster."""
    if not is_sorted:
        return np.flatnonzero(_is_in(wanted, values)) if marks is None else marks.find(values)
    library = kernels.library()
    if library is None:
        return _rows_of_sorted(values, wanted)
    held, asked = (np.ascontiguousarray(hashes, np.int64) for hashes in (values, wanted))
    found = np.empty(len(held), np.uint32)
    library.winnow_find_sorted.restype = ctypes.c_int64
    count = library.winnow_find_sorted(
        kernels.pointer(held),
        ctypes.c_int64(len(held)),
        kernels.pointer(asked),
        ctypes.c_int64(len(asked)),
        kernels.pointer(found),
    )
    return found[:count].astype(np.intp)


def _rows_of_sorted(values: Wanted, wanted: Wanted) -> npt.NDArray[np.intp]:
    first = np.searchsorted(values, wanted, side="left")
    past = np.searchsorted(values, wanted, side="right")
    hit = np.flatnonzero(past > first)
    if not len(hit):
        return hit
    counts = past[hit] - first[hit]
    offsets = np.repeat(first[hit] - np.r_[0, np.cumsum(counts)[:-1]], counts)
    return np.asarray(offsets + np.arange(counts.sum()), dtype=np.intp)
