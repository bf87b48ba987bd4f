"""The kernels of barrier 2 make the tables that its SQL files make, whatever the parts."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.dedup import meet
from etl.dedup.fingerprint import TABLES
from etl.dedup.policy import DedupPolicy
from etl.dedup.state import STATE, seen_from_later
from etl.storage import Aside
from tests.dedup.test_barrier import Tables, corpus, decide_and_remember, slipped, tables

pytestmark = pytest.mark.skipif(
    not meet.available(), reason="no C compiler was there when the environment was made, so there is no kernel"
)

FEW = st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)
@given(st.lists(st.tuples(FEW, st.integers(0, 3) | st.integers(0, 2**32 - 1)), max_size=60), st.integers(1, 40))
def test_rows_meet_by_key_in_order_of_rank(rows: list[tuple[int, int]], times: int) -> None:
    keys = np.array([key for key, _ in rows] * times, np.int64)
    ranks = np.array([rank for _, rank in rows] * times, np.uint32)
    order = np.lexsort((np.arange(len(keys)), ranks, keys.view(np.uint64)))
    several = {key for key, count in zip(*np.unique(keys, return_counts=True), strict=True) if count > 1}
    wanted = [row for row in order.tolist() if keys[row] in several]
    found = meet.meetings(keys, ranks).tolist()
    groups = [list(group) for _, group in itertools.groupby(found, key=lambda row: keys[row])]
    assert len(groups) == len(several)
    assert sum(sorted(groups, key=lambda group: keys.view(np.uint64)[group[0]]), []) == wanted  # noqa: RUF017


def test_many_different_keys_and_one_that_all_share() -> None:
    pick = np.random.default_rng(1)
    keys = pick.integers(-(2**63), 2**63 - 1, 50_000)
    assert not len(meet.meetings(keys))
    assert sorted(meet.meetings(np.r_[keys, keys[:9]]).tolist()) == sorted([*range(9), *range(50_000, 50_009)])
    assert meet.meetings(np.full(50_000, 7)).tolist() == list(range(50_000))
    falling = np.arange(50_000, 0, -1, dtype=np.uint32)
    assert meet.meetings(np.full(50_000, 7), falling).tolist() == list(range(49_999, -1, -1))
    assert not len(meet.meetings(np.zeros(0, np.int64)))


@settings(deadline=None)
@given(st.lists(st.tuples(FEW, st.booleans()), max_size=60), st.integers(1, 9))
def test_parts_hold_each_chosen_row_once_and_equal_hashes_together(rows: list[tuple[int, bool]], parts: int) -> None:
    hashes, among = np.array([key for key, _ in rows], np.int64), np.array([good for _, good in rows], np.bool_)
    split = meet._Parts((parts - 1) * meet.PART_ROWS, {}, lambda kinds, _: Aside(None, kinds))
    for chosen in (among, None):
        found = {part: mine.tolist() for part, mine in split.split(hashes, among=chosen)}
        assert len(found) == parts
        assert all(mine == sorted(mine) for mine in found.values())
        wanted = np.flatnonzero(among).tolist() if chosen is not None else list(range(len(rows)))
        assert sorted(itertools.chain(*found.values())) == wanted
        part_of = {row: part for part, mine in found.items() for row in mine}
        assert len({(hashes[row], part) for row, part in part_of.items()}) == len({hashes[row] for row in wanted})


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 12), min_size=2, max_size=14), max_size=5), st.integers(0, 6), st.integers(0, 1)
)
def test_holders_of_a_band_pair_with_the_first_ones_and_those_just_before(
    bands: list[list[int]], least: int, short: int
) -> None:
    held = [sorted(ranks) for ranks in bands]
    keys = np.repeat(np.arange(len(held)), [len(ranks) for ranks in held])
    ranks = np.array([rank for some in held for rank in some], np.uint32)
    wanted = [
        (later << 32) | some[other]
        for some in held
        for place, later in enumerate(some)
        for other in range(place)
        if later > max(least, some[other]) and (other < meet.FIRST_HOLDERS or other >= place - 2)
    ]
    found = meet._pairs_of_holders(keys, ranks, least=least, short_rank=short)
    apart = [pair for pair in wanted if short in ((pair >> 32) % 2, pair % 2)]
    assert sorted(found[1].tolist()) == sorted(apart)
    assert sorted([*found[0].tolist(), *found[1].tolist()]) == sorted(wanted)


SAMPLES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 40)), max_size=80)
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from((1, 2, 8))), max_size=8)


@settings(deadline=None)
@given(SAMPLES, PAIRS)
def test_what_two_documents_share_is_counted(
    rows: list[tuple[int, int, int]], pairs: list[tuple[int, int, int]]
) -> None:
    docs, kinds, hashes = (
        np.array([row[n] for row in rows], kind) for n, kind in enumerate((np.uint32, np.int8, np.int64))
    )
    mine, theirs = (np.array([pair[n] for pair in pairs], np.uint32) for n in (0, 1))
    steps = np.array([[pair[2]] * 3 for pair in pairs], np.int64).reshape(-1, 3)
    found = np.zeros((len(pairs), meet.KINDS, 3), np.uint32)
    for some in (hashes % 3 == 0, hashes % 3 != 0):  # parts add to what is there
        meet._count_overlaps(found, hashes[some], docs[some], kinds[some], 4, mine, theirs, steps)
    for (one, two, step), counted in zip(pairs, found.tolist(), strict=True):
        for kind, (shared, has_one, has_two) in enumerate(counted):
            a, b = ([h for doc, k, h in rows if doc == at and k == kind and h % step == 0] for at in (one, two))
            assert (shared, has_one, has_two) == (sum(map(b.count, a)), len(a), len(b))


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(0, 2))
def test_kernels_make_the_tables_that_sql_makes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int, shards: int, runs: int
) -> None:
    earlier = corpus(seed + 1) | altered(corpus(seed), seed)
    states = []
    for run in range(runs):
        seen = dict(zip(map(str, range(run)), states, strict=True))
        of_run = dict(itertools.islice(earlier.items(), run, None, 2))
        states.append(decide_and_remember(tables(of_run), history=seen)[1])
    now = tables(corpus(seed) | altered(corpus(seed), seed + 1) | altered(corpus(seed + 2), seed), shards=shards)
    known = _known(states)
    with duckdb.connect(config={"threads": 1}) as connection:
        made = _by_sql(connection, now, known)
        wanted = _tables_of(connection)
    for part_rows, threads in ((meet.PART_ROWS, 1), (60, 1), (60, 3)):
        monkeypatch.setattr(meet, "PART_ROWS", part_rows)
        found = _by_kernels(now, known, made, tmp_path, threads)
        by_sql = meet.Candidates.of(made["near_candidates"])
        assert _table(by_sql).rows() == wanted["near_candidates"].select(_table(by_sql).columns).rows()
        for name, rows in wanted.items():
            assert _rows(found[name], rows.columns) == _rows(rows, rows.columns), (name, part_rows)


LACKING = st.tuples(*[st.integers(0, 2**64 - 1)] * 2, *[st.integers(0, 5)] * 2, st.integers(3, 40), st.integers(-6, 6))


@settings(deadline=None, max_examples=60)
@given(st.lists(LACKING, min_size=1, max_size=20), st.booleans())
def test_sentences_that_lack_too_many_words_of_each_other_are_no_pair(
    pairs: list[tuple[int, int, int, int, int, int]], of_earlier_run: bool
) -> None:
    mine, theirs = [], []
    for common, places, mine_more, theirs_more, n_words, _ in pairs:
        lacking = [1 << (places >> 6 * n & 63) for n in range(mine_more + theirs_more)]
        for side, some in ((mine, lacking[:mine_more]), (theirs, lacking[mine_more:])):
            side.append(common & ~sum(set(lacking)) | sum(set(some)))
        mine[-1] *= n_words % 9 > 0  # 0: as earlier versions left it
    n = len(pairs)
    told = {
        "start_char": np.zeros(2 * n, np.uint32),
        "end_char": np.full(2 * n, 90, np.uint32),
        "n_words": np.array([*(p[4] for p in pairs), *(max(3, p[4] + p[5]) for p in pairs)], np.uint32),
        "near_a": np.tile(np.arange(n), 2),
        "near_b": np.arange(2 * n) + 1000,
        "rest_a": np.full(2 * n, 257, np.uint16),
        "rest_b": np.full(2 * n, 257, np.uint16),
        "word_bits": np.array([*theirs, *mine], np.uint64).view(np.int64),
    }
    every = pl.DataFrame({"doc": np.arange(2 * n), "number": np.arange(2 * n) + 1, **told})
    known = every.select(
        pl.col("number") - 2 * n - 1, "start_char", "n_words", "word_bits", h="near_a", rest="rest_a", stands=True
    )
    known = known.head(n if of_earlier_run else 0)
    own = every.tail(n) if of_earlier_run else every
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("meeting_sentences", own.to_arrow())
        connection.register("known_meetings", known.to_arrow())
        script = resources.files("etl.dedup").joinpath("near.sql").read_text(encoding="utf-8")
        for statement in filter(str.strip, script.split(";\n")):
            connection.execute(statement)
        wanted = meet.Candidates.of(_read(connection, "SELECT * FROM near_candidates"))
    numbers = meet.Documents(own["doc"].to_numpy(), number=own["number"].to_numpy())
    columns = _Columns({"sentences": own})
    sizes = [part.height for part in own.iter_slices(37)]
    compared = meet.Compared([np.packbits(np.ones(size, np.bool_)) for size in sizes], sizes, own.height, numbers)
    found = meet.near_candidates(columns, compared, known, lambda kinds, _: Aside(None, kinds))
    assert _table(found).rows() == _table(wanted).rows()


def altered(docs: Mapping[str, Sequence[str]], seed: int) -> dict[str, list[str]]:
    """The documents with a slip in some of their sentences, one sentence less and a few names and numbers."""
    pick = random.Random(seed)
    facts = [
        f"Anna Berg and {pick.choice('ABC')}lex Stone paid {pick.randint(1, 4)}5 for {n}7 in Oslo." for n in range(6)
    ]
    return {
        f"{seed}{name}": [
            *(slipped(line) if pick.random() < 0.4 else line for line in text[1:]),
            *pick.sample(facts, 4),
        ]
        for name, text in docs.items()
    }


def _known(states: Sequence[Tables]) -> Tables:
    known = {}
    for name, kind in STATE.items():
        past = [
            state[name].with_columns(seen_from_later(pl.col("number"), run=run, runs=len(states)))
            for run, state in enumerate(states)
        ]
        known[f"known_{name}"] = pl.concat([kind.to_frame(), *past])
    meetings = known["known_meetings"]
    known["known_meetings"] = pl.concat(
        meetings.select("number", "start_char", "n_words", "word_bits", "stands", h=f"near_{side}", rest=f"rest_{side}")
        for side in "ab"
    ).with_columns(
        word_bits=pl.when(pl.col("number") % 3 != 0).then("word_bits").otherwise(0)
    )  # as earlier versions left it
    return known


def _by_sql(connection: duckdb.DuckDBPyConnection, now: Tables, known: Tables) -> Tables:
    """Every table that the three files make."""
    for name, rows in {**{name: now[name] for name in TABLES}, **known}.items():
        connection.register(name, rows.to_arrow())
    connection.register("params", DedupPolicy().params())
    names = []
    for file in ("documents.sql", "sentences.sql", "near.sql"):
        script = resources.files("etl.dedup").joinpath(file).read_text(encoding="utf-8")
        code = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
        for statement in filter(str.strip, code.split(";\n")):
            connection.execute(statement)
            names.append(statement.split()[2])
    return {name: _read(connection, f"SELECT * FROM {name}") for name in names}


def _tables_of(connection: duckdb.DuckDBPyConnection) -> Tables:
    """What the kernels are asked for, of what SQL made: they count for all candidates that could be likely, SQL for those that are."""
    likely = "(SELECT pair FROM likely_pairs)"
    return {
        "recurring_sentences": _read(connection, "SELECT * FROM recurring_sentences"),
        "repeated_keys": _read(
            connection, "SELECT * FROM repeated_keys WHERE key_hash IN (SELECT key_hash FROM known_sentences)"
        ),
        "band_pairs": _read(connection, "SELECT * FROM band_pairs"),
        "met_shingles": _read(
            connection,
            "SELECT pair, SUM(shared)::BIGINT AS shared FROM met_shingles "
            f"GROUP BY pair HAVING SUM(shared) >= {meet.LIKELY_SHARED}",
        ),
        "sample_sizes": _read(connection, "SELECT * FROM sample_sizes"),
        "shared_facts": _read(connection, f"SELECT * FROM shared_facts WHERE pair IN {likely}"),
        "near_candidates": _read(connection, "SELECT * FROM near_candidates"),
        "meeting_sentences": _read(connection, "SELECT number, start_char FROM meeting_sentences"),
    }


def _read(connection: duckdb.DuckDBPyConnection, query: str) -> pl.DataFrame:
    return pl.DataFrame(connection.sql(query).to_arrow_table())


class _Columns:
    def __init__(self, now: Tables) -> None:
        self.now = now

    def __call__(self, table: str, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        for some in self.now[table].iter_slices(37):
            yield {
                name: some[name].fill_null(0 if some[name].dtype.is_unsigned_integer() else -1).to_numpy()
                for name in names
            }

    def rows(self, table: str) -> int:
        return self.now[table].height


def _by_kernels(now: Tables, known: Tables, made: Tables, folder: Path, threads: int) -> Tables:
    columns = _Columns(now)

    def aside(kinds: Mapping[str, Any], fits: bool) -> Aside:
        return Aside(None if fits else folder, kinds)

    keys = known["known_sentences"]["key_hash"].to_numpy()
    repeated = meet.repeats(columns, keys, aside)
    documents = made["numbered_documents"]
    numbers = meet.Documents(
        documents["doc"].to_numpy(),
        number=documents["number"].to_numpy(),
        stays=(documents["fate"] == 0).cast(pl.Int8).to_numpy(),
    )
    overlaps = meet.overlaps(columns, made["candidate_pairs"], known["known_sketches"], aside)
    firsts = made["first_of_kind"]
    near = now["near_sentences"].join(documents, on="doc")
    compared = meet.meeting_sentences(
        columns,
        repeated,
        numbers,
        first_places=meet.places(firsts["number"].to_numpy(), firsts["start_char"].to_numpy()),
        near_sentences=meet.places(near["number"].to_numpy(), near["start_char"].to_numpy()),
        min_words=DedupPolicy().sentence_dedup.min_words_in_document,
    )
    meeting = now["sentences"].filter(pl.Series(np.concatenate(list(compared)))).join(documents, on="doc")
    likely = made["likely_pairs"]
    facts = pl.DataFrame(overlaps.shared_facts()).filter(pl.col("pair").is_in(likely["pair"].implode()))
    sides = made["pair_sides"].select("number", "shingle_step", "number_step", "name_step")
    sizes = pl.DataFrame(overlaps.sample_sizes())
    return {
        "recurring_sentences": pl.concat(meet.recurring_sentences(columns, repeated, numbers)),
        "repeated_keys": pl.DataFrame(meet.repeated_keys(keys, columns, repeated)),
        "band_pairs": pl.DataFrame(
            meet.band_pairs(columns, made["near_eligible"], known["known_bands"], aside, threads=threads)
        ),
        "met_shingles": pl.DataFrame(overlaps.met_shingles()),
        "sample_sizes": sizes.join(sides, on=sides.columns, how="semi"),
        "shared_facts": facts.filter((pl.col("numbers") > 0) | (pl.col("names") > 0)),
        "near_candidates": _table(
            meet.near_candidates(columns, compared, known["known_meetings"], aside, threads=threads)
        ),
        "meeting_sentences": meeting.select("number", "start_char"),
    }


def _table(found: meet.Candidates) -> pl.DataFrame:
    mine, theirs = (found.sentences[rows] for rows in (found.later, found.earlier))
    kept = theirs.select(earlier="number", kept_doc="doc", kept_start="start_char", kept_end="end_char")
    return pl.concat([mine, kept], how="horizontal")


def _rows(table: pl.DataFrame, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    return sorted(table.select(columns).rows(), key=lambda row: [(value is not None, value) for value in row])
